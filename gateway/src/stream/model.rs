//! Everything around a pod's streams as a model: seeded schedules of what bus, workers and clients may do to them.
//!
//! | module | plays |
//! | --- | --- |
//! | `truth` | PostgreSQL: each epoch's log, and what of it a worker answers |
//! | `chaos` | the bus: messages late, lost, twice and out of order; answers late, lost and failed |
//! | `client` | sockets, and what they must and must not receive (I5, I8) |
//! | this | one schedule, from its seed |
//!
//! The streams themselves are the real ones, on a runtime of one thread whose clock is the schedule's own: minutes pass in
//! milliseconds, and a seed repeats.

mod chaos;
mod client;
mod truth;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use shared::{
    bus::{Bus, Subject},
    internal::{Deliver, Head, Heads, Moved},
    pod::PodId,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::{
    chaos::{Chaos, Weather},
    client::Client,
    truth::Truth,
};
use super::Streams;
use crate::workers::Workers;

const NETWORK: &str = "demo";
const PARTITION: u16 = 5;
const POD: &str = "pod";
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// What the contract promises once all is well again.
const PROMISE: Duration = Duration::from_secs(15);

/// Schedules of every run; more by hand.
const SCHEDULES: u64 = 1000;

struct Model {
    random: StdRng,
    truth: Truth,
    chaos: Chaos,
    streams: Arc<Streams>,
    clients: Vec<Client>,
    /// Clients do not dawdle any more.
    haste: Arc<AtomicBool>,
}

/// Runs the schedule of a seed and returns everything that its sockets received.
fn run(seed: u64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut random = StdRng::seed_from_u64(seed);
        let truth = Truth::default();
        let chaos = Chaos::new(truth.clone(), random.random());
        let bus = Bus::new(chaos.clone());
        let stop = CancellationToken::new();
        let workers = Workers::new(bus.clone(), PodId::read(POD), Duration::from_secs(10));
        let streams = Streams::new(bus, workers, stop.clone());
        tokio::spawn(streams.clone().receive_bodies(PodId::read(POD)));
        tokio::spawn(streams.clone().receive_heads());
        let mut model = Model { random, truth, chaos, streams, clients: Vec::new(), haste: Arc::default() };
        let heads = tokio::spawn(tell_heads(model.chaos.clone(), model.truth.clone()));
        model.storm().await;
        model.calm().await;
        heads.abort();
        stop.cancel();
        model.clients.iter().map(Client::trace).collect()
    })
}

/// The relay's heads, each second.
async fn tell_heads(chaos: Chaos, truth: Truth) {
    loop {
        sleep(Duration::from_secs(1)).await;
        let (epoch, head) = truth.head();
        let heads = vec![Head { network: NETWORK.to_owned(), epoch, head }];
        chaos.send(&Subject::heads(PARTITION), &Heads { heads });
    }
}

impl Model {
    /// Things happen, and anything may go wrong.
    async fn storm(&mut self) {
        let weather = Weather::some(&mut self.random);
        self.chaos.set(weather);
        for _ in 0..self.random.random_range(10..70) {
            match self.random.random_range(0..100) {
                0..40 => self.relay(),
                40..62 => self.connect(),
                62..72 => self.disconnect(),
                72..75 => self.reset(),
                75..78 => self.truth.trim(&mut self.random),
                78..81 => self.chaos.break_off(Duration::from_millis(self.random.random_range(1..4000))),
                81..83 => self.streams.suspect(NETWORK),
                83..96 => self.wait(1000).await,
                96..99 => self.wait(8000).await,
                // Long enough for a stream that nobody is on to go, or for what is recent to be old.
                _ if self.random.random_bool(0.85) => self.wait(40_000).await,
                _ => self.wait(400_000).await,
            }
            self.wait(30).await;
        }
    }

    /// All is well again: within the promised time everybody has everything.
    async fn calm(&mut self) {
        self.chaos.set(Weather::default());
        self.chaos.mend();
        self.haste.store(true, Ordering::Relaxed);
        self.relay();
        sleep(PROMISE).await;
        let clients = self.clients.drain(..).collect::<Vec<_>>();
        for client in &clients {
            client.assert_complete(&self.truth);
        }
        self.clients = clients;
    }

    async fn wait(&mut self, most: u64) {
        let pause = Duration::from_millis(self.random.random_range(0..most));
        sleep(pause).await;
    }

    /// A batch of the relay's: bodies to this pod, unless presence was wrong, and what moved.
    fn relay(&mut self) {
        let count = self.random.random_range(1..5);
        let (epoch, from, events) = self.truth.append(count, &mut self.random);
        let bodies = events.iter().filter(|_| self.random.random_bool(0.9)).map(truth::Logged::placed).collect();
        self.chaos.send(
            &Subject::deliver(&PodId::read(POD)),
            &Deliver { network: NETWORK.to_owned(), epoch: epoch.clone(), events: bodies },
        );
        let at = self.random.random_range(0..=events.len());
        let (first, second) = events.split_at(at);
        for (from, part) in [(from, first), (from + at as u64, second)] {
            if !part.is_empty() {
                let recipients = part.iter().map(|event| event.recipients.clone()).collect();
                let moved = Moved { epoch: epoch.clone(), from, to: from + part.len() as u64, recipients };
                self.chaos.send(&Subject::events(NETWORK), &moved);
            }
        }
    }

    fn connect(&mut self) {
        let id = self.clients.len() as u64 + 1;
        let user = USERS[self.random.random_range(0..USERS.len())];
        // What a client may have kept: nothing, the last event of an earlier socket, any place, a place of another epoch.
        let (epoch, head) = self.truth.head();
        let last_event_id = match self.random.random_range(0..6) {
            0..2 => None,
            2 => self.clients.iter().rfind(|client| client.user == user).and_then(Client::last_event_id),
            3..5 => Some(crate::transport::event_id(&epoch, head.saturating_sub(self.random.random_range(0..15)))),
            _ => Some(crate::transport::event_id("e0", head)),
        };
        let seed = self.random.random();
        let client = Client::connect(id, user, last_event_id.as_deref(), seed, self);
        self.clients.push(client);
    }

    fn disconnect(&mut self) {
        if !self.clients.is_empty() {
            let index = self.random.random_range(0..self.clients.len());
            self.clients[index].leave();
        }
    }

    /// The network begins a new epoch, and this pod may hear of it.
    fn reset(&mut self) {
        self.truth.reset(&mut self.random);
        if self.random.random_bool(0.5) {
            self.streams.suspect(NETWORK);
        }
    }
}

#[test]
fn whatever_the_bus_the_workers_and_the_clients_do_every_socket_has_everything_once_and_in_order() {
    for seed in 0..SCHEDULES {
        run(seed);
    }
}

#[test]
fn a_schedule_repeats() {
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
#[ignore = "takes minutes: a hundred times as many schedules"]
fn very_many_schedules() {
    for seed in SCHEDULES..100 * SCHEDULES {
        run(seed);
    }
}

//! What a relay does while its session lives.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::seq::SliceRandom as _;
use shared::{
    bus::Bus,
    internal::{Head, PARTITIONS, Partition},
    telemetry::Outage,
};
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Hooks, Relay, Step,
    announce::Announcer,
    bound::{Bound, Settled},
    heads::{RECENT, Recent},
    session::{Batch, Event, Failure, Reading, Session},
    wakes::{Listener, Partitions, Wakes},
};

/// A batch moves at most so many rows of a partition …
const MOST_ROWS: i64 = 500;

/// … and so many bytes, as [`crate::outbox`] measures them.
const MOST_BYTES: i64 = 512 * 1024;

/// A batch moves from so many partitions at most: one commit for all of them, and a bounded answer.
const MOST_PARTITIONS: usize = 8;

/// How often heads are told and partitions looked at that nobody has woken. Also keeps the session from being ended as
/// silent (I2).
const POLL_EVERY: Duration = Duration::from_secs(1);

/// How often the relay looks how many there are, to have its share of the partitions.
const SHARE_EVERY: Duration = Duration::from_secs(2);

/// How often it looks who writes while somebody holds up its lower bounds.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// A relay that cannot tell anybody for so long leaves its partitions to one that can.
const BUS_PATIENCE: Duration = Duration::from_secs(5);

/// What the database refuses to move is tried again after so long, and until then partitions are moved one by one: one
/// must not keep the others waiting.
const REFUSED_REST: Duration = Duration::from_secs(10);

/// A relay with a session.
pub(super) struct Duty {
    session: Session,
    bus: Bus,
    announcer: Announcer,
    hooks: Arc<dyn Hooks>,
    wakes: Wakes,
    settled: Settled,
    held: BTreeMap<Partition, Held>,
    /// Those that may have something to move.
    waiting: Partitions,
    /// Whose turn comes first.
    next: Partition,
    /// Moved and not told yet. One batch is told while the next one is moved.
    untold: Vec<Event>,
    one_by_one_until: Instant,
    refusals: Outage,
    bus_seen: Instant,
}

/// A partition that this relay holds.
struct Held {
    bound: Bound,
    recent: Recent,
    _listener: Listener,
    rests_until: Option<Instant>,
}

/// Why a relay stops before it is told to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interruption {
    #[error(transparent)]
    Database(#[from] Failure),
    #[error("the bus is away")]
    BusAway,
}

impl Duty {
    pub(super) async fn begin(relay: &Relay) -> Result<Self, Interruption> {
        let Relay { database, bus, presence, hooks } = relay;
        let database: &PgConnectOptions = database;
        Ok(Self {
            session: Session::open(database).await?,
            bus: bus.clone(),
            announcer: Announcer::new(bus.clone(), presence.clone()),
            hooks: hooks.clone(),
            wakes: Wakes::default(),
            settled: Settled::default(),
            held: BTreeMap::new(),
            waiting: Partitions::default(),
            next: 0,
            untold: Vec::new(),
            one_by_one_until: Instant::now(),
            refusals: Outage::new(),
            bus_seen: Instant::now(),
        })
    }

    /// Moves and tells, until it is to end; then gives up all partitions at once.
    pub(super) async fn run(mut self, drain: &CancellationToken) -> Result<(), Interruption> {
        let mut next_poll = Instant::now();
        let mut next_share = Instant::now();
        let mut next_watch = Instant::now();
        self.hooks.at(Step::Opened).await;
        while !drain.is_cancelled() {
            if Instant::now() >= next_share {
                self.share().await?;
                next_share = Instant::now() + SHARE_EVERY;
            }
            if Instant::now() >= next_poll {
                self.poll().await?;
                next_poll = Instant::now() + POLL_EVERY;
            }
            if self.settled.is_held_up() && Instant::now() >= next_watch {
                let look = self.session.look().await?;
                self.settled.observe_writers(&look.writers);
                next_watch = Instant::now() + WATCH_EVERY;
            }
            self.waiting.extend(self.wakes.take());
            let turn = self.turn();
            if !turn.is_empty() {
                self.move_on(&turn).await?;
            } else if !self.untold.is_empty() {
                self.tell().await;
            } else {
                tokio::select! {
                    () = drain.cancelled() => {}
                    () = self.wakes.heard() => {}
                    () = tokio::time::sleep_until(next_poll.min(next_share)) => {}
                }
            }
        }
        self.tell().await;
        self.session.close().await?;
        Ok(())
    }

    /// Takes free partitions up to this relay's share, or gives up what is beyond it.
    async fn share(&mut self) -> Result<(), Interruption> {
        self.tell().await;
        if self.bus.is_connected() {
            self.bus_seen = Instant::now();
        } else if self.bus_seen.elapsed() > BUS_PATIENCE {
            return Err(Interruption::BusAway);
        }
        let look = self.session.look().await?;
        self.settled.observe_writers(&look.writers);
        let share = usize::from(PARTITIONS).div_ceil(look.relays.max(1));
        if self.held.len() > share {
            let beyond: Vec<Partition> = self.held.keys().copied().skip(share).collect();
            self.session.give(&beyond).await?;
            self.held.retain(|partition, _| !beyond.contains(partition));
        } else {
            let mut free: Vec<Partition> = (0..PARTITIONS).filter(|partition| !look.held.contains(partition)).collect();
            // Relays that look at the same moment shall not all try the same ones.
            free.shuffle(&mut rand::rng());
            free.truncate(share - self.held.len());
            if !free.is_empty() {
                self.take(&free).await?;
            }
        }
        metrics::gauge!("convene_relay_partitions").set(self.held.len() as f64);
        Ok(())
    }

    async fn take(&mut self, free: &[Partition]) -> Result<(), Interruption> {
        let taken = self.session.take(free).await?;
        self.hooks.at(Step::Locked).await;
        for partition in &taken {
            let listener = self.wakes.listen(&self.bus, *partition);
            let held =
                Held { bound: Bound::default(), recent: Recent::default(), _listener: listener, rests_until: None };
            self.held.insert(*partition, held);
            self.waiting.insert(*partition);
        }
        // What a relay before this one has moved and not told of.
        let now = Instant::now();
        for recent in self.session.recent(&taken, RECENT).await? {
            if let Some(held) = self.held.get_mut(&recent.partition) {
                held.recent.note(recent.head, now, recent.age);
            }
        }
        self.tell_heads().await;
        Ok(())
    }

    /// Looks at all partitions, and tells the heads.
    async fn poll(&mut self) -> Result<(), Interruption> {
        self.tell().await;
        let readings: Vec<Reading> = self.held.iter().map(|(partition, held)| (*partition, held.bound)).collect();
        let polled = self.session.poll(&readings, self.settled.wants_id()).await?;
        if let Some(sight) = polled.sight {
            let settled = self.settled.observe(sight);
            for (partition, first) in &polled.first {
                if first.is_some() {
                    self.waiting.insert(*partition);
                }
                if let Some(held) = self.held.get_mut(partition) {
                    held.bound.rise(settled, first.map_or(i64::MAX, |(lowest, _)| lowest - 1));
                }
            }
        }
        let oldest = polled.first.iter().filter_map(|(_, first)| first.map(|(_, age)| age)).fold(0.0, f64::max);
        metrics::gauge!("convene_relay_waiting_seconds").set(oldest);

        let now = Instant::now();
        self.held.values_mut().for_each(|held| held.recent.forget_older(now));
        let networks: Vec<String> = self.held.values().flat_map(|held| held.recent.networks()).cloned().collect();
        if !networks.is_empty() {
            for (partition, network, epoch) in self.session.epochs(&networks).await? {
                if let Some(held) = self.held.get_mut(&partition) {
                    held.recent.set_epoch(&network, &epoch);
                }
            }
        }
        self.tell_heads().await;
        Ok(())
    }

    /// The partitions of the next batch: those that wait, beginning after those that had their turn last.
    fn turn(&mut self) -> Vec<Partition> {
        let now = Instant::now();
        let most = if now < self.one_by_one_until { 1 } else { MOST_PARTITIONS };
        let turn: Vec<Partition> = (0..PARTITIONS)
            .map(|offset| (self.next + offset) % PARTITIONS)
            .filter(|partition| self.waiting.contains(*partition))
            .filter(|partition| {
                self.held.get(partition).is_some_and(|held| held.rests_until.is_none_or(|until| until <= now))
            })
            .take(most)
            .collect();
        if let Some(last) = turn.last() {
            self.next = (last + 1) % PARTITIONS;
        }
        turn
    }

    /// Moves what waits in these partitions, while the batch before is told.
    async fn move_on(&mut self, turn: &[Partition]) -> Result<(), Interruption> {
        self.hooks.at(Step::Chosen).await;
        for partition in turn {
            self.waiting.remove(*partition);
        }
        let readings: Vec<Reading> =
            turn.iter().filter_map(|partition| Some((*partition, self.held.get(partition)?.bound))).collect();
        let untold = std::mem::take(&mut self.untold);
        let moving = self.session.move_on(&readings, MOST_ROWS, MOST_BYTES);
        let telling = tell(&mut self.announcer, &*self.hooks, &mut self.held, untold);
        let (moved, ()) = tokio::join!(moving, telling);
        match moved {
            Ok(batch) => self.account(turn, batch),
            Err(Failure::Refused(error)) => self.put_aside(turn, &error),
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }

    fn account(&mut self, turn: &[Partition], Batch { sight, cut, events }: Batch) {
        let settled = self.settled.observe(sight);
        for partition in turn {
            let Some(held) = self.held.get_mut(partition) else { continue };
            held.rests_until = None;
            let cleared = if cut.contains(partition) {
                self.waiting.insert(*partition);
                events.iter().filter(|event| event.partition == *partition).map(|event| event.seq).max().unwrap_or(0)
            } else {
                i64::MAX
            };
            held.bound.rise(settled, cleared);
        }
        if self.held.values().all(|held| held.rests_until.is_none()) {
            self.refusals.worked();
        }
        if !events.is_empty() {
            metrics::counter!("convene_relay_batches_total").increment(1);
            metrics::counter!("convene_relay_rows_total").increment(events.len() as u64);
            metrics::histogram!("convene_relay_lag_seconds")
                .record(events.iter().map(|event| event.age).fold(0.0, f64::max));
        }
        self.untold = events;
    }

    /// The database refuses: find out which partition it is, and let the others go on.
    fn put_aside(&mut self, turn: &[Partition], error: &sqlx::Error) {
        let until = Instant::now() + REFUSED_REST;
        self.one_by_one_until = until;
        for partition in turn {
            self.waiting.insert(*partition);
        }
        if let [partition] = turn {
            metrics::counter!("convene_relay_refused_total").increment(1);
            if let Some(held) = self.held.get_mut(partition) {
                held.rests_until = Some(until);
            }
            if let Some(seconds) = self.refusals.failed(error) {
                let resting = |(partition, held): (&Partition, &Held)| held.rests_until.map(|_| *partition);
                let partitions: Vec<Partition> = self.held.iter().filter_map(resting).collect();
                tracing::error!(?partitions, %error, seconds, "the events of some partitions cannot be moved");
            }
        }
    }

    async fn tell(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        tell(&mut self.announcer, &*self.hooks, &mut self.held, untold).await;
    }

    async fn tell_heads(&mut self) {
        let heads: Vec<_> = self.held.iter().map(|(partition, held)| (*partition, held.recent.messages())).collect();
        self.announcer.tell_heads(heads).await;
        self.hooks.at(Step::HeadsSent).await;
    }
}

/// Tells what was moved; only then the heads may show it, or gateways would read what is just about to reach them.
async fn tell(announcer: &mut Announcer, hooks: &dyn Hooks, held: &mut BTreeMap<Partition, Held>, events: Vec<Event>) {
    if events.is_empty() {
        return;
    }
    hooks.at(Step::Committed).await;
    announcer.announce(&events, hooks).await;
    hooks.at(Step::MovesSent).await;
    let now = Instant::now();
    for last_of_network in events.chunk_by(|one, next| one.network == next.network).filter_map(<[Event]>::last) {
        let Event { partition, network, epoch, position, .. } = last_of_network;
        if let (Some(held), Some(epoch)) = (held.get_mut(partition), epoch) {
            let head = Head { network: network.clone(), epoch: epoch.clone(), head: *position };
            held.recent.note(head, now, Duration::ZERO);
        }
    }
}

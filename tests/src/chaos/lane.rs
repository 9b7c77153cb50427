//! A lane of faults: one after the other, while other lanes have theirs.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _, seq::SliceRandom as _};
use tokio::{
    sync::{Mutex as Busy, OwnedMutexGuard},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    fault::{self, Harm, Name, Target},
    session::Session,
    tally::Tally,
    world::World,
};

/// A fault that lasts does so for longer than this, and so does the pause after it.
const SHORTEST: Duration = Duration::from_millis(300);

/// So many sessions race, or lose their sockets, at once.
const SESSIONS: usize = 8;

/// What is still to happen: every fault once, in random order, before one happens again.
#[derive(Debug)]
pub(super) struct Deck {
    rest: VecDeque<(Harm, Target)>,
    rng: StdRng,
    /// One for each target that can have one fault only: pods, servers, ways.
    busy: Vec<Arc<Busy<()>>>,
}

/// A deck for all lanes.
pub(super) fn deck(rng: &mut StdRng) -> Arc<Mutex<Deck>> {
    Arc::new(Mutex::new(Deck {
        rest: VecDeque::new(),
        rng: rng.clone(),
        busy: (0..32).map(|_| Arc::default()).collect(),
    }))
}

impl Deck {
    /// The next fault whose target has none, and which of the pods.
    fn draw(&mut self, world: &World) -> Option<(Harm, Target, usize, Vec<OwnedMutexGuard<()>>)> {
        if self.rest.is_empty() {
            let mut all = fault::all(world.ways.len());
            all.shuffle(&mut self.rng);
            self.rest = all.into();
        }
        for _ in 0..self.rest.len() {
            let (harm, target) = self.rest.pop_front()?;
            let number = self.rng.random_range(0..world.stack.gateways.len());
            let places = match target {
                Target::Gateway => number..number + 1,
                Target::Worker => 3 + number..4 + number,
                Target::AllGateways => 0..3,
                Target::Nats => 6..7,
                Target::Redis => 7..8,
                Target::Postgres => 8..9,
                Target::Sessions => 9..10,
                Target::Way(way) => 10 + way..11 + way,
            };
            let guards: Result<Vec<_>, _> =
                self.busy[places].iter().map(|busy| busy.clone().try_lock_owned()).collect();
            if let Ok(guards) = guards {
                return Some((harm, target, number, guards));
            }
            self.rest.push_back((harm, target));
        }
        None
    }
}

pub(super) struct Lane {
    pub(super) world: Arc<World>,
    pub(super) sessions: Vec<Arc<Session>>,
    pub(super) tally: Arc<Tally>,
    pub(super) deck: Arc<Mutex<Deck>>,
    pub(super) rng: StdRng,
}

impl Lane {
    pub(super) async fn run(mut self, longest_pause: Duration, longest: Duration, until: CancellationToken) {
        while !until.is_cancelled() {
            sleep(self.rng.random_range(SHORTEST..=longest_pause)).await;
            let drawn = self.deck.lock().unwrap_or_else(PoisonError::into_inner).draw(&self.world);
            let Some((harm, target, number, _busy)) = drawn else { continue };
            // Mostly short, so that the system is well for long enough to get somewhere.
            let held = SHORTEST + longest.saturating_sub(SHORTEST).mul_f64(self.rng.random::<f64>().powi(2));
            self.tally.fault(Name(&self.world, harm, target).to_string());
            tracing::info!("{} {number} for {held:?}", Name(&self.world, harm, target));
            self.harm(harm, target, number, held).await;
        }
    }

    async fn harm(&mut self, harm: Harm, target: Target, number: usize, held: Duration) {
        match target {
            Target::Gateway | Target::Worker => {
                fault::harm_pod(&self.world, target, number, harm, held, &self.tally).await;
            }
            Target::AllGateways => fault::kill_all_gateways(&self.world, held / 2, &self.tally).await,
            Target::Redis if harm == Harm::Empty => fault::empty_redis(&self.world).await,
            Target::Nats => fault::harm_server(&self.world.servers.nats, harm, held).await,
            Target::Redis => fault::harm_server(&self.world.servers.redis, harm, held).await,
            Target::Postgres => fault::harm_server(&self.world.servers.postgres, harm, held).await,
            Target::Way(way) => fault::harm_way(&self.world, way, harm, held, &mut self.rng).await,
            Target::Sessions => {
                for session in self.sessions.choose_multiple(&mut self.rng, SESSIONS) {
                    if harm == Harm::Race { session.race() } else { session.lose() }
                }
            }
        }
    }
}

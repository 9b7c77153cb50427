//! The event relay: moves events from the outbox into their network's log, and tells the gateways.
//!
//! | module | holds |
//! | --- | --- |
//! | `duty` | what a relay does while its session lives: share, poll, move, tell |
//! | `session` | its one session of PostgreSQL: the partitions' locks and every statement |
//! | `bound` | from where on an outbox is read, and why nothing below can be missed |
//! | `announce`, `heads` | what gateways are told after a move, and each second |
//! | `wakes` | which partitions have something to move |
//! | `chunk` | messages of bounded size |
//!
//! The partitions are spread over however many relays there are; each is held by one, through an advisory lock of the very
//! session that moves its rows (I2). A batch is one statement: the rows leave the outbox, and have their positions, in one
//! commit (I3). After it everything is told once, as well as it goes: a gateway that misses it hears the heads, which are
//! repeated, by the next relay too, for a minute.
//!
//! | metric | what |
//! | --- | --- |
//! | `convene_relay_partitions` | partitions held |
//! | `convene_relay_rows_total`, `convene_relay_batches_total` | moved |
//! | `convene_relay_lag_seconds` | how long the oldest row of a batch had waited |
//! | `convene_relay_waiting_seconds` | how long the oldest row has waited that waits now |
//! | `convene_relay_announcements_lost_total`, `convene_relay_lookups_failed_total` | what the bus or presence did not take |
//! | `convene_relay_refused_total` | times that a partition could not be moved |
//! | `convene_relay_sessions_lost_total` | times that everything was dropped and begun anew |

mod announce;
mod bound;
mod chunk;
mod duty;
mod heads;
mod session;
mod wakes;

use std::{fmt, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};
use shared::{bus::Bus, lifecycle::Shutdown, presence::Presence, telemetry::Outage};
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use duty::{Duty, Interruption};

/// How long to wait after the first failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest time between two attempts. A session that lived longer begins anew with [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Told to drain, a relay that waits for the database or somebody else is given up after so long.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// How often to look whether the bus is back.
const BUS_LOOK_EVERY: Duration = Duration::from_millis(100);

/// The gaps between a relay's steps, in their order. Moving is one statement and has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It has its session, and holds nothing.
    Opened,
    /// It holds partitions that it has told nothing of.
    Locked,
    /// It knows which partitions may have something to move, and has moved nothing of it.
    Chosen,
    /// What it has moved is committed, and nobody is told.
    Committed,
    /// It knows which pods the recipients are on, and nobody is told.
    LookedUp,
    /// The bodies of one network's events are on their way, but not yet that they moved.
    BodiesSent,
    /// All is told but the heads.
    MovesSent,
    /// The heads are told.
    HeadsSent,
}

/// Where a test can stop a relay.
pub trait Hooks: Send + Sync + 'static {
    /// Awaited in each gap, a few times for each batch.
    fn at(&self, _step: Step) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// No test.
#[derive(Clone, Copy, Debug)]
struct NoHooks;

impl Hooks for NoHooks {}

/// A relay.
#[derive(Clone)]
pub struct Relay {
    database: PgConnectOptions,
    bus: Bus,
    presence: Presence,
    hooks: Arc<dyn Hooks>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Relay")
    }
}

impl Relay {
    /// A relay with a session of its own. It must reach PostgreSQL itself: behind a pooler that hands sessions around, its
    /// locks would be another's.
    pub fn new(database: PgConnectOptions, bus: Bus, presence: Presence) -> Self {
        Self { database, bus, presence, hooks: Arc::new(NoHooks) }
    }

    /// For tests.
    #[must_use]
    pub fn with_hooks(self, hooks: impl Hooks) -> Self {
        Self { hooks: Arc::new(hooks), ..self }
    }

    /// Relays until it is to drain, then finishes its batch, gives up all partitions and returns. Whatever fails in between
    /// is tried again.
    pub async fn run(self, shutdown: Shutdown) {
        let given_up = async {
            shutdown.drain.cancelled().await;
            sleep(DRAIN_PATIENCE).await;
        };
        tokio::select! {
            () = shutdown.stop.cancelled() => {}
            () = given_up => {}
            () = self.run_until(&shutdown.drain) => {}
        }
        metrics::gauge!("convene_relay_partitions").set(0.0);
    }

    async fn run_until(&self, drain: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        let outage = Outage::new();
        while !drain.is_cancelled() {
            let begun = Instant::now();
            let Err(interruption) = self.run_once(drain).await else { return };
            metrics::gauge!("convene_relay_partitions").set(0.0);
            metrics::counter!("convene_relay_sessions_lost_total").increment(1);
            if begun.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
                outage.worked();
            }
            if let Some(seconds) = outage.failed(&interruption) {
                tracing::warn!(error = %interruption, seconds, "the relay begins anew");
            }
            tokio::select! {
                () = drain.cancelled() => {}
                () = sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn run_once(&self, drain: &CancellationToken) -> Result<(), Interruption> {
        // Without the bus nobody could be told, and nobody asks.
        while !self.bus.is_connected() {
            tokio::select! {
                () = drain.cancelled() => return Ok(()),
                () = sleep(BUS_LOOK_EVERY) => {}
            }
        }
        Duty::begin(self).await?.run(drain).await
    }
}

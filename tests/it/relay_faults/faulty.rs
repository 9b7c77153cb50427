//! A relay on a thread of its own, which can be halted at a place, and there be killed, stopped or cut off.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use futures::{FutureExt as _, future::BoxFuture};
use harness::{Proxy, Stack, eventually, eventually::PATIENCE};
use shared::{bus::nats::Nats, lifecycle::Shutdown, presence::redis::Redis};
use sqlx::PgConnection;
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use worker::relay::{Hooks, Relay, Step};

/// Where the relay is halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Between two steps.
    At(Step),
    /// In the middle of the statement that moves.
    Moving,
}

/// What the relay's thread and the test share.
#[derive(Debug)]
struct Gate {
    place: Place,
    is_armed: AtomicBool,
    /// A commit was made since it was armed: what is told from then on is news.
    has_moved: AtomicBool,
    reached: Notify,
    go_on: Notify,
}

impl Gate {
    fn is_due(&self, step: Step) -> bool {
        if !self.is_armed.load(Ordering::SeqCst) {
            return false;
        }
        if step == Step::Committed {
            self.has_moved.store(true, Ordering::SeqCst);
        }
        self.place == Place::At(step) && (step < Step::Committed || self.has_moved.load(Ordering::SeqCst))
    }
}

struct Halt(Arc<Gate>);

impl Hooks for Halt {
    fn at(&self, step: Step) -> BoxFuture<'_, ()> {
        async move {
            if self.0.is_due(step) {
                self.0.reached.notify_one();
                self.0.go_on.notified().await;
            }
        }
        .boxed()
    }
}

/// The relay.
pub struct Faulty {
    pub postgres: Proxy,
    pub nats: Proxy,
    gate: Arc<Gate>,
    killed: CancellationToken,
    stopped: Arc<Notify>,
    /// Where the stopped thread waits.
    barrier: Arc<Barrier>,
    is_stopped: AtomicBool,
    thread: JoinHandle<()>,
    database_url: String,
    blocker: Mutex<Option<PgConnection>>,
}

impl Faulty {
    pub async fn start(stack: &Stack, place: Place) -> Self {
        let servers = stack.servers.clone();
        let (postgres, nats) = tokio::join!(Proxy::before(&servers.database_url), Proxy::before(&servers.nats_url));
        let gate = Arc::new(Gate {
            place,
            // What it does at once can not be waited for.
            is_armed: AtomicBool::new(matches!(place, Place::At(Step::Opened | Step::Locked))),
            has_moved: AtomicBool::new(false),
            reached: Notify::new(),
            go_on: Notify::new(),
        });
        let (killed, stopped, barrier) = (CancellationToken::new(), Arc::new(Notify::new()), Arc::new(Barrier::new(2)));
        let thread = std::thread::spawn({
            let (gate, killed, stopped, barrier) = (gate.clone(), killed.clone(), stopped.clone(), barrier.clone());
            let (postgres, nats) = (postgres.url(&servers.database_url), nats.url(&servers.nats_url));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let bus = Nats::connect(&nats, "faulty").expect("a URL");
                    let presence = Redis::connect(&servers.redis_url).expect("a URL");
                    let relay = Relay::new(postgres.parse().expect("a URL"), bus, presence).with_hooks(Halt(gate));
                    // Nothing of this runtime runs while its one thread is held up, as of a process that is stopped.
                    let stops = async {
                        loop {
                            stopped.notified().await;
                            barrier.wait();
                            barrier.wait();
                        }
                    };
                    tokio::select! {
                        () = Box::pin(relay.run(Shutdown::default())) => (),
                        () = stops => (),
                        () = killed.cancelled() => (),
                    }
                });
            }
        });
        let (database_url, is_stopped, blocker) =
            (stack.servers.database_url.clone(), AtomicBool::new(false), Mutex::default());
        Self { postgres, nats, gate, killed, stopped, barrier, is_stopped, thread, database_url, blocker }
    }

    /// From now on it halts at its place.
    pub async fn arm(&self) {
        if self.gate.place == Place::Moving {
            *self.blocker.lock().await = Some(block(&self.database_url).await);
        }
        self.gate.is_armed.store(true, Ordering::SeqCst);
    }

    /// Waits until it is at its place.
    pub async fn reached(&self) {
        if self.gate.place == Place::Moving {
            eventually!(is_moving(&self.database_url).await);
        } else {
            timeout(PATIENCE, self.gate.reached.notified()).await.expect("it comes there");
        }
    }

    /// Lets it go on from its place.
    pub fn go_on(&self) {
        self.gate.go_on.notify_one();
    }

    /// It does not halt any more, and its statement goes on.
    pub async fn disarm(&self) {
        self.gate.is_armed.store(false, Ordering::SeqCst);
        // The lock goes with the connection.
        *self.blocker.lock().await = None;
    }

    /// Kills it where it is: what it has opened is closed.
    pub async fn kill(&self) {
        self.killed.cancel();
        eventually!(self.thread.is_finished());
    }

    /// Stops it where it is: what it has opened stays open.
    pub async fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        self.stopped.notify_one();
        self.meet().await;
    }

    /// Nothing is wrong with it any more; what was killed stays so.
    pub async fn mend(&self) {
        self.postgres.heal();
        self.nats.heal();
        if self.is_stopped.swap(false, Ordering::SeqCst) {
            self.go_on();
            self.meet().await;
        }
    }

    pub async fn end(self) {
        self.kill().await;
        self.thread.join().expect("it has not panicked");
    }

    async fn meet(&self) {
        let barrier = self.barrier.clone();
        tokio::task::spawn_blocking(move || barrier.wait()).await.expect("they meet");
    }
}

async fn connect(url: &str) -> PgConnection {
    use sqlx::Connection as _;
    PgConnection::connect(url).await.expect("the database")
}

/// Lets nobody write the log.
async fn block(url: &str) -> PgConnection {
    let mut blocker = connect(url).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE event_log IN SHARE MODE").execute(&mut blocker).await.expect("a lock");
    blocker
}

/// Whether a relay waits in the middle of its statement.
async fn is_moving(url: &str) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                          AND application_name = 'convene relay' AND wait_event_type = 'Lock')",
    )
    .fetch_one(&mut connect(url).await)
    .await
    .expect("an answer")
}

//! What a run costs, and what did not hold.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// So much of what did not hold is kept: one defect shows in many places.
const MOST_BLAMES: usize = 100;

/// Counts, from everywhere at once.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Figures>);

#[derive(Debug, Default)]
pub(super) struct Figures {
    /// How often each fault happened.
    pub(super) faults: BTreeMap<String, u64>,
    /// Requests that were answered for good.
    pub(super) requests: u64,
    /// How often a request was sent again, by why.
    pub(super) retries: BTreeMap<String, u64>,
    /// How sockets ended.
    pub(super) ends: BTreeMap<String, u64>,
    /// Clients that were told to stop without reason, and did.
    pub(super) stopped: u64,
    /// Upgrades that failed, by why.
    pub(super) refusals: BTreeMap<String, u64>,
    /// The longest that a client waited for the answer that it took.
    pub(super) longest_wait: (Duration, String),
    /// Waits of more than a second.
    pub(super) long_waits: u64,
    /// The most resident memory of a process, in KiB, by kind.
    pub(super) memory: BTreeMap<&'static str, u64>,
    /// What did not hold.
    pub(super) broken: Vec<String>,
}

impl Tally {
    pub(super) fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what did not hold.
    pub(super) fn blame(&self, what: String) {
        let mut figures = self.figures();
        if figures.broken.len() < MOST_BLAMES {
            figures.broken.push(what);
        }
    }

    /// Blames what is still wrong after so long.
    pub(super) async fn hold(&self, patience: Duration, wrong: impl AsyncFn() -> Option<String>) {
        let deadline = Instant::now() + patience;
        while let Some(what) = wrong().await {
            if Instant::now() > deadline {
                return self.blame(format!("after {patience:?}: {what}"));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    pub(super) fn fault(&self, name: String) {
        *self.figures().faults.entry(name).or_default() += 1;
    }

    pub(super) fn retry(&self, why: &str) {
        *self.figures().retries.entry(why.to_owned()).or_default() += 1;
    }

    pub(super) fn end(&self, how: String) {
        *self.figures().ends.entry(how).or_default() += 1;
    }

    /// A client was told to stop, and nothing that it did is a reason.
    pub(super) fn stopped(&self, what: String) {
        self.figures().stopped += 1;
        self.blame(what);
    }

    pub(super) fn refusal(&self, why: String) {
        *self.figures().refusals.entry(why).or_default() += 1;
    }

    pub(super) fn answered(&self, endpoint: &str, waited: Duration) {
        let mut figures = self.figures();
        figures.requests += 1;
        figures.long_waits += u64::from(waited > Duration::from_secs(1));
        if waited > figures.longest_wait.0 {
            figures.longest_wait = (waited, endpoint.to_owned());
        }
    }

    pub(super) fn memory(&self, kind: &'static str, kib: u64) {
        let mut figures = self.figures();
        let most = figures.memory.entry(kind).or_default();
        *most = kib.max(*most);
    }
}

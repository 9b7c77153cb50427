//! What a run was and what it cost, for people.

use std::{fmt, sync::Arc, time::Duration};

use super::{judge::Received, ledger::Ledger, session::Session, tally::Tally};

/// What a run was.
#[derive(Debug)]
pub struct Report {
    /// Draws the same faults again.
    pub seed: u64,
    /// What did not hold; empty when all did.
    pub broken: Vec<String>,
    /// Clients that were told to stop without reason, and did.
    pub stopped: u64,
    /// Where the pods' logs are, when something did not hold.
    pub logs: Option<String>,
    lines: Vec<String>,
}

impl Report {
    pub(super) fn new(
        seed: u64,
        took: Duration,
        settled: Duration,
        tally: &Tally,
        sessions: &[Arc<Session>],
        ledger: &Ledger,
        received: Received,
    ) -> Self {
        let figures = tally.figures();
        let book = ledger.book();
        let (longest, endpoint) = &figures.longest_wait;
        let mut lines = vec![
            format!("took {took:.1?}; the last request was answered {settled:.1?} after all was well again"),
            format!("faults: {}, {:?}", figures.faults.values().sum::<u64>(), figures.faults),
            format!(
                "{} sessions; {} meetings, {} social events with {} sessions acknowledged",
                sessions.len(),
                book.meetings.len(),
                book.events.len(),
                book.sessions.len()
            ),
            format!("requests: {}, sent again: {:?}", figures.requests, figures.retries),
            format!("waits: longest {longest:.1?} ({endpoint}), {} over a second", figures.long_waits),
            format!(
                "sockets: {}, ended {:?}, upgrades that failed {:?}",
                received.sockets, figures.ends, figures.refusals
            ),
            format!("clients that were told to stop without reason: {}", figures.stopped),
            format!("events: {} live, {} replayed, {} resyncs", received.live, received.replayed, received.resyncs),
        ];
        let memory = figures.memory.iter().map(|(kind, kib)| format!("{kind} {} MiB", kib / 1024));
        lines.push(format!("most memory of a process: {}", memory.collect::<Vec<_>>().join(", ")));
        Self { seed, broken: figures.broken.clone(), stopped: figures.stopped, logs: None, lines }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "chaos, seed {}", self.seed)?;
        for line in &self.lines {
            writeln!(f, "  {line}")?;
        }
        for what in &self.broken {
            writeln!(f, "  BROKEN: {what:.600}")?;
        }
        if !self.broken.is_empty() {
            writeln!(f, "  again: cargo bench -p convene-tests -- chaos --seed {} --minutes M", self.seed)?;
        }
        self.logs.iter().try_for_each(|logs| writeln!(f, "  the pods' logs: {logs}"))
    }
}

//! What async-nats' events mean to those who use the bus.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use async_nats::{Event, ServerError, Statistics};
use tokio::sync::watch;

use crate::{
    bus::{subject, waiters::Waiters},
    telemetry::Outage,
};

/// The state of the connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) waiters: Arc<Waiters>,
    pub(super) disturbances: watch::Sender<u64>,
    statistics: OnceLock<Arc<Statistics>>,
    /// How many of the connections that were made are lost.
    lost: AtomicU64,
    refused: Mutex<Refused>,
    connecting: Outage,
    errors: Outage,
    losses: Outage,
}

/// What the server has said no to, in its words.
#[derive(Debug, Default)]
struct Refused {
    /// A subscription of this connection.
    subscription: Option<String>,
    /// A probe or an answer, and how often that counts: what is refused is told apart from what arrives, so that a probe may
    /// not have heard yet what its own message met.
    message: Option<(String, u32)>,
}

impl Link {
    /// Counts connections from here.
    pub(super) fn watch(&self, statistics: Arc<Statistics>) {
        // Only set once.
        let _ = self.statistics.set(statistics);
    }

    /// The number of the newest connection. The first has 1.
    pub(super) fn connection(&self) -> u64 {
        self.statistics.get().map_or(0, |statistics| statistics.connects.load(Ordering::Relaxed))
    }

    /// Takes note of an event.
    ///
    /// async-nats throws events away when 128 of them wait, as they may while a subscription is full. So a loss of the
    /// connection that was not told must come out at the next event of its kind.
    pub(super) fn hear(&self, event: &Event) {
        match event {
            Event::Connected => {
                let connection = self.connection();
                let seconds = self.connecting.worked();
                if seconds.is_some() || connection == 1 {
                    tracing::info!(seconds, "connected to NATS");
                }
                // They are asked for again.
                self.refused().subscription = None;
                self.lost.store(connection.saturating_sub(1), Ordering::Relaxed);
                self.waiters.lose_before(connection);
            }
            Event::Disconnected => {
                if self.connecting.failed("lost").is_some() {
                    tracing::warn!("lost the connection to NATS");
                }
                let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
                self.waiters.lose_before(lost + 1);
            }
            Event::SlowConsumer(_) => {
                metrics::counter!("convene_bus_lost_messages_total").increment(1);
                if self.losses.failed("full").is_some() {
                    tracing::warn!("messages are lost: they arrive faster than they are taken");
                }
            }
            // One for each attempt to connect that failed.
            Event::ClientError(error) => {
                if let Some(seconds) = self.connecting.failed(error) {
                    tracing::warn!(%error, seconds, "NATS is away");
                }
                return;
            }
            Event::ServerError(error) => {
                self.note_refusal(error);
                if self.errors.failed(error).is_some() {
                    tracing::warn!(%error, "NATS reports an error");
                }
                return;
            }
            Event::LameDuckMode | Event::Draining | Event::Closed => return,
        }
        self.disturbances.send_modify(|count| *count += 1);
    }

    /// `Permissions Violation for Publish to "a.b"`, or `… for Subscription to "a.*" using queue "c"`.
    fn note_refusal(&self, error: &ServerError) {
        let ServerError::Other(text) = error else { return };
        let mut refused = self.refused();
        if text.starts_with("Permissions Violation for Subscription") {
            refused.subscription = Some(text.clone());
        } else if text.starts_with("Permissions Violation for Publish")
            && (subject::is_probe(text.trim_end_matches('"')) || text.contains("\"_INBOX."))
        {
            refused.message = Some((text.clone(), 2));
        }
    }

    /// What the server has refused of this connection's subscriptions, as it said so.
    pub(super) fn refused_subscription(&self) -> Option<String> {
        self.refused().subscription.clone()
    }

    /// What the server has refused of probes and answers since the time before the last one.
    pub(super) fn take_refused_message(&self) -> Option<String> {
        let mut refused = self.refused();
        let (text, times) = refused.message.take()?;
        refused.message = (times > 1).then(|| (text.clone(), times - 1));
        Some(text)
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::bus::BusError;

    fn link(connects: u64) -> (Link, Arc<Statistics>) {
        let statistics = Arc::new(Statistics::default());
        statistics.connects.store(connects, Ordering::Relaxed);
        let link = Link::default();
        link.watch(statistics.clone());
        (link, statistics)
    }

    #[test]
    fn a_request_fails_when_its_connection_is_lost_and_not_when_an_older_one_was() {
        let (link, statistics) = link(1);
        link.hear(&Event::Connected);
        let mut first = link.waiters.wait(link.connection(), 1).expect("room");
        // Connected again before anybody heard of the loss.
        statistics.connects.store(2, Ordering::Relaxed);
        let mut second = link.waiters.wait(link.connection(), 1).expect("room");
        link.hear(&Event::Disconnected);
        assert_eq!(first.answer().now_or_never().map(|answer| answer.map(drop)), Some(Err(BusError::Away)));
        link.hear(&Event::Connected);
        assert!(second.answer().now_or_never().is_none());
        link.hear(&Event::Disconnected);
        assert_eq!(second.answer().now_or_never().map(|answer| answer.map(drop)), Some(Err(BusError::Away)));
    }

    #[test]
    fn a_loss_that_was_never_told_comes_out_when_the_connection_is_back() {
        let (link, statistics) = link(1);
        let mut first = link.waiters.wait(link.connection(), 1).expect("room");
        statistics.connects.store(2, Ordering::Relaxed);
        link.hear(&Event::Connected);
        assert_eq!(first.answer().now_or_never().map(|answer| answer.map(drop)), Some(Err(BusError::Away)));
    }

    #[test]
    fn a_refused_subscription_counts_until_the_next_connection() {
        let (link, _) = link(1);
        let refuse = |what: &str| {
            link.hear(&Event::ServerError(ServerError::Other(format!("Permissions Violation for {what}"))));
        };
        refuse(r#"Publish to "rpc.meeting.createMeeting""#);
        assert_eq!((link.refused_subscription(), link.take_refused_message()), (None, None), "a client's own fault");
        refuse(r#"Subscription to "rpc.social.*" using queue "worker.social""#);
        for subject in ["ctl.probe", "_INBOX.abc.0-1"] {
            refuse(&format!("Publish to \"{subject}\""));
            for _ in 0..2 {
                assert!(link.take_refused_message().is_some_and(|said| said.contains(subject)));
            }
        }
        assert_eq!(link.take_refused_message(), None);
        assert!(link.refused_subscription().is_some_and(|said| said.contains("rpc.social.*")));
        link.hear(&Event::Connected);
        assert_eq!(link.refused_subscription(), None);
    }

    #[test]
    fn every_event_after_which_messages_may_be_missing_disturbs() {
        let (link, _) = link(1);
        for event in [Event::Connected, Event::Disconnected, Event::SlowConsumer(7), Event::SlowConsumer(7)] {
            link.hear(&event);
        }
        link.hear(&Event::LameDuckMode);
        assert_eq!(*link.disturbances.borrow(), 4);
    }
}

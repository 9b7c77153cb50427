//! What async-nats' events mean to those who use the bus.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{Event, Statistics};
use tokio::sync::watch;

use crate::bus::waiters::Waiters;

/// Lost messages are logged once in so long.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// The state of the connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) waiters: Arc<Waiters>,
    pub(super) disturbances: watch::Sender<u64>,
    statistics: OnceLock<Arc<Statistics>>,
    /// How many of the connections that were made are lost.
    lost: AtomicU64,
    /// Whether the log says already that there is no connection.
    is_away_logged: AtomicBool,
    loss_logged: Mutex<Option<Instant>>,
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
                tracing::info!("connected to NATS");
                self.is_away_logged.store(false, Ordering::Relaxed);
                let connection = self.connection();
                self.lost.store(connection.saturating_sub(1), Ordering::Relaxed);
                self.waiters.lose_before(connection);
            }
            Event::Disconnected => {
                tracing::warn!("lost the connection to NATS");
                self.is_away_logged.store(true, Ordering::Relaxed);
                let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
                self.waiters.lose_before(lost + 1);
            }
            Event::SlowConsumer(_) => {
                metrics::counter!("convene_bus_lost_messages_total").increment(1);
                let mut logged = self.loss_logged.lock().unwrap_or_else(PoisonError::into_inner);
                if logged.is_none_or(|logged| logged.elapsed() > LOG_PAUSE) {
                    *logged = Some(Instant::now());
                    tracing::warn!("messages are lost: they arrive faster than they are taken");
                }
            }
            // One for each attempt to connect that failed.
            Event::ClientError(error) => {
                if !self.is_away_logged.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "NATS is away");
                }
                return;
            }
            Event::ServerError(error) => {
                tracing::warn!(%error, "NATS reports an error");
                return;
            }
            Event::LameDuckMode | Event::Draining | Event::Closed => return,
        }
        self.disturbances.send_modify(|count| *count += 1);
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
    fn every_event_after_which_messages_may_be_missing_disturbs() {
        let (link, _) = link(1);
        for event in [Event::Connected, Event::Disconnected, Event::SlowConsumer(7), Event::SlowConsumer(7)] {
            link.hear(&event);
        }
        link.hear(&Event::LameDuckMode);
        assert_eq!(*link.disturbances.borrow(), 4);
    }
}

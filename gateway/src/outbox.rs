//! What waits to be written to one socket: bounded in bytes, in order, and ended in exactly one way.
//!
//! | metric | counts |
//! | --- | --- |
//! | `convene_outbox_bytes` | what waits for all sockets together; a frame that waits for several is counted for each, and lies in memory once |

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use metrics::gauge;
use shared::{api::Close, telemetry::Hop};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// How a socket ends. The first one that is set stands; only [`Ending::Now`] overtakes [`Ending::WhenIdle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Read no more, answer what is in flight, write what is queued, then close.
    WhenIdle(Close),
    /// Drop what is queued, say why, close.
    Now(Close),
}

/// A message to be written.
#[derive(Debug)]
pub struct Frame {
    /// What is written.
    pub text: Utf8Bytes,
    /// Its delivery, when a trace is kept of it: over when the frame is dropped, which is when it was written.
    delivery: Option<Box<Hop>>,
}

impl Frame {
    /// A frame whose way is traced.
    pub fn traced(text: Utf8Bytes, delivery: Option<Hop>) -> Self {
        Self { text, delivery: delivery.map(Box::new) }
    }

    fn len(&self) -> usize {
        self.text.len()
    }
}

/// Frames are equal that say the same.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Frame {}

impl From<Utf8Bytes> for Frame {
    fn from(text: Utf8Bytes) -> Self {
        Self { text, delivery: None }
    }
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write this.
    Frame(Frame),
    /// Ask the client for a sign of life.
    Ping,
    /// Answer the client's ping, which said this.
    Pong(Bytes),
    /// Nothing, until something changes.
    Empty,
    /// End the socket.
    End(Ending),
}

/// The send queue of one socket. Whoever has something to say pushes; one writer takes.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    /// Something was pushed or the ending was set: the writer looks again.
    pushed: Notify,
    /// The queue fell below half of its limit, or is empty: catching up goes on.
    fell: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    is_ping_due: bool,
    /// The newest ping of the client. Older ones need no answer (RFC 6455, 5.5.3), so any number of them takes one place.
    pong: Option<Bytes>,
    ending: Option<Ending>,
}

impl Outbox {
    /// An empty queue that takes `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { queue: Mutex::default(), pushed: Notify::new(), fell: Notify::new(), limit }
    }

    /// Queues frames in this order. When one does not fit, the socket ends with [`Close::SlowConsumer`]: a queue that skipped
    /// would break the order that events promise. Frames for a socket that is ending at once are dropped.
    pub fn push(&self, frames: impl IntoIterator<Item = impl Into<Frame>>) {
        let mut queue = self.lock();
        for frame in frames.into_iter().map(Into::into) {
            if matches!(queue.ending, Some(Ending::Now(_))) {
                return;
            }
            // A frame larger than the limit still goes to a client that reads: into the empty queue.
            if queue.bytes + frame.len() > self.limit && !queue.frames.is_empty() {
                queue.end_now(Close::SlowConsumer);
                break;
            }
            queue.bytes += frame.len();
            gauge!("convene_outbox_bytes").increment(frame.len() as f64);
            queue.frames.push_back(frame);
        }
        drop(queue);
        self.pushed.notify_one();
    }

    /// Asks for a ping to be written, before what is queued: a client that reads slowly still answers it.
    pub fn ping(&self) {
        self.lock().is_ping_due = true;
        self.pushed.notify_one();
    }

    /// Has the client's ping answered, before what is queued.
    pub fn pong(&self, said: Bytes) {
        self.lock().pong = Some(said);
        self.pushed.notify_one();
    }

    /// Ends the socket.
    pub fn end(&self, ending: Ending) {
        let mut queue = self.lock();
        match (queue.ending, ending) {
            (Some(Ending::Now(_)), _) | (Some(_), Ending::WhenIdle(_)) => return,
            (_, Ending::Now(close)) => queue.end_now(close),
            (None, Ending::WhenIdle(_)) => queue.ending = Some(ending),
        }
        drop(queue);
        self.pushed.notify_one();
        self.fell.notify_waiters();
    }

    /// How the socket is ending, if it is.
    pub fn ending(&self) -> Option<Ending> {
        self.lock().ending
    }

    /// How many bytes can be queued before the socket is a slow consumer.
    pub fn room(&self) -> usize {
        let queue = self.lock();
        self.limit.saturating_sub(queue.bytes)
    }

    /// What to do next, without waiting. An idle ending comes only after the last queued frame.
    pub fn take(&self) -> Next {
        let mut queue = self.lock();
        if let Some(ending @ Ending::Now(_)) = queue.ending {
            return Next::End(ending);
        }
        if std::mem::take(&mut queue.is_ping_due) {
            return Next::Ping;
        }
        if let Some(said) = queue.pong.take() {
            return Next::Pong(said);
        }
        let Some(frame) = queue.frames.pop_front() else {
            // An idle socket keeps no room for the frames of its busiest moment.
            if queue.frames.capacity() > 16 {
                queue.frames = VecDeque::new();
            }
            return queue.ending.map_or(Next::Empty, Next::End);
        };
        let above_half = queue.bytes > self.limit / 2;
        queue.bytes -= frame.len();
        gauge!("convene_outbox_bytes").decrement(frame.len() as f64);
        if (above_half && queue.bytes <= self.limit / 2) || queue.frames.is_empty() {
            self.fell.notify_waiters();
        }
        Next::Frame(frame)
    }

    /// Returns when there may be something to do. Cancel safe; for the one writer.
    pub async fn changed(&self) {
        self.pushed.notified().await;
    }

    /// Returns when the socket is ending at once: whatever is being written need not be waited for.
    pub async fn ended_now(&self) {
        loop {
            if matches!(self.ending(), Some(Ending::Now(_))) {
                return;
            }
            self.pushed.notified().await;
        }
    }

    /// Returns when less than half of the limit is queued, or the socket is ending.
    pub async fn below_half(&self) {
        self.until(|queue| queue.bytes <= self.limit / 2).await;
    }

    /// Returns when a frame of so many bytes has room, or the socket is ending.
    pub async fn room_for(&self, bytes: usize) {
        self.until(|queue| queue.bytes + bytes <= self.limit || queue.frames.is_empty()).await;
    }

    /// Returns when this holds or the socket is ending. Looks again when the queue falls below half and when it is empty.
    async fn until(&self, holds: impl Fn(&Queue) -> bool) {
        loop {
            let fell = self.fell.notified();
            let mut fell = std::pin::pin!(fell);
            // Registered before looking: a fall between the two is not missed.
            fell.as_mut().enable();
            {
                let queue = self.lock();
                if holds(&queue) || queue.ending.is_some() {
                    return;
                }
            }
            fell.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn end_now(&mut self, close: Close) {
        self.ending = Some(Ending::Now(close));
        self.forget();
    }

    fn forget(&mut self) {
        gauge!("convene_outbox_bytes").decrement(self.bytes as f64);
        for Frame { delivery, .. } in std::mem::take(&mut self.frames) {
            if let Some(delivery) = delivery {
                delivery.fail("the socket ended first");
            }
        }
        self.bytes = 0;
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Frame {
        Utf8Bytes::from_static(text).into()
    }

    fn frame(bytes: usize) -> Utf8Bytes {
        "x".repeat(bytes).into()
    }

    #[test]
    fn frames_come_out_in_the_order_in_which_they_were_pushed() {
        let outbox = Outbox::new(100);
        outbox.push([text("a"), text("b")]);
        outbox.push([text("c")]);
        let taken: Vec<Next> = (0..4).map(|_| outbox.take()).collect();
        assert_eq!(taken, [Next::Frame(text("a")), Next::Frame(text("b")), Next::Frame(text("c")), Next::Empty]);
    }

    #[test]
    fn a_full_queue_ends_the_socket_and_never_skips() {
        let outbox = Outbox::new(100);
        outbox.push([frame(60)]);
        outbox.push([frame(41)]);
        outbox.push([frame(1)]);
        assert_eq!(outbox.take(), Next::End(Ending::Now(Close::SlowConsumer)));
    }

    #[test]
    fn a_frame_over_the_limit_passes_through_an_empty_queue() {
        let outbox = Outbox::new(100);
        outbox.push([frame(500)]);
        assert_eq!(outbox.take(), Next::Frame(frame(500).into()));
    }

    #[test]
    fn an_idle_ending_waits_for_the_queue_and_is_overtaken_by_one_at_once() {
        let outbox = Outbox::new(100);
        outbox.push([text("a")]);
        outbox.end(Ending::WhenIdle(Close::GoingAway));
        outbox.push([text("b")]);
        assert_eq!(outbox.take(), Next::Frame(text("a")));
        outbox.end(Ending::Now(Close::Replaced));
        outbox.end(Ending::Now(Close::Expired));
        assert_eq!(outbox.take(), Next::End(Ending::Now(Close::Replaced)));
    }

    #[tokio::test]
    async fn whoever_waits_for_half_is_woken_by_the_writer_and_by_the_end() {
        let outbox = std::sync::Arc::new(Outbox::new(100));
        outbox.push([frame(40), frame(40)]);
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.below_half().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        outbox.take();
        waiting.await.expect("woken by the writer");

        outbox.push([frame(60)]);
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.below_half().await }
        });
        tokio::task::yield_now().await;
        outbox.end(Ending::Now(Close::Replaced));
        waiting.await.expect("woken by the end");
    }

    #[tokio::test]
    async fn a_frame_of_more_than_half_waits_for_its_room_and_one_over_the_limit_for_an_empty_queue() {
        for (large, left_when_woken) in [(70, 1), (500, 0)] {
            let outbox = std::sync::Arc::new(Outbox::new(100));
            outbox.push([frame(40), frame(30), frame(25)]);
            let waiting = tokio::spawn({
                let outbox = outbox.clone();
                async move { outbox.room_for(large).await }
            });
            for left in (left_when_woken..3).rev() {
                tokio::task::yield_now().await;
                assert!(!waiting.is_finished(), "{large}: {left}");
                outbox.take();
            }
            waiting.await.expect("woken");
            outbox.push([frame(large)]);
            assert_eq!(outbox.ending(), None);
        }
    }

    #[test]
    fn of_many_pings_the_newest_is_answered_before_what_is_queued() {
        let outbox = Outbox::new(100);
        outbox.push([text("a")]);
        outbox.pong(Bytes::from_static(b"1"));
        outbox.pong(Bytes::from_static(b"2"));
        assert_eq!(outbox.take(), Next::Pong(Bytes::from_static(b"2")));
        assert_eq!(outbox.take(), Next::Frame(text("a")));
    }
}

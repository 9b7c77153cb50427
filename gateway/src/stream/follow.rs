//! The one task of a stream: receives what moved, fetches what did not come, and is the only one to move the stream on.
//!
//! Nothing of what it receives has to arrive. A move that came fast spares a read; a head that is ahead of what was applied
//! for longer than [`GRACE`] causes one. The epoch changes only by an answer to this task's own question, so that answers
//! that overtake each other can not bring an old epoch back.
//!
//! A server may forget a subscription without a word. Events still come then, by the heads and from the log, late and one
//! read each. So a stream that had to read [`UNTOLD`] times in a row what nobody had told it of subscribes anew.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use metrics::counter;
use shared::{
    bus::{Subject, Subscription},
    internal::{Moved, ReadHeads, ReadRange},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Feed, Signal, Stream, Streams};

/// How long a body or a move that is under way is waited for before the log is read.
const GRACE: Duration = Duration::from_millis(60);

/// How long a question may take. The stream stands still meanwhile, so a worker that hangs must not hold it for as long as a
/// client would wait: the next question goes to another one.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait after a question that nobody answered.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How often a stream looks whether anybody is left on it.
const LINGER: Duration = Duration::from_secs(30);

/// So many reads in a row of positions that were not told: once or twice a relay may have died before it told, or what it
/// told came before this stream listened.
const UNTOLD: u32 = 3;

/// Follows a network until nobody is on it, or the pod stops.
pub(super) async fn run(streams: Arc<Streams>, stream: Arc<Stream>, inbox: mpsc::Receiver<Signal>) {
    let stop = streams.stop.clone();
    let follower = Follower { streams, stream, inbox, fetch_at: None, ask_at: Some(Instant::now()), untold: 0 };
    stop.run_until_cancelled(follower.run()).await;
}

struct Follower {
    streams: Arc<Streams>,
    stream: Arc<Stream>,
    inbox: mpsc::Receiver<Signal>,
    /// When what is missing is no longer waited for but read.
    fetch_at: Option<Instant>,
    /// When to ask for the head and the epoch.
    ask_at: Option<Instant>,
    /// Reads in a row of positions that no move had told of.
    untold: u32,
}

impl Follower {
    async fn run(mut self) {
        let mut disturbances = self.streams.bus.disturbances();
        let mut linger = tokio::time::interval(LINGER);
        linger.reset();
        let mut moves = self.subscribe().await;
        loop {
            let fetch_at = self.fetch_at.unwrap_or_else(Instant::now);
            let ask_at = self.ask_at.unwrap_or_else(Instant::now);
            tokio::select! {
                // In this order, so that a schedule of a test repeats. The first three are never due again at once but for
                // something that came after them, and what the last one lacks meanwhile is read from the log.
                biased;
                _ = linger.tick() => {
                    if self.streams.remove_if_unused(&self.stream) {
                        return;
                    }
                    self.stream.lock().trim_ring(Instant::now());
                }
                () = sleep_until(ask_at), if self.ask_at.is_some() => self.ask().await,
                () = sleep_until(fetch_at), if self.fetch_at.is_some() => self.fetch().await,
                _ = disturbances.changed() => self.ask_at = Some(Instant::now()),
                Some(signal) = self.inbox.recv() => self.heed(signal),
                message = moves.next() => match message.map(|message| serde_json::from_slice::<Moved>(&message.payload)) {
                    Some(Ok(moved)) => self.receive(moved),
                    Some(Err(error)) => tracing::error!(%error, "a move could not be read"),
                    None => moves = self.subscribe().await,
                },
            }
            if self.untold >= UNTOLD {
                self.untold = 0;
                tracing::info!(network = %self.stream.network, "subscribing to a network's events anew");
                Feed::Moves.count_renewal();
                moves = self.subscribe().await;
            }
            self.advance();
        }
    }

    /// Subscribes to what moves. Whatever moved before is asked for.
    async fn subscribe(&mut self) -> Subscription {
        loop {
            let subject = Subject::events(&self.stream.network);
            match self.streams.bus.subscribe(subject).await {
                Ok(moves) => {
                    // Asked before the bus knows of the subscription, an event could fall between the two.
                    let _ = self.streams.bus.flush().await;
                    self.ask_at = Some(Instant::now());
                    return moves;
                }
                Err(error) => self.streams.log_not_subscribed(&error),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    fn receive(&mut self, moved: Moved) {
        self.untold = 0;
        let mut log = self.stream.lock();
        if *moved.epoch == **log.epoch() {
            self.stream.arrived.moves.fetch_max(moved.to, Ordering::Relaxed);
            log.add_move(moved);
        } else {
            self.ask_at = Some(Instant::now());
        }
    }

    fn heed(&mut self, signal: Signal) {
        let mut log = self.stream.lock();
        match signal {
            Signal::Renew => self.untold = UNTOLD,
            Signal::Bodies => {}
            Signal::Head(epoch, head) if *epoch == **log.epoch() => log.note_head(head),
            Signal::Head(..) | Signal::Ask => self.ask_at = Some(Instant::now()),
        }
    }

    /// Applies what can be, and notes until when the rest is waited for.
    fn advance(&mut self) {
        let now = Instant::now();
        let mut log = self.stream.lock();
        let before = log.seen();
        log.advance(now);
        self.fetch_at = match (log.missing(), self.fetch_at) {
            (None, _) => None,
            (Some(_), Some(at)) if log.seen() == before => Some(at),
            (Some(_), _) => Some(now + GRACE),
        };
    }

    /// Asks for the head and the epoch.
    async fn ask(&mut self) {
        self.ask_at = None;
        let question = ReadHeads { networks: vec![self.stream.network.clone()] };
        match self.streams.workers.ask_within(PATIENCE, &question).await {
            Ok(heads) => {
                if let Some(head) = heads.heads.into_iter().next() {
                    let mut log = self.stream.lock();
                    if *head.epoch == **log.epoch() {
                        log.note_head(head.head);
                    } else {
                        tracing::info!(network = %self.stream.network, "the network began a new epoch");
                        log.restart(head.epoch.into(), head.head);
                    }
                }
                self.stream.epoch_read.send_modify(|times| *times += 1);
            }
            Err(error) => {
                tracing::debug!(%error, "no answer about a network's head");
                self.ask_at = Some(Instant::now() + ASK_AGAIN);
            }
        }
    }

    /// Reads what is missing from the log.
    async fn fetch(&mut self) {
        let (missing, is_told) = {
            let log = self.stream.lock();
            (log.missing(), log.is_told())
        };
        let Some((after, through)) = missing else { return };
        if !is_told {
            self.untold += 1;
        }
        counter!("convene_event_range_reads_total").increment(1);
        let question = ReadRange { network: self.stream.network.clone(), after, through };
        let answer = {
            let _permit = self.streams.reads.acquire().await;
            self.streams.workers.ask_within(PATIENCE, &question).await
        };
        let now = Instant::now();
        let mut log = self.stream.lock();
        match answer {
            Ok(range) if *range.epoch != **log.epoch() => self.ask_at = Some(now),
            Ok(range) if range.trimmed > log.seen() => {
                tracing::warn!(network = %self.stream.network, "the log was trimmed beyond this pod's place");
                log.skip_to(range.trimmed);
            }
            Ok(range) if range.events.is_empty() => log.forget_target(),
            Ok(range) => {
                log.apply_range(range.events, now);
                self.fetch_at = Some(now);
            }
            Err(error) => {
                tracing::debug!(%error, "no answer about a range of events");
                self.fetch_at = Some(now + ASK_AGAIN);
            }
        }
    }
}

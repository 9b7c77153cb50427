//! A session that does as the contract tells clients: it keeps a socket, connects again with its newest `lastEventId` after
//! a growing random pause, and sends a request again, with the same `event.id`, until it is answered.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{Rng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    leg::{Answer, End, Leg, News, position},
    tally::Tally,
    world::{Who, World},
};
use crate::{
    client::{Connect, NotOpened, is_final},
    token::token,
};

/// The contract's 5 s and a minute, shorter so that a run has many connections.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(4)];

/// A request is sent again after so long at most.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// An upgrade that is not answered for so long is given up.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(8);

/// A request that is not answered for so long: the socket is given up.
const ANSWER_PATIENCE: Duration = Duration::from_secs(12);

#[derive(Debug)]
pub(super) struct Session {
    pub(super) user: String,
    pub(super) network: String,
    pub(super) sid: String,
    token: String,
    world: Arc<World>,
    pub(super) tally: Arc<Tally>,
    state: Mutex<State>,
    /// A socket has become ready, or has ended.
    changed: watch::Sender<()>,
    racing: Notify,
    leaving: CancellationToken,
    /// It was told to stop, and connects no more.
    stopped: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    legs: Vec<Arc<Leg>>,
    /// When each upgrade was answered or given up; `None`: it still waits.
    attempts: Vec<Option<Instant>>,
    newest: Option<String>,
}

impl Session {
    pub(super) fn new(world: &Arc<World>, who: &Who, tally: Arc<Tally>) -> Arc<Self> {
        Arc::new(Self {
            user: who.user.clone(),
            network: who.network.to_owned(),
            sid: who.sid.clone(),
            token: token(&who.user, who.network, &who.sid),
            world: world.clone(),
            tally,
            state: Mutex::default(),
            changed: watch::Sender::default(),
            racing: Notify::new(),
            leaving: CancellationToken::new(),
            stopped: CancellationToken::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every socket that it had, in the order of their opening.
    pub(super) fn legs(&self) -> Vec<Arc<Leg>> {
        self.state().legs.clone()
    }

    /// Those that are open.
    pub(super) fn open_legs(&self) -> Vec<Arc<Leg>> {
        self.state().legs.iter().filter(|leg| leg.is_open()).cloned().collect()
    }

    /// Opens two sockets at once, on two pods, beside the one that it has.
    pub(super) fn race(&self) {
        self.racing.notify_one();
    }

    /// Loses its sockets without a word to the gateway.
    pub(super) fn lose(&self) {
        for leg in self.open_legs() {
            leg.abandon();
        }
    }

    /// Stops it without reason: it goes no further, as the contract asks of it, and that is what did not hold.
    fn stop(&self, why: &str) {
        if !self.has_stopped() {
            self.tally.stopped(format!("{self}: stops for good: {why}"));
            self.stopped.cancel();
        }
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.is_cancelled()
    }

    /// Returns when it was told to stop.
    pub(super) async fn stops(&self) {
        self.stopped.cancelled().await;
    }

    /// Ends it.
    pub(super) fn leave(&self) {
        self.leaving.cancel();
    }

    /// Keeps a socket until it [leaves](Session::leave) or is told to stop.
    pub(super) async fn keep(self: Arc<Self>, mut rng: StdRng) {
        let mut bound = PAUSES[0];
        let mut changes = self.changed.subscribe();
        while !self.leaving.is_cancelled() && !self.has_stopped() {
            let mut gateways: Vec<usize> = (0..self.world.stack.gateways.len()).collect();
            gateways.shuffle(&mut rng);
            let opened = self.clone().open(gateways[0]).await;
            let mut was_welcome = false;
            while opened.is_ok() {
                changes.mark_unchanged();
                let open = self.open_legs();
                was_welcome |= open.iter().any(|leg| leg.is_ready());
                if open.is_empty() {
                    break;
                }
                tokio::select! {
                    _ = changes.changed() => (),
                    () = self.racing.notified() => {
                        let _ = tokio::join!(self.clone().open(gateways[0]), self.clone().open(gateways[1]));
                    }
                    () = self.leaving.cancelled() => return self.lose(),
                }
            }
            if was_welcome {
                bound = PAUSES[0];
            }
            let pause = rng.random_range(Duration::ZERO..=bound).max(opened.err().unwrap_or_default());
            bound = PAUSES[1].min(bound * 2);
            sleep(pause).await;
        }
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// It was not opened, and not before so long it is to be tried again.
    async fn open(self: Arc<Self>, gateway: usize) -> Result<(), Duration> {
        let asked = Instant::now();
        let (attempt, newest) = {
            let mut state = self.state();
            state.attempts.push(None);
            (state.attempts.len() - 1, state.newest.clone())
        };
        let mut connect = Connect::to(self.world.stack.gateways[gateway].public).token(&self.token);
        if let Some(id) = &newest {
            connect = connect.last_event_id(id);
        }
        let upgraded = timeout(UPGRADE_PATIENCE, connect.upgrade()).await;
        self.state().attempts[attempt] = Some(Instant::now());
        let socket = match upgraded {
            Ok(Ok(socket)) => socket,
            Ok(Err(NotOpened::Refused(refused))) => {
                self.tally.refusal(refused.status.to_string());
                match refused.status {
                    503 => (),
                    401 => self.stop(&format!("the upgrade was answered {refused:?}")),
                    _ => self.tally.blame(format!("{self}: the upgrade was answered {refused:?}")),
                }
                let seconds = refused.retry_after.and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
                return Err(Duration::from_secs(seconds));
            }
            Ok(Err(NotOpened::Broken(_))) => {
                self.tally.refusal("broken".to_owned());
                return Err(Duration::ZERO);
            }
            Err(_) => {
                self.tally.refusal("silent".to_owned());
                return Err(Duration::ZERO);
            }
        };
        let (leg, requests) = Leg::new(gateway, asked, newest);
        let leg = Arc::new(leg);
        self.state().legs.push(leg.clone());
        tokio::spawn(async move {
            let ended = leg.run(socket, requests, |news| self.hear(news)).await;
            self.ended(&leg, ended);
        });
        Ok(())
    }

    fn hear(&self, news: News) {
        match news {
            News::Welcome => drop(self.changed.send(())),
            News::Event(seen, id) => {
                let mut state = self.state();
                if state.newest.as_deref().is_none_or(|newest| position(newest).1 < seen.position) {
                    state.newest = Some(id);
                }
            }
        }
    }

    fn ended(&self, leg: &Leg, ended: Result<End, String>) {
        let (asked, told) = {
            let record = leg.record();
            (record.asked, record.told)
        };
        match ended {
            Err(error) => self.tally.blame(format!("{self}: a frame could not be read: {error}")),
            Ok(End::Closed(4501)) => {
                self.tally.end("4501".to_owned());
                // An upgrade that was over before this one was asked for is no newer one.
                let attempts = &self.state().attempts;
                let newer = attempts.iter().filter(|ended| ended.is_none_or(|ended| ended > asked)).count();
                if newer < 2 {
                    self.stop("told 4501 although nobody opened a newer socket");
                }
                if told != Some(4501) {
                    self.tally.blame(format!("{self}: closed with 4501 but told {told:?}"));
                }
            }
            Ok(End::Closed(code)) => {
                self.tally.end(code.to_string());
                if is_final(Some(code)) {
                    self.stop(&format!("closed with {code}"));
                } else if ![1012, 4008, 4010].contains(&code) {
                    self.tally.blame(format!("{self}: closed with {code}"));
                }
            }
            Ok(how) => self.tally.end(format!("{how:?}").to_lowercase()),
        }
        let _ = self.changed.send(());
    }

    /// A socket that takes requests: the one that was opened last.
    async fn leg(&self) -> Arc<Leg> {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            let ready = self.state().legs.iter().rev().find(|leg| leg.is_ready()).cloned();
            if let Some(leg) = ready {
                return leg;
            }
            // Its sender is here.
            let _ = changes.changed().await;
        }
    }

    /// Sends a request until it is answered by something else than "not now".
    pub(super) async fn request(&self, endpoint: &str, data: &Value, event_id: Option<&str>) -> Answer {
        let begun = Instant::now();
        let mut bound = Duration::from_millis(100);
        loop {
            let leg = self.leg().await;
            match timeout(ANSWER_PATIENCE, leg.ask(endpoint, data, event_id).await).await {
                Ok(Ok(answer)) if [503, 504, 705].contains(&answer.code) => {
                    self.tally.retry(&answer.code.to_string());
                    let pause = rand::rng().random_range(Duration::ZERO..=bound);
                    bound = LONGEST_RETRY.min(bound * 2);
                    sleep(pause).await;
                }
                Ok(Ok(answer)) => {
                    self.tally.answered(endpoint, begun.elapsed());
                    return answer;
                }
                Ok(Err(_)) => self.tally.retry("the socket broke"),
                Err(_) => {
                    self.tally.retry("no answer");
                    leg.abandon();
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// Sends a request once and does not wait for an answer.
    pub(super) async fn fling(&self, endpoint: &str, data: &Value, event_id: &str) {
        drop(self.leg().await.ask(endpoint, data, Some(event_id)).await);
    }
}

impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, sid, .. } = self;
        write!(f, "{network}/{sid}")
    }
}

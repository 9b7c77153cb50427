//! What a session does: one thing after the other, drawn at random, each until it is answered.

mod meetings;
mod social;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    ledger::Ledger,
    leg::Answer,
    session::Session,
    world::{self, Who},
};

/// Pause between two things.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(30)..Duration::from_millis(500);

/// So many answers are kept to be asked for again.
const REMEMBERED: usize = 30;

/// Of so many changes one is sent twice at the same time.
const DOUBLED: u32 = 12;

/// Of so many creations one is sent and not waited for.
const FLUNG: u32 = 25;

pub(super) struct Hand {
    session: Arc<Session>,
    who: Who,
    ledger: Arc<Ledger>,
    rng: StdRng,
    changes: u64,
    done: VecDeque<Done>,
}

/// A change that was acknowledged, to be asked for again.
struct Done {
    event_id: String,
    endpoint: &'static str,
    data: Value,
    answer: Answer,
}

impl Hand {
    pub(super) fn new(session: Arc<Session>, who: Who, ledger: Arc<Ledger>, rng: StdRng) -> Self {
        Self { session, who, ledger, rng, changes: 0, done: VecDeque::new() }
    }

    /// What is there from the start: a meeting with everyone, and events with few places.
    pub(super) async fn prepare(&mut self) {
        if self.who.is_manager && self.who.is_first {
            let everyone = self.others();
            self.create_meeting(everyone).await;
            for limit in [2, 4] {
                self.create_event(limit).await;
            }
            for _ in 0..4 {
                self.create_session().await;
            }
        }
    }

    /// Works until told to stop, and finishes what it began.
    pub(super) async fn work(mut self, until: CancellationToken) {
        loop {
            tokio::select! {
                () = until.cancelled() => return,
                () = sleep(self.rng.random_range(PAUSE)) => (),
            }
            let what = self.rng.random_range(0..100);
            match what {
                0..14 => {
                    let others = self.others();
                    let count = self.rng.random_range(1..=3);
                    let invited = others.choose_multiple(&mut self.rng, count).cloned().collect();
                    self.create_meeting(invited).await;
                }
                14..34 => self.update_meeting().await,
                34..37 => self.delete_meeting().await,
                37..42 => self.read_meeting().await,
                42..47 => self.ask_again().await,
                47..51 => self.create_session().await,
                51..58 => self.update_session().await,
                58..59 => self.delete_session().await,
                59..60 if self.who.is_manager => self.create_event(3).await,
                _ if !self.who.is_first => (),
                60..78 => self.answer_meeting().await,
                _ => self.join_or_decline().await,
            }
        }
    }

    /// The other users of the network.
    fn others(&self) -> Vec<String> {
        world::users(self.who.network).into_iter().filter(|user| *user != self.who.user).collect()
    }

    fn blame(&self, what: &str) {
        self.session.tally.blame(format!("{}: {what}", self.session));
    }

    fn next_id(&mut self) -> String {
        self.changes += 1;
        format!("{}-{}", self.who.sid, self.changes)
    }

    /// A request for a change, done once; now and then in two copies at the same time. The code is 0 or one of `allowed`.
    async fn change(&mut self, endpoint: &'static str, data: Value, allowed: &[u64]) -> Answer {
        let event_id = self.next_id();
        let ask = || self.session.request(endpoint, &data, Some(&event_id));
        let answer = if self.rng.random_ratio(1, DOUBLED) {
            let (one, other) = tokio::join!(ask(), ask());
            if one.code == 0 && other.code == 0 && one != other {
                self.blame(&format!("two copies of {endpoint} {event_id} were answered {one:?} and {other:?}"));
            }
            // What failed has changed nothing, and its copy is done afresh.
            if one.code == 0 { one } else { other }
        } else {
            ask().await
        };
        if answer.code != 0 && !allowed.contains(&answer.code) {
            self.blame(&format!("{endpoint} {data} was answered {answer:?}"));
        }
        if answer.code == 0 {
            self.done.push_back(Done { event_id, endpoint, data, answer: answer.clone() });
            let surplus = self.done.len().saturating_sub(REMEMBERED);
            self.done.drain(..surplus);
        }
        answer
    }

    /// Asks for a creation, of an object with this mark; now and then without waiting, which is `None`.
    async fn create(&mut self, mark: &str, endpoint: &'static str, data: Value) -> Option<Answer> {
        let key = (self.who.network.to_owned(), mark.to_owned());
        self.ledger.book().created.insert(key.clone(), false);
        if self.rng.random_ratio(1, FLUNG) {
            let event_id = self.next_id();
            self.session.fling(endpoint, &data, &event_id).await;
            return None;
        }
        let answer = self.change(endpoint, data, &[]).await;
        if answer.code != 0 {
            return None;
        }
        self.ledger.book().created.insert(key, true);
        Some(answer)
    }

    /// A mark that no other object has.
    fn mark(&mut self) -> String {
        self.changes += 1;
        format!("mark-{}-{}", self.who.sid, self.changes)
    }

    /// An old change is asked for again: the same answer comes.
    async fn ask_again(&mut self) {
        if self.done.is_empty() {
            return;
        }
        let Done { event_id, endpoint, data, answer } = &self.done[self.rng.random_range(0..self.done.len())];
        let again = self.session.request(endpoint, data, Some(event_id)).await;
        if again != *answer {
            self.blame(&format!("{endpoint} {event_id} was answered {answer:?}, and when asked again {again:?}"));
        }
    }
}

//! Requests that wait for their answers, as both engines keep them (invariant I11).
//!
//! A request takes a slot and the slot's next number; both stand in the token that its answer must bring. A number is never
//! used again, so that an answer which comes too late finds nobody, instead of the request that has the slot by then.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot};

use super::{BusError, MOST_WAITING, Message};

/// What a waiting request hears.
pub(super) type Answer = Result<Message, BusError>;

/// A connection's waiting requests, [`MOST_WAITING`] at most.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    /// Which of the engine's connections the request went out on.
    connection: u64,
    waiter: Option<Waiter>,
}

#[derive(Debug)]
enum Waiter {
    One(oneshot::Sender<Answer>),
    Many(mpsc::Sender<Answer>),
}

/// Names one request of this process for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    slot: u32,
    number: u64,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.slot, self.number)
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (slot, number) = text.split_once('-').ok_or(())?;
        let slot = u32::from_str_radix(slot, 16).map_err(drop)?;
        let number = u64::from_str_radix(number, 16).map_err(drop)?;
        Ok(Self { slot, number })
    }
}

/// One waiting request. Dropping it gives its slot back.
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Arc<Waiters>,
    pub(super) token: Token,
    answers: Answers,
}

/// A channel for many costs kilobytes, and nearly every request is answered once.
#[derive(Debug)]
enum Answers {
    One(Option<oneshot::Receiver<Answer>>),
    Many(mpsc::Receiver<Answer>),
}

impl Waiters {
    /// Makes room for a request that goes out on that connection and is answered at most `answers` times.
    ///
    /// # Errors
    /// [`BusError::Away`] when too many are waiting.
    pub(super) fn wait(self: &Arc<Self>, connection: u64, answers: usize) -> Result<Waiting, BusError> {
        let (waiter, answers) = if answers > 1 {
            let (sender, receiver) = mpsc::channel(answers);
            (Waiter::Many(sender), Answers::Many(receiver))
        } else {
            let (sender, receiver) = oneshot::channel();
            (Waiter::One(sender), Answers::One(Some(receiver)))
        };
        let token = self.lock().take(connection, waiter).ok_or(BusError::Away)?;
        Ok(Waiting { waiters: self.clone(), token, answers })
    }

    /// Hands an answer to the request that it is for, if that still waits.
    pub(super) fn answer(&self, token: &str, answer: Answer) {
        let Ok(Token { slot, number }) = token.parse() else { return };
        let mut table = self.lock();
        if let Some(slot) = table.slots.get_mut(slot as usize).filter(|slot| slot.number == number) {
            slot.tell(answer);
        }
    }

    /// Tells the requests that went out on a connection before this one that it is lost.
    pub(super) fn lose_before(&self, connection: u64) {
        for slot in self.lock().slots.iter_mut().filter(|slot| slot.connection < connection) {
            slot.tell(Err(BusError::Away));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn tell(&mut self, answer: Answer) {
        match self.waiter.take() {
            Some(Waiter::One(waiter)) => drop(waiter.send(answer)),
            Some(Waiter::Many(waiter)) => {
                // Full: more answers than were wanted.
                drop(waiter.try_send(answer));
                self.waiter = Some(Waiter::Many(waiter));
            }
            None => {}
        }
    }
}

impl Table {
    fn take(&mut self, connection: u64, waiter: Waiter) -> Option<Token> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() == MOST_WAITING => return None,
            None => {
                self.slots.push(Slot { number: 0, connection, waiter: None });
                u32::try_from(self.slots.len() - 1).expect("few slots")
            }
        };
        let entry = &mut self.slots[slot as usize];
        entry.number += 1;
        entry.connection = connection;
        entry.waiter = Some(waiter);
        Some(Token { slot, number: entry.number })
    }
}

impl Waiting {
    /// The next answer. Cancel safe.
    pub(super) async fn answer(&mut self) -> Answer {
        let answer = match &mut self.answers {
            Answers::One(None) => None,
            Answers::One(Some(answer)) => {
                let answer = answer.await.ok();
                self.answers = Answers::One(None);
                answer
            }
            Answers::Many(answers) => answers.recv().await,
        };
        answer.unwrap_or(Err(BusError::Away))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut table = self.waiters.lock();
        table.slots[self.token.slot as usize].waiter = None;
        table.free.push(self.token.slot);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt as _;

    use super::*;
    use crate::bus::Headers;

    fn message(payload: &'static str) -> Answer {
        let payload = Bytes::from_static(payload.as_bytes());
        Ok(Message { subject: String::new(), headers: Headers::new(), payload, reply: None })
    }

    fn heard(waiting: &mut Waiting) -> Option<Result<Bytes, BusError>> {
        waiting.answer().now_or_never().map(|answer| answer.map(|message| message.payload))
    }

    #[test]
    fn a_late_answer_finds_nobody_in_the_slot_it_was_for() {
        let waiters = Arc::new(Waiters::default());
        let given_up = waiters.wait(1, 1).expect("room").token;
        let mut next = waiters.wait(1, 1).expect("room");
        assert_eq!(next.token.slot, given_up.slot, "the slot is used again");

        waiters.answer(&given_up.to_string(), message("late"));
        assert_eq!(heard(&mut next), None);
        waiters.answer(&next.token.to_string(), message("mine"));
        assert_eq!(heard(&mut next), Some(Ok("mine".into())));
    }

    #[test]
    fn tokens_that_are_none_and_answers_beyond_those_wanted_are_ignored() {
        let waiters = Arc::new(Waiters::default());
        let mut waiting = waiters.wait(1, 2).expect("room");
        for token in ["", "-", "0", "0-", "0-2", "1-1", "0-1-1", "g-1", "ffffffffff-1", &"9".repeat(99)] {
            waiters.answer(token, message("stray"));
        }
        assert_eq!(heard(&mut waiting), None);
        for payload in ["one", "two", "three"] {
            waiters.answer("0-1", message(payload));
        }
        assert_eq!(heard(&mut waiting), Some(Ok("one".into())));
        assert_eq!(heard(&mut waiting), Some(Ok("two".into())));
        assert_eq!(heard(&mut waiting), None);
    }

    #[test]
    fn only_so_many_wait_and_a_place_is_free_again_when_one_gives_up() {
        let waiters = Arc::new(Waiters::default());
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| waiters.wait(1, 1).expect("room")).collect();
        assert_eq!(waiters.wait(1, 1).expect_err("full"), BusError::Away);
        waiting.pop();
        waiters.wait(1, 1).expect("room again");
    }

    #[test]
    fn a_lost_connection_is_told_to_its_own_requests_only() {
        let waiters = Arc::new(Waiters::default());
        let mut first = waiters.wait(1, 1).expect("room");
        let mut second = waiters.wait(2, 1).expect("room");
        waiters.lose_before(2);
        assert_eq!(heard(&mut first), Some(Err(BusError::Away)));
        assert_eq!(heard(&mut second), None);
    }
}

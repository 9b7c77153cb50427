//! What was acknowledged: the model that the database and the event log are held against.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Everything that was asked for and, where it was, acknowledged.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
pub(super) struct Book {
    /// Network and mark of each object that was asked for, and whether that was acknowledged. The mark is its description.
    pub(super) created: BTreeMap<(String, String), bool>,
    pub(super) meetings: Vec<Meeting>,
    pub(super) events: Vec<SocialEvent>,
    pub(super) sessions: Vec<SocialSession>,
}

/// How far the end of an object has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    There,
    /// Its deletion was asked for.
    Ending,
    /// That was acknowledged.
    Gone,
}

/// Only its organizer's session changes it, and every invited user answers in one session.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    pub(super) network: String,
    pub(super) id: String,
    pub(super) mark: String,
    /// The session that changes it.
    pub(super) writer: String,
    pub(super) invited: Vec<String>,
    /// Its subject is `v` and the number of the last change that was acknowledged.
    pub(super) version: u64,
    /// A change of its time was asked for: answers are reset by it, before or after which of them nobody can say.
    pub(super) is_moved: bool,
    /// What each user has answered, in order.
    pub(super) answers: BTreeMap<String, Vec<&'static str>>,
    pub(super) life: Life,
}

#[derive(Clone, Debug)]
pub(super) struct SocialEvent {
    pub(super) network: String,
    pub(super) id: String,
    pub(super) mark: String,
    pub(super) limit: usize,
}

/// As [`Meeting`].
#[derive(Clone, Debug)]
pub(super) struct SocialSession {
    pub(super) network: String,
    pub(super) id: String,
    pub(super) mark: String,
    pub(super) event: String,
    pub(super) owner: String,
    pub(super) writer: String,
    /// Its title is `v` and this.
    pub(super) version: u64,
    /// The joins and declines of each user that changed something: true, false, true, …
    pub(super) joins: BTreeMap<String, Vec<bool>>,
    pub(super) life: Life,
}

impl Ledger {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meeting {
    /// How many answers were another than the one before.
    pub(super) fn changes_of_answers(&self) -> usize {
        self.answers
            .values()
            .map(|answers| {
                let before = std::iter::once(&"received").chain(answers);
                answers.iter().zip(before).filter(|(answer, before)| answer != before).count()
            })
            .sum()
    }
}

//! The time that several users have in common: rules A7, A8.

use super::{
    interval::{Interval, IntervalSet},
    schedule::Schedule,
};

/// A user whose time is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// What the user has set.
    pub schedule: Schedule,
    /// When the user is busy (A7), in any order.
    pub busy: Vec<Interval>,
}

/// When all of them are available and none is busy. Nobody has no time.
pub fn common<'a>(people: impl IntoIterator<Item = &'a Person>, window: Interval) -> IntervalSet {
    let mut people = people.into_iter();
    let Some(first) = people.next() else { return IntervalSet::default() };
    people.fold(first.free(window), |common, person| match common.is_empty() {
        true => common,
        false => common.intersection(&person.free(window)),
    })
}

impl Person {
    fn free(&self, window: Interval) -> IntervalSet {
        self.schedule.available(window).difference(&self.busy.iter().copied().collect())
    }
}

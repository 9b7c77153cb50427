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
    let mut common = Common::new(window);
    people.into_iter().for_each(|person| common.add(person));
    common.into_slots()
}

/// As [`common`], of people who come one by one.
#[derive(Clone, Debug)]
pub struct Common {
    window: Interval,
    /// `None`: nobody has come yet.
    slots: Option<IntervalSet>,
}

impl Common {
    /// In this window.
    pub fn new(window: Interval) -> Self {
        Self { window, slots: None }
    }

    /// One more.
    pub fn add(&mut self, person: &Person) {
        match &mut self.slots {
            None => self.slots = Some(person.free(self.window)),
            Some(slots) if slots.is_empty() => {}
            Some(slots) => *slots = slots.intersection(&person.free(self.window)),
        }
    }

    /// The time that all of them have in common.
    pub fn into_slots(self) -> IntervalSet {
        self.slots.unwrap_or_default()
    }
}

impl Person {
    fn free(&self, window: Interval) -> IntervalSet {
        self.schedule.available(window).difference(&self.busy.iter().copied().collect())
    }
}

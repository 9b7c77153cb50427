//! What a user has set, and the time that it makes: rules A1, A2, A4, A5, A6.
//!
//! Three layers decide over a date: the date itself, over its weekday, over the default. The highest that is there decides
//! alone. Each is read in the zone in which it was set, so the days of one user can overlap or leave gaps; the default has
//! no zone: it is all the time that no higher layer decides over.

use std::collections::BTreeMap;

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use shared::api::Timestamp;

use super::{
    calendar::{CLOCK_DAY, Clock, civil_day, dates_near, plus_days, weekday_index},
    interval::{Interval, IntervalSet},
};

/// A range of clock times: what a range of a pattern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRange {
    start: i64,
    end: i64,
}

impl ClockRange {
    /// Microseconds after midnight, by the clock. `None` unless it begins on its day and ends after that, at most a day
    /// later.
    pub fn new(start: i64, end: i64) -> Option<Self> {
        ((0..CLOCK_DAY).contains(&start) && start < end && end - start <= CLOCK_DAY).then_some(Self { start, end })
    }

    /// Microseconds from midnight to its start.
    pub fn start(self) -> i64 {
        self.start
    }

    /// Microseconds from the same midnight to its end, by the clock: beyond [`CLOCK_DAY`] it is on the next day.
    pub fn end(self) -> i64 {
        self.end
    }

    /// The range of that date. None where the clocks jump over all of it.
    fn on(self, date: Date, zone: &Clock<'_>) -> Option<Interval> {
        Interval::new(zone.instant_on(date, self.start), zone.instant_on(date, self.end))
    }
}

/// What a user has set for a weekday or for a date (A4): `ranges` none is the whole day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<R> {
    /// Available in the ranges, or else not available in them.
    pub is_available: bool,
    /// Where it was set.
    pub zone: TimeZone,
    /// In any order; they may overlap.
    pub ranges: Vec<R>,
}

/// All that a user has set that matters for some window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Sunday first.
    pub weekdays: [Option<Rule<ClockRange>>; 7],
    /// Dates, with instants.
    pub days: BTreeMap<Date, Rule<Interval>>,
}

/// What a layer makes of one date.
#[derive(Clone, Debug, Default)]
struct Made {
    available: IntervalSet,
    /// What it takes from the next day: the tail of ranges in which the user is not available (A5).
    taken_from_next: IntervalSet,
}

impl Made {
    fn whole_day(date: Date, clock: &Clock<'_>) -> Self {
        Self { available: clock.civil_day(date).into_iter().collect(), ..Self::default() }
    }
}

impl Schedule {
    /// When the user is available, meetings not taken off.
    pub fn available(&self, window: Interval) -> IntervalSet {
        let is_available_by_default = self.is_available_by_default();
        let mut available = Vec::new();
        // What the default has no say over.
        let mut decided = Vec::new();
        let mut taken = IntervalSet::default();
        let (first, last) = dates_near(window);
        let mut clocks: [Option<Clock<'_>>; 7] = [None; 7];
        for (weekday, rule) in self.weekdays.iter().enumerate() {
            let Some(Rule { zone, .. }) = rule else { continue };
            // Nearly always all weekdays are set in one zone.
            let known = clocks.iter().flatten().find(|clock| clock.zone() == zone).copied();
            clocks[weekday] = Some(known.unwrap_or_else(|| Clock::new(zone, first, last)));
        }
        for date in first.series(1.day()).take_while(|date| *date <= last) {
            decided.extend_from_slice(taken.intervals());
            taken = match self.made(date, &clocks) {
                Some((day, made)) => {
                    available.extend_from_slice(made.available.difference(&taken).intervals());
                    decided.extend(day);
                    made.taken_from_next
                }
                None => IntervalSet::default(),
            };
        }
        if is_available_by_default {
            let rest = IntervalSet::from(window).difference(&decided.into_iter().collect());
            available.extend_from_slice(rest.intervals());
        }
        available.into_iter().collect::<IntervalSet>().within(window)
    }

    /// What the weekday of a date has, dates that were set not looked at; a range over midnight whole (A6). Where nothing
    /// was set the day is that of `zone`.
    pub fn weekday(&self, date: Date, zone: &TimeZone) -> IntervalSet {
        let made = |date: Date| {
            let rule = self.weekday_rule(date)?;
            Some(rule.made(date, &Clock::new(&rule.zone, date, date), Timestamp::MAX))
        };
        let available = match made(date) {
            Some(made) => made.available,
            None if self.is_available_by_default() => civil_day(date, zone).into_iter().collect(),
            None => IntervalSet::default(),
        };
        match made(plus_days(date, -1)) {
            Some(before) => available.difference(&before.taken_from_next),
            None => available,
        }
    }

    /// A2: while a weekday is set available, those that are not set are not.
    fn is_available_by_default(&self) -> bool {
        !self.weekdays.iter().flatten().any(|rule| rule.is_available)
    }

    fn weekday_rule(&self, date: Date) -> Option<&Rule<ClockRange>> {
        self.weekdays[weekday_index(date.weekday())].as_ref()
    }

    /// What the highest layer makes of a date, and the day that it decides over; `None` when the default decides. The clocks
    /// are those of the weekdays.
    fn made(&self, date: Date, clocks: &[Option<Clock<'_>>; 7]) -> Option<(Option<Interval>, Made)> {
        let next = plus_days(date, 1);
        // The tail enters the next day unless that one is set explicitly (A5).
        let is_next_explicit = self.days.contains_key(&next);
        let end = |clock: &Clock<'_>| if is_next_explicit { clock.first_instant(next) } else { Timestamp::MAX };
        let weekday = self.weekday_rule(date).zip(clocks[weekday_index(date.weekday())].as_ref());
        let of_weekday = |(rule, clock): (&Rule<ClockRange>, &Clock<'_>)| rule.made(date, clock, end(clock));
        if let Some(rule) = self.days.get(&date) {
            let clock = Clock::new(&rule.zone, date, date);
            let below = || match weekday {
                Some(weekday) => of_weekday(weekday),
                None if self.is_available_by_default() => Made::whole_day(date, &clock),
                None => Made::default(),
            };
            return Some((clock.civil_day(date), rule.made(date, &clock, end(&clock), below)));
        }
        weekday.map(|weekday| (weekday.1.civil_day(date), of_weekday(weekday)))
    }
}

impl Rule<ClockRange> {
    /// Below a weekday is the whole day: A2 withholds it from weekdays that are not set, and this one is.
    fn made(&self, date: Date, clock: &Clock<'_>, end: Timestamp) -> Made {
        let ranges = self.ranges.iter().filter_map(|range| range.on(date, clock));
        make(self, date, clock, ranges, end, || Made::whole_day(date, clock))
    }
}

impl Rule<Interval> {
    /// What lies before its day is cut (A5).
    fn made(&self, date: Date, clock: &Clock<'_>, end: Timestamp, below: impl FnOnce() -> Made) -> Made {
        let start = clock.first_instant(date);
        let ranges = self.ranges.iter().filter_map(|range| range.from(start));
        make(self, date, clock, ranges, end, below)
    }
}

/// A4, for the ranges of a date, of which what is at or after `end` does not count.
fn make<R>(
    rule: &Rule<R>,
    date: Date,
    clock: &Clock<'_>,
    ranges: impl Iterator<Item = Interval>,
    end: Timestamp,
    below: impl FnOnce() -> Made,
) -> Made {
    // A day that the zone skipped has no time at all (T3), whatever clock times are named for it.
    let Some(day) = clock.civil_day(date) else { return Made::default() };
    let ranges: IntervalSet = ranges.filter_map(|range| range.before(end)).collect();
    match (rule.is_available, rule.ranges.is_empty()) {
        (true, true) => Made { available: day.into(), ..Made::default() },
        (true, false) => Made { available: ranges, ..Made::default() },
        (false, true) => Made::default(),
        (false, false) => {
            let Made { available, taken_from_next } = below();
            let tail = ranges.intervals().iter().filter_map(|range| range.from(day.end())).collect();
            Made { available: available.difference(&ranges), taken_from_next: taken_from_next.union(tail) }
        }
    }
}

#[cfg(test)]
mod tests;

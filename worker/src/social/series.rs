//! When a session occurs: rules S9, T4. Pure, without database and clock. Whatever is told of it, by the API, as time slots, in
//! a file or in a mail, is found here.
//!
//! A single session has one occurrence. A recurring one occurs every week at the same clock time of its zone, each time for
//! the same number of seconds, until its event ends or without end. Occurrences are numbered from 0; they begin in order.
//! Those that were made before that was refused may last longer than a week, and overlap.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike as _, Utc};
use jiff::{Span, civil, tz::TimeZone};

use crate::availability::calendar::instant_at;

/// A week by the clock, and as long as a recurring session lasts at most.
pub(crate) const WEEK_SECONDS: i64 = 7 * 24 * 3600;

/// More than the offsets of a zone ever differ, a skipped day included. In seconds.
const MOST_SHIFT: i64 = 3 * 24 * 3600;

/// When a session occurs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// The first instant of a single session. That of a recurring one is what its clock says.
    pub(crate) starts_at: DateTime<Utc>,
    /// What a clock in the zone shows at the first start.
    pub(crate) local_start: NaiveDateTime,
    pub(crate) zone: TimeZone,
    /// How long each occurrence is.
    pub(crate) seconds: i64,
    pub(crate) is_recurring: bool,
    /// The event's end: every occurrence but the first ends by it. `None`: no end is set.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Occurrence {
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
}

impl Series {
    /// A series that begins at an instant.
    pub(crate) fn new(starts_at: DateTime<Utc>, zone: TimeZone, seconds: i64, is_recurring: bool) -> Option<Self> {
        let local_start = from_civil(zone.to_datetime(to_jiff(starts_at)?))?;
        Some(Self { starts_at, local_start, zone, seconds, is_recurring, until: None })
    }

    /// The same, of an event that ends then.
    pub(crate) fn until(self, until: Option<DateTime<Utc>>) -> Self {
        Self { until, ..self }
    }

    fn start_by_clock(&self, number: i64) -> Option<DateTime<Utc>> {
        let local = to_civil(self.local_start)?.checked_add(Span::new().try_weeks(number).ok()?).ok()?;
        instant_at(local, &self.zone).instant()
    }

    /// The occurrence of that number, the event's end disregarded; `None` when there is none, or beyond the calendar.
    fn at(&self, number: i64) -> Option<Occurrence> {
        let start = match number {
            0 if !self.is_recurring => self.starts_at,
            0.. if self.is_recurring => self.start_by_clock(number)?,
            _ => return None,
        };
        let end = start.checked_add_signed(TimeDelta::try_seconds(self.seconds)?)?;
        (end <= LAST_INSTANT).then_some(Occurrence { start, end })
    }

    /// The occurrence of that number. There is a first one even when zone data have moved it beyond the event's end (S9).
    pub(crate) fn nth(&self, number: i64) -> Option<Occurrence> {
        self.at(number).filter(|occurrence| number == 0 || self.until.is_none_or(|until| occurrence.end <= until))
    }

    /// The first occurrence.
    pub(crate) fn first(&self) -> Option<Occurrence> {
        self.nth(0)
    }

    /// The last occurrence; `None` when there is none.
    pub(crate) fn last(&self) -> Option<Occurrence> {
        let first = self.first()?;
        if !self.is_recurring {
            return Some(first);
        }
        let until = self.until?;
        // One that begins so late ends after the event; from there back to the first that does not.
        let latest = (until - first.end).num_seconds().saturating_add(MOST_SHIFT).div_euclid(WEEK_SECONDS) + 1;
        (0..=latest.max(0)).rev().find_map(|number| self.nth(number))
    }

    /// The end of the last occurrence.
    pub(crate) fn end(&self) -> Option<DateTime<Utc>> {
        self.last().map(|last| last.end)
    }

    /// The first occurrence that has not ended at an instant.
    pub(crate) fn next(&self, now: DateTime<Utc>) -> Option<Occurrence> {
        let mut number = self.first_near(now)?;
        loop {
            let occurrence = self.nth(number)?;
            if occurrence.end > now {
                return Some(occurrence);
            }
            number += 1;
        }
    }

    /// The occurrences that overlap `[start, end)`, in order.
    pub(crate) fn between(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> impl Iterator<Item = Occurrence> {
        let first = self.first_near(start);
        first
            .into_iter()
            .flat_map(|first| first..)
            .map_while(|number| self.nth(number))
            .skip_while(move |occurrence| occurrence.end <= start)
            .take_while(move |occurrence| occurrence.start < end)
    }

    /// A number at or shortly before that of the first occurrence that ends after an instant.
    fn first_near(&self, now: DateTime<Utc>) -> Option<i64> {
        let passed = (now - self.at(0)?.end).num_seconds().saturating_sub(MOST_SHIFT);
        Some(if self.is_recurring { passed.div_euclid(WEEK_SECONDS).max(0) } else { 0 })
    }
}

/// The end of the year 9999: nothing later can be written.
const LAST_INSTANT: DateTime<Utc> =
    DateTime::from_timestamp(253_402_300_799, 999_999_000).expect("within chrono's range");

fn to_jiff(instant: DateTime<Utc>) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(instant.timestamp_micros()).ok()
}

/// What a clock shows, as jiff has it.
pub(crate) fn to_civil(local: NaiveDateTime) -> Option<civil::DateTime> {
    use chrono::Datelike as _;
    let small = |number: u32| i8::try_from(number).ok();
    civil::DateTime::new(
        i16::try_from(local.year()).ok()?,
        small(local.month())?,
        small(local.day())?,
        small(local.hour())?,
        small(local.minute())?,
        small(local.second())?,
        i32::try_from(local.nanosecond()).ok()?,
    )
    .ok()
}

fn from_civil(local: civil::DateTime) -> Option<NaiveDateTime> {
    let small = |number: i8| u32::try_from(number).ok();
    NaiveDate::from_ymd_opt(local.year().into(), small(local.month())?, small(local.day())?)?.and_hms_nano_opt(
        small(local.hour())?,
        small(local.minute())?,
        small(local.second())?,
        u32::try_from(local.subsec_nanosecond()).ok()?,
    )
}

#[cfg(test)]
mod tests;

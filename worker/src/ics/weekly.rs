//! A recurring session: rules S9, T4.
//!
//! # Hours that the clocks skip or repeat
//!
//! RFC 5545 reads them as T4 does: a skipped hour with the offset before the gap, of a repeated one the first (3.3.5, and
//! 3.3.10 for occurrences; another sentence of 3.3.10 would have skipped hours ignored). So the rule says what is meant, and
//! an exception from it would not: a reader that does it right has EXDATE with the clock time and RDATE with the instant
//! fall on the same occurrence, and drops both. What programs make of it, as tests/it/ics.rs sees:
//!
//! | program | skipped | repeated |
//! | --- | --- | --- |
//! | icalendar, when it knows the zone | as T4 | first |
//! | icalendar, vobject with our VTIMEZONE (dateutil) | offset after the gap | first |
//! | ical.js | offset after the gap | second |
//! | libical 3.0 with our VTIMEZONE | offset after the gap | second |
//! | libical 3.0, when it knows the zone (ICU) | either; if as T4, the next occurrence is late by the gap | second |
//!
//! UNTIL waits for the second run, for those who read the last occurrence so. A first occurrence in the second run of an hour
//! cannot be said, as DTSTART is read as the first run: S9 refuses it.
//!
//! # Ends
//!
//! By DTEND every occurrence lasts the same exact time (RFC 5545, 3.8.5.3), as S9 says. Programs get that time by taking
//! DTSTART from DTEND, by the clock or not, and may take the wrong one of an hour that comes twice. Where that would make a
//! difference DTEND is in UTC.

use jiff::{
    SignedDuration,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use shared::api::Timestamp;

use super::{line::Lines, local, plus_seconds, utc, zone::Zone};
use crate::availability::calendar::{from_jiff, instant_at, to_jiff, wall_at};

/// Every week at the same clock time.
#[derive(Clone, Debug)]
pub struct Weekly {
    /// What the clock shows when the first occurrence begins.
    pub wall: DateTime,
    /// Where.
    pub zone: TimeZone,
    /// When the last occurrence begins; `None`: there is no last one. Before the first one: that is the only one.
    pub last: Option<Timestamp>,
}

/// A recurring session as the file tells it.
#[derive(Debug)]
pub(super) struct Series<'a> {
    weekly: &'a Weekly,
    first: Timestamp,
    last: Option<Timestamp>,
    /// None where clocks are never changed: UTC will do.
    zone: Option<Zone>,
}

impl<'a> Series<'a> {
    pub(super) fn of(weekly: &'a Weekly, now: Timestamp) -> Self {
        let first = instant_at(weekly.wall, &weekly.zone);
        let last = weekly.last.map(|last| last.max(first));
        let is_changing = weekly.zone.preceding(jiff::Timestamp::MAX).next().is_some();
        let zone = to_jiff(first).zip(to_jiff(now)).filter(|_| is_changing);
        let zone = zone.map(|(first, now)| Zone::of(&weekly.zone, first, last.and_then(to_jiff), now));
        Self { weekly, first, last, zone }
    }

    /// The zone in which it is told; `None`: in UTC.
    pub(super) fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }

    /// DTSTART, DTEND and RRULE.
    pub(super) fn write(&self, seconds: i64, lines: &mut Lines) {
        let end = plus_seconds(self.first, seconds);
        match &self.zone {
            Some(zone) => {
                let in_zone = [("TZID", zone.name())];
                lines.property("DTSTART", &in_zone, &local(self.weekly.wall));
                match self.weekly.wall_of_end(seconds, end) {
                    Some(wall) => lines.property("DTEND", &in_zone, &local(wall)),
                    None => lines.property("DTEND", &[], &utc(end)),
                }
            }
            None => {
                lines.property("DTSTART", &[], &utc(self.first));
                lines.property("DTEND", &[], &utc(end));
            }
        }
        let until = self.last.map(|last| format!(";UNTIL={}", utc(self.weekly.second_run(last))));
        lines.property("RRULE", &[], &format!("FREQ=WEEKLY{}", until.unwrap_or_default()));
    }
}

impl Weekly {
    /// When a clock shows for the second time what it shows at an instant, if it does.
    fn second_run(&self, instant: Timestamp) -> Timestamp {
        let second = |wall| match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Fold { after, .. } => after.to_timestamp(wall).ok().map(from_jiff),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => None,
        };
        wall_at(instant, &self.zone).and_then(second).unwrap_or(instant)
    }

    /// What a clock shows at the end of the first occurrence, if everyone gets the right duration from it.
    fn wall_of_end(&self, seconds: i64, end: Timestamp) -> Option<DateTime> {
        let wall = wall_at(end, &self.zone)?;
        let comes_twice = |wall| {
            let offset = self.zone.to_ambiguous_timestamp(wall).offset();
            matches!(offset, AmbiguousOffset::Fold { .. })
        };
        let by_the_clock = self.wall.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        (by_the_clock == wall && comes_twice(wall) == comes_twice(self.wall)).then_some(wall)
    }
}

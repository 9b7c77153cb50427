//! Civil days, weeks and months, and where a clock time falls: rules T2 to T4.

use jiff::{
    ToSpan as _,
    civil::{Date, DateTime, Weekday},
    tz::{AmbiguousOffset, Offset, TimeZone},
};
use shared::api::{LocalTimestamp, Timestamp};

use super::interval::Interval;

/// Calendars are read for dates of these years: all that is next to one can be written as a timestamp.
pub const YEARS: std::ops::RangeInclusive<i16> = 2..=9998;

/// Microseconds of a day by the clock.
pub const CLOCK_DAY: i64 = 86_400_000_000;

/// A date somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDay {
    /// The date.
    pub date: Date,
    /// Where.
    pub zone: TimeZone,
}

impl LocalDay {
    /// The day that a request means (T2), with the zone that is stored for the user. `None` outside of [`YEARS`], and when
    /// the timestamp is unset.
    pub fn of(written: &LocalTimestamp, stored: Option<TimeZone>) -> Option<Self> {
        let instant = written.instant.is_set().then_some(written.instant).and_then(to_jiff)?;
        let offset = written.offset_seconds.and_then(|seconds| Offset::from_seconds(seconds).ok());
        let zone = match (&written.zone, offset) {
            (Some(zone), _) => zone.clone(),
            (None, None) => stored.unwrap_or(TimeZone::UTC),
            (None, Some(offset)) => {
                stored.filter(|zone| written.has_offset_of(zone)).unwrap_or_else(|| TimeZone::fixed(offset))
            }
        };
        let date = match offset {
            Some(offset) => offset.to_datetime(instant).date(),
            None => zone.to_datetime(instant).date(),
        };
        YEARS.contains(&date.year()).then_some(Self { date, zone })
    }

    /// A window that holds the day's own, wherever its zone is: what must be read while the zone is not known yet.
    pub fn anywhere(&self, window: impl Fn(&Self) -> Option<Interval>) -> Option<Interval> {
        // A zone's date is the one before or after UTC's at most, and its day begins at most a day from UTC's.
        let utc = |days: i32| window(&Self { date: plus_days(self.date, days), zone: TimeZone::UTC });
        let (first, last) = (utc(-1)?, utc(1)?);
        let moved = |instant: Timestamp, days: i64| {
            let moved = instant.micros() + days * 26 * 3_600_000_000;
            Timestamp::from_micros(moved).unwrap_or(instant)
        };
        Interval::new(moved(first.start(), -1), moved(last.end(), 1))
    }

    /// The day so many days later. `None` outside of [`YEARS`].
    pub fn plus_days(&self, days: i64) -> Option<Self> {
        let date = self.date.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
        YEARS.contains(&date.year()).then(|| Self { date, zone: self.zone.clone() })
    }

    /// From its first instant to the first of the next one (T3); `None` for a day that the zone skipped.
    pub fn interval(&self) -> Option<Interval> {
        civil_day(self.date, &self.zone)
    }

    /// The Sunday with which its week begins.
    pub fn sunday(&self) -> Date {
        plus_days(self.date, -i32::from(self.date.weekday().to_sunday_zero_offset()))
    }

    /// Its week, from Sunday on.
    pub fn week(&self) -> Option<Interval> {
        let sunday = self.sunday();
        Interval::new(first_instant(sunday, &self.zone), first_instant(plus_days(sunday, 7), &self.zone))
    }

    /// Its civil month.
    pub fn month(&self) -> Option<Interval> {
        let first = self.date.first_of_month();
        let next = plus_days(self.date.last_of_month(), 1);
        Interval::new(first_instant(first, &self.zone), first_instant(next, &self.zone))
    }
}

/// The date so many days later; at the ends of time the last one there is.
pub fn plus_days(date: Date, days: i32) -> Date {
    date.saturating_add(days.days())
}

/// `[its first instant, the next day's first instant)` (T3).
pub fn civil_day(date: Date, zone: &TimeZone) -> Option<Interval> {
    Interval::new(first_instant(date, zone), first_instant(plus_days(date, 1), zone))
}

/// The first instant at which a calendar there shows the date, or a later one when it never shows it.
pub fn first_instant(date: Date, zone: &TimeZone) -> Timestamp {
    let midnight = date.at(0, 0, 0, 0);
    match zone.to_ambiguous_timestamp(midnight).offset() {
        AmbiguousOffset::Unambiguous { offset } => to_instant(midnight, offset),
        AmbiguousOffset::Fold { before, .. } => to_instant(midnight, before),
        // The clocks jumped over midnight: the day begins where they landed.
        AmbiguousOffset::Gap { before, after } => after
            .to_timestamp(midnight)
            .ok()
            .and_then(|earlier| zone.following(earlier).next())
            .map_or_else(|| to_instant(midnight, before), |transition| from_jiff(transition.timestamp())),
    }
}

/// When a clock there shows this time (T4): the first time that it does, or, where it is jumped over, read with the offset
/// before the jump.
pub fn instant_at(wall: DateTime, zone: &TimeZone) -> Timestamp {
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => to_instant(wall, offset),
        AmbiguousOffset::Fold { before, .. } | AmbiguousOffset::Gap { before, .. } => to_instant(wall, before),
    }
}

/// A zone's clock on some dates. It says the same as [`first_instant`] and [`instant_at`], and where nobody changes the clocks
/// all that time, as nearly always, it need not look into the zone's rules again.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a> {
    zone: &'a TimeZone,
    /// The one offset of all that time.
    steady: Option<Offset>,
}

impl<'a> Clock<'a> {
    /// For dates from `first` to `last`, and their neighbours.
    pub fn new(zone: &'a TimeZone, first: Date, last: Date) -> Self {
        // Further from the dates than a clock ever is from UTC.
        let utc = |date: Date, days: i32| Offset::UTC.to_timestamp(plus_days(date, days).at(0, 0, 0, 0)).ok();
        let steady = utc(first, -3).zip(utc(last, 4)).and_then(|(begin, end)| {
            let is_changed = zone.following(begin).next().is_some_and(|transition| transition.timestamp() < end);
            (!is_changed).then(|| zone.to_offset(begin))
        });
        Self { zone, steady }
    }

    /// As [`first_instant`].
    pub fn first_instant(&self, date: Date) -> Timestamp {
        self.steady.map_or_else(|| first_instant(date, self.zone), |offset| to_instant(date.at(0, 0, 0, 0), offset))
    }

    /// As [`instant_at`], for a clock time of the date, in microseconds after midnight; from a day on it is the next date's.
    pub fn instant_on(&self, date: Date, clock: i64) -> Timestamp {
        match self.steady {
            // As much time passes as the clock says.
            Some(offset) => {
                let midnight = to_instant(date.at(0, 0, 0, 0), offset);
                Timestamp::from_micros(midnight.micros().saturating_add(clock)).unwrap_or(Timestamp::MAX)
            }
            None => {
                let midnight = plus_days(date, i32::from(clock >= CLOCK_DAY)).at(0, 0, 0, 0);
                let since = jiff::SignedDuration::from_micros(clock % CLOCK_DAY);
                instant_at(midnight.saturating_add(since), self.zone)
            }
        }
    }

    /// Whose clock it is.
    pub fn zone(&self) -> &'a TimeZone {
        self.zone
    }

    /// As [`civil_day`].
    pub fn civil_day(&self, date: Date) -> Option<Interval> {
        match self.steady {
            Some(_) => Interval::new(self.first_instant(date), self.instant_on(date, CLOCK_DAY)),
            None => civil_day(date, self.zone),
        }
    }
}

/// What a clock there shows at the instant.
pub fn wall_at(instant: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    Some(zone.to_datetime(to_jiff(instant)?))
}

/// The dates that a calendar anywhere may show during the window, and one more before them, whose ranges may run into it.
pub fn dates_near(window: Interval) -> (Date, Date) {
    let utc = |instant: Timestamp| wall_at(instant, &TimeZone::UTC).map(DateTime::date);
    // A zone is at most a day from UTC, and has at most once shown a date twice.
    let first = utc(window.start()).map_or(Date::MIN, |date| plus_days(date, -3));
    let last = utc(window.end()).map_or(Date::MAX, |date| plus_days(date, 2));
    (first, last)
}

/// A weekday's place in a week, Sunday 0.
pub fn weekday_index(weekday: Weekday) -> usize {
    usize::from(weekday.to_sunday_zero_offset().unsigned_abs())
}

fn to_instant(wall: DateTime, offset: Offset) -> Timestamp {
    offset.to_timestamp(wall).map_or(if wall.year() > 0 { Timestamp::MAX } else { Timestamp::UNSET }, from_jiff)
}

/// The same instant, or the nearest that is one.
pub(crate) fn from_jiff(instant: jiff::Timestamp) -> Timestamp {
    let nearest = instant.as_microsecond().clamp(Timestamp::UNSET.micros(), Timestamp::MAX.micros());
    Timestamp::from_micros(nearest).unwrap_or(Timestamp::UNSET)
}

/// The same instant.
pub(crate) fn to_jiff(instant: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(instant.micros()).ok()
}

#[cfg(test)]
mod tests;

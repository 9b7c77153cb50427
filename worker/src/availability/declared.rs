//! What a request sets: rules A3, A4, A5.

use jiff::{civil::Date, tz::TimeZone};
use shared::api::{
    Timestamp,
    meeting::availability::{AvailabilityStatus, Interval as Range, NewAvailability},
};

use super::{
    calendar::{CLOCK_DAY, LocalDay, instant_at, plus_days, wall_at},
    interval::Interval,
    schedule::{ClockRange, Rule},
};
use crate::error::Error;

/// One request has at most so many ranges.
pub const MAX_RANGES: usize = 48;

/// The bits of all weekdays.
const ALL_WEEKDAYS: u8 = 0b111_1111;

/// What is to be set; no rule: as if nothing had been set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declared {
    /// For weekdays, Sunday 0.
    Weekdays {
        /// Which.
        weekdays: Vec<usize>,
        /// What.
        rule: Option<Rule<ClockRange>>,
    },
    /// For one date.
    Day {
        /// Which.
        date: Date,
        /// What.
        rule: Option<Rule<Interval>>,
    },
}

impl Declared {
    /// Reads a request that means this day.
    ///
    /// # Errors
    /// 400, naming the field.
    pub fn of(new: &NewAvailability, day: &LocalDay) -> Result<Self, Error> {
        let is_available = match AvailabilityStatus::parse(&new.status) {
            Some(AvailabilityStatus::Available) => Some(true),
            Some(AvailabilityStatus::NotAvailable) => Some(false),
            Some(AvailabilityStatus::Default) => None,
            None => {
                let words = AvailabilityStatus::listed();
                return Err(Error::bad_request(STATUS, format!("expected one of {words}")));
            }
        };
        if new.repetition > ALL_WEEKDAYS {
            return Err(Error::bad_request(REPETITION, format!("expected 0 to {ALL_WEEKDAYS}")));
        }
        if new.dates.len() > MAX_RANGES {
            return Err(Error::bad_request(DATES, format!("expected at most {MAX_RANGES} ranges")));
        }
        if new.repetition == 0 {
            let rule = is_available.map(|is_available| rule(is_available, new, day, |range| range.of_day(day)));
            Ok(Self::Day { date: day.date, rule: rule.transpose()? })
        } else {
            let weekdays = (0..7).filter(|weekday| new.repetition >> weekday & 1 == 1).collect();
            let rule = is_available.map(|is_available| rule(is_available, new, day, Written::of_pattern));
            Ok(Self::Weekdays { weekdays, rule: rule.transpose()? })
        }
    }
}

const STATUS: &str = "data.availability.status";
const REPETITION: &str = "data.availability.repetition";
const DATES: &str = "data.availability.dates";

fn rule<R>(
    is_available: bool,
    new: &NewAvailability,
    day: &LocalDay,
    read: impl Fn(Written) -> Result<R, &'static str>,
) -> Result<Rule<R>, Error> {
    let ranges = new.dates.iter().enumerate().map(|(index, range)| {
        let path = format!("{DATES}[{index}]");
        let written = Written::of(range, &day.zone).map_err(|field| {
            Error::bad_request(format!("{path}.{field}"), "expected a timestamp from the year 1 to the year 9999")
        })?;
        read(written).map_err(|what| Error::bad_request(path, what))
    });
    Ok(Rule { is_available, zone: day.zone.clone(), ranges: ranges.collect::<Result<_, Error>>()? })
}

/// A range as the clock of the request's zone shows it.
#[derive(Clone, Copy, Debug)]
struct Written {
    range: Range,
    start_date: Date,
    end_date: Date,
    /// Microseconds after midnight.
    start_clock: i64,
    end_clock: i64,
}

const TOO_LONG: &str = "expected at most 24 hours";

impl Written {
    /// Fails with the name of the field that is no instant.
    fn of(range: &Range, zone: &TimeZone) -> Result<Self, &'static str> {
        let wall = |instant: Timestamp| if instant.is_set() { wall_at(instant, zone) } else { None };
        let (start, end) = (wall(range.start_date).ok_or("startDate")?, wall(range.end_date).ok_or("endDate")?);
        let clock = |wall: jiff::civil::DateTime| {
            wall.duration_since(wall.date().at(0, 0, 0, 0)).as_micros().try_into().unwrap_or(0)
        };
        Ok(Self {
            range: *range,
            start_date: start.date(),
            end_date: end.date(),
            start_clock: clock(start),
            end_clock: clock(end),
        })
    }

    /// Of a pattern only the clock counts. An end at or before the start, or on the next date, is on the next day.
    fn of_pattern(self) -> Result<ClockRange, &'static str> {
        let days = match self.days() {
            ..=0 => i64::from(self.end_clock <= self.start_clock),
            days => days,
        };
        ClockRange::new(self.start_clock, days * CLOCK_DAY + self.end_clock).ok_or(TOO_LONG)
    }

    /// An end at or before the start is read on the date after the start's.
    fn of_day(self, day: &LocalDay) -> Result<Interval, &'static str> {
        let Range { start_date: start, end_date: mut end } = self.range;
        let mut days = self.days();
        if end <= start {
            days = 1;
            let midnight = plus_days(self.start_date, 1).at(0, 0, 0, 0);
            end = instant_at(midnight.saturating_add(jiff::SignedDuration::from_micros(self.end_clock)), &day.zone);
        }
        // By the clock: the whole of a day that has 25 hours is one day.
        if days * CLOCK_DAY + self.end_clock - self.start_clock > CLOCK_DAY {
            return Err(TOO_LONG);
        }
        Interval::new(start, end)
            .filter(|range| day.interval().is_some_and(|day| range.intersection(day).is_some()))
            .ok_or("expected a range that touches the day of localDate")
    }

    /// From the start's date to the end's.
    fn days(&self) -> i64 {
        i64::from((self.end_date - self.start_date).get_days())
    }
}

#[cfg(test)]
mod tests;

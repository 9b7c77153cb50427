//! Users as the availability engine takes them: what they have set, and when they are busy (A7).

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use jiff::{civil::Date, tz::TimeZone};
use serde::Deserialize;
use shared::api::{Timestamp, timestamp::zone_written};
use sqlx::{FromRow, PgConnection, types::Json};

use crate::{
    availability::{
        calendar::dates_near,
        interval::Interval,
        schedule::{ClockRange, Rule, Schedule},
        slots::Person,
    },
    error::Error,
};

/// Of one user so many busy times are read, beyond which it is 413: they are in memory for all users at once.
pub(crate) const MAX_BUSY: usize = 10_000;

/// Users who are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Their ids and, at the same places, their e-mails; empty: none.
    ids: Vec<String>,
    emails: Vec<String>,
}

impl Wanted {
    /// Adds a user, by identifier, else by verified e-mail.
    pub(crate) fn add(&mut self, id: String, email: &str) {
        self.ids.push(id);
        self.emails.push(email.to_lowercase());
    }
}

/// What a user of a network has set that matters for a window; busy time is left out.
///
/// # Errors
/// The database's.
pub(crate) async fn schedule(
    connection: &mut PgConnection,
    network: &str,
    user: &str,
    window: Interval,
) -> Result<Schedule, Error> {
    let wanted = Wanted { ids: vec![user.to_owned()], emails: vec![String::new()] };
    let rows = read(connection, network, &wanted, window, 0).await?;
    let person = rows.into_iter().next().map(PersonRow::into_person).transpose()?;
    Ok(person.unwrap_or_default().schedule)
}

/// Those of the users who are of the network, each once.
///
/// # Errors
/// 413 when one of them is busy too often in the window.
pub(crate) async fn people(
    connection: &mut PgConnection,
    network: &str,
    wanted: &Wanted,
    window: Interval,
) -> Result<Vec<Person>, Error> {
    let rows = read(connection, network, wanted, window, MAX_BUSY + 1).await?;
    rows.into_iter().map(PersonRow::into_person).collect()
}

async fn read(
    connection: &mut PgConnection,
    network: &str,
    wanted: &Wanted,
    window: Interval,
    max_busy: usize,
) -> Result<Vec<PersonRow>, Error> {
    let (first, last) = dates_near(window);
    Ok(sqlx::query_as(include_str!("people.sql"))
        .bind(network)
        .bind(&wanted.ids)
        .bind(&wanted.emails)
        .bind(naive(first)?)
        .bind(naive(last)?)
        .bind(window.start().instant())
        .bind(window.end().instant())
        .bind(max_busy as i64)
        .fetch_all(connection)
        .await?)
}

/// A date as the database takes it.
///
/// # Errors
/// 500, for a date that there cannot be.
pub(crate) fn naive(date: Date) -> Result<NaiveDate, Error> {
    NaiveDate::from_ymd_opt(date.year().into(), date.month().unsigned_abs().into(), date.day().unsigned_abs().into())
        .ok_or_else(|| Error::internal(format!("{date} is no date")))
}

/// A row of `people.sql`.
#[derive(Debug, FromRow)]
struct PersonRow {
    weekdays: Json<Vec<WeekdayRow>>,
    days: Json<Vec<DayRow>>,
    busy_starts: Option<Vec<DateTime<Utc>>>,
    busy_ends: Option<Vec<DateTime<Utc>>>,
}

/// A row of `availability_weekdays`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WeekdayRow {
    weekday: usize,
    is_available: bool,
    time_zone: String,
    starts: Vec<i64>,
    ends: Vec<i64>,
}

/// A row of `availability_days`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DayRow {
    day: NaiveDate,
    is_available: bool,
    time_zone: String,
    starts: Vec<Timestamp>,
    ends: Vec<Timestamp>,
}

impl PersonRow {
    fn into_person(self) -> Result<Person, Error> {
        let mut schedule = Schedule::default();
        for WeekdayRow { weekday, is_available, time_zone, starts, ends } in self.weekdays.0 {
            let ranges = starts.into_iter().zip(ends).filter_map(|(start, end)| ClockRange::new(start, end)).collect();
            if let Some(place) = schedule.weekdays.get_mut(weekday) {
                *place = Some(Rule { is_available, zone: zone(&time_zone)?, ranges });
            }
        }
        for DayRow { day, is_available, time_zone, starts, ends } in self.days.0 {
            let ranges = starts.into_iter().zip(ends).filter_map(|(start, end)| Interval::new(start, end)).collect();
            schedule.days.insert(date(day)?, Rule { is_available, zone: zone(&time_zone)?, ranges });
        }
        let starts = self.busy_starts.unwrap_or_default();
        if starts.len() > MAX_BUSY {
            return Err(Error::too_large(format!(
                "one of the users is busy more than {MAX_BUSY} times: ask for a day, or for other users"
            )));
        }
        let busy = starts
            .into_iter()
            .zip(self.busy_ends.unwrap_or_default())
            .filter_map(|(start, end)| Interval::new(start.into(), end.into()))
            .collect();
        Ok(Person { schedule, busy })
    }
}

fn zone(text: &str) -> Result<TimeZone, Error> {
    zone_written(text).ok_or_else(|| Error::internal(format!("the zone data of this build does not know {text}")))
}

fn date(day: NaiveDate) -> Result<Date, Error> {
    let part = |part: u32| i8::try_from(part).ok();
    i16::try_from(day.year())
        .ok()
        .zip(part(day.month()).zip(part(day.day())))
        .and_then(|(year, (month, day))| Date::new(year, month, day).ok())
        .ok_or_else(|| Error::internal(format!("{day} is no date")))
}

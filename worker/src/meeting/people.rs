//! Users as the availability engine takes them: what they have set, and when they are busy (A7).

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use jiff::{civil::Date, tz::TimeZone};
use serde::Deserialize;
use shared::api::{LocalTimestamp, Timestamp, timestamp::zone_written};
use sqlx::{FromRow, types::Json};

use crate::{
    availability::{
        calendar::{LocalDay, dates_near},
        interval::Interval,
        schedule::{ClockRange, Rule, Schedule},
        slots::Person,
    },
    context::Read,
    error::Error,
    meeting::local_day,
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

/// A request that is about the time around a local date.
#[derive(Debug)]
pub(crate) struct Question<'a, W> {
    /// `data.localDate`.
    pub(crate) local_date: &'a LocalTimestamp,
    /// What belongs to the day that it means.
    pub(crate) window: W,
}

impl<W: Fn(&LocalDay) -> Option<Interval>> Question<'_, W> {
    /// The caller, what he has set, and the window; busy time is left out.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) async fn caller(&self, read: &mut Read) -> Result<(Schedule, LocalDay, Option<Interval>), Error> {
        let mut wanted = Wanted::default();
        wanted.add(read.session().user.clone(), "");
        let (people, day) = self.ask(read, &wanted, 0).await?;
        let window = (self.window)(&day);
        Ok((people.into_iter().next().unwrap_or_default().schedule, day, window))
    }

    /// Those of the users who are of the network, each once, and the window.
    ///
    /// # Errors
    /// 400, naming the field; 413 when one of them is busy too often.
    pub(crate) async fn people(
        &self,
        read: &mut Read,
        wanted: &Wanted,
    ) -> Result<(Vec<Person>, Option<Interval>), Error> {
        let (people, day) = self.ask(read, wanted, MAX_BUSY + 1).await?;
        Ok((people, (self.window)(&day)))
    }

    /// One statement: which day is meant is known only with the caller's zone, so it reads what any zone may need.
    async fn ask(&self, read: &mut Read, wanted: &Wanted, max_busy: usize) -> Result<(Vec<Person>, LocalDay), Error> {
        let day = local_day::read(FIELD, self.local_date, None)?;
        let window = day.anywhere(&self.window).ok_or_else(|| Error::internal("a window without time"))?;
        let (first, last) = dates_near(window);
        let session = read.session().clone();
        let rows: Vec<PersonRow> = sqlx::query_as(include_str!("people.sql"))
            .bind(&session.network)
            .bind(&wanted.ids)
            .bind(&wanted.emails)
            .bind(naive(first)?)
            .bind(naive(last)?)
            .bind(window.start().instant())
            .bind(window.end().instant())
            .bind(max_busy as i64)
            .bind(&session.user)
            .fetch_all(read.connection())
            .await?;
        let stored = rows.first().and_then(|row| local_day::stored_zone(row.caller_time_zone.as_deref()?));
        let day = local_day::read(FIELD, self.local_date, stored)?;
        let people = rows.into_iter().map(PersonRow::into_person).collect::<Result<_, Error>>()?;
        Ok((people, day))
    }
}

const FIELD: &str = "data.localDate";

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
    caller_time_zone: Option<String>,
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

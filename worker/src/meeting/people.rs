//! Users as the availability engine takes them: what they have set, and when they are busy (A7).

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use futures::TryStreamExt as _;
use jiff::civil::Date;
use serde::Deserialize;
use shared::api::{LocalTimestamp, Timestamp};
use sqlx::{
    Decode, FromRow, Postgres, Type,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo, PgValueRef},
    types::Json,
};

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
    social::{
        address::{folded_email, older_email},
        session::Time,
    },
    zones::Zones,
};

/// Of one user so many busy times are read, beyond which it is 413: they are in memory at once.
pub(crate) const MAX_BUSY: usize = 10_000;

/// Users who are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Their ids and, at the same places, their e-mails and the older forms of these; empty: none.
    ids: Vec<String>,
    emails: Vec<String>,
    older_emails: Vec<String>,
}

impl Wanted {
    /// Adds a user, by identifier, else by verified e-mail.
    pub(crate) fn add(&mut self, id: String, email: &str) {
        self.ids.push(id);
        let email = folded_email(email);
        self.older_emails.push(older_email(&email).unwrap_or_default());
        self.emails.push(email);
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
        let mut schedule = Schedule::default();
        let (day, window) = self.ask(read, &wanted, 0, |person, _| schedule = person.schedule).await?;
        Ok((schedule, day, window))
    }

    /// Hands over those of the users who are of the network, each once, with the window; nobody, where it has no time.
    ///
    /// # Errors
    /// 400, naming the field; 413 when one of them is busy too often. Some may have been handed over by then.
    pub(crate) async fn people(
        &self,
        read: &mut Read,
        wanted: &Wanted,
        mut each: impl FnMut(Person, Interval),
    ) -> Result<(), Error> {
        let each = |person, window| {
            if let Some(window) = window {
                each(person, window);
            }
        };
        self.ask(read, wanted, MAX_BUSY + 1, each).await.map(drop)
    }

    /// One statement: which day is meant is known only with the caller's zone, so it reads what any zone may need. Each user
    /// is handed over when the row is there, while the server looks for the next ones.
    async fn ask(
        &self,
        read: &mut Read,
        wanted: &Wanted,
        max_busy: usize,
        mut each: impl FnMut(Person, Option<Interval>),
    ) -> Result<(LocalDay, Option<Interval>), Error> {
        let zones = read.context().zones.clone();
        let meant = |stored: Option<&str>| {
            let day = local_day::read(FIELD, self.local_date, stored.and_then(|stored| zones.named(stored)))?;
            let window = (self.window)(&day);
            Ok((day, window))
        };
        let (day, _) = meant(None)?;
        let anywhere = day.anywhere(&self.window).ok_or_else(|| Error::internal("a window without time"))?;
        let (first, last) = dates_near(anywhere);
        let session = read.session().clone();
        let mut rows = sqlx::query_as(include_str!("people.sql"))
            .bind(&session.network)
            .bind(&wanted.ids)
            .bind(&wanted.emails)
            .bind(naive(first)?)
            .bind(naive(last)?)
            .bind(anywhere.start().instant())
            .bind(anywhere.end().instant())
            .bind(max_busy as i64)
            .bind(&session.user)
            .bind(&wanted.older_emails)
            .fetch(read.connection());
        let mut known = None;
        let mut take = |row: PersonRow| {
            let (_, window) = match &mut known {
                Some(known) => known,
                none => none.insert(meant(row.caller_time_zone.as_deref())?),
            };
            each(row.into_person(anywhere, &zones)?, *window);
            Ok::<_, Error>(())
        };
        let mut outcome = Ok(());
        // To the end, whatever one of them says: the connection is given back, and until all is read the server may hold its
        // snapshot.
        while let Some(row) = rows.try_next().await? {
            outcome = outcome.and_then(|()| take(row));
        }
        outcome?;
        known.map_or_else(|| meant(None), Ok)
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
    busy_starts: Option<Vec<Instant>>,
    busy_ends: Option<Vec<Instant>>,
    sessions: Json<Vec<SessionRow>>,
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

/// A social session that takes the user's time.
#[derive(Debug, Deserialize)]
struct SessionRow {
    #[serde(flatten)]
    time: Time,
    /// Its event's end.
    until: Option<DateTime<Utc>>,
}

/// An instant out of an array of them. chrono, whom sqlx would ask, makes a date and a clock time of each, which nobody here
/// looks at.
#[derive(Clone, Copy, Debug)]
struct Instant(Timestamp);

/// 2000-01-01T00:00:00Z, from where PostgreSQL counts, in microseconds.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        DateTime::<Utc>::type_info()
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        DateTime::<Utc>::array_type_info()
    }
}

impl Decode<'_, Postgres> for Instant {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<Postgres>>::decode(value)?.saturating_add(POSTGRES_EPOCH);
        let nearest = micros.clamp(Timestamp::UNSET.micros(), Timestamp::MAX.micros());
        Ok(Self(Timestamp::from_micros(nearest).unwrap_or_default()))
    }
}

impl PersonRow {
    fn into_person(self, window: Interval, zones: &Zones) -> Result<Person, Error> {
        let zone = |text: &str| {
            zones.written(text).ok_or_else(|| Error::internal(format!("the zone data does not know {text}")))
        };
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
        if starts.len().max(self.sessions.len()) > MAX_BUSY {
            return Err(Error::too_large(format!(
                "one of the users is busy more than {MAX_BUSY} times: ask for a day, or for other users"
            )));
        }
        let mut busy: Vec<Interval> = starts
            .into_iter()
            .zip(self.busy_ends.unwrap_or_default())
            .filter_map(|(Instant(start), Instant(end))| Interval::new(start, end))
            .collect();
        for SessionRow { time, until } in self.sessions.0 {
            let Some((start, end)) = window.start().instant().zip(window.end().instant()) else { continue };
            let occurrences = time.series(zones, until);
            busy.extend(
                occurrences
                    .between(start, end)
                    .filter_map(|occurrence| Interval::new(occurrence.start.into(), occurrence.end.into())),
            );
        }
        Ok(Person { schedule, busy })
    }
}

fn date(day: NaiveDate) -> Result<Date, Error> {
    let part = |part: u32| i8::try_from(part).ok();
    i16::try_from(day.year())
        .ok()
        .zip(part(day.month()).zip(part(day.day())))
        .and_then(|(year, (month, day))| Date::new(year, month, day).ok())
        .ok_or_else(|| Error::internal(format!("{day} is no date")))
}

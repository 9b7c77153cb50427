//! A social session: what can be changed of it, its limits (S4), and its row.

use chrono::{DateTime, NaiveDateTime, Utc};
use jiff::tz::TimeZone;
use serde::Deserialize;
use shared::{
    api::{
        LocalTimestamp,
        social::SessionInput,
        timestamp::{write_zone, zone_written},
    },
    internal::Session,
};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    error::Error,
    meeting::row::Color,
    social::{
        limits::{SECONDS, check_text, instant},
        place::check_place,
        series::Series,
    },
};

/// Only the invited and those who have joined know of it (S5).
pub(crate) const PRIVATE: i16 = 1;

/// One takes it beside its owner (S5).
pub(crate) const OPEN_SLOT: i16 = 2;

/// What can be changed of a session.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub(crate) struct Content {
    /// Empty: none.
    pub(crate) room_id: String,
    /// Empty: the room itself.
    pub(crate) prop_id: String,
    pub(crate) session_type: i16,
    pub(crate) title: String,
    pub(crate) description: String,
    #[sqlx(flatten)]
    pub(crate) color: Color,
    #[sqlx(flatten)]
    pub(crate) time: Time,
}

/// When a session is, as the database keeps it (S9).
#[derive(Clone, Debug, PartialEq, FromRow, Deserialize)]
pub(crate) struct Time {
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) seconds: i32,
    pub(crate) is_recurring: bool,
    pub(crate) local_start: NaiveDateTime,
    pub(crate) time_zone: String,
    /// `None`: it goes on without end.
    pub(crate) ends_at: Option<DateTime<Utc>>,
}

/// The event that a session belongs to, as far as it says when the session can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
}

impl Time {
    /// A time that a client has given.
    ///
    /// # Errors
    /// 400 when it is not within the event (S4), or beyond the calendar.
    pub(crate) fn new(
        starts_at: DateTime<Utc>,
        zone: TimeZone,
        seconds: i32,
        is_recurring: bool,
        bounds: Option<Bounds>,
    ) -> Result<Self, Error> {
        let too_late = |what: &str| Error::bad_request("data.session.duration", what);
        let time_zone = write_zone(&zone).unwrap_or_else(|| "UTC".to_owned());
        let series = Series::new(starts_at, zone, seconds.into(), is_recurring)
            .ok_or_else(|| Error::bad_request("data.session.startDate", "there is no such time where the owner is"))?
            .until(bounds.map(|bounds| bounds.ends_at));
        if bounds.is_some_and(|bounds| starts_at < bounds.starts_at) {
            return Err(Error::bad_request("data.session.startDate", "expected a time within the event"));
        }
        let first = series.first().ok_or_else(|| too_late("expected an end before the year 10000"))?;
        if bounds.is_some_and(|bounds| first.end > bounds.ends_at) {
            return Err(too_late("expected an end within the event"));
        }
        let ends_at = series.end();
        Ok(Self { starts_at, seconds, is_recurring, local_start: series.local_start, time_zone, ends_at })
    }

    /// Its occurrences; `until` is its event's end.
    ///
    /// # Errors
    /// The zone is not known any more.
    pub(crate) fn series(&self, until: Option<DateTime<Utc>>) -> Result<Series, Error> {
        Ok(Series {
            starts_at: self.starts_at,
            local_start: self.local_start,
            zone: self.zone()?,
            seconds: self.seconds.into(),
            is_recurring: self.is_recurring,
            until,
        })
    }

    fn zone(&self) -> Result<TimeZone, Error> {
        zone_written(&self.time_zone)
            .ok_or_else(|| Error::internal(format!("there is no time zone {}", self.time_zone)))
    }
}

/// The zone of a new session (S9): the owner's own, else the one that the timestamp is written in, else UTC.
pub(crate) fn zone_of(owners: &str, written: &LocalTimestamp) -> TimeZone {
    let offset = || jiff::tz::Offset::from_seconds(written.offset_seconds?).ok().map(TimeZone::fixed);
    let owners = if owners.is_empty() { None } else { zone_written(owners) };
    owners.or_else(|| written.zone.clone()).or_else(offset).unwrap_or(TimeZone::UTC)
}

impl Content {
    /// What a client wants to create. The zone is [`zone_of`] it.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn new(input: SessionInput, owners_zone: &str, bounds: Option<Bounds>) -> Result<Self, Error> {
        let zone = zone_of(owners_zone, &input.start_date);
        let starts_at = instant("data.session.startDate", input.start_date.instant)?;
        let seconds = seconds(input.duration.unwrap_or_default())?;
        let time = Time::new(starts_at, zone, seconds, input.is_recurring.unwrap_or_default(), bounds)?;
        Self {
            room_id: input.room_id.unwrap_or_default(),
            prop_id: input.prop_id.unwrap_or_default(),
            session_type: session_type(input.session_type.unwrap_or_default())?,
            title: input.title.unwrap_or_default(),
            description: input.description.unwrap_or_default(),
            color: input.color.unwrap_or_default().into(),
            time,
        }
        .checked()
    }

    /// The same with what a client wants changed: what is missing or unset stays, but the prop of another room. An empty
    /// `roomId` is left empty, for the event's.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn changed(&self, input: SessionInput, bounds: Option<Bounds>) -> Result<Self, Error> {
        let starts_at = input.start_date.instant.instant().unwrap_or(self.time.starts_at);
        let seconds = input.duration.map_or(Ok(self.time.seconds), seconds)?;
        let is_recurring = input.is_recurring.unwrap_or(self.time.is_recurring);
        let is_same =
            (starts_at, seconds, is_recurring) == (self.time.starts_at, self.time.seconds, self.time.is_recurring);
        let time = if is_same {
            self.time.clone()
        } else {
            Time::new(starts_at, self.time.zone()?, seconds, is_recurring, bounds)?
        };
        let room_id = input.room_id.unwrap_or_else(|| self.room_id.clone());
        let prop_of_room = if room_id == self.room_id { self.prop_id.clone() } else { String::new() };
        Self {
            prop_id: input.prop_id.unwrap_or(prop_of_room),
            room_id,
            session_type: input.session_type.map_or(Ok(self.session_type), session_type)?,
            title: input.title.unwrap_or_else(|| self.title.clone()),
            description: input.description.unwrap_or_else(|| self.description.clone()),
            color: input.color.map_or(self.color, Into::into),
            time,
        }
        .checked()
    }

    fn checked(self) -> Result<Self, Error> {
        check_text("data.session.title", &self.title, 1..=255)?;
        check_text("data.session.description", &self.description, 0..=10_000)?;
        if !self.color.is_finite() {
            return Err(Error::bad_request("data.session.color", "expected finite numbers"));
        }
        Ok(self)
    }
}

impl Content {
    /// Lets pass a room that the caller may use, and a prop in it (V4); in an event there may be none.
    ///
    /// # Errors
    /// 802, 803, 404; 400 when a room is needed.
    pub(crate) async fn check_place(
        &self,
        connection: &mut PgConnection,
        session: &Session,
        event: Option<Uuid>,
    ) -> Result<(), Error> {
        if !self.room_id.is_empty() {
            return check_place(connection, session, &self.room_id, &self.prop_id).await;
        }
        let what = match event {
            None => "expected a room: the session is of no event",
            Some(_) if !self.prop_id.is_empty() => "expected the room in which the prop stands",
            Some(_) => return Ok(()),
        };
        Err(Error::bad_request("data.session.roomId", what))
    }
}

fn seconds(duration: i64) -> Result<i32, Error> {
    i32::try_from(duration).ok().filter(|_| SECONDS.contains(&duration)).ok_or_else(|| {
        let what = format!("expected {} to {} seconds", SECONDS.start(), SECONDS.end());
        Error::bad_request("data.session.duration", what)
    })
}

fn session_type(number: i64) -> Result<i16, Error> {
    i16::try_from(number).ok().filter(|number| (0..=OPEN_SLOT).contains(number)).ok_or_else(|| {
        Error::bad_request("data.session.sessionType", "expected 0 (public), 1 (private) or 2 (open slot)")
    })
}

/// A row of `social_session_details`.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Row {
    pub(crate) network_id: String,
    pub(crate) id: Uuid,
    pub(crate) event_id: Option<Uuid>,
    pub(crate) owner_id: String,
    pub(crate) is_valid: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    #[sqlx(flatten)]
    pub(crate) content: Content,
}

//! A social session: what can be changed of it, its limits (S4), and its row.

use chrono::{DateTime, NaiveDateTime, Utc};
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;
use shared::{
    api::{LocalTimestamp, social::SessionInput, timestamp::write_zone},
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
        series::{Series, WEEK_SECONDS},
    },
    zones::Zones,
};

/// Only the invited and those who have joined know of it (S5).
pub(crate) const PRIVATE: i16 = 1;

/// One takes it beside its owner (S5).
pub(crate) const OPEN_SLOT: i16 = 2;

const START: &str = "data.session.startDate";
const DURATION: &str = "data.session.duration";

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

/// When a session is, as the database keeps it (S9). Of a recurring one `starts_at` and `ends_at` are what the zone data of
/// whoever wrote them made of the rest: what is told of it is read from its [`Time::series`].
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
    /// 400 when it is not within the event (S4), or beyond the calendar; of a recurring session also when it lasts longer than
    /// a week, or begins in the second run of an hour that its clock shows twice (S9).
    pub(crate) fn new(
        starts_at: DateTime<Utc>,
        zone: TimeZone,
        seconds: i32,
        is_recurring: bool,
        bounds: Option<Bounds>,
    ) -> Result<Self, Error> {
        let time_zone = write_zone(&zone).unwrap_or_else(|| "UTC".to_owned());
        let series = Series::new(starts_at, zone, seconds.into(), is_recurring)
            .ok_or_else(|| Error::bad_request(START, "there is no such time where the owner is"))?;
        if series.first().is_some_and(|first| first.start != starts_at) {
            let what = "expected another hour: clocks show this one twice, and a weekly session cannot begin in its second run";
            return Err(Error::bad_request(START, what));
        }
        Self::of(series, time_zone, bounds)
    }

    /// The time of a series, within its limits.
    fn of(series: Series, time_zone: String, bounds: Option<Bounds>) -> Result<Self, Error> {
        if series.is_recurring && series.seconds > WEEK_SECONDS {
            let what = format!("expected at most {WEEK_SECONDS} seconds for a weekly session");
            return Err(Error::bad_request(DURATION, what));
        }
        let series = series.until(bounds.map(|bounds| bounds.ends_at));
        let first =
            series.first().ok_or_else(|| Error::bad_request(DURATION, "expected an end before the year 10000"))?;
        if bounds.is_some_and(|bounds| first.start < bounds.starts_at) {
            return Err(Error::bad_request(START, "expected a time within the event"));
        }
        if bounds.is_some_and(|bounds| first.end > bounds.ends_at) {
            return Err(Error::bad_request(DURATION, "expected an end within the event"));
        }
        Ok(Self {
            starts_at: first.start,
            seconds: i32::try_from(series.seconds).unwrap_or(i32::MAX),
            is_recurring: series.is_recurring,
            local_start: series.local_start,
            time_zone,
            ends_at: series.end(),
        })
    }

    /// The same with what a client wants changed; no `start`: it stays, by the clock where the session stays weekly.
    fn changed(
        &self,
        start: Option<DateTime<Utc>>,
        seconds: i32,
        is_recurring: bool,
        bounds: Option<Bounds>,
        zones: &Zones,
    ) -> Result<Self, Error> {
        let shown = self.start(zones);
        // Also as somebody with other zone data has shown it.
        let stays = start.is_none_or(|start| start == shown || start == self.starts_at);
        if stays && (seconds, is_recurring) == (self.seconds, self.is_recurring) {
            return Ok(self.clone());
        }
        let series = if stays && is_recurring && self.is_recurring {
            Series { seconds: seconds.into(), ..self.series(zones, None) }
        } else {
            let start = start.filter(|_| !stays).unwrap_or(shown);
            return Ok(Self {
                time_zone: self.time_zone.clone(),
                ..Self::new(start, self.zone(zones), seconds, is_recurring, bounds)?
            });
        };
        Self::of(series, self.time_zone.clone(), bounds)
    }

    /// Its occurrences; `until` is its event's end.
    pub(crate) fn series(&self, zones: &Zones, until: Option<DateTime<Utc>>) -> Series {
        Series {
            starts_at: self.starts_at,
            local_start: self.local_start,
            zone: self.zone(zones),
            seconds: self.seconds.into(),
            is_recurring: self.is_recurring,
            until,
        }
    }

    /// When it begins, for the first time.
    pub(crate) fn start(&self, zones: &Zones) -> DateTime<Utc> {
        if !self.is_recurring {
            return self.starts_at;
        }
        self.series(zones, None).first().map_or(self.starts_at, |first| first.start)
    }

    /// With the first start and the end that it has by this zone data, whatever they were found with.
    pub(crate) fn worked_out(&self, zones: &Zones, until: Option<DateTime<Utc>>) -> Self {
        let series = self.series(zones, until);
        match series.first() {
            Some(first) => Self { starts_at: first.start, ends_at: series.end(), ..self.clone() },
            None => self.clone(),
        }
    }

    /// Where its clock is. A zone that is newer than our zone data has the offset that it had at the first start.
    fn zone(&self, zones: &Zones) -> TimeZone {
        zones.written(&self.time_zone).unwrap_or_else(|| {
            let seconds = (self.local_start - self.starts_at.naive_utc()).num_seconds();
            let offset = i32::try_from(seconds).ok().and_then(|seconds| Offset::from_seconds(seconds).ok());
            TimeZone::fixed(offset.unwrap_or(Offset::UTC))
        })
    }
}

/// The zone of a new session (S9): the owner's own, else the one that the timestamp is written in, else UTC.
pub(crate) fn zone_of(owners: &str, written: &LocalTimestamp, zones: &Zones) -> TimeZone {
    let offset = || Offset::from_seconds(written.offset_seconds?).ok().map(TimeZone::fixed);
    let named = || zones.written(&write_zone(written.zone.as_ref()?)?);
    let owners = if owners.is_empty() { None } else { zones.written(owners) };
    owners.or_else(named).or_else(offset).unwrap_or(TimeZone::UTC)
}

impl Content {
    /// What a client wants to create. The zone is [`zone_of`] it.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn new(
        input: SessionInput,
        owners_zone: &str,
        bounds: Option<Bounds>,
        zones: &Zones,
    ) -> Result<Self, Error> {
        let zone = zone_of(owners_zone, &input.start_date, zones);
        let starts_at = instant(START, input.start_date.instant)?;
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
    pub(crate) fn changed(&self, input: SessionInput, bounds: Option<Bounds>, zones: &Zones) -> Result<Self, Error> {
        let seconds = input.duration.map_or(Ok(self.time.seconds), seconds)?;
        let is_recurring = input.is_recurring.unwrap_or(self.time.is_recurring);
        let time = self.time.changed(input.start_date.instant.instant(), seconds, is_recurring, bounds, zones)?;
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
        Error::bad_request(DURATION, what)
    })
}

fn session_type(number: i64) -> Result<i16, Error> {
    i16::try_from(number).ok().filter(|number| (0..=OPEN_SLOT).contains(number)).ok_or_else(|| {
        Error::bad_request("data.session.sessionType", "expected 0 (public), 1 (private) or 2 (open slot)")
    })
}

/// A row of `social_session_details`. What clients get is [`Row::shown`].
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

impl Row {
    /// With the first start that the series has.
    pub(crate) fn shown(mut self, zones: &Zones) -> Self {
        self.content.time.starts_at = self.content.time.start(zones);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    /// At 02:30 in Berlin, on the last day of March.
    fn weekly() -> Time {
        Time {
            starts_at: at("2030-03-31T00:30:00Z"),
            seconds: 3600,
            is_recurring: true,
            local_start: "2030-03-31T02:30:00".parse().expect("a clock time"),
            time_zone: "Europe/Berlin".to_owned(),
            ends_at: None,
        }
    }

    #[test]
    fn t4_a_start_that_newer_zone_data_skips_keeps_its_clock_time() {
        let zones = Zones::bundled();
        let time = weekly();
        let shown = at("2030-03-31T01:30:00Z");
        assert_eq!(time.start(&zones), shown);
        // Whether or not a client sends along what it was shown, now or by somebody with the older data.
        for start in [None, Some(shown), Some(time.starts_at)] {
            let longer = time.changed(start, 7200, true, None, &zones).expect("a time");
            assert_eq!(longer, Time { starts_at: shown, seconds: 7200, ..weekly() }, "{start:?}");
            assert_eq!(time.changed(start, 3600, true, None, &zones).expect("a time"), time, "{start:?}");
        }
        let once = time.changed(None, 3600, false, None, &zones).expect("a time");
        assert_eq!((once.starts_at, once.ends_at), (shown, Some(at("2030-03-31T02:30:00Z"))));
    }

    #[test]
    fn s9_a_zone_unknown_to_our_data_keeps_the_offset_of_the_first_start() {
        let zones = Zones::bundled();
        let time = Time { time_zone: "Europe/Atlantis".to_owned(), ..weekly() };
        assert_eq!(time.start(&zones), time.starts_at);
        let second = time.series(&zones, None).nth(1).expect("no end");
        assert_eq!(second.start, at("2030-04-07T00:30:00Z"));
        let later = time.changed(Some(at("2030-05-01T10:00:00Z")), 3600, true, None, &zones).expect("a time");
        assert_eq!(
            (later.time_zone.as_str(), later.local_start),
            ("Europe/Atlantis", "2030-05-01T12:00:00".parse().expect("a clock time"))
        );
    }
}

//! A session as outsiders are told of it, in words and as a calendar file.

use chrono::{DateTime, NaiveDateTime, Utc};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    error::Error,
    social::{
        series::{Occurrence, Series},
        session::Time,
    },
    zones::Zones,
};

/// What is told of a session. As JSON it outlives the session, whose end is told (I2): what is added later needs a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, FromRow)]
pub(crate) struct Occasion {
    pub(crate) session_id: Uuid,
    pub(crate) title: String,
    pub(crate) description: String,
    /// Of its room; empty: none.
    pub(crate) room_title: String,
    /// As it was when the session was created (I3).
    pub(crate) owner_name: String,
    pub(crate) is_private: bool,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) seconds: i32,
    pub(crate) is_recurring: bool,
    pub(crate) local_start: NaiveDateTime,
    pub(crate) time_zone: String,
    /// Its event's end.
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) sequence: i32,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    /// Its last occurrence has ended.
    pub(crate) is_over: bool,
    /// What its times are found with.
    #[serde(skip)]
    #[sqlx(skip)]
    pub(crate) zones: Zones,
}

/// A session as it was when its end was decided, for whoever is still to be told. Kept as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cancelled {
    #[serde(flatten)]
    pub(super) occasion: Occasion,
    /// It takes place, but without the reader.
    #[serde(default)]
    pub(super) is_withdrawn: bool,
}

impl Cancelled {
    /// One step newer than whatever was sent of the session before.
    pub(super) fn of(mut occasion: Occasion, is_withdrawn: bool) -> Self {
        occasion.sequence = occasion.sequence.saturating_add(1);
        Self { occasion, is_withdrawn }
    }
}

impl Occasion {
    /// Of these sessions, those that are there.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        zones: &Zones,
        networks: &[&str],
        sessions: &[Uuid],
    ) -> Result<Vec<Self>, Error> {
        let found: Vec<Self> = sqlx::query_as(
            "SELECT s.id AS session_id, s.title, s.description, coalesce(r.title, '') AS room_title, s.owner_name,
                    s.session_type = 1 AS is_private, s.starts_at, s.seconds, s.is_recurring, s.local_start, s.time_zone,
                    e.ends_at AS until, s.sequence, s.created_at, s.updated_at,
                    coalesce(s.ends_at <= statement_timestamp(), false) AS is_over
             FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::uuid[])) w (network_id, id)
             JOIN social_sessions s ON s.network_id = w.network_id AND s.id = w.id
             LEFT JOIN social_events e ON e.network_id = s.network_id AND e.id = s.event_id
             LEFT JOIN rooms r ON r.network_id = s.network_id AND r.id = s.room_id",
        )
        .bind(networks)
        .bind(sessions)
        .fetch_all(connection)
        .await?;
        Ok(found.into_iter().map(|occasion| Self { zones: zones.clone(), ..occasion }).collect())
    }

    /// Where its clock times are read.
    pub(crate) fn zone(&self) -> TimeZone {
        self.series().zone
    }

    /// When it occurs.
    pub(crate) fn series(&self) -> Series {
        let time = Time {
            starts_at: self.starts_at,
            seconds: self.seconds,
            is_recurring: self.is_recurring,
            local_start: self.local_start,
            time_zone: self.time_zone.clone(),
            ends_at: None,
        };
        time.series(&self.zones, self.until)
    }

    /// The next time that it is, or was.
    pub(crate) fn next(&self, now: DateTime<Utc>) -> Option<Occurrence> {
        let series = self.series();
        series.next(now).or_else(|| series.first())
    }
}

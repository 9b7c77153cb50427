//! A meeting as clients of the current and of the deprecated endpoints get it: rules M1, M10.

use chrono::{DateTime, Utc};
use shared::api::{
    Resource, from_json,
    meeting::{
        Meeting,
        deprecated::{InvitedUser, MeetingProp, MeetingRoom, RoomMeeting},
    },
};
use sqlx::{FromRow, PgConnection, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{context::Change, error::Error, meeting::row::Row};

/// A meeting, with what only the deprecated endpoints and events show of it where that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) row: Row,
    /// `None`: it was not asked for.
    view: Option<View>,
}

/// What is read of a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// What the current endpoints and events show. Costs neither the pictures nor the names of the other.
    Current,
    /// What the deprecated ones show as well: a row of `details.sql`.
    Deprecated,
}

impl Reads {
    /// What the events of a change show: the deprecated ones only where they are sent.
    pub(crate) fn of_events<C>(change: &Change<C>) -> Self {
        if change.context().config.deprecated_events { Self::Deprecated } else { Self::Current }
    }
}

/// What `details.sql` adds to a meeting's row.
#[derive(Clone, Debug, FromRow)]
struct View {
    updated_at: DateTime<Utc>,
    room_title: Option<String>,
    /// JSON: resource.
    room_thumbnail: Option<String>,
    prop_title: Option<String>,
    /// The organizer is among them. `None` for other sources, and when they are larger than any answer.
    people: Option<Json<Vec<InvitedUser>>>,
}

impl FromRow<'_, PgRow> for Details {
    /// Of a row of `details.sql`.
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self { row: Row::from_row(row)?, view: Some(View::from_row(row)?) })
    }
}

impl From<Row> for Details {
    fn from(row: Row) -> Self {
        Self { row, view: None }
    }
}

/// The statement that reads meetings of some names, without and with what deprecated endpoints show.
macro_rules! meetings {
    ($which:literal) => {
        [concat!("SELECT d.* FROM meeting_details d ", $which), concat!(include_str!("details.sql"), $which)]
    };
}

impl Details {
    /// A meeting that is there, in a statement of its own: after a change it sees what was changed.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of(
        connection: &mut PgConnection,
        network: &str,
        id: Uuid,
        reads: Reads,
    ) -> Result<Self, Error> {
        let [current, deprecated] = meetings!("WHERE d.network_id = $1 AND d.id = $2");
        Ok(match reads {
            Reads::Current => {
                sqlx::query_as::<_, Row>(current).bind(network).bind(id).fetch_one(connection).await?.into()
            }
            Reads::Deprecated => sqlx::query_as(deprecated).bind(network).bind(id).fetch_one(connection).await?,
        })
    }

    /// Those of some meetings that are there, in order; at each index one's network and id.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of_many(
        connection: &mut PgConnection,
        networks: &[&str],
        ids: &[Uuid],
        reads: Reads,
    ) -> Result<Vec<Self>, Error> {
        let [current, deprecated] = meetings!(
            "JOIN unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS wanted (network_id, id, place)
                 ON wanted.network_id = d.network_id AND wanted.id = d.id
             ORDER BY wanted.place"
        );
        Ok(match reads {
            Reads::Current => {
                let rows: Vec<Row> = sqlx::query_as(current).bind(networks).bind(ids).fetch_all(connection).await?;
                rows.into_iter().map(Self::from).collect()
            }
            Reads::Deprecated => sqlx::query_as(deprecated).bind(networks).bind(ids).fetch_all(connection).await?,
        })
    }

    /// As the current endpoints show it.
    pub(crate) fn meeting(&self) -> Meeting {
        self.row.clone().into_meeting()
    }

    /// As the deprecated endpoints show it.
    ///
    /// # Errors
    /// 404 when they do not (M10), 413 when it is larger than any answer, 500 when the row is none that this program
    /// writes, or was read as [`Reads::Current`].
    pub(crate) fn room_meeting(&self) -> Result<RoomMeeting, Error> {
        let Row { id, organizer_id, source, created_at, is_valid, content, .. } = &self.row;
        let (room, prop) = source.place().ok_or_else(|| Error::not_found("meeting"))?;
        let view = self.view.as_ref().ok_or_else(|| Error::internal("what deprecated endpoints show was not read"))?;
        let Some(Json(mut people)) = view.people.clone() else {
            return Err(Error::too_large(
                "who takes part is too large to be shown: meeting:getMeeting names them only",
            ));
        };
        let organizer = people
            .iter()
            .position(|person| person.user.id == *organizer_id)
            .map(|place| people.remove(place).user)
            .ok_or_else(|| Error::internal(format!("meeting {id} has no organizer")))?;
        Ok(RoomMeeting {
            id: id.to_string(),
            created: (*created_at).into(),
            updated: view.updated_at.into(),
            start_date: content.time.starts_at.into(),
            end_date: content.time.ends_at.into(),
            subject: content.subject.clone(),
            room_id: room.to_owned(),
            prop_id: prop.unwrap_or_default().to_owned(),
            color: content.color.into(),
            is_valid: *is_valid,
            room: MeetingRoom {
                id: room.to_owned(),
                title: view.room_title.clone().unwrap_or_default(),
                thumbnail: thumbnail(view.room_thumbnail.as_deref().unwrap_or_default())?,
            },
            prop: MeetingProp {
                id: prop.unwrap_or_default().to_owned(),
                title: view.prop_title.clone().unwrap_or_default(),
            },
            organizer,
            invited_users: people,
        })
    }
}

/// Reads the directory's JSON; empty: nothing is set.
fn thumbnail(json: &str) -> Result<Resource, Error> {
    from_json("thumbnail", json).map_err(|error| Error::internal(format!("a room's thumbnail cannot be read: {error}")))
}

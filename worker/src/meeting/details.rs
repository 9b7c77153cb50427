//! A meeting as clients of the current and of the deprecated endpoints get it: rules M1, M10.

use chrono::{DateTime, Utc};
use shared::api::{
    Resource, from_json,
    meeting::{
        Meeting,
        deprecated::{InvitedUser, MeetingProp, MeetingRoom, RoomMeeting},
    },
};
use sqlx::{FromRow, PgConnection, types::Json};
use uuid::Uuid;

use crate::{error::Error, meeting::row::Row};

/// A row of `details.sql`.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Details {
    #[sqlx(flatten)]
    pub(crate) row: Row,
    updated_at: DateTime<Utc>,
    room_title: Option<String>,
    /// JSON: resource.
    room_thumbnail: Option<String>,
    prop_title: Option<String>,
    /// The organizer is among them. `None` for other sources, and when they are larger than any answer.
    people: Option<Json<Vec<InvitedUser>>>,
}

impl Details {
    /// A meeting that is there, in a statement of its own: after a change it sees what was changed.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of(connection: &mut PgConnection, network: &str, id: Uuid) -> Result<Self, Error> {
        let sql = concat!(include_str!("details.sql"), "WHERE d.network_id = $1 AND d.id = $2");
        Ok(sqlx::query_as(sql).bind(network).bind(id).fetch_one(connection).await?)
    }

    /// Those of some meetings that are there, in order; at each index one's network and id.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of_many(
        connection: &mut PgConnection,
        networks: &[&str],
        ids: &[Uuid],
    ) -> Result<Vec<Self>, Error> {
        let sql = concat!(
            include_str!("details.sql"),
            "JOIN unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS wanted (network_id, id, place)
                 ON wanted.network_id = d.network_id AND wanted.id = d.id
             ORDER BY wanted.place"
        );
        Ok(sqlx::query_as(sql).bind(networks).bind(ids).fetch_all(connection).await?)
    }

    /// As the current endpoints show it.
    pub(crate) fn meeting(&self) -> Meeting {
        self.row.clone().into_meeting()
    }

    /// As the deprecated endpoints show it.
    ///
    /// # Errors
    /// 404 when they do not (M10), 413 when it is larger than any answer, 500 when the row is none that this program
    /// writes.
    pub(crate) fn room_meeting(&self) -> Result<RoomMeeting, Error> {
        let Row { id, organizer_id, source, created_at, is_valid, content, .. } = &self.row;
        let (room, prop) = source.place().ok_or_else(|| Error::not_found("meeting"))?;
        let Some(Json(mut people)) = self.people.clone() else {
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
            updated: self.updated_at.into(),
            start_date: content.time.starts_at.into(),
            end_date: content.time.ends_at.into(),
            subject: content.subject.clone(),
            room_id: room.to_owned(),
            prop_id: prop.unwrap_or_default().to_owned(),
            color: content.color.into(),
            is_valid: *is_valid,
            room: MeetingRoom {
                id: room.to_owned(),
                title: self.room_title.clone().unwrap_or_default(),
                thumbnail: thumbnail(self.room_thumbnail.as_deref().unwrap_or_default())?,
            },
            prop: MeetingProp {
                id: prop.unwrap_or_default().to_owned(),
                title: self.prop_title.clone().unwrap_or_default(),
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

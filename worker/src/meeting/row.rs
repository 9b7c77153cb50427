//! A meeting as the view `meeting_details` gives it, and as clients get it.

use chrono::{DateTime, Utc};
use shared::api::{
    Rgba,
    meeting::{Meeting, SourceType},
};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{error::Error, meeting::source::Source};

/// What can be changed of a meeting.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub(crate) struct Content {
    pub(crate) subject: String,
    pub(crate) description: String,
    #[sqlx(flatten)]
    pub(crate) color: Color,
    #[sqlx(flatten)]
    pub(crate) time: Time,
}

/// When a meeting is; half open (T1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub(crate) struct Time {
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
}

/// The colour's columns.
#[derive(Clone, Copy, Debug, PartialEq, FromRow)]
pub(crate) struct Color {
    color_r: f64,
    color_g: f64,
    color_b: f64,
    color_a: f64,
}

impl Color {
    pub(crate) fn is_finite(self) -> bool {
        [self.color_r, self.color_g, self.color_b, self.color_a].into_iter().all(f64::is_finite)
    }
}

impl From<Rgba> for Color {
    fn from(Rgba { r, g, b, a }: Rgba) -> Self {
        Self { color_r: r, color_g: g, color_b: b, color_a: a }
    }
}

impl From<Color> for Rgba {
    fn from(Color { color_r, color_g, color_b, color_a }: Color) -> Self {
        Self { r: color_r, g: color_g, b: color_b, a: color_a }
    }
}

/// A row of `meeting_details`.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Row {
    pub(crate) network_id: String,
    id: Uuid,
    organizer_id: String,
    source_type: String,
    room_id: Option<String>,
    prop_id: Option<String>,
    group_id: Option<String>,
    direct_user_id: Option<String>,
    created_at: DateTime<Utc>,
    is_valid: bool,
    /// In order (M2).
    pub(crate) participant_ids: Vec<String>,
    #[sqlx(flatten)]
    pub(crate) content: Content,
}

impl Row {
    /// As clients get it.
    ///
    /// # Errors
    /// 500 when the row is none that this program writes.
    pub(crate) fn into_meeting(self) -> Result<Meeting, Error> {
        let source = match (SourceType::parse(&self.source_type), self.room_id, self.prop_id) {
            (Some(SourceType::Room), Some(room), None) => Some(Source::Room { room }),
            (Some(SourceType::Prop), Some(room), Some(prop)) => Some(Source::Prop { room, prop }),
            (Some(SourceType::Group), None, None) => self.group_id.map(|group| Source::Group { group }),
            (Some(SourceType::Direct), None, None) => self.direct_user_id.map(|user| Source::Direct { user }),
            _ => None,
        };
        let source = source.ok_or_else(|| Error::internal(format!("meeting {} has no source", self.id)))?;
        Ok(meeting(
            Identity {
                network: &self.network_id,
                id: self.id,
                organizer: self.organizer_id,
                source: &source,
                created_at: self.created_at,
            },
            self.is_valid,
            self.participant_ids,
            self.content,
        ))
    }
}

/// What never changes of a meeting.
#[derive(Clone, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) network: &'a str,
    pub(crate) id: Uuid,
    pub(crate) organizer: String,
    pub(crate) source: &'a Source,
    pub(crate) created_at: DateTime<Utc>,
}

/// A meeting as clients get it.
pub(crate) fn meeting(
    identity: Identity<'_>,
    is_valid: bool,
    participant_ids: Vec<String>,
    content: Content,
) -> Meeting {
    let Identity { network, id, organizer, source, created_at } = identity;
    let (source_type, source_pk) = (source.source_type(), source.pk());
    Meeting {
        meeting_id: id.to_string(),
        created: created_at.into(),
        subject: content.subject,
        description: content.description,
        color: content.color.into(),
        is_valid,
        organizer_id: organizer,
        participant_ids,
        source_string: format!("{source_type}:{network}:{source_pk}"),
        source_type,
        source_pk,
        network_id: network.to_owned(),
        start_date: content.time.starts_at.into(),
        end_date: content.time.ends_at.into(),
    }
}

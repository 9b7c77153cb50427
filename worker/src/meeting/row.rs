//! A meeting as the view `meeting_details` gives it, and as clients get it.

use chrono::{DateTime, Utc};
use shared::api::{Rgba, meeting::Meeting};
use sqlx::FromRow;
use uuid::Uuid;

use crate::meeting::source::Source;

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
#[derive(Clone, Copy, Debug, FromRow)]
pub(crate) struct Color {
    color_r: f64,
    color_g: f64,
    color_b: f64,
    color_a: f64,
}

impl Color {
    fn parts(self) -> [f64; 4] {
        [self.color_r, self.color_g, self.color_b, self.color_a]
    }

    pub(crate) fn is_finite(self) -> bool {
        self.parts().into_iter().all(f64::is_finite)
    }
}

impl PartialEq for Color {
    /// As doubles are kept (V6): 0.0 and -0.0 are two.
    fn eq(&self, other: &Self) -> bool {
        self.parts().map(f64::to_bits) == other.parts().map(f64::to_bits)
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
    pub(crate) id: Uuid,
    pub(crate) organizer_id: String,
    #[sqlx(flatten)]
    pub(crate) source: Source,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) is_valid: bool,
    /// In order (M2).
    pub(crate) participant_ids: Vec<String>,
    #[sqlx(flatten)]
    pub(crate) content: Content,
}

impl Row {
    /// As clients get it.
    pub(crate) fn into_meeting(self) -> Meeting {
        let Self { network_id, id, organizer_id, source, created_at, is_valid, participant_ids, content } = self;
        let (source_type, source_pk) = (source.source_type(), source.pk());
        Meeting {
            meeting_id: id.to_string(),
            created: created_at.into(),
            subject: content.subject,
            description: content.description,
            color: content.color.into(),
            is_valid,
            organizer_id,
            participant_ids,
            source_string: format!("{source_type}:{network_id}:{source_pk}"),
            source_type,
            source_pk,
            network_id,
            start_date: content.time.starts_at.into(),
            end_date: content.time.ends_at.into(),
        }
    }
}

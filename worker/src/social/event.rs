//! A social event: what can be changed of it, its limits (S2), and as clients get it.

use chrono::{DateTime, Utc};
use shared::api::{
    CustomMap, Timestamp,
    social::{EventChange, NewEvent, SocialEvent},
};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    social::{
        limits::{check_text, instant},
        source::Source,
    },
};

/// `customData` and `formSchema` have at most so many bytes together.
const MAX_CUSTOM_BYTES: usize = 64 * 1024;

/// What can be changed of an event.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub(crate) struct Content {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
    pub(crate) preview_resource_id: String,
    pub(crate) room_id: String,
    pub(crate) participant_limit: i64,
    pub(crate) price: f64,
    /// JSON, as it came.
    pub(crate) custom_data: String,
    /// JSON, as it came.
    pub(crate) form_schema: String,
}

impl Content {
    /// What a client wants to create.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn new(event: NewEvent, form_schema: &CustomMap) -> Result<Self, Error> {
        Self {
            title: event.title,
            description: event.description,
            starts_at: instant("data.event.startDate", event.start_date)?,
            ends_at: instant("data.event.endDate", event.end_date)?,
            preview_resource_id: event.preview_resource_id,
            room_id: event.room_id,
            participant_limit: event.participant_limit,
            price: event.price,
            custom_data: event.custom_data.as_str().to_owned(),
            form_schema: form_schema.as_str().to_owned(),
        }
        .checked()
    }

    /// The same with what a client wants changed: what is missing or unset stays.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn changed(&self, event: EventChange, form_schema: Option<&CustomMap>) -> Result<Self, Error> {
        let text = |given: Option<&CustomMap>, old: &str| given.map_or(old, CustomMap::as_str).to_owned();
        Self {
            title: event.title.unwrap_or_else(|| self.title.clone()),
            description: event.description.unwrap_or_else(|| self.description.clone()),
            starts_at: event.start_date.instant().unwrap_or(self.starts_at),
            ends_at: event.end_date.instant().unwrap_or(self.ends_at),
            preview_resource_id: event.preview_resource_id.unwrap_or_else(|| self.preview_resource_id.clone()),
            room_id: event.room_id.unwrap_or_else(|| self.room_id.clone()),
            participant_limit: event.participant_limit.unwrap_or(self.participant_limit),
            price: event.price.unwrap_or(self.price),
            custom_data: text(event.custom_data.as_ref(), &self.custom_data),
            form_schema: text(form_schema, &self.form_schema),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, Error> {
        check_text("data.event.title", &self.title, 1..=255)?;
        if self.starts_at >= self.ends_at {
            return Err(Error::bad_request("data.event.endDate", "expected a time after startDate"));
        }
        if self.participant_limit < 0 {
            return Err(Error::bad_request("data.event.participantLimit", "expected 0 or more"));
        }
        if !(self.price >= 0.0 && self.price.is_finite()) {
            return Err(Error::bad_request("data.event.price", "expected a finite number, 0 or more"));
        }
        if self.custom_data.len() + self.form_schema.len() > MAX_CUSTOM_BYTES {
            let larger =
                if self.custom_data.len() >= self.form_schema.len() { "event.customData" } else { "formSchema" };
            let what = format!("expected at most {MAX_CUSTOM_BYTES} bytes of customData and formSchema together");
            return Err(Error::bad_request(format_args!("data.{larger}"), what));
        }
        Ok(self)
    }
}

/// A row of `social_events`.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Row {
    network_id: String,
    id: Uuid,
    community_id: String,
    pub(crate) is_published: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[sqlx(flatten)]
    pub(crate) content: Content,
}

/// The columns of [`Row`].
macro_rules! event_columns {
    () => {
        "e.network_id, e.id, e.community_id, e.is_published, e.created_at, e.updated_at, e.title, e.description,
         e.starts_at, e.ends_at, e.preview_resource_id, e.room_id, e.participant_limit, e.price, e.custom_data,
         e.form_schema"
    };
}
pub(crate) use event_columns;

impl Row {
    /// The event as clients get it.
    pub(crate) fn into_event(self) -> Result<SocialEvent, Error> {
        let source = Source::of_column(&self.network_id, self.community_id);
        let Content { title, description, preview_resource_id, room_id, participant_limit, price, .. } = self.content;
        Ok(SocialEvent {
            id: self.id.to_string(),
            created: self.created_at.into(),
            updated: self.updated_at.into(),
            source_string: source.to_string(),
            source_type: source.kind().to_owned(),
            source_pk: source.pk().to_owned(),
            network_id: self.network_id,
            title,
            description,
            start_date: Timestamp::from(self.content.starts_at),
            end_date: Timestamp::from(self.content.ends_at),
            preview_resource_id,
            room_id,
            participant_limit,
            price,
            custom_data: custom_map(&self.content.custom_data)?,
            status: self.is_published.into(),
            form_schema: custom_map(&self.content.form_schema)?,
        })
    }
}

fn custom_map(text: &str) -> Result<CustomMap, Error> {
    serde_json::from_str(text).map_err(|error| Error::internal(format!("an event's JSON cannot be read: {error}")))
}

/// An event, with what its reader may do with it.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Seen {
    pub(crate) manages: bool,
    #[sqlx(flatten)]
    pub(crate) row: Row,
}

/// The event as it stands, for a user who sees it.
///
/// # Errors
/// 404 (V2).
pub(crate) async fn look(connection: &mut PgConnection, network: &str, user: &str, id: Uuid) -> Result<Seen, Error> {
    sqlx::query_as(concat!(
        "SELECT ",
        event_columns!(),
        ", r.manages
         FROM social_events e
         JOIN social_event_rights r ON r.network_id = e.network_id AND r.event_id = e.id AND r.user_id = $2
         WHERE e.network_id = $1 AND e.id = $3 AND r.sees",
    ))
    .bind(network)
    .bind(user)
    .bind(id)
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| Error::not_found("event"))
}

/// Locks an event until the commit, against every change of it and of its sessions, for a manager of its source (S1).
///
/// # Errors
/// 404 when there is none that the caller may know, 403 when he does not manage it.
pub(crate) async fn lock_as_manager(change: &mut Change, id: Uuid) -> Result<Seen, Error> {
    let session = change.session().clone();
    // The first time without a lock: who may not is not kept waiting.
    managers_only(&look(change.connection(), &session.network, &session.user, id).await?)?;
    sqlx::query("SELECT FROM social_events WHERE network_id = $1 AND id = $2 FOR UPDATE")
        .bind(&session.network)
        .bind(id)
        .execute(change.connection())
        .await?;
    let seen = look(change.connection(), &session.network, &session.user, id).await?;
    managers_only(&seen)?;
    Ok(seen)
}

fn managers_only(seen: &Seen) -> Result<(), Error> {
    if seen.manages { Ok(()) } else { Err(Error::forbidden("only managers of the event may do this")) }
}

//! A session as it stands, what the caller is to it, and its locks.
//!
//! Every change of a session locks, each in a statement of its own and in this order: the rows of `members` of those who come
//! to belong to it, its event, the session; then it looks again. A first look without locks makes refusals cheap.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    social::{
        outsiders::{self, Token},
        session::{Bounds, Content},
    },
    zones::Zones,
};

/// A session, for a user who sees it.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Standing {
    pub(crate) event_id: Option<Uuid>,
    pub(crate) owner_id: String,
    #[sqlx(flatten)]
    pub(crate) content: Content,
    event_starts_at: Option<DateTime<Utc>>,
    /// The event's end.
    pub(crate) until: Option<DateTime<Utc>>,
    /// The event's room; empty: none.
    pub(crate) event_room_id: String,
    /// S6; 0: none.
    pub(crate) participant_limit: i64,
    /// The user owns it, or manages its event (S8).
    pub(crate) manages: bool,
    /// What the user is invited as.
    pub(crate) role: Option<i16>,
    pub(crate) joined_at: Option<DateTime<Utc>>,
    /// The database's clock.
    now: DateTime<Utc>,
}

impl Standing {
    /// When its event lets it be.
    pub(crate) fn bounds(&self) -> Option<Bounds> {
        Some(Bounds { starts_at: self.event_starts_at?, ends_at: self.until? })
    }

    /// Whether its last occurrence has ended.
    pub(crate) fn is_over(&self, zones: &Zones) -> bool {
        self.content.time.series(zones, self.until).next(self.now).is_none()
    }

    /// Lets its owner and the managers of its event pass (S8).
    ///
    /// # Errors
    /// 403 for others who see it.
    pub(crate) fn managers_only(&self) -> Result<(), Error> {
        if self.manages {
            return Ok(());
        }
        Err(Error::forbidden("only the owner and the managers of the event may do this"))
    }
}

/// The session as it stands, for a user who sees it.
///
/// # Errors
/// 404 (V2).
pub(crate) async fn look(
    connection: &mut PgConnection,
    network: &str,
    user: &str,
    id: Uuid,
) -> Result<Standing, Error> {
    look_at(connection, network, user, id, false).await
}

/// [`look`], also for a user who `is_let_in` although he does not see it yet.
async fn look_at(
    connection: &mut PgConnection,
    network: &str,
    user: &str,
    id: Uuid,
    is_let_in: bool,
) -> Result<Standing, Error> {
    sqlx::query_as(
        "SELECT s.event_id, s.owner_id, s.room_id, s.prop_id, s.session_type, s.title, s.description, s.color_r,
                s.color_g, s.color_b, s.color_a, s.starts_at, s.seconds, s.is_recurring, s.local_start, s.time_zone,
                s.ends_at, e.starts_at AS event_starts_at, e.ends_at AS until,
                coalesce(e.room_id, '') AS event_room_id, coalesce(e.participant_limit, 0) AS participant_limit,
                r.manages, r.role, r.joined_at, statement_timestamp() AS now
         FROM social_session_rights r
         JOIN social_sessions s ON s.network_id = r.network_id AND s.id = r.session_id
         LEFT JOIN social_events e ON e.network_id = s.network_id AND e.id = s.event_id
         WHERE r.network_id = $1 AND r.user_id = $2 AND r.session_id = $3 AND (r.sees OR $4)",
    )
    .bind(network)
    .bind(user)
    .bind(id)
    .bind(is_let_in)
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| Error::not_found("session"))
}

/// [`look`], for the caller of a change.
///
/// # Errors
/// 404 (V2).
pub(crate) async fn look_as_caller(change: &mut Change, id: Uuid) -> Result<Standing, Error> {
    let session = change.session().clone();
    look(change.connection(), &session.network, &session.user, id).await
}

/// [`look_as_caller`], for a caller who may have the token of an invitation to it.
///
/// # Errors
/// 404 (V2).
pub(crate) async fn look_with(change: &mut Change, id: Uuid, token: Option<&Token>) -> Result<Standing, Error> {
    let session = change.session().clone();
    let is_let_in = match token {
        Some(token) => outsiders::is_good(change, id, token).await?,
        None => false,
    };
    look_at(change.connection(), &session.network, &session.user, id, is_let_in).await
}

/// What a change of a session needs of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// That its time, its limit and itself stay: many such changes go on at once.
    Stays,
    /// Also that nobody else takes a place, where places are limited (S6).
    Places,
}

/// Locks the event until the commit, as far as is needed. Returns whether it is still there.
///
/// # Errors
/// The database's.
pub(crate) async fn lock_event(change: &mut Change, event: Uuid, need: Need, is_limited: bool) -> Result<bool, Error> {
    // Changes of the event itself lock it FOR UPDATE, which keeps all these out. Those who take places keep each other out;
    // going from the weaker lock to the stronger one waits for nobody who waits.
    const STAYS: &str = "SELECT participant_limit FROM social_events WHERE network_id = $1 AND id = $2 FOR KEY SHARE";
    const PLACES: &str =
        "SELECT participant_limit FROM social_events WHERE network_id = $1 AND id = $2 FOR NO KEY UPDATE";
    let network = change.session().network.clone();
    let is_strong = need == Need::Places && is_limited;
    let limit: Option<i64> = sqlx::query_scalar(if is_strong { PLACES } else { STAYS })
        .bind(&network)
        .bind(event)
        .fetch_optional(change.connection())
        .await?;
    if need == Need::Places && !is_strong && limit.is_some_and(|limit| limit > 0) {
        // It has become limited since it was looked at.
        sqlx::query(PLACES).bind(network).bind(event).execute(change.connection()).await?;
    }
    Ok(limit.is_some())
}

/// Locks the session and, before it, its event, until the commit.
///
/// # Errors
/// 404 when it is gone.
pub(crate) async fn lock(change: &mut Change, id: Uuid, seen: &Standing, need: Need) -> Result<(), Error> {
    let is_limited = seen.participant_limit > 0;
    if let Some(event) = seen.event_id
        && !lock_event(change, event, need, is_limited).await?
    {
        return Err(Error::not_found("session"));
    }
    let network = change.session().network.clone();
    sqlx::query("SELECT FROM social_sessions WHERE network_id = $1 AND id = $2 FOR UPDATE")
        .bind(network)
        .bind(id)
        .fetch_optional(change.connection())
        .await?
        .map(drop)
        .ok_or_else(|| Error::not_found("session"))
}

/// Looks at the session, locks it, and looks again: what is returned stays until the commit, but for what the caller is to
/// its event. `check` refuses; the first time without locks.
///
/// # Errors
/// 404 (V2), and those of `check`.
pub(crate) async fn lock_checked(
    change: &mut Change,
    id: Uuid,
    check: impl Fn(&Standing) -> Result<(), Error>,
) -> Result<Standing, Error> {
    let seen = look_as_caller(change, id).await?;
    check(&seen)?;
    lock(change, id, &seen, Need::Stays).await?;
    let standing = look_as_caller(change, id).await?;
    check(&standing)?;
    Ok(standing)
}

/// Locks rows of `members` until the commit, in order, so that none of these users leaves the network meanwhile. Returns
/// those who are of the network.
///
/// # Errors
/// The database's.
pub(crate) async fn lock_members(change: &mut Change, users: &[&str]) -> Result<Vec<String>, Error> {
    let network = change.session().network.clone();
    Ok(sqlx::query_scalar(
        "SELECT user_id FROM members WHERE network_id = $1 AND user_id = ANY ($2) ORDER BY user_id FOR KEY SHARE",
    )
    .bind(network)
    .bind(users)
    .fetch_all(change.connection())
    .await?)
}

/// Notes that the session, which is locked, has changed: in the statement's own time, not the transaction's, so that
/// `updated` never falls.
///
/// # Errors
/// The database's.
pub(crate) async fn touch(change: &mut Change, id: Uuid) -> Result<(), Error> {
    let network = change.session().network.clone();
    sqlx::query("UPDATE social_sessions SET updated_at = statement_timestamp() WHERE network_id = $1 AND id = $2")
        .bind(network)
        .bind(id)
        .execute(change.connection())
        .await?;
    Ok(())
}

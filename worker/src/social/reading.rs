//! Sessions as one reader gets them in an answer: rules V5, S1, S11.

use shared::{
    api::{MAX_EVENT_BYTES, social::SocialSession},
    internal::Session,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    context::json_bytes,
    error::Error,
    social::{
        limits::{LISTED_JOINED, MAX_LIST_BYTES, MAX_LISTED_JOINED},
        people::{Party, Profiles, Sight},
        session::Row,
    },
};

/// So many sessions of a list are read at once.
const PAGE: usize = 50;

/// One session, for a caller who sees it.
///
/// # Errors
/// 404 when it is gone.
pub(crate) async fn read_one(
    connection: &mut PgConnection,
    session: &Session,
    id: Uuid,
    manages: bool,
) -> Result<SocialSession, Error> {
    let row = row(connection, &session.network, id).await?;
    let mut parties = Party::load(&mut *connection, vec![row]).await?;
    let party = parties.pop().ok_or_else(|| Error::not_found("session"))?;
    let profiles = Profiles::load(connection, party.shown(party.window(&session.user, MAX_LISTED_JOINED))).await?;
    as_read(&party, &session.user, manages, &profiles)
}

/// The row of a session.
///
/// # Errors
/// 404 when it is gone.
pub(crate) async fn row(connection: &mut PgConnection, network: &str, id: Uuid) -> Result<Row, Error> {
    sqlx::query_as("SELECT * FROM social_session_details WHERE network_id = $1 AND id = $2")
        .bind(network)
        .bind(id)
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| Error::not_found("session"))
}

/// Of sessions that the caller sees, the first ones that fit an answer; each with whether he manages it.
///
/// # Errors
/// The database's.
pub(crate) async fn read_many(
    connection: &mut PgConnection,
    session: &Session,
    rows: Vec<(Row, bool)>,
) -> Result<Vec<SocialSession>, Error> {
    let mut sessions = Vec::new();
    let mut bytes = 0;
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let (page, manages): (Vec<Row>, Vec<bool>) = rows.by_ref().take(PAGE).unzip();
        let parties = Party::load(&mut *connection, page).await?;
        let shown = parties.iter().flat_map(|party| party.shown(party.window(&session.user, MAX_LISTED_JOINED)));
        let profiles = Profiles::load(&mut *connection, shown).await?;
        for (party, manages) in parties.iter().zip(manages) {
            let seen = as_read(party, &session.user, manages, &profiles)?;
            bytes += json_bytes(&seen)? + 1;
            if bytes > MAX_LIST_BYTES {
                return Ok(sessions);
            }
            sessions.push(seen);
        }
    }
    Ok(sessions)
}

/// Lists fewer of those who have joined where the session would be too large for an event.
fn as_read(party: &Party, reader: &str, manages: bool, profiles: &Profiles) -> Result<SocialSession, Error> {
    let sight = if manages { Sight::All } else { Sight::Others(Some(reader)) };
    let [most, fewer @ ..] = LISTED_JOINED;
    let mut session = party.session(&party.window(reader, most), sight, profiles);
    for most in fewer {
        if json_bytes(&session)? <= MAX_EVENT_BYTES {
            break;
        }
        session = party.session(&party.window(reader, most), sight, profiles);
    }
    Ok(session)
}

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
        crowd::{self, Joined},
        limits::{LISTED_JOINED, MAX_LIST_BYTES, MAX_LISTED_JOINED},
        people::{Party, Profiles, Sight, part, part_of_place},
        session::Row,
    },
    zones::Zones,
};

/// So many sessions of a list are read at once.
const PAGE: usize = 50;

/// One session, for a caller who sees it.
///
/// # Errors
/// 404 when it is gone.
pub(crate) async fn read_one(
    connection: &mut PgConnection,
    zones: &Zones,
    session: &Session,
    id: Uuid,
    manages: bool,
) -> Result<SocialSession, Error> {
    let row = row(connection, &session.network, id).await?.shown(zones);
    let mut parties = Party::load(&mut *connection, vec![row]).await?;
    let party = parties.pop().ok_or_else(|| Error::not_found("session"))?;
    let first = crowd::after(&mut *connection, party.key(), None, MAX_LISTED_JOINED).await?;
    let listed = listed(&mut *connection, &party, first, &session.user).await?;
    let profiles = Profiles::load(connection, party.shown(&listed)).await?;
    as_read(&party, &listed, &session.user, manages, &profiles)
}

/// Those who are listed for a reader, himself among them when he has joined: the first ones, the last ones, or those from
/// him on.
async fn listed(
    connection: &mut PgConnection,
    party: &Party,
    first: Vec<Joined>,
    reader: &str,
) -> Result<Vec<String>, Error> {
    let users = |part: Vec<Joined>| part.into_iter().map(|joined| joined.user_id).collect();
    if first.len() < MAX_LISTED_JOINED || first.iter().any(|joined| joined.user_id == reader) {
        return Ok(users(first));
    }
    let itself = crowd::among(&mut *connection, party.key(), [&reader.to_owned()]).await?;
    let lists = crowd::lists(connection, party.key(), first, itself).await?;
    let last = lists.into_iter().reduce(|first, other| if other.readers.is_empty() { first } else { other });
    Ok(last.map(|list| users(list.shown)).unwrap_or_default())
}

/// The row of a session.
async fn row(connection: &mut PgConnection, network: &str, id: Uuid) -> Result<Row, Error> {
    sqlx::query_as("SELECT * FROM social_session_details WHERE network_id = $1 AND id = $2")
        .bind(network)
        .bind(id)
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| Error::not_found("session"))
}

/// Of sessions that the caller sees, as they are shown, the first ones that fit an answer; each with whether he manages it.
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
        let mut firsts = crowd::firsts(&mut *connection, parties.iter().map(Party::key)).await?;
        let mut lists = Vec::with_capacity(parties.len());
        for party in &parties {
            let first = firsts.remove(&party.row.id).unwrap_or_default();
            lists.push(listed(&mut *connection, party, first, &session.user).await?);
        }
        let shown = parties.iter().zip(&lists).flat_map(|(party, listed)| party.shown(listed));
        let profiles = Profiles::load(&mut *connection, shown).await?;
        for ((party, listed), manages) in parties.iter().zip(&lists).zip(manages) {
            let seen = as_read(party, listed, &session.user, manages, &profiles)?;
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
fn as_read(
    party: &Party,
    listed: &[String],
    reader: &str,
    manages: bool,
    profiles: &Profiles,
) -> Result<SocialSession, Error> {
    let sight = if manages { Sight::All } else { Sight::Others(Some(reader)) };
    let place = listed.iter().position(|user| user == reader).unwrap_or(0);
    let with = |most| party.session(part(listed, part_of_place(place, listed.len(), most), most), sight, profiles);
    let [most, fewer @ ..] = LISTED_JOINED;
    let mut session = with(most);
    for most in fewer {
        if json_bytes(&session)? <= MAX_EVENT_BYTES {
            break;
        }
        session = with(most);
    }
    Ok(session)
}

//! What becomes of users' sessions when they are deleted or taken off a network: rule S3.

use std::collections::BTreeMap;

use shared::api::social::{SessionDeleted, SessionId};
use uuid::Uuid;

use crate::{
    context::Change,
    directory::leaving::Leaver,
    error::Error,
    social::{delete_event::delete, news},
};

/// So many places in sessions are given up at once, and told one by one.
const PORTION: usize = 100;

/// Deletes the sessions that the users own and that are not over, keeps those that are, and takes them off all others. Events
/// stay. Returns whether that is done; else so many `portions` were not enough, and it is to be called again.
///
/// Their rows of `members` must be gone already: then they come to belong to no session any more.
///
/// # Errors
/// The database's.
pub(crate) async fn leave<C>(change: &mut Change<C>, leavers: &[Leaver], portions: usize) -> Result<bool, Error> {
    for _ in 0..portions {
        let places = places(change, leavers).await?;
        let count = places.values().map(Vec::len).sum::<usize>();
        if count == 0 {
            return Ok(true);
        }
        give_up(change, places).await?;
        change.write_events().await?;
        if count < PORTION {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Networks and sessions, in order, and who is to be taken off each.
type Places = BTreeMap<(String, Uuid), Vec<String>>;

async fn places<C>(change: &mut Change<C>, leavers: &[Leaver]) -> Result<Places, Error> {
    let (networks, users): (Vec<&str>, Vec<&str>) =
        leavers.iter().map(|leaver| (leaver.network_id.as_str(), leaver.user_id.as_str())).unzip();
    let found: Vec<(String, Uuid, String)> = sqlx::query_as(
        "SELECT p.network_id, p.session_id, p.user_id
         FROM unnest($1::text[], $2::text[]) l (network_id, user_id)
         JOIN social_participants p ON p.network_id = l.network_id AND p.user_id = l.user_id
         WHERE NOT p.is_owner OR coalesce(p.ends_at, 'infinity') > statement_timestamp()
         ORDER BY p.network_id, p.session_id, p.user_id
         LIMIT $3",
    )
    .bind(networks)
    .bind(users)
    .bind(PORTION as i64)
    .fetch_all(change.connection())
    .await?;
    let mut places = Places::new();
    for (network, session, user) in found {
        places.entry((network, session)).or_default().push(user);
    }
    Ok(places)
}

async fn give_up<C>(change: &mut Change<C>, places: Places) -> Result<(), Error> {
    let (networks, ids): (Vec<&str>, Vec<Uuid>) =
        places.keys().map(|(network, session)| (network.as_str(), *session)).unzip();
    // In order, and before anything of the sessions is read that others change: they are waited for.
    let owners: Vec<(String, Uuid, String)> = sqlx::query_as(
        "SELECT network_id, id, owner_id FROM social_sessions
         WHERE (network_id, id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
         ORDER BY network_id, id
         FOR UPDATE",
    )
    .bind(networks)
    .bind(ids)
    .fetch_all(change.connection())
    .await?;
    for (network, id, owner) in owners {
        let Some(leavers) = places.get(&(network.clone(), id)) else { continue };
        // An owner is among the places only of what is not over.
        if leavers.contains(&owner) {
            for (id, members) in delete(change, &network, &[id]).await? {
                change.emit_in(&network, members, &SessionDeleted(SessionId { session_id: id.to_string() }))?;
            }
        } else {
            take_off(change, &network, id, leavers).await?;
        }
    }
    Ok(())
}

async fn take_off<C>(change: &mut Change<C>, network: &str, id: Uuid, leavers: &[String]) -> Result<(), Error> {
    let gone = sqlx::query(
        "WITH touched AS (
             UPDATE social_sessions SET updated_at = statement_timestamp() WHERE network_id = $1 AND id = $2
         )
         DELETE FROM social_participants
         WHERE network_id = $1 AND session_id = $2 AND user_id = ANY ($3) AND NOT is_owner",
    )
    .bind(network)
    .bind(id)
    .bind(leavers)
    .execute(change.connection())
    .await?;
    if gone.rows_affected() > 0 {
        news::tell_of_joins(change, network, id, leavers).await?;
    }
    Ok(())
}

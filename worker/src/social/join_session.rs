//! `social:joinSession`: rules S5, S6, S7, S10.

use shared::api::{NoData, social::JoinSessionRequest};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{
        news,
        outsiders::{self, Token},
        session::OPEN_SLOT,
        standing::{Need, Standing, lock, lock_members, look_as_caller, look_with, touch},
    },
};

pub(crate) async fn handle(change: &mut Change, request: JoinSessionRequest) -> Result<NoData, Error> {
    let id = object_id("session", &request.session_id)?;
    let session = change.session().clone();
    // A token that is good for nothing is as good as none.
    let token = Token::read(&request.invitation);
    // Without locks: most of those who come too late are not kept waiting, and keep nobody waiting.
    let seen = look_with(change, id, token.as_ref()).await?;
    check(change, id, &seen).await?;
    if lock_members(change, &[&session.user]).await?.is_empty() {
        return Err(Error::unauthorized("the user is not of the network any more"));
    }
    lock(change, id, &seen, Need::Places).await?;
    let has_claimed = match &token {
        Some(token) => outsiders::claim(change, id, token).await?,
        None => false,
    };
    let standing = look_as_caller(change, id).await?;
    check(change, id, &standing).await?;
    let is_new = standing.joined_at.is_none();
    if is_new {
        join(change, id).await?;
    } else if has_claimed {
        touch(change, id).await?;
    }
    if has_claimed {
        news::tell_all(change, &session.network, id, &[]).await?;
    } else if is_new {
        news::tell_of_joins(change, &session.network, id, &[session.user]).await?;
    }
    Ok(NoData)
}

/// Lets the caller join, or pass who has joined.
///
/// # Errors
/// 409 when the session is over, the slot is taken, or the event is full.
async fn check(change: &mut Change, id: Uuid, standing: &Standing) -> Result<(), Error> {
    if standing.is_over(&change.context().zones) {
        return Err(Error::conflict("the session is over"));
    }
    let session = change.session().clone();
    let is_open_slot = standing.content.session_type == OPEN_SLOT;
    // The owner takes no place (S6).
    let takes_place = standing.owner_id != session.user && standing.joined_at.is_none();
    if !takes_place || !(is_open_slot || standing.participant_limit > 0) {
        return Ok(());
    }
    let (is_taken, is_full): (bool, bool) = sqlx::query_as(
        "SELECT $5 AND EXISTS (
                    SELECT FROM social_participants
                    WHERE network_id = $1 AND session_id = $2 AND joined_at IS NOT NULL AND NOT is_owner),
                $6 > 0
                    -- Who has a place in another session of the event takes no second one.
                    AND NOT EXISTS (
                        SELECT FROM social_participants
                        WHERE network_id = $1 AND event_id = $4 AND user_id = $3
                            AND event_id IS NOT NULL AND joined_at IS NOT NULL AND NOT is_owner)
                    AND (SELECT count(*) FROM (
                             SELECT DISTINCT user_id FROM social_participants
                             WHERE network_id = $1 AND event_id = $4
                                 AND event_id IS NOT NULL AND joined_at IS NOT NULL AND NOT is_owner
                             LIMIT $6) AS places) >= $6",
    )
    .bind(&session.network)
    .bind(id)
    .bind(&session.user)
    .bind(standing.event_id)
    .bind(is_open_slot)
    .bind(standing.participant_limit)
    .fetch_one(change.connection())
    .await?;
    if is_taken {
        return Err(Error::conflict("the slot is taken"));
    }
    if is_full {
        return Err(Error::conflict("all places of the event are taken"));
    }
    Ok(())
}

async fn join(change: &mut Change, id: Uuid) -> Result<(), Error> {
    let session = change.session().clone();
    sqlx::query(
        "WITH touched AS (
             UPDATE social_sessions SET updated_at = statement_timestamp() WHERE network_id = $1 AND id = $2
             RETURNING network_id, id, owner_id, event_id, starts_at, ends_at
         )
         INSERT INTO social_participants AS p (network_id, session_id, user_id, is_owner, joined_at, event_id, starts_at,
                                               ends_at)
         SELECT network_id, id, $3, owner_id = $3, statement_timestamp(), event_id, starts_at, ends_at FROM touched
         ON CONFLICT (network_id, session_id, user_id) DO UPDATE SET joined_at = excluded.joined_at",
    )
    .bind(session.network)
    .bind(id)
    .bind(session.user)
    .execute(change.connection())
    .await?;
    Ok(())
}

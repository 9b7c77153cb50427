//! Invitations that are claimed by their link: rule S10.

use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    social::{invite::invite_users, outsiders::Token},
};

/// Whether the token is that of an invitation to the session.
///
/// # Errors
/// The database's.
pub(crate) async fn is_good(change: &mut Change, id: Uuid, token: &Token) -> Result<bool, Error> {
    let network = change.session().network.clone();
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM social_outsiders
             WHERE network_id = $1 AND session_id = $2 AND $3 = ANY (token_hashes) AND expires_at > statement_timestamp())",
    )
    .bind(network)
    .bind(id)
    .bind(token.hash())
    .fetch_one(change.connection())
    .await?)
}

/// Lets the caller have the invitation of that token to a session that is locked. Returns whether he has it now: a token that
/// is none any more gives nothing, and an owner takes nothing from those whom he has invited.
///
/// # Errors
/// The database's.
pub(crate) async fn claim(change: &mut Change, id: Uuid, token: &Token) -> Result<bool, Error> {
    let session = change.session().clone();
    let role: Option<i16> = sqlx::query_scalar(
        "DELETE FROM social_outsiders o
         WHERE network_id = $1 AND session_id = $2 AND $3 = ANY (token_hashes) AND expires_at > statement_timestamp()
             AND NOT EXISTS (SELECT FROM social_sessions WHERE network_id = $1 AND id = $2 AND owner_id = $4)
         RETURNING role",
    )
    .bind(&session.network)
    .bind(id)
    .bind(token.hash())
    .bind(&session.user)
    .fetch_optional(change.connection())
    .await?;
    let Some(role) = role else { return Ok(false) };
    invite_users(change, &session.network, id, &[(session.user, role)]).await?;
    Ok(true)
}

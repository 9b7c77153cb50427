//! `internal.user.revokeSession`: a `sid` that is never let in again.

use shared::internal::{Empty, RevokeSession};

use crate::{
    context::{Change, Gateway},
    error::Error,
};

/// Writes down that every token with this `sid` is refused. Closing its sockets is the gateways' part.
///
/// # Errors
/// 400 for a `sid` that no token can have.
pub(crate) async fn handle(change: &mut Change<Gateway>, request: RevokeSession) -> Result<Empty, Error> {
    if request.sid.is_empty() || request.sid.contains('\0') {
        return Err(Error::bad_request("sid", "no session can have it"));
    }
    sqlx::query(
        "INSERT INTO revoked_sessions (sid) VALUES ($1) ON CONFLICT (sid) DO UPDATE SET revoked_at = excluded.revoked_at",
    )
    .bind(request.sid)
    .execute(change.connection())
    .await?;
    Ok(Empty {})
}

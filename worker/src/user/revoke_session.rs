//! `internal.user.revokeSession`: a `sid` that is never let in again.

use shared::internal::{Empty, RevokeSession};

use crate::{
    context::{Change, Gateway},
    error::Error,
};

/// Writes down that every token with this `sid` is refused. Closing its sockets is the gateways' part.
///
/// # Errors
/// The database's.
pub(crate) async fn handle(change: &mut Change<Gateway>, request: RevokeSession) -> Result<Empty, Error> {
    sqlx::query(
        "INSERT INTO revoked_sessions (sid) VALUES ($1) ON CONFLICT (sid) DO UPDATE SET revoked_at = excluded.revoked_at",
    )
    .bind(request.sid)
    .execute(change.connection())
    .await?;
    Ok(Empty {})
}

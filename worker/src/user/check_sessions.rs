//! `internal.user.checkSessions`: which sessions have ended since they were let in.

use shared::internal::{CheckSessions, EndedSessions};

use crate::{
    context::{Gateway, Read},
    error::Error,
};

/// Ended is a session that was revoked, or whose user is not of its network any more, or whose network is gone.
///
/// # Errors
/// 400 for more sessions than [`CheckSessions::MOST`].
pub(crate) async fn handle(read: &mut Read<Gateway>, request: CheckSessions) -> Result<EndedSessions, Error> {
    if request.sessions.len() > CheckSessions::MOST {
        return Err(Error::bad_request("sessions", format_args!("more than {}", CheckSessions::MOST)));
    }
    let column = |field: fn(&shared::internal::Session) -> &str| request.sessions.iter().map(field).collect::<Vec<_>>();
    let ended: Vec<i64> = sqlx::query_scalar(
        "SELECT s.place - 1
         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS s (network_id, user_id, sid, place)
         WHERE EXISTS (
                   SELECT 1 FROM revoked_sessions r WHERE r.sid = s.sid AND r.revoked_at > now() - interval '30 days'
               )
            OR NOT EXISTS (
                   SELECT 1 FROM members m JOIN networks n ON n.id = m.network_id
                   WHERE m.network_id = s.network_id AND m.user_id = s.user_id AND n.deleted_at IS NULL
               )
         ORDER BY s.place",
    )
    .bind(column(|session| &session.network))
    .bind(column(|session| &session.user))
    .bind(column(|session| &session.sid))
    .fetch_all(read.connection())
    .await?;
    Ok(EndedSessions { ended: ended.into_iter().filter_map(|place| usize::try_from(place).ok()).collect() })
}

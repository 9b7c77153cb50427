//! Whether one may meet at a place: rule V4.

use shared::internal::Session;
use sqlx::PgConnection;

use crate::{error::Error, meeting::source::Source};

/// Lets pass those who may meet there.
///
/// # Errors
/// 802, 803, 404; 401 when the caller has just left the network.
pub(crate) async fn check(connection: &mut PgConnection, session: &Session, source: &Source) -> Result<(), Error> {
    let [room, prop, group, _] = source.columns();
    let refusal: i32 = sqlx::query_scalar(concat!(include_str!("place.sql"), "SELECT refusal FROM place"))
        .bind(&session.network)
        .bind(&session.user)
        .bind(source.source_type().as_str())
        .bind(room)
        .bind(prop)
        .bind(group)
        .fetch_one(connection)
        .await?;
    allowed(refusal, source)
}

/// Turns the `refusal` of `place.sql` into what the client is told.
///
/// # Errors
/// As [`check`].
pub(crate) fn allowed(refusal: i32, source: &Source) -> Result<(), Error> {
    match refusal {
        0 => Ok(()),
        401 => Err(gone()),
        404 => Err(Error::not_found(source.source_type())),
        802 => Err(Error::room_not_found()),
        803 => Err(Error::room_forbidden()),
        other => Err(Error::internal(format!("a place refuses with {other}"))),
    }
}

/// 401: the caller is of the network no more.
pub(crate) fn gone() -> Error {
    Error::unauthorized("the user is not of the network any more")
}

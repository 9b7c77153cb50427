//! Whether somebody may use a room, and a prop in it: rule V4, as meetings have it.

use shared::internal::Session;
use sqlx::PgConnection;

use crate::{
    error::Error,
    meeting::{place, source::Source},
};

/// Lets pass who may use the room; `prop` empty: the room itself.
///
/// # Errors
/// 802 when there is no such room, 803 when he may not use it, 404 when no such prop stands in it; 401 when he has just left
/// the network.
pub(crate) async fn check_place(
    connection: &mut PgConnection,
    session: &Session,
    room: &str,
    prop: &str,
) -> Result<(), Error> {
    let source = Source::in_room(room.to_owned(), prop.to_owned()).map_err(|_| Error::room_not_found())?;
    place::check(connection, session, &source).await
}

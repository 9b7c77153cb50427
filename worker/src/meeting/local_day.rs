//! The day, and the zone, that a request's local date means for its caller: rule T2.

use jiff::tz::TimeZone;
use shared::{
    api::{LocalTimestamp, timestamp::zone_named},
    internal::Session,
};
use sqlx::PgConnection;

use crate::{
    availability::calendar::{LocalDay, YEARS},
    context::{Change, Read},
    error::Error,
};

/// The day that a reading request means.
///
/// # Errors
/// 400 when the timestamp is unset or in no year that a calendar is read for; names the field.
pub(crate) async fn of_read(read: &mut Read, field: &str, written: &LocalTimestamp) -> Result<LocalDay, Error> {
    let session = read.session().clone();
    local_day(read.connection(), &session, field, written).await
}

/// The day that a changing request means; as [`of_read`].
pub(crate) async fn of_change(change: &mut Change, field: &str, written: &LocalTimestamp) -> Result<LocalDay, Error> {
    let session = change.session().clone();
    local_day(change.connection(), &session, field, written).await
}

async fn local_day(
    connection: &mut PgConnection,
    session: &Session,
    field: &str,
    written: &LocalTimestamp,
) -> Result<LocalDay, Error> {
    if !written.instant.is_set() {
        return Err(Error::bad_request(field, "expected a timestamp"));
    }
    let stored = match written.zone {
        // Where it is written the stored one does not matter.
        Some(_) => None,
        None => stored_zone(connection, &session.user).await?,
    };
    LocalDay::of(written, stored).ok_or_else(|| {
        Error::bad_request(field, format!("expected a date from the year {} to {}", YEARS.start(), YEARS.end()))
    })
}

/// The zone that the directory says of the user; one that no zone data knows counts as none.
async fn stored_zone(connection: &mut PgConnection, user: &str) -> Result<Option<TimeZone>, Error> {
    let name: Option<String> =
        sqlx::query_scalar("SELECT time_zone FROM users WHERE id = $1").bind(user).fetch_optional(connection).await?;
    Ok(name.and_then(|name| zone_named(&name)))
}

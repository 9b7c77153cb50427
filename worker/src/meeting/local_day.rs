//! The day, and the zone, that a request's local date means for its caller: rule T2.

use jiff::tz::TimeZone;
use shared::{api::LocalTimestamp, internal::Session};
use sqlx::PgConnection;

use crate::{
    availability::calendar::{LocalDay, YEARS},
    error::Error,
    zones::Zones,
};

/// The day that a request of the caller's means. A stored zone that the zone data does not know counts as none.
///
/// # Errors
/// As [`read`].
pub(crate) async fn of(
    connection: &mut PgConnection,
    zones: &Zones,
    session: &Session,
    field: &str,
    written: &LocalTimestamp,
) -> Result<LocalDay, Error> {
    let stored: Option<String> = match written.zone {
        // Where one is written the stored one does not matter.
        Some(_) => None,
        None => {
            let zone = sqlx::query_scalar("SELECT time_zone FROM users WHERE id = $1");
            zone.bind(&session.user).fetch_optional(connection).await?
        }
    };
    read(field, written, stored.and_then(|stored| zones.named(&stored)))
}

/// The day that is meant by somebody with this stored zone.
///
/// # Errors
/// 400 when the timestamp is unset or in no year that a calendar is read for; names the field.
pub(crate) fn read(field: &str, written: &LocalTimestamp, stored: Option<TimeZone>) -> Result<LocalDay, Error> {
    if !written.instant.is_set() {
        return Err(Error::bad_request(field, "expected a timestamp"));
    }
    LocalDay::of(written, stored).ok_or_else(|| {
        Error::bad_request(field, format!("expected a date from the year {} to {}", YEARS.start(), YEARS.end()))
    })
}

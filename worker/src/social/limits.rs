//! How long and how many (S2, S4, S6, S11). Beyond a limit is 400 (V6); a full place is 409.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use shared::api::{MAX_ANSWER_BYTES, Timestamp};

use crate::error::Error;

/// So many are invited to a session at most (S6).
pub(crate) const MAX_INVITED: usize = 500;

/// Answers and events list at most so many of those who have joined a session (S11): the first of these. The others are
/// tried where very long names would make it too large. Each divides the one before it.
pub(crate) const LISTED_JOINED: [usize; 6] = [MAX_LISTED_JOINED, 250, 125, 25, 5, 1];

/// The first of them.
pub(crate) const MAX_LISTED_JOINED: usize = 500;

/// Of those who have joined, so many are told in one step; a whole number of lists.
pub(crate) const TOLD_AT_ONCE: usize = 5 * MAX_LISTED_JOINED;

/// Those who merely joined a session of more are told now and then only who joins and declines (S11).
pub(crate) const MANY_JOINED: usize = 100;

/// A list of events or of sessions has at most so many (S1).
pub(crate) const MAX_LISTED: usize = 1000;

/// A session lasts so many seconds: up to 31 days.
pub(crate) const SECONDS: RangeInclusive<i64> = 1..=31 * 24 * 3600;

/// Elements of a list in an answer have at most so many bytes together: more than the brackets around them and the error
/// beside them is left.
pub(crate) const MAX_LIST_BYTES: usize = MAX_ANSWER_BYTES - 256;

/// Lets a text of so many characters pass.
///
/// # Errors
/// 400, naming the field.
pub(crate) fn check_text(field: &str, text: &str, chars: RangeInclusive<usize>) -> Result<(), Error> {
    if chars.contains(&text.chars().take(chars.end() + 1).count()) {
        return Ok(());
    }
    Err(Error::bad_request(field, format!("expected {} to {} characters", chars.start(), chars.end())))
}

/// A timestamp that must be set.
///
/// # Errors
/// 400, naming the field.
pub(crate) fn instant(field: &str, timestamp: Timestamp) -> Result<DateTime<Utc>, Error> {
    timestamp.instant().ok_or_else(|| Error::bad_request(field, "expected a timestamp"))
}

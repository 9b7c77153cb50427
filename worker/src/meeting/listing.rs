//! What an answer lists, gathered up to its limits: rule M8.

use serde::Serialize;
use shared::api::MAX_ANSWER_BYTES;

use crate::{context::json_bytes, error::Error, meeting::limits::MAX_LISTED};

/// More than the brackets around the meetings and the error beside them take.
const ENVELOPE_BYTES: usize = 256;

/// Meetings of an answer, counted on the way: what is too large is not gathered first.
#[derive(Debug)]
pub(crate) struct Listing<M> {
    meetings: Vec<M>,
    bytes: usize,
}

impl<M: Serialize> Listing<M> {
    /// With nothing in it.
    pub(crate) fn new() -> Self {
        Self { meetings: Vec::new(), bytes: 0 }
    }

    /// Adds one.
    ///
    /// # Errors
    /// 413 when it is one too many, or too large with those before it.
    pub(crate) fn push(&mut self, meeting: M) -> Result<(), Error> {
        // With the comma behind it.
        self.bytes += json_bytes(&meeting)? + 1;
        self.meetings.push(meeting);
        let bytes = self.bytes;
        if self.meetings.len() > MAX_LISTED || bytes > MAX_ANSWER_BYTES - ENVELOPE_BYTES {
            return Err(Error::too_large(format!(
                "more than {MAX_LISTED} meetings or {MAX_ANSWER_BYTES} bytes: narrow the range from startDate to endDate"
            )));
        }
        Ok(())
    }

    /// All of them.
    pub(crate) fn into_meetings(self) -> Vec<M> {
        self.meetings
    }
}

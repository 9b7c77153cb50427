//! What an answer lists, gathered up to its limits: rule M8.

use std::io;

use serde::Serialize;
use shared::api::MAX_ANSWER_BYTES;

use crate::{error::Error, meeting::limits::MAX_LISTED};

/// More than the brackets around the meetings and the error beside them take.
const ENVELOPE_BYTES: usize = 256;

/// Meetings of an answer, counted on the way: what is too large is not gathered first.
#[derive(Debug)]
pub(crate) struct Listing<M> {
    meetings: Vec<M>,
    bytes: ByteCount,
}

impl<M: Serialize> Listing<M> {
    /// With nothing in it.
    pub(crate) fn new() -> Self {
        Self { meetings: Vec::new(), bytes: ByteCount(0) }
    }

    /// Adds one.
    ///
    /// # Errors
    /// 413 when it is one too many, or too large with those before it.
    pub(crate) fn push(&mut self, meeting: M) -> Result<(), Error> {
        serde_json::to_writer(&mut self.bytes, &meeting)
            .map_err(|error| Error::internal(format!("a meeting cannot be written: {error}")))?;
        self.meetings.push(meeting);
        let bytes = self.bytes.0 + self.meetings.len();
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

/// Counts what is written to it.
#[derive(Debug)]
struct ByteCount(usize);

impl io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

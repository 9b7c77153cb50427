//! The namespace `events`: what the relay has moved, for gateways that missed it and clients that were away.
//!
//! Each answer is one statement, so that its parts are of one snapshot, and each is read where events are written: a
//! replica that lags would let a socket skip what it does not have yet.

use serde_json::value::RawValue;
use shared::internal::{EventBody, Position, ReadHeads, ReadPage, ReadRange, SendCanary};

use crate::{error::Error, router::handlers};

handlers! { "events":
    internal read ReadHeads => heads;
    internal read ReadRange => range;
    internal read ReadPage => page;
    internal change SendCanary => canary;
}

/// An answer's events have at most so many bytes together, as [`crate::outbox`] measures them. The first one is in it
/// whatever its size, so that whoever asks gets on; with the most recipients it still fits a message of the bus.
const MOST_BYTES: i64 = 256 * 1024;

/// An event's body as the log holds it.
fn body(name: String, payload: String) -> Result<EventBody, Error> {
    let data = RawValue::from_string(payload)
        .map_err(|error| Error::internal(format!("the log holds an event that is no JSON: {error}")))?;
    Ok(EventBody { name, data })
}

/// A position as the database compares it. A client may have made one up that is beyond all.
fn number(position: Position) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

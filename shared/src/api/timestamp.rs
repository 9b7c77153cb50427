//! Instants on the wire.

use serde::{Deserialize, Serialize};

/// An instant to the microsecond, or unset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp(i64);

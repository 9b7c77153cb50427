//! The namespace `directory`: what the rest of the platform tells about networks, people and places.
//!
//! A line that names something unknown is bad. What is deleted is not unknown: deleting can be undone.

mod circles;
mod networks;
mod places;
mod runs;
mod users;

pub(crate) mod leaving;
pub(crate) mod member;

use rand::{Rng as _, distr::Alphanumeric};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::internal::{ApplyLines, PARTITIONS, ResetNetwork};

use crate::{error::Error, router::handlers};

handlers! { "directory":
    internal change ApplyLines => apply;
    internal change ResetNetwork => reset_network;
}

/// So many letters and digits make two epochs of a network differ.
const EPOCH_CHARS: usize = 10;

/// A name for a network's events from now on: letters and digits.
pub(crate) fn new_epoch() -> String {
    rand::rng().sample_iter(Alphanumeric).take(EPOCH_CHARS).map(char::from).collect()
}

/// The partition of a network that is seen for the first time. It is kept with the network, so this may change.
pub(crate) fn partition_of(network: &str) -> i16 {
    i16::from(Sha256::digest(network)[0]) % PARTITIONS as i16
}

/// Rows for `json_populate_recordset`: fields are named like columns, and what is missing is NULL.
fn rows(rows: &[impl Serialize]) -> Result<String, Error> {
    serde_json::to_string(rows).map_err(|error| Error::internal(format!("a row cannot be written: {error}")))
}

/// A column that keeps JSON as text.
fn json(value: Option<&impl Serialize>) -> Result<Option<String>, Error> {
    value
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| Error::internal(format!("a column cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_short_letters_and_digits_and_never_the_same() {
        let (one, other) = (new_epoch(), new_epoch());
        assert_ne!(one, other);
        assert!(one.len() == EPOCH_CHARS && one.bytes().all(|b| b.is_ascii_alphanumeric()), "{one}");
    }

    #[test]
    fn networks_spread_over_all_partitions() {
        let taken: std::collections::BTreeSet<i16> = (0..2000).map(|n| partition_of(&format!("network-{n}"))).collect();
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), (0..PARTITIONS as i16).collect::<Vec<_>>());
    }
}

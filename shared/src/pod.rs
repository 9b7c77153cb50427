//! Which pod is meant: one start of a process.
//!
//! A container that restarts has the name of the one before it, but none of its sockets, subscriptions, or memory, perhaps not even
//! its clock. What has to reach one process, or was measured of one, goes by [`PodId`]; the name alone is for people.

use std::fmt;

use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// Between a pod's name and what tells its starts apart. No host's name and no name in Kubernetes holds one.
const SEPARATOR: char = '~';

/// Digits of what tells a pod's starts apart.
const DIGITS: usize = 16;

/// A name has at most so many bytes, which is what Kubernetes allows too. NATS ends connections over subjects that are too long.
pub const MAX_NAME_BYTES: usize = 253;

/// Names one start of one pod: `gateway-0~5be0cd19137e2179`. No setting decides the part behind the name.
///
/// On the bus and in Redis it is a string that is compared as a whole. Pods of the release before this one wrote their names alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodId(String);

impl PodId {
    /// For a start that begins now, of the pod of this name: it is like no other, also of the same name.
    pub fn of_start(name: &str) -> Self {
        let start: u64 = rand::rng().random();
        Self(format!("{name}{SEPARATOR}{start:0DIGITS$x}"))
    }

    /// Somebody's, as it was written.
    pub fn read(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pod's name, for people: other starts of the pod have it too.
    pub fn name(&self) -> &str {
        match self.0.rsplit_once(SEPARATOR) {
            Some((name, start)) if start.len() == DIGITS && start.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                name
            }
            _ => &self.0,
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Subject;

    #[test]
    fn two_starts_under_one_name_are_two_pods() {
        let (one, other) = (PodId::of_start("gateway-0"), PodId::of_start("gateway-0"));
        assert_ne!(one, other);
        assert_eq!((one.name(), other.name()), ("gateway-0", "gateway-0"));
        assert_ne!(Subject::control(&one), Subject::control(&other));
        assert_ne!(Subject::deliver(&one), Subject::deliver(&other));
    }

    #[test]
    fn a_name_comes_back_whatever_it_holds() {
        for name in ["gateway-0", "", "a~b", "~", "a~0123456789abcdef", "ключ {} *.>", "\"\\\n\u{7}"] {
            let pod = PodId::of_start(name);
            assert_eq!(pod.name(), name);
            let json = serde_json::to_string(&pod).expect("JSON");
            assert_eq!(json, serde_json::to_string(pod.as_str()).expect("JSON"), "a plain string");
            assert_eq!(serde_json::from_str::<PodId>(&json).expect("a pod"), pod);
        }
    }

    #[test]
    fn a_pod_of_the_release_before_is_its_name() {
        for name in ["gateway-0", "host-1f3b5a70", "a~b", "a~0123456789abcde", "a~0123456789abcdeg", "a~é123456789abcd"]
        {
            assert_eq!(PodId::read(name).name(), name);
        }
    }

    #[test]
    fn the_longest_name_fits_into_a_line_of_nats() {
        let pod = PodId::of_start(&"n".repeat(MAX_NAME_BYTES));
        // A server takes lines of 4096 bytes, and a reply's subject stands in them as well.
        assert!(Subject::deliver(&pod).as_str().len() < 1024);
    }
}

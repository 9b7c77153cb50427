//! What stands in a user's hash. The scripts read the beginning of a record as text: see `claim.lua`.

use serde::{Deserialize, Serialize};

use crate::{
    internal::{Fence, Session},
    pod::PodId,
    presence::{Entry, Place},
};

/// The hash of a user's sessions. The braces keep it in one slot of a cluster, and apart from every other key.
pub(super) fn key(user: &str) -> String {
    format!("presence:{{{user}}}")
}

/// A session's field. The network's length stands before it, so that no two sessions share a field.
pub(super) fn field(session: &Session) -> String {
    format!("{}:{}{}", session.network.len(), session.network, session.sid)
}

/// Network and `sid` of a field.
fn read_field(field: &str) -> Option<(&str, &str)> {
    let (length, rest) = field.split_once(':')?;
    rest.split_at_checked(length.parse().ok()?)
}

/// A fence as the scripts compare it.
pub(super) fn digits(fence: Fence) -> String {
    format!("{fence:020}")
}

#[derive(Serialize)]
struct Rest<'a> {
    fence: &'a str,
    pod: &'a PodId,
    socket: u64,
    since_ms: i64,
}

#[derive(Deserialize)]
struct Record {
    expires_ms: u64,
    fence: String,
    pod: PodId,
    socket: u64,
    since_ms: i64,
}

/// A record as the scripts take it: without the expiry, which they put in front, and the brace before that.
pub(super) fn without_expiry(place: &Place) -> String {
    let Place { pod, socket, fence, since_ms } = place;
    let rest = Rest { fence: &digits(*fence), pod, socket: *socket, since_ms: *since_ms };
    let json = serde_json::to_string(&rest).expect("a record is JSON");
    json[1..].to_owned()
}

/// Reads a record, and when it expires. `None` when it is no record.
pub(super) fn read(record: &str) -> Option<(Place, u64)> {
    let Record { expires_ms, fence, pod, socket, since_ms } = serde_json::from_str(record).ok()?;
    Some((Place { pod, socket, fence: fence.parse().ok()?, since_ms }, expires_ms))
}

/// Reads a user's entry.
pub(super) fn read_entry(user: &str, field: &str, record: &str) -> Option<(Entry, u64)> {
    let (network, sid) = read_field(field)?;
    let (place, expires_ms) = read(record)?;
    let session = Session { network: network.to_owned(), user: user.to_owned(), sid: sid.to_owned() };
    Some((Entry { session, place }, expires_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(network: &str, sid: &str) -> Session {
        Session { network: network.into(), user: "u".into(), sid: sid.into() }
    }

    #[test]
    fn no_two_sessions_share_a_field() {
        let sessions =
            [("a", "b"), ("ab", ""), ("", "ab"), ("", "1:ab"), ("1", ":ab"), ("a:b", "c"), ("a", ":bc"), ("é", "\0")];
        for (network, sid) in sessions {
            let field = field(&session(network, sid));
            assert_eq!(read_field(&field), Some((network, sid)), "{field:?}");
        }
        for none in ["", "a", ":", "2:a", "1:é", "-1:a", "99999999999999999999999:a"] {
            assert_eq!(read_field(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for (pod, socket, fence, since_ms) in [("p", 0, 0, 0), ("\"}\\\u{7}é", u64::MAX, u64::MAX, i64::MIN)] {
            let place = Place { pod: PodId::read(pod), socket, fence, since_ms };
            let record = format!("{{\"expires_ms\":1764000000000,{}", without_expiry(&place));
            // The scripts look for exactly this.
            assert!(record.starts_with(&format!("{{\"expires_ms\":1764000000000,\"fence\":\"{}\"", digits(fence))));
            assert_eq!(read(&record), Some((place, 1_764_000_000_000)));
        }
        assert_eq!(read("{}"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn digits_compare_like_fences() {
        let fences = [0, 9, 10, 1 << 53, (1 << 53) + 1, u64::MAX - 1, u64::MAX];
        assert!(fences.is_sorted_by(|low, high| digits(*low) < digits(*high)));
    }
}

//! What gateways and workers say to each other. No client's frame maps to any of it.
//!
//! | request | asks for | answered with |
//! | --- | --- | --- |
//! | [`Connect`] `internal.user.connect` | everything before an upgrade is accepted | [`Connected`] |
//! | [`CheckSessions`] `internal.user.checkSessions` | which sessions have ended since | [`EndedSessions`] |
//! | [`RevokeSession`] `internal.user.revokeSession` | a `sid` that is never let in again | [`Empty`] |
//! | [`ReadHeads`] `internal.events.heads` | the heads of networks | [`Heads`] |
//! | [`ReadRange`] `internal.events.range` | a range of a network's log | [`Range`] |
//! | [`ReadPage`] `internal.events.page` | one user's events after a position | [`Page`] |
//! | [`SendCanary`] `internal.events.canary` | an event for the pod that asks | [`Empty`] |
//! | [`ReadCalendar`] `internal.social.calendar` | a social session as a calendar file | [`CalendarFile`] |
//! | [`ApplyLines`] `internal.directory.apply` | lines of the directory | [`AppliedLines`] |
//! | [`ResetNetwork`] `internal.directory.resetNetwork` | a new epoch for a network | [`NetworkReset`] |
//!
//! A failure of any of them is an [`Error`](crate::api::Error), carried like a client's.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{api::Timestamp, pod::PodId};

/// Into how many partitions the networks' events are divided, for good: the number stands in the database.
pub const PARTITIONS: Partition = 64;

/// One of [`PARTITIONS`], `0..64`; stands in the network's row.
pub type Partition = u16;

/// A place in a network's order of events. The first event has 1; 0 is before it.
pub type Position = u64;

/// Orders the claims of a session: drawn from a PostgreSQL sequence, so it never falls, whatever Redis forgets.
pub type Fence = u64;

/// A request of the gateway's own to a worker: the row of the table above as a type.
pub trait InternalRequest: Serialize + serde::de::DeserializeOwned + Send + 'static {
    /// The namespace whose workers answer it.
    const NAMESPACE: &'static str;
    /// The last token of its subject.
    const METHOD: &'static str;
    /// What it is answered with.
    type Answer: Serialize + serde::de::DeserializeOwned + Send + 'static;
}

macro_rules! internal_requests {
    ($($request:ident $namespace:literal $method:literal -> $answer:ty;)+) => {
        $(impl InternalRequest for $request {
            const NAMESPACE: &'static str = $namespace;
            const METHOD: &'static str = $method;
            type Answer = $answer;
        })+
    };
}

internal_requests! {
    Connect "user" "connect" -> Connected;
    CheckSessions "user" "checkSessions" -> EndedSessions;
    RevokeSession "user" "revokeSession" -> Empty;
    ReadHeads "events" "heads" -> Heads;
    ReadRange "events" "range" -> Range;
    ReadPage "events" "page" -> Page;
    SendCanary "events" "canary" -> Empty;
    ReadCalendar "social" "calendar" -> CalendarFile;
    ApplyLines "directory" "apply" -> AppliedLines;
    ResetNetwork "directory" "resetNetwork" -> NetworkReset;
}

/// A session: a `sid` of that user in that network. The same `sid` elsewhere is another session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Session {
    /// The network that the token names.
    pub network: String,
    /// The user that the token names.
    pub user: String,
    /// The session id that the token names.
    pub sid: String,
}

/// The header of every request on the bus ([`HeaderName::Call`](crate::bus::HeaderName::Call)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Who asks; `None` for the gateway's own requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// The client's `event.id`; empty: the request may be done as often as it comes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event_id: String,
    /// After so many milliseconds the sender no longer waits.
    pub budget_ms: u64,
    /// The sender's clock when it sent this, in Unix milliseconds. Clocks differ: compare only with the same sender's.
    pub sent_at_ms: i64,
    /// The sender.
    pub pod: PodId,
}

/// An answer without content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Asks for everything that a gateway must know before it accepts an upgrade. One statement, one snapshot.
///
/// Fails with 401, and a [`NoSession`] as its message, when the network is unknown, the user is not of it (nor can be made
/// known), or the session is revoked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connect {
    /// The session that the token names.
    pub session: Session,
    /// The token's profile claims, for a user seen for the first time.
    pub claims: ProfileClaims,
}

/// Why a worker does not let a session in: what the message of its 401 says. Gateways count and log it; clients are told
/// only that there is no valid session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// Its `sid` was revoked within the last 30 days.
    Revoked,
    /// There is no such network, or it was deleted.
    UnknownNetwork,
    /// The user is not of the network: unknown, deleted, or of others only.
    NotOfNetwork,
}

impl NoSession {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Revoked, Self::UnknownNetwork, Self::NotOfNetwork];

    /// As it travels.
    pub fn message(self) -> &'static str {
        match self {
            Self::Revoked => "the session was revoked",
            Self::UnknownNetwork => "the network is not known",
            Self::NotOfNetwork => "the user is not of the network",
        }
    }

    /// The reason that travels as this, if it is one.
    pub fn from_message(message: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.message() == message)
    }
}

/// OpenID Connect claims of a session token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileClaims {
    /// First name.
    pub given_name: String,
    /// Last name.
    pub family_name: String,
    /// E-mail address.
    pub email: String,
    /// Whether the user has proven the address.
    pub email_verified: bool,
    /// Phone number.
    pub phone_number: String,
    /// Avatar.
    pub picture: String,
    /// IANA time zone.
    pub zoneinfo: String,
}

/// What a gateway must know of a session that it may let in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connected {
    /// The `data` of `user_info`, as it goes to the client. Reflects everything at or below `head`.
    pub user_info: Box<RawValue>,
    /// The network's partition.
    pub partition: Partition,
    /// The network's epoch.
    pub epoch: String,
    /// The network's newest position.
    pub head: Position,
    /// Higher than that of every connect before.
    pub fence: Fence,
}

/// Asks which of these sessions have ended: revoked, or the user deleted or taken off the network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckSessions {
    /// At most [`CheckSessions::MOST`].
    pub sessions: Vec<Session>,
}

impl CheckSessions {
    /// How many sessions one request may name.
    pub const MOST: usize = 500;
}

/// Those that have ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EndedSessions {
    /// Indexes into [`CheckSessions::sessions`].
    pub ended: Vec<usize>,
}

/// Every token with this `sid` is 401 for 30 days.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevokeSession {
    /// The session id, of whatever user and network.
    pub sid: String,
}

/// Asks for the heads of networks; unknown ones are left out of the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadHeads {
    /// At most [`ReadHeads::MOST`].
    pub networks: Vec<String>,
}

impl ReadHeads {
    /// How many networks one request may name.
    pub const MOST: usize = 1000;
}

/// The heads of some networks. On `heads.<partition>`: of those that moved within the last minute, none included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heads {
    /// One for each network.
    pub heads: Vec<Head>,
}

/// A network's newest position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The network.
    pub network: String,
    /// Its epoch: positions of another one mean nothing.
    pub epoch: String,
    /// Its newest position.
    pub head: Position,
}

/// Asks for a network's log after one position up to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadRange {
    /// The network.
    pub network: String,
    /// The last position that the asker has.
    pub after: Position,
    /// The last position that it asks for.
    pub through: Position,
}

/// Part of a network's log, without a hole, beginning right after [`ReadRange::after`]. May end before
/// [`ReadRange::through`], as messages are bounded: ask again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Range {
    /// The network's epoch.
    pub epoch: String,
    /// Positions up to this one have been removed from the log. When it is beyond `after`, there are holes.
    pub trimmed: Position,
    /// In order. Empty although more was asked for: those positions do not exist (yet, or any more).
    pub events: Vec<LoggedEvent>,
}

/// An event with everything that is known of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// Its place.
    pub position: Position,
    /// Who receives it.
    pub recipients: Vec<String>,
    /// Its body.
    pub body: EventBody,
    /// What its delivery continues (`traceparent`), when a trace is kept of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<String>,
}

/// What of an event goes to a client. A field of its own wherever it stands: serde cannot read a [`RawValue`] in what is
/// flattened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventBody {
    /// `namespace:event`.
    pub name: String,
    /// Its `data`, as it goes to the client.
    pub data: Box<RawValue>,
}

/// Asks for what one user has missed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadPage {
    /// The network.
    pub network: String,
    /// The user.
    pub user: String,
    /// The last position that the user's socket has.
    pub after: Position,
}

/// One user's events after [`ReadPage::after`], in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    /// The network's epoch.
    pub epoch: String,
    /// Positions up to this one have been removed from the log. When it is beyond `after`, something is missing.
    pub trimmed: Position,
    /// The user's events.
    pub events: Vec<PlacedEvent>,
    /// The page holds everything of the user up to this position.
    pub through: Position,
    /// Whether `through` is the network's head.
    pub is_last: bool,
}

/// An event of a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlacedEvent {
    /// Its place.
    pub position: Position,
    /// Its body.
    pub body: EventBody,
    /// As in [`LoggedEvent`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<String>,
}

/// Sends a pod an event of its own, on the way that all events take, so that the pod sees whether they reach it.
///
/// Canaries travel in networks of their own, one for each partition. No token and no line of the directory can name one:
/// their names are no [identifiers](crate::api::is_identifier). They come into being with their first canary, and keep
/// events for a minute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendCanary {
    /// Whose relay is to move it.
    pub partition: Partition,
    /// The only recipient: the pod, as if it were a user.
    pub pod: PodId,
    /// Tells this canary from others of the pod.
    pub number: u64,
}

impl SendCanary {
    /// Its name among the events.
    pub const EVENT: &str = "canary";

    /// The network in which the canaries of a partition travel.
    pub fn network(partition: Partition) -> String {
        format!("canary:{partition}")
    }
}

/// What a canary carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// As it was sent.
    pub number: u64,
}

/// Bodies of events, to a pod that is thought to hold some of their recipients.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deliver {
    /// The network.
    pub network: String,
    /// Its epoch.
    pub epoch: String,
    /// In order.
    pub events: Vec<PlacedEvent>,
}

/// What the relay has moved into a network's log: the positions after `from` up to `to`, all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The network's epoch.
    pub epoch: String,
    /// The head before.
    pub from: Position,
    /// The head now.
    pub to: Position,
    /// The recipients of each position, `from + 1` first.
    pub recipients: Vec<Vec<String>>,
}

/// Tells gateways something about sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Control {
    /// A newer socket of the session took this one's place. Heeded only by a socket of that session with a lower fence.
    Replaced {
        /// The pod's own number of the socket.
        socket: u64,
        /// Its session. A gateway of the release before does not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<Session>,
        /// The fence of the newer one.
        fence: Fence,
    },
    /// A `sid` was revoked. Answered with [`Closed`].
    Revoked {
        /// The session id.
        sid: String,
    },
    /// A user was deleted or taken off a network. Answered with [`Closed`].
    UserLeft {
        /// The user.
        user: String,
        /// The networks.
        networks: Vec<String>,
    },
    /// A network began a new epoch: sockets of another epoch are closed. Answered with [`Closed`].
    NetworkReset {
        /// The network.
        network: String,
        /// Its new epoch.
        epoch: String,
    },
}

/// How many sockets a pod closes because of a [`Control`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Sockets.
    pub closed: u64,
}

/// Lines of the directory, applied one after the other; a bad one skips only itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyLines {
    /// At most [`ApplyLines::MOST_LINES`] lines and [`ApplyLines::MOST_BYTES`] bytes together.
    pub lines: Vec<String>,
}

impl ApplyLines {
    /// How many lines one request may hold.
    pub const MOST_LINES: usize = 500;
    /// How many bytes they may have together; one line may have as many.
    pub const MOST_BYTES: usize = 256 * 1024;
}

/// What became of the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedLines {
    /// How many were applied.
    pub applied: u64,
    /// The others.
    pub errors: Vec<LineError>,
}

/// Why a line was not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineError {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

/// Asks for a social session as a calendar file (rules I1, I2).
///
/// Fails with 404 when it is not for the reader, and with 401 when the reader says so by a session alone, and the session is
/// none or has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadCalendar {
    /// The session that a token names, if there is one.
    #[serde(default)]
    pub reader: Option<Session>,
    /// The social session, as the address names it.
    pub session_id: String,
    /// The token of an invitation's link; empty: none.
    #[serde(default)]
    pub invitation: String,
}

/// A calendar file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CalendarFile {
    /// METHOD of its text: `REQUEST` or `PUBLISH`.
    pub method: String,
    /// `text/calendar`.
    pub text: String,
}

/// Begins a new epoch of a network's events. 404 when there is no such network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetNetwork {
    /// The network.
    pub network: String,
}

/// A network that was reset.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkReset {
    /// The new epoch.
    pub epoch: String,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_and_no_line_of_the_directory_can_name_a_network_of_canaries() {
        assert!(!crate::api::is_identifier(&SendCanary::network(0)));
    }

    #[test]
    fn an_events_body_arrives_as_it_was_sent() {
        let data = r#"{"b":1.0, "a":[18446744073709551616]}"#;
        let body = || EventBody {
            name: "meeting:onMeetingCreated".to_owned(),
            data: RawValue::from_string(data.to_owned()).expect("JSON"),
        };
        let events = vec![PlacedEvent { position: 7, body: body(), trace_parent: None }];
        let sent = Deliver { network: "demo".to_owned(), epoch: "e".to_owned(), events };
        let json = serde_json::to_string(&sent).expect("JSON");
        let received: Deliver = serde_json::from_str(&json).expect("what was sent");
        assert_eq!(received.events[0].body.data.get(), data);

        let sent = LoggedEvent {
            position: 7,
            recipients: vec!["alice".to_owned()],
            body: body(),
            trace_parent: Some("t".to_owned()),
        };
        let json = serde_json::to_string(&sent).expect("JSON");
        let received: LoggedEvent = serde_json::from_str(&json).expect("what was sent");
        assert_eq!(received.body.data.get(), data);
    }
}

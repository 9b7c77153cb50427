//! Every subject on the bus, made here and nowhere else.
//!
//! | subject | from → to | carries |
//! | --- | --- | --- |
//! | `rpc.<namespace>.<method>` | gateway → one worker | a client's request; answered |
//! | `internal.<namespace>.<method>` | gateway → one worker | the gateway's own request ([`crate::internal`]); answered |
//! | `wake.<partition>` | worker → relays | the outbox of the partition has rows |
//! | `deliver.<pod>` | relay → that gateway | [`crate::internal::Deliver`]: bodies of events |
//! | `ev.<network>` | relay → gateways with a socket of the network | [`crate::internal::Moved`]: positions and recipients |
//! | `heads.<partition>` | relay → all gateways | [`crate::internal::Heads`]: heads of networks that moved, each second |
//! | `ctl.<pod>` · `ctl.all` | gateway, worker → that gateway · all gateways | [`crate::internal::Control`] |
//!
//! `probe` stands in subjects that nobody listens to, for [`Bus::probe`](super::Bus::probe).
//!
//! A pod is one start of a process ([`PodId`]). Networks and pods are written in base64url, so that no identifier can add a token or a wildcard. Users are never written.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{internal::Partition, pod::PodId};

/// A subject, or with `*` a pattern of subjects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// A client's request. `method` is the client's: `None` when it is no single token of letters and digits.
    pub fn rpc(namespace: &'static str, method: &str) -> Option<Self> {
        is_method(method).then(|| Self(format!("rpc.{namespace}.{method}")))
    }

    /// All requests of clients in a namespace.
    pub fn rpc_all(namespace: &str) -> Self {
        Self(format!("rpc.{namespace}.*"))
    }

    /// The gateway's own request.
    pub fn internal(namespace: &'static str, method: &'static str) -> Self {
        Self(format!("internal.{namespace}.{method}"))
    }

    /// All of the gateways' own requests in a namespace.
    pub fn internal_all(namespace: &str) -> Self {
        Self(format!("internal.{namespace}.*"))
    }

    /// Wakes the relay of a partition.
    pub fn wake(partition: Partition) -> Self {
        Self(format!("wake.{partition}"))
    }

    /// The wakes of all partitions.
    pub fn wake_all() -> Self {
        Self("wake.*".to_owned())
    }

    /// Bodies of events for one start of a pod.
    pub fn deliver(pod: &PodId) -> Self {
        Self(format!("deliver.{}", encode(pod.as_str())))
    }

    /// What moved in a network.
    pub fn events(network: &str) -> Self {
        Self(format!("ev.{}", encode(network)))
    }

    /// The heads of a partition's networks.
    pub fn heads(partition: Partition) -> Self {
        Self(format!("heads.{partition}"))
    }

    /// The heads of all partitions.
    pub fn heads_all() -> Self {
        Self("heads.*".to_owned())
    }

    /// Control messages for one start of a pod.
    pub fn control(pod: &PodId) -> Self {
        Self(format!("ctl.{}", encode(pod.as_str())))
    }

    /// Control messages for every pod. No pod's own subject: `.` is not base64url.
    pub fn control_all() -> Self {
        Self("ctl.all.pods".to_owned())
    }

    /// One of each kind that a gateway publishes on and workers listen to: they pass over what asks for no answer.
    pub fn probes_of_gateway() -> Vec<Self> {
        let clients = ["meeting", "social"].map(|namespace| format!("rpc.{namespace}.{PROBE}"));
        let own = ["user", "events"].map(|namespace| format!("internal.{namespace}.{PROBE}"));
        clients.into_iter().chain(own).map(Self).collect()
    }

    /// Of the kind that gateways tell each other on.
    pub fn probe_of_control() -> Self {
        Self(format!("ctl.{PROBE}"))
    }

    /// One of each kind that a worker publishes on; `relays`: it moves events.
    pub fn probes_of_worker(relays: bool) -> Vec<Self> {
        let kinds: &[&str] = if relays { &["wake", "deliver", "ev"] } else { &["wake"] };
        kinds.iter().map(|kind| Self(format!("{kind}.{PROBE}"))).collect()
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// As it is written on the bus.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The last token of a subject that was received: the method of a request, the partition of a wake.
pub fn last_token(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or(subject)
}

/// Whether a subject, or a text that ends in one, is a probe's.
pub(super) fn is_probe(subject: &str) -> bool {
    last_token(subject) == PROBE
}

/// The last token of probes. No method is called so, no partition; and no identifier is written so in base64url, as it would
/// be five characters long.
const PROBE: &str = "probe";

fn encode(identifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(identifier)
}

/// Longer than any documented method; keeps hostile ones out of subjects, logs and metrics.
const MAX_METHOD_BYTES: usize = 64;

fn is_method(method: &str) -> bool {
    (1..=MAX_METHOD_BYTES).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_method_can_not_add_a_token_or_a_wildcard() {
        for hostile in ["", "a.b", "*", ">", "a b", "a\r\nb", "é", &"a".repeat(65)] {
            assert_eq!(Subject::rpc("meeting", hostile), None, "{hostile:?}");
        }
        assert_eq!(Subject::rpc("meeting", "createMeeting").expect("a method").as_str(), "rpc.meeting.createMeeting");
    }

    #[test]
    fn identifiers_are_one_token_whatever_they_hold() {
        for network in ["demo", "a.b", "*", "ключ", ">"] {
            let subject = Subject::events(network);
            assert_eq!(subject.as_str().matches('.').count(), 1, "{subject}");
            assert!(!subject.as_str().contains(['*', '>', ' ']), "{subject}");
        }
    }

    #[test]
    fn no_pod_can_be_named_so_that_it_hears_what_is_for_all() {
        assert_eq!(Subject::control_all().as_str().matches('.').count(), 2);
        assert_eq!(Subject::control(&PodId::read("all")).as_str().matches('.').count(), 1);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_network_or_a_pod_is_called_its_subject_is_its_own(one in "\\PC{0,40}|[.*> $\r\n]{0,10}", other in "\\PC{0,40}") {
            let deliver = |pod: &str| Subject::deliver(&PodId::read(pod));
            let control = |pod: &str| Subject::control(&PodId::read(pod));
            for make in [Subject::events, deliver, control] {
                let subject = make(&one);
                let (_, token) = subject.as_str().split_once('.').expect("two tokens");
                proptest::prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
                proptest::prop_assert_eq!(make(&other) == subject, one == other);
            }
        }
    }
}

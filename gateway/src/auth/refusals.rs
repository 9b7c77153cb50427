//! Why tokens are refused: counted for whoever runs this, and logged. A client is told that it has no valid session, and
//! nothing else.
//!
//! | metric | counts |
//! | --- | --- |
//! | `convene_tokens_refused_total` `{reason}` | refusals, by [`Unauthorized::label`] |
//!
//! Each reason has one line of the log a minute at most.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::counter;
use shared::internal::NoSession;
use tokio::time::Instant;

/// A reason is logged at most so often.
const LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Of a text that a token holds so many characters are shown.
const MOST_SHOWN: usize = 64;

/// Why a token is refused. Says nothing of what the token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthorized {
    /// There is none.
    NoToken,
    /// No JWT, or one of `none` or another algorithm that nobody should take.
    Malformed,
    /// One that we do not take, or that the key is not for.
    Algorithm,
    /// Nothing is known under the token's `kid`.
    UnknownKey,
    /// Nothing is known under the token's `kid`, and the keys could not be read again: the token may be good.
    KeysAway,
    /// Somebody else signed it, or it was changed.
    Signature,
    /// A required claim is missing, or no session can have it.
    Claim(&'static str),
    /// `iss` is none of `jwt-issuer`.
    Issuer,
    /// `aud` holds none of `jwt-audience`.
    Audience,
    /// `exp` is over.
    Expired,
    /// `nbf` is to come.
    NotYetValid,
    /// The token is good, and a worker knows of no such session.
    NoSession(NoSession),
}

impl Unauthorized {
    /// Every reason, [`Unauthorized::Claim`] for one claim.
    pub const ALL: [Self; 14] = [
        Self::NoToken,
        Self::Malformed,
        Self::Algorithm,
        Self::UnknownKey,
        Self::KeysAway,
        Self::Signature,
        Self::Claim("sub"),
        Self::Issuer,
        Self::Audience,
        Self::Expired,
        Self::NotYetValid,
        Self::NoSession(NoSession::Revoked),
        Self::NoSession(NoSession::UnknownNetwork),
        Self::NoSession(NoSession::NotOfNetwork),
    ];

    /// Its name in the metric, the log and deploy/README.md.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoToken => "no token",
            Self::Malformed => "malformed",
            Self::Algorithm => "wrong algorithm",
            Self::UnknownKey => "unknown key",
            Self::KeysAway => "keys away",
            Self::Signature => "bad signature",
            Self::Claim(_) => "missing claim",
            Self::Issuer => "wrong issuer",
            Self::Audience => "wrong audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::NoSession(NoSession::Revoked) => "revoked",
            Self::NoSession(NoSession::UnknownNetwork) => "unknown network",
            Self::NoSession(NoSession::NotOfNetwork) => "not of the network",
        }
    }
}

/// A refusal, with what helps to find its cause: a `kid`, the name of a claim, a network. Never a token, nor what it says of
/// a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Unauthorized,
    /// One line; empty where there is nothing to add.
    pub detail: String,
}

impl Refused {
    /// A refusal.
    pub fn new(reason: Unauthorized, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// That a worker does not let this network's session in, as the message of its 401 says.
    pub fn by_worker(message: &str, network: &str) -> Self {
        // Another version may say it in other words.
        let reason = NoSession::from_message(message).unwrap_or(NoSession::NotOfNetwork);
        Self::new(Unauthorized::NoSession(reason), format!("network {}", shown(network)))
    }
}

impl From<Unauthorized> for Refused {
    fn from(reason: Unauthorized) -> Self {
        Self::new(reason, "")
    }
}

/// A text of a token as the log shows it: the first characters of it, and of those only printable ASCII.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::from('"');
    let mut characters = text.chars();
    for character in characters.by_ref().take(MOST_SHOWN) {
        shown.push(if character.is_ascii_graphic() && !matches!(character, '"' | '\\') { character } else { '?' });
    }
    shown.push('"');
    let left = characters.count();
    if left > 0 {
        let _ = write!(shown, " and {left} characters");
    }
    shown
}

/// What was refused on this pod.
#[derive(Debug)]
pub struct Refusals(Mutex<BTreeMap<&'static str, Logged>>);

#[derive(Debug, Default)]
struct Logged {
    last: Option<Instant>,
    /// Refusals after that line.
    since: u64,
}

impl Default for Refusals {
    /// None so far: counted from 0 on, so that the first of a reason is an increase already.
    fn default() -> Self {
        for reason in Unauthorized::ALL {
            counter!("convene_tokens_refused_total", "reason" => reason.label()).increment(0);
        }
        Self(Mutex::default())
    }
}

impl Refusals {
    /// Counts a refusal, and logs it unless its reason was logged within a minute.
    pub fn note(&self, refused: &Refused) {
        let reason = refused.reason.label();
        counter!("convene_tokens_refused_total", "reason" => reason).increment(1);
        if let Some(refusals) = self.due(reason, Instant::now()) {
            let detail = (!refused.detail.is_empty()).then_some(refused.detail.as_str());
            tracing::info!(reason, refusals, detail, "a session token was refused");
        }
    }

    /// How many refusals there were since the last line, when it is time for another one.
    fn due(&self, reason: &'static str, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let logged = all.entry(reason).or_default();
        logged.since += 1;
        if logged.last.is_some_and(|last| now.duration_since(last) < LOGGED_EVERY) {
            return None;
        }
        logged.last = Some(now);
        Some(std::mem::take(&mut logged.since))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_reason_is_due_once_a_minute_with_how_many_there_were() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(refusals.due("expired", at(0)), Some(1));
        for second in 1..60 {
            assert_eq!(refusals.due("expired", at(second)), None, "{second}");
        }
        assert_eq!(refusals.due("malformed", at(30)), Some(1), "each reason by itself");
        assert_eq!(refusals.due("expired", at(60)), Some(60));
        assert_eq!(refusals.due("expired", at(100)), None);
        assert_eq!(refusals.due("malformed", at(100)), Some(1));
        assert_eq!(refusals.due("expired", at(500)), Some(2));
    }

    #[test]
    fn each_reason_has_a_label_of_its_own() {
        let labels: BTreeSet<_> = Unauthorized::ALL.map(Unauthorized::label).into();
        assert_eq!(labels.len(), Unauthorized::ALL.len());
    }

    #[test]
    fn what_a_worker_says_is_told_apart_and_an_older_ones_words_are_understood() {
        for reason in NoSession::ALL {
            let refused = Refused::by_worker(reason.message(), "demo");
            assert_eq!(refused, Refused::new(Unauthorized::NoSession(reason), "network \"demo\""));
        }
        let reason = Refused::by_worker("no valid session", "demo").reason;
        assert_eq!(reason, Unauthorized::NoSession(NoSession::NotOfNetwork));
    }

    #[test]
    fn a_tokens_text_is_shown_in_part_and_without_what_could_forge_a_line() {
        assert_eq!(shown("2030-01.key_A"), "\"2030-01.key_A\"");
        assert_eq!(shown(""), "\"\"");
        assert_eq!(shown("a\n\" reason=\"b\"\u{1b}[2Jé\\"), "\"a???reason=?b??[2J??\"");
        let long = "k".repeat(10_000);
        assert_eq!(shown(&long), format!("\"{}\" and 9936 characters", "k".repeat(64)));
    }
}

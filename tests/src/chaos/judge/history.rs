//! What the log tells of each object: its states in the order of commits, each change once, places never sold twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::log::LogRow;
use crate::chaos::{
    ledger::{Ledger, Life},
    tally::Tally,
};

/// Network and id.
type Key = (String, String);

#[derive(Debug, Default)]
pub(super) struct History {
    /// Of each social event.
    limits: HashMap<Key, usize>,
    meetings: BTreeMap<Key, Object>,
    sessions: BTreeMap<Key, Object>,
    /// How often each object was created, by network and mark.
    created: BTreeMap<Key, usize>,
    broken: Vec<String>,
}

#[derive(Debug, Default)]
struct Object {
    version: u64,
    /// Every version that was shown.
    versions: BTreeSet<u64>,
    /// How often a meeting was told to have changed.
    updates: usize,
    is_gone: bool,
    /// A session's `updated`.
    updated: String,
    event: String,
    owner: String,
    joined: BTreeSet<String>,
    /// What each user did, as it shows.
    joins: BTreeMap<String, Vec<bool>>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// `v12` is 12.
fn version(text: &str) -> u64 {
    text.strip_prefix('v').and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

impl History {
    pub(super) fn new(ledger: &Ledger) -> Self {
        let book = ledger.book();
        let limits = book.events.iter().map(|event| ((event.network.clone(), event.id.clone()), event.limit));
        Self { limits: limits.collect(), ..Self::default() }
    }

    /// The next event of a network.
    pub(super) fn add(&mut self, row: &LogRow) {
        let data: Value = match serde_json::from_str(&row.payload) {
            Ok(data) => data,
            Err(error) => return self.broken.push(format!("{} {}: {error}", row.network, row.position)),
        };
        let outcome = match row.name.as_str() {
            "meeting:onMeetingCreated" | "meeting:onMeetingUpdated" => self.meeting(row, &data["meeting"]),
            "meeting:onMeetingDeleted" => self.gone(row, text(&data, "meetingId")),
            "social:sessionUpdated" => self.session(row, &data["session"]),
            "social:sessionDeleted" => self.gone(row, text(&data, "sessionId")),
            // The deprecated companions.
            "meeting:meetingUpdated" | "meeting:meetingDeleted" => Ok(()),
            name => Err(format!("nobody did what {name} tells of")),
        };
        if let Err(what) = outcome {
            self.broken.push(format!("{} {}: {what}", row.network, row.position));
        }
    }

    fn meeting(&mut self, row: &LogRow, meeting: &Value) -> Result<(), String> {
        let key = (row.network.clone(), text(meeting, "meetingId").to_owned());
        let is_creation = row.name == "meeting:onMeetingCreated";
        if is_creation {
            let mark = (row.network.clone(), text(meeting, "description").to_owned());
            *self.created.entry(mark).or_default() += 1;
        }
        if is_creation == self.meetings.contains_key(&key) {
            return Err(format!("{} of the meeting {}", row.name, key.1));
        }
        let object = self.meetings.entry(key).or_default();
        object.updates += usize::from(!is_creation);
        object.shown(text(meeting, "subject"))
    }

    fn session(&mut self, row: &LogRow, session: &Value) -> Result<(), String> {
        let key = (row.network.clone(), text(session, "id").to_owned());
        if !self.sessions.contains_key(&key) {
            let mark = (row.network.clone(), text(session, "description").to_owned());
            *self.created.entry(mark).or_default() += 1;
        }
        let object = self.sessions.entry(key).or_default();
        object.event = text(session, "eventId").to_owned();
        object.owner = text(session, "ownerId").to_owned();
        let joined: BTreeSet<String> =
            session["joinedUsers"].as_array().into_iter().flatten().map(|user| text(user, "id").to_owned()).collect();
        for user in joined.symmetric_difference(&object.joined) {
            object.joins.entry(user.clone()).or_default().push(joined.contains(user));
        }
        object.joined = joined;
        let updated = text(session, "updated").to_owned();
        // RFC 3339 in UTC, but with a fraction only where it is not zero.
        if instant(&updated) < instant(&object.updated) {
            return Err(format!("updated falls from {} to {updated}", object.updated));
        }
        object.updated = updated;
        object.shown(text(session, "title"))?;
        let event = (row.network.clone(), text(session, "eventId").to_owned());
        self.places(&event)
    }

    /// At most so many different users have joined the event's sessions, owners not counted in their own (S6).
    fn places(&self, event: &Key) -> Result<(), String> {
        let Some(limit) = self.limits.get(event) else { return Ok(()) };
        let sessions =
            self.sessions.iter().filter(|(key, object)| key.0 == event.0 && object.event == event.1 && !object.is_gone);
        let taken: BTreeSet<&String> =
            sessions.flat_map(|(_, session)| session.joined.iter().filter(|user| **user != session.owner)).collect();
        if taken.len() > *limit {
            return Err(format!("{} places of {limit} are taken: {taken:?}", taken.len()));
        }
        Ok(())
    }

    fn gone(&mut self, row: &LogRow, id: &str) -> Result<(), String> {
        let key = (row.network.clone(), id.to_owned());
        let object = self.meetings.get_mut(&key).or_else(|| self.sessions.get_mut(&key));
        let object = object.ok_or_else(|| format!("{id} is deleted and was never created"))?;
        if object.is_gone {
            return Err(format!("{id} is deleted twice"));
        }
        object.is_gone = true;
        Ok(())
    }

    /// Holds it against what was acknowledged.
    pub(super) fn judge(self, ledger: &Ledger, tally: &Tally) {
        self.broken.into_iter().for_each(|what| tally.blame(what));
        let book = ledger.book();
        for ((network, mark), acknowledged) in &book.created {
            // What is told of social events is told of their sessions.
            if book.events.iter().any(|event| (&event.network, &event.mark) == (network, mark)) {
                continue;
            }
            let count = self.created.get(&(network.clone(), mark.clone())).copied().unwrap_or_default();
            if count > 1 || count == 0 && *acknowledged {
                tally.blame(format!("{network}: {mark} was created {count} times; acknowledged: {acknowledged}"));
            }
        }
        for mark in self.created.keys().filter(|mark| !book.created.contains_key(mark)) {
            tally.blame(format!("{mark:?} was created and nobody asked for it"));
        }
        for meeting in &book.meetings {
            let key = (meeting.network.clone(), meeting.id.clone());
            let Some(object) = self.meetings.get(&key) else { continue };
            object.judge(&key, meeting.version, meeting.life, tally);
            let changes = meeting.version as usize + meeting.changes_of_answers();
            if !meeting.is_moved && object.updates != changes {
                tally.blame(format!("{key:?}: {changes} changes, told {} times", object.updates));
            }
        }
        for session in &book.sessions {
            let key = (session.network.clone(), session.id.clone());
            let Some(object) = self.sessions.get(&key) else { continue };
            object.judge(&key, session.version, session.life, tally);
            if object.joins != session.joins {
                tally.blame(format!("{key:?}: joins {:?}, told {:?}", session.joins, object.joins));
            }
        }
    }
}

fn instant(text: &str) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    chrono::DateTime::parse_from_rfc3339(text).ok()
}

impl Object {
    fn shown(&mut self, title: &str) -> Result<(), String> {
        let version = version(title);
        if self.is_gone {
            return Err(format!("changed to {title} after it was deleted"));
        }
        if version < self.version {
            return Err(format!("falls from v{} to {title}", self.version));
        }
        self.version = version;
        self.versions.insert(version);
        Ok(())
    }

    fn judge(&self, key: &Key, version: u64, life: Life, tally: &Tally) {
        if !self.versions.iter().copied().eq(0..=version) {
            tally.blame(format!("{key:?}: version {version} was acknowledged, told were {:?}", self.versions));
        }
        if self.is_gone != (life == Life::Gone) {
            tally.blame(format!("{key:?}: {life:?}, and told to be gone: {}", self.is_gone));
        }
    }
}

//! What PostgreSQL holds of a network.

use std::sync::{Arc, Mutex, MutexGuard};

use rand::{Rng as _, rngs::StdRng};
use serde_json::value::RawValue;
use shared::internal::{
    EventBody, Head, Heads, LoggedEvent, Page, PlacedEvent, Position, Range, ReadHeads, ReadPage, ReadRange,
};

use super::{NETWORK, USERS};

/// The network's logs, one for each epoch. Clones are the same network.
#[derive(Clone)]
pub(super) struct Truth(Arc<Mutex<Vec<Log>>>);

#[derive(Clone, Default)]
struct Log {
    events: Vec<Logged>,
    trimmed: Position,
}

/// An event of the log.
#[derive(Clone)]
pub(super) struct Logged {
    pub(super) position: Position,
    pub(super) recipients: Vec<String>,
    data: String,
}

impl Logged {
    fn body(&self) -> EventBody {
        let data = RawValue::from_string(self.data.clone()).expect("a number");
        EventBody { name: "meeting:onMeetingUpdated".to_owned(), data }
    }

    pub(super) fn placed(&self) -> PlacedEvent {
        PlacedEvent { position: self.position, body: self.body(), trace_parent: None }
    }

    fn is_for(&self, user: &str) -> bool {
        self.recipients.iter().any(|recipient| recipient == user)
    }
}

impl Default for Truth {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(vec![Log::default()])))
    }
}

impl Truth {
    fn lock(&self) -> MutexGuard<'_, Vec<Log>> {
        self.0.lock().expect("nobody panicked")
    }

    /// The epoch and the head now.
    pub(super) fn head(&self) -> (String, Position) {
        let logs = self.lock();
        (epoch(logs.len()), logs.last().map_or(0, |log| log.events.len() as u64))
    }

    /// Adds events. Returns the epoch, the head before, and the events.
    pub(super) fn append(&self, count: usize, random: &mut StdRng) -> (String, Position, Vec<Logged>) {
        let mut logs = self.lock();
        let epoch = epoch(logs.len());
        let log = logs.last_mut().expect("there is one");
        let from = log.events.len() as Position;
        for position in from + 1..=from + count as Position {
            let mask = random.random_range(1_u32..1 << USERS.len());
            let recipients =
                (0..USERS.len()).filter(|bit| mask >> bit & 1 == 1).map(|bit| USERS[bit].to_owned()).collect();
            log.events.push(Logged { position, recipients, data: random.random::<u32>().to_string() });
        }
        (epoch, from, log.events[from as usize..].to_vec())
    }

    /// Removes what is old, but never the newest.
    pub(super) fn trim(&self, random: &mut StdRng) {
        let mut logs = self.lock();
        let log = logs.last_mut().expect("there is one");
        let most = (log.events.len() as Position).saturating_sub(1);
        log.trimmed = log.trimmed.max(random.random_range(0..=most));
    }

    /// Begins a new epoch, of the log as it is, or as a backup has it.
    pub(super) fn reset(&self, random: &mut StdRng) {
        let mut logs = self.lock();
        let mut log = logs.last().expect("there is one").clone();
        if random.random_bool(0.5) {
            let kept = log.events.len().saturating_sub(random.random_range(0..6)).max(log.trimmed as usize + 1);
            log.events.truncate(kept);
        }
        logs.push(log);
    }

    /// A worker's answer to a question, as JSON.
    pub(super) fn answer(&self, method: &str, question: &[u8], random: &mut StdRng) -> String {
        let logs = self.lock();
        let (epoch, log) = (epoch(logs.len()), logs.last().expect("there is one"));
        let head = log.events.len() as Position;
        match method {
            "heads" => {
                let ReadHeads { networks } = serde_json::from_slice(question).expect("a question");
                assert_eq!(networks, [NETWORK]);
                json(&Heads { heads: vec![Head { network: NETWORK.to_owned(), epoch, head }] })
            }
            "range" => {
                let ReadRange { after, through, .. } = serde_json::from_slice(question).expect("a question");
                let events = log.after(after).filter(|event| event.position <= through);
                let events = events.take(random.random_range(1..8)).map(|event| LoggedEvent {
                    position: event.position,
                    recipients: event.recipients.clone(),
                    body: event.body(),
                    trace_parent: None,
                });
                json(&Range { epoch, trimmed: log.trimmed, events: events.collect() })
            }
            "page" => {
                let ReadPage { user, after, .. } = serde_json::from_slice(question).expect("a question");
                let most = random.random_range(1..4);
                let found: Vec<&Logged> = log.after(after).filter(|event| event.is_for(&user)).collect();
                let through = if found.len() > most { found[most - 1].position } else { head };
                let events = found.into_iter().take(most).map(Logged::placed).collect();
                json(&Page { epoch, trimmed: log.trimmed, events, through, is_last: through == head })
            }
            other => panic!("nobody asks for {other}"),
        }
    }

    /// The first event of a user after a position, in an epoch: position and data.
    pub(super) fn next_of(&self, epoch: &str, user: &str, after: Position) -> Option<(Position, String)> {
        let logs = self.lock();
        let events = &logs[number(epoch)].events;
        let next = events.iter().find(|event| event.position > after && event.is_for(user));
        next.map(|event| (event.position, event.data.clone()))
    }

    /// Whether an event is one of that user's, and its data.
    pub(super) fn data_of(&self, epoch: &str, user: &str, position: Position) -> Option<String> {
        self.next_of(epoch, user, position - 1).filter(|(found, _)| *found == position).map(|(_, data)| data)
    }

    /// Up to where an epoch's log has been trimmed.
    pub(super) fn trimmed(&self, epoch: &str) -> Position {
        self.lock()[number(epoch)].trimmed
    }

    /// An epoch's head.
    pub(super) fn head_of(&self, epoch: &str) -> Position {
        self.lock()[number(epoch)].events.len() as Position
    }
}

impl Log {
    /// What is left after a position.
    fn after(&self, position: Position) -> impl Iterator<Item = &Logged> {
        let (trimmed, after) = (self.trimmed, position);
        self.events.iter().filter(move |event| event.position > after && event.position > trimmed)
    }
}

/// The name of the epoch that so many logs make.
fn epoch(logs: usize) -> String {
    format!("e{logs}")
}

fn number(epoch: &str) -> usize {
    epoch[1..].parse::<usize>().expect("one of ours") - 1
}

fn json(answer: &impl serde::Serialize) -> String {
    serde_json::to_string(answer).expect("JSON")
}

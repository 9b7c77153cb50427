//! What the event log says that somebody is told, and sockets that are held against it.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures::future::join_all;
use harness::{Client, Stack, eventually::PAUSE};
use serde_json::Value;
use tokio::{task::JoinHandle, time::sleep};

/// An event as a socket is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub id: String,
    pub name: String,
    pub data: Value,
}

impl Told {
    /// Of a pushed frame.
    pub fn of(frame: &Value) -> Self {
        let text = |field: &str| frame[field].as_str().unwrap_or_else(|| panic!("{field} of {frame}")).to_owned();
        Self { id: text("eventId"), name: text("event"), data: frame["data"].clone() }
    }
}

/// The log of the network `demo`, which has had one epoch.
#[derive(Debug)]
pub struct Record {
    epoch: String,
    events: BTreeMap<i64, Told>,
    positions: HashMap<String, Vec<i64>>,
}

impl Record {
    pub async fn of(stack: &Stack) -> Self {
        let mut database = stack.database().await;
        let epoch: String = sqlx::query_scalar("SELECT epoch FROM networks WHERE id = 'demo'")
            .fetch_one(&mut database)
            .await
            .expect("the network");
        let events: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT position, name, payload FROM event_log WHERE network_id = 'demo'")
                .fetch_all(&mut database)
                .await
                .expect("the log");
        let recipients: Vec<(String, i64)> = sqlx::query_as(
            "SELECT user_id, position FROM event_recipients WHERE network_id = 'demo' ORDER BY position",
        )
        .fetch_all(&mut database)
        .await
        .expect("who receives it");
        let mut record = Self { events: BTreeMap::new(), positions: HashMap::new(), epoch };
        for (position, name, payload) in events {
            let data = serde_json::from_str(&payload).expect("JSON");
            record.events.insert(position, Told { id: format!("{}.{position}", record.epoch), name, data });
        }
        for (user, position) in recipients {
            record.positions.entry(user).or_default().push(position);
        }
        record
    }

    /// What a user is told after an event.
    pub fn after(&self, user: &str, id: &str) -> impl Iterator<Item = &Told> {
        let position = id.strip_prefix(&self.epoch).and_then(|rest| rest.strip_prefix('.')).map(str::parse::<i64>);
        let after = position.expect("of this epoch").expect("a position");
        let positions = self.positions.get(user).map(Vec::as_slice).unwrap_or_default();
        let from = positions.partition_point(|position| *position <= after);
        positions[from..].iter().map(|position| &self.events[position])
    }
}

/// Returns when every event that was committed has its place in the log.
pub async fn all_moved(stack: &Stack) {
    let mut database = stack.database().await;
    loop {
        let waiting: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM outbox)")
            .fetch_one(&mut database)
            .await
            .expect("the outbox");
        if !waiting {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// A socket, and everything that it has been told.
#[derive(Debug)]
pub struct Listener {
    pub user: String,
    pub client: Client,
    /// Where it began.
    pub start: String,
    pub told: Vec<Told>,
}

impl Listener {
    pub async fn open(stack: &Stack, gateway: usize, user: &str) -> Self {
        let mut client = stack.connect(gateway, user).let_in().await;
        let start = client.event("user_info").await["lastEventId"].as_str().expect("an id").to_owned();
        Self { user: user.to_owned(), client, start, told: Vec::new() }
    }

    /// Receives until it has been told what the record says, all of it and nothing else, once and in order.
    pub async fn complete(&mut self, record: &Record) {
        for (place, expected) in record.after(&self.user, &self.start).enumerate() {
            if place == self.told.len() {
                self.told.push(Told::of(&self.client.next_event().await));
            }
            assert_eq!(self.told[place], *expected, "{}, event {place}", self.user);
        }
        assert_eq!(self.told.len(), record.after(&self.user, &self.start).count(), "{} was told more", self.user);
        self.client.no_event().await;
    }
}

/// A time in which something was promised, counted from when it is made, and as slowly as a busy machine counts.
#[derive(Debug)]
pub struct Within(JoinHandle<()>);

impl Within {
    pub fn from_now(time: Duration) -> Self {
        const TICK: Duration = Duration::from_millis(100);
        Self(tokio::spawn(async move {
            for _ in 0..time.as_millis() / TICK.as_millis() {
                sleep(TICK).await;
            }
        }))
    }
}

/// Asserts that in this time everything committed is in the log and every socket has been told of it.
pub async fn complete_within(time: Within, stack: &Stack, listeners: &mut [Listener], what: &str) {
    let complete = async {
        all_moved(stack).await;
        let record = Record::of(stack).await;
        join_all(listeners.iter_mut().map(|listener| listener.complete(&record))).await;
    };
    tokio::select! {
        () = Box::pin(complete) => (),
        _ = time.0 => panic!("not told in time: {what}"),
    }
}

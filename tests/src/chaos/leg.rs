//! One socket of a session: what it received, in order, and who waits for an answer on it.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::CloseFrame},
};
use tokio_util::sync::CancellationToken;

/// A socket that says nothing for so long after its upgrade is given up.
const WELCOME_PATIENCE: Duration = Duration::from_secs(15);

/// Requests that wait to be written; more wait for them.
const OUTGOING: usize = 64;

/// An answer, without the frame's id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) code: u64,
    pub(super) message: String,
    pub(super) data: Value,
}

/// How a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a close code.
    Closed(u16),
    /// Without one.
    Broken,
    /// The client gave it up.
    Abandoned,
}

/// An event as it was received: its position, and a fingerprint of its name and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) position: i64,
    pub(super) print: u64,
}

/// What a socket received, and when.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) gateway: usize,
    /// When its upgrade was asked for.
    pub(super) asked: Instant,
    pub(super) opened: DateTime<Utc>,
    /// The `lastEventId` that it was opened with.
    pub(super) sent: Option<String>,
    /// That of its `user_info`; `None` until that has come.
    pub(super) place: Option<String>,
    pub(super) events: Vec<Seen>,
    pub(super) resyncs: u32,
    /// The code of its `invalidConnection`.
    pub(super) told: Option<u64>,
    pub(super) end: Option<End>,
}

/// Who waits for an answer; `None` when the socket has ended.
type Waiting = Option<HashMap<u64, oneshot::Sender<Answer>>>;

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) record: Mutex<Record>,
    outgoing: mpsc::Sender<String>,
    waiting: Mutex<Waiting>,
    next_id: AtomicU64,
    /// The client does not want it any more.
    abandoned: CancellationToken,
}

/// What a frame told.
pub(super) enum News {
    /// `user_info` came: from now on requests can be sent.
    Welcome,
    /// An event, with its `eventId`.
    Event(Seen, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    event_id: Option<String>,
    last_event_id: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    error: FrameError,
}

#[derive(Deserialize)]
struct FrameError {
    code: u64,
    message: String,
}

/// The position that an `eventId` names, and its epoch. Clients must not look; the judge may.
pub(super) fn position(event_id: &str) -> (&str, i64) {
    let (epoch, position) = event_id.rsplit_once('.').unwrap_or((event_id, "-1"));
    (epoch, position.parse().unwrap_or(-1))
}

/// Of an event's name and data, byte for byte.
pub(super) fn fingerprint(name: &str, data: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, data).hash(&mut hasher);
    hasher.finish()
}

impl Leg {
    /// Its outgoing requests are for [`Leg::run`].
    pub(super) fn new(gateway: usize, asked: Instant, sent: Option<String>) -> (Self, mpsc::Receiver<String>) {
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        let record = Record {
            gateway,
            asked,
            opened: Utc::now(),
            sent,
            place: None,
            events: Vec::new(),
            resyncs: 0,
            told: None,
            end: None,
        };
        let leg = Self {
            record: Mutex::new(record),
            outgoing,
            waiting: Mutex::new(Some(HashMap::new())),
            next_id: AtomicU64::new(1),
            abandoned: CancellationToken::new(),
        };
        (leg, requests)
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        self.record().end.is_none()
    }

    /// Whether requests can be sent.
    pub(super) fn is_ready(&self) -> bool {
        let record = self.record();
        record.end.is_none() && record.place.is_some()
    }

    /// Gives it up without a word, as a client does that lost its network.
    pub(super) fn abandon(&self) {
        self.abandoned.cancel();
    }

    /// Sends a request; its answer comes later, or never when the socket ends.
    pub(super) async fn ask(&self, endpoint: &str, data: &Value, event_id: Option<&str>) -> oneshot::Receiver<Answer> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut frame = json!({"id": id, "endpoint": endpoint, "data": data});
        if let Some(event_id) = event_id {
            frame["event"] = json!({"id": event_id});
        }
        let (told, answer) = oneshot::channel();
        if let Some(waiting) = self.waiting().as_mut() {
            waiting.insert(id, told);
        }
        // When it has ended, the answer is dropped with the others.
        let _ = self.outgoing.send(frame.to_string()).await;
        answer
    }

    /// Reads and writes until it ends, and says how.
    pub(super) async fn run(
        &self,
        mut socket: WebSocketStream<TcpStream>,
        mut requests: mpsc::Receiver<String>,
        mut heard: impl FnMut(News),
    ) -> Result<End, String> {
        let welcome_by = Instant::now() + WELCOME_PATIENCE;
        let end = loop {
            tokio::select! {
                () = self.abandoned.cancelled() => break Ok(End::Abandoned),
                () = sleep_until(welcome_by), if self.record().place.is_none() => break Ok(End::Broken),
                Some(request) = requests.recv() => {
                    if socket.send(Message::text(request)).await.is_err() {
                        break Ok(End::Broken);
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => match self.hear(&text) {
                        Ok(Some(news)) => heard(news),
                        Ok(None) => (),
                        Err(error) => break Err(format!("{error}: {text:.300}")),
                    },
                    Some(Ok(Message::Close(frame))) => {
                        // The answer to the close frame is written as it is read on.
                        while let Some(Ok(_)) = socket.next().await {}
                        break Ok(frame.map_or(End::Broken, |CloseFrame { code, .. }| End::Closed(code.into())));
                    }
                    Some(Ok(_)) => (),
                    Some(Err(_)) | None => break Ok(End::Broken),
                },
            }
        };
        self.record().end = Some(end.clone().unwrap_or(End::Broken));
        *self.waiting() = None;
        end
    }

    fn hear(&self, text: &str) -> serde_json::Result<Option<News>> {
        let frame: Frame<'_> = serde_json::from_str(text)?;
        let Some(name) = frame.event else {
            let data = frame.data.map(|data| serde_json::from_str(data.get())).transpose()?.unwrap_or_default();
            let answer = Answer { code: frame.error.code, message: frame.error.message, data };
            let waiter = frame.id.and_then(|id| self.waiting().as_mut()?.remove(&id));
            if let Some(waiter) = waiter {
                // Whoever asked may have given up.
                let _ = waiter.send(answer);
            }
            return Ok(None);
        };
        let mut record = self.record();
        Ok(match (&*name, frame.event_id) {
            ("user_info", _) => {
                record.place = frame.last_event_id;
                Some(News::Welcome)
            }
            ("invalidConnection", _) => {
                record.told = Some(frame.error.code);
                None
            }
            ("resyncRequired", _) => {
                record.resyncs += 1;
                None
            }
            (name, id) => {
                let id = id.unwrap_or_default();
                let nothing = to_raw_value("")?;
                let data = frame.data.unwrap_or(&nothing);
                let seen = Seen { position: position(&id).1, print: fingerprint(name, data.get()) };
                record.events.push(seen);
                Some(News::Event(seen, id))
            }
        })
    }
}

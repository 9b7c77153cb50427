//! A client's socket, which is held against the truth at every frame.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use shared::{
    api::Close,
    internal::{Position, Session},
};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::{Model, NETWORK, PARTITION, truth::Truth};
use crate::{
    hub::Socket,
    outbox::{Ending, Next},
    stream::{Start, catch_up},
    transport::{event_id, parse_event_id, websocket::Plain},
};

/// An outbox that holds only a few frames, so that pages have to wait for the client.
const NARROW: usize = 900;

pub(super) struct Client {
    pub(super) user: &'static str,
    epoch: String,
    received: Arc<Mutex<Received>>,
    /// None once it has left.
    tasks: Option<[AbortOnDropHandle<()>; 2]>,
}

/// What the socket has received.
struct Received {
    /// It has everything of its user up to here …
    cursor: Position,
    /// … unless it was told to fetch everything anew when the log was as long as this.
    resync_at: Option<Position>,
    ended: Option<Ending>,
    trace: String,
}

impl Client {
    /// As a gateway lets a client in: what it is told first is from some moment before.
    pub(super) fn connect(
        id: u64,
        user: &'static str,
        last_event_id: Option<&str>,
        seed: u64,
        Model { truth, streams, haste, .. }: &Model,
    ) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (epoch, head) = truth.head();
        let session = Session { network: NETWORK.to_owned(), user: user.to_owned(), sid: id.to_string() };
        let is_narrow = random.random_bool(0.3);
        let room = if is_narrow { NARROW } else { 1 << 20 };
        let socket = Arc::new(Socket::new(id, session, id, epoch.as_str().into(), 0, &Plain::Pinged, room));
        let start = Start::new(last_event_id, &epoch, head);
        let received =
            Received { cursor: start.cursor, resync_at: None, ended: None, trace: format!("{user} {start:?}") };
        let received = Arc::new(Mutex::new(received));
        let longest = [2, 300, 5000][random.random_range(0..3)];
        let admission = Duration::from_millis(random.random_range(0..longest));
        let listening = tokio::spawn({
            let (streams, socket) = (streams.clone(), socket.clone());
            let start = start.clone();
            async move {
                sleep(admission).await;
                let member = streams.join(&socket, PARTITION, head);
                catch_up(&member, start, head).await;
                std::future::pending::<()>().await;
            }
        });
        let reader =
            Reader { user, epoch: epoch.clone(), start, is_narrow, truth: truth.clone(), haste: haste.clone(), random };
        let reading = tokio::spawn(reader.run(socket, received.clone()));
        Self { user, epoch, received, tasks: Some([listening, reading].map(AbortOnDropHandle::new)) }
    }

    /// Goes away without a word.
    pub(super) fn leave(&mut self) {
        self.tasks = None;
    }

    /// What it would come back with.
    pub(super) fn last_event_id(&self) -> Option<String> {
        let received = self.received.lock().expect("its reader has not panicked");
        received.resync_at.is_none().then(|| event_id(&self.epoch, received.cursor))
    }

    pub(super) fn trace(&self) -> String {
        self.received.lock().expect("its reader has not panicked").trace.clone()
    }

    /// All has been well for long enough: it has everything, or was closed for a good reason.
    pub(super) fn assert_complete(&self, truth: &Truth) {
        let Received { cursor, resync_at, ended, trace } =
            &*self.received.lock().unwrap_or_else(|panicked| panic!("{}", panicked.get_ref().trace));
        let is_over = truth.head().0 != self.epoch;
        if self.tasks.is_none() || ended.is_some() {
            return;
        }
        assert!(!is_over, "its epoch is over and it is open: {trace}");
        let after = resync_at.map_or(*cursor, |head| head.max(*cursor));
        let missing = truth.next_of(&self.epoch, self.user, after);
        assert_eq!(missing, None, "of {}: {trace}", truth.head_of(&self.epoch));
    }
}

struct Reader {
    user: &'static str,
    epoch: String,
    start: Start,
    is_narrow: bool,
    truth: Truth,
    haste: Arc<AtomicBool>,
    random: StdRng,
}

impl Reader {
    async fn run(mut self, socket: Arc<Socket>, received: Arc<Mutex<Received>>) {
        loop {
            match socket.outbox.take() {
                Next::Frame(frame) => {
                    self.read(&frame.text, &mut received.lock().expect("this is the only one that panics"));
                    let pace = if self.is_narrow && !self.haste.load(Ordering::Relaxed) { 400 } else { 3 };
                    sleep(Duration::from_millis(self.random.random_range(0..pace))).await;
                }
                Next::Ping | Next::Pong(_) => (),
                Next::Empty => socket.outbox.changed().await,
                Next::End(ending) => {
                    let mut received = received.lock().expect("this is the only one that panics");
                    self.check_ending(ending, &received.trace);
                    received.ended = Some(ending);
                    return;
                }
            }
        }
    }

    fn read(&self, frame: &str, received: &mut Received) {
        let frame: Value = serde_json::from_str(frame).expect("JSON");
        if frame["event"] == "resyncRequired" {
            received.trace.push_str(" resync");
            let is_unknown = self.start.resync && received.resync_at.is_none();
            let is_gone = self.truth.trimmed(&self.epoch) > received.cursor;
            assert!(is_unknown || is_gone, "for no reason: {}", received.trace);
            received.resync_at = Some(self.truth.head_of(&self.epoch));
            return;
        }
        let (epoch, position) = frame["eventId"].as_str().and_then(parse_event_id).expect("an id");
        received.trace.push_str(&format!(" {position}"));
        let trace = &received.trace;
        assert_eq!(epoch, self.epoch, "of another epoch: {trace}");
        assert!(position > received.cursor, "again, or late: {trace}");
        let expected = match received.resync_at {
            None => self.truth.next_of(epoch, self.user, received.cursor),
            // From somewhere after what it was told to fetch; from there on without a hole.
            Some(_) => self.truth.data_of(epoch, self.user, position).map(|data| (position, data)),
        };
        assert_eq!(expected, Some((position, frame["data"].to_string())), "{trace}");
        received.cursor = position;
        // Only what comes right after it may begin anywhere, unless more is on its way at once.
        if received.resync_at.is_some_and(|head| position > head) {
            received.resync_at = None;
        }
    }

    fn check_ending(&self, ending: Ending, trace: &str) {
        match ending {
            Ending::Now(Close::NetworkReset) => {
                assert_ne!(self.truth.head().0, self.epoch, "closed although its epoch goes on: {trace}");
            }
            Ending::Now(Close::SlowConsumer) => assert!(self.is_narrow, "it reads quickly: {trace}"),
            other => panic!("{other:?}: {trace}"),
        }
    }
}

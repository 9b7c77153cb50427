//! What a stream has applied. Pure: no bus, no clock but the one that is handed in.
//!
//! Invariants: `seen` only rises within an epoch; every position is applied exactly once and in order; an attached socket
//! has been queued every event of its user between its start and `seen`.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use shared::{
    api::Close,
    internal::{LoggedEvent, Moved, PlacedEvent, Position},
};
use tokio::time::Instant;

use crate::{hub::Socket, transport::PushedEvent};

/// The recent events of a network take at most so many bytes; sockets further behind read pages.
const RING_BYTES: usize = 256 * 1024;

/// Recent events are kept so long at most.
const RING_AGE: Duration = Duration::from_secs(300);

/// Bodies that came before their turn take at most so many bytes. What does not fit is read from the log.
const EARLY_BYTES: usize = 4 * 1024 * 1024;

/// Moves that came before their turn. What does not fit is read from the log.
const EARLY_MOVES: usize = 256;

/// A frame has about so many bytes beside its event's data.
pub(super) const FRAME_BYTES: usize = 256;

/// A network's events on this pod.
#[derive(Debug)]
pub struct Log {
    epoch: Arc<str>,
    seen: Position,
    /// The highest position that is known to exist.
    target: Position,
    bodies: BTreeMap<Position, Arc<PushedEvent>>,
    bodies_bytes: usize,
    moves: BTreeMap<Position, Moved>,
    ring: VecDeque<Applied>,
    ring_bytes: usize,
    attached: HashMap<String, Vec<Attached>>,
}

/// An event whose turn has come.
#[derive(Debug)]
struct Applied {
    position: Position,
    recipients: Vec<String>,
    /// Absent when nobody here was to receive it.
    event: Option<Arc<PushedEvent>>,
    at: Instant,
}

impl Applied {
    fn bytes(&self) -> usize {
        let recipients: usize = self.recipients.iter().map(|user| user.len() + size_of::<String>()).sum();
        size_of::<Self>() + recipients + self.event.as_ref().map_or(0, |event| event.data.get().len())
    }
}

#[derive(Debug)]
struct Attached {
    socket: Arc<Socket>,
    /// It has had everything up to here by another way.
    after: Position,
}

/// What became of an attempt to attach a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// It has everything up to now and will have what comes.
    Done,
    /// It is too far behind, or its queue too full: read a page first.
    Page,
    /// It began in another epoch.
    OtherEpoch,
}

impl Log {
    /// A log that has seen everything up to `head`.
    pub fn new(epoch: Arc<str>, head: Position) -> Self {
        Self {
            epoch,
            seen: head,
            target: head,
            bodies: BTreeMap::new(),
            bodies_bytes: 0,
            moves: BTreeMap::new(),
            ring: VecDeque::new(),
            ring_bytes: 0,
            attached: HashMap::new(),
        }
    }

    /// The epoch that the positions are of.
    pub fn epoch(&self) -> &Arc<str> {
        &self.epoch
    }

    /// Everything up to here was applied.
    pub fn seen(&self) -> Position {
        self.seen
    }

    /// The next positions to read from the log, first and last; `None` when nothing is missing.
    pub fn missing(&self) -> Option<(Position, Position)> {
        (self.seen < self.target).then_some((self.seen, self.target))
    }

    /// Whether a move has told who receives the next position.
    pub fn is_told(&self) -> bool {
        self.moves.range(..=self.seen).any(|(_, moved)| moved.to > self.seen)
    }

    /// Notes that a position exists.
    pub fn note_head(&mut self, head: Position) {
        self.target = self.target.max(head);
    }

    /// Notes that no position beyond `seen` exists, whoever said so.
    pub fn forget_target(&mut self) {
        self.target = self.seen;
        self.moves.clear();
    }

    /// Keeps bodies until it is their turn.
    pub fn add_bodies(&mut self, events: Vec<PlacedEvent>) {
        for PlacedEvent { position, body, trace_parent } in events {
            let bytes = body.data.get().len();
            if position > self.seen && self.bodies_bytes + bytes <= EARLY_BYTES && !self.bodies.contains_key(&position)
            {
                self.bodies_bytes += bytes;
                let event = PushedEvent::new(&self.epoch, position, body, trace_parent);
                self.bodies.insert(position, Arc::new(event));
            }
        }
    }

    /// Keeps a move until it is its turn.
    pub fn add_move(&mut self, moved: Moved) {
        if moved.to <= self.seen || moved.to - moved.from != moved.recipients.len() as u64 {
            return;
        }
        self.note_head(moved.to);
        let is_longer = self.moves.get(&moved.from).is_none_or(|known| known.to < moved.to);
        if is_longer && self.moves.len() < EARLY_MOVES {
            self.moves.insert(moved.from, moved);
        }
    }

    /// Applies whatever has its turn. What stays [missing](Self::missing) lacks a move or a body.
    pub fn advance(&mut self, now: Instant) {
        while let Some((&from, moved)) = self.moves.range(..=self.seen).next_back() {
            if moved.to > self.seen {
                let recipients = &moved.recipients[(self.seen - from) as usize];
                let event = self.bodies.get(&(self.seen + 1)).cloned();
                if event.is_none() && recipients.iter().any(|user| self.attached.contains_key(user)) {
                    return;
                }
                let recipients = recipients.clone();
                self.apply(recipients, event, now);
            } else {
                self.moves.remove(&from);
            }
        }
    }

    /// Applies a range that was read from the log. What does not follow on `seen` is passed over.
    pub fn apply_range(&mut self, events: Vec<LoggedEvent>, now: Instant) {
        for LoggedEvent { position, recipients, body, trace_parent } in events {
            if position == self.seen + 1 {
                let event = PushedEvent::new(&self.epoch, position, body, trace_parent);
                self.apply(recipients, Some(Arc::new(event)), now);
            }
        }
    }

    fn apply(&mut self, recipients: Vec<String>, event: Option<Arc<PushedEvent>>, now: Instant) {
        self.seen += 1;
        let position = self.seen;
        if let Some(body) = self.bodies.remove(&position) {
            self.bodies_bytes -= body.data.get().len();
        }
        if let Some(event) = &event {
            for attached in recipients.iter().filter_map(|user| self.attached.get(user)).flatten() {
                if attached.after < position {
                    attached.socket.push_events([event]);
                }
            }
        }
        let applied = Applied { position, recipients, event, at: now };
        self.ring_bytes += applied.bytes();
        self.ring.push_back(applied);
        self.trim_ring(now);
    }

    /// Lets go of recent events that are too old or too many.
    pub fn trim_ring(&mut self, now: Instant) {
        while let Some(oldest) = self.ring.front()
            && (self.ring_bytes > RING_BYTES || now.duration_since(oldest.at) > RING_AGE)
        {
            self.ring_bytes -= oldest.bytes();
            self.ring.pop_front();
        }
    }

    /// Attaches a socket that has everything of its user up to `cursor`, queueing what it lacks from the recent events.
    pub fn try_attach(&mut self, socket: &Arc<Socket>, cursor: Position) -> Attach {
        if socket.epoch != self.epoch {
            return Attach::OtherEpoch;
        }
        if cursor < self.seen {
            let Some(events) = self.recent(&socket.session.user, cursor) else { return Attach::Page };
            let bytes: usize = events.iter().map(|event| event.data.get().len() + FRAME_BYTES).sum();
            if bytes > socket.outbox.room() {
                return Attach::Page;
            }
            socket.push_events(events);
        }
        let attached = Attached { socket: socket.clone(), after: cursor };
        self.attached.entry(socket.session.user.clone()).or_default().push(attached);
        Attach::Done
    }

    /// The user's events after `cursor`, when the recent ones go back that far.
    fn recent(&self, user: &str, cursor: Position) -> Option<Vec<&Arc<PushedEvent>>> {
        self.ring.front().filter(|oldest| oldest.position <= cursor + 1)?;
        self.ring
            .iter()
            .filter(|applied| applied.position > cursor && applied.recipients.iter().any(|recipient| recipient == user))
            .map(|applied| applied.event.as_ref())
            .collect()
    }

    /// Forgets a socket.
    pub fn detach(&mut self, socket: &Socket) {
        if let Some(attached) = self.attached.get_mut(&socket.session.user) {
            attached.retain(|attached| attached.socket.id != socket.id);
            if attached.is_empty() {
                self.attached.remove(&socket.session.user);
            }
        }
    }

    /// Goes on at `head` because what lies between is gone: every attached socket that has not had it by another way may lack
    /// something, and is told so.
    pub fn skip_to(&mut self, head: Position) {
        self.seen = self.seen.max(head);
        self.forget_early();
        for attached in self.attached.values().flatten().filter(|attached| attached.after < head) {
            attached.socket.outbox.push([attached.socket.protocol.resync_required()]);
        }
    }

    /// Begins anew in another epoch: sockets of the old one are closed.
    pub fn restart(&mut self, epoch: Arc<str>, head: Position) {
        self.epoch = epoch;
        self.seen = head;
        self.target = head;
        self.forget_early();
        for attached in self.attached.drain().flat_map(|(_, attached)| attached) {
            attached.socket.end(Close::NetworkReset);
        }
    }

    fn forget_early(&mut self) {
        self.target = self.target.max(self.seen);
        self.bodies.clear();
        self.bodies_bytes = 0;
        self.moves.clear();
        self.ring.clear();
        self.ring_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use shared::internal::{EventBody, Session};

    use super::*;
    use crate::{outbox::Next, transport::websocket::Plain};

    const EPOCH: &str = "k3v";

    fn socket(id: u64, user: &str) -> Arc<Socket> {
        let session = Session { network: "demo".into(), user: user.into(), sid: id.to_string() };
        Arc::new(Socket::new(id, session, id, EPOCH.into(), 0, &Plain::Pinged, 1 << 20))
    }

    fn body(position: Position) -> EventBody {
        EventBody { name: "n:e".into(), data: RawValue::from_string(position.to_string()).expect("a number") }
    }

    fn placed(position: Position) -> PlacedEvent {
        PlacedEvent { position, body: body(position), trace_parent: None }
    }

    fn moved(from: Position, recipients: &[&[&str]]) -> Moved {
        let recipients: Vec<Vec<String>> =
            recipients.iter().map(|users| users.iter().map(|user| (*user).to_owned()).collect()).collect();
        Moved { epoch: EPOCH.into(), from, to: from + recipients.len() as u64, recipients }
    }

    /// The positions that were queued for a socket.
    fn received(socket: &Socket) -> Vec<Position> {
        std::iter::from_fn(|| match socket.outbox.take() {
            Next::Frame(frame) => {
                let frame: serde_json::Value = serde_json::from_str(&frame.text).expect("JSON");
                Some(frame["data"].as_u64().expect("the position"))
            }
            _ => None,
        })
        .collect()
    }

    #[test]
    fn a_move_waits_for_the_bodies_that_somebody_here_wants() {
        let (mut log, alice, now) = (Log::new(EPOCH.into(), 0), socket(1, "alice"), Instant::now());
        assert_eq!(log.try_attach(&alice, 0), Attach::Done);
        log.add_move(moved(0, &[&["bob"], &["alice"], &["bob"]]));
        log.advance(now);
        assert_eq!((log.seen(), log.missing()), (1, Some((1, 3))));
        log.add_bodies(vec![placed(2)]);
        log.advance(now);
        assert_eq!((log.seen(), log.missing()), (3, None));
        assert_eq!(received(&alice), [2]);
    }

    #[test]
    fn a_move_that_lies_is_not_believed() {
        let mut log = Log::new(EPOCH.into(), 0);
        let mut lie = moved(0, &[&["alice"]]);
        lie.to = 2;
        log.add_move(lie);
        assert_eq!(log.missing(), None);
    }

    #[test]
    fn a_socket_further_behind_than_what_is_recent_reads_a_page_first() {
        let (mut log, now) = (Log::new(EPOCH.into(), 5), Instant::now());
        let early = socket(1, "alice");
        assert_eq!(log.try_attach(&early, 5), Attach::Done);
        log.add_bodies(vec![placed(6), placed(7)]);
        log.add_move(moved(5, &[&["alice"], &["alice"]]));
        log.advance(now);
        assert_eq!(log.try_attach(&socket(2, "alice"), 4), Attach::Page);
        let late = socket(3, "alice");
        assert_eq!(log.try_attach(&late, 5), Attach::Done);
        assert_eq!(received(&late), [6, 7]);
        log.trim_ring(now + RING_AGE + Duration::from_secs(1));
        assert_eq!(log.try_attach(&socket(4, "alice"), 6), Attach::Page);
        assert_eq!(log.try_attach(&socket(5, "alice"), 7), Attach::Done);
    }

    #[test]
    fn a_body_that_was_not_here_is_not_recent() {
        let (mut log, now) = (Log::new(EPOCH.into(), 0), Instant::now());
        log.add_move(moved(0, &[&["alice"], &["bob"]]));
        log.advance(now);
        assert_eq!(log.seen(), 2);
        assert_eq!(log.try_attach(&socket(1, "alice"), 0), Attach::Page);
        assert_eq!(log.try_attach(&socket(2, "carol"), 0), Attach::Done);
    }

    #[test]
    fn a_new_epoch_closes_the_sockets_of_the_old_one() {
        let (mut log, alice) = (Log::new(EPOCH.into(), 5), socket(1, "alice"));
        assert_eq!(log.try_attach(&alice, 5), Attach::Done);
        log.restart("new".into(), 5);
        assert_eq!(alice.outbox.take(), Next::End(crate::outbox::Ending::Now(Close::NetworkReset)));
        assert_eq!(log.try_attach(&socket(2, "alice"), 5), Attach::OtherEpoch);
    }

    #[test]
    fn what_is_recent_is_bounded() {
        let (mut log, now) = (Log::new(EPOCH.into(), 0), Instant::now());
        let alice = socket(1, "alice");
        assert_eq!(log.try_attach(&alice, 0), Attach::Done);
        let large = format!("\"{}\"", "x".repeat(10_000));
        for position in 1..=100 {
            let data = RawValue::from_string(large.clone()).expect("JSON");
            log.add_bodies(vec![PlacedEvent {
                position,
                body: EventBody { name: "n:e".into(), data },
                trace_parent: None,
            }]);
            log.add_move(moved(position - 1, &[&["alice"]]));
            log.advance(now);
        }
        assert_eq!(log.seen(), 100);
        assert!(log.ring_bytes <= RING_BYTES && !log.ring.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// The next so many events are moved; which of their messages arrive.
        Move { count: u64, body_arrives: bool, move_arrives: bool },
        /// An older message arrives again.
        Repeat { back: u64 },
        /// The missing range is read, so many events at most.
        Fetch { most: usize },
        /// A socket of that user comes that has everything up to so many events ago.
        Attach { user: usize, back: u64 },
        /// A socket leaves.
        Detach { index: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1_u64..4, any::<bool>(), any::<bool>())
                .prop_map(|(count, body_arrives, move_arrives)| Step::Move { count, body_arrives, move_arrives }),
            1 => (1_u64..20).prop_map(|back| Step::Repeat { back }),
            2 => (1_usize..5).prop_map(|most| Step::Fetch { most }),
            2 => (0_usize..3, 0_u64..6).prop_map(|(user, back)| Step::Attach { user, back }),
            1 => (0_usize..8).prop_map(|index| Step::Detach { index }),
        ];
        proptest::collection::vec(step, 1..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever arrives, is lost or comes twice: every attached socket has exactly its user's events after its start.
        #[test]
        fn nothing_is_missed_repeated_or_reordered(steps in steps(), seed in any::<u64>()) {
            const USERS: [&str; 3] = ["alice", "bob", "carol"];
            let recipients = |position: Position| -> Vec<&str> {
                let mask = (seed.rotate_left((position % 61) as u32) ^ position) % 8;
                (0..3).filter(|bit| mask >> bit & 1 == 1).map(|bit| USERS[bit]).collect()
            };
            let logged = |position: Position| LoggedEvent {
                position,
                recipients: recipients(position).iter().map(|user| (*user).to_owned()).collect(),
                body: body(position),
                trace_parent: None,
            };
            let now = Instant::now();
            // The log does not begin with the network: what is older than this pod's stream is not here.
            let mut head = 9;
            let mut log = Log::new(EPOCH.into(), head);
            let mut sockets: Vec<(Arc<Socket>, Position, Vec<Position>)> = Vec::new();
            let mut next_id = 0;
            let message = |from: Position, to: Position| {
                let lists: Vec<Vec<&str>> = (from + 1..=to).map(recipients).collect();
                moved(from, &lists.iter().map(Vec::as_slice).collect::<Vec<_>>())
            };
            for step in steps {
                match step {
                    Step::Move { count, body_arrives, move_arrives } => {
                        let from = head;
                        head += count;
                        if body_arrives {
                            log.add_bodies((from + 1..=head).map(placed).collect());
                        }
                        if move_arrives {
                            log.add_move(message(from, head));
                        }
                        log.note_head(head);
                    }
                    Step::Repeat { back } => {
                        let from = head.saturating_sub(back);
                        log.add_bodies((from + 1..=head).map(placed).collect());
                        log.add_move(message(from, head));
                    }
                    Step::Fetch { most } => {
                        if let Some((after, through)) = log.missing() {
                            prop_assert!(through <= head);
                            log.apply_range((after + 1..=through).take(most).map(logged).collect(), now);
                        }
                    }
                    Step::Attach { user, back } => {
                        next_id += 1;
                        let socket = socket(next_id, USERS[user]);
                        let cursor = head.saturating_sub(back);
                        if log.try_attach(&socket, cursor) == Attach::Done {
                            sockets.push((socket, cursor, Vec::new()));
                        }
                    }
                    Step::Detach { index } => {
                        if index < sockets.len() {
                            let (socket, ..) = sockets.swap_remove(index);
                            log.detach(&socket);
                        }
                    }
                }
                log.advance(now);
                let seen = log.seen();
                prop_assert!(seen <= head);
                for (socket, start, got) in &mut sockets {
                    got.extend(received(socket));
                    let user = socket.session.user.as_str();
                    let expected: Vec<Position> =
                        (*start + 1..=seen).filter(|position| recipients(*position).contains(&user)).collect();
                    prop_assert_eq!(&*got, &expected);
                }
            }
        }
    }
}

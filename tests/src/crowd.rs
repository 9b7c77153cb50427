//! Many clients as apps have them: each connects again when it is told to, goes on after the last event that it has, and sends
//! again, with the same `event.id`, what was not answered. Whoever is told to stop stops: each has one socket, so nobody is told with
//! reason.
//!
//! They are in groups around one meeting each. The first of a group changes the meeting's subject to 1, 2, 3 …, the others
//! read the meeting, and all of them must be told of every change, in order, once.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::Rng as _;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{Client, Stack, client::is_final, eventually};

/// A group has so many members.
pub const GROUP: usize = 10;

/// How often it is looked which gateways are ready, as a load balancer does.
const LOOK: Duration = Duration::from_millis(200);

/// The longest random pause before a client connects again. The contract's five seconds would only take longer.
const PAUSE: Duration = Duration::from_millis(500);

/// What became of them all.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// When sockets were closed, and with which codes; `None`: without one.
    pub closed: Vec<(Instant, Option<u16>)>,
    /// Members that were told to stop, and by which close code; `None`: their upgrade was answered 401.
    pub stopped: Vec<(String, Option<u16>)>,
    /// Upgrades that were refused.
    pub refused: usize,
    /// Connections that nobody took, or that broke before the upgrade was answered.
    pub broken: usize,
    /// Requests that were sent again.
    pub sent_again: usize,
    /// Answers that no client has to cope with.
    pub failed: Vec<Value>,
    /// From a request's first frame to its good answer, the longest.
    pub longest_wait: Duration,
    /// Requests that were answered.
    pub answered: usize,
    /// Events that came between `user_info` and the next answer, to clients that came back.
    pub replayed: usize,
    /// Events that came more than once or out of order, and `resyncRequired`.
    pub disorder: Vec<String>,
    /// For each member the subjects that it was told.
    pub told: Vec<Vec<u64>>,
    /// For each group the last subject whose change was answered.
    pub changed: Vec<u64>,
    /// Requests that are not answered yet.
    waiting: usize,
    /// Members that have been welcomed once.
    welcomed: usize,
    /// Requests may be sent: who comes later would not be told what was changed before.
    has_begun: bool,
    /// Nobody begins anything new.
    is_finishing: bool,
}

impl Record {
    /// Whether everybody has been told of everything that was done.
    fn is_told(&self) -> bool {
        self.told.iter().enumerate().all(|(n, told)| told.len() as u64 >= self.changed[n / GROUP])
    }
}

/// A crowd at work.
#[derive(Debug)]
pub struct Crowd {
    record: Arc<Mutex<Record>>,
    over: watch::Sender<bool>,
    members: JoinSet<()>,
}

/// How hard they work.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between a member's changes.
    pub changes: Duration,
    /// Between a member's reads.
    pub reads: Duration,
}

impl Crowd {
    /// Makes the users known, and their meetings, and connects them to all gateways.
    ///
    /// # Panics
    /// When that does not work.
    pub async fn new(stack: &Arc<Stack>, groups: usize, pace: Pace) -> Self {
        let name = |n: usize| format!("member-{n}");
        let users: Vec<Value> =
            (0..groups * GROUP).map(|n| json!({"kind": "user", "id": name(n), "networkIds": ["demo"]})).collect();
        stack.import_all(&users).await;
        let record = Record { told: vec![Vec::new(); users.len()], changed: vec![0; groups], ..Record::default() };
        let record = Arc::new(Mutex::new(record));
        let over = watch::Sender::new(false);
        let ready = watch::Sender::new((0..stack.gateways.len()).collect::<Vec<_>>());
        let mut members = JoinSet::new();
        for group in 0..groups {
            let all: Vec<String> = (0..GROUP).map(|n| name(group * GROUP + n)).collect();
            let mut writer = stack.client(group % stack.gateways.len(), &all[0]).await;
            let meeting = json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": "0", "invitedUserIds": all[1..],
                "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});
            let meeting = writer.ask("meeting:createMeeting", meeting).await["meeting"]["meetingId"].take();
            writer.close().await;
            for (n, user) in all.into_iter().enumerate() {
                let member = Member {
                    stack: stack.clone(),
                    user,
                    index: group * GROUP + n,
                    meeting: meeting.clone(),
                    is_writer: n == 0,
                    pace,
                    record: record.clone(),
                    ready: ready.subscribe(),
                    last_event_id: None,
                    last_position: 0,
                    waiting: None,
                    next_at: Instant::now(),
                    sent: 0,
                    has_begun: false,
                };
                let mut over = over.subscribe();
                members.spawn(async move {
                    tokio::select! {
                        () = member.run() => (),
                        _ = over.wait_for(|is_over| *is_over) => (),
                    }
                });
            }
        }
        let (stack, mut over_too) = (stack.clone(), over.subscribe());
        members.spawn(async move {
            tokio::select! {
                () = look(&stack, ready) => (),
                _ = over_too.wait_for(|is_over| *is_over) => (),
            }
        });
        eventually!(lock(&record).welcomed, |welcomed| *welcomed == users.len());
        lock(&record).has_begun = true;
        Self { record, over, members }
    }

    /// What is known so far.
    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Waits until so many requests were answered.
    ///
    /// # Panics
    /// When they never are.
    pub async fn answered(&self, count: usize) {
        eventually!(lock(&self.record).answered, |answered| *answered >= count);
    }

    /// Lets everybody finish what was begun, waits until all were told of everything, and says what became of them. Does not wait when
    /// somebody was told to stop.
    ///
    /// # Panics
    /// When a client has panicked, or something is never answered or told.
    pub async fn finish(mut self) -> Record {
        lock(&self.record).is_finishing = true;
        // Whoever was told to stop waits for ever.
        let has_stopped = || !lock(&self.record).stopped.is_empty();
        eventually!(lock(&self.record).waiting, |waiting| *waiting == 0 || has_stopped());
        eventually!(lock(&self.record).is_told() || has_stopped());
        self.over.send_replace(true);
        while let Some(member) = self.members.join_next().await {
            member.expect("no client panics");
        }
        self.record()
    }
}

/// Says again and again which gateways are ready.
async fn look(stack: &Stack, ready: watch::Sender<Vec<usize>>) {
    loop {
        let mut found = Vec::new();
        for (n, gateway) in stack.gateways.iter().enumerate() {
            if gateway.get("/readyz").await.is_some_and(|(status, _)| status == 200) {
                found.push(n);
            }
        }
        ready.send_replace(found);
        sleep(LOOK).await;
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Member {
    stack: Arc<Stack>,
    user: String,
    index: usize,
    meeting: Value,
    is_writer: bool,
    pace: Pace,
    record: Arc<Mutex<Record>>,
    ready: watch::Receiver<Vec<usize>>,
    last_event_id: Option<String>,
    last_position: u64,
    waiting: Option<Waiting>,
    /// When the next request is due, or the waiting one is sent again.
    next_at: Instant,
    sent: u64,
    has_begun: bool,
}

/// A request that was sent and not answered.
struct Waiting {
    number: u64,
    since: Instant,
    id: Option<u64>,
}

/// What became of an upgrade.
enum Attempt {
    Open(Box<Client>),
    Failed,
    Unauthorized,
}

/// What is not due.
const NEVER: Duration = Duration::from_secs(3600);

impl Member {
    fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// Between its requests, on average.
    fn pause(&self) -> Duration {
        if self.is_writer { self.pace.changes } else { self.pace.reads }
    }

    async fn run(mut self) {
        loop {
            let stop = match self.connect().await {
                Attempt::Open(client) => {
                    let code = self.talk(*client).await;
                    self.record().closed.push((Instant::now(), code));
                    is_final(code).then_some(code)
                }
                Attempt::Failed => None,
                Attempt::Unauthorized => Some(None),
            };
            if let Some(code) = stop {
                return self.record().stopped.push((self.user.clone(), code));
            }
        }
    }

    async fn connect(&mut self) -> Attempt {
        sleep(PAUSE.mul_f64(rand::random())).await;
        let gateway = {
            let ready = self.ready.borrow();
            ready.get(rand::rng().random_range(0..ready.len().max(1))).copied()
        };
        let Some(gateway) = gateway else { return Attempt::Failed };
        let connect = self.stack.connect(gateway, &self.user);
        let connect = match &self.last_event_id {
            Some(id) => connect.last_event_id(id),
            None => connect,
        };
        match connect.try_open().await {
            Ok(Ok(client)) => Attempt::Open(Box::new(client)),
            Ok(Err(refused)) => {
                let mut record = self.record();
                record.refused += 1;
                if refused.status != 503 || refused.retry_after.is_none() {
                    record.failed.push(json!({"upgrade": refused.status, "body": refused.body}));
                }
                if refused.status == 401 { Attempt::Unauthorized } else { Attempt::Failed }
            }
            Err(_) => {
                self.record().broken += 1;
                Attempt::Failed
            }
        }
    }

    /// Talks until the socket is closed, and returns the code.
    async fn talk(&mut self, mut client: Client) -> Option<u16> {
        if let Some(waiting) = &mut self.waiting {
            waiting.id = None;
            self.next_at = Instant::now();
        }
        let mut is_replay = self.last_event_id.is_some();
        loop {
            tokio::select! {
                frame = client.next_frame() => match frame {
                    Ok(frame) if frame["event"].is_string() => self.hear(&frame, is_replay),
                    Ok(frame) => {
                        is_replay = false;
                        self.take_answer(&frame);
                    }
                    Err(code) => return code,
                },
                () = sleep_until(self.next_at) => self.send(&mut client).await,
            }
        }
    }

    async fn send(&mut self, client: &mut Client) {
        self.next_at = Instant::now() + NEVER;
        let waiting = match &self.waiting {
            Some(waiting) => {
                self.record().sent_again += 1;
                Waiting { id: None, ..*waiting }
            }
            None => {
                let mut record = lock(&self.record);
                if record.is_finishing {
                    return;
                }
                if !record.has_begun {
                    self.next_at = Instant::now() + LOOK;
                    return;
                }
                if !self.has_begun {
                    // Not all at the same moment.
                    self.has_begun = true;
                    self.next_at = Instant::now() + self.pause().mul_f64(rand::random());
                    return;
                }
                record.waiting += 1;
                self.sent += 1;
                Waiting { number: self.sent, since: Instant::now(), id: None }
            }
        };
        let (endpoint, data) = if self.is_writer {
            ("meeting:updateMeeting", json!({"meetingId": self.meeting, "subject": waiting.number.to_string()}))
        } else {
            ("meeting:getMeeting", json!({"meetingId": self.meeting}))
        };
        let id = client.try_send(endpoint, data, Some(&format!("request-{}", waiting.number))).await;
        self.waiting = Some(Waiting { id: Some(id), ..waiting });
    }

    fn take_answer(&mut self, answer: &Value) {
        let Some(waiting) = self.waiting.take_if(|waiting| waiting.id.is_some_and(|id| answer["id"] == id)) else {
            return;
        };
        match answer["error"]["code"].as_u64() {
            Some(0) => {
                let mut record = self.record();
                record.answered += 1;
                record.waiting -= 1;
                record.longest_wait = record.longest_wait.max(waiting.since.elapsed());
                if self.is_writer {
                    record.changed[self.index / GROUP] = waiting.number;
                }
                drop(record);
                self.next_at = Instant::now() + self.pause().mul_f64(rand::rng().random_range(0.5..1.5));
            }
            Some(503 | 504) => {
                // Not done, or done and not told: sent again.
                self.waiting = Some(Waiting { id: None, ..waiting });
                self.next_at = Instant::now() + PAUSE.mul_f64(rand::random());
            }
            _ => {
                let mut record = self.record();
                record.failed.push(answer.clone());
                record.waiting -= 1;
            }
        }
    }

    fn hear(&mut self, event: &Value, is_replay: bool) {
        if event["event"] == "user_info" {
            if self.last_event_id.is_none() {
                self.record().welcomed += 1;
            }
            self.last_event_id = event["lastEventId"].as_str().map(str::to_owned);
            return;
        }
        let Some(id) = event["eventId"].as_str() else {
            self.record().disorder.push(format!("{}: {event}", self.user));
            return;
        };
        let position = id.rsplit('.').next().and_then(|position| position.parse().ok()).expect("a position");
        let mut record = lock(&self.record);
        if position <= self.last_position {
            record.disorder.push(format!("{}: {position} after {}", self.user, self.last_position));
        }
        (self.last_position, self.last_event_id) = (position, Some(id.to_owned()));
        record.replayed += usize::from(is_replay);
        if event["event"] == "meeting:onMeetingUpdated" {
            let subject = event["data"]["meeting"]["subject"].as_str().and_then(|text| text.parse().ok());
            record.told[self.index].push(subject.expect("a number"));
        }
    }
}

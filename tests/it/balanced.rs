//! Gateways are replaced one after the other behind the load balancer, and clients that do as the contract says lack nothing.
//!
//! The clients are in groups around one meeting each. The first of a group changes the meeting's subject to 1, 2, 3 …, the
//! others read it, and all of them must be told of every change, in order, once. A request that was not answered is sent
//! again with its `event.id` when the client is back.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use harness::{Balancer, Client, Connect, Stack, eventually, token::token};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

/// Clients around one meeting.
const GROUP: usize = 10;

/// Between a client's requests, on average.
const PACE: Duration = Duration::from_millis(800);

/// The longest pause before a client connects again. The contract's five seconds would only take longer.
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_behind_the_load_balancer_is_not_noticed_by_a_hundred_clients() {
    upgrade(10, PACE).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute for a thousand sockets: by hand"]
async fn a_rolling_upgrade_behind_the_load_balancer_is_not_noticed_by_a_thousand_clients() {
    upgrade(100, 5 * PACE).await;
}

#[expect(clippy::print_stdout, reason = "what was seen is asked for by hand")]
async fn upgrade(groups: usize, pace: Duration) {
    let stack = Stack::builder()
        .gateways(2)
        .workers(2)
        .processes()
        .drain(Duration::from_secs(5), Duration::from_secs(3))
        .start()
        .await;
    let balancer = Balancer::start(&stack).await;
    let crowd = Crowd::gather(&stack, &balancer, groups, pace).await;
    let given = [balancer.connections(0).await.1, balancer.connections(1).await.1];
    assert!(given.iter().all(|open| *open > 0.2 * (groups * GROUP) as f64), "both have their share: {given:?}");

    for (n, gateway) in stack.gateways.iter().enumerate() {
        crowd.answered_again().await;
        gateway.begin_stop().await;
        // Only the one that drains is taken out, and what is open on it stays.
        eventually!(balancer.gateways_up().await, |up| up.get(n) == Some(&false));
        let (given, open) = balancer.connections(n).await;
        assert!(open > 0.0, "its sockets were cut");
        gateway.ended().await;
        assert_eq!(balancer.connections(n).await.0, given, "a client was sent to a gateway that was unready");
        gateway.start().await;
        gateway.ready().await;
        eventually!(balancer.gateways_up().await, |up| *up == [true, true]);
    }
    crowd.answered_again().await;
    let (answered, seen) = crowd.finish().await;

    assert_eq!(seen.failed, Vec::<Value>::new(), "answers that no client has to cope with");
    // A busy machine may make a pod say "not now"; none that goes away may be asked at all.
    let is_asked = |refused: &&Value| refused[0] != 503 || refused[1]["error"]["message"] == "the pod is going away";
    assert_eq!(seen.refused.iter().find(is_asked), None, "upgrades that were refused");
    assert_eq!(seen.broken, Vec::<String>::new(), "connections that broke before they were upgraded");
    assert_eq!(seen.disorder, Vec::<String>::new(), "events that came twice, too early or never");
    assert!(seen.closed.len() >= groups * GROUP, "everybody had to move: {}", seen.closed.len());
    assert!(seen.closed.iter().all(|code| *code == Some(1012)), "{:?}", seen.closed);
    // Seen with --nocapture by whoever runs it by hand.
    let (sent_again, moved, refused, longest) =
        (seen.sent_again, seen.closed.len(), seen.refused.len(), seen.longest_wait);
    println!(
        "{answered} answered, {sent_again} sent again after {longest:?} at most, {moved} moved, {refused} asked to wait"
    );
}

/// What became of all clients.
#[derive(Debug, Default)]
struct Seen {
    closed: Vec<Option<u16>>,
    refused: Vec<Value>,
    broken: Vec<String>,
    failed: Vec<Value>,
    disorder: Vec<String>,
    sent_again: usize,
    longest_wait: Duration,
}

struct Crowd {
    shared: Arc<Shared>,
    members: tokio::task::JoinSet<()>,
}

struct Shared {
    balancer: std::net::SocketAddr,
    pace: Duration,
    seen: Mutex<Seen>,
    /// Of each group the last change that was begun.
    changed: Vec<AtomicU64>,
    /// Those that have been welcomed; requests that were answered.
    welcomed: AtomicU64,
    answered: AtomicU64,
    is_finishing: AtomicBool,
}

impl Crowd {
    /// Makes the users and their meetings known, connects everybody, and lets them begin.
    async fn gather(stack: &Stack, balancer: &Balancer, groups: usize, pace: Duration) -> Self {
        let name = |n: usize| format!("member-{n}");
        let count = groups * GROUP;
        let users: Vec<Value> =
            (0..count).map(|n| json!({"kind": "user", "id": name(n), "networkIds": ["demo"]})).collect();
        stack.import_all(&users).await;
        let shared = Arc::new(Shared {
            balancer: balancer.public,
            pace,
            seen: Mutex::default(),
            changed: (0..groups).map(|_| AtomicU64::new(0)).collect(),
            welcomed: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            is_finishing: AtomicBool::new(false),
        });
        let mut members = tokio::task::JoinSet::new();
        for group in 0..groups {
            let all: Vec<String> = (0..GROUP).map(|n| name(group * GROUP + n)).collect();
            let mut organizer = stack.client(group % 2, &all[0]).await;
            let meeting = json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": "0", "invitedUserIds": all[1..],
                "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});
            let meeting = loop {
                let mut answer = organizer.call_once("a meeting", "meeting:createMeeting", meeting.clone()).await;
                match answer["error"]["code"].as_u64() {
                    Some(0) => break answer["data"]["meeting"]["meetingId"].take(),
                    Some(503 | 504) => {}
                    _ => panic!("{answer}"),
                }
            };
            organizer.close().await;
            for (n, user) in all.into_iter().enumerate() {
                let member = Member {
                    shared: shared.clone(),
                    user,
                    group,
                    meeting: meeting.clone(),
                    is_writer: n == 0,
                    last_event_id: None,
                    told: 0,
                    made: 0,
                    waiting: None,
                };
                members.spawn(member.run());
            }
        }
        eventually!(shared.welcomed.load(Ordering::Relaxed), |welcomed| *welcomed == count as u64);
        Self { shared, members }
    }

    /// Waits until everybody has been answered about once more.
    async fn answered_again(&self) {
        let more = self.shared.answered.load(Ordering::Relaxed) + self.members.len() as u64;
        eventually!(self.shared.answered.load(Ordering::Relaxed), |answered| *answered >= more);
    }

    /// Lets everybody finish what was begun and hear of what was done. Returns how many requests were answered, too.
    async fn finish(mut self) -> (u64, Seen) {
        self.shared.is_finishing.store(true, Ordering::Relaxed);
        while let Some(member) = self.members.join_next().await {
            member.expect("no client panics");
        }
        let seen = std::mem::take(&mut *self.shared.seen.lock().expect("no client panicked"));
        (self.shared.answered.load(Ordering::Relaxed), seen)
    }
}

struct Member {
    shared: Arc<Shared>,
    user: String,
    group: usize,
    meeting: Value,
    is_writer: bool,
    last_event_id: Option<String>,
    /// The last change that it was told of.
    told: u64,
    /// How many requests it has made, and the one that waits for its answer.
    made: u64,
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Instant,
    /// On this socket, if it was sent on this one.
    id: Option<u64>,
}

impl Member {
    async fn run(mut self) {
        loop {
            let connect = Connect::to(self.shared.balancer).token(&token(&self.user, "demo", &self.user));
            let connect = match &self.last_event_id {
                Some(id) => connect.last_event_id(id),
                None => connect,
            };
            match connect.try_open().await {
                Ok(Ok(client)) => match self.talk(client).await {
                    Some(code) => self.note(|seen| seen.closed.push(code)),
                    None => return,
                },
                Ok(Err(refused)) => self.note(|seen| seen.refused.push(json!([refused.status, refused.body]))),
                Err(error) => self.note(|seen| seen.broken.push(error.to_string())),
            }
            sleep(PAUSE.mul_f64(rand::random())).await;
        }
    }

    /// Talks until the socket is closed, and returns its code; `None` when there is nothing left to say.
    async fn talk(&mut self, mut client: Client) -> Option<Option<u16>> {
        let pause = |pace: Duration| Instant::now() + pace.mul_f64(2.0 * rand::random::<f64>());
        let mut due = match &mut self.waiting {
            Some(waiting) => {
                waiting.id = None;
                Instant::now()
            }
            None => pause(self.shared.pace),
        };
        loop {
            tokio::select! {
                frame = client.next_frame() => match frame {
                    Err(code) => return Some(code),
                    Ok(frame) if frame["event"].is_string() => self.hear(&frame),
                    Ok(answer) => if self.is_answered(&answer) {
                        due = pause(self.shared.pace);
                    },
                },
                () = sleep_until(due) => {
                    due = Instant::now() + PAUSE;
                    let is_finishing = self.shared.is_finishing.load(Ordering::Relaxed);
                    if is_finishing && self.waiting.is_none() {
                        if self.told == self.shared.changed[self.group].load(Ordering::Relaxed) {
                            client.close().await;
                            return None;
                        }
                    } else if self.waiting.as_ref().is_none_or(|waiting| waiting.id.is_none()) {
                        self.send(&mut client).await;
                    }
                }
            }
        }
    }

    async fn send(&mut self, client: &mut Client) {
        let since = match &self.waiting {
            Some(waiting) => {
                self.note(|seen| seen.sent_again += 1);
                waiting.since
            }
            None => {
                self.made += 1;
                Instant::now()
            }
        };
        let (endpoint, data) = if self.is_writer {
            ("meeting:updateMeeting", json!({"meetingId": self.meeting, "subject": self.made.to_string()}))
        } else {
            ("meeting:getMeeting", json!({"meetingId": self.meeting}))
        };
        // A change that was promised counts at once: nobody may leave before he has heard of it.
        if self.is_writer {
            self.shared.changed[self.group].store(self.made, Ordering::Relaxed);
        }
        let id = client.try_send(endpoint, data, Some(&format!("request-{}", self.made))).await;
        self.waiting = Some(Waiting { since, id: Some(id) });
    }

    /// Whether the answer is that of the request that waits, and good.
    fn is_answered(&mut self, answer: &Value) -> bool {
        let Some(waiting) = self.waiting.take_if(|waiting| waiting.id.is_some_and(|id| answer["id"] == id)) else {
            return false;
        };
        match answer["error"]["code"].as_u64() {
            Some(0) => {
                self.shared.answered.fetch_add(1, Ordering::Relaxed);
                self.note(|seen| seen.longest_wait = seen.longest_wait.max(waiting.since.elapsed()));
                true
            }
            // Not done, or done and not told: sent again.
            Some(503 | 504) => {
                self.waiting = Some(Waiting { id: None, ..waiting });
                false
            }
            _ => {
                self.note(|seen| seen.failed.push(answer.clone()));
                true
            }
        }
    }

    fn hear(&mut self, event: &Value) {
        if event["event"] == "user_info" {
            if self.last_event_id.is_none() {
                self.shared.welcomed.fetch_add(1, Ordering::Relaxed);
            }
            self.last_event_id = event["lastEventId"].as_str().map(str::to_owned);
            return;
        }
        let Some(id) = event["eventId"].as_str() else {
            return self.note(|seen| seen.disorder.push(format!("{}: {event}", self.user)));
        };
        self.last_event_id = Some(id.to_owned());
        if event["event"] == "meeting:onMeetingUpdated" {
            let subject = event["data"]["meeting"]["subject"].as_str().and_then(|text| text.parse().ok());
            let subject: u64 = subject.expect("a number");
            if subject != self.told + 1 {
                let told = self.told;
                self.note(|seen| seen.disorder.push(format!("{}: {subject} after {told}", self.user)));
            }
            self.told = subject;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.shared.seen.lock().expect("no client panicked"));
    }
}

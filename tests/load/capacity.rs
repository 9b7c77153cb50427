//! The processor time of what clients do, process by process: from this follows how many pods of each kind a load needs.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use harness::{Client, Stack, process::processor_times};
use serde_json::{Value, json};
use shared::{
    internal::Session,
    pod::PodId,
    presence::{Entry, Place, redis::Redis},
};

use crate::{Figure, timed};

/// Sockets, each of a user of its own, who all take part.
const USERS: usize = 400;

/// So many are told of each change: who makes it and whom he invites.
const TOLD: usize = 6;

/// Entries of presence, and how often they are renewed.
const ENTRIES: usize = 20_000;
const BEATS: usize = 20;

/// Requests in flight.
const AT_ONCE: usize = 32;

/// The programs, and what they are called here.
const OURS: [(&str, &str); 2] = [("gateway-pod", "gateway"), ("worker-pod", "worker")];
const SERVERS: [(&str, &str); 3] = [("postgres", "PostgreSQL"), ("nats-server", "NATS"), ("redis-server", "Redis")];

/// Lets clients connect, ask for nothing, make changes that others are told of, and read, on two gateways and two workers.
/// What our processes take is compared with what the servers do.
pub async fn measure() -> Vec<Figure> {
    let stack = timed().gateways(2).workers(2).start().await;
    let lines: Vec<Value> =
        (0..USERS).map(|n| json!({"kind": "user", "id": user(n), "networkIds": ["demo"]})).collect();
    stack.import_all(&lines).await;
    // What every process needs once is not counted.
    let mut clients = connect(&stack).await;
    rounds(&mut clients, 1, no_op).await;
    let mut figures = Vec::new();

    let begun = Begun::now();
    let mut others = connect(&stack).await;
    figures.push(begun.figure("a connect", USERS));
    // The same sessions: the older sockets are closed.
    std::mem::swap(&mut clients, &mut others);
    drop(others);

    let begun = Begun::now();
    rounds(&mut clients, 20, no_op).await;
    figures.push(begun.figure("a request that does nothing", USERS * 20));

    let begun = Begun::now();
    rounds(&mut clients, 6, create).await;
    // Also what follows: the relay, and the way to the sockets.
    for client in &mut clients {
        let mut told = client.untaken_events().len();
        while told < 6 * TOLD {
            client.next_event().await;
            told += 1;
        }
    }
    figures.push(begun.figure("a new meeting that six are told of", USERS * 6));

    let begun = Begun::now();
    rounds(&mut clients, 10, list).await;
    figures.push(begun.figure("a list of 12 meetings", USERS * 10));

    let presence = Redis::connect(&stack.servers.redis_url).expect("a good URL");
    presence.renew(entries()).await.expect("Redis takes them");
    let begun = Begun::now();
    for _ in 0..BEATS {
        presence.renew(entries()).await.expect("Redis takes them");
    }
    figures.push(begun.figure("the beat of a socket (a gateway's part is this program's)", ENTRIES * BEATS));
    figures
}

/// What gateways say again of their sockets at every beat.
fn entries() -> Vec<Entry> {
    let entry = |n| Entry {
        session: Session { user: format!("user-{n}"), network: "demo".to_owned(), sid: format!("session-{n}") },
        place: Place { pod: PodId::read("pod"), socket: n, fence: 1, since_ms: 0 },
    };
    (0..ENTRIES as u64).map(entry).collect()
}

fn user(n: usize) -> String {
    format!("u{}", n % USERS)
}

async fn connect(stack: &Stack) -> Vec<Client> {
    stream::iter(0..USERS).map(async |n| stack.client(n % 2, &user(n)).await).buffered(AT_ONCE).collect().await
}

/// What a user does in a round.
type Request = fn(user: usize, round: usize) -> (&'static str, Value);

/// Lets every user do so, so many times.
async fn rounds(clients: &mut [Client], count: usize, request: Request) {
    for round in 0..count {
        let all = clients.iter_mut().enumerate().map(async |(n, client)| {
            let (endpoint, data) = request(n, round);
            let answer = client.call_once(&format!("{endpoint} {round}"), endpoint, data).await;
            assert!([0, 404].contains(&answer["error"]["code"].as_i64().expect("a code")), "{answer}");
        });
        stream::iter(all).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
}

fn no_op(_: usize, _: usize) -> (&'static str, Value) {
    ("meeting:noOp", json!({}))
}

fn create(n: usize, round: usize) -> (&'static str, Value) {
    let invited: Vec<String> = (1..TOLD).map(|next| user(n + next)).collect();
    let at = |hour: u32| format!("2099-01-0{}T{hour:02}:00:00Z", round + 1);
    let data = json!({"sourceType": "room", "sourceIds": ["lobby"], "invitedUserIds": invited, "subject": "Plans",
        "startDate": at(10), "endDate": at(11)});
    ("meeting:createMeeting", data)
}

/// Two days, on each of which a user has a meeting of his own and one of each of five others.
fn list(_: usize, round: usize) -> (&'static str, Value) {
    let at = |day: usize| format!("2099-01-0{day}T00:00:00Z");
    let first = round % 5 + 1;
    ("meeting:listUserMeetings", json!({"startDate": at(first), "endDate": at(first + 2)}))
}

/// When something began, and what each program had taken until then.
struct Begun {
    at: Instant,
    taken: BTreeMap<String, Duration>,
}

impl Begun {
    fn now() -> Self {
        Self { at: Instant::now(), taken: processor_times() }
    }

    /// What one of so many took since.
    fn figure(self, what: &str, count: usize) -> Figure {
        let took = self.at.elapsed();
        let now = processor_times();
        let each = |program: &str| {
            let of = |times: &BTreeMap<String, Duration>| times.get(program).copied().unwrap_or_default();
            of(&now).saturating_sub(of(&self.taken)).as_secs_f64() * 1e6 / count as f64
        };
        let told = |programs: &[(&str, &str)]| {
            let mut text = String::new();
            for (program, name) in programs {
                let _ = write!(text, "{}{name} {:.0}", if text.is_empty() { "" } else { ", " }, each(program));
            }
            text
        };
        let sum = |programs: &[(&str, &str)]| programs.iter().map(|(program, _)| each(program)).sum::<f64>();
        Figure {
            name: "capacity",
            measured: format!("µs of processor time for {what}: {}", told(&OURS)),
            against: format!("{}; {:.0}/s, {AT_ONCE} at once", told(&SERVERS), count as f64 / took.as_secs_f64()),
            ratio: sum(&OURS) / sum(&SERVERS),
            bound: None,
        }
    }
}

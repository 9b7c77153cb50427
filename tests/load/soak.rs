//! What grows while the work goes on, when things are kept for seconds only.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures::future::join_all;
use harness::{Client, Stack, process::resident};
use serde_json::{Value, json};

use crate::Figure;

/// Pairs of users who work with each other.
const PAIRS: usize = 12;

/// How long events and answers are kept.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Until as much is removed as is added. What is sampled before is not counted.
const WARM_UP: Duration = Duration::from_secs(60);

const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// Everything that could grow, by its name.
type Sample = BTreeMap<String, f64>;

/// Lets pairs of users work for so many minutes: meetings and sessions that come, change and go, answers, joins, and sockets
/// that go and come back. Compares the first half, after a minute, with the second.
pub async fn measure(minutes: f64) -> Vec<Figure> {
    let kept = KEPT_FOR.as_secs();
    let stack = Stack::builder()
        .gateways(2)
        .workers(2)
        .processes()
        .worker_arg(&format!("--event-retention={kept}s"))
        .worker_arg(&format!("--retry-retention={kept}s"))
        .gateway_arg("--rate-limit=1000000")
        .start()
        .await;
    let user = |n| json!({"kind": "user", "id": format!("u{n}"), "networkIds": ["demo"]});
    stack.import_all(&(0..2 * PAIRS).map(user).collect::<Vec<_>>()).await;
    let is_over = AtomicBool::new(false);
    let changes = AtomicU64::new(0);
    let pairs = join_all((0..PAIRS).map(|pair| work(&stack, pair, &is_over, &changes)));
    let sampling = async {
        let begun = Instant::now();
        let mut samples = Vec::new();
        let time = WARM_UP + Duration::from_secs_f64(minutes * 60.0);
        while begun.elapsed() < time {
            tokio::time::sleep(SAMPLE_EVERY).await;
            let sample = sample(&stack, changes.load(Ordering::Relaxed)).await;
            if begun.elapsed() > WARM_UP {
                samples.push(sample);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        samples
    };
    let (_, samples) = futures::join!(pairs, sampling);
    figures(&samples)
}

fn figures(samples: &[Sample]) -> Vec<Figure> {
    let (first, second) = samples.split_at(samples.len() / 2);
    let names = samples.last().into_iter().flat_map(Sample::keys);
    let mean = |samples: &[Sample], name| {
        samples.iter().map(|sample| sample.get(name).copied().unwrap_or(0.0)).sum::<f64>() / samples.len() as f64
    };
    let most = |samples: &[Sample], name| {
        samples.iter().map(|sample| sample.get(name).copied().unwrap_or(0.0)).fold(0.0, f64::max)
    };
    names
        .map(|name| Figure {
            name: "soak",
            measured: format!("{name}: {:.0}, at most {:.0}", mean(second, name), most(second, name)),
            against: format!("{:.0}, at most {:.0} in the first half", mean(first, name), most(first, name)),
            ratio: mean(second, name) / mean(first, name).max(1.0),
            bound: None,
        })
        .collect()
}

async fn sample(stack: &Stack, changes: u64) -> Sample {
    let mut sample = Sample::from([("changes so far".to_owned(), changes as f64)]);
    let mut database = stack.database().await;
    let tables: Vec<(String, i64)> = sqlx::query_as(
        "SELECT relname::text, pg_total_relation_size(oid) FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut database)
    .await
    .expect("tables");
    for (table, bytes) in tables {
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&mut database)
            .await
            .expect("a count");
        sample.insert(format!("{table}, rows"), rows as f64);
        sample.insert(format!("{table}, KiB"), bytes as f64 / 1024.0);
    }
    let client = redis::Client::open(stack.servers.redis_url.as_str()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
    let keys: i64 = redis::cmd("DBSIZE").query_async(&mut connection).await.expect("an answer");
    let memory: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await.expect("an answer");
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("used memory");
    sample.insert("Redis, keys".to_owned(), keys as f64);
    sample.insert("Redis, KiB".to_owned(), used.trim().parse::<f64>().expect("a number") / 1024.0);
    for (kind, pods) in [("gateway", &stack.gateways), ("worker", &stack.workers)] {
        for (n, pod) in pods.iter().enumerate() {
            let kib = resident(pod.process_id().await) as f64 / 1024.0;
            sample.insert(format!("{kind} {n}, KiB of memory"), kib);
        }
    }
    sample
}

/// What one pair does, over and over.
async fn work(stack: &Stack, pair: usize, is_over: &AtomicBool, changes: &AtomicU64) {
    let [host, guest] = [0, 1].map(|n| format!("u{}", 2 * pair + n));
    let mut one = stack.client(pair % 2, &host).await;
    let mut other = stack.client((pair + 1) % 2, &guest).await;
    let mut round = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        round += 1;
        let once = |what: &str| format!("{what} {round}");
        let meeting = json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": "Plans", "invitedUserIds": [guest],
            "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});
        let created = done(one.call_once(&once("create"), "meeting:createMeeting", meeting).await);
        let named = json!({"meetingId": created["meeting"]["meetingId"]});
        done(other.call_once(&once("accept"), "meeting:acceptMeetingRequest", named.clone()).await);
        let moved = json!({"meetingId": named["meetingId"], "startDate": "2099-01-01T09:00:00Z", "subject": "Others"});
        done(one.call_once(&once("update"), "meeting:updateMeeting", moved).await);
        done(other.call_once(&once("decline"), "meeting:declineMeetingRequest", named.clone()).await);
        done(one.call_once(&once("delete"), "meeting:deleteMeeting", named).await);

        let session =
            json!({"title": "Yoga", "roomId": "lobby", "startDate": "2099-01-02T10:00:00Z", "duration": 3600});
        let invited = json!([{"userId": guest}]);
        let request = json!({"session": session, "usersToInvite": invited});
        let created = done(one.call_once(&once("session"), "social:createSession", request).await);
        let named = json!({"sessionId": created["session"]["id"]});
        done(other.call_once(&once("join"), "social:joinSession", named.clone()).await);
        done(other.call_once(&once("leave"), "social:declineSessionJoin", named.clone()).await);
        done(one.call_once(&once("end"), "social:deleteSession", named).await);
        changes.fetch_add(9, Ordering::Relaxed);

        one.untaken_events();
        let last =
            other.untaken_events().into_iter().rev().find_map(|event| event["eventId"].as_str().map(str::to_owned));
        other = back(stack, pair, &guest, round, other, last).await;
    }
    one.close().await;
    other.close().await;
}

/// Goes and comes back: in the same session or in another one, to the other gateway, now and then without a word.
async fn back(stack: &Stack, pair: usize, user: &str, round: u64, client: Client, last: Option<String>) -> Client {
    if round.is_multiple_of(3) {
        drop(client);
    } else {
        client.close().await;
    }
    let gateway = (pair + usize::try_from(round % 2).unwrap_or(0)) % 2;
    let sid = format!("session {} of {user}", round / 5);
    let mut connect = stack.connect_as(gateway, user, "demo", &sid);
    if let Some(last) = last {
        connect = connect.last_event_id(&last);
    }
    let mut client = connect.let_in().await;
    client.event("user_info").await;
    client
}

fn done(mut answer: Value) -> Value {
    assert_eq!(answer["error"]["code"], 0, "{answer}");
    answer["data"].take()
}

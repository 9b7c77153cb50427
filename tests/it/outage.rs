//! A while without Redis, NATS or PostgreSQL closes no socket and restarts no process, and all works again after it.

use std::time::Duration;

use harness::{Fault, Pod, Proxy, Servers, Stack, eventually};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::meeting::{create, in_the_lobby};

/// What can be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Redis,
    Nats,
    Postgres,
}

/// In which way.
#[derive(Clone, Copy, Debug)]
enum How {
    /// Connections break and none is made.
    Parted,
    /// Connections stay and nothing is answered.
    Frozen,
}

/// What was seen, for whoever looks on.
#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
struct Seen {
    away: Away,
    how: How,
    lasted: Duration,
    unready_after: Duration,
    ready_after: Duration,
    done_after: Duration,
    codes: Vec<u64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_seconds_without_redis_nats_or_postgresql_close_no_socket_and_restart_no_process() {
    let ten = Duration::from_secs(10);
    tokio::join!(
        outage(Away::Redis, How::Frozen, ten),
        outage(Away::Nats, How::Parted, ten),
        outage(Away::Postgres, How::Frozen, ten),
        outage(Away::Postgres, How::Parted, ten),
    );
}

#[expect(clippy::print_stdout, reason = "what was seen is asked for by hand")]
#[ignore = "takes two minutes; shows what it has seen with --nocapture"]
#[tokio::test(flavor = "multi_thread")]
async fn a_minute_without_redis_nats_or_postgresql_closes_no_socket_and_restarts_no_process() {
    let minute = Duration::from_secs(60);
    for how in [How::Parted, How::Frozen] {
        let (redis, nats, postgres) = tokio::join!(
            outage(Away::Redis, how, minute),
            outage(Away::Nats, how, minute),
            outage(Away::Postgres, how, minute),
        );
        for seen in [redis, nats, postgres] {
            println!("{seen:?}");
        }
    }
}

async fn outage(away: Away, how: How, lasting: Duration) -> Seen {
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    let url = match away {
        Away::Redis => &mut servers.redis_url,
        Away::Nats => &mut servers.nats_url,
        Away::Postgres => &mut servers.database_url,
    };
    let proxy = Proxy::before(url).await;
    let direct = std::mem::replace(url, proxy.url(url));
    // Far below what the test waits for, so that it sees requests fail more than once.
    let mut stack = Stack::builder().on(servers).processes().gateway_arg("--request-timeout=2s").start().await;
    if away == Away::Postgres {
        stack.servers.database_url = direct;
    }
    let pods = [&stack.gateways[0], &stack.workers[0]];
    let mut processes = Vec::new();
    for pod in pods {
        processes.push(pod.process_id().await);
    }
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(0, "bob").await;
    let meeting = create(&mut alice, in_the_lobby(&["bob"])).await;

    let during = async {
        let begun = Instant::now();
        proxy.set(match how {
            How::Parted => Fault { is_refusing: true, ..Fault::default() },
            How::Frozen => Fault { is_frozen: true, ..Fault::default() },
        });
        if matches!(how, How::Parted) {
            proxy.cut();
        }
        eventually!(status(pods[0]).await, |status| *status == 503);
        let unready_after = begun.elapsed();
        // A worker does without Redis.
        let expected = if away == Away::Redis { 200 } else { 503 };
        eventually!(status(pods[1]).await, |status| *status == expected);
        let refused = stack.connect(0, "carol").open().await.expect_err("nobody can be let in");
        assert_eq!(refused.status, 503);
        assert!(refused.retry_after.is_some());
        sleep_until(begun + lasting).await;
        let healed = Instant::now();
        proxy.heal();
        for pod in pods {
            eventually!(status(pod).await, |status| *status == 200);
        }
        (begun, healed, unready_after, healed.elapsed())
    };
    // Changes one after the other, each sent until it is done.
    let (ended, mut is_over) = tokio::sync::watch::channel(None);
    let changes = async {
        let (mut codes, mut n, mut done_after) = (Vec::new(), 0, None);
        loop {
            let healed: Option<Instant> = *is_over.borrow_and_update();
            n += 1;
            let change = json!({"meetingId": meeting["meetingId"], "subject": n.to_string()});
            loop {
                let answer = alice.call_once(&format!("change {n}"), "meeting:updateMeeting", change.clone()).await;
                let code = answer["error"]["code"].as_u64().expect("a code");
                codes.push(code);
                if code == 0 {
                    break;
                }
                assert!(code == 503 || code == 504, "{answer}");
                sleep(Duration::from_millis(300)).await;
            }
            let failed = codes.iter().any(|code| *code != 0);
            if failed && done_after.is_none() {
                done_after = Some(Instant::now());
            }
            if healed.is_some() {
                return (codes, n, done_after);
            }
            sleep(Duration::from_millis(300)).await;
        }
    };
    let alive = async {
        let mut over = ended.subscribe();
        let mut heard = Vec::new();
        while over.borrow_and_update().is_none() {
            for pod in pods {
                assert_eq!(pod.get("/livez").await.map(|(status, _)| status), Some(200));
            }
            // Who does not listen answers no ping.
            heard.extend(bob.events_until_quiet(Duration::from_millis(100)).await);
        }
        heard
    };
    let watched = async {
        let seen = during.await;
        ended.send_replace(Some(seen.1));
        seen
    };
    let ((begun, healed, unready_after, ready_after), (codes, changed, done_after), heard) =
        tokio::join!(watched, changes, alive);

    assert_eq!(codes.iter().any(|code| *code != 0), away != Away::Redis, "{away:?}: {codes:?}");
    // On the sockets that were open before, everything once and in order.
    for (client, heard) in [(&mut alice, Vec::new()), (&mut bob, heard)] {
        let mut heard = heard.into_iter();
        let mut told = Vec::new();
        while told.len() < changed {
            let event = match heard.next() {
                Some(event) => event,
                None => client.next_event().await,
            };
            if event["event"] == "meeting:onMeetingUpdated" {
                told.push(event["data"]["meeting"]["subject"].as_str().expect("text").to_owned());
            }
        }
        assert_eq!(told, (1..=changed).map(|n| n.to_string()).collect::<Vec<_>>(), "{away:?}");
        let companion = match heard.next() {
            Some(event) => event,
            None => client.next_event().await,
        };
        assert_eq!((&companion["event"], heard.next()), (&json!("meeting:meetingUpdated"), None));
        client.no_event().await;
    }
    let mut processes_now = Vec::new();
    for pod in pods {
        processes_now.push(pod.process_id().await);
        assert!(harness::process::is_running(*processes_now.last().expect("one")));
    }
    assert_eq!(processes_now, processes);
    stack.client(0, "carol").await;
    let done_after = done_after.map_or(Duration::ZERO, |at| at.saturating_duration_since(healed));
    Seen { away, how, lasted: healed - begun, unready_after, ready_after, done_after, codes }
}

async fn status(pod: &Pod) -> u16 {
    pod.get("/readyz").await.expect("it runs").0
}

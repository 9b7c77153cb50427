//! Pods that go away in order: restarts one after the other under load, sockets that have their age, signals that come twice.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use harness::{
    Stack,
    crowd::{Crowd, GROUP, Pace},
    eventually,
};
use serde_json::json;
use tokio::time::Instant;

use crate::meeting::{create, in_the_lobby, told_twice};

const GROUPS: usize = 20;

/// Over how long a gateway closes its sockets here.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What `deploy/README.md` says a pod is to be given: `drain-delay` and `drain-timeout` as set below, `request-timeout`, ten
/// seconds for closing.
const GRACE: Duration = Duration::from_secs(1 + 2 + 10 + 10);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_request_and_loses_or_repeats_no_event() {
    let stack = Stack::builder()
        .gateways(3)
        .workers(3)
        .processes()
        .drain(Duration::from_millis(500), DRAIN_TIMEOUT)
        .start()
        .await;
    let stack = Arc::new(stack);
    let pace = Pace { changes: Duration::from_millis(400), reads: Duration::from_secs(2) };
    let crowd = Crowd::new(&stack, GROUPS, pace).await;
    crowd.answered(2 * GROUPS * GROUP).await;

    let mut drains = Vec::new();
    for pod in stack.gateways.iter().chain(&stack.workers) {
        let begun = Instant::now();
        // Fails when it does not end with 0.
        pod.stop().await;
        assert!(begun.elapsed() < GRACE, "{:?}", begun.elapsed());
        drains.push((begun, Instant::now()));
        pod.start().await;
        pod.ready().await;
    }
    let record = crowd.finish().await;

    assert_eq!(record.stopped, [], "nobody's session was taken by another socket");
    assert_eq!(record.failed, Vec::<serde_json::Value>::new(), "beside 503 and 504, which say: again");
    assert_eq!(record.disorder, Vec::<String>::new());
    for (n, told) in record.told.iter().enumerate() {
        assert!(told.iter().copied().eq(1..=record.changed[n / GROUP]), "member {n} was told {told:?}");
    }
    let mut codes = BTreeMap::new();
    for (_, code) in &record.closed {
        *codes.entry(*code).or_insert(0_usize) += 1;
    }
    assert_eq!(codes.keys().collect::<Vec<_>>(), [&Some(1012)], "{codes:?}");
    for (begun, ended) in &drains[..stack.gateways.len()] {
        let mut moments: Vec<Instant> =
            record.closed.iter().map(|(at, _)| *at).filter(|at| (*begun..=*ended).contains(at)).collect();
        moments.sort();
        assert!(moments.len() >= GROUPS, "{} sockets were on it", moments.len());
        // At random moments. A machine that stands still for a while lets some of them be seen together.
        let tenth = DRAIN_TIMEOUT / 10;
        for first in &moments {
            let together = moments.iter().filter(|at| **at >= *first && **at < *first + tenth).count();
            assert!(together * 4 < moments.len() * 3, "{together} of {} within a tenth", moments.len());
        }
        assert!(moments[moments.len() - 1] - moments[0] > DRAIN_TIMEOUT / 3, "spread over the time");
    }
}

#[tokio::test]
async fn a_socket_of_a_pod_that_drains_is_closed_when_its_request_is_answered_and_not_before() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(0, "bob").await;
    let mut blocker = stack.database().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE outbox IN SHARE MODE").execute(&mut blocker).await.expect("a lock");
    let id = alice.send("meeting:createMeeting", in_the_lobby(&["bob"]), Some("e1")).await;
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO outbox%'";
    eventually!(
        sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut stack.database().await).await.expect("a count"),
        |count| *count > 0
    );
    let begun = Instant::now();
    stack.gateways[0].begin_stop().await;
    assert_eq!(bob.closed().await, Some(1012), "he waits for nothing");
    let quiet = alice.events_until_quiet(Duration::from_secs(7).saturating_sub(begun.elapsed())).await;
    assert!(quiet.is_empty(), "{quiet:?}");
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.expect("unlocked");
    assert_eq!(alice.answer(id).await["error"]["code"], 0);
    assert_eq!(alice.closed().await, Some(1012));
}

#[tokio::test]
async fn a_socket_of_its_full_age_is_closed_with_1012_and_lacks_nothing_when_it_is_back() {
    let stack = Stack::builder().gateways(2).arg_of_gateway(1, "--max-connection-age=2s").start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.connect(1, "bob").open().await.expect("let in");
    let last = bob.event("user_info").await["lastEventId"].as_str().expect("an id").to_owned();
    assert_eq!(bob.closed().await, Some(1012));
    assert!(bob.untaken_events().is_empty(), "it is told nothing");
    let made = create(&mut alice, in_the_lobby(&["bob"])).await;
    let mut bob = stack.connect(0, "bob").last_event_id(&last).open().await.expect("let in");
    bob.event("user_info").await;
    assert_eq!(told_twice(&mut bob, "meeting:onMeetingCreated").await[0]["data"]["meeting"], made);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_pod_at_once_and_in_order() {
    let stack = Stack::builder().processes().drain(Duration::from_secs(600), Duration::from_secs(600)).start().await;
    let mut alice = stack.client(0, "alice").await;
    for pod in [&stack.gateways[0], &stack.workers[0]] {
        pod.signal("TERM").await;
        eventually!(pod.get("/readyz").await, |answer| answer
            .as_ref()
            .is_some_and(|(status, body)| *status == 503 && body.contains(r#""draining":true"#)));
        if pod.public == stack.gateways[0].public {
            alice
                .ask(
                    "meeting:listUserMeetings",
                    json!({"sourceType": "room", "sourceIds": ["lobby"],
                "startDate": "2030-01-01T00:00:00Z", "endDate": "2030-01-02T00:00:00Z"}),
                )
                .await;
        }
        pod.signal("INT").await;
        pod.ended().await;
    }
}

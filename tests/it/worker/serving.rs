//! What a worker takes, drops, refuses and finishes.

use futures::future::join_all;
use harness::eventually;
use serde_json::json;
use shared::{
    bus::{BusError, HeaderName, Headers, Subject},
    internal::{Empty, RevokeSession},
};

use super::world::{PATIENCE, World, call, session, subject};

#[tokio::test]
async fn a_method_that_nobody_has_is_404_and_a_namespace_that_nobody_serves_has_no_responders() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=user,meeting"]).await;
    for endpoint in ["meeting:noSuchMethod", "meeting:connect", "meeting:onMeetingCreated"] {
        let answer = world.request(&session("alice"), endpoint, "", &json!({})).await;
        assert_eq!(answer.code, 404, "{endpoint}");
        assert_eq!(answer.body, json!({"error": {"status": true, "code": 404, "message": "no such endpoint"}}));
    }
    let social = world.try_request(&session("alice"), "social:getEvents", "", &json!({})).await;
    assert_eq!(social, Err(BusError::NoResponders));
    worker.drain().await;
}

#[tokio::test]
async fn a_client_reaches_nothing_internal_and_needs_a_session() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    let subject = Subject::rpc("meeting", "revokeSession").expect("a method");
    let message = world.send(subject, &call(None, ""), b"{}".to_vec()).await.expect("an answer");
    assert_eq!(message.headers.get(HeaderName::Code), Some("404"));
    worker.drain().await;
}

#[tokio::test]
async fn a_request_without_a_call_is_our_fault_and_tells_only_an_id() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    let subject = || Subject::internal("user", "connect");
    let malformed = Headers::new().with(HeaderName::Call, "{").expect("a header");
    for headers in [Headers::new(), malformed] {
        let answer = world.bus.request(subject(), headers, "{}", PATIENCE).await.expect("an answer");
        let body: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
        assert_eq!(body["error"]["code"], 500);
        uuid::Uuid::parse_str(body["error"]["message"].as_str().expect("a message")).expect("an id");
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_request_older_than_its_budget_is_dropped_by_the_senders_own_clock() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    let subject = || Subject::internal("user", "checkSessions");
    let sessions = br#"{"sessions":[]}"#.to_vec();
    // A sender whose clock is a day behind.
    let mut call = call(None, "");
    call.sent_at_ms -= 86_400_000;
    world.send(subject(), &call, sessions.clone()).await.expect("in time, by that clock");
    call.sent_at_ms -= 3_000;
    call.budget_ms = 2_000;
    let dropped = world.send(subject(), &call, sessions.clone()).await;
    assert_eq!(dropped.expect_err("nobody answers"), BusError::Timeout);
    call.budget_ms = 20_000;
    world.send(subject(), &call, sessions).await.expect("an older one in time");
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.contains(r#"convene_worker_dropped_total{namespace="user"}"#), "{metrics}");
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_that_drains_finishes_what_it_has_begun_and_takes_no_more() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    let mut blocker = world.database().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE revoked_sessions IN SHARE MODE").execute(&mut blocker).await.expect("a lock");
    let revoke = RevokeSession { sid: "s".to_owned() };
    let pending = async {
        let answer = world.ask(&revoke).await;
        assert_eq!(answer, Ok(Empty {}), "it waited for the lock longer than one attempt may");
    };
    let draining = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO revoked_sessions%'";
        eventually!(world.count(waiting).await, |waiting| *waiting > 0);
        worker.shutdown.drain.cancel();
        eventually!(worker.get("/readyz").await.0, |status| *status == 503);
        let subject = || subject("meeting:getMeeting");
        eventually!(
            world.send(subject(), &call(Some(session("alice")), ""), b"{}".to_vec()).await.err(),
            |error| *error == Some(BusError::NoResponders)
        );
        sqlx::raw_sql("COMMIT").execute(&mut blocker).await.expect("unlocked");
    };
    tokio::join!(pending, draining);
    worker.drain().await;
    assert_eq!(world.count("SELECT count(*) FROM revoked_sessions").await, 1);
}

#[tokio::test]
async fn more_requests_than_slots_wait_and_all_are_answered() {
    let world = World::new().await;
    let worker = world.worker(&["--max-concurrency=2"]).await;
    let sids: Vec<RevokeSession> = (0..50).map(|sid| RevokeSession { sid: sid.to_string() }).collect();
    for answer in join_all(sids.iter().map(|sid| world.ask(sid))).await {
        answer.expect("revoked");
    }
    assert_eq!(world.count("SELECT count(*) FROM revoked_sessions").await, 50);
    worker.drain().await;
}

//! A request that is sent again, as clients and operators see it: over all pods, and over the death of a process.

use harness::{Client, Stack, eventually};
use serde_json::{Value, json};

use crate::meeting::told_twice;

const CREATE: &str = "meeting:createMeeting";

fn lunch() -> Value {
    json!({
        "sourceType": "room", "sourceIds": ["lobby"], "subject": "Lunch", "invitedUserIds": ["bob"],
        "startDate": "2099-05-01T12:00:00+02:00", "endDate": "2099-05-01T13:00:00+02:00",
    })
}

/// What two answers to copies of one request have in common: all but the frame's id.
fn told(answer: &Value) -> (&Value, &Value) {
    (&answer["data"], &answer["error"])
}

async fn count(stack: &Stack, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut stack.database().await).await.expect(sql)
}

/// Makes one more meeting: a network's events are in order, so whatever was on its way would come before its event.
async fn nothing_more_comes(organizer: &mut Client, others: &mut [&mut Client]) {
    let last = organizer.ask(CREATE, lunch()).await;
    assert_eq!(told_twice(organizer, "meeting:onMeetingCreated").await[0]["data"], last);
    for other in others {
        assert_eq!(told_twice(other, "meeting:onMeetingCreated").await[0]["data"], last);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_copies_and_one_over_another_pod_are_one_meeting_one_answer_and_one_event_each() {
    let stack = Stack::builder().gateways(2).workers(2).processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(1, "bob").await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(alice.send(CREATE, lunch(), Some("e1")).await);
    }
    let first = alice.answer(ids[0]).await;
    assert_eq!(first["error"]["code"], 0, "{first}");
    for id in &ids[1..] {
        assert_eq!(told(&alice.answer(*id).await), told(&first));
    }
    for client in [&mut alice, &mut bob] {
        assert_eq!(told_twice(client, "meeting:onMeetingCreated").await[0]["data"], first["data"]);
    }

    let mut elsewhere = stack.client(1, "alice").await;
    assert_eq!(told(&elsewhere.call_once("e1", CREATE, lunch()).await), told(&first));
    nothing_more_comes(&mut elsewhere, &mut [&mut bob]).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM meetings").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_workers_are_killed_in_the_middle_is_done_once_when_it_is_sent_again() {
    let stack = Stack::builder().workers(2).processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut blocker = stack.database().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE outbox IN SHARE MODE").execute(&mut blocker).await.expect("a lock");
    alice.send(CREATE, lunch(), Some("e1")).await;
    let in_the_middle = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock'
                           AND query LIKE 'INSERT INTO outbox%'";
    eventually!(count(&stack, in_the_middle).await, |waiting| *waiting == 1);
    for worker in &stack.workers {
        worker.kill().await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.expect("unlocked");
    for worker in &stack.workers {
        worker.start().await;
        worker.ready().await;
    }
    let answer = alice.call_once("e1", CREATE, lunch()).await;
    assert_eq!(answer["error"]["code"], 0, "{answer}");
    assert_eq!(told_twice(&mut alice, "meeting:onMeetingCreated").await[0]["data"], answer["data"]);
    assert_eq!(told(&alice.call_once("e1", CREATE, lunch()).await), told(&answer));
    nothing_more_comes(&mut alice, &mut []).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM meetings").await, 2);
}

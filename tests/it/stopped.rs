//! A worker that is stopped in the middle of a change.

use harness::{Stack, eventually};
use serde_json::{Value, json};

use crate::meeting::{create, in_the_lobby, told_twice, with};

const CREATE: &str = "meeting:createMeeting";

async fn text(stack: &Stack, sql: &'static str) -> Option<String> {
    sqlx::query_scalar(sql).fetch_optional(&mut stack.database().await).await.expect(sql)
}

async fn count(stack: &Stack, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut stack.database().await).await.expect(sql)
}

#[tokio::test(flavor = "multi_thread")]
async fn six_copies_are_done_once_although_the_first_ones_worker_is_stopped_inside_its_transaction() {
    let stack = Stack::builder().workers(2).gateway_arg("--request-timeout=9s").processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    // Both workers must know how old this gateway's requests are.
    for _ in 0..40 {
        alice.call("meeting:getMeeting", json!({"meetingId": "none"})).await;
    }
    sqlx::raw_sql(
        "CREATE SEQUENCE insertions;
         CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN IF nextval(''insertions'') = 1 THEN PERFORM pg_sleep(2); END IF; RETURN NEW; END';
         CREATE TRIGGER linger BEFORE INSERT ON meetings FOR EACH ROW EXECUTE FUNCTION linger()",
    )
    .execute(&mut stack.database().await)
    .await
    .expect("the first one takes long");

    let data = with(in_the_lobby(&["bob"]), json!({"subject": "once"}));
    let mut waiting = vec![alice.send(CREATE, data.clone(), Some("e1")).await];
    let lingering = "SELECT application_name FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let worker = eventually!(text(&stack, lingering).await, Option::is_some);
    let stopped = usize::from(worker.expect("one").ends_with("worker-1"));
    stack.workers[stopped].signal("STOP").await;
    for _ in 0..5 {
        waiting.push(alice.send(CREATE, data.clone(), Some("e1")).await);
    }
    let mut done: Vec<Value> = Vec::new();
    let mut failed = 0;
    // Where all of them have gone to the stopped one, they have to be sent again before anybody can do it.
    while done.is_empty() {
        for id in std::mem::take(&mut waiting) {
            let mut answer = alice.answer(id).await;
            match answer["error"]["code"].as_u64() {
                Some(0) => done.push(answer["data"].take()),
                Some(503 | 504) => failed += 1,
                _ => panic!("{answer}"),
            }
        }
        if done.is_empty() {
            for _ in 0..std::mem::take(&mut failed) {
                waiting.push(alice.send(CREATE, data.clone(), Some("e1")).await);
            }
        }
    }
    assert!(failed > 0, "nobody answers for the one that is stopped");
    let left_open = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(count(&stack, left_open).await, 0, "PostgreSQL has ended its transaction");

    stack.workers[stopped].signal("CONT").await;
    stack.workers[stopped].ready().await;
    for _ in 0..failed {
        let mut answer = alice.call_once("e1", CREATE, data.clone()).await;
        assert_eq!(answer["error"]["code"], 0, "{answer}");
        done.push(answer["data"].take());
    }
    assert_eq!(done, vec![done[0].clone(); 6], "all are told the same");
    assert_eq!(count(&stack, "SELECT count(*) FROM meetings").await, 1);
    assert_eq!(told_twice(&mut alice, "meeting:onMeetingCreated").await[0]["data"], done[0]);
    // Whatever it has gone on with comes to nothing: one more meeting's event is the next.
    let last = create(&mut alice, in_the_lobby(&["bob"])).await;
    assert_eq!(told_twice(&mut alice, "meeting:onMeetingCreated").await[0]["data"]["meeting"], last);
    assert_eq!(count(&stack, "SELECT count(*) FROM meetings").await, 2);
    assert_eq!(alice.untaken_answers(), [Value::Null; 0], "each request was answered once");
}

//! Answers that come when nobody waits for them any more.

use harness::{Fault, Isolated, Proxy, Servers, Stack, eventually};
use serde_json::{Value, json};

use crate::meeting::{in_the_lobby, with};

const CREATE: &str = "meeting:createMeeting";
const REQUESTS: usize = 8;

fn about(subject: &str) -> Value {
    with(in_the_lobby(&[]), json!({"subject": subject}))
}

async fn count(stack: &Stack, sql: &'static str) -> usize {
    let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut stack.database().await).await.expect(sql);
    count as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_after_its_deadline_reaches_nobody_nor_the_request_that_has_its_slot() {
    let shared = Servers::shared().await.isolated_with_schema().await;
    let proxy = Proxy::before(&shared.nats_url).await;
    let servers = Isolated { nats_url: proxy.url(&shared.nats_url), ..shared };
    let stack = Stack::builder().gateway_arg("--request-timeout=3s").on(servers).start().await;
    let mut alice = stack.client(0, "alice").await;
    sqlx::raw_sql(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN IF NEW.subject = ''late'' THEN PERFORM pg_sleep(1); END IF; RETURN NEW; END';
         CREATE TRIGGER linger BEFORE INSERT ON meetings FOR EACH ROW EXECUTE FUNCTION linger()",
    )
    .execute(&mut stack.database().await)
    .await
    .expect("what is late takes long");

    // They are being done when the way back is blocked.
    let mut late = Vec::new();
    for _ in 0..REQUESTS {
        late.push(alice.send(CREATE, about("late"), None).await);
    }
    let being_done = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event = 'PgSleep'";
    eventually!(count(&stack, being_done).await, |sleeping| *sleeping > 0);
    proxy.set(Fault { is_frozen: true, ..Fault::default() });
    let mut in_time = 0;
    for id in late {
        let answer = alice.answer(id).await;
        match answer["error"]["code"].as_u64() {
            Some(504) => (),
            Some(0) => in_time += 1,
            _ => panic!("{answer}"),
        }
    }
    let made = "SELECT count(*) FROM meetings WHERE subject = 'late'";
    eventually!(count(&stack, made).await, |made| *made > in_time);

    // Others have the places of those who gave up when the way is open again.
    let mut others = Vec::new();
    for n in 0..REQUESTS {
        let subject = format!("other {n}");
        others.push((alice.send(CREATE, about(&subject), None).await, subject));
    }
    proxy.heal();
    for (id, subject) in others {
        let answer = alice.answer(id).await;
        // A busy machine may be late once more.
        if answer["error"]["code"] != 504 {
            assert_eq!(answer["data"]["meeting"]["subject"], subject, "{answer}");
        }
    }
    let last = alice.call(CREATE, about("last")).await;
    assert_eq!(last["data"]["meeting"]["subject"], "last", "{last}");
    assert_eq!(alice.untaken_answers(), [Value::Null; 0], "each request was answered once");
}

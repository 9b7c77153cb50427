//! Answers that come when nobody waits for them any more.

use std::time::Duration;

use harness::{Fault, Isolated, Proxy, Servers, Stack, eventually};
use serde_json::{Value, json};

use crate::meeting::{in_the_lobby, with};

const CREATE: &str = "meeting:createMeeting";
const REQUESTS: usize = 20;

fn about(subject: &str) -> Value {
    with(in_the_lobby(&[]), json!({"subject": subject}))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_after_its_deadline_reaches_nobody_nor_the_request_that_has_its_slot() {
    let shared = Servers::shared().await.isolated_with_schema().await;
    let proxy = Proxy::before(&shared.nats_url).await;
    let servers = Isolated { nats_url: proxy.url(&shared.nats_url), ..shared };
    let stack = Stack::builder().gateway_arg("--request-timeout=700ms").on(servers).start().await;
    let mut alice = stack.client(0, "alice").await;
    alice.ask(CREATE, about("warm")).await;
    // There in time, and back too late.
    proxy.set(Fault { delay: Duration::from_millis(200), ..Fault::default() });
    let mut late = Vec::new();
    for n in 0..REQUESTS {
        late.push(alice.send(CREATE, about(&format!("late {n}")), None).await);
    }
    for id in late {
        let answer = alice.answer(id).await;
        assert_eq!(answer["error"]["code"], 504, "{answer}");
    }
    proxy.heal();
    let made = async |kind: &str| -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM meetings WHERE subject LIKE $1 || ' %'")
            .bind(kind)
            .fetch_one(&mut stack.database().await)
            .await
            .expect("a number")
    };
    // From here on, while those answers are on their way, others wait in the places of those who gave up.
    let mut answered = 0;
    while answered < REQUESTS {
        let ids = [alice.send(CREATE, about("one"), None).await, alice.send(CREATE, about("two"), None).await];
        for (id, subject) in ids.into_iter().zip(["one", "two"]) {
            let answer = alice.answer(id).await;
            if answer["error"]["code"] != 504 {
                assert_eq!(answer["data"]["meeting"]["subject"], subject, "{answer}");
                answered += 1;
            }
        }
    }
    eventually!(made("late").await, |made| *made > 0);
    alice.call("testVersionNotSupported", json!({})).await;
    assert_eq!(alice.untaken_answers(), [Value::Null; 0], "each request was answered once");
}

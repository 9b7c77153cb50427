//! One network that asks for more than its share of the workers.

use std::collections::BTreeMap;

use futures::future::join_all;
use harness::{Client, Stack, eventually};
use serde_json::json;
use sqlx::Executor as _;

use super::{bystander::Bystander, code, meeting, open_again};

/// A network with a user and a room, beside `demo`.
pub async fn other_network(stack: &Stack) {
    stack
        .import_all(&[
            json!({"kind": "network", "id": "hog", "fullName": "Hog", "type": "Public"}),
            json!({"kind": "user", "id": "hugo", "networkIds": ["hog"], "firstName": "Hugo"}),
            json!({"kind": "room", "id": "sty", "networkId": "hog", "title": "Sty", "ownerId": "hugo", "isPublic": true}),
        ])
        .await;
}

/// Has every creation of a meeting in the other network take so many seconds in the database.
pub async fn slow_creations(stack: &Stack, seconds: f64) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
         CREATE OR REPLACE TRIGGER dawdle BEFORE INSERT ON meetings
         FOR EACH ROW WHEN (NEW.network_id = 'hog') EXECUTE FUNCTION dawdle()"
    );
    stack.database().await.execute(sqlx::AssertSqlSafe(sql)).await.expect("a trigger");
}

/// Sockets of the other network.
pub async fn hogs(stack: &Stack, sockets: usize) -> Vec<Client> {
    let mut hogs = Vec::new();
    for n in 0..sockets {
        let mut hog = open_again(stack.connect_as(0, "hugo", "hog", &n.to_string())).await;
        hog.event("user_info").await;
        hogs.push(hog);
    }
    hogs
}

/// A meeting in the other network.
pub fn hogs_meeting(subject: &str, description: &str) -> serde_json::Value {
    let mut meeting = meeting(subject);
    meeting["sourceIds"] = json!(["sty"]);
    meeting["description"] = json!(description);
    meeting
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_whose_requests_are_endlessly_slow_leaves_the_others_slots_and_connections() {
    let stack = Stack::builder().processes().gateway_arg("--request-timeout=6s").start().await;
    other_network(&stack).await;
    // Longer than anybody waits for a connection.
    slow_creations(&stack, 3.0).await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let mut hogs = hogs(&stack, 8).await;
    for hog in &mut hogs {
        for n in 0..30 {
            hog.send("meeting:createMeeting", hogs_meeting(&n.to_string(), ""), None).await;
        }
    }
    // As many wait as can not be at work: it has its half of the slots, and more connections than there are would be busy.
    eventually!(stack.workers[0].metric("convene_worker_waiting", &[]).await, |waiting| *waiting > 100.0);
    // Whoever comes now is let in, and what he does is done.
    let mut bob = stack.client(0, "bob").await;
    bob.ask("meeting:createMeeting", meeting("among hogs")).await;
    let answering = hogs.iter_mut().map(|hog| async move {
        let mut codes = BTreeMap::new();
        for _ in 0..30 {
            *codes.entry(code(&hog.next_answer().await)).or_insert(0) += 1;
        }
        codes
    });
    let codes = join_all(answering).await;
    let done: i32 = codes.iter().filter_map(|codes| codes.get(&0)).sum();
    assert!(done > 0, "its own are done as well: {codes:?}");
    assert!(codes.iter().flat_map(BTreeMap::keys).all(|code| [0, 503, 504].contains(code)), "{codes:?}");
    let mut carol = bystander.leave().await;
    carol.no_event().await;
    // Nothing of it is left over.
    eventually!(stack.workers[0].metric("convene_worker_waiting", &[]).await, |waiting| *waiting == 0.0);
    for hog in &mut hogs {
        assert_eq!(hog.untaken_answers(), Vec::<serde_json::Value>::new(), "each has had its one answer");
    }
}

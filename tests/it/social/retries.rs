//! Requests that are sent again, and workers that die in the middle.

use futures::future::join_all;
use harness::{Client, Stack, eventually};
use serde_json::{Value, json};

use super::{People, count, create, crowd, event_for, get, joined, named, users, with, yoga};

#[tokio::test]
async fn a_request_that_is_sent_again_is_done_once() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 1).await;
    let request = json!({"session": yoga(Some(&event)), "usersToInvite": users(&["carol"])});
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(people.bob.send("social:createSession", request.clone(), Some("create")).await);
    }
    let mut sessions = Vec::new();
    for id in ids {
        sessions.push(people.bob.answer(id).await["data"]["session"].take());
    }
    assert!(sessions.iter().all(|session| *session == sessions[0] && session.is_object()), "{sessions:?}");
    let session = &sessions[0];
    people.carol.event("social:sessionUpdated").await;
    for (n, endpoint) in ["social:joinSession", "social:declineSessionJoin", "social:joinSession"].iter().enumerate() {
        let id = format!("e{n}");
        let first = people.carol.send(endpoint, named(session), Some(&id)).await;
        let second = people.carol.send(endpoint, named(session), Some(&id)).await;
        for id in [first, second] {
            assert_eq!(people.carol.answer(id).await["error"]["code"], 0);
        }
        people.carol.event("social:sessionUpdated").await;
    }
    // The join of before is not done again, although it would be another one now.
    people.carol.ask("social:declineSessionJoin", named(session)).await;
    assert_eq!(people.carol.call_once("e2", "social:joinSession", named(session)).await["error"]["code"], 0);
    assert_eq!(joined(&get(&mut people.bob, session).await), [""; 0]);
    people.carol.event("social:sessionUpdated").await;
    people.carol.no_event().await;
}

/// Sends until it is answered with what is no passing trouble.
async fn insist(client: &mut Client, event_id: &str, endpoint: &str, data: &Value) -> u64 {
    loop {
        let answer = client.call_once(event_id, endpoint, data.clone()).await;
        let code = answer["error"]["code"].as_u64().expect("a code");
        if ![503, 504].contains(&code) {
            return code;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_ten_places_are_taken_by_ten_also_when_workers_are_killed_in_the_middle() {
    const USERS: usize = 60;
    let stack = Stack::builder()
        .gateways(2)
        .workers(2)
        .processes()
        .gateway_arg("--rate-limit=1000")
        .gateway_arg("--request-timeout=2s")
        .start()
        .await;
    stack.import_all(&crowd(USERS)).await;
    let mut alice = stack.client(0, "alice").await;
    let names: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
    let mut clients = join_all(names.iter().enumerate().map(|(n, user)| stack.client(n % 2, user))).await;
    for round in 0..3 {
        let event = event_for(&mut alice, 10).await;
        let session = create(&mut alice, yoga(Some(&event)), json!([])).await;
        // One of the two dies with whatever it holds: in the middle of a join that has everything but its events.
        let mut blocker = stack.database().await;
        sqlx::raw_sql("BEGIN; LOCK TABLE outbox IN SHARE MODE").execute(&mut blocker).await.expect("a lock");
        let request = named(&session);
        let event_id = format!("join {round}");
        let joining =
            join_all(clients.iter_mut().map(|client| insist(client, &event_id, "social:joinSession", &request)));
        let killing = async {
            let in_the_middle = "SELECT count(*) FROM pg_stat_activity
                                 WHERE datname = current_database() AND wait_event_type = 'Lock'
                                     AND query LIKE 'INSERT INTO outbox%'";
            eventually!(count(&stack, in_the_middle).await, |waiting| *waiting == 1);
            stack.workers[round % 2].kill().await;
            sqlx::raw_sql("COMMIT").execute(&mut blocker).await.expect("unlocked");
            stack.workers[round % 2].start().await;
            stack.workers[round % 2].ready().await;
        };
        let (codes, ()) = tokio::join!(joining, killing);
        let done = codes.iter().filter(|code| **code == 0).count();
        assert_eq!((done, codes.iter().all(|code| [0, 409].contains(code))), (10, true), "round {round}: {codes:?}");
        assert_eq!(joined(&get(&mut alice, &session).await).len(), 10);
        alice.ask("social:deleteEvent", super::named_event(&event)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_the_middle_of_an_update_leaves_the_session_as_it_was() {
    let stack = Stack::builder().workers(2).processes().start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, yoga(None), users(&["carol"])).await;
    people.carol.event("social:sessionUpdated").await;
    let mut blocker = stack.database().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE outbox IN SHARE MODE").execute(&mut blocker).await.expect("a lock");
    let change = json!({"session": {"id": session["id"], "title": "Tai chi", "sessionType": 1}});
    people.bob.send("social:updateSession", change.clone(), Some("e")).await;
    let in_the_middle = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO outbox%'";
    eventually!(count(&stack, in_the_middle).await, |waiting| *waiting == 1);
    for worker in &stack.workers {
        worker.kill().await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.expect("unlocked");
    for worker in &stack.workers {
        worker.start().await;
        worker.ready().await;
    }
    assert_eq!(get(&mut people.carol, &session).await, session);
    let answer = people.bob.call_once("e", "social:updateSession", change).await;
    assert_eq!(people.carol.event("social:sessionUpdated").await["data"], answer["data"]);
    let expected = json!({"title": "Tai chi", "sessionType": 1, "updated": answer["data"]["session"]["updated"]});
    assert_eq!(answer["data"]["session"], with(session, expected));
    people.carol.no_event().await;
}

//! PostgreSQL that is slow, or does not answer at all.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use harness::{Client, Fault, Proxy, Servers, Stack, eventually};
use serde_json::json;
use sqlx::{Connection as _, Executor as _};
use tokio::time::{Instant, timeout_at};

use super::{code, crowd, meeting};

const CLIENTS: usize = 6;
const REQUESTS: usize = 25;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// What the machine may add to a deadline when it is busy.
const NOISE: Duration = Duration::from_secs(4);

/// A system whose database is behind a proxy, and clients that will ask.
async fn behind_a_proxy() -> (Stack, Proxy, Vec<Client>) {
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    let proxy = Proxy::before(&servers.database_url).await;
    servers.database_url = proxy.url(&servers.database_url);
    let timeout = format!("--request-timeout={}s", REQUEST_TIMEOUT.as_secs());
    let stack = Stack::builder().processes().gateway_arg(&timeout).on(servers).start().await;
    let clients = crowd(&stack, "bob", CLIENTS, None).await;
    (stack, proxy, clients)
}

/// Has every client send its creations, and counts the codes of the answers: one each, in time.
async fn create_all(clients: &mut [Client]) -> BTreeMap<u64, usize> {
    let asking = clients.iter_mut().enumerate().map(|(n, client)| async move {
        let mut waiting = Vec::new();
        for request in 0..REQUESTS {
            let (event_id, data) = (request.to_string(), meeting(&format!("{n} {request}")));
            waiting.push(client.send("meeting:createMeeting", data, Some(&event_id)).await);
        }
        let deadline = Instant::now() + REQUEST_TIMEOUT + NOISE;
        let mut codes = Vec::new();
        while !waiting.is_empty() {
            let answer = timeout_at(deadline, client.next_answer()).await.expect("each has its answer in time");
            let place = waiting.iter().position(|id| answer["id"] == *id).expect("one answer each");
            waiting.swap_remove(place);
            codes.push(code(&answer));
        }
        codes
    });
    let mut codes = BTreeMap::new();
    for code in join_all(asking).await.concat() {
        *codes.entry(code).or_insert(0) += 1;
    }
    codes
}

async fn created(stack: &Stack) -> i64 {
    let mut database = sqlx::PgConnection::connect(&stack.servers.admin_database_url).await.expect("the database");
    sqlx::query_scalar("SELECT count(*) FROM meetings").fetch_one(&mut database).await.expect("a count")
}

/// All is as it was: a request is answered, and what is sent again, as the codes say that it may be, is done, once.
async fn recovers(stack: &Stack, clients: &mut [Client]) {
    eventually!(code(&clients[0].call("meeting:getMeeting", json!({"meetingId": uuid::Uuid::nil()})).await), |code| {
        *code == 404
    });
    eventually!(stack.workers[0].metric("convene_worker_waiting", &[]).await, |waiting| *waiting == 0.0);
    for client in &mut *clients {
        client.no_event().await;
        assert!(client.untaken_answers().is_empty(), "nobody is answered twice");
    }
    let all_done = BTreeMap::from([(0, CLIENTS * REQUESTS)]);
    for _ in ["done", "the same answers again"] {
        eventually!(create_all(clients).await, |codes| *codes == all_done);
    }
    assert_eq!(created(stack).await, (CLIENTS * REQUESTS) as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_leaves_no_request_unanswered_and_none_to_be_done_when_nobody_waits() {
    let (stack, proxy, mut clients) = behind_a_proxy().await;
    // Connections to hang on.
    let look = json!({"meetingId": uuid::Uuid::nil()});
    for client in &mut clients {
        client.call("meeting:getMeeting", look.clone()).await;
    }
    proxy.set(Fault { is_frozen: true, ..Fault::default() });
    let codes = create_all(&mut clients).await;
    assert!(codes.keys().all(|code| [503, 504].contains(code)), "{codes:?}");
    assert!(codes.contains_key(&504), "those in the middle: {codes:?}");
    // It is known to be away by now.
    eventually!(stack.workers[0].get("/readyz").await, |answer| answer.as_ref().is_some_and(|(code, _)| *code == 503));
    let codes = create_all(&mut clients).await;
    assert_eq!(codes, BTreeMap::from([(503, CLIENTS * REQUESTS)]), "nobody can serve this now");
    proxy.heal();
    eventually!(stack.workers[0].get("/readyz").await, |answer| answer.as_ref().is_some_and(|(code, _)| *code == 200));
    let done_late = created(&stack).await;
    assert_eq!(done_late, 0, "of what was given up");
    for client in &mut clients {
        client.untaken_events();
    }
    recovers(&stack, &mut clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_slow_answers_what_it_can_in_time_and_the_rest_is_504_or_503() {
    let (stack, proxy, mut clients) = behind_a_proxy().await;
    proxy.set(Fault { delay: Duration::from_millis(120), ..Fault::default() });
    let codes = create_all(&mut clients).await;
    assert!(codes.keys().all(|code| [0, 503, 504].contains(code)), "{codes:?}");
    assert!(codes.contains_key(&0), "slow is not away: {codes:?}");
    assert!(codes.len() > 1, "it was too much for it: {codes:?}");
    proxy.heal();
    for client in &mut clients {
        client.events_until_quiet(Duration::from_millis(1500)).await;
    }
    recovers(&stack, &mut clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_is_504_waits_for_nobody_and_is_forgotten_when_it_goes() {
    let timeout = format!("--request-timeout={}s", REQUEST_TIMEOUT.as_secs());
    let stack = Stack::builder().processes().gateway_arg(&timeout).start().await;
    let mut clients = crowd(&stack, "bob", CLIENTS, None).await;
    let mut holder = stack.database().await;
    holder.execute("BEGIN; LOCK TABLE meetings IN SHARE MODE").await.expect("a lock");
    let codes = create_all(&mut clients).await;
    assert_eq!(codes.get(&0), None, "{codes:?}");
    assert!(codes.keys().all(|code| [503, 504].contains(code)), "{codes:?}");
    // What does not need the lock is done.
    let look = clients[0].call("meeting:getMeeting", json!({"meetingId": uuid::Uuid::nil()})).await;
    assert_eq!(code(&look), 404);
    eventually!(stack.workers[0].metric("convene_worker_waiting", &[]).await, |waiting| *waiting == 0.0);
    eventually!(stack.workers[0].metric("convene_worker_in_flight", &[]).await, |working| *working == 0.0);
    holder.execute("COMMIT").await.expect("unlocked");
    assert_eq!(created(&stack).await, 0, "of what was given up");
    recovers(&stack, &mut clients).await;
}

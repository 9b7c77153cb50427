//! `/readyz` says no while the work cannot be done, names what is in the way, and says yes again by itself.
//!
//! | file | what is in the way |
//! | --- | --- |
//! | `redis` | a replica, permissions, memory |
//! | `postgres` | a server that takes no changes, permissions, a pooler |
//! | `nats` | permissions |
//! | `logs` | how often all that is said |

mod logs;
mod nats;
mod postgres;
mod redis;

use harness::{Pod, Stack, eventually};
use serde_json::Value;

/// Status of `/readyz`, and its entries.
async fn readiness(pod: &Pod) -> (u16, Value) {
    let (status, body) = pod.get("/readyz").await.expect("it runs");
    (status, serde_json::from_str::<Value>(&body).expect("JSON")["dependencies"].take())
}

/// Waits until the pod is unready and this entry says why.
pub(crate) async fn unready(pod: &Pod, entry: &str, why: &str) -> Value {
    let says_why = |(status, entries): &(u16, Value)| *status == 503 && said(entries, entry).contains(why);
    let (_, entries) = eventually!(readiness(pod).await, says_why);
    assert_eq!(pod.get("/livez").await.map(|(status, _)| status), Some(200));
    entries
}

fn said<'a>(entries: &'a Value, entry: &str) -> &'a str {
    entries[entry].as_str().unwrap_or_else(|| panic!("{entry} in {entries}"))
}

/// Waits until every pod is ready, with nothing to say.
async fn ready(stack: &Stack) {
    for pod in stack.gateways.iter().chain(&stack.workers) {
        let is_well = |(status, entries): &(u16, Value)| {
            *status == 200 && ["bus", "presence"].iter().all(|entry| said(entries, entry) == "ok")
        };
        eventually!(readiness(pod).await, is_well);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_unready_when_no_worker_can_let_anybody_in() {
    let stack = Stack::builder()
        .workers(2)
        .arg_of_worker(0, "--namespaces=user")
        .arg_of_worker(1, "--namespaces=meeting,social,directory,events")
        .start()
        .await;
    stack.workers[0].kill().await;
    let entries = unready(&stack.gateways[0], "workers", "user: 503").await;
    assert_eq!((said(&entries, "bus"), said(&entries, "presence")), ("ok", "ok"));
    assert_eq!(stack.connect(0, "bob").open().await.expect_err("nobody looks him up").status, 503);
    stack.workers[0].start().await;
    ready(&stack).await;
    stack.client(0, "bob").await;
}

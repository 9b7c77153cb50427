//! Very many lines.

use futures::future::join_all;
use harness::Stack;
use serde_json::{Value, json};

/// As many as are applied in the normal run; `CONVENE_TEST_LINES` sets another number.
const LINES: usize = 10_000;

#[expect(clippy::disallowed_methods, reason = "no setting of the program: how thorough this test is")]
fn lines() -> usize {
    std::env::var("CONVENE_TEST_LINES").map_or(LINES, |count| count.parse().expect("a number of lines"))
}

fn user(n: usize) -> Value {
    json!({"kind": "user", "id": format!("user-{n}"), "networkIds": ["demo"], "firstName": format!("User {n}"),
           "email": format!("user-{n}@example.org"), "emailVerified": true, "params": {"n": n, "text": "x".repeat(200)}})
}

/// What the process has needed at most, in KiB.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn memory_does_not_grow_with_the_number_of_lines() {
    let stack = Stack::builder().processes().start().await;
    let processes = [stack.gateways[0].process_id().await, stack.workers[0].process_id().await];
    let import = async |numbers: std::ops::Range<usize>| {
        let count = numbers.len();
        let body: String = numbers.map(|n| format!("{}\n", user(n))).collect();
        let (status, answer) = stack.admin(reqwest::Method::POST, "/admin/directory", body).await;
        assert_eq!((status, answer), (200, json!({"applied": count, "errors": []})));
    };
    import(0..2_000).await;
    let before = processes.map(peak_memory);
    import(2_000..2_000 + lines()).await;
    let after = processes.map(peak_memory);
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + 24 * 1024, "{before} KiB before, {after} KiB after {} more lines", lines());
    }
}

#[tokio::test]
async fn two_imports_of_the_same_users_at_once_both_go_through() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let forwards: Vec<Value> = (0..1500).map(user).collect();
    let backwards: Vec<Value> = forwards.iter().rev().cloned().collect();
    join_all([stack.import_all(&forwards), stack.import_all(&backwards)]).await;
    let members: i64 = sqlx::query_scalar("SELECT count(*) FROM members WHERE user_id LIKE 'user-%'")
        .fetch_one(&mut stack.database().await)
        .await
        .expect("a count");
    assert_eq!(members, 1500);
}

//! Large requests that nobody gets round to.

use futures::future::join_all;
use harness::{Stack, process::resident};
use serde_json::{Value, json};

use super::{
    BUS_BYTES, SLACK, SOCKET_BYTES,
    bystander::Bystander,
    code,
    fairness::{hogs, hogs_meeting, other_network, slow_creations},
    mib,
};

/// A field that nobody reads makes a request large.
const FILLER: usize = 240 * 1024;

const SOCKETS: usize = 12;
const REQUESTS: usize = 20;

/// Requests that the worker does at once. For each, 64 places of 16 KiB are there to wait.
const SLOTS: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_that_wait_take_bounded_memory_on_both_sides_of_the_bus() {
    let stack = Stack::builder()
        .processes()
        .gateway_arg("--request-timeout=5s")
        // They send all that they have before they read anything.
        .gateway_arg("--ping-interval=300s")
        .worker_arg(&format!("--max-concurrency={SLOTS}"))
        .start()
        .await;
    other_network(&stack).await;
    slow_creations(&stack, 3.0).await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let mut hogs = hogs(&stack, SOCKETS).await;
    let processes = [stack.gateways[0].process_id().await, stack.workers[0].process_id().await];
    let before = processes.map(resident);
    let mut large = hogs_meeting("large", "");
    large["filler"] = Value::from("x".repeat(FILLER));
    let sending = hogs.iter_mut().map(|hog| async {
        for _ in 0..REQUESTS {
            let request = json!({"id": 1, "endpoint": "meeting:createMeeting", "data": large}).to_string();
            hog.send_text(&request).await;
        }
    });
    join_all(sending).await;
    let mut peaks = [0; 2];
    let answering = async {
        let answering = hogs.iter_mut().map(|hog| async move {
            let mut refused = 0;
            for _ in 0..REQUESTS {
                let answer = hog.next_answer().await;
                assert!([0, 503, 504].contains(&code(&answer)), "{answer}");
                refused += usize::from(answer["error"]["message"] == "too many requests are waiting");
            }
            refused
        });
        join_all(answering).await.into_iter().sum::<usize>()
    };
    tokio::pin!(answering);
    let refused = loop {
        tokio::select! {
            refused = &mut answering => break refused,
            () = tokio::time::sleep(harness::eventually::PAUSE) => {
                for (peak, process) in peaks.iter_mut().zip(processes) {
                    *peak = resident(process).max(*peak);
                }
            }
        }
    };
    bystander.leave().await;
    assert!(refused > 0, "some found no place");
    let counted = stack.workers[0].metric("convene_worker_refused_total", &[]).await;
    assert_eq!(counted, refused as f64);
    let sent = (SOCKETS * REQUESTS * FILLER) as u64;
    let gateway_bound = SOCKETS as u64 * (SOCKET_BYTES + 2 * FILLER as u64) + BUS_BYTES + SLACK;
    let worker_bound = SLOTS * 64 * 16 * 1024 + BUS_BYTES + SLACK;
    for (n, bound) in [gateway_bound, worker_bound].into_iter().enumerate() {
        let grown = peaks[n].saturating_sub(before[n]);
        let who = ["gateway", "worker"][n];
        assert!(grown < bound, "{who}: {:.1} MiB of {:.1} sent; bound {:.1}", mib(grown), mib(sent), mib(bound));
        assert!(bound < sent, "or this says nothing");
    }
}

//! What an idle socket costs the gateway.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use harness::{Client, Stack};

use crate::Figure;

const BOUND_BYTES: f64 = 8.0 * 1024.0;

/// So many sockets are opened at once.
const CONCURRENCY: usize = 32;

/// Opens so many sockets, each of a user of its own, and measures what the gateway's process has grown by.
pub async fn measure(sockets: usize) -> Figure {
    let stack = Stack::builder().processes().worker_arg("--auto-provision").start().await;
    let process = stack.gateways[0].process_id().await;
    // A few first, so that what every process needs once is not counted.
    let warm = open(&stack, "warm", 200).await;
    let before = settled(process).await;
    let idle = open(&stack, "idle", sockets).await;
    let after = settled(process).await;
    let each = (after as f64 - before as f64) / sockets as f64;
    drop((warm, idle));
    Figure {
        name: "idle",
        measured: format!("{each:.0} bytes for each of {sockets} idle sockets"),
        against: format!("the process grew from {} to {} KiB", before / 1024, after / 1024),
        ratio: each / BOUND_BYTES,
        bound: Some(1.0),
    }
}

async fn open(stack: &Stack, prefix: &str, count: usize) -> Vec<Client> {
    stream::iter(0..count)
        .map(|n| async move {
            let user = format!("{prefix}-{n}");
            let mut client = stack.connect(0, &user).open().await.expect("let in");
            client.event("user_info").await;
            client
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

/// The process's resident memory once it has stopped changing, in bytes.
async fn settled(process: u32) -> u64 {
    let mut last = resident(process);
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = resident(process);
        if now.abs_diff(last) < 64 * 1024 {
            return now;
        }
        last = now;
    }
}

/// The process's resident memory, in bytes.
pub fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number of KiB");
    kib * 1024
}

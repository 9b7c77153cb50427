//! What too much of something costs, in memory, beside what the settings allow.

use futures::{StreamExt as _, future::join_all, stream};
use harness::{Client, Stack, eventually, process::resident};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::Figure;

/// What a socket may cost when nothing waits for it.
const SOCKET_BYTES: u64 = 8 * 1024;

/// `max-outbox-bytes`: what waits for sockets of one network is shared by them.
const OUTBOX_BYTES: u64 = 1024 * 1024;

/// Recent events and early ones of one network, each as it came and as a frame.
const STREAM_BYTES: u64 = 2 * (256 * 1024 + 4 * 1024 * 1024);

/// What may wait on its way to and from the bus.
const BUS_BYTES: u64 = 2 * 8 * 1024 * 1024;

/// `max-frame-bytes`: what a socket may have sent of a frame, and what is made of it.
const FRAME_BYTES: u64 = 2 * 256 * 1024;

/// Close to the largest that an event may be.
const EVENT_BYTES: usize = 480 * 1024;

/// So many sockets are opened at once.
const CONCURRENCY: usize = 32;

/// So many requests each socket of a flood sends at most before it is closed.
const REQUESTS: usize = 2_000;

/// Opens so many idle sockets, so many that do not read, and so many that flood, one after the other.
pub async fn measure(sockets: usize) -> Vec<Figure> {
    let stack = Stack::builder().processes().start().await;
    let processes = [stack.gateways[0].process_id().await, stack.workers[0].process_id().await];
    let warm = open(&stack, "alice", 100, None).await;
    let rest = processes.map(resident);
    let slots = 4 * (4 * std::thread::available_parallelism().map_or(1, usize::from)).max(8) as u64;
    // For each slot 64 places of 16 KiB, and the connections to the database.
    let worker_bound = slots * 1024 * 1024 + BUS_BYTES;
    let mut figures = Vec::new();
    let mut note = |name, what: String, peaks: [u64; 2], gateway_bound: u64| {
        for (n, (who, bound)) in [("gateway", gateway_bound), ("worker", worker_bound)].into_iter().enumerate() {
            let grown = peaks[n].saturating_sub(rest[n]);
            figures.push(Figure {
                name,
                measured: format!("{who} {:.1} MiB more with {what}", mib(grown)),
                against: format!("the settings allow {:.1} MiB", mib(bound)),
                ratio: grown as f64 / bound as f64,
                bound: Some(1.0),
            });
        }
    };

    let idle = open(&stack, "carol", sockets, None).await;
    let count = sockets as u64;
    note("idle", format!("{sockets} idle sockets"), processes.map(resident), count * SOCKET_BYTES);
    drop(idle);

    for round in 1..=2 {
        let readers = open(&stack, "bob", sockets, Some(4096)).await;
        let slow = (round * sockets) as f64;
        let closed = async || stack.gateways[0].metric("convene_sockets_closed_total", &[r#"code="4008""#]).await;
        let mut peaks = processes.map(resident);
        let mut seen = closed().await;
        while seen < slow {
            stack.tell(&["bob", "dave"], &json!({"filler": "x".repeat(EVENT_BYTES)})).await;
            for _ in 0..10 {
                tokio::time::sleep(eventually::PAUSE).await;
                peaks = [0, 1].map(|n| peaks[n].max(resident(processes[n])));
            }
            seen = closed().await;
        }
        let bound = count * SOCKET_BYTES + 2 * OUTBOX_BYTES + STREAM_BYTES + BUS_BYTES;
        note("slow readers", format!("{sockets} that do not read, round {round}"), peaks, bound);
        drop(readers);
        eventually!(stack.gateways[0].metric("convene_sockets", &[]).await, |open| *open <= 200.0);
    }

    let flooding = open(&stack, "bob", sockets, None).await.into_iter().map(|client| tokio::spawn(flood(client)));
    let flooded = join_all(flooding);
    tokio::pin!(flooded);
    let mut peaks = processes.map(resident);
    loop {
        tokio::select! {
            _ = &mut flooded => break,
            () = tokio::time::sleep(eventually::PAUSE) => {
                peaks = [0, 1].map(|n| peaks[n].max(resident(processes[n])));
            }
        }
    }
    let bound = count * (SOCKET_BYTES + FRAME_BYTES) + BUS_BYTES;
    note("floods", format!("{sockets} that flood"), peaks, bound);
    drop(warm);
    figures
}

async fn open(stack: &Stack, user: &str, count: usize, receive_buffer: Option<u32>) -> Vec<Client> {
    stream::iter(0..count)
        .map(|n| async move {
            let connect = stack.connect_as(0, user, "demo", &n.to_string());
            let connect = match receive_buffer {
                Some(bytes) => connect.receive_buffer(bytes),
                None => connect,
            };
            let mut client = connect.open().await.expect("let in");
            client.event("user_info").await;
            client
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

/// Sends requests of 8 KiB until the socket is closed for it.
async fn flood(mut client: Client) {
    let data = json!({"meetingId": "x", "filler": "x".repeat(8 * 1024)});
    let request = json!({"id": 1, "endpoint": "meeting:getMeeting", "data": data}).to_string();
    for _ in 0..REQUESTS {
        if !client.try_send_message(Message::text(request.clone())).await {
            return;
        }
    }
    client.closed().await;
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

//! More of everything than there is room for: each excess has its named outcome, memory stays bounded, and whoever behaves
//! goes on being served.

mod bus;
mod bystander;
mod database;
mod fairness;
mod floods;
mod frames;
mod handshakes;
mod memory;
mod presence;
mod readers;
mod refusals;

use futures::{StreamExt as _, stream};
use harness::{
    Client, Connect, Stack,
    eventually::{PATIENCE, PAUSE},
};
use serde_json::{Value, json};
use tokio::time::Instant;

/// What a socket costs at most beside what waits for it: measured at 8 KiB in a release build.
const SOCKET_BYTES: u64 = 32 * 1024;

/// `max-outbox-bytes` by default.
const OUTBOX_BYTES: u64 = 1024 * 1024;

/// What a gateway holds of a network: recent events, and those that came before their turn. Each event lies there twice, as
/// it came and as a frame.
const STREAM_BYTES: u64 = 2 * (256 * 1024 + 4 * 1024 * 1024);

/// What may wait in a process on its way to and from the bus.
const BUS_BYTES: u64 = 2 * 8 * 1024 * 1024;

/// What an allocator may keep of what was given back: nothing here is asserted closer than that.
const SLACK: u64 = 16 * 1024 * 1024;

/// So many sockets are opened at once: fewer than a pod's handshakes.
const OPENING: usize = 32;

/// Sockets of one user in `demo`, each a session of its own, that have taken their `user_info`.
async fn crowd(stack: &Stack, user: &str, sockets: usize, receive_buffer: Option<u32>) -> Vec<Client> {
    stream::iter(0..sockets)
        .map(|n| async move {
            let connect = stack.connect_as(0, user, "demo", &format!("{user}-{n}"));
            let connect = match receive_buffer {
                Some(bytes) => connect.receive_buffer(bytes),
                None => connect,
            };
            let mut client = open_again(connect).await;
            client.event("user_info").await;
            client
        })
        .buffer_unordered(OPENING)
        .collect()
        .await
}

/// Opens a socket as clients do: one that is told to come again does.
async fn open_again(connect: Connect) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connect.clone().open().await {
            Ok(client) => return client,
            Err(refused) => {
                assert_eq!((refused.status, refused.retry_after.is_some()), (503, true), "{refused:?}");
                assert!(Instant::now() < deadline, "it is never let in: {refused:?}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Has an event told that has a number and so many bytes.
async fn tell(stack: &Stack, recipients: &[&str], number: usize, bytes: usize) {
    stack.tell(recipients, &json!({"number": number, "filler": "x".repeat(bytes)})).await;
}

/// The numbers of events that were told.
fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["data"]["number"].as_u64().expect("a number")).collect()
}

fn code(answer: &Value) -> u64 {
    answer["error"]["code"].as_u64().expect("a code")
}

/// A meeting of the caller with himself.
fn meeting(subject: &str) -> Value {
    json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": subject, "startDate": "2099-01-01T10:00:00Z",
        "endDate": "2099-01-01T11:00:00Z"})
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

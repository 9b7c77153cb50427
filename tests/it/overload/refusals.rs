//! Pages that are refused, more of them than can be told why; and heartbeats that nobody asked for.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::{StreamExt as _, stream};
use harness::{Stack, eventually, eventually::PATIENCE, process::resident};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::{BUS_BYTES, SLACK, SOCKET_BYTES, bystander::Bystander, code, mib};

/// What [`gateway::admission::CLOSED_REFUSALS`] says.
const CLOSED_REFUSALS: usize = gateway::admission::CLOSED_REFUSALS;

/// So many ask at the same time.
const AT_ONCE: usize = 64;

/// A page asks with a bad token, and where it is accepted neither reads nor closes. The status, and the connection.
async fn refused(address: SocketAddr) -> (String, Option<TcpStream>) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\norigin: https://app.example\r\n\
         sec-websocket-protocol: convene, token.bad\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut status = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut status)).await.expect("waited in vain").expect("an answer");
    let status = String::from_utf8_lossy(&status[9..]).into_owned();
    if status == "101" {
        return (status, Some(stream));
    }
    timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("waited in vain").expect("the end");
    (status, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_pages_stays_within_its_places_and_keeps_nobody_out() {
    let stack = Stack::builder().processes().start().await;
    let gateway = &stack.gateways[0];
    let (address, process) = (gateway.public, gateway.process_id().await);
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let before = resident(process);
    let is_over = AtomicBool::new(false);
    let waiting = async || gateway.metric("convene_http_waiting", &[r#"listener="public""#]).await;

    // Until some were told by their status that there is no place left.
    let flood = async {
        let deadline = Instant::now() + PATIENCE;
        let (mut answered, mut held) = (BTreeMap::<String, usize>::new(), Vec::new());
        while answered.get("401").is_none_or(|refused| *refused < 100) {
            assert!(Instant::now() < deadline, "there is always a place: {answered:?}");
            let opened: Vec<_> =
                stream::iter(0..400).map(|_| refused(address)).buffer_unordered(AT_ONCE).collect().await;
            for (status, stream) in opened {
                held.extend(stream);
                *answered.entry(status).or_default() += 1;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        (answered, held)
    };
    let most = async {
        let mut most = 0.0_f64;
        while !is_over.load(Ordering::Relaxed) {
            most = most.max(waiting().await);
        }
        most
    };
    let let_in = async {
        for n in 0..20 {
            // Not once is there no place for it.
            let mut client = stack.connect_as(0, "bob", "demo", &n.to_string()).open().await.expect("let in");
            client.event("user_info").await;
            client.close().await;
        }
    };
    let ((answered, held), most, ()) = tokio::join!(flood, most, let_in);
    let grown = resident(process).saturating_sub(before);

    assert_eq!(answered.keys().collect::<Vec<_>>(), ["101", "401"]);
    assert!(answered["101"] >= CLOSED_REFUSALS, "{answered:?}");
    // Those that are told, those that ask, those whose connection has just ended, and who is let in.
    assert!(most <= (CLOSED_REFUSALS + 2 * AT_ONCE + 2) as f64, "{most}");
    assert!(most >= AT_ONCE as f64, "those that are told count as not upgraded: {most}");
    let bound = (CLOSED_REFUSALS + AT_ONCE + 100) as u64 * SOCKET_BYTES + BUS_BYTES + SLACK;
    assert!(grown < bound, "{:.1} MiB; bound {:.1}", mib(grown), mib(bound));
    let all = answered.values().sum::<usize>() as f64;
    assert_eq!(gateway.metric("convene_upgrades_refused_total", &["no valid session"]).await, all);
    assert_eq!(gateway.metric("convene_upgrades_refused_total", &["too many handshakes at once"]).await, 0.0);
    // Those that were told are let go of though they have closed nothing.
    for mut stream in held {
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed").expect("in order");
        let told = String::from_utf8_lossy(&rest);
        assert!(told.contains(r#"{"event":"invalidConnection","error":{"status":true,"code":4503,"#), "{told}");
    }
    eventually!(waiting().await, |waiting| *waiting == 0.0);
    bystander.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_text_heartbeats_keeps_nothing_and_harms_nobody() {
    const HEARTBEATS: usize = 30_000;
    let stack = Stack::builder().processes().start().await;
    let process = stack.gateways[0].process_id().await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let before = resident(process);
    let mut beating = Vec::new();
    for n in 0..8 {
        let connect =
            stack.connect_as(0, "bob", "demo", &n.to_string()).query("heartbeat", "text").receive_buffer(4096);
        let mut client = connect.let_in().await;
        client.event("user_info").await;
        beating.push(client);
    }
    let sent = stream::iter(&mut beating).for_each_concurrent(None, |client| async move {
        for _ in 0..HEARTBEATS {
            client.send_message(Message::text("{}")).await;
        }
    });
    sent.await;
    let grown = resident(process).saturating_sub(before);
    let bound = 8 * SOCKET_BYTES + BUS_BYTES + SLACK;
    assert!(grown < bound, "{:.1} MiB; bound {:.1}", mib(grown), mib(bound));
    for client in &mut beating {
        assert_eq!(code(&client.call("testVersionNotSupported", json!({})).await), 426, "it goes on");
        assert!(client.untaken_answers().is_empty() && client.untaken_events().is_empty());
    }
    bystander.leave().await;
}

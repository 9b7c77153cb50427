//! Refusals of those who see no status.

use std::time::Duration;

use futures::future::join_all;
use harness::{Client, Stack, eventually, token::token};
use serde_json::json;

use super::raw::{self, GOOD, exchange, frame, upgrade};

/// What makes a client one that sees no status.
const BLIND: [&[(&str, &str)]; 3] = [
    &[("origin", "https://app.example")],
    &[("sec-websocket-protocol", "convene")],
    &[("origin", "null"), ("sec-websocket-protocol", "soap, convene")],
];

/// Asks for an upgrade, which is refused: by this close code, and where the status is seen by that.
async fn is_refused(stack: &Stack, gateway: usize, token: &str, code: u16, status: u16) {
    let address = stack.gateways[gateway].public;
    let bearer = format!("Bearer {token}");
    let with = |more: &[(&str, &str)]| {
        upgrade("GET /ws HTTP/1.1", &[GOOD, &[("authorization", bearer.as_str())], more].concat())
    };
    for blind in BLIND {
        let mut stream = raw::open(address).await;
        let answer = stream.exchange(&with(blind)).await;
        let subprotocol = blind.iter().any(|(name, _)| *name == "sec-websocket-protocol").then_some("convene");
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, subprotocol), "{blind:?}");
        if code == 4503 {
            let told = stream.text().await;
            assert_eq!((&told["event"], &told["error"]["status"]), (&json!("invalidConnection"), &json!(true)));
            assert_eq!(told["error"]["code"], 4503, "{told}");
        }
        assert_eq!(stream.close().await, code, "{blind:?}");
        stream.send(&frame(0x88, &code.to_be_bytes())).await;
        stream.end().await;
    }
    let answer = exchange(address, &with(&[])).await;
    answer.is_refused(status, status, "it sees a status");
    assert_eq!(answer.header("retry-after").is_some(), status == 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_no_status_is_told_by_a_close_code_why_he_is_not_let_in() {
    const ROOM: usize = 12;
    let stack = Stack::builder()
        .processes()
        .gateways(2)
        .gateway_arg(&format!("--max-connections={ROOM}"))
        .drain(Duration::ZERO, Duration::from_secs(600))
        .start()
        .await;
    let refused = async |why: &str| stack.gateways[0].metric("convene_upgrades_refused_total", &[why]).await;
    let alice = token("alice", "demo", "session-of-alice");
    let mut elsewhere = stack.client(1, "alice").await;

    for bad in ["", "bad", &token("stranger", "demo", "s"), &token("alice", "nowhere", "s")] {
        is_refused(&stack, 0, bad, 4503, 401).await;
    }
    assert_eq!(refused("no valid session").await, 16.0);

    let opening = (0..ROOM).map(|n| stack.connect_as(0, "bob", "demo", &n.to_string()).let_in());
    let mut held: Vec<Client> = join_all(opening).await;
    is_refused(&stack, 0, &alice, 4013, 503).await;
    assert_eq!(refused("the pod is full").await, 4.0);

    // Its sockets are closed within ten minutes, and some are there until then.
    stack.gateways[0].begin_stop().await;
    let is_closing = async || {
        let bearer = format!("Bearer {alice}");
        let request = upgrade("GET /ws HTTP/1.1", &[GOOD, &[("authorization", bearer.as_str())]].concat());
        exchange(stack.gateways[0].public, &request).await.body["error"]["message"].take()
    };
    eventually!(is_closing().await, |message| message == "the pod is going away");
    is_refused(&stack, 0, &alice, 1012, 503).await;

    stack.workers[0].kill().await;
    is_refused(&stack, 1, &alice, 1012, 503).await;
    assert_eq!(
        stack.gateways[1].metric("convene_upgrades_refused_total", &["sessions can not be looked up now"]).await,
        4.0
    );
    // Nothing of all this took her session, and none of it was a socket.
    elsewhere.no_event().await;
    assert_eq!(stack.gateways[1].metric("convene_sockets", &[]).await, 1.0);
    for pod in &stack.gateways {
        for code in ["4503", "4013"] {
            let closed = pod.metric("convene_sockets_closed_total", &[&format!(r#"code="{code}""#)]).await;
            assert_eq!(closed, 0.0, "{code}");
        }
    }
    held.truncate(1);
}

#[tokio::test]
async fn a_refused_page_that_says_or_reads_nothing_is_gone_after_seconds() {
    let stack = Stack::builder().processes().start().await;
    let address = stack.gateways[0].public;
    let request = upgrade("GET /ws HTTP/1.1", &[GOOD, &[("origin", "null")]].concat());
    let waiting = async || stack.gateways[0].metric("convene_http_waiting", &[r#"listener="public""#]).await;
    // One does not answer the close, one talks on and on, one sends a frame that has no end, one what is no frame.
    let mut held = Vec::new();
    for bytes in [
        vec![],
        frame(0x81, b"{}").repeat(1000),
        vec![0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, b'x'],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        let mut stream = raw::open(address).await;
        assert_eq!(stream.exchange(&request).await.status, 101);
        stream.send(&bytes).await;
        held.push(stream);
    }
    assert!(waiting().await >= 1.0, "they count as not upgraded");
    for stream in &mut held {
        assert_eq!(stream.text().await["event"], "invalidConnection");
        assert_eq!(stream.close().await, 4503);
        stream.end().await;
    }
    eventually!(waiting().await, |waiting| *waiting == 0.0);
    // One that is gone before it could be told.
    for _ in 0..10 {
        let mut stream = raw::open(address).await;
        stream.send(request.as_bytes()).await;
    }
    eventually!(waiting().await, |waiting| *waiting == 0.0);
    stack.client(0, "alice").await;
    assert!(!stack.logged().contains("panicked"));
}

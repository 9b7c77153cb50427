//! `heartbeat=text`: signs of life that pages and Unity see.

use futures::{SinkExt as _, StreamExt as _};
use harness::Stack;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn text_heartbeats_take_the_place_of_pings() {
    let stack = Stack::builder().gateway_arg("--ping-interval=300ms").start().await;
    let mut socket = stack.connect(0, "alice").query("heartbeat", "text").upgrade().await.expect("let in");
    let mut heartbeats = 0;
    // One that answers lives on, beyond what one lives that does not.
    while heartbeats < 6 {
        let message = socket.next().await.expect("open").expect("open");
        match message {
            Message::Text(text) if text.as_str() == "{}" => {
                heartbeats += 1;
                socket.send(Message::text("{}")).await.expect("open");
            }
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!((&frame["event"], &frame["pingInterval"]), (&json!("user_info"), &json!(300)), "{frame}");
                assert!(frame["lastEventId"].is_string() && frame["data"].get("pingInterval").is_none(), "{frame}");
                assert_eq!(heartbeats, 0, "nothing is answered");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn who_answers_no_text_heartbeat_is_closed_with_4010() {
    let stack = Stack::builder().gateway_arg("--ping-interval=300ms").start().await;
    let mut silent = stack.connect(0, "alice").query("heartbeat", "text").open().await.expect("let in");
    silent.event("user_info").await;
    assert_eq!(silent.closed().await, Some(4010));
    assert!(silent.heartbeats() >= 1, "it was asked before");
    // Without the parameter there are pings, which libraries answer, and nothing to be seen of them.
    let mut pinged = stack.connect(0, "bob").upgrade().await.expect("let in");
    let mut texts = Vec::new();
    for pings in 0.. {
        match pinged.next().await.expect("open").expect("open") {
            Message::Text(text) => texts.push(text),
            Message::Ping(_) if pings < 6 => {}
            Message::Ping(_) => break,
            other => panic!("{other:?}"),
        }
    }
    let [info] = &texts[..] else { panic!("{texts:?}") };
    let info: Value = serde_json::from_str(info).expect("JSON");
    assert!(info["event"] == "user_info" && info.get("pingInterval").is_none(), "{info}");
}

#[tokio::test]
async fn a_text_heartbeat_is_neither_a_request_nor_malformed() {
    let stack = Stack::builder().gateway_arg("--rate-limit=1").gateway_arg("--rate-burst=25").start().await;
    let mut alice = stack.connect(0, "alice").query("heartbeat", "text").open().await.expect("let in");
    alice.event("user_info").await;
    // More than the rate, more than malformed frames in a row: not answered, not counted.
    for _ in 0..500 {
        alice.send_text("{}").await;
    }
    assert_eq!(alice.call("testVersionNotSupported", json!({})).await["error"]["code"], 426);
    assert_eq!(alice.untaken_answers(), Vec::<Value>::new());
    // Nor does one make good what was malformed.
    for _ in 0..19 {
        alice.send_text("nonsense").await;
        assert_eq!(alice.next_answer().await["error"]["code"], 400);
    }
    alice.send_text(" { } ").await;
    alice.send_text("nonsense").await;
    assert_eq!(alice.closed().await, Some(4500));
    // To others an empty object is a frame without an endpoint.
    let mut bob = stack.client(0, "bob").await;
    bob.send_text("{}").await;
    assert_eq!(bob.next_answer().await["error"]["code"], 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_drained_is_asked_on_until_its_last_answer() {
    let stack = Stack::builder()
        .processes()
        .gateway_arg("--ping-interval=1s")
        .gateway_arg("--request-timeout=5s")
        .start()
        .await;
    let mut socket = stack.connect(0, "alice").query("heartbeat", "text").upgrade().await.expect("let in");
    // Nobody answers, so the socket waits for its deadline.
    stack.workers[0].signal("STOP").await;
    let request = json!({"id": 1, "endpoint": "meeting:getMeeting", "data": {"meetingId": "x"}});
    socket.send(Message::text(request.to_string())).await.expect("open");
    // Once this is answered, that is on its way.
    socket.send(Message::text(r#"{"id":2,"endpoint":"testVersionNotSupported"}"#)).await.expect("open");
    let mut answers = Vec::new();
    let code = loop {
        match socket.next().await.expect("open").expect("open") {
            Message::Text(text) if text.as_str() == "{}" => socket.send(Message::text("{}")).await.expect("open"),
            Message::Text(text) => {
                let mut frame: Value = serde_json::from_str(&text).expect("JSON");
                if frame["id"] == 2 {
                    stack.gateways[0].begin_stop().await;
                }
                answers.push(frame["error"]["code"].take());
            }
            Message::Close(close) => break close.map(|close| u16::from(close.code)),
            other => panic!("{other:?}"),
        }
    };
    // user_info, the second request's, the first one's.
    assert_eq!((code, answers), (Some(1012), vec![json!(0), json!(426), json!(504)]));
    stack.workers[0].signal("CONT").await;
}

//! Clients that read too slowly, or not at all.

use harness::{Client, Stack};
use serde_json::{Value, json};

/// What Alice does below: as many updates as are more than the kernel and the outbox take together.
const UPDATES: usize = 250;

/// A meeting in a room is told of twice each time, by the deprecated event too: the creation and each update.
const EVENTS: usize = 2 * (1 + UPDATES);

/// A meeting that Bob is invited to, and its id.
async fn meeting(alice: &mut Client) -> Value {
    let meeting = json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": "0", "invitedUserIds": ["bob"],
        "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});
    alice.ask("meeting:createMeeting", meeting).await["meeting"]["meetingId"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_closed_with_4008_and_gets_the_rest_when_it_comes_back() {
    let stack = Stack::builder().gateway_arg("--rate-limit=100000").start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.connect(0, "bob").receive_buffer(4096).open().await.expect("let in");
    bob.event("user_info").await;
    let id = meeting(&mut alice).await;
    let large = "😀".repeat(10_000);
    for n in 1..=UPDATES {
        alice
            .ask("meeting:updateMeeting", json!({"meetingId": id, "subject": n.to_string(), "description": large}))
            .await;
    }
    assert_eq!(bob.closed().await, Some(4008));
    let read = bob.untaken_events();
    assert!(read.len() < EVENTS, "he was not slow");
    let last = read.last().expect("some came")["eventId"].as_str().expect("an id").to_owned();

    let mut bob = stack.connect(0, "bob").last_event_id(&last).open().await.expect("let in");
    bob.event("user_info").await;
    let mut events = read;
    while events.len() < EVENTS {
        events.push(bob.next_event().await);
    }
    let subjects: Vec<Value> = events.iter().map(|event| event["data"]["meeting"]["subject"].clone()).collect();
    let expected: Vec<Value> = (0..EVENTS).map(|n| json!((n / 2).to_string())).collect();
    assert_eq!(subjects, expected);
    // Alice, who read all the time, lacks nothing.
    for subject in expected {
        assert_eq!(alice.next_event().await["data"]["meeting"]["subject"], subject);
    }
}

#[tokio::test]
async fn a_client_whose_frame_is_under_way_for_long_is_not_without_a_sign_of_life() {
    let stack = Stack::builder().gateway_arg("--ping-interval=500ms").start().await;
    let mut slow = stack.client(0, "alice").await;
    // A text frame of 20 bytes, its mask zero. No pong can pass it.
    slow.send_bytes(&[0x81, 0x80 | 20, 0, 0, 0, 0]).await.expect("sent");
    for byte in br#"{"id":1,"endpoint":}"# {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        slow.send_bytes(&[*byte]).await.expect("the socket is open");
    }
    assert_eq!(slow.next_answer().await["error"]["code"], 400);
}

#[tokio::test]
async fn a_client_without_a_sign_of_life_is_closed_with_4010() {
    let stack = Stack::builder().gateway_arg("--ping-interval=500ms").start().await;
    // What is not polled answers no ping.
    let mut silent = stack.client(0, "alice").await;
    let mut lively = stack.client(0, "bob").await;
    tokio::time::timeout(std::time::Duration::from_secs(4), lively.closed()).await.expect_err("a live client stays");
    assert_eq!(silent.closed().await, Some(4010));
}

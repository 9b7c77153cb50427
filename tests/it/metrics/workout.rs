//! A little of everything that clients do, through the load balancer.

use harness::{Balancer, Client, Connect, Stack, token::token};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

/// Runs it; it may be run again.
pub async fn run(stack: &Stack, balancer: &Balancer) {
    let connect = |user: &str, sid: &str| Connect::to(balancer.public).token(&token(user, "demo", sid));
    let open = async |connect: Connect| -> Client {
        let mut client = connect.open().await.expect("let in");
        client.event("user_info").await;
        client
    };
    let mut alice = open(connect("alice", "a")).await;
    let mut bob = open(connect("bob", "b")).await;
    let first = alice.ask("meeting:createMeeting", meeting()).await["meeting"]["meetingId"].take();
    let heard = bob.event("meeting:onMeetingCreated").await;

    // What is refused: by the rules, by the namespace, by the gateway, for being too much.
    for (endpoint, data) in [
        ("meeting:createMeeting", json!({})),
        ("meeting:getMeeting", json!({"meetingId": "none"})),
        ("meeting:nothing", json!({})),
        ("nothing:nothing", json!({})),
        ("social:getEvents", json!({})),
        ("testVersionNotSupported", json!({})),
    ] {
        alice.call(endpoint, data).await;
    }
    let mut carol = open(connect("carol", "c")).await;
    for _ in 0..150 {
        carol.send("testVersionNotSupported", json!({}), None).await;
    }
    for _ in 0..150 {
        carol.next_answer().await;
    }

    // Going and coming back: in order, with a hole, with a place that nobody knows, in another's session, with nonsense.
    bob.close().await;
    alice.ask("meeting:updateMeeting", json!({"meetingId": first, "subject": "while Bob is away"})).await;
    let last = heard["eventId"].as_str().expect("an id");
    let mut bob = open(connect("bob", "b").last_event_id(last)).await;
    while bob.next_event().await["data"]["meeting"]["subject"] != "while Bob is away" {}
    let mut dave = open(connect("dave", "d").last_event_id("of another time")).await;
    dave.event("resyncRequired").await;
    let newer = open(connect("dave", "d")).await;
    assert_eq!(dave.closed().await, Some(4501));
    newer.close().await;
    carol.send_message(Message::binary(vec![0_u8])).await;
    assert_eq!(carol.closed().await, Some(1003));
    drop(bob);

    let calendar = format!("http://{}/api/v0/resource/sessionInvitation/none", balancer.public);
    let answer = harness::stack::http().get(calendar).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    stack.admin(reqwest::Method::GET, "/admin/users/alice/presence", "").await;
}

fn meeting() -> serde_json::Value {
    json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": "0", "invitedUserIds": ["bob"],
        "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"})
}

//! From a client's frame on one pod to an event on another, and the same after every process was restarted.

use harness::{Client, Stack};
use serde_json::{Value, json};

use crate::meeting::told_twice;

fn lunch() -> Value {
    json!({
        "sourceType": "room", "sourceIds": ["lobby"], "subject": "Lunch", "invitedUserIds": ["bob"],
        "startDate": "2099-05-01T12:00:00+02:00", "endDate": "2099-05-01T13:00:00+02:00",
    })
}

/// Alice invites Bob, Bob accepts; both hear both, once.
async fn alice_invites_bob(alice: &mut Client, bob: &mut Client) {
    let created = alice.ask("meeting:createMeeting", lunch()).await;
    let meeting = &created["meeting"];
    assert_eq!(meeting["participantIds"], json!(["alice", "bob"]));
    assert_eq!(meeting["startDate"], "2099-05-01T10:00:00Z");
    for client in [&mut *alice, &mut *bob] {
        let [event, deprecated] = told_twice(client, "meeting:onMeetingCreated").await;
        assert_eq!(event["data"], created);
        assert_eq!(deprecated["data"]["meeting"]["invitedUsers"][0]["status"], "received");
        assert!(event["eventId"].is_string(), "{event}");
    }
    let answer = bob.call("meeting:acceptMeetingRequest", json!({"meetingId": meeting["meetingId"]})).await;
    assert_eq!(answer["error"], json!({"status": false, "code": 0, "message": ""}));
    assert!(answer.get("data").is_none(), "the document shows none: {answer}");
    for client in [&mut *alice, &mut *bob] {
        let [event, deprecated] = told_twice(client, "meeting:onMeetingUpdated").await;
        assert_eq!(event["data"]["meeting"]["meetingId"], meeting["meetingId"]);
        assert_eq!(deprecated["data"]["meeting"]["invitedUsers"][0]["status"], "accepted");
    }
    // Whatever came twice would be here by the time the next round's events are.
    for client in [alice, bob] {
        client.no_event().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_both_pods_once_also_after_every_process_was_restarted() {
    let stack = Stack::builder().gateways(2).workers(2).processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(1, "bob").await;
    alice_invites_bob(&mut alice, &mut bob).await;

    for worker in &stack.workers {
        worker.restart().await;
    }
    alice_invites_bob(&mut alice, &mut bob).await;

    for gateway in &stack.gateways {
        gateway.restart().await;
    }
    assert_eq!(alice.closed().await, Some(1012));
    assert_eq!(bob.closed().await, Some(1012));
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(1, "bob").await;
    alice_invites_bob(&mut alice, &mut bob).await;

    let meetings = json!({"startDate": "2099-05-01T00:00:00Z", "endDate": "2099-05-02T00:00:00Z"});
    let listed = bob.ask("meeting:listUserMeetings", meetings).await;
    let statuses: Vec<&Value> = listed["meetings"].as_array().expect("a list").iter().map(|m| &m["status"]).collect();
    assert_eq!(statuses, ["accepted", "accepted", "accepted"]);
}

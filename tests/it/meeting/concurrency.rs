//! Many hands on one meeting at once.

use std::collections::BTreeMap;

use futures::future::join_all;
use harness::Stack;
use serde_json::{Value, json};

use super::{code, create, in_the_lobby, named, statuses, told_twice, with};

#[tokio::test]
async fn fifty_participants_answer_at_once_and_none_is_lost() {
    const MANY: usize = 50;
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let users: Vec<String> = (0..MANY).map(|n| format!("u{n}")).collect();
    let lines: Vec<Value> =
        users.iter().map(|user| json!({"kind": "user", "id": user, "networkIds": ["demo"]})).collect();
    stack.import_all(&lines).await;
    let mut bob = stack.client(0, "bob").await;
    let mut clients = join_all(users.iter().enumerate().map(|(n, user)| stack.client(n % 2, user))).await;
    let invited: Vec<&str> = users.iter().map(String::as_str).collect();
    let meeting = create(&mut bob, in_the_lobby(&invited)).await;
    let answers = clients.iter_mut().enumerate().map(async |(n, client)| {
        let endpoint = if n % 2 == 0 { "meeting:acceptMeetingRequest" } else { "meeting:declineMeetingRequest" };
        code(client, endpoint, named(&meeting)).await
    });
    assert_eq!(join_all(answers).await, vec![0; MANY]);

    let statuses = statuses(&stack, &meeting).await;
    for (n, (user, status)) in statuses.iter().skip(1).enumerate() {
        assert_eq!((user, status.as_str()), (&users[n], if n % 2 == 0 { "accepted" } else { "declined" }));
    }
    told_twice(&mut bob, "meeting:onMeetingCreated").await;
    for _ in 0..MANY {
        told_twice(&mut bob, "meeting:onMeetingUpdated").await;
    }
    bob.ask("meeting:deleteMeeting", named(&meeting)).await;
    told_twice(&mut bob, "meeting:onMeetingDeleted").await;
}

#[tokio::test]
async fn updates_at_once_are_done_and_told_one_after_the_other() {
    // Fewer than a socket may have in flight.
    const UPDATES: usize = 30;
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut watcher = stack.client(1, "carol").await;
    let mut bob = stack.client(0, "bob").await;
    let mut before = create(&mut bob, in_the_lobby(&["carol"])).await;
    told_twice(&mut watcher, "meeting:onMeetingCreated").await;
    for n in 0..UPDATES {
        let field = if n % 2 == 0 { "subject" } else { "description" };
        bob.send("meeting:updateMeeting", with(named(&before), json!({field: n.to_string()})), None).await;
    }
    for _ in 0..UPDATES {
        assert_eq!(bob.next_answer().await["error"]["code"], 0);
    }
    for _ in 0..UPDATES {
        let [mut event, deprecated] = told_twice(&mut watcher, "meeting:onMeetingUpdated").await;
        let after = event["data"]["meeting"].take();
        assert_eq!(deprecated["data"]["meeting"]["subject"], after["subject"]);
        let changed = ["subject", "description"].iter().filter(|field| after[**field] != before[**field]).count();
        assert_eq!(changed, 1, "each keeps what the one before it has changed: {before} {after}");
        before = after;
    }
    assert_eq!(bob.ask("meeting:getMeeting", named(&before)).await["meeting"], before);
}

#[tokio::test]
async fn what_is_updated_and_deleted_at_once_ends_deleted() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut watcher = stack.client(1, "carol").await;
    let mut one = stack.client(0, "bob").await;
    let mut other = stack.connect_as(1, "bob", "demo", "another session").open().await.expect("let in");
    for n in 0..10 {
        let meeting = create(&mut one, in_the_lobby(&["carol"])).await;
        let update = with(named(&meeting), json!({"subject": n.to_string()}));
        let (updated, deleted) = tokio::join!(
            code(&mut one, "meeting:updateMeeting", update),
            code(&mut other, "meeting:deleteMeeting", named(&meeting)),
        );
        assert_eq!(deleted, 0);
        assert!(updated == 0 || updated == 404, "{updated}");
        assert_eq!(code(&mut one, "meeting:getMeeting", named(&meeting)).await, 404);
        told_twice(&mut watcher, "meeting:onMeetingCreated").await;
        if updated == 0 {
            told_twice(&mut watcher, "meeting:onMeetingUpdated").await;
        }
        let [gone, _] = told_twice(&mut watcher, "meeting:onMeetingDeleted").await;
        assert_eq!(gone["data"], named(&meeting), "nothing comes after it");
    }
}

#[tokio::test]
async fn m7_nobody_who_is_just_leaving_is_left_in_a_new_meeting() {
    let stack = Stack::builder().workers(2).start().await;
    let mut bob = stack.client(0, "bob").await;
    for n in 0..10 {
        let user = format!("leaver{n}");
        stack.import_all(&[json!({"kind": "user", "id": user, "networkIds": ["demo"]})]).await;
        let gone = [json!({"kind": "user", "id": user, "deleted": true})];
        let data = with(in_the_lobby(&[&user]), json!({"subject": user}));
        let (answer, ()) = tokio::join!(bob.call("meeting:createMeeting", data), stack.import_all(&gone));
        match answer["error"]["code"].as_u64() {
            Some(0) => {
                let meeting = bob.ask("meeting:getMeeting", named(&answer["data"]["meeting"])).await;
                assert_eq!(meeting["meeting"]["participantIds"], json!(["bob"]), "made first, left after");
            }
            code => assert_eq!(code, Some(404), "left first: {answer}"),
        }
    }
}

#[tokio::test]
async fn a_room_that_is_deleted_meanwhile_leaves_an_invalid_meeting_or_none() {
    let stack = Stack::builder().workers(2).start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut outcomes = BTreeMap::new();
    for n in 0..10 {
        let room = format!("room{n}");
        stack.import_all(&[json!({"kind": "room", "id": room, "networkId": "demo", "isPublic": true})]).await;
        let gone = [json!({"kind": "room", "id": room, "deleted": true})];
        let data = with(in_the_lobby(&[]), json!({"sourceIds": [room]}));
        let (answer, ()) = tokio::join!(bob.call("meeting:createMeeting", data), stack.import_all(&gone));
        let code = answer["error"]["code"].as_u64().expect("a code");
        *outcomes.entry(code).or_insert(0) += 1;
        if code == 0 {
            let meeting = bob.ask("meeting:getMeeting", named(&answer["data"]["meeting"])).await;
            assert_eq!(meeting["meeting"]["isValid"], false);
        }
    }
    assert!(outcomes.keys().all(|code| [0, 802].contains(code)), "{outcomes:?}");
}

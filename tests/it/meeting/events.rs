//! What is pushed, to whom, and what is not: rules M4, M5, M11.

use harness::{Client, Stack};
use serde_json::{Value, json};

use super::{People, create, in_the_lobby, named, refused, statuses, with};

/// Names and data of what was pushed to a user, up to a meeting that is made for it: so what is not there was not sent.
pub(super) async fn pushed(stack: &Stack, user: &str, client: &mut Client) -> Vec<(String, Value)> {
    let mut marker = stack.connect_as(0, "alice", "demo", "marker").open().await.expect("let in");
    let direct = json!({"sourceType": "direct", "sourceIds": [user], "subject": "the end"});
    let other = json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": "the end"});
    let data = with(in_the_lobby(&[]), if user == "alice" { other } else { direct });
    let end = create(&mut marker, data).await;
    marker.close().await;
    let mut pushed = Vec::new();
    loop {
        let mut event = client.next_event().await;
        assert!(event["eventId"].is_string(), "{event}");
        let data = event["data"].take();
        if data["meeting"]["meetingId"] == end["meetingId"] {
            if user == "alice" {
                client.event("meeting:meetingUpdated").await;
            }
            return pushed;
        }
        pushed.push((event["event"].as_str().expect("a name").to_owned(), data));
    }
}

#[tokio::test]
async fn m11_all_participants_receive_each_change_once() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let created = create(&mut people.bob, in_the_lobby(&["carol"])).await;
    let update = with(named(&created), json!({"subject": "Other plans"}));
    let updated = people.bob.ask("meeting:updateMeeting", update).await;
    assert_eq!(updated["meeting"], with(created.clone(), json!({"subject": "Other plans"})));
    people.carol.ask("meeting:acceptMeetingRequest", named(&created)).await;
    people.bob.ask("meeting:deleteMeeting", named(&created)).await;

    let expected = [
        ("meeting:onMeetingCreated".to_owned(), json!({"meeting": created})),
        ("meeting:onMeetingUpdated".to_owned(), updated.clone()),
        ("meeting:onMeetingUpdated".to_owned(), updated),
        ("meeting:onMeetingDeleted".to_owned(), named(&created)),
    ];
    assert_eq!(pushed(&stack, "alice", &mut people.alice).await, [], "a manager does not take part");
    let to_bob = pushed(&stack, "bob", &mut people.bob).await;
    assert_eq!(pushed(&stack, "carol", &mut people.carol).await, to_bob);
    assert_eq!(pushed(&stack, "dave", &mut people.dave).await, []);
    // Each with its deprecated one right after it; those have tests of their own.
    let (current, deprecated): (Vec<_>, Vec<_>) = to_bob.chunks(2).map(|two| (two[0].clone(), two[1].clone())).unzip();
    assert_eq!(current, expected);
    let names: Vec<&str> = deprecated.iter().map(|(name, _)| name.as_str()).collect();
    let updated = "meeting:meetingUpdated";
    assert_eq!(names, [updated, updated, updated, "meeting:meetingDeleted"]);
}

#[tokio::test]
async fn m4_a_changed_time_asks_everybody_again() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol", "dave", "alice"])).await;
    people.carol.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
    people.dave.ask("meeting:declineMeetingRequest", named(&meeting)).await;

    let texts = json!({"subject": "Other plans", "description": "", "color": {"r": 0.25}});
    let changed = people.bob.ask("meeting:updateMeeting", with(named(&meeting), texts)).await;
    assert_eq!(changed["meeting"]["color"], json!({"r": 0.25, "g": 0.0, "b": 0.0, "a": 0.0}));
    let words: Vec<String> = statuses(&stack, &meeting).await.into_iter().map(|(_, status)| status).collect();
    assert_eq!(words, ["accepted", "accepted", "declined", "received"], "a changed text asks nobody");
    assert_eq!(sequence(&stack, &meeting).await, 0);

    for (changes, raised) in
        [(json!({"endDate": "2030-01-01T12:00:00Z"}), 1), (json!({"startDate": "2030-01-01T11:00:00Z"}), 2)]
    {
        people.carol.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
        let moved = people.bob.ask("meeting:updateMeeting", with(named(&meeting), changes.clone())).await;
        assert_eq!(moved["meeting"], with(moved["meeting"].clone(), changes));
        let words: Vec<String> = statuses(&stack, &meeting).await.into_iter().map(|(_, status)| status).collect();
        assert_eq!(words, ["accepted", "received", "received", "received"]);
        assert_eq!(sequence(&stack, &meeting).await, raised);
    }
}

async fn sequence(stack: &Stack, meeting: &Value) -> i32 {
    sqlx::query_scalar("SELECT sequence FROM meetings WHERE id = $1::uuid")
        .bind(meeting["meetingId"].as_str().expect("an id"))
        .fetch_one(&mut stack.database().await)
        .await
        .expect("the meeting")
}

async fn updated(stack: &Stack, meeting: &Value) -> String {
    sqlx::query_scalar("SELECT updated_at::text FROM meetings WHERE id = $1::uuid")
        .bind(meeting["meetingId"].as_str().expect("an id"))
        .fetch_one(&mut stack.database().await)
        .await
        .expect("the meeting")
}

#[tokio::test]
async fn m4_an_update_without_a_change_pushes_nothing() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol"])).await;
    people.carol.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
    let before = updated(&stack, &meeting).await;
    for changes in [
        json!({}),
        json!({"subject": null, "startDate": "0001-01-01T00:00:00Z", "endDate": null}),
        json!({"subject": "Plans", "description": "For the year", "color": {"r": 1, "g": 0.5, "b": 0.0, "a": 1}}),
        json!({"startDate": "2030-01-01T11:00:00.0000001+01:00", "endDate": "2030-01-01T11:00:00Z"}),
    ] {
        let answer = people.bob.ask("meeting:updateMeeting", with(named(&meeting), changes)).await;
        assert_eq!(answer["meeting"], meeting);
    }
    assert_eq!(updated(&stack, &meeting).await, before);
    let names: Vec<String> =
        pushed(&stack, "carol", &mut people.carol).await.into_iter().map(|(name, _)| name).collect();
    let deprecated = "meeting:meetingUpdated";
    let expected = ["meeting:onMeetingCreated", deprecated, "meeting:onMeetingUpdated", deprecated];
    assert_eq!(names, expected, "created, accepted");
}

#[tokio::test]
async fn m4_an_update_keeps_the_limits_of_a_meeting() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let meeting = create(&mut bob, in_the_lobby(&[])).await;
    for (changes, field) in [
        (json!({"subject": ""}), "data.subject"),
        (json!({"description": "é".repeat(10_001)}), "data.description"),
        (json!({"startDate": "2030-01-01T11:00:00Z"}), "data.endDate"),
        (json!({"endDate": "2030-01-01T10:00:00Z"}), "data.endDate"),
        (json!({"endDate": "2030-02-01T10:00:01Z"}), "data.endDate"),
    ] {
        let (code, message) = refused(&mut bob, "meeting:updateMeeting", with(named(&meeting), changes)).await;
        assert_eq!((code, message.starts_with(&format!("{field}: "))), (400, true), "{message}");
    }
    assert_eq!(bob.ask("meeting:getMeeting", named(&meeting)).await["meeting"], meeting);
}

#[tokio::test]
async fn m5_the_same_answer_again_is_fine_and_pushes_nothing() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol"])).await;
    for answer in ["accept", "accept", "decline", "decline", "accept"] {
        let frame = people.carol.call(&format!("meeting:{answer}MeetingRequest"), named(&meeting)).await;
        assert_eq!(frame["error"]["code"], 0);
        assert_eq!(frame.get("data"), None, "the documents show none");
    }
    assert_eq!(statuses(&stack, &meeting).await[1], ("carol".to_owned(), "accepted".to_owned()));
    let pushed = pushed(&stack, "bob", &mut people.bob).await;
    let names: Vec<&str> = pushed.iter().map(|(name, _)| name.as_str()).collect();
    let [created, updated, deprecated] =
        ["meeting:onMeetingCreated", "meeting:onMeetingUpdated", "meeting:meetingUpdated"];
    let expected = [created, deprecated, updated, deprecated, updated, deprecated, updated, deprecated];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn m5_a_meeting_that_has_ended_is_not_answered_any_more() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let past = json!({"startDate": "2020-01-01T10:00:00Z", "endDate": "2020-01-01T11:00:00Z"});
    let meeting = create(&mut people.bob, with(in_the_lobby(&["carol"]), past)).await;
    for answer in ["accept", "decline"] {
        let endpoint = format!("meeting:{answer}MeetingRequest");
        assert_eq!(refused(&mut people.carol, &endpoint, named(&meeting)).await.0, 409);
    }
    assert_eq!(statuses(&stack, &meeting).await[1].1, "received");
    let future = with(named(&meeting), json!({"endDate": "2020-01-31T00:00:00Z"}));
    people.bob.ask("meeting:updateMeeting", future).await;
    people.bob.ask("meeting:deleteMeeting", named(&meeting)).await;
}

/// How often each event stands in the log of `demo`, and what waits to be moved there.
async fn logged(stack: &Stack) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT name, count(*) FROM (SELECT name FROM event_log WHERE network_id = 'demo'
             UNION ALL SELECT name FROM outbox WHERE network_id = 'demo') AS all_of_them
         GROUP BY name ORDER BY name",
    )
    .fetch_all(&mut stack.database().await)
    .await
    .expect("the events")
}

#[tokio::test]
async fn m11_without_deprecated_events_the_twin_costs_nothing() {
    let stack = Stack::builder().worker_arg("--deprecated-events=off").start().await;
    let mut people = People::of(&stack).await;
    // Nothing but the deprecated twin shows people's names. Whatever looks them up waits for this lock, and fails.
    let mut database = stack.database().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").execute(&mut database).await.expect("the lock");
    for place in [json!({}), json!({"sourceType": "prop", "sourceIds": ["lobby", "table"]})] {
        let meeting = create(&mut people.bob, with(in_the_lobby(&["carol", "dave"]), place)).await;
        let change = with(named(&meeting), json!({"subject": "Other plans"}));
        let changed = people.bob.ask("meeting:updateMeeting", change.clone()).await;
        assert_eq!(people.bob.ask("meeting:updateMeeting", change).await, changed, "nothing new");
        people.carol.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
        people.dave.ask("meeting:declineMeetingRequest", named(&meeting)).await;
        people.bob.ask("meeting:delete", named(&meeting)).await;
        for client in [&mut people.bob, &mut people.carol, &mut people.dave] {
            let told = client.event("meeting:onMeetingCreated").await;
            assert_eq!(told["data"]["meeting"], meeting);
            for _ in 0..3 {
                let told = client.event("meeting:onMeetingUpdated").await;
                assert_eq!(told["data"], changed);
            }
            assert_eq!(client.event("meeting:onMeetingDeleted").await["data"], named(&meeting));
        }
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut database).await.expect("the end of the lock");
    let expected = [("meeting:onMeetingCreated", 2), ("meeting:onMeetingDeleted", 2), ("meeting:onMeetingUpdated", 6)];
    assert_eq!(logged(&stack).await, expected.map(|(name, count)| (name.to_owned(), count)));
}

#[tokio::test]
async fn m11_without_deprecated_events_their_endpoints_answer_as_before() {
    let stack = Stack::builder().worker_arg("--deprecated-events=false").start().await;
    let mut people = People::of(&stack).await;
    let new = json!({"subject": "Plans", "roomId": "lobby", "propId": "table", "invitedUserIds": ["carol", "dave"],
        "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z"});
    let meeting = people.bob.ask("meeting:create", json!({"meeting": new})).await["meeting"].take();
    assert_eq!((&meeting["prop"]["title"], &meeting["organizer"]["id"]), (&json!("Round table"), &json!("bob")));
    let id = json!({"meetingId": meeting["id"]});
    let changed = people.bob.ask("meeting:update", with(id.clone(), json!({"meeting": {"propId": ""}}))).await;
    assert_eq!(changed["meeting"]["room"]["title"], "Lobby");
    assert_eq!(people.carol.ask("meeting:get", id.clone()).await, changed);
    let range = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-01-02T00:00:00Z"});
    let listed = people.carol.ask("meeting:listUserMeetingsInDateRange", range).await;
    assert_eq!(listed, json!({"meetings": [changed["meeting"]]}));
    // One who leaves is told of, too.
    stack.import_all(&[json!({"kind": "user", "id": "dave", "deleted": true})]).await;
    people.bob.ask("meeting:delete", id.clone()).await;
    let created = people.carol.event("meeting:onMeetingCreated").await;
    assert_eq!(created["data"]["meeting"]["participantIds"], json!(["bob", "carol", "dave"]));
    people.carol.event("meeting:onMeetingUpdated").await;
    let left = people.carol.event("meeting:onMeetingUpdated").await;
    assert_eq!(left["data"]["meeting"]["participantIds"], json!(["bob", "carol"]));
    people.carol.event("meeting:onMeetingDeleted").await;
    let expected = [("meeting:onMeetingCreated", 1), ("meeting:onMeetingDeleted", 1), ("meeting:onMeetingUpdated", 2)];
    assert_eq!(logged(&stack).await, expected.map(|(name, count)| (name.to_owned(), count)));
}

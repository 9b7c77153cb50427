//! The deprecated endpoints and events: views of the same meetings, of source room or prop. Rules M10, M11.

use harness::{Client, Stack};
use serde_json::{Value, json};
use shared::api::Resource;

use super::{People, code, create, events::pushed, in_the_lobby, named, refused, statuses, told_twice, with};

/// The same as [`in_the_lobby`], as the deprecated endpoints take it.
fn planned(invited: &[&str], changes: Value) -> Value {
    let meeting = json!({
        "subject": "Plans", "roomId": "lobby", "color": {"r": 1, "g": 0.5, "b": 0, "a": 1}, "invitedUserIds": invited,
        "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z",
    });
    json!({"meeting": with(meeting, changes)})
}

/// Creates a meeting the deprecated way and returns it.
async fn plan(client: &mut Client, data: Value) -> Value {
    client.ask("meeting:create", data).await["meeting"].take()
}

/// Reads a meeting the deprecated way.
async fn get(client: &mut Client, meeting: &Value) -> Value {
    client.ask("meeting:get", id_of(meeting)).await["meeting"].take()
}

/// The request that names a meeting of either kind.
fn id_of(meeting: &Value) -> Value {
    let id = if meeting["id"].is_string() { &meeting["id"] } else { &meeting["meetingId"] };
    json!({"meetingId": id})
}

/// The request that changes one.
fn change(meeting: &Value, changes: Value) -> Value {
    let mut data = id_of(meeting);
    data["meeting"] = changes;
    data
}

/// Where a meeting of either kind is, as the current endpoints tell it.
async fn source(client: &mut Client, meeting: &Value) -> String {
    let mut meeting = client.ask("meeting:getMeeting", id_of(meeting)).await["meeting"].take();
    assert!(meeting["sourceString"].as_str().expect("text").starts_with(meeting["sourceType"].as_str().expect("text")));
    serde_json::from_value(meeting["sourceString"].take()).expect("text")
}

fn deleted(kind: &str, id: &str) -> Value {
    json!({"kind": kind, "id": id, "deleted": true})
}

/// "User simple structure" of somebody of whom only the first name is known.
fn user(id: &str) -> Value {
    json!({"id": id, "firstName": id, "lastName": "", "privacyMode": 0, "avatar": "", "companyName": "",
           "companyTitle": ""})
}

fn empty_resource() -> Value {
    serde_json::to_value(Resource::default()).expect("JSON")
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

const CREATED: &str = "meeting:onMeetingCreated";
const UPDATED: &str = "meeting:onMeetingUpdated";
const DELETED: &str = "meeting:onMeetingDeleted";

#[tokio::test]
async fn a_meeting_is_answered_whole_with_its_room_its_prop_and_its_people() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "room", "id": "lobby", "thumbnail": {"id": "pic", "customParams": {"b": 1.10, "a": 2}}}),
            json!({"kind": "user", "id": "carol", "lastName": "Doe", "privacyMode": 1, "avatar": "face",
                   "avatar3D": {"assetId": "hat", "assetSkins": {"a": "red"}}, "companyName": "Acme",
                   "companyTitle": "Boss"}),
        ])
        .await;
    let mut people = People::of(&stack).await;
    let answer =
        people.bob.call("meeting:create", planned(&["dave", "carol", "bob"], json!({"propId": "table"}))).await;
    let meeting = &answer["data"]["meeting"];
    let carol = json!({"id": "carol", "firstName": "carol", "lastName": "Doe", "privacyMode": 1, "avatar": "face",
        "avatar3D": {"assetId": "hat", "assetSkins": {"a": "red"}, "avatarUrl": "", "avatarUserId": ""},
        "companyName": "Acme", "companyTitle": "Boss"});
    let thumbnail = with(empty_resource(), json!({"id": "pic", "customParams": {"b": 1.10, "a": 2}}));
    let expected = json!({
        "id": answer["id"],
        "endpoint": "meeting:create",
        "data": {"meeting": {
            "id": meeting["id"], "created": meeting["created"], "updated": meeting["created"],
            "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z", "subject": "Plans",
            "roomId": "lobby", "propId": "table", "color": {"r": 1.0, "g": 0.5, "b": 0.0, "a": 1.0}, "isValid": true,
            "room": {"id": "lobby", "title": "Lobby", "thumbnail": thumbnail},
            "prop": {"id": "table", "title": "Round table"},
            "organizer": user("bob"),
            "invitedUsers": [{"user": user("dave"), "status": "received"}, {"user": carol, "status": "received"}],
        }},
        "error": {"status": false, "code": 0, "message": ""},
    });
    assert_eq!(answer, expected);
    let id = uuid::Uuid::parse_str(meeting["id"].as_str().expect("an id")).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    for client in [&mut people.alice, &mut people.bob, &mut people.carol] {
        assert_eq!(get(client, meeting).await, *meeting, "incognito is not hidden from anybody");
    }
    people.carol.ask("meeting:acceptMeetingRequest", id_of(meeting)).await;
    people.dave.ask("meeting:declineMeetingRequest", id_of(meeting)).await;
    let answered = get(&mut people.bob, meeting).await;
    let answers: Vec<&Value> =
        answered["invitedUsers"].as_array().expect("a list").iter().map(|i| &i["status"]).collect();
    assert_eq!(answers, ["declined", "accepted"]);
    assert_ne!(answered["updated"], meeting["updated"]);
}

#[tokio::test]
async fn m10_without_a_prop_a_meeting_is_of_the_room_and_shows_an_empty_prop() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    for nothing in [json!({}), json!({"propId": ""}), json!({"propId": null})] {
        let meeting = plan(&mut bob, planned(&[], nothing)).await;
        assert_eq!([&meeting["roomId"], &meeting["propId"]], ["lobby", ""]);
        assert_eq!(meeting["prop"], json!({"id": "", "title": ""}));
        assert_eq!(meeting["room"]["thumbnail"], empty_resource());
        assert_eq!(source(&mut bob, &meeting).await, "room:demo:lobby");
    }
}

#[tokio::test]
async fn m10_the_current_endpoints_know_what_the_deprecated_ones_made() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let planned = plan(&mut people.bob, planned(&["carol"], json!({"propId": "table"}))).await;
    let meeting = people.carol.ask("meeting:getMeeting", id_of(&planned)).await["meeting"].take();
    let expected = with(
        in_the_lobby(&[]),
        json!({"meetingId": planned["id"], "created": planned["created"], "description": "", "isValid": true,
            "organizerId": "bob", "participantIds": ["bob", "carol"], "sourceString": "prop:demo:lobby:table",
            "sourceType": "prop", "sourcePk": "lobby:table", "networkId": "demo",
            "color": {"r": 1.0, "g": 0.5, "b": 0.0, "a": 1.0}}),
    );
    for (field, value) in meeting.as_object().expect("an object") {
        assert_eq!(*value, expected[field], "{field}");
    }
    let later = json!({"subject": "Later", "description": "Long", "endDate": "2030-01-01T12:00:00Z"});
    people.bob.ask("meeting:updateMeeting", with(named(&meeting), later)).await;
    let seen = get(&mut people.carol, &planned).await;
    assert_eq!([&seen["subject"], &seen["endDate"]], ["Later", "2030-01-01T12:00:00Z"]);
    people.bob.ask("meeting:deleteMeeting", named(&meeting)).await;
    assert_eq!(refused(&mut people.bob, "meeting:get", id_of(&planned)).await.0, 404);
}

#[tokio::test]
async fn m10_the_deprecated_endpoints_know_what_the_current_ones_made() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let prop = json!({"sourceType": "prop", "sourceIds": ["lobby+table"]});
    let meeting = create(&mut people.bob, with(in_the_lobby(&["carol"]), prop)).await;
    people.carol.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
    let seen = get(&mut people.carol, &meeting).await;
    assert_eq!(seen["id"], meeting["meetingId"]);
    assert_eq!([&seen["roomId"], &seen["propId"]], ["lobby", "table"]);
    assert_eq!(seen["invitedUsers"], json!([{"user": user("carol"), "status": "accepted"}]));

    let changes = json!({"subject": "Other plans", "color": {"b": 1}});
    let updated = people.bob.ask("meeting:update", change(&seen, changes)).await["meeting"].take();
    let color = json!({"r": 0.0, "g": 0.0, "b": 1.0, "a": 0.0});
    let expected = json!({"subject": "Other plans", "color": color, "updated": updated["updated"]});
    assert_eq!(updated, with(seen, expected));
    let current = people.carol.ask("meeting:getMeeting", named(&meeting)).await["meeting"].take();
    assert_eq!(current, with(meeting.clone(), json!({"subject": "Other plans", "color": color})), "description stays");

    let gone = people.bob.call("meeting:delete", named(&meeting)).await;
    assert_eq!((&gone["error"]["code"], gone.get("data")), (&json!(0), None));
    assert_eq!(refused(&mut people.bob, "meeting:getMeeting", named(&meeting)).await.0, 404);
}

#[tokio::test]
async fn m10_an_update_moves_a_meeting_and_what_is_missing_stays() {
    let stack = Stack::builder().start().await;
    stack.import_all(&[json!({"kind": "prop", "id": "sofa", "roomId": "lobby", "title": "Sofa"})]).await;
    let mut bob = stack.client(0, "bob").await;
    let meeting = plan(&mut bob, planned(&["carol"], json!({"propId": "table"}))).await;
    for (changes, place) in [
        (json!({}), "prop:demo:lobby:table"),
        (json!({"subject": "Other plans"}), "prop:demo:lobby:table"),
        (json!({"roomId": null, "propId": null}), "prop:demo:lobby:table"),
        (json!({"roomId": "lobby"}), "prop:demo:lobby:table"),
        (json!({"propId": "sofa"}), "prop:demo:lobby:sofa"),
        (json!({"roomId": "stage"}), "room:demo:stage"),
        (json!({"propId": "screen"}), "prop:demo:stage:screen"),
        (json!({"propId": ""}), "room:demo:stage"),
        (json!({"roomId": "lobby", "propId": "table"}), "prop:demo:lobby:table"),
        (json!({"roomId": "lobby", "propId": ""}), "room:demo:lobby"),
        (json!({"roomId": "stage", "propId": ""}), "room:demo:stage"),
    ] {
        let updated = bob.ask("meeting:update", change(&meeting, changes.clone())).await["meeting"].take();
        assert_eq!(source(&mut bob, &meeting).await, place, "{changes}");
        assert_eq!(get(&mut bob, &meeting).await, updated);
        let mut parts = place.split(':').skip(2);
        let expected = [parts.next(), parts.next()].map(Option::unwrap_or_default);
        assert_eq!([&updated["roomId"], &updated["propId"]], expected, "{changes}");
        assert_eq!([&updated["room"]["id"], &updated["prop"]["id"]], expected, "{changes}");
    }
    let last = get(&mut bob, &meeting).await;
    assert_eq!(
        [&last["subject"], &last["startDate"], &last["color"]],
        [&json!("Other plans"), &meeting["startDate"], &meeting["color"]]
    );
}

#[tokio::test]
async fn m10_a_changed_place_is_no_changed_time() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol", "dave"])).await;
    people.carol.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
    people.dave.ask("meeting:declineMeetingRequest", named(&meeting)).await;
    people.bob.ask("meeting:update", change(&meeting, json!({"roomId": "stage", "propId": "screen"}))).await;
    let words: Vec<String> = statuses(&stack, &meeting).await.into_iter().map(|(_, status)| status).collect();
    assert_eq!(words, ["accepted", "accepted", "declined"]);
    let sequence: i32 =
        sqlx::query_scalar("SELECT sequence FROM meetings").fetch_one(&mut stack.database().await).await.expect("one");
    assert_eq!(sequence, 0);
    let moved = people.carol.ask("meeting:getMeeting", named(&meeting)).await["meeting"].take();
    let place = json!({"sourceType": "prop", "sourcePk": "stage:screen", "sourceString": "prop:demo:stage:screen"});
    assert_eq!(moved, with(meeting, place));
}

#[tokio::test]
async fn m10_an_update_without_a_change_pushes_nothing_and_answers_with_the_meeting() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = plan(&mut people.bob, planned(&["carol"], json!({"propId": "table"}))).await;
    for changes in [
        json!({}),
        json!({"subject": "Plans", "roomId": "lobby", "propId": "table", "color": {"r": 1, "g": 0.5, "a": 1}}),
        json!({"roomId": "lobby"}),
        json!({"propId": "table", "subject": null}),
    ] {
        let answer = people.bob.ask("meeting:update", change(&meeting, changes)).await;
        assert_eq!(answer["meeting"], meeting, "updated included");
    }
    let nothing = people.bob.ask("meeting:update", id_of(&meeting)).await;
    assert_eq!(nothing["meeting"], meeting);
    let events = pushed(&stack, "carol", &mut people.carol).await;
    assert_eq!(names(&events), [CREATED, "meeting:meetingUpdated"]);
}

#[tokio::test]
async fn m3_what_is_beyond_a_limit_is_400_and_names_the_field_as_deprecated_clients_write_it() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    for (changes, field) in [
        (json!({"subject": ""}), "data.meeting.subject"),
        (json!({"subject": "é".repeat(256)}), "data.meeting.subject"),
        (json!({"roomId": ""}), "data.meeting.roomId"),
        (json!({"roomId": null, "propId": "table"}), "data.meeting.roomId"),
        (json!({"roomId": 7}), "data.meeting.roomId"),
        (json!({"startDate": null}), "data.meeting.startDate"),
        (json!({"startDate": "tomorrow"}), "data.meeting.startDate"),
        (json!({"endDate": "0001-01-01T00:00:00Z"}), "data.meeting.endDate"),
        (json!({"endDate": "2030-01-01T10:00:00Z"}), "data.meeting.endDate"),
        (json!({"endDate": "2030-02-01T10:00:00.000001Z"}), "data.meeting.endDate"),
        (json!({"invitedUserIds": many}), "data.meeting.invitedUserIds"),
        (json!({"invitedUserIds": [7]}), "data.meeting.invitedUserIds[0]"),
        (json!({"color": {"r": "red"}}), "data.meeting.color.r"),
    ] {
        let (code, message) = refused(&mut bob, "meeting:create", planned(&[], changes.clone())).await;
        assert_eq!((code, message.starts_with(&format!("{field}: "))), (400, true), "{changes}: {message}");
    }
    let meeting = plan(&mut bob, planned(&[], json!({"subject": "é".repeat(255)}))).await;
    for (changes, field) in [
        (json!({"subject": ""}), "data.meeting.subject"),
        (json!({"subject": "é".repeat(256)}), "data.meeting.subject"),
        (json!({"roomId": ""}), "data.meeting.roomId"),
        (json!({"color": {"r": "red"}}), "data.meeting.color.r"),
    ] {
        let (code, message) = refused(&mut bob, "meeting:update", change(&meeting, changes.clone())).await;
        assert_eq!((code, message.starts_with(&format!("{field}: "))), (400, true), "{changes}: {message}");
    }
    assert_eq!(get(&mut bob, &meeting).await, meeting, "nothing was changed");
    let (code, message) = refused(&mut bob, "meeting:create", planned(&["carol", "nobody"], json!({}))).await;
    assert_eq!((code, message.contains("nobody")), (404, true), "{message}");
}

#[tokio::test]
async fn v4_one_plans_and_moves_where_one_may() {
    let stack = Stack::builder().start().await;
    super::rights::build_places(&stack).await;
    let mut bob = stack.client(0, "bob").await;
    let mut meeting = plan(&mut bob, planned(&[], json!({"roomId": "stage"}))).await;
    for (source_type, ids, expected) in super::rights::places() {
        let (room, prop) = match (source_type, &ids[0].as_str().expect("text").split_once('+')) {
            ("room", _) => (ids[0].clone(), json!("")),
            ("prop", None) => (ids[0].clone(), ids[1].clone()),
            ("prop", Some((room, prop))) => (json!(room), json!(prop)),
            _ => continue,
        };
        let place = json!({"roomId": room, "propId": prop});
        assert_eq!(code(&mut bob, "meeting:create", planned(&[], place.clone())).await, expected, "at {place}");
        let answer = bob.call("meeting:update", change(&meeting, place.clone())).await;
        assert_eq!(answer["error"]["code"], expected, "to {place}");
        if expected == 0 {
            assert_eq!([&answer["data"]["meeting"]["roomId"], &answer["data"]["meeting"]["propId"]], [&room, &prop]);
            meeting = answer["data"]["meeting"].clone();
        }
        assert_eq!(get(&mut bob, &meeting).await, meeting, "after {place}");
    }
}

#[tokio::test]
async fn m7_a_meeting_that_stays_where_it_is_needs_no_right_to_be_there() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let meeting = plan(&mut bob, planned(&[], json!({"propId": "table"}))).await;
    let here = json!({"roomId": "lobby", "propId": "table"});
    stack.import_all(&[json!({"kind": "room", "id": "lobby", "ownerId": "alice", "isPublic": false})]).await;
    let subject = |subject: &str| with(here.clone(), json!({"subject": subject}));
    let locked_out = bob.ask("meeting:update", change(&meeting, subject("Locked out"))).await;
    assert_eq!(locked_out["meeting"]["isValid"], true);
    assert_eq!(code(&mut bob, "meeting:update", change(&meeting, json!({"propId": ""}))).await, 803, "the room is new");

    stack.import_all(&[deleted("room", "lobby")]).await;
    let homeless = bob.ask("meeting:update", change(&meeting, subject("Homeless"))).await;
    assert_eq!([&homeless["meeting"]["isValid"], &homeless["meeting"]["subject"]], [&json!(false), &json!("Homeless")]);
    assert_eq!(code(&mut bob, "meeting:update", change(&meeting, json!({"propId": ""}))).await, 802);
    let moved = bob.ask("meeting:update", change(&meeting, json!({"roomId": "stage"}))).await;
    assert_eq!(moved["meeting"]["isValid"], true);
    assert_eq!(code(&mut bob, "meeting:update", change(&meeting, here)).await, 802, "there is no way back");
}

#[tokio::test]
async fn m10_meetings_of_a_group_or_a_user_are_not_there() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    for (source_type, id) in [("group", "team"), ("direct", "alice")] {
        let place = json!({"sourceType": source_type, "sourceIds": [id]});
        let meeting = create(&mut people.bob, with(in_the_lobby(&["alice"]), place)).await;
        for client in [&mut people.bob, &mut people.alice, &mut people.dave] {
            for endpoint in ["meeting:get", "meeting:update", "meeting:delete"] {
                let data = change(&meeting, json!({"subject": "Other plans", "roomId": "lobby"}));
                let answer = refused(client, endpoint, data).await;
                assert_eq!(answer, (404, "meeting not found".to_owned()), "{endpoint} {source_type}");
            }
        }
        assert_eq!(people.bob.ask("meeting:getMeeting", named(&meeting)).await["meeting"], meeting);
        people.alice.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
        people.bob.ask("meeting:updateMeeting", with(named(&meeting), json!({"subject": "Still there"}))).await;
        people.bob.ask("meeting:deleteMeeting", named(&meeting)).await;
        for name in [CREATED, UPDATED, UPDATED, DELETED] {
            people.alice.event(name).await;
        }
    }
    assert_eq!(pushed(&stack, "alice", &mut people.alice).await, [], "none of them has a deprecated event");
}

#[tokio::test]
async fn m10_a_room_and_a_prop_keep_their_last_title_when_they_are_deleted() {
    let stack = Stack::builder().start().await;
    stack.import_all(&[json!({"kind": "room", "id": "lobby", "title": "Hall", "thumbnail": {"id": "pic"}})]).await;
    let mut bob = stack.client(0, "bob").await;
    let meeting = plan(&mut bob, planned(&["carol"], json!({"propId": "table"}))).await;
    assert_eq!(meeting["room"]["title"], "Hall");
    let range = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-01-02T00:00:00Z"});
    for (kind, id) in [("prop", "table"), ("room", "lobby")] {
        stack.import_all(&[deleted(kind, id)]).await;
        let invalid = with(meeting.clone(), json!({"isValid": false}));
        assert_eq!(get(&mut bob, &meeting).await, invalid);
        let listed = bob.ask("meeting:listUserMeetingsInDateRange", range.clone()).await;
        assert_eq!(listed, json!({"meetings": [invalid]}));
    }
    bob.ask("meeting:delete", id_of(&meeting)).await;
}

#[tokio::test]
async fn m10_a_deleted_organizer_keeps_his_name() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let past = json!({"startDate": "2020-01-01T10:00:00Z", "endDate": "2020-01-01T11:00:00Z"});
    let meeting = plan(&mut people.dave, planned(&["carol", "bob"], past)).await;
    stack.import_all(&[deleted("user", "dave")]).await;
    assert_eq!(people.dave.closed().await, Some(4502));
    let kept = get(&mut people.carol, &meeting).await;
    assert_eq!(kept, meeting, "what is over is kept");
    assert_eq!(kept["organizer"], user("dave"));
}

#[tokio::test]
async fn m11_each_change_is_told_twice_to_the_same_users_in_the_same_order() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    // What has become of it, after each change.
    let mut seen = Vec::new();
    let created = create(&mut people.bob, in_the_lobby(&["carol", "dave"])).await;
    seen.push(get(&mut people.bob, &created).await);
    people.carol.ask("meeting:acceptMeetingRequest", named(&created)).await;
    seen.push(get(&mut people.bob, &created).await);
    people.dave.ask("meeting:declineMeetingRequest", named(&created)).await;
    seen.push(get(&mut people.bob, &created).await);
    let moved = people.bob.ask("meeting:update", change(&created, json!({"roomId": "stage"}))).await;
    seen.push(moved["meeting"].clone());
    let later = with(named(&created), json!({"endDate": "2030-01-01T12:00:00Z"}));
    people.bob.ask("meeting:updateMeeting", later).await;
    seen.push(get(&mut people.bob, &created).await);
    people.bob.ask("meeting:delete", named(&created)).await;
    let planned = plan(&mut people.bob, planned(&["carol", "dave"], json!({}))).await;
    people.bob.ask("meeting:deleteMeeting", id_of(&planned)).await;

    assert_eq!(pushed(&stack, "alice", &mut people.alice).await, [], "a manager does not take part");
    let told = pushed(&stack, "carol", &mut people.carol).await;
    assert_eq!(pushed(&stack, "bob", &mut people.bob).await, told);
    assert_eq!(pushed(&stack, "dave", &mut people.dave).await, told);
    let (current, deprecated): (Vec<_>, Vec<_>) = told.chunks(2).map(|two| (two[0].clone(), two[1].clone())).unzip();
    assert_eq!(names(&current), [CREATED, UPDATED, UPDATED, UPDATED, UPDATED, DELETED, CREATED, DELETED]);
    assert_eq!(current[0].1["meeting"], created);
    let [deleted, planned_deleted] =
        [named(&created), id_of(&planned)].map(|id| ("meeting:meetingDeleted".to_owned(), id));
    let updated = |meeting: Value| ("meeting:meetingUpdated".to_owned(), json!({"meeting": meeting}));
    let mut expected: Vec<(String, Value)> = seen.into_iter().map(updated).collect();
    expected.extend([deleted, updated(planned), planned_deleted]);
    assert_eq!(deprecated, expected);
    let last = &deprecated[4].1["meeting"]["invitedUsers"];
    assert_eq!([&last[0]["status"], &last[1]["status"]], ["received", "received"], "asked again");
}

#[tokio::test]
async fn m11_who_is_taken_off_a_meeting_is_told_of_that_twice_too() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let others = create(&mut people.bob, in_the_lobby(&["dave", "carol"])).await;
    let own = plan(&mut people.dave, planned(&["carol"], json!({}))).await;
    for _ in 0..2 {
        told_twice(&mut people.carol, CREATED).await;
    }
    stack.import_all(&[deleted("user", "dave")]).await;
    told_twice(&mut people.carol, DELETED).await;
    let [_, left] = told_twice(&mut people.carol, UPDATED).await;
    assert_eq!(left["data"]["meeting"], get(&mut people.carol, &others).await);
    assert_eq!(left["data"]["meeting"]["invitedUsers"], json!([{"user": user("carol"), "status": "received"}]));
    assert_eq!(refused(&mut people.carol, "meeting:get", id_of(&own)).await.0, 404);
    // He has no socket any more; what was kept for him is what he would have been sent.
    let kept: Vec<String> = sqlx::query_scalar(
        "SELECT l.name FROM event_log l JOIN event_recipients r ON r.network_id = l.network_id AND r.position = l.position
         WHERE r.user_id = 'dave' ORDER BY l.position",
    )
    .fetch_all(&mut stack.database().await)
    .await
    .expect("events");
    let updated = "meeting:meetingUpdated";
    assert_eq!(kept, [CREATED, updated, CREATED, updated, DELETED, "meeting:meetingDeleted", UPDATED, updated]);
}

#[tokio::test]
async fn m11_a_deprecated_event_that_would_be_too_large_stops_no_change() {
    let stack = Stack::builder().processes().start().await;
    let long = "x".repeat(180_000);
    let giants: Vec<Value> = (1..=6)
        .map(|n| json!({"kind": "user", "id": format!("u{n}"), "networkIds": ["demo"], "lastName": long}))
        .collect();
    stack.import_all(&giants).await;
    let thumbnail = json!({"id": "pic", "customParams": {"x": long}});
    stack.import_all(&[json!({"kind": "room", "id": "lobby", "thumbnail": thumbnail})]).await;
    let mut people = People::of(&stack).await;
    let mut with_giants = async |count: usize| {
        let invited: Vec<String> = (1..=count).map(|n| format!("u{n}")).chain(["carol".to_owned()]).collect();
        let invited: Vec<&str> = invited.iter().map(String::as_str).collect();
        create(&mut people.bob, in_the_lobby(&invited)).await
    };
    let one = with_giants(1).await;
    let two = with_giants(2).await;
    let three = with_giants(3).await;
    let six = with_giants(6).await;

    // With the picture, without it, not at all.
    let [_, whole] = told_twice(&mut people.carol, CREATED).await;
    assert_eq!(whole["data"]["meeting"], get(&mut people.bob, &one).await);
    assert_eq!(whole["data"]["meeting"]["room"]["thumbnail"]["id"], "pic");
    let [_, plain] = told_twice(&mut people.carol, CREATED).await;
    let mut expected = get(&mut people.bob, &two).await;
    assert_eq!(expected["room"]["thumbnail"]["id"], "pic");
    expected["room"]["thumbnail"] = empty_resource();
    assert_eq!(plain["data"]["meeting"], expected);
    for meeting in [&three, &six] {
        assert_eq!(people.carol.event(CREATED).await["data"]["meeting"], *meeting);
    }
    for meeting in [&three, &six] {
        people.carol.ask("meeting:acceptMeetingRequest", named(meeting)).await;
        assert_eq!(people.carol.event(UPDATED).await["data"]["meeting"], *meeting);
    }
    let logged = stack.logged();
    for meeting in [&three, &six] {
        let id = meeting["meetingId"].as_str().expect("an id");
        let is_told = |line: &str| line.contains("a deprecated event is left out") && line.contains(id);
        assert!(logged.lines().any(is_told), "{logged}");
    }
    // What is read is held against the limit of an answer.
    assert_eq!(get(&mut people.bob, &three).await["invitedUsers"].as_array().map(Vec::len), Some(4));
    assert_eq!(refused(&mut people.bob, "meeting:get", id_of(&six)).await.0, 413);
    let range = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-01-02T00:00:00Z"});
    assert_eq!(refused(&mut people.bob, "meeting:listUserMeetingsInDateRange", range).await.0, 413);
    // So is what the deprecated change would answer, but not what the current one does.
    assert_eq!(refused(&mut people.bob, "meeting:update", change(&six, json!({"subject": "S"}))).await.0, 413);
    people.bob.ask("meeting:updateMeeting", with(named(&six), json!({"subject": "S"}))).await;
    people.carol.event(UPDATED).await;
    people.bob.ask("meeting:delete", named(&six)).await;
    told_twice(&mut people.carol, DELETED).await;

    stack.import_all(&[deleted("user", "u1")]).await;
    told_twice(&mut people.carol, UPDATED).await;
    told_twice(&mut people.carol, UPDATED).await;
    let [_, smaller] = told_twice(&mut people.carol, UPDATED).await;
    assert_eq!(
        smaller["data"]["meeting"]["invitedUsers"].as_array().map(Vec::len),
        Some(3),
        "now there is room for it"
    );
}

#[tokio::test]
async fn a_creation_that_is_sent_again_is_one_meeting_and_one_answer() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut carol = stack.client(1, "carol").await;
    let first = bob.call_once("e1", "meeting:create", planned(&["carol"], json!({}))).await;
    assert_eq!(first["error"]["code"], 0, "{first}");
    let again = bob.call_once("e1", "meeting:create", planned(&["carol"], json!({}))).await;
    assert_eq!(again["data"], first["data"]);
    let other = bob.call_once("e1", "meeting:create", planned(&["carol"], json!({"subject": "Other"}))).await;
    assert_eq!(other["error"]["code"], 409);
    let events = pushed(&stack, "carol", &mut carol).await;
    assert_eq!(names(&events), [CREATED, "meeting:meetingUpdated"]);
    assert_eq!(events[1].1, first["data"]);
}

#[tokio::test]
async fn a_deprecated_event_reaches_a_socket_on_another_pod() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut carol = stack.client(1, "carol").await;
    let planned = plan(&mut bob, planned(&["carol"], json!({}))).await;
    for client in [&mut bob, &mut carol] {
        let [_, event] = told_twice(client, CREATED).await;
        assert_eq!(event["data"]["meeting"], planned);
        assert!(event["eventId"].is_string(), "{event}");
    }
    let updated = bob.ask("meeting:update", change(&planned, json!({"propId": "table"}))).await;
    assert_eq!(told_twice(&mut carol, UPDATED).await[1]["data"], updated);
    bob.ask("meeting:delete", id_of(&planned)).await;
    assert_eq!(told_twice(&mut carol, DELETED).await[1]["data"], id_of(&planned));
}

#[tokio::test]
async fn m10_a_prop_is_needed_while_a_meeting_at_it_has_not_ended() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "bob", "networkIds": ["demo", "other"]}),
            json!({"kind": "room", "id": "garage", "networkId": "other", "isPublic": true}),
        ])
        .await;
    let mut people = People::of(&stack).await;
    let mut elsewhere = stack.connect_as(0, "bob", "other", "elsewhere").open().await.expect("let in");
    let past = json!({"roomId": "lobby", "propId": "table", "startDate": "2020-01-01T10:00:00Z",
        "endDate": "2020-01-01T11:00:00Z"});
    let ended = plan(&mut people.bob, planned(&[], past)).await;
    plan(&mut people.bob, planned(&[], json!({"roomId": "stage"}))).await;
    plan(&mut elsewhere, planned(&[], json!({"roomId": "garage"}))).await;
    let group = json!({"sourceType": "group", "sourceIds": ["team"]});
    create(&mut people.bob, with(in_the_lobby(&[]), group)).await;

    // Dave takes part in none of them.
    let is_needed = async |client: &mut Client, room: &str, prop: &str| {
        let data = json!({"roomId": room, "propId": prop});
        let answer = client.ask("meeting:checkPropHasMeetingsOrSocialSessions", data).await;
        assert_eq!(answer, json!({"hasMeetingsOrSocialSessions": answer["hasMeetingsOrSocialSessions"]}));
        answer["hasMeetingsOrSocialSessions"].as_bool().expect("yes or no")
    };
    for (room, prop, expected) in [
        ("lobby", "table", false),
        ("lobby", "", false),
        ("stage", "", true),
        ("stage", "screen", false),
        ("stage", "nothing", false),
        ("garage", "", false),
        ("nowhere", "", false),
        ("team", "", false),
        ("no where", "+", false),
    ] {
        assert_eq!(is_needed(&mut people.dave, room, prop).await, expected, "{room} {prop}");
    }
    assert!(is_needed(&mut elsewhere, "garage", "").await);
    assert!(!is_needed(&mut elsewhere, "stage", "").await);

    let goes_on = json!({"endDate": "2020-02-01T10:00:00Z"});
    people.bob.ask("meeting:updateMeeting", with(id_of(&ended), goes_on)).await;
    assert!(!is_needed(&mut people.dave, "lobby", "table").await, "ended all the same");
    let meeting = plan(&mut people.bob, planned(&[], json!({"propId": "table"}))).await;
    assert!(is_needed(&mut people.dave, "lobby", "table").await);
    assert!(!is_needed(&mut people.dave, "lobby", "").await, "the room itself is not");
    stack.import_all(&[deleted("prop", "table")]).await;
    assert!(is_needed(&mut people.dave, "lobby", "table").await, "nobody asks whether it is there");
    people.bob.ask("meeting:delete", id_of(&meeting)).await;
    assert!(!is_needed(&mut people.dave, "lobby", "table").await);

    let nowhere = json!({"propId": "table"});
    let (code, message) = refused(&mut people.dave, "meeting:checkPropHasMeetingsOrSocialSessions", nowhere).await;
    assert_eq!((code, message.starts_with("data.roomId: ")), (400, true), "{message}");
}

/// Subjects of what is listed.
async fn listed(client: &mut Client, start: &str, end: &str) -> Vec<String> {
    let range = json!({"startDate": start, "endDate": end});
    let answer = client.ask("meeting:listUserMeetingsInDateRange", range).await;
    let meetings = answer["meetings"].as_array().expect("a list");
    meetings.iter().map(|meeting| meeting["subject"].as_str().expect("a subject").to_owned()).collect()
}

#[tokio::test]
async fn m8_those_that_overlap_the_range_are_listed_by_start_and_only_those_of_rooms_and_props() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let mut at = async |subject: &str, start: &str, end: &str| {
        let data = json!({"subject": subject, "startDate": start, "endDate": end, "propId": "table"});
        plan(&mut people.bob, planned(&["carol"], data)).await
    };
    at("late", "2030-01-31T23:59:59.999999Z", "2030-02-01T01:00:00Z").await;
    at("ends before", "2029-12-31T10:00:00Z", "2030-01-01T00:00:00Z").await;
    at("begins after", "2030-02-01T00:00:00Z", "2030-02-01T01:00:00Z").await;
    at("longest", "2029-12-01T00:00:00.000001Z", "2030-01-01T00:00:00.000001Z").await;
    let one = at("at once", "2030-01-15T10:00:00Z", "2030-01-15T11:00:00Z").await;
    let other = at("at once", "2030-01-15T10:00:00Z", "2030-01-15T10:30:00Z").await;
    for (source_type, id) in [("room", "lobby"), ("group", "team"), ("direct", "carol")] {
        let data = json!({"subject": source_type, "sourceType": source_type, "sourceIds": [id]});
        create(&mut people.bob, with(in_the_lobby(&["carol"]), data)).await;
    }
    people.carol.ask("meeting:declineMeetingRequest", id_of(&one)).await;
    for client in [&mut people.bob, &mut people.carol] {
        let january = listed(client, "2030-01-01T00:00:00Z", "2030-02-01T00:00:00Z").await;
        assert_eq!(january, ["longest", "room", "at once", "at once", "late"]);
    }
    assert_eq!(listed(&mut people.alice, "2030-01-01T00:00:00Z", "2030-02-01T00:00:00Z").await, [""; 0]);

    let day = json!({"startDate": "2030-01-15T00:00:00+01:00", "endDate": "2030-01-16T00:00:00+01:00"});
    let answer = people.carol.ask("meeting:listUserMeetingsInDateRange", day).await;
    let mut expected = [get(&mut people.carol, &one).await, get(&mut people.carol, &other).await];
    expected.sort_by_key(|meeting| meeting["id"].as_str().expect("an id").to_owned());
    assert_eq!(answer, json!({"meetings": expected}), "whole, and those that begin together in the order of their ids");
    assert_eq!(expected.iter().filter(|meeting| meeting["invitedUsers"][0]["status"] == "declined").count(), 1);
}

#[tokio::test]
async fn m8_a_range_that_is_none_is_400_and_names_the_field() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let january = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-02-01T00:00:00Z"});
    for (changes, field) in [
        (json!({"startDate": null}), "data.startDate"),
        (json!({"endDate": "0001-01-01T00:00:00Z"}), "data.endDate"),
        (json!({"endDate": "2030-01-01T00:00:00Z"}), "data.endDate"),
        (json!({"endDate": "2031-01-02T00:00:00.000001Z"}), "data.endDate"),
        (json!({"endDate": 7}), "data.endDate"),
    ] {
        let data = with(january.clone(), changes.clone());
        let (code, message) = refused(&mut bob, "meeting:listUserMeetingsInDateRange", data).await;
        assert_eq!((code, message.starts_with(&format!("{field}: "))), (400, true), "{changes}: {message}");
    }
    assert_eq!(listed(&mut bob, "2030-01-01T00:00:00Z", "2031-01-02T00:00:00Z").await, [""; 0], "366 days are fine");
}

#[tokio::test]
async fn m8_more_than_an_answer_holds_are_413() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut database = stack.database().await;
    sqlx::query(
        "WITH made AS (
             INSERT INTO meetings (network_id, id, organizer_id, source_type, room_id, starts_at, ends_at, subject,
                                   description, color_r, color_g, color_b, color_a)
             SELECT 'demo', gen_random_uuid(), 'bob', 'room', 'small', start, start + interval '1 minute', 'Plans', '',
                    0, 0, 0, 0
             FROM generate_series(timestamptz '2030-01-01T00:00:00Z', '2030-01-01T16:40:00Z', '1 minute') start
             RETURNING *)
         INSERT INTO meeting_participants (network_id, meeting_id, user_id, status, position, starts_at, ends_at)
         SELECT network_id, id, organizer_id, 'accepted', 0, starts_at, ends_at FROM made",
    )
    .execute(&mut database)
    .await
    .expect("many meetings");
    // Each takes some KiB: the answer is full before a thousand are in it.
    let asked = async |bob: &mut Client, end: &str| {
        let range = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": end});
        refused(bob, "meeting:listUserMeetingsInDateRange", range).await
    };
    let (code, message) = asked(&mut bob, "2030-01-02T00:00:00Z").await;
    assert_eq!((code, message.contains("narrow the range")), (413, true), "{message}");
    assert_eq!(asked(&mut bob, "2030-01-01T10:00:00Z").await.0, 413);
    assert_eq!(listed(&mut bob, "2030-01-01T00:00:00Z", "2030-01-01T02:30:00Z").await.len(), 150);
}

#[tokio::test]
async fn updates_of_both_kinds_at_once_undo_nothing_of_each_other() {
    const UPDATES: usize = 30;
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut watcher = stack.client(1, "carol").await;
    let mut bob = stack.client(0, "bob").await;
    let meeting = create(&mut bob, in_the_lobby(&["carol"])).await;
    let [_, mut before] = told_twice(&mut watcher, CREATED).await;
    let mut before = before["data"]["meeting"].take();
    let mut current = meeting.clone();
    for n in 0..UPDATES {
        match n % 3 {
            0 => {
                let text = json!({"description": n.to_string()});
                bob.send("meeting:updateMeeting", with(named(&meeting), text), None).await
            }
            1 => {
                let room = if n % 2 == 0 { "lobby" } else { "stage" };
                bob.send("meeting:update", change(&meeting, json!({"roomId": room})), None).await
            }
            _ => bob.send("meeting:update", change(&meeting, json!({"subject": n.to_string()})), None).await,
        };
    }
    let mut done = 0;
    for _ in 0..UPDATES {
        assert_eq!(bob.next_answer().await["error"]["code"], 0);
    }
    // A room that it is in already is no change; nor is anything pushed of it.
    let last = bob.ask("meeting:getMeeting", named(&meeting)).await["meeting"].take();
    while current != last {
        let [mut event, mut deprecated] = told_twice(&mut watcher, UPDATED).await;
        let (after, shown) = (event["data"]["meeting"].take(), deprecated["data"]["meeting"].take());
        let changed =
            ["subject", "description", "sourcePk"].iter().filter(|field| after[**field] != current[**field]).count();
        assert_eq!(changed, 1, "each keeps what the one before it has changed: {current} {after}");
        assert_eq!(
            [&shown["subject"], &shown["roomId"]],
            [&after["subject"], &after["sourcePk"]],
            "both tell the same"
        );
        assert!(shown["updated"].as_str() >= before["updated"].as_str(), "{before} {shown}");
        (current, before) = (after, shown);
        done += 1;
    }
    assert!(done >= UPDATES * 2 / 3, "{done}");
    assert_eq!(get(&mut bob, &meeting).await, before);
}

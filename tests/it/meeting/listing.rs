//! `listUserMeetings`: rule M8.

use harness::{Client, Stack};
use serde_json::{Value, json};

use super::{People, create, in_the_lobby, named, refused, with};

/// The subjects of the meetings that are listed.
async fn subjects(client: &mut Client, request: Value) -> Vec<String> {
    let answer = client.ask("meeting:listUserMeetings", request).await;
    let meetings = answer["meetings"].as_array().expect("a list");
    meetings.iter().map(|meeting| meeting["subject"].as_str().expect("a subject").to_owned()).collect()
}

fn january() -> Value {
    json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-02-01T00:00:00Z"})
}

async fn at(client: &mut Client, subject: &str, start: &str, end: &str) -> Value {
    let data = json!({"subject": subject, "startDate": start, "endDate": end});
    create(client, with(in_the_lobby(&["carol"]), data)).await
}

#[tokio::test]
async fn a_listed_meeting_says_whose_it_is_and_what_he_answered() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol", "dave"])).await;
    people.dave.ask("meeting:declineMeetingRequest", named(&meeting)).await;
    let of = async |client: &mut Client, user: &str, status: &str| {
        let answer = client.ask("meeting:listUserMeetings", january()).await;
        let expected = with(meeting.clone(), json!({"userId": user, "status": status}));
        assert_eq!(answer, json!({"meetings": [expected]}));
    };
    of(&mut people.bob, "bob", "accepted").await;
    of(&mut people.carol, "carol", "received").await;
    of(&mut people.dave, "dave", "declined").await;
    let managed = people.alice.ask("meeting:listUserMeetings", january()).await;
    assert_eq!(managed, json!({"meetings": []}), "a manager lists his own");
}

#[tokio::test]
async fn m8_those_that_overlap_the_range_are_listed_by_start() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let bob = &mut people.bob;
    at(bob, "late", "2030-01-31T23:59:59.999999Z", "2030-02-01T01:00:00Z").await;
    at(bob, "ends before", "2029-12-31T10:00:00Z", "2030-01-01T00:00:00Z").await;
    at(bob, "begins after", "2030-02-01T00:00:00Z", "2030-02-01T01:00:00Z").await;
    at(bob, "long", "2029-12-02T00:00:00Z", "2030-01-01T00:00:00.000001Z").await;
    at(bob, "longest", "2029-12-01T00:00:00.000001Z", "2030-01-01T00:00:00.000001Z").await;
    let first = at(bob, "at once", "2030-01-15T10:00:00Z", "2030-01-15T11:00:00Z").await;
    let second = at(bob, "at once", "2030-01-15T10:00:00Z", "2030-01-15T10:30:00Z").await;
    at(bob, "early", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000001Z").await;
    let listed = subjects(&mut people.carol, january()).await;
    assert_eq!(listed, ["longest", "long", "early", "at once", "at once", "late"]);

    let day = json!({"startDate": "2030-01-15T00:00:00+01:00", "endDate": "2030-01-16T00:00:00+01:00"});
    let answer = people.carol.ask("meeting:listUserMeetings", day).await;
    let ids: Vec<&Value> = answer["meetings"].as_array().expect("a list").iter().map(|m| &m["meetingId"]).collect();
    let mut expected = [&first["meetingId"], &second["meetingId"]];
    expected.sort_by_key(|id| id.as_str());
    assert_eq!(ids, expected, "those that begin together are in the order of their ids");
}

#[tokio::test]
async fn m8_a_moved_meeting_is_listed_where_it_is_now() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol"])).await;
    let later = json!({"startDate": "2030-03-01T10:00:00Z", "endDate": "2030-03-01T11:00:00Z"});
    people.bob.ask("meeting:updateMeeting", with(named(&meeting), later)).await;
    let march = json!({"startDate": "2030-03-01T00:00:00Z", "endDate": "2030-03-02T00:00:00Z"});
    for client in [&mut people.bob, &mut people.carol] {
        assert_eq!(subjects(client, january()).await, [""; 0]);
        assert_eq!(subjects(client, march.clone()).await, ["Plans"]);
    }
}

#[tokio::test]
async fn m8_filters_choose_by_source() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[json!({"kind": "group", "id": "trio", "networkId": "demo", "members": [
            {"userId": "alice", "role": "Admin"}, {"userId": "bob", "role": "Participant"},
            {"userId": "carol", "role": "Participant"}]})])
        .await;
    let mut people = People::of(&stack).await;
    let mut minute = 0;
    let mut make = async |client: &mut Client, subject: &str, source_type: &str, ids: Value| {
        minute += 1;
        let start = format!("2030-01-01T10:{minute:02}:00Z");
        let data = json!({"subject": subject, "sourceType": source_type, "sourceIds": ids, "startDate": start});
        create(client, with(in_the_lobby(&["bob", "carol"]), data)).await
    };
    make(&mut people.alice, "lobby", "room", json!(["lobby"])).await;
    make(&mut people.alice, "stage", "room", json!(["stage"])).await;
    make(&mut people.alice, "table", "prop", json!(["lobby", "table"])).await;
    make(&mut people.alice, "screen", "prop", json!(["stage", "screen"])).await;
    make(&mut people.alice, "team", "group", json!(["team"])).await;
    make(&mut people.alice, "trio", "group", json!(["trio"])).await;
    make(&mut people.alice, "alice to bob", "direct", json!(["bob"])).await;
    make(&mut people.bob, "bob to alice", "direct", json!(["alice"])).await;
    make(&mut people.alice, "alice to carol", "direct", json!(["carol"])).await;
    make(&mut people.carol, "carol to bob", "direct", json!(["bob"])).await;

    let all = [
        "lobby",
        "stage",
        "table",
        "screen",
        "team",
        "trio",
        "alice to bob",
        "bob to alice",
        "alice to carol",
        "carol to bob",
    ];
    let none: [&str; 0] = [];
    for (source_type, ids, expected) in [
        ("", json!([]), &all as &[&str]),
        ("network", json!([]), &all),
        ("network", json!(["demo"]), &all),
        ("network", json!(["elsewhere", "demo"]), &all),
        ("network", json!(["elsewhere"]), &none),
        ("room", json!(["lobby"]), &["lobby", "table"]),
        ("room", json!(["stage", "lobby"]), &["lobby", "stage", "table", "screen"]),
        ("room", json!([]), &["lobby", "stage", "table", "screen"]),
        ("room", json!(["nowhere"]), &none),
        ("prop", json!(["lobby", "table"]), &["table"]),
        ("prop", json!(["lobby+table"]), &["table"]),
        ("prop", json!(["lobby+table", "stage+screen"]), &["table", "screen"]),
        ("prop", json!(["stage+table"]), &none),
        ("prop", json!([]), &["table", "screen"]),
        ("group", json!(["trio"]), &["trio"]),
        ("group", json!(["nobody", "trio", "team"]), &["team", "trio"]),
        ("group", json!([]), &["team", "trio"]),
        ("direct", json!([]), &["alice to bob", "bob to alice", "alice to carol", "carol to bob"]),
        ("direct", json!(["alice"]), &["alice to bob", "bob to alice", "alice to carol"]),
        ("direct", json!(["nobody"]), &none),
    ] {
        let request = with(january(), json!({"sourceType": source_type, "sourceIds": ids}));
        assert_eq!(subjects(&mut people.bob, request).await, expected, "{source_type} {ids}");
    }
}

#[tokio::test]
async fn m8_a_malformed_request_is_400_and_names_the_field() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    for (changes, field) in [
        (json!({"startDate": null}), "data.startDate"),
        (json!({"endDate": "0001-01-01T00:00:00Z"}), "data.endDate"),
        (json!({"endDate": "2030-01-01T00:00:00Z"}), "data.endDate"),
        (json!({"endDate": "2031-01-02T00:00:00.000001Z"}), "data.endDate"),
        (json!({"sourceType": "rooms"}), "data.sourceType"),
        (json!({"sourceIds": ["lobby"]}), "data.sourceType"),
        (json!({"sourceType": "prop", "sourceIds": ["table"]}), "data.sourceIds[0]"),
        (json!({"sourceType": "room", "sourceIds": [7]}), "data.sourceIds[0]"),
    ] {
        let (code, message) = refused(&mut bob, "meeting:listUserMeetings", with(january(), changes.clone())).await;
        assert_eq!((code, message.starts_with(&format!("{field}: "))), (400, true), "{changes}: {message}");
    }
    let year = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2031-01-02T00:00:00Z"});
    assert_eq!(subjects(&mut bob, year).await, [""; 0], "366 days are fine");
}

#[tokio::test]
async fn m8_more_than_a_thousand_are_413_and_the_message_says_what_to_do() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let fill = async |from: i32, to: i32, description: &str| {
        sqlx::query(
            "WITH made AS (
                 INSERT INTO meetings (network_id, id, organizer_id, source_type, room_id, starts_at, ends_at, subject,
                                       description, color_r, color_g, color_b, color_a)
                 SELECT 'demo', gen_random_uuid(), 'bob', 'room', 'lobby', '2030-01-01T00:00:00Z'::timestamptz + n * '1 minute'::interval,
                        '2030-01-01T00:01:00Z'::timestamptz + n * '1 minute'::interval, n::text, $3, 0, 0, 0, 0
                 FROM generate_series($1, $2) n
                 RETURNING *)
             INSERT INTO meeting_participants (network_id, meeting_id, user_id, status, position, starts_at, ends_at)
             SELECT network_id, id, organizer_id, 'accepted', 0, starts_at, ends_at FROM made",
        )
        .bind(from)
        .bind(to)
        .bind(description)
        .execute(&mut stack.database().await)
        .await
        .expect("many meetings");
    };
    fill(1, 1000, "").await;
    let listed = subjects(&mut bob, january()).await;
    assert_eq!((listed.len(), listed[0].as_str(), listed[999].as_str()), (1000, "1", "1000"));
    fill(1001, 1001, "").await;
    let (code, message) = refused(&mut bob, "meeting:listUserMeetings", january()).await;
    assert_eq!(code, 413);
    assert!(message.contains("narrow the range"), "{message}");
    let fewer = with(january(), json!({"startDate": "2030-01-01T00:02:00Z"}));
    assert_eq!(subjects(&mut bob, fewer).await.len(), 1000);

    // Few, but long.
    fill(20_000, 20_100, &"\u{1}".repeat(10_000)).await;
    let long = with(january(), json!({"startDate": "2030-01-14T00:00:00Z"}));
    let (code, message) = refused(&mut bob, "meeting:listUserMeetings", long).await;
    assert_eq!((code, message.contains("narrow the range")), (413, true), "{message}");
}

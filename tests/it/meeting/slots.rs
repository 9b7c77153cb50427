//! The time that people have in common: rules A7, A8, V1.

use harness::{Client, Stack};
use serde_json::{Value, json};

use super::{People, create, in_the_lobby, named, refused, with};

const DAY: &str = "meeting:getTimeSlotsForMeeting";
const MONTH: &str = "meeting:getMeetingTimeSlotsForMonth";

/// 1 January 2030 in Berlin.
const DATE: &str = "2030-01-01T12:00:00+01:00";

fn users(ids: &[&str]) -> Value {
    let users: Vec<Value> = ids.iter().map(|id| json!({"roomful": id})).collect();
    json!({"users": users, "localDate": DATE})
}

async fn slots(client: &mut Client, endpoint: &str, request: Value) -> Vec<(String, String)> {
    let answer = client.ask(endpoint, request).await;
    let slots = answer["availableTimeSlots"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a timestamp").to_owned();
    slots.iter().map(|slot| (text(&slot["startDate"]), text(&slot["endDate"]))).collect()
}

/// The hours in UTC at which the slots of the day begin and end.
async fn hours(client: &mut Client, ids: &[&str]) -> String {
    let slots = slots(client, DAY, users(ids)).await;
    slots.iter().map(|(start, end)| format!("{}-{}", &start[11..13], &end[11..13])).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a7_one_is_busy_with_what_one_organizes_or_has_accepted() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol", "dave"])).await;
    people.dave.ask("meeting:declineMeetingRequest", named(&meeting)).await;
    assert_eq!(hours(&mut people.alice, &["bob"]).await, "23-10 11-23", "the organizer");
    assert_eq!(hours(&mut people.alice, &["carol"]).await, "23-23", "not answered");
    assert_eq!(hours(&mut people.alice, &["dave"]).await, "23-23", "declined");
    people.carol.ask("meeting:acceptMeetingRequest", named(&meeting)).await;
    assert_eq!(hours(&mut people.alice, &["carol"]).await, "23-10 11-23", "accepted");

    stack.import_all(&[json!({"kind": "room", "id": "lobby", "deleted": true})]).await;
    assert_eq!(hours(&mut people.alice, &["carol"]).await, "23-10 11-23", "invalid is busy");
    let moved = json!({"startDate": "2030-01-01T12:00:00Z", "endDate": "2030-01-01T13:00:00Z"});
    people.bob.ask("meeting:updateMeeting", with(named(&meeting), moved)).await;
    assert_eq!(hours(&mut people.alice, &["bob"]).await, "23-12 13-23");
    assert_eq!(hours(&mut people.alice, &["carol"]).await, "23-23", "asked again");
    people.bob.ask("meeting:deleteMeeting", named(&meeting)).await;
    assert_eq!(hours(&mut people.alice, &["bob"]).await, "23-23", "deleted is free");
}

#[tokio::test]
async fn a7_those_who_have_not_answered_are_busy_where_the_network_says_so() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let meeting = create(&mut people.bob, in_the_lobby(&["carol", "dave"])).await;
    people.dave.ask("meeting:declineMeetingRequest", named(&meeting)).await;
    for (data, expected) in [
        (json!({"receivedBlocks": true}), "23-10 11-23"),
        (json!({"receivedBlocks": "true"}), "23-23"),
        (json!({"receivedBlocks": 1}), "23-23"),
        (json!({"other": {"receivedBlocks": true}}), "23-23"),
        (json!({}), "23-23"),
    ] {
        stack.import_all(&[json!({"kind": "network", "id": "demo", "state": {"data": data}})]).await;
        assert_eq!(hours(&mut people.alice, &["carol"]).await, expected, "{data}");
        assert_eq!(hours(&mut people.alice, &["dave"]).await, "23-23", "declined");
    }
}

#[tokio::test]
async fn a8_slots_are_common_to_all_who_are_found() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let at = |start: &str, end: &str| {
        let time = |hour: &str| format!("2030-01-01T{hour}:00:00Z");
        with(in_the_lobby(&[]), json!({"startDate": time(start), "endDate": time(end)}))
    };
    create(&mut people.alice, at("08", "20")).await;
    create(&mut people.bob, at("08", "10")).await;
    create(&mut people.carol, at("09", "12")).await;
    let work = json!({"availability": {"status": "Available", "repetition": 4, "dates": [
        {"startDate": "2030-01-01T07:00:00+01:00", "endDate": "2030-01-01T18:00:00+01:00"}]}, "localDate": DATE});
    people.dave.ask("meeting:setUserAvailability", work).await;

    let alice = &mut people.alice;
    assert_eq!(hours(alice, &["bob", "carol"]).await, "23-08 12-23", "the caller is not added");
    assert_eq!(hours(alice, &["carol", "bob", "dave"]).await, "06-08 12-17");
    assert_eq!(hours(alice, &["bob", "bob"]).await, "23-08 10-23", "twice counts once");
    assert_eq!(hours(alice, &["bob", "nobody", "", "no:body"]).await, "23-08 10-23", "not found is ignored");
    assert_eq!(hours(alice, &["nobody"]).await, "", "none found, no slots");
    assert_eq!(hours(alice, &[]).await, "");
    assert_eq!(hours(alice, &["bob", "alice"]).await, "23-08 20-23");

    let by = |users: Value| json!({"users": users, "localDate": DATE});
    for (users, expected) in [
        (json!([{"email": "bob@example.org"}]), 2),
        (json!([{"email": "BOB@Example.ORG"}]), 2),
        (json!([{"roomful": "nobody", "email": "bob@example.org"}]), 2),
        (json!([{"roomful": "bob", "email": "dave@example.org"}]), 2),
        (json!([{"roomful": "bob"}, {"email": "bob@example.org"}]), 2),
        (json!([{"email": "dave@example.org"}]), 1),
        (json!([{"email": "nobody@example.org"}]), 0),
        (json!([{}]), 0),
    ] {
        assert_eq!(slots(alice, DAY, by(users.clone())).await.len(), expected, "{users}");
    }
    stack.import_all(&[json!({"kind": "user", "id": "bob", "emailVerified": false})]).await;
    assert_eq!(slots(alice, DAY, by(json!([{"email": "bob@example.org"}]))).await, [], "an unproven address");
}

#[tokio::test]
async fn a8_a_month_is_the_callers_civil_month() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let long = json!({"startDate": "2026-10-20T00:00:00Z", "endDate": "2026-11-05T00:00:00Z"});
    create(&mut people.bob, with(in_the_lobby(&[]), long)).await;
    let month = |date: &str| json!({"users": [{"roomful": "bob"}], "localDate": date});
    for (date, start, end) in [
        // From summer into winter time, in the caller's zone by T2.
        ("2026-10-25T02:30:00+02:00", "2026-09-30T22:00:00Z", "2026-10-20T00:00:00Z"),
        ("2026-10-31T23:30:00Z", "2026-11-05T00:00:00Z", "2026-11-30T23:00:00Z"),
        ("2026-10-15T12:00:00-04:00[America/New_York]", "2026-10-01T04:00:00Z", "2026-10-20T00:00:00Z"),
        ("2026-10-15T12:00:00+05:45", "2026-09-30T18:15:00Z", "2026-10-20T00:00:00Z"),
    ] {
        let expected = [(start.to_owned(), end.to_owned())];
        assert_eq!(slots(&mut people.alice, MONTH, month(date)).await, expected, "{date}");
    }
}

#[tokio::test]
async fn a8_what_cannot_be_asked_is_400_and_names_the_field() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let many = |count: usize| -> Value { (0..count).map(|n| json!({"roomful": format!("u{n}")})).collect() };
    for endpoint in [DAY, MONTH] {
        for (data, field) in [
            (json!({"users": many(101), "localDate": DATE}), "data.users"),
            (json!({"users": many(1)}), "data.localDate"),
            (json!({"users": [{"roomful": 7}], "localDate": DATE}), "data.users[0].roomful"),
            (json!({"users": many(1), "localDate": "9999-12-01T00:00:00Z"}), "data.localDate"),
        ] {
            let (code, message) = refused(&mut alice, endpoint, data).await;
            assert_eq!((code, message.starts_with(&format!("{field}: "))), (400, true), "{field}: {message}");
        }
        alice.ask(endpoint, json!({"users": many(100), "localDate": DATE})).await;
    }
}

#[tokio::test]
async fn v1_no_other_network_is_seen_nor_counts() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "bob", "networkIds": ["demo", "other"]}),
            json!({"kind": "user", "id": "stranger", "networkIds": ["other"], "email": "s@example.org", "emailVerified": true}),
            json!({"kind": "room", "id": "garage", "networkId": "other", "isPublic": true}),
        ])
        .await;
    let mut people = People::of(&stack).await;
    let mut elsewhere = stack.connect_as(0, "bob", "other", "elsewhere").open().await.expect("let in");
    create(&mut elsewhere, with(in_the_lobby(&[]), json!({"sourceIds": ["garage"]}))).await;
    assert_eq!(hours(&mut people.alice, &["bob"]).await, "23-23", "busy time included");
    assert_eq!(hours(&mut people.alice, &["stranger"]).await, "");
    let by_email = json!({"users": [{"email": "s@example.org"}], "localDate": DATE});
    assert_eq!(slots(&mut people.alice, DAY, by_email).await, []);
    stack.import_all(&[json!({"kind": "user", "id": "carol", "deleted": true})]).await;
    assert_eq!(hours(&mut people.alice, &["carol"]).await, "", "deleted users are not found");
}

#[tokio::test]
async fn who_is_busy_beyond_measure_is_413() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let fill = async |from: i32, to: i32| {
        sqlx::query(
            "WITH m AS (
                 INSERT INTO meetings (network_id, id, organizer_id, source_type, room_id, starts_at, ends_at, subject,
                                       description, color_r, color_g, color_b, color_a)
                 SELECT 'demo', gen_random_uuid(), 'bob', 'room', 'lobby', at, at + interval '1 second', 's', '', 0, 0, 0, 0
                 FROM generate_series($1, $2) n, LATERAL (SELECT timestamptz '2030-01-01Z' + n * interval '2 seconds') t (at)
                 RETURNING *)
             INSERT INTO meeting_participants SELECT 'demo', id, 'bob', 'accepted', 0, starts_at, ends_at FROM m",
        )
        .bind(from)
        .bind(to)
        .execute(&mut stack.database().await)
        .await
        .expect("meetings");
    };
    fill(1, 10_000).await;
    assert_eq!(slots(&mut alice, DAY, users(&["bob"])).await.len(), 10_001);
    fill(10_001, 10_001).await;
    let (code, message) = refused(&mut alice, DAY, users(&["bob", "carol"])).await;
    assert_eq!((code, message.contains("busy more than 10000 times")), (413, true), "{message}");
}

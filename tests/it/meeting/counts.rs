//! `listUserMeetingCounts`: rule M9.

use harness::{Client, Stack};
use serde_json::{Value, json};

use super::{People, create, in_the_lobby, named, refused, with};

const COUNTS: &str = "meeting:listUserMeetingCounts";

async fn counts(client: &mut Client, request: Value) -> Vec<i64> {
    let answer = client.ask(COUNTS, request).await;
    let days = answer["meetingCounts"].as_array().expect("a list");
    days.iter().map(|day| day["count"].as_i64().expect("a count")).collect()
}

async fn at(client: &mut Client, start: &str, end: &str) -> Value {
    create(client, with(in_the_lobby(&["carol"]), json!({"startDate": start, "endDate": end}))).await
}

#[tokio::test]
async fn m9_each_day_has_an_element_with_its_bounds() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    at(&mut bob, "2026-10-25T10:00:00+01:00", "2026-10-25T11:00:00+01:00").await;
    let answer = bob.ask(COUNTS, json!({"localDateNow": "2026-10-24T12:00:00+02:00", "size": 3})).await;
    // The clocks go back on the 25th.
    let expected = json!({"meetingCounts": [
        {"count": 0, "startDate": "2026-10-23T22:00:00Z", "endDate": "2026-10-24T22:00:00Z"},
        {"count": 1, "startDate": "2026-10-24T22:00:00Z", "endDate": "2026-10-25T23:00:00Z"},
        {"count": 0, "startDate": "2026-10-25T23:00:00Z", "endDate": "2026-10-26T23:00:00Z"},
    ]});
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn m9_meetings_count_on_each_day_they_touch() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let bob = &mut people.bob;
    at(bob, "2030-01-02T10:00:00+01:00", "2030-01-02T11:00:00+01:00").await;
    at(bob, "2030-01-02T23:00:00+01:00", "2030-01-03T00:00:00+01:00").await;
    at(bob, "2030-01-03T23:00:00+01:00", "2030-01-04T00:00:00.000001+01:00").await;
    at(bob, "2029-12-15T00:00:00+01:00", "2030-01-02T00:00:00+01:00").await;
    let declined = at(bob, "2030-01-04T10:00:00+01:00", "2030-01-04T11:00:00+01:00").await;
    let asked =
        |offset: i64, size: i64| json!({"localDateNow": "2030-01-02T12:00:00+01:00", "offset": offset, "size": size});
    assert_eq!(counts(&mut people.carol, asked(-1, 4)).await, [1, 2, 1, 2], "what is not answered counts");
    people.carol.ask("meeting:declineMeetingRequest", named(&declined)).await;
    assert_eq!(counts(&mut people.carol, asked(-1, 4)).await, [1, 2, 1, 1], "declined ones do not");
    assert_eq!(counts(&mut people.carol, asked(2, 1)).await, [1]);
    assert_eq!(counts(&mut people.carol, asked(-18, 2)).await, [1, 1]);
    assert_eq!(counts(&mut people.alice, asked(-1, 4)).await, [0, 0, 0, 0], "one's own");
}

#[tokio::test]
async fn m9_thirty_days_where_none_are_asked_for_and_a_year_at_most() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let now = "2030-01-02T12:00:00+01:00";
    for (request, days) in [
        (json!({"localDateNow": now}), 30),
        (json!({"localDateNow": now, "size": 0}), 30),
        (json!({"localDateNow": now, "size": 366, "offset": -366}), 366),
    ] {
        assert_eq!(counts(&mut bob, request).await, vec![0; days]);
    }
    for (request, field) in [
        (json!({"localDateNow": now, "size": 367}), "data.size"),
        (json!({"localDateNow": now, "size": -1}), "data.size"),
        (json!({"localDateNow": now, "size": "3"}), "data.size"),
        (json!({"size": 3}), "data.localDateNow"),
        (json!({"localDateNow": now, "offset": i64::MAX}), "data.offset"),
        (json!({"localDateNow": now, "offset": i64::MIN}), "data.offset"),
        (json!({"localDateNow": now, "offset": 3_000_000}), "data.offset"),
    ] {
        let (code, message) = refused(&mut bob, COUNTS, request).await;
        assert_eq!((code, message.starts_with(&format!("{field}: "))), (400, true), "{field}: {message}");
    }
}

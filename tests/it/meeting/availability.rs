//! When people say that they are available: rules A1 to A6, T2 and T3. What the days are made of is tested where the
//! engine stands.

use harness::{Client, Stack};
use serde_json::{Value, json};

use super::refused;

const SET: &str = "meeting:setUserAvailability";

/// A request to set ranges of 5 May 2026, a Tuesday, from hour to hour in Berlin.
fn set(status: &str, ranges: &[(&str, &str)], repetition: u64) -> Value {
    let at = |hour: &str| format!("2026-05-05T{hour}:00:00+02:00");
    let dates: Vec<Value> =
        ranges.iter().map(|(start, end)| json!({"startDate": at(start), "endDate": at(end)})).collect();
    json!({
        "availability": {"status": status, "dates": dates, "repetition": repetition},
        "localDate": "2026-05-05T12:00:00+02:00",
    })
}

fn local(date: &str) -> Value {
    json!({"localDate": date})
}

/// `Available` in these intervals, given as start and end.
fn available(intervals: &[(&str, &str)]) -> Value {
    let dates: Vec<Value> = intervals.iter().map(|(start, end)| json!({"startDate": start, "endDate": end})).collect();
    json!({"status": "Available", "dates": dates})
}

fn not_available() -> Value {
    json!({"status": "NotAvailable", "dates": []})
}

async fn of(client: &mut Client, what: &str, date: &str) -> Value {
    client.ask(&format!("meeting:getUserAvailabilityFor{what}"), local(date)).await
}

#[tokio::test]
async fn a2_who_has_set_nothing_is_available() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    for (what, start, end) in [
        ("Day", "2026-05-04T22:00:00Z", "2026-05-05T22:00:00Z"),
        ("Week", "2026-05-02T22:00:00Z", "2026-05-09T22:00:00Z"),
        ("Month", "2026-04-30T22:00:00Z", "2026-05-31T22:00:00Z"),
    ] {
        // T2: `Z` says nothing of the place, so it is Bob's.
        let told = of(&mut bob, what, "2026-05-04T23:00:00Z").await;
        assert_eq!(told, json!({"availability": available(&[(start, end)])}), "{what}");
    }
    let pattern = bob.ask("meeting:getUserAvailabilityPattern", local("2026-05-05T12:00:00+02:00")).await;
    let days = pattern["pattern"]["availabilities"].as_array().expect("a list");
    assert_eq!(days.len(), 7);
    assert_eq!(days[0], available(&[("2026-05-02T22:00:00Z", "2026-05-03T22:00:00Z")]), "Sunday first");
    assert_eq!(days[6], available(&[("2026-05-08T22:00:00Z", "2026-05-09T22:00:00Z")]));
}

#[tokio::test]
async fn a1_to_a6_what_is_set_is_told_and_replaced_and_removed() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let answer = bob.call(SET, set("Available", &[("09", "12"), ("13", "17")], 0b000_0110)).await;
    assert_eq!(answer["error"]["code"], 0);
    assert_eq!(answer.get("data"), None, "the documents show none");

    let monday = [("2026-05-04T07:00:00Z", "2026-05-04T10:00:00Z"), ("2026-05-04T11:00:00Z", "2026-05-04T15:00:00Z")];
    let tuesday = [("2026-05-05T07:00:00Z", "2026-05-05T10:00:00Z"), ("2026-05-05T11:00:00Z", "2026-05-05T15:00:00Z")];
    let both = [monday, tuesday].concat();
    assert_eq!(of(&mut bob, "Week", "2026-05-09T23:00:00+02:00").await["availability"], available(&both));
    assert_eq!(of(&mut bob, "Day", "2026-05-06T12:00:00+02:00").await["availability"], not_available(), "A2");
    let pattern = bob.ask("meeting:getUserAvailabilityPattern", local("2026-05-05T12:00:00+02:00")).await;
    let none = not_available();
    let days = [&none, &available(&monday), &available(&tuesday), &none, &none, &none, &none];
    assert_eq!(pattern, json!({"pattern": {"availabilities": days}}));

    // The date over its weekday, until it is removed.
    bob.ask(SET, set("Available", &[("20", "02")], 0)).await;
    let night = [("2026-05-05T18:00:00Z", "2026-05-06T00:00:00Z")];
    let with_night = [&monday[..], &night].concat();
    assert_eq!(of(&mut bob, "Week", "2026-05-05T12:00:00+02:00").await["availability"], available(&with_night));
    let tail = [("2026-05-05T22:00:00Z", "2026-05-06T00:00:00Z")];
    assert_eq!(of(&mut bob, "Day", "2026-05-06T12:00:00+02:00").await["availability"], available(&tail));
    bob.ask(SET, set("NotAvailable", &[("10", "11")], 0)).await;
    let less = [
        ("2026-05-05T07:00:00Z", "2026-05-05T08:00:00Z"),
        ("2026-05-05T09:00:00Z", "2026-05-05T10:00:00Z"),
        ("2026-05-05T11:00:00Z", "2026-05-05T15:00:00Z"),
    ];
    assert_eq!(of(&mut bob, "Day", "2026-05-05T12:00:00+02:00").await["availability"], available(&less), "A4");
    bob.ask(SET, set("Default", &[], 0)).await;
    assert_eq!(of(&mut bob, "Day", "2026-05-05T12:00:00+02:00").await["availability"], available(&tuesday));

    // A3: setting replaces, and other weekdays stay.
    bob.ask(SET, set("Available", &[], 0b000_0100)).await;
    let whole = [("2026-05-04T22:00:00Z", "2026-05-05T22:00:00Z")];
    let both = [&monday[..], &whole].concat();
    assert_eq!(of(&mut bob, "Week", "2026-05-05T12:00:00+02:00").await["availability"], available(&both));
    bob.ask(SET, set("Default", &[], 0b111_1111)).await;
    assert_eq!(of(&mut bob, "Day", "2026-05-06T12:00:00+02:00").await["availability"]["status"], "Available");
}

#[tokio::test]
async fn a_set_of_the_same_value_twice_changes_nothing() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let rows = async || -> Vec<(String, String)> {
        sqlx::query_as(
            "SELECT d::text, xmin::text FROM availability_days d
             UNION ALL SELECT w::text, '' FROM availability_weekdays w ORDER BY 1",
        )
        .fetch_all(&mut stack.database().await)
        .await
        .expect("rows")
    };
    let mut before = Vec::new();
    for round in 0..2 {
        bob.ask(SET, set("Available", &[("09", "17")], 0b010_1010)).await;
        bob.ask(SET, set("NotAvailable", &[("22", "03")], 0)).await;
        let now: Vec<String> = rows().await.into_iter().map(|(row, _)| row).collect();
        assert_eq!(now.len(), 4);
        assert!(round == 0 || now == before, "{before:?} {now:?}");
        before = now;
    }
    // One that is sent again is not done again.
    let frame = set("Available", &[], 0);
    assert_eq!(bob.call_once("e1", SET, frame.clone()).await["error"]["code"], 0);
    let done = rows().await;
    assert_eq!(bob.call_once("e1", SET, frame).await["error"]["code"], 0);
    assert_eq!(rows().await, done);
}

#[tokio::test]
async fn a5_what_cannot_be_set_is_400_and_names_the_field() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let other_day = json!([{"startDate": "2026-05-06T10:00:00+02:00", "endDate": "2026-05-06T11:00:00+02:00"}]);
    let day_and_more = json!([{"startDate": "2026-05-05T10:00:00+02:00", "endDate": "2026-05-06T10:00:01+02:00"}]);
    let half = json!([{"startDate": "2026-05-05T10:00:00+02:00"}]);
    let range = json!({"startDate": "2026-05-05T10:00:00+02:00", "endDate": "2026-05-05T11:00:00+02:00"});
    let with = |field: &str, value: Value| {
        let mut data = set("Available", &[], 0);
        data["availability"][field] = value;
        data
    };
    let at = |date: Value| {
        let mut data = set("Available", &[], 0);
        data["localDate"] = date;
        data
    };
    for (data, field) in [
        (with("status", json!("Maybe")), "data.availability.status"),
        (with("repetition", json!(128)), "data.availability.repetition"),
        (with("repetition", json!(256)), "data.availability.repetition"),
        (with("repetition", json!(-1)), "data.availability.repetition"),
        (with("dates", other_day), "data.availability.dates[0]"),
        (with("dates", day_and_more), "data.availability.dates[0]"),
        (with("dates", half), "data.availability.dates[0].endDate"),
        (with("dates", json!(vec![range; 49])), "data.availability.dates"),
        (at(json!(null)), "data.localDate"),
        (at(json!("0001-01-01T00:00:00Z")), "data.localDate"),
        (at(json!("9999-12-31T00:00:00Z")), "data.localDate"),
        (at(json!("2026-05-05T12:00:00+02:00[Asia/Tokyo]")), "data.localDate"),
        (at(json!("2026-05-05T12:00:00+02:00[Mars/Olympus]")), "data.localDate"),
    ] {
        let (code, message) = refused(&mut bob, SET, data).await;
        assert_eq!((code, message.starts_with(&format!("{field}: "))), (400, true), "{field}: {message}");
    }
    for what in ["Pattern", "ForDay", "ForWeek", "ForMonth"] {
        let (code, message) = refused(&mut bob, &format!("meeting:getUserAvailability{what}"), json!({})).await;
        assert_eq!((code, message.starts_with("data.localDate: ")), (400, true), "{what}: {message}");
    }
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM availability_days) + (SELECT count(*) FROM availability_weekdays)",
    )
    .fetch_one(&mut stack.database().await)
    .await
    .expect("a count");
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn t3_a_day_that_the_zone_skipped_is_told_as_not_available() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    // Thursday, with the range over midnight that runs into the skipped Friday and so into Saturday.
    let thursday = json!({
        "availability": {"status": "Available", "repetition": 0b001_0000, "dates": [
            {"startDate": "2011-12-29T22:00:00-10:00", "endDate": "2011-12-29T02:00:00-10:00"}]},
        "localDate": "2011-12-29T12:00:00-10:00[Pacific/Apia]",
    });
    bob.ask(SET, thursday).await;
    let month = of(&mut bob, "Month", "2011-12-01T12:00:00-10:00[Pacific/Apia]").await;
    let dates = month["availability"]["dates"].as_array().expect("a list");
    assert_eq!(dates.len(), 5, "five Thursdays: {month}");
    assert_eq!(dates[4], json!({"startDate": "2011-12-30T08:00:00Z", "endDate": "2011-12-30T12:00:00Z"}));
    let pattern = bob.ask("meeting:getUserAvailabilityPattern", local("2011-12-29T12:00:00-10:00[Pacific/Apia]")).await;
    assert_eq!(pattern["pattern"]["availabilities"][5], not_available());
}

#[tokio::test]
async fn v1_what_is_set_belongs_to_one_user_of_one_network() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "bob", "networkIds": ["demo", "other"]}),
        ])
        .await;
    let mut bob = stack.client(0, "bob").await;
    bob.ask(SET, set("NotAvailable", &[], 0)).await;
    let mut carol = stack.client(1, "carol").await;
    let mut elsewhere = stack.connect_as(1, "bob", "other", "elsewhere").open().await.expect("let in");
    elsewhere.event("user_info").await;
    let day = "2026-05-05T12:00:00+02:00";
    assert_eq!(of(&mut bob, "Day", day).await["availability"], not_available());
    for client in [&mut carol, &mut elsewhere] {
        assert_eq!(of(client, "Day", day).await["availability"]["status"], "Available");
    }
    let mut phone = stack.connect_as(1, "bob", "demo", "phone").open().await.expect("let in");
    phone.event("user_info").await;
    assert_eq!(of(&mut phone, "Day", day).await["availability"], not_available(), "on every pod");
}

#[tokio::test]
async fn weekdays_that_are_set_at_once_are_set_whole() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut one = stack.client(0, "bob").await;
    let mut other = stack.connect_as(1, "bob", "demo", "another session").open().await.expect("let in");
    other.event("user_info").await;
    for _ in 0..10 {
        let (first, second) = tokio::join!(
            one.call(SET, set("Available", &[("09", "10")], 0b111_1111)),
            other.call(SET, set("Available", &[("19", "20")], 0b111_1111)),
        );
        assert_eq!([&first["error"]["code"], &second["error"]["code"]], [0, 0]);
        let week = of(&mut one, "Week", "2026-05-05T12:00:00+02:00").await;
        let dates = week["availability"]["dates"].as_array().expect("a list");
        let hours: Vec<&str> =
            dates.iter().map(|date| &date["startDate"].as_str().expect("a timestamp")[11..13]).collect();
        assert_eq!(hours.len(), 7);
        assert!(hours.iter().all(|hour| *hour == hours[0]), "one of them won for all days: {hours:?}");
    }
}

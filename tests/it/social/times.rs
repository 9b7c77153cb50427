//! When sessions occur: rules S9, T4.

use harness::Stack;
use serde_json::{Value, json};

use super::{People, count, create, event_for, get, joined, named, publish, refused, update, users, with, yoga};

/// What is at the round table.
async fn at_the_table(client: &mut harness::Client) -> Vec<(String, String)> {
    let mut answer = client.ask("social:getPropSessions", json!({"roomId": "lobby", "propId": "table"})).await;
    let told = |session: &Value| {
        let text = |field: &str| session[field].as_str().expect("a text").to_owned();
        (text("title"), text("startDate"))
    };
    answer["sessions"].take().as_array().expect("a list").iter().map(told).collect()
}

fn at_table(title: &str, start: &str) -> Value {
    with(yoga(None), json!({"title": title, "startDate": start, "propId": "table"}))
}

#[tokio::test]
async fn s9_the_two_next_sessions_of_a_prop_are_told_each_series_once() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    assert_eq!(at_the_table(&mut people.dave).await, []);
    let weekly = |title: &str, start: &str| with(at_table(title, start), json!({"isRecurring": true}));
    for session in [
        at_table("past", "2020-01-02T10:00:00Z"),
        at_table("third", "2093-01-02T10:00:00Z"),
        at_table("second", "2092-01-02T10:00:00Z"),
        with(at_table("private", "2090-01-02T10:00:00Z"), json!({"sessionType": 1})),
        with(at_table("room", "2090-01-02T10:00:00Z"), json!({"propId": ""})),
        weekly("series", "2091-01-02T10:00:00Z"),
    ] {
        create(&mut people.bob, session, json!([])).await;
    }
    let both = |names: [(&str, &str); 2]| names.map(|(title, start)| (title.to_owned(), start.to_owned()));
    let expected = both([("series", "2091-01-02T10:00:00Z"), ("second", "2092-01-02T10:00:00Z")]);
    assert_eq!(at_the_table(&mut people.dave).await, expected);
    let own = both([("private", "2090-01-02T10:00:00Z"), ("series", "2091-01-02T10:00:00Z")]);
    assert_eq!(at_the_table(&mut people.bob).await, own);

    // What is going on comes first: from yesterday until tomorrow.
    let now: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT now()").fetch_one(&mut stack.database().await).await.expect("a time");
    let yesterday = (now - chrono::TimeDelta::days(1)).to_rfc3339();
    let ongoing = with(at_table("ongoing", &yesterday), json!({"duration": 2 * 24 * 3600}));
    create(&mut people.bob, ongoing, json!([])).await;
    // A series that began long ago is told with its next start.
    let long_ago = with(weekly("old", "2020-01-06T03:00:00Z"), json!({"duration": 1}));
    create(&mut people.bob, long_ago, json!([])).await;
    let told = at_the_table(&mut people.dave).await;
    assert_eq!([&told[0].0, &told[1].0], ["ongoing", "old"]);
    let next: chrono::DateTime<chrono::Utc> = told[1].1.parse().expect("a timestamp");
    assert!(next > now - chrono::TimeDelta::seconds(2) && next < now + chrono::TimeDelta::days(8), "{next}");
    // Bob is in Berlin: always Monday at four o'clock.
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
    let local = zone.to_datetime(jiff::Timestamp::from_second(next.timestamp()).expect("a time"));
    assert_eq!((local.weekday(), local.hour(), local.minute()), (jiff::civil::Weekday::Monday, 4, 0));
}

#[tokio::test]
async fn getting_the_sessions_of_a_prop_needs_the_room() {
    let stack = Stack::builder().start().await;
    stack.import_all(&[json!({"kind": "room", "id": "vault", "networkId": "demo", "ownerId": "alice"})]).await;
    let mut dave = stack.client(0, "dave").await;
    for (room, prop, expected) in
        [("attic", "table", 802), ("vault", "table", 803), ("lobby", "screen", 404), ("lobby", "", 0), ("", "", 400)]
    {
        let request = json!({"roomId": room, "propId": prop});
        assert_eq!(super::code(&mut dave, "social:getPropSessions", request).await, expected, "{room} {prop}");
    }
}

#[tokio::test]
async fn s9_a_series_keeps_the_clock_time_of_its_owners_zone() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "user", "id": "nina", "networkIds": ["demo"], "timeZone": "America/New_York"}),
            json!({"kind": "user", "id": "zoe", "networkIds": ["demo"]}),
        ])
        .await;
    let zone = async |user: &str, start: &str| -> (String, String) {
        let mut client = stack.client(0, user).await;
        let session = with(yoga(None), json!({"startDate": start, "isRecurring": true}));
        let session = create(&mut client, session, json!([])).await;
        sqlx::query_as("SELECT time_zone, local_start::text FROM social_sessions WHERE id = $1::uuid")
            .bind(session["id"].as_str().expect("an id"))
            .fetch_one(&mut stack.database().await)
            .await
            .expect("the session")
    };
    for (user, start, expected, local) in [
        ("nina", "2030-03-01T10:00:00+01:00", "America/New_York", "2030-03-01 04:00:00"),
        ("nina", "2030-03-01T10:00:00Z", "America/New_York", "2030-03-01 05:00:00"),
        ("zoe", "2030-03-01T10:00:00+01:00[Europe/Berlin]", "Europe/Berlin", "2030-03-01 10:00:00"),
        ("zoe", "2030-03-01T10:00:00+05:45", "+05:45", "2030-03-01 10:00:00"),
        ("zoe", "2030-03-01T10:00:00Z", "UTC", "2030-03-01 10:00:00"),
    ] {
        assert_eq!(zone(user, start).await, (expected.to_owned(), local.to_owned()), "{user} {start}");
    }
    // The zone is that of the creation.
    let moved = "SELECT count(DISTINCT time_zone) FROM social_sessions WHERE owner_id = 'nina'";
    stack.import_all(&[json!({"kind": "user", "id": "nina", "timeZone": "Asia/Tokyo"})]).await;
    assert_eq!(count(&stack, moved).await, 1);
}

#[tokio::test]
async fn s9_a_series_ends_by_the_end_of_its_event_wherever_that_moves() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let series = with(yoga(Some(&event)), json!({"isRecurring": true}));
    let session = create(&mut people.bob, series, users(&["carol"])).await;
    let single = create(&mut people.bob, yoga(Some(&event)), json!([])).await;
    let ends = async || -> Vec<Option<chrono::DateTime<chrono::Utc>>> {
        sqlx::query_scalar(
            "SELECT ends_at FROM social_sessions WHERE id = $1::uuid
             UNION ALL SELECT ends_at FROM social_participants WHERE session_id = $1::uuid",
        )
        .bind(session["id"].as_str().expect("an id"))
        .fetch_all(&mut stack.database().await)
        .await
        .expect("ends")
    };
    let end = |text: &str| vec![Some(text.parse().expect("a time")); 3];
    assert_eq!(ends().await, end("2030-01-30T11:00:00Z"));
    for (event_end, last) in [
        ("2030-01-30T10:59:59Z", "2030-01-23T11:00:00Z"),
        ("2030-04-03T10:00:00Z", "2030-04-03T10:00:00Z"),
        ("2030-01-02T11:00:00Z", "2030-01-02T11:00:00Z"),
    ] {
        let request = json!({"eventId": event["id"], "event": {"endDate": event_end}});
        people.alice.ask("social:updateEvent", request).await;
        // After the last of March the clock in Berlin shows the same an hour earlier.
        assert_eq!(ends().await, end(last), "{event_end}");
    }
    update(&mut people.bob, &session, json!({"isRecurring": false})).await;
    assert_eq!(ends().await, end("2030-01-02T11:00:00Z"));
    drop(single);
    let open = create(&mut people.bob, with(yoga(None), json!({"isRecurring": true})), json!([])).await;
    assert_eq!(open["isRecurring"], true);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_sessions WHERE ends_at IS NULL").await, 1);
}

#[tokio::test]
async fn u1_invitations_count_until_they_are_answered_or_over() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let counted = async || -> u64 {
        let mut dave = stack.connect_as(0, "dave", "demo", "another").open().await.expect("let in");
        let info = dave.event("user_info").await;
        info["data"]["user"]["newInvitationsCount"].as_u64().expect("a number")
    };
    assert_eq!(counted().await, 0);
    let past = json!({"startDate": "2020-01-02T10:00:00Z"});
    let sessions = [
        yoga(None),
        with(yoga(None), json!({"sessionType": 1})),
        with(yoga(None), past.clone()),
        with(with(yoga(None), past.clone()), json!({"isRecurring": true})),
    ];
    let mut made = Vec::new();
    for session in sessions {
        made.push(create(&mut people.bob, session, users(&["dave"])).await);
    }
    let january = json!({"startDate": "2020-01-01T00:00:00Z", "endDate": "2020-02-01T00:00:00Z"});
    let ended = publish(&mut people.alice, "network:demo", with(super::in_january(), january)).await;
    let ended = with(with(yoga(Some(&ended)), past), json!({"isRecurring": true}));
    create(&mut people.bob, ended, users(&["dave"])).await;
    assert_eq!(counted().await, 3, "not what is over");
    people.dave.ask("social:joinSession", named(&made[0])).await;
    assert_eq!(counted().await, 2, "not what is joined");
    people.dave.ask("social:declineSessionJoin", named(&made[1])).await;
    assert_eq!(counted().await, 1);
    people.bob.ask("social:deleteSession", named(&made[3])).await;
    assert_eq!(counted().await, 0);
}

/// The calendar file of a session, as bob gets it, unfolded.
async fn file(stack: &Stack, session: &Value) -> String {
    let id = session["id"].as_str().expect("an id");
    let url = format!("http://{}/api/v0/resource/sessionInvitation/{id}", stack.gateways[0].public);
    let token = harness::token::token("bob", "demo", "session-of-bob");
    let answer = harness::stack::http().get(url).bearer_auth(token).send().await.expect("the gateway answers");
    answer.text().await.expect("a body").replace("\r\n ", "")
}

fn has_lines(file: &str, lines: &[&str]) {
    for line in lines {
        assert!(file.contains(&format!("\r\n{line}\r\n")), "{line} is not in {file}");
    }
}

/// In Berlin, clocks show 02:30 twice on 31 October 2027: at 00:30Z and at 01:30Z.
fn in_the_second_run() -> Value {
    json!({"startDate": "2027-10-31T01:30:00Z", "duration": 1800})
}

#[tokio::test]
async fn s9_a_weekly_session_does_not_begin_in_the_second_run_of_an_hour() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let second = with(yoga(None), in_the_second_run());
    let weekly = json!({"isRecurring": true});
    let expected = "data.session.startDate: ";
    let request = json!({"session": with(second.clone(), weekly.clone())});
    let (code, message) = refused(&mut people.bob, "social:createSession", request).await;
    assert!(code == 400 && message.starts_with(expected), "{code} {message}");

    // Once it may; but then it is not made weekly.
    let single = create(&mut people.bob, second, json!([])).await;
    assert_eq!(single["startDate"], "2027-10-31T01:30:00Z");
    let first = with(yoga(None), json!({"startDate": "2027-10-31T00:30:00Z", "duration": 1800, "isRecurring": true}));
    let series = create(&mut people.bob, first, json!([])).await;
    for (session, changes) in [
        (&single, weekly.clone()),
        (&single, with(in_the_second_run(), weekly)),
        // Nor is a weekly one moved there.
        (&series, json!({"startDate": "2027-10-31T01:30:00Z"})),
        (&series, json!({"startDate": "2029-10-28T01:59:59.999999Z"})),
    ] {
        let request = json!({"session": with(changes.clone(), json!({"id": session["id"]}))});
        let (code, message) = refused(&mut people.bob, "social:updateSession", request).await;
        assert!(code == 400 && message.starts_with(expected), "{changes}: {code} {message}");
    }
    let lines = ["DTSTART;TZID=Europe/Berlin:20271031T023000", "DTEND:20271031T010000Z"];
    has_lines(&file(&stack, &series).await, &lines);
    assert_eq!(get(&mut people.bob, &series).await["startDate"], "2027-10-31T00:30:00Z");

    // What is only renamed, and what is not weekly, is not asked.
    update(&mut people.bob, &single, json!({"title": "Late"})).await;
    let later =
        update(&mut people.bob, &series, json!({"startDate": "2027-10-31T01:30:00Z", "isRecurring": false})).await;
    assert_eq!((&later["startDate"], &later["isRecurring"]), (&json!("2027-10-31T01:30:00Z"), &json!(false)));
}

#[tokio::test]
async fn s9_a_weekly_session_lasts_at_most_seven_days() {
    const WEEK: u32 = 7 * 24 * 3600;
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let lasting =
        |seconds: u32, is_recurring: bool| with(yoga(None), json!({"duration": seconds, "isRecurring": is_recurring}));
    let expected = "data.session.duration: ";
    for seconds in [WEEK + 1, 8 * 24 * 3600] {
        let request = json!({"session": lasting(seconds, true)});
        let (code, message) = refused(&mut people.bob, "social:createSession", request).await;
        assert!(code == 400 && message.starts_with(expected), "{seconds}: {code} {message}");
    }
    let longest = create(&mut people.bob, lasting(WEEK, true), json!([])).await;
    let long = create(&mut people.bob, lasting(8 * 24 * 3600, false), json!([])).await;
    for (session, changes) in [
        (&longest, json!({"duration": WEEK + 1})),
        (&long, json!({"isRecurring": true})),
        (&long, json!({"isRecurring": true, "duration": WEEK + 1})),
    ] {
        let request = json!({"session": with(changes.clone(), json!({"id": session["id"]}))});
        let (code, message) = refused(&mut people.bob, "social:updateSession", request).await;
        assert!(code == 400 && message.starts_with(expected), "{changes}: {code} {message}");
    }

    // One of before stays as it is until its time is changed.
    sqlx::query("UPDATE social_sessions SET is_recurring = true, ends_at = NULL WHERE id = $1::uuid")
        .bind(long["id"].as_str().expect("an id"))
        .execute(&mut stack.database().await)
        .await
        .expect("an older session");
    let whole = with(get(&mut people.bob, &long).await, json!({"title": "Retreat"}));
    let renamed = update(&mut people.bob, &long, whole).await;
    assert_eq!(renamed["title"], "Retreat");
    assert_eq!((&renamed["duration"], &renamed["isRecurring"]), (&json!(8 * 24 * 3600), &json!(true)));
    let moved = json!({"session": {"id": long["id"], "startDate": "2030-01-09T10:00:00Z"}});
    let (code, message) = refused(&mut people.bob, "social:updateSession", moved).await;
    assert!(code == 400 && message.starts_with(expected), "{code} {message}");
    let shorter = json!({"startDate": "2030-01-09T10:00:00Z", "duration": 3600});
    assert_eq!(update(&mut people.bob, &long, shorter).await["startDate"], "2030-01-09T10:00:00Z");
}

#[tokio::test]
async fn s11_those_who_belong_are_told_that_their_event_ends_a_series() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 0).await;
    let weekly = with(yoga(Some(&event)), json!({"isRecurring": true}));
    let series = create(&mut people.bob, weekly, users(&["carol"])).await;
    let single = create(&mut people.bob, yoga(Some(&event)), users(&["carol"])).await;
    people.dave.ask("social:joinSession", named(&series)).await;
    let mut before = get(&mut people.bob, &series).await;
    has_lines(&file(&stack, &series).await, &["RRULE:FREQ=WEEKLY;UNTIL=20300130T100000Z", "SEQUENCE:0"]);
    for client in [&mut people.bob, &mut people.carol] {
        for _ in 0..3 {
            client.event("social:sessionUpdated").await;
        }
    }
    people.dave.event("social:sessionUpdated").await;

    for (n, (end, until)) in
        [("2030-01-16T11:00:00Z", "20300116T100000Z"), ("2030-02-06T12:00:00Z", "20300206T100000Z")]
            .into_iter()
            .enumerate()
    {
        // The first one only ends it; then neither the title nor an end that cuts nothing is told.
        for changes in [json!({"endDate": end}), json!({"title": end}), json!({"startDate": "2029-12-31T00:00:00Z"})] {
            let request = json!({"eventId": event["id"], "event": changes});
            people.alice.ask("social:updateEvent", request).await;
        }
        let sequence = format!("SEQUENCE:{}", n + 1);
        has_lines(&file(&stack, &series).await, &[&format!("RRULE:FREQ=WEEKLY;UNTIL={until}"), &sequence]);
        let now = get(&mut people.bob, &series).await;
        assert_ne!(now["updated"], before["updated"]);
        assert_eq!(joined(&now), ["dave"]);
        for client in [&mut people.bob, &mut people.carol, &mut people.dave] {
            assert_eq!(client.event("social:sessionUpdated").await["data"]["session"], now);
        }
        before = now;
    }
    let last = update(&mut people.bob, &single, json!({"title": "Last"})).await;
    for client in [&mut people.bob, &mut people.carol] {
        assert_eq!(
            client.event("social:sessionUpdated").await["data"]["session"],
            last,
            "the single one was not told of"
        );
    }
}

//! Newer zone data: what was worked out with older is worked out again (rule S9).

use std::{fs, path::Path};

use harness::{Client, Stack, eventually};
use jiff::tz::TimeZoneDatabase;
use serde_json::{Value, json};
use worker::Zones;

use super::{People, create, event_for, get, named, publish, update, users, with, yoga};

/// Newer than all that there is.
pub(super) const NEWER: &str = "9999a";

/// Zone data in which Berlin's clocks are never changed and two hours ahead, and nobody knows another zone.
pub(super) fn zones(version: &str, folder: &Path) -> Zones {
    let file = folder.join("Europe/Berlin");
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    // RFC 9636, version 2: a zone of one offset.
    let header = [b"TZif2".as_slice(), &[0; 15]].concat();
    let counts: Vec<u8> = [0_u32, 0, 0, 0, 1, 4].into_iter().flat_map(u32::to_be_bytes).collect();
    let local_time_type = [7200_i32.to_be_bytes().as_slice(), &[0, 0], b"+02\0"].concat();
    let block = [header, counts, local_time_type].concat();
    fs::write(file, [block.clone(), block, b"\n<+02>-2\n".to_vec()].concat()).expect("zone data");
    Zones::new(version, TimeZoneDatabase::from_dir(folder).expect("zone data"))
}

/// What a worker that has found nothing more to do says.
async fn is_done(stack: &Stack, worker: usize, version: &str) {
    eventually!(stack.workers[worker].get("/readyz").await, |answer| {
        answer.as_ref().is_some_and(|(status, text)| {
            let ready: Value = serde_json::from_str(text).expect("JSON");
            *status == 200 && ready["zoneData"] == version && ready["zoneDataWaiting"] == 0
        })
    });
    eventually!(passes(stack).await, |passes| passes.iter().all(|(_, by, is_done)| by == version && *is_done));
}

/// Networks, the version that they have been gone over with, and whether that is done.
async fn passes(stack: &Stack) -> Vec<(String, String, bool)> {
    sqlx::query_as(
        "SELECT network_id, zone_data, beyond IS NULL AND done_at IS NOT NULL FROM social_zone_passes
         WHERE network_id NOT LIKE 'canary:%' ORDER BY 1",
    )
    .fetch_all(&mut stack.database().await)
    .await
    .expect("passes")
}

/// First start, end, sequence number, and the version that these are of.
async fn kept(stack: &Stack, session: &Value) -> (String, Option<String>, i32, Option<String>) {
    sqlx::query_as(
        "SELECT to_char(starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
                to_char(ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), sequence,
                CASE WHEN zone_data_sequence = sequence THEN zone_data END
         FROM social_sessions s WHERE id = $1::uuid AND NOT EXISTS (
             SELECT FROM social_participants p
             WHERE p.session_id = s.id
                 AND (p.starts_at, p.ends_at) IS DISTINCT FROM (s.starts_at, s.ends_at))",
    )
    .bind(session["id"].as_str().expect("an id"))
    .fetch_one(&mut stack.database().await)
    .await
    .expect("a session whose members have its times")
}

fn owned(
    starts: &str,
    ends: Option<&str>,
    sequence: i32,
    version: &str,
) -> (String, Option<String>, i32, Option<String>) {
    (starts.to_owned(), ends.map(str::to_owned), sequence, Some(version.to_owned()))
}

async fn execute(stack: &Stack, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut stack.database().await).await.expect(sql);
}

/// Lets so much time pass that the next pass is due.
async fn let_time_pass(stack: &Stack) {
    execute(stack, "UPDATE social_zone_passes SET done_at = now() - interval '1 hour', claimed_until = now()").await;
}

async fn told(client: &mut Client) -> Value {
    client.event("social:sessionUpdated").await["data"]["session"].take()
}

fn weekly(session: Value) -> Value {
    with(session, json!({"isRecurring": true}))
}

#[tokio::test]
async fn s9_newer_zone_data_moves_series_and_those_who_belong_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::builder().workers(2).start().await;
    stack.import_all(&[json!({"kind": "user", "id": "zoe", "networkIds": ["demo"]})]).await;
    let mut people = People::of(&stack).await;
    let mut zoe = stack.client(0, "zoe").await;
    let bundled = Zones::bundled().version().to_owned();
    let event = event_for(&mut people.alice, 0).await;
    let tight = json!({"startDate": "2030-01-02T10:00:00Z", "endDate": "2030-01-02T11:00:00Z"});
    let tight = publish(&mut people.alice, "network:demo", with(super::in_january(), tight)).await;
    let endless = create(&mut people.bob, weekly(yoga(None)), users(&["carol"])).await;
    people.dave.ask("social:joinSession", named(&endless)).await;
    let bounded = create(&mut people.bob, weekly(yoga(Some(&event))), json!([])).await;
    let outside = create(&mut people.bob, weekly(yoga(Some(&tight))), json!([])).await;
    let single = create(&mut people.bob, yoga(None), json!([])).await;
    let elsewhere = create(&mut zoe, weekly(yoga(None)), json!([])).await;
    assert_eq!(kept(&stack, &bounded).await, owned("2030-01-02 10:00", Some("2030-01-30 11:00"), 0, &bundled));
    is_done(&stack, 0, &bundled).await;
    for client in [&mut people.bob, &mut people.carol] {
        // Made, and dave has joined.
        told(client).await;
        told(client).await;
    }
    told(&mut people.dave).await;
    for _ in 0..3 {
        told(&mut people.bob).await;
    }

    stack.workers[1].bring_zones(zones(NEWER, folder.path()));
    stack.workers[1].restart().await;
    is_done(&stack, 1, NEWER).await;
    for client in [&mut people.carol, &mut people.dave] {
        let now = told(client).await;
        assert_eq!((&now["id"], &now["startDate"]), (&endless["id"], &json!("2030-01-02T09:00:00Z")));
    }
    let mut moved = Vec::new();
    for _ in 0..3 {
        let now = told(&mut people.bob).await;
        assert_eq!(now["startDate"], "2030-01-02T09:00:00Z");
        moved.push(now["id"].clone());
    }
    moved.sort_by_key(ToString::to_string);
    assert_eq!(moved, [&endless, &bounded, &outside].map(|session| session["id"].clone()));
    assert_eq!(kept(&stack, &endless).await, owned("2030-01-02 09:00", None, 1, NEWER));
    assert_eq!(kept(&stack, &bounded).await, owned("2030-01-02 09:00", Some("2030-01-30 10:00"), 1, NEWER));
    assert_eq!(kept(&stack, &outside).await, owned("2030-01-02 09:00", Some("2030-01-02 10:00"), 1, NEWER), "it stays");
    assert_eq!(kept(&stack, &elsewhere).await, owned("2030-01-02 10:00", None, 0, NEWER));

    // All that is told of it is the same, now that nobody has older data.
    stack.workers[0].stop().await;
    for (session, start) in
        [(&endless, "2030-01-02T09:00:00Z"), (&outside, "2030-01-02T09:00:00Z"), (&single, "2030-01-02T10:00:00Z")]
    {
        assert_eq!(get(&mut people.bob, session).await["startDate"], start);
    }
    let id = endless["id"].as_str().expect("an id");
    let url = format!("http://{}/api/v0/resource/sessionInvitation/{id}", stack.gateways[0].public);
    let token = harness::token::token("bob", "demo", "session-of-bob");
    let file = harness::stack::http().get(url).bearer_auth(token).send().await.expect("an answer").text().await;
    let file = file.expect("a body");
    for line in ["DTSTART:20300102T090000Z", "DTEND:20300102T100000Z", "RRULE:FREQ=WEEKLY", "SEQUENCE:1"] {
        assert!(file.contains(&format!("\r\n{line}\r\n")), "{line}: {file}");
    }
    let request = json!({"users": [{"roomful": "dave"}], "localDate": "2030-01-02T00:00:00Z[UTC]"});
    let mut slots = people.alice.ask("meeting:getTimeSlotsForMeeting", request).await;
    let slots = slots["availableTimeSlots"].take();
    assert_eq!(
        (&slots[0]["endDate"], &slots[1]["startDate"]),
        (&json!("2030-01-02T09:00:00Z"), &json!("2030-01-02T10:00:00Z"))
    );
    let mut at_the_lobby = people.carol.ask("social:getPropSessions", json!({"roomId": "lobby", "propId": ""})).await;
    assert_eq!(at_the_lobby["sessions"][0].take()["startDate"], "2030-01-02T09:00:00Z");
    // It is not over, although it lies outside of its event; and the event can be mended.
    people.carol.ask("social:joinSession", named(&outside)).await;
    let mended = json!({"eventId": tight["id"], "event": {"startDate": "2030-01-02T09:00:00Z"}});
    people.alice.ask("social:updateEvent", mended).await;
}

#[tokio::test]
async fn s9_older_zone_data_undoes_nothing_and_what_it_writes_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::builder().workers(2).start().await;
    let mut people = People::of(&stack).await;
    let bundled = Zones::bundled().version().to_owned();
    let series = create(&mut people.bob, weekly(yoga(None)), json!([])).await;
    let other = create(&mut people.bob, weekly(yoga(None)), json!([])).await;
    let [older, newer] = [&stack.workers[0], &stack.workers[1]];
    newer.bring_zones(zones(NEWER, folder.path()));
    newer.restart().await;
    is_done(&stack, 1, NEWER).await;
    assert_eq!(kept(&stack, &series).await, owned("2030-01-02 09:00", None, 1, NEWER));
    newer.stop().await;

    // Another network comes, and the older worker goes over that one alone.
    let_time_pass(&stack).await;
    stack.import_all(&[json!({"kind": "network", "id": "second"})]).await;
    execute(
        &stack,
        "INSERT INTO social_sessions (network_id, id, owner_id, owner_name, room_id, prop_id, session_type, title,
             description, color_r, color_g, color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone)
         SELECT 'second', id, owner_id, owner_name, room_id, prop_id, session_type, title, description, color_r, color_g,
             color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone
         FROM social_sessions LIMIT 1",
    )
    .await;
    let both = |second: &str| [("demo".to_owned(), NEWER.to_owned()), ("second".to_owned(), second.to_owned())];
    let by = async || -> Vec<(String, String)> {
        passes(&stack).await.into_iter().map(|(network, by, _)| (network, by)).collect()
    };
    eventually!(by().await, |by| *by == both(&bundled));
    execute(&stack, "DELETE FROM social_sessions WHERE network_id = 'second'").await;
    assert_eq!(kept(&stack, &series).await, owned("2030-01-02 09:00", None, 1, NEWER));

    // What its clients move, and what a release moves that knows nothing of all this, is found.
    update(&mut people.bob, &series, json!({"startDate": "2030-01-03T11:00:00Z"})).await;
    let version: String = sqlx::query_scalar("SELECT zone_data FROM social_sessions WHERE id = $1::uuid")
        .bind(series["id"].as_str().expect("an id"))
        .fetch_one(&mut stack.database().await)
        .await
        .expect("a version");
    assert_eq!(version, NEWER, "it never falls");
    sqlx::query(
        "UPDATE social_sessions SET starts_at = '2030-01-04T12:00:00Z', local_start = '2030-01-04T13:00:00',
             sequence = sequence + 1 WHERE id = $1::uuid",
    )
    .bind(other["id"].as_str().expect("an id"))
    .execute(&mut stack.database().await)
    .await
    .expect("an older worker");
    let third = create(&mut people.bob, weekly(yoga(None)), json!([])).await;
    older.stop().await;
    newer.start().await;
    newer.ready().await;
    let_time_pass(&stack).await;
    eventually!(kept(&stack, &series).await, |kept| *kept == owned("2030-01-03 10:00", None, 3, NEWER));
    eventually!(kept(&stack, &third).await, |kept| *kept == owned("2030-01-02 09:00", None, 1, NEWER));
    // Where the participants' rows had not been moved along, they are.
    eventually!(kept_alone(&stack, &other).await, |kept| *kept == owned("2030-01-04 11:00", None, 3, NEWER));
}

/// As [`kept`], when that is so.
async fn kept_alone(stack: &Stack, session: &Value) -> (String, Option<String>, i32, Option<String>) {
    let is_sound: bool = sqlx::query_scalar(
        "SELECT bool_and((p.starts_at, p.ends_at) IS NOT DISTINCT FROM (s.starts_at, s.ends_at))
         FROM social_sessions s JOIN social_participants p ON p.session_id = s.id WHERE s.id = $1::uuid",
    )
    .bind(session["id"].as_str().expect("an id"))
    .fetch_one(&mut stack.database().await)
    .await
    .expect("a session");
    if is_sound { kept(stack, session).await } else { (String::new(), None, 0, None) }
}

#[tokio::test]
async fn s9_a_pass_is_resumed_by_another_worker_and_tells_of_each_once() {
    const MANY: i64 = 550;
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::builder().workers(3).start().await;
    let mut people = People::of(&stack).await;
    create(&mut people.bob, weekly(yoga(None)), json!([])).await;
    execute(
        &stack,
        "WITH made AS (
             INSERT INTO social_sessions (network_id, id, owner_id, owner_name, room_id, prop_id, session_type, title,
                 description, color_r, color_g, color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone)
             SELECT network_id, gen_random_uuid(), owner_id, owner_name, room_id, prop_id, session_type, title, description,
                 color_r, color_g, color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone
             FROM social_sessions, generate_series(2, 550) RETURNING *
         )
         INSERT INTO social_participants (network_id, session_id, user_id, is_owner, starts_at)
         SELECT network_id, id, owner_id, true, starts_at FROM made",
    )
    .await;
    let count = async |sql: &'static str| super::count(&stack, sql).await;
    for worker in &stack.workers[..2] {
        worker.bring_zones(zones(NEWER, folder.path()));
        worker.stop().await;
    }
    let [first, second] = [&stack.workers[0], &stack.workers[1]];
    first.start().await;
    eventually!(count("SELECT count(*) FROM social_sessions WHERE zone_data = '9999a'").await, |done| *done > 20);
    first.kill().await;
    let done = count("SELECT count(*) FROM social_sessions WHERE zone_data = '9999a'").await;
    assert!(done < MANY, "it was killed in the middle");
    first.start().await;
    second.start().await;
    // Two go on at once, each as if the other were dead.
    let done = "SELECT count(*) FROM social_sessions WHERE zone_data = '9999a'";
    for most in [MANY / 4, MANY / 2, MANY - 1] {
        execute(&stack, "UPDATE social_zone_passes SET claimed_until = now()").await;
        eventually!(count(done).await, |done| *done > most);
    }
    is_done(&stack, 1, NEWER).await;
    is_done(&stack, 0, NEWER).await;
    let moved = "SELECT count(*) FROM social_sessions
                 WHERE zone_data = '9999a' AND sequence = 1 AND zone_data_sequence = 1 AND starts_at = '2030-01-02T09:00:00Z'";
    assert_eq!(count(moved).await, MANY);
    let events = "SELECT (SELECT count(*) FROM event_log WHERE name = 'social:sessionUpdated')
                      + (SELECT count(*) FROM outbox WHERE name = 'social:sessionUpdated')";
    assert_eq!(count(events).await, MANY + 1, "each was told once, and the first when it was made");
}

#[tokio::test]
async fn s9_a_session_that_is_moved_meanwhile_has_the_time_that_it_was_moved_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let series = create(&mut people.bob, weekly(yoga(None)), json!([])).await;
    let worker = &stack.workers[0];
    worker.stop().await;
    let mut owner = stack.database().await;
    let mut moving = sqlx::Connection::begin(&mut owner).await.expect("a transaction");
    sqlx::query(
        "WITH moved AS (UPDATE social_sessions SET starts_at = '2030-01-03T15:00:00Z', local_start = '2030-01-03T16:00:00',
             sequence = sequence + 1 RETURNING starts_at)
         UPDATE social_participants SET starts_at = (SELECT starts_at FROM moved)",
    )
    .execute(&mut *moving)
    .await
    .expect("moved");
    worker.bring_zones(zones(NEWER, folder.path()));
    worker.start().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%social_sessions%'";
    eventually!(super::count(&stack, waiting).await, |waiting| *waiting > 0);
    moving.commit().await.expect("a commit");
    eventually!(kept(&stack, &series).await, |kept| *kept == owned("2030-01-03 14:00", None, 2, NEWER));
    is_done(&stack, 0, NEWER).await;
}

#[tokio::test]
async fn s9_series_of_an_older_release_begin_where_their_clock_says() {
    let stack = Stack::builder().start().await;
    let mut people = People::of(&stack).await;
    let bundled = Zones::bundled().version().to_owned();
    let late = json!({"startDate": "2027-10-31T01:30:00Z", "duration": 1800});
    let session = create(&mut people.bob, with(yoga(None), late), json!([])).await;
    told(&mut people.bob).await;
    is_done(&stack, 0, &bundled).await;
    execute(
        &stack,
        "WITH older AS (UPDATE social_sessions SET is_recurring = true, ends_at = NULL, zone_data = NULL,
             zone_data_sequence = NULL)
         UPDATE social_participants SET ends_at = NULL",
    )
    .await;
    let_time_pass(&stack).await;
    let now = told(&mut people.bob).await;
    assert_eq!((&now["id"], &now["startDate"]), (&session["id"], &json!("2027-10-31T00:30:00Z")));
    assert_eq!(kept(&stack, &session).await, owned("2027-10-31 00:30", None, 1, &bundled));
}

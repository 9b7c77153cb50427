//! What gateways read of the event log.

use serde_json::{Value, json};
use shared::{
    api::{Code, MAX_EVENT_BYTES},
    bus::Subject,
    internal::{Head, InternalRequest, LoggedEvent, Page, Position, ReadHeads, ReadPage, ReadRange},
};

use super::world::{World, call, session};

/// A message of ours has at most so many bytes.
const MOST_BYTES: usize = 700 * 1024;

/// Adds events `$1` to `$2` of `demo` for the users `$3`, each with a payload of `$4` bytes.
async fn log(world: &World, first: Position, last: Position, users: &[&str], bytes: usize) {
    sqlx::query(
        "WITH logged AS (
             INSERT INTO event_log (network_id, position, name, recipients, payload, size)
             SELECT 'demo', p, 'meeting:onMeetingUpdated', $3, to_json(rpad(p::text, $4 - 2, 'x'))::text,
                    $4 + (SELECT sum(length(u) + 64) FROM unnest($3) u)
             FROM generate_series($1, $2) p
             RETURNING position, recipients
         )
         INSERT INTO event_recipients SELECT 'demo', unnest(recipients), position FROM logged",
    )
    .bind(first as i64)
    .bind(last as i64)
    .bind(users.iter().map(|user| (*user).to_owned()).collect::<Vec<_>>())
    .bind(bytes as i32)
    .execute(&mut world.database().await)
    .await
    .expect("events");
}

/// Asks and sees to it that the answer fits a message.
async fn ask<R: InternalRequest>(world: &World, request: &R) -> R::Answer {
    let data = serde_json::to_vec(request).expect("JSON");
    let subject = Subject::internal(R::NAMESPACE, R::METHOD);
    let message = world.send(subject, &call(None, ""), data).await.expect("an answer");
    assert!(message.payload.len() < MOST_BYTES, "{} bytes", message.payload.len());
    world.ask(request).await.expect("a good answer")
}

fn range(after: Position, through: Position) -> ReadRange {
    ReadRange { network: "demo".to_owned(), after, through }
}

fn page(user: &str, after: Position) -> ReadPage {
    ReadPage { network: "demo".to_owned(), user: user.to_owned(), after }
}

fn places(page: &Page) -> Vec<Position> {
    page.events.iter().map(|event| event.position).collect()
}

#[tokio::test]
async fn heads_are_told_of_all_networks_that_exist() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    world.execute("INSERT INTO networks (id, partition, epoch) VALUES ('quiet', 9, 'q')").await;
    log(&world, 1, 3, &["alice"], 10).await;
    let networks = ["demo", "unknown", "quiet"].map(str::to_owned).to_vec();
    let mut heads = ask(&world, &ReadHeads { networks }).await.heads;
    heads.sort_by(|one, other| one.network.cmp(&other.network));
    let head = |network: &str, epoch: &str, head| Head { network: network.to_owned(), epoch: epoch.to_owned(), head };
    assert_eq!(heads, [head("demo", "e1", 3), head("quiet", "q", 0)]);

    let networks = vec!["demo".to_owned(); ReadHeads::MOST + 1];
    assert_eq!(world.ask(&ReadHeads { networks }).await.expect_err("too many").code, Code::BadRequest);
    worker.drain().await;
}

#[tokio::test]
async fn a_range_comes_in_parts_without_a_hole() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    log(&world, 11, 700, &["alice", "bob"], 300).await;
    log(&world, 701, 730, &["bob"], 100_000).await;
    let mut events: Vec<LoggedEvent> = Vec::new();
    let mut parts = 0;
    while events.last().is_none_or(|event| event.position < 720) {
        let after = events.last().map_or(10, |event| event.position);
        let part = ask(&world, &range(after, 720)).await;
        assert_eq!((part.epoch.as_str(), part.trimmed), ("e1", 10));
        assert!(!part.events.is_empty(), "it gets on");
        events.extend(part.events);
        parts += 1;
    }
    assert!(parts > 2, "{parts} parts");
    assert!(events.iter().map(|event| event.position).eq(11..=720));
    assert_eq!(events[0].recipients, ["alice", "bob"]);
    assert_eq!(events[0].body.name, "meeting:onMeetingUpdated");
    let data: String = serde_json::from_str(events[0].body.data.get()).expect("a text");
    assert!(data.starts_with("11x"), "{data}");

    assert!(ask(&world, &range(730, 800)).await.events.is_empty(), "what does not exist yet");
    assert!(ask(&world, &range(0, 5)).await.events.is_empty(), "what is gone");
    assert_eq!(ask(&world, &range(u64::MAX - 1, u64::MAX)).await.events.len(), 0);
    let unknown = ReadRange { network: "unknown".to_owned(), after: 0, through: 1 };
    assert_eq!(world.ask(&unknown).await.expect_err("nobody knows it").code, Code::NotFound);
    worker.drain().await;
}

#[tokio::test]
async fn the_largest_event_with_the_most_recipients_fits_a_message() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    // Each quote takes two bytes in JSON.
    let users: Vec<String> = (0..1000).map(|n| format!("{n:\"<65}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    log(&world, 1, 2, &users, MAX_EVENT_BYTES).await;
    let part = ask(&world, &range(0, 2)).await;
    assert_eq!(part.events.len(), 1, "one at a time");
    assert_eq!(part.events[0].recipients.len(), 1000);
    assert_eq!(part.events[0].body.data.get().len(), MAX_EVENT_BYTES);

    let first = ask(&world, &page(users[7], 0)).await;
    assert_eq!((places(&first), first.through, first.is_last), (vec![1], 1, false));
    let second = ask(&world, &page(users[7], 1)).await;
    assert_eq!((places(&second), second.through, second.is_last), (vec![2], 2, true));
    worker.drain().await;
}

#[tokio::test]
async fn pages_hold_everything_of_one_user_up_to_where_they_say() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    log(&world, 6, 206, &["alice"], 50).await;
    log(&world, 207, 300, &["bob"], 50).await;
    log(&world, 301, 320, &["alice", "bob"], 50_000).await;
    log(&world, 321, 330, &["bob"], 50).await;

    let first = ask(&world, &page("alice", 5)).await;
    assert_eq!((first.epoch.as_str(), first.trimmed), ("e1", 5));
    assert!(places(&first).into_iter().eq(6..=205), "200 of 201");
    assert_eq!((first.through, first.is_last), (205, false));

    let mut seen = places(&first);
    let mut last = first;
    while !last.is_last {
        let after = last.through;
        last = ask(&world, &page("alice", after)).await;
        assert!(last.through > after, "it gets on");
        seen.extend(places(&last));
    }
    assert!(seen.into_iter().eq((6..=206).chain(301..=320)));
    assert_eq!(last.through, 330, "nothing more for this user, up to the head");

    let nothing = ask(&world, &page("carol", 5)).await;
    assert_eq!((places(&nothing), nothing.through, nothing.is_last), (vec![], 330, true));
    let made_up = ask(&world, &page("alice", u64::MAX)).await;
    assert_eq!((places(&made_up), made_up.through), (vec![], 330));
    let unknown = ReadPage { network: "unknown".to_owned(), ..page("alice", 0) };
    assert_eq!(world.ask(&unknown).await.expect_err("nobody knows it").code, Code::NotFound);
    worker.drain().await;
}

#[tokio::test]
async fn an_answer_shows_events_as_the_wire_does() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    log(&world, 1, 1, &["alice"], 5).await;
    let data = serde_json::to_vec(&page("alice", 0)).expect("JSON");
    let subject = Subject::internal(ReadPage::NAMESPACE, ReadPage::METHOD);
    let message = world.send(subject, &call(None, ""), data).await.expect("an answer");
    let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
    let expected: Value = serde_json::json!({
        "epoch": "e1", "trimmed": 0, "through": 1, "is_last": true,
        "events": [{"position": 1, "body": {"name": "meeting:onMeetingUpdated", "data": "1xx"}}],
    });
    assert_eq!(body["data"], expected);
    worker.drain().await;
}

#[tokio::test]
async fn a_read_leaves_no_transaction_open_however_it_ends() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    let open = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
                      AND application_name LIKE 'convene-worker %' AND state <> 'active'";
    let unknown = "00000000-0000-7000-8000-000000000000";
    for (endpoint, data) in
        [("social:getSession", json!({"sessionId": unknown})), ("social:getSessions", json!({"eventId": unknown}))]
    {
        let answer = world.request(&session("alice"), endpoint, "", &data).await;
        assert_eq!(answer.code, 404, "{endpoint}");
        assert_eq!(world.count(open).await, 0, "{endpoint}: what it saw is held");
    }
    worker.drain().await;
}

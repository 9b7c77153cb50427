//! Requests that are done once, whatever happens to their first copy.

use futures::future::join_all;
use harness::eventually;
use serde_json::{Value, json};
use shared::internal::Session;
use sqlx::PgConnection;

use super::world::{Answer, World, session};

const CREATE: &str = "meeting:createMeeting";

fn meeting(subject: &str) -> Value {
    json!({
        "sourceType": "direct", "sourceIds": ["bob"], "subject": subject,
        "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z",
    })
}

async fn create(world: &World, event_id: &str) -> Answer {
    world.request(&session("alice"), CREATE, event_id, &meeting("Lunch")).await
}

/// Meetings, their events and records of requests.
async fn effects(world: &World) -> (i64, i64, i64) {
    (
        world.count("SELECT count(*) FROM meetings").await,
        world.count("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM event_log)").await,
        world.count("SELECT count(*) FROM done_requests").await,
    )
}

/// Keeps every change from writing its events, and so from being done, until it is committed.
async fn hold_up_changes(world: &World) -> PgConnection {
    let mut blocker = world.database().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE outbox IN SHARE MODE").execute(&mut blocker).await.expect("a lock");
    blocker
}

async fn wait_for_held_up(world: &World, count: i64) {
    let held_up = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'
                     AND (query LIKE 'INSERT INTO outbox%' OR query LIKE 'INSERT INTO done_requests%')";
    eventually!(world.count(held_up).await, |waiting| *waiting >= count);
}

async fn let_go(mut blocker: PgConnection) {
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.expect("unlocked");
}

#[tokio::test]
async fn six_copies_at_once_and_one_later_are_one_change_with_one_answer() {
    let world = World::new().await;
    let workers = [world.worker(&[]).await, world.worker(&[]).await];
    for round in 0..5 {
        let id = format!("e{round}");
        let answers = join_all((0..6).map(|_| create(&world, &id))).await;
        assert_eq!(answers[0].code, 0, "{answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(create(&world, &id).await, answers[0]);
    }
    assert_eq!(effects(&world).await, (5, 5, 5));
    for worker in workers {
        worker.drain().await;
    }
}

#[tokio::test]
async fn a_copy_waits_for_the_first_one_however_long_that_takes_and_gets_its_answer() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=meeting"]).await;
    let blocker = hold_up_changes(&world).await;
    let unblock = async {
        // One has the record and waits to write its events, the other waits for the record.
        wait_for_held_up(&world, 2).await;
        let_go(blocker).await;
    };
    let (first, second, ()) = tokio::join!(create(&world, "e"), create(&world, "e"), unblock);
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(first, second);
    assert_eq!(effects(&world).await, (1, 1, 1));
    worker.drain().await;
}

#[tokio::test]
async fn what_a_worker_had_begun_when_it_died_is_as_if_it_had_never_come() {
    let world = World::new().await;
    let dying = world.worker(&["--namespaces=meeting"]).await;
    let blocker = hold_up_changes(&world).await;
    let unanswered = async {
        let data = meeting("Lunch");
        let session = session("alice");
        tokio::select! {
            answer = world.try_request(&session, CREATE, "e", &data) => panic!("{answer:?}"),
            () = async {
                wait_for_held_up(&world, 1).await;
                dying.kill().await;
            } => {}
        }
    };
    unanswered.await;
    let heir = world.worker(&["--namespaces=meeting"]).await;
    let (answer, ()) = tokio::join!(create(&world, "e"), let_go(blocker));
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(effects(&world).await, (1, 1, 1));
    heir.drain().await;
}

#[tokio::test]
async fn the_same_id_for_something_else_is_409_and_changes_nothing() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=meeting"]).await;
    let first = create(&world, "e").await;
    let id = first.body["data"]["meeting"]["meetingId"].as_str().expect("an id");
    for (endpoint, data) in [
        (CREATE, meeting("Dinner")),
        (CREATE, json!({"meetingId": id})),
        ("meeting:deleteMeeting", json!({"meetingId": id})),
        ("meeting:deleteMeeting", meeting("Lunch")),
    ] {
        let answer = world.request(&session("alice"), endpoint, "e", &data).await;
        assert_eq!(answer.code, 409, "{endpoint} {data}");
    }
    assert_eq!(effects(&world).await, (1, 1, 1));

    let spaced = r#" { "endDate" : "2030-01-01T11:00:00Z", "startDate":"2030-01-01T10:00:00Z",
                       "subject":"L\u0075nch", "sourceIds":["bob"],"sourceType":"direct" } "#;
    let call = super::world::call(Some(session("alice")), "e");
    let again = world.send(super::world::subject(CREATE), &call, spaced.into()).await.expect("an answer");
    let again: Value = serde_json::from_slice(&again.payload).expect("JSON");
    assert_eq!(again, first.body, "white space, escapes and the order of keys do not count");
    worker.drain().await;
}

#[tokio::test]
async fn a_request_that_failed_leaves_nothing_and_is_done_afresh() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=meeting"]).await;
    let mut with_carol = meeting("Lunch");
    with_carol["invitedUserIds"] = json!(["carol"]);
    for _ in 0..2 {
        let refused = world.request(&session("alice"), CREATE, "e", &with_carol).await;
        assert_eq!(refused.code, 404, "{refused:?}");
        assert_eq!(effects(&world).await, (0, 0, 0));
    }
    world.user("carol", "demo").await;
    let answer = world.request(&session("alice"), CREATE, "e", &with_carol).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(effects(&world).await, (1, 1, 1));
    worker.drain().await;
}

#[tokio::test]
async fn an_id_belongs_to_its_session_and_an_empty_one_to_nobody() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=meeting"]).await;
    let other_sid = Session { sid: "another".to_owned(), ..session("alice") };
    let other_user = Session { sid: session("alice").sid, ..session("carol") };
    world.user("carol", "demo").await;
    for asker in [session("alice"), other_sid, other_user] {
        assert_eq!(world.request(&asker, CREATE, "e", &meeting("Lunch")).await.code, 0, "{asker:?}");
    }
    assert_eq!(effects(&world).await, (3, 3, 3));
    for _ in 0..2 {
        assert_eq!(create(&world, "").await.code, 0);
    }
    assert_eq!(effects(&world).await, (5, 5, 3));
    for id in ["x".repeat(129), "a\nb".to_owned()] {
        let refused = create(&world, &id).await;
        assert_eq!(refused.code, 400, "{refused:?}");
        assert!(refused.body["error"]["message"].as_str().is_some_and(|message| message.starts_with("event.id")));
    }
    assert_eq!(effects(&world).await, (5, 5, 3));
    worker.drain().await;
}

#[tokio::test]
async fn a_late_copy_gets_the_first_answer_and_does_not_undo_what_came_after_it() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=meeting"]).await;
    let created = create(&world, "create").await;
    let data = json!({"meetingId": created.body["data"]["meeting"]["meetingId"]});
    let bob = session("bob");
    let accepted = world.request(&bob, "meeting:acceptMeetingRequest", "accept", &data).await;
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert_eq!(world.request(&bob, "meeting:declineMeetingRequest", "decline", &data).await.code, 0);
    assert_eq!(world.request(&bob, "meeting:acceptMeetingRequest", "accept", &data).await, accepted);
    let declined = "SELECT count(*) FROM meeting_participants WHERE user_id = 'bob' AND status = 'declined'";
    assert_eq!(world.count(declined).await, 1);

    let deleted = world.request(&session("alice"), "meeting:deleteMeeting", "delete", &data).await;
    assert_eq!(deleted.body, json!({"error": {"status": false, "code": 0, "message": ""}}));
    assert_eq!(world.request(&session("alice"), "meeting:deleteMeeting", "delete", &data).await, deleted);
    assert_eq!(create(&world, "create").await, created, "the answer of a meeting that is gone");
    assert_eq!(world.count("SELECT count(*) FROM meetings").await, 0);
    worker.drain().await;
}

#[tokio::test]
async fn reading_leaves_no_record() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=meeting"]).await;
    let created = create(&world, "").await;
    let data = json!({"meetingId": created.body["data"]["meeting"]["meetingId"]});
    let read = world.request(&session("bob"), "meeting:getMeeting", "e", &data).await;
    assert_eq!(read.code, 0, "{read:?}");
    assert_eq!(world.request(&session("bob"), "meeting:getMeeting", "e", &data).await, read);
    assert_eq!(world.request(&session("bob"), "meeting:listUserMeetings", "e", &json!({})).await.code, 400);
    assert_eq!(world.count("SELECT count(*) FROM done_requests").await, 0);
    worker.drain().await;
}

//! A backup is restored: what was done after it is gone, and nobody goes on in an order of events that is gone too.

use std::{path::Path, time::Duration};

use harness::{Client, Servers, Stack, eventually};
use serde_json::{Value, json};
use shared::{
    internal::Session,
    pod::PodId,
    presence::{Claim, Entry, Place, redis::Redis},
};
use sqlx::Connection as _;
use tokio::process::Command;

const CREATE: &str = "meeting:createMeeting";

/// A meeting with Bob: of each change he and the organizer are told once.
fn meeting(subject: &str) -> Value {
    json!({"sourceType": "direct", "sourceIds": ["bob"], "subject": subject,
        "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"})
}

/// What an event says was created.
fn subject(event: &Value) -> &str {
    assert_eq!(event["event"], "meeting:onMeetingCreated", "{event}");
    event["data"]["meeting"]["subject"].as_str().expect("text")
}

fn id(event: &Value) -> String {
    event["eventId"].as_str().expect("an id").to_owned()
}

/// Creates a meeting and returns the id of the event that tells the organizer of it.
async fn create(organizer: &mut Client, name: &str) -> String {
    organizer.ask(CREATE, meeting(name)).await;
    let event = organizer.next_event().await;
    assert_eq!(subject(&event), name);
    id(&event)
}

async fn as_superuser(stack: &Stack, sql: &'static str) -> String {
    let mut database = sqlx::PgConnection::connect(&stack.servers.admin_database_url).await.expect("the database");
    sqlx::query_scalar(sql).fetch_one(&mut database).await.expect(sql)
}

/// `convene-worker new-epoch`, as an operator calls it.
async fn new_epoch(stack: &Stack) {
    let folder = std::env::current_exe().expect("this program");
    let program = folder.parent().and_then(Path::parent).expect("the target folder").join("worker-pod");
    let mut command = Command::new(program);
    command.arg("new-epoch").env("CONVENE_DATABASE_URL", &stack.servers.database_url);
    let output = command.output().await.expect("the worker's program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_clients_read_everything_anew_and_then_miss_nothing() {
    let servers = Servers::start_own_with_archive().await;
    let stack = Stack::builder().on(servers.isolated_with_schema().await).gateways(2).start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "quiet", "fullName": "Quiet"}),
            json!({"kind": "user", "id": "erin", "networkIds": ["quiet"]}),
        ])
        .await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(1, "bob").await;
    let mut erin = stack.connect_as(1, "erin", "quiet", "erins").open().await.expect("let in");
    erin.event("user_info").await;

    let before_backup = create(&mut alice, "before the backup").await;
    servers.postgres.back_up().await;
    // In the archived log only.
    let kept = alice.call_once("kept", CREATE, meeting("after the backup")).await;
    alice.next_event().await;
    as_superuser(&stack, "SELECT pg_create_restore_point('before the accident')::text").await;
    let lost = alice.call_once("lost", CREATE, meeting("lost 0")).await;
    alice.next_event().await;
    for n in 1..5 {
        create(&mut alice, &format!("lost {n}")).await;
    }
    let mut last = None;
    while last.as_ref().is_none_or(|event| subject(event) != "lost 4") {
        last = Some(bob.next_event().await);
    }
    let lost_place = id(&last.expect("an event"));
    bob.close().await;
    // Bob was elsewhere last, on a pod that has died: more fences were drawn than PostgreSQL leaves out by itself.
    let fences =
        "SELECT max(fence)::text FROM (SELECT nextval('fence') AS fence FROM generate_series(1, 1000)) AS drawn";
    let fence = as_superuser(&stack, fences).await.parse().expect("a number");
    let presence = Redis::with_lifetime(&stack.servers.redis_url, Duration::from_mins(10)).expect("a good URL");
    let session = Session { network: "demo".into(), user: "bob".into(), sid: "session-of-bob".into() };
    let place = Place { pod: PodId::read("dead"), socket: 1, fence, since_ms: 0 };
    assert_eq!(presence.claim(Entry { session, place }).await, Ok(Claim::Granted(None)));

    // The accident. What was done before it has reached the archive.
    let file = as_superuser(&stack, "SELECT pg_walfile_name(pg_switch_wal())").await;
    let archived = "SELECT coalesce(max(last_archived_wal), '') FROM pg_stat_archiver";
    eventually!(as_superuser(&stack, archived).await, |last| *last >= file);
    stack.workers[0].stop().await;
    for gateway in &stack.gateways {
        eventually!(gateway.get("/readyz").await, |answer| answer.as_ref().is_some_and(|(status, _)| *status == 503));
    }
    servers.postgres.kill().await;
    servers.postgres.restore("before the accident").await;
    servers.postgres.start().await;
    new_epoch(&stack).await;
    stack.workers[0].start().await;
    stack.workers[0].ready().await;

    // The gateways have gone on all the time. Their sockets show what is no more, those too whose network does not move.
    assert_eq!(alice.closed().await, Some(4001));
    assert_eq!(erin.closed().await, Some(4001));
    let mut erin = stack.connect_as(0, "erin", "quiet", "erins").open().await.expect("let in");
    erin.event("user_info").await;

    let mut alice = stack.client(0, "alice").await;
    let id_of = |answer: &Value| json!({"meetingId": answer["data"]["meeting"]["meetingId"]});
    alice.ask("meeting:getMeeting", id_of(&kept)).await;
    assert_eq!(alice.call("meeting:getMeeting", id_of(&lost)).await["error"]["code"], 404);
    // What is known to be done is not done again; what is lost is.
    let again = alice.call_once("kept", CREATE, meeting("after the backup")).await;
    assert_eq!(again["data"], kept["data"]);
    let again = alice.call_once("lost", CREATE, meeting("lost 0")).await;
    assert_eq!(again["error"]["code"], 0);
    assert_ne!(id_of(&again), id_of(&lost));
    assert_eq!(subject(&alice.next_event().await), "lost 0", "and nothing came before it");

    // More than were lost: the places of those are given a second time.
    for n in 0..10 {
        create(&mut alice, &format!("new {n}")).await;
    }
    for (session, place) in [("session-of-bob", &lost_place), ("another", &before_backup)] {
        let connect = stack.connect_as(1, "bob", "demo", session).last_event_id(place);
        let mut bob = connect.open().await.expect("let in");
        let begin = bob.event("user_info").await["lastEventId"].clone();
        bob.event("resyncRequired").await;
        create(&mut alice, "live").await;
        let live = bob.next_event().await;
        assert_eq!(subject(&live), "live");
        bob.close().await;

        // Of the new order nothing is missed.
        create(&mut alice, "missed").await;
        let connect = stack.connect_as(0, "bob", "demo", session).last_event_id(begin.as_str().expect("an id"));
        let mut bob = connect.open().await.expect("let in");
        bob.event("user_info").await;
        assert_eq!(bob.next_event().await, live);
        assert_eq!(subject(&bob.next_event().await), "missed");
        bob.no_event().await;
        bob.close().await;
    }
}

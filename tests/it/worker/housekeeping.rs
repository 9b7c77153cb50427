//! What goes on while very much is removed, and what becomes of it when that is cut off.

use std::time::Duration;

use harness::{Client, Servers, Stack, eventually};
use serde_json::{Value, json};
use shared::internal::{ReadPage, ReadRange};
use sqlx::{Connection as _, PgConnection};
use worker::{
    database::{Pool, background},
    retention::{Removed, Retention, pass},
};

use super::world::World;

const DAY: Retention = Retention { events: Duration::from_secs(24 * 3600), retries: Duration::from_secs(24 * 3600) };

fn pool(url: &str) -> Pool {
    background(&url.parse().expect("a URL"), "cleaner").expect("a URL")
}

/// Adds so many events of `demo` for carol, who is away, all older than a day, and as many answers.
async fn backlog(database: &mut PgConnection, rows: i32) {
    sqlx::query(
        "WITH head AS (SELECT coalesce(max(position), 0) AS head FROM event_log WHERE network_id = 'demo'),
              logged AS (
             INSERT INTO event_log (network_id, position, moved_at, name, recipients, payload, size)
             SELECT 'demo', head + n, now() - interval '40 hours' + n * interval '1 millisecond', 'x:y', '{carol}', '{}', 100
             FROM head, generate_series(1, $1) n
         ), addressed AS (
             INSERT INTO event_recipients SELECT 'demo', 'carol', head + n FROM head, generate_series(1, $1) n
         )
         INSERT INTO done_requests (network_id, user_id, sid, event_id, endpoint, digest, answer, done_at)
         SELECT 'demo', 'bob', 's', 'old ' || n, 'e', '', '', now() - interval '40 hours' + n * interval '1 millisecond'
         FROM generate_series(1, $1) n",
    )
    .bind(rows)
    .execute(database)
    .await
    .expect("a backlog");
}

async fn execute(database: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(database).await.expect(sql);
}

async fn number(database: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(database).await.expect(sql)
}

/// How many events and answers are left. The log has no hole, and each event still has its recipient.
async fn left(database: &mut PgConnection) -> (i64, i64) {
    let (events, span, addressed, answers): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(max(position) - min(position) + 1, 0)::bigint,
                (SELECT count(*) FROM event_recipients r
                 JOIN event_log l ON l.network_id = r.network_id AND l.position = r.position
                 WHERE r.network_id = 'demo'),
                (SELECT count(*) FROM done_requests)
         FROM event_log WHERE network_id = 'demo'",
    )
    .fetch_one(database)
    .await
    .expect("what is left");
    assert_eq!((span, addressed), (events, events), "no hole, and recipients go with their event");
    (events, answers)
}

#[tokio::test]
async fn two_who_remove_at_once_remove_everything_once() {
    const ROWS: i32 = 12_000;
    let world = World::new().await;
    let mut database = world.database().await;
    backlog(&mut database, ROWS).await;
    let (one, other) = (pool(&world.servers.database_url), pool(&world.servers.database_url));
    let mut removed = (0, 0);
    let mut rounds = [0; 2];
    loop {
        let (first, second) = tokio::join!(pass(&one, DAY), pass(&other, DAY));
        let (first, second) = (first.expect("a pass"), second.expect("a pass"));
        rounds[0] += u32::from(first != Removed::default());
        rounds[1] += u32::from(second != Removed::default());
        removed = (removed.0 + first.events + second.events, removed.1 + first.retries + second.retries);
        if (first, second) == (Removed::default(), Removed::default()) {
            break;
        }
    }
    assert_eq!(removed, (ROWS as u64 - 1, ROWS as u64), "by {rounds:?}");
    assert_eq!(left(&mut database).await, (1, 0));
    assert_eq!(number(&mut database, "SELECT through FROM event_trims").await, i64::from(ROWS) - 1);
}

/// Tables from which something is removed, in this order.
const TABLES: [&str; 6] =
    ["event_log", "done_requests", "revoked_sessions", "social_outsiders", "social_messages", "social_inviters"];

/// Lets whoever removes hold still after each removal, before the commit, until the lock of the table's place is free.
const HOLD: &str = "
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
    BEGIN
        IF current_setting('application_name') = 'convene-worker cleaner' THEN
            PERFORM pg_advisory_xact_lock_shared(77, TG_ARGV[0]::integer);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER hold AFTER DELETE ON event_log EXECUTE FUNCTION hold(0);
    CREATE TRIGGER hold AFTER DELETE ON done_requests EXECUTE FUNCTION hold(1);
    CREATE TRIGGER hold AFTER DELETE ON revoked_sessions EXECUTE FUNCTION hold(2);
    CREATE TRIGGER hold AFTER DELETE ON social_outsiders EXECUTE FUNCTION hold(3);
    CREATE TRIGGER hold AFTER DELETE ON social_messages EXECUTE FUNCTION hold(4);
    CREATE TRIGGER hold AFTER DELETE ON social_inviters EXECUTE FUNCTION hold(5)";

/// Something of every table that may go, beside the backlog.
const OLD: &str = "
    INSERT INTO revoked_sessions (sid, revoked_at) SELECT n::text, now() - interval '40 days' FROM generate_series(1, 9) n;
    INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, expires_at)
    SELECT network_id, id, 0, 'old@example.org', gen_random_uuid(), 0, 'alice', now() - interval '1 day'
    FROM social_sessions;
    INSERT INTO social_messages (network_id, session_id, kind, address, message_id, sent_at, keep_until)
    SELECT 'demo', gen_random_uuid(), 0, n::text, gen_random_uuid(), now() - interval '40 days', now() - interval '10 days'
    FROM generate_series(1, 9) n;
    INSERT INTO social_inviters (network_id, user_id, invited_at, last_at)
    SELECT 'demo', n::text, '{}', now() - interval '2 hours' FROM generate_series(1, 9) n";

struct Work {
    alice: Client,
    bob: Client,
    session: Value,
    round: u32,
}

impl Work {
    async fn begin(stack: &Stack) -> Self {
        let mut alice = stack.client(0, "alice").await;
        let session =
            json!({"title": "Yoga", "roomId": "lobby", "startDate": "2099-01-02T10:00:00Z", "duration": 3600});
        let other = json!({"session": session});
        let session = alice.ask("social:createSession", other.clone()).await["session"].take();
        alice.ask("social:createSession", other).await;
        Self { alice, bob: stack.client(0, "bob").await, session, round: 0 }
    }

    /// Changes, their events, requests that are sent again, and what was missed. A statement that has to wait for somebody
    /// who does not go on fails, and its request with it.
    async fn go_on(&mut self, stack: &Stack) {
        self.round += 1;
        let meeting = json!({"sourceType": "group", "sourceIds": ["team"], "subject": "Plans", "invitedUserIds": ["bob"],
            "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});
        let once = format!("round {}", self.round);
        let first = self.alice.call_once(&once, "meeting:createMeeting", meeting.clone()).await;
        assert_eq!(first["error"]["code"], 0, "{first}");
        let again = self.alice.call_once(&once, "meeting:createMeeting", meeting).await;
        assert_eq!(again["data"], first["data"]);
        let last = self.bob.event("meeting:onMeetingCreated").await["eventId"].as_str().expect("an id").to_owned();
        self.bob.ask("meeting:acceptMeetingRequest", json!({"meetingId": first["data"]["meeting"]["meetingId"]})).await;
        let changed = self.bob.event("meeting:onMeetingUpdated").await;

        // From the database: the pod does not keep what its sockets have had.
        let mut back = stack.connect_as(0, "bob", "demo", "back").last_event_id(&last).open().await.expect("let in");
        back.event("user_info").await;
        assert_eq!(back.event("meeting:onMeetingUpdated").await, changed);
        back.close().await;

        let named = json!({"sessionId": self.session["id"]});
        self.bob.ask("social:joinSession", named.clone()).await;
        self.bob.ask("social:declineSessionJoin", named).await;
        for _ in 0..2 {
            self.bob.event("social:sessionUpdated").await;
        }
        let address = format!("{}@example.net", self.round);
        let invite = json!({"sessionId": self.session["id"], "usersToInvite": [{"emails": [address]}]});
        self.alice.ask("social:inviteUsersToSession", invite).await;
        self.alice.untaken_events();
        self.bob.untaken_events();
    }
}

#[tokio::test]
async fn whatever_is_being_removed_nobody_waits_for_it() {
    let stack = Stack::builder().start().await;
    let mut work = Work::begin(&stack).await;
    let mut database = stack.database().await;
    backlog(&mut database, 3000).await;
    execute(&mut database, OLD).await;
    execute(&mut database, HOLD).await;
    // The newest event of the log is one of today's, and its subscribers have it.
    work.go_on(&stack).await;
    let mut holder = stack.database().await;
    for table in 0..TABLES.len() {
        sqlx::query("SELECT pg_advisory_lock(77, $1)")
            .bind(table as i32)
            .execute(&mut holder)
            .await
            .expect("the lock is free");
    }
    let pool = pool(&stack.servers.database_url);
    let removing = tokio::spawn(async move { pass(&pool, DAY).await });
    for (place, table) in TABLES.into_iter().enumerate() {
        eventually!(
            number(
                &mut database,
                "SELECT coalesce(max(objid::bigint), -1) FROM pg_locks WHERE classid = 77 AND NOT granted"
            )
            .await,
            |waiting| *waiting == place as i64
        );
        work.go_on(&stack).await;
        let freed: bool = sqlx::query_scalar("SELECT pg_advisory_unlock(77, $1)")
            .bind(place as i32)
            .fetch_one(&mut holder)
            .await
            .expect("an answer");
        assert!(freed, "{table} was held");
    }
    let removed = removing.await.expect("no panic").expect("a pass");
    let expected = Removed { events: 3000, retries: 3000, revocations: 9, invitations: 1, messages: 9, inviters: 9 };
    assert_eq!(Removed { events: 3000, ..removed }, expected);
    assert!(removed.events >= 3000, "{removed:?}");
}

/// Removes a backlog by a process of its own, kills it in the middle, and lets another one go on.
async fn killed_in_the_middle(rows: i32) {
    let stack = Stack::builder().gateways(0).workers(1).processes().worker_arg("--event-retention=20h").start().await;
    let mut database = stack.database().await;
    execute(&mut database, "INSERT INTO networks (id, partition, epoch) VALUES ('demo', 7, 'e1')").await;
    stack.workers[0].stop().await;
    backlog(&mut database, rows).await;
    let short = Stack::builder()
        .gateways(0)
        .workers(2)
        .processes()
        .worker_arg("--event-retention=10s")
        .worker_arg("--retry-retention=10s")
        .on(stack.servers)
        .start()
        .await;
    let whole = i64::from(rows);
    eventually!(left(&mut database).await, |left| left.0 < whole);
    for worker in &short.workers {
        worker.kill().await;
    }
    let (events, answers) = left(&mut database).await;
    assert!(events > 1, "all was removed too soon: {events}, {answers}");
    short.workers[1].start().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
    while left(&mut database).await != (1, 0) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", left(&mut database).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(
        number(&mut database, "SELECT max(position) FROM event_log WHERE network_id = 'demo'").await,
        whole,
        "I4"
    );
}

#[tokio::test]
async fn who_is_killed_while_removing_has_left_no_hole_and_another_one_goes_on() {
    killed_in_the_middle(40_000).await;
}

#[tokio::test]
#[ignore = "takes minutes: as the one before it, with a million rows"]
async fn a_million_rows_are_caught_up_with() {
    killed_in_the_middle(1_000_000).await;
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_nothing_else_from_being_removed() {
    let world = World::new().await;
    let mut database = world.database().await;
    backlog(&mut database, 2000).await;
    execute(
        &mut database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER refuse AFTER DELETE ON event_log EXECUTE FUNCTION refuse();
         INSERT INTO revoked_sessions (sid, revoked_at) VALUES ('old', now() - interval '31 days');",
    )
    .await;
    let pool = pool(&world.servers.database_url);
    pass(&pool, DAY).await.expect_err("events cannot be removed");
    assert_eq!(left(&mut database).await, (2000, 0));
    assert_eq!(number(&mut database, "SELECT count(*) FROM revoked_sessions").await, 0);
}

/// Entries of a table's indexes that were read since its statistics began. Sessions count them at their end.
async fn entries_read(world: &World, table: &str) -> i64 {
    sqlx::query_scalar("SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = $1")
        .bind(table)
        .fetch_one(&mut world.database().await)
        .await
        .expect("statistics")
}

#[tokio::test]
async fn under_a_long_snapshot_nothing_that_was_removed_is_read_again() {
    const ROWS: i32 = 20_000;
    // Servers of its own: nobody else's statements are counted.
    let servers = Servers::start_own().await;
    let world = World::without_schema(servers.isolated().await);
    world.migrate().await;
    world.execute("INSERT INTO networks (id, partition, epoch, full_name) VALUES ('demo', 7, 'e1', 'Demo')").await;
    backlog(&mut world.database().await, ROWS).await;
    world.execute("ANALYZE").await;
    // It could still see everything, so nothing leaves the indexes.
    let mut snapshot = world.database().await;
    execute(&mut snapshot, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM networks").await;

    let before = [entries_read(&world, "event_log").await, entries_read(&world, "done_requests").await];
    let pool = pool(&world.servers.database_url);
    let removed = pass(&pool, DAY).await.expect("a pass");
    assert_eq!((removed.events, removed.retries), (ROWS as u64 - 1, ROWS as u64));
    pool.close();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'convene-worker cleaner'";
    eventually!(world.count(sessions).await, |sessions| *sessions == 0);
    let read =
        [entries_read(&world, "event_log").await - before[0], entries_read(&world, "done_requests").await - before[1]];
    // Reading everything again in each of 20 batches would be 210,000 more.
    assert!(read.iter().all(|read| *read < i64::from(ROWS) * 4), "{read:?} entries were read for {ROWS} rows");

    // Nor by those who look how far the log was trimmed.
    let worker = world.worker(&[]).await;
    let before = entries_read(&world, "event_log").await;
    let head = ROWS as u64;
    for _ in 0..20 {
        let page = ReadPage { network: "demo".to_owned(), user: "carol".to_owned(), after: 0 };
        let page = world.ask(&page).await.expect("a page");
        assert_eq!((page.trimmed, page.events.len(), page.through), (head - 1, 1, head));
        let range = ReadRange { network: "demo".to_owned(), after: 0, through: head };
        let range = world.ask(&range).await.expect("a range");
        assert_eq!((range.trimmed, range.events.len()), (head - 1, 1));
    }
    worker.drain().await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'convene%'";
    eventually!(world.count(sessions).await, |sessions| *sessions == 0);
    let read = entries_read(&world, "event_log").await - before;
    assert!(read < 1000, "{read} entries were read for 40 answers");
    snapshot.close().await.expect("it is over");
}

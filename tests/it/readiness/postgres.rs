//! A PostgreSQL that answers and takes no changes.

use std::collections::BTreeSet;

use harness::{Pooler, Proxy, Servers, Stack, eventually};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{readiness, ready, said, unready};
use crate::{
    meeting::{create, in_the_lobby, told_twice},
    worker::world::{World, session},
};

async fn execute(url: &str, sql: &'static str) {
    let mut admin = PgConnection::connect(url).await.expect("PostgreSQL");
    for statement in sql.split(';') {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut admin).await.expect(sql);
    }
}

const READ_ONLY: &str = "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()";
const WRITABLE: &str = "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_ready_while_the_database_takes_no_changes() {
    let servers = Servers::start_own().await;
    let stack = Stack::builder().on(servers.isolated_with_schema().await).start().await;
    let mut alice = stack.client(0, "alice").await;
    let admin = stack.servers.admin_database_url.clone();

    execute(&admin, READ_ONLY).await;
    let refused = alice.call("meeting:createMeeting", in_the_lobby(&[])).await;
    assert_eq!(refused["error"]["code"], 503);
    let entries = unready(&stack.workers[0], "database", "default_transaction_read_only").await;
    assert_eq!((said(&entries, "bus"), said(&entries, "presence")), ("ok", "ok"));
    let entries = unready(&stack.gateways[0], "workers", "503").await;
    assert_eq!((said(&entries, "bus"), said(&entries, "presence")), ("ok", "ok"));

    execute(&admin, WRITABLE).await;
    ready(&stack).await;
    create(&mut alice, in_the_lobby(&[])).await;
    told_twice(&mut alice, "meeting:onMeetingCreated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_write_makes_workers_unready() {
    let stack = Stack::builder().start().await;
    let admin = stack.servers.admin_database_url.clone();
    execute(&admin, "REVOKE INSERT ON done_requests FROM convene").await;
    unready(&stack.workers[0], "database", "permission denied for table done_requests").await;
    execute(&admin, "GRANT INSERT ON done_requests TO convene").await;
    ready(&stack).await;
}

/// `ALTER ROLE` concerns those who connect from now on; what is connected does well.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_new_connections_meet_makes_workers_unready() {
    let servers = Servers::start_own().await;
    let stack = Stack::builder().on(servers.isolated_with_schema().await).start().await;
    let admin = stack.servers.admin_database_url.clone();
    execute(&admin, "ALTER ROLE convene SET default_transaction_read_only = on").await;
    unready(&stack.workers[0], "database", "default_transaction_read_only").await;
    execute(&admin, "ALTER ROLE convene RESET default_transaction_read_only").await;
    ready(&stack).await;
    let mut alice = stack.client(0, "alice").await;
    create(&mut alice, in_the_lobby(&[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_hang_make_workers_unready_and_do_not_pile_up() {
    // One whose log could have a replica.
    let servers = Servers::start_own_with_archive().await;
    let isolated = servers.isolated_with_schema().await;
    let admin = isolated.admin_database_url.clone();
    let world = World::without_schema(isolated);
    world.populate().await;
    let worker = world.worker(&["--namespaces=user"]).await;
    execute(&admin, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()").await;
    let words = "it waits for a lock or for a replica";
    eventually!(worker.get("/readyz").await, |(status, body)| *status == 503 && body.contains(words));
    let looks = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let before = world.count(looks).await;
    eventually!(world.count(looks).await, |count| *count > before + 60);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(world.count(waiting).await, 1);
    assert!(worker.get("/readyz").await.1.contains(words));
    execute(&admin, "ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()").await;
    worker.ready().await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_of_the_database_leaves_nothing() {
    let world = World::new().await;
    let worker = world.worker(&[]).await;
    // Each start of a pod has written.
    assert_eq!(world.count("SELECT count(*) FROM done_requests").await, 0);
    assert_eq!(world.count("SELECT last_value FROM outbox_seq").await, 1, "nothing is drawn");
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_follows_the_primary_of_postgresql_is_followed_at_once() {
    let servers = Servers::start_own().await;
    let mut isolated = servers.isolated_with_schema().await;
    let old_admin = isolated.admin_database_url.clone();
    let (_new, new_url) = servers.postgres.twin(&isolated.database_url).await;
    worker::database::migrate(&new_url.parse().expect("a URL")).await.expect("the schema is made");
    let proxy = Proxy::before(&isolated.database_url).await;
    isolated.database_url = proxy.url(&isolated.database_url);
    let mut world = World::without_schema(isolated);
    world.populate().await;
    let worker = world.worker(&[]).await;
    assert_eq!(lunch(&world, "before").await, 0);
    world.servers.database_url = new_url;
    world.populate().await;

    // Nothing breaks: the old primary answers whoever is connected.
    proxy.lead_to(&world.servers.database_url);
    execute(&old_admin, READ_ONLY).await;
    for n in 0..20 {
        assert_eq!(lunch(&world, &n.to_string()).await, 0, "{n}");
    }
    assert_eq!(world.count("SELECT count(*) FROM meetings").await, 20);
    eventually!(world.count("SELECT count(*) FROM outbox").await, |waiting| *waiting == 0);
    let mut old = PgConnection::connect(&old_admin).await.expect("PostgreSQL");
    let mut left = async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'convene'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut old).await.expect("an answer")
    };
    // The one of what runs beside the requests is seldom used, and refused when it is.
    eventually!(left().await, |count| *count <= 1);
    worker.ready().await;
    worker.drain().await;
}

/// The code of the answer to who creates a meeting with this `event.id`.
async fn lunch(world: &World, id: &str) -> u16 {
    let data = json!({
        "sourceType": "direct", "sourceIds": ["bob"], "subject": "Lunch",
        "startDate": "2030-01-01T10:00:00Z", "endDate": "2030-01-01T11:00:00Z",
    });
    world.request(&session("alice"), "meeting:createMeeting", id, &data).await.code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_named_and_one_in_session_mode_is_none() {
    let mut world = World::new().await;
    let pooler = Pooler::before(&world.servers.database_url, "transaction").await;
    world.servers.database_url = pooler.url().to_owned();
    let words = "a pooler in transaction mode stands between";
    let workers = [world.start(&[]).await, world.start(&["--migrate"]).await];
    for worker in &workers {
        eventually!(worker.get("/readyz").await, |(status, body)| *status == 503 && body.contains(words));
        assert_eq!(worker.get("/livez").await.0, 200);
    }
    let migrated = worker::database::migrate(&world.url()).await.expect_err("its lock would be anybody's");
    assert!(migrated.to_string().contains(words), "{migrated}");

    pooler.set_mode("session");
    for worker in &workers {
        worker.ready().await;
    }
    for n in 0..20 {
        assert_eq!(lunch(&world, &n.to_string()).await, 0);
    }
    eventually!(world.count("SELECT count(*) FROM outbox").await, |waiting| *waiting == 0);
    for worker in workers {
        worker.drain().await;
    }
}

/// Of what the pool's sessions are limited by: a record that somebody holds is waited for as long as `lock_timeout`.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_behind_a_pooler_in_session_mode_have_their_limits() {
    let mut world = World::new().await;
    let direct_url = world.servers.database_url.clone();
    let pooler = Pooler::before(&direct_url, "session").await;
    world.servers.database_url = pooler.url().to_owned();
    let worker = world.worker(&[]).await;
    let mut holder = PgConnection::connect(&direct_url).await.expect("PostgreSQL");
    sqlx::raw_sql(
        "BEGIN; INSERT INTO done_requests (network_id, user_id, sid, event_id, endpoint, digest)
         VALUES ('demo', 'alice', 'sid of alice', 'held', 'meeting:createMeeting', '')",
    )
    .execute(&mut holder)
    .await
    .expect("a record");
    let asked = async {
        assert_eq!(lunch(&world, "held").await, 0);
    };
    let released = async {
        // It waits, gives its connection back and tries again: what waits is never the same for long.
        let mut begun = BTreeSet::new();
        let mut others = PgConnection::connect(&direct_url).await.expect("PostgreSQL");
        let mut attempts = async || {
            let waiting: Option<String> = sqlx::query_scalar(
                "SELECT xact_start::text FROM pg_stat_activity
                 WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO done_requests%'",
            )
            .fetch_optional(&mut others)
            .await
            .expect("an answer");
            begun.extend(waiting);
            begun.len()
        };
        eventually!(attempts().await, |count| *count >= 3);
        holder.close().await.expect("rolled back");
    };
    tokio::join!(asked, released);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_workers_are_unready_serves_again_when_they_are() {
    let servers = Servers::start_own().await;
    let stack = Stack::builder().on(servers.isolated_with_schema().await).start().await;
    let admin = stack.servers.admin_database_url.clone();
    let mut alice = stack.client(0, "alice").await;
    for _ in 0..2 {
        execute(&admin, READ_ONLY).await;
        unready(&stack.gateways[0], "workers", "503").await;
        execute(&admin, WRITABLE).await;
        eventually!(readiness(&stack.gateways[0]).await.0, |status| *status == 200);
        create(&mut alice, in_the_lobby(&[])).await;
        told_twice(&mut alice, "meeting:onMeetingCreated").await;
    }
}

//! What is removed, and what never is.

use std::time::Duration;

use harness::{Stack, eventually};
use shared::internal::{ReadHeads, ReadPage, ReadRange};
use worker::{
    database::{Pool, background},
    retention::{Removed, Retention, pass},
};

use super::world::World;

const DAY: Retention = Retention { events: Duration::from_secs(24 * 3600), retries: Duration::from_secs(24 * 3600) };

/// Adds events of a network with these ages in hours, the oldest first.
async fn log(world: &World, network: &str, hours: &[f64]) {
    sqlx::query(
        "WITH logged AS (
             INSERT INTO event_log (network_id, position, moved_at, name, recipients, payload, size)
             SELECT $1, p, now() - make_interval(secs => age * 3600), 'x:y', ARRAY['alice', 'bob'], p::text, 200
             FROM unnest($2::float8[]) WITH ORDINALITY AS a (age, p)
             RETURNING network_id, position, recipients
         )
         INSERT INTO event_recipients SELECT network_id, unnest(recipients), position FROM logged",
    )
    .bind(network)
    .bind(hours)
    .execute(&mut world.database().await)
    .await
    .expect("events");
}

fn pool(world: &World) -> Pool {
    background(&world.url(), "retention").expect("a URL")
}

async fn kept(world: &World, network: &str) -> Vec<i64> {
    let (log, of_bob): (Vec<i64>, Vec<i64>) = sqlx::query_as(
        "SELECT ARRAY(SELECT position FROM event_log WHERE network_id = $1 ORDER BY 1),
                ARRAY(SELECT position FROM event_recipients WHERE network_id = $1 AND user_id = 'bob' ORDER BY 1)",
    )
    .bind(network)
    .fetch_one(&mut world.database().await)
    .await
    .expect("the log");
    assert_eq!(log, of_bob, "recipients go with their event");
    log
}

#[tokio::test]
async fn old_events_go_but_each_networks_newest_stays_and_readers_are_told() {
    let world = World::new().await;
    world.execute("INSERT INTO networks (id, partition, epoch) VALUES ('asleep', 9, 'q')").await;
    log(&world, "demo", &[30.0, 29.0, 25.0, 23.0, 1.0]).await;
    log(&world, "asleep", &[99.0, 98.0]).await;
    let removed = pass(&pool(&world), DAY).await.expect("a pass");
    assert_eq!(removed, Removed { events: 4, ..Removed::default() });
    assert_eq!(kept(&world, "demo").await, [4, 5]);
    assert_eq!(kept(&world, "asleep").await, [2], "its head must not fall");
    assert_eq!(pass(&pool(&world), DAY).await.expect("a pass"), Removed::default());

    let worker = world.worker(&[]).await;
    let page = ReadPage { network: "demo".to_owned(), user: "bob".to_owned(), after: 2 };
    let page = world.ask(&page).await.expect("a page");
    assert_eq!((page.trimmed, page.events.len(), page.through), (3, 2, 5), "position 3 is missing");
    let range = world.ask(&ReadRange { network: "asleep".to_owned(), after: 0, through: 2 }).await.expect("a range");
    assert_eq!((range.trimmed, range.events.len()), (1, 1));
    let heads = world.ask(&ReadHeads { networks: vec!["asleep".to_owned()] }).await.expect("heads");
    assert_eq!(heads.heads[0].head, 2);
    worker.drain().await;
}

#[tokio::test]
async fn a_clock_that_was_put_back_makes_no_hole() {
    let world = World::new().await;
    log(&world, "demo", &[30.0, 20.0, 28.0, 19.0, 18.0]).await;
    pass(&pool(&world), DAY).await.expect("a pass");
    assert_eq!(kept(&world, "demo").await, [4, 5]);
}

#[tokio::test]
async fn very_many_are_removed_in_small_transactions_that_go_over_the_heads_once() {
    let world = World::new().await;
    world
        .execute(
            "INSERT INTO networks (id, partition, epoch) SELECT 'n' || i, 1, 'e' FROM generate_series(1, 3000) i;
             INSERT INTO event_log (network_id, position, moved_at, name, recipients, payload, size)
             SELECT 'n' || i, 1, now() - interval '40 hours', 'x:y', '{bob}', '1', 100 FROM generate_series(1, 3000) i",
        )
        .await;
    log(&world, "demo", &(0..5000).map(|n| 39.0 - f64::from(n) / 1000.0).collect::<Vec<_>>()).await;
    let removed = pass(&pool(&world), DAY).await.expect("a pass");
    assert_eq!(removed.events, 4999);
    assert_eq!(world.count("SELECT count(*) FROM event_log").await, 3001);
}

#[tokio::test]
async fn one_worker_at_a_time_removes() {
    let world = World::new().await;
    log(&world, "demo", &[30.0, 1.0]).await;
    let pool = pool(&world);
    let busy = 0x636f_6e76_656e_6503_i64;
    let mut other = world.database().await;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(busy).execute(&mut other).await.expect("the lock");
    assert_eq!(pass(&pool, DAY).await.expect("a pass"), Removed::default());
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(busy).execute(&mut other).await.expect("it is over");
    assert_eq!(pass(&pool, DAY).await.expect("a pass").events, 1);
}

#[tokio::test]
async fn answers_and_revocations_go_when_their_time_is_over() {
    let world = World::new().await;
    world
        .execute(
            "INSERT INTO done_requests (network_id, user_id, sid, event_id, endpoint, digest, answer, done_at)
             SELECT 'demo', 'alice', 's', i::text, 'e', '', '', now() - i * interval '1 hour'
             FROM generate_series(1, 3000) i;
             INSERT INTO revoked_sessions (sid, revoked_at)
             SELECT i::text, now() - i * interval '1 day' + interval '1 hour' FROM generate_series(1, 40) i",
        )
        .await;
    let removed = pass(&pool(&world), DAY).await.expect("a pass");
    // Of the hours exactly 24 is over; of the days 30 is not, by an hour.
    assert_eq!(removed, Removed { retries: 2977, revocations: 10, ..Removed::default() });
}

#[tokio::test]
async fn s10_invitations_of_outsiders_go_when_they_expire_and_their_count_after_an_hour() {
    let world = World::new().await;
    world
        .execute(
            "INSERT INTO social_sessions (network_id, id, owner_id, owner_name, room_id, prop_id, session_type, title,
                 description, color_r, color_g, color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone)
             VALUES ('demo', gen_random_uuid(), 'alice', '', 'lobby', '', 0, 't', '', 0, 0, 0, 0, now(), 60, false,
                     now()::timestamp, 'UTC');
             INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, expires_at)
             SELECT network_id, id, 0, n::text, gen_random_uuid(), 0, 'alice',
                    now() + (1200 - n) * interval '1 hour' + interval '1 minute'
             FROM social_sessions, generate_series(1, 2500) n;
             INSERT INTO social_inviters (network_id, user_id, invited_at, last_at)
             SELECT 'demo', n::text, '{}', now() - n * interval '10 minutes' + interval '1 minute'
             FROM generate_series(1, 20) n",
        )
        .await;
    let removed = pass(&pool(&world), DAY).await.expect("a pass");
    assert_eq!(removed, Removed { invitations: 1300, inviters: 14, ..Removed::default() });
}

#[tokio::test]
async fn s10_what_outsiders_were_sent_goes_when_its_session_is_long_over_or_nothing_is_left_to_send() {
    let world = World::new().await;
    // To come, just over, long over, and without end; of none there is also something, as if it had been deleted.
    world
        .execute(
            "INSERT INTO social_sessions (network_id, id, owner_id, owner_name, room_id, prop_id, session_type, title,
                 description, color_r, color_g, color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone,
                 ends_at)
             SELECT 'demo', md5(title)::uuid, 'alice', '', 'lobby', '', 0, title, '', 0, 0, 0, 0, now(), 60, false,
                    now()::timestamp, 'UTC', now() + days * interval '1 day'
             FROM (VALUES ('coming', 5), ('over', -5), ('long over', -31), ('endless', NULL::int)) s (title, days);
             -- Sent long ago, sent lately, to be sent since long ago, to be sent since lately.
             INSERT INTO social_messages (network_id, session_id, kind, address, message_id, sent_at, due_at, cancelled,
                                          keep_until)
             SELECT 'demo', md5(title)::uuid, 0, address, gen_random_uuid(), now() - sent * interval '1 day',
                    now() - due * interval '1 day', CASE WHEN title = 'deleted' THEN '{}' END,
                    now() - interval '1 minute'
             FROM unnest(ARRAY['coming', 'over', 'long over', 'endless', 'deleted']) title,
                  (VALUES ('sent', 40, NULL::int), ('sent lately', 9, NULL), ('waits', NULL, 40), ('waits lately', NULL, 9),
                          ('withdrawn', NULL, 40)) m (address, sent, due);
             INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, expires_at)
             SELECT network_id, id, 0, address, gen_random_uuid(), 0, 'alice', now() + interval '1 day'
             FROM social_sessions, unnest(ARRAY['waits', 'waits lately']) address;
             -- Its time has not come, whatever it is.
             INSERT INTO social_messages (network_id, session_id, kind, address, message_id, sent_at)
             VALUES ('demo', gen_random_uuid(), 1, 'young', gen_random_uuid(), now() - interval '90 days')",
        )
        .await;
    let removed = pass(&pool(&world), DAY).await.expect("a pass");
    let left: Vec<(Option<String>, String)> = sqlx::query_as(
        "SELECT s.title, m.address FROM social_messages m LEFT JOIN social_sessions s ON s.id = m.session_id
         ORDER BY s.title, m.address",
    )
    .fetch_all(&mut world.database().await)
    .await
    .expect("what is left");
    let shown: Vec<String> =
        left.into_iter().map(|(title, address)| format!("{}: {address}", title.unwrap_or_default())).collect();
    assert_eq!(
        shown,
        [
            "coming: sent",
            "coming: sent lately",
            "coming: waits",
            "coming: waits lately",
            "endless: sent",
            "endless: sent lately",
            "endless: waits",
            "endless: waits lately",
            "long over: sent lately",
            "long over: waits lately",
            "over: sent",
            "over: sent lately",
            "over: waits",
            "over: waits lately",
            ": sent lately",
            ": waits lately",
            ": young",
        ]
    );
    assert_eq!(removed, Removed { messages: 9, ..Removed::default() });
    // What is kept is not looked at again at once, and what was young is not forgotten.
    assert_eq!(
        world.count("SELECT count(*) FROM social_messages WHERE keep_until < now() + interval '19 days'").await,
        0
    );
    assert_eq!(
        world.count("SELECT count(*) FROM social_messages WHERE keep_until > now() + interval '31 days'").await,
        0
    );
}

#[tokio::test]
async fn s10_what_was_still_to_be_sent_when_it_goes_is_counted_as_not_sent() {
    // A process: what it counts is its own.
    let stack = Stack::builder().processes().worker_arg("--event-retention=10s").start().await;
    // Nobody has a mail server: of a deleted session's end, and of an invitation that stands, nobody was told.
    sqlx::raw_sql(
            "INSERT INTO social_sessions (network_id, id, owner_id, owner_name, room_id, prop_id, session_type, title,
                 description, color_r, color_g, color_b, color_a, starts_at, seconds, is_recurring, local_start, time_zone,
                 ends_at)
             VALUES ('demo', md5('over')::uuid, 'alice', '', 'lobby', '', 0, 't', '', 0, 0, 0, 0, now(), 60, false,
                     now()::timestamp, 'UTC', now() - interval '40 days');
             INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, expires_at)
             VALUES ('demo', md5('over')::uuid, 1, '+4930123456', gen_random_uuid(), 0, 'alice', now() + interval '1 day');
             INSERT INTO social_messages (network_id, session_id, kind, address, message_id, due_at, cancelled, keep_until)
             SELECT 'demo', md5(title)::uuid, kind, address, gen_random_uuid(), now() - interval '40 days', cancelled,
                    now() - interval '1 minute'
             FROM (VALUES ('gone', 0, 'ann@example.com', '{}'), ('over', 1, '+4930123456', NULL),
                          ('over', 0, 'taken.back@example.com', NULL)) m (title, kind, address, cancelled)",
        )
        .execute(&mut stack.database().await)
        .await
        .expect("written");
    let count = |page: &str, name: &str, channel: &str, what: &str| {
        page.contains(&format!("convene_messages_{name}_total{{channel=\"{channel}\",what=\"{what}\"}} 1\n"))
    };
    eventually!(stack.workers[0].get("/metrics").await.expect("metrics").1, |page: &String| {
        count(page, "given_up", "mail", "cancellation")
            && count(page, "given_up", "phone", "invitation")
            && count(page, "withdrawn", "mail", "invitation")
    });
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM social_messages")
        .fetch_one(&mut stack.database().await)
        .await
        .expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_worker_removes_by_itself_and_says_so() {
    let world = World::new().await;
    log(&world, "demo", &[2.0, 1.0, 0.0]).await;
    let worker = world.worker(&["--event-retention=10s"]).await;
    eventually!(kept(&world, "demo").await, |kept| *kept == [3]);
    let removed = r#"convene_retention_removed_total{table="event_log"}"#;
    eventually!(worker.get("/metrics").await.1, |page: &String| page.contains(removed)
        && page.contains("convene_retention_last_success_timestamp_seconds 1"));
    worker.drain().await;
}

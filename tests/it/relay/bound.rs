//! Late commits and long snapshots: nothing below the lower bound is missed, and nothing dead is read for ever.

use harness::{Servers, eventually};
use sqlx::{Connection as _, PgConnection};
use worker::outbox;

use super::world::{World, emission};

/// A transaction that has left an event and is not committed. Its id and number are drawn.
async fn uncommitted(world: &World, payload: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut transaction = world.pool.begin().await.expect("a transaction");
    outbox::insert(&mut transaction, &[emission("demo", &["alice"], &format!("{payload:?}"))])
        .await
        .expect("it is accepted");
    transaction
}

#[tokio::test]
async fn the_very_first_number_is_not_passed_before_it_is_drawn() {
    let world = World::new().await;
    world.network("demo", 5).await;
    let relay = world.relay();
    // Long enough for the relay to settle whatever it takes for drawn.
    world.hear_heads(5, 6).await;
    world.emit("demo", &["alice"], "1").await;
    world.moved(1).await;
    relay.drain().await;
}

#[tokio::test]
async fn an_event_that_is_committed_long_after_later_ones_is_moved() {
    // Servers of its own: nobody else's transaction ends while the first one goes on.
    let servers = Servers::start_own().await;
    let world = World::on(servers.isolated().await).await;
    world.network("demo", 5).await;
    let relay = world.relay();
    world.hear_heads(5, 3).await;
    // No id beyond its own has ended when the relay looks: a snapshot's xmax says nothing of it.
    let first = uncommitted(&world, "first").await;
    world.hear_heads(5, 6).await;
    let second = uncommitted(&world, "second").await;
    world.emit("demo", &["alice"], r#""third""#).await;
    world.moved(1).await;
    // The relay sees many snapshots, and twice who holds locks.
    world.hear_heads(5, 6).await;
    world.emit("demo", &["alice"], r#""fourth""#).await;
    world.moved(2).await;
    second.commit().await.expect("it is committed");
    world.moved(3).await;
    world.hear_heads(5, 6).await;
    first.commit().await.expect("it is committed");
    world.moved(4).await;
    let payloads: Vec<String> = world.log("demo").await.into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, ["third", "fourth", "second", "first"].map(|text| format!("{text:?}")));
    relay.drain().await;
}

// The tests below have servers of their own: other tests' transactions would hold up the bound for a while.

/// Entries of the outbox's index that were read since its statistics began. They are counted when a session ends or has
/// been at work for a second.
async fn entries_read(world: &World) -> i64 {
    world
        .count("SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes WHERE relname = 'outbox'")
        .await
}

async fn fill(world: &World, rows: i32) {
    sqlx::query(
        "INSERT INTO outbox (partition, network_id, recipients, name, payload, size)
         SELECT 5, 'demo', '{alice}', 'x:y', i::text, 100 FROM generate_series(1, $1) i",
    )
    .bind(rows)
    .execute(&world.pool)
    .await
    .expect("events");
}

/// Another database of the server would do as well: what matters is the transaction's id.
async fn long_transaction(world: &World, with_id: bool) -> PgConnection {
    let mut connection = PgConnection::connect(&world.servers.database_url).await.expect("a connection");
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM networks")
        .execute(&mut connection)
        .await
        .expect("a snapshot");
    if with_id {
        sqlx::raw_sql("SELECT pg_current_xact_id()").execute(&mut connection).await.expect("an id");
    }
    connection
}

#[tokio::test]
async fn under_a_long_snapshot_a_batch_does_not_read_what_was_moved_before() {
    let servers = Servers::start_own().await;
    let world = World::on(servers.isolated().await).await;
    world.network("demo", 5).await;
    let snapshot = long_transaction(&world, false).await;
    let before = entries_read(&world).await;
    // Two hundred rows at a time, so that no batch is cut short.
    let relay = world.relay();
    for round in 1..=60 {
        fill(&world, 200).await;
        world.bus.publish(shared::bus::Subject::wake(5), shared::bus::Headers::new(), "").await.expect("a wake");
        world.moved(round * 200).await;
    }
    relay.drain().await;
    world.wait_for_shares(vec![]).await;
    let read = entries_read(&world).await - before;
    // Reading everything again each time would be 60 * 61 / 2 * 200 = 366,000.
    assert!(read < 12_000 * 5, "{read} entries were read for 12,000 rows");
    drop(snapshot);
}

#[tokio::test]
async fn a_backlog_under_a_long_snapshot_is_read_once() {
    let servers = Servers::start_own().await;
    let world = World::on(servers.isolated().await).await;
    world.network("demo", 5).await;
    let snapshot = long_transaction(&world, false).await;
    fill(&world, 30_000).await;
    let before = entries_read(&world).await;
    let relay = world.relay();
    world.moved(30_000).await;
    relay.drain().await;
    world.wait_for_shares(vec![]).await;
    let read = entries_read(&world).await - before;
    // Reading everything again in each of 60 batches would be 900,000.
    assert!(read < 30_000 * 5, "{read} entries were read for 30,000 rows");
    drop(snapshot);
}

#[tokio::test]
async fn a_transaction_that_never_ends_does_not_hold_the_bound_forever() {
    let servers = Servers::start_own().await;
    let world = World::on(servers.isolated().await).await;
    world.network("demo", 5).await;
    let endless = long_transaction(&world, true).await;
    fill(&world, 10_000).await;
    let relay = world.relay();
    world.moved(10_000).await;
    let read_while_looking = async || {
        let before = entries_read(&world).await;
        world.hear_heads(5, 5).await;
        entries_read(&world).await - before
    };
    eventually!(read_while_looking().await, |read| *read < 1000);
    relay.drain().await;
    drop(endless);
}

//! What is true of the log whatever happens at once.

use std::collections::BTreeMap;

use harness::eventually;
use serde_json::{Value, json};
use shared::{
    bus::Subject,
    internal::{Deliver, Moved},
    pod::PodId,
    presence::{Entry, Place},
};
use sqlx::{PgPool, Row as _};
use worker::outbox;

use super::world::{World, emission, next, next_message};

const NETWORKS: [&str; 4] = ["n0", "n1", "n2", "n3"];

/// Changes an object of a network so many times: locks it, counts up, leaves an event that tells the count.
pub async fn change_often(pool: &PgPool, object: i32, times: usize) {
    for _ in 0..times {
        let mut transaction = pool.begin().await.expect("a transaction");
        let row = sqlx::query("UPDATE objects SET version = version + 1 WHERE id = $1 RETURNING network_id, version")
            .bind(object)
            .fetch_one(&mut *transaction)
            .await
            .expect("the object");
        let payload = json!({"object": object, "version": row.get::<i32, _>("version")}).to_string();
        let emission = emission(row.get("network_id"), &["alice", "bob"], &payload);
        outbox::insert(&mut transaction, &[emission]).await.expect("it is accepted");
        transaction.commit().await.expect("it is committed");
    }
}

/// Makes `NETWORKS` in different partitions, with objects in each of them.
pub async fn with_objects(world: &World, objects: i32) {
    for (number, network) in NETWORKS.iter().enumerate() {
        world.network(network, 10 + number as u16).await;
    }
    sqlx::raw_sql(
        "CREATE TABLE objects (id int PRIMARY KEY, network_id text NOT NULL, version int NOT NULL DEFAULT 0)",
    )
    .execute(&world.pool)
    .await
    .expect("a table");
    sqlx::query("INSERT INTO objects SELECT i, 'n' || i % 4 FROM generate_series(0, $1 - 1) i")
        .bind(objects)
        .execute(&world.pool)
        .await
        .expect("objects");
}

/// Each network's positions are 1, 2, 3 …, each object's events are all there in order, each recipient has each of them,
/// and nothing is left.
pub async fn assert_whole(world: &World, objects: i32, changes_of_each: i64) {
    let mut versions: BTreeMap<i64, i64> = BTreeMap::new();
    for network in NETWORKS {
        for (place, (position, payload)) in world.log(network).await.into_iter().enumerate() {
            assert_eq!(position, place as i64 + 1, "{network} has a hole or a repeat");
            let payload: Value = serde_json::from_str(&payload).expect("JSON");
            let (object, version) = (payload["object"].as_i64().expect("one"), payload["version"].as_i64());
            let before = versions.insert(object, version.expect("one")).unwrap_or(0);
            assert_eq!(version, Some(before + 1), "object {object} at {network} {position}");
        }
    }
    assert_eq!(versions, (0..i64::from(objects)).map(|object| (object, changes_of_each)).collect());
    let total = i64::from(objects) * changes_of_each;
    assert_eq!(world.count("SELECT count(*) FROM event_recipients").await, total * 2);
    assert_eq!(world.count("SELECT count(*) FROM outbox").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_are_dense_and_objects_in_order_with_fifty_writers_and_two_relays() {
    let world = World::new().await;
    // More writers than objects, so that some wait for a lock: 25 objects, two writers of each.
    with_objects(&world, 25).await;
    let relays = [world.relay(), world.relay()];
    let writers = (0..50).map(|writer| {
        let pool = world.pool.clone();
        tokio::spawn(async move { change_often(&pool, writer % 25, 20).await })
    });
    futures::future::try_join_all(writers).await.expect("the writers");
    world.moved(1000).await;
    assert_whole(&world, 25, 40).await;
    for relay in relays {
        relay.drain().await;
    }
}

#[tokio::test]
async fn what_one_change_emits_keeps_its_order() {
    let world = World::new().await;
    world.network("demo", 3).await;
    world.network("other", 4).await;
    let mut transaction = world.pool.begin().await.expect("a transaction");
    let emissions: Vec<_> =
        (0..60).map(|n| emission(if n % 3 == 0 { "other" } else { "demo" }, &["alice"], &n.to_string())).collect();
    let partitions = outbox::insert(&mut transaction, &emissions).await.expect("they are accepted");
    transaction.commit().await.expect("it is committed");
    assert_eq!(partitions.into_iter().collect::<Vec<_>>(), [3, 4]);

    let relay = world.relay();
    world.moved(60).await;
    let payloads = |log: Vec<(i64, String)>| log.into_iter().map(|(_, n)| n.parse().expect("n")).collect::<Vec<u32>>();
    assert_eq!(payloads(world.log("demo").await), (0..60).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    assert_eq!(payloads(world.log("other").await), (0..60).filter(|n| n % 3 == 0).collect::<Vec<_>>());
    relay.drain().await;
}

#[tokio::test]
async fn an_outbox_takes_nothing_that_could_not_be_delivered() {
    let world = World::new().await;
    world.network("demo", 3).await;
    let mut connection = world.pool.acquire().await.expect("a connection");
    let large = format!("\"{}\"", "x".repeat(shared::api::MAX_EVENT_BYTES));
    for (network, payload) in [("demo", "no JSON"), ("demo", large.as_str()), ("unknown", "{}")] {
        let emission = emission(network, &["alice"], payload);
        outbox::insert(&mut connection, &[emission]).await.expect_err("it is refused");
    }
    let nobody = outbox::insert(&mut connection, &[emission("demo", &[], "{}")]).await.expect("nothing is to be done");
    assert!(nobody.is_empty());
    assert_eq!(world.count("SELECT count(*) FROM outbox").await, 0);
}

#[tokio::test]
async fn an_event_for_very_many_reaches_all_of_them_in_messages_that_fit() {
    let world = World::new().await;
    world.network("demo", 7).await;
    let mut moves = world.subscribe(Subject::events("demo")).await;
    let mut bodies = world.subscribe(Subject::deliver(&PodId::read("pod"))).await;
    let users: Vec<String> = (0..12_000).map(|n| format!("{n:0>128}")).collect();
    let place = Place { pod: PodId::read("pod"), socket: 1, fence: 1, since_ms: 0 };
    let session =
        shared::internal::Session { network: "demo".to_owned(), user: users[11_999].clone(), sid: "s".to_owned() };
    world.presence.claim(Entry { session, place }).await.expect("a socket");

    let payload = format!("\"{}\"", "x".repeat(shared::api::MAX_EVENT_BYTES - 2));
    let recipients: Vec<&str> = users.iter().map(String::as_str).chain(["again", "again"]).collect();
    world.emit("demo", &recipients, &payload).await;
    let relay = world.relay();
    eventually!(world.count("SELECT count(*) FROM event_recipients").await, |count| *count == 12_001);
    assert_eq!(world.count("SELECT count(DISTINCT user_id) FROM event_recipients").await, 12_001);

    let mut told = Vec::new();
    let mut through = 0;
    while told.len() < 12_001 {
        let message = next_message(&mut moves).await;
        assert!(message.payload.len() <= 512 * 1024, "{}", message.payload.len());
        let moved: Moved = serde_json::from_slice(&message.payload).expect("a move");
        assert_eq!(moved.from, through, "the next one follows");
        assert_eq!(moved.to, moved.from + moved.recipients.len() as u64);
        through = moved.to;
        told.extend(moved.recipients.concat());
    }
    told.sort_unstable();
    let mut everybody = [users.clone(), vec!["again".to_owned()]].concat();
    everybody.sort_unstable();
    assert_eq!(told, everybody);

    let delivered: Deliver = next(&mut bodies).await;
    assert_eq!(delivered.events.len(), 1, "the user is among the recipients of one row");
    assert_eq!(delivered.events[0].body.data.get(), payload);
    relay.drain().await;
}

#[tokio::test]
async fn a_partition_that_cannot_be_moved_does_not_keep_the_others_waiting() {
    let world = World::new().await;
    world.network("full", 1).await;
    world.network("demo", 2).await;
    sqlx::query(
        "INSERT INTO event_log (network_id, position, name, recipients, payload, size)
         VALUES ('full', 9223372036854775807, '', '{}', '0', 1)",
    )
    .execute(&world.pool)
    .await
    .expect("a network without another position");
    world.emit("full", &["alice"], "1").await;
    world.emit("demo", &["alice"], "1").await;
    let relay = world.relay();
    eventually!(!world.log("demo").await.is_empty());
    world.emit("demo", &["alice"], "2").await;
    eventually!(world.log("demo").await.len(), |events| *events == 2);

    sqlx::query("DELETE FROM event_log WHERE network_id = 'full'").execute(&world.pool).await.expect("it is repaired");
    eventually!(world.log("full").await, |log| *log == [(1, "1".to_owned())]);
    assert_eq!(world.shares().await.len(), 1, "the session was kept");
    relay.drain().await;
}

//! Canaries: events that gateways send themselves.

use shared::{
    internal::{Empty, ReadHeads, SendCanary},
    pod::PodId,
};

use super::world::World;

fn canary(partition: u16) -> SendCanary {
    SendCanary { partition, pod: PodId::read("pod"), number: 7 }
}

#[tokio::test]
async fn the_first_canary_makes_its_network_and_the_log_of_canaries_stays_short() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=events,user"]).await;
    assert_eq!(world.ask(&canary(3)).await, Ok(Empty {}));
    assert_eq!(world.count("SELECT partition::int8 FROM networks WHERE id = 'canary:3'").await, 3);
    let moved = "SELECT count(*) FROM event_log l JOIN event_recipients r USING (network_id, position)
                 WHERE network_id = 'canary:3' AND r.user_id = 'pod' AND payload = '{\"number\":7}'";
    harness::eventually!(world.count(moved).await, |moved| *moved == 1);
    worker.drain().await;

    world
        .execute(
            "UPDATE event_log SET moved_at = now() - interval '2 minutes' WHERE network_id = 'canary:3';
             INSERT INTO event_log (network_id, position, moved_at, name, recipients, payload, size)
             SELECT 'canary:3', n, now() - CASE WHEN n < 350 THEN interval '2 minutes' ELSE interval '0' END, 'canary',
                    '{pod}', '{}', 70
             FROM generate_series(2, 390) n;
             INSERT INTO event_recipients SELECT 'canary:3', 'pod', n FROM generate_series(2, 390) n",
        )
        .await;
    let worker = world.worker(&["--namespaces=events,user"]).await;
    world.ask(&canary(3)).await.expect("sent");
    let head = ReadHeads { networks: vec!["canary:3".to_owned()] };
    harness::eventually!(world.ask(&head).await.expect("heads").heads[0].head, |head| *head == 391);
    for table in ["SELECT min(position) FROM event_log", "SELECT min(position) FROM event_recipients"] {
        let oldest = world.count(table).await;
        assert_eq!(oldest, 350, "{table}");
    }
    assert_eq!(world.count("SELECT count(*) FROM networks WHERE id LIKE 'canary:%'").await, 1);
    worker.drain().await;
}

#[tokio::test]
async fn the_newest_canary_stays_whatever_its_age_as_it_is_the_head() {
    let world = World::new().await;
    // Nobody moves anything here.
    let worker = world.worker(&["--namespaces=events,user"]).await;
    world.ask(&canary(3)).await.expect("sent");
    let logged = "SELECT count(*) FROM event_log WHERE network_id = 'canary:3'";
    harness::eventually!(world.count(logged).await, |count| *count == 1);
    world.execute("UPDATE event_log SET moved_at = now() - interval '2 minutes'").await;
    world.ask(&canary(3)).await.expect("sent");
    harness::eventually!(world.count("SELECT coalesce(max(position), 0) FROM event_log").await, |head| *head == 2);
    assert_eq!(world.count("SELECT min(position) FROM event_log").await, 1);
    worker.drain().await;
}

#[tokio::test]
async fn a_partition_that_there_is_not_is_400() {
    let world = World::new().await;
    let worker = world.worker(&["--namespaces=events,user"]).await;
    let error = world.ask(&canary(64)).await.expect_err("there are 64");
    assert_eq!(error.code.number(), 400);
    worker.drain().await;
}

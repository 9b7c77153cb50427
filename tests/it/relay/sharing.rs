//! Who holds which partitions.

use harness::eventually;

use super::world::{Stuck, World};

#[tokio::test]
async fn relays_share_the_partitions_and_those_of_one_that_goes_are_taken() {
    let world = World::new().await;
    world.network("demo", 5).await;
    let first = world.relay();
    world.wait_for_shares(vec![64]).await;
    let second = world.relay();
    world.wait_for_shares(vec![32, 32]).await;
    let third = world.relay();
    // 22 are the most that one of three holds.
    eventually!(world.shares().await, |shares| {
        shares.len() == 3 && shares.values().sum::<i64>() == 64 && shares.values().all(|share| *share <= 22)
    });

    second.drain().await;
    world.wait_for_shares(vec![32, 32]).await;
    third.kill().await;
    world.wait_for_shares(vec![64]).await;
    world.emit("demo", &["alice"], "1").await;
    world.moved(1).await;
    first.drain().await;
    world.wait_for_shares(vec![]).await;
}

#[tokio::test]
async fn a_relay_that_has_stopped_loses_its_partitions_and_what_it_moved_stays() {
    let world = World::new().await;
    world.network("demo", 5).await;
    world.emit("demo", &["alice"], "1").await;
    let stopped = world.start(world.new_relay().with_hooks(Stuck));
    world.moved(1).await;
    world.wait_for_shares(vec![64]).await;
    let session = *world.shares().await.keys().next().expect("it lives");

    let other = world.relay();
    // The database ends the silent session.
    eventually!(world.shares().await, |shares| !shares.contains_key(&session) && shares.values().eq(&[64]));
    world.emit("demo", &["alice"], "2").await;
    world.moved(2).await;
    assert_eq!(world.log("demo").await, [(1, "1".to_owned()), (2, "2".to_owned())]);
    stopped.kill().await;
    other.drain().await;
}

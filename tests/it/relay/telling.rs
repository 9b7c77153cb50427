//! What gateways hear.

use harness::eventually;
use shared::{
    bus::Subject,
    internal::{Deliver, Head, Heads, Moved, Session},
    pod::PodId,
    presence::{Entry, Place},
};

use super::world::{EVENT, Stuck, World, next};

fn entry(user: &str, pod: &str) -> Entry {
    Entry {
        session: Session { network: "demo".to_owned(), user: user.to_owned(), sid: "s".to_owned() },
        place: Place { pod: PodId::read(pod), socket: 1, fence: 1, since_ms: 0 },
    }
}

fn head(head: u64) -> Head {
    Head { network: "demo".to_owned(), epoch: "e".to_owned(), head }
}

#[tokio::test]
async fn bodies_go_to_the_recipients_pods_and_the_move_to_all() {
    let world = World::new().await;
    world.network("demo", 5).await;
    for (user, pod) in [("alice", "pod-a"), ("bob", "pod-b"), ("carol", "pod-b"), ("dave", "pod-c")] {
        world.presence.claim(entry(user, pod)).await.expect("a socket");
    }
    let mut a = world.subscribe(Subject::deliver(&PodId::read("pod-a"))).await;
    let mut b = world.subscribe(Subject::deliver(&PodId::read("pod-b"))).await;
    let mut c = world.subscribe(Subject::deliver(&PodId::read("pod-c"))).await;
    let mut all = world.subscribe(Subject::events("demo")).await;
    let relay = world.relay();
    world.wait_for_shares(vec![64]).await;

    world.emit("demo", &["alice", "bob", "carol", "erin"], r#"{"b":1, "a":2.0}"#).await;
    let moved: Moved = next(&mut all).await;
    let recipients = ["alice", "bob", "carol", "erin"].map(str::to_owned).to_vec();
    assert_eq!(moved, Moved { epoch: "e".to_owned(), from: 0, to: 1, recipients: vec![recipients] });
    for pod in [&mut a, &mut b] {
        let delivered: Deliver = next(pod).await;
        assert_eq!((delivered.network.as_str(), delivered.epoch.as_str()), ("demo", "e"));
        assert_eq!(delivered.events.len(), 1, "once for each pod, however many recipients it has");
        assert_eq!(delivered.events[0].position, 1);
        assert_eq!(delivered.events[0].body.name, EVENT);
        assert_eq!(delivered.events[0].body.data.get(), r#"{"b":1, "a":2.0}"#, "byte for byte");
    }
    world.emit("demo", &["dave"], "2").await;
    let delivered: Deliver = next(&mut c).await;
    assert_eq!(delivered.events[0].position, 2, "it was not sent the first one");
    relay.drain().await;
}

#[tokio::test]
async fn a_relay_that_dies_before_it_tells_is_made_good_by_the_next_ones_heads() {
    let world = World::new().await;
    world.network("demo", 5).await;
    let mut heads = world.subscribe(Subject::heads(5)).await;
    let mut all = world.subscribe(Subject::events("demo")).await;
    world.emit("demo", &["alice"], "1").await;
    let dying = world.start(world.new_relay().with_hooks(Stuck));
    world.moved(1).await;
    dying.kill().await;

    let relay = world.relay();
    // Heads of before the move may still be on their way.
    eventually!(next::<Heads>(&mut heads).await.heads, |heads| heads.contains(&head(1)));
    world.emit("demo", &["alice"], "2").await;
    let moved: Moved = next(&mut all).await;
    assert_eq!((moved.from, moved.to), (1, 2), "the first one was never told");
    relay.drain().await;
}

#[tokio::test]
async fn heads_are_repeated_and_told_of_quiet_partitions_too() {
    let world = World::new().await;
    world.network("demo", 5).await;
    let relay = world.relay();
    world.emit("demo", &["alice"], "1").await;
    world.moved(1).await;
    let heard = world.hear_heads(5, 3).await;
    assert_eq!(heard[2].heads, [head(1)]);
    assert!(world.hear_heads(6, 2).await.iter().all(|heads| heads.heads.is_empty()));

    sqlx::query("UPDATE networks SET epoch = 'f'").execute(&world.pool).await.expect("the network is reset");
    let reset = Head { epoch: "f".to_owned(), ..head(1) };
    assert_eq!(world.hear_heads(5, 3).await[2].heads, [reset], "positions of another epoch mean nothing");
    relay.drain().await;
}

#[tokio::test]
async fn without_presence_and_bus_events_are_still_moved_and_later_told() {
    let servers = harness::Servers::start_own().await;
    let world = World::on(servers.isolated().await).await;
    world.network("demo", 5).await;
    let mut all = world.subscribe(Subject::events("demo")).await;
    let relay = world.relay();
    world.wait_for_shares(vec![64]).await;

    servers.redis.stop().await;
    world.emit("demo", &["alice"], "1").await;
    let moved: Moved = next(&mut all).await;
    assert_eq!(moved.to, 1, "told without bodies");

    servers.nats.stop().await;
    eventually!(!world.bus.is_connected());
    world.emit("demo", &["alice"], "2").await;
    servers.nats.start().await;
    world.moved(2).await;
    eventually!(world.hear_heads(5, 1).await, |heard| heard[0].heads == [head(2)]);
    relay.drain().await;
}

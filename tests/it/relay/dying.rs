//! Sessions and connections that end in the middle.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use harness::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    moving::{assert_whole, change_often, with_objects},
    world::World,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_killed_lose_and_repeat_nothing() {
    let world = World::new().await;
    with_objects(&world, 8).await;
    let relays = [world.relay(), world.relay()];
    let writers: Vec<_> = (0..8)
        .map(|object| {
            let pool = world.pool.clone();
            tokio::spawn(async move { change_often(&pool, object, 150).await })
        })
        .collect();
    for round in 0..12_i64 {
        eventually!(world.count("SELECT count(*) FROM event_log").await, |count| *count >= round * 90);
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'convene relay'",
        )
        .execute(&world.pool)
        .await
        .expect("they are killed");
    }
    futures::future::try_join_all(writers).await.expect("the writers");
    world.moved(1200).await;
    assert_whole(&world, 8, 150).await;
    for relay in relays {
        relay.drain().await;
    }
}

/// A way to the database that breaks when it is told to, in the middle of whatever is answered next.
struct Wire {
    port: u16,
    cut: Arc<AtomicBool>,
    broken: Arc<AtomicUsize>,
}

impl Wire {
    async fn to(database_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (cut, broken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let wire = Self { port, cut: cut.clone(), broken: broken.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (cut, broken) = (cut.clone(), broken.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", database_port)).await.expect("the database");
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let requests = async {
                        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                    };
                    let answers = async {
                        let mut buffer = vec![0; 16 * 1024];
                        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                            if count > 500 && cut.swap(false, Ordering::SeqCst) {
                                let _ = to_client.write_all(&buffer[..count / 2]).await;
                                broken.fetch_add(1, Ordering::SeqCst);
                                return;
                            }
                            if to_client.write_all(&buffer[..count]).await.is_err() {
                                return;
                            }
                        }
                    };
                    tokio::select! { () = requests => {}, () = answers => {} }
                });
            }
        });
        wire
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_cut_off_is_neither_lost_nor_repeated() {
    let world = World::new().await;
    with_objects(&world, 4).await;
    let wire = Wire::to(world.database().get_port()).await;
    let database = world.database().host("127.0.0.1").port(wire.port);
    let relay = world.start(worker::relay::Relay::new(database, world.bus.clone(), world.presence.clone()));
    for round in 0..6 {
        wire.cut.store(true, Ordering::SeqCst);
        let writers = (0..4).map(|object| change_often(&world.pool, object, 10));
        futures::future::join_all(writers).await;
        eventually!(wire.broken.load(Ordering::SeqCst), |broken| *broken > round);
    }
    world.moved(240).await;
    assert_whole(&world, 4, 60).await;
    relay.drain().await;
}

#[tokio::test]
async fn a_database_that_was_away_is_waited_for() {
    let servers = harness::Servers::start_own().await;
    let world = World::on(servers.isolated().await).await;
    world.network("demo", 5).await;
    let relay = world.relay();
    world.emit("demo", &["alice"], "1").await;
    world.moved(1).await;
    servers.postgres.kill().await;
    tokio::time::timeout(Duration::from_millis(300), relay.shutdown.stop.cancelled()).await.expect_err("it lives");
    servers.postgres.start().await;
    world.emit("demo", &["alice"], "2").await;
    world.moved(2).await;
    relay.drain().await;
}

//! Claims of one session that race over three pods, while Redis forgets and no pod is told of anything.

use std::time::Duration;

use futures::future::join_all;
use harness::{Client, Fault, Isolated, Loss, Proxy, Servers, Stack, eventually, eventually::PATIENCE};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use shared::presence::{Presence, redis::Redis};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

const GATEWAYS: usize = 3;
const SOCKETS: usize = 30;
const ROUNDS: u64 = 3;

/// Instead of twenty seconds.
const BEAT: Duration = Duration::from_secs(1);

async fn redis(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).expect("a URL").get_multiplexed_async_connection().await.expect("Redis")
}

/// The fence with which Redis knows Alice's session; `None` when it does not.
async fn known_fence(presence: &Presence) -> Option<u64> {
    presence.sessions_of("alice").await.expect("an answer").pop().map(|entry| entry.place.fence)
}

/// Reads until the socket is closed, and says so.
async fn follow(number: usize, mut client: Client, ends: mpsc::Sender<(usize, Option<u16>)>) {
    let code = client.closed().await;
    // Nobody listens once the test is over.
    let _ = ends.send((number, code)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_fence_alone_stays_although_redis_is_emptied_and_no_pod_is_told() {
    let shared = Servers::shared().await.isolated_with_schema().await;
    let proxy = Proxy::before_nats(&shared.nats_url, 6).await;
    let servers = Isolated { nats_url: proxy.url(&shared.nats_url), ..shared };
    let stack = Stack::builder().gateways(GATEWAYS).workers(2).beat(BEAT).on(servers).start().await;
    let mut store = redis(&stack.servers.redis_url).await;
    let presence = Redis::connect(&stack.servers.redis_url).expect("a good URL");
    proxy.set(Fault { loss: Loss { per_mille: 1000, subjects: "ctl." }, ..Fault::default() });
    let mut last_round: Option<mpsc::Receiver<(usize, Option<u16>)>> = None;
    for round in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(round);
        let pauses: Vec<u64> = (0..SOCKETS).map(|_| random.random_range(0..300)).collect();
        let opening = pauses.into_iter().enumerate().map(|(n, pause)| {
            let connect = stack.connect(n % GATEWAYS, "alice");
            async move {
                sleep(Duration::from_millis(pause)).await;
                connect.let_in().await
            }
        });
        let emptying = async {
            let mut store = store.clone();
            for _ in 0..8 {
                redis::cmd("FLUSHDB").exec_async(&mut store).await.expect("it is emptied");
                sleep(Duration::from_millis(random.random_range(0..60))).await;
            }
        };
        let (clients, ()) = tokio::join!(join_all(opening), emptying);
        let highest: i64 = sqlx::query_scalar("SELECT last_value FROM fence")
            .fetch_one(&mut stack.database().await)
            .await
            .expect("the newest fence");
        let (ended, mut ends) = mpsc::channel(SOCKETS);
        for (number, client) in clients.into_iter().enumerate() {
            tokio::spawn(follow(number, client, ended.clone()));
        }
        drop(ended);
        for _ in 1..SOCKETS {
            let (_, code) = timeout(PATIENCE, ends.recv()).await.expect("a beat finds it").expect("open");
            assert_eq!(code, Some(4501));
        }
        if let Some(mut before) = last_round.replace(ends) {
            assert_eq!(before.recv().await.map(|(_, code)| code), Some(Some(4501)), "the last round's, too");
        }
        // Whoever is left claims again, with the fence that it has.
        redis::cmd("FLUSHDB").exec_async(&mut store).await.expect("it is emptied");
        let fence = eventually!(known_fence(&presence).await, Option::is_some);
        assert_eq!(fence, u64::try_from(highest).ok(), "round {round}");
        let open = last_round.as_mut().expect("this round's");
        assert!(open.try_recv().is_err(), "the newest stays open");
    }
    assert!(proxy.lost() > 0, "no pod was told");
}

//! What can go wrong, and how it is done and undone.

use std::{fmt, time::Duration};

use futures::future::join_all;
use rand::{Rng as _, rngs::StdRng};

use super::tally::Tally;
use super::world::{World, has_ended};
use crate::{Fault, Server, stack::Pod};

/// What a fault happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A pod of this number, drawn when it happens.
    Gateway,
    Worker,
    /// All at once, as when their machine dies: nobody's session is anywhere when they come back under their names.
    AllGateways,
    Nats,
    Redis,
    Postgres,
    /// A way of this number.
    Way(usize),
    /// Some sessions.
    Sessions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// SIGKILL; started again after a while.
    Kill,
    /// SIGSTOP; SIGCONT after a while.
    Pause,
    /// Stopped in order and started at once.
    Restart,
    /// Redis forgets everything.
    Empty,
    /// Every connection breaks.
    Cut,
    /// Out of reach for a while.
    Part,
    /// Connections stay, nothing passes for a while.
    Freeze,
    /// All is late for a while.
    Delay,
    /// Little passes for a while.
    Throttle,
    /// Two sockets of each at once, on two pods.
    Race,
    /// Their sockets are gone without a word.
    Lose,
}

/// Every fault there is.
pub(super) fn all(ways: usize) -> Vec<(Harm, Target)> {
    use Harm::*;
    let mut all = Vec::new();
    for target in [Target::Gateway, Target::Worker] {
        // Twice as often as others: they are what happens most.
        all.extend([Kill, Pause, Restart, Kill, Pause].map(|harm| (harm, target)));
    }
    for target in [Target::Nats, Target::Redis, Target::Postgres] {
        all.extend([Kill, Pause, Restart].map(|harm| (harm, target)));
    }
    all.extend([(Empty, Target::Redis), (Kill, Target::AllGateways)]);
    for way in 0..ways {
        all.extend([Cut, Part, Freeze, Delay, Throttle].map(|harm| (harm, Target::Way(way))));
    }
    all.extend([Race, Lose, Race, Lose, Race].map(|harm| (harm, Target::Sessions)));
    all
}

/// Does it to a server, for so long.
pub(super) async fn harm_server(server: &Server, harm: Harm, held: Duration) {
    match harm {
        Harm::Kill => {
            server.kill().await;
            tokio::time::sleep(held).await;
            server.start().await;
        }
        Harm::Pause => {
            server.pause().await;
            tokio::time::sleep(held).await;
            server.resume().await;
        }
        _ => server.restart().await,
    }
}

/// Forgets all that Redis knows.
pub(super) async fn empty_redis(world: &World) {
    let client = redis::Client::open(world.stack.servers.redis_url.as_str()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.expect("Redis forgets");
}

/// Does it to a pod, for so long.
pub(super) async fn harm_pod(world: &World, target: Target, number: usize, harm: Harm, held: Duration, tally: &Tally) {
    let pods = if target == Target::Gateway { &world.stack.gateways } else { &world.stack.workers };
    let pod = &pods[number];
    if has_ended(pod, tally).await {
        return pod.start().await;
    }
    match harm {
        Harm::Kill => {
            pod.kill().await;
            tokio::time::sleep(held / 2).await;
            pod.start().await;
        }
        Harm::Pause => {
            pod.signal("STOP").await;
            tokio::time::sleep(held).await;
            pod.signal("CONT").await;
        }
        _ => {
            pod.stop().await;
            pod.start().await;
        }
    }
}

/// Kills all gateways and starts them again after so long.
pub(super) async fn kill_all_gateways(world: &World, held: Duration, tally: &Tally) {
    for gateway in &world.stack.gateways {
        has_ended(gateway, tally).await;
    }
    join_all(world.stack.gateways.iter().map(Pod::kill)).await;
    tokio::time::sleep(held).await;
    join_all(world.stack.gateways.iter().map(Pod::start)).await;
}

/// Does it to a way, for so long.
pub(super) async fn harm_way(world: &World, way: usize, harm: Harm, held: Duration, rng: &mut StdRng) {
    let proxy = &world.ways[way].proxy;
    let whole = Fault::default();
    match harm {
        Harm::Cut => return proxy.cut(),
        Harm::Part => proxy.part(),
        Harm::Freeze => proxy.set(Fault { is_frozen: true, ..whole }),
        Harm::Delay => proxy.set(Fault { delay: Duration::from_millis(rng.random_range(20..400)), ..whole }),
        _ => proxy.set(Fault { bytes_per_second: Some(rng.random_range(4_000..60_000)), ..whole }),
    }
    tokio::time::sleep(held).await;
    proxy.heal();
}

/// A fault as the report names it.
pub(super) struct Name<'a>(pub(super) &'a World, pub(super) Harm, pub(super) Target);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(world, harm, target) = self;
        let what = match target {
            Target::Gateway => "a gateway",
            Target::Worker => "a worker",
            Target::AllGateways => "all gateways",
            Target::Nats => "NATS",
            Target::Redis => "Redis",
            Target::Postgres => "PostgreSQL",
            Target::Way(way) => world.ways[*way].name,
            Target::Sessions => "sessions",
        };
        write!(f, "{} {what}", format!("{harm:?}").to_lowercase())
    }
}

//! What both engines of presence promise, that of Redis on one server and on a cluster.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use harness::{RedisCluster, Server, Servers, eventually};
use rand::seq::SliceRandom as _;
use shared::{
    internal::Session,
    pod::PodId,
    presence::{Claim, Entry, LIFETIME, PROBES, Place, Presence, Renewal, local::Local, redis::Redis},
};

macro_rules! on_all_engines {
    ($($name:ident)+) => {
        mod on_redis {
            $(#[tokio::test]
            async fn $name() {
                let url = super::Servers::shared().await.redis.new_url();
                let connect = |lifetime| super::Redis::with_lifetime(&url, lifetime).expect("a good URL");
                super::$name(&connect).await;
            })+
        }
        /// There is one database only, so one after the other.
        #[tokio::test]
        async fn all_of_that_on_a_cluster() {
            let cluster = RedisCluster::start(0).await;
            let url = cluster.url();
            $(
                cluster.clear().await;
                $name(&|lifetime| Redis::with_lifetime(&url, lifetime).expect("a good URL")).await;
            )+
        }
        mod on_local {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&|lifetime| super::Presence::new(super::Local::with_lifetime(lifetime))).await;
            })+
        }
    };
}

on_all_engines! {
    the_higher_fence_has_the_session_in_whatever_order_the_claims_come
    of_fifty_claims_at_once_the_highest_fence_stays
    a_claim_that_is_sent_again_replaces_nobody
    the_same_sid_elsewhere_is_another_session
    only_the_own_fence_is_released
    what_was_forgotten_is_there_again_after_a_renewal
    a_lost_session_is_known_at_the_renewal
    entries_and_pods_expire_unless_they_are_renewed
    an_expired_entry_is_no_longer_in_the_way
    pods_are_told_by_network_and_in_the_order_of_the_users
    thousands_are_looked_up_renewed_and_released_at_once
    names_of_any_characters_stay_apart
    pods_come_and_go
    a_probe_finds_nothing_amiss_and_leaves_nothing
}

type Connect<'a> = &'a dyn Fn(Duration) -> Presence;

/// Short enough to wait for; nothing that needs an entry to live on uses it.
const BRIEF: Duration = Duration::from_millis(300);

fn session(network: &str, user: &str, sid: &str) -> Session {
    Session { network: network.into(), user: user.into(), sid: sid.into() }
}

fn place(pod: &str, fence: u64) -> Place {
    Place { pod: PodId::read(pod), socket: fence + 1_000_000, fence, since_ms: 1_764_000_000_123 }
}

fn entry(network: &str, user: &str, sid: &str, pod: &str, fence: u64) -> Entry {
    Entry { session: session(network, user, sid), place: place(pod, fence) }
}

/// Alice's one session.
fn alice(pod: &str, fence: u64) -> Entry {
    entry("demo", "alice", "s", pod, fence)
}

async fn pods_of(presence: &Presence, network: &str, user: &str) -> Vec<String> {
    let mut pods = presence.pods_of(network, vec![user.to_owned()]).await.expect("an answer");
    pods.remove(0).iter().map(PodId::to_string).collect()
}

async fn the_higher_fence_has_the_session_in_whatever_order_the_claims_come(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    let claim = async |pod, fence| presence.claim(alice(pod, fence)).await.expect("an answer");
    assert_eq!(claim("a", 10).await, Claim::Granted(None));
    assert_eq!(claim("b", 9).await, Claim::Refused);
    assert_eq!(claim("b", 100).await, Claim::Granted(Some(place("a", 10))));
    assert_eq!(claim("a", 99).await, Claim::Refused);
    // Beyond what a double can tell apart.
    let high = (1 << 60) + 1;
    assert_eq!(claim("c", high).await, Claim::Granted(Some(place("b", 100))));
    assert_eq!(claim("d", high - 1).await, Claim::Refused);
    assert_eq!(claim("d", high + 1).await, Claim::Granted(Some(place("c", high))));
    assert_eq!(presence.sessions_of("alice").await.expect("an answer"), [alice("d", high + 1)]);
}

async fn of_fifty_claims_at_once_the_highest_fence_stays(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    for round in 0..20_u64 {
        let mut fences: Vec<u64> = (1..=50).map(|fence| round * 50 + fence).collect();
        fences.shuffle(&mut rand::rng());
        let claims = join_all(fences.iter().map(|fence| presence.claim(alice("p", *fence)))).await;
        let mut still_open: BTreeSet<u64> = BTreeSet::new();
        let mut replaced: BTreeSet<u64> = BTreeSet::new();
        for (fence, claim) in fences.iter().zip(claims) {
            if let Claim::Granted(before) = claim.expect("an answer") {
                still_open.insert(*fence);
                // Nobody is told twice.
                assert!(before.is_none_or(|before| replaced.insert(before.fence)));
            }
        }
        let left: Vec<&u64> = still_open.difference(&replaced).collect();
        let highest = (round + 1) * 50;
        assert_eq!(left, [&highest], "all others are refused or told");
        assert_eq!(presence.sessions_of("alice").await.expect("an answer"), [alice("p", highest)]);
    }
}

async fn a_claim_that_is_sent_again_replaces_nobody(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    for _ in 0..2 {
        assert_eq!(presence.claim(alice("a", 1)).await, Ok(Claim::Granted(None)));
    }
}

async fn the_same_sid_elsewhere_is_another_session(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    let entries = [
        entry("demo", "alice", "s", "a", 4),
        entry("demo", "alice", "t", "b", 3),
        entry("other", "alice", "s", "c", 2),
        entry("demo", "bob", "s", "d", 1),
    ];
    for entry in &entries {
        assert_eq!(presence.claim(entry.clone()).await, Ok(Claim::Granted(None)));
    }
    assert_eq!(presence.sessions_of("alice").await.expect("an answer"), entries[..3]);
    assert_eq!(presence.sessions_of("bob").await.expect("an answer"), entries[3..]);
    assert_eq!(presence.sessions_of("carol").await.expect("an answer"), []);
}

async fn only_the_own_fence_is_released(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    presence.claim(alice("a", 1)).await.expect("an answer");
    presence.claim(alice("b", 2)).await.expect("an answer");
    presence.release(vec![alice("a", 1), entry("demo", "bob", "s", "a", 2)]).await.expect("an answer");
    assert_eq!(pods_of(&presence, "demo", "alice").await, ["b"]);
    presence.release(vec![alice("b", 2)]).await.expect("an answer");
    assert_eq!(pods_of(&presence, "demo", "alice").await, [""; 0]);
    assert_eq!(presence.claim(alice("a", 1)).await, Ok(Claim::Granted(None)), "nothing is left of the higher fence");
}

async fn what_was_forgotten_is_there_again_after_a_renewal(connect: Connect<'_>) {
    // The store never heard of them, as after a flush.
    let presence = connect(LIFETIME);
    let entries = vec![alice("a", 1), entry("demo", "bob", "s", "a", 2)];
    assert_eq!(presence.renew(entries).await, Ok(vec![Renewal::Kept; 2]));
    assert_eq!(pods_of(&presence, "demo", "alice").await, ["a"]);
    assert_eq!(pods_of(&presence, "demo", "bob").await, ["a"]);
    // An older one's entry counts as forgotten, too.
    assert_eq!(presence.renew(vec![alice("b", 3)]).await, Ok(vec![Renewal::Kept]));
    assert_eq!(pods_of(&presence, "demo", "alice").await, ["b"]);
}

async fn a_lost_session_is_known_at_the_renewal(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    presence.claim(alice("b", 2)).await.expect("an answer");
    let renewals = presence.renew(vec![entry("demo", "bob", "s", "a", 1), alice("a", 1), alice("b", 2)]).await;
    assert_eq!(renewals, Ok(vec![Renewal::Kept, Renewal::Lost, Renewal::Kept]));
    assert_eq!(presence.sessions_of("alice").await.expect("an answer"), [alice("b", 2)]);
}

async fn entries_and_pods_expire_unless_they_are_renewed(connect: Connect<'_>) {
    let presence = connect(BRIEF * 5);
    let lasting = entry("demo", "alice", "lasting", "living", 1);
    presence.claim(lasting.clone()).await.expect("an answer");
    presence.claim(entry("demo", "alice", "brief", "dead", 2)).await.expect("an answer");
    presence.claim(entry("demo", "bob", "brief", "dead", 3)).await.expect("an answer");
    for pod in ["living", "dead"] {
        presence.announce(&PodId::read(pod)).await.expect("an answer");
    }
    assert_eq!(presence.sessions_of("alice").await.expect("an answer").len(), 2);
    assert_eq!(presence.pods().await.expect("an answer").len(), 2);
    let expired = async || {
        assert_eq!(presence.renew(vec![lasting.clone()]).await, Ok(vec![Renewal::Kept]));
        presence.announce(&PodId::read("living")).await.expect("an answer");
        let pods: Vec<String> = presence.pods().await.expect("an answer").iter().map(PodId::to_string).collect();
        (pods_of(&presence, "demo", "alice").await, pods_of(&presence, "demo", "bob").await, pods)
    };
    eventually!(expired().await, |(alice, bob, pods)| alice == &["living"] && bob.is_empty() && pods == &["living"]);
    assert_eq!(presence.sessions_of("alice").await.expect("an answer"), [lasting]);
}

async fn an_expired_entry_is_no_longer_in_the_way(connect: Connect<'_>) {
    let presence = connect(BRIEF);
    presence.claim(alice("dead", 9)).await.expect("an answer");
    // As low as none is in practice: the fence alone would refuse it.
    eventually!(presence.claim(alice("living", 1)).await.expect("an answer"), |claim| *claim == Claim::Granted(None));
}

async fn pods_are_told_by_network_and_in_the_order_of_the_users(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    for entry in [
        entry("demo", "alice", "1", "a", 1),
        entry("demo", "alice", "2", "b", 2),
        entry("demo", "alice", "3", "b", 3),
        entry("other", "alice", "1", "c", 4),
        entry("demo", "bob", "1", "b", 5),
    ] {
        presence.claim(entry).await.expect("an answer");
    }
    let users = ["bob", "nobody", "alice", "bob"].map(str::to_owned).to_vec();
    let pods = presence.pods_of("demo", users).await.expect("an answer");
    let expected: [&[&str]; 4] = [&["b"], &[], &["a", "b"], &["b"]];
    assert_eq!(pods, expected.map(|pods| pods.iter().map(|pod| PodId::read(*pod)).collect::<BTreeSet<_>>()));
    assert_eq!(pods_of(&presence, "other", "alice").await, ["c"]);
    assert!(presence.pods_of("demo", Vec::new()).await.expect("an answer").is_empty());
}

async fn thousands_are_looked_up_renewed_and_released_at_once(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    let entries: Vec<Entry> = (1..=2300)
        .map(|fence| entry("demo", &format!("user-{fence}"), "s", &format!("pod-{}", fence % 7), fence))
        .collect();
    let users: Vec<String> = entries.iter().map(|entry| entry.session.user.clone()).collect();
    assert_eq!(presence.renew(entries.clone()).await, Ok(vec![Renewal::Kept; 2300]));
    let pods = presence.pods_of("demo", users.clone()).await.expect("an answer");
    assert_eq!(pods, entries.iter().map(|entry| BTreeSet::from([entry.place.pod.clone()])).collect::<Vec<_>>());
    presence.release(entries).await.expect("an answer");
    assert_eq!(presence.pods_of("demo", users).await.expect("an answer"), vec![BTreeSet::new(); 2300]);
}

async fn names_of_any_characters_stay_apart(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    let names = ["a", "{a}", "}a{", "{", "}", "a\0", "ключ 👋", "a\r\nb", "\"", "1:a", "*", "..", "pods", ""];
    let mut fence = 0;
    let mut all: Vec<Entry> = Vec::new();
    for user in names {
        for network in names {
            for sid in ["a", "1:a", "", "}\"\\\u{7f}"] {
                fence += 1;
                all.push(entry(network, user, sid, "p \"{}\" é", fence));
            }
        }
    }
    for entry in &all {
        assert_eq!(presence.claim(entry.clone()).await, Ok(Claim::Granted(None)), "{entry:?}");
    }
    for user in names {
        let mut own: Vec<Entry> = all.iter().filter(|entry| entry.session.user == user).cloned().collect();
        own.sort_by(|one, other| one.session.cmp(&other.session));
        assert_eq!(presence.sessions_of(user).await.expect("an answer"), own);
        for network in names {
            assert_eq!(pods_of(&presence, network, user).await, ["p \"{}\" é"]);
        }
    }
    assert_eq!(presence.renew(all.clone()).await, Ok(vec![Renewal::Kept; all.len()]));
    presence.release(all).await.expect("an answer");
    for user in names {
        assert_eq!(presence.sessions_of(user).await.expect("an answer"), []);
    }
}

async fn pods_come_and_go(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    assert_eq!(presence.pods().await, Ok(BTreeSet::new()));
    for pod in ["b", "a", "a", "ключ {}"] {
        presence.announce(&PodId::read(pod)).await.expect("an answer");
    }
    assert_eq!(presence.pods().await, Ok(["a", "b", "ключ {}"].map(PodId::read).into()));
    presence.withdraw(&PodId::read("b")).await.expect("an answer");
    presence.withdraw(&PodId::read("never heard of")).await.expect("an answer");
    assert_eq!(presence.pods().await, Ok(["a", "ключ {}"].map(PodId::read).into()));
}

async fn a_probe_finds_nothing_amiss_and_leaves_nothing(connect: Connect<'_>) {
    let presence = connect(LIFETIME);
    for _ in 0..2 {
        assert_eq!(presence.probe(&PodId::read("pod {}")).await, Ok(None));
        assert_eq!(presence.probe_reading().await, Ok(()));
    }
    for number in 0..PROBES {
        assert_eq!(presence.sessions_of(&format!("probe:{number}:pod {{}}")).await, Ok(Vec::new()));
    }
}

mod with_a_server_that_fails {
    use super::*;

    async fn redis(url: &str, command: &str) -> redis::Value {
        let client = redis::Client::open(url).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        redis::cmd(command).query_async(&mut connection).await.expect("an answer")
    }

    #[tokio::test]
    async fn a_flushed_store_is_filled_again_by_renewals_and_fences_still_hold() {
        let url = Servers::shared().await.redis.new_url();
        let presence = Redis::connect(&url).expect("a good URL");
        presence.claim(alice("a", 1)).await.expect("an answer");
        presence.announce(&PodId::read("a")).await.expect("an answer");
        redis(&url, "FLUSHDB").await;
        assert_eq!(pods_of(&presence, "demo", "alice").await, [""; 0]);
        // A newer socket is opened meanwhile; the older one's beat must not take its place.
        presence.claim(alice("b", 2)).await.expect("an answer");
        assert_eq!(presence.renew(vec![alice("a", 1)]).await, Ok(vec![Renewal::Lost]));
        assert_eq!(pods_of(&presence, "demo", "alice").await, ["b"]);
    }

    #[tokio::test]
    async fn nothing_is_left_when_everybody_is_dead() {
        let url = Servers::shared().await.redis.new_url();
        let presence = Redis::with_lifetime(&url, BRIEF).expect("a good URL");
        for fence in 1..=20 {
            presence.claim(entry("demo", "alice", &fence.to_string(), "a", fence)).await.expect("an answer");
        }
        presence.renew(vec![entry("demo", "bob", "s", "a", 21)]).await.expect("an answer");
        presence.announce(&PodId::read("a")).await.expect("an answer");
        presence.announce(&PodId::read("b")).await.expect("an answer");
        eventually!(redis(&url, "DBSIZE").await, |size| *size == redis::Value::Int(0));
    }

    #[tokio::test]
    async fn what_dead_pods_have_left_goes_though_the_user_and_another_pod_live_on() {
        let url = Servers::shared().await.redis.new_url();
        let living = Redis::connect(&url).expect("a good URL");
        let dying = Redis::with_lifetime(&url, BRIEF).expect("a good URL");
        living.claim(alice("living", 1)).await.expect("an answer");
        living.announce(&PodId::read("living")).await.expect("an answer");
        for fence in 2..=20 {
            let pod = format!("dead-{fence}");
            dying.claim(entry("demo", "alice", &fence.to_string(), &pod, fence)).await.expect("an answer");
            dying.announce(&PodId::read(&pod)).await.expect("an answer");
        }
        eventually!(living.sessions_of("alice").await.expect("an answer").len(), |count| *count == 1);
        let client = redis::Client::open(url).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let mut left = async || {
            living.claim(alice("living", 1)).await.expect("an answer");
            living.announce(&PodId::read("living")).await.expect("an answer");
            let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("an answer");
            let mut pipeline = redis::pipe();
            for key in &keys {
                pipeline.cmd(if key == "presence-pods" { "ZCARD" } else { "HLEN" }).arg(key);
            }
            let sizes: Vec<i64> = pipeline.query_async(&mut connection).await.expect("an answer");
            (keys.len(), sizes)
        };
        eventually!(left().await, |left| *left == (2, vec![1, 1]));
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_an_error_and_then_works_again() {
        let server = Server::redis().await;
        let url = server.new_url();
        server.stop().await;
        let presence = Redis::connect(&url).expect("a good URL");
        let error = presence.pods().await.expect_err("it is away");
        assert!(error.0.contains("refused"), "{error}");
        server.start().await;
        eventually!(presence.pods().await.is_ok());
        presence.claim(alice("a", 1)).await.expect("an answer");

        server.restart().await;
        // Scripts and entries are forgotten.
        eventually!(presence.renew(vec![alice("a", 1)]).await.ok(), |renewals| *renewals == Some(vec![Renewal::Kept]));
        assert_eq!(pods_of(&presence, "demo", "alice").await, ["a"]);
    }

    #[tokio::test]
    async fn a_store_that_hangs_is_given_up_and_taken_again() {
        let server = Server::redis().await;
        let url = server.new_url();
        let presence = Redis::connect(&url).expect("a good URL");
        presence.pods().await.expect("an answer");
        server.pause().await;
        presence.claim(alice("a", 1)).await.expect_err("it hangs");
        eventually!(presence.pods().await.expect_err("it hangs").0, |reason| reason != "no answer in time");
        server.resume().await;
        eventually!(presence.claim(alice("b", 2)).await.is_ok());
    }

    #[tokio::test]
    async fn a_server_that_has_become_a_replica_is_connected_to_afresh() {
        let server = Server::redis().await;
        let url = server.new_url();
        let presence = Redis::connect(&url).expect("a good URL");
        presence.claim(alice("a", 1)).await.expect("an answer");
        let client = redis::Client::open(&*url).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let mut connections = async || {
            let info: String = redis::cmd("INFO").arg("stats").query_async(&mut connection).await.expect("an answer");
            let count = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
            count.and_then(|count| count.parse::<u32>().ok()).expect("a number")
        };
        let before = connections().await;
        // Of a primary that nobody listens as.
        let replica_of = client.get_multiplexed_async_connection().await.expect("Redis");
        redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1).exec_async(&mut { replica_of }).await.expect("an answer");
        presence.claim(alice("b", 2)).await.expect_err("a replica takes no claims");
        // Ours to make it a replica, and then the engine's.
        eventually!(connections().await, |count| *count > before + 1);
    }

    #[tokio::test]
    async fn a_cluster_serves_what_it_can_while_one_of_it_is_dead_and_all_when_a_replica_has_taken_over() {
        let mut cluster = RedisCluster::start(1).await;
        let presence = Redis::connect(&cluster.url()).expect("a good URL");
        let entries: Vec<Entry> = (0..300).map(|n| entry("demo", &format!("u{n}"), "s", "a", 1)).collect();
        for entry in &entries {
            assert_eq!(presence.claim(entry.clone()).await, Ok(Claim::Granted(None)));
        }
        // As of servers that have just begun.
        cluster.forget_scripts().await;
        let kept = vec![Renewal::Kept; entries.len()];
        assert_eq!(presence.renew(entries.clone()).await, Ok(kept.clone()));

        cluster.kill(0).await;
        // Of the others' users.
        let mut served = 0;
        for entry in &entries {
            served += usize::from(presence.renew(vec![entry.clone()]).await.is_ok());
        }
        assert!(served > 0);
        eventually!(presence.renew(entries.clone()).await.ok(), |renewals| renewals.as_ref() == Some(&kept));
        for entry in &entries {
            let user = &entry.session.user;
            assert_eq!(pods_of(&presence, "demo", user).await, ["a"]);
            assert_eq!(presence.claim(super::entry("demo", user, "s", "b", 0)).await, Ok(Claim::Refused));
        }
        presence.announce(&PodId::read("a")).await.expect("an answer");
        assert_eq!(presence.pods().await, Ok(BTreeSet::from([PodId::read("a")])));
    }

    #[tokio::test]
    async fn what_the_others_of_a_cluster_hold_is_served_while_one_of_it_hangs() {
        let cluster = RedisCluster::start(0).await;
        let presence = Redis::connect(&cluster.url()).expect("a good URL");
        let all: Vec<Entry> = (0..60).map(|n| entry("demo", &format!("u{n}"), "s", "a", 1)).collect();
        let mut others = Vec::new();
        for entry in &all {
            presence.claim(entry.clone()).await.expect("an answer");
            if cluster.holder(&format!("presence:{{{}}}", entry.session.user)).await > 0 {
                others.push(entry.clone());
            }
        }
        assert!((20..60).contains(&others.len()), "{}", others.len());
        cluster.pause(0);
        // Longer than it takes to find out that it hangs, to connect anew, and to find out again.
        let all_the_time = async || {
            for _ in 0..40 {
                let served = join_all(others.iter().map(|entry| presence.renew(vec![entry.clone()]))).await;
                if served.iter().any(Result::is_err) {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            true
        };
        // Nothing shows it at once on a machine that is busy with something else.
        let mut attempts = 0;
        while !all_the_time().await {
            attempts += 1;
            assert!(attempts < 5, "not served all the time");
        }
        cluster.resume(0);
        eventually!(presence.renew(all.clone()).await.is_ok());
    }

    #[tokio::test]
    async fn a_probe_fails_when_all_of_a_cluster_does_and_names_a_part_of_it() {
        let cluster = RedisCluster::start(0).await;
        let presence = Redis::connect(&cluster.url()).expect("a good URL");
        eventually!(presence.probe(&PodId::read("pod")).await == Ok(None));
        cluster.pause(0);
        let is_partly = |probed: &Result<Option<String>, _>| {
            probed
                .as_ref()
                .is_ok_and(|partly| partly.as_ref().is_some_and(|why| why.starts_with("a part of the cluster")))
        };
        eventually!(is_partly(&presence.probe(&PodId::read("pod")).await));
        assert!(presence.probe_reading().await.is_err(), "somebody would not be found");
        for server in [1, 2] {
            cluster.pause(server);
        }
        eventually!(presence.probe(&PodId::read("pod")).await.is_err());
        for server in 0..3 {
            cluster.resume(server);
        }
        eventually!(presence.probe(&PodId::read("pod")).await == Ok(None));
    }

    #[tokio::test]
    async fn of_several_addresses_the_one_that_is_no_replica_is_taken() {
        let (replica, primary) = (Server::redis().await, Server::redis().await);
        let url = replica.new_url();
        let client = redis::Client::open(&*url).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1).exec_async(&mut connection).await.expect("an answer");
        let presence = Redis::connect(&format!("{url},{}", primary.new_url())).expect("good URLs");
        assert_eq!(presence.claim(alice("a", 1)).await, Ok(Claim::Granted(None)));
        let alone = Redis::connect(&url).expect("a good URL");
        let says_why = async || alone.pods().await.is_err_and(|error| error.0.contains("it is a replica"));
        eventually!(says_why().await);
    }

    #[tokio::test]
    async fn the_first_of_several_addresses_that_answers_is_taken() {
        let (one, other) = (Server::redis().await, Server::redis().await);
        let presence = Redis::connect(&format!("{}, {}", one.new_url(), other.new_url())).expect("good URLs");
        presence.claim(alice("a", 1)).await.expect("an answer");
        one.kill().await;
        eventually!(presence.renew(vec![alice("a", 1)]).await.ok(), |renewals| *renewals == Some(vec![Renewal::Kept]));
        assert_eq!(pods_of(&presence, "demo", "alice").await, ["a"]);
    }

    #[tokio::test]
    async fn a_bad_address_is_told_without_its_password() {
        for url in ["redis://user:hunter2@", "http://user:hunter2@host", "redis://:hunter2@host:port", ""] {
            let error = Redis::connect(url).expect_err("no address");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            assert!(error.to_string().contains("redis-url"), "{error}");
        }
    }
}

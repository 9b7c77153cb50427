//! The pods, what they say of sockets, and who relays.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use crate::{
    chaos::{
        session::Session,
        tally::Tally,
        world::{PATIENCE, World, has_ended},
    },
    stack::{ADMIN_TOKEN, Pod, http},
};

/// Class of the advisory locks of the relay's partitions, and how many there are.
const PARTITIONS: (i64, i64) = (1_668_178_290, 64);

/// User, network, sid and pod of each socket.
type Presence = BTreeSet<(String, String, String, String)>;

pub(super) async fn judge(
    world: &World,
    database: &mut PgConnection,
    sessions: &[Arc<Session>],
    tally: &Tally,
    waits_for_expiry: bool,
) {
    for (_, pod) in world.pods() {
        has_ended(pod, tally).await;
    }
    let names: Vec<String> = world.stack.gateways.iter().map(name_of_start).collect();
    let expected = opened(sessions, &names);
    for gateway in &world.stack.gateways {
        let wrong = async || {
            let found = presence(gateway, sessions).await;
            let wrong: Vec<_> = found.symmetric_difference(&expected).cloned().collect();
            (!wrong.is_empty()).then(|| format!("{} of presence: {wrong:?}", gateway.name()))
        };
        tally.hold(PATIENCE, wrong).await;
    }
    let wrong = async || {
        let sockets = futures::future::join_all(world.stack.gateways.iter().map(sockets)).await;
        let total: f64 = sockets.iter().sum();
        (total as usize != sessions.len())
            .then(|| format!("the gateways count {sockets:?} sockets of {}", sessions.len()))
    };
    tally.hold(PATIENCE, wrong).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let holders = holders_of_partitions(database).await;
        if holders.len() as i64 == PARTITIONS.1 && holders.values().all(|holders| *holders == 1) {
            break;
        }
        if Instant::now() > deadline {
            tally.blame(format!("partitions, and how many relays each has: {holders:?}"));
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    if waits_for_expiry {
        let alive: BTreeSet<String> = names.into_iter().collect();
        let wrong = async || {
            let known = known_pods(world).await;
            (known != alive).then(|| format!("Redis lists the pods {known:?}, alive are {alive:?}"))
        };
        tally.hold(PATIENCE, wrong).await;
    }
    judge_logs(world, tally);
}

/// The name that a gateway has given itself at its last start.
fn name_of_start(gateway: &Pod) -> String {
    let log = gateway.logged();
    let line = log.lines().find(|line| line.contains("the gateway starts")).unwrap_or_default();
    line.split("pod=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default().to_owned()
}

/// Where the clients' own sockets are.
fn opened(sessions: &[Arc<Session>], names: &[String]) -> Presence {
    let mut opened = Presence::new();
    for session in sessions {
        for leg in session.open_legs() {
            let pod = names[leg.record().gateway].clone();
            opened.insert((session.user.clone(), session.network.clone(), session.sid.clone(), pod));
        }
    }
    opened
}

/// What a gateway says about the sockets of everybody.
async fn presence(gateway: &Pod, sessions: &[Arc<Session>]) -> Presence {
    let users: BTreeSet<&String> = sessions.iter().map(|session| &session.user).collect();
    let http = http();
    let mut presence = Presence::new();
    for user in users {
        let url = format!("http://{}/admin/users/{user}/presence", gateway.management);
        let Ok(answer) = http.get(url).bearer_auth(ADMIN_TOKEN).send().await else { continue };
        let answer: Value = answer.json().await.unwrap_or_default();
        for session in answer["sessions"].as_array().into_iter().flatten() {
            let [sid, network, pod] =
                ["sid", "network", "pod"].map(|field| session[field].as_str().unwrap_or_default());
            presence.insert((user.clone(), network.to_owned(), sid.to_owned(), pod.to_owned()));
        }
    }
    presence
}

/// The sockets that a gateway counts.
async fn sockets(gateway: &Pod) -> f64 {
    let page = gateway.get("/metrics").await.map(|(_, page)| page).unwrap_or_default();
    let line = page.lines().find_map(|line| line.strip_prefix("convene_sockets "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(f64::NAN)
}

async fn holders_of_partitions(database: &mut PgConnection) -> BTreeMap<i64, i64> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT objid::bigint, count(*) FROM pg_locks
         WHERE locktype = 'advisory' AND classid::bigint = $1 AND granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         GROUP BY 1",
    )
    .bind(PARTITIONS.0)
    .fetch_all(database)
    .await
    .expect("the locks");
    rows.into_iter().collect()
}

/// The pods that Redis takes for alive.
async fn known_pods(world: &World) -> BTreeSet<String> {
    let client = redis::Client::open(world.stack.servers.redis_url.as_str()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let range = redis::cmd("ZRANGE").arg("presence-pods").arg(0).arg(-1).to_owned();
    range.query_async::<Vec<String>>(&mut connection).await.expect("the pods").into_iter().collect()
}

/// No pod has panicked, and none says that something is wrong with itself. The client of NATS says as an error that NATS is
/// away; that is a fault's doing.
fn judge_logs(world: &World, tally: &Tally) {
    for file in fs::read_dir(world.stack.logs()).expect("the folder of logs").flatten() {
        let log = fs::read_to_string(file.path()).unwrap_or_default();
        let is_bad = |line: &&str| line.contains("panicked") || line.contains(" ERROR ");
        for line in log.lines().filter(is_bad).filter(|line| !line.contains(" ERROR async_nats::")) {
            tally.blame(format!("{:?}: {line:.300}", file.file_name()));
        }
    }
}

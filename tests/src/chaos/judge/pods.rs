//! The pods, what they say of sockets, and who relays.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use shared::{pod::PodId, presence::redis::Redis};
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

/// User, network, sid and pod of each socket: its name, or the start's identifier.
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
    let names: Vec<String> = world.stack.gateways.iter().map(Pod::name).collect();
    let expected = opened(sessions, &names);
    for gateway in &world.stack.gateways {
        let wrong = async || {
            let found = presence(gateway, sessions).await;
            let wrong: Vec<_> = found.symmetric_difference(&expected).cloned().collect();
            (!wrong.is_empty()).then(|| format!("{} of presence: {wrong:?}", gateway.name()))
        };
        tally.hold(PATIENCE, wrong).await;
    }
    let starts: Vec<String> = world.stack.gateways.iter().map(|gateway| id_of_start(gateway).to_string()).collect();
    let expected = opened(sessions, &starts);
    let store = Redis::connect(&world.stack.servers.redis_url).expect("a good URL");
    let wrong = async || {
        let found = stored(&store, sessions).await;
        let wrong: Vec<_> = found.symmetric_difference(&expected).cloned().collect();
        (!wrong.is_empty()).then(|| format!("entries of other starts: {wrong:?}"))
    };
    tally.hold(PATIENCE, wrong).await;
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
        let alive: BTreeSet<String> = starts.into_iter().collect();
        let wrong = async || {
            let known = known_pods(world).await;
            (known != alive).then(|| format!("Redis lists the pods {known:?}, alive are {alive:?}"))
        };
        tally.hold(PATIENCE, wrong).await;
    }
    judge_logs(world, tally);
}

/// What a gateway's last start says it is known by.
fn id_of_start(gateway: &Pod) -> PodId {
    let log = gateway.logged();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let start = events.into_iter().find(|event| event["message"] == "the gateway starts").unwrap_or_default();
    PodId::read(start["id"].as_str().unwrap_or_default())
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

/// What Redis has about the sockets of everybody.
async fn stored(store: &shared::presence::Presence, sessions: &[Arc<Session>]) -> Presence {
    let users: BTreeSet<&String> = sessions.iter().map(|session| &session.user).collect();
    let mut stored = Presence::new();
    for user in users {
        for entry in store.sessions_of(user).await.unwrap_or_default() {
            let (session, pod) = (entry.session, entry.place.pod);
            stored.insert((session.user, session.network, session.sid, pod.to_string()));
        }
    }
    stored
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

/// No pod has panicked, and none says that something is wrong with itself. What is no JSON was not said by the program, but by what
/// ended it; of the line that a killed pod was writing, nothing is asked.
fn judge_logs(world: &World, tally: &Tally) {
    for file in fs::read_dir(world.stack.logs()).expect("the folder of logs").flatten() {
        let log = fs::read_to_string(file.path()).unwrap_or_default();
        let is_bad = |line: &&str| !serde_json::from_str::<Value>(line).is_ok_and(|event| event["level"] != "ERROR");
        let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        for line in lines.filter(is_bad) {
            tally.blame(format!("{:?}: {line:.300}", file.file_name()));
        }
    }
}

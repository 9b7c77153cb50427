//! The system under test: three gateways, three workers, servers of their own, a proxy before each server for each side.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use shared::telemetry::DEFAULT_FILTER;

use super::tally::Tally;
use crate::{Proxy, Servers, Stack, stack::Pod};

const PODS: usize = 3;

/// What is not well so long after everything else is, is not well. Far more than it takes on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// How often the processes' memory is looked at.
const WATCHING: Duration = Duration::from_millis(500);

/// The networks, and how many users only each of them has.
const NETWORKS: [(&str, usize); 2] = [("demo", 18), ("annex", 5)];

/// Users of both networks.
const IN_BOTH: usize = 2;

/// A session to be.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) user: String,
    pub(super) network: &'static str,
    pub(super) sid: String,
    /// The user's first one: it answers and joins.
    pub(super) is_first: bool,
    /// The user manages the network.
    pub(super) is_manager: bool,
}

/// The way from one side's pods to a server.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) proxy: Proxy,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) servers: Servers,
    pub(super) ways: Vec<Way>,
}

/// The users of a network; the first manages it, the next ones are in both.
pub(super) fn users(network: &str) -> Vec<String> {
    let own = NETWORKS.iter().find(|(name, _)| *name == network).map_or(0, |(_, own)| *own);
    let manager = format!("{network}-manager");
    let both = (0..IN_BOTH).map(|n| format!("both-{n}"));
    std::iter::once(manager).chain(both).chain((0..own).map(|n| format!("{network}-{n}"))).collect()
}

/// Every session: users with an even number have two, in `demo`.
pub(super) fn sessions() -> Vec<Who> {
    let mut sessions = Vec::new();
    for (network, _) in NETWORKS {
        for (number, user) in users(network).into_iter().enumerate() {
            for device in 0..if network == "demo" && number % 2 == 0 { 2 } else { 1 } {
                let sid = format!("{user}-{device}");
                let (is_first, is_manager) = (device == 0, number == 0);
                sessions.push(Who { user: user.clone(), network, sid, is_first, is_manager });
            }
        }
    }
    sessions
}

/// The room of a network that everybody may use.
pub(super) fn room(network: &str) -> String {
    format!("room-of-{network}")
}

fn directory() -> Vec<Value> {
    let mut lines = Vec::new();
    for (network, _) in NETWORKS {
        lines.push(json!({"kind": "network", "id": network, "fullName": network, "type": "Public"}));
    }
    for (network, _) in NETWORKS {
        for user in users(network) {
            let mut line = json!({"kind": "user", "id": user, "networkIds": [network], "firstName": user});
            if user.starts_with("both") {
                line["networkIds"] = json!(NETWORKS.map(|(network, _)| network));
            }
            if user.ends_with("manager") {
                line["userRoles"] = json!([{"id": "r", "roleName": "Manager", "targetType": "network",
                    "targetId": network, "permissions": ["network.manage"]}]);
            }
            lines.push(line);
        }
        let owner = format!("{network}-manager");
        lines.push(json!({"kind": "room", "id": room(network), "networkId": network, "title": "Room",
            "ownerId": owner, "isPublic": true}));
    }
    lines
}

impl World {
    pub(super) async fn start() -> Self {
        let servers = Servers::start_own().await;
        let direct = servers.isolated_with_schema().await;
        let [mut gateways, mut workers] = [direct.clone(), direct.clone()];
        let mut ways = Vec::new();
        for (name, url) in [
            ("gateways to NATS", &mut gateways.nats_url),
            ("gateways to Redis", &mut gateways.redis_url),
            ("workers to NATS", &mut workers.nats_url),
            ("workers to Redis", &mut workers.redis_url),
            ("workers to PostgreSQL", &mut workers.database_url),
        ] {
            let proxy = Proxy::before(url).await;
            *url = proxy.url(url);
            ways.push(Way { name, proxy });
        }
        let stack = Stack::builder()
            .gateways(PODS)
            .workers(PODS)
            .processes()
            .log_filter(DEFAULT_FILTER)
            .on(direct)
            .through(gateways, workers)
            .unseeded()
            .gateway_arg("--request-timeout=5s")
            .start()
            .await;
        stack.import_all(&directory()).await;
        Self { stack, servers, ways }
    }

    /// Each pod with its kind.
    pub(super) fn pods(&self) -> impl Iterator<Item = (&'static str, &Pod)> {
        let gateways = self.stack.gateways.iter().map(|pod| ("gateway", pod));
        gateways.chain(self.stack.workers.iter().map(|pod| ("worker", pod)))
    }

    /// Notes the most memory that a process has had, until aborted.
    pub(super) async fn watch(self: Arc<Self>, tally: Arc<Tally>) {
        loop {
            for (kind, pod) in self.pods() {
                if let Some(kib) = pod.running_process().await.and_then(peak_memory) {
                    tally.memory(kind, kib);
                }
            }
            tokio::time::sleep(WATCHING).await;
        }
    }

    /// Everything is whole again; what has ended by itself is said.
    pub(super) async fn heal(&self, tally: &Tally) {
        for way in &self.ways {
            way.proxy.heal();
        }
        for (_, pod) in self.pods() {
            has_ended(pod, tally).await;
            let wrong = async || {
                let answer = pod.get("/readyz").await;
                let is_ready = answer.as_ref().is_some_and(|(status, _)| *status == 200);
                (!is_ready).then(|| format!("{} is not ready: {answer:?}", pod.name()))
            };
            tally.hold(PATIENCE, wrong).await;
        }
    }

    /// Copies the logs to where they stay.
    pub(super) fn keep_logs(&self, folder: &Path, seed: u64) -> Option<String> {
        let folder = folder.join(format!("chaos-{seed}"));
        fs::create_dir_all(&folder).ok()?;
        for file in fs::read_dir(self.stack.logs()).ok()?.flatten() {
            fs::copy(file.path(), folder.join(file.file_name())).ok()?;
        }
        Some(folder.display().to_string())
    }
}

/// Whether a pod that nobody has ended has ended, which is blamed.
pub(super) async fn has_ended(pod: &Pod, tally: &Tally) -> bool {
    let is_running = pod.running_process().await.is_some_and(crate::process::is_running);
    if !is_running {
        let log = pod.logged();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        tally.blame(format!("{} has ended by itself: {last:?}", pod.name()));
    }
    !is_running
}

/// The most resident memory that a process has had, in KiB.
fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

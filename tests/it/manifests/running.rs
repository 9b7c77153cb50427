//! The programs run with the very environment that the manifests give them.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use harness::{
    Connect, Isolated, Servers, eventually,
    process::Guarded,
    servers::free_port,
    stack::{demo, http},
    token::{JWT_SECRET, token},
};
use serde_json::json;
use tokio::{process::Command, time::timeout};

use super::{Overlay, Source, Workload, overlays};

const ADMIN_TOKEN: &str = "an administration token";

/// What a secret is worth here; nothing for those that a pod can do without.
fn worth(key: &str, servers: &Isolated) -> Option<String> {
    match key {
        "nats-url" => Some(servers.nats_url.clone()),
        "redis-url" => Some(servers.redis_url.clone()),
        "database-url" | "uri" => Some(servers.database_url.clone()),
        "jwt-secret" => Some(JWT_SECRET.to_owned()),
        "admin-token" => Some(ADMIN_TOKEN.to_owned()),
        _ => None,
    }
}

/// The workload's environment, with secrets, and without what leads to places that are not here: certificates in volumes,
/// and who publishes keys.
fn environment(overlay: Overlay, workload: Workload, servers: &Isolated) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (variable, source) in overlay.environment(workload) {
        let value = match source {
            _ if ["SSL_CERT_FILE", "PGSSLMODE", "PGSSLROOTCERT"].contains(&variable.as_str()) => None,
            Source::Text(value) => Some(value),
            Source::Secret { key, is_optional, .. } => {
                let worth = worth(&key, servers);
                assert!(worth.is_some() || is_optional, "{} needs {key}", workload.name());
                worth
            }
        };
        environment.extend(value.map(|value| (variable, value)));
    }
    if environment.remove("CONVENE_JWKS_URL").is_some() {
        environment.insert("CONVENE_JWT_SECRET".to_owned(), JWT_SECRET.to_owned());
    }
    environment
}

fn command(workload: Workload, environment: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(workload.program());
    command.args(workload.args()).env_clear().envs(environment).stdin(Stdio::null());
    command
}

/// A pod of a deployment, as a process here.
struct Running {
    name: &'static str,
    public: SocketAddr,
    management: SocketAddr,
    log: std::path::PathBuf,
    _process: Guarded,
}

impl Running {
    fn start(overlay: Overlay, workload: Workload, servers: &Isolated, logs: &Path) -> Self {
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port().expect("a free port")));
        let (public, management) = (address(), address());
        let mut environment = environment(overlay, workload, servers);
        environment.insert("CONVENE_MANAGEMENT_LISTEN".to_owned(), management.to_string());
        if workload.is_gateway() {
            environment.insert("CONVENE_LISTEN".to_owned(), public.to_string());
        }
        let log = logs.join(workload.name());
        let file = fs::File::create(&log).expect("a log");
        let mut command = command(workload, &environment);
        command.stdout(Stdio::null()).stderr(file);
        let process = Guarded::spawn(&mut command).expect("it starts");
        Self { name: workload.name(), public, management, log, _process: process }
    }

    async fn ready(&self) {
        let url = format!("http://{}/readyz", self.management);
        let status = || async { Some(http().get(&url).send().await.ok()?.status().as_u16()) };
        let logged = || fs::read_to_string(&self.log).unwrap_or_default();
        eventually!((status().await, self.name, logged()), |(status, ..)| *status == Some(200));
    }
}

#[tokio::test]
async fn the_pods_of_every_overlay_serve_a_client_from_an_empty_database_on() {
    for (name, overlay) in overlays() {
        let servers = Servers::shared().await.isolated().await;
        let logs = tempfile::tempdir().expect("a folder");
        for job in overlay.workloads().filter(|workload| workload.0["kind"] == "Job") {
            let output = command(job, &environment(overlay, job, &servers)).output().await.expect("it runs");
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let pods: Vec<_> =
            overlay.deployments().map(|workload| Running::start(overlay, workload, &servers, logs.path())).collect();
        for pod in &pods {
            pod.ready().await;
            let log = fs::read_to_string(&pod.log).expect("a log");
            for line in log.lines() {
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{}: {line}", pod.name);
            }
        }

        let gateway = pods.iter().find(|pod| pod.name == "convene-gateway").expect("a gateway");
        let lines: String = demo().iter().map(|line| format!("{line}\n")).collect();
        let url = format!("http://{}/admin/directory", gateway.management);
        let answer = http().post(url).bearer_auth(ADMIN_TOKEN).body(lines).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "{name}");

        let connect = Connect::to(gateway.public).token(&token("alice", "demo", "session"));
        let mut client = connect.open().await.expect("alice is let in");
        client.event("user_info").await;
        for endpoint in ["meeting:getMeeting", "social:getEvent"] {
            let answer = client.call(endpoint, json!({"meetingId": "none", "eventId": "none"})).await;
            assert_eq!(answer["error"]["code"], 404, "{name}: somebody serves it: {answer}");
        }
        let meeting = json!({"sourceType": "prop", "sourceIds": ["lobby", "table"], "subject": "Plans",
            "startDate": "2030-05-04T09:30:00Z", "endDate": "2030-05-04T10:00:00Z"});
        let answer = client.call("meeting:createMeeting", meeting).await;
        assert_eq!(answer["error"]["code"], 0, "{name}: {answer}");
        client.event("meeting:onMeetingCreated").await;
    }
}

#[tokio::test]
async fn no_pod_starts_while_a_secret_that_it_needs_is_as_empty_as_in_the_example() {
    let servers = Servers::shared().await.isolated().await;
    for (name, overlay) in overlays() {
        for workload in overlay.workloads() {
            for (variable, source) in overlay.environment(workload) {
                if !matches!(source, Source::Secret { is_optional: false, .. }) {
                    continue;
                }
                let mut environment = environment(overlay, workload, &servers);
                environment.insert(variable.clone(), String::new());
                for listener in ["CONVENE_LISTEN", "CONVENE_MANAGEMENT_LISTEN"] {
                    environment.insert(listener.to_owned(), "127.0.0.1:0".to_owned());
                }
                let mut command = command(workload, &environment);
                let ended = timeout(Duration::from_secs(30), command.kill_on_drop(true).output()).await;
                let ended = ended.unwrap_or_else(|_| panic!("{name}: {} runs without {variable}", workload.name()));
                let ended = ended.expect("it ran");
                let said = String::from_utf8_lossy(&ended.stderr).into_owned();
                assert!(!ended.status.success(), "{name}: {} ends well without {variable}", workload.name());
                assert!(said.contains(&variable) && said.lines().count() == 1, "{said}");
            }
        }
    }
}

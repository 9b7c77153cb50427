//! A Prometheus that asks the processes of a [`Stack`], as `deploy/telemetry/prometheus.yml` sets it up.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Balancer, Stack, eventually, process::Guarded, servers::free_port, stack::http};

/// A running Prometheus. It ends with this value.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _process: Guarded,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it, with all pods of the stack and the load balancer to ask, and waits until it has asked all of them. It asks
    /// every second instead of every ten.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start(stack: &Stack, balancer: &Balancer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path();
        for file in fs::read_dir(telemetry()).expect("the folder of telemetry").map(|file| file.expect("a file")) {
            if file.path().is_file() {
                fs::copy(file.path(), place.join(file.file_name())).expect("copied");
            }
        }
        let configuration = place.join("prometheus.yml");
        let text = fs::read_to_string(&configuration).expect("the configuration");
        fs::write(&configuration, text.replace("interval: 10s", "interval: 1s").replace("timeout: 5s", "timeout: 1s"))
            .expect("written");
        fs::create_dir(place.join("targets")).expect("a folder");
        let gateways = stack.gateways.iter().map(|pod| pod.management).collect::<Vec<_>>();
        let workers = stack.workers.iter().map(|pod| pod.management).collect();
        for (job, targets) in [("gateway", gateways), ("worker", workers), ("load-balancer", vec![balancer.management])]
        {
            let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
            let list = format!("- targets: [{}]\n", targets.join(", "));
            fs::write(place.join("targets").join(format!("{job}.yaml")), list).expect("written");
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port")));
        let process = Guarded::spawn(
            Command::new("prometheus")
                .arg(format!("--config.file={}", configuration.display()))
                .arg(format!("--storage.tsdb.path={}", place.join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--log.level=warn")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )
        .expect("prometheus, which deploy/test installs");
        let prometheus = Self { address, _process: process, _folder: folder };
        let expected = (stack.gateways.len() + stack.workers.len() + 1).to_string();
        let up = eventually!(prometheus.try_query("sum(up)").await, |answer| {
            answer.as_ref().is_ok_and(|series| series.iter().any(|series| series["value"][1] == expected.as_str()))
        });
        up.expect("all of them");
        prometheus
    }

    /// The series that an expression has now.
    ///
    /// # Errors
    /// What Prometheus says is wrong with it.
    pub async fn try_query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = self.get("query", &[("query", expression)]).await?;
        match &answer["result"] {
            Value::Array(series) => Ok(series.clone()),
            other => Err(format!("no series: {other}")),
        }
    }

    /// All rules, as it says what became of them.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.get("rules", &[]).await.expect("an answer");
        let groups = answer["groups"].as_array().expect("groups").clone();
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    }

    async fn get(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/{what}", self.address)).expect("a URL");
        url.query_pairs_mut().extend_pairs(parameters);
        let response = http().get(url).send().await.map_err(|error| error.to_string())?;
        let mut answer: Value = response.json().await.map_err(|error| error.to_string())?;
        if answer["status"] != "success" || answer["warnings"].is_array() {
            return Err(answer.to_string());
        }
        Ok(answer["data"].take())
    }
}

/// The folder with what Prometheus and Grafana are told.
pub fn telemetry() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/telemetry")
}

//! One gateway or worker of a [`Stack`](super::Stack).

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use shared::{
    bus::nats::Nats,
    lifecycle::Shutdown,
    metrics::Metrics,
    presence::{BEAT, redis::Redis},
    telemetry,
};
use tokio::{net::TcpListener, process::Command, sync::Mutex, task::JoinHandle};

use super::http;
use crate::{
    eventually,
    process::{self, Guarded},
    servers::free_port,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gateway,
    Worker,
}

/// A gateway or a worker.
#[derive(Debug)]
pub struct Pod {
    kind: Kind,
    name: String,
    /// Where clients connect; a worker has no such listener.
    pub public: SocketAddr,
    /// Where health and metrics are served.
    pub management: SocketAddr,
    pub(super) args: Vec<String>,
    /// What it logs as a process; `None`: it runs in this one.
    log_filter: Option<String>,
    /// Another beat than a gateway's own; not for processes.
    pub(super) beat: Option<Duration>,
    logs: PathBuf,
    starts: AtomicU32,
    zones: std::sync::Mutex<worker::Zones>,
    running: Mutex<Running>,
}

/// The variable of a setting.
fn variable(setting: &str) -> String {
    format!("CONVENE_{}", setting.replace('-', "_").to_uppercase())
}

#[derive(Debug)]
enum Running {
    No,
    Here(Shutdown, JoinHandle<anyhow::Result<()>>),
    Process(Guarded),
}

#[derive(Debug, Parser)]
struct GatewaySettings {
    #[command(flatten)]
    servers: shared::config::Servers,
    #[command(flatten)]
    config: gateway::Config,
}

#[derive(Debug, Parser)]
struct WorkerSettings {
    #[command(flatten)]
    servers: shared::config::Servers,
    #[command(flatten)]
    config: worker::Config,
}

impl Pod {
    pub(super) fn new(kind: Kind, index: usize, args: &[String], log_filter: Option<String>, logs: PathBuf) -> Self {
        let name = if kind == Kind::Gateway { "gateway" } else { "worker" };
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port")));
        Self {
            kind,
            name: format!("{name}-{index}"),
            public: address(),
            management: address(),
            args: args.to_vec(),
            log_filter,
            beat: None,
            logs,
            starts: AtomicU32::new(0),
            zones: std::sync::Mutex::default(),
            running: Mutex::new(Running::No),
        }
    }

    /// Starts it at the addresses that it always has.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(&self) {
        let mut running = self.running.lock().await;
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        *running = match &self.log_filter {
            Some(log_filter) => Running::Process(self.spawn(start, log_filter).expect("the pod starts")),
            None => self.run_here().await.expect("the pod starts"),
        };
    }

    /// Has a worker of this process work with other zone data from its next start on.
    ///
    /// # Panics
    /// When it is a process.
    pub fn bring_zones(&self, zones: worker::Zones) {
        assert!(self.log_filter.is_none(), "zone data is no setting");
        *self.zones.lock().expect("nobody panics with it") = zones;
    }

    /// `gateway-0`, say: what it is called at every start, unless a test calls it otherwise.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Its settings by their names; of one that was given twice the last. One without a value is a switch.
    fn settings(&self) -> BTreeMap<&str, Option<&str>> {
        let given = self.args.iter().map(|arg| {
            let arg = arg.trim_start_matches('-');
            arg.split_once('=').map_or((arg, None), |(name, value)| (name, Some(value)))
        });
        std::iter::once(("pod-name", Some(&*self.name))).chain(given).collect()
    }

    fn spawn(&self, start: u32, log_filter: &str) -> anyhow::Result<Guarded> {
        // Tests and benchmarks lie in `deps`, below the programs of their package.
        let folder = std::env::current_exe()?.parent().and_then(Path::parent).context("a target folder")?.to_owned();
        let program = if self.kind == Kind::Gateway { "gateway-pod" } else { "worker-pod" };
        let log = fs::File::create(self.log(start))?;
        let mut settings = self.settings();
        settings.entry("log-format").or_insert(Some("json"));
        let [public, management] = [self.public, self.management].map(|address| address.to_string());
        settings.insert("management-listen", Some(&management));
        if self.kind == Kind::Gateway {
            settings.insert("listen", Some(&public));
        }
        let mut command = Command::new(folder.join(program));
        command
            .envs(settings.into_iter().map(|(name, value)| (variable(name), value.unwrap_or("true"))))
            .env("RUST_LOG", log_filter)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Guarded::spawn(&mut command).with_context(|| format!("{program} in {}", folder.display()))
    }

    async fn run_here(&self) -> anyhow::Result<Running> {
        let shutdown = Shutdown::default();
        let metrics = Metrics::install()?;
        let name = self.name();
        let settings = self.settings();
        let args = || {
            let flag = |(name, value): (&&str, &Option<&str>)| match value {
                Some(value) => format!("--{name}={value}"),
                None => format!("--{name}"),
            };
            std::iter::once(name.clone()).chain(settings.iter().map(flag))
        };
        let task = match self.kind {
            Kind::Gateway => {
                let settings = GatewaySettings::try_parse_from(args())?;
                // `RUST_LOG` shows what the pods of this process log.
                let _ = telemetry::init("test", "test", "off", &settings.config.common, 0.0)?;
                let listeners = gateway::Listeners {
                    public: TcpListener::bind(self.public).await?,
                    management: TcpListener::bind(self.management).await?,
                };
                let parts = gateway::Parts {
                    bus: Nats::connect(&settings.servers.nats_url, &name)?,
                    control: Nats::connect(&settings.servers.nats_url, &name)?,
                    presence: Redis::connect(&settings.servers.redis_url)?,
                    metrics,
                    beat: self.beat.unwrap_or(BEAT),
                };
                tokio::spawn(gateway::run(listeners, settings.config, parts, shutdown.clone()))
            }
            Kind::Worker => {
                let settings = WorkerSettings::try_parse_from(args())?;
                let management = TcpListener::bind(self.management).await?;
                let parts = worker::Parts {
                    bus: Nats::connect(&settings.servers.nats_url, &name)?,
                    presence: Redis::connect(&settings.servers.redis_url)?,
                    metrics,
                    clock: worker::Clock::system(),
                    zones: self.zones.lock().expect("nobody panics with it").clone(),
                };
                tokio::spawn(worker::run(management, settings.config, parts, shutdown.clone()))
            }
        };
        Ok(Running::Here(shutdown, task))
    }

    /// Waits until `/readyz` is 200.
    ///
    /// # Panics
    /// When it never is, with the end of its log.
    pub async fn ready(&self) {
        eventually!((self.get("/readyz").await, self.last_logged()), |(answer, _)| {
            answer.as_ref().is_some_and(|(status, _)| *status == 200)
        });
    }

    /// What it has logged since it was started, to be read on as more comes; only for processes.
    ///
    /// # Panics
    /// When it logs nowhere.
    pub fn log_file(&self) -> fs::File {
        let start = self.starts.load(Ordering::Relaxed).saturating_sub(1);
        fs::File::open(self.log(start)).expect("a process has a log")
    }

    fn log(&self, start: u32) -> PathBuf {
        self.logs.join(format!("{}.{start}.log", self.name()))
    }

    /// What a process has logged since it was started.
    pub fn logged(&self) -> String {
        let start = self.starts.load(Ordering::Relaxed).saturating_sub(1);
        fs::read_to_string(self.log(start)).unwrap_or_default()
    }

    /// The last lines of that.
    fn last_logged(&self) -> Vec<String> {
        let log = self.logged();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].iter().map(ToString::to_string).collect()
    }

    /// What its management listener answers to a GET: status and body; `None` while it does not answer.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let response = http().get(format!("http://{}{path}", self.management)).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// The sum of a metric's values whose labels hold all of these, such as `code="4008"`; 0 when there is none.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, page) = self.get("/metrics").await.expect("the pod answers");
        page.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Stops it as an operator would (SIGTERM) and waits until it is gone.
    ///
    /// # Panics
    /// When it ends with an error.
    pub async fn stop(&self) {
        self.begin_stop().await;
        self.ended().await;
    }

    /// Waits until it is gone, after it was told to.
    ///
    /// # Panics
    /// When it ends with an error.
    pub async fn ended(&self) {
        match std::mem::replace(&mut *self.running.lock().await, Running::No) {
            Running::No => (),
            Running::Here(_, task) => task.await.expect("no panic").expect("it stops in order"),
            Running::Process(mut child) => {
                let status = child.wait().await;
                assert!(status.success(), "{} ended with {status}", self.name());
            }
        }
    }

    /// Asks it to stop without waiting.
    pub async fn begin_stop(&self) {
        match &*self.running.lock().await {
            Running::No => (),
            Running::Here(shutdown, _) => shutdown.drain.cancel(),
            Running::Process(child) => process::signal(child.id(), "TERM").expect("a signal"),
        }
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&self) {
        match std::mem::replace(&mut *self.running.lock().await, Running::No) {
            Running::No => (),
            Running::Here(shutdown, task) => {
                shutdown.stop.cancel();
                task.abort();
                let _ = task.await;
            }
            Running::Process(mut child) => child.kill().await,
        }
    }

    /// Stops, starts and waits until it is ready.
    pub async fn restart(&self) {
        self.stop().await;
        self.start().await;
        self.ready().await;
    }

    /// Sends a process a signal, such as `STOP` and `CONT`.
    ///
    /// # Panics
    /// When it is no process.
    pub async fn signal(&self, signal: &str) {
        match &*self.running.lock().await {
            Running::Process(child) => process::signal(child.id(), signal).expect("a signal"),
            _ => panic!("{} is no process", self.name()),
        }
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it is no process.
    pub async fn process_id(&self) -> u32 {
        match &*self.running.lock().await {
            Running::Process(child) => child.id(),
            _ => panic!("{} is no process", self.name()),
        }
    }

    /// The id of its process; `None` when it does not run or is no process.
    pub async fn running_process(&self) -> Option<u32> {
        match &*self.running.lock().await {
            Running::Process(child) => Some(child.id()),
            _ => None,
        }
    }
}

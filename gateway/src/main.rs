//! The gateway process: reads the settings, binds, runs, drains; or asks one how it is.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use gateway::{Config, Listeners, Parts};
use shared::{
    bus::nats::Nats,
    config::{Program, Servers, Task, listener},
    lifecycle::{self, Shutdown},
    metrics::Metrics,
    presence::{BEAT, redis::Redis},
    probe::{LogChange, Probe},
    telemetry,
};
use tokio::net::TcpListener;

/// Holds the sockets of clients and passes their requests to workers
#[derive(Args, Debug)]
struct Settings {
    /// Where clients connect
    #[arg(long, env = "CONVENE_LISTEN", hide_env_values = true, default_value = "0.0.0.0:8080", value_parser = listener)]
    listen: SocketAddr,
    #[command(flatten)]
    management: Management,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    config: Config,
}

#[derive(Args, Debug)]
struct Management {
    /// Where health, metrics and administration are served
    #[arg(long, env = "CONVENE_MANAGEMENT_LISTEN", hide_env_values = true, default_value = "0.0.0.0:9090",
          value_parser = listener)]
    management_listen: SocketAddr,
}

/// What is done instead of serving.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Asks the gateway on this machine whether it runs; code 1 says that it does not
    Health {
        #[command(flatten)]
        management: Management,
        #[command(flatten)]
        probe: Probe,
    },
    /// Shows what the gateway on this machine logs, or changes it until it ends
    Log {
        #[command(flatten)]
        management: Management,
        #[command(flatten)]
        change: LogChange,
    },
}

impl Program for Settings {
    const NAME: &'static str = "convene-gateway";
    type Instead = Instead;
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match shared::config::parse() {
        Task::<Settings>::Serve(settings) => run(*settings).await,
        Task::Instead(Instead::Health { management, probe }) => probe.ask(management.management_listen).await,
        Task::Instead(Instead::Log { management, change }) => change.make(management.management_listen).await,
    };
    lifecycle::exit_code(Settings::NAME, outcome)
}

async fn run(mut settings: Settings) -> Result<()> {
    // Before anything is connected: what can not be checked would be one more line to read.
    settings.config.check()?;
    let pod = shared::config::pod_name(&settings.config.common);
    settings.config.common.pod_name = Some(pod.clone());
    let Config { common, trace_sample_ratio, .. } = &settings.config;
    let _telemetry = telemetry::init("convene-gateway", &pod, telemetry::DEFAULT_FILTER, common, *trace_sample_ratio)?;
    let shutdown = Shutdown::on_signals()?;
    let listeners = Listeners {
        public: bind(settings.listen).await?,
        management: bind(settings.management.management_listen).await?,
    };
    let parts = Parts {
        bus: Nats::connect(&settings.servers.nats_url, &pod)?,
        control: Nats::connect(&settings.servers.nats_url, &format!("{pod} control"))?,
        presence: Redis::connect(&settings.servers.redis_url)?,
        metrics: Metrics::install()?,
        beat: BEAT,
    };
    gateway::run(listeners, settings.config, parts, shutdown).await
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("can not listen on {address}"))
}

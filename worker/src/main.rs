//! The worker process: reads the settings, binds, runs, drains; or does one thing to the database, or asks one how it is.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use shared::{
    bus::nats::Nats,
    config::{Program, Servers, Task, listener},
    lifecycle::{self, Shutdown},
    metrics::Metrics,
    presence::redis::Redis,
    probe::{LogChange, Probe},
    telemetry,
};
use tokio::net::TcpListener;
use worker::{Clock, Config, Parts, Zones, config::Database, database};

/// What is done instead of serving.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Brings the database's schema up to date
    Migrate(Database),
    /// Begins a new epoch of all networks' events, for after a backup was restored
    NewEpoch(Database),
    /// Asks the worker on this machine whether it runs; code 1 says that it does not
    Health {
        #[command(flatten)]
        management: Management,
        #[command(flatten)]
        probe: Probe,
    },
    /// Shows what the worker on this machine logs, or changes it until it ends
    Log {
        #[command(flatten)]
        management: Management,
        #[command(flatten)]
        change: LogChange,
    },
}

#[derive(Args, Debug)]
struct Management {
    /// Where health and metrics are served
    #[arg(long, env = "CONVENE_MANAGEMENT_LISTEN", hide_env_values = true, default_value = "0.0.0.0:9091",
          value_parser = listener)]
    management_listen: SocketAddr,
}

/// Does what clients ask for, and knows PostgreSQL
#[derive(Args, Debug)]
struct Serve {
    #[command(flatten)]
    management: Management,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    config: Config,
}

impl Program for Serve {
    const NAME: &'static str = "convene-worker";
    type Instead = Instead;
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match shared::config::parse() {
        // As a task: the thread of `main` is none of the runtime's. Each request would be handed to it by another thread, and
        // its work to yet another.
        Task::<Serve>::Serve(serve) => tokio::spawn(run(*serve)).await.map_err(Into::into).flatten(),
        Task::Instead(Instead::Migrate(database)) => database::migrate(&database.database_url).await,
        Task::Instead(Instead::NewEpoch(database)) => database::new_epoch(&database.database_url).await.map(drop),
        Task::Instead(Instead::Health { management, probe }) => probe.ask(management.management_listen).await,
        Task::Instead(Instead::Log { management, change }) => change.make(management.management_listen).await,
    };
    lifecycle::exit_code(Serve::NAME, outcome)
}

async fn run(Serve { management, servers, mut config }: Serve) -> Result<()> {
    let pod = shared::config::pod_name(&config.common);
    config.common.pod_name = Some(pod.clone());
    // Nothing that a trace is of begins here.
    let _telemetry = telemetry::init("convene-worker", &pod, telemetry::DEFAULT_FILTER, &config.common, 0.0)?;
    let shutdown = Shutdown::on_signals()?;
    let address = management.management_listen;
    let management = TcpListener::bind(address).await.with_context(|| format!("can not listen on {address}"))?;
    let parts = Parts {
        bus: Nats::connect(&servers.nats_url, &pod)?,
        presence: Redis::connect(&servers.redis_url)?,
        metrics: Metrics::install()?,
        clock: Clock::system(),
        zones: Zones::bundled(),
    };
    worker::run(management, config, parts, shutdown).await
}

//! The worker process: reads the settings, binds, runs, drains; or does one thing to the database.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use shared::{
    bus::nats::Nats, config::Servers, lifecycle::Shutdown, metrics::Metrics, presence::redis::Redis, telemetry,
};
use tokio::net::TcpListener;
use worker::{Config, Parts, config::Database, database};

/// Does what clients ask for, and knows PostgreSQL
#[derive(Debug, Parser)]
#[command(name = "convene-worker", version = shared::config::version())]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Settings {
    #[command(subcommand)]
    instead: Option<Instead>,
    #[command(flatten)]
    serve: Option<Serve>,
}

/// What is done instead of serving.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Brings the database's schema up to date
    Migrate(Database),
    /// Begins a new epoch of all networks' events, for after a backup was restored
    NewEpoch(Database),
}

#[derive(Args, Debug)]
struct Serve {
    /// Where health and metrics are served
    #[arg(long, env = "CONVENE_MANAGEMENT_LISTEN", hide_env_values = true, default_value = "0.0.0.0:9091")]
    management_listen: SocketAddr,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    config: Config,
}

#[tokio::main]
async fn main() -> Result<()> {
    let settings: Settings = shared::config::parse();
    match (settings.instead, settings.serve) {
        (Some(Instead::Migrate(database)), _) => database::migrate(&database.database_url).await,
        (Some(Instead::NewEpoch(database)), _) => database::new_epoch(&database.database_url).await.map(drop),
        (None, Some(serve)) => run(serve).await,
        (None, None) => anyhow::bail!("settings are missing"),
    }
}

async fn run(Serve { management_listen, servers, mut config }: Serve) -> Result<()> {
    let pod = shared::config::pod_name(&config.common);
    config.common.pod_name = Some(pod.clone());
    let _telemetry = telemetry::init("convene-worker", &pod, "info", &config.common)?;
    let shutdown = Shutdown::on_signals()?;
    let management =
        TcpListener::bind(management_listen).await.with_context(|| format!("can not listen on {management_listen}"))?;
    let parts = Parts {
        bus: Nats::connect(&servers.nats_url, &pod)?,
        presence: Redis::connect(&servers.redis_url)?,
        metrics: Metrics::install()?,
    };
    worker::run(management, config, parts, shutdown).await
}

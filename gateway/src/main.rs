//! The gateway process: reads the settings, binds, runs, drains.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use gateway::{Config, Listeners, Parts};
use shared::{
    bus::nats::Nats,
    config::Servers,
    lifecycle::{self, Shutdown},
    metrics::Metrics,
    presence::{BEAT, redis::Redis},
    telemetry,
};
use tokio::net::TcpListener;

/// Holds the sockets of clients and passes their requests to workers
#[derive(Debug, Parser)]
#[command(name = "convene-gateway", version = shared::config::version())]
struct Settings {
    /// Where clients connect
    #[arg(long, env = "CONVENE_LISTEN", hide_env_values = true, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Where health, metrics and administration are served
    #[arg(long, env = "CONVENE_MANAGEMENT_LISTEN", hide_env_values = true, default_value = "0.0.0.0:9090")]
    management_listen: SocketAddr,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    config: Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    lifecycle::exit_code("convene-gateway", run(shared::config::parse()).await)
}

async fn run(mut settings: Settings) -> Result<()> {
    // Before anything is connected: what can not be checked would be one more line to read.
    settings.config.check()?;
    let pod = shared::config::pod_name(&settings.config.common);
    settings.config.common.pod_name = Some(pod.clone());
    let _telemetry = telemetry::init("convene-gateway", &pod, telemetry::DEFAULT_FILTER, &settings.config.common)?;
    let shutdown = Shutdown::on_signals()?;
    let listeners =
        Listeners { public: bind(settings.listen).await?, management: bind(settings.management_listen).await? };
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

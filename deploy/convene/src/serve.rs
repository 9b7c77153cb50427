//! `convene serve`: gateway, worker and what they need, in one process, from start to stop.

use std::{
    convert::Infallible,
    future::pending,
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process::{ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use gateway::config::{admin_tokens, signing_secrets};
use shared::{
    bus::{Bus, local as local_bus, nats::Nats},
    config::{self, pod_name},
    lifecycle::Shutdown,
    metrics::Metrics,
    presence::{BEAT, Presence, local as local_presence, redis::Redis},
    telemetry,
};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    demo::{self, Greeting, Reach},
    folder::{Folder, Secret},
    postgres::Server,
    say,
    settings::Serve,
    token::Signer,
};

/// What is logged. That a part is not ready while it starts, and that a download fails, is said here in other words. Why a token is
/// refused is told to nobody else.
const QUIET: &str = "warn,worker::readiness=error,gateway::health=error,reqwest_retry=error,gateway::auth=info";

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// When something to wait for is worth a line.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the parts may take to stop after they were told to, beside their `drain-timeout`.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Where the parts are reached from this machine.
struct Addresses {
    client_url: String,
    admin_url: String,
    worker_url: String,
    reach: Reach,
}

/// Starts everything, says how to use it, and runs until a signal; then stops what it has started.
///
/// # Errors
/// Something can not be started, or has stopped by itself. The message says what to do.
pub async fn run(settings: Serve) -> Result<ExitCode> {
    let shutdown = Shutdown::on_signals()?;
    let folder = Folder::open(&settings.data_dir.data_dir)?;
    let (public, management, worker_management) = (
        bind(settings.listen, "listen").await?,
        bind(settings.management_listen, "management-listen").await?,
        bind(settings.worker_management_listen, "worker-management-listen").await?,
    );
    let addresses = Addresses {
        client_url: format!("ws://{}/ws", local(public.local_addr()?)),
        admin_url: format!("http://{}", local(management.local_addr()?)),
        worker_url: format!("http://{}", local(worker_management.local_addr()?)),
        reach: Reach::of(public.local_addr()?),
    };

    let (mut gateway, mut worker) = (settings.parts.gateway, settings.parts.worker);
    let pod = pod_name(&gateway.common);
    gateway.common.pod_name = Some(pod.clone());
    worker.common = gateway.common.clone();
    let _telemetry = telemetry::init("convene", &pod, QUIET, &gateway.common, gateway.trace_sample_ratio)?;

    say(&format!("convene {} with its data in {}", config::version(), folder.path().display()));
    if gateway.jwt_secret.is_none() && gateway.jwks_url.is_none() && gateway.jwks_file.is_none() {
        let secret = folder.secret(Secret::Jwt)?;
        gateway.jwt_secret = Some(signing_secrets(&secret).map_err(|error| anyhow!("{error}"))?);
    }
    if gateway.admin_token.is_none() {
        let token = folder.secret(Secret::Admin)?;
        gateway.admin_token = Some(admin_tokens(&token).map_err(|error| anyhow!("{error}"))?);
    }
    let signer = Signer::of_gateway(&gateway);
    let admin_token = gateway.admin_token.as_ref().map(|tokens| tokens.first().to_owned()).unwrap_or_default();

    let mut server = None;
    if !settings.parts.has_database {
        say("  starting PostgreSQL");
        let Some(started) = Server::start(&folder, &shutdown.drain).await? else { return Ok(ExitCode::SUCCESS) };
        say(&format!("  PostgreSQL {} runs", started.version()));
        worker.database_url = started.url().parse().map_err(|error: String| anyhow!(error))?;
        server = Some(started);
    }
    let database_url = worker.database_url.reveal().to_owned();

    let ended = async {
        let (bus, control) = bus(settings.nats_url.as_deref(), &pod)?;
        let presence = presence(settings.redis_url.as_deref())?;
        let metrics = Metrics::install()?;
        // The worker goes on until the gateway has answered what it was asked.
        let worker_shutdown = Shutdown { stop: shutdown.stop.clone(), ..Shutdown::default() };
        let mut worker = tokio::spawn(worker::run(
            worker_management,
            worker,
            worker::Parts {
                bus: bus.clone(),
                presence: presence.clone(),
                metrics: metrics.clone(),
                clock: worker::Clock::system(),
                zones: worker::Zones::bundled(),
            },
            worker_shutdown.clone(),
        ));
        let mut gateway = tokio::spawn(gateway::run(
            gateway::Listeners { public, management },
            gateway,
            gateway::Parts { bus, control, presence, metrics, beat: BEAT },
            shutdown.clone(),
        ));
        let ended = tokio::select! {
            ended = &mut gateway => part_ended("gateway", ended, &shutdown),
            ended = &mut worker => part_ended("worker", ended, &shutdown),
            status = stopped(&mut server) => {
                Err(anyhow!("PostgreSQL has stopped by itself ({}; see {})", status?, folder.path().join("postgres.log").display()))
            }
            Err(error) = introduce(&addresses, &database_url, &admin_token, signer.as_ref(), &folder) => {
                // Whoever stops it in the middle gets no complaint about what was not finished.
                if shutdown.drain.is_cancelled() { Ok(()) } else { Err(error) }
            }
        };
        say("Stopping.");
        shutdown.drain.cancel();
        wait(&mut gateway).await;
        worker_shutdown.drain.cancel();
        wait(&mut worker).await;
        ended
    }
    .await;
    if let Some(server) = server {
        server.stop().await?;
    }
    ended.map(|()| ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    let variable = setting.to_uppercase().replace('-', "_");
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "another program listens on {address} already; stop it, or set --{setting} (CONVENE_{variable}) to another port"
        ),
        _ => anyhow!("can not listen on {address} (--{setting}, CONVENE_{variable}): {error}"),
    })
}

/// A listener on every address is reached from here on the loopback.
fn local(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

/// The bus, and the same on a connection of its own where it has connections.
fn bus(nats_url: Option<&str>, pod: &str) -> Result<(Bus, Bus)> {
    match nats_url {
        Some(url) => Ok((Nats::connect(url, pod)?, Nats::connect(url, &format!("{pod} control"))?)),
        None => {
            let bus = Bus::new(local_bus::Local::new());
            Ok((bus.clone(), bus))
        }
    }
}

fn presence(redis_url: Option<&str>) -> Result<Presence> {
    match redis_url {
        Some(url) => Ok(Redis::connect(url)?),
        None => Ok(Presence::new(local_presence::Local::new())),
    }
}

/// Waits for everything to be ready, makes the demo network known and says how to use it. Ends only when it can not.
async fn introduce(
    addresses: &Addresses,
    database_url: &str,
    admin_token: &str,
    signer: Option<&Signer>,
    folder: &Folder,
) -> Result<Infallible> {
    wait_until_ready("the worker", &addresses.worker_url).await?;
    wait_until_ready("the gateway", &addresses.admin_url).await?;
    let has_demo = demo::seed(database_url, &addresses.admin_url, admin_token).await?;
    let greeting = Greeting {
        url: &addresses.client_url,
        admin_url: &addresses.admin_url,
        worker_url: &addresses.worker_url,
        reach: addresses.reach,
        signer,
        folder: folder.path(),
        has_demo,
    };
    say(&greeting.lines()?.join("\n"));
    pending().await
}

async fn wait_until_ready(part: &str, url: &str) -> Result<()> {
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
    let mut last_said = Instant::now();
    loop {
        let answer = match client.get(format!("{url}/readyz")).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        if last_said.elapsed() > PATIENCE {
            say(&format!("  waiting for {part}: {}", answer.trim()));
            last_said = Instant::now();
        }
        sleep(LOOK).await;
    }
}

async fn stopped(server: &mut Option<Server>) -> Result<ExitStatus> {
    match server {
        Some(server) => server.stopped().await,
        None => pending().await,
    }
}

/// That a part has ended is right only after it was told to.
fn part_ended(part: &str, ended: Result<Result<()>, tokio::task::JoinError>, shutdown: &Shutdown) -> Result<()> {
    ended.with_context(|| format!("the {part} has failed"))?.with_context(|| format!("the {part}"))?;
    if shutdown.drain.is_cancelled() { Ok(()) } else { Err(anyhow!("the {part} has stopped by itself")) }
}

/// Gives a part that was told to stop its time, and then no more.
async fn wait(part: &mut JoinHandle<Result<()>>) {
    if !part.is_finished() && timeout(STOP_PATIENCE, &mut *part).await.is_err() {
        part.abort();
    }
}

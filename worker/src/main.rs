//! The worker process: reads the settings, binds, runs, drains; or does one thing to the database.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use shared::{
    bus::nats::Nats,
    config::Servers,
    lifecycle::{self, Shutdown},
    metrics::Metrics,
    presence::redis::Redis,
    telemetry,
};
use tokio::net::TcpListener;
use worker::{Clock, Config, Parts, config::Database, database};

/// What the process is to do.
#[derive(Debug)]
enum Settings {
    Serve(Box<Serve>),
    Instead(Instead),
}

/// What is done instead of serving.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Brings the database's schema up to date
    Migrate(Database),
    /// Begins a new epoch of all networks' events, for after a backup was restored
    NewEpoch(Database),
}

/// Does what clients ask for, and knows PostgreSQL
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

// Written out because a derived optional part counts as absent when all of its settings come from the environment.
impl CommandFactory for Settings {
    fn command() -> Command {
        let command = Command::new("convene-worker").version(shared::config::version());
        Serve::augment_args(Instead::augment_subcommands(command))
            .subcommand_required(false)
            .arg_required_else_help(false)
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true)
    }

    fn command_for_update() -> Command {
        Self::command()
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if matches.subcommand_name().is_some() {
            Instead::from_arg_matches(matches).map(Self::Instead)
        } else {
            Serve::from_arg_matches(matches).map(|serve| Self::Serve(Box::new(serve)))
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Parser for Settings {}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match shared::config::parse() {
        Settings::Serve(serve) => run(*serve).await,
        Settings::Instead(Instead::Migrate(database)) => database::migrate(&database.database_url).await,
        Settings::Instead(Instead::NewEpoch(database)) => database::new_epoch(&database.database_url).await.map(drop),
    };
    lifecycle::exit_code("convene-worker", outcome)
}

async fn run(Serve { management_listen, servers, mut config }: Serve) -> Result<()> {
    let pod = shared::config::pod_name(&config.common);
    config.common.pod_name = Some(pod.clone());
    let _telemetry = telemetry::init("convene-worker", &pod, telemetry::DEFAULT_FILTER, &config.common)?;
    let shutdown = Shutdown::on_signals()?;
    let management =
        TcpListener::bind(management_listen).await.with_context(|| format!("can not listen on {management_listen}"))?;
    let parts = Parts {
        bus: Nats::connect(&servers.nats_url, &pod)?,
        presence: Redis::connect(&servers.redis_url)?,
        metrics: Metrics::install()?,
        clock: Clock::system(),
    };
    worker::run(management, config, parts, shutdown).await
}

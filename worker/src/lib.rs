//! The worker: knows the business rules and PostgreSQL, holds no socket and no state between requests.
//!
//! | module | holds |
//! | --- | --- |
//! | `meeting`, `social`, `user`, `directory`, `events` | the namespaces: each a table of handlers, and a file for each |
//! | [`router`] | from a method to its handler; the macro of those tables |
//! | [`context`] | what a handler is given: [`context::Change`], [`context::Read`] |
//! | [`error`] | why a request was not done, and what its client is told |
//! | `serve`, `slots`, `age` | from the bus to a slot: fairness, bounds, deadlines |
//! | `run`, `retry` | one request: its transaction, its attempts; requests that are done once |
//! | [`outbox`] | where a change leaves its events |
//! | [`relay`] | moves them into the log, tells the gateways |
//! | [`retention`] | removes what has been kept long enough |
//! | [`database`] | the pool, the schema, a new epoch |
//! | `readiness`, `management` | whether the worker can do its work; the listener that says so |
//! | [`config`] | the settings |

pub mod config;
pub mod context;
pub mod database;
pub mod error;
pub mod outbox;
pub mod relay;
pub mod retention;
pub mod router;

mod age;
mod management;
mod readiness;
mod retry;
mod run;
mod serve;
mod slots;

mod directory;
mod events;
mod meeting;
mod social;
mod user;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use shared::{bus::Bus, config::pod_name, lifecycle::Shutdown, metrics::Metrics, presence::Presence};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use config::Config;

use config::Namespace;
use context::Context;
use management::Management;
use readiness::Report;
use router::Handlers;
use serve::Server;

/// Requests done at once, for each connection of the pool: most of them wait for the database only part of their time.
const SLOTS_PER_CONNECTION: usize = 4;

/// Pause before something is tried again that needs a server which is away.
const PAUSE: Duration = Duration::from_secs(1);

/// What a worker needs of its process.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The bus.
    pub bus: Bus,
    /// Where sockets are.
    pub presence: Presence,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

/// Runs a worker until it has been told to drain and has drained, or to stop.
///
/// Servers that are away are waited for.
///
/// # Errors
/// The database's address makes no sense, its schema cannot be brought up to date, or the bus was closed for good.
pub async fn run(management: TcpListener, config: Config, parts: Parts, shutdown: Shutdown) -> Result<()> {
    let name = pod_name(&config.common);
    let pool = database::pool(&config.database_url, &name)?;
    let check = database::options(&config.database_url, &name)?;
    let slots = config.max_concurrency.map_or(SLOTS_PER_CONNECTION * database::pool_size(), usize::from);
    let context =
        Arc::new(Context { pool: pool.clone(), bus: parts.bus, presence: parts.presence, config: Arc::new(config) });

    // Everything in the background ends with this function, however it ends.
    let background = CancellationToken::new();
    let _end = background.clone().drop_guard();
    let (reports, known) = watch::channel(Report::default());
    let routes = Management { metrics: parts.metrics, reports: known.clone(), drain: shutdown.drain.clone() };
    let listening = axum::serve(management, management::router(routes));
    tokio::spawn(background.clone().run_until_cancelled_owned(async move { listening.await }));
    tokio::spawn(readiness::watch(context.clone(), check, reports, background.clone()));

    let server = Server::new(context.clone(), slots, shutdown.stop.clone());
    let working = async {
        if context.config.migrate {
            migrate(&context.config).await?;
        }
        serve(&server, &handlers(&context.config.namespaces), known, &shutdown, context.config.common.drain_delay).await
    };
    if let Some(outcome) = shutdown.stop.run_until_cancelled(working).await {
        outcome?;
        let finished = timeout(context.config.common.drain_timeout, server.finish());
        if shutdown.stop.run_until_cancelled(finished).await.is_none_or(|finished| finished.is_err()) {
            tracing::warn!("stopped with requests unfinished");
        }
    }
    // Connections are closed in good order, but a server that does not answer is not waited for.
    let _ = timeout(PAUSE, pool.close()).await;
    Ok(())
}

/// Brings the schema up to date, waiting for a database that is away.
async fn migrate(config: &Config) -> Result<()> {
    loop {
        match database::migrate(&config.database_url).await {
            Ok(()) => return Ok(()),
            Err(error) if database::may_pass(&error) => {
                tracing::warn!(%error, "the schema is not brought up to date yet");
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error).context("the schema cannot be brought up to date"),
        }
    }
}

/// Takes requests whenever they can be served rightly, until it is time to drain and the drain delay is over. While they
/// cannot, nobody but the other workers of the namespace is asked.
async fn serve(
    server: &Arc<Server>,
    namespaces: &[Handlers],
    mut known: watch::Receiver<Report>,
    shutdown: &Shutdown,
    drain_delay: Duration,
) -> Result<()> {
    let leave = async {
        shutdown.drain.cancelled().await;
        sleep(drain_delay).await;
    };
    tokio::pin!(leave);
    loop {
        tokio::select! {
            ready = known.wait_for(Report::may_serve) => drop(ready.context("nobody looks at the database any more")?),
            () = &mut leave => return Ok(()),
        }
        let until = CancellationToken::new();
        let serving = server.serve(namespaces, &until);
        tokio::pin!(serving);
        let is_over = tokio::select! {
            served = &mut serving => return served.context("the bus was closed"),
            unfit = known.wait_for(|report| !report.may_serve()) => {
                drop(unfit.context("nobody looks at the database any more")?);
                false
            }
            () = &mut leave => true,
        };
        until.cancel();
        serving.await.context("the bus was closed")?;
        if is_over {
            return Ok(());
        }
    }
}

/// The handlers of these namespaces, each once.
fn handlers(namespaces: &[Namespace]) -> Vec<Handlers> {
    let namespaces: BTreeSet<Namespace> = namespaces.iter().copied().collect();
    namespaces
        .into_iter()
        .map(|namespace| match namespace {
            Namespace::Meeting => meeting::handlers(),
            Namespace::Social => social::handlers(),
            Namespace::User => user::handlers(),
            Namespace::Directory => directory::handlers(),
            Namespace::Events => events::handlers(),
        })
        .collect()
}

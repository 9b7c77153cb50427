//! The worker: knows the business rules and PostgreSQL, holds no socket and no state between requests.
//!
//! | module | holds |
//! | --- | --- |
//! | `meeting`, `social`, `user`, `directory`, `events` | the namespaces: each a table of handlers, and a file for each |
//! | [`router`] | from a method to its handler; the macro of those tables |
//! | [`availability`] | when people are available: intervals, days, zones; pure code |
//! | [`ics`] | a session as a calendar file; pure code |
//! | [`context`] | what a handler is given: [`context::Change`], [`context::Read`] |
//! | [`error`] | why a request was not done, and what its client is told |
//! | `service` | from the start over ready to drained |
//! | `serve`, `slots`, `shares`, `age` | from the bus to a slot and a connection: fairness, bounds, deadlines |
//! | `run`, `retry` | one request: its transaction, its attempts; requests that are done once |
//! | [`outbox`] | where a change leaves its events |
//! | [`relay`] | moves them into the log, tells the gateways |
//! | [`retention`] | removes what has been kept long enough |
//! | [`database`] | the pool, the schema, a new epoch |
//! | `object` | identifiers of what is made here |
//! | `readiness`, `management` | whether the worker can do its work; the listener that says so |
//! | [`clock`], [`zones`] | this machine's clock; the zone data |
//! | [`config`] | the settings |

pub mod availability;
pub mod clock;
pub mod config;
pub mod context;
pub mod database;
pub mod error;
pub mod ics;
pub mod outbox;
pub mod relay;
pub mod retention;
pub mod router;
pub mod zones;

mod age;
mod management;
mod object;
mod readiness;
mod retry;
mod run;
mod serve;
mod service;
mod shares;
mod slots;

mod directory;
mod events;
mod meeting;
mod social;
mod user;

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use anyhow::Result;
use shared::{
    bus::Bus,
    config::pod_name,
    http::{Limits, serve},
    lifecycle::Shutdown,
    metrics::Metrics,
    presence::Presence,
};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

pub use clock::Clock;
pub use config::Config;
pub use zones::Zones;

use context::Context;
use management::Management;
use readiness::Report;
use service::Service;

/// How long to wait at the end for the bus to have taken everything, and for the pool's connections to be closed.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a worker needs of its process.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The bus.
    pub bus: Bus,
    /// Where sockets are.
    pub presence: Presence,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// This machine's clock, which is held against PostgreSQL's.
    pub clock: Clock,
    /// The zone data.
    pub zones: Zones,
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
    let background_pool = database::background(&config.database_url, &name)?;
    let options = database::options(&config.database_url, &name)?;
    let context = Arc::new(Context {
        pool: pool.clone(),
        background: background_pool.clone(),
        bus: parts.bus,
        presence: parts.presence,
        config: Arc::new(config),
        zones: parts.zones,
        series_waiting: Arc::new(AtomicI64::new(-1)),
    });

    // Everything in the background ends with this function, however it ends.
    let background = CancellationToken::new();
    let _end = background.clone().drop_guard();
    let (reports, known) = watch::channel(Report::default());
    let (serving, is_serving) = watch::channel(false);
    let drain = shutdown.drain.clone();
    let routes = Management { metrics: parts.metrics, reports: known.clone(), is_serving, drain, pool: pool.clone() };
    tokio::spawn(serve(management, management::router(routes), Limits::management(), background.clone()));
    tokio::spawn(readiness::watch(context.clone(), options.clone(), parts.clock, reports, background.clone()));

    let bus = context.bus.clone();
    let service = Service::new(context, options, serving, shutdown.clone());
    let outcome = shutdown.stop.run_until_cancelled(Box::pin(service.run(known))).await;
    // The last answers may still be on their way to the bus, which would lose them with the process.
    let _ = timeout(GOODBYE, bus.flush()).await;
    pool.close();
    background_pool.close();
    outcome.unwrap_or(Ok(()))
}

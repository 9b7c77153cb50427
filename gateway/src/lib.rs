//! The gateway: holds sockets and knows the wire, the public namespaces, sessions and presence. It knows no endpoint and no
//! business rule, has no database, and can be killed at any time.
//!
//! | module | holds |
//! | --- | --- |
//! | [`http`], [`management`], `admin` | the two listeners' routers |
//! | `download` | social sessions as calendar files |
//! | [`auth`] | from a token to a session |
//! | [`handshake`], [`origins`] | what an upgrade says; whose web pages may connect and read |
//! | [`admission`] | everything before an upgrade is accepted |
//! | [`transport`] | what a connection needs of a protocol; the plain frames |
//! | [`wire`] | a WebSocket on its connection: messages in, messages out |
//! | [`connection`] | one client, from the accepted upgrade to the close |
//! | [`limits`], [`dispatch`] | what a socket may ask for; frame to subject, answer to frame |
//! | [`outbox`], [`hub`] | a socket's send queue; this pod's sockets |
//! | [`stream`] | a network's events on this pod |
//! | [`control`], [`beat`] | what pods tell each other of sockets; what makes good what was lost of it |
//! | [`workers`] | requests to workers |
//! | [`canary`] | whether events reach this pod |
//! | `files` | how many files, and so sockets, may be open |
//! | [`health`] | whether this pod can do its work now |

pub mod admission;
pub mod auth;
pub mod beat;
pub mod canary;
pub mod config;
pub mod connection;
pub mod control;
pub mod dispatch;
pub mod handshake;
pub mod health;
pub mod http;
pub mod hub;
pub mod limits;
pub mod management;
pub mod origins;
pub mod outbox;
pub mod stream;
pub mod transport;
pub mod wire;
pub mod workers;

mod admin;
mod download;
mod files;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use rand::Rng as _;
use shared::{
    api::Close,
    bus::Bus,
    http::{Limits, serve},
    lifecycle::{Shutdown, keep_up},
    metrics::Metrics,
    pod::PodId,
    presence::Presence,
    telemetry::Outage,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::Config;

use admission::{CLOSED_REFUSALS, HANDSHAKES};
use auth::{Authenticator, Refusals, Trust};
use health::Health;
use hub::Hub;
use outbox::Ending;
use stream::Streams;
use workers::Workers;

/// Where a gateway listens.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub public: TcpListener,
    /// For operators.
    pub management: TcpListener,
}

/// What a gateway works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The bus.
    pub bus: Bus,
    /// The bus again, on a connection of its own: for what must not wait behind events.
    pub control: Bus,
    /// The presence store.
    pub presence: Presence,
    /// The numbers that `/metrics` shows.
    pub metrics: Metrics,
    /// How often this pod says that its sockets live: [`BEAT`](shared::presence::BEAT), unless a test can not wait for that.
    pub beat: Duration,
}

/// What the log knows of things that fail for many sockets at once.
#[derive(Debug, Default)]
struct Outages {
    announcements: Outage,
    renewals: Outage,
    lookups: Outage,
    claims: Outage,
    replacements: Outage,
}

/// One start of a gateway.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    pod: PodId,
    authenticator: Authenticator,
    refusals: Refusals,
    workers: Workers,
    control: Bus,
    presence: Presence,
    metrics: Metrics,
    hub: Arc<Hub>,
    streams: Arc<Streams>,
    handshakes: Semaphore,
    /// Places for those who are told by a close code why they are not let in.
    closings: Arc<Semaphore>,
    health: Health,
    outages: Outages,
    beat: Duration,
    is_closing: AtomicBool,
    stop: CancellationToken,
}

impl Gateway {
    fn new(config: Config, parts: Parts, stop: CancellationToken) -> Result<Self> {
        let Parts { bus, control, presence, metrics, beat } = parts;
        let pod = PodId::of_start(&shared::config::pod_name(&config.common));
        let workers = Workers::new(bus.clone(), pod.clone(), config.request_timeout);
        let secrets: Vec<&str> = config.jwt_secret.iter().flat_map(config::Secrets::all).collect();
        Ok(Self {
            authenticator: Authenticator::new(Trust {
                secrets: &secrets,
                jwks_url: config.jwks_url.as_deref(),
                jwks_file: config.jwks_file.as_deref(),
                jwks_max_age: config.jwks_max_age,
                audiences: &config.jwt_audience,
                issuers: &config.jwt_issuer,
            })?,
            refusals: Refusals::default(),
            streams: Streams::new(bus.clone(), workers.clone(), stop.clone()),
            hub: Arc::new(Hub::new(config.max_connections)),
            handshakes: Semaphore::new(HANDSHAKES),
            closings: Arc::new(Semaphore::new(CLOSED_REFUSALS)),
            health: Health::new(bus, control.clone(), presence.clone(), workers.clone(), pod.clone()),
            outages: Outages::default(),
            beat,
            is_closing: AtomicBool::new(false),
            workers,
            control,
            presence,
            metrics,
            pod,
            stop,
            config,
        })
    }

    /// Whether new sockets are taken: not any more once this pod closes those that it has.
    fn takes_sockets(&self) -> bool {
        !self.is_closing.load(Ordering::Acquire)
    }

    /// Whether a client that states this version is new enough. One that states none is not checked; one that states what
    /// is no version can not be.
    fn supports(&self, stated: Option<&str>) -> bool {
        let (Some(least), Some(stated)) = (&self.config.min_client_version, stated) else { return true };
        let dots = stated.matches('.').count();
        let padded = format!("{stated}{}", ".0".repeat(2_usize.saturating_sub(dots)));
        semver::Version::parse(stated)
            .or_else(|_| semver::Version::parse(&padded))
            .is_ok_and(|version| version >= *least)
    }

    fn keep_up<W: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        what: &'static str,
        mut begin: impl FnMut(Arc<Self>) -> W + Send + 'static,
    ) {
        let gateway = self.clone();
        tasks.spawn(keep_up(what, move || begin(gateway.clone())));
    }

    /// Closes every socket with 1012, each at a moment of its own within `drain-timeout`, and returns when all are gone.
    async fn drain(&self) {
        self.is_closing.store(true, Ordering::Release);
        let sockets = self.hub.select(|_| true);
        tracing::info!(sockets = sockets.len(), "closing all sockets");
        let mut moments: Vec<_> = {
            let mut rng = rand::rng();
            let spread = self.config.common.drain_timeout;
            sockets.into_iter().map(|socket| (spread.mul_f64(rng.random::<f64>()), socket)).collect()
        };
        moments.sort_by_key(|(moment, _)| *moment);
        let begun = tokio::time::Instant::now();
        for (moment, socket) in moments {
            tokio::time::sleep_until(begun + moment).await;
            socket.outbox.end(Ending::WhenIdle(Close::GoingAway));
        }
        // Those that were let in while the others were being closed.
        for socket in self.hub.select(|socket| socket.outbox.ending().is_none()) {
            socket.outbox.end(Ending::WhenIdle(Close::GoingAway));
        }
        self.hub.emptied().await;
    }
}

/// Runs a gateway until `shutdown` says otherwise: at `drain` it turns unready, serves on for `drain-delay`, closes its
/// sockets over `drain-timeout` and returns; at `stop` it returns at once.
///
/// # Errors
/// A setting makes no sense, or the bus was closed.
pub async fn run(listeners: Listeners, config: Config, parts: Parts, shutdown: Shutdown) -> Result<()> {
    let stop = shutdown.stop.child_token();
    let _stop_all = stop.clone().drop_guard();
    files::make_room(config.max_connections);
    let gateway = Arc::new(Gateway::new(config, parts, stop.clone())?);
    let control = gateway.listen_to_control().await.context("the bus was closed")?;
    // Presence and the bus know it by the identifier.
    tracing::info!(pod = gateway.pod.name(), id = %gateway.pod, "the gateway starts");

    let tasks = TaskTracker::new();
    let control = Arc::new(Mutex::new(control));
    gateway.keep_up(&tasks, "control", move |gateway| gateway.heed_control(control.clone()));
    gateway.keep_up(&tasks, "bodies", |gateway| gateway.streams.clone().receive_bodies(gateway.pod.clone()));
    gateway.keep_up(&tasks, "heads", |gateway| gateway.streams.clone().receive_heads());
    gateway.keep_up(&tasks, "beat", beat::run);
    gateway.keep_up(&tasks, "health", health::run);
    gateway.keep_up(&tasks, "canary", canary::run);
    gateway.keep_up(&tasks, "keys", |gateway| async move {
        let _ = gateway.stop.run_until_cancelled(gateway.authenticator.keep_keys()).await;
    });
    let (public, management) = (http::router(gateway.clone()), management::router(gateway.clone()));
    let slowest_request = gateway.config.request_timeout;
    tasks.spawn(serve(listeners.public, public, Limits::public(slowest_request), stop.clone()));
    tasks.spawn(serve(listeners.management, management, Limits::management(), stop.clone()));
    tasks.close();

    tokio::select! {
        () = wind_down(&gateway, &shutdown) => (),
        () = stop.cancelled() => (),
    }
    let _ = gateway.presence.withdraw(&gateway.pod).await;
    stop.cancel();
    // A request of the administration may still be answered; nothing else takes long.
    let _ = timeout(Duration::from_secs(2), tasks.wait()).await;
    tracing::info!(pod = gateway.pod.name(), id = %gateway.pod, "the gateway has stopped");
    Ok(())
}

/// Returns when the pod was told to drain and has.
async fn wind_down(gateway: &Gateway, shutdown: &Shutdown) {
    shutdown.drain.cancelled().await;
    let common = &gateway.config.common;
    tracing::info!(delay = ?common.drain_delay, timeout = ?common.drain_timeout, "draining");
    gateway.health.drain();
    tokio::time::sleep(common.drain_delay).await;
    let most = common.drain_timeout + gateway.config.request_timeout + connection::CLOSE_PATIENCE;
    if timeout(most, gateway.drain()).await.is_err() {
        tracing::warn!(sockets = gateway.hub.len(), "some sockets did not close in time");
    }
}

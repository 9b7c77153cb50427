//! Serving HTTP to people whom nobody knows yet: how long they may take, and how many of them there may be.
//!
//! A connection counts as waiting from when it was accepted until it was upgraded or is over; longer when the handler takes its
//! [`Waiting`] out of the request and keeps it. What a client does not say in time costs it the connection, never a pod its
//! memory:
//!
//! | limit | beyond it |
//! | --- | --- |
//! | [`Limits::head`], for the whole head of a request, also the first after a pause | closed |
//! | [`Limits::waiting`], connections of the listener | the newest is closed at once |
//! | [`Limits::life`], until it is upgraded | no further request; what is not done after as long again is cut off |
//! | [`MAX_HEAD_BYTES`] | 431 |
//!
//! | metric | counts |
//! | --- | --- |
//! | `convene_http_waiting` `{listener}` | connections that wait |
//! | `convene_http_closed_total` `{listener,why}` | `slow`: the head was not there in time; `full`: too many waited; `old`: cut off |

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo, middleware::AddExtension, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use metrics::{counter, gauge};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_layer::Layer as _;

/// The request line and the headers of a request have at most so many bytes, and what came with the last of them in one read.
/// A session token has at most 16 KiB.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;

/// What a listener puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What metrics call it.
    pub listener: &'static str,
    /// A request's head is complete after so long.
    pub head: Duration,
    /// So many connections wait at once. With [`MAX_HEAD_BYTES`] this bounds their memory.
    pub waiting: usize,
    /// A connection is upgraded or over after so long; `None`: whoever calls is trusted to end.
    pub life: Option<Duration>,
}

impl Limits {
    /// For everybody: [`Limits::life`] is what the slowest request may take, and a minute.
    pub fn public(slowest_request: Duration) -> Self {
        let life = Duration::from_secs(60).saturating_add(slowest_request);
        Self { listener: "public", head: Duration::from_secs(10), waiting: 4096, life: Some(life) }
    }

    /// For operators, whose imports take long.
    pub fn management() -> Self {
        Self { listener: "management", head: Duration::from_secs(10), waiting: 256, life: None }
    }
}

/// A router that knows who is connected, and the place that he has.
type Service = TowerToHyperService<AddExtension<AddExtension<Router, ConnectInfo<SocketAddr>>, Waiting>>;

/// Serves until `stop`, and returns when what had been asked before is answered. Upgraded connections are not waited for.
pub async fn serve(mut listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.waiting));
    let connections = TaskTracker::new();
    // Accepting again after an error is the listener's business.
    while let Some((stream, peer)) = stop.run_until_cancelled(Listener::accept(&mut listener)).await {
        let Ok(place) = places.clone().try_acquire_owned() else {
            closed(&limits, "full");
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was lost as it was accepted");
        }
        let waiting = Waiting::new(place, limits);
        let service = Extension(ConnectInfo(peer)).layer(router.clone());
        let service = TowerToHyperService::new(Extension(waiting.clone()).layer(service));
        connections.spawn(converse(stream, service, limits, waiting, stop.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// A connection's place among those that wait, in the extensions of each of its requests. The connection counts until the last
/// copy is dropped: who keeps one goes on counting after the upgrade.
#[derive(Clone, Debug)]
pub struct Waiting(#[expect(dead_code, reason = "held, never looked at")] Arc<Place>);

#[derive(Debug)]
struct Place {
    listener: &'static str,
    _permit: OwnedSemaphorePermit,
}

impl Waiting {
    fn new(permit: OwnedSemaphorePermit, limits: Limits) -> Self {
        gauge!("convene_http_waiting", "listener" => limits.listener).increment(1);
        Self(Arc::new(Place { listener: limits.listener, _permit: permit }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        gauge!("convene_http_waiting", "listener" => self.listener).decrement(1);
    }
}

/// One connection, until it is upgraded or over.
async fn converse(stream: TcpStream, service: Service, limits: Limits, _waiting: Waiting, stop: CancellationToken) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD_BYTES);
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let aged = async {
        match limits.life {
            Some(life) => tokio::time::sleep(life).await,
            None => std::future::pending().await,
        }
    };
    let is_old = tokio::select! {
        ended = connection.as_mut() => return end(&limits, ended),
        () = stop.cancelled() => false,
        () = aged => true,
    };
    connection.as_mut().graceful_shutdown();
    match (is_old, limits.life) {
        (true, Some(life)) => match timeout(life, connection).await {
            Ok(ended) => end(&limits, ended),
            Err(_) => closed(&limits, "old"),
        },
        _ => end(&limits, connection.await),
    }
}

fn end(limits: &Limits, ended: hyper::Result<()>) {
    match ended {
        Err(error) if error.is_timeout() => closed(limits, "slow"),
        // Whoever hangs up or speaks no HTTP is nothing to tell of.
        Ok(()) | Err(_) => {}
    }
}

fn closed(limits: &Limits, why: &'static str) {
    counter!("convene_http_closed_total", "listener" => limits.listener, "why" => why).increment(1);
}

#[cfg(test)]
mod tests;

//! Everything before an upgrade is accepted: the token, room, `user_info`, the claim. In that order.
//!
//! | excess | outcome |
//! | --- | --- |
//! | no valid token | 401, before anybody is asked |
//! | more than [`HANDSHAKES`] at once | waits 2 s for a place, then 503 |
//! | more sockets than `max-connections` | 503; those of the last place that came at the same moment: accepted, 4013 |
//! | workers or presence that do not answer | 503 |
//!
//! Every 503 has a Retry-After of 1 to 5 s. A client that sees no status is accepted and closed instead, with the code that
//! [`Refusal::close`] says; of these there are [`CLOSED_REFUSALS`] at once, and the others get the status.
//!
//! | metric | counts |
//! | --- | --- |
//! | `convene_handshakes` | those that run |
//! | `convene_upgrades_refused_total` `{why}` | upgrades that were not let in, by status or by close code; of calendar files 401 and 503. Why it was 401: [`Refusals`](crate::auth::Refusals) |

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::http::HeaderMap;
use metrics::{counter, gauge};
use serde_json::value::RawValue;
use shared::{
    api::{Close, Code, Error},
    internal::{Connect, Connected, Control, Partition, Position, Session},
    presence::{Claim, Place},
};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway,
    auth::{Refused, Unauthorized, Verified, token_of},
    hub::{Registered, Socket},
    outbox::Ending,
    transport::Protocol,
};

/// A handshake waits so long for one of the places; then it is 503.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(2);

/// How many handshakes run at once on a pod. The workers behind them are the same ones that serve requests.
pub const HANDSHAKES: usize = 64;

/// So many connections at once are told by a close code why they are not let in. Each lasts 4 s at most.
pub const CLOSED_REFUSALS: usize = 256;

/// A socket's life is bounded: a timer further away than this is as good as none.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A client that may open its socket.
#[derive(Debug)]
pub struct Admitted {
    registered: Option<Registered>,
    gateway: Arc<Gateway>,
    /// What the client is told first; nothing when its version is not supported.
    pub welcome: Option<Welcome>,
    /// The client's version is new enough.
    pub is_supported: bool,
    /// When its token expires.
    pub expires_at: Instant,
    /// The last event that the client has, as it says.
    pub last_event_id: Option<String>,
}

/// What a client is told first, and from where its events go on.
#[derive(Debug)]
pub struct Welcome {
    /// The `data` of `user_info`.
    pub user_info: Box<RawValue>,
    /// The partition of its network.
    pub partition: Partition,
    /// The head of its network.
    pub head: Position,
}

impl Admitted {
    /// The socket.
    pub fn socket(&self) -> &Arc<Socket> {
        &self.registered.as_ref().expect("taken only when dropped").socket
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some(registered) = self.registered.take() else { return };
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            let entry = registered.socket.entry(&gateway.pod);
            if let Err(error) = gateway.presence.release(vec![entry]).await {
                // It expires.
                tracing::debug!(%error, "a session's entry was not released");
            }
            // A drain waits for the hub to be empty: only now may the process end.
            drop(registered);
        });
    }
}

/// Why an upgrade is refused.
#[derive(Debug)]
pub enum Refusal {
    /// 401: no valid session.
    Unauthorized,
    /// 503: the pod has all the sockets it takes.
    Full,
    /// 503: not now, not here.
    Unavailable(&'static str),
}

impl Refusal {
    /// The close code that tells it to a client that sees no status.
    pub fn close(&self) -> Close {
        match self {
            Self::Unauthorized => Close::Expired,
            Self::Full => Close::Full,
            Self::Unavailable(_) => Close::GoingAway,
        }
    }
}

/// What a client says of itself beside its token.
#[derive(Debug, Default)]
pub struct Hello {
    /// Its version, if it states one.
    pub client_version: Option<String>,
    /// The last event that it has.
    pub last_event_id: Option<String>,
}

/// Checks the token of an HTTP request.
///
/// # Errors
/// [`Refusal::Unauthorized`]; [`Refusal::Unavailable`] when the key that it would be checked with can not be read.
pub async fn authenticate(gateway: &Gateway, headers: &HeaderMap, query: Option<&str>) -> Result<Verified, Refusal> {
    let verified = match token_of(headers, query) {
        Some(token) => gateway.authenticator.authenticate(&token, SystemTime::now()).await,
        None => Err(Unauthorized::NoToken.into()),
    };
    verified.map_err(|refused| {
        gateway.refusals.note(&refused);
        match refused.reason {
            Unauthorized::KeysAway => Refusal::Unavailable("tokens can not be checked now"),
            _ => Refusal::Unauthorized,
        }
    })
}

/// A worker's 401: its reason is for whoever runs this.
pub fn refused_by_worker(gateway: &Gateway, session: &Session, message: &str) -> Refusal {
    gateway.refusals.note(&Refused::by_worker(message, &session.network));
    Refusal::Unauthorized
}

/// Lets a client in, or not. `given_up`: the client has gone away. Once the claim is begun this runs to its end all the same: a
/// claim half made would be nobody's.
///
/// # Errors
/// See [`Refusal`].
pub async fn admit(
    gateway: Arc<Gateway>,
    verified: Verified,
    hello: Hello,
    protocol: &'static dyn Protocol,
    given_up: CancellationToken,
) -> Result<Admitted, Refusal> {
    let _handshake = Handshake::begin(&gateway).await?;
    if !gateway.takes_sockets() {
        return Err(Refusal::Unavailable("the pod is going away"));
    }
    if !gateway.hub.has_room() {
        return Err(Refusal::Full);
    }
    let connected = connect(&gateway, &verified).await?;
    // This pod, or the way to the workers, may have been stuck: meanwhile the client has opened a socket elsewhere, with a lower
    // fence. It would be told that a newer one took its place, and stop.
    if given_up.is_cancelled() {
        return Err(Refusal::Unavailable("the client has gone"));
    }

    let Connected { user_info, partition, epoch, head, fence } = connected;
    let socket = Arc::new(Socket::new(
        gateway.hub.next_id(),
        verified.session,
        fence,
        epoch.into(),
        chrono::Utc::now().timestamp_millis(),
        protocol,
        gateway.config.max_outbox_bytes,
    ));
    let is_supported = gateway.supports(hello.client_version.as_deref());
    let life = verified.expires_at.duration_since(SystemTime::now()).unwrap_or_default().min(FOREVER);
    let admitted = Admitted {
        // Known before it is claimed: a newer socket that claims in between must find it.
        registered: Some(gateway.hub.register(socket.clone())),
        gateway: gateway.clone(),
        welcome: is_supported.then_some(Welcome { user_info, partition, head }),
        is_supported,
        expires_at: Instant::now() + life,
        last_event_id: hello.last_event_id,
    };
    if !gateway.takes_sockets() {
        // The drain may have closed the last socket that it knew of before this one was known.
        socket.outbox.end(Ending::WhenIdle(Close::GoingAway));
    }
    if socket.outbox.ending().is_some() {
        // Its pod is full or goes away: it is told so, and takes nothing from a socket that the session has elsewhere.
        return Ok(admitted);
    }
    match gateway.presence.claim(socket.entry(&gateway.pod)).await {
        Ok(claim) => {
            gateway.outages.claims.worked();
            match claim {
                Claim::Granted(None) => (),
                Claim::Granted(Some(before)) => replace(&gateway, &before, &socket).await,
                Claim::Refused => socket.end(Close::Replaced),
            }
        }
        Err(error) => {
            if let Some(seconds) = gateway.outages.claims.failed(&error) {
                tracing::warn!(%error, seconds, "sessions can not be claimed");
            }
            return Err(Refusal::Unavailable("presence is away"));
        }
    }
    Ok(admitted)
}

/// One of the places for handshakes, given back when dropped.
struct Handshake<'a> {
    _place: SemaphorePermit<'a>,
}

impl<'a> Handshake<'a> {
    async fn begin(gateway: &'a Gateway) -> Result<Self, Refusal> {
        match timeout(HANDSHAKE_PATIENCE, gateway.handshakes.acquire()).await {
            Ok(Ok(_place)) => {
                gauge!("convene_handshakes").increment(1);
                Ok(Self { _place })
            }
            _ => Err(Refusal::Unavailable("too many handshakes at once")),
        }
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        gauge!("convene_handshakes").decrement(1);
    }
}

async fn connect(gateway: &Gateway, verified: &Verified) -> Result<Connected, Refusal> {
    let request = Connect { session: verified.session.clone(), claims: verified.claims.clone() };
    let outage = &gateway.outages.lookups;
    match gateway.workers.ask(&request).await {
        Ok(connected) => {
            outage.worked();
            Ok(connected)
        }
        Err(Error { code: Code::Unauthorized, message }) => {
            Err(refused_by_worker(gateway, &verified.session, &message))
        }
        Err(Error { code, message }) => {
            if let Some(seconds) = outage.failed(&message) {
                tracing::warn!(code = code.number(), %message, seconds, "sessions can not be looked up");
            }
            Err(Refusal::Unavailable("sessions can not be looked up now"))
        }
    }
}

/// Tells the pod that had the session that a newer socket has it. When that is lost, its beat finds out; when that pod is gone,
/// nobody hears it: another start of its name has another address.
async fn replace(gateway: &Gateway, before: &Place, newer: &Socket) {
    counter!("convene_sessions_replaced_total").increment(1);
    if before.pod == gateway.pod {
        gateway.close_replaced(before.socket, Some(&newer.session), newer.fence);
        return;
    }
    let session = Some(newer.session.clone());
    let control = Control::Replaced { socket: before.socket, session, fence: newer.fence };
    let outage = &gateway.outages.replacements;
    match gateway.tell(&before.pod, &control).await {
        Ok(()) => drop(outage.worked()),
        Err(error) => {
            if let Some(seconds) = outage.failed(&error) {
                tracing::warn!(%error, seconds, "replaced sockets are closed only by the next beat");
            }
        }
    }
}

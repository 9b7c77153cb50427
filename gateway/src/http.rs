//! The public listener.

use std::sync::Arc;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use metrics::counter;
use shared::{
    api::{self, Code, Error},
    http::Waiting,
    telemetry::{self, TRACE_ONLY},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, field::Empty, info_span};

use crate::{
    Gateway,
    admission::{Hello, Refusal, admit, authenticate},
    connection, download,
    handshake::Handshake,
    origins::cors,
};

/// Who is not let in has nothing to say: a frame of more bytes is dropped unread.
const REFUSED_FRAME_BYTES: usize = 1024;

/// The routes for clients.
pub fn router(gateway: Arc<Gateway>) -> Router {
    // What pages of other origins may read.
    let readable = Router::new()
        .route("/api/v0/resource/sessionInvitation/{session_id}", get(download::invitation))
        .route_layer(middleware::from_fn_with_state(gateway.clone(), cors));
    Router::new()
        .route("/ws", any(web_socket))
        .merge(readable)
        .layer(middleware::from_fn(traced))
        .fallback(not_found)
        .with_state(gateway)
}

/// A trace of a request of somebody's who has no socket yet; of an upgrade it ends with the answer.
async fn traced(route: MatchedPath, request: Request, next: Next) -> Response {
    let span = info_span!(
        target: TRACE_ONLY,
        "http",
        otel.name = format!("{} {}", request.method(), route.as_str()),
        otel.kind = "server",
        code = Empty,
        otel.status_code = Empty
    );
    let response = next.run(request).instrument(span.clone()).await;
    telemetry::record_code(&span, response.status().as_u16());
    response
}

async fn web_socket(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let parameter = |name| {
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let heartbeat = parameter("heartbeat");
    let handshake = match Handshake::read(&mut parts, heartbeat.as_deref(), &gateway.config.allowed_origins) {
        Ok(handshake) => handshake,
        Err(bad) => return bad.into_response(),
    };
    let version = parts.headers.get("x-client-version");
    let version = version.map(|version| String::from_utf8_lossy(version.as_bytes()).into_owned());
    let hello = Hello {
        client_version: version.or_else(|| parameter("clientVersion")),
        last_event_id: parameter("lastEventId"),
    };
    let admitted = async {
        let verified = authenticate(&gateway, &parts.headers, parts.uri.query()).await?;
        // Dropped with this future, when the connection breaks before its answer.
        let given_up = CancellationToken::new();
        let _waiting = given_up.clone().drop_guard();
        let admission = admit(gateway.clone(), verified, hello, handshake.protocol, given_up).in_current_span();
        tokio::spawn(admission).await.map_err(|_| Refusal::Unavailable("the pod is stopping"))?
    };
    match admitted.await {
        Ok(admitted) => {
            let most = gateway.config.max_frame_bytes;
            handshake.upgrade.accept(most, move |reader, writer| connection::run(reader, writer, gateway, admitted))
        }
        Err(refusal) => refuse(&gateway, handshake, refusal, parts.extensions.remove()),
    }
}

/// Answers an upgrade that is not let in: by the status, or where its client sees none, by closing the WebSocket at once. That
/// claims nothing; `waiting` goes on counting, and beyond [`CLOSED_REFUSALS`](crate::admission::CLOSED_REFUSALS) at once it is
/// the status again.
fn refuse(gateway: &Gateway, handshake: Handshake, refusal: Refusal, waiting: Option<Waiting>) -> Response {
    let place = handshake.sees_no_status.then(|| gateway.closings.clone().try_acquire_owned());
    let Some(Ok(place)) = place else { return refusal.into_response() };
    refusal.count();
    let (protocol, close) = (handshake.protocol, refusal.close());
    handshake.upgrade.accept(REFUSED_FRAME_BYTES, move |reader, writer| async move {
        Box::pin(connection::hang_up(writer, reader, protocol, close)).await;
        drop((place, waiting));
    })
}

async fn not_found() -> Response {
    failure(StatusCode::NOT_FOUND, &Error::new(Code::NotFound, "no such resource"))
}

/// An HTTP answer with the error envelope as JSON.
pub fn failure(status: StatusCode, error: &Error) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], api::failure_body(error)).into_response()
}

/// The HTTP status of an error is its code.
pub fn failed(error: &Error) -> Response {
    let status = StatusCode::from_u16(error.code.number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    failure(status, error)
}

impl Refusal {
    fn why(&self) -> &'static str {
        match self {
            Self::Unauthorized => "no valid session",
            Self::Full => "the pod is full",
            Self::Unavailable(why) => why,
        }
    }

    fn count(&self) {
        counter!("convene_upgrades_refused_total", "why" => self.why()).increment(1);
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.count();
        let why = self.why();
        match self {
            Self::Unauthorized => failure(StatusCode::UNAUTHORIZED, &Error::new(Code::Unauthorized, why)),
            Self::Full | Self::Unavailable(_) => {
                let mut response = failure(StatusCode::SERVICE_UNAVAILABLE, &Error::new(Code::Unavailable, why));
                // Those who were refused together do not come back together.
                let seconds = HeaderValue::from(rand::random_range(1..=5_u16));
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
                response
            }
        }
    }
}

//! The public listener.

use std::sync::Arc;

use axum::{
    Router,
    extract::{MatchedPath, Query, RawQuery, Request, State, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics::counter;
use shared::{
    api::{self, Code, Error},
    telemetry::{self, TRACE_ONLY},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, field::Empty, info_span};

use crate::{
    Gateway,
    admission::{Hello, Refusal, admit, authenticate},
    connection, download,
    transport::websocket::Plain,
    wire::Upgrade,
};

/// The routes for clients.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/ws", get(web_socket))
        .route("/api/v0/resource/sessionInvitation/{session_id}", get(download::invitation))
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

async fn web_socket(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Query(parameters): Query<Vec<(String, String)>>,
    upgrade: Result<Upgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let verified = authenticate(&gateway, &headers, query.as_deref()).await?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    let parameter = |name| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let version =
        headers.get("x-client-version").map(|version| String::from_utf8_lossy(version.as_bytes()).into_owned());
    let hello = Hello {
        client_version: version.or_else(|| parameter("clientVersion")),
        last_event_id: parameter("lastEventId"),
    };
    // Dropped with this future, when the connection breaks before its answer.
    let given_up = CancellationToken::new();
    let _waiting = given_up.clone().drop_guard();
    let admission = admit(gateway.clone(), verified, hello, &Plain, given_up).in_current_span();
    let admission = tokio::spawn(admission);
    let admitted = admission.await.map_err(|_| Refusal::Unavailable("the pod is stopping"))??;
    let most = gateway.config.max_frame_bytes;
    Ok(upgrade.accept(most, move |reader, writer| connection::run(reader, writer, gateway, admitted)))
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

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let why = match self {
            Self::Unauthorized => "no valid session",
            Self::Unavailable(why) => why,
        };
        counter!("convene_upgrades_refused_total", "why" => why).increment(1);
        match self {
            Self::Unauthorized => failure(StatusCode::UNAUTHORIZED, &Error::new(Code::Unauthorized, why)),
            Self::Unavailable(_) => {
                let mut response = failure(StatusCode::SERVICE_UNAVAILABLE, &Error::new(Code::Unavailable, why));
                // Those who were refused together do not come back together.
                let seconds = HeaderValue::from(rand::random_range(1..=5_u16));
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
                response
            }
        }
    }
}

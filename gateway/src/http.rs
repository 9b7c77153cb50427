//! The public listener.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::{
        Query, RawQuery, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt as _,
};
use shared::api::{self, Code, Error};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway,
    admission::{Hello, Refusal, admit, authenticate},
    connection, download,
    transport::websocket::Plain,
};

/// A socket reads through a buffer of so many bytes. What axum takes by default, 128 KiB, would be most of a socket's memory.
const READ_BUFFER: usize = 1024;

/// The largest frame that a worker's answer can become, and room for control frames.
const MAX_WRITE_BUFFER: usize = 2 * 1024 * 1024;

/// A frame somewhat over the limit is still read, so that its sender hears 1009 rather than a reset.
const FRAME_SLACK: usize = 256 * 1024;

/// The routes for clients.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/ws", get(web_socket))
        .route("/api/v0/resource/sessionInvitation/{session_id}", get(download::invitation))
        .fallback(not_found)
        .with_state(gateway)
}

/// Serves until `stop`.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was lost as it was accepted");
        }
    });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn web_socket(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Query(parameters): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
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
    let admission = tokio::spawn(admit(gateway.clone(), verified, hello, &Plain, given_up));
    let admitted = admission.await.map_err(|_| Refusal::Unavailable("the pod is stopping"))??;
    let max_frame_bytes = gateway.config.max_frame_bytes + FRAME_SLACK;
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_frame_size(max_frame_bytes)
        .max_message_size(max_frame_bytes)
        .on_upgrade(move |web_socket| connection::run(web_socket, gateway, admitted)))
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
        match self {
            Self::Unauthorized => {
                failure(StatusCode::UNAUTHORIZED, &Error::new(Code::Unauthorized, "no valid session"))
            }
            Self::Unavailable(why) => {
                let mut response = failure(StatusCode::SERVICE_UNAVAILABLE, &Error::new(Code::Unavailable, why));
                // Those who were refused together do not come back together.
                let seconds = HeaderValue::from(rand::random_range(1..=5_u16));
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
                response
            }
        }
    }
}

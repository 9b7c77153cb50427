//! Administration: feeding the directory in, resetting networks, revoking sessions, looking at presence.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /admin/directory` | `{"applied", "errors"}` |
//! | `POST /admin/networks/{id}/reset` | `{"closed"}` |
//! | `POST /admin/sessions/{sid}/revoke` | `{"closed"}` |
//! | `GET /admin/users/{id}/presence` | `{"sessions": [{"sid", "network", "pod", "since"}]}` |

mod directory;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::DateTime;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::{
    api::{Code, Error, Timestamp},
    internal::{Closed, Control, ResetNetwork, RevokeSession},
};
use subtle::{Choice, ConstantTimeEq as _};

use crate::{
    Gateway,
    http::{failed, failure},
};

/// The routes below `/admin`, all behind the administration token.
pub fn router(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    Router::new()
        .route("/directory", post(import))
        .route("/networks/{id}/reset", post(reset))
        .route("/sessions/{sid}/revoke", post(revoke))
        .route("/users/{id}/presence", get(presence))
        .layer(middleware::from_fn_with_state(gateway.clone(), authorize))
}

async fn authorize(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let Some(tokens) = &gateway.config.admin_token else {
        return failure(
            StatusCode::NOT_FOUND,
            &Error::new(Code::NotFound, "administration is off: admin-token is not set"),
        );
    };
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    if !given.starts_with(b"Bearer ") {
        let missing = "no administration token: it is sent as Authorization: Bearer and the token";
        return failure(StatusCode::UNAUTHORIZED, &Error::new(Code::Unauthorized, missing));
    }
    // Digests, which are of one length: otherwise the time would tell the token's. Each is looked at, whichever is right.
    let given = Sha256::digest(given);
    let is_one = |token: &str| given.ct_eq(&Sha256::digest(format!("Bearer {token}")));
    let is_good = tokens.all().map(is_one).fold(Choice::from(0), |one, other| one | other);
    if bool::from(is_good) {
        next.run(request).await
    } else {
        failure(StatusCode::UNAUTHORIZED, &Error::new(Code::Unauthorized, "not the administration token"))
    }
}

async fn import(State(gateway): State<Arc<Gateway>>, body: Body) -> Response {
    directory::import(&gateway.workers, body).await.into_response()
}

async fn reset(State(gateway): State<Arc<Gateway>>, Path(network): Path<String>) -> Result<Json<Closed>, AdminError> {
    let reset = gateway.workers.ask(&ResetNetwork { network: network.clone() }).await?;
    tracing::info!(network, "the network was reset");
    tell(&gateway, &Control::NetworkReset { network, epoch: reset.epoch }).await
}

async fn revoke(State(gateway): State<Arc<Gateway>>, Path(sid): Path<String>) -> Result<Json<Closed>, AdminError> {
    gateway.workers.ask(&RevokeSession { sid: sid.clone() }).await?;
    tracing::info!(sid, "the session was revoked");
    tell(&gateway, &Control::Revoked { sid }).await
}

/// What was written is in force; pods that do not hear it now find out at their next beat.
async fn tell(gateway: &Gateway, control: &Control) -> Result<Json<Closed>, AdminError> {
    let closed = gateway.tell_all(control).await.map_err(|error| Error::new(Code::Unavailable, error.to_string()))?;
    Ok(Json(Closed { closed }))
}

#[derive(Serialize)]
struct UserPresence {
    sessions: Vec<SessionPresence>,
}

#[derive(Serialize)]
struct SessionPresence {
    sid: String,
    network: String,
    pod: String,
    since: Timestamp,
}

async fn presence(
    State(gateway): State<Arc<Gateway>>,
    Path(user): Path<String>,
) -> Result<Json<UserPresence>, AdminError> {
    let entries = gateway.presence.sessions_of(&user).await;
    let entries = entries.map_err(|error| Error::new(Code::Unavailable, error.to_string()))?;
    let sessions = entries
        .into_iter()
        .map(|entry| SessionPresence {
            sid: entry.session.sid,
            network: entry.session.network,
            pod: entry.place.pod.name().to_owned(),
            since: DateTime::from_timestamp_millis(entry.place.since_ms).map(Timestamp::from).unwrap_or_default(),
        })
        .collect();
    Ok(Json(UserPresence { sessions }))
}

/// A failure of the administration: the HTTP status is the code.
struct AdminError(Error);

impl From<Error> for AdminError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        failed(&self.0)
    }
}

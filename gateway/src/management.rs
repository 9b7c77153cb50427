//! The management listener: health, metrics, what is logged; administration is `admin`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics::gauge;

use crate::{Gateway, admin};

/// The routes for operators.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(shared::telemetry::control::router())
        .nest("/admin", admin::router(&gateway))
        .with_state(gateway)
}

/// Says that the process runs. Looks at nothing else: a restart would not mend a dependency.
async fn live() -> &'static str {
    "ok"
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let report = gateway.health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    gauge!("convene_ready").set(f64::from(u8::from(gateway.health.report().ready)));
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (text, gateway.metrics.render()).into_response()
}

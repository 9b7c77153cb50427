//! The management listener: `/livez`, `/readyz`, `/metrics`, `/log`.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use metrics::gauge;
use shared::metrics::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    database::Pool,
    readiness::{Report, Stage},
};

/// What the routes show.
#[derive(Clone)]
pub(crate) struct Management {
    pub(crate) metrics: Metrics,
    pub(crate) reports: watch::Receiver<Report>,
    pub(crate) is_serving: watch::Receiver<bool>,
    pub(crate) drain: CancellationToken,
    pub(crate) pool: Pool,
}

impl Management {
    fn stage(&self) -> Stage {
        if self.drain.is_cancelled() {
            Stage::Draining
        } else if *self.is_serving.borrow() {
            Stage::Serving
        } else {
            Stage::Waiting
        }
    }

    /// Sets what is known at any time, so that it is right when it is asked for.
    fn count(&self) {
        let report = self.reports.borrow().clone();
        let number = |is_good: bool| f64::from(u8::from(is_good));
        gauge!("convene_ready").set(number(report.is_ready(self.stage())));
        for (dependency, is_good) in report.dependencies() {
            gauge!("convene_dependency_up", "dependency" => dependency).set(number(is_good));
        }
        let pool = self.pool.status();
        gauge!("convene_database_connections", "state" => "idle").set(pool.available as f64);
        gauge!("convene_database_connections", "state" => "busy").set(pool.size.saturating_sub(pool.available) as f64);
        gauge!("convene_database_connections_limit").set(pool.max_size as f64);
    }
}

/// The routes for operators.
pub(crate) fn router(management: Management) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(shared::telemetry::control::router())
        .with_state(management)
}

/// Says that the process runs. Looks at nothing else: a restart would not mend a dependency.
async fn live() -> &'static str {
    "ok"
}

async fn ready(State(management): State<Management>) -> impl IntoResponse {
    let stage = management.stage();
    let report = management.reports.borrow().clone();
    let status = if report.is_ready(stage) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report.to_json(stage)))
}

async fn metrics(State(management): State<Management>) -> impl IntoResponse {
    management.count();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], management.metrics.render())
}

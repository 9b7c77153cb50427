//! What is logged, over HTTP: `GET /log` shows the filter, `PUT /log` with another one as its body changes it.
//!
//! Only for whoever is on the machine, or in the pod: a debug log is large, and the listener serves a network.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit},
    http::StatusCode,
    routing::get,
};

use super::{log_filter, set_log_filter};

/// The longest filter, in bytes.
const LONGEST: usize = 4096;

/// What went wrong, as text.
type Refusal = (StatusCode, String);

/// The route, for a listener of [`crate::http::serve`].
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/log", get(show).put(change)).layer(DefaultBodyLimit::max(LONGEST))
}

async fn show(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Result<String, Refusal> {
    check(peer)?;
    log_filter().ok_or_else(|| (StatusCode::NOT_FOUND, "nothing is logged here".to_owned()))
}

async fn change(ConnectInfo(peer): ConnectInfo<SocketAddr>, filter: String) -> Result<String, Refusal> {
    check(peer)?;
    set_log_filter(&filter).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error:#}")))?;
    Ok(log_filter().unwrap_or_default())
}

fn check(peer: SocketAddr) -> Result<(), Refusal> {
    if peer.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, "only for whoever is on the machine".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_on_the_machine_may() {
        for peer in ["127.0.0.1:5", "127.8.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            check(peer.parse().expect("an address")).expect(peer);
        }
        for peer in ["10.0.0.7:5", "[2001:db8::1]:5", "[::ffff:10.0.0.7]:5", "0.0.0.0:5"] {
            assert_eq!(check(peer.parse().expect("an address")).expect_err(peer).0, StatusCode::FORBIDDEN);
        }
    }
}

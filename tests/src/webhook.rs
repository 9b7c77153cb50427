//! Somebody on loopback to whom messages are posted, and who keeps them.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// What was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The header `X-Convene-Signature`.
    pub signature: String,
    /// The header `Content-Type`.
    pub content_type: String,
    /// As it was sent.
    pub body: String,
    /// What was answered.
    pub status: u16,
}

/// The server.
#[derive(Debug)]
pub struct Webhook {
    address: SocketAddr,
    state: Arc<Kept>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    posted: Mutex<Vec<Posted>>,
    statuses: Mutex<VecDeque<u16>>,
}

impl Webhook {
    /// A server that listens.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<Kept>::default();
        let routes = Router::new().route("/sms", post(keep)).with_state(state.clone());
        let task = tokio::spawn(async move {
            // Ends with the test.
            let _ = axum::serve(listener, routes).await;
        });
        Self { address, state, task }
    }

    /// Where to post.
    pub fn url(&self) -> String {
        format!("http://{}/sms?key=hunter2", self.address)
    }

    /// What the next one is answered, instead of 204; several in order.
    ///
    /// # Panics
    /// Never.
    pub fn answer(&self, status: u16) {
        self.state.statuses.lock().expect("no panic").push_back(status);
    }

    /// What was posted so far.
    ///
    /// # Panics
    /// Never.
    pub fn posted(&self) -> Vec<Posted> {
        self.state.posted.lock().expect("no panic").clone()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(State(state): State<Arc<Kept>>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let status = state.statuses.lock().expect("no panic").pop_front().unwrap_or(204);
    state.posted.lock().expect("no panic").push(Posted {
        signature: header("x-convene-signature"),
        content_type: header("content-type"),
        body,
        status,
    });
    StatusCode::from_u16(status).expect("a status")
}

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::Response,
    routing::{any, get},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use super::*;
use crate::metrics::Metrics;

/// So long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Limits that only the clock of a test could reach.
fn generous(listener: &'static str) -> Limits {
    Limits { listener, head: PATIENCE, waiting: 100, life: None }
}

/// A listener that answers `/` at once, `/slow` when it is told to and `/never`; `/upgrade` echoes from then on, and so does
/// `/kept`, which goes on counting.
struct Server {
    address: SocketAddr,
    metrics: Metrics,
    limits: Limits,
    go_on: Arc<Notify>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(limits: Limits) -> Server {
    let metrics = Metrics::install().expect("one recorder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (go_on, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let told = go_on.clone();
    let slow = async move || {
        told.notified().await;
        "slow"
    };
    let router = Router::new()
        .route("/", get("good"))
        .route("/slow", get(slow))
        .route("/never", get(std::future::pending::<()>))
        .route("/upgrade", any(upgrade))
        .route("/kept", any(upgrade_that_waits_on));
    let task = tokio::spawn(serve(listener, router, limits, stop.clone()));
    Server { address, metrics, limits, go_on, stop, task }
}

async fn upgrade(request: Request) -> Response {
    echo(request, None)
}

async fn upgrade_that_waits_on(mut request: Request) -> Response {
    let waiting = request.extensions_mut().remove::<Waiting>();
    assert!(waiting.is_some(), "every request has its connection's place");
    echo(request, waiting)
}

fn echo(request: Request, waiting: Option<Waiting>) -> Response {
    tokio::spawn(async move {
        let _waiting = waiting;
        let upgraded = hyper::upgrade::on(request).await.expect("an upgrade");
        let (mut reading, mut writing) = tokio::io::split(TokioIo::new(upgraded));
        tokio::io::copy(&mut reading, &mut writing).await
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "echo")
        .body(Body::empty())
        .expect("a response")
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    /// How often a connection was closed for this reason.
    fn closed(&self, why: &str) -> usize {
        let of = format!("convene_http_closed_total{{listener=\"{}\",why=\"{why}\"}} ", self.limits.listener);
        self.number(&of)
    }

    fn waiting(&self) -> usize {
        self.number(&format!("convene_http_waiting{{listener=\"{}\"}} ", self.limits.listener))
    }

    fn number(&self, of: &str) -> usize {
        let page = self.metrics.render();
        page.lines().find_map(|line| line.strip_prefix(of)?.parse().ok()).unwrap_or_default()
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("waited in vain");
    }
}

/// Everything until the other side closes; a reset is a close.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("waited in vain for the end");
    String::from_utf8(bytes).expect("text")
}

async fn answer(stream: &mut TcpStream, body: &str) {
    let mut text = String::new();
    while !text.ends_with(body) {
        let mut bytes = [0; 1024];
        let count = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("waited in vain").expect("an answer");
        assert_ne!(count, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..count]).expect("text"));
    }
}

#[tokio::test]
async fn who_does_not_finish_a_head_in_time_is_closed() {
    let server = start(Limits { head: Duration::from_millis(100), ..generous("slow heads") }).await;
    for begun in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: x\r\nx-endless: "] {
        assert_eq!(rest(&mut server.send(begun).await).await, "", "{begun:?}");
    }
    assert_eq!(server.closed("slow"), 4);
    // A byte now and then does not help.
    let mut dripping = server.connect().await;
    let drip = async {
        while dripping.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, drip).await.expect("it is closed");
    server.until(|server| server.closed("slow") == 5).await;
    // Nor does a good request before.
    let mut again = server.send(GET).await;
    assert!(rest(&mut again).await.ends_with("good"));
    server.until(|server| server.waiting() == 0).await;
}

#[tokio::test]
async fn beyond_so_many_that_wait_the_newest_is_closed() {
    let server = start(Limits { waiting: 3, ..generous("many") }).await;
    let waiting = [server.send("GET /").await, server.connect().await, server.send(GET).await];
    server.until(|server| server.waiting() == 3).await;
    for n in 1..=5 {
        assert_eq!(rest(&mut server.connect().await).await, "");
        assert_eq!(server.closed("full"), n);
    }
    let [first, mut second, _] = waiting;
    drop(first);
    server.until(|server| server.waiting() == 2).await;
    answer(&mut server.send(GET).await, "good").await;
    second.write_all(GET.as_bytes()).await.expect("it was not the newest");
    answer(&mut second, "good").await;
}

#[tokio::test]
async fn who_is_upgraded_does_not_wait_any_more_nor_grow_old() {
    let life = Some(Duration::from_millis(200));
    let server = start(Limits { waiting: 1, life, ..generous("upgraded") }).await;
    let mut upgraded = Vec::new();
    for _ in 0..3 {
        let request = "GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        let mut stream = server.send(request).await;
        answer(&mut stream, "\r\n\r\n").await;
        server.until(|server| server.waiting() == 0).await;
        upgraded.push(stream);
    }
    // One that was not grows old meanwhile.
    assert!(rest(&mut server.send(GET).await).await.ends_with("good"));
    for mut stream in upgraded {
        stream.write_all(b"still here").await.expect("open");
        answer(&mut stream, "still here").await;
    }
}

#[tokio::test]
async fn who_keeps_a_place_counts_as_waiting_after_the_upgrade_until_the_end() {
    let server = start(Limits { waiting: 1, ..generous("kept") }).await;
    let request = "GET /kept HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let mut kept = server.send(request).await;
    answer(&mut kept, "\r\n\r\n").await;
    kept.write_all(b"upgraded").await.expect("open");
    answer(&mut kept, "upgraded").await;
    assert_eq!(server.waiting(), 1);
    assert_eq!(rest(&mut server.send(GET).await).await, "", "there is one place");
    assert_eq!(server.closed("full"), 1);
    drop(kept);
    server.until(|server| server.waiting() == 0).await;
    answer(&mut server.send(GET).await, "good").await;
}

#[tokio::test]
async fn who_is_not_upgraded_in_time_is_cut_off() {
    let server = start(Limits { life: Some(Duration::from_millis(100)), ..generous("old") }).await;
    assert_eq!(rest(&mut server.send("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await).await, "");
    assert_eq!(server.closed("old"), 1);
    // Whoever sends requests and reads no answers.
    let mut deaf = server.connect().await;
    let flood = async { while deaf.write_all(GET.repeat(100).as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("it is closed");
    server.until(|server| server.waiting() == 0).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let server = start(generous("large")).await;
    let head = |bytes: usize| format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(bytes));
    answer(&mut server.send(&head(MAX_HEAD_BYTES - 100)).await, "good").await;
    // To the byte it is as much as came in one read.
    let refused = rest(&mut server.send(&head(3 * MAX_HEAD_BYTES)).await).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    let endless = format!("GET /{} HTTP/1.1\r\n", "x".repeat(3 * MAX_HEAD_BYTES));
    let refused = rest(&mut server.send(&endless).await).await;
    assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
}

#[tokio::test]
async fn at_the_end_what_was_asked_is_answered_and_nobody_else_is_waited_for() {
    let server = start(generous("end")).await;
    let mut asking = server.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut silent = server.connect().await;
    server.until(|server| server.waiting() == 2).await;
    server.stop.cancel();
    assert_eq!(rest(&mut silent).await, "");
    server.go_on.notify_one();
    assert!(rest(&mut asking).await.ends_with("slow"));
    timeout(PATIENCE, server.task).await.expect("it ends").expect("no panic");
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
}

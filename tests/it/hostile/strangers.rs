//! People who never say what they want, and secrets that can be guessed.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures::future::join_all;
use harness::{Stack, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The head of a request is complete within this, or the connection is closed.
const HEAD: Duration = Duration::from_secs(10);

/// Sends what is no whole head, a byte now and then after it when it drips, and waits until it is closed.
async fn stall(address: SocketAddr, begun: &str, drips: bool) -> Duration {
    let since = Instant::now();
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(begun.as_bytes()).await.expect("sent");
    let drip = async {
        while drips && writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        // A reset is a close.
        _ = timeout(3 * HEAD, reading.read_to_end(&mut answer)) => {}
        () = drip => {}
    }
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    since.elapsed()
}

#[tokio::test]
async fn who_does_not_say_what_he_wants_within_ten_seconds_is_closed_by_every_listener() {
    let stack = Stack::builder().processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    let gateway = &stack.gateways[0];
    let addresses = [gateway.public, gateway.management, stack.workers[0].management];
    let begun = ["", "GET /ws HTTP/1.1\r\nhost: x\r\nx: ", "GET /livez HTTP/1.1\r\n"];
    let stalls = addresses
        .iter()
        .flat_map(|address| begun.iter().enumerate().map(move |(index, begun)| stall(*address, begun, index == 1)));
    for took in join_all(stalls).await {
        assert!(took < 2 * HEAD, "closed after {took:?}");
    }
    for (pod, listener, waiting) in
        [(gateway, "public", 0), (gateway, "management", 1), (&stack.workers[0], "management", 1)]
    {
        // Those who ask for the numbers are waiting themselves.
        let closed = format!("convene_http_closed_total{{listener=\"{listener}\",why=\"slow\"}} 3");
        let gauge = format!("convene_http_waiting{{listener=\"{listener}\"}} {waiting}");
        let page = async || pod.get("/metrics").await.expect("metrics").1;
        eventually!(page().await, |page: &String| page.contains(&closed) && page.contains(&gauge));
    }
    // Who had been let in is still there.
    alice.no_event().await;
}

#[test]
fn a_secret_that_can_be_guessed_stops_the_process_at_start() {
    let folder = std::env::current_exe().expect("this program");
    let folder = folder.parent().and_then(Path::parent).expect("a target folder");
    let run = |secret: &str| {
        let output = Command::new(folder.join("gateway-pod"))
            .args(["--nats-url=nats://127.0.0.1:1", "--redis-url=redis://127.0.0.1:1", "--listen=127.0.0.1:0"])
            .arg(format!("--jwt-secret={secret}"))
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        (output.status.code(), String::from_utf8(output.stderr).expect("a text"))
    };
    for secret in ["hunter2", &"x".repeat(31)] {
        let (code, said) = run(secret);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--jwt-secret (CONVENE_JWT_SECRET): has fewer than 32 bytes"), "{said}");
        assert_eq!((said.lines().count(), said.contains(secret)), (1, false), "{said}");
    }
}

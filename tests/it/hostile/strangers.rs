//! People who never say what they want, and secrets that can be guessed.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures::future::join_all;
use harness::{Stack, eventually, token::token};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
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

/// What comes after a good handshake, and the close code that it is worth; `None`: nothing more is said.
fn broken_frames() -> Vec<(Vec<u8>, Option<u16>)> {
    // A client masks what it sends; with zeros, so that it can be read here.
    let frame = |head: u8, length: &[u8], payload: &[u8]| {
        let mut frame = vec![head, 0x80 | length[0]];
        frame.extend(&length[1..]);
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    };
    let huge = [127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    vec![
        (vec![0x81, 0x02, b'{', b'}'], Some(1002)),           // not masked
        (frame(0xf1, &[2], b"{}"), Some(1002)),               // reserved bits
        (frame(0x83, &[2], b"{}"), Some(1002)),               // no such opcode
        (frame(0x09, &[0], b""), Some(1002)),                 // a control frame in parts
        (frame(0x89, &[126, 0, 200], &[0; 200]), Some(1002)), // one that is too long
        (frame(0x80, &[2], b"{}"), Some(1002)),               // a continuation of nothing
        (frame(0x81, &[2], b"\xff\xfe"), Some(1007)),         // no UTF-8
        (frame(0x81, &huge, b"{"), Some(1009)),
        (frame(0x82, &[2], b"{}"), Some(1003)),
        (frame(0x88, &[1], b"x"), Some(1002)),    // half a close code
        (frame(0x88, &[2], &[0, 0]), Some(1002)), // none that there is
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Some(1002)),
    ]
}

/// Upgrades by hand, sends these bytes and returns the close code that comes back.
async fn close_code(address: SocketAddr, token: &str, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("user_info") {
        assert_ne!(timeout(3 * HEAD, stream.read_buf(&mut read)).await.expect("in time").expect("an upgrade"), 0);
    }
    stream.write_all(bytes).await.expect("sent");
    // A reset is a close.
    let _ = timeout(3 * HEAD, stream.read_to_end(&mut read)).await.expect("it is closed");
    // The last frame: 0x88, its length, the code, the reason.
    let close = read.windows(4).rposition(|bytes| bytes[0] == 0x88 && usize::from(bytes[1]) + 2 >= 4)?;
    Some(u16::from_be_bytes([read[close + 2], read[close + 3]]))
}

#[tokio::test]
async fn bytes_that_are_no_protocol_cost_their_connection_and_nothing_else() {
    let stack = Stack::builder().processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    let public = stack.gateways[0].public;
    let broken = broken_frames().into_iter().enumerate().map(async |(index, (bytes, code))| {
        let token = token("bob", "demo", &format!("broken {index}"));
        assert_eq!(close_code(public, &token, &bytes).await, code, "{index}: {bytes:x?}");
    });
    join_all(broken).await;
    let mut random = StdRng::seed_from_u64(7);
    for address in [public, stack.gateways[0].management, stack.workers[0].management] {
        for length in [1, 10, 100, 1000, 100_000] {
            let mut bytes = vec![0; length];
            random.fill_bytes(&mut bytes);
            bytes.extend(b"\r\n\r\n");
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            // It may be closed before all of it is sent.
            let _ = stream.write_all(&bytes).await;
            let mut answer = Vec::new();
            let _ = timeout(3 * HEAD, stream.read_to_end(&mut answer)).await.expect("it is closed");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
    alice.no_event().await;
    assert_eq!(stack.gateways[0].get("/livez").await.map(|(status, _)| status), Some(200));
    assert!(!stack.logged().contains("panicked"));
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

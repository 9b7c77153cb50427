//! What an upgrade is answered before it is let in: by RFC 6455, by whose page asks, by the subprotocols, and for those who see
//! no status by a close code. Written and read byte by byte, as no library would send most of it.

mod closed;
mod cors;
mod heartbeat;
mod raw;

use harness::{Balancer, Stack, eventually, token::token};
use serde_json::json;

use raw::{Answer, GOOD, KEY, exchange, upgrade};

/// What is wrong, by what the good headers are changed to: `(name, value)` takes the place of those of that name, an empty list
/// takes them away; then the status and a header of the answer.
type Case = (&'static str, &'static [&'static str]);

const VERSIONS: &[Case] = &[
    ("sec-websocket-version", &["8"]),
    ("sec-websocket-version", &["12"]),
    ("sec-websocket-version", &["14"]),
    ("sec-websocket-version", &["013"]),
    ("sec-websocket-version", &["13, 8"]),
    ("sec-websocket-version", &["13", "13"]),
    ("sec-websocket-version", &[""]),
    ("sec-websocket-version", &["thirteen"]),
    ("sec-websocket-version", &[]),
];

const MALFORMED: &[Case] = &[
    ("sec-websocket-key", &[]),
    ("sec-websocket-key", &[""]),
    // Three octets, fifteen, seventeen.
    ("sec-websocket-key", &["AAAA"]),
    ("sec-websocket-key", &["AAAAAAAAAAAAAAAAAAAA"]),
    ("sec-websocket-key", &["AAAAAAAAAAAAAAAAAAAAAAA="]),
    // Sixteen, but not in base64: without the padding, in base64url, with a space, as text.
    ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"]),
    ("sec-websocket-key", &["_-hlIHNhbXBsZSBub25jZQ=="]),
    ("sec-websocket-key", &["dGhlIHNh bXBsZSBub25jZQ=="]),
    ("sec-websocket-key", &["sixteen letters!"]),
    ("sec-websocket-key", &[KEY, KEY]),
    ("connection", &[]),
    ("connection", &["keep-alive"]),
    ("connection", &["upgraded"]),
    ("upgrade", &[]),
    ("upgrade", &["h2c"]),
    ("upgrade", &["websockets"]),
];

#[tokio::test]
async fn every_malformed_handshake_gets_the_documented_answer() {
    let stack = Stack::builder().processes().start().await;
    let address = stack.gateways[0].public;
    let mut alice = stack.client(0, "alice").await;
    let bearer = format!("Bearer {}", token("alice", "demo", "session-of-alice"));
    for (status, cases) in [(426, VERSIONS), (400, MALFORMED)] {
        for (name, values) in cases {
            let mut headers: Vec<_> = GOOD.iter().copied().filter(|(good, _)| good != name).collect();
            headers.extend(values.iter().map(|value| (*name, *value)));
            headers.push(("authorization", &bearer));
            let answer = exchange(address, &upgrade("GET /ws HTTP/1.1", &headers)).await;
            answer.is_refused(status, 400, &format!("{name}: {values:?}"));
            let version = (status == 426).then_some("13");
            assert_eq!(answer.header("sec-websocket-version"), version, "{name}: {values:?}");
        }
    }
    let mut headers = GOOD.to_vec();
    headers.push(("authorization", &bearer));
    for heartbeat in ["", "ping", "TEXT", "text&heartbeat=text%20"] {
        let answer = exchange(address, &upgrade(&format!("GET /ws?heartbeat={heartbeat} HTTP/1.1"), &headers)).await;
        // Of several the first decides.
        if heartbeat.starts_with("text") {
            assert_eq!(answer.status, 101);
        } else {
            answer.is_refused(400, 400, heartbeat);
        }
    }
    let answer = exchange(address, &upgrade("GET /ws HTTP/1.0", &headers)).await;
    answer.is_refused(400, 400, "HTTP/1.0");
    for method in ["POST", "PUT", "OPTIONS", "DELETE", "BREW"] {
        let answer = exchange(address, &upgrade(&format!("{method} /ws HTTP/1.1"), &headers)).await;
        answer.is_refused(405, 400, method);
        assert_eq!(answer.header("allow"), Some("GET"), "{method}");
    }
    // The one that was let in has her session; nobody else took it.
    assert_eq!(alice.closed().await, Some(4501));
    assert!(!stack.logged().contains("panicked"));
    let malformed = VERSIONS.len() + MALFORMED.len() + 3 + 1 + 5;
    let counted = stack.gateways[0].metric("convene_upgrades_refused_total", &[r#"why="no handshake""#]).await;
    assert_eq!(counted, malformed as f64);
}

#[tokio::test]
async fn a_good_handshake_is_let_in_however_it_is_written() {
    let stack = Stack::builder().start().await;
    let address = stack.gateways[0].public;
    let bearer = format!("Bearer {}", token("alice", "demo", "s"));
    let good: &[&[Case]] = &[
        &[],
        &[("connection", &["keep-alive, Upgrade"])],
        &[("connection", &["keep-alive", "UPGRADE"])],
        &[("connection", &[" ,upgrade,"]), ("upgrade", &["WebSocket"])],
        &[("upgrade", &["h2c, websocket"])],
        // What a library leaves in the last character is nobody's business.
        &[("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZR=="])],
        &[("sec-websocket-extensions", &["permessage-deflate; client_max_window_bits"])],
    ];
    for case in good {
        let changed = |name: &str| case.iter().any(|(changed, _)| *changed == name);
        let mut headers: Vec<_> = GOOD.iter().copied().filter(|(name, _)| !changed(name)).collect();
        headers.extend(case.iter().flat_map(|(name, values)| values.iter().map(move |value| (*name, *value))));
        headers.push(("authorization", &bearer));
        let answer = exchange(address, &upgrade("GET /ws HTTP/1.1", &headers)).await;
        assert_eq!(answer.status, 101, "{case:?}: {answer:?}");
        assert_eq!(answer.header("sec-websocket-protocol"), None, "nothing was offered");
        assert_eq!(answer.header("sec-websocket-extensions"), None);
    }
    let answer = exchange(address, &upgrade("GET /ws HTTP/1.1", &[GOOD, &[("authorization", &bearer)]].concat())).await;
    // That of RFC 6455, 1.3.
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

/// The answer to a good handshake with these headers beside.
async fn answered(stack: &Stack, gateway: usize, path: &str, more: &[(&str, &str)]) -> Answer {
    let request = upgrade(&format!("GET {path} HTTP/1.1"), &[GOOD, more].concat());
    exchange(stack.gateways[gateway].public, &request).await
}

#[tokio::test]
async fn convene_is_answered_where_it_is_offered() {
    let stack = Stack::builder().start().await;
    let bearer = format!("Bearer {}", token("alice", "demo", "s"));
    let many: Vec<String> = (0..2000).map(|n| format!("other{n}")).collect();
    let many = format!("{}, convene", many.join(","));
    for offered in [
        &["convene"][..],
        &["soap, convene"],
        &["convene,soap"],
        &["soap", "wamp, convene"],
        &[" ,,\tconvene\t, "],
        &["convene, convene"],
        &["convene", "convene"],
        &["graphql-ws, token.not-this-one, convene"],
        &[&many],
    ] {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(offered.iter().map(|offered| ("sec-websocket-protocol", *offered)));
        let answer = answered(&stack, 0, "/ws", &headers).await;
        let answered: Vec<_> = answer.all("sec-websocket-protocol");
        assert_eq!((answer.status, &answered[..]), (101, &["convene"][..]), "{offered:?}");
    }
    // An empty header offers nothing.
    for offered in ["", " , "] {
        let headers = [("authorization", bearer.as_str()), ("sec-websocket-protocol", offered)];
        let answer = answered(&stack, 0, "/ws", &headers).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, None), "{offered:?}");
    }
}

#[tokio::test]
async fn a_subprotocol_that_nobody_speaks_claims_nothing() {
    let stack = Stack::builder().processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    let good = token("alice", "demo", "session-of-alice");
    let bearer = format!("Bearer {good}");
    let alone = format!("token.{good}");
    let many = ["soap"; 4000].join(",");
    let refused = async |path: &str, headers: &[(&str, &str)], what: &str| {
        for origin in [None, Some(("origin", "https://app.example"))] {
            let headers: Vec<_> = headers.iter().copied().chain(origin).collect();
            let answer = answered(&stack, 0, path, &headers).await;
            answer.is_refused(400, 400, what);
            assert_eq!(answer.header("sec-websocket-protocol"), None, "{what}");
        }
    };
    for offered in ["soap", "Convene", "convene2", "convene token.x", "\"convene\"", "soap, wamp", &many, &alone] {
        let headers = [("authorization", bearer.as_str()), ("sec-websocket-protocol", offered)];
        refused("/ws", &headers, offered).await;
    }
    refused("/ws", &[("sec-websocket-protocol", &alone)], "the token alone").await;
    refused("/ws", &[("sec-websocket-protocol", "soap"), ("sec-websocket-protocol", &alone)], "two lines").await;
    refused(&format!("/ws?sessionId={good}"), &[("sec-websocket-protocol", "soap")], "the token in the query").await;
    alice.no_event().await;
    assert_eq!(stack.gateways[0].metric("convene_sessions_replaced_total", &[]).await, 0.0);
    let counted = stack.gateways[0].metric("convene_upgrades_refused_total", &["subprotocol not spoken"]).await;
    assert_eq!(counted, 22.0);
    assert!(!stack.logged().contains(&good), "the token is in a log");
}

#[tokio::test]
async fn the_token_may_be_an_offered_subprotocol_and_is_in_no_log() {
    let stack = Stack::builder().processes().start().await;
    let good = token("alice", "demo", "s");
    let offered = format!("convene, token.{good}");
    let first = format!("token.{good}, convene, token.bad");
    for (headers, path, status) in [
        (vec![("sec-websocket-protocol", offered.as_str())], "/ws", 101),
        (vec![("sec-websocket-protocol", &first)], "/ws", 101),
        (vec![("sec-websocket-protocol", "convene"), ("sec-websocket-protocol", &offered)], "/ws", 101),
        // Before the query, after the headers.
        (vec![("sec-websocket-protocol", &offered)], "/ws?sessionId=bad", 101),
        (vec![("sec-websocket-protocol", &offered), ("x-session-id", "bad")], "/ws", 4503),
        (vec![("sec-websocket-protocol", &offered), ("authorization", "Bearer bad")], "/ws", 4503),
        (vec![("sec-websocket-protocol", "convene, token."), ("origin", "null")], "/ws", 4503),
    ] {
        let mut stream = raw::open(stack.gateways[0].public).await;
        let answer = stream.exchange(&upgrade(&format!("GET {path} HTTP/1.1"), &[GOOD, &headers].concat())).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("convene")), "{headers:?}");
        let frame = stream.text().await;
        if status == 101 {
            assert_eq!(frame["event"], "user_info", "{headers:?}");
        } else {
            assert_eq!(frame["error"]["code"], status, "{headers:?}");
        }
    }
    let logged = stack.logged();
    assert!(logged.contains("the gateway starts") && !logged.contains(&good));
}

#[tokio::test]
async fn pages_may_connect_whose_origin_is_listed_or_that_of_the_host() {
    let stack = Stack::builder()
        .processes()
        .gateways(2)
        .arg_of_gateway(1, "--allowed-origins=https://app.example, capacitor://localhost,null")
        .start()
        .await;
    let mut alice = stack.client(1, "alice").await;
    let offered = format!("convene, token.{}", token("alice", "demo", "session-of-alice"));
    let others = ["https://evil.example", "http://app.example", "https://app.example.evil", "", "file://", "*"];
    for origin in others {
        let headers = [("origin", origin), ("sec-websocket-protocol", offered.as_str())];
        answered(&stack, 1, "/ws", &headers).await.is_refused(403, 403, origin);
    }
    let two = [("origin", "null"), ("origin", "https://evil.example"), ("sec-websocket-protocol", offered.as_str())];
    answered(&stack, 1, "/ws", &two).await.is_refused(403, 403, "one of two");
    alice.no_event().await;
    let counted = stack.gateways[1].metric("convene_upgrades_refused_total", &["origin not allowed"]).await;
    assert_eq!(counted, 7.0);
    // The host of the good headers is x.
    for origin in ["https://app.example", "capacitor://localhost", "null", "https://x", "http://X:80"] {
        let headers = [("origin", origin), ("sec-websocket-protocol", offered.as_str())];
        assert_eq!(answered(&stack, 1, "/ws", &headers).await.status, 101, "{origin}");
    }
    assert_eq!(alice.closed().await, Some(4501));
    for origin in others {
        let headers = [("origin", origin), ("sec-websocket-protocol", offered.as_str())];
        assert_eq!(answered(&stack, 0, "/ws", &headers).await.status, 101, "{origin}");
    }
}

#[tokio::test]
async fn the_first_thing_that_is_wrong_with_an_upgrade_decides() {
    let stack = Stack::builder().gateway_arg("--allowed-origins=https://app.example").start().await;
    // All is wrong; then one thing after the other is mended.
    let mut wrong = [
        ("sec-websocket-version", "8", "13"),
        ("sec-websocket-key", "AAAA", KEY),
        ("origin", "https://evil.example", "https://app.example"),
        ("sec-websocket-protocol", "token.bad", "convene, token.bad"),
    ];
    for (status, code) in [(426, 400), (400, 400), (403, 403), (400, 400)] {
        let headers: Vec<_> = wrong.iter().map(|(name, wrong, _)| (*name, *wrong)).collect();
        let beside = [("host", "x"), ("connection", "upgrade"), ("upgrade", "websocket")];
        let request = upgrade("GET /ws HTTP/1.1", &[&beside[..], &headers].concat());
        exchange(stack.gateways[0].public, &request).await.is_refused(status, code, &format!("{headers:?}"));
        let next = wrong.iter_mut().find(|(_, wrong, right)| wrong != right).expect("something is still wrong");
        next.1 = next.2;
    }
    let headers: Vec<_> = wrong.iter().map(|(name, wrong, _)| (*name, *wrong)).collect();
    let beside = [("host", "x"), ("connection", "upgrade"), ("upgrade", "websocket")];
    let mut stream = raw::open(stack.gateways[0].public).await;
    let answer = stream.exchange(&upgrade("GET /ws HTTP/1.1", &[&beside[..], &headers].concat())).await;
    assert_eq!(answer.status, 101);
    assert_eq!(stream.text().await["error"]["code"], json!(4503));
}

#[test]
fn a_setting_of_origins_that_none_could_match_stops_the_process_at_start() {
    let folder = std::env::current_exe().expect("this program");
    let folder = folder.parent().and_then(std::path::Path::parent).expect("a target folder");
    for origins in ["https://app.example/", "app.example", "*,https://app.example", "https://*.example", "https://a,"] {
        let output = std::process::Command::new(folder.join("gateway-pod"))
            .args(["--nats-url=nats://127.0.0.1:1", "--redis-url=redis://127.0.0.1:1", "--listen=127.0.0.1:0"])
            .arg(format!("--jwt-secret={}", harness::token::JWT_SECRET))
            .arg(format!("--allowed-origins={origins}"))
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the program starts");
        let said = String::from_utf8(output.stderr).expect("a text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--allowed-origins (CONVENE_ALLOWED_ORIGINS): "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[tokio::test]
async fn the_load_balancer_keeps_host_and_subprotocols_and_logs_no_token() {
    let stack = Stack::builder().gateways(2).gateway_arg("--allowed-origins=https://app.example").start().await;
    let balancer = Balancer::start(&stack).await;
    let good = token("alice", "demo", "s");
    let offered = format!("convene, token.{good}");
    let headers = |origin| {
        let good = GOOD.iter().map(|(name, value)| (*name, if *name == "host" { "api.example" } else { *value }));
        good.chain([("origin", origin), ("sec-websocket-protocol", offered.as_str())]).collect::<Vec<_>>()
    };
    // That of the host, which the gateways see as the client has sent it; one that is not listed.
    for (origin, status) in [("https://api.example", 101), ("https://evil.example", 403)] {
        let request = upgrade(&format!("GET /ws?sessionId={good} HTTP/1.1"), &headers(origin));
        let answer = exchange(balancer.public, &request).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("sec-websocket-protocol"), (status == 101).then_some("convene"));
    }
    // It logs a socket when that is over.
    let logged = eventually!(balancer.logged(), |logged: &String| logged.matches("GET /ws").count() == 2);
    assert!(!logged.contains(&good) && !logged.contains("sessionId"), "{logged}");
}

//! More requests, pings and bad tokens than anybody has a right to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::{StreamExt as _, future::join_all, stream};
use harness::{Connect, Stack, eventually, process::resident};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{BUS_BYTES, SLACK, SOCKET_BYTES, bystander::Bystander, code, crowd, mib, numbers, open_again, tell};

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_flood_are_refused_with_705_closed_with_4500_and_harm_nobody_of_their_network() {
    const FLOODERS: usize = 30;
    let stack = Stack::builder().processes().start().await;
    let gateway = &stack.gateways[0];
    let process = gateway.process_id().await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let before = resident(process);
    let flooding = crowd(&stack, "bob", FLOODERS, None).await.into_iter().map(|mut flooder| {
        tokio::spawn(async move {
            // Neither the rate nor what is in flight lets more than a part of these through.
            for id in 0..1500_u32 {
                let request = json!({"id": id, "endpoint": "meeting:getMeeting", "data": {"meetingId": "x"}});
                if !flooder.try_send_message(Message::text(request.to_string())).await {
                    break;
                }
            }
            let closed = flooder.closed().await;
            (closed, flooder.untaken_answers())
        })
    });
    for flooded in join_all(flooding).await {
        let (closed, answers) = flooded.expect("no panic");
        assert_eq!(closed, Some(4500));
        let mut ids: Vec<u64> = answers.iter().map(|answer| answer["id"].as_u64().expect("an id")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), answers.len(), "no request has two answers");
        assert!(answers.iter().all(|answer| [404, 705].contains(&code(answer))), "{answers:?}");
        let done = answers.iter().filter(|answer| code(answer) == 404).count();
        assert!(done <= 1500 - 201, "{done}");
    }
    let refused = gateway.metric("convene_requests_refused_total", &[]).await;
    assert!(refused >= (201 * FLOODERS) as f64, "{refused}");
    assert_eq!(gateway.metric("convene_sockets_closed_total", &[r#"code="4500""#]).await, FLOODERS as f64);
    let grown = resident(process).saturating_sub(before);
    let bound = FLOODERS as u64 * (SOCKET_BYTES + 1024 * 1024) + BUS_BYTES + SLACK;
    assert!(grown < bound, "{:.1} MiB; bound {:.1}", mib(grown), mib(bound));
    tell(&stack, &["carol"], 1, 10).await;
    let mut carol = bystander.leave().await;
    assert_eq!(numbers(&[carol.event("meeting:onMeetingUpdated").await]), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_pings_takes_one_place_and_the_newest_is_answered() {
    const PINGS: u32 = 30_000;
    let stack = Stack::builder().processes().start().await;
    let process = stack.gateways[0].process_id().await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let before = resident(process);
    let mut pinging = crowd(&stack, "bob", 8, Some(4096)).await;
    let sent = stream::iter(&mut pinging).for_each_concurrent(None, |client| async move {
        for number in 0..PINGS {
            client.send_message(Message::Ping(number.to_be_bytes().to_vec().into())).await;
        }
    });
    sent.await;
    let grown = resident(process).saturating_sub(before);
    let bound = 8 * SOCKET_BYTES + BUS_BYTES + SLACK;
    assert!(grown < bound, "{:.1} MiB; bound {:.1}", mib(grown), mib(bound));
    for client in &mut pinging {
        assert_eq!(code(&client.call("testVersionNotSupported", json!({})).await), 426, "it goes on");
        assert_eq!(client.last_pong(), Some(&(PINGS - 1).to_be_bytes()[..]));
    }
    bystander.leave().await;
}

/// A token that only a key could show to be bad, in the name of one that nobody has.
fn unknown_key(number: usize) -> String {
    let encode = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = encode(json!({"alg": "EdDSA", "kid": format!("key-{number}")}));
    let claims = encode(json!({"sub": "alice", "net": "demo", "sid": "s", "exp": 4_000_000_000_u64}));
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 64]))
}

/// A key set, and how often it was asked for.
async fn key_set() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let key = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "known", "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    let router = Router::new().route(
        "/keys",
        get(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Json(key.clone()))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_ask_no_worker_read_the_keys_a_few_times_and_keep_nobody_out() {
    const TOKENS: usize = 600;
    let (url, keys_read) = key_set().await;
    let stack = Stack::builder().processes().gateway_arg(&format!("--jwks-url={url}")).start().await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let connects = async || {
        let labels = [r#"namespace="user""#, r#"method="connect""#];
        stack.workers[0].metric("convene_worker_requests_total", &labels).await
    };
    let before = connects().await;
    let since = Instant::now();
    let unauthorized = AtomicUsize::new(0);
    let refused = async {
        stream::iter(0..TOKENS)
            .for_each_concurrent(64, |number| {
                let (address, unauthorized) = (stack.gateways[0].public, &unauthorized);
                async move {
                    // What nobody can look for any more is not said to be bad.
                    let (token, statuses) = match number % 2 {
                        0 => (unknown_key(number), &[401, 503][..]),
                        _ => (format!("a.b.{number}"), &[401][..]),
                    };
                    let refused = Connect::to(address).token(&token).open().await.expect_err("a bad token");
                    assert!(statuses.contains(&refused.status), "{refused:?}");
                    unauthorized.fetch_add(usize::from(refused.status == 401), Ordering::Relaxed);
                }
            })
            .await;
    };
    let let_in = async {
        for _ in 0..20 {
            open_again(stack.connect(0, "bob")).await.close().await;
        }
    };
    tokio::join!(refused, let_in);
    bystander.leave().await;
    // At the start, five at once, and one every ten seconds.
    let most = 1 + 5 + since.elapsed().as_secs() / 10;
    let read = keys_read.load(Ordering::Relaxed) as u64;
    assert!((1..=most).contains(&read), "{read} of {most}");
    let heard = connects().await - before;
    assert!((20.0..100.0).contains(&heard), "of the bad ones no worker has heard: {heard}");
    let unauthorized = unauthorized.into_inner() as f64;
    eventually!(stack.gateways[0].metric("convene_upgrades_refused_total", &["no valid session"]).await, |refused| {
        *refused == unauthorized
    });
}

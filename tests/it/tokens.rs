//! Who signs session tokens, what they must say, and what whoever runs a gateway learns when one is refused.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use harness::{
    Connect, Refused, Stack, eventually,
    stack::http,
    token::{JWT_SECRET, sign, sign_with},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::readiness::unready;

/// What a client is told whose token is refused, whatever the reason.
fn no_valid_session() -> Value {
    json!({"error": {"status": true, "code": 401, "message": "no valid session"}})
}

/// Publishes its keys, all of them the same under different names.
struct Issuer {
    url: String,
    key: EncodingKey,
    published: Arc<Published>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Published {
    /// `None`: it is broken.
    keys: Mutex<Option<Value>>,
    asked: AtomicUsize,
}

impl Issuer {
    async fn publishing(kids: &[&str]) -> Self {
        let published = Arc::new(Published::default());
        let router = Router::new().route("/keys", get(keys)).with_state(published.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let key = EncodingKey::from_ed_pem(include_bytes!("../../gateway/fixtures/ed.pem")).expect("a key");
        let issuer = Self { url, key, published, _task: AbortOnDropHandle::new(task) };
        issuer.publish(kids);
        issuer
    }

    fn publish(&self, kids: &[&str]) {
        let public = |kid: &&str| {
            let mut jwk = json!(Jwk::from_encoding_key(&self.key, Algorithm::EdDSA).expect("a public key"));
            jwk["kid"] = json!(kid);
            jwk
        };
        let keys: Vec<Value> = kids.iter().map(public).collect();
        *self.published.keys.lock().expect("the lock") = Some(json!({"keys": keys}));
    }

    fn break_down(&self) {
        *self.published.keys.lock().expect("the lock") = None;
    }

    fn asked(&self) -> usize {
        self.published.asked.load(Ordering::Relaxed)
    }

    fn signs(&self, kid: &str, claims: &Value) -> String {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }
}

async fn keys(State(published): State<Arc<Published>>) -> Result<axum::Json<Value>, StatusCode> {
    published.asked.fetch_add(1, Ordering::Relaxed);
    let keys = published.keys.lock().expect("the lock").clone();
    keys.map(axum::Json).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn claims(user: &str, sid: &str) -> Value {
    json!({"sub": user, "net": "demo", "sid": sid, "exp": 4_000_000_000_u64})
}

fn connect(stack: &Stack, token: &str) -> Connect {
    Connect::to(stack.gateways[0].public).token(token)
}

/// The status of the upgrade, and of a socket that it opened its end.
async fn status(stack: &Stack, token: &str) -> u16 {
    match connect(stack, token).open().await {
        Ok(client) => {
            client.close().await;
            101
        }
        Err(refused) => refused.status,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_taken_out_is_refused_and_open_sockets_stay() {
    let issuer = Issuer::publishing(&["old"]).await;
    let url = format!("--jwks-url={}", issuer.url);
    let stack = Stack::builder().processes().gateway_arg(&url).gateway_arg("--jwks-max-age=1s").start().await;
    let mut open = connect(&stack, &issuer.signs("old", &claims("alice", "open"))).let_in().await;
    open.event("user_info").await;
    let [old, new] = ["old", "new"].map(|kid| issuer.signs(kid, &claims("bob", "probe")));
    assert_eq!(status(&stack, &old).await, 101);

    issuer.publish(&["new"]);
    eventually!(status(&stack, &old).await, |status| *status == 401);
    assert_eq!(status(&stack, &new).await, 101);

    // A publisher that is broken keeps nobody out whose key is known, and is told of.
    issuer.break_down();
    let gateway = &stack.gateways[0];
    let failed = async || gateway.metric("convene_jwks_readings_total", &[r#"outcome="failed""#]).await;
    eventually!(failed().await, |failed| *failed >= 2.0);
    assert!(gateway.metric("convene_jwks_readings_total", &[r#"outcome="ok""#]).await >= 2.0);
    assert_eq!(status(&stack, &new).await, 101);
    let said = |log: &str, what| log.matches(what).count();
    assert_eq!(said(&gateway.logged(), "the keys of tokens could not be read"), 1, "once a minute at most");
    issuer.publish(&["new"]);
    eventually!(gateway.logged(), |log| said(log, "the keys of tokens can be read again") == 1);

    open.no_event().await;
    assert_eq!(open.call("testVersionNotSupported", json!({})).await["error"]["code"], 426);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_has_never_read_a_key_is_unready_and_says_so() {
    let issuer = Issuer::publishing(&["key"]).await;
    let url = format!("--jwks-url={}", issuer.url);
    let stack =
        Stack::builder().processes().without_secret().gateway_arg(&url).gateway_arg("--jwks-max-age=1s").start().await;
    let gateway = &stack.gateways[0];
    let token = issuer.signs("key", &claims("alice", "probe"));
    issuer.break_down();
    gateway.kill().await;
    gateway.start().await;
    unready(gateway, "keys", "none was read yet").await;
    assert_eq!(status(&stack, &token).await, 503);

    issuer.publish(&["key"]);
    gateway.ready().await;
    assert_eq!(status(&stack, &token).await, 101);
    // A reading that fails later takes nothing away.
    issuer.break_down();
    eventually!(gateway.metric("convene_jwks_readings_total", &[r#"outcome="failed""#]).await, |failed| *failed > 3.0);
    assert_eq!(gateway.get("/readyz").await.map(|(status, _)| status), Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_with_unknown_keys_do_not_keep_the_users_of_a_new_key_out() {
    let issuer = Issuer::publishing(&["old"]).await;
    let stack = Stack::builder().processes().gateway_arg(&format!("--jwks-url={}", issuer.url)).start().await;
    let gateway = &stack.gateways[0];
    let address = gateway.public;
    let forged = |kid: &str| issuer.signs(kid, &claims("alice", "forged"));
    let strangers: Vec<_> = (0..4)
        .map(|stranger| {
            let tokens: Vec<String> = (0..500).map(|n| forged(&format!("{stranger} {n}"))).collect();
            AbortOnDropHandle::new(tokio::spawn(async move {
                for token in tokens.iter().cycle() {
                    let refused = Connect::to(address).token(token).open().await.expect_err("a stranger");
                    assert!([401, 503].contains(&refused.status), "{refused:?}");
                }
            }))
        })
        .collect();
    let away = async || gateway.metric("convene_tokens_refused_total", &[r#"reason="keys away""#]).await;
    eventually!(away().await, |away| *away > 0.0);

    issuer.publish(&["old", "new"]);
    let new = issuer.signs("new", &claims("bob", "new"));
    let old = issuer.signs("old", &claims("carol", "old"));
    eventually!(status(&stack, &new).await, |status| {
        // What could not be looked for is not said to be bad: his client would sign out.
        assert_ne!(*status, 401);
        *status == 101
    });
    assert_eq!(status(&stack, &old).await, 101);
    assert!(strangers.iter().all(|stranger| !stranger.is_finished()), "they go on all the time");
}

#[tokio::test]
async fn either_of_two_secrets_lets_in_and_either_of_two_tokens_administers() {
    const NEW: &str = "the secret that follows and is long enough for HS256";
    let [first, second] = ["the first token of two", "the second token of two"];
    let stack = Stack::builder()
        .gateway_arg(&format!("--jwt-secret={JWT_SECRET},{NEW}"))
        .gateway_arg(&format!("--admin-token={first},{second}"))
        .unseeded()
        .start()
        .await;
    let administer = async |token: &str| {
        let url = format!("http://{}/admin/directory", stack.gateways[0].management);
        let lines: String = harness::stack::demo().iter().map(|line| format!("{line}\n")).collect();
        http().post(url).bearer_auth(token).body(lines).send().await.expect("an answer").status().as_u16()
    };
    for (token, expected) in
        [(first, 200), (second, 200), (&*format!("{first},{second}"), 401), ("the first token of tw", 401), ("", 401)]
    {
        assert_eq!(administer(token).await, expected, "{token}");
    }
    for (secret, expected) in [
        (JWT_SECRET, 101),
        (NEW, 101),
        (&*format!("{JWT_SECRET},{NEW}"), 401),
        ("another secret that is long enough for HS256", 401),
    ] {
        assert_eq!(status(&stack, &sign_with(secret, &claims("alice", "s"))).await, expected, "{secret}");
    }
}

#[tokio::test]
async fn a_token_for_others_or_from_others_is_refused_where_that_is_set() {
    let stack = Stack::builder()
        .gateway_arg("--jwt-audience=convene, calendar")
        .gateway_arg("--jwt-issuer=https://accounts.example.org,https://login.example.org")
        .start()
        .await;
    let token = |aud: Value, iss: Value| {
        let mut claims = claims("alice", "s");
        (claims["aud"], claims["iss"]) = (aud, iss);
        sign(&claims)
    };
    let us = || json!("https://login.example.org");
    for (aud, iss, expected) in [
        (json!("convene"), us(), 101),
        (json!(["rooms", "calendar"]), us(), 101),
        (json!("convene"), json!("https://accounts.example.org"), 101),
        (json!("rooms"), us(), 401),
        (json!([]), us(), 401),
        (json!(null), us(), 401),
        (json!("convene"), json!("https://login.example.com"), 401),
        (json!("convene"), json!(null), 401),
    ] {
        assert_eq!(status(&stack, &token(aud.clone(), iss.clone())).await, expected, "{aud} {iss}");
    }
    let without = connect(&stack, &sign(&claims("alice", "s"))).open().await.expect_err("neither");
    assert_eq!(without, Refused { status: 401, body: no_valid_session(), retry_after: None });
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tokens_are_refused_is_counted_and_logged_and_no_client_is_told() {
    let issuer = Issuer::publishing(&["known"]).await;
    let stack = Stack::builder()
        .processes()
        .log_filter("info")
        .gateway_arg("--log-format=json")
        .gateway_arg(&format!("--jwks-url={}", issuer.url))
        .gateway_arg("--jwt-audience=convene")
        .gateway_arg("--jwt-issuer=us")
        .start()
        .await;
    let gateway = &stack.gateways[0];
    let with = |name: &str, value: Value| {
        let mut claims = json!({"sub": "alice", "net": "demo", "sid": "s-of-alice", "exp": 4_000_000_000_u64, "aud": "convene",
            "iss": "us", "email": "alice@example.org"});
        claims[name] = value;
        claims
    };
    let good = with("given_name", json!("Alice"));
    let (status, _) = stack.admin(Method::POST, "/admin/sessions/revoked-sid/revoke", "").await;
    assert_eq!(status, 200);
    let hs512 =
        jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good, &EncodingKey::from_secret(JWT_SECRET.as_bytes()))
            .expect("a token");
    let cases = [
        ("no token", String::new(), Value::Null),
        ("malformed", "no.token.atall".to_owned(), Value::Null),
        ("wrong algorithm", hs512, json!("algorithm HS512, kid none")),
        ("unknown key", issuer.signs("un\nknown", &good), json!("algorithm EdDSA, kid \"un?known\"")),
        ("bad signature", sign_with(&JWT_SECRET.replace("the", "teh"), &good), json!("algorithm HS256, kid none")),
        ("missing claim", sign(&with("sid", json!(null))), json!("claim sid")),
        ("wrong issuer", sign(&with("iss", json!("them"))), json!("iss \"them\"")),
        ("wrong audience", sign(&with("aud", json!(["a", "b"]))), json!("aud \"a\", \"b\"")),
        ("expired", sign(&with("exp", json!(1))), json!("s ago")),
        ("not yet valid", sign(&with("nbf", json!(3_999_999_999_u64))), json!("in ")),
        ("revoked", sign(&with("sid", json!("revoked-sid"))), json!("network \"demo\"")),
        ("unknown network", sign(&with("net", json!("nowhere"))), json!("network \"nowhere\"")),
        ("not of the network", sign(&with("sub", json!("stranger"))), json!("network \"demo\"")),
    ];
    let refused = async |token: &str| {
        let connect = Connect::to(gateway.public);
        let connect = if token.is_empty() { connect } else { connect.token(token) };
        connect.open().await.expect_err(token)
    };
    for (reason, token, _) in &cases {
        for _ in 0..3 {
            let expected = Refused { status: 401, body: no_valid_session(), retry_after: None };
            assert_eq!(refused(token).await, expected, "{reason}");
        }
    }
    // A calendar file is refused as an upgrade is; with an invitation's link nobody has to have a token.
    let calendar = async |query: &str, token: Option<&str>| {
        let url = format!("http://{}/api/v0/resource/sessionInvitation/none{query}", gateway.public);
        let request = http().get(url);
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    for (_, token, _) in
        cases.iter().filter(|(reason, ..)| ["revoked", "unknown network", "not of the network"].contains(reason))
    {
        assert_eq!(calendar("", Some(token)).await, (401, no_valid_session()));
    }
    assert_eq!(calendar("?invitation=x", None).await.0, 404);
    issuer.break_down();
    for _ in 0..3 {
        assert_eq!(refused(&issuer.signs("another", &good)).await.status, 503);
    }

    let count =
        async |reason: &str| gateway.metric("convene_tokens_refused_total", &[&format!("reason=\"{reason}\"")]).await;
    for (reason, ..) in &cases {
        let by_worker = ["revoked", "unknown network", "not of the network"].contains(reason);
        assert_eq!(count(reason).await, if by_worker { 4.0 } else { 3.0 }, "{reason}");
    }
    assert_eq!(count("keys away").await, 3.0);

    let log = gateway.logged();
    let mut lines: BTreeMap<String, Value> = BTreeMap::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        if event["message"] == "a session token was refused" {
            assert_eq!((&event["level"], &event["refusals"]), (&json!("INFO"), &json!(1)), "{line}");
            let reason = event["reason"].as_str().expect("a reason").to_owned();
            assert!(lines.insert(reason, event).is_none(), "logged again within a minute: {line}");
        }
    }
    for (reason, _, detail) in &cases {
        let logged = &lines[*reason]["detail"];
        let is_so =
            logged.as_str().zip(detail.as_str()).map_or(logged == detail, |(logged, part)| logged.contains(part));
        assert!(is_so, "{reason}: {logged} is not {detail}");
    }
    assert_eq!(lines.len(), cases.len() + 1, "{lines:?}");
    let lines = format!("{lines:?}");
    let tokens = cases.iter().map(|(_, token, _)| token.rsplit('.').next().expect("a part"));
    for personal in
        ["alice", "Alice", "stranger", "revoked-sid"].into_iter().chain(tokens.filter(|part| part.len() > 10))
    {
        assert!(!lines.contains(personal), "{personal} is in {lines}");
    }
    assert!(issuer.asked() <= 6, "{}", issuer.asked());
}

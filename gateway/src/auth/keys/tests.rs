use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};

use super::*;
use crate::auth::tests::{key, key_set, public};

/// Publishes a key set on a port of its own.
struct Publisher {
    address: String,
    state: Arc<Published>,
    task: AbortHandle,
}

#[derive(Default)]
struct Published {
    answer: std::sync::Mutex<(StatusCode, String)>,
    asked: AtomicUsize,
    /// While set, answers wait for `go_on`.
    is_slow: std::sync::atomic::AtomicBool,
    was_asked: Notify,
    go_on: Notify,
}

impl Publisher {
    async fn start() -> Self {
        let state = Arc::new(Published::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let router = Router::new()
            .route("/keys", get(answer))
            .route("/elsewhere", get(async || key_set()))
            .with_state(state.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        let publisher = Self { address, state, task };
        publisher.publish(StatusCode::OK, key_set());
        publisher
    }

    fn publish(&self, status: StatusCode, body: impl Into<String>) {
        *self.state.answer.lock().expect("the lock") = (status, body.into());
    }

    fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    fn keys(&self) -> Keys {
        Keys::new(Source::url(&self.address).expect("an address"))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(state): State<Arc<Published>>) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    state.asked.fetch_add(1, Ordering::SeqCst);
    if state.is_slow.load(Ordering::SeqCst) {
        state.was_asked.notify_one();
        state.go_on.notified().await;
    }
    let (status, body) = state.answer.lock().expect("the lock").clone();
    (status, [("location", "/elsewhere")], body)
}

/// Lets a minute pass since the last reading.
async fn a_minute_later(keys: &Keys) {
    let mut reading = keys.0.reading.lock().await;
    reading.began = reading.began.and_then(|began| began.checked_sub(PAUSE));
}

async fn knows(keys: &Keys, kid: &str) -> Result<(), Unauthorized> {
    keys.find(Some(kid), Algorithm::EdDSA).await.map(|_| ())
}

fn set_of(kids: &[&str]) -> String {
    let ed = key(Algorithm::EdDSA);
    json!({"keys": kids.iter().map(|kid| public(&ed, Algorithm::EdDSA, kid)).collect::<Vec<_>>()}).to_string()
}

#[tokio::test]
async fn keys_are_fetched_when_first_needed_and_kept() {
    let publisher = Publisher::start().await;
    let keys = publisher.keys();
    assert_eq!(publisher.asked(), 0);
    for _ in 0..3 {
        assert_eq!(knows(&keys, "ed").await, Ok(()));
    }
    assert_eq!(publisher.asked(), 1);
}

#[tokio::test]
async fn an_unknown_key_has_them_fetched_again_at_most_once_a_minute() {
    let publisher = Publisher::start().await;
    let keys = publisher.keys();
    assert_eq!(knows(&keys, "new").await, Err(Unauthorized::UnknownKey));
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    for kid in ["new", "newer", "newest"] {
        assert_eq!(knows(&keys, kid).await, Err(Unauthorized::UnknownKey));
    }
    assert_eq!(publisher.asked(), 1);
    a_minute_later(&keys).await;
    assert_eq!(knows(&keys, "new").await, Ok(()));
    assert_eq!(publisher.asked(), 2);
    assert_eq!(knows(&keys, "ed").await, Err(Unauthorized::UnknownKey), "a key that was withdrawn is worth nothing");
    assert_eq!(publisher.asked(), 2);
}

#[tokio::test]
async fn a_fetch_that_fails_keeps_the_keys_and_counts_as_one() {
    let publisher = Publisher::start().await;
    let keys = publisher.keys();
    assert_eq!(knows(&keys, "ed").await, Ok(()));
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, key_set()),
        (StatusCode::FOUND, key_set()),
        (StatusCode::OK, "<html>".to_owned()),
        (StatusCode::OK, r#"{"keys":[]}"#.to_owned()),
        (StatusCode::OK, r#"{"keys":{}}"#.to_owned()),
        (StatusCode::OK, key_set() + &" ".repeat(300_000)),
        (StatusCode::OK, "[".repeat(100_000)),
    ] {
        publisher.publish(status, body);
        let asked = publisher.asked();
        a_minute_later(&keys).await;
        assert_eq!(knows(&keys, "new").await, Err(Unauthorized::KeysAway));
        assert_eq!(knows(&keys, "new").await, Err(Unauthorized::KeysAway));
        assert_eq!(publisher.asked(), asked + 1);
        assert_eq!(knows(&keys, "ed").await, Ok(()));
    }
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    a_minute_later(&keys).await;
    assert_eq!(knows(&keys, "new").await, Ok(()));
}

#[tokio::test]
async fn a_publisher_that_is_away_is_not_the_tokens_fault() {
    let publisher = Publisher::start().await;
    let keys = publisher.keys();
    drop(publisher);
    assert_eq!(knows(&keys, "ed").await, Err(Unauthorized::KeysAway));
}

#[tokio::test]
async fn an_error_does_not_repeat_the_address() {
    let publisher = Publisher::start().await;
    publisher.publish(StatusCode::FORBIDDEN, "");
    let source = Source::url(&format!("{}?code=hunter2", publisher.address)).expect("an address");
    let forbidden = source.load().await.expect_err("403");
    assert!(format!("{forbidden:#}").contains("403"), "{forbidden:#}");
    drop(publisher);
    let away = source.load().await.expect_err("nobody is there");
    for error in [forbidden, away] {
        assert!(!format!("{error:#} {error:?} {source:?}").contains("hunter2"), "{error:#}");
    }
}

#[tokio::test]
async fn many_who_need_them_at_once_share_one_fetch() {
    let publisher = Publisher::start().await;
    publisher.state.is_slow.store(true, Ordering::SeqCst);
    let keys = publisher.keys();
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let keys = keys.clone();
                async move { knows(&keys, "ed").await }
            })
        })
        .collect();
    publisher.state.was_asked.notified().await;
    publisher.state.is_slow.store(false, Ordering::SeqCst);
    publisher.state.go_on.notify_one();
    for task in waiting {
        assert_eq!(task.await.expect("no panic"), Ok(()));
    }
    assert_eq!(publisher.asked(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_end_the_fetch() {
    let publisher = Publisher::start().await;
    publisher.state.is_slow.store(true, Ordering::SeqCst);
    let keys = publisher.keys();
    let hung_up = tokio::spawn({
        let keys = keys.clone();
        async move { knows(&keys, "ed").await }
    });
    publisher.state.was_asked.notified().await;
    publisher.state.is_slow.store(false, Ordering::SeqCst);
    hung_up.abort();
    assert!(hung_up.await.expect_err("it was aborted").is_cancelled());
    publisher.state.go_on.notify_one();
    assert_eq!(knows(&keys, "ed").await, Ok(()));
    assert_eq!(publisher.asked(), 1);
}

#[tokio::test]
async fn a_file_is_read_again_for_an_unknown_key() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key_set()).expect("written");
    let keys = Keys::read(Source::file(file.path())).expect("keys");
    std::fs::write(file.path(), set_of(&["new"])).expect("written");
    assert_eq!(knows(&keys, "new").await, Ok(()));
    std::fs::write(file.path(), "half").expect("written");
    a_minute_later(&keys).await;
    assert_eq!(knows(&keys, "ed").await, Err(Unauthorized::KeysAway));
    assert_eq!(knows(&keys, "new").await, Ok(()));
}

#[test]
fn only_keys_that_can_check_a_signature_are_taken() {
    let ed = public(&key(Algorithm::EdDSA), Algorithm::EdDSA, "k");
    let rsa = public(&key(Algorithm::RS256), Algorithm::RS256, "k");
    let ec = public(&key(Algorithm::ES256), Algorithm::ES256, "k");
    let with = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let bytes = |count: usize| json!(URL_SAFE_NO_PAD.encode(vec![0xff; count]));
    let usable = |jwk: &Value| KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).is_ok();
    for good in [
        ed.clone(),
        rsa.clone(),
        ec.clone(),
        with(&ed, "alg", json!(null)),
        with(&ed, "alg", json!("Ed25519")),
        with(&ed, "use", json!("sig")),
        with(&ed, "key_ops", json!(["verify"])),
        with(&ed, "kid", json!(null)),
        with(&ed, "unknown", json!({})),
    ] {
        assert!(usable(&good), "{good}");
    }
    for bad in [
        json!({"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0"}),
        json!({"kty": "RSA"}),
        json!([]),
        json!(7),
        with(&ed, "kty", json!("XYZ")),
        with(&ed, "use", json!("enc")),
        with(&ed, "key_ops", json!(["encrypt"])),
        with(&ed, "alg", json!("HS256")),
        with(&rsa, "alg", json!("PS256")),
        with(&rsa, "alg", json!("HS256")),
        with(&ed, "crv", json!("Ed448")),
        with(&ec, "crv", json!("P-384")),
        with(&ec, "crv", json!("secp256k1")),
        with(&ed, "x", json!("")),
        with(&ed, "x", bytes(31)),
        with(&ed, "x", bytes(33)),
        with(&ed, "x", json!("!")),
        with(&ec, "y", bytes(31)),
        with(&ec, "y", json!(null)),
        with(&rsa, "n", bytes(128)),
        with(&rsa, "n", bytes(1024)),
        with(&rsa, "e", json!("")),
    ] {
        assert!(!usable(&bad), "{bad}");
        let beside = json!({"keys": [bad, ed]}).to_string();
        assert!(KeySet::parse(beside.as_bytes()).is_ok(), "one bad key does not spoil the others");
    }
}

#[test]
fn a_token_without_a_kid_needs_the_only_key_of_its_algorithm() {
    let set = |kids: &[&str]| KeySet::parse(set_of(kids).as_bytes()).expect("keys");
    assert!(matches!(set(&["a"]).find(None, Algorithm::EdDSA), Some(Ok(_))));
    assert!(matches!(set(&["a", "b"]).find(None, Algorithm::EdDSA), Some(Err(Unauthorized::UnknownKey))));
    assert!(set(&["a"]).find(None, Algorithm::RS256).is_none());
}

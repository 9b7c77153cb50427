use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};
use tokio_util::task::AbortOnDropHandle;

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
    answer: Mutex<(StatusCode, String)>,
    /// Its `Cache-Control`.
    freshness: Mutex<String>,
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
        Keys::new(Source::url(&self.address).expect("an address"), MAX_AGE)
    }

    /// Keys that are read in the background, once already.
    async fn kept_keys(&self) -> (Keys, AbortOnDropHandle<()>) {
        let keys = self.keys();
        let reader = keys.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(async move { reader.keep_read().await }));
        until(|| !keys.known().0.is_empty()).await;
        (keys, task)
    }
}

const MAX_AGE: Duration = Duration::from_secs(300);

const MINUTE: Duration = Duration::from_secs(60);

/// Lets time pass, for those who wait too.
async fn later(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes to hold");
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(state): State<Arc<Published>>) -> (StatusCode, [(&'static str, String); 2], String) {
    state.asked.fetch_add(1, Ordering::SeqCst);
    let (status, body) = state.answer.lock().expect("the lock").clone();
    let freshness = state.freshness.lock().expect("the lock").clone();
    if state.is_slow.load(Ordering::SeqCst) {
        state.was_asked.notify_one();
        state.go_on.notified().await;
    }
    (status, [("location", "/elsewhere".to_owned()), ("cache-control", freshness)], body)
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
async fn a_key_that_was_taken_out_is_refused_once_the_set_has_its_age() {
    let publisher = Publisher::start().await;
    let (keys, _task) = publisher.kept_keys().await;
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    assert_eq!(knows(&keys, "ed").await, Ok(()), "not yet");
    later(MAX_AGE).await;
    until(|| keys.known().find(Some("ed"), Algorithm::EdDSA).is_none()).await;
    assert_eq!(publisher.asked(), 2);
    assert_eq!(knows(&keys, "ed").await, Err(Unauthorized::UnknownKey));
    assert_eq!(knows(&keys, "new").await, Ok(()));
}

#[tokio::test]
async fn a_publisher_may_have_its_set_read_sooner() {
    let publisher = Publisher::start().await;
    *publisher.state.freshness.lock().expect("the lock") = "public, max-age=5".to_owned();
    let (keys, _task) = publisher.kept_keys().await;
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    later(Duration::from_secs(59)).await;
    assert!(keys.0.reading.lock().await.due > Instant::now(), "but not more often than once a minute");
    later(Duration::from_secs(16)).await;
    until(|| keys.known().find(Some("ed"), Algorithm::EdDSA).is_none()).await;
    assert_eq!(publisher.asked(), 2);
}

#[test]
fn pods_do_not_read_together_and_none_later_than_it_must() {
    let seconds = Duration::from_secs_f64;
    let day = 86_400.0;
    for (max_age, stated, least, most) in [
        (300.0, None, 240.0, 300.0),
        (300.0, Some(day), 240.0, 300.0),
        (300.0, Some(200.0), 160.0, 200.0),
        (300.0, Some(5.0), 60.0, 75.0),
        (300.0, Some(0.0), 60.0, 75.0),
        (300.0, Some(70.0), 60.0, 75.0),
        (10.0, None, 8.0, 10.0),
        (10.0, Some(5.0), 10.0, 10.0),
        (day, Some(u64::MAX as f64 / 2.0), 0.8 * day, day),
    ] {
        let drawn: Vec<Duration> = (0..200).map(|_| pause(seconds(max_age), stated.map(seconds))).collect();
        let is_right = |pause: &&Duration| (seconds(least)..=seconds(most)).contains(*pause);
        assert_eq!(drawn.iter().find(|pause| !is_right(pause)), None, "{max_age} {stated:?}");
        assert!(least == most || drawn.iter().any(|pause| *pause != drawn[0]), "{max_age} {stated:?}");
    }
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_at_once_and_then_not_for_a_minute() {
    let publisher = Publisher::start().await;
    let keys = publisher.keys();
    for _ in 0..3 {
        assert_eq!(knows(&keys, "new").await, Err(Unauthorized::UnknownKey));
    }
    assert_eq!(publisher.asked(), 1);
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    later(Duration::from_secs(59)).await;
    assert_eq!(knows(&keys, "new").await, Err(Unauthorized::UnknownKey));
    later(Duration::from_secs(1)).await;
    assert_eq!(knows(&keys, "new").await, Ok(()));
    assert_eq!(publisher.asked(), 2);
    assert_eq!(knows(&keys, "ed").await, Err(Unauthorized::UnknownKey), "a key that was withdrawn is worth nothing");
}

#[tokio::test]
async fn whatever_reading_brings_an_unknown_key_it_is_known() {
    let publisher = Publisher::start().await;
    let keys = publisher.keys();
    assert_eq!(knows(&keys, "new").await, Err(Unauthorized::UnknownKey));
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    assert_eq!(knows(&keys, "somebody else's").await, Err(Unauthorized::UnknownKey));
    assert_eq!(knows(&keys, "new").await, Ok(()));
    assert_eq!(publisher.asked(), 2);
}

#[tokio::test]
async fn five_unknown_keys_are_looked_for_at_once_and_then_one_every_ten_seconds() {
    let publisher = Publisher::start().await;
    let keys = publisher.keys();
    for n in 0..5 {
        assert_eq!(knows(&keys, &format!("stranger {n}")).await, Err(Unauthorized::UnknownKey), "{n}");
    }
    for n in 5..10 {
        assert_eq!(knows(&keys, &format!("stranger {n}")).await, Err(Unauthorized::KeysAway), "{n}");
    }
    assert_eq!(publisher.asked(), 5);
    assert_eq!(knows(&keys, "ed").await, Ok(()), "who is known does not notice");
    later(REFILL).await;
    assert_eq!(knows(&keys, "stranger 5").await, Err(Unauthorized::UnknownKey));
    assert_eq!(knows(&keys, "stranger 6").await, Err(Unauthorized::KeysAway));
    assert_eq!(publisher.asked(), 6);
    later(100 * REFILL).await;
    for n in 20..30 {
        let expected = if n < 25 { Unauthorized::UnknownKey } else { Unauthorized::KeysAway };
        assert_eq!(knows(&keys, &format!("stranger {n}")).await, Err(expected), "no more than five are saved: {n}");
    }
}

#[tokio::test]
async fn strangers_unknown_keys_keep_a_new_key_out_no_longer_than_to_the_next_reading() {
    let publisher = Publisher::start().await;
    let keys = publisher.keys();
    for n in 0..100 {
        assert!(knows(&keys, &format!("stranger {n}")).await.is_err());
    }
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    assert_eq!(knows(&keys, "new").await, Err(Unauthorized::KeysAway), "it is not said to be unknown");
    later(REFILL).await;
    // The strangers are first again.
    for n in 100..200 {
        assert!(knows(&keys, &format!("stranger {n}")).await.is_err());
    }
    assert_eq!(knows(&keys, "new").await, Ok(()));
    assert_eq!(publisher.asked(), 6);
}

#[test]
fn a_thousand_unknown_keys_are_remembered_and_the_old_ones_make_room() {
    let (mut unknown, start) = (Unknown::default(), Instant::now());
    let name = |n: u32| Unknown::name(Some(&n.to_string()), Algorithm::EdDSA);
    for n in 0..1500 {
        unknown.remember(name(n), start);
    }
    assert_eq!(unknown.0.len(), 1000);
    assert!(unknown.is_remembered(&name(999), start) && !unknown.is_remembered(&name(1000), start));
    unknown.remember(name(1000), start + MINUTE);
    assert_eq!(unknown.0.len(), 1);
    assert!(unknown.is_remembered(&name(1000), start + MINUTE));
    assert_ne!(Unknown::name(None, Algorithm::EdDSA), Unknown::name(Some("None"), Algorithm::EdDSA));
}

#[tokio::test]
async fn a_reading_that_began_before_a_key_was_published_does_not_make_it_unknown() {
    let publisher = Publisher::start().await;
    publisher.state.is_slow.store(true, Ordering::SeqCst);
    let keys = publisher.keys();
    let looking = |kid: &'static str| {
        let keys = keys.clone();
        tokio::spawn(async move { knows(&keys, kid).await })
    };
    let stranger = looking("stranger");
    publisher.state.was_asked.notified().await;
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    publisher.state.is_slow.store(false, Ordering::SeqCst);
    let new: Vec<_> = (0..50).map(|_| looking("new")).collect();
    tokio::task::yield_now().await;
    publisher.state.go_on.notify_one();
    assert_eq!(stranger.await.expect("no panic"), Err(Unauthorized::UnknownKey));
    for task in new {
        assert_eq!(task.await.expect("no panic"), Ok(()));
    }
    assert_eq!(publisher.asked(), 2, "they share the one that began after they came");
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_is_a_reading_that_failed() {
    let publisher = Publisher::start().await;
    publisher.state.is_slow.store(true, Ordering::SeqCst);
    let keys = publisher.keys();
    let waiting = tokio::spawn({
        let keys = keys.clone();
        async move { knows(&keys, "ed").await }
    });
    publisher.state.was_asked.notified().await;
    later(Duration::from_secs(5)).await;
    until(|| waiting.is_finished()).await;
    assert_eq!(waiting.await.expect("no panic"), Err(Unauthorized::KeysAway));
}

#[tokio::test]
async fn after_a_failure_the_background_reads_again_within_a_minute_or_so() {
    let publisher = Publisher::start().await;
    let (keys, _task) = publisher.kept_keys().await;
    publisher.publish(StatusCode::SERVICE_UNAVAILABLE, "");
    later(MAX_AGE).await;
    until(|| publisher.asked() == 2).await;
    // The reading is over when its lock is free.
    assert!(!keys.0.reading.lock().await.is_good);
    assert_eq!(knows(&keys, "ed").await, Ok(()));
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    later(Duration::from_secs(75)).await;
    until(|| keys.known().find(Some("new"), Algorithm::EdDSA).is_some()).await;
    assert_eq!(publisher.asked(), 3);
}

#[tokio::test]
async fn a_reading_that_fails_keeps_the_keys() {
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
        (StatusCode::OK, set_of(&["new"; 101])),
    ] {
        publisher.publish(status, body);
        let asked = publisher.asked();
        later(REFILL).await;
        assert_eq!(knows(&keys, "new").await, Err(Unauthorized::KeysAway));
        assert_eq!(publisher.asked(), asked + 1);
        assert_eq!(knows(&keys, "ed").await, Ok(()));
    }
    publisher.publish(StatusCode::OK, set_of(&["new"]));
    later(REFILL).await;
    assert_eq!(knows(&keys, "new").await, Ok(()), "what could not be looked for was not remembered");
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
async fn a_file_is_read_again_as_an_address_is() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key_set()).expect("written");
    let keys = Keys::of_file(file.path(), MAX_AGE).expect("keys");
    std::fs::write(file.path(), set_of(&["new"])).expect("written");
    assert_eq!(knows(&keys, "new").await, Ok(()));
    std::fs::write(file.path(), "half").expect("written");
    assert_eq!(knows(&keys, "ed").await, Err(Unauthorized::KeysAway));
    assert_eq!(knows(&keys, "new").await, Ok(()));

    let reader = keys.clone();
    let _task = AbortOnDropHandle::new(tokio::spawn(async move { reader.keep_read().await }));
    std::fs::write(file.path(), set_of(&["newer"])).expect("written");
    later(MAX_AGE).await;
    until(|| keys.known().find(Some("newer"), Algorithm::EdDSA).is_some()).await;
    assert_eq!(knows(&keys, "new").await, Err(Unauthorized::UnknownKey));
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for path in [folder.path(), &pipe] {
        let error = Keys::of_file(path, MAX_AGE).expect_err("no file");
        assert_eq!(format!("{error:#}"), "jwks-file: is no file");
    }
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

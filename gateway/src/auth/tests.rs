use std::{sync::LazyLock, time::Duration};

use jsonwebtoken::{EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

pub(super) const SECRET: &str = "a secret of at least thirty-two bytes";
// Keys made for these tests; they open nothing.
const RSA: &[u8] = include_bytes!("../../fixtures/rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("../../fixtures/rsa-public.pem");
const EC: &[u8] = include_bytes!("../../fixtures/ec.pem");
const ED: &[u8] = include_bytes!("../../fixtures/ed.pem");
const OTHER_ED: &[u8] = include_bytes!("../../fixtures/ed-other.pem");

/// 2030-01-01T00:00:00Z, and the seconds of it.
const NOW: u64 = 1_893_456_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(super) fn key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(RSA),
        Algorithm::ES256 => EncodingKey::from_ec_pem(EC),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(ED),
        _ => Ok(EncodingKey::from_secret(SECRET.as_bytes())),
    }
    .expect("a key")
}

/// The public part of a key, as it stands in a key set.
pub(super) fn public(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Value {
    let mut jwk = json!(jsonwebtoken::jwk::Jwk::from_encoding_key(key, algorithm).expect("a public key"));
    jwk["kid"] = json!(kid);
    jwk
}

/// The key set with the public keys `rsa`, `ec` and `ed`.
pub(super) fn key_set() -> String {
    static KEY_SET: LazyLock<String> = LazyLock::new(|| {
        let algorithms = [("rsa", Algorithm::RS256), ("ec", Algorithm::ES256), ("ed", Algorithm::EdDSA)];
        json!({"keys": algorithms.map(|(kid, algorithm)| public(&key(algorithm), algorithm, kid))}).to_string()
    });
    KEY_SET.clone()
}

pub(super) fn key_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key_set()).expect("written");
    file
}

pub(super) fn claims() -> Value {
    json!({"sub": "alice", "sid": "session 1", "net": "demo", "exp": NOW + 60})
}

pub(super) fn token(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey) -> Token {
    signed(algorithm, kid, key, &claims())
}

fn signed(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> Token {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    Token(encode(&header, claims, key).expect("a token"))
}

/// Nobody is trusted yet.
pub(super) const NOBODY: Trust<'_> = Trust {
    secrets: &[],
    jwks_url: None,
    jwks_file: None,
    jwks_max_age: Duration::from_secs(300),
    audiences: &[],
    issuers: &[],
};

pub(super) fn trusting(trust: Trust<'_>) -> Authenticator {
    Authenticator::new(trust).expect("settings")
}

fn with_secret() -> Authenticator {
    trusting(Trust { secrets: &[SECRET], ..NOBODY })
}

/// With the public keys alone.
fn with_keys() -> Authenticator {
    trusting(Trust { jwks_file: Some(key_file().path()), ..NOBODY })
}

pub(super) async fn check(authenticator: &Authenticator, token: &Token) -> Result<Verified, Unauthorized> {
    authenticator.authenticate(token, now()).await.map_err(|refused| refused.reason)
}

/// What becomes of these claims, signed as they should be.
async fn claim(claims: Value) -> Result<Verified, Unauthorized> {
    check(&with_secret(), &signed(Algorithm::HS256, None, &key(Algorithm::HS256), &claims)).await
}

#[tokio::test]
async fn all_four_algorithms_prove_a_session() {
    let (secret, keys) = (with_secret(), with_keys());
    for (authenticator, algorithm, kid) in [
        (&secret, Algorithm::HS256, None),
        (&secret, Algorithm::HS256, Some("whatever")),
        (&keys, Algorithm::RS256, Some("rsa")),
        (&keys, Algorithm::ES256, Some("ec")),
        (&keys, Algorithm::EdDSA, Some("ed")),
        (&keys, Algorithm::EdDSA, None),
    ] {
        let verified = check(authenticator, &token(algorithm, kid, &key(algorithm))).await.expect("a session");
        let session = Session { network: "demo".to_owned(), user: "alice".to_owned(), sid: "session 1".to_owned() };
        assert_eq!(verified.session, session, "{algorithm:?}");
        assert_eq!(verified.claims, ProfileClaims::default());
        assert_eq!(verified.expires_at, now() + Duration::from_secs(60));
    }
}

#[tokio::test]
async fn what_another_key_signed_is_refused() {
    let other_secret = EncodingKey::from_secret(b"another secret of at least thirty-two bytes");
    let forged = token(Algorithm::HS256, None, &other_secret);
    assert_eq!(check(&with_secret(), &forged).await.err(), Some(Unauthorized::Signature));

    let other_ed = EncodingKey::from_ed_pem(OTHER_ED).expect("a key");
    let forged = token(Algorithm::EdDSA, Some("ed"), &other_ed);
    assert_eq!(check(&with_keys(), &forged).await.err(), Some(Unauthorized::Signature));

    let good = token(Algorithm::ES256, Some("ec"), &key(Algorithm::ES256)).0;
    let parts: Vec<&str> = good.split('.').collect();
    let nameless = token(Algorithm::ES256, None, &key(Algorithm::ES256)).0;
    let header = nameless.split('.').next().expect("a header");
    let more = signed(Algorithm::ES256, Some("ec"), &key(Algorithm::ES256), &json!({"sub": "root"})).0;
    let payload = more.split('.').nth(1).expect("a payload");
    for (what, token) in [
        ("another payload", format!("{}.{payload}.{}", parts[0], parts[2])),
        ("another header", format!("{header}.{}.{}", parts[1], parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("half a signature", good[..good.len() - 42].to_owned()),
    ] {
        assert_eq!(check(&with_keys(), &Token(token)).await.err(), Some(Unauthorized::Signature), "{what}");
    }
}

#[tokio::test]
async fn an_algorithm_is_only_taken_from_the_key_that_is_for_it() {
    let (secret, keys) = (with_secret(), with_keys());
    let file = key_file();
    let both = trusting(Trust { secrets: &[SECRET], jwks_file: Some(file.path()), ..NOBODY });

    // Who has no secret could otherwise sign with what everyone can read.
    for public in [RSA_PUBLIC, &RSA_PUBLIC[..RSA_PUBLIC.len() - 1], key_set().as_bytes()] {
        let forged = token(Algorithm::HS256, Some("rsa"), &EncodingKey::from_secret(public));
        assert_eq!(check(&keys, &forged).await.err(), Some(Unauthorized::Algorithm));
        assert_eq!(check(&both, &forged).await.err(), Some(Unauthorized::Signature));
    }
    for (authenticator, token) in [
        (&secret, token(Algorithm::RS256, Some("rsa"), &key(Algorithm::RS256))),
        (&secret, token(Algorithm::HS512, None, &key(Algorithm::HS512))),
        (&secret, token(Algorithm::HS384, None, &key(Algorithm::HS384))),
        (&keys, token(Algorithm::RS512, Some("rsa"), &key(Algorithm::RS256))),
        (&keys, token(Algorithm::PS256, Some("rsa"), &key(Algorithm::RS256))),
        (&keys, token(Algorithm::EdDSA, Some("ec"), &key(Algorithm::EdDSA))),
        (&keys, token(Algorithm::ES256, Some("rsa"), &key(Algorithm::ES256))),
        (&both, token(Algorithm::ES256, Some("ed"), &key(Algorithm::ES256))),
    ] {
        assert_eq!(check(authenticator, &token).await.err(), Some(Unauthorized::Algorithm));
    }
    let unknown = token(Algorithm::EdDSA, Some("unknown"), &key(Algorithm::EdDSA));
    assert!(matches!(check(&keys, &unknown).await, Err(Unauthorized::KeysAway | Unauthorized::UnknownKey)));
}

fn unsigned(header: &str, payload: &str) -> Token {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    Token(format!("{}.{}.", BASE64.encode(header), BASE64.encode(payload)))
}

#[tokio::test]
async fn garbage_is_refused() {
    let payload = claims().to_string();
    let good = token(Algorithm::HS256, None, &key(Algorithm::HS256)).0;
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..Header::new(Algorithm::HS256) };
    let critical = Token(encode(&critical, &claims(), &key(Algorithm::HS256)).expect("a token"));
    let text = |text: &str| Token(text.to_owned());
    for token in [
        unsigned(r#"{"alg":"none"}"#, &payload),
        unsigned(r#"{"alg":"None"}"#, &payload),
        unsigned(r#"{"alg":"NONE","typ":"JWT"}"#, &payload),
        unsigned(r#"{"alg":""}"#, &payload),
        unsigned(r#"{"alg":null}"#, &payload),
        unsigned(r#"{"alg":["HS256"]}"#, &payload),
        unsigned(r#"{"typ":"JWT"}"#, &payload),
        unsigned("", &payload),
        unsigned("[]", &payload),
        unsigned(&"[".repeat(5000), &payload),
        unsigned(r#"{"alg":"HS256","alg":"none"}"#, &payload),
        critical,
        text(""),
        text("."),
        text(".."),
        text("..."),
        text("a.b.c"),
        text("not a token"),
        text("é.é.é"),
        text("null"),
        text(&good.replace('.', "")),
        text(&format!("{good}.")),
        text(&format!("{good}.{good}")),
        text(&format!(" {good}")),
        text(&format!("{good}=")),
        text(&format!("{good}\n")),
        text(&"a".repeat(MAX_TOKEN_BYTES)),
        text(&"a".repeat(MAX_TOKEN_BYTES + 1)),
        text(&format!("{}.{}", "a".repeat(10_000), "b".repeat(10_000))),
    ] {
        let refused = check(&with_secret(), &token).await.err();
        assert!(matches!(refused, Some(Unauthorized::Malformed)), "{:?}: {refused:?}", token.0);
    }
}

#[tokio::test]
async fn every_required_claim_is_required_and_must_be_fitting() {
    for name in ["sub", "sid", "net", "exp"] {
        let mut missing = claims();
        missing.as_object_mut().expect("claims").remove(name);
        assert_eq!(claim(missing).await.err(), Some(Unauthorized::Claim(name)));
        let mut null = claims();
        null[name] = Value::Null;
        assert_eq!(claim(null).await.err(), Some(Unauthorized::Claim(name)));
    }
    for (name, value) in [
        ("sub", json!("")),
        ("sub", json!("a:b")),
        ("sub", json!("a+b")),
        ("sub", json!("a b")),
        ("sub", json!("a".repeat(129))),
        ("net", json!("")),
        ("net", json!("a\u{0}")),
        ("net", json!("demo:1")),
        ("sid", json!("")),
        ("sid", json!("a\nb")),
        ("sid", json!("é".repeat(129))),
    ] {
        let mut bad = claims();
        bad[name] = value.clone();
        assert_eq!(claim(bad).await.err(), Some(Unauthorized::Claim(name)), "{value}");
    }
    for (name, value) in [
        ("sub", json!(7)),
        ("sid", json!(["a"])),
        ("net", json!({})),
        ("exp", json!("1893456060")),
        ("exp", json!(true)),
        ("nbf", json!("now")),
    ] {
        let mut bad = claims();
        bad[name] = value.clone();
        assert_eq!(claim(bad).await.err(), Some(Unauthorized::Malformed), "{name} {value}");
    }
    let mut good = claims();
    good["sid"] = json!("é:+ ".repeat(32));
    assert!(claim(good).await.is_ok());
    assert_eq!(claim(json!([])).await.err(), Some(Unauthorized::Malformed));
}

#[tokio::test]
async fn exp_and_nbf_have_no_leeway() {
    let authenticator = with_secret();
    let token = signed(
        Algorithm::HS256,
        None,
        &key(Algorithm::HS256),
        &json!({"sub": "alice", "sid": "1", "net": "demo", "nbf": NOW, "exp": NOW + 60}),
    );
    let micro = Duration::from_micros(1);
    for (at, expected) in [
        (now() - micro, Some(Unauthorized::NotYetValid)),
        (now(), None),
        (now() + Duration::from_secs(60) - micro, None),
        (now() + Duration::from_secs(60), Some(Unauthorized::Expired)),
        (now() + Duration::from_secs(60) + micro, Some(Unauthorized::Expired)),
        (SystemTime::UNIX_EPOCH, Some(Unauthorized::NotYetValid)),
    ] {
        let refused = authenticator.authenticate(&token, at).await.err();
        assert_eq!(refused.map(|refused| refused.reason), expected, "{at:?}");
    }
}

#[tokio::test]
async fn times_may_have_a_fraction_or_any_size() {
    let never = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    for (exp, expires_at) in [
        (json!(NOW as f64 + 0.5), Ok(now() + Duration::from_millis(500))),
        (json!(u64::MAX), Ok(never)),
        (json!(1e300), Ok(never)),
        (json!(f64::MAX), Ok(never)),
        (json!(-1), Err(Unauthorized::Expired)),
        (json!(-1e300), Err(Unauthorized::Expired)),
        (json!(i64::MIN), Err(Unauthorized::Expired)),
        (json!(0), Err(Unauthorized::Expired)),
        (json!(NOW as f64 - 0.000_001), Err(Unauthorized::Expired)),
    ] {
        let mut claims = claims();
        claims["exp"] = exp.clone();
        assert_eq!(claim(claims).await.map(|verified| verified.expires_at), expires_at, "{exp}");
    }
    for (nbf, is_valid) in [(json!(u64::MAX), false), (json!(1e300), false), (json!(-1e300), true), (json!(null), true)]
    {
        let mut claims = claims();
        claims["nbf"] = nbf.clone();
        assert_eq!(claim(claims).await.is_ok(), is_valid, "{nbf}");
    }
}

#[tokio::test]
async fn profile_claims_are_taken_where_they_fit_and_never_refuse_a_session() {
    let mut full = claims();
    for (name, value) in [
        ("given_name", json!("Alice")),
        ("family_name", json!("Liddell")),
        ("email", json!("alice@example.org")),
        ("email_verified", json!(true)),
        ("phone_number", json!("+4930123456")),
        ("picture", json!("https://example.org/alice.png")),
        ("zoneinfo", json!("Europe/Berlin")),
        ("aud", json!(["somebody", "else"])),
        ("iss", json!("https://issuer.example.org")),
        ("unknown", json!({"a": [1, 2]})),
    ] {
        full[name] = value;
    }
    let expected = ProfileClaims {
        given_name: "Alice".to_owned(),
        family_name: "Liddell".to_owned(),
        email: "alice@example.org".to_owned(),
        email_verified: true,
        phone_number: "+4930123456".to_owned(),
        picture: "https://example.org/alice.png".to_owned(),
        zoneinfo: "Europe/Berlin".to_owned(),
    };
    assert_eq!(claim(full).await.expect("a session").claims, expected);

    let mut odd = claims();
    for (name, value) in [
        ("given_name", json!(7)),
        ("family_name", json!("a\u{0}b")),
        ("email", json!(null)),
        ("email_verified", json!("true")),
        ("phone_number", json!(["+49"])),
        ("picture", json!("x".repeat(3000))),
    ] {
        odd[name] = value;
    }
    assert_eq!(claim(odd).await.expect("a session").claims, ProfileClaims::default());
}

#[tokio::test]
async fn either_of_two_secrets_is_good_and_a_third_is_not() {
    const OTHER: &str = "another secret of at least thirty-two bytes";
    let both = trusting(Trust { secrets: &[OTHER, SECRET], ..NOBODY });
    let signed = |secret: &str| token(Algorithm::HS256, None, &EncodingKey::from_secret(secret.as_bytes()));
    for secret in [OTHER, SECRET] {
        assert!(check(&both, &signed(secret)).await.is_ok(), "{secret}");
    }
    for secret in ["a third secret of at least thirty-two bytes", &format!("{OTHER},{SECRET}")] {
        assert_eq!(check(&both, &signed(secret)).await.err(), Some(Unauthorized::Signature), "{secret}");
    }
}

#[tokio::test]
async fn two_keys_of_one_name_are_both_good_while_one_replaces_the_other() {
    let other = EncodingKey::from_ed_pem(OTHER_ED).expect("a key");
    let keys = [&key(Algorithm::EdDSA), &other].map(|key| public(key, Algorithm::EdDSA, "ed"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), json!({"keys": keys}).to_string()).expect("written");
    let both = trusting(Trust { jwks_file: Some(file.path()), ..NOBODY });
    for key in [&key(Algorithm::EdDSA), &other] {
        assert!(check(&both, &token(Algorithm::EdDSA, Some("ed"), key)).await.is_ok());
    }
    let forged = token(Algorithm::EdDSA, Some("ed"), &key(Algorithm::EdDSA)).0;
    let forged = Token(forged[..forged.len() - 42].to_owned());
    assert_eq!(check(&both, &forged).await.err(), Some(Unauthorized::Signature));
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn aud_must_hold_one_of_the_audiences_where_they_are_set() {
    let audiences = names(&["convene", "calendar"]);
    let set = trusting(Trust { secrets: &[SECRET], audiences: &audiences, ..NOBODY });
    let refused = Some(Unauthorized::Audience);
    for (aud, expected) in [
        (json!("convene"), None),
        (json!("calendar"), None),
        (json!(["other", "calendar"]), None),
        (json!([7, null, "convene"]), None),
        (json!("Convene"), refused),
        (json!("convene,calendar"), refused),
        (json!(["other"]), refused),
        (json!([]), refused),
        (json!(""), refused),
        (json!(null), refused),
        (json!(7), refused),
        (json!({"convene": "convene"}), refused),
        (json!([["convene"]]), refused),
    ] {
        let mut claims = claims();
        claims["aud"] = aud.clone();
        let token = signed(Algorithm::HS256, None, &key(Algorithm::HS256), &claims);
        assert_eq!(check(&set, &token).await.err(), expected, "{aud}");
        assert!(check(&with_secret(), &token).await.is_ok(), "unset, it is not looked at: {aud}");
    }
    let without = token(Algorithm::HS256, None, &key(Algorithm::HS256));
    assert_eq!(check(&set, &without).await.err(), refused);
}

#[tokio::test]
async fn iss_must_be_one_of_the_issuers_where_they_are_set() {
    let issuers = names(&["https://accounts.example.org", "other"]);
    let set = trusting(Trust { secrets: &[SECRET], issuers: &issuers, ..NOBODY });
    let refused = Some(Unauthorized::Issuer);
    for (iss, expected) in [
        (json!("https://accounts.example.org"), None),
        (json!("other"), None),
        (json!("https://accounts.example.org/"), refused),
        (json!(["other"]), refused),
        (json!(""), refused),
        (json!(null), refused),
    ] {
        let mut claims = claims();
        claims["iss"] = iss.clone();
        let token = signed(Algorithm::HS256, None, &key(Algorithm::HS256), &claims);
        assert_eq!(check(&set, &token).await.err(), expected, "{iss}");
        assert!(check(&with_secret(), &token).await.is_ok(), "unset, it is not looked at: {iss}");
    }
    let without = token(Algorithm::HS256, None, &key(Algorithm::HS256));
    assert_eq!(check(&set, &without).await.err(), refused);
}

#[tokio::test]
async fn a_refusal_says_what_helps_and_nothing_of_the_person() {
    let (audiences, issuers) = (names(&["convene"]), names(&["us"]));
    let secret = with_secret();
    let file = key_file();
    let keys = trusting(Trust { jwks_file: Some(file.path()), ..NOBODY });
    let demanding = trusting(Trust { secrets: &[SECRET], audiences: &audiences, issuers: &issuers, ..NOBODY });
    let with = |name: &str, value: Value| {
        let mut claims = json!({"sub": "alice", "sid": "s", "net": "demo", "exp": NOW + 60, "iss": "us", "aud": "convene",
            "email": "alice@example.org"});
        claims[name] = value;
        signed(Algorithm::HS256, None, &key(Algorithm::HS256), &claims)
    };
    let other = EncodingKey::from_ed_pem(OTHER_ED).expect("a key");
    for (authenticator, token, reason, detail) in [
        (&secret, with("exp", json!(NOW - 90)), Unauthorized::Expired, "90 s ago"),
        (&secret, with("nbf", json!(NOW as f64 + 0.5)), Unauthorized::NotYetValid, "in 1 s"),
        (&secret, with("sid", json!(null)), Unauthorized::Claim("sid"), "claim sid"),
        (&demanding, with("aud", json!(["a", "b\n", "c", "d"])), Unauthorized::Audience, r#"aud "a", "b?", "c""#),
        (&demanding, with("aud", json!(null)), Unauthorized::Audience, "aud none"),
        (&demanding, with("iss", json!("them")), Unauthorized::Issuer, r#"iss "them""#),
        (&keys, token(Algorithm::EdDSA, Some("ed"), &other), Unauthorized::Signature, r#"algorithm EdDSA, kid "ed""#),
        (
            &keys,
            token(Algorithm::EdDSA, Some("a\u{1b}[31m"), &other),
            Unauthorized::UnknownKey,
            r#"algorithm EdDSA, kid "a?[31m""#,
        ),
        (
            &keys,
            token(Algorithm::HS256, None, &key(Algorithm::HS256)),
            Unauthorized::Algorithm,
            "algorithm HS256, kid none",
        ),
    ] {
        let refused = authenticator.authenticate(&token, now()).await.expect_err(detail);
        assert_eq!(refused, Refused::new(reason, detail));
    }
}

fn headers(fields: &[(&'static str, &[u8])]) -> HeaderMap {
    let value = |value: &[u8]| axum::http::HeaderValue::from_bytes(value).expect("a value");
    fields.iter().map(|(name, text)| (axum::http::HeaderName::from_static(name), value(text))).collect()
}

#[test]
fn the_first_source_that_is_there_decides() {
    type Fields<'a> = &'a [(&'static str, &'a [u8])];
    let cases: &[(Fields<'_>, Option<&str>, Option<&str>)] = &[
        (&[], None, None),
        (&[], Some(""), None),
        (&[], Some("sessionid=a&session=b"), None),
        (&[("authorization", b"Bearer a")], Some("sessionId=c"), Some("a")),
        (&[("authorization", b"bearer  a ")], None, Some("a")),
        (&[("authorization", b"Bearer a"), ("x-session-id", b"b")], None, Some("a")),
        (&[("authorization", b"Bearer"), ("x-session-id", b"b")], Some("sessionId=c"), Some("")),
        (&[("authorization", b"Bearer \xff"), ("x-session-id", b"b")], None, Some("\u{fffd}")),
        (&[("authorization", b"Basic YTpi"), ("x-session-id", b"b")], Some("sessionId=c"), Some("b")),
        (&[("authorization", b"Basic YTpi"), ("authorization", b"Bearer a")], None, Some("a")),
        (&[("authorization", b"Bearera")], None, None),
        (&[("x-session-id", b"")], Some("sessionId=c"), Some("")),
        (&[("x-session-id", b"\xff")], Some("sessionId=c"), Some("")),
        (&[("authorization", b"Basic YTpi")], Some("sessionId=c"), Some("c")),
        (&[("sec-websocket-protocol", b"convene, token.p")], Some("sessionId=c"), Some("p")),
        (&[("sec-websocket-protocol", b" ,token.p ,\ttoken.q")], None, Some("p")),
        (&[("sec-websocket-protocol", b"convene"), ("sec-websocket-protocol", b"token.p")], None, Some("p")),
        (&[("sec-websocket-protocol", b"convene, token.")], Some("sessionId=c"), Some("")),
        (&[("sec-websocket-protocol", b"token.\xff")], None, Some("\u{fffd}")),
        (&[("sec-websocket-protocol", b"convene, Token.p, xtoken.p")], Some("sessionId=c"), Some("c")),
        (&[("x-session-id", b"b"), ("sec-websocket-protocol", b"convene, token.p")], None, Some("b")),
        (&[("authorization", b"Bearer a"), ("sec-websocket-protocol", b"convene, token.p")], None, Some("a")),
        (&[], Some("a=1&sessionId=c&sessionId=d"), Some("c")),
        (&[], Some("sessionId"), Some("")),
        (&[], Some("sessionId=a%2Eb%2ec"), Some("a.b.c")),
        (&[], Some("session%49d=c"), Some("c")),
        (&[], Some("sessionId=%zz%"), Some("%zz%")),
    ];
    for (fields, query, expected) in cases {
        let token = token_of(&headers(fields), *query);
        assert_eq!(token.as_ref().map(|token| token.0.as_str()), *expected, "{fields:?} {query:?}");
    }
}

#[test]
fn a_token_is_never_printed() {
    let token = token(Algorithm::HS256, None, &key(Algorithm::HS256));
    assert_eq!(format!("{token:?}"), "Token(…)");
    assert!(!format!("{:?}", with_secret()).contains("secret of"));
}

#[test]
fn a_missing_or_malformed_setting_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{}").expect("written");
    let missing = folder.path().join("missing.json");
    for (secret, url, file, name) in [
        (None, None, None, "jwt-secret"),
        (Some(""), None, None, "jwt-secret"),
        (Some(&SECRET[..31]), None, None, "jwt-secret"),
        (None, Some("nonsense"), None, "jwks-url"),
        (None, Some("file:///etc/passwd"), None, "jwks-url"),
        (None, Some("https://user:password@"), None, "jwks-url"),
        (None, None, Some(&broken), "jwks-file"),
        (None, None, Some(&missing), "jwks-file"),
        (None, Some("https://example.org/keys"), Some(&broken), "jwks-url"),
    ] {
        let file = file.map(std::path::PathBuf::as_path);
        let secrets: Vec<&str> = secret.into_iter().collect();
        let trust = Trust { secrets: &secrets, jwks_url: url, jwks_file: file, ..NOBODY };
        let error = Authenticator::new(trust).expect_err(name);
        let message = format!("{error:#}");
        assert!(message.contains(name) && !message.contains("password") && !message.contains('\n'), "{message}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(text in "\\PC{0,60}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,90}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        prop_assert!(runtime.block_on(check(&with_secret(), &Token(text))).is_err());
    }

    #[test]
    fn no_header_or_payload_panics_or_passes(
        header in "\\{\"alg\":\"(none|HS256|RS256|ES256|EdDSA|PS512)\"(,\"kid\":\"\\PC{0,5}\")?\\}|\\PC{0,30}",
        payload in "\\PC{0,40}",
        signature in "[A-Za-z0-9_-]{0,90}",
    ) {
        static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
            trusting(Trust { secrets: &[SECRET], jwks_file: Some(key_file().path()), ..NOBODY })
        });
        let token = Token(unsigned(&header, &payload).0 + &signature);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        prop_assert!(runtime.block_on(check(&AUTHENTICATOR, &token)).is_err());
    }
}

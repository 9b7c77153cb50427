//! What holds for every token: it proves a session when one of our keys has signed it as it is, and else nothing.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::tests::{NOBODY, SECRET, check, claims, key, key_file, token, trusting};
use super::*;

static AUTHENTICATOR: LazyLock<Authenticator> =
    LazyLock::new(|| trusting(Trust { secrets: &[SECRET], jwks_file: Some(key_file().path()), ..NOBODY }));

/// A good token for each algorithm that we take.
static GOOD: LazyLock<[String; 4]> = LazyLock::new(|| {
    [
        (Algorithm::HS256, None),
        (Algorithm::RS256, Some("rsa")),
        (Algorithm::ES256, Some("ec")),
        (Algorithm::EdDSA, Some("ed")),
    ]
    .map(|(algorithm, kid)| token(algorithm, kid, &key(algorithm)).0)
});

fn verified(token: &str) -> Result<Verified, Unauthorized> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(check(&AUTHENTICATOR, &Token(token.to_owned())))
}

/// One change of a text.
#[derive(Clone, Debug)]
enum Change {
    Put(usize, char),
    Insert(usize, char),
    Remove(usize),
    Swap(usize, usize),
    Repeat(usize, usize),
    Cut(usize),
}

impl Change {
    fn on(&self, text: &mut Vec<char>) {
        let place = |at: usize, text: &[char]| at % text.len().max(1);
        if text.is_empty() {
            return;
        }
        match *self {
            Self::Put(at, character) => {
                let at = place(at, text);
                text[at] = character;
            }
            Self::Insert(at, character) => text.insert(place(at, text), character),
            Self::Remove(at) => drop(text.remove(place(at, text))),
            Self::Swap(a, b) => {
                let (a, b) = (place(a, text), place(b, text));
                text.swap(a, b);
            }
            Self::Repeat(at, count) => {
                let at = place(at, text);
                let part: Vec<char> = text[at..(at + count).min(text.len())].to_vec();
                text.splice(at..at, part);
            }
            Self::Cut(at) => text.truncate(place(at, text)),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>();
    let character = prop_oneof![
        4 => proptest::char::ranges(vec!['a'..='z', 'A'..='Z', '0'..='9', '-'..='.', '_'..='_'].into()),
        1 => any::<char>(),
    ];
    prop_oneof![
        (at, character.clone()).prop_map(|(at, character)| Change::Put(at, character)),
        (at, character).prop_map(|(at, character)| Change::Insert(at, character)),
        at.prop_map(Change::Remove),
        (at, at).prop_map(|(a, b)| Change::Swap(a, b)),
        (at, 1..400_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        at.prop_map(Change::Cut),
    ]
}

proptest! {
    #[test]
    fn a_token_that_was_changed_in_any_way_is_refused(
        which in 0..4_usize, changes in proptest::collection::vec(change(), 1..4),
    ) {
        let mut text: Vec<char> = GOOD[which].chars().collect();
        changes.iter().for_each(|change| change.on(&mut text));
        let changed: String = text.into_iter().collect();
        prop_assert_eq!(verified(&changed).is_ok(), changed == GOOD[which], "{}", changed);
    }

    #[test]
    fn parts_of_different_good_tokens_make_no_good_one(header in 0..4_usize, payload in 0..4_usize, signature in 0..4_usize) {
        let part = |which: usize, index: usize| GOOD[which].split('.').nth(index).expect("three parts").to_owned();
        let mixed = [part(header, 0), part(payload, 1), part(signature, 2)].join(".");
        // All claim the same, so that the payload is anybody's.
        prop_assert_eq!(verified(&mixed).is_ok(), header == signature, "{}", mixed);
    }

    #[test]
    fn no_header_makes_a_signature_good_that_is_of_another(
        which in 0..4_usize,
        algorithm in prop_oneof![
            select(&["none", "None", "HS256", "HS384", "HS512", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "hs256", "Ed25519", ""][..])
                .prop_map(|name| json!(name)),
            Just(json!(null)), Just(json!(["HS256"])), Just(json!({})), Just(json!(256)),
        ],
        kid in prop_oneof![
            select(&["rsa", "ec", "ed", "../../dev/null", "' UNION SELECT '", "http://x/", "", "\0"][..]).prop_map(|kid| json!(kid)),
            any::<String>().prop_map(|kid| json!(kid)), Just(json!(null)), Just(json!(7)), Just(json!(["ed"])),
        ],
        more in select(&["", ",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}", ",\"jku\":\"http://127.0.0.1:1/\"", ",\"x5u\":\"http://127.0.0.1:1/\"",
            ",\"crit\":[\"exp\"]", ",\"zip\":\"DEF\"", ",\"b64\":false", ",\"typ\":\"JWE\",\"enc\":\"A256GCM\""][..]),
    ) {
        let header = BASE64.encode(format!("{{\"alg\":{algorithm},\"kid\":{kid}{more}}}"));
        let (original, rest) = GOOD[which].split_once('.').expect("three parts");
        let forged = format!("{header}.{rest}");
        prop_assert_eq!(verified(&forged).is_ok(), header == original, "{}", forged);
    }

    #[test]
    fn whatever_a_good_signature_says_is_a_session_or_none(
        sub in prop_oneof![any::<String>().prop_map(|text| json!(text)), Just(json!(null)), Just(json!(["a"])), Just(json!("alice"))],
        net in prop_oneof![any::<String>().prop_map(|text| json!(text)), Just(json!({})), Just(json!("demo"))],
        sid in prop_oneof![any::<String>().prop_map(|text| json!(text)), Just(json!(1e300)), Just(json!("s"))],
        exp in prop_oneof![any::<f64>().prop_map(|at| json!(at)), any::<i64>().prop_map(|at| json!(at)), any::<u64>().prop_map(|at| json!(at))],
        name in any::<String>(),
    ) {
        let all = json!({"sub": sub, "net": net, "sid": sid, "exp": exp, "given_name": name, "email": name});
        let header = jsonwebtoken::Header::new(Algorithm::HS256);
        let token = jsonwebtoken::encode(&header, &all, &key(Algorithm::HS256)).expect("a token");
        if let Ok(Verified { session, claims, .. }) = verified(&token) {
            prop_assert_eq!((json!(session.user), json!(session.network), json!(session.sid)), (sub, net, sid));
            for id in [&session.user, &session.network] {
                prop_assert!(shared::api::is_identifier(id), "{:?}", id);
            }
            prop_assert!((1..=128).contains(&session.sid.chars().count()) && !session.sid.contains(char::is_control));
            prop_assert!(!claims.given_name.contains(char::is_control));
        }
    }
}

#[test]
fn what_is_not_changed_is_good() {
    for good in GOOD.iter() {
        assert_eq!(verified(good).map(|verified| verified.session.user), Ok("alice".to_owned()));
    }
    let said: Value =
        serde_json::from_slice(&BASE64.decode(GOOD[0].split('.').nth(1).expect("a payload")).expect("base64"))
            .expect("JSON");
    assert_eq!(said, claims());
}

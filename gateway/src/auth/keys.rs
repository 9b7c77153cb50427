//! The public keys that tokens are checked with, and when they are read again.
//!
//! Keys are kept until a token names one that is not known; then they are read again, by one reader at a time and at most
//! once a minute. A reading that fails leaves the keys as they are.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

use super::{Unauthorized, source::Source};

/// Keys are not read again sooner after the last time.
const PAUSE: Duration = Duration::from_secs(60);

/// Of a key set so many keys are looked at.
const MAX_KEYS: usize = 100;

/// A key set and its source. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keys(Arc<Inner>);

struct Inner {
    source: Source,
    known: RwLock<Arc<KeySet>>,
    /// Held while they are read.
    reading: Arc<Mutex<Reading>>,
}

/// The last time that the keys were read again.
#[derive(Default)]
struct Reading {
    began: Option<Instant>,
    has_failed: bool,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("source", &self.0.source).field("known", &self.known().0.len()).finish()
    }
}

impl Keys {
    /// No keys yet.
    pub(super) fn new(source: Source) -> Self {
        Self::holding(source, KeySet::default())
    }

    /// The keys of a file.
    pub(super) fn read(source: Source) -> Result<Self> {
        let keys = match &source {
            Source::File(path) => Source::read(path).and_then(|json| KeySet::parse(&json)).context("jwks-file")?,
            Source::Url(..) => KeySet::default(),
        };
        Ok(Self::holding(source, keys))
    }

    fn holding(source: Source, keys: KeySet) -> Self {
        Self(Arc::new(Inner { source, known: RwLock::new(Arc::new(keys)), reading: Arc::default() }))
    }

    fn known(&self) -> Arc<KeySet> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key of that name for that algorithm, or without a name the only one for it.
    ///
    /// # Errors
    /// [`Unauthorized::Algorithm`] when the key is for another one, [`Unauthorized::UnknownKey`],
    /// [`Unauthorized::KeysAway`].
    pub(super) async fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Unauthorized> {
        if let Some(found) = self.known().find(kid, algorithm) {
            return found;
        }
        let has_failed = self.read_again().await;
        let unknown = if has_failed { Unauthorized::KeysAway } else { Unauthorized::UnknownKey };
        self.known().find(kid, algorithm).unwrap_or(Err(unknown))
    }

    /// Reads the keys again, unless that was done within [`PAUSE`]. Whether it failed the last time.
    ///
    /// Whoever comes while they are read waits for that reading. It goes on when they go away, so that nobody can keep
    /// the keys from being read by hanging up.
    async fn read_again(&self) -> bool {
        let mut reading = self.0.reading.clone().lock_owned().await;
        if reading.began.is_some_and(|began| began.elapsed() < PAUSE) {
            return reading.has_failed;
        }
        let keys = self.clone();
        let task = tokio::spawn(async move {
            reading.began = Some(Instant::now());
            let result = keys.0.source.load().await.and_then(|json| KeySet::parse(&json));
            reading.has_failed = result.is_err();
            match result {
                Ok(set) => *keys.0.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the keys of tokens could not be read"),
            }
            reading.has_failed
        });
        task.await.unwrap_or(true)
    }
}

/// Keys that can be used.
#[derive(Default)]
struct KeySet(Vec<Key>);

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a key set. Keys for other purposes or algorithms are passed over, symmetric ones always: who can read the set
    /// could sign with them.
    fn parse(json: &[u8]) -> Result<Self> {
        let Jwks { keys } = serde_json::from_slice(json).ok().context("not a JSON Web Key Set")?;
        let keys: Vec<Key> = keys
            .into_iter()
            .take(MAX_KEYS)
            .filter_map(|key| serde_json::from_value(key).ok())
            .filter_map(Jwk::into_key)
            .collect();
        ensure!(!keys.is_empty(), "holds no key for RS256, ES256 or EdDSA");
        Ok(Self(keys))
    }

    /// `None` when nothing is known under that name: perhaps not yet.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Result<DecodingKey, Unauthorized>> {
        let fits = |key: &&Key| key.algorithm == algorithm;
        let Some(kid) = kid else {
            let mut fitting = self.0.iter().filter(fits);
            let first = fitting.next()?;
            let is_only = fitting.next().is_none();
            return Some(if is_only { Ok(first.key.clone()) } else { Err(Unauthorized::UnknownKey) });
        };
        let mut named = self.0.iter().filter(|key| key.kid.as_deref() == Some(kid)).peekable();
        named.peek()?;
        Some(named.find(fits).map(|key| key.key.clone()).ok_or(Unauthorized::Algorithm))
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

/// The members of a JSON Web Key that we need.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn into_key(self) -> Option<Key> {
        let is_for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !is_for_signatures {
            return None;
        }
        let (algorithm, names, key): (_, &[&str], _) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (Algorithm::RS256, &["RS256"], self.rsa()?),
            ("EC", Some("P-256")) => (Algorithm::ES256, &["ES256"], self.p256()?),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, &["EdDSA", "Ed25519"], self.ed25519()?),
            _ => return None,
        };
        let is_for_another = self.alg.as_deref().is_some_and(|name| !names.contains(&name));
        (!is_for_another).then_some(Key { kid: self.kid, algorithm, key })
    }

    /// From 2048 bits (RFC 7518 3.3) to the 4096 that the verifier takes.
    fn rsa(&self) -> Option<DecodingKey> {
        let modulus = decode(self.n.as_deref()?)?;
        let exponent = decode(self.e.as_deref()?)?;
        let bytes = modulus.iter().skip_while(|byte| **byte == 0).count();
        ((256..=512).contains(&bytes) && (1..=8).contains(&exponent.len()))
            .then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
    }

    fn p256(&self) -> Option<DecodingKey> {
        let (x, y) = (decode(self.x.as_deref()?)?, decode(self.y.as_deref()?)?);
        // An uncompressed point (SEC 1 2.3.3).
        (x.len() == 32 && y.len() == 32).then(|| DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat()))
    }

    /// The verifier would panic on a shorter one.
    fn ed25519(&self) -> Option<DecodingKey> {
        let x = decode(self.x.as_deref()?)?;
        (x.len() == 32).then(|| DecodingKey::from_ed_der(&x))
    }
}

fn decode(base64url: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(base64url.trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests;

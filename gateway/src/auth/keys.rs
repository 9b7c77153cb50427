//! The public keys that tokens are checked with, and when they are read again.
//!
//! | they are read | when |
//! | --- | --- |
//! | in the background | `jwks-max-age` after the last time; sooner when their `Cache-Control` says so, but a minute after at the soonest; a minute after a reading that failed |
//! | at once | a token names a key that is not known: from an allowance of [`READINGS`], of which one comes back every [`REFILL`] |
//!
//! One reading at a time, and those who wait share it. One that fails leaves the keys as they are. What it does not bring is
//! known to be unknown for [`FORGOTTEN_AFTER`]; what nobody could look for is not, so that strangers who use the allowance up
//! keep nobody out for longer than until the next reading.
//!
//! | metric | counts |
//! | --- | --- |
//! | `convene_jwks_readings_total` `{outcome}` | readings: ok, failed |

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use metrics::counter;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::telemetry::Outage;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::{Instant, sleep_until},
};

use super::{Unauthorized, refusals::shown, source::Source};

/// So many readings for unknown keys may follow each other at once.
const READINGS: u32 = 5;

/// After this one of [`READINGS`] comes back.
const REFILL: Duration = Duration::from_secs(10);

/// An unknown key is looked for again after this.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// So many unknown keys are remembered. One more would be looked for each time.
const MOST_UNKNOWN: usize = 1000;

/// What a publisher says of its key set's age does not make it be read more often than this; nor does a failure.
const LEAST_AGE: Duration = Duration::from_secs(60);

/// A key set with more keys is not taken.
const MAX_KEYS: usize = 100;

/// A key set and its source. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keys(Arc<Inner>);

struct Inner {
    source: Source,
    max_age: Duration,
    known: RwLock<Arc<KeySet>>,
    unknown: Mutex<Unknown>,
    /// Held while they are read.
    reading: Arc<AsyncMutex<Reading>>,
}

/// The last reading, and when there may be or must be another one.
struct Reading {
    began: Option<Instant>,
    is_good: bool,
    due: Instant,
    allowance: Allowance,
    outage: Outage,
}

/// [`READINGS`] at once, and one every [`REFILL`].
struct Allowance {
    /// When all of them will have come back.
    full_at: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now);
        if full_at - now > REFILL * (READINGS - 1) {
            return false;
        }
        self.full_at = full_at + REFILL;
        true
    }
}

/// Keys that a reading has not brought, and when that was.
#[derive(Default)]
struct Unknown(HashMap<[u8; 32], Instant>);

impl Unknown {
    /// By digests: a name may be as long as a token.
    fn name(kid: Option<&str>, algorithm: Algorithm) -> [u8; 32] {
        Sha256::digest(format!("{algorithm:?} {kid:?}")).into()
    }

    fn is_remembered(&self, name: &[u8; 32], now: Instant) -> bool {
        self.0.get(name).is_some_and(|since| now.duration_since(*since) < FORGOTTEN_AFTER)
    }

    fn remember(&mut self, name: [u8; 32], now: Instant) {
        if self.0.len() >= MOST_UNKNOWN {
            self.0.retain(|_, since| now.duration_since(*since) < FORGOTTEN_AFTER);
        }
        if self.0.len() < MOST_UNKNOWN {
            self.0.insert(name, now);
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("source", &self.0.source).field("known", &self.known().0.len()).finish()
    }
}

impl Keys {
    /// No keys yet.
    pub(super) fn new(source: Source, max_age: Duration) -> Self {
        Self::due_after(Duration::ZERO, source, max_age)
    }

    /// As [`Keys::new`], with the keys of a file, which must be there.
    pub(super) fn of_file(path: &Path, max_age: Duration) -> Result<Self> {
        let set = Source::read(path).and_then(|json| KeySet::parse(&json)).context("jwks-file")?;
        let keys = Self::due_after(pause(max_age, None), Source::file(path), max_age);
        keys.take(set);
        Ok(keys)
    }

    fn due_after(pause: Duration, source: Source, max_age: Duration) -> Self {
        for outcome in ["ok", "failed"] {
            counter!("convene_jwks_readings_total", "outcome" => outcome).increment(0);
        }
        let now = Instant::now();
        let (due, allowance) = (now + pause, Allowance { full_at: now });
        let reading = Reading { began: None, is_good: false, due, allowance, outage: Outage::new() };
        let reading = Arc::new(AsyncMutex::new(reading));
        Self(Arc::new(Inner { source, max_age, known: RwLock::default(), unknown: Mutex::default(), reading }))
    }

    fn known(&self) -> Arc<KeySet> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, set: KeySet) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.names() != set.names() {
            tracing::info!(keys = set.names().join(", "), "tokens are checked with these keys from now on");
        }
        *known = Arc::new(set);
    }

    /// Whether any was ever read.
    pub(super) fn are_known(&self) -> bool {
        !self.known().0.is_empty()
    }

    /// The keys of that name for that algorithm, one as a rule; without a name the only one for it.
    ///
    /// # Errors
    /// [`Unauthorized::Algorithm`] when the key is for another one, [`Unauthorized::UnknownKey`],
    /// [`Unauthorized::KeysAway`] when it could not be looked for.
    pub(super) async fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Vec<DecodingKey>, Unauthorized> {
        let arrived = Instant::now();
        let name = Unknown::name(kid, algorithm);
        let known = || {
            let is_remembered =
                || self.unknown().is_remembered(&name, arrived).then_some(Err(Unauthorized::UnknownKey));
            self.known().find(kid, algorithm).or_else(is_remembered)
        };
        if let Some(found) = known() {
            return found;
        }
        let reading = self.0.reading.clone().lock_owned().await;
        // By now somebody else may have had them read.
        if let Some(found) = known() {
            return found;
        }
        if !self.read_since(arrived, reading).await {
            return Err(Unauthorized::KeysAway);
        }
        self.known().find(kid, algorithm).unwrap_or_else(|| {
            self.unknown().remember(name, Instant::now());
            Err(Unauthorized::UnknownKey)
        })
    }

    fn unknown(&self) -> MutexGuard<'_, Unknown> {
        self.0.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a good reading that began after this moment: one that began before may have missed what was published
    /// meanwhile. Reads now where there was none and the allowance suffices.
    async fn read_since(&self, moment: Instant, mut reading: OwnedMutexGuard<Reading>) -> bool {
        if reading.began.is_some_and(|began| began > moment) {
            return reading.is_good;
        }
        reading.allowance.take(Instant::now()) && self.read(reading).await
    }

    /// Reads them again and again, as their age demands.
    pub(super) async fn keep_read(&self) {
        loop {
            let due = self.0.reading.lock().await.due;
            sleep_until(due).await;
            let reading = self.0.reading.clone().lock_owned().await;
            // Not when a token has had them read meanwhile.
            if reading.due <= Instant::now() {
                self.read(reading).await;
            }
        }
    }

    /// Reads them; whether that went well. It goes on when whoever asked goes away, so that nobody can keep the keys from
    /// being read by hanging up.
    async fn read(&self, mut reading: OwnedMutexGuard<Reading>) -> bool {
        let keys = self.clone();
        let task = tokio::spawn(async move {
            let began = Instant::now();
            (reading.began, reading.is_good) = (Some(began), false);
            reading.due = began + pause(keys.0.max_age, Some(LEAST_AGE));
            let loaded = keys.0.source.load().await;
            let parsed = loaded.and_then(|loaded| Ok((KeySet::parse(&loaded.json)?, loaded.max_age)));
            let outcome = if parsed.is_ok() { "ok" } else { "failed" };
            counter!("convene_jwks_readings_total", "outcome" => outcome).increment(1);
            match parsed {
                Ok((set, stated)) => {
                    keys.take(set);
                    reading.is_good = true;
                    reading.due = began + pause(keys.0.max_age, stated);
                    if let Some(seconds) = reading.outage.worked() {
                        tracing::info!(seconds, "the keys of tokens can be read again");
                    }
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    if let Some(seconds) = reading.outage.failed(&error) {
                        tracing::warn!(
                            error,
                            seconds,
                            "the keys of tokens could not be read; those that are known stay"
                        );
                    }
                }
            }
            reading.is_good
        });
        task.await.unwrap_or(false)
    }
}

/// When keys are to be read again: `max_age` after the last time, or what their publisher has stated if that is sooner, but
/// not within [`LEAST_AGE`] for his sake. By up to a fifth at random, so that pods that were started together do not read
/// together.
fn pause(max_age: Duration, stated: Option<Duration>) -> Duration {
    let (least, most) = match stated.filter(|stated| *stated < max_age) {
        Some(stated) => (stated.mul_f64(0.8).max(LEAST_AGE), stated.max(LEAST_AGE.mul_f64(1.25))),
        None => (max_age.mul_f64(0.8), max_age),
    };
    rand::random_range(least.min(max_age)..=most.min(max_age))
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
        ensure!(keys.len() <= MAX_KEYS, "holds more than {MAX_KEYS} keys");
        let keys: Vec<Key> =
            keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).filter_map(Jwk::into_key).collect();
        ensure!(!keys.is_empty(), "holds no key for RS256, ES256 or EdDSA");
        Ok(Self(keys))
    }

    /// `None` when nothing is known under that name: perhaps not yet. Several may have one name, while one replaces the other.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Result<Vec<DecodingKey>, Unauthorized>> {
        let fits = |key: &&Key| key.algorithm == algorithm;
        let is_named = |key: &&Key| kid.is_none() || key.kid.as_deref() == kid;
        let fitting: Vec<_> = self.0.iter().filter(is_named).filter(fits).map(|key| key.key.clone()).collect();
        match (kid, fitting.len()) {
            (Some(_), 0) => self.0.iter().any(|key| is_named(&key)).then_some(Err(Unauthorized::Algorithm)),
            (None, 0) => None,
            (Some(_), _) | (None, 1) => Some(Ok(fitting)),
            (None, _) => Some(Err(Unauthorized::UnknownKey)),
        }
    }

    /// What the log shows of it.
    fn names(&self) -> Vec<String> {
        let name = |key: &Key| format!("{} {:?}", key.kid.as_deref().map_or_else(String::new, shown), key.algorithm);
        self.0.iter().map(name).collect()
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

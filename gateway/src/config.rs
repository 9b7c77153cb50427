//! The gateway's settings. Each is a flag and an environment variable with the prefix `CONVENE_`.
//!
//! | setting | default | limits |
//! | --- | --- | --- |
//! | `jwt-secret`, `jwks-url`, `jwks-file` | none: one is required | who may sign session tokens; a secret has 32 bytes or more, of two either is good |
//! | `jwks-max-age` | 5m | from 1s: how old the published keys may become |
//! | `jwt-audience`, `jwt-issuer` | none: not checked | what tokens must say of whom they are for and from |
//! | `allowed-origins` | `*` | whose web pages may connect and read: see [`AllowedOrigins`] |
//! | `admin-token` | none: administration is off | of two either is good; each has 16 bytes or more then |
//! | `min-client-version` | none | |
//! | `max-frame-bytes`, `request-timeout` | 262144, 10s | a frame, a request |
//! | `rate-limit`, `rate-burst`, `max-in-flight` | 50, 100, 32 | a socket's requests |
//! | `max-connections`, `max-outbox-bytes` | 50000, 1048576 | the pod's sockets, a socket's queue |
//! | `trace-sample-ratio` | 1 | 0 to 1: of so many requests a trace is kept, where `otlp-endpoint` is set |
//! | `ping-interval`, `max-connection-age` | 25s, off | a silent socket, an old one |

use std::{fmt, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Args;
use shared::config::{Common, duration};

use crate::origins::AllowedOrigins;

/// Everything that can be set.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Settings that every process has.
    #[command(flatten)]
    pub common: Common,

    /// Secret that session tokens are signed with (HS256), 32 bytes or more; or two divided by a comma, while one replaces the other
    #[arg(long, env = "CONVENE_JWT_SECRET", hide_env_values = true, value_parser = signing_secrets)]
    pub jwt_secret: Option<Secrets>,
    /// Where the public keys of session tokens are published (RS256, ES256, EdDSA)
    #[arg(long, env = "CONVENE_JWKS_URL", hide_env_values = true)]
    pub jwks_url: Option<String>,
    /// File with the public keys of session tokens
    #[arg(long, env = "CONVENE_JWKS_FILE", hide_env_values = true)]
    pub jwks_file: Option<PathBuf>,
    /// Age at which the public keys are read again, at the latest
    #[arg(long, env = "CONVENE_JWKS_MAX_AGE", hide_env_values = true, default_value = "5m", value_parser = key_age)]
    pub jwks_max_age: Duration,
    /// Audiences, divided by commas, one of which a session token must name in `aud`; unset, `aud` is not checked
    #[arg(long, env = "CONVENE_JWT_AUDIENCE", hide_env_values = true, value_delimiter = ',', value_parser = name)]
    pub jwt_audience: Vec<String>,
    /// Issuers, divided by commas, one of which a session token must name in `iss`; unset, `iss` is not checked
    #[arg(long, env = "CONVENE_JWT_ISSUER", hide_env_values = true, value_delimiter = ',', value_parser = name)]
    pub jwt_issuer: Vec<String>,

    /// Whose web pages may connect and read: *, or origins such as https://host:8443 (also null) with commas between.
    /// Those of this server's own host always may
    #[arg(long, env = "CONVENE_ALLOWED_ORIGINS", hide_env_values = true, default_value = "*")]
    pub allowed_origins: AllowedOrigins,
    /// Bearer token of the administration, or two divided by a comma, while one replaces the other; unset, administration is off
    #[arg(long, env = "CONVENE_ADMIN_TOKEN", hide_env_values = true, value_parser = admin_tokens)]
    pub admin_token: Option<Secrets>,
    /// Clients that say they are older are refused with 426
    #[arg(long, env = "CONVENE_MIN_CLIENT_VERSION", hide_env_values = true)]
    pub min_client_version: Option<semver::Version>,

    /// Of which part of the requests a trace is kept, 0 to 1, when traces are sent
    #[arg(long, env = "CONVENE_TRACE_SAMPLE_RATIO", hide_env_values = true, default_value = "1", value_parser = ratio)]
    pub trace_sample_ratio: f64,

    /// Largest frame that a client may send, in bytes
    #[arg(long, env = "CONVENE_MAX_FRAME_BYTES", hide_env_values = true, default_value = "262144", value_parser = frame_bytes)]
    pub max_frame_bytes: usize,
    /// How long a request may take
    #[arg(long, env = "CONVENE_REQUEST_TIMEOUT", hide_env_values = true, default_value = "10s", value_parser = duration)]
    pub request_timeout: Duration,

    /// Requests a second that a socket may send on average
    #[arg(long, env = "CONVENE_RATE_LIMIT", hide_env_values = true, default_value = "50")]
    pub rate_limit: NonZeroU32,
    /// Requests that a socket may send at once
    #[arg(long, env = "CONVENE_RATE_BURST", hide_env_values = true, default_value = "100")]
    pub rate_burst: NonZeroU32,
    /// Requests of a socket that may wait for their answers
    #[arg(long, env = "CONVENE_MAX_IN_FLIGHT", hide_env_values = true, default_value = "32")]
    pub max_in_flight: NonZeroU32,

    /// Sockets that this pod takes
    #[arg(long, env = "CONVENE_MAX_CONNECTIONS", hide_env_values = true, default_value = "50000")]
    pub max_connections: usize,
    /// Bytes that may wait to be written to a socket
    #[arg(long, env = "CONVENE_MAX_OUTBOX_BYTES", hide_env_values = true, default_value = "1048576")]
    pub max_outbox_bytes: usize,
    /// How often a socket is asked for a sign of life; closed after two without one
    #[arg(long, env = "CONVENE_PING_INTERVAL", hide_env_values = true, default_value = "25s", value_parser = interval)]
    pub ping_interval: Duration,
    /// Age at which a socket is asked to connect again, give or take a fifth; unset, never
    #[arg(long, env = "CONVENE_MAX_CONNECTION_AGE", hide_env_values = true, value_parser = interval)]
    pub max_connection_age: Option<Duration>,
}

impl Config {
    /// Holds settings against each other that are good one by one.
    ///
    /// # Errors
    /// Names the settings.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.jwt_secret.is_some() || self.jwks_url.is_some() || self.jwks_file.is_some(),
            "missing setting --jwt-secret (CONVENE_JWT_SECRET), --jwks-url (CONVENE_JWKS_URL) or --jwks-file \
             (CONVENE_JWKS_FILE): one is required"
        );
        Ok(())
    }
}

/// A secret, or two while one replaces the other. Never shown.
#[derive(Clone)]
pub struct Secrets {
    first: String,
    second: Option<String>,
}

impl Secrets {
    /// The one that is signed and asked with.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// All of them: each is good.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.first.as_str()).chain(self.second.as_deref())
    }

    /// One, or two with a comma between, each with at least so many bytes.
    fn parse(text: &str, least: usize) -> Result<Self, String> {
        let too_short = |secret: &str| secret.len() < least;
        let Some((first, second)) = text.split_once(',') else {
            return match text {
                "" => Err("is empty".to_owned()),
                text if too_short(text) => Err(format!("has fewer than {least} bytes")),
                text => Ok(Self { first: text.to_owned(), second: None }),
            };
        };
        if second.contains(',') {
            return Err("has more than two parts: a comma divides two secrets, so none can hold one".to_owned());
        }
        if first.ends_with(char::is_whitespace) || second.starts_with(char::is_whitespace) {
            return Err("has white space beside the comma that divides two secrets".to_owned());
        }
        if too_short(first) || too_short(second) {
            return Err(format!("a comma divides two secrets, and one of these has fewer than {least} bytes"));
        }
        Ok(Self { first: first.to_owned(), second: Some(second.to_owned()) })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// Whoever has one token can try secrets against it: one for HS256 has as many bits as its digest (RFC 7518, 3.2).
pub const MIN_SIGNING_SECRET_BYTES: usize = 32;

/// Of two administration tokens each has so many bytes: one that holds a comma by chance must not become two that can be
/// guessed.
const MIN_DIVIDED_TOKEN_BYTES: usize = 16;

/// Reads `jwt-secret`.
///
/// # Errors
/// A secret is too short, or there are more than two.
pub fn signing_secrets(text: &str) -> Result<Secrets, String> {
    Secrets::parse(text, MIN_SIGNING_SECRET_BYTES).map_err(|error| format!("{error} (RFC 7518, 3.2)"))
}

/// Reads `admin-token`.
///
/// # Errors
/// It is empty, one of two is too short, or there are more than two.
pub fn admin_tokens(text: &str) -> Result<Secrets, String> {
    Secrets::parse(text, if text.contains(',') { MIN_DIVIDED_TOKEN_BYTES } else { 1 })
}

/// One of several names with commas between.
///
/// # Errors
/// It is empty.
pub fn name(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("one of the names is empty"),
        name => Ok(name.to_owned()),
    }
}

/// Less would be a reading for each token.
fn key_age(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|age| if age < Duration::from_secs(1) { Err("is less than 1s".to_owned()) } else { Ok(age) })
}

/// What fits on the bus beside its headers bounds a frame.
fn frame_bytes(text: &str) -> Result<usize, String> {
    const MOST: usize = shared::bus::MAX_PAYLOAD_BYTES - 16 * 1024;
    match text.parse() {
        Ok(bytes) if (1024..=MOST).contains(&bytes) => Ok(bytes),
        _ => Err(format!("not a number from 1024 to {MOST}")),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("not a number from 0 to 1".to_owned()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|duration| if duration.is_zero() { Err("must not be 0".to_owned()) } else { Ok(duration) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(secrets: &Secrets) -> Vec<&str> {
        secrets.all().collect()
    }

    #[test]
    fn a_comma_divides_two_secrets_of_which_the_first_is_signed_with() {
        let (old, new) = ("o".repeat(32), "n".repeat(40));
        let one = signing_secrets(&old).expect("one");
        assert_eq!((parts(&one), one.first()), (vec![old.as_str()], old.as_str()));
        let two = signing_secrets(&format!("{old},{new}")).expect("two");
        assert_eq!((parts(&two), two.first()), (vec![old.as_str(), new.as_str()], old.as_str()));
        assert_eq!(format!("{two:?}"), "Secrets");
    }

    #[test]
    fn a_secret_that_holds_a_comma_is_refused_with_a_reason_and_not_shown() {
        let long = "x".repeat(32);
        for (secret, why) in [
            (format!("hunter2,{long}"), "a comma divides two secrets, and one of these has fewer than 32 bytes"),
            (format!("{long},hunter2"), "a comma divides two secrets, and one of these has fewer than 32 bytes"),
            (format!("{long},"), "a comma divides two secrets, and one of these has fewer than 32 bytes"),
            (format!(",{long}"), "a comma divides two secrets, and one of these has fewer than 32 bytes"),
            (format!("{long},{long},{long}"), "has more than two parts"),
            (format!("{long}, {long}"), "has white space beside the comma"),
            (format!("{long}\n,{long}"), "has white space beside the comma"),
            ("hunter2".to_owned(), "has fewer than 32 bytes"),
        ] {
            let error = signing_secrets(&secret).expect_err(&secret);
            assert!(error.starts_with(why) && !error.contains("hunter2"), "{secret}: {error}");
        }
    }

    #[test]
    fn an_administration_token_with_a_comma_does_not_become_one_that_can_be_guessed() {
        assert_eq!(parts(&admin_tokens("short").expect("one")), ["short"]);
        let two = admin_tokens("an administration token,another one of them").expect("two");
        assert_eq!(parts(&two), ["an administration token", "another one of them"]);
        for token in ["aB3,xK9-and-much-more-than-sixteen", "a,b", ",", "", "a token of enough bytes,"] {
            assert!(admin_tokens(token).is_err(), "{token}");
        }
    }
}

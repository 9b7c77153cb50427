//! The gateway's settings. Each is a flag and an environment variable with the prefix `CONVENE_`.
//!
//! | setting | default | limits |
//! | --- | --- | --- |
//! | `jwt-secret`, `jwks-url`, `jwks-file` | none: one is required | who may sign session tokens; a secret has 32 bytes or more |
//! | `allowed-origins` | `*` | whose web pages may connect and read: see [`AllowedOrigins`] |
//! | `admin-token` | none: administration is off | |
//! | `min-client-version` | none | |
//! | `max-frame-bytes`, `request-timeout` | 262144, 10s | a frame, a request |
//! | `rate-limit`, `rate-burst`, `max-in-flight` | 50, 100, 32 | a socket's requests |
//! | `max-connections`, `max-outbox-bytes` | 50000, 1048576 | the pod's sockets, a socket's queue |
//! | `trace-sample-ratio` | 1 | 0 to 1: of so many requests a trace is kept, where `otlp-endpoint` is set |
//! | `ping-interval`, `max-connection-age` | 25s, off | a silent socket, an old one |

use std::{fmt, num::NonZeroU32, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use shared::config::{Common, duration};

use crate::origins::AllowedOrigins;

/// Everything that can be set.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Settings that every process has.
    #[command(flatten)]
    pub common: Common,

    /// Secret that session tokens are signed with (HS256), 32 bytes or more
    #[arg(long, env = "CONVENE_JWT_SECRET", hide_env_values = true, value_parser = signing_secret)]
    pub jwt_secret: Option<Secret>,
    /// Where the public keys of session tokens are published (RS256, ES256, EdDSA)
    #[arg(long, env = "CONVENE_JWKS_URL", hide_env_values = true)]
    pub jwks_url: Option<String>,
    /// File with the public keys of session tokens
    #[arg(long, env = "CONVENE_JWKS_FILE", hide_env_values = true)]
    pub jwks_file: Option<PathBuf>,

    /// Whose web pages may connect and read: *, or origins such as https://app.example.org (also null) with commas between.
    /// Those of this server's own host always may
    #[arg(long, env = "CONVENE_ALLOWED_ORIGINS", hide_env_values = true, default_value = "*")]
    pub allowed_origins: AllowedOrigins,
    /// Bearer token of the administration; unset, administration is off
    #[arg(long, env = "CONVENE_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<Secret>,
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

/// A setting that is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Err("is empty") } else { Ok(Self(text.to_owned())) }
    }
}

/// Whoever has one token can try secrets against it: one for HS256 has as many bits as its digest (RFC 7518, 3.2).
pub const MIN_SIGNING_SECRET_BYTES: usize = 32;

/// Reads `jwt-secret`.
///
/// # Errors
/// It is too short.
pub fn signing_secret(text: &str) -> Result<Secret, String> {
    if text.len() < MIN_SIGNING_SECRET_BYTES {
        return Err(format!("has fewer than {MIN_SIGNING_SECRET_BYTES} bytes (RFC 7518, 3.2)"));
    }
    Ok(Secret(text.to_owned()))
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

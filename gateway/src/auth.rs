//! From a token to a session.
//!
//! | algorithm of the token | checked with |
//! | --- | --- |
//! | HS256 | `jwt-secret`, either of two, and nothing else |
//! | RS256, ES256, EdDSA | the key of `jwks-url` or `jwks-file` that its `kid` names and that is for that algorithm |
//! | any other, `none` included | refused |
//!
//! `sub`, `sid`, `net` and `exp` are required; `exp` and `nbf` have no leeway. `aud` and `iss` are looked at where
//! `jwt-audience` and `jwt-issuer` are set. A token is never logged, nor is what it says of a person; why it is refused is.

mod claims;
mod keys;
mod refusals;
mod source;

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail, ensure};
use axum::http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use shared::internal::{ProfileClaims, Session};

pub use refusals::{Refusals, Refused, Unauthorized};

use crate::{
    config::MIN_SIGNING_SECRET_BYTES,
    handshake::{TOKEN_PREFIX, offered},
};
use claims::{Claims, Demands};
use keys::Keys;
use refusals::shown;
use source::Source;

/// No token of ours is longer.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The header that carries a token where `Authorization` is taken.
const SESSION_ID: &str = "x-session-id";

/// The query parameter that carries a token where headers cannot be set.
const SESSION_ID_PARAMETER: &str = "sessionId";

/// What a client says is its session token.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The token of an HTTP request: of the first source that is there, even if that one holds none that is valid.
pub fn token_of(headers: &HeaderMap, query: Option<&str>) -> Option<Token> {
    bearer(headers)
        .or_else(|| headers.get(SESSION_ID).map(|value| value.to_str().unwrap_or_default().to_owned()))
        .or_else(|| offered(headers).find_map(|offered| offered.strip_prefix(TOKEN_PREFIX)).map(text))
        .or_else(|| {
            form_urlencoded::parse(query?.as_bytes())
                .find(|(name, _)| name == SESSION_ID_PARAMETER)
                .map(|(_, token)| token.into_owned())
        })
        .map(Token)
}

fn text(token: &[u8]) -> String {
    String::from_utf8_lossy(token).into_owned()
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    headers.get_all(AUTHORIZATION).iter().find_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let (scheme, token) = value.split_once(' ').unwrap_or((&value, ""));
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    })
}

/// A session that its token proves.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The session.
    pub session: Session,
    /// What the token says of the user.
    pub claims: ProfileClaims,
    /// From then on the token is worth nothing. At most the end of the year 9999.
    pub expires_at: SystemTime,
}

/// What tokens are checked with.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// `jwt-secret`: each is good.
    pub secrets: &'a [&'a str],
    /// `jwks-url`.
    pub jwks_url: Option<&'a str>,
    /// `jwks-file`.
    pub jwks_file: Option<&'a Path>,
    /// `jwks-max-age`.
    pub jwks_max_age: Duration,
    /// `jwt-audience`; none: `aud` is not looked at.
    pub audiences: &'a [String],
    /// `jwt-issuer`; none: `iss` is not looked at.
    pub issuers: &'a [String],
}

/// Checks tokens.
pub struct Authenticator {
    secrets: Vec<DecodingKey>,
    keys: Option<Keys>,
    demands: Demands,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("secrets", &self.secrets.len()).field("keys", &self.keys).finish()
    }
}

impl Authenticator {
    /// Checks tokens with these settings. A file is read now, an address by [`Authenticator::keep_keys`] or when the first
    /// token needs it.
    ///
    /// # Errors
    /// Names the setting that is missing or malformed.
    pub fn new(trust: Trust<'_>) -> Result<Self> {
        let keys = match (trust.jwks_url, trust.jwks_file) {
            (Some(url), None) => Some(Keys::new(Source::url(url)?, trust.jwks_max_age)),
            (None, Some(file)) => Some(Keys::of_file(file, trust.jwks_max_age)?),
            (Some(_), Some(_)) => bail!("jwks-url and jwks-file are both set: only one can be"),
            (None, None) if trust.secrets.is_empty() => {
                bail!("one of jwt-secret, jwks-url and jwks-file is required")
            }
            (None, None) => None,
        };
        ensure!(
            trust.secrets.iter().all(|secret| secret.len() >= MIN_SIGNING_SECRET_BYTES),
            "jwt-secret has fewer than {MIN_SIGNING_SECRET_BYTES} bytes"
        );
        Ok(Self {
            secrets: trust.secrets.iter().map(|secret| DecodingKey::from_secret(secret.as_bytes())).collect(),
            keys,
            demands: Demands { audiences: trust.audiences.to_vec(), issuers: trust.issuers.to_vec() },
        })
    }

    /// Whether there is something to check tokens with: a set that was never read lets nobody in.
    pub fn has_keys(&self) -> bool {
        !self.secrets.is_empty() || self.keys.as_ref().is_some_and(Keys::are_known)
    }

    /// Reads the public keys again as they age, for good. Returns where there are none.
    pub async fn keep_keys(&self) {
        if let Some(keys) = &self.keys {
            keys.keep_read().await;
        }
    }

    /// The session that a token proves.
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn authenticate(&self, token: &Token, now: SystemTime) -> Result<Verified, Refused> {
        let token = token.0.as_str();
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Unauthorized::Malformed.into());
        }
        let header = decode_header(token).map_err(|_| Unauthorized::Malformed)?;
        if header.crit.is_some() {
            // Says that the token means nothing to those who do not know these extensions (RFC 7515 4.1.11).
            return Err(Refused::new(Unauthorized::Malformed, "it has the header crit"));
        }
        let refused = |reason| {
            let kid = header.kid.as_deref().map_or_else(|| "none".to_owned(), shown);
            Refused::new(reason, format!("algorithm {:?}, kid {kid}", header.alg))
        };
        let claims = match (header.alg, self.secrets.is_empty(), &self.keys) {
            (Algorithm::HS256, false, _) => verified_claims(token, &self.secrets, header.alg),
            (algorithm @ (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA), _, Some(keys)) => {
                let keys = keys.find(header.kid.as_deref(), algorithm).await.map_err(refused)?;
                verified_claims(token, &keys, algorithm)
            }
            _ => Err(Unauthorized::Algorithm),
        };
        claims.map_err(refused)?.verified(&self.demands, now)
    }
}

/// What the token claims, if one of those keys signed it with that algorithm. Of the claims nothing is checked here.
fn verified_claims(token: &str, keys: &[DecodingKey], algorithm: Algorithm) -> Result<Claims, Unauthorized> {
    use jsonwebtoken::errors::ErrorKind;

    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    for key in keys {
        match decode::<Claims>(token, key, &validation) {
            Ok(token) => return Ok(token.claims),
            // Perhaps the next one's.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {}
            Err(_) => return Err(Unauthorized::Malformed),
        }
    }
    Err(Unauthorized::Signature)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

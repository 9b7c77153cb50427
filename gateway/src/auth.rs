//! From a token to a session.
//!
//! | algorithm of the token | checked with |
//! | --- | --- |
//! | HS256 | `jwt-secret`, and nothing else |
//! | RS256, ES256, EdDSA | the key of `jwks-url` or `jwks-file` that its `kid` names and that is for that algorithm |
//! | any other, `none` included | refused |
//!
//! `sub`, `sid`, `net` and `exp` are required; `exp` and `nbf` have no leeway. A token is never logged, nor is anything
//! that it holds.

mod claims;
mod keys;
mod source;

use std::{fmt, path::Path, time::SystemTime};

use anyhow::{Result, bail, ensure};
use axum::http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use shared::internal::{ProfileClaims, Session};

use crate::{
    config::MIN_SIGNING_SECRET_BYTES,
    handshake::{TOKEN_PREFIX, offered},
};
use claims::Claims;
use keys::Keys;
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

/// Why a token is refused. Says nothing of what the token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthorized {
    /// No JWT, or one of `none` or another algorithm that nobody should take.
    #[error("the token is malformed")]
    Malformed,
    /// One that we do not take, or that the key is not for.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// Nothing is known under the token's `kid`.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Nothing is known under the token's `kid`, and the keys could not be read when they last should have been: the
    /// token may be good.
    #[error("the token's key is not known, and the keys can not be read")]
    KeysAway,
    /// Somebody else signed it, or it was changed.
    #[error("the token's signature is wrong")]
    Signature,
    /// A required claim is missing, or no session can have it.
    #[error("the token's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// `exp` is over.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// Checks tokens.
pub struct Authenticator {
    secret: Option<DecodingKey>,
    keys: Option<Keys>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("secret", &self.secret.is_some()).field("keys", &self.keys).finish()
    }
}

impl Authenticator {
    /// Checks tokens with these settings: `jwt-secret`, `jwks-url`, `jwks-file`. A file is read now, an address when the
    /// first token needs it.
    ///
    /// # Errors
    /// Names the setting that is missing or malformed.
    pub fn new(jwt_secret: Option<&str>, jwks_url: Option<&str>, jwks_file: Option<&Path>) -> Result<Self> {
        let keys = match (jwks_url, jwks_file) {
            (Some(url), None) => Some(Keys::new(Source::url(url)?)),
            (None, Some(file)) => Some(Keys::read(Source::file(file))?),
            (Some(_), Some(_)) => bail!("jwks-url and jwks-file are both set: only one can be"),
            (None, None) if jwt_secret.is_none() => bail!("one of jwt-secret, jwks-url and jwks-file is required"),
            (None, None) => None,
        };
        let secret = jwt_secret.map(str::as_bytes);
        ensure!(
            secret.is_none_or(|secret| secret.len() >= MIN_SIGNING_SECRET_BYTES),
            "jwt-secret has fewer than {MIN_SIGNING_SECRET_BYTES} bytes"
        );
        Ok(Self { secret: secret.map(DecodingKey::from_secret), keys })
    }

    /// The session that a token proves.
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn authenticate(&self, token: &Token, now: SystemTime) -> Result<Verified, Unauthorized> {
        let token = token.0.as_str();
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Unauthorized::Malformed);
        }
        let header = decode_header(token).map_err(|_| Unauthorized::Malformed)?;
        if header.crit.is_some() {
            // Says that the token means nothing to those who do not know these extensions (RFC 7515 4.1.11).
            return Err(Unauthorized::Malformed);
        }
        let claims = match (header.alg, &self.secret, &self.keys) {
            (Algorithm::HS256, Some(secret), _) => verified_claims(token, secret, Algorithm::HS256)?,
            (algorithm @ (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA), _, Some(keys)) => {
                let key = keys.find(header.kid.as_deref(), algorithm).await?;
                verified_claims(token, &key, algorithm)?
            }
            _ => return Err(Unauthorized::Algorithm),
        };
        claims.verified(now)
    }
}

/// What the token claims, if that key signed it with that algorithm. Of the claims nothing is checked here.
fn verified_claims(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, Unauthorized> {
    use jsonwebtoken::errors::ErrorKind;

    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    decode::<Claims>(token, key, &validation).map(|token| token.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => Unauthorized::Signature,
        _ => Unauthorized::Malformed,
    })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

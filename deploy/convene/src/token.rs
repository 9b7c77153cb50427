//! `convene token`: session tokens, signed with the secret that the gateway knows (HS256).

use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use crate::{
    folder::{Secret, read_secret},
    say,
    settings::{Signing, Token},
};

/// The claims of a session token.
#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    sid: &'a str,
    net: &'a str,
    /// Unix seconds.
    exp: u64,
}

/// Prints a token.
///
/// # Errors
/// There is no secret to sign it with, or a claim is empty.
pub fn run(settings: &Token) -> Result<ExitCode> {
    let sid = settings.sid.clone().unwrap_or_else(|| new_sid(&settings.user));
    let secret = secret(&settings.signing)?;
    say(&sign(&secret, &settings.user, &settings.network, &sid, settings.ttl)?);
    Ok(ExitCode::SUCCESS)
}

/// Signs a token that is good from now on for `ttl`.
///
/// # Errors
/// A claim is empty.
pub fn sign(secret: &str, user: &str, network: &str, sid: &str, ttl: Duration) -> Result<String> {
    ensure!(
        !user.is_empty() && !network.is_empty() && !sid.is_empty(),
        "user, network and session id must not be empty"
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let claims = Claims { sub: user, sid, net: network, exp: now.saturating_add(ttl).as_secs() };
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}

/// A session id that was not used before: two sockets of one session would push each other out.
pub fn new_sid(user: &str) -> String {
    format!("{user}-{:08x}", rand::random::<u32>())
}

/// The secret that was set, else the one of the data folder.
pub(crate) fn secret(signing: &Signing) -> Result<String> {
    match &signing.jwt_secret {
        Some(secret) => Ok(secret.expose().to_owned()),
        None => read_secret(&signing.data_dir.data_dir, Secret::Jwt)
            .context("no secret to sign with: set CONVENE_JWT_SECRET, or start convene in this folder first"),
    }
}

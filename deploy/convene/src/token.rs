//! `convene token`: session tokens, signed with the secret that the gateway knows (HS256).

use std::{
    fmt,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use crate::{
    folder::{Secret, read_first_secret},
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
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
}

/// Signs tokens that a gateway takes.
#[derive(Clone)]
pub struct Signer {
    secret: String,
    audience: Option<String>,
    issuer: Option<String>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("audience", &self.audience).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Prints a token.
///
/// # Errors
/// There is no secret to sign it with, or a claim is empty.
pub fn run(settings: &Token) -> Result<ExitCode> {
    let sid = settings.sid.clone().unwrap_or_else(|| new_sid(&settings.user));
    let signer = Signer::new(&settings.signing)?;
    say(&signer.sign(&settings.user, &settings.network, &sid, settings.ttl)?);
    Ok(ExitCode::SUCCESS)
}

impl Signer {
    /// As the settings say: with the secret that was set, else with the one of the data folder.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn new(signing: &Signing) -> Result<Self> {
        let secret = match &signing.jwt_secret {
            Some(secrets) => secrets.first().to_owned(),
            None => read_first_secret(&signing.data_dir.data_dir, Secret::Jwt)
                .context("no secret to sign with: set CONVENE_JWT_SECRET, or start convene in this folder first")?,
        };
        Ok(Self { secret, audience: signing.audience.first().cloned(), issuer: signing.issuer.first().cloned() })
    }

    /// As this gateway takes them; `None` when it knows no secret.
    pub fn of_gateway(gateway: &gateway::Config) -> Option<Self> {
        Some(Self {
            secret: gateway.jwt_secret.as_ref()?.first().to_owned(),
            audience: gateway.jwt_audience.first().cloned(),
            issuer: gateway.jwt_issuer.first().cloned(),
        })
    }

    /// Signs a token that is good from now on for `ttl`.
    ///
    /// # Errors
    /// A claim is empty.
    pub fn sign(&self, user: &str, network: &str, sid: &str, ttl: Duration) -> Result<String> {
        ensure!(
            !user.is_empty() && !network.is_empty() && !sid.is_empty(),
            "user, network and session id must not be empty"
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
        let exp = now.saturating_add(ttl).as_secs();
        let (aud, iss) = (self.audience.as_deref(), self.issuer.as_deref());
        let claims = Claims { sub: user, sid, net: network, exp, aud, iss };
        Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(self.secret.as_bytes()))?)
    }
}

/// A session id that was not used before: two sockets of one session would push each other out.
pub fn new_sid(user: &str) -> String {
    format!("{user}-{:08x}", rand::random::<u32>())
}

//! Messages to phones, which somebody else sends: a signed POST (S10).

use std::{fmt::Write as _, time::Duration};

use anyhow::Context as _;
use hmac::{Hmac, Mac as _};
use reqwest::{Client, StatusCode, Url, header::CONTENT_TYPE, redirect::Policy};
use serde::Serialize;
use sha2::Sha256;

use crate::{
    config::{Secret, WebhookUrl},
    social::outsiders::post::{Failure, Verdict},
};

/// An answer comes within this time, or not at all.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where messages are posted.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    client: Client,
    url: Url,
    secret: Secret,
}

/// What is posted.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Message<'a> {
    /// In E.164.
    pub(super) to: &'a str,
    pub(super) text: &'a str,
    /// Empty: there is none.
    pub(super) link: &'a str,
}

impl Webhook {
    /// # Errors
    /// The machine has no certificates.
    pub(super) fn new(url: &WebhookUrl, secret: &Secret) -> anyhow::Result<Self> {
        // Another part of the process may have been first; there is only one provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // What is signed is for this address alone.
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .build()
            .context("the client for the SMS webhook cannot be set up")?;
        Ok(Self { client, url: url.reveal().clone(), secret: secret.clone() })
    }

    /// Posts a message.
    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), Failure> {
        let never = |why: &str| Failure { verdict: Verdict::Never, why: why.to_owned() };
        let body = serde_json::to_string(message).map_err(|_| never("it cannot be written"))?;
        let signature = signature(self.secret.reveal(), &body).ok_or_else(|| never("it cannot be signed"))?;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("X-Convene-Signature", signature)
            .body(body);
        match request.send().await {
            Ok(response) => judge(response.status()),
            // The message would name the address, which may hold a password.
            Err(error) if error.is_timeout() => {
                Err(Failure { verdict: Verdict::NotNow, why: "no answer in time".to_owned() })
            }
            Err(_) => Err(Failure { verdict: Verdict::NotNow, why: "no connection, or a broken one".to_owned() }),
        }
    }
}

fn judge(status: StatusCode) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let is_for_now = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    let verdict = if status.is_client_error() && !is_for_now { Verdict::Never } else { Verdict::NotNow };
    Err(Failure { verdict, why: format!("HTTP {}", status.as_u16()) })
}

/// The header's value: `sha256=` and the HMAC of the body.
fn signature(secret: &str, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(body.as_bytes());
    let mut signature = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(signature, "{byte:02x}");
    }
    Some(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_others_would_sign_it() {
        // RFC 4231, test case 2.
        assert_eq!(
            signature("Jefe", "what do ya want for nothing?").as_deref(),
            Some("sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        );
    }

    #[test]
    fn what_a_status_means() {
        let verdict = |code| judge(StatusCode::from_u16(code).expect("a status")).map_err(|failure| failure.verdict);
        for code in [200, 201, 202, 204] {
            assert_eq!(verdict(code), Ok(()), "{code}");
        }
        for code in [302, 408, 429, 500, 502, 503] {
            assert_eq!(verdict(code), Err(Verdict::NotNow), "{code}");
        }
        for code in [400, 401, 404, 410, 422] {
            assert_eq!(verdict(code), Err(Verdict::Never), "{code}");
        }
    }
}

//! Mails on their way, by lettre.

use std::time::Duration;

use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor, transport::smtp};

use crate::{
    config::SmtpUrl,
    social::outsiders::post::{Failure, Verdict},
};

/// Each step of a conversation takes at most so long.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Refusals of us rather than of the mail (RFC 4954): a password can be set right.
const OF_US: [u16; 4] = [530, 534, 535, 538];

/// A mail server.
#[derive(Clone, Debug)]
pub(super) struct Server(AsyncSmtpTransport<Tokio1Executor>);

impl Server {
    /// A new connection for each mail: a server that was restarted has none of the old.
    ///
    /// # Errors
    /// The address makes no sense, or the machine has no certificates.
    pub(super) fn new(url: &SmtpUrl) -> anyhow::Result<Self> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal())
            // The message may hold the password.
            .map_err(|_| anyhow::anyhow!("the mail server's address makes no sense"))?;
        Ok(Self(transport.timeout(Some(STEP_TIMEOUT)).build()))
    }

    /// Hands a mail in.
    pub(super) async fn send(&self, mail: Message) -> Result<(), Failure> {
        self.0.send(mail).await.map(drop).map_err(|error| failure(&error))
    }
}

/// What a server writes may hold the address; so nothing but its code is passed on.
fn failure(error: &smtp::Error) -> Failure {
    let status = error.status().map(u16::from);
    let is_of_us = status.is_some_and(|status| OF_US.contains(&status));
    let verdict = if error.is_client() || error.is_permanent() && !is_of_us { Verdict::Never } else { Verdict::NotNow };
    let why = match status {
        Some(status) => format!("SMTP {status}"),
        None if error.is_client() => "it cannot be sent to this server".to_owned(),
        None if error.is_timeout() => "no answer in time".to_owned(),
        None if error.is_tls() => "no TLS".to_owned(),
        None => "no connection, or a broken one".to_owned(),
    };
    Failure { verdict, why }
}

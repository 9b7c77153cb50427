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
        let is_ascii = mail.envelope().to().iter().all(|to| AsRef::<str>::as_ref(to).is_ascii());
        self.0.send(mail).await.map(drop).map_err(|error| failure(&error, is_ascii))
    }
}

/// What a server writes may hold the address; so nothing but its code is passed on. `is_ascii`: the address is.
fn failure(error: &smtp::Error, is_ascii: bool) -> Failure {
    let status = error.status().map(u16::from);
    let is_of_us = status.is_some_and(|status| OF_US.contains(&status));
    // What a server does not offer to any mail, such as TLS, is the settings' or its own fault, and can be set right.
    let is_of_the_mail = error.is_client() && !is_ascii || error.is_permanent() && !is_of_us;
    let verdict = if is_of_the_mail { Verdict::Never } else { Verdict::NotNow };
    let why = match status {
        Some(status) => format!("SMTP {status}"),
        None if error.is_client() && !is_ascii => {
            "the mail server takes no address whose name is beyond ASCII (SMTPUTF8)".to_owned()
        }
        None if error.is_client() => "the server does not offer what the settings ask for, such as TLS".to_owned(),
        None if error.is_timeout() => "no answer in time".to_owned(),
        None if error.is_tls() => "no TLS".to_owned(),
        None => "no connection, or a broken one".to_owned(),
    };
    Failure { verdict, why }
}

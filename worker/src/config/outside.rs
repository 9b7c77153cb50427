//! Settings for sending to people outside: rule S10. Where they are missing, invitations wait in the database.
//!
//! | setting | default |
//! | --- | --- |
//! | `smtp-url`, `smtp-from` | none: no mail is sent; the first needs the second |
//! | `sms-webhook-url`, `sms-webhook-secret` | none: nothing is sent to phones; the first needs the second |
//! | `public-url` | none: there are no links, so nothing is sent at all |

use std::{fmt, str::FromStr};

use clap::Args;
use lettre::{AsyncSmtpTransport, Tokio1Executor, message::Mailbox};
use reqwest::Url;

/// How people outside are reached.
#[derive(Args, Clone, Debug, Default)]
pub struct Outside {
    /// SMTP server: smtp://host:25, smtp://user:password@host:587?tls=required or smtps://user:password@host
    #[arg(long, env = "CONVENE_SMTP_URL", hide_env_values = true, requires = "smtp_from")]
    pub smtp_url: Option<SmtpUrl>,
    /// Who sends mails, such as noreply@example.org or "Convene <noreply@example.org>"
    #[arg(long, env = "CONVENE_SMTP_FROM", hide_env_values = true, value_parser = mailbox)]
    pub smtp_from: Option<Mailbox>,
    /// Where messages to phones are posted
    #[arg(long, env = "CONVENE_SMS_WEBHOOK_URL", hide_env_values = true, requires = "sms_webhook_secret")]
    pub sms_webhook_url: Option<WebhookUrl>,
    /// Key of the signature on what is posted there
    #[arg(long, env = "CONVENE_SMS_WEBHOOK_SECRET", hide_env_values = true)]
    pub sms_webhook_secret: Option<Secret>,
    /// Where people reach the gateways, such as https://host or https://host/path
    #[arg(long, env = "CONVENE_PUBLIC_URL", hide_env_values = true)]
    pub public_url: Option<PublicUrl>,
}

impl Outside {
    /// The address that stands for the organizer of every session (I3).
    pub fn organizer(&self) -> String {
        match (&self.smtp_from, &self.public_url) {
            (Some(from), _) => from.email.to_string(),
            (None, Some(url)) => format!("noreply@{}", url.host()),
            (None, None) => "noreply@invalid".to_owned(),
        }
    }
}

/// An SMTP server in lettre's form. Never shown: it may hold a password.
#[derive(Clone)]
pub struct SmtpUrl(String);

impl SmtpUrl {
    /// As it was given.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for SmtpUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        // lettre's own message may repeat parts of the URL, which may be the password.
        AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map(|_| Self(url.to_owned()))
            .map_err(|_| "not a URL such as smtp://user:password@host:587?tls=required".to_owned())
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmtpUrl(…)")
    }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|_| "not an e-mail address such as noreply@example.org".to_owned())
}

/// Where something is posted to. Never shown: it may hold a password.
#[derive(Clone)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// As it was given.
    pub fn reveal(&self) -> &Url {
        &self.0
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        web_url(url).map(Self).ok_or_else(|| "not a URL such as https://host/path".to_owned())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookUrl(…)")
    }
}

/// A secret. Never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// As it was given.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(secret: &str) -> Result<Self, Self::Err> {
        Ok(Self(secret.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where links point to; perhaps with a path, never with a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host: String,
}

impl PublicUrl {
    /// Without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host, without port.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let malformed = || "not a URL such as https://convene.example.org".to_owned();
        let url = web_url(url).filter(|url| url.query().is_none() && url.fragment().is_none()).ok_or_else(malformed)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(malformed());
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), host })
    }
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    #[command(name = "program")]
    struct Program {
        #[command(flatten)]
        outside: Outside,
    }

    fn read(args: &[&str]) -> Result<Outside, shared::config::Ending> {
        let args = ["program"].iter().chain(args).copied();
        shared::config::read::<Program>(args).map(|program| program.outside)
    }

    const MAIL: [&str; 2] = ["--smtp-url=smtp://u:hunter2@mail.example.org:587?tls=required", "--smtp-from=a@b.org"];
    const SMS: [&str; 2] = ["--sms-webhook-url=https://u:hunter2@sms.example.org/x", "--sms-webhook-secret=hunter2"];

    #[test]
    fn all_forms_of_addresses_are_taken_and_no_secret_is_shown() {
        let outside = read(&[MAIL.as_slice(), &SMS, &["--public-url=https://x.org/"]].concat()).expect("good settings");
        assert!(!format!("{outside:?}").contains("hunter2"), "{outside:?}");
        for url in ["smtp://localhost", "smtp://127.0.0.1:2525", "smtps://h", "smtp://h?tls=opportunistic"] {
            read(&[&format!("--smtp-url={url}"), "--smtp-from=Convene <a@b.org>"]).expect(url);
        }
        assert!(read(&[]).expect("none").smtp_url.is_none());
        read(&["--smtp-from=a@b.org", "--sms-webhook-secret=x"]).expect("half of it sends nothing");
    }

    #[test]
    fn what_is_malformed_or_missing_is_named_in_one_line_without_its_value() {
        for (args, line) in [
            (vec!["--smtp-url=hunter2"], "malformed setting --smtp-url (CONVENE_SMTP_URL): not a URL such as "),
            (
                vec!["--smtp-url=http://hunter2@h"],
                "malformed setting --smtp-url (CONVENE_SMTP_URL): not a URL such as ",
            ),
            (vec!["--smtp-url=smtp://h?tls=hunter2"], "malformed setting --smtp-url (CONVENE_SMTP_URL): not a URL "),
            (vec![MAIL[0]], "missing setting --smtp-from (CONVENE_SMTP_FROM) "),
            (vec![MAIL[0], "--smtp-from=hunter2"], "malformed setting --smtp-from (CONVENE_SMTP_FROM): not an e-mail "),
            (
                vec!["--sms-webhook-url=ftp://hunter2"],
                "malformed setting --sms-webhook-url (CONVENE_SMS_WEBHOOK_URL): ",
            ),
            (vec![SMS[0]], "missing setting --sms-webhook-secret (CONVENE_SMS_WEBHOOK_SECRET) "),
            (vec!["--public-url=hunter2"], "malformed setting --public-url (CONVENE_PUBLIC_URL): not a URL such as "),
            (vec!["--public-url=https://hunter2@x.org"], "malformed setting --public-url (CONVENE_PUBLIC_URL): "),
            (vec!["--public-url=https://x.org/?hunter2"], "malformed setting --public-url (CONVENE_PUBLIC_URL): "),
        ] {
            let ending = read(&args).expect_err("no good settings");
            assert!(ending.text.starts_with(&format!("program: {line}")), "{args:?}: {}", ending.text);
            assert!(ending.text.lines().count() == 1 && !ending.text.contains("hunter2"), "{}", ending.text);
            assert_eq!(ending.code, 2);
        }
    }

    #[test]
    fn links_begin_without_a_second_slash() {
        for (given, kept, host) in [
            ("https://x.org", "https://x.org", "x.org"),
            ("https://x.org/", "https://x.org", "x.org"),
            ("http://X.org:8080//", "http://x.org:8080", "x.org"),
            ("https://x.org/convene/", "https://x.org/convene", "x.org"),
            ("http://[::1]:80/a", "http://[::1]/a", "[::1]"),
        ] {
            let url: PublicUrl = given.parse().expect(given);
            assert_eq!((url.as_str(), url.host()), (kept, host));
        }
    }
}

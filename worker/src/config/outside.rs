//! Settings for sending to people outside: rule S10. Where they are missing, invitations wait in the database.
//!
//! | setting | default |
//! | --- | --- |
//! | `smtp-url`, `smtp-from` | none: no mail is sent; the first needs the second |
//! | `sms-webhook-url`, `sms-webhook-secret` | none: nothing is sent to phones; the first needs the second |
//! | `public-url` | none: there are no links, so nothing is sent at all |
//! | `invitation-url` | none: links are those of calendar files |
//! | `invitation-pause` | 10m |

use std::{fmt, str::FromStr, time::Duration};

use clap::Args;
use lettre::{Address, AsyncSmtpTransport, Tokio1Executor, message::Mailbox};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use shared::config::duration;
use uuid::Uuid;

/// How people outside are reached.
#[derive(Args, Clone, Debug)]
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
    /// Where the application receives people who are invited, such as
    /// https://host/join?session={sessionId}&invitation={invitation} [default: their links are calendar files]
    #[arg(long, env = "CONVENE_INVITATION_URL", hide_env_values = true)]
    pub invitation_url: Option<InvitationUrl>,
    /// An address is sent at most one invitation to a session within this time; what changes meanwhile goes with the next one
    #[arg(long, env = "CONVENE_INVITATION_PAUSE", hide_env_values = true, default_value = "10m", value_parser = pause)]
    pub invitation_pause: Duration,
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

/// With the domain's A-label: a server that does not know the letters would take no mail at all.
fn mailbox(text: &str) -> Result<Mailbox, String> {
    let malformed = || "not an e-mail address such as noreply@example.org".to_owned();
    let mailbox: Mailbox = text.parse().map_err(|_| malformed())?;
    if mailbox.email.domain().is_ascii() {
        return Ok(mailbox);
    }
    let Mailbox { name, email } = mailbox;
    let domain = idna::domain_to_ascii(email.domain()).map_err(|_| malformed())?;
    Ok(Mailbox::new(name, Address::new(email.user(), domain).map_err(|_| malformed())?))
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

/// Up to so many days, for which an invitation is good.
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 24 * 3600);

fn pause(text: &str) -> Result<Duration, String> {
    let pause = duration(text)?;
    if pause > LONGEST_PAUSE { Err("more than 30d".to_owned()) } else { Ok(pause) }
}

/// Stands in an [`InvitationUrl`] for the session's id …
const SESSION: &str = "{sessionId}";

/// … and this for the token of the invitation.
const INVITATION: &str = "{invitation}";

/// What is encoded of a value, wherever in a URL it stands.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where links of invitations point to: a template with `{sessionId}` and `{invitation}`, each at least once, in the path, the
/// query or the fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationUrl(String);

impl InvitationUrl {
    /// The link of an invitation.
    pub fn link(&self, session: Uuid, token: &str) -> String {
        filled(&self.0, &session.to_string(), token)
    }
}

fn filled(template: &str, session: &str, token: &str) -> String {
    let encoded = |value| utf8_percent_encode(value, VALUE).to_string();
    let link = template.replace(SESSION, &encoded(session)).replace(INVITATION, &encoded(token));
    Url::parse(&link).map_or(link, String::from)
}

impl FromStr for InvitationUrl {
    type Err = String;

    fn from_str(template: &str) -> Result<Self, String> {
        let malformed = || {
            "not a URL with {sessionId} and {invitation}, such as \
             https://app.example.org/join?session={sessionId}&invitation={invitation}"
                .to_owned()
        };
        let has_both = [SESSION, INVITATION].iter().all(|name| template.contains(name));
        let rest = template.replace(SESSION, "").replace(INVITATION, "");
        if !has_both || rest.contains(['{', '}']) || template.trim() != template {
            return Err(malformed());
        }
        // They stand behind the host: whatever they are, it is the same.
        let of = |value: &str| web_url(&filled(template, value, value)).ok_or_else(malformed);
        let (one, other) = (of("1")?, of("2")?);
        let is_plain = one.username().is_empty() && one.password().is_none();
        if !is_plain || one.origin() != other.origin() || one == other {
            return Err(malformed());
        }
        Ok(Self(template.to_owned()))
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
            (
                vec!["--invitation-url=https://x.org/{sessionId}?hunter2"],
                "malformed setting --invitation-url (CONVENE_INVITATION_URL): not a URL with {sessionId} and {invitation}",
            ),
            (vec!["--invitation-pause=hunter2"], "malformed setting --invitation-pause (CONVENE_INVITATION_PAUSE): "),
            (
                vec!["--invitation-pause=31d"],
                "malformed setting --invitation-pause (CONVENE_INVITATION_PAUSE): more than 30d",
            ),
        ] {
            let ending = read(&args).expect_err("no good settings");
            assert!(ending.text.starts_with(&format!("program: {line}")), "{args:?}: {}", ending.text);
            assert!(ending.text.lines().count() == 1 && !ending.text.contains("hunter2"), "{}", ending.text);
            assert_eq!(ending.code, 2);
        }
    }

    #[test]
    fn a_link_of_the_application_has_both_values_where_the_template_says() {
        let session = Uuid::nil();
        for (template, link) in [
            (
                "https://x.org/j?s={sessionId}&i={invitation}",
                "https://x.org/j?s=00000000-0000-0000-0000-000000000000&i=a-_b",
            ),
            (
                "http://localhost:3000/#/{sessionId}/{invitation}",
                "http://localhost:3000/#/00000000-0000-0000-0000-000000000000/a-_b",
            ),
            (
                "https://München.example/{invitation}/{sessionId}?i={invitation}",
                "https://xn--mnchen-3ya.example/a-_b/00000000-0000-0000-0000-000000000000?i=a-_b",
            ),
        ] {
            let url: InvitationUrl = template.parse().expect(template);
            assert_eq!(url.link(session, "a-_b"), link);
            assert!(url.link(session, "a&b=c/d#ü").contains("a%26b%3Dc%2Fd%23%C3%BC"), "{template}");
        }
        for malformed in [
            "",
            "{sessionId}{invitation}",
            "https://x.org/",
            "https://x.org/{invitation}",
            "https://x.org/{sessionId}",
            "https://x.org/{sessionId}/{invitation}/{user}",
            "https://x.org/{sessionId}/{invitation}/{",
            "ftp://x.org/{sessionId}/{invitation}",
            "https://{invitation}.x.org/{sessionId}",
            "https://x.org:{invitation}/{sessionId}",
            "https://{sessionId}@x.org/{invitation}",
            "javascript:{sessionId}{invitation}",
            " https://x.org/{sessionId}/{invitation}",
        ] {
            malformed.parse::<InvitationUrl>().expect_err(malformed);
        }
    }

    #[test]
    fn mails_come_from_the_domains_a_label() {
        for (from, address) in
            [("Convene <no@München.example>", "no@xn--mnchen-3ya.example"), ("no@example.org", "no@example.org")]
        {
            let outside = read(&[&format!("--smtp-from={from}")]).expect(from);
            assert_eq!(outside.organizer(), address);
        }
        assert_eq!(read(&[]).expect("none").invitation_pause, Duration::from_secs(600));
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

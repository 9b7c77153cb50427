//! Mails as they are sent: rules S10, I2.

use chrono::{DateTime, Utc};
use lettre::{
    Address, Message,
    message::{
        Attachment, Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use uuid::Uuid;

use crate::social::{
    address::folded_email,
    outsiders::{
        calendar::Mailed,
        occasion::Occasion,
        words::{self, Link, News},
    },
};

/// Who sends.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) from: Mailbox,
    /// Without a slash at its end.
    pub(super) public_url: String,
}

/// There is no such mail: the address is none that a mail server could be given.
#[derive(Debug, thiserror::Error)]
#[error("the mail cannot be written")]
pub(super) struct Unwritable;

impl Sender {
    /// A mail. Calendars show the part `text/calendar` beside the text as an invitation that can be answered; the file is for
    /// those that show it as a file.
    pub(super) fn write(
        &self,
        to: &str,
        message_id: Uuid,
        news: News,
        link: Option<Link<'_>>,
        occasion: &Occasion,
        now: DateTime<Utc>,
    ) -> Result<Message, Unwritable> {
        // Releases before have kept the letters of a domain.
        let to = folded_email(to);
        let address: Address = to.parse().map_err(|_| Unwritable)?;
        let organizer = self.from.email.to_string();
        let mailed =
            Mailed { is_cancelled: news.cancels(), attendee: &to, organizer: &organizer, url: &self.public_url, now };
        let ics = mailed.text(occasion);
        let text = words::text(occasion, news, link, now);
        let calendar = format!("text/calendar; charset=utf-8; method={}", mailed.method().name());
        let parts = MultiPart::mixed()
            .multipart(
                MultiPart::alternative()
                    .singlepart(SinglePart::plain(text))
                    .singlepart(SinglePart::builder().content_type(content_type(&calendar)?).body(ics.clone())),
            )
            .singlepart(Attachment::new("invite.ics".to_owned()).body(ics, content_type("application/ics")?));
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(words::subject(occasion, news))
            .date(now.into())
            .message_id(Some(format!("<{message_id}@{}>", self.from.email.domain())))
            // RFC 3834: nobody's holiday notice answers it.
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .multipart(parts)
            .map_err(|_| Unwritable)
    }
}

fn content_type(text: &str) -> Result<ContentType, Unwritable> {
    ContentType::parse(text).map_err(|_| Unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::social::outsiders::words::tests::occasion;

    fn write(to: &str, title: &str) -> Result<String, Unwritable> {
        let sender =
            Sender { from: "Convene <no@example.org>".parse().expect("a mailbox"), public_url: "https://x.org".into() };
        let occasion = Occasion { title: title.to_owned(), ..occasion() };
        let now = "2029-01-01T00:00:00Z".parse().expect("an instant");
        let link = Link { url: "https://x.org/y", is_application: false, expires_at: now };
        let mail = sender.write(to, Uuid::nil(), News::Invitation, Some(link), &occasion, now)?;
        Ok(String::from_utf8(mail.formatted()).expect("a mail is ASCII"))
    }

    #[test]
    fn nothing_that_a_client_writes_becomes_a_header() {
        for title in
            ["Yoga\r\nBcc: all@example.org", "Yoga\nBcc: all@example.org", "\r\n\r\nBcc: x", "=?utf-8?q?a=0ABcc?="]
        {
            let mail = write("eve@example.org", title).expect("a mail");
            let (headers, _) = mail.split_once("\r\n\r\n").expect("headers");
            let names: Vec<&str> = headers
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split_once(':').expect("a header").0)
                .collect();
            let expected =
                ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];
            assert_eq!(names, expected, "{headers}");
        }
        for to in ["eve@example.org\r\nBcc: all@example.org", "eve@example.org, all@example.org", "<eve@example.org>"] {
            assert!(write(to, "Yoga").is_err(), "{to}");
        }
    }

    #[test]
    fn a_mail_to_an_internationalised_domain_is_ascii() {
        for to in ["x@münchen.example", "x@xn--mnchen-3ya.example"] {
            // Without the line ends of quoted-printable, and then those of folded lines.
            let mail = write(to, "Yoga").expect("a mail").replace("=\r\n", "").replace("\r\n ", "");
            assert!(mail.is_ascii() && mail.contains("\r\nTo: x@xn--mnchen-3ya.example\r\n"), "{mail}");
            assert!(mail.contains(":mailto:x@xn--mnchen-3ya.example"), "{mail}");
        }
    }

    #[test]
    fn no_line_of_a_mail_is_too_long_whatever_its_title() {
        let mail = write("eve@example.org", &"Ж🧘".repeat(127)).expect("a mail");
        assert!(mail.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{mail}");
    }
}

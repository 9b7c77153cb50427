//! A session as the calendar file in a mail: rules I2, I3.

use chrono::{DateTime, Utc};

use crate::social::outsiders::occasion::Occasion;

/// What a file says beside the session itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mailed<'a> {
    /// Else that the reader is invited.
    pub(super) is_cancelled: bool,
    /// The reader's address, which was invited.
    pub(super) attendee: &'a str,
    /// The address of `smtp-from`.
    pub(super) organizer: &'a str,
    /// Where people reach us.
    pub(super) url: &'a str,
    pub(super) now: DateTime<Utc>,
}

impl Mailed<'_> {
    /// METHOD.
    pub(super) fn method(&self) -> &'static str {
        if self.is_cancelled { "CANCEL" } else { "REQUEST" }
    }

    /// The file.
    pub(super) fn text(&self, occasion: &Occasion) -> String {
        let utc = |instant: DateTime<Utc>| instant.format("%Y%m%dT%H%M%SZ").to_string();
        let end = occasion.starts_at + chrono::TimeDelta::seconds(occasion.seconds.into());
        let status = if self.is_cancelled { "CANCELLED" } else { "CONFIRMED" };
        let lines = [
            "BEGIN:VCALENDAR".to_owned(),
            "VERSION:2.0".to_owned(),
            "PRODID:-//Convene//Convene//EN".to_owned(),
            format!("METHOD:{}", self.method()),
            "BEGIN:VEVENT".to_owned(),
            format!("UID:{}", occasion.session_id),
            format!("DTSTAMP:{}", utc(self.now)),
            format!("SEQUENCE:{}", occasion.sequence),
            format!("DTSTART:{}", utc(occasion.starts_at)),
            format!("DTEND:{}", utc(end)),
            format!("SUMMARY:{}", escape(&occasion.title)),
            format!("URL:{}", self.url),
            format!("STATUS:{status}"),
            format!("ORGANIZER:mailto:{}", self.organizer),
            format!("ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION:mailto:{}", self.attendee),
            "END:VEVENT".to_owned(),
            "END:VCALENDAR".to_owned(),
        ];
        lines.map(|line| line + "\r\n").concat()
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(['\r', '\n'], " ").replace(';', "\\;").replace(',', "\\,")
}

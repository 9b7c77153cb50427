//! A social session as a calendar file: rules I2 to I4. Pure code, without database and clock.
//!
//! | module | holds |
//! | --- | --- |
//! | `weekly` | a recurring session: its rule, and what becomes of hours that the clocks skip or repeat (S9, T4) |
//! | `zone` | the VTIMEZONE of the real transitions |
//! | `line` | content lines: escaping, folding |
//!
//! The crate `icalendar` is not used: it escapes no parameter (RFC 6868), lets control characters through, and sorts
//! properties by name.

mod line;
mod weekly;
mod zone;

use jiff::{civil::DateTime, tz::TimeZone};
use shared::api::Timestamp;

use self::{
    line::{Lines, mailto, uri},
    weekly::Series,
};
use crate::availability::calendar::wall_at;

pub use self::weekly::Weekly;

/// What is told of a session, and to whom.
#[derive(Clone, Debug)]
pub struct Invite<'a> {
    /// What the file is for, and the reader.
    pub method: Method<'a>,
    /// The session. It is the UID, and so must not change.
    pub session_id: &'a str,
    /// The address that answers would go to, and the owner's name when the session was created. Neither may change.
    pub organizer: Person<'a>,
    /// When.
    pub time: Time,
    /// How long each occurrence is.
    pub seconds: i64,
    /// Rises when the time or the place changes, and when an invitation is taken back.
    pub sequence: i32,
    /// Who may know of it.
    pub class: Class,
    /// Its title; any text.
    pub title: &'a str,
    /// Any text; empty: left out.
    pub description: &'a str,
    /// The title of its room; empty: left out.
    pub location: &'a str,
    /// Where to go; empty: left out.
    pub url: &'a str,
    /// When the file is made.
    pub now: Timestamp,
    /// When the session was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// What the file is for (RFC 5546).
#[derive(Clone, Copy, Debug)]
pub enum Method<'a> {
    /// For a reader whose address is known.
    Request(Attendee<'a>),
    /// For one of whom nothing is known.
    Publish,
    /// The session was deleted. With the reader, if the address is known.
    Cancel(Option<Attendee<'a>>),
}

impl<'a> Method<'a> {
    /// As in METHOD, and in the `method` of `text/calendar` (I2).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "REQUEST",
            Self::Publish => "PUBLISH",
            Self::Cancel(_) => "CANCEL",
        }
    }

    fn attendee(&self) -> Option<Attendee<'a>> {
        match self {
            Self::Request(attendee) => Some(*attendee),
            Self::Publish => None,
            Self::Cancel(attendee) => *attendee,
        }
    }

    fn is_cancel(&self) -> bool {
        matches!(self, Self::Cancel(_))
    }
}

/// A name and an address.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Any text; empty: left out.
    pub name: &'a str,
    /// An e-mail address.
    pub address: &'a str,
}

/// The reader.
#[derive(Clone, Copy, Debug)]
pub struct Attendee<'a> {
    /// Who.
    pub person: Person<'a>,
    /// Whether it is the session's owner.
    pub is_owner: bool,
    /// Whether the reader takes part, as the owner does, or else is only invited.
    pub has_joined: bool,
}

/// When a session occurs.
#[derive(Clone, Debug)]
pub enum Time {
    /// Once, from this instant on.
    Once(Timestamp),
    /// Every week (S9).
    Weekly(Weekly),
}

/// CLASS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Everyone who sees the event knows of it: public sessions and open slots (S5).
    Public,
    /// To all but those who are invited it does not exist.
    Private,
}

const PRODUCT: &str = "-//Convene//Convene//EN";

impl Invite<'_> {
    /// The file. Fractions of a second are cut off.
    pub fn to_text(&self) -> String {
        let mut lines = Lines::default();
        lines.begin("VCALENDAR");
        lines.property("VERSION", &[], "2.0");
        lines.property("PRODID", &[], PRODUCT);
        lines.property("CALSCALE", &[], "GREGORIAN");
        lines.property("METHOD", &[], self.method.name());
        match &self.time {
            Time::Once(start) => self.write_event(&mut lines, |lines| {
                lines.property("DTSTART", &[], &utc(*start));
                lines.property("DTEND", &[], &utc(plus_seconds(*start, self.seconds)));
            }),
            Time::Weekly(weekly) => {
                let series = Series::of(weekly, self.now);
                if let Some(zone) = series.zone() {
                    zone.write(&mut lines);
                }
                self.write_event(&mut lines, |lines| series.write(self.seconds, lines));
            }
        }
        lines.end("VCALENDAR");
        lines.into_text()
    }

    fn write_event(&self, lines: &mut Lines, write_times: impl FnOnce(&mut Lines)) {
        lines.begin("VEVENT");
        lines.text("UID", self.session_id);
        lines.property("DTSTAMP", &[], &utc(self.now));
        lines.property("CREATED", &[], &utc(self.created));
        lines.property("LAST-MODIFIED", &[], &utc(self.updated));
        lines.property("SEQUENCE", &[], &self.sequence.to_string());
        write_times(lines);
        lines.text("SUMMARY", self.title);
        for (name, text) in [("DESCRIPTION", self.description), ("LOCATION", self.location)] {
            if !text.is_empty() {
                lines.text(name, text);
            }
        }
        if !self.url.is_empty() {
            lines.property("URL", &[], &uri(self.url));
        }
        lines.property("CLASS", &[], if self.class == Class::Private { "PRIVATE" } else { "PUBLIC" });
        lines.property("STATUS", &[], if self.method.is_cancel() { "CANCELLED" } else { "CONFIRMED" });
        lines.property("ORGANIZER", &named(self.organizer.name), &mailto(self.organizer.address));
        if let Some(attendee) = self.method.attendee() {
            attendee.write(lines);
        }
        // RFC 5546, 3.2.5: nothing reminds of what was cancelled.
        if !self.method.is_cancel() {
            lines.begin("VALARM");
            lines.property("ACTION", &[], "DISPLAY");
            lines.text("DESCRIPTION", self.title);
            lines.property("TRIGGER", &[], "-PT15M");
            lines.end("VALARM");
        }
        lines.end("VEVENT");
    }
}

impl Attendee<'_> {
    fn write(&self, lines: &mut Lines) {
        let mut parameters = vec![
            ("ROLE", if self.is_owner { "CHAIR" } else { "REQ-PARTICIPANT" }),
            ("PARTSTAT", if self.has_joined { "ACCEPTED" } else { "NEEDS-ACTION" }),
        ];
        parameters.extend(named(self.person.name));
        lines.property("ATTENDEE", &parameters, &mailto(self.person.address));
    }
}

/// CN, if there is a name.
fn named(name: &str) -> Vec<(&str, &str)> {
    if name.is_empty() { Vec::new() } else { vec![("CN", name)] }
}

/// The instant so many seconds later, or the last one there is.
fn plus_seconds(instant: Timestamp, seconds: i64) -> Timestamp {
    let micros = instant.micros().saturating_add(seconds.saturating_mul(1_000_000));
    Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
}

/// DATE-TIME in UTC.
fn utc(instant: Timestamp) -> String {
    let wall = wall_at(instant, &TimeZone::UTC).unwrap_or(DateTime::MAX);
    format!("{}Z", local(wall))
}

/// DATE-TIME without zone.
fn local(wall: DateTime) -> String {
    wall.strftime("%Y%m%dT%H%M%S").to_string()
}

#[cfg(test)]
mod tests;

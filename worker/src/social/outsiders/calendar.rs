//! A session as a calendar file, as it is mailed and downloaded: rules I2, I3.

use chrono::{DateTime, Utc};

use crate::{
    ics::{Attendee, Class, Invite, Method, Person, Time, Weekly},
    social::{outsiders::occasion::Occasion, series::to_civil},
};

/// What a mailed file says beside the session itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mailed<'a> {
    /// That the session is no more, or the reader not invited any more; else that the reader is invited.
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
    /// What the file is for.
    pub(super) fn method(&self) -> Method<'_> {
        let person = Person { name: "", address: self.attendee };
        let attendee = Attendee { person, is_owner: false, has_joined: false };
        if self.is_cancelled { Method::Cancel(Some(attendee)) } else { Method::Request(attendee) }
    }

    /// The file.
    pub(super) fn text(&self, occasion: &Occasion) -> String {
        occasion.file(self.method(), self.organizer, self.url, self.now)
    }
}

impl Occasion {
    /// The session as a calendar file. `organizer` is an address, `url` where people reach us; empty: left out.
    pub(crate) fn file(&self, method: Method<'_>, organizer: &str, url: &str, now: DateTime<Utc>) -> String {
        Invite {
            method,
            session_id: &self.session_id.to_string(),
            organizer: Person { name: &self.owner_name, address: organizer },
            time: time(self),
            seconds: self.seconds.into(),
            sequence: self.sequence,
            class: if self.is_private { Class::Private } else { Class::Public },
            title: &self.title,
            description: &self.description,
            location: &self.room_title,
            url,
            now: now.into(),
            created: self.created_at.into(),
            updated: self.updated_at.into(),
        }
        .to_text()
    }
}

fn time(occasion: &Occasion) -> Time {
    match to_civil(occasion.local_start) {
        Some(wall) if occasion.is_recurring => {
            let series = occasion.series();
            let last = series.last().map(|last| last.start.into());
            Time::Weekly(Weekly { wall, zone: series.zone, last })
        }
        _ => Time::Once(occasion.starts_at.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::social::outsiders::words::tests::occasion;

    fn file(occasion: &Occasion, is_cancelled: bool) -> String {
        let now = "2029-01-01T00:00:00Z".parse().expect("an instant");
        let mailed =
            Mailed { is_cancelled, attendee: "ann@example.com", organizer: "no@x.org", url: "https://x.org", now };
        mailed.text(occasion).replace("\r\n ", "")
    }

    #[test]
    fn i3_a_recurring_session_ends_with_the_last_occurrence_within_its_event() {
        let weekly = Occasion {
            is_recurring: true,
            until: Some("2030-01-16T10:59:59Z".parse().expect("an instant")),
            ..occasion()
        };
        let text = file(&weekly, false);
        assert!(text.contains("\r\nDTSTART;TZID=Europe/Berlin:20300102T110000\r\n"), "{text}");
        assert!(text.contains("\r\nRRULE:FREQ=WEEKLY;UNTIL=20300109T100000Z\r\n"), "{text}");
        let endless = file(&Occasion { until: None, ..weekly }, false);
        assert!(endless.contains("\r\nRRULE:FREQ=WEEKLY\r\n"), "{endless}");
    }

    #[test]
    fn i2_whoever_was_invited_is_told_that_it_is_cancelled_as_the_one_invited() {
        let text = file(&Occasion { is_private: true, sequence: 3, ..occasion() }, true);
        for line in ["METHOD:CANCEL", "STATUS:CANCELLED", "SEQUENCE:3", "CLASS:PRIVATE", "LOCATION:Lobby"] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}: {text}");
        }
        assert!(
            text.contains(":mailto:ann@example.com\r\n") && text.contains("ORGANIZER;CN=Bob:mailto:no@x.org"),
            "{text}"
        );
    }
}

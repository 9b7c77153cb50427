//! What outsiders read: plain and short, in English.

use chrono::{DateTime, Utc};
use shared::api::Timestamp;

use crate::social::outsiders::occasion::Occasion;

/// A message to a phone shows so many characters of a title.
const MOST_OF_TITLE: usize = 60;

/// What somebody is told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// That the reader is invited.
    Invitation,
    /// That it has moved.
    Change,
    /// That it is no more.
    Cancellation,
    /// That the reader is not invited any more.
    Withdrawal,
}

impl News {
    /// What a message is that cancels, or tells whoever was told before that the session has moved, or else invites.
    pub(crate) fn of(is_cancellation: bool, is_change: bool) -> Self {
        match (is_cancellation, is_change) {
            (true, _) => Self::Cancellation,
            (false, true) => Self::Change,
            (false, false) => Self::Invitation,
        }
    }

    /// As metrics and logs have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Change => "change",
            Self::Cancellation | Self::Withdrawal => "cancellation",
        }
    }

    /// Whether the reader's calendar is to forget the session (I2).
    pub(super) fn cancels(self) -> bool {
        matches!(self, Self::Cancellation | Self::Withdrawal)
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Invitation => "Invitation",
            Self::Change => "Changed",
            Self::Cancellation => "Cancelled",
            Self::Withdrawal => "Invitation withdrawn",
        }
    }
}

/// The link of an invitation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link<'a> {
    pub(super) url: &'a str,
    /// Where the application receives people (`invitation-url`), or else the calendar file.
    pub(super) is_application: bool,
    pub(super) expires_at: DateTime<Utc>,
}

impl Link<'_> {
    fn words(&self) -> String {
        let what = if self.is_application {
            "To take part, sign in with this link."
        } else {
            "With this link you get the session as a calendar file, as it is by then."
        };
        let until = self.expires_at.format("%-d %B %Y");
        format!("{what} It is for you alone, and good until {until}.\n\n{}\n", self.url)
    }
}

/// What a mail is about. One line, whatever the title has.
pub(super) fn subject(occasion: &Occasion, news: News) -> String {
    format!("{}: {}", news.subject(), line(&occasion.title))
}

/// A mail's text; with a link where there is one.
pub(super) fn text(occasion: &Occasion, news: News, link: Option<Link<'_>>, now: DateTime<Utc>) -> String {
    let what = match news {
        News::Invitation => "You are invited to",
        News::Change => "The time or the place has changed",
        News::Cancellation => "This does not take place any more",
        News::Withdrawal => "You are not invited any more to",
    };
    let link = link.map(|link| format!("\n{}", link.words())).unwrap_or_default();
    format!("{what}: {}\n\n{}{link}", line(&occasion.title), details(occasion, now))
}

/// A message to a phone.
pub(super) fn short(occasion: &Occasion, news: News, link: Option<Link<'_>>, now: DateTime<Utc>) -> String {
    let mut text = format!("{}: {}, {}", news.subject(), shortened(&occasion.title), when(occasion, now));
    // Else it is told where the link leads.
    if news == News::Change && !occasion.room_title.is_empty() {
        text.push_str(&format!(", {}", shortened(&occasion.room_title)));
    }
    if let Some(Link { url, is_application, .. }) = link {
        let what = if is_application { "Sign in to take part" } else { "Calendar file" };
        text.push_str(&format!("\n{what}: {url}"));
    }
    text
}

fn shortened(title: &str) -> String {
    let title = line(title);
    if title.chars().count() <= MOST_OF_TITLE {
        return title;
    }
    title.chars().take(MOST_OF_TITLE - 1).chain(['…']).collect()
}

fn details(occasion: &Occasion, now: DateTime<Utc>) -> String {
    let mut details = format!("When: {}\n", when(occasion, now));
    if !occasion.room_title.is_empty() {
        details.push_str(&format!("Where: {}\n", line(&occasion.room_title)));
    }
    details
}

/// The next time that it is, by the clocks of its zone.
fn when(occasion: &Occasion, now: DateTime<Utc>) -> String {
    let zone = occasion.zone();
    let Some(next) = occasion.next(now) else { return "no more".to_owned() };
    let (Some(start), Some(end)) = (civil(next.start, &zone), civil(next.end, &zone)) else {
        return next.start.to_rfc3339();
    };
    let day = "%A, %-d %B %Y, %H:%M";
    let end = end.strftime(if start.date() == end.date() { "%H:%M" } else { day });
    let name = zone.iana_name().map_or_else(|| occasion.time_zone.clone(), str::to_owned);
    let name = if name.starts_with(['+', '-']) { format!("UTC{name}") } else { name };
    let weekly = if occasion.is_recurring { ", every week" } else { "" };
    format!("{} to {end} ({name}){weekly}", start.strftime(day))
}

fn civil(instant: DateTime<Utc>, zone: &jiff::tz::TimeZone) -> Option<jiff::civil::DateTime> {
    let instant = jiff::Timestamp::from_microsecond(Timestamp::from(instant).micros()).ok()?;
    Some(zone.to_datetime(instant))
}

/// A text in one line, without what cannot be seen.
fn line(text: &str) -> String {
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::social::outsiders) fn occasion() -> Occasion {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect(text);
        Occasion {
            session_id: uuid::Uuid::nil(),
            title: "Yoga".to_owned(),
            description: "Bring a mat".to_owned(),
            room_title: "Lobby".to_owned(),
            owner_name: "Bob".to_owned(),
            is_private: false,
            starts_at: at("2030-01-02T10:00:00Z"),
            seconds: 3600,
            is_recurring: false,
            local_start: "2030-01-02T11:00:00".parse().expect("a clock time"),
            time_zone: "Europe/Berlin".to_owned(),
            until: None,
            sequence: 0,
            created_at: at("2029-01-01T00:00:00Z"),
            updated_at: at("2029-01-01T00:00:00Z"),
            is_over: false,
            zones: crate::zones::Zones::bundled(),
        }
    }

    fn now(text: &str) -> DateTime<Utc> {
        text.parse().expect(text)
    }

    #[test]
    fn the_time_is_told_by_the_clocks_of_the_sessions_zone() {
        let once = occasion();
        assert_eq!(
            when(&once, now("2029-01-01T00:00:00Z")),
            "Wednesday, 2 January 2030, 11:00 to 12:00 (Europe/Berlin)"
        );
        let long = Occasion { seconds: 14 * 3600, ..once.clone() };
        assert_eq!(
            when(&long, now("2029-01-01T00:00:00Z")),
            "Wednesday, 2 January 2030, 11:00 to Thursday, 3 January 2030, 01:00 (Europe/Berlin)"
        );
        let weekly = Occasion { is_recurring: true, ..once.clone() };
        assert_eq!(
            when(&weekly, now("2030-07-01T00:00:00Z")),
            "Wednesday, 3 July 2030, 11:00 to 12:00 (Europe/Berlin), every week"
        );
        let offset = Occasion {
            time_zone: "+05:45".to_owned(),
            local_start: "2030-01-02T15:45:00".parse().expect("a clock time"),
            ..once
        };
        assert_eq!(when(&offset, now("2029-01-01T00:00:00Z")), "Wednesday, 2 January 2030, 15:45 to 16:45 (UTC+05:45)");
    }

    fn link(is_application: bool) -> Option<Link<'static>> {
        Some(Link { url: "https://x/y", is_application, expires_at: now("2029-01-31T09:00:00Z") })
    }

    #[test]
    fn a_title_is_one_line_wherever_it_stands() {
        let sly = Occasion { title: "Yoga\r\nBcc: all@example.org\u{2028}\0 🧘".to_owned(), ..occasion() };
        for (news, subject_says, text_says) in [
            (News::Invitation, "Invitation", "You are invited to"),
            (News::Change, "Changed", "The time or the place has changed"),
            (News::Cancellation, "Cancelled", "This does not take place any more"),
            (News::Withdrawal, "Invitation withdrawn", "You are not invited any more to"),
        ] {
            assert_eq!(subject(&sly, news), format!("{subject_says}: Yoga Bcc: all@example.org 🧘"));
            let text = text(&sly, news, None, now("2029-01-01T00:00:00Z"));
            assert!(text.starts_with(&format!("{text_says}: Yoga Bcc: all@example.org 🧘\n\nWhen: ")), "{text}");
            assert!(text.ends_with("\nWhere: Lobby\n"), "{text}");
        }
    }

    #[test]
    fn a_link_is_said_to_be_what_it_is() {
        let now = now("2029-01-01T00:00:00Z");
        for news in [News::Invitation, News::Change] {
            let application = text(&occasion(), news, link(true), now);
            let end = "\nTo take part, sign in with this link. It is for you alone, and good until 31 January 2029.\n\nhttps://x/y\n";
            assert!(application.ends_with(end), "{application}");
            let file = text(&occasion(), news, link(false), now);
            assert!(
                file.contains("\nWith this link you get the session as a calendar file") && !file.contains("sign in")
            );
            assert!(short(&occasion(), news, link(true), now).ends_with("\nSign in to take part: https://x/y"));
            assert!(short(&occasion(), news, link(false), now).ends_with("\nCalendar file: https://x/y"));
        }
    }

    #[test]
    fn a_message_to_a_phone_is_short_and_keeps_the_link() {
        let now = now("2029-01-01T00:00:00Z");
        let long = Occasion { title: "ж".repeat(255), room_title: "é".repeat(255), ..occasion() };
        let text = short(&long, News::Invitation, link(false), now);
        assert!(text.starts_with(&format!("Invitation: {}…, Wednesday, 2 January", "ж".repeat(59))), "{text}");
        assert!(text.ends_with(" (Europe/Berlin)\nCalendar file: https://x/y"), "{text}");
        let text = short(&long, News::Change, link(true), now);
        assert!(text.ends_with(&format!(", {}…\nSign in to take part: https://x/y", "é".repeat(59))), "{text}");
        let text = short(&occasion(), News::Cancellation, None, now);
        assert_eq!(text, "Cancelled: Yoga, Wednesday, 2 January 2030, 11:00 to 12:00 (Europe/Berlin)");
        let text = short(&occasion(), News::Withdrawal, None, now);
        assert_eq!(text, "Invitation withdrawn: Yoga, Wednesday, 2 January 2030, 11:00 to 12:00 (Europe/Berlin)");
    }
}

//! What outsiders read: plain and short, in English.

use chrono::{DateTime, Utc};
use shared::api::Timestamp;

use crate::social::outsiders::occasion::Occasion;

/// A message to a phone shows so many characters of the title.
const MOST_OF_TITLE: usize = 60;

/// What a mail is about. One line, whatever the title has.
pub(super) fn subject(occasion: &Occasion, is_cancelled: bool) -> String {
    let what = if is_cancelled { "Cancelled" } else { "Invitation" };
    format!("{what}: {}", line(&occasion.title))
}

/// A mail with the link of an invitation.
pub(super) fn invitation(occasion: &Occasion, link: &str, now: DateTime<Utc>) -> String {
    let details = details(occasion, now);
    let title = line(&occasion.title);
    format!(
        "You are invited to: {title}\n\n{details}\nTo take part, sign in with this link. It is for you alone, and good for \
         30 days.\n\n{link}\n"
    )
}

/// A mail that says that a session is no more.
pub(super) fn cancellation(occasion: &Occasion, now: DateTime<Utc>) -> String {
    format!("This does not take place any more: {}\n\n{}", line(&occasion.title), details(occasion, now))
}

/// A message to a phone.
pub(super) fn short_invitation(occasion: &Occasion, link: &str, now: DateTime<Utc>) -> String {
    let mut title = line(&occasion.title);
    if title.chars().count() > MOST_OF_TITLE {
        title = title.chars().take(MOST_OF_TITLE - 1).chain(['…']).collect();
    }
    format!("Invitation: {title}, {}\n{link}", when(occasion, now))
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

    #[test]
    fn a_title_is_one_line_wherever_it_stands() {
        let sly = Occasion { title: "Yoga\r\nBcc: all@example.org\u{2028}\0 🧘".to_owned(), ..occasion() };
        assert_eq!(subject(&sly, false), "Invitation: Yoga Bcc: all@example.org 🧘");
        assert_eq!(subject(&sly, true), "Cancelled: Yoga Bcc: all@example.org 🧘");
        let text = invitation(&sly, "https://x/y", now("2029-01-01T00:00:00Z"));
        assert!(text.starts_with("You are invited to: Yoga Bcc: all@example.org 🧘\n\nWhen: "), "{text}");
        assert!(text.contains("\nWhere: Lobby\n") && text.ends_with("\n\nhttps://x/y\n"), "{text}");
    }

    #[test]
    fn a_message_to_a_phone_is_short_and_keeps_the_link() {
        let long = Occasion { title: "ж".repeat(255), ..occasion() };
        let text = short_invitation(&long, "https://x/y", now("2029-01-01T00:00:00Z"));
        assert!(text.starts_with(&format!("Invitation: {}…, Wednesday, 2 January", "ж".repeat(59))), "{text}");
        assert!(text.ends_with("\nhttps://x/y"), "{text}");
    }
}

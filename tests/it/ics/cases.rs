//! The sessions whose files are read, and what was meant.

use jiff::{
    SignedDuration,
    civil::DateTime,
    tz::{TimeZoneDatabase, TimeZoneName},
};
use serde_json::{Value, json};
use shared::api::{Timestamp, timestamp::zone_written};
use worker::{
    availability::calendar::instant_at,
    ics::{Attendee, Class, Invite, Method, Person, Time, Weekly},
};

use super::habits::{Habits, T4};

/// Programs print at most so many occurrences: three years.
const MOST: usize = 160;

/// A session and its reader.
pub struct Case {
    pub name: String,
    pub invite: Invite<'static>,
}

/// Its file.
pub struct File {
    pub name: String,
    pub text: String,
    /// Whether zones have the names that everybody knows.
    pub is_zone_known: bool,
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn plus_seconds(instant: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_micros(instant.micros() + seconds * 1_000_000).expect("an instant")
}

const BOB: Attendee<'static> =
    Attendee { person: Person { name: "Bob", address: "bob+convene@example.org" }, is_owner: false, has_joined: false };

fn invite(method: Method<'static>, time: Time, seconds: i64) -> Invite<'static> {
    Invite {
        method,
        session_id: "0192f0c1-2a6b-7d3e-8f00-112233445566",
        organizer: Person { name: "Ann Owner", address: "noreply@example.org" },
        time,
        seconds,
        sequence: 3,
        class: Class::Public,
        title: "Planning",
        description: "",
        location: "Lobby",
        url: "https://convene.example.org/session?id=1&x=a,b;c",
        now: at("2026-03-01T12:00:00Z"),
        created: at("2026-02-01T12:00:00Z"),
        updated: at("2026-02-02T12:00:00Z"),
    }
}

fn once() -> Time {
    Time::Once(at("2026-03-29T09:30:00+02:00"))
}

/// A series of so many occurrences; `None`: without end.
fn weekly(wall: &str, zone: &str, count: Option<i64>) -> Time {
    let wall = wall.parse().expect("a clock time");
    let zone = zone_written(zone).expect("a zone");
    let last = count.map(|count| instant_at(week(wall, count - 1), &zone));
    Time::Weekly(Weekly { wall, zone, last })
}

fn week(wall: DateTime, number: i64) -> DateTime {
    wall + SignedDuration::from_hours(7 * 24 * number)
}

/// What the clock shows, where, how often. Hours at which the clocks are changed are among them.
const SERIES: [(&str, &str, Option<i64>); 31] = [
    ("2026-01-07T10:00:00", "America/New_York", None),
    ("2026-01-04T02:30:00", "America/New_York", None),
    ("2026-01-04T01:30:00", "America/New_York", Some(130)),
    ("2026-01-07T10:00:00", "Europe/Berlin", None),
    ("2026-01-04T02:00:00", "Europe/Berlin", Some(110)),
    ("2026-01-04T03:00:00", "Europe/Berlin", None),
    ("2026-01-04T01:30:00", "Europe/Dublin", None),
    ("2026-01-04T02:15:00", "Australia/Lord_Howe", None),
    ("2026-01-04T01:45:00", "Australia/Lord_Howe", Some(120)),
    ("2026-01-04T01:30:00", "Antarctica/Troll", None),
    ("2026-01-04T02:30:00", "Antarctica/Troll", Some(120)),
    // In 2030 Cairo's summer ends on the first of November.
    ("2029-01-05T00:00:00", "Africa/Cairo", None),
    ("2029-01-04T23:30:00", "Africa/Cairo", Some(150)),
    ("2029-10-26T12:00:00", "Africa/Cairo", None),
    ("2025-01-05T02:30:00", "Africa/Casablanca", Some(150)),
    ("2025-01-05T10:00:00", "Africa/Casablanca", None),
    ("2026-01-03T02:30:00", "Asia/Gaza", None),
    ("2026-01-04T12:00:00", "Asia/Gaza", Some(158)),
    ("2026-01-07T10:00:00", "Asia/Kathmandu", None),
    ("1985-06-05T00:05:00", "Asia/Kathmandu", Some(120)),
    ("2017-07-02T00:30:00", "America/Sao_Paulo", Some(120)),
    ("2017-07-01T23:30:00", "America/Sao_Paulo", None),
    ("2011-01-07T10:00:00", "Pacific/Apia", Some(120)),
    ("2011-01-01T03:30:00", "Pacific/Apia", None),
    ("2026-01-03T23:30:00", "America/Nuuk", None),
    ("2005-01-09T02:30:00", "America/New_York", Some(159)),
    ("2026-01-07T10:00:00", "UTC", None),
    ("2026-01-07T10:00:00", "UTC", Some(5)),
    ("2026-01-07T10:00:00", "+05:45", None),
    ("2026-01-07T10:00:00", "Europe/Berlin", Some(1)),
    // The last one comes twice.
    ("2026-09-06T01:30:00", "America/New_York", Some(9)),
];

const LONG: &str = "Ż👩‍👩‍👧‍👦ó🏳️‍🌈łć ";

/// Titles, descriptions and names.
const TEXTS: [(&str, &str); 13] = [
    ("emoji", "Party 🎉 with 👩‍👩‍👧‍👦 and 🏳️‍🌈, 日本語でもいいです、いつでもどこでも楽しく遊びましょう"),
    ("commas", "a, b; c: d \"e\" 'f' ^j ^n ^' ^^ %0A"),
    ("backslashes", "a \\ b \\n c \\, d \\; e \\\\ f"),
    ("newlines", "one\ntwo\r\nthree\n\nfive\n"),
    ("controls", "a\0b\u{1}c\rd\te\u{7f}f\u{85}g\u{b}h"),
    ("separators", "a\u{2028}b\u{2029}c\u{feff}d\u{200b}e\u{a0}f"),
    ("right-to-left", "\u{202e}gnp.exe\u{202c} שלום \u{200f}مرحبا"),
    ("injection", "x\nEND:VEVENT\nBEGIN:VEVENT\nUID:other\r\nATTENDEE:mailto:eve@example.org"),
    ("injection-of-parameters", "x\";ROLE=CHAIR:mailto:eve@example.org\r\nX-Y:\"z"),
    ("spaces", "a                                                                                          b"),
    ("quotes", "\"\"\"^^^"),
    ("colons", "urn:x:y;z=1,2"),
    ("folded", "0123456789012345678901234567890123456789012345678901234567890123456789äöüßäöüßäöüß"),
];

pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, invite| cases.push(Case { name: name.to_owned(), invite });

    add("request", invite(Method::Request(BOB), once(), 3600));
    let chair = Attendee { is_owner: true, has_joined: true, ..BOB };
    add("chair", invite(Method::Request(chair), once(), 3600));
    let private = Invite { class: Class::Private, url: "", location: "", ..invite(Method::Publish, once(), 1) };
    add("private-without-attendee", Invite { organizer: Person { name: "", ..private.organizer }, ..private });
    let nameless = Attendee { person: Person { name: "", address: "o'x%y?=z@example.org" }, has_joined: true, ..BOB };
    add("nameless", invite(Method::Request(nameless), once(), 31 * 86_400));
    add("cancel", invite(Method::Cancel(Some(BOB)), once(), 3600));
    add("cancel-without-attendee", invite(Method::Cancel(None), once(), 3600));
    let series = || weekly("2026-01-04T02:30:00", "Europe/Berlin", Some(20));
    add("cancel-series", invite(Method::Cancel(Some(BOB)), series(), 3600));
    add("publish-series", invite(Method::Publish, series(), 3600));

    for (name, text) in TEXTS {
        add(name, with_text(text));
    }
    add("200-characters", with_text(LONG.repeat(15).chars().take(200).collect::<String>().leak()));
    let long = format!("{}.", LONG.repeat(700).chars().take(9_999).collect::<String>());
    let texts = with_text("Long");
    add("10000-characters", Invite { description: long.leak(), ..texts });

    for (number, (wall, zone, count)) in SERIES.into_iter().enumerate() {
        let zone_name = zone.replace('/', "-");
        add(&format!("series-{number:02}-{zone_name}"), invite(Method::Request(BOB), weekly(wall, zone, count), 3600));
    }
    // Each of them lasts over a change of the clocks at some time, the last one at the first time.
    let berlin = |wall| weekly(wall, "Europe/Berlin", Some(60));
    add("over-changes", invite(Method::Request(BOB), berlin("2026-01-03T23:00:00"), 6 * 3600));
    add("end-comes-twice", invite(Method::Request(BOB), berlin("2026-10-25T00:30:00"), 9000));
    add("first-over-a-change", invite(Method::Request(BOB), berlin("2026-10-24T23:00:00"), 6 * 3600));
    add("longer-than-a-week", invite(Method::Request(BOB), berlin("2026-01-07T10:00:00"), 8 * 86_400));
    cases
}

/// A series without end in each zone of the zone data, at noon, when no clock is changed.
pub fn zones() -> Vec<Case> {
    let case = |zone: TimeZoneName<'_>| {
        let name = zone.to_string();
        let time = weekly("2026-01-07T12:00:00", &name, None);
        Case { name: name.replace('/', "-"), invite: invite(Method::Request(BOB), time, 3600) }
    };
    let zones: Vec<Case> = TimeZoneDatabase::bundled().available().map(case).collect();
    assert!(zones.len() > 400, "they are known");
    zones
}

fn with_text(text: &'static str) -> Invite<'static> {
    let person = Person { name: text, ..BOB.person };
    let texts = invite(Method::Request(Attendee { person, ..BOB }), once(), 3600);
    let organizer = Person { name: text, ..texts.organizer };
    Invite { organizer, title: text, description: text, location: text, ..texts }
}

impl Case {
    /// The files: the one that is sent, and, where a zone is named, one in which nobody knows its name.
    pub fn files(&self) -> Vec<File> {
        let text = self.invite.to_text();
        let mut files = vec![File { name: format!("{}.ics", self.name), text: text.clone(), is_zone_known: true }];
        if let Time::Weekly(Weekly { zone, .. }) = &self.invite.time
            && let Some(name) = zone.iana_name()
            && text.contains("TZID:")
        {
            let unknown = format!("Z-{}", self.name);
            let text = ["TZID:", "TZID="]
                .iter()
                .fold(text, |text, tzid| text.replace(&format!("{tzid}{name}"), &format!("{tzid}{unknown}")));
            let name = format!("{}.unknown-zone.ics", self.name);
            files.push(File { name, text, is_zone_known: false });
        }
        files
    }

    /// The occurrences, by the arithmetic of T4 alone, but for clock times that `habits` say are read otherwise.
    pub fn occurrences(&self, habits: Habits) -> Vec<Timestamp> {
        match &self.invite.time {
            Time::Once(start) => vec![*start],
            Time::Weekly(Weekly { wall, zone, last, .. }) => (0..)
                .map(|number| week(*wall, number))
                .take_while(|wall| last.is_none_or(|last| instant_at(*wall, zone) <= last))
                .map(|wall| habits.read(wall, zone))
                .take(MOST)
                .collect(),
        }
    }

    /// As pairs of start and end.
    pub fn spans(&self, habits: Habits) -> Vec<Value> {
        let starts = self.occurrences(habits).into_iter();
        starts.map(|start| json!([start, plus_seconds(start, self.invite.seconds)])).collect()
    }

    /// What a program should print.
    pub fn reading(&self) -> Value {
        let Invite { method, title, description, location, url, .. } = &self.invite;
        let spans = self.spans(T4);
        let attendee = match method {
            Method::Request(attendee) => Some(*attendee),
            Method::Publish => None,
            Method::Cancel(attendee) => *attendee,
        };
        let is_cancel = matches!(method, Method::Cancel(_));
        json!({
            "isAccepted": true,
            "method": method.name(),
            "uid": self.invite.session_id,
            "sequence": self.invite.sequence,
            "stamp": self.invite.now,
            "created": self.invite.created,
            "updated": self.invite.updated,
            "title": without_controls(title),
            "description": some(description),
            "location": some(location),
            "url": (!url.is_empty()).then_some(url),
            "class": if self.invite.class == Class::Private { "PRIVATE" } else { "PUBLIC" },
            "status": if is_cancel { "CANCELLED" } else { "CONFIRMED" },
            "organizer": person(self.invite.organizer),
            "attendees": i32::from(attendee.is_some()),
            "attendee": attendee.map(|attendee| {
                let mut read = person(attendee.person);
                read["role"] = json!(if attendee.is_owner { "CHAIR" } else { "REQ-PARTICIPANT" });
                read["partstat"] = json!(if attendee.has_joined { "ACCEPTED" } else { "NEEDS-ACTION" });
                read
            }),
            "alarm": (!is_cancel).then(|| json!({
                "seconds": -900, "action": "DISPLAY", "text": without_controls(title),
            })),
            "start": spans[0][0],
            "end": spans[0][1],
            "occurrences": spans,
        })
    }
}

/// The text of a parameter as RFC 6868 writes it.
pub fn encoded(text: &str) -> String {
    text.replace('^', "^^").replace('\n', "^n").replace('"', "^'")
}

fn person(person: Person<'_>) -> Value {
    let encoded = person.address.replace('%', "%25").replace('?', "%3F").replace('=', "%3D");
    json!({"name": some(person.name), "address": format!("mailto:{encoded}")})
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| without_controls(text))
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_control()).collect()
}

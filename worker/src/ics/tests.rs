use proptest::prelude::*;
use shared::api::timestamp::zone_written;

use super::*;
use crate::availability::calendar::instant_at;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn once() -> Invite<'static> {
    Invite {
        method: Method::Publish,
        session_id: "0192f0c1-2a6b-7d3e-8f00-112233445566",
        organizer: Person { name: "Ann", address: "noreply@example.org" },
        time: Time::Once(at("2026-03-29T09:30:00.9+02:00")),
        seconds: 5400,
        sequence: 3,
        class: Class::Public,
        title: "Planning",
        description: "",
        location: "",
        url: "",
        now: at("2026-03-01T12:00:00Z"),
        created: at("2026-02-01T12:00:00Z"),
        updated: at("2026-02-02T12:00:00Z"),
    }
}

fn weekly(wall: &str, zone: &str, last: Option<&str>) -> Weekly {
    let wall = wall.parse().expect("a clock time");
    let zone = zone_written(zone).expect("a zone");
    Weekly { wall, zone, last: last.map(at) }
}

fn reader() -> Attendee<'static> {
    let person = Person { name: "Bob, \"Jr\"", address: "bob@example.org" };
    Attendee { person, is_owner: false, has_joined: false }
}

/// The lines that begin so, unfolded.
fn lines<'a>(text: &'a str, names: &[&str]) -> Vec<&'a str> {
    text.split("\r\n").filter(|line| names.iter().any(|name| line.starts_with(name))).collect()
}

fn times(weekly: Weekly, seconds: i64) -> Vec<String> {
    let text = Invite { time: Time::Weekly(weekly), seconds, ..once() }.to_text();
    let event = text.split("BEGIN:VEVENT").nth(1).expect("an event");
    let names = ["DTSTART", "DTEND", "RRULE", "EXDATE", "RDATE", "RECURRENCE-ID"];
    lines(event, &names).into_iter().map(str::to_owned).collect()
}

#[test]
fn i2_a_reader_without_address_is_published_to() {
    let expected = "\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Convene//Convene//EN
CALSCALE:GREGORIAN
METHOD:PUBLISH
BEGIN:VEVENT
UID:0192f0c1-2a6b-7d3e-8f00-112233445566
DTSTAMP:20260301T120000Z
CREATED:20260201T120000Z
LAST-MODIFIED:20260202T120000Z
SEQUENCE:3
DTSTART:20260329T073000Z
DTEND:20260329T090000Z
SUMMARY:Planning
CLASS:PUBLIC
STATUS:CONFIRMED
ORGANIZER;CN=Ann:mailto:noreply@example.org
BEGIN:VALARM
ACTION:DISPLAY
DESCRIPTION:Planning
TRIGGER:-PT15M
END:VALARM
END:VEVENT
END:VCALENDAR
";
    assert_eq!(once().to_text(), expected.replace('\n', "\r\n"));
}

#[test]
fn i2_a_reader_with_an_address_is_the_only_attendee() {
    let text = Invite { method: Method::Request(reader()), ..once() }.to_text().replace("\r\n ", "");
    assert_eq!(
        lines(&text, &["METHOD", "ATTENDEE"]),
        [
            "METHOD:REQUEST",
            "ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;CN=\"Bob, ^'Jr^'\":mailto:bob@example.org",
        ]
    );
}

#[test]
fn i3_the_owner_has_the_chair_and_who_joined_has_accepted() {
    let attendee = Attendee { is_owner: true, has_joined: true, ..reader() };
    let text = Invite { method: Method::Request(attendee), ..once() }.to_text();
    assert!(text.contains("ATTENDEE;ROLE=CHAIR;PARTSTAT=ACCEPTED;"), "{text}");
}

#[test]
fn i2_what_was_deleted_is_cancelled_and_reminds_of_nothing() {
    let text = Invite { method: Method::Cancel(Some(reader())), class: Class::Private, ..once() }.to_text();
    let told = lines(&text, &["METHOD", "STATUS", "CLASS", "UID", "BEGIN:VALARM"]);
    assert_eq!(
        told,
        ["METHOD:CANCEL", "UID:0192f0c1-2a6b-7d3e-8f00-112233445566", "CLASS:PRIVATE", "STATUS:CANCELLED"]
    );
}

#[test]
fn i3_a_series_is_told_in_its_zone_and_its_end_in_utc() {
    let told = times(weekly("2026-03-04T10:00:00", "Europe/Berlin", Some("2026-04-29T08:00:00Z")), 3600);
    assert_eq!(
        told,
        [
            "DTSTART;TZID=Europe/Berlin:20260304T100000",
            "DTEND;TZID=Europe/Berlin:20260304T110000",
            "RRULE:FREQ=WEEKLY;UNTIL=20260429T080000Z",
        ]
    );
}

#[test]
fn i3_where_clocks_are_never_changed_a_series_is_told_in_utc() {
    for zone in ["UTC", "Etc/UTC", "+05:45", "Etc/GMT-14"] {
        let series = weekly("2026-03-04T10:00:00", zone, None);
        let text = Invite { time: Time::Weekly(series.clone()), ..once() }.to_text();
        assert!(!text.contains("TZID"), "{text}");
        let first = instant_at(series.wall, &series.zone);
        let (start, end) = (utc(first), utc(plus_seconds(first, 5400)));
        assert_eq!(
            times(series, 5400),
            [format!("DTSTART:{start}"), format!("DTEND:{end}"), "RRULE:FREQ=WEEKLY".to_owned()]
        );
    }
    let kathmandu = Time::Weekly(weekly("2026-03-04T10:00:00", "Asia/Kathmandu", None));
    assert!(Invite { time: kathmandu, ..once() }.to_text().contains("TZOFFSETTO:+0545"));
}

#[test]
fn t4_hours_that_are_skipped_or_come_twice_are_left_to_the_rule() {
    let told = times(weekly("2026-03-01T01:30:00", "America/New_York", None), 5400);
    assert_eq!(
        told,
        [
            "DTSTART;TZID=America/New_York:20260301T013000",
            "DTEND;TZID=America/New_York:20260301T030000",
            "RRULE:FREQ=WEEKLY",
        ]
    );
}

#[test]
fn t4_a_last_hour_that_comes_twice_is_within_the_series_however_it_is_read() {
    let told = times(weekly("2026-10-25T01:30:00", "America/New_York", Some("2026-11-01T05:30:00Z")), 3600);
    assert_eq!(told[2], "RRULE:FREQ=WEEKLY;UNTIL=20261101T063000Z");
}

#[test]
fn s9_an_end_is_told_in_utc_where_clocks_would_give_another_duration() {
    for (wall, seconds, end) in [
        ("2026-03-07T20:00:00", 86_400, ":20260309T010000Z"), // a day of 23 hours is between
        ("2026-10-31T20:00:00", 86_400, ":20261102T000000Z"), // a day of 25
        ("2026-11-01T00:30:00", 3600, ":20261101T053000Z"),   // 01:30 comes twice
        ("2026-11-01T01:30:00", 3600, ":20261101T063000Z"),   // from the first 01:30 to the second
        ("2026-03-08T02:30:00", 3600, ":20260308T083000Z"),   // a start that is skipped
        // Both come twice: read in the same way, whichever that is.
        ("2026-11-01T01:30:00", 1200, ";TZID=America/New_York:20261101T015000"),
        ("2026-03-07T20:00:00", 3600, ";TZID=America/New_York:20260307T210000"),
    ] {
        assert_eq!(times(weekly(wall, "America/New_York", None), seconds)[1], format!("DTEND{end}"));
    }
}

#[test]
fn i3_a_series_whose_end_is_before_its_first_occurrence_has_that_one() {
    let told = times(weekly("2026-03-04T10:00:00", "Europe/Berlin", Some("2025-01-01T00:00:00Z")), 3600);
    assert_eq!(told[2], "RRULE:FREQ=WEEKLY;UNTIL=20260304T090000Z");
}

const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "Africa/Cairo",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "America/Nuuk",
];

/// So many cases unless more were asked for with `PROPTEST_CASES`.
fn cases(usual: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    // Its own default: nobody has asked.
    if asked.cases == 256 { ProptestConfig { cases: usual, ..asked } } else { asked }
}

/// The names of the properties, in order; which component begins and ends as well.
fn properties(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let name = line.split([':', ';']).next().unwrap_or_default();
        if matches!(name, "BEGIN" | "END") { line.to_owned() } else { name.to_owned() }
    };
    text.replace("\r\n ", "").split("\r\n").map(name).collect()
}

/// The value of the event's TEXT property, as RFC 5545, 3.3.11 has it read.
fn read_text(text: &str, name: &str) -> String {
    let unfolded = text.replace("\r\n ", "");
    let line = unfolded.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a property");
    let (mut value, mut characters) = (String::new(), line.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next().expect("what is escaped") {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            ',' | ';' => panic!("bare {character}: {line}"),
            _ => value.push(character),
        }
    }
    value
}

fn hostile_text() -> impl Strategy<Value = String> {
    let parts = [
        "\r\n",
        "\n",
        "\r",
        "\n ",
        "\r\n ",
        "BEGIN:VEVENT",
        "END:VCALENDAR",
        "ATTENDEE:mailto:eve@example.org",
        ";",
        ",",
        ":",
        "\"",
        "\\",
        "\\n",
        "^",
        "^n",
        "\t",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "🧘🏽\u{200d}♀️",
        "日本語",
        "é",
        " ",
        "\u{1b}",
        "\u{7f}",
    ];
    let part =
        prop_oneof![prop::sample::select(parts.to_vec()).prop_map(str::to_owned), any::<String>(), "[a-z]{0,80}"];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn i4_no_text_adds_a_property_and_every_text_is_read_back(
        title in hostile_text(), description in hostile_text(), location in hostile_text(), name in hostile_text(),
        address in hostile_text(), is_weekly in any::<bool>(),
    ) {
        let time = || if is_weekly { Time::Weekly(weekly("2026-03-04T10:00:00", "Europe/Berlin", None)) } else { once().time };
        let file = |texts: [&str; 5]| {
            let [title, description, location, name, address] = texts;
            let method = Method::Request(Attendee { person: Person { name, address }, ..reader() });
            let organizer = Person { name, address };
            Invite { method, organizer, time: time(), title, description, location, url: address, ..once() }.to_text()
        };
        let text = file([&title, &description, &location, &name, &address]);
        // What is empty is not written at all.
        let plain = |text: &str| if text.is_empty() { "" } else { "x" };
        let expected = file([plain(&title), plain(&description), plain(&location), plain(&name), plain(&address)]);
        prop_assert_eq!(properties(&text), properties(&expected));
        let kept = |text: &str| -> String { text.chars().filter(|c| *c == '\n' || !c.is_control()).collect() };
        let event = &text[text.find("BEGIN:VEVENT").expect("an event")..];
        prop_assert_eq!(read_text(event, "SUMMARY"), kept(&title));
        if !description.is_empty() {
            prop_assert_eq!(read_text(event, "DESCRIPTION"), kept(&description));
        }
        if !location.is_empty() {
            prop_assert_eq!(read_text(event, "LOCATION"), kept(&location));
        }
    }

    #[test]
    fn i4_no_input_panics_or_leaves_its_line(
        micros in Timestamp::UNSET.micros()..=Timestamp::MAX.micros(),
        now in Timestamp::UNSET.micros()..=Timestamp::MAX.micros(),
        zone in proptest::sample::select(&ZONES[..]),
        seconds in any::<i64>(), sequence in any::<i32>(), is_endless in any::<bool>(),
        title in any::<String>(), address in any::<String>(),
    ) {
        let [first, now] = [micros, now].map(|micros| Timestamp::from_micros(micros).expect("in range"));
        let zone = zone_written(zone).expect("a zone");
        let wall = wall_at(first, &zone).expect("a clock time");
        let time = Time::Weekly(Weekly { wall, zone, last: (!is_endless).then_some(first) });
        let person = Person { name: &title, address: &address };
        let method = Method::Request(Attendee { person, is_owner: false, has_joined: true });
        let texts = Invite { session_id: &title, description: &title, location: &title, url: &address, ..once() };
        let text = Invite { method, time, seconds, sequence, now, title: &title, ..texts }.to_text();
        prop_assert!(text.ends_with("END:VCALENDAR\r\n"));
        for line in text.split("\r\n") {
            prop_assert!(line.len() <= 75, "{line:?}");
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        prop_assert_eq!(text.matches("\r\nBEGIN:VEVENT\r\n").count(), 1);
    }
}

use shared::api::timestamp::zone_written;

use super::*;

fn zone(name: &str) -> TimeZone {
    zone_written(name).expect("a zone")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn interval(start: &str, end: &str) -> Interval {
    Interval::new(at(start), at(end)).expect("not empty")
}

fn hours(interval: Interval) -> f64 {
    (interval.end().micros() - interval.start().micros()) as f64 / 3_600_000_000.0
}

/// Days that go wrong where a day is taken for 24 hours, or midnight for its beginning. Where nothing else is said the
/// source is the zone's file in the tz database.
#[test]
fn t3_hard_days() {
    let table: &[(&str, &str, f64, &str, &str)] = &[
        // Half an hour of summer time.
        ("Australia/Lord_Howe", "2026-10-04", 23.5, "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-05", 24.5, "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"),
        // Over the date line: Samoa's International Date Line Act 2011. The day between is below.
        ("Pacific/Apia", "2011-12-29", 24.0, "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-31", 24.0, "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
        // Clocks go forward at midnight, which does not exist then: Egypt's law 24 of 2023.
        ("Africa/Cairo", "2026-04-24", 23.0, "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"),
        // Back at midnight, so 23 o'clock comes twice.
        ("Africa/Cairo", "2026-10-29", 25.0, "2026-10-28T21:00:00Z", "2026-10-29T22:00:00Z"),
        ("America/Havana", "2025-03-09", 23.0, "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z"),
        // Back at one, so midnight comes twice: the first begins the day.
        ("America/Havana", "2025-11-02", 25.0, "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"),
        // An hour less during Ramadan: Morocco's decree 2.18.855.
        ("Africa/Casablanca", "2026-02-15", 25.0, "2026-02-14T23:00:00Z", "2026-02-16T00:00:00Z"),
        ("Africa/Casablanca", "2026-03-22", 23.0, "2026-03-22T00:00:00Z", "2026-03-22T23:00:00Z"),
        // Ireland's summer is its standard time: Standard Time Act 1968, as amended 1971.
        ("Europe/Dublin", "2026-03-29", 23.0, "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"),
        ("Europe/Dublin", "2026-10-25", 25.0, "2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z"),
        // Quarters of an hour, and the night in which they came.
        ("Asia/Kathmandu", "2026-01-01", 24.0, "2025-12-31T18:15:00Z", "2026-01-01T18:15:00Z"),
        ("Asia/Kathmandu", "1986-01-01", 23.75, "1985-12-31T18:30:00Z", "1986-01-01T18:15:00Z"),
        // RFC 5545, 3.6.5: the zone of its examples.
        ("America/New_York", "2007-03-11", 23.0, "2007-03-11T05:00:00Z", "2007-03-12T04:00:00Z"),
        ("America/New_York", "2007-11-04", 25.0, "2007-11-04T04:00:00Z", "2007-11-05T05:00:00Z"),
        // Brazil's decree 9242 of 2017: begins at midnight, ends at midnight.
        ("America/Sao_Paulo", "2018-11-04", 23.0, "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
        ("America/Sao_Paulo", "2018-02-17", 25.0, "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"),
        // Two hours at once.
        ("Antarctica/Troll", "2026-03-29", 22.0, "2026-03-29T00:00:00Z", "2026-03-29T22:00:00Z"),
        ("Antarctica/Troll", "2026-10-25", 26.0, "2026-10-24T22:00:00Z", "2026-10-26T00:00:00Z"),
        // The first place to see a day, and an ocean away the last one.
        ("Pacific/Kiritimati", "2026-01-01", 24.0, "2025-12-31T10:00:00Z", "2026-01-01T10:00:00Z"),
        ("Pacific/Pago_Pago", "2026-01-01", 24.0, "2026-01-01T11:00:00Z", "2026-01-02T11:00:00Z"),
        // From half past eleven to half past midnight: the day begins where the clocks landed, not an hour after midnight.
        ("America/Toronto", "1919-03-30", 23.5, "1919-03-30T05:00:00Z", "1919-03-31T04:30:00Z"),
        ("America/Toronto", "1919-03-31", 23.5, "1919-03-31T04:30:00Z", "1919-04-01T04:00:00Z"),
    ];
    for &(name, date, length, start, end) in table {
        let day = civil_day(date.parse().expect("a date"), &zone(name)).expect("a day");
        assert_eq!(day, interval(start, end), "{name} {date}");
        assert_eq!(hours(day), length, "{name} {date}");
    }
}

#[test]
fn t3_a_day_that_the_zone_skipped_is_empty() {
    for (name, date) in [("Pacific/Apia", "2011-12-30"), ("Pacific/Kiritimati", "1994-12-31")] {
        let date: Date = date.parse().expect("a date");
        assert_eq!(civil_day(date, &zone(name)), None, "{name}");
        assert_eq!(first_instant(date, &zone(name)), first_instant(plus_days(date, 1), &zone(name)), "{name}");
    }
}

#[test]
fn t3_months_and_weeks_are_civil_ones() {
    let day = |text: &str| LocalDay::of(&text.parse().expect("a timestamp"), None).expect("a day");
    for (text, month) in [
        // Without 30 December.
        ("2011-12-05T12:00:00-10:00[Pacific/Apia]", interval("2011-12-01T10:00:00Z", "2011-12-31T10:00:00Z")),
        // Begins with the day of 25 hours, whose midnight comes twice.
        ("2020-11-20T12:00:00-05:00[America/Havana]", interval("2020-11-01T04:00:00Z", "2020-12-01T05:00:00Z")),
        ("2026-10-31T23:59:59+02:00[Africa/Cairo]", interval("2026-09-30T21:00:00Z", "2026-10-31T22:00:00Z")),
        ("2028-02-29T00:00:00Z", interval("2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z")),
    ] {
        assert_eq!(day(text).month(), Some(month), "{text}");
    }
    for (text, week) in [
        // A Sunday, and the Saturday before it.
        ("2020-11-01T00:30:00-04:00[America/Havana]", interval("2020-11-01T04:00:00Z", "2020-11-08T05:00:00Z")),
        ("2020-10-31T23:30:00-04:00[America/Havana]", interval("2020-10-25T04:00:00Z", "2020-11-01T04:00:00Z")),
        // Six days long.
        ("2011-12-26T12:00:00-10:00[Pacific/Apia]", interval("2011-12-25T10:00:00Z", "2011-12-31T10:00:00Z")),
    ] {
        assert_eq!(day(text).week(), Some(week), "{text}");
    }
}

#[test]
fn t4_a_clock_time_is_its_first_occurrence_or_is_read_with_the_offset_before_the_gap() {
    for (name, wall, instant) in [
        // RFC 5545, 3.3.5: both of its examples.
        ("America/New_York", "2007-11-04T01:30:00", "2007-11-04T05:30:00Z"),
        ("America/New_York", "2007-03-11T02:30:00", "2007-03-11T07:30:00Z"),
        ("Europe/Berlin", "2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
        ("Africa/Cairo", "2026-04-24T00:15:00", "2026-04-23T22:15:00Z"),
        ("Africa/Cairo", "2026-10-29T23:15:00", "2026-10-29T20:15:00Z"),
        ("Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-03T15:45:00Z"),
        ("Pacific/Apia", "2011-12-30T09:00:00", "2011-12-30T19:00:00Z"),
    ] {
        assert_eq!(instant_at(wall.parse().expect("a time"), &zone(name)), at(instant), "{name} {wall}");
    }
}

#[test]
fn t2_the_zone_of_a_request() {
    let day = |text: &str, stored: Option<&str>| {
        let day = LocalDay::of(&text.parse().expect("a timestamp"), stored.map(zone)).expect("a day");
        (day.date.to_string(), day.zone)
    };
    let berlin = Some("Europe/Berlin");
    for (text, stored, date, expected) in [
        // Written in brackets: over all else.
        ("2026-07-01T00:30:00+09:00[Asia/Tokyo]", berlin, "2026-07-01", "Asia/Tokyo"),
        ("2026-07-01T00:30:00Z[Asia/Tokyo]", berlin, "2026-07-01", "Asia/Tokyo"),
        ("2026-06-30T15:30:00Z[Asia/Tokyo]", berlin, "2026-07-01", "Asia/Tokyo"),
        ("2026-07-01T00:30:00+09:00[+09:00]", berlin, "2026-07-01", "+09:00"),
        // The stored one, where the offset is its own at that instant.
        ("2026-07-01T00:30:00+02:00", berlin, "2026-07-01", "Europe/Berlin"),
        ("2026-01-01T00:30:00+01:00", berlin, "2026-01-01", "Europe/Berlin"),
        // Else the written offset, and the written date.
        ("2026-07-01T00:30:00+01:00", berlin, "2026-07-01", "+01:00"),
        ("2026-07-01T00:30:00+02:00", None, "2026-07-01", "+02:00"),
        ("2026-07-01T23:30:00-11:00", berlin, "2026-07-01", "-11:00"),
        // `Z` says nothing of the place, so the date is that of the place.
        ("2026-06-30T22:30:00Z", berlin, "2026-07-01", "Europe/Berlin"),
        ("2026-06-30T22:30:00-00:00", berlin, "2026-07-01", "Europe/Berlin"),
        ("2026-06-30T22:30:00Z", None, "2026-06-30", "UTC"),
        ("2026-06-30T22:30:00+00:00", Some("Europe/London"), "2026-06-30", "UTC"),
        ("2026-01-30T22:30:00+00:00", Some("Europe/London"), "2026-01-30", "Europe/London"),
    ] {
        assert_eq!(day(text, stored), (date.to_owned(), zone(expected)), "{text} {stored:?}");
    }
}

#[test]
fn what_is_read_before_the_zone_is_known_holds_the_window_of_every_zone() {
    let zones = ["Pacific/Kiritimati", "Pacific/Apia", "Pacific/Pago_Pago", "America/Havana", "Africa/Cairo", "UTC"];
    for text in [
        "2026-11-01T00:30:00Z",
        "2026-10-31T23:30:00Z",
        "2011-12-30T09:00:00Z",
        "2011-12-31T11:00:00Z",
        "2026-04-24T00:30:00+03:00",
        "2026-01-31T23:59:59+23:59",
        "2026-02-01T00:00:00-23:59",
    ] {
        let written: LocalTimestamp = text.parse().expect("a timestamp");
        let unknown = LocalDay::of(&written, None).expect("a day");
        for name in zones {
            let day = LocalDay::of(&written, Some(zone(name))).expect("a day");
            for window in [LocalDay::interval, LocalDay::week, LocalDay::month] {
                let anywhere = unknown.anywhere(window).expect("not empty");
                let inside = window(&day).is_none_or(|window| window.intersection(anywhere) == Some(window));
                assert!(inside, "{text} {name}: {:?} {anywhere:?}", window(&day));
            }
        }
    }
}

#[test]
fn there_is_no_day_where_nothing_is_set_or_nothing_is_next_to_it() {
    for text in ["0001-01-01T00:00:00Z", "0001-06-01T00:00:00Z", "9999-06-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        assert_eq!(LocalDay::of(&text.parse().expect("a timestamp"), None), None, "{text}");
    }
    for (text, days) in [("9998-12-31T00:00:00Z", 1), ("0002-01-01T00:00:00Z", -1), ("2026-01-01T00:00:00Z", i64::MAX)]
    {
        let day = LocalDay::of(&text.parse().expect("a timestamp"), None).expect("a day");
        assert!(day.interval().is_some() && day.week().is_some() && day.month().is_some(), "{text}");
        assert_eq!(day.plus_days(days), None, "{text}");
    }
}

#[test]
fn a_clock_of_some_dates_says_what_the_zone_says() {
    for name in
        ["Europe/Berlin", "Africa/Cairo", "America/Havana", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Apia"]
    {
        let zone = zone(name);
        for begin in ["2010-12-20", "2025-12-20"] {
            let begin: Date = begin.parse().expect("a date");
            for days in 0..400 {
                let date = plus_days(begin, days);
                // Of one date, and of one at either end of a month.
                for (first, last) in [(date, date), (date, plus_days(date, 30)), (plus_days(date, -30), date)] {
                    let clock = Clock::new(&zone, first, last);
                    assert_eq!(clock.civil_day(date), civil_day(date, &zone), "{name} {date}");
                    for hours in [0, 2, 23, 24, 30] {
                        let wall = plus_days(date, hours / 24).at((hours % 24) as i8, 30, 0, 0);
                        let micros = (i64::from(hours) * 60 + 30) * 60_000_000;
                        assert_eq!(clock.instant_on(date, micros), instant_at(wall, &zone), "{name} {date} {hours}");
                    }
                }
            }
        }
    }
}

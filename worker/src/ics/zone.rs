//! The VTIMEZONE of a recurring session: rule I3.
//!
//! It has every real transition, as jiff's zone data has them, from the one before the first occurrence to the last
//! occurrence.
//!
//! A series without end needs one without end. Where a zone goes on by a rule (New York: second Sunday in March, first in
//! November), the rule is found by looking: at the transitions of [`SAMPLE_YEARS`] years from some time after today on. Such
//! a span holds every shape of a year, so transitions that fall within the same seven days on the same weekday at the same
//! time in each of these years are the rule; what does not, is none. From the sample the rule is followed back as far as
//! the real transitions obey it, also beyond the first occurrence (vobject takes a zone for UTC that does not differ from it
//! between 2000 and 2020, as London would); what was before is listed. So the rule is never trusted: all that it says about
//! the past and the years of the sample has been compared.
//!
//! Only a first, second, third, fourth or last weekday of a month is told as a rule: Outlook takes one ordinal weekday or one
//! day of a month, never both (MS-OXCICAL, 2.1.3.2.1). Where a zone has a change that is no such day (Jerusalem: the Friday before
//! the last Sunday in March; Cairo, Nuuk, Santiago), or that follows the moon (Gaza), all of its transitions are listed: to
//! the last occurrence, but no further than [`MOST_YEARS`] from now or from the first occurrence, whichever is later, and
//! without a last one for [`HORIZON_YEARS`] from then. Nothing honest can be said for longer; the file is made anew whenever
//! somebody asks for it, and most programs know the zone by its name anyway.
//!
//! Each listed transition is an observance of its own, without RDATE: where there is one, ical.js forgets DTSTART and all but
//! the first value of a line.

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime, Time, Weekday},
    tz::{Offset, TimeZone},
};
use std::collections::{BTreeMap, BTreeSet};

use super::{line::Lines, local};

/// Every date falls on every weekday within so many years, also when a leap year is left out as in 2100.
const SAMPLE_YEARS: i16 = 40;

/// How far into the future transitions are listed one by one in a series without end: some 20 of them.
pub(super) const HORIZON_YEARS: i16 = 10;

/// How far at most in one with an end: some 200 of them, 30 KB.
const MOST_YEARS: i16 = 100;

/// Programs that compare clock times must find an observance before the first occurrence, whatever the offset. In hours.
const MARGIN: i64 = 48;

/// From when on rules are looked for.
const RULES_FROM: Timestamp = Timestamp::constant(0, 0);

/// The clocks are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    at: Timestamp,
    regime: Regime,
}

/// What the clocks are changed to, and from what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Regime {
    from: Offset,
    to: Offset,
    is_dst: bool,
    name: String,
}

impl Change {
    /// What a clock that is not changed shows then.
    fn onset(&self) -> DateTime {
        self.regime.from.to_datetime(self.at)
    }
}

/// A zone as far as a series needs it.
#[derive(Debug)]
pub(super) struct Zone {
    name: String,
    observances: Vec<Observance>,
}

#[derive(Debug)]
struct Observance {
    regime: Regime,
    onset: DateTime,
    /// RRULE, if it comes again.
    rule: Option<String>,
}

impl Zone {
    /// For occurrences that begin from `first` to `last`, as it is told at `now`.
    pub(super) fn of(zone: &TimeZone, first: Timestamp, last: Option<Timestamp>, now: Timestamp) -> Self {
        let year = zone.to_datetime(first.max(now)).year();
        let horizon = year.saturating_add(HORIZON_YEARS);
        let first = first.saturating_sub(MARGIN.hours()).unwrap_or(Timestamp::MIN);
        let mut changes = changes(zone, first.min(RULES_FROM));
        let mut next = changes.next();
        let mut take_until = |year: i16| {
            let mut taken = Vec::new();
            while let Some(change) = next.take_if(|change| change.onset().year() <= year) {
                taken.push(change);
                next = changes.next();
            }
            taken
        };
        let mut known = take_until(horizon);
        let mut sample = take_until(horizon.saturating_add(SAMPLE_YEARS));
        let rules = rules(&sample, horizon);
        if let (true, Some(last)) = (rules.is_empty(), last) {
            let until = zone.to_datetime(last).year().min(year.saturating_add(MOST_YEARS));
            known.append(&mut sample);
            known.extend(take_until(until));
            known.retain(|change| change.onset().year() <= until.max(horizon));
        }
        let regular = follow_back(&known, &rules, horizon);

        let needed = known.iter().rposition(|change| change.at <= first).unwrap_or(0);
        let listed = known[needed.min(regular)..regular].iter().map(|change| Observance {
            regime: change.regime.clone(),
            onset: change.onset(),
            rule: None,
        });
        let rules = rules.iter().filter_map(|rule| rule.observance(known[regular..].iter().chain(&sample)));
        let end = last.map_or(DateTime::MAX, |last| zone.to_datetime(last).saturating_add(MARGIN.hours()));
        let mut observances: Vec<_> = listed.chain(rules).filter(|observance| observance.onset <= end).collect();
        observances.sort_by_key(|observance| observance.onset);
        // TZID is but a label; every zone that has been stored has a name.
        let name = zone.iana_name().unwrap_or("Unnamed").to_owned();
        Self { name, observances }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn write(&self, lines: &mut Lines) {
        lines.begin("VTIMEZONE");
        lines.text("TZID", &self.name);
        for Observance { regime, onset, rule } in &self.observances {
            let component = if regime.is_dst { "DAYLIGHT" } else { "STANDARD" };
            lines.begin(component);
            lines.property("DTSTART", &[], &local(*onset));
            lines.property("TZOFFSETFROM", &[], &utc_offset(regime.from));
            lines.property("TZOFFSETTO", &[], &utc_offset(regime.to));
            if let Some(rule) = rule {
                lines.property("RRULE", &[], rule);
            }
            lines.text("TZNAME", &regime.name);
            lines.end(component);
        }
        lines.end("VTIMEZONE");
    }
}

/// All changes from the last before an instant on; where there is none before, as if one had been made that changed
/// nothing.
fn changes(zone: &TimeZone, first: Timestamp) -> impl Iterator<Item = Change> + '_ {
    let start = zone.preceding(first).next().map_or(first, |transition| transition.timestamp());
    let mut from = zone.to_offset(start.saturating_sub(1.second()).unwrap_or(Timestamp::MIN));
    let info = zone.to_offset_info(start);
    let initial = (start, info.offset(), info.dst().is_dst(), info.abbreviation().to_owned());
    let following = zone.following(start).map(|transition| {
        let name = transition.abbreviation().to_owned();
        (transition.timestamp(), transition.offset(), transition.dst().is_dst(), name)
    });
    std::iter::once(initial).chain(following).map(move |(at, to, is_dst, name)| {
        let regime = Regime { from: std::mem::replace(&mut from, to), to, is_dst, name };
        Change { at, regime }
    })
}

/// A change that is made every year.
#[derive(Debug)]
struct Rule {
    key: Key,
    month: i8,
    /// Which of its weekdays; -1: the last.
    nth: i8,
    /// On which seven days, as month and day, it can be.
    days: BTreeSet<(i8, i8)>,
}

/// What a rule does every year, and when, but for the date.
type Key = (Regime, Weekday, Time);

fn key(change: &Change) -> Key {
    let onset = change.onset();
    (change.regime.clone(), onset.weekday(), onset.time())
}

fn day(change: &Change) -> (i8, i8) {
    (change.onset().month(), change.onset().day())
}

/// The rules that made the changes of the years of the sample; none if rules did not make all of them.
fn rules(sample: &[Change], year_before: i16) -> Vec<Rule> {
    let mut by_key: BTreeMap<(Regime, i8, Time), Vec<&Change>> = BTreeMap::new();
    for change in sample {
        let (regime, weekday, time) = key(change);
        by_key.entry((regime, weekday.to_sunday_zero_offset(), time)).or_default().push(change);
    }
    let rule = |changes: Vec<&Change>| {
        let years = changes.iter().map(|change| change.onset().year());
        let is_yearly = years.eq(year_before + 1..=year_before + SAMPLE_YEARS);
        let days: BTreeSet<_> = changes.iter().map(|change| day(change)).collect();
        let (month, first) = *days.first()?;
        // Seven days of one month, as its first, … or last ones.
        let is_week = days.len() == 7 && *days.last()? == (month, first + 6);
        let nth = match first {
            1 | 8 | 15 | 22 => first / 7 + 1,
            _ if first + 6 == length(month) => -1,
            _ => return None,
        };
        (is_yearly && is_week).then(|| Rule { key: key(changes[0]), month, nth, days })
    };
    by_key.into_values().map(rule).collect::<Option<_>>().unwrap_or_default()
}

/// From which of the changes on, which end with `last_year`, they are those of the rules and nothing else.
fn follow_back(changes: &[Change], rules: &[Rule], last_year: i16) -> usize {
    let mut due = vec![last_year; rules.len()];
    for (number, change) in changes.iter().enumerate().rev() {
        let rule = rules.iter().position(|rule| rule.key == key(change) && rule.days.contains(&day(change)));
        match rule {
            Some(rule) if due[rule] == change.onset().year() => due[rule] -= 1,
            _ => return number + 1,
        }
    }
    0
}

impl Rule {
    /// It begins with the first of the changes, which obey the rules.
    fn observance<'a>(&self, mut changes: impl Iterator<Item = &'a Change>) -> Option<Observance> {
        let first = changes.find(|change| key(change) == self.key)?;
        let Self { month, nth, .. } = self;
        let rule = format!("FREQ=YEARLY;BYMONTH={month};BYDAY={nth}{}", weekday(self.key.1));
        Some(Observance { regime: self.key.0.clone(), onset: first.onset(), rule: Some(rule) })
    }
}

/// Days of that month; of a February, 28.
fn length(month: i8) -> i8 {
    Date::new(2001, month, 1).map_or(0, Date::days_in_month)
}

fn weekday(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Sunday => "SU",
        Weekday::Monday => "MO",
        Weekday::Tuesday => "TU",
        Weekday::Wednesday => "WE",
        Weekday::Thursday => "TH",
        Weekday::Friday => "FR",
        Weekday::Saturday => "SA",
    }
}

/// UTC-OFFSET. Seconds only where there are some, before clocks were set by zones.
fn utc_offset(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (seconds.abs() / 3600, seconds.abs() / 60 % 60, seconds.abs() % 60);
    match seconds {
        0 => format!("{sign}{hours:02}{minutes:02}"),
        _ => format!("{sign}{hours:02}{minutes:02}{seconds:02}"),
    }
}

#[cfg(test)]
mod tests;

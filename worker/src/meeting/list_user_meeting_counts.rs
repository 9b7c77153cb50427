//! `meeting:listUserMeetingCounts`: rule M9.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use shared::api::{
    Timestamp,
    meeting::{ListUserMeetingCountsRequest, MeetingCount, MeetingCounts},
};

use crate::{
    availability::calendar::{LocalDay, YEARS, first_instant, plus_days},
    context::Read,
    error::Error,
    meeting::{limits::MAX_DURATION, local_day},
};

/// One can ask for so many days at once.
const MAX_DAYS: i64 = 366;

/// So many where none are asked for.
const DEFAULT_DAYS: i64 = 30;

pub(crate) async fn handle(read: &mut Read, request: ListUserMeetingCountsRequest) -> Result<MeetingCounts, Error> {
    let size = match request.size {
        0 => DEFAULT_DAYS,
        size if (1..=MAX_DAYS).contains(&size) => size,
        _ => return Err(Error::bad_request("data.size", format!("expected 1 to {MAX_DAYS}"))),
    };
    let session = read.session().clone();
    let zones = read.context().zones.clone();
    let today =
        local_day::of(read.connection(), &zones, &session, "data.localDateNow", &request.local_date_now).await?;
    let days = Days::of(&today, request.offset, size).ok_or_else(|| {
        let what = format!("expected days from the year {} to {}", YEARS.start(), YEARS.end());
        Error::bad_request("data.offset", what)
    })?;

    let mut counts = Counts::of(&days);
    // Nothing that overlaps the days began earlier than the longest meeting before them: so one stretch of the index.
    let mut meetings = sqlx::query_as::<_, (DateTime<Utc>, DateTime<Utc>)>(
        "SELECT starts_at, ends_at FROM meeting_participants
         WHERE network_id = $1 AND user_id = $2 AND starts_at > $3 AND starts_at < $5 AND ends_at > $4
             AND status <> 'declined'",
    )
    .bind(session.network)
    .bind(session.user)
    .bind(days.start().instant().map(|start| start - MAX_DURATION))
    .bind(days.start().instant())
    .bind(days.end().instant())
    .fetch(read.connection());
    while let Some((start, end)) = meetings.try_next().await? {
        counts.add(start.into(), end.into());
    }
    Ok(MeetingCounts { meeting_counts: counts.into_answer() })
}

/// Civil days in a row: the first instant of each, and the first instant after them.
#[derive(Clone, Debug)]
struct Days(Vec<Timestamp>);

impl Days {
    fn of(today: &LocalDay, offset: i64, size: i64) -> Option<Self> {
        let (first, _last) = (today.plus_days(offset)?, today.plus_days(offset.checked_add(size - 1)?)?);
        let size = i32::try_from(size).ok()?;
        Some(Self((0..=size).map(|days| first_instant(plus_days(first.date, days), &first.zone)).collect()))
    }

    fn start(&self) -> Timestamp {
        self.0.first().copied().unwrap_or_default()
    }

    fn end(&self) -> Timestamp {
        self.0.last().copied().unwrap_or_default()
    }
}

/// How many meetings touch each of the days, as differences to the day before.
#[derive(Clone, Debug)]
struct Counts<'a> {
    days: &'a Days,
    changes: Vec<i64>,
}

impl<'a> Counts<'a> {
    fn of(days: &'a Days) -> Self {
        Self { days, changes: vec![0; days.0.len()] }
    }

    /// A meeting that overlaps the days. It does not touch a day at whose first instant it ends.
    fn add(&mut self, start: Timestamp, end: Timestamp) {
        let Days(bounds) = self.days;
        let first = bounds.partition_point(|bound| *bound <= start).saturating_sub(1);
        let after = bounds.partition_point(|bound| *bound < end).min(bounds.len() - 1);
        self.changes[first] += 1;
        self.changes[after] -= 1;
    }

    fn into_answer(self) -> Vec<MeetingCount> {
        let mut count = 0;
        let days = self.days.0.windows(2).zip(self.changes);
        days.map(|(bounds, change)| {
            count += change;
            let (start_date, end_date) = (bounds[0], bounds[1]);
            // Nothing touches a day that the zone skipped.
            MeetingCount { count: if start_date < end_date { count } else { 0 }, start_date, end_date }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str, offset: i64, size: i64) -> Option<Days> {
        let today = LocalDay::of(&text.parse().expect("a timestamp"), None).expect("a day");
        Days::of(&today, offset, size)
    }

    fn counts(days: &Days, meetings: &[(&str, &str)]) -> Vec<i64> {
        let mut counts = Counts::of(days);
        let at = |text: &str| text.parse().expect("a timestamp");
        for (start, end) in meetings {
            counts.add(at(start), at(end));
        }
        counts.into_answer().iter().map(|day| day.count).collect()
    }

    #[test]
    fn a_meeting_counts_on_each_day_it_touches_and_not_where_it_ends() {
        let days = days("2026-05-05T12:00:00Z", -1, 4).expect("days");
        for (start, end, expected) in [
            ("2026-05-05T00:00:00Z", "2026-05-05T01:00:00Z", [0, 1, 0, 0]),
            ("2026-05-05T23:00:00Z", "2026-05-06T00:00:00Z", [0, 1, 0, 0]),
            ("2026-05-05T23:00:00Z", "2026-05-06T00:00:00.000001Z", [0, 1, 1, 0]),
            ("2026-05-01T00:00:00Z", "2026-05-20T00:00:00Z", [1, 1, 1, 1]),
            ("2026-05-03T00:00:00Z", "2026-05-04T00:00:00.000001Z", [1, 0, 0, 0]),
            ("2026-05-07T23:59:59.999999Z", "2026-05-20T00:00:00Z", [0, 0, 0, 1]),
        ] {
            assert_eq!(counts(&days, &[(start, end)]), expected, "{start} {end}");
        }
        let two = [("2026-05-05T00:00:00Z", "2026-05-07T00:00:00Z"), ("2026-05-06T00:00:00Z", "2026-05-06T01:00:00Z")];
        assert_eq!(counts(&days, &two), [0, 1, 2, 0]);
    }

    #[test]
    fn t3_a_skipped_day_is_there_and_nothing_touches_it() {
        let days = days("2011-12-29T12:00:00-10:00[Pacific/Apia]", 0, 3).expect("days");
        let over = ("2011-12-29T12:00:00Z", "2011-12-31T00:00:00Z");
        assert_eq!(counts(&days, &[over]), [1, 0, 1]);
        // Ends, begins, at the instant of the skipped day.
        assert_eq!(counts(&days, &[("2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z")]), [1, 0, 0]);
        assert_eq!(counts(&days, &[("2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z")]), [0, 0, 1]);
    }

    #[test]
    fn days_beyond_the_calendar_are_none() {
        for (offset, size) in [(i64::MAX, 1), (i64::MIN, 1), (i64::MAX, 366), (3_000_000, 1), (-3_000_000, 366)] {
            assert!(days("2026-05-05T12:00:00Z", offset, size).is_none(), "{offset} {size}");
        }
        assert!(days("9998-12-31T12:00:00Z", 0, 1).is_some());
        assert!(days("9998-12-31T12:00:00Z", 0, 2).is_none());
    }
}

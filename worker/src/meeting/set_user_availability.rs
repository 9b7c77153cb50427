//! `meeting:setUserAvailability`: rules A1 to A5.

use chrono::{DateTime, NaiveDate, Utc};
use jiff::tz::TimeZone;
use shared::api::{NoData, Timestamp, meeting::availability::SetUserAvailabilityRequest, timestamp::write_zone};

use crate::{
    availability::{
        declared::Declared,
        interval::Interval,
        schedule::{ClockRange, Rule},
    },
    context::Change,
    error::Error,
    meeting::{local_day, people::naive},
};

pub(crate) async fn handle(change: &mut Change, request: SetUserAvailabilityRequest) -> Result<NoData, Error> {
    let session = change.session().clone();
    let zones = change.context().zones.clone();
    let day = local_day::of(change.connection(), &zones, &session, "data.localDate", &request.local_date).await?;
    match Declared::of(&request.availability, &day)? {
        Declared::Weekdays { weekdays, rule } => set_weekdays(change, &weekdays, rule).await?,
        Declared::Day { date, rule } => set_day(change, naive(date)?, rule).await?,
    }
    Ok(NoData)
}

async fn set_weekdays(change: &mut Change, weekdays: &[usize], rule: Option<Rule<ClockRange>>) -> Result<(), Error> {
    let session = change.session().clone();
    let weekdays: Vec<i16> = weekdays.iter().filter_map(|weekday| i16::try_from(*weekday).ok()).collect();
    let Some(rule) = rule else {
        sqlx::query("DELETE FROM availability_weekdays WHERE network_id = $1 AND user_id = $2 AND weekday = ANY ($3)")
            .bind(session.network)
            .bind(session.user)
            .bind(weekdays)
            .execute(change.connection())
            .await?;
        return Ok(());
    };
    let (starts, ends): (Vec<i64>, Vec<i64>) = rule.ranges.iter().map(|range| (range.start(), range.end())).unzip();
    sqlx::query(
        "INSERT INTO availability_weekdays
             (network_id, user_id, weekday, is_available, time_zone, range_starts, range_ends)
         SELECT $1, $2, w.weekday, $4, $5, $6, $7 FROM unnest($3::smallint[]) w (weekday) ORDER BY w.weekday
         ON CONFLICT (network_id, user_id, weekday) DO UPDATE
         SET is_available = excluded.is_available, time_zone = excluded.time_zone,
             range_starts = excluded.range_starts, range_ends = excluded.range_ends",
    )
    .bind(session.network)
    .bind(session.user)
    .bind(weekdays)
    .bind(rule.is_available)
    .bind(written(&rule.zone)?)
    .bind(starts)
    .bind(ends)
    .execute(change.connection())
    .await?;
    Ok(())
}

async fn set_day(change: &mut Change, day: NaiveDate, rule: Option<Rule<Interval>>) -> Result<(), Error> {
    let session = change.session().clone();
    let Some(rule) = rule else {
        sqlx::query("DELETE FROM availability_days WHERE network_id = $1 AND user_id = $2 AND day = $3")
            .bind(session.network)
            .bind(session.user)
            .bind(day)
            .execute(change.connection())
            .await?;
        return Ok(());
    };
    let instants = |end: fn(Interval) -> Timestamp| -> Vec<Option<DateTime<Utc>>> {
        rule.ranges.iter().map(|range| end(*range).instant()).collect()
    };
    sqlx::query(
        "INSERT INTO availability_days (network_id, user_id, day, is_available, time_zone, range_starts, range_ends)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (network_id, user_id, day) DO UPDATE
         SET is_available = excluded.is_available, time_zone = excluded.time_zone,
             range_starts = excluded.range_starts, range_ends = excluded.range_ends",
    )
    .bind(session.network)
    .bind(session.user)
    .bind(day)
    .bind(rule.is_available)
    .bind(written(&rule.zone)?)
    .bind(instants(Interval::start))
    .bind(instants(Interval::end))
    .execute(change.connection())
    .await?;
    Ok(())
}

fn written(zone: &TimeZone) -> Result<String, Error> {
    write_zone(zone).ok_or_else(|| Error::internal(format!("a request's zone cannot be written: {zone:?}")))
}

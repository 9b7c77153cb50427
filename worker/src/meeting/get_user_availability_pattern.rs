//! `meeting:getUserAvailabilityPattern`: rule A6.

use shared::api::meeting::availability::{AvailabilityPattern, AvailabilityPatternData, LocalDateRequest};

use crate::{
    availability::calendar::plus_days,
    context::Read,
    error::Error,
    meeting::{local_day, people::schedule, user_availability::told},
};

pub(crate) async fn handle(read: &mut Read, request: LocalDateRequest) -> Result<AvailabilityPatternData, Error> {
    let day = local_day::of_read(read, "data.localDate", &request.local_date).await?;
    let week = day.week().ok_or_else(|| Error::internal("a week without time"))?;
    let session = read.session().clone();
    let schedule = schedule(read.connection(), &session.network, &session.user, week).await?;
    let weekdays = (0..7).map(|days| schedule.weekday(plus_days(day.sunday(), days), &day.zone));
    Ok(AvailabilityPatternData {
        pattern: AvailabilityPattern { availabilities: weekdays.map(|available| told(&available)).collect() },
    })
}

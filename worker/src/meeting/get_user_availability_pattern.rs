//! `meeting:getUserAvailabilityPattern`: rule A6.

use shared::api::meeting::availability::{AvailabilityPattern, AvailabilityPatternData, LocalDateRequest};

use crate::{
    availability::calendar::{LocalDay, plus_days},
    context::Read,
    error::Error,
    meeting::{people::Question, user_availability::told},
};

pub(crate) async fn handle(read: &mut Read, request: LocalDateRequest) -> Result<AvailabilityPatternData, Error> {
    let question = Question { local_date: &request.local_date, window: LocalDay::week };
    let (schedule, day, _) = question.caller(read).await?;
    let weekdays = (0..7).map(|days| schedule.weekday(plus_days(day.sunday(), days), &day.zone));
    Ok(AvailabilityPatternData {
        pattern: AvailabilityPattern { availabilities: weekdays.map(|available| told(&available)).collect() },
    })
}

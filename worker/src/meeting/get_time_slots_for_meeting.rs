//! `meeting:getTimeSlotsForMeeting`: rules A7, A8, for a civil day.

use shared::api::meeting::availability::{AvailableTimeSlots, TimeSlotsRequest};

use crate::{availability::calendar::LocalDay, context::Read, error::Error, meeting::time_slots::time_slots};

pub(crate) async fn handle(read: &mut Read, request: TimeSlotsRequest) -> Result<AvailableTimeSlots, Error> {
    time_slots(read, request, LocalDay::interval).await
}

//! `meeting:getMeetingTimeSlotsForMonth`: rules A7, A8, for a civil month.

use shared::api::meeting::availability::{AvailableTimeSlots, TimeSlotsRequest};

use crate::{availability::calendar::LocalDay, context::Read, error::Error, meeting::time_slots::time_slots};

pub(crate) async fn handle(read: &mut Read, request: TimeSlotsRequest) -> Result<AvailableTimeSlots, Error> {
    time_slots(read, request, LocalDay::month).await
}

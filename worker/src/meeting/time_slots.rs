//! What the two endpoints for time slots have in common: rule A8.

use shared::api::meeting::availability::{AvailableTimeSlots, TimeSlotsRequest};

use crate::{
    availability::{calendar::LocalDay, interval::Interval, slots::Common},
    context::Read,
    error::Error,
    meeting::people::{Question, Wanted},
};

/// One can ask for so many users at once.
const MAX_USERS: usize = 100;

/// When all of the users are free, in the window that belongs to the day that the request means.
///
/// # Errors
/// 400, naming the field; 413 when one of them is busy too often.
pub(crate) async fn time_slots(
    read: &mut Read,
    request: TimeSlotsRequest,
    window: impl Fn(&LocalDay) -> Option<Interval>,
) -> Result<AvailableTimeSlots, Error> {
    if request.users.len() > MAX_USERS {
        return Err(Error::bad_request("data.users", format!("expected at most {MAX_USERS} users")));
    }
    let mut wanted = Wanted::default();
    for user in request.users {
        wanted.add(user.roomful, &user.email);
    }
    let mut common: Option<Common> = None;
    let each = |person, window| common.get_or_insert_with(|| Common::new(window)).add(&person);
    Question { local_date: &request.local_date, window }.people(read, &wanted, each).await?;
    let slots = common.map(Common::into_slots).unwrap_or_default();
    Ok(AvailableTimeSlots { available_time_slots: slots.intervals().iter().copied().map(Into::into).collect() })
}

//! What the two endpoints for time slots have in common: rule A8.

use shared::api::meeting::availability::{AvailableTimeSlots, TimeSlotsRequest};

use crate::{
    availability::{calendar::LocalDay, interval::Interval, slots::common},
    context::Read,
    error::Error,
    meeting::{
        local_day,
        people::{Wanted, people},
    },
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
    let day = local_day::of_read(read, "data.localDate", &request.local_date).await?;
    let Some(window) = window(&day) else {
        return Ok(AvailableTimeSlots { available_time_slots: Vec::new() });
    };
    let network = read.session().network.clone();
    let people = people(read.connection(), &network, &wanted, window).await?;
    let slots = common(&people, window);
    Ok(AvailableTimeSlots { available_time_slots: slots.intervals().iter().copied().map(Into::into).collect() })
}

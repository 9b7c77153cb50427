//! What the endpoints that tell of the caller's own availability have in common: rule A6.

use shared::api::meeting::availability::{Availability, AvailabilityData, AvailabilityStatus, LocalDateRequest};

use crate::{
    availability::{
        calendar::LocalDay,
        interval::{Interval, IntervalSet},
    },
    context::Read,
    error::Error,
    meeting::people::Question,
};

/// When the caller has said to be available, in the window that belongs to the day that the request means.
///
/// # Errors
/// 400, naming the field.
pub(crate) async fn user_availability(
    read: &mut Read,
    request: &LocalDateRequest,
    window: impl Fn(&LocalDay) -> Option<Interval>,
) -> Result<AvailabilityData, Error> {
    let (schedule, _, window) = Question { local_date: &request.local_date, window }.caller(read).await?;
    let available = window.map(|window| schedule.available(window)).unwrap_or_default();
    Ok(AvailabilityData { availability: told(&available) })
}

/// A set of instants as clients get it.
pub(crate) fn told(available: &IntervalSet) -> Availability {
    let status = match available.is_empty() {
        true => AvailabilityStatus::NotAvailable,
        false => AvailabilityStatus::Available,
    };
    Availability { status, dates: available.intervals().iter().copied().map(Into::into).collect() }
}

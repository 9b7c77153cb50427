//! `meeting:getUserAvailabilityForMonth`: rule A6, for the caller's civil month.

use shared::api::meeting::availability::{AvailabilityData, LocalDateRequest};

use crate::{
    availability::calendar::LocalDay, context::Read, error::Error, meeting::user_availability::user_availability,
};

pub(crate) async fn handle(read: &mut Read, request: LocalDateRequest) -> Result<AvailabilityData, Error> {
    user_availability(read, &request, LocalDay::month).await
}

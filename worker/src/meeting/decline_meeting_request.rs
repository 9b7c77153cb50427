//! `meeting:declineMeetingRequest`: rule M5.

use shared::api::{
    NoData,
    meeting::{MeetingId, ParticipantStatus},
};

use crate::{context::Change, error::Error, meeting::answer::answer};

pub(crate) async fn handle(change: &mut Change, request: MeetingId) -> Result<NoData, Error> {
    answer(change, &request, ParticipantStatus::Declined).await
}

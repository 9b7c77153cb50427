//! `GET /api/v0/resource/sessionInvitation/{sessionId}`: a social session as a calendar file (rules I1, I2). Who may have it,
//! and what it says, is the workers' business.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use shared::{
    api::Error,
    internal::{CalendarFile, InternalRequest as _, ReadCalendar},
};

use crate::{Gateway, admission::authenticate, http::failed, workers::broken};

/// Whoever has a session or the link of an invitation; the link's token alone will do, whatever the session is worth.
pub async fn invitation(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Query(parameters): Query<Vec<(String, String)>>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let invitation = parameters.into_iter().find(|(name, _)| name == "invitation").map(|(_, token)| token);
    let invitation = invitation.unwrap_or_default();
    let reader = match authenticate(&gateway, &headers, query.as_deref()).await {
        Ok(verified) => Some(verified.session),
        Err(_) if !invitation.is_empty() => None,
        Err(refusal) => return refusal.into_response(),
    };
    // What cannot be read names nothing.
    let session_id = path.map(|Path(id)| id).unwrap_or_default();
    match gateway.workers.ask(&ReadCalendar { reader, session_id, invitation }).await {
        Ok(file) => calendar(file).unwrap_or_else(|error| failed(&error)),
        Err(error) => failed(&error),
    }
}

fn calendar(CalendarFile { method, text }: CalendarFile) -> Result<Response, Error> {
    let content_type = HeaderValue::try_from(format!("text/calendar; charset=utf-8; method={method}"))
        .map_err(|error| broken(ReadCalendar::METHOD, error))?;
    let fixed = |name: HeaderName, value| (name, HeaderValue::from_static(value));
    let headers = [
        (header::CONTENT_TYPE, content_type),
        fixed(header::CONTENT_DISPOSITION, r#"attachment; filename="invite.ics""#),
        fixed(header::CACHE_CONTROL, "private, no-store"),
        fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, text).into_response())
}

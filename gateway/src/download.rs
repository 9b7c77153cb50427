//! `GET /api/v0/resource/sessionInvitation/{sessionId}`: a social session as a calendar file (rules I1, I2). Who may have it,
//! and what it says, is the workers' business.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use shared::{
    api::{Code, Error},
    internal::{CalendarFile, InternalRequest as _, ReadCalendar},
};

use crate::{
    Gateway,
    admission::{authenticate, refused_by_worker},
    auth::token_of,
    http::failed,
    workers::broken,
};

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
    let has_link = !invitation.is_empty();
    let reader = if has_link && token_of(&headers, query.as_deref()).is_none() {
        None
    } else {
        match authenticate(&gateway, &headers, query.as_deref()).await {
            Ok(verified) => Some(verified.session),
            Err(_) if has_link => None,
            Err(refusal) => return refusal.into_response(),
        }
    };
    // What cannot be read names nothing.
    let session_id = path.map(|Path(id)| id).unwrap_or_default();
    let request = ReadCalendar { reader, session_id, invitation };
    match (gateway.workers.ask(&request).await, &request.reader) {
        (Ok(file), _) => calendar(file).unwrap_or_else(|error| failed(&error)),
        (Err(Error { code: Code::Unauthorized, message }), Some(session)) => {
            refused_by_worker(&gateway, session, &message).into_response()
        }
        (Err(error), _) => failed(&error),
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

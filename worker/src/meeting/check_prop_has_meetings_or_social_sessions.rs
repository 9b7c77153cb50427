//! `meeting:checkPropHasMeetingsOrSocialSessions`: rule M10.

use shared::api::meeting::deprecated::{CheckPropRequest, HasMeetingsOrSocialSessions};

use crate::{context::Read, error::Error};

pub(crate) async fn handle(read: &mut Read, request: CheckPropRequest) -> Result<HasMeetingsOrSocialSessions, Error> {
    let network = read.session().network.clone();
    // Two ways to name a prop, because `IS NOT DISTINCT FROM` is found by no index.
    let has_meetings_or_social_sessions: bool = sqlx::query_scalar(
        "SELECT CASE WHEN $3 = ''
             THEN EXISTS (SELECT FROM meetings
                          WHERE network_id = $1 AND room_id = $2 AND prop_id IS NULL
                              AND ends_at > statement_timestamp())
             ELSE EXISTS (SELECT FROM meetings
                          WHERE network_id = $1 AND room_id = $2 AND prop_id = $3
                              AND ends_at > statement_timestamp())
         END
         OR EXISTS (SELECT FROM social_sessions
                    WHERE network_id = $1 AND room_id = $2 AND prop_id = $3
                        AND coalesce(ends_at, 'infinity') > statement_timestamp())",
    )
    .bind(network)
    .bind(request.room_id)
    .bind(request.prop_id)
    .fetch_one(read.connection())
    .await?;
    Ok(HasMeetingsOrSocialSessions { has_meetings_or_social_sessions })
}

//! Keeping invitations of outsiders, within what an inviter may: rule S10.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    social::address::{Address, EMAIL},
};

/// An invitation, and the token in its link, is good for so many days after it was last given.
const DAYS: i32 = 30;

/// At most so many outsiders are invited, or sent to again, by one user in an hour.
const MOST_AN_HOUR: usize = 100;

/// So many seconds later whoever was proving an address meanwhile is seen: longer than any transaction takes.
const RECHECK_SECONDS: f64 = 60.0;

/// Invites addresses, each named once, to a session that is locked, and lets them be sent to.
///
/// # Errors
/// 409 when the caller has invited too many within an hour.
pub(crate) async fn invite(change: &mut Change, id: Uuid, outsiders: &[(Address, i16)]) -> Result<(), Error> {
    if outsiders.is_empty() {
        return Ok(());
    }
    forget_expired(change, id).await?;
    adopt(change, id, outsiders).await?;
    // In this order also those who send lock the rows of an address.
    let mut counted = schedule(change, id, outsiders).await?;
    counted.extend(write(change, id, outsiders).await?);
    count(change, counted.len()).await
}

/// What has expired is no invitation any more: whoever is invited again is invited anew.
async fn forget_expired(change: &mut Change, id: Uuid) -> Result<(), Error> {
    let network = change.session().network.clone();
    sqlx::query(
        "DELETE FROM social_outsiders
         WHERE network_id = $1 AND session_id = $2 AND expires_at <= statement_timestamp()",
    )
    .bind(network)
    .bind(id)
    .execute(change.connection())
    .await?;
    Ok(())
}

/// Lets rows that a release before has written, or writes beside us, be those of the same address as it is written now. A message
/// that is just being sent is sent again.
async fn adopt(change: &mut Change, id: Uuid, outsiders: &[(Address, i16)]) -> Result<(), Error> {
    let forms = outsiders
        .iter()
        .flat_map(|(address, _)| address.forms().into_iter().skip(1).map(|older| (older, address.text())));
    let (older, now): (Vec<String>, Vec<&str>) = forms.unzip();
    if older.is_empty() {
        return Ok(());
    }
    let network = change.session().network.clone();
    for statement in [
        "UPDATE social_messages m SET address = w.now
         FROM unnest($3::text[], $4::text[]) w (older, now)
         WHERE m.network_id = $1 AND m.session_id = $2 AND m.kind = $5 AND m.address = w.older
             AND NOT EXISTS (
                 SELECT FROM social_messages n
                 WHERE n.network_id = $1 AND n.session_id = $2 AND n.kind = $5 AND n.address = w.now)",
        "UPDATE social_outsiders o SET address = w.now
         FROM unnest($3::text[], $4::text[]) w (older, now)
         WHERE o.network_id = $1 AND o.session_id = $2 AND o.kind = $5 AND o.address = w.older
             AND NOT EXISTS (
                 SELECT FROM social_outsiders n
                 WHERE n.network_id = $1 AND n.session_id = $2 AND n.kind = $5 AND n.address = w.now)",
    ] {
        sqlx::query(statement)
            .bind(&network)
            .bind(id)
            .bind(&older)
            .bind(&now)
            .bind(EMAIL)
            .execute(change.connection())
            .await?;
    }
    Ok(())
}

/// Lets the addresses be sent to, unless they are about to be or just were. An address whose last invitation has ended has no
/// link that is any good: it is sent another one, but not before the time. Returns the addresses.
async fn schedule(
    change: &mut Change,
    id: Uuid,
    outsiders: &[(Address, i16)],
) -> Result<BTreeSet<(i16, String)>, Error> {
    let network = change.session().network.clone();
    let (kinds, addresses) = columns(outsiders);
    let scheduled: Vec<(i16, String)> = sqlx::query_as(
        "INSERT INTO social_messages AS m (network_id, session_id, kind, address, message_id, due_at)
         SELECT $1, $2, w.kind, w.address, gen_random_uuid(), statement_timestamp()
         FROM unnest($3::smallint[], $4::text[]) w (kind, address)
         -- Nobody sends to Facebook accounts.
         WHERE w.kind < 2
         ORDER BY w.kind, w.address
         ON CONFLICT (network_id, session_id, kind, address) DO UPDATE
         SET version = m.version + 1, is_moved = false, cancelled = NULL,
             -- After an attempt that is being made.
             message_id = CASE WHEN m.lease IS NULL THEN excluded.message_id ELSE m.message_id END,
             attempts = CASE WHEN m.lease IS NULL THEN 0 ELSE m.attempts END,
             first_attempt_at = CASE WHEN m.lease IS NOT NULL THEN m.first_attempt_at END,
             due_at = CASE
                 WHEN m.lease IS NOT NULL THEN m.due_at
                 ELSE greatest(statement_timestamp(),
                               coalesce(m.sent_at, m.last_request_at) + make_interval(secs => $5))
             END
         WHERE m.due_at IS NULL
                 AND coalesce(coalesce(m.sent_at, m.last_request_at)
                              <= statement_timestamp() - make_interval(secs => $5), true)
             OR NOT EXISTS (
                 SELECT FROM social_outsiders o
                 WHERE o.network_id = m.network_id AND o.session_id = m.session_id AND o.kind = m.kind
                     AND o.address = m.address)
         RETURNING kind, address",
    )
    .bind(network)
    .bind(id)
    .bind(kinds)
    .bind(addresses)
    .bind(change.context().config.outside.invitation_pause.as_secs_f64())
    .fetch_all(change.connection())
    .await?;
    Ok(scheduled.into_iter().collect())
}

/// Writes the invitations, the higher role winning. Returns the addresses that were not invited before.
async fn write(change: &mut Change, id: Uuid, outsiders: &[(Address, i16)]) -> Result<Vec<(i16, String)>, Error> {
    let session = change.session().clone();
    let (kinds, addresses) = columns(outsiders);
    let roles: Vec<i16> = outsiders.iter().map(|(_, role)| *role).collect();
    let ids: Vec<Uuid> = outsiders.iter().map(|_| Uuid::now_v7()).collect();
    Ok(sqlx::query_as(
        "WITH written AS (
             INSERT INTO social_outsiders AS o (network_id, session_id, kind, address, id, role, inviter_id, expires_at,
                                                recheck_at)
             SELECT $1, $2, w.kind, w.address, w.id, w.role, $7, statement_timestamp() + make_interval(days => $8),
                    statement_timestamp() + make_interval(secs => $9)
             FROM unnest($3::smallint[], $4::text[], $5::smallint[], $6::uuid[]) w (kind, address, role, id)
             ORDER BY w.kind, w.address
             ON CONFLICT (network_id, session_id, kind, address) DO UPDATE
             SET expires_at = excluded.expires_at,
                 -- The higher role wins: presenter, panelist, attendee.
                 role = CASE WHEN (3 - excluded.role) % 3 > (3 - o.role) % 3 THEN excluded.role ELSE o.role END
             RETURNING kind, address, id
         )
         SELECT kind, address FROM written WHERE id = ANY ($6)",
    )
    .bind(session.network)
    .bind(id)
    .bind(kinds)
    .bind(addresses)
    .bind(roles)
    .bind(ids)
    .bind(session.user)
    .bind(DAYS)
    .bind(RECHECK_SECONDS)
    .fetch_all(change.connection())
    .await?)
}

/// Counts outsiders on the caller. His row is locked until the commit, so the count is exact.
async fn count(change: &mut Change, invited: usize) -> Result<(), Error> {
    let too_many = || Error::conflict(format!("at most {MOST_AN_HOUR} outsiders are invited by one user in an hour"));
    if invited == 0 {
        return Ok(());
    }
    if invited > MOST_AN_HOUR {
        return Err(too_many());
    }
    let session = change.session().clone();
    let within_an_hour: i64 = sqlx::query_scalar(
        "INSERT INTO social_inviters AS i (network_id, user_id, invited_at, last_at)
         VALUES ($1, $2, array_fill(statement_timestamp(), ARRAY[$3::integer]), statement_timestamp())
         ON CONFLICT (network_id, user_id) DO UPDATE
         SET last_at = excluded.last_at,
             invited_at = excluded.invited_at || ARRAY(
                 SELECT t FROM unnest(i.invited_at) t WHERE t > statement_timestamp() - interval '1 hour')
         RETURNING cardinality(invited_at)::bigint",
    )
    .bind(session.network)
    .bind(session.user)
    .bind(i32::try_from(invited).unwrap_or(i32::MAX))
    .fetch_one(change.connection())
    .await?;
    if within_an_hour > MOST_AN_HOUR as i64 { Err(too_many()) } else { Ok(()) }
}

fn columns(outsiders: &[(Address, i16)]) -> (Vec<i16>, Vec<&str>) {
    outsiders.iter().map(|(address, _)| (address.kind(), address.text())).unzip()
}

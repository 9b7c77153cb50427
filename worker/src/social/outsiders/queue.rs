//! What is due to be sent, and what has become of it: the table `social_messages`.
//!
//! An attempt is a lease: it is taken in one transaction, made outside of any, and its outcome written in another. When its
//! worker dies in between the lease runs out, and another worker makes the next attempt: so a message is never lost, and sent
//! twice only by a worker that died between the other side's yes and its own note of it.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    context::Context,
    database::{Lease, Pool},
    error::Error,
    social::outsiders::{
        Token,
        ending::{End, Unsent},
        occasion::{Cancelled, Occasion},
        words::News,
    },
    zones::Zones,
};

/// So many links of one invitation are good at once: those of a day's attempts. Of more, the newest.
const MOST_TOKENS: i32 = 64;

/// Longer than an attempt takes.
const LEASE: Duration = Duration::from_secs(120);

/// The first attempt after so long is the last.
const PERSEVERANCE: Duration = Duration::from_secs(24 * 3600);

/// Something to be sent, and the lease to do so.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    row: Row,
    pub(super) content: Content,
    pub(super) occasion: Occasion,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// An invitation, or that its session has moved.
    Invitation(Invitation),
    /// The session is no more, or the reader is not invited any more.
    Cancellation { is_withdrawn: bool },
}

/// An invitation as it is when it is sent.
#[derive(Clone, Debug)]
pub(super) struct Invitation {
    /// Which invitation of the address it is.
    id: Uuid,
    pub(super) token: Token,
    pub(super) expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, FromRow)]
struct Row {
    network_id: String,
    session_id: Uuid,
    kind: i16,
    address: String,
    message_id: Uuid,
    attempts: i32,
    is_last: bool,
    lease: Uuid,
    cancelled: Option<String>,
    version: i32,
    /// The reader was told of the session as it was before it moved.
    is_change: bool,
}

/// What has become of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent,
    /// To be tried again, so much later.
    Later(Duration),
    GivenUp,
}

/// What has come of writing an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// The session was deleted, or the invitation taken back, before anything was sent.
    Withdrawn,
    /// The lease had run out: another attempt decides.
    Lost,
}

impl Parcel {
    pub(super) fn address(&self) -> &str {
        &self.row.address
    }

    pub(super) fn session_id(&self) -> Uuid {
        self.row.session_id
    }

    pub(super) fn news(&self) -> News {
        match self.content {
            Content::Invitation(_) => News::of(false, self.row.is_change),
            Content::Cancellation { is_withdrawn: true } => News::Withdrawal,
            Content::Cancellation { is_withdrawn: false } => News::Cancellation,
        }
    }

    /// It is not sent.
    pub(super) fn unsent(&self, end: End) -> Unsent {
        Unsent { news: self.news(), attempts: self.attempts(), ..self.row.unsent(end) }
    }

    /// The same in all attempts.
    pub(super) fn message_id(&self) -> Uuid {
        self.row.message_id
    }

    /// This one included.
    pub(super) fn attempts(&self) -> u32 {
        self.row.attempts.unsigned_abs()
    }

    /// It has been tried for a day.
    pub(super) fn is_last_attempt(&self) -> bool {
        self.row.is_last
    }
}

impl Row {
    fn unsent(&self, end: End) -> Unsent {
        Unsent {
            kind: self.kind,
            news: News::of(self.cancelled.is_some(), self.is_change),
            session: self.session_id,
            // The one that is not made any more.
            attempts: self.attempts.unsigned_abs().saturating_sub(1),
            end,
        }
    }
}

/// Takes what is due of a kind of address, up to so many. What has become pointless is forgotten, noted, and not among it.
pub(super) async fn take(context: &Context, kind: i16, most: usize) -> Result<Vec<Parcel>, Error> {
    let mut lease = Lease::begin(&context.pool).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "WITH due AS MATERIALIZED (
             SELECT network_id, session_id, kind, address FROM social_messages
             WHERE kind = $1 AND due_at <= statement_timestamp()
             ORDER BY due_at LIMIT $2
             FOR UPDATE SKIP LOCKED
         )
         UPDATE social_messages m
         SET lease = gen_random_uuid(), due_at = statement_timestamp() + make_interval(secs => $3),
             attempts = m.attempts + 1, first_attempt_at = coalesce(m.first_attempt_at, statement_timestamp())
         FROM due d
         WHERE m.network_id = d.network_id AND m.session_id = d.session_id AND m.kind = d.kind AND m.address = d.address
         RETURNING m.network_id, m.session_id, m.kind, m.address, m.message_id, m.attempts, m.lease, m.cancelled,
                   m.version, m.is_moved AND m.sent_at IS NOT NULL AS is_change,
                   m.first_attempt_at <= statement_timestamp() - make_interval(secs => $4) AS is_last",
    )
    .bind(kind)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .bind(LEASE.as_secs_f64())
    .bind(PERSEVERANCE.as_secs_f64())
    .fetch_all(lease.connection())
    .await?;
    if rows.is_empty() {
        lease.roll_back().await?;
        return Ok(Vec::new());
    }
    let (parcels, pointless) = pack(lease.connection(), &context.zones, rows).await?;
    lease.commit().await?;
    for (row, end) in pointless {
        row.unsent(end).note();
    }
    Ok(parcels)
}

async fn pack(
    connection: &mut PgConnection,
    zones: &Zones,
    rows: Vec<Row>,
) -> Result<(Vec<Parcel>, Vec<(Row, End)>), Error> {
    let mut parcels = Vec::new();
    let mut invitations = Vec::new();
    let mut pointless = Vec::new();
    for row in rows {
        match row.cancelled.as_deref().map(serde_json::from_str) {
            None => invitations.push(row),
            Some(Ok(Cancelled { occasion, is_withdrawn })) => {
                let occasion = Occasion { zones: zones.clone(), ..occasion };
                parcels.push(Parcel { row, content: Content::Cancellation { is_withdrawn }, occasion });
            }
            // It must not keep all others from being sent.
            Some(Err(error)) => {
                let why = format!("what is kept of it cannot be read at its byte {}", error.column());
                pointless.push((row, End::GivenUp(why)));
            }
        }
    }
    let (networks, sessions): (Vec<&str>, Vec<Uuid>) =
        invitations.iter().map(|row| (row.network_id.as_str(), row.session_id)).unzip();
    let occasions: HashMap<Uuid, Occasion> = Occasion::load(&mut *connection, zones, &networks, &sessions)
        .await?
        .into_iter()
        .map(|occasion| (occasion.session_id, occasion))
        .collect();
    let tokens: Vec<Token> = invitations.iter().map(|_| Token::random()).collect();
    let mut standing = add_tokens(&mut *connection, &invitations, &tokens).await?;
    for (row, token) in invitations.into_iter().zip(tokens) {
        match (occasions.get(&row.session_id), standing.remove(&row.lease)) {
            // Whoever knows of another time is told also when the new one is over.
            (Some(occasion), Some(_)) if occasion.is_over && !row.is_change => {
                pointless.push((row, End::GivenUp("the session is over".to_owned())));
            }
            (Some(occasion), Some((id, expires_at))) => {
                let content = Content::Invitation(Invitation { id, token, expires_at });
                parcels.push(Parcel { row, content, occasion: occasion.clone() });
            }
            (None, _) => pointless.push((row, End::Withdrawn("the session was deleted"))),
            (_, None) => {
                pointless.push((row, End::Withdrawn("the invitation was claimed, taken back, or has expired")));
            }
        }
    }
    forget(connection, pointless.iter().map(|(row, _)| row)).await?;
    Ok((parcels, pointless))
}

/// Lets each of the invitations have one more token. Returns, by lease, those that there are, and how long they stand.
async fn add_tokens(
    connection: &mut PgConnection,
    rows: &[Row],
    tokens: &[Token],
) -> Result<HashMap<Uuid, (Uuid, DateTime<Utc>)>, Error> {
    let found: Vec<(Uuid, Uuid, DateTime<Utc>)> = sqlx::query_as(
        "UPDATE social_outsiders o
         SET token_hashes = (o.token_hashes || w.token_hash)[greatest(cardinality(o.token_hashes) + 2 - $7, 1):]
         FROM unnest($1::text[], $2::uuid[], $3::smallint[], $4::text[], $5::uuid[], $6::bytea[])
              w (network_id, session_id, kind, address, lease, token_hash)
         WHERE o.network_id = w.network_id AND o.session_id = w.session_id AND o.kind = w.kind AND o.address = w.address
             AND o.expires_at > statement_timestamp()
         RETURNING w.lease, o.id, o.expires_at",
    )
    .bind(rows.iter().map(|row| row.network_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.session_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.address.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.lease).collect::<Vec<_>>())
    .bind(tokens.iter().map(Token::hash).collect::<Vec<_>>())
    .bind(MOST_TOKENS)
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|(lease, id, expires_at)| (lease, (id, expires_at))).collect())
}

/// Forgets what was to be sent, and all of an address that was never sent anything, or has nobody to be sent to any more.
async fn forget<'a>(connection: &mut PgConnection, rows: impl Iterator<Item = &'a Row>) -> Result<(), Error> {
    let rows: Vec<&Row> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let leases: Vec<Uuid> = rows.iter().map(|row| row.lease).collect();
    sqlx::query(
        "WITH w AS (
             SELECT * FROM unnest($1::text[], $2::uuid[], $3::smallint[], $4::text[], $5::uuid[])
                 w (network_id, session_id, kind, address, lease)
         ), gone AS (
             DELETE FROM social_messages m USING w
             WHERE m.network_id = w.network_id AND m.session_id = w.session_id AND m.kind = w.kind
                 AND m.address = w.address AND m.lease = w.lease
                 AND (m.cancelled IS NOT NULL OR coalesce(m.sent_at, m.last_request_at) IS NULL)
         )
         UPDATE social_messages m SET due_at = NULL, lease = NULL, attempts = 0, first_attempt_at = NULL, is_moved = false
         FROM w
         WHERE m.network_id = w.network_id AND m.session_id = w.session_id AND m.kind = w.kind AND m.address = w.address
             AND m.lease = w.lease AND m.cancelled IS NULL AND coalesce(m.sent_at, m.last_request_at) IS NOT NULL",
    )
    .bind(rows.iter().map(|row| row.network_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.session_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.address.as_str()).collect::<Vec<_>>())
    .bind(leases)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes what has become of an attempt, unless its lease has run out and another was made. What changed meanwhile is told next:
/// a cancellation at once, all else `pause` after an invitation.
pub(super) async fn finish(pool: &Pool, parcel: &Parcel, outcome: Outcome, pause: Duration) -> Result<Written, Error> {
    let mut lease = Lease::begin(pool).await?;
    let statement = match (&parcel.content, outcome) {
        (Content::Invitation(_), Outcome::Sent) => include_str!("invited.sql"),
        (Content::Invitation(_), Outcome::Later(_) | Outcome::GivenUp) => include_str!("uninvited.sql"),
        (Content::Cancellation { .. }, Outcome::Later(_)) => include_str!("uncancelled.sql"),
        (Content::Cancellation { .. }, Outcome::Sent | Outcome::GivenUp) => include_str!("cancelled.sql"),
    };
    let Row { network_id, session_id, kind, address, lease: attempt, version, .. } = &parcel.row;
    // So that what changes it now is seen as a whole, or comes afterwards.
    sqlx::query(
        "SELECT FROM social_messages WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4
         FOR NO KEY UPDATE",
    )
    .bind(network_id)
    .bind(session_id)
    .bind(kind)
    .bind(address)
    .execute(lease.connection())
    .await?;
    let query = sqlx::query_scalar(statement)
        .bind(network_id)
        .bind(session_id)
        .bind(kind)
        .bind(address)
        .bind(attempt)
        .bind(pause.as_secs_f64());
    let query = match (&parcel.content, outcome) {
        (Content::Invitation(invitation), Outcome::Sent) => query.bind(version).bind(invitation.id),
        (Content::Invitation(_), Outcome::Later(later)) => query.bind(version).bind(Some(later.as_secs_f64())),
        (Content::Invitation(_), Outcome::GivenUp) => query.bind(version).bind(None::<f64>),
        (Content::Cancellation { .. }, Outcome::Later(later)) => query.bind(later.as_secs_f64()),
        (Content::Cancellation { .. }, Outcome::Sent | Outcome::GivenUp) => query,
    };
    let is_withdrawn: Option<bool> = query.fetch_optional(lease.connection()).await?;
    lease.commit().await?;
    Ok(match is_withdrawn {
        Some(true) => Written::Withdrawn,
        Some(false) => Written::Done,
        None => Written::Lost,
    })
}

/// How many messages of each kind are to be sent now, or again, or are being sent: not those whose time has not come.
pub(super) async fn waiting(pool: &Pool) -> Result<HashMap<i16, i64>, Error> {
    let mut lease = Lease::take(pool).await?;
    let counts: Vec<(i16, i64)> = sqlx::query_as(
        "SELECT kind, count(*) FROM social_messages
         WHERE due_at IS NOT NULL AND (attempts > 0 OR due_at <= statement_timestamp())
         GROUP BY kind",
    )
    .fetch_all(lease.connection())
    .await?;
    lease.give_back().await;
    Ok(counts.into_iter().collect())
}

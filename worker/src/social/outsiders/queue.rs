//! What is due to be sent, and what has become of it: the table `social_messages`.
//!
//! An attempt is a lease: it is taken in one transaction, made outside of any, and its outcome written in another. When its
//! worker dies in between the lease runs out, and another worker makes the next attempt: so a message is never lost, and sent
//! twice only by a worker that died between the other side's yes and its own note of it.

use std::{collections::HashMap, time::Duration};

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    context::Context,
    database::{Lease, Pool},
    error::Error,
    social::outsiders::{Token, invite::PAUSE_MINUTES, occasion::Occasion},
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
    Invitation {
        /// Which invitation of the address it is.
        id: Uuid,
        token: Token,
    },
    /// The session is no more.
    Cancellation,
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
}

/// What has become of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent,
    /// To be tried again, so much later.
    Later(Duration),
    GivenUp,
}

impl Parcel {
    pub(super) fn address(&self) -> &str {
        &self.row.address
    }

    pub(super) fn session_id(&self) -> Uuid {
        self.row.session_id
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

/// Takes what is due of a kind of address, up to so many. What has become pointless is forgotten.
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
    let parcels = pack(lease.connection(), &context.zones, rows).await?;
    lease.commit().await?;
    Ok(parcels)
}

async fn pack(connection: &mut PgConnection, zones: &Zones, rows: Vec<Row>) -> Result<Vec<Parcel>, Error> {
    let mut parcels = Vec::new();
    let mut invitations = Vec::new();
    let mut pointless = Vec::new();
    for row in rows {
        match row.cancelled.as_deref().map(serde_json::from_str::<Occasion>) {
            None => invitations.push(row),
            Some(Ok(occasion)) => {
                let occasion = Occasion { zones: zones.clone(), ..occasion };
                parcels.push(Parcel { row, content: Content::Cancellation, occasion });
            }
            // It must not keep all others from being sent.
            Some(Err(error)) => {
                tracing::error!(session = %row.session_id, %error, "nobody can be told that a session was deleted");
                pointless.push(row);
            }
        }
    }
    let (networks, sessions): (Vec<&str>, Vec<Uuid>) =
        invitations.iter().map(|row| (row.network_id.as_str(), row.session_id)).unzip();
    let occasions: HashMap<Uuid, Occasion> = Occasion::load(&mut *connection, zones, &networks, &sessions)
        .await?
        .into_iter()
        .filter(|occasion| !occasion.is_over)
        .map(|occasion| (occasion.session_id, occasion))
        .collect();
    let tokens: Vec<Token> = invitations.iter().map(|_| Token::random()).collect();
    let mut ids = add_tokens(&mut *connection, &invitations, &tokens).await?;
    for (row, token) in invitations.into_iter().zip(tokens) {
        match (occasions.get(&row.session_id), ids.remove(&row.lease)) {
            (Some(occasion), Some(id)) => {
                let content = Content::Invitation { id, token };
                parcels.push(Parcel { row, content, occasion: occasion.clone() });
            }
            // Over, or without an invitation any more.
            _ => pointless.push(row),
        }
    }
    forget(connection, &pointless).await?;
    Ok(parcels)
}

/// Lets each of the invitations have one more token. Returns, by lease, those that there are.
async fn add_tokens(
    connection: &mut PgConnection,
    rows: &[Row],
    tokens: &[Token],
) -> Result<HashMap<Uuid, Uuid>, Error> {
    let found: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "UPDATE social_outsiders o
         SET token_hashes = (o.token_hashes || w.token_hash)[greatest(cardinality(o.token_hashes) + 2 - $7, 1):]
         FROM unnest($1::text[], $2::uuid[], $3::smallint[], $4::text[], $5::uuid[], $6::bytea[])
              w (network_id, session_id, kind, address, lease, token_hash)
         WHERE o.network_id = w.network_id AND o.session_id = w.session_id AND o.kind = w.kind AND o.address = w.address
             AND o.expires_at > statement_timestamp()
         RETURNING w.lease, o.id",
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
    Ok(found.into_iter().collect())
}

/// Forgets what was to be sent, and all of an address that was never sent anything.
async fn forget(connection: &mut PgConnection, rows: &[Row]) -> Result<(), Error> {
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
                 AND m.address = w.address AND m.lease = w.lease AND m.sent_at IS NULL
         )
         UPDATE social_messages m SET due_at = NULL, lease = NULL, attempts = 0, first_attempt_at = NULL
         FROM w
         WHERE m.network_id = w.network_id AND m.session_id = w.session_id AND m.kind = w.kind AND m.address = w.address
             AND m.lease = w.lease AND m.sent_at IS NOT NULL",
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

/// Writes what has become of an attempt, unless its lease has run out and another was made.
pub(super) async fn finish(pool: &Pool, parcel: &Parcel, outcome: Outcome) -> Result<(), Error> {
    let mut lease = Lease::begin(pool).await?;
    let connection = lease.connection();
    match (&parcel.content, outcome) {
        (Content::Invitation { id, .. }, Outcome::Sent) => sent(connection, &parcel.row, *id).await?,
        (_, Outcome::Later(pause)) => later(connection, parcel, pause).await?,
        (Content::Invitation { .. }, Outcome::GivenUp) => forget(connection, std::slice::from_ref(&parcel.row)).await?,
        (Content::Cancellation, Outcome::Sent | Outcome::GivenUp) => {
            of_row(
                "DELETE FROM social_messages WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4
                        AND lease = $5",
                &parcel.row,
            )
            .execute(connection)
            .await?;
        }
    }
    lease.commit().await?;
    Ok(())
}

type Statement<'a> = sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// A statement whose first parameters are the row's key and its lease.
fn of_row<'a>(statement: &'static str, row: &'a Row) -> Statement<'a> {
    sqlx::query(statement).bind(&row.network_id).bind(row.session_id).bind(row.kind).bind(&row.address).bind(row.lease)
}

async fn sent(connection: &mut PgConnection, row: &Row, invitation: Uuid) -> Result<(), Error> {
    of_row(
        "UPDATE social_messages m
         SET sent_at = statement_timestamp(), lease = NULL, attempts = 0, first_attempt_at = NULL,
             message_id = gen_random_uuid(),
             due_at = CASE
                 -- The session was deleted meanwhile.
                 WHEN m.cancelled IS NOT NULL THEN statement_timestamp()
                 -- The invitation was taken back and given again meanwhile: the link that was sent is worth nothing.
                 WHEN EXISTS (
                     SELECT FROM social_outsiders o
                     WHERE o.network_id = m.network_id AND o.session_id = m.session_id AND o.kind = m.kind
                         AND o.address = m.address AND o.id <> $6)
                     THEN statement_timestamp() + make_interval(mins => $7)
             END
         WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5",
        row,
    )
    .bind(invitation)
    .bind(PAUSE_MINUTES)
    .execute(connection)
    .await?;
    Ok(())
}

async fn later(connection: &mut PgConnection, parcel: &Parcel, pause: Duration) -> Result<(), Error> {
    let is_invitation = matches!(parcel.content, Content::Invitation { .. });
    of_row(
        "WITH gone AS (
             -- The session was deleted meanwhile, and nobody was told that it would be.
             DELETE FROM social_messages
             WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5
                 AND $7 AND cancelled IS NOT NULL AND sent_at IS NULL
         )
         UPDATE social_messages
         SET lease = NULL,
             due_at = statement_timestamp()
                 + CASE WHEN $7 AND cancelled IS NOT NULL THEN interval '0' ELSE make_interval(secs => $6) END
         WHERE network_id = $1 AND session_id = $2 AND kind = $3 AND address = $4 AND lease = $5
             AND NOT ($7 AND cancelled IS NOT NULL AND sent_at IS NULL)",
        &parcel.row,
    )
    .bind(pause.as_secs_f64())
    .bind(is_invitation)
    .execute(connection)
    .await?;
    Ok(())
}

/// How many messages of each kind wait or are being sent.
pub(super) async fn waiting(pool: &Pool) -> Result<HashMap<i16, i64>, Error> {
    let mut lease = Lease::take(pool).await?;
    let counts: Vec<(i16, i64)> =
        sqlx::query_as("SELECT kind, count(*) FROM social_messages WHERE due_at IS NOT NULL GROUP BY kind")
            .fetch_all(lease.connection())
            .await?;
    lease.give_back().await;
    Ok(counts.into_iter().collect())
}

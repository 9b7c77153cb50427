//! Poolers that hand the server's sessions around.

use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgConnectOptions};
use uuid::Uuid;

use super::connect;

/// A pooler in transaction mode, or one that goes further, stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pooler in transaction mode stands between this worker and PostgreSQL, which needs sessions of its own: use session mode, or none"
)]
pub(crate) struct Pooled;

/// What a connection finds at the other end: the number of its server process, and what somebody has set there.
type Found = (i32, String);

/// Opens a connection and makes sure that its session is its own: it is held against the one that was opened before, or else
/// against a second one.
///
/// # Errors
/// The database's, [`Pooled`].
pub(crate) async fn connect_unpooled<E: From<sqlx::Error> + From<Pooled>>(
    options: &PgConnectOptions,
    before: Option<&mut PgConnection>,
) -> Result<PgConnection, E> {
    let mut new = connect(options).await?;
    let mut second = match before {
        Some(_) => None,
        // Where there is no room for it, that is not what is looked for.
        None => connect(options).await.ok(),
    };
    if let Some(other) = before.or(second.as_mut()) {
        // It may have been lost meanwhile.
        if is_pooled(&mut new, other).await.unwrap_or(false) {
            return Err(Pooled.into());
        }
    }
    Ok(new)
}

/// Whether two connections that are open at once have one session, or one of them has another from statement to statement.
/// Nothing here is a prepared statement: behind such a pooler those fail in ways of their own.
async fn is_pooled(one: &mut PgConnection, other: &mut PgConnection) -> sqlx::Result<bool> {
    let mark = Uuid::now_v7().simple().to_string();
    sqlx::raw_sql(AssertSqlSafe(format!("SET convene.probe = '{mark}'"))).execute(&mut *one).await?;
    let set = find(one).await?;
    let others = find(other).await?;
    let again = find(one).await?;
    Ok(set.1 != mark || others.1 == mark || others.0 == set.0 || again != set)
}

async fn find(connection: &mut PgConnection) -> sqlx::Result<Found> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid(), coalesce(current_setting('convene.probe', true), '')")
        .fetch_one(connection)
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

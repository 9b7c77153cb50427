//! PostgreSQL: how to reach it, the schema; the connections of requests are `pool`, and what must not stand before them `pooler`.

#[cfg(test)]
mod expansion;
mod pool;
mod pooler;

use std::{io, time::Duration};

use anyhow::{Context as _, bail};
use sqlx::{
    Connection as _, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use tokio::time::sleep;

pub(crate) use pool::{ACQUIRE_TIMEOUT, Lease, pool, pool_size};
pub use pool::{Pool, background};
pub(crate) use pooler::{Pooled, connect_unpooled};

use crate::config::DatabaseUrl;

/// The schema that this worker was built for.
static MIGRATIONS: Migrator = sqlx::migrate!();

/// Advisory lock of the one who migrates; taken for the session.
const LOCK: i64 = 0x636f_6e76_656e_6504;

/// How often those who wait for it look whether it is free.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// How to reach the database. No limits: for migrations and checks.
pub(crate) fn options(url: &DatabaseUrl, name: &str) -> anyhow::Result<PgConnectOptions> {
    let options: PgConnectOptions = url.reveal().parse().context("the database's address makes no sense")?;
    // PostgreSQL cuts names at 63 bytes, with a notice at every connection.
    let name: String = format!("convene-worker {name}").chars().filter(char::is_ascii).take(63).collect();
    Ok(options.application_name(&name))
}

/// Opens a connection.
///
/// # Errors
/// The database's. Whoever hangs up before any greeting, as a balancer does that has lost its server, is to sqlx a peer that
/// speaks something else; here it is a connection that was aborted.
pub(crate) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    Box::pin(PgConnection::connect_with(options)).await.map_err(|error| match error {
        sqlx::Error::Protocol(what) => io::Error::new(io::ErrorKind::ConnectionAborted, what).into(),
        error => error,
    })
}

/// What a database's schema is to this worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Its own, or the next newer one.
    Fits(i64),
    /// Another one; says which.
    Differs(String),
}

/// Brings the schema up to date. Those who do so at once wait for each other.
///
/// # Errors
/// The database's; the schema was made by a build that this one does not know; a pooler stands between, behind which the lock
/// would be anybody's.
pub async fn migrate(url: &DatabaseUrl) -> anyhow::Result<()> {
    let mut connection = connect_unpooled::<anyhow::Error>(&options(url, "migrate")?, None).await?;
    let outcome = migrate_on(&mut connection).await;
    // Frees the lock that a migration that failed still holds.
    let _ = connection.close().await;
    outcome
}

async fn migrate_on(connection: &mut PgConnection) -> anyhow::Result<()> {
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    // The next newer schema is one that this worker can work on.
    migrator.set_ignore_missing(true);
    // Whoever waits inside a statement has a snapshot, and CREATE INDEX CONCURRENTLY waits for the end of every snapshot.
    migrator.set_locking(false);
    while !sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut *connection).await? {
        sleep(LOCK_PAUSE).await;
    }
    migrator.run_direct(None, connection, false).await?;
    match schema(connection).await? {
        Schema::Fits(_) => Ok(()),
        Schema::Differs(how) => bail!("{how}"),
    }
}

/// Whether a failure to migrate may pass by itself.
pub(crate) fn may_pass(error: &anyhow::Error) -> bool {
    use crate::error::Trouble;
    if error.is::<Pooled>() {
        return true;
    }
    let error = match error.downcast_ref::<MigrateError>() {
        Some(MigrateError::Execute(error)) => error,
        Some(MigrateError::ExecuteMigration(error, _)) => error,
        Some(_) => return false,
        None => match error.downcast_ref::<sqlx::Error>() {
            Some(error) => error,
            None => return false,
        },
    };
    matches!(Trouble::of(error), Trouble::Away | Trouble::Conflict)
}

/// Compares the database's schema with ours.
///
/// # Errors
/// The database's.
pub(crate) async fn schema(connection: &mut PgConnection) -> sqlx::Result<Schema> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !exists {
        return Ok(Schema::Differs("the database has no schema yet".to_owned()));
    }
    let applied: Vec<(i64, bool, Vec<u8>)> =
        sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await?;
    let ours: Vec<(i64, &[u8])> =
        MIGRATIONS.iter().map(|migration| (migration.version, &*migration.checksum)).collect();
    Ok(compare(&ours, &applied))
}

fn compare(ours: &[(i64, &[u8])], applied: &[(i64, bool, Vec<u8>)]) -> Schema {
    let newest = applied.last().map_or(0, |(version, ..)| *version);
    for (version, checksum) in ours {
        match applied.iter().find(|(applied, ..)| applied == version) {
            None => return Schema::Differs(format!("the schema is {newest}, {version} is missing")),
            Some((_, false, _)) => return Schema::Differs(format!("migration {version} stopped in the middle")),
            Some((_, true, applied)) if applied != checksum => {
                return Schema::Differs(format!("migration {version} is not the one of this build"));
            }
            Some(_) => {}
        }
    }
    let newer = applied.iter().filter(|(version, ..)| !ours.iter().any(|(our, _)| our == version)).count();
    match newer {
        0 | 1 => Schema::Fits(newest),
        _ => Schema::Differs(format!("the schema is {newest}, which is {newer} newer than this build")),
    }
}

/// [`new_epoch`] lifts the fence by so much at least: beyond all that can have been handed out since the backup was made.
const FENCE_LEAP: i64 = 1 << 32;

/// And to so many for each second since 1970: whoever restores the same backup twice gets beyond what was handed out between.
const FENCES_A_SECOND: i64 = 1 << 20;

/// Begins a new epoch of every network's events, for after a backup was restored: positions and fences that were handed
/// out after the backup would come again. Returns how many networks there are.
///
/// # Errors
/// The database's.
pub async fn new_epoch(url: &DatabaseUrl) -> anyhow::Result<u64> {
    let mut connection = connect(&options(url, "new-epoch")?).await?;
    let mut transaction = connection.begin().await?;
    let networks = sqlx::query("UPDATE networks SET epoch = replace(gen_random_uuid()::text, '-', '')")
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    sqlx::query(
        "SELECT setval('fence', greatest(nextval('fence') + $1, (extract(epoch FROM clock_timestamp()) * $2)::bigint))",
    )
    .bind(FENCE_LEAP)
    .bind(FENCES_A_SECOND)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_schema_and_the_next_newer_one_fit() {
        let ours: [(i64, &[u8]); 2] = [(1, b"one"), (2, b"two")];
        let applied = |rows: &[(i64, bool, &str)]| -> Vec<(i64, bool, Vec<u8>)> {
            rows.iter().map(|(version, success, sum)| (*version, *success, sum.as_bytes().to_vec())).collect()
        };
        let fits = |rows: &[(i64, bool, &str)]| matches!(compare(&ours, &applied(rows)), Schema::Fits(_));
        assert!(fits(&[(1, true, "one"), (2, true, "two")]));
        assert!(fits(&[(1, true, "one"), (2, true, "two"), (3, true, "three")]));
        assert!(!fits(&[]));
        assert!(!fits(&[(1, true, "one")]));
        assert!(!fits(&[(1, true, "one"), (2, false, "two")]));
        assert!(!fits(&[(1, true, "one"), (2, true, "another")]));
        assert!(!fits(&[(1, true, "one"), (2, true, "two"), (3, true, "three"), (4, true, "four")]));
    }
}

//! Looking at PostgreSQL: whether it takes what the work needs.
//!
//! | looked for | how often |
//! | --- | --- |
//! | that it answers, and is no standby and not read-only; the schema; its clock | each time |
//! | that a new connection is made, and leads to a session of its own; that a row is written and committed | each [`THOROUGH`], and each time while something is wrong |
//!
//! A commit each time would be most of what an idle installation writes. One that hangs, on a lock or for a replica, is waited
//! for rather than begun again: PostgreSQL does not notice that nobody waits any more, and would be left with a session each time.

use std::time::Duration;

use sqlx::{PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::PATIENCE;
use crate::{
    clock::Clock,
    database::{self, Pooled, Schema},
};

/// How long a connection of ours that does well is trusted to stand for those that are yet to be made.
const THOROUGH: Duration = Duration::from_secs(10);

/// How much earlier than the look the wait for a row is given up.
const GRACE: Duration = Duration::from_millis(100);

/// Writes what each change writes first, and removes it; nobody ever sees it. One statement to the server, so one commit.
const WRITE: &str = "
    INSERT INTO done_requests (network_id, user_id, sid, event_id, endpoint, digest)
    VALUES ('probe:', '', '', pg_backend_pid()::text, '', '');
    DELETE FROM done_requests
    WHERE network_id = 'probe:' AND user_id = '' AND sid = '' AND event_id = pg_backend_pid()::text";

/// What one look has shown.
pub(super) struct Look {
    pub(super) schema: Schema,
    pub(super) clock_difference: Duration,
}

/// Why a look has shown nothing good.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer")]
    Silent,
    #[error("PostgreSQL is a standby here, and takes no changes")]
    Standby,
    #[error("PostgreSQL takes no changes: default_transaction_read_only is on")]
    ReadOnly,
    #[error(transparent)]
    Pooled(#[from] Pooled),
    #[error("a row can not be written: {0}")]
    Write(sqlx::Error),
    #[error("a row is not written in time: it waits for a lock or for a replica")]
    Uncommitted,
    #[error("{0}")]
    Database(#[from] sqlx::Error),
}

/// Looks again and again, on connections of its own: a pool that is busy is not a database that is away.
pub(super) struct Watcher {
    options: PgConnectOptions,
    clock: Clock,
    connection: Option<PgConnection>,
    /// Until when that is enough.
    trusted_until: Instant,
    /// A row that is being written, over the next connection.
    writing: Option<Writing>,
}

type Writing = AbortOnDropHandle<sqlx::Result<PgConnection>>;

impl Watcher {
    pub(super) fn new(options: PgConnectOptions, clock: Clock) -> Self {
        Self { options, clock, connection: None, trusted_until: Instant::now(), writing: None }
    }

    /// Looks, within [`PATIENCE`].
    pub(super) async fn look(&mut self) -> Result<Look, Failure> {
        let deadline = Instant::now() + PATIENCE;
        let outcome = timeout_at(deadline, Box::pin(self.try_to_look(deadline))).await.unwrap_or(Err(Failure::Silent));
        if !matches!(outcome, Ok(_) | Err(Failure::Uncommitted)) {
            self.writing = None;
        }
        outcome
    }

    async fn try_to_look(&mut self, deadline: Instant) -> Result<Look, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => database::connect_unpooled::<Failure>(&self.options, None).await?,
        };
        let look = self.ask(&mut connection).await?;
        // On another schema the row may have no table.
        if Instant::now() < self.trusted_until || matches!(look.schema, Schema::Differs(_)) {
            self.connection = Some(connection);
            return Ok(look);
        }
        let mut writing = match self.writing.take() {
            Some(writing) => writing,
            None => {
                let next = database::connect_unpooled::<Failure>(&self.options, Some(&mut connection)).await?;
                AbortOnDropHandle::new(tokio::spawn(write(next)))
            }
        };
        match timeout_at(deadline - GRACE, &mut writing).await {
            Ok(Ok(written)) => {
                self.connection = Some(written.map_err(Failure::Write)?);
                self.trusted_until = Instant::now() + THOROUGH;
                Ok(look)
            }
            Ok(Err(_)) => Err(Failure::Silent),
            Err(_) => {
                (self.connection, self.writing) = (Some(connection), Some(writing));
                Err(Failure::Uncommitted)
            }
        }
    }

    async fn ask(&self, connection: &mut PgConnection) -> Result<Look, Failure> {
        let asked = (Instant::now(), self.clock.since_1970());
        let (theirs, is_standby, is_read_only): (f64, bool, bool) = sqlx::query_as(
            "SELECT extract(epoch FROM clock_timestamp())::float8, pg_is_in_recovery(),
                    current_setting('transaction_read_only')::boolean",
        )
        .fetch_one(&mut *connection)
        .await?;
        let round_trip = asked.0.elapsed();
        if is_standby {
            return Err(Failure::Standby);
        }
        if is_read_only {
            return Err(Failure::ReadOnly);
        }
        // They looked at their clock some time between our two looks.
        let ours = (asked.1 + round_trip / 2).as_secs_f64();
        let clock_difference =
            Duration::try_from_secs_f64((ours - theirs).abs()).unwrap_or(Duration::MAX).saturating_sub(round_trip / 2);
        let schema = database::schema(connection).await?;
        Ok(Look { schema, clock_difference })
    }
}

async fn write(mut connection: PgConnection) -> sqlx::Result<PgConnection> {
    sqlx::raw_sql(WRITE).execute(&mut connection).await?;
    Ok(connection)
}

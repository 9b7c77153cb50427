//! The event log, read from the database: the truth about what was to be received.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::{FromRow, PgConnection};

use crate::chaos::{
    leg::{Seen, fingerprint},
    tally::Tally,
};

/// An event that was to be received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logged {
    pub(super) seen: Seen,
    pub(super) moved_at: DateTime<Utc>,
}

#[derive(Debug, FromRow)]
pub(super) struct LogRow {
    #[sqlx(rename = "network_id")]
    pub(super) network: String,
    pub(super) position: i64,
    pub(super) moved_at: DateTime<Utc>,
    pub(super) name: String,
    pub(super) recipients: Vec<String>,
    pub(super) payload: String,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    /// Of each network.
    pub(super) epochs: HashMap<String, String>,
    /// By network and user, in order.
    pub(super) of_user: HashMap<(String, String), Vec<Logged>>,
}

impl Log {
    /// Reads it all, one network after the other, in order.
    pub(super) async fn read(database: &mut PgConnection, tally: &Tally, mut row_seen: impl FnMut(&LogRow)) -> Self {
        let networks: Vec<(String, String)> =
            sqlx::query_as("SELECT id, epoch FROM networks").fetch_all(&mut *database).await.expect("the networks");
        let mut log = Self { epochs: networks.into_iter().collect(), ..Self::default() };
        let mut before = (String::new(), 0);
        let mut rows = sqlx::query_as::<_, LogRow>(
            // What gateways send themselves is kept for a minute only.
            "SELECT network_id, position, moved_at, name, recipients, payload FROM event_log
             WHERE network_id NOT LIKE 'canary:%' ORDER BY network_id, position",
        )
        .fetch(&mut *database);
        while let Some(row) = rows.try_next().await.expect("the log") {
            if row.network != before.0 {
                before = (row.network.clone(), 0);
            }
            if row.position != before.1 + 1 {
                tally.blame(format!("{}: after position {} comes {}", row.network, before.1, row.position));
            }
            before.1 = row.position;
            let seen = Seen { position: row.position, print: fingerprint(&row.name, &row.payload) };
            for user in &row.recipients {
                let of_user = log.of_user.entry((row.network.clone(), user.clone())).or_default();
                of_user.push(Logged { seen, moved_at: row.moved_at });
            }
            row_seen(&row);
        }
        drop(rows);
        let differ: i64 = sqlx::query_scalar(
            "WITH log AS (SELECT network_id, unnest(recipients) AS user_id, position FROM event_log)
             SELECT (SELECT count(*) FROM (TABLE log EXCEPT TABLE event_recipients) missing)
                  + (SELECT count(*) FROM (TABLE event_recipients EXCEPT TABLE log) surplus)",
        )
        .fetch_one(database)
        .await
        .expect("a number");
        if differ != 0 {
            tally.blame(format!("event_log and event_recipients differ in {differ} rows"));
        }
        log
    }
}

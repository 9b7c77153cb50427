//! Whether this worker can do its work, looked at in the background so that asking costs nothing.
//!
//! | dependency in `/readyz` | `ok` while | counts |
//! | --- | --- | --- |
//! | `database` | PostgreSQL answers within 2 s | yes |
//! | `schema` | it is this build's, or the next newer one | yes |
//! | `clock` | this machine's and PostgreSQL's differ by less than 2 s | yes |
//! | `bus` | the connection is up | yes |
//! | `presence` | it answers | no: without it only the shortcut of the events' bodies is missing |
//!
//! `/readyz` also shows the version of the zone data that this worker has (T4), and, where `social` is served, how many sessions
//! are still to be looked at with it (S9).
//!
//! A look a second; three bad ones in a row make an entry bad, after that two good ones make it good again.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    context::Context,
    database::{self, Schema},
};

/// How often is looked, and how long a look may take.
const INTERVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

/// So many bad looks in a row are believed …
const BELIEVED: u32 = 3;

/// … and so many good ones after them, so that what comes and goes does not bring the worker back each time.
const FORGIVEN: u32 = 2;

/// A worker whose clock differs by as much from PostgreSQL's must not work.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// What a worker is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing is sent here yet, or for now.
    Waiting,
    /// Requests are taken.
    Serving,
    /// Told to go.
    Draining,
}

/// What is known of the things that a worker needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    database: Entry,
    schema: Entry,
    clock: Entry,
    bus: Entry,
    presence: Entry,
    zone_data: String,
    /// Negative: not counted.
    zone_data_waiting: i64,
}

/// What is known of one of them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    is_good: bool,
    /// Bad ones in a row.
    bad_looks: u32,
    /// Good ones that are needed before it is good again.
    owed: u32,
    /// What is wrong, or was seen.
    detail: String,
}

impl Entry {
    fn see(&mut self, outcome: Result<String, String>) {
        match outcome {
            Ok(detail) => {
                self.owed = self.owed.saturating_sub(1);
                self.is_good = self.owed == 0;
                self.bad_looks = 0;
                self.detail = if self.is_good { detail } else { "not good for long enough".to_owned() };
            }
            Err(detail) => {
                self.bad_looks = self.bad_looks.saturating_add(1);
                self.is_good &= self.bad_looks < BELIEVED;
                if self.bad_looks >= BELIEVED || self.owed > 0 {
                    self.owed = FORGIVEN;
                }
                self.detail = detail;
            }
        }
    }

    fn said(&self) -> &str {
        if self.is_good { "ok" } else { &self.detail }
    }
}

impl Report {
    /// Whether requests can be served rightly: where this is false they must not even be tried.
    pub(crate) fn may_serve(&self) -> bool {
        self.database.is_good && self.schema.is_good && self.clock.is_good
    }

    /// Whether the worker can do its work now.
    pub(crate) fn is_ready(&self, stage: Stage) -> bool {
        stage == Stage::Serving && self.may_serve() && self.bus.is_good
    }

    /// Each dependency, and whether it is good.
    pub(crate) fn dependencies(&self) -> [(&'static str, bool); 5] {
        [
            ("database", self.database.is_good),
            ("schema", self.schema.is_good),
            ("clock", self.clock.is_good),
            ("bus", self.bus.is_good),
            ("presence", self.presence.is_good),
        ]
    }

    /// As `/readyz` shows it: whether all is well while the worker is at this stage, and why not.
    pub(crate) fn to_json(&self, stage: Stage) -> Value {
        json!({
            "ready": self.is_ready(stage),
            "draining": stage == Stage::Draining,
            "dependencies": {
                "database": self.database.said(),
                "schema": self.schema.said(),
                "clock": self.clock.said(),
                "bus": self.bus.said(),
                "presence": self.presence.said(),
            },
            "zoneData": if self.zone_data.is_empty() { "unknown" } else { &self.zone_data },
            "zoneDataWaiting": (self.zone_data_waiting >= 0).then_some(self.zone_data_waiting),
        })
    }
}

/// Looks every second until `until`.
pub(crate) async fn watch(
    context: Arc<Context>,
    options: PgConnectOptions,
    clock: Clock,
    reports: watch::Sender<Report>,
    until: CancellationToken,
) {
    let mut connection = None;
    let mut report = Report { zone_data: context.zones.version().to_owned(), ..Report::default() };
    loop {
        let round = Instant::now();
        let looks = async {
            tokio::join!(look_at_database(&options, &clock, &mut connection), async {
                context.presence.pods().await.map(|_| String::new()).map_err(|error| error.to_string())
            })
        };
        let Some((database, presence)) = until.run_until_cancelled(looks).await else { return };
        report.zone_data_waiting = context.series_waiting.load(Ordering::Relaxed);
        report.see_database(database);
        report.presence.see(presence);
        report.bus.see(match context.bus.is_connected() {
            true => Ok(String::new()),
            false => Err("not connected".to_owned()),
        });
        reports.send_if_modified(|known| {
            log_changes(known, &report);
            std::mem::replace(known, report.clone()) != report
        });
        if until.run_until_cancelled(tokio::time::sleep_until(round + INTERVAL)).await.is_none() {
            return;
        }
    }
}

/// What one look at the database has shown.
struct Look {
    schema: Schema,
    clock_difference: Duration,
}

/// On a connection of its own: a pool that is busy is not a database that is away.
async fn look_at_database(
    options: &PgConnectOptions,
    clock: &Clock,
    kept: &mut Option<PgConnection>,
) -> Result<Look, String> {
    let look = async {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => PgConnection::connect_with(options).await?,
        };
        let asked = (Instant::now(), clock.since_1970());
        let theirs: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
            .fetch_one(&mut connection)
            .await?;
        let round_trip = asked.0.elapsed();
        // They looked at their clock some time between our two looks.
        let ours = (asked.1 + round_trip / 2).as_secs_f64();
        let clock_difference =
            Duration::try_from_secs_f64((ours - theirs).abs()).unwrap_or(Duration::MAX).saturating_sub(round_trip / 2);
        let schema = database::schema(&mut connection).await?;
        *kept = Some(connection);
        Ok(Look { schema, clock_difference })
    };
    match timeout(PATIENCE, look).await {
        Ok(outcome) => outcome.map_err(|error: sqlx::Error| error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

impl Report {
    fn see_database(&mut self, look: Result<Look, String>) {
        let Look { schema, clock_difference } = match look {
            Ok(look) => look,
            // What is not seen is not known to have changed.
            Err(error) => return self.database.see(Err(error)),
        };
        self.database.see(Ok(String::new()));
        match schema {
            Schema::Fits(version) => self.schema.see(Ok(version.to_string())),
            // Certain at the first look, as is that it fits again; and no request may meet it.
            Schema::Differs(how) => self.schema = Entry { is_good: false, detail: how, ..Entry::default() },
        }
        let detail = format!("{} ms apart", clock_difference.as_millis());
        self.clock.see(if clock_difference < CLOCK_TOLERANCE { Ok(detail) } else { Err(detail) });
    }
}

fn log_changes(before: &Report, now: &Report) {
    let entries = [
        ("database", &before.database, &now.database),
        ("schema", &before.schema, &now.schema),
        ("clock", &before.clock, &now.clock),
        ("bus", &before.bus, &now.bus),
        ("presence", &before.presence, &now.presence),
    ];
    for (name, before, now) in entries {
        if now.is_good && !before.is_good {
            tracing::info!(dependency = name, detail = now.detail, "good");
        } else if !now.is_good && (before.is_good || before.detail != now.detail) {
            tracing::warn!(dependency = name, detail = now.detail, "not good");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(schema: Schema, milliseconds: u64) -> Result<Look, String> {
        Ok(Look { schema, clock_difference: Duration::from_millis(milliseconds) })
    }

    #[test]
    fn a_worker_serves_only_on_its_schema_and_with_the_databases_time() {
        let mut report = Report::default();
        assert!(!report.may_serve(), "nothing is known yet");
        report.see_database(look(Schema::Fits(4), 1_999));
        assert!(report.may_serve());
        report.see_database(look(Schema::Differs("newer".to_owned()), 0));
        assert!(!report.may_serve(), "at the first look");
        report.see_database(look(Schema::Fits(4), 0));
        for looks in 1..=3 {
            report.see_database(look(Schema::Fits(4), 2_000));
            assert_eq!(report.may_serve(), looks < 3);
        }
    }

    #[test]
    fn one_missed_look_changes_nothing_and_three_do() {
        let mut report = Report::default();
        report.see_database(look(Schema::Fits(4), 0));
        for looks in 1..=3 {
            report.see_database(Err("no answer".to_owned()));
            assert_eq!(report.may_serve(), looks < 3);
        }
        report.see_database(look(Schema::Fits(4), 0));
        assert!(!report.may_serve(), "it may go again at once");
        report.see_database(Err("no answer".to_owned()));
        for looks in 1..=2 {
            report.see_database(look(Schema::Fits(4), 0));
            assert_eq!(report.may_serve(), looks == 2);
        }
    }

    #[test]
    fn a_worker_is_ready_while_it_serves_and_all_but_presence_is_there() {
        let mut report = Report::default();
        report.see_database(look(Schema::Fits(4), 0));
        assert_eq!(report.to_json(Stage::Serving)["ready"], false, "the bus is not up");
        report.bus.see(Ok(String::new()));
        let shown = report.to_json(Stage::Serving);
        assert_eq!(shown["ready"], true);
        assert_ne!(shown["dependencies"]["presence"], "ok");
        assert_eq!(shown["dependencies"]["database"], "ok");
        for stage in [Stage::Waiting, Stage::Draining] {
            assert_eq!(report.to_json(stage)["ready"], false, "{stage:?}");
        }
    }
}

//! Whether this worker can do its work, looked at in the background so that asking costs nothing.
//!
//! | dependency in `/readyz` | `ok` while | counts |
//! | --- | --- | --- |
//! | `database` | PostgreSQL takes changes within 2 s, on sessions that are this worker's alone | yes |
//! | `schema` | it is this build's, or the next newer one | yes |
//! | `clock` | this machine's and PostgreSQL's differ by less than 2 s | yes |
//! | `bus` | the connection is up, and takes what this worker publishes and subscribes to | yes |
//! | `presence` | users can be looked up | no: without it only the shortcut of the events' bodies is missing |
//!
//! `/readyz` also shows the version of the zone data that this worker has (T4), and, where `social` is served, how many sessions
//! are still to be looked at with it (S9).
//!
//! A look a second; three bad ones in a row make an entry bad, after that two good ones make it good again.

mod database;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use shared::{
    bus::{BusError, Subject},
    telemetry::Outage,
};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use self::database::{Failure, Look, Watcher};
use crate::{clock::Clock, config::Namespace, context::Context, database::Schema};

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
        match self {
            Self { is_good: true, .. } => "ok",
            Self { detail, .. } if detail.is_empty() => "not looked at yet",
            Self { detail, .. } => detail,
        }
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
    let relays = context.config.namespaces.contains(&Namespace::Events);
    let mut database = Watcher::new(options, clock);
    let mut report = Report { zone_data: context.zones.version().to_owned(), ..Report::default() };
    let log = Log::default();
    let mut takes_changes = true;
    loop {
        let round = Instant::now();
        let looks = async {
            let bus = timeout(PATIENCE, context.bus.probe(Subject::probes_of_worker(relays)));
            tokio::join!(database.look(), bus, context.presence.probe_reading())
        };
        let Some((database, bus, presence)) = until.run_until_cancelled(looks).await else { return };
        report.zone_data_waiting = context.series_waiting.load(Ordering::Relaxed);
        let took_changes = takes_changes;
        match database {
            Ok(_) => takes_changes = true,
            Err(Failure::Standby | Failure::ReadOnly) => takes_changes = false,
            Err(_) => {}
        }
        // By the server's name another one may be found by now: what was connected until then leads to this one.
        if !takes_changes || !took_changes {
            context.pool.manager().renew();
            context.background.manager().renew();
        }
        report.see_database(database);
        report.presence.see(presence.map(|()| String::new()).map_err(|error| error.to_string()));
        let bus = bus.unwrap_or(Err(BusError::Timeout));
        report.bus.see(bus.map(|()| String::new()).map_err(|error| error.to_string()));
        reports.send_if_modified(|known| {
            log.see(known, &report);
            std::mem::replace(known, report.clone()) != report
        });
        if until.run_until_cancelled(tokio::time::sleep_until(round + INTERVAL)).await.is_none() {
            return;
        }
    }
}

impl Report {
    fn see_database(&mut self, look: Result<Look, Failure>) {
        let Look { schema, clock_difference } = match look {
            Ok(look) => look,
            // What is not seen is not known to have changed.
            Err(error) => return self.database.see(Err(error.to_string())),
        };
        self.database.see(Ok(String::new()));
        match schema {
            Schema::Fits(version) => self.schema.see(Ok(version.to_string())),
            // Certain at the first look, as is that it fits again; and no request may meet it.
            Schema::Differs(how) => {
                self.schema = Entry { is_good: false, detail: how, bad_looks: BELIEVED, ..Entry::default() };
            }
        }
        let detail = format!("{} ms apart", clock_difference.as_millis());
        self.clock.see(if clock_difference < CLOCK_TOLERANCE { Ok(detail) } else { Err(detail) });
    }
}

/// What the log knows of each dependency.
#[derive(Debug, Default)]
struct Log([Outage; 5]);

impl Log {
    fn see(&self, before: &Report, now: &Report) {
        let entries = [
            ("database", &before.database, &now.database),
            ("schema", &before.schema, &now.schema),
            ("clock", &before.clock, &now.clock),
            ("bus", &before.bus, &now.bus),
            ("presence", &before.presence, &now.presence),
        ];
        for ((name, before, now), outage) in entries.into_iter().zip(&self.0) {
            // Clocks are never twice as far apart.
            let reason = if name == "clock" { name } else { &now.detail };
            if now.is_good && !before.is_good {
                tracing::info!(dependency = name, detail = now.detail, seconds = outage.worked(), "good");
            } else if !now.is_good
                && now.bad_looks >= BELIEVED
                && let Some(seconds) = outage.failed(reason)
            {
                tracing::warn!(dependency = name, detail = now.detail, seconds, "not good");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(schema: Schema, milliseconds: u64) -> Result<Look, Failure> {
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
            report.see_database(Err(Failure::Silent));
            assert_eq!(report.may_serve(), looks < 3);
        }
        report.see_database(look(Schema::Fits(4), 0));
        assert!(!report.may_serve(), "it may go again at once");
        report.see_database(Err(Failure::Silent));
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

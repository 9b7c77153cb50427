//! A worker's life: the schema, then serving whenever that can be done rightly, then draining.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use shared::{
    lifecycle::{Shutdown, keep_up},
    telemetry::Outage,
};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Namespace,
    context::Context,
    database, directory, events, meeting,
    readiness::Report,
    relay::Relay,
    retention::{self, Retention},
    router::Handlers,
    serve::Server,
    social, user,
};

/// Requests done at once, for each connection of the pool: most of them wait for the database only part of their time.
const SLOTS_PER_CONNECTION: usize = 4;

/// Pause before the schema is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Everything that a worker does beside telling whether it can.
pub(crate) struct Service {
    context: Arc<Context>,
    options: PgConnectOptions,
    handlers: Vec<Handlers>,
    server: Arc<Server>,
    is_serving: watch::Sender<bool>,
    shutdown: Shutdown,
}

impl Service {
    /// `options` are for sessions beside the pool; `is_serving` says whether requests are taken.
    pub(crate) fn new(
        context: Arc<Context>,
        options: PgConnectOptions,
        is_serving: watch::Sender<bool>,
        shutdown: Shutdown,
    ) -> Self {
        let config = &context.config;
        let slots = config.max_concurrency.map_or(SLOTS_PER_CONNECTION * database::pool_size(), usize::from);
        let handlers = handlers(&config.namespaces);
        let server = Server::new(context.clone(), slots, shutdown.stop.clone());
        Self { context, options, handlers, server, is_serving, shutdown }
    }

    /// Returns when everything is drained.
    ///
    /// # Errors
    /// The schema cannot be brought up to date, or the bus was closed for good.
    pub(crate) async fn run(self, mut known: watch::Receiver<Report>) -> Result<()> {
        let drain = &self.shutdown.drain;
        if self.context.config.migrate {
            match drain.run_until_cancelled(self.migrate()).await {
                Some(migrated) => migrated?,
                None => return Ok(()),
            }
        }
        let duties = self.serve(&mut known).await?;
        let finished = async {
            self.server.finish().await;
            if let Some(duties) = duties {
                duties.end().await;
            }
        };
        if timeout(self.context.config.common.drain_timeout, finished).await.is_err() {
            tracing::warn!("left with requests unfinished");
        }
        Ok(())
    }

    /// Takes requests whenever they can be served rightly, until it is time to leave. Returns what still runs beside them.
    async fn serve(&self, known: &mut watch::Receiver<Report>) -> Result<Option<Duties>> {
        let drain = &self.shutdown.drain;
        let left = async {
            drain.cancelled().await;
            sleep(self.context.config.common.drain_delay).await;
        };
        tokio::pin!(left);
        loop {
            // Nobody sends requests here, so there is nobody to give the drain delay to.
            match drain.run_until_cancelled(known.wait_for(Report::may_serve)).await {
                Some(fit) => drop(fit.context(NOBODY_LOOKS)?),
                None => return Ok(None),
            }
            let duties = Duties::begin(self);
            let until = CancellationToken::new();
            let serving = self.server.serve(&self.handlers, &until, &self.is_serving);
            tokio::pin!(serving);
            let is_leaving = tokio::select! {
                served = &mut serving => return served.map(|()| None).context(BUS_CLOSED),
                unfit = known.wait_for(|report| !report.may_serve()) => {
                    drop(unfit.context(NOBODY_LOOKS)?);
                    false
                }
                () = &mut left => true,
            };
            // From here on other workers are asked, or nobody.
            until.cancel();
            serving.await.context(BUS_CLOSED)?;
            if is_leaving {
                return Ok(Some(duties));
            }
            // They may hang on the database, and what comes after them needs nothing that they hold.
            drop(duties);
        }
    }

    /// Brings the schema up to date, waiting for a database that is away.
    async fn migrate(&self) -> Result<()> {
        let outage = Outage::new();
        loop {
            match database::migrate(&self.context.config.database_url).await {
                Ok(()) => return Ok(()),
                Err(error) if database::may_pass(&error) => {
                    if let Some(seconds) = outage.failed(&error) {
                        tracing::warn!(%error, seconds, "the schema is not brought up to date yet");
                    }
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error).context("the schema cannot be brought up to date"),
            }
        }
    }
}

const NOBODY_LOOKS: &str = "nobody looks at the database any more";
const BUS_CLOSED: &str = "the bus was closed";

/// What runs beside the requests, where `events`, `directory` and `social` are served.
struct Duties {
    tasks: TaskTracker,
    drain: CancellationToken,
}

impl Duties {
    fn begin(service: &Service) -> Self {
        let duties = Self { tasks: TaskTracker::new(), drain: CancellationToken::new() };
        let Context { background, bus, presence, config, .. } = &*service.context;
        let shutdown = Shutdown { drain: duties.drain.clone(), stop: service.shutdown.stop.clone() };
        let serves = |namespace| config.namespaces.contains(&namespace);
        if serves(Namespace::Events) {
            let (options, bus, presence, until) =
                (service.options.clone(), bus.clone(), presence.clone(), shutdown.clone());
            let relay = move || Relay::new(options.clone(), bus.clone(), presence.clone()).run(until.clone());
            duties.tasks.spawn(keep_up("the event relay", relay));
            let (pool, until) = (background.clone(), shutdown.clone());
            let retention = Retention { events: config.event_retention, retries: config.retry_retention };
            duties.tasks.spawn(keep_up("retention", move || retention::run(pool.clone(), retention, until.clone())));
        }
        if serves(Namespace::Directory) {
            duties.keep_up("leaving", service, &shutdown, directory::leaving::run);
        }
        if serves(Namespace::Social) {
            duties.keep_up("news", service, &shutdown, social::news::run);
            duties.keep_up("outsiders", service, &shutdown, social::outsiders::run);
            duties.keep_up("zone data", service, &shutdown, social::zone_data::run);
        }
        duties
    }

    fn keep_up<W: Future<Output = ()> + Send + 'static>(
        &self,
        what: &'static str,
        service: &Service,
        shutdown: &Shutdown,
        run: fn(Arc<Context>, Shutdown) -> W,
    ) {
        let (context, shutdown) = (service.context.clone(), shutdown.clone());
        self.tasks.spawn(keep_up(what, move || run(context.clone(), shutdown.clone())));
    }

    /// Returns when they have given up what they hold.
    async fn end(&self) {
        self.drain.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Duties {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}

/// The handlers of these namespaces, each once.
fn handlers(namespaces: &[Namespace]) -> Vec<Handlers> {
    let namespaces: BTreeSet<Namespace> = namespaces.iter().copied().collect();
    namespaces.into_iter().map(of).collect()
}

fn of(namespace: Namespace) -> Handlers {
    match namespace {
        Namespace::Meeting => meeting::handlers(),
        Namespace::Social => social::handlers(),
        Namespace::User => user::handlers(),
        Namespace::Directory => directory::handlers(),
        Namespace::Events => events::handlers(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum as _;
    use shared::{
        api::{meeting, social},
        internal::{
            ApplyLines, CheckSessions, Connect, InternalRequest, ReadCalendar, ReadHeads, ReadPage, ReadRange,
            ResetNetwork, RevokeSession, SendCanary,
        },
    };

    use super::*;

    fn names(handlers: &[Handlers]) -> BTreeSet<String> {
        let of = |handlers: &Handlers| -> Vec<String> {
            handlers.rpc.keys().map(|method| format!("{}:{method}", handlers.namespace)).collect()
        };
        handlers.iter().flat_map(of).collect()
    }

    #[test]
    fn every_endpoint_has_a_handler_and_every_handler_a_row() {
        let rows: BTreeSet<String> =
            meeting::ENDPOINTS.iter().chain(social::ENDPOINTS).map(|row| row.name.to_owned()).collect();
        assert_eq!(names(&handlers(Namespace::value_variants())), rows);
    }

    #[test]
    fn every_request_of_the_gateways_has_a_handler_in_the_namespace_that_it_names() {
        fn place<R: InternalRequest>() -> (&'static str, &'static str) {
            (R::NAMESPACE, R::METHOD)
        }
        let asked = [
            place::<Connect>(),
            place::<CheckSessions>(),
            place::<RevokeSession>(),
            place::<ReadHeads>(),
            place::<ReadRange>(),
            place::<ReadPage>(),
            place::<SendCanary>(),
            place::<ReadCalendar>(),
            place::<ApplyLines>(),
            place::<ResetNetwork>(),
        ];
        let answered: BTreeSet<(&str, &str)> = handlers(Namespace::value_variants())
            .iter()
            .flat_map(|handlers| handlers.internal.keys().map(|method| (handlers.namespace, *method)))
            .collect();
        assert_eq!(answered, asked.into_iter().collect());
    }

    #[test]
    fn a_namespace_that_is_named_twice_is_served_once() {
        let twice = [Namespace::User, Namespace::Meeting, Namespace::User];
        let served: Vec<&str> = handlers(&twice).iter().map(|handlers| handlers.namespace).collect();
        assert_eq!(served, ["meeting", "user"]);
    }
}

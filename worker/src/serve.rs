//! Takes requests from the bus, as many at once as there are slots, and answers them.
//!
//! | what comes | what becomes of it |
//! | --- | --- |
//! | a method that the namespace does not have | 404 |
//! | older than its budget, at arrival or after its wait | dropped: nobody waits for the answer |
//! | while all slots and all places to wait are taken | 503 at once, to requests of whoever has the most places |
//! | anything else | answered by its handler within what is left of its budget, else 504 |
//!
//! | metric | counts |
//! | --- | --- |
//! | `convene_worker_requests_total` `{namespace,method,code}` | answers; code 0 is a good one |
//! | `convene_worker_dropped_total` `{namespace}` | requests that were too old |
//! | `convene_worker_refused_total` `{namespace}` | requests for which there was no place |
//! | `convene_worker_request_seconds` `{namespace,method}` | from a slot to the answer |
//! | `convene_worker_queue_seconds` | from arrival to a slot |
//! | `convene_worker_in_flight`, `convene_worker_waiting` | slots and places taken |
//! | `convene_worker_slots` | slots that there are |
//! | `convene_worker_serving` `{namespace}` | 1 while the namespace's requests are taken |

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::join_all};
use shared::{
    api::{self, Code, failure_body},
    bus::{BusError, HeaderName, Headers, Message, ReplyTo, Subject, Subscription, subject},
    internal::{Call, Session},
    telemetry,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use crate::{
    age::Ages,
    context::{Context, Gateway},
    error::{Error, conclude},
    retry::Once,
    router::{Handlers, Method},
    run::run,
    shares::{Share, Shares},
    slots::{Offer, Party, Slots},
};

/// For each slot so many requests may wait. At a few milliseconds a request that is well below a second.
const PLACES_PER_SLOT: usize = 64;

/// A waiting request takes a place for each so many bytes of its data, and one more: those who wait take at most
/// [`PLACES_PER_SLOT`] times as much memory for each slot, 1 MiB.
const PLACE_BYTES: usize = 16 * 1024;

/// No request is worked on for longer, whatever budget it names.
const LONGEST_BUDGET: Duration = Duration::from_secs(60);

/// What metrics call every method that nobody has.
const UNKNOWN: &str = "unknown";

/// What all namespaces of this worker share: slots, ages, the database.
pub(crate) struct Server {
    context: Arc<Context>,
    slots: Mutex<Slots<Box<Job>>>,
    shares: Shares,
    ages: Mutex<Ages>,
    /// What ages are measured against: a clock that never jumps.
    started: Instant,
    running: TaskTracker,
    stop: CancellationToken,
}

/// Whose requests a subscription takes.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Clients,
    Gateways,
}

/// One request that has been understood as far as its headers go.
struct Job {
    namespace: &'static str,
    work: Work,
    data: Bytes,
    reply: ReplyTo,
    arrived: Instant,
    deadline: Instant,
    trace_parent: Option<String>,
}

/// What is to be done, for whom.
enum Work {
    Client { method: Arc<Method<Session>>, session: Session, event_id: String },
    Gateway { method: Arc<Method<Gateway>> },
}

impl Work {
    fn method(&self) -> &'static str {
        match self {
            Self::Client { method, .. } => method.name,
            Self::Gateway { method } => method.name,
        }
    }

    fn party(&self) -> Party {
        match self {
            Self::Client { session, .. } => Party::Network(session.network.clone()),
            Self::Gateway { .. } => Party::Internal,
        }
    }
}

impl Server {
    /// Nothing is worked on beyond `stop`.
    pub(crate) fn new(context: Arc<Context>, slots: usize, stop: CancellationToken) -> Arc<Self> {
        metrics::gauge!("convene_worker_slots").set(slots as f64);
        Arc::new(Self {
            shares: Shares::new(context.pool.clone(), slots),
            context,
            slots: Mutex::new(Slots::new(slots, slots.saturating_mul(PLACES_PER_SLOT))),
            ages: Mutex::default(),
            started: Instant::now(),
            running: TaskTracker::new(),
            stop,
        })
    }

    /// Takes requests until `until`, and returns when the last of them has been taken; they may still be worked on.
    /// `is_serving` is true in between.
    ///
    /// # Errors
    /// The bus was closed for good.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        namespaces: &[Handlers],
        until: &CancellationToken,
        is_serving: &watch::Sender<bool>,
    ) -> Result<(), BusError> {
        let bus = &self.context.bus;
        let mut receivers = Vec::new();
        for handlers in namespaces {
            let group = format!("worker.{}", handlers.namespace);
            let rpc = bus.serve(Subject::rpc_all(handlers.namespace), &group).await?;
            receivers.push(self.receive(handlers, Origin::Clients, rpc, until));
            let internal = bus.serve(Subject::internal_all(handlers.namespace), &group).await?;
            receivers.push(self.receive(handlers, Origin::Gateways, internal, until));
        }
        // While the bus is away it has not taken them; then the worker is unready for that.
        let _ = bus.flush().await;
        is_serving.send_replace(true);
        count_serving(namespaces, true);
        join_all(receivers).await;
        count_serving(namespaces, false);
        is_serving.send_replace(false);
        Ok(())
    }

    /// Returns when nothing is worked on any more. Call it when [`Server::serve`] has returned for good.
    pub(crate) async fn finish(&self) {
        self.running.close();
        self.running.wait().await;
    }

    async fn receive(
        self: &Arc<Self>,
        handlers: &Handlers,
        origin: Origin,
        mut subscription: Subscription,
        until: &CancellationToken,
    ) {
        while let Some(Some(message)) = until.run_until_cancelled(subscription.next()).await {
            self.take(handlers, origin, message).await;
        }
        subscription.stop();
        while let Some(message) = subscription.next().await {
            self.take(handlers, origin, message).await;
        }
    }

    async fn take(self: &Arc<Self>, handlers: &Handlers, origin: Origin, mut message: Message) {
        // Without a place for the answer it is none of ours.
        let Some(reply) = message.reply.take() else { return };
        let method = subject::last_token(&message.subject);
        let (work, call) = match understand(handlers, origin, method, &message) {
            Ok(understood) => understood,
            Err((method, error)) => {
                count(handlers.namespace, method, error.code.number());
                return self.answer(reply, Err(error)).await;
            }
        };
        let Some(left) = self.time_left(&call) else { return drop_late(handlers.namespace) };
        let party = work.party();
        let arrived = Instant::now();
        let job = Box::new(Job {
            namespace: handlers.namespace,
            work,
            data: message.payload,
            reply,
            arrived,
            deadline: arrived + left,
            trace_parent: message.headers.get(HeaderName::TraceParent).map(str::to_owned),
        });
        let size = 1 + job.data.len() / PLACE_BYTES;
        match self.with_slots(|slots| slots.offer(&party, job, size)) {
            Offer::Run(job) => {
                let server = self.clone();
                self.running.spawn(async move { server.stop.run_until_cancelled(server.work(party, job)).await });
            }
            Offer::Waits => {}
            Offer::Refused(jobs) => {
                for job in jobs {
                    let error = api::Error::new(Code::Unavailable, "too many requests are waiting");
                    count(job.namespace, job.work.method(), error.code.number());
                    metrics::counter!("convene_worker_refused_total", "namespace" => job.namespace).increment(1);
                    self.answer(job.reply, Err(error)).await;
                }
            }
        }
    }

    /// What a request that arrives now has left of its budget; `None` when it is used up.
    fn time_left(&self, call: &Call) -> Option<Duration> {
        let now_ms = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let age = lock(&self.ages).age(&call.pod, call.sent_at_ms, now_ms);
        let left = Duration::from_millis(call.budget_ms).min(LONGEST_BUDGET).checked_sub(age)?;
        (!left.is_zero()).then_some(left)
    }

    fn with_slots<T>(&self, change: impl FnOnce(&mut Slots<Box<Job>>) -> T) -> T {
        let mut slots = lock(&self.slots);
        let changed = change(&mut slots);
        metrics::gauge!("convene_worker_in_flight").set(slots.running() as f64);
        metrics::gauge!("convene_worker_waiting").set(slots.waiting() as f64);
        changed
    }

    /// Works in one slot: this job, then whatever waits, until nothing does.
    async fn work(&self, mut party: Party, mut job: Box<Job>) {
        loop {
            metrics::histogram!("convene_worker_queue_seconds").record(job.arrived.elapsed().as_secs_f64());
            if job.deadline <= Instant::now() {
                drop_late(job.namespace);
            } else {
                self.work_on(&self.shares.of(&party), *job).await;
            }
            match self.with_slots(|slots| slots.finish(&party)) {
                Some(next) => (party, job) = next,
                None => return,
            }
        }
    }

    async fn work_on(&self, share: &Share, job: Job) {
        let method = job.work.method();
        let span = info_span!(
            "request",
            otel.name = format!("{}.{method}", job.namespace),
            otel.kind = "server",
            namespace = job.namespace,
            method,
            event_id = Empty,
            code = Empty,
            trace_id = Empty,
            otel.status_code = Empty
        );
        telemetry::continue_trace(&span, job.trace_parent.as_deref());
        if let Some(trace_id) = telemetry::trace_id(&span) {
            span.record("trace_id", trace_id);
        }
        let begun = Instant::now();
        let outcome = self.outcome(share, &job, &span).instrument(span.clone()).await;
        let outcome = span.in_scope(|| outcome.map_err(conclude));
        let seconds = begun.elapsed().as_secs_f64();
        metrics::histogram!("convene_worker_request_seconds", "namespace" => job.namespace, "method" => method)
            .record(seconds);
        let code = outcome.as_ref().err().map_or(0, |error| error.code.number());
        count(job.namespace, method, code);
        telemetry::record_code(&span, code);
        self.answer(job.reply, outcome).instrument(span).await;
    }

    async fn outcome(&self, share: &Share, job: &Job, span: &Span) -> Result<String, Error> {
        let done = async {
            match &job.work {
                Work::Client { method, session, event_id } => {
                    span.record("event_id", event_id);
                    let endpoint = format!("{}:{}", job.namespace, method.name);
                    let once = Once::new(session, event_id, endpoint, &job.data)?;
                    run(&self.context, share, &method.route, session, once.as_ref(), &job.data, job.deadline).await
                }
                Work::Gateway { method } => {
                    run(&self.context, share, &method.route, &Gateway, None, &job.data, job.deadline).await
                }
            }
        };
        // One request that meets a bug must not take its slot with it.
        AssertUnwindSafe(done).catch_unwind().await.unwrap_or_else(|_| Err(Error::internal("the handler panicked")))
    }

    async fn answer(&self, reply: ReplyTo, outcome: Result<String, api::Error>) {
        let (headers, body) = match outcome {
            Ok(body) => (Ok(Headers::new()), body),
            Err(error) => {
                (Headers::new().with(HeaderName::Code, error.code.number().to_string()), failure_body(&error))
            }
        };
        let sent = match headers {
            Ok(headers) => self.context.bus.reply(reply, headers, body).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was not sent");
        }
    }
}

/// The method and the caller of a request; or the method's name for metrics, and what to answer.
fn understand(
    handlers: &Handlers,
    origin: Origin,
    method: &str,
    message: &Message,
) -> Result<(Work, Call), (&'static str, api::Error)> {
    let no_such = || (UNKNOWN, api::Error::new(Code::NotFound, "no such endpoint"));
    let call = || match message.headers.get(HeaderName::Call).map(serde_json::from_str::<Call>) {
        Some(Ok(call)) => Ok(call),
        Some(Err(error)) => Err(conclude(Error::internal(format!("a request with a malformed call: {error}")))),
        None => Err(conclude(Error::internal("a request without a call"))),
    };
    match origin {
        Origin::Clients => {
            let method = handlers.rpc.get(method).ok_or_else(no_such)?.clone();
            let mut call = call().map_err(|error| (method.name, error))?;
            let session = call.session.take().ok_or_else(|| {
                (method.name, api::Error::new(Code::Unauthorized, "a request of a client without a session"))
            })?;
            let event_id = std::mem::take(&mut call.event_id);
            Ok((Work::Client { method, session, event_id }, call))
        }
        Origin::Gateways => {
            let method = handlers.internal.get(method).ok_or_else(no_such)?.clone();
            let call = call().map_err(|error| (method.name, error))?;
            Ok((Work::Gateway { method }, call))
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(namespace: &'static str, method: &'static str, code: u16) {
    let labels = [("namespace", namespace.to_owned()), ("method", method.to_owned()), ("code", code.to_string())];
    metrics::counter!("convene_worker_requests_total", &labels).increment(1);
}

fn count_serving(namespaces: &[Handlers], is_serving: bool) {
    for handlers in namespaces {
        metrics::gauge!("convene_worker_serving", "namespace" => handlers.namespace)
            .set(f64::from(u8::from(is_serving)));
    }
}

fn drop_late(namespace: &'static str) {
    metrics::counter!("convene_worker_dropped_total", "namespace" => namespace).increment(1);
}

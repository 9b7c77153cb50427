//! The gateway's own requests to workers.

use std::{fmt, time::Duration};

use shared::{
    api::{Code, Error},
    bus::{Bus, BusError, HeaderName, Headers, Message, Subject},
    internal::{Call, InternalRequest, Session},
    pod::PodId,
    telemetry::{self, TRACE_ONLY},
};
use tracing::{Instrument as _, Span, field::Empty, info_span};

/// Sends requests to whichever worker serves them.
#[derive(Clone, Debug)]
pub struct Workers {
    bus: Bus,
    pod: PodId,
    patience: Duration,
}

impl Workers {
    /// Requests over this bus, in this pod's name, given up after `patience`.
    pub fn new(bus: Bus, pod: PodId, patience: Duration) -> Self {
        Self { bus, pod, patience }
    }

    /// Asks for something of the gateway's own.
    ///
    /// # Errors
    /// The worker's error; 503 when nobody serves it or the bus is away, 504 when there is no answer in time.
    pub async fn ask<R: InternalRequest>(&self, request: &R) -> Result<R::Answer, Error> {
        self.ask_within(self.patience, request).await
    }

    /// As [`Workers::ask`], given up after `patience`.
    ///
    /// # Errors
    /// See [`Workers::ask`].
    pub async fn ask_within<R: InternalRequest>(&self, patience: Duration, request: &R) -> Result<R::Answer, Error> {
        let subject = Subject::internal(R::NAMESPACE, R::METHOD);
        let payload = serde_json::to_vec(request).map_err(|error| broken(R::METHOD, error))?;
        let answer = self.send(subject, None, "", payload, patience).await?;
        if let Some(error) = error_of(&answer) {
            return Err(error);
        }
        let body: Body<R::Answer> =
            serde_json::from_slice(&answer.payload).map_err(|error| broken(R::METHOD, error))?;
        Ok(body.data)
    }

    /// Passes a client's request on and returns the worker's answer as it came.
    ///
    /// # Errors
    /// 503 when nobody serves it or the bus is away, 504 when there is no answer in time.
    pub async fn pass_on(
        &self,
        subject: Subject,
        session: &Session,
        event_id: &str,
        data: impl Into<bytes::Bytes>,
    ) -> Result<Message, Error> {
        self.send(subject, Some(session.clone()), event_id, data, self.patience).await
    }

    async fn send(
        &self,
        subject: Subject,
        session: Option<Session>,
        event_id: &str,
        payload: impl Into<bytes::Bytes>,
        patience: Duration,
    ) -> Result<Message, Error> {
        let call = Call {
            session,
            event_id: event_id.to_owned(),
            budget_ms: patience.as_millis() as u64,
            sent_at_ms: chrono::Utc::now().timestamp_millis(),
            pod: self.pod.clone(),
        };
        // What this pod asks of its own accord is no part of a trace.
        let span = if telemetry::is_sampled() {
            info_span!(
                target: TRACE_ONLY,
                "bus",
                otel.name = %subject,
                otel.kind = "client",
                messaging.system = "nats",
                otel.status_code = Empty
            )
        } else {
            Span::none()
        };
        let headers =
            span.in_scope(|| call_headers(&call)).map_err(|error| Error::new(Code::BadRequest, error.to_string()))?;
        let answer = self.bus.request(subject, headers, payload, patience).instrument(span.clone()).await;
        answer.map_err(|error| {
            span.record("otel.status_code", "ERROR");
            failed(&error)
        })
    }
}

fn failed(error: &BusError) -> Error {
    match error {
        BusError::NoResponders => Error::new(Code::Unavailable, "nobody can serve this now"),
        BusError::Away => Error::new(Code::Unavailable, "the bus is away"),
        BusError::Refused(_) => Error::new(Code::Unavailable, "the bus refuses it"),
        BusError::Timeout => Error::new(Code::DeadlineExceeded, "not answered in time"),
        BusError::TooLarge => Error::new(Code::TooLarge, "the request is too large"),
        BusError::BadHeader(_) => Error::new(Code::BadRequest, "the request can not be passed on"),
    }
}

#[derive(serde::Deserialize)]
struct Body<T> {
    data: T,
}

#[derive(serde::Deserialize)]
struct FailureBody {
    error: Failure,
}

#[derive(serde::Deserialize)]
struct Failure {
    message: String,
}

/// The error that an answer carries.
fn error_of(answer: &Message) -> Option<Error> {
    let code = code_of(answer)?;
    let message = serde_json::from_slice::<FailureBody>(&answer.payload).map(|body| body.error.message);
    Some(Error::new(code, message.unwrap_or_default()))
}

/// The error code that an answer carries in its header.
pub fn code_of(answer: &Message) -> Option<Code> {
    let code = answer.headers.get(HeaderName::Code)?;
    Some(code.parse().ok().and_then(Code::from_number).unwrap_or(Code::Internal))
}

fn call_headers(call: &Call) -> Result<Headers, BusError> {
    let json = serde_json::to_string(call).expect("a call is JSON");
    let headers = Headers::new().with(HeaderName::Call, json)?;
    match telemetry::trace_parent() {
        Some(parent) => headers.with(HeaderName::TraceParent, parent),
        None => Ok(headers),
    }
}

/// What a worker has answered can not be understood: logged with the id that the client is told.
pub fn broken(method: &str, error: impl fmt::Display) -> Error {
    let id = uuid::Uuid::now_v7();
    tracing::error!(%id, method, %error, "a worker and this gateway do not understand each other");
    Error::new(Code::Internal, id.to_string())
}

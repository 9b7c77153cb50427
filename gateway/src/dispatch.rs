//! From a client's request to a subject, and from the worker's answer to a frame. Knows namespaces, no endpoint.

use std::sync::Arc;

use metrics::{counter, histogram};
use shared::{
    api::{self, Code, Error},
    bus::Subject,
    telemetry::{self, TRACE_ONLY},
};
use tokio::time::Instant;
use tracing::{Instrument as _, field::Empty, info_span};

use crate::{
    hub::{InFlight, Socket},
    transport::{Request, RequestTag},
    workers::{Workers, broken, code_of},
};

/// Passes a request on and queues its answer. `in_flight` is given back afterwards. A trace of the request begins here.
pub async fn dispatch(workers: Workers, socket: Arc<Socket>, request: Request, in_flight: InFlight) {
    let span = info_span!(
        target: TRACE_ONLY,
        "request",
        otel.name = request.tag.endpoint.as_deref().filter(|endpoint| route(endpoint).is_ok()).unwrap_or("no such endpoint"),
        otel.kind = "server",
        convene.network = socket.session.network,
        event_id = request.event_id,
        code = Empty,
        otel.status_code = Empty
    );
    let code = pass_on(workers, socket, request, in_flight).instrument(span.clone()).await;
    telemetry::record_code(&span, code);
}

/// Returns what the request was answered with; 0 is a good answer.
async fn pass_on(workers: Workers, socket: Arc<Socket>, request: Request, in_flight: InFlight) -> u16 {
    let begun = Instant::now();
    // What is waited for is the answer: the data is not kept meanwhile.
    let Request { tag, event_id, data } = request;
    let (namespace, outcome) = match route(tag.endpoint.as_deref().unwrap_or_default()) {
        Ok((namespace, subject)) => (namespace, workers.pass_on(subject, &socket.session, &event_id, data).await),
        Err(error) => ("none", Err(error)),
    };
    let outcome = outcome.and_then(|answer| {
        let body = str::from_utf8(&answer.payload);
        let body = body.map_err(|error| broken(tag.endpoint.as_deref().unwrap_or_default(), error))?;
        queue_answer(&socket, &tag, body);
        Ok(code_of(&answer))
    });
    let code = match outcome {
        Ok(code) => code,
        Err(error) => {
            answer_error(&socket, &tag, &error);
            Some(error.code)
        }
    };
    drop(in_flight);
    let code = code.map_or(0, Code::number);
    counter!("convene_requests_total", "namespace" => namespace, "code" => code.to_string()).increment(1);
    histogram!("convene_request_seconds", "namespace" => namespace).record(begun.elapsed().as_secs_f64());
    code
}

/// Answers a request, or a frame that could not be understood, with an error.
pub fn answer_error(socket: &Socket, tag: &RequestTag, error: &Error) {
    queue_answer(socket, tag, &api::failure_body(error));
}

fn queue_answer(socket: &Socket, tag: &RequestTag, body: &str) {
    socket.outbox.push([socket.protocol.answer(tag, body)]);
}

/// The namespace and the subject of an endpoint.
fn route(endpoint: &str) -> Result<(&'static str, Subject), Error> {
    if endpoint == api::TEST_VERSION_NOT_SUPPORTED {
        return Err(version_not_supported());
    }
    endpoint
        .split_once(':')
        .and_then(|(namespace, method)| {
            let namespace = *api::NAMESPACES.iter().find(|known| **known == namespace)?;
            Some((namespace, Subject::rpc(namespace, method)?))
        })
        .ok_or_else(|| Error::new(Code::NotFound, "no such endpoint"))
}

/// What clients below the minimum version are answered.
pub fn version_not_supported() -> Error {
    Error::new(Code::VersionNotSupported, "this version of the client is not supported")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_namespaces_reach_a_subject_and_nothing_else_does() {
        let (namespace, subject) = route("meeting:createMeeting").expect("documented");
        assert_eq!((namespace, subject.as_str()), ("meeting", "rpc.meeting.createMeeting"));
        for unknown in [
            "",
            ":",
            "meeting",
            "meeting:",
            "user:connect",
            "internal:x",
            "events:page",
            "meeting:a.b",
            "meeting:*",
            "meeting:>",
            "Meeting:getMeeting",
        ] {
            assert_eq!(route(unknown).expect_err(unknown).code, Code::NotFound, "{unknown}");
        }
        assert_eq!(route("testVersionNotSupported").expect_err("always").code, Code::VersionNotSupported);
    }

    proptest::proptest! {
        #[test]
        fn a_subject_is_a_documented_namespace_and_one_word(
            endpoint in "\\PC{0,40}|(meeting|social|user|internal|rpc|\\$SYS)[:.]{0,2}\\PC{0,70}|(meeting|social):[a-zA-Z0-9.*> \r\n\t]{0,80}"
        ) {
            if let Ok((namespace, subject)) = route(&endpoint) {
                let method = endpoint.strip_prefix(namespace).and_then(|rest| rest.strip_prefix(':')).expect("the method");
                proptest::prop_assert!(api::NAMESPACES.contains(&namespace));
                proptest::prop_assert!((1..=64).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                proptest::prop_assert_eq!(subject.as_str(), format!("rpc.{namespace}.{method}"));
            }
        }
    }
}

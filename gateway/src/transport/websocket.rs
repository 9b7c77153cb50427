//! The plain frames of `/ws`: one JSON object in each text message.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::api::{Close, Code, Error, NO_ERROR, input};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Incoming, Protocol, PushedEvent, Request, RequestTag};

/// `event.id` has at most so many characters.
const MAX_EVENT_ID_CHARS: usize = 128;

/// What the server sends for a sign of life, and takes for one, where there is no ping: an empty object.
const HEARTBEAT: &str = "{}";

/// The plain frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Clients answer the pings of the WebSocket protocol.
    Pinged,
    /// `heartbeat=text`, for those that see no ping: web pages, Unity.
    TextHeartbeat,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    endpoint: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
}

/// The `event` of a request. Its date is the client's own affair, but has to be one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestEvent {
    id: String,
    #[serde(rename = "date")]
    _date: shared::api::Timestamp,
}

impl Protocol for Plain {
    fn read(&self, text: Utf8Bytes) -> Incoming {
        if *self == Self::TextHeartbeat && is_heartbeat(&text) {
            return Incoming::Heartbeat;
        }
        let mut tag = RequestTag::default();
        match read_frame(&text, &mut tag) {
            Ok((event_id, data)) => Incoming::Request(Request { tag, event_id, data }),
            Err(error) => Incoming::Malformed(tag, error),
        }
    }

    fn answer(&self, request: &RequestTag, body: &str) -> Utf8Bytes {
        let mut frame = String::with_capacity(body.len() + 96);
        frame.push('{');
        if let Some(id) = &request.id {
            frame.push_str(r#""id":"#);
            frame.push_str(id);
            frame.push(',');
        }
        if let Some(endpoint) = &request.endpoint {
            frame.push_str(r#""endpoint":"#);
            frame.push_str(&json_string(endpoint));
            frame.push(',');
        }
        frame.push_str(body.strip_prefix('{').unwrap_or(body));
        frame.into()
    }

    fn event(&self, event: &PushedEvent) -> Utf8Bytes {
        event
            .plain
            .get_or_init(|| {
                let (name, id) = (json_string(&event.name), json_string(&event.id));
                format!(r#"{{"event":{name},"eventId":{id},"data":{},"error":{NO_ERROR}}}"#, event.data.get()).into()
            })
            .clone()
    }

    fn user_info(&self, data: &RawValue, last_event_id: &str, ping_interval: Duration) -> Utf8Bytes {
        let (id, data) = (json_string(last_event_id), data.get());
        let ping_interval = match self {
            Self::Pinged => String::new(),
            Self::TextHeartbeat => format!(r#""pingInterval":{},"#, ping_interval.as_millis()),
        };
        format!(r#"{{"event":"user_info","lastEventId":{id},{ping_interval}"data":{data},"error":{NO_ERROR}}}"#).into()
    }

    fn resync_required(&self) -> Utf8Bytes {
        format!(r#"{{"event":"resyncRequired","data":{{}},"error":{NO_ERROR}}}"#).into()
    }

    fn invalid_connection(&self, close: Close) -> Utf8Bytes {
        format!(r#"{{"event":"invalidConnection","error":{}}}"#, close.error_json()).into()
    }

    fn ping(&self) -> Message {
        match self {
            Self::Pinged => Message::Ping(Bytes::new()),
            Self::TextHeartbeat => Message::Text(Utf8Bytes::from_static(HEARTBEAT)),
        }
    }
}

/// Whether this is the empty object, however it is spaced.
fn is_heartbeat(text: &str) -> bool {
    let inside = text.trim_ascii().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// Reads a frame, noting in `tag` whatever an answer can repeat, also when the frame is malformed further on.
fn read_frame(text: &Utf8Bytes, tag: &mut RequestTag) -> Result<(String, Bytes), Error> {
    if !text.trim_start().starts_with('{') {
        return Err(bad("a frame is one JSON object"));
    }
    let frame: Frame<'_> =
        serde_json::from_str(text).map_err(|error| bad(format!("the frame is not JSON: {error}")))?;
    if let Some(id) = frame.id.filter(|id| id.get() != "null") {
        if !matches!(id.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9')) {
            return Err(bad("id: expected a string or a number"));
        }
        if id.get().starts_with('"') {
            input::from_json::<String>("id", id.get())?;
        }
        tag.id = Some(id.get().to_owned());
    }
    let endpoint = frame.endpoint.filter(|endpoint| endpoint.get() != "null");
    let endpoint = endpoint.ok_or_else(|| bad("endpoint: is missing"))?;
    tag.endpoint = Some(input::from_json("endpoint", endpoint.get())?);

    let event: RequestEvent = match frame.event.filter(|event| event.get() != "null") {
        Some(event) => input::from_json("event", event.get())?,
        None => RequestEvent::default(),
    };
    if event.id.chars().count() > MAX_EVENT_ID_CHARS {
        return Err(bad(format!("event.id: has more than {MAX_EVENT_ID_CHARS} characters")));
    }
    if event.id.chars().any(char::is_control) {
        return Err(bad("event.id: has a control character"));
    }
    let data = match frame.data.map(RawValue::get) {
        None | Some("null") => Bytes::from_static(b"{}"),
        Some(data) => Bytes::from(text.clone()).slice_ref(data.as_bytes()),
    };
    Ok((event.id, data))
}

fn bad(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::BadRequest, message)
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(text: &str) -> (RequestTag, String) {
        match Plain::Pinged.read(text.into()) {
            Incoming::Malformed(tag, error) => {
                assert_eq!(error.code, Code::BadRequest, "{text}");
                (tag, error.message.into_owned())
            }
            other => panic!("{text} was read as {other:?}"),
        }
    }

    fn request(text: &str) -> Request {
        match Plain::Pinged.read(text.into()) {
            Incoming::Request(request) => request,
            other => panic!("{text} was read as {other:?}"),
        }
    }

    #[test]
    fn data_is_passed_on_byte_for_byte() {
        let request =
            request(r#"{"id":7,"endpoint":"meeting:getMeeting","data": {"b":1.50,"a":[ ]} ,"event":{"id":"e1"}}"#);
        assert_eq!(&request.data[..], br#"{"b":1.50,"a":[ ]}"#);
        assert_eq!(request.event_id, "e1");
        assert_eq!(request.tag, RequestTag { id: Some("7".into()), endpoint: Some("meeting:getMeeting".into()) });
    }

    #[test]
    fn missing_and_null_members_read_alike() {
        for text in [r#"{"endpoint":"e"}"#, r#"{"id":null,"endpoint":"e","data":null,"event":null}"#] {
            let request = request(text);
            assert_eq!(
                (request.tag.id, request.event_id.as_str(), &request.data[..]),
                (None, "", &b"{}"[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn the_id_is_echoed_as_it_came() {
        for id in ["7", "-0", "1.50", "1e400", r#""a\u00e9\"""#, r#""""#] {
            let request = request(&format!(r#"{{"id":{id},"endpoint":"e"}}"#));
            let answer = Plain::Pinged.answer(&request.tag, r#"{"error":{}}"#);
            assert_eq!(answer.as_str(), format!(r#"{{"id":{id},"endpoint":"e","error":{{}}}}"#));
        }
    }

    #[test]
    fn a_malformed_frame_is_answered_with_the_id_that_it_has() {
        let none = RequestTag::default();
        for text in ["", "7", "[]", "null", "{", r#"{"id":7"#, "{} {}", "\u{feff}{}", r#"{"id":1,"id":2}"#] {
            assert_eq!(malformed(text).0, none, "{text}");
        }
        for id in ["true", "{}", "[1]", r#""\u0000""#] {
            assert_eq!(malformed(&format!(r#"{{"id":{id},"endpoint":"e"}}"#)).0, none, "{id}");
        }
        let with_id = RequestTag { id: Some("7".into()), endpoint: None };
        for text in [r#"{"id":7}"#, r#"{"id":7,"endpoint":null}"#, r#"{"id":7,"endpoint":8}"#] {
            let (tag, message) = malformed(text);
            assert_eq!(tag, with_id, "{text}");
            assert!(message.starts_with("endpoint: "), "{message}");
        }
    }

    #[test]
    fn an_event_id_that_could_not_be_kept_is_refused_by_name() {
        let long = "é".repeat(129);
        for event in [&format!(r#"{{"id":"{long}"}}"#), r#"{"id":"a\nb"}"#, r#"{"id":5}"#, r#"{"date":"today"}"#, "[]"]
        {
            let (tag, message) = malformed(&format!(r#"{{"id":7,"endpoint":"e","event":{event}}}"#));
            assert!(message.starts_with("event"), "{message}");
            assert_eq!(tag.id.as_deref(), Some("7"));
        }
        let kept = "é".repeat(128);
        assert_eq!(request(&format!(r#"{{"endpoint":"e","event":{{"id":"{kept}"}}}}"#)).event_id, kept);
    }

    #[test]
    fn an_empty_object_is_a_heartbeat_only_where_there_is_no_ping() {
        for text in ["{}", " {\n} "] {
            assert!(matches!(Plain::TextHeartbeat.read(text.into()), Incoming::Heartbeat), "{text:?}");
            assert_eq!(malformed(text).0, RequestTag::default(), "{text:?}");
        }
        for text in ["", "{", "}", "[]", "{}{}", "{{}}", r#"{"id":1}"#, "\u{a0}{}"] {
            assert!(matches!(Plain::TextHeartbeat.read(text.into()), Incoming::Malformed(..)), "{text:?}");
        }
    }

    #[test]
    fn an_event_is_encoded_once() {
        let data = RawValue::from_string("{}".into()).expect("JSON");
        let event = PushedEvent::new(
            "k3v",
            2,
            shared::internal::EventBody { name: "meeting:onMeetingCreated".into(), data },
            None,
        );
        let first = Plain::Pinged.event(&event);
        assert_eq!(
            first.as_str(),
            format!(r#"{{"event":"meeting:onMeetingCreated","eventId":"k3v.2","data":{{}},"error":{NO_ERROR}}}"#)
        );
        assert_eq!(first.as_bytes().as_ptr(), Plain::Pinged.event(&event).as_bytes().as_ptr());
    }
}

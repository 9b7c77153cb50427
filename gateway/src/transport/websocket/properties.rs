//! What holds for every text that a client can send.

use proptest::{prelude::*, sample::select};
use shared::api::{CustomMap, failure_body};

use super::*;

/// JSON that is hard on its readers.
fn hostile_json() -> impl Strategy<Value = String> {
    let nested = |open: &'static str, close: &'static str| {
        (0..200_usize).prop_map(move |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth)))
    };
    prop_oneof![
        select(
            &[
                "null",
                "true",
                "0",
                "-0",
                "1e999",
                "-1E-999",
                "18446744073709551616",
                "\"\"",
                "\"\\ud800\"",
                "\"\\udc00\\ud800\"",
                "\"\\u0000\"",
                "\"\u{7f}\u{85}\u{2028}\u{ffff}\u{10ffff}\"",
                "{\"a\":1,\"a\":2}",
                "{\"\":{\"\":[]}}",
                "[ ]",
                " {\t} ",
                "{\"$serde_json::private::RawValue\":\"x\"}",
                "{\"$serde_json::private::Number\":\"1\"}",
            ][..]
        )
        .prop_map(str::to_owned),
        (1..400_usize).prop_map(|digits| "9".repeat(digits)),
        nested("[", "]"),
        nested("{\"a\":", "}"),
        any::<String>().prop_map(|text| json_string(&text)),
        any::<f64>().prop_filter("JSON", |number| number.is_finite()).prop_map(|number| format!("{number:?}")),
    ]
}

/// A member's JSON and whether a request may have it; `None`: the member is not there.
type Member = Option<(String, bool)>;

fn member(good: impl Strategy<Value = String>, bad: &'static [&'static str]) -> impl Strategy<Value = Member> {
    prop_oneof![
        1 => Just(None),
        6 => good.prop_map(|json| Some((json, true))),
        1 => select(bad).prop_map(|json| Some((json.to_owned(), false))),
    ]
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("U+0000 is refused", |text| !text.contains('\0')).prop_map(|text| json_string(&text))
}

fn id() -> impl Strategy<Value = Member> {
    let number = select(&["7", "-0", "1.50", "1e400", "123456789012345678901234567890"][..]).prop_map(str::to_owned);
    let null = Just("null".to_owned());
    member(prop_oneof![text(), number, null], &["true", "{}", "[1]", "\"\\u0000\"", "\"\\ud800\"", "[[[[[]]]]]"])
}

fn endpoint() -> impl Strategy<Value = Member> {
    let known =
        select(&["\"meeting:getMeeting\"", "\"social:joinSession\"", "\"internal:*\"", "\"\\u006deeting:x\""][..]);
    member(
        prop_oneof![text(), known.prop_map(str::to_owned)],
        &["7", "[\"meeting:getMeeting\"]", "{}", "\"\\u0000\"", "\"\\udfff\""],
    )
}

fn event() -> impl Strategy<Value = Member> {
    let id = "[^\\p{C}]{0,128}".prop_map(|id| format!("{{\"id\":{}}}", json_string(&id)));
    let others = select(
        &[
            "null",
            "{}",
            "{\"id\":null}",
            "{\"date\":\"2030-05-04T09:30:00+02:00[Europe/Berlin]\",\"x\":[{}]}",
            "{\"date\":\"0001-01-01T00:00:00Z\"}",
        ][..],
    );
    let bad = &[
        "7",
        "\"a\"",
        "[]",
        "{\"id\":7}",
        "{\"id\":\"\\n\"}",
        "{\"id\":\"\\u009b\"}",
        "{\"date\":\"now\"}",
        "{\"date\":5}",
        "{\"x\":\"\\u0000\"}",
        "{\"id\":\"a\",\"id\":\"b\"}",
        "{\"x\":1e999}",
    ];
    member(prop_oneof![id, others.prop_map(str::to_owned)], bad)
}

/// The answer to a frame is one JSON object with the frame's own id and endpoint, whatever these are.
fn check_answer(tag: &RequestTag, error: &Error) {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Answer<'a> {
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
        #[serde(default)]
        endpoint: Option<String>,
        error: CustomMap,
    }
    let frame = Plain::Pinged.answer(tag, &failure_body(error));
    let answer: Answer<'_> = serde_json::from_str(&frame).expect("an answer is JSON");
    assert_eq!(answer.id.map(RawValue::get), tag.id.as_deref());
    assert_eq!(answer.endpoint, tag.endpoint);
    assert!(answer.error.as_str().contains("\"status\":true"));
}

/// What holds whatever was sent; whether it is a request.
fn check(text: &str) -> bool {
    match Plain::Pinged.read(text.into()) {
        Incoming::Request(request) => {
            assert!(request.tag.endpoint.is_some());
            assert!(
                request.event_id.chars().count() <= MAX_EVENT_ID_CHARS && !request.event_id.contains(char::is_control)
            );
            let data = std::str::from_utf8(&request.data).expect("a text");
            serde_json::from_str::<&RawValue>(data).expect("JSON, passed on as it came");
            assert!(data == "{}" || text.contains(data));
            check_answer(&request.tag, &bad("nothing"));
            true
        }
        Incoming::Heartbeat => panic!("nobody asked for one"),
        Incoming::Malformed(tag, error) => {
            assert_eq!(error.code, Code::BadRequest);
            check_answer(&tag, &error);
            false
        }
    }
}

proptest! {
    #[test]
    fn every_text_is_a_request_or_400(
        text in "\\PC{0,80}|[\\[\\]{}:,\"\\\\u0dDeE+.na \\n-]{0,80}|\\{\"(id|endpoint|data|event)\":\\PC{0,40}\\}"
    ) {
        check(&text);
    }

    #[test]
    fn a_frame_is_a_request_when_each_member_may_be_what_it_is(
        id in id(), endpoint in endpoint(), event in event(), data in proptest::option::of(hostile_json()),
        unknown in proptest::option::of(hostile_json()), order in Just([0, 1, 2, 3, 4]).prop_shuffle(),
    ) {
        let is_request = endpoint.is_some() && [&id, &endpoint, &event].into_iter().flatten().all(|(_, is_good)| *is_good);
        let json = |member: &Member| member.as_ref().map(|(json, _)| json.clone());
        let members = [
            ("id", json(&id)), ("endpoint", json(&endpoint)), ("event", json(&event)), ("data", data), ("unknown", unknown),
        ];
        let written = order.iter().filter_map(|index| {
            let (name, json) = &members[*index];
            Some(format!("\"{name}\":{}", json.as_ref()?))
        });
        let frame = format!("{{{}}}", written.collect::<Vec<_>>().join(","));
        prop_assert_eq!(check(&frame), is_request, "{}", frame);
    }

    #[test]
    fn a_member_that_is_there_twice_is_400(
        name in select(&["id", "endpoint", "data", "event"][..]), first in hostile_json(), second in hostile_json(),
    ) {
        let frame = format!("{{\"endpoint\":\"e\",\"{name}\":{first},\"{name}\":{second}}}");
        prop_assert!(!check(&frame));
    }
}

#[test]
fn no_depth_is_too_deep_to_be_refused_or_passed_on() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert!(check(&format!("{{\"endpoint\":\"e\",\"data\":{deep}}}")), "what is in it is the worker's business");
        for member in ["id", "endpoint", "event"] {
            assert!(!check(&format!("{{\"endpoint\":\"e\",\"{member}\":{deep}}}")), "{member}");
        }
        check(&deep);
        check(&open.repeat(100_000));
    }
}

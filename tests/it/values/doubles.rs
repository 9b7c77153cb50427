//! A number is kept as the double that was sent (V6).

use std::collections::BTreeSet;

use harness::{Client, Stack};
use serde_json::{Value, json};

use crate::{
    hostile::texts::shapes,
    meeting::{in_the_lobby, with},
    social::{in_january, named_event, yoga},
};

/// Doubles that a reader gets wrong which is content with nearly, and a writer that does not write the shortest text.
const HARD: [f64; 24] = [
    // 5/255 as a float32; the price of the same report.
    0.019607843831181526,
    12345678.910111213,
    // The least subnormal, one of the middle, the greatest, and the normal after it.
    5e-324,
    6.63123685e-316,
    2.225073858507201e-308,
    2.2250738585072014e-308,
    // Beside the greatest of all.
    1.7976931348623155e308,
    -1.7976931348623157e308,
    // Beside 1, and sums that are no sums.
    1.0000000000000002,
    0.9999999999999999,
    0.30000000000000004,
    -2.0000000000000004,
    // Where whole numbers end, and beyond what 64 bits hold.
    9007199254740991.0,
    9007199254740994.0,
    18446744073709551616.0,
    -9223372036854775808.0,
    // Texts of few digits that lie almost between two doubles.
    1e23,
    8.41e21,
    9.5e-6,
    4.35,
    // Ordinary ones of 17 digits, and zeros of both signs.
    -0.12345678901234568,
    52.520006599999995,
    0.0,
    -0.0,
];

/// The names of all numbers with a fraction.
const FLOATS: [&str; 10] = [
    "a",
    "b",
    "durationFloat",
    "g",
    "horizontalSensitivity",
    "latitude",
    "longitude",
    "price",
    "r",
    "verticalSensitivity",
];

#[test]
fn the_documents_have_no_other_numbers_with_a_fraction() {
    fn gather<'a>(shape: &'a Value, name: &'a str, found: &mut BTreeSet<&'a str>) {
        match shape {
            Value::Object(fields) => {
                for (field, shape) in fields {
                    gather(shape, if field == "[]" { name } else { field }, found);
                }
            }
            Value::String(kind) if kind == "float" => {
                found.insert(name);
            }
            _ => {}
        }
    }
    let (shapes, mut found) = (shapes(), BTreeSet::new());
    gather(&shapes, "", &mut found);
    assert_eq!(found, FLOATS.into());
}

/// The double at that place of the list, which has no end.
fn hard(index: usize) -> f64 {
    HARD[index % HARD.len()]
}

fn color(index: usize) -> Value {
    json!({"r": hard(index), "g": hard(index + 1), "b": hard(index + 2), "a": hard(index + 3)})
}

/// A price is no debt, but -0.0 is none.
fn price(index: usize) -> Value {
    let price = hard(index);
    json!(if price < 0.0 { -price } else { price })
}

/// Asserts that what was read holds the very doubles of what was sent.
#[track_caller]
fn assert_kept(what: &str, read: &Value, sent: &Value) {
    match (read, sent) {
        (Value::Object(fields), Value::Object(sent)) => {
            for (name, sent) in sent {
                assert_kept(&format!("{what}.{name}"), fields.get(name).unwrap_or(&Value::Null), sent);
            }
        }
        _ => {
            let bits = |value: &Value| value.as_f64().map(f64::to_bits);
            assert!(sent.is_f64() && bits(read) == bits(sent), "{what}: {read} for {sent}");
        }
    }
}

/// The next event, of that name, holds this.
async fn assert_told(client: &mut Client, name: &str, path: &str, sent: &Value) {
    let event = client.event(name).await;
    assert_kept(name, event["data"].pointer(path).expect("what is told"), sent);
}

/// The directory's picture of a room.
fn thumbnail(index: usize) -> Value {
    json!({
        "metadata": {"geolocation": {"latitude": hard(index), "longitude": hard(index + 1)}},
        "data": {"audio": {"durationFloat": hard(index + 2)}, "video": {"durationFloat": hard(index + 3)}},
    })
}

async fn unlimited() -> Stack {
    Stack::builder().gateway_arg("--rate-limit=100000").gateway_arg("--rate-burst=100000").start().await
}

#[tokio::test]
async fn v6_meetings_and_rooms_keep_the_doubles_that_were_sent() {
    let stack = unlimited().await;
    let mut alice = stack.client(0, "alice").await;
    let range = json!({"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-01-02T00:00:00Z"});
    let whole_network = with(range.clone(), json!({"sourceType": "network", "sourceIds": []}));
    for index in 0..HARD.len() {
        let (first, second, third) = (color(index), color(index + 5), color(index + 11));
        let picture = thumbnail(index);
        let room = json!({"kind": "room", "id": "lobby", "thumbnail": picture});
        stack.import_all(&[room]).await;

        let sent = with(in_the_lobby(&[]), json!({"color": first}));
        let answer = alice.call_once(&format!("e{index}"), "meeting:createMeeting", sent.clone()).await;
        assert_kept("createMeeting", &answer["data"]["meeting"]["color"], &first);
        assert_told(&mut alice, "meeting:onMeetingCreated", "/meeting/color", &first).await;
        let twin = alice.event("meeting:meetingUpdated").await;
        assert_kept("meetingUpdated", &twin["data"]["meeting"]["color"], &first);
        assert_kept("meetingUpdated", &twin["data"]["meeting"]["room"]["thumbnail"], &picture);
        let again = alice.call_once(&format!("e{index}"), "meeting:createMeeting", sent.clone()).await;
        assert_kept("the answer to a request that is sent again", &again["data"]["meeting"]["color"], &first);

        let named = json!({"meetingId": answer["data"]["meeting"]["meetingId"]});
        let mut shown = first;
        for (endpoint, change, at) in [
            ("meeting:updateMeeting", json!({"color": second}), second),
            ("meeting:update", json!({"meeting": {"color": third}}), third),
        ] {
            for (endpoint, data, path) in [
                ("meeting:getMeeting", &named, "/meeting"),
                ("meeting:get", &named, "/meeting"),
                ("meeting:listUserMeetings", &whole_network, "/meetings/0"),
                ("meeting:listUserMeetingsInDateRange", &range, "/meetings/0"),
            ] {
                let answer = alice.ask(endpoint, data.clone()).await;
                let meeting = answer.pointer(path).expect("the meeting");
                assert_kept(endpoint, &meeting["color"], &shown);
                if meeting.get("room").is_some() {
                    assert_kept(endpoint, &meeting["room"]["thumbnail"], &picture);
                }
            }
            let answer = alice.ask(endpoint, with(named.clone(), change)).await;
            assert_kept(endpoint, &answer["meeting"]["color"], &at);
            assert_told(&mut alice, "meeting:onMeetingUpdated", "/meeting/color", &at).await;
            assert_told(&mut alice, "meeting:meetingUpdated", "/meeting/color", &at).await;
            shown = at;
        }
        alice.ask("meeting:deleteMeeting", named).await;
        alice.event("meeting:onMeetingDeleted").await;
        alice.event("meeting:meetingDeleted").await;

        let new = with(range.clone(), json!({"subject": "Plans", "roomId": "lobby", "color": shown}));
        let answer = alice.ask("meeting:create", json!({"meeting": new})).await;
        assert_kept("create", &answer["meeting"]["color"], &shown);
        assert_kept("create", &answer["meeting"]["room"]["thumbnail"], &picture);
        assert_told(&mut alice, "meeting:onMeetingCreated", "/meeting/color", &shown).await;
        assert_told(&mut alice, "meeting:meetingUpdated", "/meeting/color", &shown).await;
        alice.ask("meeting:delete", json!({"meetingId": answer["meeting"]["id"]})).await;
        alice.event("meeting:onMeetingDeleted").await;
        alice.event("meeting:meetingDeleted").await;
    }
}

#[tokio::test]
async fn v6_social_events_and_sessions_keep_the_doubles_that_were_sent() {
    let stack = unlimited().await;
    let mut alice = stack.client(0, "alice").await;
    for index in 0..HARD.len() {
        let (first, second) = (price(index), price(index + 7));
        let event = with(in_january(), json!({"price": first}));
        let answer = alice.ask("social:createEvent", json!({"source": "network:demo", "event": event})).await;
        assert_kept("createEvent", &answer["event"]["price"], &first);
        let named = named_event(&answer["event"]);
        let answer = alice.ask("social:publishEvent", named.clone()).await;
        assert_kept("publishEvent", &answer["event"]["price"], &first);
        let answer = alice.ask("social:updateEvent", with(named.clone(), json!({"event": {"price": second}}))).await;
        assert_kept("updateEvent", &answer["event"]["price"], &second);
        let got = alice.ask("social:getEvent", named.clone()).await;
        assert_kept("getEvent", &got["event"]["price"], &second);
        let listed = alice.ask("social:getEvents", json!({"source": "network:demo"})).await;
        assert_kept("getEvents", &listed["events"][0]["price"], &second);

        let (first, second) = (color(index), color(index + 5));
        let new = with(yoga(Some(&got["event"])), json!({"color": first, "roomId": "stage", "propId": "screen"}));
        let answer = alice.ask("social:createSession", json!({"session": new})).await;
        assert_kept("createSession", &answer["session"]["color"], &first);
        assert_told(&mut alice, "social:sessionUpdated", "/session/color", &first).await;
        let session = json!({"sessionId": answer["session"]["id"]});
        let change = json!({"session": {"id": answer["session"]["id"], "color": second}});
        let answer = alice.ask("social:updateSession", change).await;
        assert_kept("updateSession", &answer["session"]["color"], &second);
        assert_told(&mut alice, "social:sessionUpdated", "/session/color", &second).await;
        for (endpoint, data, path) in [
            ("social:getSession", session, "/session"),
            ("social:getSessions", named.clone(), "/sessions/0"),
            ("social:getPropSessions", json!({"roomId": "stage", "propId": "screen"}), "/sessions/0"),
        ] {
            let answer = alice.ask(endpoint, data).await;
            assert_kept(endpoint, &answer.pointer(path).expect("the session")["color"], &second);
        }
        alice.ask("social:deleteEvent", named).await;
        alice.event("social:sessionDeleted").await;
    }
}

#[tokio::test]
async fn v6_settings_of_the_directory_keep_the_doubles_that_were_sent() {
    let stack = unlimited().await;
    for index in 0..HARD.len() {
        let navigation = json!({"verticalSensitivity": hard(index), "horizontalSensitivity": hard(index + 1)});
        let line = json!({"kind": "user", "id": "dave", "userSettings": {"navigation": navigation}});
        stack.import_all(&[line]).await;
        let mut dave = stack.connect(0, "dave").let_in().await;
        let info = dave.event("user_info").await;
        assert_kept("user_info", &info["data"]["userSettings"]["navigation"], &navigation);
        dave.close().await;
    }
}

#[tokio::test]
async fn v6_a_number_is_read_exactly_however_it_is_written() {
    let stack = unlimited().await;
    let mut alice = stack.client(0, "alice").await;
    for (written, read) in [
        ("0.019607843831181526", 0.019607843831181526),
        ("1.960784383118152618408203125e-2", 0.019607843831181526),
        ("12345678.910111213", 12345678.910111213),
        ("9007199254740993", 9007199254740992.0),
        ("9007199254740993.00000000000000000001", 9007199254740994.0),
        ("123456789012345678901234567890", 1.2345678901234568e29),
        ("2.2250738585072011e-308", 2.225073858507201e-308),
        ("36e2", 3600.0),
        ("1e-400", 0.0),
    ] {
        let meeting = in_the_lobby(&[]).to_string().replace(r#""g":0.5"#, &format!(r#""g":{written}"#));
        alice.send_text(&format!(r#"{{"id":"x","endpoint":"meeting:createMeeting","data":{meeting}}}"#)).await;
        let answer = alice.next_answer().await;
        assert_kept(written, &answer["data"]["meeting"]["color"]["g"], &json!(read));
    }
}

#[tokio::test]
async fn v6_a_zero_keeps_its_sign_when_nothing_else_changes() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.client(0, "alice").await;
    let color = |zero: f64| json!({"r": zero, "g": 1.0, "b": zero, "a": 1.0});
    let meeting = alice.ask("meeting:createMeeting", with(in_the_lobby(&[]), json!({"color": color(0.0)}))).await;
    let named = json!({"meetingId": meeting["meeting"]["meetingId"]});
    alice.ask("meeting:updateMeeting", with(named.clone(), json!({"color": color(-0.0)}))).await;
    let got = alice.ask("meeting:getMeeting", named).await;
    assert_kept("getMeeting", &got["meeting"]["color"], &color(-0.0));

    let event = with(in_january(), json!({"price": 0.0}));
    let event = alice.ask("social:createEvent", json!({"source": "network:demo", "event": event})).await;
    let named = named_event(&event["event"]);
    alice.ask("social:updateEvent", with(named.clone(), json!({"event": {"price": -0.0}}))).await;
    let got = alice.ask("social:getEvent", named).await;
    assert_kept("getEvent", &got["event"]["price"], &json!(-0.0));

    let session = with(yoga(None), json!({"color": color(0.0)}));
    let session = alice.ask("social:createSession", json!({"session": session})).await["session"].take();
    let change = json!({"session": {"id": session["id"], "color": color(-0.0)}});
    alice.ask("social:updateSession", change).await;
    let got = alice.ask("social:getSession", json!({"sessionId": session["id"]})).await;
    assert_kept("getSession", &got["session"]["color"], &color(-0.0));
}

//! What a client may send, and what it is answered when it sends something else.

use harness::{Client, Connect, Stack, eventually, stack::http, token};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// Frame, the `id` of its answer, the code, and how the message begins.
const MALFORMED: &[(&str, &str, u16, &str)] = &[
    ("", "null", 400, "a frame is one JSON object"),
    ("nonsense", "null", 400, "a frame is one JSON object"),
    ("7", "null", 400, "a frame is one JSON object"),
    ("[]", "null", 400, "a frame is one JSON object"),
    ("{", "null", 400, "the frame is not JSON"),
    (r#"{"id":1,"endpoint":"meeting:getMeeting"} x"#, "null", 400, "the frame is not JSON"),
    (r#"{"id":1}"#, "1", 400, "endpoint: "),
    (r#"{"id":"a","endpoint":5}"#, r#""a""#, 400, "endpoint: "),
    (r#"{"id":{},"endpoint":"meeting:getMeeting"}"#, "null", 400, "id: "),
    (r#"{"id":true,"endpoint":"meeting:getMeeting"}"#, "null", 400, "id: "),
    (r#"{"id":1,"endpoint":""}"#, "1", 404, ""),
    (r#"{"id":1,"endpoint":"getMeeting"}"#, "1", 404, ""),
    (r#"{"id":1,"endpoint":"meeting:noSuch"}"#, "1", 404, ""),
    (r#"{"id":1,"endpoint":"user:connect"}"#, "1", 404, ""),
    (r#"{"id":1,"endpoint":"internal:page"}"#, "1", 404, ""),
    (r#"{"id":1,"endpoint":"meeting:*"}"#, "1", 404, ""),
    (r#"{"id":1,"endpoint":"meeting:get.Meeting"}"#, "1", 404, ""),
    (r#"{"id":1,"endpoint":"meeting:getMeeting","data":[]}"#, "1", 400, "data"),
    (r#"{"id":1,"endpoint":"meeting:getMeeting","data":{"meetingId":7}}"#, "1", 400, "data.meetingId: "),
    (r#"{"id":1,"endpoint":"meeting:getMeeting","data":{"meetingId":"a\u0000"}}"#, "1", 400, "data.meetingId: "),
    (r#"{"id":1,"endpoint":"meeting:getMeeting","data":{"meetingId":"no uuid"}}"#, "1", 404, ""),
    (r#"{"id":1,"endpoint":"meeting:getMeeting","data":{}}"#, "1", 400, "data.meetingId: expected an identifier"),
    (r#"{"id":1,"endpoint":"meeting:getMeeting","event":7}"#, "1", 400, "event"),
    (r#"{"id":1,"endpoint":"meeting:getMeeting","event":{"id":"a\nb"}}"#, "1", 400, "event.id: "),
    (r#"{"id":1,"endpoint":"meeting:getMeeting","event":{"date":"yesterday"}}"#, "1", 400, "event.date: "),
    (r#"{"id":1,"endpoint":"meeting:createMeeting","data":{"color":{"r":"red"}}}"#, "1", 400, "data.color.r: "),
    (r#"{"id":1,"endpoint":"meeting:createMeeting","data":{"color":{"r":1e999}}}"#, "1", 400, "data.color.r: "),
    (
        r#"{"id":1,"endpoint":"meeting:createMeeting","data":{"invitedUserIds":["bob",5]}}"#,
        "1",
        400,
        "data.invitedUserIds[1]: ",
    ),
    (
        r#"{"id":1,"endpoint":"meeting:createMeeting","data":{"startDate":"2026-13-01T00:00:00Z"}}"#,
        "1",
        400,
        "data.startDate: ",
    ),
    (r#"{"id":1,"endpoint":"testVersionNotSupported"}"#, "1", 426, ""),
];

#[tokio::test]
async fn every_malformed_frame_gets_the_documented_answer() {
    let stack = Stack::builder().processes().start().await;
    let mut client = stack.client(0, "alice").await;
    for (frame, id, code, message) in MALFORMED {
        client.send_text(frame).await;
        let answer = client.next_answer().await;
        let id: Value = serde_json::from_str(id).expect("JSON");
        assert_eq!(answer["id"], id, "{frame}: {answer}");
        assert_eq!(answer["error"]["code"], *code, "{frame}: {answer}");
        assert_eq!(answer["error"]["status"], true, "{frame}: {answer}");
        assert!(answer.get("data").is_none(), "{frame}: {answer}");
        let text = answer["error"]["message"].as_str().expect("a message");
        assert!(text.starts_with(message) && !text.is_empty(), "{frame}: {answer}");
    }
    client.no_event().await;
    assert!(!stack.logged().contains("panicked"));
}

#[tokio::test]
async fn every_bad_token_is_401_and_none_is_logged() {
    let stack = Stack::builder().processes().start().await;
    let claims = |change: Value| {
        let mut claims = json!({"sub": "alice", "net": "demo", "sid": "s", "exp": 4_000_000_000_u64});
        for (name, value) in change.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        token::sign(&claims)
    };
    let good = claims(json!({}));
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = signed.split_once('.').expect("three parts");
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let bad = [
        String::new(),
        "nonsense".to_owned(),
        "a.b.c".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{header}.{payload}x.{signature}"),
        unsigned,
        claims(json!({"exp": 1_000_000_000})),
        claims(json!({"exp": "tomorrow"})),
        claims(json!({"exp": null})),
        claims(json!({"nbf": 3_900_000_000_u64})),
        claims(json!({"sub": ""})),
        claims(json!({"sub": null})),
        claims(json!({"sub": 7})),
        claims(json!({"net": "a:b"})),
        claims(json!({"sid": ""})),
        claims(json!({"sid": "a\nb"})),
        claims(json!({"sub": "x".repeat(129)})),
    ];
    for token in &bad {
        let refused = Connect::to(stack.gateways[0].public).query("sessionId", token).open().await.expect_err(token);
        assert_eq!((refused.status, &refused.body["error"]["code"]), (401, &json!(401)), "{token}");
    }
    let mut client = Connect::to(stack.gateways[0].public).query("sessionId", &good).open().await.expect("let in");
    client.event("user_info").await;
    client.call("meeting:getMeeting", json!({"meetingId": "x"})).await;
    let logged = stack.logged();
    for token in bad.iter().chain([&good]).filter(|token| token.len() > 20) {
        assert!(!logged.contains(token.as_str()), "{token}");
    }
    assert!(logged.contains("the gateway starts"), "the log is there to be searched");
    assert!(!logged.contains("panicked"));
}

#[tokio::test]
async fn a_plain_http_request_is_told_what_is_wrong() {
    let stack = Stack::builder().start().await;
    let url = |path: &str| format!("http://{}{path}", stack.gateways[0].public);
    let http = http();
    let status = async |request: reqwest::RequestBuilder| request.send().await.expect("an answer").status().as_u16();
    assert_eq!(status(http.get(url("/ws"))).await, 400);
    let token = token::token("alice", "demo", "s");
    assert_eq!(status(http.get(url("/ws")).bearer_auth(&token)).await, 400);
    assert_eq!(status(http.get(url("/socket.io/?EIO=4&transport=websocket"))).await, 404);
    assert_eq!(status(http.get(url("/admin/users/alice/presence"))).await, 404);
    let not_found = http.get(url("/nowhere")).send().await.expect("an answer");
    let body: Value = not_found.json().await.expect("the envelope");
    assert_eq!((&body["error"]["code"], &body["error"]["status"]), (&json!(404), &json!(true)));
}

#[tokio::test]
async fn requests_without_an_id_are_answered_without_one() {
    let stack = Stack::builder().start().await;
    let mut client = stack.client(0, "alice").await;
    client.send_text(r#"{"endpoint":"meeting:getMeeting","data":{"meetingId":"x"}}"#).await;
    let answer = client.next_answer().await;
    assert_eq!((&answer["endpoint"], &answer["error"]["code"]), (&json!("meeting:getMeeting"), &json!(404)));
    assert!(answer.get("id").is_none());
}

#[tokio::test]
async fn binary_and_oversized_frames_close_with_their_codes() {
    let stack = Stack::builder().gateway_arg("--max-frame-bytes=10000").start().await;
    let mut client = stack.client(0, "alice").await;
    client.send_message(Message::binary(b"{}".as_slice())).await;
    assert_eq!(client.closed().await, Some(1003));
    for bytes in [10_001, 100_000] {
        let mut client = stack.client(0, "alice").await;
        client.send_text(&"x".repeat(bytes)).await;
        assert_eq!(client.closed().await, Some(1009), "{bytes}");
    }
    let mut client = stack.client(0, "alice").await;
    client.send_text(&format!("{:10000}", r#"{"id":1,"endpoint":"testVersionNotSupported"}"#)).await;
    assert_eq!(client.next_answer().await["error"]["code"], 426);
}

#[tokio::test]
async fn requests_over_the_rate_are_705_and_too_many_of_those_close_the_socket() {
    let stack = Stack::builder().gateway_arg("--rate-limit=1").gateway_arg("--rate-burst=5").start().await;
    let mut client = stack.client(0, "alice").await;
    for _ in 0..20 {
        client.send("meeting:getMeeting", json!({"meetingId": "x"}), None).await;
    }
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(client.next_answer().await["error"]["code"].as_u64().expect("a code"));
    }
    let refused = codes.iter().filter(|code| **code == 705).count();
    assert!((10..=15).contains(&refused), "{codes:?}");
    for _ in 0..300 {
        if !client.try_send_message(Message::text(r#"{"endpoint":"x"}"#)).await {
            break;
        }
    }
    assert_eq!(client.closed().await, Some(4500));
}

#[tokio::test]
async fn more_requests_in_flight_than_allowed_are_705() {
    let stack = Stack::builder().gateway_arg("--max-in-flight=2").start().await;
    let mut client = stack.client(0, "alice").await;
    for _ in 0..60 {
        client.send("meeting:getMeeting", json!({"meetingId": "x"}), None).await;
    }
    let mut codes = std::collections::BTreeMap::new();
    for _ in 0..60 {
        *codes.entry(client.next_answer().await["error"]["code"].as_u64().expect("a code")).or_insert(0) += 1;
    }
    assert!(codes[&404] >= 2 && codes[&705] >= 1, "{codes:?}");
}

#[tokio::test]
async fn twenty_malformed_frames_in_a_row_close_the_socket() {
    let stack = Stack::builder().start().await;
    let mut client = stack.client(0, "alice").await;
    for _ in 0..19 {
        client.send_text("nonsense").await;
        assert_eq!(client.next_answer().await["error"]["code"], 400);
    }
    assert_eq!(client.call("testVersionNotSupported", json!({})).await["error"]["code"], 426);
    for _ in 0..20 {
        client.send_text("nonsense").await;
    }
    assert_eq!(client.closed().await, Some(4500));
}

#[tokio::test]
async fn a_client_that_is_too_old_is_answered_426_and_pushed_nothing() {
    let stack = Stack::builder().gateway_arg("--min-client-version=2.3.0").start().await;
    let mut old = stack.connect(0, "alice").header("x-client-version", "2.2.9").open().await.expect("let in");
    let answer = old.call("meeting:getMeeting", json!({"meetingId": "x"})).await;
    assert_eq!(answer["error"]["code"], 426);
    let mut bob = stack.client(0, "bob").await;
    let meeting = json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": "S", "invitedUserIds": ["alice"],
        "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});
    bob.ask("meeting:createMeeting", meeting).await;
    bob.event("meeting:onMeetingCreated").await;
    old.no_event().await;
    // It has its session all the same.
    let mut newer = stack.connect(0, "alice").query("clientVersion", "2.3.0").open().await.expect("let in");
    assert_eq!(old.closed().await, Some(4501));
    newer.event("user_info").await;
    for version in ["2.3", "2.10.0", "3.0.0"] {
        let mut client = stack.connect(0, "bob").header("x-client-version", version).open().await.expect("let in");
        client.event("user_info").await;
    }
}

#[tokio::test]
async fn a_namespace_that_nobody_serves_is_503_and_the_socket_stays() {
    let stack = Stack::builder().start().await;
    let mut client = stack.client(0, "alice").await;
    stack.workers[0].kill().await;
    let look = async |client: &mut Client| {
        client.call("meeting:getMeeting", json!({"meetingId": "x"})).await["error"]["code"].take()
    };
    eventually!(look(&mut client).await, |code| *code == 503);
    assert_eq!(stack.gateways[0].get("/livez").await.map(|(status, _)| status), Some(200));
    let refused = stack.connect(0, "bob").open().await.expect_err("nobody knows Bob now");
    assert_eq!(refused.status, 503);
    assert!(refused.retry_after.is_some());
    stack.workers[0].start().await;
    eventually!(look(&mut client).await, |code| *code == 404);
}

#[tokio::test]
async fn a_full_pod_takes_no_more_sockets() {
    let stack = Stack::builder().gateway_arg("--max-connections=2").start().await;
    let _first = stack.client(0, "alice").await;
    let second = stack.client(0, "bob").await;
    let refused = stack.connect(0, "carol").open().await.expect_err("full");
    assert_eq!(refused.status, 503);
    second.close().await;
    eventually!(stack.connect(0, "carol").open().await.is_ok());
}

#[tokio::test]
async fn a_connection_of_full_age_is_asked_to_come_again() {
    let stack = Stack::builder().gateway_arg("--max-connection-age=1s").start().await;
    let mut client = stack.client(0, "alice").await;
    assert_eq!(client.closed().await, Some(1012));
}

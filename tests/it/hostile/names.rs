//! Subjects, headers, wildcards and quotes as identifiers, endpoints and ids of requests.

use harness::{Stack, eventually, token};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    meeting::{create, in_the_lobby, named, with},
    social::yoga,
};

/// Identifiers that are good, and mean something to NATS, Redis, PostgreSQL, a shell, a path or a header.
const NAMES: [&str; 8] =
    ["*", ">", "a.>", "$SYS.>", "';DROP/**/TABLE/**/users;--", "../%2e%2e/{x}", "\"$1\\", "ключ-🗝️"];

#[tokio::test]
async fn networks_and_users_are_what_they_are_called_and_hear_nothing_of_others() {
    // Those who are not asked anything for a while do not read pings.
    let stack = Stack::builder().processes().gateway_arg("--ping-interval=1h").start().await;
    let lines = |name: &str| {
        let room = json!({"kind": "room", "id": format!("room-{name}"), "networkId": name, "isPublic": true});
        [
            json!({"kind": "network", "id": name}),
            json!({"kind": "user", "id": name, "networkIds": [name]}),
            json!({"kind": "user", "id": format!("guest-{name}"), "networkIds": [name]}),
            room,
        ]
    };
    stack.import_all(&NAMES.map(lines).concat()).await;
    let mut clients = Vec::new();
    for name in NAMES {
        for user in [name.to_owned(), format!("guest-{name}")] {
            let mut client =
                stack.connect_as(0, &user, name, &format!("sid: {name}+\u{2028}")).open().await.expect("let in");
            let info = client.event("user_info").await;
            assert_eq!((&info["data"]["user"]["id"], &info["data"]["network"]["id"]), (&json!(user), &json!(name)));
            clients.push(client);
        }
    }
    for (index, name) in NAMES.into_iter().enumerate() {
        let place = json!({"sourceIds": [format!("room-{name}")]});
        let meeting =
            create(&mut clients[2 * index], with(in_the_lobby(&[&format!("guest-{name}")]), place.clone())).await;
        assert_eq!(meeting["sourceString"], format!("room:{name}:room-{name}"));
        for client in [2 * index, 2 * index + 1] {
            let told = clients[client].event("meeting:onMeetingCreated").await;
            assert_eq!(told["data"]["meeting"], meeting);
            clients[client].event("meeting:meetingUpdated").await;
        }
        clients[2 * index + 1].ask("meeting:acceptMeetingRequest", named(&meeting)).await;
        for client in [2 * index, 2 * index + 1] {
            clients[client].event("meeting:onMeetingUpdated").await;
            clients[client].event("meeting:meetingUpdated").await;
        }
        let session = with(yoga(None), json!({"roomId": format!("room-{name}")}));
        crate::social::create(&mut clients[2 * index], session, json!([])).await;
        clients[2 * index].event("social:sessionUpdated").await;
    }
    for client in &mut clients {
        client.no_event().await;
    }
    for name in NAMES {
        let path = |of: &str, what: &str| {
            let mut url = reqwest::Url::parse("http://x/").expect("a URL");
            url.path_segments_mut().expect("a path").extend(["admin", of, name, what]);
            // Encoded once more by nobody: a path is taken as it stands.
            url.path().to_owned()
        };
        let (status, presence) = stack.admin(Method::GET, &path("users", "presence"), "").await;
        assert_eq!((status, &presence["sessions"][0]["network"]), (200, &json!(name)), "{name}: {presence}");
        let (status, closed) = stack.admin(Method::POST, &path("networks", "reset"), "").await;
        assert_eq!((status, &closed["closed"]), (200, &json!(2)), "{name}: {closed}");
    }
    for mut client in clients {
        assert_eq!(client.closed().await, Some(4001));
    }
    assert!(!stack.logged().contains("panicked"));
}

#[tokio::test]
async fn an_endpoint_that_is_no_word_is_404_and_reaches_nobody() {
    let stack = Stack::builder().processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    let long = "a".repeat(100_000);
    let hostile = [
        "meeting:get.Meeting",
        "meeting:*",
        "meeting:>",
        "meeting:getMeeting ",
        " meeting:getMeeting",
        "meeting: getMeeting",
        "meeting:getMeeting\r\nPUB x 1\r\nx",
        "meeting:getMeeting\u{0}",
        "meeting:getMeeting\n",
        "meeting:getMéeting",
        "meeting:get\u{200b}Meeting",
        "meeting::getMeeting",
        "meeting:getMeeting:x",
        "MEETING:getMeeting",
        "meeting:GETMEETING",
        "$SYS:REQ",
        "_INBOX:x",
        "rpc.meeting:getMeeting",
        "internal:connect",
        "internal.user:connect",
        "user:connect",
        "user:revokeSession",
        "directory:applyLines",
        "directory:resetNetwork",
        "events:page",
        "social:readCalendar",
        "*:*",
        ">",
        ":",
        "",
        long.as_str(),
    ];
    for endpoint in hostile {
        let answer = alice.call(endpoint, json!({})).await;
        let code = if endpoint.contains('\0') { 400 } else { 404 };
        assert_eq!(answer["error"]["code"], code, "{endpoint:?}: {answer}");
    }
    alice.no_event().await;
    // Nothing of it is a name in the numbers either.
    let (_, metrics) = stack.gateways[0].get("/metrics").await.expect("metrics");
    assert!(!metrics.contains("PUB") && !metrics.contains("aaaa") && !metrics.contains("SYS"), "{metrics}");
    assert!(!stack.logged().contains("panicked"));
}

#[tokio::test]
async fn the_id_of_a_request_is_a_text_and_never_a_header() {
    let stack = Stack::builder().processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    for id in ["a\r\nConvene-Call: {}", "a\n", "\r", "\t", "\u{7f}", "\u{85}", "\u{9b}31m"] {
        let answer = alice.call_once(id, "meeting:createMeeting", in_the_lobby(&[])).await;
        assert_eq!(answer["error"]["code"], 400, "{id:?}: {answer}");
    }
    for id in ["'; DROP TABLE done_requests; --", "*.>", "$1", "\\", "\u{2028}🗝️é", &"🗝".repeat(128), " ", ":+", "null"]
    {
        let first = alice.call_once(id, "meeting:createMeeting", in_the_lobby(&[])).await;
        assert_eq!(first["error"]["code"], 0, "{id:?}: {first}");
        let again = alice.call_once(id, "meeting:createMeeting", in_the_lobby(&[])).await;
        assert_eq!(again["data"], first["data"], "{id:?}");
    }
    assert!(!stack.logged().contains("panicked"));
}

#[tokio::test]
async fn what_an_upgrade_says_is_taken_for_what_it_is() {
    let stack = Stack::builder().processes().gateway_arg("--min-client-version=1.0.0").start().await;
    let place = "x.1\r\n'; DROP TABLE event_log; --\u{1b}[2J";
    for (name, value) in [
        ("lastEventId", place),
        ("lastEventId", "%00"),
        ("lastEventId", "*.18446744073709551616"),
        ("clientVersion", "1.0.0\r\nx: y"),
        ("clientVersion", "99999999999999999999.0.0"),
        ("clientVersion", "'"),
    ] {
        let mut client = stack.connect(0, "alice").query(name, value).open().await.expect("let in");
        if name == "lastEventId" {
            client.event("user_info").await;
            client.event("resyncRequired").await;
        } else {
            assert_eq!(client.call("meeting:getMeeting", json!({})).await["error"]["code"], 426, "{value}");
        }
        client.close().await;
    }
    for (name, value) in [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("traceparent", "00-*-' OR 1=1-zz"),
        ("tracestate", "a=b,\u{7f}"),
        ("convene-call", r#"{"session":{"network":"other","user":"root","sid":"1"}}"#),
        ("x-forwarded-for", "127.0.0.1, ';--"),
        ("host", "evil.example.org"),
    ] {
        let Ok(value) = reqwest::header::HeaderValue::from_bytes(value.as_bytes()) else { continue };
        let value = value.to_str().unwrap_or("other");
        let mut client = stack.connect(0, "alice").header(name, value).open().await.expect("let in");
        assert_eq!(client.event("user_info").await["data"]["user"]["id"], "alice", "{name}");
        client.call("meeting:getMeeting", json!({"meetingId": "x"})).await;
        client.close().await;
    }
    let twice = token::token("alice", "demo", "s");
    let refused =
        stack.connect_as(0, "x", "demo", "s").header("authorization", "Bearer nonsense").query("sessionId", &twice);
    let refused = refused.open().await.expect_err("the first place decides");
    assert_eq!(refused.status, 401);
    let alive = async || stack.gateways[0].get("/readyz").await.map(|(status, _)| status);
    eventually!(alive().await, |status| *status == Some(200));
    assert!(!stack.logged().contains("panicked"));
}

#[tokio::test]
async fn lines_of_the_directory_that_are_nonsense_skip_only_themselves() {
    let stack = Stack::builder().processes().start().await;
    let mut lines: Vec<String> = super::TEXTS.iter().map(|text| text.replace('\n', " ")).collect();
    let identifier = |id: &str| json!({"kind": "user", "id": id, "networkIds": ["demo"]}).to_string();
    lines.extend(["a b", "a:b", "a\nb", "a\u{0}b", "", "\u{a0}", &"x".repeat(129)].map(identifier));
    lines.extend([
        "[".repeat(100_000),
        "{\"kind\":".repeat(50_000),
        format!("{{\"kind\":\"user\",\"id\":{}}}", "9".repeat(10_000)),
    ]);
    lines.extend([
        r#"{"kind":"user","id":"x","networkIds":["';--"]}"#.to_owned(),
        r#"{"kind":"user","id":"x","kind":"room"}"#.to_owned(),
        r#"{"kind":"user","id":"x","networkIds":["demo"],"email":"alice@example.org","emailVerified":true}"#.to_owned(),
        r#"{"kind":"room","id":"lobby","networkId":"other"}"#.to_owned(),
        r#"{"kind":"user","id":"\ud800"}"#.to_owned(),
    ]);
    let bad = lines.len();
    let good: Value = json!({"kind": "user", "id": "eve", "networkIds": ["demo"]});
    let body = format!("{}\n{good}\n", lines.join("\n"));
    let (status, answer) = stack.admin(Method::POST, "/admin/directory", body).await;
    assert_eq!((status, &answer["applied"]), (200, &json!(1)), "{answer}");
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(bad), "{answer}");
    stack.client(0, "eve").await;
    stack.client(0, "alice").await;
    assert!(!stack.logged().contains("panicked"));
}

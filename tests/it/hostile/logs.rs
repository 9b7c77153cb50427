//! One event is one line of the log, whatever strangers say.

use harness::{Connect, Stack, token};
use reqwest::Method;
use serde_json::{Value, json};

use super::TEXTS;
use crate::meeting::in_the_lobby;

/// Says something hostile wherever something may be logged, and returns the log.
async fn provoked(format: &str) -> String {
    let argument = format!("--log-format={format}");
    let stack = Stack::builder()
        .processes()
        .log_filter("debug,hyper=info,sqlx=debug")
        .gateway_arg(&argument)
        .worker_arg(&argument)
        .start()
        .await;
    let mut alice = stack.client(0, "alice").await;
    for text in TEXTS {
        alice.call(text, json!({"meetingId": text})).await;
        alice.call("meeting:getMeeting", json!({"meetingId": text})).await;
        alice.call_once(text, "meeting:createMeeting", in_the_lobby(&[text])).await;
        let line: String = text.chars().filter(|character| !character.is_control()).collect();
        alice.call_once(&line, "meeting:createMeeting", in_the_lobby(&[])).await;
        alice.send_text(text).await;
        alice.next_answer().await;
        let refused =
            Connect::to(stack.gateways[0].public).query("sessionId", text).open().await.expect_err("no token");
        assert_eq!(refused.status, 401);
        let claims = json!({"sub": "alice", "net": "demo", "sid": line, "exp": 4_000_000_000_u64, "given_name": text});
        let mut named = Connect::to(stack.gateways[0].public).token(&token::sign(&claims)).query("lastEventId", text);
        named = named.query("clientVersion", text);
        named.open().await.expect("let in").close().await;
        let path: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        stack.admin(Method::POST, &format!("/admin/sessions/{path}/revoke"), "").await;
        stack.import(&[json!({"kind": text, "id": text}), json!({"kind": "user", "id": line, "email": text})]).await;
    }
    stack.logged()
}

fn is_harmful(character: char) -> bool {
    character.is_control() && character != '\n' || matches!(character, '\u{2028}' | '\u{2029}')
}

#[tokio::test]
async fn no_text_makes_a_line_of_a_text_log() {
    let log = provoked("text").await;
    assert!(!log.contains(is_harmful), "{:?}", log.lines().find(|line| line.contains(is_harmful)));
    for line in log.lines() {
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
        let level = rest.split_whitespace().next().expect("a level");
        assert!(["DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "{line}");
        assert!(!rest.trim_start().starts_with("ERROR gateway: forged"), "{line}");
    }
    assert!(log.contains("the session was revoked") && log.contains("DROP TABLE"), "something was said");
}

#[tokio::test]
async fn no_text_makes_a_line_of_a_json_log() {
    let log = provoked("json").await;
    assert!(!log.contains(is_harmful), "{:?}", log.lines().find(|line| line.contains(is_harmful)));
    let mut revoked = Vec::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{line}");
        if event["message"] == "the session was revoked" {
            revoked.push(event["sid"].as_str().expect("a text").to_owned());
        }
    }
    assert!(revoked.iter().any(|sid| sid == TEXTS[4]) && revoked.iter().any(|sid| sid == TEXTS[5]), "{revoked:?}");
}

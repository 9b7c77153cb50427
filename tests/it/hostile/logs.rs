//! One event is one line of the log, whatever strangers say; and no log has what lets somebody in.

use harness::{Connect, Stack, eventually, smtp::MailServer, stack::http, token, webhook::Webhook};
use reqwest::Method;
use serde_json::{Value, json};

use super::TEXTS;
use crate::{
    meeting::in_the_lobby,
    social::{self, outsiders},
};

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

/// What a filter that is changed at run time asks for, of those who say most.
const EVERYTHING: &str =
    "trace,lettre=trace,tungstenite=trace,async_nats=trace,hyper=trace,reqwest=trace,sqlx=trace,redis=trace";

#[tokio::test(flavor = "multi_thread")]
async fn no_token_link_or_mail_is_in_a_log_whatever_is_asked_for() {
    let (mails, phones) = (MailServer::start().await, Webhook::start().await);
    let stack = outsiders::mailing(&mails)
        .worker_arg(&format!("--sms-webhook-url={}", phones.url()))
        .worker_arg("--sms-webhook-secret=the secret of the webhook")
        .processes()
        .log_filter("trace")
        .start()
        .await;
    let mut secrets = vec!["hunter2".to_owned(), "the secret of the webhook".to_owned()];
    for url in [&stack.servers.database_url, &stack.servers.redis_url, &stack.servers.nats_url] {
        let password = url.split('@').next().and_then(|rest| rest.rsplit(':').next()).expect("a password");
        secrets.push(password.to_owned());
    }
    for round in 0..2 {
        if round == 1 {
            for pod in stack.gateways.iter().chain(&stack.workers) {
                let changed = http().put(format!("http://{}/log", pod.management)).body(EVERYTHING).send().await;
                assert_eq!(changed.expect("an answer").text().await.expect("a text"), EVERYTHING);
            }
        }
        let session_token = token::token("bob", "demo", &format!("round {round}"));
        let mut bob = Connect::to(stack.gateways[0].public).query("sessionId", &session_token).let_in().await;
        let whom = json!([{"emails": [format!("ann-{round}@example.com")], "phones": [format!("+49301234{round}")]}]);
        let mut yoga = outsiders::secret();
        yoga["title"] = json!("a title that no log has");
        let session = social::create(&mut bob, yoga, whom).await;
        let mail = eventually!(mails.mails(), |mails: &Vec<_>| mails.len() == round + 1).remove(round);
        let posted = eventually!(phones.posted(), |posted: &Vec<_>| posted.len() == round + 1).remove(round);
        let body: Value = serde_json::from_str(&posted.body).expect("JSON");
        let link = body["link"].as_str().expect("a link").to_owned();
        // Its link downloads the file, and claims.
        let id = session["id"].as_str().expect("an id");
        let file = format!(
            "http://{}/api/v0/resource/sessionInvitation/{id}?invitation={}",
            stack.gateways[0].public,
            mail.token()
        );
        assert_eq!(http().get(file).send().await.expect("an answer").status(), 200);
        let mut carol = stack.client(0, "carol").await;
        carol.ask("social:joinSession", outsiders::claiming(&session, &mail.token())).await;
        carol.close().await;
        bob.close().await;
        secrets.push(session_token.rsplit('.').next().expect("a signature").to_owned());
        secrets.push(link.split_once("invitation=").expect("a token").1.to_owned());
        secrets.push(mail.token());
        secrets.extend(mail.raw.lines().filter(|line| line.len() > 30).map(str::to_owned));
    }
    secrets.push("a title that no log has".to_owned());
    let log = stack.logged();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it was asked for");
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret}");
    }
}

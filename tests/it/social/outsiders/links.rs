//! Where the links of invitations lead, and what is said of them.

use harness::{eventually, smtp::MailServer, webhook::Webhook};
use serde_json::json;

use super::*;

/// Where the application receives people.
const TEMPLATE: &str = "https://app.test/#/join/{sessionId}?i={invitation}";

fn reaching(server: &MailServer, webhook: &Webhook) -> Builder {
    mailing(server)
        .worker_arg(&format!("--sms-webhook-url={}", webhook.url()))
        .worker_arg("--sms-webhook-secret=hunter2")
}

/// Invites by mail and message, and returns the session, the mail's text and the message.
async fn invite(stack: &Stack, server: &MailServer, webhook: &Webhook) -> (Value, String, Value) {
    let mut bob = stack.client(0, "bob").await;
    let invite = json!([{"emails": ["ann@example.com"], "phones": ["+4930123456"]}]);
    let session = create(&mut bob, secret(), invite).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 1);
    let posted = eventually!(webhook.posted(), |posted: &Vec<_>| posted.len() == 1);
    let text = mails[0].parsed().body_text(0).expect("a text").into_owned();
    (session, text, serde_json::from_str(&posted[0].body).expect("JSON"))
}

#[tokio::test]
async fn with_invitation_url_the_link_leads_to_the_application_and_signs_in() {
    let (server, webhook) = (MailServer::start().await, Webhook::start().await);
    let stack = reaching(&server, &webhook).worker_arg(&format!("--invitation-url={TEMPLATE}")).start().await;
    let (session, text, message) = invite(&stack, &server, &webhook).await;
    let id = session["id"].as_str().expect("an id");
    let link = server.mails()[0].link();
    let token = link.strip_prefix(&format!("https://app.test/#/join/{id}?i=")).expect("the template").to_owned();
    assert!(text.contains("To take part, sign in with this link. It is for you alone, and good until "), "{text}");
    assert!(!text.contains("sessionInvitation") && !text.contains("calendar file"), "{text}");
    let link = message["link"].as_str().expect("a link");
    assert!(link.starts_with(&format!("https://app.test/#/join/{id}?i=")), "{message}");
    assert!(
        message["text"].as_str().expect("a text").ends_with(&format!("\nSign in to take part: {link}")),
        "{message}"
    );

    let mut carol = stack.client(0, "carol").await;
    carol.ask("social:joinSession", claiming(&session, &token)).await;
}

#[tokio::test]
async fn without_invitation_url_the_link_is_said_to_be_a_calendar_file() {
    let (server, webhook) = (MailServer::start().await, Webhook::start().await);
    let stack = reaching(&server, &webhook).start().await;
    let (session, text, message) = invite(&stack, &server, &webhook).await;
    let id = session["id"].as_str().expect("an id");
    let path = format!("/api/v0/resource/sessionInvitation/{id}?invitation=");
    assert!(server.mails()[0].link().starts_with(&format!("{PUBLIC_URL}{path}")), "{text}");
    assert!(text.contains("With this link you get the session as a calendar file, as it is by then."), "{text}");
    assert!(!text.contains("sign in") && !text.contains("Sign in"), "{text}");
    let link = message["link"].as_str().expect("a link");
    assert!(message["text"].as_str().expect("a text").ends_with(&format!("\nCalendar file: {link}")), "{message}");

    // And it is one.
    let token = server.mails()[0].token();
    let url = format!("http://{}{path}{token}", stack.gateways[0].public);
    let answer = harness::stack::http().get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().expect("ASCII").to_owned();
    assert_eq!(kind, "text/calendar; charset=utf-8; method=REQUEST");
}

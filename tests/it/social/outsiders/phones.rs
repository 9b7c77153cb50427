//! What is sent to phones.

use harness::{eventually, webhook::Webhook};
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::*;

const SECRET: &str = "the secret of the webhook";

pub(super) fn phoning(webhook: &Webhook) -> Builder {
    Stack::builder()
        .worker_arg(&format!("--sms-webhook-url={}", webhook.url()))
        .worker_arg(&format!("--sms-webhook-secret={SECRET}"))
        .worker_arg(&format!("--public-url={PUBLIC_URL}"))
}

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[tokio::test]
async fn a_phone_is_sent_a_signed_message_that_is_tried_again_and_its_link_claims() {
    let webhook = Webhook::start().await;
    webhook.answer(500);
    webhook.answer(429);
    let stack = phoning(&webhook).start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, secret(), json!([{"phones": ["+49 (0)30 123456"], "role": 2}])).await;
    for attempts in 1..=3 {
        eventually!(webhook.posted().len(), |posted| *posted == attempts);
        eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE lease IS NULL").await, |n| *n == 1);
        let_be_due(&stack).await;
    }
    let posted = webhook.posted();
    assert_eq!(posted.iter().map(|posted| posted.status).collect::<Vec<_>>(), [500, 429, 204]);
    let id = session["id"].as_str().expect("an id");
    for posted in &posted {
        assert_eq!(posted.signature, signature(&posted.body));
        assert_eq!(posted.content_type, "application/json");
        let body: Value = serde_json::from_str(&posted.body).expect("JSON");
        let link = body["link"].as_str().expect("a link");
        assert!(
            link.starts_with(&format!("{PUBLIC_URL}/api/v0/resource/sessionInvitation/{id}?invitation=")),
            "{link}"
        );
        let when = "Wednesday, 2 January 2030, 11:00 to 12:00 (Europe/Berlin)";
        let text = format!("Invitation: Yoga, {when}\nCalendar file: {link}");
        assert_eq!(body, json!({"to": "+4930123456", "text": text, "link": link}));
    }
    // Whoever said no may have sent it all the same: the link of each attempt is good, until one of them is claimed.
    let body: Value = serde_json::from_str(&posted[0].body).expect("JSON");
    let token = body["link"].as_str().and_then(|link| link.split_once("invitation=")).expect("a token").1;
    people.carol.ask("social:joinSession", claiming(&session, token)).await;
    assert_eq!(role_of(&get(&mut people.carol, &session).await, "carol"), Some(2));
    for posted in &posted[1..] {
        let body: Value = serde_json::from_str(&posted.body).expect("JSON");
        let token = body["link"].as_str().and_then(|link| link.split_once("invitation=")).expect("a token").1;
        assert_eq!(code(&mut people.dave, "social:joinSession", claiming(&session, token)).await, 404);
    }
}

#[tokio::test]
async fn a_message_that_is_refused_is_given_up() {
    let webhook = Webhook::start().await;
    webhook.answer(422);
    let stack = phoning(&webhook).start().await;
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, yoga(None), json!([{"phones": ["+4930123456"], "emails": ["ann@example.com"]}])).await;
    eventually!(webhook.posted().len(), |posted| *posted == 1);
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE kind = 1").await, |left| *left == 0);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages WHERE kind = 0 AND attempts = 0").await, 1, "waits");
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 2, "the invitation stays");
}

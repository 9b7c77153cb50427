//! Mail servers that refuse, hang or are away, and workers that die.

use std::collections::BTreeSet;

use harness::{
    eventually,
    smtp::{MailServer, Trouble},
};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_mail_server_that_is_away_is_tried_again_and_pauses_grow() {
    let server = MailServer::stopped();
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    let pause = "SELECT coalesce(max(extract(epoch FROM due_at - now()))::bigint, -1) FROM social_messages
                 WHERE lease IS NULL AND attempts = 6";
    for _ in 0..6 {
        eventually!(
            count(&stack, "SELECT count(*) FROM social_messages WHERE lease IS NULL AND attempts > 0").await,
            |n| { *n == 1 }
        );
        if count(&stack, pause).await >= 0 {
            break;
        }
        let attempts = count(&stack, "SELECT attempts::bigint FROM social_messages").await;
        let_be_due(&stack).await;
        eventually!(count(&stack, "SELECT attempts::bigint FROM social_messages").await, |n| *n > attempts);
    }
    let pause = eventually!(count(&stack, pause).await, |pause| *pause >= 0);
    assert!((40..=80).contains(&pause), "{pause} s after six attempts");
    // However often it was tried, so many links are good at once.
    execute(&stack, "UPDATE social_outsiders SET token_hashes = array_fill('x'::bytea, ARRAY[100]) || token_hashes")
        .await;
    server.resume().await;
    let_be_due(&stack).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 1);
    assert_eq!(count(&stack, "SELECT cardinality(token_hashes)::bigint FROM social_outsiders").await, 64);
    let session = json!({"id": mails[0].link().split('/').next_back().and_then(|end| end.split('?').next())});
    let mut carol = stack.client(0, "carol").await;
    assert_eq!(code(&mut carol, "social:joinSession", claiming(&session, &mails[0].token())).await, 0);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
}

#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_and_what_is_refused_for_good_is_given_up() {
    let server = MailServer::start().await;
    for answer in ["451 4.7.1 greylisted", "450-not\r\n450 now"] {
        server.expect(Trouble::Refuse(answer.to_owned()));
    }
    server.expect(Trouble::Break);
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    let mails = eventually!(
        {
            execute(&stack, "UPDATE social_messages SET due_at = now() WHERE due_at IS NOT NULL AND lease IS NULL")
                .await;
            server.mails()
        },
        |mails: &Vec<_>| !mails.is_empty()
    );
    assert_eq!((server.attempts(), mails.len()), (4, 1));

    server.expect(Trouble::Refuse("550 5.1.1 no such user".to_owned()));
    let session = create(&mut bob, yoga(None), emails(&["nobody@example.com"])).await;
    let left = "SELECT count(*) FROM social_messages WHERE address = 'nobody@example.com'";
    eventually!((count(&stack, left).await, server.attempts()), |now| *now == (0, 5));
    let metrics = stack.workers[0].get("/metrics").await.expect("metrics").1;
    assert!(metrics.contains("convene_messages_given_up_total{channel=\"mail\",what=\"invitation\"}"), "{metrics}");
    // Somebody who proves the address is invited all the same, and the owner may have it tried again.
    bob.ask("social:inviteUsersToSession", inviting(&session, &emails(&["nobody@example.com"]))).await;
    eventually!(server.mails_to("nobody@example.com").len(), |sent| *sent == 1);
}

#[tokio::test]
async fn after_a_day_it_is_given_up() {
    let server = MailServer::stopped();
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    eventually!(
        count(&stack, "SELECT count(*) FROM social_messages WHERE lease IS NULL AND attempts > 0").await,
        |n| { *n == 1 }
    );
    execute(
        &stack,
        "UPDATE social_messages SET due_at = now(), first_attempt_at = first_attempt_at - interval '24 hours'",
    )
    .await;
    eventually!(count(&stack, "SELECT count(*) FROM social_messages").await, |left| *left == 0);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 1);
}

#[tokio::test]
async fn a_mail_server_that_says_nothing_keeps_nobody_else_waiting() {
    let server = MailServer::start().await;
    server.expect(Trouble::Silence);
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, yoga(None), emails(&["slow@example.com"])).await;
    eventually!(server.attempts(), |begun| *begun == 1);
    let many: Vec<String> = (0..20).map(|n| format!("u{n}@example.com")).collect();
    create(&mut bob, yoga(None), json!([{"emails": many}])).await;
    eventually!(server.mails().len(), |sent| *sent == 21);
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |done| *done == 20);
    // It may yet say yes: nobody makes another attempt before this one is over.
    let held = "SELECT count(*) FROM social_messages WHERE lease IS NOT NULL AND due_at > now() + interval '60 s'";
    assert_eq!((count(&stack, held).await, server.attempts()), (1, 21));
}

#[tokio::test]
async fn what_is_on_its_way_when_its_session_is_deleted_is_cancelled_afterwards() {
    let server = MailServer::start().await;
    server.expect(Trouble::Silence);
    let stack = mailing(&server).start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    eventually!(server.mails().len(), |sent| *sent == 1);
    bob.ask("social:deleteSession", named(&session)).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages WHERE cancelled IS NOT NULL").await, 1);
    // The worker that waits for an answer is stopped; to another one it is in doubt whether the mail was sent.
    stack.workers[0].kill().await;
    stack.workers[0].start().await;
    let_be_due(&stack).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 2);
    assert_eq!(mails[1].parsed().subject(), Some("Cancelled: Yoga"));
    eventually!(count(&stack, "SELECT count(*) FROM social_messages").await, |left| *left == 0);
}

#[tokio::test]
async fn workers_that_are_killed_in_the_middle_lose_no_mail_and_send_few_twice() {
    let server = MailServer::start().await;
    let stack = mailing(&server).workers(2).processes().start().await;
    let mut bob = stack.client(0, "bob").await;
    let to: Vec<String> = (0..80).map(|n| format!("u{n}@example.com")).collect();
    server.expect(Trouble::Silence);
    server.expect(Trouble::Silence);
    create(&mut bob, yoga(None), json!([{"emails": to[..40]}])).await;
    eventually!(server.mails().len(), |sent| *sent >= 10);
    stack.workers[0].kill().await;
    stack.workers[1].kill().await;
    stack.workers[0].start().await;
    stack.workers[0].ready().await;
    create(&mut bob, yoga(None), json!([{"emails": to[40..]}])).await;
    stack.workers[1].start().await;
    stack.workers[1].ready().await;
    // The leases of the dead run out.
    execute(
        &stack,
        "UPDATE social_messages SET due_at = now() WHERE lease IS NOT NULL AND due_at > now() + interval '9 s'",
    )
    .await;
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |done| *done == 80);
    let mails = server.mails();
    let reached: BTreeSet<&str> = mails.iter().map(|mail| mail.to[0].as_str()).collect();
    assert_eq!(reached.len(), 80);
    // Two workers had eight under way each.
    assert!((80..=96).contains(&mails.len()), "{}", mails.len());
    for mail in &mails {
        let same: BTreeSet<Option<String>> = mails
            .iter()
            .filter(|other| other.to == mail.to)
            .map(|mail| mail.parsed().message_id().map(str::to_owned))
            .collect();
        assert_eq!(same.len(), 1, "what arrives twice is known to be one mail");
    }

    let logged = stack.logged();
    let tokens: Vec<String> = mails.iter().map(harness::smtp::Mail::token).collect();
    assert!(!logged.contains("@example.com"), "no address is logged");
    assert!(tokens.iter().all(|token| !logged.contains(token.as_str())), "no token is logged");
}

#[tokio::test]
async fn nothing_that_servers_answer_brings_an_address_into_a_log() {
    let server = MailServer::start().await;
    let webhook = harness::webhook::Webhook::start().await;
    webhook.answer(400);
    server.expect(Trouble::Refuse("451 4.1.0 <ann@example.com> not now".to_owned()));
    server.expect(Trouble::Refuse("550 5.1.1 <ann@example.com> unknown".to_owned()));
    let stack = mailing(&server)
        .worker_arg(&format!("--sms-webhook-url={}", webhook.url()))
        .worker_arg("--sms-webhook-secret=hunter2")
        .processes()
        .start()
        .await;
    let mut bob = stack.client(0, "bob").await;
    let invite = json!([{"emails": ["ann@example.com"], "phones": ["+4930123456"], "facebook": "app:ann"}]);
    let session = create(&mut bob, yoga(None), invite).await;
    eventually!(count(&stack, "SELECT count(*) FROM social_messages").await, |left| *left == 0);
    let guess = "q1w2e3r4t5q1w2e3r4t5q1w2e3r4t5q1w2e3r4t5q1w";
    bob.ask("social:joinSession", claiming(&session, guess)).await;
    stack.import_all(&[json!({"kind": "user", "id": "eve", "networkIds": ["demo"], "facebook": ["app:ann"]})]).await;
    let logged = stack.logged();
    assert!(logged.contains("a message to somebody outside is given up") && logged.contains("SMTP 550"), "{logged}");
    for secret in ["ann@example.com", "4930123456", "app:ann", "hunter2", guess] {
        assert!(!logged.contains(secret), "{secret} is logged");
    }
}

//! Messages that end without being sent: each is counted once, and logged once with its session.

use harness::{
    eventually,
    smtp::{MailServer, Trouble},
};
use serde_json::json;

use super::*;

/// What a worker has counted and logged of messages that were not sent.
async fn noted(stack: &Stack, metric: &str, channel: &str, what: &str) -> f64 {
    let labels = [format!("channel=\"{channel}\""), format!("what=\"{what}\"")];
    stack.workers[0].metric(metric, &[labels[0].as_str(), labels[1].as_str()]).await
}

async fn given_up(stack: &Stack, channel: &str, what: &str) -> f64 {
    noted(stack, "convene_messages_given_up_total", channel, what).await
}

#[track_caller]
fn assert_logged_once(stack: &Stack, session: &Value, what: &str, why: &str) {
    let id = session["id"].as_str().expect("an id");
    let logged = stack.logged();
    let lines: Vec<&str> =
        logged.lines().filter(|line| line.contains("a message to somebody outside") && line.contains(id)).collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    assert!(line.contains(what) && line.contains(why), "{line}");
    assert!(!logged.contains("ann@"), "no address is logged");
}

#[tokio::test]
async fn a_server_without_smtputf8_gives_up_a_name_beyond_ascii_and_says_so() {
    let server = MailServer::start().await;
    let stack = mailing(&server).processes().start().await;
    let mut bob = stack.client(0, "bob").await;
    // A server that knows it takes it.
    create(&mut bob, yoga(None), emails(&["Jörg@example.com"])).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 1);
    assert_eq!(mails[0].to, ["jörg@example.com"]);

    server.take_ascii_only();
    let session = create(&mut bob, yoga(None), emails(&["ännann@example.com"])).await;
    eventually!(given_up(&stack, "mail", "invitation").await, |count| (0.5..1.5).contains(count));
    assert_logged_once(&stack, &session, "is given up", "SMTPUTF8");
    let left = "SELECT count(*) FROM social_messages WHERE sent_at IS NULL";
    assert_eq!(count(&stack, left).await, 0);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 2, "the invitations stay");
}

#[tokio::test]
async fn a_server_that_does_not_offer_tls_has_not_refused_a_mail() {
    let server = MailServer::start().await;
    let url = format!("--smtp-url={}?tls=required", server.url());
    let stack = Stack::builder()
        .processes()
        .worker_arg(&url)
        .worker_arg("--smtp-from=noreply@convene.test")
        .worker_arg(&format!("--public-url={PUBLIC_URL}"))
        .start()
        .await;
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    let tried = "SELECT count(*) FROM social_messages WHERE lease IS NULL AND attempts > 0 AND due_at IS NOT NULL";
    eventually!(count(&stack, tried).await, |n| *n == 1);
    assert!(given_up(&stack, "mail", "invitation").await < 0.5);
}

#[tokio::test]
async fn what_came_too_late_is_given_up_and_what_was_taken_back_is_withdrawn() {
    let server = MailServer::start().await;
    let stack = Stack::builder().processes().start().await;
    let mut bob = stack.client(0, "bob").await;
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(2);
    let short = with(yoga(None), json!({"startDate": soon.to_rfc3339(), "duration": 1}));
    let late = create(&mut bob, short, emails(&["ann@example.com"])).await;
    let removed = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    bob.ask("social:deleteUserSessionInvitations", removing(&removed, &["ann@example.com"])).await;
    let deleted = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    bob.ask("social:deleteSession", named(&deleted)).await;
    let withdrawn = "convene_messages_withdrawn_total";
    assert!((0.5..1.5).contains(&noted(&stack, withdrawn, "mail", "invitation").await));
    assert_logged_once(&stack, &deleted, "is not needed any more", "the session was deleted");
    eventually!(count(&stack, "SELECT count(*) FROM social_sessions WHERE ends_at <= now()").await, |over| *over == 1);

    let again = mailing(&server).on(stack.servers.clone()).unseeded().processes().start().await;
    eventually!(count(&again, "SELECT count(*) FROM social_messages").await, |left| *left == 0);
    eventually!(
        (given_up(&again, "mail", "invitation").await, noted(&again, withdrawn, "mail", "invitation").await),
        |(given_up, withdrawn)| (0.5..1.5).contains(given_up) && (0.5..1.5).contains(withdrawn)
    );
    assert_logged_once(&again, &late, "is given up", "the session is over");
    assert_logged_once(&again, &removed, "is not needed any more", "taken back");
    assert_eq!(server.mails(), []);
}

#[tokio::test]
async fn a_cancellation_that_cannot_be_read_or_is_refused_is_given_up() {
    let server = MailServer::start().await;
    let stack = mailing(&server).processes().start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |done| *done == 1);
    execute(&stack, "UPDATE social_messages SET cancelled = '{}', due_at = now()").await;
    eventually!(given_up(&stack, "mail", "cancellation").await, |count| (0.5..1.5).contains(count));
    assert_logged_once(&stack, &session, "is given up", "cannot be read");

    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |done| *done == 1);
    server.expect(Trouble::Refuse("550 5.1.1 no such user".to_owned()));
    bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ann@example.com"])).await;
    eventually!(given_up(&stack, "mail", "cancellation").await, |count| (1.5..2.5).contains(count));
    assert_logged_once(&stack, &session, "is given up", "SMTP 550");
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NOT NULL").await, 0);
}

#[tokio::test]
async fn a_change_that_is_refused_is_given_up_and_the_cancellation_still_goes() {
    let server = MailServer::start().await;
    let stack = mailing(&server).worker_arg("--invitation-pause=0s").processes().start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), emails(&["ann@example.com"])).await;
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |done| *done == 1);
    server.expect(Trouble::Refuse("550 5.7.1 not from you".to_owned()));
    crate::social::update(&mut bob, &session, json!({"startDate": "2030-01-03T10:00:00Z"})).await;
    eventually!(given_up(&stack, "mail", "change").await, |count| (0.5..1.5).contains(count));
    assert_logged_once(&stack, &session, "is given up", "SMTP 550");
    bob.ask("social:deleteSession", named(&session)).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 2);
    assert_eq!(mails[1].calendar().0, "CANCEL");
}

//! How often and how many: S6, S10.

use futures::future::join_all;
use harness::{eventually, smtp::MailServer};
use serde_json::json;

use super::*;

#[tokio::test]
async fn an_address_is_mailed_at_most_once_in_ten_minutes_also_when_it_was_removed_meanwhile() {
    let server = MailServer::start().await;
    let stack = mailing(&server).gateways(2).workers(2).start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut alice = stack.client(1, "alice").await;
    let event = event_for(&mut alice, 0).await;
    let session = create(&mut bob, yoga(Some(&event)), json!([])).await;
    let invite = inviting(&session, &emails(&["ann@example.com"]));
    for _ in 0..5 {
        let (one, other) = tokio::join!(
            bob.call("social:inviteUsersToSession", invite.clone()),
            alice.call("social:inviteUsersToSession", invite.clone()),
        );
        assert_eq!((&one["error"]["code"], &other["error"]["code"]), (&json!(0), &json!(0)));
    }
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE sent_at IS NOT NULL").await, |n| *n == 1);
    bob.ask("social:inviteUsersToSession", invite.clone()).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, 1, "just sent");

    // The link that was sent is worth nothing now: another one follows, but not before the time.
    bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ANN@example.com"])).await;
    let taken_back = "SELECT count(*) FROM social_messages WHERE last_request_at IS NOT NULL";
    eventually!(count(&stack, taken_back).await, |n| *n == 1);
    assert_eq!(server.mails()[1].calendar().0, "CANCEL");
    let held_back = "SELECT count(*) FROM social_messages
                     WHERE due_at = coalesce(sent_at, last_request_at) + interval '10 minutes'";
    for _ in 0..2 {
        bob.ask("social:inviteUsersToSession", invite.clone()).await;
        assert_eq!(count(&stack, held_back).await, 1);
        // What was taken back already is not taken back again.
        bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ann@example.com"])).await;
        assert_eq!(count(&stack, "SELECT count(*) FROM social_messages WHERE cancelled IS NOT NULL").await, 0);
    }
    bob.ask("social:inviteUsersToSession", invite.clone()).await;
    assert_eq!(count(&stack, held_back).await, 1);
    assert_eq!(server.mails().len(), 2);
    let dead = server.mails()[0].token();
    let_be_due(&stack).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 3);
    assert_ne!(mails[2].token(), dead);

    // And so does a reminder.
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |n| *n == 1);
    let_ten_minutes_pass(&stack).await;
    bob.ask("social:inviteUsersToSession", invite.clone()).await;
    eventually!(server.mails().len(), |sent| *sent == 4);
    // Of another session it is another message.
    create(&mut bob, yoga(Some(&event)), emails(&["ann@example.com"])).await;
    eventually!(server.mails().len(), |sent| *sent == 5);
}

#[tokio::test]
async fn a_hundred_outsiders_an_hour_are_invited_by_one_user_and_no_more_however_they_come() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut alice = stack.client(0, "alice").await;
    let event = event_for(&mut alice, 0).await;
    let session = create(&mut alice, yoga(Some(&event)), json!([])).await;
    let address = |n: usize| format!("u{n}@example.com");
    let many: Vec<String> = (0..101).map(address).collect();
    let all_at_once = inviting(&session, &json!([{"emails": many}]));
    assert_eq!(code(&mut alice, "social:inviteUsersToSession", all_at_once).await, 409);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);

    // Twelve sockets, each inviting ten to a session of its own: a hundred in all go through, in whole calls.
    let calls = (0..12).map(async |socket| {
        let mut alice =
            stack.connect_as(socket % 2, "alice", "demo", &format!("s{socket}")).open().await.expect("let in");
        let ten: Vec<String> = (0..10).map(|n| address(1000 + socket * 10 + n)).collect();
        let request = json!({"session": yoga(Some(&event)), "usersToInvite": [{"emails": ten}]});
        code(&mut alice, "social:createSession", request).await
    });
    let codes = join_all(calls).await;
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 10, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 409).count(), 2, "{codes:?}");
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 100);

    // What is removed has been invited all the same; somebody else may still invite.
    let one = inviting(&session, &json!([{"emails": [address(0)], "facebook": "app:ann"}]));
    execute(&stack, "DELETE FROM social_outsiders").await;
    assert_eq!(code(&mut alice, "social:inviteUsersToSession", one.clone()).await, 409);
    let mut bob = stack.client(0, "bob").await;
    create(&mut bob, yoga(Some(&event)), emails(&["ann@example.com"])).await;
    execute(
        &stack,
        "UPDATE social_inviters SET invited_at = ARRAY(
             SELECT t - interval '1 hour' FROM unnest(invited_at) t)",
    )
    .await;
    alice.ask("social:inviteUsersToSession", one).await;
}

#[tokio::test]
async fn s6_five_hundred_are_invited_users_and_outsiders_together() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), users(&["alice"])).await;
    execute(
        &stack,
        "INSERT INTO social_outsiders (network_id, session_id, kind, address, id, role, inviter_id, expires_at)
         SELECT network_id, id, 0, n || '@example.com', gen_random_uuid(), 0, 'bob', now() + interval '1 hour'
         FROM social_sessions, generate_series(1, 498) n",
    )
    .await;
    let mut invite = async |whom: Value| code(&mut bob, "social:inviteUsersToSession", inviting(&session, &whom)).await;
    assert_eq!(invite(emails(&["ann@example.com"])).await, 0);
    assert_eq!(invite(emails(&["ben@example.com"])).await, 409);
    assert_eq!(invite(users(&["carol"])).await, 409);
    assert_eq!(invite(emails(&["ann@example.com"])).await, 0, "no more than there were");
    // Who claims makes them no more.
    let proof = json!({"kind": "user", "id": "dave", "email": "ann@example.com", "emailVerified": true});
    stack.import_all(&[proof]).await;
    assert_eq!(invited(&get(&mut bob, &session).await), ["alice", "dave"]);
    // What has expired does not count.
    execute(&stack, "UPDATE social_outsiders SET expires_at = now()").await;
    bob.ask("social:inviteUsersToSession", inviting(&session, &users(&["carol"]))).await;
}

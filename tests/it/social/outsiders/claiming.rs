//! Invitations that are claimed by their link.

use harness::{
    eventually,
    smtp::{Mail, MailServer},
};
use serde_json::json;

use super::*;

/// A token of that length that is none.
const NONE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test]
async fn the_link_lets_one_user_in_and_is_worth_nothing_to_others() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, secret(), json!([{"emails": ["ann@example.com"], "role": 1}])).await;
    let token = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 1)[0].token();
    assert_eq!(code(&mut people.carol, "social:joinSession", named(&session)).await, 404);
    people.bob.event("social:sessionUpdated").await;

    people.carol.ask("social:joinSession", claiming(&session, &token)).await;
    for client in [&mut people.bob, &mut people.carol] {
        let told = client.event("social:sessionUpdated").await;
        assert_eq!(role_of(&told["data"]["session"], "carol"), Some(1));
        assert_eq!(joined(&told["data"]["session"]), ["carol"]);
    }
    assert_eq!(joined(&get(&mut people.carol, &session).await), ["carol"]);
    let told = refused(&mut people.dave, "social:joinSession", claiming(&session, &token)).await;
    assert_eq!(told, refused(&mut people.dave, "social:joinSession", named(&session)).await);
    assert_eq!(told.0, 404);
    // To her who has claimed it, it is a session that she sees.
    people.carol.ask("social:joinSession", claiming(&session, &token)).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
    people.carol.ask("social:declineSessionJoin", named(&session)).await;
    assert_eq!(code(&mut people.carol, "social:joinSession", claiming(&session, &token)).await, 404, "used up");
}

#[tokio::test]
async fn a_token_that_is_none_is_as_good_as_none_at_all() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "otto", "networkIds": ["other"]}),
        ])
        .await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, secret(), emails(&["ann@example.com"])).await;
    let another = create(&mut people.bob, secret(), json!([])).await;
    let open = create(&mut people.bob, yoga(None), json!([])).await;
    let token = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 1)[0].token();
    let mut otto = stack.connect_as(0, "otto", "other", "o").open().await.expect("let in");
    let not_found = (404, "session not found".to_owned());
    for (session, token) in [(&session, NONE), (&session, ""), (&session, "x"), (&another, token.as_str())] {
        let told = refused(&mut people.carol, "social:joinSession", claiming(session, token)).await;
        assert_eq!(told, not_found, "{token}");
    }
    let told = refused(&mut otto, "social:joinSession", claiming(&session, &token)).await;
    assert_eq!(told, not_found, "another network");
    people.carol.ask("social:joinSession", claiming(&open, NONE)).await;
    people.carol.ask("social:joinSession", claiming(&open, &token)).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 1, "nothing was used up");
    assert_eq!(
        code(&mut people.carol, "social:joinSession", with(named(&session), json!({"invitation": 1}))).await,
        400
    );

    // An owner who tries the link takes nothing from whom he has invited.
    people.bob.ask("social:joinSession", claiming(&session, &token)).await;
    execute(&stack, "UPDATE social_outsiders SET expires_at = now()").await;
    assert_eq!(code(&mut people.carol, "social:joinSession", claiming(&session, &token)).await, 404, "expired");
    execute(&stack, "UPDATE social_outsiders SET expires_at = now() + interval '1 day'").await;
    people.carol.ask("social:joinSession", claiming(&session, &token)).await;
}

#[tokio::test]
async fn the_higher_role_wins_whichever_way_somebody_is_invited() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;
    for (by_id, by_mail, expected) in [(0, 1, 1), (1, 0, 1), (2, 0, 2), (0, 2, 2)] {
        let before = server.mails().len();
        let invite = json!([{"userId": "carol", "role": by_id}, {"emails": ["ann@example.com"], "role": by_mail}]);
        let session = create(&mut people.bob, secret(), invite).await;
        let token = eventually!(server.mails(), |mails: &Vec<_>| mails.len() > before)[before].token();
        people.carol.ask("social:joinSession", claiming(&session, &token)).await;
        assert_eq!(role_of(&get(&mut people.bob, &session).await, "carol"), Some(expected), "{by_id} {by_mail}");
    }
    // Of an address, too.
    let session = create(&mut people.bob, secret(), json!([{"emails": ["ann@example.com"], "role": 2}])).await;
    for role in [0, 1, 2] {
        let invite = json!([{"emails": ["ann@example.com"], "role": role}]);
        people.bob.ask("social:inviteUsersToSession", inviting(&session, &invite)).await;
    }
    let proof = json!({"kind": "user", "id": "dave", "email": "ann@example.com", "emailVerified": true});
    stack.import_all(&[proof]).await;
    assert_eq!(role_of(&get(&mut people.bob, &session).await, "dave"), Some(1));
}

#[tokio::test]
async fn of_many_who_claim_at_once_exactly_one_has_it() {
    let server = MailServer::start().await;
    let stack = mailing(&server).gateways(2).workers(2).start().await;
    stack.import_all(&super::super::crowd(20)).await;
    let mut bob = stack.client(0, "bob").await;
    for _ in 0..5 {
        let before = server.mails().len();
        let session = create(&mut bob, secret(), emails(&["ann@example.com"])).await;
        let token = eventually!(server.mails(), |mails: &Vec<_>| mails.len() > before)[before].token();
        let claims = (0..20).map(async |n| {
            let mut client = stack.client(n % 2, &format!("u{n}")).await;
            code(&mut client, "social:joinSession", claiming(&session, &token)).await
        });
        let codes = futures::future::join_all(claims).await;
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
        assert!(codes.iter().all(|code| [0, 404].contains(code)), "{codes:?}");
        let now = get(&mut bob, &session).await;
        assert_eq!((invited(&now).len(), invited(&now)), (1, joined(&now)));
    }
}

#[tokio::test]
async fn a_claim_and_a_removal_at_once_leave_either_a_guest_or_a_dead_link() {
    let server = MailServer::start().await;
    let stack = mailing(&server).gateways(2).workers(2).start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut carol = stack.client(1, "carol").await;
    for _ in 0..10 {
        let session = create(&mut bob, secret(), emails(&["ann@example.com"])).await;
        // Cancellations of the sessions before may come in between.
        let is_its = |mail: &Mail| mail.calendar().1.contains(session["id"].as_str().expect("an id"));
        let invitation = eventually!(server.mails().into_iter().find(is_its), Option::is_some);
        let token = invitation.expect("it was just found").token();
        let (claim, removal) = tokio::join!(
            code(&mut carol, "social:joinSession", claiming(&session, &token)),
            code(&mut bob, "social:deleteUserSessionInvitations", removing(&session, &["ann@example.com"])),
        );
        assert_eq!(removal, 0);
        let is_in = !joined(&get(&mut bob, &session).await).is_empty();
        assert_eq!(claim, if is_in { 0 } else { 404 });
        assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
    }
}

#[tokio::test]
async fn a_claim_that_cannot_join_uses_nothing_up() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;
    let event = event_for(&mut people.alice, 1).await;
    let private = with(yoga(Some(&event)), json!({"sessionType": 1}));
    let invite = json!([{"userId": "dave"}, {"emails": ["ann@example.com"]}]);
    let session = create(&mut people.bob, private, invite).await;
    let token = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 1)[0].token();
    people.dave.ask("social:joinSession", named(&session)).await;
    assert_eq!(code(&mut people.carol, "social:joinSession", claiming(&session, &token)).await, 409, "full");
    assert_eq!(code(&mut people.carol, "social:getSession", named(&session)).await, 404);
    people.dave.ask("social:declineSessionJoin", named(&session)).await;
    people.carol.ask("social:joinSession", claiming(&session, &token)).await;
}

#[tokio::test]
async fn a_claim_that_is_sent_again_is_done_once() {
    let server = MailServer::start().await;
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;
    let session = create(&mut people.bob, secret(), emails(&["ann@example.com"])).await;
    let token = eventually!(server.mails(), |mails: &Vec<_>| mails.len() == 1)[0].token();
    for _ in 0..2 {
        let answer = people.carol.call_once("e1", "social:joinSession", claiming(&session, &token)).await;
        assert_eq!(answer["error"]["code"], 0, "{answer}");
    }
}

#[tokio::test]
async fn a_removed_invitation_is_not_sent_and_its_link_is_dead() {
    let server = MailServer::stopped();
    let stack = mailing(&server).start().await;
    let mut people = People::of(&stack).await;
    let invite = json!([{"emails": ["ann@example.com", "ben@example.com"], "phones": ["+49 30 123456"],
        "facebook": "app:ann"}]);
    let session = create(&mut people.bob, secret(), invite).await;
    let whom = ["Ann@example.com", "0049 30 123456", "app:ann", "nobody@example.com", "carol"];
    assert_eq!(code(&mut people.carol, "social:deleteUserSessionInvitations", removing(&session, &whom)).await, 404);
    people.bob.ask("social:deleteUserSessionInvitations", removing(&session, &whom)).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 1);
    server.resume().await;
    let_be_due(&stack).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| !mails.is_empty());
    eventually!(
        count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NOT NULL AND kind = 0").await,
        |due| *due == 0
    );
    assert_eq!(server.mails(), mails);
    assert_eq!(mails[0].to, ["ben@example.com"]);
    people.bob.ask("social:deleteUserSessionInvitations", removing(&session, &["ben@example.com"])).await;
    let dead = claiming(&session, &mails[0].token());
    assert_eq!(code(&mut people.carol, "social:joinSession", dead).await, 404);
}

//! Internationalised domains: one address however it is written, stored and mailed to as the A-label.

use std::time::{SystemTime, UNIX_EPOCH};

use harness::{Connect, eventually, smtp::MailServer, token::sign};
use serde_json::json;

use super::*;

/// How one address may be written.
const FORMS: [&str; 5] = [
    "x@münchen.example",
    "X@MÜNCHEN.Example",
    "x@mu\u{308}nchen.example",
    "x@münchen\u{3002}example",
    "x@XN--mnchen-3ya.example",
];

/// And how it is mailed to.
const LABEL: &str = "x@xn--mnchen-3ya.example";

/// A line of a user of `demo` who has proven an address.
fn proof(user: &str, email: &str) -> Value {
    json!({"kind": "user", "id": user, "networkIds": ["demo"], "email": email, "emailVerified": true})
}

/// When whoever has proven the address is free; never, when nobody has.
async fn slots(client: &mut harness::Client, email: &str) -> Value {
    let request = json!({"users": [{"email": email}], "localDate": "2030-01-02T12:00:00Z"});
    client.ask("meeting:getTimeSlotsForMeeting", request).await["availableTimeSlots"].take()
}

#[tokio::test]
async fn an_internationalised_domain_is_mailed_as_its_a_label() {
    let server = MailServer::start().await;
    server.take_ascii_only();
    let stack = Stack::builder()
        .worker_arg(&format!("--smtp-url={}", server.url()))
        .worker_arg("--smtp-from=Convene <no@grüße.example>")
        .worker_arg(&format!("--public-url={PUBLIC_URL}"))
        .start()
        .await;
    let mut bob = stack.client(0, "bob").await;
    // All of them are one.
    create(&mut bob, yoga(None), json!([{"emails": FORMS}])).await;
    let mails = eventually!(server.mails(), |mails: &Vec<_>| !mails.is_empty());
    assert_eq!(
        (mails[0].from.as_str(), mails[0].to.as_slice()),
        ("no@xn--gre-6ka8l.example", [LABEL.to_owned()].as_slice())
    );
    assert!(mails[0].raw.is_ascii(), "{}", mails[0].raw);
    let parsed = mails[0].parsed();
    let to = parsed.to().and_then(|to| to.first()).expect("To");
    assert_eq!(to.address(), Some(LABEL));
    let (_, ics) = mails[0].calendar();
    let attendees: Vec<&str> = ics.split("\r\n").filter(|line| line.starts_with("ATTENDEE")).collect();
    assert!(attendees.len() == 1 && attendees[0].ends_with(&format!(":mailto:{LABEL}")), "{ics}");
    assert!(ics.contains(":mailto:no@xn--gre-6ka8l.example\r\n"), "{ics}");
    eventually!(count(&stack, "SELECT count(*) FROM social_messages WHERE due_at IS NULL").await, |done| *done == 1);
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn an_address_is_the_same_however_its_domain_is_written() {
    let stack = Stack::builder().worker_arg("--auto-provision").start().await;
    let mut people = People::of(&stack).await;
    for (n, form) in FORMS.into_iter().enumerate() {
        // Invited, and taken back by another form.
        for other in FORMS {
            let session = create(&mut people.bob, secret(), emails(&[form])).await;
            people.bob.ask("social:deleteUserSessionInvitations", removing(&session, &[other])).await;
            assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0, "{form} {other}");
        }
        // Invited before it is proven, and then, and asked for.
        let session = create(&mut people.bob, secret(), emails(&[form])).await;
        stack.import_all(&[proof("eve", "x@München.example")]).await;
        assert_eq!(invited(&get(&mut people.bob, &session).await), ["eve"], "{form}");
        assert_eq!(invited(&create(&mut people.bob, secret(), emails(&[form])).await), ["eve"], "{form}");
        assert_ne!(slots(&mut people.bob, form).await, json!([]), "{form}");
        // Nobody else has it.
        let answer = stack.import(&[proof("mallory", form)]).await;
        assert_eq!(
            answer["errors"][0]["message"], "email: another user of the network has proven this address",
            "{form}"
        );
        // Nor by a token.
        let exp = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 3600;
        let user = format!("u{n}");
        let claims =
            json!({"sub": user, "net": "demo", "sid": user, "exp": exp, "email": form, "email_verified": true});
        let mut client = Connect::to(stack.gateways[0].public).token(&sign(&claims)).open().await.expect("let in");
        let info = client.event("user_info").await;
        assert_eq!(info["data"]["user"]["emailVerified"], false, "{form}: {info}");
        stack.import_all(&[json!({"kind": "user", "id": "eve", "deleted": true})]).await;
    }
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
}

#[tokio::test]
async fn a_token_proves_an_internationalised_address_that_was_invited() {
    let stack = Stack::builder().worker_arg("--auto-provision").start().await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, secret(), emails(&["x@münchen.example"])).await;
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 3600;
    let claims = json!({"sub": "eve", "net": "demo", "sid": "eve", "exp": exp, "email": "X@MÜNCHEN.example",
        "email_verified": true});
    let mut eve = Connect::to(stack.gateways[0].public).token(&sign(&claims)).open().await.expect("let in");
    let info = eve.event("user_info").await;
    assert_eq!(info["data"]["user"]["email"], "X@MÜNCHEN.example", "shown as it came");
    eventually!(invited(&get(&mut bob, &session).await), |invited: &Vec<String>| *invited == ["eve"]);
    // Her own file names her by the A-label.
    let id = session["id"].as_str().expect("an id");
    let url = format!("http://{}/api/v0/resource/sessionInvitation/{id}", stack.gateways[0].public);
    let answer = harness::stack::http().get(url).bearer_auth(sign(&claims)).send().await.expect("an answer");
    let file = answer.text().await.expect("a file").replace("\r\n ", "");
    assert!(file.contains(&format!(":mailto:{LABEL}\r\n")), "{file}");
}

#[tokio::test]
async fn an_address_whose_domain_has_no_a_label_is_400_and_names_the_field() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    for address in [
        format!("x@{}.example", "ü".repeat(63)),
        "x@mün_chen.example".to_owned(),
        "x@münchen\u{ff20}evil.example".to_owned(),
        "x@\u{ad}.example".to_owned(),
    ] {
        let request = json!({"session": yoga(None), "usersToInvite": [{"emails": ["a@b.example", address]}]});
        let (code, message) = refused(&mut bob, "social:createSession", request).await;
        assert_eq!(code, 400, "{address}");
        assert_eq!(message, "data.usersToInvite[0].emails[1]: expected an e-mail address");
    }
}

#[tokio::test]
async fn what_the_release_before_has_stored_with_letters_goes_on_working() {
    let server = MailServer::start().await;
    server.take_ascii_only();
    let stack = Stack::builder().worker_arg("--auto-provision").start().await;
    let mut people = People::of(&stack).await;
    // A user who has proven one, in the way in which it was stored.
    stack.import_all(&[proof("eve", "x@münchen.example")]).await;
    execute(&stack, "UPDATE members SET verified_email = 'x@münchen.example' WHERE user_id = 'eve'").await;
    for form in ["x@münchen.example", LABEL] {
        assert_eq!(invited(&create(&mut people.bob, secret(), emails(&[form])).await), ["eve"], "{form}");
        assert_ne!(slots(&mut people.bob, form).await, json!([]), "{form}");
        let answer = stack.import(&[proof("mallory", form)]).await;
        assert_eq!(
            answer["errors"][0]["message"], "email: another user of the network has proven this address",
            "{form}"
        );
    }
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 3600;
    let claims =
        json!({"sub": "otto", "net": "demo", "sid": "otto", "exp": exp, "email": LABEL, "email_verified": true});
    let mut otto = Connect::to(stack.gateways[0].public).token(&sign(&claims)).open().await.expect("let in");
    assert_eq!(otto.event("user_info").await["data"]["user"]["emailVerified"], false);

    // Invitations: one that is taken back, one that is given again, one that is proven, and one that is sent.
    let mut sessions = Vec::new();
    for address in
        ["a@xn--mnchen-3ya.example", "b@xn--mnchen-3ya.example", "c@xn--mnchen-3ya.example", "d@xn--mnchen-3ya.example"]
    {
        sessions.push(create(&mut people.bob, secret(), emails(&[address])).await);
    }
    execute(
        &stack,
        "UPDATE social_outsiders SET address = replace(address, 'xn--mnchen-3ya', 'münchen');
         UPDATE social_messages SET address = replace(address, 'xn--mnchen-3ya', 'münchen')",
    )
    .await;
    people.bob.ask("social:deleteUserSessionInvitations", removing(&sessions[0], &["A@München.example"])).await;
    people.bob.ask("social:inviteUsersToSession", inviting(&sessions[1], &emails(&["b@münchen.example"]))).await;
    assert_eq!(count(&stack, "SELECT count(*) FROM social_outsiders").await, 3);
    assert_eq!(count(&stack, "SELECT count(*) FROM social_messages WHERE address LIKE 'b@%'").await, 1);
    stack.import_all(&[proof("finn", "c@münchen.example")]).await;
    assert_eq!(invited(&get(&mut people.bob, &sessions[2]).await), ["finn"]);
    // And one that is proven while neither sees the other.
    sessions.push(create(&mut people.bob, secret(), emails(&["e@münchen.example"])).await);
    execute(
        &stack,
        "INSERT INTO users (id, network_ids) VALUES ('gil', '{demo}');
         INSERT INTO members (network_id, user_id, verified_email) VALUES ('demo', 'gil', 'e@münchen.example');
         UPDATE social_outsiders SET recheck_at = now()",
    )
    .await;
    eventually!(invited(&get(&mut people.bob, &sessions[4]).await), |invited: &Vec<String>| *invited == ["gil"]);

    let again = mailing(&server).on(stack.servers.clone()).unseeded().start().await;
    eventually!(count(&again, "SELECT count(*) FROM social_messages WHERE due_at IS NOT NULL").await, |due| *due == 0);
    let mut to: Vec<String> = server.mails().iter().flat_map(|mail| mail.to.clone()).collect();
    to.sort_unstable();
    assert_eq!(to, ["b@xn--mnchen-3ya.example", "d@xn--mnchen-3ya.example"]);
    // The next line of the directory writes it as it is written now.
    again.import_all(&[json!({"kind": "user", "id": "eve", "firstName": "Eve"})]).await;
    let written = "SELECT count(*) FROM members WHERE user_id = 'eve' AND verified_email = 'x@xn--mnchen-3ya.example'";
    assert_eq!(count(&again, written).await, 1);
}

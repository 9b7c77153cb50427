//! Who is invited to a session: rules S6, S8, S10.

use harness::Stack;
use serde_json::{Value, json};

use super::{People, code, create, crowd, get, invited, joined, named, refused, update, users, with, yoga};

/// Users with addresses: Eve has proven all of hers, Finn not his e-mail.
async fn addressed(stack: &Stack) {
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "eve", "networkIds": ["demo"], "email": "Eve@Example.org", "emailVerified": true,
                "phoneNumber": "+49 (0)30 / 123-456", "facebook": ["app:eve", "app2:eve"]}),
            json!({"kind": "user", "id": "finn", "networkIds": ["demo"], "email": "finn@example.org"}),
            json!({"kind": "user", "id": "gil", "networkIds": ["demo"], "phoneNumber": "0041 44 668 18 00"}),
            json!({"kind": "user", "id": "otto", "networkIds": ["other"], "email": "otto@example.org",
                "emailVerified": true, "phoneNumber": "+15551234567", "facebook": ["app:otto"]}),
        ])
        .await;
}

fn inviting(session: &Value, invitations: Value) -> Value {
    let mut request = named(session);
    request["usersToInvite"] = invitations;
    request
}

#[tokio::test]
async fn s10_a_proven_address_invites_its_user_and_the_answer_says_nothing_of_it() {
    let stack = Stack::builder().start().await;
    addressed(&stack).await;
    let mut bob = stack.client(0, "bob").await;
    for (invitation, expected) in [
        (json!({"emails": ["eve@example.ORG"]}), vec!["eve"]),
        (json!({"emails": [" EVE@example.org "]}), vec!["eve"]),
        (json!({"phones": ["+4930123456"]}), vec!["eve"]),
        (json!({"phones": ["0049 30 123456", "+41446681800"]}), vec!["eve", "gil"]),
        (json!({"facebook": "app2:eve"}), vec!["eve"]),
        (
            json!({"userId": "dave", "facebook": "app:eve", "emails": ["eve@example.org"], "phones": ["+41446681800"]}),
            vec!["dave", "eve", "gil"],
        ),
    ] {
        let session = create(&mut bob, yoga(None), json!([invitation])).await;
        assert_eq!(invited(&session), expected, "{invitation}");
        let session = create(&mut bob, yoga(None), json!([])).await;
        let answer = bob.call("social:inviteUsersToSession", inviting(&session, json!([invitation]))).await;
        assert_eq!(answer.get("data"), None);
        assert_eq!(invited(&get(&mut bob, &session).await), expected, "{invitation}");
    }
}

#[tokio::test]
async fn s10_an_unknown_user_is_404_and_an_address_that_is_none_400() {
    let stack = Stack::builder().start().await;
    addressed(&stack).await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), json!([])).await;
    for (wrong, expected, message) in [
        (json!({"userId": "nobody"}), 404, "invited user nobody not found"),
        (json!({"userId": "otto"}), 404, "invited user otto not found"),
        (json!({"userId": "no body"}), 404, "invited user no body not found"),
        (json!({}), 400, "data.usersToInvite[1].userId: "),
        (json!({"userId": "dave", "role": 3}), 400, "data.usersToInvite[1].role: "),
        (json!({"userId": "dave", "role": "host"}), 400, "data.usersToInvite[1].role: "),
        (json!({"emails": ["eve@example.org", "eve"]}), 400, "data.usersToInvite[1].emails[1]: "),
        (json!({"phones": ["030 123456"]}), 400, "data.usersToInvite[1].phones[0]: "),
        (json!({"facebook": "eve"}), 400, "data.usersToInvite[1].facebook: "),
        (json!({"emails": ["eve@example..org"]}), 400, "data.usersToInvite[1].emails[0]: "),
        (json!({"emails": ["finn@example.org", "a@b.org\r\nBcc: c@d.org"]}), 400, "data.usersToInvite[1].emails[1]: "),
    ] {
        let invitations = json!([{"userId": "carol"}, wrong]);
        for (endpoint, data) in [
            ("social:createSession", json!({"session": yoga(None), "usersToInvite": invitations})),
            ("social:inviteUsersToSession", inviting(&session, invitations.clone())),
        ] {
            let (code, told) = refused(&mut bob, endpoint, data).await;
            assert!(code == expected && told.starts_with(message), "{invitations}: {code} {told}");
        }
    }
    assert_eq!(get(&mut bob, &session).await, session, "the whole call has failed");
    assert_eq!(super::count(&stack, "SELECT count(*) FROM social_sessions").await, 1);
    assert_eq!(super::count(&stack, "SELECT count(*) FROM social_outsiders").await, 0);
}

#[tokio::test]
async fn s10_an_address_is_its_users_as_long_as_the_directory_says_so() {
    let stack = Stack::builder().start().await;
    addressed(&stack).await;
    let mut bob = stack.client(0, "bob").await;
    let session = create(&mut bob, yoga(None), json!([])).await;
    for (line, invitation, is_hers) in [
        (json!({"phoneNumber": "+33 1 23 45 67 89"}), json!({"phones": ["+33123456789"]}), true),
        (json!({"phoneNumber": ""}), json!({"phones": ["+33123456789"]}), false),
        (json!({"facebook": []}), json!({"facebook": "app:eve"}), false),
        (json!({"facebook": ["app3:eve"]}), json!({"facebook": "app3:eve"}), true),
        (json!({"emailVerified": false}), json!({"emails": ["eve@example.org"]}), false),
        (json!({"phoneNumber": "+33987654321"}), json!({"phones": ["+33987654321"]}), true),
        (json!({"deleted": true}), json!({"facebook": "app3:eve"}), false),
    ] {
        stack.import_all(&[with(line.clone(), json!({"kind": "user", "id": "eve"}))]).await;
        let remove = with(named(&session), json!({"usersToInvite": ["eve"]}));
        bob.ask("social:deleteUserSessionInvitations", remove).await;
        bob.ask("social:inviteUsersToSession", inviting(&session, json!([invitation]))).await;
        assert_eq!(invited(&get(&mut bob, &session).await) == ["eve"], is_hers, "{line} {invitation}");
    }
}

#[tokio::test]
async fn s10_the_higher_role_wins_and_who_joins_stays_invited() {
    let stack = Stack::builder().start().await;
    addressed(&stack).await;
    let mut people = People::of(&stack).await;
    let both = json!([{"userId": "eve", "role": 0}, {"emails": ["eve@example.org"], "role": 2}, {"userId": "carol"}]);
    let session = create(&mut people.bob, yoga(None), both).await;
    people.carol.ask("social:joinSession", named(&session)).await;
    let mut roles = async |role: i64| -> (Value, Value) {
        let invite = inviting(&session, json!([{"userId": "eve", "role": role}, {"userId": "bob", "role": role}]));
        people.bob.ask("social:inviteUsersToSession", invite).await;
        let now = get(&mut people.bob, &session).await;
        assert_eq!((invited(&now), joined(&now)), (vec!["eve".into(), "carol".into()], vec!["carol".into()]));
        (now["invitedUsers"][0]["role"].clone(), now["invitedUsers"][1]["role"].clone())
    };
    for (role, expected) in [(0, 2), (1, 1), (2, 1), (0, 1)] {
        assert_eq!(roles(role).await, (json!(expected), json!(0)), "{role}");
    }
}

#[tokio::test]
async fn s6_five_hundred_are_invited_and_no_more() {
    let stack = Stack::builder().start().await;
    stack.import_all(&crowd(501)).await;
    let mut people = People::of(&stack).await;
    let ids: Vec<String> = (0..500).map(|n| format!("u{n}")).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let session = create(&mut people.bob, yoga(None), users(&all[..499])).await;
    // One of them again, the owner, and one more.
    let more = inviting(&session, users(&["u7", "bob", "u499"]));
    people.bob.ask("social:inviteUsersToSession", more).await;
    assert_eq!(invited(&get(&mut people.dave, &session).await), all);
    let (code, message) =
        refused(&mut people.bob, "social:inviteUsersToSession", inviting(&session, users(&["u500"]))).await;
    assert_eq!((code, message.contains("500")), (409, true), "{message}");
    let too_many: Vec<&str> = all.iter().copied().chain(["u500"]).collect();
    let request = json!({"session": yoga(None), "usersToInvite": users(&too_many)});
    assert_eq!(refused(&mut people.bob, "social:createSession", request).await.0, 409);

    // Who has joined and would count as invited is one too many.
    people.dave.ask("social:joinSession", named(&session)).await;
    let private = json!({"session": {"id": session["id"], "sessionType": 1}});
    assert_eq!(refused(&mut people.bob, "social:updateSession", private).await.0, 409);
    let one_less = with(named(&session), json!({"usersToInvite": ["u3"]}));
    people.bob.ask("social:deleteUserSessionInvitations", one_less).await;
    let private = update(&mut people.bob, &session, json!({"sessionType": 1})).await;
    assert_eq!(invited(&private).len(), 500);
}

#[tokio::test]
async fn the_database_reads_phone_numbers_as_the_worker_does() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    let mut database = stack.database().await;
    let session = create(&mut bob, yoga(None), json!([])).await;
    for text in [
        "+4930123456",
        "+49 (0)30 / 12 34-56",
        "0049.30.123456",
        "\u{a0}+49\t30123456 ",
        "",
        "030 123456",
        "+0 30123456",
        "+49 30 12345x",
        "+123456",
        "+1234567",
        "+123456789012345",
        "+1234567890123456",
        "+٤٩30123456",
        "00049301234567",
        "++4930123456",
        "+49(00)30123456",
        "tel:+4930123456",
        "+49\n30123456",
    ] {
        let found: Option<String> =
            sqlx::query_scalar("SELECT e164($1)").bind(text).fetch_one(&mut database).await.expect("a number or none");
        // The worker tells a number from what is none (400).
        let code = code(&mut bob, "social:inviteUsersToSession", inviting(&session, json!([{"phones": [text]}]))).await;
        assert_eq!(code, if found.is_some() { 0 } else { 400 }, "{text:?} {found:?}");
    }
}

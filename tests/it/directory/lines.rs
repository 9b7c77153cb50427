//! Which lines are bad, and that nothing else suffers from them.

use harness::Stack;
use serde_json::{Value, json};

use super::{apply, user_info};
use crate::meeting::with;

/// Numbers of the lines that were refused, with the field that each message begins with.
fn fields(errors: Vec<(u64, String)>) -> Vec<(u64, String)> {
    errors
        .into_iter()
        .map(|(line, message)| (line, message.split(": ").next().unwrap_or_default().to_owned()))
        .collect()
}

fn numbered(fields: &[(u64, &str)]) -> Vec<(u64, String)> {
    fields.iter().map(|(line, field)| (*line, (*field).to_owned())).collect()
}

#[tokio::test]
async fn a_bad_line_skips_only_itself_and_is_numbered() {
    let stack = Stack::builder().start().await;
    let body = [
        r#"{"kind":"user","id":"u1","networkIds":["demo"],"firstName":"One"}"#,
        r#"{"kind":"user","id":"u2","networkIds":["nowhere"]}"#,
        r#"no JSON"#,
        r#"{"kind":"user","id":"u3","networkIds":["demo"],"firstName":7}"#,
        r#"{"kind":"user","id":"u:4","networkIds":["demo"]}"#,
        r#"{"kind":"user","id":"u5","networkIds":["demo"],"unheardOf":true}"#,
        r#"{"kind":"planet","id":"mars"}"#,
        r#"{"kind":"room","id":"r1","networkId":"demo"}"#,
    ]
    .join("\n");
    let (status, answer) = stack.admin(reqwest::Method::POST, "/admin/directory", body).await;
    assert_eq!((status, &answer["applied"]), (200, &json!(3)), "{answer}");
    let errors = answer["errors"].as_array().expect("a list").iter();
    let errors = errors
        .map(|error| (error["line"].as_u64().expect("a number"), error["message"].as_str().expect("text").to_owned()));
    let errors: Vec<(u64, String)> = errors.collect();
    assert_eq!(errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5, 7]);
    for (message, field) in
        errors.iter().map(|(_, message)| message).zip(["networkIds[0]", "", "firstName", "id", "kind"])
    {
        assert!(message.starts_with(field), "{message}");
    }
    let users: Vec<String> = sqlx::query_scalar("SELECT id FROM users WHERE id LIKE 'u%' ORDER BY id")
        .fetch_all(&mut stack.database().await)
        .await
        .expect("users");
    assert_eq!(users, ["u1", "u5"], "a bad line leaves nothing behind");
}

#[tokio::test]
async fn a_line_that_names_something_unknown_is_bad() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "room", "id": "elsewhere", "networkId": "other"}),
        ])
        .await;
    let member = |user: &str| json!([{"userId": "bob", "role": "Admin"}, {"userId": user, "role": "Participant"}]);
    for (line, field) in [
        (json!({"kind": "network", "id": "sub", "parentNetworkId": "nowhere"}), "parentNetworkId"),
        (json!({"kind": "user", "id": "new", "networkIds": ["demo", "nowhere"]}), "networkIds[1]"),
        (json!({"kind": "user", "id": "bob", "timeZone": "Mars/Olympus"}), "timeZone"),
        (json!({"kind": "user", "id": "bob", "timeZone": " Europe/Berlin"}), "timeZone"),
        (json!({"kind": "user", "id": "bob", "timeZone": "+02:00"}), "timeZone"),
        (json!({"kind": "user", "id": "new", "networkIds": ["demo"], "timeZone": "Etc/Unknown"}), "timeZone"),
        (json!({"kind": "room", "id": "new"}), "networkId"),
        (json!({"kind": "room", "id": "new", "networkId": "nowhere"}), "networkId"),
        (json!({"kind": "room", "id": "lobby", "networkId": "other"}), "networkId"),
        (json!({"kind": "room", "id": "lobby", "ownerId": "nobody"}), "ownerId"),
        (json!({"kind": "room", "id": "lobby", "viewers": ["bob", "nobody"]}), "viewers[1]"),
        (json!({"kind": "prop", "id": "new"}), "roomId"),
        (json!({"kind": "prop", "id": "new", "roomId": "nowhere"}), "roomId"),
        (json!({"kind": "prop", "id": "table", "roomId": "elsewhere"}), "roomId"),
        (json!({"kind": "group", "id": "new"}), "networkId"),
        (json!({"kind": "group", "id": "team", "networkId": "other"}), "networkId"),
        (json!({"kind": "group", "id": "team", "members": member("nobody")}), "members[1].userId"),
        (json!({"kind": "group", "id": "team", "members": member("bob")}), "members[1].userId"),
        (json!({"kind": "community", "id": "new", "networkId": "nowhere"}), "networkId"),
        (json!({"kind": "community", "id": "garden", "members": member("nobody")}), "members[1].userId"),
    ] {
        let (applied, errors) = apply(&stack, std::slice::from_ref(&line)).await;
        assert_eq!((applied, fields(errors)), (0, numbered(&[(1, field)])), "{line}");
    }
}

#[tokio::test]
async fn a_line_may_name_what_a_line_before_it_made() {
    let stack = Stack::builder().unseeded().start().await;
    let lines = [
        json!({"kind": "network", "id": "child", "parentNetworkId": "parent"}),
        json!({"kind": "network", "id": "parent"}),
        json!({"kind": "network", "id": "grandchild", "parentNetworkId": "child"}),
        json!({"kind": "network", "id": "child", "parentNetworkId": "parent"}),
        json!({"kind": "network", "id": "grandchild", "parentNetworkId": "child"}),
        json!({"kind": "prop", "id": "p", "roomId": "r"}),
        json!({"kind": "room", "id": "r", "networkId": "child", "ownerId": "u"}),
        json!({"kind": "user", "id": "u", "networkIds": ["child"]}),
        json!({"kind": "room", "id": "r", "networkId": "child", "ownerId": "u"}),
        json!({"kind": "prop", "id": "p", "roomId": "r"}),
    ];
    let (applied, errors) = apply(&stack, &lines).await;
    let expected = [(1, "parentNetworkId"), (3, "parentNetworkId"), (6, "roomId"), (7, "ownerId")];
    assert_eq!((applied, fields(errors)), (6, numbered(&expected)));
}

#[tokio::test]
async fn what_is_deleted_can_still_be_named() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "user", "id": "dave", "deleted": true}),
            json!({"kind": "room", "id": "lobby", "deleted": true}),
            json!({"kind": "prop", "id": "chair", "roomId": "lobby"}),
            json!({"kind": "room", "id": "stage", "ownerId": "dave"}),
            json!({"kind": "group", "id": "team", "members": [{"userId": "dave", "role": "Admin"}]}),
        ])
        .await;
}

#[tokio::test]
async fn deleting_what_is_gone_or_never_was_changes_nothing() {
    let stack = Stack::builder().start().await;
    for kind in ["network", "user", "room", "prop", "group", "community"] {
        stack.import_all(&[json!({"kind": kind, "id": "never-was", "deleted": true})]).await;
    }
    let deleted_at = async || -> String {
        let at = sqlx::query_scalar("SELECT deleted_at::text FROM rooms WHERE id = 'lobby'");
        at.fetch_one(&mut stack.database().await).await.expect("the room")
    };
    stack.import_all(&[json!({"kind": "room", "id": "lobby", "deleted": true})]).await;
    let first = deleted_at().await;
    stack.import_all(&[json!({"kind": "room", "id": "lobby", "deleted": true})]).await;
    assert_eq!(deleted_at().await, first);
}

fn email(user: &str, email: &str) -> Value {
    json!({"kind": "user", "id": user, "networkIds": ["demo"], "email": email, "emailVerified": true})
}

#[tokio::test]
async fn a_proven_address_belongs_to_one_user_of_a_network() {
    let stack = Stack::builder().start().await;
    stack.import_all(&[json!({"kind": "network", "id": "other"})]).await;
    let unproven = json!({"kind": "user", "id": "u3", "networkIds": ["demo"], "email": "bob@example.org"});
    let elsewhere =
        json!({"kind": "user", "id": "u4", "networkIds": ["other"], "email": "bob@example.org", "emailVerified": true});
    let lines = [
        email("u1", "new@example.org"),
        email("u2", "BOB@Example.org"),
        unproven,
        elsewhere,
        json!({"kind": "user", "id": "u4", "networkIds": ["other", "demo"]}),
        email("u5", "New@example.org"),
        json!({"kind": "user", "id": "u3", "emailVerified": true}),
        email("bob", "bob@example.org"),
    ];
    let (applied, errors) = apply(&stack, &lines).await;
    assert_eq!((applied, fields(errors)), (4, numbered(&[(2, "email"), (5, "email"), (6, "email"), (7, "email")])));
    assert!(user_info(&stack, "u2", "demo").await.is_none(), "nothing of a bad line is applied");
    assert!(user_info(&stack, "u4", "demo").await.is_none());
    assert!(user_info(&stack, "u4", "other").await.is_some());
}

/// E-mail, whether it is proven, and what others of `demo` find the user by.
async fn proven(stack: &Stack, user: &str) -> (String, bool, Option<String>) {
    sqlx::query_as(
        "SELECT u.email, u.email_verified, m.verified_email
         FROM users u JOIN members m ON m.user_id = u.id AND m.network_id = 'demo' WHERE u.id = $1",
    )
    .bind(user)
    .fetch_one(&mut stack.database().await)
    .await
    .expect("a user of demo")
}

#[tokio::test]
async fn a_changed_e_mail_is_unproven_until_a_line_says_otherwise() {
    let stack = Stack::builder().start().await;
    let bob = "bob@example.org";
    for (changes, email, is_verified) in [
        (json!({"firstName": "Bob"}), bob, Some(bob)),
        // The same in other letters.
        (json!({"email": "Bob@Example.ORG"}), "Bob@Example.ORG", Some(bob)),
        (json!({"email": " bob@example.org "}), " bob@example.org ", Some(bob)),
        (json!({"email": "new@example.org"}), "new@example.org", None),
        (json!({"email": "new@example.org"}), "new@example.org", None),
        (json!({"emailVerified": true}), "new@example.org", Some("new@example.org")),
        (json!({"email": "NEW@example.org"}), "NEW@example.org", Some("new@example.org")),
        (json!({"email": "third@example.org", "emailVerified": true}), "third@example.org", Some("third@example.org")),
        // What nobody has proven, another may have.
        (json!({"email": "carol@example.org"}), "carol@example.org", None),
        (json!({"email": "third@example.org"}), "third@example.org", None),
        (json!({"emailVerified": true}), "third@example.org", Some("third@example.org")),
        (json!({"email": ""}), "", None),
        (json!({"email": "third@example.org"}), "third@example.org", None),
        // Nothing is proven in advance.
        (json!({"email": "", "emailVerified": true}), "", None),
        (json!({"email": "third@example.org"}), "third@example.org", None),
        (json!({"email": "third@example.org", "emailVerified": true}), "third@example.org", Some("third@example.org")),
        (json!({"email": "third@example.org", "emailVerified": null}), "third@example.org", Some("third@example.org")),
        (json!({"email": "third@example.org", "emailVerified": false}), "third@example.org", None),
    ] {
        let line = with(json!({"kind": "user", "id": "bob"}), changes);
        stack.import_all(std::slice::from_ref(&line)).await;
        let (now, flag, found_by) = proven(&stack, "bob").await;
        assert_eq!((now.as_str(), found_by.as_deref()), (email, is_verified), "{line}");
        let info = user_info(&stack, "bob", "demo").await.expect("let in");
        let said = [&info["user"]["email"], &info["user"]["emailVerified"]];
        assert_eq!(said, [&json!(email), &json!(flag)], "{line}");
        assert_eq!(flag && !email.is_empty(), is_verified.is_some(), "{line}");
    }
}

#[tokio::test]
async fn a_deleted_user_who_returns_with_another_e_mail_has_not_proven_it() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "user", "id": "bob", "deleted": true}),
            json!({"kind": "user", "id": "carol", "deleted": true}),
            json!({"kind": "user", "id": "carol"}),
            json!({"kind": "user", "id": "bob", "email": "new@example.org"}),
        ])
        .await;
    assert_eq!(proven(&stack, "bob").await, ("new@example.org".to_owned(), false, None));
    assert_eq!(proven(&stack, "carol").await.2.as_deref(), Some("carol@example.org"), "as she was before");
}

#[tokio::test]
async fn a_stored_time_zone_that_nobody_knows_counts_as_none() {
    let stack = Stack::builder().start().await;
    // As the release before took it, or as older zone data knew it.
    sqlx::raw_sql("UPDATE users SET time_zone = 'Mars/Olympus' WHERE id = 'dave'")
        .execute(&mut stack.database().await)
        .await
        .expect("dave");
    let mut dave = stack.client(0, "dave").await;
    let day = dave.ask("meeting:getUserAvailabilityForDay", json!({"localDate": "2030-01-01T12:00:00Z"})).await;
    let dates = json!([{"startDate": "2030-01-01T00:00:00Z", "endDate": "2030-01-02T00:00:00Z"}]);
    assert_eq!(day["availability"]["dates"], dates, "UTC");
    let session = json!({"session": {"title": "Yoga", "roomId": "lobby", "startDate": "2030-01-01T12:00:00Z",
        "duration": 60, "isRecurring": true}});
    dave.ask("social:createSession", session).await;
    stack.import_all(&[json!({"kind": "user", "id": "dave", "lastName": "D"})]).await;
    for (zone, is_known) in [("", true), ("europe/berlin", true), ("Asia/Calcutta", true), ("Mars/Olympus", false)] {
        let (applied, errors) = apply(&stack, &[json!({"kind": "user", "id": "dave", "timeZone": zone})]).await;
        assert_eq!((applied, errors.is_empty()), (u64::from(is_known), is_known), "{zone}: {errors:?}");
    }
}

#[tokio::test]
async fn what_an_editor_puts_around_lines_is_no_part_of_them() {
    let stack = Stack::builder().start().await;
    let apply = async |body: &str| {
        let (status, answer) = stack.admin(reqwest::Method::POST, "/admin/directory", body.to_owned()).await;
        assert_eq!(status, 200, "{answer}");
        let errors = answer["errors"].as_array().expect("a list").iter();
        let errors: Vec<u64> = errors.map(|error| error["line"].as_u64().expect("a number")).collect();
        (answer["applied"].as_u64().expect("a count"), errors)
    };
    let (one, two) =
        (r#"{"kind":"user","id":"bob"}"#, "{\"kind\":\"user\",\"id\":\"carol\",\"firstName\":\"\u{feff}C\"}");
    let bom = "\u{feff}";
    for (body, applied, bad) in [
        (format!("{bom}{one}\n{two}"), 2, vec![]),
        (format!("{bom}{one}\r\n{two}\r\n"), 2, vec![]),
        (format!("{bom}\r\n\r\n \t\r\n{one}\n\n"), 1, vec![]),
        (bom.to_owned(), 0, vec![]),
        // Two files one after the other.
        (format!("{bom}{one}\n{bom}{two}\n{bom}"), 2, vec![]),
        // Anywhere else it is a character like any other, of a string or of nothing.
        (format!("{one}{bom}\n{two}\n"), 1, vec![1]),
        (format!(" {bom}{one}\n{bom}{bom}{two}\n"), 0, vec![1, 2]),
        // A line ends with LF.
        (format!("{one}\r{two}"), 0, vec![1]),
    ] {
        assert_eq!(apply(&body).await, (applied, bad), "{body:?}");
    }
    let info = user_info(&stack, "carol", "demo").await.expect("let in");
    assert_eq!(info["user"]["firstName"], "\u{feff}C", "kept in a string");
}

#[tokio::test]
async fn a_file_in_utf_16_is_refused_and_told_what_it_is() {
    let stack = Stack::builder().start().await;
    let text: Vec<u16> = "\u{feff}{\"kind\":\"user\",\"id\":\"bob\"}\r\n".encode_utf16().collect();
    let little: Vec<u8> = text.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = text.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    for body in [little, big] {
        let (status, answer) = stack.admin(reqwest::Method::POST, "/admin/directory", body).await;
        assert_eq!((status, &answer["applied"]), (200, &json!(0)), "{answer}");
        let first = json!({"line": 1, "message": "is UTF-16: write the file as UTF-8"});
        assert_eq!(answer["errors"][0], first, "{answer}");
    }
}

#[tokio::test]
async fn addresses_can_change_hands_within_a_batch() {
    let stack = Stack::builder().start().await;
    let lines = [
        email("bob", "bob.b@example.org"),
        email("carol", "bob@example.org"),
        email("dave", "bob.b@example.org"),
        json!({"kind": "user", "id": "bob", "emailVerified": false}),
        email("dave", "bob.b@example.org"),
        json!({"kind": "user", "id": "carol", "deleted": true}),
        email("bob", "bob@example.org"),
        json!({"kind": "user", "id": "carol"}),
    ];
    let (applied, errors) = apply(&stack, &lines).await;
    assert_eq!((applied, fields(errors)), (6, numbered(&[(3, "email"), (8, "email")])));
    assert!(user_info(&stack, "carol", "demo").await.is_none(), "she stays deleted: her address is another's");
    let holders: Vec<(String, String)> =
        sqlx::query_as("SELECT user_id, verified_email FROM members WHERE verified_email LIKE 'bob%' ORDER BY user_id")
            .fetch_all(&mut stack.database().await)
            .await
            .expect("members");
    let expected = [("bob", "bob@example.org"), ("dave", "bob.b@example.org")];
    assert_eq!(holders, expected.map(|(user, email)| (user.to_owned(), email.to_owned())));
}

#[tokio::test]
async fn of_two_who_bring_an_address_at_once_one_has_it() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    for round in 0..10 {
        // A whole batch each, so that they meet in the middle.
        let lines = |side: &str, other: &str| -> Vec<Value> {
            (0..50).map(|n| email(&format!("{side}{round}-{n}"), &format!("{other}{round}-{n}@example.org"))).collect()
        };
        let (left, right) = (lines("left", "both"), lines("right", "both"));
        let (left, right) = tokio::join!(apply(&stack, &left), apply(&stack, &right));
        assert_eq!(left.0 + right.0, 50, "{left:?} {right:?}");
        for (_, message) in left.1.iter().chain(&right.1) {
            assert!(message.starts_with("email: ") || message.starts_with("contradicts"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_role_makes_a_manager_until_it_is_taken_away() {
    let stack = Stack::builder().start().await;
    let manages = async |user: &str| -> bool {
        let is_manager =
            sqlx::query_scalar("SELECT is_manager FROM members WHERE network_id = 'demo' AND user_id = $1");
        is_manager.bind(user).fetch_one(&mut stack.database().await).await.expect("a member")
    };
    let role = |target: &str| {
        json!({"kind": "user", "id": "dave", "userRoles": [{"id": "r", "targetType": "network", "targetId": target,
               "permissions": ["network.view", "network.manage"]}]})
    };
    for (line, expected) in [
        (role("demo"), true),
        (json!({"kind": "user", "id": "dave", "firstName": "Dave"}), true),
        (role("elsewhere"), false),
        (json!({"kind": "user", "id": "dave", "permissions": {"admin": true}}), true),
        (json!({"kind": "user", "id": "dave", "permissions": {}}), false),
        (role("demo"), true),
        (json!({"kind": "user", "id": "dave", "userRoles": []}), false),
    ] {
        stack.import_all(std::slice::from_ref(&line)).await;
        assert_eq!(manages("dave").await, expected, "{line}");
    }
}

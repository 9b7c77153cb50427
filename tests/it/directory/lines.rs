//! Which lines are bad, and that nothing else suffers from them.

use harness::Stack;
use serde_json::{Value, json};

use super::{apply, user_info};

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

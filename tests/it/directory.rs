//! The directory: what lines do, which are bad, and that a million of them go through.

mod lines;
mod volume;

use harness::Stack;
use serde_json::{Value, json};

/// Lines that are refused, as (number, beginning of the message), and how many were applied.
async fn apply(stack: &Stack, lines: &[Value]) -> (u64, Vec<(u64, String)>) {
    let answer = stack.import(lines).await;
    let errors = answer["errors"].as_array().expect("a list").iter();
    let errors = errors.map(|error| {
        let message = error["message"].as_str().expect("a message").to_owned();
        (error["line"].as_u64().expect("a number"), message)
    });
    (answer["applied"].as_u64().expect("a count"), errors.collect())
}

/// The `data` of the user's `user_info`, when he is let in.
async fn user_info(stack: &Stack, user: &str, network: &str) -> Option<Value> {
    let mut client = stack.connect_as(0, user, network, "to see his profile").open().await.ok()?;
    let info = client.event("user_info").await["data"].take();
    client.close().await;
    Some(info)
}

#[tokio::test]
async fn a_profile_is_what_the_lines_say() {
    let stack = Stack::builder().unseeded().start().await;
    let user = json!({
        "id": "zoe", "created": "2020-02-02T02:02:02.5Z", "updated": "2021-01-01T00:00:00Z",
        "companyName": "Convene", "companyTitle": "Chair", "firstName": "Zoë", "lastName": "Ё",
        "birthday": "1990-01-01", "hometown": "Łódź", "education": "self", "zipCode": "00-001", "description": "long",
        "linkUrl": "https://example.org", "privacyMode": 1, "avatar": "pic",
        "avatar3D": {"assetId": "a", "assetSkins": {"hat": "red"}, "avatarUrl": "u", "avatarUserId": "v"},
        "params": {"zoom": {"link": "x"}}, "identityType": 2, "identityName": "zoe@", "zAddress": "zs1",
        "contactCount": 1, "pendingContactCount": 2, "newNotificationsCount": 3, "idealMatchCount": 4,
        "email": "zoe@example.org", "emailVerified": true, "phoneNumber": "+48123456789",
        "permissions": {"admin": true, "developer": true},
        "userRoles": [{"id": "r", "roleName": "Host", "targetType": "room", "isBuildIn": true,
                       "permissions": ["room.open"], "targetId": "lobby"}],
    });
    let settings = json!({
        "email": {"ignoreNewTextchatMessage": true},
        "navigation": {"navigationMode": 1, "verticalSensitivity": 0.5, "horizontalSensitivity": 0.25,
                       "joystickSettings": 2, "helperButtonAppearance": 3},
        "objectCollision": 4,
    });
    let mut line = user.clone();
    line["kind"] = json!("user");
    line["networkIds"] = json!(["demo"]);
    line["userSettings"] = settings.clone();
    line["pendingRequestCount"] = json!(99);
    let network = json!({
        "kind": "network", "id": "demo", "created": "2019-01-01T00:00:00Z", "updated": "2019-01-02T00:00:00Z",
        "fullName": "Demo", "type": "Public", "thumbnail": "t", "parentNetworkId": "",
        "state": {"defaultSubNetworkId": "sub", "data": {"receivedBlocks": true}},
        "defaults": {"roomId": "lobby", "hasExpo": true, "expoStartDate": "2030-01-01T00:00:00Z"},
        "presentationDomain": "p", "studioDomain": "s", "shareDomain": "h", "loadBalancerUrl": "l",
    });
    stack.import_all(&[network, line]).await;

    let info = user_info(&stack, "zoe", "demo").await.expect("let in");
    for (field, value) in user.as_object().expect("an object") {
        assert_eq!(info["user"][field], *value, "{field}");
    }
    assert_eq!(info["user"]["pendingRequestCount"], 0, "counted, not told");
    assert_eq!(info["userSettings"], settings);
    assert_eq!(info["network"]["fullName"], "Demo");
    assert_eq!(info["network"]["created"], "2019-01-01T00:00:00Z");
    assert_eq!(info["networkState"], json!({"defaultSubNetworkId": "sub", "data": {"receivedBlocks": true}}));
    assert_eq!(info["networkDefaults"]["expoStartDate"], "2030-01-01T00:00:00Z");
    let domains = [&info["presentationDomain"], &info["studioDomain"], &info["shareDomain"], &info["loadBalancerUrl"]];
    assert_eq!(domains, ["p", "s", "h", "l"]);
}

#[tokio::test]
async fn what_a_line_leaves_out_stays_and_what_it_gives_replaces_the_whole() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "user", "id": "dave", "params": {"a": 1, "b": 2}, "avatar3D": {"assetId": "x", "avatarUrl": "u"},
                   "permissions": {"admin": true, "developer": true}, "userSettings": {"objectCollision": 1}}),
            json!({"kind": "user", "id": "dave", "lastName": "D", "params": {"c": 3}, "avatar3D": {"avatarUrl": "w"},
                   "permissions": {"developer": true}}),
            json!({"kind": "network", "id": "demo", "thumbnail": "new"}),
        ])
        .await;
    let info = user_info(&stack, "dave", "demo").await.expect("let in");
    let user = &info["user"];
    assert_eq!((&user["firstName"], &user["lastName"]), (&json!("dave"), &json!("D")));
    assert_eq!(user["params"], json!({"c": 3}));
    assert_eq!(user["avatar3D"], json!({"assetId": "", "assetSkins": {}, "avatarUrl": "w", "avatarUserId": ""}));
    assert_eq!(user["permissions"], json!({"admin": false, "developer": true}));
    assert_eq!(info["userSettings"]["objectCollision"], 1);
    assert_eq!((&info["network"]["fullName"], &info["network"]["thumbnail"]), (&json!("Demo"), &json!("new")));
}

#[tokio::test]
async fn members_stay_unless_a_line_lists_others() {
    let stack = Stack::builder().start().await;
    let mut database = stack.database().await;
    for (kind, id, members) in [
        ("group", "team", "SELECT user_id || ' ' || role FROM group_members WHERE group_id = $1 ORDER BY position"),
        (
            "community",
            "garden",
            "SELECT user_id || ' ' || role FROM community_members WHERE community_id = $1 ORDER BY position",
        ),
    ] {
        let mut after = async |line: Value| -> Vec<String> {
            stack.import_all(&[line]).await;
            sqlx::query_scalar(members).bind(id).fetch_all(&mut database).await.expect("members")
        };
        let both = json!([{"userId": "dave", "role": "Admin"}, {"userId": "bob", "role": "Participant"}]);
        let listed = after(json!({"kind": kind, "id": id, "members": both})).await;
        assert_eq!(listed, ["dave Admin", "bob Participant"]);
        assert_eq!(after(json!({"kind": kind, "id": id, "title": "Another"})).await, listed);
        assert_eq!(after(json!({"kind": kind, "id": id, "deleted": true})).await, listed, "for when it is restored");
        assert_eq!(after(json!({"kind": kind, "id": id, "members": []})).await, [""; 0]);
    }
}

#[tokio::test]
async fn what_clients_define_is_kept_byte_for_byte() {
    let stack = Stack::builder().start().await;
    let params = r#"{"z":1.10, "a":123456789012345678901234567890,"é":"\u00e9","n":-0.0e1}"#;
    let line = format!(r#"{{"kind":"user","id":"dave","params":{params}}}"#);
    let (status, answer) = stack.admin(reqwest::Method::POST, "/admin/directory", line).await;
    assert_eq!((status, answer), (200, json!({"applied": 1, "errors": []})));
    let kept: String = sqlx::query_scalar("SELECT params FROM users WHERE id = 'dave'")
        .fetch_one(&mut stack.database().await)
        .await
        .expect("dave");
    assert_eq!(kept, params);
}

#[tokio::test]
async fn lines_can_be_applied_again_without_any_difference() {
    let stack = Stack::builder().start().await;
    let state = async || -> Vec<String> {
        let tables = "SELECT format('user %s', to_jsonb(u) - 'updated_at') FROM users u
            UNION ALL SELECT format('member %s', to_jsonb(m)) FROM members m
            UNION ALL SELECT format('network %s', to_jsonb(n) - 'updated_at') FROM networks n WHERE id = 'demo'
            UNION ALL SELECT format('room %s', to_jsonb(r) - 'updated_at') FROM rooms r
            UNION ALL SELECT format('prop %s', to_jsonb(p) - 'updated_at') FROM props p
            UNION ALL SELECT format('group %s', to_jsonb(g) - 'updated_at') FROM groups g
            UNION ALL SELECT format('group member %s', to_jsonb(g)) FROM group_members g
            UNION ALL SELECT format('community %s', to_jsonb(c) - 'updated_at') FROM communities c
            UNION ALL SELECT format('community member %s', to_jsonb(c)) FROM community_members c
            ORDER BY 1";
        sqlx::query_scalar(tables).fetch_all(&mut stack.database().await).await.expect("the directory")
    };
    let before = state().await;
    assert_eq!(before.len(), 20, "{before:#?}");
    stack.import_all(&harness::stack::demo()).await;
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn a_user_enters_the_networks_of_his_line_and_no_other() {
    let stack = Stack::builder().start().await;
    stack.import_all(&[json!({"kind": "network", "id": "other"})]).await;
    assert!(user_info(&stack, "dave", "demo").await.is_some());
    assert!(user_info(&stack, "dave", "other").await.is_none());
    stack.import_all(&[json!({"kind": "user", "id": "dave", "networkIds": ["other", "other"]})]).await;
    assert!(user_info(&stack, "dave", "demo").await.is_none());
    assert!(user_info(&stack, "dave", "other").await.is_some());
    stack.import_all(&[json!({"kind": "user", "id": "dave", "deleted": true})]).await;
    assert!(user_info(&stack, "dave", "other").await.is_none());
    stack.import_all(&[json!({"kind": "user", "id": "dave"})]).await;
    assert!(user_info(&stack, "dave", "other").await.is_some(), "as he was before");
}

#[tokio::test]
async fn only_the_sockets_in_the_network_that_a_user_left_are_closed() {
    let stack = Stack::builder().gateways(2).start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "dave", "networkIds": ["demo", "other"]}),
        ])
        .await;
    let mut here = stack.client(0, "dave").await;
    let mut there = stack.client(1, "bob").await;
    let mut elsewhere = stack.connect_as(1, "dave", "other", "elsewhere").open().await.expect("let in");
    elsewhere.event("user_info").await;
    stack.import_all(&[json!({"kind": "user", "id": "dave", "networkIds": ["other"]})]).await;
    assert_eq!(here.event("invalidConnection").await["error"]["code"], 4502);
    assert_eq!(here.closed().await, Some(4502));
    elsewhere.no_event().await;
    stack.import_all(&[json!({"kind": "user", "id": "dave", "deleted": true})]).await;
    assert_eq!(elsewhere.closed().await, Some(4502));
    there.no_event().await;
}

#[tokio::test]
async fn nobody_enters_a_deleted_network() {
    let stack = Stack::builder().start().await;
    let mut bob = stack.client(0, "bob").await;
    stack.import_all(&[json!({"kind": "network", "id": "demo", "deleted": true})]).await;
    assert_eq!(bob.closed().await, Some(4001));
    assert_eq!(stack.connect(0, "bob").open().await.expect_err("refused").status, 401);
    stack.import_all(&[json!({"kind": "network", "id": "demo"})]).await;
    assert!(user_info(&stack, "bob", "demo").await.is_some());
}

#[tokio::test]
async fn a_reset_begins_a_new_epoch() {
    let stack = Stack::builder().start().await;
    let epoch = async || -> String {
        let epoch = sqlx::query_scalar("SELECT epoch FROM networks WHERE id = 'demo'");
        epoch.fetch_one(&mut stack.database().await).await.expect("the network")
    };
    let before = epoch().await;
    let reset = async |network: &str| {
        stack.admin(reqwest::Method::POST, &format!("/admin/networks/{network}/reset"), "").await.0
    };
    assert_eq!(reset("demo").await, 200);
    let after = epoch().await;
    assert_ne!(after, before);
    assert!((1..=32).contains(&after.len()) && after.bytes().all(|b| b.is_ascii_alphanumeric()), "{after}");
    assert_eq!(reset("nowhere").await, 404);
}

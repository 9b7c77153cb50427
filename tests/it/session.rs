//! One socket for each session, over all pods; and every other way in which a session ends.

use std::time::Duration;

use futures::future::join_all;
use harness::{
    Connect, Stack, eventually,
    stack::{ADMIN_TOKEN, http},
    token,
};
use reqwest::Method;
use serde_json::{Value, json};

fn invalid_connection(code: u16) -> impl Fn(&Value) -> bool {
    move |event| {
        event["event"] == "invalidConnection" && event["error"]["code"] == code && event["error"]["status"] == true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_sockets_opened_at_once_over_two_pods_exactly_one_stays() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    for _round in 0..3 {
        let opening = (0..50).map(|n| stack.connect(n % 2, "alice").open());
        let clients: Vec<_> = join_all(opening).await.into_iter().map(|client| client.expect("let in")).collect();
        let (ended, mut ends) = tokio::sync::mpsc::channel(50);
        for mut client in clients {
            let ended = ended.clone();
            tokio::spawn(async move {
                let code = client.closed().await;
                let told = client.untaken_events().iter().any(invalid_connection(4501));
                let _ = ended.send((code, told)).await;
            });
        }
        for _ in 0..49 {
            assert_eq!(ends.recv().await, Some((Some(4501), true)));
        }
        let (_, presence) = stack.admin(Method::GET, "/admin/users/alice/presence", "").await;
        assert_eq!(presence["sessions"].as_array().map(Vec::len), Some(1), "{presence}");
        assert!(ends.try_recv().is_err(), "the fiftieth stays");
        // It is the next round's sockets that end it; what it says then is not this round's.
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_its_client_gave_up_does_not_end_the_socket_that_was_opened_since() {
    let stack = Stack::builder().gateways(2).processes().start().await;
    // The gateway reads what was sent to it only when it goes on: then its client is long gone.
    stack.gateways[0].signal("STOP").await;
    for _ in 0..5 {
        let upgrade = stack.connect(0, "alice").upgrade();
        tokio::time::timeout(Duration::from_millis(100), upgrade).await.expect_err("nobody answers");
    }
    let mut alice = stack.client(1, "alice").await;
    stack.gateways[0].signal("CONT").await;
    // Both came after.
    stack.client(0, "bob").await;
    stack.client(0, "carol").await;
    alice.no_event().await;
    let (_, presence) = stack.admin(Method::GET, "/admin/users/alice/presence", "").await;
    assert_eq!(presence["sessions"].as_array().map(Vec::len), Some(1), "{presence}");
}

#[tokio::test]
async fn another_session_of_the_user_is_not_touched() {
    let stack = Stack::builder().gateways(2).start().await;
    let mut phone = stack.connect_as(0, "alice", "demo", "phone").open().await.expect("let in");
    let mut laptop = stack.connect_as(1, "alice", "demo", "laptop").open().await.expect("let in");
    let mut newer = stack.connect_as(1, "alice", "demo", "phone").open().await.expect("let in");
    assert_eq!(phone.closed().await, Some(4501));
    laptop.event("user_info").await;
    laptop.no_event().await;
    newer.event("user_info").await;
    newer.no_event().await;
}

#[tokio::test]
async fn the_same_sid_of_another_user_or_network_is_another_session() {
    let stack = Stack::builder().start().await;
    stack
        .import_all(&[
            json!({"kind": "network", "id": "other"}),
            json!({"kind": "user", "id": "alice", "networkIds": ["demo", "other"]}),
        ])
        .await;
    let mut clients = Vec::new();
    for (user, network) in [("alice", "demo"), ("bob", "demo"), ("alice", "other")] {
        clients.push(stack.connect_as(0, user, network, "s").open().await.expect("let in"));
    }
    for client in &mut clients {
        client.event("user_info").await;
        client.no_event().await;
    }
}

#[tokio::test]
async fn a_client_hears_who_it_is_and_where_it_begins_to_listen() {
    let stack = Stack::builder().start().await;
    let mut alice = stack.connect(0, "alice").open().await.expect("let in");
    let info = alice.event("user_info").await;
    assert_eq!(info["data"]["user"]["id"], "alice");
    assert_eq!(info["data"]["user"]["email"], "alice@example.org");
    assert_eq!(info["data"]["network"]["id"], "demo");
    assert_eq!(info["data"]["isNew"], false);
    assert!(info["lastEventId"].is_string());
    assert!(info.get("eventId").is_none());
    assert_eq!(info["error"], json!({"status": false, "code": 0, "message": ""}));
}

#[tokio::test]
async fn the_token_is_taken_from_each_of_its_places_and_the_first_decides() {
    let stack = Stack::builder().start().await;
    let good = token::token("alice", "demo", "s");
    let connect = || Connect::to(stack.gateways[0].public);
    for connect in [
        connect().token(&good),
        connect().header("x-session-id", &good),
        connect().query("sessionId", &good),
        connect().token(&good).header("x-session-id", "bad"),
        connect().header("x-session-id", &good).query("sessionId", "bad"),
    ] {
        connect.clone().open().await.unwrap_or_else(|refused| panic!("{connect:?}: {refused:?}"));
    }
    for connect in [
        connect(),
        connect().token("bad").header("x-session-id", &good),
        connect().header("x-session-id", "bad").query("sessionId", &good),
    ] {
        let refused = connect.clone().open().await.expect_err("no valid token");
        assert_eq!((refused.status, &refused.body["error"]["code"]), (401, &json!(401)), "{connect:?}");
    }
}

#[tokio::test]
async fn a_token_that_expires_closes_its_socket() {
    let stack = Stack::builder().start().await;
    let token = token::token_for("alice", "demo", "s", Duration::from_secs(2));
    let mut client = Connect::to(stack.gateways[0].public).token(&token).open().await.expect("let in");
    assert_eq!(client.closed().await, Some(4503));
    assert!(client.untaken_events().iter().any(invalid_connection(4503)));
    let refused = Connect::to(stack.gateways[0].public).token(&token).open().await.expect_err("expired");
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_revoked_session_is_closed_on_every_pod_and_never_let_in_again() {
    let stack = Stack::builder().gateways(2).start().await;
    let mut alice = stack.connect_as(0, "alice", "demo", "stolen").open().await.expect("let in");
    let mut bob = stack.connect_as(1, "bob", "demo", "stolen").open().await.expect("let in");
    let mut other = stack.client(1, "carol").await;
    let (status, answer) = stack.admin(Method::POST, "/admin/sessions/stolen/revoke", "").await;
    assert_eq!((status, answer), (200, json!({"closed": 2})));
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.closed().await, Some(4502));
        assert!(client.untaken_events().iter().any(invalid_connection(4502)));
    }
    other.no_event().await;
    for gateway in 0..2 {
        let refused = stack.connect_as(gateway, "alice", "demo", "stolen").open().await.expect_err("revoked");
        assert_eq!(refused.status, 401);
    }
}

#[tokio::test]
async fn a_reset_network_sends_its_clients_back_to_read_everything_anew() {
    let stack = Stack::builder().gateways(2).start().await;
    let mut alice = stack.connect(0, "alice").open().await.expect("let in");
    let last_event_id = alice.event("user_info").await["lastEventId"].as_str().expect("an id").to_owned();
    let mut bob = stack.client(1, "bob").await;
    let (status, answer) = stack.admin(Method::POST, "/admin/networks/demo/reset", "").await;
    assert_eq!((status, answer), (200, json!({"closed": 2})));
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.closed().await, Some(4001));
        assert!(client.untaken_events().iter().any(invalid_connection(4001)));
    }
    let mut alice = stack.connect(1, "alice").last_event_id(&last_event_id).open().await.expect("let in");
    alice.event("user_info").await;
    let resync = alice.event("resyncRequired").await;
    assert_eq!(resync["data"], json!({}));
    assert!(resync.get("eventId").is_none());
    // The new epoch's events flow.
    let meeting = json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": "After", "invitedUserIds": [],
        "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});
    alice.ask("meeting:createMeeting", meeting).await;
    alice.event("meeting:onMeetingCreated").await;
    let (status, _) = stack.admin(Method::POST, "/admin/networks/nowhere/reset", "").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_user_who_leaves_loses_his_sockets_there_at_once() {
    let stack = Stack::builder().gateways(2).start().await;
    let mut bob = stack.client(1, "bob").await;
    let mut carol = stack.client(1, "carol").await;
    stack.import_all(&[json!({"kind": "user", "id": "bob", "deleted": true})]).await;
    assert_eq!(bob.closed().await, Some(4502));
    stack.import_all(&[json!({"kind": "user", "id": "carol", "networkIds": []})]).await;
    assert_eq!(carol.closed().await, Some(4502));
    for user in ["bob", "carol"] {
        assert_eq!(stack.connect(0, user).open().await.expect_err("gone").status, 401);
    }
    stack.import_all(&[json!({"kind": "user", "id": "bob"})]).await;
    stack.client(0, "bob").await;
}

#[tokio::test]
async fn whoever_is_not_of_the_network_is_not_let_in() {
    let stack = Stack::builder().start().await;
    stack.import_all(&[json!({"kind": "network", "id": "other"})]).await;
    for (user, network) in [("alice", "other"), ("stranger", "demo"), ("alice", "nowhere")] {
        let refused = stack.connect_as(0, user, network, "s").open().await.expect_err("a stranger");
        assert_eq!((refused.status, &refused.body["error"]["status"]), (401, &json!(true)), "{user} in {network}");
    }
}

#[tokio::test]
async fn a_user_seen_for_the_first_time_is_made_known_once() {
    let stack = Stack::builder().gateways(2).worker_arg("--auto-provision").start().await;
    let claims = |sid: &str| {
        token::sign(&json!({"sub": "erin", "net": "demo", "sid": sid, "exp": 4_000_000_000_u64, "given_name": "Erin",
            "email": "erin@example.org", "email_verified": true, "zoneinfo": "Asia/Kathmandu"}))
    };
    let opening = (0..8).map(|n| {
        let token = claims(&n.to_string());
        let address = stack.gateways[n % 2].public;
        async move {
            let mut client = Connect::to(address).token(&token).open().await.expect("let in");
            client.event("user_info").await["data"].take()
        }
    });
    let infos = join_all(opening).await;
    assert_eq!(infos.iter().filter(|info| info["isNew"] == true).count(), 1, "{infos:?}");
    assert!(
        infos.iter().all(|info| info["user"]["firstName"] == "Erin" && info["user"]["email"] == "erin@example.org")
    );
    let refused = stack.connect_as(0, "erin", "nowhere", "s").open().await.expect_err("no such network");
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn presence_shows_where_a_user_is_and_forgets_who_left() {
    let stack = Stack::builder().gateways(2).start().await;
    let client = stack.client(1, "alice").await;
    let (_, presence) = stack.admin(Method::GET, "/admin/users/alice/presence", "").await;
    let session = &presence["sessions"][0];
    assert_eq!((&session["sid"], &session["network"]), (&json!("session-of-alice"), &json!("demo")));
    assert!(
        session["pod"].is_string() && session["since"].as_str().is_some_and(|since| since.ends_with('Z')),
        "{session}"
    );
    client.close().await;
    eventually!(stack.admin(Method::GET, "/admin/users/alice/presence", "").await.1, |presence| *presence
        == json!({"sessions": []}));
}

#[tokio::test]
async fn administration_needs_its_token() {
    let stack = Stack::builder().start().await;
    let url = format!("http://{}/admin/users/alice/presence", stack.gateways[0].management);
    let get = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.expect("JSON")["error"]["message"].clone())
    };
    let client = http();
    let missing = "no administration token: it is sent as Authorization: Bearer and the token";
    assert_eq!(get(client.get(&url)).await, (401, json!(missing)));
    assert_eq!(get(client.get(&url).basic_auth("admin", Some(ADMIN_TOKEN))).await, (401, json!(missing)));
    assert_eq!(get(client.get(&url).bearer_auth("another")).await, (401, json!("not the administration token")));
    assert_eq!(get(client.get(&url).bearer_auth(ADMIN_TOKEN)).await, (200, Value::Null));
}

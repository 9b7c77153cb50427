//! A pod that events do not reach notices it, mends it, and says so where mending does not help.

use harness::{Client, NatsProxy, Servers, Stack, eventually, stack::ADMIN_TOKEN, token::token};
use serde_json::{Value, json};
use shared::{bus::Subject, internal::SendCanary};

use crate::meeting::{create, in_the_lobby, told_twice, with};

async fn behind_a_proxy() -> (NatsProxy, Stack) {
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    let proxy = NatsProxy::before(&servers.nats_url).await;
    servers.nats_url = proxy.url(&servers.nats_url);
    (proxy, Stack::builder().on(servers).start().await)
}

/// Status of `/readyz`, and what it says of events and of everything else.
async fn readiness(stack: &Stack) -> (u16, String, Value) {
    let (status, body) = stack.gateways[0].get("/readyz").await.expect("it runs");
    let mut dependencies = serde_json::from_str::<Value>(&body).expect("JSON")["dependencies"].take();
    let events = dependencies["events"].take().as_str().expect("a text").to_owned();
    (status, events, dependencies)
}

/// Alice changes the meeting, and both are told.
async fn change(alice: &mut Client, bob: &mut Client, meeting: &Value, subject: &str) {
    alice.ask("meeting:updateMeeting", json!({"meetingId": meeting["meetingId"], "subject": subject})).await;
    for client in [alice, bob] {
        let [event, _] = told_twice(client, "meeting:onMeetingUpdated").await;
        assert_eq!(event["data"]["meeting"]["subject"], subject);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_the_server_forgets_without_a_word_are_made_anew_and_no_client_notices() {
    let (proxy, stack) = behind_a_proxy().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(0, "bob").await;
    let meeting = create(&mut alice, in_the_lobby(&["bob"])).await;
    for client in [&mut alice, &mut bob] {
        told_twice(client, "meeting:onMeetingCreated").await;
    }
    let network = Subject::events("demo").to_string();
    let lost = ["deliver.", "heads.", &network];
    for subject in lost {
        eventually!(proxy.subscriptions(subject), |count| *count == 1);
        proxy.forget(subject);
        eventually!(proxy.subscriptions(subject), |count| *count == 0);
    }
    let mut changes = 0;
    while lost.iter().any(|subject| proxy.subscriptions(subject) == 0) {
        changes += 1;
        assert!(changes < 60, "{:?}", lost.map(|subject| proxy.subscriptions(subject)));
        change(&mut alice, &mut bob, &meeting, &changes.to_string()).await;
    }
    change(&mut alice, &mut bob, &meeting, "after").await;
    let (status, ..) = readiness(&stack).await;
    assert_eq!(status, 200, "nothing was missing for long");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_cannot_mend_it_is_unready_until_events_reach_it_again() {
    let (proxy, stack) = behind_a_proxy().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(0, "bob").await;
    let ways = ["deliver.", "heads.", "ev.", "internal.events.range"];
    proxy.swallow(&ways);
    for way in ways {
        proxy.forget(way);
    }
    let (_, events, others) = eventually!(readiness(&stack).await, |(status, ..)| *status == 503);
    assert_eq!(events, "events are moved and do not reach this pod");
    assert_eq!(others, json!({"bus": "ok", "presence": "ok", "workers": "ok", "keys": "ok", "events": null}));
    assert_eq!(stack.gateways[0].get("/livez").await.expect("it runs").0, 200);
    // Who is there is served on; only what happened is not told.
    let meeting = create(&mut alice, in_the_lobby(&["bob"])).await;

    proxy.swallow(&[]);
    for client in [&mut alice, &mut bob] {
        assert_eq!(told_twice(client, "meeting:onMeetingCreated").await[0]["data"]["meeting"], meeting);
    }
    eventually!(readiness(&stack).await, |(status, events, _)| *status == 200 && events == "ok");
    for way in &ways[..3] {
        eventually!(proxy.subscriptions(way), |count| *count > 0);
    }
}

#[tokio::test]
async fn pods_stay_ready_and_say_why_when_nobody_moves_events() {
    let servers = Servers::shared().await.isolated_with_schema().await;
    let mut hoarder = {
        use sqlx::Connection as _;
        sqlx::PgConnection::connect(&servers.database_url).await.expect("the database")
    };
    // Holds the locks by which relays hold partitions.
    sqlx::raw_sql("SELECT pg_advisory_lock(1668178290, n) FROM generate_series(0, 63) n")
        .execute(&mut hoarder)
        .await
        .expect("locks");
    let stack = Stack::builder().on(servers).start().await;
    let mut alice = stack.client(0, "alice").await;
    eventually!(readiness(&stack).await, |(status, events, _)| *status == 200 && events.ends_with("is late"));
    let meeting = create(&mut alice, in_the_lobby(&["bob"])).await;
    sqlx::raw_sql("SELECT pg_advisory_unlock_all()").execute(&mut hoarder).await.expect("unlocked");
    assert_eq!(told_twice(&mut alice, "meeting:onMeetingCreated").await[0]["data"]["meeting"], meeting);
    eventually!(readiness(&stack).await, |(status, events, _)| *status == 200 && events == "ok");
}

#[tokio::test]
async fn nobody_can_enter_name_or_reset_a_network_of_canaries() {
    let stack = Stack::builder().start().await;
    let network = eventually!(
        sqlx::query_scalar::<_, String>("SELECT id FROM networks WHERE id <> 'demo' LIMIT 1")
            .fetch_optional(&mut stack.database().await)
            .await
            .expect("the networks"),
        Option::is_some
    )
    .expect("there is one");
    assert!((0..64).any(|partition| SendCanary::network(partition) == network), "{network}");
    let connect = harness::Connect::to(stack.gateways[0].public).token(&token("alice", &network, "s"));
    assert_eq!(connect.open().await.expect_err("no such network").status, 401);
    let user = json!({"kind": "user", "id": "alice", "networkIds": ["demo", network]});
    let line = json!({"kind": "network", "id": network, "fullName": "mine"});
    let answer =
        stack.import(&[user, line, with(json!({"kind": "network", "id": network}), json!({"deleted": true}))]).await;
    assert_eq!(answer["applied"], 0, "{answer}");
    let reset = format!("/admin/networks/{}/reset", network.replace(':', "%3A"));
    let url = format!("http://{}{reset}", stack.gateways[0].management);
    let response = harness::stack::http().post(url).bearer_auth(ADMIN_TOKEN).send().await.expect("an answer");
    assert_eq!(response.status(), 404);
}

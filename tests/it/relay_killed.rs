//! A relay that dies between its commit and its publish costs open sockets nothing.

use std::{future, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use harness::Stack;
use serde_json::json;
use shared::{bus::nats::Nats, lifecycle::Shutdown, presence::redis::Redis};
use tokio::sync::Notify;
use worker::relay::{Hooks, Relay};

use crate::meeting::told_twice;

/// Says that a commit was made, and never lets the relay tell of it.
struct Silence(Arc<Notify>);

impl Hooks for Silence {
    fn before_telling(&self) -> BoxFuture<'_, ()> {
        self.0.notify_one();
        future::pending().boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_between_its_commit_and_its_publish_costs_open_sockets_nothing() {
    let stack = Stack::builder()
        .gateways(2)
        .workers(2)
        .arg_of_worker(0, "--namespaces=meeting,social,user,directory")
        .arg_of_worker(1, "--namespaces=events")
        .start()
        .await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(1, "bob").await;
    let meeting = |subject: &str| {
        json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": subject, "invitedUserIds": ["bob"],
            "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"})
    };
    alice.ask("meeting:createMeeting", meeting("told")).await;
    for client in [&mut alice, &mut bob] {
        told_twice(client, "meeting:onMeetingCreated").await;
    }

    // From here on a relay moves events that tells nobody.
    stack.workers[1].stop().await;
    let committed = Arc::new(Notify::new());
    let relay = Relay::new(
        stack.servers.database_url.parse().expect("a URL"),
        Nats::connect(&stack.servers.nats_url, "silent").expect("a URL"),
        Redis::connect(&stack.servers.redis_url).expect("a URL"),
    );
    let relay = tokio::spawn(relay.with_hooks(Silence(committed.clone())).run(Shutdown::default()));
    alice.ask("meeting:createMeeting", meeting("not told")).await;
    tokio::time::timeout(harness::eventually::PATIENCE, committed.notified()).await.expect("the relay commits");
    for client in [&mut alice, &mut bob] {
        client.no_event().await;
    }
    relay.abort();

    stack.workers[1].start().await;
    for client in [&mut alice, &mut bob] {
        let [event, _] = told_twice(client, "meeting:onMeetingCreated").await;
        assert_eq!(event["data"]["meeting"]["subject"], "not told");
    }
    alice.ask("meeting:createMeeting", meeting("told again")).await;
    for client in [&mut alice, &mut bob] {
        let [event, _] = told_twice(client, "meeting:onMeetingCreated").await;
        assert_eq!(event["data"]["meeting"]["subject"], "told again");
        client.no_event().await;
    }
}

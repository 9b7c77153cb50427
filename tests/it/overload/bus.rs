//! Messages that come faster than a gateway takes them.

use harness::{Stack, eventually, servers::nats_client};
use serde_json::json;
use shared::{
    bus::{SUBSCRIPTION_CAPACITY, Subject},
    internal::{Head, Heads, Moved},
};

use super::{numbers, tell};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_subscription_loses_is_counted_and_everybody_is_told_all_the_same() {
    let stack = Stack::builder()
        .processes()
        .workers(2)
        .arg_of_worker(0, "--namespaces=meeting,social,user,directory")
        .arg_of_worker(1, "--namespaces=events")
        .start()
        .await;
    let mut bob = stack.client(0, "bob").await;
    let mut carol = stack.client(0, "carol").await;
    tell(&stack, &["bob", "carol"], 0, 10).await;
    bob.event("meeting:onMeetingUpdated").await;
    let network: (String, i16) = sqlx::query_as("SELECT epoch, partition FROM networks WHERE id = 'demo'")
        .fetch_one(&mut stack.database().await)
        .await
        .expect("the network");
    let (epoch, partition) = (network.0, network.1.unsigned_abs());
    let bus = nats_client(&stack.servers.nats_url).await.expect("NATS");
    let publish = async |subject: Subject, message: serde_json::Value| {
        bus.publish(subject.as_str().to_owned(), message.to_string().into()).await.expect("published");
    };
    // Nobody answers what the stream asks: it hears of a head that it does not have, and takes nothing while it waits.
    stack.workers[1].signal("STOP").await;
    let head = Heads { heads: vec![Head { network: "demo".into(), epoch: epoch.clone(), head: 1000 }] };
    let moved = serde_json::to_value(Moved { epoch, from: 0, to: 1, recipients: vec![vec!["bob".into()]] });
    let moved = moved.expect("JSON");
    let lost = async || stack.gateways[0].metric("convene_bus_lost_messages_total", &[]).await;
    let mut rounds = 0;
    while lost().await == 0.0 {
        rounds += 1;
        assert!(rounds <= 5, "nothing is ever lost");
        publish(Subject::heads(partition), json!(head)).await;
        bus.flush().await.expect("flushed");
        for _ in 0..SUBSCRIPTION_CAPACITY + 8192 {
            publish(Subject::events("demo"), moved.clone()).await;
        }
        bus.flush().await.expect("flushed");
    }
    for number in 1..=3 {
        tell(&stack, &["bob", "carol"], number, 10).await;
    }
    stack.workers[1].signal("CONT").await;
    for number in 1..=3 {
        assert_eq!(numbers(&[bob.event("meeting:onMeetingUpdated").await]), [number]);
    }
    for number in 0..=3 {
        assert_eq!(numbers(&[carol.event("meeting:onMeetingUpdated").await]), [number]);
    }
    eventually!(stack.gateways[0].get("/readyz").await, |answer| answer.as_ref().is_some_and(|(code, _)| *code == 200));
}

//! What is away is said once, and then once a minute.

use std::collections::BTreeMap;

use harness::{Proxy, Servers, Stack, eventually};

use super::{ready, unready};

/// How often each message at `WARN` and above stands in a log.
fn warnings(log: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if event["level"] == "WARN" || event["level"] == "ERROR" {
            let message = event["message"].as_str().expect("a message");
            let what = event["dependency"].as_str().unwrap_or_default();
            *counts.entry(format!("{message} {what}")).or_default() += 1;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_a_line_when_it_goes_and_not_one_each_second() {
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    let direct = servers.clone();
    let [database, redis, nats] = [
        Proxy::before(&servers.database_url).await,
        Proxy::before(&servers.redis_url).await,
        Proxy::before(&servers.nats_url).await,
    ];
    servers.database_url = database.url(&servers.database_url);
    servers.redis_url = redis.url(&servers.redis_url);
    servers.nats_url = nats.url(&servers.nats_url);
    let mut stack = Stack::builder()
        .on(servers)
        .processes()
        .log_filter("info,async_nats=off")
        .gateway_arg("--log-format=json")
        .worker_arg("--log-format=json")
        .worker_arg("--event-retention=10s")
        .start()
        .await;
    stack.servers = direct;
    let mut alice = stack.client(0, "alice").await;
    let (gateway, worker) = (&stack.gateways[0], &stack.workers[0]);

    redis.part();
    unready(gateway, "presence", "presence is away").await;
    for n in 0..30 {
        let refused = stack.connect_as(0, "bob", "demo", &n.to_string()).open().await.expect_err("no claim");
        assert_eq!(refused.status, 503);
    }
    database.part();
    unready(worker, "database", "").await;
    unready(gateway, "workers", "").await;
    eventually!(database.refused(), |count| *count >= 30);
    for _ in 0..30 {
        assert_eq!(alice.call("meeting:listUserMeetings", serde_json::json!({})).await["error"]["code"], 503);
    }
    nats.part();
    unready(worker, "bus", "").await;
    eventually!(nats.refused(), |count| *count >= 30);

    for pod in [gateway, worker] {
        let counts = warnings(&pod.logged());
        // Each way in which it fails is said: no connection is made, the old one breaks, no answer comes in time.
        assert!(counts.values().all(|count| *count <= 4), "{}: {counts:#?}", pod.name());
    }
    let counts = warnings(&worker.logged());
    assert!(counts.contains_key("not good database") && counts.contains_key("NATS is away "), "{counts:#?}");
    let counts = warnings(&gateway.logged());
    assert!(counts.contains_key("not well presence") && counts.contains_key("Redis is away "), "{counts:#?}");

    for proxy in [&database, &redis, &nats] {
        proxy.heal();
    }
    ready(&stack).await;
    let says_how_long = |log: &str| {
        let is_it = |event: &serde_json::Value| event["message"] == "good" && event["dependency"] == "database";
        let mut events = log.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        events.any(|event| is_it(&event) && event["seconds"].is_u64())
    };
    eventually!(says_how_long(&worker.logged()));
}

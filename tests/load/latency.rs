//! What the gateway and the worker add to a bare request over the bus.

use std::time::Instant;

use futures::StreamExt as _;
use harness::servers::nats_client;
use serde_json::json;

use crate::{Figure, median, timed};

/// Sends so many of each, in turn, and compares the medians.
pub async fn measure(requests: usize) -> Figure {
    let stack = timed().start().await;
    let mut client = stack.client(0, "alice").await;
    let (asking, answering) =
        tokio::try_join!(nats_client(&stack.servers.nats_url), nats_client(&stack.servers.nats_url)).expect("NATS");
    let mut served = answering.queue_subscribe("bare", "bare".to_owned()).await.expect("a subscription");
    tokio::spawn(async move {
        while let Some(message) = served.next().await {
            if let Some(reply) = message.reply {
                answering.publish(reply, message.payload).await.expect("NATS takes it");
            }
        }
    });

    // Until the server knows of the subscription.
    while asking.request("bare", "".into()).await.is_err() {}

    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for request in 0..requests + 200 {
        let begun = Instant::now();
        asking.request("bare", r#"{"meetingId":"x"}"#.into()).await.expect("an answer");
        let between = Instant::now();
        // No such endpoint: the worker's router answers, and nothing else is done.
        let answer = client.call("meeting:noOp", json!({"meetingId": "x"})).await;
        let ended = Instant::now();
        assert_eq!(answer["error"]["code"], 404);
        if request >= 200 {
            bare.push(between - begun);
            whole.push(ended - between);
        }
    }
    let (bare, whole) = (median(bare), median(whole));
    Figure {
        name: "latency",
        measured: format!("{whole:?} for a request that does nothing"),
        against: format!("{bare:?} for a bare request over the bus (medians of {requests})"),
        ratio: whole.as_secs_f64() / bare.as_secs_f64(),
        bound: Some(3.0),
    }
}

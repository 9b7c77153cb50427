//! A bus that loses messages, breaks and comes back, under open sockets that nobody connects again.

use std::time::Duration;

use futures::future::join_all;
use harness::{Fault, Isolated, Loss, Proxy, Server, Servers, Stack};
use serde_json::{Value, json};

use crate::{
    meeting::in_the_lobby,
    record::{Listener, Within, complete_within},
};

/// What the contract promises.
const PROMISE: Duration = Duration::from_secs(15);

/// Does it, and again with the same id until somebody says that it is done. Notes what was said before.
async fn until_done(listener: &mut Listener, event_id: &str, endpoint: &str, data: Value, codes: &mut Vec<u64>) {
    loop {
        let answer = listener.client.call_once(event_id, endpoint, data.clone()).await;
        match answer["error"]["code"].as_u64() {
            Some(0) => return,
            Some(code @ (503 | 504)) => codes.push(code),
            _ => panic!("{endpoint}: {answer}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Everybody makes some meetings with everybody.
async fn make_meetings(listeners: &mut [Listener], round: &str, each: usize) -> Vec<u64> {
    let making = listeners.iter_mut().map(async |listener| {
        let mut codes = Vec::new();
        for n in 0..each {
            let mut meeting = in_the_lobby(&["alice", "bob", "carol", "dave"]);
            meeting["subject"] = json!(format!("{} {round} {n}", listener.user));
            until_done(listener, &format!("{round} {n}"), "meeting:createMeeting", meeting, &mut codes).await;
        }
        codes
    });
    join_all(making).await.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_loses_messages_breaks_and_is_restarted_loses_repeats_and_reorders_nothing() {
    const EACH: [usize; 3] = [40, 4, 4];
    let nats = Server::nats().await;
    let url = nats.new_url();
    let proxy = Proxy::before_nats(&url, 5).await;
    let servers = Isolated { nats_url: proxy.url(&url), ..Servers::shared().await.isolated_with_schema().await };
    let stack = Stack::builder().gateways(2).workers(2).gateway_arg("--request-timeout=1s").on(servers).start().await;
    let mut listeners = Vec::new();
    for (n, user) in harness::stack::USERS.into_iter().enumerate() {
        listeners.push(Listener::open(&stack, n % 2, user).await);
    }

    proxy.set(Fault { loss: Loss { per_mille: 50, subjects: "" }, ..Fault::default() });
    let mut codes = make_meetings(&mut listeners, "lossy", EACH[0]).await;
    assert!(codes.contains(&504), "of {} lost messages none was an answer: {codes:?}", proxy.lost());
    proxy.heal();
    complete_within(Within::from_now(PROMISE), &stack, &mut listeners, "after losses").await;

    proxy.cut();
    codes.extend(make_meetings(&mut listeners, "cut", EACH[1]).await);
    complete_within(Within::from_now(PROMISE), &stack, &mut listeners, "after a cut").await;

    nats.stop().await;
    let (codes_then, ()) = tokio::join!(make_meetings(&mut listeners, "restarted", EACH[2]), nats.start());
    codes.extend(codes_then);
    complete_within(Within::from_now(PROMISE), &stack, &mut listeners, "after a restart").await;

    let meetings: i64 = sqlx::query_scalar("SELECT count(*) FROM meetings")
        .fetch_one(&mut stack.database().await)
        .await
        .expect("a number");
    assert_eq!(
        meetings,
        4 * EACH.into_iter().sum::<usize>() as i64,
        "each was made once, whatever was answered: {codes:?}"
    );
    let created = listeners[0].told.iter().filter(|event| event.name == "meeting:onMeetingCreated").count();
    assert_eq!(created as i64, meetings);
}

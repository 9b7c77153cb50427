//! Redis that is slow or away while everybody connects.

use std::time::Duration;

use futures::{StreamExt as _, future::join_all, stream};
use harness::{Client, Fault, Proxy, Refused, Servers, Stack, eventually};

use super::{bystander::Bystander, numbers, open_again, tell};

const STORM: usize = 150;

async fn storm(stack: &Stack) -> Vec<Result<Client, Refused>> {
    stream::iter(0..STORM)
        .map(|n| stack.connect_as(0, "bob", "demo", &n.to_string()).open())
        .buffer_unordered(STORM)
        .collect()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_or_slow_every_upgrade_has_its_answer_and_open_sockets_go_on() {
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    let proxy = Proxy::before(&servers.redis_url).await;
    servers.redis_url = proxy.url(&servers.redis_url);
    let stack = Stack::builder().processes().on(servers).start().await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);

    proxy.set(Fault { is_frozen: true, ..Fault::default() });
    for refused in storm(&stack).await {
        let refused = refused.expect_err("nobody can say whose the session is");
        assert_eq!(refused.status, 503);
        assert!(refused.retry_after.is_some());
    }
    // Told without a look-up of where the recipients are.
    tell(&stack, &["carol"], 1, 10).await;
    tell(&stack, &["carol"], 2, 10).await;
    let mut carol = bystander.leave().await;
    for number in 1..=2 {
        assert_eq!(numbers(&[carol.event("meeting:onMeetingUpdated").await]), [number]);
    }
    let bystander = Bystander::watch(carol);

    proxy.set(Fault { delay: Duration::from_millis(80), ..Fault::default() });
    eventually!(stack.connect(0, "dave").open().await.is_ok());
    let mut opened = 0;
    for connected in storm(&stack).await {
        match connected {
            Ok(_) => opened += 1,
            Err(refused) => assert_eq!((refused.status, refused.retry_after.is_some()), (503, true)),
        }
    }
    assert!(opened > 0, "slow is not away");

    proxy.heal();
    eventually!(stack.connect(0, "dave").open().await.is_ok());
    let again = (0..STORM).map(|n| open_again(stack.connect_as(0, "bob", "demo", &n.to_string())));
    join_all(again).await;
    bystander.leave().await;
}

//! A Redis that answers every ping and takes no claim.

use harness::{Proxy, Server, Servers, Stack, eventually};
use redis::Cmd;
use serde_json::json;

use super::{readiness, ready, said, unready};
use crate::meeting::{create, in_the_lobby, told_twice};

/// A command of one word after another.
async fn command(url: &str, words: &[&str]) -> redis::Value {
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
    let mut command = Cmd::new();
    command.arg(words);
    command.query_async(&mut connection).await.expect("an answer")
}

/// A gateway says within seconds that nobody can be let in, open sockets go on, and all is well once Redis is.
async fn gateways_are_unready_while(spoilt: &[&str], mended: &[&str], why: &str) {
    let redis = Server::redis().await;
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    servers.redis_url = redis.new_url();
    let url = servers.redis_url.clone();
    let stack = Stack::builder().on(servers).start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(0, "bob").await;

    command(&url, spoilt).await;
    let entries = unready(&stack.gateways[0], "presence", why).await;
    assert_eq!((said(&entries, "bus"), said(&entries, "workers")), ("ok", "ok"), "{entries}");
    let refused = stack.connect(0, "carol").open().await.expect_err("her session cannot be claimed");
    assert_eq!((refused.status, refused.retry_after.is_some()), (503, true));
    assert_eq!(readiness(&stack.workers[0]).await.0, 200, "a worker does without");
    create(&mut alice, in_the_lobby(&["bob"])).await;
    for client in [&mut alice, &mut bob] {
        told_twice(client, "meeting:onMeetingCreated").await;
    }

    command(&url, mended).await;
    ready(&stack).await;
    stack.client(0, "carol").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_unready_while_redis_is_a_replica() {
    let (replica, primary) = (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]);
    gateways_are_unready_while(&replica, &primary, "it is a replica").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_unready_while_redis_lets_them_run_no_scripts() {
    let user = ["ACL", "SETUSER", "default"];
    let (denied, allowed) =
        ([&user[..], &["-eval", "-evalsha"]].concat(), [&user[..], &["+eval", "+evalsha"]].concat());
    gateways_are_unready_while(&denied, &allowed, "evalsha").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_unready_while_redis_has_no_memory_left() {
    let maxmemory = |bytes| ["CONFIG", "SET", "maxmemory", bytes];
    gateways_are_unready_while(&maxmemory("1"), &maxmemory("0"), "maxmemory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_look_users_up_says_so_and_serves() {
    let redis = Server::redis().await;
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    servers.redis_url = redis.new_url();
    let url = servers.redis_url.clone();
    let stack = Stack::builder().on(servers).start().await;
    command(&url, &["ACL", "SETUSER", "default", "-hgetall"]).await;
    let worker = &stack.workers[0];
    let (status, _) =
        eventually!(readiness(worker).await, |(_, entries)| said(entries, "presence").contains("hgetall"));
    assert_eq!(status, 200);
    command(&url, &["ACL", "SETUSER", "default", "+hgetall"]).await;
    ready(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_follows_the_primary_of_redis_is_followed_by_all_pods() {
    let (old, new) = (Server::redis().await, Server::redis().await);
    let mut servers = Servers::shared().await.isolated_with_schema().await;
    let [old_url, new_url] = [old.new_url(), new.new_url()];
    let proxy = Proxy::before(&old_url).await;
    servers.redis_url = proxy.url(&old_url);
    // Both take the same password, as they would.
    let password = old_url.split(':').nth(2).and_then(|rest| rest.split('@').next()).expect("a password").to_owned();
    command(&new_url, &["CONFIG", "SET", "requirepass", &password]).await;
    let own_password = new_url.split(':').nth(2).and_then(|rest| rest.split('@').next()).expect("a password");
    let new_url = new_url.replace(own_password, &password);
    let stack = Stack::builder().on(servers).start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(0, "bob").await;
    ready(&stack).await;

    // Its connections stay open: the server goes on, as a replica.
    let port = new_url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    proxy.lead_to(&new_url);
    command(&old_url, &["CONFIG", "SET", "masterauth", &password]).await;
    command(&old_url, &["REPLICAOF", "127.0.0.1", &port]).await;
    let others = async || {
        let clients: String =
            redis::from_redis_value(command(&old_url, &["CLIENT", "LIST", "TYPE", "normal"]).await).expect("text");
        clients.lines().count() - 1
    };
    eventually!(others().await, |count| *count == 0);
    ready(&stack).await;
    // What the gateways write there is what the workers read there.
    let _carol = stack.client(0, "carol").await;
    let keys: Vec<String> =
        redis::from_redis_value(command(&new_url, &["KEYS", "presence:{carol}"]).await).expect("keys");
    assert_eq!(keys, ["presence:{carol}"]);
    create(&mut alice, in_the_lobby(&["bob"])).await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(
            told_twice(client, "meeting:onMeetingCreated").await[0]["data"]["meeting"]["subject"],
            json!("Plans")
        );
    }
}

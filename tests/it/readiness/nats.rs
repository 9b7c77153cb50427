//! A NATS server that lets pods connect, and refuses to take what they publish or subscribe to.

use std::{fs, path::PathBuf};

use harness::{
    Servers, Stack, eventually,
    process::{Guarded, signal},
    servers::free_port,
};
use tempfile::TempDir;
use tokio::process::Command;

use super::{ready, said, unready};
use crate::meeting::{create, in_the_lobby, told_twice};

/// A server that knows gateways and workers apart.
struct Strict {
    port: u16,
    file: PathBuf,
    process: Guarded,
    _folder: TempDir,
}

/// What each may do where nothing is refused, as deploy/README.md says.
const GATEWAY: [&str; 2] =
    [r#""rpc.>", "internal.>", "ctl.>", "_INBOX.>""#, r#""_INBOX.>", "deliver.>", "ev.>", "heads.>", "ctl.>""#];
const WORKER: [&str; 2] = [
    r#""wake.>", "deliver.>", "ev.>", "heads.>", "ctl.>", "_INBOX.>""#,
    r#""_INBOX.>", "rpc.>", "internal.>", "wake.>""#,
];

fn configuration(port: u16, gateway: [&str; 2], worker: [&str; 2]) -> String {
    let user = |name: &str, [publish, subscribe]: [&str; 2]| {
        format!(
            "{{ user: {name}, password: secret, permissions: {{ publish: [{publish}], subscribe: [{subscribe}] }} }}"
        )
    };
    let users = [user("gateway", gateway), user("worker", worker)].join(", ");
    format!("host: 127.0.0.1\nport: {port}\nauthorization {{ users: [ {users} ] }}\n")
}

impl Strict {
    async fn start() -> Self {
        let port = free_port().expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("nats.conf");
        fs::write(&file, configuration(port, GATEWAY, WORKER)).expect("written");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let process = Guarded::spawn(Command::new("nats-server").arg("--config").arg(&file).stderr(log));
        let strict = Self { port, file, process: process.expect("nats-server is installed"), _folder: folder };
        eventually!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok());
        strict
    }

    /// From now on these are what they may do.
    fn allow(&self, gateway: [&str; 2], worker: [&str; 2]) {
        fs::write(&self.file, configuration(self.port, gateway, worker)).expect("written");
        signal(self.process.id(), "HUP").expect("it runs");
    }

    async fn stack(&self) -> Stack {
        let servers = Servers::shared().await.isolated_with_schema().await;
        let ways = ["gateway", "worker"].map(|user| {
            let mut way = servers.clone();
            way.nats_url = format!("nats://{user}:secret@127.0.0.1:{}", self.port);
            way
        });
        let [gateways, workers] = ways;
        Stack::builder().on(servers).through(gateways, workers).start().await
    }
}

async fn works(stack: &Stack) {
    ready(stack).await;
    let mut alice = stack.client(0, "alice").await;
    let bob = stack.client(0, "bob").await;
    create(&mut alice, in_the_lobby(&["bob"])).await;
    for mut client in [alice, bob] {
        told_twice(&mut client, "meeting:onMeetingCreated").await;
        client.close().await;
    }
}

/// What is missing of what gateways may publish; how the entry names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_may_not_publish_is_unready_and_says_what() {
    let strict = Strict::start().await;
    let stack = strict.stack().await;
    works(&stack).await;
    for (publish, why) in [
        (r#""internal.>", "ctl.>", "_INBOX.>""#, r#"Publish to "rpc."#),
        (r#""rpc.>", "ctl.>", "_INBOX.>""#, r#"Publish to "internal."#),
        (r#""rpc.>", "internal.>", "_INBOX.>""#, r#"Publish to "ctl.probe""#),
    ] {
        strict.allow([publish, GATEWAY[1]], WORKER);
        let entries = unready(&stack.gateways[0], "bus", why).await;
        assert_eq!(said(&entries, "presence"), "ok");
        strict.allow(GATEWAY, WORKER);
        works(&stack).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_may_not_subscribe_is_unready_until_it_may() {
    let strict = Strict::start().await;
    let stack = strict.stack().await;
    works(&stack).await;
    strict.allow(GATEWAY, [WORKER[0], r#""_INBOX.>", "internal.>", "wake.>""#]);
    unready(&stack.workers[0], "bus", r#"Subscription to "rpc."#).await;
    strict.allow(GATEWAY, WORKER);
    works(&stack).await;
    strict.allow([GATEWAY[0], r#""_INBOX.>", "ev.>", "heads.>", "ctl.>""#], WORKER);
    unready(&stack.gateways[0], "bus", r#"Subscription to "deliver."#).await;
    strict.allow(GATEWAY, WORKER);
    works(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_answer_or_tell_of_events_is_unready() {
    let strict = Strict::start().await;
    let stack = strict.stack().await;
    works(&stack).await;
    for (publish, why) in [
        (r#""wake.>", "deliver.>", "ev.>", "heads.>", "ctl.>""#, r#"Publish to "_INBOX."#),
        (r#""wake.>", "deliver.>", "heads.>", "ctl.>", "_INBOX.>""#, r#"Publish to "ev.probe""#),
    ] {
        strict.allow(GATEWAY, [publish, WORKER[1]]);
        unready(&stack.workers[0], "bus", why).await;
        strict.allow(GATEWAY, WORKER);
        works(&stack).await;
    }
}

//! A cluster of NATS servers, and a leaf node of it where a region of its own has its gateways: they serve as one, and one of
//! the cluster's servers may die.

use std::{fs, path::Path};

use harness::{Stack, eventually, process::Guarded, servers::free_port};
use serde_json::json;
use tokio::process::Command;

/// How servers and pods sign in.
const USER: &str = "convene:secret";

/// Ports of a server of the cluster: for clients, for the other one, for leaf nodes.
#[derive(Clone, Copy, Debug)]
struct Ports {
    clients: u16,
    routes: u16,
    leaves: u16,
}

impl Ports {
    fn new() -> Self {
        let [clients, routes, leaves] = std::array::from_fn(|_| free_port().expect("a free port"));
        Self { clients, routes, leaves }
    }
}

const AUTHORIZATION: &str = "authorization { user: convene, password: secret }\n";

fn start(folder: &Path, name: &str, configuration: &str) -> Guarded {
    let file = folder.join(name);
    fs::write(&file, format!("host: 127.0.0.1\n{AUTHORIZATION}{configuration}")).expect("written");
    let log = fs::File::create(folder.join(format!("{name}.log"))).expect("a log");
    Guarded::spawn(Command::new("nats-server").arg("--config").arg(file).stderr(log)).expect("nats-server is installed")
}

fn member(folder: &Path, name: &str, own: Ports, other: Ports) -> Guarded {
    let configuration = format!(
        "port: {}
         cluster {{ name: home, port: {}, routes: [\"nats://127.0.0.1:{}\"] }}
         leafnodes {{ port: {} }}",
        own.clients, own.routes, other.routes, own.leaves
    );
    start(folder, name, &configuration)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_at_a_leaf_node_is_one_of_all_and_a_server_of_the_cluster_may_die() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two] = [Ports::new(), Ports::new()];
    let mut first = member(folder.path(), "one", one, two);
    let _second = member(folder.path(), "two", two, one);
    let far_port = free_port().expect("a free port");
    let remotes = format!(
        "port: {far_port}
         leafnodes {{ reconnect: 1, remotes: [{{ urls: [\"nats://{USER}@127.0.0.1:{}\", \"nats://{USER}@127.0.0.1:{}\"] }}] }}",
        one.leaves, two.leaves
    );
    let _leaf = start(folder.path(), "leaf", &remotes);

    let mut servers = harness::Servers::shared().await.isolated_with_schema().await;
    servers.nats_url = format!("nats://{USER}@127.0.0.1:{},nats://127.0.0.1:{}", one.clients, two.clients);
    let home = Stack::builder().on(servers.clone()).start().await;
    servers.nats_url = format!("nats://{USER}@127.0.0.1:{far_port}");
    let far = Stack::builder().on(servers).workers(0).unseeded().start().await;

    let mut alice = home.client(0, "alice").await;
    let mut bob = far.client(0, "bob").await;
    let meeting = |subject: &str| {
        json!({"sourceType": "direct", "sourceIds": ["bob"], "subject": subject,
            "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"})
    };
    let created = alice.ask("meeting:createMeeting", meeting("from home")).await;
    assert_eq!(bob.event("meeting:onMeetingCreated").await["data"], created);
    let id = json!({"meetingId": created["meeting"]["meetingId"]});
    bob.ask("meeting:acceptMeetingRequest", id).await;

    // Pods tell each other, and answer who asks all of them.
    let _newer = home.client(0, "bob").await;
    assert_eq!(bob.closed().await, Some(4501));
    let mut bob = far.connect_as(0, "bob", "demo", "another").let_in().await;
    bob.event("user_info").await;
    let mut carol = home.client(0, "carol").await;
    let path = "/admin/sessions/session-of-carol/revoke";
    assert_eq!(far.admin(reqwest::Method::POST, path, "").await, (200, json!({"closed": 1})));
    assert_eq!(carol.closed().await, Some(4502));

    first.kill().await;
    let code = async |alice: &mut harness::Client| {
        let answer = alice.call_once("once", "meeting:createMeeting", meeting("after the death")).await;
        answer["error"]["code"].clone()
    };
    eventually!(code(&mut alice).await, |code| *code == 0);
    let told = bob.event("meeting:onMeetingCreated").await;
    assert_eq!(told["data"]["meeting"]["subject"], "after the death");
    bob.no_event().await;
    eventually!(far.gateways[0].get("/readyz").await, |answer| answer
        .as_ref()
        .is_some_and(|(status, _)| *status == 200));
}

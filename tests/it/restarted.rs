//! Pods that die and come back under their names, as containers do: what was meant for one start reaches no other.

use std::collections::BTreeSet;

use async_nats::{Client as NatsClient, RequestErrorKind};
use futures::StreamExt as _;
use harness::{Client, Stack, comeback::kill_and_come_back, eventually, servers::nats_client};
use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    bus::{HeaderName, Subject},
    presence::{Place, redis::Redis},
};

/// Beyond every fence that is handed out here.
const NEWER: u64 = 1 << 40;

/// Where presence has this session of `demo`.
async fn place(stack: &Stack, user: &str, sid: &str) -> Place {
    let presence = Redis::connect(&stack.servers.redis_url).expect("a good URL");
    let entries = presence.sessions_of(user).await.expect("an answer");
    entries.into_iter().find(|entry| entry.session.sid == sid).expect("an entry").place
}

async fn place_of(stack: &Stack, user: &str) -> Place {
    place(stack, user, &format!("session-of-{user}")).await
}

async fn bus(stack: &Stack) -> NatsClient {
    nats_client(&stack.servers.nats_url).await.expect("NATS")
}

async fn publish(bus: &NatsClient, subject: &Subject, message: &Value) {
    bus.publish(subject.to_string(), message.to_string().into()).await.expect("published");
}

/// A message that closes this socket, as gateways send it.
fn replaced(socket: u64, user: &str) -> Value {
    let session = json!({"network": "demo", "user": user, "sid": format!("session-of-{user}")});
    json!({"kind": "replaced", "socket": socket, "session": session, "fence": NEWER})
}

/// Asks a worker something.
async fn asked(client: &mut Client) {
    let answer = client.call("meeting:getMeeting", json!({"meetingId": "none"})).await;
    assert_eq!(answer["error"]["code"], 404, "{answer}");
}

/// Kills a gateway and starts it again.
async fn come_back(stack: &Stack, gateway: usize) {
    stack.gateways[gateway].kill().await;
    stack.gateways[gateway].start().await;
    stack.gateways[gateway].ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_to_stop_after_all_gateways_were_killed_and_are_back() {
    let stack = Stack::builder().gateways(2).workers(2).processes().start().await;
    let outcome = kill_and_come_back(&stack, 600, &[0, 1]).await;
    assert_eq!((outcome.returned, &*outcome.stopped, outcome.replaced), (600, &[][..], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_to_stop_after_one_gateway_was_killed_and_is_back() {
    let stack = Stack::builder().gateways(2).processes().start().await;
    let outcome = kill_and_come_back(&stack, 200, &[1]).await;
    assert_eq!((outcome.returned, &*outcome.stopped, outcome.replaced), (100, &[][..], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_for_an_older_start_reaches_nobody() {
    let stack = Stack::builder().processes().start().await;
    let alice = stack.client(0, "alice").await;
    let older = place_of(&stack, "alice").await.pod;
    drop(alice);
    come_back(&stack, 0).await;
    let mut people = Vec::new();
    for user in ["alice", "bob", "carol"] {
        people.push(stack.client(0, user).await);
    }
    let mut dave = stack.client(0, "dave").await;
    let bus = bus(&stack).await;
    // Not known of whom it was.
    for socket in 1..=100 {
        publish(&bus, &Subject::control(&older), &json!({"kind": "replaced", "socket": socket, "fence": NEWER})).await;
    }
    // What is published on one connection is heard in order.
    let Place { pod: newer, socket, .. } = place_of(&stack, "dave").await;
    publish(&bus, &Subject::control(&newer), &replaced(socket, "dave")).await;
    assert_eq!(dave.closed().await, Some(4501));
    for client in &mut people {
        assert_eq!(client.poke().await, Ok(()));
    }
    for subject in [Subject::control(&older), Subject::deliver(&older)] {
        let error = bus.request(subject.to_string(), "{}".into()).await.expect_err("nobody is there");
        assert_eq!(error.kind(), RequestErrorKind::NoResponders, "{subject}");
    }
    assert_eq!((older.name(), newer.name()), ("gateway-0", "gateway-0"));
}

#[tokio::test]
async fn a_message_that_names_anothers_session_closes_no_socket() {
    let stack = Stack::builder().start().await;
    let [mut alice, mut bob, mut carol] =
        [stack.client(0, "alice").await, stack.client(0, "bob").await, stack.client(0, "carol").await];
    let bus = bus(&stack).await;
    let bobs = place_of(&stack, "bob").await;
    let to_gateway = Subject::control(&bobs.pod);
    let alices = place_of(&stack, "alice").await.socket;
    publish(&bus, &to_gateway, &replaced(bobs.socket, "alice")).await;
    publish(&bus, &to_gateway, &replaced(alices, "alice")).await;
    assert_eq!(alice.closed().await, Some(4501));
    assert_eq!(bob.poke().await, Ok(()));
    // A gateway of the release before says no session.
    let carols = place_of(&stack, "carol").await.socket;
    publish(&bus, &to_gateway, &json!({"kind": "replaced", "socket": carols, "fence": NEWER})).await;
    assert_eq!(carol.closed().await, Some(4501));
    assert_eq!(bob.poke().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_an_older_start_cost_no_event_and_show_the_pods_name() {
    let stack = Stack::builder().processes().start().await;
    let phone = || stack.connect_as(0, "bob", "demo", "phone");
    let mut before = phone().let_in().await;
    let last = before.event("user_info").await["lastEventId"].as_str().expect("an id").to_owned();
    let laptop = stack.connect_as(0, "bob", "demo", "laptop").let_in().await;
    drop((before, laptop));
    stack.gateways[0].kill().await;
    // Nobody is there to send its body to.
    stack.tell(&["bob"], &json!({"number": 1})).await;
    stack.gateways[0].start().await;
    stack.gateways[0].ready().await;
    let mut bob = phone().last_event_id(&last).let_in().await;
    bob.event("user_info").await;
    stack.tell(&["bob"], &json!({"number": 2})).await;
    for number in 1..=2 {
        assert_eq!(bob.event("meeting:onMeetingUpdated").await["data"], json!({"number": number}));
    }
    bob.no_event().await;
    let (_, mut presence) = stack.admin(Method::GET, "/admin/users/bob/presence", "").await;
    for session in presence["sessions"].as_array_mut().expect("sessions") {
        session["since"].take();
    }
    let session = |sid: &str| json!({"sid": sid, "network": "demo", "pod": "gateway-0", "since": null});
    assert_eq!(presence, json!({"sessions": [session("laptop"), session("phone")]}));
    let [laptops, phones] = [place(&stack, "bob", "laptop").await, place(&stack, "bob", "phone").await];
    assert_ne!(laptops.pod, phones.pod, "it is of the start before");
}

#[tokio::test]
async fn two_gateways_that_were_given_one_name_are_two() {
    let stack = Stack::builder().gateways(2).arg_of_gateway(1, "--pod-name=gateway-0").start().await;
    let mut carol = stack.client(0, "carol").await;
    let mut others = Vec::new();
    for n in 0..12 {
        let mut client = stack.connect_as(1, "dave", "demo", &format!("device-{n}")).let_in().await;
        client.event("user_info").await;
        others.push(client);
    }
    let mut newer = stack.client(1, "carol").await;
    assert_eq!(carol.closed().await, Some(4501));
    let mut bob = stack.client(0, "bob").await;
    stack.tell(&["bob", "carol", "dave"], &json!({"number": 1})).await;
    for client in others.iter_mut().chain([&mut newer, &mut bob]) {
        assert_eq!(client.event("meeting:onMeetingUpdated").await["data"], json!({"number": 1}));
        client.no_event().await;
    }
    let (status, answer) = stack.admin(Method::POST, "/admin/sessions/session-of-bob/revoke", "").await;
    assert_eq!((status, answer), (200, json!({"closed": 1})));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_tell_the_starts_of_a_gateway_apart() {
    let stack = Stack::builder().processes().start().await;
    let bus = bus(&stack).await;
    let mut requests = bus.subscribe("internal.user.connect").await.expect("a subscription");
    bus.flush().await.expect("NATS knows of it");
    let mut senders = BTreeSet::new();
    for _ in 0..2 {
        stack.client(0, "alice").await;
        let request = requests.next().await.expect("a request");
        let call = request.headers.expect("headers").get(HeaderName::Call.as_str()).expect("a call").to_string();
        let call: Value = serde_json::from_str(&call).expect("JSON");
        let pod = call["pod"].as_str().expect("a pod").to_owned();
        assert!(pod.starts_with("gateway-0~"), "{pod}");
        senders.insert(pod);
        come_back(&stack, 0).await;
    }
    assert_eq!(senders.len(), 2, "the clock of one says nothing about the other's: {senders:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_killed_and_is_back_serves_and_relays_alone() {
    let stack = Stack::builder().workers(2).processes().start().await;
    let mut alice = stack.client(0, "alice").await;
    // Both workers must know how old this gateway's requests are.
    for _ in 0..20 {
        asked(&mut alice).await;
    }
    stack.workers[0].kill().await;
    stack.workers[0].start().await;
    stack.workers[0].ready().await;
    stack.workers[1].stop().await;
    for number in 0..20 {
        asked(&mut alice).await;
        stack.tell(&["alice"], &json!({"number": number})).await;
    }
    for number in 0..20 {
        assert_eq!(alice.event("meeting:onMeetingUpdated").await["data"], json!({"number": number}));
    }
    alice.no_event().await;
    let mut database = stack.database().await;
    let names = "SELECT DISTINCT application_name FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name LIKE 'convene-worker %'";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut database).await.expect("names");
    assert_eq!(names, ["convene-worker worker-0"], "people look for the name");
    // Class of the locks of the relay's partitions.
    let held = "SELECT count(DISTINCT objid), count(*) FROM pg_locks
                WHERE locktype = 'advisory' AND classid::bigint = 1668178290 AND granted
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually!(sqlx::query_as::<_, (i64, i64)>(held).fetch_one(&mut database).await.expect("locks"), |held| *held
        == (64, 64));
}

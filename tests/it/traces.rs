//! One request's trace: from its frame over the bus and through the database to the socket that its event is written to.

use std::{collections::HashSet, path::Path};

use bytes::Bytes;
use futures::StreamExt as _;
use harness::{
    Pod, Stack,
    collector::{Collector, Seen, tree},
    eventually,
    servers::nats_client,
};
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

async fn stack(collector: &Collector, ratio: &str) -> Stack {
    let endpoint = format!("--otlp-endpoint={}", collector.endpoint);
    Stack::builder()
        .gateways(2)
        .processes()
        .gateway_arg(&endpoint)
        .gateway_arg(&format!("--trace-sample-ratio={ratio}"))
        .worker_arg(&endpoint)
        .start()
        .await
}

fn lunch() -> Value {
    json!({
        "sourceType": "room", "sourceIds": ["lobby"], "subject": "Lunch", "invitedUserIds": ["bob"],
        "startDate": "2099-05-01T12:00:00+02:00", "endDate": "2099-05-01T13:00:00+02:00",
    })
}

/// Alice invites Bob, who is on the other gateway; he has the event.
async fn alice_invites_bob(stack: &Stack) {
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(1, "bob").await;
    alice.ask("meeting:createMeeting", lunch()).await;
    bob.event("meeting:onMeetingCreated").await;
}

/// The spans that are in the trace of the request for this endpoint, once everything of them has come.
fn trace_of(spans: &[Seen], endpoint: &str) -> Vec<Seen> {
    let Some(root) = spans.iter().find(|seen| seen.span.name == endpoint) else { return Vec::new() };
    spans.iter().filter(|seen| seen.span.trace_id == root.span.trace_id).cloned().collect()
}

fn named<'a>(trace: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    trace.iter().filter(|seen| seen.span.name == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_one_trace_from_its_frame_to_the_other_clients_socket() {
    let collector = Collector::start().await;
    let stack = stack(&collector, "1").await;
    alice_invites_bob(&stack).await;
    let delivered = "deliver meeting:onMeetingCreated";
    let trace = eventually!(trace_of(&collector.spans(), "meeting:createMeeting"), |trace: &Vec<Seen>| {
        let has = |name| !named(trace, name).is_empty();
        named(trace, delivered).len() == 2 && has("meeting.createMeeting") && has("relay meeting:onMeetingCreated")
    });

    let only = |name: &str| match named(&trace, name)[..] {
        [seen] => seen,
        ref found => panic!("{} times {name} in\n{}", found.len(), tree(&trace)),
    };
    let parent_of = |seen: &Seen| {
        let parent = trace.iter().find(|parent| parent.span.span_id == seen.span.parent_span_id);
        parent.unwrap_or_else(|| panic!("{} hangs in the air in\n{}", seen.span.name, tree(&trace)))
    };
    // The frame, the bus, the worker.
    let frame = only("meeting:createMeeting");
    assert!(frame.span.parent_span_id.is_empty());
    assert_eq!((&*frame.service, &*frame.attribute("code")), ("convene-gateway", "0"));
    let bus = only("rpc.meeting.createMeeting");
    let work = only("meeting.createMeeting");
    assert_eq!(
        (parent_of(bus).span.name.as_str(), parent_of(work).span.name.as_str()),
        (&*frame.span.name, &*bus.span.name)
    );
    assert_eq!(work.service, "convene-worker");
    // Each statement of the worker's, in its transaction.
    let statements: Vec<&Seen> = trace.iter().filter(|seen| !seen.attribute("db.query.text").is_empty()).collect();
    assert!(statements.iter().all(|statement| parent_of(statement).span.span_id == work.span.span_id));
    assert!(statements.iter().any(|statement| statement.attribute("db.query.text").starts_with("INSERT INTO outbox")));
    assert!(statements.iter().any(|statement| statement.span.name == "COMMIT"));
    let told = statements.iter().map(|statement| statement.attribute("db.query.text")).collect::<String>();
    assert!(!told.contains("Lunch") && !told.contains("2099"), "a statement's values are nobody's business: {told}");
    // The log, the relay, the sockets of both gateways.
    let relay = only("relay meeting:onMeetingCreated");
    assert_eq!((parent_of(relay).span.name.as_str(), &*relay.service), (&*work.span.name, "convene-worker"));
    let logged = named(&trace, "move to event_log");
    assert!(logged.iter().any(|logged| logged.span.parent_span_id == relay.span.span_id));
    let deliveries = named(&trace, delivered);
    let pods: HashSet<&str> = deliveries.iter().map(|delivery| &*delivery.instance).collect();
    assert_eq!(pods.len(), 2);
    for delivery in deliveries {
        assert_eq!(delivery.service, "convene-gateway");
        assert_eq!(parent_of(delivery).span.name, relay.span.name);
    }
    // Nothing hangs in the air, and what a pod does of its own accord begins no trace.
    for seen in trace.iter().filter(|seen| !seen.span.parent_span_id.is_empty()) {
        parent_of(seen);
    }
    let roots: Vec<Seen> = collector.spans().into_iter().filter(|seen| seen.span.parent_span_id.is_empty()).collect();
    let is_a_clients = |name: &str| name.starts_with("meeting:") || name == "GET /ws";
    assert!(roots.iter().all(|root| is_a_clients(&root.span.name)), "{}", tree(&roots));
    assert_eq!(named(&roots, "GET /ws").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_goes_on_at_the_socket_of_who_comes_back_later() {
    let collector = Collector::start().await;
    let stack = stack(&collector, "1").await;
    let bob = stack.connect(1, "bob").open().await;
    let mut bob = bob.expect("let in");
    let begin = bob.event("user_info").await["lastEventId"].clone();
    bob.close().await;
    let mut alice = stack.client(0, "alice").await;
    alice.ask("meeting:createMeeting", lunch()).await;
    alice.event("meeting:onMeetingCreated").await;
    // Read from the log: nobody has kept the event in memory.
    stack.gateways[1].stop().await;
    stack.gateways[1].start().await;
    stack.gateways[1].ready().await;

    let back = stack.connect(1, "bob").last_event_id(begin.as_str().expect("an id"));
    let mut bob = back.open().await.expect("let in");
    bob.event("user_info").await;
    bob.event("meeting:onMeetingCreated").await;
    let delivered = |trace: &[Seen]| -> HashSet<String> {
        named(trace, "deliver meeting:onMeetingCreated").iter().map(|seen| seen.instance.clone()).collect()
    };
    let trace = eventually!(trace_of(&collector.spans(), "meeting:createMeeting"), |trace: &Vec<Seen>| {
        delivered(trace).len() == 2 && !named(trace, "meeting.createMeeting").is_empty()
    });
    for delivery in named(&trace, "deliver meeting:onMeetingCreated") {
        assert!(trace.iter().any(|seen| seen.span.span_id == delivery.span.parent_span_id), "{}", tree(&trace));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_trace_is_kept_nobody_keeps_one() {
    let collector = Collector::start().await;
    let stack = stack(&collector, "0").await;
    alice_invites_bob(&stack).await;
    let mut database = stack.database().await;
    let traced: i64 =
        sqlx::query_scalar("SELECT count(*) FROM event_log WHERE network_id = 'demo' AND trace_parent IS NOT NULL")
            .fetch_one(&mut database)
            .await
            .expect("a number");
    assert_eq!(traced, 0);
    // What there is reaches the collector when its process ends.
    for pod in stack.gateways.iter().chain(&stack.workers) {
        pod.stop().await;
    }
    let spans = collector.spans();
    assert!(spans.is_empty(), "{}", tree(&spans));
}

/// The lines of a pod's JSON log of this level.
fn lines(pod: &Pod, level: &str) -> Vec<Value> {
    let log = pod.logged();
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("JSON: {line}")));
    events.filter(|event| event["level"] == level).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_one_line_with_the_id_that_the_client_got_and_the_trace() {
    let collector = Collector::start().await;
    let endpoint = format!("--otlp-endpoint={}", collector.endpoint);
    let stack = Stack::builder().processes().gateway_arg(&endpoint).worker_arg(&endpoint).start().await;
    let mut alice = stack.client(0, "alice").await;
    sqlx::query("ALTER TABLE meetings RENAME TO gone").execute(&mut stack.database().await).await.expect("renamed");
    let answer = alice.call_once("an event", "meeting:createMeeting", lunch()).await;
    assert_eq!(answer["error"]["code"], 500, "{answer}");
    let id = answer["error"]["message"].as_str().expect("an id");
    Uuid::parse_str(id).expect("an id and nothing else");

    let failures = eventually!(lines(&stack.workers[0], "ERROR"), |lines: &Vec<Value>| !lines.is_empty());
    let [failure] = &failures[..] else { panic!("one line: {failures:?}") };
    assert_eq!(failure["id"], id);
    assert!(failure["error"].as_str().is_some_and(|error| error.contains("meetings")), "{failure}");
    let span = &failure["span"];
    assert_eq!((&span["method"], &span["event_id"]), (&json!("createMeeting"), &json!("an event")));
    let trace = eventually!(trace_of(&collector.spans(), "meeting:createMeeting"), |trace: &Vec<Seen>| {
        !named(trace, "meeting.createMeeting").is_empty()
    });
    let kept: String = trace[0].span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(span["trace_id"], kept.as_str());
    assert_eq!(lines(&stack.gateways[0], "ERROR"), Vec::<Value>::new(), "the worker has said it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_text_is_a_failure_with_an_id_too() {
    let stack = Stack::builder().processes().worker_arg("--namespaces=user,directory,events").start().await;
    let mut alice = stack.client(0, "alice").await;
    let bus = nats_client(&stack.servers.nats_url).await.expect("NATS");
    let mut asked = bus.subscribe("rpc.meeting.getMeeting").await.expect("a subscription");
    bus.flush().await.expect("NATS knows of it");
    let worker = tokio::spawn(async move {
        let request = asked.next().await.expect("a request");
        let reply = request.reply.expect("an answer is waited for");
        bus.publish(reply, Bytes::from_static(b"\xff")).await.expect("published");
        bus.flush().await.expect("it is on its way");
    });
    let answer = alice.call("meeting:getMeeting", json!({"meetingId": "x"})).await;
    worker.await.expect("it has answered");
    assert_eq!(answer["error"]["code"], 500, "{answer}");
    let id = answer["error"]["message"].as_str().expect("an id");
    let failures = eventually!(lines(&stack.gateways[0], "ERROR"), |lines: &Vec<Value>| !lines.is_empty());
    let [failure] = &failures[..] else { panic!("one line: {failures:?}") };
    assert_eq!((&failure["id"], &failure["method"]), (&json!(id), &json!("meeting:getMeeting")));
    let counted =
        stack.gateways[0].metric("convene_requests_total", &[r#"namespace="meeting""#, r#"code="500""#]).await;
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_changes_while_the_process_runs() {
    let stack = Stack::builder().processes().log_filter("info").start().await;
    for (pod, program) in [(&stack.gateways[0], "gateway-pod"), (&stack.workers[0], "worker-pod")] {
        let ask = async |filter: &[&str]| {
            let folder = std::env::current_exe().expect("this program");
            let folder = folder.parent().and_then(Path::parent).expect("the target folder");
            let listen = format!("--management-listen={}", pod.management);
            let mut command = Command::new(folder.join(program));
            let output = command.arg("log").arg(listen).args(filter).output().await.expect("it runs");
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
            if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
        };
        assert!(!pod.logged().contains("DEBUG"), "{program}");
        assert_eq!(ask(&[]).await, Ok("info\n".to_owned()));
        assert_eq!(ask(&["trace"]).await, Ok("trace\n".to_owned()));
        eventually!(pod.logged().contains("DEBUG"));
        let refused = ask(&["info,gateway=loud"]).await.expect_err("no filter");
        assert!(refused.contains("400") && refused.contains("gateway=loud"), "{refused}");
        assert_eq!(ask(&[]).await, Ok("trace\n".to_owned()), "{program}");
        assert_eq!(ask(&["off"]).await, Ok("off\n".to_owned()));
        let before = pod.logged();
        pod.get("/readyz").await;
        assert_eq!(pod.logged(), before, "{program}");
        assert!(before.contains("what is logged changes"), "{before}");
    }
}

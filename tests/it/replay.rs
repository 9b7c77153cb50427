//! A client that was away gets exactly what it missed.

use std::time::Duration;

use harness::{Client, Fault, Proxy, Servers, Stack};
use serde_json::{Value, json};
use tokio::select;

fn meeting(subject: &str) -> Value {
    json!({"sourceType": "room", "sourceIds": ["lobby"], "subject": subject, "invitedUserIds": ["bob"],
        "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"})
}

/// A meeting in a room is told of twice each time: by the deprecated event too.
const EACH: usize = 2;

/// Name, id and data of events.
fn shown(events: &[Value]) -> Vec<(&Value, &Value, &Value)> {
    events.iter().map(|event| (&event["event"], &event["eventId"], &event["data"])).collect()
}

async fn take(client: &mut Client, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(client.next_event().await);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_away_gets_exactly_what_it_missed_in_order() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.client(1, "bob").await;
    let mut ids = Vec::new();
    for n in 0..10 {
        let created = alice.ask("meeting:createMeeting", meeting(&n.to_string())).await;
        ids.push(created["meeting"]["meetingId"].clone());
    }
    take(&mut alice, 10 * EACH).await;
    let last = take(&mut bob, 10 * EACH).await.pop().expect("twenty")["eventId"].as_str().expect("an id").to_owned();
    bob.close().await;

    for (n, id) in ids.iter().enumerate() {
        alice.ask("meeting:updateMeeting", json!({"meetingId": id, "subject": format!("{n} changed")})).await;
    }
    let mut missed = take(&mut alice, 10 * EACH).await;

    for gateway in [0, 1] {
        let mut bob = stack.connect(gateway, "bob").last_event_id(&last).open().await.expect("let in");
        let info = bob.event("user_info").await;
        assert_eq!(info["lastEventId"], json!(last));
        assert_eq!(shown(&take(&mut bob, missed.len()).await), shown(&missed));
        // Then live events, none twice.
        alice.ask("meeting:updateMeeting", json!({"meetingId": ids[0], "subject": format!("live {gateway}")})).await;
        missed.extend(take(&mut alice, EACH).await);
        assert_eq!(shown(&take(&mut bob, EACH).await), shown(&missed[missed.len() - EACH..]));
        bob.no_event().await;
        bob.close().await;
    }
}

#[tokio::test]
async fn an_unknown_last_event_id_is_answered_with_resync_required() {
    let stack = Stack::builder().start().await;
    for unknown in ["nonsense", "another-epoch.3", "%", "999999"] {
        let mut alice = stack.connect(0, "alice").last_event_id(unknown).open().await.expect("let in");
        let info = alice.event("user_info").await;
        assert_ne!(info["lastEventId"], json!(unknown));
        alice.event("resyncRequired").await;
        let created = alice.ask("meeting:createMeeting", meeting("After")).await;
        assert_eq!(alice.event("meeting:onMeetingCreated").await["data"], created);
    }
}

#[tokio::test]
async fn hundreds_of_missed_events_come_page_by_page_while_more_happen() {
    let stack = Stack::builder().gateways(2).gateway_arg("--rate-limit=100000").start().await;
    let mut alice = stack.client(0, "alice").await;
    let mut bob = stack.connect(1, "bob").open().await.expect("let in");
    let last = bob.event("user_info").await["lastEventId"].as_str().expect("an id").to_owned();
    bob.close().await;
    let created = alice.ask("meeting:createMeeting", meeting("0")).await;
    let id = &created["meeting"]["meetingId"];
    let text = "x".repeat(9_000);
    let change = |n: usize| json!({"meetingId": id, "subject": n.to_string(), "description": text});
    for n in 1..300 {
        alice.ask("meeting:updateMeeting", change(n)).await;
    }
    let mut bob = stack.connect(1, "bob").last_event_id(&last).open().await.expect("let in");
    for n in 300..330 {
        alice.ask("meeting:updateMeeting", change(n)).await;
    }
    bob.event("user_info").await;
    let events = take(&mut bob, 330 * EACH).await;
    let subjects: Vec<String> =
        events.iter().map(|event| event["data"]["meeting"]["subject"].as_str().expect("text").to_owned()).collect();
    assert_eq!(subjects, (0..330 * EACH).map(|n| (n / EACH).to_string()).collect::<Vec<_>>());
    bob.no_event().await;
}

/// The events up to the one about this meeting.
async fn until(client: &mut Client, meeting: &Value) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        events.push(client.event("meeting:onMeetingCreated").await);
        if events.last().is_some_and(|event| event["data"]["meeting"]["meetingId"] == meeting["meeting"]["meetingId"]) {
            return events;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_between_the_place_in_user_info_and_the_opening_of_the_socket_reaches_it() {
    let servers = Servers::shared().await.isolated_with_schema().await;
    let proxy = Proxy::before(&servers.redis_url).await;
    let mut gateways = servers.clone();
    gateways.redis_url = proxy.url(&servers.redis_url);
    let stack = Stack::builder()
        .on(servers.clone())
        .through(gateways, servers)
        .gateway_arg("--rate-limit=100000")
        .start()
        .await;
    let mut witness = stack.connect_as(0, "alice", "demo", "witness").open().await.expect("let in");
    witness.event("user_info").await;
    let mut bob = stack.client(0, "bob").await;
    let direct = json!({"sourceType": "direct", "sourceIds": ["alice"], "subject": "Now",
        "startDate": "2099-01-01T10:00:00Z", "endDate": "2099-01-01T11:00:00Z"});

    // The claim, which comes after the place was read, takes its time.
    proxy.set(Fault { delay: Duration::from_millis(100), ..Fault::default() });
    let mut reached = 0;
    for round in 0..5 {
        let mut opening = Box::pin(stack.connect_as(0, "alice", "demo", &format!("late-{round}")).open());
        let mut late = loop {
            let asking = bob.send("meeting:createMeeting", direct.clone(), None).await;
            select! {
                late = &mut opening => {
                    bob.answer(asking).await;
                    break late.expect("let in");
                }
                _ = bob.answer(asking) => (),
            }
        };
        let last = bob.ask("meeting:createMeeting", direct.clone()).await;
        let place = late.event("user_info").await["lastEventId"].clone();
        let told = until(&mut witness, &last).await;
        let begin = told.iter().position(|event| event["eventId"] == place).map_or(0, |place| place + 1);
        assert_eq!(shown(&until(&mut late, &last).await), shown(&told[begin..]), "round {round}, from {place}");
        reached += told.len() - begin;
        late.close().await;
    }
    assert!(reached > 10, "only {reached} events came while sockets were opened");
}

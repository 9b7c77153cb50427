//! Many who change their minds at once.

use std::collections::BTreeMap;

use futures::{StreamExt as _, future::join_all, stream};
use harness::{Client, Stack, eventually::PATIENCE};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::{create, in_the_lobby, named, statuses};
use crate::record::{Listener, Within, complete_within};

/// As many as the connections of one worker: what waits for a connection races for no lock.
const AT_ONCE: usize = 8;

/// Who has answered what, as the deprecated event shows it.
fn answers(meeting: &Value) -> BTreeMap<&str, &str> {
    let invited = meeting["invitedUsers"].as_array().expect("a list");
    invited.iter().filter_map(|invited| Some((invited["user"]["id"].as_str()?, invited["status"].as_str()?))).collect()
}

/// Answers, and again when the machine is too busy to say in time that it was done.
async fn answer(client: &mut Client, event_id: &str, endpoint: &str, meeting: &Value) {
    loop {
        let answer = client.call_once(event_id, endpoint, meeting.clone()).await;
        match answer["error"]["code"].as_u64() {
            Some(0) => return,
            Some(503 | 504) => (),
            _ => panic!("{answer}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fifty_answer_at_random_is_told_to_everybody_in_the_order_of_its_commits() {
    // Who has answered reads nothing until all have.
    let stack = Stack::builder().gateways(2).workers(2).gateway_arg("--ping-interval=10m").start().await;
    let users: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
    let lines: Vec<Value> =
        users.iter().map(|user| json!({"kind": "user", "id": user, "networkIds": ["demo"]})).collect();
    stack.import_all(&lines).await;
    let everybody = users.iter().map(String::as_str).chain(["bob"]).enumerate();
    let mut listeners = join_all(everybody.map(|(n, user)| Listener::open(&stack, n % 2, user))).await;
    let invited: Vec<&str> = users.iter().map(String::as_str).collect();
    let meeting = create(&mut listeners[50].client, in_the_lobby(&invited)).await;
    let answering = listeners[..50].iter_mut().enumerate().map(|(seed, listener)| {
        let mut random = StdRng::seed_from_u64(seed as u64);
        let meeting = named(&meeting);
        async move {
            for number in 0..random.random_range(2..=3) {
                let yes = random.random_bool(0.5);
                let endpoint = if yes { "meeting:acceptMeetingRequest" } else { "meeting:declineMeetingRequest" };
                answer(&mut listener.client, &number.to_string(), endpoint, &meeting).await;
            }
        }
    });
    stream::iter(answering).buffer_unordered(AT_ONCE).collect::<()>().await;
    complete_within(Within::from_now(4 * PATIENCE), &stack, &mut listeners, "who answered what").await;

    for Listener { user, client, told, .. } in &mut listeners {
        let last = |name: &str| &told.iter().rfind(|event| event.name == name).expect("one came").data["meeting"];
        let now = client.ask("meeting:getMeeting", named(&meeting)).await;
        assert_eq!(*last("meeting:onMeetingUpdated"), now["meeting"], "{user}");
        let now = client.ask("meeting:get", named(&meeting)).await;
        assert_eq!(*last("meeting:meetingUpdated"), now["meeting"], "{user}");
    }

    // All have been told the same. Each answer changes one status: whoever read before somebody else's commit would undo
    // that one's.
    let states = listeners[0].told.iter().filter(|event| event.name == "meeting:meetingUpdated");
    let states: Vec<BTreeMap<&str, &str>> = states.map(|event| answers(&event.data["meeting"])).collect();
    for (before, after) in states.iter().zip(&states[1..]) {
        let changed = after.iter().filter(|(user, status)| before[**user] != **status).count();
        assert_eq!((after.len(), changed), (50, 1), "{before:?} then {after:?}");
    }
    assert!(states.len() > 50, "each has answered something new");
    let statuses: BTreeMap<String, String> = statuses(&stack, &meeting).await.into_iter().skip(1).collect();
    let told = &listeners[0].told.last().expect("many").data["meeting"];
    assert!(answers(told).into_iter().eq(statuses.iter().map(|(user, status)| (user.as_str(), status.as_str()))));
}

//! More clients at the door than a pod takes, and than it can look at at once.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use harness::{Client, Refused, Stack, eventually};

use super::{bystander::Bystander, crowd};

/// What [`gateway::admission::HANDSHAKES`] says.
const HANDSHAKES: usize = gateway::admission::HANDSHAKES;

fn assert_comes_again(refused: &Refused) {
    assert_eq!(refused.status, 503, "{refused:?}");
    let seconds: u16 = refused.retry_after.as_ref().expect("Retry-After").parse().expect("a number of seconds");
    assert!((1..=5).contains(&seconds), "{seconds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_handshakes_run_at_once_and_whoever_waits_two_seconds_is_503() {
    let stack = Stack::builder().processes().start().await;
    let mut carol = stack.client(0, "carol").await;
    // Nobody answers what the handshakes ask.
    stack.workers[0].signal("STOP").await;
    let (refusals, mut refused) = tokio::sync::mpsc::channel(HANDSHAKES + 40);
    let opening: Vec<_> = (0..HANDSHAKES + 40)
        .map(|n| {
            let connect = stack.connect_as(0, "bob", "demo", &n.to_string());
            let refusals = refusals.clone();
            tokio::spawn(async move {
                let opened = connect.open().await;
                if let Err(refused) = &opened {
                    let _ = refusals.send(refused.clone()).await;
                }
                opened
            })
        })
        .collect();
    for _ in 0..40 {
        let refused = refused.recv().await.expect("forty are too many");
        assert_comes_again(&refused);
        assert_eq!(refused.body["error"]["message"], "too many handshakes at once");
    }
    // What needs no worker goes on meanwhile.
    assert_eq!(carol.call("testVersionNotSupported", serde_json::json!({})).await["error"]["code"], 426);
    stack.workers[0].signal("CONT").await;
    let opened: Vec<_> = join_all(opening).await.into_iter().map(|opened| opened.expect("no panic")).collect();
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), HANDSHAKES);
    let why = r#"why="too many handshakes at once""#;
    assert_eq!(stack.gateways[0].metric("convene_upgrades_refused_total", &[why]).await, 40.0);
}

/// What became of each who wanted in: `None` when it stays.
async fn outcomes(opened: Vec<Result<Client, Refused>>) -> BTreeMap<Option<u16>, Vec<Client>> {
    let mut outcomes = BTreeMap::<_, Vec<_>>::new();
    for opened in opened {
        match opened {
            Err(refused) => {
                assert_comes_again(&refused);
                outcomes.entry(Some(503)).or_default();
            }
            Ok(mut client) => {
                // A socket that is let in is told so; one that is not, why not.
                let closed = tokio::time::timeout(Duration::from_secs(3), client.closed()).await;
                outcomes.entry(closed.unwrap_or_default()).or_default().push(client);
            }
        }
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_rush_for_the_last_places_some_get_them_and_the_others_are_503_or_4013() {
    let stack = Stack::builder().processes().gateway_arg("--max-connections=21").start().await;
    let bystander = Bystander::watch(stack.client(0, "carol").await);
    let opening = (0..60).map(|n| stack.connect_as(0, "bob", "demo", &n.to_string()).open());
    let opened = join_all(opening).await;
    let [refused, accepted] = [opened.iter().filter(|opened| opened.is_err()).count(), 60];
    // Those that stay never close, so all are looked at together.
    let looked = join_all(opened.into_iter().map(|opened| outcomes(vec![opened]))).await;
    let count = |code: Option<u16>| looked.iter().filter(|outcome| outcome.contains_key(&code)).count();
    assert_eq!(count(None), 20);
    assert_eq!(count(Some(4013)), accepted - refused - 20);
    assert_eq!(stack.gateways[0].metric("convene_sockets", &[]).await, 21.0);
    let full = stack.connect_as(0, "bob", "demo", "late").open().await.expect_err("full");
    assert_comes_again(&full);
    assert_eq!(full.body["error"]["message"], "the pod is full");
    // One leaves, one comes.
    drop(looked.into_iter().flat_map(|mut outcome| outcome.remove(&None)).next());
    eventually!(stack.connect_as(0, "bob", "demo", "late").open().await.is_ok());
    bystander.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_that_the_pod_is_full_keeps_the_socket_that_it_has_elsewhere() {
    const RUSH: usize = 8;
    let stack = Stack::builder().processes().gateways(2).gateway_arg("--max-connections=10").start().await;
    let mut held: Vec<Client> = Vec::new();
    for n in 0..RUSH {
        let mut client = stack.connect_as(1, "bob", "demo", &n.to_string()).open().await.expect("let in");
        client.event("user_info").await;
        held.push(client);
    }
    // One place is left on the other pod, and nobody gets it before all have been found to have room.
    let _crowd = crowd(&stack, "carol", 9, None).await;
    stack.workers[0].signal("STOP").await;
    let opening: Vec<_> =
        (0..RUSH).map(|n| tokio::spawn(stack.connect_as(0, "bob", "demo", &n.to_string()).open())).collect();
    let asked = async || stack.gateways[0].metric("convene_handshakes", &[]).await;
    eventually!(asked().await, |asked| *asked == RUSH as f64);
    stack.workers[0].signal("CONT").await;
    let opened = join_all(opening).await.into_iter().map(|opened| opened.expect("no panic"));
    let looked = join_all(opened.map(|opened| outcomes(vec![opened]))).await;
    let stays: Vec<bool> = looked.iter().map(|outcome| outcome.contains_key(&None)).collect();
    assert_eq!(stays.iter().filter(|stays| **stays).count(), 1, "{looked:?}");
    for (mut held, moved) in held.into_iter().zip(stays) {
        if moved {
            assert_eq!(held.closed().await, Some(4501));
        } else {
            held.no_event().await;
        }
    }
}

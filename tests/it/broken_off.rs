//! Sockets that are broken off at any moment, by clients that come back or do not.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::future::join_all;
use harness::Stack;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};
use shared::bus::{Bus, Headers, Subject, nats::Nats};
use tokio::time::{MissedTickBehavior, interval, timeout};
use worker::outbox::{self, Emission};

use crate::record::{Record, Told, all_moved};

const USERS: usize = 20;
const CONNECTS_OF_EACH: usize = 50;

/// So many events come each 100 ms.
const BURST: usize = 50;

/// What one socket has been told.
struct Heard {
    user: String,
    start: String,
    told: Vec<Told>,
}

/// Five hundred events a second, each for some of the users.
async fn emit(stack: &Stack, users: &[String], is_over: &AtomicBool) {
    let bus: Bus = Nats::connect(&stack.servers.nats_url, "writer").expect("a URL");
    let mut database = stack.database().await;
    let mut random = StdRng::seed_from_u64(0);
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut number = 0;
    while !is_over.load(Ordering::SeqCst) {
        ticks.tick().await;
        let emissions: Vec<Emission> = (0..BURST)
            .map(|_| {
                number += 1;
                let count = random.random_range(1..6);
                Emission {
                    network: "demo".to_owned(),
                    recipients: users.choose_multiple(&mut random, count).cloned().collect(),
                    name: "meeting:onMeetingUpdated",
                    payload: json!({"number": number}).to_string(),
                }
            })
            .collect();
        for partition in outbox::insert(&mut database, &emissions).await.expect("they are accepted") {
            let _ = bus.publish(Subject::wake(partition), Headers::new(), "").await;
        }
    }
}

/// One user, who connects again and again, from where he was, from somewhere before, or afresh.
async fn come_and_go(stack: &Stack, user: &str, seed: u64) -> Vec<Heard> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut all: Vec<Heard> = Vec::new();
    for number in 0..CONNECTS_OF_EACH {
        let known: Vec<&str> =
            all.iter().rev().take(3).flat_map(|heard| &heard.told).map(|told| told.id.as_str()).collect();
        let asked = match random.random_range(0..10) {
            0..4 => None,
            4..8 => all.iter().rev().find_map(|heard| heard.told.last()).map(|told| told.id.clone()),
            _ => known.choose(&mut random).map(ToString::to_string),
        };
        // Each is a session of its own: of one, a socket that was broken off may be the newest for a moment more.
        let mut connect = stack.connect_as(random.random_range(0..2), user, "demo", &number.to_string());
        if let Some(id) = &asked {
            connect = connect.last_event_id(id);
        }
        if random.random_bool(0.1) {
            // In the middle of the upgrade.
            let _ = timeout(Duration::from_millis(random.random_range(0..30)), connect.open()).await;
            continue;
        }
        let mut client = connect.let_in().await;
        let frames = random.random_range(0..25);
        if frames > 0 {
            let info = client.event("user_info").await;
            let start = info["lastEventId"].as_str().expect("an id").to_owned();
            assert_eq!(asked.as_ref().unwrap_or(&start), &start, "it goes on where the client left off");
            let mut told = Vec::new();
            for _ in 1..frames {
                told.push(Told::of(&client.next_event().await));
            }
            all.push(Heard { user: user.to_owned(), start, told });
        }
        match random.random_range(0..3) {
            0 => client.reset(),
            1 => client.close().await,
            _ => drop(client),
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sockets_that_are_broken_off_have_been_told_exactly_what_the_log_says() {
    let stack = Stack::builder().gateways(2).workers(2).start().await;
    let users: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
    let lines: Vec<Value> =
        users.iter().map(|user| json!({"kind": "user", "id": user, "networkIds": ["demo"]})).collect();
    stack.import_all(&lines).await;
    let is_over = AtomicBool::new(false);
    let coming_and_going = async {
        let chains = users.iter().zip(1..).map(|(user, seed)| Box::pin(come_and_go(&stack, user, seed)));
        let heard = join_all(chains).await.into_iter().flatten().collect::<Vec<Heard>>();
        is_over.store(true, Ordering::SeqCst);
        heard
    };
    let (heard, ()) = tokio::join!(coming_and_going, emit(&stack, &users, &is_over));
    all_moved(&stack).await;
    let record = Record::of(&stack).await;
    let mut events = 0;
    for Heard { user, start, told } in &heard {
        let expected: Vec<&Told> = record.after(user, start).take(told.len()).collect();
        assert_eq!(told.iter().collect::<Vec<_>>(), expected, "{user} from {start}");
        events += told.len();
    }
    assert!(heard.len() > 800 && events > 8000, "{} sockets, {events} events", heard.len());
}

//! A relay that is killed, stopped or cut off between any two of its steps costs open sockets nothing: without connecting
//! again they are told everything within 15 seconds, once and in order.

mod faulty;

use std::time::Duration;

use futures::future::join_all;
use harness::{Stack, eventually};
use serde_json::{Value, json};
use tokio::time::Instant;
use worker::relay::Step;

use self::faulty::{Faulty, Place};
use crate::{
    meeting::{in_the_lobby, named},
    record::{Listener, Within, complete_within},
};

/// What the contract promises.
const PROMISE: Duration = Duration::from_secs(15);

/// Of the partitions a newcomer takes the upper half.
const PARTITION: i32 = 63;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    CutFromPostgres,
    CutFromNats,
    Stopped,
}

const FAULTS: [Fault; 4] = [Fault::Killed, Fault::CutFromPostgres, Fault::CutFromNats, Fault::Stopped];

const PLACES: [Place; 9] = [
    Place::At(Step::Opened),
    Place::At(Step::Locked),
    Place::At(Step::Chosen),
    Place::Moving,
    Place::At(Step::Committed),
    Place::At(Step::LookedUp),
    Place::At(Step::BodiesSent),
    Place::At(Step::MovesSent),
    Place::At(Step::HeadsSent),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_fails_between_any_two_steps_costs_open_sockets_nothing() {
    join_all(PLACES.map(|place| Box::pin(fail_at(place)))).await;
}

/// All faults at one place, one after the other.
async fn fail_at(place: Place) {
    let stack = Stack::builder()
        .gateways(2)
        .workers(2)
        .arg_of_worker(0, "--namespaces=meeting,social,user,directory")
        .arg_of_worker(1, "--namespaces=events")
        .start()
        .await;
    sqlx::query("UPDATE networks SET partition = $1 WHERE id = 'demo'")
        .bind(PARTITION)
        .execute(&mut stack.database().await)
        .await
        .expect("the network moves");
    let mut listeners = Vec::new();
    for (gateway, user) in [(0, "alice"), (1, "bob"), (1, "carol")] {
        listeners.push(Listener::open(&stack, gateway, user).await);
    }
    let meeting =
        listeners[0].client.ask("meeting:createMeeting", in_the_lobby(&["bob", "carol"])).await["meeting"].take();
    let regular = eventually!(holder(&stack).await, Option::is_some);
    for fault in FAULTS {
        let what = format!("{fault:?} at {place:?}");
        let faulty = Faulty::start(&stack, place).await;
        let is_early = matches!(place, Place::At(Step::Opened | Step::Locked));
        if is_early {
            faulty.arm().await;
        } else {
            eventually!(holder(&stack).await, |holder| holder.is_some() && *holder != regular);
            change(&mut listeners[0], &meeting).await;
            complete_within(Within::from_now(PROMISE), &stack, &mut listeners, &what).await;
            faulty.arm().await;
            change(&mut listeners[0], &meeting).await;
        }
        faulty.reached().await;
        let promised = Within::from_now(PROMISE);
        match fault {
            Fault::Killed => faulty.kill().await,
            Fault::CutFromPostgres => faulty.postgres.part(),
            Fault::CutFromNats => faulty.nats.part(),
            Fault::Stopped => faulty.stop().await,
        }
        faulty.disarm().await;
        if matches!(fault, Fault::CutFromPostgres | Fault::CutFromNats) {
            faulty.go_on();
        }
        if fault == Fault::Stopped && place == Place::At(Step::Opened) {
            // It counts as one of two, so that the other one makes room for it.
            eventually!(holder(&stack).await, Option::is_none);
        }
        for _ in 0..4 {
            change(&mut listeners[0], &meeting).await;
        }
        complete_within(promised, &stack, &mut listeners, &what).await;

        // What it still believes does no harm.
        faulty.mend().await;
        let promised = Within::from_now(PROMISE);
        change(&mut listeners[0], &meeting).await;
        complete_within(promised, &stack, &mut listeners, &format!("{what}, and mended")).await;
        faulty.end().await;
        eventually!(holder(&stack).await, |holder| *holder == regular);
    }
}

/// The session that relays the network.
async fn holder(stack: &Stack) -> Option<i32> {
    sqlx::query_scalar(
        "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted AND l.objsubid = 2
           AND l.objid = $1::oid AND a.application_name = 'convene relay' AND a.datname = current_database()",
    )
    .bind(PARTITION)
    .fetch_optional(&mut stack.database().await)
    .await
    .expect("the locks")
}

async fn change(listener: &mut Listener, meeting: &Value) {
    let mut data = named(meeting);
    data["subject"] = json!(format!("{:?}", Instant::now()));
    listener.client.ask("meeting:updateMeeting", data).await;
}

//! A machine whose clock is wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use harness::eventually;
use serde_json::json;
use shared::bus::BusError;
use worker::Clock;

use super::world::{World, session};

#[tokio::test]
async fn a_worker_whose_clock_is_three_seconds_off_leaves_the_work_to_the_others_until_it_is_right() {
    tokio::join!(off_by(3000), off_by(-3000));
}

async fn off_by(error_ms: i64) {
    let world = World::new().await;
    let ahead_ms = Arc::new(AtomicI64::new(0));
    let clock = Clock::reading({
        let ahead_ms = ahead_ms.clone();
        move || match ahead_ms.load(Ordering::SeqCst) {
            ahead @ 0.. => SystemTime::now() + Duration::from_millis(ahead.unsigned_abs()),
            behind => SystemTime::now() - Duration::from_millis(behind.unsigned_abs()),
        }
    });
    let wrong = world.start_with(clock, &[]).await;
    let peer = world.worker(&[]).await;
    wrong.ready().await;
    ahead_ms.store(error_ms, Ordering::SeqCst);
    let said = eventually!(wrong.get("/readyz").await, |(status, _)| *status == 503);
    assert!(said.1.contains("ms apart"), "{said:?}");
    let ask = async || world.try_request(&session("alice"), "meeting:getMeeting", "", &json!({"meetingId": "x"})).await;
    for _ in 0..20 {
        assert_eq!(ask().await.expect("the peer answers").code, 404);
    }
    peer.drain().await;
    assert_eq!(ask().await, Err(BusError::NoResponders), "whose clock is wrong answers nobody");
    ahead_ms.store(0, Ordering::SeqCst);
    wrong.ready().await;
    assert_eq!(ask().await.expect("it answers again").code, 404);
    wrong.drain().await;
}

//! What a rolling restart costs clients.

use std::{sync::Arc, time::Duration};

use harness::{
    Stack,
    crowd::{Crowd, GROUP, Pace},
};
use tokio::time::Instant;

/// Over how long a gateway closes its sockets, as by default.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Restarts three gateways and three workers, one after the other, under so many sockets, and returns what to print.
pub async fn measure(sockets: usize) -> Vec<String> {
    let stack = Stack::builder().gateways(3).workers(3).processes().drain(Duration::from_secs(5), DRAIN_TIMEOUT);
    let stack = Arc::new(stack.start().await);
    let pace = Pace { changes: Duration::from_secs(5), reads: Duration::from_secs(15) };
    let crowd = Crowd::new(&stack, sockets / GROUP, pace).await;
    crowd.answered(sockets / 2).await;
    let mut lines = Vec::new();
    for pod in stack.gateways.iter().chain(&stack.workers) {
        let begun = Instant::now();
        let before = crowd.record().closed.len();
        pod.stop().await;
        let took = begun.elapsed();
        let mut tenths = [0_usize; 10];
        let closed = crowd.record().closed.split_off(before);
        for (at, _) in &closed {
            let share =
                (*at - begun).saturating_sub(Duration::from_secs(5)).as_secs_f64() / DRAIN_TIMEOUT.as_secs_f64();
            tenths[((share * 10.0) as usize).min(9)] += 1;
        }
        lines.push(format!(
            "rolling: ended after {:.1} s, {} sockets, by tenths {tenths:?}",
            took.as_secs_f64(),
            closed.len()
        ));
        pod.start().await;
        pod.ready().await;
    }
    let record = crowd.finish().await;
    let in_order =
        record.told.iter().enumerate().all(|(n, told)| told.iter().copied().eq(1..=record.changed[n / GROUP]));
    let other_codes: Vec<Option<u16>> =
        record.closed.iter().map(|(_, code)| *code).filter(|code| *code != Some(1012)).collect();
    lines.push(format!(
        "rolling: {} requests answered, {} sent again, {} failed, longest wait {:.1} s; {} upgrades refused, {} broken; \
         told to stop: {:?}; {} events replayed, all in order once: {}; closed otherwise than with 1012: {other_codes:?}",
        record.answered,
        record.sent_again,
        record.failed.len(),
        record.longest_wait.as_secs_f64(),
        record.refused,
        record.broken,
        record.stopped,
        record.replayed,
        in_order && record.disorder.is_empty(),
    ));
    lines
}

//! The long chaos run.

use std::time::Duration;

use harness::chaos::{Plan, run};

/// Runs it, prints what it was, and says whether everything held.
pub async fn holds(seed: Option<u64>, minutes: f64) -> bool {
    let seed = seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    println!("chaos, seed {seed}, {minutes} minutes");
    let plan = Plan {
        seed,
        length: Duration::from_secs_f64(minutes * 60.0),
        lanes: 2,
        longest_pause: Duration::from_secs(5),
        longest_fault: Duration::from_secs(15),
        waits_for_expiry: true,
        logs: env!("CARGO_TARGET_TMPDIR").into(),
    };
    let report = Box::pin(run(plan)).await;
    print!("{report}");
    report.broken.is_empty()
}

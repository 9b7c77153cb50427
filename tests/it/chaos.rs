//! Whatever dies, stops or is cut off, in any order: nothing that was acknowledged is lost or done twice, and every client
//! receives what concerns it once, in order. The long run is `cargo bench -p convene-tests -- chaos`.

use std::time::Duration;

use harness::chaos::{Plan, run};

#[expect(clippy::print_stdout, reason = "cargo shows it when the test fails, and when it is asked to")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_happens_once_and_is_told_once_whatever_fails() {
    let plan = Plan {
        seed: rand::random_range(0..1_000_000),
        length: Duration::from_secs(15),
        lanes: 3,
        longest_pause: Duration::from_secs(2),
        longest_fault: Duration::from_secs(4),
        waits_for_expiry: false,
        logs: env!("CARGO_TARGET_TMPDIR").into(),
    };
    println!("chaos, seed {}", plan.seed);
    let report = Box::pin(run(plan)).await;
    println!("{report}");
    assert_eq!(report.stopped, 0, "clients were told to stop without reason, see above");
    assert!(report.broken.is_empty(), "see above");
}

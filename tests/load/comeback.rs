//! Clients that come back to gateways that were killed and started again under their names.

use harness::{Stack, comeback::kill_and_come_back};
use shared::telemetry::DEFAULT_FILTER;

/// Kills both of two gateways that have so many sockets, and returns what to print.
pub async fn measure(sockets: usize) -> String {
    let stack = Stack::builder().gateways(2).workers(2).processes().log_filter(DEFAULT_FILTER).start().await;
    let outcome = kill_and_come_back(&stack, sockets, &[0, 1]).await;
    format!("comeback: of {sockets} sockets {outcome}")
}

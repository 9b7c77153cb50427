//! Benchmarks of a whole system on this machine: `cargo bench -p convene-tests`, or one of them by its name after `--`.
//!
//! | name | measures | beside |
//! | --- | --- | --- |
//! | `idle` | memory of the gateway's process for an idle authenticated socket | bound: 8 KiB |
//! | `joins` | joins a second, on one session and over 1,000 | the bare statement in the same run |
//! | `latency` | a request that does nothing, from the client's frame to its answer | a bare NATS request in the same run |
//! | `soak` | what grows while the work goes on: rows, bytes, keys, memory; `soak 10` for ten minutes rather than three | the first half beside the second |
//! | `slots` | time slots of a month, from the client's frame to its answer, among 1.2 million participants | the bare statement in the same run |
//!
//! These machines are noisy, so nothing here passes or fails: it prints what it measured and the bound beside it.

#![expect(clippy::print_stdout, reason = "what a benchmark measured belongs on standard output")]

mod idle;
mod joins;
mod latency;
mod slots;
mod soak;

use std::{fmt, time::Duration};

#[tokio::main]
async fn main() {
    // cargo adds `--bench`.
    let args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let (numbers, names): (Vec<String>, Vec<String>) = args.partition(|arg| arg.parse::<f64>().is_ok());
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    if wanted("idle") {
        println!("{}", idle::measure(5_000).await);
    }
    if wanted("joins") {
        for figure in joins::measure().await {
            println!("{figure}");
        }
    }
    if wanted("latency") {
        println!("{}", latency::measure(5_000).await);
    }
    if wanted("slots") {
        for figure in slots::measure(500).await {
            println!("{figure}");
        }
    }
    if wanted("soak") {
        let minutes = numbers.first().and_then(|minutes| minutes.parse().ok()).unwrap_or(3.0);
        for figure in soak::measure(minutes).await {
            println!("{figure}");
        }
    }
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}

/// A measured number, what it is measured against, and what it should stay below.
struct Figure {
    name: &'static str,
    measured: String,
    against: String,
    ratio: f64,
    /// `None`: nobody has set one.
    bound: Option<f64>,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, against, ratio, bound } = self;
        write!(f, "{name}: {measured}; {against}; ratio {ratio:.2}")?;
        bound.map_or(Ok(()), |bound| write!(f, " (bound {bound})"))
    }
}

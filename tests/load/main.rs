//! Benchmarks of a whole system on this machine: `cargo bench -p convene-tests`, or one of them by its name after `--`.
//!
//! | name | measures | beside |
//! | --- | --- | --- |
//! | `capacity` | processor time of each process for a connect, a request, a change and a read | the servers' in the same run |
//! | `idle` | memory of the gateway's process for an idle authenticated socket | bound: 8 KiB |
//! | `joins` | joins a second, on one session and over 1,000 | the bare statement in the same run |
//! | `chaos` | nothing: the long run of faults, only when it is named; `--seed`, `--minutes` | what must hold |
//! | `latency` | a request that does nothing, from the client's frame to its answer | a bare NATS request in the same run |
//! | `overload` | memory of a gateway's and a worker's process with sockets that are idle, do not read, or flood | what the settings allow |
//! | `rolling` | what clients see of a rolling restart of all pods under 2,000 sockets: five minutes | – |
//! | `soak` | what grows while the work goes on: rows, bytes, keys, memory; `--minutes` | the first half beside the second |
//! | `slots` | time slots of a month, from the client's frame to its answer, among 1.2 million participants | the bare statement in the same run |
//!
//! These machines are noisy, so nothing here passes or fails: it prints what it measured and the bound beside it. The one
//! exception is `chaos`, which fails when something does not hold.

#![expect(clippy::print_stdout, reason = "what a benchmark measured belongs on standard output")]

mod capacity;
mod chaos;
mod comeback;
mod idle;
mod joins;
mod latency;
mod overload;
mod rolling;
mod slots;
mod soak;

use std::{fmt, process::ExitCode, time::Duration};

use clap::Parser;
use harness::{Stack, stack::Builder};
use shared::telemetry::DEFAULT_FILTER;

#[derive(Debug, Parser)]
struct Settings {
    /// Which; none: all but `chaos`.
    names: Vec<String>,
    /// Of `chaos`: decides the faults. Without it one is drawn.
    #[arg(long)]
    seed: Option<u64>,
    /// Of `chaos`, how long faults happen: five minutes where nothing is said; of `soak`, how long there is work: three.
    #[arg(long)]
    minutes: Option<f64>,
    /// cargo adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Settings { names, seed, minutes, .. } = Settings::parse();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    if names.iter().any(|name| name == "chaos") && !Box::pin(chaos::holds(seed, minutes.unwrap_or(5.0))).await {
        return ExitCode::FAILURE;
    }
    if wanted("capacity") {
        for figure in capacity::measure().await {
            println!("{figure}");
        }
    }
    if wanted("comeback") {
        println!("{}", comeback::measure(3_000).await);
    }
    if wanted("idle") {
        println!("{}", idle::measure(5_000).await);
    }
    if wanted("joins") {
        for figure in joins::measure().await {
            println!("{figure}");
        }
    }
    if wanted("latency") {
        println!("{}", as_client(latency::measure(5_000)).await);
    }
    if wanted("rolling") {
        for line in rolling::measure(2_000).await {
            println!("{line}");
        }
    }
    if wanted("overload") {
        for figure in overload::measure(1_000).await {
            println!("{figure}");
        }
    }
    if wanted("slots") {
        for figure in as_client(slots::measure(500)).await {
            println!("{figure}");
        }
    }
    if wanted("soak") {
        for figure in soak::measure(minutes.unwrap_or(3.0)).await {
            println!("{figure}");
        }
    }
    ExitCode::SUCCESS
}

/// A gateway and a worker whose time is measured: they log what a deployment's do. Those of tests write a line for each
/// message.
fn timed() -> Builder {
    Stack::builder().processes().log_filter(DEFAULT_FILTER).gateway_arg("--rate-limit=1000000")
}

/// Measures where clients run: in a task. The thread of `main` is none of the runtime's, so that each answer would have to be
/// handed to it by another one, with what that takes in both of what is compared.
async fn as_client<T: Send + 'static>(measured: impl Future<Output = T> + Send + 'static) -> T {
    tokio::spawn(measured).await.expect("nothing panicked")
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

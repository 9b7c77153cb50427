//! Numbers for Prometheus.
//!
//! The parts count with the macros of the `metrics` crate, whose recorder belongs to the process: [`Metrics::install`]
//! sets it up once and hands out the page that `/metrics` serves. Histograms are sorted by the end of their name:
//!
//! | name ends with | buckets |
//! | --- | --- |
//! | `_seconds` | 0.5 ms to 30 s |
//! | `_bytes` | 64 bytes to 1 MiB |
//! | anything else | 1 to 10,000 |
//!
//! What the process uses (`process_…`) is looked up when the page is asked for. deploy/README.md lists every metric.

use std::{fmt, panic, sync::OnceLock, thread, time::Duration};

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

use crate::config::BUILD;

/// Upper bounds of durations, in seconds.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds of sizes, in bytes.
const BYTES: &[f64] =
    &[64.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 131_072.0, 262_144.0, 524_288.0, 786_432.0, 1_048_576.0];

/// Upper bounds of everything else that is counted in a histogram: events in a batch, requests in flight.
const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 10_000.0];

/// Observations wait in memory until a scrape or this much time gathers them into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// The numbers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    page: PrometheusHandle,
    process: Collector,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Sets up the process's recorder at the first call; every call returns the same numbers.
    ///
    /// # Errors
    /// Somebody else has set up another recorder.
    pub fn install() -> Result<Self> {
        static INSTALLED: OnceLock<Result<Metrics, String>> = OnceLock::new();
        INSTALLED
            .get_or_init(|| Self::build().map_err(|error| format!("{error:#}")))
            .clone()
            .map_err(anyhow::Error::msg)
    }

    #[expect(clippy::disallowed_methods, reason = "the thread that sleeps is its own")]
    fn build() -> Result<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES)?
            .set_buckets(COUNTS)?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| anyhow::anyhow!("metrics have another recorder already"))?;
        // A thread, because the numbers outlive every runtime of the process (each test has its own).
        let upkeep = handle.clone();
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                loop {
                    thread::sleep(UPKEEP);
                    upkeep.run_upkeep();
                }
            })
            .context("starting the thread for metrics")?;
        let panics = metrics::counter!("convene_panics_total");
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            panics.increment(1);
            report(panicked);
        }));
        let build = [("version", BUILD.version), ("commit", BUILD.commit.unwrap_or("unknown"))];
        metrics::gauge!("convene_build_info", &build).set(1.0);
        Ok(Self { page: handle, process: Collector::default() })
    }

    /// The page, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.process.collect();
        self.page.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_from_none_on() {
        let metrics = Metrics::install().expect("the recorder");
        let count = || {
            let page = metrics.render();
            let line = page.lines().find_map(|line| line.strip_prefix("convene_panics_total "));
            line.expect("it is there from the beginning").parse::<u64>().expect("a number")
        };
        let before = count();
        thread::spawn(|| panic!("on purpose")).join().expect_err("a panic");
        // Other tests may panic meanwhile.
        assert!(count() > before);
    }

    #[test]
    fn every_install_shows_the_same_numbers_in_buckets_that_fit_their_unit() {
        let first = Metrics::install().expect("the first install");
        let second = Metrics::install().expect("the second install");
        metrics::counter!("test_requests_total").increment(3);
        metrics::histogram!("test_wait_seconds").record(0.002);
        metrics::histogram!("test_frame_bytes").record(70_000.0);
        let page = second.render();
        assert!(page.contains("test_requests_total 3"), "{page}");
        let build = format!("convene_build_info{{version=\"{}\",commit=\"", BUILD.version);
        assert!(page.contains(&build), "{page}");
        assert!(page.contains("\nprocess_open_fds "), "{page}");
        assert!(page.contains(r#"test_wait_seconds_bucket{le="0.0025"} 1"#), "{page}");
        assert!(page.contains(r#"test_frame_bytes_bucket{le="65536"} 0"#), "{page}");
        assert!(page.contains(r#"test_frame_bytes_bucket{le="131072"} 1"#), "{page}");
        // Other tests of this process count meanwhile, in whatever order.
        let ours = |page: String| {
            let lines: std::collections::BTreeSet<String> =
                page.lines().filter(|line| line.starts_with("test_")).map(str::to_owned).collect();
            lines
        };
        assert_eq!(ours(first.render()), ours(page));
    }
}

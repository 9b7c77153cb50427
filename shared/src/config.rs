//! Settings that both processes have. Each is a flag and an environment variable with the prefix `CONVENE_`.
//!
//! | setting | default |
//! | --- | --- |
//! | `nats-url`, `redis-url` | none: required |
//! | `pod-name` | the host's name and a random suffix |
//! | `drain-delay`, `drain-timeout` | 5s, 30s |
//! | `log-format` | text |
//! | `otlp-endpoint` | none |

use std::{str::FromStr, time::Duration};

use clap::{Args, ValueEnum};

/// The servers that pods meet at.
#[derive(Args, Clone, Debug)]
pub struct Servers {
    /// NATS server, or several divided by commas
    #[arg(long, env = "CONVENE_NATS_URL", hide_env_values = true)]
    pub nats_url: String,
    /// Redis server
    #[arg(long, env = "CONVENE_REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
}

/// Settings that have nothing to do with what the process is for.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Name of this pod in logs, metrics and presence [default: the host's name and a random suffix]
    #[arg(long, env = "CONVENE_POD_NAME", hide_env_values = true)]
    pub pod_name: Option<String>,
    /// How long to go on serving, unready, after the signal to stop
    #[arg(long, env = "CONVENE_DRAIN_DELAY", hide_env_values = true, default_value = "5s", value_parser = duration)]
    pub drain_delay: Duration,
    /// Over how long to close what is open after that
    #[arg(long, env = "CONVENE_DRAIN_TIMEOUT", hide_env_values = true, default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// How log lines are written
    #[arg(long, env = "CONVENE_LOG_FORMAT", hide_env_values = true, default_value = "text")]
    pub log_format: LogFormat,
    /// OpenTelemetry collector that traces are sent to (OTLP over HTTP), such as http://localhost:4318
    #[arg(long, env = "CONVENE_OTLP_ENDPOINT", hide_env_values = true)]
    pub otlp_endpoint: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h` or `d`, such as `30s`.
///
/// # Errors
/// Says what a duration looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("not a duration such as 500ms, 30s, 5m, 24h or 7d".to_owned()),
    };
    u64::from_str(number)
        .ok()
        .and_then(|number| number.checked_mul(millis_per_unit))
        .map(Duration::from_millis)
        .ok_or_else(|| "not a duration such as 500ms, 30s, 5m, 24h or 7d".to_owned())
}

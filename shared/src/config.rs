//! Settings that both processes have. Each is a flag and an environment variable with the prefix `CONVENE_`.
//!
//! | setting | default |
//! | --- | --- |
//! | `nats-url`, `redis-url` | none: required |
//! | `pod-name` | the host's name and a random suffix |
//! | `drain-delay`, `drain-timeout` | 5s, 30s |
//! | `log-format` | text |
//! | `otlp-endpoint` | none |
//!
//! [`parse`] reads them with all others of a program. A variable that is set to nothing counts as not set.

use std::{
    error::Error as _,
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
    process,
    str::FromStr,
    sync::LazyLock,
    time::Duration,
};

use clap::{
    Arg, Args, Command, Parser, ValueEnum,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
};
use rand::Rng as _;

use crate::pod::MAX_NAME_BYTES;

pub mod heading;
mod program;

#[cfg(test)]
pub(crate) mod tests;

pub use program::{Program, Task};

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
    /// Name of this pod for people: in logs, traces, presence and lists of connections [default: the host's name and a random
    /// suffix]
    #[arg(long, env = "CONVENE_POD_NAME", hide_env_values = true, value_parser = name_of_pod)]
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

/// Reads the address of a listener: IP and port.
///
/// # Errors
/// Says what one looks like.
pub fn listener(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "not an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080")
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

fn name_of_pod(text: &str) -> Result<String, String> {
    if (1..=MAX_NAME_BYTES).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("must have 1 to {MAX_NAME_BYTES} bytes"))
    }
}

/// Version and commit of this build. A build without git, such as that of an image, is told them: `CONVENE_VERSION`, for
/// which the package's stands in, and `CONVENE_COMMIT`, which may be unknown.
pub const BUILD: Build = Build {
    version: match option_env!("CONVENE_VERSION") {
        Some(version) if !version.is_empty() => version,
        _ => env!("CARGO_PKG_VERSION"),
    },
    commit: match option_env!("CONVENE_COMMIT") {
        Some(commit) if !commit.is_empty() => Some(commit),
        _ => None,
    },
};

/// What a program was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// Such as `1.4.0`.
    pub version: &'static str,
    /// The commit, where the build knew it.
    pub commit: Option<&'static str>,
}

/// This build, as `--version` shows it.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| match BUILD.commit {
        Some(commit) => format!("{} ({commit})", BUILD.version),
        None => BUILD.version.to_owned(),
    });
    &VERSION
}

/// The name of this pod, for people: what `pod-name` says, else the host's name and a suffix that differs at every call. Names come
/// back: what is addressed goes by [`PodId`](crate::pod::PodId).
pub fn pod_name(common: &Common) -> String {
    match &common.pod_name {
        Some(name) => name.clone(),
        None => {
            let host = rustix::system::uname();
            let suffix: u32 = rand::rng().random();
            format!("{}-{suffix:08x}", host.nodename().to_string_lossy())
        }
    }
}

/// The settings of this process, from its arguments and environment.
///
/// Ends the process where they make no sense: code 2 and one line on standard error that names the setting, and never its
/// value, which may be a secret. `--help` and `--version` print and end it with code 0.
pub fn parse<T: Parser>() -> T {
    parse_from(std::env::args_os())
}

/// As [`parse`], from these arguments, the program's name first.
#[expect(clippy::disallowed_methods, reason = "nothing has been started yet that would have to be stopped")]
pub fn parse_from<T: Parser>(args: impl IntoIterator<Item = impl Into<OsString>>) -> T {
    read(args).unwrap_or_else(|ending| {
        // Whoever closed the other end does not want to read it.
        let _ = match ending.code {
            0 => io::stdout().write_all(ending.text.as_bytes()),
            _ => io::stderr().write_all(ending.text.as_bytes()),
        };
        process::exit(ending.code)
    })
}

/// How a process ends that has not got its settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending {
    /// Exit code.
    pub code: i32,
    /// What it prints: on standard output where the code is 0, else on standard error.
    pub text: String,
}

/// As [`parse_from`], for those who end the process themselves.
///
/// # Errors
/// How the process should end.
pub fn read<T: Parser>(args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<T, Ending> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let documented = heading::with_headings(T::command().version(version()));
    let documented = with_args(documented, &|arg| arg.hide_env_values(true));
    let effective = with_args(documented.clone(), &|arg| {
        if arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty()) {
            arg.env(Resettable::Reset)
        } else {
            arg
        }
    });
    let error = match effective.try_get_matches_from(&args).and_then(|matches| T::from_arg_matches(&matches)) {
        Ok(settings) => return Ok(settings),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // From the documented command, so that help shows every variable, those set to nothing too.
            let error = documented.try_get_matches_from(&args).err().unwrap_or(error);
            Err(Ending { code: error.exit_code(), text: error.render().to_string() })
        }
        _ => Err(Ending { code: 2, text: format!("{}\n", complaint(&documented, &args, &error)) }),
    }
}

/// The command with `change` done to each argument, those of subcommands too.
fn with_args(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|sub| with_args(sub, change))
}

/// What is wrong, in one line. Values are left out on purpose.
fn complaint(command: &Command, args: &[OsString], error: &clap::Error) -> String {
    let named = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => name(command, arg),
        Some(ContextValue::Strings(args)) => args.iter().map(|arg| name(command, arg)).collect::<Vec<_>>().join(", "),
        _ => match error.get(ContextKind::InvalidSubcommand) {
            Some(ContextValue::String(sub)) => sub.clone(),
            _ => String::new(),
        },
    };
    let mut line = match error.kind() {
        ErrorKind::MissingRequiredArgument => format!("missing setting {named}"),
        ErrorKind::InvalidValue if matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(v)) if v.is_empty()) =>
        {
            format!("setting {named} has no value")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => format!("malformed setting {named}"),
        ErrorKind::UnknownArgument => format!("unknown argument {named}"),
        ErrorKind::InvalidSubcommand => format!("unknown subcommand {named}"),
        ErrorKind::ArgumentConflict => format!("conflicting setting {named}"),
        kind => {
            let kind = kind.as_str().unwrap_or("the arguments make no sense");
            if named.is_empty() { kind.to_owned() } else { format!("{named}: {kind}") }
        }
    };
    if let Some(source) = error.source() {
        let _ = write!(line, ": {source}");
    } else if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue)
        && !valid.is_empty()
    {
        let _ = write!(line, ": must be one of {}", valid.join(", "));
    }
    // Of a subcommand the settings are in its own help.
    let sub = args.get(1).and_then(|arg| command.find_subcommand(arg));
    let help = match sub {
        Some(sub) => format!("{} {} --help", command.get_name(), sub.get_name()),
        None => "--help".to_owned(),
    };
    format!("{}: {} (see {help})", command.get_name(), line.replace(['\n', '\r'], " "))
}

/// Each flag in clap's rendering (`--nats-url <NATS_URL>`, or `<--a <A>|--b <B>>` where one of several is missing) with
/// its variable: `--nats-url (CONVENE_NATS_URL)`.
fn name(command: &Command, rendered: &str) -> String {
    let flags: Vec<String> = rendered
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .filter_map(|word| word.strip_prefix("--"))
        .map(|long| match variable(command, long) {
            Some(variable) => format!("--{long} ({variable})"),
            None => format!("--{long}"),
        })
        .collect();
    if flags.is_empty() { rendered.to_owned() } else { flags.join(" or ") }
}

fn variable(command: &Command, long: &str) -> Option<String> {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(long))
        .and_then(|arg| arg.get_env())
        .map(|variable| variable.to_string_lossy().into_owned())
        .or_else(|| command.get_subcommands().find_map(|sub| variable(sub, long)))
}

//! The commands and their settings. Without a command it is `serve`.
//!
//! | command | does |
//! | --- | --- |
//! | `serve` | runs everything in one process |
//! | `token` | signs a session token |
//! | `call` | sends one request and prints the answer |
//! | `listen` | prints pushed events |
//! | `import` | sends a file to the directory |
//!
//! `serve` takes every setting of gateway and worker, with these differences: `nats-url`, `redis-url` and `database-url`
//! each replace a part that it has itself, `jwt-secret` and `admin-token` are made once and kept in the data folder,
//! `migrate` and `auto-provision` are on, it drains at once, takes 1,000 sockets, and is reached from this machine only.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use shared::config::{duration, heading, listener};

/// The meeting and social API in one process, and small clients for it
#[derive(Debug, Parser)]
#[command(name = "convene")]
pub struct Settings {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process: the default, with its settings in `convene serve --help`
    Serve(Box<Serve>),
    /// Sign a session token
    Token(Token),
    /// Send one request and print the answer; code 1 when it is an error
    Call(Call),
    /// Print pushed events in short, one JSON object a line, and connect again when the connection ends
    Listen(Listen),
    /// Send a file of users, networks, rooms … to the directory, one JSON object a line
    Import(Import),
}

/// The program's arguments, with `serve` put in where no command is named.
pub fn with_default_command(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    const OF_THE_PROGRAM: &[&str] = &["-h", "--help", "-V", "--version"];
    let mut args: Vec<OsString> = args.into_iter().collect();
    let serves = args.get(1).is_none_or(|first| {
        let first = first.to_string_lossy();
        first.starts_with('-') && !OF_THE_PROGRAM.contains(&first.as_ref())
    });
    if serves {
        args.insert(args.len().min(1), "serve".into());
    }
    args
}

/// Where data and secrets are kept.
#[derive(Args, Clone, Debug)]
pub struct DataDir {
    /// Folder with the data and the secrets of `convene serve`
    #[arg(long, env = "CONVENE_DATA_DIR", default_value = ".convene")]
    pub data_dir: PathBuf,
}

/// Settings of `serve`.
#[derive(Args, Debug)]
pub struct Serve {
    /// NATS server, or several divided by commas [default: the bus in this process]
    #[arg(long, env = "CONVENE_NATS_URL")]
    pub nats_url: Option<String>,
    /// Redis server [default: the presence in this process]
    #[arg(long, env = "CONVENE_REDIS_URL")]
    pub redis_url: Option<String>,
    /// Where clients connect; 0.0.0.0:8080 lets other machines in
    #[arg(long, env = "CONVENE_LISTEN", default_value = "127.0.0.1:8080", value_parser = listener)]
    pub listen: SocketAddr,
    /// Where the gateway serves health, metrics and administration
    #[arg(long, env = "CONVENE_MANAGEMENT_LISTEN", default_value = "127.0.0.1:9090", value_parser = listener)]
    pub management_listen: SocketAddr,
    /// Where the worker serves health and metrics
    #[arg(long, env = "CONVENE_WORKER_MANAGEMENT_LISTEN", default_value = "127.0.0.1:9091", value_parser = listener)]
    pub worker_management_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) parts: PartsSettings,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

/// Settings of gateway and worker, each once although both have some of them.
#[derive(Debug)]
pub(crate) struct PartsSettings {
    pub gateway: gateway::Config,
    pub worker: worker::Config,
    /// Whether `database-url` was set, or stands for the private server.
    pub has_database: bool,
}

const DATABASE: &str = "database_url";

impl Args for PartsSettings {
    fn augment_args(command: clap::Command) -> clap::Command {
        let gateway = gateway::Config::augment_args(clap::Command::new("gateway"));
        let worker = worker::Config::augment_args(clap::Command::new("worker"));
        let only_workers =
            worker.get_arguments().filter(|arg| gateway.get_arguments().all(|known| known.get_id() != arg.get_id()));
        command
            .args(heading::in_order(gateway.get_arguments().chain(only_workers)))
            .mut_arg(DATABASE, |arg| {
                arg.required(false).default_value("postgres://localhost").hide_default_value(true).help(
                    "PostgreSQL database, such as postgres://user:password@host/database [default: a private one]",
                )
            })
            .mut_arg("jwt_secret", |arg| {
                arg.help("Secret that session tokens are signed with (HS256), 32 bytes or more, or two divided by a comma [default: made once, in the data folder]")
            })
            .mut_arg("admin_token", |arg| {
                arg.help("Bearer token of the administration, or two divided by a comma [default: made once, in the data folder]")
            })
            // Not every machine lets a process open files for 50,000 sockets.
            .mut_arg("max_connections", |arg| arg.default_value("1000"))
            .mut_arg("migrate", |arg| arg.default_value("true"))
            .mut_arg("auto_provision", |arg| arg.default_value("true"))
            .mut_arg("drain_delay", |arg| arg.default_value("0s"))
            .mut_arg("drain_timeout", |arg| arg.default_value("1s"))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PartsSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            gateway: gateway::Config::from_arg_matches(matches)?,
            worker: worker::Config::from_arg_matches(matches)?,
            has_database: matches.value_source(DATABASE) != Some(ValueSource::DefaultValue),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Settings of `token`.
#[derive(Args, Clone, Debug)]
pub struct Token {
    /// User id
    #[arg(long)]
    pub user: String,
    /// Network id
    #[arg(long, default_value = crate::demo::NETWORK)]
    pub network: String,
    /// Session id; a session has one socket [default: a new one]
    #[arg(long)]
    pub sid: Option<String>,
    /// How long the token is good
    #[arg(long, default_value = "24h", value_parser = duration)]
    pub ttl: Duration,
    #[command(flatten)]
    pub(crate) signing: Signing,
}

/// What tokens are signed with.
#[derive(Args, Clone)]
pub(crate) struct Signing {
    /// Secret that the gateway knows; of two divided by a comma the first [default: the one in the data folder]
    #[arg(long, env = "CONVENE_JWT_SECRET", value_parser = gateway::config::signing_secrets)]
    pub jwt_secret: Option<gateway::config::Secrets>,
    /// The token's `aud`, where the gateway checks it; of several divided by commas the first
    #[arg(long, env = "CONVENE_JWT_AUDIENCE", value_delimiter = ',', value_parser = gateway::config::name)]
    pub audience: Vec<String>,
    /// The token's `iss`, where the gateway checks it; of several divided by commas the first
    #[arg(long, env = "CONVENE_JWT_ISSUER", value_delimiter = ',', value_parser = gateway::config::name)]
    pub issuer: Vec<String>,
    #[command(flatten)]
    pub data_dir: DataDir,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing")
    }
}

/// Which gateway, and as whom.
#[derive(Args, Clone)]
pub struct Target {
    /// As whom.
    #[command(flatten)]
    pub caller: Caller,
    /// The user's network
    #[arg(long, default_value = crate::demo::NETWORK)]
    pub network: String,
    /// The gateway's WebSocket address
    #[arg(long, env = "CONVENE_URL", default_value = "ws://127.0.0.1:8080/ws")]
    pub url: String,
    #[command(flatten)]
    pub(crate) signing: Signing,
}

/// As whom: one of them is required, and a user that was named on purpose goes before a token that lies in the environment.
#[derive(Args, Clone)]
#[group(required = true, multiple = true)]
pub struct Caller {
    /// As whom: signs a token for a new session of this user, such as alice
    #[arg(long)]
    pub user: Option<String>,
    /// As whom: a session token that you have
    #[arg(long, env = "CONVENE_TOKEN")]
    pub token: Option<String>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("url", &self.url).field("user", &self.caller.user).finish_non_exhaustive()
    }
}

/// Settings of `call`.
#[derive(Args, Clone, Debug)]
pub struct Call {
    /// Such as meeting:listUserMeetings; shared/ENDPOINTS.md lists all
    pub endpoint: String,
    /// The request's `data`, as JSON
    #[arg(default_value = "{}")]
    pub data: String,
    /// The request's `event.id`: sent again with the same one, a change is done once per session
    #[arg(long)]
    pub event_id: Option<String>,
    /// How long to wait for the connection and the answer
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Settings of `listen`.
#[derive(Args, Clone, Debug)]
pub struct Listen {
    /// `eventId` of the last event that was seen: what was missed since is printed first
    #[arg(long)]
    pub last_event_id: Option<String>,
    /// Print frames whole, with what is empty, 0 or false in them
    #[arg(long)]
    pub full: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Settings of `import`.
#[derive(Args, Clone)]
pub struct Import {
    /// File to send, `-` for standard input
    pub file: PathBuf,
    /// The gateway's management address
    #[arg(long, env = "CONVENE_ADMIN_URL", default_value = "http://127.0.0.1:9090")]
    pub admin_url: String,
    /// Bearer token of the administration; of two divided by a comma the first [default: the one in the data folder]
    #[arg(long, env = "CONVENE_ADMIN_TOKEN", value_parser = gateway::config::admin_tokens)]
    pub admin_token: Option<gateway::config::Secrets>,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("file", &self.file).field("admin_url", &self.admin_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use shared::config::read;

    use super::*;

    fn serve(args: &[&str]) -> Serve {
        let args = with_default_command(["convene"].iter().chain(args).map(OsString::from));
        match read::<Settings>(args).expect("good settings").command {
            Command::Serve(serve) => *serve,
            other => panic!("not serve: {other:?}"),
        }
    }

    #[test]
    fn without_a_command_it_serves_with_settings_of_both_parts() {
        let defaults = serve(&[]);
        assert!(defaults.parts.worker.migrate && defaults.parts.worker.auto_provision && !defaults.parts.has_database);
        assert_eq!(defaults.parts.gateway.common.drain_delay, Duration::ZERO);

        let set = serve(&["--rate-limit", "7", "--event-retention", "1h", "--database-url", "postgres://u@h/d"]);
        assert_eq!(set.parts.gateway.rate_limit.get(), 7);
        assert_eq!(set.parts.worker.event_retention, Duration::from_secs(3600));
        assert!(set.parts.has_database);
        assert!(!serve(&["--migrate=false"]).parts.worker.migrate);
        assert!(defaults.parts.worker.deprecated_events);
        for off in ["off", "false", "0"] {
            assert!(!serve(&[&format!("--deprecated-events={off}")]).parts.worker.deprecated_events, "{off}");
        }
    }

    #[test]
    fn a_named_command_and_questions_about_the_program_stay_what_they_are() {
        for args in [["convene", "token"], ["convene", "--help"], ["convene", "-V"]] {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            assert_eq!(with_default_command(args.clone()), args);
        }
    }

    #[test]
    fn a_bad_setting_is_named_whichever_part_it_belongs_to() {
        for (args, named) in [
            (["convene", "serve", "--rate-limit", "x"], "--rate-limit (CONVENE_RATE_LIMIT)"),
            (["convene", "serve", "--retry-retention", "x"], "--retry-retention (CONVENE_RETRY_RETENTION)"),
            (["convene", "token", "--ttl", "x"], "--ttl"),
        ] {
            let ending = read::<Settings>(args).expect_err("a bad setting");
            assert!(
                ending.code == 2 && ending.text.contains(&format!("malformed setting {named}: ")),
                "{}",
                ending.text
            );
        }
        let ending = read::<Settings>(["convene", "listen"]).expect_err("nobody");
        let expected = "convene: missing setting --user or --token (CONVENE_TOKEN) (see convene listen --help)\n";
        assert_eq!(ending.text, expected);
    }
}

//! The worker's settings. Each is a flag and an environment variable with the prefix `CONVENE_`.
//!
//! | setting | default |
//! | --- | --- |
//! | `database-url` | none: required |
//! | `namespaces` | all |
//! | `max-concurrency` | a multiple of the database pool |
//! | `migrate`, `auto-provision` | off |
//! | `deprecated-events` | on |
//! | `event-retention`, `retry-retention` | 24h |
//! | those of [`Outside`] and of [`shared::config::Common`] | |

mod outside;

use std::{num::NonZeroUsize, time::Duration};

use clap::{ArgAction, Args, ValueEnum, builder::BoolishValueParser};
use shared::config::{Common, duration};

pub use outside::{InvitationUrl, Outside, PublicUrl, Secret, SmtpUrl, WebhookUrl};

/// Where the database is.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// PostgreSQL database, such as postgres://user:password@host/database
    #[arg(long, env = "CONVENE_DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,
}

/// Settings of a worker.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// PostgreSQL database, such as postgres://user:password@host/database
    #[arg(long, env = "CONVENE_DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,
    /// What this worker answers, divided by commas
    #[arg(
        long,
        env = "CONVENE_NAMESPACES",
        hide_env_values = true,
        value_enum,
        value_delimiter = ',',
        default_value = "meeting,social,user,directory,events"
    )]
    pub namespaces: Vec<Namespace>,
    /// Requests done at once [default: four for each connection of the database pool]
    #[arg(long, env = "CONVENE_MAX_CONCURRENCY", hide_env_values = true)]
    pub max_concurrency: Option<NonZeroUsize>,
    /// Bring the database's schema up to date at start
    #[arg(long, env = "CONVENE_MIGRATE", hide_env_values = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    pub migrate: bool,
    /// Make users known who are seen for the first time, from the claims of their token
    #[arg(long, env = "CONVENE_AUTO_PROVISION", hide_env_values = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    pub auto_provision: bool,
    /// Send meetingUpdated and meetingDeleted, the events of the deprecated API, beside those of the current one
    #[arg(long, env = "CONVENE_DEPRECATED_EVENTS", hide_env_values = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    pub deprecated_events: bool,
    /// How long events are kept for clients that connect again
    #[arg(long, env = "CONVENE_EVENT_RETENTION", hide_env_values = true, default_value = "24h", value_parser = duration)]
    pub event_retention: Duration,
    /// How long answers are kept for requests that are sent again
    #[arg(long, env = "CONVENE_RETRY_RETENTION", hide_env_values = true, default_value = "24h", value_parser = duration)]
    pub retry_retention: Duration,
    /// How people outside are reached
    #[command(flatten)]
    pub outside: Outside,
    /// Settings that have nothing to do with what the process is for
    #[command(flatten)]
    pub common: Common,
}

/// What a worker can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Namespace {
    /// Meetings and availability.
    Meeting,
    /// Social events and sessions.
    Social,
    /// Sessions and `user_info`.
    User,
    /// The directory.
    Directory,
    /// The event log and its relay.
    Events,
}

/// Where the database is. Never shown: it may hold a password.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// As it was given.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        // sqlx's own message repeats parts of the URL, which may be the password.
        url.parse::<sqlx::postgres::PgConnectOptions>()
            .map(|_| Self(url.to_owned()))
            .map_err(|_| "not a URL such as postgres://user:password@host/database".to_owned())
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

//! The network to try it with, fed in like any other through the directory, and what is printed about it.

use std::{env, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chrono::{SecondsFormat, TimeDelta, Timelike as _, Utc};
use shared::internal::{PARTITIONS, SendCanary};
use sqlx::{Connection as _, PgConnection};

use crate::{
    import,
    token::{self, Signer},
};

/// The network's id.
pub const NETWORK: &str = "demo";

/// Its users.
pub const USERS: &[&str] = &["alice", "bob", "carol", "dave"];

/// The directory's lines for it; the last one is [`LAST`].
const LINES: &str = include_str!("demo.jsonl");

/// The community of the last line: where it is known, alive or deleted, all lines have been through.
const LAST: &str = "garden";

/// How long the printed tokens are good.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// Feeds the network in at the first start. What was changed or deleted since stays so, and a database with networks of
/// its own is left alone. Returns whether the database has the network.
///
/// # Errors
/// The database or the directory refuses.
pub async fn seed(database_url: &str, admin_url: &str, admin_token: &str) -> Result<bool> {
    let mut database = PgConnection::connect(database_url).await.context("looking for the demo network")?;
    let (is_complete, is_there, has_others): (bool, bool, bool) = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM communities WHERE id = $2), EXISTS (SELECT FROM networks WHERE id = $1),
                EXISTS (SELECT FROM networks WHERE id <> $1 AND id <> ALL ($3))",
    )
    .bind(NETWORK)
    .bind(LAST)
    .bind((0..PARTITIONS).map(SendCanary::network).collect::<Vec<_>>())
    .fetch_one(&mut database)
    .await
    .context("looking for the demo network")?;
    database.close().await?;
    if is_complete || has_others {
        return Ok(is_there);
    }
    let errors = import::send(admin_url, admin_token, LINES).await.context("making the demo network known")?;
    ensure!(errors.is_empty(), "making the demo network known: {}", errors.join("; "));
    Ok(true)
}

/// What is printed when everything runs.
#[derive(Debug)]
pub struct Greeting<'a> {
    /// The gateway's WebSocket address.
    pub url: &'a str,
    /// Its management address.
    pub admin_url: &'a str,
    /// The worker's management address.
    pub worker_url: &'a str,
    /// Who else reaches the first of them.
    pub reach: Reach,
    /// Who signs tokens; `None` where somebody else does.
    pub signer: Option<&'a Signer>,
    /// The data folder.
    pub folder: &'a Path,
    /// Whether the demo network is there.
    pub has_demo: bool,
}

/// From where clients reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From this machine.
    Machine,
    /// From elsewhere at this very address.
    Address,
    /// From elsewhere at every address of this machine.
    Everywhere,
}

impl Reach {
    /// Of a listener with this address.
    pub fn of(address: SocketAddr) -> Self {
        match address.ip() {
            ip if ip.is_loopback() => Self::Machine,
            ip if ip.is_unspecified() => Self::Everywhere,
            _ => Self::Address,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Machine => " (from this machine only; for others: --listen 0.0.0.0:8080)",
            Self::Address => "",
            Self::Everywhere => " (and at every address of this machine)",
        }
    }
}

impl Greeting<'_> {
    /// The lines.
    ///
    /// # Errors
    /// No token can be signed.
    pub fn lines(&self) -> Result<Vec<String>> {
        let mut lines = vec![
            String::new(),
            "Convene is running.".to_owned(),
            String::new(),
            format!("  clients         {}{}", self.url, self.reach.words()),
            format!(
                "  administration  {}/admin (token: {})",
                self.admin_url,
                self.folder.join("admin-token").display()
            ),
            format!("  health, metrics {0}/readyz {0}/metrics {1}/readyz {1}/metrics", self.admin_url, self.worker_url),
            String::new(),
        ];
        match self.signer {
            Some(signer) if self.has_demo => {
                lines.push(format!("Session tokens of network {NETWORK}, good for a day:"));
                lines.push(String::new());
                for user in USERS {
                    let token = signer.sign(user, NETWORK, &token::new_sid(user), TOKEN_TTL)?;
                    lines.push(format!("  {user:<6} {token}"));
                }
                lines.push(String::new());
                lines.extend(self.first_steps());
            }
            Some(_) => lines.push("The database has networks of its own, so there is no demo network.".to_owned()),
            None => lines.push("Session tokens come from whoever has the keys that you have set.".to_owned()),
        }
        lines.push("Ctrl-C stops everything; the data stay.".to_owned());
        Ok(lines)
    }

    /// Commands to copy, that do what they say in another terminal in the same folder.
    fn first_steps(&self) -> Vec<String> {
        let program = program();
        let mut options = String::new();
        if self.url != "ws://127.0.0.1:8080/ws" {
            options.push_str(&format!(" --url {}", self.url));
        }
        if env::current_dir().ok().and_then(|dir| dir.canonicalize().ok()).map(|dir| dir.join(".convene")).as_deref()
            != Some(self.folder)
        {
            options.push_str(&format!(" --data-dir {}", quoted(&self.folder.display().to_string())));
        }
        let start = (Utc::now() + TimeDelta::days(1)).with_minute(0).and_then(|t| t.with_second(0)).unwrap_or_default();
        let end = start + TimeDelta::minutes(30);
        let written = |time: chrono::DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let meeting = format!(
            r#"{{"sourceType":"room","sourceIds":["lobby"],"subject":"Coffee","invitedUserIds":["bob"],"startDate":"{}","endDate":"{}"}}"#,
            written(start),
            written(end)
        );
        let list = format!(
            r#"{{"startDate":"{}","endDate":"{}"}}"#,
            written(start - TimeDelta::days(1)),
            written(start + TimeDelta::days(30))
        );
        let slots =
            format!(r#"{{"users":[{{"roomful":"alice"}},{{"roomful":"bob"}}],"localDate":"{}"}}"#, written(start));
        vec![
            "Try, in two other terminals in this folder: what Bob is told, and Alice inviting him.".to_owned(),
            String::new(),
            format!("  {program} listen --user bob{options}"),
            format!("  {program} call --user alice{options} meeting:createMeeting '{meeting}'"),
            String::new(),
            "Bob looks at his meetings, and accepts the one whose meetingId you put in:".to_owned(),
            String::new(),
            format!("  {program} call --user bob{options} meeting:listUserMeetings '{list}'"),
            format!("  {program} call --user bob{options} meeting:acceptMeetingRequest '{{\"meetingId\":\"…\"}}'"),
            String::new(),
            "Carol looks when both of them are free on that day:".to_owned(),
            String::new(),
            format!("  {program} call --user carol{options} meeting:getTimeSlotsForMeeting '{slots}'"),
            String::new(),
        ]
    }
}

/// How to call this very program again from the folder in which it was called.
fn program() -> String {
    let typed = env::args_os().next().unwrap_or_default();
    // Found in PATH, as it will be again.
    if !Path::new(&typed).components().nth(1).is_some_and(|_| true) && !typed.is_empty() {
        return quoted(&typed.to_string_lossy());
    }
    let path = env::current_exe().unwrap_or_else(|_| typed.into());
    let here = env::current_dir().ok().and_then(|dir| path.strip_prefix(dir).ok());
    quoted(&here.unwrap_or(&path).display().to_string())
}

/// For a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_one_that_is_looked_for() {
        let last = LINES.lines().last().expect("lines");
        assert!(last.contains(&format!(r#""kind":"community","id":"{LAST}""#)), "{last}");
    }

    #[test]
    fn every_line_is_one_of_the_directory() {
        for line in LINES.lines() {
            shared::api::directory::Line::read(line).expect(line);
        }
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("target/release/convene"), "target/release/convene");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}

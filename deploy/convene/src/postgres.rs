//! A PostgreSQL of this process's own: its data in the data folder, reached by a socket that nobody else can, gone with
//! the process however that ends.
//!
//! Nobody knows a password, because there is none: the server asks the system who is at the other end of the socket, and
//! lets in the user of this process only.

pub mod account;
pub mod programs;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::ErrorKind,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    process::{Child, ChildStdin, Command},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{folder::Folder, say};
use account::Account;
use programs::Programs;

/// The name of the database, of its user, and of the map from the system's users to it.
const NAME: &str = "convene";

/// Part of the socket's name.
const PORT: u16 = 5432;

/// How often something is looked at that one can not wait for.
const LOOK: Duration = Duration::from_millis(50);

/// How long a server may take to stop in good order.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// How long the processes of a server that was killed may take to notice.
const ORPHANS_PATIENCE: Duration = Duration::from_secs(10);

/// A shell that outlives this process just as long as it takes to stop the server.
const RUN: &str = include_str!("postgres/run.sh");

/// The server's settings, given on its command line so that they hold whatever the data folder says.
const SETTINGS: &[(&str, &str)] = &[
    // What was answered is on the disk.
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    // Reached by the socket only.
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    // A worker's pool, its relays, and a few to look at it.
    ("max_connections", "200"),
    ("shared_buffers", "128MB"),
    ("timezone", "UTC"),
    // To stderr, which is the log file.
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_timezone", "UTC"),
    ("log_checkpoints", "off"),
    ("lc_messages", "C"),
];

/// Who may connect. The system says who is at the other end; the map lets in the user of this process.
const HBA: &str = "local all convene peer map=convene\n";

/// A running server.
#[derive(Debug)]
pub struct Server {
    run: Child,
    lifeline: Option<ChildStdin>,
    url: String,
    data: PathBuf,
    version: u32,
    // Removed when the server has stopped.
    _socket: TempDir,
}

/// The folders that a server has.
struct Place {
    data: PathBuf,
    log: PathBuf,
    account: Account,
    programs: Programs,
}

impl Server {
    /// Starts the server, with new data where there are none. Returns when it answers, or with nothing running and `None`
    /// when it was interrupted.
    ///
    /// # Errors
    /// There are no programs to run, or the data can not be used. The message says what to do.
    pub async fn start(folder: &Folder, interrupted: &CancellationToken) -> Result<Option<Self>> {
        let Some(place) = Place::make_ready(folder, interrupted).await? else { return Ok(None) };
        let deadline = Instant::now() + ORPHANS_PATIENCE;
        while !interrupted.is_cancelled() {
            let mut server = place.spawn()?;
            let ready = tokio::select! {
                ready = server.wait_until_ready() => ready,
                () = interrupted.cancelled() => {
                    server.stop().await?;
                    break;
                }
            };
            let Err(error) = ready else { return Ok(Some(server)) };
            // Before it stops: it would say that last.
            let last = place.last_words();
            server.stop().await?;
            // The postmaster of the last run was killed, and its processes are about to notice.
            if last.contains("shared memory block") && Instant::now() < deadline {
                sleep(LOOK * 10).await;
                continue;
            }
            let why = if last.is_empty() { format!("{error:#}") } else { last };
            return Err(damaged(&place.data, &format!("{why} (see {})", place.log.display())));
        }
        Ok(None)
    }

    /// Where it is, for sqlx and anybody of this process's user.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its major version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns when it has stopped, which it should not.
    pub async fn stopped(&mut self) -> Result<ExitStatus> {
        Ok(self.run.wait().await?)
    }

    /// Stops it in good order.
    ///
    /// # Errors
    /// It does not stop.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.lifeline.take());
        if timeout(STOP_PATIENCE, self.run.wait()).await.is_ok() {
            return Ok(());
        }
        if let Some(postmaster) = postmaster(&self.data) {
            let _ = kill_process(postmaster, Signal::QUIT);
        }
        match timeout(STOP_PATIENCE, self.run.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => bail!("PostgreSQL does not stop; its data are in {}", self.data.display()),
        }
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        let mut has_said = false;
        loop {
            tokio::select! {
                status = self.run.wait() => bail!("PostgreSQL stopped at once ({})", status?),
                ready = prepare(&self.url) => match ready {
                    Ok(()) => return Ok(()),
                    Err(error) if is_starting(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if started.elapsed() > Duration::from_secs(5) && !has_said {
                say("  PostgreSQL is still starting (it may be repairing what a crash has left)");
                has_said = true;
            }
            sleep(LOOK).await;
        }
    }
}

impl Place {
    /// Finds the programs and brings the data to where a server can be started; `None` when it was interrupted.
    async fn make_ready(folder: &Folder, interrupted: &CancellationToken) -> Result<Option<Self>> {
        let data = folder.path().join("postgres");
        let account = Account::choose(&data)?;
        let downloads = match account {
            Account::Own => folder.path().join("programs"),
            // Where the other user can run them.
            Account::Other { .. } => PathBuf::from("/var/lib/convene/programs"),
        };
        let written_by = if data.exists() { Some(version_of(&data)?) } else { None };
        let programs = tokio::select! {
            found = programs::find(account, written_by, &downloads) => found?,
            () = interrupted.cancelled() => return Ok(None),
        };
        let place = Self { log: folder.path().join("postgres.log"), data, account, programs };
        if written_by.is_none() {
            place.create(interrupted).await?;
        }
        if interrupted.is_cancelled() {
            return Ok(None);
        }
        place.stop_leftover().await?;
        place.admit(&account::own_name().await?)?;
        Ok(Some(place))
    }

    /// Creates the data beside their place and then moves them there: complete or not at all.
    async fn create(&self, interrupted: &CancellationToken) -> Result<()> {
        let unfinished = self.data.with_extension("new");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", unfinished.display()));
            }
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&unfinished).with_context(|| unfinished.display().to_string())?;
        self.account.give(&unfinished)?;
        let (mut command, folder) = self.command("initdb", &unfinished, None)?;
        command.arg("-D").arg(folder);
        command.args([
            "--username",
            NAME,
            "--auth",
            "peer",
            "--encoding",
            "UTF8",
            "--data-checksums",
            "--no-instructions",
        ]);
        // Letters of all languages have capitals; order is that of code points, everywhere the same.
        if cfg!(target_os = "macos") {
            command.args(["--locale", "C", "--lc-ctype", "en_US.UTF-8"]);
        } else {
            command.args(["--locale", "C.UTF-8"]);
        }
        let mut child = command.stdin(Stdio::piped()).spawn().context("starting initdb")?;
        // When it closes, the shell stops the program.
        let lifeline = child.stdin.take();
        let status = tokio::select! {
            status = child.wait() => status?,
            () = interrupted.cancelled() => {
                drop(lifeline);
                child.wait().await?;
                return Ok(());
            }
        };
        if !status.success() {
            bail!(
                "PostgreSQL can not create its data in {}: {} (see {})",
                self.data.display(),
                self.last_words(),
                self.log.display()
            );
        }
        fs::rename(&unfinished, &self.data).with_context(|| self.data.display().to_string())?;
        Ok(())
    }

    /// One of PostgreSQL's programs under the shell that watches this process, and the name under which the program
    /// reaches `data`. Its output goes to the log; `remove` is removed when it ends.
    fn command(&self, program: &str, data: &Path, remove: Option<&Path>) -> Result<(Command, OsString)> {
        let log = File::create(&self.log).with_context(|| self.log.display().to_string())?;
        let folder = File::open(data).with_context(|| data.display().to_string())?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", RUN, "convene-postgres"])
            .arg(remove.unwrap_or(Path::new("")))
            .arg(self.programs.bin.join(program))
            // Neither secrets of ours nor PGPORT and its kin of the user.
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC")])
            .current_dir("/")
            // Ctrl-C is for this process, which then stops the server when nobody needs it any more.
            .process_group(0)
            .stdout(OwnedFd::from(folder))
            .stderr(log);
        self.account.apply(&mut command);
        let reached_as = match self.account {
            Account::Own => data.into(),
            Account::Other { .. } => "/proc/self/fd/9".into(),
        };
        Ok((command, reached_as))
    }

    /// Stops what is left of a run whose shell was killed as well. This process has the folder, so nobody needs it.
    async fn stop_leftover(&self) -> Result<()> {
        let Some(postmaster) = postmaster(&self.data) else { return Ok(()) };
        if test_kill_process(postmaster).is_err() {
            return Ok(());
        }
        if !is_postmaster_of(postmaster, &self.data) {
            // The number came back to somebody else, for whom PostgreSQL would wait for ever.
            fs::remove_file(self.data.join("postmaster.pid")).context("removing a stale postmaster.pid")?;
            return Ok(());
        }
        say("  stopping the PostgreSQL of an earlier run");
        for signal in [Signal::INT, Signal::QUIT] {
            let _ = kill_process(postmaster, signal);
            let deadline = Instant::now() + STOP_PATIENCE;
            while Instant::now() < deadline {
                if test_kill_process(postmaster).is_err() {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        }
        bail!("the PostgreSQL of an earlier run (process {}) does not stop", postmaster.as_raw_nonzero())
    }

    /// Lets this process's user in, and nobody else.
    fn admit(&self, user: &str) -> Result<()> {
        let map = format!("{NAME} \"{user}\" {NAME}\n");
        for (file, text) in [("pg_hba.conf", HBA), ("pg_ident.conf", &map)] {
            let path = self.data.join(file);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            self.account.give(&path)?;
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Server> {
        // Not within the data folder: a socket's path has at most 107 bytes. Not where TMPDIR says: that may be closed to
        // the other user.
        let socket = tempfile::Builder::new().prefix("convene-").tempdir_in("/tmp").context("a folder in /tmp")?;
        self.account.give(socket.path())?;
        let (mut command, data) = self.command("postgres", &self.data, Some(socket.path()))?;
        command.arg("-D").arg(data).arg("-p").arg(PORT.to_string());
        for (name, value) in SETTINGS {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.arg("-c").arg(format!("unix_socket_directories={}", socket.path().display()));
        let mut run = command.stdin(Stdio::piped()).spawn().context("starting PostgreSQL")?;
        let lifeline = run.stdin.take();
        Ok(Server {
            run,
            lifeline,
            url: url(socket.path()),
            data: self.data.clone(),
            version: self.programs.major,
            _socket: socket,
        })
    }

    /// What the server said last of why it does not go on; empty when it said nothing of the kind.
    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log)
            .lines()
            .rev()
            .find_map(|line| {
                ["PANIC:  ", "FATAL:  ", "error: ", "postgres: "]
                    .iter()
                    .find_map(|level| line.split_once(level))
                    .map(|(_, words)| words)
            })
            .unwrap_or_default()
            .to_owned()
    }
}

fn damaged(data: &Path, why: &str) -> anyhow::Error {
    anyhow!(
        "the data in {} can not be used: {why}; put back a copy of that folder, or move it away to begin anew",
        data.display()
    )
}

/// Which version has written these data.
fn version_of(data: &Path) -> Result<u32> {
    let file = data.join("PG_VERSION");
    let text = fs::read_to_string(&file).map_err(|error| damaged(data, &format!("PG_VERSION: {error}")))?;
    text.trim().parse().map_err(|_| damaged(data, "PG_VERSION holds no version"))
}

/// Everything is named: sqlx would take the rest from PGPORT and its kin.
fn url(socket: &Path) -> String {
    format!("postgres://{NAME}@localhost:{PORT}/{NAME}?host={}&sslmode=disable", socket.display())
}

/// The process that has the data, as it has written down itself.
fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

/// Whether that process is what it was when it wrote its number down. A postmaster works in its data folder.
fn is_postmaster_of(pid: Pid, data: &Path) -> bool {
    if cfg!(target_os = "linux") {
        return fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).is_ok_and(|cwd| cwd == data);
    }
    std::process::Command::new("ps")
        .args(["-o", "comm=", "-p", &pid.as_raw_nonzero().to_string()])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("postgres"))
}

/// Creates the database where it is missing, and looks whether it can be used.
async fn prepare(url: &str) -> Result<(), sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = PgConnection::connect_with(&options.clone().database("postgres")).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(NAME)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        sqlx::query("CREATE DATABASE convene").execute(&mut connection).await?;
    }
    connection.close().await?;
    PgConnection::connect_with(&options).await?.close().await
}

fn is_starting(error: &sqlx::Error) -> bool {
    /// The server takes no connections yet.
    const CANNOT_CONNECT_NOW: &str = "57P03";
    match error {
        sqlx::Error::Io(error) => {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
        }
        sqlx::Error::Database(error) => error.code().as_deref() == Some(CANNOT_CONNECT_NOW),
        _ => false,
    }
}

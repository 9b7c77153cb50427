//! One server, and the shell that keeps it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rand::{Rng as _, distr::Alphanumeric};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{
    machine::{free_port, postgres_programs, unprivileged_user},
    nats_client,
};
use crate::process;

/// Into how many parts a server can be divided for tests.
const PARTS: u32 = 2000;

/// A server that does not answer for so long has failed to start.
const START_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Postgres { archives: bool },
    Redis,
    Nats,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres { .. } => "postgres",
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }
}

/// A server of the test process. Cheap to clone; it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    port: u16,
    password: String,
    dir: PathBuf,
    keeper: Mutex<Keeper>,
    parts_taken: AtomicU32,
}

#[derive(Debug)]
struct Keeper {
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    process: Child,
    server: Option<u32>,
}

impl Server {
    /// A PostgreSQL server.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn postgres() -> Self {
        Box::pin(Self::start_new(Kind::Postgres { archives: false })).await.expect("PostgreSQL starts")
    }

    /// A PostgreSQL server whose log is archived, for [`Server::back_up`].
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn archiving_postgres() -> Self {
        Box::pin(Self::start_new(Kind::Postgres { archives: true })).await.expect("PostgreSQL starts")
    }

    /// Another PostgreSQL server that takes the same roles and passwords, with an empty database of the same name as this
    /// URL's: it could stand in this one's place. Returns the URL there.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn twin(&self, database_url: &str) -> (Self, String) {
        let kind = Kind::Postgres { archives: false };
        let twin = Box::pin(Self::start_with(kind, self.0.password.clone())).await.expect("PostgreSQL starts");
        let database = database_url.rsplit('/').next().expect("a database");
        twin.create_database(database, None).await;
        let url = twin.url("convene", database);
        (twin, url)
    }

    /// A Redis server.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn redis() -> Self {
        Box::pin(Self::start_new(Kind::Redis)).await.expect("Redis starts")
    }

    /// A NATS server.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn nats() -> Self {
        Box::pin(Self::start_new(Kind::Nats)).await.expect("NATS starts")
    }

    /// The URL of a part that nobody else has: of Redis a database number, of NATS an account.
    ///
    /// # Panics
    /// For PostgreSQL, and after 2000 calls.
    pub fn new_url(&self) -> String {
        match self.0.kind {
            Kind::Redis => self.url("", &self.new_part().to_string()),
            Kind::Nats => self.url(&format!("u{}", self.new_part()), ""),
            Kind::Postgres { .. } => panic!("databases have to be created"),
        }
    }

    /// Creates a database that nobody else has, and returns its name.
    pub(super) async fn new_database(&self, template: Option<&str>) -> String {
        let name = format!("test_{}", self.new_part());
        self.create_database(&name, template).await;
        name
    }

    pub(super) async fn create_database(&self, name: &str, template: Option<&str>) {
        let template = template.unwrap_or("template1");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name} OWNER convene TEMPLATE {template}"));
        let url = self.url("postgres", "postgres");
        let mut admin = Box::pin(PgConnection::connect(&url)).await.expect("PostgreSQL answers");
        sqlx::raw_sql(create).execute(&mut admin).await.expect("a database is created");
        admin.close().await.expect("the connection closes");
    }

    fn new_part(&self) -> u32 {
        let part = self.0.parts_taken.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(part < PARTS, "only {PARTS} tests of one process can be kept apart");
        part
    }

    async fn start_new(kind: Kind) -> anyhow::Result<Self> {
        let password: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
        Self::start_with(kind, password).await
    }

    /// Tries again on another port, as somebody may take the one that was just free.
    async fn start_with(kind: Kind, password: String) -> anyhow::Result<Self> {
        let mut attempts_left = 4;
        loop {
            let password = password.clone();
            let server = on_thread(move || Inner::new(kind, password)).await?;
            let server = Self(Arc::new(server));
            match server.launch().await {
                Ok(()) => return Ok(server),
                Err(_) if attempts_left > 0 && !server.0.is_running() => attempts_left -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it listens. For PostgreSQL `user` and `place` are role and database, for NATS `user` is the account, for Redis
    /// `place` the number.
    pub(super) fn url(&self, user: &str, place: &str) -> String {
        let Inner { kind, port, password, .. } = &*self.0;
        let scheme = kind.name();
        format!("{scheme}://{user}:{password}@127.0.0.1:{port}/{place}").trim_end_matches('/').to_owned()
    }

    /// Starts it again after [`Server::stop`] or [`Server::kill`], with the data that it has kept (Redis keeps none), and
    /// waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(&self) {
        self.launch().await.expect("the server starts again");
    }

    /// Stops it in order, clients' connections included.
    pub async fn stop(&self) {
        // PostgreSQL's fast shutdown: SIGTERM would wait for its clients to go.
        self.end(if matches!(self.0.kind, Kind::Postgres { .. }) { "INT" } else { "TERM" }).await;
    }

    /// Kills it.
    pub async fn kill(&self) {
        self.end("KILL").await;
    }

    /// [`Server::stop`], then [`Server::start`].
    pub async fn restart(&self) {
        self.stop().await;
        self.start().await;
    }

    /// Makes a base backup of an [archiving](Server::archiving_postgres) PostgreSQL while it runs, in place of the one before.
    ///
    /// # Panics
    /// When that fails.
    pub async fn back_up(&self) {
        self.command("back-up".to_owned()).await;
    }

    /// Puts the base backup in the place of what a stopped PostgreSQL holds. When it is started it has what was archived too,
    /// up to a restore point (`pg_create_restore_point`), and nothing after that.
    ///
    /// # Panics
    /// When that fails.
    pub async fn restore(&self, point: &str) {
        self.command(format!("restore {point}")).await;
    }

    async fn command(&self, command: String) {
        let inner = self.0.clone();
        let answer = on_thread(move || inner.keeper.lock().expect("no test panicked here").command(&command)).await;
        assert_eq!(answer.expect("the server's shell answers"), "done", "{}", self.0.log());
    }

    /// Freezes it and its children: connections stay open, nothing is answered.
    pub async fn pause(&self) {
        self.signal_all("STOP").await;
    }

    /// Lets it go on after [`Server::pause`].
    pub async fn resume(&self) {
        self.signal_all("CONT").await;
    }

    async fn launch(&self) -> anyhow::Result<()> {
        let inner = self.0.clone();
        on_thread(move || inner.start()).await?;
        let deadline = Instant::now() + START_PATIENCE;
        let mut restarts_left = 20;
        loop {
            let Err(error) = self.check().await else { return Ok(()) };
            let running = self.0.is_running();
            if !running && restarts_left > 0 && self.0.shows_shared_memory_in_use() {
                // Children of a killed PostgreSQL take a moment to notice.
                restarts_left -= 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
                let inner = self.0.clone();
                on_thread(move || inner.end("KILL").and_then(|()| inner.start())).await?;
            } else if !running || Instant::now() > deadline {
                bail!("{} does not answer: {error:#}\n{}", self.0.kind.name(), self.0.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn check(&self) -> anyhow::Result<()> {
        let check = async {
            match self.0.kind {
                Kind::Postgres { .. } => {
                    let mut admin = PgConnection::connect(&self.url("postgres", "postgres")).await?;
                    let missing: bool =
                        sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'convene')")
                            .fetch_one(&mut admin)
                            .await?;
                    if missing {
                        let create = format!("CREATE ROLE convene LOGIN PASSWORD '{}'", self.0.password);
                        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await?;
                    }
                    admin.close().await?;
                }
                Kind::Redis => {
                    let mut connection =
                        redis::Client::open(self.url("", "0"))?.get_multiplexed_async_connection().await?;
                    redis::cmd("PING").query_async::<()>(&mut connection).await?;
                }
                Kind::Nats => nats_client(&self.url("u1", "")).await?.flush().await?,
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(5), Box::pin(check)).await?
    }

    async fn end(&self, signal: &'static str) {
        let inner = self.0.clone();
        on_thread(move || inner.end(signal)).await.expect("the server's shell answers");
    }

    async fn signal_all(&self, signal: &'static str) {
        let inner = self.0.clone();
        on_thread(move || inner.signal_all(signal)).await.expect("the server takes the signal");
    }
}

impl Inner {
    fn new(kind: Kind, password: String) -> anyhow::Result<Self> {
        let port = free_port()?;
        let extra = match kind {
            Kind::Postgres { .. } => postgres_programs()?.to_str().context("a path in UTF-8")?.to_owned(),
            Kind::Redis | Kind::Nats => PARTS.to_string(),
        };
        let archive = if kind == (Kind::Postgres { archives: true }) { "archive" } else { "" };
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", include_str!("keep.sh"), "keep", kind.name(), &port.to_string(), &password, &extra, archive])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C is for the tests; the shell ends when they have.
            .process_group(0);
        if let Some((uid, gid)) = unprivileged_user()? {
            shell.uid(uid).gid(gid);
        }
        let mut process = shell.spawn().context("/bin/sh")?;
        let mut keeper = Keeper {
            commands: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().context("a pipe")?),
            process,
            server: None,
        };
        let dir = keeper.read_line()?;
        if !Path::new(&dir).is_dir() {
            let mut rest = dir;
            while let Ok(line) = keeper.read_line() {
                rest = rest + "\n" + &line;
            }
            bail!("{} cannot be prepared:\n{rest}", kind.name());
        }
        Ok(Self { kind, port, password, dir: dir.into(), keeper: Mutex::new(keeper), parts_taken: AtomicU32::new(0) })
    }

    fn start(&self) -> anyhow::Result<()> {
        let mut keeper = self.keeper.lock().expect("no test panicked here");
        ensure!(keeper.server.is_none(), "it runs already");
        keeper.server = Some(keeper.command("start")?.parse()?);
        Ok(())
    }

    fn end(&self, signal: &str) -> anyhow::Result<()> {
        let mut keeper = self.keeper.lock().expect("no test panicked here");
        keeper.server = None;
        keeper.command(&format!("stop {signal}")).map(drop)
    }

    /// PostgreSQL's children lead sessions of their own: a signal to the group does not reach them.
    fn signal_all(&self, signal: &str) -> anyhow::Result<()> {
        let server = self.keeper.lock().expect("no test panicked here").server.context("it does not run")?;
        process::signal(server, signal)?;
        for child in process::children(server)? {
            // One that has just ended needs no signal.
            let _ = process::signal(child, signal);
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        let server = self.keeper.lock().expect("no test panicked here").server;
        server.is_some_and(process::is_running)
    }

    fn log(&self) -> String {
        let log = match fs::read(self.dir.join("log")) {
            Ok(log) => String::from_utf8_lossy(&log).into_owned(),
            Err(error) => format!("(its log: {error})"),
        };
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn shows_shared_memory_in_use(&self) -> bool {
        let log = self.log();
        log.lines().rev().take(4).any(|line| line.contains("shared memory block"))
    }
}

impl Keeper {
    fn read_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "the shell has ended");
        Ok(line.trim_end().to_owned())
    }

    fn command(&mut self, command: &str) -> anyhow::Result<String> {
        writeln!(self.commands.as_mut().context("the shell has ended")?, "{command}")?;
        self.read_line()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.process.wait();
    }
}

/// The shells' pipes outlive the runtime of the test that started them, so they are read on threads.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

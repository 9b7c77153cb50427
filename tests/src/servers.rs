//! Real PostgreSQL, Redis and NATS servers that belong to the test process alone.
//!
//! [`Servers::shared`] starts one of each, once; [`Servers::isolated`] gives a test its own database, Redis number and
//! NATS account on them. A test that stops a server starts its own with [`Servers::start_own`]. Whatever way the test
//! process ends, SIGKILL included, the servers end and their folders go: each runs under a shell that waits for the end of
//! a pipe from here (`servers/keep.sh`).

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use rand::{Rng as _, distr::Alphanumeric};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::OnceCell;

/// How many tests of one process can be isolated from each other.
const MOST_ISOLATED: u32 = 2000;

/// A server that does not answer for so long has failed to start.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Below the range that the kernel takes ports of outgoing connections from, so that a server that was stopped finds its
/// port free.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// One server of each kind.
#[derive(Debug)]
pub struct Servers {
    /// PostgreSQL, 14 or newer.
    pub postgres: Server,
    /// Redis.
    pub redis: Server,
    /// NATS.
    pub nats: Server,
    taken: AtomicU32,
}

/// What a test has for itself.
#[derive(Clone, Debug)]
pub struct Isolated {
    /// An empty database, owned by a role that is no superuser.
    pub database_url: String,
    /// The same database, as superuser.
    pub admin_database_url: String,
    /// An empty Redis database.
    pub redis_url: String,
    /// A NATS account.
    pub nats_url: String,
}

impl Servers {
    /// The servers that all tests of this process share, started by the first call. Never stop one of them.
    ///
    /// # Panics
    /// When a server is not installed or does not start.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Servers> = OnceCell::const_new();
        SHARED.get_or_init(Self::start_own).await
    }

    /// Servers for one test, which may stop them. They end when the value is dropped.
    ///
    /// # Panics
    /// When a server is not installed or does not start.
    pub async fn start_own() -> Self {
        let [postgres, redis, nats] =
            [Kind::Postgres, Kind::Redis, Kind::Nats].map(|kind| Box::pin(Server::start_new(kind)));
        let (postgres, redis, nats) = tokio::join!(postgres, redis, nats);
        Self {
            postgres: postgres.expect("PostgreSQL starts"),
            redis: redis.expect("Redis starts"),
            nats: nats.expect("NATS starts"),
            taken: AtomicU32::new(0),
        }
    }

    /// A new database, Redis number and NATS account.
    ///
    /// # Panics
    /// When PostgreSQL does not answer, or after 2000 calls.
    pub async fn isolated(&self) -> Isolated {
        let number = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(number < MOST_ISOLATED, "only {MOST_ISOLATED} tests of one process can be isolated");
        let database = format!("test_{number}");
        let url = self.postgres.url("postgres", "postgres");
        let mut admin = Box::pin(PgConnection::connect(&url)).await.expect("PostgreSQL answers");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {database} OWNER convene")))
            .execute(&mut admin)
            .await
            .expect("a database is created");
        admin.close().await.expect("the connection closes");
        Isolated {
            database_url: self.postgres.url("convene", &database),
            admin_database_url: self.postgres.url("postgres", &database),
            redis_url: self.redis.url("", &number.to_string()),
            nats_url: self.nats.url(&format!("u{number}"), ""),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Postgres,
    Redis,
    Nats,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
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
}

#[derive(Debug)]
struct Keeper {
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    process: Child,
    server: Option<u32>,
}

impl Server {
    /// Tries again on another port, as somebody may take the one that was just free.
    async fn start_new(kind: Kind) -> anyhow::Result<Self> {
        let mut attempts_left = 4;
        loop {
            let server = on_thread(move || Inner::new(kind)).await?;
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
    fn url(&self, user: &str, place: &str) -> String {
        let Inner { kind, port, password, .. } = &*self.0;
        let scheme = kind.name();
        format!("{scheme}://{user}:{password}@127.0.0.1:{port}/{place}").trim_end_matches('/').to_owned()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.port
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
        self.end(if self.0.kind == Kind::Postgres { "INT" } else { "TERM" }).await;
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
                Kind::Postgres => {
                    let mut admin = PgConnection::connect(&self.url("postgres", "postgres")).await?;
                    let missing: bool =
                        sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'convene')")
                            .fetch_one(&mut admin)
                            .await?;
                    if missing {
                        let create = format!("CREATE ROLE convene LOGIN PASSWORD '{}'", self.0.password);
                        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut admin).await?;
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
    fn new(kind: Kind) -> anyhow::Result<Self> {
        let port = free_port()?;
        let password: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
        let extra = match kind {
            Kind::Postgres => postgres_programs()?.to_str().context("a path in UTF-8")?.to_owned(),
            Kind::Redis | Kind::Nats => MOST_ISOLATED.to_string(),
        };
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", include_str!("servers/keep.sh"), "keep", kind.name(), &port.to_string(), &password, &extra])
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
        Ok(Self { kind, port, password, dir: dir.into(), keeper: Mutex::new(keeper) })
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
        crate::process::signal(server, signal)?;
        for child in crate::process::children(server)? {
            // One that has just ended needs no signal.
            let _ = crate::process::signal(child, signal);
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        let server = self.keeper.lock().expect("no test panicked here").server;
        server.is_some_and(crate::process::is_running)
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

/// A port that nobody listens on now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    (0..1000)
        .map(|_| rand::rng().random_range(PORTS))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| anyhow!("no port is free"))
}

/// A client of NATS itself, for what no engine of the bus would do. The URL is one of [`Isolated::nats_url`].
///
/// # Errors
/// When NATS does not answer.
pub async fn nats_client(url: &str) -> anyhow::Result<async_nats::Client> {
    // async-nats takes no credentials from a URL.
    let (scheme, rest) = url.split_once("://").context("a URL")?;
    let (credentials, host) = rest.split_once('@').context("credentials")?;
    let (user, password) = credentials.split_once(':').context("a password")?;
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    Ok(options.connect(format!("{scheme}://{host}")).await?)
}

/// The folder of `initdb` and `postgres`, of the newest version installed.
fn postgres_programs() -> anyhow::Result<PathBuf> {
    let in_path: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let packaged = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr"]
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path().join("bin")));
    in_path
        .into_iter()
        .chain(packaged)
        .filter_map(|dir| Some((postgres_version(&dir)?, dir)))
        .filter(|(version, _)| *version >= 14)
        .max()
        .map(|(_, dir)| dir)
        .context("PostgreSQL 14 or newer is not installed")
}

fn postgres_version(programs: &Path) -> Option<u32> {
    if !programs.join("initdb").is_file() {
        return None;
    }
    // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
    let output = Command::new(programs.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Whom the servers run as when the tests are run by root, which PostgreSQL refuses: user and group id.
fn unprivileged_user() -> anyhow::Result<Option<(u32, u32)>> {
    let id = Command::new("id").arg("-u").output().context("id")?;
    if id.stdout.trim_ascii() != b"0" {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let ids_of = |name: &str| {
        let mut fields =
            users.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
        Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids_of("postgres").or_else(|| ids_of("nobody")).map(Some).context("a user that is not root")
}

//! Real PostgreSQL, Redis and NATS servers that belong to the test process alone.
//!
//! [`Servers::shared`] starts one of each, once; [`Servers::isolated`] gives a test its own database, Redis number and
//! NATS account on them. A test that stops a server starts its own, with [`Servers::start_own`] or a single [`Server`].
//! Whatever way the test process ends, SIGKILL included, the servers end and their folders go: each runs under a shell
//! that waits for the end of a pipe from here (`servers/keep.sh`).

mod machine;
mod server;

use anyhow::Context as _;
use tokio::sync::OnceCell;

pub use machine::free_port;
pub(crate) use machine::unprivileged_user;
pub use server::Server;

/// One server of each kind.
#[derive(Debug)]
pub struct Servers {
    /// PostgreSQL, 14 or newer.
    pub postgres: Server,
    /// Redis.
    pub redis: Server,
    /// NATS.
    pub nats: Server,
    /// Whether the database that others are copied from has its schema.
    template: OnceCell<()>,
}

/// What a test has for itself.
#[derive(Clone, Debug)]
pub struct Isolated {
    /// A database, owned by a role that is no superuser.
    pub database_url: String,
    /// The same database, as superuser.
    pub admin_database_url: String,
    /// An empty Redis database.
    pub redis_url: String,
    /// A NATS account.
    pub nats_url: String,
}

/// What databases with a schema are copied from.
const TEMPLATE: &str = "template_with_schema";

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
        Self::with_postgres(Server::postgres()).await
    }

    /// As [`Servers::start_own`], with a PostgreSQL that can be backed up and restored.
    ///
    /// # Panics
    /// As there.
    pub async fn start_own_with_archive() -> Self {
        Self::with_postgres(Server::archiving_postgres()).await
    }

    async fn with_postgres(postgres: impl Future<Output = Server>) -> Self {
        let (postgres, redis, nats) = tokio::join!(postgres, Server::redis(), Server::nats());
        Self { postgres, redis, nats, template: OnceCell::new() }
    }

    /// A new, empty database, a Redis number and a NATS account.
    ///
    /// # Panics
    /// When PostgreSQL does not answer, or after 2000 calls.
    pub async fn isolated(&self) -> Isolated {
        self.with_database(&self.postgres.new_database(None).await)
    }

    /// As [`Servers::isolated`], with the workers' schema in the database.
    ///
    /// # Panics
    /// As there, and when the schema cannot be made.
    pub async fn isolated_with_schema(&self) -> Isolated {
        self.template.get_or_init(|| Box::pin(self.make_template())).await;
        self.with_database(&self.postgres.new_database(Some(TEMPLATE)).await)
    }

    fn with_database(&self, database: &str) -> Isolated {
        Isolated {
            database_url: self.postgres.url("convene", database),
            admin_database_url: self.postgres.url("postgres", database),
            redis_url: self.redis.new_url(),
            nats_url: self.nats.new_url(),
        }
    }

    async fn make_template(&self) {
        self.postgres.create_database(TEMPLATE, None).await;
        let url = self.postgres.url("convene", TEMPLATE).parse().expect("a good URL");
        worker::database::migrate(&url).await.expect("the schema is made");
    }
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

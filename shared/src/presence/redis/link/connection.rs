//! A connection to one server, or those to the servers of a cluster.

use std::time::Duration;

use futures::future::try_join_all;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, InfoDict, Pipeline, RedisResult, Script,
    ServerErrorKind, Value, aio::MultiplexedConnection, cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection, cmd,
};

/// A check may take so long: Redis may be busy with something slow.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

/// An attempt to connect may take so long, the greeting included.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// How often a server of a cluster is asked again that sends the caller elsewhere or is not there.
const CLUSTER_RETRIES: u32 = 3;

/// Cheap to clone.
#[derive(Clone)]
pub(in super::super) enum Connection {
    Server(MultiplexedConnection),
    /// Finds out by itself which of the servers holds a key, and when that is another one.
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects to the first of the addresses that answers and is no replica, and to the whole cluster when that is a part of
    /// one.
    ///
    /// # Errors
    /// There is none: that of the last.
    pub(super) async fn open(addresses: &[ConnectionInfo]) -> RedisResult<Self> {
        let mut opened = Err((ErrorKind::InvalidClientConfig, "no address").into());
        for address in addresses {
            opened = Self::open_one(address, addresses).await;
            if opened.is_ok() {
                break;
            }
        }
        opened
    }

    async fn open_one(address: &ConnectionInfo, addresses: &[ConnectionInfo]) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_PATIENCE))
            .set_response_timeout(Some(CHECK_PATIENCE));
        let client = Client::open(address.clone())?;
        let mut server = client.get_multiplexed_async_connection_with_config(&config).await?;
        // Who may not ask has no cluster, as far as anybody knows.
        let info: RedisResult<InfoDict> = cmd("INFO").arg("cluster").query_async(&mut server).await;
        match info {
            Ok(info) if info.get("cluster_enabled") == Some(1) => {
                let client = ClusterClientBuilder::new(addresses.to_vec())
                    .connection_timeout(CONNECT_PATIENCE)
                    .response_timeout(CHECK_PATIENCE)
                    .retries(CLUSTER_RETRIES)
                    .build()?;
                Ok(Self::Cluster(client.get_async_connection().await?))
            }
            Err(error) if error.is_io_error() => Err(error),
            _ => {
                check_role(&mut server).await?;
                Ok(Self::Server(server))
            }
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// # Errors
    /// The server does not answer, or has become a replica; of a cluster, one of those that hold keys does not answer.
    pub(super) async fn check(&mut self) -> RedisResult<()> {
        match self {
            Self::Server(server) => check_role(server).await,
            Self::Cluster(_) => self.ask(vec![cmd("PING")]).await.map(drop),
        }
    }

    /// Asks all of this at once, and returns the answers in order.
    ///
    /// # Errors
    /// One of them fails; the others may have been done.
    pub(in super::super) async fn ask(&mut self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(server) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command);
                }
                pipeline.query_async(server).await
            }
            Self::Cluster(cluster) => {
                try_join_all(commands.into_iter().map(|command| {
                    let mut cluster = cluster.clone();
                    async move { command.query_async(&mut cluster).await }
                }))
                .await
            }
        }
    }

    /// Calls a script for each of the keys with its arguments, all at once, and returns the answers in order.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(in super::super) async fn call(
        &mut self,
        script: &Lua,
        calls: impl IntoIterator<Item = (String, Vec<String>)>,
    ) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(server) => {
                let mut pipeline = Pipeline::new();
                // It forgets scripts when it restarts.
                pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text).ignore();
                for (key, arguments) in calls {
                    pipeline.add_command(script.by_hash(&key, &arguments));
                }
                pipeline.query_async(server).await
            }
            Self::Cluster(cluster) => {
                try_join_all(calls.into_iter().map(|(key, arguments)| {
                    let mut cluster = cluster.clone();
                    async move {
                        match script.by_hash(&key, &arguments).query_async(&mut cluster).await {
                            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                                script.by_text(&key, &arguments).query_async(&mut cluster).await
                            }
                            done => done,
                        }
                    }
                }))
                .await
            }
        }
    }
}

/// Whoever only reads would not be told by a replica that it is one, and read what nobody keeps up to date.
async fn check_role(server: &mut MultiplexedConnection) -> RedisResult<()> {
    let info: RedisResult<InfoDict> = cmd("INFO").arg("replication").query_async(server).await;
    match info {
        Ok(info) if info.get::<String>("role").is_some_and(|role| role == "slave") => {
            Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "it is a replica, and takes no changes").into())
        }
        // Who may not ask finds out by its claims.
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// A script that works on one key.
pub(in super::super) struct Lua {
    text: &'static str,
    hash: String,
}

impl Lua {
    pub(in super::super) fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }

    fn by_hash(&self, key: &str, arguments: &[String]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.hash).arg(1).arg(key).arg(arguments);
        command
    }

    /// The server knows it by its hash afterwards.
    fn by_text(&self, key: &str, arguments: &[String]) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(self.text).arg(1).arg(key).arg(arguments);
        command
    }
}

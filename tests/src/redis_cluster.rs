//! A Redis Cluster of a test's own.

use std::process::Stdio;

use redis::{Cmd, FromRedisValue, cmd};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    eventually,
    process::{Guarded, signal},
    servers::free_port,
};

const PASSWORD: &str = "secret";

/// After so many milliseconds a server that does not answer is given up by the others, and a replica takes over.
const NODE_TIMEOUT_MS: u32 = 1000;

/// Servers that share the keys. They end with this value.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<RedisOfCluster>,
    _folder: TempDir,
}

#[derive(Debug)]
struct RedisOfCluster {
    port: u16,
    process: Guarded,
}

impl RedisCluster {
    /// Starts three servers that hold keys, each with so many replicas, and waits until they serve.
    ///
    /// # Panics
    /// When Redis is not installed or they do not come together.
    pub async fn start(replicas: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut servers = Vec::new();
        for _ in 0..3 * (1 + replicas) {
            let [port, bus] = std::array::from_fn(|_| free_port().expect("a free port"));
            let place = folder.path().join(port.to_string());
            std::fs::create_dir(&place).expect("a folder");
            let process = Guarded::spawn(
                Command::new("redis-server")
                    .args(["--bind", "127.0.0.1", "--save", "", "--cluster-enabled", "yes"])
                    .args(["--requirepass", PASSWORD, "--masterauth", PASSWORD])
                    .args(["--port", &port.to_string(), "--cluster-port", &bus.to_string()])
                    .args(["--cluster-node-timeout", &NODE_TIMEOUT_MS.to_string()])
                    // What the others hold is served whoever is dead, as deploy/README.md asks for.
                    .args(["--cluster-require-full-coverage", "no"])
                    // Who has lost sight of the others for a while is new enough: nothing here is worth keeping.
                    .args(["--cluster-replica-validity-factor", "0", "--dir"])
                    .arg(place)
                    .stdout(Stdio::null()),
            )
            .expect("redis-server is installed");
            servers.push(RedisOfCluster { port, process });
        }
        let cluster = Self { servers, _folder: folder };
        for server in &cluster.servers {
            eventually!(server.ask::<String>(&command("PING")).await.is_some());
        }
        let made = Command::new("redis-cli")
            .args(["-a", PASSWORD, "--no-auth-warning", "--cluster", "create"])
            .args(cluster.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)))
            .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
            .output()
            .await
            .expect("redis-cli is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        for server in &cluster.servers {
            let is_there = |info: Option<String>, what: &str| info.is_some_and(|info| info.contains(what));
            let [cluster, replication] = ["CLUSTER INFO", "INFO replication"].map(command);
            eventually!(is_there(server.ask(&cluster).await, "cluster_state:ok"));
            let online = format!("connected_slaves:{replicas}");
            eventually!({
                let info: Option<String> = server.ask(&replication).await;
                is_there(info.clone(), &online) || is_there(info, "master_link_status:up")
            });
        }
        cluster
    }

    /// `redis-url`: all of them.
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(RedisOfCluster::url).collect();
        urls.join(",")
    }

    /// Forgets every key.
    ///
    /// # Panics
    /// When a server does not answer, or is a replica.
    pub async fn clear(&self) {
        for server in &self.servers {
            server.ask::<String>(&command("FLUSHALL")).await.expect("it forgets");
        }
    }

    /// Forgets every script.
    ///
    /// # Panics
    /// When a server does not answer.
    pub async fn forget_scripts(&self) {
        for server in &self.servers {
            server.ask::<String>(&command("SCRIPT FLUSH")).await.expect("it forgets");
        }
    }

    /// Which of the servers has a key that is there.
    ///
    /// # Panics
    /// When none has.
    pub async fn holder(&self, key: &str) -> usize {
        let mut exists = command("EXISTS");
        exists.arg(key);
        for (n, server) in self.servers.iter().enumerate() {
            // Others send the caller elsewhere.
            if server.ask(&exists).await == Some(1) {
                return n;
            }
        }
        panic!("nobody has {key}");
    }

    /// Stops one of them without a word, until it is resumed.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pause(&self, server: usize) {
        signal(self.servers[server].process.id(), "STOP").expect("it runs");
    }

    /// Lets a paused one go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resume(&self, server: usize) {
        signal(self.servers[server].process.id(), "CONT").expect("it runs");
    }

    /// Kills one of the first three, which held keys from the beginning.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self, server: usize) {
        self.servers[server].process.kill().await;
    }
}

impl RedisOfCluster {
    fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// `None` when it does not answer, or not so.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        command.query_async(&mut connection).await.ok()
    }
}

/// A command of one word after another.
fn command(words: &str) -> Cmd {
    let mut words = words.split(' ');
    let mut command = cmd(words.next().unwrap_or_default());
    command.arg(words.collect::<Vec<_>>());
    command
}

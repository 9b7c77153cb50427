//! Gateways and workers on servers of their own, in this process or as child processes, with the settings of a deployment where a test
//! asks for no others.

mod pod;

use std::time::Duration;

use serde_json::{Value, json};
use shared::bus::Subject;

use self::pod::Kind;
pub use self::pod::Pod;
use crate::{
    client::{Client, Connect},
    servers::{Isolated, Servers, nats_client},
    token::{JWT_SECRET, token},
};

/// The administration token of every stack.
pub const ADMIN_TOKEN: &str = "the administration token of the harness";

/// The users of the network `demo`. Alice manages it.
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// What a stack is made of.
#[derive(Debug)]
pub struct Builder {
    gateways: usize,
    workers: usize,
    processes: bool,
    log_filter: String,
    gateway_args: Vec<String>,
    worker_args: Vec<String>,
    own_args: Vec<(usize, String)>,
    own_gateway_args: Vec<(usize, String)>,
    drain: [Duration; 2],
    servers: Option<Isolated>,
    beat: Option<Duration>,
    ways: Option<[Isolated; 2]>,
    is_seeded: bool,
    has_secret: bool,
}

impl Builder {
    /// So many gateways.
    pub fn gateways(mut self, count: usize) -> Self {
        self.gateways = count;
        self
    }

    /// So many workers.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// As child processes, which can be killed, rather than in this process. They get what `deploy/compose.yaml` and `k8s/` set:
    /// settings in the environment, a name that they keep over restarts, logs in JSON.
    pub fn processes(mut self) -> Self {
        self.processes = true;
        self
    }

    /// With these directives of `RUST_LOG` for [processes](Builder::processes).
    pub fn log_filter(mut self, directives: &str) -> Self {
        self.log_filter = directives.to_owned();
        self
    }

    /// With a setting for the gateways, such as `--rate-limit=5`.
    pub fn gateway_arg(mut self, arg: &str) -> Self {
        self.gateway_args.push(arg.to_owned());
        self
    }

    /// With a setting for the workers.
    pub fn worker_arg(mut self, arg: &str) -> Self {
        self.worker_args.push(arg.to_owned());
        self
    }

    /// With a setting for one of the workers, such as `--namespaces=events`.
    pub fn arg_of_worker(mut self, index: usize, arg: &str) -> Self {
        self.own_args.push((index, arg.to_owned()));
        self
    }

    /// With a setting for one of the gateways.
    pub fn arg_of_gateway(mut self, index: usize, arg: &str) -> Self {
        self.own_gateway_args.push((index, arg.to_owned()));
        self
    }

    /// With this `drain-delay` and `drain-timeout` rather than none and a second, which save time.
    pub fn drain(mut self, delay: Duration, timeout: Duration) -> Self {
        self.drain = [delay, timeout];
        self
    }

    /// With gateways of this process that say so often that their sockets live.
    pub fn beat(mut self, beat: Duration) -> Self {
        self.beat = Some(beat);
        self
    }

    /// On servers of the test's own, which it may stop and start. The database must have its schema: no worker makes it, as in a
    /// deployment.
    pub fn on(mut self, servers: Isolated) -> Self {
        self.servers = Some(servers);
        self
    }

    /// With other addresses of the same servers for the gateways and for the workers, such as those of a
    /// [`Proxy`](crate::Proxy).
    pub fn through(mut self, gateways: Isolated, workers: Isolated) -> Self {
        self.ways = Some([gateways, workers]);
        self
    }

    /// Without a `jwt-secret`: tokens are checked with published keys alone.
    pub fn without_secret(mut self) -> Self {
        self.has_secret = false;
        self
    }

    /// Without the network `demo`.
    pub fn unseeded(mut self) -> Self {
        self.is_seeded = false;
        self
    }

    /// Starts everything and waits until it is ready.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(self) -> Stack {
        let servers = match self.servers {
            Some(servers) => servers,
            None => Servers::shared().await.isolated_with_schema().await,
        };
        let [to_gateways, to_workers] = self.ways.unwrap_or_else(|| [servers.clone(), servers.clone()]);
        let [delay, timeout] = self.drain.map(|duration| duration.as_millis());
        let common = |servers: &Isolated| {
            [
                &format!("--drain-delay={delay}ms"),
                &format!("--drain-timeout={timeout}ms"),
                &format!("--nats-url={}", servers.nats_url),
                &format!("--redis-url={}", servers.redis_url),
            ]
            .map(String::clone)
            .into_iter()
        };
        let secret = self.has_secret.then_some(("--jwt-secret=", JWT_SECRET));
        let secrets = secret.into_iter().chain([("--admin-token=", ADMIN_TOKEN)]);
        let unset = secrets.filter(|(name, _)| !self.gateway_args.iter().any(|arg| arg.starts_with(name)));
        let gateway_args: Vec<String> =
            unset.map(|(name, value)| format!("{name}{value}")).chain(self.gateway_args.iter().cloned()).collect();
        let gateway_args: Vec<String> = common(&to_gateways).chain(gateway_args).collect();
        let worker_args = [format!("--database-url={}", to_workers.database_url)].into_iter().chain(self.worker_args);
        let worker_args: Vec<String> = common(&to_workers).chain(worker_args).collect();
        let logs = tempfile::tempdir().expect("a folder for logs");
        let pods = |kind, count, args: &[String]| {
            (0..count)
                .map(|index| {
                    let log_filter = self.processes.then(|| self.log_filter.clone());
                    Pod::new(kind, index, args, log_filter, logs.path().to_owned())
                })
                .collect::<Vec<_>>()
        };
        let mut workers = pods(Kind::Worker, self.workers, &worker_args);
        for (index, arg) in self.own_args {
            workers[index].args.push(arg);
        }
        assert!(self.beat.is_none() || !self.processes, "the beat is no setting");
        let mut gateways = pods(Kind::Gateway, self.gateways, &gateway_args);
        for (index, arg) in self.own_gateway_args {
            gateways[index].args.push(arg);
        }
        gateways.iter_mut().for_each(|gateway| gateway.beat = self.beat);
        let stack = Stack { gateways, workers, servers, logs };
        for pod in stack.workers.iter().chain(&stack.gateways) {
            pod.start().await;
        }
        for pod in stack.workers.iter().chain(&stack.gateways) {
            pod.ready().await;
        }
        if self.is_seeded && !stack.gateways.is_empty() {
            stack.import_all(&demo()).await;
        }
        stack
    }
}

/// A running system.
#[derive(Debug)]
pub struct Stack {
    /// Its gateways.
    pub gateways: Vec<Pod>,
    /// Its workers.
    pub workers: Vec<Pod>,
    /// The servers that they use.
    pub servers: Isolated,
    logs: tempfile::TempDir,
}

impl Stack {
    /// One gateway and one worker in this process, with the network `demo`.
    pub fn builder() -> Builder {
        Builder {
            gateways: 1,
            workers: 1,
            processes: false,
            log_filter: "debug,hyper=info,sqlx=info".to_owned(),
            gateway_args: Vec::new(),
            worker_args: Vec::new(),
            own_args: Vec::new(),
            own_gateway_args: Vec::new(),
            drain: [Duration::ZERO, Duration::from_secs(1)],
            servers: None,
            beat: None,
            ways: None,
            is_seeded: true,
            has_secret: true,
        }
    }

    /// How the user of `demo` connects to a gateway, in a session named after him.
    pub fn connect(&self, gateway: usize, user: &str) -> Connect {
        self.connect_as(gateway, user, "demo", &format!("session-of-{user}"))
    }

    /// How a session connects to a gateway.
    pub fn connect_as(&self, gateway: usize, user: &str, network: &str, sid: &str) -> Connect {
        Connect::to(self.gateways[gateway].public).token(&token(user, network, sid))
    }

    /// A socket of the user in `demo`, whose `user_info` was taken.
    pub async fn client(&self, gateway: usize, user: &str) -> Client {
        let mut client = self.connect(gateway, user).let_in().await;
        client.event("user_info").await;
        client
    }

    /// Applies lines of the directory and returns the answer.
    pub async fn import(&self, lines: &[Value]) -> Value {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let (status, answer) = self.admin(reqwest::Method::POST, "/admin/directory", body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Applies lines of the directory, all of which must be good.
    pub async fn import_all(&self, lines: &[Value]) {
        let answer = self.import(lines).await;
        assert_eq!(answer, json!({"applied": lines.len(), "errors": []}));
    }

    /// A request of the administration to the first gateway: status and body.
    pub async fn admin(&self, method: reqwest::Method, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let url = format!("http://{}{path}", self.gateways[0].management);
        let request = http().request(method, url).bearer_auth(ADMIN_TOKEN).body(body);
        let response = request.send().await.expect("the gateway answers");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// A connection to the stack's database.
    pub async fn database(&self) -> sqlx::PgConnection {
        use sqlx::Connection as _;
        sqlx::PgConnection::connect(&self.servers.database_url).await.expect("the database")
    }

    /// Has users of `demo` told something, on the way that every change's events take.
    ///
    /// # Panics
    /// When it is larger than an event may be.
    pub async fn tell(&self, recipients: &[&str], data: &Value) {
        let recipients: Vec<String> = recipients.iter().map(|user| (*user).to_owned()).collect();
        let partition: i16 = sqlx::query_scalar(
            "INSERT INTO outbox (partition, network_id, recipients, name, payload, size)
             SELECT partition, id, $1, 'meeting:onMeetingUpdated', $2, octet_length($2) FROM networks WHERE id = 'demo'
             RETURNING partition",
        )
        .bind(recipients)
        .bind(data.to_string())
        .fetch_one(&mut self.database().await)
        .await
        .expect("an event");
        // Without this the relay looks only after a while.
        let bus = nats_client(&self.servers.nats_url).await.expect("NATS");
        let wake = Subject::wake(partition.unsigned_abs());
        bus.publish(wake.as_str().to_owned(), "".into()).await.expect("published");
        bus.flush().await.expect("flushed");
    }

    /// The folder of the pods' logs, a file for each start of each pod; only for [processes](Builder::processes).
    pub fn logs(&self) -> &std::path::Path {
        self.logs.path()
    }

    /// Everything that the pods have logged; only for [processes](Builder::processes).
    pub fn logged(&self) -> String {
        std::fs::read_dir(self.logs.path())
            .expect("the folder of logs")
            .map(|file| std::fs::read_to_string(file.expect("a log").path()).expect("a log is text"))
            .collect()
    }
}

/// The network `demo`.
pub fn demo() -> Vec<Value> {
    let mut lines = vec![json!({"kind": "network", "id": "demo", "fullName": "Demo", "type": "Public"})];
    lines.extend(USERS.map(|user| {
        let mut line = json!({
            "kind": "user", "id": user, "networkIds": ["demo"], "firstName": user, "timeZone": "Europe/Berlin",
            "email": format!("{user}@example.org"), "emailVerified": true,
        });
        if user == "alice" {
            line["userRoles"] = json!([{"id": "r1", "roleName": "Manager", "targetType": "network", "targetId": "demo",
                "permissions": ["network.manage"]}]);
        }
        line
    }));
    lines.extend([
        json!({"kind": "room", "id": "lobby", "networkId": "demo", "title": "Lobby", "ownerId": "alice", "isPublic": true}),
        json!({"kind": "room", "id": "stage", "networkId": "demo", "title": "Stage", "ownerId": "alice", "isPublic": true}),
        json!({"kind": "prop", "id": "table", "roomId": "lobby", "title": "Round table"}),
        json!({"kind": "prop", "id": "screen", "roomId": "stage", "title": "Screen"}),
        json!({"kind": "group", "id": "team", "networkId": "demo", "title": "Team",
            "members": [{"userId": "alice", "role": "Admin"}, {"userId": "bob", "role": "Participant"}]}),
        json!({"kind": "community", "id": "garden", "networkId": "demo", "title": "Garden", "joinPolicy": "OpenForAll",
            "members": [{"userId": "alice", "role": "Admin"}, {"userId": "bob", "role": "Participant"},
                {"userId": "carol", "role": "Participant"}]}),
    ]);
    lines
}

/// An HTTP client that gives up rather than hangs.
pub fn http() -> reqwest::Client {
    static PROVIDER: std::sync::Once = std::sync::Once::new();
    PROVIDER.call_once(|| {
        // Another part of the program may have been first; there is only one provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().timeout(Duration::from_secs(120)).build().expect("an HTTP client")
}

//! A database, an in-process bus, workers on them, and somebody who asks.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use clap::Parser;
use harness::{Isolated, Servers, eventually, stack::http};
use serde::Deserialize;
use serde_json::Value;
use shared::{
    api::{Code, Error},
    bus::{Bus, BusError, HeaderName, Headers, Message, Subject, local::Local},
    internal::{Call, Connect, Connected, InternalRequest, ProfileClaims, Session},
    lifecycle::Shutdown,
    metrics::Metrics,
    pod::PodId,
    presence,
};
use sqlx::{Connection as _, PgConnection};
use tokio::{net::TcpListener, task::JoinHandle};
use worker::{Clock, Parts, Zones, config::DatabaseUrl};

/// Longer than anything takes here; the budget of every request that does not say otherwise.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub servers: Isolated,
    pub bus: Bus,
}

/// The worker's settings, read as its program reads them.
#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    config: worker::Config,
}

pub struct Worker {
    pub shutdown: Shutdown,
    management: SocketAddr,
    task: JoinHandle<Result<()>>,
}

/// An answer as it comes over the bus.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// The code in the header; 0 when there is none.
    pub code: u16,
    pub body: Value,
}

#[derive(Deserialize)]
struct Good<T> {
    data: T,
}

impl World {
    /// With the schema, and the network `demo` with the users `alice` and `bob`.
    pub async fn new() -> Self {
        let world = Self::without_schema(Servers::shared().await.isolated().await);
        world.migrate().await;
        world.populate().await;
        world
    }

    /// Adds the network `demo` with the users `alice` and `bob`.
    pub async fn populate(&self) {
        self.execute("INSERT INTO networks (id, partition, epoch, full_name) VALUES ('demo', 7, 'e1', 'Demo')").await;
        self.user("alice", "demo").await;
        self.user("bob", "demo").await;
    }

    pub fn without_schema(servers: Isolated) -> Self {
        Self { servers, bus: Bus::new(Local::new()) }
    }

    pub fn url(&self) -> DatabaseUrl {
        self.servers.database_url.parse().expect("a URL")
    }

    pub async fn migrate(&self) {
        worker::database::migrate(&self.url()).await.expect("the schema is brought up to date");
    }

    pub async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.servers.database_url).await.expect("the database")
    }

    pub async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.database().await).await.expect(sql);
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.database().await).await.expect(sql)
    }

    pub async fn user(&self, user: &str, network: &str) {
        let mut database = self.database().await;
        sqlx::query("INSERT INTO users (id, network_ids, first_name) VALUES ($1, ARRAY[$2], $1)")
            .bind(user)
            .bind(network)
            .execute(&mut database)
            .await
            .expect("a user");
        sqlx::query("INSERT INTO members (network_id, user_id) VALUES ($1, $2)")
            .bind(network)
            .bind(user)
            .execute(&mut database)
            .await
            .expect("a member");
    }

    /// Starts a worker and waits until it is ready.
    pub async fn worker(&self, args: &[&str]) -> Worker {
        let worker = self.start(args).await;
        worker.ready().await;
        worker
    }

    pub async fn start(&self, args: &[&str]) -> Worker {
        self.start_with(Clock::system(), args).await
    }

    /// Starts a worker on a machine with this clock.
    pub async fn start_with(&self, clock: Clock, args: &[&str]) -> Worker {
        let database = format!("--database-url={}", self.servers.database_url);
        let args = ["worker", "--drain-delay=0s", database.as_str()].into_iter().chain(args.iter().copied());
        let settings = Settings::try_parse_from(args).expect("settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let management = listener.local_addr().expect("an address");
        let parts = Parts {
            bus: self.bus.clone(),
            presence: presence::Presence::new(presence::local::Local::new()),
            metrics: Metrics::install().expect("metrics"),
            clock,
            zones: Zones::bundled(),
        };
        let shutdown = Shutdown::default();
        let task = tokio::spawn(worker::run(listener, settings.config, parts, shutdown.clone()));
        Worker { shutdown, management, task }
    }

    /// Asks as a gateway does for itself.
    pub async fn ask<R: InternalRequest>(&self, request: &R) -> Result<R::Answer, Error> {
        let data = serde_json::to_vec(request).expect("JSON");
        let subject = Subject::internal(R::NAMESPACE, R::METHOD);
        let message = self.send(subject, &call(None, ""), data).await.expect("an answer");
        let answer = Answer::of(&message);
        match Code::from_number(answer.code) {
            // From the text: what is kept as it came must be seen as it came.
            None => Ok(serde_json::from_slice::<Good<R::Answer>>(&message.payload).expect("the right type").data),
            Some(code) => {
                Err(Error::new(code, answer.body["error"]["message"].as_str().unwrap_or_default().to_owned()))
            }
        }
    }

    /// Passes a client's request on.
    pub async fn request(&self, session: &Session, endpoint: &str, event_id: &str, data: &Value) -> Answer {
        self.try_request(session, endpoint, event_id, data).await.expect("an answer")
    }

    pub async fn try_request(
        &self,
        session: &Session,
        endpoint: &str,
        event_id: &str,
        data: &Value,
    ) -> Result<Answer, BusError> {
        let call = call(Some(session.clone()), event_id);
        let message = self.send(subject(endpoint), &call, data.to_string().into_bytes()).await?;
        Ok(Answer::of(&message))
    }

    /// Sends a request as it is, and waits as long as its budget.
    pub async fn send(&self, subject: Subject, call: &Call, data: Vec<u8>) -> Result<Message, BusError> {
        let headers = Headers::new().with(HeaderName::Call, serde_json::to_string(call).expect("JSON"));
        self.bus.request(subject, headers.expect("a header"), data, Duration::from_millis(call.budget_ms)).await
    }

    pub async fn connect(&self, session: &Session, claims: ProfileClaims) -> Result<Connected, Error> {
        self.ask(&Connect { session: session.clone(), claims }).await
    }
}

impl Worker {
    pub async fn ready(&self) {
        eventually!(self.get("/readyz").await.0, |status| *status == 200);
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = http().get(format!("http://{}{path}", self.management)).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a text"))
    }

    /// Lets it drain, and waits until it is gone.
    pub async fn drain(self) {
        self.shutdown.drain.cancel();
        self.task.await.expect("no panic").expect("it ends in order");
    }

    /// Cuts it off in the middle of whatever it does.
    pub async fn kill(self) {
        self.shutdown.stop.cancel();
        self.task.await.expect("no panic").expect("it ends in order");
    }

    pub async fn ended(self) -> Result<()> {
        self.task.await.expect("no panic")
    }
}

impl Answer {
    fn of(message: &Message) -> Self {
        let code = message.headers.get(HeaderName::Code).map_or(0, |code| code.parse().expect("a number"));
        let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
        assert_eq!(body["error"]["code"], code, "the header and the body agree");
        Self { code, body }
    }
}

pub fn session(user: &str) -> Session {
    Session { network: "demo".to_owned(), user: user.to_owned(), sid: format!("sid of {user}") }
}

pub fn subject(endpoint: &str) -> Subject {
    let (namespace, method) = endpoint.split_once(':').expect("a namespace");
    let namespace = ["meeting", "social"].into_iter().find(|known| *known == namespace).expect("a namespace");
    Subject::rpc(namespace, method).expect("a method")
}

pub fn call(session: Option<Session>, event_id: &str) -> Call {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Call {
        session,
        event_id: event_id.to_owned(),
        budget_ms: PATIENCE.as_millis() as u64,
        sent_at_ms: now.as_millis() as i64,
        pod: PodId::read("gateway"),
    }
}

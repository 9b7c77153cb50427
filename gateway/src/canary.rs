//! The canary: every few seconds this pod sends itself an event, to see whether events reach it.
//!
//! It takes the way of all events: a worker leaves it in the outbox, a relay moves it, and the pod's own stream hears of it
//! and queues it to a socket that nobody holds, where it is taken out again. Partitions have their turn one after the other.
//!
//! | what is found | what is done | `events` in `/readyz` |
//! | --- | --- | --- |
//! | it came, by every subscription that should have brought it | – | `ok` |
//! | it came, but one of them stayed silent | that one is made anew | `ok` |
//! | it was moved and did not come | all are made anew, the heads are asked for | `ok`, if it comes now |
//! | it does not come then either | again, each time | a failed look: three in a row make the pod unready |
//! | no relay has moved it, or no worker has taken it | the next partition has its turn | says so, and does not count |
//!
//! The last line is not this pod's fault. All pods would be unready at once, and clients that can do everything but hear of
//! changes at once would find nobody: those hear of them when a relay is back.
//!
//! | metric | what |
//! | --- | --- |
//! | `convene_canary_seconds` | from before the worker was asked to when it came |
//! | `convene_canaries_lost_total` `{at}` | that did not come: `worker` did not take it, `relay` did not move it, `pod` did not hear of it |
//! | `convene_subscriptions_renewed_total` `{subject}` | subscriptions made anew: `deliver`, `heads`, `ev` of whatever network |

use std::{sync::Arc, time::Duration};

use metrics::{counter, histogram};
use serde::Deserialize;
use shared::{
    api::{Code, Error},
    internal::{Canary, PARTITIONS, Partition, Position, ReadHeads, ReadPage, SendCanary, Session},
    telemetry::Outage,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Gateway,
    hub::Socket,
    outbox::Next,
    stream::{Feed, Member, Start, catch_up},
    transport::{parse_event_id, websocket::Plain},
};

/// How often one is sent while all is well.
const PERIOD: Duration = Duration::from_secs(5);

/// How long to wait after one that was lost, and until a pod that was unready has heard enough of them.
const SOON: Duration = Duration::from_secs(1);

/// How long to wait after one that no worker took, at first: as a pod starts it may be early.
const RETRY: Duration = Duration::from_millis(100);

/// A canary that has not come within this is late.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much may wait for the socket, in bytes.
const OUTBOX_BYTES: usize = 64 * 1024;

/// The name of the dependency.
pub const EVENTS: &str = "events";

/// Sends canaries until the process stops.
pub async fn run(gateway: Arc<Gateway>) {
    let stop = gateway.stop.clone();
    let sender = Sender {
        partition: rand::random_range(0..PARTITIONS),
        number: rand::random_range(0..1 << 32),
        perch: None,
        late: Outage::new(),
        unheard: Outage::new(),
        gateway,
    };
    stop.run_until_cancelled(sender.run()).await;
}

struct Sender {
    gateway: Arc<Gateway>,
    partition: Partition,
    number: u64,
    perch: Option<Perch>,
    late: Outage,
    unheard: Outage,
}

/// Where canaries of one partition come in.
struct Perch {
    member: Member,
    socket: Arc<Socket>,
    /// Presence knows of it, so bodies are sent.
    is_known: bool,
}

/// What became of a canary.
enum Found {
    /// It came at this place.
    Came(Position),
    /// It was moved, and did not come.
    Unheard,
    /// It is not in the log.
    Unmoved,
    /// The network began a new epoch meanwhile.
    Anew,
}

impl Sender {
    async fn run(mut self) {
        let mut retry = RETRY;
        loop {
            let sent = Instant::now();
            let found = match self.send().await {
                Ok(found) => {
                    retry = RETRY;
                    found
                }
                Err(error) => {
                    counter!("convene_canaries_lost_total", "at" => "worker").increment(1);
                    self.gateway.health.remark(EVENTS, format!("not looked at: {}", error.message));
                    sleep(retry).await;
                    retry = PERIOD.min(retry * 2);
                    continue;
                }
            };
            match found {
                Found::Came(position) => {
                    histogram!("convene_canary_seconds").record(sent.elapsed().as_secs_f64());
                    self.late.worked();
                    self.unheard.worked();
                    self.gateway.health.note(EVENTS, Ok(()));
                    let is_well = self.gateway.health.is_well(EVENTS);
                    // Pods that were started together do not send together.
                    sleep(if is_well { PERIOD.mul_f64(rand::random_range(0.8..=1.0)) } else { SOON }).await;
                    self.renew_silent(position, sent);
                    self.move_on().await;
                }
                Found::Unheard => {
                    counter!("convene_canaries_lost_total", "at" => "pod").increment(1);
                    self.gateway.health.note(EVENTS, Err("events are moved and do not reach this pod".to_owned()));
                    sleep(SOON).await;
                }
                Found::Unmoved => {
                    counter!("convene_canaries_lost_total", "at" => "relay").increment(1);
                    let partition = self.partition;
                    if let Some(seconds) = self.late.failed("late") {
                        tracing::info!(partition, seconds, "events are not moved in time");
                    }
                    self.gateway.health.remark(EVENTS, format!("the relay of partition {partition} is late"));
                    sleep(SOON).await;
                    self.move_on().await;
                }
                Found::Anew => self.perch = None,
            }
        }
    }

    /// Sends one and waits for it.
    async fn send(&mut self) -> Result<Found, Error> {
        let mut perch = match self.perch.take() {
            Some(perch) => perch,
            None => self.open().await?,
        };
        // Renews what presence knows of it; without presence bodies are read from the log.
        perch.is_known = self.gateway.presence.claim(perch.socket.entry(&self.gateway.pod)).await.is_ok();
        let perch = self.perch.insert(perch);
        self.number += 1;
        let number = self.number;
        put(&self.gateway, self.partition, number).await?;
        if let Ok(found) = timeout(PATIENCE, perch.heard(number)).await {
            return Ok(found);
        }
        if !perch.is_logged(&self.gateway, number).await? {
            return Ok(Found::Unmoved);
        }
        if let Some(seconds) = self.unheard.failed("unheard") {
            let partition = self.partition;
            tracing::info!(partition, seconds, "an event was moved and did not come: subscribing to all anew");
        }
        Feed::ALL.iter().for_each(|feed| perch.member.renew(*feed));
        Ok(timeout(PATIENCE, perch.heard(number)).await.unwrap_or(Found::Unheard))
    }

    /// Takes a place on the stream of the partition's canaries.
    async fn open(&self) -> Result<Perch, Error> {
        let gateway = &self.gateway;
        let network = SendCanary::network(self.partition);
        let question = ReadHeads { networks: vec![network.clone()] };
        let head = async || gateway.workers.ask_within(PATIENCE, &question).await.map(|mut heads| heads.heads.pop());
        let head = match head().await? {
            Some(head) => head,
            // The first canary of all makes the network.
            None => {
                put(gateway, self.partition, 0).await?;
                head().await?.ok_or_else(|| Error::new(Code::Unavailable, "the network is gone"))?
            }
        };
        let session = Session { network, user: gateway.pod.to_string(), sid: SendCanary::EVENT.to_owned() };
        let now = chrono::Utc::now().timestamp_millis();
        // Nobody else claims this session: any fence will do.
        let socket = Arc::new(Socket::new(
            gateway.hub.next_id(),
            session,
            1,
            head.epoch.into(),
            now,
            &Plain::Pinged,
            OUTBOX_BYTES,
        ));
        let member = gateway.streams.join(&socket, self.partition, head.head);
        let start = Start { cursor: head.head, resync: false };
        let listening = async {
            catch_up(&member, start, head.head).await;
            member.listens().await;
        };
        // Where this fails the canary will not be heard, which is what is to be found out.
        let _ = timeout(PATIENCE, listening).await;
        Ok(Perch { member, socket, is_known: false })
    }

    /// Subscribes anew to what should have told of a canary that came, and did not.
    fn renew_silent(&self, position: Position, sent: Instant) {
        let Some(perch) = &self.perch else { return };
        for feed in perch.member.silent(position, sent) {
            // Without presence the relay knows of no pod to send a body to.
            if feed != Feed::Bodies || perch.is_known {
                tracing::info!(subject = feed.name(), "an event came, but not by this: subscribing anew");
                perch.member.renew(feed);
            }
        }
    }

    async fn move_on(&mut self) {
        self.partition = (self.partition + 1) % PARTITIONS;
        if let Some(perch) = self.perch.take() {
            // Otherwise it expires.
            let _ = self.gateway.presence.release(vec![perch.socket.entry(&self.gateway.pod)]).await;
        }
    }
}

async fn put(gateway: &Gateway, partition: Partition, number: u64) -> Result<(), Error> {
    let canary = SendCanary { partition, pod: gateway.pod.clone(), number };
    gateway.workers.ask_within(PATIENCE, &canary).await.map(drop)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    event_id: String,
    data: Canary,
}

impl Perch {
    /// Returns when that canary has come.
    async fn heard(&self, number: u64) -> Found {
        loop {
            match self.socket.outbox.take() {
                Next::Frame(frame) => {
                    // What is no canary tells that some were missed: the next one counts.
                    let Ok(Frame { event_id, data }) = serde_json::from_str(&frame.text) else { continue };
                    if data.number == number
                        && let Some((_, position)) = parse_event_id(&event_id)
                    {
                        return Found::Came(position);
                    }
                }
                Next::Ping | Next::Pong(_) => {}
                Next::Empty => self.socket.outbox.changed().await,
                Next::End(_) => return Found::Anew,
            }
        }
    }

    /// Whether that canary has been moved.
    async fn is_logged(&self, gateway: &Gateway, number: u64) -> Result<bool, Error> {
        let Session { network, user, .. } = self.socket.session.clone();
        let mut after = 0;
        loop {
            let question = ReadPage { network: network.clone(), user: user.clone(), after };
            let page = gateway.workers.ask_within(PATIENCE, &question).await?;
            let is_it = |data: &str| serde_json::from_str::<Canary>(data).is_ok_and(|canary| canary.number == number);
            if page.events.iter().any(|event| is_it(event.body.data.get())) {
                return Ok(true);
            }
            if page.is_last {
                return Ok(false);
            }
            after = page.through;
        }
    }
}

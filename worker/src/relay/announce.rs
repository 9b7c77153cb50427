//! Telling gateways what was moved.
//!
//! Nothing here is needed for an event to arrive: a gateway that misses a message notices it by the positions or by the
//! heads, and reads the log. So everything is tried once, and given up soon.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use futures::future::try_join_all;
use serde::Serialize;
use shared::{
    bus::{Bus, BusError, Headers, Subject},
    internal::{Deliver, EventBody, Heads, Moved, Partition, PlacedEvent, Position},
    pod::PodId,
    presence::{PATIENCE, Presence, PresenceError},
    telemetry::{Hop, Outage},
};
use tokio::time::{Instant, timeout};

use super::{
    Hooks, Step,
    chunk::{chunks, text_bytes},
    session::Event,
};

/// Publishing what one batch moved is given up after so long.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(1);

/// After presence has failed it is not asked again for so long: the bodies are not sent then, and nothing waits for it.
const PRESENCE_REST: Duration = Duration::from_secs(2);

/// What an event takes in a message beside its name and data, at most: its position, and a `traceparent`.
const PLACED_BYTES: usize = 160;

/// So many networks are looked up at once.
const LOOK_UPS: usize = 16;

/// Publishes what was moved.
#[derive(Debug)]
pub(super) struct Announcer {
    bus: Bus,
    presence: Presence,
    presence_rests_until: Option<Instant>,
    lookups: Outage,
    messages: Outage,
}

/// The events of one network in one batch.
struct Part<'a> {
    network: &'a str,
    epoch: &'a str,
    /// In order, without a hole.
    events: &'a [Event],
}

/// Which pods have sockets of which users.
type Pods<'a> = HashMap<&'a str, BTreeSet<PodId>>;

impl Announcer {
    pub(super) fn new(bus: Bus, presence: Presence) -> Self {
        Self { bus, presence, presence_rests_until: None, lookups: Outage::new(), messages: Outage::new() }
    }

    /// Publishes the bodies to the pods of their recipients, and to all gateways of each network what has moved.
    pub(super) async fn announce(&mut self, events: &[Event], hooks: &dyn Hooks) {
        let parts: Vec<Part<'_>> = events
            .chunk_by(|one, next| one.network == next.network)
            .filter_map(|events| {
                let Event { network, epoch, .. } = &events[0];
                Some(Part { network, epoch: epoch.as_deref()?, events })
            })
            .collect();
        if !self.bus.is_connected() {
            return self.tell_of(Err(BusError::Away));
        }
        let pods = self.pods_of(&parts).await;
        hooks.at(Step::LookedUp).await;
        let publish = async {
            for (part, pods) in parts.iter().zip(&pods) {
                for (pod, events) in by_pod(part, pods) {
                    for delivery in deliveries(part, &events) {
                        self.publish(Subject::deliver(pod), &delivery).await?;
                    }
                }
                hooks.at(Step::BodiesSent).await;
                for moved in moves(part) {
                    self.publish(Subject::events(part.network), &moved).await?;
                }
            }
            Ok(())
        };
        let outcome = timeout(PUBLISH_PATIENCE, publish).await.unwrap_or(Err(BusError::Timeout));
        self.tell_of(outcome);
    }

    /// Publishes heads of partitions.
    pub(super) async fn tell_heads(&mut self, heads: impl IntoIterator<Item = (Partition, Vec<Heads>)>) {
        let publish = async {
            for (partition, messages) in heads {
                for message in messages {
                    self.publish(Subject::heads(partition), &message).await?;
                }
            }
            Ok(())
        };
        let outcome = timeout(PUBLISH_PATIENCE, publish).await.unwrap_or(Err(BusError::Timeout));
        self.tell_of(outcome);
    }

    async fn publish(&self, subject: Subject, message: &impl Serialize) -> Result<(), BusError> {
        let payload = serde_json::to_vec(message).expect("a message of ours is JSON");
        self.bus.publish(subject, Headers::new(), payload).await
    }

    /// For each part, the pods of its recipients; none when presence is away.
    async fn pods_of<'a>(&mut self, parts: &[Part<'a>]) -> Vec<Pods<'a>> {
        let nobody = || parts.iter().map(|_| Pods::new()).collect();
        if self.presence_rests_until.is_some_and(|until| Instant::now() < until) {
            return nobody();
        }
        let found = match timeout(PATIENCE, look_up(&self.presence, parts)).await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        match found {
            Ok(pods) => {
                self.presence_rests_until = None;
                if let Some(seconds) = self.lookups.worked() {
                    tracing::info!(seconds, "the bodies of events are sent to their pods again");
                }
                pods
            }
            Err(error) => {
                if let Some(seconds) = self.lookups.failed(&error) {
                    tracing::warn!(error, seconds, "the bodies of events are not sent: nobody says to which pods");
                }
                self.presence_rests_until = Some(Instant::now() + PRESENCE_REST);
                metrics::counter!("convene_relay_lookups_failed_total").increment(1);
                nobody()
            }
        }
    }

    fn tell_of(&self, outcome: Result<(), BusError>) {
        match outcome {
            Ok(()) => {
                if let Some(seconds) = self.messages.worked() {
                    tracing::info!(seconds, "gateways are told of events again");
                }
            }
            Err(error) => {
                metrics::counter!("convene_relay_announcements_lost_total").increment(1);
                if let Some(seconds) = self.messages.failed(&error) {
                    tracing::warn!(%error, seconds, "gateways are not told of events, they have to ask");
                }
            }
        }
    }
}

async fn look_up<'a>(presence: &Presence, parts: &[Part<'a>]) -> Result<Vec<Pods<'a>>, PresenceError> {
    let mut found = Vec::with_capacity(parts.len());
    for some in parts.chunks(LOOK_UPS) {
        found.extend(try_join_all(some.iter().map(|part| look_up_part(presence, part))).await?);
    }
    Ok(found)
}

async fn look_up_part<'a>(presence: &Presence, part: &Part<'a>) -> Result<Pods<'a>, PresenceError> {
    let users: HashSet<&'a str> = part.events.iter().flat_map(|event| &event.recipients).map(String::as_str).collect();
    let users: Vec<&'a str> = users.into_iter().collect();
    let pods = presence.pods_of(part.network, users.iter().copied().map(str::to_owned).collect()).await?;
    Ok(users.into_iter().zip(pods).collect())
}

/// A network's events for each pod that has a recipient.
fn by_pod<'a>(part: &Part<'a>, pods: &'a Pods<'_>) -> BTreeMap<&'a PodId, Vec<&'a Event>> {
    let mut by_pod: BTreeMap<&PodId, Vec<&Event>> = BTreeMap::new();
    for event in part.events {
        let of_event: BTreeSet<&PodId> =
            event.recipients.iter().filter_map(|user| pods.get(user.as_str())).flatten().collect();
        for pod in of_event {
            by_pod.entry(pod).or_default().push(event);
        }
    }
    by_pod
}

/// The bodies of events in messages, each made when it is its turn: there may be many pods.
fn deliveries<'a>(part: &'a Part<'_>, events: &'a [&'a Event]) -> impl Iterator<Item = Deliver> {
    let body_bytes = |event: &&Event| {
        event.data.as_ref().map_or(0, |data| data.get().len()) + text_bytes(&event.name) + PLACED_BYTES
    };
    chunks(events, body_bytes).into_iter().map(|events| Deliver {
        network: part.network.to_owned(),
        epoch: part.epoch.to_owned(),
        events: events.iter().filter_map(|event| placed(event)).collect(),
    })
}

fn placed(event: &Event) -> Option<PlacedEvent> {
    let body = EventBody { name: event.name.clone(), data: event.data.clone()? };
    let trace_parent = event.hop.as_ref().and_then(Hop::trace_parent);
    Some(PlacedEvent { position: event.position, body, trace_parent })
}

/// What moved in a network, in messages that follow one another without a gap.
fn moves(part: &Part<'_>) -> Vec<Moved> {
    let recipient_bytes = |event: &Event| event.recipients.iter().map(|user| text_bytes(user)).sum::<usize>() + 3;
    chunks(part.events, recipient_bytes)
        .into_iter()
        .filter_map(|events| {
            let (first, last) = (events.first()?, events.last()?);
            let before: Position = first.position.checked_sub(1)?;
            let recipients = events.iter().map(|event| event.recipients.clone()).collect();
            Some(Moved { epoch: part.epoch.to_owned(), from: before, to: last.position, recipients })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{super::chunk::MOST_BYTES, *};

    fn event(position: Position, recipients: &[String], bytes: usize) -> Event {
        Event {
            partition: 1,
            seq: 0,
            network: "demo".to_owned(),
            epoch: Some("e".to_owned()),
            position,
            name: "meeting:onMeetingUpdated".to_owned(),
            recipients: recipients.to_vec(),
            data: RawValue::from_string(format!("\"{}\"", "x".repeat(bytes))).ok(),
            age: 0.0,
            hop: None,
        }
    }

    fn json(message: &impl Serialize) -> Vec<u8> {
        serde_json::to_vec(message).expect("JSON")
    }

    #[test]
    fn each_pod_is_sent_the_bodies_of_its_users_in_order_in_messages_that_fit() {
        let users = ["alice", "bob", "carol"].map(str::to_owned);
        let events: Vec<Event> = (1..=40).map(|n| event(n, &users[(n as usize % 2)..], 30_000)).collect();
        let part = Part { network: "demo", epoch: "e", events: &events };
        let on = |pods: &[&str]| pods.iter().map(|pod| PodId::read(*pod)).collect::<BTreeSet<_>>();
        let pods = Pods::from([("alice", on(&["a"])), ("bob", on(&["b", "a"])), ("carol", on(&["b"]))]);
        let by_pod = by_pod(&part, &pods);
        assert_eq!(by_pod.keys().map(|pod| pod.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        for events in by_pod.values() {
            let deliveries: Vec<Deliver> = deliveries(&part, events).collect();
            assert!(deliveries.len() > 1);
            assert!(deliveries.iter().all(|delivery| json(delivery).len() <= MOST_BYTES));
            let positions = deliveries.iter().flat_map(|delivery| &delivery.events).map(|event| event.position);
            assert!(positions.eq(1..=40), "once for each pod, however many recipients it has");
        }
    }

    #[test]
    fn what_has_moved_is_told_without_a_gap_in_messages_that_fit() {
        // Each quote takes two bytes in JSON.
        let users: Vec<String> = (0..1000).map(|n| format!("{n:\"<65}")).collect();
        let events: Vec<Event> = (8..=30).map(|n| event(n, &users, 1)).collect();
        let moves = moves(&Part { network: "demo", epoch: "e", events: &events });
        assert!(moves.len() > 1);
        let mut through = 7;
        for moved in &moves {
            assert!(json(moved).len() <= MOST_BYTES);
            assert_eq!((moved.from, moved.to), (through, through + moved.recipients.len() as u64));
            through = moved.to;
        }
        assert_eq!(through, 30);
    }
}

//! The bus inside one process: for the one-process program and fast tests.
//!
//! It keeps NATS' semantics, its losses included: a subscription that is full loses what comes, and that is a disturbance.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, watch},
    task::coop,
    time::{Instant, timeout_at},
};

use super::{
    BusError, Engine, Headers, MAX_PAYLOAD_BYTES, Message, ReplyTo, SUBSCRIPTION_CAPACITY, Source, Subject,
    Subscription, waiters::Waiters,
};

/// The engine inside one process. Clones are connections to the same bus.
#[derive(Clone, Default)]
pub struct Local(Arc<Broker>);

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

#[derive(Default)]
struct Broker {
    subscribers: Mutex<Subscribers>,
    waiters: Arc<Waiters>,
    disturbances: watch::Sender<u64>,
}

#[derive(Default)]
struct Subscribers {
    /// By the subject that they asked for.
    exact: HashMap<String, Vec<Subscriber>>,
    /// By the pattern that they asked for; there are few.
    patterns: HashMap<String, Vec<Subscriber>>,
    last_id: u64,
    /// Goes round the members of queue groups.
    turn: usize,
}

struct Subscriber {
    id: u64,
    group: Option<String>,
    messages: mpsc::Sender<Message>,
}

impl Local {
    /// A bus of its own.
    pub fn new() -> Self {
        Self::default()
    }

    async fn send(&self, message: Message) -> Result<usize, BusError> {
        if message.headers.wire_bytes() + message.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(BusError::TooLarge);
        }
        // Nothing here ever waits: without this a sender could keep those who take its messages from running.
        coop::consume_budget().await;
        Ok(self.0.deliver(&message))
    }
}

impl Engine for Local {
    fn publish(&self, subject: Subject, headers: Headers, payload: Bytes) -> BoxFuture<'_, Result<(), BusError>> {
        let message = Message { subject: subject.into_string(), headers, payload, reply: None };
        async move { self.send(message).await.map(drop) }.boxed()
    }

    fn request(
        &self,
        subject: Subject,
        headers: Headers,
        payload: Bytes,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Message, BusError>> {
        async move {
            let deadline = Instant::now() + patience;
            let mut waiting = self.0.waiters.wait(0, 1)?;
            let reply = Some(ReplyTo(waiting.token.to_string()));
            if self.send(Message { subject: subject.into_string(), headers, payload, reply }).await? == 0 {
                return Err(BusError::NoResponders);
            }
            timeout_at(deadline, waiting.answer()).await.unwrap_or(Err(BusError::Timeout))
        }
        .boxed()
    }

    fn gather(
        &self,
        subject: Subject,
        payload: Bytes,
        want: usize,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Vec<Message>, BusError>> {
        async move {
            let deadline = Instant::now() + patience;
            let mut waiting = self.0.waiters.wait(0, want)?;
            let reply = Some(ReplyTo(waiting.token.to_string()));
            let mut answers = Vec::new();
            if self.send(Message { subject: subject.into_string(), headers: Headers::new(), payload, reply }).await? > 0
            {
                while answers.len() < want
                    && let Ok(Ok(answer)) = timeout_at(deadline, waiting.answer()).await
                {
                    answers.push(answer);
                }
            }
            Ok(answers)
        }
        .boxed()
    }

    fn reply(&self, to: ReplyTo, headers: Headers, payload: Bytes) -> BoxFuture<'_, Result<(), BusError>> {
        async move {
            if headers.wire_bytes() + payload.len() > MAX_PAYLOAD_BYTES {
                return Err(BusError::TooLarge);
            }
            let answer = Message { subject: to.0.clone(), headers, payload, reply: None };
            self.0.waiters.answer(&to.0, Ok(answer));
            Ok(())
        }
        .boxed()
    }

    fn subscribe(&self, subject: Subject, group: Option<&str>) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let messages = self.0.subscribe(subject.into_string(), group.map(str::to_owned));
        async move { Ok(Subscription(Box::new(messages))) }.boxed()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        async { Ok(()) }.boxed()
    }

    fn probe(&self, _: Vec<Subject>) -> BoxFuture<'_, Result<(), BusError>> {
        async { Ok(()) }.boxed()
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn disturbances(&self) -> watch::Receiver<u64> {
        self.0.disturbances.subscribe()
    }
}

impl Broker {
    fn subscribe(self: &Arc<Self>, subject: String, group: Option<String>) -> Messages {
        let (sender, messages) = mpsc::channel(SUBSCRIPTION_CAPACITY);
        let mut subscribers = self.lock();
        subscribers.last_id += 1;
        let id = subscribers.last_id;
        let same_subject = subscribers.asking(&subject).entry(subject.clone()).or_default();
        same_subject.push(Subscriber { id, group, messages: sender });
        Messages { broker: self.clone(), subject, id, messages }
    }

    fn unsubscribe(&self, subject: &str, id: u64) {
        let mut subscribers = self.lock();
        let asking = subscribers.asking(subject);
        if let Some(same_subject) = asking.get_mut(subject) {
            same_subject.retain(|subscriber| subscriber.id != id);
            if same_subject.is_empty() {
                asking.remove(subject);
            }
        }
    }

    /// To how many the message was for. All under one lock: what one sender sends stays in order.
    fn deliver(&self, message: &Message) -> usize {
        let mut subscribers = self.lock();
        subscribers.turn = subscribers.turn.wrapping_add(1);
        let mut receivers = Vec::new();
        let mut groups: HashMap<&str, Vec<&Subscriber>> = HashMap::new();
        for subscriber in subscribers.of(&message.subject) {
            match &subscriber.group {
                None => receivers.push(subscriber),
                Some(group) => groups.entry(group).or_default().push(subscriber),
            }
        }
        receivers.extend(groups.values().map(|members| members[subscribers.turn % members.len()]));
        for receiver in &receivers {
            if receiver.messages.try_send(message.clone()).is_err() {
                metrics::counter!("convene_bus_lost_messages_total").increment(1);
                self.disturbances.send_modify(|count| *count += 1);
            }
        }
        receivers.len()
    }

    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscribers {
    /// Those who ask for subjects, or for patterns, as this one is.
    fn asking(&mut self, subject: &str) -> &mut HashMap<String, Vec<Subscriber>> {
        if subject.contains('*') { &mut self.patterns } else { &mut self.exact }
    }

    fn of(&self, subject: &str) -> impl Iterator<Item = &Subscriber> {
        let exact = self.exact.get(subject).into_iter();
        let patterns = self.patterns.iter().filter(|(pattern, _)| is_match(pattern, subject));
        exact.chain(patterns.map(|(_, subscribers)| subscribers)).flatten()
    }
}

fn is_match(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    pattern.split('.').all(|want| tokens.next().is_some_and(|token| want == "*" || want == token))
        && tokens.next().is_none()
}

struct Messages {
    broker: Arc<Broker>,
    subject: String,
    id: u64,
    messages: mpsc::Receiver<Message>,
}

impl Source for Messages {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.poll_recv(context)
    }

    fn stop(&mut self) {
        self.broker.unsubscribe(&self.subject, self.id);
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn a_star_stands_for_exactly_one_token() {
        for (pattern, subject, matches) in [
            ("rpc.meeting.*", "rpc.meeting.getMeeting", true),
            ("rpc.*.get", "rpc.meeting.get", true),
            ("*", "wake", true),
            ("rpc.meeting.*", "rpc.meeting", false),
            ("rpc.meeting.*", "rpc.meeting.a.b", false),
            ("rpc.meeting.*", "rpc.social.get", false),
            ("rpc.*", "rpc.meeting.get", false),
        ] {
            assert_eq!(is_match(pattern, subject), matches, "{pattern} {subject}");
        }
    }
}

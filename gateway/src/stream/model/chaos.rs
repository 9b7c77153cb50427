//! A bus on which nothing can be relied on.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use shared::bus::{
    Bus, BusError, Engine, HeaderName, Headers, Message, ReplyTo, Subject, Subscription, local::Local, subject,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::truth::Truth;

/// How bad it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Of messages, how many are lost, and how many come twice.
    loss: f64,
    repeats: f64,
    /// The longest way of a message.
    delay_ms: u64,
    /// Of questions, how many are not answered, and how many with a failure.
    silence: f64,
    failures: f64,
    /// The longest way of a question to its worker, and of the answer back.
    answer_ms: u64,
}

impl Weather {
    pub(super) fn some(random: &mut StdRng) -> Self {
        let mut share = |most: f64| if random.random_bool(0.4) { 0.0 } else { random.random_range(0.0..most) };
        let (loss, repeats, silence, failures) = (share(0.6), share(0.4), share(0.3), share(0.3));
        let delay_ms = [5, 100, 2000][random.random_range(0..3)];
        let answer_ms = [3, 50, 700, 4000][random.random_range(0..4)];
        Self { loss, repeats, delay_ms, silence, failures, answer_ms }
    }
}

/// The bus. Clones are the same one.
#[derive(Clone)]
pub(super) struct Chaos(Arc<Inner>);

struct Inner {
    local: Local,
    bus: Bus,
    truth: Truth,
    state: Mutex<State>,
    disturbances: watch::Sender<u64>,
    seed: u64,
    begun: Instant,
}

struct State {
    random: StdRng,
    weather: Weather,
    away_until: Instant,
}

impl Chaos {
    pub(super) fn new(truth: Truth, seed: u64) -> Self {
        let local = Local::new();
        let begun = Instant::now();
        let random = StdRng::seed_from_u64(seed);
        let state = State { random, weather: Weather::default(), away_until: begun };
        let bus = Bus::new(local.clone());
        let disturbances = watch::Sender::default();
        Self(Arc::new(Inner { local, bus, truth, state: Mutex::new(state), disturbances, seed, begun }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nobody panicked")
    }

    pub(super) fn set(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// The pod loses its connection to the bus, and has it again after so long.
    pub(super) fn break_off(&self, length: Duration) {
        self.lock().away_until = Instant::now() + length;
        self.disturb();
        let chaos = self.clone();
        tokio::spawn(async move {
            sleep(length).await;
            chaos.disturb();
        });
    }

    /// The connection is there again.
    pub(super) fn mend(&self) {
        self.lock().away_until = Instant::now();
        self.disturb();
    }

    fn disturb(&self) {
        self.0.disturbances.send_modify(|count| *count += 1);
    }

    fn is_away(&self) -> bool {
        Instant::now() < self.lock().away_until
    }

    /// Sends a message from somewhere else to the pod; who knows whether it comes, and when.
    pub(super) fn send(&self, subject: &Subject, message: &impl serde::Serialize) {
        let payload = Bytes::from(serde_json::to_vec(message).expect("JSON"));
        let mut ways = Vec::new();
        {
            let State { random, weather, .. } = &mut *self.lock();
            if !random.random_bool(weather.loss) {
                ways.push(random.random_range(0..=weather.delay_ms));
            }
            if random.random_bool(weather.repeats) {
                ways.push(random.random_range(0..=3 * weather.delay_ms));
            }
        }
        for way in ways {
            let (chaos, subject, payload) = (self.clone(), subject.clone(), payload.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(way)).await;
                if !chaos.is_away() {
                    chaos.0.bus.publish(subject, Headers::new(), payload).await.expect("it is small");
                }
            });
        }
    }

    /// What happens to a question. Follows from what it is and when, not from whose turn it is: tasks that wait for the same
    /// thing are woken in any order.
    fn fate_of(&self, subject: &Subject, question: &[u8]) -> StdRng {
        let mut hasher = DefaultHasher::new();
        (self.0.seed, self.0.begun.elapsed().as_millis(), subject, question).hash(&mut hasher);
        StdRng::seed_from_u64(hasher.finish())
    }

    /// Asks a worker.
    async fn ask(&self, subject: &Subject, question: &[u8]) -> Result<Message, BusError> {
        let weather = self.lock().weather;
        let mut random = self.fate_of(subject, question);
        let mut way = || Duration::from_millis(random.random_range(0..=weather.answer_ms));
        let (there, back) = (way(), way());
        let (is_silent, fails) = (random.random_bool(weather.silence), random.random_bool(weather.failures));
        if self.is_away() {
            return Err(BusError::Away);
        }
        sleep(there).await;
        if is_silent {
            return std::future::pending().await;
        }
        let answer = self.0.truth.answer(subject::last_token(subject.as_str()), question, &mut random);
        sleep(back).await;
        if self.is_away() {
            return Err(BusError::Away);
        }
        let (headers, payload) = match fails {
            false => (Headers::new(), format!(r#"{{"data":{answer}}}"#)),
            true => (
                Headers::new().with(HeaderName::Code, "503").expect("a header"),
                r#"{"error":{"status":true,"code":503,"message":""}}"#.to_owned(),
            ),
        };
        Ok(Message { subject: String::new(), headers, payload: payload.into(), reply: None })
    }
}

impl Engine for Chaos {
    fn publish(&self, _: Subject, _: Headers, _: Bytes) -> BoxFuture<'_, Result<(), BusError>> {
        unreachable!("a stream publishes nothing")
    }

    fn request(
        &self,
        subject: Subject,
        _: Headers,
        payload: Bytes,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Message, BusError>> {
        async move { timeout(patience, self.ask(&subject, &payload)).await.unwrap_or(Err(BusError::Timeout)) }.boxed()
    }

    fn gather(&self, _: Subject, _: Bytes, _: usize, _: Duration) -> BoxFuture<'_, Result<Vec<Message>, BusError>> {
        unreachable!("a stream gathers nothing")
    }

    fn reply(&self, _: ReplyTo, _: Headers, _: Bytes) -> BoxFuture<'_, Result<(), BusError>> {
        unreachable!("a stream is asked nothing")
    }

    /// The server hears of it a little later.
    fn subscribe(&self, subject: Subject, group: Option<&str>) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let subscribed = self.0.local.subscribe(subject.clone(), group);
        let way = self.fate_of(&subject, &[]).random_range(0..20);
        async move {
            sleep(Duration::from_millis(way)).await;
            subscribed.await
        }
        .boxed()
    }

    fn probe(&self, _: Vec<Subject>) -> BoxFuture<'_, Result<(), BusError>> {
        unreachable!("a stream looks after no bus")
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        async {
            let until = self.lock().away_until;
            sleep_until(until).await;
            Ok(())
        }
        .boxed()
    }

    fn is_connected(&self) -> bool {
        !self.is_away()
    }

    fn disturbances(&self) -> watch::Receiver<u64> {
        self.0.disturbances.subscribe()
    }
}

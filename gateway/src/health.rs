//! Whether this pod can do its work now.
//!
//! | dependency in `/readyz` | a look fails when |
//! | --- | --- |
//! | `bus` | a connection is down, or the bus refuses to take what gateways publish or subscribe to |
//! | `presence` | no session can be claimed |
//! | `workers` | none of `user` answers, or none of `events`; those that can not change the database do not |
//! | `keys` | there is nothing yet to check tokens with |
//! | `events` | events are moved and do not reach this pod ([`canary`]) |
//!
//! A look tries what the work needs: a server that answers a ping may refuse everybody all the same. `/livez` never looks here.
//! `/readyz` shows what background tasks last found, so that probes cost the dependencies nothing. A dependency that was well is unwell after three failed looks in a row, so that no hiccup takes a pod out, and
//! well again after two good ones, so that one that comes and goes does not bring it back each time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::gauge;
use serde::Serialize;
use shared::{
    bus::{Bus, BusError, Subject},
    internal::{CheckSessions, ReadHeads},
    pod::PodId,
    presence::Presence,
    telemetry::Outage,
};
use tokio::time::timeout;

use crate::{Gateway, canary, workers::Workers};

/// How often each dependency is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a look may take: a frozen dependency must not be taken for a well one for as long as a client would wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many looks in a row must fail.
const FAILURES: u32 = 3;

/// After that, so many in a row must be good.
const SUCCESSES: u32 = 2;

/// The entry of what tokens are checked with.
const KEYS: &str = "keys";

/// What is known of the dependencies.
#[derive(Debug)]
pub struct Health {
    bus: Bus,
    control: Bus,
    presence: Presence,
    workers: Workers,
    pod: PodId,
    states: Mutex<BTreeMap<&'static str, State>>,
    is_draining: AtomicBool,
}

#[derive(Debug)]
struct State {
    is_well: bool,
    /// The first good look is enough.
    was_ever_well: bool,
    /// Looks in a row that say otherwise.
    against: u32,
    /// Looks in a row that have failed.
    failed: u32,
    /// What the last look has found.
    message: String,
    outage: Outage,
}

impl State {
    fn unknown() -> Self {
        Self {
            is_well: false,
            was_ever_well: false,
            against: 0,
            failed: 0,
            message: "not looked at yet".to_owned(),
            outage: Outage::new(),
        }
    }

    fn see(&mut self, result: Result<(), String>) {
        let is_good = result.is_ok();
        self.failed = if is_good { 0 } else { self.failed.saturating_add(1) };
        if is_good == self.is_well {
            self.against = 0;
        } else {
            self.against += 1;
        }
        let needed = match self.is_well {
            true => FAILURES,
            false if self.was_ever_well => SUCCESSES,
            false => 1,
        };
        if self.against >= needed {
            self.is_well = is_good;
            self.was_ever_well |= is_good;
            self.against = 0;
        }
        self.message = match result {
            Err(message) => message,
            Ok(()) if self.is_well => "ok".to_owned(),
            Ok(()) => "not well for long enough".to_owned(),
        };
    }

    fn log(&self, name: &'static str, was_well: bool) {
        if self.is_well && !was_well {
            tracing::info!(dependency = name, seconds = self.outage.worked(), "well");
        } else if !self.is_well
            && self.failed >= FAILURES
            && let Some(seconds) = self.outage.failed(&self.message)
        {
            tracing::warn!(dependency = name, self.message, seconds, "not well");
        }
    }
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether all is well.
    pub ready: bool,
    /// Whether the pod is going away.
    pub draining: bool,
    /// `ok`, or what is wrong, for each dependency.
    pub dependencies: BTreeMap<&'static str, String>,
}

impl Health {
    /// Nothing was looked at yet: not ready.
    pub fn new(bus: Bus, control: Bus, presence: Presence, workers: Workers, pod: PodId) -> Self {
        let states = ["bus", "presence", "workers", KEYS, canary::EVENTS].map(|name| (name, State::unknown())).into();
        Self { bus, control, presence, workers, pod, states: Mutex::new(states), is_draining: AtomicBool::new(false) }
    }

    /// Unready from now on.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// What is known now.
    pub fn report(&self) -> Report {
        let states = self.lock();
        let draining = self.is_draining.load(Ordering::Acquire);
        let ready = !draining && states.values().all(|state| state.is_well);
        let dependencies = states.iter().map(|(name, state)| (*name, state.message.clone())).collect();
        Report { ready, draining, dependencies }
    }

    /// Whether this dependency is well.
    pub fn is_well(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|state| state.is_well)
    }

    async fn look(&self) {
        let (bus, presence, workers) =
            tokio::join!(self.look_at_bus(), self.presence.probe(&self.pod), self.look_at_workers());
        self.note("bus", bus.map_err(|error| error.to_string()));
        match presence {
            Ok(partly) => {
                self.note("presence", Ok(()));
                // Whoever is kept there finds no pod that could let him in.
                if let Some(partly) = partly.filter(|_| self.is_well("presence")) {
                    self.remark("presence", partly);
                }
            }
            Err(error) => self.note("presence", Err(error.to_string())),
        }
        self.note("workers", workers);
    }

    async fn look_at_bus(&self) -> Result<(), BusError> {
        let probes = async {
            let (bus, control) = tokio::join!(
                self.bus.probe(Subject::probes_of_gateway()),
                self.control.probe(vec![Subject::probe_of_control()]),
            );
            bus.and(control)
        };
        timeout(PATIENCE, probes).await.unwrap_or(Err(BusError::Timeout))
    }

    /// Without `user` nobody can be let in, without `events` nobody is told of anything.
    async fn look_at_workers(&self) -> Result<(), String> {
        let (sessions, heads) = (CheckSessions { sessions: vec![] }, ReadHeads { networks: vec![] });
        let (sessions, heads) =
            tokio::join!(self.workers.ask_within(PATIENCE, &sessions), self.workers.ask_within(PATIENCE, &heads));
        sessions.map_err(|error| format!("user: {error}"))?;
        heads.map_err(|error| format!("events: {error}"))?;
        Ok(())
    }

    /// Notes what a look has found.
    pub fn note(&self, name: &'static str, result: Result<(), String>) {
        let mut states = self.lock();
        let Some(state) = states.get_mut(name) else { return };
        let was_well = state.is_well;
        state.see(result);
        state.log(name, was_well);
        gauge!("convene_dependency_up", "dependency" => name).set(f64::from(u8::from(state.is_well)));
    }

    /// Shows what is wrong elsewhere, where this pod can do nothing about it and no pod could do better: it does not count.
    pub fn remark(&self, name: &'static str, message: String) {
        let mut states = self.lock();
        let Some(state) = states.get_mut(name) else { return };
        if !state.was_ever_well {
            (state.is_well, state.was_ever_well) = (true, true);
        }
        state.message = message;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the dependencies until the process stops.
pub async fn run(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = ticks.tick() => {
                let had_workers = gateway.health.is_well("workers");
                gateway.health.look().await;
                let none = || "none was read yet, so nobody can be let in".to_owned();
                gateway.health.note(KEYS, gateway.authenticator.has_keys().then_some(()).ok_or_else(none));
                // Their database may be a restored one by now.
                if !had_workers && gateway.health.is_well("workers") {
                    gateway.streams.ask_heads();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::{bus::local::Local as LocalBus, pod::PodId, presence::local::Local as LocalPresence};

    use super::*;

    fn health() -> Health {
        let bus = Bus::new(LocalBus::new());
        let pod = PodId::of_start("pod");
        let workers = Workers::new(bus.clone(), pod.clone(), Duration::from_secs(1));
        let health = Health::new(bus.clone(), bus, Presence::new(LocalPresence::new()), workers, pod);
        for name in ["bus", "presence", "workers", "keys", "events"] {
            assert!(!health.report().ready, "{name} was not looked at yet");
            health.note(name, Ok(()));
        }
        assert!(health.report().ready);
        health
    }

    fn slow() -> Result<(), String> {
        Err("slow".to_owned())
    }

    #[tokio::test]
    async fn a_hiccup_keeps_the_pod_ready_and_a_lasting_failure_does_not() {
        let health = health();
        for _ in 1..FAILURES {
            health.note("presence", slow());
        }
        assert!(health.report().ready);
        assert_eq!(health.report().dependencies["presence"], "slow");
        health.note("presence", slow());
        assert!(!health.report().ready);
    }

    #[tokio::test]
    async fn what_comes_and_goes_does_not_bring_the_pod_back_each_time() {
        let health = health();
        for _ in 0..FAILURES {
            health.note("presence", slow());
        }
        for _ in 0..3 {
            health.note("presence", Ok(()));
            assert!(!health.report().ready);
            assert_ne!(health.report().dependencies["presence"], "ok");
            health.note("presence", slow());
        }
        for _ in 0..SUCCESSES {
            assert!(!health.report().ready);
            health.note("presence", Ok(()));
        }
        assert!(health.report().ready);
    }

    #[tokio::test]
    async fn what_is_wrong_elsewhere_is_shown_and_neither_takes_a_pod_out_nor_brings_it_back() {
        let health = health();
        for _ in 0..2 * FAILURES {
            health.remark("events", "the relay is late".to_owned());
        }
        assert!(health.report().ready);
        assert_eq!(health.report().dependencies["events"], "the relay is late");
        for _ in 0..FAILURES {
            health.note("events", slow());
        }
        health.remark("events", "the relay is late".to_owned());
        assert!(!health.report().ready);
    }

    #[tokio::test]
    async fn a_draining_pod_is_unready_however_well_it_is() {
        let health = health();
        health.drain();
        assert!(!health.report().ready);
    }
}

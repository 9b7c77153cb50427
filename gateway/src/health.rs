//! Whether this pod can do its work now.
//!
//! `/livez` never looks here. `/readyz` shows what a background task last found, so that probes cost the dependencies
//! nothing; a dependency that was well is unwell only after three looks in a row, so that no hiccup takes a pod out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::gauge;
use serde::Serialize;
use shared::{bus::Bus, internal::ReadHeads, presence::Presence};

use crate::{Gateway, workers::Workers};

/// How often each dependency is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// So many looks in a row must fail.
const FAILURES: u32 = 3;

/// What is known of the dependencies.
#[derive(Debug)]
pub struct Health {
    bus: Bus,
    presence: Presence,
    workers: Workers,
    states: Mutex<BTreeMap<&'static str, State>>,
    is_draining: AtomicBool,
}

#[derive(Debug)]
struct State {
    failures: u32,
    message: String,
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
    pub fn new(bus: Bus, presence: Presence, workers: Workers) -> Self {
        let unknown = || State { failures: FAILURES, message: "not looked at yet".to_owned() };
        let states = [("bus", unknown()), ("presence", unknown()), ("workers", unknown())].into();
        Self { bus, presence, workers, states: Mutex::new(states), is_draining: AtomicBool::new(false) }
    }

    /// Unready from now on.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// What is known now.
    pub fn report(&self) -> Report {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let draining = self.is_draining.load(Ordering::Acquire);
        let ready = !draining && states.values().all(|state| state.failures < FAILURES);
        let dependencies = states
            .iter()
            .map(|(name, state)| (*name, if state.failures == 0 { "ok".to_owned() } else { state.message.clone() }))
            .collect();
        Report { ready, draining, dependencies }
    }

    async fn look(&self) {
        let bus = if self.bus.is_connected() { Ok(()) } else { Err("away".to_owned()) };
        let question = ReadHeads { networks: vec![] };
        let (presence, workers) = tokio::join!(self.presence.pods(), self.workers.ask(&question));
        self.note("bus", bus);
        self.note("presence", presence.map(drop).map_err(|error| error.to_string()));
        self.note("workers", workers.map(drop).map_err(|error| error.to_string()));
    }

    fn note(&self, name: &'static str, result: Result<(), String>) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = states.get_mut(name) else { return };
        let was_well = state.failures < FAILURES;
        match result {
            Ok(()) => state.failures = 0,
            Err(message) => {
                state.failures = (state.failures + 1).min(FAILURES);
                state.message = message;
            }
        }
        let is_well = state.failures < FAILURES;
        if was_well != is_well {
            tracing::info!(dependency = name, ready = is_well, "a dependency changed");
        }
        gauge!("convene_dependency_up", "dependency" => name).set(f64::from(u8::from(is_well)));
    }
}

/// Looks at the dependencies until the process stops.
pub async fn run(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = ticks.tick() => gateway.health.look().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::{bus::local::Local as LocalBus, presence::local::Local as LocalPresence};

    use super::*;

    fn health() -> Health {
        let bus = Bus::new(LocalBus::new());
        let workers = Workers::new(bus.clone(), "pod".into(), Duration::from_secs(1));
        let health = Health::new(bus, Presence::new(LocalPresence::new()), workers);
        for name in ["bus", "presence", "workers"] {
            health.note(name, Ok(()));
        }
        health
    }

    #[tokio::test]
    async fn a_hiccup_keeps_the_pod_ready_and_a_lasting_failure_does_not() {
        let health = health();
        for _ in 1..FAILURES {
            health.note("presence", Err("slow".into()));
        }
        assert!(health.report().ready);
        assert_eq!(health.report().dependencies["presence"], "slow");
        health.note("presence", Err("slow".into()));
        assert!(!health.report().ready);
        health.note("presence", Ok(()));
        assert!(health.report().ready);
    }

    #[tokio::test]
    async fn a_draining_pod_is_unready_however_well_it_is() {
        let health = health();
        health.drain();
        assert!(!health.report().ready);
    }
}

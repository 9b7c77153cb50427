//! The chaos run: gateways and workers as processes, servers of their own, clients that do as the wire contract tells them,
//! and faults drawn from a seed. When all is well again and quiet, everything is judged against what was acknowledged.
//!
//! | module | holds |
//! | --- | --- |
//! | `world` | the system under test, and the proxies between its parts |
//! | `fault`, `lane` | what can go wrong, and the lanes on which it does |
//! | `leg`, `session` | one socket; a session that keeps one, and its requests, which go on until they are answered |
//! | `hand`, `ledger` | what a session does, and the record of what was acknowledged |
//! | `judge` | what must hold afterwards |
//! | `tally`, `report` | what it cost |
//!
//! The seed decides which faults come in which order and what each hand wants; how they meet is the machine's.

mod fault;
mod hand;
mod judge;
mod lane;
mod ledger;
mod leg;
mod report;
mod session;
mod tally;
mod world;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::future::join_all;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub use self::report::Report;
use self::{
    hand::Hand,
    judge::judge,
    lane::Lane,
    ledger::Ledger,
    session::Session,
    tally::Tally,
    world::{PATIENCE, World},
};

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides the faults and what clients want.
    pub seed: u64,
    /// How long faults happen.
    pub length: Duration,
    /// So many faults at once at most.
    pub lanes: u64,
    /// How long a lane is quiet between two faults at most.
    pub longest_pause: Duration,
    /// How long a fault lasts at most.
    pub longest_fault: Duration,
    /// Waits until what dead pods have left in Redis must have expired: 65 s.
    pub waits_for_expiry: bool,
    /// Where the pods' logs go when something did not hold.
    pub logs: PathBuf,
}

/// Runs it.
///
/// # Panics
/// When the system cannot be started or looked at. What does not hold is in the report.
pub async fn run(plan: Plan) -> Report {
    let begun = Instant::now();
    let world = Arc::new(World::start().await);
    let (tally, ledger) = (Arc::new(Tally::default()), Arc::new(Ledger::default()));
    let watching = tokio::spawn(world.clone().watch(tally.clone()));

    let mut sessions = Vec::new();
    let mut hands = Vec::new();
    for (number, who) in world::sessions().into_iter().enumerate() {
        let session = Session::new(&world, &who, tally.clone());
        let rng = |purpose: u64| StdRng::seed_from_u64(plan.seed ^ (number as u64) << 8 ^ purpose << 56);
        tokio::spawn(session.clone().keep(rng(1)));
        hands.push(Hand::new(session.clone(), who, ledger.clone(), rng(2)));
        sessions.push(session);
    }
    for hand in &mut hands {
        hand.prepare().await;
    }

    let (trouble, work) = (CancellationToken::new(), CancellationToken::new());
    let working = join_all(hands.into_iter().zip(&sessions).map(|(hand, session)| {
        let (session, work) = (session.clone(), work.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = hand.work(work) => (),
                // It waits for an answer for ever.
                () = session.stops() => (),
            }
        })
    }));
    let deck = lane::deck(&mut StdRng::seed_from_u64(plan.seed));
    let lanes = join_all((0..plan.lanes).map(|number| {
        let rng = StdRng::seed_from_u64(plan.seed ^ 3 << 56 ^ number);
        let lane =
            Lane { world: world.clone(), sessions: sessions.clone(), tally: tally.clone(), deck: deck.clone(), rng };
        tokio::spawn(lane.run(plan.longest_pause, plan.longest_fault, trouble.clone()))
    }));
    tokio::time::sleep(plan.length).await;
    trouble.cancel();
    for outcome in lanes.await {
        outcome.expect("a lane does not panic");
    }
    // Whatever else was drawn: all sessions come back at once.
    fault::kill_all_gateways(&world, Duration::from_secs(1), &tally).await;
    world.heal(&tally).await;
    let healed = Instant::now();
    work.cancel();
    match timeout(PATIENCE, working).await {
        Ok(outcomes) => {
            for outcome in outcomes {
                outcome.expect("a hand does not panic");
            }
        }
        Err(_) => tally.blame(format!("requests are not answered {PATIENCE:?} after all was well again")),
    }
    let settled = healed.elapsed();
    // Those are blamed by now, and have no socket.
    sessions.retain(|session| !session.has_stopped());
    let events = judge(&world, &sessions, &ledger, &tally, plan.waits_for_expiry).await;
    watching.abort();
    for session in &sessions {
        session.leave();
    }
    let mut report = Report::new(plan.seed, begun.elapsed(), settled, &tally, &sessions, &ledger, events);
    if !report.broken.is_empty() {
        report.logs = world.keep_logs(&plan.logs, plan.seed);
    }
    report
}

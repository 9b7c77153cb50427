//! Logging what fails again and again while something is away: when it begins or changes, once a minute while it lasts, and
//! when it is over.

use std::{
    fmt::Display,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What is said once is not said again for so long.
const REMINDER: Duration = Duration::from_secs(60);

/// So many different reasons are said within [`REMINDER`]: beyond them, texts that differ each time would be a line each time.
const MOST_REASONS: usize = 8;

/// What is known of something that may fail. Whoever tries it tells of each outcome, and logs what it is told to log.
#[derive(Debug, Default)]
pub struct Outage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When it began to fail; `None` while it works.
    since: Option<Instant>,
    /// Whether the log knows of that.
    is_said: bool,
    /// What was said within [`REMINDER`], and when.
    said: Vec<(String, Instant)>,
}

impl Outage {
    /// It works, as far as anybody knows.
    pub fn new() -> Self {
        Self::default()
    }

    /// It has failed. For how many seconds by now, when that is to be logged: within a minute each reason is logged once.
    pub fn failed(&self, reason: impl Display) -> Option<u64> {
        self.failed_at(&reason.to_string(), Instant::now())
    }

    /// It has worked. For how many seconds it had failed, when that is to be logged: when a failure was.
    pub fn worked(&self) -> Option<u64> {
        self.worked_at(Instant::now())
    }

    fn failed_at(&self, reason: &str, now: Instant) -> Option<u64> {
        let mut state = self.lock();
        let since = *state.since.get_or_insert(now);
        state.said.retain(|(_, said_at)| now.duration_since(*said_at) < REMINDER);
        if state.said.len() >= MOST_REASONS || state.said.iter().any(|(said, _)| said == reason) {
            return None;
        }
        state.said.push((reason.to_owned(), now));
        state.is_said = true;
        Some(now.duration_since(since).as_secs())
    }

    fn worked_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.lock();
        let since = state.since.take()?;
        std::mem::take(&mut state.is_said).then(|| now.duration_since(since).as_secs())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds from a beginning.
    struct Clock(Instant);

    impl Clock {
        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }
    }

    #[test]
    fn what_fails_each_second_is_said_at_once_and_then_once_a_minute() {
        let (outage, clock) = (Outage::new(), Clock(Instant::now()));
        assert_eq!(outage.worked_at(clock.at(0)), None);
        let said: Vec<u64> =
            (0..200).filter(|second| outage.failed_at("refused", clock.at(*second)) == Some(*second)).collect();
        assert_eq!(said, [0, 60, 120, 180]);
        assert_eq!(outage.worked_at(clock.at(200)), Some(200));
        assert_eq!(outage.worked_at(clock.at(201)), None);
    }

    #[test]
    fn reasons_that_alternate_are_said_at_once_and_once_a_minute_each() {
        let (outage, clock) = (Outage::new(), Clock(Instant::now()));
        let reasons = ["refused", "no answer"];
        let said: Vec<u64> = (0..100)
            .filter(|second| outage.failed_at(reasons[*second as usize % 2], clock.at(*second)).is_some())
            .collect();
        assert_eq!(said, [0, 1, 60, 61]);
    }

    #[test]
    fn what_comes_and_goes_is_said_once_a_minute() {
        let (outage, clock) = (Outage::new(), Clock(Instant::now()));
        let mut said = Vec::new();
        for second in (0..100).step_by(2) {
            said.extend(outage.failed_at("refused", clock.at(second)).map(|_| second));
            said.extend(outage.worked_at(clock.at(second + 1)).map(|_| second + 1));
        }
        assert_eq!(said, [0, 1, 60, 61]);
    }

    #[test]
    fn reasons_that_differ_each_time_are_bounded() {
        let (outage, clock) = (Outage::new(), Clock(Instant::now()));
        let said = |from: u64| {
            (from..from + 60)
                .filter(|second| outage.failed_at(&second.to_string(), clock.at(*second)).is_some())
                .count()
        };
        assert_eq!([said(0), said(60)], [MOST_REASONS; 2]);
    }
}

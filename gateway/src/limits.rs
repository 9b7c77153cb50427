//! What one socket may ask for: its rate, and when it has been refused too often.
//!
//! | excess | outcome | metric |
//! | --- | --- | --- |
//! | requests over `rate-limit` and `rate-burst`, or over `max-in-flight` | 705 | `convene_requests_refused_total` `{limit}` |
//! | over 200 of those within ten seconds, or 20 malformed frames in a row | 4500 | `convene_sockets_closed_total` `{code}` |

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::time::Instant;

/// More refusals than this within [`ABUSE_WINDOW`] end the socket.
const MAX_REFUSALS: usize = 200;

/// See [`MAX_REFUSALS`].
const ABUSE_WINDOW: Duration = Duration::from_secs(10);

/// So many malformed frames in a row end the socket.
const MAX_MALFORMED: u32 = 20;

/// The limits of one socket.
#[derive(Debug)]
pub struct Limits {
    rate: DefaultDirectRateLimiter,
    refusals: VecDeque<Instant>,
    malformed: u32,
}

/// The socket was refused too often: 4500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abusive;

impl Limits {
    /// `per_second` requests on average, `burst` at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self { rate: RateLimiter::direct(quota), refusals: VecDeque::new(), malformed: 0 }
    }

    /// Whether another request is within the rate.
    pub fn allows_request(&self) -> bool {
        self.rate.check().is_ok()
    }

    /// Notes a well-formed frame.
    pub fn well_formed(&mut self) {
        self.malformed = 0;
    }

    /// Notes a malformed frame.
    ///
    /// # Errors
    /// [`Abusive`] at the twentieth in a row.
    pub fn malformed(&mut self) -> Result<(), Abusive> {
        self.malformed += 1;
        if self.malformed < MAX_MALFORMED { Ok(()) } else { Err(Abusive) }
    }

    /// Notes a request that was refused with 705.
    ///
    /// # Errors
    /// [`Abusive`] at the two hundred and first within ten seconds.
    pub fn refused(&mut self, now: Instant) -> Result<(), Abusive> {
        self.refusals.push_back(now);
        while self.refusals.front().is_some_and(|refusal| now.duration_since(*refusal) > ABUSE_WINDOW) {
            self.refusals.pop_front();
        }
        if self.refusals.len() > MAX_REFUSALS { Err(Abusive) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(NonZeroU32::MIN, NonZeroU32::new(3).expect("three"))
    }

    #[test]
    fn a_burst_passes_and_what_exceeds_it_does_not() {
        let limits = limits();
        let allowed = (0..10).filter(|_| limits.allows_request()).count();
        assert_eq!(allowed, 3);
    }

    #[test]
    fn only_refusals_that_are_close_together_are_abuse() {
        let mut limits = limits();
        let start = Instant::now();
        for second in 0..1000 {
            assert_eq!(limits.refused(start + Duration::from_millis(second * 51)), Ok(()), "{second}");
        }
        let mut limits = self::limits();
        let results: Vec<_> = (0..201).map(|n| limits.refused(start + Duration::from_millis(n * 49))).collect();
        assert!(results[..200].iter().all(Result::is_ok));
        assert_eq!(results[200], Err(Abusive));
    }

    #[test]
    fn a_good_frame_forgives_malformed_ones() {
        let mut limits = limits();
        for _ in 0..19 {
            assert_eq!(limits.malformed(), Ok(()));
        }
        limits.well_formed();
        for _ in 0..19 {
            assert_eq!(limits.malformed(), Ok(()));
        }
        assert_eq!(limits.malformed(), Err(Abusive));
    }
}

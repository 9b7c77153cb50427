//! How old a request is, although clocks differ.
//!
//! The sender says when it sent the request, by its own clock. What that clock shows here is unknown, but the same for all of a
//! sender's requests, and so is the shortest way from it to here. So the smallest `now - sent_at` seen from a sender in the last
//! minute stands for "no age at all", and what a request has beyond it has been spent in queues. A sender is one start of a pod:
//! one that comes back under its name may be on another machine.

use std::{collections::HashMap, time::Duration};

use shared::pod::PodId;

/// Beyond so many senders the one that was silent the longest is forgotten; its next request then counts as fresh.
const MOST_SENDERS: usize = 1024;

/// The last minute is remembered in so many parts.
const PARTS: usize = 6;
const PART_MS: i64 = 10_000;

/// What was seen of each sender.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    senders: HashMap<PodId, Sender>,
}

#[derive(Debug)]
struct Sender {
    last_seen: i64,
    /// Of each part of the last minute its number and the smallest difference seen in it.
    parts: [(i64, i64); PARTS],
}

impl Ages {
    /// The age of a request that `sender` sent at `sent_at_ms` by its clock and that arrived at `now_ms` by ours.
    ///
    /// Ours must be a clock that never jumps; only differences of it count.
    pub(crate) fn age(&mut self, sender: &PodId, sent_at_ms: i64, now_ms: i64) -> Duration {
        let difference = now_ms.saturating_sub(sent_at_ms);
        let part = now_ms.div_euclid(PART_MS);
        if !self.senders.contains_key(sender) {
            self.make_room();
            let never = (i64::MIN, i64::MAX);
            self.senders.insert(sender.clone(), Sender { last_seen: now_ms, parts: [never; PARTS] });
        }
        let Some(sender) = self.senders.get_mut(sender) else { return Duration::ZERO };
        sender.last_seen = now_ms;
        let slot = &mut sender.parts[part.rem_euclid(PARTS as i64) as usize];
        if slot.0 == part {
            slot.1 = slot.1.min(difference);
        } else {
            *slot = (part, difference);
        }
        let oldest = part - PARTS as i64;
        let smallest = sender.parts.iter().filter(|(number, _)| *number > oldest).map(|(_, smallest)| *smallest).min();
        let age = difference.saturating_sub(smallest.unwrap_or(difference));
        Duration::from_millis(age.unsigned_abs())
    }

    fn make_room(&mut self) {
        if self.senders.len() < MOST_SENDERS {
            return;
        }
        let silent = self.senders.iter().min_by_key(|(_, sender)| sender.last_seen).map(|(pod, _)| pod.clone());
        if let Some(silent) = silent {
            self.senders.remove(&silent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(text: &str) -> PodId {
        PodId::read(text)
    }

    fn millis(age: Duration) -> u128 {
        age.as_millis()
    }

    #[test]
    fn age_is_what_a_request_took_longer_than_the_quickest_of_its_sender() {
        let mut ages = Ages::default();
        // The sender's clock is an hour ahead.
        assert_eq!(millis(ages.age(&pod("a"), 3_600_000, 5)), 0, "nothing to compare with");
        assert_eq!(millis(ages.age(&pod("a"), 3_601_000, 1_005)), 0);
        assert_eq!(millis(ages.age(&pod("a"), 3_602_000, 4_005)), 2_000);
        assert_eq!(millis(ages.age(&pod("b"), 0, 4_005)), 0, "another sender has another clock");
    }

    #[test]
    fn a_pod_that_comes_back_under_its_name_with_another_clock_is_no_old_sender() {
        let mut ages = Ages::default();
        let [before, after] = [(); 2].map(|()| PodId::of_start("gateway-0"));
        assert_eq!(millis(ages.age(&before, 60_000, 0)), 0);
        assert_eq!(millis(ages.age(&after, 1_000, 1_000)), 0, "its new machine's clock is a minute behind the other's");
    }

    #[test]
    fn a_quicker_request_shows_that_those_before_it_had_been_held_up() {
        let mut ages = Ages::default();
        assert_eq!(millis(ages.age(&pod("a"), 0, 3_000)), 0);
        assert_eq!(millis(ages.age(&pod("a"), 3_000, 3_010)), 0);
        assert_eq!(millis(ages.age(&pod("a"), 3_100, 6_110)), 3_000);
    }

    #[test]
    fn a_clock_that_was_set_is_understood_after_a_minute() {
        let mut ages = Ages::default();
        assert_eq!(millis(ages.age(&pod("a"), 0, 0)), 0);
        // The sender's clock goes back by half a minute.
        assert_eq!(millis(ages.age(&pod("a"), -29_000, 1_000)), 30_000);
        assert_eq!(millis(ages.age(&pod("a"), 0, 30_000)), 30_000);
        assert_eq!(millis(ages.age(&pod("a"), 40_000, 70_000)), 0);
    }

    #[test]
    fn a_minute_of_silence_forgets_what_was_seen() {
        let mut ages = Ages::default();
        ages.age(&pod("a"), 0, 0);
        assert_eq!(millis(ages.age(&pod("a"), 0, 600_000)), 0);
    }

    #[test]
    fn a_hostile_clock_is_only_old_or_new() {
        let mut ages = Ages::default();
        assert_eq!(millis(ages.age(&pod("a"), i64::MAX, 0)), 0);
        ages.age(&pod("a"), i64::MIN, 1);
        ages.age(&pod("a"), i64::MAX, i64::MAX);
        ages.age(&pod("a"), i64::MIN, i64::MIN);
    }

    #[test]
    fn as_many_senders_as_there_are_names_take_bounded_memory() {
        let mut ages = Ages::default();
        for sender in 0..10 * MOST_SENDERS {
            ages.age(&pod(&sender.to_string()), 0, sender as i64);
        }
        assert_eq!(ages.senders.len(), MOST_SENDERS);
        assert!(ages.senders.contains_key(&pod(&(10 * MOST_SENDERS - 1).to_string())), "the newest are kept");
    }
}

//! Who may be worked for now, and who waits: a bounded number of slots, shared fairly.
//!
//! No network has more than half of the slots, and neither has the gateways' own work, so that one of them with endless
//! or endlessly slow requests leaves the others theirs. Waiting requests take turns by network. When all places to wait
//! are taken, a request of whoever has the most of them is refused. Pure: no clock, no task.

use std::collections::{HashMap, VecDeque};

/// Whom a request is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    /// A client of this network.
    Network(String),
    /// The gateways themselves.
    Internal,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer<T> {
    /// It has a slot: work on it, then call [`Slots::finish`].
    Run(T),
    /// It waits, and will come out of [`Slots::finish`].
    Waits,
    /// This one is refused, which may be another one that waited.
    Refused(T),
}

/// Slots and those who wait for them.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    capacity: usize,
    places: usize,
    running: usize,
    waiting: usize,
    /// Only parties that have something running or waiting.
    parties: HashMap<Party, Share<T>>,
    /// Parties with something waiting, the one whose turn it is first.
    turns: VecDeque<Party>,
}

#[derive(Debug)]
struct Share<T> {
    running: usize,
    waiting: VecDeque<T>,
}

impl<T> Slots<T> {
    /// `capacity` slots and `places` to wait.
    pub(crate) fn new(capacity: usize, places: usize) -> Self {
        Self { capacity, places, running: 0, waiting: 0, parties: HashMap::new(), turns: VecDeque::new() }
    }

    /// How many slots are taken.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// A request has come.
    pub(crate) fn offer(&mut self, party: &Party, request: T) -> Offer<T> {
        let share_limit = self.share_limit();
        let has_slot = self.running < self.capacity;
        let share = self.parties.entry(party.clone()).or_insert_with(|| Share { running: 0, waiting: VecDeque::new() });
        if has_slot && share.waiting.is_empty() && share.running < share_limit {
            share.running += 1;
            self.running += 1;
            return Offer::Run(request);
        }
        share.waiting.push_back(request);
        if share.waiting.len() == 1 {
            self.turns.push_back(party.clone());
        }
        self.waiting += 1;
        if self.waiting <= self.places {
            return Offer::Waits;
        }
        match self.take_from_the_longest(party) {
            Some(refused) => Offer::Refused(refused),
            None => Offer::Waits,
        }
    }

    /// Work for this party is done: what is to be worked on instead, if anything.
    pub(crate) fn finish(&mut self, party: &Party) -> Option<(Party, T)> {
        if let Some(share) = self.parties.get_mut(party) {
            share.running -= 1;
            self.running -= 1;
            self.forget_if_idle(party);
        }
        self.next()
    }

    fn next(&mut self) -> Option<(Party, T)> {
        if self.running >= self.capacity {
            return None;
        }
        let share_limit = self.share_limit();
        let turn = self
            .turns
            .iter()
            .position(|party| self.parties.get(party).is_some_and(|share| share.running < share_limit))?;
        let party = self.turns.remove(turn)?;
        let share = self.parties.get_mut(&party)?;
        let request = share.waiting.pop_front()?;
        share.running += 1;
        self.running += 1;
        self.waiting -= 1;
        if !share.waiting.is_empty() {
            self.turns.push_back(party.clone());
        }
        Some((party, request))
    }

    /// The newest waiting request of whoever has the most; of several, of the one that asks now.
    fn take_from_the_longest(&mut self, asking: &Party) -> Option<T> {
        let longest = self
            .turns
            .iter()
            .max_by_key(|party| (self.parties.get(*party).map_or(0, |share| share.waiting.len()), *party == asking))?
            .clone();
        let share = self.parties.get_mut(&longest)?;
        let refused = share.waiting.pop_back();
        self.waiting -= 1;
        if share.waiting.is_empty() {
            self.turns.retain(|party| *party != longest);
            self.forget_if_idle(&longest);
        }
        refused
    }

    fn forget_if_idle(&mut self, party: &Party) {
        if self.parties.get(party).is_some_and(|share| share.running == 0 && share.waiting.is_empty()) {
            self.parties.remove(party);
        }
    }

    /// Half of the slots, but at least one.
    fn share_limit(&self) -> usize {
        (self.capacity / 2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str) -> Party {
        Party::Network(name.to_owned())
    }

    /// Offers requests of a party, named by number; returns which were refused.
    fn offer(slots: &mut Slots<(Party, u32)>, party: &Party, requests: std::ops::Range<u32>) -> Vec<(Party, u32)> {
        requests
            .filter_map(|number| match slots.offer(party, (party.clone(), number)) {
                Offer::Refused(refused) => Some(refused),
                Offer::Run(_) | Offer::Waits => None,
            })
            .collect()
    }

    #[test]
    fn one_network_and_the_internal_work_each_have_at_most_half() {
        for hog in [network("hog"), Party::Internal] {
            let mut slots = Slots::new(8, 100);
            offer(&mut slots, &hog, 0..50);
            assert_eq!((slots.running(), slots.waiting()), (4, 46), "{hog:?}");
            assert_eq!(slots.offer(&network("other"), (network("other"), 0)), Offer::Run((network("other"), 0)));
            // The other's slot does not become the hog's.
            assert_eq!(slots.finish(&network("other")), None);
            assert_eq!(slots.running(), 4);
        }
    }

    #[test]
    fn a_single_slot_serves_everybody() {
        let mut slots = Slots::new(1, 10);
        assert_eq!(slots.offer(&network("a"), 1), Offer::Run(1));
        assert_eq!(slots.offer(&network("a"), 2), Offer::Waits);
        assert_eq!(slots.offer(&Party::Internal, 3), Offer::Waits);
        assert_eq!(slots.finish(&network("a")), Some((network("a"), 2)));
        assert_eq!(slots.finish(&network("a")), Some((Party::Internal, 3)));
        assert_eq!(slots.finish(&Party::Internal), None);
    }

    #[test]
    fn those_who_wait_take_turns_and_each_keeps_its_order() {
        let mut slots = Slots::new(2, 100);
        for (party, number) in [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 0), ("b", 2)] {
            slots.offer(&network(party), number);
        }
        let mut order = Vec::new();
        let mut running = VecDeque::from([network("a"), network("b")]);
        while let Some(done) = running.pop_front() {
            if let Some((party, number)) = slots.finish(&done) {
                order.push((party.clone(), number));
                running.push_back(party);
            }
        }
        let expected = [("a", 1), ("b", 1), ("c", 0), ("a", 2), ("b", 2), ("a", 3)];
        assert_eq!(order, expected.map(|(party, number)| (network(party), number)));
    }

    #[test]
    fn a_party_at_its_limit_does_not_hold_up_those_behind_it() {
        let mut slots = Slots::new(4, 100);
        offer(&mut slots, &network("hog"), 0..10);
        offer(&mut slots, &network("b"), 0..2);
        offer(&mut slots, &network("c"), 0..1);
        let (party, _) = slots.finish(&network("b")).expect("c waits");
        assert_eq!(party, network("c"));
    }

    #[test]
    fn when_all_places_are_taken_whoever_has_the_most_is_refused() {
        let mut slots = Slots::new(2, 6);
        let (a, b, c) = (network("a"), network("b"), network("c"));
        assert_eq!(offer(&mut slots, &a, 0..9), [(a.clone(), 7), (a.clone(), 8)], "one runs, six wait");
        assert_eq!(offer(&mut slots, &b, 0..4), [(a.clone(), 6), (a.clone(), 5), (a.clone(), 4)], "b's first runs");
        assert_eq!(offer(&mut slots, &b, 4..5), [(b.clone(), 4)], "three each: the one that asks");
        assert_eq!(offer(&mut slots, &c, 0..1).len(), 1);
        assert_eq!(slots.waiting(), 6);
    }

    #[test]
    fn nothing_is_remembered_of_those_who_are_gone() {
        let mut slots = Slots::new(2, 2);
        for number in 0..1000 {
            let party = network(&number.to_string());
            assert_eq!(slots.offer(&party, number), Offer::Run(number));
            assert_eq!(slots.finish(&party), None);
        }
        assert_eq!((slots.parties.len(), slots.turns.len(), slots.running()), (0, 0, 0));
    }

    #[test]
    fn whatever_comes_in_whatever_order_every_request_is_run_or_refused_once() {
        use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let (capacity, places) = (random.random_range(1..9), random.random_range(0..20));
            let mut slots = Slots::new(capacity, places);
            let (mut running, mut seen) = (Vec::<Party>::new(), Vec::new());
            for number in 0..300 {
                let party = match random.random_range(0..5) {
                    0 => Party::Internal,
                    name => network(&name.to_string()),
                };
                match slots.offer(&party, number) {
                    Offer::Run(number) => {
                        running.push(party);
                        seen.push(number);
                    }
                    Offer::Refused(number) => seen.push(number),
                    Offer::Waits => {}
                }
                assert!(running.len() <= capacity && slots.waiting() <= places);
                while !running.is_empty() && random.random_bool(0.45) {
                    let done = running.swap_remove(random.random_range(0..running.len()));
                    if let Some((party, number)) = slots.finish(&done) {
                        running.push(party);
                        seen.push(number);
                    }
                }
                for party in &running {
                    let share = running.iter().filter(|other| *other == party).count();
                    assert!(share <= (capacity / 2).max(1), "seed {seed}: {party:?} has {share} of {capacity}");
                }
            }
            while let Some(done) = running.pop() {
                if let Some((party, number)) = slots.finish(&done) {
                    running.push(party);
                    seen.push(number);
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..300).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

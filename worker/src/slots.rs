//! Who may be worked for now, and who waits: a bounded number of slots, shared fairly.
//!
//! No network has more than half of the slots, and neither has the gateways' own work, so that one of them with endless
//! or endlessly slow requests leaves the others theirs. Waiting requests take turns by network. A place to wait is memory:
//! a large request takes several. When there are not enough, requests of whoever has the most of them are refused. Pure: no
//! clock, no task.

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
    /// These are refused: this one, or others that waited.
    Refused(Vec<T>),
}

/// Slots and those who wait for them.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    capacity: usize,
    places: usize,
    running: usize,
    waiting: usize,
    /// Places that those who wait take.
    taken: usize,
    /// Only parties that have something running or waiting.
    parties: HashMap<Party, Share<T>>,
    /// Parties with something waiting, the one whose turn it is first.
    turns: VecDeque<Party>,
}

#[derive(Debug)]
struct Share<T> {
    running: usize,
    /// Requests and the places that each takes.
    waiting: VecDeque<(T, usize)>,
    taken: usize,
}

impl<T> Slots<T> {
    /// `capacity` slots and `places` to wait.
    pub(crate) fn new(capacity: usize, places: usize) -> Self {
        Self { capacity, places, running: 0, waiting: 0, taken: 0, parties: HashMap::new(), turns: VecDeque::new() }
    }

    /// How many slots are taken.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// A request has come, which takes so many places when it has to wait.
    pub(crate) fn offer(&mut self, party: &Party, request: T, size: usize) -> Offer<T> {
        let share_limit = self.share_limit();
        let has_slot = self.running < self.capacity;
        let share = self.parties.entry(party.clone()).or_default();
        if has_slot && share.waiting.is_empty() && share.running < share_limit {
            share.running += 1;
            self.running += 1;
            return Offer::Run(request);
        }
        // One that would not fit if nobody else waited may still have all places.
        let size = size.min(self.places).max(1);
        share.waiting.push_back((request, size));
        share.taken += size;
        if share.waiting.len() == 1 {
            self.turns.push_back(party.clone());
        }
        self.waiting += 1;
        self.taken += size;
        let mut refused = Vec::new();
        while self.taken > self.places
            && let Some(request) = self.take_from_the_largest(party)
        {
            refused.push(request);
        }
        if refused.is_empty() { Offer::Waits } else { Offer::Refused(refused) }
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
        let (request, size) = share.waiting.pop_front()?;
        share.running += 1;
        share.taken -= size;
        self.running += 1;
        self.waiting -= 1;
        self.taken -= size;
        if !share.waiting.is_empty() {
            self.turns.push_back(party.clone());
        }
        Some((party, request))
    }

    /// The newest waiting request of whoever has the most places; of several, of the one that asks now.
    fn take_from_the_largest(&mut self, asking: &Party) -> Option<T> {
        let largest = self
            .turns
            .iter()
            .max_by_key(|party| (self.parties.get(*party).map_or(0, |share| share.taken), *party == asking))?
            .clone();
        let share = self.parties.get_mut(&largest)?;
        let (refused, size) = share.waiting.pop_back()?;
        share.taken -= size;
        self.waiting -= 1;
        self.taken -= size;
        if share.waiting.is_empty() {
            self.turns.retain(|party| *party != largest);
            self.forget_if_idle(&largest);
        }
        Some(refused)
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

impl<T> Default for Share<T> {
    fn default() -> Self {
        Self { running: 0, waiting: VecDeque::new(), taken: 0 }
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
            .flat_map(|number| match slots.offer(party, (party.clone(), number), 1) {
                Offer::Refused(refused) => refused,
                Offer::Run(_) | Offer::Waits => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn one_network_and_the_internal_work_each_have_at_most_half() {
        for hog in [network("hog"), Party::Internal] {
            let mut slots = Slots::new(8, 100);
            offer(&mut slots, &hog, 0..50);
            assert_eq!((slots.running(), slots.waiting()), (4, 46), "{hog:?}");
            assert_eq!(slots.offer(&network("other"), (network("other"), 0), 1), Offer::Run((network("other"), 0)));
            // The other's slot does not become the hog's.
            assert_eq!(slots.finish(&network("other")), None);
            assert_eq!(slots.running(), 4);
        }
    }

    #[test]
    fn a_single_slot_serves_everybody() {
        let mut slots = Slots::new(1, 10);
        assert_eq!(slots.offer(&network("a"), 1, 1), Offer::Run(1));
        assert_eq!(slots.offer(&network("a"), 2, 1), Offer::Waits);
        assert_eq!(slots.offer(&Party::Internal, 3, 1), Offer::Waits);
        assert_eq!(slots.finish(&network("a")), Some((network("a"), 2)));
        assert_eq!(slots.finish(&network("a")), Some((Party::Internal, 3)));
        assert_eq!(slots.finish(&Party::Internal), None);
    }

    #[test]
    fn those_who_wait_take_turns_and_each_keeps_its_order() {
        let mut slots = Slots::new(2, 100);
        for (party, number) in [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 0), ("b", 2)] {
            slots.offer(&network(party), number, 1);
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
    fn large_requests_take_more_places_and_make_room_before_small_ones_do() {
        let mut slots = Slots::new(2, 8);
        let (large, small) = (network("large"), network("small"));
        offer(&mut slots, &small, 0..3);
        assert_eq!(slots.offer(&large, (large.clone(), 0), 3), Offer::Run((large.clone(), 0)));
        assert_eq!(slots.offer(&large, (large.clone(), 1), 3), Offer::Waits);
        assert_eq!(slots.offer(&large, (large.clone(), 2), 3), Offer::Waits);
        assert_eq!((slots.waiting(), slots.taken), (4, 8));
        assert_eq!(offer(&mut slots, &small, 3..4), [(large.clone(), 2)]);
        assert_eq!(offer(&mut slots, &small, 4..6), [], "what the large one gave up");
        assert_eq!(slots.offer(&large, (large.clone(), 3), 100), Offer::Refused(vec![(large.clone(), 3)]));
        assert_eq!((slots.waiting(), slots.taken), (6, 8));
    }

    #[test]
    fn nothing_is_remembered_of_those_who_are_gone() {
        let mut slots = Slots::new(2, 2);
        for number in 0..1000 {
            let party = network(&number.to_string());
            assert_eq!(slots.offer(&party, number, 1), Offer::Run(number));
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
                match slots.offer(&party, number, random.random_range(0..4)) {
                    Offer::Run(number) => {
                        running.push(party);
                        seen.push(number);
                    }
                    Offer::Refused(refused) => seen.extend(refused),
                    Offer::Waits => {}
                }
                assert!(running.len() <= capacity && slots.waiting() <= places && slots.taken <= places);
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

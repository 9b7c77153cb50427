//! Half-open intervals of time and sets of them: rule T1.

use shared::api::{Timestamp, meeting::availability};

/// A half-open interval that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    start: Timestamp,
    end: Timestamp,
}

impl Interval {
    /// From its first instant to the first after it; `None` when there is nothing between them.
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Its first instant.
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant after it.
    pub fn end(self) -> Timestamp {
        self.end
    }

    /// What both have in common. Nothing when they only touch.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// What of it is before an instant.
    pub fn before(self, instant: Timestamp) -> Option<Self> {
        Self::new(self.start, self.end.min(instant))
    }

    /// What of it is at or after an instant.
    pub fn from(self, instant: Timestamp) -> Option<Self> {
        Self::new(self.start.max(instant), self.end)
    }
}

impl From<Interval> for availability::Interval {
    fn from(Interval { start, end }: Interval) -> Self {
        Self { start_date: start, end_date: end }
    }
}

/// A set of instants: intervals in order that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntervalSet(Vec<Interval>);

impl IntervalSet {
    /// Its intervals, in order.
    pub fn intervals(&self) -> &[Interval] {
        &self.0
    }

    /// Whether it holds no instant.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in either.
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() { other } else { self.0.into_iter().chain(other.0).collect() }
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            common.extend(a.intersection(**b));
            // What ends first meets nothing more.
            if a.end <= b.end {
                left.next()
            } else {
                right.next()
            };
        }
        Self(common)
    }

    /// What is in this and not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut others = other.0.iter().peekable();
        for interval in &self.0 {
            let mut left = Some(*interval);
            while let Some(taken) = others.peek() {
                let Some(now) = left else { break };
                rest.extend(now.before(taken.start));
                left = now.from(taken.end);
                // What reaches beyond this interval may take from the next one too.
                if taken.end > interval.end {
                    break;
                }
                others.next();
            }
            rest.extend(left);
        }
        Self(rest)
    }

    /// What of it is inside a window.
    pub fn within(&self, window: Interval) -> Self {
        self.0.iter().filter_map(|interval| interval.intersection(window)).collect()
    }
}

/// In any order; those that overlap or touch become one.
impl FromIterator<Interval> for IntervalSet {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut intervals: Vec<Interval> = intervals.into_iter().collect();
        if !intervals.is_sorted() {
            intervals.sort_unstable();
        }
        intervals.dedup_by(|next, merged| {
            let is_apart = merged.end < next.start;
            if !is_apart {
                merged.end = merged.end.max(next.end);
            }
            !is_apart
        });
        Self(intervals)
    }
}

impl From<Interval> for IntervalSet {
    fn from(interval: Interval) -> Self {
        Self(vec![interval])
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).expect("in range")
    }

    fn set(intervals: &[(i64, i64)]) -> IntervalSet {
        intervals.iter().filter_map(|&(start, end)| Interval::new(at(start), at(end))).collect()
    }

    #[test]
    fn touching_is_not_overlapping_and_is_merged() {
        let [first, second] = [(1, 3), (3, 5)].map(|(start, end)| Interval::new(at(start), at(end)).expect("some"));
        assert_eq!(first.intersection(second), None);
        assert_eq!(set(&[(3, 5), (1, 3)]), set(&[(1, 5)]));
        assert_eq!(set(&[(1, 9), (2, 3), (9, 10), (12, 13)]).intervals().len(), 2);
    }

    #[test]
    fn an_empty_interval_is_none() {
        assert_eq!(Interval::new(at(3), at(3)), None);
        assert_eq!(Interval::new(at(4), at(3)), None);
        assert!(set(&[(3, 3)]).is_empty());
    }

    #[test]
    fn one_hole_can_be_cut_into_several_intervals() {
        assert_eq!(set(&[(0, 10), (20, 30), (40, 50)]).difference(&set(&[(5, 45)])), set(&[(0, 5), (45, 50)]));
        assert_eq!(set(&[(0, 10)]).difference(&set(&[(0, 1), (3, 4), (9, 20)])), set(&[(1, 3), (4, 9)]));
        assert_eq!(set(&[(0, 10)]).difference(&set(&[(0, 10)])), set(&[]));
    }

    fn sets() -> impl Strategy<Value = IntervalSet> {
        vec((0_i64..64, 0_i64..64), 0..12).prop_map(|intervals| set(&intervals))
    }

    /// The set as what it holds, instant by instant.
    fn bits(set: &IntervalSet) -> Vec<bool> {
        let holds =
            |instant: i64| set.0.iter().any(|interval| interval.start <= at(instant) && at(instant) < interval.end);
        (0..64).map(holds).collect()
    }

    fn combined(left: &IntervalSet, right: &IntervalSet, how: impl Fn(bool, bool) -> bool) -> Vec<bool> {
        bits(left).into_iter().zip(bits(right)).map(|(left, right)| how(left, right)).collect()
    }

    fn is_well_formed(set: &IntervalSet) -> bool {
        set.0.iter().all(|interval| interval.start < interval.end)
            && set.0.windows(2).all(|pair| pair[0].end < pair[1].start)
    }

    proptest! {
        #[test]
        fn the_operations_are_those_of_sets(left in sets(), right in sets()) {
            let (union, intersection) = (left.clone().union(right.clone()), left.intersection(&right));
            let difference = left.difference(&right);
            prop_assert_eq!(bits(&union), combined(&left, &right, |left, right| left || right));
            prop_assert_eq!(bits(&intersection), combined(&left, &right, |left, right| left && right));
            prop_assert_eq!(bits(&difference), combined(&left, &right, |left, right| left && !right));
            for set in [&left, &union, &intersection, &difference] {
                prop_assert!(is_well_formed(set), "{set:?}");
            }
        }

        #[test]
        fn merging_is_idempotent_and_in_any_order(intervals in vec((0_i64..64, 0_i64..64), 0..12)) {
            let merged = set(&intervals);
            prop_assert_eq!(merged.intervals().iter().copied().collect::<IntervalSet>(), merged.clone());
            let reversed: Vec<(i64, i64)> = intervals.iter().rev().copied().collect();
            prop_assert_eq!(set(&reversed), merged);
        }

        #[test]
        fn nothing_leaves_the_window(intervals in sets(), start in 0_i64..64, length in 1_i64..64) {
            let window = Interval::new(at(start), at(start + length)).expect("not empty");
            let within = intervals.within(window);
            prop_assert!(within.0.iter().all(|interval| window.start <= interval.start && interval.end <= window.end));
            prop_assert_eq!(within, intervals.intersection(&window.into()));
        }
    }
}

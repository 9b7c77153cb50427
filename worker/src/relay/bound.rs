//! From where on a partition's outbox is read.
//!
//! Rows that were moved are dead, but as long as somebody's old snapshot could see them they stay in the index. Without a
//! lower bound each batch would read all of them again before it finds its own. "After the last row that was moved" is no
//! lower bound: a transaction may have drawn a smaller number and commit later.
//!
//! **What is sought** is a number M that is *settled*: every row with `seq <= M` is visible in each snapshot from now on, or
//! never will be in any. If, moreover, a statement whose snapshot was taken after that has moved or has not seen any row of
//! the partition with `seq <= M`, then no statement after it will see one, and the bound may become M + 1.
//!
//! **Why ids settle a number.** The relay notes M, the last number that was drawn. *After that* it takes a transaction id X
//! of its own. Let r be any row with a number s <= M, of transaction T. Numbers are drawn one by one and never cached, so s
//! was drawn no later than M, hence before M was noted. T had its id before it drew s: the sequence is the default of a
//! column whose expression asks for the id first. So T's id was given out before X, and as ids are given out in order, it
//! is lower. Once a snapshot's xmin is at least X, every transaction with a lower id is over in it, T too: r is visible in
//! it, or T has failed. The snapshot's own xmax would not do in place of X: a transaction that has an id at or beyond xmax
//! may have drawn its number long ago.
//!
//! **Why locks settle it too.** A transaction anywhere in the server that has an id and does not end (an operator's, of
//! another database) holds xmin back, though it never touches the outbox. So now and then the relay also looks at who holds
//! the lock that inserting into the outbox takes. T took it before it drew s and keeps it until it is over. When all those
//! have gone who held it at some moment after M was noted, T is over.

use std::collections::HashSet;

/// Those who insert into the outbox are done within a few of the relay's statements.
const PATIENCE: u32 = 5;

/// What a statement sees around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Transactions with a lower id were over when the statement's snapshot was taken.
    pub(super) xmin: i64,
    /// The id that the statement took for itself, if it did.
    pub(super) xid: Option<i64>,
    /// The last number that was drawn, as of some moment during the statement.
    pub(super) last: i64,
}

/// Up to which number everything is settled.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The last number that was drawn, as of some earlier statement.
    noted: i64,
    /// A number, and an id that was taken after it had been noted.
    by_id: Option<(i64, i64)>,
    /// How many statements have not seen that id settle anything.
    waited: u32,
    /// A number, and those who held the lock after it had been noted and have not been seen without it since.
    by_lock: Option<(i64, HashSet<String>)>,
    through: i64,
}

impl Settled {
    /// Whether the next statement should take an id.
    pub(super) fn wants_id(&self) -> bool {
        self.by_id.is_none() && self.noted > self.through
    }

    /// Whether somebody's id holds things up, so that it is time to look who holds the lock.
    pub(super) fn is_held_up(&self) -> bool {
        self.by_id.is_some() && self.waited > PATIENCE
    }

    /// Takes in what a statement has seen, and returns the number up to which everything was settled in its snapshot.
    ///
    /// Statements must be shown one after the other, each of them begun after the one before it had ended.
    pub(super) fn observe(&mut self, sight: Sight) -> i64 {
        self.waited = self.waited.saturating_add(1);
        self.settle_below(sight.xmin);
        if let Some(id) = sight.xid
            && self.wants_id()
        {
            self.by_id = Some((self.noted, id));
            self.waited = 0;
            self.settle_below(sight.xmin);
        }
        self.noted = self.noted.max(sight.last);
        self.through
    }

    fn settle_below(&mut self, xmin: i64) {
        if let Some((number, id)) = self.by_id
            && xmin >= id
        {
            self.through = self.through.max(number);
            self.by_id = None;
        }
    }

    /// Takes in who holds the lock of those who insert into the outbox. For the snapshots of later statements.
    pub(super) fn observe_writers(&mut self, writers: &HashSet<String>) {
        if let Some((number, awaited)) = &mut self.by_lock {
            awaited.retain(|writer| writers.contains(writer));
            if awaited.is_empty() {
                self.through = self.through.max(*number);
                self.by_lock = None;
            }
        }
        if self.by_lock.is_none() && self.noted > self.through {
            self.by_lock = Some((self.noted, writers.clone()));
        }
    }
}

/// A partition's lower bound: no row with a lower number will ever be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bound(i64);

impl Bound {
    /// The lowest number that a row may have.
    pub(super) fn number(self) -> i64 {
        self.0
    }

    /// After a statement of which [`Settled::observe`] has said `settled`, and that has moved every row that it saw up to
    /// `cleared` (or has seen none).
    pub(super) fn rise(&mut self, settled: i64, cleared: i64) {
        self.0 = self.0.max(settled.min(cleared).saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(xmin: i64, xid: i64, last: i64) -> Sight {
        Sight { xmin, xid: Some(xid), last }
    }

    #[test]
    fn a_number_is_settled_only_by_an_id_that_was_taken_after_it_was_noted() {
        let mut settled = Settled::default();
        assert_eq!(settled.observe(sight(90, 100, 7)), 0, "7 is noted; 100 may have been taken before");
        assert_eq!(settled.observe(sight(101, 102, 9)), 0, "xmin has passed 100, which says nothing of 7");
        assert_eq!(settled.observe(sight(101, 103, 9)), 0, "101 may have drawn 7");
        assert_eq!(settled.observe(sight(102, 104, 9)), 7, "102 was taken after 7 was noted");
        assert_eq!(settled.observe(sight(104, 105, 9)), 9, "9 was noted before 104 was taken");
        assert!(!settled.wants_id(), "nothing was drawn since");
    }

    #[test]
    fn where_nobody_writes_a_number_is_settled_at_once() {
        let mut settled = Settled::default();
        settled.observe(sight(100, 100, 7));
        assert_eq!(settled.observe(sight(101, 101, 7)), 7, "every id below 101 was over, and 101 came after 7");
    }

    #[test]
    fn without_an_id_nothing_is_settled() {
        let mut settled = Settled::default();
        for xmin in 100..110 {
            assert_eq!(settled.observe(Sight { xmin, xid: None, last: 7 }), 0);
        }
        assert!(settled.wants_id());
    }

    #[test]
    fn a_number_is_settled_when_those_have_gone_who_could_have_drawn_it() {
        let writers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let stuck = |last| Sight { xmin: 50, xid: Some(100), last };
        let mut settled = Settled::default();
        settled.observe(stuck(7));
        settled.observe(stuck(7));
        assert!(!settled.is_held_up(), "ids are enough nearly always");
        for _ in 0..10 {
            settled.observe(stuck(7));
        }
        assert!(settled.is_held_up());
        settled.observe_writers(&writers(&["a", "b"]));
        settled.observe_writers(&writers(&["b", "c"]));
        assert_eq!(settled.observe(stuck(9)), 0, "b may have drawn 7");
        settled.observe_writers(&writers(&["c"]));
        assert_eq!(settled.observe(stuck(9)), 7, "c came after 7 was noted");
        settled.observe_writers(&writers(&["d"]));
        assert_eq!(settled.observe(stuck(9)), 9);
    }

    #[test]
    fn a_bound_stays_below_what_was_left_and_what_is_not_settled_and_never_falls() {
        let mut bound = Bound::default();
        bound.rise(10, i64::MAX);
        assert_eq!(bound.number(), 11);
        bound.rise(20, 15);
        assert_eq!(bound.number(), 16);
        bound.rise(12, 30);
        assert_eq!(bound.number(), 16);
    }
}

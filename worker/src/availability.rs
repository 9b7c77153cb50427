//! When people are available: pure code, without database and clock, that reads like the rules.
//!
//! | module | rules | holds |
//! | --- | --- | --- |
//! | [`interval`] | T1 | sets of instants |
//! | [`calendar`] | T2, T3, T4 | civil days, weeks, months; where a clock time falls |
//! | [`declared`] | A3, A4, A5 | what a request sets |
//! | [`schedule`] | A1, A2, A4, A5, A6 | what a user has set, as the time that it makes |
//! | [`slots`] | A7, A8 | the time that several users have in common |
//!
//! Zones come with their transitions from one source: the data that jiff bundles.

pub mod calendar;
pub mod declared;
pub mod interval;
pub mod schedule;
pub mod slots;

#[cfg(test)]
mod oracle;

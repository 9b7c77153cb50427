//! How programs read clock times that are skipped or come twice.

use jiff::{
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use shared::api::Timestamp;
use worker::availability::calendar::instant_at;

/// With which offset a program reads a clock time that is skipped or comes twice: that of before the change of the clocks, or
/// that of after it.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub skipped: Side,
    pub repeated: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// As RFC 5545, 3.3.5.
pub const T4: Habits = Habits { skipped: Side::Before, repeated: Side::Before };

/// The other way.
pub const AFTER: Habits = Habits { skipped: Side::After, repeated: Side::After };

impl Habits {
    pub fn read(self, wall: DateTime, zone: &TimeZone) -> Timestamp {
        let read = match zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Gap { after, .. } if self.skipped == Side::After => after,
            AmbiguousOffset::Fold { after, .. } if self.repeated == Side::After => after,
            _ => return instant_at(wall, zone),
        };
        let instant = read.to_timestamp(wall).expect("an instant");
        Timestamp::from_micros(instant.as_microsecond()).expect("an instant")
    }
}

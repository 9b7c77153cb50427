//! Instants on the wire: RFC 3339, in RFC 9557's extended form also with the name of a zone.
//!
//! [`Timestamp`] is an instant and forgets how it was written. [`LocalTimestamp`] remembers the written offset and zone,
//! which say what the sender's calendar shows (rule T2).

mod text;

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// An instant to the microsecond, from 0001-01-01 to 9999-12-31 in UTC, or unset.
///
/// Unset is written `0001-01-01T00:00:00Z`, and is before every other one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Since 1970-01-01T00:00:00Z, leap seconds not counted.
    micros: i64,
}

impl Timestamp {
    /// No instant at all.
    pub const UNSET: Self = Self { micros: -62_135_596_800 * MICROS_PER_SECOND };

    /// The last microsecond of the year 9999.
    pub const MAX: Self = Self { micros: 253_402_300_800 * MICROS_PER_SECOND - 1 };

    /// The instant so many microseconds after 1970-01-01T00:00:00Z; `None` outside the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (Self::UNSET.micros..=Self::MAX.micros).contains(&micros).then_some(Self { micros })
    }

    /// Microseconds since 1970-01-01T00:00:00Z. Meaningless when unset.
    pub fn micros(self) -> i64 {
        self.micros
    }

    /// Whether it is an instant.
    pub fn is_set(self) -> bool {
        self != Self::UNSET
    }

    /// The instant, as the database takes it; `None` when unset.
    pub fn instant(self) -> Option<DateTime<Utc>> {
        if self.is_set() { DateTime::from_timestamp_micros(self.micros) } else { None }
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::UNSET
    }
}

impl From<DateTime<Utc>> for Timestamp {
    /// Cuts off what is below the microsecond; what is outside the years 1 to 9999 becomes the nearest inside.
    fn from(instant: DateTime<Utc>) -> Self {
        Self { micros: instant.timestamp_micros().clamp(Self::UNSET.micros, Self::MAX.micros) }
    }
}

impl From<Option<DateTime<Utc>>> for Timestamp {
    fn from(instant: Option<DateTime<Utc>>) -> Self {
        instant.map_or(Self::UNSET, Self::from)
    }
}

/// A timestamp with the offset and the zone that its sender wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalTimestamp {
    /// The instant.
    pub instant: Timestamp,
    /// The written offset, in seconds east of UTC; `None` for `Z`, which says nothing of the place. A written `-00:00`
    /// means the same as `Z`.
    pub offset_seconds: Option<i32>,
    /// The zone in brackets. It has the written offset at the instant, if one is written.
    pub zone: Option<TimeZone>,
}

impl LocalTimestamp {
    /// Whether the written offset is that of the zone at the instant. `Z` is the offset of no place.
    pub fn has_offset_of(&self, zone: &TimeZone) -> bool {
        self.offset_seconds.is_some_and(|offset| text::has_offset(zone, self.instant, offset).unwrap_or(false))
    }
}

/// The zone of that IANA name, letters alike, from the one source of zone data that the project uses: the data compiled
/// in, whatever the machine has installed.
pub fn zone_named(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())
}

/// The zone that is written so: as [`zone_named`], or an offset such as `+05:45`, which is a zone without transitions.
pub fn zone_written(text: &str) -> Option<TimeZone> {
    text::zone_of(text).ok()
}

/// As [`zone_written`] reads it; `None` for a zone that has neither a name nor one offset of whole minutes.
pub fn write_zone(zone: &TimeZone) -> Option<String> {
    match zone.iana_name() {
        Some(name) => Some(name.to_owned()),
        None => text::write_offset(zone.to_fixed_offset().ok()?.seconds()),
    }
}

/// Why a text is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not of the form.
    #[error("expected a timestamp such as 2030-05-04T09:30:00+02:00")]
    Malformed,
    /// Of the form, but no day has such a date or such a time.
    #[error("there is no such date or time")]
    NoSuchTime,
    /// Before the year 1 or after the year 9999, in UTC.
    #[error("expected a timestamp from the year 1 to the year 9999")]
    OutOfRange,
    /// The name in brackets is not known.
    #[error("there is no such time zone")]
    UnknownZone,
    /// The zone has another offset at that instant.
    #[error("the time zone contradicts the offset")]
    ZoneContradictsOffset,
    /// A tag in brackets that must not be ignored, and that we do not know.
    #[error("unknown critical tag")]
    UnknownCriticalTag,
}

impl FromStr for LocalTimestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text::parse(text)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text::parse(text).map(|local| local.instant)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text::Written::of(self.micros).as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text::Written::of(self.micros).as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LocalTimestamp::deserialize(deserializer).map(|local| local.instant)
    }
}

impl<'de> Deserialize<'de> for LocalTimestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = LocalTimestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<LocalTimestamp, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
crate::api::shapes::leaf!(Timestamp, LocalTimestamp => {"type": "string", "format": "date-time"});

#[cfg(test)]
mod tests;

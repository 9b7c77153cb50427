//! The types of availability and time slots (rules A1 to A8).

use serde::{Deserialize, Serialize};

use crate::api::{LocalTimestamp, Timestamp};

crate::words! {
    /// Whether one is there.
    AvailabilityStatus {
        /// In the ranges that are given, or all day.
        Available = "Available",
        /// Not in the ranges that are given, or not at all.
        NotAvailable = "NotAvailable",
        /// As if nothing had been set; in requests only.
        Default = "Default",
    }
}

/// Request of [`GetTimeSlotsForMeeting`](super::GetTimeSlotsForMeeting) and
/// [`GetMeetingTimeSlotsForMonth`](super::GetMeetingTimeSlotsForMonth) (rule A8).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct TimeSlotsRequest {
    /// At most 100.
    pub users: Vec<RequestedUser>,
    /// Some instant of the day or month, and its zone.
    pub local_date: LocalTimestamp,
}

/// A user, by identifier or else by verified e-mail.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct RequestedUser {
    /// The identifier.
    pub roomful: String,
    /// The e-mail address.
    pub email: String,
}

/// Answer of the same: disjoint, in order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AvailableTimeSlots {
    /// When all of them are free.
    pub available_time_slots: Vec<Interval>,
}

/// A half-open interval (rule T1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Interval {
    /// Its first instant.
    pub start_date: Timestamp,
    /// The first instant after it.
    pub end_date: Timestamp,
}

/// Request of [`SetUserAvailability`](super::SetUserAvailability).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct SetUserAvailabilityRequest {
    /// What to set.
    pub availability: NewAvailability,
    /// Some instant of the day, and the zone.
    pub local_date: LocalTimestamp,
}

/// When the caller will be available.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct NewAvailability {
    /// An [`AvailabilityStatus`].
    pub status: String,
    /// At most 48.
    pub dates: Vec<Interval>,
    /// A bit for each weekday, Sunday the lowest; 0: the day of `localDate` alone.
    pub repetition: u8,
}

/// Request of whatever concerns the day, week or month of a date.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct LocalDateRequest {
    /// Some instant of it, and its zone.
    pub local_date: LocalTimestamp,
}

/// Answer of [`GetUserAvailabilityPattern`](super::GetUserAvailabilityPattern).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AvailabilityPatternData {
    /// What the days of every week have.
    pub pattern: AvailabilityPattern,
}

/// What the days of every week have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AvailabilityPattern {
    /// Seven, Sunday first.
    pub availabilities: Vec<Availability>,
}

/// Answer of what asks for a day, week or month.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AvailabilityData {
    /// When the caller is available.
    pub availability: Availability,
}

/// When somebody is available.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Availability {
    /// Never [`AvailabilityStatus::Default`].
    pub status: AvailabilityStatus,
    /// When, disjoint and in order.
    pub dates: Vec<Interval>,
}

//! Meetings: invitations to be somewhere at some time, and the availability that they are planned by.
//!
//! Rules M1 to M11 (meetings), A1 to A8 (availability), T1 to T4 (time).

pub mod availability;
pub mod deprecated;

use serde::{Deserialize, Serialize};

use super::{LocalTimestamp, NoData, Rgba, Timestamp};
use availability::{
    AvailabilityData, AvailabilityPatternData, AvailableTimeSlots, LocalDateRequest, SetUserAvailabilityRequest,
    TimeSlotsRequest,
};
use deprecated::{
    CheckPropRequest, CreateRequest, HasMeetingsOrSocialSessions, RoomMeetingData, RoomMeetings, UpdateRequest,
};

crate::endpoints! { "meeting":
    /// Creates a meeting and invites to it.
    Change CreateMeeting = "createMeeting" (CreateMeetingRequest) -> MeetingData;
    /// Changes a meeting that the caller organizes.
    Change UpdateMeeting = "updateMeeting" (UpdateMeetingRequest) -> MeetingData;
    /// Deletes a meeting that the caller organizes.
    Change DeleteMeeting = "deleteMeeting" (MeetingId) -> NoData;
    /// One meeting.
    Read GetMeeting = "getMeeting" (MeetingId) -> MeetingData;
    /// The caller's meetings in a range of time, by source.
    Read ListUserMeetings = "listUserMeetings" (ListUserMeetingsRequest) -> UserMeetings;
    /// How many meetings the caller has on each of some days.
    Read ListUserMeetingCounts = "listUserMeetingCounts" (ListUserMeetingCountsRequest) -> MeetingCounts;
    /// The caller takes part.
    Change AcceptMeetingRequest = "acceptMeetingRequest" (MeetingId) -> NoData;
    /// The caller does not take part.
    Change DeclineMeetingRequest = "declineMeetingRequest" (MeetingId) -> NoData;

    /// When all of some users are free, on a day.
    Read GetTimeSlotsForMeeting = "getTimeSlotsForMeeting" (TimeSlotsRequest) -> AvailableTimeSlots;
    /// When all of some users are free, in a month.
    Read GetMeetingTimeSlotsForMonth = "getMeetingTimeSlotsForMonth" (TimeSlotsRequest) -> AvailableTimeSlots;
    /// Sets when the caller is available, for a day or for days of every week.
    Change SetUserAvailability = "setUserAvailability" (SetUserAvailabilityRequest) -> NoData;
    /// What the caller has set for the days of every week.
    Read GetUserAvailabilityPattern = "getUserAvailabilityPattern" (LocalDateRequest) -> AvailabilityPatternData;
    /// When the caller is available on a day.
    Read GetUserAvailabilityForDay = "getUserAvailabilityForDay" (LocalDateRequest) -> AvailabilityData;
    /// When the caller is available in a week.
    Read GetUserAvailabilityForWeek = "getUserAvailabilityForWeek" (LocalDateRequest) -> AvailabilityData;
    /// When the caller is available in a month.
    Read GetUserAvailabilityForMonth = "getUserAvailabilityForMonth" (LocalDateRequest) -> AvailabilityData;

    /// Deprecated: [`CreateMeeting`] in a room or at a prop.
    Change Create = "create" (CreateRequest) -> RoomMeetingData;
    /// Deprecated: [`UpdateMeeting`].
    Change Update = "update" (UpdateRequest) -> RoomMeetingData;
    /// Deprecated: [`DeleteMeeting`].
    Change Delete = "delete" (MeetingId) -> NoData;
    /// Deprecated: [`GetMeeting`].
    Read Get = "get" (MeetingId) -> RoomMeetingData;
    /// Deprecated: whether a prop is needed by something that has not ended.
    Read CheckPropHasMeetingsOrSocialSessions = "checkPropHasMeetingsOrSocialSessions" (CheckPropRequest)
        -> HasMeetingsOrSocialSessions;
    /// Deprecated: [`ListUserMeetings`] of rooms and props.
    Read ListUserMeetingsInDateRange = "listUserMeetingsInDateRange" (DateRange) -> RoomMeetings;
}

crate::needs! {
    CreateMeetingRequest: Ids "sourceIds", Text "subject", Ids "invitedUserIds";
    UpdateMeetingRequest: Id "meetingId", TextIfGiven "subject";
    MeetingId: Id "meetingId";
    ListUserMeetingsRequest: Ids "sourceIds";
    ListUserMeetingCountsRequest:;

    TimeSlotsRequest:;
    SetUserAvailabilityRequest:;
    LocalDateRequest:;

    CreateRequest: Text "meeting.subject", Id "meeting.roomId", Ids "meeting.invitedUserIds";
    UpdateRequest: Id "meetingId", TextIfGiven "meeting.subject", IdIfGiven "meeting.roomId";
    CheckPropRequest: Id "roomId";
    DateRange:;
}

crate::events! { "meeting":
    /// A meeting came to be.
    OnMeetingCreated = "onMeetingCreated" (MeetingData);
    /// A meeting changed, or a participant's answer to it.
    OnMeetingUpdated = "onMeetingUpdated" (MeetingData);
    /// A meeting is gone.
    OnMeetingDeleted = "onMeetingDeleted" (MeetingId);
    /// Deprecated: [`OnMeetingCreated`] and [`OnMeetingUpdated`] of rooms and props.
    MeetingUpdated = "meetingUpdated" (RoomMeetingData);
    /// Deprecated: [`OnMeetingDeleted`] of rooms and props.
    MeetingDeleted = "meetingDeleted" (MeetingId);
}

crate::words! {
    /// Where a meeting is (rule M1).
    SourceType {
        /// A room.
        Room = "room",
        /// A prop in a room.
        Prop = "prop",
        /// The members of a group.
        Group = "group",
        /// One other user.
        Direct = "direct",
    }
}

crate::words! {
    /// A participant's answer to a meeting (rules M2, M5).
    ParticipantStatus {
        /// Invited, not answered.
        Received = "received",
        /// Takes part.
        Accepted = "accepted",
        /// Does not take part.
        Declined = "declined",
    }
}

/// Names a meeting: the request of whatever needs no more, and the data of what says that one is gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct MeetingId {
    /// The meeting.
    pub meeting_id: String,
}

/// Request of [`CreateMeeting`]. Limits: rule M3.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct CreateMeetingRequest {
    /// A [`SourceType`].
    pub source_type: String,
    /// What it names depends on the type: rule M1.
    pub source_ids: Vec<String>,
    /// 1 to 255 characters.
    pub subject: String,
    /// At most 10,000 characters.
    pub description: String,
    /// The colour in calendars.
    pub color: Rgba,
    /// Whom to invite, at most 100.
    pub invited_user_ids: Vec<String>,
    /// Its first instant.
    pub start_date: Timestamp,
    /// The first instant after it, at most 31 days later.
    pub end_date: Timestamp,
}

/// Request of [`UpdateMeeting`]. What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateMeetingRequest {
    /// The meeting.
    pub meeting_id: String,
    /// 1 to 255 characters.
    pub subject: Option<String>,
    /// At most 10,000 characters.
    pub description: Option<String>,
    /// The colour in calendars.
    pub color: Option<Rgba>,
    /// Unset: stays.
    pub start_date: Timestamp,
    /// Unset: stays.
    pub end_date: Timestamp,
}

/// Request of [`ListUserMeetings`]: those that overlap the range (rule M8).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct ListUserMeetingsRequest {
    /// First instant of the range.
    pub start_date: Timestamp,
    /// First instant after the range, at most 366 days later.
    pub end_date: Timestamp,
    /// `network` or a [`SourceType`].
    pub source_type: String,
    /// Any of these; none: all of the type.
    pub source_ids: Vec<String>,
}

/// Request of [`ListUserMeetingsInDateRange`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct DateRange {
    /// First instant of the range.
    pub start_date: Timestamp,
    /// First instant after the range, at most 366 days later.
    pub end_date: Timestamp,
}

/// Request of [`ListUserMeetingCounts`] (rule M9).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct ListUserMeetingCountsRequest {
    /// Some instant of the day that `offset` counts from, and the zone of all the days.
    pub local_date_now: LocalTimestamp,
    /// Days after that day at which to begin; may be negative.
    pub offset: i64,
    /// How many days, 1 to 366; 0: 30.
    pub size: i64,
}

/// A meeting.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Meeting {
    /// UUIDv7.
    pub meeting_id: String,
    /// When it was created.
    pub created: Timestamp,
    /// What it is about.
    pub subject: String,
    /// More of that.
    pub description: String,
    /// The colour in calendars.
    pub color: Rgba,
    /// False while its source is deleted (rule M7).
    pub is_valid: bool,
    /// The user who created it.
    pub organizer_id: String,
    /// The organizer, then the others in the order invited (rule M2).
    pub participant_ids: Vec<String>,
    /// `<sourceType>:<networkId>:<sourcePk>`.
    pub source_string: String,
    /// Where it is.
    pub source_type: SourceType,
    /// `roomId`, `roomId:propId`, `groupId` or `userId`.
    pub source_pk: String,
    /// Its network.
    pub network_id: String,
    /// Its first instant.
    pub start_date: Timestamp,
    /// The first instant after it.
    pub end_date: Timestamp,
}

/// Answer of whatever concerns one meeting, and the data of its events.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MeetingData {
    /// The meeting.
    pub meeting: Meeting,
}

/// A meeting as one of its participants has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UserMeeting {
    /// The participant.
    pub user_id: String,
    /// His answer.
    pub status: ParticipantStatus,
    /// The meeting.
    #[serde(flatten)]
    pub meeting: Meeting,
}

/// Answer of [`ListUserMeetings`]: by start, then id; at most 1000.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UserMeetings {
    /// The caller's.
    pub meetings: Vec<UserMeeting>,
}

/// Answer of [`ListUserMeetingCounts`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MeetingCounts {
    /// One for each day, empty days included.
    pub meeting_counts: Vec<MeetingCount>,
}

/// How many meetings touch a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MeetingCount {
    /// How many.
    pub count: i64,
    /// The day's first instant.
    pub start_date: Timestamp,
    /// The next day's first instant.
    pub end_date: Timestamp,
}

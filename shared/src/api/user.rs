//! What a connection itself says, which belongs to no namespace: `user_info`, `invalidConnection`, and the endpoint
//! that tests a client's answer to an unsupported version.

mod settings;

use serde::{Deserialize, Serialize};

use super::{Avatar3D, CustomMap, NoData, Timestamp};

pub use settings::{EmailSettings, NavigationSettings, NetworkDefaults, NetworkState, UserSettings};

crate::endpoints! {
    /// Answers [`VersionNotSupported`](super::Code::VersionNotSupported) to anyone. The gateway does it itself.
    Read TestVersionNotSupported = "testVersionNotSupported" (NoFields) -> NoData;
}

crate::needs! {
    NoFields:;
}

crate::events! {
    /// The first frame of an accepted socket; its frame carries `lastEventId` beside `data`.
    UserInfoEvent = "user_info" (UserInfo);
    /// Why the socket is about to be closed: its frame has no `data`, and the close code as its error's.
    InvalidConnection = "invalidConnection" (NoData);
}

/// Sent instead of what was missed when that can no longer be told; its `data` is [`NoFields`]. Not of the documents.
pub const RESYNC_REQUIRED: &str = "resyncRequired";

/// An object without fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NoFields {}

/// The `data` of `user_info`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct UserInfo {
    pub user: User,
    pub network: Network,
    pub network_state: NetworkState,
    pub network_defaults: NetworkDefaults,
    /// Domain of presentations, which cannot be edited.
    pub presentation_domain: String,
    /// Domain of the studio, where things are edited.
    pub studio_domain: String,
    /// Domain of what is shared.
    pub share_domain: String,
    pub load_balancer_url: String,
    pub user_settings: UserSettings,
    /// The user has never been seen before.
    pub is_new: bool,
}

/// A user as he sees himself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct User {
    pub id: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// The company that the user represents.
    pub company_name: String,
    /// The user's title in it.
    pub company_title: String,
    pub first_name: String,
    pub last_name: String,
    pub birthday: String,
    pub hometown: String,
    pub education: String,
    pub zip_code: String,
    pub description: String,
    pub link_url: String,
    /// 0 default, 1 incognito (rule V5).
    pub privacy_mode: i64,
    /// Address or resource id.
    pub avatar: String,
    #[serde(rename = "avatar3D")]
    pub avatar_3d: Avatar3D,
    /// The user's own.
    pub params: CustomMap,
    /// 0 not assigned, 1 SSID, 2 VSSID.
    pub identity_type: i64,
    /// Of the Verus identity.
    pub identity_name: String,
    /// Made by clients from the Verus root key.
    pub z_address: String,
    /// Public rooms that he owns (rule U1).
    pub public_room_count: i64,
    pub contact_count: i64,
    pub pending_contact_count: i64,
    /// Sessions not over that he is invited to and has not joined (rule U1).
    pub new_invitations_count: i64,
    /// Meetings not over that he has not answered (rule U1).
    pub pending_request_count: i64,
    pub new_notifications_count: i64,
    pub ideal_match_count: i64,
    pub email: String,
    pub email_verified: bool,
    pub phone_number: String,
    pub permissions: Permissions,
    pub user_roles: Vec<UserRole>,
}

/// What a user may do everywhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Permissions {
    /// Manages every network (rule V3).
    pub admin: bool,
    pub developer: bool,
}

/// A role that a user has, somewhere or everywhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct UserRole {
    pub id: String,
    pub role_name: String,
    /// Such as `network`, `room` or `prop`; empty: everywhere.
    pub target_type: String,
    /// Comes with the system and cannot be deleted.
    pub is_build_in: bool,
    /// Such as `network.manage` (rule V3).
    pub permissions: Vec<String>,
    /// The object of that type.
    pub target_id: String,
}

/// "Network structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Network {
    pub id: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub full_name: String,
    /// `Public`, `Matchmaking`, `BusinessSocial`, `NetworkConference` or `Humanity`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Resource id.
    pub thumbnail: String,
    /// The network that this one is part of.
    pub parent_network_id: String,
}

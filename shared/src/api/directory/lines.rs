//! The fields of each kind of line.

use serde::{Deserialize, Serialize};

use crate::api::{
    Avatar3D, CustomMap, Resource, Timestamp,
    user::{NetworkDefaults, NetworkState, Permissions, UserRole, UserSettings},
};

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkLine {
    /// Identifier.
    pub id: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its name.
    pub full_name: Option<String>,
    /// As [`Network::kind`](crate::api::user::Network::kind).
    #[serde(rename = "type")]
    pub network_type: Option<String>,
    /// Resource id.
    pub thumbnail: Option<String>,
    /// The network that it is part of; empty: none.
    pub parent_network_id: Option<String>,
    /// What it is at.
    pub state: Option<NetworkState>,
    /// How clients should behave in it.
    pub defaults: Option<NetworkDefaults>,
    /// Domain of presentations.
    pub presentation_domain: Option<String>,
    /// Domain of the studio.
    pub studio_domain: Option<String>,
    /// Domain of what is shared.
    pub share_domain: Option<String>,
    /// Address of its load balancer.
    pub load_balancer_url: Option<String>,
}

/// A user. The counts that follow from meetings, sessions and rooms (rule U1) are not the directory's and are ignored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UserLine {
    /// Identifier.
    pub id: String,
    /// The networks that the user belongs to.
    pub network_ids: Option<Vec<String>>,
    /// When the user registered.
    pub created: Timestamp,
    /// When the user was last changed.
    pub updated: Timestamp,
    /// The company that the user represents.
    pub company_name: Option<String>,
    /// The user's title in it.
    pub company_title: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// As the user wrote it.
    pub birthday: Option<String>,
    /// As the user wrote it.
    pub hometown: Option<String>,
    /// As the user wrote it.
    pub education: Option<String>,
    /// As the user wrote it.
    pub zip_code: Option<String>,
    /// As the user wrote it.
    pub description: Option<String>,
    /// As the user wrote it.
    pub link_url: Option<String>,
    /// 0 default, 1 incognito.
    pub privacy_mode: Option<i64>,
    /// Address or resource id.
    pub avatar: Option<String>,
    /// The whole of it.
    #[serde(rename = "avatar3D")]
    pub avatar_3d: Option<Avatar3D>,
    /// The user's own.
    pub params: Option<CustomMap>,
    /// 0 not assigned, 1 SSID, 2 VSSID.
    pub identity_type: Option<i64>,
    /// Of the Verus identity.
    pub identity_name: Option<String>,
    /// Made by clients from the Verus root key.
    pub z_address: Option<String>,
    /// Contacts.
    pub contact_count: Option<i64>,
    /// Contacts to be.
    pub pending_contact_count: Option<i64>,
    /// Notifications not read.
    pub new_notifications_count: Option<i64>,
    /// Ideal matches.
    pub ideal_match_count: Option<i64>,
    /// E-mail address.
    pub email: Option<String>,
    /// Whether the user has proven it. Left out beside an e-mail that is another than before: he has not.
    pub email_verified: Option<bool>,
    /// Phone number, proven.
    pub phone_number: Option<String>,
    /// Name of an IANA zone; empty: none.
    pub time_zone: Option<String>,
    /// Facebook accounts, `appId:userId`, proven.
    pub facebook: Option<Vec<String>>,
    /// What the user may do everywhere.
    pub permissions: Option<Permissions>,
    /// Roles in places.
    pub user_roles: Option<Vec<UserRole>>,
    /// Settings.
    pub user_settings: Option<UserSettings>,
}

/// A room.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RoomLine {
    /// Identifier.
    pub id: String,
    /// Its network.
    pub network_id: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its picture.
    pub thumbnail: Option<Resource>,
    /// Its owner; empty: nobody.
    pub owner_id: Option<String>,
    /// Whether everyone of its network can use it (rule V4).
    pub is_public: Option<bool>,
    /// Who else can.
    pub viewers: Option<Vec<String>>,
}

/// A prop.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PropLine {
    /// Identifier.
    pub id: String,
    /// Its room.
    pub room_id: Option<String>,
    /// Its title.
    pub title: Option<String>,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupLine {
    /// Identifier.
    pub id: String,
    /// Its network.
    pub network_id: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its members.
    pub members: Option<Vec<Member>>,
}

/// A community.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CommunityLine {
    /// Identifier.
    pub id: String,
    /// Its network.
    pub network_id: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// `OpenForAll`: everyone of the network counts as a member where events are seen (rule S1).
    pub join_policy: Option<String>,
    /// Its members.
    pub members: Option<Vec<Member>>,
}

/// A member of a group or community.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Member {
    /// The user.
    pub user_id: String,
    /// `Admin` or `Participant`.
    pub role: String,
}

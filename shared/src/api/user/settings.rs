//! The settings of networks and users, which pass through from the directory to clients.

use serde::{Deserialize, Serialize};

use crate::api::{CustomMap, Timestamp};

/// What a network is at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkState {
    pub default_sub_network_id: String,
    /// `receivedBlocks: true`: meetings not answered yet are busy time (rule A7).
    pub data: CustomMap,
}

/// How clients should behave in a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkDefaults {
    /// The network's own currency, if it has one.
    pub metaverse_currency: String,
    /// Currency of Verus provisioning.
    pub provision_currency: String,
    /// Products cost something.
    pub enable_payments: bool,
    /// Actions mint or spend tokens.
    pub enable_tokenomics: bool,
    /// Deprecated.
    pub disable_balance: bool,
    /// The default room.
    pub room_id: String,
    /// Films in storylines have sound.
    pub storyline_video_sound: bool,
    pub has_questionnaire: bool,
    pub has_search_card: bool,
    pub has_gaming_balance: bool,
    pub has_analytics: bool,
    /// Everyone is everyone's friend.
    pub all_users_are_connected: bool,
    pub disable_owner_badge: bool,
    pub disable_favorite_rooms: bool,
    pub disable_share_room: bool,
    pub disable_room_creation: bool,
    /// The first comments come first.
    pub order_by_first_comments: bool,
    pub hide_textchat: bool,
    pub hide_videochat: bool,
    pub hide_social_sessions: bool,
    /// Users may set props up for themselves.
    pub allow_host_setup: bool,
    /// Asset of social circles.
    pub social_circle_asset: String,
    /// 0: none.
    pub social_circle_limit: i64,
    /// No sign-in is needed.
    pub allow_anonymous: bool,
    /// The e-mail is verified before the first session.
    pub only_verified_accounts: bool,
    /// Registration and sign-in are one screen.
    pub single_screen_auth: bool,
    /// At registration.
    pub require_zip_code: bool,
    /// Empty: all.
    pub payment_providers: Vec<String>,
    pub ai_endpoint: String,
    /// Of playgrounds.
    pub load_balancer_url: String,
    /// 0 default, 1 epam.
    pub gamification_particles_index: i64,
    /// 0 default, 1 Fabuwood.
    pub colorization_scheme_type: i64,
    /// 0 classic, 1 advanced, 2 pro.
    pub default_navigation_mode: i64,
    /// 0 default, 1 show, 2 hide.
    pub default_button_appearance: i64,
    pub has_cascade_textchat_skin: bool,
    pub animated_back_button: bool,
    pub has_expo: bool,
    pub expo_start_date: Timestamp,
    pub expo_end_date: Timestamp,
    /// Rooms have more privacy settings.
    pub has_attendees: bool,
}

/// A user's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct UserSettings {
    pub email: EmailSettings,
    pub navigation: NavigationSettings,
    pub object_collision: i64,
}

/// Which e-mails a user wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct EmailSettings {
    pub ignore_new_textchat_message: bool,
}

/// How a user moves about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct NavigationSettings {
    pub navigation_mode: i64,
    pub vertical_sensitivity: f64,
    pub horizontal_sensitivity: f64,
    pub joystick_settings: i64,
    pub helper_button_appearance: i64,
}

//! "Resource structure": a picture, film, file or link as the rest of the platform describes it.
//!
//! Nothing here is interpreted; it comes with a room of the directory and goes out with its meetings. Fields are those
//! of the documents; only what their names do not say is described.

mod action;
mod source;

use serde::{Deserialize, Serialize};

use super::{CustomMap, Timestamp};

pub use action::{Action, ActionData, ChildAction};
pub use source::{
    AiGeneration, Amazon, Audio, Channel, Directory, Facebook, GoogleDrive, Imdb, ImdbRating, LiveStream, Pinterest,
    Pixabay, RemoteUrl, Video, Youtube,
};

/// "Resource structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Resource {
    pub id: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub title: String,
    pub description: String,
    pub location: String,
    pub date: String,
    pub category: String,
    /// The resource that a link points to.
    pub link_id: String,
    /// `global` or `local`.
    pub link_type: String,
    /// Such as `verus.v1`.
    pub encryption_version: String,
    /// The key bundle that was used.
    pub encryption_epoch: i64,
    /// The ephemeral public key for deciphering.
    pub encryption_epk: String,
    /// `type:path(networkId)`: where it is in the system.
    pub belonging: String,
    /// `pending`, `processing`, `ready` or `failed`.
    pub status: String,
    pub metadata: ResourceMetadata,
    pub thumbnail: String,
    pub from_template: bool,
    /// How many users have reacted to it.
    pub total_reactions: i64,
    pub data: ResourceData,
    /// Set by clients.
    pub custom_params: CustomMap,
    /// Set by users.
    pub actions: Vec<Action>,
}

/// What is known of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceMetadata {
    pub file_name: String,
    pub file_size: i64,
    pub file_date: Timestamp,
    pub behaviour_type: String,
    pub content_type: String,
    pub converted_from: String,
    pub link: String,
    pub origin: ResourceOrigin,
    pub geolocation: Geolocation,
    pub dimensions: Dimensions,
}

/// "Resource origin structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceOrigin {
    #[serde(rename = "type")]
    pub kind: String,
    pub device: String,
    pub device_name: String,
    pub path: String,
}

/// "Geolocation structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Geolocation {
    pub latitude: f64,
    pub longitude: f64,
}

/// "Dimensions structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Dimensions {
    pub width: i64,
    pub height: i64,
    pub orientation: i64,
}

/// What depends on where it comes from: of the structures, those that apply have content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceData {
    pub audio: Audio,
    pub video: Video,
    pub amazon: Amazon,
    pub imdb: Imdb,
    pub youtube: Youtube,
    pub pinterest: Pinterest,
    pub pixabay: Pixabay,
    pub facebook: Facebook,
    pub remote_url: RemoteUrl,
    pub live_stream: LiveStream,
    pub ai_generation: AiGeneration,
    pub thumbnail_url: String,
    pub download_url: String,
    pub directory: Directory,
    pub channel: Channel,
    pub google_drive: GoogleDrive,
}

//! Where a resource comes from: one structure for each kind of source.

use serde::{Deserialize, Serialize};

/// "Resource data audio structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Audio {
    pub title: String,
    pub artist: String,
    pub album: String,
    pub genre: String,
    pub duration: i64,
    pub duration_float: f64,
}

/// "Resource data video structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Video {
    pub duration: i64,
    pub duration_float: f64,
    /// Made of a picture with transparent pixels.
    pub has_alpha_channel: bool,
    /// The resource that holds the transparency.
    pub alpha_channel: String,
}

/// "Resource data amazon structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Amazon {
    pub asin: String,
    pub summary: String,
    pub author: Vec<String>,
    pub manufacturer: String,
    pub title: String,
    pub publication_date: String,
    pub url: String,
}

/// "Resource data imdb structure". Its names are capitalised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "PascalCase")]
pub struct Imdb {
    pub actors: String,
    pub genre: String,
    pub ratings: Vec<ImdbRating>,
    pub released: String,
    pub runtime: String,
    pub website: String,
    pub year: String,
    pub trailers: Vec<String>,
    #[serde(rename = "imdbID")]
    pub imdb_id: String,
}

/// A rating of a film.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "PascalCase")]
pub struct ImdbRating {
    pub source: String,
    pub value: String,
}

/// "Resource data youtube structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Youtube {
    pub video_id: String,
    pub format_id: String,
}

/// "Resource data pinterest structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Pinterest {
    pub pin: String,
    pub url: String,
}

/// "Resource data pixabay structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Pixabay {
    pub id: String,
    pub page_url: String,
}

/// "Resource data facebook structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Facebook {
    pub id: String,
}

/// "Resource data remote url structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct RemoteUrl {
    pub url: String,
    pub url_type: String,
    pub favicon: String,
    pub title: String,
}

/// "Live stream data structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct LiveStream {
    pub stream_id: String,
    pub asset_id: String,
    pub playback_url: String,
    pub master_url: String,
}

/// "Ai generation data structure": a picture that a model made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct AiGeneration {
    pub generation_model: String,
    pub prompt: String,
    /// The prompt in the end, when it was revised.
    pub revised_prompt: String,
    pub url: String,
}

/// "Resource data directory structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Directory {
    pub inner_content_type: String,
    pub inner_content_count: i64,
}

/// "Channel data structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Channel {
    pub community_id: String,
    pub channel_id: String,
    pub sub_channel_id: String,
    pub message_id: String,
}

/// "Google drive structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct GoogleDrive {
    pub file_id: String,
    pub name: String,
    pub mime_type: String,
}

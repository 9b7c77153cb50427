//! What happens when somebody uses a resource.

use serde::{Deserialize, Serialize};

use crate::api::CustomMap;

/// "Programmatic action with children structure".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Action {
    /// Means something to the client that set it only.
    pub local_id: String,
    pub event_name: String,
    pub action_name: String,
    pub action_data: ActionData,
    pub child_actions: Vec<ChildAction>,
}

/// "Programmatic action structure": one without children.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct ChildAction {
    /// Means something to the client that set it only.
    pub local_id: String,
    pub event_name: String,
    pub action_name: String,
    pub action_data: ActionData,
}

/// What an action works with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct ActionData {
    pub used_prop_id: String,
    pub used_room_id: String,
    pub used_network_id: String,
    pub used_storyline_id: String,
    pub used_question_id: i64,
    pub used_questionnaire_id: i64,
    pub used_segment_id: String,
    pub used_placement_area_id: String,
    pub used_room_point: String,
    pub animation_data: CustomMap,
}

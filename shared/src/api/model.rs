//! Structures that several namespaces share: "rgba", "user simple", and what clients define themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

/// "rgba structure". Parts are finite: JSON has no other numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Rgba {
    /// Red.
    pub r: f64,
    /// Green.
    pub g: f64,
    /// Blue.
    pub b: f64,
    /// Opacity.
    pub a: f64,
}

/// "user simple structure": what others see of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct UserSimple {
    /// The directory's identifier.
    pub id: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// 0 default, 1 incognito (rule V5).
    pub privacy_mode: i64,
    /// Address or resource id of the picture.
    pub avatar: String,
    /// Left out when empty: the one exception that the documents make.
    #[serde(rename = "avatar3D", skip_serializing_if = "Avatar3D::is_empty")]
    pub avatar_3d: Avatar3D,
    /// The company that the user represents.
    pub company_name: String,
    /// The user's title in it.
    pub company_title: String,
}

/// A user's 3D avatar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Avatar3D {
    /// The asset.
    pub asset_id: String,
    /// Selected skin of each variant.
    pub asset_skins: BTreeMap<String, String>,
    /// Address of a glb file.
    pub avatar_url: String,
    /// The user's id at the maker of the avatar.
    pub avatar_user_id: String,
}

impl Avatar3D {
    /// Whether nothing of it is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `map[string]{ custom structure }`: a JSON object of the clients' own, kept as the text that came.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct CustomMap(Box<RawValue>);

impl CustomMap {
    /// Its JSON.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.as_str().trim_start_matches('{').trim_start().starts_with('}')
    }
}

impl Default for CustomMap {
    fn default() -> Self {
        Self(RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"))
    }
}

impl PartialEq for CustomMap {
    /// As texts: other white space or another order of keys is another map.
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<'de> Deserialize<'de> for CustomMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        if json.get().starts_with('{') { Ok(Self(json)) } else { Err(de::Error::custom("expected an object")) }
    }
}

/// Whether a text can name something: 1 to 128 characters, without `:`, `+`, white space and control characters.
///
/// Nothing that does not pass can exist, so a client that names it is told 404; a directory line is refused.
pub fn is_identifier(text: &str) -> bool {
    let is_fitting = |c: char| !(c == ':' || c == '+' || c.is_whitespace() || c.is_control());
    (1..=MAX_IDENTIFIER_CHARS).contains(&text.chars().take(MAX_IDENTIFIER_CHARS + 1).count())
        && text.chars().all(is_fitting)
}

/// An identifier has at most so many characters.
pub const MAX_IDENTIFIER_CHARS: usize = 128;

#[cfg(test)]
super::shapes::leaf!(CustomMap => {"type": "object", "additionalProperties": true});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_hold_nothing_that_divides_a_source() {
        for good in ["a", "alice", "0190b6f0-7a3c-7c1e-8000-000000000000", "ключ", "a.b*>", &"é".repeat(128)] {
            assert!(is_identifier(good), "{good:?}");
        }
        for bad in ["", "a:b", "a+b", "a b", "a\u{a0}b", "a\tb", "\0", "a\u{85}", &"a".repeat(129)] {
            assert!(!is_identifier(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_empty_3d_avatar_is_left_out() {
        let user = serde_json::to_value(UserSimple::default()).expect("JSON");
        assert_eq!(user.get("avatar3D"), None);
        let dressed = UserSimple {
            avatar_3d: Avatar3D { asset_id: "hat".to_owned(), ..Avatar3D::default() },
            ..UserSimple::default()
        };
        let user = serde_json::to_value(dressed).expect("JSON");
        let expected = serde_json::json!({"assetId": "hat", "assetSkins": {}, "avatarUrl": "", "avatarUserId": ""});
        assert_eq!(user.get("avatar3D"), Some(&expected));
    }

    #[test]
    fn a_custom_map_keeps_its_text() {
        let json = r#"{"b":1.10,"a":1e2,"b":123456789012345678901234567890}"#;
        let map: CustomMap = serde_json::from_str(json).expect("a map");
        assert_eq!(serde_json::to_string(&map).expect("JSON"), json);
        assert!(!map.is_empty());
        assert!(serde_json::from_str::<CustomMap>("{ }").expect("a map").is_empty());
        assert!(CustomMap::default().is_empty());
        assert!(serde_json::from_str::<CustomMap>("[1]").is_err());
    }
}

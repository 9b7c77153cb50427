//! A frame in short: without what is empty, 0 or false, which on the wire is the same as missing; and of `user_info` no more
//! than who it is, where, and what waits for him.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What is shown of `user_info`, by path; and every count.
const OF_USER_INFO: &[&str] = &[
    "event",
    "lastEventId",
    "pingInterval",
    "data.user.id",
    "data.user.firstName",
    "data.user.lastName",
    "data.user.email",
    "data.network.id",
    "data.network.fullName",
    "data.isNew",
];

/// On one line, in short. What is no JSON stays as it came.
pub fn frame(text: &str) -> String {
    let is_user_info = text.contains(r#""event":"user_info""#);
    let is_shown = |path: &str| {
        let is_count = path.starts_with("data.user.") && path.ends_with("Count");
        !is_user_info || is_count || OF_USER_INFO.contains(&path)
    };
    serde_json::from_str(text)
        .ok()
        .map(|raw: &RawValue| brief(raw.get(), "", &is_shown).unwrap_or_else(|| "{}".to_owned()))
        .unwrap_or_else(|| text.to_owned())
}

/// The value without what is unset in it, and without the fields that are not shown; `None` when nothing is left of it.
/// Numbers, strings and the order of fields stay as they came.
fn brief(json: &str, path: &str, is_shown: &dyn Fn(&str) -> bool) -> Option<String> {
    let json = json.trim();
    match json.as_bytes().first()? {
        b'{' => {
            let Fields(fields) = serde_json::from_str(json).ok()?;
            let shown = fields.into_iter().filter_map(|(name, value)| {
                let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                let is_leaf = !value.get().trim_start().starts_with('{');
                let value = brief(value.get(), &path, is_shown).filter(|_| !is_leaf || is_shown(&path))?;
                Some(format!("{}:{value}", serde_json::Value::from(name)))
            });
            Some(shown.collect::<Vec<_>>().join(","))
                .filter(|fields| !fields.is_empty())
                .map(|fields| format!("{{{fields}}}"))
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            // Each stays in its place.
            let shown = elements
                .iter()
                .map(|element| brief(element.get(), path, &|_| true).unwrap_or_else(|| empty(element.get())));
            Some(shown.collect::<Vec<_>>().join(","))
                .filter(|elements| !elements.is_empty())
                .map(|elements| format!("[{elements}]"))
        }
        b'"' => (!matches!(json, r#""""# | r#""0001-01-01T00:00:00Z""#)).then(|| json.to_owned()),
        b't' => Some(json.to_owned()),
        b'f' | b'n' => None,
        _ => json.parse::<f64>().is_ok_and(|number| number != 0.0).then(|| json.to_owned()),
    }
}

/// What is written for an element of a list of which nothing is left.
fn empty(json: &str) -> String {
    match json.trim().as_bytes().first() {
        Some(b'{') => "{}".to_owned(),
        Some(b'[') => "[]".to_owned(),
        _ => json.trim().to_owned(),
    }
}

/// An object's fields, in their order.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unset_is_left_out_and_the_rest_stays_as_it_came() {
        let whole = concat!(
            r#"{"event":"meeting:onMeetingCreated","eventId":"e.1","data":{"meeting":{"z":"last \"{,","#,
            r#""created":"2030-05-01T08:15:27.103245Z","description":"","color":{"r":0.50,"g":0.0,"b":0,"a":-0e3},"#,
            r#""none":{"r":0.0},"isValid":true,"isNew":false,"ids":["a","","b"],"list":[],"nested":[{"x":0},{"x":1.10}],"#,
            r#""at":"0001-01-01T00:00:00Z","big":12345678901234567890}},"error":{"status":false,"code":0,"message":""}}"#,
        );
        let short = concat!(
            r#"{"event":"meeting:onMeetingCreated","eventId":"e.1","data":{"meeting":{"z":"last \"{,","#,
            r#""created":"2030-05-01T08:15:27.103245Z","color":{"r":0.50},"#,
            r#""isValid":true,"ids":["a","","b"],"nested":[{},{"x":1.10}],"big":12345678901234567890}}}"#,
        );
        assert_eq!(frame(whole), short);
    }

    #[test]
    fn of_user_info_stays_who_it_is_where_and_what_waits() {
        let whole = concat!(
            r#"{"event":"user_info","lastEventId":"e.7","data":{"user":{"id":"bob","created":"2030-05-01T08:15:27Z","#,
            r#""firstName":"Bob","lastName":"","contactCount":0,"pendingRequestCount":2,"email":"bob@example.org","#,
            r#""emailVerified":true,"userRoles":[{"id":"r"}]},"network":{"id":"demo","fullName":"Demo","type":"Public"},"#,
            r#""networkState":{"data":{"x":1}},"isNew":true},"error":{"status":false,"code":0,"message":""}}"#,
        );
        let short = concat!(
            r#"{"event":"user_info","lastEventId":"e.7","data":{"user":{"id":"bob","firstName":"Bob","#,
            r#""pendingRequestCount":2,"email":"bob@example.org"},"network":{"id":"demo","fullName":"Demo"},"isNew":true}}"#,
        );
        assert_eq!(frame(whole), short);
    }

    #[test]
    fn an_error_is_shown_and_what_is_no_json_stays() {
        let told = r#"{"event":"invalidConnection","error":{"status":true,"code":4501,"message":"taken"}}"#;
        assert_eq!(frame(told), told);
        assert_eq!(frame("{nonsense"), "{nonsense");
        assert_eq!(frame("{}"), "{}");
    }
}

//! What a request must hold, beside being of its type. Stands as a table in each namespace.

use super::{
    InputError,
    value::{Fields, Text},
};

/// Something that a request must hold. A path is as messages write it, without the root, such as `meeting.roomId`; none
/// leads through a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// An identifier: given, and not empty.
    Id(&'static str),
    /// An identifier that stays as it is when it is missing: not empty where it is given.
    IdIfGiven(&'static str),
    /// Identifiers: none of the list is empty. There may be no list.
    Ids(&'static str),
    /// A text: given, and not blank (rule V6).
    Text(&'static str),
    /// A text that stays as it is when it is missing: not blank where it is given.
    TextIfGiven(&'static str),
}

impl Need {
    /// Where it stands.
    pub fn path(self) -> &'static str {
        let (Self::Id(path) | Self::IdIfGiven(path) | Self::Ids(path) | Self::Text(path) | Self::TextIfGiven(path)) =
            self;
        path
    }

    /// Checks an input that has been read already, so that its types are right.
    pub(super) fn check(self, root: &str, json: &str) -> Result<(), InputError> {
        let path = self.path();
        let found = path.split('.').try_fold(json, field);
        let text = |json| serde_json::from_str(json).ok().map(|Text(text)| text);
        let refused = |path: &str, what| Err(InputError::new(format!("{root}.{path}"), what));
        match self {
            Self::IdIfGiven(_) | Self::TextIfGiven(_) if found.is_none() => Ok(()),
            Self::Id(_) | Self::IdIfGiven(_) if found.and_then(text).is_none_or(|id| id.is_empty()) => {
                refused(path, EMPTY)
            }
            Self::Text(_) | Self::TextIfGiven(_) if found.and_then(text).is_none_or(|text| is_blank(&text)) => {
                refused(path, "expected a text that is not blank")
            }
            Self::Ids(_) => {
                let ids: Vec<Text<'_>> = found.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
                match ids.iter().position(|Text(id)| id.is_empty()) {
                    Some(index) => refused(&format!("{path}[{index}]"), EMPTY),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

const EMPTY: &str = "expected an identifier";

/// A field of an object; `null` is missing.
fn field<'de>(json: &'de str, name: &str) -> Option<&'de str> {
    let Fields(fields) = serde_json::from_str(json).ok()?;
    fields.into_iter().find(|(Text(found), _)| found == name).map(|(_, value)| value.get())
}

/// Whether nothing of a text can be seen: it holds only white space, controls, and what Unicode says is to be ignored where
/// it is not known (`Default_Ignorable_Code_Point`), such as U+200B.
pub fn is_blank(text: &str) -> bool {
    let is_ignorable = |c| IGNORABLE.iter().any(|(first, last)| (*first..=*last).contains(&c));
    text.chars().all(|c| c.is_whitespace() || c.is_control() || is_ignorable(c))
}

/// `Default_Ignorable_Code_Point` of Unicode 16, the whole of it.
const IGNORABLE: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Declares what requests must hold:
///
/// ```text
/// needs! {
///     UpdateRequest: Id "meetingId", TextIfGiven "meeting.subject";
///     DateRange:;
/// }
/// ```
#[macro_export]
macro_rules! needs {
    ($($request:ty: $($need:ident $path:literal),*;)+) => {$(
        impl $crate::api::Request for $request {
            const NEEDS: &'static [$crate::api::Need] = &[$($crate::api::Need::$need($path)),*];
        }
    )+};
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::api::{Request, read_request};

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Wanted {
        user_id: String,
        inner: Inner,
        user_ids: Vec<String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Inner {
        title: Option<String>,
        room_id: Option<String>,
        subject: String,
    }

    crate::needs! {
        Wanted: Id "userId", Ids "userIds", IdIfGiven "inner.roomId", TextIfGiven "inner.title", Text "inner.subject";
    }

    fn refused(json: &str) -> Option<String> {
        read_request::<Wanted>(json).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_needed_and_missing_is_named_by_its_path() {
        let (id, blank) = ("expected an identifier", "expected a text that is not blank");
        for (json, message) in [
            ("", format!("data.userId: {id}")),
            ("{}", format!("data.userId: {id}")),
            (r#"{"userId":null}"#, format!("data.userId: {id}")),
            (r#"{"userId":""}"#, format!("data.userId: {id}")),
            (r#"{"userId":"a"}"#, format!("data.inner.subject: {blank}")),
            (r#"{"userId":"a","inner":null}"#, format!("data.inner.subject: {blank}")),
            (r#"{"userId":"a","userIds":["b","","c",""]}"#, format!("data.userIds[1]: {id}")),
            (r#"{"userId":"a","inner":{"subject":"\u200b\t"}}"#, format!("data.inner.subject: {blank}")),
            (r#"{"userId":"a","inner":{"subject":"s","roomId":""}}"#, format!("data.inner.roomId: {id}")),
            (r#"{"userId":"a","inner":{"subject":"s","title":" "}}"#, format!("data.inner.title: {blank}")),
            // A wrong type comes first.
            (r#"{"userIds":["",7]}"#, "data.userIds[1]: expected a string".to_owned()),
        ] {
            assert_eq!(refused(json), Some(message), "{json}");
        }
        for json in [
            r#"{"userId":"a","inner":{"subject":"s"}}"#,
            r#"{"user\u0049d":"\u0061","userIds":[],"inner":{"subject":" s ","roomId":null,"title":null}}"#,
            // Nobody has such an identifier; that is not for here to say.
            r#"{"userId":" ","userIds":[":"],"inner":{"subject":"s","roomId":"+","title":"t"}}"#,
        ] {
            assert_eq!(refused(json), None, "{json}");
        }
        assert_eq!(Wanted::NEEDS.len(), 5);
    }

    #[test]
    fn a_text_is_blank_when_nothing_of_it_can_be_seen() {
        for blank in
            ["", " ", "\t\r\n", "\u{a0}\u{2003}\u{3000}\u{2028}", "\u{200b}", "\u{feff}\u{2060}\u{ad}", "\u{1b}"]
        {
            assert!(is_blank(blank), "{blank:?}");
        }
        for seen in ["a", " . ", "\u{200b}x", "👩\u{200d}🚀", "\u{301}", "ー", "\u{2800}", "\u{fffd}"] {
            assert!(!is_blank(seen), "{seen:?}");
        }
        assert!(IGNORABLE.windows(2).all(|two| two[0].1 < two[1].0) && IGNORABLE.iter().all(|(a, b)| a <= b));
    }
}

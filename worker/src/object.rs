//! Identifiers of what is made here: UUIDs.

use uuid::Uuid;

use crate::error::Error;

/// The object that a client names; `what` is its kind. One that cannot exist is told as one that does not.
///
/// # Errors
/// 404.
pub(crate) fn object_id(what: &str, text: &str) -> Result<Uuid, Error> {
    // Only as we write it: other spellings of a UUID are other texts, and name nothing.
    Uuid::try_parse(text).ok().filter(|id| id.to_string() == text).ok_or_else(|| Error::not_found(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_only_as_we_write_it() {
        assert!(object_id("meeting", "0190b6f0-7a3c-7c1e-8000-000000000000").is_ok());
        for other in [
            "",
            "lobby",
            "0190B6F0-7A3C-7C1E-8000-000000000000",
            "0190b6f07a3c7c1e8000000000000000",
            "{0190b6f0-7a3c-7c1e-8000-000000000000}",
            "urn:uuid:0190b6f0-7a3c-7c1e-8000-000000000000",
        ] {
            let error = object_id("meeting", other).expect_err("no meeting");
            assert_eq!(error.to_string(), "404 meeting not found", "{other}");
        }
    }
}

//! Reading what clients and the directory send: one set of rules for the types of every endpoint.
//!
//! | in the text | reads as |
//! | --- | --- |
//! | a field that the type does not have | nothing |
//! | `null` in an object | missing |
//! | no text at all, or `null` | an object without fields |
//! | `3600.0` or `36e2` for an int | 3600 |
//! | another type, a number beyond its type | an error that names the field by its path |
//! | U+0000 in a string, half a surrogate pair, a number beyond a double, over [`MAX_DEPTH`] levels | an error, anywhere |
//!
//! What a request must hold beside that stands in tables of [`Need`]s, one for each namespace.
//!
//! So types stay plain: `#[derive(Deserialize)] #[serde(default, rename_all = "camelCase")]`, with `Option` where missing
//! has to be told from given. What has passed can be parsed again by anything that reads JSON.

mod needs;
mod number;
mod value;
mod whole;

use std::fmt;

use serde::de::{self, DeserializeOwned};

use super::{Code, Error, Request};
use value::{Path, Value};

pub use needs::{Need, is_blank};

/// Objects and lists in each other go so deep at most. Deeper ones would overflow the stack of some reader down the line.
pub const MAX_DEPTH: usize = 64;

/// What is wrong with an input, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// `data.meeting.color.r`, `data.invitedUserIds[3]`; `None` while it is being found.
    path: Option<String>,
    /// What was expected, or what is wrong.
    message: String,
}

impl InputError {
    /// Something is wrong with the field of that path.
    pub fn new(path: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { path: Some(path.into()), message: message.to_string() }
    }

    fn at(mut self, path: &Path<'_>) -> Self {
        self.path.get_or_insert_with(|| path.to_string());
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_deref() {
            None | Some("") => f.write_str(&self.message),
            Some(path) => write!(f, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for InputError {}

impl de::Error for InputError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

/// Reads a request's `data`, or another input whose paths begin with `root`. Takes time and memory in proportion to the
/// text.
///
/// # Errors
/// Names the field by its path and says what is wrong with it.
pub fn from_json<T: DeserializeOwned>(root: &'static str, json: &str) -> Result<T, InputError> {
    let root = Path::Root(root);
    let json = match json.trim_matches([' ', '\t', '\r', '\n']) {
        "" | "null" => "{}",
        json => json,
    };
    whole::check(json, &root)?;
    T::deserialize(Value { json, path: &root }).map_err(|error| error.at(&root))
}

/// Reads a client's `data`.
///
/// # Errors
/// As [`from_json`], and names what the request needs and does not hold.
pub fn read_request<R: Request>(json: &str) -> Result<R, InputError> {
    const ROOT: &str = "data";
    let request = from_json(ROOT, json)?;
    R::NEEDS.iter().try_for_each(|need| need.check(ROOT, json))?;
    Ok(request)
}

#[cfg(test)]
mod tests;

//! The rules that hold anywhere in a text, known field or not.

use std::{cell::Cell, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{
    InputError, MAX_DEPTH,
    value::{Path, Text},
};

/// Checks that it is JSON that anything can read. Stops at the first thing that is wrong.
pub(super) fn check(json: &str, root: &Path<'_>) -> Result<(), InputError> {
    if is_too_deep(json) {
        return Err(InputError::new(root.to_string(), format_args!("nested more than {MAX_DEPTH} levels deep")));
    }
    let found = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let checked = Checked { path: root, found: &found }.deserialize(&mut deserializer);
    match checked.and_then(|()| deserializer.end()) {
        Ok(()) => Ok(()),
        Err(error) => Err(found.take().unwrap_or_else(|| not_json(root, &error))),
    }
}

/// Counts brackets outside of strings, so that nothing recurses into hostile depth.
fn is_too_deep(json: &str) -> bool {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

fn not_json(path: &Path<'_>, error: &impl fmt::Display) -> InputError {
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    InputError::new(path.to_string(), format_args!("not JSON: {reason}"))
}

/// The value at that path. What is wrong stands in `found`, as the reader's own error does not know the path.
#[derive(Clone, Copy)]
struct Checked<'a> {
    path: &'a Path<'a>,
    found: &'a Cell<Option<InputError>>,
}

impl Checked<'_> {
    /// The innermost value that is wrong is the first to report.
    fn report(self, error: impl FnOnce() -> InputError) {
        let found = self.found.take();
        self.found.set(Some(found.unwrap_or_else(error)));
    }

    fn text<E: de::Error>(self, text: &str) -> Result<(), E> {
        if !text.contains('\0') {
            return Ok(());
        }
        self.report(|| InputError::new(self.path.to_string(), "holds the character U+0000"));
        Err(E::custom("U+0000"))
    }
}

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self).inspect_err(|error| self.report(|| not_json(self.path, error)))
    }
}

impl<'de> Visitor<'de> for Checked<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            let path = Path::Item(self.path, index);
            if items.next_element_seed(Checked { path: &path, found: self.found })?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = fields.next_key::<Text<'de>>()? {
            self.text(&name)?;
            let path = Path::Field(self.path, &name);
            fields.next_value_seed(Checked { path: &path, found: self.found })?;
        }
        Ok(())
    }
}

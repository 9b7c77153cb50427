//! Content lines: rule I4, RFC 5545 3.1, RFC 6868.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// Octets of a line, its end not counted.
const MOST_OCTETS: usize = 75;

/// A calendar in the making.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// Opens a component.
    pub(super) fn begin(&mut self, component: &str) {
        self.property("BEGIN", &[], component);
    }

    /// Closes a component.
    pub(super) fn end(&mut self, component: &str) {
        self.property("END", &[], component);
    }

    /// A property whose value is TEXT; any text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.property(name, &[], &escaped(text));
    }

    /// A property. The values of parameters may be any text; the value must be written already as its type wants it.
    pub(super) fn property(&mut self, name: &str, parameters: &[(&str, &str)], value: &str) {
        let mut line = name.to_owned();
        for (name, value) in parameters {
            line.extend([";", name, "=", &parameter(value)]);
        }
        line.extend([":", value]);
        self.fold(&line);
    }

    /// Folds between characters: between the octets of one, readers that decode line by line would lose it.
    fn fold(&mut self, line: &str) {
        let mut octets = 0;
        for character in line.chars() {
            if octets + character.len_utf8() > MOST_OCTETS {
                self.0.push_str("\r\n ");
                octets = 1;
            }
            self.0.push(character);
            octets += character.len_utf8();
        }
        self.0.push_str("\r\n");
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A value of type TEXT. Control characters but newline are dropped, so `\r\n` is one newline.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\\' | ';' | ',' => escaped.extend(['\\', character]),
            _ if character.is_control() => {}
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A parameter's value (RFC 6868), quoted unless it is a plain word.
fn parameter(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_/+".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '\n' => quoted.push_str("^n"),
            '^' => quoted.push_str("^^"),
            '"' => quoted.push_str("^'"),
            _ if character.is_control() => {}
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// All but what stands in an address without being encoded (RFC 6068, 2) and what no address has.
const ADDRESS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'@');

/// What stands in no URI (RFC 3986).
const NOT_IN_URI: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// The address of a person; its domain as the A-label, which every reader knows how to mail to.
pub(super) fn mailto(address: &str) -> String {
    let mailed = address.rsplit_once('@').filter(|(_, domain)| !domain.is_ascii()).and_then(|(local, domain)| {
        let label = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::STD3).ok()?;
        Some(format!("{local}@{label}"))
    });
    format!("mailto:{}", utf8_percent_encode(mailed.as_deref().unwrap_or(address), ADDRESS))
}

/// A value of type URI.
pub(super) fn uri(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_URI).to_string()
}

#[cfg(test)]
mod tests;

//! Whatever a client, a token, a directory line or a stored text contains: nobody gets in, out of his network, or breaks a
//! process.
//!
//! | file | what is sent |
//! | --- | --- |
//! | `isolation` | every identifier of one network, to every endpoint, by a user of another |
//! | `texts` | SQL, controls and the like in every string of every endpoint |
//! | `names` | subjects, headers and wildcards as identifiers and endpoints |
//! | `logs` | lines and terminal sequences, wherever something may be logged |
//! | `letters` | headers and properties, in what becomes a mail or a calendar file |
//! | `strangers` | connections that never say what they want |

mod isolation;
mod letters;
mod logs;
mod names;
mod strangers;
pub(crate) mod texts;

use serde_json::Value;

/// Texts that mean something to somebody on the way, each free of U+0000, which is 400.
pub(crate) const TEXTS: [&str; 12] = [
    "'; DROP TABLE meetings; --",
    "\" OR 1=1 /* $1 */ -- \\",
    "$1::text $$x$$ %s %n {0} {{}} ${jndi:ldap://x} `id`",
    "\\'\\\"\\\\u0000\\",
    "a\r\nCC: all@example.org\r\n\r\nb\nBEGIN:VEVENT\nc",
    "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{8}\u{7f}\u{85}",
    "2030-01-01T00:00:00.000000Z ERROR gateway: forged",
    "<script>alert(1)</script>&amp;&#0;",
    "\u{202e}gnp.exe\u{2066}\u{feff}\u{2028}\u{2029}\u{fffd}\u{ffff}",
    "🧘🏽‍♀️ 日本語 Ω \u{10ffff}",
    "*.>",
    "../../etc/passwd",
];

/// Every path to a string in a value.
pub(crate) fn strings(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(path.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                strings(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                strings(field, &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => {}
    }
}

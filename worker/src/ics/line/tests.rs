use proptest::prelude::*;

use super::*;

fn text(value: &str) -> String {
    let mut lines = Lines::default();
    lines.text("X", value);
    lines.into_text()
}

fn named(name: &str) -> String {
    let mut lines = Lines::default();
    lines.property("X", &[("CN", name)], "");
    lines.into_text()
}

/// RFC 5545, 3.1, as a reader does it.
fn unfolded(text: &str) -> String {
    text.replace("\r\n ", "")
}

/// RFC 5545, 3.3.11, as a reader does it.
fn unescaped(value: &str) -> String {
    let mut text = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next().expect("what is escaped") {
                'n' | 'N' => '\n',
                other => other,
            },
            ';' | ',' => panic!("bare {character}: {value}"),
            _ => character,
        });
    }
    text
}

/// RFC 6868, as a reader does it.
fn parameter_text(value: &str) -> String {
    let value = value.strip_prefix('"').map_or(value, |value| value.strip_suffix('"').expect("both quotes"));
    assert!(!value.contains('"'), "{value}");
    let mut text = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '^' => match characters.next().expect("what is escaped") {
                'n' => '\n',
                '\'' => '"',
                '^' => '^',
                other => panic!("^{other}: {value}"),
            },
            _ => character,
        });
    }
    text
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_control()).collect()
}

/// One property, in lines as they must be; gives back what it is without the folding.
fn one_property(written: &str) -> String {
    assert!(written.ends_with("\r\n"), "{written:?}");
    for line in written.trim_end_matches("\r\n").split("\r\n") {
        assert!(line.len() <= MOST_OCTETS, "{} octets: {line:?}", line.len());
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let property = unfolded(written);
    assert_eq!(property.matches("\r\n").count(), 1, "{property:?}");
    property.trim_end_matches("\r\n").to_owned()
}

const HOSTILE: [&str; 14] = [
    "",
    "\"",
    "^",
    "^n^'^^",
    "a\r\nb\rc\nd",
    "\nBEGIN:VEVENT\nUID:other\nEND:VEVENT\n",
    ";:,\\",
    "\\n",
    "\0\u{1}\u{7f}\u{85}\t",
    "👩‍👩‍👧‍👦🏳️‍🌈👩‍👩‍👧‍👦🏳️‍🌈👩‍👩‍👧‍👦🏳️‍🌈",
    "\u{202e}gnp.exe\u{200f}שלום",
    "\u{2028}\u{2029}\u{feff}",
    "    \t                                                                                                    x ",
    "日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語",
];

fn any_text() -> impl Strategy<Value = String> {
    let hostile = proptest::collection::vec(proptest::sample::select(&HOSTILE[..]), 0..6);
    prop_oneof![any::<String>(), "\\PC{0,200}", hostile.prop_map(|parts| parts.concat())]
}

#[test]
fn i4_lines_are_folded_between_characters() {
    // "X:" and 36 characters of two octets are 74: another one does not fit.
    assert_eq!(text(&"ä".repeat(37)), format!("X:{}\r\n ä\r\n", "ä".repeat(36)));
    assert_eq!(text(&"a".repeat(73)), format!("X:{}\r\n", "a".repeat(73)));
    assert_eq!(text(&"a".repeat(74)), format!("X:{}\r\n a\r\n", "a".repeat(73)));
    assert_eq!(text(&"a".repeat(73 + 74 + 1)), format!("X:{}\r\n {}\r\n a\r\n", "a".repeat(73), "a".repeat(74)));
}

#[test]
fn i4_text_is_escaped() {
    assert_eq!(text("a;b,c\\d:e\"f\r\ng"), "X:a\\;b\\,c\\\\d:e\"f\\ng\r\n");
}

#[test]
fn i4_parameters_are_escaped_as_rfc_6868_says() {
    // The example of RFC 6868, 3.1, and what it says of newlines.
    assert_eq!(named("George Herman \"Babe\" Ruth"), "X;CN=\"George Herman ^'Babe^' Ruth\":\r\n");
    assert_eq!(named("a^b\r\nc"), "X;CN=\"a^^b^nc\":\r\n");
    assert_eq!(named("Europe/Berlin"), "X;CN=Europe/Berlin:\r\n");
}

#[test]
fn i4_nothing_leaves_its_property() {
    for hostile in HOSTILE {
        assert_eq!(unescaped(&one_property(&text(hostile))["X:".len()..]), without_controls(hostile));
    }
}

#[test]
fn i3_addresses_are_uris() {
    assert_eq!(mailto("john.doe+x@example.org"), "mailto:john.doe+x@example.org");
    assert_eq!(mailto("a?cc=b%@example.org\r\nX:y"), "mailto:a%3Fcc%3Db%25@example.org%0D%0AX%3Ay");
    assert_eq!(mailto("jörg@example.org"), "mailto:j%C3%B6rg@example.org");
    assert_eq!(mailto("Jo@München.example"), "mailto:Jo@xn--mnchen-3ya.example");
    assert_eq!(mailto("jo@\u{ad}ü\u{ff20}.example"), "mailto:jo@%C2%AD%C3%BC%EF%BC%A0.example", "what has no A-label");
    assert_eq!(uri("https://example.org/a b?c=d&e=%20#ü\n"), "https://example.org/a%20b?c=d&e=%20#%C3%BC%0A");
}

proptest! {
    #[test]
    fn i4_any_text_comes_back(value in any_text()) {
        let property = one_property(&text(&value));
        prop_assert_eq!(unescaped(&property["X:".len()..]), without_controls(&value));
    }

    #[test]
    fn i4_any_parameter_comes_back(value in any_text()) {
        let property = one_property(&named(&value));
        let written = property.strip_prefix("X;CN=").and_then(|rest| rest.strip_suffix(':')).expect("both");
        prop_assert_eq!(parameter_text(written), without_controls(&value));
    }

    #[test]
    fn i4_any_address_is_one_uri(value in any_text()) {
        for written in [mailto(&value), uri(&value)] {
            prop_assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{written:?}");
        }
    }
}

//! Which metrics and labels an expression asks for. That it is a good expression is for Prometheus to say.

use std::collections::BTreeSet;

/// What an expression names.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    pub metrics: BTreeSet<String>,
    pub labels: BTreeSet<String>,
}

/// Words that are followed by labels in parentheses.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Operators that are words, and aggregations, which may stand before their `by`.
const WORDS: [&str; 12] =
    ["and", "or", "unless", "bool", "offset", "sum", "max", "min", "avg", "count", "topk", "bottomk"];

/// Reads an expression.
pub fn read(expression: &str) -> Asked {
    let mut asked = Asked::default();
    let mut rest = expression;
    while let Some(char) = rest.chars().next() {
        match char {
            '"' | '\'' => rest = after_string(rest),
            '[' => rest = rest.split_once(']').map_or("", |(_, after)| after),
            '{' => rest = read_matchers(&rest[1..], &mut asked.labels),
            c if c.is_ascii_digit() => rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.'),
            c if is_part(c) => {
                let word;
                (word, rest) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
                let opens = rest.trim_start().strip_prefix('(');
                match opens {
                    Some(list) if BEFORE_LABELS.contains(&word) => {
                        let (labels, after) = list.split_once(')').expect("the end of the labels");
                        asked.labels.extend(labels.split(',').map(|label| label.trim().to_owned()));
                        rest = after;
                    }
                    Some(_) => {}
                    None if WORDS.contains(&word) => {}
                    None => {
                        asked.metrics.insert(word.to_owned());
                    }
                }
            }
            c => rest = &rest[c.len_utf8()..],
        }
    }
    asked.labels.remove("");
    asked
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Behind the string that this begins with.
fn after_string(text: &str) -> &str {
    let quote = text.chars().next().expect("a quote");
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or("", |(place, c)| &text[place + c.len_utf8()..])
}

/// Behind the matchers that this begins with.
fn read_matchers<'a>(mut rest: &'a str, labels: &mut BTreeSet<String>) -> &'a str {
    loop {
        rest = rest.trim_start_matches([' ', ',', '\n']);
        match rest.chars().next() {
            Some('"') => rest = after_string(rest),
            Some(c) if is_part(c) => {
                let (label, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
                labels.insert(label.to_owned());
                rest = after.trim_start_matches(['=', '!', '~', ' ']);
            }
            Some('}') => return &rest[1..],
            _ => return "",
        }
    }
}

#[test]
fn names_are_told_from_functions_labels_strings_and_numbers() {
    let asked = read(
        r#"histogram_quantile(0.99, sum by (le, kind) (rate(a_seconds_bucket{code=~"5..|b}", job!="x"}[5m]))) > 1e3
            and on (instance) topk(10, changes(c_total[15m] offset 1h)) unless absent(d{e="\"f"})"#,
    );
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
    assert_eq!(asked.metrics, set(&["a_seconds_bucket", "c_total", "d"]));
    assert_eq!(asked.labels, set(&["le", "kind", "code", "job", "instance", "e"]));
}

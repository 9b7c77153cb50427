//! A frame for people and a frame for programs: JSON laid out anew, with keys and numbers as they came.

/// Over several lines, two spaces a level.
pub fn pretty(json: &str) -> String {
    lay_out(json, true)
}

/// On one line.
pub fn compact(json: &str) -> String {
    lay_out(json, false)
}

/// `json` must be JSON; of anything else the outcome means nothing.
fn lay_out(json: &str, is_pretty: bool) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let new_line = |out: &mut String, depth: usize| {
        if is_pretty {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
    };
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                out.push(c);
                while let Some(c) = rest.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                match rest.next_if(|c| matches!(c, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(if is_pretty { ": " } else { ":" }),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_numbers_and_strings_stay_as_they_came() {
        let json = "{ \"z\" : [ 1.50 , {\n} , [ ] ],\n \"a\": \"x: \\\" , {\\\\\", \"b\": -0e10 }";
        let one = r#"{"z":[1.50,{},[]],"a":"x: \" , {\\","b":-0e10}"#;
        assert_eq!(compact(json), one);
        let several = pretty(json);
        assert_eq!(
            several,
            "{\n  \"z\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\": \"x: \\\" , {\\\\\",\n  \"b\": -0e10\n}"
        );
        assert_eq!(compact(&several), one);
    }
}

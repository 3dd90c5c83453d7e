//! JSON as people write it into network definitions: with comments and trailing commas.
//!
//! `# …` and `// …` to the end of a line and `/* … */` are blanks, and a comma before a closing bracket is
//! left out; nothing inside strings is touched. What is strict JSON is never changed. Pure.

/// The text with everything replaced that JSON has not, and whether there was any.
pub(crate) fn strict(text: &str) -> (String, bool) {
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    let mut rest = text;
    // Where a comma stands in `out` that nothing but blanks has followed.
    let mut comma = None;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let end = end_of_string(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            comma = None;
        } else if let Some(end) = end_of_comment(rest) {
            // Line breaks stay, so that a parser's line numbers are the author's.
            out.extend(
                rest[..end]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
            rest = &rest[end..];
            changed = true;
        } else {
            if matches!(c, '}' | ']')
                && let Some(at) = comma.take()
            {
                out.replace_range(at..=at, " ");
                changed = true;
            }
            if c == ',' {
                comma = Some(out.len());
            } else if !c.is_whitespace() {
                comma = None;
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    (out, changed)
}

/// The length of the string that `text` begins with, quotes included.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the comment that `text` begins with.
fn end_of_comment(text: &str) -> Option<usize> {
    if text.starts_with('#') || text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let inside = text.strip_prefix("/*")?;
    Some(inside.find("*/").map_or(text.len(), |end| end + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_left_out_and_nothing_else() {
        for (text, same) in [
            (r#"{"a": "x, } # // /* \" ,]", "b": [1, 2]}"#, true),
            ("# Example 1\n{\"a\": 1,\n}", false),
            ("{\"a\": [1, 2, /* no */ ], // really\n \"b\": {} }", false),
            ("{\"a\": 1 , # one\n }", false),
        ] {
            let (strict, changed) = strict(text);
            assert_eq!(changed, !same, "{text}");
            let value: serde_json::Value = serde_json::from_str(&strict).expect(text);
            assert!(value.is_object());
            if same {
                assert_eq!(strict, text);
            }
            assert_eq!(strict.lines().count(), text.lines().count());
        }
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in ["", "{", "{,}x", "\"", "/*", "[1,,]", "{\"a\" 1}", "\"\\"] {
            let (strict, _) = strict(text);
            assert!(
                serde_json::from_str::<serde_json::Value>(&strict).is_err(),
                "{text}"
            );
        }
    }
}

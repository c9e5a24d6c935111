//! A request as a person reads it.

use serde_json::Value;

use crate::printable::{is_invisible, printable};

/// Of longer texts in JSON only the beginning is shown, in characters, and so many lines of anything else.
const LONGEST_TEXT: usize = 160;
const MOST_LINES: usize = 40;

/// The fields of a request, one a line, by their names.
pub fn fields(fields: &[(String, String)]) -> String {
    let mut lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    lines.sort();
    lines.concat()
}

/// A body of `octets` octets, of which `beginning` is known: JSON laid out, with its long texts cut, if all is known;
/// else its first lines.
pub fn body(beginning: &[u8], octets: u64) -> String {
    if beginning.len() as u64 == octets
        && let Ok(mut json) = serde_json::from_slice::<Value>(beginning)
    {
        shorten(&mut json);
        return format!("{json:#}\n");
    }
    let lines = beginning.split(|&byte| byte == b'\n').take(MOST_LINES);
    let lines: Vec<String> = lines.map(|line| printable(line.strip_suffix(b"\r").unwrap_or(line))).collect();
    let shown = lines.join("\n");
    let is_all =
        beginning.len() as u64 == octets && beginning.split(|&byte| byte == b'\n').count() <= MOST_LINES;
    if is_all { format!("{shown}\n") } else { format!("{shown}\n... ({octets} octets in all)\n") }
}

/// The texts are strangers': what a terminal would obey is escaped by JSON, but for what Unicode has beyond ASCII.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            let octets = text.len();
            let is_long = text.chars().nth(LONGEST_TEXT).is_some();
            let shown = text
                .chars()
                .take(LONGEST_TEXT)
                .map(|c| if c >= '\u{7f}' && c.is_control() || is_invisible(c) { '\u{fffd}' } else { c });
            let shown: String = shown.collect();
            *text = if is_long { format!("{shown}... ({octets} octets)") } else { shown };
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(values) => values.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_and_its_long_texts_are_cut() {
        let text = format!(r#"{{"raw":"{}","subject":"x\u001b[31m\u202e","n":1}}"#, "A".repeat(1000));
        let shown = body(text.as_bytes(), text.len() as u64);
        assert!(
            shown.contains(&format!("  \"raw\": \"{}... (1000 octets)\"", "A".repeat(LONGEST_TEXT))),
            "{shown}"
        );
        assert!(shown.contains("\\u001b[31m\u{fffd}") && shown.contains("\"n\": 1"), "{shown}");
    }

    #[test]
    fn anything_else_is_shown_by_its_first_lines() {
        assert_eq!(body(b"a\r\n\x1b[31mb", 9), "a\n\\x1B[31mb\n");
        let long = b"line\r\n".repeat(100);
        let shown = body(&long, 600);
        assert_eq!((shown.lines().count(), shown.ends_with("\n... (600 octets in all)\n")), (41, true));
        assert!(body(b"{", 1).starts_with('{') && body(b"ab", 100).ends_with("(100 octets in all)\n"));
    }
}

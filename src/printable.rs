//! What a stranger wrote, made safe to show: in a log, on a terminal, on the page.

/// Longest text that [`printable`] returns, in bytes, less the ellipsis.
pub const LONGEST: usize = 512;

/// Returns `bytes` as printable ASCII: control characters, DEL and bytes outside ASCII become `\xNN`, a
/// backslash is doubled, and what is longer than [`LONGEST`] ends in `...`.
///
/// Everything that came from a network passes through here before a person or a terminal sees it.
pub fn printable(bytes: impl AsRef<[u8]>) -> String {
    escape(bytes.as_ref(), LONGEST)
}

/// As [`printable`], but for names that must stay whole (a UIDL has at most 1 KiB).
pub fn printable_whole(bytes: &[u8]) -> String {
    escape(bytes, usize::MAX)
}

/// Sentences that a peer wrote for people, in whatever language: what is printable in Unicode stays as it is, blanks
/// and line ends become one blank each, and what a terminal would obey or nobody would see stands as its code. At most
/// `longest` characters, and an ellipsis.
pub fn printable_text(text: &str, longest: usize) -> String {
    let (mut shown, mut left) = (String::new(), longest);
    for word in text.split_whitespace() {
        let blank = if shown.is_empty() { "" } else { " " };
        for c in blank.chars().chain(word.chars()) {
            if left == 0 {
                return shown + "...";
            }
            left -= 1;
            match c {
                c if c.is_control() => shown += &format!("\\x{:02X}", u32::from(c)),
                c if is_invisible(c) => shown.extend(c.escape_unicode()),
                c => shown.push(c),
            }
        }
    }
    shown
}

/// Marks and overrides of the direction of writing, and what has no width.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

/// `text`, which [`printable`] returned, without `secret`: some peers repeat what they refuse. A secret of fewer than
/// four characters hides nothing, and would only garble the text.
pub fn without(text: &str, secret: &str) -> String {
    let shown = printable_whole(secret.as_bytes());
    if shown.len() < 4 { text.to_owned() } else { text.replace(&shown, "***") }
}

fn escape(bytes: &[u8], longest: usize) -> String {
    let mut text = String::with_capacity(bytes.len().min(longest) + 3);
    for &byte in bytes {
        if text.len() >= longest {
            text.push_str("...");
            break;
        }
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                text.push_str("\\x");
                for nibble in [byte >> 4, byte & 15] {
                    text.push(char::from(b"0123456789ABCDEF"[usize::from(nibble)]));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_terminal_would_obey() {
        assert_eq!(printable("+OK \x1b[31mred\r\n"), "+OK \\x1B[31mred\\x0D\\x0A");
        assert_eq!(printable("Gr\u{fc}\u{df}e \\"), "Gr\\xC3\\xBC\\xC3\\x9Fe \\\\");
    }

    #[test]
    fn a_sentence_stays_legible_and_obeys_nobody() {
        assert_eq!(
            printable_text("{\n  \"error\": \"Ung\u{fc}ltig \u{1f600}\"\r\n}\n", 100),
            "{ \"error\": \"Ung\u{fc}ltig \u{1f600}\" }"
        );
        assert_eq!(
            printable_text("\x1b[31mred\u{9b}0m \u{202e}x\0", 100),
            "\\x1B[31mred\\x9B0m \\u{202e}x\\x00"
        );
        assert_eq!(printable_text(&"ab ".repeat(100), 8), "ab ab ab...");
        assert_eq!(printable_text("ab ab ab", 8), "ab ab ab");
    }

    #[test]
    fn ends_what_has_no_end() {
        assert_eq!(printable("a".repeat(9000)).len(), LONGEST + 3);
        assert_eq!(printable_whole(&[b'a'; 1024]).len(), 1024);
    }
}

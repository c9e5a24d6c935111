//! What people know a message by.

use super::{field, parsed};

/// The longest subject, in characters: beyond that nobody reads it.
const LONGEST: usize = 200;

/// Octets of a field that are looked at.
const OCTETS: usize = 4 << 10;

/// The subject in a header (RFC 5322 section 3.6.5), decoded (RFC 2047), its first 200 characters. It is a stranger's:
/// to be shown only as such. `None` where there is none, or none that can be read.
pub fn subject(header: &[u8]) -> Option<String> {
    let mut value = field(header, "Subject")?;
    value.truncate(OCTETS);
    let text: String = parsed::text_of_field(&value).chars().take(LONGEST).collect();
    if text.is_empty() { None } else { Some(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_decoded_and_bounded() {
        let of = |field: &str| subject(format!("From: x\r\n{field}\r\nTo: y\r\n\r\nbody").as_bytes());
        assert_eq!(of("Subject: plain").as_deref(), Some("plain"));
        assert_eq!(of("sUBJECT: folded\r\n  over lines").as_deref(), Some("folded  over lines"));
        assert_eq!(of("Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=").as_deref(), Some("Gr\u{fc}\u{df}e"));
        assert_eq!(of("Subject: =?iso-8859-1?B?/A==?= =?utf-8?Q?!?=").as_deref(), Some("\u{fc}!"));
        for none in ["Subject:", "Subject:  \r\n ", "X-Subject: no", "Subject"] {
            assert_eq!(of(none), None, "{none}");
        }
        let long = of(&format!("Subject: {}", "\u{e4}".repeat(1_000_000)));
        assert_eq!(long.map(|text| text.chars().count()), Some(LONGEST));
    }

    #[test]
    fn whatever_stands_there_does_no_harm() {
        let mut random = fastrand::Rng::with_seed(1);
        let pieces =
            ["=?", "?=", "utf-8", "?Q?", "?B?", "=", "\r\n ", "a", "\u{0}", "=?x?q?", "\"", "(", "<"];
        for _ in 0..20_000 {
            let text: String =
                (0..random.usize(..30)).map(|_| pieces[random.usize(..pieces.len())]).collect();
            let raw: Vec<u8> = (0..random.usize(..20)).map(|_| random.u8(..)).collect();
            subject(&[b"Subject: ", text.as_bytes(), &raw, b"\r\n\r\n"].concat());
        }
    }
}

//! How a source says that it takes a message for spam, and where such a message goes.

use super::header::fields;

/// The destination's folder for junk, by its attribute (RFC 6154 section 2): which folder that is, its server says.
pub const JUNK: &str = "\\Junk";

/// A header field by which a source marks spam: its name, and what its value begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpamSign {
    name: String,
    value: String,
}

impl SpamSign {
    /// `None` where `text` is not a field as it stands in a header: `X-Spam-Flag: YES`.
    pub fn new(text: &str) -> Option<SpamSign> {
        let (name, value) = text.split_once(':')?;
        let (name, value) = (name.trim_end(), value.trim());
        // RFC 5322 section 3.6.8
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        (is_name && !value.is_empty()).then(|| SpamSign { name: name.into(), value: value.into() })
    }

    /// Whether a field of the header says so. Of `Yes, score=7.1` the word `Yes` is enough, but `No` is not in `None`.
    pub fn is_on(&self, header: &[u8]) -> bool {
        fields(header).any(|(name, value)| {
            name.eq_ignore_ascii_case(self.name.as_bytes()) && begins_with(&value, self.value.as_bytes())
        })
    }
}

fn begins_with(value: &[u8], start: &[u8]) -> bool {
    let Some((found, rest)) = value.split_at_checked(start.len()) else { return false };
    let is_whole = !rest.first().is_some_and(u8::is_ascii_alphanumeric);
    found.eq_ignore_ascii_case(start) && is_whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_spam_by_what_its_source_says() {
        let sign = SpamSign::new("X-Spam-Status: Yes").unwrap();
        let is_on = |header: &str| sign.is_on(header.as_bytes());
        assert!(is_on("Subject: x\r\nx-spam-status: YES, score=7.1\r\n\ttests=ALL\r\n\r\n"));
        assert!(is_on("X-Spam-Status: No\nX-Spam-Status: yes\n\n"));
        for other in [
            "X-Spam-Status: No, score=0.1\r\n\r\n",
            "X-Spam-Status: Yesterday\r\n\r\n",
            "X-Spam-Status:\r\n\r\n",
            "X-Spam-Status-Not: Yes\r\n\r\n",
            "Subject: X-Spam-Status: Yes\r\n\r\n",
            "Subject: x\r\n\r\nX-Spam-Status: Yes\r\n",
        ] {
            assert!(!is_on(other), "{other:?}");
        }
    }

    #[test]
    fn a_sign_is_a_field() {
        for wrong in ["", "X-Spam-Flag", ": YES", "X-Spam-Flag:", "X Spam: YES"] {
            assert_eq!(SpamSign::new(wrong), None, "{wrong:?}");
        }
    }
}

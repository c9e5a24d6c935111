//! Which of an account's destinations a message goes to: the config's `when`, and `deliver_to`.

use std::io;

use regex::Regex;

use super::{Message, Route, fields, parsed};

/// Which of the routes that would take a message get it: the config's `deliver_to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takers {
    #[default]
    All,
    /// Only the first of them.
    First,
}

/// A condition on messages: the config's `when`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// One of the fields of that name is so. Its value counts as people read it: unfolded, decoded (RFC 2047), trimmed.
    Header {
        name: String,
        test: Test,
    },
    /// More octets than this, or fewer.
    Larger(u64),
    Smaller(u64),
    /// It has something to open, or has not. Pictures within the text are no attachments.
    Attachment(bool),
    All(Vec<When>),
    Any(Vec<When>),
    Not(Box<When>),
}

/// Upper and lower case are the same but to [`Test::Matches`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The field is there, whatever it says.
    Exists,
    Equals(String),
    Contains(String),
    Matches(Pattern),
}

/// A regular expression, which is its text.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// What of a message a condition may ask for.
struct Facts<'m> {
    head: &'m [u8],
    octets: u64,
    has_attachment: bool,
}

/// Octets of a message that are searched for attachments. Whoever has more has them in there.
const SEARCHED: u64 = 8 << 20;

/// For each of `routes` whether the message goes there.
///
/// # Errors
/// Where the message is in a file that cannot be read.
pub async fn takers(routes: &[Route], takers: Takers, message: &Message) -> io::Result<Vec<bool>> {
    let asks = |route: &Route| route.when.as_ref().is_some_and(When::asks_for_attachment);
    let has_attachment = match routes.iter().any(asks) {
        true => parsed::has_attachment(&message.beginning(SEARCHED).await?),
        false => false,
    };
    let facts = Facts { head: message.head(), octets: message.octets(), has_attachment };
    let mut is_taken = false;
    Ok(routes
        .iter()
        .map(|route| {
            let is_free = takers == Takers::All || !is_taken;
            let takes = is_free && route.when.as_ref().is_none_or(|when| when.holds(&facts));
            is_taken |= takes;
            takes
        })
        .collect())
}

impl When {
    fn asks_for_attachment(&self) -> bool {
        match self {
            When::Attachment(_) => true,
            When::All(parts) | When::Any(parts) => parts.iter().any(When::asks_for_attachment),
            When::Not(part) => part.asks_for_attachment(),
            When::Header { .. } | When::Larger(_) | When::Smaller(_) => false,
        }
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            When::Header { name, test } => fields(facts.head)
                .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
                .any(|(_, value)| test.holds(&value)),
            When::Larger(octets) => facts.octets > *octets,
            When::Smaller(octets) => facts.octets < *octets,
            When::Attachment(wanted) => facts.has_attachment == *wanted,
            When::All(parts) => parts.iter().all(|part| part.holds(facts)),
            When::Any(parts) => parts.iter().any(|part| part.holds(facts)),
            When::Not(part) => !part.holds(facts),
        }
    }
}

impl Test {
    fn holds(&self, value: &[u8]) -> bool {
        let text = || parsed::text_of_field(value);
        match self {
            Test::Exists => true,
            Test::Equals(wanted) => text().to_lowercase() == wanted.to_lowercase(),
            Test::Contains(wanted) => text().to_lowercase().contains(&wanted.to_lowercase()),
            Test::Matches(pattern) => pattern.0.is_match(&text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: Ann <ann@example.com>\r\nReceived: from a\r\nTo: =?utf-8?Q?B=C3=BCro?=\r\n \
                        <desk+42@example.org>\r\nReceived: from b\r\nSubject: Invoice 4711\r\nX-Empty:\r\n\r\nHello\r\n";

    fn header(name: &str, test: Test) -> When {
        When::Header { name: name.into(), test }
    }

    fn holds(when: &When) -> bool {
        let facts = Facts { head: MAIL.as_bytes(), octets: 1000, has_attachment: true };
        when.holds(&facts)
    }

    #[test]
    fn a_field_counts_as_people_read_it() {
        let contains = |text: &str| Test::Contains(text.into());
        let matches = |text: &str| Test::Matches(Pattern(Regex::new(text).unwrap()));
        for when in [
            header("subject", Test::Equals("INVOICE 4711".into())),
            header("To", contains("b\u{dc}ro <desk+42@")),
            header("To", matches(r"\+\d+@example\.org>$")),
            header("Received", contains("from B")),
            header("Received", contains("from a")),
            header("X-Empty", Test::Exists),
            header("X-Empty", Test::Equals(String::new())),
        ] {
            assert!(holds(&when), "{when:?}");
        }
        for when in [
            header("Subject", Test::Equals("Invoice".into())),
            header("Subject", matches("invoice")),
            header("Received", contains("from c")),
            header("X-Other", Test::Exists),
            header("X-Other", Test::Equals(String::new())),
        ] {
            assert!(!holds(&when), "{when:?}");
        }
    }

    #[test]
    fn conditions_combine() {
        let (yes, no) = (When::Larger(999), When::Smaller(1000));
        assert!(holds(&yes) && !holds(&no) && !holds(&When::Larger(1000)) && holds(&When::Smaller(1001)));
        assert!(holds(&When::Attachment(true)) && !holds(&When::Attachment(false)));
        assert!(holds(&When::Any(vec![no.clone(), yes.clone()])));
        assert!(!holds(&When::All(vec![yes.clone(), no.clone()])));
        assert!(holds(&When::Not(Box::new(no))) && !holds(&When::Not(Box::new(yes))));
    }
}

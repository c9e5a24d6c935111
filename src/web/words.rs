//! Times and numbers as people say them.

use chrono::{DateTime, Local, SecondsFormat, TimeDelta, Utc};
use indicatif::{HumanBytes, HumanCount};

use crate::printable::is_invisible;

/// The longest text of a stranger that is shown, in characters.
const LONGEST: usize = 2000;

/// `text` as it may be shown: the invisible and what turns the direction of writing stand as escapes, and there is an end.
/// What is markup is the templates' affair.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars().take(LONGEST) {
        match c {
            '\n' => shown.push(c),
            c if c.is_control() || is_invisible(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A moment, for a person and for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// `2 minutes ago`, `in 5 minutes`.
    pub words: String,
    /// In the time of this machine, to the second, with its zone.
    pub exact: String,
    /// RFC 3339.
    pub iso: String,
}

impl When {
    pub fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> When {
        let words = match now - at {
            ago if ago.abs() < TimeDelta::seconds(1) => "now".into(),
            ago if ago > TimeDelta::zero() => format!("{} ago", span(ago)),
            ahead => format!("in {}", span(-ahead)),
        };
        When { words, ..When::exact(at) }
    }

    /// The day, and the time of it where the day is today.
    pub fn since(at: DateTime<Utc>, now: DateTime<Utc>) -> When {
        let (local, today) = (at.with_timezone(&Local), now.with_timezone(&Local));
        let form = match local.date_naive() == today.date_naive() {
            true => "%H:%M",
            false if now - at < TimeDelta::days(300) => "%-d %b",
            false => "%-d %b %Y",
        };
        When { words: local.format(form).to_string(), ..When::exact(at) }
    }

    pub fn exact(at: DateTime<Utc>) -> When {
        let exact = at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z").to_string();
        When { words: exact.clone(), exact, iso: at.to_rfc3339_opts(SecondsFormat::Secs, true) }
    }
}

/// A length of time as it was measured: in seconds with a digit behind the point, where it has few of them.
pub fn measured(time: TimeDelta) -> String {
    match time.num_milliseconds().max(0) {
        tenths @ 0..10_000 => format!("{}.{} seconds", tenths / 1000, tenths % 1000 / 100),
        _ => span(time),
    }
}

/// A length of time, in its largest unit.
pub fn span(time: TimeDelta) -> String {
    let (number, unit) = match time.num_seconds().max(0) {
        seconds @ 0..60 => (seconds, "second"),
        seconds @ 60..3600 => (seconds / 60, "minute"),
        seconds @ 3600..172_800 => (seconds / 3600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

pub fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A number with its noun.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(number), if number == 1 { one } else { many })
}

pub fn octets(number: u64) -> String {
    HumanBytes(number).to_string()
}

/// A clause that begins a sentence.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_words() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let said = |seconds| When::relative(now + TimeDelta::seconds(seconds), now).words;
        assert_eq!(said(0), "now");
        assert_eq!((said(-1).as_str(), said(-59).as_str()), ("1 second ago", "59 seconds ago"));
        assert_eq!((said(-120).as_str(), said(300).as_str()), ("2 minutes ago", "in 5 minutes"));
        assert_eq!((said(-3600).as_str(), said(-259_200).as_str()), ("1 hour ago", "3 days ago"));
    }

    #[test]
    fn short_times_are_said_with_a_point() {
        let said = |milliseconds| measured(TimeDelta::milliseconds(milliseconds));
        assert_eq!((said(40).as_str(), said(990).as_str()), ("0.0 seconds", "0.9 seconds"));
        assert_eq!((said(1000).as_str(), said(12_900).as_str()), ("1.0 seconds", "12 seconds"));
        assert!(When::exact(Utc::now()).exact.contains([':']) && said(-1) == "0.0 seconds");
    }

    #[test]
    fn nothing_invisible_is_shown_as_such() {
        assert_eq!(shown("a\u{202e}b\u{1b}[1m"), "a\\u{202e}b\\u{1b}[1m");
        assert_eq!(shown(&"x".repeat(5000)).len(), LONGEST + 3);
    }
}

//! Answers as people write them, and as they are shown.

use std::time::Duration;

use secrecy::SecretString;

use crate::config::value::{self, parse_duration, spelled};
use crate::config::{keys, secret};
use crate::message::LeaveCopy;
use crate::net::Tls;

/// In seconds. People count days here, not weeks.
const DAY: u64 = 24 * 3600;

/// `tls` as a config has it.
pub fn tls_word(tls: Tls) -> &'static str {
    match tls {
        Tls::Implicit => "implicit",
        Tls::StartTls => "starttls",
        Tls::None => "none",
    }
}

/// How a connection may be encrypted, the best first, as people read it.
pub const ENCRYPTIONS: [(&str, Tls); 3] = [
    ("TLS from the first byte", Tls::Implicit),
    ("STARTTLS, on the plaintext port", Tls::StartTls),
    ("none, for a server on this machine only", Tls::None),
];

/// `leave_copy = false`: deleted as soon as it is delivered.
pub const AT_ONCE: LeaveCopy = LeaveCopy::For(Duration::ZERO);

/// `leave_copy` as people say it: `yes`, `no`, or for how long.
///
/// # Errors
/// A clause that says what would be right.
pub fn parse_leave_copy(text: &str) -> Result<LeaveCopy, String> {
    match text {
        "yes" | "true" => Ok(LeaveCopy::Forever),
        "no" | "false" => Ok(AT_ONCE),
        time => match parse_duration(time).filter(|time| *time <= keys::LONGEST_COPY) {
            Some(time) => Ok(LeaveCopy::For(time)),
            None => Err("answer yes, no, or for how long, such as 14d".into()),
        },
    }
}

/// As [`parse_leave_copy`] reads it.
pub fn leave_copy_word(leave_copy: LeaveCopy) -> String {
    match leave_copy {
        LeaveCopy::Forever => "yes".into(),
        AT_ONCE => "no".into(),
        LeaveCopy::For(time) if time.as_secs() % DAY == 0 => format!("{}d", time.as_secs() / DAY),
        LeaveCopy::For(time) => spelled(time),
    }
}

/// The longest `leave_copy`, in days.
pub const MOST_DAYS: u64 = keys::LONGEST_COPY.as_secs() / DAY;

/// Whether a person has typed a number, however large.
pub fn is_number(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

/// An IMAP folder as people write it: in Unicode, with `/` between the levels.
///
/// # Errors
/// A clause that can follow the folder's key.
pub fn parse_folder(text: &str) -> Result<String, String> {
    value::folder(text).map(str::to_owned)
}

/// Labels as people write them: names, with commas between them.
///
/// # Errors
/// A clause that can follow the labels' key.
pub fn parse_labels(text: &str) -> Result<Vec<String>, String> {
    value::labels(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Ok))
}

/// A secret from the bytes of its file, less the end of their line.
///
/// # Errors
/// A clause that can follow the file's name.
pub fn parse_secret(bytes: Vec<u8>) -> Result<SecretString, String> {
    secret::text(bytes)
}

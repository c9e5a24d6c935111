//! How values stand in the columns.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{DeliveryId, MessageId, State};
use crate::message::{Content, DestinationName, LeaveCopy};

/// In seconds, as all times are.
pub(super) const DAY: i64 = 24 * 3600;

/// An unsigned number; what does not fit is as good as endless.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(if number < 0 { 0 } else { u32::MAX })
}

pub(super) fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

/// NULL is for ever.
pub(super) fn leave_copy(leave_copy: LeaveCopy) -> Option<i64> {
    match leave_copy {
        LeaveCopy::Forever => None,
        LeaveCopy::For(age) => Some(int(age.as_secs())),
    }
}

/// The schema allows 32 octets only.
pub(super) fn digest(column: &[u8]) -> [u8; 32] {
    column.try_into().unwrap_or_default()
}

pub(super) fn content(column: &[u8]) -> Content {
    Content(digest(column))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

pub(super) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
}

/// Lists go to the database as JSON, one parameter however long they are.
pub(super) fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> String {
    Value::Array(items.into_iter().map(Into::into).collect()).to_string()
}

pub(super) fn names(names: &[DestinationName]) -> String {
    list(names.iter().map(|name| json!(name.as_str())))
}

impl From<MessageId> for Value {
    fn from(id: MessageId) -> Value {
        id.0.into()
    }
}

impl From<DeliveryId> for Value {
    fn from(id: DeliveryId) -> Value {
        id.0.into()
    }
}

impl State {
    /// As it stands in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Due => "due",
            State::Attempting => "attempting",
            State::Delivered => "delivered",
            State::Deferred => "deferred",
            State::Parked => "parked",
            State::Skipped => "skipped",
            State::GivenUp => "given up",
        }
    }

    /// The schema allows these words only.
    pub(super) fn parse(text: &str) -> State {
        match text {
            "attempting" => State::Attempting,
            "delivered" => State::Delivered,
            "deferred" => State::Deferred,
            "parked" => State::Parked,
            "skipped" => State::Skipped,
            "given up" => State::GivenUp,
            _ => State::Due,
        }
    }
}

//! The body of `format = "json"`: the envelope of Standard Webhooks around one message in the words of JMAP
//! (RFC 8621 section 4). It depends on the message and where it was found, and on nothing else, so that it is the
//! same bytes on every retry.

use std::io;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::body::Body;
use super::parsed::{self, Content, Header};
use crate::message::{self, Message, Outgoing};

/// The largest message whose parts are parsed: 8 MiB. A larger one arrives as its header and `raw`.
pub const LARGEST_PARSED: u64 = 8 << 20;

/// The most header fields that are listed; `raw` has them all.
const MOST_FIELDS: usize = 10_000;

#[derive(Serialize)]
struct Event {
    r#type: &'static str,
    /// When the message was received or else written: never now, which would differ on a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    id: String,
    account: String,
    source: Source,
    envelope: Envelope,
    #[serde(flatten)]
    header: Header,
    received_at: Option<String>,
    size: u64,
    headers: Vec<Field>,
    #[serde(flatten)]
    content: Content,
    // `raw` comes last: it is appended, and streamed where the message is large.
}

#[derive(Serialize)]
struct Source {
    protocol: &'static str,
    uidl: String,
    /// Of the message as it is in `raw`.
    sha256: String,
}

/// POP3 has no SMTP envelope; this one is what the last server wrote into the header.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
    derived_from: Option<&'static str>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    value: String,
}

/// # Errors
/// Where the message cannot be read back from its temporary file.
pub async fn json(outgoing: &Outgoing, id: &str) -> io::Result<Body> {
    let message = &outgoing.message;
    let head = Bytes::copy_from_slice(message.head());
    let header = or_default({
        let head = head.clone();
        move || parsed::header(&head)
    })
    .await;
    let content = match small(message).await? {
        Some(bytes) => or_default(move || parsed::content(&bytes)).await,
        None => Content::default(),
    };
    let received_at = message.received_at();
    let event = Event {
        r#type: "email.received",
        timestamp: received_at.or_else(|| sent_at(&head)).map(in_utc),
        data: Data {
            id: id.to_owned(),
            account: outgoing.account.to_string(),
            source: Source {
                protocol: "pop3",
                uidl: outgoing.uidl.to_string(),
                sha256: super::hex(&digest(message).await?),
            },
            envelope: envelope(&head),
            header,
            received_at: received_at.map(in_utc),
            size: message.octets(),
            headers: headers(&head),
            content,
        },
    };
    let mut before = serde_json::to_vec(&event)?;
    // Reopens `data` and the event for the last field.
    before.truncate(before.len() - 2);
    before.extend_from_slice(br#","raw":""#);
    Ok(Body::around(before, message, br#""}}"#))
}

/// SHA-256 of the whole message, to the byte.
///
/// # Errors
/// As [`json`].
pub async fn digest(message: &Message) -> io::Result<[u8; 32]> {
    let (mut hash, mut chunks) = (Sha256::new(), message.chunks());
    while let Some(chunk) = chunks.next().await? {
        hash.update(&chunk);
    }
    Ok(hash.finalize().into())
}

/// All of a message that is small enough to be parsed.
async fn small(message: &Message) -> io::Result<Option<Bytes>> {
    if message.octets() > LARGEST_PARSED {
        return Ok(None);
    }
    if let Some(bytes) = message.bytes() {
        return Ok(Some(bytes.clone()));
    }
    let (mut all, mut chunks) = (BytesMut::new(), message.chunks());
    while let Some(chunk) = chunks.next().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(Some(all.freeze()))
}

/// Parses off the runtime's workers. Where the parser panics, its part of the payload is empty: the message still
/// arrives, in `raw`.
async fn or_default<T: Default + Send + 'static>(parse: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(parse).await.unwrap_or_default()
}

fn sent_at(head: &[u8]) -> Option<DateTime<FixedOffset>> {
    message::parse_date(&message::field(head, "Date")?)
}

fn in_utc(date: DateTime<FixedOffset>) -> String {
    date.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn envelope(head: &[u8]) -> Envelope {
    let address = |name| {
        let value = message::field(head, name)?;
        let value = text(&value);
        let address = value.trim_matches(['<', '>', ' ', '\t']);
        (!address.is_empty()).then(|| address.to_owned())
    };
    let recipient = ["Delivered-To", "X-Original-To", "Envelope-To"];
    let recipient = recipient.into_iter().find_map(|name| Some((name, address(name)?)));
    let (derived_from, to) = recipient.unzip();
    Envelope { from: address("Return-Path"), to: to.into_iter().collect(), derived_from }
}

fn headers(head: &[u8]) -> Vec<Field> {
    let fields = message::fields(head).take(MOST_FIELDS);
    fields.map(|(name, value)| Field { name: text(name), value: text(&value) }).collect()
}

/// JSON has only Unicode (RFC 8621 section 4.1.2.1): what is not UTF-8 becomes U+FFFD, and NUL is dropped.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "")
}

//! mailferry's own: the envelope of Standard Webhooks around one message in the words of JMAP (RFC 8621 section 4). It
//! depends on the message and where it was found, and on nothing else, so that it is the same bytes on every retry.
//! `mailferry schema webhook` prints its schema.

use std::io;

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::super::envelope::{Envelope, text};
use super::{Body, Credential, Encoded, Format, Letter, MAX_BYTES};
use crate::message::parsed::{self, Content, Header};
use crate::message::{self, Message};

pub const FORMAT: Format = Format {
    name: "json",
    credential: Credential::Signature,
    max_bytes: MAX_BYTES,
    can_omit: true,
    form: None,
    encode: |letter| Box::pin(encode(letter)),
};

/// The largest message whose parts are parsed: 8 MiB. A larger one arrives as its header and `raw`.
pub const LARGEST_PARSED: u64 = 8 << 20;

/// The most header fields that are listed; `raw` has them all.
pub(super) const MOST_FIELDS: usize = 10_000;

/// The JSON Schema of what is posted.
pub const SCHEMA: &str = include_str!("json.schema.json");

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

#[derive(Serialize)]
struct Field {
    name: String,
    value: String,
}

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    let message = letter.message();
    let (header, content) = match letter.is_bare {
        true => parse_bare(message).await?,
        false => parse(message).await?,
    };
    let mut before = serde_json::to_vec(&event(letter, header, content).await?)?;
    // Reopens `data` and the event for the last field.
    before.truncate(before.len() - 2);
    let body = if letter.is_bare {
        before.extend_from_slice(br#","raw":null}}"#);
        Body::of(before)
    } else {
        before.extend_from_slice(br#","raw":""#);
        Body::of(before).and_base64(message).and(&br#""}}"#[..]).joined()
    };
    Ok(Encoded { content_type: "application/json".into(), body })
}

async fn event(letter: &Letter<'_>, header: Header, content: Content) -> io::Result<Event> {
    let (message, head) = (letter.message(), letter.message().head());
    let received_at = message.received_at();
    Ok(Event {
        r#type: "email.received",
        timestamp: received_at.or_else(|| sent_at(head)).map(in_utc),
        data: Data {
            id: letter.id.to_owned(),
            account: letter.outgoing.account.to_string(),
            source: Source {
                protocol: "pop3",
                uidl: letter.outgoing.uidl.to_string(),
                sha256: super::super::hex(&digest(message).await?),
            },
            envelope: letter.envelope.clone(),
            header,
            received_at: received_at.map(in_utc),
            size: message.octets(),
            headers: headers(head),
            content,
        },
    })
}

/// The header and the body of a message, as far as they are parsed.
///
/// # Errors
/// Where the message cannot be read back from its temporary file.
pub(super) async fn parse(message: &Message) -> io::Result<(Header, Content)> {
    let content = if message.octets() > LARGEST_PARSED {
        Content::default()
    } else {
        let whole = message.whole().await?;
        or_default(move || parsed::content(&whole)).await
    };
    Ok((parse_header(message).await, content))
}

/// The same of what a message begins with, without what its attachments hold: texts come first.
async fn parse_bare(message: &Message) -> io::Result<(Header, Content)> {
    let beginning = message.beginning(LARGEST_PARSED).await?;
    let mut content = or_default(move || parsed::content(&beginning)).await;
    content.truncated = true;
    content.attachments.iter_mut().for_each(|attachment| attachment.content = None);
    Ok((parse_header(message).await, content))
}

async fn parse_header(message: &Message) -> Header {
    let head = Bytes::copy_from_slice(message.head());
    or_default(move || parsed::header(&head)).await
}

/// SHA-256 of the whole message, to the byte.
///
/// # Errors
/// Where it cannot be read back from its temporary file.
pub async fn digest(message: &Message) -> io::Result<[u8; 32]> {
    let (mut hash, mut chunks) = (Sha256::new(), message.chunks());
    while let Some(chunk) = chunks.next().await? {
        hash.update(&chunk);
    }
    Ok(hash.finalize().into())
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

fn headers(head: &[u8]) -> Vec<Field> {
    let fields = message::fields(head).take(MOST_FIELDS);
    fields.map(|(name, value)| Field { name: text(name), value: text(&value) }).collect()
}

//! A message taken apart: the only module that knows mail-parser.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Address, Encoding, HeaderValue, MessageParser, MessagePart, MimeHeaders, PartType};
use serde::Serialize;

use crate::message;

/// The fields of a header that have a meaning of their own, as RFC 8621 section 4.1.3 names and parses them.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Without angle brackets, like the two below.
    pub message_id: Vec<String>,
    pub in_reply_to: Vec<String>,
    pub references: Vec<String>,
    pub from: Vec<Mailbox>,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    pub bcc: Vec<Mailbox>,
    pub reply_to: Vec<Mailbox>,
    pub subject: Option<String>,
    /// The Date field, RFC 3339 with its own offset.
    pub sent_at: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Mailbox {
    pub name: Option<String>,
    pub email: String,
}

/// The body of a message, as RFC 8621 section 4.1.4 divides it. The default is a body that was not parsed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The parts meant to be read, those in plain text and those in HTML; null where there is none of the kind.
    pub text: Option<String>,
    pub html: Option<String>,
    /// The beginning as plain text, at most 256 characters.
    pub preview: Option<String>,
    pub has_attachment: bool,
    pub attachments: Vec<Attachment>,
    /// True where the body was not parsed (too large, or built to hurt a parser): see `raw` for it.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    pub part_id: String,
    pub name: Option<String>,
    pub r#type: String,
    /// Octets once decoded.
    pub size: usize,
    pub cid: Option<String>,
    pub disposition: Option<String>,
    /// In base64.
    pub content: String,
}

impl Default for Content {
    fn default() -> Self {
        Content {
            text: None,
            html: None,
            preview: None,
            has_attachment: false,
            attachments: Vec::new(),
            truncated: true,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Longest [`Content::preview`], in characters.
const PREVIEW: usize = 256;

/// Reads a header. May panic where the parser does.
pub fn header(head: &[u8]) -> Header {
    let parsed = if is_harmless(head) { MessageParser::default().parse_headers(head) } else { None };
    let Some(parsed) = parsed else { return Header::default() };
    Header {
        message_id: parsed.header("Message-ID").map(ids).unwrap_or_default(),
        in_reply_to: ids(parsed.in_reply_to()),
        references: ids(parsed.references()),
        from: mailboxes(parsed.from()),
        to: mailboxes(parsed.to()),
        cc: mailboxes(parsed.cc()),
        bcc: mailboxes(parsed.bcc()),
        reply_to: mailboxes(parsed.reply_to()),
        subject: parsed.subject().map(str::to_owned),
        sent_at: message::field(head, "Date")
            .and_then(|date| message::parse_date(&date))
            .map(|date| date.to_rfc3339()),
    }
}

/// Reads a whole message. May panic where the parser does.
pub fn content(bytes: &[u8]) -> Content {
    if !is_harmless(bytes) {
        return Content::default();
    }
    let Some(parsed) = MessageParser::default().parse(bytes) else {
        return Content { truncated: false, ..Content::default() };
    };
    let text = parsed.text_bodies().filter_map(|part| match &part.body {
        PartType::Text(text) => Some(text.as_ref()),
        _ => None,
    });
    let html = parsed.html_bodies().filter_map(|part| match &part.body {
        PartType::Html(html) => Some(html.as_ref()),
        _ => None,
    });
    let attachments: Vec<_> =
        parsed.attachments.iter().filter_map(|&id| Some(attachment(id, parsed.part(id)?, bytes))).collect();
    Content {
        text: joined(text),
        html: joined(html),
        preview: parsed.body_preview(PREVIEW).map(|text| text.chars().take(PREVIEW).collect()),
        has_attachment: attachments.iter().any(Attachment::is_attached),
        attachments,
        truncated: false,
    }
}

impl Attachment {
    /// Whether it is something to open, and not a picture within the text.
    fn is_attached(&self) -> bool {
        match self.disposition.as_deref() {
            Some(disposition) => disposition != "inline",
            None => self.cid.is_none(),
        }
    }
}

/// Whether the parser can be trusted with it: it spends about 100 octets on a header field, more on a part, and
/// goes one call deeper for every message within a message, which costs the process its stack and not a panic.
fn is_harmless(bytes: &[u8]) -> bool {
    const MOST_FIELDS_OF_PARTS: usize = 1000;
    const MOST_BOUNDARIES: usize = 10_000;
    const SHORTEST_LINES: (usize, usize) = (65_536, 32);

    let (mut lines, mut boundaries, mut fields) = (0, 0, 0);
    for line in bytes.split(|&byte| byte == b'\n') {
        lines += 1;
        boundaries += usize::from(line.starts_with(b"--"));
        let is_field = line.get(..12).is_some_and(|name| name.eq_ignore_ascii_case(b"Content-Type"));
        fields += usize::from(is_field);
    }
    let (few, octets_each) = SHORTEST_LINES;
    lines <= few + bytes.len() / octets_each
        && boundaries <= MOST_BOUNDARIES
        && fields <= MOST_FIELDS_OF_PARTS
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> Option<String> {
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}

fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(id) => vec![id.to_string()],
        HeaderValue::TextList(ids) => ids.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

fn mailboxes(addresses: Option<&Address<'_>>) -> Vec<Mailbox> {
    let addresses = addresses.into_iter().flat_map(Address::iter);
    addresses
        .map(|address| Mailbox {
            name: address.name.as_deref().map(str::to_owned),
            email: address.address.as_deref().unwrap_or_default().to_owned(),
        })
        .collect()
}

fn attachment(id: u32, part: &MessagePart<'_>, bytes: &[u8]) -> Attachment {
    let content = decoded(part, bytes);
    let r#type = match part.content_type() {
        Some(kind) => format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("octet-stream")),
        None => "text/plain".to_owned(),
    };
    Attachment {
        part_id: id.to_string(),
        name: part.attachment_name().map(str::to_owned),
        r#type: r#type.to_ascii_lowercase(),
        size: content.len(),
        cid: part.content_id().map(str::to_owned),
        disposition: part.content_disposition().map(|kind| kind.ctype().to_ascii_lowercase()),
        content: STANDARD.encode(&content),
    }
}

/// The octets of a part without their transfer encoding. The parser also converts text to UTF-8, which would make
/// an attached file another file.
fn decoded<'a>(part: &'a MessagePart<'_>, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    let encoded = bytes.get(part.offset_body as usize..part.offset_end as usize);
    let octets = match (&part.body, part.encoding, encoded) {
        (PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Multipart(_), ..) | (.., None) => None,
        (.., Encoding::None, Some(octets)) => Some(octets.into()),
        (.., Encoding::QuotedPrintable, Some(octets)) => quoted_printable_decode(octets).map(Cow::Owned),
        (.., Encoding::Base64, Some(octets)) => base64_decode(octets).map(Cow::Owned),
    };
    octets.unwrap_or_else(|| part.contents().into())
}

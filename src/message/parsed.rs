//! A message taken apart: the only module that knows mail-parser.

use std::borrow::Cow;
use std::panic::catch_unwind;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Address, HeaderName, HeaderValue, MessageParser, MessagePart, MimeHeaders, PartType};
use serde::Serialize;

use super::{field, parse_date};

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
    /// True where the body was not parsed, or not to its end (too large, or made as no mail program makes it): see
    /// `raw` for all of it.
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
    /// In base64; null where it was left out.
    pub content: Option<String>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Longest [`Content::preview`], in characters.
const PREVIEW: usize = 256;

/// Octets of a field that [`mailboxes_in`] looks at.
const LONGEST_FIELD: usize = 16 << 10;

static HEADER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new().with_address_headers().with_message_ids().header_text(HeaderName::Subject)
});

/// Transfer encodings are left for [`octets`] to decode: the parser would also parse what it decodes of a message
/// within a message, to any depth, with a copy of all of it for each that it finds in there.
static CONTENT: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new().with_mime_headers().ignore_header(HeaderName::ContentTransferEncoding)
});

/// Reads a header. May panic where the parser does.
pub fn header(head: &[u8]) -> Header {
    let parsed = if is_harmless(head) { HEADER.parse_headers(head) } else { None };
    let Some(parsed) = parsed else { return Header::default() };
    Header {
        message_id: parsed.header(HeaderName::MessageId).map(ids).unwrap_or_default(),
        in_reply_to: ids(parsed.in_reply_to()),
        references: ids(parsed.references()),
        from: mailboxes(parsed.from()),
        to: mailboxes(parsed.to()),
        cc: mailboxes(parsed.cc()),
        bcc: mailboxes(parsed.bcc()),
        reply_to: mailboxes(parsed.reply_to()),
        subject: parsed.subject().map(str::to_owned),
        sent_at: field(head, "Date").and_then(|date| parse_date(&date)).map(|date| date.to_rfc3339()),
    }
}

/// The mailboxes in a field of addresses; none where it cannot be read.
pub fn mailboxes_in(head: &[u8], name: &str) -> Vec<Mailbox> {
    let mut text = b"From: ".to_vec();
    text.extend(field(head, name).unwrap_or_default().into_iter().take(LONGEST_FIELD));
    text.extend(b"\r\n\r\n");
    // The parser is not ours, and a stranger wrote this.
    catch_unwind(|| header(&text).from).unwrap_or_default()
}

/// The longest text of [`text_of_field`], in octets of the field: beyond that nobody reads it.
const LONGEST_TEXT: usize = 64 << 10;

/// The value of a field as people read it: unfolded, decoded (RFC 2047), trimmed.
pub fn text_of_field(value: &[u8]) -> String {
    let value = &value[..value.len().min(LONGEST_TEXT)];
    let plain = || String::from_utf8_lossy(value).trim().to_owned();
    if memchr::memmem::find(value, b"=?").is_none() {
        return plain();
    }
    let field = [b"Subject: ", value, b"\r\n\r\n"].concat();
    // The parser is not ours, and a stranger wrote this.
    let text = catch_unwind(|| header(&field).subject).ok().flatten();
    text.map_or_else(plain, |text| text.trim().to_owned())
}

/// Whether there is something to open in a message, or in its beginning; no, where the parser cannot be trusted with it.
pub fn has_attachment(message: &[u8]) -> bool {
    catch_unwind(|| {
        let parsed = CONTENT.parse(message).filter(|_| is_harmless(message))?;
        Some(parsed.attachments.iter().filter_map(|&id| parsed.part(id)).any(is_attached))
    })
    .ok()
    .flatten()
    .unwrap_or(false)
}

/// Reads a whole message. May panic where the parser does.
pub fn content(message: &[u8]) -> Content {
    if !is_harmless(message) {
        return Content::default();
    }
    let Some(parsed) = CONTENT.parse(message) else {
        return Content { truncated: false, ..Content::default() };
    };
    let parts = |ids: &[u32]| ids.iter().filter_map(|&id| Some((id, parsed.part(id)?))).collect::<Vec<_>>();
    let is_text = |part: &MessagePart<'_>| matches!(part.body, PartType::Text(_));
    let is_html = |part: &MessagePart<'_>| matches!(part.body, PartType::Html(_));
    let text = joined(&parts(&parsed.text_body), is_text, message);
    let html = joined(&parts(&parsed.html_body), is_html, message);
    let attachments = parts(&parsed.attachments);
    let has_attachment = attachments.iter().any(|(_, part)| is_attached(part));
    // The parser took the encoding of such a part for its text, and may have run on into the next part.
    let is_encoded_message =
        |part: &MessagePart<'_>| part.is_message() && encoding(part, message) != Encoding::None;
    let truncated = attachments.iter().any(|(_, part)| is_encoded_message(part));
    let attachments: Vec<_> = attachments.iter().map(|(id, part)| attachment(*id, part, message)).collect();
    let preview = match &text {
        Some(text) => Some(text.chars().take(PREVIEW).collect()),
        None => html.as_deref().map(|html| html_to_text(html).chars().take(PREVIEW).collect()),
    };
    Content { text, html, preview, has_attachment, attachments, truncated }
}

/// Whether it is something to open, and not a picture within the text.
fn is_attached(part: &MessagePart<'_>) -> bool {
    match part.content_disposition() {
        Some(disposition) => !disposition.ctype().eq_ignore_ascii_case("inline"),
        None => part.content_id().is_none(),
    }
}

/// Whether the parser can be trusted with it. It spends about 100 octets on a field and more on a part; it goes one
/// call deeper for each message within a message, which ends the process and not a task; and it compares every
/// extended parameter of a field (RFC 2231) with every other.
fn is_harmless(message: &[u8]) -> bool {
    const MOST_DEPTH: usize = 2000;
    const MOST_BOUNDARIES: usize = 10_000;
    const MOST_EXTENDED: usize = 200;
    const FEW_LINES: usize = 65_536;
    const SHORT_LINE: usize = 32;

    let (mut lines, mut boundaries, mut stars, mut equals) = (0, 0, 0, 0);
    for line in message.split(|&byte| byte == b'\n') {
        lines += 1;
        boundaries += usize::from(line.starts_with(b"--"));
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            (stars, equals) = (0, 0);
        }
        stars += memchr::memchr_iter(b'*', line).count();
        if stars > MOST_EXTENDED {
            equals += memchr::memchr_iter(b'=', line).count();
        }
        if equals > MOST_EXTENDED {
            return false;
        }
    }
    // Each message within a message needs one of these words, whatever stands between them.
    let depth = count(message, b"message").min(count(message, b"rfc822") + count(message, b"global"))
        + count(message, b"digest");
    lines <= FEW_LINES + message.len() / SHORT_LINE && boundaries <= MOST_BOUNDARIES && depth <= MOST_DEPTH
}

/// How often `word`, in lower case, occurs in any case.
fn count(text: &[u8], word: &[u8]) -> usize {
    let (first, rest) = (word[0], &word[1..]);
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), text)
        .filter(|at| text[at + 1..].get(..rest.len()).is_some_and(|found| found.eq_ignore_ascii_case(rest)))
        .count()
}

fn joined(
    parts: &[(u32, &MessagePart<'_>)],
    is_wanted: impl Fn(&MessagePart<'_>) -> bool,
    message: &[u8],
) -> Option<String> {
    let wanted = parts.iter().filter(|(_, part)| is_wanted(part));
    let texts: Vec<String> = wanted.map(|(_, part)| text(part, message)).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// A part in Unicode.
fn text(part: &MessagePart<'_>, message: &[u8]) -> String {
    let octets = octets(part, message);
    let charset = part.content_type().and_then(|kind| kind.attribute("charset"));
    match charset.and_then(|charset| charset_decoder(charset.as_bytes())) {
        Some(decode) => decode(&octets),
        None => String::from_utf8_lossy(&octets).into_owned(),
    }
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

fn attachment(id: u32, part: &MessagePart<'_>, message: &[u8]) -> Attachment {
    let content = octets(part, message);
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
        content: Some(STANDARD.encode(&content)),
    }
}

/// RFC 2045 section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    None,
    QuotedPrintable,
    Base64,
}

fn encoding(part: &MessagePart<'_>, message: &[u8]) -> Encoding {
    let is_it = |field: &&mail_parser::Header<'_>| field.name == HeaderName::ContentTransferEncoding;
    let field = part.headers.iter().rfind(is_it);
    let value = field.and_then(|field| message.get(field.offset_start as usize..field.offset_end as usize));
    let value = value.unwrap_or_default().trim_ascii();
    if value.eq_ignore_ascii_case(b"base64") {
        Encoding::Base64
    } else if value.eq_ignore_ascii_case(b"quoted-printable") {
        Encoding::QuotedPrintable
    } else {
        Encoding::None
    }
}

/// The octets of a part without their transfer encoding; as they stand, where they do not keep to it.
fn octets<'a>(part: &MessagePart<'_>, message: &'a [u8]) -> Cow<'a, [u8]> {
    let encoded = message.get(part.offset_body as usize..part.offset_end as usize).unwrap_or_default();
    let decoded = match encoding(part, message) {
        Encoding::None => None,
        Encoding::QuotedPrintable => quoted_printable_decode(encoded),
        Encoding::Base64 => base64_decode(encoded),
    };
    decoded.map_or(Cow::Borrowed(encoded), Cow::Owned)
}

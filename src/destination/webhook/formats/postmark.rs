//! What Postmark posts, with "include raw email content": django-anymail (`/anymail/postmark/inbound/`), Action Mailbox
//! (`/rails/action_mailbox/postmark/inbound_emails`), Tryton.
//!
//! <https://postmarkapp.com/developer/webhooks/inbound-webhook>, and the type `InboundWebhook` of npm's postmark 4.
//! `ContentID` is left out where there is none: Anymail takes an empty one for a picture within the text. `Return-Path` is
//! the first of `Headers`, where Anymail looks for the sender.

use std::io;

use serde::Serialize;

use super::super::envelope::text;
use super::super::seven_bit::Text;
use super::{Body, Credential, Encoded, Format, Letter, MAX_TEXT, json};
use crate::message;
use crate::message::parsed::{Attachment, Content, Header, Mailbox};

pub const FORMAT: Format = Format {
    name: "postmark",
    credential: Credential::Basic { user: "actionmailbox" },
    max_bytes: MAX_TEXT,
    can_omit: false,
    form: None,
    encode: |letter| Box::pin(encode(letter)),
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inbound<'l> {
    from: String,
    from_name: String,
    from_full: Person,
    to: String,
    to_full: Vec<Person>,
    cc: String,
    cc_full: Vec<Person>,
    bcc: String,
    bcc_full: Vec<Person>,
    reply_to: String,
    original_recipient: String,
    subject: String,
    date: String,
    mailbox_hash: String,
    tag: &'static str,
    #[serde(rename = "MessageID")]
    message_id: &'l str,
    message_stream: &'static str,
    text_body: String,
    html_body: String,
    stripped_text_reply: &'static str,
    headers: Vec<Field>,
    attachments: Vec<File>,
    // `RawEmail` comes last: it is appended, and streamed where the message is large.
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Person {
    email: String,
    name: String,
    mailbox_hash: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Field {
    name: String,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    name: String,
    content: String,
    content_type: String,
    content_length: usize,
    #[serde(rename = "ContentID", skip_serializing_if = "Option::is_none")]
    content_id: Option<String>,
}

/// Fields that have a key of their own, and are not among `Headers`.
const OWN: [&str; 7] = ["From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date"];

async fn encode(letter: &Letter<'_>) -> io::Result<Encoded> {
    let (header, content) = json::parse(letter.message()).await?;
    let mut before = serde_json::to_vec(&inbound(letter, header, content))?;
    // Reopens the object for the last field.
    before.truncate(before.len() - 1);
    before.extend_from_slice(br#","RawEmail":""#);
    let body = Text::in_json_after(Body::of(before), letter.message()).await?.and(&br#""}"#[..]).joined();
    Ok(Encoded { content_type: "application/json".into(), body })
}

fn inbound<'l>(letter: &'l Letter<'l>, header: Header, content: Content) -> Inbound<'l> {
    let head = letter.message().head();
    let original_recipient = letter.envelope_in_full().1.into_iter().next().unwrap_or_default();
    let field = |name| message::field(head, name).map(|value| text(&value)).unwrap_or_default();
    let from = header.from.into_iter().next().map(Person::from).unwrap_or_default();
    Inbound {
        from: from.email.clone(),
        from_name: from.name.clone(),
        from_full: from,
        to: field("To"),
        to_full: header.to.into_iter().map(Person::from).collect(),
        cc: field("Cc"),
        cc_full: header.cc.into_iter().map(Person::from).collect(),
        bcc: field("Bcc"),
        bcc_full: header.bcc.into_iter().map(Person::from).collect(),
        reply_to: field("Reply-To"),
        subject: header.subject.unwrap_or_default(),
        date: field("Date"),
        mailbox_hash: hash_of(&original_recipient),
        tag: "",
        message_id: letter.id,
        message_stream: "inbound",
        text_body: content.text.unwrap_or_default(),
        html_body: content.html.unwrap_or_default(),
        stripped_text_reply: "",
        original_recipient,
        headers: headers(letter, head),
        attachments: content.attachments.into_iter().map(File::from).collect(),
    }
}

fn headers(letter: &Letter<'_>, head: &[u8]) -> Vec<Field> {
    let sender = letter
        .envelope
        .from
        .as_ref()
        .map(|from| Field { name: "Return-Path".into(), value: format!("<{from}>") });
    let others = message::fields(head)
        .map(|(name, value)| Field { name: text(name), value: text(&value) })
        .filter(|field| !OWN.iter().chain(&["Return-Path"]).any(|own| field.name.eq_ignore_ascii_case(own)));
    sender.into_iter().chain(others.take(json::MOST_FIELDS)).collect()
}

/// What is between `+` and `@`.
fn hash_of(address: &str) -> String {
    let hash = address.split_once('@').and_then(|(local, _)| local.split_once('+'));
    hash.map(|(_, hash)| hash.to_owned()).unwrap_or_default()
}

impl From<Mailbox> for Person {
    fn from(mailbox: Mailbox) -> Person {
        let mailbox_hash = hash_of(&mailbox.email);
        Person { email: mailbox.email, name: mailbox.name.unwrap_or_default(), mailbox_hash }
    }
}

impl From<Attachment> for File {
    fn from(attachment: Attachment) -> File {
        File {
            name: attachment.name.unwrap_or_default(),
            content: attachment.content.unwrap_or_default(),
            content_type: attachment.r#type,
            content_length: attachment.size,
            content_id: attachment.cid,
        }
    }
}

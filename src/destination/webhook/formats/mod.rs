//! How a message is posted: a file for each kind of receiver, with what it expects and a small encoder.
//!
//! To add one: a file beside these with a `FORMAT`, its name here and in [`ALL`], and a line in `config/mailferry.toml`.

mod actionmailbox;
mod discourse;
mod form;
mod gitlab;
mod json;
mod mailgun_mime;
mod postmark;
mod raw;
mod redmine;
mod sendgrid_raw;

pub use json::SCHEMA;

use std::borrow::Cow;
use std::fmt;
use std::io;

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::super::body::Body;
use super::Settings;
use super::envelope::Envelope;
use crate::message::{Message, Outgoing};

/// Where a login stands in a request (RFC 7617, RFC 6750).
pub const LOGIN_FIELD: &str = "Authorization";

/// A way to post a message.
pub struct Format {
    /// The config's `format`.
    pub name: &'static str,
    /// How `secret` shows the receiver who is asking.
    pub credential: Credential,
    /// The config's `max_bytes`, where it does not say.
    pub max_bytes: u64,
    /// Whether it can do without the attachments of a message that is too large.
    pub can_omit: bool,
    /// Where it is a form, so that `fields` of the config can go along: the names of its own fields.
    pub form: Option<&'static [&'static str]>,
    encode: Encode,
}

type Encode = for<'l> fn(&'l Letter<'l>) -> BoxFuture<'l, io::Result<Encoded>>;

/// What the config's `secret` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A key of Standard Webhooks, by which each request is signed. There may be several.
    Signature,
    /// The password of Basic authentication (RFC 7617), for this user unless the config's `user` is another.
    Basic { user: &'static str },
    /// The value of this header field. The config's `user`, or else this one, is the value of the second.
    Field { name: &'static str, user: Option<(&'static str, &'static str)> },
    /// A key, in base64, by which a token in this header field is signed (RFC 7519), of this issuer.
    Token { name: &'static str, issuer: &'static str },
    /// Something that the encoder puts into the body.
    InBody,
}

impl Credential {
    /// The header fields that it takes.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        let (first, second) = match self {
            Credential::Basic { .. } => (Some(LOGIN_FIELD), None),
            Credential::Field { name, user } => (Some(name), user.map(|(name, _)| name)),
            Credential::Token { name, .. } => (Some(name), None),
            Credential::Signature | Credential::InBody => (None, None),
        };
        first.into_iter().chain(second)
    }
}

const ALL: [&Format; 9] = [
    Format::JSON,
    Format::RAW,
    &actionmailbox::FORMAT,
    &discourse::FORMAT,
    &gitlab::FORMAT,
    &mailgun_mime::FORMAT,
    &postmark::FORMAT,
    &redmine::FORMAT,
    &sendgrid_raw::FORMAT,
];

/// Where nothing else limits it, in octets of the message: 25 MiB.
const MAX_BYTES: u64 = 25 << 20;

/// The same where a receiver has to hold it as text, and mailferry perhaps, too: 10 MiB.
const MAX_TEXT: u64 = 10 << 20;

impl Format {
    pub const JSON: &Format = &json::FORMAT;
    pub const RAW: &Format = &raw::FORMAT;

    pub fn all() -> impl Iterator<Item = &'static Format> {
        ALL.into_iter()
    }

    pub(super) async fn encode(&self, letter: &Letter<'_>) -> io::Result<Encoded> {
        (self.encode)(letter).await
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A message on its way into a request.
pub(super) struct Letter<'l> {
    pub outgoing: &'l Outgoing,
    /// The `webhook-id`.
    pub id: &'l str,
    pub envelope: Envelope,
    pub settings: &'l Settings,
    /// What its attachments hold is left out.
    pub is_bare: bool,
    /// Seconds of Unix time, for receivers that want it in the body. Nothing else there may change from one attempt to the
    /// next.
    pub timestamp: i64,
}

impl Letter<'_> {
    fn message(&self) -> &Message {
        &self.outgoing.message
    }

    /// The one secret of a format that has one.
    fn secret(&self) -> &str {
        self.settings.secrets.first().map(SecretString::expose_secret).unwrap_or_default()
    }

    /// The digits of the id: 64 of them.
    fn digits(&self) -> &str {
        self.id.trim_start_matches("msg_")
    }

    /// For receivers that cannot do without: sender and recipients.
    fn envelope_in_full(&self) -> (String, Vec<String>) {
        let envelope = self.envelope.clone().completed(self.message().head());
        (envelope.from.unwrap_or_default(), envelope.to)
    }
}

/// What is posted.
pub(super) struct Encoded {
    pub content_type: Cow<'static, str>,
    pub body: Body,
}

pub(super) use json::{LARGEST_PARSED, digest};

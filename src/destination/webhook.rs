//! Posts messages to an HTTP endpoint, signed as Standard Webhooks 1.0.0 asks, several at a time.
//!
//! A webhook cannot be asked what it has: after an unknown outcome the same message goes again, with the same
//! `webhook-id` and the same bytes, and the endpoint recognises it by that.
//!
//! Proxies of the environment are not honoured, and redirects are not followed: mail goes where the config says.

mod answer;
mod credentials;
mod envelope;
mod formats;
mod seven_bit;
pub mod signature;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use futures_util::future::join_all;
use regex::Regex;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use self::answer::{Answer, Control};
use self::credentials::{Credentials, hidden};
use self::envelope::Envelope;
use self::formats::{Encoded, LARGEST_PARSED, Letter};
use super::body::Body;
use super::http::{self, Trust};
use super::turns::{Round, Turns};
use super::unreadable;
use crate::message::{DestinationName, Mark, Message, NotReadBack, Outgoing, Verdict};
use crate::net::{self, Connector, Connectors};
use crate::printable::{printable, printable_text};

pub use super::http::SLOWEST;

pub use self::envelope::RECIPIENT_HEADERS;
pub use self::formats::{Credential, Format, LOGIN_FIELD, SCHEMA};

/// The config's `[destination.NAME]` of kind "webhook".
#[derive(Clone)]
pub struct Settings {
    /// May hold a user and a password, which are sent as Basic authentication.
    pub url: String,
    pub format: &'static Format,
    /// What they are to the endpoint is for the format to say: see [`Credential`]. Several, while one replaces another,
    /// only where each can sign.
    pub secrets: Vec<SecretString>,
    /// Whose password the secret is, where the format knows a user.
    pub user: Option<String>,
    /// Who else wants to know who is asking: a proxy, say.
    pub login: Login,
    /// Header fields that go along.
    pub headers: Vec<(String, SecretString)>,
    /// Fields of a form that go along, where the format is one.
    pub fields: Vec<(String, String)>,
    /// Header fields of a message that may hold its recipient, the likeliest first.
    pub recipient_headers: Vec<String>,
    /// The largest message that is posted, in octets of the message.
    pub max_bytes: u64,
    pub oversize: Oversize,
    /// What the text of an answer must match, where the status alone says little.
    pub expect: Option<Regex>,
    /// Whether 307 and 308 are followed within the origin of `url`.
    pub follow_redirects: bool,
    /// The most requests at a time, whoever asks for them; at least 1.
    pub max_in_flight: usize,
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// For a whole request, and what its length takes at [`SLOWEST`] on top.
    pub timeout: Duration,
    /// A PEM file with the only certificate authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The one certificate to accept.
    pub pin: Option<net::Pin>,
    /// Mail may go in the clear to a host beyond loopback.
    pub allow_plaintext: bool,
}

/// What the config says of an endpoint's own authentication, beside the format's secret.
#[derive(Clone, Debug, Default)]
pub enum Login {
    #[default]
    None,
    /// RFC 7617
    Basic { user: String, password: SecretString },
    /// RFC 6750
    Bearer(SecretString),
}

/// Fields of a request that are not for the config to set.
const OWN_FIELDS: [&str; 10] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "idempotency-key",
    "x-mailferry-attempt",
];

/// Whether a request may bear a field of this name, beside its own.
///
/// # Errors
/// A clause that can follow the name.
pub fn header_name(name: &str) -> Result<(), String> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err("is not the name of a header field; write it like \"X-API-Key\"".into());
    }
    match OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        true => Err("is for mailferry to set; take it out".into()),
        false => Ok(()),
    }
}

/// What becomes of a message that is larger than `max_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    Park,
    /// It goes without what its attachments hold.
    OmitAttachments,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it may hold a password.
        f.debug_struct("Settings").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Settings {
    /// Which endpoint this is: when it changes, the endpoint deserves a new chance. A digest, because the ledger keeps
    /// it, and many services have a token in the path or the query of their URL.
    pub fn identity(&self) -> String {
        let (fields, expect) = (&self.fields, self.expect.as_ref().map(Regex::as_str));
        let text = format!(
            "{} {:?} {} {:?} {fields:?} {expect:?} {:?} {} {:?}",
            self.url,
            self.format,
            self.max_bytes,
            self.oversize,
            self.user,
            self.follow_redirects,
            self.recipient_headers
        );
        STANDARD.encode(Sha256::digest(text))
    }

    /// Whether mail crosses a network unencrypted.
    pub fn is_in_the_clear(&self) -> bool {
        let peer = Url::parse(&self.url).ok().and_then(|url| http::peer(&url, self.trust()).ok());
        peer.is_some_and(|peer| peer.is_in_the_clear())
    }

    fn trust(&self) -> Trust {
        let Settings { ca_file, pin, allow_plaintext, .. } = self;
        Trust { ca_file: ca_file.clone(), pin: *pin, allow_plaintext: *allow_plaintext }
    }

    /// Makes sure that requests can be made with these secrets.
    ///
    /// # Errors
    /// A sentence that does not show them.
    pub fn check_secrets(&self) -> Result<(), String> {
        Credentials::of(self).map(drop)
    }
}

/// From here on, in octets, a request may be too large for an endpoint: the limit of a fresh nginx is 1 MiB.
const LARGE: u64 = 1 << 20;

/// How much of an answer is read, in octets.
const ANSWER_READ: usize = 64 << 10;

/// Room for the bodies that are built in memory, in KiB: one of the largest, or many small ones. A body takes up to
/// three times its message.
const ROOM: u32 = 24 << 10;

/// How often a request may be sent on.
const MOST_REDIRECTS: usize = 3;

/// An HTTP endpoint that takes messages.
pub struct Webhook {
    name: DestinationName,
    url: Url,
    /// The endpoint's host, for texts: never the URL, which may hold a password.
    peer: String,
    settings: Settings,
    credentials: Credentials,
    client: Client,
    connector: Connector,
    turns: Turns,
    room: Semaphore,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// One sentence on what is wrong with the settings.
    pub fn new(
        name: &DestinationName,
        settings: Settings,
        connectors: &mut Connectors,
    ) -> Result<Webhook, String> {
        let url = Url::parse(&settings.url).map_err(|e| format!("`url` is not a URL ({e})"))?;
        let peer = http::peer(&url, settings.trust())?;
        let credentials = Credentials::of(&settings)?;
        let connector = connectors.connector(&peer).map_err(|e| e.to_string())?;
        let tls = match peer.tls {
            net::Tls::None => Connectors::http(),
            _ => connectors.https(settings.ca_file.as_deref(), settings.pin),
        };
        let client = http::client(tls.map_err(|e| e.to_string())?, settings.connect_timeout)?;
        Ok(Webhook {
            name: name.clone(),
            url,
            peer: peer.host,
            credentials,
            client,
            connector,
            turns: Turns::new(settings.max_in_flight),
            room: Semaphore::new(ROOM as usize),
            settings,
        })
    }

    /// What the ledger keeps of messages before they are posted. Asks nobody.
    ///
    /// # Errors
    /// [`Verdict::Deferred`] where a message cannot be read back from its temporary file.
    pub async fn prepare(&self, messages: &[&Message]) -> Result<Vec<Mark>, Verdict> {
        let marks = messages.iter().map(async |message| {
            let hash = formats::digest(message).await.map_err(|e| unreadable(&e))?;
            let message_id = message.field("Message-ID").map(|id| String::from_utf8_lossy(&id).into_owned());
            Ok(Mark { octets: message.octets(), hash, message_id, ..Mark::default() })
        });
        join_all(marks).await.into_iter().collect()
    }

    /// Requests at a time, at most.
    pub fn at_once(&self) -> usize {
        self.settings.max_in_flight
    }

    /// Posts messages, at most `max_in_flight` at a time. The verdicts are in their order. Once the endpoint has
    /// shown that it takes no message at all, those not yet begun are not posted and get the same verdict. `recipient` is
    /// who they are for, whatever they say.
    pub async fn deliver(&self, recipient: Option<&str>, outgoing: &[Outgoing]) -> Vec<Verdict> {
        let round = Round::begin();
        join_all(outgoing.iter().map(|one| self.deliver_one(recipient, one, &round))).await
    }

    /// The request that would be made now, without making it.
    ///
    /// # Errors
    /// One sentence on why there would be none.
    pub async fn preview(&self, recipient: Option<&str>, outgoing: &Outgoing) -> Result<Preview, String> {
        let octets = outgoing.message.octets();
        if octets > self.settings.max_bytes && self.settings.oversize == Oversize::Park {
            return Err(too_large(octets, self.settings.max_bytes).into_reason());
        }
        let request =
            self.request(recipient, outgoing).await.map_err(|fault| unreadable(&fault).into_reason())?;
        let shown = |(name, value): (&HeaderName, &HeaderValue)| {
            let value =
                if value.is_sensitive() { "(hidden)".to_owned() } else { printable(value.as_bytes()) };
            (name.to_string(), value)
        };
        let fields = request.fields.iter().map(shown).collect();
        Ok(Preview { url: without_login(&self.url), fields, body: request.body, hidden: self.hidden() })
    }

    /// Reaches the endpoint without posting anything. Returns what was seen, in one line for a person.
    ///
    /// # Errors
    /// One sentence on why it cannot be reached or trusted.
    pub async fn probe(&self) -> Result<String, String> {
        let net::Settings { host, port, .. } = self.connector.settings();
        let stream = self.connector.connect(self.settings.connect_timeout).await;
        let stream = stream.map_err(|e| format!("{host}:{port}: {e}"))?;
        let seen = match stream.certificate() {
            None => "connected, not encrypted".to_owned(),
            Some(certificate) => format!("connected, {certificate}"),
        };
        Ok(format!("{host}:{port}: {seen}; nothing was posted"))
    }

    async fn deliver_one(&self, recipient: Option<&str>, outgoing: &Outgoing, round: &Round) -> Verdict {
        let octets = outgoing.message.octets();
        if octets > self.settings.max_bytes && self.settings.oversize == Oversize::Park {
            return too_large(octets, self.settings.max_bytes);
        }
        self.turns.take(round, self.post(recipient, outgoing, round)).await
    }

    async fn post(&self, recipient: Option<&str>, outgoing: &Outgoing, round: &Round) -> Verdict {
        let room = self.room_for(&outgoing.message);
        let _room = self.room.acquire_many(room).await.expect("never closed");
        let request = match self.request(recipient, outgoing).await {
            Ok(request) => request,
            Err(fault) => return unreadable(&fault),
        };
        let octets = request.body.octets();
        let timeout = self.settings.timeout + Duration::from_secs(octets / SLOWEST);
        let verdict = match self.send(request, timeout).await {
            Ok(response) => self.answer(response).await.verdict(&self.peer, Utc::now()),
            Err(fault) => self.fault(&fault, timeout, octets),
        };
        self.turns.note(round, &verdict);
        verdict
    }

    /// What a body takes of [`ROOM`]; one that is streamed takes nothing worth counting.
    fn room_for(&self, message: &Message) -> u32 {
        let is_built = *self.settings.format != *Format::RAW && message.octets() <= LARGEST_PARSED;
        let kib = if is_built { 1 + message.octets() * 3 / 1024 } else { 0 };
        u32::try_from(kib).unwrap_or(ROOM).min(ROOM)
    }

    async fn request(&self, recipient: Option<&str>, outgoing: &Outgoing) -> io::Result<Request> {
        let (id, timestamp) = (id(&self.name, outgoing), Utc::now().timestamp());
        let letter = Letter {
            outgoing,
            id: &id,
            envelope: Envelope::of(outgoing.message.head(), &self.settings.recipient_headers, recipient),
            settings: &self.settings,
            is_bare: outgoing.message.octets() > self.settings.max_bytes,
            timestamp,
        };
        let Encoded { content_type, body } = self.settings.format.encode(&letter).await?;
        let mut fields = self.credentials.fields(&id, timestamp, &body).await?;
        let own = [
            (CONTENT_TYPE, content_type.into_owned()),
            (CONTENT_LENGTH, body.octets().to_string()),
            (HeaderName::from_static("webhook-timestamp"), timestamp.to_string()),
            // draft-ietf-httpapi-idempotency-key-header-07: a string of structured fields, hence the quotes.
            (HeaderName::from_static("idempotency-key"), format!("\"{id}\"")),
            (HeaderName::from_static("x-mailferry-attempt"), (u64::from(outgoing.attempts) + 1).to_string()),
            (HeaderName::from_static("webhook-id"), id),
        ];
        for (name, value) in own {
            fields.insert(name, HeaderValue::try_from(value).map_err(io::Error::other)?);
        }
        Ok(Request { fields, body })
    }

    /// Sends it, and on where the endpoint points to another place of its own, if that is wanted.
    async fn send(&self, request: Request, timeout: Duration) -> Result<Response, reqwest::Error> {
        let (mut url, mut hops) = (self.url.clone(), 0);
        loop {
            let sent = self.client.post(url.clone()).timeout(timeout).headers(request.fields.clone());
            let response = sent.body(request.body.to_request()).send().await?;
            match self.redirect(&url, &response) {
                Some(next) if hops < MOST_REDIRECTS => (url, hops) = (next, hops + 1),
                _ => return Ok(response),
            }
        }
    }

    /// RFC 9110 sections 15.4.8 and 15.4.9: the others do not say that the same request may be made again.
    fn redirect(&self, url: &Url, response: &Response) -> Option<Url> {
        let keeps = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
        if !self.settings.follow_redirects || !keeps.contains(&response.status()) {
            return None;
        }
        let location = String::from_utf8_lossy(response.headers().get(LOCATION)?.as_bytes()).into_owned();
        let mut next = url.join(&location).ok()?;
        if next.origin() != url.origin() {
            return None;
        }
        // Either fails only where a URL cannot have a user at all.
        let _ = next.set_username(url.username());
        let _ = next.set_password(url.password());
        Some(next)
    }

    async fn answer(&self, response: Response) -> Answer {
        let field = |name: &str| response.headers().get(name).map(|value| value.as_bytes().to_owned());
        let location = field(LOCATION.as_str()).and_then(|location| without_secrets(&self.url, &location));
        let (status, retry_after) = (response.status().as_u16(), field(RETRY_AFTER.as_str()));
        let control = Control::of(field("webhook-delivery").as_deref());
        // The status is known; a text cut short is good enough.
        let (beginning, _) = http::beginning(response, ANSWER_READ).await;
        let said = String::from_utf8_lossy(&beginning);
        let is_expected = self.settings.expect.as_ref().is_none_or(|expect| expect.is_match(&said));
        // What is hidden is hidden before anything is cut, so that no part of it is left.
        let text = printable_text(&self.hushed(said.into_owned()), http::QUOTED);
        let follows_others = self.settings.follow_redirects;
        Answer { status, retry_after, location, follows_others, control, is_expected, text }
    }

    /// An endpoint may quote the request that it refuses, or know the secret and say it. A secret of fewer than four
    /// characters hides nothing.
    fn hushed(&self, text: String) -> String {
        let hidden = self.hidden();
        let hidden = hidden.iter().filter(|secret| secret.len() >= 4);
        hidden.fold(text, |text, secret| text.replace(secret, "***"))
    }

    /// Whatever of the credentials a text might hold.
    fn hidden(&self) -> Vec<String> {
        let mut hidden = hidden(&self.settings);
        if let Some(password) = self.url.password() {
            let (user, decoded) = (percent_decoded(self.url.username()), percent_decoded(password));
            let login = STANDARD.encode([user, b":".to_vec(), decoded.clone()].concat());
            hidden.extend([login, password.to_owned(), String::from_utf8_lossy(&decoded).into_owned()]);
        }
        hidden
    }

    /// Why no answer came within `timeout` to a request of so many octets.
    fn fault(&self, fault: &reqwest::Error, timeout: Duration, octets: u64) -> Verdict {
        let peer = &self.peer;
        if fault.is_connect() {
            let advice = "check `url`, and that the endpoint is up";
            let why = http::no_connection(fault, peer, self.settings.connect_timeout, advice);
            return Verdict::Unreachable { reason: format!("{peer}: {why}"), retry_after: None };
        }
        if let Some(fault) = NotReadBack::behind(fault) {
            return unreadable(fault);
        }
        let why = printable(net::innermost(fault).to_string());
        let why = if fault.is_timeout() {
            format!("no answer within {} s", timeout.as_secs())
        } else if octets > LARGE {
            // A server that refuses it and closes at once destroys its own answer (RFC 9112 section 9.6).
            format!("the connection broke before the answer ({why}); {octets} bytes may be too large for it")
        } else {
            format!("the connection broke before the answer ({why})")
        };
        let reason = format!("{peer}: {why}; the same request will be sent again");
        Verdict::Deferred { reason, retry_after: None, counts_for_destination: true }
    }
}

/// A request, ready to be made.
struct Request {
    fields: HeaderMap,
    body: Body,
}

/// A request, fit to be shown.
pub struct Preview {
    pub url: String,
    /// Name and value, without secrets.
    pub fields: Vec<(String, String)>,
    body: Body,
    /// What the body may hold that is not to be shown.
    hidden: Vec<String>,
}

impl fmt::Debug for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preview").field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl Preview {
    /// What the body begins with, and how many octets it has. A star stands for each octet of a secret.
    ///
    /// # Errors
    /// Where the message cannot be read back.
    pub async fn body(&self, octets: usize) -> io::Result<(Vec<u8>, u64)> {
        let (mut beginning, mut pieces) = (Vec::new(), self.body.pieces());
        while beginning.len() < octets
            && let Some(piece) = pieces.next().await?
        {
            beginning.extend_from_slice(&piece);
        }
        for secret in self.hidden.iter().filter(|secret| !secret.is_empty()) {
            let places: Vec<usize> = memchr::memmem::find_iter(&beginning, secret).collect();
            places.into_iter().for_each(|at| beginning[at..at + secret.len()].fill(b'*'));
        }
        beginning.truncate(octets);
        Ok((beginning, self.body.octets()))
    }
}

/// The `webhook-id`: the same for the same message wherever and whenever it is found again, even by a new ledger.
fn id(destination: &DestinationName, outgoing: &Outgoing) -> String {
    let mut hash = Sha256::new();
    let (account, uidl) = (outgoing.account.as_str(), outgoing.uidl.as_bytes());
    for part in [account.as_bytes(), destination.as_str().as_bytes(), uidl, &outgoing.message.content.0] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("msg_{}", hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn too_large(octets: u64, max_bytes: u64) -> Verdict {
    Verdict::Rejected {
        reason: format!(
            "the message has {octets} bytes, `max_bytes` allows {max_bytes}; raise it, then `mailferry retry`"
        ),
        park_after: 1,
        counts_for_destination: false,
    }
}

/// Where a redirect points, less what may be a secret: a user, a password, a query.
/// `None` where it is no address.
fn without_secrets(url: &Url, location: &[u8]) -> Option<String> {
    let mut target = url.join(&String::from_utf8_lossy(location)).ok()?;
    target.set_query(None);
    Some(without_login(&target))
}

/// RFC 3986 section 2.1
fn percent_decoded(text: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let octet = match rest {
            [b'%', high, low, ..] => hex_octet(*high, *low),
            _ => None,
        };
        decoded.push(octet.unwrap_or(*first));
        rest = if octet.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn hex_octet(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn without_login(url: &Url) -> String {
    let mut url = url.clone();
    // Either fails only where a URL cannot have a user at all.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

//! Gmail by its API: each message is imported (`users.messages.import`), which Google calls similar to receiving it by
//! SMTP. So its spam check runs, and invitations reach the calendar; neither does over IMAP.
//!
//! What a sign-in allows is to add mail and to manage labels, not to look: nobody can be asked whether a message has
//! arrived. After an unknown outcome it goes again, and Gmail keeps one of two with the same Message-ID. One without a
//! Message-ID may be there twice then. Of two different messages with one Message-ID it keeps the first as well, and
//! names that; the ledger, which knows what it has named, takes the second for not delivered. While nobody knows
//! whether it has the first, the second is not sent.
//!
//! | file | holds |
//! |---|---|
//! | `api` | requests with a token, renewed once where it is refused |
//! | `answer` | what Google's answers mean. No I/O |
//! | `labels` | from the names of labels to their ids |
//! | `named` | which message Gmail has named for which |
//! | `upload` | a large message, in pieces |
//! | `pace` | how fast |

mod answer;
mod api;
mod labels;
mod named;
mod pace;
mod upload;

use std::fmt;
use std::io;
use std::path::PathBuf;

use chrono::Utc;
use futures_util::future::{join_all, try_join_all};
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{Method, Url};
use serde_json::json;

use self::answer::Answer;
use self::api::{Api, CONNECT, Fault, Request};
use self::labels::Labels;
use self::named::{Named, Unnamed};
use self::pace::Pace;
use super::body::Body;
use super::http::{self, Trust};
use super::identity::{gist, message_id};
use super::turns::{Round, Turns};
use super::unreadable;
use crate::auth::Login;
use crate::message::{
    ARCHIVE, JUNK, Mark, Message, Outgoing, Receipt, Route, Verdict, is_plausible, parse_date,
};
use crate::net::{self, Connector, Connectors};

/// Where Google has the API.
pub const URL: &str = "https://gmail.googleapis.com/";

/// The config's `[destination.NAME]` of kind "gmail".
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address of the mailbox, for who signs in.
    pub user: String,
    /// By OAuth: Google knows no other.
    pub login: Login,
    /// Where the API is.
    pub url: String,
    /// What Google takes for spam goes to the inbox all the same.
    pub never_mark_spam: bool,
    /// Invitations go to the calendar, but those in junk.
    pub process_for_calendar: bool,
    /// A PEM file with the only certificate authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// Which mailbox this is: when it changes, it deserves a new chance.
    pub fn identity(&self) -> String {
        format!("{} {}", self.user, self.url)
    }

    /// Whose mailbox this is, the same for all destinations that lead there. Google knows its own addresses with dots and
    /// without, and by two domains.
    pub fn mailbox(&self) -> String {
        let user = self.user.to_ascii_lowercase();
        match user.split_once('@') {
            Some((name, "gmail.com" | "googlemail.com")) => format!("{}@gmail.com", name.replace('.', "")),
            _ => user,
        }
    }
}

/// Why Gmail lets nobody in: a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    reason: String,
    /// It is who has signed in, or what for: somebody has to sign in anew.
    pub is_of_sign_in: bool,
}

impl From<String> for Refused {
    fn from(reason: String) -> Refused {
        Refused { reason, is_of_sign_in: false }
    }
}

/// Requests at a time: more would not be faster than [`Pace`] lets them be.
const AT_ONCE: usize = 4;

/// The largest message, in octets: 150 MB, as the API's documentation says. What it takes in fact is for it to say.
const LARGEST: u64 = 150 << 20;

/// One Gmail mailbox, shared by all who deliver there.
pub struct Gmail {
    api: Api,
    settings: Settings,
    connector: Connector,
    labels: Labels,
    named: Named,
    pace: Pace,
    turns: Turns,
}

impl fmt::Debug for Gmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gmail").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Gmail {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// One sentence on what is wrong with the settings.
    pub fn new(settings: Settings, connectors: &mut Connectors) -> Result<Gmail, String> {
        let mut url = Url::parse(&settings.url).map_err(|e| format!("`url` is not a URL ({e})"))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let peer = http::peer(&url, Trust { ca_file: settings.ca_file.clone(), ..Trust::default() })?;
        let connector = connectors.connector(&peer).map_err(|e| e.to_string())?;
        let tls = match peer.tls {
            net::Tls::None => Connectors::http(),
            _ => connectors.https(settings.ca_file.as_deref(), None),
        };
        let client = http::client(tls.map_err(|e| e.to_string())?, CONNECT)?;
        let api =
            Api { client, url, peer: peer.host, login: settings.login.clone(), user: settings.user.clone() };
        let (labels, named, pace) = (Labels::default(), Named::default(), Pace::default());
        Ok(Gmail { api, settings, connector, labels, named, pace, turns: Turns::new(AT_ONCE) })
    }

    /// Messages at a time, at most.
    pub fn at_once(&self) -> usize {
        AT_ONCE
    }

    /// Makes sure that somebody has signed in, makes the route's labels if there are none, and says what the ledger keeps of
    /// each message.
    ///
    /// # Errors
    /// The verdict on all of them.
    pub async fn prepare(&self, route: &Route, messages: &[&Message]) -> Result<Vec<Mark>, Verdict> {
        let proof = self.api.login.proof().await;
        proof.map_err(|error| self.api.verdict_of(Fault::SignIn(error), ""))?;
        self.labels.ids(&self.api, &route.labels).await?;
        let mark = async |message: &&Message| {
            Ok(Mark {
                octets: message.octets(),
                hash: message.content.0,
                message_id: message_id(message.head()),
                gist: Some(gist(message).await?),
                ..Mark::default()
            })
        };
        try_join_all(messages.iter().map(mark)).await.map_err(|fault: io::Error| unreadable(&fault))
    }

    /// Imports messages, a few at a time. The verdicts are in their order. Once it has shown that no message at all is
    /// taken, those not yet begun are not sent and get the same verdict.
    pub async fn deliver(&self, route: &Route, outgoing: &[Outgoing]) -> Vec<Verdict> {
        let (round, unnamed) = (Round::begin(), Unnamed::default());
        join_all(outgoing.iter().map(|one| self.import(route, one, &round, &unnamed))).await
    }

    /// As [`Gmail::log_in`].
    ///
    /// # Errors
    /// One sentence on why mail cannot be imported.
    pub async fn probe(&self) -> Result<String, String> {
        self.log_in().await.map_err(|fault| fault.to_string())
    }

    /// Asks for the labels, and says what was met.
    ///
    /// # Errors
    /// Why mail cannot be imported.
    pub async fn log_in(&self) -> Result<String, Refused> {
        let net::Settings { host, port, .. } = self.connector.settings();
        let stream = self.connector.connect(CONNECT).await.map_err(|e| format!("{host}:{port}: {e}"))?;
        let seen =
            stream.certificate().map_or("not encrypted".to_owned(), |certificate| certificate.to_string());
        drop(stream);
        let labels = labels::count(&self.api).await?;
        let noun = if labels == 1 { "label" } else { "labels" };
        Ok(format!("{host}:{port}: {seen}; {} has {labels} {noun}; nothing was imported", self.settings.user))
    }

    /// Those with one Message-ID one after the other, in the order in which the ledger has them: who waits for another one
    /// takes no place from the rest.
    async fn import(&self, route: &Route, one: &Outgoing, round: &Round, unnamed: &Unnamed) -> Verdict {
        let Outgoing { message, mark, .. } = one;
        if message.octets() > LARGEST {
            return too_large(message.octets());
        }
        let (Some(message_id), Some(gist)) = (&mark.message_id, mark.gist) else {
            return self.import_now(route, one, round).await;
        };
        let _lane = self.named.lane(message_id).await;
        if unnamed.is_another(message_id, gist) {
            return Verdict::HeldUp;
        }
        let verdict = self.import_now(route, one, round).await;
        unnamed.note(message_id, gist, &verdict);
        verdict
    }

    async fn import_now(&self, route: &Route, one: &Outgoing, round: &Round) -> Verdict {
        let import = async {
            self.pace.turn().await;
            let verdict = self.send(route, one).await.unwrap_or_else(|verdict| verdict);
            self.turns.note(round, &verdict);
            verdict
        };
        self.turns.take(round, import).await
    }

    /// The verdict is an error where it comes of a fault.
    async fn send(&self, route: &Route, one: &Outgoing) -> Result<Verdict, Verdict> {
        let Outgoing { message, mark, .. } = one;
        let mut answer = self.ask(route, message).await?;
        if answer.is_about_a_label() && !route.labels.is_empty() {
            // It has been deleted since, and is made again.
            self.labels.forget().await;
            answer = self.ask(route, message).await?;
        }
        let (Some(id), Some(gist)) = (answer.id(), mark.gist) else { return Ok(self.api.refusal(&answer)) };
        let first = self.named.first(&id, gist);
        Ok(Verdict::Delivered { receipt: Receipt::Gmail { id, gist, first } })
    }

    async fn ask(&self, route: &Route, message: &Message) -> Result<Answer, Verdict> {
        let mut ids: Vec<String> = own_labels(route, message.head()).map(str::to_owned).collect();
        ids.extend(self.labels.ids(&self.api, &route.labels).await?);
        let metadata = json!({ "labelIds": ids }).to_string();
        let answer = match message.bytes() {
            Some(bytes) => self.api.send(&self.whole(route, message, bytes, &metadata)).await,
            None => upload::upload(&self.api, &self.beginning(route, message, metadata), message).await,
        };
        answer.map_err(|fault| self.api.verdict_of(fault, after_loss(message)))
    }

    /// The message and its labels in one request (RFC 2387).
    fn whole(&self, route: &Route, message: &Message, bytes: &[u8], metadata: &str) -> Request {
        let boundary = boundary(bytes);
        let before = format!(
            "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{metadata}\r\n--{boundary}\r\n\
             Content-Type: message/rfc822\r\n\r\n"
        );
        let body = Body::of(before).and_message(message).and(format!("\r\n--{boundary}--\r\n")).joined();
        let fields = vec![(CONTENT_TYPE, format!("multipart/related; boundary={boundary}"))];
        Request { method: Method::POST, url: self.url("multipart", route, message), fields, body }
    }

    /// Announces a message that comes in pieces.
    fn beginning(&self, route: &Route, message: &Message, metadata: String) -> Request {
        let fields = vec![
            (CONTENT_TYPE, "application/json; charset=UTF-8".to_owned()),
            (HeaderName::from_static("x-upload-content-type"), "message/rfc822".to_owned()),
            (HeaderName::from_static("x-upload-content-length"), message.octets().to_string()),
        ];
        let url = self.url("resumable", route, message);
        Request { method: Method::POST, url, fields, body: Body::of(metadata) }
    }

    fn url(&self, upload_type: &str, route: &Route, message: &Message) -> Url {
        let is_junk = route.folder_of(message.head()) == JUNK;
        let flag = |flag: bool| if flag && !is_junk { "true" } else { "false" };
        let query = [
            ("uploadType", upload_type),
            ("internalDateSource", date_source(message)),
            ("neverMarkSpam", flag(self.settings.never_mark_spam)),
            ("processForCalendar", flag(self.settings.process_for_calendar)),
        ];
        self.api.at("upload/gmail/v1/users/{userId}/messages/import", &query)
    }
}

/// The labels of Gmail's own that a message with this header gets.
pub fn own_labels<'r>(route: &'r Route, header: &[u8]) -> impl Iterator<Item = &'static str> + use<'r> {
    let place = match route.folder_of(header) {
        JUNK => Some("SPAM"),
        ARCHIVE => None,
        _ => Some("INBOX"),
    };
    place.into_iter().chain((!route.mark_read).then_some("UNREAD"))
}

/// Gmail goes by the Date field where that makes sense. By nothing else, so that a message without one is of today.
fn date_source(message: &Message) -> &'static str {
    let date = message.field("Date").and_then(|date| parse_date(&date));
    let is_good = date.is_some_and(|date| is_plausible(&date, Utc::now()));
    if is_good { "dateHeader" } else { "receivedTime" }
}

/// A word that does not stand in the message.
fn boundary(bytes: &[u8]) -> String {
    loop {
        let boundary = format!("mailferry-{:032x}", fastrand::u128(..));
        if memchr::memmem::find(bytes, boundary.as_bytes()).is_none() {
            return boundary;
        }
    }
}

/// What follows where nobody knows whether a message has arrived.
fn after_loss(message: &Message) -> &'static str {
    match message_id(message.head()) {
        Some(_) => "it is sent again, and Gmail keeps one of two with the same Message-ID",
        None => "it is sent again; it has no Message-ID, so that it may be there twice then",
    }
}

fn too_large(octets: u64) -> Verdict {
    Verdict::Rejected {
        reason: format!(
            "the message has {octets} bytes, and the Gmail API takes {LARGEST}; it stays at its source"
        ),
        park_after: 1,
        counts_for_destination: false,
    }
}

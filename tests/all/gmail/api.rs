//! The Gmail API on loopback, as far as mail is imported by it. Written from Google's discovery document (gmail:v1),
//! its guides to uploads and to errors, and what people were answered; see deploy/oauth.md for what of that is
//! uncertain. It is as strict as it can be: what the documents do not allow is refused, and put on record.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use mailferry::message::{field, fields};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::identity_provider::IdentityProvider;

const INSERT: &str = "https://www.googleapis.com/auth/gmail.insert";
const LABELS: &str = "https://www.googleapis.com/auth/gmail.labels";

/// `mediaUpload.maxSize` of `users.messages.import`.
const MAX_SIZE: usize = 52_428_800;

/// Whoever signs in.
const OWNER: &str = "me@gmail.com";

/// Of a piece that is not the last.
const GRAIN: usize = 256 << 10;

#[derive(Clone)]
pub struct Gmail {
    pub port: u16,
    provider: IdentityProvider,
    state: Arc<Mutex<Mailbox>>,
    /// An import has been made.
    imported: Arc<Notify>,
}

/// A message as it was imported.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: String,
    pub raw: Vec<u8>,
    /// By their names.
    pub labels: BTreeSet<String>,
    pub query: Query,
    /// How often it came.
    pub times: usize,
}

/// The parameters of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub upload_type: String,
    pub date_source: String,
    pub never_mark_spam: bool,
    pub process_for_calendar: bool,
}

/// What the next request for an import is answered, whatever it is.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: u16,
    pub reason: &'static str,
    pub message: &'static str,
    pub retry_after: Option<u32>,
}

struct Mailbox {
    /// Id and name.
    labels: Vec<(String, String)>,
    messages: Vec<Stored>,
    sessions: Vec<Session>,
    refusals: Vec<Refusal>,
    /// So many pieces come for an upload that nobody knows any more.
    forgets: usize,
    /// What is said of the last piece of an upload.
    refuses_ends: Option<&'static str>,
    /// What is answered instead once an upload is complete, one after the other.
    ends: VecDeque<u16>,
    /// What an upload says of how far it is, which is never farther.
    stands_still: Option<&'static str>,
    /// The message with the first of these subjects has no answer before the second one is there.
    holds: Option<(&'static str, &'static str)>,
    /// When units were used.
    used: Vec<(Instant, u32)>,
    /// Units a minute.
    quota: u32,
    count: u64,
    /// What was asked: `POST import`, with its answer's status.
    asked: Vec<(String, u16)>,
    complaints: Vec<String>,
}

struct Session {
    labels: Vec<String>,
    query: Query,
    octets: usize,
    arrived: Vec<u8>,
    /// It is complete, and this is the message.
    id: Option<String>,
    lengths: Vec<usize>,
}

impl Gmail {
    /// Lets in who has a token of this provider.
    pub async fn start(provider: &IdentityProvider) -> Gmail {
        let system = ["INBOX", "UNREAD", "SPAM", "TRASH", "STARRED"];
        let mailbox = Mailbox {
            labels: system.map(|name| (name.to_owned(), name.to_owned())).into(),
            messages: Vec::new(),
            sessions: Vec::new(),
            refusals: Vec::new(),
            forgets: 0,
            refuses_ends: None,
            stands_still: None,
            ends: VecDeque::new(),
            holds: None,
            used: Vec::new(),
            quota: 6000,
            count: 0,
            asked: Vec::new(),
            complaints: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gmail = Gmail {
            port,
            provider: provider.clone(),
            state: Arc::new(Mutex::new(mailbox)),
            imported: Arc::default(),
        };
        let app = Router::new().fallback(serve).with_state(gmail.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        gmail
    }

    fn inside<T>(&self, work: impl FnOnce(&mut Mailbox) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    pub fn messages(&self) -> Vec<Stored> {
        self.inside(|mailbox| mailbox.messages.clone())
    }

    /// The message with this line as its subject.
    pub fn message(&self, subject: &str) -> Stored {
        let messages = self.messages();
        let found = messages.into_iter().find(|it| field(&it.raw, "Subject").unwrap() == subject.as_bytes());
        found.unwrap_or_else(|| panic!("there is no message {subject}"))
    }

    /// The names of labels that people have.
    pub fn labels(&self) -> Vec<String> {
        self.inside(|mailbox| mailbox.labels.iter().skip(5).map(|(_, name)| name.clone()).collect())
    }

    pub fn add_label(&self, name: &str) {
        self.inside(|mailbox| mailbox.make_label(name));
    }

    /// Its owner deletes a label.
    pub fn delete_label(&self, name: &str) {
        self.inside(|mailbox| mailbox.labels.retain(|(_, known)| known != name));
    }

    pub fn refuse(&self, refusal: Refusal) {
        self.inside(|mailbox| mailbox.refusals.push(refusal));
    }

    /// The next pieces are each the end of their upload.
    pub fn forget_uploads(&self, pieces: usize) {
        self.inside(|mailbox| mailbox.forgets = pieces);
    }

    /// Every upload ends with this refusal.
    pub fn refuse_at_the_end(&self, message: &'static str) {
        self.inside(|mailbox| mailbox.refuses_ends = Some(message));
    }

    /// The next uploads end well, but these statuses are all that is heard of it.
    pub fn lose_the_end(&self, statuses: &[u16]) {
        self.inside(|mailbox| mailbox.ends = statuses.iter().copied().collect());
    }

    /// Every upload stays where it is, and says so in a field `Range`.
    pub fn stand_still(&self, range: Option<&'static str>) {
        self.inside(|mailbox| mailbox.stands_still = range);
    }

    /// Keeps the answer to one message back until another one is there.
    pub fn hold(&self, one: &'static str, other: &'static str) {
        self.inside(|mailbox| mailbox.holds = Some((one, other)));
    }

    async fn held_back(&self, body: &[u8]) {
        let Some((one, other)) = self.inside(|mailbox| mailbox.holds) else { return };
        if memchr::memmem::find(body, format!("Subject: {one}\r\n").as_bytes()).is_none() {
            return;
        }
        let is_there = || {
            let messages = self.messages();
            messages.iter().any(|it| field(&it.raw, "Subject").is_some_and(|it| it == other.as_bytes()))
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !is_there() {
                self.imported.notified().await;
            }
        });
        if waited.await.is_err() {
            self.inside(|mailbox| {
                mailbox.complaints.push(format!("{other} never came while {one} was held back"));
            });
        }
    }

    pub fn quota(&self, units: u32) {
        self.inside(|mailbox| (mailbox.quota, mailbox.used) = (units, Vec::new()));
    }

    /// What was asked since the last time, each with the status of its answer.
    pub fn asked(&self) -> Vec<(String, u16)> {
        self.inside(|mailbox| std::mem::take(&mut mailbox.asked))
    }

    /// How long the pieces were of all that came in pieces.
    pub fn pieces(&self) -> Vec<Vec<usize>> {
        self.inside(|mailbox| mailbox.sessions.iter().map(|session| session.lengths.clone()).collect())
    }

    /// What was asked for that no document allows.
    pub fn complaints(&self) -> Vec<String> {
        self.inside(|mailbox| mailbox.complaints.clone())
    }
}

/// A refusal as Google writes it.
fn error(status: u16, reason: &str, message: &str) -> Response {
    let body = json!({ "error": {
        "code": status, "message": message,
        "errors": [{ "message": message, "domain": "global", "reason": reason }],
    } });
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json; charset=UTF-8")], body.to_string()).into_response()
}

fn answer(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], body.to_string()).into_response()
}

async fn serve(State(gmail): State<Gmail>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let name = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let asked = format!("{} {name}", parts.method);
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let parameters: Vec<(String, String)> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect();
    let (body, is_whole) = read(body).await;
    let call = Call { gmail: &gmail, headers: &parts.headers, parameters, body, is_whole };
    gmail.held_back(&call.body).await;
    let answer = call.answer(&parts.method, parts.uri.path());
    gmail.imported.notify_one();
    gmail.inside(|mailbox| mailbox.asked.push((asked, answer.status().as_u16())));
    answer
}

/// All that comes, and whether that is all there was to be.
async fn read(body: Body) -> (Vec<u8>, bool) {
    let (mut all, mut stream) = (Vec::new(), body.into_data_stream());
    while let Some(piece) = stream.next().await {
        let Ok(piece) = piece else { return (all, false) };
        all.extend_from_slice(&piece);
    }
    (all, true)
}

/// Whose mailbox a path is of, and the path as the discovery document has it. An address is its owner's in any case,
/// with any dots in it, and under the older name of the host; `me` is whoever asks.
fn user_in(path: &str) -> (String, String) {
    let mut steps: Vec<&str> = path.split('/').collect();
    let Some(at) = steps.iter().position(|step| *step == "users").filter(|at| at + 1 < steps.len()) else {
        return (String::new(), path.to_owned());
    };
    let user = std::mem::replace(&mut steps[at + 1], "{userId}").to_ascii_lowercase().replace("%40", "@");
    let path = steps.join("/");
    match user.split_once('@') {
        _ if user == "me" => (OWNER.into(), path),
        Some((name, "gmail.com" | "googlemail.com")) => {
            (format!("{}@gmail.com", name.replace('.', "")), path)
        }
        _ => (user, path),
    }
}

struct Call<'a> {
    gmail: &'a Gmail,
    headers: &'a HeaderMap,
    parameters: Vec<(String, String)>,
    body: Vec<u8>,
    is_whole: bool,
}

impl Call<'_> {
    fn answer(&self, method: &Method, path: &str) -> Response {
        let (user, path) = user_in(path);
        let (scope, units) = match (method.as_str(), path.as_str()) {
            ("GET", "/gmail/v1/users/{userId}/labels") => (LABELS, 1),
            ("POST", "/gmail/v1/users/{userId}/labels") => (LABELS, 5),
            ("POST", "/upload/gmail/v1/users/{userId}/messages/import") => (INSERT, 25),
            ("PUT", "/upload/gmail/v1/users/{userId}/messages/import") => (INSERT, 0),
            _ => return self.wrong(404, &format!("{method} {path} is no method")),
        };
        if let Some(refusal) = self.without_right(scope).or_else(|| self.too_much(units)) {
            return refusal;
        }
        if user != OWNER {
            return error(403, "forbidden", &format!("Delegation denied for {OWNER}"));
        }
        match (method.as_str(), units) {
            ("GET", _) => self.list_labels(),
            ("POST", 5) => self.create_label(),
            ("POST", _) => self.import(),
            _ => self.go_on(),
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What no document allows.
    fn wrong(&self, status: u16, what: &str) -> Response {
        self.gmail.inside(|mailbox| mailbox.complaints.push(what.to_owned()));
        error(status, "badRequest", what)
    }

    fn without_right(&self, scope: &str) -> Option<Response> {
        let token = self.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        match self.gmail.provider.scopes_of(token) {
            None => Some(error(401, "authError", &format!("Invalid Credentials {token}"))),
            Some(scopes) if scopes.iter().any(|known| known == scope) => None,
            Some(_) => {
                let message = "Request had insufficient authentication scopes.";
                Some(error(403, "insufficientPermissions", message))
            }
        }
    }

    fn too_much(&self, units: u32) -> Option<Response> {
        self.gmail.inside(|mailbox| {
            if units == 25
                && let Some(refusal) = mailbox.refusals.pop()
            {
                let mut answer = error(refusal.status, refusal.reason, refusal.message);
                if let Some(seconds) = refusal.retry_after {
                    answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                return Some(answer);
            }
            let now = Instant::now();
            mailbox.used.retain(|(at, _)| now.duration_since(*at) < Duration::from_secs(60));
            if mailbox.used.iter().map(|(_, units)| units).sum::<u32>() + units > mailbox.quota {
                return Some(error(403, "userRateLimitExceeded", "User Rate Limit Exceeded"));
            }
            mailbox.used.push((now, units));
            None
        })
    }

    fn list_labels(&self) -> Response {
        if !self.parameters.is_empty() || !self.body.is_empty() {
            return self.wrong(400, "labels.list has no parameters and no body");
        }
        let label = |(n, (id, name)): (usize, &(String, String))| json!({ "id": id, "name": name, "type": if n < 5 { "system" } else { "user" } });
        let labels: Vec<Value> =
            self.gmail.inside(|mailbox| mailbox.labels.iter().enumerate().map(label).collect());
        answer(&json!({ "labels": labels }))
    }

    fn create_label(&self) -> Response {
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            return self.wrong(400, "labels.create without JSON");
        };
        let known = ["name", "labelListVisibility", "messageListVisibility"];
        if body.as_object().unwrap().keys().any(|key| !known.contains(&key.as_str())) {
            return self.wrong(400, &format!("labels.create with {body}"));
        }
        let name = body["name"].as_str().unwrap_or_default().to_owned();
        self.gmail.inside(|mailbox| {
            if mailbox.labels.iter().take(5).any(|(_, known)| known.eq_ignore_ascii_case(&name)) {
                return error(400, "invalidArgument", "Invalid label name");
            }
            if mailbox.labels.iter().any(|(_, known)| known.to_lowercase() == name.to_lowercase()) {
                return error(409, "aborted", "Label name exists or conflicts");
            }
            let id = mailbox.make_label(&name);
            answer(&json!({ "id": id, "name": name, "labelListVisibility": "labelShow" }))
        })
    }

    fn import(&self) -> Response {
        if !self.is_whole {
            return error(400, "badRequest", "half a request");
        }
        let query = match self.query() {
            Ok(query) => query,
            Err(what) => return self.wrong(400, &what),
        };
        match query.upload_type.as_str() {
            "multipart" => self.import_whole(query),
            "resumable" => self.begin(query),
            other => self.wrong(400, &format!("uploadType {other}")),
        }
    }

    fn query(&self) -> Result<Query, String> {
        let mut query = Query { date_source: "dateHeader".into(), ..Query::default() };
        for (name, value) in &self.parameters {
            let flag = || value.parse::<bool>().map_err(|_| format!("{name}={value}"));
            match name.as_str() {
                "uploadType" => query.upload_type.clone_from(value),
                "internalDateSource" if ["receivedTime", "dateHeader"].contains(&value.as_str()) => {
                    query.date_source.clone_from(value);
                }
                "neverMarkSpam" => query.never_mark_spam = flag()?,
                "processForCalendar" => query.process_for_calendar = flag()?,
                _ => return Err(format!("Unknown name {name}={value}")),
            }
        }
        Ok(query)
    }

    fn import_whole(&self, query: Query) -> Response {
        let Some((metadata, raw)) = self.parts() else {
            return self.wrong(400, "no multipart/related of JSON and message/rfc822");
        };
        match label_ids(&metadata) {
            Ok(labels) => self.gmail.inside(|mailbox| mailbox.store(&labels, query, &raw)),
            Err(what) => self.wrong(400, &what),
        }
    }

    /// RFC 2387, RFC 2046 section 5.1.1.
    fn parts(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let boundary = self.header("content-type").strip_prefix("multipart/related; boundary=")?;
        let delimiter = format!("\r\n--{boundary}");
        let body = [b"\r\n", self.body.as_slice()].concat();
        let places: Vec<usize> = memchr::memmem::find_iter(&body, delimiter.as_bytes()).collect();
        let [first, second, last] = places[..] else { return None };
        let part = |from: usize, to: usize, kind: &str| {
            let head = format!("\r\nContent-Type: {kind}\r\n\r\n");
            body[from + delimiter.len()..to].strip_prefix(head.as_bytes()).map(<[u8]>::to_vec)
        };
        let metadata = part(first, second, "application/json; charset=UTF-8")?;
        let raw = part(second, last, "message/rfc822")?;
        (&body[last + delimiter.len()..] == b"--\r\n").then_some((metadata, raw))
    }

    fn begin(&self, query: Query) -> Response {
        let octets = self.header("x-upload-content-length").parse::<usize>();
        if self.header("x-upload-content-type") != "message/rfc822"
            || self.header("content-type") != "application/json; charset=UTF-8"
        {
            return self.wrong(400, "a session for something else");
        }
        let (Ok(octets), Ok(labels)) = (octets, label_ids(&self.body)) else {
            return self.wrong(400, "a session without a length or without labels");
        };
        if octets > MAX_SIZE {
            return error(413, "uploadTooLarge", "Request is too large.");
        }
        let number = self.gmail.inside(|mailbox| {
            let session =
                Session { labels, query, octets, arrived: Vec::new(), id: None, lengths: Vec::new() };
            mailbox.sessions.push(session);
            mailbox.sessions.len() - 1
        });
        let host = self.header("host");
        let at = format!(
            "http://{host}/upload/gmail/v1/users/me/messages/import?uploadType=resumable&upload_id={number}"
        );
        (StatusCode::OK, [(header::LOCATION, at)]).into_response()
    }

    /// A piece, or the question how much has arrived.
    fn go_on(&self) -> Response {
        let number = match &self.parameters[..] {
            [(a, b), (c, d)]
                if (a.as_str(), b.as_str(), c.as_str()) == ("uploadType", "resumable", "upload_id") =>
            {
                d.parse::<usize>().unwrap()
            }
            other => return self.wrong(400, &format!("a piece with {other:?}")),
        };
        let range = self.header("content-range").to_owned();
        self.gmail.inside(|mailbox| {
            if mailbox.forgets > 0 {
                mailbox.forgets -= 1;
                return error(404, "notFound", "Not Found");
            }
            if let Some(range) = mailbox.stands_still {
                return (StatusCode::PERMANENT_REDIRECT, [(header::RANGE, range)]).into_response();
            }
            let mut session = std::mem::take(&mut mailbox.sessions);
            let outcome = session[number].take(&range, &self.body, self.is_whole);
            let answer = match outcome {
                Err(what) => {
                    mailbox.complaints.push(what.clone());
                    error(400, "badRequest", &what)
                }
                Ok(false) => session[number].incomplete(),
                Ok(true) if mailbox.refuses_ends.is_some() => {
                    error(400, "failedPrecondition", mailbox.refuses_ends.unwrap_or_default())
                }
                Ok(true) => match &session[number].id {
                    Some(id) => answer(&json!({ "id": id })),
                    None => {
                        let Session { labels, query, arrived, .. } = &session[number];
                        let stored = mailbox.store(labels, query.clone(), arrived);
                        session[number].id = mailbox.messages.last().map(|it| it.id.clone());
                        stored
                    }
                },
            };
            mailbox.sessions = session;
            match mailbox.ends.pop_front_if(|_| answer.status() == StatusCode::OK) {
                Some(429) => error(429, "rateLimitExceeded", "Too many requests"),
                Some(status) => error(status, "backendError", "Something went wrong"),
                None => answer,
            }
        })
    }
}

/// The `labelIds` of a message, and nothing else that it may have.
fn label_ids(metadata: &[u8]) -> Result<Vec<String>, String> {
    let metadata: Value = serde_json::from_slice(metadata).map_err(|e| e.to_string())?;
    let fields = metadata.as_object().ok_or("no object")?;
    if fields.keys().any(|key| key != "labelIds") {
        return Err(format!("metadata with {metadata}"));
    }
    let labels = metadata["labelIds"].as_array().ok_or("no labelIds")?;
    let labels: Vec<String> = labels.iter().map(|label| label.as_str().unwrap().to_owned()).collect();
    let distinct: BTreeSet<&String> = labels.iter().collect();
    if distinct.len() == labels.len() { Ok(labels) } else { Err(format!("labels twice: {labels:?}")) }
}

impl Session {
    /// Returns whether all is there.
    fn take(&mut self, range: &str, body: &[u8], is_whole: bool) -> Result<bool, String> {
        let all = self.octets;
        if range == format!("bytes */{all}") {
            return if body.is_empty() {
                Ok(self.arrived.len() == all)
            } else {
                Err("a question with a body".into())
            };
        }
        let from = self.arrived.len();
        let parsed = range.strip_prefix("bytes ").and_then(|rest| rest.strip_suffix(&format!("/{all}")));
        let parsed = parsed.and_then(|rest| rest.split_once('-'));
        let Some((first, last)) =
            parsed.and_then(|(a, b)| Some((a.parse::<usize>().ok()?, b.parse::<usize>().ok()?)))
        else {
            return Err(format!("Content-Range: {range} of {all}"));
        };
        if first != from || last >= all || is_whole && last + 1 - first != body.len() {
            return Err(format!(
                "Content-Range: {range} of {all}, where {from} have arrived and {} come",
                body.len()
            ));
        }
        if last + 1 < all && (last + 1 - first) % GRAIN != 0 {
            return Err(format!("a piece of {} octets", last + 1 - first));
        }
        // Of what broke off, whole grains are kept.
        let kept = if is_whole { body.len() } else { body.len() / GRAIN * GRAIN };
        self.arrived.extend_from_slice(&body[..kept]);
        self.lengths.push(kept);
        Ok(self.arrived.len() == all)
    }

    fn incomplete(&self) -> Response {
        let status = StatusCode::PERMANENT_REDIRECT;
        match self.arrived.len() {
            0 => status.into_response(),
            arrived => (status, [(header::RANGE, format!("bytes=0-{}", arrived - 1))]).into_response(),
        }
    }
}

impl Mailbox {
    fn make_label(&mut self, name: &str) -> String {
        self.count += 1;
        let id = format!("Label_{}", self.count);
        self.labels.push((id.clone(), name.to_owned()));
        id
    }

    /// Two with the same Message-ID are one, under the labels of both.
    fn store(&mut self, label_ids: &[String], query: Query, raw: &[u8]) -> Response {
        let name =
            |id: &String| self.labels.iter().find(|(known, _)| known == id).map(|(_, name)| name.clone());
        let labels: Option<BTreeSet<String>> = label_ids.iter().map(name).collect();
        let Some(labels) = labels else {
            return error(400, "invalidArgument", &format!("Invalid label: {label_ids:?}"));
        };
        if let Some(message) = fault(raw) {
            return error(400, "invalidArgument", message);
        }
        let message_id = field(raw, "Message-ID");
        let known = self
            .messages
            .iter_mut()
            .find(|known| message_id.is_some() && field(&known.raw, "Message-ID") == message_id);
        if let Some(known) = known {
            known.labels.extend(labels);
            known.times += 1;
            return answer(&json!({ "id": known.id }));
        }
        self.count += 1;
        let id = format!("18c5f0a1{:08x}", self.count);
        self.messages.push(Stored { id: id.clone(), raw: raw.to_vec(), labels, query, times: 1 });
        answer(&json!({ "id": id }))
    }
}

/// Why Gmail does not take a message.
fn fault(raw: &[u8]) -> Option<&'static str> {
    let from = fields(raw).filter(|(name, _)| name.eq_ignore_ascii_case(b"From")).collect::<Vec<_>>();
    let [(_, from)] = &from[..] else { return Some("Expected a single 'From' header") };
    if from.iter().filter(|byte| **byte == b'@').count() != 1 {
        return Some("Invalid From header");
    }
    let is_program = memchr::memmem::find(raw, b".exe\"").is_some();
    is_program.then_some("Invalid attachment. Please check https://support.google.com/mail/answer/6590.")
}

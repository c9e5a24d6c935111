//! A webhook receiver on loopback that trusts nothing it is told: it checks each signature and each byte.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::mailbox::Print;

pub const SECRET: &str = "a demo needs no better secret";

/// The largest request that is read: 128 MiB.
const LARGEST: usize = 128 << 20;

/// How far a sender's clock may be off, in seconds, as Standard Webhooks recommends.
const TOLERANCE: u64 = 300;

/// The receiver. It stops when it is dropped.
pub struct Receiver {
    pub url: String,
    server: AbortHandle,
}

/// A request whose signature and bytes are right.
#[derive(Debug)]
pub struct Arrival {
    pub uidl: String,
    pub from: String,
    pub subject: String,
    pub print: Print,
    /// The same `webhook-id` came before.
    pub is_repeated: bool,
}

/// What a request was: an arrival, or what is wrong with it.
pub type Outcome = Result<Arrival, String>;

impl Receiver {
    /// Says what arrives through `outcomes`.
    pub async fn start(outcomes: mpsc::Sender<Outcome>) -> io::Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/inbound", listener.local_addr()?);
        let desk = Arc::new(Desk { outcomes, ids: Mutex::default() });
        let app = Router::new().route("/inbound", post(receive)).with_state(desk);
        let server = tokio::spawn(async { axum::serve(listener, app).await }).abort_handle();
        Ok(Receiver { url, server })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Desk {
    outcomes: mpsc::Sender<Outcome>,
    ids: Mutex<HashSet<String>>,
}

async fn receive(State(desk): State<Arc<Desk>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    // A request that breaks off has not arrived: it comes again.
    let Ok(body) = to_bytes(body, LARGEST).await else { return StatusCode::BAD_REQUEST };
    let checked = tokio::task::spawn_blocking(move || check(&parts.headers, &body)).await;
    let outcome = checked.unwrap_or_else(|_| Err("the receiver failed".into())).map(|(id, mut arrival)| {
        let mut ids = desk.ids.lock().unwrap_or_else(PoisonError::into_inner);
        arrival.is_repeated = !ids.insert(id);
        arrival
    });
    let status = if outcome.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::BAD_REQUEST };
    // Nobody listens any more only when the demo ends.
    let _ = desk.outcomes.send(outcome).await;
    status
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    id: String,
    source: Source,
    from: Vec<Mailbox>,
    subject: Option<String>,
    size: u64,
    raw: &'a str,
}

#[derive(Deserialize)]
struct Source {
    uidl: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Mailbox {
    name: Option<String>,
    email: String,
}

/// Returns the request's id with the arrival.
fn check(headers: &HeaderMap, body: &Bytes) -> Result<(String, Arrival), String> {
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = field("webhook-id");
    check_signature(id, field("webhook-timestamp"), field("webhook-signature"), body)?;
    let Event { data } =
        serde_json::from_slice(body).map_err(|e| format!("a body that is not as it should be ({e})"))?;
    let print = read_back(data.raw)?;
    let sha256: String = print.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    if data.id != id || data.size != print.octets || data.source.sha256 != sha256 {
        return Err("a body that contradicts itself".into());
    }
    let from = data.from.into_iter().next().map(|from| from.name.unwrap_or(from.email));
    let arrival = Arrival {
        uidl: data.source.uidl,
        from: from.unwrap_or_default(),
        subject: data.subject.unwrap_or_default(),
        print,
        is_repeated: false,
    };
    Ok((id.to_owned(), arrival))
}

/// As Standard Webhooks 1.0.0 asks of a receiver.
fn check_signature(id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> Result<(), String> {
    let is_fresh =
        timestamp.parse().is_ok_and(|timestamp: i64| timestamp.abs_diff(Utc::now().timestamp()) <= TOLERANCE);
    if !is_fresh {
        return Err("a request whose timestamp is not of now".into());
    }
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else {
        return Err("a secret that cannot be used".into());
    };
    hmac.update(format!("{id}.{timestamp}.").as_bytes());
    hmac.update(body);
    let is_right = |signature: &str| {
        let signature = signature.strip_prefix("v1,").and_then(|signature| STANDARD.decode(signature).ok());
        signature.is_some_and(|signature| hmac.clone().verify_slice(&signature).is_ok())
    };
    if signatures.split(' ').any(is_right) {
        Ok(())
    } else {
        Err("a request whose signature is wrong".into())
    }
}

/// What the message in base64 is, without a copy of all of it.
fn read_back(raw: &str) -> Result<Print, String> {
    // Whole groups of four, but for the last piece.
    const PIECE: usize = 64 << 10;
    let (mut octets, mut hash) = (0, Sha256::new());
    for piece in raw.as_bytes().chunks(PIECE) {
        let piece = STANDARD.decode(piece).map_err(|e| format!("a message that is not in base64 ({e})"))?;
        octets += piece.len() as u64;
        hash.update(&piece);
    }
    Ok(Print { octets, sha256: hash.finalize().into() })
}

//! `mailferry listen`: a receiver on loopback that shows what webhooks get, so that one can see it before writing a line.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use chrono::{Local, Utc};
use tokio::net::TcpListener;

use crate::destination::webhook::signature::Keys;
use crate::printable::printable;

use super::{exit, payload, plain, print, stop_on_signal};

/// Nobody else can reach it.
const SECRET: &str = "for-trying-out-only";

/// The largest request that is read: 256 MiB.
const LARGEST: usize = 256 << 20;

/// How far a sender's clock may be off, in seconds, as Standard Webhooks recommends.
const TOLERANCE: u64 = 300;

struct Desk {
    keys: Keys,
    answer: StatusCode,
    ids: Mutex<HashSet<String>>,
}

pub async fn listen(port: u16, secret_file: Option<&Path>, answer: StatusCode) -> anyhow::Result<u8> {
    let secret = match secret_file {
        None => SECRET.to_owned(),
        Some(file) => {
            let text = tokio::fs::read_to_string(file).await;
            let text = text.map_err(|fault| plain(exit::USAGE, format!("{}: {fault}", file.display())))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    let keys = Keys::new(&[secret.into()]).map_err(|reason| plain(exit::USAGE, reason))?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    let listener = listener.map_err(|fault| {
        plain(exit::LATER, format!("127.0.0.1:{port}: {fault}; choose another port with --port"))
    })?;
    let secret = match secret_file {
        None => format!("\"{SECRET}\""),
        Some(file) => format!("{{ file = \"{}\" }}", file.display()),
    };
    let address = listener.local_addr()?;
    print(&format!(
        "listening on http://{address}/ until Ctrl-C; this in the config has mail posted here:\n\n\
         [destination.listen]\nkind = \"webhook\"\nurl = \"http://{address}/\"\nformat = \"json\"\nsecret = {secret}\n"
    ));
    let desk = Arc::new(Desk { keys, answer, ids: Mutex::default() });
    let app = Router::new().fallback(receive).with_state(desk);
    let stop = stop_on_signal();
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
        .context("the receiver failed")?;
    Ok(exit::OK)
}

async fn receive(State(desk): State<Arc<Desk>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST).await else {
        print("\n--- a request broke off, or is larger than 256 MiB\n");
        return StatusCode::BAD_REQUEST;
    };
    let signature = desk.signature(&parts.headers, &body);
    let answer = if signature.is_err() { StatusCode::UNAUTHORIZED } else { desk.answer };
    let signature = match signature {
        Ok(said) => said.to_owned(),
        Err(reason) => format!("SIGNATURE WRONG: {reason}"),
    };
    let repeated = if desk.is_repeated(&parts.headers) { ", the same webhook-id as before" } else { "" };
    let (time, path) = (Local::now().format("%H:%M:%S"), printable(parts.uri.to_string()));
    let shown = |value: &[u8]| printable(value);
    let fields: Vec<(String, String)> =
        parts.headers.iter().map(|(name, value)| (name.to_string(), shown(value.as_bytes()))).collect();
    print(&format!(
        "\n--- {time} {} {path}: {signature}{repeated}; answered {}\n{}\n{}",
        printable(parts.method.as_str()),
        answer.as_u16(),
        payload::fields(&fields),
        payload::body(&body, body.len() as u64)
    ));
    answer
}

impl Desk {
    /// As Standard Webhooks 1.0.0 asks of a receiver. Formats of others have no such signature.
    fn signature(&self, headers: &HeaderMap, body: &[u8]) -> Result<&'static str, &'static str> {
        let field = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (id, timestamp) = (field("webhook-id"), field("webhook-timestamp"));
        if !headers.contains_key("webhook-signature") {
            return Ok("no signature");
        }
        let now = Utc::now().timestamp();
        if !timestamp.parse().is_ok_and(|timestamp: i64| timestamp.abs_diff(now) <= TOLERANCE) {
            return Err("its timestamp is not of now");
        }
        match self.keys.verify(id, timestamp, field("webhook-signature"), body) {
            true => Ok("signature right"),
            false => Err("it is not by this secret"),
        }
    }

    fn is_repeated(&self, headers: &HeaderMap) -> bool {
        let Some(id) = headers.get("webhook-id") else { return false };
        let id = printable(id.as_bytes());
        !self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }
}

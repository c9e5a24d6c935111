//! Takes mail from mailferry (format = "json" or "raw") and prints a line for each.
//!
//!     cargo add axum serde_json standardwebhooks && cargo add tokio --features full
//!     WEBHOOK_SECRET=whsec_... cargo run
#![allow(clippy::print_stdout, reason = "that is all it does")]

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use standardwebhooks::{Webhook, WebhookError};

struct Receiver {
    webhook: Webhook,
    /// Where mail matters, a table with a unique key: it has to outlive this program.
    seen: Mutex<HashSet<String>>,
}

fn take(id: &str, content_type: &str, body: &[u8]) -> Result<(), serde_json::Error> {
    if content_type == "application/json" {
        let mail = &serde_json::from_slice::<Value>(body)?["data"];
        let attachments: Vec<&Value> = mail["attachments"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|attachment| &attachment["name"])
            .collect();
        println!(
            "{}",
            json!({ "id": id, "subject": mail["subject"], "text": mail["text"], "attachments": attachments })
        );
    } else {
        // message/rfc822: the message itself
        println!("{}", json!({ "id": id, "octets": body.len() }));
    }
    Ok(())
}

async fn answer(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match receiver.webhook.verify(&body, &headers) {
        Ok(()) => {}
        // A raw message need not be UTF-8, and the library verifies nothing else. JSON always is.
        Err(WebhookError::InvalidPayload) => return StatusCode::BAD_REQUEST,
        Err(_) => return StatusCode::UNAUTHORIZED,
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = header("webhook-id");
    let mut seen = receiver.seen.lock().unwrap_or_else(PoisonError::into_inner);
    // The same message comes again when an answer was lost.
    if !seen.contains(id) {
        if take(id, header("content-type"), &body).is_err() {
            return StatusCode::BAD_REQUEST;
        }
        // After the work: what fails above comes again.
        seen.insert(id.to_owned());
    }
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let webhook = Webhook::new(&std::env::var("WEBHOOK_SECRET")?)?;
    let receiver = Arc::new(Receiver { webhook, seen: Mutex::default() });
    // mailferry posts messages of up to 25 MiB, which JSON makes a third longer and more; axum takes 2 MB on its own.
    let app =
        Router::new().route("/", post(answer)).layer(DefaultBodyLimit::max(100 << 20)).with_state(receiver);
    let port = std::env::var("PORT").unwrap_or_else(|_| "8000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

//! Messages that were given up for now: a person looks, and decides.

use askama::Template;
use axum::body::Body;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::stream;
use serde::Deserialize;

use super::Shared;
use super::answers::{Refusal, account_name, download_headers, go, html};
use super::words::{When, counted, octets, shown};
use crate::ledger::{MessageId, ParkedDelivery, Request};
use crate::message::DestinationName;
use crate::setup;

/// More than anybody looks at one by one.
const MOST: u32 = 200;

#[derive(Deserialize)]
pub struct Of {
    /// Only this account's.
    account: Option<String>,
}

#[derive(Deserialize)]
pub struct GiveUp {
    destination: String,
}

#[derive(Template)]
#[template(path = "parked.html")]
struct ParkedPage {
    account: Option<String>,
    rows: Vec<Row>,
    /// There are more than are shown.
    is_cut: bool,
}

struct Row {
    id: i64,
    account: String,
    destination: String,
    uidl: String,
    size: String,
    since: Option<When>,
    attempts: String,
    reason: String,
}

pub async fn page(State(page): Shared, Query(of): Query<Of>) -> Result<Response, Refusal> {
    let account = of.account.as_deref().map(account_name).transpose()?;
    let parked = page.house.visitor.report().parked(account.as_ref(), MOST + 1).await?;
    let is_cut = parked.len() > MOST as usize;
    let now = Utc::now();
    let rows = parked.iter().take(MOST as usize).map(|parked| Row::of(parked, now)).collect();
    Ok(html(&ParkedPage { account: account.map(|account| account.to_string()), rows, is_cut }))
}

impl Row {
    fn of(parked: &ParkedDelivery, now: DateTime<Utc>) -> Row {
        Row {
            id: parked.id,
            account: parked.account.clone(),
            destination: parked.destination.clone(),
            uidl: shown(&parked.uidl),
            size: parked.size.map(octets).unwrap_or_default(),
            since: parked.since.map(|at| When::relative(at, now)),
            attempts: counted(parked.attempts, "attempt", "attempts"),
            reason: shown(&parked.reason),
        }
    }
}

pub async fn retry(State(page): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = message_id(&id)?;
    let answer = page.ask(&Request::Retry { account: None, id: Some(id), destination: None }).await?;
    done(&answer, id)
}

pub async fn give_up(
    State(page): Shared,
    Path(id): Path<String>,
    Form(form): Form<GiveUp>,
) -> Result<Response, Refusal> {
    let id = message_id(&id)?;
    let destination = DestinationName::new(&form.destination);
    let destination = destination.ok_or_else(|| Refusal::not_found("There is no such destination"))?;
    let answer = page.ask(&Request::GiveUp { id, destination: Some(destination) }).await?;
    done(&answer, id)
}

fn message_id(text: &str) -> Result<MessageId, Refusal> {
    text.parse().map_err(|_| Refusal::not_found("There is no such message"))
}

/// `answer` is how many deliveries it concerned.
fn done(answer: &str, id: MessageId) -> Result<Response, Refusal> {
    match answer {
        "0" => Err(Refusal::not_found(format!("There is nothing left to do for message {id}"))),
        _ => Ok(go("/parked")),
    }
}

/// The message as it is at its source. Nobody may take it for a page of ours.
pub async fn download(State(page): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = message_id(&id)?;
    let wanted = page.house.visitor.report().find(None, id).await?;
    let wanted = wanted.ok_or_else(|| Refusal::not_found(format!("There is no message {id}")))?;
    let config = setup::load(&page.house.config).await;
    let config = config.map_err(|faults| Refusal::new(StatusCode::CONFLICT, faults.to_string()))?;
    let account = config.accounts.iter().find(|account| account.name == wanted.account);
    let account = account.ok_or_else(|| {
        Refusal::not_found(format!("Message {id} is of {}, which is not in the config", wanted.account))
    })?;
    let spool = config.ledger.parent().unwrap_or(&config.ledger);
    let message = setup::retrieve(account, &wanted, spool).await.map_err(|reason| {
        Refusal::new(StatusCode::BAD_GATEWAY, format!("{} does not give it: {reason}", wanted.account))
    })?;
    let chunks = stream::try_unfold(message.chunks(), |mut chunks| async move {
        let chunk = chunks.next().await?;
        Ok::<_, std::io::Error>(chunk.map(|chunk| (chunk, chunks)))
    });
    let headers = download_headers(&format!("message-{id}.eml"));
    Ok((headers, Body::from_stream(chunks)).into_response())
}

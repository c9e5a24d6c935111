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
use super::answers::{Refusal, account_name, address, download_headers, go, html};
use super::words::{When, counted, octets, shown};
use crate::ledger::{MessageId, ParkedDelivery, Request, Unrouted};
use crate::message::DestinationName;
use crate::setup;

/// Deliveries on one page.
const ON_A_PAGE: u32 = 50;

/// Which deliveries are shown: part of the address, so that it can be kept.
#[derive(Clone, Default, Deserialize)]
pub struct Shown {
    /// Only this account's.
    #[serde(default)]
    account: String,
    /// Counted from 1.
    #[serde(default)]
    page: u32,
}

/// To which destination; none where it is unrouted.
#[derive(Deserialize)]
pub struct To {
    #[serde(default)]
    destination: String,
}

#[derive(Template)]
#[template(path = "parked.html")]
struct ParkedPage {
    account: Option<String>,
    /// What follows an address of ours so that its answer leads back here.
    here: String,
    rows: Vec<Row>,
    previous: Option<String>,
    next: Option<String>,
    unrouted: Vec<UnroutedRow>,
    /// There are more.
    more_unrouted: bool,
}

#[derive(Template)]
#[template(path = "give_up.html")]
struct GiveUpPage {
    id: i64,
    account: String,
    destination: Option<String>,
    here: String,
    back: String,
}

struct Row {
    id: i64,
    account: String,
    destination: String,
    uidl: String,
    size: String,
    since: Option<When>,
    attempts: String,
    subject: Option<String>,
    reason: String,
    /// Where it can be given up.
    give_up: String,
}

/// What no entry of `deliver` takes.
struct UnroutedRow {
    id: i64,
    account: String,
    uidl: String,
    size: String,
    since: Option<When>,
    give_up: String,
}

pub async fn page(State(page): Shared, Query(shown): Query<Shown>) -> Result<Response, Refusal> {
    let account = Some(&shown.account).filter(|account| !account.is_empty());
    let account = account.map(|account| account_name(account)).transpose()?;
    let at = shown.page.max(1);
    let skipped = u64::from(at - 1) * u64::from(ON_A_PAGE);
    // One more than is shown tells whether there is a next page.
    let parked = page.house.visitor.report().parked(account.as_ref(), skipped, ON_A_PAGE + 1).await?;
    let mut unrouted = page.house.visitor.report().unrouted(account.as_ref(), ON_A_PAGE + 1).await?;
    let more_unrouted = unrouted.len() > ON_A_PAGE as usize;
    unrouted.truncate(ON_A_PAGE as usize);
    let now = Utc::now();
    let to_page = |n: u32, is_there: bool| is_there.then(|| shown.on(n).address("/parked"));
    Ok(html(&ParkedPage {
        account: account.map(|account| account.to_string()),
        here: shown.address(""),
        previous: to_page(at - 1, at > 1),
        next: to_page(at.saturating_add(1), parked.len() > ON_A_PAGE as usize),
        unrouted: unrouted.iter().map(|unrouted| UnroutedRow::of(unrouted, &shown, now)).collect(),
        more_unrouted,
        rows: parked.iter().take(ON_A_PAGE as usize).map(|parked| Row::of(parked, &shown, now)).collect(),
    }))
}

impl Shown {
    fn on(&self, page: u32) -> Shown {
        Shown { page, ..self.clone() }
    }

    /// An address of ours that shows this. It is made anew of its parts, so it leads nowhere else.
    fn address(&self, path: &str) -> String {
        let page = if self.page > 1 { self.page.to_string() } else { String::new() };
        address(path, &[("account", &self.account), ("page", &page)])
    }

    /// Where it is asked whether a delivery is to be given up.
    fn question(&self, id: i64, destination: &str) -> String {
        let page = if self.page > 1 { self.page.to_string() } else { String::new() };
        let query = [("destination", &destination.to_owned()), ("account", &self.account), ("page", &page)];
        address(&format!("/parked/{id}/give-up"), &query)
    }
}

impl Row {
    fn of(parked: &ParkedDelivery, shown_on: &Shown, now: DateTime<Utc>) -> Row {
        Row {
            id: parked.id,
            account: parked.account.clone(),
            destination: parked.destination.clone(),
            uidl: shown(&parked.uidl),
            size: parked.size.map(octets).unwrap_or_default(),
            since: parked.since.map(|at| When::relative(at, now)),
            attempts: counted(parked.attempts, "attempt", "attempts"),
            subject: parked.subject.as_deref().map(shown),
            reason: shown(&parked.reason),
            give_up: shown_on.question(parked.id, &parked.destination),
        }
    }
}

impl UnroutedRow {
    fn of(unrouted: &Unrouted, shown_on: &Shown, now: DateTime<Utc>) -> UnroutedRow {
        UnroutedRow {
            id: unrouted.id,
            account: unrouted.account.clone(),
            uidl: shown(&unrouted.uidl),
            size: unrouted.size.map(octets).unwrap_or_default(),
            since: unrouted.since.map(|at| When::relative(at, now)),
            give_up: shown_on.question(unrouted.id, ""),
        }
    }
}

pub async fn retry(
    State(page): Shared,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
    Form(to): Form<To>,
) -> Result<Response, Refusal> {
    let (id, destination) = (message_id(&id)?, to.destination()?);
    let answer = page.ask(&Request::Retry { account: None, id: Some(id), destination }).await?;
    done(&answer, id, &shown)
}

/// Asks first: it cannot be taken back.
pub async fn question(
    State(page): Shared,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
    Query(to): Query<To>,
) -> Result<Response, Refusal> {
    let (id, destination) = (message_id(&id)?, to.destination()?);
    let known = page.house.visitor.report().find(None, id).await?;
    let known = known.ok_or_else(|| Refusal::not_found(format!("There is no message {id}")))?;
    let (account, destination) = (known.account.to_string(), destination.map(|to| to.to_string()));
    let (here, back) = (shown.address(""), shown.address("/parked"));
    Ok(html(&GiveUpPage { id: id.0, account, destination, here, back }))
}

pub async fn give_up(
    State(page): Shared,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
    Form(to): Form<To>,
) -> Result<Response, Refusal> {
    let (id, destination) = (message_id(&id)?, to.destination()?);
    let answer = page.ask(&Request::GiveUp { id, destination }).await?;
    done(&answer, id, &shown)
}

impl To {
    fn destination(&self) -> Result<Option<DestinationName>, Refusal> {
        if self.destination.is_empty() {
            return Ok(None);
        }
        let name = DestinationName::new(&self.destination);
        name.map(Some).ok_or_else(|| Refusal::not_found("There is no such destination"))
    }
}

fn message_id(text: &str) -> Result<MessageId, Refusal> {
    text.parse().map_err(|_| Refusal::not_found("There is no such message"))
}

/// `answer` is how many deliveries it concerned.
fn done(answer: &str, id: MessageId, shown: &Shown) -> Result<Response, Refusal> {
    match answer {
        "0" => Err(Refusal::not_found(format!("There is nothing left to do for message {id}"))),
        _ => Ok(go(&shown.address("/parked"))),
    }
}

/// The message as it is at its source, which is logged in to for it. Nobody may take it for a page of ours.
pub async fn download(State(page): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = message_id(&id)?;
    let wanted = page.house.visitor.report().find(None, id).await?;
    let wanted = wanted.ok_or_else(|| Refusal::not_found(format!("There is no message {id}")))?;
    let config = setup::load_with_secret_of(&page.house.config, &wanted.account).await;
    let config = config.map_err(|faults| Refusal::new(StatusCode::CONFLICT, faults.to_string()))?;
    let account = config.accounts.iter().find(|account| account.name == wanted.account);
    let account = account.ok_or_else(|| {
        let broken = config.broken.iter().find(|broken| broken.name == wanted.account);
        match broken {
            Some(broken) => Refusal::new(StatusCode::CONFLICT, broken.reason.clone()),
            None => Refusal::not_found(format!(
                "Message {id} is of {}, which is not in the config",
                wanted.account
            )),
        }
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

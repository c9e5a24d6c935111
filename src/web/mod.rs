//! The page: how the accounts are doing, and what a person can do about it. Made on the server, of plain forms and
//! links; a small script only keeps it fresh.
//!
//! | file | holds |
//! |---|---|
//! | `server`, `patient`, `guard` | connections; those that take nothing; who may ask, and what no answer lacks |
//! | `sessions`, `sign_in` | who is signed in; the password |
//! | `overview`, `live` | the accounts and destinations; polls under way |
//! | `history`, `chart`, `parked` | past polls; what was given up for now |
//! | `add`, `drafts`, `form` | adding an account step by step; what was answered so far; fields and complaints |
//! | `consent` | signing in at an identity provider |
//! | `edit` | changing, pausing and deleting an account |
//! | `destination` | changing a destination, and adding one |
//! | `monitor` | what machines ask: whether all is well, and how much there was |
//! | `answers`, `words` | pages and refusals; times and numbers as people say them |
//!
//! Accounts are tried, changed and asked for a message by [`crate::setup`]; the rest is asked of whoever holds the ledger,
//! in the way of the commands.

mod add;
mod answers;
mod chart;
mod consent;
mod destination;
mod drafts;
mod edit;
mod form;
mod guard;
mod history;
mod live;
mod monitor;
mod overview;
mod parked;
mod patient;
mod providers;
mod server;
mod sessions;
mod sign_in;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use chrono::Utc;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::ledger::{Configured, Request, Visitor, outcome_of};
use crate::metrics::Metrics;
use answers::Refusal;
use drafts::Drafts;
use sessions::Sessions;

pub use guard::Access;
pub use live::Live;
pub use server::{bind, serve};
pub use sessions::{SHORTEST_PASSWORD, hash as hash_password};

/// What the page is made of, and what it acts through.
pub struct House {
    /// The main config file.
    pub config: PathBuf,
    /// How it may be reached, as the config says today.
    pub access: watch::Receiver<Arc<Access>>,
    pub visitor: Visitor,
    /// What of the config is shown, and nothing else.
    pub configured: watch::Receiver<Configured>,
    /// The polls under way.
    pub live: watch::Receiver<Live>,
    pub metrics: Arc<Metrics>,
    pub stop: CancellationToken,
}

impl House {
    fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.borrow())
    }
}

/// The house, with what the page itself remembers.
struct Page {
    house: House,
    sessions: Sessions,
    drafts: Drafts<drafts::Draft>,
    homes: Drafts<destination::HomeToBe>,
    consents: consent::Consents,
    /// Whoever changes files reads them first: one after the other.
    changing: Mutex<()>,
}

type Shared = State<Arc<Page>>;

/// How often it is looked whether the holder of the ledger has answered, and for how long.
const LOOK_FOR_ANSWER: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);

impl Page {
    /// Leaves a request with the holder of the ledger, and waits for its answer.
    async fn ask(&self, request: &Request) -> Result<String, Refusal> {
        let id = self.house.visitor.request(request, Utc::now()).await?;
        let answer = async {
            loop {
                if let Some(answer) = self.house.visitor.answer(id).await? {
                    return Ok(answer);
                }
                tokio::time::sleep(LOOK_FOR_ANSWER).await;
            }
        };
        tokio::select! {
            answer = tokio::time::timeout(PATIENCE, answer) => {
                answer.unwrap_or_else(|_| Err(Refusal::busy("mailferry has much to do; it will see to this soon")))
            }
            () = self.house.stop.cancelled() => Err(Refusal::busy("mailferry is about to end")),
        }
    }

    /// Lets the changed config be taken up.
    async fn take_up(&self) -> Result<(), Refusal> {
        let answer = self.ask(&Request::Reload).await?;
        match outcome_of(&answer) {
            Some(Ok(_)) => Ok(()),
            Some(Err(reason)) => Err(Refusal::new(
                StatusCode::CONFLICT,
                format!("The change is saved, but mailferry goes on as before: {reason}"),
            )),
            None => Err(Refusal::busy("mailferry has answered what nobody understands")),
        }
    }
}

fn router(page: Arc<Page>) -> Router {
    let behind_the_door = Router::new()
        .route("/", get(overview::page))
        .route("/live", get(overview::live))
        .route("/add", get(add::start).post(add::begin))
        .route("/add/{draft}/login", get(add::login).post(add::log_in))
        .route("/add/{draft}/sign-in", get(consent::new_account).post(consent::new_account_landed))
        .route("/add/{draft}/mail", get(add::mail).post(add::save))
        .route("/add/{draft}/home", get(destination::account_form).post(destination::add_for_account))
        .route("/accounts/{account}/check", post(overview::check_now))
        .route("/destinations/add", get(destination::new_form).post(destination::add))
        .route("/homes/{home}/sign-in", get(consent::new_home).post(consent::new_home_landed))
        .route("/destinations/{destination}/edit", get(destination::form).post(destination::change))
        .route("/destinations/{destination}/retry", post(overview::retry))
        .route("/accounts/{account}/pause", post(edit::pause))
        .route("/accounts/{account}/resume", post(edit::resume))
        .route("/accounts/{account}/edit", get(edit::form).post(edit::change))
        .route("/accounts/{account}/delete", get(edit::question).post(edit::delete))
        .route("/accounts/{account}/history", get(history::page))
        .route("/accounts/{account}/sign-in", get(consent::account).post(consent::account_landed))
        .route(
            "/destinations/{destination}/sign-in",
            get(consent::destination).post(consent::destination_landed),
        )
        .route("/providers", get(providers::page))
        .route("/parked", get(parked::page))
        .route("/parked/{message}/retry", post(parked::retry))
        .route("/parked/{message}/give-up", get(parked::question).post(parked::give_up))
        .route("/parked/{message}/message.eml", get(parked::download))
        .route("/sign-out", post(sign_in::out))
        .layer(from_fn(guard::to_the_end))
        .layer(from_fn_with_state(Arc::clone(&page), sign_in::must_be_signed_in));
    Router::new()
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/first-use", get(sign_in::first_form).post(sign_in::first))
        .route("/signed-in", get(consent::landed))
        .route("/healthz", get(monitor::health))
        .route("/metrics", get(monitor::metrics))
        .route("/style.css", get(async || asset("text/css", include_str!("style.css"))))
        .route("/page.js", get(async || asset("text/javascript", include_str!("page.js"))))
        .merge(behind_the_door)
        .fallback(async || Refusal::not_found("There is no such page"))
        .layer(from_fn(guard::bound))
        .layer(from_fn_with_state(Arc::clone(&page), guard::guard))
        .with_state(page)
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

//! Signing in at an identity provider, so that an account or a destination can log in by OAuth.
//!
//! Where the provider has codes, one is shown, and the page goes on by itself once somebody has typed it in elsewhere. Else
//! there is an address to open: on this machine it leads back to [`landed`], on another one what it ends at is pasted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::{Form, Path, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use chrono::Utc;
use serde::Deserialize;

use super::answers::{Refusal, account_name, complain, go, html};
use super::form::{Complaints, Field};
use super::words::{capitalised, shown};
use super::{Page, Shared};
use crate::auth::{Address, DeviceCode, DeviceState, SignIn};
use crate::ledger::Request;
use crate::message::{AccountName, DestinationName};
use crate::net::is_loopback;
use crate::setup::{self, Config};

/// How long a sign-in may be under way.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// How many may be.
const MOST: usize = 64;

/// The sign-ins under way, by whom they are for.
#[derive(Default)]
pub struct Consents(Mutex<HashMap<String, Consent>>);

/// One of them.
#[derive(Clone)]
struct Consent {
    whom: Whom,
    sign_in: SignIn,
    way: Way,
    begun: Instant,
    /// How it has ended.
    outcome: Option<Result<(), String>>,
}

#[derive(Clone)]
enum Way {
    Code(DeviceCode),
    Browser(Arc<Address>),
}

#[derive(Clone)]
enum Whom {
    Account(AccountName),
    Destination(DestinationName),
}

impl Whom {
    fn key(&self) -> String {
        match self {
            Whom::Account(name) => format!("account {name}"),
            Whom::Destination(name) => format!("destination {name}"),
        }
    }
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage {
    title: String,
    user: String,
    /// Nobody waits for it any more.
    is_over: bool,
    /// What to type in, where there is something.
    code: Option<String>,
    /// What to open; empty where it is no address of the web.
    url: String,
    complaints: Vec<String>,
    fields: Vec<Field>,
}

#[derive(Template)]
#[template(path = "consented.html")]
struct ConsentedPage {
    user: String,
}

/// Whether a sign-in that has failed is begun anew.
#[derive(Deserialize)]
pub struct Wish {
    #[serde(default)]
    anew: String,
}

#[derive(Deserialize)]
pub struct LandedForm {
    #[serde(default)]
    landed: String,
}

pub async fn account(
    State(page): Shared,
    Path(name): Path<String>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    page.consent(Whom::Account(account_name(&name)?), &wish, &headers).await
}

pub async fn destination(
    State(page): Shared,
    Path(name): Path<String>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    page.consent(Whom::Destination(destination_name(&name)?), &wish, &headers).await
}

pub async fn account_landed(
    State(page): Shared,
    Path(name): Path<String>,
    Form(form): Form<LandedForm>,
) -> Result<Response, Refusal> {
    page.pasted(&Whom::Account(account_name(&name)?), &form.landed).await
}

pub async fn destination_landed(
    State(page): Shared,
    Path(name): Path<String>,
    Form(form): Form<LandedForm>,
) -> Result<Response, Refusal> {
    page.pasted(&Whom::Destination(destination_name(&name)?), &form.landed).await
}

/// Where the provider sends a browser of this machine. No cookie of ours comes along from there: what counts is the secret that
/// only the provider and we know.
pub async fn landed(State(page): Shared, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    let Some((consent, address)) = page.consents.answered_by(&query) else {
        return Err(Refusal::not_found("This sign-in is over, or was never begun here; begin it anew"));
    };
    match address.landed(&consent.sign_in, &query).await {
        Ok(()) => {
            page.signed_in(&consent.whom).await?;
            // From elsewhere a browser brings no cookie along, so that it would have to sign in here again.
            Ok(html(&ConsentedPage { user: shown(&consent.sign_in.user) }))
        }
        Err(fault) => Err(Refusal::new(StatusCode::CONFLICT, capitalised(&fault.to_string()))),
    }
}

fn destination_name(name: &str) -> Result<DestinationName, Refusal> {
    DestinationName::new(name).ok_or_else(|| Refusal::not_found("There is no such destination"))
}

/// How a browser of this machine asks for the page; where it is on another one, how one of this machine would.
fn this_machine(headers: &HeaderMap, port: u16) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name =
        host.strip_suffix(&format!(":{port}")).filter(|name| is_loopback(name.trim_matches(['[', ']'])));
    format!("http://{}:{port}", name.unwrap_or("localhost"))
}

impl Consents {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Consent>> {
        let mut consents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        consents.retain(|_, consent| consent.begun.elapsed() < LIFE);
        consents
    }

    fn get(&self, whom: &Whom) -> Option<Consent> {
        self.lock().get(&whom.key()).cloned()
    }

    fn keep(&self, consent: Consent) {
        let mut consents = self.lock();
        if consents.len() >= MOST
            && let Some(oldest) = consents.iter().min_by_key(|(_, one)| one.begun).map(|(key, _)| key.clone())
        {
            consents.remove(&oldest);
        }
        consents.insert(consent.whom.key(), consent);
    }

    fn end(&self, whom: &Whom) {
        self.lock().remove(&whom.key());
    }

    /// Notes how it has ended, unless another one has begun.
    fn conclude(&self, whom: &Whom, begun: Instant, outcome: Result<(), String>) {
        if let Some(consent) = self.lock().get_mut(&whom.key()).filter(|consent| consent.begun == begun) {
            consent.outcome = Some(outcome);
        }
    }

    fn answered_by(&self, query: &str) -> Option<(Consent, Arc<Address>)> {
        self.lock().values().find_map(|consent| match &consent.way {
            Way::Browser(address) if address.is_answered_by(query) => {
                Some((consent.clone(), Arc::clone(address)))
            }
            Way::Browser(_) | Way::Code(_) => None,
        })
    }
}

impl Page {
    /// Shows the sign-in under way, or begins one.
    async fn consent(
        self: &Arc<Page>,
        whom: Whom,
        wish: &Wish,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let known = self.consents.get(&whom);
        let is_over = known.as_ref().is_some_and(|consent| matches!(consent.outcome, Some(Err(_))));
        let consent = match known {
            Some(consent) if !(is_over && wish.anew == "yes") => consent,
            Some(_) | None => self.begin_consent(whom.clone(), headers).await?,
        };
        match &consent.outcome {
            Some(Ok(())) => {
                self.consents.end(&whom);
                Ok(go("/"))
            }
            Some(Err(reason)) => {
                Ok(html(&consent.page(&Complaints::one("", format!("{}.", capitalised(reason))))))
            }
            None => Ok(html(&consent.page(&Complaints::default()))),
        }
    }

    async fn begin_consent(self: &Arc<Page>, whom: Whom, headers: &HeaderMap) -> Result<Consent, Refusal> {
        let main = &self.house.config;
        let config = match &whom {
            Whom::Account(name) => setup::load_with_secret_of(main, name).await,
            Whom::Destination(name) => setup::load_with_secret_of_destination(main, name).await,
        };
        let conflict = |text: String| Refusal::new(StatusCode::CONFLICT, text);
        let config: Config = config.map_err(|faults| conflict(faults.to_string()))?;
        let sign_in = match &whom {
            Whom::Account(name) => setup::sign_in_of(&config, name),
            Whom::Destination(name) => setup::sign_in_at(&config, name),
        };
        let sign_in =
            sign_in.ok_or_else(|| Refusal::not_found("There is nothing here to sign in to"))?.clone();
        setup::prepare_key(&config).map_err(|reason| conflict(capitalised(&reason)))?;
        let way = if sign_in.settings.device_url.is_some() {
            let code = DeviceCode::ask(&sign_in).await;
            Way::Code(code.map_err(|fault| conflict(capitalised(&fault.to_string())))?)
        } else {
            let redirect = format!("{}/signed-in", this_machine(headers, self.house.access().listen.port()));
            Way::Browser(Arc::new(Address::new(&sign_in, &redirect).map_err(conflict)?))
        };
        let consent = Consent { whom, sign_in, way, begun: Instant::now(), outcome: None };
        self.consents.keep(consent.clone());
        if let Way::Code(code) = &consent.way {
            tokio::spawn(Arc::clone(self).wait_for_code(consent.clone(), code.clone()));
        }
        Ok(consent)
    }

    async fn wait_for_code(self: Arc<Page>, consent: Consent, mut code: DeviceCode) {
        let outcome = loop {
            if consent.begun.elapsed() > code.life {
                break Err("nobody has typed the code in".to_owned());
            }
            tokio::select! {
                () = tokio::time::sleep(code.interval) => {}
                () = self.house.stop.cancelled() => return,
            }
            match code.state(&consent.sign_in).await {
                Ok(DeviceState::Waiting) => {}
                Ok(DeviceState::SignedIn) => break Ok(()),
                Err(fault) => break Err(fault.to_string()),
            }
        };
        if outcome.is_ok() {
            // Where that cannot be asked for, the next poll comes by itself.
            let _ = self.poll_anew(&consent.whom).await;
        }
        self.consents.conclude(&consent.whom, consent.begun, outcome);
    }

    async fn pasted(&self, whom: &Whom, landed: &str) -> Result<Response, Refusal> {
        let Some(consent) = self.consents.get(whom) else {
            return Err(Refusal::not_found("This sign-in is over; begin it anew"));
        };
        let Way::Browser(address) = &consent.way else { return Ok(go("/")) };
        match address.landed(&consent.sign_in, landed).await {
            Ok(()) => {
                self.signed_in(whom).await?;
                Ok(go("/"))
            }
            Err(fault) => {
                let complaints = Complaints::one("landed", format!("{}.", capitalised(&fault.to_string())));
                Ok(complain(&consent.page(&complaints)))
            }
        }
    }

    async fn signed_in(&self, whom: &Whom) -> Result<(), Refusal> {
        self.consents.end(whom);
        self.poll_anew(whom).await
    }

    /// What waited for somebody to sign in waits no more.
    async fn poll_anew(&self, whom: &Whom) -> Result<(), Refusal> {
        let request = match whom {
            Whom::Account(name) => Request::Poll { account: name.clone() },
            Whom::Destination(name) => {
                Request::Retry { account: None, id: None, destination: Some(name.clone()) }
            }
        };
        self.house.visitor.request(&request, Utc::now()).await?;
        Ok(())
    }
}

impl Consent {
    fn page(&self, complaints: &Complaints) -> ConsentPage {
        let (code, url) = match &self.way {
            Way::Code(code) => (Some(shown(&code.user_code)), code.url.clone()),
            Way::Browser(address) => (None, address.url.clone()),
        };
        // It is from the provider, or from the config: a link leads to the web and nowhere else.
        let is_web =
            ["https://", "http://localhost", "http://127.0.0.1"].iter().any(|web| url.starts_with(web));
        let mut fields = match &self.way {
            Way::Code(_) => Vec::new(),
            Way::Browser(_) => {
                let hint = "If your browser is not on the machine of mailferry, it ends at an address that it cannot open. \
                            Copy it from there, whole.";
                vec![Field::text("landed", "The address you landed at", "").hint(hint)]
            }
        };
        let complaints = complaints.at(&mut fields);
        ConsentPage {
            title: match &self.whom {
                Whom::Account(name) => name.to_string(),
                Whom::Destination(name) => name.to_string(),
            },
            user: shown(&self.sign_in.user),
            is_over: self.outcome.is_some(),
            code,
            url: if is_web { url } else { String::new() },
            complaints,
            fields,
        }
    }
}

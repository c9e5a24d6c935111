//! Signing in at an identity provider, so that an account or a destination can log in by OAuth, or one be added that does.
//!
//! Where the provider has codes, one is shown, and the page goes on by itself once somebody has typed it in elsewhere. Else
//! there is an address to open: on this machine it leads back to [`landed`], on another one what it ends at is pasted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use chrono::Utc;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use serde::Deserialize;

use super::answers::{Refusal, account_name, complain, go, html};
use super::form::{Complaints, Field};
use super::sign_in::SignedIn;
use super::words::{capitalised, shown};
use super::{Page, Shared};
use crate::auth::{Address, CHANGED, DeviceCode, DeviceState, SignIn};
use crate::ledger::Token;
use crate::message::DestinationName;
use crate::net::is_loopback;
use crate::setup::{self, NewLogin, Whom};

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
    who: Who,
    sign_in: SignIn,
    way: Way,
    begun: Instant,
    /// Its code is being redeemed, or has been.
    landing: Option<Landing>,
    /// How it has ended.
    outcome: Option<Result<(), String>>,
}

/// Resolves when a code has been redeemed, for all who come with it: it is for one use.
type Landing = SharedFuture<BoxFuture<'static, Landed>>;

/// What has come of a code. Each text is a clause.
#[derive(Clone)]
enum Landed {
    SignedIn,
    /// Somebody has signed in, but the server of the mail has not let them in.
    NotLetIn(String),
    Nothing(String),
}

#[derive(Clone)]
enum Way {
    Code(DeviceCode),
    Browser(Arc<Address>),
}

/// Who signs in.
#[derive(Clone)]
enum Who {
    Known(Whom),
    New(Newcomer),
}

/// Somebody who is adding an account, or adding or changing a destination.
#[derive(Clone)]
struct Newcomer {
    owner: Token,
    /// Its id.
    draft: String,
    what: What,
    name: String,
    host: String,
    /// Where a person is led who has signed in, and who has not.
    next: String,
    back: String,
}

/// What a draft is of.
#[derive(Clone, Copy)]
enum What {
    Account,
    Home,
}

impl Newcomer {
    /// Where somebody signs in for it.
    fn page(&self) -> String {
        let place = match self.what {
            What::Account => "add",
            What::Home => "homes",
        };
        format!("/{place}/{}/sign-in", self.draft)
    }
}

impl Who {
    fn key(&self) -> String {
        match self {
            Who::Known(Whom::Account(name)) => format!("account {name}"),
            Who::Known(Whom::Destination(name)) => format!("destination {name}"),
            Who::New(new) => format!("draft {}", new.draft),
        }
    }

    fn name(&self) -> &str {
        match self {
            Who::Known(whom) => whom.name(),
            Who::New(new) => &new.name,
        }
    }

    /// Where a person is led who has signed in.
    fn next(&self) -> String {
        match self {
            Who::Known(_) => "/".into(),
            Who::New(new) => new.next.clone(),
        }
    }

    /// And who has not.
    fn back(&self) -> String {
        match self {
            Who::Known(_) => "/".into(),
            Who::New(new) => new.back.clone(),
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
    /// Where to go without signing in, and what that is called.
    back: String,
    later: &'static str,
}

#[derive(Template)]
#[template(path = "consented.html")]
struct ConsentedPage {
    user: String,
    /// Where to go on, and what that is called.
    next: String,
    on: &'static str,
}

/// Whether a sign-in that has failed is gone on with, or begun anew.
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
    page.consent(Who::Known(Whom::Account(account_name(&name)?)), &wish, &headers).await
}

pub async fn destination(
    State(page): Shared,
    Path(name): Path<String>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    page.consent(Who::Known(Whom::Destination(destination_name(&name)?)), &wish, &headers).await
}

pub async fn new_account(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let who = page.newcomer(owner, id)?;
    page.consent(who, &wish, &headers).await
}

pub async fn new_home(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let who = page.new_home(owner, id)?;
    page.consent(who, &wish, &headers).await
}

pub async fn account_landed(
    State(page): Shared,
    Path(name): Path<String>,
    Form(form): Form<LandedForm>,
) -> Result<Response, Refusal> {
    page.pasted(&Who::Known(Whom::Account(account_name(&name)?)), &form.landed).await
}

pub async fn destination_landed(
    State(page): Shared,
    Path(name): Path<String>,
    Form(form): Form<LandedForm>,
) -> Result<Response, Refusal> {
    page.pasted(&Who::Known(Whom::Destination(destination_name(&name)?)), &form.landed).await
}

pub async fn new_account_landed(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
    Form(form): Form<LandedForm>,
) -> Result<Response, Refusal> {
    let who = page.newcomer(owner, id)?;
    page.pasted(&who, &form.landed).await
}

pub async fn new_home_landed(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
    Form(form): Form<LandedForm>,
) -> Result<Response, Refusal> {
    let who = page.new_home(owner, id)?;
    page.pasted(&who, &form.landed).await
}

/// Where the provider sends a browser of this machine. No cookie of ours comes along from there: what counts is the
/// secret that only the provider and we know. Whoever loads it again is shown how it has ended.
pub async fn landed(State(page): Shared, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    let over = || Refusal::not_found("This sign-in is over, or was never begun here; begin it anew");
    let (consent, address) = page.consents.answered_by(&query).ok_or_else(over)?;
    address.check(&query).map_err(conflict)?;
    match page.landing(&consent, &address, &query).ok_or_else(over)?.await {
        Landed::SignedIn | Landed::NotLetIn(_) => {
            // From elsewhere a browser brings no cookie along, so that it would have to sign in here again.
            let user = shown(&consent.sign_in.user);
            let (next, on) = match &consent.who {
                Who::Known(_) => ("/".into(), "Back to the accounts"),
                // If the server has not let them in, that is said there.
                Who::New(new) => (new.page(), "Go on"),
            };
            Ok(html(&ConsentedPage { user, next, on }))
        }
        Landed::Nothing(reason) => Err(conflict(reason)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn conflict(reason: String) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, capitalised(&reason))
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

/// An address is from the provider, or from the config: a link leads to the web and nowhere else, and without TLS to this
/// machine alone.
fn is_of_web(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => is_loopback(host),
        _ => false,
    }
}

impl Consents {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Consent>> {
        let mut consents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        consents.retain(|_, consent| consent.begun.elapsed() < LIFE);
        consents
    }

    fn get(&self, who: &Who) -> Option<Consent> {
        self.lock().get(&who.key()).cloned()
    }

    fn keep(&self, consent: Consent) {
        let mut consents = self.lock();
        if consents.len() >= MOST
            && let Some(oldest) = consents.iter().min_by_key(|(_, one)| one.begun).map(|(key, _)| key.clone())
        {
            consents.remove(&oldest);
        }
        consents.insert(consent.who.key(), consent);
    }

    fn end(&self, who: &Who) {
        self.lock().remove(&who.key());
    }

    /// What is signed in for is another one by now, or gone: a late code must not take the place of a later sign-in.
    pub fn end_of(&self, whom: Whom) {
        self.end(&Who::Known(whom));
    }

    /// Whether it is still under way, and no other one has begun in its place.
    fn has(&self, consent: &Consent) -> bool {
        self.lock().get(&consent.who.key()).is_some_and(|known| known.begun == consent.begun)
    }

    /// The landing of a consent: the first there was, or `begin`'s. `None` where the consent is over.
    fn landing(&self, consent: &Consent, begin: impl FnOnce() -> Landing) -> Option<Landing> {
        let mut consents = self.lock();
        let known = consents.get_mut(&consent.who.key()).filter(|known| known.begun == consent.begun)?;
        Some(known.landing.get_or_insert_with(begin).clone())
    }

    /// Forgets what somebody has begun who was adding an account.
    pub fn forget(&self, owner: &Token) {
        self.lock().retain(|_, consent| !matches!(&consent.who, Who::New(new) if new.owner == *owner));
    }

    /// Whoever adds something has answered anew, and signs in anew.
    pub fn end_of_draft(&self, id: &str) {
        self.lock().retain(|_, consent| !matches!(&consent.who, Who::New(new) if new.draft == id));
    }

    /// Notes how it has ended, unless another one has begun.
    fn conclude(&self, consent: &Consent, outcome: Result<(), String>) {
        let mut consents = self.lock();
        if let Some(known) = consents.get_mut(&consent.who.key()).filter(|known| known.begun == consent.begun)
        {
            known.outcome = Some(outcome);
        }
    }

    /// Takes back how it has ended, for one to go on with it. Returns whether there was something to take back.
    fn take_back(&self, consent: &Consent) -> bool {
        let mut consents = self.lock();
        let known = consents.get_mut(&consent.who.key()).filter(|known| known.begun == consent.begun);
        known.and_then(|known| known.outcome.take()).is_some()
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
    fn newcomer(&self, owner: Token, draft: String) -> Result<Who, Refusal> {
        let answered = self.drafts.get(&owner, &draft)?;
        let name = answered.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let (next, back) = (format!("/add/{draft}/mail"), format!("/add/{draft}/login"));
        let (what, host) = (What::Account, answered.peer.host);
        Ok(Who::New(Newcomer { owner, draft, what, name, host, next, back }))
    }

    fn new_home(&self, owner: Token, draft: String) -> Result<Who, Refusal> {
        let gone = |_| Refusal::not_found("What you had answered is no longer there; please begin again");
        let answered = self.homes.get(&owner, &draft).map_err(gone)?;
        let (name, host) = (answered.home.name.to_string(), answered.home.place.host().to_owned());
        let (next, back) = (answered.next(), answered.form(&draft));
        Ok(Who::New(Newcomer { owner, draft, what: What::Home, name, host, next, back }))
    }

    /// Shows the sign-in under way, or begins one.
    async fn consent(
        self: &Arc<Page>,
        who: Who,
        wish: &Wish,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let mut known = self.known_consent(&who).await;
        let mut is_over = known.as_ref().is_some_and(|consent| matches!(consent.outcome, Some(Err(_))));
        if let Some(consent) = &known
            && wish.anew == "yes"
            && self.go_on(consent).await
        {
            (known, is_over) = (self.known_consent(&who).await, false);
        }
        let consent = match known {
            Some(consent) if !(is_over && wish.anew == "yes") => consent,
            Some(_) | None if self.is_let_in(&who) => return Ok(go(&who.next())),
            Some(_) | None => self.begin_consent(who.clone(), headers).await?,
        };
        match &consent.outcome {
            Some(Ok(())) => {
                self.consents.end(&who);
                Ok(go(&who.next()))
            }
            Some(Err(reason)) => {
                Ok(html(&consent.page(&Complaints::one("", format!("{}.", capitalised(reason))))))
            }
            None => Ok(html(&consent.page(&Complaints::default()))),
        }
    }

    /// Where somebody has signed in and it was something else that failed, that is tried once more, to its end. Returns
    /// whether it was.
    async fn go_on(self: &Arc<Page>, consent: &Consent) -> bool {
        // Who is known may be signed in from before.
        let is_done = matches!((&consent.who, &consent.outcome), (Who::New(_), Some(Err(_))))
            && (consent.sign_in.is_done().await || self.is_let_in(&consent.who));
        if !is_done || !self.consents.take_back(consent) {
            return false;
        }
        let (page, consent) = (Arc::clone(self), consent.clone());
        // How that ends is concluded.
        let _ = tokio::spawn(async move { page.signed_in(&consent).await }).await;
        true
    }

    /// The consent under way, unless it is of no use any more.
    async fn known_consent(&self, who: &Who) -> Option<Consent> {
        let consent = self.consents.get(who)?;
        let is_of_use = match (self.is_as_it_was(&consent).await, &consent.outcome, who) {
            // Somebody was signed in, and is no longer.
            (true, Some(Ok(())), Who::Known(_)) => consent.sign_in.is_done().await,
            (is_as_it_was, ..) => is_as_it_was,
        };
        if !is_of_use && self.consents.has(&consent) {
            self.consents.end(who);
        }
        is_of_use.then_some(consent)
    }

    /// Whether what is signed in for is still the same: user, application and rights may have been changed.
    async fn is_as_it_was(&self, consent: &Consent) -> bool {
        self.consents.has(consent)
            && match &consent.who {
                Who::Known(whom) => setup::is_still(&self.house.config, whom, &consent.sign_in).await,
                who => self.sign_in_for(who).await.is_ok_and(|now| now.is_like(&consent.sign_in)),
            }
    }

    /// The same, for whoever asks when the provider has granted it.
    fn wants(self: &Arc<Page>, consent: &Consent) -> impl Future<Output = bool> + use<> {
        let (page, consent) = (Arc::clone(self), consent.clone());
        async move { page.is_as_it_was(&consent).await }
    }

    /// Somebody who adds something is back, and the server has let them in already.
    fn is_let_in(&self, who: &Who) -> bool {
        match who {
            Who::New(Newcomer { what: What::Account, owner, draft, .. }) => {
                self.drafts.get(owner, draft).is_ok_and(|draft| draft.mailbox.is_some())
            }
            Who::New(Newcomer { what: What::Home, owner, draft, .. }) => {
                self.homes.get(owner, draft).is_ok_and(|draft| draft.is_saved)
            }
            Who::Known(_) => false,
        }
    }

    async fn begin_consent(self: &Arc<Page>, who: Who, headers: &HeaderMap) -> Result<Consent, Refusal> {
        let sign_in = self.sign_in_for(&who).await?;
        let way = if sign_in.settings.device_url.is_some() {
            let code = DeviceCode::ask(&sign_in).await;
            Way::Code(code.map_err(|fault| conflict(fault.to_string()))?)
        } else {
            let redirect = format!("{}/signed-in", this_machine(headers, self.house.access().listen.port()));
            Way::Browser(Arc::new(Address::new(&sign_in, &redirect).map_err(conflict)?))
        };
        let consent = Consent { who, sign_in, way, begun: Instant::now(), landing: None, outcome: None };
        self.consents.keep(consent.clone());
        if let Way::Code(code) = &consent.way {
            tokio::spawn(Arc::clone(self).wait_for_code(consent.clone(), code.clone()));
        }
        Ok(consent)
    }

    async fn sign_in_for(&self, who: &Who) -> Result<SignIn, Refusal> {
        let nothing = || Refusal::not_found("There is nothing here to sign in to");
        match who {
            Who::Known(whom) => match setup::sign_in_for(&self.house.config, whom).await {
                Ok((_, sign_in)) => Ok(sign_in),
                Err(error) if error.is_usage() => Err(nothing()),
                Err(error) => Err(Refusal::new(StatusCode::CONFLICT, capitalised(&error.to_string()))),
            },
            Who::New(Newcomer { what: What::Account, owner, draft, .. }) => {
                match self.drafts.get(owner, draft)?.login {
                    Some(NewLogin::SignIn(new)) => Ok(new.sign_in),
                    Some(NewLogin::Password(_)) | None => Err(nothing()),
                }
            }
            Who::New(Newcomer { what: What::Home, owner, draft, .. }) => {
                Ok(self.homes.get(owner, draft).map_err(|_| nothing())?.login.sign_in)
            }
        }
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
            if !self.consents.has(&consent) {
                return;
            }
            match code.state(&consent.sign_in, self.wants(&consent)).await {
                Ok(DeviceState::Waiting) => {}
                Ok(DeviceState::SignedIn) => break Ok(()),
                Err(fault) => break Err(fault.to_string()),
            }
        };
        match outcome {
            Ok(()) => {
                // How that ends is concluded.
                let _ = self.signed_in(&consent).await;
            }
            Err(reason) => self.consents.conclude(&consent, Err(reason)),
        }
    }

    async fn pasted(self: &Arc<Page>, who: &Who, landed: &str) -> Result<Response, Refusal> {
        let over = || Refusal::not_found("This sign-in is over; begin it anew");
        let consent = self.consents.get(who).ok_or_else(over)?;
        let Way::Browser(address) = &consent.way else { return Ok(go(&who.back())) };
        if let Err(reason) = address.check(landed) {
            let complaints = Complaints::one("landed", format!("{}.", capitalised(&reason)));
            return Ok(complain(&consent.page(&complaints)));
        }
        match self.landing(&consent, address, landed).ok_or_else(over)?.await {
            Landed::SignedIn => Ok(go(&who.next())),
            Landed::NotLetIn(reason) | Landed::Nothing(reason) => {
                let consent = Consent { outcome: Some(Err(reason.clone())), ..consent };
                Ok(complain(&consent.page(&Complaints::one("", format!("{}.", capitalised(&reason))))))
            }
        }
    }

    /// Has a code redeemed, to the end, by the first who comes with it. A provider takes its second use for a theft, and
    /// withdraws what it gave for the first (RFC 6749 section 4.1.2): all others are told what came of it.
    fn landing(self: &Arc<Page>, consent: &Consent, address: &Arc<Address>, landed: &str) -> Option<Landing> {
        let begin = || {
            let (page, address) = (Arc::clone(self), Arc::clone(address));
            let landing = tokio::spawn(page.redeem(consent.clone(), address, landed.to_owned()));
            landing.map(|end| end.unwrap_or_else(|e| Landed::Nothing(e.to_string()))).boxed().shared()
        };
        self.consents.landing(consent, begin)
    }

    async fn redeem(self: Arc<Page>, consent: Consent, address: Arc<Address>, landed: String) -> Landed {
        let redeemed = match self.is_as_it_was(&consent).await {
            true => {
                let outcome = address.landed(&consent.sign_in, &landed, self.wants(&consent)).await;
                outcome.map_err(|fault| fault.to_string())
            }
            false => Err(CHANGED.to_owned()),
        };
        if let Err(mut reason) = redeemed {
            if reason == CHANGED && !self.consents.has(&consent) {
                reason = "this sign-in is over; begin it anew".to_owned();
            }
            self.consents.conclude(&consent, Err(reason.clone()));
            return Landed::Nothing(reason);
        }
        self.signed_in(&consent).await.map_or_else(Landed::NotLetIn, |()| Landed::SignedIn)
    }

    /// Goes on with what waited for it: the next poll, or the login at the server of what is being added.
    async fn signed_in(&self, consent: &Consent) -> Result<(), String> {
        if !self.is_as_it_was(consent).await {
            if matches!(consent.who, Who::New(_)) {
                // It is nobody's any more, and must not wait for another one of that name.
                consent.sign_in.undo().await;
            }
            self.consents.conclude(consent, Err(CHANGED.to_owned()));
            return Err(CHANGED.to_owned());
        }
        let outcome = match &consent.who {
            Who::Known(whom) => {
                // Where that cannot be asked for, the next poll comes by itself.
                let _ = self.house.visitor.request(&whom.request(), Utc::now()).await;
                Ok(())
            }
            Who::New(Newcomer { what: What::Account, owner, draft, host, .. }) => {
                self.try_draft(owner, draft).await.map_err(|reason| format!("{host}: {reason}"))
            }
            Who::New(Newcomer { what: What::Home, owner, draft, .. }) => {
                self.save_signed_in_home(owner, draft).await
            }
        };
        self.consents.conclude(consent, outcome.clone());
        outcome
    }
}

impl Consent {
    fn page(&self, complaints: &Complaints) -> ConsentPage {
        let (code, url) = match &self.way {
            Way::Code(code) => (Some(shown(&code.user_code)), code.url.clone()),
            Way::Browser(address) => (None, address.url.clone()),
        };
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
            title: self.who.name().to_owned(),
            user: shown(&self.sign_in.user),
            is_over: self.outcome.is_some(),
            code,
            url: if is_of_web(&url) { url } else { String::new() },
            complaints,
            fields,
            back: self.who.back(),
            later: match self.who {
                Who::Known(_) => "Later",
                Who::New(_) => "Back",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A provider leads a browser back to the machine it runs on: a page that is seen from elsewhere is asked for by an
    /// address that a person then pastes.
    #[test]
    fn a_provider_leads_back_to_this_machine_whatever_the_page_is_called() {
        let led_back = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            this_machine(&headers, 8025)
        };
        for (host, to) in [
            ("localhost:8025", "http://localhost:8025"),
            ("127.0.0.1:8025", "http://127.0.0.1:8025"),
            ("[::1]:8025", "http://[::1]:8025"),
            ("nas.lan:8025", "http://localhost:8025"),
            ("mail.example.org", "http://localhost:8025"),
            ("localhost.evil.example:8025", "http://localhost:8025"),
            ("", "http://localhost:8025"),
        ] {
            assert_eq!(led_back(host), to, "{host}");
        }
    }

    #[test]
    fn a_link_leads_to_the_web_and_without_tls_to_this_machine_alone() {
        for url in
            ["https://login.example/device", "http://localhost:8025/x", "http://127.0.0.1", "http://[::1]:1/"]
        {
            assert!(is_of_web(url), "{url}");
        }
        for url in [
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "http://localhost@evil.example/",
            "http://evil.example/",
            "javascript:alert(1)",
            "/device",
            "",
        ] {
            assert!(!is_of_web(url), "{url}");
        }
    }
}

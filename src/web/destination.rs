//! Changing a destination, and adding one: by itself, or on the way to an account whose mail goes there.
//!
//! Whoever signs in for it by OAuth does that after the form (see `consent`); it is saved once the server has let them in.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
use secrecy::SecretString;
use serde::Deserialize;

use super::add::{LoginForm, MailForm, add_way, after_saving, complaints_of, login_fields, login_told};
use super::answers::{Refusal, complain, go, html};
use super::drafts::Draft;
use super::edit::{version, yes};
use super::form::{Complaints, Field};
use super::sign_in::SignedIn;
use super::words::capitalised;
use super::{Page, Shared};
use crate::ledger::Token;
use crate::message::{DestinationName, NAME_RULE};
use crate::setup::{
    self, Config, Door, GmailDraft, HomeDraft, IMAP_PORTS, LoginFault, NewLogin, NewSignIn, NoWay, OwnHome,
    PeerDraft, Place, Saved, Tls, Told, Whom,
};

#[derive(Template)]
#[template(path = "destination.html")]
struct DestinationPage {
    title: String,
    /// Which step this is; empty where it is none.
    place: &'static str,
    /// What the form knows and shows nobody.
    hidden: Vec<(&'static str, String)>,
    /// What is known by now.
    told: Vec<Told>,
    complaints: Vec<String>,
    /// What is to be copied into the config, if anything.
    block: String,
    /// The form of the other kind of destination: its address and its words.
    instead: Option<(&'static str, &'static str)>,
    /// Where there are none, there is nothing to be done here.
    fields: Vec<Field>,
    button: &'static str,
    /// The way out, and what it is called.
    back: String,
    out: &'static str,
}

/// What a destination is to be.
#[derive(Clone, Deserialize)]
pub struct HomeForm {
    #[serde(flatten)]
    login: LoginForm,
    /// Of Gmail's API; empty for Google's own.
    #[serde(default)]
    url: String,
    #[serde(default)]
    never_mark_spam: String,
    #[serde(default)]
    process_for_calendar: String,
    /// What the destination was when the form was made.
    #[serde(default)]
    seen: String,
    /// The server that was found by the address, if no password opens it, and why none does.
    #[serde(default)]
    only_oauth_at: String,
    #[serde(default)]
    only_oauth: String,
}

/// Which form is asked for.
#[derive(Deserialize)]
pub struct Asked {
    /// `gmail` for Gmail by its API; all else is IMAP.
    #[serde(default)]
    kind: String,
    /// The id of what was answered before somebody went to sign in.
    #[serde(default)]
    draft: String,
}

/// A destination that somebody signs in for; it is saved after that.
#[derive(Clone)]
pub struct HomeToBe {
    pub home: HomeDraft,
    pub login: NewSignIn,
    pub is_saved: bool,
    form: HomeForm,
    aim: Aim,
}

/// What a destination is added for, or that it is changed.
#[derive(Clone)]
enum Aim {
    New,
    /// The id of the draft of the account.
    Account(String),
    Change,
}

impl HomeToBe {
    /// Where a person goes on once it is saved.
    pub fn next(&self) -> String {
        self.aim.next()
    }

    /// The form again, with what was answered.
    pub fn form(&self, id: &str) -> String {
        let kind = if matches!(self.home.place, Place::Gmail(_)) { "gmail" } else { "imap" };
        let Ok(name) = askama::filters::urlencode_strict(self.home.name.as_str());
        match &self.aim {
            Aim::New => format!("/destinations/add?kind={kind}&draft={id}"),
            Aim::Account(account) => format!("/add/{account}/home?kind={kind}&draft={id}"),
            Aim::Change => format!("/destinations/{name}/edit?draft={id}"),
        }
    }
}

impl Aim {
    fn next(&self) -> String {
        match self {
            Aim::New | Aim::Change => "/".into(),
            Aim::Account(id) => format!("/add/{id}/mail"),
        }
    }
}

pub async fn new_form(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let config = page.config().await?;
    Ok(Task::new(&page, owner, &config, &asked, Aim::New).show(&asked))
}

pub async fn add(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Query(asked): Query<Asked>,
    Form(form): Form<HomeForm>,
) -> Result<Response, Refusal> {
    let config = page.config().await?;
    Task::new(&page, owner, &config, &asked, Aim::New).answer(&asked, form).await
}

pub async fn account_form(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let account = page.drafts.get(&owner, &id)?;
    let config = page.config().await?;
    let task = Task::new(&page, owner, &config, &asked, Aim::Account(id));
    Ok(Task { account: Some(account), ..task }.show(&asked))
}

pub async fn add_for_account(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    Form(form): Form<HomeForm>,
) -> Result<Response, Refusal> {
    let account = page.drafts.get(&owner, &id)?;
    let config = page.config().await?;
    let task = Task::new(&page, owner, &config, &asked, Aim::Account(id));
    Task { account: Some(account), ..task }.answer(&asked, form).await
}

pub async fn form(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let config = page.config().await?;
    let before = own_home(&config, &name)?;
    let task = Task::new(&page, owner, &config, &asked, Aim::Change);
    Ok(task.with(&before).show(&asked))
}

pub async fn change(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    Form(form): Form<HomeForm>,
) -> Result<Response, Refusal> {
    let config = page.config().await?;
    let before = own_home(&config, &name)?;
    let task = Task::new(&page, owner, &config, &asked, Aim::Change).with(&before);
    if form.seen != task.seen() {
        let complaints = Complaints::one("", CHANGED);
        return Ok(complain(&task.page(&task.first_form(), Vec::new(), &complaints)));
    }
    task.answer(&asked, form).await
}

const CHANGED: &str = "The destination was changed while this form was open. Here is what it is now: change what you want again.";

fn own_home<'c>(config: &'c Config, name: &str) -> Result<OwnHome<'c>, Refusal> {
    setup::own_home(config, name).map_err(|error| match error {
        setup::Error::NoDestination { .. } => Refusal::not_found("There is no such destination"),
        error => Refusal::new(StatusCode::CONFLICT, error.to_string()),
    })
}

/// What somebody is about to do with a destination.
struct Task<'a> {
    page: &'a Arc<Page>,
    owner: Token,
    config: &'a Config,
    is_gmail: bool,
    aim: Aim,
    /// What it is that is changed.
    before: Option<&'a OwnHome<'a>>,
    /// The account that it is added for.
    account: Option<Draft>,
}

impl<'a> Task<'a> {
    fn new(page: &'a Arc<Page>, owner: Token, config: &'a Config, asked: &Asked, aim: Aim) -> Task<'a> {
        Task { page, owner, config, is_gmail: asked.kind == "gmail", aim, before: None, account: None }
    }

    fn with(self, before: &'a OwnHome<'a>) -> Task<'a> {
        let is_gmail = matches!(before.home.place, Place::Gmail(_));
        Task { before: Some(before), is_gmail, ..self }
    }

    /// Another one whenever what the form shows is.
    fn seen(&self) -> String {
        self.before.map(|before| version(&(&before.home, before.oauth))).unwrap_or_default()
    }

    /// The form, with what was answered if somebody comes back: what they were about to sign in for is over then.
    fn show(&self, asked: &Asked) -> Response {
        let known = self.known(asked);
        self.end(asked, known.as_ref());
        let (form, complaints) = match known {
            Some(known) if known.form.seen != self.seen() => {
                (self.first_form(), Complaints::one("", CHANGED))
            }
            Some(known) => (known.form, Complaints::default()),
            None => (self.first_form(), Complaints::default()),
        };
        html(&self.page(&form, Vec::new(), &complaints))
    }

    /// Whoever answers anew signs in anew.
    fn end(&self, asked: &Asked, known: Option<&HomeToBe>) {
        if known.is_some() {
            self.page.consents.end_of_draft(&asked.draft);
        }
    }

    fn known(&self, asked: &Asked) -> Option<HomeToBe> {
        self.page.homes.get(&self.owner, &asked.draft).ok().filter(|known| !known.is_saved)
    }

    /// What it shows first.
    fn first_form(&self) -> HomeForm {
        let usual = if self.is_gmail { "gmail" } else { "home" };
        let is_free = self.config.destinations.iter().all(|known| known.name.as_str() != usual);
        match self.before {
            Some(before) => HomeForm::of(before.home.name.as_str(), &before.home.place, before.oauth),
            None => {
                let tls = Tls::Implicit;
                let peer =
                    PeerDraft { host: String::new(), port: IMAP_PORTS.of(tls), tls, user: String::new() };
                let place = if self.is_gmail { Place::Gmail(GmailDraft::of("")) } else { Place::Imap(peer) };
                HomeForm::of(if is_free { usual } else { "" }, &place, None)
            }
        }
    }

    fn page(&self, form: &HomeForm, told: Vec<Told>, complaints: &Complaints) -> DestinationPage {
        let (mut fields, block) = match self.ways(form) {
            Ok(ways) => (self.fields(form, ways), String::new()),
            Err(no_way) if self.is_gmail => return self.no_way(no_way),
            Err(no_way) => (self.fields(form, vec![None]), no_way.block),
        };
        let complaints = complaints.at(&mut fields);
        let about = (self.is_gmail && self.before.is_none()).then(|| ABOUT_GMAIL.to_owned().into());
        let told = self.account.iter().flat_map(login_told).chain(about).chain(told).collect();
        let hidden = vec![
            ("seen", self.seen()),
            ("only_oauth_at", form.only_oauth_at.clone()),
            ("only_oauth", form.only_oauth.clone()),
        ];
        DestinationPage { hidden, told, complaints, block, fields, ..self.empty_page() }
    }

    /// There is no application of Google's.
    fn no_way(&self, NoWay { text, block }: NoWay) -> DestinationPage {
        DestinationPage { told: vec![text.into()], block, ..self.empty_page() }
    }

    fn empty_page(&self) -> DestinationPage {
        let what = if self.is_gmail { "Gmail" } else { "an IMAP server" };
        let (title, place, button, out) = match (&self.aim, self.before) {
            (_, Some(before)) => {
                (format!("Edit the destination {}", before.home.name), "", "Log in and save", "Cancel")
            }
            (Aim::Account(_), None) => {
                (format!("Where the mail goes: {what}"), "Before step 3", "Log in and add it", "Back")
            }
            (_, None) => (format!("Add {what}"), "", "Log in and add it", "Cancel"),
        };
        let back = match (&self.aim, &self.account) {
            (Aim::Account(id), Some(Draft { mail: Some(_), .. })) => format!("/add/{id}/mail"),
            (Aim::Account(id), _) => format!("/add/{id}/login"),
            (Aim::New | Aim::Change, _) => "/".into(),
        };
        let instead = match self.is_gmail {
            true => ("?kind=imap", "To an IMAP server instead"),
            false => ("?kind=gmail", "Into Gmail instead, with its spam check and calendar"),
        };
        DestinationPage {
            title,
            place,
            hidden: Vec::new(),
            told: Vec::new(),
            complaints: Vec::new(),
            block: String::new(),
            instead: self.before.is_none().then_some(instead),
            fields: Vec::new(),
            button,
            back,
            out,
        }
    }

    fn fields(&self, form: &HomeForm, ways: Vec<Option<String>>) -> Vec<Field> {
        let mut fields = match self.is_gmail {
            true => gmail_fields(form, ways),
            false => {
                let has_password = self.before.is_some_and(|before| before.oauth.is_none());
                let mut fields = login_fields(&form.login, has_password, "IMAP server", "imap.example.org");
                add_way(&mut fields, &form.login.oauth, ways);
                fields
            }
        };
        if self.before.is_none() {
            for field in fields.iter_mut().filter(|field| field.name == "host") {
                field.hint += " Leave it empty to have it found by the user name, if that is a mail address.";
            }
            let name = Field::text("name", "A name for it", &form.login.name);
            fields.insert(0, name.hint("What the destination is called here."));
        }
        fields
    }

    /// How one can log in there, what opens it now first.
    fn ways(&self, form: &HomeForm) -> Result<Vec<Option<String>>, NoWay> {
        let mut ways = setup::ways_to(self.config, &form.rough_place(self.is_gmail), form.only_oauth());
        if let Some(before) = self.before {
            let now = before.oauth.map(str::to_owned);
            let others = ways.unwrap_or_default().into_iter().filter(|way| *way != now);
            ways = Ok(std::iter::once(now.clone()).chain(others).collect());
        }
        ways
    }
}

/// What somebody chooses it for.
const ABOUT_GMAIL: &str = "Mail comes in as Gmail's own fetcher brought it: the spam check looks at it, and invitations reach the \
    calendar. By IMAP, neither happens.";

/// In the words of Gmail's own settings, where it has some.
fn gmail_fields(form: &HomeForm, ways: Vec<Option<String>>) -> Vec<Field> {
    let user = Field::text("user", "Gmail address", &form.login.user);
    let mut fields = vec![
        user.hint("Whose mailbox it is: you sign in with Google as this one."),
        Field::check("never_mark_spam", "Never send it to Spam", form.never_mark_spam == "yes")
            .hint("Unless you tick this, Gmail's spam check decides, as it does of all mail."),
        Field::check(
            "process_for_calendar",
            "Add invitations to the calendar",
            form.process_for_calendar == "yes",
        ),
        Field::text("url", "Address of the API", &form.url)
            .hint("Leave it empty for Google's own. Another is for who goes through a proxy."),
    ];
    if ways.len() > 1 {
        add_way(&mut fields, &form.login.oauth, ways);
    }
    fields
}

impl Task<'_> {
    /// Saves it, or has somebody sign in first.
    async fn answer(&self, asked: &Asked, form: HomeForm) -> Result<Response, Refusal> {
        let mut complaints = Complaints::default();
        if let Some((form, told)) = self.found(&form, &mut complaints).await {
            return Ok(complain(&self.page(&form, told, &complaints)));
        }
        let Some((home, login)) = self.wanted(asked, &form, &mut complaints).await else {
            return Ok(complain(&self.page(&form, Vec::new(), &complaints)));
        };
        self.end(asked, self.known(asked).as_ref());
        if let Some(NewLogin::SignIn(new)) = &login
            && !new.is_done().await
        {
            let form = form.without_password();
            let (login, aim) = ((**new).clone(), self.aim.clone());
            let draft = HomeToBe { home, login, is_saved: false, form, aim };
            let id = self.page.homes.begin(self.owner, draft);
            let none = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "There are no random numbers");
            return Ok(go(&format!("/homes/{}/sign-in", id.ok_or_else(none)?)));
        }
        let (name, is_let_in) = (home.name.clone(), login.is_some());
        match self.page.save_home(&self.owner, &self.aim, &form.seen, home, login).await? {
            Ok(Some(saved)) => {
                self.page.take_up_home(&self.aim, &name, is_let_in).await?;
                if saved.warnings.is_empty() { Ok(go(&self.aim.next())) } else { Ok(after_saving(saved)) }
            }
            Ok(None) => Ok(go(&self.aim.next())),
            Err(error) => {
                complaints_of_home(error, &mut complaints);
                Ok(complain(&self.page(&form, Vec::new(), &complaints)))
            }
        }
    }

    /// Where no server is named yet but an address is: the form with what is known of it, for a person to look at.
    async fn found(&self, form: &HomeForm, complaints: &mut Complaints) -> Option<(HomeForm, Vec<Told>)> {
        let user = form.login.user.trim();
        let is_wanted = !self.is_gmail && self.before.is_none();
        (is_wanted && form.login.host.trim().is_empty() && user.contains('@')).then_some(())?;
        let suggestion = match setup::suggest_home(user, self.config.lookup.as_ref()).await {
            Ok(suggestion) => suggestion,
            Err(reason) => {
                complaints.add("user", reason);
                return Some((form.without_password(), Vec::new()));
            }
        };
        let oauth = form.login.oauth.clone();
        let login = LoginForm { oauth, ..LoginForm::of(&form.login.name, &suggestion.peer, &IMAP_PORTS) };
        let (only_oauth_at, only_oauth) = match &suggestion.only_oauth {
            Some(reason) => (suggestion.peer.host.clone(), reason.clone()),
            None => (String::new(), String::new()),
        };
        let found = HomeForm { login, only_oauth_at, only_oauth, ..form.clone() };
        match setup::ways_to(self.config, &Place::Imap(suggestion.peer.clone()), suggestion.only_oauth) {
            Err(no_way) => complaints.add("user", no_way.text),
            _ if suggestion.peer.host.is_empty() => complaints.add("host", "Type the name of the server."),
            Ok(ways) if ways.contains(&None) && found.login.oauth.is_empty() => {
                complaints.add("password", "Type the password for this server.");
            }
            Ok(_) => complaints.add("host", "Look whether this is the server, and go on."),
        }
        let question = suggestion.question.as_deref().map(capitalised);
        let told = suggestion.told.into_iter().chain(question.map(Told::from)).collect();
        Some((found, told))
    }

    /// What it is to be, and what opens it from now on, if that is something new; `None` where there are complaints.
    async fn wanted(
        &self,
        asked: &Asked,
        form: &HomeForm,
        complaints: &mut Complaints,
    ) -> Option<(HomeDraft, Option<NewLogin>)> {
        let name = match self.before {
            Some(before) => Some(before.home.name.clone()),
            None => self.new_name(form, complaints),
        };
        let place = form.place(self.is_gmail, complaints);
        if let Err(no_way) = self.ways(form) {
            complaints.add("user", no_way.text);
        }
        let home = name.zip(place).map(|(name, place)| HomeDraft { name, place });
        let login = match self.way(form) {
            None => self.password(form, home.as_ref(), complaints),
            Some(oauth) if complaints.is_empty() => {
                self.sign_in(asked, &oauth, home.as_ref()?, complaints).await
            }
            Some(_) => None,
        };
        Some((home?, login?)).filter(|_| complaints.is_empty())
    }

    fn new_name(&self, form: &HomeForm, complaints: &mut Complaints) -> Option<DestinationName> {
        let name = DestinationName::new(form.login.name.trim());
        match &name {
            None => complaints.add("name", format!("A name has {NAME_RULE}.")),
            // Where the button was pressed twice, that is seen later.
            Some(_) if self.has_added(form) => {}
            Some(name) if self.config.destinations.iter().any(|known| known.name == *name) => {
                complaints
                    .add("name", format!("There is a destination {name} already; choose another name."));
            }
            Some(_) => {}
        }
        name
    }

    /// By which application somebody signs in; `None` is by a password. Of a single one nobody is asked.
    fn way(&self, form: &HomeForm) -> Option<String> {
        let ways = self.ways(form).unwrap_or_default();
        let chosen = Some(&form.login.oauth).filter(|chosen| !chosen.is_empty()).cloned();
        if chosen.is_none() && !ways.contains(&None) { ways.into_iter().next().flatten() } else { chosen }
    }

    /// The outer `None`: there are complaints. The inner: it is opened as before.
    fn password(
        &self,
        form: &HomeForm,
        home: Option<&HomeDraft>,
        complaints: &mut Complaints,
    ) -> Option<Option<NewLogin>> {
        let typed = form.login.typed_password(complaints);
        let known = self.before.filter(|before| before.oauth.is_none());
        match (typed, known, home) {
            (Some(typed), ..) => return Some(Some(typed.into())),
            _ if !complaints.is_empty() => {}
            (None, Some(known), Some(home)) if home.place.opens_as(&known.home.place) => return Some(None),
            (None, Some(_), _) => complaints_of(setup::Error::PasswordNeeded, complaints),
            (None, None, _) => complaints.add("password", "Type the password."),
        }
        None
    }

    /// As [`Task::password`]. The sign-in of before counts where it is for this very place.
    async fn sign_in(
        &self,
        asked: &Asked,
        oauth: &str,
        home: &HomeDraft,
        complaints: &mut Complaints,
    ) -> Option<Option<NewLogin>> {
        if let Some(before) = self.before
            && before.oauth == Some(oauth)
            && home.place.opens_as(&before.home.place)
        {
            return Some(None);
        }
        let new = async {
            let new = NewSignIn::for_home(&self.config.file, oauth, home).await?;
            // What the config would refuse is said before anybody signs in.
            setup::check_home(self.config, self.before, home, &new.clone().into())?;
            Ok(new)
        };
        let known = self.known(asked).map(|known| known.login);
        match NewSignIn::or_new(known, oauth, &Door::Home(home.place.clone()), new).await {
            Ok(new) => Some(Some(new.into())),
            Err(error) => {
                complaints_of_home(error, complaints);
                None
            }
        }
    }

    /// Whether this very destination has been added already for the account: the button was pressed twice.
    fn has_added(&self, form: &HomeForm) -> bool {
        let mut none = Complaints::default();
        let (name, place) = (form.login.name.trim(), form.place(self.is_gmail, &mut none));
        let added = self.account.as_ref().and_then(|account| account.home.as_ref());
        added.is_some_and(|home| home.name.as_str() == name && Some(&home.place) == place.as_ref())
    }
}

impl HomeForm {
    fn of(name: &str, place: &Place, oauth: Option<&str>) -> HomeForm {
        let own = GmailDraft::of("");
        let (peer, gmail) = match place {
            Place::Imap(peer) => (peer.clone(), own.clone()),
            Place::Gmail(gmail) => {
                let (host, tls, user) = (String::new(), Tls::Implicit, gmail.user.clone());
                (PeerDraft { host, port: IMAP_PORTS.of(tls), tls, user }, gmail.clone())
            }
        };
        let oauth = oauth.unwrap_or_default().to_owned();
        HomeForm {
            login: LoginForm { oauth, ..LoginForm::of(name, &peer, &IMAP_PORTS) },
            url: if gmail.url == own.url { String::new() } else { gmail.url },
            never_mark_spam: yes(gmail.never_mark_spam),
            process_for_calendar: yes(gmail.process_for_calendar),
            seen: String::new(),
            only_oauth_at: String::new(),
            only_oauth: String::new(),
        }
    }

    /// Why no password opens it, as far as its address has shown that.
    fn only_oauth(&self) -> Option<String> {
        let is_there = self.login.host.trim() == self.only_oauth_at;
        Some(self.only_oauth.clone()).filter(|reason| is_there && !reason.is_empty())
    }

    fn without_password(&self) -> HomeForm {
        let login = LoginForm { password: SecretString::default(), ..self.login.clone() };
        HomeForm { login, ..self.clone() }
    }

    /// As far as it is answered.
    fn rough_place(&self, is_gmail: bool) -> Place {
        let (user, tls) = (self.login.user.trim(), Tls::Implicit);
        if is_gmail {
            return Place::Gmail(GmailDraft::of(user));
        }
        let host = self.login.host.trim().to_owned();
        Place::Imap(PeerDraft { host, port: IMAP_PORTS.of(tls), tls, user: user.to_owned() })
    }

    /// `None` where it says less than is needed.
    fn place(&self, is_gmail: bool, complaints: &mut Complaints) -> Option<Place> {
        if !is_gmail {
            return self.login.peer(&IMAP_PORTS, complaints).map(Place::Imap);
        }
        let user = self.login.user.trim();
        if user.is_empty() {
            complaints.add("user", "Type the Gmail address.");
            return None;
        }
        let usual = GmailDraft::of(user);
        let url = Some(self.url.trim()).filter(|url| !url.is_empty()).map_or(usual.url, str::to_owned);
        let (never, calendar) = (self.never_mark_spam == "yes", self.process_for_calendar == "yes");
        Some(Place::Gmail(GmailDraft {
            user: user.to_owned(),
            url,
            never_mark_spam: never,
            process_for_calendar: calendar,
        }))
    }
}

/// As [`complaints_of`], of what stands in the main file.
fn complaints_of_home(error: setup::Error, complaints: &mut Complaints) {
    let setup::Error::Config(mut faults) = error else { return complaints_of(error, complaints) };
    for fault in &mut faults.0 {
        if let Some((_, key)) = fault.key.rsplit_once('.') {
            fault.key = key.to_owned();
        }
    }
    complaints_of(setup::Error::Config(faults), complaints);
}

impl Page {
    /// Somebody has signed in for a destination: it is tried with that, and saved.
    ///
    /// # Errors
    /// What is wrong, in a sentence without its full stop. What was refused is known no longer.
    pub async fn save_signed_in_home(&self, owner: &Token, id: &str) -> Result<(), String> {
        let gone = "what you had answered is no longer there; begin again";
        let HomeToBe { home, login, is_saved, form, aim } = self.homes.get(owner, id).map_err(|_| gone)?;
        let name = home.name.clone();
        let unkept = if is_saved {
            // It was what comes after that which failed.
            self.keep_sign_in(&name, &login).await.err()
        } else {
            let saved = self.save_home(owner, &aim, &form.seen, home, Some(login.into())).await;
            let saved = saved.map_err(|refusal| refusal.text().to_owned())?.map_err(|error| match error {
                setup::Error::LoginFailed { host, reason } => format!("{host}: {}", reason.on_page()),
                error => error.to_string(),
            })?;
            self.homes.change(owner, id, |draft| draft.is_saved = true);
            let warnings = saved.map(|saved| saved.warnings).unwrap_or_default();
            Some(warnings.join("; ")).filter(|text| !text.is_empty())
        };
        self.take_up_home(&aim, &name, true).await.map_err(|refusal| refusal.text().to_owned())?;
        unkept.map_or(Ok(()), Err)
    }

    /// Where it could not be kept at once.
    async fn keep_sign_in(&self, name: &DestinationName, new: &NewSignIn) -> Result<(), String> {
        match new.is_done().await {
            true => setup::keep_sign_in(&self.house.config, &Whom::Destination(name.clone()), new).await,
            false => Ok(()),
        }
    }

    /// Lets a destination be taken up as it is saved, and, where it was changed and has let somebody in, what waits for
    /// it be tried again.
    async fn take_up_home(&self, aim: &Aim, name: &DestinationName, is_let_in: bool) -> Result<(), Refusal> {
        self.take_up().await?;
        if is_let_in && matches!(aim, Aim::Change) {
            for request in setup::requests_of(&self.config().await?, name) {
                self.house.visitor.request(&request, Utc::now()).await?;
            }
        }
        Ok(())
    }

    /// Logs in, and saves a destination; `None` where it is there already. Without a `login` it is opened as before.
    async fn save_home(
        &self,
        owner: &Token,
        aim: &Aim,
        seen: &str,
        home: HomeDraft,
        login: Option<NewLogin>,
    ) -> Result<Result<Option<Saved>, setup::Error>, Refusal> {
        let outcome = match (aim, &login) {
            (Aim::Change, _) => self.change_home(seen, home, login.clone()).await?,
            (_, Some(login)) => self.add_home(owner, aim, home, login.clone()).await?,
            (_, None) => Ok(None),
        };
        if let (Err(setup::Error::LoginFailed { reason, .. }), Some(NewLogin::SignIn(new))) =
            (&outcome, &login)
            && LoginFault::is_of_credentials(reason)
        {
            new.undo().await;
        }
        Ok(outcome)
    }

    async fn add_home(
        &self,
        owner: &Token,
        aim: &Aim,
        home: HomeDraft,
        login: NewLogin,
    ) -> Result<Result<Option<Saved>, setup::Error>, Refusal> {
        let account = match aim {
            Aim::Account(id) => Some(id.as_str()),
            Aim::New | Aim::Change => None,
        };
        let is_added = || {
            let draft = account.and_then(|id| self.drafts.get(owner, id).ok());
            draft.is_some_and(|draft| draft.home.as_ref() == Some(&home))
        };
        if is_added() {
            return Ok(Ok(None));
        }
        if let Err(reason) = setup::log_in_home(&home.place, login.login()).await {
            let host = home.place.host().to_owned();
            return Ok(Err(setup::Error::LoginFailed { host, reason }));
        }
        // Who presses the button twice waits here, and finds it saved.
        let _changing = self.changing.lock().await;
        if is_added() {
            return Ok(Ok(None));
        }
        let saved = match setup::add_home(&self.house.config, home.clone(), login).await {
            Ok(saved) => saved,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(id) = account {
            self.drafts.change(owner, id, |draft| {
                draft.mail.get_or_insert_with(MailForm::usual).to = home.name.to_string();
                draft.home = Some(home);
            });
        }
        Ok(Ok(Some(saved)))
    }

    /// Saves a destination as it is to be.
    async fn change_home(
        &self,
        seen: &str,
        after: HomeDraft,
        login: Option<NewLogin>,
    ) -> Result<Result<Option<Saved>, setup::Error>, Refusal> {
        let config = self.config().await?;
        let before = own_home(&config, after.name.as_str())?;
        if seen != version(&(&before.home, before.oauth)) {
            return Ok(Err(setup::Error::Changed(format!("destination {}", after.name))));
        }
        if login.is_none() && after == before.home {
            return Ok(Ok(None));
        }
        let (whom, has_login) = (Whom::Destination(after.name.clone()), login.is_some());
        let saved = match setup::change_home(&config.file, &before, after, login).await {
            Ok(saved) => saved,
            Err(error) => return Ok(Err(error)),
        };
        if has_login {
            self.consents.end_of(whom);
        }
        Ok(Ok(Some(saved)))
    }
}

//! Adding an account, step by step: its address, a login at its server, what is to become of its mail.

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::answers::{Refusal, complain, go, html};
use super::drafts::Draft;
use super::form::{Complaints, Field};
use super::sign_in::SignedIn;
use super::words::capitalised;
use super::{Page, Shared};
use crate::ledger::Token;
use crate::message::{AccountName, Import, LeaveCopy, NAME_RULE, Route};
use crate::setup::{
    self, AT_ONCE, AccountDraft, Config, Door, ENCRYPTIONS, LoginFault, MOST_DAYS, NewLogin, NewSignIn,
    NoWay, POP3_PORTS, PeerDraft, Ports, RouteAnswers, Saved, Suggestion, Tls, Told, Unusable, tls_word,
};

#[derive(Template)]
#[template(path = "step.html")]
struct Step {
    title: &'static str,
    /// Which step this is, of how many.
    place: &'static str,
    /// What is known by now.
    told: Vec<Told>,
    /// What is wrong with no field in particular.
    complaints: Vec<String>,
    /// What is to be copied into the config, if anything.
    block: String,
    fields: Vec<Field>,
    button: &'static str,
    /// What the button says while one waits.
    busy: &'static str,
    back: Back,
}

/// The way to the step before.
enum Back {
    To(String),
    /// With the form, so that what it says is kept.
    Sent,
}

/// The first question.
#[derive(Default, Deserialize)]
pub struct AddressForm {
    address: String,
}

/// How to log in somewhere.
#[derive(Clone, Deserialize)]
pub struct LoginForm {
    #[serde(default)]
    pub name: String,
    pub user: String,
    /// Missing where none is asked for.
    #[serde(default)]
    pub password: SecretString,
    /// NAME of `[oauth.NAME]`; empty for a password.
    #[serde(default)]
    pub oauth: String,
    #[serde(default)]
    pub host: String,
    #[serde(default)]
    pub port: String,
    #[serde(default)]
    pub tls: String,
}

/// What is to become of the mail.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct MailForm {
    #[serde(default)]
    pub leave_copy: String,
    #[serde(default)]
    pub days: String,
    #[serde(default)]
    pub import: String,
    #[serde(default)]
    pub to: String,
    #[serde(default)]
    pub folder: String,
    #[serde(default)]
    pub skip_inbox: String,
    #[serde(default)]
    pub labels: String,
    #[serde(default)]
    pub mark_read: String,
    #[serde(default)]
    pub junk: String,
    /// The button that leads back was pressed.
    #[serde(default)]
    pub back: String,
}

/// The choices that add a destination: value, label, and where that is asked for.
const ANOTHER: [(&str, &str, &str); 2] = [
    ("+", "another IMAP server, which is asked for next", "home"),
    ("+gmail", "Gmail, with its spam check and calendar, which is asked for next", "home?kind=gmail"),
];

#[derive(Deserialize)]
pub struct Start {
    /// Somebody is back here because what was answered is no longer there.
    #[serde(default)]
    lost: String,
}

pub async fn start(Query(start): Query<Start>) -> Response {
    let mut step = address_step("", &Complaints::default());
    if !start.lost.is_empty() {
        let text = "What you had answered is no longer there: it is kept for an hour, until you sign out or \
                    mailferry starts anew. Please begin again.";
        step.told.push(text.to_owned().into());
    }
    html(&step)
}

fn address_step(address: &str, complaints: &Complaints) -> Step {
    let hint = "Of the account whose mail you want, such as me@example.com.";
    let mut field = Field::text("address", "Mail address", address).hint(hint);
    field.autocomplete = "email";
    let mut fields = vec![field];
    let complaints = complaints.at(&mut fields);
    Step {
        title: "Add a mail account",
        place: "Step 1 of 3",
        told: vec![Told { text: "How to sign in at which provider:".into(), link: Some("/providers") }],
        complaints,
        block: String::new(),
        fields,
        button: "Next",
        busy: "Looking for its settings ...",
        back: Back::To("/".into()),
    }
}

pub async fn begin(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Form(form): Form<AddressForm>,
) -> Result<Response, Refusal> {
    let address = form.address.trim();
    if address.is_empty() || address.chars().any(char::is_control) || address.len() > 320 {
        let complaints = Complaints::one("address", "Type the mail address.");
        return Ok(complain(&address_step(address, &complaints)));
    }
    let config = page.config().await?;
    let suggestion = match setup::suggest(address, config.lookup.as_ref()).await {
        Ok(suggestion) => suggestion,
        Err(reason) => return Ok(complain(&address_step(address, &Complaints::one("address", reason)))),
    };
    if let Err(NoWay { text, block }) = setup::ways_in(&config, &suggestion) {
        let step = address_step(address, &Complaints::one("address", text));
        return Ok(complain(&Step { block, ..step }));
    }
    let question = suggestion.question.as_deref().map(capitalised);
    let draft = Draft {
        name: setup::free_name(&config, address),
        peer: suggestion.peer,
        told: suggestion.told.into_iter().chain(question.map(Told::from)).collect(),
        only_oauth: suggestion.only_oauth,
        login: None,
        mailbox: None,
        mail: None,
        home: None,
    };
    let id = page.drafts.begin(owner, draft);
    let id =
        id.ok_or_else(|| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "There are no random numbers"))?;
    Ok(go(&format!("/add/{id}/login")))
}

pub async fn login(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let draft = page.drafts.get(&owner, &id)?;
    let config = page.config().await?;
    let name = draft.name.as_ref().map(AccountName::as_str).unwrap_or_default();
    let mut form = LoginForm::of(name, &draft.peer, &POP3_PORTS);
    form.oauth = match &draft.login {
        Some(NewLogin::SignIn(new)) => new.oauth.clone(),
        Some(NewLogin::Password(_)) | None => String::new(),
    };
    Ok(html(&login_step(&config, &form, draft, &Complaints::default())))
}

fn login_step(config: &Config, form: &LoginForm, draft: Draft, complaints: &Complaints) -> Step {
    let has_password = matches!(draft.login, Some(NewLogin::Password(_)));
    let mut fields = login_fields(form, has_password, "POP3 server", "pop.example.com");
    let ways = ways_in(config, &draft);
    add_way(&mut fields, &form.oauth, ways);
    fields.insert(0, Field::text("name", "Name", &form.name).hint("What the account is called here."));
    let complaints = complaints.at(&mut fields);
    Step {
        title: "Log in to the account",
        place: "Step 2 of 3",
        told: draft.told,
        complaints,
        block: String::new(),
        fields,
        button: "Log in",
        busy: "Logging in ...",
        back: Back::To("/add".into()),
    }
}

fn ways_in(config: &Config, draft: &Draft) -> Vec<Option<String>> {
    let (peer, only_oauth) = (draft.peer.clone(), draft.only_oauth.clone());
    let suggestion = Suggestion { peer, told: Vec::new(), question: None, only_oauth };
    setup::ways_in(config, &suggestion).unwrap_or_else(|_| vec![None])
}

/// Adds the ways to log in, where there are several, and leaves out the password where it is none of them.
pub fn add_way(fields: &mut Vec<Field>, chosen: &str, ways: Vec<Option<String>>) {
    if !ways.contains(&None) {
        fields.retain(|field| field.name != "password");
    }
    if ways.iter().any(Option::is_some) {
        let at = fields.iter().position(|field| field.name == "user").map_or(0, |at| at + 1);
        fields.insert(at, way_field(chosen, ways));
    }
}

/// `None` of the ways is a password.
fn way_field(chosen: &str, ways: Vec<Option<String>>) -> Field {
    let hint = match ways.contains(&None) {
        true => "By OAuth you sign in at the provider next, and need no password here.",
        false => "You sign in at the provider next.",
    };
    let choice = |way: Option<String>| match way {
        None => (String::new(), "With a password".to_owned()),
        Some(name) => (name.clone(), format!("By OAuth: {name}")),
    };
    Field::choice("oauth", "How to sign in", chosen, ways.into_iter().map(choice).collect()).hint(hint)
}

/// The fields that each server needs.
pub fn login_fields(form: &LoginForm, has_password: bool, server: &'static str, example: &str) -> Vec<Field> {
    let kept = if has_password { "Leave it empty to keep the one that is known." } else { "" };
    let ways = ENCRYPTIONS.map(|(label, tls)| (tls_word(tls).to_owned(), label.to_owned()));
    vec![
        Field::text("user", "User name", &form.user),
        // Not the one of this page, which a browser would fill in.
        Field::password("password", "Password", "new-password").hint(kept),
        Field::text("host", server, &form.host).hint(&format!("Its name, such as {example}.")),
        Field::choice("tls", "Encryption", &form.tls, ways.into()),
        Field::number("port", "Port", &form.port).hint("Leave it empty for the usual one."),
    ]
}

/// Logs in, and keeps what the server shows; whoever is to sign in by OAuth does that first.
pub async fn log_in(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
    Form(form): Form<LoginForm>,
) -> Result<Response, Refusal> {
    let draft = page.drafts.get(&owner, &id)?;
    let config = page.config().await?;
    let mut complaints = Complaints::default();
    let Some(Login { name, peer, login }) = form.login(&config, &draft, &mut complaints).await else {
        // The draft stays as it was: what was typed now may be for another server than what is known.
        return Ok(complain(&login_step(&config, &form, draft, &complaints)));
    };
    let is_signed_in = match &login {
        NewLogin::SignIn(new) => new.is_done().await,
        NewLogin::Password(_) => true,
    };
    page.drafts.change(&owner, &id, |draft| {
        (draft.name, draft.peer, draft.login) = (Some(name), peer.clone(), Some(login));
        draft.mailbox = None;
    });
    page.consents.end_of_draft(&id);
    if !is_signed_in {
        return Ok(go(&format!("/add/{id}/sign-in")));
    }
    if let Err(reason) = page.try_draft(&owner, &id).await {
        let complaints = Complaints::one("", format!("That did not work. {}: {reason}.", peer.host));
        return Ok(complain(&login_step(&config, &form, page.drafts.get(&owner, &id)?, &complaints)));
    }
    Ok(go(&format!("/add/{id}/{}", after_login(&config))))
}

/// Where there is no destination yet, that comes first.
fn after_login(config: &Config) -> &'static str {
    if config.destinations.is_empty() { "home" } else { "mail" }
}

impl Page {
    /// Logs in with what has been answered so far, and keeps what the server shows.
    ///
    /// # Errors
    /// What is wrong, a clause that can follow the host's name. What was refused is known no longer.
    pub async fn try_draft(&self, owner: &Token, id: &str) -> Result<(), String> {
        let gone = "what you had answered is no longer there; begin again";
        let draft = self.drafts.get(owner, id).map_err(|_| gone)?;
        let Some(login) = &draft.login else { return Err("type the password".into()) };
        let outcome = setup::log_in_account(draft.peer.net(), &draft.peer.user, login.login()).await;
        let is_refused = outcome.as_ref().is_err_and(LoginFault::is_of_credentials);
        if let (NewLogin::SignIn(new), true) = (login, is_refused) {
            new.undo().await;
        }
        let (mailbox, reason) = match outcome {
            Ok(mailbox) => (Some(mailbox), None),
            Err(fault) => (None, Some(fault.on_page())),
        };
        self.drafts.change(owner, id, |now| {
            // Somebody may have answered anew meanwhile.
            let is_same_login = now.login.as_ref().is_some_and(|now| now.is(login));
            if now.peer == draft.peer && is_same_login {
                now.mailbox = mailbox;
                now.login =
                    now.login.take().filter(|login| !(is_refused && matches!(login, NewLogin::Password(_))));
            }
        });
        reason.map_or(Ok(()), Err)
    }
}

/// What the second step has been answered with.
struct Login {
    name: AccountName,
    peer: PeerDraft,
    login: NewLogin,
}

/// What a file would be refused for is said before anybody logs in.
fn complaints_of_login(
    config: &Config,
    name: &AccountName,
    peer: &PeerDraft,
    login: &NewLogin,
    complaints: &mut Complaints,
) {
    let account = AccountDraft {
        name: name.clone(),
        peer: peer.clone(),
        leave_copy: LeaveCopy::Forever,
        import: Import::All,
        routes: Vec::new(),
        paused: false,
    };
    match setup::check(config, &account, login) {
        Err(setup::Error::Config(faults)) => {
            // Where the mail goes is asked later.
            let faults = faults.0.into_iter().filter(|fault| !fault.key.starts_with("deliver"));
            faults.for_each(|fault| complaints.add(&fault.key, setup::on_page(&fault)));
        }
        // That stands at its field.
        Ok(()) | Err(setup::Error::Taken(_)) => {}
        Err(error) => complaints_of(error, complaints),
    }
}

impl LoginForm {
    /// `None` where there are complaints.
    async fn login(&self, config: &Config, draft: &Draft, complaints: &mut Complaints) -> Option<Login> {
        let name = self.account_name(config, complaints);
        let peer = self.peer(&POP3_PORTS, complaints);
        let login = match self.oauth.as_str() {
            "" => self.by_password(draft, peer.as_ref(), complaints),
            _ => self.by_oauth(config, draft, name.as_ref(), peer.as_ref(), complaints).await,
        };
        let (name, peer, login) = (name?, peer?, login?);
        if complaints.is_empty() {
            complaints_of_login(config, &name, &peer, &login, complaints);
        }
        complaints.is_empty().then_some(Login { name, peer, login })
    }

    fn by_password(
        &self,
        draft: &Draft,
        peer: Option<&PeerDraft>,
        complaints: &mut Complaints,
    ) -> Option<NewLogin> {
        if let Some(reason) = &draft.only_oauth {
            complaints.add("oauth", reason.clone());
            return None;
        }
        let known = match &draft.login {
            Some(NewLogin::Password(password)) => Some((password, &draft.peer)),
            Some(NewLogin::SignIn(_)) | None => None,
        };
        self.password_or(known, peer, complaints).map(NewLogin::Password)
    }

    /// The sign-in of before, where it is for this very `peer`; else a new one.
    async fn by_oauth(
        &self,
        config: &Config,
        draft: &Draft,
        name: Option<&AccountName>,
        peer: Option<&PeerDraft>,
        complaints: &mut Complaints,
    ) -> Option<NewLogin> {
        let (name, peer) = (name?, peer?);
        let known = match &draft.login {
            Some(NewLogin::SignIn(known)) => Some((**known).clone()),
            Some(NewLogin::Password(_)) | None => None,
        };
        let new = NewSignIn::for_account(&config.file, &self.oauth, name, peer);
        let new = NewSignIn::or_new(known, &self.oauth, &Door::Source(peer.clone()), new).await;
        new.map_err(|error| complaints.add("oauth", format!("{}.", capitalised(&error.to_string()))))
            .map(NewLogin::from)
            .ok()
    }

    /// The usual port is left out, so that it follows when another encryption is chosen.
    pub fn of(name: &str, peer: &PeerDraft, ports: &Ports) -> LoginForm {
        LoginForm {
            name: name.to_owned(),
            user: peer.user.clone(),
            password: SecretString::default(),
            oauth: String::new(),
            host: peer.host.clone(),
            port: if peer.port == ports.of(peer.tls) { String::new() } else { peer.port.to_string() },
            tls: tls_word(peer.tls).to_owned(),
        }
    }

    fn account_name(&self, config: &Config, complaints: &mut Complaints) -> Option<AccountName> {
        let name = AccountName::new(self.name.trim());
        match &name {
            None => complaints.add("name", format!("A name has {NAME_RULE}.")),
            Some(name) => {
                if setup::must_be_free(config, name).is_err() {
                    complaints
                        .add("name", format!("There is an account {name} already; choose another name."));
                }
            }
        }
        name
    }

    /// `None` where it says less than is needed.
    pub fn peer(&self, ports: &Ports, complaints: &mut Complaints) -> Option<PeerDraft> {
        let (host, user) = (self.host.trim(), self.user.trim());
        for (field, text, what) in
            [("host", host, "Type the name of the server."), ("user", user, "Type the user name.")]
        {
            if text.is_empty() {
                complaints.add(field, what);
            }
        }
        if let Some((name, port)) = host.rsplit_once(':')
            && !name.contains(':')
            && setup::is_number(port)
        {
            complaints.add("host", format!("It holds a port: type {name} here, and {port} at Port."));
        }
        let tls = match self.tls.as_str() {
            "none" => Tls::None,
            "starttls" => Tls::StartTls,
            _ => Tls::Implicit,
        };
        let port = match self.port.trim() {
            "" => Some(ports.of(tls)),
            text => text.parse().ok().filter(|port| *port > 0),
        };
        if port.is_none() {
            complaints.add("port", "A port is a number from 1 to 65535.");
        }
        (!host.is_empty() && !user.is_empty()).then_some(())?;
        Some(PeerDraft { host: host.to_owned(), port: port?, tls, user: user.to_owned() })
    }

    /// The password that was typed, or else the one that is known, where it was typed for this very `peer`: it goes to no
    /// other.
    fn password_or(
        &self,
        known: Option<(&SecretString, &PeerDraft)>,
        peer: Option<&PeerDraft>,
        complaints: &mut Complaints,
    ) -> Option<SecretString> {
        if !self.password.expose_secret().is_empty() {
            return self.typed_password(complaints);
        }
        match (known, peer) {
            (None, _) => complaints.add("password", "Type the password."),
            (Some((password, of)), Some(peer)) if of == peer => return Some(password.clone()),
            (Some(_), Some(_)) => complaints_of(setup::Error::PasswordNeeded, complaints),
            // That it says too little is said already.
            (Some(_), None) => {}
        }
        None
    }

    /// `None` where there is none, or one that cannot be.
    pub fn typed_password(&self, complaints: &mut Complaints) -> Option<SecretString> {
        let typed = self.password.expose_secret();
        if typed.contains(char::is_control) {
            complaints.add("password", "It holds a control character, which no password can.");
            return None;
        }
        (!typed.is_empty()).then(|| self.password.clone())
    }
}

pub async fn mail(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let draft = page.drafts.get(&owner, &id)?;
    let config = page.config().await?;
    let next = after_login(&config);
    if draft.mailbox.is_some() && next != "mail" {
        return Ok(go(&format!("/add/{id}/{next}")));
    }
    let form = draft.mail.clone().unwrap_or_else(MailForm::usual);
    Ok(match mail_step(&config, &draft, &form, &Complaints::default()) {
        Some(step) => html(&step),
        None => go(&format!("/add/{id}/login")),
    })
}

/// `None` before the server has let us in.
fn mail_step(config: &Config, draft: &Draft, form: &MailForm, complaints: &Complaints) -> Option<Step> {
    let mailbox = draft.mailbox.as_ref()?;
    let mut fields = mail_fields(form);
    let all = format!("all mail: {} now", mailbox.amount());
    let imports = vec![("all".to_owned(), all), ("new".to_owned(), "only new mail".to_owned())];
    fields.push(Field::choice("import", "Import", &form.import, imports).hint(setup::COMPARED));
    fields.extend(route_fields(config, form, true));
    let complaints = complaints.at(&mut fields);
    let mut told = login_told(draft);
    told.extend(draft.home.as_ref().map(|home| {
        let name = &home.name;
        format!("{name} was added to the destinations. The account is not there yet: look through this, and add it.").into()
    }));
    Some(Step {
        title: "What is to become of its mail",
        place: "Step 3 of 3",
        told,
        complaints,
        block: String::new(),
        fields,
        button: "Add account",
        busy: "Saving ...",
        back: Back::Sent,
    })
}

/// What the server has shown.
pub fn login_told(draft: &Draft) -> Vec<Told> {
    let Some(mailbox) = &draft.mailbox else { return Vec::new() };
    let trust = match &mailbox.certificate {
        Some(_) => format!("Trusted: {}.", mailbox.trust()),
        None => format!("The connection to {} is NOT ENCRYPTED.", draft.peer.host),
    };
    vec![format!("Logged in to {}: {}.", draft.peer.host, mailbox.amount()).into(), trust.into()]
}

/// How long mail stays where it is.
pub fn mail_fields(form: &MailForm) -> Vec<Field> {
    let ways = [("yes", "Yes"), ("no", "No: delete what has been delivered"), ("days", "For some days")];
    let ways = ways.map(|(value, label)| (value.to_owned(), label.to_owned()));
    vec![
        Field::choice(
            "leave_copy",
            "Leave a copy of retrieved messages on the server",
            &form.leave_copy,
            ways.into(),
        ),
        Field::number("days", "For how many days", &form.days).hint("Counts only if you chose that."),
    ]
}

/// Where the mail goes.
pub fn route_fields(config: &Config, form: &MailForm, with_another: bool) -> Vec<Field> {
    let known = config.destinations.iter();
    let known = known.map(|known| (known.name.to_string(), format!("{} ({})", known.name, known.word)));
    let another = ANOTHER.iter().filter(|_| with_another);
    let another = another.map(|(value, label, _)| ((*value).to_owned(), (*label).to_owned()));
    let choices = known.chain(another).collect();
    vec![
        Field::choice("to", "Deliver to", &form.to, choices),
        Field::text("folder", "Folder", &form.folder).hint("On an IMAP server. It is made if it is missing."),
        Field::check("skip_inbox", "Archive incoming messages (Skip the Inbox)", form.skip_inbox == "yes")
            .hint("On Gmail they are in All Mail then, elsewhere in the folder for the archive."),
        Field::text("labels", "Label incoming messages", &form.labels).hint(
            "On Gmail only: names of labels, with commas between them. They are made if they are missing.",
        ),
        Field::check("mark_read", "Mark as read", form.mark_read == "yes"),
        Field::check("junk", "Put what its provider marks as spam into the junk folder", form.junk == "yes"),
    ]
}

/// Saves the account, or asks for another destination first, or for what came before.
pub async fn save(
    State(page): Shared,
    Extension(SignedIn(owner)): Extension<SignedIn>,
    Path(id): Path<String>,
    Form(form): Form<MailForm>,
) -> Result<Response, Refusal> {
    let another = ANOTHER.iter().find(|(value, ..)| *value == form.to);
    if !form.back.is_empty() || another.is_some() {
        let next = another.filter(|_| form.back.is_empty()).map_or("login", |(_, _, next)| next);
        page.drafts.change(&owner, &id, |draft| draft.mail = Some(MailForm { back: String::new(), ..form }));
        return Ok(go(&format!("/add/{id}/{next}")));
    }
    // Who presses the button twice waits here, and finds it saved.
    let _changing = page.changing.lock().await;
    let draft = page.drafts.get(&owner, &id)?;
    let config = page.config().await?;
    let mut complaints = Complaints::default();
    let terms = form.leave_copy(&mut complaints).zip(form.route(&config, None, &mut complaints));
    if let (Some((leave_copy, route)), Some(name), Some(login), true) =
        (terms, &draft.name, &draft.login, draft.mailbox.is_some())
    {
        let import = form.import();
        let (name, peer, to) = (name.clone(), draft.peer.clone(), route.to.clone());
        let account =
            AccountDraft { name, peer, leave_copy, import, routes: vec![route.clone()], paused: false };
        match setup::log_in_destination(&config.file, &route).await {
            Ok(_) => match setup::add(&config.file, account, login.clone()).await {
                Ok(saved) => {
                    page.drafts.end(&id);
                    page.take_up().await?;
                    return Ok(after_saving(saved));
                }
                Err(error) => complaints_of(error, &mut complaints),
            },
            Err(Unusable::NoSecret(reason) | Unusable::Refused(reason)) => {
                complaints.add("to", format!("That did not work. {to}: {reason}."));
            }
        }
    }
    Ok(match mail_step(&config, &draft, &form, &complaints) {
        Some(step) => complain(&step),
        None => go(&format!("/add/{id}/login")),
    })
}

#[derive(Template)]
#[template(path = "saved.html")]
struct SavedPage {
    warnings: Vec<String>,
}

/// Back to all accounts, unless there is something to read first.
pub fn after_saving(saved: Saved) -> Response {
    match saved.warnings.is_empty() {
        true => go("/"),
        false => html(&SavedPage { warnings: saved.warnings }),
    }
}

/// What was refused, at the fields that say it.
pub fn complaints_of(error: setup::Error, complaints: &mut Complaints) {
    match error {
        setup::Error::Config(faults) => {
            for fault in faults.0 {
                let field = match fault.key.as_str() {
                    "deliver.to" | "deliver" => "to",
                    "deliver.folder" => "folder",
                    "deliver.mark_read" => "mark_read",
                    "deliver.junk" => "junk",
                    "deliver.labels" => "labels",
                    "deliver.skip_inbox" => "skip_inbox",
                    key => key,
                };
                complaints.add(field, setup::on_page(&fault));
            }
        }
        setup::Error::TwoFolders => {
            let text = "Mail with a folder of its own skips the inbox in any case: untick this, or let the folder be INBOX.";
            complaints.add("skip_inbox", text);
        }
        setup::Error::Unfit { to, reason } => {
            complaints.add("to", format!("That did not work. {to}: {reason}."));
        }
        setup::Error::NoDestination { .. } => complaints.add("to", "Choose where its mail goes."),
        setup::Error::PasswordNeeded => {
            let text = "Type the password again, as the server or the user is another one now.";
            complaints.add("password", text);
        }
        setup::Error::LoginFailed { host, reason } => {
            complaints.add("", format!("That did not work. {host}: {}.", reason.on_page()));
        }
        error => complaints.add("", format!("{}.", capitalised(&error.to_string()))),
    }
}

impl MailForm {
    pub fn import(&self) -> Import {
        if self.import == "new" { Import::New } else { Import::All }
    }

    pub fn usual() -> MailForm {
        MailForm { days: "14".into(), folder: "INBOX".into(), ..MailForm::default() }
    }

    pub fn leave_copy(&self, complaints: &mut Complaints) -> Option<LeaveCopy> {
        let (field, text) = match self.leave_copy.as_str() {
            "days" => ("days", format!("{}d", self.days.trim())),
            word => ("leave_copy", word.to_owned()),
        };
        match setup::parse_leave_copy(&text) {
            // Nobody deletes by a number.
            Ok(AT_ONCE) if field == "days" => {
                complaints
                    .add(field, "Type at least 1, or choose No above to delete what has been delivered.");
                None
            }
            Ok(leave_copy) => Some(leave_copy),
            Err(_) if field == "days" && setup::is_number(&self.days) => {
                complaints.add(field, format!("Type at most {MOST_DAYS}, or choose Yes above."));
                None
            }
            Err(_) => {
                complaints.add(field, "Type a number of days.");
                None
            }
        }
    }

    /// `before` is the route in whose place it comes.
    pub fn route(
        &self,
        config: &Config,
        before: Option<&Route>,
        complaints: &mut Complaints,
    ) -> Option<Route> {
        let labels = setup::parse_labels(&self.labels);
        let labels = labels.map_err(|reason| complaints.add("labels", capitalised(&format!("{reason}."))));
        let is_ticked = |answer: &str| Some(answer == "yes");
        let answers = RouteAnswers {
            to: &self.to,
            folder: Some(&self.folder),
            skip_inbox: is_ticked(&self.skip_inbox),
            labels: Some(labels.ok()?),
            mark_read: is_ticked(&self.mark_read),
            junk: is_ticked(&self.junk),
        };
        let route = setup::route(config, answers, before);
        route.map_err(|error| complaints_of(error, complaints)).ok()
    }
}

impl Page {
    /// The config as its files are now.
    pub async fn config(&self) -> Result<Config, Refusal> {
        let config = setup::load_without_secrets(&self.house.config).await;
        config.map_err(|faults| {
            Refusal::new(StatusCode::CONFLICT, format!("The config must be mended first: {faults}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Certificate, Pin};
    use crate::setup::Mailbox;

    #[test]
    fn who_vouches_for_a_server_is_text() {
        let issuer = "</p><script>alert(1)</script>\u{202e}".to_owned();
        let certificate = Some(Certificate { issuer, not_after: 1_800_000_000, fingerprint: Pin([0; 32]) });
        let mailbox = Mailbox { messages: 1, octets: 1, certificate };
        let mut step = address_step("me@example.com", &Complaints::default());
        step.told = vec![mailbox.trust().into()];
        let page = step.render().unwrap();
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
        assert!(!page.contains("<script>") && !page.contains('\u{202e}'), "{page}");
    }
}

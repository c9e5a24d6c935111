//! Changing, pausing and deleting an account that has a file of its own.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use askama::Template;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::SecretString;
use serde::Deserialize;

use super::add::{LoginForm, MailForm, after_saving, complaints_of, login_fields, mail_fields, route_fields};
use super::answers::{Refusal, account_name, account_page, complain, go, html};
use super::form::{Complaints, Field, Kind};
use super::overview::{self, Shown};
use super::words::counted;
use super::{Page, Shared};
use crate::ledger::{Request, outcome_of};
use crate::message::{ARCHIVE, Import, LeaveCopy};
use crate::setup::{self, AT_ONCE, Account, AccountDraft, Config, POP3_PORTS, Whom};

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    name: String,
    /// See [`EditForm::seen`].
    seen: String,
    complaints: Vec<String>,
    fields: Vec<Field>,
}

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    name: String,
}

/// All that can be changed.
#[derive(Deserialize)]
pub struct EditForm {
    #[serde(flatten)]
    login: LoginForm,
    #[serde(flatten)]
    mail: MailForm,
    /// What the account was when the form was made: see [`version`].
    #[serde(default)]
    seen: String,
}

#[derive(Deserialize)]
pub struct DeleteForm {
    #[serde(default)]
    forget: String,
}

/// The choice of what no form asks for.
const AS_IT_IS: &str = "as it is";

pub async fn form(State(page): Shared, Path(account): Path<String>) -> Result<Response, Refusal> {
    let config = page.config().await?;
    let account = own_account(&config, &account)?;
    let form = EditForm::of(account);
    Ok(html(&edit_page(&config, account, &form, &Complaints::default())))
}

/// The account, if it has a file of its own.
fn own_account<'c>(config: &'c Config, name: &str) -> Result<&'c Account, Refusal> {
    let name = account_name(name)?;
    let account = config.accounts.iter().find(|account| account.name == name);
    let account = account.ok_or_else(|| match config.broken.iter().find(|broken| broken.name == name) {
        Some(broken) => Refusal::new(
            StatusCode::CONFLICT,
            format!("{name} cannot be used as it is; mend {} first", broken.file.display()),
        ),
        None => Refusal::no_account(name.as_str()),
    })?;
    if account.file == config.file {
        let text = format!("{name} was written by hand in {}; change it there", account.file.display());
        return Err(Refusal::new(StatusCode::CONFLICT, text));
    }
    Ok(account)
}

fn edit_page(config: &Config, account: &Account, form: &EditForm, complaints: &Complaints) -> EditPage {
    let mut fields = login_fields(&form.login, true, "POP3 server", "pop.example.com");
    if account.pop3.login.is_by_oauth() {
        fields.retain(|field| field.name != "password");
    }
    fields.extend(mail_fields(&form.mail));
    let imports = [("all", "all mail"), ("new", "only new mail")];
    let imports = imports.map(|(value, label)| (value.to_owned(), label.to_owned()));
    fields.push(
        Field::choice("import", "Import", &form.mail.import, imports.into()).hint(setup::COUNTS_AT_FIRST),
    );
    for field in &mut fields {
        // What a file can say and this form cannot stays as it is.
        if let (Kind::Choice(choices), true) = (&mut field.kind, field.name == "leave_copy") {
            let is_chosen = form.mail.leave_copy == AS_IT_IS;
            if is_odd(account.poll.leave_copy) {
                choices.iter_mut().for_each(|choice| choice.is_chosen &= !is_chosen);
                let (value, label) = (AS_IT_IS.to_owned(), as_it_is(account.poll.leave_copy));
                choices.push(super::form::Choice { value, label, is_chosen });
            }
        }
    }
    // Several routes are a matter for the file.
    if account.poll.routes.len() == 1 {
        fields.extend(route_fields(config, &form.mail, false));
    }
    let complaints = complaints.at(&mut fields);
    EditPage { name: account.name.to_string(), seen: version(&AccountDraft::of(account)), complaints, fields }
}

/// Another one whenever what a form shows is.
pub fn version(of: &impl Debug) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{of:?}").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Whether it is a time that is not in days.
fn is_odd(leave_copy: LeaveCopy) -> bool {
    matches!(leave_copy, LeaveCopy::For(time) if time.as_secs() % DAY != 0)
}

const DAY: u64 = 24 * 3600;

/// A time that is not in days, in the largest unit that it is a number of.
fn as_it_is(leave_copy: LeaveCopy) -> String {
    let LeaveCopy::For(time) = leave_copy else { return "As its file says".into() };
    let seconds = time.as_secs();
    let units = [(3600, "hour", "hours"), (60, "minute", "minutes"), (1, "second", "seconds")];
    let unit = units.into_iter().find(|(unit, ..)| seconds % unit == 0);
    let time = unit.map(|(unit, one, many)| counted(seconds / unit, one, many)).unwrap_or_default();
    format!("For {time}, as its file says")
}

/// What a box holds that is ticked, or is not.
pub fn yes(is_ticked: bool) -> String {
    if is_ticked { "yes".into() } else { String::new() }
}

impl EditForm {
    fn of(account: &Account) -> EditForm {
        let draft = AccountDraft::of(account);
        let (leave_copy, days) = match draft.leave_copy {
            LeaveCopy::Forever => ("yes", 14),
            AT_ONCE => ("no", 14),
            LeaveCopy::For(_) if is_odd(draft.leave_copy) => (AS_IT_IS, 14),
            LeaveCopy::For(time) => ("days", time.as_secs() / DAY),
        };
        let route = draft.routes.first();
        let mail = MailForm {
            leave_copy: leave_copy.into(),
            days: days.to_string(),
            import: if draft.import == Import::New { "new".into() } else { "all".into() },
            to: route.map(|route| route.to.to_string()).unwrap_or_default(),
            folder: match route.map(|route| route.folder.as_str()) {
                Some(ARCHIVE) => "INBOX".into(),
                folder => folder.unwrap_or_default().to_owned(),
            },
            skip_inbox: yes(route.is_some_and(|route| route.folder == ARCHIVE)),
            labels: route.map(|route| route.labels.join(", ")).unwrap_or_default(),
            mark_read: yes(route.is_some_and(|route| route.mark_read)),
            junk: yes(route.is_some_and(|route| !route.junk.is_empty())),
            back: String::new(),
        };
        let login = LoginForm::of(account.name.as_str(), &draft.peer, &POP3_PORTS);
        EditForm { login, mail, seen: version(&draft) }
    }

    /// The account as it is to be, and its password where there is a new one; `None` where there are complaints.
    fn wanted(
        &self,
        account: &Account,
        config: &Config,
        complaints: &mut Complaints,
    ) -> Option<(AccountDraft, Option<SecretString>)> {
        let after = self.applied_to(account, config, complaints);
        let password = self.login.typed_password(complaints);
        Some((after.filter(|_| complaints.is_empty())?, password))
    }

    /// The account as it is to be; `None` where something is missing.
    fn applied_to(
        &self,
        account: &Account,
        config: &Config,
        complaints: &mut Complaints,
    ) -> Option<AccountDraft> {
        let before = AccountDraft::of(account);
        let peer = self.login.peer(&POP3_PORTS, complaints);
        let leave_copy = match self.mail.leave_copy.as_str() {
            AS_IT_IS => Some(before.leave_copy),
            _ => self.mail.leave_copy(complaints),
        };
        let routes = match &before.routes[..] {
            [old] => self.mail.route(config, Some(old), complaints).map(|new| vec![new]),
            _ => Some(before.routes.clone()),
        };
        let import = if self.mail.import.is_empty() { before.import } else { self.mail.import() };
        Some(AccountDraft { peer: peer?, leave_copy: leave_copy?, import, routes: routes?, ..before })
    }
}

pub async fn change(
    State(page): Shared,
    Path(name): Path<String>,
    Form(form): Form<EditForm>,
) -> Result<Response, Refusal> {
    let config = page.config().await?;
    let account = own_account(&config, &name)?;
    let mut complaints = Complaints::default();
    if form.seen != version(&AccountDraft::of(account)) {
        let text = "The account was changed while this form was open. Here is what it is now: change what you want again.";
        complaints.add("", text);
        return Ok(complain(&edit_page(&config, account, &EditForm::of(account), &complaints)));
    }
    // Nobody waits for it, as a server may take its time.
    if let Some((after, password)) = form.wanted(account, &config, &mut complaints) {
        let is_let_in = password.is_some() && !after.paused;
        match setup::change(&config.file, account, after, password).await {
            Ok(saved) => {
                if saved.wants_sign_in {
                    page.consents.end_of(Whom::Account(account.name.clone()));
                }
                page.take_up().await?;
                if saved.wants_sign_in {
                    return Ok(go(&account_page(&account.name, "sign-in")));
                }
                // Whatever is shown of it may be over.
                if is_let_in {
                    overview::check(&page, account.name.clone()).await?;
                }
                return Ok(after_saving(saved));
            }
            Err(error) => complaints_of(error, &mut complaints),
        }
    }
    Ok(complain(&edit_page(&config, account, &form, &complaints)))
}

pub async fn pause(
    State(page): Shared,
    Path(account): Path<String>,
    Query(shown): Query<Shown>,
) -> Result<Response, Refusal> {
    set_paused(&page, &account, true).await?;
    Ok(go(&shown.address("/")))
}

pub async fn resume(
    State(page): Shared,
    Path(account): Path<String>,
    Query(shown): Query<Shown>,
) -> Result<Response, Refusal> {
    set_paused(&page, &account, false).await?;
    Ok(go(&shown.address("/")))
}

async fn set_paused(page: &Page, account: &str, paused: bool) -> Result<(), Refusal> {
    let _changing = page.changing.lock().await;
    let config = page.config().await?;
    let before = own_account(&config, account)?.clone();
    let after = AccountDraft { paused, ..AccountDraft::of(&before) };
    setup::change(&config.file, &before, after, None).await.map_err(|error| unchanged(&error))?;
    page.take_up().await
}

fn unchanged(error: &setup::Error) -> Refusal {
    match error {
        setup::Error::NoAccount { name, .. } => Refusal::no_account(name.as_str()),
        error => Refusal::new(StatusCode::CONFLICT, error.to_string()),
    }
}

pub async fn question(State(page): Shared, Path(account): Path<String>) -> Result<Response, Refusal> {
    let config = page.config().await?;
    let name = account_name(&account)?;
    setup::own_file(&config, &name).map_err(|error| unchanged(&error))?;
    Ok(html(&DeletePage { name: name.to_string() }))
}

pub async fn delete(
    State(page): Shared,
    Path(account): Path<String>,
    Form(form): Form<DeleteForm>,
) -> Result<Response, Refusal> {
    let _changing = page.changing.lock().await;
    let config = page.config().await?;
    let name = account_name(&account)?;
    setup::delete(&config.file, &name).await.map_err(|error| unchanged(&error))?;
    page.consents.end_of(Whom::Account(name.clone()));
    page.take_up().await?;
    if form.forget == "yes" {
        let answer = page.ask(&Request::Forget { account: name }).await?;
        if let Some(Err(reason)) = outcome_of(&answer) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                format!("It is deleted, but not forgotten: {reason}"),
            ));
        }
    }
    Ok(go("/"))
}

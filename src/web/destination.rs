//! Changing an IMAP destination, and adding one that no account is added with.

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
use secrecy::SecretString;
use serde::Deserialize;

use super::add::{LoginForm, complaints_of, first_home, home_fields, login_fields};
use super::answers::{Refusal, complain, go, html};
use super::edit::version;
use super::form::{Complaints, Field};
use super::{Page, Shared};
use crate::ledger::Request;
use crate::setup::{self, Config, HomeDraft, IMAP_PORTS, Told};

#[derive(Template)]
#[template(path = "destination.html")]
struct DestinationPage {
    title: String,
    /// See [`ChangeForm::seen`].
    seen: String,
    /// What is known by now.
    told: Vec<Told>,
    complaints: Vec<String>,
    fields: Vec<Field>,
    button: &'static str,
}

/// All that can be changed.
#[derive(Deserialize)]
pub struct ChangeForm {
    user: String,
    password: SecretString,
    host: String,
    port: String,
    tls: String,
    /// What the destination was when the form was made.
    #[serde(default)]
    seen: String,
}

impl ChangeForm {
    /// As the form of any server, with this name.
    fn login(self, name: &str) -> LoginForm {
        let ChangeForm { user, password, host, port, tls, seen: _ } = self;
        LoginForm { name: name.to_owned(), user, password, oauth: String::new(), host, port, tls }
    }
}

pub async fn form(State(page): Shared, Path(name): Path<String>) -> Result<Response, Refusal> {
    let config = page.config().await?;
    let home = own_home(&config, &name)?;
    let form = LoginForm::of(&name, &home.peer, &IMAP_PORTS);
    Ok(html(&change_page(&home, &form, &Complaints::default())))
}

fn own_home(config: &Config, name: &str) -> Result<HomeDraft, Refusal> {
    match setup::own_home(config, name) {
        Ok((home, _)) => Ok(home),
        Err(setup::Error::NoDestination { .. }) => Err(Refusal::not_found("There is no such destination")),
        Err(error) => Err(Refusal::new(StatusCode::CONFLICT, error.to_string())),
    }
}

fn change_page(home: &HomeDraft, form: &LoginForm, complaints: &Complaints) -> DestinationPage {
    let mut fields = login_fields(form, true, "IMAP server", "imap.example.org");
    let complaints = complaints.at(&mut fields);
    let title = format!("Edit the destination {}", home.name);
    DestinationPage {
        title,
        seen: version(home),
        told: Vec::new(),
        complaints,
        fields,
        button: "Log in and save",
    }
}

/// Logs in, and changes the config.
pub async fn change(
    State(page): Shared,
    Path(name): Path<String>,
    Form(form): Form<ChangeForm>,
) -> Result<Response, Refusal> {
    let config = page.config().await?;
    let home = own_home(&config, &name)?;
    let mut complaints = Complaints::default();
    if form.seen != version(&home) {
        let text = "The destination was changed while this form was open. Here is what it is now: change what you want again.";
        complaints.add("", text);
        let form = LoginForm::of(&name, &home.peer, &IMAP_PORTS);
        return Ok(complain(&change_page(&home, &form, &complaints)));
    }
    let form = form.login(&name);
    let peer = form.peer(&IMAP_PORTS, &mut complaints);
    let password = form.typed_password(&mut complaints);
    if let (Some(peer), true) = (peer, complaints.is_empty()) {
        match save(&page, &config, HomeDraft { peer, ..home.clone() }, password).await? {
            Ok(()) => return Ok(go("/")),
            Err(error) => complaints_of(error, &mut complaints),
        }
    }
    Ok(complain(&change_page(&home, &form, &complaints)))
}

/// Saves a destination as it is to be, and has what waits for it tried again.
async fn save(
    page: &Page,
    config: &Config,
    after: HomeDraft,
    password: Option<SecretString>,
) -> Result<Result<(), setup::Error>, Refusal> {
    let is_let_in = password.is_some();
    let name = after.name.clone();
    if let Err(error) = setup::change_home(config, after, password).await {
        return Ok(Err(error));
    }
    if is_let_in {
        page.take_up().await?;
        page.ask(&Request::Retry { account: None, id: None, destination: Some(name.clone()) }).await?;
        // A poll that is under way still goes by the old password, and may find the destination failing once more.
        for account in setup::who_shows(config, &name) {
            page.house.visitor.request(&Request::Poll { account }, Utc::now()).await?;
        }
    }
    Ok(Ok(()))
}

pub async fn new_form(State(page): Shared) -> Result<Response, Refusal> {
    let form = first_home(&page.config().await?);
    Ok(html(&new_page(&form, Vec::new(), &Complaints::default())))
}

fn new_page(form: &LoginForm, told: Vec<Told>, complaints: &Complaints) -> DestinationPage {
    let mut fields = home_fields(form);
    let complaints = complaints.at(&mut fields);
    let title = "Add an IMAP server".to_owned();
    DestinationPage { title, seen: String::new(), told, complaints, fields, button: "Log in and add it" }
}

/// Logs in to an IMAP server, and adds it to the config.
pub async fn add(State(page): Shared, Form(form): Form<LoginForm>) -> Result<Response, Refusal> {
    let mut complaints = Complaints::default();
    if let Some((form, told)) = form.found_home(&page.config().await?, &mut complaints).await {
        return Ok(complain(&new_page(&form, told, &complaints)));
    }
    let peer = form.peer(&IMAP_PORTS, &mut complaints);
    if let Some((home, password)) = form.tried_home(&page.config().await?, peer, &mut complaints).await {
        match setup::add_home(&page.house.config, home, password).await {
            Ok(()) => {
                page.take_up().await?;
                return Ok(go("/"));
            }
            Err(error) => complaints_of(error, &mut complaints),
        }
    }
    Ok(complain(&new_page(&form, Vec::new(), &complaints)))
}

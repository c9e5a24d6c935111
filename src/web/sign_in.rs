//! Signing in and out, and the first password.

use askama::Template;
use axum::extract::{Form, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, RequestExt};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::answers::{Refusal, complain, go, html};
use super::form::{Complaints, Field};
use super::guard::Client;
use super::sessions::{SHORTEST_PASSWORD, no_cookie};
use super::{Page, Shared};
use crate::ledger::Token;

/// Whoever is signed in, by the token of the session.
#[derive(Clone, Copy)]
pub struct SignedIn(pub Token);

/// Leads to the door whoever is not signed in.
pub async fn must_be_signed_in(
    State(page): Shared,
    Extension(client): Extension<Client>,
    mut request: Request,
    next: Next,
) -> Response {
    match page.session(&client, request.headers()).await {
        Ok(Some(token)) => {
            request.extensions_mut().insert(SignedIn(token));
            next.run(request).await
        }
        Ok(None) => go("/sign-in"),
        Err(refusal) => refusal.into_response(),
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    fields: Vec<Field>,
}

#[derive(Template)]
#[template(path = "first_use.html")]
struct FirstUsePage {
    needs_code: bool,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
pub struct SignIn {
    password: SecretString,
}

#[derive(Deserialize)]
pub struct FirstUse {
    #[serde(default)]
    code: String,
    password: SecretString,
    again: SecretString,
}

pub async fn form(State(page): Shared) -> Result<Response, Refusal> {
    match page.house.visitor.page_password().await? {
        Some(_) => Ok(html(&sign_in_page(&Complaints::default()))),
        None => Ok(go("/first-use")),
    }
}

fn sign_in_page(complaints: &Complaints) -> SignInPage {
    let mut fields = vec![Field::password("password", "Password", "current-password")];
    complaints.at(&mut fields);
    SignInPage { fields }
}

pub async fn sign_in(
    State(page): Shared,
    Extension(client): Extension<Client>,
    Form(form): Form<SignIn>,
) -> Result<Response, Refusal> {
    let Some(hash) = page.house.visitor.page_password().await? else { return Ok(go("/first-use")) };
    page.sessions.attempt(client.address)?;
    if !page.sessions.verify(form.password, hash).await {
        return Ok(complain(&sign_in_page(&Complaints::one("password", "This is not the password."))));
    }
    enter(&page, &client).await
}

async fn enter(page: &Page, client: &Client) -> Result<Response, Refusal> {
    page.sessions.succeeded(client.address);
    let cookie = page.begin_session(client).await?;
    Ok(([(header::SET_COOKIE, cookie)], go("/")).into_response())
}

pub async fn first_form(State(page): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    if page.house.visitor.page_password().await?.is_some() {
        return Ok(go("/sign-in"));
    }
    Ok(html(&first_page(page.house.access().needs_code(&headers), &Complaints::default())))
}

fn first_page(needs_code: bool, complaints: &Complaints) -> FirstUsePage {
    let hint = format!("At least {SHORTEST_PASSWORD} characters.");
    let mut fields = vec![
        Field::password("password", "Password", "new-password").hint(&hint),
        Field::password("again", "The same again", "new-password"),
    ];
    if needs_code {
        fields.insert(0, Field::text("code", "Code", "").hint("It stands in the log of mailferry."));
    }
    complaints.at(&mut fields);
    FirstUsePage { needs_code, fields }
}

/// Sets the first password.
pub async fn first(
    State(page): Shared,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, Refusal> {
    let needs_code = page.house.access().needs_code(request.headers());
    let form: Result<Form<FirstUse>, _> = request.extract().await;
    let form = match form {
        Ok(Form(form)) => form,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    if page.house.visitor.page_password().await?.is_some() {
        return Ok(go("/sign-in"));
    }
    page.sessions.attempt(client.address)?;
    let complaints = form.complaints(needs_code, &page);
    if !complaints.is_empty() {
        return Ok(complain(&first_page(needs_code, &complaints)));
    }
    let hash = page.sessions.hash(form.password).await?;
    match page.house.visitor.set_first_page_password(&hash).await? {
        true => enter(&page, &client).await,
        // Somebody was faster.
        false => Ok(go("/sign-in")),
    }
}

impl FirstUse {
    fn complaints(&self, needs_code: bool, page: &Page) -> Complaints {
        let mut complaints = Complaints::default();
        if needs_code && !page.sessions.is_code(&self.code) {
            complaints.add("code", "This is not the code. The newest one in the log counts.");
        }
        let password = self.password.expose_secret();
        if password.chars().count() < SHORTEST_PASSWORD {
            complaints.add("password", "This is too short.");
        } else if password != self.again.expose_secret() {
            complaints.add("again", "This is not the same.");
        }
        complaints
    }
}

pub async fn out(
    State(page): Shared,
    Extension(client): Extension<Client>,
    Extension(SignedIn(token)): Extension<SignedIn>,
) -> Result<Response, Refusal> {
    page.house.visitor.sign_out(&token).await?;
    page.drafts.forget(&token);
    page.homes.forget(&token);
    page.consents.forget(&token);
    Ok(([(header::SET_COOKIE, no_cookie(&client))], go("/sign-in")).into_response())
}

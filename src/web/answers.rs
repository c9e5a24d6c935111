//! Pages, and what is answered where there is none.

use askama::Template;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::words::shown;
use crate::ledger;
use crate::message::AccountName;

/// A page that was asked for.
pub fn html(template: &impl Template) -> Response {
    answer(StatusCode::OK, template)
}

/// A form again, with what is wrong with it.
pub fn complain(template: &impl Template) -> Response {
    answer(StatusCode::UNPROCESSABLE_ENTITY, template)
}

fn answer(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// On to another page, which is asked for with GET.
pub fn go(to: &str) -> Response {
    Redirect::to(to).into_response()
}

/// `path` with a query of those pairs that have a value.
pub fn address(path: &str, pairs: &[(&str, &String)]) -> String {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(key, value)| {
        let Ok(value) = askama::filters::urlencode_strict(value);
        format!("{key}={value}")
    });
    let query: Vec<String> = pairs.collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

/// A page of an account.
pub fn account_page(name: &AccountName, page: &str) -> String {
    let Ok(name) = askama::filters::urlencode_strict(name.as_str());
    format!("/accounts/{name}/{page}")
}

/// Why there is no page, or why nothing was done.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    text: String,
    retry_after: Option<u64>,
    /// Where to go on instead.
    elsewhere: Option<&'static str>,
}

impl Refusal {
    /// `text` is a sentence without its full stop.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into(), retry_after: None, elsewhere: None }
    }

    /// There is nothing to say here: who asks goes on at another page.
    pub fn elsewhere(to: &'static str) -> Refusal {
        Refusal { elsewhere: Some(to), ..Refusal::new(StatusCode::SEE_OTHER, "") }
    }

    /// A sentence without its full stop.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn not_found(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, text)
    }

    pub fn no_account(name: &str) -> Refusal {
        Refusal::not_found(format!("There is no account {}", shown(name)))
    }

    pub fn busy(text: &str) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// Too many attempts; `seconds` until another one counts.
    pub fn later(seconds: u64) -> Refusal {
        let text = format!("These were too many attempts; try again in {seconds} seconds");
        Refusal { retry_after: Some(seconds), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, text) }
    }
}

impl From<ledger::Error> for Refusal {
    fn from(error: ledger::Error) -> Refusal {
        let status = if error.is_usage() { StatusCode::NOT_FOUND } else { StatusCode::SERVICE_UNAVAILABLE };
        Refusal::new(status, error.to_string())
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    title: &'static str,
    text: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Some(to) = self.elsewhere {
            return go(to);
        }
        let title = match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
            StatusCode::SERVICE_UNAVAILABLE => "Not now",
            _ => "That did not work",
        };
        let page = RefusalPage { title, text: shown(&self.text) };
        let mut response = answer(self.status, &page);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The account in a path.
pub fn account_name(text: &str) -> Result<AccountName, Refusal> {
    AccountName::new(text).ok_or_else(|| Refusal::no_account(text))
}

/// A download that no browser shows.
pub fn download_headers(file: &str) -> [(HeaderName, String); 2] {
    [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
    ]
}

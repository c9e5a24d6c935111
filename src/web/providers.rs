//! What is known of mail providers, and what of it was tried.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::answers::html;
use super::words::shown;
use crate::setup::{Endpoint, PRESETS, Provider, Trial, UNTRIED, tls_word};

#[derive(Template)]
#[template(path = "providers.html")]
struct ProvidersPage {
    find: String,
    rows: Vec<Row>,
    untried: &'static str,
}

struct Row {
    name: &'static str,
    sign_in: &'static str,
    pop3: String,
    imap: String,
    /// Sentences, each with the provider's own page for it.
    advice: Vec<(String, Option<&'static str>)>,
    /// What was tried, each list with the words for how.
    tried: Vec<(&'static str, Vec<Trial>)>,
    checked: &'static str,
}

#[derive(Deserialize)]
pub struct Shown {
    #[serde(default)]
    find: String,
}

pub async fn page(Query(wanted): Query<Shown>) -> Response {
    let find = wanted.find.trim();
    let found = PRESETS.iter().filter(|provider| find.is_empty() || provider.is_called(find));
    html(&ProvidersPage { find: shown(find), rows: found.map(row).collect(), untried: UNTRIED })
}

fn row(provider: &'static Provider) -> Row {
    Row {
        name: provider.name,
        sign_in: provider.sign_in(),
        pop3: servers(provider.pop3),
        imap: servers(provider.imap),
        advice: provider.advice(),
        tried: provider.trials(),
        checked: provider.checked,
    }
}

fn servers(servers: &[Endpoint]) -> String {
    let server = |server: &Endpoint| format!("{}:{} ({})", server.host, server.port, tls_word(server.tls));
    servers.iter().map(server).collect::<Vec<_>>().join(", ")
}

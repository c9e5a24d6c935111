//! What a person is offered for an address before anything is asked.

use super::must_be_free;
use crate::config::Config;
use crate::config::draft::{IMAP_PORTS, POP3_PORTS, PeerDraft, Ports};
use crate::message::AccountName;
use crate::net::Tls;
use crate::providers::{self, Address, Candidate, Login, Network, Provider, Server, Step};

/// What is offered for an address.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// An empty host is for the person to fill in.
    pub peer: PeerDraft,
    /// What to know before a login, a sentence each: where this is from, what to switch on, which password.
    pub told: Vec<String>,
    /// What a person must say yes to before a password goes to that server.
    pub question: Option<String>,
}

/// How the mail of an address is retrieved, as far as anybody knows.
///
/// # Errors
/// Why it cannot be retrieved by POP3 with a password, in one sentence.
pub async fn suggest(address: &str) -> Result<Suggestion, String> {
    let nothing = Suggestion { peer: unknown(address, &POP3_PORTS), told: Vec::new(), question: None };
    let Some(candidate) = ask(address).await else { return Ok(nothing) };
    let told = candidate.provider.map(steps).unwrap_or_default();
    if let Some(reason) = candidate.provider.and_then(hindrance) {
        return Err(reason.to_owned());
    }
    let Some(server) = candidate.pop3.into_iter().find(|server| !server.oauth_only) else {
        return Ok(Suggestion { told, ..nothing });
    };
    let origin = format!("These are the settings as {}.", candidate.origin);
    let told = std::iter::once(origin).chain(told).collect();
    Ok(Suggestion { peer: draft_of(server), told, question: candidate.question })
}

/// The IMAP server of an address, for a destination. An empty host is for the person to fill in.
pub async fn suggest_home(address: &str) -> PeerDraft {
    let imap = async { ask(address).await?.imap.into_iter().find(|server| !server.oauth_only) };
    imap.await.map_or_else(|| unknown(address, &IMAP_PORTS), draft_of)
}

/// The best of what is known.
async fn ask(address: &str) -> Option<Candidate> {
    let address = Address::parse(address).ok()?;
    if is_reserved(address.domain()) {
        return None;
    }
    providers::find(&address, &Network::default()).await.candidates.into_iter().next()
}

/// Domains that are nobody's (RFC 2606): there is nothing to ask.
fn is_reserved(domain: &str) -> bool {
    let last = domain.rsplit('.').next().unwrap_or(domain);
    ["test", "example", "invalid", "localhost"].contains(&last)
        || ["example.com", "example.net", "example.org"].contains(&domain)
}

fn unknown(address: &str, ports: &Ports) -> PeerDraft {
    let tls = Tls::Implicit;
    PeerDraft { host: String::new(), port: ports.of(tls), tls, user: address.trim().to_owned() }
}

fn draft_of(server: Server) -> PeerDraft {
    PeerDraft { host: server.host, port: server.port, tls: server.tls, user: server.user }
}

fn hindrance(provider: &Provider) -> Option<&'static str> {
    match provider.login {
        Login::OAuthOnly(reason) => Some(reason),
        Login::Password | Login::AppPassword(_) => provider.no_pop3,
    }
}

/// What a person has to do, or should know.
fn steps(provider: &Provider) -> Vec<String> {
    let login = match provider.login {
        Login::AppPassword(step) => Some(step),
        Login::Password | Login::OAuthOnly(_) => None,
    };
    let steps = provider.enable.into_iter().chain(login).map(|Step { text, url }| match url {
        Some(url) => format!("{text} {url}"),
        None => text.to_owned(),
    });
    steps.chain(provider.notes.iter().map(|note| (*note).to_owned())).collect()
}

/// The address itself, with what a name cannot have replaced; with a number if it is taken. `None` where nothing is left
/// of it.
pub fn free_name(config: &Config, address: &str) -> Option<AccountName> {
    let allowed = |c: char| if c.is_alphanumeric() || "-_.@".contains(c) { c } else { '-' };
    let base: String = address.trim().chars().map(allowed).take(60).collect();
    let base = base.trim_start_matches(|c: char| !c.is_alphanumeric());
    let first = AccountName::new(base)?;
    let numbered = (2..1000).filter_map(|n| AccountName::new(&format!("{base}-{n}")));
    std::iter::once(first).chain(numbered).find(|name| must_be_free(config, name).is_ok())
}

//! What a person is offered for an address before anything is asked.

use super::must_be_free;
use crate::config::Config;
use crate::config::draft::{IMAP_PORTS, POP3_PORTS, PeerDraft, Ports};
use crate::message::AccountName;
use crate::net::Tls;
use crate::providers::{self, Address, Candidate, Found, Login, Network, Provider, Server, Source, Step};

/// What is offered for an address.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// An empty host is for the person to fill in.
    pub peer: PeerDraft,
    /// What to know before a login: where this is from, what to switch on, which password; or why nothing is known.
    pub told: Vec<Told>,
    /// What a person must say yes to before a password, or what they sign in for, goes to that server.
    pub question: Option<String>,
    /// Why no password opens it, only a sign-in by OAuth: a sentence.
    pub only_oauth: Option<String>,
}

/// A sentence, and the provider's own page that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub text: String,
    pub link: Option<&'static str>,
}

impl From<String> for Told {
    fn from(text: String) -> Told {
        Told { text, link: None }
    }
}

impl From<Step> for Told {
    fn from(step: Step) -> Told {
        Told { text: step.text.to_owned(), link: step.url }
    }
}

/// How the mail of an address is retrieved, as far as anybody knows. Without `lookup` nobody is asked.
///
/// # Errors
/// Why it cannot be retrieved by POP3, in one sentence.
pub async fn suggest(address: &str, lookup: Option<&Network>) -> Result<Suggestion, String> {
    Protocol::Pop3.suggest(address, lookup).await
}

/// As [`suggest`], but the IMAP server of an address, for a destination.
///
/// # Errors
/// Why nothing can be delivered there, in one sentence.
pub async fn suggest_home(address: &str, lookup: Option<&Network>) -> Result<Suggestion, String> {
    Protocol::Imap.suggest(address, lookup).await
}

#[derive(Clone, Copy)]
enum Protocol {
    Pop3,
    Imap,
}

impl Protocol {
    /// The best of what is known: the first who names a server that takes a password, else the first whose server can be
    /// signed in for.
    async fn suggest(self, address: &str, lookup: Option<&Network>) -> Result<Suggestion, String> {
        let Found { candidates, misses } = ask(address, lookup).await;
        let mut told: Vec<Told> = Vec::new();
        let mut by_oauth = None;
        for candidate in candidates {
            if let Some(reason) = self.hindrance(&candidate) {
                let offer = self.offer_by_oauth(&candidate, &reason);
                // Others may be wrong: mail may only pass through there.
                if candidate.source == Source::Preset {
                    return offer.ok_or(reason);
                }
                told.push(format!("{reason} This is said because {}.", candidate.origin).into());
                by_oauth = by_oauth.or(offer);
            } else if let Some(server) = self.server(&candidate) {
                told.extend(self.known(&candidate));
                let question = candidate.question(server);
                return Ok(Suggestion { peer: draft_of(server), told, question, only_oauth: None });
            }
        }
        if let Some(offer) = by_oauth {
            told.extend(offer.told);
            return Ok(Suggestion { told, ..offer });
        }
        told.extend(misses.into_iter().map(|miss| format!("{miss}.").into()));
        // Where nobody may be asked, it is no news.
        if lookup.is_some() {
            let name = self.name();
            told.insert(0, format!("No {name} server was found; your provider's help names it.").into());
        }
        Ok(Suggestion { peer: self.unknown(address), told, question: None, only_oauth: None })
    }

    fn known(self, candidate: &Candidate) -> Vec<Told> {
        let origin = format!("These are the settings as {}.", candidate.origin).into();
        let steps = candidate.provider.map(|provider| self.steps(provider)).unwrap_or_default();
        std::iter::once(origin).chain(steps).collect()
    }

    /// The server that no password opens.
    fn offer_by_oauth(self, candidate: &Candidate, reason: &str) -> Option<Suggestion> {
        let server = self.servers(candidate).iter().find(|server| server.oauth_only)?;
        Some(Suggestion {
            peer: draft_of(server),
            told: self.known(candidate),
            question: candidate.question(server),
            only_oauth: Some(reason.to_owned()),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Protocol::Pop3 => "POP3",
            Protocol::Imap => "IMAP",
        }
    }

    fn servers(self, candidate: &Candidate) -> &[Server] {
        match self {
            Protocol::Pop3 => &candidate.pop3,
            Protocol::Imap => &candidate.imap,
        }
    }

    fn server(self, candidate: &Candidate) -> Option<&Server> {
        self.servers(candidate).iter().find(|server| !server.oauth_only)
    }

    /// Why no password helps there: a sentence.
    fn hindrance(self, candidate: &Candidate) -> Option<String> {
        if let Some(provider) = candidate.provider {
            match (provider.login, self) {
                (Login::OAuthOnly(reason), _) => return Some(reason.to_owned()),
                (_, Protocol::Pop3) => return provider.no_pop3.map(str::to_owned),
                (_, Protocol::Imap) => return None,
            }
        }
        let is_futile = !self.servers(candidate).is_empty() && self.server(candidate).is_none();
        is_futile.then(|| format!("Its {} server takes no password, only OAuth 2.", self.name()))
    }

    /// What a person has to do, or should know.
    fn steps(self, provider: &Provider) -> Vec<Told> {
        let login = match provider.login {
            Login::AppPassword(step) => Some(step),
            Login::Password | Login::OAuthOnly(_) => None,
        };
        let (enable, notes) = match self {
            Protocol::Pop3 => (provider.enable, provider.notes),
            Protocol::Imap => (provider.enable_imap, &[][..]),
        };
        let steps = enable.into_iter().chain(login).map(Told::from);
        steps.chain(notes.iter().map(|note| (*note).to_owned().into())).collect()
    }

    fn unknown(self, address: &str) -> PeerDraft {
        let ports: &Ports = match self {
            Protocol::Pop3 => &POP3_PORTS,
            Protocol::Imap => &IMAP_PORTS,
        };
        let tls = Tls::Implicit;
        PeerDraft { host: String::new(), port: ports.of(tls), tls, user: address.trim().to_owned() }
    }
}

async fn ask(address: &str, lookup: Option<&Network>) -> Found {
    let Ok(address) = Address::parse(address) else {
        return Found { candidates: Vec::new(), misses: Vec::new() };
    };
    match lookup {
        // A DNS server of one's own may know them.
        Some(network) if network.dns.is_some() || !is_reserved(address.domain()) => {
            providers::find(&address, network).await
        }
        _ => Found { candidates: providers::known(&address).into_iter().collect(), misses: Vec::new() },
    }
}

/// Domains that are nobody's on the internet (RFC 2606): there is nothing to ask.
fn is_reserved(domain: &str) -> bool {
    let last = domain.rsplit('.').next().unwrap_or(domain);
    ["test", "example", "invalid", "localhost"].contains(&last)
        || ["example.com", "example.net", "example.org"].contains(&domain)
}

fn draft_of(server: &Server) -> PeerDraft {
    PeerDraft { host: server.host.clone(), port: server.port, tls: server.tls, user: server.user.clone() }
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

//! From an address to settings: what is known of the large providers, and how to ask for what is not.
//!
//! [`PRESETS`] is plain data, looked up by the domain of an address ([`for_domain`]), by the host that takes a domain's
//! mail ([`for_mx`]) or by the host that an account names ([`for_host`]). For all other domains there is [`find`].

mod address;
mod autoconfig;
mod dns;
#[rustfmt::skip]
mod domains;
mod fetch;
mod find;
mod identity;
mod network;
mod presets;
mod trials;

use crate::message::Quirks;
use crate::net::Tls;

pub use address::Address;
pub use find::{Candidate, Found, Server, Source, find, known};
pub use identity::{ANY_TENANT, IDENTITIES, Identity, identity};
pub use network::Network;
pub use presets::PRESETS;

/// What is known of one mail provider. All texts are sentences for a person.
#[derive(Debug)]
pub struct Provider {
    /// A short name that stays: letters, digits and hyphens.
    pub id: &'static str,
    pub name: &'static str,
    /// The domains of its addresses, in the letters of the DNS.
    pub domains: &'static [&'static str],
    /// Mail for a domain goes to this provider, and no other, if its MX host is one of these or below one.
    pub mx: &'static [&'static str],
    /// In order of preference. Empty: see `no_pop3`.
    pub pop3: &'static [Endpoint],
    pub imap: &'static [Endpoint],
    pub user: User,
    pub login: Login,
    /// What a person has to do at the provider before a program may retrieve mail by POP3.
    pub enable: Option<Step>,
    /// The same for IMAP.
    pub enable_imap: Option<Step>,
    /// Why no account there can be polled, and what can be done instead.
    pub no_pop3: Option<&'static str>,
    /// What else a person should know.
    pub notes: &'static [&'static str],
    pub quirks: Quirks,
    /// Its IMAP server knows labels (X-GM-EXT-1).
    pub has_labels: bool,
    /// Octets that its IMAP server may be sent in a day, with room to spare.
    pub daily_budget: Option<u64>,
    /// It takes DELE and deletes nothing.
    pub ignores_deletion: bool,
    /// Where its people sign in by OAuth: the word of an [`Identity`].
    pub identity: Option<&'static str>,
    /// What of its own ways a peer of the tests plays; empty where nothing is known to differ from other servers.
    pub tried: &'static [Trial],
    /// The year and month of the newest source of the hosts and the login: `YYYY-MM`.
    pub checked: &'static str,
}

impl Provider {
    /// How a program is let in, in a few words.
    pub fn sign_in(&self) -> &'static str {
        match (self.no_pop3, self.login, self.identity) {
            (Some(_), Login::AppPassword(_), _) => "app password, no POP3",
            (Some(_), ..) => "no POP3",
            (None, Login::OAuthOnly(_), _) => "OAuth",
            (None, Login::AppPassword(_), Some(_)) => "app password or OAuth",
            (None, Login::AppPassword(_), None) => "app password",
            (None, Login::Password, Some(_)) => "password or OAuth",
            (None, Login::Password, None) => "password",
        }
    }

    /// Why no password opens a mailbox there, where that is so: a sentence.
    pub fn only_oauth(&self) -> Option<&'static str> {
        match self.login {
            Login::OAuthOnly(reason) => Some(reason),
            Login::Password | Login::AppPassword(_) => None,
        }
    }

    /// What a person has to know and to do, each a sentence or more, with the provider's own page.
    pub fn advice(&self) -> Vec<(String, Option<&'static str>)> {
        let mut advice = Vec::new();
        advice.extend(self.no_pop3.map(|text| (text.to_owned(), None)));
        match self.login {
            Login::Password => {}
            Login::AppPassword(step) => advice.push((step.text.to_owned(), step.url)),
            Login::OAuthOnly(text) => advice.push((text.to_owned(), None)),
        }
        let steps = self.enable.iter().chain(&self.enable_imap);
        for step in steps {
            if !advice.iter().any(|(text, _)| text == step.text) {
                advice.push((step.text.to_owned(), step.url));
            }
        }
        advice.extend(self.notes.iter().map(|note| ((*note).to_owned(), None)));
        advice
    }

    /// What was tried, each list with the words for how: there is one at least.
    pub fn trials(&self) -> Vec<(&'static str, Vec<Trial>)> {
        let lists = [
            ("Played by a peer of the tests", self.tried.to_vec()),
            ("Tried as at any server", trials::shared(self)),
        ];
        lists.into_iter().filter(|(_, trials)| !trials.is_empty()).collect()
    }

    /// How it was tried, in a word or two: [`TRIED`] explains them.
    pub fn how_tried(&self) -> &'static str {
        match (self.tried, self.pop3, self.imap) {
            ([], [], []) => "no server",
            ([], ..) => "Dovecot",
            _ => "played",
        }
    }

    /// Whether `word` is its name, part of that, a domain of its, or an address there.
    pub fn is_called(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let domain = word.rsplit('@').next().unwrap_or_default();
        self.id == word || self.name.to_lowercase().contains(&word) || self.domains.contains(&domain)
    }
}

/// A way of a provider that a peer of the tests plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The way, as an item of a list.
    pub way: &'static str,
    /// What plays it: files of tests/dialogs without their end, as `quirks/NAME` or `hostile/NAME`, and tests, as
    /// `module::name`. A test sees to it that each of them is there and runs.
    pub by: &'static [&'static str],
}

/// A server of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub host: &'static str,
    pub port: u16,
    pub tls: Tls,
}

/// What a server wants as the name of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The whole address.
    Address,
    /// What stands before the `@`.
    LocalPart,
}

/// What a program logs in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The mailbox's own password.
    Password,
    /// A password for programs alone, which a person has to make first.
    AppPassword(Step),
    /// No password at all: only OAuth 2. The sentence says so.
    OAuthOnly(&'static str),
}

/// Something that a person has to do at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub text: &'static str,
    /// The provider's own page that does it or explains it.
    pub url: Option<&'static str>,
}

/// What the words of [`Provider::how_tried`] mean, in sentences.
pub const TRIED: &str = "played: what is known to be its own way is played by a peer of the tests, and the rest tried as at any \
    server. Dovecot: no way is known to be its own, and what it shares with any server is tried at a real Dovecot. no server: there is \
    none to try, and that is said.";

/// What no test can show, in sentences.
pub const UNTRIED: &str = "None of this was tried with a real account. What a peer of the tests plays is what the provider's \
    documentation and other programs' users say of it: whether it still does so, what its limits are today, and whether it lets an \
    application of yours in, only a real account can show.";

/// The provider of an address with this domain. Letter case does not matter.
pub fn for_domain(domain: &str) -> Option<&'static Provider> {
    let is_its_own = |known: &&str| known.eq_ignore_ascii_case(domain);
    PRESETS.iter().find(|provider| provider.domains.iter().any(is_its_own))
}

/// The provider that takes the mail of a domain whose MX host this is. Of two that fit, the closer one.
pub fn for_mx(host: &str) -> Option<&'static Provider> {
    let host = host.to_ascii_lowercase();
    let fits = |known: &&&str| {
        host.strip_suffix(**known).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    };
    let closest = |provider: &'static Provider| {
        let length = provider.mx.iter().filter(fits).map(|known| known.len()).max()?;
        Some((length, provider))
    };
    PRESETS.iter().filter_map(closest).max_by_key(|(length, _)| *length).map(|(_, provider)| provider)
}

/// The provider that runs this POP3 or IMAP server. Providers that share a host share its quirks, and the first of them
/// is named.
pub fn for_host(host: &str) -> Option<&'static Provider> {
    let is_same = |endpoint: &Endpoint| endpoint.host.eq_ignore_ascii_case(host);
    PRESETS.iter().find(|provider| provider.pop3.iter().chain(provider.imap).any(is_same))
}

/// What a person has to do before the POP3 server at `host` accepts a password, with the page that does it or explains
/// it. Empty where nothing is known but that it should be the right one.
pub fn steps_for_password(host: &str) -> Vec<(String, Option<&'static str>)> {
    let Some(provider) = for_host(host) else { return Vec::new() };
    let login = match provider.login {
        Login::Password => None,
        Login::AppPassword(step) => {
            Some((format!("{} needs an app password: {}", provider.name, step.text), step.url))
        }
        Login::OAuthOnly(reason) => return vec![(reason.to_owned(), None)],
    };
    let enable = provider.enable.map(|step| (step.text.to_owned(), step.url));
    login.into_iter().chain(enable).collect()
}

#[cfg(test)]
mod tests;

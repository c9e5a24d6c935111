//! What a person is offered for an address before anything is asked.

use super::must_be_free;
use crate::config::Config;
use crate::config::draft::{POP3_PORTS, PeerDraft};
use crate::message::AccountName;
use crate::net::Tls;

/// How mail for `address` is probably retrieved. An empty host is for the person to fill in.
pub async fn suggest(address: &str) -> PeerDraft {
    let tls = Tls::Implicit;
    PeerDraft { host: String::new(), port: POP3_PORTS.of(tls), tls, user: address.trim().to_owned() }
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

//! The keys that a POP3 account and an IMAP destination share: a host, how to trust it, how to log in.

use super::ca_file::{CaFile, ca_file};
use super::keys::Ports;
use super::oauth::{self, OAuth};
use super::secret::{self, Secret};
use super::section::Section;
use super::value;
use crate::net::{self, Tls, is_loopback};

#[derive(Clone, Debug)]
pub struct Peer {
    pub net: net::Settings,
    pub user: String,
    pub login: RawLogin,
    /// That of `net`, with its place.
    pub ca_file: Option<CaFile>,
}

/// How to log in.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "as many as there are accounts")]
pub enum RawLogin {
    Password(Secret),
    OAuth(OAuth),
}

pub fn peer(section: &Section<'_>, ports: &Ports, known: &[OAuth]) -> Option<Peer> {
    let host = section.need("host", "\"mail.example.com\"", value::host);
    let user = section.need("user", "\"me@example.com\"", value::line).map(str::to_owned);
    let login = login(section, known);
    let tls = section.read("tls", value::tls).unwrap_or(Tls::Implicit);
    let port = section.read("port", value::port).unwrap_or(ports.of(tls));
    let ca_file = ca_file(section);
    let net = net::Settings {
        host: host.unwrap_or_default(),
        port,
        tls,
        ca_file: ca_file.as_ref().map(|file| file.path.clone()),
        server_name: section.read("server_name", value::host),
        pin: section.read("pin", value::pin),
        allow_plaintext: section.flag("allow_plaintext"),
    };
    if tls == Tls::None && !net.host.is_empty() {
        plaintext(section, "tls", &net.host, net.allow_plaintext, &["ca_file", "server_name", "pin"]);
    }
    (!net.host.is_empty()).then_some(())?;
    Some(Peer { net, user: user?, login: login?, ca_file })
}

fn login(section: &Section<'_>, known: &[OAuth]) -> Option<RawLogin> {
    if !section.has("oauth") {
        return secret::one(section, "password").map(RawLogin::Password);
    }
    if section.has("password") {
        section.fault("oauth", "and password are both given; keep one of them");
        return None;
    }
    oauth::named(section, known).cloned().map(RawLogin::OAuth)
}

/// Unencrypted, as `key` says: only on this machine, or where the user insists, and then with a warning.
/// `idle` are the keys that mean nothing without TLS.
pub fn plaintext(section: &Section<'_>, key: &str, host: &str, is_allowed: bool, idle: &[&str]) {
    for idle in idle.iter().filter(|idle| section.has(idle)) {
        section.fault(idle, "protects nothing without TLS; take it out, or use TLS");
    }
    if is_loopback(host) {
        return;
    }
    if is_allowed {
        section
            .warn(key, format!("secrets and mail go to {host} unencrypted, as allow_plaintext = true says"));
    } else {
        let text = format!(
            "would send secrets and mail to {host} unencrypted; use TLS, or set allow_plaintext = true if you must"
        );
        section.fault(key, text);
    }
}

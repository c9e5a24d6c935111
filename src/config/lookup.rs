//! `[lookup]`: who is asked for the servers of an address, and who is believed.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::ca_file::{CaFile, ca_file};
use super::fault::quoted;
use super::section::Section;
use super::{keys, value};
use crate::providers::Network;

#[derive(Debug)]
pub struct RawLookup {
    /// `None`: nobody is asked.
    pub network: Option<Network>,
    pub ca_file: Option<CaFile>,
}

impl Default for RawLookup {
    fn default() -> RawLookup {
        RawLookup { network: Some(Network::default()), ca_file: None }
    }
}

pub fn lookup(section: &Section<'_>) -> RawLookup {
    section.only(&[keys::LOOKUP]);
    let default = Network::default();
    let ca_file = ca_file(section);
    let network = Network {
        dns: section.read("dns", dns).flatten(),
        allow_private: section.flag("allow_private"),
        ca_file: ca_file.as_ref().map(|file| file.path.clone()),
        database: section.read("database", database).unwrap_or(default.database),
        ..Network::default()
    };
    let network = section.read("enabled", value::flag).unwrap_or(true).then_some(network);
    RawLookup { network, ca_file }
}

fn dns(value: &DeValue<'_>) -> value::Read<Option<SocketAddr>> {
    match value::text(value)? {
        "system" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            format!("{} must be \"system\" or an address and port such as \"192.168.1.1:53\"", quoted(text))
        }),
    }
}

/// Ends with a slash: the domain comes behind it.
fn database(value: &DeValue<'_>) -> value::Read<Option<String>> {
    if value::text(value)?.is_empty() {
        return Ok(None);
    }
    let url = value::url(value)?;
    if url.plaintext_to.is_some() || url.has_login {
        return Err("must be an https:// address without a login".into());
    }
    Ok(Some(if url.text.ends_with('/') { url.text } else { url.text + "/" }))
}

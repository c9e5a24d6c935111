//! The file in which a provider describes its servers (draft-ietf-mailmaint-autoconfig): from XML that anybody may have
//! written to servers that can be used.

use roxmltree::{Document, Node, ParsingOptions};

use super::address::{Address, host_name};
use super::find::Server;
use crate::net::Tls;
use crate::printable::printable;

/// What a file says, in its own order of preference.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Servers {
    pub pop3: Vec<Server>,
    pub imap: Vec<Server>,
}

/// Elements, texts and comments that a file may have.
const MOST_NODES: u32 = 4000;

/// Servers of one protocol that are worth showing.
const MOST_SERVERS: usize = 8;

/// Reads a file for one person's address. What it does not know it passes over, as the draft asks, but no server is
/// taken that sends the password in the clear.
///
/// # Errors
/// A clause that can follow the file's address.
pub fn read(xml: &[u8], address: &Address) -> Result<Servers, String> {
    let text = std::str::from_utf8(xml).map_err(|_| "is not UTF-8 text")?;
    // Without one there are no entities to expand and none to fetch.
    if text.to_ascii_lowercase().contains("<!doctype") {
        return Err("has a DOCTYPE, which is not looked into".into());
    }
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text.trim_start_matches('\u{feff}'), options)
        .map_err(|e| format!("is not XML ({})", printable(e.to_string())))?;
    let root = document.root_element();
    if !root.has_tag_name("clientConfig") {
        return Err("is not a description of mail servers".into());
    }
    let mut servers = Servers::default();
    let provider = root.children().filter(|node| node.has_tag_name("emailProvider"));
    for node in provider.flat_map(|provider| provider.children()) {
        if !node.has_tag_name("incomingServer") {
            continue;
        }
        let known = match node.attribute("type") {
            Some("pop3") => &mut servers.pop3,
            Some("imap") => &mut servers.imap,
            _ => continue,
        };
        if let Some(server) = server(node, address)
            && known.len() < MOST_SERVERS
            && !known.contains(&server)
        {
            known.push(server);
        }
    }
    if servers.pop3.is_empty() && servers.imap.is_empty() {
        return Err("names no server that can be used".into());
    }
    for known in [&mut servers.pop3, &mut servers.imap] {
        // RFC 8314 section 3: TLS from the first byte is preferred.
        known.sort_by_key(|server| server.tls != Tls::Implicit);
    }
    Ok(servers)
}

fn server(node: Node<'_, '_>, address: &Address) -> Option<Server> {
    let tls = match child(node, "socketType")? {
        "SSL" => Tls::Implicit,
        "STARTTLS" => Tls::StartTls,
        _ => return None,
    };
    let port = child(node, "port")?.parse().ok().filter(|port| *port != 0)?;
    Some(Server {
        host: host_name(&fill_in(child(node, "hostname")?, address))?,
        port,
        tls,
        user: user(child(node, "username").unwrap_or("%EMAILADDRESS%"), address)?,
        oauth_only: oauth_only(node)?,
    })
}

/// `None` where no way to log in is known. Without any the password will do.
fn oauth_only(node: Node<'_, '_>) -> Option<bool> {
    let mut ways = children(node, "authentication").peekable();
    let Some(_) = ways.peek() else { return Some(false) };
    let ways: Vec<&str> = ways.collect();
    if ways.iter().any(|way| matches!(*way, "password-cleartext" | "password-encrypted" | "PLAIN" | "LOGIN"))
    {
        return Some(false);
    }
    ways.iter().any(|way| matches!(*way, "OAuth2" | "OAuth" | "XOAUTH2" | "OAUTHBEARER")).then_some(true)
}

/// It goes into a protocol's command.
fn user(template: &str, address: &Address) -> Option<String> {
    let user = fill_in(template, address);
    let is_sendable = !user.is_empty() && user.len() <= 320 && !user.contains(char::is_control);
    (is_sendable && !user.contains("%EMAIL")).then_some(user)
}

fn fill_in(template: &str, address: &Address) -> String {
    template
        .replace("%EMAILDOMAIN%", address.domain())
        .replace("%EMAILLOCALPART%", address.local())
        .replace("%EMAILADDRESS%", &address.to_string())
}

fn child<'a>(node: Node<'a, '_>, name: &'static str) -> Option<&'a str> {
    children(node, name).next()
}

/// The texts of all children of that name, without the white space around them.
fn children<'a>(node: Node<'a, '_>, name: &'static str) -> impl Iterator<Item = &'a str> {
    let named = node.children().filter(move |child| child.has_tag_name(name));
    named.filter_map(|child| child.text()).map(str::trim)
}

#[cfg(test)]
mod tests;

//! The envelope of a message. POP3 has none: this one is what the last server wrote into the header, or what the config
//! says.

use serde::Serialize;

use crate::message;

/// RFC 5321 section 2.3.1, as far as it can be known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    pub from: Option<String>,
    pub to: Vec<String>,
    /// The header field that the recipient was in; null where the config says who it is.
    pub derived_from: Option<String>,
}

/// Where the recipient stands, in this order, unless the config says otherwise.
pub const RECIPIENT_HEADERS: &[&str] = &["Delivered-To", "X-Original-To", "Envelope-To"];

/// Where the sender stands (RFC 5321 section 4.4).
const SENDER_HEADER: &str = "Return-Path";

impl Envelope {
    /// Of a message with this header. `recipient` is who it is for in any case.
    pub fn of(head: &[u8], recipient_headers: &[String], recipient: Option<&str>) -> Envelope {
        let from = address(head, SENDER_HEADER);
        if let Some(recipient) = recipient {
            return Envelope { from, to: vec![recipient.to_owned()], derived_from: None };
        }
        let found = recipient_headers.iter().find_map(|name| Some((name.clone(), address(head, name)?)));
        let (derived_from, to) = found.unzip();
        Envelope { from, to: to.into_iter().collect(), derived_from }
    }

    /// For receivers that cannot do without: failing all else, the address in From or To.
    pub fn completed(self, head: &[u8]) -> Envelope {
        let from = self.from.or_else(|| first_mailbox(head, "From"));
        let to = if self.to.is_empty() { first_mailbox(head, "To").into_iter().collect() } else { self.to };
        Envelope { from, to, derived_from: self.derived_from }
    }
}

/// An address that stands by itself, in angle brackets or not.
fn address(head: &[u8], name: &str) -> Option<String> {
    let value = text(&message::field(head, name)?);
    let address = value.trim_matches(['<', '>', ' ', '\t']);
    (!address.is_empty()).then(|| address.to_owned())
}

fn first_mailbox(head: &[u8], name: &str) -> Option<String> {
    let mailboxes = message::parsed::mailboxes_in(head, name);
    mailboxes.into_iter().map(|mailbox| mailbox.email).find(|email| !email.is_empty())
}

/// JSON has only Unicode (RFC 8621 section 4.1.2.1): what is not UTF-8 becomes U+FFFD, and NUL is dropped.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "")
}

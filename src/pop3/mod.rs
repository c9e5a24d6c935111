//! POP3 (RFC 1939).

use secrecy::SecretString;

use crate::net;

/// A mailbox and how to log in to it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub peer: net::Settings,
    pub user: String,
    pub password: SecretString,
    /// The longest message to retrieve, in octets.
    pub max_size: u64,
}

/// The default of [`Settings::max_size`]: 150 MiB.
pub const MAX_SIZE: u64 = 150 << 20;

impl Settings {
    /// Settings with the default `max_size`.
    pub fn new(peer: net::Settings, user: &str, password: SecretString) -> Settings {
        Settings { peer, user: user.to_owned(), password, max_size: MAX_SIZE }
    }
}

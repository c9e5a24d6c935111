//! POP3 (RFC 1939).

use secrecy::SecretString;

use crate::net;

/// A mailbox and how to log in to it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub peer: net::Settings,
    pub user: String,
    pub password: SecretString,
    /// Octets of the largest message that is retrieved.
    pub max_size: u64,
}

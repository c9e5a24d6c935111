//! An IMAP folder.

use secrecy::SecretString;

use crate::net;

/// An IMAP server and how to log in to it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub peer: net::Settings,
    pub user: String,
    pub password: SecretString,
}

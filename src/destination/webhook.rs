//! An HTTP webhook.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::net;

/// An endpoint and how to talk to it.
#[derive(Clone)]
pub struct Settings {
    pub url: String,
    pub format: Format,
    /// The newest first; more than one during a rotation.
    pub secrets: Vec<SecretString>,
    /// Octets of the largest message that is sent.
    pub max_bytes: u64,
    pub max_in_flight: usize,
    pub connect_timeout: Duration,
    pub timeout: Duration,
    pub ca_file: Option<PathBuf>,
    pub pin: Option<net::Pin>,
    pub allow_plaintext: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it may hold a password.
        f.debug_struct("Settings").field("format", &self.format).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Raw,
}

//! An HTTP webhook.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::net;

/// An endpoint and how to talk to it.
#[derive(Clone, Debug)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Raw,
}

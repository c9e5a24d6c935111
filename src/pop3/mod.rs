//! An asynchronous POP3 client (RFC 1939) that trusts no byte of its server.
//!
//! Everything read is bounded in length and in time, mail is bytes and never text, and a message may be larger
//! than memory. Where the server announces PIPELINING (RFC 2449) commands go out many at a time, so that a
//! mailbox costs few round trips. No password leaves before the connection is encrypted and its certificate
//! verified, or the user has allowed plaintext in so many words.
//!
//! ```no_run
//! use mailferry::message::Quirks;
//! use mailferry::net::{self, Connectors, Tls};
//! use mailferry::pop3::{Retrieval, Session, Settings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let peer = net::Settings {
//!     host: "pop.example.com".into(),
//!     port: 995,
//!     tls: Tls::Implicit,
//!     ca_file: None,
//!     server_name: None,
//!     pin: None,
//!     allow_plaintext: false,
//! };
//! let connector = Connectors::default().connector(&peer)?;
//! let settings = Settings::new(peer, "me@example.com", "secret".into());
//!
//! let mut session = Session::open(&connector, &settings, Quirks::default()).await?;
//! let listing = session.uidl().await?;
//! let numbers: Vec<u32> = listing.rows.iter().map(|row| row.number).take(64).collect();
//! let retrieved = session.retrieve(&numbers, "/var/lib/mailferry".as_ref()).await;
//! for (number, retrieval) in &retrieved.messages {
//!     if let Retrieval::Message(message) = retrieval {
//!         println!("message {number} has {} octets", message.octets());
//!     }
//! }
//! session.quit().await?; // only now does what was deleted go
//! # Ok(())
//! # }
//! ```
//!
//! A [`Session`] that is dropped without [`Session::quit`] deletes nothing. After any error other than
//! [`Error::Refused`] a session is over: open a new one.
//!
//! | file | holds |
//! |---|---|
//! | `session.rs` | the commands: what a caller does in a session |
//! | `opening.rs` | from the connection to the login |
//! | `retrieving.rs` | RETR and TOP, the bodies of messages |
//! | `patience.rs` | whether a server refuses everything now. No I/O |
//! | `channel.rs` | the buffered connection, and who owes whom a reply |
//! | `wire.rs` | bytes to values: replies, capabilities, rows. No I/O |
//! | `stuffing.rs` | where a message ends, and its dots. No I/O |
//! | `error.rs` | what can go wrong, and what to do about it |

use std::time::Duration;

use crate::auth::Login;
use crate::net;

/// Opens the connections that a [`Session`] needs.
pub use crate::net::Connector;

mod channel;
mod error;
mod opening;
mod patience;
mod retrieving;
mod session;
pub mod stuffing;
pub mod wire;

pub use error::{Class, Error, Refused};
pub use retrieving::{Discarded, Headers, Retrieval, Retrieved};
pub use session::{Session, UidlListing};
pub use wire::{Capabilities, Code, Expire, Stat};

/// One mailbox, and how much of it to bear.
#[derive(Clone, Debug)]
pub struct Settings {
    pub peer: net::Settings,
    pub user: String,
    pub login: Login,
    /// The longest message to retrieve, in octets.
    pub max_size: u64,
    pub deadlines: Deadlines,
}

/// What stands before the user for [`Settings::recent`].
const RECENT: &str = "recent:";

/// The default of [`Settings::max_size`]: 150 MiB.
pub const MAX_SIZE: u64 = 150 << 20;

impl Settings {
    /// Settings with the default `max_size` and deadlines.
    pub fn new(peer: net::Settings, user: &str, login: Login) -> Settings {
        Settings { peer, user: user.to_owned(), login, max_size: MAX_SIZE, deadlines: Deadlines::default() }
    }

    /// For a login that shows what came within the last 30 days, whatever has been retrieved: a way of Gmail's.
    pub fn recent(&self) -> Settings {
        let is_recent = self.user.starts_with(RECENT);
        let user = if is_recent { self.user.clone() } else { format!("{RECENT}{}", self.user) };
        Settings { user, ..self.clone() }
    }

    /// Whether they lead to the same mailbox in the same way.
    pub fn is_like(&self, other: &Settings) -> bool {
        self.peer == other.peer
            && self.user == other.user
            && self.login.is_like(&other.login)
            && self.max_size == other.max_size
    }
}

/// How long the server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the TCP connection, and again for each TLS handshake. 30 s.
    pub connect: Duration,
    /// For the greeting: a busy server delays it. 60 s.
    pub greeting: Duration,
    /// For the whole login: servers slow down whoever guesses passwords. 60 s.
    pub login: Duration,
    /// For the status line of any other reply. 60 s.
    pub reply: Duration,
    /// For all of a listing. 300 s.
    pub listing: Duration,
    /// A message must arrive at 1 KiB/s or more, averaged over this long. Only the time spent waiting for the
    /// server counts. 60 s.
    pub pace: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(60),
            login: Duration::from_secs(60),
            reply: Duration::from_secs(60),
            listing: Duration::from_secs(300),
            pace: Duration::from_secs(60),
        }
    }
}

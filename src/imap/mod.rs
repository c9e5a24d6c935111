//! IMAP4rev1 (RFC 3501) as far as storing mail needs it: log in, find or make a folder, append, look up.
//!
//! async-imap frames and parses the server's answers, behind a guard (guard.rs) against what its parser cannot
//! survive. The commands are our own: async-imap's helpers take a NO for success, drop the reason of a refusal
//! and know neither LITERAL+ nor MULTIAPPEND.

pub mod answer;
mod append;
mod fingerprint;
pub mod guard;
mod labels;
pub mod line_ends;
mod lookup;
mod mailbox;
mod session;

use std::fmt;
use std::io;
use std::time::Duration;

use crate::printable::printable;
use crate::{auth, net};

pub use answer::Capabilities;
pub use append::{Fate, Item, Uid};
pub use fingerprint::Fingerprint;
pub use lookup::{Examined, FolderState};
pub use mailbox::{Mailbox, Namespace};
pub use session::Session;

/// What a folder is for, by its attribute (RFC 6154 section 2).
pub type Purpose = async_imap::imap_proto::NameAttribute<'static>;

/// How long a command may take, unless it carries a message: 60 s.
pub const COMMAND: Duration = Duration::from_secs(60);

/// Why a session could not go on. All but [`Error::Refused`] and [`Error::Folder`] end it. Each text is a clause that
/// can follow "host:port: ".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    /// Nothing came after connecting: servers wait like that for TLS that nobody begins.
    #[error("no greeting within {} s; check that `port` and `tls` fit together", COMMAND.as_secs())]
    NoGreeting,
    #[error("the server closed the connection ({0})")]
    Closed(&'static str),
    /// The server said goodbye (RFC 3501 section 7.1.5).
    #[error("the server ended the session ({})", printable(.0))]
    Bye(String),
    #[error("{0}; is this an IMAP server?")]
    NotImap(&'static str),
    #[error("the server has us logged in already (PREAUTH), as whom is not known; use another port")]
    PreAuth,
    #[error(
        "a password must not go over an unencrypted connection; set `tls` to \"implicit\" or \"starttls\""
    )]
    Plaintext,
    #[error("`user` or `password` has a line break or a NUL in it, which no server takes")]
    Credentials,
    #[error("the server offers no login by password (neither AUTH=PLAIN nor LOGIN)")]
    NoLogin,
    #[error(
        "the server offers no way to sign in by OAuth (neither AUTH=XOAUTH2 nor AUTH=OAUTHBEARER); no token was sent; \
         use a password instead"
    )]
    NoOAuth,
    /// The server does not take the token of a sign-in.
    #[error("the sign-in was refused: {refusal}; {advice}")]
    Token { refusal: Refusal, advice: String },
    /// There is no token to show.
    #[error(transparent)]
    SignIn(#[from] auth::Error),
    /// A tagged NO or BAD. The session is good for more.
    #[error("{command} was refused: {refusal}")]
    Refused { command: &'static str, refusal: Refusal },
    /// The folder's name can be none. The session is good for more.
    #[error("{0}")]
    Folder(String),
    /// The message itself could not be read back in the middle of sending it.
    #[error("{0}")]
    Source(io::Error),
}

/// A tagged NO or BAD: what the server had against a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// BAD: the server did not take it for a command at all. Else NO.
    pub bad: bool,
    /// The response code in capitals, less its arguments (RFC 5530).
    pub code: Option<String>,
    /// What follows the code, as the server wrote it.
    pub text: String,
}

impl Refusal {
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.bad { "BAD" } else { "NO" })?;
        if let Some(code) = &self.code {
            write!(f, " [{}]", printable(code))?;
        }
        write!(f, " {}", printable(&self.text))
    }
}

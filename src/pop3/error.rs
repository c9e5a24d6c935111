//! What can go wrong in a session, by what the caller does about it.

use std::fmt;
use std::io;
use std::time::Duration;

use super::wire::Code;
use crate::{auth, net};

/// Why a session could not be opened or went to its end too early.
///
/// Each text is a clause that can follow "host:port: ". What the server wrote stands in it escaped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    /// Everything not yet answered is undone, except perhaps a QUIT.
    #[error("the connection was closed while {during}")]
    Closed { during: &'static str },
    /// The caller would not wait any longer.
    #[error("the server sends so slowly that other accounts would have to wait; it is tried again later")]
    TooSlow,
    /// Nothing came after connecting: servers wait like that for TLS that nobody begins.
    #[error("no greeting within {} s; check that `port` and `tls` fit together", .after.as_secs())]
    NoGreeting { after: Duration },
    /// Something came after connecting, but from another kind of server.
    #[error("`{got}` is not how a POP3 server greets; is this the POP3 port?")]
    NotPop3 { got: String },
    /// The server says that user or password is wrong, and nothing hints at a passing trouble.
    #[error("the login was refused (`{text}`); check `user` and `password`, and whether POP3 is switched on")]
    Auth { code: Option<Code>, text: String },
    /// The server does not take the token of a sign-in.
    #[error("the sign-in was refused (`{text}`); {advice}")]
    Token { text: String, advice: String },
    /// There is no token to show.
    #[error(transparent)]
    SignIn(#[from] auth::Error),
    /// User or password cannot be sent: a line break would begin a new command.
    #[error("`{field}` holds a line break or a NUL, which POP3 cannot carry")]
    Unsendable { field: &'static str },
    /// Another session holds the mailbox (RFC 2449 section 8.1.2).
    #[error("another session has the mailbox open (`{text}`); it is tried again later")]
    InUse { text: String },
    /// The last login was too short ago (RFC 2449 section 8.1.1).
    #[error("the server wants more time between logins (`{text}`); poll this account less often")]
    LoginDelay {
        /// The least time between logins, where the server announced it.
        delay: Option<Duration>,
        text: String,
    },
    /// A passing trouble at the server (RFC 3206 section 4), or too many logins.
    #[error("the server asks to come back later (`{text}`)")]
    TempUnavailable { text: String },
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The server's words do not fit our questions: it is not to be believed any more. If commands were
    /// pipelined, set the quirk `no_pipelining` and try again.
    #[error("the server got out of step while {during}: `{got}` is no fitting reply")]
    OutOfStep { during: &'static str, got: String },
    #[error("the server sent {what} of more than {limit}")]
    TooLong { what: &'static str, limit: u64 },
    /// The rest of it would have had to be read. What came before is complete.
    #[error("a message is larger than `max_size`, so the session was ended")]
    MessageTooLarge,
    /// Going on would have shown a secret, or believed a stranger.
    #[error("{0}")]
    Insecure(String),
    /// TLS was asked for, and none is to be had there that could be believed.
    #[error("{0}; no password was sent; try `tls = \"implicit\"` with port 995")]
    NoTls(String),
    #[error(
        "the server does not know UIDL, without which mail cannot be left on it and told apart; \
         ask its owner for a POP3 server that does (RFC 1939 section 7)"
    )]
    NoUidl,
    /// The temporary file for a large message: a fault of this machine, not of the account.
    #[error(
        "a large message cannot be kept in its temporary file ({0}); see to the disk where the ledger is"
    )]
    Disk(#[source] io::Error),
}

/// What a caller does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The server could not be reached or went away: try again soon.
    Network,
    /// The server asks for patience: try again later, nobody need be told yet.
    Busy,
    /// User or password: a person must look, and each try may lock the account further.
    Login,
    /// The connection is not to be trusted: a person must look.
    Trust,
    /// The server breaks the protocol or refuses what we need.
    Server,
    /// Ours: disk or files.
    Local,
}

impl Error {
    pub fn class(&self) -> Class {
        match self {
            Error::Net(net::Error::Certificate { .. } | net::Error::Tls(_))
            | Error::Insecure(_)
            | Error::NoTls(_) => Class::Trust,
            Error::Net(net::Error::CaFile { .. }) | Error::Disk(_) => Class::Local,
            Error::Net(_) | Error::NoGreeting { .. } | Error::Closed { .. } | Error::TooSlow => {
                Class::Network
            }
            Error::InUse { .. } | Error::LoginDelay { .. } | Error::TempUnavailable { .. } => Class::Busy,
            Error::Auth { .. } | Error::Token { .. } | Error::Unsendable { .. } => Class::Login,
            Error::SignIn(auth::Error::SignIn(_)) => Class::Login,
            Error::SignIn(auth::Error::Unavailable(_)) => Class::Network,
            Error::SignIn(auth::Error::Local(_)) => Class::Local,
            Error::Refused(refused) if refused.is_passing() => Class::Busy,
            Error::Refused(_)
            | Error::NotPop3 { .. }
            | Error::OutOfStep { .. }
            | Error::TooLong { .. }
            | Error::NoUidl
            | Error::MessageTooLarge => Class::Server,
        }
    }
}

/// A `-ERR` to one command. The session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub command: &'static str,
    pub code: Option<Code>,
    /// What the server said, escaped.
    pub text: String,
}

impl Refused {
    /// Whether the server says that this will pass, by its response code or in its own words: then nothing that was asked
    /// for is at fault.
    pub fn is_passing(&self) -> bool {
        match self.code {
            Some(Code::InUse | Code::LoginDelay | Code::SysTemp) => true,
            Some(Code::SysPerm) => false,
            Some(Code::Auth) | None => says(&self.text, &PASSING),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was refused (`{}`)", self.command, self.text)
    }
}

impl std::error::Error for Refused {}

/// What a refused login means.
///
/// A busy server often says just what it says to a wrong password, but for a word or two; such an account must
/// not be taken for one whose password is wrong.
pub(super) fn refused_login(refused: Refused, delay: Option<Duration>) -> Error {
    let Refused { code, text, .. } = &refused;
    let (code, text) = (*code, text.clone());
    match code {
        Some(Code::InUse) => Error::InUse { text },
        Some(Code::LoginDelay) => Error::LoginDelay { delay, text },
        Some(Code::SysPerm) => Error::Refused(refused),
        _ if refused.is_passing() => Error::TempUnavailable { text },
        None if says(&text, &LOCKED) => Error::InUse { text },
        _ => Error::Auth { code, text },
    }
}

/// Seen in refusals of busy servers, in lower case.
const PASSING: [&str; 11] = [
    "login limit",
    "rate limit",
    "too many",
    "too often",
    "too frequent",
    "try again",
    "try later",
    "temporar",
    "server busy",
    "server unavailable",
    "throttled",
];

/// Seen where another session held the mailbox, in lower case.
const LOCKED: [&str; 4] = ["is locked", "already locked", "in use", "lock busy"];

fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pop3::wire::Reply;

    fn login(line: &str) -> Error {
        let Some(Reply::Err { code, text }) = Reply::parse(line.as_bytes()) else { panic!("{line}") };
        refused_login(Refused { command: "PASS", code, text }, None)
    }

    #[test]
    fn throttling_is_no_wrong_password() {
        for line in [
            "-ERR Exceeded the login limit for a 15 minute period. Reduce the frequency",
            "-ERR Too many login failures",
            "-ERR [AUTH] Temporarily blocked, try again later",
            "-ERR [SYS/TEMP] Temporary authentication failure.",
            "-err [sys/temp] x",
            "-ERR Server busy",
            "-ERR Server Unavailable. 21",
            "-ERR [AUTH] (#AUTH005) Too many bad auth attempts.",
        ] {
            assert!(matches!(login(line), Error::TempUnavailable { .. }), "{line}: {:?}", login(line));
            assert_eq!(login(line).class(), Class::Busy);
        }
    }

    #[test]
    fn a_wrong_password_is_one() {
        for line in [
            "-ERR [AUTH] Authentication failed.",
            "-ERR",
            "-ERR Logon failure: unknown user name or bad password",
        ] {
            assert!(matches!(login(line), Error::Auth { .. }), "{line}");
        }
    }

    #[test]
    fn codes_decide_whatever_their_case() {
        assert!(matches!(login("-ERR [in-use] too many"), Error::InUse { .. }));
        assert!(matches!(login("-ERR maildrop already locked"), Error::InUse { .. }));
        assert!(matches!(login("-ERR [Login-Delay] wait"), Error::LoginDelay { .. }));
        assert!(matches!(login("-ERR [SYS/PERM] gone for good"), Error::Refused(_)));
    }
}

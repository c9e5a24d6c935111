//! The words that the modules share: what a message is, what is known of it, what became of it.

mod header;
mod junk;
mod listing;
pub mod parsed;
mod routing;
mod spool;
mod stand_in;
mod subject;

use std::borrow::Borrow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use header::{
    ends_header, field, fields, header_digest, is_plausible, parse_date, raw_fields, received_at,
};
pub use junk::{JUNK, SpamSign};
pub use listing::{Alike, AlikeMessage, Listed, Listing, Sizes};
pub use routing::{Pattern, Takers, Test, When, takers};
pub use spool::{Chunks, Content, IN_MEMORY, Message, NotReadBack, Spool};
pub use stand_in::is_stand_in;
pub use subject::subject;

use crate::printable::printable_whole;

/// An account's name: the NAME of `[account.NAME]`. Its ledger rows stay with the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName(String);

/// A destination's name: the NAME of `[destination.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationName(String);

/// What every name in the config must be, as the end of a sentence.
pub const NAME_RULE: &str =
    "1 to 64 letters, digits, `-`, `_`, `.` or `@`, and must begin with a letter or a digit";

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    text.starts_with(char::is_alphanumeric) && text.chars().count() <= 64 && text.chars().all(allowed)
}

macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// `None` where `text` breaks [`NAME_RULE`].
            pub fn new(text: &str) -> Option<Self> {
                is_name(text).then(|| $type(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(AccountName);

/// It is looked up by its text.
impl Borrow<str> for AccountName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

name!(DestinationName);

/// A message's unique id in its mailbox (RFC 1939 section 7): bytes, stored and compared verbatim.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uidl(Box<[u8]>);

impl Uidl {
    pub fn new(bytes: &[u8]) -> Uidl {
        Uidl(bytes.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Uidl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable_whole(&self.0))
    }
}

impl fmt::Debug for Uidl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The ways of a server that change what a poll does: known of its provider, or learned by bad experience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// It announces PIPELINING but gets out of step: one command at a time.
    pub no_pipelining: bool,
    /// It refuses a login sooner than this after the last one, and does not announce that (LOGIN-DELAY).
    pub login_delay: Option<Duration>,
    /// It lists a slice of the mailbox at a time, and after QUIT no longer what was retrieved. Who logs in as
    /// `recent:USER` sees the last 30 days, whatever was retrieved (Gmail).
    pub hides_retrieved: bool,
}

/// The folder of a [`Route`] that skips the inbox: the destination's own for what is archived, by its attribute (RFC 6154
/// section 2), which on Gmail is the one for all mail. Which folder that is, its server says.
pub const ARCHIVE: &str = "\\Archive";

/// Where an account's messages go: one entry of its `deliver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: DestinationName,
    /// Folder of an IMAP destination, in Unicode with `/` between the levels; or [`ARCHIVE`], which for Gmail's API is any
    /// place but the inbox.
    pub folder: String,
    pub mark_read: bool,
    /// What Gmail shows the messages under, beside their folder: names, with `/` between the levels.
    pub labels: Vec<String>,
    /// Who a webhook is told that they are for; `None`: whoever the messages say.
    pub recipient: Option<String>,
    /// What bears one of these signs goes to the folder for junk ([`JUNK`]); none: nothing does.
    pub junk: Vec<SpamSign>,
    /// Only messages of which this holds are for it; `None`: all are.
    pub when: Option<When>,
}

impl Route {
    /// All messages, into the inbox, unread.
    pub fn to(to: DestinationName) -> Route {
        Route {
            to,
            folder: "INBOX".into(),
            mark_read: false,
            labels: Vec::new(),
            recipient: None,
            junk: Vec::new(),
            when: None,
        }
    }

    /// The folder that a message with this header goes to.
    pub fn folder_of(&self, header: &[u8]) -> &str {
        if self.junk.iter().any(|sign| sign.is_on(header)) { JUNK } else { &self.folder }
    }
}

/// How long a delivered message stays at its source: the config's `leave_copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveCopy {
    Forever,
    /// Counted from the last delivery or give-up; zero deletes at once.
    For(Duration),
}

/// What of a mailbox's old mail is wanted: the config's `import`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    All,
    /// Only what arrived after the account was first configured.
    New,
}

/// A message on its way to one destination, with all that must be the same when it is sent again.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub message: Message,
    /// Under the name by which it was first sent.
    pub account: AccountName,
    /// The UIDL under which the message was first listed: it stays, even when the mailbox is renumbered.
    pub uidl: Uidl,
    pub mark: Mark,
    /// How often it has been tried before, 0 at first.
    pub attempts: u32,
}

/// What the ledger keeps of a message before it is sent, so that it can be found again when the answer is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The IMAP folder, as in the config, or [`ARCHIVE`], or [`JUNK`]; empty where there are none.
    pub folder: String,
    /// The folder's UIDVALIDITY when it was marked; 0 where there is none.
    pub uid_validity: u32,
    /// A UID that the message cannot be below.
    pub uid_next: u32,
    /// Length of the bytes as they are sent, line ends included, and a hash by which the destination knows them again.
    pub octets: u64,
    pub hash: [u8; 32],
    /// The Message-ID field as it stands in the message.
    pub message_id: Option<String>,
    /// At a destination that keeps one of several messages with one Message-ID.
    pub gist: Option<Gist>,
}

/// A message that a folder may hold since a time of which the ledger does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    pub mark: Mark,
    /// Equal messages that are in that folder under UIDs which nobody knows, and a UID that each cannot be below: so many
    /// copies are theirs.
    pub twins: Vec<u32>,
}

/// What tells a message apart from others with its Message-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gist {
    /// Of the fields that say who wrote it, when, and about what.
    pub header: [u8; 32],
    /// Of its body, with CRLF line ends.
    pub body: [u8; 32],
}

/// Why a message is not where its destination has put it.
pub const MERGED: &str = "Gmail has another message with this Message-ID, and keeps that in its place; what this one says is at \
    its source alone";

/// The proof of a delivery: what the destination said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The message's UID in its folder (RFC 4315), or where a look-up found it.
    Uid {
        uid_validity: u32,
        uid: u32,
    },
    /// An IMAP server without UIDPLUS said OK.
    Stored,
    Http(u16),
    /// The id that Gmail's API has named, letters and digits: that of this message, or of the one with its Message-ID
    /// that was there before. The gist of this one tells them apart from that of the one for which this id was first
    /// named, as far as the destination remembers.
    Gmail {
        id: String,
        gist: Gist,
        first: Gist,
    },
    /// This proves that a message with its Message-ID and its header is there, whose body is another: that of a list's copy,
    /// say, below which the list has put a line. It stays at its source.
    Alike(Box<Receipt>),
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Receipt::Uid { uid, .. } => write!(f, "UID {uid}"),
            Receipt::Stored => write!(f, "stored"),
            Receipt::Http(status) => write!(f, "HTTP {status}"),
            Receipt::Gmail { id, .. } => write!(f, "Gmail id {id}"),
            Receipt::Alike(kept) => write!(f, "{kept}, with another body; this one stays at its source"),
        }
    }
}

/// What became of one attempt, decided where the answer is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered {
        receipt: Receipt,
    },
    /// Delivered, and the destination wants no more: it stops as after [`Verdict::Disabled`].
    Last {
        receipt: Receipt,
        reason: String,
    },
    /// A fault of this message: parked after `park_after` of them (IMAP and Gmail 1, webhook 3).
    Rejected {
        reason: String,
        park_after: u8,
        /// False where the refusal says nothing of the endpoint (size).
        counts_for_destination: bool,
    },
    /// Not now, for this message.
    Deferred {
        reason: String,
        retry_after: Option<Duration>,
        /// True where it may be the destination's fault as well: told to several messages in a row, it is.
        counts_for_destination: bool,
    },
    /// Not sent: another message with its Message-ID may be there, and nobody could tell which of them is kept.
    HeldUp,
    /// Not now, for any message: this destination rests, others go on.
    Unreachable {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// Not now, for any message, and the destination itself says so: it is tried with one message at a time
    /// until one succeeds.
    Paused {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// This destination stops until a person or a changed config says otherwise.
    Disabled {
        reason: String,
    },
    /// Sent, and the answer was lost: look before sending again.
    Unknown {
        reason: String,
    },
}

impl Verdict {
    /// What it means for every other message for that destination, if it means anything: nothing more is to be sent now.
    pub fn for_all(&self) -> Option<Verdict> {
        match self {
            Verdict::Unreachable { .. } | Verdict::Paused { .. } | Verdict::Disabled { .. } => {
                Some(self.clone())
            }
            Verdict::Last { reason, .. } => Some(Verdict::Disabled { reason: reason.clone() }),
            Verdict::Delivered { .. }
            | Verdict::Rejected { .. }
            | Verdict::Deferred { .. }
            | Verdict::HeldUp
            | Verdict::Unknown { .. } => None,
        }
    }

    /// Whether the destination may have got it, all of it.
    pub fn may_be_there(&self) -> bool {
        match self {
            Verdict::Delivered { .. } | Verdict::Last { .. } | Verdict::Unknown { .. } => true,
            Verdict::Rejected { .. }
            | Verdict::Deferred { .. }
            | Verdict::HeldUp
            | Verdict::Unreachable { .. }
            | Verdict::Paused { .. }
            | Verdict::Disabled { .. } => false,
        }
    }

    /// What it says beside its kind.
    pub fn into_reason(self) -> String {
        match self {
            Verdict::Delivered { receipt } => receipt.to_string(),
            Verdict::HeldUp => "it waits for another message with its Message-ID".into(),
            Verdict::Rejected { reason, .. }
            | Verdict::Deferred { reason, .. }
            | Verdict::Unreachable { reason, .. }
            | Verdict::Paused { reason, .. }
            | Verdict::Last { reason, .. }
            | Verdict::Disabled { reason }
            | Verdict::Unknown { reason } => reason,
        }
    }
}

/// The header field that a notice of mailferry's own bears, with the mark of its ledger.
pub const NOTICE: &str = "X-Mailferry-Notice";

/// What a look-up says of a message whose fate is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Found {
        receipt: Receipt,
    },
    /// There is a message with its Message-ID, stored with other bytes than were sent: one of so many.
    Changed {
        receipt: Receipt,
        candidates: usize,
    },
    /// Not there now; believed at the second look.
    Absent,
    /// The destination takes mail, but its answer does not tell.
    CannotSay {
        reason: String,
    },
    /// Nobody can be asked now, and nothing can be sent there now.
    Unreachable {
        reason: String,
    },
}

/// The time now, in seconds of Unix time, as the ledger stores it.
pub fn unix(time: DateTime<Utc>) -> i64 {
    time.timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["work", "me@example.org", "B\u{fc}ro-2", "9"] {
            assert!(AccountName::new(good).is_some(), "{good}");
        }
        for bad in ["", ".hidden", "a/b", "a b", "x\n", &"n".repeat(65)] {
            assert!(AccountName::new(bad).is_none(), "{bad}");
        }
    }
}

//! What happened, on disk: every message that was seen, and what became of it at each destination.
//!
//! What the ledger promises:
//!
//! - **Before a byte goes out, it says so** ([`Ledger::attempting`]); before a DELE goes out, it says that the
//!   message was delivered ([`Ledger::settle`], [`Ledger::deleting`]). These commits survive a power failure.
//! - **What is due is the listing minus the ledger** ([`Ledger::take_in`], [`Ledger::identify`]): never a
//!   cursor, never a message-number of another session.
//! - **After an error of the disk nothing more is written** ([`Ledger::failed`]): every call then returns that
//!   error.
//!
//! Its rules, by the names under which tests cite them:
//!
//! - **Key.** A message is its account, UIDL and content. Content is the SHA-256 of the bytes without the header fields
//!   that servers rewrite.
//! - **Settled.** A row settles a listed message if UIDL and size agree; if the size differs, or the account was pointed
//!   elsewhere since, the message is retrieved and its content decides. A destination that was added takes only what is
//!   first listed afterwards.
//! - **Renamed.** A new UIDL with the content of a row that was never listed together with it, and for whose UIDL no DELE
//!   of ours was sent, is that row's message, one to one. The row takes the new UIDL and keeps its deliveries as they are.
//! - **Deletion.** What has a delivered row and none that waits may go, never what has no delivered row. `leave_copy` as
//!   it was at delivery and as it is today must both allow it; age counts from the last delivery or give-up. The bytes
//!   are compared just before.
//! - **Unknown past.** Deliveries made by an account's first listing after a start, those that waited at a start, and those
//!   of a message that turns up under the UIDL of another one, are looked for in their IMAP folder before they are sent,
//!   from where that was at the start: a ledger that was lost, restored or cut short may not know of them. What an account
//!   begins with is looked for in all of the folder: another program may have brought it. `webhook-id` is a hash of
//!   account, destination, UIDL and content, so that a receiver knows them again.
//! - **Alone.** A batch of which nothing came, whether its connection ended or the process, may hold a message that the
//!   server or mailferry breaks at: its messages go by themselves from then on. One of which nothing comes then either
//!   waits as after any failure, and is parked in the end, so that no message stops the others.
//! - **Whose copy.** A UID proves one delivery, of whatever account. It proves none while an equal message, or one with its
//!   Message-ID, is on its way to that folder. Where only the Message-ID tells, there must be as many copies as there are
//!   messages of ours that may have one. So it is with equal messages in an unknown past, and where UIDs are new. UIDs are
//!   forgotten when a destination leads to another mailbox.
//! - **Unverified.** What was perhaps stored and cannot be looked for is sent again, and marked.
//! - **Unanswered.** Gmail's API names one message for all with its Message-ID. While one of them may be there unnamed,
//!   the others are not sent.
//! - **Baseline.** With `import = "new"` the first listing is old mail, save what is dated later than the account; the same
//!   is asked again when at least 20 are listed of which under 20 % are known.
//! - **Adopted.** What another program had seen and is listed gets a row of its own, skipped, unless it has one: UIDL and
//!   size settle it from then on, and what is listed beside it is new. It counts as delivered only where a person says so,
//!   since when the other program says; it then may go while its header is what it was when that was said.
//! - **Outage.** Different messages that a destination does not take, three in a row and none taken between, are its fault:
//!   it rests, what that cost them is taken back, and until it takes one they are tried one at a time and pay nothing.
//! - **Unrouted.** What no entry of its account's `deliver` takes is skipped at all its destinations, so that it is never
//!   deleted, and is marked, so that people are shown it. Retried, it is asked anew where it goes.
//! - **Pruning.** A row is forgotten 400 days after its message was first missed: while nobody polls, nothing is forgotten,
//!   nor while its UIDL is listed, which may stand for it.
//!
//! One process holds a ledger ([`Ledger::hold`]); others may read it and leave requests ([`Ledger::visit`]).
//!
//! | file | holds |
//! |---|---|
//! | `open`, `lock`, `writer` | the file, who may write it, and the one task that does |
//! | `setup`, `polls` | what is configured; when an account is due, what a poll was like |
//! | `intake`, `parts`, `identify`, `ids` | from a listing to rows, from retrieved bytes to the row they belong to |
//! | `adopt` | what another program had seen |
//! | `due`, `destinations` | what is to be sent now, and which destination takes mail |
//! | `deliveries`, `look_ups`, `deletions` | an attempt and its verdict, a lost answer, what may go |
//! | `unanswered` | which messages wait for an answer to another one |
//! | `unrouted` | what no entry of `deliver` takes |
//! | `slices` | a mailbox that is shown a slice at a time |
//! | `people`, `requests`, `report` | retry, give-up, rename, forget; how to ask the holder; what people see |
//! | `tokens` | what people have signed in for, encrypted |
//! | `page`, `subjects` | the password of the page, and who is signed in; what it calls a parked message |
//! | `alerts`, `notices` | what people are told without asking, and whether they have been; notices on their way by mail |

mod adopt;
mod alerts;
mod budgets;
mod columns;
mod configured;
mod deletions;
mod deliveries;
mod destinations;
mod due;
mod error;
mod identify;
mod ids;
mod intake;
mod lock;
mod look_ups;
mod notices;
mod open;
mod page;
mod parts;
mod people;
mod polls;
mod report;
mod requests;
mod setup;
mod slices;
mod subjects;
#[cfg(test)]
mod tests;
mod tokens;
mod unanswered;
mod unrouted;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use sqlx::{SqliteConnection, SqlitePool};

pub use adopt::{Adopted, Adoption, SeenElsewhere};
pub use alerts::{
    AccountHealth, Change, DestinationHealth, EndingSignIn, Health, Hoard, NewlyParked, Notice, Outdated,
    Subject, Told, Trouble, Way,
};
pub use configured::{Configured, ConfiguredAccount, ConfiguredDestination, Emptying, Polling, Step};
pub use deletions::Deletion;
pub use deliveries::Attempt;
pub use due::{Ask, Due, DueDelivery};
pub use error::Error;
pub use identify::{Identity, Retrieved};
pub use ids::{DeliveryIds, MessageIds, MessageNumbers};
pub use intake::{Intake, Shortcut, TakenIn};
pub use lock::check_place;
pub use look_ups::LookUp;
pub use notices::{LookedUp, NoticeAttempt};
pub use page::Token;
pub use polls::{Agenda, Past, PollRecord};
pub use report::{
    AccountStatus, Arrivals, DestinationStatus, Failure, Kept, ParkedDelivery, Poll, Report, Status, Waiting,
};
pub use requests::{Request, Visitor, answer_of, outcome_of};
pub use setup::{AccountSetup, DestinationSetup};
pub use slices::{RestOfSlice, Shown, Slice};
pub use tokens::Tokens;
pub use unrouted::Unrouted;

use crate::message::AccountName;
use writer::{Outlives, Writer};

/// A message's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct MessageId(pub(crate) i64);

/// A delivery's row: one message to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct DeliveryId(pub(crate) i64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MessageId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<MessageId, Self::Err> {
        text.parse().map(MessageId)
    }
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Due,
    /// Perhaps sent: its outcome is not known yet.
    Attempting,
    Delivered,
    /// To be tried again later.
    Deferred,
    /// Given up for now; a person decides.
    Parked,
    /// Old mail that nobody asked for (`import = "new"`), or that another program had seen.
    Skipped,
    GivenUp,
}

/// Who or what an error concerns: only that stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Message,
    Destination,
    Account,
    /// This machine: its disk, its ledger.
    Local,
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Message => "message",
            Class::Destination => "destination",
            Class::Account => "account",
            Class::Local => "local",
        }
    }
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub delivery: DeliveryId,
    pub message: MessageId,
    pub state: State,
    /// The receipt if it is delivered, else the reason.
    pub text: String,
    /// Where it is deferred.
    pub retry_at: Option<DateTime<Utc>>,
}

/// What verdicts of one destination have led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// In the order of the verdicts.
    pub deliveries: Vec<Settled>,
    /// The destination's new state (ok, failing, paused or disabled), if it has changed: news for a person.
    pub turned: Option<String>,
    /// Nothing more is to be sent there for now.
    pub is_closed: bool,
}

/// The waits that the ledger goes by but does not decide.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long to wait after so many failed attempts (1 after the first); `None` once it is to be parked.
    pub retry_after: fn(u32) -> Option<Duration>,
    /// How long after the last byte a message that is not found counts as absent: half a minute, as some servers show
    /// late what they have stored.
    pub absent_after: Duration,
}

/// A ledger that this process holds: the only one to write it, and to poll.
pub struct Ledger {
    writer: Writer,
    readers: SqlitePool,
    path: std::path::PathBuf,
    terms: Terms,
    notice_mark: String,
    /// Accounts with a listing since [`Ledger::hold`]: the past of their further messages is known.
    listed: Mutex<HashSet<AccountName>>,
    subjects: subjects::Wanted,
}

impl Ledger {
    /// Takes the lock, makes the ledger if there is none, upgrades it, and settles what an earlier process
    /// left open: starting is recovering.
    ///
    /// # Errors
    /// [`Error::Locked`] where another process holds it, and whatever keeps the file from being a sound
    /// ledger on a local disk.
    pub async fn hold(path: &Path, terms: Terms, now: DateTime<Utc>) -> Result<Ledger, Error> {
        let lock = lock::take_after_a_look(path).await?;
        let mut connection = open::for_writing(path).await?;
        open::recover(&mut connection, terms, now).await.map_err(|e| Error::sql(path, &e))?;
        let notice_mark = open::notice_mark(&mut connection).await.map_err(|e| Error::sql(path, &e))?;
        Ok(Ledger {
            writer: Writer::start(connection, path, lock),
            readers: open::readers(path),
            path: path.to_owned(),
            terms,
            notice_mark,
            listed: Mutex::default(),
            subjects: subjects::Wanted::default(),
        })
    }

    /// Opens an existing ledger that another process may hold: to read it, and to leave requests.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is none; [`Error::Newer`], [`Error::Older`] and [`Error::NotALedger`].
    pub async fn visit(path: &Path) -> Result<Visitor, Error> {
        Visitor::new(path).await
    }

    /// Whether a process holds the ledger: `run`, or a `fetch` under way.
    pub fn is_held(path: &Path) -> bool {
        lock::is_held(path)
    }

    /// Ends in order: all is on disk, and the lock is free.
    ///
    /// # Errors
    /// What ended the writing, now or before. All that was committed is kept, and the next start checks the file.
    pub async fn close(self) -> Result<(), Error> {
        self.readers.close().await;
        self.writer.close().await
    }

    /// Resolves when the ledger can no longer be written; until the process ends, every call returns that
    /// error.
    pub async fn failed(&self) -> Error {
        self.writer.failed().await
    }

    /// What people see of it.
    pub fn report(&self) -> Report {
        Report::new(self.readers.clone(), &self.path)
    }

    async fn write<T, F>(&self, outlives: Outlives, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
    {
        self.writer.write(outlives, work).await
    }

    /// For errors of reading: a broken ledger is broken for the writer too.
    fn sql_error(&self) -> impl Fn(sqlx::Error) -> Error {
        |e| {
            let error = Error::sql(&self.path, &e);
            if matches!(error, Error::Broken { .. } | Error::NotALedger(_)) {
                self.writer.fail(&error);
            }
            error
        }
    }

    fn has_listed(&self, account: &AccountName) -> bool {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).contains(account)
    }

    fn note_listed(&self, account: AccountName) {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).insert(account);
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("path", &self.path).finish_non_exhaustive()
    }
}

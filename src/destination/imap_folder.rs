//! An IMAP folder as a destination: every message is appended as it came, with CRLF line ends.

mod labels;
mod look_up;
mod merged;
mod past;
mod sessions;
mod verdict;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, Utc};
use futures_util::Stream;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use self::sessions::{Lease, Sessions};
use super::identity::{measure, message_id};
use super::unreadable;
use crate::auth::Login;
pub use crate::imap::Error as Fault;
use crate::imap::line_ends::LineEnds;
use crate::imap::{Error, Fate, FolderState, Item, Mailbox, Namespace, Purpose, Refusal, Session, Uid};
use crate::message::{
    ARCHIVE, JUNK, Mark, Message, Outgoing, Receipt, Route, Verdict, is_plausible, parse_date,
};
use crate::net::{self, Connector};

/// Where the folders are, and whose.
#[derive(Clone, Debug)]
pub struct Settings {
    pub peer: net::Settings,
    pub user: String,
    pub login: Login,
    /// Octets that the server may be sent in any 24 hours.
    pub daily_budget: Option<u64>,
}

impl Settings {
    /// Which mailbox this is: when it changes, it deserves a new chance.
    pub fn identity(&self) -> String {
        format!("{}@{}:{}", self.user, self.peer.host, self.peer.port)
    }

    /// Whose mailbox this is: by another port it is the same.
    pub fn mailbox(&self) -> String {
        format!("{}@{}", self.user, self.peer.host).to_ascii_lowercase()
    }
}

/// One user's folders on one server, shared by all who deliver there.
#[derive(Debug)]
pub struct ImapFolder {
    sessions: Sessions,
    namespace: OnceCell<Namespace>,
    /// What the server calls the folders for junk and for what is archived.
    junk: OnceCell<Mailbox>,
    archive: OnceCell<Mailbox>,
    /// Labels that are there.
    labels: Mutex<HashSet<String>>,
    /// It announces MULTIAPPEND and LITERAL+, and answers BAD to a batch.
    refuses_batches: AtomicBool,
    /// Held by the one who learns the state of a folder.
    learning: tokio::sync::Mutex<()>,
    past: past::Pasts,
}

/// The longest literal that LITERAL- allows unasked (RFC 7888 section 5).
const LITERAL_MINUS: usize = 4096;

impl ImapFolder {
    pub fn new(settings: Settings, connector: Connector) -> ImapFolder {
        ImapFolder {
            sessions: Sessions::new(settings, connector),
            namespace: OnceCell::new(),
            junk: OnceCell::new(),
            archive: OnceCell::new(),
            labels: Mutex::default(),
            refuses_batches: AtomicBool::new(false),
            learning: tokio::sync::Mutex::default(),
            past: past::Pasts::default(),
        }
    }

    pub fn has_budget(&self) -> bool {
        self.sessions.settings.daily_budget.is_some()
    }

    /// Connects, logs in and makes the route's folder, so that [`ImapFolder::prepare`] finds it done. A fault is left
    /// for that to find.
    pub async fn reach(&self, route: &Route) {
        let _ = self.folder_state(&route.folder).await;
    }

    /// Makes the folders and labels that the messages go to if there are none, and marks each message as it will be sent.
    ///
    /// # Errors
    /// The verdict on all of them, where a folder cannot be reached or made.
    pub async fn prepare(&self, route: &Route, messages: &[&Message]) -> Result<Vec<Mark>, Verdict> {
        self.make_labels(route).await?;
        let mut states: HashMap<&str, FolderState> = HashMap::new();
        let mut marks = Vec::with_capacity(messages.len());
        for message in messages {
            let folder = route.folder_of(message.head());
            let state = match states.get(folder) {
                Some(&state) => state,
                None => self.folder_state(folder).await?,
            };
            states.insert(folder, state);
            let measured = measure(message.chunks()).await;
            let (octets, hash) = measured.map_err(|fault| unreadable(&fault))?;
            marks.push(Mark {
                folder: folder.to_owned(),
                uid_validity: state.uid_validity,
                uid_next: state.uid_next,
                octets,
                hash,
                message_id: message_id(message.head()),
                gist: None,
            });
        }
        Ok(marks)
    }

    async fn folder_state(&self, folder: &str) -> Result<FolderState, Verdict> {
        let asked = Instant::now();
        // Whoever comes second finds a session that is open and knows the folder, or that there is none to be had.
        let _turn = self.learning.lock().await;
        let mut lease = self.sessions.lease(asked).await?;
        if let Some(&state) = lease.folders.get(folder) {
            self.sessions.keep(lease);
            return Ok(state);
        }
        let learnt = self.learn_state(&mut lease.session, folder).await;
        let state = learnt.map_err(|fault| self.sessions.out_of_reach(&fault))?;
        // Only UIDs tell twins apart: without them the mark must be above all that is stored by now.
        if lease.session.capabilities().uid_plus {
            lease.folders.insert(folder.to_owned(), state);
        }
        // Before the past is asked for: who has that may be waiting for the only session there is.
        self.sessions.keep(lease);
        self.past.begin(folder, state).await;
        Ok(state)
    }

    /// The folder's state; if there is no such folder, it is made first.
    async fn learn_state(&self, session: &mut Session, folder: &str) -> Result<FolderState, Error> {
        let mailbox = self.mailbox(session, folder).await?;
        match session.status(&mailbox).await {
            Err(Error::Refused { .. }) => {
                make(session, &mailbox).await?;
                session.status(&mailbox).await
            }
            known => known,
        }
    }

    /// Appends the messages to the folders of their marks: one verdict for each, in their order.
    pub async fn deliver(&self, route: &Route, outgoing: &[Outgoing]) -> Vec<Verdict> {
        let mut fates = vec![Fate::Waiting; outgoing.len()];
        let fault = match self.sessions.lease(Instant::now()).await {
            Err(verdict) => Some(verdict),
            Ok(mut lease) => match self.append(&mut lease, route, outgoing, &mut fates).await {
                Ok(()) => {
                    self.sessions.keep(lease);
                    None
                }
                Err(fault) => Some(self.sessions.verdict_of(&fault)),
            },
        };
        verdict::of_fates(fates, fault.as_ref())
    }

    async fn append(
        &self,
        lease: &mut Lease<'_>,
        route: &Route,
        outgoing: &[Outgoing],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        let go_together =
            |a: &Outgoing, b: &Outgoing| is_small(a) && is_small(b) && a.mark.folder == b.mark.folder;
        let mut rest = fates;
        for batch in outgoing.chunk_by(go_together) {
            let mailbox = self.mailbox(&mut lease.session, &batch[0].mark.folder).await?;
            let (fates, others) = rest.split_at_mut(batch.len());
            rest = others;
            let appended = self.append_batch(lease, route, &mailbox, batch, fates).await;
            if appended.is_err() && lease.session.capabilities().gmail {
                labels::are_missing(fates);
            }
            appended?;
        }
        Ok(())
    }

    async fn append_batch(
        &self,
        lease: &mut Lease<'_>,
        route: &Route,
        mailbox: &Mailbox,
        batch: &[Outgoing],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        let session = &mut lease.session;
        let items: Vec<Item> = batch.iter().map(|outgoing| item(&outgoing.message, route)).collect();
        if batch.iter().all(is_small) {
            self.append_small(session, mailbox, &items, fates).await?;
        } else {
            let large = &batch[0].message;
            self.append_large(session, mailbox, &items[0], large, &mut fates[0]).await?;
        }
        lease.learn(&batch[0].mark.folder, fates);
        self.tell_merged(&mut lease.session, mailbox, batch, fates).await?;
        self.label(&mut lease.session, route, mailbox, fates).await
    }

    async fn append_small(
        &self,
        session: &mut Session,
        mailbox: &Mailbox,
        items: &[Item],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        let limit = session.capabilities().append_limit.unwrap_or(u64::MAX);
        let mut chosen = Vec::new();
        for (n, item) in items.iter().enumerate() {
            match over_limit(item.bytes.len() as u64, limit) {
                Some(refusal) => fates[n] = Fate::Refused(refusal),
                None => chosen.push(n),
            }
        }
        self.append_chosen(session, mailbox, items, fates, &chosen).await?;
        let homeless: Vec<usize> = chosen.into_iter().filter(|&n| wants_folder(&fates[n])).collect();
        if homeless.is_empty() {
            return Ok(());
        }
        // The folder has gone since it was prepared.
        make(session, mailbox).await?;
        self.append_chosen(session, mailbox, items, fates, &homeless).await
    }

    async fn append_chosen(
        &self,
        session: &mut Session,
        mailbox: &Mailbox,
        items: &[Item],
        fates: &mut [Fate],
        chosen: &[usize],
    ) -> Result<(), Error> {
        let items: Vec<Item> = chosen.iter().map(|&n| items[n].clone()).collect();
        let mut theirs = vec![Fate::Waiting; items.len()];
        let outcome = self.append_fastest(session, mailbox, &items, &mut theirs).await;
        for (&n, fate) in chosen.iter().zip(theirs) {
            fates[n] = fate;
        }
        outcome
    }

    /// As few round trips as the server allows.
    async fn append_fastest(
        &self,
        session: &mut Session,
        mailbox: &Mailbox,
        items: &[Item],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        let able = session.capabilities();
        let short = items.iter().all(|item| item.bytes.len() <= LITERAL_MINUS);
        let pipelined = able.literal_plus || able.literal_minus && short;
        let together = able.literal_plus && able.multi_append && items.len() > 1;
        if together && !self.refuses_batches.load(Ordering::Relaxed) {
            let Some(refusal) = session.append_together(mailbox, items, fates).await? else { return Ok(()) };
            if verdict::concerns_all(&refusal) {
                fates.fill(Fate::Refused(refusal));
                return Ok(());
            }
            // Nothing is stored. One by one shows whose fault it is.
            self.refuses_batches.fetch_or(refusal.bad, Ordering::Relaxed);
        }
        if pipelined {
            session.append_window(mailbox, items, fates).await
        } else {
            session.append_in_turn(mailbox, items, fates).await
        }
    }

    /// A large message goes alone, and the server may refuse it before it is sent.
    async fn append_large(
        &self,
        session: &mut Session,
        mailbox: &Mailbox,
        like: &Item,
        message: &Message,
        fate: &mut Fate,
    ) -> Result<(), Error> {
        let octets = measure(message.chunks()).await.map_err(Error::Source)?.0;
        if let Some(refusal) = over_limit(octets, session.capabilities().append_limit.unwrap_or(u64::MAX)) {
            *fate = Fate::Refused(refusal);
            return Ok(());
        }
        session.append_stream(mailbox, like, octets, Box::pin(with_crlf(message)), fate).await?;
        if !wants_folder(fate) {
            return Ok(());
        }
        make(session, mailbox).await?;
        *fate = Fate::Waiting;
        session.append_stream(mailbox, like, octets, Box::pin(with_crlf(message)), fate).await
    }

    /// Logs in and says what a person may want to know of the server. `routes` are what is to lead there.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    pub async fn probe(&self, routes: impl IntoIterator<Item = &Route>) -> Result<String, String> {
        let session = self.sessions.open().await.map_err(|fault| self.sessions.explain(&fault))?;
        let able = session.capabilities().clone();
        let told = greeting(session).await;
        match routes.into_iter().all(|route| labels::are_known(route, &able)) {
            true => Ok(told),
            false => Err(self.sessions.at(labels::UNKNOWN)),
        }
    }

    /// Logs in, as [`ImapFolder::probe`], for who has words of their own for what is wrong.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn log_in(&self) -> Result<String, Fault> {
        Ok(greeting(self.sessions.open().await?).await)
    }

    /// Logs out of the sessions that nobody uses.
    pub async fn close_idle(&self) {
        self.sessions.close_idle().await;
    }

    /// The server's name for a folder. INBOX is INBOX everywhere; for others the server is asked once.
    async fn mailbox(&self, session: &mut Session, folder: &str) -> Result<Mailbox, Error> {
        if folder.eq_ignore_ascii_case("INBOX") {
            return Namespace::default().mailbox(folder);
        }
        let (cell, purpose, usual) = match folder {
            JUNK => (&self.junk, Purpose::Junk, "Junk"),
            // What is archived on Gmail is only in the folder for all mail.
            ARCHIVE if session.capabilities().gmail => (&self.archive, Purpose::All, "Archive"),
            ARCHIVE => (&self.archive, Purpose::Archive, "Archive"),
            _ => return self.name(session, folder).await,
        };
        Ok(cell.get_or_try_init(|| self.find(session, purpose, usual)).await?.clone())
    }

    /// The folder that the server has for this, else one that says so by its name.
    async fn find(&self, session: &mut Session, purpose: Purpose, usual: &str) -> Result<Mailbox, Error> {
        match session.special(&purpose).await? {
            Some(special) => Ok(special),
            None => self.name(session, usual).await,
        }
    }

    async fn name(&self, session: &mut Session, folder: &str) -> Result<Mailbox, Error> {
        self.namespace.get_or_try_init(|| session.namespace()).await?.mailbox(folder)
    }
}

/// What a person may want to know of a server. Ends the session.
async fn greeting(session: Session) -> String {
    let able = session.capabilities();
    let storing = match (able.literal_plus, able.multi_append) {
        (true, true) => "many messages at a time (MULTIAPPEND, LITERAL+)",
        (true, false) => "one message after the other without waiting (LITERAL+)",
        (false, _) => "one message at a time (no LITERAL+)",
    };
    let encrypted = session.certificate().as_ref().map_or("not encrypted".into(), ToString::to_string);
    let told = format!("{encrypted}; stores {storing}");
    // It was asked, and it answered: how it says goodbye does not matter.
    let _ = session.logout().await;
    told
}

fn is_small(outgoing: &Outgoing) -> bool {
    outgoing.message.bytes().is_some()
}

/// Makes the folder. Another session may have been quicker.
async fn make(session: &mut Session, mailbox: &Mailbox) -> Result<(), Error> {
    match session.create(mailbox).await {
        Err(Error::Refused { refusal, .. }) if refusal.is("ALREADYEXISTS") => Ok(()),
        made => made,
    }
}

fn wants_folder(fate: &Fate) -> bool {
    matches!(fate, Fate::Refused(refusal) if verdict::wants_folder(refusal))
}

/// What the server would answer, had it been asked.
fn over_limit(octets: u64, limit: u64) -> Option<Refusal> {
    (octets > limit).then(|| Refusal {
        bad: false,
        code: Some("TOOBIG".into()),
        text: format!("the message has {octets} octets, and the server takes {limit} (APPENDLIMIT)"),
    })
}

/// The message for APPEND; less its bytes where they must be streamed.
fn item(message: &Message, route: &Route) -> Item {
    Item {
        seen: route.mark_read,
        internal_date: internal_date(message, Utc::now()),
        bytes: message.bytes().map(|bytes| LineEnds::default().next(bytes)).unwrap_or_default(),
    }
}

/// When the message arrived: its topmost Received date, else its Date, else now. A date that cannot be is none.
fn internal_date(message: &Message, now: DateTime<Utc>) -> DateTime<FixedOffset> {
    let dates = [message.received_at(), message.field("Date").and_then(|date| parse_date(&date))];
    dates.into_iter().flatten().find(|date| is_plausible(date, now)).unwrap_or_else(|| now.fixed_offset())
}

fn with_crlf(message: &Message) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let start = (message.chunks(), LineEnds::default());
    futures_util::stream::try_unfold(start, |(mut chunks, mut line_ends)| async move {
        let Some(chunk) = chunks.next().await? else { return Ok(None) };
        let chunk = line_ends.next(&chunk);
        Ok(Some((chunk, (chunks, line_ends))))
    })
}

/// Proof of a delivery, where the server gave one.
fn receipt(uid: Option<Uid>) -> Receipt {
    uid.map_or(Receipt::Stored, |Uid { uid_validity, uid }| Receipt::Uid { uid_validity, uid })
}

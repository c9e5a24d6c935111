//! The sessions with one server: few, shared, reused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::{Settings, verdict};
use crate::destination::outage::Outage;
use crate::imap::{Error, Fate, FolderState, Session, Uid};
use crate::message::Verdict;
use crate::net::Connector;

/// Sessions at a time. Servers allow few: 10 is Dovecot's default, and its owner's mail programs need some.
const MOST_SESSIONS: usize = 4;
/// After so long without a command a session is tried before it is used.
const FRESH: Duration = Duration::from_secs(5);
/// After so long without a command a session is not kept any more.
const LONG_IDLE: Duration = Duration::from_secs(30);
/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Opens sessions, lends them, and keeps those that nobody needs at the moment.
#[derive(Debug)]
pub struct Sessions {
    pub settings: Settings,
    connector: Connector,
    /// One permit for each session that there may be.
    places: Semaphore,
    lent: AtomicUsize,
    /// Permits that are gone because the server did not allow their sessions.
    refused: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
    outage: Outage,
}

/// A session at rest.
#[derive(Debug)]
struct Idle {
    session: Session,
    folders: HashMap<String, FolderState>,
    since: Instant,
}

/// A session in use. It goes back by [`Sessions::keep`]; where it is dropped, its connection ends, which is
/// right after any error and where nobody waits for the answer any more.
#[derive(Debug)]
pub struct Lease<'a> {
    pub session: Session,
    /// The folders as far as this session knows them: what is remembered of UIDNEXT is a lower bound.
    pub folders: HashMap<String, FolderState>,
    _place: Place<'a>,
}

/// A place among the sessions, taken as long as its session is lent.
#[derive(Debug)]
struct Place<'a> {
    lent: &'a AtomicUsize,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sessions {
    pub fn new(settings: Settings, connector: Connector) -> Sessions {
        Sessions {
            settings,
            connector,
            places: Semaphore::new(MOST_SESSIONS),
            lent: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            idle: Mutex::default(),
            outage: Outage::default(),
        }
    }

    /// A session that works, once there is one to spare, for who has been waiting for his turn since `asked`.
    ///
    /// # Errors
    /// The verdict on whatever was to go by it.
    pub async fn lease(&self, asked: Instant) -> Result<Lease<'_>, Verdict> {
        loop {
            let permit = self.places.acquire().await.expect("never closed");
            if let Some(verdict) = self.outage.since(asked) {
                return Err(verdict);
            }
            while let Some(mut idle) = self.take_idle() {
                if idle.since.elapsed() < FRESH || idle.session.noop().await.is_ok() {
                    return Ok(self.lend(permit, idle.session, idle.folders));
                }
            }
            match self.open().await {
                Ok(session) => return Ok(self.lend(permit, session, HashMap::new())),
                // Others are in, so this server allows only so many: make do with those.
                Err(Error::Bye(_) | Error::Refused { .. }) if self.lent.load(Ordering::Relaxed) > 0 => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    permit.forget();
                }
                // The one that is in has just come back.
                Err(Error::Bye(_) | Error::Refused { .. }) if self.has_idle() => {}
                Err(fault) => return Err(self.out_of_reach(&fault)),
            }
        }
    }

    /// The verdict on a fault of the server, which those who wait for it need not find again.
    pub fn out_of_reach(&self, fault: &Error) -> Verdict {
        let verdict = self.verdict_of(fault);
        self.outage.note(&verdict);
        verdict
    }

    pub fn verdict_of(&self, fault: &Error) -> Verdict {
        verdict::of_error(fault, self.explain(fault))
    }

    fn lend<'a>(
        &'a self,
        permit: SemaphorePermit<'a>,
        session: Session,
        folders: HashMap<String, FolderState>,
    ) -> Lease<'a> {
        self.lent.fetch_add(1, Ordering::Relaxed);
        Lease { session, folders, _place: Place { lent: &self.lent, _permit: permit } }
    }

    fn has_idle(&self) -> bool {
        !self.idle.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take_idle(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Takes a session back that is good for more.
    pub fn keep(&self, lease: Lease<'_>) {
        let idle = Idle { session: lease.session, folders: lease.folders, since: Instant::now() };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
    }

    /// A session of its own, beside those that are shared.
    pub async fn open(&self) -> Result<Session, Error> {
        Session::open(&self.connector, &self.settings.user, &self.settings.login).await
    }

    /// Logs out of the sessions that nobody has used for a while. After that the server may be asked for more than
    /// it allowed.
    pub async fn close_idle(&self) {
        let idle: Vec<Idle> = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.extract_if(.., |idle| idle.since.elapsed() >= LONG_IDLE).collect()
        };
        let goodbyes = idle.into_iter().map(|idle| idle.session.logout());
        // The connections end in any case, and nobody is to wait for a server that is gone.
        let _ = tokio::time::timeout(GOODBYE, join_all(goodbyes)).await;
        self.places.add_permits(self.refused.swap(0, Ordering::Relaxed));
    }

    /// What went wrong, where, and what to do next.
    pub fn explain(&self, fault: &Error) -> String {
        match fault {
            Error::Refused { command: "LOGIN" | "AUTHENTICATE", refusal } => {
                let user = &self.settings.user;
                let is_busy = refusal.is("UNAVAILABLE") || verdict::is_throttle(refusal);
                let advice = if is_busy { "" } else { "; check `user` and `password`" };
                self.at(&format!("the login of {user} was refused ({refusal}){advice}"))
            }
            Error::Folder(reason) => reason.clone(),
            // That is no matter of the server's.
            Error::SignIn(reason) => reason.to_string(),
            fault => self.at(&fault.to_string()),
        }
    }

    /// What is said of the server, with its place.
    pub fn at(&self, text: &str) -> String {
        let peer = &self.settings.peer;
        format!("{}:{}: {text}", peer.host, peer.port)
    }
}

impl Lease<'_> {
    /// The next message's UID is above those of the messages just stored. Where a server keeps one of these to itself,
    /// though it has UIDPLUS, the folder must be asked about again: only UIDs tell twins apart.
    pub fn learn(&mut self, folder: &str, fates: &[Fate]) {
        for fate in fates {
            match *fate {
                Fate::Stored(Some(Uid { uid_validity, uid })) => {
                    let state = FolderState { uid_validity, uid_next: uid.saturating_add(1) };
                    let known = self.folders.entry(folder.to_owned()).or_insert(state);
                    if known.uid_validity != uid_validity || known.uid_next < state.uid_next {
                        *known = state;
                    }
                }
                Fate::Stored(None) => drop(self.folders.remove(folder)),
                Fate::Waiting
                | Fate::Sent
                | Fate::Refused(_)
                | Fate::Merged
                | Fate::Alike(_)
                | Fate::Unseen => {}
            }
        }
    }
}

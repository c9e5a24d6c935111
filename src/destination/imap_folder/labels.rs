//! The labels of a route, on Gmail: made before anything is sent, and set once it is stored.
//!
//! A message that is stored is delivered, with its labels or without. Where an attempt ends between the two, the look-up
//! after it sets them: to set a label twice changes nothing.

use std::sync::PoisonError;

use tokio::time::Instant;
use tracing::warn;

use super::merged::uid_of;
use super::{ImapFolder, verdict};
use crate::imap::{Capabilities, Error, Fate, Mailbox, Refusal, Session};
use crate::message::{Found, Receipt, Route, Verdict};

/// What is wrong where a server knows no labels.
pub const UNKNOWN: &str = "the server knows no labels, which are Gmail's (X-GM-EXT-1); name a folder instead";

/// Whether the server can do what the route wants. A label goes to a UID, which only a server with UIDPLUS tells.
pub fn are_known(route: &Route, able: &Capabilities) -> bool {
    route.labels.is_empty() || able.gmail && able.uid_plus
}

/// The server takes no command now, and will later.
fn passes(refusal: &Refusal) -> bool {
    verdict::concerns_server(refusal) || verdict::is_throttle(refusal)
}

/// The session has ended before it was seen what Gmail made of what is stored: it counts as if its answer had been lost.
pub fn are_missing(fates: &mut [Fate]) {
    let is_stored = |fate: &&mut Fate| matches!(fate, Fate::Stored(_) | Fate::Alike(_));
    fates.iter_mut().filter(is_stored).for_each(|fate| *fate = Fate::Sent);
}

impl ImapFolder {
    /// Makes the route's labels, where they are not known to be there.
    ///
    /// # Errors
    /// The verdict on all messages, where that cannot be: a label that is refused now would be so later.
    pub async fn make_labels(&self, route: &Route) -> Result<(), Verdict> {
        let missing: Vec<&String> = {
            let known = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
            route.labels.iter().filter(|label| !known.contains(*label)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let mut lease = self.sessions.lease(Instant::now()).await?;
        if !are_known(route, lease.session.capabilities()) {
            let reason = self.sessions.at(UNKNOWN);
            self.sessions.keep(lease);
            return Err(Verdict::Deferred { reason, retry_after: None, counts_for_destination: false });
        }
        for label in missing {
            let made = self.make_label(&mut lease.session, label).await;
            made.map_err(|fault| self.sessions.verdict_of(&fault))?;
            self.labels.lock().unwrap_or_else(PoisonError::into_inner).insert(label.clone());
        }
        self.sessions.keep(lease);
        Ok(())
    }

    /// A label is a folder, too. Whether there is such a one is seen by making it: in a question for it, `%` stands for
    /// others.
    async fn make_label(&self, session: &mut Session, label: &str) -> Result<(), Error> {
        let mailbox = self.name(session, label).await?;
        match super::make(session, &mailbox).await {
            Err(Error::Refused { .. }) if session.exists(&mailbox).await? => Ok(()),
            made => made,
        }
    }

    /// Labels what of a batch has just been stored.
    pub async fn label(
        &self,
        session: &mut Session,
        route: &Route,
        mailbox: &Mailbox,
        fates: &[Fate],
    ) -> Result<(), Error> {
        if route.labels.is_empty() {
            return Ok(());
        }
        let uids: Vec<u32> = fates.iter().filter_map(uid_of).collect();
        self.label_all(session, route, mailbox, &uids).await
    }

    /// Labels what a look-up has found.
    pub async fn label_found(
        &self,
        session: &mut Session,
        route: Option<&Route>,
        mailbox: &Mailbox,
        found: &[Found],
    ) -> Result<(), Error> {
        let Some(route) =
            route.filter(|route| !route.labels.is_empty() && are_known(route, session.capabilities()))
        else {
            return Ok(());
        };
        let uid = |found: &Found| match found {
            Found::Found { receipt } | Found::Changed { receipt, .. } => match receipt {
                Receipt::Uid { uid, .. } => Some(*uid),
                _ => None,
            },
            Found::Absent | Found::CannotSay { .. } | Found::Unreachable { .. } => None,
        };
        let uids: Vec<u32> = found.iter().filter_map(uid).collect();
        self.label_all(session, route, mailbox, &uids).await
    }

    /// Labels messages by their UIDs. A refusal that will not pass is told, and keeps no message from being delivered.
    async fn label_all(
        &self,
        session: &mut Session,
        route: &Route,
        mailbox: &Mailbox,
        uids: &[u32],
    ) -> Result<(), Error> {
        let mut labelled = self.store_labels(session, route, mailbox, uids).await;
        // A label may have been taken away since, or the config may have another one now.
        if matches!(&labelled, Err(Error::Refused { refusal, .. }) if !passes(refusal)) {
            labelled = match self.make_all(session, &route.labels).await {
                Ok(()) => self.store_labels(session, route, mailbox, uids).await,
                refused => refused,
            };
        }
        match labelled {
            Err(Error::Refused { refusal, .. }) if !passes(&refusal) => {
                self.tell_unlabelled(route, &refusal);
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn make_all(&self, session: &mut Session, labels: &[String]) -> Result<(), Error> {
        for label in labels {
            self.make_label(session, label).await?;
        }
        Ok(())
    }

    async fn store_labels(
        &self,
        session: &mut Session,
        route: &Route,
        mailbox: &Mailbox,
        uids: &[u32],
    ) -> Result<(), Error> {
        let mut labels = Vec::new();
        for label in &route.labels {
            labels.push(self.name(session, label).await?);
        }
        session.add_labels(mailbox, uids, &labels).await
    }

    fn tell_unlabelled(&self, route: &Route, refusal: &Refusal) {
        let text = self
            .sessions
            .at(&format!("the labels were refused ({refusal}); the messages are there without them"));
        warn!(destination = %route.to, "{text}");
    }
}

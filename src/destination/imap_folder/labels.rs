//! The labels of a route, on Gmail: made before anything is sent, and set once it is stored.
//!
//! A message that is stored is delivered, with its labels or without. Where an attempt ends between the two, the look-up
//! after it sets them: to set a label twice changes nothing.

use std::sync::PoisonError;

use tokio::time::Instant;
use tracing::warn;

use super::ImapFolder;
use super::merged::uid_of;
use crate::imap::{Capabilities, Error, Fate, Mailbox, Refusal, Session};
use crate::message::{Found, Receipt, Route, Verdict};

/// What is wrong where a server knows no labels.
pub const UNKNOWN: &str = "the server knows no labels, which are Gmail's (X-GM-EXT-1); take `labels` out of `deliver` and \
    name a `folder`";

/// Whether the server can do what the route wants. A label goes to a UID, which only a server with UIDPLUS tells.
pub fn are_known(route: &Route, able: &Capabilities) -> bool {
    route.labels.is_empty() || able.gmail && able.uid_plus
}

/// The session has ended before it was seen what Gmail made of what is stored: it counts as if its answer had been lost.
pub fn are_missing(fates: &mut [Fate]) {
    let is_stored = |fate: &&mut Fate| matches!(fate, Fate::Stored(_));
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

    /// A label is a folder, too.
    async fn make_label(&self, session: &mut Session, label: &str) -> Result<(), Error> {
        let mailbox = self.name(session, label).await?;
        if session.exists(&mailbox).await? { Ok(()) } else { super::make(session, &mailbox).await }
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
            Found::Found { receipt: Receipt::Uid { uid, .. } } => Some(*uid),
            _ => None,
        };
        let uids: Vec<u32> = found.iter().filter_map(uid).collect();
        self.label_all(session, route, mailbox, &uids).await
    }

    /// Labels messages by their UIDs. A refusal is told, and keeps no message from being delivered.
    async fn label_all(
        &self,
        session: &mut Session,
        route: &Route,
        mailbox: &Mailbox,
        uids: &[u32],
    ) -> Result<(), Error> {
        let labelled = async {
            let mut labels = Vec::new();
            for label in &route.labels {
                labels.push(self.name(session, label).await?);
            }
            session.add_labels(mailbox, uids, &labels).await
        };
        match labelled.await {
            Err(Error::Refused { refusal, .. }) => {
                self.tell_unlabelled(route, &refusal);
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn tell_unlabelled(&self, route: &Route, refusal: &Refusal) {
        let text = self
            .sessions
            .at(&format!("the labels were refused ({refusal}); the messages are there without them"));
        warn!(destination = %route.to, "{text}");
    }
}

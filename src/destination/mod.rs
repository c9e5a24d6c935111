//! Where mail goes: an IMAP folder, Gmail or a webhook, behind the verbs that poll uses.
//!
//! The order is always [`prepare`](Destination::prepare), then a commit of the marks to the ledger, then
//! [`deliver`](Destination::deliver): so that a message whose answer is lost can be
//! [looked up](Destination::look_up) before it is sent again.
//!
//! Another kind of destination is a file beside these and a variant here; the compiler lists the rest.

mod body;
pub mod gmail;
mod http;
mod identity;
pub mod imap_folder;
pub mod notifier;
mod outage;
mod turns;
pub mod webhook;

use std::fmt::Display;

use crate::message::{DestinationName, Found, Mark, Message, Outgoing, Route, Sought, Verdict};

/// One destination, shared by all accounts that deliver to it.
#[derive(Debug)]
pub struct Destination {
    name: DestinationName,
    kind: Kind,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
pub enum Kind {
    ImapFolder(imap_folder::ImapFolder),
    Webhook(webhook::Webhook),
    Gmail(gmail::Gmail),
    /// The config names it, but it cannot be used, and this is why: a secret that cannot be read, a `ca_file` that
    /// is not there. Its mail waits at the source; other destinations go on.
    Unusable(String),
}

impl Destination {
    pub fn new(name: DestinationName, kind: Kind) -> Destination {
        Destination { name, kind }
    }

    pub fn name(&self) -> &DestinationName {
        &self.name
    }

    /// How many messages it takes at once; `None`: it takes what it is given together.
    pub fn at_once(&self) -> Option<usize> {
        match &self.kind {
            Kind::Webhook(webhook) => Some(webhook.at_once()),
            Kind::Gmail(gmail) => Some(gmail.at_once()),
            Kind::ImapFolder(_) | Kind::Unusable(_) => None,
        }
    }

    /// Whether it may be sent only so much in any 24 hours; how much, the ledger keeps.
    pub fn has_budget(&self) -> bool {
        match &self.kind {
            Kind::ImapFolder(folder) => folder.has_budget(),
            Kind::Webhook(_) | Kind::Gmail(_) | Kind::Unusable(_) => false,
        }
    }

    /// Gets ready to take messages, ahead of [`Destination::prepare`]: connects, logs in, makes the folder. Whether it
    /// worked shows there.
    pub async fn reach(&self, route: &Route) {
        if let Kind::ImapFolder(folder) = &self.kind {
            folder.reach(route).await;
        }
    }

    /// Makes the folder if there must be one, and says how each message will be recognised there. One mark for each
    /// message, in the same order.
    ///
    /// # Errors
    /// One verdict for all of `messages` where the destination cannot take any now.
    pub async fn prepare(&self, route: &Route, messages: &[&Message]) -> Result<Vec<Mark>, Verdict> {
        match &self.kind {
            Kind::ImapFolder(folder) => folder.prepare(route, messages).await,
            Kind::Webhook(webhook) => webhook.prepare(messages).await,
            Kind::Gmail(gmail) => gmail.prepare(route, messages).await,
            Kind::Unusable(reason) => Err(Verdict::Unreachable { reason: reason.clone(), retry_after: None }),
        }
    }

    /// Sends messages whose marks the ledger holds. One verdict for each, in the same order.
    pub async fn deliver(&self, route: &Route, outgoing: &[Outgoing]) -> Vec<Verdict> {
        match &self.kind {
            Kind::ImapFolder(folder) => folder.deliver(route, outgoing).await,
            Kind::Webhook(webhook) => webhook.deliver(route.recipient.as_deref(), outgoing).await,
            Kind::Gmail(gmail) => gmail.deliver(route, outgoing).await,
            Kind::Unusable(reason) => {
                let verdict = Verdict::Unreachable { reason: reason.clone(), retry_after: None };
                vec![verdict; outgoing.len()]
            }
        }
    }

    /// Looks for messages whose answer was lost. `taken` are those in their folder that other deliveries own, by
    /// UIDVALIDITY and UID. What is found gets the labels of `route`, where there still is one.
    pub async fn look_up(&self, route: Option<&Route>, marks: &[Mark], taken: &[(u32, u32)]) -> Vec<Found> {
        match &self.kind {
            Kind::ImapFolder(folder) => folder.look_up(route, marks, taken).await,
            Kind::Webhook(_) => {
                vec![Found::CannotSay { reason: "a webhook cannot be asked".to_owned() }; marks.len()]
            }
            Kind::Gmail(_) => {
                let reason = "a sign-in that may add mail may not look for it".to_owned();
                vec![Found::CannotSay { reason }; marks.len()]
            }
            Kind::Unusable(reason) => vec![Found::Unreachable { reason: reason.clone() }; marks.len()],
        }
    }

    /// Looks for messages that an earlier life of the ledger may have delivered (its rule "unknown past"). Each
    /// mark's UIDNEXT says from where; `taken` are UIDs in their folder that other deliveries own.
    pub async fn look_for_past(&self, sought: &[Sought], taken: &[u32]) -> Vec<Found> {
        match &self.kind {
            Kind::ImapFolder(folder) => folder.look_for_past(sought, taken).await,
            // A webhook's receiver recognises a message by its webhook-id, which outlives the ledger.
            Kind::Webhook(_) => vec![Found::Absent; sought.len()],
            // Gmail recognises it by its Message-ID.
            Kind::Gmail(_) => vec![Found::Absent; sought.len()],
            Kind::Unusable(reason) => vec![Found::Unreachable { reason: reason.clone() }; sought.len()],
        }
    }

    /// Logs in, or connects, without moving mail, and says what was met. `routes` are what is to lead there.
    ///
    /// # Errors
    /// What is wrong and what to do, as a clause that can follow the destination's name; also where it cannot do what a
    /// route wants.
    pub async fn probe(&self, routes: impl IntoIterator<Item = &Route>) -> Result<String, String> {
        match &self.kind {
            Kind::ImapFolder(folder) => folder.probe(routes).await,
            Kind::Webhook(webhook) => webhook.probe().await,
            Kind::Gmail(gmail) => gmail.probe().await,
            Kind::Unusable(reason) => Err(reason.clone()),
        }
    }

    /// The request that a webhook would get; `None` where the destination is none.
    ///
    /// # Errors
    /// One sentence on why there would be none.
    pub async fn preview(
        &self,
        route: &Route,
        outgoing: &Outgoing,
    ) -> Option<Result<webhook::Preview, String>> {
        match &self.kind {
            Kind::ImapFolder(_) | Kind::Gmail(_) => None,
            Kind::Webhook(webhook) => Some(webhook.preview(route.recipient.as_deref(), outgoing).await),
            Kind::Unusable(reason) => Some(Err(reason.clone())),
        }
    }

    /// Lets go of connections that have had nothing to do for a while.
    pub async fn close_idle(&self) {
        if let Kind::ImapFolder(folder) = &self.kind {
            folder.close_idle().await;
        }
    }
}

/// The verdict on a message that cannot be read back from this machine's disk.
fn unreadable(fault: &dyn Display) -> Verdict {
    Verdict::Deferred { reason: fault.to_string(), retry_after: None, counts_for_destination: false }
}

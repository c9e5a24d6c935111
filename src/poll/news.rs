//! What a poll tells while it goes on: to whoever watches its progress, and to the log.

use tracing::{info, warn};

use crate::ledger::Settlement;
use crate::message::{AccountName, DestinationName};

use super::Poll;
use super::batch::{Item, Sent};

/// Whose warnings say no more than what a command like `fetch` says of its polls when they have ended.
pub const OUTCOMES: &str = "mailferry::outcomes";

/// How far a poll has come.
#[derive(Clone, Debug)]
pub struct Progress {
    pub account: AccountName,
    /// Deliveries that this poll has found to make, and those it is done with.
    pub deliveries: u64,
    pub done: u64,
    /// Octets retrieved.
    pub bytes: u64,
}

impl Poll<'_> {
    pub(super) fn report(&self) {
        // Nobody may be listening.
        let _ = self.context.progress.send(Progress {
            account: self.account.name.clone(),
            deliveries: self.deliveries,
            done: self.done,
            bytes: self.summary.bytes,
        });
    }

    /// The one line that each verdict has in the log, and one more where the destination has changed its state: once for
    /// each change, not for each attempt.
    pub(super) fn log_settlement(
        &self,
        destination: &DestinationName,
        sent: &[Sent],
        settlement: &Settlement,
    ) {
        for (sent, settled) in sent.iter().zip(&settlement.deliveries) {
            info!(
                account = %self.account.name,
                %destination,
                uidl = %sent.uidl,
                octets = sent.octets,
                verdict = settled.state.as_str(),
                text = settled.text,
                "delivery"
            );
        }
        if let Some(state) = &settlement.turned {
            let reason = settlement.deliveries.last().map(|settled| settled.text.as_str());
            match state.as_str() {
                "ok" => info!(%destination, state, "this destination has changed its state"),
                _ => {
                    warn!(target: OUTCOMES, %destination, state, reason, "this destination has changed its state");
                }
            }
        }
    }

    /// The same for a message that did not come so far.
    pub(super) fn log_failure(&self, item: &Item, verdict: &str, text: &str) {
        info!(account = %self.account.name, uidl = %item.due.uidl, octets = item.due.size, verdict, text, "message");
    }
}

//! What the mailbox holds, and what of it is new.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::ledger::{Intake, MessageNumbers, Past, Shortcut};
use crate::message::{Import, Listing, received_at};
use crate::pop3::{self, Session, UidlListing};

use super::slices::View;
use super::{Failure, Poll};

/// A mailbox as it is found in this session.
pub(super) struct Mailbox {
    pub listing: Arc<Listing>,
    /// See [`TakenIn::vague`](crate::ledger::TakenIn::vague).
    pub vague: MessageNumbers,
    /// Messages that were listed last time and are not now.
    pub gone: u64,
    /// Of the reply to UIDL.
    pub hash: [u8; 32],
}

impl Poll<'_> {
    /// Lists the mailbox and lets the ledger take in what is new. Sizes are asked for only if something changed.
    pub(super) async fn list(
        &mut self,
        session: &mut Session,
        past: &Past,
        view: View,
    ) -> Result<Mailbox, Failure> {
        let UidlListing { stat, rows: mut listing, hash } = session.uidl().await?;
        let shortcut = Shortcut { hash, count: u64::from(stat.count), octets: stat.octets };
        let unchanged = past.shortcut.as_ref() == Some(&shortcut);
        if !unchanged {
            if stat.count > 0 && past.shortcut.is_none_or(|known| known.count <= shortcut.count) {
                self.reach_destinations().await?;
            }
            session.list(&mut listing).await?;
        }
        let listing = Arc::new(listing);
        let fresh = if unchanged { None } else { self.fresh(session, past, view, &listing).await? };
        if self.is_replaced() {
            // It may be the listing of another mailbox than the one that is configured now.
            return Err(Failure::Replaced);
        }
        let intake = Intake {
            account: self.account.name.clone(),
            epoch: past.epoch,
            routes: self.ask.routes.clone(),
            folders: self.account.settings.routes.iter().map(|route| route.folder.clone()).collect(),
            config_text: format!("{:?}", self.account.settings),
            listing: Arc::clone(&listing),
            unchanged,
            shortcut: Some(shortcut),
            is_recent: matches!(view, View::Recent { .. }),
            // What is behind the first slice, or was hidden, may have been delivered by a mailferry whose ledger is lost.
            past_is_unknown: view != View::Whole && !past.is_known,
            fresh,
            now: self.now(),
        };
        let Some(taken_in) = self.context.ledger.take_in(intake).await? else {
            return Err(Failure::Replaced);
        };
        self.summary.new += taken_in.new;
        self.deliveries += taken_in.new * self.ask.routes.len() as u64;
        self.report();
        if view == (View::Recent { is_all: true }) {
            self.saw_all_recent(past).await?;
        }
        Ok(Mailbox { listing, vague: taken_in.vague, gone: taken_in.gone, hash })
    }

    /// With `import = "new"`: which messages are dated after the account was configured. Asked at the first listing,
    /// and when hardly anything listed is known, as after a provider has moved.
    async fn fresh(
        &self,
        session: &mut Session,
        past: &Past,
        view: View,
        listing: &Listing,
    ) -> Result<Option<Vec<u32>>, Failure> {
        // Where nothing can be dated only the first listing is old mail: twenty messages that come at once are new.
        let is_dated = session.capabilities().top;
        let wanted = self.account.settings.import == Import::New
            && (past.first_listing
                // Behind the first slice there is old mail, too, and among the recent where they are seen for the first
                // time.
                || is_dated
                    && (view == View::Slice
                        || view != View::Whole && !past.was_recent
                        || self.context.ledger.is_mostly_unknown(&self.account.name, listing).await?));
        if !wanted {
            return Ok(None);
        }
        // A message whose header cannot be had, whenever it is asked for, must not hold up the others for ever.
        let is_strict = past.failures_in_a_row < IN_VAIN;
        let fresh = dated_after(session, listing, past.cut_off, is_strict).await?;
        Ok(fresh.or_else(|| past.first_listing.then(Vec::new)))
    }

    /// There seems to be mail: the destinations can be reached while it is being listed and retrieved. Whether that
    /// works shows when the first batch is sent.
    async fn reach_destinations(&self) -> Result<(), Failure> {
        for route in &self.account.settings.routes {
            // One that rests is left in peace.
            if let Some(destination) = self.context.destinations.get(&route.to)
                && self.context.ledger.is_well(&route.to).await?
            {
                let (destination, route) = (Arc::clone(destination), route.clone());
                tokio::spawn(async move { destination.reach(&route).await });
            }
        }
        Ok(())
    }
}

/// So many older messages in a row end the search, which begins with the newest.
const OLDER_IN_A_ROW: usize = 20;

/// So many messages in a row that are all damaged on the server's disk are less likely than a server that shows none now.
const WITHHELD_IN_A_ROW: usize = 3;

/// How many headers are asked for at a time.
const AT_A_TIME: usize = 20;

/// After so many polls in vain some dates may be missing.
const IN_VAIN: u32 = 3;

/// The numbers, sorted, of the messages whose topmost Received date is not before `cut_off`. What has no such date counts
/// as new. `None` where the server has no TOP, so that nothing can be dated.
///
/// # Errors
/// [`pop3::Error::Refused`] where a refusal will pass, so that the date can be had later: any, or, if not `is_strict`, where
/// the server has shown none at all, or refuses one after the other.
async fn dated_after(
    session: &mut Session,
    listing: &Listing,
    cut_off: DateTime<Utc>,
    is_strict: bool,
) -> Result<Option<Vec<u32>>, pop3::Error> {
    let mut fresh = Vec::new();
    let (mut older_in_a_row, mut withheld_in_a_row) = (0, 0);
    let mut newest_first = listing.iter().rev().map(|row| row.number);
    let mut numbers: Vec<u32> = Vec::with_capacity(AT_A_TIME);
    while older_in_a_row < OLDER_IN_A_ROW {
        numbers.extend(newest_first.by_ref().take(AT_A_TIME - numbers.len()));
        if numbers.is_empty() {
            break;
        }
        let is_asked = session.capabilities().top;
        let dates = if is_asked { session.top(&numbers, received_at).await? } else { Vec::new() };
        // Also where it has announced TOP, and does not know it.
        if !session.capabilities().top {
            return Ok(None);
        }
        for (number, date) in numbers.drain(..dates.len()).zip(dates) {
            let withheld = date.as_ref().err().filter(|refused| refused.is_passing());
            withheld_in_a_row = if withheld.is_some() { withheld_in_a_row + 1 } else { 0 };
            let is_withheld = !session.has_shown_headers() || withheld_in_a_row >= WITHHELD_IN_A_ROW;
            if let Some(refused) = withheld
                && (is_strict || is_withheld)
            {
                return Err(refused.clone().into());
            }
            let date = date.ok().flatten();
            if date.is_some_and(|date| date < cut_off) {
                older_in_a_row += 1;
            } else {
                older_in_a_row = 0;
                fresh.push(number);
            }
            if older_in_a_row >= OLDER_IN_A_ROW {
                break;
            }
        }
    }
    fresh.sort_unstable();
    Ok(Some(fresh))
}

//! The end of a poll: its row in the history, its line in the log, and when the next one is due.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use crate::ledger::{self, Class, Past, PollRecord};
use crate::pop3;
use crate::schedule::{self, Recent, Trouble};

use super::{Failure, OUTCOMES, Poll, Summary};

/// How long to wait where a server wants time between logins but does not say how much.
const LOGIN_DELAY: Duration = Duration::from_secs(15 * 60);

impl Poll<'_> {
    pub(super) async fn conclude(
        mut self,
        started: DateTime<Utc>,
        outcome: Result<(), Failure>,
    ) -> Result<Summary, ledger::Error> {
        let error = match outcome {
            Ok(()) | Err(Failure::Replaced) => None,
            Err(Failure::Ledger(error)) => return Err(error),
            Err(Failure::Account(error)) => Some(error),
        };
        let ended = self.now();
        let past = self.context.ledger.past(&self.account.name).await?;
        let trouble = error.as_ref().map(|error| self.trouble(error, &past, started));
        let next_poll_at = self.next_poll_at(&past, trouble, ended);
        self.summary.deferred = self.context.ledger.pending(&self.account.name).await?;
        self.summary.error = error.as_ref().map(|error| (class(error), self.say(error)));
        self.context
            .ledger
            .record_poll(PollRecord {
                account: self.account.name.clone(),
                started,
                ended,
                new: self.summary.new,
                delivered: self.summary.delivered,
                deleted: self.summary.deleted,
                bytes: self.summary.bytes,
                error: self.summary.error.clone(),
                login_refused: trouble == Some(Trouble::Refused),
                brought_mail: self.has_brought_mail(),
                fails_anew: self.has_brought_mail() && trouble == Some(Trouble::Withheld),
                next_poll_at,
                no_pipelining: self.no_pipelining.then_some(true),
                deletions_cut: self.deletions_cut,
            })
            .await?;
        self.summary.took = (ended - started).to_std().unwrap_or_default();
        self.log(&past);
        Ok(self.summary)
    }

    fn next_poll_at(&self, past: &Past, trouble: Option<Trouble>, now: DateTime<Utc>) -> DateTime<Utc> {
        let last_mail = if self.summary.new > 0 { Some(now) } else { past.last_mail };
        let recent = Recent { last_mail, first_poll: past.first_poll.or(Some(now)) };
        // Its time is another config's to say: it is due now.
        let regular = match self.is_replaced() {
            true => now,
            false => self.account.schedule.next(now, &recent, fastrand::f64()),
        };
        let login_delay = self.summary.login_delay.unwrap_or_default().min(schedule::LONGEST_BACK_OFF);
        let wait = match trouble {
            // The server would show more, if only it let us log in again.
            None if self.more_to_see && !login_delay.is_zero() && !self.is_replaced() => {
                return now + TimeDelta::from_std(login_delay).unwrap_or(TimeDelta::hours(6));
            }
            None => login_delay,
            Some(trouble) => {
                let regular = (regular - now).to_std().unwrap_or_default();
                // Whoever brings some mail each time is not to wait longer each time.
                let failures = if self.has_brought_mail() { 1 } else { past.failures_in_a_row + 1 };
                schedule::back_off(trouble, failures, regular, fastrand::f64()).max(login_delay)
            }
        };
        regular.max(now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::hours(6)))
    }

    /// A server may hand out so much at a time and no more, and a link may hold for so long.
    fn has_brought_mail(&self) -> bool {
        self.summary.delivered > 0 && self.summary.bytes > 0
    }

    /// Where a server does not say that a login comes too soon, a refusal is one of these, as long as it can be. An
    /// account that was never polled may have been logged in to when it was configured.
    fn trouble(&self, error: &pop3::Error, past: &Past, began: DateTime<Utc>) -> Trouble {
        let trouble = trouble(error);
        let Some(delay) = self.account.quirks.login_delay.filter(|_| trouble == Trouble::Refused) else {
            return trouble;
        };
        let last_login = past.last_poll.unwrap_or(past.cut_off);
        // A clock that was set back says nothing.
        let since = (began - last_login).to_std().unwrap_or(delay);
        match delay.checked_sub(since) {
            Some(rest) if !rest.is_zero() => Trouble::LoginDelay(rest),
            _ => trouble,
        }
    }

    fn say(&self, error: &pop3::Error) -> String {
        // That is no matter of the server's.
        if let pop3::Error::SignIn(reason) = error {
            return reason.to_string();
        }
        let peer = &self.account.pop3.peer;
        let hint = match (error, self.account.quirks.login_delay) {
            // It says of a login that comes too soon what it says of a wrong password.
            (pop3::Error::Auth { .. }, Some(delay)) => {
                format!("; or the last login was less than {} minutes ago", delay.as_secs() / 60)
            }
            _ => String::new(),
        };
        format!("{}:{}: {error}{hint}", peer.host, peer.port)
    }

    /// An account that begins to fail, or is well again, is news; that it still fails is not.
    fn log(&self, past: &Past) {
        let account = &self.account.name;
        let summary = &self.summary;
        match &summary.error {
            Some((_, text)) if past.failures_in_a_row == 0 => {
                warn!(target: OUTCOMES, %account, error = %text, "mail of this account cannot be retrieved");
            }
            None if past.failures_in_a_row > 0 => info!(%account, "mail of this account is retrieved again"),
            _ => {}
        }
        info!(
            %account,
            new = summary.new,
            delivered = summary.delivered,
            deferred = summary.deferred,
            parked = summary.parked,
            deleted = summary.deleted,
            bytes = summary.bytes,
            milliseconds = u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX),
            error = summary.error.as_ref().map(|(_, text)| text.as_str()),
            "poll"
        );
    }
}

fn class(error: &pop3::Error) -> Class {
    match error.class() {
        pop3::Class::Local => Class::Local,
        _ => Class::Account,
    }
}

/// What kind of trouble it is decides how soon to try again.
fn trouble(error: &pop3::Error) -> Trouble {
    match (error, error.class()) {
        (pop3::Error::LoginDelay { delay, .. }, _) => Trouble::LoginDelay(delay.unwrap_or(LOGIN_DELAY)),
        (pop3::Error::InUse { .. }, _) => Trouble::InUse,
        (pop3::Error::Refused(refused), _) if refused.is_passing() => Trouble::Withheld,
        (_, pop3::Class::Login) => Trouble::Refused,
        (_, pop3::Class::Trust) => Trouble::Certificate,
        (_, pop3::Class::Network | pop3::Class::Busy) => Trouble::Network,
        (_, pop3::Class::Server) => Trouble::Protocol,
        (_, pop3::Class::Local) => Trouble::Local,
    }
}

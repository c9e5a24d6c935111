//! What other processes ask of the one that holds the ledger: poll, retry, give up, reload, forget. Each is answered in
//! its row.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::ledger::{self, Ledger, Request, answer_of};
use crate::message::AccountName;
use crate::poll::Summary;

/// Who asks for a poll does not wait for look-ups that are further away than this.
pub const PATIENCE: TimeDelta = TimeDelta::minutes(2);

/// Requests that wait for polls.
#[derive(Default)]
pub struct Requests {
    /// Accounts to poll for them, and from when on.
    wanted: HashMap<AccountName, Wanted>,
    /// For each request what its polls did so far: there are several where look-ups had to be waited for.
    open: HashMap<i64, Vec<Answer>>,
}

struct Wanted {
    from: DateTime<Utc>,
    requests: Vec<i64>,
}

/// What of the requests that came in concerns the daemon.
#[derive(Default)]
pub struct Taken {
    /// The agenda may have changed.
    pub changed: bool,
    /// Requests to read the config again, which wait for their answer.
    pub reload: Vec<i64>,
}

impl Requests {
    /// Takes what has come in. `is_running`: a poll of this account is under way.
    pub async fn take(
        &mut self,
        ledger: &Ledger,
        is_known: impl Fn(&AccountName) -> bool,
        is_running: impl Fn(&AccountName) -> bool,
    ) -> Result<Taken, ledger::Error> {
        let mut taken = Taken::default();
        for (id, request) in ledger.open_requests().await? {
            // What is to be forgotten is still needed while it is being polled: the request stays.
            let must_wait =
                matches!(&request, Request::Forget { account } if !is_known(account) && is_running(account));
            if must_wait || self.open.contains_key(&id) {
                continue;
            }
            taken.changed = true;
            match request {
                Request::Poll { account } if !is_known(&account) => {
                    ledger.answer_request(id, "[]".into()).await?;
                }
                Request::Poll { account } => {
                    let from = Utc::now();
                    let wanted = self.wanted.entry(account).or_insert(Wanted { from, requests: Vec::new() });
                    // Others may wait for a look-up; this one does not.
                    wanted.from = wanted.from.min(from);
                    wanted.requests.push(id);
                    self.open.insert(id, Vec::new());
                }
                Request::Retry { account, id: message, destination } => {
                    let outcome =
                        ledger.retry(account.as_ref(), message, destination.as_ref(), Utc::now()).await;
                    ledger.answer_request(id, count_of(outcome)?).await?;
                }
                Request::GiveUp { id: message, destination } => {
                    let outcome = ledger.give_up(message, destination.as_ref(), Utc::now()).await;
                    ledger.answer_request(id, count_of(outcome)?).await?;
                }
                Request::Reload => taken.reload.push(id),
                // A poll would bring back what is to be forgotten.
                Request::Forget { account } if is_known(&account) => {
                    let still =
                        format!("the account {account} is still in the config of the running mailferry");
                    ledger.answer_request(id, answer_of(Err(&still))).await?;
                }
                Request::Forget { account } => {
                    let count = count_of(ledger.forget(&account).await)?;
                    ledger.answer_request(id, answer_of(Ok(&count))).await?;
                }
            }
        }
        Ok(taken)
    }

    /// The agenda, with what was asked for put before it.
    pub fn before<'a>(
        &'a self,
        agenda: &'a BTreeMap<AccountName, DateTime<Utc>>,
    ) -> impl Iterator<Item = (&'a AccountName, DateTime<Utc>)> {
        let wanted = self.wanted.iter().map(|(name, wanted)| (name, wanted.from));
        let planned = agenda.iter().filter(|(name, _)| !self.wanted.contains_key(*name));
        // A request may ask for a later time, after a look-up; the agenda's stands if it is earlier.
        let earlier = |(name, from): (&'a AccountName, DateTime<Utc>)| {
            (name, agenda.get(name).map_or(from, |planned| from.min(*planned)))
        };
        wanted.map(earlier).chain(planned.map(|(name, at)| (name, *at)))
    }

    /// A poll of `name` begins: these requests wait for it.
    pub fn start(&mut self, name: &AccountName) -> Vec<i64> {
        self.wanted.remove(name).map(|wanted| wanted.requests).unwrap_or_default()
    }

    /// Answers requests that no poll can serve.
    pub async fn refuse(&mut self, ledger: &Ledger, waiting: Vec<i64>) -> Result<(), ledger::Error> {
        for id in waiting {
            self.open.remove(&id);
            ledger.answer_request(id, "[]".into()).await?;
        }
        Ok(())
    }

    /// A poll has ended. The answer waits for look-ups that it left.
    pub async fn finish(
        &mut self,
        ledger: &Ledger,
        name: &AccountName,
        summary: &Summary,
        waiting: Vec<i64>,
        look_up_at: Option<DateTime<Utc>>,
    ) -> Result<(), ledger::Error> {
        for id in waiting {
            let Some(answers) = self.open.get_mut(&id) else { continue };
            Answer::add(answers, name, summary);
            if let Some(from) = look_up_at {
                let wanted = self.wanted.entry(name.clone()).or_insert(Wanted { from, requests: Vec::new() });
                wanted.requests.push(id);
                continue;
            }
            let json = serde_json::to_string(&answers).unwrap_or_default();
            self.open.remove(&id);
            ledger.answer_request(id, json).await?;
        }
        Ok(())
    }
}

/// How many deliveries a person's word concerned. What is not in the ledger is that person's mistake, and concerns
/// none.
fn count_of(outcome: Result<u64, ledger::Error>) -> Result<String, ledger::Error> {
    match outcome {
        Err(error) if error.is_usage() => Ok("0".into()),
        outcome => Ok(outcome?.to_string()),
    }
}

/// What became of a poll, for whoever asked for it.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    pub account: String,
    pub new: u64,
    pub delivered: u64,
    pub deferred: u64,
    pub parked: u64,
    pub deleted: u64,
    pub bytes: u64,
    pub error: Option<String>,
}

impl Answer {
    /// Adds a poll to the answers: an account that was polled again counts once, with all that its polls did.
    pub fn add(answers: &mut Vec<Answer>, account: &AccountName, summary: &Summary) {
        let known = answers.iter().position(|answer| answer.account == account.as_str());
        let mut answer = known.map(|at| answers.remove(at)).unwrap_or_default();
        answer.account = account.to_string();
        answer.new += summary.new;
        answer.delivered += summary.delivered;
        // Only the last poll knows what is still open.
        answer.deferred = summary.deferred;
        answer.parked += summary.parked;
        answer.deleted += summary.deleted;
        answer.bytes += summary.bytes;
        answer.error = summary.error.as_ref().map(|(_, text)| text.clone());
        answers.push(answer);
    }
}

//! What other processes ask of the one that holds the ledger: poll, retry, give up. Each is answered in its row.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use crate::ledger::{self, Ledger, Request, RequestId};
use crate::message::AccountName;
use crate::poll::Summary;

use super::Answer;

/// Requests that wait for polls.
#[derive(Default)]
pub struct Requests {
    /// Accounts to poll for them, and from when on.
    wanted: HashMap<AccountName, Wanted>,
    /// For each request: accounts still to come, and the answers so far.
    open: HashMap<RequestId, (usize, Vec<Answer>)>,
}

struct Wanted {
    from: DateTime<Utc>,
    requests: Vec<RequestId>,
}

impl Requests {
    /// Takes what has come in. Returns whether the agenda may have changed.
    pub async fn take(
        &mut self,
        ledger: &Ledger,
        all: &[AccountName],
        is_known: impl Fn(&AccountName) -> bool,
    ) -> Result<bool, ledger::Error> {
        let mut changed = false;
        for (id, request) in ledger.open_requests().await? {
            if self.open.contains_key(&id) {
                continue;
            }
            changed = true;
            match request {
                Request::Poll { account: Some(name) } if !is_known(&name) => {
                    ledger.answer_request(id, "[]").await?;
                }
                Request::Poll { account } => {
                    let names = account.map_or_else(|| all.to_vec(), |name| vec![name]);
                    self.open.insert(id, (names.len(), Vec::new()));
                    for name in names {
                        let wanted = self.wanted.entry(name);
                        let wanted = wanted.or_insert(Wanted { from: Utc::now(), requests: Vec::new() });
                        wanted.requests.push(id);
                    }
                }
                Request::Retry { account, id: message } => {
                    let count = ledger.retry(account.as_ref(), message, Utc::now()).await?;
                    ledger.answer_request(id, &count.to_string()).await?;
                }
                Request::GiveUp { id: message, destination } => {
                    let count = ledger.give_up(message, destination.as_ref(), Utc::now()).await?;
                    ledger.answer_request(id, &count.to_string()).await?;
                }
            }
        }
        Ok(changed)
    }

    /// The agenda, with what was asked for put before it.
    pub fn first(&self, mut agenda: BTreeMap<AccountName, DateTime<Utc>>) -> BTreeMap<AccountName, DateTime<Utc>> {
        for (name, wanted) in &self.wanted {
            agenda.entry(name.clone()).and_modify(|at| *at = wanted.from.min(*at)).or_insert(wanted.from);
        }
        agenda
    }

    /// A poll of `name` begins: these requests wait for it.
    pub fn start(&mut self, name: &AccountName) -> Vec<RequestId> {
        self.wanted.remove(name).map(|wanted| wanted.requests).unwrap_or_default()
    }

    /// A poll has ended. The answer waits for look-ups that it left.
    pub async fn finish(
        &mut self,
        ledger: &Ledger,
        name: &AccountName,
        summary: &Summary,
        waiting: Vec<RequestId>,
        look_up_at: Option<DateTime<Utc>>,
    ) -> Result<(), ledger::Error> {
        for id in waiting {
            let Some((to_come, answers)) = self.open.get_mut(&id) else { continue };
            Answer::add(answers, name, summary);
            if let Some(from) = look_up_at {
                let wanted = self.wanted.entry(name.clone()).or_insert(Wanted { from, requests: Vec::new() });
                wanted.requests.push(id);
                continue;
            }
            *to_come -= 1;
            if *to_come == 0 {
                let json = serde_json::to_string(&answers).unwrap_or_default();
                self.open.remove(&id);
                ledger.answer_request(id, &json).await?;
            }
        }
        Ok(())
    }
}

//! What was answered so far by somebody who is adding an account, or signs in for a destination. Passwords, and what
//! was signed in for, stay here between the steps: no page holds one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::add::MailForm;
use super::answers::Refusal;
use crate::ledger::Token;
use crate::message::AccountName;
use crate::setup::{HomeDraft, Mailbox, NewLogin, PeerDraft, Told};

/// How long a draft is kept.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// How many are.
const MOST: usize = 64;

/// Why there is no draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It has been used: the same form was sent twice.
    Saved,
    /// It was kept long enough, or never there.
    Lost,
}

/// What was answered so far.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What the account will be called; `None` where no name can be made of the address.
    pub name: Option<AccountName>,
    pub peer: PeerDraft,
    /// What to know before a login.
    pub told: Vec<Told>,
    /// Why no password opens it: a sentence.
    pub only_oauth: Option<String>,
    /// What opens it, as far as that is known; whoever signs in by OAuth may not have done so yet.
    pub login: Option<NewLogin>,
    /// What the server showed; `None` before it has let us in.
    pub mailbox: Option<Mailbox>,
    /// What is to become of the mail, as far as that was answered before another destination was asked for.
    pub mail: Option<MailForm>,
    /// The destination that was added last.
    pub home: Option<HomeDraft>,
}

/// The drafts of all who are signed in.
pub struct Drafts<D>(Mutex<HashMap<String, Owned<D>>>);

struct Owned<D> {
    owner: Token,
    made: Instant,
    /// `None` once it has been used.
    draft: Option<D>,
}

impl<D> Default for Drafts<D> {
    fn default() -> Drafts<D> {
        Drafts(Mutex::default())
    }
}

impl From<Gone> for Refusal {
    fn from(gone: Gone) -> Refusal {
        Refusal::elsewhere(match gone {
            Gone::Saved => "/",
            Gone::Lost => "/add?lost=yes",
        })
    }
}

impl<D: Clone> Drafts<D> {
    /// Keeps a draft. `None` where this machine has no random numbers for its id.
    pub fn begin(&self, owner: Token, draft: D) -> Option<String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        let id = format!("{:032x}", u128::from_be_bytes(random));
        let mut drafts = self.lock();
        if drafts.len() >= MOST
            && let Some(oldest) = drafts.iter().min_by_key(|(_, owned)| owned.made).map(|(id, _)| id.clone())
        {
            drafts.remove(&oldest);
        }
        drafts.insert(id.clone(), Owned { owner, made: Instant::now(), draft: Some(draft) });
        Some(id)
    }

    /// # Errors
    /// Why it is not there. Somebody else's was never there.
    pub fn get(&self, owner: &Token, id: &str) -> Result<D, Gone> {
        let drafts = self.lock();
        let owned = drafts.get(id).filter(|owned| owned.owner == *owner).ok_or(Gone::Lost)?;
        owned.draft.clone().ok_or(Gone::Saved)
    }

    /// Changes a draft as it is by now, if it is still there: somebody may have answered in two windows.
    pub fn change(&self, owner: &Token, id: &str, change: impl FnOnce(&mut D)) {
        let mut drafts = self.lock();
        let owned = drafts.get_mut(id).filter(|owned| owned.owner == *owner);
        if let Some(draft) = owned.and_then(|owned| owned.draft.as_mut()) {
            change(draft);
        }
    }

    /// It has been used: all of it is forgotten but that.
    pub fn end(&self, id: &str) {
        if let Some(owned) = self.lock().get_mut(id) {
            owned.draft = None;
        }
    }

    /// Forgets all that somebody has answered.
    pub fn forget(&self, owner: &Token) {
        self.lock().retain(|_, owned| owned.owner != *owner);
    }

    /// Those that are not too old.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Owned<D>>> {
        let mut drafts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.retain(|_, owned| owned.made.elapsed() < LIFE);
        drafts
    }
}

//! What was answered so far by somebody who is adding an account. Passwords stay here between the steps: no page holds one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::add::MailForm;
use crate::ledger::Token;
use crate::message::AccountName;
use crate::setup::{Mailbox, PeerDraft, Told};

/// How long a draft is kept.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// How many are.
const MOST: usize = 64;

/// What was answered so far.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What the account will be called; `None` where no name can be made of the address.
    pub name: Option<AccountName>,
    pub peer: PeerDraft,
    /// What to know before a login.
    pub told: Vec<Told>,
    pub password: Option<SecretString>,
    /// What the server showed; `None` before it has let us in.
    pub mailbox: Option<Mailbox>,
    /// What is to become of the mail, as far as that was answered before another destination was asked for.
    pub mail: Option<MailForm>,
    /// The destination that was added last.
    pub home: Option<String>,
}

/// The drafts of all who are signed in.
#[derive(Default)]
pub struct Drafts(Mutex<HashMap<String, Owned>>);

struct Owned {
    owner: Token,
    made: Instant,
    draft: Draft,
}

impl Drafts {
    /// Keeps a draft. `None` where this machine has no random numbers for its id.
    pub fn begin(&self, owner: Token, draft: Draft) -> Option<String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        let id = format!("{:032x}", u128::from_be_bytes(random));
        let mut drafts = self.lock();
        if drafts.len() >= MOST
            && let Some(oldest) = drafts.iter().min_by_key(|(_, owned)| owned.made).map(|(id, _)| id.clone())
        {
            drafts.remove(&oldest);
        }
        drafts.insert(id.clone(), Owned { owner, made: Instant::now(), draft });
        Some(id)
    }

    /// `None` where it has ended, or is somebody else's.
    pub fn get(&self, owner: &Token, id: &str) -> Option<Draft> {
        let drafts = self.lock();
        let owned = drafts.get(id).filter(|owned| owned.owner == *owner)?;
        Some(owned.draft.clone())
    }

    /// Changes a draft as it is by now, if it is still there: somebody may have answered in two windows.
    pub fn change(&self, owner: &Token, id: &str, change: impl FnOnce(&mut Draft)) {
        if let Some(owned) = self.lock().get_mut(id).filter(|owned| owned.owner == *owner) {
            change(&mut owned.draft);
        }
    }

    pub fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Forgets all that somebody has answered.
    pub fn forget(&self, owner: &Token) {
        self.lock().retain(|_, owned| owned.owner != *owner);
    }

    /// Those that are not too old.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Owned>> {
        let mut drafts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.retain(|_, owned| owned.made.elapsed() < LIFE);
        drafts
    }
}

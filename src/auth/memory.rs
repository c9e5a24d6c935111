//! Grants that rest nowhere: of somebody who signs in for what may never be saved.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, ready};

use super::Holder;
use super::keeper::{Stored, TokenStore};

/// In the memory of this process, which no other one can see: whoever asks for a lease has it.
#[derive(Debug, Default)]
pub struct Memory {
    grants: Mutex<HashMap<Holder, Stored>>,
    saves: AtomicI64,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<Holder, Stored>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, holder: &Holder, revision: i64) -> bool {
        self.lock().get(holder).is_some_and(|stored| stored.revision == revision)
    }
}

impl TokenStore for Memory {
    fn load<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<Option<Stored>, String>> {
        Box::pin(ready(Ok(self.lock().get(holder).cloned())))
    }

    fn save<'a>(
        &'a self,
        holder: &'a Holder,
        stored: Stored,
        instead_of: Option<i64>,
    ) -> BoxFuture<'a, Result<bool, String>> {
        let is_wanted = instead_of.is_none_or(|revision| self.has(holder, revision));
        if is_wanted {
            let revision = self.saves.fetch_add(1, Ordering::SeqCst);
            self.lock().insert(holder.clone(), Stored { revision, ..stored });
        }
        Box::pin(ready(Ok(is_wanted)))
    }

    fn lease<'a>(
        &'a self,
        holder: &'a Holder,
        revision: i64,
        _now: DateTime<Utc>,
        _until: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(ready(Ok(self.has(holder, revision))))
    }

    fn remove<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<(), String>> {
        self.lock().remove(holder);
        Box::pin(ready(Ok(())))
    }

    fn release<'a>(&'a self, _holder: &'a Holder, _revision: i64) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(ready(Ok(())))
    }
}

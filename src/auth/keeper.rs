//! One grant for each login, and a token that is good for now.
//!
//! A token is renewed when four fifths of its life are over, by one task at a time and by one process at a time: some
//! providers give out a new refresh token with each access token, and take the use of the old one for a theft. The new
//! one is stored before the token that came with it is used.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::Mutex as AsyncMutex;

use super::client::{Client, Granted, Refusal};
use super::memory::Memory;
use super::orderly::{is_ending, to_its_end};
use super::vault::{Key, new_key};
use super::{Error, Holder, SignIn};

/// Where grants rest. What it is given is encrypted already.
pub trait TokenStore: Send + Sync {
    fn load<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<Option<Stored>, String>>;

    /// On disk on return. Where `instead_of` names a revision and another one is there by now, nothing is stored.
    fn save<'a>(
        &'a self,
        holder: &'a Holder,
        stored: Stored,
        instead_of: Option<i64>,
    ) -> BoxFuture<'a, Result<bool, String>>;

    /// Takes the right to renew this revision until then, unless somebody has it.
    fn lease<'a>(
        &'a self,
        holder: &'a Holder,
        revision: i64,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, String>>;

    fn remove<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<(), String>>;

    /// Gives that right back: this revision could not be renewed.
    fn release<'a>(&'a self, holder: &'a Holder, revision: i64) -> BoxFuture<'a, Result<(), String>>;
}

/// A grant as it rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Encrypted: a grant.
    pub sealed: Vec<u8>,
    /// Given by the store, another one at each save.
    pub revision: i64,
    /// When a person signed in.
    pub consented_at: DateTime<Utc>,
    /// When the sign-in ends unless it is renewed, where the provider says so.
    pub ends_at: Option<DateTime<Utc>>,
    /// Why only a person can help, a clause.
    pub ended: Option<String>,
}

/// What a sign-in has brought.
#[derive(Clone, Serialize, Deserialize)]
struct Grant {
    /// For which application and rights.
    fingerprint: [u8; 32],
    #[serde(serialize_with = "to_be_sealed")]
    refresh: SecretString,
    #[serde(serialize_with = "to_be_sealed")]
    access: SecretString,
    /// Seconds since 1970.
    issued_at: i64,
    expires_at: i64,
}

/// What is serialized here is encrypted before anybody sees it.
fn to_be_sealed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// A grant that is still to be stored. Of a renewed one nobody else knows the refresh token, and the one before may be dead.
struct Unstored {
    grant: Grant,
    consented_at: DateTime<Utc>,
    ends_at: Option<DateTime<Utc>>,
    /// The revision that was renewed; `None` where a person has signed in.
    instead_of: Option<i64>,
}

/// Keeps all grants of a config. Clones share them.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    store: Arc<dyn TokenStore>,
    key: Box<dyn Fn() -> Result<Key, String> + Send + Sync>,
    now: fn() -> DateTime<Utc>,
    /// Who is being renewed in this process.
    busy: Mutex<HashMap<Holder, Arc<AsyncMutex<()>>>>,
    /// What was renewed and could not be stored so far.
    unstored: Mutex<HashMap<Holder, Arc<Unstored>>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

/// So long before its end a token is not used any more: the server's clock may be ahead. Of a short life, a tenth.
const MARGIN: i64 = 30;

/// How long one process may take to renew a token, before another one tries.
const LEASE: Duration = Duration::from_secs(60);

/// A provider that stumbles is asked again after so long, where there is nobody else to ask and no token left.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];

/// But not where the first answer has taken so long: others wait, and the lease has an end.
const STUMBLE: Duration = Duration::from_secs(10);

const BUSY: &str = "another process renews the token, and does not end";

/// A store that is busy, or full, is asked again after so long.
const STORE_PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// And then every so often, well within a lease.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// So long the end of the process waits for it.
const LAST_TRIES: Duration = Duration::from_secs(20);

/// How often a process looks whether another one has renewed it.
const LOOK: Duration = Duration::from_millis(200);

impl Grant {
    fn is_fresh(&self, now: i64) -> bool {
        let life = self.expires_at - self.issued_at;
        // A clock that was set back is no reason to believe in an old token for ever.
        self.issued_at <= now + MARGIN && now < self.issued_at + life * 4 / 5
    }

    fn is_usable(&self, now: i64) -> bool {
        let life = self.expires_at - self.issued_at;
        self.issued_at <= now + MARGIN && now < self.expires_at - MARGIN.min(life / 10)
    }
}

impl Keeper {
    /// `key` is asked for whenever something is to be opened: the first sign-in may make it.
    pub fn new(
        store: Arc<dyn TokenStore>,
        key: impl Fn() -> Result<Key, String> + Send + Sync + 'static,
        now: fn() -> DateTime<Utc>,
    ) -> Keeper {
        let (busy, unstored) = Default::default();
        Keeper(Arc::new(Inner { store, key: Box::new(key), now, busy, unstored }))
    }

    /// A token for `sign_in` that is good for now, and is not the one that was refused.
    pub(super) async fn token(
        &self,
        sign_in: &SignIn,
        refused: Option<&SecretString>,
    ) -> Result<SecretString, Error> {
        let turn = self.turn(&sign_in.holder);
        let _turn = turn.lock().await;
        let waiting_since = tokio::time::Instant::now();
        loop {
            self.store_unstored(&sign_in.holder).await.map_err(Error::Local)?;
            let (stored, grant) = self.load(sign_in).await?;
            let now = (self.0.now)();
            let is_refused =
                refused.is_some_and(|refused| refused.expose_secret() == grant.access.expose_secret());
            if grant.is_fresh(now.timestamp()) && !is_refused {
                return Ok(grant.access);
            }
            if is_ending() {
                return match grant.is_usable(now.timestamp()) && !is_refused {
                    true => Ok(grant.access),
                    false => Err(Error::Unavailable("mailferry is about to end".into())),
                };
            }
            if self.lease(&sign_in.holder, stored.revision).await.map_err(Error::Local)? {
                // To its end, also where nobody waits for it any more: a new refresh token must not be lost on the way.
                let (keeper, sign_in) = (self.clone(), sign_in.clone());
                let renewal = async move { keeper.renew(&sign_in, stored, grant, is_refused).await };
                return to_its_end(renewal).await.unwrap_or_else(|e| Err(Error::Local(e.to_string())));
            }
            if grant.is_usable(now.timestamp()) && !is_refused {
                return Ok(grant.access);
            }
            if waiting_since.elapsed() > LEASE {
                return Err(Error::Unavailable(BUSY.into()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn renew(
        &self,
        sign_in: &SignIn,
        stored: Stored,
        grant: Grant,
        is_refused: bool,
    ) -> Result<SecretString, Error> {
        let refresh = grant.refresh.clone();
        let revision = stored.revision;
        let is_usable = || grant.is_usable((self.0.now)().timestamp()) && !is_refused;
        let answer = refreshed(sign_in, &refresh, is_usable).await;
        let outcome = match answer {
            Ok(granted) => {
                let access = granted.access.clone();
                let renewed = self.brought(sign_in, &granted, Some((&refresh, &stored)))?;
                return self.put_away(&sign_in.holder, renewed).await.map(|()| access);
            }
            Err(Refusal::Odd { reason, refresh: Some(new) }) => {
                // Nothing else of the answer is of use, but by the old one nothing more is to be had, perhaps.
                let (access, is_usable) = (grant.access.clone(), is_usable());
                let grant = Grant { refresh: new, ..grant.clone() };
                let Stored { consented_at, .. } = stored;
                let renewed = Unstored { grant, consented_at, ends_at: None, instead_of: Some(revision) };
                self.put_away(&sign_in.holder, renewed).await?;
                return if is_usable { Ok(access) } else { Err(Error::Unavailable(reason)) };
            }
            Err(Refusal::Ended(reason)) => {
                let error = sign_in.ended(&reason);
                let stored = Stored { ended: Some(reason), ..stored };
                let saved = self.0.store.save(&sign_in.holder, stored, Some(revision)).await;
                return saved.map_err(Error::Local).and(Err(error));
            }
            // The old one is still good for a while.
            Err(_) if is_usable() => Ok(grant.access),
            Err(Refusal::Refused(reason)) => Err(Error::SignIn(reason)),
            Err(other) => Err(Error::Unavailable(other.reason())),
        };
        self.0.store.release(&sign_in.holder, revision).await.map_err(Error::Local)?;
        outcome
    }

    /// For a sign-in of which nothing is to rest anywhere: its grants are in the memory of this process, and go with it.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn in_memory(now: fn() -> DateTime<Utc>) -> Result<Keeper, String> {
        let key = Key::new(&new_key()?)?;
        Ok(Keeper::new(Arc::new(Memory::default()), move || Ok(key.clone()), now))
    }

    /// What `old` has signed in for is `new`'s from now on. Returns whether there was anything.
    ///
    /// # Errors
    /// A clause; then nothing has changed.
    pub async fn rename(&self, old: &Holder, new: &Holder) -> Result<bool, String> {
        if old == new { self.has(old).await } else { self.hand_over(old, self, new).await }
    }

    /// As [`Keeper::rename`], to a holder whose grants `other` keeps. Where somebody has signed in there already, and
    /// later, that sign-in stays.
    ///
    /// # Errors
    /// A clause; then it is still `old`'s.
    pub async fn hand_over(&self, old: &Holder, other: &Keeper, new: &Holder) -> Result<bool, String> {
        let turn = self.turn(old);
        let _turn = turn.lock().await;
        self.store_unstored(old).await?;
        let Some(stored) = self.leased(old).await? else { return Ok(false) };
        let revision = stored.revision;
        let handed_over = self.take_place(other, new, old, stored).await;
        if handed_over.is_err() {
            self.0.store.release(old, revision).await?;
        }
        handed_over.map(|()| true)
    }

    async fn take_place(
        &self,
        other: &Keeper,
        new: &Holder,
        old: &Holder,
        stored: Stored,
    ) -> Result<(), String> {
        let is_better = |there: Stored| {
            there.ended.is_none() && (stored.ended.is_some() || there.consented_at > stored.consented_at)
        };
        if !other.0.store.load(new).await?.is_some_and(is_better) {
            let plain = (self.0.key)()?.open(old.as_str(), &stored.sealed);
            let sealed =
                (other.0.key)()?.seal(new.as_str(), &plain.ok_or("it opens with another key only")?)?;
            other.0.store.save(new, Stored { sealed, ..stored }, None).await?;
        }
        self.0.store.remove(old).await
    }

    /// What is there, when nobody else is renewing it.
    async fn leased(&self, holder: &Holder) -> Result<Option<Stored>, String> {
        let waiting_since = tokio::time::Instant::now();
        loop {
            let Some(stored) = self.0.store.load(holder).await? else { return Ok(None) };
            if self.lease(holder, stored.revision).await? {
                return Ok(Some(stored));
            }
            if waiting_since.elapsed() > LEASE {
                return Err(BUSY.into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn lease(&self, holder: &Holder, revision: i64) -> Result<bool, String> {
        let now = (self.0.now)();
        let until = now + TimeDelta::from_std(LEASE).unwrap_or_default();
        self.0.store.lease(holder, revision, now, until).await
    }

    /// Whether somebody has signed in for this holder.
    ///
    /// # Errors
    /// A clause.
    pub async fn has(&self, holder: &Holder) -> Result<bool, String> {
        Ok(self.0.store.load(holder).await?.is_some())
    }

    /// Nobody is signed in for this holder any more.
    ///
    /// # Errors
    /// A clause; then perhaps somebody still is.
    pub async fn forget(&self, holder: &Holder) -> Result<(), String> {
        self.unstored().remove(holder);
        match self.has(holder).await? {
            true => self.0.store.remove(holder).await,
            false => Ok(()),
        }
    }

    /// Puts away what a sign-in has brought.
    pub(super) async fn keep(&self, sign_in: &SignIn, granted: Granted) -> Result<(), Error> {
        let brought = self.brought(sign_in, &granted, None)?;
        self.store_patiently(&sign_in.holder, &brought).await.map_err(Error::Local)
    }

    /// Whether somebody is signed in for just this.
    pub(super) async fn is_signed_in(&self, sign_in: &SignIn) -> bool {
        self.load(sign_in).await.is_ok()
    }

    /// Whether they are the same, and not only alike.
    pub fn is(&self, other: &Keeper) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// `before` is what was renewed, with its refresh token; `None` where a person has signed in.
    fn brought(
        &self,
        sign_in: &SignIn,
        granted: &Granted,
        before: Option<(&SecretString, &Stored)>,
    ) -> Result<Unstored, Error> {
        let now = (self.0.now)();
        let Some(refresh) = granted.refresh.as_ref().or(before.map(|(refresh, _)| refresh)) else {
            return Err(Error::SignIn("the provider gave no refresh token".into()));
        };
        let grant = Grant {
            fingerprint: sign_in.fingerprint(),
            refresh: refresh.clone(),
            access: granted.access.clone(),
            issued_at: now.timestamp(),
            expires_at: after(now, granted.life).timestamp(),
        };
        // Not each answer says so: what was said of a refresh token holds as long as that one is used.
        let is_same = |before: &str| granted.refresh.as_ref().is_none_or(|new| new.expose_secret() == before);
        let known = before.filter(|(refresh, _)| is_same(refresh.expose_secret()));
        let known = known.and_then(|(_, stored)| stored.ends_at);
        let ends_at = granted.refresh_life.map(|life| after(now, life)).or(known);
        let consented_at = before.map_or(now, |(_, stored)| stored.consented_at);
        Ok(Unstored { grant, consented_at, ends_at, instead_of: before.map(|(_, stored)| stored.revision) })
    }

    /// Stores what was renewed. Where that cannot be done, it is kept here until it can.
    async fn put_away(&self, holder: &Holder, renewed: Unstored) -> Result<(), Error> {
        let stored = self.store_patiently(holder, &renewed).await;
        if stored.is_err() {
            self.unstored().insert(holder.clone(), Arc::new(renewed));
            let by_and_by = tokio::spawn(self.clone().store_by_and_by(holder.clone()));
            drop(to_its_end(tokio::time::timeout(LAST_TRIES, by_and_by)));
        }
        stored.map_err(Error::Local)
    }

    async fn store_patiently(&self, holder: &Holder, unstored: &Unstored) -> Result<(), String> {
        for pause in STORE_PAUSES {
            if self.store(holder, unstored).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
        self.store(holder, unstored).await
    }

    /// Also where nobody asks for a token: other processes go by what is stored.
    async fn store_by_and_by(self, holder: Holder) {
        while self.unstored().contains_key(&holder) {
            tokio::time::sleep(STORE_AGAIN).await;
            // Whoever asks for a token meanwhile is told why it fails.
            let _ = self.store_unstored(&holder).await;
        }
    }

    async fn store_unstored(&self, holder: &Holder) -> Result<(), String> {
        let Some(unstored) = self.unstored().get(holder).cloned() else { return Ok(()) };
        self.store(holder, &unstored).await?;
        self.unstored().retain(|_, other| !Arc::ptr_eq(other, &unstored));
        Ok(())
    }

    /// Where somebody has signed in anew meanwhile, that is the better one, and stays.
    async fn store(&self, holder: &Holder, unstored: &Unstored) -> Result<(), String> {
        let plain = serde_json::to_vec(&unstored.grant).map_err(|e| e.to_string())?;
        let sealed = (self.0.key)()?.seal(holder.as_str(), &plain)?;
        let Unstored { consented_at, ends_at, instead_of, .. } = *unstored;
        let stored = Stored { sealed, revision: 0, consented_at, ends_at, ended: None };
        self.0.store.save(holder, stored, instead_of).await.map(drop)
    }

    fn unstored(&self) -> MutexGuard<'_, HashMap<Holder, Arc<Unstored>>> {
        self.0.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, sign_in: &SignIn) -> Result<(Stored, Grant), Error> {
        let stored = self.0.store.load(&sign_in.holder).await.map_err(Error::Local)?;
        let stored = stored.ok_or_else(|| sign_in.wanted())?;
        if let Some(reason) = &stored.ended {
            return Err(sign_in.ended(reason));
        }
        let key = (self.0.key)().map_err(Error::Local)?;
        let plain = key.open(sign_in.holder.as_str(), &stored.sealed);
        let grant: Option<Grant> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        let grant = grant
            .ok_or_else(|| sign_in.ended("what was stored of the sign-in opens with another key only"))?;
        if grant.fingerprint != sign_in.fingerprint() {
            return Err(sign_in.ended("the sign-in was for another user or application, or for less"));
        }
        Ok((stored, grant))
    }

    fn turn(&self, holder: &Holder) -> Arc<AsyncMutex<()>> {
        let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(busy.entry(holder.clone()).or_default())
    }
}

/// Asks for another token, more than once where that may help and nothing else does.
async fn refreshed(
    sign_in: &SignIn,
    refresh: &SecretString,
    is_usable: impl Fn() -> bool,
) -> Result<Granted, Refusal> {
    let client = Client::new(&sign_in.settings).map_err(Refusal::Passing)?;
    let begun = tokio::time::Instant::now();
    for pause in PAUSES {
        let answer = client.refresh(refresh).await;
        let is_stumble = matches!(answer, Err(Refusal::Passing(_) | Refusal::Mute(_) | Refusal::SlowDown));
        if !is_stumble || is_usable() || begun.elapsed() > STUMBLE {
            return answer;
        }
        tokio::time::sleep(pause).await;
        if is_ending() {
            return answer;
        }
    }
    client.refresh(refresh).await
}

fn after(now: DateTime<Utc>, life: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(life).ok().and_then(|life| now.checked_add_signed(life)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::auth::{Login, Settings};

    /// Takes nothing so many times.
    #[derive(Default)]
    struct Full {
        memory: Memory,
        refusals: AtomicUsize,
    }

    impl TokenStore for Full {
        fn load<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<Option<Stored>, String>> {
            self.memory.load(holder)
        }

        fn save<'a>(
            &'a self,
            holder: &'a Holder,
            stored: Stored,
            instead_of: Option<i64>,
        ) -> BoxFuture<'a, Result<bool, String>> {
            let left = |left: usize| left.checked_sub(1);
            match self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
                Ok(_) => Box::pin(std::future::ready(Err("the disk is full".into()))),
                Err(_) => self.memory.save(holder, stored, instead_of),
            }
        }

        fn lease<'a>(
            &'a self,
            holder: &'a Holder,
            revision: i64,
            now: DateTime<Utc>,
            until: DateTime<Utc>,
        ) -> BoxFuture<'a, Result<bool, String>> {
            self.memory.lease(holder, revision, now, until)
        }

        fn remove<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<(), String>> {
            self.memory.remove(holder)
        }

        fn release<'a>(&'a self, holder: &'a Holder, revision: i64) -> BoxFuture<'a, Result<(), String>> {
            self.memory.release(holder, revision)
        }
    }

    fn sign_in() -> SignIn {
        let settings = Settings {
            client_id: "x".into(),
            client_secret: None,
            authorize_url: String::new(),
            token_url: String::new(),
            device_url: None,
            scopes: Vec::new(),
            parameters: Vec::new(),
            ca_file: None,
        };
        match Login::oauth(Holder::account("work"), "me@example.org", settings) {
            Login::OAuth(sign_in) => *sign_in,
            Login::Password(_) => panic!(),
        }
    }

    fn granted(number: u32) -> Granted {
        Granted {
            access: format!("access-{number}").into(),
            life: Duration::from_secs(3600),
            refresh: Some(format!("refresh-{number}").into()),
            refresh_life: None,
            withheld: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_renewed_grant_is_kept_until_it_is_stored() {
        let (store, key) = (Arc::new(Full::default()), Key::new(&new_key().unwrap()).unwrap());
        let keeper =
            Keeper::new(Arc::clone(&store) as Arc<dyn TokenStore>, move || Ok(key.clone()), Utc::now);
        let sign_in = sign_in();
        store.refusals.store(1, Ordering::SeqCst);
        keeper.keep(&sign_in, granted(1)).await.unwrap();

        let (stored, grant) = keeper.load(&sign_in).await.unwrap();
        let old = grant.refresh;
        let renewed = keeper.brought(&sign_in, &granted(2), Some((&old, &stored))).unwrap();
        // Once more than it is tried at once, and once for somebody who asks.
        store.refusals.store(4, Ordering::SeqCst);
        let full = Err(Error::Local("the disk is full".into()));
        assert_eq!(keeper.put_away(&sign_in.holder, renewed).await, full);
        assert_eq!(keeper.token(&sign_in, None).await.map(drop), full);
        let token = keeper.token(&sign_in, None).await.unwrap();
        assert_eq!(token.expose_secret(), "access-2");
        assert_eq!(keeper.load(&sign_in).await.unwrap().1.refresh.expose_secret(), "refresh-2");
    }

    #[test]
    fn a_token_is_renewed_at_four_fifths_of_its_life_and_used_up_to_its_margin() {
        let grant = Grant {
            fingerprint: [0; 32],
            refresh: SecretString::default(),
            access: SecretString::default(),
            issued_at: 1000,
            expires_at: 1000 + 3600,
        };
        assert!(grant.is_fresh(1000 + 2879) && !grant.is_fresh(1000 + 2880));
        assert!(grant.is_usable(1000 + 3569) && !grant.is_usable(1000 + 3570));
        // A clock that was set back.
        assert!(grant.is_fresh(1000 - MARGIN) && !grant.is_fresh(999 - MARGIN));
        let short = Grant { expires_at: 1000 + 30, ..grant };
        assert!(short.is_usable(1000 + 26) && !short.is_usable(1000 + 27));
    }

    /// A provider that answers one question, with new tokens.
    async fn provider(number: u32) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.windows(15).any(|seen| seen == b"refresh_token=r") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            let body = format!(
                "{{\"access_token\":\"access-{number}\",\"token_type\":\"Bearer\",\"expires_in\":3600,\
                 \"refresh_token\":\"refresh-{number}\"}}"
            );
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        format!("http://{at}/token")
    }

    #[tokio::test]
    async fn no_token_is_used_before_the_refresh_token_that_came_with_it_is_stored() {
        let (store, key) = (Arc::new(Full::default()), Key::new(&new_key().unwrap()).unwrap());
        let keeper =
            Keeper::new(Arc::clone(&store) as Arc<dyn TokenStore>, move || Ok(key.clone()), Utc::now);
        let mut sign_in = sign_in();
        sign_in.settings.token_url = provider(2).await;
        keeper.keep(&sign_in, granted(1)).await.unwrap();
        store.refusals.store(3, Ordering::SeqCst);
        let refused = SecretString::from("access-1");
        let token = keeper.token(&sign_in, Some(&refused)).await.map(drop);
        assert_eq!(token, Err(Error::Local("the disk is full".into())));
        let token = keeper.token(&sign_in, Some(&refused)).await.unwrap();
        assert_eq!(token.expose_secret(), "access-2");
        assert_eq!(keeper.load(&sign_in).await.unwrap().1.refresh.expose_secret(), "refresh-2");
    }

    #[tokio::test]
    async fn who_is_renamed_to_the_name_there_was_stays_signed_in() {
        let (keeper, sign_in) = (Keeper::in_memory(Utc::now).unwrap(), sign_in());
        keeper.keep(&sign_in, granted(1)).await.unwrap();
        assert!(keeper.rename(&sign_in.holder, &sign_in.holder).await.unwrap());
        assert!(keeper.is_signed_in(&sign_in).await);
    }

    #[tokio::test]
    async fn a_sign_in_takes_the_place_of_no_better_one() {
        let (keeper, new) = (Keeper::in_memory(Utc::now).unwrap(), sign_in());
        let old = SignIn { holder: Holder::account("old"), ..new.clone() };
        keeper.keep(&old, granted(1)).await.unwrap();
        let (stored, _) = keeper.load(&old).await.unwrap();
        let revision = stored.revision;
        let ended = Stored { ended: Some("withdrawn".into()), ..stored };
        keeper.0.store.save(&old.holder, ended, Some(revision)).await.unwrap();
        keeper.keep(&new, granted(2)).await.unwrap();
        assert!(keeper.rename(&old.holder, &new.holder).await.unwrap());
        assert_eq!(keeper.load(&new).await.unwrap().1.refresh.expose_secret(), "refresh-2");
        assert!(!keeper.has(&old.holder).await.unwrap());
    }
}

//! Destinations, which are in the main file: added, and changed.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::disk::{absolute, fault, folder_of, make_folder, on_disk, replace_after, waited};
use super::files::{Error, Saved, as_in_config, end_now, keep, main_file, must_be_of_use};
use super::new_sign_in::NewLogin;
use super::passwords::{must_be_readable, only_named, remove_unused, write_password};
use super::sign_ins::Whom;
use super::trial::log_in_changed_home;
use crate::config::draft::{self, HomeDraft, LoginKey};
use crate::config::{self, Account, Config};
use crate::ledger::Request;
use crate::message::DestinationName;

/// A destination of the config that can be changed.
pub struct OwnHome<'c> {
    pub home: HomeDraft,
    /// NAME of the `[oauth.NAME]` that somebody signs in by; `None` is by a password.
    pub oauth: Option<&'c str>,
    kind: &'c config::Kind,
}

/// The destination of this name, if it is one that can be changed.
///
/// # Errors
/// [`Error::NoDestination`], [`Error::HomeByHand`]; [`Error::File`] where it has to be mended first.
pub fn own_home<'c>(config: &'c Config, name: &str) -> Result<OwnHome<'c>, Error> {
    let found = config.destinations.iter().find(|known| known.name.as_str() == name);
    let found = found.ok_or_else(|| Error::no_destination(config, name))?;
    let kind = found.kind.as_ref().map_err(|reason| {
        let reason = format!("must be mended first: {reason}");
        Error::File { path: config.file.clone(), reason }
    })?;
    let home = HomeDraft::of(&found.name, kind).filter(|_| found.can_be_changed());
    let home =
        home.ok_or_else(|| Error::HomeByHand { name: found.name.clone(), file: config.file.clone() })?;
    Ok(OwnHome { home, oauth: found.oauth.as_deref(), kind })
}

/// Whether a destination could be added as it is, or changed to be so, without saving it.
///
/// # Errors
/// All that is wrong with it, each with its key; or what else stands in the way.
pub fn check_home(
    config: &Config,
    before: Option<&OwnHome<'_>>,
    home: &HomeDraft,
    login: &NewLogin,
) -> Result<(), Error> {
    HomeFile::open(config, before, home)?.check(Some(login))
}

/// Adds a destination to the main file, with its password in a file of `secrets`, or with what was signed in for in the
/// ledger, which has to be there.
///
/// # Errors
/// Nothing is saved then.
pub async fn add_home(main: &Path, home: HomeDraft, login: NewLogin) -> Result<Saved, Error> {
    let config = config::load_without_secrets(main).await?;
    let (whom, given) = (Whom::Destination(home.name.clone()), login.clone());
    let saved = on_disk(main, move || {
        let file = HomeFile::open(&config, None, &home)?;
        file.check(Some(&given))?;
        file.write(Some(&given), || Ok(()))
    });
    Ok(keep(main, &whom, &login, saved.await?).await)
}

/// Changes a destination in the main file, and what opens it, which is tried first. Without a `login` nothing may be changed
/// that it depends on. What was signed in for before goes away. `before` is what the person has seen of it.
///
/// # Errors
/// What is wrong, and then the destination is as it was; [`Error::Changed`] where it is no longer `before`.
pub async fn change_home(
    main: &Path,
    before: &OwnHome<'_>,
    after: HomeDraft,
    login: Option<NewLogin>,
) -> Result<Saved, Error> {
    if login.is_none() && !after.place.opens_as(&before.home.place) {
        return Err(Error::PasswordNeeded);
    }
    let config = config::load_without_secrets(main).await?;
    let now = home_as_before(&config, &before.home, before.oauth)?;
    HomeFile::open(&config, Some(&now), &after)?.check(login.as_ref())?;
    if let Some(login) = &login {
        let outcome = log_in_changed_home(&after.place, login.login(), Some(now.kind)).await;
        let host = || after.place.host().to_owned();
        outcome.map_err(|reason| Error::LoginFailed { host: host(), reason })?;
    }
    let whom = Whom::Destination(after.name.clone());
    let (file, given, whose) = (main.to_owned(), login.clone(), whom.clone());
    let (home, oauth) = (before.home.clone(), before.oauth.map(str::to_owned));
    let saved = on_disk(main, move || {
        // That may have taken its time, and somebody may have changed something meanwhile.
        let config = waited(config::load_without_secrets(&file))?;
        let now = home_as_before(&config, &home, oauth.as_deref())?;
        let file = HomeFile::open(&config, Some(&now), &after)?;
        file.check(given.as_ref())?;
        let end = || match given.is_some() && now.oauth.is_some() {
            true => end_now(&config, &whose),
            false => Ok(()),
        };
        file.write(given.as_ref(), end)
    });
    let saved = saved.await?;
    Ok(match &login {
        Some(login) => keep(main, &whom, login, saved).await,
        None => saved,
    })
}

/// As for an account: only what differs from `home` is written.
fn home_as_before<'c>(
    config: &'c Config,
    home: &HomeDraft,
    oauth: Option<&str>,
) -> Result<OwnHome<'c>, Error> {
    let now = own_home(config, home.name.as_str())?;
    match now.home == *home && now.oauth == oauth {
        true => Ok(now),
        false => Err(Error::Changed(format!("destination {}", home.name))),
    }
}

/// What is asked of whoever holds the ledger, now or later, once a destination lets somebody in: to try again what waits for
/// it, and to poll a few of the accounts that deliver there. A poll that is under way still goes by what opened it
/// before, and may find the destination failing once more.
pub fn requests_of(config: &Config, destination: &DestinationName) -> Vec<Request> {
    let delivers = |account: &&Account| account.poll.routes.iter().any(|route| route.to == *destination);
    let accounts = config.accounts.iter().filter(|account| !account.paused).filter(delivers);
    let polls = accounts.take(A_FEW).map(|account| Request::Poll { account: account.name.clone() });
    std::iter::once(Whom::Destination(destination.clone()).request()).chain(polls).collect()
}

const A_FEW: usize = 10;

/// The main file, in which a destination is to be another one, or a new one.
struct HomeFile<'a> {
    config: &'a Config,
    main: PathBuf,
    text: String,
    before: Option<&'a OwnHome<'a>>,
    home: &'a HomeDraft,
    /// Where its password goes, if it has one.
    folder: PathBuf,
}

impl<'a> HomeFile<'a> {
    fn open(
        config: &'a Config,
        before: Option<&'a OwnHome<'a>>,
        home: &'a HomeDraft,
    ) -> Result<HomeFile<'a>, Error> {
        let main = main_file(config);
        let text = std::fs::read_to_string(&main).map_err(|e| fault(&main, "read", &e))?;
        let folder = folder_of(&absolute(&config.file)).join("secrets");
        Ok(HomeFile { config, main, text, before, home, folder })
    }

    /// What is wrong is said before anything is written.
    fn check(&self, login: Option<&NewLogin>) -> Result<(), Error> {
        if let Some(NewLogin::Password(password)) = login {
            must_be_readable(&self.main, password)?;
            must_be_of_use(self.config, &self.folder)?;
        }
        let key = login.map(|login| match login {
            NewLogin::Password(_) => LoginKey::PasswordIn(&self.folder),
            NewLogin::SignIn(new) => LoginKey::OAuth(&new.oauth),
        });
        Ok(draft::read_main(self.config, &self.with(key)?)?)
    }

    fn with(&self, key: Option<LoginKey<'_>>) -> Result<String, Error> {
        let text = match self.before {
            Some(before) => self.home.rewrite(&self.text, &before.home, key),
            None => self.home.add_to(&self.text, key),
        };
        text.map_err(|reason| Error::File { path: self.main.clone(), reason })
    }

    /// As for an account: a new password gets a new file.
    fn write(
        &self,
        login: Option<&NewLogin>,
        end: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Saved, Error> {
        let old = login.and(self.old_password());
        let secret = match login {
            Some(NewLogin::Password(password)) => Some(self.write_password(password)?),
            Some(NewLogin::SignIn(_)) | None => None,
        };
        let named = secret.as_deref().map(|secret| as_in_config(self.config, secret));
        let key = match login {
            Some(NewLogin::SignIn(new)) => Some(LoginKey::OAuth(&new.oauth)),
            Some(NewLogin::Password(_)) | None => named.as_deref().map(LoginKey::PasswordIn),
        };
        let written = self.with(key).and_then(|text| replace_after(&self.main, text.as_bytes(), end));
        remove_unused(&written, old, secret);
        let file = self.config.file.clone();
        written.map(|_| Saved { file, warnings: Vec::new(), wants_sign_in: false })
    }

    fn write_password(&self, password: &SecretString) -> Result<PathBuf, Error> {
        make_folder(&self.folder)?;
        write_password(self.config, &self.folder, &format!("{}%", self.home.name), password)
    }

    /// The file of the password before, if nobody else names it.
    fn old_password(&self) -> Option<PathBuf> {
        let file = draft::home_password_file(&self.text, &self.home.name)?;
        only_named(self.config, Path::new(&file), &self.folder)
    }
}

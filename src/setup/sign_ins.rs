//! Where the tokens are of those who have signed in: in the ledger, encrypted by a key that stands beside it.

use std::path::Path;
use std::sync::Arc;

use chrono::Utc;

use super::Error;
use crate::auth::{Holder, Keeper, Key, Login, SignIn, new_key};
use crate::config::{self, Config, Faults, Kind, TokenKey};
use crate::ledger::{Request, Tokens};
use crate::message::{AccountName, DestinationName};

/// [`config::load`], with its logins ready for use.
///
/// # Errors
/// As there.
pub async fn load(path: &Path) -> Result<Config, Faults> {
    config::load(path).await.map(keep_tokens)
}

/// [`config::load_with_secret_of`], with that login ready for use.
///
/// # Errors
/// As there.
pub async fn load_with_secret_of(path: &Path, account: &AccountName) -> Result<Config, Faults> {
    config::load_with_secret_of(path, account).await.map(keep_tokens)
}

/// [`config::load_with_secret_of_destination`], with that login ready for use.
///
/// # Errors
/// As there.
pub async fn load_with_secret_of_destination(path: &Path, name: &DestinationName) -> Result<Config, Faults> {
    config::load_with_secret_of_destination(path, name).await.map(keep_tokens)
}

/// Tells every login by OAuth where its tokens are.
fn keep_tokens(mut config: Config) -> Config {
    let keeper = keeper(&config);
    let accounts = config.accounts.iter_mut().map(|account| &mut account.pop3.login);
    let destinations = config.destinations.iter_mut().filter_map(|destination| match &mut destination.kind {
        Ok(Kind::Imap(settings)) => Some(&mut settings.login),
        Ok(Kind::Gmail(settings)) => Some(&mut settings.login),
        Ok(Kind::Webhook(_)) | Err(_) => None,
    });
    for login in accounts.chain(destinations) {
        login.keep_by(&keeper);
    }
    config
}

fn keeper(config: &Config) -> Keeper {
    let place = config.token_key.clone();
    Keeper::new(Arc::new(Tokens::at(&config.ledger)), move || key(&place), Utc::now)
}

/// What one account has signed in for is another one's from now on. Returns whether there was anything.
///
/// # Errors
/// A sentence's clause; then it is still the old one's.
pub async fn rename_sign_in(path: &Path, old: &AccountName, new: &AccountName) -> Result<bool, String> {
    let config = config::load_without_secrets(path).await.map_err(|faults| faults.to_string())?;
    if !keeper(&config).has(&Holder::account(old)).await? {
        return Ok(false);
    }
    let config = config::load_with_secret_of(path, new).await.map_err(|faults| faults.to_string())?;
    keeper(&config).rename(&Holder::account(old), &Holder::account(new)).await
}

fn key(place: &TokenKey) -> Result<Key, String> {
    let text = match place {
        TokenKey::Given(text) => Ok(text.clone()),
        TokenKey::Missing(reason) => Err(reason.clone()),
        TokenKey::File(path) => config::secret_in(path),
    };
    let text = text.map_err(|reason| format!("the key of the tokens cannot be had: {reason}"))?;
    Key::new(&text).map_err(|reason| format!("`token_key` {reason}"))
}

/// Makes sure that what a sign-in brings can be kept: a key is made where there is to be one in a file and is none.
///
/// # Errors
/// A sentence's clause: there is none, and none can be made; or there was one, which is not for this file to replace:
/// its disk may come back.
pub(super) async fn prepare_key(config: &Config) -> Result<(), String> {
    if let TokenKey::File(path) = &config.token_key
        && !path.exists()
    {
        if !Tokens::at(&config.ledger).is_empty().await? {
            let path = path.display();
            return Err(format!(
                "the key of the tokens is not in {path}, and others have signed in by it; bring it back, or if it is lost make a \
                 new one (`openssl rand -base64 32 > {path}; chmod 600 {path}`), and they sign in anew"
            ));
        }
        let key = new_key()?;
        match super::passwords::write_secret(path, &key) {
            // Another process was quicker: that one is it.
            Err(_) if path.exists() => {}
            written => written.map_err(|e| format!("{} cannot be written ({e})", path.display()))?,
        }
    }
    key(&config.token_key).map(drop)
}

/// Nobody is signed in for this any more.
///
/// # Errors
/// A clause.
pub(super) async fn end_sign_in(config: &Config, whom: &Whom) -> Result<(), String> {
    keeper(config).forget(&whom.holder()).await
}

/// What was signed in for beside the ledger is kept in it from now on, for what is in the config by now.
///
/// # Errors
/// A clause.
pub(super) async fn take_over(
    main: &Path,
    from: &Keeper,
    holder: &Holder,
    whom: &Whom,
) -> Result<(), String> {
    let config = whom.load(main).await.map_err(|faults| faults.to_string())?;
    let is_there = from.hand_over(holder, &keeper(&config), &whom.holder()).await?;
    if is_there { Ok(()) } else { Err("nobody has signed in".into()) }
}

/// Who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    Account(AccountName),
    Destination(DestinationName),
}

impl Whom {
    pub fn name(&self) -> &str {
        match self {
            Whom::Account(name) => name.as_str(),
            Whom::Destination(name) => name.as_str(),
        }
    }

    pub fn holder(&self) -> Holder {
        match self {
            Whom::Account(name) => Holder::account(name),
            Whom::Destination(name) => Holder::destination(name),
        }
    }

    /// The config, with what of its secrets concerns this one, and its login ready for use.
    pub(super) async fn load(&self, main: &Path) -> Result<Config, Faults> {
        match self {
            Whom::Account(name) => load_with_secret_of(main, name).await,
            Whom::Destination(name) => load_with_secret_of_destination(main, name).await,
        }
    }

    /// What is asked of whoever holds the ledger, so that what waited for the sign-in waits no more.
    pub fn request(&self) -> Request {
        match self {
            Whom::Account(name) => Request::Poll { account: name.clone() },
            Whom::Destination(name) => {
                Request::Retry { account: None, id: None, destination: Some(name.clone()) }
            }
        }
    }
}

/// How `whom` signs in, with the config at `main` that says so, and with a key for what that brings.
///
/// # Errors
/// [`Error::NoAccount`], [`Error::NoDestination`], [`Error::NoSignIn`]; [`Error::Config`] and [`Error::Unusable`] where the
/// config has to be mended first.
pub async fn sign_in_for(main: &Path, whom: &Whom) -> Result<(Config, SignIn), Error> {
    let config = whom.load(main).await?;
    let login = match whom {
        Whom::Account(name) => login_of(&config, name)?,
        Whom::Destination(name) => login_at(&config, name)?,
    };
    let sign_in = match login {
        Some(Login::OAuth(sign_in)) => (**sign_in).clone(),
        Some(Login::Password(_)) | None => return Err(Error::NoSignIn),
    };
    prepare_key(&config).await.map_err(Error::Unusable)?;
    Ok((config, sign_in))
}

/// Whether `whom` still signs in for just this. A config that cannot be read for a moment says nothing of it.
pub async fn is_still(main: &Path, whom: &Whom, sign_in: &SignIn) -> bool {
    match sign_in_for(main, whom).await {
        Ok((_, now)) => now.is_like(sign_in),
        Err(error) => !error.is_usage(),
    }
}

fn login_of<'c>(config: &'c Config, name: &AccountName) -> Result<Option<&'c Login>, Error> {
    if let Some(broken) = config.broken.iter().find(|broken| broken.name == *name) {
        return Err(Error::Unusable(broken.reason.clone()));
    }
    let account = config.accounts.iter().find(|account| account.name == *name);
    let account = account.ok_or_else(|| Error::no_account(config, name))?;
    Ok(Some(&account.pop3.login))
}

fn login_at<'c>(config: &'c Config, name: &DestinationName) -> Result<Option<&'c Login>, Error> {
    let destination = config.destinations.iter().find(|known| known.name == *name);
    let destination = destination.ok_or_else(|| Error::no_destination(config, name.as_str()))?;
    match &destination.kind {
        Ok(Kind::Imap(settings)) => Ok(Some(&settings.login)),
        Ok(Kind::Gmail(settings)) => Ok(Some(&settings.login)),
        Ok(Kind::Webhook(_)) => Ok(None),
        Err(reason) => Err(Error::Unusable(reason.clone())),
    }
}

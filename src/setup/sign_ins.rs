//! Where the tokens are of those who have signed in: in the ledger, encrypted by a key that stands beside it.

use std::path::Path;
use std::sync::Arc;

use chrono::Utc;

use crate::auth::{Holder, Keeper, Key, Login, SignIn, new_key};
use crate::config::{self, Config, Faults, Kind, TokenKey};
use crate::ledger::Tokens;
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
/// Why somebody has to sign in anew, a sentence's clause.
pub async fn rename_sign_in(path: &Path, old: &AccountName, new: &AccountName) -> Result<bool, String> {
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
/// A sentence's clause: there is none, and none can be made.
pub fn prepare_key(config: &Config) -> Result<(), String> {
    if let TokenKey::File(path) = &config.token_key
        && !path.exists()
    {
        let key = new_key()?;
        super::files::write_secret(path, &key)
            .map_err(|e| format!("{} cannot be written ({e})", path.display()))?;
    }
    key(&config.token_key).map(drop)
}

/// The sign-in of an account, `None` where it has a password.
pub fn sign_in_of<'c>(config: &'c Config, account: &AccountName) -> Option<&'c SignIn> {
    let account = config.accounts.iter().find(|known| known.name == *account)?;
    by_oauth(&account.pop3.login)
}

/// The sign-in of a destination, `None` where it has none.
pub fn sign_in_at<'c>(config: &'c Config, name: &DestinationName) -> Option<&'c SignIn> {
    let destination = config.destinations.iter().find(|known| known.name == *name)?;
    match &destination.kind {
        Ok(Kind::Imap(settings)) => by_oauth(&settings.login),
        Ok(Kind::Gmail(settings)) => by_oauth(&settings.login),
        Ok(Kind::Webhook(_)) | Err(_) => None,
    }
}

fn by_oauth(login: &Login) -> Option<&SignIn> {
    match login {
        Login::OAuth(sign_in) => Some(sign_in),
        Login::Password(_) => None,
    }
}

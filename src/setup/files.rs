//! What setup writes: the main file where there is none, and for each account a file of its own with its password
//! beside it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::disk::{
    absolute, fault, folder_of, make_folder, on_disk, replace, replace_after, sync_folder, waited, write_new,
};
use super::new_sign_in::{NewLogin, NewSignIn};
use super::passwords::{must_be_readable, own_password, remove_unused, write_password};
use super::sign_ins::{Whom, end_sign_in};
use super::trial::{Unusable, log_in_account, log_in_destination};
use super::words::LoginFault;
use crate::auth::Login;
use crate::config::draft::{self, AccountDraft, LoginKey, PeerDraft};
use crate::config::{self, Account, Config, Faults};
use crate::message::{AccountName, DestinationName, Route};
use crate::net;

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is an account {0} already; choose another name, or change that one")]
    Taken(AccountName),
    /// Two accounts would bring home every message twice.
    #[error(
        "the account {0} polls this mailbox already; change that one, or give it another destination in its file"
    )]
    SameMailbox(AccountName),
    #[error("there is no account {name}; the config has: {}", listed(known))]
    NoAccount { name: AccountName, known: Vec<AccountName> },
    #[error("there is no destination {name}; the config has: {}", listed(known))]
    NoDestination { name: String, known: Vec<DestinationName> },
    #[error(
        "mail with a folder of its own skips the inbox in any case; give the folder, or skip the inbox, not both"
    )]
    TwoFolders,
    /// It stands in the main file, which belongs to a person.
    #[error("the account {name} was written by hand in {file}; change it there")]
    ByHand { name: AccountName, file: PathBuf },
    /// Its password is in no file that could be written anew.
    #[error(
        "the password of the destination {name} is in no file of its own; change it in {}", .file.display()
    )]
    HomeByHand { name: DestinationName, file: PathBuf },
    /// A person goes by what it was, and it is another one now.
    #[error("the {0} was changed meanwhile; look what it is now, and change what you want again")]
    Changed(String),
    /// A password that is known goes to no other server and to no other user.
    #[error("the server or the user is another one now; give the password again")]
    PasswordNeeded,
    /// There is no password to change.
    #[error(
        "{0} signs in by OAuth and has no password: sign in by `mailferry login {0}`, or write a password into its file in the \
         place of `oauth`"
    )]
    ByOAuth(AccountName),
    #[error("it needs no sign-in; for one by OAuth write `oauth = \"NAME\"` in the place of its password")]
    NoSignIn,
    #[error("there is no [oauth.{name}] in the config; it has: {}", listed(known))]
    NoApplication { name: String, known: Vec<String> },
    #[error("[oauth.{0}] lets nobody into Gmail; name an application of Google's: deploy/oauth.md")]
    NotOfGoogle(String),
    /// Something in the config has to be mended first, for this reason.
    #[error("{0}")]
    Unusable(String),
    #[error("{host}: {reason}")]
    LoginFailed { host: String, reason: LoginFault },
    /// The destination cannot do what the account wants of it.
    #[error("{to}: {reason}")]
    Unfit { to: DestinationName, reason: String },
    #[error(transparent)]
    Config(#[from] Faults),
    #[error("{path} {reason}")]
    File { path: PathBuf, reason: String },
}

impl Error {
    /// The person named what this cannot be done with.
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Taken(_)
            | Error::SameMailbox(_)
            | Error::NoAccount { .. }
            | Error::NoDestination { .. }
            | Error::TwoFolders
            | Error::ByHand { .. }
            | Error::HomeByHand { .. }
            | Error::PasswordNeeded
            | Error::ByOAuth(_)
            | Error::NoSignIn
            | Error::NoApplication { .. }
            | Error::NotOfGoogle(_) => true,
            Error::Unusable(_)
            | Error::Changed(_)
            | Error::LoginFailed { .. }
            | Error::Unfit { .. }
            | Error::Config(_)
            | Error::File { .. } => false,
        }
    }

    pub(super) fn no_account(config: &Config, name: &AccountName) -> Error {
        let known = config.accounts.iter().map(|account| account.name.clone()).collect();
        Error::NoAccount { name: name.clone(), known }
    }

    pub(super) fn no_destination(config: &Config, name: &str) -> Error {
        let known = config.destinations.iter().map(|known| known.name.clone()).collect();
        Error::NoDestination { name: name.to_owned(), known }
    }
}

fn listed(names: &[impl ToString]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What was written, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The file of the account, or that of the destination.
    pub file: PathBuf,
    /// What of it is right but unwise: a sentence each, with its place.
    pub warnings: Vec<String>,
    /// Somebody has to sign in before it can be logged in to.
    pub wants_sign_in: bool,
}

/// Writes a main file for somebody who has none, and the folder for accounts beside it.
///
/// # Errors
/// [`Error::File`], also where there is such a file by now.
pub fn create(main: &Path) -> Result<(), Error> {
    let main = &absolute(main);
    make_folder(&folder_of(main).join(draft::ACCOUNTS_DIR))?;
    write_new(main, draft::new_main_file().as_bytes()).map(drop).map_err(|e| fault(main, "written", &e))
}

/// # Errors
/// [`Error::Taken`].
pub fn must_be_free(config: &Config, name: &AccountName) -> Result<(), Error> {
    let names = config.accounts.iter().map(|account| &account.name);
    match names.chain(config.broken.iter().map(|broken| &broken.name)).any(|taken| taken == name) {
        true => Err(Error::Taken(name.clone())),
        false => Ok(()),
    }
}

/// # Errors
/// [`Error::SameMailbox`], where another account than `name` polls this one, or will once its config is mended.
pub fn must_be_another(config: &Config, name: &AccountName, peer: &PeerDraft) -> Result<(), Error> {
    let usable = config.accounts.iter();
    let usable = usable.map(|account| (&account.name, &account.pop3.peer, &account.pop3.user));
    let broken = config.broken.iter().filter_map(|broken| {
        let (net, user) = broken.mailbox.as_ref()?;
        Some((&broken.name, net, user))
    });
    let mut others = usable.chain(broken).filter(|(known, ..)| *known != name);
    match others.find(|(_, net, user)| is_same_mailbox(net, user, peer)) {
        Some((known, ..)) => Err(Error::SameMailbox(known.clone())),
        None => Ok(()),
    }
}

/// A server shows the same mailbox at each of its ports; only on this machine others may stand behind them, in tunnels.
fn is_same_mailbox(net: &net::Settings, user: &str, peer: &PeerDraft) -> bool {
    let is_host = net.host.eq_ignore_ascii_case(&peer.host);
    let is_port = net.port == peer.port || !net::is_loopback(&peer.host);
    is_host && is_port && user.to_lowercase() == peer.user.to_lowercase()
}

/// Whether an account could be saved as it is, without saving it.
///
/// # Errors
/// All that is wrong with it, each with its key; or as [`add`].
pub fn check(config: &Config, account: &AccountDraft, login: &NewLogin) -> Result<(), Error> {
    checked(config, account, login).map(drop)
}

fn checked(
    config: &Config,
    account: &AccountDraft,
    login: &NewLogin,
) -> Result<(PathBuf, Vec<String>), Error> {
    let name = &account.name;
    must_be_free(config, name)?;
    must_be_another(config, name, &account.peer)?;
    let (key, password) = match login {
        NewLogin::Password(password) => {
            must_be_readable(&config.file, password)?;
            (LoginKey::PasswordIn(Path::new("password")), password.clone())
        }
        NewLogin::SignIn(new) => (LoginKey::OAuth(&new.oauth), SecretString::default()),
    };
    let folder = match &config.accounts_dir {
        Some(folder) => folder.clone(),
        None => folder_of(&absolute(&config.file)).join(draft::ACCOUNTS_DIR),
    };
    let file = folder.join(format!("{name}.toml"));
    let (_, warnings) = draft::read(config, name, &file, &account.text(key), password)?;
    must_be_of_use(config, &folder)?;
    Ok((file, warnings))
}

/// Writes a new account's file, and its password, or puts what was signed in for into the ledger, which has to be there. The
/// config at `main` is read again: others may have changed it while questions were asked.
///
/// # Errors
/// Nothing is saved then, but perhaps the folder for accounts.
pub async fn add(main: &Path, account: AccountDraft, login: NewLogin) -> Result<Saved, Error> {
    let config = config::load_without_secrets(main).await?;
    let (whom, given) = (Whom::Account(account.name.clone()), login.clone());
    let saved = on_disk(main, move || add_to(&config, &account, &given)).await?;
    Ok(keep(main, &whom, &login, saved).await)
}

/// Keeps what was signed in for, of what is saved by now.
pub(super) async fn keep(main: &Path, whom: &Whom, login: &NewLogin, mut saved: Saved) -> Saved {
    if let NewLogin::SignIn(new) = login
        && let Err(text) = keep_sign_in(main, whom, new).await
    {
        saved.warnings.push(text);
        saved.wants_sign_in = true;
    }
    saved
}

/// Keeps a sign-in in the ledger, for what is in the config by now.
///
/// # Errors
/// Why that cannot be, and what to do, in a sentence without its full stop.
pub async fn keep_sign_in(main: &Path, whom: &Whom, new: &NewSignIn) -> Result<(), String> {
    let command = whom.holder().command();
    new.keep(main, whom).await.map_err(|reason| {
        format!("the sign-in could not be kept ({reason}); sign in again: `{command}`, or on the page")
    })
}

fn add_to(config: &Config, account: &AccountDraft, login: &NewLogin) -> Result<Saved, Error> {
    let (file, warnings) = checked(config, account, login)?;
    make_accounts_folder(config)?;
    let (text, secret) = match login {
        NewLogin::Password(password) => {
            let pattern = format!("{}%.password", account.name);
            let secret = write_password(config, folder_of(&file), &pattern, password)?;
            (account.text(LoginKey::PasswordIn(&as_in_config(config, &secret))), Some(secret))
        }
        NewLogin::SignIn(new) => (account.text(LoginKey::OAuth(&new.oauth)), None),
    };
    if let Err(error) = write_new(&file, text.as_bytes()) {
        if let Some(secret) = secret {
            let _ = std::fs::remove_file(secret);
        }
        return Err(fault(&file, "written", &error));
    }
    Ok(Saved { file, warnings, wants_sign_in: false })
}

/// Changes an account's file, and its password where there is a new one, which is tried first. One that signs in by OAuth is
/// signed out where its server or its user is another one now: what was signed in for goes to no other. `before` is what the
/// person has seen of it.
///
/// # Errors
/// What is wrong, and then the account is as it was; [`Error::Changed`] where it is no longer `before`.
pub async fn change(
    main: &Path,
    before: &Account,
    after: AccountDraft,
    password: Option<SecretString>,
) -> Result<Saved, Error> {
    let by_oauth = before.pop3.login.is_by_oauth();
    if by_oauth && password.is_some() {
        return Err(Error::ByOAuth(before.name.clone()));
    }
    let is_moved = after.peer != AccountDraft::of(before).peer;
    let config = config::load_without_secrets(main).await?;
    // Before anybody logs in: what a file would be refused for.
    rewritten(&config, before, &after, password.as_ref())?;
    if is_moved && !by_oauth && password.is_none() {
        return Err(Error::PasswordNeeded);
    }
    try_change(&config, before, &after, password.as_ref()).await?;
    let (file, before) = (main.to_owned(), before.clone());
    on_disk(main, move || {
        // That may have taken its time, and somebody may have changed something meanwhile.
        let config = waited(config::load_without_secrets(&file))?;
        let (text, warnings) = rewritten(&config, &before, &after, password.as_ref())?;
        let end = || match is_moved && by_oauth {
            true => end_now(&config, &Whom::Account(before.name.clone())),
            false => Ok(()),
        };
        write_change(&config, &before, &text, password.as_ref(), end)?;
        Ok(Saved { file: before.file, warnings, wants_sign_in: is_moved && by_oauth })
    })
    .await
}

/// Logs in with a new password, and where labels are wanted that were not before.
async fn try_change(
    config: &Config,
    before: &Account,
    after: &AccountDraft,
    password: Option<&SecretString>,
) -> Result<(), Error> {
    if let Some(password) = password {
        let PeerDraft { host, port, tls, user } = after.peer.clone();
        let peer = net::Settings { host: host.clone(), port, tls, ..before.pop3.peer.clone() };
        let outcome = log_in_account(peer, &user, password.clone().into()).await;
        outcome.map_err(|reason| Error::LoginFailed { host, reason })?;
    }
    let is_new = |route: &&Route| !before.poll.routes.contains(route);
    for route in after.routes.iter().filter(is_new).filter(|route| !route.labels.is_empty()) {
        if let Err(Unusable::Refused(reason)) = log_in_destination(&config.file, route).await {
            return Err(Error::Unfit { to: route.to.clone(), reason });
        }
    }
    Ok(())
}

fn rewritten(
    config: &Config,
    before: &Account,
    after: &AccountDraft,
    password: Option<&SecretString>,
) -> Result<(String, Vec<String>), Error> {
    let file = &before.file;
    must_be_ours(config, before)?;
    must_be_as_before(config, before)?;
    if after.peer != AccountDraft::of(before).peer {
        must_be_another(config, &before.name, &after.peer)?;
    }
    if let Some(password) = password {
        must_be_readable(file, password)?;
    }
    let text = std::fs::read_to_string(file).map_err(|e| fault(file, "read", &e))?;
    let not_toml = |reason| Error::File { path: file.clone(), reason };
    let text = after.rewrite(&text, &AccountDraft::of(before)).map_err(not_toml)?;
    let password = match (password, &before.pop3.login) {
        (Some(password), _) | (None, Login::Password(password)) => password.clone(),
        (None, Login::OAuth(_)) => SecretString::default(),
    };
    let (_, warnings) = draft::read(config, &before.name, file, &text, password)?;
    must_be_of_use(config, folder_of(file))?;
    Ok((text, warnings))
}

/// Only what differs from `before` is written: mixed with what somebody else has changed, a password could go to a
/// server that it is not for.
fn must_be_as_before(config: &Config, before: &Account) -> Result<(), Error> {
    let is_before = |now: &Account| {
        now.file == before.file
            && AccountDraft::of(now) == AccountDraft::of(before)
            && now.pop3.login.is_like(&before.pop3.login)
    };
    match config.accounts.iter().find(|now| now.name == before.name) {
        Some(now) if is_before(now) => Ok(()),
        _ => Err(Error::Changed(format!("account {}", before.name))),
    }
}

/// A new password gets a new file, so that whatever happens meanwhile, it goes with the settings that it is for. `end`
/// is as in
/// [`replace_after`].
fn write_change(
    config: &Config,
    before: &Account,
    text: &str,
    password: Option<&SecretString>,
    end: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let Account { name, file, .. } = before;
    let Some(password) = password else { return replace_after(file, text.as_bytes(), end).map(drop) };
    let old = own_password(config, file);
    let secret = write_password(config, folder_of(file), &format!("{name}%.password"), password)?;
    let written = draft::with_password_file(text, &as_in_config(config, &secret))
        .map_err(|reason| Error::File { path: file.to_owned(), reason })
        .and_then(|text| replace_after(file, text.as_bytes(), end));
    remove_unused(&written, old, Some(secret));
    written.map(drop)
}

/// Takes an account's file away, be it in order or not, and the password that setup wrote beside it, or the tokens of its
/// sign-in. The ledger keeps what it knows of its messages. Returns the file.
///
/// # Errors
/// [`Error::NoAccount`], [`Error::ByHand`], [`Error::File`], [`Error::Unusable`].
pub async fn delete(main: &Path, name: &AccountName) -> Result<PathBuf, Error> {
    let config = config::load_without_secrets(main).await?;
    let file = own_file(&config, name)?.to_owned();
    // Its tokens would outlive it, and be there for another account of its name. One that is not in order may have
    // some, too, and one that has a password by now: they are in nobody's way where they cannot be had.
    let known = config.accounts.iter().find(|account| account.name == *name);
    let is_by_oauth = known.is_some_and(|account| account.pop3.login.is_by_oauth());
    match end_sign_in(&config, &Whom::Account(name.clone())).await {
        Err(reason) if is_by_oauth => return Err(Error::Unusable(reason)),
        _ => {}
    }
    on_disk(main, move || {
        let password = own_password(&config, &file);
        for path in std::iter::once(&file).chain(&password) {
            std::fs::remove_file(path).map_err(|e| fault(path, "removed", &e))?;
        }
        sync_folder(folder_of(&file));
        Ok(file)
    })
    .await
}

/// The file of an account that has one of its own, be it in order or not.
///
/// # Errors
/// [`Error::NoAccount`], [`Error::ByHand`].
pub fn own_file<'c>(config: &'c Config, name: &AccountName) -> Result<&'c Path, Error> {
    let accounts = config.accounts.iter().map(|account| (&account.name, &account.file));
    let broken = config.broken.iter().map(|broken| (&broken.name, &broken.file));
    let mut files: Vec<&Path> =
        accounts.chain(broken).filter(|(known, _)| *known == name).map(|(_, file)| file.as_path()).collect();
    // A file beside an account of the main file that has its name is broken for that.
    files.sort_by_key(|file| *file == config.file);
    match files.first() {
        Some(file) if *file == config.file => {
            Err(Error::ByHand { name: name.clone(), file: config.file.clone() })
        }
        Some(file) => Ok(file),
        None => Err(Error::no_account(config, name)),
    }
}

/// Nobody is signed in for this any more: what was signed in for must at no moment go to where the config leads from now on.
pub(super) fn end_now(config: &Config, whom: &Whom) -> Result<(), Error> {
    waited(end_sign_in(config, whom)).map_err(Error::Unusable)
}

/// Where the main file truly is: a link to it stays one.
pub(super) fn main_file(config: &Config) -> PathBuf {
    let main = absolute(&config.file);
    main.canonicalize().unwrap_or(main)
}

/// A file as the config names it: relative to the folder of the config, where that is possible.
pub(super) fn as_in_config(config: &Config, path: &Path) -> PathBuf {
    let main = absolute(&config.file);
    path.strip_prefix(folder_of(&main)).unwrap_or(path).to_owned()
}

/// Makes the folder for accounts if it is missing; the main file names it from then on.
fn make_accounts_folder(config: &Config) -> Result<(), Error> {
    if config.accounts_dir.is_some() {
        return Ok(());
    }
    let main = main_file(config);
    let text = std::fs::read_to_string(&main).map_err(|e| fault(&main, "read", &e))?;
    let text =
        draft::with_accounts_dir(&text).map_err(|reason| Error::File { path: main.clone(), reason })?;
    make_folder(&folder_of(&absolute(&config.file)).join(draft::ACCOUNTS_DIR))?;
    replace(&main, text.as_bytes())
}

fn must_be_ours(config: &Config, account: &Account) -> Result<(), Error> {
    if account.file == config.file {
        return Err(Error::ByHand { name: account.name.clone(), file: account.file.clone() });
    }
    Ok(())
}

/// Root may set up what another user runs, but only where that user can read it: in a folder of its own.
pub(super) fn must_be_of_use(config: &Config, folder: &Path) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner =
        |path: &Path| path.ancestors().find_map(|path| path.metadata().ok()).map(|metadata| metadata.uid());
    let runs = config.ledger.metadata().ok().map(|metadata| metadata.uid());
    match runs {
        Some(runs) if runs != 0 && owner(folder) != Some(runs) => {
            let place = folder_of(&config.ledger).join("accounts");
            let reason = format!(
                "would be root's, and mailferry runs as user {runs}, who owns the ledger and could not read it; make a \
                 folder of that user, such as {}, and name it as accounts_dir, or run this as that user",
                place.display()
            );
            Err(Error::File { path: folder.to_owned(), reason })
        }
        _ => Ok(()),
    }
}

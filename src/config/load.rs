//! From a path to a [`Config`]: read the files, then fetch the secrets.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use secrecy::SecretString;

use super::account::{Around, LocalZone, RawAccount};
use super::alerts::RawAlerts;
use super::ca_file::CaFile;
use super::destination::{self, Known, RawDestination, RawGmail, RawImap, RawKind};
use super::fault::{Fault, Faults};
use super::lookup::RawLookup;
use super::oauth::{OAuth, Service};
use super::peer::{Peer, RawLogin};
use super::raw::{self, AccountsDir, RawConfig};
use super::secret::Secret;
use super::section::Document;
use super::surroundings::{Env, credentials_folder, local_zone};
use super::webhook::RawWebhook;
use super::{Account, Broken, Config, Destination, Kind, TokenKey, file, keys};
use crate::auth::{Holder, Login};
use crate::destination::{gmail, imap_folder, notifier};
use crate::message::{AccountName, DestinationName, NAME_RULE};
use crate::pop3;

/// Reads the config at `path`, its drop-ins and its secrets.
///
/// # Errors
/// All that is wrong with the main file. What is wrong with one account or one destination alone is in
/// [`Config::broken`] and [`Destination::kind`].
pub async fn load(path: &Path) -> Result<Config, Faults> {
    load_in(path, &|name| std::env::var_os(name), Secrets::Fetch).await
}

/// As [`load`], for commands that log in nowhere: every secret is empty, and none is asked for. They may run as
/// another user or in another environment than the one that has the secrets.
///
/// # Errors
/// As [`load`].
pub async fn load_without_secrets(path: &Path) -> Result<Config, Faults> {
    load_in(path, &|name| std::env::var_os(name), Secrets::Leave).await
}

/// As [`load_without_secrets`], but for the password of one account.
///
/// # Errors
/// As [`load`].
pub async fn load_with_secret_of(path: &Path, account: &AccountName) -> Result<Config, Faults> {
    load_in(path, &|name| std::env::var_os(name), Secrets::OfAccount(account.clone())).await
}

/// As [`load_without_secrets`], but for what one destination needs.
///
/// # Errors
/// As [`load`].
pub async fn load_with_secret_of_destination(path: &Path, name: &DestinationName) -> Result<Config, Faults> {
    load_in(path, &|name| std::env::var_os(name), Secrets::OfDestination(name.clone())).await
}

/// The config that a main file with this text would be, without a file and without accounts.
///
/// # Errors
/// As [`load`].
pub async fn load_text(path: &Path, text: &str) -> Result<Config, Faults> {
    let env: Env<'_> = &|name| std::env::var_os(name);
    let folder = std::path::absolute(path).map_err(|e| whole_file(path, file::why(&e)))?;
    let folder = folder.parent().unwrap_or(Path::new("/"));
    let document = Document::new(path, text, folder, None);
    let main = raw::config(&document, &local_zone(env)).map_err(Faults)?;
    let files = Files { main, accounts: Vec::new(), broken: Vec::new(), warnings: Vec::new() };
    Ok(complete(path, files, &Safe { env, secrets: Secrets::Leave }).await)
}

/// Which secrets are fetched.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secrets {
    Fetch,
    /// The password of this account alone.
    OfAccount(AccountName),
    /// What this destination needs alone.
    OfDestination(DestinationName),
    Leave,
}

pub(super) async fn load_in(path: &Path, env: Env<'_>, secrets: Secrets) -> Result<Config, Faults> {
    let surroundings = Surroundings { zone: local_zone(env), credentials: credentials_folder(env) };
    let file = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || gather(&file, &surroundings));
    let files = reading.await.map_err(|e| whole_file(path, e.to_string()))??;
    Ok(complete(path, files, &Safe { env, secrets }).await)
}

/// Where secrets are fetched from, if they are.
struct Safe<'a> {
    env: Env<'a>,
    secrets: Secrets,
}

impl Safe<'_> {
    async fn fetch(&self, secret: &Secret) -> Result<SecretString, Fault> {
        match self.secrets {
            Secrets::Fetch => secret.fetch(self.env).await,
            Secrets::OfAccount(_) | Secrets::OfDestination(_) | Secrets::Leave => Ok(SecretString::default()),
        }
    }

    /// What of it is for this account.
    fn of_account(&self, account: &AccountName) -> Safe<'_> {
        self.open_if(matches!(&self.secrets, Secrets::OfAccount(only) if only == account))
    }

    /// What of it is for this destination.
    fn of_destination(&self, destination: &DestinationName) -> Safe<'_> {
        self.open_if(matches!(&self.secrets, Secrets::OfDestination(only) if only == destination))
    }

    fn open_if(&self, is_meant: bool) -> Safe<'_> {
        let secrets = if is_meant { Secrets::Fetch } else { self.secrets.clone() };
        Safe { env: self.env, secrets }
    }

    async fn fetch_all(&self, secrets: impl Iterator<Item = &Secret>) -> Result<Vec<SecretString>, Fault> {
        let fetched: Vec<_> = stream::iter(secrets).then(|secret| self.fetch(secret)).collect().await;
        fetched.into_iter().collect()
    }
}

/// What the reading of files depends on, beside the files.
struct Surroundings {
    zone: LocalZone,
    credentials: Option<PathBuf>,
}

/// All the files, read and understood.
struct Files {
    main: RawConfig,
    /// Every account with the file it is from.
    accounts: Vec<(PathBuf, RawAccount)>,
    broken: Vec<Broken>,
    warnings: Vec<String>,
}

/// The longest config file. A thousand accounts in one file take about 300 KiB.
const LONGEST: u64 = 16 << 20;

fn gather(path: &Path, surroundings: &Surroundings) -> Result<Files, Faults> {
    let folder = std::path::absolute(path).map_err(|e| whole_file(path, file::why(&e)))?;
    let folder = folder.parent().unwrap_or(Path::new("/")).to_owned();
    let (text, exposed) = read_text(path, surroundings).map_err(|reason| {
        let next = "; write it there, or name another with -c FILE";
        let next = if reason == file::ABSENT { next } else { "" };
        whole_file(path, reason + next)
    })?;
    let document = Document::new(path, &text, &folder, exposed);
    let mut main = raw::config(&document, &surroundings.zone).map_err(Faults)?;
    let accounts = std::mem::take(&mut main.accounts);
    let warnings = std::mem::take(&mut main.warnings);
    let accounts = accounts.into_iter().map(|account| (path.to_owned(), account)).collect();
    let mut files = Files { main, accounts, broken: Vec::new(), warnings };
    if let Some(dir) = files.main.accounts_dir.take() {
        add_drop_ins(&mut files, path, &folder, &dir, surroundings)?;
        files.main.accounts_dir = Some(dir);
    }
    if files.accounts.is_empty() && files.broken.is_empty() {
        files.warnings.push(format!("{}: there is no account, so nothing is polled", path.display()));
    }
    warn_of_shared_mailboxes(&mut files);
    Ok(files)
}

fn read_text(path: &Path, surroundings: &Surroundings) -> Result<(String, Option<u32>), String> {
    let read = file::read(path, LONGEST, surroundings.credentials.as_deref())?;
    let text = String::from_utf8(read.bytes).map_err(|e| {
        let line = memchr::memchr_iter(b'\n', &e.as_bytes()[..e.utf8_error().valid_up_to()]).count() + 1;
        format!("is not UTF-8 text in line {line}; save it as UTF-8")
    })?;
    Ok((text, read.exposed))
}

fn add_drop_ins(
    files: &mut Files,
    main: &Path,
    folder: &Path,
    dir: &AccountsDir,
    surroundings: &Surroundings,
) -> Result<(), Faults> {
    let paths = drop_ins(&dir.path).map_err(|reason| {
        let text = format!("{} {reason}; make that folder, or take the key out", dir.path.display());
        Faults(vec![Fault { file: main.into(), line: Some(dir.line), key: "accounts_dir".into(), text }])
    })?;
    let place = |account: &RawAccount| (account.name.clone(), format!("{}:{}", main.display(), account.line));
    let reader = DropIns {
        folder,
        known: files.main.destinations.iter().map(known).collect(),
        oauth: files.main.oauth.clone(),
        taken: files.accounts.iter().map(|(_, account)| place(account)).collect(),
        surroundings,
    };
    for path in paths {
        let Some(name) = path.file_stem().and_then(OsStr::to_str).and_then(AccountName::new) else {
            let path = path.display();
            files.warnings.push(format!("{path}: is left out: the name of an account has {NAME_RULE}"));
            continue;
        };
        match reader.read(&path, &name) {
            Ok((account, warnings)) => {
                files.warnings.extend(warnings);
                files.accounts.push((path, account));
            }
            Err(faults) => {
                let reason = in_one_line(&faults);
                files.broken.push(Broken { name, file: path, reason, mailbox: None, routes: Vec::new() });
            }
        }
    }
    Ok(())
}

/// The `*.toml` of a folder, in the order of their names.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let is_drop_in = |path: &PathBuf| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        path.extension() == Some(OsStr::new("toml")) && !is_hidden
    };
    let entries = std::fs::read_dir(dir).map_err(|e| file::why(&e))?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|e| file::why(&e))?;
    paths.retain(is_drop_in);
    paths.sort();
    Ok(paths)
}

/// Reads one drop-in after the other.
struct DropIns<'a> {
    folder: &'a Path,
    known: Vec<Known>,
    oauth: Vec<OAuth>,
    /// The accounts of the main file, and where they stand in it.
    taken: HashMap<AccountName, String>,
    surroundings: &'a Surroundings,
}

impl DropIns<'_> {
    fn read(&self, path: &Path, name: &AccountName) -> Result<(RawAccount, Vec<String>), Vec<Fault>> {
        if let Some(place) = self.taken.get(name) {
            let text = format!("the account {name} is in {place} already; take it out of one of the two");
            return Err(whole_file(path, text).0);
        }
        let text = read_text(path, self.surroundings).map_err(|reason| whole_file(path, reason).0);
        let (text, exposed) = text?;
        let document = Document::new(path, &text, self.folder, exposed);
        let around = Around { known: &self.known, oauth: &self.oauth, zone: &self.surroundings.zone };
        raw::drop_in(&document, name, &around)
    }
}

pub(super) fn known(destination: &RawDestination) -> Known {
    let kind = match destination.kind {
        RawKind::Imap(_) => destination::Kind::Imap,
        RawKind::Webhook(_) => destination::Kind::Webhook,
        RawKind::Gmail(_) => destination::Kind::Gmail,
    };
    Known { name: destination.name.clone(), kind }
}

/// Two sessions in one mailbox lock each other out, and would both delete from it.
fn warn_of_shared_mailboxes(files: &mut Files) {
    let mut owners: HashMap<(&str, u16, &str), &AccountName> = HashMap::new();
    for (file, account) in &files.accounts {
        let mailbox = (account.peer.net.host.as_str(), account.peer.net.port, account.peer.user.as_str());
        if let Some(owner) = owners.insert(mailbox, &account.name) {
            files.warnings.push(format!(
                "{}:{}: the accounts {owner} and {} poll the same mailbox; one account can deliver to both places",
                file.display(),
                account.line,
                account.name
            ));
        }
    }
}

/// How many secrets are fetched side by side: a command may take seconds.
const SIDE_BY_SIDE: usize = 8;

async fn complete(path: &Path, files: Files, safe: &Safe<'_>) -> Config {
    let destinations = stream::iter(files.main.destinations).map(|raw| destination(raw, safe));
    let destinations = destinations.buffered(SIDE_BY_SIDE).collect().await;
    let accounts = stream::iter(files.accounts).map(|(file, raw)| account(file, raw, safe));
    let outcomes: Vec<Result<Account, Broken>> = accounts.buffered(SIDE_BY_SIDE).collect().await;
    let alerts = match files.main.alerts {
        Some(raw) => Some(alerts(raw, safe).await),
        None => None,
    };
    let RawLookup { network: lookup, ca_file } = files.main.lookup;
    let mut warnings = files.warnings;
    // It costs the look-ups, and no mail.
    warnings.extend(check(ca_file.as_ref()).await.err().map(|fault| fault.to_string()));
    let token_key = token_key(files.main.token_key.as_ref(), &files.main.ledger, safe).await;
    let mut config = Config {
        file: path.to_owned(),
        ledger: files.main.ledger,
        token_key,
        oauth: files.main.oauth,
        accounts_dir: files.main.accounts_dir.map(|dir| dir.path),
        web: files.main.web,
        log: files.main.log,
        alerts,
        lookup,
        destinations,
        accounts: Vec::new(),
        broken: files.broken,
        warnings,
    };
    for outcome in outcomes {
        match outcome {
            Ok(account) => config.accounts.push(account),
            Err(broken) => config.broken.push(broken),
        }
    }
    config
}

async fn token_key(secret: Option<&Secret>, ledger: &Path, safe: &Safe<'_>) -> TokenKey {
    let Some(secret) = secret else { return TokenKey::File(ledger.with_extension(keys::TOKEN_KEY)) };
    if safe.secrets == Secrets::Leave {
        return TokenKey::Missing("it was not asked for".into());
    }
    match secret.fetch(safe.env).await {
        Ok(key) => TokenKey::Given(key),
        Err(fault) => TokenKey::Missing(fault.to_string()),
    }
}

async fn account(file: PathBuf, raw: RawAccount, safe: &Safe<'_>) -> Result<Account, Broken> {
    let safe = safe.of_account(&raw.name);
    let holder = Holder::account(&raw.name);
    let (login, trust) =
        tokio::join!(login(&raw.peer, Service::Pop3, holder, &safe), check(raw.peer.ca_file.as_ref()));
    let login = match unless_at_fault(login, trust) {
        Ok(login) => login,
        Err(faults) => {
            let mailbox = Some((raw.peer.net, raw.peer.user));
            let routes = raw.poll.routes.into_iter().map(|route| route.to).collect();
            return Err(Broken { name: raw.name, file, reason: in_one_line(&faults), mailbox, routes });
        }
    };
    Ok(with_login(file, raw, login))
}

/// How a peer is logged in to: its password, or the secret of the application that signs in.
async fn login(peer: &Peer, service: Service, holder: Holder, safe: &Safe<'_>) -> Result<Login, Fault> {
    match &peer.login {
        RawLogin::Password(password) => safe.fetch(password).await.map(Login::Password),
        RawLogin::OAuth(oauth) => by_oauth(oauth, service, holder, &peer.user, safe).await,
    }
}

async fn by_oauth(
    oauth: &OAuth,
    service: Service,
    holder: Holder,
    user: &str,
    safe: &Safe<'_>,
) -> Result<Login, Fault> {
    check(oauth.ca_file.as_ref()).await?;
    let secret = match &oauth.secret {
        Some(secret) => Some(safe.fetch(secret).await?),
        None => None,
    };
    Ok(oauth.login(service, holder, user, secret))
}

/// How `user` signs in by this application, for what is not in the config yet.
///
/// # Errors
/// The secret of the application, or its `ca_file`, cannot be had.
pub async fn new_login(oauth: &OAuth, service: Service, holder: Holder, user: &str) -> Result<Login, Faults> {
    let safe = Safe { env: &|name| std::env::var_os(name), secrets: Secrets::Fetch };
    let login = by_oauth(oauth, service, holder, user, &safe).await;
    login.map_err(|fault| Faults(vec![fault]))
}

pub(super) fn with_login(file: PathBuf, raw: RawAccount, login: Login) -> Account {
    let mut pop3 = pop3::Settings::new(raw.peer.net, &raw.peer.user, login);
    pop3.max_size = raw.max_size;
    let RawAccount { name, poll, schedule, quirks, paused, .. } = raw;
    Account { name, file, pop3, poll, schedule, quirks, paused }
}

async fn destination(raw: RawDestination, safe: &Safe<'_>) -> Destination {
    let safe = &safe.of_destination(&raw.name);
    let holder = Holder::destination(&raw.name);
    let has_password_file = matches!(
        &raw.kind,
        RawKind::Imap(RawImap { peer: Peer { login: RawLogin::Password(password), .. }, .. })
            if password.is_in_file()
    );
    let oauth = match &raw.kind {
        RawKind::Imap(RawImap { peer: Peer { login: RawLogin::OAuth(oauth), .. }, .. })
        | RawKind::Gmail(RawGmail { oauth, .. }) => Some(oauth.name.clone()),
        RawKind::Imap(_) | RawKind::Webhook(_) => None,
    };
    let (word, kind) = match raw.kind {
        RawKind::Imap(RawImap { peer, daily_budget }) => {
            let (login, trust) =
                tokio::join!(login(&peer, Service::Imap, holder, safe), check(peer.ca_file.as_ref()));
            let Peer { net: peer, user, .. } = peer;
            let settings = |login| Kind::Imap(imap_folder::Settings { peer, user, login, daily_budget });
            ("imap", unless_at_fault(login, trust).map(settings))
        }
        RawKind::Webhook(RawWebhook { settings, secrets, place, ca_file }) => {
            let fetched = safe.fetch_all(secrets.all()).await;
            let settings = fetched.and_then(|fetched| {
                let settings = secrets.fill(settings, fetched);
                match safe.secrets {
                    Secrets::Fetch => settings.check_secrets().map_err(|text| Fault { text, ..place })?,
                    Secrets::OfAccount(_) | Secrets::OfDestination(_) | Secrets::Leave => {}
                }
                Ok(settings)
            });
            let settings = unless_at_fault(settings, check(ca_file.as_ref()).await);
            ("webhook", settings.map(Kind::Webhook))
        }
        RawKind::Gmail(raw) => {
            let RawGmail { user, oauth, url, never_mark_spam, process_for_calendar, ca_file } = raw;
            let (login, trust) =
                tokio::join!(by_oauth(&oauth, Service::Gmail, holder, &user, safe), check(ca_file.as_ref()));
            let ca_file = ca_file.map(|file| file.path);
            let settings = |login| {
                Kind::Gmail(gmail::Settings {
                    user,
                    login,
                    url,
                    never_mark_spam,
                    process_for_calendar,
                    ca_file,
                })
            };
            ("gmail", unless_at_fault(login, trust).map(settings))
        }
    };
    let kind = kind.map_err(|faults| in_one_line(&faults));
    Destination { name: raw.name, word, has_password_file, oauth, kind }
}

/// Where its secret cannot be had, notices go the other ways.
async fn alerts(raw: RawAlerts, safe: &Safe<'_>) -> crate::alerts::Settings {
    let mut settings = raw.settings;
    if let Some((secret, place)) = raw.secret
        && let Some(Ok(url)) = settings.url.take()
    {
        let fetched = safe.fetch(&secret).await.and_then(|secret| {
            let url = notifier::Settings { secret: Some(secret), ..url };
            match safe.secrets {
                Secrets::Fetch => url.check_secret().map_err(|text| Fault { text, ..place })?,
                Secrets::OfAccount(_) | Secrets::OfDestination(_) | Secrets::Leave => {}
            }
            Ok(url)
        });
        settings.url = Some(fetched.map_err(|fault| fault.to_string()));
    }
    settings
}

async fn check(ca_file: Option<&CaFile>) -> Result<(), Fault> {
    match ca_file {
        Some(ca_file) => ca_file.check().await,
        None => Ok(()),
    }
}

/// What has its secret now; or what is wrong with the secret and with the `ca_file`, in one go.
fn unless_at_fault<T>(secret: Result<T, Fault>, trust: Result<(), Fault>) -> Result<T, Vec<Fault>> {
    match (secret, trust) {
        (Ok(secret), Ok(())) => Ok(secret),
        (secret, trust) => Err([secret.err(), trust.err()].into_iter().flatten().collect()),
    }
}

fn whole_file(path: &Path, text: String) -> Faults {
    Faults(vec![Fault { file: path.to_owned(), line: None, key: String::new(), text }])
}

fn in_one_line(faults: &[Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    faults.join("; ")
}

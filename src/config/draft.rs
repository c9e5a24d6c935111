//! What setup writes: an account or a destination, as a person has answered, as the text of its file.
//!
//! What is written is read again by the same reader as any config before it is saved, so a person gets the same
//! complaints whoever wrote the file.

mod home;
mod words;

use std::path::Path;

use secrecy::SecretString;
use toml_edit::visit::Visit;
use toml_edit::{Array, DocumentMut, Formatted, InlineTable, Item, Key, Table, Value};

use super::account::Around;
use super::destination::{Kind, Known};
use super::fault::Faults;
pub use super::keys::{ACCOUNTS_DIR, FOLDER, IMAP_PORTS, POP3_PORTS, Ports};
use super::load::with_login;
use super::oauth::Service;
use super::peer::RawLogin;
use super::section::Document;
use super::surroundings::local_zone;
use super::{Account, Config, keys, raw};
use crate::auth::{Holder, Login};
use crate::message::{ARCHIVE, AccountName, Import, LeaveCopy, Route, Test, When};
use crate::net::{self, Tls};

pub use home::{GmailDraft, HomeDraft, Place, home_password_file};
pub use words::{
    AT_ONCE, ENCRYPTIONS, MOST_DAYS, is_number, leave_copy_word, parse_folder, parse_labels,
    parse_leave_copy, parse_secret, tls_word,
};

/// A host, how to trust it, and who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDraft {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    pub user: String,
}

/// An account, but for its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDraft {
    pub name: AccountName,
    pub peer: PeerDraft,
    pub leave_copy: LeaveCopy,
    pub import: Import,
    pub routes: Vec<Route>,
    pub paused: bool,
}

/// What the config says of how somebody logs in.
#[derive(Clone, Copy, Debug)]
pub enum LoginKey<'a> {
    /// The file that holds its password, relative to the folder of the config.
    PasswordIn(&'a Path),
    /// NAME of `[oauth.NAME]`.
    OAuth(&'a str),
}

const HEADER: &str = "# Written by mailferry, and yours to edit.\n";

impl AccountDraft {
    /// An account as its config has it.
    pub fn of(account: &Account) -> AccountDraft {
        let net = &account.pop3.peer;
        AccountDraft {
            name: account.name.clone(),
            peer: PeerDraft {
                host: net.host.clone(),
                port: net.port,
                tls: net.tls,
                user: account.pop3.user.clone(),
            },
            leave_copy: account.poll.leave_copy,
            import: account.poll.import,
            routes: account.poll.routes.clone(),
            paused: account.paused,
        }
    }

    /// The text of a new file.
    pub fn text(&self, login: LoginKey<'_>) -> String {
        let mut document = DocumentMut::new();
        let table = document.as_table_mut();
        self.peer.write(table, None);
        login.write(table);
        for (key, value) in self.terms() {
            set(table, key, value);
        }
        if self.paused {
            set(table, "paused", true.into());
        }
        format!("{HEADER}{document}")
    }

    /// `text`, a drop-in that means `before`, changed to mean this. What is the same keeps its wording, comments stay.
    ///
    /// # Errors
    /// Where `text` is not TOML.
    pub fn rewrite(&self, text: &str, before: &AccountDraft) -> Result<String, String> {
        let mut document = parse(text)?;
        let table = document.as_table_mut();
        self.peer.write(table, Some(&before.peer));
        let changed = self.terms().into_iter().zip(before.terms()).filter(|(new, old)| !same(&new.1, &old.1));
        for ((key, value), _) in changed {
            set(table, key, value);
        }
        if self.paused != before.paused {
            set(table, "paused", self.paused.into());
        }
        Ok(document.to_string())
    }

    fn terms(&self) -> [(&'static str, Value); 3] {
        let import = match self.import {
            Import::All => "all",
            Import::New => "new",
        };
        let routes: Array = self.routes.iter().map(route).collect();
        [("leave_copy", leave_copy(self.leave_copy)), ("import", import.into()), ("deliver", routes.into())]
    }
}

impl PeerDraft {
    /// How to reach it: with the trust of this machine, and never in the clear beyond it.
    pub fn net(&self) -> net::Settings {
        net::Settings {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            ca_file: None,
            server_name: None,
            pin: None,
            allow_plaintext: false,
        }
    }

    fn write(&self, table: &mut Table, before: Option<&PeerDraft>) {
        let is_new =
            |same: fn(&PeerDraft, &PeerDraft) -> bool| before.is_none_or(|before| !same(self, before));
        if is_new(|new, old| new.host == old.host) {
            set(table, "host", self.host.as_str().into());
        }
        // The default of a port goes by `tls`.
        if is_new(|new, old| (new.port, new.tls) == (old.port, old.tls)) {
            set(table, "port", i64::from(self.port).into());
            set(table, "tls", tls_word(self.tls).into());
        }
        if is_new(|new, old| new.user == old.user) {
            set(table, "user", self.user.as_str().into());
        }
    }
}

impl LoginKey<'_> {
    /// In the place of the one before it.
    fn write(self, table: &mut Table) {
        match self {
            LoginKey::PasswordIn(file) => set_instead(table, "oauth", "password", in_file(file)),
            LoginKey::OAuth(name) => set_instead(table, "password", "oauth", name.into()),
        }
    }
}

/// A main file for somebody who has none: accounts in files of their own, and the page on this machine.
pub fn new_main_file() -> String {
    format!(
        "{HEADER}# config/mailferry.toml of mailferry's source is the reference with every key.\n\
         ledger = \"{}\"\naccounts_dir = \"{}\"\n\n[web]\nlisten = \"{}\"\n",
        keys::LEDGER,
        ACCOUNTS_DIR,
        keys::LISTEN
    )
}

/// `text`, a main file, with the key `accounts_dir`.
///
/// # Errors
/// Where `text` is not TOML.
pub fn with_accounts_dir(text: &str) -> Result<String, String> {
    let mut document = parse(text)?;
    set(document.as_table_mut(), "accounts_dir", ACCOUNTS_DIR.into());
    Ok(document.to_string())
}

/// `text`, a drop-in, with its password in the file `password`.
///
/// # Errors
/// Where `text` is not TOML.
pub fn with_password_file(text: &str, password: &Path) -> Result<String, String> {
    let mut document = parse(text)?;
    set(document.as_table_mut(), "password", in_file(password));
    Ok(document.to_string())
}

/// The file that holds the password of `text`, a drop-in, as it is written there. `None` where it is elsewhere.
pub fn password_file(text: &str) -> Option<String> {
    let document = parse(text).ok()?;
    Some(document.get("password")?.get("file")?.as_str()?.to_owned())
}

/// All texts that are values in `text`, any file of a config: whatever it names is among them. `None` where it is not TOML.
pub fn texts(text: &str) -> Option<Vec<String>> {
    let document = parse(text).ok()?;
    let mut texts = Texts(Vec::new());
    texts.visit_document(&document);
    Some(texts.0)
}

struct Texts(Vec<String>);

impl<'d> Visit<'d> for Texts {
    fn visit_string(&mut self, text: &'d Formatted<String>) {
        self.0.push(text.value().clone());
    }
}

/// Reads `text` as the drop-in of `name` would be read, with `password` in place of the one that it names, if it names
/// one. Beside the account there is what is right but unwise: a sentence each, with its place.
///
/// # Errors
/// All that is wrong with it.
pub fn read(
    config: &Config,
    name: &AccountName,
    file: &Path,
    text: &str,
    password: SecretString,
) -> Result<(Account, Vec<String>), Faults> {
    let known = config.destinations.iter().map(|destination| Known {
        name: destination.name.clone(),
        kind: Kind::of(destination.word).unwrap_or(Kind::Imap),
    });
    let known: Vec<Known> = known.collect();
    let folder = std::path::absolute(&config.file).ok();
    let folder = folder.as_deref().and_then(Path::parent).unwrap_or(Path::new("/"));
    let zone = local_zone(&|name| std::env::var_os(name));
    let document = Document::new(file, text, folder, None);
    let around = Around { known: &known, oauth: &config.oauth, zone: &zone };
    let (raw, warnings) = raw::drop_in(&document, name, &around).map_err(Faults)?;
    let login = match &raw.peer.login {
        RawLogin::Password(_) => Login::Password(password),
        RawLogin::OAuth(oauth) => oauth.login(Service::Pop3, Holder::account(name), &raw.peer.user, None),
    };
    Ok((with_login(file.to_owned(), raw, login), warnings))
}

/// Reads `text` as the main file would be read, for what of it is wrong.
///
/// # Errors
/// All that is.
pub fn read_main(config: &Config, text: &str) -> Result<(), Faults> {
    let folder = std::path::absolute(&config.file).ok();
    let folder = folder.as_deref().and_then(Path::parent).unwrap_or(Path::new("/"));
    let zone = local_zone(&|name| std::env::var_os(name));
    let document = Document::new(&config.file, text, folder, None);
    raw::config(&document, &zone).map(drop).map_err(Faults)
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse::<DocumentMut>().map_err(|error| format!("is not TOML: {}", error.message()))
}

/// Puts `value` in the place of the one before it, with the comments that stood above and behind that.
fn set(table: &mut Table, key: &str, mut value: Value) {
    // `Table::insert` takes away what stood above.
    let Some(item) = table.get_mut(key) else { return drop(table.insert(key, Item::Value(value))) };
    if let Some(old) = item.as_value() {
        *value.decor_mut() = old.decor().clone();
    }
    *item = Item::Value(value);
}

/// As [`set`], where `old` may be there in the place of `key`, with comments of its own.
fn set_instead(table: &mut Table, old: &str, key: &str, mut value: Value) {
    let Some((before, item)) = table.remove_entry(old) else { return set(table, key, value) };
    if let Some(item) = item.as_value() {
        *value.decor_mut() = item.decor().clone();
    }
    let key = Key::new(key).with_leaf_decor(before.leaf_decor().clone());
    table.insert_formatted(&key, Item::Value(value));
}

fn same(a: &Value, b: &Value) -> bool {
    a.to_string() == b.to_string()
}

fn in_file(path: &Path) -> Value {
    let mut table = InlineTable::new();
    table.insert("file", path.display().to_string().into());
    table.into()
}

fn route(route: &Route) -> Value {
    let mut table = InlineTable::new();
    table.insert("to", route.to.as_str().into());
    match route.folder.as_str() {
        FOLDER => {}
        ARCHIVE => drop(table.insert("skip_inbox", true.into())),
        folder => drop(table.insert("folder", folder.into())),
    }
    if !route.labels.is_empty() {
        table.insert("labels", route.labels.iter().map(String::as_str).collect::<Array>().into());
    }
    if route.mark_read {
        table.insert("mark_read", true.into());
    }
    if !route.junk.is_empty() {
        table.insert("junk", true.into());
    }
    if let Some(recipient) = &route.recipient {
        table.insert("recipient", recipient.as_str().into());
    }
    if let Some(when) = &route.when {
        table.insert("when", condition(when));
    }
    table.into()
}

fn condition(when: &When) -> Value {
    let all = |parts: &[When]| -> Value { parts.iter().map(condition).collect::<Array>().into() };
    let octets = |octets: u64| i64::try_from(octets).unwrap_or(i64::MAX).into();
    let entries: Vec<(&str, Value)> = match when {
        When::Header { name, test } => {
            let test: Option<(&str, Value)> = match test {
                Test::Exists => None,
                Test::Equals(text) => Some(("equals", text.as_str().into())),
                Test::Contains(text) => Some(("contains", text.as_str().into())),
                Test::Matches(pattern) => Some(("matches", pattern.0.as_str().into())),
            };
            [("header", name.as_str().into())].into_iter().chain(test).collect()
        }
        When::Larger(size) => vec![("larger", octets(*size))],
        When::Smaller(size) => vec![("smaller", octets(*size))],
        When::Attachment(wanted) => vec![("attachment", (*wanted).into())],
        When::All(parts) => vec![("all", all(parts))],
        When::Any(parts) => vec![("any", all(parts))],
        When::Not(part) => vec![("not", condition(part))],
    };
    entries.into_iter().collect::<InlineTable>().into()
}

fn leave_copy(leave_copy: LeaveCopy) -> Value {
    match leave_copy {
        LeaveCopy::Forever => true.into(),
        AT_ONCE => false.into(),
        LeaveCopy::For(_) => leave_copy_word(leave_copy).into(),
    }
}

//! The judge: given what was put at a source and what a run left behind, says whether a promise was broken.
//!
//! | | what must hold |
//! |---|---|
//! | I1 | every message ever put at the source is at each destination or still at the source |
//! | I2 | none is at a destination more often than it was put, save where the ledger says "unverified" |
//! | I3 | nothing is gone from the source without a delivered row in the ledger |
//! | I4 | what arrived equals, to the byte, what was put |
//! | I5 | the ledger passes SQLite's `integrity_check` and `foreign_key_check` |
//! | I6 | once the fault is gone, all is delivered: [`Evidence::expect_all_delivered`] |
//! | I7 | no secret is in any output, log or ledger file: [`expect_no_secret`] |
//!
//! I8, bounded memory and descriptors, is measured by whoever runs the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Connection, FromRow, Row as _, SqliteConnection};
use tempfile::TempDir;

use crate::world;

/// The passwords and secrets of worlds and of those who cross between Dovecots, which are in no ledger.
const SECRETS: [&str; 3] = [world::PASSWORD, world::WEBHOOK_SECRET, crate::faults::UNUSUAL];

/// What a run left behind.
pub struct Evidence {
    /// Every message ever put at the source, as POP3 hands it out.
    pub put: Vec<Vec<u8>>,
    /// What is still there.
    pub source: Vec<Vec<u8>>,
    pub destinations: Vec<Arrived>,
    /// The ledger's file; its process may have been killed.
    pub ledger: PathBuf,
}

/// What is at one destination.
pub struct Arrived {
    /// As the config names it.
    pub name: &'static str,
    pub messages: Vec<Vec<u8>>,
}

/// What the ledger says, read from a copy: to recover the original is mailferry's own business.
#[derive(Default)]
pub struct Books {
    /// [`content`] of each message with a delivered row, and for how many rows.
    pub delivered: BTreeMap<Vec<u8>, usize>,
    /// For each destination [`content`] of what is delivered there.
    pub delivered_to: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// The same, where nobody knows under which UID.
    pub unplaced: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// For each destination how many deliveries of a [`content`] were sent again unverified.
    pub unverified: BTreeMap<String, BTreeMap<Vec<u8>, usize>>,
    /// UIDL and [`content`] of each message that was ever retrieved.
    pub retrieved: BTreeSet<(Vec<u8>, Vec<u8>)>,
    /// [`content`] of each message whose DELE was about to be sent, or more.
    pub announced: BTreeSet<Vec<u8>>,
    /// Deliveries that can be given up: row of the message, its UIDL, the destination.
    pub waiting: Vec<(i64, Vec<u8>, String)>,
}

impl Evidence {
    /// I1 to I5, and I7 of the ledger.
    ///
    /// # Errors
    /// A sentence that names what was broken, and by which message.
    pub async fn judge(&self) -> Result<(), String> {
        let books = match Snapshot::of(&self.ledger).await? {
            Some(mut snapshot) => {
                snapshot.expect_sound().await?;
                snapshot.books().await?
            }
            None => Books::default(),
        };
        let files = ["", "-wal"].map(|end| PathBuf::from(format!("{}{end}", self.ledger.display())));
        expect_no_secret(&SECRETS, b"", &files)?;
        let (put, source) = (counted(&self.put), counted(&self.source));
        for arrived in &self.destinations {
            let there = counted(&arrived.messages);
            for (message, &count) in &there {
                let put = put.get(message).copied().unwrap_or(0);
                if put == 0 {
                    return Err(format!("I4: {} holds what nobody sent: {}", arrived.name, shown(message)));
                }
                if count > put + books.unverified(arrived.name, &content(message)) {
                    return Err(format!("I2: {} holds {count} times: {}", arrived.name, shown(message)));
                }
            }
            for (message, &count) in &put {
                let [there, left] = [&there, &source].map(|side| side.get(message).copied().unwrap_or(0));
                if there + left < count {
                    return Err(format!("I1: lost, never at {}: {}", arrived.name, shown(message)));
                }
            }
        }
        for (message, &count) in &put {
            let gone = count.saturating_sub(source.get(message).copied().unwrap_or(0));
            if gone > books.delivered.get(&content(message)).copied().unwrap_or(0) {
                return Err(format!("I3: deleted, but not delivered by the ledger: {}", shown(message)));
            }
        }
        Ok(())
    }

    /// I6, and with it I1 to I5: each message is at each destination; the source is `emptied` or complete.
    ///
    /// # Errors
    /// As [`Evidence::judge`].
    pub async fn expect_all_delivered(&self, emptied: bool) -> Result<(), String> {
        self.judge().await?;
        for arrived in &self.destinations {
            let there = counted(&arrived.messages);
            for (message, count) in counted(&self.put) {
                if there.get(&message).copied().unwrap_or(0) < count {
                    return Err(format!("I6: not delivered to {}: {}", arrived.name, shown(&message)));
                }
            }
        }
        let left = if emptied { 0 } else { self.put.len() };
        if self.source.len() != left {
            return Err(format!("I6: {} messages are left at the source, not {left}", self.source.len()));
        }
        Ok(())
    }
}

impl Books {
    /// How many of these were sent again to a destination unverified.
    pub fn unverified(&self, destination: &str, content: &[u8]) -> usize {
        let there = self.unverified.get(destination);
        there.and_then(|there| there.get(content)).copied().unwrap_or(0)
    }

    /// What the ledger says; nothing where nobody has made it yet.
    ///
    /// # Errors
    /// I5, as a sentence: it cannot be read.
    pub async fn read(ledger: &Path) -> Result<Books, String> {
        match Snapshot::of(ledger).await? {
            Some(mut snapshot) => snapshot.books().await,
            None => Ok(Books::default()),
        }
    }
}

/// A message and one of its deliveries, if it has any.
#[derive(FromRow)]
struct Row {
    id: i64,
    uidl: Vec<u8>,
    content: Option<Vec<u8>>,
    announced: bool,
    name: Option<String>,
    state: Option<String>,
    unverified: Option<bool>,
    is_unplaced: bool,
}

impl From<Vec<Row>> for Books {
    fn from(rows: Vec<Row>) -> Books {
        let (mut books, mut counted) = (Books::default(), BTreeSet::new());
        for Row { id, uidl, content, announced, name, state, unverified, is_unplaced } in rows {
            let (name, state) = (name.unwrap_or_default(), state.unwrap_or_default());
            if ["due", "deferred", "parked", "attempting"].contains(&&*state) {
                books.waiting.push((id, uidl.clone(), name.clone()));
            }
            let Some(content) = content else { continue };
            if unverified == Some(true) {
                let there = books.unverified.entry(name.clone()).or_default();
                *there.entry(content.clone()).or_default() += 1;
            }
            if state == "delivered" {
                if counted.insert(id) {
                    *books.delivered.entry(content.clone()).or_default() += 1;
                }
                if is_unplaced {
                    books.unplaced.entry(name.clone()).or_default().insert(content.clone());
                }
                books.delivered_to.entry(name).or_default().insert(content.clone());
            }
            if announced {
                books.announced.insert(content.clone());
            }
            books.retrieved.insert((uidl, content));
        }
        books
    }
}

/// I5; true of a ledger that nobody has made yet.
///
/// # Errors
/// What SQLite finds wrong.
pub async fn expect_sound(ledger: &Path) -> Result<(), String> {
    match Snapshot::of(ledger).await? {
        Some(mut snapshot) => snapshot.expect_sound().await,
        None => Ok(()),
    }
}

/// A copy of a ledger whose process may go on, or may have been killed.
struct Snapshot {
    ledger: SqliteConnection,
    _folder: TempDir,
}

impl Snapshot {
    async fn of(ledger: &Path) -> Result<Option<Snapshot>, String> {
        if !ledger.exists() {
            return Ok(None);
        }
        let folder = world::folder();
        let file = folder.path().join("ledger.db");
        // The log first: whoever closes the ledger meanwhile moves it into the file, and takes it away.
        for end in ["-wal", ""] {
            let from = PathBuf::from(format!("{}{end}", ledger.display()));
            match fs::copy(&from, format!("{}{end}", file.display())) {
                Err(fault) if fault.kind() != ErrorKind::NotFound => return Err(fault.to_string()),
                _ => {}
            }
        }
        let options = SqliteConnectOptions::new().filename(file);
        let ledger = SqliteConnection::connect_with(&options).await.map_err(unreadable)?;
        Ok(Some(Snapshot { ledger, _folder: folder }))
    }

    async fn books(&mut self) -> Result<Books, String> {
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'deliveries'";
        let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut self.ledger).await.map_err(unreadable)?;
        if tables == 0 {
            // It was killed before its first commit.
            return Ok(Books::default());
        }
        let rows = "
            SELECT m.id, m.uidl, m.content, m.deleted_at IS NOT NULL AS announced, t.name, d.state, d.unverified,
                d.uid IS NULL AS is_unplaced
            FROM messages m LEFT JOIN deliveries d ON d.message = m.id LEFT JOIN destinations t ON t.id = d.destination
            ORDER BY d.id";
        let rows: Vec<Row> = sqlx::query_as(rows).fetch_all(&mut self.ledger).await.map_err(unreadable)?;
        Ok(Books::from(rows))
    }

    async fn expect_sound(&mut self) -> Result<(), String> {
        for check in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
            let rows: Vec<SqliteRow> =
                sqlx::query(check).fetch_all(&mut self.ledger).await.map_err(unreadable)?;
            let found: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap_or_default()).collect();
            if !(found.is_empty() || found == ["ok"]) {
                return Err(format!("I5: {check}: {found:?}"));
            }
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn unreadable(fault: sqlx::Error) -> String {
    format!("I5: the ledger cannot be read: {fault}")
}

/// I7: neither the text nor any of the files holds a secret, as it is, in hex, or in base64 at any alignment.
///
/// # Errors
/// Which secret is where.
pub fn expect_no_secret(secrets: &[&str], text: &[u8], files: &[PathBuf]) -> Result<(), String> {
    let mut places = vec![("the output".to_owned(), text.to_owned())];
    for file in files {
        match fs::read(file) {
            Ok(bytes) => places.push((file.display().to_string(), bytes)),
            Err(fault) if fault.kind() == ErrorKind::NotFound => {}
            Err(fault) => return Err(format!("I7: {} cannot be looked into: {fault}", file.display())),
        }
    }
    for secret in secrets {
        for form in forms(secret) {
            for (place, bytes) in &places {
                if memchr::memmem::find(bytes, &form).is_some() {
                    return Err(format!("I7: a secret is in {place}, as {}", shown(&form)));
                }
            }
        }
    }
    Ok(())
}

/// A secret as it is, in hex, and what base64 makes of its inner bytes wherever it begins in a longer text.
fn forms(secret: &str) -> BTreeSet<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = BTreeSet::from([secret.into(), hex.to_uppercase().into(), hex.into()]);
    for before in 0..3 {
        let padded = [&vec![0; before], secret.as_bytes()].concat();
        for alphabet in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
            let encoded = alphabet.encode(&padded);
            // The first and the last characters depend on the neighbours.
            let inner = &encoded[(before * 8).div_ceil(6)..padded.len() * 8 / 6];
            forms.insert(inner.as_bytes().to_owned());
        }
    }
    forms
}

/// How often each message occurs.
pub fn counted(messages: &[Vec<u8>]) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        *counts.entry(message.clone()).or_default() += 1;
    }
    counts
}

/// What the ledger calls the content: SHA-256 without the header fields that servers rewrite.
pub fn content(message: &[u8]) -> Vec<u8> {
    let unsteady = ["status:", "x-status:", "x-uidl:", "x-keywords:"];
    let (mut hash, mut in_header) = (Sha256::new(), true);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        in_header &= !matches!(line, b"\r\n" | b"\n");
        let start = String::from_utf8_lossy(&line[..line.len().min(12)]).to_ascii_lowercase();
        if !(in_header && unsteady.iter().any(|name| start.starts_with(name))) {
            hash.update(line);
        }
    }
    hash.finalize().to_vec()
}

pub fn shown(message: &[u8]) -> String {
    message[..message.len().min(200)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(put: &[&str], source: &[&str], arrived: &[&str]) -> Evidence {
        let owned = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_owned()).collect();
        let destinations = vec![Arrived { name: "home", messages: owned(arrived) }];
        Evidence { put: owned(put), source: owned(source), destinations, ledger: "/nonexistent".into() }
    }

    #[tokio::test]
    async fn what_is_broken_is_named() {
        for (put, source, arrived, broken) in [
            (&["a", "b"][..], &["a", "b"][..], &["a"][..], None),
            (&["a", "a"], &["a", "a"], &["a", "a"], None),
            (&["a", "b"], &["a"], &["a"], Some("I1")),
            (&["a", "a"], &["a"], &[], Some("I1")),
            (&["a"], &["a"], &["a", "a"], Some("I2")),
            (&["a"], &[], &["a"], Some("I3")),
            (&["a"], &["a"], &["A"], Some("I4")),
        ] {
            let found = evidence(put, source, arrived).judge().await.err();
            let found = found.as_ref().map(|text| &text[..2]);
            assert_eq!(found, broken, "{put:?} {source:?} {arrived:?}");
        }
        let late = evidence(&["a"], &["a"], &[]).expect_all_delivered(false).await;
        assert!(late.unwrap_err().starts_with("I6"));
    }

    #[test]
    fn a_secret_is_found_in_every_guise() {
        let login = BASE64_STANDARD_NO_PAD.encode("\0me@example.org\0opensesame");
        for text in [
            "PASS opensesame",
            &login,
            "6f70656e736573616d65",
            &BASE64_STANDARD_NO_PAD.encode("xopensesamey"),
        ] {
            assert!(expect_no_secret(&["opensesame"], text.as_bytes(), &[]).is_err(), "{text}");
        }
        assert_eq!(expect_no_secret(&["opensesame"], b"open sesame b3BlbnNlc2", &[]), Ok(()));
    }
}

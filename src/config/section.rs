//! The way through a TOML file: tables whose every value has a line, and whose every fault is collected.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, quoted, suggestion};
use super::value::{self, Read};

/// A file that is being read, and what is wrong with it so far.
pub struct Document<'a> {
    file: &'a Path,
    text: &'a str,
    /// What relative paths are relative to.
    folder: &'a Path,
    /// The file's mode, where it lets other users read the file.
    pub exposed: Option<u32>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
}

/// Of a file that is not TOML at all the first lines tell enough.
const MOST_ERRORS: usize = 50;

impl<'a> Document<'a> {
    pub fn new(file: &'a Path, text: &'a str, folder: &'a Path, exposed: Option<u32>) -> Document<'a> {
        Document { file, text, folder, exposed, faults: RefCell::default(), warnings: RefCell::default() }
    }

    /// The file's tables.
    ///
    /// # Errors
    /// All the places that are not TOML; what the rest means is not looked at then.
    pub fn parse(&self) -> Result<Spanned<DeTable<'a>>, Vec<Fault>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        if errors.is_empty() {
            return Ok(table);
        }
        let mut last = (0, String::new());
        for error in errors.into_iter().take(MOST_ERRORS) {
            let line = self.line(error.span().map_or(0, |span| span.start));
            let is_repeated = error.message() == "duplicate key";
            let text = match self.unquoted(line) {
                _ if is_repeated => {
                    let key = error.span().and_then(|span| self.text.get(span)).unwrap_or("a key");
                    format!("{} is there for the second time; keep one of them", quoted(key))
                }
                Some(text) => text,
                None => format!("is not TOML: {}", error.message()),
            };
            // What follows on the same line, or is said again of the next, is seldom a fault of its own.
            let what = if is_repeated { error.message().to_owned() } else { text.clone() };
            let follows = line == last.0 || (line == last.0 + 1 && what == last.1);
            if !follows {
                self.fault(String::new(), line, text);
            }
            last = (line, what);
        }
        Err(self.faults())
    }

    /// The commonest slip has a complaint of its own. It shows the key, not the value, which may be a password.
    fn unquoted(&self, line: usize) -> Option<String> {
        let (key, value) = self.text.lines().nth(line - 1)?.split_once('=')?;
        let key = key.trim();
        let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let word = value.split_whitespace().next()?.to_lowercase();
        let is_word = word.starts_with(char::is_alphanumeric) && word.contains(char::is_alphabetic);
        let is_flag = word == "true" || word == "false";
        (is_bare && is_word && !is_flag).then(|| format!("{key}: text must stand in quotes: {key} = \"...\""))
    }

    pub fn section<'d>(&'d self, table: &'d DeTable<'d>) -> Section<'d> {
        Section { document: self, table, path: String::new(), line: 1 }
    }

    /// Takes out what was found wrong, in the order of the lines.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.take();
        faults.sort_by_key(|fault| fault.line);
        faults
    }

    /// Takes out what is right but unwise.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.take().iter().map(Fault::to_string).collect()
    }

    fn fault(&self, key: String, line: usize, text: String) {
        self.faults.borrow_mut().push(Fault { file: self.file.to_owned(), line: Some(line), key, text });
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        memchr::memchr_iter(b'\n', before).count() + 1
    }
}

/// One table of a [`Document`].
pub struct Section<'d> {
    pub document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    path: String,
    line: usize,
}

impl<'d> Section<'d> {
    /// The value of `key` as `read` understands it. `None` where it is absent, and where it is wrong, which is
    /// then on record.
    pub fn read<T>(&self, key: &str, read: impl FnOnce(&'d DeValue<'d>) -> Read<T>) -> Option<T> {
        let value = self.table.get(key)?;
        read(value.get_ref()).map_err(|text| self.fault(key, text)).ok()
    }

    /// As [`Section::read`], but absence is a fault too. `example` is what to write.
    pub fn need<T>(
        &self,
        key: &str,
        example: &str,
        read: impl FnOnce(&'d DeValue<'d>) -> Read<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.fault(key, format!("is missing; write {key} = {example}"));
        }
        self.read(key, read)
    }

    pub fn flag(&self, key: &str) -> bool {
        self.read(key, value::flag).unwrap_or(false)
    }

    /// A path, relative to the folder of the config.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        self.read(key, value::line).map(|path| self.document.folder.join(path))
    }

    pub fn folder(&self) -> &'d Path {
        self.document.folder
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The table under `key`.
    pub fn table(&self, key: &str) -> Option<Section<'d>> {
        let table = self.read(key, |value| {
            value.as_table().ok_or_else(|| format!("must be a table, not {}", value::kind(value)))
        })?;
        Some(self.inner(key, self.line_of(key), table))
    }

    /// The keys that are there.
    pub fn names(&self) -> Vec<&'d str> {
        self.table.keys().map(|name| -> &'d str { name.get_ref() }).collect()
    }

    /// The tables under `key`, each with the name that its user gave it: `[account.NAME]`.
    pub fn named_tables(&self, key: &str) -> Vec<(&'d str, Section<'d>)> {
        let Some(outer) = self.table(key) else { return Vec::new() };
        let names = outer.table.keys().map(|name| -> &'d str { name.get_ref() });
        names.filter_map(|name| Some((name, outer.table(name)?))).collect()
    }

    /// The tables in the list under `key`, at least one. `example` is what to write.
    pub fn list(&self, key: &str, example: &str) -> Vec<Section<'d>> {
        let wrong = || format!("must be a list of tables; write {key} = {example}");
        let list = self.need(key, example, |value| match value.as_array() {
            Some(list) if list.is_empty() => Err(format!("is an empty list; write {key} = {example}")),
            Some(list) => Ok(list),
            None => Err(wrong()),
        });
        let entries = list.into_iter().flat_map(|list| list.iter());
        entries.filter_map(|entry| self.entry(key, entry, wrong)).collect()
    }

    /// The table under `key`, or those in the list there, at least one. `example` is what to write.
    pub fn one_or_more(&self, key: &str, example: &str) -> Vec<Section<'d>> {
        match self.table.get(key).map(Spanned::get_ref) {
            Some(DeValue::Array(_)) => self.list(key, example),
            Some(DeValue::Table(_)) => self.table(key).into_iter().collect(),
            _ => {
                self.fault(key, format!("must be a table, or a list of tables; write {key} = {example}"));
                Vec::new()
            }
        }
    }

    fn entry(
        &self,
        key: &str,
        entry: &'d Spanned<DeValue<'d>>,
        wrong: impl Fn() -> String,
    ) -> Option<Section<'d>> {
        let line = self.document.line(entry.span().start);
        let Some(table) = entry.get_ref().as_table() else {
            self.document.fault(self.path_of(key), line, wrong());
            return None;
        };
        Some(self.inner(key, line, table))
    }

    /// A section for a table that is a value, such as that of a secret.
    pub fn inner(&self, key: &str, line: usize, table: &'d DeTable<'d>) -> Section<'d> {
        Section { document: self.document, table, path: self.path_of(key), line }
    }

    /// Puts every key on record that is none of `known`.
    pub fn only(&self, known: &[&[&str]]) {
        let known = known.concat();
        for key in self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let text = format!("is not a key; {}", suggestion(key.get_ref(), &known));
            self.fault(key.get_ref(), text);
        }
    }

    /// Puts a fault of `key` on record, or of the whole section where `key` is empty.
    pub fn fault(&self, key: &str, text: impl Into<String>) {
        self.document.fault(self.path_of(key), self.line_of(key), text.into());
    }

    pub fn warn(&self, key: &str, text: String) {
        self.document.warnings.borrow_mut().push(Fault { text, ..self.place(key) });
    }

    /// A complaint about `key` that is yet without its text.
    pub fn place(&self, key: &str) -> Fault {
        let line = Some(self.line_of(key));
        Fault { file: self.file().to_owned(), line, key: self.path_of(key), text: String::new() }
    }

    /// Where `key` stands; where it is absent, where its section begins.
    pub fn line_of(&self, key: &str) -> usize {
        let found = self.table.get_key_value(key);
        found.map_or(self.line, |(key, _)| self.document.line(key.span().start))
    }

    /// The dotted key.
    pub fn path_of(&self, key: &str) -> String {
        let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let key = if key.chars().all(is_bare) { key.to_owned() } else { quoted(key) };
        match (self.path.is_empty(), key.is_empty()) {
            (false, false) => format!("{}.{key}", self.path),
            (true, _) => key,
            (_, true) => self.path.clone(),
        }
    }

    pub fn file(&self) -> &'d Path {
        self.document.file
    }
}

//! The format of a dialog file: tests/dialogs/README.md is its reference.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::ferry::message;
use crate::peer::{Script, resolve_escapes};

/// A dialog as its file says it.
pub struct Dialog {
    pub file: PathBuf,
    /// Keys of the account and of the destination, beyond how to reach them.
    pub account: BTreeMap<String, String>,
    pub destination: BTreeMap<String, String>,
    /// What the config's `tls` says at the scripted peer.
    pub tls: String,
    pub mails: Vec<Vec<u8>>,
    /// What happens, each with the number of its line.
    pub acts: Vec<(usize, Act)>,
}

/// A line at the margin that is no heading.
pub enum Act {
    /// This peer plays this script during the next command.
    Play(Side, Script),
    /// `mailferry` with these arguments ends with this exit code.
    Run {
        code: i32,
        arguments: Vec<String>,
    },
    Expect(Check),
}

/// Which peer is scripted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Pop3,
    Imap,
    Http,
}

pub enum Check {
    /// These mails have been delivered, no others, and each once.
    Delivered(Vec<usize>),
    /// The scripted POP3 server has let these go.
    Gone(Vec<usize>),
    Parked(u64),
    Pending(u64),
    /// The class of the account's error, or `none`.
    Error(String),
    /// The destination's state.
    Destination(String),
    /// The last command's output or log holds it.
    Says(Vec<u8>),
    /// No output or log so far holds it, nor does the ledger.
    Never(Vec<u8>),
}

impl Dialog {
    pub fn read(file: &Path) -> Dialog {
        let text = fs::read_to_string(file).unwrap();
        Reader::new(file, &text).read().unwrap_or_else(|fault| panic!("{}: {fault}", file.display()))
    }

    /// Whether this side is scripted.
    pub fn scripts(&self, side: Side) -> bool {
        self.acts.iter().any(|(_, act)| matches!(act, Act::Play(played, _) if *played == side))
    }
}

struct Reader<'a> {
    lines: Vec<(usize, &'a str)>,
    dialog: Dialog,
}

impl<'a> Reader<'a> {
    fn new(file: &Path, text: &'a str) -> Reader<'a> {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        });
        let dialog = Dialog {
            file: file.to_owned(),
            account: BTreeMap::new(),
            destination: BTreeMap::new(),
            tls: "none".into(),
            mails: Vec::new(),
            acts: Vec::new(),
        };
        Reader { lines: lines.collect(), dialog }
    }

    fn read(mut self) -> Result<Dialog, String> {
        let lines = std::mem::take(&mut self.lines);
        let mut at = 0;
        while let Some(&(number, line)) = lines.get(at) {
            at += 1;
            let is_indented = |(_, line): &&(usize, &str)| line.starts_with(' ');
            let block = lines[at..].iter().take_while(is_indented).count();
            self.heading(number, line, &lines[at..at + block])
                .map_err(|fault| format!("line {number}: {fault}"))?;
            at += block;
        }
        Ok(self.dialog)
    }

    /// A line at the margin, and the block of indented lines below it.
    fn heading(&mut self, number: usize, line: &str, block: &[(usize, &str)]) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let side = match word {
            "account:" => return insert(&mut self.dialog.account, rest),
            "destination:" => return insert(&mut self.dialog.destination, rest),
            "tls:" => {
                self.dialog.tls = rest.to_owned();
                return Ok(());
            }
            "mails:" => {
                self.dialog.mails.extend((1..=count(rest)?).map(message));
                return Ok(());
            }
            "mail~" => {
                self.dialog.mails.push(ended(resolve_escapes(rest)));
                return Ok(());
            }
            "pop3:" => Side::Pop3,
            "imap:" => Side::Imap,
            "http:" => Side::Http,
            _ => {
                self.dialog.acts.push((number, act(word, rest)?));
                return Ok(());
            }
        };
        let lines = expand(block, &self.dialog.mails)?;
        let script =
            Script::parse(lines.iter().map(|(number, line)| (*number, &**line)), &self.dialog.mails)?;
        self.dialog.acts.push((number, Act::Play(side, script)));
        Ok(())
    }
}

/// With the line end that POP3 adds where there is none.
fn ended(mut mail: Vec<u8>) -> Vec<u8> {
    if !mail.ends_with(b"\n") {
        mail.extend_from_slice(b"\r\n");
    }
    mail
}

fn insert(keys: &mut BTreeMap<String, String>, assignment: &str) -> Result<(), String> {
    let (key, value) = assignment.split_once(" = ").ok_or("this is written `KEY = VALUE`")?;
    keys.insert(key.to_owned(), value.to_owned());
    Ok(())
}

fn act(word: &str, rest: &str) -> Result<Act, String> {
    let check = match word {
        "fetch" => return run(rest, "fetch"),
        "run" => {
            let (code, command) = rest.split_once(' ').ok_or("this is written `run CODE COMMAND`")?;
            return run(code, command);
        }
        "delivered" => Check::Delivered(mails(rest)?),
        "gone" => Check::Gone(mails(rest)?),
        "parked" => Check::Parked(count(rest)? as u64),
        "pending" => Check::Pending(count(rest)? as u64),
        "error" => Check::Error(rest.to_owned()),
        "destination" => Check::Destination(rest.to_owned()),
        "says" => Check::Says(resolve_escapes(rest)),
        "never" => Check::Never(resolve_escapes(rest)),
        _ => return Err(format!("`{word}` is no word of a dialog file")),
    };
    Ok(Act::Expect(check))
}

fn run(code: &str, command: &str) -> Result<Act, String> {
    let code = code.parse().map_err(|_| format!("`{code}` is no exit code"))?;
    Ok(Act::Run { code, arguments: command.split(' ').map(str::to_owned).collect() })
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// `1 3-5` or `none`.
fn mails(text: &str) -> Result<Vec<usize>, String> {
    let mut mails = Vec::new();
    for word in text.split(' ').filter(|word| *word != "none") {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        mails.extend(count(first)?..=count(last)?);
    }
    Ok(mails)
}

/// Puts in what `play` and `listing` stand for.
fn expand(block: &[(usize, &str)], known: &[Vec<u8>]) -> Result<Vec<(usize, String)>, String> {
    let mut lines = Vec::new();
    for &(number, line) in block {
        let line = line.trim_start();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "again" {
            let above = lines.clone();
            lines.push((number, "next".to_owned()));
            if rest == "perhaps" {
                lines.push((number, rest.to_owned()));
            }
            lines.extend(above);
            continue;
        }
        let text = match (word, rest) {
            ("play", rest) => part(rest),
            ("listing", rest) => listing(&mails(rest)?, known) + &sizes(&mails(rest)?, known),
            ("same", rest) => listing(&mails(rest.strip_prefix("listing ").unwrap_or(rest))?, known),
            _ => line.to_owned(),
        };
        lines.extend(text.lines().map(|line| (number, line.to_owned())));
    }
    Ok(lines)
}

/// A part that many dialogs have in common. A line with `{}` in it is there once for each argument; arguments are
/// separated by commas.
fn part(call: &str) -> String {
    let (name, arguments) = call.split_once(' ').unwrap_or((call, ""));
    let file = folder().join("parts").join(format!("{name}.part"));
    let text = fs::read_to_string(&file).unwrap_or_else(|fault| panic!("{}: {fault}", file.display()));
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let mut lines = String::new();
    for line in text.lines() {
        let times: Vec<String> = match line.contains("{}") {
            true => arguments.iter().map(|argument| line.replace("{}", argument)).collect(),
            false => vec![line.to_owned()],
        };
        lines.extend(times.iter().flat_map(|line| [line, "\n"]));
    }
    lines
}

/// STAT and UIDL of a mailbox that holds these mails: mail 7 has the UIDL u7.
fn listing(listed: &[usize], mails: &[Vec<u8>]) -> String {
    let octets: usize = listed.iter().map(|&mail| octets(mail, mails)).sum();
    let rows = (1..).zip(listed).map(|(number, mail)| format!("S: {number} u{mail}\n"));
    let rows: String = rows.collect();
    format!("C: STAT\nS: +OK {} {octets}\nC: UIDL\nS: +OK\n{rows}S: .\n", listed.len())
}

/// And LIST.
fn sizes(listed: &[usize], mails: &[Vec<u8>]) -> String {
    let rows = (1..).zip(listed).map(|(number, &mail)| format!("S: {number} {}\n", octets(mail, mails)));
    let rows: String = rows.collect();
    format!("C: LIST\nS: +OK\n{rows}S: .\n")
}

fn octets(mail: usize, mails: &[Vec<u8>]) -> usize {
    mail.checked_sub(1).and_then(|at| mails.get(at)).map_or(0, Vec::len)
}

/// tests/dialogs
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs")
}

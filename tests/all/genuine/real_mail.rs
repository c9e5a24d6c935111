//! Real mail to applications that read it for themselves: all is taken, and read as Python's `email` package reads it.
//!
//! Where it is read differently stands in anymail.txt and action_mailbox.txt, each message under the cause. Those are
//! always posted, and of the others a sample; all of them in a soak.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::Stdio;

use mailferry::destination::webhook::Webhook;
use mailferry::message::Verdict;
use serde_json::Value;

use super::{action_mailbox, anymail, python};
use crate::corpus::{corpus_files, on_the_wire};
use crate::faults::{count, report};
use crate::webhook::{build, outgoing};

/// By its path in the corpus.
type Mails = BTreeMap<String, Vec<u8>>;

/// Of so many messages one is posted, beside those that are read differently.
const SAMPLED: usize = 15;

/// The messages to post, and which of them are read differently.
fn chosen(exceptions: &str) -> (Mails, BTreeSet<String>) {
    let differing: BTreeSet<String> =
        exceptions.lines().filter(|line| line.ends_with(".txt")).map(str::to_owned).collect();
    let step = count(SAMPLED, 1);
    let mails = corpus_files()
        .into_iter()
        .enumerate()
        .filter(|(nth, (path, _))| nth % step == 0 || differing.contains(path))
        .map(|(_, (path, mail))| (path, on_the_wire(&mail)));
    (mails.collect(), differing)
}

/// What Python reads in each.
fn read_by_python(mails: &Mails) -> BTreeMap<String, Value> {
    let folder = tempfile::tempdir().unwrap();
    let mut names = String::new();
    for (nth, mail) in mails.values().enumerate() {
        let file = folder.path().join(nth.to_string());
        fs::write(&file, mail).unwrap();
        names += &format!("{}\n", file.display());
    }
    let mut command = python("tests/python/read_text.py").into_std();
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(names.as_bytes()).unwrap());
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    let texts = String::from_utf8(output.stdout).unwrap();
    let texts: Vec<Value> = texts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(texts.len(), mails.len());
    mails.keys().cloned().zip(texts).collect()
}

/// Posts all of them, and compares what is read.
async fn compare(
    row: &str,
    exceptions: &str,
    webhook: &Webhook,
    taken: &Verdict,
    mut text: impl AsyncFnMut() -> Value,
) {
    let (mails, expected) = chosen(exceptions);
    let by_python = read_by_python(&mails);
    let (mut differing, mut untaken) = (BTreeSet::new(), Vec::new());
    for (path, mail) in &mails {
        let [verdict] = webhook.deliver(None, &[outgoing(mail).await]).await.try_into().unwrap();
        if verdict != *taken {
            untaken.push((path, verdict));
            continue;
        }
        let text = text().await;
        if normalised(&text) != normalised(&by_python[path]) {
            differing.insert(path.clone());
            if !expected.contains(path) {
                eprintln!("{path}: {}", difference(&normalised(&text), &normalised(&by_python[path])));
            }
        }
    }
    assert!(untaken.is_empty(), "{untaken:#?}");
    report(row, &format!("{} messages, all taken, {} read differently", mails.len(), differing.len()));
    let unlisted: Vec<_> = differing.difference(&expected).collect();
    let idle: Vec<_> = expected.difference(&differing).collect();
    assert!(unlisted.is_empty() && idle.is_empty(), "not listed: {unlisted:#?}, listed in vain: {idle:#?}");
}

/// Without what line ends and white space at the end say.
fn normalised(text: &Value) -> Value {
    match text.as_str() {
        Some(text) => text.replace("\r\n", "\n").replace('\r', "\n").trim_end().into(),
        None => text.clone(),
    }
}

/// Where two texts part.
fn difference(theirs: &Value, pythons: &Value) -> String {
    let (Some(theirs), Some(pythons)) = (theirs.as_str(), pythons.as_str()) else {
        let short = |text: &Value| text.to_string().chars().take(80).collect::<String>();
        return format!("{} is {} to Python", short(theirs), short(pythons));
    };
    let same = theirs.chars().zip(pythons.chars()).take_while(|(one, other)| one == other).count();
    let rest = |text: &str| text.chars().skip(same.saturating_sub(10)).take(50).collect::<String>();
    format!("after {same} characters {:?} is {:?} to Python", rest(theirs), rest(pythons))
}

#[tokio::test]
async fn anymail_reads_real_mail() {
    let mut receiver = anymail::start().await;
    let webhook = build(anymail::settings(&receiver, "mailgun-mime")).unwrap();
    let text = async || receiver.printed().await["text"].take();
    compare("Anymail", include_str!("anymail.txt"), &webhook, &crate::webhook::DELIVERED, text).await;
}

#[tokio::test]
async fn action_mailbox_reads_real_mail() {
    let mut receiver = action_mailbox::start("actionmailbox").await;
    let webhook = build(action_mailbox::settings(&receiver, "actionmailbox")).unwrap();
    let text = async || {
        let [mut mail] = action_mailbox::mails(&mut receiver).await.try_into().unwrap();
        mail["text"].take()
    };
    compare("Action Mailbox", include_str!("action_mailbox.txt"), &webhook, &action_mailbox::TAKEN, text)
        .await;
}

//! What our formats are to the software that they are made for: genuine receivers, each a program of its own on loopback.
//! `tests/run` installs them.

mod action_mailbox;
mod anymail;
mod real_mail;
mod schema;
mod standard_webhooks;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use mailferry::destination::webhook::{Format, Settings};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::webhook::settings;

/// A receiver that runs, and is killed when dropped. It says where it listens, and prints a line of JSON for what it takes.
struct Genuine {
    url: String,
    lines: mpsc::UnboundedReceiver<String>,
    _process: Child,
    _folder: TempDir,
}

impl Genuine {
    /// Runs until it listens.
    async fn start(mut command: Command) -> Genuine {
        let folder = tempfile::tempdir().unwrap();
        command.env("PORT", "0").env("FOLDER", folder.path()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process =
            command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}; tests/run installs it"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("{command:?} ended"));
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        // It may print more than a pipe holds before it answers.
        let (send, receive) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = send.send(line);
            }
        });
        Genuine { url, lines: receive, _process: process, _folder: folder }
    }

    /// The next line that it prints.
    async fn printed(&mut self) -> Value {
        let line = self.lines.recv().await.expect("the receiver ended");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// With the packages of tests/python/requirements.txt.
fn python(script: &str) -> Command {
    let mut command = Command::new(file("target/tools/python/bin/python"));
    command.arg("-B").arg(file(script));
    command
}

/// As the config has them where it says no more.
fn named(format: &str, url: &str) -> Settings {
    let format = Format::all().find(|known| known.name == format).unwrap();
    Settings { max_bytes: format.max_bytes, ..settings(url, format) }
}

/// With 8-bit text in two charsets, a picture in the text and a file with an unusual name.
const LETTER: &[u8] = b"Return-Path: <ann@example.com>\r\nDelivered-To: desk+42@example.org\r\n\
    Received: from there by here; Tue, 24 Nov 2026 20:00:00 +0000\r\nFrom: =?utf-8?Q?J=C3=B6?= Ann <ann@example.com>\r\n\
    To: Desk <desk@example.org>, other@example.org\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@example.com>\r\n\
    Date: Tue, 24 Nov 2026 20:59:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
    --c\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nH\xe4llo\r\n\
    --c\r\nContent-Type: multipart/related; boundary=d\r\n\r\n\
    --d\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>H\xc3\xa4llo</p>\r\n\
    --d\r\nContent-Type: image/png; name=p.png\r\nContent-ID: <p@example.com>\r\nContent-Disposition: inline; filename=p.png\r\n\
    Content-Transfer-Encoding: base64\r\n\r\niVBORw==\r\n--d--\r\n--c--\r\n\
    --b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename*=utf-8''%C3%BC.bin\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nAAECA/8=\r\n--b--\r\n";

/// What the attachments of [`LETTER`] hold, as SHA-256 in hex.
fn picture_and_file() -> (String, String) {
    let digest = |content: &[u8]| Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    (digest(b"\x89PNG"), digest(b"\x00\x01\x02\x03\xff"))
}

//! Hostile servers, against the real binary: it ends by itself with one sentence for the person, in little memory, with no
//! secret shown to anybody, and an account at an honest server is polled all the same.
//!
//! A34, files of the user's own that are bad, is beside the config: src/config/tests.rs with tests/bad-configs.
//!
//! `certificates.rs` has what a certificate can have wrong, tests/dialogs/hostile what can be written down as a dialog.

mod certificates;
mod floods;
mod peers;

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;

use super::report;
use crate::dialogs::play_folder;
use crate::ferry::{Ferry, Ran, message, webhook_destination};
use crate::oracle::expect_no_secret;
use crate::receiver::Receiver;
use crate::servers::pop3::Pop3;
use certificates::{Authorities, Case};
use peers::{Backend, KINDS, Kind, Seen, TlsPeer};

/// The most memory that a run may hold, in KiB. Of a program that is not optimised the code alone takes 27 MiB of it: the
/// release build, which tests/soak measures, has to do with less.
const MOST_MEMORY: u64 = if cfg!(debug_assertions) { 68 << 10 } else { 64 << 10 };

const PASSWORD: &str = "open-sesame-7263";
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How many cases run at a time: they mostly wait.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn nobody_without_a_good_certificate_learns_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let authorities = Authorities::new(folder.path());
    let good = authorities.good().into_iter().map(|case| (case, true));
    let cases = good.chain(authorities.bad().into_iter().map(|case| (case, false)));
    let cases = cases.map(|(case, is_good)| play(case, is_good, folder.path()));
    let (mut failed, mut peaks) = (Vec::new(), Vec::new());
    let mut playing = futures_util::stream::iter(cases).buffer_unordered(AT_ONCE);
    while let Some((name, is_good, outcome)) = playing.next().await {
        match outcome {
            Ok(peak) if !is_good => peaks.push(peak),
            Ok(_) => {}
            Err(fault) => failed.push(format!("{name}: {fault}")),
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    let (cases, most) = (peaks.len() * KINDS.len(), peaks.iter().max().unwrap() / 1024);
    report(
        "hostile servers",
        &format!("{cases} bad certificates at five kinds of peers, none trusted, at most {most} MiB"),
    );
}

#[tokio::test]
async fn no_flood_fills_the_memory() {
    let mut most = 0;
    for peak in [
        floods::a_listing_without_end().await,
        floods::as_many_messages_as_there_may_be().await,
        floods::headers_of_a_mebibyte().await,
        floods::mail_that_explodes().await,
    ] {
        most = most.max(peak.unwrap_or_else(|fault| panic!("{fault}")));
    }
    report("hostile servers", &format!("4 floods that count as they go, at most {} MiB", most / 1024));
}

#[tokio::test]
async fn dialogs() {
    play_folder("hostile", true).await;
}

/// One certificate at all kinds of peers in one run. Returns the most memory that it held, in KiB.
async fn play(case: Case, is_good: bool, folder: &Path) -> (&'static str, bool, Result<u64, String>) {
    let name = case.name;
    (name, is_good, Scene::set(case, folder).await.play(is_good).await)
}

/// Five accounts whose source or destination shows the certificate, and one that has nothing to do with it.
struct Scene {
    says: &'static str,
    backend: Arc<Backend>,
    peers: Vec<(Kind, TlsPeer)>,
    /// Where the accounts come from whose destination shows the certificate, and the other account.
    source: Pop3,
    bystander: Pop3,
    receiver: Receiver,
    ferry: Ferry,
}

impl Scene {
    async fn set(case: Case, folder: &Path) -> Scene {
        let keys = keys(&case, folder);
        let (host, says) = (case.host, case.says);
        let backend = Arc::new(Backend::start(case.shown).await);
        let mut peers = Vec::new();
        for kind in KINDS {
            peers.push((kind, TlsPeer::start(kind, &backend).await));
        }
        let (source, bystander, receiver) =
            (Pop3::start().await, Pop3::start().await, Receiver::start().await);
        source.mailbox().put(b"1", &message(1));
        bystander.mailbox().put(b"2", &message(2));
        let mut config = webhook_destination("app", &receiver.url, "raw");
        config += &account("bystander", &honest(&bystander), "app", DELETE);
        for (kind, peer) in &peers {
            let name = format!("{kind:?}");
            let source = honest(&source);
            let by_tls = |tls: &str| format!("{}port = {}\ntls = \"{tls}\"", keys.peer, peer.port);
            let url = format!("https://{host}:{}/inbound", peer.port);
            config += &match kind {
                Kind::Pop3 => account(&name, &by_tls("implicit"), "app", DELETE),
                Kind::Pop3Stls => account(&name, &by_tls("starttls"), "app", DELETE),
                Kind::Imap => account(&name, &source, &name, DELETE) + &imap(&name, &by_tls("implicit")),
                Kind::ImapStartTls => {
                    account(&name, &source, &name, DELETE) + &imap(&name, &by_tls("starttls"))
                }
                Kind::Webhook => {
                    account(&name, &source, &name, DELETE)
                        + &webhook_destination(&name, &url, "raw")
                        + &keys.webhook
                }
            };
        }
        Scene { says, backend, peers, source, bystander, receiver, ferry: Ferry::new(&config) }
    }

    async fn play(self, is_good: bool) -> Result<u64, String> {
        let (ran, peak) = self.ferry.run_measured(&["fetch"]).await;
        let status = self.ferry.json(&["status", "--json"]).await;
        for (kind, peer) in &self.peers {
            let (list, key) = match kind {
                Kind::Pop3 | Kind::Pop3Stls => ("accounts", "/error/text"),
                Kind::Imap | Kind::ImapStartTls | Kind::Webhook => ("destinations", "/error"),
            };
            let rows = status[list].as_array().expect("it is a list");
            let row = rows.iter().find(|row| row["name"] == format!("{kind:?}"));
            let error = row.and_then(|row| row.pointer(key)?.as_str()).unwrap_or_default();
            self.judge(*kind, &peer.seen(), error, is_good)?;
        }
        if let Backend::OpenSsl(server) = &*self.backend {
            let said = server.end().await;
            expect(!said.contains("CIPHER is"), &format!("it was trusted: {said}"))?;
        }
        expect_unharmed(&ran, peak, &self.ferry)?;
        expect(ran.code == 75, &format!("exit code {}", ran.code))?;
        expect(self.source.mailbox().messages.len() == 1, "a message that nobody has was deleted")?;
        expect(self.bystander.mailbox().messages.is_empty(), "the other account was held up")?;
        expect(self.receiver.arrivals().len() == 1, "the receiver has not just the other account's message")?;
        Ok(peak)
    }

    fn judge(&self, kind: Kind, seen: &Seen, error: &str, is_good: bool) -> Result<(), String> {
        let say = |fault: &str| Err(format!("{kind:?}: {fault}; {error:?}, {seen:?}"));
        let is_openssl = matches!(*self.backend, Backend::OpenSsl(_));
        if seen.connections == 0 {
            return say("nobody connected");
        }
        if !is_openssl && (seen.trusted > 0) != is_good {
            return say("it was trusted if and only if it should not");
        }
        // The oldest words of each protocol, and no more, before TLS.
        let clear = String::from_utf8_lossy(&seen.clear);
        if !clear.lines().all(|line| matches!(line, "STLS" | "M0 STARTTLS")) {
            return say("more than STLS or STARTTLS was said before TLS");
        }
        if !error.contains(self.says) || error.chars().any(char::is_control) {
            return say("not the right sentence");
        }
        Ok(())
    }
}

/// What holds after every run.
fn expect_unharmed(ran: &Ran, peak: u64, ferry: &Ferry) -> Result<(), String> {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    expect(peak <= MOST_MEMORY, &format!("{peak} KiB of memory"))?;
    expect(!said.contains("panicked"), &said)?;
    expect(!said.chars().any(|c| c.is_control() && c != '\n'), &said.escape_debug().to_string())?;
    let ledger = ["mailferry.db", "mailferry.db-wal"].map(|name| ferry.folder().join(name));
    expect_no_secret(&[PASSWORD, SECRET], said.as_bytes(), &ledger)
}

fn expect(holds: bool, fault: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault.to_owned()) }
}

/// The config's keys for whoever shows the certificate.
struct Keys {
    peer: String,
    webhook: String,
}

fn keys(case: &Case, folder: &Path) -> Keys {
    let mut keys = format!("ca_file = \"{}\"\n", folder.join("roots.pem").display());
    if let Some(pin) = &case.pin {
        keys += &format!("pin = \"{pin}\"\n");
    }
    let mut peer = format!("{keys}host = \"{}\"\n", case.host);
    if let Some(name) = case.server_name {
        peer += &format!("server_name = \"{name}\"\n");
    }
    Keys { peer, webhook: keys }
}

fn honest(server: &Pop3) -> String {
    format!("host = \"127.0.0.1\"\nport = {}\ntls = \"none\"", server.port)
}

const DELETE: &str = "leave_copy = false\n";

/// `more` are more of its keys.
fn account(name: &str, server: &str, destination: &str, more: &str) -> String {
    format!(
        "[account.{name}]\n{server}\nuser = \"ann\"\npassword = \"{PASSWORD}\"\n{more}\
         deliver = [{{ to = \"{destination}\" }}]\n\n"
    )
}

fn imap(name: &str, server: &str) -> String {
    format!("[destination.{name}]\nkind = \"imap\"\n{server}\nuser = \"ann\"\npassword = \"{PASSWORD}\"\n\n")
}

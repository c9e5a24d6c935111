//! One dialog, played: the real binary between its scripted peer and an honest one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_rustls::TlsAcceptor;

use super::file::{Act, Check, Dialog, Side};
use crate::ca::Ca;
use crate::ferry::{Ferry, message};
use crate::oracle::{Arrived, Evidence, expect_no_secret};
use crate::peer::{Peer, Script, acceptor};
use crate::receiver::Receiver;
use crate::servers::pop3::Pop3;

const PASSWORD: &str = "open-sesame-7263";
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The most memory that a command may hold, in KiB, whatever its peer sends.
const MOST_MEMORY: u64 = 64 << 10;

/// Plays a dialog to its end, and returns the most memory that one of its commands held, in KiB. With a bystander there is
/// another account, between honest servers, whose mail must arrive meanwhile.
pub async fn play(dialog: Dialog, has_bystander: bool) -> u64 {
    let mut scene = Scene::set(&dialog, has_bystander).await;
    for (number, act) in dialog.acts {
        scene.line = number;
        match act {
            Act::Play(side, script) => scene.scripts.push((side, script)),
            Act::Run { code, arguments } => scene.run(code, &arguments).await,
            Act::Expect(check) => scene.expect(check).await,
        }
    }
    assert!(scene.scripts.is_empty(), "{}: no command follows the last peer", scene.place());
    scene.judge().await;
    scene.peak
}

struct Scene {
    file: PathBuf,
    line: usize,
    mails: Vec<Vec<u8>>,
    /// Those that the scripted POP3 server has let go.
    gone: Vec<usize>,
    ferry: Ferry,
    /// The ports of the scripted peers.
    listeners: BTreeMap<Side, Arc<TcpListener>>,
    tls: Option<TlsAcceptor>,
    /// The honest peers, where these sides are not scripted.
    source: Option<Pop3>,
    receiver: Option<Receiver>,
    bystander: Option<Bystander>,
    /// What the peers play during the next command.
    scripts: Vec<(Side, Script)>,
    /// Output and log of the last command, and of all.
    last: String,
    all: String,
    peak: u64,
    status: OnceCell<Value>,
}

/// An account that has nothing to do with the dialog.
struct Bystander {
    source: Pop3,
    receiver: Receiver,
}

impl Bystander {
    async fn new() -> Bystander {
        let bystander = Bystander { source: Pop3::start().await, receiver: Receiver::start().await };
        bystander.source.mailbox().put(b"1", &message(0));
        bystander
    }

    /// Its names come last, where commands sort them.
    fn config(&self) -> String {
        let (source, none) = (peer(self.source.port, "none"), BTreeMap::new());
        let rest = "leave_copy = false\ndeliver = [{ to = \"yonder\" }]";
        section("destination.yonder", &webhook(&self.receiver.url), &none)
            + &section("account.other", &format!("{source}\n{}\n{rest}", login()), &none)
    }

    fn expect_well(&self, place: &str) {
        assert_eq!(
            self.receiver.arrivals().len(),
            1,
            "{place}: the other account's mail did not arrive, or twice"
        );
        assert!(
            self.source.mailbox().messages.is_empty(),
            "{place}: the other account's mail was not deleted"
        );
    }
}

impl Scene {
    async fn set(dialog: &Dialog, has_bystander: bool) -> Scene {
        let ferry = Ferry::new("");
        let mut listeners = BTreeMap::new();
        for side in [Side::Pop3, Side::Imap, Side::Http] {
            if dialog.scripts(side) {
                listeners.insert(side, Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap()));
            }
        }
        let (mut source, mut receiver) = (None, None);
        if !dialog.scripts(Side::Pop3) {
            let server = Pop3::start().await;
            for (number, mail) in (1..).zip(&dialog.mails) {
                server.mailbox().put(format!("u{number}").as_bytes(), mail);
            }
            source = Some(server);
        }
        if !dialog.scripts(Side::Imap) && !dialog.scripts(Side::Http) {
            receiver = Some(Receiver::start().await);
        }
        let bystander = if has_bystander { Some(Bystander::new().await) } else { None };
        let identity = Ca::new(ferry.folder()).issue(&["localhost", "127.0.0.1"]);
        let scene = Scene {
            file: dialog.file.clone(),
            line: 0,
            mails: dialog.mails.clone(),
            gone: Vec::new(),
            ferry,
            listeners,
            tls: (dialog.tls != "none").then(|| acceptor(&identity)),
            source,
            receiver,
            bystander,
            scripts: Vec::new(),
            last: String::new(),
            all: String::new(),
            peak: 0,
            status: OnceCell::new(),
        };
        scene.ferry.configure(&scene.config(dialog));
        scene
    }

    fn config(&self, dialog: &Dialog) -> String {
        let port = |side| self.listeners[&side].local_addr().unwrap().port();
        let source = match &self.source {
            Some(honest) => peer(honest.port, "none"),
            None => peer(port(Side::Pop3), &dialog.tls),
        };
        let there = match &self.receiver {
            Some(honest) => webhook(&honest.url),
            None if dialog.scripts(Side::Imap) => {
                format!("kind = \"imap\"\n{}\n{}", peer(port(Side::Imap), &dialog.tls), login())
            }
            None => webhook(&format!("http://127.0.0.1:{}/inbound", port(Side::Http))),
        };
        let account = format!("{source}\n{}\ndeliver = [{{ to = \"there\" }}]", login());
        let bystander = self.bystander.as_ref().map(Bystander::config).unwrap_or_default();
        section("destination.there", &there, &dialog.destination)
            + &section("account.old", &account, &dialog.account)
            + &bystander
    }

    fn place(&self) -> String {
        let file = self.file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&self.file);
        format!("{}:{}", file.display(), self.line)
    }

    /// Runs a command while the peers play, and looks at what no command may ever show.
    async fn run(&mut self, code: i32, arguments: &[String]) {
        let scripts = std::mem::take(&mut self.scripts);
        let play = |(side, script)| (side, Peer::play_at(&self.listeners[&side], script, self.tls.clone()));
        let peers: Vec<(Side, Peer)> = scripts.into_iter().map(play).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (ran, peak) = self.ferry.run_measured(&arguments).await;
        let (place, mut played) = (self.place(), String::new());
        let mut in_clear = String::new();
        for (side, peer) in peers {
            match peer.outcome().await {
                Ok(said) => in_clear += &said.in_clear,
                Err(fault) => drop(writeln!(played, "{side:?} peer: {fault}")),
            }
        }
        self.status = OnceCell::new();
        self.last = format!("{}{}", ran.stdout, ran.stderr);
        self.all += &self.last;
        assert!(played.is_empty(), "{place}: {played}\n{}", self.last);
        assert_eq!(ran.code, code, "{place}: exit code\n{}", self.last);
        self.peak = self.peak.max(peak);
        assert!(peak <= MOST_MEMORY, "{place}: {peak} KiB of memory");
        for (side, listener) in &self.listeners {
            let more = listener.accept().now_or_never();
            assert!(more.is_none(), "{place}: one more connection to the {side:?} peer\n{}", self.last);
        }
        assert!(!self.last.contains("panicked"), "{place}: {}", self.last);
        let unprintable = self.last.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(unprintable, None, "{place}: {}", self.last.escape_debug());
        let ledger = ["mailferry.db", "mailferry.db-wal"].map(|name| self.ferry.folder().join(name));
        expect_no_secret(&[PASSWORD, SECRET], self.last.as_bytes(), &ledger)
            .unwrap_or_else(|fault| panic!("{place}: {fault}"));
        if self.tls.is_some() {
            expect_no_secret(&[PASSWORD], in_clear.as_bytes(), &[])
                .unwrap_or_else(|fault| panic!("{place}: in the clear: {fault}"));
        }
        if let Some(bystander) = &self.bystander {
            bystander.expect_well(&place);
        }
        self.expect_no_strange_file();
    }

    /// No name of a file comes from a server.
    fn expect_no_strange_file(&self) {
        let known = ["mailferry.", "ca.pem", "localhost.", "peak"];
        for row in fs::read_dir(self.ferry.folder()).unwrap() {
            let name = row.unwrap().file_name().to_string_lossy().into_owned();
            assert!(
                known.iter().any(|known| name.starts_with(known)),
                "{}: there is a file {name}",
                self.place()
            );
        }
    }

    /// Asked once after each command.
    async fn status(&self) -> &Value {
        self.status.get_or_init(|| self.ferry.json(&["status", "--json"])).await
    }

    async fn expect(&mut self, check: Check) {
        let (place, log) = (self.place(), &self.last);
        match check {
            Check::Delivered(mails) => self.expect_delivered(&mails).await,
            Check::Gone(mails) => self.gone.extend(mails),
            Check::Parked(number) => assert_eq!(self.account().await["parked"], number, "{place}\n{log}"),
            Check::Pending(number) => assert_eq!(self.account().await["pending"], number, "{place}\n{log}"),
            Check::Error(class) => {
                let error = &self.account().await["error"]["class"];
                assert_eq!(error.as_str().unwrap_or("none"), class, "{place}\n{log}");
            }
            Check::Destination(state) => {
                let there = &self.status().await["destinations"][0];
                assert_eq!(there["state"], state, "{place}: {there}\n{log}");
            }
            Check::Says(text) => {
                let text = String::from_utf8_lossy(&text);
                assert!(log.contains(&*text), "{place}: it does not say that\n{log}");
            }
            Check::Never(text) => {
                let ledger = ["mailferry.db", "mailferry.db-wal"].map(|name| self.ferry.folder().join(name));
                let text = String::from_utf8(text).expect("`never` is followed by text");
                expect_no_secret(&[&text], self.all.as_bytes(), &ledger)
                    .unwrap_or_else(|fault| panic!("{place}: {fault}"));
            }
        }
    }

    async fn account(&self) -> &Value {
        &self.status().await["accounts"][0]
    }

    /// By the ledger; and where the destination is honest, just these mails have arrived, in any order.
    async fn expect_delivered(&self, mails: &[usize]) {
        let place = self.place();
        assert_eq!(self.account().await["delivered"], mails.len(), "{place}: delivered\n{}", self.last);
        if let Some(receiver) = &self.receiver {
            let mut expected: Vec<&[u8]> = mails.iter().map(|mail| self.mails[mail - 1].as_slice()).collect();
            let arrivals = receiver.arrivals();
            let mut arrived: Vec<&[u8]> = arrivals.iter().map(|arrival| &*arrival.body).collect();
            expected.sort_unstable();
            arrived.sort_unstable();
            let texts = |mails: &[&[u8]]| mails.iter().map(|mail| mail.escape_ascii().to_string()).collect();
            let (expected, arrived): (Vec<String>, Vec<String>) = (texts(&expected), texts(&arrived));
            assert!(expected == arrived, "{place}: expected {expected:#?}, arrived {arrived:#?}");
        }
    }

    /// The promises, at the end: see [`Evidence`].
    async fn judge(&self) {
        let is_left = |(mail, _): &(usize, &Vec<u8>)| !self.gone.contains(mail);
        let source = match &self.source {
            Some(source) => source.mailbox().all(),
            None => (1..).zip(&self.mails).filter(is_left).map(|(_, mail)| mail.clone()).collect(),
        };
        let arrived = self.receiver.iter().map(|receiver| Arrived {
            name: "there",
            messages: receiver.arrivals().into_iter().map(|arrival| arrival.body.to_vec()).collect(),
        });
        let evidence = Evidence {
            put: self.mails.clone(),
            source,
            destinations: arrived.collect(),
            ledger: self.ferry.folder().join("mailferry.db"),
        };
        evidence.judge().await.unwrap_or_else(|broken| panic!("{}: {broken}", self.file.display()));
    }
}

/// How to reach a peer.
fn peer(port: u16, tls: &str) -> String {
    let host = if tls == "none" { "127.0.0.1" } else { "localhost" };
    let ca_file = if tls == "none" { "" } else { "\nca_file = \"ca.pem\"" };
    format!("host = \"{host}\"\nport = {port}\ntls = \"{tls}\"{ca_file}")
}

fn login() -> String {
    format!("user = \"ann\"\npassword = \"{PASSWORD}\"")
}

fn webhook(url: &str) -> String {
    format!("kind = \"webhook\"\nurl = \"{url}\"\nformat = \"raw\"\nsecret = \"whsec_{SECRET}\"")
}

/// A table of the config: these keys, and those of the dialog, which win.
fn section(name: &str, keys: &str, own: &BTreeMap<String, String>) -> String {
    let is_overruled = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| own.contains_key(key));
    let mut section = format!("[{name}]\n");
    for line in keys.lines().filter(|line| !is_overruled(line)) {
        let _ = writeln!(section, "{line}");
    }
    for (key, value) in own {
        let _ = writeln!(section, "{key} = {value}");
    }
    section + "\n"
}

//! The demo with a small bridge of the test's own, which can be told to go wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

use mailferry::demo::demo;
use mailferry::destination::webhook::{Format, Settings, Webhook};
use mailferry::message::{
    AccountName, DestinationName, Listed, Listing, Mark, Message, Outgoing, Quirks, Receipt, Spool, Uidl,
    Verdict,
};
use mailferry::net::{self, Connectors, Tls};
use mailferry::pop3::{self, Retrieval, Session};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::ferry::{Ferry, Running};
use crate::web::browser::{Browser, PASSWORD, client};
use crate::webhook::settings;

/// What the bridge does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    ChangesAByte,
    SendsTwice,
    Forges,
    Leaves,
}

async fn log_in(config: &toml::Table) -> Session {
    let account = &config["account"]["demo"];
    let peer = net::Settings {
        host: account["host"].as_str().unwrap().to_owned(),
        port: u16::try_from(account["port"].as_integer().unwrap()).unwrap(),
        tls: Tls::None,
        ca_file: None,
        server_name: None,
        pin: None,
        allow_plaintext: false,
    };
    let connector = Connectors::default().connector(&peer).unwrap();
    let (user, password) = (account["user"].as_str().unwrap(), account["password"].as_str().unwrap());
    let settings = pop3::Settings::new(peer, user, password.into());
    Session::open(&connector, &settings, Quirks::default()).await.unwrap()
}

fn webhook(config: &toml::Table, fault: Fault) -> Webhook {
    let app = &config["destination"]["app"];
    let secret = if fault == Fault::Forges { "another secret" } else { app["secret"].as_str().unwrap() };
    let settings = Settings {
        secrets: vec![secret.into()],
        max_bytes: 64 << 20,
        max_in_flight: 4,
        ..settings(app["url"].as_str().unwrap(), Format::JSON)
    };
    Webhook::new(&DestinationName::new("app").unwrap(), settings, &mut Connectors::default()).unwrap()
}

/// Carries the mailbox once, and waits for the end.
async fn carry(config: PathBuf, cancel: CancellationToken, fault: Fault) -> anyhow::Result<()> {
    let folder = config.parent().unwrap().to_owned();
    let config: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
    let (mut session, webhook) = (log_in(&config).await, webhook(&config, fault));
    let mut rows = session.uidl().await.unwrap().rows;
    session.list(&mut rows).await.unwrap();
    let rows: Vec<Listed> = rows.iter().collect();
    for batch in rows.chunks(40) {
        let numbers: Vec<u32> = batch.iter().map(|row| row.number).collect();
        for (number, retrieval) in session.retrieve(&numbers, &folder).await.messages {
            let Retrieval::Message(message) = retrieval else { panic!("{number} cannot be retrieved") };
            let row = batch.iter().find(|row| row.number == number).unwrap();
            assert_eq!(row.size, Some(message.octets()));
            if number == 7 && fault == Fault::Leaves {
                return Ok(());
            }
            let message =
                if number == 7 && fault == Fault::ChangesAByte { spoilt(&message).await } else { message };
            deliver(&webhook, Uidl::new(row.uidl), message, fault).await;
        }
    }
    cancel.cancelled().await;
    session.quit().await.unwrap();
    Ok(())
}

async fn deliver(webhook: &Webhook, uidl: Uidl, message: Message, fault: Fault) {
    let account = AccountName::new("demo").unwrap();
    let outgoing = [Outgoing { message, account, uidl, mark: Mark::default(), attempts: 0 }];
    for _ in 0..if fault == Fault::SendsTwice { 2 } else { 1 } {
        let verdicts = webhook.deliver(None, &outgoing).await;
        let delivered = [Verdict::Delivered { receipt: Receipt::Http(204) }];
        assert_eq!(verdicts == delivered, fault != Fault::Forges, "{verdicts:?}");
    }
}

async fn spoilt(message: &Message) -> Message {
    let mut spool = Spool::new(&std::env::temp_dir());
    let bytes = message.bytes().unwrap();
    spool.write(&bytes[..bytes.len() - 1]).await.unwrap();
    spool.write(b" ").await.unwrap();
    spool.finish().await.unwrap()
}

/// Returns what the demo wrote, and how it ended.
async fn run(fault: Fault) -> (String, anyhow::Result<()>) {
    let (mut out, mut folder) = (Vec::new(), PathBuf::new());
    let bridge = |config: PathBuf, cancel| {
        config.parent().unwrap().clone_into(&mut folder);
        carry(config, cancel, fault)
    };
    let outcome = demo(true, &mut out, CancellationToken::new(), bridge).await;
    assert!(folder != Path::new("") && !folder.exists(), "{} was left behind", folder.display());
    (String::from_utf8(out).unwrap(), outcome)
}

#[tokio::test]
async fn the_demo_ends_when_all_has_arrived() {
    let (out, outcome) = run(Fault::None).await;
    outcome.unwrap();
    assert!(out.contains("\n200 messages, ") && out.contains("Every byte and every signature was right"));
    assert!(out.contains(" KiB") && out.contains(" MiB/s") && !out.contains("kB"), "{out}");
    assert!(out.contains("(no subject)") && !out.contains("Ctrl-C"), "{out}");
    assert!(out.contains("J\u{fc}rgen M\u{fc}ller"), "{out}");
    for line in out.lines() {
        assert!(line.chars().count() <= 80 && !line.contains(char::is_control), "{line:?}");
    }
}

#[tokio::test]
async fn the_demo_sees_what_a_bridge_does_wrong() {
    for (fault, expected) in [
        (Fault::ChangesAByte, "other bytes"),
        (Fault::SendsTwice, "arrived twice"),
        (Fault::Forges, "signature is wrong"),
        (Fault::Leaves, "ended before"),
    ] {
        let (out, outcome) = run(fault).await;
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(expected), "{fault:?}: {error}");
        assert!(!out.contains("Every byte"), "{fault:?}");
    }
}

/// Stops the demo when it has read that this is how to end it.
struct Reader {
    text: Vec<u8>,
    stop: CancellationToken,
}

impl std::io::Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if String::from_utf8_lossy(&self.text).contains("Ctrl-C ends it") {
            self.stop.cancel();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_endless_demo_sums_up_before_it_waits() {
    let stop = CancellationToken::new();
    let mut out = Reader { text: Vec::new(), stop: stop.clone() };
    let bridge = |config, cancel| carry(config, cancel, Fault::None);
    demo(false, &mut out, stop, bridge).await.unwrap();
    let text = String::from_utf8(out.text).unwrap();
    let order = ["\n200 messages, ", "Every byte", "waits for more"].map(|words| text.find(words).unwrap());
    assert!(order.is_sorted(), "{text}");
}

#[tokio::test]
async fn the_demo_lets_the_bridge_end_when_it_is_stopped() {
    let (mut out, stop) = (Vec::new(), CancellationToken::new());
    let bridge = |config, cancel| {
        stop.cancel();
        carry(config, cancel, Fault::None)
    };
    // What is under way when it is stopped is still taken in, else the bridge would wait for ever.
    demo(false, &mut out, stop.clone(), bridge).await.unwrap();
    assert!(String::from_utf8(out).unwrap().contains("\n200 messages, "));
}

#[tokio::test]
async fn what_is_deleted_in_the_demo_mailbox_goes_when_its_client_quits() {
    let bridge = async |config: PathBuf, _| {
        let config: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
        let mut broken_off = log_in(&config).await;
        assert_eq!(broken_off.uidl().await.unwrap().rows.len(), 200);
        broken_off.delete(&[1, 2]).await.unwrap();
        drop(broken_off);

        let mut session = log_in(&config).await;
        let before = session.uidl().await.unwrap().rows;
        assert_eq!(before.len(), 200);
        session.delete(&[1, 200]).await.unwrap();
        session.quit().await.unwrap();

        let after = log_in(&config).await.uidl().await.unwrap().rows;
        let uidls = |rows: &Listing| rows.iter().map(|row| row.uidl.to_vec()).collect::<Vec<_>>();
        assert_eq!(uidls(&after), uidls(&before)[1..199]);
        anyhow::bail!("this bridge carries nothing")
    };
    let error = demo(true, &mut Vec::new(), CancellationToken::new(), bridge).await.unwrap_err();
    assert_eq!(error.to_string(), "this bridge carries nothing");
}

#[tokio::test]
async fn the_real_demo_has_a_page_to_look_at() {
    let command = Ferry::new("").command(&["demo"]);
    // What it tells goes where a log is read.
    let mut shown = Command::new("sh");
    shown.args(["-c", "exec \"$@\" 1>&2", "sh"]).arg(command.get_program()).args(command.get_args());
    let mut demo = Running::start(shown);
    let line = demo.wait_for("  page ").await;
    let address = line.split_whitespace().nth(1).unwrap().to_owned();
    // The page is up before the first message is through.
    demo.wait_for("200 messages, ").await;
    let mut browser = Browser::at(&address, client());
    browser.post("/first-use", &[("code", ""), ("password", PASSWORD), ("again", PASSWORD)]).await;
    let html = browser.look_for("/", "Delivered20").await;
    assert!(html.text.contains("demo at 127.0.0.1") && html.text.contains("All is well."), "{}", html.text);
    demo.signal(Signal::INT);
    let ran = demo.end().await;
    assert_eq!(ran.code, 0);
    assert!(!ran.stderr.contains("WARN"), "all goes well: {ran:?}");
}

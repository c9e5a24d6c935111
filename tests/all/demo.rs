//! The demo with a small bridge of the test's own: it sees what is wrong, and its mailbox is a POP3 server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mailferry::demo::demo;
use mailferry::destination::webhook::{Format, Settings, Webhook};
use mailferry::message::{AccountName, DestinationName, Mark, Outgoing, Receipt, Spool, Uidl, Verdict};
use mailferry::net::Connectors;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// What the bridge does wrong, with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    ChangesAByte,
    SendsTwice,
    Forges,
    Leaves,
}

struct Pop3(BufStream<TcpStream>);

impl Pop3 {
    async fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await.unwrap();
        assert!(line.ends_with(b"\r\n") || line.ends_with(b"\n"), "the connection broke");
        line
    }

    async fn command(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        let answer = String::from_utf8(self.line().await).unwrap();
        assert!(answer.starts_with("+OK"), "{command}: {answer}");
        answer
    }

    async fn lines(&mut self, command: &str) -> Vec<u8> {
        self.command(command).await;
        let mut all = Vec::new();
        loop {
            let line = self.line().await;
            match line.as_slice() {
                b".\r\n" => return all,
                [b'.', rest @ ..] => all.extend_from_slice(rest),
                line => all.extend_from_slice(line),
            }
        }
    }
}

async fn log_in(config: &toml::Table) -> Pop3 {
    let account = &config["account"]["demo"];
    let port = u16::try_from(account["port"].as_integer().unwrap()).unwrap();
    let stream = TcpStream::connect((account["host"].as_str().unwrap(), port)).await.unwrap();
    let mut pop3 = Pop3(BufStream::new(stream));
    pop3.line().await;
    pop3.command(&format!("USER {}", account["user"].as_str().unwrap())).await;
    pop3.command(&format!("PASS {}", account["password"].as_str().unwrap())).await;
    pop3
}

fn webhook(config: &toml::Table, fault: Fault) -> Webhook {
    let app = &config["destination"]["app"];
    let secret = if fault == Fault::Forges { "another secret" } else { app["secret"].as_str().unwrap() };
    let settings = Settings {
        url: app["url"].as_str().unwrap().to_owned(),
        format: Format::Json,
        secrets: vec![secret.into()],
        max_bytes: 64 << 20,
        max_in_flight: 4,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(30),
        ca_file: None,
        pin: None,
        allow_plaintext: false,
    };
    Webhook::new(&DestinationName::new("app").unwrap(), settings, &mut Connectors::default()).unwrap()
}

/// Carries the mailbox once, and waits for the end.
async fn carry(config: PathBuf, cancel: CancellationToken, fault: Fault) -> anyhow::Result<()> {
    let config: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
    let (mut pop3, webhook) = (log_in(&config).await, webhook(&config, fault));
    let listing = String::from_utf8(pop3.lines("UIDL").await).unwrap();
    for row in listing.lines() {
        let (number, uidl) = row.split_once(' ').unwrap();
        let mut bytes = pop3.lines(&format!("RETR {number}")).await;
        let announced = pop3.command(&format!("LIST {number}")).await;
        assert_eq!(announced.trim_end(), format!("+OK {number} {}", bytes.len()));
        let is_chosen = number == "7";
        if is_chosen && fault == Fault::ChangesAByte {
            *bytes.last_mut().unwrap() = b' ';
        }
        let outgoing = outgoing(uidl, &bytes).await;
        for _ in 0..if is_chosen && fault == Fault::SendsTwice { 2 } else { 1 } {
            let [verdict] = webhook.deliver(std::slice::from_ref(&outgoing)).await.try_into().unwrap();
            let delivered = Verdict::Delivered { receipt: Receipt::Http(204) };
            assert_eq!(verdict == delivered, fault != Fault::Forges, "{verdict:?}");
        }
        if is_chosen && fault == Fault::Leaves {
            return Ok(());
        }
    }
    cancel.cancelled().await;
    Ok(())
}

async fn outgoing(uidl: &str, bytes: &[u8]) -> Outgoing {
    let mut spool = Spool::new(&std::env::temp_dir());
    spool.write(bytes).await.unwrap();
    Outgoing {
        message: spool.finish().await.unwrap(),
        account: AccountName::new("demo").unwrap(),
        uidl: Uidl::new(uidl.as_bytes()),
        mark: Mark::default(),
        attempts: 0,
    }
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

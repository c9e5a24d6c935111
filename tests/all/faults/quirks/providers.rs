//! The ways of a provider from end to end, by the real binary, where a dialog is too short for them.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::{AND_DELETE, at_port};
use crate::alerts::told;
use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, account, imap_destination, message};
use crate::receiver::Receiver;
use crate::servers::imap::Imap;
use crate::servers::pop3::Pop3;

/// Yandex: DELE is taken and has no effect. It is asked for, nothing comes twice, and people are told once.
#[tokio::test]
async fn deletions_without_effect_are_noticed_and_said_once() {
    let (source, home, receiver) = (Pop3::start().await, Dovecot::start(), Receiver::start().await);
    for n in 0..12 {
        source.mailbox().put(format!("u{n}").as_bytes(), &message(n));
    }
    source.mailbox().ways.ignores_dele = true;
    let alerts = format!("[alerts]\nurl = \"{}\"\nsecret = \"{SECRET}\"\n\n", receiver.url);
    let rest = format!("every = \"1h\"\n{AND_DELETE}");
    let ferry = Ferry::new(&(alerts + &imap_destination("home", &home, "me") + &at_port(source.port, &rest)));
    ferry.run(&["fetch"]).await.expect_code(0);
    a_day_passes(&ferry.ledger()).await;
    ferry.run(&["fetch"]).await.expect_code(0);
    for _ in 0..2 {
        let mut daemon = ferry.start(&["run"]);
        let first = receiver.wait_for_arrivals(1).await.remove(0);
        assert_eq!(told(&first), ["mailbox old begun"]);
        let text = String::from_utf8_lossy(&first.body).into_owned();
        assert!(text.contains("the server takes the order and does nothing"), "{text}");
        daemon.wait_for("started").await;
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.end().await.code, 0);
    }
    assert_eq!(receiver.arrivals().len(), 1, "once");
    assert_eq!((home.count("me", "INBOX"), source.mailbox().messages.len()), (12, 12));
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Whatever was deleted was deleted more than a day ago.
async fn a_day_passes(ledger: &Path) {
    let mut ledger = SqliteConnectOptions::new().filename(ledger).connect().await.unwrap();
    let sql = "UPDATE messages SET deleted_at = deleted_at - 90000";
    assert_eq!(sqlx::raw_sql(sql).execute(&mut ledger).await.unwrap().rows_affected(), 12);
    ledger.close().await.unwrap();
}

/// Exchange: it refuses what it does not like with BAD, and hangs up at the tenth time. What it likes all arrives, once.
#[tokio::test]
async fn a_destination_that_hangs_up_after_ten_errors_gets_all_that_it_takes() {
    let (source, home) = (Dovecot::start(), Imap::start().await);
    let mails = (0..45).map(|n| match n % 3 {
        1 => [message(n), b"A line that it does not like.\r\n".to_vec()].concat(),
        _ => message(n),
    });
    source.put("old", &mails.collect::<Vec<_>>());
    {
        let ways = &mut home.mail().ways;
        ways.capabilities = "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ UIDPLUS NAMESPACE";
        ways.refuses = Some(("does not like".into(), "BAD Command Argument Error. 11"));
        ways.patience = Some(10);
    }
    let port = home.port;
    let config = format!(
        "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"me\"\n\
         password = \"{PASSWORD}\"\n\n"
    ) + &account("old", &source, "old", AND_DELETE);
    let ferry = Ferry::new(&config);
    for _ in 0..4 {
        ferry.run(&["fetch"]).await;
    }
    let mut arrived = home.mail().all();
    arrived.sort();
    arrived.dedup();
    assert_eq!((arrived.len(), home.mail().all().len()), (30, 30), "all that it takes, each once");
    assert!(home.mail().hung_up > 0, "it has hung up");
    let status = ferry.json(&["status", "--json"]).await;
    assert_eq!(status["accounts"][0]["parked"], 15, "{status:#}");
    assert_eq!(source.count("old", "INBOX"), 15, "what it refuses stays at its source");
}

/// Proton's Bridge: STARTTLS on this machine, with a certificate that nobody vouches for. Its pin does.
#[tokio::test]
async fn a_bridge_on_this_machine_is_known_by_its_pin() {
    let folder = TempDir::new().unwrap();
    let (certificate, pin) = self_signed(folder.path());
    let bridge = Dovecot::start_with(&certificate);
    let source = Dovecot::start();
    source.put("old", &[message(1), message(2)]);
    let config = |pin: &str| {
        let port = bridge.imap;
        format!(
            "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"starttls\"\nuser = \"me\"\n\
             password = \"{PASSWORD}\"\n{pin}\n"
        ) + &account("old", &source, "old", AND_DELETE)
    };
    let other = format!("pin = \"sha256:{}\"\n", "00".repeat(32));
    let ferry = Ferry::new(&config(""));
    for (pin, said) in [("", "unknown issuer"), (other.as_str(), "is not the one in `pin`")] {
        ferry.configure(&config(pin));
        let ran = ferry.run(&["check"]).await.expect_code(75);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(said), "{ran:?}");
        ferry.run(&["fetch"]).await.expect_code(75);
        assert_eq!((bridge.count("me", "INBOX"), source.count("old", "INBOX")), (0, 2));
    }
    ferry.configure(&config(&format!("pin = \"sha256:{pin}\"\n")));
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((bridge.count("me", "INBOX"), source.count("old", "INBOX")), (2, 0));
}

/// What Dovecot needs to show such a certificate, and its fingerprint.
fn self_signed(folder: &Path) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let (pem, secret) = (folder.join("bridge.pem"), folder.join("bridge.key"));
    fs::write(&pem, certificate.pem()).unwrap();
    fs::write(&secret, key.serialize_pem()).unwrap();
    let digest = Sha256::digest(certificate.der());
    let pin = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    (format!("ssl_cert = <{}\nssl_key = <{}\n", pem.display(), secret.display()), pin)
}

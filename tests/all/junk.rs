//! What its source takes for spam goes to the folder for junk, and nothing is lost or doubled on the way.

use std::fs;

use chrono::TimeDelta;

use crate::cable::{Fault, Way};
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, message};
use crate::world::{Link, Plan, World, each_in_a_world};

fn spam(n: usize) -> Vec<u8> {
    [b"X-Spam-Status: Yes, score=9.9 required=5.0\r\n".as_slice(), &message(n)].concat()
}

fn mails() -> Vec<Vec<u8>> {
    vec![message(0), spam(1), message(2), spam(3), spam(4)]
}

const JUNK_TOO: &str = "deliver = [{ to = \"home\", folder = \"Old\", junk = true }]";

#[tokio::test]
async fn junk_goes_to_the_folder_that_the_server_has_for_it_once() {
    let special_use = "namespace inbox {\n  mailbox Unerw\u{fc}nscht {\n    special_use = \\Junk\n    auto = create\n  }\n}\n";
    let server = Dovecot::start_with(special_use);
    server.put("old", &mails());
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", JUNK_TOO);
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch"]).await.expect_code(0);
    let counts = || ["Old", "Unerw\u{fc}nscht", "Junk"].map(|folder| server.count("me", folder));
    assert_eq!(counts(), [2, 3, 0]);
    assert_eq!(server.list("me", "Unerw\u{fc}nscht"), [spam(1), spam(3), spam(4)]);
    for file in ["mailferry.db", "mailferry.db-wal", "mailferry.db-shm"] {
        let _ = fs::remove_file(ferry.folder().join(file));
    }
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(counts(), [2, 3, 0], "a lost ledger looks in both folders");
}

#[tokio::test]
async fn without_such_a_folder_it_is_one_named_junk() {
    let server = Dovecot::start();
    server.put("old", &mails());
    let more = "spam_headers = [\"x-spam-status: yes\"]\n".to_owned() + JUNK_TOO;
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", &more);
    Ferry::new(&config).run(&["fetch"]).await.expect_code(0);
    assert_eq!(["Old", "Junk"].map(|folder| server.count("me", folder)), [2, 3]);
}

#[tokio::test]
async fn junk_stays_where_the_rest_goes_unless_that_is_asked_for() {
    let server = Dovecot::start();
    server.put("old", &mails());
    let plain = JUNK_TOO.replace(", junk = true", "");
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", &plain);
    Ferry::new(&config).run(&["fetch"]).await.expect_code(0);
    assert_eq!(["Old", "Junk"].map(|folder| server.count("me", folder)), [5, 0]);
}

async fn cut(fault: Fault) -> Result<(), String> {
    let mut world = World::new(Plan { home: Some("Old"), app: false, account: "leave_copy = false" }).await;
    world.route = "junk = true";
    for (n, mail) in mails().iter().enumerate() {
        world.put(&format!("u{n}"), mail);
    }
    world.cable(Link::Home).arm(Some(fault));
    world.poll().await.map_err(|fault| fault.to_string())?;
    world.evidence().judge().await?;
    world.cable(Link::Home).arm(None);
    for _ in 0..3 {
        world.later(TimeDelta::hours(1));
        world.poll().await.map_err(|fault| fault.to_string())?;
    }
    world.evidence().judge().await?;
    let mail = world.imap.mail();
    let held = mail.folders.iter().map(|(name, folder)| (name.clone(), folder.messages.len()));
    let held: Vec<(String, usize)> = held.filter(|(_, count)| *count > 0).collect();
    if held != [("Junk".to_owned(), 3), ("Old".to_owned(), 2)] {
        return Err(format!("{held:?}"));
    }
    Ok(())
}

#[test]
fn a_cut_anywhere_neither_loses_nor_doubles_nor_moves_any() {
    let cuts = |way| (0..3000).step_by(23).map(move |after| Fault::Cut { way, after });
    let cases: Vec<Fault> = cuts(Way::Up).chain(cuts(Way::Down)).collect();
    let failures = each_in_a_world(cases, cut);
    assert!(failures.is_empty(), "{failures:#?}");
}

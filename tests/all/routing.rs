//! An account with several destinations: each message goes where its rules say, once, and what no rule takes is kept
//! and shown.

use std::fs;

use serde_json::json;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, webhook_destination};
use crate::receiver::Receiver;

const FILE: &str = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee there.\r\n--b\r\n\
                    Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
                    Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n";

fn mail(subject: &str, rest: &str) -> Vec<u8> {
    format!("From: ann@example.com\r\nTo: desk@example.org\r\nSubject: {subject}\r\n{rest}").into_bytes()
}

/// An invoice, one with a file, a message with a file, and one with nothing.
fn mails() -> [Vec<u8>; 4] {
    [
        mail("=?utf-8?Q?Your_invoice_f=C3=BCr_May?=", "\r\nDue.\r\n"),
        mail("Invoice 2", FILE),
        mail("Minutes", FILE),
        mail("Hello", "\r\nHello.\r\n"),
    ]
}

const TAKERS: &str = "deliver = [{ to = \"books\", when = { header = \"Subject\", contains = \"invoice\" } }, \
                      { to = \"files\", when = { attachment = true } }]\n";

struct Scene {
    server: Dovecot,
    books: Receiver,
    files: Receiver,
    ferry: Ferry,
}

impl Scene {
    async fn new(rest: &str) -> Scene {
        let (server, books, files) = (Dovecot::start(), Receiver::start().await, Receiver::start().await);
        server.put("old", &mails());
        let scene = Scene { server, books, files, ferry: Ferry::new("") };
        scene.configure(rest);
        scene
    }

    fn configure(&self, rest: &str) {
        let destinations = imap_destination("home", &self.server, "me")
            + &webhook_destination("books", &self.books.url, "raw")
            + &webhook_destination("files", &self.files.url, "raw");
        self.ferry.configure(&(destinations + &account("old", &self.server, "old", rest)));
    }

    /// Which of [`mails`] came where.
    fn arrived(&self) -> [Vec<usize>; 2] {
        [&self.books, &self.files].map(|receiver| {
            let bodies = receiver.arrivals().into_iter().map(|arrival| arrival.body.to_vec());
            let mut mails: Vec<usize> =
                bodies.map(|body| mails().iter().position(|mail| *mail == body).unwrap()).collect();
            mails.sort_unstable();
            mails
        })
    }
}

#[tokio::test]
async fn every_rule_that_takes_a_message_gets_it() {
    let scene = Scene::new(TAKERS).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.arrived(), [vec![0, 1], vec![1, 2]]);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.arrived(), [vec![0, 1], vec![1, 2]], "each once");
}

#[tokio::test]
async fn the_first_rule_that_takes_a_message_gets_it_alone() {
    let rest = TAKERS.replace("true } }]", "true } }, { to = \"home\", folder = \"Rest\" }]")
        + "deliver_to = \"first\"\n";
    let scene = Scene::new(&rest).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.arrived(), [vec![0, 1], vec![2]]);
    assert_eq!(scene.server.list("me", "Rest"), [mails()[3].clone()]);
}

#[tokio::test]
async fn what_no_rule_takes_stays_and_is_shown_until_one_does() {
    let scene = Scene::new(&format!("leave_copy = false\n{TAKERS}")).await;
    let ferry = &scene.ferry;
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.server.list("old", "INBOX"), [mails()[3].clone()], "all else is delivered and deleted");
    let status = ferry.json(&["status", "--json"]).await;
    let account = &status["accounts"][0];
    assert_eq!(
        (&account["unrouted"], &account["parked"], &account["pending"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert!(ferry.run(&["status"]).await.stdout.contains("1 unrouted; see `mailferry parked`"));
    let parked = ferry.json(&["parked", "--json"]).await;
    assert_eq!((&parked["parked"], &parked["unrouted"][0]["account"]), (&json!([]), &json!("old")));
    let id = parked["unrouted"][0]["id"].as_i64().unwrap().to_string();
    let told = ferry.run(&["parked"]).await.expect_code(0).stdout;
    assert!(told.starts_with("nothing is parked\n\nno entry of `deliver` takes these;"), "{told}");
    assert!(ferry.run(&["export", &id]).await.expect_code(0).stdout.ends_with("\r\nHello.\r\n"));

    // Asked anew by the same rules it stays as it is; by others it goes, to what was added since, too.
    for (rest, left) in
        [(TAKERS.to_owned(), 1), ("deliver = [{ to = \"books\" }, { to = \"home\" }]\n".to_owned(), 0)]
    {
        scene.configure(&format!("leave_copy = false\n{rest}"));
        ferry.run(&["fetch"]).await.expect_code(0);
        assert_eq!(scene.server.count("old", "INBOX"), 1, "nobody has asked yet");
        ferry.run(&["retry", "--id", &id]).await.expect_code(0);
        ferry.run(&["fetch"]).await.expect_code(0);
        assert_eq!(scene.server.count("old", "INBOX"), left);
    }
    assert_eq!((scene.arrived(), scene.server.count("me", "INBOX")), ([vec![0, 1, 3], vec![1, 2]], 1));
    assert_eq!(ferry.json(&["status", "--json"]).await["accounts"][0].get("unrouted"), None);
}

#[tokio::test]
async fn what_is_given_up_is_shown_no_more_and_stays() {
    let scene = Scene::new(&format!("leave_copy = false\n{TAKERS}")).await;
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    let parked = scene.ferry.json(&["parked", "--json"]).await;
    let id = parked["unrouted"][0]["id"].as_i64().unwrap().to_string();
    scene.ferry.run(&["give-up", &id]).await.expect_code(0);
    assert_eq!(scene.ferry.json(&["parked", "--json"]).await, json!({ "parked": [] }));
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.server.count("old", "INBOX"), 1);
    scene.ferry.run(&["give-up", &id]).await.expect_code(64);
}

#[tokio::test]
async fn a_message_in_a_file_tells_where_it_would_go() {
    let scene = Scene::new(&(TAKERS.to_owned() + "deliver_to = \"first\"\n")).await;
    let ferry = &scene.ferry;
    let check = async |mail: &[u8]| {
        fs::write(ferry.folder().join("letter.eml"), mail).unwrap();
        ferry.run(&["check", "--message", "letter.eml"]).await.expect_code(0).stdout
    };
    let told = check(&mails()[1]).await;
    assert!(
        told.contains("account old:\n  books (webhook) takes it\n  files (webhook) does not take it\n"),
        "{told}"
    );
    assert!(told.contains(&format!("the request to books:\n\nPOST {}\n", scene.books.url)), "{told}");
    assert!(
        told.contains("\ncontent-type: message/rfc822\n") && told.contains("\nwebhook-signature: "),
        "{told}"
    );
    assert!(
        told.contains("\nSubject: Invoice 2\nMIME-Version: 1.0\n") && !told.contains("request to files"),
        "{told}"
    );
    let told = check(&mails()[3]).await;
    assert!(
        told.ends_with("  no entry of `deliver` takes it: it would stay at its source, unrouted\n"),
        "{told}"
    );
    assert!(scene.arrived().iter().all(Vec::is_empty), "nothing is sent");
    // A form may hold the secret itself.
    let redmine = webhook_destination("books", &scene.books.url, "redmine");
    let config = redmine.clone() + &account("old", &scene.server, "old", "deliver = [{ to = \"books\" }]\n");
    ferry.configure(&config);
    let told = check(&mails()[3]).await;
    let secret = redmine.split("secret = \"").nth(1).unwrap().split('"').next().unwrap();
    let hidden = format!("name=\"key\"\n\n{}\n", "*".repeat(secret.len()));
    assert!(told.contains(&hidden) && !told.contains(secret), "{told}");
    // What a stranger wrote is not obeyed, and what cannot be used is told.
    let told = check(b"Subject: \x1b[31mred\xe2\x80\xae\r\n\r\n").await;
    assert!(told.contains("\"\\x1B[31mred\\u{202e}\"\n"), "{told}");
    ferry.configure(&config.replace(&format!("\"{secret}\""), "{ file = \"missing\" }"));
    let ran = ferry.run(&["check", "--message", "letter.eml"]).await.expect_code(78);
    assert!(ran.stdout.contains("missing does not exist"), "{ran:?}");
    // Nor is what is wrong with an account kept back.
    let broken = account("young", &scene.server, "young", "deliver = [{ to = \"books\" }]\n")
        .replace("password = ", "password = { file = \"gone\" } # ");
    ferry.configure(&format!("{config}{broken}"));
    let ran = ferry.run(&["check", "--message", "letter.eml"]).await.expect_code(78);
    assert!(ran.stdout.contains("account young: ") && ran.stdout.contains("gone does not exist"), "{ran:?}");
    ferry.run(&["check", "--message", "letter.eml", "old"]).await.expect_code(0);
    let missing = ferry.run(&["check", "--message", "missing.eml"]).await.expect_code(64);
    assert!(missing.stderr.contains("missing.eml: No such file"), "{missing:?}");
}

//! What people are told without asking: by the real binary, once for each change.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, message};
use crate::receiver::{Arrival, Receiver, status};

const TO_HOME: &str = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";

fn wrong_password(config: &str) -> String {
    config.replacen("user = \"old\"\npassword = \"secret\"", "user = \"old\"\npassword = \"wrong\"", 1)
}

/// `account work begun`, for each notice of a post.
fn told(arrival: &Arrival) -> Vec<String> {
    let post: Value = serde_json::from_slice(&arrival.body).unwrap();
    assert_eq!(post["type"], "mailferry.alert", "{post}");
    let notices = post["data"]["notices"].as_array().unwrap();
    let word = |notice: &Value, key: &str| notice[key].as_str().unwrap().to_owned();
    notices.iter().map(|it| ["kind", "name", "state"].map(|key| word(it, key)).join(" ")).collect()
}

#[tokio::test]
async fn each_change_is_told_once_whatever_is_restarted_and_the_heart_beats_when_all_is_well() {
    let server = Dovecot::start();
    let (receiver, monitor) = (Receiver::start().await, Receiver::start().await);
    let alerts = format!(
        "[alerts]\nurl = \"{}\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nheartbeat = \"{}\"\n\n",
        receiver.url, monitor.url
    );
    let good = alerts + &imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let ferry = Ferry::new(&wrong_password(&good));
    ferry.run(&["fetch"]).await.expect_code(75);
    ferry.run(&["fetch"]).await.expect_code(75);

    let daemon = ferry.start(&["run"]);
    let first = receiver.wait_for_arrivals(1).await.remove(0);
    assert_eq!(told(&first), ["account old begun"]);
    assert!(first.header("webhook-id").starts_with("alert_"), "{first:?}");
    assert!(first.header("webhook-signature").starts_with("v1,"), "{first:?}");
    let text = String::from_utf8(first.body.to_vec()).unwrap();
    assert!(text.contains("Check the user and the password: `mailferry edit old`"), "{text}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    assert_eq!(monitor.arrivals().len(), 0, "not all is well");

    ferry.configure(&good);
    let mut daemon = ferry.start(&["run"]);
    // Before that, `fetch` would take the ledger itself.
    daemon.wait_for("started").await;
    ferry.run(&["fetch"]).await.expect_code(0);
    let second = receiver.wait_for_arrivals(2).await.remove(1);
    assert_eq!(told(&second), ["account old over"], "the restart repeated nothing");
    monitor.wait_for_arrivals(1).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    assert_eq!(receiver.arrivals().len(), 2);
    assert!(monitor.arrivals()[0].body.is_empty(), "it is only called");
}

#[tokio::test]
async fn a_notice_is_mail_that_no_poll_carries_on() {
    let server = Dovecot::start();
    let mut large = message(1);
    large.extend_from_slice(&b"A line of many.\r\n".repeat(100));
    server.put("old", &[message(0), large]);
    let config = "[alerts]\nto = \"home\"\n\n".to_owned()
        + &imap_destination("home", &server, "me@example.org")
        + &imap_destination("away", &server, "you")
        + &account("old", &server, "old", &format!("max_size = 1024\n{TO_HOME}"));
    let ferry = Ferry::new(&config);
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("people were told").await;
    let mail = server.list("me@example.org", "INBOX");
    let notice = mail.iter().map(|mail| String::from_utf8_lossy(mail)).find(|mail| mail.contains("parked"));
    let notice = notice.expect("a notice");
    for part in [
        "From: \"mailferry\" <me@example.org>\r\n",
        "To: <me@example.org>\r\n",
        "Subject: mailferry: A message of the account old is parked\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "larger than max_size",
    ] {
        assert!(notice.contains(part), "{part} in {notice}");
    }
    // The mailbox with the notice is polled as well, and what is polled goes on to another one.
    let mine = account("mine", &server, "me@example.org", "every = \"1h\"\ndeliver = [{ to = \"away\" }]");
    ferry.configure(&(config + &mine));
    daemon.signal(Signal::HUP);
    daemon.wait_for("account=mine new=").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    assert_eq!(server.count("me@example.org", "INBOX"), 2, "the message and the notice");
    let carried = server.list("you", "INBOX");
    assert_eq!(carried.len(), 1, "the message, and no notice");
    assert!(!String::from_utf8_lossy(&carried[0]).contains("mailferry"));
    let status = ferry.json(&["status", "--json"]).await;
    assert_eq!((&status["accounts"][0]["pending"], &status["accounts"][0]["parked"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn a_notice_goes_to_whose_mail_it_is() {
    let server = Dovecot::start();
    let route = |to: &str| format!("every = \"1h\"\ndeliver = [{{ to = \"{to}\" }}]");
    let config = "[alerts]\nto = true\nafter = \"1s\"\n\n".to_owned()
        + &imap_destination("alice", &server, "alice@example.org")
        + &imap_destination("bob", &server, "bob@example.org")
        + &account("hers", &server, "hers", &route("alice"))
        + &wrong_password(&account("his", &server, "old", &route("bob")));
    let ferry = Ferry::new(&config);
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("people were told").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    let his = server.list("bob@example.org", "INBOX");
    assert_eq!((his.len(), server.count("alice@example.org", "INBOX")), (1, 0));
    let notice = String::from_utf8_lossy(&his[0]);
    assert!(notice.contains("To: <bob@example.org>") && notice.contains("account his"), "{notice}");
}

#[tokio::test]
async fn a_command_tells_what_cannot_go_by_mail() {
    let server = Dovecot::start();
    server.put("old", &[message(0)]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let alerts = "[alerts]\nto = \"home\"\ncommand = [\"./tell\", \"a b\"]\nafter = \"1s\"\n\n";
    let config = alerts.to_owned()
        + &imap_destination("home", &server, "me")
        + &account("old", &server, "old", TO_HOME);
    let down = config.replace(&format!("port = {}", server.imap), &format!("port = {nobody}"));
    let ferry = Ferry::new(&down);
    let script = ferry.folder().join("tell");
    fs::write(&script, "#!/bin/sh\necho \"$1\" >told\ncat >>told\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("way=\"command\" notices=1").await;
    let told = fs::read_to_string(ferry.folder().join("told")).unwrap();
    assert!(told.starts_with("a b\nThe destination home takes no mail (failing)\n\n"), "{told}");
    assert!(told.contains(&format!("127.0.0.1:{nobody}: no connection")), "{told}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);

    // Whoever reads the mail learns of it when it can be read again, and of the whole in one.
    ferry.configure(&config);
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("way=\"mail\" notices=1").await;
    let notices = server.list("me", "INBOX");
    let notices: Vec<_> = notices.iter().map(|mail| String::from_utf8_lossy(mail)).collect();
    assert!(notices.iter().any(|mail| mail.contains("X-Mailferry-Notice")), "{notices:?}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

/// A28: what cannot be told is told later, and holds up nobody.
#[tokio::test]
async fn a_notice_that_nobody_takes_harms_no_poll() {
    let server = Dovecot::start();
    let nobody = Receiver::answering(|_, _| status(500)).await;
    let alerts = format!("[alerts]\nurl = \"{}\"\nheartbeat = \"{}\"\n\n", nobody.url, nobody.url);
    let good = imap_destination("home", &server, "me") + &account("good", &server, "good", TO_HOME);
    let bad = wrong_password(&account("old", &server, "old", TO_HOME));
    let ferry = Ferry::new(&(alerts + &good + &bad));
    for _ in 0..2 {
        ferry.run(&["fetch"]).await.expect_code(75);
    }
    let mut daemon = ferry.start(&["run"]);
    nobody.wait_for_arrivals(1).await;
    for n in 1..=3 {
        server.put("good", &[message(n)]);
        ferry.run(&["fetch", "good"]).await.expect_code(0);
    }
    assert_eq!(server.count("me", "INBOX"), 3);
    daemon.wait_for("people could not be told").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

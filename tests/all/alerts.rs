//! What people are told without asking: by the real binary, once for each change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, message, webhook_destination};
use crate::peer::Nobody;
use crate::receiver::{Arrival, Receiver, status};
use crate::servers::imap::{Imap, Mute};

const TO_HOME: &str = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";

fn wrong_password(config: &str) -> String {
    config.replacen("user = \"old\"\npassword = \"secret\"", "user = \"old\"\npassword = \"wrong\"", 1)
}

/// `account work begun`, for each notice of a post.
pub fn told(arrival: &Arrival) -> Vec<String> {
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
    let nobody = Nobody::new();
    let alerts = "[alerts]\nto = \"home\"\ncommand = [\"./tell\", \"a b\"]\nafter = \"1s\"\n\n";
    let config = alerts.to_owned()
        + &imap_destination("home", &server, "me")
        + &account("old", &server, "old", TO_HOME);
    let down = config.replace(&format!("port = {}", server.imap), &format!("port = {}", nobody.port));
    let ferry = Ferry::new(&down);
    let script = ferry.folder().join("tell");
    fs::write(&script, "#!/bin/sh\necho \"$1\" >told\ncat >>told\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("way=\"command\" notices=1").await;
    let told = fs::read_to_string(ferry.folder().join("told")).unwrap();
    assert!(told.starts_with("a b\nThe destination home takes no mail (failing)\n\n"), "{told}");
    assert!(told.contains(&format!("127.0.0.1:{}: no connection", nobody.port)), "{told}");
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

/// The answer was lost, not the notice: it is looked for, as any message is.
#[tokio::test]
async fn a_notice_whose_answer_was_lost_is_told_once() {
    let (server, inbox) = (Dovecot::start(), Imap::start().await);
    inbox.mail().ways.mute_after = Some((1, Mute::Gone));
    let home = imap_destination("home", &server, "me")
        .replace(&format!("port = {}", server.imap), &format!("port = {}", inbox.port));
    let old = wrong_password(&account("old", &server, "old", TO_HOME));
    let ferry = Ferry::new(&format!("[alerts]\nto = \"home\"\n\n{home}{old}"));
    for _ in 0..2 {
        ferry.run(&["fetch"]).await.expect_code(75);
    }
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("nobody knows whether people were told").await;
    daemon.wait_for("people were told").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    let mail = inbox.mail();
    assert_eq!((mail.appended, mail.all().len()), (1, 1));
    assert!(mail.examined > 0, "it was looked for");
}

#[tokio::test]
async fn who_does_not_answer_holds_up_no_other_notice() {
    let server = Dovecot::start();
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let config = "[alerts]\nto = \"home\"\ncommand = [\"/bin/cat\"]\n\n".to_owned()
        + &imap_destination("home", &server, "me")
            .replace(&format!("port = {}", server.imap), &format!("port = {port}"))
        + &wrong_password(&account("one", &server, "old", TO_HOME))
        + &wrong_password(&account("other", &server, "old", TO_HOME));
    let ferry = Ferry::new(&config);
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("started").await;
    for name in ["one", "other"] {
        for _ in 0..2 {
            ferry.run(&["fetch", name]).await.expect_code(75);
        }
        daemon.wait_for("way=\"command\" notices=1").await;
    }
    daemon.signal(Signal::TERM);
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0);
    let told = ran.stderr.match_indices("people were told").nth(1).unwrap().0;
    let failed = ran.stderr.find("people could not be told");
    assert!(failed.is_none_or(|failed| failed > told), "{}", ran.stderr);
}

#[tokio::test]
async fn a_way_that_was_mended_does_not_rest_on() {
    let server = Dovecot::start();
    let (dead, alive) = (Receiver::answering(|_, _| status(500)).await, Receiver::start().await);
    let config = |url: &str| {
        format!("[alerts]\nurl = \"{url}\"\n\n")
            + &imap_destination("home", &server, "me")
            + &wrong_password(&account("old", &server, "old", TO_HOME))
    };
    let ferry = Ferry::new(&config(&dead.url));
    for _ in 0..2 {
        ferry.run(&["fetch"]).await.expect_code(75);
    }
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("people could not be told").await;
    let failed = Instant::now();
    ferry.configure(&config(&alive.url));
    daemon.signal(Signal::HUP);
    assert_eq!(told(&alive.wait_for_arrivals(1).await[0]), ["account old begun"]);
    assert!(failed.elapsed() < Duration::from_secs(59), "it has rested: {:?}", failed.elapsed());
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

#[tokio::test]
async fn to_try_again_is_no_sign_that_a_destination_is_well() {
    let server = Dovecot::start();
    server.put("old", &[message(0)]);
    let receiver = Receiver::start().await;
    let answer = Arc::new(AtomicU16::new(410));
    let app = {
        let answer = Arc::clone(&answer);
        Receiver::answering(move |_, _| status(answer.load(Ordering::SeqCst))).await
    };
    let good = format!("[alerts]\nurl = \"{}\"\n\n", receiver.url)
        + &webhook_destination("app", &app.url, "raw")
        + &account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]");
    let ferry = Ferry::new(&good);
    let mut daemon = ferry.start(&["run"]);
    let begun = receiver.wait_for_arrivals(1).await;
    assert_eq!(told(&begun[0]), ["destination app begun"]);

    // While its mail cannot be retrieved nobody knows whether it would take it.
    ferry.configure(&wrong_password(&good));
    daemon.signal(Signal::HUP);
    daemon.wait_for("reloaded").await;
    ferry.run(&["retry"]).await.expect_code(0);
    for _ in 0..2 {
        ferry.run(&["fetch"]).await.expect_code(75);
    }
    let begun = receiver.wait_for_arrivals(2).await;
    assert_eq!(told(&begun[1]), ["account old begun"]);

    answer.store(200, Ordering::SeqCst);
    ferry.configure(&good);
    daemon.signal(Signal::HUP);
    daemon.wait_for("reloaded").await;
    ferry.run(&["fetch"]).await.expect_code(0);
    let mut over: Vec<String> = Vec::new();
    for n in 3.. {
        over.extend(told(&receiver.wait_for_arrivals(n).await[n - 1]));
        if over.len() >= 2 {
            break;
        }
    }
    over.sort();
    assert_eq!(over, ["account old over", "destination app over"]);
    assert_eq!(app.arrivals().len(), 2);
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

/// A monitor that is called while mail waits in vain would never raise the alarm.
#[tokio::test]
async fn no_heart_beats_while_the_only_destination_is_down() {
    let server = Dovecot::start();
    server.put("old", &[message(0)]);
    let (receiver, monitor, app) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let nobody = Nobody::new();
    let config = |url: &str| {
        let (alerts, heartbeat) = (&receiver.url, &monitor.url);
        format!("[alerts]\nurl = \"{alerts}\"\nheartbeat = \"{heartbeat}\"\nafter = \"1s\"\n\n")
            + &webhook_destination("app", url, "raw")
            + &account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]")
    };
    let ferry = Ferry::new(&config(&format!("http://127.0.0.1:{}/", nobody.port)));
    ferry.run(&["fetch"]).await.expect_code(75);
    let mut daemon = ferry.start(&["run"]);
    let begun = receiver.wait_for_arrivals(1).await;
    assert_eq!(told(&begun[0]), ["destination app begun"]);
    assert_eq!(monitor.arrivals().len(), 0, "its mail waits");
    ferry.configure(&config(&app.url));
    daemon.signal(Signal::HUP);
    daemon.wait_for("reloaded").await;
    ferry.run(&["fetch"]).await.expect_code(0);
    monitor.wait_for_arrivals(1).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

/// It may have told all the same, so that it is not asked again and again: not even after a restart.
#[tokio::test]
async fn a_command_that_fails_is_not_asked_again_at_once() {
    let server = Dovecot::start();
    let one = wrong_password(&account("one", &server, "old", TO_HOME));
    let other = wrong_password(&account("other", &server, "old", TO_HOME));
    let config = "[alerts]\ncommand = [\"./tell\"]\n\n".to_owned() + &imap_destination("home", &server, "me");
    let ferry = Ferry::new(&(config.clone() + &one));
    let script = |code: u8| {
        let file = ferry.folder().join("tell");
        fs::write(&file, format!("#!/bin/sh\nhead -n 1 >>told\nexit {code}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
    };
    script(1);
    for _ in 0..2 {
        ferry.run(&["fetch"]).await.expect_code(75);
    }
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("people could not be told").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);

    script(0);
    ferry.configure(&(config + &one + &other));
    for _ in 0..2 {
        ferry.run(&["fetch", "other"]).await.expect_code(75);
    }
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("way=\"command\" notices=1").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    let titles = ["one", "other"].map(|name| format!("No mail is retrieved from the account {name}\n"));
    assert_eq!(fs::read_to_string(ferry.folder().join("told")).unwrap(), titles.concat());
}

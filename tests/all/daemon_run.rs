//! The daemon: it polls on schedule, does what other processes ask, reloads, and stops in order.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, Running, account, imap_destination, message, webhook_destination};
use crate::receiver::Receiver;

fn config(server: &Dovecot, every: &str) -> String {
    let to_home = format!("every = \"{every}\"\ndeliver = [{{ to = \"home\" }}]");
    imap_destination("home", server, "me") + &account("old", server, "old", &to_home)
}

#[tokio::test]
async fn polls_on_schedule_and_stops_in_order() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let ferry = Ferry::new(&config(&server, "5s"));
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("delivered=1").await;
    server.put("old", &[message(2)]);
    daemon.wait_for("delivered=1").await;
    daemon.signal(Signal::TERM);
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("stopped"), "{ran:?}");
    assert_eq!(server.count("me", "INBOX"), 2);
}

#[tokio::test]
async fn does_what_other_processes_ask() {
    let server = Dovecot::start();
    let ferry = Ferry::new(&config(&server, "1h"));
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("poll").await;
    server.put("old", &[message(1), message(2)]);
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("old: 2 new, 2 delivered"), "{ran:?}");
    assert_eq!(server.count("me", "INBOX"), 2);
    ferry.run(&["retry"]).await.expect_code(0);
    let history = ferry.json(&["history", "--json"]).await;
    assert_eq!(history["polls"][0]["delivered"], 2, "{history}");
    let status = ferry.json(&["status", "--json"]).await;
    assert_eq!(status["accounts"][0]["delivered"], 2, "{status}");
    assert_eq!(status["destinations"][0]["state"], "ok", "{status}");
    let not_running = "no mailferry is running; start it with `mailferry run`";
    assert!(!ferry.run(&["status"]).await.stdout.contains(not_running));
    daemon.signal(Signal::INT);
    assert_eq!(daemon.end().await.code, 0);
    assert!(ferry.run(&["status"]).await.stdout.contains(not_running));
}

#[tokio::test]
async fn a_mistaken_request_ends_no_daemon() {
    let server = Dovecot::start();
    let ferry = Ferry::new(&config(&server, "1h"));
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("poll").await;
    for mistake in [["give-up", "4711"].as_slice(), &["retry", "--id", "4711"], &["retry", "nobody"]] {
        ferry.run(mistake).await.expect_code(64);
    }
    server.put("old", &[message(1)]);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "INBOX"), 1);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

#[tokio::test]
async fn nobody_waits_for_a_daemon_that_has_ended() {
    let server = Dovecot::start();
    // It greets nobody, so the poll that is waited for does not end.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let config = config(&server, "1h");
    let config = config.replace(&format!("port = {}", server.pop3), &format!("port = {port}"));
    let ferry = Ferry::new(&config);
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("started").await;
    let mut asking = ferry.start(&["fetch", "-v"]);
    asking.wait_for("waits for").await;
    daemon.signal(Signal::KILL);
    daemon.end().await;
    let ran = asking.end().await.expect_code(75);
    assert!(ran.stderr.contains("run this command again"), "{ran:?}");
}

#[tokio::test]
async fn reloads_and_keeps_the_old_config_when_the_new_one_is_broken() {
    let server = Dovecot::start();
    let ferry = Ferry::new(&config(&server, "1h"));
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("poll").await;

    ferry.configure("evry = 5");
    daemon.signal(Signal::HUP);
    daemon.wait_for("evry").await;
    daemon.wait_for("the old one goes on").await;
    server.put("old", &[message(1)]);
    ferry.configure(&config(&server, "1h"));
    ferry.run(&["fetch"]).await.expect_code(0);

    server.put("new", &[message(2)]);
    let more =
        account("new", &server, "new", "every = \"1h\"\ndeliver = [{ to = \"home\", folder = \"New\" }]");
    ferry.configure(&(config(&server, "1h") + &more));
    daemon.signal(Signal::HUP);
    daemon.wait_for("reloaded").await;
    daemon.wait_for("account=new").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    assert_eq!((server.count("me", "INBOX"), server.count("me", "New")), (1, 1));
}

#[tokio::test]
async fn what_a_reload_cannot_change_is_said() {
    let server = Dovecot::start();
    let ferry = Ferry::new(&config(&server, "1h"));
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("poll").await;
    let more = "[log]\nlevel = \"debug\"\n[web]\nlisten = \"127.0.0.1:0\"\n";
    ferry.configure(&("ledger = \"another.db\"\n".to_owned() + &config(&server, "1h") + more));
    daemon.signal(Signal::HUP);
    for key in ["`ledger` has changed", "`[log]` has changed", "`[web]` is new"] {
        let line = daemon.wait_for(key).await;
        assert!(line.contains("after a restart"), "{line}");
    }
    daemon.wait_for("reloaded").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    assert!(!ferry.folder().join("another.db").exists());
}

#[tokio::test]
async fn a_reload_drops_no_poll_in_progress() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let receiver = Receiver::holding().await;
    let to_app = account("old", &server, "old", "every = \"1h\"\ndeliver = [{ to = \"app\" }]");
    let ferry = Ferry::new(&(webhook_destination("app", &receiver.url, "raw") + &to_app));
    let mut daemon = ferry.start(&["run"]);
    receiver.wait_for(1).await;
    daemon.signal(Signal::HUP);
    daemon.wait_for("reloaded").await;
    receiver.let_answer(1);
    daemon.wait_for("verdict=\"delivered\"").await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    assert_eq!(receiver.arrivals().len(), 1, "it was not begun again");
}

/// A daemon whose poll of `old` waits for the answers of a receiver, with more batches before it.
struct Held {
    server: Dovecot,
    receiver: Receiver,
    ferry: Ferry,
    daemon: Running,
}

/// More than two batches.
const MANY: usize = 200;

impl Held {
    async fn new(rest: &str) -> Held {
        let (server, receiver) = (Dovecot::start(), Receiver::holding().await);
        server.put("old", &(0..MANY).map(message).collect::<Vec<_>>());
        let app = webhook_destination("app", &receiver.url, "raw");
        let ferry = Ferry::new(&format!("accounts_dir = \"accounts.d\"\n{app}"));
        write_account(&ferry, &server, rest);
        let daemon = ferry.start(&["run"]);
        receiver.wait_for(1).await;
        Held { server, receiver, ferry, daemon }
    }

    async fn end(self) -> (Dovecot, Receiver) {
        self.daemon.signal(Signal::TERM);
        let ran = self.daemon.end().await;
        assert_eq!(ran.code, 0, "{ran:?}");
        (self.server, self.receiver)
    }
}

/// Writes the file of the account `old`.
fn write_account(ferry: &Ferry, server: &Dovecot, rest: &str) {
    let keys =
        account("old", server, "old", &format!("{rest}\nevery = \"1h\"\ndeliver = [{{ to = \"app\" }}]"));
    let file = ferry.folder().join("accounts.d/old.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    // A file of its own has the keys alone.
    fs::write(&file, keys.split_once('\n').unwrap().1).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn what_is_deleted_under_its_poll_is_forgotten_when_that_has_ended() {
    let held = Held::new("").await;
    let mut deleting = Box::pin(held.ferry.run(&["delete", "old", "--forget", "--yes"]));
    let early = tokio::time::timeout(Duration::from_secs(3), &mut deleting).await;
    assert!(early.is_err(), "its poll still needs what is to be forgotten: {early:?}");
    held.receiver.let_answer(MANY);
    deleting.await.expect_code(0);
    let status = held.ferry.json(&["status", "--json"]).await;
    assert_eq!(status["accounts"].as_array().unwrap().len(), 0, "{status}");
    let (_server, receiver) = held.end().await;
    let arrived = receiver.arrivals().len();
    assert!(arrived < MANY, "what nobody wants any more is not carried to its end: {arrived}");
}

#[tokio::test]
async fn what_is_to_stay_since_a_reload_stays_though_a_poll_began_before() {
    let mut held = Held::new("leave_copy = false").await;
    write_account(&held.ferry, &held.server, "leave_copy = true");
    held.daemon.signal(Signal::HUP);
    held.daemon.wait_for("reloaded").await;
    held.receiver.let_answer(MANY);
    held.receiver.wait_for_arrivals(MANY).await;
    let (server, receiver) = held.end().await;
    assert_eq!(receiver.taken().unwrap().len(), MANY);
    assert_eq!(server.count("old", "INBOX"), MANY);
}

#[tokio::test]
async fn a_restart_is_no_reason_to_poll() {
    let server = Dovecot::start();
    let ferry = Ferry::new(&config(&server, "1h"));
    for polls in [1, 1] {
        let mut daemon = ferry.start(&["run"]);
        daemon.wait_for("started").await;
        if ferry.json(&["history", "--json"]).await["polls"].as_array().unwrap().is_empty() {
            daemon.wait_for("poll").await;
        }
        ferry.run(&["retry"]).await.expect_code(0);
        daemon.signal(Signal::TERM);
        daemon.end().await;
        let history = ferry.json(&["history", "--json"]).await;
        assert_eq!(history["polls"].as_array().unwrap().len(), polls, "{history}");
    }
}

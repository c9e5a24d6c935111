//! Bad input and bad luck: one clear sentence, the right exit code, and nothing lost.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, Ran, account, imap_destination, message, webhook_destination};
use crate::peer::{Nobody, Peer};
use crate::receiver::{Receiver, status};

const TO_HOME: &str = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";

/// A server with three messages for `old`, and a ferry that carries them to `me`.
fn three_messages() -> (Dovecot, Ferry) {
    let server = Dovecot::start();
    server.put("old", &[message(1), message(2), message(3)]);
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let ferry = Ferry::new(&config);
    (server, ferry)
}

#[track_caller]
fn assert_one_sentence(ran: &Ran, words: &[&str]) {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(said.contains(word), "`{word}` is missing: {ran:?}");
    }
    assert!(!said.contains("panicked") && !said.contains("backtrace"), "{ran:?}");
}

#[tokio::test]
async fn a_wrong_password_fails_its_account_alone() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let wrong = account("bad", &server, "other", TO_HOME).replace("\"secret\"", "\"wrong\"");
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME) + &wrong;
    let ferry = Ferry::new(&config);
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert_one_sentence(
        &ran,
        &["bad: ", "login was refused", "check `user` and `password`", "old: 1 new, 1 delivered"],
    );
    assert!(!ran.stdout.contains("wrong"), "a password is shown: {ran:?}");
    assert_eq!(server.count("me", "INBOX"), 1);
    let status = ferry.json(&["status", "--json"]).await;
    let bad = status["accounts"].as_array().unwrap().iter().find(|account| account["name"] == "bad").unwrap();
    assert_eq!(bad["error"]["class"], "account");
    assert!(bad["failing_since"].is_string() && bad["last_success"].is_null(), "{bad}");
    let ran = ferry.run(&["check"]).await.expect_code(75);
    assert_one_sentence(&ran, &["account bad: FAILED", "account old: 1 message,"]);
}

#[tokio::test]
async fn an_unreachable_host_says_so() {
    let (_server, ferry) = three_messages();
    let config = fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap();
    let closed = Nobody::new();
    let old = config.find("[account").unwrap();
    let (home, account) = config.split_at(old);
    let port = account.lines().find(|line| line.starts_with("port")).unwrap();
    ferry.configure(&format!("{home}{}", account.replace(port, &format!("port = {}", closed.port))));
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert_one_sentence(&ran, &["127.0.0.1", "no connection", "check `host` and `port`"]);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_sends_no_password() {
    let server = Dovecot::start();
    let tls = |host: &str, more: &str| {
        format!(
            "[account.old]\nhost = \"{host}\"\nport = {}\nuser = \"old\"\npassword = \"secret\"\n{more}\n{TO_HOME}\n",
            server.pop3s
        )
    };
    let home = imap_destination("home", &server, "me");
    let ca_file = format!("ca_file = \"{}\"", server.ca_file.display());
    let ferry = Ferry::new(&(home.clone() + &tls("localhost", "")));
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert_one_sentence(&ran, &["unknown issuer", "`ca_file` or `pin`"]);
    ferry.configure(
        &(home.clone() + &tls("localhost", &format!("{ca_file}\nserver_name = \"pop.example.com\""))),
    );
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert_one_sentence(&ran, &["not for `pop.example.com`", "`server_name`"]);
    assert!(!server.log().contains("Login"), "{}", server.log());
    ferry.configure(&(home + &tls("localhost", &ca_file)));
    ferry.run(&["fetch"]).await.expect_code(0);
}

#[tokio::test]
async fn a_ca_file_that_is_not_there_is_told_and_fails_its_account_alone() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let bob = "[account.bob]\nhost = \"localhost\"\nuser = \"bob\"\npassword = \"secret\"\nca_file = \"nope.pem\"\n";
    let config = imap_destination("home", &server, "me")
        + &account("old", &server, "old", TO_HOME)
        + &format!("{bob}{TO_HOME}\n");
    let ferry = Ferry::new(&config);
    let words = ["account.bob.ca_file: ", "nope.pem does not exist; put"];
    assert_one_sentence(&ferry.run(&["check", "--offline"]).await.expect_code(78), &words);
    let ran = ferry.run(&["check"]).await.expect_code(78);
    assert_one_sentence(&ran, &[words[1], "account old: 1 message,"]);
    assert_one_sentence(&ferry.run(&["fetch", "bob"]).await.expect_code(75), &words);
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert_one_sentence(&ran, &["bob: not polled: ", "old: 1 new, 1 delivered"]);
}

#[tokio::test]
async fn a_destination_without_its_secret_is_told_offline_too() {
    let (_server, ferry) = three_messages();
    let config = fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap();
    ferry.configure(&config.replacen("\"secret\"", "{ file = \"absent\" }", 1));
    for command in [["check", "--offline"].as_slice(), &["check"]] {
        let ran = ferry.run(command).await.expect_code(78);
        assert_one_sentence(
            &ran,
            &["destination home: ", "destination.home.password: ", "absent does not exist"],
        );
    }
    let app = webhook_destination("app", "https://localhost/", "raw").replace("whsec_", "whsec_!");
    ferry.configure(&(config + &app));
    let ran = ferry.run(&["check", "--offline"]).await.expect_code(78);
    assert_one_sentence(&ran, &["destination.app.secret: ", "not base64"]);
}

#[tokio::test]
async fn a_page_whose_port_is_taken_is_a_fault_of_the_config() {
    let (_server, ferry) = three_messages();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap();
    ferry.configure(&format!("{config}[web]\nlisten = \"{}\"\n", taken.local_addr().unwrap()));
    let ran = ferry.run(&["run"]).await.expect_code(78);
    assert_one_sentence(&ran, &["mailferry.toml: web.listen: ", "cannot listen"]);
    // Nothing is left of that start.
    ferry.run(&["fetch"]).await.expect_code(0);
}

#[tokio::test]
async fn a_check_does_not_wait_for_the_slowest_to_show_the_others() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quick = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let config = webhook_destination("app", &format!("http://{}/", quick.local_addr().unwrap()), "raw")
        + &format!("[account.old]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"old\"\n")
        + "password = \"secret\"\ndeliver = [{ to = \"app\" }]\n";
    let ferry = Ferry::new(&config);
    let play = async {
        let (waits, _) = silent.accept().await.unwrap();
        let (mut done, _) = quick.accept().await.unwrap();
        assert_eq!(done.read(&mut [0]).await.unwrap(), 0, "the client is through with it");
        drop(waits);
    };
    let (ran, ()) = tokio::join!(ferry.run(&["check"]), play);
    let at = |words: &str| ran.stdout.find(words).unwrap_or_else(|| panic!("{words}: {ran:?}"));
    assert!(at("destination app: ") < at("account old: FAILED: "), "{ran:?}");
    assert_eq!(ran.code, 75);
}

#[tokio::test]
async fn five_mistakes_in_a_config_are_told_at_once() {
    let ferry = Ferry::new(
        "[destination.home]\nkind = \"imap\"\nuser = \"me\"\npassword = \"x\"\n\n[account.old]\n\
         host = \"pop.example.com\"\nuser = \"old\"\npassword = \"y\"\nevry = \"5m\"\nleave_copy = \"long\"\n\
         import = \"some\"\ndeliver = [{ to = \"hoem\" }]\n",
    );
    for command in [["check", "--offline"].as_slice(), &["run"], &["fetch"], &["status"]] {
        let ran = ferry.run(command).await.expect_code(78);
        assert_one_sentence(&ran, &["host", "evry", "leave_copy", "import", "hoem"]);
        assert!(ran.stderr.contains("mailferry.toml:"), "{ran:?}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_a_usage_error() {
    let (_server, ferry) = three_messages();
    let ran = ferry.run(&["fetch", "odl"]).await.expect_code(64);
    assert_one_sentence(&ran, &["no account `odl`", "old"]);
    for command in
        [["retry", "--id", "77"].as_slice(), &["give-up", "77"], &["export", "77"], &["forget", "odl"]]
    {
        ferry.run(&["fetch"]).await;
        let ran = ferry.run(command).await.expect_code(64);
        assert_one_sentence(&ran, &["mailferry: "]);
    }
    ferry.run(&["no-such-command"]).await.expect_code(64);
    ferry.run(&[]).await.expect_code(64);
    let ran = ferry.run(&["give-up", "abc"]).await.expect_code(64);
    assert_one_sentence(&ran, &["an id is a number; see `mailferry parked`"]);
    let ran = ferry.run(&["--help"]).await.expect_code(0);
    assert_one_sentence(&ran, &["Exit codes: ", "64", "74", "75", "78"]);
}

#[tokio::test]
async fn no_config_names_the_places_that_were_looked_at() {
    let (_server, ferry) = three_messages();
    fs::remove_file(ferry.folder().join("mailferry.toml")).unwrap();
    let ran = ferry.run(&["fetch"]).await.expect_code(78);
    assert_one_sentence(&ran, &["mailferry.toml", "/etc/mailferry/mailferry.toml", "-c"]);
}

/// W14.
#[tokio::test]
async fn a_second_daemon_on_the_same_ledger_is_refused() {
    let (_server, ferry) = three_messages();
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("started").await;
    let ran = ferry.run(&["run"]).await.expect_code(75);
    assert_one_sentence(&ran, &["mailferry.db"]);
    let ran = ferry.run(&["rename", "old", "new"]).await.expect_code(75);
    assert_one_sentence(&ran, &["mailferry.db"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

#[tokio::test]
async fn a_secret_that_is_gone_shows_in_status_which_reads_none() {
    let (_server, ferry) = three_messages();
    ferry.run(&["fetch"]).await.expect_code(0);
    let file = ferry.folder().join("mailferry.toml");
    let config = fs::read_to_string(&file).unwrap();
    let (home, old) = config.split_at(config.find("[account").unwrap());
    ferry.configure(&format!("{home}{}", old.replace("\"secret\"", "{ file = \"gone\" }")));
    ferry.run(&["fetch"]).await.expect_code(75);
    let status = ferry.json(&["status", "--json"]).await;
    assert!(status["accounts"][0]["error"]["text"].as_str().unwrap().contains("gone"), "{status}");
    assert_eq!(status["accounts"][0]["delivered"], 3, "{status}");
    ferry.configure(&config);
    ferry.run(&["fetch"]).await.expect_code(0);
    let status = ferry.json(&["status", "--json"]).await;
    assert!(status["accounts"][0]["error"].is_null(), "{status}");
}

#[tokio::test]
async fn a_ledger_that_is_none_or_from_the_future_is_left_alone() {
    let (server, ferry) = three_messages();
    let ledger = ferry.folder().join("mailferry.db");
    fs::write(
        &ledger,
        "not a database, but somebody's text, and long enough to be mistaken for a page of one",
    )
    .unwrap();
    let ran = ferry.run(&["fetch"]).await.expect_code(74);
    assert_one_sentence(&ran, &["mailferry.db"]);
    assert!(fs::read_to_string(&ledger).unwrap().starts_with("not a database"), "it was overwritten");
    assert_eq!(server.count("me", "INBOX"), 0);

    fs::remove_file(&ledger).unwrap();
    ferry.run(&["fetch"]).await.expect_code(0);
    let options = SqliteConnectOptions::new().filename(&ledger);
    let mut future = SqliteConnection::connect_with(&options).await.unwrap();
    let sql = "
        INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of a later version', 1, x'00', 0)";
    sqlx::query(sql).execute(&mut future).await.unwrap();
    future.close().await.unwrap();
    server.put("old", &[message(4)]);
    for command in ["fetch", "run", "status"] {
        let ran = ferry.run(&[command]).await.expect_code(74);
        assert_one_sentence(&ran, &["mailferry.db", "newer mailferry"]);
    }
    assert_eq!((server.count("old", "INBOX"), server.count("me", "INBOX")), (4, 3));
}

#[tokio::test]
async fn a_ledger_in_a_folder_that_is_not_there_is_no_reason_to_lose_mail() {
    let (server, ferry) = three_messages();
    let config = fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap();
    ferry.configure(&format!("ledger = \"no/such/folder/mailferry.db\"\n{config}"));
    let ran = ferry.run(&["fetch"]).await.expect_code(74);
    assert_one_sentence(&ran, &["no/such/folder"]);
    assert_eq!((server.count("old", "INBOX"), server.count("me", "INBOX")), (3, 0));
    for command in [["check", "--offline"].as_slice(), &["check"]] {
        let ran = ferry.run(command).await.expect_code(74);
        assert_one_sentence(
            &ran,
            &["no folder for the ledger", "no/such/folder", "1 account, 1 destination"],
        );
    }
}

#[tokio::test]
async fn secrets_that_others_can_read_are_refused() {
    let (_server, ferry) = three_messages();
    let file = ferry.folder().join("mailferry.toml");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let ran = ferry.run(&["fetch"]).await;
    assert!(ran.code != 0, "{ran:?}");
    assert_one_sentence(&ran, &["password", "chmod"]);
}

#[tokio::test]
async fn a_destination_that_is_down_holds_up_no_other() {
    let server = Dovecot::start();
    server.put("old", &[message(1), message(2), message(3)]);
    let receiver = Receiver::answering(|_, _| status(503)).await;
    let config = imap_destination("home", &server, "me")
        + &webhook_destination("app", &receiver.url, "json")
        + &account(
            "old",
            &server,
            "old",
            "leave_copy = false\ndeliver = [{ to = \"app\" }, { to = \"home\" }]",
        );
    let ferry = Ferry::new(&config);
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert_one_sentence(
        &ran,
        &["3 deferred", "app: 3 messages in a row came to nothing (HTTP 503", "will be tried again"],
    );
    assert_eq!(server.count("me", "INBOX"), 3);
    assert_eq!(server.count("old", "INBOX"), 3, "not deleted before the webhook has it, too");
    assert_eq!(receiver.arrivals().len(), 3);
    let status = ferry.json(&["status", "--json"]).await;
    let old = &status["accounts"][0];
    assert_eq!((&old["pending"], &old["failing_since"]), (&3.into(), &serde_json::Value::Null), "{status}");
    assert_eq!(old["error"]["class"], "destination", "{status}");
    let told = old["error"]["text"].as_str().unwrap();
    assert!(told.starts_with("app: 3 messages in a row came to nothing (HTTP 503"), "{status}");
}

#[tokio::test]
async fn a_bad_message_is_parked_and_the_others_go_on() {
    let server = Dovecot::start();
    server.put("old", &[message(1), message(2), message(3)]);
    let receiver = Receiver::answering(|arrival, _| {
        let is_bad = arrival.body.windows(9).any(|part| part == b"message 2");
        status(if is_bad { 422 } else { 200 })
    });
    let receiver = receiver.await;
    let config = webhook_destination("app", &receiver.url, "raw")
        + &account("old", &server, "old", "leave_copy = false\ndeliver = [{ to = \"app\" }]");
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch"]).await.expect_code(75);
    ferry.run(&["fetch"]).await.expect_code(75);
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert_one_sentence(&ran, &["1 parked"]);
    assert_eq!(server.count("old", "INBOX"), 1, "the parked one stays at its source");
    let parked = ferry.json(&["parked", "--json"]).await;
    let parked = &parked["parked"][0];
    assert_eq!(
        (&parked["account"], &parked["destination"], &parked["attempts"]),
        (&"old".into(), &"app".into(), &3.into())
    );
    assert!(parked["reason"].as_str().unwrap().contains("422"), "{parked}");
    let id = parked["id"].to_string();
    let exported = ferry.run(&["export", &id]).await.expect_code(0);
    assert_eq!(exported.stdout.as_bytes(), message(2));
    // No other secret is asked for.
    let asked = ferry.folder().join("asked");
    let asks = format!("password = {{ command = [\"touch\", \"{}\"] }}", asked.display());
    let other = account("other", &server, "other", "deliver = [{ to = \"app\" }]");
    ferry.configure(&(config.clone() + &other.replace("password = \"secret\"", &asks)));
    let exported = ferry.run(&["export", &id]).await.expect_code(0);
    assert_eq!((exported.stdout.as_bytes(), asked.exists()), (&message(2)[..], false));
    ferry.configure(&config);
    let file = ferry.folder().join("x.eml");
    fs::write(&file, "mine").unwrap();
    let ran = ferry.run(&["export", &id, "-o", "x.eml"]).await.expect_code(64);
    assert_one_sentence(&ran, &["x.eml exists already; name another file"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    ferry.run(&["export", &id, "-o", "no/such/x.eml"]).await.expect_code(64);
    let ran = ferry.run(&["retry"]).await.expect_code(0);
    assert_eq!(ran.stdout, "1 delivery is due now\n");
    assert_eq!(ferry.json(&["parked", "--json"]).await["parked"], serde_json::json!([]));
    for _ in 0..3 {
        ferry.run(&["fetch"]).await;
    }
    let ran = ferry.run(&["give-up", "99999", &id]).await.expect_code(64);
    assert_one_sentence(&ran, &["1 delivery given up", "nothing to give up under 99999"]);
    ferry.run(&["give-up", &id]).await.expect_code(64);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("old", "INBOX"), 1, "given up at its only destination, it is never deleted");
}

#[tokio::test]
async fn one_fetch_tries_a_message_once_however_many_sessions_it_takes() {
    let server = Dovecot::start();
    let messages: Vec<_> = (1..=1600).map(message).collect();
    server.put("old", &messages);
    let receiver = Receiver::answering(|arrival, _| {
        let is_bad = arrival.body.windows(9).any(|part| part.starts_with(b"Number 2."));
        status(if is_bad { 503 } else { 200 })
    });
    let receiver = receiver.await;
    let config = webhook_destination("app", &receiver.url, "raw")
        + &account("old", &server, "old", "leave_copy = false\ndeliver = [{ to = \"app\" }]");
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch"]).await.expect_code(75);
    assert_eq!(receiver.arrivals().len(), 1600, "one for each message");
    assert_eq!(server.count("old", "INBOX"), 1);
}

/// An account at a scripted peer, without the server's other ways.
fn scripted(peer: &Peer, rest: &str) -> String {
    format!(
        "[account.old]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = \"old\"\npassword = \"secret\"\n\
         {rest}\ndeliver = [{{ to = \"app\" }}]\n",
        peer.port
    )
}

const LOGIN: &str = "
    S: +OK hello
    C: CAPA
    S: +OK
    S: UIDL
    S: USER
    S: EXPIRE 0
    S: .
    C: USER old
    S: +OK
    C: PASS secret
    S: +OK
    C: STAT";

#[tokio::test]
async fn a_parked_message_is_kept_at_a_server_that_drops_what_was_retrieved() {
    let receiver = Receiver::answering(|_, _| status(200)).await;
    let dialog = format!(
        "{LOGIN}
        S: +OK 1 5
        C: UIDL
        S: +OK
        S: 1 one
        S: .
        C: LIST
        S: +OK
        S: 1 5
        S: .
        C: RETR 1
        S: +OK
        S: Subject: more than max_bytes allows
        S:
        S: {}
        S: .
        # No QUIT: the message would be gone, and nobody has it.",
        "x".repeat(2000)
    );
    let peer = Peer::play(&dialog).await;
    let app = webhook_destination("app", &receiver.url, "raw")
        .replace("secret =", "max_bytes = \"1 KiB\"\nsecret =");
    let ferry = Ferry::new(&(app + &scripted(&peer, "")));
    let ran = ferry.run(&["fetch"]).await;
    assert!(ran.stdout.contains("1 parked"), "{ran:?}");
    peer.finish().await;
}

/// The answers to STAT and UIDL for two messages.
const TWO_LISTED: &str = "
        S: +OK 2 40
        C: UIDL
        S: +OK
        S: 1 one
        S: 2 two
        S: .";

#[tokio::test]
async fn a_message_that_is_too_large_costs_the_others_no_poll() {
    let receiver = Receiver::answering(|_, _| status(200)).await;
    let large = "x".repeat(100_000);
    let dialog = format!(
        "{LOGIN}{TWO_LISTED}
        C: LIST
        S: +OK
        S: 1 20
        S: 2 16
        S: .
        C: RETR 1
        S: +OK
        S: {large}
        S: .
        next
        {LOGIN}{TWO_LISTED}
        C: RETR 2
        S: +OK
        S: Subject: two
        S:
        S: .
        C: QUIT
        S: +OK"
    );
    let peer = Peer::play(&dialog).await;
    let app = webhook_destination("app", &receiver.url, "raw");
    let ferry = Ferry::new(&(app + &scripted(&peer, "max_size = \"64 KiB\"")));
    ferry.run(&["fetch"]).await.expect_code(0);
    peer.finish().await;
    assert_eq!(receiver.arrivals().len(), 1);
}

#[tokio::test]
async fn twenty_new_messages_at_once_are_not_taken_for_old_ones() {
    let receiver = Receiver::answering(|_, _| status(200)).await;
    let rows = |what: &str| (1..=20).map(|n| format!("S: {n} {what}{n}\n")).collect::<String>();
    let dialog = format!(
        "{LOGIN}\nS: +OK 0 0\nC: UIDL\nS: +OK\nS: .\nC: LIST\nS: +OK\nS: .\nC: QUIT\nS: +OK\nnext\n\
         {LOGIN}\nS: +OK 20 200\nC: UIDL\nS: +OK\n{}S: .\nC: LIST\nS: +OK\n{}S: .\nC: RETR 1\nclose",
        rows("u"),
        rows("1")
    );
    let peer = Peer::play(&dialog).await;
    let config = webhook_destination("app", &receiver.url, "raw") + &scripted(&peer, "import = \"new\"");
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch"]).await.expect_code(0);
    ferry.run(&["fetch"]).await.expect_code(75);
    peer.finish().await;
}

/// What is too large to be carried can still be looked at: a person asked for it.
#[tokio::test]
async fn what_is_larger_than_max_size_can_be_exported() {
    let server = Dovecot::start();
    let large = [message(1), b"A line of many.\r\n".repeat(200_000)].concat();
    server.put("old", &[message(0), large.clone()]);
    let keys = "max_size = \"1 KiB\"\ndeliver = [{ to = \"home\" }]";
    let ferry =
        Ferry::new(&(imap_destination("home", &server, "me") + &account("old", &server, "old", keys)));
    ferry.run(&["fetch"]).await.expect_code(0);
    let parked = ferry.json(&["parked", "--json"]).await;
    assert!(parked["parked"][0]["reason"].as_str().unwrap().contains("larger than max_size"), "{parked}");
    let id = parked["parked"][0]["id"].to_string();
    ferry.run(&["export", &id, "-o", "large.eml"]).await.expect_code(0);
    let exported = fs::read(ferry.folder().join("large.eml")).unwrap();
    assert!(exported == large, "{} octets of {}", exported.len(), large.len());
}

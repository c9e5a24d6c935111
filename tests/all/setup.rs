//! Accounts as people add, change and delete them: the commands, and the files they write.

mod destinations;
mod editing;
mod files;
mod looking_up;
mod trusted;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mailferry::net;
use mailferry::setup::log_in_account;
use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, PATIENCE, account, imap_destination, message};
use crate::peer::Peer;
use crate::pop3::logged_in;
use crate::terminal::{DOWN, Terminal};

/// A folder with a config that has a destination and no account.
fn house(server: &Dovecot) -> Ferry {
    let ferry = Ferry::new(&format!(
        "# Mine.\n[web]\nlisten = \"127.0.0.1:0\" # any\n\n{}",
        imap_destination("home", server, "me")
    ));
    fs::write(ferry.folder().join("password"), format!("{PASSWORD}\n")).unwrap();
    ferry
}

/// The options that say how the server of the test is reached.
fn options(server: &Dovecot) -> Vec<String> {
    let port = server.pop3.to_string();
    let options = ["--host", "127.0.0.1", "--port", &port, "--tls", "none", "--yes"];
    options.map(str::to_owned).into()
}

async fn add(ferry: &Ferry, server: &Dovecot, address: &str, more: &[&str]) -> crate::ferry::Ran {
    let options = options(server);
    let words = ["add", address].into_iter().chain(options.iter().map(String::as_str));
    let mut words: Vec<&str> = words.chain(more.iter().copied()).collect();
    if !more.contains(&"--password-file") {
        words.extend(["--password-file", "password"]);
    }
    ferry.run(&words).await
}

fn mode(ferry: &Ferry, file: &str) -> u32 {
    fs::metadata(ferry.folder().join(file)).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_account_is_added_polled_changed_and_deleted() {
    let server = Dovecot::start();
    server.put("you@example.com", &[message(1), message(2)]);
    let ferry = house(&server);
    let ran = add(&ferry, &server, "you@example.com", &["--folder", "Work", "--leave-copy", "14d"]).await;
    let ran = ran.expect_code(0);
    assert!(ran.stdout.contains("Logged in: 2 messages, "), "{ran:?}");

    let main = fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap();
    assert!(main.contains("accounts_dir = \"accounts.d\""), "{main}");
    assert!(main.contains("# Mine.\n") && main.contains("# any"), "comments stay: {main}");
    let file = "accounts.d/you@example.com.toml";
    let text = fs::read_to_string(ferry.folder().join(file)).unwrap();
    assert!(text.contains("leave_copy = \"14d\"\n"), "{text}");
    assert!(text.contains("deliver = [{ to = \"home\", folder = \"Work\" }]\n"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    let password = "accounts.d/you@example.com.password";
    assert_eq!(fs::read_to_string(ferry.folder().join(password)).unwrap(), format!("{PASSWORD}\n"));
    for (path, expected) in
        [(file, 0o600), (password, 0o600), ("accounts.d", 0o700), ("mailferry.toml", 0o600)]
    {
        assert_eq!(mode(&ferry, path), expected, "{path}");
    }
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "Work"), 2);

    // The name is taken: a second mailbox of that address gets another one, unless it is named.
    add(&ferry, &server, "you@example.com", &["--user", "second"]).await.expect_code(0);
    assert!(ferry.folder().join("accounts.d/you@example.com-2.toml").exists());
    let ran = add(&ferry, &server, "you@example.com", &["--name", "you@example.com"]).await.expect_code(64);
    assert!(ran.stderr.contains("there is an account you@example.com already"), "{ran:?}");
    let ran = add(&ferry, &server, "you@example.com", &[]).await.expect_code(64);
    assert!(ran.stderr.contains("the account you@example.com polls this mailbox already"), "{ran:?}");

    fs::write(ferry.folder().join(file), text.replace("user =", "# Who.\nuser =")).unwrap();
    ferry.run(&["edit", "you@example.com", "--leave-copy", "no"]).await.expect_code(0);
    let text = fs::read_to_string(ferry.folder().join(file)).unwrap();
    assert!(text.contains("leave_copy = false\n") && text.contains("# Who.\n"), "{text}");
    ferry.run(&["pause", "you@example.com"]).await.expect_code(0);
    let status = ferry.run(&["status"]).await.expect_code(0);
    assert!(status.stdout.contains("paused"), "{status:?}");
    ferry.run(&["resume", "you@example.com"]).await.expect_code(0);
    server.put("you@example.com", &[message(3)]);
    ferry.run(&["fetch", "you@example.com"]).await.expect_code(0);
    assert_eq!(server.count("me", "Work"), 3);
    assert_eq!(server.count("you@example.com", "INBOX"), 2, "what was delivered on other terms stays");

    ferry.run(&["delete", "you@example.com", "--yes"]).await.expect_code(0);
    assert!(!ferry.folder().join(file).exists() && !ferry.folder().join(password).exists());
    // The ledger remembers: what is added again comes once.
    server.put("you@example.com", &[message(4)]);
    add(&ferry, &server, "you@example.com", &["--folder", "Work"]).await.expect_code(0);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "Work"), 4);
}

#[tokio::test]
async fn a_running_daemon_takes_changes_up_at_once() {
    let server = Dovecot::start();
    server.put("you@example.com", &[message(1)]);
    let ferry = house(&server);
    let mut daemon = ferry.start(&["run"]);
    daemon.wait_for("started").await;
    let ran = add(&ferry, &server, "you@example.com", &[]).await.expect_code(0);
    assert!(ran.stdout.contains("The mailferry that is running has taken it up."), "{ran:?}");
    daemon.wait_for("delivered=1").await;
    let ran = ferry.run(&["delete", "you@example.com", "--yes", "--forget"]).await.expect_code(0);
    assert!(ran.stdout.contains("has forgotten you@example.com and its 1 message"), "{ran:?}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_saved() {
    let server = Dovecot::start();
    let ferry = house(&server);
    let by_hand = imap_destination("home", &server, "me")
        + &account("old", &server, "old", "deliver = [{ to = \"home\" }]");
    fs::write(ferry.folder().join("wrong"), "wrong\n").unwrap();
    fs::write(ferry.folder().join("tab"), "a\tb\n").unwrap();
    let closed = imap_destination("closed", &server, "me").replace(PASSWORD, "wrong");
    let main = fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap() + &closed;
    ferry.configure(&main);
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--password-file", "wrong"], 75, "the login was refused"),
        (&["--password-file", "missing"], 64, "the password cannot be read from missing"),
        (&["--password-file", "tab"], 64, "holds a control character"),
        (&["--to", "nowhere"], 64, "there is no destination nowhere; the config has: closed, home"),
        (&["--to", "closed"], 75, "closed: "),
        (&["--folder", "a//b"], 64, "has an empty level"),
        (&["--leave-copy", "99999999d"], 64, "answer yes, no, or for how long"),
        (&["--user", "a\nb"], 75, "line break"),
    ];
    for (more, code, said) in cases {
        let ran = add(&ferry, &server, "you@example.com", more).await.expect_code(code);
        assert!(ran.stderr.contains(said), "{more:?}: {ran:?}");
        assert_eq!(fs::read_to_string(ferry.folder().join("mailferry.toml")).unwrap(), main, "{more:?}");
        for file in ["accounts.d", "secrets"] {
            assert!(!ferry.folder().join(file).exists(), "{more:?}");
        }
    }
    let words = ["add", "you@example.com", "--host", "127.0.0.1", "--yes"];
    let ran = ferry.run(&words).await.expect_code(64);
    assert!(ran.stderr.contains("answer with --password-file"), "{ran:?}");
    ferry.configure(&by_hand);
    let ran = ferry.run(&["pause", "old"]).await.expect_code(64);
    assert!(ran.stderr.contains("was written by hand in"), "{ran:?}");
    let ran = ferry.run(&["edit", "nobody"]).await.expect_code(64);
    assert!(ran.stderr.contains("there is no account nobody; the config has: old"), "{ran:?}");
}

#[tokio::test]
async fn no_first_config_is_written_before_all_is_answered() {
    let server = Dovecot::start();
    let ferry = house(&server);
    fs::remove_file(ferry.folder().join("mailferry.toml")).unwrap();
    let known = [options(&server), vec!["--password-file".into(), "password".into()]].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let with_address = [&["you@example.com"], known.as_slice()].concat();
    let words: [&[&str]; 3] = [&[], &["you@example.com", "--host", "127.0.0.1"], &with_address];
    for (words, said) in words.into_iter().zip(["Mail address: ", "Password: ", "Deliver to: "]) {
        let words = [&["-c", "new/mailferry.toml", "add"], words].concat();
        let ran = ferry.run(&words).await.expect_code(64);
        assert!(ran.stderr.contains(said), "{ran:?}");
        assert!(!ferry.folder().join("new").exists(), "{words:?}");
    }
}

#[tokio::test]
async fn nothing_is_deleted_without_a_word() {
    let server = Dovecot::start();
    let ferry = house(&server);
    add(&ferry, &server, "you", &[]).await.expect_code(0);
    let ran = ferry.run(&["delete", "you"]).await.expect_code(64);
    assert!(ran.stderr.contains("with --yes you is deleted without a question"), "{ran:?}");
    assert!(ferry.folder().join("accounts.d/you.toml").exists());
}

/// How many requests were left in the ledger and have no answer.
async fn open_requests(ferry: &Ferry) -> i64 {
    let options = SqliteConnectOptions::new().filename(ferry.ledger()).read_only(true);
    let mut ledger = SqliteConnection::connect_with(&options).await.unwrap();
    let sql = "SELECT count(*) FROM requests WHERE answer IS NULL";
    let count = sqlx::query_scalar(sql).fetch_one(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    count
}

#[tokio::test]
async fn a_holder_that_answers_nothing_is_no_reason_to_add_an_account_again() {
    let server = Dovecot::start();
    server.put("you", &[message(1)]);
    let ferry = house(&server);
    add(&ferry, &server, "first", &[]).await.expect_code(0);
    ferry.run(&["fetch"]).await.expect_code(0);
    let words = options(&server);
    let words =
        ["add", "you", "--password-file", "password"].into_iter().chain(words.iter().map(String::as_str));
    for words in [words.collect::<Vec<_>>(), vec!["delete", "first", "--yes", "--forget"]] {
        // As a `fetch` does for as long as it takes.
        let lock = File::options().write(true).open(ferry.folder().join("mailferry.db.lock")).unwrap();
        lock.lock().unwrap();
        let running = tokio::spawn(crate::ferry::Ran::by(ferry.command(&words)));
        let asked = async {
            while open_requests(&ferry).await == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("it asks");
        drop(lock);
        let ran = running.await.unwrap().expect_code(0);
        assert!(ran.stdout.contains("What was running has ended; the next start takes it up."), "{ran:?}");
        assert_eq!(
            words[0] == "delete",
            ran.stdout.contains("has forgotten first and its 0 messages"),
            "{ran:?}"
        );
    }
    ferry.run(&["fetch", "you"]).await.expect_code(0);
    assert_eq!(server.count("me", "INBOX"), 1);
}

#[tokio::test]
async fn a_server_that_hangs_up_at_quit_can_be_added() {
    let peer = Peer::play(&logged_in("UIDL", "C: STAT\nS: +OK 2 30\nC: QUIT\nreset\n")).await;
    let settings = net::Settings {
        host: "127.0.0.1".into(),
        port: peer.port,
        tls: net::Tls::None,
        ca_file: None,
        server_name: None,
        pin: None,
        allow_plaintext: false,
    };
    let mailbox = log_in_account(settings, "ann", "secret".into()).await.unwrap();
    assert_eq!(mailbox.messages, 2);
    peer.finish().await;
}

#[tokio::test]
async fn a_newcomer_is_led_through_at_a_terminal() {
    let server = Dovecot::start();
    server.put("you", &[message(1), message(2)]);
    let ferry = Ferry::new("");
    fs::remove_file(ferry.folder().join("mailferry.toml")).unwrap();
    let command = ferry.command(&["-c", "new/mailferry.toml", "add"]);
    let mut terminal = Terminal::start(&command);
    terminal.at("Mail address", "you@example.com").await;
    // A mistake is told, and the same is asked again.
    for password in ["wrong", PASSWORD] {
        terminal.at("User name", "you").await;
        terminal.unseen_at("Password", password).await;
        if password == "wrong" {
            terminal.at("POP3 server", "127.0.0.1").await;
            terminal.at("Encryption", &format!("{DOWN}{DOWN}")).await;
            terminal.at("Port", &format!("{}{}", "\x7f".repeat(5), server.pop3)).await;
            terminal.wait_for("the login was refused").await;
        } else {
            terminal.at("POP3 server", "").await;
            terminal.at("Encryption", "").await;
            terminal.at("Port", "").await;
        }
    }
    terminal.wait_for("Logged in: 2 messages").await;
    terminal.at("Leave a copy", &format!("{DOWN}{DOWN}")).await;
    terminal.at("For how many days", "").await;
    terminal.at("Import", "").await;
    terminal.at("Deliver to", "").await;
    terminal.at("A name for it", "").await;
    terminal.at("User name there", "me").await;
    terminal.unseen_at("Password there", PASSWORD).await;
    terminal.at("IMAP server", "127.0.0.1").await;
    terminal.at("Encryption", &format!("{DOWN}{DOWN}")).await;
    terminal.at("Port", &format!("{}{}", "\x7f".repeat(5), server.imap)).await;
    terminal.wait_for("Logged in: ").await;
    terminal.at("Folder", "").await;
    terminal.wait_for("Skip the Inbox").await;
    terminal.press("n").await;
    terminal.wait_for("Mark as read?").await;
    terminal.press("n").await;
    terminal.wait_for("into the junk folder?").await;
    terminal.press("n").await;
    terminal.at("Save the account", "y").await;
    terminal.wait_for("Saved as ").await;
    let (code, shown) = terminal.end().await;
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");

    ferry.run(&["-c", "new/mailferry.toml", "check"]).await.expect_code(0);
    ferry.run(&["-c", "new/mailferry.toml", "fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "INBOX"), 2);
}

#[tokio::test]
async fn what_is_known_of_a_provider_is_offered() {
    let ferry = Ferry::new("");
    let mut terminal = Terminal::start(&ferry.command(&["add", "you@web.de"]));
    terminal.wait_for("These are the settings as mailferry knows WEB.DE (checked 2026-03).").await;
    terminal.wait_for("https://").await;
    terminal.wait_for("(you)").await;
    terminal.answer("").await;
    terminal.unseen_at("Password", PASSWORD).await;
    // Nobody out there is asked by a test.
    terminal.at("(pop3.web.de)", "127.0.0.1").await;
    terminal.wait_for("Encryption").await;
    drop(terminal);

    // Where no password is of any use, that is said at once.
    for (address, said) in [("you@hotmail.com", "OAuth"), ("you@icloud.com", "POP3")] {
        let ran = ferry.run(&["add", address, "--yes"]).await.expect_code(64);
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
}

//! Accounts as people add, change and delete them: the commands, and the files they write.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, account, imap_destination, message};
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
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--password-file", "wrong"], 75, "the login was refused"),
        (&["--password-file", "missing"], 64, "the password cannot be read from missing"),
        (&["--to", "nowhere"], 64, "there is no destination nowhere; the config has: home"),
        (&["--folder", "a//b"], 78, "has an empty level"),
        (&["--user", "a\nb"], 75, "line break"),
    ];
    for (more, code, said) in cases {
        let ran = add(&ferry, &server, "you@example.com", more).await.expect_code(code);
        assert!(ran.stderr.contains(said), "{more:?}: {ran:?}");
        assert!(!ferry.folder().join("accounts.d/you@example.com.toml").exists(), "{more:?}");
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
        terminal.at("Password", password).await;
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
    terminal.at("Password there", PASSWORD).await;
    terminal.at("IMAP server", "127.0.0.1").await;
    terminal.at("Encryption", &format!("{DOWN}{DOWN}")).await;
    terminal.at("Port", &format!("{}{}", "\x7f".repeat(5), server.imap)).await;
    terminal.wait_for("Logged in: ").await;
    terminal.at("Folder", "").await;
    terminal.at("Save the account", "y").await;
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
    terminal.wait_for("These are the settings as mailferry knows WEB.DE.").await;
    terminal.wait_for("https://").await;
    terminal.wait_for("(you)").await;
    terminal.answer("").await;
    terminal.at("Password", PASSWORD).await;
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

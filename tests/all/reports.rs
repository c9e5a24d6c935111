//! What the commands say of a ledger, from outside.

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, message};
use crate::terminal::Terminal;

const TO_HOME: &str = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";

#[tokio::test]
async fn a_destination_that_was_never_used_is_ok() {
    let server = Dovecot::start();
    let ferry =
        Ferry::new(&(imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME)));
    let status = ferry.json(&["status", "--json"]).await;
    assert_eq!(status["destinations"][0]["state"], "ok", "{status}");
}

#[tokio::test]
async fn a_paused_account_keeps_its_numbers() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch"]).await.expect_code(0);
    ferry.configure(&config.replace("every =", "paused = true\nevery ="));
    ferry.run(&["fetch"]).await.expect_code(0);
    let status = ferry.json(&["status", "--json"]).await;
    let old = &status["accounts"][0];
    assert_eq!((&old["delivered"], &old["next_check"]), (&1.into(), &serde_json::Value::Null), "{status}");
    assert!(old["last_checked"].is_string() && old["error"].is_null(), "{status}");
    let ran = ferry.run(&["status"]).await.expect_code(0);
    assert!(ran.stdout.contains("paused\n    paused in the config\n"), "{ran:?}");
    assert!(ran.stdout.lines().all(|line| line.len() <= 80), "{ran:?}");
}

#[tokio::test]
async fn a_configured_account_has_a_history_before_its_first_poll() {
    let server = Dovecot::start();
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let ferry = Ferry::new(&config);
    let new = account("new", &server, "new", TO_HOME);
    for _ in 0..2 {
        ferry.configure(&(config.clone() + &new));
        let history = ferry.json(&["history", "new", "--json"]).await;
        assert_eq!(history["polls"], serde_json::json!([]), "{history}");
        ferry.run(&["history", "nobody"]).await.expect_code(64);
        ferry.configure(&config);
        ferry.run(&["fetch"]).await.expect_code(0);
    }
    let ran = ferry.run(&["history", "nobody"]).await.expect_code(64);
    assert!(ran.stderr.contains("no account `nobody`; it has: old\n"), "{ran:?}");
}

#[tokio::test]
async fn a_terminal_shows_what_fails_in_colour_and_shows_it_again() {
    let server = Dovecot::start();
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let ferry = Ferry::new(&config.replacen(
        "user = \"old\"\npassword = \"secret\"",
        "user = \"old\"\npassword = \"no\"",
        1,
    ));
    ferry.run(&["fetch"]).await.expect_code(75);
    let red = |word: &str| format!("\x1b[31m{word}\x1b[0m");

    let mut command = ferry.command(&["status"]);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let (code, shown) = Terminal::start(&command).end().await;
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains(&red("failing")), "{shown:?}");
    command.env("NO_COLOR", "1");
    let (_, plain) = Terminal::start(&command).end().await;
    assert!(plain.contains("failing") && !plain.contains('\x1b'), "{plain:?}");
    assert_eq!(shown.replace(&red("failing"), "failing").len(), plain.len(), "columns stay where they are");
    let mut history = ferry.command(&["history"]);
    history.env("TERM", "xterm").env_remove("NO_COLOR");
    let (_, shown) = Terminal::start(&history).end().await;
    assert!(shown.contains("\x1b[31m127.0.0.1:"), "{shown:?}");
    let ran = ferry.run(&["status"]).await.expect_code(0);
    assert!(!ran.stdout.contains('\x1b'), "a script gets none: {ran:?}");

    let mut command = ferry.command(&["status", "--watch"]);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let mut terminal = Terminal::start(&command);
    terminal.wait_for(&red("failing")).await;
    ferry.configure(&config);
    ferry.run(&["fetch"]).await.expect_code(0);
    terminal.wait_for("  ok\x1b[K").await;
    let ran = ferry.run(&["status", "--watch"]).await.expect_code(64);
    assert!(ran.stderr.contains("--watch is for a terminal"), "{ran:?}");
    ferry.run(&["status", "--watch", "--json"]).await.expect_code(64);
}

#[tokio::test]
async fn a_terminal_shows_a_failure_once_and_a_log_that_is_kept_has_it_too() {
    let server = Dovecot::start();
    let config = imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME);
    let wrong =
        config.replacen("user = \"old\"\npassword = \"secret\"", "user = \"old\"\npassword = \"no\"", 1);
    let ferry = Ferry::new(&wrong);
    let (code, shown) = Terminal::start(&ferry.command(&["fetch"])).end().await;
    assert_eq!((code, shown.matches("the login was refused").count()), (75, 1), "{shown}");
    assert!(!shown.contains("WARN"), "{shown}");

    let ferry = Ferry::new(&wrong);
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stderr.contains("WARN") && ran.stderr.contains("the login was refused"), "{ran:?}");
    assert!(ran.stdout.contains("the login was refused"), "{ran:?}");
    ferry.configure(&config);
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(!ran.stderr.contains("WARN"), "that it is well again is no warning: {ran:?}");
}

#[tokio::test]
async fn a_long_name_fits_into_a_terminal() {
    let server = Dovecot::start();
    let name = "accounts.payable.and.receivable@subsidiary.example.com";
    let home = imap_destination("home", &server, "me");
    let ferry = Ferry::new(&(home + &account(&format!("\"{name}\""), &server, "old", TO_HOME)));
    ferry.run(&["fetch"]).await.expect_code(0);
    for report in ["status", "history"] {
        let mut command = ferry.command(&[report]);
        command.env("NO_COLOR", "1");
        let (_, shown) = Terminal::start(&command).end().await;
        assert!(shown.contains("\u{2026}") && shown.contains("accounts."), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        let ran = ferry.run(&[report]).await.expect_code(0);
        assert!(ran.stdout.contains(name), "a script gets whole names: {ran:?}");
        let json = ferry.run(&[report, "--json"]).await.expect_code(0);
        assert!(json.stdout.contains(name), "{json:?}");
    }
}

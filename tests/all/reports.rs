//! What the commands say of a ledger, from outside.

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, message};

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

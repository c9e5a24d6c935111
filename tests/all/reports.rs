//! What the commands say of a ledger, from outside.

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination};

const TO_HOME: &str = "every = \"1h\"\ndeliver = [{ to = \"home\" }]";

#[tokio::test]
async fn a_destination_that_was_never_used_is_ok() {
    let server = Dovecot::start();
    let ferry =
        Ferry::new(&(imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME)));
    let status = ferry.json(&["status", "--json"]).await;
    assert_eq!(status["destinations"][0]["state"], "ok", "{status}");
}

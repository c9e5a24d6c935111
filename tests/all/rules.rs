//! The ledger's rules, seen from outside: through the real binary, between real servers.

use std::fs;

use chrono::TimeDelta;

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, message, received, webhook_destination};
use crate::receiver::{Receiver, status};

const TO_HOME: &str = "deliver = [{ to = \"home\" }]";

#[tokio::test]
async fn a_lost_ledger_doubles_nothing_in_a_folder_and_repeats_the_ids_of_a_webhook() {
    let server = Dovecot::start();
    let messages: Vec<Vec<u8>> = (0..200).map(message).collect();
    server.put("old", &messages);
    let receiver = Receiver::start().await;
    let config = imap_destination("home", &server, "me")
        + &webhook_destination("app", &receiver.url, "raw")
        + &account(
            "old",
            &server,
            "old",
            "deliver = [{ to = \"home\", folder = \"Old\" }, { to = \"app\" }]",
        );
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch"]).await.expect_code(0);
    for file in ["mailferry.db", "mailferry.db-wal", "mailferry.db-shm"] {
        let _ = fs::remove_file(ferry.folder().join(file));
    }
    let more: Vec<Vec<u8>> = (200..210).map(message).collect();
    server.put("old", &more);
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("210 new"), "the ledger knows nothing: {ran:?}");
    assert_eq!(server.count("me", "Old"), 210);
    let ids: Vec<String> =
        receiver.arrivals().iter().map(|arrival| arrival.header("webhook-id").to_owned()).collect();
    let distinct: std::collections::HashSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (410, 210), "a receiver can tell what it has");
}

#[tokio::test]
async fn only_new_mail_is_imported_where_that_is_asked_for_even_after_a_first_poll_that_failed() {
    let server = Dovecot::start();
    let old: Vec<Vec<u8>> = (0..60).map(|n| received(n, TimeDelta::days(30))).collect();
    server.put("old", &old);
    let import_new = "import = \"new\"\nleave_copy = false\ndeliver = [{ to = \"home\" }]";
    let good = imap_destination("home", &server, "me") + &account("old", &server, "old", import_new);
    let wrong =
        good.replacen("user = \"old\"\npassword = \"secret\"", "user = \"old\"\npassword = \"wrong\"", 1);
    let ferry = Ferry::new(&wrong);
    ferry.run(&["fetch"]).await.expect_code(75);
    // It arrives between the first poll, which cannot log in, and the first that can.
    server.put("old", &[received(60, TimeDelta::seconds(-2))]);
    ferry.configure(&good);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "INBOX"), 1, "the mail of that day, and no old mail");
    assert_eq!(server.count("old", "INBOX"), 60, "what was not delivered is not deleted");
    server.put("old", &[received(61, TimeDelta::days(30))]);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "INBOX"), 2, "what comes later is new, whatever its date says");
}

#[tokio::test]
async fn a_provider_that_moves_and_gives_all_mail_new_ids_brings_nothing_twice() {
    // Q04
    let (before, home) = (Dovecot::start(), Dovecot::start());
    let messages: Vec<Vec<u8>> = (0..500).map(message).collect();
    before.put("old", &messages);
    let config =
        |server: &Dovecot| imap_destination("home", &home, "me") + &account("old", server, "old", TO_HOME);
    let ferry = Ferry::new(&config(&before));
    ferry.run(&["fetch"]).await.expect_code(0);
    drop(before);
    let after = Dovecot::start_with("pop3_uidl_format = %f\n");
    after.put("old", &messages);
    after.put("old", &[message(500)]);
    ferry.configure(&config(&after));
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("1 new, 1 delivered"), "all but one are known by their content: {ran:?}");
    assert_eq!(home.count("me", "INBOX"), 501);
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("0 new, 0 delivered"), "and now by their new ids: {ran:?}");
}

#[tokio::test]
async fn a_renamed_account_keeps_its_past() {
    let server = Dovecot::start();
    server.put("old", &[message(1), message(2)]);
    let config =
        |name: &str| imap_destination("home", &server, "me") + &account(name, &server, "old", TO_HOME);
    let ferry = Ferry::new(&config("work"));
    ferry.run(&["fetch"]).await.expect_code(0);
    ferry.run(&["rename", "work", "office"]).await.expect_code(0);
    ferry.configure(&config("office"));
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("office: 0 new, 0 delivered"), "{ran:?}");
    assert_eq!(server.count("me", "INBOX"), 2);
    ferry.run(&["forget", "office"]).await.expect_code(0);
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("office: 2 new"), "{ran:?}");
    assert_eq!(server.count("me", "INBOX"), 2, "what is there already is not put there again");
}

#[tokio::test]
async fn a_webhook_that_may_have_a_message_gets_it_as_before_when_the_account_was_renamed() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let receiver = Receiver::answering(|_, before| status(if before == 0 { 500 } else { 200 })).await;
    let config = |name: &str| {
        webhook_destination("app", &receiver.url, "json")
            + &account(name, &server, "old", "deliver = [{ to = \"app\" }]")
    };
    let ferry = Ferry::new(&config("work"));
    ferry.run(&["fetch"]).await.expect_code(75);
    ferry.run(&["rename", "work", "office"]).await.expect_code(0);
    ferry.configure(&config("office"));
    server.put("old", &[message(2)]);
    ferry.run(&["fetch"]).await.expect_code(0);
    let arrivals = receiver.arrivals();
    let number = |n: usize| arrivals.iter().filter(move |it| it.text("subject") == format!("message {n}"));
    let [failed, taken] = number(1).collect::<Vec<_>>()[..] else { panic!("{arrivals:?}") };
    assert_eq!(failed.header("webhook-id"), taken.header("webhook-id"));
    assert_eq!(failed.body, taken.body, "the same bytes again");
    let [new] = number(2).collect::<Vec<_>>()[..] else { panic!("{arrivals:?}") };
    assert_eq!((taken.text("account"), new.text("account")), ("work".into(), "office".into()));
}

#[tokio::test]
async fn an_added_destination_takes_only_what_comes_afterwards() {
    let server = Dovecot::start();
    server.put("old", &[message(1), message(2)]);
    let receiver = Receiver::start().await;
    let both = imap_destination("home", &server, "me") + &webhook_destination("app", &receiver.url, "json");
    let ferry = Ferry::new(&(both.clone() + &account("old", &server, "old", TO_HOME)));
    ferry.run(&["fetch"]).await.expect_code(0);
    let to_both = "deliver = [{ to = \"home\" }, { to = \"app\" }]";
    ferry.configure(&(both + &account("old", &server, "old", to_both)));
    server.put("old", &[message(3)]);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((server.count("me", "INBOX"), receiver.arrivals().len()), (3, 1));
}

#[tokio::test]
async fn a_message_larger_than_memory_goes_through_a_file_that_leaves_nothing_behind() {
    let server = Dovecot::start();
    let mut large = message(1);
    while large.len() < 20 << 20 {
        large.extend_from_slice(
            b"A line of a large attachment, of which there are many, to fill twenty megabytes.\r\n",
        );
    }
    server.put("old", &[message(0), large.clone(), message(2)]);
    let receiver = Receiver::start().await;
    let config = imap_destination("home", &server, "me")
        + &webhook_destination("app", &receiver.url, "raw")
        + &account(
            "old",
            &server,
            "old",
            "leave_copy = false\ndeliver = [{ to = \"home\" }, { to = \"app\" }]",
        );
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert!(server.list("me", "INBOX").contains(&large), "it arrives to the byte");
    assert!(receiver.arrivals().iter().any(|arrival| arrival.body == large), "and at the webhook");
    assert_eq!(server.count("old", "INBOX"), 0);
    let left: Vec<String> = fs::read_dir(ferry.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.iter().all(|name| name.starts_with("mailferry.")), "{left:?}");
}

//! The main job on real mail: the whole corpus, through the real binary, between real servers.

use std::collections::BTreeMap;

use rustix::process::Signal;

use crate::corpus::{CORPUS_SIZE, corpus};
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, webhook_destination};
use crate::receiver::Receiver;

/// As POP3 hands it out: line ends are CRLF, and there is one at the end.
fn on_the_wire(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 512);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        bytes.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// How often each message occurs: some of the corpus are twins, and must stay so.
fn counted(messages: impl IntoIterator<Item = Vec<u8>>) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        *counts.entry(message).or_default() += 1;
    }
    counts
}

#[track_caller]
fn assert_same(arrived: Vec<Vec<u8>>, sent: &[Vec<u8>]) {
    assert_eq!(arrived.len(), sent.len());
    let (arrived, sent) = (counted(arrived), counted(sent.iter().map(|message| on_the_wire(message))));
    for (message, count) in &sent {
        let start = String::from_utf8_lossy(&message[..message.len().min(300)]);
        assert_eq!(arrived.get(message), Some(count), "lost, doubled or changed: {start}");
    }
}

#[tokio::test]
async fn the_corpus_arrives_in_an_imap_folder_once_and_to_the_byte() {
    let (server, sent) = (Dovecot::start(), corpus());
    server.put("old", &sent);
    let to_home = account("old", &server, "old", "deliver = [{ to = \"home\", folder = \"Old\" }]");
    let ferry = Ferry::new(&(imap_destination("home", &server, "me") + &to_home));
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("6,046 delivered"), "{ran:?}");
    assert_same(server.list("me", "Old"), &sent);

    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("0 new, 0 delivered"), "{ran:?}");
    assert_eq!(server.count("me", "Old"), CORPUS_SIZE);
    assert_eq!(server.count("old", "INBOX"), CORPUS_SIZE, "a copy stays unless somebody says otherwise");
}

#[tokio::test]
async fn the_corpus_arrives_once_although_mailferry_is_killed_in_the_middle() {
    let (server, sent) = (Dovecot::start(), corpus());
    server.put("old", &sent);
    let to_home = account("old", &server, "old", "leave_copy = false\ndeliver = [{ to = \"home\" }]");
    let ferry = Ferry::new(&(imap_destination("home", &server, "me") + &to_home));
    for deliveries in [700, 1500] {
        let mut running = ferry.start(&["fetch", "-v"]);
        running.wait_for_nth("verdict=\"delivered\"", deliveries).await;
        running.signal(Signal::KILL);
        assert_eq!(running.end().await.code, -1);
    }
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_same(server.list("me", "INBOX"), &sent);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "INBOX"), CORPUS_SIZE);
    assert_eq!(server.count("old", "INBOX"), 0, "all is deleted behind it");
}

#[tokio::test]
async fn the_corpus_arrives_at_a_webhook_once_and_to_the_byte() {
    let (server, sent) = (Dovecot::start(), corpus());
    server.put("old", &sent);
    let receiver = Receiver::start().await;
    let to_app = account("old", &server, "old", "deliver = [{ to = \"app\" }]");
    let ferry = Ferry::new(&(webhook_destination("app", &receiver.url, "raw") + &to_app));
    ferry.run(&["fetch"]).await.expect_code(0);
    ferry.run(&["fetch"]).await.expect_code(0);
    let arrivals = receiver.arrivals();
    assert_same(arrivals.iter().map(|arrival| arrival.body.to_vec()).collect(), &sent);
    let ids: std::collections::HashSet<&str> =
        arrivals.iter().map(|arrival| arrival.header("webhook-id")).collect();
    assert_eq!(ids.len(), CORPUS_SIZE, "each message has an id of its own");
}

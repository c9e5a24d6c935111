//! The main job on real mail: the whole corpus, through the real binary, between real servers.

use rustix::process::Signal;

use crate::corpus::{CORPUS_SIZE, corpus, on_the_wire};
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, webhook_destination};
use crate::oracle::counted;
use crate::receiver::Receiver;

/// As an IMAP server keeps it. Dovecot's Maildir holds LF and adds a CR where there is none, so that of several CRs
/// at the end of a line (nine messages of spam have them) one is lost.
fn as_stored(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 512);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let end = text.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1);
        bytes.extend_from_slice(&text[..end]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[track_caller]
fn assert_same(arrived: &[Vec<u8>], sent: &[Vec<u8>], as_seen: fn(&[u8]) -> Vec<u8>) {
    assert_eq!(arrived.len(), sent.len());
    // Some of the corpus are twins, and must stay so.
    let counted =
        |messages: &[Vec<u8>]| counted(&messages.iter().map(|message| as_seen(message)).collect::<Vec<_>>());
    let (arrived, sent) = (counted(arrived), counted(sent));
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
    assert_same(&server.list("me", "Old"), &sent, as_stored);

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
    assert_same(&server.list("me", "INBOX"), &sent, as_stored);
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
    let bodies: Vec<Vec<u8>> = arrivals.iter().map(|arrival| arrival.body.to_vec()).collect();
    for body in &bodies {
        assert!(body.ends_with(b"\r\n") && !body.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r'));
    }
    assert_same(&bodies, &sent, on_the_wire);
    let ids: std::collections::HashSet<&str> =
        arrivals.iter().map(|arrival| arrival.header("webhook-id")).collect();
    assert_eq!(ids.len(), CORPUS_SIZE, "each message has an id of its own");
}

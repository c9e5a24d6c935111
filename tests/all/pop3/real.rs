//! The client against a real Dovecot.

use mailferry::message::Quirks;
use mailferry::net::Tls;
use mailferry::pop3::{Error, Retrieval, Settings};

use super::{open, open_with, settings};
use crate::dovecot::{Dovecot, PASSWORD};

fn mailbox(dovecot: &Dovecot, tls: Tls) -> Settings {
    let port = if tls == Tls::Implicit { dovecot.pop3s } else { dovecot.pop3 };
    let mut settings = settings(port, tls);
    settings.login = PASSWORD.into();
    settings.peer.ca_file = Some(dovecot.ca_file.clone());
    settings
}

/// Messages that servers and clients have stumbled over, as they are stored: with CRLF.
fn messages() -> Vec<Vec<u8>> {
    let long = format!("Subject: long\r\n\r\n{}\r\n", "x".repeat(1 << 20));
    let every_byte: Vec<u8> = (1..=255u8).filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mut messages = vec![
        b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.a\r\n".to_vec(),
        b"Subject: no body\r\n\r\n".to_vec(),
        b"no header at all\r\n".to_vec(),
        [b"Subject: every byte\r\n\r\n", &every_byte[..], b"\r\n"].concat(),
        long.into_bytes(),
    ];
    messages.extend((0..200).map(|n| format!("Subject: {n}\r\n\r\nbody of {n}\r\n").into_bytes()));
    messages
}

#[tokio::test]
async fn lists_retrieves_and_deletes_over_tls() {
    let dovecot = Dovecot::start();
    for (tls, no_pipelining) in
        [(Tls::Implicit, false), (Tls::Implicit, true), (Tls::StartTls, false), (Tls::None, false)]
    {
        let settings =
            Settings { user: format!("{tls:?}{no_pipelining}").to_lowercase(), ..mailbox(&dovecot, tls) };
        let expected = messages();
        dovecot.put(&settings.user, &expected);
        let quirks = Quirks { no_pipelining, ..Quirks::default() };
        let mut session = open_with(&settings, quirks).await.unwrap();
        assert_eq!(session.is_pipelining(), !no_pipelining, "{:?}", session.capabilities());
        assert_eq!(session.certificate().is_some(), tls != Tls::None);

        let mut listing = session.uidl().await.unwrap();
        session.list(&mut listing.rows).await.unwrap();
        assert_eq!(listing.rows.len(), expected.len());
        let sizes: Vec<u64> = listing.rows.iter().filter_map(|row| row.size).collect();
        assert_eq!(sizes, expected.iter().map(|message| message.len() as u64).collect::<Vec<_>>());

        let numbers: Vec<u32> = listing.rows.iter().map(|row| row.number).collect();
        let retrieved = session.retrieve(&numbers, &std::env::temp_dir()).await;
        assert!(retrieved.error.is_none(), "{:?}", retrieved.error);
        for ((number, retrieval), expected) in retrieved.messages.iter().zip(&expected) {
            let Retrieval::Message(message) = retrieval else { panic!("{number}: {retrieval:?}") };
            let (mut chunks, mut bytes) = (message.chunks(), Vec::new());
            while let Some(chunk) = chunks.next().await.unwrap() {
                bytes.extend_from_slice(&chunk);
            }
            assert!(bytes == *expected, "message {number} is not what was put there");
        }
        let headers = session.top(&[1], <[u8]>::to_vec).await.unwrap();
        assert_eq!(headers[0].as_deref().unwrap(), b"Subject: dots\r\n\r\n");

        let deleted = session.delete(&numbers[1..]).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok));
        session.quit().await.unwrap();
        assert_eq!(dovecot.list(&settings.user, "INBOX"), expected[..1], "{}", dovecot.log());
    }
}

#[tokio::test]
async fn a_dropped_session_deletes_nothing() {
    let dovecot = Dovecot::start();
    dovecot.put("ann", &messages()[..3]);
    let settings = mailbox(&dovecot, Tls::Implicit);
    let mut session = open(&settings).await.unwrap();
    // In a task of its own: a session must be able to move between threads.
    let deleting = tokio::spawn(async move {
        let listing = session.uidl().await.unwrap();
        assert_eq!(session.delete(&[1, 2, 3]).await.unwrap().len(), 3);
        assert!(session.retrieve(&[], &std::env::temp_dir()).await.error.is_none());
        listing
    });
    let before = deleting.await.unwrap();
    let mut session = open(&settings).await.unwrap();
    assert_eq!(session.uidl().await.unwrap(), before);
    assert_eq!(dovecot.count("ann", "INBOX"), 3);
}

#[tokio::test]
async fn a_message_that_vanishes_is_refused_alone() {
    let dovecot = Dovecot::start();
    dovecot.put("ann", &messages()[..3]);
    let settings = mailbox(&dovecot, Tls::None);
    let mut session = open(&settings).await.unwrap();
    session.uidl().await.unwrap();
    let mut other = open(&settings).await.unwrap();
    other.delete(&[2]).await.unwrap();
    other.quit().await.unwrap();
    let retrieved = session.retrieve(&[1, 2, 3], &std::env::temp_dir()).await;
    let [(1, Retrieval::Message(_)), (2, Retrieval::Refused(_)), (3, Retrieval::Message(_))] =
        retrieved.messages.as_slice()
    else {
        panic!("{retrieved:?}")
    };
    assert!(retrieved.error.is_none());
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let dovecot = Dovecot::start();
    let mut settings = mailbox(&dovecot, Tls::Implicit);
    settings.login = "wrong".into();
    let error = open(&settings).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error}");
}

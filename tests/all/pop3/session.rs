//! A session that goes well, with servers that can pipeline and servers that cannot.

use mailferry::message::{Listing, Message, Quirks};
use mailferry::net::Tls;
use mailferry::pop3::{Error, Refused, Retrieval, Stat};

use super::{logged_in, open_with, session, settings};
use crate::peer::Peer;

async fn bytes_of(message: &Message) -> Vec<u8> {
    let (mut chunks, mut all) = (message.chunks(), Vec::new());
    while let Some(chunk) = chunks.next().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    all
}

/// What was retrieved, short: the bytes, or `refused`.
async fn shown(messages: &[(u32, Retrieval)]) -> Vec<(u32, String)> {
    let mut shown = Vec::new();
    for (number, retrieval) in messages {
        let text = match retrieval {
            Retrieval::Message(message) => String::from_utf8(bytes_of(message).await).unwrap(),
            Retrieval::Refused(refused) => format!("refused: {}", refused.text),
            other => format!("{other:?}"),
        };
        shown.push((*number, text));
    }
    shown
}

fn listed(rows: &Listing) -> Vec<(u32, &[u8], Option<u64>)> {
    rows.iter().map(|row| (row.number, row.uidl, row.size)).collect()
}

const LISTED: &str = "
    S: +OK
    S: 1 aaa
    S: 2
    S: 4 b b
    S: .
    C: LIST
    S: +OK 3 messages
    S: 1 120
    S: 4 99999999999999999999
    S: 5 77
    S: .
    C: QUIT
    S: +OK";

#[tokio::test]
async fn lists_in_one_go_or_step_by_step() {
    let expected: [(u32, &[u8], Option<u64>); 3] =
        [(1, b"aaa", Some(120)), (2, b"", None), (4, b"b b", None)];
    for (capabilities, asking) in [
        ("PIPELINING", "C: STAT\nC: UIDL\nS: +OK 3 320"),
        ("UIDL", "C: STAT\nquiet\nS: +OK 3 320\nC: UIDL\nquiet"),
    ] {
        let (peer, mut session) = session(capabilities, &format!("{asking}\n{LISTED}")).await;
        let mut listing = session.uidl().await.unwrap();
        assert_eq!(listing.stat, Stat { count: 3, octets: 320 });
        session.list(&mut listing.rows).await.unwrap();
        assert_eq!(listed(&listing.rows), expected);
        session.quit().await.unwrap();
        peer.finish().await;
    }
}

#[tokio::test]
async fn the_hash_is_of_the_rows_and_nothing_else() {
    let mut hashes = Vec::new();
    for rows in ["S: 1 a\nS: 2 b", "S~ 1 a\\n2 b\\n", "S: 1 a\nS: 2 c", "S: 2 b\nS: 1 a", "S: 1 a"] {
        let dialog = format!("C: STAT\nC: UIDL\nS: +OK 2 9\nS: +OK\n{rows}\nS: .");
        let (peer, mut session) = session("PIPELINING", &dialog).await;
        hashes.push(session.uidl().await.unwrap().hash);
        drop(session);
        peer.finish().await;
    }
    let first = hashes.remove(0);
    assert_eq!(first, hashes.remove(0));
    assert!(hashes.iter().all(|hash| *hash != first));
}

#[tokio::test]
async fn an_empty_mailbox_is_empty_however_it_is_said() {
    for reply in ["S: +OK\nS: .", "S: -ERR no messages"] {
        let dialog = format!("C: STAT\nC: UIDL\nS: +OK 0 0\n{reply}\nC: QUIT\nS: +OK");
        let (peer, mut session) = session("PIPELINING", &dialog).await;
        assert!(session.uidl().await.unwrap().rows.is_empty());
        session.quit().await.unwrap();
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_listing_that_is_refused_for_now_is_no_empty_mailbox() {
    for (count, octets) in [(0, 0), (2, 9)] {
        let dialog = format!("C: STAT\nC: UIDL\nS: +OK {count} {octets}\nS: -ERR [SYS/TEMP] not now");
        let (peer, mut session) = session("PIPELINING", &dialog).await;
        let error = session.uidl().await.unwrap_err();
        assert!(matches!(&error, Error::Refused(refused) if refused.is_passing()), "{error}");
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_server_without_uidl_is_told_apart_from_an_empty_mailbox() {
    let (peer, mut session) = session("TOP", "C: STAT\nS: +OK 2 9\nC: UIDL\nS: -ERR unknown command").await;
    let error = session.uidl().await.unwrap_err();
    assert!(matches!(error, Error::NoUidl), "{error}");
    drop(session);
    peer.finish().await;
}

/// RETR 1 to 3 of a server that refuses the second.
const ANSWERS: [&str; 3] = [
    "S: +OK 9 octets\nS: one\nS: ..\nS: .",
    "S: -ERR [SYS/TEMP] Message 2 expunged.",
    "S: +OK\nS: ..three\nS: ..",
];

#[tokio::test]
async fn retrieves_many_at_a_time_or_one_by_one() {
    let expected: Vec<(u32, String)> = vec![
        (1, "one\r\n.\r\n".into()),
        (2, "refused: Message 2 expunged.".into()),
        (3, ".three\r\n.\r\n".into()),
    ];
    let [one, two, three] = ANSWERS;
    let pipelined = format!("C: RETR 1\nC: RETR 2\nC: RETR 3\nquiet\n{one}\n{two}\n{three}\nS: .");
    let one_by_one = format!("C: RETR 1\nquiet\n{one}\nC: RETR 2\nquiet\n{two}\nC: RETR 3\n{three}\nS: .");
    let no_pipelining = Quirks { no_pipelining: true, ..Quirks::default() };
    for (capabilities, quirks, dialog) in [
        ("PIPELINING", Quirks::default(), pipelined.clone()),
        ("PIPELINING", Quirks::default(), format!("split 1\n{pipelined}")),
        ("TOP", Quirks::default(), format!("split 3\n{one_by_one}")),
        ("PIPELINING", no_pipelining, one_by_one),
    ] {
        let peer = Peer::play(&logged_in(capabilities, &dialog)).await;
        let mut session = open_with(&settings(peer.port, Tls::None), quirks).await.unwrap();
        let retrieved = session.retrieve(&[1, 2, 3], &std::env::temp_dir()).await;
        assert!(retrieved.error.is_none(), "{:?}", retrieved.error);
        assert_eq!(shown(&retrieved.messages).await, expected);
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn more_commands_than_the_window_holds_all_get_their_answers() {
    let dele = |from: u32, to: u32| (from..=to).map(|n| format!("C: DELE {n}\n")).collect::<String>();
    // 64 at once, and 32 more each time that half of them are answered.
    let dialog = [
        dele(1, 64),
        "quiet\n".into(),
        "S: +OK\n".repeat(32),
        dele(65, 96),
        "S: +OK\n".repeat(32),
        dele(97, 100),
        "S: +OK\n".repeat(35),
        "S: -ERR no such message\nC: QUIT\nS: -ERR some deleted messages not removed\n".into(),
    ];
    let (peer, mut session) = session("PIPELINING", &dialog.concat()).await;
    let answers = session.delete(&(1..=100).collect::<Vec<u32>>()).await.unwrap();
    assert_eq!(answers.len(), 100);
    assert!(answers[..99].iter().all(Result::is_ok));
    assert_eq!(answers[99], Err(Refused { command: "DELE", code: None, text: "no such message".into() }));
    let error = session.quit().await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refused { command: "QUIT", .. })), "{error}");
    peer.finish().await;
}

#[tokio::test]
async fn a_large_message_comes_back_to_the_byte() {
    let line = "x".repeat(70_000);
    let lines = format!("S: {line}\nS: ...{line}\nS: \n").repeat(10);
    let (peer, mut session) = session("TOP", &format!("C: RETR 7\nS: +OK\n{lines}\nS: .")).await;
    let retrieved = session.retrieve(&[7], &std::env::temp_dir()).await;
    let [(7, Retrieval::Message(message))] = retrieved.messages.as_slice() else { panic!("{retrieved:?}") };
    assert!(message.bytes().is_none(), "1.4 MB should be in a file");
    let expected = format!("{line}\r\n..{line}\r\n\r\n").repeat(10);
    assert!(bytes_of(message).await == expected.as_bytes());
    drop(session);
    peer.finish().await;
}

#[tokio::test]
async fn reads_headers_and_keeps_the_session_alive() {
    let dialog = "
        C: TOP 1 0
        C: TOP 9 0
        S: +OK
        S: Subject: one
        S: 
        S: .
        S: -ERR no such message
        C: NOOP
        S: +OK
        C: STAT
        S: +OK 1 20";
    let (peer, mut session) = session("PIPELINING TOP", dialog).await;
    let headers = session.top(&[1, 9], <[u8]>::to_vec).await.unwrap();
    assert_eq!(headers[0].as_deref().unwrap(), b"Subject: one\r\n\r\n");
    assert!(headers[1].is_err() && headers.len() == 2);
    session.noop().await.unwrap();
    assert_eq!(session.stat().await.unwrap(), Stat { count: 1, octets: 20 });
    drop(session);
    // No QUIT was heard: dropping a session must not delete anything.
    assert!(peer.finish().await.ends_with("STAT\r\n"));
}

#[tokio::test]
async fn a_server_that_refuses_every_top_and_has_answered_none_does_not_know_it() {
    const HEADER: &str = "+OK\nS: Subject: x\nS: \nS: .";
    let (no, later) = ("-ERR what?", "-ERR try again later");
    for (capabilities, calls, knows) in [
        ("TOP", vec![(2, vec![no; 2])], false),
        ("TOP", vec![(9, vec![no; 3])], false),
        ("TOP", vec![(9, vec![later; 2])], true),
        ("TOP", vec![(2, vec![no, later])], true),
        ("TOP", vec![(1, vec![HEADER]), (5, vec![no; 5])], true),
        ("TOP", vec![(1, vec![HEADER]), (9, vec![later; 2]), (1, vec![later])], true),
        ("PIPELINING TOP", vec![(2, vec![no; 2])], false),
        ("PIPELINING TOP", vec![(20, vec![no; 20])], false),
        ("PIPELINING TOP", vec![(20, vec![later; 20])], true),
        ("PIPELINING TOP", vec![(2, vec![no, HEADER]), (20, vec![no; 20])], true),
    ] {
        let mut dialog = String::new();
        for (_, answers) in &calls {
            let asked = (1..=answers.len()).map(|n| format!("C: TOP {n} 0\n"));
            let answered = answers.iter().map(|answer| format!("S: {answer}\n"));
            if capabilities == "TOP" {
                dialog.extend(asked.zip(answered).map(|(asked, answered)| asked + &answered));
            } else {
                dialog.extend(asked.chain(answered));
            }
        }
        let (peer, mut session) = session(capabilities, &dialog).await;
        for (count, answers) in &calls {
            let headers = session.top(&(1..=*count).collect::<Vec<_>>(), |_| ()).await.unwrap();
            // After a refusal that will pass it is not asked for the rest, and nothing is made up.
            let is_over = answers.ends_with(&[later]);
            assert_eq!(headers.len(), if is_over { answers.len() } else { *count as usize }, "{calls:?}");
        }
        assert_eq!(session.capabilities().top, knows, "{calls:?}");
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_server_that_hands_out_nothing_now_is_asked_for_no_more() {
    let dialog = "
        C: RETR 1
        S: +OK
        S: a
        S: .
        C: RETR 2
        S: -ERR try again later
        C: RETR 3
        S: -ERR try again later
        C: NOOP
        S: +OK";
    let (peer, mut session) = session("TOP", dialog).await;
    let retrieved = session.retrieve(&[1, 2, 3, 4], &std::env::temp_dir()).await;
    assert!(retrieved.error.is_none() && retrieved.messages.len() == 3, "{retrieved:?}");
    assert!(session.withholds_messages() && session.hands_out_nothing());
    assert!(session.retrieve(&[4], &std::env::temp_dir()).await.messages.is_empty());
    assert!(session.discard(&[4]).await.came.is_empty());
    session.noop().await.unwrap();
    drop(session);
    peer.finish().await;

    let (peer, mut session) = super::session(
        "PIPELINING",
        "C: RETR 1\nC: RETR 2\nC: RETR 3\nS: -ERR try again later\nS: -ERR try again later\nS: +OK\nS: a\nS: .",
    )
    .await;
    let retrieved = session.retrieve(&[1, 2, 3], &std::env::temp_dir()).await;
    assert!(retrieved.error.is_none() && retrieved.messages.len() == 3, "{retrieved:?}");
    assert!(!session.withholds_messages(), "the third was handed out");
    drop(session);
    peer.finish().await;
}

#[tokio::test]
async fn a_server_that_knows_no_crlf_is_understood() {
    let dialog = "
        S~ +OK\\n
        C: CAPA
        S~ -ERR\\n
        C: USER ann
        S~ +OK\\n
        C: PASS secret
        S~ +OK\\n
        C: RETR 1
        S~ +OK\\na\\n..b\\n.\\n
        C: RETR 2
        S~ +OK\\n.\\n";
    let peer = Peer::play(dialog).await;
    let mut session = open_with(&settings(peer.port, Tls::None), Quirks::default()).await.unwrap();
    let retrieved = session.retrieve(&[1, 2], &std::env::temp_dir()).await;
    assert_eq!(shown(&retrieved.messages).await, [(1, "a\n.b\n".into()), (2, String::new())]);
    drop(session);
    peer.finish().await;
}

/// The writer of a mail must not be able to end it where he likes, only because the server was careless once.
#[tokio::test]
async fn after_the_first_crlf_lf_dot_lf_is_text() {
    let dialog = "
        S~ +OK\\n
        C: CAPA
        S~ -ERR\\n
        C: USER ann
        S~ +OK\\n
        C: PASS secret
        S~ +OK\\n
        C: RETR 1
        S~ +OK\\na\\r\\n.\\r\\n
        C: RETR 2
        S~ +OK\\nb\\n.\\n+OK\\r\\n.\\r\\n";
    let peer = Peer::play(dialog).await;
    let mut session = open_with(&settings(peer.port, Tls::None), Quirks::default()).await.unwrap();
    let retrieved = session.retrieve(&[1, 2], &std::env::temp_dir()).await;
    let expected = [(1, "a\r\n".into()), (2, "b\n.\n+OK\r\n".into())];
    assert_eq!(shown(&retrieved.messages).await, expected);
    drop(session);
    peer.finish().await;
}

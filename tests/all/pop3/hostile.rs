//! Servers that break off, lie, flood, stall or lose the thread.

use std::path::Path;
use std::time::Duration;

use mailferry::message::{Listed, Listing};
use mailferry::net::{self, Tls};
use mailferry::pop3::{Class, Error, Retrieval, Session, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{logged_in, open, session, settings};
use crate::peer::Peer;

async fn session_with(capabilities: &str, rest: &str, change: impl FnOnce(&mut Settings)) -> (Peer, Session) {
    let peer = Peer::play(&logged_in(capabilities, rest)).await;
    let mut settings = settings(peer.port, Tls::None);
    change(&mut settings);
    let session = open(&settings).await.unwrap();
    (peer, session)
}

fn temp() -> &'static Path {
    Path::new("/tmp")
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_no_listing() {
    let whole = "+OK 2 10\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n";
    for cut in 0..whole.len() {
        let bytes = whole.escape_default();
        let (peer, mut session) =
            session("PIPELINING", &format!("C: STAT\nC: UIDL\ncut {cut}\nS~ {bytes}")).await;
        let error = session.uidl().await.unwrap_err();
        assert!(matches!(error, Error::Closed { .. }), "cut at {cut}: {error}");
        assert_eq!(error.class(), Class::Network);
        drop(session);
        peer.finish().await;
    }
    let whole = "+OK\r\n1 3\r\n.\r\n";
    for cut in 0..whole.len() {
        let dialog = format!("C: LIST\ncut {cut}\nS~ {}", whole.escape_default());
        let (peer, mut session) = session("PIPELINING", &dialog).await;
        assert!(
            matches!(session.list(&mut Listing::default()).await, Err(Error::Closed { .. })),
            "cut at {cut}"
        );
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_message_that_breaks_off_is_no_message_and_those_before_it_are() {
    let second = "+OK\r\nb\r\n..\r\n.\r\n";
    for pipelining in ["PIPELINING", "TOP"] {
        for cut in 0..second.len() {
            let asks = if pipelining == "TOP" { "" } else { "C: RETR 2\n" };
            let asks_later = if pipelining == "TOP" { "C: RETR 2\n" } else { "" };
            let dialog = format!(
                "C: RETR 1\n{asks}S: +OK\nS: a\nS: .\n{asks_later}cut {cut}\nS~ {}",
                second.escape_default()
            );
            let (peer, mut session) = session(pipelining, &dialog).await;
            let retrieved = session.retrieve(&[1, 2], temp()).await;
            assert!(matches!(retrieved.error, Some(Error::Closed { .. })), "cut at {cut}: {retrieved:?}");
            assert!(
                matches!(retrieved.messages.as_slice(), [(1, Retrieval::Message(_))]),
                "cut at {cut}: {retrieved:?}"
            );
            drop(session);
            peer.finish().await;
        }
    }
}

#[tokio::test]
async fn a_quit_without_an_answer_is_an_unknown_outcome() {
    let (peer, mut session) = session("TOP", "C: DELE 1\nS: +OK\nC: QUIT\nclose").await;
    assert_eq!(session.delete(&[1]).await.unwrap(), [Ok(())]);
    assert!(matches!(session.quit().await, Err(Error::Closed { .. })));
    peer.finish().await;
}

#[tokio::test]
async fn many_messages_fill_no_memory_whatever_their_sizes_were_said_to_be() {
    let line = "x".repeat(900 << 10);
    let (asked, sent): (Vec<_>, Vec<_>) =
        (1..=12).map(|n| (format!("C: RETR {n}\n"), format!("S: +OK\nS: {line}\nS: .\n"))).unzip();
    let (peer, mut session) = session("PIPELINING", &(asked.concat() + &sent.concat())).await;
    let retrieved = session.retrieve(&(1..=12).collect::<Vec<_>>(), temp()).await;
    assert!(retrieved.error.is_none() && retrieved.messages.len() == 12);
    let held = retrieved.messages.iter().filter_map(|(_, retrieval)| match retrieval {
        Retrieval::Message(message) => message.bytes().map(bytes::Bytes::len),
        _ => None,
    });
    let held: usize = held.sum();
    assert!(held <= 8 << 20, "{held} octets are in memory");
    drop(session);
    peer.finish().await;
}

#[tokio::test]
async fn a_flood_ends_at_its_cap() {
    for (flood, what) in [
        ("S~ +OK\nflood x", "a status line"),
        ("S: +OK 1 1\nS: +OK\nS~ 1\nflood \\x20", "a row of a listing"),
        ("S: +OK 0 0\nS: +OK\nflood 1 a\\r\\n", "a listing, in rows,"),
    ] {
        let (peer, mut session) = session("PIPELINING", &format!("C: STAT\nC: UIDL\n{flood}")).await;
        let error = session.uidl().await.unwrap_err();
        assert!(error.to_string().contains(what), "{flood}: {error}");
        assert!(matches!(error, Error::TooLong { .. }), "{flood}: {error}");
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_listing_has_an_end_whatever_stat_says() {
    let row = format!("1 {}\\r\\n", "u".repeat(1000));
    let dialog = format!("C: STAT\nC: UIDL\nS: +OK 4294967295 0\nS: +OK\nflood {row}");
    let (peer, mut session) = session("PIPELINING", &dialog).await;
    let error = session.uidl().await.unwrap_err();
    assert!(matches!(error, Error::TooLong { what: "a listing, in bytes,", .. }), "{error}");
    drop(session);
    peer.finish().await;
}

#[tokio::test]
async fn only_so_many_messages_may_look_alike() {
    for (more, is_fine) in [(0, true), (1, false)] {
        let mut listing = Listing::default();
        for number in 1..=150_000 + more {
            listing.push(Listed { number, uidl: b"same", size: None }).unwrap();
        }
        let (peer, mut session) = session("PIPELINING", "C: LIST\nS: +OK\nS: .").await;
        let outcome = session.list(&mut listing).await;
        assert_eq!(outcome.is_ok(), is_fine, "{outcome:?}");
        assert!(is_fine || matches!(outcome, Err(Error::TooLong { .. })), "{outcome:?}");
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn capabilities_have_an_end() {
    let peer = Peer::play("S: +OK\nC: CAPA\nS: +OK\nflood X\\r\\n").await;
    let error = open(&settings(peer.port, Tls::None)).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { what: "a list of capabilities", .. }), "{error}");
    peer.finish().await;
}

#[tokio::test]
async fn a_message_ends_at_max_size_and_those_before_it_are_whole() {
    for flood in ["x", "x\\r\\n", "..\\r\\n", "\\n.\\n"] {
        let dialog = format!("C: RETR 1\nC: RETR 2\nS: +OK 1\nS: a\nS: .\nS: +OK 7 octets\nflood {flood}");
        let (peer, mut session) =
            session_with("PIPELINING", &dialog, |settings| settings.max_size = 300_000).await;
        let retrieved = session.retrieve(&[1, 2], temp()).await;
        let [(1, Retrieval::Message(_)), (2, Retrieval::TooLarge { octets_seen })] =
            retrieved.messages.as_slice()
        else {
            panic!("{retrieved:?}")
        };
        assert!((300_001..400_000).contains(octets_seen), "{octets_seen}");
        assert!(matches!(retrieved.error, Some(Error::MessageTooLarge)));
        // What is left of the message must not be taken for answers.
        assert!(matches!(session.noop().await, Err(Error::Closed { .. })));
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_message_of_exactly_max_size_is_retrieved() {
    let (peer, mut session) =
        session_with("TOP", "C: RETR 1\nS: +OK\nS: 12345678\nS: .", |settings| settings.max_size = 10).await;
    let retrieved = session.retrieve(&[1], temp()).await;
    assert!(matches!(retrieved.messages.as_slice(), [(1, Retrieval::Message(_))]), "{retrieved:?}");
    assert!(retrieved.error.is_none());
    drop(session);
    peer.finish().await;
}

#[tokio::test]
async fn a_header_is_kept_up_to_a_mebibyte() {
    let line = format!("S: {}\n", "h".repeat(99_998));
    let dialog = format!("C: TOP 1 0\nC: TOP 2 0\nS: +OK\n{}S: .\nS: +OK\nS: a\nS: .", line.repeat(20));
    let (peer, mut session) = session("PIPELINING TOP", &dialog).await;
    let headers = session.top(&[1, 2], <[u8]>::to_vec).await.unwrap();
    assert_eq!(headers[0].as_ref().unwrap().len(), 1 << 20);
    assert_eq!(headers[1].as_ref().unwrap(), b"a\r\n");
    drop(session);
    peer.finish().await;
}

#[tokio::test]
async fn a_full_disk_is_not_the_accounts_fault() {
    let line = format!("S: {}\n", "x".repeat(99_998));
    let dialog = format!("C: RETR 1\nC: RETR 2\nS: +OK\nS: a\nS: .\nS: +OK\n{}S: .", line.repeat(11));
    let (peer, mut session) = session("PIPELINING", &dialog).await;
    let retrieved = session.retrieve(&[1, 2], Path::new("/nonexistent")).await;
    assert!(matches!(retrieved.messages.as_slice(), [(1, Retrieval::Message(_))]), "{retrieved:?}");
    let error = retrieved.error.unwrap();
    assert!(matches!(error, Error::Disk(_)), "{error}");
    assert_eq!(error.class(), Class::Local);
    drop(session);
    peer.finish().await;
}

/// A server that forgets to stuff a dot: message 2 is longer than it looks.
#[tokio::test]
async fn a_message_that_may_have_ended_too_early_is_not_taken_for_whole() {
    let torn = "S: +OK\nS~ cut\\r\\n.\\r\\nhere\\r\\n.\\r\\n";
    let first = "S: +OK\nS: a\nS: .";
    let pipelined = format!("C: RETR 1\nC: RETR 2\nC: RETR 3\n{first}\n{torn}");
    let (peer, mut session) = session("PIPELINING", &pipelined).await;
    let retrieved = session.retrieve(&[1, 2, 3], temp()).await;
    assert!(matches!(retrieved.error, Some(Error::OutOfStep { .. })), "{retrieved:?}");
    assert!(matches!(retrieved.messages.as_slice(), [(1, Retrieval::Message(_))]), "{retrieved:?}");
    drop(session);
    peer.finish().await;

    // One at a time, the culprit is known; also where it is the last one, and what follows begins like a refusal.
    let signed = "S: +OK\nS~ cut\\r\\n.\\r\\n-- \\r\\nA signature\\r\\n.\\r\\n";
    for (numbers, torn) in [(&[1, 2][..], torn), (&[1, 2, 3], torn), (&[1, 2], signed), (&[1, 2, 3], signed)]
    {
        let one_by_one = format!("C: RETR 1\n{first}\nC: RETR 2\n{torn}");
        let (peer, mut session) = super::session("TOP", &one_by_one).await;
        let retrieved = session.retrieve(numbers, temp()).await;
        assert!(matches!(retrieved.error, Some(Error::OutOfStep { .. })), "{retrieved:?}");
        let [(1, Retrieval::Message(_)), (2, Retrieval::Torn { octets_seen: 5 })] =
            retrieved.messages.as_slice()
        else {
            panic!("{retrieved:?}")
        };
        drop(session);
        peer.finish().await;
    }
}

/// The rest comes when the seeming end has been looked at.
#[tokio::test]
async fn a_message_is_whole_when_another_reply_has_come_behind_it() {
    for (answer, is_whole) in [("+OK", true), ("-ERR unknown command", true), ("the rest", false)] {
        let dialog = format!("C: RETR 1\nS: +OK\nS: a\nS: .\nC: NOOP\nS: {answer}");
        let (peer, mut session) = session("TOP", &dialog).await;
        let mut retrieved = session.retrieve(&[1], temp()).await;
        session.confirm_last(&mut retrieved).await;
        let told = matches!(retrieved.messages.as_slice(), [(1, Retrieval::Message(_))]);
        assert_eq!((told, retrieved.error.is_none()), (is_whole, is_whole), "{answer}: {retrieved:?}");
        drop(session);
        peer.finish().await;
    }
}

#[tokio::test]
async fn words_that_are_no_reply_are_not_believed() {
    for words in ["S: ", "S: garbage", "S: +", "S: 250 OK", "S~ \\x00\\r\\n"] {
        let (peer, mut session) = session("TOP", &format!("C: DELE 1\n{words}")).await;
        let error = session.delete(&[1]).await.unwrap_err();
        assert!(matches!(error, Error::OutOfStep { .. }), "{words}: {error}");
        assert!(matches!(session.quit().await, Err(Error::Closed { .. })), "QUIT would have deleted");
        peer.finish().await;
    }
}

#[tokio::test]
async fn nonsense_in_a_listing_is_not_believed() {
    for row in ["nonsense", "", "0 a", "1 a\nS: 1 b", "2 a\nS: 1 a\nS: 2 c"] {
        let dialog = format!("C: STAT\nC: UIDL\nS: +OK 2 9\nS: +OK\nS: {row}\nS: .");
        let (peer, mut session) = session("PIPELINING", &dialog).await;
        let error = session.uidl().await.unwrap_err();
        assert!(matches!(error, Error::OutOfStep { .. }), "{row}: {error}");
        drop(session);
        peer.finish().await;
    }
    for stat in ["S: +OK", "S: +OK many"] {
        let (peer, mut session) = session("TOP", &format!("C: STAT\n{stat}")).await;
        assert!(matches!(session.stat().await, Err(Error::OutOfStep { .. })), "{stat}");
        drop(session);
        peer.finish().await;
    }
}

/// What comes unasked is either a farewell, or shows that we are not where we think.
#[tokio::test]
async fn nothing_is_deleted_after_unasked_words() {
    let (peer, mut session) = session("TOP", "C: NOOP\nS~ +OK\\r\\n+OK\\r\\n").await;
    session.noop().await.unwrap();
    let error = session.delete(&[1]).await.unwrap_err();
    assert!(matches!(error, Error::OutOfStep { .. }), "{error}");
    drop(session);
    peer.finish().await;
    let (peer, mut session) =
        super::session("TOP", "C: NOOP\nS~ +OK\\r\\n-ERR Disconnected for inactivity.\\r\\n").await;
    session.noop().await.unwrap();
    let error = session.delete(&[1]).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    drop(session);
    peer.finish().await;
}

#[tokio::test]
async fn unasked_words_are_noticed_however_late_they_come() {
    for (words, out_of_step) in
        [("+OK\r\n", true), ("-ERR Disconnected for inactivity.\r\n", false), ("", false)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = settings(listener.local_addr().unwrap().port(), Tls::None);
        let serving = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            for answer in ["+OK\r\n", "-ERR no CAPA\r\n", "+OK\r\n"] {
                tcp.write_all(answer.as_bytes()).await.unwrap();
                assert!(tcp.read(&mut [0; 512]).await.unwrap() > 0);
            }
            tcp.write_all(b"+OK\r\n").await.unwrap();
            tcp
        };
        let (mut tcp, session) = tokio::join!(serving, open(&settings));
        let mut session = session.unwrap();
        tcp.write_all(words.as_bytes()).await.unwrap();
        tcp.shutdown().await.unwrap();
        // Lets the runtime see what has come in.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let error = session.delete(&[1]).await.unwrap_err();
        assert_eq!(matches!(error, Error::OutOfStep { .. }), out_of_step, "{words}: {error}");
        assert_eq!(matches!(error, Error::Closed { .. }), !out_of_step, "{words}: {error}");
        drop(session);
        let mut said = String::new();
        // It may be reset, since the client has not read everything.
        let _ = tcp.read_to_string(&mut said).await;
        assert_eq!(said, "", "the client asked for deletions all the same");
    }
}

#[tokio::test]
async fn a_session_that_was_left_in_the_middle_says_no_more() {
    let (peer, mut session) = session("TOP", "C: RETR 1\nS: +OK\nS: a\nstall").await;
    let left = tokio::time::timeout(Duration::from_millis(250), session.retrieve(&[1], temp())).await;
    assert!(left.is_err());
    assert!(matches!(session.delete(&[1]).await, Err(Error::Closed { .. })));
    drop(session);
    assert!(peer.finish().await.ends_with("RETR 1\r\n"));
}

fn impatient(settings: &mut Settings) {
    let soon = Duration::from_millis(250);
    settings.deadlines.greeting = soon;
    settings.deadlines.login = soon;
    settings.deadlines.reply = soon;
    settings.deadlines.listing = soon;
    settings.deadlines.pace = soon;
}

fn assert_timed_out(error: &Error, case: &str) {
    let is_time = matches!(error, Error::Net(net::Error::Timeout { .. }) | Error::NoGreeting { .. });
    assert!(is_time, "{case}: {error}");
}

#[tokio::test]
async fn a_server_that_stalls_before_the_login_is_left() {
    for dialog in [
        "stall",
        "S~ +OK\nstall",
        // Silence to CAPA alone is forgiven, but it is asked for no more than twice.
        "S: +OK\nC: CAPA\nstall\nnext\nS: +OK\nC: CAPA\nstall\nnext\nS: +OK\nC: USER ann\nstall",
        "S: +OK\nC: CAPA\nS: -ERR\nC: USER ann\nstall",
        "S: +OK\nC: CAPA\nS: -ERR\nC: USER ann\nS: +OK\nC: PASS secret\nstall",
    ] {
        let peer = Peer::play(dialog).await;
        let mut settings = settings(peer.port, Tls::None);
        impatient(&mut settings);
        assert_timed_out(&open(&settings).await.unwrap_err(), dialog);
        peer.finish().await;
    }
}

#[tokio::test]
async fn a_server_that_stalls_in_a_session_is_left() {
    for dialog in [
        "C: STAT\nC: UIDL\nstall",
        "C: STAT\nC: UIDL\nS: +OK 1 1\nstall",
        "C: STAT\nC: UIDL\nS: +OK 1 1\nS: +OK\nS: 1 a\nstall",
    ] {
        let (peer, mut session) = session_with("PIPELINING", dialog, impatient).await;
        assert_timed_out(&session.uidl().await.unwrap_err(), dialog);
        drop(session);
        peer.finish().await;
    }
    for dialog in ["C: RETR 1\nstall", "C: RETR 1\nS: +OK\nstall", "C: RETR 1\nS: +OK\nS: a\nstall"] {
        let (peer, mut session) = session_with("PIPELINING", dialog, impatient).await;
        let retrieved = session.retrieve(&[1], temp()).await;
        assert_timed_out(&retrieved.error.unwrap(), dialog);
        assert!(retrieved.messages.is_empty());
        drop(session);
        peer.finish().await;
    }
    let (peer, session) = session_with("PIPELINING", "C: QUIT\nstall", impatient).await;
    assert_timed_out(&session.quit().await.unwrap_err(), "QUIT");
    peer.finish().await;
}

#[tokio::test]
async fn a_server_cannot_write_on_the_terminal() {
    let dialog = "S: +OK\nC: CAPA\nS: -ERR\nC: USER ann\nS~ -ERR \\x1b[31mred\\x07\\x9b\\r\\n";
    let peer = Peer::play(dialog).await;
    let error = open(&settings(peer.port, Tls::None)).await.unwrap_err();
    assert!(error.to_string().contains("\\x1B[31mred\\x07\\x9B"), "{error}");
    peer.finish().await;
}

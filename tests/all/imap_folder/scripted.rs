//! Against scripted peers: what goes over the wire, and what an answer comes to.

use std::time::Duration;

use mailferry::destination::imap_folder::ImapFolder;
use mailferry::message::{Found, Mark, Message, Outgoing, Receipt, Verdict};
use mailferry::net::Tls;

use super::{all_delivered, deliver, folders_of, marks, message, messages, outgoing, route};
use crate::peer::Peer;

/// A dialog as far as the login, at a server that can do this, and then `rest`, whose first tag is M2.
pub fn logged_in(capabilities: &str, rest: &str) -> String {
    let capabilities = format!("IMAP4rev1 {capabilities}");
    let capabilities = capabilities.trim_end();
    format!(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
         C: M1 AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=
         S: M1 OK [CAPABILITY {capabilities}] welcome
         {rest}"
    )
}

/// As [`logged_in`], and INBOX is prepared. The first tag of `rest` is M3.
pub fn prepared(capabilities: &str, rest: &str) -> String {
    let status = format!(
        "C: M2 STATUS \"INBOX\" (UIDVALIDITY UIDNEXT)
         S: * STATUS INBOX (UIDVALIDITY 7 UIDNEXT 40)
         S: M2 OK done
         {rest}"
    );
    logged_in(capabilities, &status)
}

/// 43 octets, with a date of their own.
pub async fn mails<const N: usize>(numbers: [u32; N]) -> Vec<Message> {
    let mail = |number| format!("Date: Tue, 6 Jan 2015 10:00:00 +0000\r\n\r\n{number}\r\n");
    messages(&numbers.map(mail)).await
}

const FOR: &str = "() \" 6-Jan-2015 10:00:00 +0000\"";

/// A mail's literal, as the client sends it, with the end of its command.
fn literal(number: u32) -> String {
    format!("C: Date: Tue, 6 Jan 2015 10:00:00 +0000\nC:\nC: {number}\nC:\n")
}

/// A whole APPEND that waits for nothing.
fn append(tag: &str, number: u32) -> String {
    format!("C: {tag} APPEND \"INBOX\" {FOR} {{43+}}\n{}", literal(number))
}

/// The start of an APPEND that waits for a go-ahead.
fn announce(tag: &str) -> String {
    format!("C: {tag} APPEND \"INBOX\" {FOR} {{43}}\n")
}

pub fn folders_at(peer: &Peer) -> ImapFolder {
    folders_of("ann", peer.port, Tls::None, None)
}

/// Delivers mails of these numbers to INBOX, and the dialog must have gone as written.
async fn play<const N: usize>(dialog: &str, numbers: [u32; N]) -> Vec<Verdict> {
    let peer = Peer::play(dialog).await;
    let imap = folders_at(&peer);
    let verdicts = deliver(&imap, &route("INBOX"), &mails(numbers).await).await;
    drop(imap);
    peer.finish().await;
    verdicts
}

fn uid(uid: u32) -> Verdict {
    Verdict::Delivered { receipt: Receipt::Uid { uid_validity: 7, uid } }
}

#[tokio::test]
async fn a_batch_is_one_command_and_its_uids_come_in_order() {
    let batch = format!(
        "C: M3 APPEND \"INBOX\" {FOR} {{43+}}
         C: Date: Tue, 6 Jan 2015 10:00:00 +0000
         C:
         C: 1
         C:  {FOR} {{43+}}
         {}
         S: * 41 EXISTS
         S: M3 OK [APPENDUID 7 41,44:45] done",
        literal(2).replacen("C: 2\nC:\n", &format!("C: 2\nC:  {FOR} {{43+}}\n{}", literal(3)), 1),
    );
    let verdicts = play(&prepared("MULTIAPPEND LITERAL+ UIDPLUS", &batch), [1, 2, 3]).await;
    assert_eq!(verdicts, [uid(41), uid(44), uid(45)]);
}

#[tokio::test]
async fn a_server_that_takes_no_batch_is_asked_for_none_again() {
    let dialog = format!(
        "C: M3 APPEND \"INBOX\" {FOR} {{43+}}
         C: Date: Tue, 6 Jan 2015 10:00:00 +0000
         C:
         C: 1
         C:  {FOR} {{43+}}
         {}
         S: M3 BAD what?
         {}{}
         S: M4 OK done
         S: M5 OK done
         C: M6 STATUS \"INBOX\" (UIDVALIDITY UIDNEXT)
         S: M6 OK done
         {}{}
         S: M7 OK done
         S: M8 OK done",
        literal(2),
        append("M4", 1),
        append("M5", 2),
        append("M7", 3),
        append("M8", 4),
    );
    let peer = Peer::play(&prepared("MULTIAPPEND LITERAL+", &dialog)).await;
    let imap = folders_at(&peer);
    for numbers in [[1, 2], [3, 4]] {
        let verdicts = deliver(&imap, &route("INBOX"), &mails(numbers).await).await;
        let stored = Verdict::Delivered { receipt: Receipt::Stored };
        assert_eq!(verdicts, [stored.clone(), stored], "without UIDPLUS an OK is all the proof there is");
    }
    drop(imap);
    peer.finish().await;
}

/// D02: a UID that was not told may be anywhere above the mark, and must be below the next one.
#[tokio::test]
async fn a_server_that_keeps_a_uid_to_itself_is_asked_where_the_folder_ends() {
    let dialog = format!(
        "{}S: M3 OK done
         C: M4 STATUS \"INBOX\" (UIDVALIDITY UIDNEXT)
         S: * STATUS INBOX (UIDVALIDITY 7 UIDNEXT 41)
         S: M4 OK done
         {}S: M5 OK [APPENDUID 7 41] done
         {}S: M6 OK [APPENDUID 7 42] done",
        append("M3", 1),
        append("M5", 2),
        append("M6", 3),
    );
    let peer = Peer::play(&prepared("LITERAL+ UIDPLUS", &dialog)).await;
    let imap = folders_at(&peer);
    for (number, uid_next) in [(1, 40), (2, 41), (3, 42)] {
        let mails = mails([number]).await;
        let marks = marks(&imap, &route("INBOX"), &mails).await;
        assert_eq!(marks[0].uid_next, uid_next);
        assert!(all_delivered(
            &imap.deliver(&route("INBOX"), &[outgoing(&mails[0], marks[0].clone())]).await
        ));
    }
    drop(imap);
    peer.finish().await;
}

#[tokio::test]
async fn a_no_in_a_window_is_of_its_own_message() {
    let window = [append("M3", 1), append("M4", 2), append("M5", 3)].concat()
        + "S: * 41 EXISTS
           S: M3 OK [APPENDUID 7 40] done
           S: M4 NO [TOOBIG] no
           S: M5 OK [APPENDUID 7 41] done";
    let verdicts = play(&prepared("LITERAL+ UIDPLUS", &window), [1, 2, 3]).await;
    assert_eq!((&verdicts[0], &verdicts[2]), (&uid(40), &uid(41)));
    assert!(matches!(&verdicts[1], Verdict::Rejected { park_after: 1, .. }), "{verdicts:?}");
}

#[tokio::test]
async fn without_literal_plus_a_message_costs_one_round_trip() {
    let turns = [
        announce("M3"),
        // async-imap takes this EXISTS for the answer.
        "S: * 1 EXISTS\nS: + go\n".into(),
        literal(1),
        announce("M4"),
        "S: M3 OK [APPENDUID 7 40] done\nS: + go\n".into(),
        literal(2),
        "S: M4 OK [APPENDUID 7 41] done".into(),
    ];
    assert_eq!(play(&prepared("UIDPLUS", &turns.concat()), [1, 2]).await, [uid(40), uid(41)]);
}

#[tokio::test]
async fn a_message_refused_before_it_is_sent_is_not_sent() {
    let turns = [
        announce("M3"),
        "S: M3 NO [LIMIT] Mail size is larger than the maximum size allowed\n".into(),
        announce("M4"),
        "S: +\n".into(),
        literal(2),
        "S: M4 OK done".into(),
    ];
    let verdicts = play(&prepared("", &turns.concat()), [1, 2]).await;
    assert!(matches!(verdicts[0], Verdict::Rejected { .. }), "{verdicts:?}");
    assert!(matches!(verdicts[1], Verdict::Delivered { .. }), "{verdicts:?}");
}

#[tokio::test]
async fn literal_minus_is_used_up_to_4096_octets() {
    let window = [append("M3", 1), append("M4", 2)].concat() + "S: M3 OK done\nS: M4 OK done";
    assert_eq!(play(&prepared("LITERAL-", &window), [1, 2]).await.len(), 2);

    let line = "x".repeat(4096);
    let large = format!("Date: Tue, 6 Jan 2015 10:00:00 +0000\r\n\r\n{line}\r\n");
    let turn = format!(
        "C: M3 APPEND \"INBOX\" {FOR} {{4138}}
         quiet
         S: + go
         C: Date: Tue, 6 Jan 2015 10:00:00 +0000
         C:
         C: {line}
         C:
         S: M3 OK done"
    );
    let peer = Peer::play(&prepared("LITERAL-", &turn)).await;
    let imap = folders_at(&peer);
    deliver(&imap, &route("INBOX"), &messages(&[large]).await).await;
    drop(imap);
    peer.finish().await;
}

#[tokio::test]
async fn a_missing_folder_is_made_once() {
    let turns = [
        announce("M3"),
        "S: M3 NO [TRYCREATE] no such folder
         C: M4 CREATE \"INBOX\"
         S: M4 OK made
         C: M5 SUBSCRIBE \"INBOX\"
         S: M5 NO cannot
         "
        .into(),
        announce("M6"),
        "S: M6 NO [TRYCREATE] still none".into(),
    ];
    let verdicts = play(&prepared("", &turns.concat()), [1]).await;
    assert!(matches!(&verdicts[0], Verdict::Deferred { reason, .. } if reason.contains("still none")));
}

#[tokio::test]
async fn what_a_lost_answer_leaves_unknown_and_what_not() {
    let turns = [
        announce("M3"),
        "S: + go\n".into(),
        literal(1),
        announce("M4"),
        "S: M3 OK [APPENDUID 7 40] done\nS: + go\n".into(),
        literal(2),
        announce("M5"),
        "close".into(),
    ];
    let verdicts = play(&prepared("UIDPLUS", &turns.concat()), [1, 2, 3, 4]).await;
    assert_eq!(verdicts[0], uid(40));
    assert!(matches!(verdicts[1], Verdict::Unknown { .. }), "sent, and not answered: {verdicts:?}");
    for n in [2, 3] {
        assert!(matches!(verdicts[n], Verdict::Unreachable { .. }), "never sent: {verdicts:?}");
    }
}

#[tokio::test]
async fn a_goodbye_leaves_the_rest_of_the_window_unknown() {
    let window = [append("M3", 1), append("M4", 2)].concat()
        + "S: M3 OK [APPENDUID 7 40] done
           S: * BYE Session expired, please login again
           close";
    let verdicts = play(&prepared("LITERAL+ UIDPLUS", &window), [1, 2]).await;
    assert_eq!(verdicts[0], uid(40));
    assert!(matches!(&verdicts[1], Verdict::Unknown { reason } if reason.contains("Session expired")));
}

#[tokio::test]
async fn a_second_answer_changes_nothing() {
    for second in ["S: M3 NO after all", "S: M9 OK for nothing"] {
        let window =
            [append("M3", 1), append("M4", 2)].concat() + "S: M3 OK [APPENDUID 7 40] done\n" + second;
        let verdicts = play(&prepared("LITERAL+ UIDPLUS", &window), [1, 2]).await;
        assert_eq!(verdicts[0], uid(40));
        assert!(matches!(verdicts[1], Verdict::Unknown { .. }), "{second}: {verdicts:?}");
    }
}

#[tokio::test]
async fn a_batch_without_an_answer_is_unknown_as_a_whole() {
    let batch = format!(
        "C: M3 APPEND \"INBOX\" {FOR} {{43+}}
         C: Date: Tue, 6 Jan 2015 10:00:00 +0000
         C:
         C: 1
         C:  {FOR} {{43+}}
         {}
         close",
        literal(2),
    );
    let verdicts = play(&prepared("MULTIAPPEND LITERAL+", &batch), [1, 2]).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Unknown { .. })), "{verdicts:?}");
}

#[tokio::test]
async fn a_throttled_server_gets_the_time_it_asks_for() {
    let turn = append("M3", 1) + "S: M3 NO Request is throttled. Suggested Backoff Time: 4000 milliseconds";
    let verdicts = play(&prepared("LITERAL+", &turn), [1]).await;
    let Verdict::Unreachable { retry_after, .. } = verdicts[0] else { panic!("{verdicts:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(4)));
}

#[tokio::test]
async fn what_is_over_the_announced_limit_is_not_offered() {
    let turn = append("M3", 2) + "S: M3 OK done";
    let peer = Peer::play(&prepared("LITERAL+ APPENDLIMIT=50", &turn)).await;
    let imap = folders_at(&peer);
    let mut batch =
        messages(&["Subject: of more than fifty octets\r\n\r\n0123456789\r\n0123456789\r\n"]).await;
    batch.extend(mails([2]).await);
    let verdicts = deliver(&imap, &route("INBOX"), &batch).await;
    drop(imap);
    peer.finish().await;
    assert!(
        matches!(&verdicts[0], Verdict::Rejected { reason, .. } if reason.contains("50")),
        "{verdicts:?}"
    );
    assert!(matches!(verdicts[1], Verdict::Delivered { .. }), "{verdicts:?}");
}

#[tokio::test]
async fn a_rested_session_is_tried_before_it_is_trusted() {
    let first =
        prepared("LITERAL+", &(append("M3", 1) + "S: M3 OK done\nC: M4 NOOP\nS: M4 BAD gone\nnext\n"));
    let second = prepared("LITERAL+", &(append("M3", 2) + "S: M3 OK done"));
    let peer = Peer::play(&(first + &second)).await;
    let imap = folders_at(&peer);
    deliver(&imap, &route("INBOX"), &mails([1]).await).await;
    // Time itself is tried here: a session counts as fresh for 5 s.
    tokio::time::sleep(Duration::from_millis(5100)).await;
    let verdicts = deliver(&imap, &route("INBOX"), &mails([2]).await).await;
    drop(imap);
    peer.finish().await;
    assert!(matches!(verdicts[0], Verdict::Delivered { .. }), "{verdicts:?}");
}

/// A look-up of one message of 43 octets, marked at UIDNEXT 40.
async fn look_up(capabilities: &str, rest: &str) -> Found {
    let dialog = prepared(capabilities, rest);
    let peer = Peer::play(&dialog).await;
    let imap = folders_at(&peer);
    let bytes = "Message-ID: <a@x>\r\n\r\n1\r\n";
    let marked: Vec<Mark> = marks(&imap, &route("INBOX"), &messages(&[bytes]).await).await;
    let found = imap.look_up(None, &marked, &[]).await.remove(0);
    drop(imap);
    peer.finish().await;
    found
}

const EXAMINE: &str = "C: M3 EXAMINE \"INBOX\"
                       S: * 9 EXISTS
                       S: * OK [UIDVALIDITY 7] valid
                       S: M3 OK [READ-ONLY] done
                       C: M4 UID FETCH 40:* (UID RFC822.SIZE)\n";

#[tokio::test]
async fn the_last_message_below_the_mark_is_not_ours() {
    let rest =
        format!("{EXAMINE}S: * 9 FETCH (UID 39 RFC822.SIZE 24)\nS: M4 OK done\nC: M5 CLOSE\nS: M5 OK done");
    assert_eq!(look_up("", &rest).await, Found::Absent);
}

/// A message with our Message-ID and other bytes, 25 of them, of which the server says that they are `size`.
fn namesake_of(size: u32) -> String {
    format!(
        "{EXAMINE}S: * 9 FETCH (UID 41 RFC822.SIZE {size})
         S: M4 OK done
         C: M5 UID FETCH 41 (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])
         S: * 9 FETCH (UID 41 BODY[HEADER.FIELDS (MESSAGE-ID)] {{21}}
         S~ Message-ID: <a@x>\\r\\n\\r\\n
         S: )
         S: M5 OK done
         C: M6 UID FETCH 41 (UID BODY.PEEK[]<0.262144>)
         S: * 9 FETCH (UID 41 BODY[]<0> {{25}}
         S~ X: y\\r\\nMessage-ID: <a@x>\\r\\n
         S: )
         S: M6 OK done
         C: M7 CLOSE
         S: M7 OK done"
    )
}

#[tokio::test]
async fn sizes_that_are_not_octets_are_made_up_for_by_the_message_id() {
    let found = look_up("", &namesake_of(900)).await;
    let receipt = Receipt::Uid { uid_validity: 7, uid: 41 };
    assert_eq!(found, Found::Changed { receipt, candidates: 1 });
}

/// It may have come another way: what tells the octets of a message has not changed them.
#[tokio::test]
async fn a_message_id_proves_nothing_where_sizes_are_right() {
    let found = look_up("", &namesake_of(25)).await;
    assert!(matches!(&found, Found::CannotSay { reason } if reason.contains("may be this one")), "{found:?}");
}

/// With a new UIDVALIDITY the whole folder is looked through, and an older message may bear it.
#[tokio::test]
async fn a_message_id_proves_nothing_in_a_whole_folder() {
    let rest = "C: M3 EXAMINE \"INBOX\"
         S: * 9 EXISTS
         S: * OK [UIDVALIDITY 8] valid
         S: M3 OK [READ-ONLY] done
         C: M4 UID FETCH 1:* (UID RFC822.SIZE)
         S: * 9 FETCH (UID 9 RFC822.SIZE 900)
         S: M4 OK done
         C: M5 UID FETCH 9 (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])
         S: * 9 FETCH (UID 9 BODY[HEADER.FIELDS (MESSAGE-ID)] {21}
         S~ Message-ID: <a@x>\\r\\n\\r\\n
         S: )
         S: M5 OK done
         C: M6 UID FETCH 9 (UID BODY.PEEK[]<0.262144>)
         S: * 9 FETCH (UID 9 BODY[]<0> {25}
         S~ X: y\\r\\nMessage-ID: <a@x>\\r\\n
         S: )
         S: M6 OK done
         C: M7 CLOSE
         S: M7 OK done";
    assert_eq!(look_up("", rest).await, Found::Absent);
}

#[tokio::test]
async fn a_folder_that_may_not_be_opened_has_not_said_no() {
    let rest = "C: M3 EXAMINE \"INBOX\"
                S: M3 NO [SERVERBUG] later
                C: M4 LIST \"\" \"INBOX\"
                S: * LIST () \"/\" INBOX
                S: M4 OK done";
    let found = look_up("", rest).await;
    assert!(matches!(&found, Found::CannotSay { reason } if reason.contains("later")), "{found:?}");
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_look_up_has_not_said_no() {
    for fault in ["S: M4 NO cannot", "S: * BYE later\nclose", "close"] {
        let found = look_up("", &format!("{EXAMINE}{fault}")).await;
        assert!(matches!(found, Found::CannotSay { .. }), "{fault}: {found:?}");
    }
}

#[tokio::test]
async fn unsent_is_not_unknown_when_nobody_listens() {
    let peer = Peer::play("S: * BYE too many connections\nclose").await;
    let imap = folders_at(&peer);
    let message = message("A: b\r\n\r\n").await;
    let sent: [Outgoing; 1] = [outgoing(&message, Mark::default())];
    let verdicts = imap.deliver(&route("INBOX"), &sent).await;
    peer.finish().await;
    let Verdict::Unreachable { reason, .. } = &verdicts[0] else { panic!("{verdicts:?}") };
    assert!(reason.contains("too many connections"), "{reason}");
}

//! On a real Dovecot.

use std::time::{Duration, SystemTime};

use mailferry::message::{Found, Receipt, Verdict};
use mailferry::net::Tls;

use super::{
    all_delivered, deliver, folders_of, folders_with, marks, message, messages, outgoing, route, sought,
};
use crate::dovecot::Dovecot;

fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().fold(Vec::new(), |mut text, &byte| {
        if byte == b'\n' && text.last() != Some(&b'\r') {
            text.push(b'\r');
        }
        text.push(byte);
        text
    })
}

/// Mail of many kinds: long lines, 8-bit bytes, bare LF, dots, no header at all.
fn mail(number: usize) -> Vec<u8> {
    let head = format!("Message-ID: <{number}@test>\r\nSubject: {number}\r\n\r\n");
    let body: &[u8] = match number % 6 {
        0 => b"plain\r\n",
        1 => b"bare LF\nand another\n\r\n",
        2 => b"8-bit \xE9\xFF\xC3\x28\r\n",
        3 => b".\r\n..\r\n.dot\r\n",
        4 => return format!("no header {number} \r\n").into_bytes(),
        _ => return [head.as_bytes(), &b"long ".repeat(20_000), b"\r\n"].concat(),
    };
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn two_hundred_messages_arrive_byte_for_byte_in_order() {
    let dovecot = Dovecot::start();
    let mut all: Vec<Vec<u8>> = (0..200).map(mail).collect();
    // Larger than memory allows, amid the small ones, and with a bare LF in the middle of a chunk.
    all.insert(70, [b"Subject: large\r\n\r\n".as_slice(), &b"0123456789abc\r\nx\n".repeat(200_000)].concat());
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let mut uids = Vec::new();
    for batch in messages(&all).await.chunks(64) {
        for verdict in deliver(&imap, &route("INBOX"), batch).await {
            let Verdict::Delivered { receipt: Receipt::Uid { uid, .. } } = verdict else {
                panic!("{verdict:?}")
            };
            uids.push(uid);
        }
    }
    let stored = dovecot.stored("ann", "INBOX");
    assert_eq!(uids, stored.iter().map(|stored| stored.uid).collect::<Vec<u32>>());
    assert_eq!(stored.len(), all.len());
    for (number, (stored, sent)) in stored.iter().zip(&all).enumerate() {
        assert!(stored.bytes == with_crlf(sent), "message {number} differs");
        assert_eq!(stored.flags, "", "message {number} must be unread");
    }
}

#[tokio::test]
async fn every_way_to_connect_is_verified_and_works() {
    let dovecot = Dovecot::start();
    for (port, tls) in [(dovecot.imaps, Tls::Implicit), (dovecot.imap, Tls::StartTls)] {
        let imap = folders_of("ann", port, tls, Some(dovecot.ca_file.clone()));
        let told = imap.probe([]).await.unwrap();
        assert!(told.contains("mailferry test CA") && told.contains("MULTIAPPEND"), "{told}");
        assert!(all_delivered(
            &deliver(&imap, &route("INBOX"), &messages(&["A: b\r\n\r\nc\r\n"]).await).await
        ));

        // Without its authority it is a stranger, and gets no password.
        let strange = folders_of("ann", port, tls, None).probe([]).await.unwrap_err();
        assert!(strange.contains("unknown issuer"), "{strange}");
    }
    assert_eq!(dovecot.count("ann", "INBOX"), 2);
}

#[tokio::test]
async fn a_wrong_password_says_what_to_check() {
    let dovecot = Dovecot::start();
    let wrong = folders_with("wrong-and-confidential", "ann", dovecot.imap, Tls::None, None);
    let reason = wrong.probe([]).await.unwrap_err();
    assert!(reason.contains("check `user` and `password`"), "{reason}");
    assert!(!reason.contains("confidential"), "{reason}");
    let verdict = wrong.prepare(&route("INBOX"), &[&message("A: b\r\n").await]).await.unwrap_err();
    assert!(matches!(verdict, Verdict::Unreachable { .. }), "{verdict:?}");
}

#[tokio::test]
async fn folders_of_any_name_are_made_and_subscribed() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    for folder in ["Ünï/日本&", "a\"b\\c", "Trailing space ", "Deep/er/est"] {
        assert!(all_delivered(&deliver(&imap, &route(folder), &messages(&["A: b\r\n\r\n"]).await).await));
        assert_eq!(dovecot.count("ann", folder), 1, "{folder}");
        assert!(dovecot.subscribed("ann").contains(&folder.into()), "{:?}", dovecot.subscribed("ann"));
    }
    assert!(all_delivered(&deliver(&imap, &route("inbox"), &messages(&["A: b\r\n\r\n"]).await).await));
    assert_eq!(dovecot.count("ann", "INBOX"), 1);

    let verdict = imap.prepare(&route("a\r\nb"), &[&message("A: b\r\n").await]).await.unwrap_err();
    assert!(matches!(&verdict, Verdict::Deferred { reason, .. } if reason.contains("control character")));
}

#[tokio::test]
async fn a_server_with_prefix_and_dots_is_understood() {
    let dovecot = Dovecot::start_with("namespace inbox {\n separator = .\n prefix = INBOX.\n}\n");
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    for folder in ["Work/Old", "INBOX/Same"] {
        assert!(all_delivered(&deliver(&imap, &route(folder), &messages(&["A: b\r\n\r\n"]).await).await));
    }
    assert_eq!((dovecot.count("ann", "Work/Old"), dovecot.count("ann", "Same")), (1, 1));
}

#[tokio::test]
async fn a_folder_that_goes_away_is_made_again() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let batch = messages(&["A: 1\r\n\r\n", "A: 2\r\n\r\n"]).await;
    let marked = marks(&imap, &route("Work"), &batch).await;
    std::fs::remove_dir_all(dovecot.maildir("ann", "Work")).unwrap();
    let both: Vec<_> = batch.iter().zip(marked).map(|(message, mark)| outgoing(message, mark)).collect();
    let verdicts = imap.deliver(&route("Work"), &both).await;
    assert!(all_delivered(&verdicts), "{verdicts:?}");
    assert_eq!(dovecot.count("ann", "Work"), 2);
}

#[tokio::test]
async fn read_marks_and_dates_are_set() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let mails = [
        // The topmost Received counts, not the others, not Date.
        "Received: x; Mon, 5 Jan 2015 10:00:00 +0100\r\nReceived: x; Sun, 4 Jan 2015 10:00:00 +0000\r\n\r\n",
        "Received: x; Mon, 5 Jan 1970 10:00:00 +0100\r\nDate: Tue, 6 Jan 2015 10:00:00 +0000\r\n\r\n",
        "Received: x; Mon, 5 Jan 2099 10:00:00 +0100\r\nDate: garbage\r\n\r\n",
    ];
    let route = mailferry::message::Route { mark_read: true, ..route("INBOX") };
    assert!(all_delivered(&deliver(&imap, &route, &messages(&mails).await).await));
    let stored = dovecot.stored("ann", "INBOX");
    assert!(stored.iter().all(|stored| stored.flags == "S"), "{stored:?}");
    let seconds =
        |n: usize| stored[n].internal_date.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!((seconds(0), seconds(1)), (1_420_448_400, 1_420_538_400));
    assert!(stored[2].internal_date.elapsed().unwrap() < Duration::from_secs(60), "{stored:?}");
}

#[tokio::test]
async fn a_full_mailbox_lets_the_destination_rest() {
    let dovecot = Dovecot::start_with(
        "mail_plugins = quota\nplugin {\n quota = maildir:User\n quota_grace = 0\n quota_rule = *:storage=4K\n}\n",
    );
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let large = format!("A: b\r\n\r\n{}\r\n", "x".repeat(8000));
    let verdicts = deliver(&imap, &route("INBOX"), &messages(&["A: fits\r\n\r\n", &large]).await).await;
    assert!(matches!(verdicts[0], Verdict::Delivered { .. }), "{verdicts:?}");
    let Verdict::Unreachable { reason, .. } = &verdicts[1] else { panic!("{verdicts:?}") };
    assert!(reason.starts_with("mailbox full"), "{reason}");
    assert_eq!(dovecot.count("ann", "INBOX"), 1);
}

#[tokio::test]
async fn only_the_culprit_of_a_batch_is_parked() {
    let dovecot = Dovecot::start_with(
        "mail_plugins = quota\nplugin {\n quota = maildir:User\n quota_max_mail_size = 20K\n}\n",
    );
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let large = format!("A: b\r\n\r\n{}\r\n", "x".repeat(30_000));
    let huge = format!("A: b\r\n\r\n{}\r\n", "x".repeat(2_000_000));
    let batch = messages(&["A: 1\r\n\r\n", "", &large, &huge, "A: 2\r\n\r\n"]).await;
    let verdicts = deliver(&imap, &route("INBOX"), &batch).await;
    for n in [1, 2, 3] {
        assert!(matches!(verdicts[n], Verdict::Rejected { park_after: 1, .. }), "{n}: {verdicts:?}");
    }
    assert!(all_delivered(&[verdicts[0].clone(), verdicts[4].clone()]), "{verdicts:?}");
    assert_eq!(dovecot.list("ann", "INBOX"), [b"A: 1\r\n\r\n", b"A: 2\r\n\r\n"]);
}

#[tokio::test]
async fn a_look_up_finds_what_is_there_and_nothing_else() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let twin = "Message-ID: <t@x>\r\n\r\nsame\r\n";
    let nul = "Message-ID: <n@x>\r\n\r\na\0b\r\n";
    let large = format!("A: b\r\n\r\n{}\r\n", "0123456789\r\n".repeat(90_000));
    // Stored before it was marked: whatever it says, it is not ours.
    deliver(&imap, &route("INBOX"), &messages(&[twin]).await).await;
    let mails = messages(&[twin, twin, nul, &large, "A: never sent\r\n\r\n"]).await;
    let marked = marks(&imap, &route("INBOX"), &mails).await;
    let sent: Vec<_> = [0, 2, 3].map(|n| outgoing(&mails[n], marked[n].clone())).into();
    assert!(all_delivered(&imap.deliver(&route("INBOX"), &sent).await));

    let found = imap.look_up(None, &marked, &[]).await;
    let uid = |uid: u32| {
        let Found::Found { receipt: Receipt::Uid { uid: found, .. } } = &found[uid as usize - 2] else {
            return false;
        };
        *found == uid
    };
    assert!(uid(2), "{found:?}");
    assert_eq!(found[1], Found::Absent, "one copy answers for one delivery: {found:?}");
    assert!(matches!(found[2], Found::Found { .. }), "Dovecot stores NUL as 0x80: {found:?}");
    assert!(matches!(found[3], Found::Found { .. }), "{found:?}");
    assert_eq!(found[4], Found::Absent);

    // A receipt of another delivery is taken.
    assert_eq!(imap.look_up(None, &marked[..1], &[(marked[0].uid_validity, 2)]).await, [Found::Absent]);
    assert_eq!(dovecot.count("ann", "INBOX"), 4, "to look is not to touch");
}

#[tokio::test]
async fn a_new_uidvalidity_is_searched_from_the_start_by_bytes() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let mails =
        messages(&["Message-ID: <1@x>\r\n\r\none\r\n", "Message-ID: <1@x>\r\n\r\nother text\r\n"]).await;
    let mut marked = marks(&imap, &route("INBOX"), &mails).await;
    assert!(all_delivered(&deliver(&imap, &route("INBOX"), &mails[..1]).await));
    for mark in &mut marked {
        mark.uid_validity += 1;
        mark.uid_next = 5000;
    }
    let found = imap.look_up(None, &marked, &[]).await;
    assert!(matches!(found[0], Found::Found { .. }), "{found:?}");
    assert_eq!(found[1], Found::Absent, "the same Message-ID on other bytes is another message");
}

#[tokio::test]
async fn a_folder_that_is_not_there_holds_nothing() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let mails = messages(&["A: b\r\n\r\n"]).await;
    let mut marked = marks(&imap, &route("INBOX"), &mails).await;
    marked[0].folder = "Nowhere".into();
    assert_eq!(imap.look_up(None, &marked, &[]).await, [Found::Absent]);
    assert_eq!(imap.look_for_past(&sought(&marked), &[]).await, [Found::Absent]);

    let elsewhere = folders_of("ann", dovecot.pop3, Tls::None, None);
    let found = elsewhere.look_up(None, &marked, &[]).await;
    assert!(
        matches!(found[..], [Found::Unreachable { .. }]),
        "who cannot be asked has not said no: {found:?}"
    );
}

#[tokio::test]
async fn sessions_are_reused_and_end_when_told() {
    let dovecot = Dovecot::start();
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    for _ in 0..3 {
        deliver(&imap, &route("INBOX"), &messages(&["A: b\r\n\r\n"]).await).await;
    }
    imap.close_idle().await;
    let logins = dovecot.log().matches("Login: user=<ann>").count();
    assert_eq!(logins, 1, "{}", dovecot.log());
}

#[tokio::test]
async fn a_server_that_allows_one_session_gets_one() {
    let dovecot = Dovecot::start_with("mail_max_userip_connections = 1\n");
    let imap = folders_of("ann", dovecot.imap, Tls::None, None);
    let batch = messages(&["A: b\r\n\r\n"]).await;
    let inbox = route("INBOX");
    let all = futures_util::future::join_all((0..8).map(|_| deliver(&imap, &inbox, &batch))).await;
    assert!(all_delivered(&all.concat()), "{all:?}");
    assert_eq!(dovecot.count("ann", "INBOX"), 8);
}

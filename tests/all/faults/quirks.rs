//! The ways of servers that were seen in the wild. Most are dialogs, tests/dialogs/quirks; here are those that need a real
//! Dovecot with its knobs turned, many messages, or a minute.

mod providers;
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use chrono::TimeDelta;
use mailferry::message::Quirks;

use crate::cable::{Fault, Way};
use crate::dialogs::play_folder;
use crate::dovecot::{Dovecot, PASSWORD, with_crlf};
use crate::ferry::{Ferry, account, imap_destination, message, webhook_destination};
use crate::peer::Peer;
use crate::receiver::Receiver;
use crate::servers::pop3::Pop3;
use crate::world::{Plan, World, alone};

#[tokio::test]
async fn dialogs() {
    play_folder("quirks", false).await;
}

const TO_HOME: &str = "deliver = [{ to = \"home\" }]";
const AND_DELETE: &str = "leave_copy = false\ndeliver = [{ to = \"home\" }]";

/// Q03: Dovecot shows one UIDL for many messages where its format says so, and renames them where that is forbidden.
#[tokio::test]
async fn many_messages_under_one_uidl_are_told_apart() {
    let home = Dovecot::start();
    let messages: Vec<Vec<u8>> = (0..40).map(message).collect();
    let source = |format: &str| {
        let server = Dovecot::start_with(format);
        server.put("old", &messages);
        server
    };
    let same = source("pop3_uidl_format = %v\n");
    let config =
        |source: &Dovecot, rest| imap_destination("home", &home, "me") + &account("old", source, "old", rest);
    let ferry = Ferry::new(&config(&same, TO_HOME));
    for _ in 0..2 {
        ferry.run(&["fetch"]).await.expect_code(0);
        assert_eq!(home.count("me", "INBOX"), 40);
    }
    drop(same);
    let renamed = source("pop3_uidl_format = %v\npop3_uidl_duplicates = rename\n");
    ferry.configure(&config(&renamed, TO_HOME));
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("0 new, 0 delivered"), "known by their content: {ran:?}");
    drop(renamed);

    let same = source("pop3_uidl_format = %v\n");
    let ferry = Ferry::new(&config(&same, AND_DELETE).replace("\"me\"", "\"you\""));
    ferry.run(&["fetch"]).await.expect_code(0);
    let mut arrived = home.list("you", "INBOX");
    let mut sent = messages.clone();
    arrived.sort();
    sent.sort();
    assert_eq!((arrived == sent, same.count("old", "INBOX")), (true, 0));
}

/// Q31: deletions take effect in portions, so that a session that breaks late does not lose them all.
#[test]
fn a_large_mailbox_is_emptied_in_portions() {
    let (logins, left, came) = alone(async || {
        let plan = Plan { home: None, app: true, account: "leave_copy = false" };
        let mut world = World::new(plan).await;
        for n in 0..1200 {
            world.put(&format!("u{n}"), &message(n));
        }
        world.poll().await.unwrap();
        world.evidence().expect_all_delivered(true).await.unwrap();
        let mailbox = world.pop3.mailbox();
        (mailbox.logins, mailbox.messages.len(), world.receiver.arrivals().len())
    });
    assert_eq!((left, came), (0, 1200));
    assert!((3..=4).contains(&logins), "{logins} sessions for 1200 messages");
}

const TO_APP: Plan = Plan { home: None, app: true, account: "leave_copy = true" };

#[test]
fn a_provider_that_wants_time_between_logins_gets_it() {
    alone(async || {
        let mut world = World::new(TO_APP).await;
        world.quirks = Quirks { login_delay: Some(Duration::from_secs(15 * 60)), ..Quirks::default() };
        world.put("u1", &message(1));
        let wait = async |world: &World| {
            let next = world.count("SELECT next_poll_at FROM accounts").await;
            next - crate::world::now().timestamp()
        };
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.delivered, summary.login_delay), (1, Some(Duration::from_secs(15 * 60))));
        assert!(wait(&world).await >= 15 * 60, "every = \"5m\" is too often");

        // It does not say that a login came too soon.
        world.pop3.mailbox().ways.refuses = Some(("PASS", "-ERR invalid user or password"));
        let (_, text) = world.fetch().await.unwrap().error.unwrap();
        assert!(text.ends_with("; or the last login was less than 15 minutes ago"), "{text}");
        assert!(wait(&world).await >= 15 * 60);
        world.pop3.mailbox().ways.refuses = None;
        world.to_pop3.arm(Some(Fault::Cut { way: Way::Down, after: 72 }));
        let summary = world.fetch().await.unwrap();
        assert!(summary.error.is_some());
        assert!(wait(&world).await >= 15 * 60, "who knows whether that was a login: {summary:?}");
    });
}

#[test]
fn a_login_that_may_have_come_too_soon_is_no_wrong_password() {
    alone(async || {
        let mut world = World::new(TO_APP).await;
        world.quirks = Quirks { login_delay: Some(Duration::from_secs(15 * 60)), ..Quirks::default() };
        let refusals = async |world: &World| world.count("SELECT refused_logins FROM accounts").await;
        world.pop3.mailbox().ways.refuses = Some(("PASS", "-ERR invalid user or password"));
        world.poll().await.unwrap();
        assert_eq!(refusals(&world).await, 0, "whoever configured it has just logged in");
        world.later(TimeDelta::minutes(14));
        world.fetch().await.unwrap();
        assert_eq!(refusals(&world).await, 0);
        world.later(TimeDelta::minutes(15));
        world.fetch().await.unwrap();
        assert_eq!(refusals(&world).await, 1);
    });
}

#[test]
fn a_message_over_max_size_is_counted_and_makes_nobody_log_in_too_soon() {
    alone(async || {
        for login_delay in [None, Some(Duration::from_secs(15 * 60))] {
            let account = "max_size = 1024\nleave_copy = true";
            let mut world = World::new(Plan { account, ..TO_APP }).await;
            world.quirks = Quirks { login_delay, ..Quirks::default() };
            world.put("u1", &message(1));
            world.put("u2", &[message(2), vec![b'x'; 2000]].concat());
            world.put("u3", &message(3));
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.new, summary.parked, summary.error), (3, 1, None));
            let (logins, delivered) = if login_delay.is_some() { (1, 1) } else { (2, 2) };
            assert_eq!((world.pop3.mailbox().logins, summary.delivered), (logins, delivered));
            world.later(TimeDelta::hours(1));
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.delivered, world.app.taken().len()), (2 - delivered, 2));
        }
    });
}

#[test]
fn what_is_not_retrieved_is_counted() {
    alone(async || {
        let mut world = World::new(TO_APP).await;
        world.put("u1", &message(1));
        world.put("u2", &[message(2), vec![b'x'; 2000]].concat());
        // In the middle of the second message.
        world.to_pop3.arm(Some(Fault::Cut { way: Way::Down, after: 1500 }));
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.new, summary.delivered, summary.put_off), (2, 1, 1), "{summary:?}");
    });
}

#[test]
fn a_message_that_is_too_large_to_be_compared_stays_and_voids_no_deletion() {
    alone(async || {
        let mut world = World::new(Plan { account: "leave_copy = \"14d\"", ..TO_APP }).await;
        // Nothing but the whole message says what it is.
        world.pop3.mailbox().ways.capabilities = &["USER", "UIDL"];
        world.put("u1", &message(1));
        world.put("u2", &[message(2), vec![b'x'; 2000]].concat());
        world.poll().await.unwrap();
        world.plan.account = "leave_copy = \"14d\"\nmax_size = 1024";
        world.reload().await.unwrap();
        world.later(TimeDelta::days(15));
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.deleted, summary.error), (1, None));
        world.pop3.at_rest().await;
        let left: Vec<_> = world.pop3.mailbox().messages.iter().map(|kept| kept.uidl.clone()).collect();
        assert_eq!(left, [b"u2"]);
    });
}

/// A session with the POP3 server, logged in and then silent.
fn hold_session(server: &Dovecot, user: &str) -> BufReader<TcpStream> {
    let mut session = BufReader::new(TcpStream::connect(("127.0.0.1", server.pop3)).unwrap());
    write!(session.get_mut(), "USER {user}\r\nPASS {PASSWORD}\r\nSTAT\r\n").unwrap();
    let mut answers = String::new();
    for _ in 0..4 {
        session.read_line(&mut answers).unwrap();
    }
    assert_eq!(answers.matches("+OK").count(), 4, "{answers}");
    session
}

/// Q34: with locks the second session is refused, which is no wrong password.
#[tokio::test]
async fn a_mailbox_that_somebody_else_has_open_is_polled_later() {
    let server = Dovecot::start_with("pop3_lock_session = yes\nmbox_lock_timeout = 2s\n");
    server.put("old", &[message(1)]);
    let ferry =
        Ferry::new(&(imap_destination("home", &server, "me") + &account("old", &server, "old", TO_HOME)));
    let held = hold_session(&server, "old");
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("another session has the mailbox open"), "{ran:?}");
    assert_eq!(server.count("me", "INBOX"), 0);
    drop(held);
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.count("me", "INBOX"), 1);
}

/// Q34: without locks, Dovecot's default, two bridges may empty one mailbox at the same time. Nothing is lost between them.
#[tokio::test]
async fn two_bridges_at_one_mailbox_lose_nothing() {
    let server = Dovecot::start();
    let messages: Vec<Vec<u8>> = (0..300).map(message).collect();
    server.put("old", &messages);
    let config = |user| imap_destination("home", &server, user) + &account("old", &server, "old", AND_DELETE);
    let (one, two) = (Ferry::new(&config("me")), Ferry::new(&config("you")));
    tokio::join!(one.run(&["fetch"]), two.run(&["fetch"]));
    one.run(&["fetch"]).await.expect_code(0);
    two.run(&["fetch"]).await.expect_code(0);
    let (mine, yours) = (server.list("me", "INBOX"), server.list("you", "INBOX"));
    let lost = messages.iter().filter(|message| !mine.contains(message) && !yours.contains(message)).count();
    assert_eq!((lost, server.count("old", "INBOX")), (0, 0));
    for copies in [&mine, &yours] {
        let distinct: BTreeSet<&Vec<u8>> = copies.iter().collect();
        assert_eq!(distinct.len(), copies.len(), "none is there twice");
    }
}

/// Q35: somebody expunges messages while the bridge is busy with those before them.
#[tokio::test]
async fn messages_that_vanish_in_the_middle_of_a_session_hold_up_nobody() {
    let server = Dovecot::start();
    let messages: Vec<Vec<u8>> = (0..300).map(message).collect();
    server.put("old", &messages);
    let receiver = Receiver::holding().await;
    let to_app = "deliver = [{ to = \"app\" }]";
    let ferry = Ferry::new(
        &(webhook_destination("app", &receiver.url, "raw") + &account("old", &server, "old", to_app)),
    );
    let mut vanished = 0;
    let expunge = async {
        receiver.wait_for(1).await;
        // The first batch is under way, and no more than two are retrieved before its end.
        for path in fs::read_dir(server.maildir("old", "INBOX").join("cur")).unwrap() {
            let path = path.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let number = text
                .lines()
                .last()
                .and_then(|line| line.strip_prefix("Number ")?.strip_suffix('.')?.parse().ok());
            if number.is_some_and(|number: usize| number >= 250) {
                fs::remove_file(path).unwrap();
                vanished += 1;
            }
        }
        receiver.let_answer(1000);
    };
    let (ran, ()) = tokio::join!(ferry.run(&["fetch"]), expunge);
    assert_eq!(vanished, 50);
    assert_eq!(receiver.arrivals().len(), 250, "{ran:?}");
    let ran = ferry.run(&["fetch"]).await.expect_code(0);
    assert!(ran.stdout.contains("0 new, 0 delivered"), "what is gone is waited for no longer: {ran:?}");
}

/// Q42: a server may hang up after ten minutes of silence (RFC 1939 section 3), which a slow destination must not bring
/// about.
#[tokio::test]
async fn a_session_that_waits_for_a_slow_destination_is_kept_alive() {
    let receiver = Receiver::holding().await;
    let peer = Peer::play(
        "S: +OK ready
         C: CAPA
         S: -ERR
         C: USER old
         S: +OK
         C: PASS secret
         S: +OK
         C: STAT
         S: +OK 3 90
         C: UIDL
         S~ +OK\\r\\n1 one\\r\\n2 two\\r\\n3 three\\r\\n.\\r\\n
         C: LIST
         S~ +OK\\r\\n1 14\\r\\n2 14\\r\\n3 16\\r\\n.\\r\\n
         C: RETR 1
         S~ +OK\\r\\nSubject: one\\r\\n.\\r\\n
         C: RETR 2
         S~ +OK\\r\\nSubject: two\\r\\n.\\r\\n
         C: RETR 3
         S~ +OK\\r\\nSubject: three\\r\\n.\\r\\n
         C: NOOP
         S: +OK
         C: QUIT
         S: +OK",
    )
    .await;
    let app = webhook_destination("app", &receiver.url, "raw").replace("\n\n", "\nmax_in_flight = 1\n\n");
    let ferry = Ferry::new(&(app + &at_port(peer.port, "deliver = [{ to = \"app\" }]")));
    // It takes its time over each of three messages.
    let answer_late = async {
        for _ in 0..3 {
            receiver.wait_for(1).await;
            tokio::time::sleep(Duration::from_secs(21)).await;
            receiver.let_answer(1);
        }
    };
    let (ran, ()) = tokio::join!(ferry.run(&["fetch"]), answer_late);
    ran.expect_code(0);
    peer.finish().await;
}

/// An account at a server in this process.
fn at_port(port: u16, rest: &str) -> String {
    format!(
        "[account.old]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"old\"\npassword = \"secret\"\n{rest}\n"
    )
}

/// D11: dates as they are written, each with its seconds of Unix time; `None` where it can be none, which then is now.
const DATES: [(&str, Option<u64>); 30] = [
    ("Mon, 5 Jan 2015 10:00:00 +0100", Some(1_420_448_400)),
    ("5 Jan 2015 10:00:00 +0100", Some(1_420_448_400)),
    ("Mon, 05 Jan 2015 09:00:00 GMT", Some(1_420_448_400)),
    ("Mon, 05 Jan 2015 09:00:00 UT", Some(1_420_448_400)),
    ("Mon, 05 Jan 2015 04:00:00 EST", Some(1_420_448_400)),
    ("Mon,  5 Jan 2015 10:00:00 +0100 (CET)", Some(1_420_448_400)),
    ("Mon, 5 Jan 2015 10:00 +0100", Some(1_420_448_400)),
    ("Mon, 5 Jan 2015 09:00:00 -0000", Some(1_420_448_400)),
    ("Mon, 5 Jan 15 10:00:00 +0100", Some(1_420_448_400)),
    ("mon, 5 jan 2015 10:00:00 +0100", Some(1_420_448_400)),
    ("Tue, 6 Jan 2015 08:59:00 +2359", Some(1_420_448_400)),
    ("Sun, 4 Jan 2015 09:01:00 -2359", Some(1_420_448_400)),
    ("Tue, 30 Jun 2015 23:59:60 +0000", Some(1_435_708_799)),
    ("Mon, 1 Jan 1990 00:00:00 +0000", Some(631_152_000)),
    ("Sun, 31 Dec 1989 23:59:59 +0000", None),
    ("Thu, 1 Jan 1970 00:00:00 +0000", None),
    ("Fri, 31 Dec 9999 23:59:59 +0000", None),
    ("5 Jan 99999 10:00:00 +0000", None),
    ("5 Jan -2015 10:00:00 +0000", None),
    ("32 Jan 2015 10:00:00 +0000", None),
    ("29 Feb 2015 10:00:00 +0000", None),
    ("5 Foo 2015 10:00:00 +0000", None),
    ("5 Jan 2015 25:00:00 +0000", None),
    ("5 Jan 2015 10:61:00 +0000", None),
    ("5 Jan 2015 10:00:00 +9999", None),
    ("2015-01-05T10:00:00Z", None),
    ("Mo, 5. Januar 2015 10:00:00", None),
    ("5 Jan 2015 10:00:00 \u{661}\u{662}", None),
    ("", None),
    (";", None),
];

#[tokio::test]
async fn whatever_date_a_message_bears_it_is_stored() {
    let home = Dovecot::start();
    let source = Pop3::start().await;
    for (number, (date, _)) in (1..).zip(DATES) {
        let mail = format!("Received: by here; {date}\r\nSubject: {number}\r\n\r\n");
        source.mailbox().put(format!("u{number}").as_bytes(), mail.as_bytes());
    }
    let config = imap_destination("home", &home, "me") + &at_port(source.port, TO_HOME);
    Ferry::new(&config).run(&["fetch"]).await.expect_code(0);
    let stored = home.stored("me", "INBOX");
    assert_eq!(stored.len(), DATES.len());
    for (stored, (date, seconds)) in stored.iter().zip(DATES) {
        let kept = stored.internal_date.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        match seconds {
            Some(seconds) => assert_eq!(kept, seconds, "{date}"),
            None => {
                assert!(stored.internal_date.elapsed().unwrap() < Duration::from_secs(60), "{date}: {kept}");
            }
        }
    }
}

/// D12: lines that are not as they should be: bare LF becomes CRLF in a folder, and all else stays as it is. Dovecot
/// keeps NUL too, though it shows it as 0x80. A webhook gets every byte.
#[tokio::test]
async fn unusual_lines_arrive_as_the_destination_can_keep_them() {
    let home = Dovecot::start();
    let receiver = Receiver::start().await;
    let source = Pop3::start().await;
    let long = [b"A: b\r\n\r\n".to_vec(), vec![b'x'; 200_000], b"\r\n".to_vec()].concat();
    let mails: [&[u8]; 7] = [
        b"A: crlf\r\n\r\none\r\n",
        b"A: lf\nB: c\n\none\ntwo\r\n",
        b"A: cr\r\n\r\none\rtwo\r\n",
        b"A: nul\r\n\r\na\0b\r\n",
        b"A: \xe9\xff\r\nMessage-ID: <\xe9@x>\r\n\r\n\x80\xff\r\n",
        b"no header at all\r\n",
        &long,
    ];
    for (number, mail) in (1..).zip(mails) {
        source.mailbox().put(format!("u{number}").as_bytes(), mail);
    }
    let config = imap_destination("home", &home, "me")
        + &webhook_destination("app", &receiver.url, "raw")
        + &at_port(source.port, "leave_copy = false\ndeliver = [{ to = \"home\" }, { to = \"app\" }]");
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch"]).await.expect_code(0);
    let kept: Vec<Vec<u8>> = mails.iter().map(|mail| with_crlf(mail)).collect();
    let arrived = home.list("me", "INBOX");
    assert!(
        arrived == kept,
        "{:?}",
        arrived.iter().map(|mail| mail.escape_ascii().to_string()).collect::<Vec<_>>()
    );
    let arrivals = receiver.arrivals();
    for mail in mails {
        assert!(
            arrivals.iter().any(|arrival| arrival.body == mail),
            "{}",
            mail[..20.min(mail.len())].escape_ascii()
        );
    }
    assert_eq!(source.mailbox().messages.len(), 0);
}

/// D09: Dovecot with LITERAL- alone (RFC 7888) takes short literals unasked, and longer ones only if asked.
#[tokio::test]
async fn literal_minus_is_enough_for_messages_of_any_length() {
    let server = Dovecot::start_with("imap_literal_minus = yes\n");
    let mails: Vec<Vec<u8>> = (0..30)
        .map(|n| [message(n), "a line of text\r\n".repeat(n * n * 10).into_bytes()].concat())
        .collect();
    server.put("old", &mails);
    let ferry =
        Ferry::new(&(imap_destination("home", &server, "me") + &account("old", &server, "old", AND_DELETE)));
    ferry.run(&["fetch"]).await.expect_code(0);
    assert!(server.list("me", "INBOX") == mails, "not all, or not in order");
    assert_eq!(server.count("old", "INBOX"), 0);
}

/// D16: a full mailbox parks nothing and deletes nothing, and when there is room again mail goes on by itself.
#[tokio::test]
async fn a_full_mailbox_takes_mail_again_when_there_is_room() {
    let home = Dovecot::start_with(
        "mail_plugins = quota\nplugin {\n quota = maildir:User\n quota_grace = 0\n quota_rule = *:storage=20K\n}\n",
    );
    let source = Dovecot::start();
    let mails: Vec<Vec<u8>> =
        (0..4).map(|n| [message(n), "a line of text\r\n".repeat(500).into_bytes()].concat()).collect();
    source.put("old", &mails);
    let ferry =
        Ferry::new(&(imap_destination("home", &home, "me") + &account("old", &source, "old", AND_DELETE)));
    let ran = ferry.run(&["fetch"]).await.expect_code(75);
    assert!(ran.stdout.contains("mailbox full"), "{ran:?}");
    assert_eq!((home.count("me", "INBOX"), source.count("old", "INBOX")), (2, 2));
    assert_eq!(ferry.json(&["parked", "--json"]).await["parked"], serde_json::json!([]));
    // Its owner tidies up.
    for part in ["cur", "new"] {
        for path in fs::read_dir(home.maildir("me", "INBOX").join(part)).unwrap() {
            fs::remove_file(path.unwrap().path()).unwrap();
        }
    }
    fs::remove_file(home.maildir("me", "INBOX").join("maildirsize")).unwrap();
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!((home.list("me", "INBOX"), source.count("old", "INBOX")), (mails[2..].to_vec(), 0));
}

//! Gmail by IMAP: labels, no inbox, one copy of each Message-ID, and no more in a day than its budget.

use chrono::TimeDelta;

use crate::cable::{Fault, Way};
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, message};
use crate::servers::imap::{Imap, Mail};
use crate::world::{Link, PASSWORD, Plan, World, alone, each_in_a_world};

const ALL_MAIL: &str = "[Gmail]/Alle Nachrichten";
const LABELS: [&str; 2] = ["Old address", "&AN8- & co/B\u{fc}ro"];
/// As they stand on the wire.
const ENCODED: [&str; 2] = ["Old address", "&-AN8- &- co/B&APw-ro"];
const LABELLED: &str = "labels = [\"Old address\", \"&AN8- & co/B\u{fc}ro\"]";

fn gmail_destination(gmail: &Imap, more: &str) -> String {
    format!(
        "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = \"me\"\n\
         password = \"{PASSWORD}\"\n{more}\n",
        gmail.port
    )
}

fn mails() -> Vec<Vec<u8>> {
    (0..5).map(message).collect()
}

/// All that is in the folder has all labels.
fn is_labelled(mail: &mut Mail, folder: &str) -> bool {
    let held: Vec<Vec<u8>> = mail.folder(folder).all().map(<[u8]>::to_vec).collect();
    held.iter().all(|message| {
        mail.labels.get(message).is_some_and(|labels| ENCODED.iter().all(|label| labels.contains(*label)))
    })
}

#[tokio::test]
async fn mail_is_labelled_and_gmail_is_told_who_brings_it() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    server.put("old", &mails());
    let route = format!("deliver = [{{ to = \"home\", {LABELLED} }}]");
    let ferry = Ferry::new(&(gmail_destination(&gmail, "") + &account("old", &server, "old", &route)));
    ferry.run(&["check"]).await.expect_code(0);
    ferry.run(&["fetch"]).await.expect_code(0);
    let mut mail = gmail.mail();
    assert_eq!(mail.folder("INBOX").messages.len(), 5);
    assert!(is_labelled(&mut mail, "INBOX"), "{:?}", mail.labels);
    assert!(ENCODED.iter().all(|label| mail.folders.contains_key(*label)), "{LABELS:?} were made");
    let version = env!("CARGO_PKG_VERSION");
    let introduced = format!("(\"name\" \"mailferry\" \"version\" \"{version}\")");
    assert!(mail.introduced.contains(&introduced), "{:?}", mail.introduced);
}

#[tokio::test]
async fn what_skips_the_inbox_is_in_the_folder_for_all_mail_whatever_that_is_called() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    server.put("old", &mails());
    let route = format!("deliver = [{{ to = \"home\", skip_inbox = true, {LABELLED} }}]");
    let ferry = Ferry::new(&(gmail_destination(&gmail, "") + &account("old", &server, "old", &route)));
    ferry.run(&["fetch"]).await.expect_code(0);
    let mut mail = gmail.mail();
    assert_eq!(["INBOX", ALL_MAIL].map(|folder| mail.folder(folder).messages.len()), [0, 5]);
    assert!(is_labelled(&mut mail, ALL_MAIL), "{:?}", mail.labels);
}

#[tokio::test]
async fn elsewhere_it_is_in_the_folder_for_the_archive() {
    for (special_use, folder) in [
        (
            "namespace inbox {\n  mailbox Ablage {\n    special_use = \\Archive\n    auto = create\n  }\n}\n",
            "Ablage",
        ),
        ("", "Archive"),
    ] {
        let server = Dovecot::start_with(special_use);
        server.put("old", &mails());
        let config = crate::ferry::imap_destination("home", &server, "me")
            + &account("old", &server, "old", "deliver = [{ to = \"home\", skip_inbox = true }]");
        Ferry::new(&config).run(&["fetch"]).await.expect_code(0);
        assert_eq!(["INBOX", folder].map(|folder| server.count("me", folder)), [0, 5], "{folder}");
    }
}

#[tokio::test]
async fn a_server_without_labels_is_named_before_any_mail_moves() {
    let server = Dovecot::start();
    server.put("old", &mails());
    let route = format!("deliver = [{{ to = \"home\", {LABELLED} }}]");
    let config =
        crate::ferry::imap_destination("home", &server, "me") + &account("old", &server, "old", &route);
    let ferry = Ferry::new(&config);
    for command in ["check", "fetch"] {
        let ran = ferry.run(&[command]).await.expect_code(75);
        let told = ran.stdout + &ran.stderr;
        assert!(told.contains("the server knows no labels, which are Gmail's (X-GM-EXT-1)"), "{told}");
    }
    assert_eq!(server.count("me", "INBOX"), 0);
    assert_eq!(server.count("old", "INBOX"), 5);
}

/// The second copy of a message, from a list say, is put together with the first, and that has the labels of both.
#[tokio::test]
async fn what_gmail_puts_together_is_delivered_and_has_the_labels_of_both() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    let one = [b"Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n".as_slice(), &message(1)].concat();
    let other = [b"X-List: yes\r\n".as_slice(), &one].concat();
    server.put("one", &[one.clone(), message(2)]);
    server.put("other", &[other, message(3)]);
    let route =
        |label: &str| format!("leave_copy = false\ndeliver = [{{ to = \"home\", labels = [\"{label}\"] }}]");
    let config = gmail_destination(&gmail, "")
        + &account("one", &server, "one", &route("One"))
        + &account("other", &server, "other", &route("Other"));
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch", "one"]).await.expect_code(0);
    ferry.run(&["fetch", "other"]).await.expect_code(0);
    let mut mail = gmail.mail();
    let held: Vec<Vec<u8>> = mail.folder("INBOX").all().map(<[u8]>::to_vec).collect();
    assert_eq!(held, [one.clone(), message(2), message(3)]);
    let labels: Vec<&String> = mail.labels[&one].iter().collect();
    assert_eq!(labels, ["One", "Other"]);
    assert_eq!(["one", "other"].map(|user| server.count(user, "INBOX")), [0, 0]);
}

/// Some programs give all their messages one Message-ID.
#[tokio::test]
async fn a_different_message_that_gmail_would_swallow_stays_at_its_source() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    let report = |day: u32| {
        format!(
            "Date: {day} Nov 2026 10:00:00 +0000\r\nFrom: scan@example.com\r\nSubject: Scan\r\n\
             Message-ID: <scanner@localhost>\r\n\r\nPage of day {day}\r\n"
        )
    };
    server.put("old", &[report(1).into_bytes(), report(2).into_bytes()]);
    let route = format!("leave_copy = false\ndeliver = [{{ to = \"home\", {LABELLED} }}]");
    let ferry = Ferry::new(&(gmail_destination(&gmail, "") + &account("old", &server, "old", &route)));
    ferry.run(&["fetch"]).await.expect_code(0);
    let parked = ferry.json(&["parked", "--json"]).await;
    let reason = parked["parked"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("Gmail has another message with this Message-ID"), "{parked}");
    assert_eq!(server.list("old", "INBOX"), [report(2).into_bytes()]);
}

/// Without a Date nothing but their bytes tells them apart.
#[tokio::test]
async fn nor_is_one_swallowed_that_has_no_date() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    let scan = |page: u32| {
        format!("From: scan@example.com\r\nMessage-ID: <scanner@localhost>\r\n\r\nPage {page}\r\n")
            .into_bytes()
    };
    server.put("old", &[scan(1), scan(2), scan(1)]);
    let route = "leave_copy = false\ndeliver = [{ to = \"home\" }]";
    let ferry = Ferry::new(&(gmail_destination(&gmail, "") + &account("old", &server, "old", route)));
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(server.list("old", "INBOX"), [scan(2)]);
}

/// What cannot stand in a search, and what is too long for a line: only the UID that is told shows that it is not there.
#[tokio::test]
async fn nor_is_one_swallowed_whose_message_id_no_server_can_be_asked_for() {
    let long = "x".repeat(1000);
    for message_id in ["b\u{fc}ro@localhost", &long] {
        let (server, gmail) = (Dovecot::start(), Imap::start().await);
        gmail.mail().be_gmail();
        let report = |day: u32| {
            format!(
                "Date: {day} Nov 2026 10:00:00 +0000\r\nFrom: scan@example.com\r\nSubject: Scan\r\n\
                 Message-ID: <{message_id}>\r\n\r\nPage of day {day}\r\n"
            )
            .into_bytes()
        };
        // Two of one batch, and one of a later one.
        server.put("old", &[report(1), report(2)]);
        let route = "leave_copy = false\ndeliver = [{ to = \"home\" }]";
        let ferry = Ferry::new(&(gmail_destination(&gmail, "") + &account("old", &server, "old", route)));
        ferry.run(&["fetch"]).await.expect_code(0);
        server.put("old", &[report(3)]);
        ferry.run(&["fetch"]).await.expect_code(0);
        assert_eq!(gmail.mail().all(), [report(1)]);
        assert!(server.list("old", "INBOX") == [report(2), report(3)], "they are in one place still");
        let parked = ferry.json(&["parked", "--json"]).await.to_string();
        assert!(parked.contains("Gmail has another message with this Message-ID"), "{parked}");
        assert!(parked.contains("a Message-ID like this one cannot be searched for"), "{parked}");
    }
}

/// A list puts a line below what it passes on: that is no reason to trouble anybody.
#[tokio::test]
async fn the_same_header_over_another_body_counts_as_delivered_and_stays_at_its_source() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    let one = [b"Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n".as_slice(), &message(1)].concat();
    let of_list = [one.as_slice(), b"-- \r\nTo unsubscribe, write to nobody.\r\n"].concat();
    let again = [one.as_slice(), b"-- \r\nOr to somebody.\r\n"].concat();
    server.put("old", &[one.clone(), of_list.clone()]);
    let route = "leave_copy = false\ndeliver = [{ to = \"home\" }]";
    let ferry = Ferry::new(&(gmail_destination(&gmail, "") + &account("old", &server, "old", route)));
    ferry.run(&["fetch"]).await.expect_code(0);
    server.put("old", std::slice::from_ref(&again));
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(gmail.mail().all(), [one]);
    assert!(server.list("old", "INBOX") == [of_list, again], "what Gmail does not have is here still");
    assert_eq!(ferry.json(&["parked", "--json"]).await["parked"].as_array().unwrap().len(), 0);
}

/// A rule of its reader's is quicker than the look at what was stored.
#[tokio::test]
async fn what_is_moved_at_once_is_believed_to_be_there() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    gmail.mail().ways.moves_at_once = Some("[Gmail]/Alle Nachrichten");
    server.put("old", &mails());
    let route = format!("deliver = [{{ to = \"home\", {LABELLED} }}]");
    let ferry = Ferry::new(&(gmail_destination(&gmail, "") + &account("old", &server, "old", &route)));
    ferry.run(&["fetch"]).await.expect_code(0);
    let mut mail = gmail.mail();
    assert_eq!((mail.appended, mail.folder(ALL_MAIL).messages.len()), (5, 5));
}

/// What is asked of a large header's end is not in what is at hand of it.
#[tokio::test]
async fn a_message_with_an_endless_header_is_no_other_one() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    let to: String = (0..4000).map(|n| format!("\r\n reader-{n}@example.org,")).collect();
    let long = [format!("Message-ID: <1@x>\r\nTo:{to}\r\n me\r\n").into_bytes(), large(1)].concat();
    server.put("old", std::slice::from_ref(&long));
    let route = "deliver = [{ to = \"home\" }]";
    let ferry = Ferry::new(&(gmail_destination(&gmail, "") + &account("old", &server, "old", route)));
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(gmail.mail().all(), [long]);
    assert_eq!(ferry.json(&["parked", "--json"]).await["parked"].as_array().unwrap().len(), 0);
}

#[test]
fn a_server_that_takes_no_labels_now_gets_them_later() {
    let held = alone(async || {
        let mut world = gmail_world(LABELLED).await;
        world.imap.mail().ways.refuses_labels =
            Some("NO [THROTTLED] Account exceeded command or bandwidth limits. (Failure)");
        polled(&mut world, 2).await.unwrap();
        world.evidence().judge().await.unwrap();
        world.imap.mail().ways.refuses_labels = None;
        polled(&mut world, 2).await.unwrap();
        let mut mail = world.imap.mail();
        (is_labelled(&mut mail, "INBOX"), mail.folder("INBOX").messages.len(), mail.appended)
    });
    assert_eq!(held, (true, 5, 5));
}

async fn gmail_world(route: &'static str) -> World {
    let mut world = World::new(Plan { home: Some("INBOX"), app: false, account: "leave_copy = false" }).await;
    world.imap.mail().be_gmail();
    world.route = route;
    for (n, mail) in mails().iter().enumerate() {
        world.put(&format!("u{n}"), mail);
    }
    world
}

async fn polled(world: &mut World, times: usize) -> Result<(), String> {
    for _ in 0..times {
        world.later(TimeDelta::hours(1));
        world.poll().await.map_err(|fault| fault.to_string())?;
    }
    Ok(())
}

async fn cut(fault: Fault) -> Result<(), String> {
    let mut world = gmail_world(LABELLED).await;
    world.cable(Link::Home).arm(Some(fault));
    world.poll().await.map_err(|fault| fault.to_string())?;
    world.evidence().judge().await?;
    world.cable(Link::Home).arm(None);
    polled(&mut world, 3).await?;
    world.evidence().judge().await?;
    let mut mail = world.imap.mail();
    match (mail.folder("INBOX").messages.len(), is_labelled(&mut mail, "INBOX")) {
        (5, true) => Ok(()),
        (held, _) => Err(format!("{held} messages, of which {} have labels", mail.labels.len())),
    }
}

#[test]
fn a_cut_anywhere_loses_neither_a_message_nor_a_label() {
    let cuts = |way| (0..5000).step_by(29).map(move |after| Fault::Cut { way, after });
    let cases: Vec<Fault> = cuts(Way::Up).chain(cuts(Way::Down)).collect();
    let failures = each_in_a_world(cases, cut);
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_refused_label_keeps_no_message_back_and_brings_none_twice() {
    let held = alone(async || {
        let mut world = gmail_world(LABELLED).await;
        world.imap.mail().ways.refuses_labels = Some("NO [CANNOT] not that label");
        polled(&mut world, 3).await.unwrap();
        world.evidence().judge().await.unwrap();
        let appended = world.imap.mail().appended;
        (world.imap.mail().folder("INBOX").messages.len(), appended)
    });
    assert_eq!(held, (5, 5));
}

#[test]
fn a_server_that_hangs_up_at_labels_gets_them_when_it_does_not() {
    let appended = alone(async || {
        let mut world = gmail_world(LABELLED).await;
        world.imap.mail().ways.drops_labels = true;
        polled(&mut world, 2).await.unwrap();
        world.imap.mail().ways.drops_labels = false;
        polled(&mut world, 3).await.unwrap();
        world.evidence().judge().await.unwrap();
        let mut mail = world.imap.mail();
        assert!(is_labelled(&mut mail, "INBOX"), "{:?}", mail.labels);
        assert_eq!(mail.folder("INBOX").messages.len(), 5);
        mail.appended
    });
    assert_eq!(appended, 5, "labels are no reason to send a message again");
}

/// Larger than half a batch, so that each goes alone.
fn large(n: usize) -> Vec<u8> {
    let line = format!("{}\r\n", "x".repeat(70));
    [message(n), line.repeat(3_000_000 / line.len()).into_bytes()].concat()
}

#[test]
fn a_budget_that_is_used_up_pauses_and_goes_on_by_itself() {
    let held = alone(async || {
        let mut world = gmail_world("").await;
        world.home = "daily_budget = \"7 MB\"";
        for n in 5..10 {
            world.put(&format!("u{n}"), &large(n));
        }
        let mut held = Vec::new();
        for hours in [0, 1, 22, 2, 24, 25] {
            world.later(TimeDelta::hours(hours));
            world.stop().await;
            world.poll().await.unwrap();
            held.push(world.imap.mail().folder("INBOX").messages.len());
        }
        world.evidence().judge().await.unwrap();
        held
    });
    // The small ones and two large ones in the first 24 hours, two more in the next.
    assert_eq!(held, [7, 7, 7, 9, 9, 10]);
}

/// The batch before the one that finds it used up is settled after that, and is no recovery.
#[tokio::test]
async fn a_budget_that_is_used_up_stays_so_whatever_else_is_under_way() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    let line = format!("{}\r\n", "x".repeat(70));
    let middling = |n: usize| [message(n), line.repeat(700_000 / line.len()).into_bytes()].concat();
    server.put("old", &(0..30).map(middling).collect::<Vec<_>>());
    let config = gmail_destination(&gmail, "daily_budget = \"8 MB\"")
        + &account("old", &server, "old", "deliver = [{ to = \"home\" }]");
    let ferry = Ferry::new(&config);
    let told = ferry.run(&["fetch"]).await.expect_code(75);
    assert!((told.stdout + &told.stderr).contains("its daily budget of 8 MB is used up"));
    let told = ferry.json(&["status", "--json"]).await;
    assert_eq!(
        (&told["destinations"][0]["state"], &told["accounts"][0]["delivered"]),
        (&"paused".into(), &10.into())
    );
    // What was refused costs nothing.
    gmail.mail().ways.refuses = Some(("Number".into(), "NO [TOOBIG] too large"));
    ferry.configure(&config.replace("8 MB", "12 MB"));
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(ferry.json(&["parked", "--json"]).await["parked"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_said_and_no_failure() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    server.put("old", &[large(1), large(2)]);
    let config = gmail_destination(&gmail, "daily_budget = \"4 MB\"")
        + &account("old", &server, "old", "deliver = [{ to = \"home\" }]");
    let ferry = Ferry::new(&config);
    for _ in 0..2 {
        ferry.run(&["fetch"]).await.expect_code(75);
        let told = ferry.json(&["status", "--json"]).await;
        assert_eq!(told["destinations"][0]["state"], "paused", "{told}");
        let error = told["destinations"][0]["error"].to_string();
        assert!(error.contains("its daily budget of 4 MB is used up; it goes on by itself at 20"), "{told}");
        assert_eq!(
            (&told["accounts"][0]["delivered"], &told["accounts"][0]["pending"]),
            (&1.into(), &1.into())
        );
    }
    // Whoever wants to send more says so, and it counts at once.
    ferry.configure(&config.replace("4 MB", "8 MB"));
    ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(gmail.mail().folder("INBOX").messages.len(), 2);
}

/// The quota is its user's, by however many names mail goes there.
#[tokio::test]
async fn two_destinations_of_one_user_have_one_budget() {
    let (server, gmail) = (Dovecot::start(), Imap::start().await);
    gmail.mail().be_gmail();
    let mut config = String::new();
    for (name, to) in [("one", "home"), ("two", "work")] {
        server.put(name, &[large(1)]);
        let destination = gmail_destination(&gmail, "daily_budget = \"4 MB\"");
        config += &destination.replace("[destination.home]", &format!("[destination.{to}]"));
        config +=
            &account(name, &server, name, &format!("deliver = [{{ to = \"{to}\", folder = \"{to}\" }}]"));
    }
    let ferry = Ferry::new(&config);
    ferry.run(&["fetch", "one"]).await.expect_code(0);
    ferry.run(&["fetch", "two"]).await.expect_code(75);
    let told = ferry.json(&["status", "--json"]).await;
    let states: Vec<&str> = told["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|there| there["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["ok", "paused"], "{told}");
    assert!(
        told["destinations"][1]["error"].to_string().contains("its daily budget of 4 MB is used up"),
        "{told}"
    );
}

//! The ways of providers as POP3 sources: what is made of them, what is said, and how long they are left in peace.

use chrono::TimeDelta;
use mailferry::providers::{Login, PRESETS, Provider, for_host};

use super::{TO_APP, TO_HOME, at_port};
use crate::ferry::{Ferry, message, received};
use crate::servers::pop3::{Pop3, Ways};
use crate::world::{Plan, World, alone, now};

/// What Exchange announces, one command at a time, and its patience.
fn exchange() -> Ways {
    Ways { capabilities: &["TOP", "UIDL", "USER"], patience: Some(10), ..Ways::default() }
}

/// How often a world polls, in seconds.
const EVERY: i64 = 300;

/// Seconds until the account is polled again.
async fn rest(world: &World) -> i64 {
    world.count("SELECT next_poll_at FROM accounts").await - now().timestamp()
}

/// Until the account may be polled again.
async fn go_on(world: &World) {
    world.later(TimeDelta::seconds(rest(world).await));
}

#[test]
fn exchange_hangs_up_at_the_tenth_message_that_it_cannot_hand_out() {
    alone(async || {
        let mut world = World::new(Plan { account: "leave_copy = false", ..TO_APP }).await;
        let withholds = Some(("Broken", "-ERR The message could not be retrieved."));
        world.pop3.mailbox().ways = Ways { withholds, ..exchange() };
        for n in 0..45 {
            let broken: &[u8] = if n % 3 == 1 { b"Broken\r\n" } else { b"" };
            world.put(&format!("u{n}"), &[&message(n), broken].concat());
        }
        let summary = world.poll().await.unwrap();
        let (_, text) = summary.error.unwrap();
        assert!(text.contains("the connection was closed while retrieving messages"), "{text}");
        assert_eq!(world.pop3.mailbox().hung_up, 1);
        let mut polls = 1;
        while world.app.taken().len() < 30 && polls < 4 {
            go_on(&world).await;
            world.poll().await.unwrap();
            polls += 1;
        }
        let mut arrived = world.app.taken();
        arrived.sort();
        arrived.dedup();
        assert_eq!((arrived.len(), world.app.taken().len()), (30, 30), "what it hands out, each once");
        // Those that cannot be had are tried for some days.
        let parked = "SELECT count(*) FROM deliveries WHERE state = 'parked'";
        for _ in 0..80 {
            world.later(TimeDelta::hours(3));
            world.poll().await.unwrap();
        }
        assert_eq!((world.count(parked).await, world.pop3.mailbox().messages.len()), (15, 15));
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.error, summary.put_off), (None, 0), "and then it is well");
    });
}

#[test]
fn a_command_that_exchange_refuses_is_not_repeated_for_each_message() {
    let tops = |world: &World| world.pop3.mailbox().asked.get("TOP").copied().unwrap_or_default();
    let refuses = Some(("TOP", "-ERR Protocol error. 19"));
    // To tell what is new.
    alone(async move || {
        let mut world = World::new(Plan { account: "import = \"new\"", ..TO_APP }).await;
        world.pop3.mailbox().ways = Ways { refuses, ..exchange() };
        for n in 0..45 {
            world.put(&format!("u{n}"), &received(n, TimeDelta::days(30)));
        }
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.error, summary.delivered), (None, 0), "old mail stays where it is");
        assert_eq!((tops(&world), world.pop3.mailbox().refusals), (3, 3));
        // More at once than are known.
        let new: Vec<Vec<u8>> = (45..295).map(|n| received(n, TimeDelta::zero())).collect();
        for (n, mail) in (45..).zip(&new) {
            world.put(&format!("u{n}"), mail);
        }
        for _ in 0..2 {
            go_on(&world).await;
            assert_eq!(world.poll().await.unwrap().error, None);
        }
        assert_eq!(world.app.taken().len(), 250, "and what came since is new");
        assert_eq!(world.pop3.mailbox().hung_up, 0);
    });
    // To look once more before what has been kept long enough is deleted.
    alone(async move || {
        let mut world = World::new(Plan { account: "leave_copy = \"14d\"", ..TO_APP }).await;
        world.pop3.mailbox().ways = Ways { refuses, ..exchange() };
        for n in 0..45 {
            world.put(&format!("u{n}"), &message(n));
        }
        assert_eq!(world.poll().await.unwrap().delivered, 45);
        world.later(TimeDelta::days(15));
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.error, summary.deleted), (None, 45));
        world.pop3.at_rest().await;
        let mailbox = world.pop3.mailbox();
        assert_eq!((mailbox.messages.len(), mailbox.hung_up, mailbox.asked["TOP"]), (0, 0, 3));
    });
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    for refusal in [
        "-ERR Server Unavailable. 21",
        "-ERR Request is throttled. Suggested Backoff Time: 299609 milliseconds",
        "-ERR [SYS/TEMP] Server error, please come back",
    ] {
        for command in ["PASS", "STAT", "UIDL", "LIST", "RETR"] {
            alone(async move || {
                let mut world = World::new(TO_APP).await;
                world.put("u1", &message(1));
                world.pop3.mailbox().ways = Ways { refuses: Some((command, refusal)), ..exchange() };
                let place = format!("{command} {refusal}");
                for failures in 1..=5 {
                    let summary = world.poll().await.unwrap();
                    assert_eq!((summary.delivered, summary.parked), (0, 0), "{place}: {summary:?}");
                    let (_, text) = summary.error.unwrap();
                    assert!(!text.contains("UIDL,") && !text.contains("check `user`"), "{place}: {text}");
                    // Who has let us in is asked again before long.
                    let longest = if command == "PASS" { 6 * 3600 } else { 600 };
                    let least = (60 << (failures - 1)).min(longest).max(EVERY);
                    assert!(rest(&world).await >= least, "{place}: {} s", rest(&world).await);
                    world.later(TimeDelta::hours(6));
                }
                assert_eq!(world.count("SELECT refused_logins FROM accounts").await, 0, "{place}");
                world.pop3.mailbox().ways = exchange();
                world.later(TimeDelta::days(1));
                assert_eq!(world.poll().await.unwrap().delivered, 1, "{place}");
            });
        }
    }
}

const LATER: &str = "-ERR Request is throttled. Suggested Backoff Time: 299609 milliseconds";

/// With commands one at a time, and many at a time.
const BOTH: [&[&str]; 2] = [&["TOP", "UIDL", "USER"], &["TOP", "UIDL", "USER", "PIPELINING"]];

/// Exchange hangs up at the tenth refusal, but who lets many commands be sent at once cannot.
fn way(capabilities: &'static [&'static str]) -> Ways {
    let patience = Some(10).filter(|_| !capabilities.contains(&"PIPELINING"));
    Ways { capabilities, patience, ..Ways::default() }
}

const ONLY_NEW: Plan = Plan { account: "import = \"new\"", ..TO_APP };

#[test]
fn headers_that_are_refused_for_now_make_no_mail_old_or_new() {
    for (capabilities, old, new) in
        BOTH.into_iter().flat_map(|ways| [(ways, 45, 2), (ways, 1, 1), (ways, 1, 0), (ways, 0, 1)])
    {
        alone(async move || {
            let mut world = World::new(ONLY_NEW).await;
            for n in 0..old {
                world.put(&format!("u{n}"), &message(n));
            }
            for n in old..old + new {
                world.put(&format!("u{n}"), &received(n, TimeDelta::days(-3650)));
            }
            world.pop3.mailbox().ways = Ways { refuses: Some(("TOP", LATER)), ..way(capabilities) };
            for _ in 0..5 {
                let summary = world.poll().await.unwrap();
                assert!(summary.error.unwrap().1.contains("TOP was refused"), "{old} {new}");
                assert_eq!(world.count("SELECT count(*) FROM messages").await, 0, "{old} {new}");
                world.later(TimeDelta::hours(6));
            }
            assert_eq!(world.pop3.mailbox().hung_up, 0);
            world.pop3.mailbox().ways = way(capabilities);
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.error, summary.delivered), (None, new as u64), "{old} {new}");
        });
    }
}

#[test]
fn a_header_that_is_always_refused_for_now_holds_up_no_other_mail_for_ever() {
    // One by itself, two side by side, and the two oldest.
    let broken = [&[40][..], &[40, 41], &[0, 1]];
    for (capabilities, broken) in BOTH.into_iter().flat_map(|ways| broken.map(|broken| (ways, broken))) {
        alone(async move || {
            let mut world = World::new(ONLY_NEW).await;
            for n in 0..if broken[0] == 0 { 2 } else { 45 } {
                let broken: &[u8] = if broken.contains(&n) { b"Broken\r\n" } else { b"" };
                world.put(&format!("u{n}"), &[&message(n), broken].concat());
            }
            let new = received(45, TimeDelta::days(-3650));
            world.put("u45", &new);
            world.pop3.mailbox().ways = Ways { withholds: Some(("Broken", LATER)), ..way(capabilities) };
            for failures in 1..=5 {
                let summary = world.poll().await.unwrap();
                assert!(summary.error.is_some() || failures > 3, "{failures}: a date may be had later");
                world.later(TimeDelta::hours(6));
            }
            assert_eq!(world.app.taken(), [new], "{broken:?}");
        });
    }
}

#[test]
fn who_does_not_know_top_brings_no_old_mail() {
    for (capabilities, old) in BOTH.into_iter().flat_map(|ways| [1, 2, 3, 20, 45].map(|old| (ways, old))) {
        alone(async move || {
            let mut world = World::new(ONLY_NEW).await;
            world.pop3.mailbox().ways =
                Ways { refuses: Some(("TOP", "-ERR Protocol error. 19")), ..way(capabilities) };
            for n in 0..old {
                world.put(&format!("u{n}"), &message(n));
            }
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.error, summary.delivered), (None, 0), "{old} {capabilities:?}");
            world.put("new", &message(old));
            go_on(&world).await;
            assert_eq!(world.poll().await.unwrap().delivered, 1, "{old} {capabilities:?}");
        });
    }
}

const REFUSED: &str = "SELECT max(refused) FROM messages";
const PARKED: &str = "SELECT count(*) FROM deliveries WHERE state = 'parked'";

#[test]
fn mail_of_a_throttled_account_waits_as_long_as_it_takes() {
    for (capabilities, mails) in BOTH.into_iter().flat_map(|ways| [(ways, 1), (ways, 45)]) {
        alone(async move || {
            let mut world = World::new(Plan { account: "leave_copy = false", ..TO_APP }).await;
            world.put("first", &message(100));
            world.pop3.mailbox().ways = way(capabilities);
            assert_eq!(world.poll().await.unwrap().delivered, 1);
            for n in 0..mails {
                world.put(&format!("u{n}"), &message(n));
            }
            world.pop3.mailbox().ways.refuses = Some(("RETR", LATER));
            for _ in 0..120 {
                world.later(TimeDelta::hours(6));
                let (_, text) = world.poll().await.unwrap().error.unwrap();
                assert!(text.contains("RETR was refused"), "{text}");
            }
            assert_eq!((world.count(REFUSED).await, world.count(PARKED).await), (0, 0));
            if capabilities == BOTH[0] {
                assert_eq!(world.pop3.mailbox().refusals, mails.min(2), "it is left in peace");
            }
            world.pop3.mailbox().ways.refuses = None;
            world.later(TimeDelta::hours(6));
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.error, summary.delivered), (None, mails as u64));
            world.pop3.at_rest().await;
            assert!(world.pop3.mailbox().messages.is_empty());
        });
    }
}

/// It comes first, alone, as a large one goes alone, or last: what else there is comes at each poll.
#[test]
fn a_message_that_is_always_refused_for_now_holds_up_no_other() {
    let sizes = [None, Some(9 << 20)];
    for (capabilities, size, before) in BOTH
        .into_iter()
        .flat_map(|ways| sizes.map(|size| (ways, size)))
        .flat_map(|(ways, size)| [0, 3].map(|before| (ways, size, before)))
    {
        alone(async move || {
            let mut world = World::new(Plan { account: "leave_copy = false", ..TO_APP }).await;
            world.pop3.mailbox().ways = Ways { withholds: Some(("Broken", LATER)), ..way(capabilities) };
            for n in 0..before {
                world.put(&format!("u{n}"), &message(n));
            }
            world.put("broken", &[&message(1000)[..], b"Broken\r\n"].concat());
            world.pop3.mailbox().messages[before].size = size;
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.delivered, summary.error.is_some()), (before as u64, before == 0));
            for n in before..before + 40 {
                world.put(&format!("u{n}"), &message(n));
                world.later(TimeDelta::days(1));
                let summary = world.poll().await.unwrap();
                assert_eq!((summary.error, summary.delivered), (None, 1), "{n} {size:?}");
            }
            assert_eq!((world.count(PARKED).await, world.pop3.mailbox().hung_up), (1, 0));
            world.pop3.at_rest().await;
            assert_eq!(world.pop3.mailbox().messages.len(), 1, "what came is deleted");
        });
    }
}

#[test]
fn a_server_that_refuses_for_now_and_hangs_up_is_not_taken_out_on_other_mail() {
    alone(async || {
        let mut world = World::new(TO_APP).await;
        world.put("broken", &[&message(1000)[..], b"Broken\r\n"].concat());
        for n in 0..5 {
            world.put(&format!("u{n}"), &message(n));
        }
        let withholds = Some(("Broken", LATER));
        world.pop3.mailbox().ways = Ways { withholds, patience: Some(1), ..exchange() };
        let (_, text) = world.poll().await.unwrap().error.unwrap();
        assert!(text.contains("RETR was refused"), "the server's words, and not that it hung up: {text}");
        for _ in 0..2 {
            go_on(&world).await;
            world.poll().await.unwrap();
        }
        assert_eq!(world.app.taken().len(), 5);
    });
    alone(async || {
        let mut world = World::new(TO_APP).await;
        for n in 0..5 {
            world.put(&format!("u{n}"), &message(n));
        }
        world.pop3.mailbox().ways = Ways { refuses: Some(("RETR", LATER)), patience: Some(2), ..exchange() };
        for _ in 0..120 {
            world.later(TimeDelta::hours(6));
            let (_, text) = world.poll().await.unwrap().error.unwrap();
            assert!(text.contains("RETR was refused"), "{text}");
        }
        assert_eq!((world.count(REFUSED).await, world.count(PARKED).await), (0, 0));
    });
}

/// Twelve messages were delivered and are to be deleted by now; a server of these ways withholds the first ones.
async fn overdue(withheld: usize, ways: Ways) -> World {
    let mut world = World::new(Plan { account: "leave_copy = \"14d\"", ..TO_APP }).await;
    world.pop3.mailbox().ways = way(ways.capabilities);
    for n in 0..12 {
        let broken: &[u8] = if n < withheld { b"Broken\r\n" } else { b"" };
        world.put(&format!("u{n}"), &[&message(n), broken].concat());
    }
    assert_eq!(world.poll().await.unwrap().delivered, 12);
    world.pop3.mailbox().ways = Ways { withholds: ways.withholds.or(Some(("Broken", LATER))), ..ways };
    world.later(TimeDelta::days(15));
    world
}

#[test]
fn what_is_refused_for_now_keeps_no_other_mail_from_being_deleted() {
    for capabilities in BOTH.into_iter().chain([NO_TOP]) {
        alone(async move || {
            let mut world = overdue(2, way(capabilities)).await;
            for _ in 0..3 {
                assert_eq!(world.poll().await.unwrap().error, None);
                world.later(TimeDelta::hours(1));
            }
            world.pop3.at_rest().await;
            assert_eq!(world.pop3.mailbox().messages.len(), 2, "{capabilities:?}");
            world.pop3.mailbox().ways.withholds = None;
            world.later(TimeDelta::days(1));
            assert_eq!(world.poll().await.unwrap().deleted, 2, "as long as they come");
        });
    }
}

/// A server that has put off all that is due shows what may go all the same.
#[test]
fn mail_that_is_due_and_refused_for_now_keeps_no_other_from_being_deleted() {
    for capabilities in BOTH {
        alone(async move || {
            let mut world = overdue(0, way(capabilities)).await;
            for n in 12..14 {
                world.put(&format!("u{n}"), &[&message(n)[..], b"Broken\r\n"].concat());
            }
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.deleted, summary.error.is_some()), (12, true), "{capabilities:?}");
            world.pop3.at_rest().await;
            assert_eq!(world.pop3.mailbox().messages.len(), 2, "{capabilities:?}");
        });
    }
}

const NO_TOP: &[&str] = &["UIDL", "USER"];
const NOT_SHOWN: &str = "SELECT max(not_shown_at) FROM messages";

#[test]
fn who_hangs_up_behind_a_refusal_keeps_no_other_mail_from_being_deleted() {
    let cases = [(2, BOTH[0]), (1, BOTH[0]), (1, BOTH[1]), (2, NO_TOP), (1, NO_TOP)];
    let refusals = [LATER, "-ERR it cannot be read"];
    for ((withheld, capabilities), refusal) in
        cases.into_iter().flat_map(|case| refusals.map(|text| (case, text)))
    {
        alone(async move || {
            let withholds = Some(("Broken", refusal));
            let ways = Ways { patience: Some(1), withholds, ..way(capabilities) };
            let mut world = overdue(withheld, ways).await;
            for _ in 0..withheld + 2 {
                world.poll().await.unwrap();
                world.later(TimeDelta::hours(1));
            }
            world.pop3.at_rest().await;
            assert_eq!(world.pop3.mailbox().messages.len(), withheld, "{capabilities:?} {refusal}");
        });
    }
}

/// Also where it is asked once a day only.
#[test]
fn a_message_that_ends_every_session_keeps_no_other_mail_from_being_deleted() {
    for capabilities in BOTH.into_iter().chain([NO_TOP]) {
        for pause in [TimeDelta::hours(1), TimeDelta::days(1)] {
            alone(async move || {
                let mut world =
                    overdue(0, Ways { breaks_at: Some((&["TOP", "RETR"], "u5")), ..way(capabilities) }).await;
                for _ in 0..3 {
                    world.poll().await.unwrap();
                    world.later(pause);
                }
                world.pop3.at_rest().await;
                assert_eq!(world.pop3.mailbox().messages.len(), 1, "{capabilities:?} {pause}");
                let asked = world.count(NOT_SHOWN).await;
                for n in 12..24 {
                    world.put(&format!("u{n}"), &message(n));
                }
                world.later(TimeDelta::days(1));
                for _ in 0..2 {
                    world.poll().await.unwrap();
                    world.later(TimeDelta::days(15));
                }
                for _ in 0..2 {
                    world.poll().await.unwrap();
                    world.later(pause);
                }
                world.pop3.at_rest().await;
                assert_eq!(world.pop3.mailbox().messages.len(), 1, "{capabilities:?} {pause}");
                assert!(world.count(NOT_SHOWN).await > asked, "it was asked for again");
            });
        }
    }
}

/// As a link does that never holds for long: what is deleted is gone only at the end of a session.
#[test]
fn overdue_mail_is_deleted_though_no_session_lasts_long_and_each_brings_mail() {
    for capabilities in BOTH.into_iter().chain([NO_TOP]) {
        alone(async move || {
            let mut world = overdue(0, Ways { lasts: Some(14), ..way(capabilities) }).await;
            let (mut polls, mut failed) = (0, 0);
            while world.pop3.mailbox().messages.len() > polls && polls < 80 {
                world.put(&format!("new {polls}"), &message(100 + polls));
                let summary = world.poll().await.unwrap();
                assert_eq!(summary.delivered, 1, "{capabilities:?}: {summary:?}");
                failed += usize::from(summary.error.is_some());
                world.later(TimeDelta::hours(4));
                world.pop3.at_rest().await;
                polls += 1;
            }
            assert!(failed > 0, "{capabilities:?}: no session has ended too soon");
            assert_eq!(world.pop3.mailbox().messages.len(), polls, "{capabilities:?}: what is new stays");
        });
    }
}

/// Its store of messages is down, say, and it does not say that this will pass.
#[test]
fn a_server_that_shows_nothing_for_an_hour_is_asked_again_for_all_that_may_go() {
    for capabilities in BOTH.into_iter().chain([NO_TOP]) {
        alone(async move || {
            let withholds = Some(("Broken", "-ERR no"));
            let mut world = overdue(12, Ways { withholds, patience: None, ..way(capabilities) }).await;
            assert_eq!(world.poll().await.unwrap().deleted, 0, "{capabilities:?}");
            world.pop3.mailbox().ways.withholds = None;
            world.later(TimeDelta::hours(1));
            assert_eq!(world.poll().await.unwrap().deleted, 12, "{capabilities:?}");
        });
    }
}

/// As Exchange does when a large mailbox is taken over.
#[test]
fn who_hands_out_some_messages_a_session_is_asked_for_the_rest_before_long() {
    for capabilities in BOTH {
        alone(async move || {
            let mut world = World::new(TO_APP).await;
            world.pop3.mailbox().ways = Ways { hands_out: Some((5, LATER)), ..way(capabilities) };
            for n in 0..45 {
                world.put(&format!("u{n}"), &message(n));
            }
            for poll in 1..9 {
                let summary = world.poll().await.unwrap();
                assert_eq!((summary.delivered, summary.error.is_some()), (5, true), "{poll}");
                assert!(rest(&world).await <= 2 * EVERY, "{poll}: {}", rest(&world).await);
                let since = world.count("SELECT failing_since FROM accounts").await;
                assert_eq!(since, now().timestamp(), "it brings mail, so that nobody need be told");
                go_on(&world).await;
            }
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.delivered, summary.error), (5, None));
        });
    }
}

/// As a link does that never holds for long.
#[test]
fn who_hangs_up_after_some_messages_is_asked_for_the_rest_before_long() {
    alone(async || {
        let mut world = World::new(TO_APP).await;
        for n in 0..50 {
            world.put(&format!("u{n}"), &message(n));
        }
        let first = now().timestamp();
        for uidl in ["u4", "u9", "u14", "u19", "u24", "u29", "u34", "u39", "u44", "u49"] {
            world.pop3.mailbox().ways = Ways { breaks_at: Some((&["RETR"], uidl)), ..way(BOTH[0]) };
            let summary = world.poll().await.unwrap();
            assert!(summary.delivered >= 4 && summary.error.is_some(), "{uidl}");
            assert!(rest(&world).await <= 2 * EVERY, "{uidl}: {}", rest(&world).await);
            assert_eq!(world.count("SELECT failing_since FROM accounts").await, first, "but this is news");
            go_on(&world).await;
        }
    });
}

#[test]
fn what_was_refused_for_now_comes_in_turn() {
    for capabilities in BOTH {
        alone(async move || {
            let mut world = World::new(TO_APP).await;
            for n in 0..12 {
                let broken: &[u8] = if n < 3 { b"Broken\r\n" } else { b"" };
                world.put(&format!("u{n}"), &[&message(n), broken].concat());
            }
            world.pop3.mailbox().ways = Ways { refuses: Some(("RETR", LATER)), ..way(capabilities) };
            for _ in 0..10 {
                world.poll().await.unwrap();
                world.later(TimeDelta::hours(6));
            }
            world.pop3.mailbox().ways = Ways { withholds: Some(("Broken", LATER)), ..way(capabilities) };
            for _ in 0..3 {
                world.poll().await.unwrap();
                world.later(TimeDelta::hours(6));
            }
            assert_eq!(world.app.taken().len(), 9, "three that cannot be had hold up none");
        });
    }
}

const WRONG: &str = "-ERR [AUTH] (#MBR1212) Incorrect username or password.";

#[test]
fn a_refused_password_is_tried_once_an_hour() {
    alone(async || {
        let mut world = World::new(TO_APP).await;
        world.put("u1", &message(1));
        world.pop3.mailbox().ways.refuses = Some(("PASS", WRONG));
        for _ in 0..5 {
            let (_, text) = world.poll().await.unwrap().error.unwrap();
            assert!(text.contains("check `user` and `password`"), "{text}");
            assert!(rest(&world).await >= 3600, "{}", rest(&world).await);
            go_on(&world).await;
        }
        world.pop3.mailbox().ways = Ways::default();
        assert_eq!(world.poll().await.unwrap().delivered, 1);
    });
}

#[test]
fn yahoo_refuses_another_password_and_too_many_tries() {
    alone(async || {
        let mut world = World::new(TO_APP).await;
        world.put("u1", &message(1));
        let many = "-ERR [AUTH] (#AUTH005) Too many bad auth attempts.";
        for (refusal, refused, least) in [(WRONG, 1, 3600), (many, 0, EVERY), (WRONG, 1, 3600)] {
            world.pop3.mailbox().ways.refuses = Some(("PASS", refusal));
            let (_, text) = world.poll().await.unwrap().error.unwrap();
            assert_eq!(text.contains("check `user` and `password`"), refusal == WRONG, "{text}");
            assert_eq!(world.count("SELECT refused_logins FROM accounts").await, refused, "{refusal}");
            assert!(rest(&world).await >= least, "{refusal}: {}", rest(&world).await);
            go_on(&world).await;
        }
    });
}

#[test]
fn of_a_mailbox_that_lists_the_newest_alone_all_comes_as_the_newest_go() {
    alone(async || {
        let mut world = World::new(Plan { account: "leave_copy = false", ..TO_APP }).await;
        world.pop3.mailbox().ways.lists_newest = Some(25);
        for n in 0..60 {
            world.put(&format!("u{n}"), &message(n));
        }
        for expected in [25, 50, 60] {
            let summary = world.poll().await.unwrap();
            assert_eq!((summary.error, world.app.taken().len()), (None, expected));
            world.pop3.at_rest().await;
            go_on(&world).await;
        }
        assert_eq!(world.pop3.mailbox().messages.len(), 0);
        world.evidence().expect_all_delivered(true).await.unwrap();
    });
    // What drops out of the listing as others come is not gone.
    alone(async || {
        let mut world = World::new(TO_APP).await;
        world.pop3.mailbox().ways.lists_newest = Some(25);
        for n in 0..60 {
            world.put(&format!("u{n}"), &message(n));
            assert_eq!(world.poll().await.unwrap().delivered, 1);
            go_on(&world).await;
        }
        world.pop3.mailbox().ways.lists_newest = None;
        assert_eq!(world.poll().await.unwrap().delivered, 0, "what is listed again is known");
        world.evidence().expect_all_delivered(false).await.unwrap();
    });
}

/// What is said of a refused password at these servers, by the real binary: none of them is asked.
#[tokio::test]
async fn a_refused_password_says_what_its_provider_wants() {
    let source = Pop3::start().await;
    source.mailbox().ways.refuses = Some(("PASS", WRONG));
    let config =
        "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nuser = \"me\"\npassword = \"secret\"\n\n";
    let ferry = Ferry::new(&(config.to_owned() + &at_port(source.port, TO_HOME)));
    ferry.run(&["fetch"]).await.expect_code(75);
    let takes_password = |provider: &&Provider| !matches!(provider.login, Login::OAuthOnly(_));
    let mut told = 0;
    for provider in PRESETS.iter().filter(takes_password) {
        let Some(server) = provider.pop3.first() else { continue };
        let there = format!(
            "[account.old]\nhost = \"{}\"\nuser = \"old\"\npassword = \"secret\"\n{TO_HOME}\n",
            server.host
        );
        ferry.configure(&(config.to_owned() + &there));
        let ran = ferry.run(&["status"]).await;
        // Who shares a server is told what the first of them wants.
        let provider = for_host(server.host).unwrap();
        let making = match provider.login {
            Login::AppPassword(step) => Some(step),
            Login::Password | Login::OAuthOnly(_) => None,
        };
        for step in making.into_iter().chain(provider.enable) {
            let said = step.text.trim_end_matches('.');
            assert!(ran.stdout.contains(said), "{}: {ran:?}", provider.id);
            assert!(step.url.is_none_or(|url| ran.stdout.contains(url)), "{}: {ran:?}", provider.id);
            told += 1;
        }
    }
    assert!(told > 20, "{told}");
}

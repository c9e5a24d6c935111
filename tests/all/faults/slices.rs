//! Q38: a mailbox that is shown a slice at a time, each message until it is retrieved, and the recent ones to whoever asks
//! for them: as Gmail does.

use chrono::TimeDelta;
use mailferry::message::Quirks;

use crate::cable::{Fault, Way};
use crate::ferry::{message, received};
use crate::world::{Link, Plan, World, alone, each_in_a_world, now};

const TO_APP: Plan = Plan { home: None, app: true, account: "leave_copy = true" };
const TO_HOME: Plan = Plan { home: Some("INBOX"), app: false, account: "leave_copy = true" };

const SLICE: usize = 5;

/// A mailbox of twelve messages, of which the last four are recent.
async fn sliced(plan: Plan) -> World {
    let mut world = World::new(plan).await;
    world.quirks = Quirks { hides_retrieved: true, ..Quirks::default() };
    world.pop3.mailbox().ways.shows_at_a_time = Some(SLICE);
    for n in 0..12 {
        world.put(&format!("u{n}"), &message(n));
    }
    world.pop3.mailbox().messages[..8].iter_mut().for_each(|kept| kept.is_recent = false);
    world
}

/// Logins so far, and those that asked for what is recent.
fn logins(world: &World) -> (usize, usize) {
    let mailbox = world.pop3.mailbox();
    (mailbox.logins, mailbox.recent_logins)
}

/// What pop.gmail.com announces.
const GMAIL: &[&str] =
    &["USER", "RESP-CODES", "EXPIRE 0", "LOGIN-DELAY 300", "TOP", "UIDL", "SASL XOAUTH2 OAUTHBEARER"];

#[test]
fn as_often_as_the_server_allows_recent_mail_and_old_mail_come_in_turn() {
    alone(async || {
        let mut world = sliced(TO_APP).await;
        world.pop3.mailbox().ways.capabilities = GMAIL;
        world.app.desk().ways.dislikes = Some("Number 2.".into());
        let mut came = Vec::new();
        for _ in 0..12 {
            world.poll().await.unwrap();
            came.push((world.app.taken().len(), logins(&world).1));
            let wait = world.count("SELECT next_poll_at FROM accounts").await - now().timestamp();
            assert!(wait >= 300, "{wait}");
            world.later(TimeDelta::hours(24));
        }
        // Recent: 8 to 11. Then 0 to 4 without 2, which waits; with 2 parked the slices go on.
        assert_eq!(came[..2], [(4, 1), (8, 1)]);
        assert_eq!((came[11].0, world.pop3.mailbox().messages.len()), (11, 12));
        assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE state = 'parked'").await, 1);
        assert_eq!(world.count("SELECT sliced_epoch FROM accounts").await, 1, "{came:?}");
    });
}

/// Polled every five minutes, and where there is more to see, as soon as the server lets us log in again.
#[test]
fn what_is_behind_a_slice_is_not_long_in_coming() {
    alone(async || {
        let mut world = sliced(TO_APP).await;
        world.pop3.mailbox().ways.capabilities = &["USER", "UIDL", "TOP", "EXPIRE 0", "LOGIN-DELAY 60"];
        let mut waits = Vec::new();
        for _ in 0..5 {
            world.poll().await.unwrap();
            let wait = world.count("SELECT next_poll_at FROM accounts").await - now().timestamp();
            waits.push(wait < 240);
            world.later(TimeDelta::seconds(wait));
        }
        // What is recent, a slice, what is recent, a slice, and what is recent, behind which comes an empty slice.
        assert_eq!((waits, world.app.taken().len()), (vec![true; 5], 12));
        for _ in 0..2 {
            world.later(TimeDelta::minutes(10));
            world.poll().await.unwrap();
        }
        let wait = world.count("SELECT next_poll_at FROM accounts").await - now().timestamp();
        assert!(wait >= 240, "{wait}");
    });
}

#[test]
fn the_first_import_takes_slice_after_slice_and_then_what_is_recent() {
    alone(async || {
        let mut world = sliced(TO_APP).await;
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.new, summary.delivered, summary.error), (12, 12, None));
        world.evidence().expect_all_delivered(false).await.unwrap();
        assert_eq!(logins(&world), (4, 1), "what is recent, two slices, and one look that finds nothing");
        world.later(TimeDelta::hours(1));
        world.put("u12", &message(12));
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.new, summary.delivered), (1, 1));
        world.evidence().expect_all_delivered(false).await.unwrap();
        assert_eq!((logins(&world), world.pop3.mailbox().retrieved), ((5, 2), 13));
    });
}

#[test]
fn a_slice_stays_in_sight_until_it_is_delivered() {
    alone(async || {
        let mut world = sliced(TO_APP).await;
        world.app.desk().ways.refuses = Some((503, None));
        let summary = world.poll().await.unwrap();
        assert_eq!((summary.new, summary.delivered), (9, 0));
        assert_eq!(logins(&world), (2, 1), "the next slice would be of no use");
        let hidden = world.pop3.mailbox().messages.iter().filter(|kept| !kept.is_listed).count();
        assert_eq!(hidden, 0, "no QUIT, so nothing is hidden");
        world.app.desk().ways.refuses = None;
        world.later(TimeDelta::hours(1));
        let summary = world.fetch().await.unwrap();
        assert_eq!(summary.delivered, 12);
        world.evidence().expect_all_delivered(false).await.unwrap();
    });
}

#[test]
fn a_message_that_nobody_takes_does_not_hold_back_the_next_slice() {
    alone(async || {
        let mut world = sliced(TO_APP).await;
        world.app.desk().ways.dislikes = Some("Number 2.".into());
        let mut parked = 0;
        for _ in 0..4 {
            parked += world.fetch().await.unwrap().parked;
            world.later(TimeDelta::hours(24));
        }
        assert_eq!((parked, world.app.taken().len()), (1, 11));
    });
}

/// Where it breaks before QUIT, a whole slice may have been delivered that is still shown: behind it nothing would ever be
/// seen.
#[test]
fn a_session_that_breaks_anywhere_hides_no_slice() {
    let mut cases = Vec::new();
    for keep in ["leave_copy = true", "leave_copy = \"14d\""] {
        let plan = Plan { account: keep, ..TO_APP };
        let first_slice = alone(async move || {
            let mut world = sliced(plan).await;
            world.app.desk().ways.refuses = Some((503, None));
            world.poll().await.unwrap();
            world.cable(Link::Pop3).passed(Way::Up)
        });
        // And a QUIT that was not sent there, or half of it.
        let to_the_second = first_slice + "QUIT\r\n".len() as u64;
        cases.extend((0..=to_the_second).map(|after| (plan, after)));
    }
    let failures = each_in_a_world(cases, async |(plan, after)| {
        let mut world = sliced(plan).await;
        world.cable(Link::Pop3).arm(Some(Fault::Cut { way: Way::Up, after }));
        world.poll().await.unwrap();
        world.cable(Link::Pop3).arm(None);
        world.later(TimeDelta::hours(1));
        world.fetch().await.unwrap();
        world.evidence().expect_all_delivered(false).await?;
        // To be uncovered, one slice is retrieved in vain.
        let (came, retrieved) = (world.receiver.arrivals().len(), world.pop3.mailbox().retrieved);
        if came != 12 || retrieved > 12 + SLICE {
            Err(format!("{came} came, {retrieved} retrieved"))
        } else {
            Ok(())
        }
    });
    assert!(failures.is_empty(), "{failures:#?}");
}

/// It was said to hide what is retrieved, and does not.
#[test]
fn from_a_server_that_hides_nothing_little_is_retrieved_in_vain() {
    for leave_copy in ["leave_copy = true", "leave_copy = \"14d\""] {
        alone(async move || {
            let mut world = sliced(Plan { account: leave_copy, ..TO_APP }).await;
            world.pop3.mailbox().ways.shows_at_a_time = None;
            for _ in 0..5 {
                world.poll().await.unwrap();
                world.later(TimeDelta::hours(1));
            }
            world.evidence().expect_all_delivered(false).await.unwrap();
            assert!(world.pop3.mailbox().retrieved <= 16, "what was recent, once more");
        });
    }
}

/// Some seconds pass until what was retrieved is hidden: to the next login, or to the next two, it is still shown.
#[test]
fn a_server_that_hides_late_ends_no_import() {
    for (leave_copy, hides_late) in
        [("leave_copy = true", 1), ("leave_copy = \"14d\"", 1), ("leave_copy = true", 2)]
    {
        alone(async move || {
            let mut world = sliced(Plan { account: leave_copy, ..TO_APP }).await;
            world.pop3.mailbox().ways.hides_late = hides_late;
            for _ in 0..8 {
                assert_eq!(world.poll().await.unwrap().error, None);
                world.later(TimeDelta::minutes(2));
            }
            world.evidence().expect_all_delivered(false).await.unwrap();
        });
    }
}

/// It hides at RETR what then could not be delivered, and nobody can have it again: somebody is told.
#[test]
fn what_is_hidden_before_it_is_delivered_is_parked() {
    alone(async || {
        let mut world = sliced(Plan { account: "leave_copy = \"14d\"", ..TO_APP }).await;
        world.pop3.mailbox().ways.hides_at_once = true;
        world.app.desk().ways.refuses = Some((503, None));
        world.poll().await.unwrap();
        world.app.desk().ways.refuses = None;
        for _ in 0..8 {
            world.later(TimeDelta::hours(6));
            world.poll().await.unwrap();
        }
        let parked = world.count("SELECT count(*) FROM deliveries WHERE state = 'parked'").await;
        let delivered = world.app.taken().len();
        assert!(parked > 0 && delivered + usize::try_from(parked).unwrap() == 12, "{delivered} and {parked}");
        assert_eq!(
            world.count("SELECT count(*) FROM deliveries WHERE state IN ('due', 'deferred')").await,
            0
        );
    });
}

/// A login that is shown slices is refused, and one that is shown what is recent is not.
#[test]
fn slices_that_cannot_be_had_keep_no_recent_mail_away() {
    alone(async || {
        let mut world = sliced(TO_APP).await;
        world.pop3.mailbox().ways.refuses_slices = true;
        for _ in 0..3 {
            world.poll().await.unwrap();
            world.later(TimeDelta::hours(2));
        }
        world.put("u12", &message(12));
        for _ in 0..2 {
            world.poll().await.unwrap();
            world.later(TimeDelta::hours(2));
        }
        assert!(world.app.taken().contains(&message(12)));
    });
}

/// What is larger than it was listed ends the session in which it is retrieved.
#[test]
fn a_message_that_is_too_large_hides_no_slice() {
    for says in [None, Some(100)] {
        alone(async move || {
            let mut world = sliced(Plan { account: "max_size = 1024", ..TO_APP }).await;
            for (n, kept) in world.pop3.mailbox().messages.iter_mut().enumerate().filter(|(n, _)| n % 3 == 0)
            {
                kept.bytes = [message(n), b"A line of many.\r\n".repeat(200)].concat();
                kept.size = says;
            }
            for _ in 0..4 {
                assert_eq!(world.poll().await.unwrap().error, None);
                world.later(TimeDelta::hours(1));
            }
            assert_eq!(
                (world.app.taken().len(), world.count("SELECT count(*) FROM messages").await),
                (8, 12)
            );
            assert!(logins(&world).1 > 0);
        });
    }
}

/// A destination that is down for a month, or a computer that is: what is not recent any more is still among the slices.
#[test]
fn what_is_recent_no_more_is_looked_for_among_the_slices() {
    for is_down in [true, false] {
        alone(async move || {
            let mut world = sliced(TO_APP).await;
            world.poll().await.unwrap();
            let put = |world: &mut World, n: usize| world.put(&format!("u{n}"), &message(n));
            let age = |world: &World| {
                world.pop3.mailbox().messages.iter_mut().for_each(|kept| kept.is_recent = false);
            };
            if is_down {
                world.app.desk().ways.refuses = Some((503, None));
                for n in 12..20 {
                    put(&mut world, n);
                    world.poll().await.unwrap();
                    world.later(TimeDelta::hours(96));
                }
                world.app.desk().ways.refuses = None;
            } else {
                for n in 12..20 {
                    put(&mut world, n);
                }
                world.later(TimeDelta::days(28));
            }
            age(&world);
            world.fetch().await.unwrap();
            world.later(TimeDelta::hours(1));
            world.fetch().await.unwrap();
            world.evidence().expect_all_delivered(false).await.unwrap();
            if !is_down {
                assert_eq!(world.receiver.arrivals().len(), 20, "nothing twice");
            }
        });
    }
}

/// All of it was hidden by the mailferry whose ledger is lost, and then what is recent comes as if it were new.
#[test]
fn with_the_ledger_lost_what_is_recent_is_not_doubled() {
    alone(async || {
        let mut world = sliced(TO_HOME).await;
        world.poll().await.unwrap();
        world.replace_ledger(None).await;
        world.put("u12", &message(12));
        for _ in 0..3 {
            world.poll().await.unwrap();
            world.later(TimeDelta::hours(1));
        }
        assert!(logins(&world).1 > 0);
        world.evidence().expect_all_delivered(false).await.unwrap();
        assert_eq!(world.imap.mail().folders["INBOX"].messages.len(), 13, "nothing twice");
    });
}

/// What was deleted is still among the recent ones.
#[test]
fn what_was_deleted_and_shows_up_again_is_not_delivered_again() {
    alone(async || {
        let mut world = sliced(Plan { account: "leave_copy = false", ..TO_APP }).await;
        world.pop3.mailbox().ways.keeps_deleted = true;
        for _ in 0..3 {
            world.poll().await.unwrap();
            world.later(TimeDelta::hours(1));
        }
        assert_eq!((world.app.taken().len(), logins(&world).1), (12, 0), "who deletes is shown slices");
        world.plan.account = "leave_copy = true";
        world.reload().await.unwrap();
        world.put("u12", &message(12));
        for _ in 0..4 {
            world.poll().await.unwrap();
            world.later(TimeDelta::hours(1));
        }
        assert!(logins(&world).1 > 0);
        assert_eq!((world.app.taken().len(), world.receiver.arrivals().len()), (13, 13));
    });
}

/// What is about to be deleted turns out to be another message: it must not go with QUIT.
#[test]
fn what_was_only_compared_is_not_dropped_or_hidden() {
    for drops in [true, false] {
        alone(async move || {
            let account = "leave_copy = \"1h\"";
            let mut world = World::new(Plan { home: None, app: true, account }).await;
            world.put("u1", b"Subject: one\r\n\r\nThe first.\r\n");
            if drops {
                world.pop3.mailbox().ways.capabilities = &["USER", "UIDL", "TOP", "EXPIRE 0"];
            } else {
                world.quirks = Quirks { hides_retrieved: true, ..Quirks::default() };
            }
            world.poll().await.unwrap();
            let other = b"Subject: two\r\n\r\nThe other.\r\n";
            world.pop3.mailbox().messages[0].bytes = other.to_vec();
            if drops {
                world.pop3.mailbox().ways.drops_retrieved = true;
            } else {
                world.pop3.mailbox().ways.shows_at_a_time = Some(SLICE);
            }
            for _ in 0..3 {
                world.later(TimeDelta::hours(2));
                world.poll().await.unwrap();
            }
            assert!(world.app.taken().contains(&other.to_vec()), "dropped: {drops}");
        });
    }
}

/// Nobody asks for what is marked as deleted.
#[test]
fn what_is_being_deleted_is_not_uncovered() {
    alone(async || {
        let mut world = sliced(Plan { account: "leave_copy = \"1h\"", ..TO_APP }).await;
        world.pop3.mailbox().ways.shows_at_a_time = None;
        world.poll().await.unwrap();
        let mailbox = |world: &World| world.pop3.mailbox().messages.len();
        world.pop3.mailbox().messages.iter_mut().for_each(|kept| kept.is_listed = true);
        world.later(TimeDelta::hours(2));
        world.poll().await.unwrap();
        assert_eq!((mailbox(&world), world.pop3.mailbox().misses), (0, 0));
    });
}

/// It is parked, or nobody wants it, and the server hangs up whenever it is asked for: what is behind it comes all the same.
#[test]
fn a_message_that_ends_every_session_hides_no_slice() {
    for account in ["leave_copy = true", "leave_copy = false", "leave_copy = false\nimport = \"new\""] {
        alone(async move || {
            let mut world = sliced(Plan { account, ..TO_APP }).await;
            world.pop3.mailbox().ways.breaks_at = Some((&["RETR"], "u2"));
            for _ in 0..30 {
                world.fetch().await.unwrap();
                world.later(TimeDelta::hours(24));
            }
            let late = received(12, TimeDelta::days(-365));
            world.put("u12", &late);
            for _ in 0..3 {
                world.fetch().await.unwrap();
                world.later(TimeDelta::hours(1));
            }
            let came = if account.contains("new") { 1 } else { 12 };
            assert_eq!(world.app.taken().len(), came, "{account}");
            assert!(world.app.taken().contains(&late));
        });
    }
}

/// Slices that were begun are carried to their end, whatever the config says meanwhile.
#[test]
fn what_is_behind_a_slice_is_found_after_a_change_of_mind() {
    let (keep, days) = ("leave_copy = true", "leave_copy = \"14d\"");
    for changes in [[days, keep], [keep, "import = \"new\""]] {
        alone(async move || {
            let mut world = sliced(Plan { account: changes[0], ..TO_APP }).await;
            world.pop3.mailbox().ways.capabilities = GMAIL;
            if changes[0] == days {
                // All has been carried once, and a backlog has grown since.
                for _ in 0..5 {
                    world.poll().await.unwrap();
                    world.later(TimeDelta::hours(1));
                }
                for n in 12..24 {
                    world.put(&format!("u{n}"), &message(n));
                }
                world.pop3.mailbox().messages[12..22].iter_mut().for_each(|kept| kept.is_recent = false);
            }
            world.poll().await.unwrap();
            for account in [changes[1], keep] {
                world.plan.account = account;
                world.reload().await.unwrap();
                world.later(TimeDelta::hours(1));
                world.poll().await.unwrap();
            }
            for _ in 0..8 {
                world.later(TimeDelta::hours(1));
                world.poll().await.unwrap();
            }
            world.evidence().expect_all_delivered(false).await.unwrap();
        });
    }
}

/// There are fewer of them than show that a mailbox is another one.
#[test]
fn who_wants_only_new_mail_gets_none_of_the_recent_that_came_before() {
    alone(async || {
        let mut world = sliced(Plan { account: "import = \"new\"\nleave_copy = false", ..TO_APP }).await;
        world.pop3.mailbox().ways.capabilities = GMAIL;
        world.poll().await.unwrap();
        world.plan.account = "import = \"new\"\nleave_copy = true";
        world.reload().await.unwrap();
        let late = received(12, TimeDelta::days(-1));
        world.put("u12", &late);
        for _ in 0..3 {
            world.later(TimeDelta::hours(1));
            world.poll().await.unwrap();
        }
        assert_eq!(world.app.taken(), [late]);
    });
}

/// It waited for a destination until it was recent no more. Nobody will see it again, so somebody is told.
#[test]
fn what_is_shown_no_more_is_parked_and_not_forgotten() {
    alone(async || {
        let mut world = sliced(Plan { account: "import = \"new\"", ..TO_APP }).await;
        world.poll().await.unwrap();
        world.app.desk().ways.refuses = Some((503, None));
        world.put("u12", &received(12, TimeDelta::days(-1)));
        world.poll().await.unwrap();
        world.pop3.mailbox().messages.iter_mut().for_each(|kept| kept.is_recent = false);
        world.app.desk().ways.refuses = None;
        let parked = "SELECT count(*) FROM deliveries WHERE state = 'parked' AND reason LIKE 'its source does not show it%'";
        for _ in 0..2 {
            world.later(TimeDelta::days(2));
            world.poll().await.unwrap();
            world.later(TimeDelta::days(2));
            world.poll().await.unwrap();
            assert_eq!(world.count(parked).await, 1);
            world.ledger().expect("it was started").retry(None, None, None, now()).await.unwrap();
            assert_eq!(world.count(parked).await, 0);
        }
    });
}

/// What is recent may be all that a slice has shown: then the slices still have their turn.
#[test]
fn a_mailbox_of_recent_mail_alone_is_polled_as_often_as_it_should_be() {
    alone(async || {
        let mut world = World::new(TO_APP).await;
        world.quirks = Quirks { hides_retrieved: true, ..Quirks::default() };
        world.pop3.mailbox().ways.capabilities = GMAIL;
        for n in 0..3 {
            world.put(&format!("u{n}"), &message(n));
        }
        let mut waits = Vec::new();
        for _ in 0..6 {
            world.poll().await.unwrap();
            waits.push(world.count("SELECT next_poll_at FROM accounts").await - now().timestamp());
            world.later(TimeDelta::hours(1));
        }
        assert_eq!(world.count("SELECT sliced_epoch FROM accounts").await, 1, "{waits:?}");
    });
}

#[test]
fn who_wants_only_new_mail_does_not_go_through_the_slices() {
    alone(async || {
        let mut world = sliced(Plan { account: "import = \"new\"", ..TO_APP }).await;
        world.pop3.mailbox().ways.capabilities = &["USER", "UIDL", "PIPELINING"];
        world.poll().await.unwrap();
        world.put("u12", &message(12));
        world.later(TimeDelta::hours(1));
        world.poll().await.unwrap();
        assert_eq!((world.app.taken(), logins(&world)), (vec![message(12)], (2, 2)));
        // Nor after a long time.
        world.later(TimeDelta::days(90));
        world.put("u13", &message(13));
        world.poll().await.unwrap();
        assert_eq!((logins(&world), world.pop3.mailbox().retrieved), ((3, 3), 2));
    });
}

/// What is recent goes on to the one destination while old mail waits for the other.
#[test]
fn a_destination_that_is_down_for_months_holds_up_no_other() {
    alone(async || {
        let mut world = sliced(Plan { home: Some("INBOX"), ..TO_APP }).await;
        world.app.desk().ways.refuses = Some((410, None));
        for n in 12..24 {
            world.put(&format!("u{n}"), &message(n));
            world.poll().await.unwrap();
            world.later(TimeDelta::days(5));
            for kept in world.pop3.mailbox().messages.iter_mut().take(n - 6) {
                kept.is_recent = false;
            }
            let stored = world.imap.mail().folders["INBOX"].messages.len();
            assert!(stored > n - 8, "{stored} of {n}: what is new waits for nobody");
        }
        world.app.desk().ways.refuses = None;
        world.start().await.unwrap();
        world.ledger().expect("it was started").retry(None, None, None, now()).await.unwrap();
        for _ in 0..6 {
            world.fetch().await.unwrap();
            world.later(TimeDelta::hours(1));
        }
        world.evidence().expect_all_delivered(false).await.unwrap();
        assert_eq!(world.imap.mail().folders["INBOX"].messages.len(), 24, "nothing twice");
    });
}

#[test]
fn with_the_ledger_lost_what_was_delivered_to_one_destination_is_not_doubled_there() {
    alone(async || {
        let mut world = sliced(Plan { home: Some("INBOX"), ..TO_APP }).await;
        world.app.desk().ways.refuses = Some((503, None));
        world.poll().await.unwrap();
        assert_eq!(world.imap.mail().folders["INBOX"].messages.len(), 9);
        world.replace_ledger(None).await;
        world.app.desk().ways.refuses = None;
        for _ in 0..3 {
            world.fetch().await.unwrap();
            world.later(TimeDelta::hours(1));
        }
        world.evidence().expect_all_delivered(false).await.unwrap();
        assert_eq!(world.imap.mail().folders["INBOX"].messages.len(), 12, "nothing twice");
    });
}

/// Gmail lets nobody retrieve more than so much a day.
#[test]
fn what_may_not_be_retrieved_today_is_carried_tomorrow() {
    for leave_copy in ["leave_copy = true", "leave_copy = \"14d\""] {
        alone(async move || {
            let mut world = sliced(Plan { account: leave_copy, ..TO_APP }).await;
            world.pop3.mailbox().ways.refuses = Some(("RETR", "-ERR [SYS/TEMP] bandwidth exceeded"));
            for _ in 0..3 {
                world.poll().await.unwrap();
                world.later(TimeDelta::hours(1));
            }
            assert_eq!(world.count("SELECT max(sliced_epoch) FROM accounts").await, 0);
            world.pop3.mailbox().ways.refuses = None;
            for _ in 0..4 {
                world.fetch().await.unwrap();
                world.later(TimeDelta::days(1));
            }
            world.evidence().expect_all_delivered(false).await.unwrap();
        });
    }
}

/// Each of the slices ends with fewer old messages than show that a mailbox is another one.
#[test]
fn who_wants_only_new_mail_and_deletes_it_gets_no_old_mail() {
    alone(async || {
        let mut world = sliced(Plan { account: "import = \"new\"\nleave_copy = false", ..TO_APP }).await;
        world.poll().await.unwrap();
        let late = received(12, TimeDelta::days(-1));
        world.put("u12", &late);
        for _ in 0..4 {
            world.later(TimeDelta::hours(1));
            world.poll().await.unwrap();
        }
        assert_eq!(world.app.taken(), [late]);
        assert_eq!(world.pop3.mailbox().messages.len(), 12, "and of the old nothing is deleted");
    });
}

/// Nobody wants these messages, and RETR of them is refused for now.
#[test]
fn a_throttled_slice_is_uncovered_later() {
    alone(async || {
        let mut world = sliced(Plan { account: "leave_copy = false\nimport = \"new\"", ..TO_APP }).await;
        world.pop3.mailbox().ways.shows_at_a_time = Some(2);
        world.pop3.mailbox().ways.refuses = Some(("RETR", "-ERR Request is throttled."));
        let late = received(12, TimeDelta::days(-365));
        world.put("u12", &late);
        for _ in 0..5 {
            world.poll().await.unwrap();
            world.later(TimeDelta::hours(6));
        }
        assert_eq!(world.count("SELECT max(refused) FROM messages").await, 0);
        world.pop3.mailbox().ways.refuses = None;
        for _ in 0..4 {
            world.poll().await.unwrap();
            world.later(TimeDelta::hours(6));
        }
        assert_eq!(world.app.taken(), [late]);
    });
}

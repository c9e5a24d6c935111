//! A hundred thousand messages.

use std::fmt::Write;
use std::time::Instant;

use chrono::TimeDelta;

use super::super::{report, soak};
use crate::world::{Plan, World, alone};

const MESSAGES: usize = 100_000;

/// Old mail that nobody asked for; in a soak, all of it is delivered.
fn put_all(world: &mut World) {
    let mut message = String::new();
    for n in 0..MESSAGES {
        message.clear();
        let day = "Mon, 02 Nov 2026 10:00:00 +0000";
        write!(message, "Received: from a by b; {day}\r\nMessage-ID: <{n}@example.com>\r\n\r\nText.\r\n")
            .unwrap();
        let uidl = format!("{n:032x}");
        match soak() {
            true => world.put(&uidl, message.as_bytes()),
            false => world.pop3.mailbox().put(uidl.as_bytes(), message.as_bytes()),
        }
    }
}

async fn run() -> String {
    let import = if soak() { "" } else { "import = \"new\"" };
    let mut world = World::new(Plan { home: Some("INBOX"), app: false, account: import }).await;
    put_all(&mut world);
    let all = if soak() { MESSAGES } else { 0 };
    let mut seconds = Vec::new();
    for turn in 0..6 {
        let new = match turn {
            2 => {
                world.put("new", b"Received: from a by b; Wed, 25 Nov 2026 10:00:00 +0000\r\n\r\nNew.\r\n");
                1
            }
            // Every UIDL is new.
            4 => {
                world.pop3.mailbox().messages.iter_mut().for_each(|kept| kept.uidl.insert(0, b'x'));
                0
            }
            _ => 0,
        };
        let before = world.imap.mail().appended;
        world.later(TimeDelta::minutes(10));
        let started = Instant::now();
        let summary = world.poll().await.unwrap();
        seconds.push(started.elapsed().as_secs_f32());
        assert!(summary.error.is_none(), "{summary:?}");
        let expected = new + if turn == 0 { all } else { 0 };
        assert_eq!(world.imap.mail().appended - before, expected, "deliveries in poll {turn}");
    }
    let rows = world.count("SELECT count(*) FROM messages").await;
    let octets = world.count("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").await;
    world.stop().await;
    assert!(octets < 100 << 20, "the ledger has {octets} octets");
    assert!(seconds[1] < seconds[0], "an unchanged listing costs as much as a new one: {seconds:?}");
    format!(
        "{MESSAGES} messages: {:.1} s for the first listing, {:.1} s unchanged, {:.1} s with one new, {:.1} s with all \
         UIDLs new; {rows} rows in {} MiB",
        seconds[0],
        seconds[1],
        seconds[2],
        seconds[4],
        octets >> 20
    )
}

#[test]
fn a_hundred_thousand_messages_are_listed_and_none_is_delivered_twice() {
    let figures = alone(async || run().await);
    report("UIDL catastrophes", &figures);
}

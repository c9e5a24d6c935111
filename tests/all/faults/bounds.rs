//! Memory and descriptors stay bounded (I8), however many connections break.

use std::fs;

use chrono::TimeDelta;

use super::{count, report};
use crate::cable::{Fault, Way};
use crate::world::{Plan, World, alone};

/// Descriptors of this process, and KiB of memory that are its own.
fn held() -> (usize, u64) {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let row = status.lines().find(|row| row.starts_with("RssAnon:")).unwrap();
    (descriptors, row.split_whitespace().nth(1).unwrap().parse().unwrap())
}

/// One poll after the other, each with new mail and with a link that is cut somewhere.
async fn polls_under_cuts(world: &mut World, from: usize, to: usize) {
    for poll in from..to {
        // Most are short: whatever plays a server here keeps copies of them.
        let lines = if poll % 10 == 0 { poll % 700 } else { poll % 7 };
        let message = format!("Message-ID: <{poll}@example.com>\r\n\r\n{}", "some text\r\n".repeat(lines));
        world.put(&format!("u{poll}"), message.as_bytes());
        let way = if poll % 2 == 0 { Way::Up } else { Way::Down };
        let after = u64::try_from(poll * 37 % 1200).unwrap();
        let fault = if poll % 3 == 0 { Fault::Reset { way, after } } else { Fault::Cut { way, after } };
        let cables = [&world.to_pop3, &world.to_imap, &world.to_app];
        cables[poll % 3].arm(Some(fault));
        world.later(TimeDelta::minutes(10));
        world.poll().await.unwrap();
        let cables = [&world.to_pop3, &world.to_imap, &world.to_app];
        cables[poll % 3].arm(None);
    }
}

#[test]
fn broken_connections_cost_no_descriptor_and_no_memory() {
    let polls = count(400, 10_000);
    let ((fds_before, kib_before), (fds_after, kib_after)) = alone(async move || {
        let plan = Plan { home: Some("INBOX"), app: true, account: "leave_copy = false" };
        let mut world = World::new(plan).await;
        polls_under_cuts(&mut world, 0, polls / 4).await;
        let before = held();
        polls_under_cuts(&mut world, polls / 4, polls).await;
        let after = held();
        for _ in 0..4 {
            world.later(TimeDelta::days(2));
            world.poll().await.unwrap();
        }
        world.evidence().expect_all_delivered(true).await.unwrap();
        (before, after)
    });
    assert!(fds_after <= fds_before + 8, "{fds_before} descriptors became {fds_after}");
    // The servers and the receiver of the test keep all that they were given, five times: 2 KiB a message on average, and
    // as much again for the fields of a request.
    let theirs = polls as u64 * 3 / 4 * 5;
    assert!(kib_after <= kib_before + theirs + 4096, "{kib_before} KiB became {kib_after}");
    report(
        "memory and descriptors",
        &format!("{polls} polls with a cut in each: {fds_before} descriptors, then {fds_after}"),
    );
}

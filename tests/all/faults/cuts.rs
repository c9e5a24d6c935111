//! The connection ends after every single byte, in either direction, to every peer.

use std::time::Instant;

use chrono::TimeDelta;

use super::report;
use crate::cable::{Fault, Way};
use crate::world::{Link, Plan, World, alone, each_in_a_world};

/// The three messages of every run: an ordinary one, one with dots and 8-bit bytes, an empty body.
const MESSAGES: [(&str, &[u8]); 3] = [
    ("u1", b"Message-ID: <1@example.com>\r\nSubject: one\r\n\r\nFirst.\r\n"),
    ("u2", b"Message-ID: <2@example.com>\r\nSubject: two\r\n\r\n.\r\n..\r\n\xfc\x80\r\n"),
    ("u3", b"Subject: three\r\n\r\n"),
];

#[derive(Clone, Copy, Debug)]
struct Case {
    plan: Plan,
    link: Link,
    fault: Fault,
    /// After all bytes of a whole run.
    is_last: bool,
}

const KEEP: &str = "";
const DELETE: &str = "leave_copy = false";

fn plans() -> Vec<(Plan, Link)> {
    let mut plans = Vec::new();
    for account in [KEEP, DELETE] {
        let home = Plan { home: Some("INBOX"), app: false, account };
        let app = Plan { home: None, app: true, account };
        plans.extend([(home, Link::Pop3), (home, Link::Home), (app, Link::Pop3), (app, Link::App)]);
    }
    plans
}

async fn world(plan: Plan) -> World {
    let mut world = World::new(plan).await;
    for (uidl, message) in MESSAGES {
        world.put(uidl, message);
    }
    world
}

async fn run(case: Case) -> Result<(), String> {
    let mut world = world(case.plan).await;
    world.cable(case.link).arm(Some(case.fault));
    world.poll().await.map_err(|fault| fault.to_string())?;
    world.evidence().judge().await?;
    // Only the byte after the last may never come: the client closes first.
    if !world.cable(case.link).has_struck() && !case.is_last {
        return Err("nothing was cut".to_owned());
    }
    world.cable(case.link).arm(None);
    for _ in 0..2 {
        world.later(TimeDelta::hours(1));
        world.poll().await.map_err(|fault| fault.to_string())?;
    }
    world.evidence().expect_all_delivered(case.plan.account == DELETE).await?;
    world.stop().await;
    Ok(())
}

/// How many bytes go each way when nothing goes wrong.
async fn lengths(plan: Plan, link: Link) -> (u64, u64) {
    let mut world = world(plan).await;
    world.poll().await.unwrap();
    world.evidence().expect_all_delivered(plan.account == DELETE).await.unwrap();
    let cable = world.cable(link);
    (cable.passed(Way::Up), cable.passed(Way::Down))
}

#[test]
fn a_cut_after_any_byte_loses_and_doubles_nothing() {
    let mut cases = Vec::new();
    for (plan, link) in plans() {
        let (up, down) = alone(async move || lengths(plan, link).await);
        for (way, length) in [(Way::Up, up), (Way::Down, down)] {
            for after in 0..=length {
                let fault = Fault::Cut { way, after };
                cases.push(Case { plan, link, fault, is_last: after == length });
            }
        }
    }
    let (count, started) = (cases.len(), Instant::now());
    assert!(count >= 6000, "only {count} places for a cut");
    let failures = each_in_a_world(cases, run);
    assert!(failures.is_empty(), "{} of {count}: {:#?}", failures.len(), &failures[..failures.len().min(5)]);
    report(
        "cuts at every byte",
        &format!("{count} cuts in {} s, nothing lost or doubled", started.elapsed().as_secs()),
    );
}

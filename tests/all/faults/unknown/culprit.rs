//! A server breaks at one message, and hangs up each time: the others get past it, and it is parked in the end.

use chrono::TimeDelta;
use mailferry::ledger::Ledger;

use super::{DELETE, KEEP};
use crate::world::{Plan, World, now};

#[derive(Clone, Copy, Debug)]
pub struct Case {
    capabilities: &'static str,
    /// Where in the batch it is.
    place: usize,
    account: &'static str,
}

const CAPABILITIES: [&str; 4] = [
    "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ MULTIAPPEND UIDPLUS",
    "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ MULTIAPPEND",
    "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ UIDPLUS",
    "IMAP4rev1 SASL-IR AUTH=PLAIN",
];

const MESSAGES: usize = 6;
const CULPRIT: &str = "begin 644 winmail.dat";

/// Times four hours: longer than all retries of the schedule together.
const WATCHES: usize = 33;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for capabilities in CAPABILITIES {
        for (place, account) in [(0, KEEP), (MESSAGES / 2, DELETE), (MESSAGES - 1, KEEP)] {
            cases.push(Case { capabilities, place, account });
        }
    }
    cases
}

pub async fn run(case: Case) -> Result<(), String> {
    let mut world = World::new(Plan { home: Some("INBOX"), app: false, account: case.account }).await;
    world.imap.mail().ways.capabilities = case.capabilities;
    world.imap.mail().ways.breaks_at = Some(CULPRIT);
    for n in 0..MESSAGES {
        let body = if n == case.place { CULPRIT } else { "Hello." };
        world.put(&format!("u{n}"), format!("Message-ID: <{n}@example.com>\r\n\r\n{body}\r\n").as_bytes());
    }
    for seconds in [0, 2, 31, 60, 60, 60, 60, 60] {
        poll_after(&mut world, seconds).await?;
    }
    let delivered = world.imap.mail().all().len();
    if delivered != MESSAGES - 1 {
        return Err(format!("{delivered} were delivered within six minutes, not {}", MESSAGES - 1));
    }
    let error = error(&world).await?;
    if !error.contains("1 waiting: home: ") {
        return Err(format!("people are told: {error}"));
    }
    for _ in 0..WATCHES {
        for seconds in [4 * 3600, 2, 31] {
            poll_after(&mut world, seconds).await?;
        }
    }
    match world.count("SELECT count(*) FROM deliveries WHERE state = 'parked' AND reason <> ''").await {
        1 => {}
        parked => return Err(format!("{parked} are parked")),
    }
    world.imap.mail().ways.breaks_at = None;
    world.ledger().expect("it is held").retry(None, None, None, now()).await.map_err(|e| e.to_string())?;
    poll_after(&mut world, 60).await?;
    world.evidence().expect_all_delivered(case.account == DELETE).await?;
    world.stop().await;
    Ok(())
}

async fn poll_after(world: &mut World, seconds: i64) -> Result<(), String> {
    world.later(TimeDelta::seconds(seconds));
    world.poll().await.map_err(|fault| fault.to_string())?;
    world.evidence().judge().await
}

/// What `status` says of the account.
async fn error(world: &World) -> Result<String, String> {
    let ledger: &Ledger = world.ledger().expect("it is held");
    let status = ledger.report().status().await.map_err(|fault| fault.to_string())?;
    Ok(status.accounts[0].error.as_ref().map(|error| error.text.clone()).unwrap_or_default())
}

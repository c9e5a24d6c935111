//! The answer to QUIT is lost, after which deletions may have been made or not (W9): the next listing tells.

use chrono::TimeDelta;

use super::DELETE;
use crate::world::{Plan, World};

#[derive(Clone, Copy, Debug)]
pub struct Case {
    to_app: bool,
    /// The server has made the deletions.
    deletes: bool,
    crashes: bool,
    meanwhile: Meanwhile,
}

/// What happens at the source before the next poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// The same message comes again, under another UIDL.
    TwinComes,
    /// Another message of the same size comes under the UIDL of the first.
    UidlReused,
    /// The server restores its mailbox from a backup: all is there again.
    Restored,
    /// A poll sees nothing at all, the next one what is there.
    ListedLate,
}

const MEANWHILE: [Meanwhile; 5] = [
    Meanwhile::Nothing,
    Meanwhile::TwinComes,
    Meanwhile::UidlReused,
    Meanwhile::Restored,
    Meanwhile::ListedLate,
];

const MESSAGES: [(&str, &[u8]); 3] = [
    ("u1", b"Message-ID: <1@example.com>\r\n\r\nOne.\r\n"),
    ("u2", b"Message-ID: <2@example.com>\r\n\r\nTwo.\r\n"),
    ("u3", b"Subject: three\r\n\r\nThree.\r\n"),
];
const STRANGER: &[u8] = b"Message-ID: <9@example.com>\r\n\r\nNew.\r\n";

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for meanwhile in MEANWHILE {
        for bits in 0..8 {
            let (to_app, deletes, crashes) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
            // Where nothing was deleted, nobody has to restore it, and no UIDL is free.
            let makes_sense = deletes || !matches!(meanwhile, Meanwhile::Restored | Meanwhile::UidlReused);
            cases.extend(makes_sense.then_some(Case { to_app, deletes, crashes, meanwhile }));
        }
    }
    cases
}

pub async fn run(case: Case) -> Result<(), String> {
    let home = (!case.to_app).then_some("INBOX");
    let mut world = World::new(Plan { home, app: case.to_app, account: DELETE }).await;
    for (uidl, message) in MESSAGES {
        world.put(uidl, message);
    }
    let all = world.pop3.mailbox().messages.clone();
    lose(&mut world, case).await?;
    match case.meanwhile {
        Meanwhile::TwinComes => world.put("u4", MESSAGES[0].1),
        Meanwhile::UidlReused => world.put("u1", STRANGER),
        Meanwhile::Restored => world.pop3.mailbox().messages = all,
        Meanwhile::Nothing | Meanwhile::ListedLate => {}
    }
    set_listed(&world, case.meanwhile != Meanwhile::ListedLate);
    for _ in 0..3 {
        world.later(TimeDelta::minutes(10));
        world.poll().await.map_err(|fault| fault.to_string())?;
        world.evidence().judge().await?;
        set_listed(&world, true);
    }
    let extra = usize::from(matches!(case.meanwhile, Meanwhile::TwinComes | Meanwhile::UidlReused));
    let sent = if case.to_app { world.receiver.arrivals().len() } else { world.imap.mail().appended };
    if sent != MESSAGES.len() + extra {
        return Err(format!("{sent} were sent"));
    }
    world.evidence().expect_all_delivered(true).await?;
    world.stop().await;
    Ok(())
}

async fn lose(world: &mut World, case: Case) -> Result<(), String> {
    {
        let mut mailbox = world.pop3.mailbox();
        mailbox.ways.forgets_deletions = !case.deletes;
        mailbox.ways.mute_at_quit = !case.crashes;
        mailbox.ways.hangs_at_quit = case.crashes;
    }
    if case.crashes {
        let hangs = world.pop3.mailbox().hangs.clone();
        world.poll_and_crash(hangs.cancelled_owned()).await.map_err(|fault| fault.to_string())?;
    } else {
        world.poll().await.map_err(|fault| fault.to_string())?;
    }
    world.pop3.mailbox().ways = Default::default();
    let left = world.pop3.mailbox().messages.len();
    if left != if case.deletes { 0 } else { MESSAGES.len() } {
        return Err(format!("{left} are left at the source"));
    }
    world.evidence().judge().await
}

fn set_listed(world: &World, is_listed: bool) {
    world.pop3.mailbox().messages.iter_mut().for_each(|kept| kept.is_listed = is_listed);
}

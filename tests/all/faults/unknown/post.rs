//! The answer of a webhook is lost (W10). It cannot be asked: it gets the same id and the same bytes again.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::{DELETE, KEEP};
use crate::cable::{Fault, Way};
use crate::world::{Plan, World};

#[derive(Clone, Copy, Debug)]
pub struct Case {
    messages: usize,
    lost: Lost,
    crashes: bool,
    meanwhile: Meanwhile,
    account: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// The request breaks off: nothing has arrived.
    Request,
    /// The answer breaks off after its first byte, or before its last line.
    AtOnce,
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// All UIDLs at the source are new.
    Renamed,
    /// An IMAP folder is added to the account: it takes later mail only.
    FolderAdded,
    ClockForward,
}

const ALL: [Meanwhile; 4] =
    [Meanwhile::Nothing, Meanwhile::Renamed, Meanwhile::FolderAdded, Meanwhile::ClockForward];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for lost in [Lost::Request, Lost::AtOnce, Lost::Late] {
        for meanwhile in ALL {
            for bits in 0..8 {
                let account = if bits & 1 == 0 { KEEP } else { DELETE };
                let (crashes, messages) = (bits & 2 == 0, if bits & 4 == 0 { 1 } else { 5 });
                cases.push(Case { messages, lost, crashes, meanwhile, account });
            }
        }
    }
    cases
}

pub async fn run(case: Case) -> Result<(), String> {
    let mut world = World::new(Plan { home: None, app: true, account: case.account }).await;
    for n in 0..case.messages {
        let text = format!("Message-ID: <{n}@example.com>\r\n\r\n{}", "Line.\r\n".repeat(200));
        world.put(&format!("u{n}"), text.as_bytes());
    }
    lose(&mut world, case).await?;
    match case.meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Renamed => rename_all(&world),
        Meanwhile::FolderAdded => {
            world.stop().await;
            world.plan.home = Some("INBOX");
        }
        Meanwhile::ClockForward => world.later(TimeDelta::days(30)),
    }
    for minutes in [1, 10, 60] {
        world.later(TimeDelta::minutes(minutes));
        world.poll().await.map_err(|fault| fault.to_string())?;
    }
    world.plan.home = None;
    let arrivals = world.receiver.arrivals();
    let ids: BTreeSet<&str> = arrivals.iter().map(|arrival| arrival.header("webhook-id")).collect();
    if ids.len() != case.messages {
        return Err(format!("{} ids for {} messages", ids.len(), case.messages));
    }
    // A crash ends the other requests under way as well.
    let twice = usize::from(case.lost != Lost::Request);
    let most = case.messages + if case.crashes { case.messages } else { twice };
    if !(case.messages + twice..=most).contains(&arrivals.len()) {
        return Err(format!("{} requests for {} messages", arrivals.len(), case.messages));
    }
    world.evidence().expect_all_delivered(case.account == DELETE).await?;
    world.stop().await;
    Ok(())
}

async fn lose(world: &mut World, case: Case) -> Result<(), String> {
    let (way, after) = match case.lost {
        Lost::Request => (Way::Up, 1000),
        Lost::AtOnce => (Way::Down, 1),
        Lost::Late => (Way::Down, 40),
    };
    let fault = if case.crashes { Fault::Stall { way, after } } else { Fault::Cut { way, after } };
    world.to_app.arm(Some(fault));
    if case.crashes {
        let struck = world.to_app.struck();
        world.poll_and_crash(struck).await.map_err(|fault| fault.to_string())?;
    } else {
        world.poll().await.map_err(|fault| fault.to_string())?;
    }
    if !world.to_app.has_struck() {
        return Err("nothing was lost".to_owned());
    }
    world.to_app.arm(None);
    world.evidence().judge().await
}

fn rename_all(world: &World) {
    for kept in &mut world.pop3.mailbox().messages {
        kept.uidl.insert(0, b'x');
    }
}

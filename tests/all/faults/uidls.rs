//! UIDL catastrophes: a server's listing says something else than it should, and nothing is lost, delivered again or
//! deleted for it.
//!
//! Where UIDL and size tell nothing any more, content decides; two limits of that are written down as tests
//! (`ReusedForTheSameSize`, `TwinAfterADelete`).

mod large;
mod passing;
mod renamed;
mod shared;

use std::time::Instant;

use chrono::TimeDelta;

use super::{report, run_all};
use crate::servers::pop3::Kept;
use crate::world::{Plan, World};

/// How long a copy stays at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Keep,
    /// Two weeks.
    Weeks,
    /// Deleted when delivered. The catastrophe comes while all waits for a destination that is down.
    Delete,
}

use Policy::{Delete, Keep, Weeks};

#[derive(Clone, Copy, Debug)]
enum Catastrophe {
    Renamed(renamed::Case),
    Shared(shared::Case),
    Passing(passing::Case),
}

fn cases() -> Vec<(Catastrophe, Policy)> {
    let renamed = renamed::CASES.into_iter().map(Catastrophe::Renamed);
    let shared = shared::CASES.into_iter().map(Catastrophe::Shared);
    let passing = passing::CASES.into_iter().map(Catastrophe::Passing);
    let all = renamed.chain(shared).chain(passing);
    all.flat_map(|catastrophe| [Keep, Weeks, Delete].map(|policy| (catastrophe, policy))).collect()
}

async fn run((catastrophe, policy): (Catastrophe, Policy)) -> Result<(), String> {
    let mut scene = Scene::new(policy).await;
    match catastrophe {
        Catastrophe::Renamed(case) => renamed::play(case, &mut scene).await?,
        Catastrophe::Shared(case) => shared::play(case, &mut scene).await?,
        Catastrophe::Passing(case) => passing::play(case, &mut scene).await?,
    }
    scene.end().await
}

#[test]
fn whatever_becomes_of_uidls_nothing_is_lost_or_doubled() {
    let started = Instant::now();
    let count = run_all(cases(), run);
    report("UIDL catastrophes", &format!("{count} in {} s", started.elapsed().as_secs()));
}

/// Mail in a mailbox, and a bridge whose deliveries are counted.
struct Scene {
    world: World,
    policy: Policy,
    /// Deliveries that there should have been so far.
    delivered: usize,
    /// Deliveries that wait for the destination.
    waiting: usize,
}

impl Scene {
    async fn new(policy: Policy) -> Scene {
        let account = match policy {
            Keep => "",
            Weeks => "leave_copy = \"14d\"",
            Delete => "leave_copy = false",
        };
        let world = World::new(Plan { home: Some("INBOX"), app: false, account }).await;
        Scene { world, policy, delivered: 0, waiting: 0 }
    }

    /// Puts `number` messages, all of one size, under `u0`, `u1`, ...
    fn put(&mut self, number: usize) {
        for n in 0..number {
            self.world.put(&format!("u{n}"), &mail(n));
        }
    }

    /// The mailbox is listed for the first time; nothing can be delivered where the policy is to delete.
    async fn import(&mut self, number: usize) -> Result<(), String> {
        if self.policy == Delete {
            self.world.imap.mail().ways.is_down = true;
            self.polls(1).await?;
            self.world.imap.mail().ways.is_down = false;
            self.waiting = number;
            return Ok(());
        }
        self.expect(number).await
    }

    /// In the next two polls `new` messages are delivered, beside those that wait.
    async fn expect(&mut self, new: usize) -> Result<(), String> {
        self.polls(2).await?;
        self.delivered += new + std::mem::take(&mut self.waiting);
        let appended = self.world.imap.mail().appended;
        match appended == self.delivered {
            true => Ok(()),
            false => Err(format!("{appended} deliveries, not {}", self.delivered)),
        }
    }

    async fn polls(&mut self, number: usize) -> Result<(), String> {
        for _ in 0..number {
            self.world.later(TimeDelta::minutes(10));
            let summary = self.world.fetch().await.map_err(|fault| fault.to_string())?;
            if let Some((_, error)) = summary.error {
                return Err(error);
            }
            self.judge().await?;
        }
        Ok(())
    }

    async fn judge(&self) -> Result<(), String> {
        self.world.evidence().judge().await
    }

    /// All that is due has been delivered; what may go goes, and what may not stays.
    async fn end(&mut self) -> Result<(), String> {
        let left = self.world.pop3.mailbox().messages.len();
        self.expect(0).await?;
        if self.policy == Weeks {
            self.world.later(TimeDelta::days(15));
            self.expect(0).await?;
        }
        let left = if self.policy == Keep { left } else { 0 };
        let there = self.world.pop3.mailbox().messages.len();
        if there != left {
            return Err(format!("{there} messages are left at the source, not {left}"));
        }
        self.world.stop().await;
        Ok(())
    }

    /// Each message at the source, with its place.
    fn at_source(&self, mut change: impl FnMut(usize, &mut Kept)) {
        self.world.pop3.mailbox().messages.iter_mut().enumerate().for_each(|(n, kept)| change(n, kept));
    }

    fn rename(&self, name: impl Fn(usize) -> String) {
        self.at_source(|n, kept| kept.uidl = name(n).into_bytes());
    }
}

/// One of many messages that differ in content alone.
fn mail(n: usize) -> Vec<u8> {
    format!("Message-ID: <{n:05}@example.com>\r\nSubject: mail\r\n\r\nText {n:05}.\r\n").into_bytes()
}

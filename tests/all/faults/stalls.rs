//! A peer falls silent at every step of a conversation: the poll ends within that step's deadline and a second, all mail
//! arrives when the peer is back, and meanwhile another account's mail arrives as if nothing were (A06).

mod clock;
mod limits;
mod mute;
mod neighbour;
mod special;
mod steps;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use self::clock::{Clock, SECOND};
use self::neighbour::Neighbour;
use self::steps::{Protocol, Step, steps};
use super::report;
use crate::cable::{Cable, Fault, Way};
use crate::world::{Plan, World, alone, each_in_a_world};

/// Conversations that between them have every command that mailferry knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// A mailbox that is emptied, by a server that takes many commands at a time.
    Source,
    /// A server that takes one at a time, and must show headers before old mail is told from new.
    OldSource,
    /// A folder that is still to be made, on a server that takes all messages in one command.
    Folder,
    /// The same on a server that can nothing of the kind, and says so only when asked.
    OldFolder,
    /// A session that has rested.
    Rested,
    /// An answer was lost: what has arrived is looked for, by its bytes and by its name.
    LookUp,
    Endpoint,
}

const SCENES: [Scene; 7] = [
    Scene::Source,
    Scene::OldSource,
    Scene::Folder,
    Scene::OldFolder,
    Scene::Rested,
    Scene::LookUp,
    Scene::Endpoint,
];

const MESSAGES: [&str; 3] = [
    "Message-ID: <1@example.com>\r\nSubject: one\r\n\r\nFirst.\r\n",
    "Message-ID: <2@example.com>\r\nSubject: two\r\n\r\n.\r\nSecond.\r\n",
    "Message-ID: <3@example.com>\r\nSubject: three\r\n\r\n",
];

impl Scene {
    fn plan(self) -> Plan {
        let account = match self {
            Scene::Source => "leave_copy = false",
            Scene::OldSource => "leave_copy = false\nimport = \"new\"",
            _ => "",
        };
        let folder = if matches!(self, Scene::Folder | Scene::OldFolder) { "Work" } else { "INBOX" };
        let app = self == Scene::Endpoint;
        Plan { home: (!app).then_some(folder), app, account }
    }

    fn protocol(self) -> Protocol {
        match self {
            Scene::Source | Scene::OldSource => Protocol::Pop3,
            Scene::Folder | Scene::OldFolder | Scene::Rested | Scene::LookUp => Protocol::Imap,
            Scene::Endpoint => Protocol::Http,
        }
    }

    fn cable(self, world: &World) -> &Cable {
        match self.protocol() {
            Protocol::Pop3 => &world.to_pop3,
            Protocol::Imap => &world.to_imap,
            Protocol::Http => &world.to_app,
        }
    }

    /// A world in which the conversation is about to happen.
    async fn world(self) -> (World, Neighbour, Clock) {
        let mut world = World::new(self.plan()).await;
        let neighbour = Neighbour::of(&mut world).await;
        match self {
            Scene::OldSource => {
                world.pop3.mailbox().ways.capabilities = &["USER", "TOP", "UIDL", "EXPIRE NEVER USER"];
            }
            Scene::OldFolder => {
                let ways = &mut world.imap.mail().ways;
                (ways.capabilities, ways.is_reserved) = ("IMAP4rev1 AUTH=PLAIN", true);
            }
            _ => {}
        }
        world.start().await.unwrap();
        let clock = Clock::stop();
        let messages = if self == Scene::Endpoint { &MESSAGES[..1] } else { &MESSAGES[..] };
        if self == Scene::Rested {
            world.put("first", b"Subject: first\r\n\r\n");
            clock.ended(&world, &mut world.begin_poll("old", true)).await.unwrap().outcome.unwrap();
            clock.pass(&world, 20 * SECOND).await;
        }
        for (n, message) in messages.iter().enumerate() {
            world.put(&format!("u{n}"), message.as_bytes());
        }
        if self == Scene::LookUp {
            lose_an_answer(&world, &clock).await;
        }
        (world, neighbour, clock)
    }
}

/// Of three messages one was stored, beside a stranger's, and nobody was told.
async fn lose_an_answer(world: &World, clock: &Clock) {
    let (before_the_text, way) = (120, Way::Up);
    world.to_imap.arm(Some(Fault::Cut { way, after: before_the_text }));
    clock.ended(world, &mut world.begin_poll("old", true)).await.unwrap().outcome.unwrap();
    {
        let mut mail = world.imap.mail();
        assert_eq!(mail.all().len(), 0);
        mail.folder("INBOX").store(MESSAGES[0].into());
    }
    clock.pass(world, 40 * SECOND).await;
}

#[derive(Clone, Copy, Debug)]
struct Case {
    scene: Scene,
    step: Step,
    /// Whoever connects anew finds silence as well.
    hangs: bool,
}

impl Case {
    /// When the poll must still be under way, and when it must be over, in seconds.
    fn bounds(self) -> (u64, u64) {
        let Some((name, seconds)) = self.step.awaited else { return (0, 0) };
        // A second connection is made where only the first may be at fault: for what it was asked, or since it is old.
        let again = self.hangs && matches!(name, "CAPA" | "NOOP");
        (seconds - 1, if again { seconds + 61 } else { seconds + 1 })
    }
}

async fn cases(scene: Scene) -> Vec<Case> {
    let (world, _, clock) = scene.world().await;
    scene.cable(&world).arm(None);
    scene.cable(&world).listen();
    clock.ended(&world, &mut world.begin_poll("old", true)).await.unwrap().outcome.unwrap();
    let steps = steps(scene.protocol(), &scene.cable(&world).heard());
    steps.into_iter().flat_map(|step| [false, true].map(|hangs| Case { scene, step, hangs })).collect()
}

async fn run(case: Case) -> Result<(), String> {
    let (mut world, neighbour, clock) = case.scene.world().await;
    let Step { way, after, .. } = case.step;
    let fault = if case.hangs { Fault::Hang { way, after } } else { Fault::Stall { way, after } };
    case.scene.cable(&world).arm(Some(fault));
    let mut polls = world.begin_poll("old", true);
    case.scene.cable(&world).struck().await;
    world.settle().await;

    let (not_before, at_last) = case.bounds();
    neighbour.gets_mail(&world, &clock).await?;
    let mut passed = 0;
    while passed < not_before {
        if let Some(polled) = polls.try_join_next() {
            return Err(format!("ended after {passed} s: {:?}", polled.unwrap().outcome));
        }
        let step = (not_before - passed).min(30);
        clock.pass(&world, Duration::from_secs(step)).await;
        passed += step;
    }
    neighbour.gets_mail(&world, &clock).await?;
    let left = at_last - not_before;
    let Some((seconds, _)) = clock.wait(&world, &mut polls, left).await else {
        return Err(format!("still under way after {at_last} s"));
    };
    if not_before > 0 && seconds == 0 {
        return Err(format!("ended after {not_before} s"));
    }
    neighbour.gets_mail(&world, &clock).await?;
    expect_all_in_the_end(&mut world, &clock, case).await
}

async fn expect_all_in_the_end(world: &mut World, clock: &Clock, case: Case) -> Result<(), String> {
    world.evidence().judge().await?;
    case.scene.cable(world).arm(None);
    for _ in 0..2 {
        world.later(TimeDelta::hours(2));
        let polled = clock.wait(world, &mut world.begin_poll("old", false), 200).await;
        polled.ok_or("the peer is back, and the poll does not end")?.1.outcome.map_err(|e| e.to_string())?;
    }
    world.evidence().expect_all_delivered(case.scene.plan().account.contains("leave_copy")).await
}

#[test]
fn silence_at_any_step_ends_the_poll_in_time() {
    let started = Instant::now();
    let only = std::env::var("MAILFERRY_STALLS").ok();
    let mut all = Vec::new();
    for scene in SCENES {
        all.extend(alone(async move || cases(scene).await));
    }
    let mut commands: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &all {
        *commands.entry(case.step.awaited.map_or("nothing", |(name, _)| name)).or_default() += 1;
    }
    let missed: Vec<&str> =
        steps::awaited().filter(|name| !commands.contains_key(name) && !special::has(name)).collect();
    assert!(missed.is_empty(), "nothing stalls at {missed:?}");
    let name = |case: &Case| format!("{case:?}");
    all.retain(|case| only.as_ref().is_none_or(|only| name(case).contains(only)));
    let count = all.len();
    let failures = each_in_a_world(all, run);
    let shown: Vec<String> = failures.iter().map(|(case, fault)| format!("{case:?}: {fault}")).collect();
    assert!(
        failures.is_empty(),
        "{} of {count} (MAILFERRY_STALLS=\"part of a case\" runs it alone):\n{}",
        failures.len(),
        shown.join("\n")
    );
    report("stalls at every step", &format!("{count} in {} s, of {commands:?}", started.elapsed().as_secs()));
}

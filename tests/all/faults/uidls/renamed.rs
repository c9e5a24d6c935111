//! UIDLs that change, and UIDLs that are used again for other mail.

use std::mem::swap;

use crate::cable::{Fault, Way};

use super::{Delete, Keep, Scene, Weeks, mail};

#[derive(Clone, Copy, Debug)]
pub enum Case {
    /// A provider moved: 500 messages, and every UIDL is new.
    All,
    EverySecond,
    /// There and back, five times.
    InTurn,
    /// The import broke off, and then every UIDL is new.
    InTheMiddle,
    /// The import broke off with the process.
    InTheMiddleOfACrash,
    /// With new mail among the old.
    WithNewMail,
    /// Every UIDL is new while the destination is down: what is known already must not be what it is tried with.
    WhileDown,
    /// Two messages of one size change places.
    Swapped,
    /// Two messages of different sizes do.
    SwappedSizes,
    /// UIDLs are message-numbers, and another client deletes the first message.
    Renumbered,
    /// Other mail comes under a known UIDL.
    ReusedForAnotherSize,
    /// .. of the same size, which the listing cannot show: it waits at the source, and is not deleted.
    ReusedForTheSameSize,
    /// Under the UIDL of what we deleted comes other mail of the same size.
    ReusedAfterOurDelete,
    /// The user changed: another mailbox under the same UIDLs and sizes.
    AnotherMailbox,
    /// .. which shares three messages with the first.
    AnotherMailboxWithSomeOfTheSame,
    /// The user changed, and it is the same mailbox.
    AnotherNameForTheSame,
    /// There and back.
    AnotherMailboxAndBack,
}

pub const CASES: [Case; 17] = [
    Case::All,
    Case::EverySecond,
    Case::InTurn,
    Case::InTheMiddle,
    Case::InTheMiddleOfACrash,
    Case::WithNewMail,
    Case::WhileDown,
    Case::Swapped,
    Case::SwappedSizes,
    Case::Renumbered,
    Case::ReusedForAnotherSize,
    Case::ReusedForTheSameSize,
    Case::ReusedAfterOurDelete,
    Case::AnotherMailbox,
    Case::AnotherMailboxWithSomeOfTheSame,
    Case::AnotherNameForTheSame,
    Case::AnotherMailboxAndBack,
];

pub async fn play(case: Case, scene: &mut Scene) -> Result<(), String> {
    match case {
        Case::All => all(scene, 500).await,
        Case::EverySecond => every_second(scene).await,
        Case::InTurn => in_turn(scene).await,
        Case::InTheMiddle => in_the_middle(scene, false).await,
        Case::InTheMiddleOfACrash => in_the_middle(scene, true).await,
        Case::WithNewMail => with_new_mail(scene).await,
        Case::WhileDown => while_down(scene).await,
        Case::Swapped => swapped(scene, 0).await,
        Case::SwappedSizes => swapped(scene, 10).await,
        Case::Renumbered => renumbered(scene).await,
        Case::ReusedForAnotherSize => {
            reused(scene, b"Subject: another\r\n\r\nLonger than the first one was.\r\n").await
        }
        Case::ReusedForTheSameSize => reused_for_the_same_size(scene).await,
        Case::ReusedAfterOurDelete => reused_after_our_delete(scene).await,
        Case::AnotherMailbox => another_mailbox(scene, 0).await,
        Case::AnotherMailboxWithSomeOfTheSame => another_mailbox(scene, 3).await,
        Case::AnotherNameForTheSame => another_name(scene).await,
        Case::AnotherMailboxAndBack => there_and_back(scene).await,
    }
}

async fn all(scene: &mut Scene, number: usize) -> Result<(), String> {
    scene.put(number);
    scene.import(number).await?;
    scene.rename(|n| format!("v{n}"));
    scene.expect(0).await
}

async fn every_second(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    scene.rename(|n| if n % 2 == 0 { format!("v{n}") } else { format!("u{n}") });
    scene.expect(0).await
}

async fn in_turn(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    for turn in 0..10 {
        scene.rename(|n| format!("{}{n}", if turn % 2 == 0 { 'v' } else { 'u' }));
        scene.expect(0).await?;
    }
    Ok(())
}

async fn in_the_middle(scene: &mut Scene, crashes: bool) -> Result<(), String> {
    scene.put(300);
    let (way, after) = (Way::Down, 20_000);
    let fault = if crashes { Fault::Stall { way, after } } else { Fault::Cut { way, after } };
    scene.world.to_pop3.arm(Some(fault));
    let struck = scene.world.to_pop3.struck();
    if crashes {
        scene.world.poll_and_crash(struck).await.map_err(|fault| fault.to_string())?;
    } else {
        scene.world.poll().await.map_err(|fault| fault.to_string())?;
    }
    if !scene.world.to_pop3.has_struck() {
        return Err("the import did not break off".to_owned());
    }
    scene.judge().await?;
    scene.rename(|n| format!("v{n}"));
    // A message that was in a batch when the process ended is looked for in the folder first, twice.
    scene.polls(3).await?;
    scene.expect(300).await
}

async fn with_new_mail(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    scene.rename(|n| format!("v{n}"));
    for n in 30..35 {
        scene.world.put(&format!("w{n}"), &mail(n));
    }
    scene.expect(5).await
}

async fn while_down(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    scene.world.put("u30", &mail(30));
    scene.world.imap.mail().ways.is_down = true;
    scene.world.stop().await;
    scene.polls(1).await?;
    scene.world.imap.mail().ways.is_down = false;
    scene.rename(|n| format!("v{n}"));
    scene.expect(1).await
}

/// The second message is so many lines `longer` than the first.
async fn swapped(scene: &mut Scene, longer: usize) -> Result<(), String> {
    scene.world.put("u0", &mail(0));
    scene.world.put("u1", &[mail(1), b"More.\r\n".repeat(longer)].concat());
    scene.import(2).await?;
    if let [first, second] = &mut scene.world.pop3.mailbox().messages[..] {
        swap(&mut first.uidl, &mut second.uidl);
    }
    scene.expect(0).await
}

async fn renumbered(scene: &mut Scene) -> Result<(), String> {
    for n in 0..30 {
        scene.world.put("", &[mail(n), b"More.\r\n".repeat(n)].concat());
    }
    scene.rename(|n| format!("{}", n + 1));
    scene.import(30).await?;
    if scene.policy == Delete {
        // Nobody but us is to delete what waits.
        return scene.expect(0).await;
    }
    scene.world.pop3.mailbox().messages.remove(0);
    scene.rename(|n| format!("{}", n + 1));
    scene.expect(0).await
}

/// Other mail takes the place of the first message once that is delivered, and gone by somebody else's hand.
async fn reused(scene: &mut Scene, other: &[u8]) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    scene.expect(0).await?;
    scene.world.pop3.mailbox().messages.retain(|kept| kept.uidl != b"u0");
    scene.world.put("u0", other);
    scene.expect(1).await
}

async fn reused_for_the_same_size(scene: &mut Scene) -> Result<(), String> {
    if scene.policy == Delete {
        return reused(scene, &mail(99)).await;
    }
    scene.put(30);
    scene.import(30).await?;
    scene.world.pop3.mailbox().messages.retain(|kept| kept.uidl != b"u0");
    scene.world.put("u0", &mail(99));
    scene.expect(0).await?;
    if scene.policy == Weeks {
        // Just before it would be deleted its bytes are looked at.
        scene.world.later(chrono::TimeDelta::days(15));
        scene.expect(1).await?;
    }
    Ok(())
}

async fn reused_after_our_delete(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    scene.expect(0).await?;
    if scene.policy != Delete {
        return Ok(());
    }
    for n in 0..30 {
        scene.world.put(&format!("u{n}"), &mail(100 + n));
    }
    scene.expect(30).await
}

/// Twenty messages in each, of which the last `same` are the same.
async fn another_mailbox(scene: &mut Scene, same: usize) -> Result<(), String> {
    scene.put(20);
    if scene.policy == Delete {
        // What waits in a mailbox that nobody polls any more is nobody's to deliver.
        scene.expect(20).await?;
    } else {
        scene.import(20).await?;
    }
    let first = std::mem::take(&mut scene.world.pop3.mailbox().messages);
    for n in 0..20 - same {
        scene.world.put(&format!("u{n}"), &mail(100 + n));
    }
    if scene.policy != Delete {
        let shared = first.iter().rev().take(same).cloned();
        scene.world.pop3.mailbox().messages.extend(shared);
    }
    log_in_as(scene, "new").await;
    scene.expect(20 - same).await
}

async fn another_name(scene: &mut Scene) -> Result<(), String> {
    scene.put(20);
    scene.import(20).await?;
    log_in_as(scene, "new").await;
    scene.expect(0).await
}

async fn there_and_back(scene: &mut Scene) -> Result<(), String> {
    scene.put(20);
    match scene.policy {
        Keep | Weeks => scene.import(20).await?,
        Delete => scene.expect(20).await?,
    }
    let first = std::mem::take(&mut scene.world.pop3.mailbox().messages);
    for n in 0..20 {
        scene.world.put(&format!("u{n}"), &mail(100 + n));
    }
    log_in_as(scene, "new").await;
    scene.expect(20).await?;
    let second = std::mem::replace(&mut scene.world.pop3.mailbox().messages, first);
    log_in_as(scene, "old").await;
    scene.expect(0).await?;
    let second = std::mem::replace(&mut scene.world.pop3.mailbox().messages, second);
    log_in_as(scene, "new").await;
    scene.expect(0).await?;
    scene.world.pop3.mailbox().messages.extend(second);
    scene.expect(0).await
}

async fn log_in_as(scene: &mut Scene, user: &'static str) {
    scene.world.stop().await;
    scene.world.user = user;
}

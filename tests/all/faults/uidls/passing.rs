//! Messages that come and go in listings, change their size or their header, or do not go when they should.

use chrono::TimeDelta;

use super::{Delete, Keep, Scene, Weeks, mail};

#[derive(Clone, Copy, Debug)]
pub enum Case {
    /// Half of the mailbox and all of it in turn, fifty times.
    HalfInTurn,
    EmptyOnce,
    /// The process starts anew with an empty listing.
    EmptyAtAStart,
    /// At first only half is listed.
    HalfAtFirst,
    /// LIST says another size each time.
    SizesChange,
    /// LIST says nothing that is true.
    SizesLie,
    /// The server writes Status and X-UIDL into the header.
    HeadersRewritten,
    /// DELE is answered with +OK, and nothing goes.
    DeleIgnored,
    /// What we deleted is there again.
    BackAfterOurDelete,
    /// .. under another UIDL: to a mailbox that is another message.
    BackUnderAnotherUidl,
    /// Listed every hundred days, for years.
    ListedAllAlong,
    /// Gone for 399 days.
    BackAfterAYear,
    /// Gone for 401 days: its row is gone, too.
    BackTooLate,
    /// Listings that did not change count as seen.
    SeenUnchanged,
    /// Old mail that was not wanted stays so when all UIDLs are new.
    OldMailRenamed,
    /// Old mail was not wanted, and then comes twenty-five new at once.
    NewMailAtOnce,
}

pub const CASES: [Case; 16] = [
    Case::HalfInTurn,
    Case::EmptyOnce,
    Case::EmptyAtAStart,
    Case::HalfAtFirst,
    Case::SizesChange,
    Case::SizesLie,
    Case::HeadersRewritten,
    Case::DeleIgnored,
    Case::BackAfterOurDelete,
    Case::BackUnderAnotherUidl,
    Case::ListedAllAlong,
    Case::BackAfterAYear,
    Case::BackTooLate,
    Case::SeenUnchanged,
    Case::OldMailRenamed,
    Case::NewMailAtOnce,
];

pub async fn play(case: Case, scene: &mut Scene) -> Result<(), String> {
    match case {
        Case::HalfInTurn => half_in_turn(scene).await,
        Case::EmptyOnce => empty_once(scene, false).await,
        Case::EmptyAtAStart => empty_once(scene, true).await,
        Case::HalfAtFirst => half_at_first(scene).await,
        Case::SizesChange => sizes(scene, |n, turn| Some(n * 1000 + turn)).await,
        Case::SizesLie => sizes(scene, |_, turn| (turn > 0).then_some(0)).await,
        Case::HeadersRewritten => headers_rewritten(scene).await,
        Case::DeleIgnored => dele_ignored(scene).await,
        Case::BackAfterOurDelete => back_after_our_delete(scene, "u").await,
        Case::BackUnderAnotherUidl => back_after_our_delete(scene, "v").await,
        Case::ListedAllAlong => listed_all_along(scene).await,
        Case::BackAfterAYear => back_after(scene, 399).await,
        Case::BackTooLate => back_after(scene, 402).await,
        Case::SeenUnchanged => seen_unchanged(scene).await,
        Case::OldMailRenamed => old_mail(scene, true).await,
        Case::NewMailAtOnce => old_mail(scene, false).await,
    }
}

async fn half_in_turn(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    for turn in 0..50 {
        scene.at_source(|n, kept| kept.is_listed = turn % 2 == 1 || n % 2 == 0);
        scene.polls(1).await?;
    }
    scene.expect(0).await
}

async fn empty_once(scene: &mut Scene, at_a_start: bool) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    if at_a_start {
        scene.world.stop().await;
    }
    scene.at_source(|_, kept| kept.is_listed = false);
    scene.polls(1).await?;
    scene.at_source(|_, kept| kept.is_listed = true);
    scene.expect(0).await
}

async fn half_at_first(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.at_source(|n, kept| kept.is_listed = n % 2 == 0);
    scene.import(15).await?;
    scene.at_source(|_, kept| kept.is_listed = true);
    scene.expect(15).await
}

async fn sizes(scene: &mut Scene, size: impl Fn(u64, u64) -> Option<u64>) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    for turn in 0..5 {
        scene.at_source(|n, kept| kept.size = size(n as u64, turn));
        scene.expect(0).await?;
    }
    Ok(())
}

async fn headers_rewritten(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    if scene.policy != Delete {
        for status in ["O", "RO"] {
            scene.at_source(|n, kept| {
                kept.bytes = [format!("Status: {status}\r\nX-UIDL: x\r\n").into_bytes(), mail(n)].concat();
            });
            scene.expect(0).await?;
        }
    }
    Ok(())
}

async fn dele_ignored(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    scene.world.pop3.mailbox().ways.ignores_dele = true;
    for _ in 0..5 {
        scene.expect(0).await?;
        scene.world.later(TimeDelta::days(4));
    }
    scene.world.pop3.mailbox().ways.ignores_dele = false;
    Ok(())
}

async fn back_after_our_delete(scene: &mut Scene, prefix: &str) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    let all = scene.world.pop3.mailbox().messages.clone();
    scene.expect(0).await?;
    if scene.policy == Weeks {
        scene.world.later(TimeDelta::days(15));
        scene.expect(0).await?;
    }
    if scene.policy == Keep {
        return Ok(());
    }
    if prefix == "u" {
        scene.world.pop3.mailbox().messages = all;
        return scene.expect(0).await;
    }
    for n in 0..30 {
        scene.world.put(&format!("{prefix}{n}"), &mail(n));
    }
    scene.expect(30).await
}

async fn listed_all_along(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    if scene.policy != Keep {
        return scene.expect(0).await;
    }
    for turn in 0..12 {
        scene.world.later(TimeDelta::days(100));
        if turn % 3 == 2 {
            // So that a listing is compared row by row.
            scene.world.put(&format!("n{turn}"), &mail(1000 + turn));
            scene.expect(1).await?;
        }
        scene.expect(0).await?;
    }
    Ok(())
}

async fn back_after(scene: &mut Scene, days: i64) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    scene.expect(0).await?;
    if scene.policy == Delete || scene.policy == Weeks && days > 400 {
        return Ok(());
    }
    scene.at_source(|n, kept| kept.is_listed = n >= 10);
    scene.polls(1).await?;
    for _ in 0..3 {
        scene.world.later(TimeDelta::days(days / 3));
        scene.polls(1).await?;
    }
    if days > 400 {
        // With its row goes what was known of it: it is as new as if it had just been put there.
        scene.world.pop3.mailbox().messages.retain(|kept| kept.is_listed);
        for n in 0..10 {
            scene.world.put(&format!("u{n}"), &mail(n));
        }
        return scene.expect(10).await;
    }
    scene.at_source(|_, kept| kept.is_listed = true);
    scene.expect(0).await
}

/// Gone on day 800, back on day 1100: what counts is when it was last seen.
async fn seen_unchanged(scene: &mut Scene) -> Result<(), String> {
    scene.put(30);
    scene.import(30).await?;
    if scene.policy != Keep {
        return scene.expect(0).await;
    }
    for _ in 0..8 {
        scene.world.later(TimeDelta::days(100));
        scene.polls(1).await?;
    }
    scene.at_source(|n, kept| kept.is_listed = n >= 10);
    for _ in 0..3 {
        scene.world.later(TimeDelta::days(100));
        scene.polls(1).await?;
    }
    scene.at_source(|_, kept| kept.is_listed = true);
    scene.expect(0).await
}

/// Thirty messages from before the account was configured, and twenty-five from after it.
async fn old_mail(scene: &mut Scene, renamed: bool) -> Result<(), String> {
    scene.world.plan.account = match scene.policy {
        Keep => "import = \"new\"",
        Weeks => "import = \"new\"\nleave_copy = \"14d\"",
        Delete => "import = \"new\"\nleave_copy = false",
    };
    let dated = |day: &str, n: usize| {
        let received = format!("Received: from a by b; {day} Nov 2026 10:00:00 +0000\r\n");
        [received.into_bytes(), mail(n)].concat()
    };
    let old: Vec<Vec<u8>> = (0..30).map(|n| dated("Mon, 02", n)).collect();
    for (n, message) in old.iter().enumerate() {
        scene.world.pop3.mailbox().put(format!("u{n}").as_bytes(), message);
    }
    scene.expect(0).await?;
    if renamed {
        scene.rename(|n| format!("v{n}"));
        scene.expect(0).await?;
    }
    for n in 30..55 {
        scene.world.put(&format!("u{n}"), &dated("Wed, 25", n));
    }
    scene.expect(25).await?;
    if scene.policy == Weeks {
        scene.world.later(TimeDelta::days(15));
        scene.expect(0).await?;
    }
    // The old mail is nobody's to deliver, and so nobody's to delete.
    let mut mailbox = scene.world.pop3.mailbox();
    let left = mailbox.messages.iter().filter(|kept| old.contains(&kept.bytes)).count();
    if left != 30 {
        return Err(format!("of 30 old messages {left} are left"));
    }
    mailbox.messages.retain(|kept| !old.contains(&kept.bytes));
    Ok(())
}

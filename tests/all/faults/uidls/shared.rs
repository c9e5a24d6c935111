//! One UIDL for several messages, several UIDLs for equal messages, and UIDLs that look like none.

use super::{Delete, Scene, Weeks, mail};

#[derive(Clone, Copy, Debug)]
pub enum Case {
    TwoUnderOne,
    /// .. of different sizes.
    TwoSizesUnderOne,
    /// By the ledger's key they are one message.
    TwoEqualUnderOne,
    /// In two batches.
    HundredUnderOne,
    Blank,
    /// Some are blank, as where a server takes the Message-ID.
    SomeBlank,
    EightBit,
    WithSpaces,
    SeventyOne,
    Longest,
    TwinsAtOnce,
    TwinLater,
    ThreeTwinsRenamed,
    /// A twin that comes after its reader deleted the first at the source looks like the first renamed: it stays there.
    TwinAfterADelete,
    TwinAfterOurDelete,
    /// One of several under one UIDL goes.
    OneOfManyGoes,
}

pub const CASES: [Case; 16] = [
    Case::TwoUnderOne,
    Case::TwoSizesUnderOne,
    Case::TwoEqualUnderOne,
    Case::HundredUnderOne,
    Case::Blank,
    Case::SomeBlank,
    Case::EightBit,
    Case::WithSpaces,
    Case::SeventyOne,
    Case::Longest,
    Case::TwinsAtOnce,
    Case::TwinLater,
    Case::ThreeTwinsRenamed,
    Case::TwinAfterADelete,
    Case::TwinAfterOurDelete,
    Case::OneOfManyGoes,
];

pub async fn play(case: Case, scene: &mut Scene) -> Result<(), String> {
    match case {
        Case::TwoUnderOne => alike(scene, 2, "u").await,
        Case::TwoSizesUnderOne => two_sizes(scene).await,
        Case::TwoEqualUnderOne => two_equal(scene).await,
        Case::HundredUnderOne => alike(scene, 100, "u").await,
        Case::Blank => alike(scene, 20, "").await,
        Case::SomeBlank => some_blank(scene).await,
        Case::EightBit => strange(scene, b"\xfc\x80\xff").await,
        Case::WithSpaces => strange(scene, b"<a b@c  d>").await,
        Case::SeventyOne => strange(scene, &[b'q'; 71]).await,
        Case::Longest => strange(scene, &[b'q'; 1024]).await,
        Case::TwinsAtOnce => twins(scene, 0).await,
        Case::TwinLater => twins(scene, 1).await,
        Case::ThreeTwinsRenamed => three_twins_renamed(scene).await,
        Case::TwinAfterADelete => twin_after_a_delete(scene).await,
        Case::TwinAfterOurDelete => twin_after_our_delete(scene).await,
        Case::OneOfManyGoes => one_of_many_goes(scene).await,
    }
}

/// So many under one UIDL, and then one more.
async fn alike(scene: &mut Scene, number: usize, uidl: &str) -> Result<(), String> {
    for n in 0..number {
        scene.world.put(uidl, &mail(n));
    }
    scene.import(number).await?;
    scene.expect(0).await?;
    scene.world.put(uidl, &mail(number));
    scene.expect(1).await
}

async fn two_sizes(scene: &mut Scene) -> Result<(), String> {
    scene.world.put("u", &mail(1));
    scene.world.put("u", b"Subject: another\r\n\r\n");
    scene.import(2).await?;
    scene.expect(0).await?;
    scene.world.pop3.mailbox().messages.reverse();
    scene.expect(0).await
}

async fn two_equal(scene: &mut Scene) -> Result<(), String> {
    scene.world.put("u", &mail(1));
    scene.world.pop3.mailbox().put(b"u", &mail(1));
    scene.import(1).await?;
    scene.expect(0).await
}

async fn some_blank(scene: &mut Scene) -> Result<(), String> {
    for n in 0..30 {
        scene.world.put(&if n % 3 == 0 { String::new() } else { format!("u{n}") }, &mail(n));
    }
    scene.import(30).await?;
    scene.expect(0).await?;
    scene.world.put("", &mail(30));
    scene.expect(1).await
}

async fn strange(scene: &mut Scene, uidl: &[u8]) -> Result<(), String> {
    scene.put(2);
    scene.at_source(|n, kept| {
        kept.uidl = uidl.to_owned();
        *kept.uidl.last_mut().expect("it is not empty") -= u8::try_from(n).unwrap();
    });
    scene.import(2).await?;
    scene.expect(0).await
}

/// Two equal messages, the second after so many polls.
async fn twins(scene: &mut Scene, polls: usize) -> Result<(), String> {
    scene.world.put("u1", &mail(1));
    if polls > 0 {
        scene.import(1).await?;
    }
    scene.world.put("u2", &mail(1));
    if polls > 0 { scene.expect(1).await } else { scene.import(2).await }
}

async fn three_twins_renamed(scene: &mut Scene) -> Result<(), String> {
    for uidl in ["u1", "u2", "u3"] {
        scene.world.put(uidl, &mail(1));
    }
    scene.import(3).await?;
    scene.rename(|n| format!("v{n}"));
    scene.world.put("v3", &mail(1));
    scene.expect(1).await
}

async fn twin_after_a_delete(scene: &mut Scene) -> Result<(), String> {
    scene.world.put("u1", &mail(1));
    scene.import(1).await?;
    scene.expect(0).await?;
    scene.world.pop3.mailbox().messages.clear();
    scene.polls(1).await?;
    // What comes back after somebody else's deletion counts as the same message under a new UIDL, and nobody is owed it:
    // the README says so. After a deletion of ours it is a new one.
    let renamed = scene.policy != Delete;
    match renamed {
        true => scene.world.pop3.mailbox().put(b"u2", &mail(1)),
        false => scene.world.put("u2", &mail(1)),
    }
    scene.expect(usize::from(!renamed)).await
}

async fn twin_after_our_delete(scene: &mut Scene) -> Result<(), String> {
    scene.world.put("u1", &mail(1));
    scene.import(1).await?;
    scene.expect(0).await?;
    if scene.policy == Weeks {
        scene.world.later(chrono::TimeDelta::days(15));
        scene.expect(0).await?;
    }
    // Where the first is still there it is no twin that comes after it, but one that comes beside it.
    scene.world.put("u2", &mail(1));
    scene.expect(1).await
}

async fn one_of_many_goes(scene: &mut Scene) -> Result<(), String> {
    for n in 0..5 {
        scene.world.put("u", &mail(n));
    }
    scene.import(5).await?;
    scene.expect(0).await?;
    if scene.policy != Delete {
        scene.world.pop3.mailbox().messages.remove(2);
        scene.world.pop3.mailbox().messages.reverse();
    }
    scene.expect(0).await
}

//! A fault of ours: a poll panics wherever it looks at its clock, which is before and after everything that it does.

use chrono::TimeDelta;

use super::report;
use crate::world::{FUSE_TEXT, Plan, World, alone};

const PLANS: [Plan; 4] = [
    Plan { home: Some("INBOX"), app: false, account: "" },
    Plan { home: Some("INBOX"), app: false, account: "leave_copy = false" },
    Plan { home: None, app: true, account: "leave_copy = false" },
    Plan { home: Some("INBOX"), app: true, account: "leave_copy = false" },
];

/// Returns whether it panicked.
async fn panic_once(plan: Plan, nth: usize) -> Result<bool, String> {
    let mut world = World::new(plan).await;
    for n in 0..3 {
        world.put(&format!("u{n}"), format!("Message-ID: <{n}@example.com>\r\n\r\nText.\r\n").as_bytes());
    }
    let (summary, has_panicked) = world.poll_and_panic(nth).await.map_err(|fault| fault.to_string())?;
    let told = summary.error.map(|(_, text)| text).unwrap_or_default();
    if told.contains(FUSE_TEXT) != has_panicked {
        return Err(format!("it is told otherwise than it was: {told}"));
    }
    world.evidence().judge().await?;
    // What may have been sent is asked for twice.
    for _ in 0..3 {
        world.later(TimeDelta::hours(1));
        world.poll().await.map_err(|fault| fault.to_string())?;
    }
    world.evidence().expect_all_delivered(plan.account == "leave_copy = false").await?;
    world.stop().await;
    Ok(has_panicked)
}

#[test]
fn a_panic_anywhere_in_a_poll_costs_that_poll_and_nothing_else() {
    let mut count = 0;
    for plan in PLANS {
        let panics = (0..).take_while(|&nth| {
            alone(async move || panic_once(plan, nth).await)
                .unwrap_or_else(|fault| panic!("{plan:?}, panic {nth}: {fault}"))
        });
        let panics = panics.count();
        assert!(panics > 8, "{plan:?}: a poll looks at its clock {panics} times only");
        count += panics;
    }
    report("panics", &format!("{count} polls panicked, nothing lost or doubled"));
}

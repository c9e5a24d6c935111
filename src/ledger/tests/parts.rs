//! Mailboxes that are taken in in several parts: it must not show.

use futures_util::FutureExt;

use super::*;

/// More than fit into any part, or any page.
const MANY: usize = 25_000;

fn names() -> Vec<String> {
    (0..MANY).map(|n| format!("u{n:05}")).collect()
}

fn mailbox(names: &[String]) -> Mailbox<'_> {
    names.iter().map(|uidl| (uidl.as_str(), 10, "")).collect()
}

fn taken_in(new: u64, gone: u64) -> TakenIn {
    TakenIn { new, gone, ..TakenIn::default() }
}

/// What came and what went, and the numbers of the messages with these ids.
fn numbers(taken_in: &TakenIn, ids: impl IntoIterator<Item = i64>) -> (u64, u64, Vec<Option<u32>>) {
    let numbers = ids.into_iter().map(|id| taken_in.vague.get(MessageId(id))).collect();
    (taken_in.new, taken_in.gone, numbers)
}

const LISTED: &str = "SELECT count(*) FROM messages WHERE last_listing IS NULL";

#[tokio::test]
async fn what_leaves_and_comes_back_is_counted_across_parts() {
    let house = House::new().await;
    let names = names();
    let full = mailbox(&names);
    assert_eq!(house.list(&full).await, taken_in(25_000, 0));
    let few: Mailbox<'_> = full.iter().copied().step_by(5_000).collect();
    assert_eq!(house.list(&few).await, taken_in(0, 24_995));
    assert_eq!(house.value(LISTED).await, 5);
    assert_eq!(house.list(&vec![]).await, taken_in(0, 5));
    assert_eq!(house.list(&full).await, TakenIn::default());
    assert_eq!(house.value(LISTED).await, 25_000);
    assert_eq!(house.value("SELECT count(*) FROM deliveries").await, 25_000);
}

#[tokio::test]
async fn new_mail_is_due_in_the_servers_order_wherever_it_stands() {
    let house = House::new().await;
    let mut names = names();
    let wanted = [3, 2_000, 2_001, 24_999];
    let intake = Intake { fresh: Some(wanted.into()), ..house.intake(&mailbox(&names)).await };
    assert_eq!(house.take_in(intake).await, taken_in(4, 0));
    for at in [20_000, 10_000, 0] {
        names.insert(at, format!("new at {at}"));
    }
    assert_eq!(house.list(&mailbox(&names)).await, taken_in(3, 0));
    let due: Vec<String> = house.due().await.iter().map(|due| due.uidl.to_string()).collect();
    assert_eq!(due, ["u00002", "u01999", "u02000", "u24998", "new at 0", "new at 10000", "new at 20000"]);
}

#[tokio::test]
async fn those_alike_are_told_apart_by_their_places_in_the_whole_listing() {
    let house = House::new().await;
    let mut names = vec!["shared".to_owned(); 3_000];
    (0..3_000).for_each(|n| names.insert(2 * n, format!("u{n}")));
    let ids = [1, 2, 3, 4, 2_000, 2_001, 6_000];
    let their_numbers = vec![None, Some(2), None, Some(4), Some(2_000), None, Some(6_000)];
    for new in [6_000, 0, 0] {
        let taken_in = house.list(&mailbox(&names)).await;
        assert_eq!(numbers(&taken_in, ids), (new, 0, their_numbers.clone()));
    }
    names.extend(["shared".to_owned(), "shared".to_owned()]);
    let taken_in = house.list(&mailbox(&names)).await;
    assert_eq!(
        numbers(&taken_in, [6_000, 6_001, 6_002]),
        (2, 0, vec![Some(6_000), Some(6_001), Some(6_002)])
    );
    names.drain(..2_000);
    let taken_in = house.list(&mailbox(&names)).await;
    assert_eq!(numbers(&taken_in, [2, 4, 6_002]), (0, 2_000, vec![Some(2), Some(4), None]));
    assert_eq!(house.value("SELECT count(*) FROM messages").await, 6_002);
}

#[tokio::test]
async fn an_end_between_two_parts_loses_nothing_and_doubles_nothing() {
    let house = House::new().await;
    let old = vec![("old", 10, "")];
    let shortcut = Some(Shortcut { hash: [3; 32], count: 1, octets: 10 });
    house.take_in(Intake { shortcut, ..house.intake(&old).await }).await;
    let names = names();
    let count = "SELECT count(*) FROM messages";
    let mut taking_in = Box::pin(house.ledger.take_in(house.intake(&mailbox(&names)).await));
    while house.value(count).await < 2_000 {
        assert!(taking_in.as_mut().now_or_never().is_none(), "it has come to its end");
    }
    drop(taking_in);
    let house = house.crashed().await;
    assert!((2_000..25_000).contains(&house.value(count).await));
    assert_eq!(house.ledger.past(&account()).await.unwrap().shortcut, None, "something has changed");
    assert_eq!(house.list(&mailbox(&names)).await.gone, 1);
    assert_eq!(house.value(count).await, 25_001);
    assert_eq!(house.value("SELECT count(*) FROM deliveries WHERE state = 'due'").await, 25_001);
    let first: Vec<String> = house.due().await.iter().take(3).map(|due| due.uidl.to_string()).collect();
    assert_eq!(first, ["u00000", "u00001", "u00002"]);
}

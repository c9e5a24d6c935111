//! What may be deleted at its source, and what may not.

use super::*;

const DAY: u64 = 24 * 3600;
const AT_ONCE: LeaveCopy = LeaveCopy::For(Duration::ZERO);
const A_WEEK: LeaveCopy = LeaveCopy::For(Duration::from_secs(7 * DAY));

/// Both ways of asking must agree.
async fn may_go(house: &House, leave_copy: LeaveCopy) -> usize {
    let overdue = house.ledger.overdue_deletions(&account(), leave_copy, 9, house.now).await.unwrap();
    let listed: Vec<MessageId> = (1..10).map(MessageId).collect();
    let now = house.ledger.deletable(&listed, leave_copy, house.now).await.unwrap();
    assert_eq!(overdue.iter().map(|deletion| deletion.id).collect::<Vec<_>>(), now);
    now.len()
}

#[tokio::test]
async fn leave_copy_as_it_was_and_as_it_is_must_both_allow_it() {
    for (then, today, after, goes) in [
        (AT_ONCE, AT_ONCE, 0, true),
        (AT_ONCE, LeaveCopy::Forever, 100 * DAY, false),
        (LeaveCopy::Forever, AT_ONCE, 100 * DAY, false),
        (A_WEEK, AT_ONCE, 6 * DAY, false),
        (AT_ONCE, A_WEEK, 6 * DAY, false),
        (A_WEEK, AT_ONCE, 7 * DAY, true),
        (AT_ONCE, A_WEEK, 7 * DAY, true),
    ] {
        let mut house = House::new().await;
        house.leave_copy = then;
        house.poll(&vec![("u1", 10, "one")]).await;
        house.later(after);
        assert_eq!(may_go(&house, today).await == 1, goes, "{then:?} then, {today:?} after {after} s");
    }
}

#[tokio::test]
async fn one_delivery_for_ever_keeps_the_message() {
    let mut house = House::new().await;
    house.routes = vec!["home", "app"];
    house.configure().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let deliveries = house.identify(&due, "one").await.deliveries;
    for (delivery, leave_copy) in deliveries.iter().zip([LeaveCopy::Forever, AT_ONCE]) {
        house.leave_copy = leave_copy;
        let verdict = house.stored();
        house.outcome(delivery, verdict).await;
    }
    house.later(100 * DAY);
    assert_eq!(may_go(&house, AT_ONCE).await, 0);
}

#[tokio::test]
async fn what_anybody_still_waits_for_stays() {
    for verdict in [deferred as fn() -> Verdict, unreachable, unknown, || rejected(false)] {
        let mut house = House::new().await;
        house.leave_copy = AT_ONCE;
        house.routes = vec!["app", "home"];
        house.configure().await;
        house.list(&vec![("u1", 10, "one")]).await;
        let due = house.due().await.remove(0);
        let deliveries = house.identify(&due, "one").await.deliveries;
        assert_eq!(may_go(&house, AT_ONCE).await, 0, "delivered nowhere");
        let stored = house.stored();
        let other = |delivery: &&DueDelivery| delivery.destination == destination("app");
        house.outcome(deliveries.iter().find(other).unwrap(), stored).await;
        assert_eq!(may_go(&house, AT_ONCE).await, 0, "due");
        let home = deliveries.iter().find(|delivery| !other(delivery)).unwrap();
        house.outcome(home, verdict()).await;
        assert_eq!(may_go(&house, AT_ONCE).await, 0, "{:?}", verdict());
        let verdict = house.stored();
        house.outcome(home, verdict).await;
        assert_eq!(may_go(&house, AT_ONCE).await, 1);
    }
}

#[tokio::test]
async fn parked_blocks_and_given_up_does_not() {
    let mut house = House::new().await;
    house.leave_copy = A_WEEK;
    house.routes = vec!["app", "home"];
    house.configure().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let deliveries = house.identify(&due, "one").await.deliveries;
    let stored = house.stored();
    house.outcome(&deliveries[0], stored).await;
    for _ in 0..3 {
        house.outcome(&deliveries[1], deferred()).await;
    }
    house.later(8 * DAY);
    assert_eq!(may_go(&house, A_WEEK).await, 0, "parked: a person decides");
    house.ledger.give_up(due.id, None, house.now).await.unwrap();
    assert_eq!(may_go(&house, A_WEEK).await, 0, "the age counts from the give-up");
    house.later(7 * DAY);
    assert_eq!(may_go(&house, A_WEEK).await, 1);
}

#[tokio::test]
async fn what_was_delivered_nowhere_stays_whatever_a_person_gave_up() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    house.identify(&due, "one").await;
    house.ledger.give_up(due.id, Some(&destination("home")), house.now).await.unwrap();
    house.later(100 * DAY);
    assert_eq!(may_go(&house, AT_ONCE).await, 0);

    let house = House::new().await;
    let skipped = Intake { fresh: Some(Vec::new()), ..house.intake(&vec![("u1", 10, "old")]).await };
    house.take_in(skipped).await;
    assert_eq!(may_go(&house, AT_ONCE).await, 0);
}

#[tokio::test]
async fn what_is_not_listed_is_not_deleted() {
    let mut house = House::new().await;
    house.leave_copy = AT_ONCE;
    house.poll(&vec![("u1", 10, "one")]).await;
    house.list(&vec![]).await;
    let overdue = house.ledger.overdue_deletions(&account(), AT_ONCE, 9, house.now).await.unwrap();
    assert!(overdue.is_empty());
}

#[tokio::test]
async fn a_deletion_says_what_to_compare_the_bytes_with() {
    let mut house = House::new().await;
    house.leave_copy = AT_ONCE;
    house.poll(&vec![("u1", 10, "one")]).await;
    let overdue = house.ledger.overdue_deletions(&account(), AT_ONCE, 9, house.now).await.unwrap();
    let expected = Deletion {
        id: MessageId(1),
        uidl: Uidl::new(b"u1"),
        size: Some(10),
        content: Some(content("one")),
        header: content("header"),
        has_namesake: false,
        alone: false,
        was_not_shown: false,
    };
    assert_eq!(overdue, [expected]);
}

#[tokio::test]
async fn of_two_that_had_one_uidl_the_header_says_too_little() {
    let mut house = House::new().await;
    house.leave_copy = AT_ONCE;
    house.poll(&vec![("u1", 10, "one")]).await;
    house.poll(&vec![]).await;
    house.poll(&vec![("u1", 12, "two"), ("u2", 10, "three")]).await;
    let overdue = house.ledger.overdue_deletions(&account(), AT_ONCE, 9, house.now).await.unwrap();
    let namesakes: Vec<_> = overdue.iter().map(|deletion| (deletion.size, deletion.has_namesake)).collect();
    assert_eq!(namesakes, [(Some(12), true), (Some(10), false)]);
}

#[tokio::test]
async fn what_was_not_shown_comes_last_by_itself_a_day_later_and_after_a_poll_that_was_well() {
    let mut house = House::new().await;
    house.leave_copy = AT_ONCE;
    house.poll(&vec![("u1", 10, "one"), ("u2", 10, "two"), ("u3", 10, "three")]).await;
    let overdue = async |house: &House| {
        let overdue = house.ledger.overdue_deletions(&account(), AT_ONCE, 9, house.now).await.unwrap();
        overdue.into_iter().map(|deletion| (deletion.id.0, deletion.alone)).collect::<Vec<_>>()
    };
    house.ledger.go_alone(&[MessageId(2)]).await.unwrap();
    assert_eq!(overdue(&house).await, [(1, false), (3, false), (2, true)]);
    house.ledger.not_shown(&[MessageId(1), MessageId(2)], house.now).await.unwrap();
    for _ in 0..23 {
        house.later(3600);
        assert_eq!(overdue(&house).await, [(3, false)]);
        house.ledger.record_poll(house.record(None)).await.unwrap();
    }
    house.later(3600);
    assert_eq!(overdue(&house).await, [(3, false), (1, true), (2, true)]);
    house.ledger.record_poll(house.record(Some((Class::Account, "closed".into())))).await.unwrap();
    assert_eq!(overdue(&house).await, [(3, false)]);
    house.ledger.record_poll(house.record(None)).await.unwrap();
    house.ledger.not_shown(&[MessageId(1)], house.now).await.unwrap();
    assert_eq!(overdue(&house).await, [(3, false), (2, true)]);
    house.ledger.record_poll(house.record(Some((Class::Account, "closed".into())))).await.unwrap();
    house.later(6 * DAY);
    assert_eq!(overdue(&house).await, [(3, false), (2, true)], "where each poll fails, once a week");
    house.ledger.not_shown(&[MessageId(2)], house.now).await.unwrap();
    assert_eq!(overdue(&house).await, [(3, false)]);
}

#[tokio::test]
async fn a_server_that_keeps_what_is_deleted_is_asked_once_a_day_and_holds_up_no_other_deletion() {
    let mut house = House::new().await;
    house.leave_copy = AT_ONCE;
    house.poll(&vec![("u1", 10, "one"), ("u2", 10, "two"), ("u3", 10, "three")]).await;
    let overdue = async |house: &House| {
        let overdue = house.ledger.overdue_deletions(&account(), AT_ONCE, 9, house.now).await.unwrap();
        overdue.into_iter().map(|deletion| deletion.id.0).collect::<Vec<_>>()
    };
    house.ledger.deleting(&[MessageId(1), MessageId(2)], house.now).await.unwrap();
    house.ledger.record_poll(house.record(None)).await.unwrap();
    house.later(3600);
    assert_eq!(overdue(&house).await, [3, 1, 2], "that may have been a session that broke off");
    house.ledger.record_poll(house.record(None)).await.unwrap();
    house.later(DAY);
    assert_eq!(overdue(&house).await, [3, 1, 2], "a day has passed since");
    house.ledger.record_poll(house.record(None)).await.unwrap();
    for _ in 0..22 {
        house.later(3600);
        assert_eq!(overdue(&house).await, [3]);
        house.ledger.record_poll(house.record(None)).await.unwrap();
    }
    house.later(3600);
    assert_eq!(overdue(&house).await, [3, 1, 2], "and another");
}

//! New accounts, new routes, an unknown past, and `import = "new"`.

use super::*;

#[tokio::test]
async fn an_added_destination_takes_only_what_is_listed_afterwards() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    house.routes = vec!["home", "app"];
    house.configure().await;
    assert_eq!(house.poll(&vec![("u1", 10, "one")]).await, nothing());
    let mailbox = vec![("u1", 10, "one"), ("u2", 10, "two")];
    assert_eq!(house.poll(&mailbox).await, ["home: two", "app: two"]);
}

#[tokio::test]
async fn rows_of_a_removed_destination_wait_and_hold_the_message() {
    let mut house = House::new().await;
    house.routes = vec!["home", "app"];
    house.leave_copy = LeaveCopy::For(Duration::ZERO);
    house.configure().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let identity = house.identify(&due, "one").await;
    let verdict = house.stored();
    house.outcome(&identity.deliveries[0], verdict).await;
    house.routes = vec!["home"];
    house.configure().await;
    assert!(house.due().await.is_empty(), "nothing goes to a removed destination");
    assert_eq!(house.ledger.agenda(house.now).await.unwrap()[0].work_at, None);
    let status = house.ledger.report().status().await.unwrap();
    assert_eq!(status.accounts[0].pending, 1);
    let may_go = house.ledger.deletable(&[due.id], house.leave_copy, house.now).await;
    assert!(may_go.unwrap().is_empty(), "somebody may still want it");
    assert_eq!(house.ledger.give_up(due.id, None, house.now).await.unwrap(), 1);
    let may_go = house.ledger.deletable(&[due.id], house.leave_copy, house.now).await;
    assert_eq!(may_go.unwrap(), [due.id]);
}

#[tokio::test]
async fn what_a_first_listing_brings_is_looked_for_before_it_is_sent() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    assert_eq!(due.deliveries[0].look_from, Some((0, 1)), "a new ledger knows nothing of the folder");
    house.send_due(&vec![("u1", 10, "one")]).await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    assert_eq!(house.due().await[0].deliveries[0].look_from, None, "its second listing hides nothing");

    let mut house = house.crashed().await;
    house.list(&vec![("u2", 10, "two"), ("u3", 10, "three")]).await;
    let due = house.due().await;
    assert_eq!(due[0].deliveries[0].look_from, Some((7, 2)), "this may be an old copy of the ledger");
    assert_eq!(due[1].deliveries[0].look_from, Some((7, 2)), "from the UIDNEXT last recorded");
    for identity in house.identify_all(&[(due[0].id, "two"), (due[1].id, "three")]).await {
        house.outcome(&identity.deliveries[0], unreachable()).await;
    }
    house.later(6);
    let due = house.due().await;
    assert!(due.iter().all(|due| due.deliveries[0].look_from.is_none()), "looked for once, then sent");
}

#[tokio::test]
async fn a_clock_that_was_a_year_ahead_holds_up_nothing() {
    let mut house = House::new().await;
    house.later(365 * 24 * 3600);
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let due = house.due().await;
    let identities = house.identify_all(&[(due[0].id, "one"), (due[1].id, "two")]).await;
    house.attempt(identities[1].deliveries[0].id).await;
    house.outcome(&identities[0].deliveries[0], unreachable()).await;
    house.ledger.record_poll(house.record(None)).await.unwrap();
    let House { folder, ledger, now, .. } = house;
    ledger.close().await.unwrap();
    let mut house = House::at(folder, now - Duration::from_secs(365 * 24 * 3600)).await;
    house.configure().await;
    house.later(1);
    assert_eq!(house.due().await.len(), 1, "the destination rests no more");
    let look_ups = house.ledger.look_ups_due(&account(), house.now).await.unwrap();
    assert_eq!(look_ups.len(), 1);
    let absent = vec![(look_ups[0].delivery, Found::Absent)];
    house.ledger.settle_look_ups(absent.clone(), house.leave_copy, house.now).await.unwrap();
    house.later(60);
    let settled = house.ledger.settle_look_ups(absent, house.leave_copy, house.now).await.unwrap();
    assert_eq!(settled.len(), 1, "absent is believed as soon as ever");
}

#[tokio::test]
async fn a_webhook_is_never_looked_at() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    house.list(&vec![("u1", 10, "one")]).await;
    assert_eq!(house.due().await[0].deliveries[0].look_from, None);
}

#[tokio::test]
async fn an_account_that_was_mended_is_due_now() {
    let mut house = House::new().await;
    let next_poll_at = house.now + Duration::from_secs(1000);
    house.ledger.record_poll(PollRecord { next_poll_at, ..house.record(None) }).await.unwrap();
    house.later(10);
    house.configure().await;
    let next = async |house: &House| house.ledger.agenda(house.now).await.unwrap()[0].next_poll_at;
    assert_eq!(next(&house).await, next_poll_at);
    let broken = vec![(account(), "its password cannot be read".to_owned())];
    house.ledger.note_broken(broken, Vec::new(), house.now).await.unwrap();
    house.configure().await;
    assert_eq!(next(&house).await, house.now, "else it stays red until then");

    let failed = house.record(Some((Class::Account, "login refused".into())));
    house.ledger.record_poll(PollRecord { next_poll_at, ..failed }).await.unwrap();
    house.configure().await;
    assert_eq!(next(&house).await, next_poll_at, "a poll that failed is repeated in its own time");
}

#[tokio::test]
async fn a_failed_first_poll_costs_import_new_no_mail() {
    let mut house = House::new().await;
    let cut_off = house.now;
    // A wrong password: no listing, and two days pass.
    let refused = Some((Class::Account, "login refused".to_owned()));
    house.ledger.record_poll(house.record(refused)).await.unwrap();
    house.later(2 * 24 * 3600);
    house.configure().await;
    let past = house.ledger.past(&account()).await.unwrap();
    assert!(past.first_listing, "nothing was listed yet");
    assert_eq!(past.cut_off, cut_off, "the cut-off stays where the account was first configured");
    assert_eq!(past.failures_in_a_row, 1);
    // TOP dates the second after the cut-off.
    let mailbox = vec![("u1", 10, "old"), ("u2", 10, "of Monday")];
    let intake = Intake { fresh: Some(vec![2]), ..house.intake(&mailbox).await };
    assert_eq!(house.take_in(intake).await.new, 1);
    assert_eq!(house.send_due(&mailbox[1..].to_vec()).await, ["home: of Monday"]);
    assert!(!house.ledger.past(&account()).await.unwrap().first_listing);
    assert_eq!(house.poll(&mailbox).await, nothing(), "what was skipped stays skipped");
}

#[tokio::test]
async fn skipped_mail_that_shares_a_uidl_stays_skipped() {
    let mut house = House::new().await;
    let old = vec![("u", 10, "old"), ("u", 10, "older"), ("", 5, "blank")];
    let intake = Intake { fresh: Some(Vec::new()), ..house.intake(&old).await };
    house.take_in(intake).await;
    assert_eq!(house.poll(&old).await, nothing());
    house.list(&vec![("u", 10, "old"), ("u", 10, "older"), ("", 5, "blank"), ("u", 10, "new")]).await;
    assert_eq!(house.due().await.len(), 1);
}

#[tokio::test]
async fn a_listing_is_mostly_unknown_from_twenty_on() {
    let house = House::new().await;
    let names: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    let mailbox: Mailbox<'_> = names.iter().map(|uidl| (uidl.as_str(), 10, "")).collect();
    house.list(&mailbox[..4].to_vec()).await;
    for (listed, unknown) in [(19, false), (20, false), (21, true), (40, true)] {
        let listing = listing(&mailbox[..listed].to_vec());
        let verdict = house.ledger.is_mostly_unknown(&account(), &listing).await.unwrap();
        assert_eq!(verdict, unknown, "4 of {listed} known");
    }
}

#[tokio::test]
async fn an_edited_schedule_or_a_time_too_far_is_due_now() {
    let mut house = House::new().await;
    let mut setup = AccountSetup {
        name: account(),
        source: "me@pop".into(),
        schedule: "5m".into(),
        longest: Duration::from_secs(3600),
        routes: Vec::new(),
    };
    let next = |house: &House, seconds: u64| PollRecord {
        next_poll_at: house.now + Duration::from_secs(seconds),
        no_pipelining: Some(true),
        ..house.record(None)
    };
    house.ledger.record_poll(next(&house, 300)).await.unwrap();
    house.later(1);
    assert_eq!(next_poll(&house, &setup).await, 299, "a restart causes no stampede");
    setup.schedule = "10m".into();
    assert_eq!(next_poll(&house, &setup).await, 0);
    house.ledger.record_poll(next(&house, 7200)).await.unwrap();
    assert_eq!(next_poll(&house, &setup).await, 0, "a clock that was set back");
    assert!(house.ledger.past(&account()).await.unwrap().no_pipelining);
    house.ledger.configure(vec![], vec![], house.now).await.unwrap();
    assert!(house.ledger.agenda(house.now).await.unwrap().is_empty());
}

/// Seconds until the next poll, with this in the config.
async fn next_poll(house: &House, setup: &AccountSetup) -> i64 {
    house.ledger.configure(vec![setup.clone()], vec![], house.now).await.unwrap();
    (house.ledger.agenda(house.now).await.unwrap()[0].next_poll_at - house.now).num_seconds()
}

#[tokio::test]
async fn an_ordered_stop_makes_no_message_suspect() {
    let house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    house.ledger.open_batch(&[due.id]).await.unwrap();
    let House { folder, ledger, now, .. } = house;
    ledger.close().await.unwrap();
    let house = House::at(folder, now).await;
    let again = house.due().await;
    assert_eq!(again.len(), 1, "it waits for nothing");
    assert_eq!((again[0].alone, again[0].deliveries[0].attempts), (false, 0));
}

#[tokio::test]
async fn a_panic_over_one_message_is_not_repeated_with_the_others() {
    let house = House::new().await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let due = house.due().await;
    house.ledger.open_batch(&[due[0].id, due[1].id]).await.unwrap();
    house.ledger.panicked(&account(), house.now).await.unwrap();
    house.ledger.record_poll(house.record(None)).await.unwrap();
    let due = house.due().await;
    assert!(due.len() == 2 && due.iter().all(|due| due.alone), "each goes by itself: {due:?}");
    house.ledger.open_batch(&[due[0].id]).await.unwrap();
    house.ledger.panicked(&account(), house.now).await.unwrap();
    house.ledger.record_poll(house.record(None)).await.unwrap();
    let rest = house.due().await;
    assert_eq!(rest.iter().map(|due| due.id).collect::<Vec<_>>(), [due[1].id], "the culprit waits");
}

/// A listing that was under way when the account was pointed to another mailbox.
#[tokio::test]
async fn a_listing_of_another_mailbox_is_not_taken_in() {
    let mut house = House::new().await;
    let intake = house.intake(&vec![("u1", 10, "one")]).await;
    house.source = "me@elsewhere";
    house.configure().await;
    assert_eq!(house.ledger.take_in(intake).await.unwrap(), None);
    assert!(house.due().await.is_empty());
    assert!(house.ledger.past(&account()).await.unwrap().first_listing);
}

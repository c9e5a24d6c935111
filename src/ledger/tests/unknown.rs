//! Lost answers and lost processes.

use super::*;

/// One message, sent, with its answer lost.
async fn lost(house: &mut House) -> DeliveryId {
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let identity = house.identify(&due, "one").await;
    let settled = house.outcome(&identity.deliveries[0], unknown()).await;
    assert_eq!(settled.state, State::Attempting);
    identity.deliveries[0].id
}

async fn look(house: &House, id: DeliveryId, found: Found) -> Vec<Settled> {
    house.ledger.settle_look_ups(vec![(id, found)], house.leave_copy, house.now).await.unwrap()
}

async fn look_ups(house: &House) -> Vec<LookUp> {
    house.ledger.look_ups_due(&account(), house.now).await.unwrap()
}

#[tokio::test]
async fn absence_is_believed_at_the_second_look_thirty_seconds_after() {
    let mut house = House::new().await;
    let id = lost(&mut house).await;
    assert!(house.due().await.is_empty(), "never sent again before somebody has looked");
    assert!(look_ups(&house).await.is_empty());
    house.later(1);
    assert_eq!(look_ups(&house).await[0].mark, house.mark());
    assert!(look(&house, id, Found::Absent).await.is_empty());
    house.later(10);
    assert!(look_ups(&house).await.is_empty());
    assert!(look(&house, id, Found::Absent).await.is_empty(), "a second look, but too early");
    house.later(18);
    assert!(look_ups(&house).await.is_empty());
    assert_eq!(
        house.ledger.agenda(house.now).await.unwrap()[0].look_up_at,
        Some(house.now + Duration::from_secs(1))
    );
    house.later(1);
    let settled = look(&house, id, Found::Absent).await;
    assert_eq!(settled[0].state, State::Due);
    assert_eq!(house.due().await[0].deliveries[0].attempts, 0, "nothing is counted");
}

#[tokio::test]
async fn one_late_look_alone_is_not_believed() {
    let mut house = House::new().await;
    let id = lost(&mut house).await;
    house.later(1000);
    assert!(look(&house, id, Found::Absent).await.is_empty());
    assert!(house.due().await.is_empty());
}

#[tokio::test]
async fn what_is_found_is_delivered() {
    let mut house = House::new().await;
    let id = lost(&mut house).await;
    house.later(1);
    let receipt = Receipt::Uid { uid_validity: 7, uid: 4711 };
    let settled = look(&house, id, Found::Found { receipt }).await;
    assert_eq!((settled[0].state, settled[0].text.as_str()), (State::Delivered, "UID 4711"));
    assert_eq!(house.poll(&vec![("u1", 10, "one")]).await, nothing());
}

#[tokio::test]
async fn what_nobody_can_say_is_sent_again_and_marked_so() {
    let mut house = House::new().await;
    let id = lost(&mut house).await;
    let blind = || Found::CannotSay { reason: "NO not now".into() };
    for wait in [60, 300, 900] {
        assert!(look(&house, id, blind()).await.is_empty());
        house.later(wait - 1);
        assert!(look_ups(&house).await.is_empty());
        house.later(1);
        assert_eq!(look_ups(&house).await.len(), 1);
    }
    assert_eq!(look(&house, id, blind()).await[0].state, State::Due);
    assert_eq!(house.send_due(&vec![("u1", 10, "one")]).await, ["home: one"]);
    assert_eq!(house.value("SELECT unverified FROM deliveries").await, 1);
}

#[tokio::test]
async fn a_destination_that_is_down_is_asked_until_it_can_tell() {
    let mut house = House::new().await;
    let id = lost(&mut house).await;
    for wait in [60, 60, 120, 240, 480, 900, 900, 900] {
        assert!(look(&house, id, Found::Unreachable { reason: "no connection".into() }).await.is_empty());
        house.later(wait - 1);
        assert!(look_ups(&house).await.is_empty(), "{wait}");
        house.later(1);
        assert_eq!(look_ups(&house).await.len(), 1, "{wait}");
    }
    let receipt = Receipt::Uid { uid_validity: 7, uid: 4711 };
    assert_eq!(look(&house, id, Found::Found { receipt }).await[0].state, State::Delivered);
    assert_eq!(house.value("SELECT unverified FROM deliveries").await, 0);
}

#[tokio::test]
async fn an_unresolved_attempt_keeps_its_place_in_the_folder() {
    let mut house = House::new().await;
    house.next_uid = 100;
    let id = lost(&mut house).await;
    for _ in 0..4 {
        look(&house, id, Found::CannotSay { reason: String::new() }).await;
    }
    // Sent again, unverified, and lost again: the first copy may still be at 100.
    house.next_uid = 200;
    house.attempt(id).await;
    house.settle("home", vec![(id, unknown())]).await;
    house.later(1);
    assert_eq!(look_ups(&house).await[0].mark.uid_next, 100);
    // A definite answer of any kind resolves it.
    for (uid_next, answer) in [(200, deferred()), (300, unreachable())] {
        house.settle("home", vec![(id, answer)]).await;
        house.next_uid = uid_next;
        house.attempt(id).await;
        house.settle("home", vec![(id, unknown())]).await;
        house.later(1);
        assert_eq!(look_ups(&house).await[0].mark.uid_next, uid_next);
    }
}

#[tokio::test]
async fn a_uid_is_the_receipt_of_one_delivery_only() {
    let mut house = House::new().await;
    house.poll(&vec![("u0", 10, "zero")]).await;
    let mailbox = vec![("u0", 10, "zero"), ("u1", 10, "same"), ("u2", 10, "same")];
    house.list(&mailbox).await;
    let due = house.due().await;
    let twins = house.identify_all(&[(due[0].id, "same"), (due[1].id, "same")]).await;
    house.outcome(&twins[0].deliveries[0], unknown()).await;
    let verdict = house.stored();
    house.outcome(&twins[1].deliveries[0], verdict).await;
    house.later(1);
    let look_up = look_ups(&house).await.remove(0);
    assert_eq!(look_up.mark.uid_next, 2);
    assert_eq!(look_up.taken, [(7, 2)], "the twin's own UID proves nothing for the other");
}

#[tokio::test]
async fn an_interrupted_attempt_at_a_folder_is_looked_for_twice_after_a_crash() {
    let house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let identity = house.identify(&due, "one").await;
    house.attempt(identity.deliveries[0].id).await;
    let mut house = house.crashed().await;
    assert!(house.due().await.is_empty());
    let id = look_ups(&house).await.remove(0).delivery;
    assert!(look(&house, id, Found::Absent).await.is_empty());
    house.later(30);
    assert_eq!(look(&house, id, Found::Absent).await[0].state, State::Due);
    assert_eq!(
        house.value("SELECT attempts FROM deliveries").await,
        0,
        "an interrupted attempt costs nothing"
    );
}

#[tokio::test]
async fn an_interrupted_attempt_at_a_webhook_is_due_again() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let identity = house.identify(&due, "one").await;
    house.attempt(identity.deliveries[0].id).await;
    let house = house.crashed().await;
    assert!(look_ups(&house).await.is_empty());
    assert_eq!(house.due().await.len(), 1);
}

#[tokio::test]
async fn a_batch_open_at_a_crash_goes_one_at_a_time_and_one_alone_waits() {
    let house = House::new().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 10, "two"), ("u3", 10, "three")];
    house.list(&mailbox).await;
    let ids: Vec<MessageId> = house.due().await.iter().map(|due| due.id).collect();
    house.ledger.open_batch(&ids[..2]).await.unwrap();
    assert_eq!(house.due().await.len(), 1, "what is in a batch is not handed out again");
    let house = house.crashed().await;
    let due = house.due().await;
    assert_eq!(due.iter().map(|due| due.alone).collect::<Vec<_>>(), [true, true, false]);

    house.ledger.open_batch(&ids[..1]).await.unwrap();
    let mut house_after = house.crashed().await;
    let left: Vec<MessageId> = house_after.due().await.iter().map(|due| due.id).collect();
    assert_eq!(left, ids[1..], "the one that may have ended the process waits, the others go on");
    house_after.later(5);
    assert_eq!(house_after.due().await.len(), 3);
    // A crash loop ends in parking.
    for _ in 0..2 {
        house_after.ledger.open_batch(&ids[..1]).await.unwrap();
        house_after = house_after.crashed().await;
        house_after.later(400);
    }
    let parked = house_after.ledger.report().parked(None, 0, 100).await.unwrap();
    assert_eq!(parked[0].reason, "mailferry ended while handling this message");
}

#[tokio::test]
async fn an_attempt_that_ended_the_process_counts_once_it_is_known_to_be_in_vain() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    for state in [State::Deferred, State::Deferred, State::Parked] {
        let due = house.due().await.remove(0);
        house.ledger.open_batch(&[due.id]).await.unwrap();
        let identity = house.identify(&due, "one").await;
        let id = identity.deliveries[0].id;
        house.attempt(id).await;
        house = house.crashed().await;
        assert!(look(&house, id, Found::Absent).await.is_empty());
        house.later(30);
        assert_eq!(look(&house, id, Found::Absent).await[0].state, state, "a crash loop goes on for ever");
        house.later(400);
    }
}

#[tokio::test]
async fn a_message_that_the_server_hangs_up_on_is_parked_and_holds_up_no_other() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let due = house.due().await;
    let ids: Vec<MessageId> = due.iter().map(|due| due.id).collect();
    house.ledger.open_batch(&ids).await.unwrap();
    let identities = house.identify_all(&[(ids[0], "one"), (ids[1], "two")]).await;
    let deliveries: Vec<DeliveryId> = identities.iter().map(|it| it.deliveries[0].id).collect();
    for id in &deliveries {
        house.attempt(*id).await;
    }
    house.settle("home", deliveries.iter().map(|id| (*id, unknown())).collect()).await;
    house.ledger.close_batch(&ids).await.unwrap();
    assert_eq!(house.error().await.unwrap().0, "message", "people can see that it waits");
    for id in &deliveries {
        assert_eq!(not_there(&mut house, *id).await.state, State::Due);
    }
    let due = house.due().await;
    assert!(
        due.iter().all(|due| due.alone && due.deliveries[0].attempts == 0),
        "nobody knows whose fault it is"
    );

    for state in [State::Deferred, State::Deferred, State::Parked] {
        house.ledger.open_batch(&ids[..1]).await.unwrap();
        house.outcome(&identities[0].deliveries[0], unknown()).await;
        house.ledger.close_batch(&ids[..1]).await.unwrap();
        let settled = not_there(&mut house, deliveries[0]).await;
        assert_eq!((settled.state, settled.text.as_str()), (state, "connection lost"));
        house.later(400);
    }
}

/// It is looked for twice, in vain.
async fn not_there(house: &mut House, id: DeliveryId) -> Settled {
    assert!(look(house, id, Found::Absent).await.is_empty());
    house.later(30);
    look(house, id, Found::Absent).await.remove(0)
}

#[tokio::test]
async fn what_was_perhaps_stored_keeps_its_place_while_it_is_put_off() {
    let mut house = House::new().await;
    house.next_uid = 100;
    let id = lost(&mut house).await;
    for state in [State::Due, State::Deferred] {
        for _ in 0..3 {
            assert!(look(&house, id, Found::CannotSay { reason: String::new() }).await.is_empty());
        }
        let settled = look(&house, id, Found::CannotSay { reason: "NO not now".into() }).await;
        assert_eq!(settled[0].state, state);
        house.later(60);
        house.next_uid += 100;
        house.attempt(id).await;
        house.settle("home", vec![(id, unknown())]).await;
        house.later(1);
        assert_eq!(look_ups(&house).await[0].mark.uid_next, 100);
    }
}

#[tokio::test]
async fn a_poll_that_broke_off_leaves_nothing_open() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let due = house.due().await;
    house.ledger.open_batch(&[due[0].id, due[1].id]).await.unwrap();
    let identities = house.identify_all(&[(due[0].id, "one"), (due[1].id, "two")]).await;
    house.attempt(identities[0].deliveries[0].id).await;
    house.ledger.record_poll(house.record(Some((Class::Local, "panicked".into())))).await.unwrap();
    house.later(1);
    assert_eq!(look_ups(&house).await.len(), 1, "what may have been sent is looked for");
    assert_eq!(house.due().await.len(), 1, "what was not is due again");
}

#[tokio::test]
async fn a_lost_answer_of_a_removed_destination_wakes_nobody_and_can_be_given_up() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let identity = house.identify(&due, "one").await;
    house.outcome(&identity.deliveries[0], unknown()).await;
    assert!(house.ledger.agenda(house.now).await.unwrap()[0].look_up_at.is_some());
    house.routes = vec!["app"];
    let setup = AccountSetup {
        name: account(),
        source: house.source.into(),
        schedule: "5m".into(),
        longest: Duration::from_secs(3600),
        routes: house.destinations(),
    };
    let app = DestinationSetup {
        name: destination("app"),
        kind: "webhook",
        fingerprint: "x".into(),
        daily_budget: None,
        mailbox: None,
    };
    house.ledger.configure(vec![setup], vec![app], house.now).await.unwrap();
    house.later(60);
    let agenda = house.ledger.agenda(house.now).await.unwrap();
    assert_eq!((agenda[0].look_up_at, agenda[0].work_at), (None, None), "there is nobody to ask");
    assert_eq!(house.ledger.give_up(due.id, None, house.now).await.unwrap(), 1);
}

#[tokio::test]
async fn an_attempt_under_way_is_not_given_up() {
    let house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let identity = house.identify(&due, "one").await;
    house.attempt(identity.deliveries[0].id).await;
    let home = destination("home");
    assert_eq!(house.ledger.give_up(due.id, Some(&home), house.now).await.unwrap(), 0);
}

/// Two messages that came by different ways with one Message-ID, to a server without UIDPLUS that changes what it stores.
async fn namesakes(house: &mut House, first: Verdict) -> [DeliveryId; 2] {
    let ids = two(house, [account(), account()]).await;
    for (id, hash) in ids.into_iter().zip([[1; 32], [2; 32]]) {
        house.attempt_as(id, Mark { hash, ..house.mark() }).await;
    }
    house.settle("home", vec![(ids[0], first), (ids[1], unknown())]).await;
    house.later(1);
    ids
}

/// Deliveries of two messages that differ, one for each account.
async fn two(house: &mut House, accounts: [AccountName; 2]) -> [DeliveryId; 2] {
    let [one, other] = &accounts;
    if one == other {
        house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    } else {
        house.list(&vec![("u1", 10, "one")]).await;
        let setup = AccountSetup { name: other.clone(), ..house.setup() };
        let both = vec![house.setup(), setup];
        house.ledger.configure(both, house.destination_setups(), house.now).await.unwrap();
        let intake = house.intake(&vec![("u2", 10, "two")]).await;
        house.take_in(Intake { account: other.clone(), epoch: 1, ..intake }).await;
    }
    let mut ids = Vec::new();
    for name in accounts {
        let due = house.ledger.due(&Ask { account: name, ..house.ask() }, house.now).await.unwrap();
        ids.extend(due.iter().map(|due| due.deliveries[0].id).find(|id| !ids.contains(id)));
    }
    ids.try_into().unwrap()
}

fn at(uid: u32) -> Receipt {
    Receipt::Uid { uid_validity: 7, uid }
}

fn changed(uid: u32, candidates: usize) -> Found {
    Found::Changed { receipt: at(uid), candidates }
}

#[tokio::test]
async fn one_copy_under_a_message_id_of_two_messages_proves_neither_delivery() {
    for first in [Verdict::Delivered { receipt: Receipt::Stored }, unknown()] {
        let mut house = House::new().await;
        let ids = namesakes(&mut house, first.clone()).await;
        let before = house.value("SELECT count(*) FROM deliveries WHERE state = 'delivered'").await;
        assert!(look(&house, ids[1], changed(5, 1)).await.is_empty(), "{first:?}");
        let after = house.value("SELECT count(*) FROM deliveries WHERE state = 'delivered'").await;
        assert_eq!(before, after, "{first:?}");
        house.later(60);
        let found = vec![(ids[0], changed(5, 2)), (ids[1], changed(6, 2))];
        house.ledger.settle_look_ups(found, house.leave_copy, house.now).await.unwrap();
        let known = "SELECT count(*) FROM deliveries WHERE state = 'delivered' AND uid IS NOT NULL";
        assert_eq!(house.value(known).await, 2, "{first:?}");
    }
}

#[tokio::test]
async fn a_message_id_is_proof_where_no_other_message_has_it() {
    let mut house = House::new().await;
    let id = lost(&mut house).await;
    house.later(1);
    assert_eq!(look(&house, id, changed(5, 1)).await[0].state, State::Delivered);
}

#[tokio::test]
async fn a_copy_is_no_proof_while_an_equal_message_of_another_account_is_being_stored() {
    let mut house = House::new().await;
    let ids = two(&mut house, [account(), AccountName::new("other").unwrap()]).await;
    house.attempt(ids[0]).await;
    house.settle("home", vec![(ids[0], unknown())]).await;
    house.attempt(ids[1]).await;
    house.later(1);
    assert!(look(&house, ids[0], Found::Found { receipt: at(1) }).await.is_empty(), "it may be the other's");
    // So it is.
    let verdict = house.stored();
    house.settle("home", vec![(ids[1], verdict)]).await;
    assert!(look(&house, ids[0], Found::Found { receipt: at(1) }).await.is_empty());
    house.later(1);
    assert_eq!(look_ups(&house).await[0].taken, [(7, 1)]);
    assert_eq!(look(&house, ids[0], Found::Found { receipt: at(2) }).await[0].state, State::Delivered);
}

#[tokio::test]
async fn where_the_other_accounts_copy_was_taken_for_it_absence_is_believed_once_both_can_be_seen() {
    let mut house = House::new().await;
    let ids = two(&mut house, [account(), AccountName::new("other").unwrap()]).await;
    house.attempt(ids[0]).await;
    house.settle("home", vec![(ids[0], unknown())]).await;
    house.later(5);
    assert!(look(&house, ids[0], Found::Absent).await.is_empty());
    house.later(15);
    house.attempt(ids[1]).await;
    house.settle("home", vec![(ids[1], unknown())]).await;
    house.later(6);
    // The only copy there is as yet: nobody can tell whose it is.
    assert_eq!(look(&house, ids[1], Found::Found { receipt: at(1) }).await[0].state, State::Delivered);
    house.later(4);
    assert!(look(&house, ids[0], Found::Absent).await.is_empty(), "the other copy may not be shown yet");
    house.later(30);
    assert_eq!(look(&house, ids[0], Found::Absent).await[0].state, State::Due);
}

/// Equal messages of two accounts: the answer to the first is lost, the second is stored, nobody knows under which UID.
async fn one_lost_one_stored(house: &mut House) -> [DeliveryId; 2] {
    let ids = two(house, [account(), AccountName::new("other").unwrap()]).await;
    for (id, verdict) in ids.into_iter().zip([unknown(), Verdict::Delivered { receipt: Receipt::Stored }]) {
        house.attempt(id).await;
        house.settle("home", vec![(id, verdict)]).await;
    }
    house.later(1);
    ids
}

#[tokio::test]
async fn an_equal_message_of_another_account_that_was_stored_meanwhile_is_looked_for_first() {
    let mut house = House::new().await;
    let ids = one_lost_one_stored(&mut house).await;
    let wanted: Vec<DeliveryId> = look_ups(&house).await.iter().map(|look_up| look_up.delivery).collect();
    assert_eq!(wanted, [ids[1], ids[0]]);
    // What was sent is forgotten by and by, where no answer is unknown.
    let found = [(ids[1], 1), (ids[0], 2)].map(|(id, uid)| (id, Found::Found { receipt: at(uid) }));
    house.ledger.settle_look_ups(found.into(), house.leave_copy, house.now).await.unwrap();
    let kept = "SELECT count(*) FROM deliveries WHERE mark_hash IS NOT NULL";
    assert_eq!(house.value(kept).await, 2);
    house.later(2 * 24 * 3600);
    house.ledger.record_poll(house.record(None)).await.unwrap();
    assert_eq!(house.value(kept).await, 0);
}

#[tokio::test]
async fn the_uids_of_another_mailbox_say_nothing() {
    let mut house = House::new().await;
    house.next_uid = 40;
    house.poll(&vec![("u1", 10, "one")]).await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let due = house.due().await.remove(0);
    let two = house.identify(&due, "two").await.deliveries.remove(0);
    house.outcome(&two, unknown()).await;
    let mut setups = house.destination_setups();
    setups[0].mailbox = Some("somebody.else@imap".into());
    house.ledger.configure(vec![house.setup()], setups, house.now).await.unwrap();
    house.later(1);
    let look_up = look_ups(&house).await.remove(0);
    assert_eq!((look_up.mark.uid_validity, look_up.mark.uid_next, look_up.taken), (0, 1, vec![]));
    assert_eq!(house.value("SELECT count(*) FROM folders").await, 0);
}

#[tokio::test]
async fn what_was_stored_while_another_copy_was_looked_for_is_looked_for_before_that_is_taken() {
    let mut house = House::new().await;
    let ids = two(&mut house, [account(), AccountName::new("other").unwrap()]).await;
    house.attempt(ids[0]).await;
    house.settle("home", vec![(ids[0], unknown())]).await;
    house.later(1);
    let wanted = async |house: &House| {
        look_ups(house).await.iter().map(|look_up| look_up.delivery).collect::<Vec<_>>()
    };
    assert_eq!(wanted(&house).await, [ids[0]]);
    // The look-up has seen the copy of the other one, whose answer comes first.
    house.attempt(ids[1]).await;
    house.settle("home", vec![(ids[1], Verdict::Delivered { receipt: Receipt::Stored })]).await;
    assert!(look(&house, ids[0], Found::Found { receipt: at(1) }).await.is_empty());
    house.later(1);
    assert_eq!(wanted(&house).await, [ids[1], ids[0]]);
    let found = vec![(ids[1], Found::Found { receipt: at(1) }), (ids[0], Found::Absent)];
    assert!(house.ledger.settle_look_ups(found, house.leave_copy, house.now).await.unwrap().is_empty());
    house.later(60);
    assert_eq!(look(&house, ids[0], Found::Absent).await[0].state, State::Due);
}

/// W13: the answer that named the UID of the one was the last that came.
#[tokio::test]
async fn where_uids_are_new_a_copy_may_be_that_of_a_twin() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "one")]).await;
    let mut ids = Vec::new();
    for due in house.due().await {
        ids.push(house.identify(&due, "one").await.deliveries[0].id);
    }
    house.attempt(ids[0]).await;
    house.settle("home", vec![(ids[0], Verdict::Delivered { receipt: at(5) })]).await;
    let twins = async |validity| house.ledger.twins(&ids, "INBOX", validity).await.unwrap();
    assert_eq!(twins(7).await, [[], []] as [[u32; 0]; 2], "it is known which copy is whose");
    assert_eq!(twins(8).await, [vec![], vec![1]]);

    house.attempt(ids[1]).await;
    house.settle("home", vec![(ids[1], unknown())]).await;
    house.later(1);
    let found = || Found::Found { receipt: Receipt::Uid { uid_validity: 8, uid: 1 } };
    for _ in 0..3 {
        assert!(look(&house, ids[1], found()).await.is_empty(), "nobody can say whose it is");
    }
    assert_eq!(look(&house, ids[1], found()).await[0].state, State::Due);
    assert_eq!(house.value("SELECT sum(unverified) FROM deliveries").await, 1);
}

/// A server may show it only when UIDs are new.
#[tokio::test]
async fn a_twin_that_was_stored_just_before_uids_were_new_is_looked_for_first() {
    let mut house = House::new().await;
    let ids = two(&mut house, [account(), AccountName::new("other").unwrap()]).await;
    house.attempt(ids[1]).await;
    house.settle("home", vec![(ids[1], Verdict::Delivered { receipt: Receipt::Stored })]).await;
    house.uid_validity = 8;
    house.attempt(ids[0]).await;
    house.settle("home", vec![(ids[0], unknown())]).await;
    house.later(1);
    let wanted: Vec<DeliveryId> = look_ups(&house).await.iter().map(|look_up| look_up.delivery).collect();
    assert_eq!(wanted, [ids[1], ids[0]]);
}

#[tokio::test]
async fn a_copy_found_in_the_past_is_no_proof_when_an_equal_message_has_it_by_now() {
    let mut house = House::new().await;
    let ids = two(&mut house, [account(), AccountName::new("other").unwrap()]).await;
    house.attempt(ids[1]).await;
    house.settle("home", vec![(ids[1], unknown())]).await;
    house.later(1);
    assert_eq!(look(&house, ids[1], Found::Found { receipt: at(1) }).await[0].state, State::Delivered);
    let delivered = |uid| vec![(ids[0], Verdict::Delivered { receipt: at(uid) })];
    assert_eq!(house.settle("home", delivered(1)).await[0].state, State::Deferred);
    assert_eq!(house.settle("home", delivered(2)).await[0].state, State::Delivered);
}

#[tokio::test]
async fn what_was_found_in_another_folder_is_known_to_be_there() {
    let house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let id = house.identify(&due, "one").await.deliveries[0].id;
    house.ledger.found_in(&[id], "Junk").await.unwrap();
    house.settle("home", vec![(id, Verdict::Delivered { receipt: at(5) })]).await;
    let taken = async |folder| house.ledger.taken(&destination("home"), folder, 7, 1).await.unwrap();
    assert_eq!((taken("INBOX").await, taken("Junk").await), (vec![], vec![5]));
}

#[tokio::test]
async fn where_uids_are_new_the_copy_of_a_twin_is_taken() {
    let mut house = House::new().await;
    let ids = one_lost_one_stored(&mut house).await;
    let theirs = Found::Found { receipt: Receipt::Uid { uid_validity: 8, uid: 2 } };
    let found = vec![(ids[1], theirs), (ids[0], Found::Absent)];
    assert!(house.ledger.settle_look_ups(found, house.leave_copy, house.now).await.unwrap().is_empty());
    house.later(60);
    let look_up = look_ups(&house).await.remove(0);
    assert_eq!((look_up.delivery, look_up.taken), (ids[0], vec![(8, 2)]));
}

#[tokio::test]
async fn a_twin_without_a_uid_is_not_below_where_it_was_sent() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "one")]).await;
    let mut ids = Vec::new();
    for due in house.due().await {
        ids.push(house.identify(&due, "one").await.deliveries[0].id);
    }
    house.next_uid = 4;
    house.attempt(ids[0]).await;
    house.settle("home", vec![(ids[0], Verdict::Delivered { receipt: Receipt::Stored })]).await;
    assert_eq!(house.ledger.twins(&ids, "INBOX", 7).await.unwrap(), [vec![], vec![4]]);
    assert_eq!(house.ledger.twins(&ids, "Work", 7).await.unwrap(), [[], []] as [[u32; 0]; 2]);
}

/// A restart long after does not make the attempt younger.
#[tokio::test]
async fn what_was_stored_beside_an_attempt_is_looked_for_after_a_long_pause() {
    let mut house = House::new().await;
    let ids = two(&mut house, [account(), AccountName::new("other").unwrap()]).await;
    house.attempt(ids[1]).await;
    house.next_uid = 6;
    house.attempt(ids[0]).await;
    house.settle("home", vec![(ids[1], Verdict::Delivered { receipt: Receipt::Stored })]).await;
    house.later(24 * 3600);
    let mut house = house.crashed().await;
    house.later(1);
    let wanted: Vec<DeliveryId> = look_ups(&house).await.iter().map(|look_up| look_up.delivery).collect();
    assert_eq!(wanted, [ids[1], ids[0]]);
}

#[tokio::test]
async fn a_namesake_that_was_perhaps_stored_owns_a_copy_whatever_became_of_it_since() {
    let mut house = House::new().await;
    let ids = namesakes(&mut house, unknown()).await;
    for _ in 0..4 {
        look(&house, ids[0], Found::CannotSay { reason: String::new() }).await;
    }
    house.attempt_as(ids[0], house.mark()).await;
    house.settle("home", vec![(ids[0], unreachable())]).await;
    assert_eq!(house.value("SELECT count(*) FROM deliveries WHERE marked = 1").await, 1);
    assert!(look(&house, ids[1], changed(6, 1)).await.is_empty());
    assert_eq!(look(&house, ids[1], changed(6, 2)).await[0].state, State::Delivered);
}

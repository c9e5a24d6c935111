//! Which listed message is which row.

use super::*;

#[tokio::test]
async fn sends_each_message_once_however_often_it_is_listed() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two")];
    assert_eq!(house.poll(&mailbox).await, ["home: one", "home: two"]);
    assert_eq!(house.poll(&mailbox).await, nothing());
    assert_eq!(house.list(&mailbox).await, TakenIn::default());
}

#[tokio::test]
async fn a_reused_uidl_of_another_size_is_another_message() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    assert_eq!(house.poll(&vec![("u1", 11, "two")]).await, ["home: two"]);
    assert_eq!(house.poll(&vec![("u1", 11, "two")]).await, nothing());
}

#[tokio::test]
async fn another_size_of_the_same_message_is_not_sent_again() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    assert_eq!(house.poll(&vec![("u1", 12, "one")]).await, nothing());
    // The new size is kept: nothing is retrieved the next time.
    house.list(&vec![("u1", 12, "one")]).await;
    assert!(house.due().await.is_empty());
    assert_eq!(house.value("SELECT count(*) FROM messages").await, 1);
}

#[tokio::test]
async fn a_uidl_reused_after_our_delete_is_another_message_even_of_the_same_size() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    house.ledger.deleting(&[MessageId(1)], house.now).await.unwrap();
    // Still listed: the deletion did not happen, and the message is the same.
    assert_eq!(house.poll(&vec![("u1", 10, "one")]).await, nothing());
    house.poll(&vec![]).await;
    assert_eq!(house.poll(&vec![("u1", 10, "two")]).await, ["home: two"]);
}

#[tokio::test]
async fn a_deletion_undone_by_the_server_is_not_sent_again() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    house.ledger.deleting(&[MessageId(1)], house.now).await.unwrap();
    house.poll(&vec![]).await;
    assert_eq!(house.poll(&vec![("u1", 10, "one")]).await, nothing());
}

#[tokio::test]
async fn a_reused_uidl_of_the_same_size_is_found_by_content_when_it_is_retrieved() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await;
    let identity = house.identify(&due[0], "one").await;
    house.outcome(&identity.deliveries[0], deferred()).await;
    house.later(6);
    house.list(&vec![("u1", 10, "two")]).await;
    let due = house.due().await;
    let identity = house.identify(&due[0], "two").await;
    assert_ne!(identity.id, due[0].id, "another message must not take over the attempts of the first");
    assert_eq!(identity.deliveries[0].attempts, 0);
    // The first has left, and is not sent with the bytes of the second.
    assert_eq!(house.due().await.len(), 1);
}

#[tokio::test]
async fn twins_under_two_uidls_are_two_messages() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "same"), ("u2", 10, "same")];
    assert_eq!(house.poll(&mailbox).await, ["home: same", "home: same"]);
    assert_eq!(house.poll(&mailbox).await, nothing());
}

#[tokio::test]
async fn two_messages_under_one_uidl_are_told_apart_by_content() {
    let mut house = House::new().await;
    let mailbox = vec![("u", 10, "one"), ("u", 10, "two")];
    assert_eq!(house.poll(&mailbox).await, ["home: one", "home: two"]);
    assert_eq!(house.list(&mailbox).await.new, 0, "retrieved again, but no strangers");
    assert_eq!(house.send_due(&mailbox).await, nothing());
    let mailbox = vec![("u", 10, "one"), ("u", 10, "two"), ("u", 10, "three")];
    assert_eq!(house.poll(&mailbox).await, ["home: three"]);
    assert_eq!(house.poll(&vec![("u", 10, "two")]).await, nothing());
    // One of them is left: now UIDL and size tell it for certain.
    house.list(&vec![("u", 10, "two")]).await;
    assert!(house.due().await.is_empty());
    assert_eq!(house.value("SELECT count(*) FROM messages").await, 3, "rows pile up");
}

#[tokio::test]
async fn two_bearers_of_one_uidl_with_equal_content_are_one_message() {
    let mut house = House::new().await;
    let mailbox = vec![("u", 10, "same"), ("u", 10, "same")];
    assert_eq!(house.poll(&mailbox).await, ["home: same"]);
    assert_eq!(house.poll(&mailbox).await, nothing());
}

#[tokio::test]
async fn two_bearers_of_one_uidl_in_two_batches_are_still_one_message() {
    let house = House::new().await;
    house.list(&vec![("u", 10, "same"), ("u", 10, "same")]).await;
    let due = house.due().await;
    house.ledger.open_batch(&[due[0].id]).await.unwrap();
    let first = house.identify(&due[0], "same").await;
    house.ledger.open_batch(&[due[1].id]).await.unwrap();
    let second = house.identify(&due[1], "same").await;
    assert_eq!((first.deliveries.len(), second.deliveries.len()), (1, 0), "it is in a batch already");
    assert_eq!(first.id, second.id);
    assert_eq!(house.value("SELECT count(*) FROM messages WHERE opened > 0").await, 1);
}

#[tokio::test]
async fn blank_uidls_go_by_content() {
    let mut house = House::new().await;
    assert_eq!(house.poll(&vec![("", 10, "one")]).await, ["home: one"]);
    assert_eq!(house.poll(&vec![("", 10, "one"), ("", 10, "two")]).await, ["home: two"]);
    assert_eq!(house.poll(&vec![("", 10, "one"), ("", 10, "two")]).await, nothing());
    assert_eq!(house.value("SELECT count(*) FROM messages").await, 2, "rows pile up");
    // All by itself and of a known size, it still tells nothing.
    assert_eq!(house.poll(&vec![("", 10, "three")]).await, ["home: three"]);
}

#[tokio::test]
async fn each_row_of_those_that_look_alike_has_its_message() {
    let mut house = House::new().await;
    // The first was never retrieved; the second comes when its account has another destination.
    house.list(&vec![("u", 10, "one")]).await;
    house.routes.push("app");
    house.configure().await;
    let taken_in = house.list(&vec![("other", 20, "three"), ("u", 10, "one"), ("u", 10, "two")]).await;
    let app = "SELECT message FROM deliveries d JOIN destinations t ON t.id = d.destination \
               WHERE t.name = 'app' ORDER BY message LIMIT 1 OFFSET 1";
    let second = MessageId(house.value(app).await);
    let numbers = [(MessageId(1), 2), (second, 3)].into_iter().collect();
    assert_eq!(taken_in.vague, numbers, "not the other way round");
}

#[tokio::test]
async fn a_renamed_mailbox_is_not_sent_again() {
    let mut house = House::new().await;
    let texts: Vec<(String, String, String)> =
        (0..500).map(|n| (format!("old{n}"), format!("new{n}"), format!("text {n}"))).collect();
    let old: Mailbox<'_> = texts.iter().map(|(old, _, text)| (old.as_str(), 10, text.as_str())).collect();
    let new: Mailbox<'_> = texts.iter().map(|(_, new, text)| (new.as_str(), 10, text.as_str())).collect();
    // Of 500 the last is deferred and the one before it parked.
    assert_eq!(house.poll(&old[..498].to_vec()).await.len(), 498);
    house.list(&old).await;
    let due = house.due().await;
    let parked = house.identify(&due[0], "text 498").await;
    house
        .outcome(
            &parked.deliveries[0],
            Verdict::Rejected { reason: "552 no".into(), park_after: 1, counts_for_destination: true },
        )
        .await;
    let late = house.identify(&due[1], "text 499").await;
    house.outcome(&late.deliveries[0], deferred()).await;

    assert_eq!(house.poll(&new).await, nothing());
    house.later(6);
    assert_eq!(house.poll(&new).await, ["home: text 499"], "deferred stays deferred, parked stays parked");
    assert_eq!(house.value("SELECT count(*) FROM messages").await, 500);
    let first_uidl = "SELECT count(*) FROM messages WHERE uidl = CAST('new7' AS BLOB) \
                      AND first_uidl = CAST('old7' AS BLOB)";
    assert_eq!(house.value(first_uidl).await, 1, "a receiver knows it by what it was first listed under");
}

#[tokio::test]
async fn what_we_deleted_is_not_renamed() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    house.ledger.deleting(&[MessageId(1)], house.now).await.unwrap();
    assert_eq!(house.poll(&vec![("u9", 10, "one")]).await, ["home: one"]);
}

#[tokio::test]
async fn renaming_is_one_to_one() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    assert_eq!(house.poll(&vec![("v1", 10, "one"), ("v2", 10, "one")]).await, ["home: one"]);
}

#[tokio::test]
async fn twins_that_are_told_apart_late_have_names_of_their_own() {
    let mut house = House::new().await;
    house.poll(&vec![("u0", 10, "one")]).await;
    assert_eq!(
        house.poll(&vec![("u1", 10, "one")]).await,
        nothing(),
        "one has vanished, its twin has come: renamed"
    );
    // What was hidden comes back, twice in a chain.
    assert_eq!(house.poll(&vec![("u0", 10, "one"), ("u1", 10, "one")]).await, ["home: one"]);
    assert_eq!(house.poll(&vec![("u0", 10, "one"), ("u2", 10, "one")]).await, nothing());
    assert_eq!(
        house.poll(&vec![("u0", 10, "one"), ("u1", 10, "one"), ("u2", 10, "one")]).await,
        ["home: one"]
    );
    assert_eq!(house.value("SELECT count(DISTINCT first_uidl) FROM messages").await, 3);
    let listed = "SELECT count(*) FROM messages WHERE first_uidl IN (SELECT uidl FROM messages)";
    assert_eq!(house.value(listed).await, 3, "a receiver knows them again when the ledger is lost");
}

#[tokio::test]
async fn what_was_listed_together_is_not_renamed() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one"), ("u2", 20, "two")]).await;
    // The second message changes its size and turns out to be a copy of the first, which has left by now.
    house.list(&vec![("u1", 10, "one"), ("u2", 20, "two"), ("u3", 10, "one")]).await;
    let third = house.due().await.remove(0);
    house.list(&vec![("u3", 10, "one")]).await;
    let identity = house.identify(&third, "one").await;
    assert_eq!(identity.id, third.id);
    assert_eq!(identity.deliveries.len(), 1, "u1 and u3 were there at once: two messages");
}

#[tokio::test]
async fn an_account_pointed_elsewhere_compares_by_content() {
    let mut house = House::new().await;
    house.poll(&vec![("1", 10, "one"), ("2", 10, "two")]).await;
    house.source = "me@elsewhere";
    house.configure().await;
    assert!(house.ledger.past(&account()).await.unwrap().first_listing);
    // The other server counts its UIDLs in the same way.
    let elsewhere = vec![("1", 10, "three"), ("2", 10, "two")];
    assert_eq!(house.poll(&elsewhere).await, ["home: three"], "same UIDL and size, but another message");
    assert_eq!(house.poll(&elsewhere).await, nothing());
    house.list(&elsewhere).await;
    assert!(house.due().await.is_empty(), "all is known by now");
}

#[tokio::test]
async fn a_listing_that_comes_and_goes_brings_nothing_twice() {
    let mut house = House::new().await;
    let texts: Vec<(String, String)> = (0..40).map(|n| (format!("u{n}"), format!("text {n}"))).collect();
    let full: Mailbox<'_> = texts.iter().map(|(uidl, text)| (uidl.as_str(), 10, text.as_str())).collect();
    assert_eq!(house.poll(&full).await.len(), 40);
    for round in 0..50 {
        let partial = full[round % 7..7 + round % 33].to_vec();
        assert_eq!(house.poll(&partial).await, nothing());
        assert_eq!(house.poll(&full).await, nothing());
    }
    assert_eq!(house.value("SELECT count(*) FROM messages").await, 40);
}

#[tokio::test]
async fn a_row_without_list_size_agrees_with_any() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    let mut intake = house.intake(&vec![("u1", 10, "one")]).await;
    let mut listing = Listing::default();
    listing.push(Listed { number: 1, uidl: b"u1", size: None }).unwrap();
    intake.listing = Arc::new(listing);
    assert_eq!(house.take_in(intake).await, TakenIn::default());
    assert!(house.due().await.is_empty());
}

#[tokio::test]
async fn mistaken_bytes_get_a_row_of_their_own() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    let new = house.ledger.mistaken(MessageId(1), &house.destinations(), house.now).await.unwrap();
    assert_ne!(new, MessageId(1));
    let mailbox = vec![("u1", 10, "two")];
    assert_eq!(house.send_due(&mailbox).await, ["home: two"]);
    assert_eq!(house.poll(&mailbox).await, nothing());
}

#[tokio::test]
async fn an_unchanged_listing_writes_one_row() {
    let mut house = House::new().await;
    let texts: Vec<String> = (0..50_000).map(|n| format!("u{n}")).collect();
    let mailbox: Mailbox<'_> = texts.iter().map(|uidl| (uidl.as_str(), 10, "")).collect();
    let shortcut = Some(Shortcut { hash: [3; 32], count: 50_000, octets: 500_000 });
    let taken_in = house.take_in(Intake { shortcut, ..house.intake(&mailbox).await }).await;
    assert_eq!(taken_in, TakenIn { new: 50_000, ..TakenIn::default() });
    assert_eq!(house.ledger.past(&account()).await.unwrap().shortcut, shortcut);

    assert_eq!(house.list(&mailbox).await, TakenIn::default(), "a listing that is known brings nothing");
    house.later(60);
    // Nothing of the listing is looked at: it may as well be missing.
    let unchanged = Intake { unchanged: true, shortcut, ..house.intake(&vec![]).await };
    assert_eq!(house.take_in(unchanged).await, TakenIn::default());
    assert_eq!(house.value("SELECT listed_at FROM accounts").await, house.now.timestamp());
    assert_eq!(house.value("SELECT count(*) FROM messages WHERE last_listing IS NULL").await, 50_000);
}

#[tokio::test]
async fn a_server_that_repeats_one_uidl_without_end_holds_up_nobody() {
    let house = House::new().await;
    let of_many_sizes: Mailbox<'_> = (0..50_000).map(|size| ("u", size, "")).collect();
    let blank: Mailbox<'_> = (0..50_000).map(|_| ("", 7, "")).collect();
    for mailbox in [of_many_sizes, blank] {
        for new in [50_000, 0] {
            // Compared each with each, they would take minutes.
            let taken_in = tokio::time::timeout(Duration::from_secs(60), house.list(&mailbox)).await;
            assert_eq!(taken_in.unwrap().new, new);
        }
    }
}

#[tokio::test]
async fn a_changed_config_or_a_repeated_uidl_voids_the_shortcut() {
    let house = House::new().await;
    let shortcut = Some(Shortcut { hash: [3; 32], count: 1, octets: 10 });
    let mailbox = vec![("u1", 10, "one")];
    house.take_in(Intake { shortcut, ..house.intake(&mailbox).await }).await;
    let changed = Intake {
        unchanged: true,
        config_text: "other".into(),
        shortcut,
        ..house.intake(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await
    };
    assert_eq!(house.take_in(changed).await.new, 1, "the listing was looked at");
    for size in [10, 20] {
        let repeated = vec![("u1", 10, "one"), ("u1", size, "two")];
        house.take_in(Intake { shortcut, ..house.intake(&repeated).await }).await;
        assert_eq!(house.ledger.past(&account()).await.unwrap().shortcut, None);
    }
}

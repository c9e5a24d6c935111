//! What another program had seen: known from then on, and deleted only where a person says that it was delivered.

use super::*;

const DAY: u64 = 24 * 3600;
const AT_ONCE: LeaveCopy = LeaveCopy::For(Duration::ZERO);
const A_WEEK: LeaveCopy = LeaveCopy::For(Duration::from_secs(7 * DAY));

/// UIDL, days since it was seen, header where it was delivered.
type Seen<'a> = (&'a str, Option<u64>, Option<&'a str>);

fn seen(uidl: &str) -> Seen<'_> {
    (uidl, None, None)
}

impl House {
    fn adoption(&self, mailbox: &Mailbox<'_>, seen: &[Seen<'_>]) -> Adoption {
        let listing = listing(mailbox);
        let of = |uidl: &[u8]| seen.iter().find(|(seen, ..)| seen.as_bytes() == uidl);
        let seen = listing.iter().filter_map(|listed| {
            let (_, days, header) = of(listed.uidl)?;
            let since = days.map(|days| self.now - Duration::from_secs(days * DAY));
            Some((listed.number, SeenElsewhere { since, delivered: header.map(content) }))
        });
        Adoption {
            account: self.setup(),
            destinations: self.destination_setups(),
            seen: seen.collect(),
            listing: Arc::new(listing),
            program: "getmail",
            leave_copy: self.leave_copy,
            dry_run: false,
            now: self.now,
        }
    }

    async fn adopt(&self, mailbox: &Mailbox<'_>, seen: &[Seen<'_>]) -> Adopted {
        self.ledger.adopt(self.adoption(mailbox, seen)).await.unwrap()
    }

    /// All that is known of messages, and of the account.
    async fn everything(&self) -> Vec<String> {
        let mut everything = Vec::new();
        for sql in [
            "SELECT concat_ws('|', id, hex(uidl), size, hex(header), epoch, first_listing, last_listing,
                last_listed_at, deleted_at) FROM messages ORDER BY id",
            "SELECT concat_ws('|', id, message, destination, state, since, receipt, reason, leave_copy)
                FROM deliveries ORDER BY id",
            "SELECT concat_ws('|', name, configured_at, source, epoch, listing, listed_at, listed_epoch)
                FROM accounts ORDER BY id",
        ] {
            let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.ledger.readers).await.unwrap();
            everything.extend(rows);
        }
        everything
    }

    async fn overdue(&self, leave_copy: LeaveCopy) -> Vec<Deletion> {
        self.ledger.overdue_deletions(&account(), leave_copy, 9, self.now).await.unwrap()
    }
}

#[tokio::test]
async fn what_was_seen_is_not_delivered_and_all_else_is() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two"), ("u3", 30, "three")];
    let adopted = house.adopt(&mailbox, &[seen("u1"), seen("u3"), seen("gone")]).await;
    assert_eq!(adopted, Adopted { new: 2, skipped: 2, unknown: 1, ..Adopted::default() });
    assert_eq!(house.list(&mailbox).await.new, 1);
    assert_eq!(house.due().await[0].deliveries[0].look_from, Some((0, 1)), "its past is not known");
    assert_eq!(house.send_due(&mailbox).await, ["home: two"]);
    assert_eq!(house.poll(&mailbox).await, nothing());
    house.list(&vec![]).await;
    house.later(300 * DAY);
    assert_eq!(house.poll(&mailbox).await, nothing(), "not listed for a while is not forgotten");
}

#[tokio::test]
async fn another_size_under_its_uidl_is_another_message() {
    let mut house = House::new().await;
    house.adopt(&vec![("u1", 10, "one")], &[seen("u1")]).await;
    assert_eq!(house.poll(&vec![("u1", 11, "other")]).await, ["home: other"]);
}

#[tokio::test]
async fn adopting_twice_changes_nothing() {
    let mut house = House::new().await;
    house.leave_copy = A_WEEK;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two"), ("u3", 30, "three")];
    let seen = [("u1", Some(3), Some("h1")), ("u2", None, None)];
    house.adopt(&mailbox, &seen).await;
    let before = house.everything().await;
    house.later(DAY);
    let again = house.adopt(&mailbox, &seen).await;
    assert_eq!(again, Adopted { skipped: 1, unknown: 1, ..Adopted::default() });
    assert_eq!(house.everything().await, before);
    house.poll(&mailbox).await;
    let before = house.everything().await;
    assert_eq!(house.adopt(&mailbox, &seen).await, Adopted { skipped: 1, ..Adopted::default() });
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn what_the_ledger_knows_stays_as_it_is() {
    let mut house = House::new().await;
    house.leave_copy = A_WEEK;
    house.poll(&vec![("u1", 10, "one")]).await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two"), ("u3", 30, "three")];
    house.list(&mailbox).await;
    let before = house.everything().await;
    let seen = [("u1", Some(99), Some("h1")), ("u2", Some(99), Some("h2"))];
    let adopted = house.adopt(&mailbox, &seen).await;
    assert_eq!(adopted, Adopted { waiting: 1, ..Adopted::default() });
    assert_eq!(house.everything().await, before);
    assert_eq!(house.send_due(&mailbox).await, ["home: two", "home: three"], "what waits is still delivered");
}

#[tokio::test]
async fn messages_under_one_uidl_are_all_seen_and_a_later_one_is_new() {
    let mut house = House::new().await;
    let twins = vec![("u", 10, "one"), ("u", 10, "two"), ("u", 11, "three")];
    assert_eq!(house.adopt(&twins, &[seen("u")]).await.new, 3);
    assert_eq!(house.adopt(&twins, &[seen("u")]).await, Adopted { skipped: 3, ..Adopted::default() });
    assert_eq!(house.poll(&twins).await, nothing());
    let mailbox = vec![("u", 10, "one"), ("u", 10, "two"), ("u", 11, "three"), ("u", 10, "four")];
    assert_eq!(house.list(&mailbox).await.new, 1);
}

#[tokio::test]
async fn a_twin_of_what_was_only_delivered_elsewhere_is_new() {
    let house = House::new().await;
    let twins = vec![("u", 10, "one"), ("u", 10, "two")];
    assert_eq!(house.adopt(&twins, &[("u", None, Some("h"))]).await.new, 2);
    assert_eq!(house.list(&vec![("u", 10, "one"), ("u", 10, "two"), ("u", 10, "three")]).await.new, 1);
}

#[tokio::test]
async fn a_mailbox_of_many_parts_is_adopted_as_a_whole() {
    let house = House::new().await;
    let names: Vec<String> = (0..2_500).map(|n| format!("u{n}")).collect();
    let mut mailbox: Mailbox<'_> = names.iter().map(|uidl| (uidl.as_str(), 10, "")).collect();
    (0..2_500).for_each(|n| mailbox.insert(2 * n, ("shared", 10, "")));
    let seen = [seen("u0"), seen("u2499"), ("shared", Some(9), Some("h"))];
    let adoption = Adoption { leave_copy: A_WEEK, ..house.adoption(&mailbox, &seen) };
    let dry = house.ledger.adopt(Adoption { dry_run: true, ..adoption.clone() }).await.unwrap();
    let skipped = Adopted { skipped: 2, unknown: 2_498, ..Adopted::default() };
    assert_eq!(dry, Adopted { new: 2_502, deletable: 2_500, ..skipped });
    assert_eq!(house.value("SELECT count(*) FROM messages").await, 0);
    assert_eq!(house.ledger.adopt(adoption.clone()).await.unwrap(), dry);
    let again = Adopted { deletable: 2_500, ..skipped };
    assert_eq!(house.ledger.adopt(adoption).await.unwrap(), again);
    mailbox.push(("shared", 10, ""));
    assert_eq!(house.list(&mailbox).await.new, 2_499);
}

#[tokio::test]
async fn rows_that_only_content_tells_apart_get_no_others_beside_them() {
    let mut house = House::new().await;
    let twins = vec![("u", 10, "one"), ("u", 10, "two")];
    house.poll(&twins).await;
    let before = house.everything().await;
    assert_eq!(house.adopt(&twins, &[seen("u")]).await, Adopted::default());
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn a_changed_address_is_adopted_anew() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two")];
    house.adopt(&mailbox, &[seen("u1")]).await;
    house.source = "me@elsewhere";
    assert_eq!(house.adopt(&mailbox, &[seen("u1")]).await.new, 1);
    house.configure().await;
    assert_eq!(house.poll(&mailbox).await, ["home: two"]);
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two")];
    let before = house.everything().await;
    house.source = "me@elsewhere";
    let dry = Adoption { dry_run: true, ..house.adoption(&mailbox, &[seen("u1")]) };
    let dry = house.ledger.adopt(dry).await.unwrap();
    assert_eq!(house.everything().await, before);
    assert_eq!(house.adopt(&mailbox, &[seen("u1")]).await, dry);
    assert_eq!(dry.new, 1);
}

#[tokio::test]
async fn an_account_that_was_never_configured_is_made() {
    let house = House::new().await;
    house.ledger.configure(vec![], vec![], house.now).await.unwrap();
    house.ledger.forget(&account()).await.unwrap();
    assert_eq!(house.adopt(&vec![("u1", 10, "one")], &[seen("u1")]).await.new, 1);
    assert_eq!(house.list(&vec![("u1", 10, "one")]).await.new, 0);
}

#[tokio::test]
async fn what_is_not_known_is_new_whatever_its_date() {
    let house = House::new().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two")];
    house.adopt(&mailbox, &[seen("gone")]).await;
    let is_first = async || house.ledger.past(&account()).await.unwrap().first_listing;
    assert!(is_first().await, "a file that fits nothing is no baseline");
    house.adopt(&mailbox, &[seen("u1")]).await;
    assert!(!is_first().await);
}

#[tokio::test]
async fn skipped_mail_stays_and_delivered_mail_goes_when_its_time_is_over() {
    let mut house = House::new().await;
    house.leave_copy = A_WEEK;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two"), ("u3", 30, "three"), ("u4", 40, "four")];
    let seen = [
        ("u1", Some(8), Some("h1")),
        ("u2", Some(6), Some("h2")),
        ("u3", Some(8), None),
        ("u4", None, Some("h4")),
    ];
    let adopted = house.adopt(&mailbox, &seen).await;
    assert_eq!(adopted, Adopted { new: 4, deletable: 1, skipped: 1, ..Adopted::default() });
    assert!(house.overdue(A_WEEK).await.is_empty(), "nothing is deleted before it is listed");
    assert_eq!(house.poll(&mailbox).await, nothing());
    let deletion = house.overdue(A_WEEK).await.remove(0);
    assert_eq!((&deletion.uidl, deletion.content, deletion.header), (&Uidl::new(b"u1"), None, content("h1")));
    assert!(house.overdue(LeaveCopy::Forever).await.is_empty());
    for (days, gone) in [(1, 2), (5, 2), (1, 3), (100, 3)] {
        house.later(days * DAY);
        assert_eq!(house.overdue(A_WEEK).await.len(), gone);
    }
    let u3 = Uidl::new(b"u3");
    assert!(house.overdue(AT_ONCE).await.iter().all(|deletion| deletion.uidl != u3));
}

#[tokio::test]
async fn leave_copy_of_that_day_counts_too() {
    let house = House::new().await;
    let mailbox = vec![("u1", 10, "one")];
    house.adopt(&mailbox, &[("u1", Some(99), Some("h1"))]).await;
    house.list(&mailbox).await;
    assert!(house.overdue(AT_ONCE).await.is_empty(), "it was to stay for ever");
}

#[tokio::test]
async fn what_was_skipped_can_be_called_delivered_later() {
    let mut house = House::new().await;
    house.leave_copy = A_WEEK;
    let mailbox = vec![("u1", 10, "one"), ("u2", 20, "two")];
    house.adopt(&mailbox, &[seen("u1")]).await;
    let skip = Intake { fresh: Some(Vec::new()), ..house.intake(&mailbox).await };
    house.take_in(skip).await;
    assert!(house.overdue(AT_ONCE).await.is_empty());
    let delivered = [("u1", Some(9), Some("h1")), ("u2", Some(9), Some("h2"))];
    let adopted = house.adopt(&mailbox, &delivered).await;
    assert_eq!(adopted, Adopted { delivered: 2, deletable: 2, ..Adopted::default() });
    assert_eq!(house.overdue(A_WEEK).await.len(), 2);
    assert_eq!(
        house.value("SELECT count(*) FROM deliveries WHERE receipt = 'delivered by getmail'").await,
        2
    );
    house.adopt(&mailbox, &[seen("u1"), seen("u2")]).await;
    assert_eq!(house.overdue(A_WEEK).await.len(), 2, "and that is not taken back");
}

#[tokio::test]
async fn a_clock_that_was_ahead_makes_nothing_younger_than_new() {
    let mut house = House::new().await;
    house.leave_copy = A_WEEK;
    let mailbox = vec![("u1", 10, "one")];
    let mut adoption = house.adoption(&mailbox, &[("u1", None, Some("h1"))]);
    let ahead = house.now + Duration::from_secs(400 * DAY);
    adoption.seen.get_mut(&1).unwrap().since = Some(ahead);
    house.ledger.adopt(adoption).await.unwrap();
    house.list(&mailbox).await;
    house.later(7 * DAY);
    assert_eq!(house.overdue(A_WEEK).await.len(), 1);
}

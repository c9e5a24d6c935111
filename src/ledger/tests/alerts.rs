//! What people are told, and what is forgotten once they know.

use super::*;

const WAYS: [Way; 2] = [Way::Mail, Way::Url];

fn told(title: &str) -> Told {
    Told { title: title.into(), text: "Why, and what to do.".into() }
}

fn trouble(house: &House, told: bool) -> Trouble {
    Trouble { subject: Subject::Account, name: "work".into(), since: house.now, told }
}

impl House {
    async fn note(&self, trouble: Trouble, change: Change) {
        let changes = vec![(trouble, change)];
        self.ledger.note_troubles(changes, Vec::new(), WAYS.to_vec(), self.now).await.unwrap();
    }

    async fn titles(&self, way: Way) -> Vec<String> {
        let notices = self.ledger.notices(way, self.now).await.unwrap();
        notices.into_iter().map(|notice| notice.title).collect()
    }
}

#[tokio::test]
async fn what_is_over_before_it_could_be_told_is_told_of_once() {
    let house = House::new().await;
    house.note(trouble(&house, false), Change::Noted).await;
    assert_eq!(house.titles(Way::Mail).await, nothing());
    house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
    let notices = house.ledger.notices(Way::Url, house.now).await.unwrap();
    house.ledger.forget_notices(vec![notices[0].id]).await.unwrap();
    assert_eq!(
        (house.titles(Way::Mail).await, house.titles(Way::Url).await),
        (vec!["begun".into()], nothing())
    );
    let house = house.crashed().await;
    assert_eq!(house.ledger.health().await.unwrap().known, [trouble(&house, true)], "a restart knows it");
    house.note(trouble(&house, true), Change::Over(Some(told("over")))).await;
    assert_eq!(house.titles(Way::Mail).await, ["over"]);
    assert_eq!(house.titles(Way::Url).await, ["over"]);
    assert!(house.ledger.health().await.unwrap().known.is_empty());
}

#[tokio::test]
async fn what_nobody_could_be_told_is_no_news_after_three_days() {
    let mut house = House::new().await;
    house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
    house.later(3 * 24 * 3600);
    assert_eq!(house.titles(Way::Mail).await, ["begun"]);
    house.later(1);
    assert_eq!(house.titles(Way::Mail).await, nothing());
}

#[tokio::test]
async fn the_oldest_notices_make_room() {
    let house = House::new().await;
    let changes = (0..10_003).map(|n| {
        let trouble = Trouble { name: format!("a{n}"), ..trouble(&house, true) };
        (trouble, Change::Begun(told(&n.to_string())))
    });
    house.ledger.note_troubles(changes.collect(), Vec::new(), WAYS.to_vec(), house.now).await.unwrap();
    let titles = house.titles(Way::Url).await;
    assert_eq!((titles.len(), titles[0].as_str()), (10_000, "3"));
}

#[tokio::test]
async fn a_message_that_is_parked_again_is_told_of_again() {
    let house = House::new().await;
    let mailbox = vec![("a", 1, "one")];
    house.list(&mailbox).await;
    let message = house.due().await[0].id;
    house.ledger.park(message, "larger than max_size".into(), house.now).await.unwrap();
    let parked = house.ledger.health().await.unwrap().parked;
    assert_eq!((parked.len(), parked[0].deliveries.len()), (1, 1));
    let parked = vec![(parked[0].clone(), told("parked"))];
    house.ledger.note_troubles(Vec::new(), parked, WAYS.to_vec(), house.now).await.unwrap();
    assert!(house.ledger.health().await.unwrap().parked.is_empty());
    house.ledger.retry(None, None, None, house.now).await.unwrap();
    house.ledger.park(message, "larger than max_size".into(), house.now).await.unwrap();
    assert_eq!(house.ledger.health().await.unwrap().parked.len(), 1);
}

#[tokio::test]
async fn two_refused_logins_in_a_row_are_counted_and_one_success_ends_it() {
    let house = House::new().await;
    let refused = |login_refused| PollRecord {
        login_refused,
        ..house.record(Some((Class::Account, "the login was refused".into())))
    };
    let mut counts = Vec::new();
    for record in [refused(true), refused(true), refused(false), refused(true), house.record(None)] {
        house.ledger.record_poll(record).await.unwrap();
        counts.push(house.ledger.health().await.unwrap().accounts[0].refused_logins);
    }
    assert_eq!(counts, [1, 2, 0, 1, 0]);
}

#[tokio::test]
async fn a_destination_that_nobody_waits_for_is_no_trouble() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "one")];
    house.list(&mailbox).await;
    house.send_due_as(&mailbox, |_| unreachable()).await;
    let home = async |house: &House| house.ledger.health().await.unwrap().destinations.remove(1).state;
    assert_eq!(home(&house).await, "failing");
    house.list(&vec![]).await;
    assert_eq!(home(&house).await, "ok", "its mail has left the source");
    house.list(&mailbox).await;
    assert_eq!(home(&house).await, "failing");
    house.ledger.give_up(MessageId(1), Some(&destination("home")), house.now).await.unwrap();
    assert_eq!(home(&house).await, "ok");

    house.list(&vec![("u2", 10, "two")]).await;
    house.later(3600);
    let due = house.due().await.remove(0);
    let disabled = Verdict::Disabled { reason: "410".into() };
    house.outcome(&due.deliveries[0], disabled).await;
    house.list(&vec![]).await;
    assert_eq!(home(&house).await, "disabled", "a person has to act, sooner or later");
}

#[tokio::test]
async fn a_mailbox_that_keeps_what_is_deleted_or_is_only_left_to_grow_is_seen() {
    let mut house = House::new().await;
    house.poll(&vec![("a", 100, "one")]).await;
    assert!(house.ledger.hoards(1, 1).await.unwrap().is_empty(), "old mail is no growth");
    let grown = vec![("a", 100, "one"), ("b", 200, "two"), ("c", 300, "three")];
    house.poll(&grown).await;
    let hoard = |undeleted, left, octets| Hoard { account: "work".into(), undeleted, left, octets };
    assert_eq!(house.ledger.hoards(2, u64::MAX).await.unwrap(), [hoard(0, 2, 500)]);
    assert_eq!(house.ledger.hoards(u64::MAX, 500).await.unwrap(), [hoard(0, 2, 500)]);
    assert!(house.ledger.hoards(3, 501).await.unwrap().is_empty());

    let ids: Vec<MessageId> = vec![MessageId(1), MessageId(2)];
    house.ledger.deleting(&ids, house.now).await.unwrap();
    house.later(24 * 3600);
    house.list(&grown).await;
    assert!(house.ledger.hoards(3, 501).await.unwrap().is_empty(), "not for a day yet");
    house.later(1);
    house.ledger.deleting(&ids, house.now).await.unwrap();
    house.list(&grown).await;
    assert_eq!(house.ledger.hoards(3, 501).await.unwrap(), [hoard(2, 2, 500)]);
    house.list(&vec![("b", 200, "two")]).await;
    assert_eq!(house.ledger.hoards(3, 501).await.unwrap(), [hoard(1, 1, 200)]);
}

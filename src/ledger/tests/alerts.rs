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
        self.ledger.note_troubles(changes, Vec::new(), Vec::new(), WAYS.to_vec(), self.now).await.unwrap();
    }

    /// Tells what is newly parked, and what is so no longer, as a look does.
    async fn note_parked(&self) {
        let say = |parked: &NewlyParked| told(&format!("{} parked", parked.deliveries.len()));
        let Health { parked, outdated, .. } = self.ledger.health().await.unwrap();
        let parked = parked.into_iter().map(|parked| (parked.clone(), say(&parked))).collect();
        let outdated = outdated.into_iter().map(|outdated| {
            let told = outdated.parked.as_ref().map(say);
            (outdated, told)
        });
        let (outdated, ways) = (outdated.collect(), WAYS.to_vec());
        self.ledger.note_troubles(Vec::new(), parked, outdated, ways, self.now).await.unwrap();
    }

    /// Sends what waits that way, and no sign comes of it.
    async fn tell_in_vain(&self, way: Way) -> usize {
        let notices = self.ledger.notices(way, self.now).await.unwrap();
        let ids: Vec<i64> = notices.iter().map(|notice| notice.id).collect();
        self.ledger.sending_notices(ids, self.now).await.unwrap();
        notices.len()
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
async fn what_could_not_be_told_for_three_days_is_dropped_and_said_once() {
    let mut house = House::new().await;
    let other = Trouble { name: "other".into(), ..trouble(&house, true) };
    house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
    house.list(&vec![("a", 1, "one")]).await;
    house.park(0).await;
    house.note_parked().await;
    house.later(1);
    house.note(other, Change::Begun(told("another"))).await;
    house.later(3 * 24 * 3600 - 1);
    assert_eq!(house.titles(Way::Mail).await, ["begun", "1 parked", "another"]);
    assert!(house.ledger.drop_stale_notices(house.now).await.unwrap().is_empty());
    house.later(1);
    assert_eq!(house.titles(Way::Mail).await, ["another"]);
    let dropped = house.ledger.drop_stale_notices(house.now).await.unwrap();
    let both = |title: &str| WAYS.map(|way| (way, title.to_owned()));
    assert_eq!(dropped, [both("begun"), both("1 parked")].concat());
    assert!(house.ledger.drop_stale_notices(house.now).await.unwrap().is_empty());
    assert_eq!(house.ledger.health().await.unwrap().known.len(), 2, "it is told when it is over");
}

impl House {
    /// Parks what is due, from the `nth` message on.
    async fn park(&self, nth: usize) {
        for due in &self.due().await[nth..] {
            self.ledger.park(due.id, "larger than max_size".into(), self.now).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_may_have_been_told_is_told_again_less_and_less_often() {
    let mut house = House::new().await;
    house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
    let mut times = 0;
    for minute in 0..3 * 24 * 60 {
        let sent = house.tell_in_vain(Way::Url).await;
        assert!(sent == 0 || (minute + 1_i32).count_ones() == 1, "minute {minute}");
        times += sent;
        house.later(60);
    }
    assert_eq!(times, 13, "in three days");
    let new = Trouble { name: "new".into(), ..trouble(&house, true) };
    house.note(new, Change::Begun(told("new"))).await;
    assert_eq!(house.titles(Way::Url).await, ["new"], "it waits for no other");
    let id = house.ledger.notices(Way::Url, house.now).await.unwrap()[0].id;
    house.ledger.sending_notices(vec![id], house.now).await.unwrap();
    assert_eq!(house.titles(Way::Url).await, nothing());
    house.ledger.unsent_notices(vec![id]).await.unwrap();
    assert_eq!(house.titles(Way::Url).await, ["new"], "nobody has seen it");
}

#[tokio::test]
async fn what_is_parked_no_longer_is_not_told() {
    let house = House::new().await;
    house.list(&vec![("a", 1, "one"), ("b", 1, "two"), ("c", 1, "three")]).await;
    house.park(1).await;
    house.note_parked().await;
    assert_eq!(house.titles(Way::Mail).await, ["2 parked"]);
    let url = house.ledger.notices(Way::Url, house.now).await.unwrap();
    house.ledger.forget_notices(vec![url[0].id]).await.unwrap();

    house.ledger.retry(None, Some(MessageId(2)), None, house.now).await.unwrap();
    assert_eq!(house.titles(Way::Mail).await, nothing(), "it is to be said in other words");
    house.note_parked().await;
    assert_eq!(house.titles(Way::Mail).await, ["1 parked"]);
    assert_eq!(house.titles(Way::Url).await, nothing(), "they know");

    // What is parked anew is news, also for who knows of the first time.
    house.park(1).await;
    house.note_parked().await;
    assert_eq!(house.titles(Way::Mail).await, ["1 parked", "1 parked"]);
    assert_eq!(house.titles(Way::Url).await, ["1 parked"]);

    for id in [2, 3] {
        house.ledger.give_up(MessageId(id), None, house.now).await.unwrap();
    }
    assert_eq!(house.titles(Way::Mail).await, nothing());
    house.note_parked().await;
    let health = house.ledger.health().await.unwrap();
    assert!(health.outdated.is_empty() && health.parked.is_empty(), "{health:?}");
}

#[tokio::test]
async fn who_may_know_of_the_beginning_is_told_of_the_end() {
    let house = House::new().await;
    let known = async |house: &House| house.ledger.health().await.unwrap().known.len();
    // The answer to a mail was lost, or nobody knows what a command has done.
    for is_mail in [true, false] {
        house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
        if is_mail {
            let notices = house.ledger.notices(Way::Mail, house.now).await.unwrap();
            let (home, ids) = (destination("home"), vec![notices[0].id]);
            house.ledger.attempting_notices(&home, &ids, house.mark(), house.now).await.unwrap();
            house.ledger.settle_notices(&home, &unknown(), house.now).await.unwrap();
        } else {
            house.tell_in_vain(Way::Url).await;
        }
        house.note(trouble(&house, true), Change::Hidden).await;
        assert_eq!((known(&house).await, house.titles(Way::Mail).await), (1, nothing()), "mail: {is_mail}");
        house.note(trouble(&house, true), Change::Over(Some(told("over")))).await;
        assert_eq!(house.titles(Way::Mail).await, ["over"]);
        house.note(trouble(&house, true), Change::Over(None)).await;
    }
}

#[tokio::test]
async fn mail_that_a_destination_does_not_take_is_held_up() {
    let mut house = House::new().await;
    let mailbox = vec![("a", 1, "one"), ("b", 1, "two")];
    let is_held_up = async |house: &House| house.ledger.health().await.unwrap().accounts.remove(0).is_held_up;
    house.list(&mailbox).await;
    assert!(!is_held_up(&house).await, "nobody has tried yet");
    house.send_due_as(&mailbox, |_| unreachable()).await;
    assert!(is_held_up(&house).await);
    house.later(3600);
    house.send_due(&mailbox).await;
    assert!(!is_held_up(&house).await);
    house.list(&vec![("c", 1, "three")]).await;
    let due = house.due().await.remove(0);
    house.outcome(&due.deliveries[0], Verdict::Disabled { reason: "410".into() }).await;
    assert!(is_held_up(&house).await);
    house.list(&vec![]).await;
    assert!(!is_held_up(&house).await, "it waits no longer");
}

#[tokio::test]
async fn what_nobody_was_told_yet_is_taken_back_or_told_as_it_is_now() {
    let house = House::new().await;
    let title = async |house: &House| house.ledger.health().await.unwrap().untold.into_values().next();
    house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
    assert_eq!(title(&house).await, Some("begun".into()));
    let first = house.ledger.notices(Way::Url, house.now).await.unwrap();
    house.ledger.forget_notices(vec![first[0].id]).await.unwrap();
    house.note(trouble(&house, true), Change::Turned(told("turned"))).await;
    assert_eq!(house.titles(Way::Mail).await, ["turned"]);
    assert_eq!(house.titles(Way::Url).await, nothing(), "they know already");
    house.note(trouble(&house, true), Change::Hidden).await;
    assert_eq!(house.titles(Way::Mail).await, nothing());
    assert_eq!(house.ledger.health().await.unwrap().known.len(), 1, "somebody knows");
    house.note(trouble(&house, true), Change::Over(None)).await;

    house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
    house.note(trouble(&house, true), Change::Hidden).await;
    assert!(house.ledger.health().await.unwrap().known.is_empty(), "nobody knows");
    house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
    house.note(trouble(&house, true), Change::Over(None)).await;
    assert_eq!(house.titles(Way::Mail).await, nothing(), "it was deleted");
}

#[tokio::test]
async fn only_a_delivery_shows_that_a_destination_takes_mail() {
    let mut house = House::new().await;
    let mailbox = vec![("a", 1, "one")];
    house.list(&mailbox).await;
    let last =
        async |house: &House| house.ledger.health().await.unwrap().destinations.remove(1).last_delivery;
    house.send_due_as(&mailbox, |_| unreachable()).await;
    house.ledger.retry(None, None, None, house.now).await.unwrap();
    house.fingerprint = "another";
    house.configure().await;
    assert_eq!(last(&house).await, None);
    house.later(60);
    house.send_due(&mailbox).await;
    assert_eq!(last(&house).await, Some(house.now));
}

#[tokio::test]
async fn a_notice_whose_answer_was_lost_is_absent_at_the_second_look_only() {
    let mut house = House::new().await;
    let home = destination("home");
    house.note(trouble(&house, true), Change::Begun(told("begun"))).await;
    let ids: Vec<i64> =
        house.ledger.notices(Way::Mail, house.now).await.unwrap().iter().map(|notice| notice.id).collect();
    let attempt = async |house: &House| house.ledger.notice_attempt(&home).await.unwrap();
    let look = async |house: &House, found: Found| {
        house.ledger.settle_notice_look_up(&home, &found, house.now).await.unwrap()
    };
    assert_eq!(attempt(&house).await, None);
    let send = async |house: &House, verdict: Option<Verdict>| {
        house.ledger.attempting_notices(&home, &ids, house.mark(), house.now).await.unwrap();
        if let Some(verdict) = verdict {
            house.ledger.settle_notices(&home, &verdict, house.now).await.unwrap();
        }
    };
    send(&house, Some(unreachable())).await;
    assert_eq!(attempt(&house).await, None, "it was not sent");
    send(&house, Some(unknown())).await;
    assert_eq!(attempt(&house).await.unwrap().mark, house.mark());
    house.later(1);
    assert_eq!(look(&house, Found::Absent).await, LookedUp::Again(Duration::from_secs(29)));
    house.later(28);
    assert_eq!(look(&house, Found::Absent).await, LookedUp::Again(Duration::from_secs(1)));
    house.later(1);
    assert_eq!(look(&house, Found::Absent).await, LookedUp::Over);
    assert_eq!((attempt(&house).await, house.titles(Way::Mail).await.len()), (None, 1), "it is sent again");

    // A crash while it is sent is an answer that was lost then.
    send(&house, None).await;
    house.later(600);
    house = house.crashed().await;
    assert_eq!(look(&house, Found::Absent).await, LookedUp::Again(Duration::from_secs(30)));
    house.later(30);
    let receipt = Receipt::Uid { uid_validity: 7, uid: 1 };
    assert_eq!(look(&house, Found::Found { receipt }).await, LookedUp::Stored(1));
    assert_eq!((attempt(&house).await, house.titles(Way::Mail).await), (None, nothing()));
    assert_eq!(house.titles(Way::Url).await, ["begun"]);
}

#[tokio::test]
async fn the_oldest_notices_make_room() {
    let house = House::new().await;
    let changes = (0..10_003).map(|n| {
        let trouble = Trouble { name: format!("a{n}"), ..trouble(&house, true) };
        (trouble, Change::Begun(told(&n.to_string())))
    });
    house
        .ledger
        .note_troubles(changes.collect(), Vec::new(), Vec::new(), WAYS.to_vec(), house.now)
        .await
        .unwrap();
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
    house.note_parked().await;
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

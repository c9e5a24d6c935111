//! What people decide, ask and see.

use super::*;

#[tokio::test]
async fn retry_makes_parked_mail_due_as_if_never_tried() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let due = house.due().await;
    let identities = house.identify_all(&[(due[0].id, "one"), (due[1].id, "two")]).await;
    for _ in 0..3 {
        house.outcome(&identities[0].deliveries[0], deferred()).await;
    }
    house.outcome(&identities[1].deliveries[0], Verdict::Disabled { reason: "410".into() }).await;
    assert_eq!(house.ledger.retry(Some(&account()), Some(due[0].id), None, house.now).await.unwrap(), 1);
    let due_now = house.due().await;
    assert_eq!(due_now.len(), 2, "its destination is enabled again");
    assert_eq!(due_now[0].deliveries[0].attempts, 0);
    let nobody = AccountName::new("nobody").unwrap();
    let unknown = house.ledger.retry(Some(&nobody), None, None, house.now).await.unwrap_err();
    assert_eq!(unknown, Error::NoSuchAccount { name: "nobody".into(), known: "work".into() });
    assert!(unknown.is_usage());
    let unknown = house.ledger.give_up(MessageId(99), None, house.now).await.unwrap_err();
    assert_eq!(unknown, Error::NoSuchMessage(99));
}

#[tokio::test]
async fn retry_counts_what_waited_for_a_disabled_destination() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 10, "two")];
    house.list(&mailbox).await;
    house.send_due_as(&mailbox, |_| Verdict::Disabled { reason: "410".into() }).await;
    assert_eq!(house.due().await.len(), 0);
    assert_eq!(house.ledger.retry(None, None, None, house.now).await.unwrap(), 2);
    assert_eq!(house.due().await.len(), 2);
}

#[tokio::test]
async fn retry_enables_a_destination_that_nothing_waits_for() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "one")];
    house.list(&mailbox).await;
    house.send_due_as(&mailbox, |_| Verdict::Disabled { reason: "410".into() }).await;
    let home = destination("home");
    house.ledger.give_up(MessageId(1), Some(&home), house.now).await.unwrap();
    assert_eq!(house.ledger.retry(Some(&account()), None, None, house.now).await.unwrap(), 0);
    assert_eq!(house.poll(&vec![("u2", 10, "two")]).await, ["home: two"]);
}

#[tokio::test]
async fn give_up_leaves_alone_what_is_merely_due() {
    let mut house = House::new().await;
    house.routes = vec!["app", "home"];
    house.configure().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    let identity = house.identify(&due, "one").await;
    for _ in 0..3 {
        house.outcome(&identity.deliveries[0], deferred()).await;
    }
    assert_eq!(house.ledger.give_up(due.id, None, house.now).await.unwrap(), 1);
    assert_eq!(
        house.send_due(&vec![("u1", 10, "one")]).await.len(),
        1,
        "the other destination still gets it"
    );
}

#[tokio::test]
async fn a_renamed_account_keeps_what_it_knows() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    let new = AccountName::new("office").unwrap();
    // The config already has the new name: the daemon made an empty account for it.
    let setup = AccountSetup {
        name: new.clone(),
        source: "me@pop".into(),
        schedule: "5m".into(),
        longest: Duration::from_secs(60),
        routes: house.destinations(),
    };
    house.ledger.configure(vec![setup], vec![], house.now).await.unwrap();
    house.ledger.rename(&account(), &new).await.unwrap();
    let intake = Intake { account: new.clone(), ..house.intake(&vec![("u1", 10, "one")]).await };
    assert_eq!(house.take_in(intake).await.new, 0, "nothing is sent again");

    house.configure().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    let taken = house.ledger.rename(&account(), &new).await.unwrap_err();
    assert_eq!(taken, Error::AccountExists("office".into()));
    assert_eq!(house.ledger.forget(&new).await.unwrap(), 1);
    house.ledger.rename(&account(), &new).await.unwrap();
    assert!(matches!(house.ledger.forget(&account()).await, Err(Error::NoSuchAccount { .. })));
}

#[tokio::test]
async fn what_a_webhook_may_have_keeps_the_name_under_which_it_was_sent() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 10, "two"), ("u3", 10, "three")];
    house.list(&mailbox).await;
    let due = house.due().await;
    let outcomes = [(0, deferred()), (1, unreachable())];
    for (n, verdict) in outcomes {
        house.outcome(&due[n].deliveries[0], verdict).await;
    }
    let names = [account(), AccountName::new("office").unwrap(), AccountName::new("bureau").unwrap()];
    for pair in names.windows(2) {
        house.ledger.rename(&pair[0], &pair[1]).await.unwrap();
    }
    house.later(3600);
    let ask = Ask { account: names[2].clone(), regardless: true, ..house.ask() };
    house.ledger.retry(None, None, None, house.now).await.unwrap();
    let due = house.ledger.due(&ask, house.now).await.unwrap();
    let sent_as: Vec<_> = due.iter().map(|due| due.deliveries[0].sent_as.clone()).collect();
    assert_eq!(sent_as, [Some(account()), Some(account()), None], "the third was never sent");
}

#[tokio::test]
async fn a_visitor_reads_and_asks_while_the_ledger_is_held() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    let visitor = Ledger::visit(&file(&house.folder)).await.unwrap();
    assert_eq!(visitor.report().status().await.unwrap().accounts[0].delivered, 1);
    let request = Request::GiveUp { id: MessageId(1), destination: Some(destination("home")) };
    let id = visitor.request(&request, house.now).await.unwrap();
    let poll = Request::Poll { account: account() };
    visitor.request(&poll, house.now).await.unwrap();
    assert_eq!(house.ledger.open_requests().await.unwrap(), [(id, request), (id + 1, poll)]);
    assert_eq!(visitor.answer(id).await.unwrap(), None);
    house.ledger.answer_request(id, "{\"ended\":0}".into()).await.unwrap();
    assert_eq!(visitor.answer(id).await.unwrap().as_deref(), Some("{\"ended\":0}"));
    assert_eq!(house.ledger.open_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn status_and_history_keep_to_the_contract() {
    let mut house = House::new().await;
    house.poll(&vec![("u\u{e9}", 10, "one"), ("u2", 10, "two")]).await;
    house.ledger.record_poll(house.record(None)).await.unwrap();
    house.later(60);
    house.ledger.record_poll(house.record(Some((Class::Account, "refused".into())))).await.unwrap();
    house.later(60);
    house.ledger.record_poll(house.record(Some((Class::Account, "refused".into())))).await.unwrap();
    let status = serde_json::to_string(&house.ledger.report().status().await.unwrap()).unwrap();
    assert_eq!(
        status,
        "{\"accounts\":[{\"name\":\"work\",\"last_checked\":\"2026-09-21T14:15:20Z\",\
         \"last_success\":\"2026-09-21T14:13:20Z\",\"next_check\":\"2026-09-21T14:15:20Z\",\
         \"delivered\":2,\"pending\":0,\"parked\":0,\"failing_since\":\"2026-09-21T14:14:20Z\",\
         \"error\":{\"class\":\"account\",\"text\":\"refused\"}}],\
         \"destinations\":[{\"name\":\"app\",\"kind\":\"webhook\",\"state\":\"ok\",\"error\":null},\
         {\"name\":\"home\",\"kind\":\"imap\",\"state\":\"ok\",\"error\":null}]}"
    );
    let history = house.ledger.report().history(Some(&account()), None, 1).await.unwrap();
    assert_eq!(
        serde_json::to_string(&history).unwrap(),
        "[{\"account\":\"work\",\"started\":\"2026-09-21T14:15:20Z\",\"ended\":\"2026-09-21T14:15:20Z\",\
         \"new\":1,\"delivered\":1,\"deleted\":0,\"bytes\":42,\"error\":\"refused\"}]"
    );
    let kept = house.ledger.report().find(None, MessageId(1)).await.unwrap().unwrap();
    assert_eq!((kept.uidl.to_string().as_str(), kept.content), ("u\\xC3\\xA9", Some(content("one"))));
    house.later(60);
    house.ledger.record_poll(house.record(None)).await.unwrap();
    assert_eq!(house.ledger.report().status().await.unwrap().accounts[0].failing_since, None);
}

#[tokio::test]
async fn an_account_whose_mail_waits_says_why() {
    let mut house = House::new().await;
    let mailbox = vec![("u1", 10, "one"), ("u2", 10, "two")];
    house.list(&mailbox).await;
    assert_eq!(house.error().await, None, "what is merely due has not failed");
    house.send_due_as(&mailbox, |_| deferred()).await;
    house.ledger.record_poll(house.record(None)).await.unwrap();
    let text = "2 waiting: home: 451 later; next try 2026-09-21T14:13:25Z";
    assert_eq!(house.error().await, Some(("message".into(), text.into())));
    house.later(5);
    house.send_due_as(&mailbox, |_| unreachable()).await;
    let text = "home: no connection";
    assert_eq!(house.error().await, Some(("destination".into(), text.into())));
    let failed = house.record(Some((Class::Account, "refused".into())));
    house.ledger.record_poll(failed).await.unwrap();
    assert_eq!(
        house.error().await,
        Some(("account".into(), "refused".into())),
        "its own failure comes first"
    );
    house.list(&vec![]).await;
    house.ledger.record_poll(house.record(None)).await.unwrap();
    assert_eq!(house.error().await, None, "what is gone from its source does not wait");
}

#[tokio::test]
async fn rows_are_kept_for_400_days_after_they_were_last_listed() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    house.list(&vec![("u2", 10, "two")]).await;
    house.later(399 * 24 * 3600);
    house.ledger.record_poll(house.record(None)).await.unwrap();
    assert_eq!(house.poll(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await, nothing());
    house.list(&vec![("u2", 10, "two")]).await;
    house.later(401 * 24 * 3600);
    house.ledger.record_poll(house.record(None)).await.unwrap();
    assert_eq!(house.value("SELECT count(*) FROM messages").await, 1, "what is listed stays, however old");
    assert_eq!(house.value("SELECT count(*) FROM polls").await, 1);
}

#[tokio::test]
async fn polls_that_found_nothing_are_kept_for_two_days() {
    let mut house = House::new().await;
    let idle = |house: &House| PollRecord { new: 0, delivered: 0, bytes: 0, ..house.record(None) };
    for _ in 0..72 {
        house.later(3600);
        house.ledger.record_poll(idle(&house)).await.unwrap();
    }
    assert_eq!(house.value("SELECT count(*) FROM polls").await, 49);
    let failed = PollRecord { error: Some((Class::Account, "refused".into())), ..idle(&house) };
    house.ledger.record_poll(failed).await.unwrap();
    house.ledger.record_poll(house.record(None)).await.unwrap();
    // One that an earlier version left full empties by and by.
    house.later(30 * 24 * 3600);
    for _ in 0..20 {
        house.ledger.record_poll(idle(&house)).await.unwrap();
    }
    assert_eq!(house.value("SELECT count(*) FROM polls").await, 2 + 20);
}

#[tokio::test]
async fn arrivals_are_messages_by_the_quarter_of_an_hour() {
    let mut house = House::new().await;
    let since = house.now;
    for (new, delivered) in [(2, 4), (1, 2), (0, 3), (5, 0)] {
        house.ledger.record_poll(PollRecord { new, delivered, ..house.record(None) }).await.unwrap();
        house.later(600);
    }
    let arrivals = house.ledger.report().arrivals(&account(), since).await.unwrap();
    // It begins at 14:13:20.
    let seen: Vec<_> = arrivals.iter().map(|it| (it.from.format("%H:%M").to_string(), it.messages)).collect();
    assert_eq!(seen, [("14:00".into(), 2), ("14:15".into(), 1), ("14:30".into(), 5)]);
}

#[tokio::test]
async fn what_nothing_takes_never_goes_and_holds_back_a_server_that_drops_what_was_retrieved() {
    let mut house = House::new().await;
    house.routes = vec!["app", "home"];
    house.configure().await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let due = house.due().await;
    let [one, two] = house.identify_all(&[(due[0].id, "one"), (due[1].id, "two")]).await.try_into().unwrap();
    // To one destination the first is not to go, to none the second.
    let all = two.deliveries.iter().map(|delivery| delivery.id);
    let out = [one.deliveries[0].id].into_iter().chain(all).collect();
    let settled = house.ledger.not_routed(out, house.now).await.unwrap();
    assert!(settled.len() == 3 && settled.iter().all(|settled| settled.state == State::Skipped));
    let at_once = LeaveCopy::For(Duration::ZERO);
    house.leave_copy = at_once;
    let stored = house.stored();
    house.outcome(&one.deliveries[1], stored).await;
    assert_eq!(house.ledger.deletable(&[one.id, two.id], at_once, house.now).await.unwrap(), [one.id]);
    for (id, dropped, waits) in [(one.id, true, false), (two.id, true, true), (two.id, false, false)] {
        assert_eq!(house.ledger.any_waits(&[id], dropped).await.unwrap(), waits, "{id} {dropped}");
    }
    let unrouted = house.ledger.report().unrouted(None, 9).await.unwrap();
    assert_eq!(unrouted.iter().map(|unrouted| unrouted.id).collect::<Vec<_>>(), [two.id.0]);
    assert_eq!(house.ledger.retry(None, None, Some(&destination("home")), house.now).await.unwrap(), 1);
    let due = house.due().await;
    assert_eq!((due.len(), due[0].deliveries.len()), (1, 1));
    assert_eq!(due[0].deliveries[0].destination, destination("home"));
    assert_eq!(house.ledger.report().unrouted(None, 9).await.unwrap(), []);
}

//! Verdicts, retries, destinations that fail, and the order of what is due.

use super::*;

/// A mailbox of `n` messages of growing size, all retrieved and due.
async fn identified(house: &House, n: u64) -> Vec<Identity> {
    let names: Vec<String> = (1..=n).map(|n| format!("u{n}")).collect();
    let mailbox: Mailbox<'_> = names.iter().zip(1..).map(|(uidl, n)| (uidl.as_str(), n * 10, "")).collect();
    house.list(&mailbox).await;
    let due = house.due().await;
    let texts: Vec<(MessageId, &str)> =
        due.iter().zip(&names).map(|(due, name)| (due.id, name.as_str())).collect();
    house.identify_all(&texts).await
}

#[tokio::test]
async fn a_refusal_is_retried_and_parked_in_the_end() {
    let mut house = House::new().await;
    let delivery = identified(&house, 1).await.remove(0).deliveries.remove(0);
    let first = house.outcome(&delivery, rejected(true)).await;
    assert_eq!(first.state, State::Deferred);
    assert_eq!(first.retry_at, Some(house.now + Duration::from_secs(5)));
    assert!(house.due().await.is_empty(), "not before its time");
    house.later(5);
    assert_eq!(house.due().await[0].deliveries[0].attempts, 1);
    house.outcome(&delivery, rejected(true)).await;
    house.later(300);
    let last = house.outcome(&delivery, rejected(true)).await;
    assert_eq!((last.state, last.text.as_str(), last.retry_at), (State::Parked, "552 no", None));
    house.later(100_000);
    assert!(house.due().await.is_empty());
    let parked = house.ledger.report().parked(None, 0, 100).await.unwrap();
    assert_eq!((parked[0].uidl.as_str(), parked[0].attempts, parked[0].size), ("u1", 3, Some(10)));
}

#[tokio::test]
async fn an_exhausted_schedule_parks() {
    let mut house = House::new().await;
    let delivery = identified(&house, 1).await.remove(0).deliveries.remove(0);
    let states = [State::Deferred, State::Deferred, State::Parked];
    for state in states {
        assert_eq!(house.outcome(&delivery, deferred()).await.state, state);
        house.later(400);
    }
}

#[tokio::test]
async fn a_retry_after_is_obeyed_even_by_fetch() {
    let mut house = House::new().await;
    let deliveries = identified(&house, 2).await;
    let asked = busy(Some(Duration::from_secs(60)));
    let settled = house.outcome(&deliveries[0].deliveries[0], asked).await;
    assert_eq!(settled.retry_at, Some(house.now + Duration::from_secs(60)));
    house.outcome(&deliveries[1].deliveries[0], deferred()).await;
    let regardless = Ask { regardless: true, ..house.ask() };
    let due = house.ledger.due(&regardless, house.now).await.unwrap();
    assert_eq!(due.len(), 1, "our own back-off is overruled, theirs is not");
    assert_eq!(due[0].id, deliveries[1].id);
}

#[tokio::test]
async fn a_retry_after_of_one_destination_is_obeyed_beside_another() {
    let mut house = House::new().await;
    house.routes = vec!["app", "home"];
    house.configure().await;
    let deliveries = identified(&house, 1).await.remove(0).deliveries;
    let app = deliveries.iter().find(|delivery| delivery.destination == destination("app")).unwrap();
    let asked = busy(Some(Duration::from_secs(60)));
    house.outcome(app, asked).await;
    let fetch = Ask { regardless: true, ..house.ask() };
    let due = house.ledger.due(&fetch, house.now).await.unwrap();
    assert_eq!(due[0].deliveries.len(), 1);
    assert_eq!(due[0].deliveries[0].destination, destination("home"));
}

#[tokio::test]
async fn what_the_source_refuses_changes_no_wait_that_a_destination_asked_for() {
    for parks in [false, true] {
        let mut house = House::new().await;
        house.routes = vec!["app", "home"];
        house.configure().await;
        let message = identified(&house, 1).await.remove(0);
        let asked = busy(Some(Duration::from_secs(3600)));
        let until = house.now + Duration::from_secs(3600);
        let app = message.deliveries.iter().find(|d| d.destination == destination("app")).unwrap().clone();
        house.outcome(&app, asked).await;
        let (id, reason, now) = (message.id, "-ERR".to_owned(), house.now);
        let settled = match parks {
            true => house.ledger.park(id, reason, now).await.unwrap(),
            false => house.ledger.not_retrieved(id, reason, now).await.unwrap(),
        };
        assert_eq!(settled.len(), if parks { 2 } else { 1 });
        assert!(settled.iter().all(|settled| parks || settled.delivery != app.id));
        let waits = house.value("SELECT coalesce(max(asked_until), 0) FROM deliveries").await;
        assert_eq!(waits, if parks { 0 } else { until.timestamp() });
    }
}

#[tokio::test]
async fn three_different_messages_refused_in_a_row_are_the_endpoint_s_fault() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    let messages = identified(&house, 4).await;
    for message in &messages[..2] {
        assert_eq!(house.outcome(&message.deliveries[0], rejected(true)).await.state, State::Deferred);
    }
    let third = house.outcome(&messages[2].deliveries[0], rejected(true)).await;
    assert_eq!(third.state, State::Due);
    let status = house.ledger.report().status().await.unwrap();
    assert_eq!(status.destinations[0].state, "paused");
    let told = status.destinations[0].error.clone().unwrap();
    assert!(told.starts_with("3 messages in a row were refused ("), "{told}");
    assert_eq!(house.value("SELECT sum(attempts + refusals) FROM deliveries").await, 0, "all uncounted");
    assert_eq!(house.value("SELECT count(*) FROM deliveries WHERE state = 'due'").await, 4);
    // It stays so while the row lasts: a fourth is not counted either.
    house.later(6);
    let fourth = house.outcome(&messages[3].deliveries[0], rejected(true)).await;
    assert_eq!(fourth.state, State::Due);
    // A changed config is another endpoint: its first refusal is one of the message again.
    house.fingerprint = "changed";
    house.configure().await;
    assert_eq!(house.outcome(&messages[3].deliveries[0], rejected(true)).await.state, State::Deferred);
}

#[tokio::test]
async fn the_same_message_refused_three_times_pauses_nothing() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    let messages = identified(&house, 4).await;
    for _ in 0..3 {
        house.outcome(&messages[0].deliveries[0], rejected(true)).await;
        house.later(400);
    }
    // Neither does size, nor a row with a success in it.
    house.outcome(&messages[1].deliveries[0], rejected(false)).await;
    house.outcome(&messages[2].deliveries[0], Verdict::Delivered { receipt: Receipt::Http(202) }).await;
    house.outcome(&messages[3].deliveries[0], rejected(true)).await;
    house.outcome(&messages[1].deliveries[0], rejected(true)).await;
    let status = house.ledger.report().status().await.unwrap();
    assert_eq!(status.destinations[0].state, "ok");
}

/// An outage costs no attempt, however the endpoint tells of it.
#[tokio::test]
async fn three_different_messages_told_later_in_a_row_are_the_endpoint_s_fault() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    let messages = identified(&house, 5).await;
    for message in &messages[..2] {
        assert_eq!(house.outcome(&message.deliveries[0], busy(None)).await.state, State::Deferred);
    }
    let third = house.outcome(&messages[2].deliveries[0], busy(Some(Duration::from_secs(60)))).await;
    assert_eq!(third.state, State::Due);
    let status = house.ledger.report().status().await.unwrap();
    let told = status.destinations[0].error.clone().unwrap();
    assert_eq!(status.destinations[0].state, "failing");
    assert!(told.starts_with("3 messages in a row came to nothing (HTTP 503);"), "{told}");
    assert_eq!(house.value("SELECT sum(attempts) FROM deliveries").await, 0, "all uncounted");
    assert_eq!(house.value("SELECT count(*) FROM deliveries WHERE state = 'due'").await, 5);
    house.later(59);
    let fetch = Ask { regardless: true, ..house.ask() };
    assert!(house.ledger.due(&fetch, house.now).await.unwrap().is_empty(), "it has asked for a minute");
    // A day of it: one at a time, each time another, less and less often, and none pays.
    let (mut tried, end) = (Vec::new(), house.now + Duration::from_secs(86_400));
    house.later(1);
    while house.now < end {
        let due = house.due().await;
        assert_eq!(due.len(), 1);
        let delivery = &messages.iter().find(|message| message.id == due[0].id).unwrap().deliveries[0];
        assert_eq!(house.outcome(delivery, busy(None)).await.state, State::Due);
        tried.push(due[0].size.unwrap());
        assert!(house.due().await.is_empty(), "it rests");
        house.later(900);
    }
    assert_eq!((&tried[..5], tried.len()), (&[10, 20, 30, 40, 50][..], 96));
    assert_eq!(house.value("SELECT sum(attempts) FROM deliveries").await, 0);
    let due = house.due().await;
    let delivery = &messages.iter().find(|message| message.id == due[0].id).unwrap().deliveries[0];
    house.outcome(delivery, Verdict::Delivered { receipt: Receipt::Http(202) }).await;
    assert_eq!(house.due().await.len(), 4, "one success opens it for all");
    // And then a later is one of the message again.
    let delivery = &messages.iter().find(|message| message.id != due[0].id).unwrap().deliveries[0];
    assert_eq!(house.outcome(delivery, busy(None)).await.state, State::Deferred);
}

#[tokio::test]
async fn the_same_message_told_later_pays_and_holds_up_nobody() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    let messages = identified(&house, 3).await;
    let delivered = || Verdict::Delivered { receipt: Receipt::Http(202) };
    for state in [State::Deferred, State::Deferred, State::Parked] {
        assert_eq!(house.outcome(&messages[0].deliveries[0], busy(None)).await.state, state);
        house.later(400);
    }
    house.outcome(&messages[1].deliveries[0], busy(None)).await;
    assert_eq!(house.ledger.report().status().await.unwrap().destinations[0].state, "ok");
    house.outcome(&messages[2].deliveries[0], delivered()).await;
    assert_eq!(house.value("SELECT count(*) FROM deliveries WHERE streak = 1").await, 0);
}

/// It has taken its last message.
#[tokio::test]
async fn a_destination_may_take_a_message_and_want_no_more() {
    let mut house = House::new().await;
    let messages = identified(&house, 2).await;
    let (receipt, reason) = (Receipt::Http(200), "no more".to_owned());
    let settled = house.outcome(&messages[0].deliveries[0], Verdict::Last { receipt, reason }).await;
    assert_eq!(settled.state, State::Delivered);
    let status = house.ledger.report().status().await.unwrap();
    let home = status.destinations.iter().find(|destination| destination.name == "home").unwrap();
    assert_eq!((home.state.as_str(), home.error.as_deref()), ("disabled", Some("no more")));
    assert!(house.due().await.is_empty());
}

#[tokio::test]
async fn a_destination_that_is_down_rests_and_costs_no_attempts() {
    let mut house = House::new().await;
    house.routes = vec!["home", "app"];
    house.configure().await;
    let messages = identified(&house, 3).await;
    let down = messages.iter().map(|message| (message.deliveries[0].id, unreachable())).collect::<Vec<_>>();
    for (id, _) in &down {
        house.attempt(*id).await;
    }
    let settled = house.settle("home", down).await;
    assert!(settled.iter().all(|settled| settled.state == State::Due && settled.text == "no connection"));
    assert_eq!(house.value("SELECT sum(attempts) FROM deliveries").await, 0);
    let due = house.due().await;
    let open: Vec<&str> =
        due.iter().flat_map(|due| &due.deliveries).map(|d| d.destination.as_str()).collect();
    assert_eq!(open, ["app", "app", "app"], "another destination goes on");
    assert_eq!(house.value("SELECT rest_until FROM destinations WHERE name = 'home'").await, {
        // Three failures of one outage are one: 5 s, not 80.
        house.now.timestamp() + 5
    });
    let work_at = house.ledger.agenda(house.now).await.unwrap()[0].work_at;
    assert_eq!(work_at, Some(house.now), "for the other destination");
}

#[tokio::test]
async fn a_destination_that_was_down_is_tried_with_one_message_each_time_another() {
    let mut house = House::new().await;
    let messages = identified(&house, 3).await;
    house.outcome(&messages[2].deliveries[0], unreachable()).await;
    let mut tried = Vec::new();
    for rest in [5, 20, 80] {
        assert!(house.due().await.is_empty(), "it rests");
        assert_eq!(
            house.ledger.agenda(house.now).await.unwrap()[0].work_at,
            Some(house.now + Duration::from_secs(rest))
        );
        house.later(rest);
        let due = house.due().await;
        assert_eq!(due.len(), 1);
        assert!(
            house.due().await.iter().all(|again| again.id == due[0].id),
            "no second one at the same time"
        );
        let identity = house.identify(&due[0], &format!("u{}", due[0].size.unwrap() / 10)).await;
        tried.push(due[0].size.unwrap());
        house.outcome(&identity.deliveries[0], unreachable()).await;
    }
    assert_eq!(tried, [10, 20, 30], "the smallest first, each time another");
    house.later(320);
    let due = house.due().await;
    let identity = house.identify(&due[0], "u1").await;
    let verdict = house.stored();
    house.outcome(&identity.deliveries[0], verdict).await;
    assert_eq!(house.due().await.len(), 2, "one success opens it for all");
    assert_eq!(house.ledger.report().status().await.unwrap().destinations[1].error, None);
}

#[tokio::test]
async fn a_resting_destination_is_tried_by_fetch_unless_it_asked_for_the_rest() {
    let mut house = House::new().await;
    let delivery = identified(&house, 1).await.remove(0).deliveries.remove(0);
    let fetch = Ask { regardless: true, ..house.ask() };
    house.outcome(&delivery, unreachable()).await;
    assert!(house.due().await.is_empty());
    assert_eq!(house.ledger.due(&fetch, house.now).await.unwrap().len(), 1);
    let asked = Verdict::Unreachable { reason: "503".into(), retry_after: Some(Duration::from_secs(60)) };
    house.outcome(&delivery, asked).await;
    house.later(59);
    assert!(house.ledger.due(&fetch, house.now).await.unwrap().is_empty());
    house.later(1);
    assert_eq!(house.due().await.len(), 1);
}

#[tokio::test]
async fn a_destination_that_was_down_gets_one_message_of_all_accounts() {
    let mut house = House::new().await;
    let delivery = identified(&house, 2).await.remove(0).deliveries.remove(0);
    let other = AccountName::new("other").unwrap();
    let setup = |name| AccountSetup {
        name,
        source: "me@pop".into(),
        schedule: "5m".into(),
        longest: Duration::from_secs(3600),
        routes: house.destinations(),
    };
    let home = DestinationSetup {
        name: destination("home"),
        kind: "imap",
        fingerprint: house.fingerprint.into(),
        daily_budget: None,
        mailbox: None,
    };
    let setups = vec![setup(account()), setup(other.clone())];
    house.ledger.configure(setups, vec![home], house.now).await.unwrap();
    let intake = Intake { account: other.clone(), ..house.intake(&vec![("v1", 1, "small")]).await };
    house.take_in(intake).await;
    house.outcome(&delivery, unreachable()).await;
    house.later(5);
    assert_eq!(house.due().await.len(), 1);
    let others = Ask { account: other, ..house.ask() };
    assert!(house.ledger.due(&others, house.now).await.unwrap().is_empty(), "one is being tried already");
    house.ledger.record_poll(house.record(None)).await.unwrap();
    assert_eq!(house.ledger.due(&others, house.now).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_probe_that_was_never_sent_is_released_with_its_poll() {
    for for_now in [false, true] {
        let mut house = House::new().await;
        let messages = identified(&house, 2).await;
        house.outcome(&messages[1].deliveries[0], unreachable()).await;
        house.later(5);
        let chosen = house.due().await.remove(0);
        assert_eq!(chosen.id, messages[0].id, "the smallest that was not tried");
        match for_now {
            true => house.ledger.withheld(vec![(chosen.id, "-ERR".into())], house.now).await.unwrap(),
            false => house.ledger.not_retrieved(chosen.id, "-ERR".into(), house.now).await.unwrap(),
        };
        assert!(house.due().await.is_empty());
        // What waits for its time is chosen again when that has come; what was withheld, when there is nothing else.
        for later in if for_now { vec![0, 3600] } else { vec![0] } {
            house.later(later);
            house.ledger.record_poll(house.record(None)).await.unwrap();
            assert_eq!(house.due().await[0].id, messages[1].id, "another message is tried");
        }
    }
}

/// The delivery of a message to a destination.
fn delivery_to(message: &Identity, name: &str) -> DeliveryId {
    message.deliveries.iter().find(|delivery| delivery.destination.as_str() == name).unwrap().id
}

/// Sends to Gmail, by its API, messages with one Message-ID, each with its gist. Returns those that must not go.
async fn send_unnamed(house: &House, messages: &[(&Identity, u8)]) -> Vec<MessageId> {
    send_unnamed_to(house, "app", messages).await
}

async fn send_unnamed_to(house: &House, name: &str, messages: &[(&Identity, u8)]) -> Vec<MessageId> {
    let attempt = |(message, gist): &(&Identity, u8)| {
        let mark = Mark { gist: Some(of_gist(*gist)), ..house.mark() };
        Attempt { delivery: delivery_to(message, name), mark, unverified: false }
    };
    let attempts = messages.iter().map(attempt).collect();
    let held_up = house.ledger.attempting(attempts, house.now).await.unwrap();
    let held_up = messages.iter().filter(|(message, _)| held_up.contains(&delivery_to(message, name)));
    held_up.map(|(message, _)| message.id).collect()
}

/// Tens are headers, and ones are bodies.
fn of_gist(gist: u8) -> Gist {
    Gist { header: [gist / 10; 32], body: [gist; 32] }
}

fn named(id: &str, gist: u8) -> Verdict {
    let gist = of_gist(gist);
    let receipt = Receipt::Gmail { id: id.into(), gist, first: gist };
    Verdict::Delivered { receipt }
}

/// Gmail keeps one of them, and names that for both: where either may be there, nobody knows which it has named.
#[tokio::test]
async fn another_message_with_a_message_id_waits_until_the_first_is_named() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    let messages = identified(&house, 3).await;
    let [first, other, same] = [0, 1, 2].map(|n| &messages[n]);
    assert_eq!(send_unnamed(&house, &[(first, 10)]).await, []);
    assert_eq!(send_unnamed(&house, &[(other, 20)]).await, [other.id], "the first is on its way");
    house.settle("app", vec![(first.deliveries[0].id, busy(None))]).await;
    assert_eq!(send_unnamed(&house, &[(other, 20)]).await, [other.id], "nobody knows whether it is there");
    // A refusal that may be said of every message says nothing of the attempt before.
    house.later(5);
    assert_eq!(send_unnamed(&house, &[(first, 10)]).await, []);
    house.settle("app", vec![(first.deliveries[0].id, unreachable())]).await;
    assert_eq!(send_unnamed(&house, &[(other, 20), (first, 10)]).await, [other.id]);
    let mut house = house.crashed().await;
    house.later(5);
    assert_eq!(send_unnamed(&house, &[(other, 20)]).await, [other.id], "it was interrupted");
    assert_eq!(send_unnamed(&house, &[(same, 10)]).await, [], "the same message, by another way");
    house.settle("app", vec![(same.deliveries[0].id, named("x", 10))]).await;
    assert_eq!(send_unnamed(&house, &[(other, 20)]).await, [other.id]);
    assert_eq!(send_unnamed(&house, &[(first, 10), (other, 20)]).await, [], "one after the other");
    let verdicts = vec![(first.deliveries[0].id, named("x", 10)), (other.deliveries[0].id, named("x", 20))];
    let settled = house.settle("app", verdicts).await;
    assert_eq!([settled[0].state, settled[1].state], [State::Delivered, State::Parked]);
    assert!(settled[1].text.contains("at its source alone"), "{}", settled[1].text);
    assert_eq!(house.value("SELECT count(*) FROM deliveries WHERE unanswered IS NOT NULL").await, 0);
}

#[tokio::test]
async fn what_was_named_for_a_mailbox_is_known_to_all_destinations_that_lead_there() {
    let mut house = House::new().await;
    house.routes = vec!["app", "home"];
    house.configure().await;
    let messages = identified(&house, 2).await;
    let [first, other] = [0, 1].map(|n| &messages[n]);
    assert_eq!(send_unnamed_to(&house, "app", &[(first, 10)]).await, []);
    assert_eq!(send_unnamed_to(&house, "home", &[(other, 20)]).await, [other.id], "the first is on its way");
    let settled = house.settle("app", vec![(delivery_to(first, "app"), named("x", 10))]).await;
    assert_eq!(settled[0].state, State::Delivered);
    assert_eq!(send_unnamed_to(&house, "home", &[(other, 20)]).await, []);
    let settled = house.settle("home", vec![(delivery_to(other, "home"), named("x", 20))]).await;
    assert_eq!(settled[0].state, State::Parked, "Gmail has the other one under this id");
}

/// Below a message that comes from a list there is a line of the list's, so that this must not park anything.
#[tokio::test]
async fn another_body_below_the_same_header_counts_as_delivered_and_stays_at_its_source() {
    let mut house = House::new().await;
    house.leave_copy = LeaveCopy::For(Duration::ZERO);
    house.routes = vec!["app"];
    house.configure().await;
    let messages = identified(&house, 3).await;
    let [first, of_list, same] = [0, 1, 2].map(|n| &messages[n]);
    assert_eq!(send_unnamed(&house, &[(first, 11)]).await, []);
    assert_eq!(send_unnamed(&house, &[(of_list, 12)]).await, [of_list.id], "it would be taken for the first");
    house.settle("app", vec![(first.deliveries[0].id, named("x", 11))]).await;
    for (message, gist) in [(of_list, 12), (same, 11)] {
        assert_eq!(send_unnamed(&house, &[(message, gist)]).await, []);
        let settled = house.settle("app", vec![(message.deliveries[0].id, named("x", gist))]).await;
        assert_eq!(settled[0].state, State::Delivered);
        assert_eq!(settled[0].text.contains("stays at its source"), gist == 12, "{}", settled[0].text);
    }
    let ids = messages.iter().map(|message| message.id).collect::<Vec<_>>();
    let deletable = house.ledger.deletable(&ids, house.leave_copy, house.now).await.unwrap();
    assert_eq!(deletable, [first.id, same.id]);
    let overdue = house.ledger.overdue_deletions(&account(), house.leave_copy, 10, house.now).await.unwrap();
    assert_eq!(overdue.iter().map(|deletion| deletion.id).collect::<Vec<_>>(), [first.id, same.id]);
}

/// Both were on their way when the process ended: the second was sent only if the first had been answered.
#[tokio::test]
async fn of_two_that_were_interrupted_together_the_first_one_goes_first() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    let messages = identified(&house, 2).await;
    let (first, second) = (&messages[1], &messages[0]);
    assert_eq!(send_unnamed(&house, &[(first, 10), (second, 20)]).await, []);
    let mut house = house.crashed().await;
    house.later(5);
    assert_eq!(send_unnamed(&house, &[(second, 20), (first, 10)]).await, [second.id]);
    // What Gmail never takes is not there.
    house.settle("app", vec![(first.deliveries[0].id, rejected(false))]).await;
    assert_eq!(send_unnamed(&house, &[(second, 20)]).await, []);
    let settled = house.settle("app", vec![(second.deliveries[0].id, named("x", 20))]).await;
    assert_eq!(settled[0].state, State::Delivered);
}

/// Two messages with one Message-ID, of which the first was sent to Gmail.
async fn one_after_another(verdict: Option<Verdict>) -> (House, Identity, Identity) {
    let mut house = House::new().await;
    house.leave_copy = LeaveCopy::For(Duration::ZERO);
    house.routes = vec!["app"];
    house.configure().await;
    let mut messages = identified(&house, 2).await;
    let (other, first) = (messages.remove(1), messages.remove(0));
    assert_eq!(send_unnamed(&house, &[(&first, 10)]).await, []);
    if let Some(verdict) = verdict {
        house.settle("app", vec![(first.deliveries[0].id, verdict)]).await;
    }
    (house, first, other)
}

#[tokio::test]
async fn what_has_arrived_nowhere_holds_nothing_up() {
    let refused = Verdict::Rejected { reason: "400".into(), park_after: 1, counts_for_destination: true };
    let paused = Verdict::Paused { reason: "403".into(), retry_after: None };
    for verdict in [refused, paused, unreachable(), deferred(), Verdict::HeldUp] {
        let (house, _, other) = one_after_another(Some(verdict.clone())).await;
        assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, [], "{verdict:?}");
        // But for an attempt before, which may have brought it there.
        let (mut house, first, other) = one_after_another(Some(busy(None))).await;
        house.later(400);
        assert_eq!(send_unnamed(&house, &[(&first, 10)]).await, []);
        house.settle("app", vec![(first.deliveries[0].id, verdict.clone())]).await;
        assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, [other.id], "{verdict:?}");
    }
}

#[tokio::test]
async fn who_is_held_up_loses_no_attempt_and_goes_on_when_the_other_is_settled() {
    let (mut house, first, other) = one_after_another(Some(busy(None))).await;
    for _ in 0..5 {
        house.later(4000);
        assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, [other.id]);
        let settled = house.settle("app", vec![(other.deliveries[0].id, Verdict::HeldUp)]).await;
        assert_eq!(settled[0].state, State::Deferred, "it was never sent");
        assert!(settled[0].text.contains(&format!("give-up {} --destination app", first.id.0)));
    }
    assert_eq!(house.value("SELECT max(attempts) FROM deliveries").await, 1);
    let work_at = async |house: &House| house.ledger.agenda(house.now).await.unwrap()[0].work_at;
    assert!(work_at(&house).await < Some(house.now), "that is when the first one is tried again");
    assert_eq!(send_unnamed(&house, &[(&first, 10)]).await, []);
    assert_eq!(work_at(&house).await, None, "the other one asks for nothing");
    house.settle("app", vec![(first.deliveries[0].id, named("x", 10))]).await;
    assert_eq!(work_at(&house).await, Some(house.now));
    assert_eq!(house.due().await.iter().map(|due| due.id).collect::<Vec<_>>(), [other.id]);
}

#[tokio::test]
async fn who_is_held_up_is_not_sent_to_try_a_destination() {
    let (mut house, first, other) = one_after_another(Some(busy(None))).await;
    assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, [other.id]);
    house.settle("app", vec![(other.deliveries[0].id, Verdict::HeldUp)]).await;
    house.later(4000);
    assert_eq!(send_unnamed(&house, &[(&first, 10)]).await, []);
    house.settle("app", vec![(first.deliveries[0].id, unreachable())]).await;
    for _ in 0..3 {
        house.later(4000);
        assert_eq!(house.due().await.iter().map(|due| due.id).collect::<Vec<_>>(), [first.id]);
        assert_eq!(send_unnamed(&house, &[(&first, 10)]).await, []);
        house.settle("app", vec![(first.deliveries[0].id, unreachable())]).await;
    }
}

/// Gmail may have it, and may name it for the other one: that stays at its source.
#[tokio::test]
async fn what_a_person_gave_up_holds_nothing_up() {
    let (mut house, first, other) = one_after_another(Some(busy(None))).await;
    assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, [other.id]);
    house.settle("app", vec![(other.deliveries[0].id, Verdict::HeldUp)]).await;
    house.later(5);
    assert_eq!(house.due().await.iter().map(|due| due.id).collect::<Vec<_>>(), [first.id]);
    let app = destination("app");
    assert_eq!(house.ledger.give_up(first.id, Some(&app), house.now).await.unwrap(), 1);
    assert_eq!(house.due().await.iter().map(|due| due.id).collect::<Vec<_>>(), [other.id]);
    assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, []);
    let settled = house.settle("app", vec![(other.deliveries[0].id, named("x", 20))]).await;
    assert_eq!(settled[0].state, State::Delivered);
    let deletable = house.ledger.deletable(&[other.id], house.leave_copy, house.now).await.unwrap();
    assert_eq!(deletable, []);
}

/// As if it were given up: the config sends it elsewhere by now.
#[tokio::test]
async fn what_goes_elsewhere_by_now_holds_nothing_up() {
    let (house, first, other) = one_after_another(Some(busy(None))).await;
    assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, [other.id]);
    house.settle("app", vec![(other.deliveries[0].id, Verdict::HeldUp)]).await;
    house.ledger.not_routed(vec![first.deliveries[0].id], house.now).await.unwrap();
    house.ledger.record_poll(house.record(None)).await.unwrap();
    assert_eq!(house.due().await.iter().map(|due| due.id).collect::<Vec<_>>(), [other.id]);
    assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, []);
    house.settle("app", vec![(other.deliveries[0].id, named("x", 20))]).await;
    let deletable = house.ledger.deletable(&[other.id], house.leave_copy, house.now).await.unwrap();
    assert_eq!(deletable, []);
}

#[tokio::test]
async fn what_is_gone_from_its_source_for_a_day_holds_nothing_up() {
    let (mut house, _, other) = one_after_another(Some(busy(None))).await;
    assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, [other.id]);
    house.settle("app", vec![(other.deliveries[0].id, Verdict::HeldUp)]).await;
    house.list(&vec![("u2", 20, "")]).await;
    for (hours, due) in [(23, 0), (2, 1)] {
        house.later(hours * 3600);
        house.ledger.record_poll(house.record(None)).await.unwrap();
        let woken = "SELECT count(*) FROM deliveries WHERE state = 'due'";
        assert_eq!(house.value(woken).await, due, "after {hours} h");
    }
    // Gmail may keep the other one, so that this one stays at its source.
    assert_eq!(send_unnamed(&house, &[(&other, 20)]).await, []);
    house.settle("app", vec![(other.deliveries[0].id, named("x", 20))]).await;
    assert_eq!(house.ledger.deletable(&[other.id], house.leave_copy, house.now).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_given_up_since_it_was_chosen_is_not_sent() {
    let mut house = House::new().await;
    house.routes = vec!["app"];
    house.configure().await;
    let message = identified(&house, 1).await.remove(0);
    let delivery = message.deliveries[0].id;
    house.ledger.give_up(message.id, Some(&destination("app")), house.now).await.unwrap();
    let attempt = Attempt { delivery, mark: house.mark(), unverified: false };
    assert_eq!(house.ledger.attempting(vec![attempt], house.now).await.unwrap(), HashSet::from([delivery]));
    house.settle("app", vec![(delivery, Verdict::HeldUp)]).await;
    assert!(house.due().await.is_empty());
}

#[tokio::test]
async fn a_disabled_destination_waits_for_a_person_or_a_changed_config() {
    let mut house = House::new().await;
    let delivery = identified(&house, 1).await.remove(0).deliveries.remove(0);
    house.outcome(&delivery, Verdict::Disabled { reason: "410".into() }).await;
    house.later(1_000_000);
    let regardless = Ask { regardless: true, ..house.ask() };
    assert!(house.ledger.due(&regardless, house.now).await.unwrap().is_empty());
    assert_eq!(house.ledger.agenda(house.now).await.unwrap()[0].work_at, None);
    house.fingerprint = "changed";
    house.configure().await;
    assert_eq!(house.due().await.len(), 1);
}

#[tokio::test]
async fn retries_do_not_hold_up_new_mail_nor_starve_behind_it() {
    let mut house = House::new().await;
    for message in identified(&house, 4).await {
        house.outcome(&message.deliveries[0], deferred()).await;
    }
    house.later(10);
    let names: Vec<String> = (1..=20).map(|n| format!("u{n}")).collect();
    let mailbox: Mailbox<'_> = names.iter().zip(1..).map(|(uidl, n)| (uidl.as_str(), n * 10, "")).collect();
    house.list(&mailbox).await;
    let due = house.ledger.due(&Ask { limit: 8, ..house.ask() }, house.now).await.unwrap();
    let uidls: Vec<String> = due.iter().map(|due| due.uidl.to_string()).collect();
    assert_eq!(uidls, ["u5", "u6", "u7", "u1", "u8", "u9", "u10", "u2"]);
}

#[tokio::test]
async fn a_refused_retrieval_is_parked_in_the_third_session_only() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one")]).await;
    let due = house.due().await.remove(0);
    for state in ["deferred", "deferred", "parked"] {
        house.ledger.not_retrieved(due.id, "-ERR no".into(), house.now).await.unwrap();
        let sql = "SELECT state FROM deliveries";
        let now: String = sqlx::query_scalar(sql).fetch_one(&house.ledger.readers).await.unwrap();
        assert_eq!(now, state);
        house.later(400);
    }
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let second = house.due().await.remove(0);
    house.ledger.park(second.id, "larger than max_size".into(), house.now).await.unwrap();
    assert_eq!(house.poll(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await, nothing());
}

#[tokio::test]
async fn a_destination_that_is_being_tried_wakes_no_other() {
    let mut house = House::new().await;
    house.list(&vec![("u1", 10, "one"), ("u2", 10, "two")]).await;
    let due = house.due().await;
    let identity = house.identify(&due[0], "one").await;
    house.outcome(&identity.deliveries[0], unreachable()).await;
    house.later(6);
    let work_at = house.ledger.agenda(house.now).await.unwrap()[0].work_at;
    assert!(work_at.is_some_and(|at| at <= house.now), "it has rested: {work_at:?}");
    assert_eq!(house.due().await.len(), 1, "one tries it");
    assert_eq!(
        house.ledger.agenda(house.now).await.unwrap()[0].work_at,
        None,
        "the others wait for that one"
    );
    house.ledger.record_poll(house.record(None)).await.unwrap();
    assert!(house.ledger.agenda(house.now).await.unwrap()[0].work_at.is_some());
}

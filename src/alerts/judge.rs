//! What is wrong, and since when people must know. No I/O but one question to the ledger.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::texts;
use crate::ledger::{
    self, AccountHealth, Change, Configured, DestinationHealth, Emptying, EndingSignIn, Health, Hoard,
    Ledger, NewlyParked, Outdated, Polling, Subject, Told, Trouble,
};

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    pub health: &'a Health,
    /// `None` where nobody has looked into the mailboxes this time.
    pub hoards: Option<&'a [Hoard]>,
    pub configured: &'a Configured,
}

/// A refused login needs a person, but servers also say so when they are busy: two in a row are believed.
const REFUSED_LOGINS: u32 = 2;

/// A mailbox that has grown by so much since mailferry began, only because delivered mail is left there, will be full
/// one day: providers' limits are counted in gigabytes, and in tens of thousands of messages.
const LEFT_MESSAGES: u64 = 5000;
const LEFT_OCTETS: u64 = 1 << 30;

/// So many deletions without effect are no accident of a single message.
const UNDELETED: u64 = 10;

/// Something that is wrong now.
struct Current {
    subject: Subject,
    name: String,
    /// Where the ledger knows.
    since: Option<DateTime<Utc>>,
    /// Whether people must know, after so long.
    told_after: Option<Duration>,
    say: Box<dyn Fn(DateTime<Utc>) -> Told>,
}

/// Mailboxes that may be worth a word. Half the bounds, so that one that goes up and down about them is told of once.
pub async fn hoards(ledger: &Ledger) -> Result<Vec<Hoard>, ledger::Error> {
    ledger.hoards(LEFT_MESSAGES / 2, LEFT_OCTETS / 2).await
}

/// What has changed since the ledger was last told.
pub fn changes(sight: &Sight<'_>, after: Duration, now: DateTime<Utc>) -> Vec<(Trouble, Change)> {
    let current = current(sight, after, now);
    let mut changes = Vec::new();
    for trouble in &current {
        let same = |known: &&Trouble| (known.subject, &known.name) == (trouble.subject, &trouble.name);
        let known = sight.health.known.iter().find(same);
        let since = trouble.since.or(known.map(|known| known.since)).unwrap_or(now);
        let lasted = (now - since).to_std().unwrap_or_default();
        let is_ripe = trouble.told_after.is_some_and(|after| lasted >= after);
        // Somebody has signed in since, and that ends soon as well.
        let is_another = known.is_some_and(|known| is_sign_in(known.subject) && known.since != since);
        let change = match known.filter(|_| !is_another) {
            Some(known) if known.told => {
                let untold = sight.health.untold.get(&(trouble.subject, trouble.name.clone()));
                let told = (trouble.say)(since);
                match untold.is_some_and(|title| *title != told.title) {
                    true => Change::Turned(told),
                    false => continue,
                }
            }
            Some(_) if !is_ripe => continue,
            _ if is_ripe => Change::Begun((trouble.say)(since)),
            _ => Change::Noted,
        };
        let trouble = Trouble { subject: trouble.subject, name: trouble.name.clone(), since, told: is_ripe };
        changes.push((trouble, change));
    }
    let goes_on = |known: &Trouble| {
        let is_unseen = known.subject == Subject::Mailbox && sight.hoards.is_none();
        let is_same = |current: &Current| (current.subject, &current.name) == (known.subject, &known.name);
        is_unseen && is_polled(sight.configured, &known.name) || current.iter().any(is_same)
    };
    for known in sight.health.known.iter().filter(|known| !goes_on(known)) {
        let change = match known.told && !is_sign_in(known.subject) && is_configured(sight.configured, known)
        {
            // What was taken out of the config is not right again, only gone; and whoever has signed in anew knows.
            false => Change::Over(None),
            true if is_over(sight.health, known) => Change::Over(Some(texts::over(known, now))),
            true if sight.health.untold.contains_key(&(known.subject, known.name.clone())) => Change::Hidden,
            true => continue,
        };
        changes.push((known.clone(), change));
    }
    changes
}

/// Whether something has been well since. That nothing is wrong at present shows nothing: a person may only have said that
/// it is worth another try, or nothing may have come by.
fn is_over(health: &Health, trouble: &Trouble) -> bool {
    let worked = match trouble.subject {
        Subject::Account => {
            let account = health.accounts.iter().find(|account| account.name == trouble.name);
            account.and_then(|account| account.last_success)
        }
        Subject::Destination => {
            let mut all = health.destinations.iter();
            all.find(|known| known.name == trouble.name).and_then(|known| known.last_delivery)
        }
        Subject::Mailbox | Subject::AccountSignIn | Subject::DestinationSignIn => return true,
    };
    worked.is_some_and(|at| at >= trouble.since)
}

/// What was parked since people were last told.
pub fn parked(sight: &Sight<'_>) -> Vec<(NewlyParked, Told)> {
    sight.health.parked.iter().map(|parked| (parked.clone(), texts::parked(parked))).collect()
}

/// What is said about messages that are parked no longer: of what still is, that; of others nothing.
pub fn outdated(sight: &Sight<'_>) -> Vec<(Outdated, Option<Told>)> {
    let outdated = sight.health.outdated.iter();
    outdated.map(|outdated| (outdated.clone(), outdated.parked.as_ref().map(texts::parked))).collect()
}

fn current(sight: &Sight<'_>, after: Duration, now: DateTime<Utc>) -> Vec<Current> {
    let health: HashMap<&str, &AccountHealth> =
        sight.health.accounts.iter().map(|known| (known.name.as_str(), known)).collect();
    let accounts = sight.configured.accounts.iter().filter_map(|account| {
        let known = health.get(account.name.as_str()).copied();
        match &account.polling {
            Polling::On => failing_account(known?, account.by_oauth, after),
            Polling::Broken(reason) => Some(broken_account(account.name.as_str(), known, reason, after)),
            Polling::Paused => None,
        }
    });
    let destinations = sight.configured.destinations.iter().filter_map(|destination| {
        let mut known = sight.health.destinations.iter();
        let known = known.find(|known| known.name == destination.name.as_str())?;
        failing_destination(known, destination.by_oauth, after)
    });
    let hoards = sight.hoards.unwrap_or_default().iter();
    let hoards = hoards.filter(|hoard| is_polled(sight.configured, &hoard.account));
    let hoards = hoards.map(|hoard| growing_mailbox(hoard, emptying(sight.configured, &hoard.account)));
    let sign_ins = sight.health.sign_ins.iter().filter(|sign_in| sign_in.is_near(now));
    let sign_ins = sign_ins
        .filter(|sign_in| is_named(sight.configured, sign_in.subject, &sign_in.name))
        .map(ending_sign_in);
    accounts.chain(destinations).chain(hoards).chain(sign_ins).collect()
}

fn is_sign_in(subject: Subject) -> bool {
    matches!(subject, Subject::AccountSignIn | Subject::DestinationSignIn)
}

fn ending_sign_in(sign_in: &EndingSignIn) -> Current {
    let sign_in = sign_in.clone();
    Current {
        subject: sign_in.subject,
        name: sign_in.name.clone(),
        since: Some(sign_in.begun_at),
        told_after: Some(Duration::ZERO),
        say: Box::new(move |_| texts::sign_in(&sign_in)),
    }
}

fn failing_account(account: &AccountHealth, by_oauth: bool, after: Duration) -> Option<Current> {
    let since = account.failing_since?;
    let is_refused = account.refused_logins >= REFUSED_LOGINS;
    let account = account.clone();
    Some(Current {
        subject: Subject::Account,
        name: account.name.clone(),
        since: Some(since),
        told_after: Some(if is_refused { Duration::ZERO } else { after }),
        say: Box::new(move |since| texts::account(&account, by_oauth, since)),
    })
}

fn broken_account(name: &str, known: Option<&AccountHealth>, reason: &str, after: Duration) -> Current {
    Current {
        subject: Subject::Account,
        name: name.to_owned(),
        since: known.and_then(|known| known.failing_since),
        told_after: Some(after),
        say: Box::new(texts::broken_account(name, reason)),
    }
}

fn failing_destination(destination: &DestinationHealth, by_oauth: bool, after: Duration) -> Option<Current> {
    // A disabled one is not tried any more, and one whose sign-in has ended is tried in vain: there is nothing to wait
    // for. Who has just put one into the config knows that nobody has signed in yet.
    let after = match destination.state.as_str() {
        "ok" => return None,
        "disabled" => Duration::ZERO,
        _ if by_oauth && destination.sign_in_ended => Duration::ZERO,
        _ => after,
    };
    let destination = destination.clone();
    Some(Current {
        subject: Subject::Destination,
        name: destination.name.clone(),
        since: None,
        told_after: Some(after),
        say: Box::new(move |since| texts::destination(&destination, by_oauth, since)),
    })
}

fn growing_mailbox(hoard: &Hoard, emptying: Emptying) -> Current {
    let is_much = hoard.undeleted >= UNDELETED || hoard.left >= LEFT_MESSAGES || hoard.octets >= LEFT_OCTETS;
    let hoard = hoard.clone();
    Current {
        subject: Subject::Mailbox,
        name: hoard.account.clone(),
        since: None,
        told_after: is_much.then_some(Duration::ZERO),
        say: Box::new(move |_| texts::mailbox(&hoard, UNDELETED, emptying)),
    }
}

fn is_configured(configured: &Configured, trouble: &Trouble) -> bool {
    is_named(configured, trouble.subject, &trouble.name)
}

fn is_named(configured: &Configured, subject: Subject, name: &str) -> bool {
    match subject.is_of_destination() {
        true => configured.destinations.iter().any(|known| known.name.as_str() == name),
        false => is_polled(configured, name),
    }
}

fn is_polled(configured: &Configured, name: &str) -> bool {
    let mut accounts = configured.accounts.iter();
    accounts.any(|known| known.name.as_str() == name && known.polling != Polling::Paused)
}

fn emptying(configured: &Configured, name: &str) -> Emptying {
    let account = configured.accounts.iter().find(|known| known.name.as_str() == name);
    account.map(|account| account.emptying).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::ledger::{ConfiguredAccount, ConfiguredDestination};
    use crate::message::{AccountName, DestinationName};

    const AFTER: Duration = Duration::from_secs(3600);

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn minutes_ago(minutes: i64) -> DateTime<Utc> {
        now() - TimeDelta::minutes(minutes)
    }

    fn configured(polling: Polling) -> Configured {
        Configured {
            accounts: vec![ConfiguredAccount::new(AccountName::new("work").unwrap(), polling)],
            destinations: vec![ConfiguredDestination {
                name: DestinationName::new("home").unwrap(),
                kind: "imap",
                broken: None,
                in_the_clear: false,
                by_oauth: false,
                can_be_edited: true,
            }],
        }
    }

    fn work(failing_since: Option<DateTime<Utc>>, refused_logins: u32) -> AccountHealth {
        AccountHealth {
            name: "work".into(),
            failing_since,
            last_success: None,
            next_poll: now(),
            refused_logins,
            error: "pop.example.com:995: the login was refused".into(),
            is_held_up: false,
        }
    }

    fn trouble(subject: Subject, name: &str, minutes: i64, told: bool) -> Trouble {
        Trouble { subject, name: name.into(), since: minutes_ago(minutes), told }
    }

    /// What happens, in words: `account work begun`.
    fn told(health: &Health, hoards: Option<&[Hoard]>, configured: &Configured) -> Vec<String> {
        let changes = changes(&Sight { health, hoards, configured }, AFTER, now());
        let word = |(trouble, change): &(Trouble, Change)| {
            let change = match change {
                Change::Noted => "noted",
                Change::Begun(_) => "begun",
                Change::Turned(_) => "turned",
                Change::Hidden => "hidden",
                Change::Over(Some(_)) => "over",
                Change::Over(None) => "gone",
            };
            format!("{} {} {change}", trouble.subject.as_str(), trouble.name)
        };
        changes.iter().map(word).collect()
    }

    #[test]
    fn an_account_is_told_of_once_after_an_hour_or_two_refused_logins() {
        let on = configured(Polling::On);
        let well = |minutes| AccountHealth { last_success: Some(minutes_ago(minutes)), ..work(None, 0) };
        let health = |account, known| Health { accounts: vec![account], known, ..Health::default() };
        let noted = vec![trouble(Subject::Account, "work", 59, false)];
        let known = vec![trouble(Subject::Account, "work", 61, true)];
        let nothing: [&str; 0] = [];
        assert_eq!(told(&health(work(None, 0), vec![]), None, &on), nothing);
        assert_eq!(told(&health(work(Some(minutes_ago(59)), 0), vec![]), None, &on), ["account work noted"]);
        assert_eq!(told(&health(work(Some(minutes_ago(59)), 0), noted.clone()), None, &on), nothing);
        assert_eq!(
            told(&health(work(Some(minutes_ago(60)), 0), noted.clone()), None, &on),
            ["account work begun"]
        );
        assert_eq!(told(&health(work(Some(minutes_ago(1)), 1), vec![]), None, &on), ["account work noted"]);
        assert_eq!(told(&health(work(Some(minutes_ago(1)), 2), vec![]), None, &on), ["account work begun"]);
        assert_eq!(told(&health(work(Some(minutes_ago(999)), 9), known.clone()), None, &on), nothing);
        assert_eq!(told(&health(well(61), known.clone()), None, &on), ["account work over"]);
        assert_eq!(told(&health(well(62), known.clone()), None, &on), nothing, "nobody has logged in since");
        assert_eq!(told(&health(work(None, 0), known.clone()), None, &on), nothing);
        assert_eq!(told(&health(work(None, 0), noted), None, &on), ["account work gone"], "nobody knew");
        let paused = configured(Polling::Paused);
        assert_eq!(
            told(&health(work(Some(minutes_ago(999)), 9), known.clone()), None, &paused),
            ["account work gone"]
        );
        assert_eq!(
            told(&health(work(None, 0), known), None, &Configured::default()),
            ["account work gone"],
            "out of the config is not back to normal"
        );
    }

    #[test]
    fn a_broken_account_without_a_past_counts_from_when_it_was_first_seen() {
        let broken = configured(Polling::Broken("work.toml:1: host: is missing".into()));
        let mut health = Health::default();
        assert_eq!(told(&health, None, &broken), ["account work noted"]);
        health.known = vec![trouble(Subject::Account, "work", 61, false)];
        assert_eq!(told(&health, None, &broken), ["account work begun"]);
    }

    #[test]
    fn a_disabled_destination_is_told_of_at_once_others_after_an_hour() {
        let on = configured(Polling::On);
        let home = |state: &str, last_delivery| DestinationHealth {
            name: "home".into(),
            state: state.into(),
            error: "x".into(),
            wants_sign_in: false,
            sign_in_ended: false,
            last_delivery,
        };
        let at = |state, minutes: i64, known| {
            let destinations = vec![home(state, Some(minutes_ago(minutes)))];
            Health { destinations, known, ..Health::default() }
        };
        let health = |state, known| at(state, 99, known);
        let nothing: [&str; 0] = [];
        let seen = |minutes, told| vec![trouble(Subject::Destination, "home", minutes, told)];
        assert_eq!(told(&health("disabled", vec![]), None, &on), ["destination home begun"]);
        assert_eq!(told(&health("failing", vec![]), None, &on), ["destination home noted"]);
        let ended = DestinationHealth { wants_sign_in: true, sign_in_ended: true, ..home("failing", None) };
        let ended = Health { destinations: vec![ended], ..Health::default() };
        assert_eq!(told(&ended, None, &on), ["destination home noted"], "it has a password by now");
        let mut by_oauth = on.clone();
        by_oauth.destinations[0].by_oauth = true;
        assert_eq!(told(&ended, None, &by_oauth), ["destination home begun"]);
        assert_eq!(told(&health("paused", seen(61, false)), None, &on), ["destination home begun"]);
        assert_eq!(told(&at("ok", 61, seen(61, true)), None, &on), ["destination home over"]);
        // A person said `retry`, or nothing waits for it any more: it has taken nothing since.
        assert_eq!(told(&at("ok", 62, seen(61, true)), None, &on), nothing);
        assert_eq!(told(&at("disabled", 60, seen(61, true)), None, &on), nothing);
        assert_eq!(told(&health("ok", seen(61, false)), None, &on), ["destination home gone"]);
    }

    #[test]
    fn what_has_changed_before_it_was_told_is_told_as_it_is() {
        let known = vec![trouble(Subject::Account, "work", 61, true)];
        let untold = |title: &str| {
            let untold = [((Subject::Account, "work".to_owned()), title.to_owned())];
            Health { known: known.clone(), untold: untold.into(), ..Health::default() }
        };
        let broken = configured(Polling::Broken("work.toml:1: host: is missing".into()));
        let title = "The account work is not polled: its config is broken";
        let nothing: [&str; 0] = [];
        assert_eq!(told(&untold(title), None, &broken), nothing);
        let on = configured(Polling::On);
        let failing = vec![work(Some(minutes_ago(61)), 2)];
        let refused = Health { accounts: failing.clone(), ..untold(title) };
        assert_eq!(told(&refused, None, &on), ["account work turned"]);
        let mended = Health { accounts: vec![work(None, 0)], ..untold(title) };
        assert_eq!(told(&mended, None, &on), ["account work hidden"]);
    }

    #[test]
    fn the_end_of_a_sign_in_is_told_of_once_and_its_renewal_is_no_news() {
        let on = configured(Polling::On);
        let sign_in = |subject, name: &str, begun: i64, days: i64| EndingSignIn {
            subject,
            name: name.into(),
            begun_at: minutes_ago(begun),
            ends_at: now() + TimeDelta::days(days),
        };
        let at = |sign_ins, known| Health { sign_ins, known, ..Health::default() };
        let work = |begun, days| vec![sign_in(Subject::AccountSignIn, "work", begun, days)];
        let known = vec![trouble(Subject::AccountSignIn, "work", 99, true)];
        let nothing: [&str; 0] = [];
        assert_eq!(told(&at(work(99, 14), vec![]), None, &on), nothing);
        assert_eq!(told(&at(work(99, 13), vec![]), None, &on), ["account_sign_in work begun"]);
        assert_eq!(told(&at(work(99, 2), known.clone()), None, &on), nothing, "they know");
        assert_eq!(told(&at(work(1, 90), known.clone()), None, &on), ["account_sign_in work gone"]);
        assert_eq!(told(&at(vec![], known.clone()), None, &on), ["account_sign_in work gone"]);
        assert_eq!(told(&at(work(1, 7), known), None, &on), ["account_sign_in work begun"], "another one");
        let home = vec![sign_in(Subject::DestinationSignIn, "home", 99, 3)];
        assert_eq!(told(&at(home.clone(), vec![]), None, &on), ["destination_sign_in home begun"]);
        assert_eq!(told(&at(home, vec![]), None, &Configured::default()), nothing);
        assert_eq!(told(&at(work(99, 3), vec![]), None, &configured(Polling::Paused)), nothing);
    }

    #[test]
    fn a_mailbox_about_the_bound_is_told_of_once() {
        let on = configured(Polling::On);
        let hoard = |undeleted, left| Hoard { account: "work".into(), undeleted, left, octets: 0 };
        let none = Health::default();
        let known = Health { known: vec![trouble(Subject::Mailbox, "work", 9, true)], ..Health::default() };
        let nothing: [&str; 0] = [];
        assert_eq!(told(&none, Some(&[hoard(0, 4999)]), &on), ["mailbox work noted"]);
        assert_eq!(told(&none, Some(&[hoard(0, 5000)]), &on), ["mailbox work begun"]);
        assert_eq!(told(&none, Some(&[hoard(10, 0)]), &on), ["mailbox work begun"]);
        assert_eq!(told(&known, Some(&[hoard(0, 4999)]), &on), nothing);
        assert_eq!(told(&known, None, &on), nothing, "nobody looked");
        assert_eq!(told(&known, Some(&[]), &on), ["mailbox work over"]);
    }
}

//! What people read: what is wrong, since when, why, and what to do.

use chrono::{DateTime, Local, Utc};
use indicatif::{HumanBytes, HumanCount};

use crate::ledger::{
    AccountHealth, DestinationHealth, Emptying, EndingSignIn, Hoard, NewlyParked, Notice, Subject, Told,
    Trouble,
};

/// `by_oauth`: somebody signs in for it, as there is no password.
pub fn account(account: &AccountHealth, by_oauth: bool, since: DateTime<Utc>) -> Told {
    let AccountHealth { name, error, last_success, .. } = account;
    let last = match last_success {
        Some(at) => format!("The last time it could was {}.", local(*at)),
        None => "It never could.".to_owned(),
    };
    let advice = match account.refused_logins {
        0 => format!(
            "mailferry goes on trying, less and less often. `mailferry check {name}` logs in and says what it meets; \
             `mailferry fetch {name}` tries at once."
        ),
        _ if by_oauth => format!(
            "Sign in again: `mailferry login {name}`, or Sign in on the page. mailferry then goes on at once."
        ),
        _ => format!(
            "Check the user and the password: `mailferry edit {name}` tries new ones before it saves them. Some \
             providers want POP3 to be switched on in their web mail, or a password of its own for mail programs."
        ),
    };
    Told {
        title: format!("No mail is retrieved from the account {name}"),
        text: format!(
            "Since {} mailferry has not been able to read the mailbox of {name}. {last}\n\nReason: {error}\n\n{advice} \
             Nothing is lost: the mail waits at its source.",
            local(since)
        ),
    }
}

pub fn broken_account(name: &str, reason: &str) -> impl Fn(DateTime<Utc>) -> Told + use<> {
    let title = format!("The account {name} is not polled: its config is broken");
    let reason = reason.to_owned();
    move |since| Told {
        title: title.clone(),
        text: format!(
            "Since {} its config cannot be used.\n\nReason: {reason}\n\nMend it and reload: `mailferry check \
             --offline` says whether it is right. Nothing is lost: the mail waits at its source.",
            local(since)
        ),
    }
}

/// `by_oauth`: somebody signs in for it, as there is no password.
pub fn destination(destination: &DestinationHealth, by_oauth: bool, since: DateTime<Utc>) -> Told {
    let DestinationHealth { name, state, error, .. } = destination;
    let advice = match state.as_str() {
        "disabled" => "It is not tried any more until you have mended what is wrong and said `mailferry retry`, or changed its \
                       settings."
            .to_owned(),
        _ if by_oauth && destination.wants_sign_in => format!(
            "Nothing goes there until somebody has signed in: `mailferry login --destination {name}`, or Sign in on the page. \
             mailferry then goes on at once."
        ),
        _ => "mailferry goes on trying by itself, with one message at a time. `mailferry fetch` tries at once; \
              `mailferry check` says what it meets there."
            .to_owned(),
    };
    Told {
        title: format!("The destination {name} takes no mail ({state})"),
        text: format!(
            "This was first seen {}.\n\nReason: {error}\n\n{advice} Nothing is lost: mail for {name} waits at its \
             source, and other destinations go on.",
            local(since)
        ),
    }
}

pub fn parked(parked: &NewlyParked) -> Told {
    let NewlyParked { account, destination, reason, deliveries } = parked;
    let is_one = deliveries.len() == 1;
    let (messages, are) = match deliveries.len() {
        1 => ("A message of the account".to_owned(), "is"),
        count => (format!("{} messages of the account", HumanCount(count as u64)), "are"),
    };
    let (they_were, them, one) = if is_one { ("It was", "it", "it") } else { ("They were", "them", "one") };
    Told {
        title: format!("{messages} {account} {are} parked"),
        text: format!(
            "{they_were} for the destination {destination}, and mailferry has given up for now.\n\nReason: {reason}\n\n\
             `mailferry parked` shows {them}. Once the cause is mended, `mailferry retry {account}` tries again; \
             `mailferry export ID` saves {one} as a file, `mailferry give-up ID` ends the matter. Nothing is lost: what \
             is parked stays at its source."
        ),
    }
}

/// `undeleted` is from where on deletions without effect are the matter.
pub fn mailbox(hoard: &Hoard, undeleted: u64, emptying: Emptying) -> Told {
    let Hoard { account, left, octets, .. } = hoard;
    if hoard.undeleted >= undeleted {
        return Told {
            title: format!("The mailbox of the account {account} keeps what is deleted"),
            text: format!(
                "{} messages that were delivered, and deleted at their source more than a day ago, are still there: the \
                 server takes the order and does nothing.\n\nLook in the provider's web mail for a setting that keeps \
                 mail that POP3 deletes, or make room there by hand. A full mailbox takes no new mail.",
                HumanCount(hoard.undeleted)
            ),
        };
    }
    let advice = match emptying {
        Emptying::Possible => {
            "Delete old mail at the provider, and set leave_copy = \"30d\", say, for what comes from now on."
        }
        Emptying::AtOnceOnly => {
            "Delete old mail in the provider's web mail, now and then: once it has been retrieved its server does not \
             show it to POP3 any more, so that no `leave_copy` with a time deletes it."
        }
        Emptying::InVain => {
            "Delete old mail in the provider's web mail, now and then: its server is known to keep what POP3 deletes, \
             whatever `leave_copy` says."
        }
    };
    Told {
        title: format!("The mailbox of the account {account} only grows"),
        text: format!(
            "{} messages ({}) have come since mailferry first saw this mailbox, were delivered, and are still there, \
             because `leave_copy = true` leaves them.\n\nA full mailbox takes no new mail. {advice}",
            HumanCount(*left),
            HumanBytes(*octets)
        ),
    }
}

pub fn sign_in(sign_in: &EndingSignIn) -> Told {
    let EndingSignIn { subject, name, ends_at, .. } = sign_in;
    let (whose, command, then) = match subject.is_of_destination() {
        true => {
            (format!("the destination {name}"), format!("--destination {name}"), "no mail goes there, and it")
        }
        false => (format!("the account {name}"), name.clone(), "no mail is retrieved, and it"),
    };
    let day = ends_at.with_timezone(&Local).format("%Y-%m-%d");
    Told {
        title: format!("The sign-in for {whose} ends on {day}"),
        text: format!(
            "Its provider says that it ends {}.\n\nSign in again before that: `mailferry login {command}`, or on the page. \
             Until then all goes on; afterwards {then} waits at its source until somebody has signed in. If the provider is \
             Google, and you signed in a week before that day: publish the app, as deploy/oauth.md says, and this will not \
             come again.",
            local(*ends_at)
        ),
    }
}

pub fn over(trouble: &Trouble, now: DateTime<Utc>) -> Told {
    let name = &trouble.name;
    let title = match trouble.subject {
        Subject::Account => format!("Mail is retrieved from the account {name} again"),
        Subject::Destination => format!("The destination {name} takes mail again"),
        Subject::Mailbox => format!("The mailbox of the account {name} has room again"),
        Subject::AccountSignIn | Subject::DestinationSignIn => format!("{name} is signed in anew"),
    };
    let (from, to) = (local(trouble.since), local(now));
    Told { title, text: format!("It was not so from {from} to {to}. There is nothing left to do.") }
}

/// Most notices that are told in full at a time.
const IN_FULL: usize = 50;

/// What waits, as one: people are not to be flooded when much goes wrong at once.
pub fn together(notices: &[Notice]) -> Told {
    let title = match notices {
        [one] => one.title.clone(),
        [first, rest @ ..] => format!("{} (and {} more)", first.title, rest.len()),
        [] => String::new(),
    };
    let in_full = notices.iter().take(IN_FULL).map(|notice| match notices {
        [one] => one.text.clone(),
        _ => format!("{}\n\n{}", notice.title, notice.text),
    });
    let mut text = in_full.collect::<Vec<String>>().join("\n\n\n");
    if let Some(more) = notices.len().checked_sub(IN_FULL).filter(|more| *more > 0) {
        text += &format!("\n\n\nAnd {more} more.");
    }
    Told { title, text: text + "\n\n`mailferry status` shows how everything is now.\n" }
}

fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M (UTC%:z)").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(title: &str) -> Notice {
        Notice {
            id: 1,
            made_at: DateTime::UNIX_EPOCH,
            kind: "account".into(),
            name: "work".into(),
            state: "begun".into(),
            title: title.into(),
            text: format!("{title}, in full."),
        }
    }

    #[test]
    fn one_parked_message_is_one() {
        let parked = |count| {
            let deliveries = (0..count).map(crate::ledger::DeliveryId).collect();
            let (account, destination) = ("work".into(), "home".into());
            parked(&NewlyParked { account, destination, deliveries, reason: "552 no".into() })
        };
        let (one, many) = (parked(1), parked(1200));
        assert_eq!(one.title, "A message of the account work is parked");
        assert!(one.text.starts_with("It was for the destination home, and"), "{}", one.text);
        assert!(one.text.contains("`mailferry export ID` saves it as a file"), "{}", one.text);
        assert_eq!(many.title, "1,200 messages of the account work are parked");
        assert!(many.text.starts_with("They were for the destination home, and"), "{}", many.text);
    }

    #[test]
    fn nobody_is_advised_to_do_what_has_no_effect() {
        let hoard = Hoard { account: "work".into(), undeleted: 0, left: 6000, octets: 9 };
        let advice = |emptying| mailbox(&hoard, 10, emptying).text;
        assert!(advice(Emptying::Possible).contains("set leave_copy = \"30d\""));
        for emptying in [Emptying::AtOnceOnly, Emptying::InVain] {
            let advice = advice(emptying);
            assert!(!advice.contains("30d") && advice.contains("in the provider's web mail"), "{advice}");
        }
    }

    #[test]
    fn what_waits_is_told_together_and_never_without_end() {
        let one = together(&[notice("One")]);
        assert_eq!(one.title, "One");
        assert!(one.text.starts_with("One, in full.\n\n`mailferry status`"), "{}", one.text);
        let many = together(&vec![notice("One"); 3000]);
        assert_eq!(many.title, "One (and 2999 more)");
        assert_eq!(many.text.matches("in full").count(), 50);
        assert!(many.text.contains("And 2950 more."), "{}", many.text);
    }
}

//! What a server's refusal, or its silence, means for a message.

use std::time::Duration;

use super::super::unreadable;
use super::receipt;
use crate::imap::{Error, Fate, Refusal};
use crate::message::{MERGED, Receipt, Verdict};

/// A server's own idea of how long to wait is believed up to here.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// What Gmail measures by the day is not over sooner.
const AFTER_BANDWIDTH: Duration = Duration::from_secs(3600);
/// So many messages in a row, and no other, answered by BAD are a fault of the server.
const MANY_BAD: usize = 3;

/// The verdict on each message of an attempt. `fault` is what ended the session, or kept it from beginning.
pub fn of_fates(fates: Vec<Fate>, fault: Option<&Verdict>) -> Vec<Verdict> {
    let is_bad = |fate: &Fate| matches!(fate, Fate::Refused(refusal) if refusal.bad);
    let all_bad = fates.len() >= MANY_BAD && fates.iter().all(is_bad);
    let verdict = |fate| match fate {
        Fate::Stored(uid) => Verdict::Delivered { receipt: receipt(uid) },
        Fate::Refused(refusal) if all_bad && !speaks_of_size(&refusal) => {
            let reason = format!("the server refuses whatever it is sent: {refusal}");
            Verdict::Unreachable { reason, retry_after: wait_after(&refusal.text) }
        }
        Fate::Refused(refusal) => of_refusal(&refusal),
        Fate::Alike(uid) => Verdict::Delivered { receipt: Receipt::Alike(Box::new(receipt(uid))) },
        Fate::Merged => of_message(MERGED),
        Fate::Unseen => of_message(UNSEEN),
        Fate::Waiting => not_sent(fault),
        Fate::Sent => unknown(fault),
    };
    fates.into_iter().map(verdict).collect()
}

/// Why a message is parked that Gmail has said it stored.
const UNSEEN: &str = "Gmail says that it has stored this message, but does not show it, and a Message-ID like this one cannot be \
    searched for: Gmail may keep another message in its place; look for it there, then give it up or retry it";

fn of_message(reason: &str) -> Verdict {
    Verdict::Rejected { reason: reason.into(), park_after: 1, counts_for_destination: false }
}

fn not_sent(fault: Option<&Verdict>) -> Verdict {
    let nothing = || Verdict::Unreachable { reason: "it was not sent".into(), retry_after: None };
    fault.cloned().unwrap_or_else(nothing)
}

fn unknown(fault: Option<&Verdict>) -> Verdict {
    match fault {
        Some(fault) => Verdict::Unknown { reason: fault.clone().into_reason() },
        None => Verdict::Unknown { reason: "it is not known whether it was stored".into() },
    }
}

/// The verdict on all messages that were not yet sent, or not yet prepared.
pub fn of_error(fault: &Error, reason: String) -> Verdict {
    match fault {
        Error::Source(fault) => unreadable(fault),
        Error::Folder(_) => deferred(reason),
        // A folder that cannot be made is no reason for others to wait.
        Error::Refused { command: "CREATE" | "STATUS", refusal } if !concerns_server(refusal) => {
            deferred(reason)
        }
        Error::Refused { refusal, .. } => {
            Verdict::Unreachable { reason, retry_after: wait_after(&refusal.text) }
        }
        Error::Bye(text) => Verdict::Unreachable { reason, retry_after: wait_after(text) },
        _ => Verdict::Unreachable { reason, retry_after: None },
    }
}

fn deferred(reason: String) -> Verdict {
    Verdict::Deferred { reason, retry_after: None, counts_for_destination: false }
}

/// Whether a batch's refusal holds for each of its messages, so that there is no sense in trying them alone.
pub fn concerns_all(refusal: &Refusal) -> bool {
    wants_folder(refusal) || concerns_server(refusal) && !is_full(refusal)
}

/// There is no such folder (RFC 3501 section 6.3.11).
pub fn wants_folder(refusal: &Refusal) -> bool {
    refusal.is("TRYCREATE") || refusal.is("NONEXISTENT")
}

/// A tagged NO or BAD to one message. Codes: RFC 5530, RFC 7889, and what servers are known to write.
fn of_refusal(refusal: &Refusal) -> Verdict {
    let rejected = |what: &str, counts_for_destination| {
        let reason = format!("{what}: {refusal}");
        Verdict::Rejected { reason, park_after: 1, counts_for_destination }
    };
    if is_throttle(refusal) {
        let reason = format!("the server takes no mail now: {refusal}");
        return Verdict::Unreachable { reason, retry_after: wait_after(&refusal.text) };
    }
    if is_full(refusal) {
        let reason = format!("mailbox full: {refusal}; make room there, or raise its quota");
        return Verdict::Unreachable { reason, retry_after: None };
    }
    if concerns_server(refusal) {
        let reason = format!("the server takes no mail now: {refusal}");
        return Verdict::Unreachable { reason, retry_after: wait_after(&refusal.text) };
    }
    if speaks_of_size(refusal) {
        return rejected("too large for the server", false);
    }
    // Dovecot means a size by LIMIT, Yahoo a rate, Cyrus a number of copies.
    if refusal.bad || speaks_of_message(refusal) {
        return rejected("the server does not take this message", true);
    }
    deferred(format!("refused for now: {refusal}"))
}

/// Not the message is at fault, nor its folder.
pub fn concerns_server(refusal: &Refusal) -> bool {
    const CODES: [&str; 6] = [
        "UNAVAILABLE",
        "AUTHENTICATIONFAILED",
        "AUTHORIZATIONFAILED",
        "EXPIRED",
        "PRIVACYREQUIRED",
        "CONTACTADMIN",
    ];
    CODES.iter().any(|code| refusal.is(code))
        || is_full(refusal)
        || mentions(refusal, &["throttled", "backoff time", "rate limit", "too many"])
}

/// Gmail has been asked or sent too much, and calls that a quota; see `daily_budget`.
pub fn is_throttle(refusal: &Refusal) -> bool {
    speaks_of_bandwidth(&refusal.text)
}

fn speaks_of_bandwidth(text: &str) -> bool {
    text.to_ascii_lowercase().contains("bandwidth limit")
}

/// How long a server wants to be left alone, by what it says.
fn wait_after(text: &str) -> Option<Duration> {
    backoff(text).or(speaks_of_bandwidth(text).then_some(AFTER_BANDWIDTH))
}

fn is_full(refusal: &Refusal) -> bool {
    // "Server Unavailable. 15" is how Exchange says it.
    refusal.is("OVERQUOTA") || mentions(refusal, &["over quota", "quota exceeded", "server unavailable. 15"])
}

fn speaks_of_size(refusal: &Refusal) -> bool {
    refusal.is("TOOBIG")
        || mentions(refusal, &["too large", "too big", "size is larger", "maximum size", "size limit"])
}

fn speaks_of_message(refusal: &Refusal) -> bool {
    mentions(refusal, &["nul character", "bare newline", "invalid header", "zero byte", "zero-length"])
}

fn mentions(refusal: &Refusal, phrases: &[&str]) -> bool {
    let text = refusal.text.to_ascii_lowercase();
    phrases.iter().any(|phrase| text.contains(phrase))
}

/// Exchange's "Suggested Backoff Time: 299609 milliseconds".
fn backoff(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once("Suggested Backoff Time: ")?;
    let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(Duration::from_millis(number.parse().ok()?).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bad: bool, code: &str, text: &str) -> Verdict {
        let code = (!code.is_empty()).then(|| code.to_owned());
        of_refusal(&Refusal { bad, code, text: text.into() })
    }

    #[test]
    fn a_full_mailbox_rests_and_parks_nothing() {
        for (code, text) in [("OVERQUOTA", "Quota exceeded"), ("", "Server Unavailable. 15")] {
            let Verdict::Unreachable { reason, .. } = of(false, code, text) else { panic!("{text}") };
            assert!(reason.starts_with("mailbox full"), "{reason}");
        }
    }

    #[test]
    fn a_throttle_is_obeyed_up_to_an_hour() {
        let throttled = "Request is throttled. Suggested Backoff Time: 299609 milliseconds";
        for bad in [true, false] {
            let Verdict::Unreachable { retry_after, .. } = of(bad, "", throttled) else { panic!() };
            assert_eq!(retry_after, Some(Duration::from_millis(299_609)));
        }
        assert_eq!(backoff("Suggested Backoff Time: 99999999999 milliseconds"), Some(LONGEST_WAIT));
        assert_eq!(backoff("Suggested Backoff Time: soon"), None);
        // Gmail calls it a quota, and means the day's.
        for code in ["OVERQUOTA", "THROTTLED", ""] {
            let text = "Account exceeded command or bandwidth limits. (Failure)";
            let Verdict::Unreachable { reason, retry_after } = of(false, code, text) else {
                panic!("{code}")
            };
            assert_eq!(retry_after, Some(Duration::from_secs(3600)));
            assert!(reason.starts_with("the server takes no mail now"), "{reason}");
        }
    }

    #[test]
    fn a_limit_is_a_size_only_where_it_says_so() {
        let size =
            of(false, "LIMIT", "Mail size is larger than the maximum size allowed by server configuration");
        assert!(matches!(size, Verdict::Rejected { park_after: 1, .. }), "{size:?}");
        assert!(matches!(of(false, "LIMIT", "APPEND too often"), Verdict::Deferred { .. }));
        assert!(matches!(of(true, "TOOBIG", ""), Verdict::Rejected { .. }));
    }

    #[test]
    fn bad_is_the_messages_fault_unless_all_are_bad() {
        let bad = Fate::Refused(Refusal { bad: true, code: None, text: "Command Argument Error. 11".into() });
        let verdicts = of_fates(vec![bad.clone(), Fate::Stored(None), bad.clone()], None);
        assert!(matches!(verdicts[0], Verdict::Rejected { .. }), "{verdicts:?}");
        let verdicts = of_fates(vec![bad.clone(), bad.clone(), bad], None);
        assert!(
            verdicts.iter().all(|verdict| matches!(verdict, Verdict::Unreachable { .. })),
            "{verdicts:?}"
        );
    }

    #[test]
    fn a_servers_words_are_made_printable() {
        let Verdict::Deferred { reason, .. } = of(false, "", "\x1b[31mred") else { panic!() };
        assert!(!reason.contains('\x1b'), "{reason}");
    }
}

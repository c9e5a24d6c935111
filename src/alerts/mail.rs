//! Notices as mail: into which mailbox, and what they look like there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;

use super::texts::together;
use super::ways::{Outcome, id};
use crate::destination::Destination;
use crate::ledger::{self, Ledger, LookedUp, Notice, NoticeAttempt, Subject, Told};
use crate::message::{
    AccountName, DestinationName, Found, Message, NOTICE, Outgoing, Route, Spool, Uidl, Verdict,
};

/// An IMAP destination that takes notices.
#[derive(Clone, Debug)]
pub struct Mailbox {
    pub destination: Arc<Destination>,
    /// Whose it is: notices are from and to this address.
    pub address: String,
}

/// The mailboxes that take notices.
#[derive(Clone, Debug, Default)]
pub struct Mailboxes {
    pub all: Vec<Mailbox>,
    /// Where the mail of an account goes, if what is to be told of it goes there as well.
    pub own: BTreeMap<AccountName, DestinationName>,
}

impl Mailboxes {
    /// The one that a notice goes to: that of the account's mail. What is told of a destination goes to another, if there
    /// is one: in itself nobody would find it before it is well again. What has none of its own goes to the first.
    pub fn of(&self, notice: &Notice) -> Option<&Mailbox> {
        let is = |mailbox: &&Mailbox, name: &str| mailbox.destination.name().as_str() == name;
        let mut all = self.all.iter();
        let own = if Subject::parse(&notice.kind).is_some_and(Subject::is_of_destination) {
            all.find(|mailbox| !is(mailbox, &notice.name))
        } else {
            let own = AccountName::new(&notice.name).and_then(|name| self.own.get(&name));
            own.and_then(|own| all.find(|mailbox| is(mailbox, own.as_str())))
        };
        own.or(self.all.first())
    }

    pub fn named(&self, destination: &str) -> Option<&Mailbox> {
        self.all.iter().find(|mailbox| mailbox.destination.name().as_str() == destination)
    }
}

/// Delivers notices as one mail. One whose answer was lost is looked for first, and nothing is sent before that is over.
///
/// # Errors
/// Only the ledger's.
pub async fn mail(mailbox: &Mailbox, notices: &[Notice], ledger: &Ledger) -> Result<Outcome, ledger::Error> {
    if let Some(attempt) = ledger.notice_attempt(mailbox.destination.name()).await? {
        return look_up(&mailbox.destination, &attempt, ledger).await;
    }
    match prepare(mailbox, notices, ledger.notice_mark()).await {
        Ok((route, outgoing)) => deliver(&mailbox.destination, &route, outgoing, notices, ledger).await,
        Err(reason) => Ok(Outcome::Failed(reason)),
    }
}

async fn look_up(
    destination: &Destination,
    attempt: &NoticeAttempt,
    ledger: &Ledger,
) -> Result<Outcome, ledger::Error> {
    let found = destination.look_up(None, std::slice::from_ref(&attempt.mark), &attempt.taken).await.pop();
    let found = found.unwrap_or(Found::Absent);
    if let Found::Unreachable { reason } = found {
        return Ok(Outcome::Failed(reason));
    }
    Ok(match ledger.settle_notice_look_up(destination.name(), &found, Utc::now()).await? {
        LookedUp::Stored(notices) => Outcome::Told(notices),
        LookedUp::Over => Outcome::Later(Duration::ZERO),
        LookedUp::Again(after) => Outcome::Later(after),
    })
}

/// How soon after its answer was lost a mail is looked for.
const LOOK_UP: Duration = Duration::from_secs(1);

async fn deliver(
    destination: &Destination,
    route: &Route,
    outgoing: Outgoing,
    notices: &[Notice],
    ledger: &Ledger,
) -> Result<Outcome, ledger::Error> {
    let (name, ids) = (destination.name(), notices.iter().map(|notice| notice.id).collect::<Vec<i64>>());
    ledger.attempting_notices(name, &ids, outgoing.mark.clone(), Utc::now()).await?;
    let verdict = destination.deliver(route, &[outgoing]).await.pop();
    let verdict = verdict.unwrap_or(Verdict::Unknown { reason: "there is no verdict".into() });
    ledger.settle_notices(name, &verdict, Utc::now()).await?;
    Ok(match verdict {
        Verdict::Delivered { .. } => Outcome::Told(notices.len()),
        Verdict::Unknown { reason } => Outcome::Lost { reason, look_up: LOOK_UP },
        refused => Outcome::Failed(refused.into_reason()),
    })
}

/// `mark` says whose notices they are.
async fn prepare(mailbox: &Mailbox, notices: &[Notice], mark: &str) -> Result<(Route, Outgoing), String> {
    let id = id(notices, mark);
    let composed = compose(&mailbox.address, &together(notices), &id, mark, Utc::now());
    let message = message(&composed.map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
    let destination = &mailbox.destination;
    let route = Route::to(destination.name().clone());
    let marks = destination.prepare(&route, &[&message]).await;
    let mark = marks.map_err(Verdict::into_reason)?.pop().unwrap_or_default();
    let account = AccountName::new("mailferry").ok_or("it has no name")?;
    Ok((route, Outgoing { message, account, uidl: Uidl::new(id.as_bytes()), mark, attempts: 0 }))
}

/// From and to its reader, whose address is the one that is known to be real: spam filters look at that.
fn compose(address: &str, told: &Told, id: &str, mark: &str, now: DateTime<Utc>) -> io::Result<Vec<u8>> {
    let domain = address.rsplit('@').next().unwrap_or("localhost");
    MessageBuilder::new()
        .from(("mailferry", address))
        .to(address)
        .date(now.timestamp())
        .message_id(format!("mailferry.{id}@{domain}"))
        .subject(format!("mailferry: {}", told.title))
        // RFC 3834: no auto-responder answers this.
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header(NOTICE, Raw::new(mark))
        .text_body(&told.text)
        .write_to_vec()
}

async fn message(bytes: &[u8]) -> io::Result<Message> {
    // No notice is so long that it would need a file.
    let mut spool = Spool::new(Path::new("."));
    spool.write(bytes).await?;
    spool.finish().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Kind;

    #[test]
    fn a_notice_goes_where_the_mail_that_it_is_about_goes() {
        let name = |name: &str| DestinationName::new(name).unwrap();
        let mailbox = |to: &str| {
            let destination = Arc::new(Destination::new(name(to), Kind::Unusable(String::new())));
            Mailbox { destination, address: format!("{to}@example.org") }
        };
        let own = [("work", "bob"), ("shop", "app")];
        let own = own.map(|(account, to)| (AccountName::new(account).unwrap(), name(to)));
        let each = Mailboxes { all: vec![mailbox("alice"), mailbox("bob")], own: own.into() };
        let one = Mailboxes { all: vec![mailbox("alice")], own: BTreeMap::new() };
        let goes = |mailboxes: &Mailboxes, kind: &str, name: &str| {
            let notice = Notice {
                id: 1,
                made_at: DateTime::UNIX_EPOCH,
                kind: kind.into(),
                name: name.into(),
                state: "begun".into(),
                title: String::new(),
                text: String::new(),
            };
            mailboxes.of(&notice).map(|mailbox| mailbox.address.clone()).unwrap_or_default()
        };
        for kind in ["account", "mailbox", "parked"] {
            assert_eq!(goes(&each, kind, "work"), "bob@example.org");
            assert_eq!(goes(&each, kind, "shop"), "alice@example.org", "its own takes no notices");
            assert_eq!(goes(&each, kind, "gone"), "alice@example.org");
            assert_eq!(goes(&one, kind, "work"), "alice@example.org");
        }
        assert_eq!(goes(&each, "destination", "alice"), "bob@example.org", "alice's cannot be read");
        assert_eq!(goes(&each, "destination", "bob"), "alice@example.org");
        assert_eq!(goes(&each, "destination", "work"), "alice@example.org", "no account is meant");
        assert_eq!(goes(&one, "destination", "alice"), "alice@example.org", "there is no other");
        assert_eq!(goes(&Mailboxes::default(), "account", "work"), "");
    }

    #[test]
    fn a_notice_is_a_message_like_any_other() {
        let told = Told { title: "Das Konto B\u{fc}ro".into(), text: "Gr\u{fc}\u{df}e\n".into() };
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let bytes = compose("me@example.org", &told, "7.abc", "0123", now).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.is_ascii(), "{text}");
        for field in [
            "From: \"mailferry\" <me@example.org>\r\n",
            "To: <me@example.org>\r\n",
            "Message-ID: <mailferry.7.abc@example.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "X-Mailferry-Notice: 0123\r\n",
        ] {
            assert!(text.contains(field), "{field} in {text}");
        }
        let parsed = mail_parser::MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(parsed.subject(), Some("mailferry: Das Konto B\u{fc}ro"));
        assert_eq!(parsed.body_text(0).unwrap().trim_end(), "Gr\u{fc}\u{df}e");
        assert_eq!(parsed.date().unwrap().to_timestamp(), now.timestamp());
    }
}

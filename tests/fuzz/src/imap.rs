//! A whole IMAP session, from the login to the look-up, against a server that says anything.

use mailferry::destination::imap_folder::{ImapFolder, Settings};
use mailferry::message::{
    AccountName, DestinationName, Found, Mark, Message, Outgoing, Route, Spool, Uidl, Verdict,
};
use mailferry::net::Tls;

use super::peer::Script;
use super::pop3::{connector, peer};
use super::{contains, is_showable};

const USER: &str = "ann";
const PASSWORD: &str = "s3cret-of-ann";
/// In SASL PLAIN.
const PLAIN: &str = "AGFubgBzM2NyZXQtb2YtYW5u";

/// The first byte, less `@`, says how: 1 to 3 in small pieces, 4 for one message instead of three, 8 with STARTTLS,
/// 16 for another folder than INBOX, 32 with a label. The rest is what the server says.
pub fn imap(input: &[u8]) {
    let Some((&how, lines)) = input.split_first() else { return };
    let how = how.wrapping_sub(b'@');
    let script = Script { lines, step: [usize::MAX, 1, 3, 16][usize::from(how & 3)] };
    let number = if how & 4 != 0 { 1 } else { 3 };
    let tls = if how & 8 != 0 { Tls::StartTls } else { Tls::None };
    let folder = if how & 16 != 0 { "W\u{f6}rk/Old" } else { "INBOX" };
    let labels = if how & 32 != 0 { vec!["W\u{f6}rk".to_owned()] } else { Vec::new() };
    let route =
        Route { folder: folder.into(), labels, ..Route::to(DestinationName::new("home").expect("a name")) };
    let (seen, heard) = script.play(async |port| deliver(port, tls, &route, number).await);
    let said = script.said();
    if tls == Tls::StartTls {
        for secret in [PASSWORD, PLAIN, "LOGIN", "AUTHENTICATE"] {
            assert!(!contains(&heard, secret.as_bytes()), "{secret} went out in the clear");
        }
    }
    for text in &seen.told {
        // A server that knows the password may say it whenever it likes.
        let is_ours = !contains(&said, PASSWORD.as_bytes());
        assert!(is_showable(text) && !(is_ours && text.contains(PASSWORD)), "{text:?}");
    }
    let appended = appended(&said, &heard);
    assert!(seen.delivered <= appended, "{} delivered, {appended} confirmed", seen.delivered);
    let without_folds: Vec<u8> = said.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    for n in seen.found {
        assert!(contains(&without_folds, message_id(n).as_bytes()), "nobody has shown message {n}");
    }
}

/// What came of the deliveries and of the look-up after them.
#[derive(Default)]
struct Seen {
    delivered: usize,
    found: Vec<usize>,
    /// What a person would read.
    told: Vec<String>,
}

async fn deliver(port: u16, tls: Tls, route: &Route, number: usize) -> Seen {
    let peer = peer(port, tls);
    let connector = connector(&peer).expect("there is nothing to be had from elsewhere");
    let imap = ImapFolder::new(
        Settings { peer, user: USER.into(), login: PASSWORD.into(), daily_budget: None },
        connector,
    );
    let mut messages = Vec::new();
    for n in 0..number {
        messages.push(message(n).await);
    }
    let mut seen = Seen::default();
    let marks = match imap.prepare(route, &messages.iter().collect::<Vec<_>>()).await {
        Ok(marks) => marks,
        Err(verdict) => {
            seen.verdict(verdict);
            return seen;
        }
    };
    let outgoing: Vec<Outgoing> = messages.into_iter().zip(marks.iter().cloned()).map(outgoing).collect();
    let verdicts = imap.deliver(route, &outgoing).await;
    assert_eq!(verdicts.len(), number);
    verdicts.into_iter().for_each(|verdict| seen.verdict(verdict));
    let answers = imap.look_up(Some(route), &marks, &[]).await;
    assert_eq!(answers.len(), number);
    seen.look_up(answers);
    seen
}

impl Seen {
    fn verdict(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Delivered { .. } => self.delivered += 1,
            Verdict::HeldUp => panic!("a folder can be asked"),
            Verdict::Rejected { reason, .. }
            | Verdict::Deferred { reason, .. }
            | Verdict::Unreachable { reason, .. }
            | Verdict::Paused { reason, .. }
            | Verdict::Last { reason, .. }
            | Verdict::Disabled { reason }
            | Verdict::Unknown { reason } => self.told.push(reason),
        }
    }

    fn look_up(&mut self, answers: Vec<Found>) {
        let mut receipts = Vec::new();
        for (n, answer) in answers.into_iter().enumerate() {
            match answer {
                Found::Found { receipt } | Found::Changed { receipt, .. } => {
                    assert!(!receipts.contains(&receipt), "{receipt} is given out twice");
                    receipts.push(receipt);
                    self.found.push(n);
                }
                Found::Absent => {}
                Found::CannotSay { reason } | Found::Unreachable { reason } => self.told.push(reason),
            }
        }
    }
}

fn message_id(n: usize) -> String {
    format!("<{n}@x.y>")
}

/// Small, and each to be told from the others.
async fn message(n: usize) -> Message {
    let text =
        format!("Date: Tue, 6 Jan 2015 10:00:00 +0000\r\nMessage-ID: {}\r\n\r\n{n}\r\n", message_id(n));
    let mut spool = Spool::new(&std::env::temp_dir());
    spool.write(text.as_bytes()).await.expect("it fits into memory");
    spool.finish().await.expect("it fits into memory")
}

fn outgoing((message, mark): (Message, Mark)) -> Outgoing {
    let account = AccountName::new("work").expect("a name");
    Outgoing { message, account, uidl: Uidl::new(b"1"), mark, attempts: 0 }
}

/// How many messages the server can have confirmed at most: those in each APPEND, as the client said it, whose tag
/// begins a line of the server's that goes on with OK.
fn appended(said: &[u8], heard: &[u8]) -> usize {
    let is_confirmed = |tag: &str| {
        let ok = format!("{tag} OK");
        said.split(|&byte| byte == b'\n')
            .any(|line| line.get(..ok.len()).is_some_and(|start| start.eq_ignore_ascii_case(ok.as_bytes())))
    };
    let heard = String::from_utf8_lossy(heard);
    let (mut confirmed, mut counts) = (0, false);
    for line in heard.split("\r\n") {
        if let Some((tag, _)) = line.split_once(" APPEND ") {
            counts = is_confirmed(tag);
        }
        // The literal of the command's first message, or of one more.
        let announces = line.ends_with('}') && line.contains(" +0000\" {");
        confirmed += usize::from(announces && counts);
    }
    confirmed
}

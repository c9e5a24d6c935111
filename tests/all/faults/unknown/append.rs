//! The answer to APPEND is lost.

use chrono::TimeDelta;

use super::super::soak;
use super::{DELETE, KEEP};
use crate::cable::{Fault, Way};
use crate::oracle::Evidence;
use crate::servers::imap::{ADDED, Mail, Mute};
use crate::world::{Plan, World};

#[derive(Clone, Copy, Debug)]
pub struct Case {
    sent: Sent,
    lost: Lost,
    meanwhile: Meanwhile,
    uid_plus: bool,
    /// The process ends while it waits for the answer.
    crashes: bool,
    account: &'static str,
}

/// How the messages go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    One,
    /// One that has no Message-ID.
    Nameless,
    /// One over 1 MiB: by itself, when the server has asked for it.
    Large,
    /// Four in one APPEND, two of them alike (MULTIAPPEND).
    Batch,
    /// The four in as many APPENDs, all sent before an answer is read (LITERAL+ alone).
    Window,
    /// Two, each when the server has asked for it; the first one's answer comes, and is lost only with the process.
    InTurn,
    /// The same with two that are alike.
    TwinsInTurn,
    /// The same with two that came by different ways, with one Message-ID.
    NamesakesInTurn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// All that was sent is stored.
    Stored,
    /// Two of a window are stored.
    Partly,
    /// The connection ends in the middle of the last message.
    Torn,
}

/// What happens before mailferry looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// A look-up right away shows nothing yet.
    ShowsLate,
    /// UIDVALIDITY changed.
    Renumbered,
    /// A reader moved what had arrived.
    Moved,
    /// A reader deleted what had arrived.
    Expunged,
    /// A reader deleted the folder.
    FolderGone,
    RefusedOnce,
    DroppedOnce,
    RefusedForEver,
    BadForEver,
    DroppedForEver,
    /// Nobody can log in for hours: the server is down, or the password has changed.
    Down,
    Locked,
    /// RFC822.SIZE is not in octets.
    SizeError,
    /// The server stores NUL as something else, and where it does all UIDs may be new as well.
    Rewritten,
    RewrittenAndRenumbered,
    /// The server gives back other bytes than it took, and sizes that are not in octets.
    Changed,
    /// The config names another folder.
    OtherFolder,
    ClockBack,
    ClockForward,
    /// Sixty messages of other people come, as long as ours.
    Crowded,
    /// A copy was there long before.
    OldCopy,
    /// The same message was delivered before, under another UIDL.
    DeliveredBefore,
    /// The same mail comes by other ways, too, from a list say: other bytes with our Message-IDs.
    Namesakes,
}

use Meanwhile::*;

const WHILE_STORED: [Meanwhile; 24] = [
    Nothing,
    ShowsLate,
    Renumbered,
    Moved,
    Expunged,
    FolderGone,
    RefusedOnce,
    DroppedOnce,
    RefusedForEver,
    BadForEver,
    DroppedForEver,
    Down,
    Locked,
    SizeError,
    Rewritten,
    RewrittenAndRenumbered,
    Changed,
    OtherFolder,
    ClockBack,
    ClockForward,
    Crowded,
    OldCopy,
    DeliveredBefore,
    Namesakes,
];
const WHILE_TORN: [Meanwhile; 14] = [
    Nothing,
    Renumbered,
    FolderGone,
    RefusedOnce,
    Down,
    SizeError,
    Changed,
    OtherFolder,
    ClockBack,
    ClockForward,
    Crowded,
    OldCopy,
    DeliveredBefore,
    Namesakes,
];

const ALL: [Sent; 8] = [
    Sent::One,
    Sent::Nameless,
    Sent::Large,
    Sent::Batch,
    Sent::Window,
    Sent::InTurn,
    Sent::TwinsInTurn,
    Sent::NamesakesInTurn,
];

/// Every way to lose an answer with everything that may happen then; in a soak, each with all settings.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (lost, sents, meanwhiles) in [
        (Lost::Stored, &ALL[..], &WHILE_STORED[..]),
        (Lost::Partly, &[Sent::Window], &WHILE_STORED),
        (Lost::Torn, &ALL, &WHILE_TORN),
    ] {
        for &sent in sents {
            for &meanwhile in meanwhiles {
                // Another one for each way to send, too.
                let one = (cases.len() + cases.len() / 8) % 8;
                // Where a copy may be another's, everything decides whose it is.
                let is_anyones = sent == Sent::NamesakesInTurn && matches!(meanwhile, Changed | SizeError);
                let settings = if soak() || is_anyones { 0..8 } else { one..one + 1 };
                for bits in settings {
                    let account = if bits & 1 == 0 { KEEP } else { DELETE };
                    let (uid_plus, crashes) = (bits & 2 == 0, bits & 4 == 0);
                    cases.push(Case { sent, lost, meanwhile, uid_plus, crashes, account });
                }
            }
        }
    }
    // What was known to be stored goes with the folder, too, and is nobody's loss.
    cases.retain(|case| !(case.sent.is_in_turn() && case.meanwhile == FolderGone));
    cases.retain(|case| !(case.sent == Sent::Large && case.meanwhile == Crowded));
    cases
}

impl Sent {
    fn is_in_turn(self) -> bool {
        matches!(self, Sent::InTurn | Sent::TwinsInTurn | Sent::NamesakesInTurn)
    }
}

impl Meanwhile {
    /// Nobody will ever know.
    fn is_blind(self) -> bool {
        matches!(self, RefusedForEver | BadForEver | DroppedForEver)
    }

    fn moves_the_clock(self) -> bool {
        matches!(self, ClockBack | ClockForward)
    }

    fn keeps_everybody_out(self) -> bool {
        matches!(self, Down | Locked)
    }

    fn takes_copies_away(self) -> bool {
        matches!(self, Moved | Expunged | FolderGone)
    }

    fn rewrites_nul(self) -> bool {
        matches!(self, Rewritten | RewrittenAndRenumbered)
    }
}

impl Case {
    fn folder(self) -> &'static str {
        if self.meanwhile == FolderGone { "Old" } else { "INBOX" }
    }

    fn capabilities(self) -> &'static str {
        match (self.sent, self.uid_plus) {
            (Sent::Window, true) => "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ UIDPLUS",
            (Sent::Window, false) => "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+",
            (sent, true) if sent.is_in_turn() => "IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS",
            (sent, false) if sent.is_in_turn() => "IMAP4rev1 SASL-IR AUTH=PLAIN",
            (_, true) => "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ MULTIAPPEND UIDPLUS",
            (_, false) => "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ MULTIAPPEND",
        }
    }

    fn messages(self) -> Vec<Vec<u8>> {
        // Longer than all commands around them: what ends after as many octets as the messages have ends in the last.
        let message = |start: &str| [start.as_bytes(), &b"Line.\r\n".repeat(100)].concat();
        let named = message("Message-ID: <1@example.com>\r\n\r\nOne\0.\r\n");
        let nameless = message("Subject: two\r\n\r\nTwo.\r\n");
        let twin = message("Message-ID: <3@example.com>\r\n\r\nThree.\r\n");
        match self.sent {
            Sent::One => vec![named],
            Sent::Nameless => vec![message("Subject: two\r\n\r\nTwo\0.\r\n")],
            Sent::Large => vec![[named, b"Line.\r\n".repeat(180_000)].concat()],
            Sent::InTurn => vec![nameless, named],
            Sent::TwinsInTurn => vec![twin.clone(), twin],
            Sent::NamesakesInTurn => vec![[&twin[..], b"To the list.\r\n"].concat(), twin],
            Sent::Batch | Sent::Window => vec![named, nameless, twin.clone(), twin],
        }
    }

    /// A message that is stored, less what the server did to it.
    fn as_sent(self, stored: &[u8]) -> Vec<u8> {
        let mut message = stored.strip_prefix(ADDED).unwrap_or(stored).to_vec();
        if self.meanwhile.rewrites_nul() {
            message.iter_mut().filter(|byte| **byte == 0x80).for_each(|byte| *byte = 0);
        }
        message
    }

    /// Those whose answer is lost: the last so many.
    fn unknown(self) -> usize {
        if self.sent.is_in_turn() && !self.crashes { 1 } else { self.messages().len() }
    }

    /// Two of one Message-ID, of which one may be there, and no answer has named its UID.
    fn has_namesakes(self) -> bool {
        self.sent == Sent::NamesakesInTurn && (self.crashes || !self.uid_plus)
    }

    /// An answer has named the UID of an equal message.
    fn names_a_twin(self) -> bool {
        self.sent == Sent::TwinsInTurn && self.uid_plus && !self.crashes
    }

    /// In the order in which they are stored.
    fn unknown_messages(self) -> Vec<Vec<u8>> {
        let mut messages = self.messages();
        messages.split_off(messages.len() - self.unknown())
    }

    /// How many are sent again, `stored` of the unknown being there, and how many of these may be double.
    fn expected(self, stored: usize) -> (usize, usize) {
        match self.meanwhile {
            // The one end of the promise that README names.
            _ if self.meanwhile.takes_copies_away() => (self.unknown(), 0),
            _ if self.meanwhile.is_blind() => (self.unknown(), self.unknown()),
            // Whose it is of two, if it is not the message itself that is there.
            Changed if self.has_namesakes() && stored < self.unknown() => (self.unknown(), self.unknown()),
            // Of two equal ones it was known which copy is the first one's.
            Renumbered | RewrittenAndRenumbered if self.names_a_twin() => (self.unknown(), self.unknown()),
            // Neither bytes nor Message-ID tell.
            Changed => {
                let nameless = stored - named(&self.unknown_messages()[..stored]);
                (self.unknown() - stored + nameless, nameless)
            }
            // A server that changes what it takes might look the same.
            Namesakes => (self.unknown() - stored, named(&self.unknown_messages()[stored..])),
            _ => (self.unknown() - stored, 0),
        }
    }
}

struct Scene {
    world: World,
    case: Case,
    messages: Vec<Vec<u8>>,
    /// Of the unknown, how many were stored.
    stored: usize,
}

const BEFORE: &[u8] = b"Message-ID: <before@example.com>\r\n\r\nBefore.\r\n";
const OTHER: &[u8] = b"Message-ID: <other@example.com>\r\n\r\nOther mail.\r\n";
const STRANGER: &[u8] = b"Message-ID: <stranger-";
const OTHER_WAY: &[u8] = b"Precedence: list\r\n";

pub async fn run(case: Case) -> Result<(), String> {
    let mut scene = Scene::begin(case).await?;
    scene.lose().await?;
    scene.meanwhile().await;
    scene.look().await?;
    scene.end().await
}

impl Scene {
    /// A bridge that has delivered before.
    async fn begin(case: Case) -> Result<Scene, String> {
        let plan = Plan { home: Some(case.folder()), app: false, account: case.account };
        let mut world = World::new(plan).await;
        world.imap.mail().ways.capabilities = case.capabilities();
        let messages = case.messages();
        if case.meanwhile == OldCopy {
            world.imap.mail().folder("INBOX").store(messages[0].clone());
        }
        world.put("before", if case.meanwhile == DeliveredBefore { &messages[0] } else { BEFORE });
        let mut scene = Scene { world, case, messages, stored: 0 };
        scene.poll().await?;
        scene.world.later(TimeDelta::minutes(10));
        Ok(scene)
    }

    async fn lose(&mut self) -> Result<(), String> {
        let (case, before) = (self.case, self.copies());
        for (n, message) in self.messages.iter().enumerate() {
            self.world.put(&format!("u{n}"), message);
        }
        {
            let mut mail = self.world.imap.mail();
            mail.ways.rewrites_nul = case.meanwhile.rewrites_nul();
            mail.ways.adds_a_field = case.meanwhile == Changed;
            mail.ways.shows_late = case.meanwhile == ShowsLate;
            let stored = if case.lost == Lost::Partly { 2 } else { self.messages.len() };
            let mute = if case.crashes { Mute::Hang } else { Mute::Gone };
            let after = mail.appended + stored;
            mail.ways.mute_after = (case.lost != Lost::Torn).then_some((after, mute));
        }
        if case.lost == Lost::Torn {
            let (way, after) = (Way::Up, self.messages.iter().map(|message| message.len() as u64).sum());
            let fault = if case.crashes { Fault::Stall { way, after } } else { Fault::Cut { way, after } };
            self.world.to_imap.arm(Some(fault));
        }
        if case.crashes {
            let hangs = self.world.imap.mail().hangs.clone();
            let struck = self.world.to_imap.struck();
            let end = async {
                tokio::select! { () = hangs.cancelled() => {}, () = struck => {} }
            };
            self.world.poll_and_crash(end).await.map_err(|fault| fault.to_string())?;
        } else {
            self.poll().await?;
        }
        self.world.to_imap.arm(None);
        self.stored = self.copies() - before - (self.messages.len() - case.unknown());
        self.world.imap.mail().ways.shows_late = false;
        self.judge().await?;
        self.expect_unknown(case.unknown()).await
    }

    async fn meanwhile(&mut self) {
        if self.case.meanwhile == OtherFolder {
            self.world.stop().await;
            self.world.plan.home = Some("Elsewhere");
        }
        match self.case.meanwhile {
            ClockBack => self.world.later(-TimeDelta::hours(1)),
            ClockForward => self.world.later(TimeDelta::days(1)),
            _ => {}
        }
        let unknown = self.case.unknown_messages();
        let mut mail = self.world.imap.mail();
        match self.case.meanwhile {
            Renumbered | RewrittenAndRenumbered => mail.folder("INBOX").renumber(),
            Moved => {
                for bytes in take(&mut mail, &unknown) {
                    mail.make("Archive").store(bytes);
                }
            }
            Expunged => drop(take(&mut mail, &unknown)),
            FolderGone => drop(mail.folders.remove("Old")),
            RefusedOnce | RefusedForEver => mail.ways.refuses_look_ups = Some("NO [SERVERBUG] not now"),
            BadForEver => mail.ways.refuses_look_ups = Some("BAD what"),
            DroppedOnce | DroppedForEver => mail.ways.drops_look_ups = true,
            Down => mail.ways.is_down = true,
            Locked => mail.ways.refuses_logins = Some("NO [AUTHENTICATIONFAILED] wrong password"),
            SizeError | Changed => mail.ways.size_error = 17,
            Crowded => crowd(&mut mail, &unknown),
            Namesakes => {
                let named = unknown.iter().filter(|message| message.starts_with(b"Message-ID:"));
                let inbox = mail.folder("INBOX");
                named.for_each(|message| {
                    inbox.store([OTHER_WAY, message].concat());
                });
            }
            _ => {}
        }
    }

    /// Two look-ups, the second half a minute after the last byte, with nothing sent again between them and other mail
    /// going on.
    async fn look(&mut self) -> Result<(), String> {
        let Case { meanwhile, crashes, .. } = self.case;
        self.world.put("other", OTHER);
        if meanwhile.keeps_everybody_out() {
            self.world.stop().await;
        }
        let (copies, examined) = (self.copies(), self.world.imap.mail().examined);
        self.world.later(TimeDelta::seconds(1));
        self.poll().await?;
        if !meanwhile.keeps_everybody_out() && !crashes && !self.holds(OTHER) {
            return Err("other mail waits".to_owned());
        }
        self.open_again();
        self.world.later(TimeDelta::seconds(10));
        self.poll().await?;
        if meanwhile.moves_the_clock() {
            return Ok(());
        }
        if self.copies() != copies {
            return Err("sent again after one look".to_owned());
        }
        let looked = self.world.imap.mail().examined - examined;
        if !crashes && looked != usize::from(!meanwhile.keeps_everybody_out()) {
            return Err(format!("looked {looked} times"));
        }
        self.world.imap.mail().reveal();
        self.world.later(TimeDelta::seconds(20));
        self.poll().await
    }

    /// The fault that came once is over.
    fn open_again(&self) {
        let mut mail = self.world.imap.mail();
        match self.case.meanwhile {
            RefusedOnce => mail.ways.refuses_look_ups = None,
            DroppedOnce => mail.ways.drops_look_ups = false,
            _ => {}
        }
    }

    async fn end(&mut self) -> Result<(), String> {
        for wait in [60, 300, 900, 3600, 3600] {
            self.world.later(TimeDelta::seconds(wait));
            self.poll().await?;
        }
        {
            let mut mail = self.world.imap.mail();
            (mail.ways.is_down, mail.ways.refuses_logins) = (false, None);
        }
        for _ in 0..3 {
            self.world.later(TimeDelta::hours(1));
            self.poll().await?;
        }
        self.expect_unknown(0).await?;
        let (again, double) = self.case.expected(self.stored);
        let unverified = "SELECT count(*) FROM deliveries WHERE unverified = 1";
        let marked = self.world.count(unverified).await;
        // After a crash so is the mail of the first listing: it may have been delivered before.
        let listed = usize::from(self.case.crashes && self.case.meanwhile.is_blind());
        if marked != i64::try_from(double + listed).unwrap() {
            return Err(format!("{marked} are marked as perhaps double, not {double} and {listed}"));
        }
        let at_first = 2 + self.messages.len() - self.case.unknown() + self.stored;
        let sent_again = self.world.imap.mail().appended - at_first;
        if sent_again != again {
            return Err(format!("{sent_again} were sent again, not {again}"));
        }
        self.evidence().expect_all_delivered(self.case.account == DELETE).await?;
        self.world.stop().await;
        Ok(())
    }

    async fn poll(&mut self) -> Result<(), String> {
        self.world.poll().await.map_err(|fault| fault.to_string())?;
        self.judge().await
    }

    async fn judge(&self) -> Result<(), String> {
        self.evidence().judge().await
    }

    /// What mailferry has to answer for.
    fn evidence(&self) -> Evidence {
        let mut evidence = self.world.evidence();
        if self.case.meanwhile == Moved {
            let mail = self.world.imap.mail();
            let moved = mail.folders.get("Archive").map_or(0, |archive| archive.messages.len());
            // Folders are in the order of their names.
            evidence.destinations[0].messages.drain(..moved);
        }
        if self.case.meanwhile == FolderGone {
            evidence.put.retain(|message| message != BEFORE);
            evidence.source.retain(|message| message != BEFORE);
        }
        let home = &mut evidence.destinations[0].messages;
        home.retain(|message| self.case.meanwhile != FolderGone || message != BEFORE);
        home.retain(|message| !message.starts_with(STRANGER) && !message.starts_with(OTHER_WAY));
        home.iter_mut().for_each(|message| *message = self.case.as_sent(message));
        if self.case.meanwhile == OldCopy {
            let old = home.iter().position(|message| *message == self.messages[0]).expect("it is there");
            home.remove(old);
        }
        evidence
    }

    async fn expect_unknown(&self, number: usize) -> Result<(), String> {
        let sql = "SELECT count(*) FROM deliveries WHERE state = 'attempting'";
        let unknown = self.world.count(sql).await;
        match unknown == i64::try_from(number).unwrap() {
            true => Ok(()),
            false => Err(format!("{unknown} are unknown, not {number}")),
        }
    }

    /// How many copies of the messages are anywhere.
    fn copies(&self) -> usize {
        let is_ours = |message: &&Vec<u8>| self.messages.contains(&self.case.as_sent(message));
        self.world.imap.mail().all().iter().filter(is_ours).count()
    }

    fn holds(&self, message: &[u8]) -> bool {
        self.world.imap.mail().all().iter().any(|stored| self.case.as_sent(stored) == message)
    }
}

/// Takes one copy of each message out of the INBOX.
fn take(mail: &mut Mail, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let inbox = &mut mail.folder("INBOX").messages;
    let find = |message: &Vec<u8>| {
        let at = inbox.iter().rposition(|stored| stored.bytes == *message)?;
        Some(inbox.remove(at).bytes)
    };
    messages.iter().filter_map(find).collect()
}

/// How many have a Message-ID.
fn named(messages: &[Vec<u8>]) -> usize {
    messages.iter().filter(|message| message.starts_with(b"Message-ID:")).count()
}

fn crowd(mail: &mut Mail, like: &[Vec<u8>]) {
    for (n, message) in (0..60).zip(like.iter().cycle()) {
        let mut stranger = [STRANGER, format!("{n}@example.net>\r\n\r\n").as_bytes()].concat();
        stranger.resize(message.len().max(stranger.len()), b'x');
        mail.folder("INBOX").store(stranger);
    }
}

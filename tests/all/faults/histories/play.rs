//! Plays a history in a world, beside the model.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use mailferry::ledger;
use mailferry::message::DestinationName;

use super::model::{Both, Fate, Model, Sight, Terms, renumbered};
use super::step::{Deliver, Keep, Step, What};
use crate::cable::Fault;
use crate::oracle::{Books, expect_sound};
use crate::servers::imap::Folder;
use crate::servers::pop3::Pop3;
use crate::servers::{app, imap, pop3};
use crate::world::{self, Link, Plan, World};

/// How late a server may show what it has stored: mailferry believes in an absence after 30 s.
const LATE: TimeDelta = TimeDelta::seconds(25);

/// Above the serial numbers of what comes to the first account.
const NEIGHBOURS: u64 = 1000;

/// What the folder takes where it does not take all.
const WHEN: &str = "when = { header = \"Subject\", matches = 'N\\d+[02468]N' }";

const LINKS: [Link; 3] = [Link::Pop3, Link::Home, Link::App];

pub struct Play {
    world: World,
    model: Model,
    keep: Keep,
    import_new: bool,
    folder: &'static str,
    deliver: Deliver,
    when: bool,
    books: Books,
    backup: Option<Vec<u8>>,
    renumberings: usize,
}

/// Plays the steps, then lets everything be well again.
///
/// # Errors
/// Which promise was broken, and in which step.
pub async fn play(steps: &[Step]) -> Result<(), String> {
    let mut play = Play::new().await;
    for (number, step) in (1..).zip(steps) {
        play.step(*step).await.map_err(|fault| format!("step {number}, {step}: {fault}"))?;
    }
    play.end_well().await.map_err(|fault| format!("in the end: {fault}"))
}

/// What mailferry must never do.
#[derive(Clone, Copy, Debug)]
pub enum Wrong {
    /// A message that was delivered is nowhere any more.
    Lose,
    Double,
    Alter,
    Delete,
    /// It does nothing, although all is well.
    Rest,
}

/// Plays the steps, then does wrong, and says what the model makes of it.
///
/// # Errors
/// Which promise was broken.
pub async fn do_wrong(steps: &[Step], wrong: Wrong) -> Result<(), String> {
    let mut play = Play::new().await;
    for step in steps {
        play.step(*step).await?;
    }
    {
        let (mut mail, mut source) = (play.world.imap.mail(), play.world.pop3.mailbox());
        let stored = &mut mail.make(play.folder).messages;
        match wrong {
            Wrong::Lose => drop(stored.pop()),
            Wrong::Double => {
                let bytes = stored[0].bytes.clone();
                mail.make(play.folder).store(bytes);
            }
            Wrong::Alter => stored[0].bytes.push(b'!'),
            Wrong::Delete => drop(source.messages.pop()),
            Wrong::Rest => {}
        }
    }
    let (sight, terms) = (play.sight()?, play.terms());
    play.model.judge_poll(&with(&sight, &play.books), terms)?;
    play.model.judge_arrival()?;
    play.model.judge_deletions()
}

impl Play {
    async fn new() -> Play {
        let plan = Plan { home: Some("INBOX"), app: false, account: "" };
        Play {
            world: World::new(plan).await,
            model: Model::default(),
            keep: Keep::Forever,
            import_new: false,
            folder: "INBOX",
            deliver: Deliver::Home,
            when: false,
            books: Books::default(),
            backup: None,
            renumberings: 0,
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Poll => return self.poll(false).await,
            Step::Fetch => return self.poll(true).await,
            Step::Crash(link, fault) => return self.crash(link, fault).await,
            Step::Fault(link, fault) => self.world.cable(link).arm(Some(fault)),
            Step::Restart => self.world.stop().await,
            Step::Wait(seconds) => self.wait(TimeDelta::seconds(seconds.into())),
            Step::Put { .. }
            | Step::Twin(_)
            | Step::Like(_)
            | Step::Echo(_)
            | Step::Take(_)
            | Step::Renumber
            | Step::Hide(_)
            | Step::Show => self.at_source(step),
            Step::Neighbour(n) => self.neighbour(n).await?,
            Step::Move(_) | Step::Bin(_) | Step::UidValidity => self.at_home(step)?,
            Step::Keep(_)
            | Step::Deliver(_)
            | Step::Folder(_)
            | Step::Rehouse
            | Step::When(_)
            | Step::ImportNew(_) => {
                self.configure(step).await?;
            }
            Step::Retry | Step::GiveUp(_) | Step::Backup | Step::Restore | Step::Lose => {
                if matches!(step, Step::Restore | Step::Lose) {
                    expect_sound(&self.world.ledger_file()).await?;
                }
                self.person(step).await.map_err(|fault| fault.to_string())?;
            }
            Step::App(..)
            | Step::AppDislikes(_)
            | Step::HomeDislikes(_)
            | Step::HomeFull
            | Step::Blind
            | Step::Late
            | Step::Plain
            | Step::Exchange
            | Step::Short(_)
            | Step::Withhold
            | Step::Heal => self.ways(step),
        }
        let sight = self.sight()?;
        self.model.judge_step(&with(&sight, &self.books))
    }

    async fn poll(&mut self, regardless: bool) -> Result<(), String> {
        self.poll_begins()?;
        let polled = self.world.poll_all(regardless).await.map_err(|fault| fault.to_string())?;
        let was_well = polled.iter().all(|summary| summary.error.is_none())
            && !LINKS.iter().any(|link| self.world.cable(*link).has_struck());
        let is_done = was_well && polled.iter().all(|summary| summary.deferred == 0);
        self.poll_is_over(was_well.then_some(is_done)).await
    }

    async fn crash(&mut self, link: Link, fault: Fault) -> Result<(), String> {
        self.poll_begins()?;
        self.world.crash_where(link, fault).await.map_err(|fault| fault.to_string())?;
        self.poll_is_over(None).await
    }

    fn poll_begins(&mut self) -> Result<(), String> {
        let mut elsewhere = Vec::new();
        {
            let mail = self.world.imap.mail();
            let others =
                mail.folders.iter().filter(|(name, _)| *name != self.folder).map(|(_, folder)| folder);
            for bytes in others.chain(mail.others.values()).flat_map(Folder::all) {
                elsewhere.push(self.model.content_of(bytes)?);
            }
        }
        self.model.poll_begins(self.terms(), &elsewhere, world::now());
        Ok(())
    }

    /// `well` is none after a fault; else it says whether nothing is left to do.
    async fn poll_is_over(&mut self, well: Option<bool>) -> Result<(), String> {
        for link in LINKS {
            self.world.cable(link).arm(None);
        }
        self.world.pop3.at_rest().await;
        if let Some(neighbour) = &self.world.neighbour {
            neighbour.at_rest().await;
        }
        self.books = Books::read(&self.world.ledger_file()).await?;
        self.model.recognize(&self.books);
        let (sight, terms) = (self.sight()?, self.terms());
        self.model.judge_poll(&with(&sight, &self.books), terms)?;
        if let Some(is_done) = well {
            self.model.poll_went_well(terms, is_done, &self.books, world::now());
        }
        Ok(())
    }

    fn sight(&self) -> Result<(BTreeSet<u64>, Both<Vec<usize>>), String> {
        let mut source = BTreeSet::new();
        for server in [&self.world.pop3].into_iter().chain(&self.world.neighbour) {
            source.extend(server.mailbox().messages.iter().map(|kept| kept.serial));
        }
        let mut arrived: Both<Vec<usize>> = Both::default();
        {
            let mail = self.world.imap.mail();
            for bytes in mail.folders.values().chain(mail.others.values()).flat_map(Folder::all) {
                arrived[0].push(self.model.content_of(bytes)?);
            }
        }
        for bytes in self.world.app.taken() {
            arrived[1].push(self.model.content_of(&bytes)?);
        }
        Ok((source, arrived))
    }

    fn terms(&self) -> Terms {
        let routes = [self.deliver != Deliver::App, self.deliver != Deliver::Home];
        Terms { keep: self.keep, routes, when: self.when, import_new: self.import_new }
    }

    fn wait(&self, time: TimeDelta) {
        self.world.later(time);
        self.world.imap.mail().reveal_until(world::now() - LATE);
    }

    fn at_source(&mut self, step: Step) {
        let letters = self.model.letters.len();
        match step {
            Step::Put { what, under } => {
                let uidl = under.filter(|_| letters > 0).map(|n| self.uidl_of(n % letters));
                self.put(&compose(letters, what), uidl);
            }
            Step::Twin(n) if letters > 0 => {
                let bytes = self.bytes_of(n % letters);
                self.put(&bytes, None);
            }
            Step::Like(n) if letters > 0 => {
                let bytes = self.bytes_of(n % letters);
                self.put(&like(&bytes, letters), Some(self.uidl_of(n % letters)));
            }
            Step::Echo(n) if letters > 0 => {
                let bytes = echo(&compose(letters, What::Plain), n % letters);
                self.put(&bytes, None);
            }
            Step::Take(n) if letters > 0 => {
                let letter = &mut self.model.letters[n % letters];
                if letter.fate == Fate::There {
                    letter.fate = Fate::Taken;
                    let server = if letter.account == 0 {
                        Some(&self.world.pop3)
                    } else {
                        self.world.neighbour.as_ref()
                    };
                    let mut mailbox = server.expect("it has mail").mailbox();
                    mailbox.messages.retain(|kept| kept.serial != letter.serial);
                }
            }
            Step::Renumber => {
                self.renumberings += 1;
                for kept in &mut self.world.pop3.mailbox().messages {
                    kept.uidl = renumbered(self.renumberings, kept.serial);
                }
                self.model.renumbered(self.renumberings, &self.books);
            }
            Step::Hide(n) if letters > 0 => self.model.letters[n % letters].is_hidden = true,
            Step::Show => self.model.letters.iter_mut().for_each(|letter| letter.is_hidden = false),
            _ => {}
        }
        let hidden = self.model.letters.iter().filter(|letter| letter.is_hidden);
        let hidden: BTreeSet<u64> = hidden.map(|letter| letter.serial).collect();
        for server in [&self.world.pop3].into_iter().chain(&self.world.neighbour) {
            for kept in &mut server.mailbox().messages {
                kept.is_listed = !hidden.contains(&kept.serial);
            }
        }
    }

    fn put(&mut self, bytes: &[u8], uidl: Option<Vec<u8>>) {
        let uidl = uidl.unwrap_or_else(|| format!("u{}", self.model.letters.len()).into_bytes());
        let serial = put(&self.world.pop3, bytes, &uidl);
        self.model.add(0, bytes, serial, &uidl);
    }

    /// The neighbour moves in with its first message.
    async fn neighbour(&mut self, n: usize) -> Result<(), String> {
        let letters = self.model.letters.len();
        if letters == 0 {
            return Ok(());
        }
        if self.world.neighbour.is_none() {
            let server = Pop3::start().await;
            server.mailbox().serials = NEIGHBOURS;
            self.world.neighbour = Some(server);
            self.world.reload().await.map_err(|fault| fault.to_string())?;
        }
        let (bytes, uidl) = (self.bytes_of(n % letters), format!("u{letters}").into_bytes());
        let serial = put(self.world.neighbour.as_ref().expect("it has moved in"), &bytes, &uidl);
        self.model.add(1, &bytes, serial, &uidl);
        Ok(())
    }

    fn uidl_of(&self, letter: usize) -> Vec<u8> {
        self.model.letters[letter].uidls.last().expect("each has one").clone()
    }

    fn bytes_of(&self, letter: usize) -> Vec<u8> {
        self.model.bytes(self.model.letters[letter].content).to_owned()
    }

    fn at_home(&mut self, step: Step) -> Result<(), String> {
        let mut mail = self.world.imap.mail();
        let folder = mail.make(self.folder);
        match step {
            Step::UidValidity => {
                folder.renumber();
                self.model.uids_are_new();
            }
            Step::Move(n) | Step::Bin(n) if !folder.messages.is_empty() => {
                let bytes = folder.messages.remove(n % folder.messages.len()).bytes;
                let is_gone = matches!(step, Step::Bin(_));
                self.model.copy_has_left(self.model.content_of(&bytes)?, is_gone, &self.books);
                if !is_gone {
                    mail.make("Archive").store(bytes);
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn configure(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Keep(keep) => self.keep = keep,
            Step::Deliver(deliver) => self.deliver = deliver,
            Step::Folder(is_work) => self.folder = if is_work { "Work" } else { "INBOX" },
            Step::ImportNew(is_new) => self.import_new = is_new,
            Step::When(is_on) => self.when = is_on,
            Step::Rehouse => {
                self.world.imap.mail().change_user();
                self.world.reader = if self.world.reader == "me" { "you" } else { "me" };
                self.model.rehoused();
            }
            _ => {}
        }
        self.world.route = if self.when { WHEN } else { "" };
        let account = match (self.keep, self.import_new) {
            (Keep::Forever, false) => "",
            (Keep::Days14, false) => "leave_copy = \"14d\"",
            (Keep::Nothing, false) => "leave_copy = false",
            (Keep::Forever, true) => "import = \"new\"",
            (Keep::Days14, true) => "import = \"new\"\nleave_copy = \"14d\"",
            (Keep::Nothing, true) => "import = \"new\"\nleave_copy = false",
        };
        let home = (self.deliver != Deliver::App).then_some(self.folder);
        self.world.plan = Plan { home, app: self.deliver != Deliver::Home, account };
        self.world.reload().await.map_err(|fault| fault.to_string())
    }

    async fn person(&mut self, step: Step) -> Result<(), ledger::Error> {
        match step {
            Step::Retry => {
                self.world.start().await?;
                self.world.ledger().expect("it was started").retry(None, None, None, world::now()).await?;
            }
            Step::GiveUp(n) if !self.books.waiting.is_empty() => {
                self.world.start().await?;
                let (id, uidl, destination) = self.books.waiting[n % self.books.waiting.len()].clone();
                let name = DestinationName::new(&destination).expect("it is a name");
                let id = id.to_string().parse().expect("it is a number");
                let ledger = self.world.ledger().expect("it was started");
                if ledger.give_up(id, Some(&name), world::now()).await? > 0 {
                    self.model.given_up(&uidl, &destination);
                }
            }
            Step::Backup => self.backup = self.world.backup().await.or(self.backup.take()),
            Step::Restore if self.backup.is_some() => {
                let backup = self.backup.clone();
                self.replace_ledger(backup.as_deref()).await;
            }
            Step::Lose => self.replace_ledger(None).await,
            _ => {}
        }
        Ok(())
    }

    /// A person needs a minute for it.
    async fn replace_ledger(&mut self, backup: Option<&[u8]>) {
        self.model.ledger_replaced(&self.books);
        self.world.replace_ledger(backup).await;
        self.books = Books::default();
        self.wait(TimeDelta::minutes(1));
    }

    fn ways(&mut self, step: Step) {
        let letters = self.model.letters.len();
        let mark = |n: usize| if letters == 0 { "none".to_owned() } else { number(n % letters) };
        let (mut mail, mut desk) = (self.world.imap.mail(), self.world.app.desk());
        let mut source = self.world.pop3.mailbox();
        match step {
            Step::App(status, retry_after) => desk.ways.refuses = Some((status, retry_after)),
            Step::AppDislikes(n) => desk.ways.dislikes = Some(mark(n)),
            Step::HomeDislikes(n) => {
                mail.ways.refuses = Some((mark(n), "NO the message contains a NUL character"));
            }
            Step::HomeFull => mail.ways.refuses = Some((String::new(), "NO [OVERQUOTA] Quota exceeded")),
            Step::Blind => mail.ways.refuses_look_ups = Some("NO [SERVERBUG] not now"),
            Step::Late => mail.ways.shows_late = true,
            Step::Plain => mail.ways.capabilities = "IMAP4rev1 AUTH=PLAIN",
            Step::Exchange => {
                mail.ways.capabilities = "IMAP4rev1 AUTH=PLAIN";
                (mail.ways.adds_a_field, mail.ways.size_error) = (true, 7);
            }
            Step::Short(commands) => source.ways.lasts = Some(commands),
            Step::Withhold => source.ways.withholds = Some(("", "-ERR [SYS/TEMP] try again later")),
            _ => {
                if mail.ways.adds_a_field {
                    self.model.unwarp();
                }
                (mail.ways, desk.ways) = (imap::Ways::default(), app::Ways::default());
                source.ways = pop3::Ways::default();
            }
        }
        if step == Step::Exchange {
            self.model.warp();
        }
    }

    /// Every fault goes, a person says "retry", and time passes.
    async fn end_well(&mut self) -> Result<(), String> {
        for link in LINKS {
            self.world.cable(link).arm(None);
        }
        self.step(Step::Heal).await?;
        self.step(Step::Show).await?;
        self.step(Step::When(false)).await?;
        self.step(Step::Deliver(Deliver::Both)).await?;
        self.step(Step::Keep(Keep::Nothing)).await?;
        // A Retry-After is believed for a day.
        self.step(Step::Wait(2 * 86_400)).await?;
        self.step(Step::Retry).await?;
        // Two polls do for nearly all; where a folder holds what may be the message, it is asked for again and again.
        for seconds in [60, 3600, 3600, 3600, 3600, 3600] {
            self.step(Step::Poll).await?;
            self.step(Step::Wait(seconds)).await?;
            if self.books.waiting.is_empty() && self.model.judge_arrival().is_ok() {
                break;
            }
        }
        self.model.judge_arrival()?;
        self.step(Step::Wait(20 * 86_400)).await?;
        self.step(Step::Poll).await?;
        self.step(Step::Poll).await?;
        self.model.judge_deletions()?;
        self.world.stop().await;
        expect_sound(&self.world.ledger_file()).await
    }
}

fn put(server: &Pop3, bytes: &[u8], uidl: &[u8]) -> u64 {
    let mut mailbox = server.mailbox();
    mailbox.put(uidl, bytes);
    mailbox.messages.last().expect("it was put").serial
}

fn with<'a>(sight: &(BTreeSet<u64>, Both<Vec<usize>>), books: &'a Books) -> Sight<'a> {
    Sight { now: world::now(), source: sight.0.clone(), arrived: sight.1.clone(), books }
}

/// What tells the `n`th message from all others, always of the same length.
fn number(n: usize) -> String {
    format!("N{n:04}N")
}

/// The `n`th message. No two have the same length by chance.
fn compose(n: usize, what: What) -> Vec<u8> {
    let (number, padding) = (number(n), "x".repeat(n));
    let header = match what {
        What::Plain | What::Large => {
            format!("Message-ID: <{number}@example.com>\r\nSubject: {number} {padding}\r\n\r\n")
        }
        What::Old => {
            format!(
                "Received: from a by b; Wed, 1 Jan 2020 00:00:00 +0000\r\nSubject: {number} {padding}\r\n\r\n"
            )
        }
        What::Empty | What::Dots | What::EightBit => format!("Subject: {number} {padding}\r\n\r\n"),
    };
    let body: &[u8] = match what {
        What::Plain | What::Old => b"Hello.\r\n",
        What::Empty => b"",
        What::Dots => b".\r\n..\r\n.hidden\r\n\r\n",
        What::EightBit => b"\xfc\x80\xff\r\n",
        What::Large => &b"A line that is repeated until it is too large for memory.\r\n".repeat(20_000),
    };
    [header.as_bytes(), body].concat()
}

/// The message with the Message-ID of the `n`th.
fn echo(message: &[u8], n: usize) -> Vec<u8> {
    let end = memchr::memmem::find(message, b"\r\n").expect("it has a header");
    [format!("Message-ID: <{}@example.com>", number(n)).as_bytes(), &message[end..]].concat()
}

/// As long as `bytes`, and the `n`th message.
fn like(bytes: &[u8], n: usize) -> Vec<u8> {
    let mut bytes = bytes.to_owned();
    let number = number(n);
    let starts: Vec<usize> = (0..bytes.len().min(200) - number.len())
        .filter(|at| is_number(&bytes[*at..at + number.len()]))
        .collect();
    for at in starts {
        bytes[at..at + number.len()].copy_from_slice(number.as_bytes());
    }
    bytes
}

fn is_number(text: &[u8]) -> bool {
    matches!(text, [b'N', digits @ .., b'N'] if digits.iter().all(u8::is_ascii_digit))
}

//! POP3 (RFC 1939): one mailbox, for whoever logs in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Conversation;

/// Ends with the test's runtime.
pub struct Pop3 {
    pub port: u16,
    mailbox: Arc<Mutex<Mailbox>>,
}

/// What the server holds, and its ways. A change shows in the next session.
#[derive(Default)]
pub struct Mailbox {
    pub messages: Vec<Kept>,
    pub ways: Ways,
    /// Sessions that logged in, those of them that asked for what is recent, and messages that were retrieved whole, so
    /// far.
    pub logins: usize,
    pub recent_logins: usize,
    pub retrieved: usize,
    /// Commands that named a message which is not there.
    pub misses: usize,
    /// How often each command came, known or not.
    pub asked: BTreeMap<String, usize>,
    /// The most refusals in one session, and how often the server has lost its patience: see [`Ways::patience`].
    pub refusals: usize,
    pub hung_up: usize,
    /// Connections that are not at their end.
    sessions: usize,
    /// Cancelled where [`Ways::hangs_at_quit`] begins.
    pub hangs: CancellationToken,
    /// How many messages came, or more: where another mailbox has them, too.
    pub serials: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub uidl: Vec<u8>,
    /// As it is handed out, with CRLF line ends and one at the end.
    pub bytes: Vec<u8>,
    /// False while the server leaves it out of its listings, as some do now and then.
    pub is_listed: bool,
    /// It came within the last 30 days: a login as `recent:USER` shows it, whatever else is listed.
    pub is_recent: bool,
    /// What LIST says; `None` for the truth.
    pub size: Option<u64>,
    /// Who it is, whatever its UIDL.
    pub serial: u64,
    /// It was retrieved, and so many logins later it is hidden.
    hides_in: Option<usize>,
}

impl Kept {
    /// A login passes.
    fn age(&mut self) {
        self.is_listed &= self.hides_in != Some(0);
        self.hides_in = self.hides_in.map(|logins| logins.saturating_sub(1));
    }
}

/// How this server differs from the RFC's best.
pub struct Ways {
    /// The answer to CAPA; -ERR where it is empty.
    pub capabilities: &'static [&'static str],
    /// DELE is answered with +OK, and nothing goes.
    pub ignores_dele: bool,
    /// The session ends at QUIT without an answer, its deletions made.
    pub mute_at_quit: bool,
    /// At QUIT the deletions are forgotten.
    pub forgets_deletions: bool,
    /// After QUIT nothing comes any more, ever.
    pub hangs_at_quit: bool,
    /// So many messages are listed at a time, and after QUIT those no more that were retrieved.
    pub shows_at_a_time: Option<usize>,
    /// It hides them at RETR already, whether QUIT comes or not.
    pub hides_at_once: bool,
    /// It still shows what was hidden to so many logins.
    pub hides_late: usize,
    /// A command, and how it is refused, such as `-ERR [SYS/TEMP] try again later`.
    pub refuses: Option<(&'static str, &'static str)>,
    /// Messages that hold this text cannot be had: what RETR and TOP of them are answered with.
    pub withholds: Option<(&'static str, &'static str)>,
    /// In each session so many messages are handed out, and the next RETR is answered with this, as are all that follow.
    pub hands_out: Option<(usize, &'static str)>,
    /// It hangs up at the refusal with this number, as Exchange does.
    pub patience: Option<usize>,
    /// Of all that is there, so many are listed, the newest.
    pub lists_newest: Option<usize>,
    /// It lists nothing but what is recent: the session ends at UIDL.
    pub refuses_slices: bool,
    /// It hangs up at these commands for the message with this UIDL, and what it had still to send is lost.
    pub breaks_at: Option<(&'static [&'static str], &'static str)>,
    /// A session ends after so many commands, without an answer to the next.
    pub lasts: Option<usize>,
    /// At QUIT what was retrieved is dropped (EXPIRE 0).
    pub drops_retrieved: bool,
    /// What is deleted stays among the recent ones.
    pub keeps_deleted: bool,
}

impl Default for Ways {
    fn default() -> Ways {
        let capabilities = &["USER", "UIDL", "TOP", "PIPELINING", "RESP-CODES"];
        Ways {
            capabilities,
            ignores_dele: false,
            mute_at_quit: false,
            forgets_deletions: false,
            hangs_at_quit: false,
            shows_at_a_time: None,
            hides_at_once: false,
            hides_late: 0,
            refuses: None,
            withholds: None,
            hands_out: None,
            patience: None,
            lists_newest: None,
            refuses_slices: false,
            breaks_at: None,
            lasts: None,
            drops_retrieved: false,
            keeps_deleted: false,
        }
    }
}

impl Mailbox {
    /// Adds a message under a UIDL.
    pub fn put(&mut self, uidl: &[u8], bytes: &[u8]) {
        self.serials += 1;
        let (uidl, bytes) = (uidl.to_owned(), bytes.to_owned());
        self.messages.push(Kept {
            uidl,
            bytes,
            is_listed: true,
            is_recent: true,
            size: None,
            serial: self.serials,
            hides_in: None,
        });
    }

    /// To be listed no more, but to whoever asks for what is recent.
    fn hide(&mut self, retrieved: &BTreeSet<u64>) {
        let logins = self.ways.hides_late;
        let hidden =
            self.messages.iter_mut().filter(|kept| kept.is_listed && retrieved.contains(&kept.serial));
        hidden.for_each(|kept| kept.hides_in = kept.hides_in.or(Some(logins)));
    }

    /// The bytes of all messages, listed or not.
    pub fn all(&self) -> Vec<Vec<u8>> {
        self.messages.iter().map(|kept| kept.bytes.clone()).collect()
    }
}

impl Pop3 {
    pub async fn start() -> Pop3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mailbox = Arc::new(Mutex::new(Mailbox::default()));
        let served = Arc::clone(&mailbox);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (session, mailbox) =
                    (Session::new(Conversation::new(tcp), Arc::clone(&served)), Arc::clone(&served));
                served.lock().unwrap().sessions += 1;
                tokio::spawn(async move {
                    session.serve().await;
                    mailbox.lock().unwrap().sessions -= 1;
                });
            }
        });
        Pop3 { port, mailbox }
    }

    /// Waits until all sessions are at their end: what a QUIT deleted is gone by then.
    pub async fn at_rest(&self) {
        while self.mailbox().sessions > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Not to be held over an await.
    pub fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap()
    }
}

struct Session {
    conversation: Conversation,
    mailbox: Arc<Mutex<Mailbox>>,
    /// The messages as they were at the login, by number.
    messages: Vec<Kept>,
    marked: BTreeSet<usize>,
    retrieved: BTreeSet<u64>,
    /// It is shown what is recent.
    is_recent: bool,
    refusals: usize,
}

impl Session {
    fn new(conversation: Conversation, mailbox: Arc<Mutex<Mailbox>>) -> Session {
        Session {
            conversation,
            mailbox,
            messages: Vec::new(),
            marked: BTreeSet::new(),
            retrieved: BTreeSet::new(),
            is_recent: false,
            refusals: 0,
        }
    }

    async fn serve(mut self) -> Option<()> {
        self.conversation.say("+OK ready").await?;
        let mut commands = 0;
        while self.mailbox.lock().unwrap().ways.lasts.is_none_or(|lasts| commands < lasts) {
            commands += 1;
            let line = String::from_utf8_lossy(&self.conversation.line().await?).into_owned();
            let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
            if let Some(refusal) = self.hear(command) {
                self.refuse(refusal).await?;
                continue;
            }
            match command {
                "CAPA" => self.capa().await?,
                "USER" => {
                    self.is_recent = argument.starts_with("recent:");
                    self.conversation.say("+OK").await?;
                }
                "PASS" => self.pass().await?,
                "STAT" => {
                    let octets: usize = self.listed().map(|(_, kept)| kept.bytes.len()).sum();
                    let stat = format!("+OK {} {octets}", self.listed().count());
                    self.conversation.say(stat).await?;
                }
                "UIDL" if self.ends_at_uidl() => return None,
                "UIDL" => self.rows(|kept| kept.uidl.clone()).await?,
                "LIST" => {
                    let size = |kept: &Kept| kept.size.unwrap_or(kept.bytes.len() as u64);
                    self.rows(|kept| size(kept).to_string().into_bytes()).await?;
                }
                "RETR" => self.retr(argument).await?,
                "TOP" => self.top(argument).await?,
                "DELE" => self.dele(argument).await?,
                "NOOP" => self.conversation.say("+OK").await?,
                "QUIT" => return self.quit().await,
                _ => self.refuse("-ERR unknown command").await?,
            }
        }
        None
    }

    /// How the command is refused, where it is.
    fn hear(&self, command: &str) -> Option<&'static str> {
        let mut mailbox = self.mailbox.lock().unwrap();
        *mailbox.asked.entry(command.to_owned()).or_default() += 1;
        let (refused, refusal) = mailbox.ways.refuses?;
        // A login is one, whether it is refused or not.
        mailbox.logins += usize::from(refused == "PASS" && command == "PASS");
        (refused == command).then_some(refusal)
    }

    /// Refuses what was asked for, and hangs up where that was once too often.
    async fn refuse(&mut self, refusal: &str) -> Option<()> {
        self.conversation.say(refusal).await?;
        self.refusals += 1;
        let has_patience = {
            let mut mailbox = self.mailbox.lock().unwrap();
            mailbox.refusals = mailbox.refusals.max(self.refusals);
            let has_patience = mailbox.ways.patience.is_none_or(|patience| self.refusals < patience);
            mailbox.hung_up += usize::from(!has_patience);
            has_patience
        };
        if !has_patience {
            self.conversation.answers.flush().await.ok()?;
        }
        has_patience.then_some(())
    }

    fn ends_at_uidl(&self) -> bool {
        !self.is_recent && self.mailbox.lock().unwrap().ways.refuses_slices
    }

    async fn capa(&mut self) -> Option<()> {
        let capabilities = self.mailbox.lock().unwrap().ways.capabilities;
        if capabilities.is_empty() {
            return self.refuse("-ERR unknown command").await;
        }
        self.conversation.say("+OK").await?;
        for capability in capabilities {
            self.conversation.say(capability).await?;
        }
        self.conversation.say(".").await
    }

    async fn pass(&mut self) -> Option<()> {
        {
            let mut mailbox = self.mailbox.lock().unwrap();
            mailbox.logins += 1;
            mailbox.recent_logins += usize::from(self.is_recent);
            mailbox.messages.iter_mut().for_each(Kept::age);
            let shown = |kept: &&Kept| if self.is_recent { kept.is_recent } else { kept.is_listed };
            let at_a_time = mailbox.ways.shows_at_a_time.filter(|_| !self.is_recent);
            let shown = mailbox.messages.iter().filter(shown);
            let shown: Vec<&Kept> = shown.take(at_a_time.unwrap_or(usize::MAX)).collect();
            let older = shown.len().saturating_sub(mailbox.ways.lists_newest.unwrap_or(usize::MAX));
            self.messages = shown[older..].iter().copied().cloned().collect();
        }
        self.conversation.say("+OK").await
    }

    fn listed(&self) -> impl Iterator<Item = (usize, &Kept)> {
        self.messages.iter().enumerate().filter(|(at, _)| !self.marked.contains(at))
    }

    async fn rows(&mut self, value: impl Fn(&Kept) -> Vec<u8>) -> Option<()> {
        let rows: Vec<Vec<u8>> = self
            .listed()
            .map(|(at, kept)| [format!("{} ", at + 1).as_bytes(), &value(kept)].concat())
            .collect();
        self.conversation.say("+OK").await?;
        for row in rows {
            self.conversation.say(row).await?;
        }
        self.conversation.say(".").await
    }

    /// The place of a message that is there and not marked.
    fn find(&self, number: &str) -> Option<usize> {
        let at = number.parse::<usize>().ok()?.checked_sub(1)?;
        (at < self.messages.len() && !self.marked.contains(&at)).then_some(at)
    }

    fn withheld(&self, at: usize) -> Option<&'static str> {
        let (text, refusal) = self.mailbox.lock().unwrap().ways.withholds?;
        memchr::memmem::find(&self.messages[at].bytes, text.as_bytes()).map(|_| refusal)
    }

    fn is_enough(&self) -> Option<&'static str> {
        let (most, refusal) = self.mailbox.lock().unwrap().ways.hands_out?;
        (self.retrieved.len() >= most).then_some(refusal)
    }

    async fn miss(&mut self) -> Option<()> {
        self.mailbox.lock().unwrap().misses += 1;
        self.refuse("-ERR no such message").await
    }

    fn holds_at(&self, command: &str, at: usize) -> Option<()> {
        let breaks_at = self.mailbox.lock().unwrap().ways.breaks_at;
        let breaks = breaks_at.is_some_and(|(commands, uidl)| {
            commands.contains(&command) && uidl.as_bytes() == self.messages[at].uidl
        });
        (!breaks).then_some(())
    }

    async fn retr(&mut self, number: &str) -> Option<()> {
        let Some(at) = self.find(number) else { return self.miss().await };
        self.holds_at("RETR", at)?;
        if let Some(refusal) = self.withheld(at).or_else(|| self.is_enough()) {
            return self.refuse(refusal).await;
        }
        self.conversation.say("+OK").await?;
        let body = stuffed(&self.messages[at].bytes);
        self.conversation.answers.write_all(&body).await.ok()?;
        self.conversation.say(".").await?;
        self.retrieved.insert(self.messages[at].serial);
        let mut mailbox = self.mailbox.lock().unwrap();
        mailbox.retrieved += 1;
        if mailbox.ways.hides_at_once {
            mailbox.hide(&self.retrieved);
        }
        Some(())
    }

    async fn top(&mut self, argument: &str) -> Option<()> {
        let number = argument.strip_suffix(" 0").unwrap_or_default();
        let Some(at) = self.find(number) else { return self.miss().await };
        self.holds_at("TOP", at)?;
        if let Some(refusal) = self.withheld(at) {
            return self.refuse(refusal).await;
        }
        self.conversation.say("+OK").await?;
        let bytes = &self.messages[at].bytes;
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let header = stuffed(&bytes[..end]);
        self.conversation.answers.write_all(&header).await.ok()?;
        self.conversation.say(".").await
    }

    async fn dele(&mut self, number: &str) -> Option<()> {
        let Some(at) = self.find(number) else { return self.miss().await };
        self.marked.insert(at);
        self.conversation.say("+OK").await
    }

    async fn quit(mut self) -> Option<()> {
        let (mute, hangs) = {
            let mut mailbox = self.mailbox.lock().unwrap();
            if !mailbox.ways.ignores_dele && !mailbox.ways.forgets_deletions {
                let gone: BTreeSet<u64> = self.marked.iter().map(|at| self.messages[*at].serial).collect();
                if mailbox.ways.keeps_deleted {
                    let deleted = |kept: &&mut Kept| gone.contains(&kept.serial);
                    mailbox.messages.iter_mut().filter(deleted).for_each(|kept| kept.is_listed = false);
                } else {
                    mailbox.messages.retain(|kept| !gone.contains(&kept.serial));
                }
            }
            if mailbox.ways.drops_retrieved {
                mailbox.messages.retain(|kept| !self.retrieved.contains(&kept.serial));
            }
            if mailbox.ways.shows_at_a_time.is_some() {
                mailbox.hide(&self.retrieved);
            }
            if mailbox.ways.hangs_at_quit {
                mailbox.hangs.cancel();
            }
            (mailbox.ways.mute_at_quit, mailbox.ways.hangs_at_quit)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        if !mute {
            self.conversation.say("+OK bye").await?;
        }
        self.conversation.answers.flush().await.ok()
    }
}

/// Dot-stuffed (RFC 1939 section 3), with a line end at the end.
pub fn stuffed(bytes: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(bytes.len() + 16);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.ends_with(b"\r\n") && !stuffed.is_empty() {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed
}

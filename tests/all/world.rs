//! The bridge in this process, between honest servers, with links that can be cut and a clock that the test sets:
//! what takes days passes at once, and thousands of runs take minutes.
//!
//! Everything of a world lives in one thread: the clock is that thread's.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use mailferry::config;
use mailferry::daemon::{self, Bridge, Polled};
use mailferry::ledger::{self, Ledger};
use mailferry::message::{AccountName, DestinationName, Quirks};
use mailferry::poll::Summary;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cable::{Cable, Fault};
use crate::oracle::{Arrived, Evidence};
use crate::receiver::Receiver;
use crate::servers::app::App;
use crate::servers::imap::Imap;
use crate::servers::pop3::Pop3;

/// What the config says beyond servers and passwords.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// An IMAP folder takes mail, and its name.
    pub home: Option<&'static str>,
    /// A webhook takes mail.
    pub app: bool,
    /// More keys of the account.
    pub account: &'static str,
}

/// Which cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Pop3,
    Home,
    App,
}

pub const PASSWORD: &str = "open-sesame-7263";
pub const WEBHOOK_SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub struct World {
    pub pop3: Pop3,
    pub imap: Imap,
    pub app: App,
    pub receiver: Receiver,
    pub to_pop3: Cable,
    pub to_imap: Cable,
    pub to_app: Cable,
    pub plan: Plan,
    /// More keys of the route to the folder: `junk = true`.
    pub route: &'static str,
    /// More keys of the IMAP destination.
    pub home: &'static str,
    /// More of the config: other accounts, other destinations.
    pub more: String,
    /// Who logs in at the source, and at the folder's server.
    pub user: &'static str,
    pub reader: &'static str,
    /// A second account, whose mail goes where that of the first goes.
    pub neighbour: Option<Pop3>,
    /// What is known of the source's server.
    pub quirks: Quirks,
    /// Every message that was ever put at the source.
    put: Vec<Vec<u8>>,
    folder: TempDir,
    running: Option<(Arc<Ledger>, Bridge)>,
}

thread_local! {
    static NOW: Cell<DateTime<Utc>> = const { Cell::new(DateTime::UNIX_EPOCH) };
    /// How often the bridge may look at its clock until that panics.
    static FUSE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The clock of this thread's world.
pub fn now() -> DateTime<Utc> {
    NOW.get()
}

/// The bridge's clock: this world's, which may panic.
fn clock() -> DateTime<Utc> {
    match FUSE.get() {
        Some(0) => {
            FUSE.set(None);
            panic!("{FUSE_TEXT}");
        }
        left => FUSE.set(left.map(|left| left - 1)),
    }
    now()
}

/// What a clock says that panics.
pub const FUSE_TEXT: &str = "the clock has stopped";

/// Runs `work` in a thread of its own, as a world wants it.
pub fn alone<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs each case in a thread of its own, a few at a time, and returns those that failed.
pub fn each_in_a_world<C: Copy + Send + 'static>(
    cases: Vec<C>,
    run: impl AsyncFn(C) -> Result<(), String> + Copy + Send + Sync + 'static,
) -> Vec<(C, String)> {
    let (cases, failures) = (Mutex::new(cases.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().unwrap().next() else { break };
                    if let Err(fault) = alone(async move || run(case).await) {
                        failures.lock().unwrap().push((case, fault));
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

/// How often the ledger is asked, and everybody else let go on, before nothing is believed to happen any more.
const SETTLED: usize = 10;

/// Each waits for its ledger now and then, so there may be more than cores.
pub const AT_ONCE: usize = 4;

impl World {
    pub async fn new(plan: Plan) -> World {
        NOW.set("2026-11-24T12:00:00Z".parse().unwrap());
        let (pop3, imap, app) = (Pop3::start().await, Imap::start().await, App::default());
        let receiver = app.receiver().await;
        let http = receiver.url.rsplit(':').next().and_then(|end| end.split('/').next()).unwrap();
        let (to_pop3, to_imap) = (Cable::to(pop3.port).await, Cable::to(imap.port).await);
        let to_app = Cable::to(http.parse().unwrap()).await;
        let folder = folder();
        let put = Vec::new();
        World {
            pop3,
            imap,
            app,
            receiver,
            to_pop3,
            to_imap,
            to_app,
            plan,
            route: "",
            home: "",
            more: String::new(),
            user: "old",
            reader: "me",
            neighbour: None,
            quirks: Quirks::default(),
            put,
            folder,
            running: None,
        }
    }

    pub fn ledger_file(&self) -> PathBuf {
        self.folder.path().join("mailferry.db")
    }

    /// Lets time pass.
    pub fn later(&self, time: TimeDelta) {
        NOW.set(now() + time);
    }

    /// Puts a message at the source.
    pub fn put(&mut self, uidl: &str, message: &[u8]) {
        self.pop3.mailbox().put(uidl.as_bytes(), message);
        self.put.push(message.to_owned());
    }

    /// A poll by schedule, in which whoever rests is left alone.
    pub async fn poll(&mut self) -> Result<Summary, ledger::Error> {
        self.poll_account(false).await
    }

    /// A poll by schedule that panics where it looks at its clock the next but `nth` time. Returns whether it came so far.
    pub async fn poll_and_panic(&mut self, nth: usize) -> Result<(Summary, bool), ledger::Error> {
        self.start().await?;
        FUSE.set(Some(nth));
        let summary = self.poll().await?;
        Ok((summary, FUSE.take().is_none()))
    }

    /// A poll that a person asks for.
    pub async fn fetch(&mut self) -> Result<Summary, ledger::Error> {
        self.poll_account(true).await
    }

    async fn poll_account(&mut self, regardless: bool) -> Result<Summary, ledger::Error> {
        self.start().await?;
        let mut polls = self.begin_poll("old", regardless);
        polls.join_next().await.expect("a poll was started").unwrap().outcome
    }

    /// A poll of both accounts at once, of the first alone where there is one.
    pub async fn poll_all(&mut self, regardless: bool) -> Result<Vec<Summary>, ledger::Error> {
        self.start().await?;
        let polled = self.begin_polls(regardless).join_all().await;
        polled.into_iter().map(|polled| polled.outcome).collect()
    }

    fn begin_polls(&self, regardless: bool) -> JoinSet<Polled> {
        let mut polls = self.begin_poll("old", regardless);
        if self.neighbour.is_some() {
            self.spawn_poll(&mut polls, "neighbour", regardless);
        }
        polls
    }

    /// Begins a poll of an account, of this world's own (`old`) or of another in [`World::more`]. The world must have
    /// been started.
    pub fn begin_poll(&self, account: &str, regardless: bool) -> JoinSet<Polled> {
        let mut polls = JoinSet::new();
        self.spawn_poll(&mut polls, account, regardless);
        polls
    }

    fn spawn_poll(&self, polls: &mut JoinSet<Polled>, account: &str, regardless: bool) {
        let (_, bridge) = self.running.as_ref().expect("it was started");
        bridge.spawn_poll(polls, &AccountName::new(account).expect("it is a name"), regardless);
    }

    /// As the daemon does now and then.
    pub async fn close_idle(&self) {
        self.running.as_ref().expect("it was started").1.close_idle().await;
    }

    /// Lets everything happen that waits neither for a peer nor for the clock. The ledger works in threads of its own,
    /// in turn: when it answers us it has answered those who asked before. A poll asks it a few times between two
    /// words to a peer.
    pub async fn settle(&self) {
        let (ledger, _) = self.running.as_ref().expect("it was started");
        let anybody = DestinationName::new("anybody").expect("it is a name");
        for _ in 0..SETTLED {
            ledger.close_batch(&[]).await.unwrap();
            ledger.is_well(&anybody).await.unwrap();
            for _ in 0..SETTLED {
                tokio::task::yield_now().await;
            }
        }
    }

    /// A poll of all accounts in the middle of which the process ends without a word: where `fault` strikes `link`, else
    /// when it is over.
    pub async fn crash_where(&mut self, link: Link, fault: Fault) -> Result<(), ledger::Error> {
        self.start().await?;
        self.cable(link).arm(Some(fault));
        let mut polls = self.begin_polls(false);
        tokio::select! {
            biased;
            () = self.cable(link).struck() => {}
            () = async { while polls.join_next().await.is_some() {} } => {}
        }
        polls.shutdown().await;
        self.cable(link).arm(None);
        self.crash();
        self.ledger_is_closed().await;
        Ok(())
    }

    /// Waits until nothing in this process has the ledger open any more: tasks end when they have their turn, and SQLite
    /// closes it in a thread of its own.
    async fn ledger_is_closed(&self) {
        let is_ours = |file: PathBuf| file.starts_with(self.folder.path());
        let is_open = || {
            let files = std::fs::read_dir("/proc/self/fd").unwrap();
            files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(is_ours))
        };
        while is_open() {
            tokio::task::yield_now().await;
        }
    }

    pub fn cable(&self, link: Link) -> &Cable {
        match link {
            Link::Pop3 => &self.to_pop3,
            Link::Home => &self.to_imap,
            Link::App => &self.to_app,
        }
    }

    /// Goes on with the config as it is now; the ledger stays held.
    pub async fn reload(&mut self) -> Result<(), ledger::Error> {
        if let Some((ledger, bridge)) = self.running.take() {
            drop(bridge);
            let bridge = self.build(Arc::clone(&ledger)).await?;
            self.running = Some((ledger, bridge));
        }
        Ok(())
    }

    /// The ledger, where one is held.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.running.as_ref().map(|(ledger, _)| &**ledger)
    }

    /// A backup of the ledger as it is, as the README says to make one; `None` where there is no ledger yet.
    pub async fn backup(&self) -> Option<Vec<u8>> {
        let options = SqliteConnectOptions::new().filename(self.ledger_file());
        let mut ledger = SqliteConnection::connect_with(&options).await.ok()?;
        let copy = self.folder.path().join("backup.db");
        let sql = format!("VACUUM INTO '{}'", copy.display());
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut ledger).await.unwrap();
        ledger.close().await.unwrap();
        let backup = std::fs::read(&copy).unwrap();
        std::fs::remove_file(copy).unwrap();
        Some(backup)
    }

    /// Somebody puts a backup in the ledger's place, or nothing.
    pub async fn replace_ledger(&mut self, backup: Option<&[u8]>) {
        self.stop().await;
        self.ledger_is_closed().await;
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.ledger_file().display()));
        }
        if let Some(backup) = backup {
            std::fs::write(self.ledger_file(), backup).unwrap();
        }
    }

    /// A poll during which the process ends, as soon as `end` comes; if the poll is quicker, after it.
    pub async fn poll_and_crash(&mut self, end: impl Future<Output = ()>) -> Result<(), ledger::Error> {
        tokio::select! {
            outcome = self.poll() => drop(outcome?),
            () = end => {}
        }
        self.crash();
        self.ledger_is_closed().await;
        Ok(())
    }

    /// One number out of the ledger.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let options = SqliteConnectOptions::new().filename(self.ledger_file()).read_only(true);
        let mut ledger = SqliteConnection::connect_with(&options).await.unwrap();
        let count = sqlx::query_scalar(sql).fetch_one(&mut ledger).await.unwrap();
        ledger.close().await.unwrap();
        count
    }

    /// Holds the ledger, if nobody does yet, on the config as it is now.
    pub async fn start(&mut self) -> Result<(), ledger::Error> {
        if self.running.is_none() {
            if !self.ledger_file().exists() {
                std::fs::write(self.ledger_file(), new_ledger().await).unwrap();
            }
            let ledger = Arc::new(Ledger::hold(&self.ledger_file(), daemon::terms(), now()).await?);
            let bridge = self.build(Arc::clone(&ledger)).await?;
            self.running = Some((ledger, bridge));
        }
        Ok(())
    }

    async fn build(&self, ledger: Arc<Ledger>) -> Result<Bridge, ledger::Error> {
        let file = self.folder.path().join("mailferry.toml");
        std::fs::write(&file, self.config()).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut config = config::load(&file).await.unwrap_or_else(|faults| panic!("{faults}"));
        for account in config.accounts.iter_mut().filter(|account| account.name.as_str() == "old") {
            account.quirks = self.quirks;
        }
        Bridge::build(config, ledger, CancellationToken::new(), clock).await
    }

    /// An ordered stop.
    pub async fn stop(&mut self) {
        let Some((ledger, bridge)) = self.running.take() else { return };
        drop(bridge);
        Arc::into_inner(ledger).expect("no poll is under way").close().await.unwrap();
    }

    /// Ends without a word; what is not committed is lost.
    pub fn crash(&mut self) {
        self.running = None;
    }

    fn config(&self) -> String {
        let mut config = "ledger = \"mailferry.db\"\n".to_owned();
        let mut deliver = Vec::new();
        if let Some(folder) = self.plan.home {
            config += &format!(
                "[destination.home]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
                 user = \"{}\"\npassword = \"{PASSWORD}\"\n{}\n",
                self.to_imap.port, self.reader, self.home
            );
            let mut route = "to = \"home\"".to_owned();
            if folder != "INBOX" {
                route += &format!(", folder = \"{folder}\"");
            }
            if !self.route.is_empty() {
                route += &format!(", {}", self.route);
            }
            deliver.push(format!("{{ {route} }}"));
        }
        if self.plan.app {
            config += &format!(
                "[destination.app]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/inbound\"\nformat = \"raw\"\n\
                 secret = \"whsec_{WEBHOOK_SECRET}\"\n",
                self.to_app.port
            );
            deliver.push("{ to = \"app\" }".to_owned());
        }
        let neighbour = self.neighbour.as_ref().map(|server| ("neighbour", server.port, "neighbour"));
        for (name, port, user) in [("old", self.to_pop3.port, self.user)].into_iter().chain(neighbour) {
            config += &format!(
                "[account.{name}]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"{user}\"\n\
                 password = \"{PASSWORD}\"\nevery = \"5m\"\ndeliver = [{}]\n{}\n",
                deliver.join(", "),
                self.plan.account
            );
        }
        config + &self.more
    }

    /// What is where, for the judge.
    pub fn evidence(&self) -> Evidence {
        let mut destinations = Vec::new();
        if self.plan.home.is_some() {
            destinations.push(Arrived { name: "home", messages: self.imap.mail().all() });
        }
        if self.plan.app {
            destinations.push(Arrived { name: "app", messages: self.app.taken() });
        }
        let source = self.pop3.mailbox().all();
        Evidence { put: self.put.clone(), source, destinations, ledger: self.ledger_file() }
    }
}

/// A ledger in which nothing has happened yet, made once: there are thousands of worlds, and to make one takes as long as
/// a poll. How it is made, and what stops that, is tried in `ledgers` and in the ledger's own tests.
async fn new_ledger() -> &'static [u8] {
    static NEW: OnceCell<Vec<u8>> = OnceCell::const_new();
    let make = async || {
        let folder = folder();
        let file = folder.path().join("mailferry.db");
        Ledger::hold(&file, daemon::terms(), now()).await.unwrap().close().await.unwrap();
        std::fs::read(file).unwrap()
    };
    NEW.get_or_init(make).await
}

/// A folder for a ledger, in memory where that is possible: the disk is tried elsewhere.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let mut folder = tempfile::Builder::new();
    folder.prefix("mailferry.");
    if memory.is_dir() { folder.tempdir_in(memory) } else { folder.tempdir() }.unwrap()
}

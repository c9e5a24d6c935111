//! The story: one poll of one account, top to bottom.
//!
//! Look-ups that are due come first. Then, session by session, the mailbox is listed, what is overdue is deleted,
//! what is due is carried to its destinations batch by batch, and what was carried is deleted. While one batch is
//! being delivered the next one is being retrieved; there are never more than two.

pub mod batch;
mod conclusion;
mod dates;
mod deletion;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::destination::Destination;
use crate::ledger::{
    Ask, Class, DueDelivery, Identity, Intake, Ledger, MessageId, Past, Retrieved, Settled, Shortcut, State,
};
use crate::message::{
    AccountName, DestinationName, Found, Import, LeaveCopy, Listed, Mark, Message, Outgoing, Quirks, Route,
    Verdict,
};
use crate::pop3::{self, Retrieval, Session};
use crate::schedule::Schedule;
use crate::{ledger, net};

use batch::{Batch, Item, Numbers, Parcel};
use dates::dated_after;

/// What the config says of an account, beyond how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub leave_copy: LeaveCopy,
    pub import: Import,
    pub routes: Vec<Route>,
}

/// An account, ready to be polled.
#[derive(Debug)]
pub struct Account {
    pub name: AccountName,
    pub pop3: pop3::Settings,
    pub connector: net::Connector,
    pub schedule: Schedule,
    pub settings: Settings,
}

/// What all polls share.
#[derive(Debug)]
pub struct Context {
    pub ledger: Arc<Ledger>,
    pub destinations: BTreeMap<DestinationName, Arc<Destination>>,
    /// The folder for what is too large for memory.
    pub spool: PathBuf,
    /// KiB of memory for messages in flight, for all polls together: at least [`batch::LARGEST_WEIGHT`].
    pub budget: Arc<Semaphore>,
    pub stop: CancellationToken,
    pub now: fn() -> DateTime<Utc>,
    pub progress: broadcast::Sender<Progress>,
}

/// How far a poll has come.
#[derive(Clone, Debug)]
pub struct Progress {
    pub account: AccountName,
    /// Messages that this poll has found to carry, and those it is done with.
    pub messages: u64,
    pub done: u64,
    /// Octets retrieved.
    pub bytes: u64,
}

/// What a poll did: its row in the history, its line in the log.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub new: u64,
    pub delivered: u64,
    pub deferred: u64,
    pub parked: u64,
    pub deleted: u64,
    pub bytes: u64,
    pub error: Option<(Class, String)>,
}

/// What can end a poll early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error(transparent)]
    Account(#[from] pop3::Error),
}

/// What a session left to do.
#[derive(PartialEq, Eq)]
enum Portion {
    Done,
    More,
}

/// After so many messages, or so long, a session is ended and a new one begun, so that its deletions take effect.
const PORTION_MESSAGES: usize = 500;
const PORTION_TIME: Duration = Duration::from_secs(5 * 60);

/// How many due messages are asked for at a time.
const PAGE: usize = 2000;

/// How often a session that waits for a delivery shows that it is alive (RFC 1939 section 3 allows 10 minutes).
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Polls `account` once and records it. `regardless` is `fetch`: deferred messages and resting destinations are
/// tried now, save where a destination named the time itself.
///
/// # Errors
/// Only the ledger's: whatever else goes wrong is in the summary, and in the ledger.
pub async fn poll(context: &Context, account: &Account, regardless: bool) -> Result<Summary, ledger::Error> {
    let mut poll = Poll {
        context,
        account,
        ask: Ask {
            account: account.name.clone(),
            routes: account.settings.routes.iter().map(|route| route.to.clone()).collect(),
            limit: PAGE,
            regardless,
        },
        receipts: account.settings.routes.iter().map(|route| (route.to.clone(), OnceCell::new())).collect(),
        resting: Vec::new(),
        retrieved: Vec::new(),
        tried: HashSet::new(),
        summary: Summary::default(),
        messages: 0,
        done: 0,
        login_delay: None,
        out_of_step: false,
    };
    let started = (context.now)();
    let outcome = poll.run().await;
    poll.conclude(started, outcome).await
}

struct Poll<'a> {
    context: &'a Context,
    account: &'a Account,
    ask: Ask,
    /// For each route the UIDs that the ledger knows, asked for once if they are needed.
    receipts: BTreeMap<DestinationName, OnceCell<Vec<u32>>>,
    /// Destinations that turned out, during this poll, to take nothing now.
    resting: Vec<DestinationName>,
    /// What this session has retrieved.
    retrieved: Vec<MessageId>,
    /// What this poll has tried: once is enough, however many sessions it takes.
    tried: HashSet<MessageId>,
    summary: Summary,
    messages: u64,
    done: u64,
    login_delay: Option<Duration>,
    /// The server got out of step while commands were pipelined.
    out_of_step: bool,
}

/// A mailbox as it is listed in this session.
struct Listing {
    rows: Arc<Vec<Listed>>,
    retrieved_is_gone: bool,
}

/// A batch as it was retrieved: what arrived before the session broke, if it did, is still good.
struct Fetched {
    batch: Batch,
    broken: Option<pop3::Error>,
}

/// What became of a batch.
#[derive(Default)]
struct Delivered {
    settled: Vec<Settled>,
    /// Destinations that take nothing now.
    resting: Vec<DestinationName>,
    /// Messages that may be deleted at their source, by their numbers in this session.
    deletable: Vec<(MessageId, u32)>,
    bytes: u64,
}

impl Poll<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        self.look_up().await?;
        let mut portion = Portion::More;
        while portion == Portion::More && !self.context.stop.is_cancelled() {
            portion = match self.session().await {
                Err(Failure::Account(error @ pop3::Error::OutOfStep { .. })) if !self.out_of_step => {
                    debug!(account = %self.account.name, %error, "no more pipelining");
                    self.out_of_step = true;
                    Portion::More
                }
                // It is parked: the others need a new session, and no patience.
                Err(Failure::Account(pop3::Error::MessageTooLarge)) => Portion::More,
                outcome => outcome?,
            };
        }
        Ok(())
    }

    /// Asks the destinations about deliveries whose answer was lost. It needs no POP3 session.
    async fn look_up(&mut self) -> Result<(), Failure> {
        let due = self.context.ledger.look_ups_due(&self.account.name, self.now()).await?;
        let mut groups: BTreeMap<(DestinationName, String), Vec<ledger::LookUp>> = BTreeMap::new();
        for look_up in due {
            groups
                .entry((look_up.destination.clone(), look_up.mark.folder.clone()))
                .or_default()
                .push(look_up);
        }
        for ((name, _), look_ups) in groups {
            let Some(destination) = self.context.destinations.get(&name) else { continue };
            let marks: Vec<Mark> = look_ups.iter().map(|look_up| look_up.mark.clone()).collect();
            let mut taken: Vec<u32> = look_ups.iter().flat_map(|look_up| look_up.taken.clone()).collect();
            taken.sort_unstable();
            taken.dedup();
            let found = destination.look_up(&marks, &taken).await;
            let found = look_ups.iter().map(|look_up| look_up.delivery).zip(found).collect();
            let settled = self
                .context
                .ledger
                .settle_look_ups(found, self.account.settings.leave_copy, self.now())
                .await?;
            self.note(Delivered { settled, ..Delivered::default() });
        }
        Ok(())
    }

    async fn session(&mut self) -> Result<Portion, Failure> {
        self.retrieved.clear();
        let past = self.context.ledger.past(&self.account.name).await?;
        let quirks = Quirks { no_pipelining: past.no_pipelining || self.out_of_step, ..Quirks::default() };
        let mut session = Session::open(&self.account.connector, &self.account.pop3, quirks).await?;
        self.login_delay = session.capabilities().login_delay;
        let listing = self.list(&mut session, &past).await?;
        self.delete_overdue(&mut session, &listing).await?;
        let portion = self.carry(&mut session, &listing).await?;
        // Without QUIT the server keeps what it would drop as retrieved (EXPIRE 0): right while any of it waits.
        if !(listing.retrieved_is_gone && self.context.ledger.any_waits(&self.retrieved).await?) {
            match session.quit().await {
                // Some servers hang up instead of answering. What is gone shows in the next listing.
                Err(error) if error.class() == pop3::Class::Network => {
                    debug!(account = %self.account.name, %error, "no answer to QUIT");
                }
                outcome => outcome?,
            }
        }
        Ok(portion)
    }

    /// Lists the mailbox and lets the ledger take in what is new. Sizes are asked for only if something changed.
    async fn list(&mut self, session: &mut Session, past: &Past) -> Result<Listing, Failure> {
        let mut listing = session.uidl().await?;
        let (stat, hash) = (listing.stat, listing.hash);
        let shortcut = Shortcut { hash, count: u64::from(stat.count), octets: stat.octets };
        let unchanged = past.shortcut.as_ref() == Some(&shortcut);
        if !unchanged {
            session.list(&mut listing.rows).await?;
        }
        let rows = Arc::new(listing.rows);
        let fresh = if unchanged { None } else { self.fresh(session, past, &rows).await? };
        let taken_in = self.context.ledger.take_in(self.intake(&rows, shortcut, unchanged, fresh)).await?;
        self.summary.new += taken_in.new;
        self.messages += taken_in.new;
        self.report();
        Ok(Listing { rows, retrieved_is_gone: session.capabilities().retrieved_is_gone() })
    }

    fn intake(
        &self,
        rows: &Arc<Vec<Listed>>,
        shortcut: Shortcut,
        unchanged: bool,
        fresh: Option<HashSet<u32>>,
    ) -> Intake {
        let settings = &self.account.settings;
        Intake {
            account: self.account.name.clone(),
            routes: self.ask.routes.clone(),
            folders: settings.routes.iter().map(|route| route.folder.clone()).collect(),
            config_text: format!("{settings:?}"),
            listing: Arc::clone(rows),
            unchanged,
            shortcut: Some(shortcut),
            fresh,
            now: self.now(),
        }
    }

    /// With `import = "new"`: which messages are dated after the account was configured. Asked at the first listing,
    /// and when hardly anything listed is known, as after a provider has moved.
    async fn fresh(
        &self,
        session: &mut Session,
        past: &Past,
        rows: &Arc<Vec<Listed>>,
    ) -> Result<Option<HashSet<u32>>, Failure> {
        let wanted = self.account.settings.import == Import::New
            && (past.first_listing
                || self.context.ledger.is_mostly_unknown(&self.account.name, rows).await?);
        if wanted { Ok(Some(dated_after(session, rows, past.cut_off).await?)) } else { Ok(None) }
    }

    /// Carries what is due, batch by batch, and deletes behind it what may go.
    async fn carry(&mut self, session: &mut Session, listing: &Listing) -> Result<Portion, Failure> {
        let mut numbers = Numbers::of(&listing.rows);
        let (mut seen, mut deletable) = (HashSet::new(), Vec::new());
        let began = Instant::now();
        let is_full = |deletable: &Vec<_>| {
            deletable.len() >= PORTION_MESSAGES || (!deletable.is_empty() && began.elapsed() >= PORTION_TIME)
        };
        while !is_full(&deletable) {
            let mut queue = self.due(&mut numbers, &mut seen).await?;
            if queue.is_empty() {
                break;
            }
            let (mut current, mut broken) = (None, None);
            loop {
                let goes_on = broken.is_none() && !is_full(&deletable) && !self.context.stop.is_cancelled();
                let items = if goes_on { batch::next(&mut queue, &self.resting) } else { Vec::new() };
                if items.is_empty() && current.is_none() {
                    break;
                }
                let (retrieved, delivered) = self.step(session, items, current.take()).await;
                let delivered = delivered?;
                self.tried.extend(delivered.settled.iter().map(|settled| settled.message));
                deletable.extend(self.note(delivered));
                if let Some(retrieved) = retrieved? {
                    self.retrieved.extend(retrieved.batch.retrieved.iter().map(|(id, _)| *id));
                    if retrieved.broken.is_none() {
                        self.tried.extend(&retrieved.batch.opened);
                    }
                    (current, broken) = (Some(retrieved.batch), retrieved.broken);
                }
            }
            if let Some(error) = broken {
                return Err(error.into());
            }
        }
        self.delete(session, &deletable).await?;
        Ok(if is_full(&deletable) { Portion::More } else { Portion::Done })
    }

    /// Messages that want to be retrieved, each with its number in this session.
    async fn due(
        &mut self,
        numbers: &mut Numbers<'_>,
        seen: &mut HashSet<MessageId>,
    ) -> Result<VecDeque<Item>, Failure> {
        // Nothing is reserved for a destination that this poll leaves alone: others may try it.
        let mut ask = self.ask.clone();
        ask.routes.retain(|route| !self.resting.contains(route));
        let due = self.context.ledger.due(&ask, self.now()).await?;
        let unseen = due.into_iter().filter(|due| !self.tried.contains(&due.id) && seen.insert(due.id));
        let items = unseen.filter_map(|due| Some(Item { number: numbers.take(&due.uidl, due.size)?, due }));
        let items: VecDeque<Item> = items.collect();
        self.messages = self.messages.max(self.done + items.len() as u64);
        Ok(items)
    }

    /// Retrieves one batch while the one before it is being delivered.
    async fn step(
        &self,
        session: &mut Session,
        items: Vec<Item>,
        current: Option<Batch>,
    ) -> (Result<Option<Fetched>, Failure>, Result<Delivered, Failure>) {
        let delivered = CancellationToken::new();
        let retrieving = async {
            let mut retrieved =
                if items.is_empty() { None } else { Some(self.retrieve(session, items).await?) };
            let alive = keep_alive(session, delivered.cancelled()).await;
            if let (Some(retrieved), Err(error)) = (&mut retrieved, alive) {
                retrieved.broken.get_or_insert(error);
            }
            Ok(retrieved)
        };
        let delivering = async {
            let _told = delivered.clone().drop_guard();
            match current {
                Some(batch) => self.deliver(batch).await,
                None => Ok(Delivered::default()),
            }
        };
        tokio::join!(retrieving, delivering)
    }

    /// Retrieves a batch, and keeps of it what the ledger says is really due.
    async fn retrieve(&self, session: &mut Session, items: Vec<Item>) -> Result<Fetched, Failure> {
        let ledger = &self.context.ledger;
        let permit = Arc::clone(&self.context.budget).acquire_many_owned(batch::weight(&items));
        let permit = keep_alive(session, permit).await?.expect("nobody closes the budget");
        let opened: Vec<MessageId> = items.iter().map(|item| item.due.id).collect();
        ledger.open_batch(&opened).await?;

        let numbers: Vec<u32> = items.iter().map(|item| item.number).collect();
        let outcome = session.retrieve(&numbers, &self.context.spool).await;
        if let (Some(item), Some(error)) = (items.get(outcome.messages.len()), &outcome.error)
            && error.class() == pop3::Class::Network
        {
            ledger.cut_short(item.due.id, error.to_string(), self.now()).await?;
        }
        let mut arrived = Vec::with_capacity(items.len());
        for (item, (_, retrieval)) in items.into_iter().zip(outcome.messages) {
            match retrieval {
                Retrieval::Message(message) => arrived.push((item, message)),
                Retrieval::Refused(refused) => {
                    ledger.not_retrieved(item.due.id, refused.to_string(), self.now()).await?;
                }
                Retrieval::Torn { octets_seen } => {
                    let reason =
                        format!("it ended after {octets_seen} octets, and then came what is no reply");
                    ledger.not_retrieved(item.due.id, reason, self.now()).await?;
                }
                Retrieval::TooLarge { .. } => {
                    let reason = format!("larger than max_size, {} octets", self.account.pop3.max_size);
                    ledger.park(item.due.id, reason, self.now()).await?;
                }
            }
        }
        let batch = self.identify(opened, arrived, permit).await?;
        Ok(Fetched { batch, broken: outcome.error })
    }

    /// Matches what was retrieved with what the ledger knows, by content.
    async fn identify(
        &self,
        opened: Vec<MessageId>,
        arrived: Vec<(Item, Message)>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Batch, Failure> {
        let retrieved = arrived.iter().map(|(item, message)| Retrieved {
            id: item.due.id,
            content: message.content,
            header: message.header,
            octets: message.octets(),
        });
        let identities = self.context.ledger.identify(retrieved.collect(), &self.ask, self.now()).await?;
        let mut batch = Batch { opened, retrieved: Vec::new(), parcels: Vec::new(), permit };
        for ((item, message), identity) in arrived.into_iter().zip(identities) {
            batch.retrieved.push((identity.id, item.number));
            // Recognised as an older row, it is that one which is open.
            batch.opened.push(identity.id);
            if !identity.deliveries.is_empty() {
                let Identity { id, uidl, deliveries } = identity;
                batch.parcels.push(Parcel { id, uidl, message, deliveries });
            }
        }
        Ok(batch)
    }

    /// Delivers a batch to all its destinations side by side.
    async fn deliver(&self, batch: Batch) -> Result<Delivered, Failure> {
        let routes = self.account.settings.routes.iter();
        let outcomes = join_all(routes.map(|route| self.deliver_to(route, &batch.parcels))).await;
        let bytes = batch.parcels.iter().map(|parcel| parcel.message.octets()).sum();
        let mut delivered = Delivered { bytes, ..Delivered::default() };
        for outcome in outcomes {
            let outcome = outcome?;
            delivered.settled.extend(outcome.settled);
            delivered.resting.extend(outcome.resting);
        }
        let ledger = &self.context.ledger;
        ledger.close_batch(&batch.opened).await?;
        let leave_copy = self.account.settings.leave_copy;
        if leave_copy != LeaveCopy::Forever {
            let ids: Vec<MessageId> = batch.retrieved.iter().map(|(id, _)| *id).collect();
            let may_go: HashSet<MessageId> =
                ledger.deletable(&ids, leave_copy, self.now()).await?.into_iter().collect();
            delivered.deletable =
                batch.retrieved.iter().filter(|(id, _)| may_go.contains(id)).copied().collect();
        }
        Ok(delivered)
    }

    /// The marks are in the ledger before the first byte goes out, the verdicts before anything builds on them.
    async fn deliver_to(&self, route: &Route, parcels: &[Parcel]) -> Result<Delivered, Failure> {
        let load: Vec<Load> = parcels.iter().filter_map(|parcel| Load::for_route(parcel, route)).collect();
        let Some(destination) = self.context.destinations.get(&route.to).filter(|_| !load.is_empty()) else {
            return Ok(Delivered::default());
        };
        let messages: Vec<&Message> = load.iter().map(|load| &load.parcel.message).collect();
        let marks = match destination.prepare(route, &messages).await {
            Ok(marks) => marks,
            Err(verdict) => {
                let verdicts = vec![verdict; load.len()];
                return self.settle(route, &load, verdicts).await;
            }
        };
        let (mut delivered, load, marks) = self.find_past(route, destination, load, marks).await?;
        if load.is_empty() {
            return Ok(delivered);
        }
        let attempts = load.iter().map(|load| load.delivery.id).zip(marks.iter().cloned()).collect();
        self.context.ledger.attempting(attempts, self.now()).await?;
        let outgoing: Vec<Outgoing> =
            load.iter().zip(marks).map(|(load, mark)| load.outgoing(&self.account.name, mark)).collect();
        let verdicts = destination.deliver(route, &outgoing).await;
        let rest = self.settle(route, &load, verdicts).await?;
        delivered.settled.extend(rest.settled);
        delivered.resting = rest.resting;
        Ok(delivered)
    }

    /// Deliveries that an earlier life of the ledger may have made are looked for before they are made again.
    async fn find_past<'p>(
        &self,
        route: &Route,
        destination: &Destination,
        load: Vec<Load<'p>>,
        marks: Vec<Mark>,
    ) -> Result<(Delivered, Vec<Load<'p>>, Vec<Mark>), Failure> {
        let mut past = Vec::new();
        for (load, mark) in load.iter().zip(&marks) {
            if let Some((uid_validity, uid_next)) = load.delivery.look_from {
                past.push(Mark { uid_validity, uid_next, ..mark.clone() });
            }
        }
        if past.is_empty() {
            return Ok((Delivered::default(), load, marks));
        }
        let taken = self.receipts(route, marks[0].uid_validity).await?;
        let mut found = destination.look_for_past(&past, taken).await.into_iter();
        let (mut settled, mut verdicts, mut rest, mut rest_marks) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (load, mark) in load.into_iter().zip(marks) {
            let found = load.delivery.look_from.and_then(|_| found.next());
            match found {
                Some(Found::Found { receipt }) => {
                    settled.push(load);
                    verdicts.push(Verdict::Delivered { receipt });
                }
                Some(Found::CannotSay { reason }) => {
                    settled.push(load);
                    verdicts.push(Verdict::Deferred { reason, retry_after: None });
                }
                Some(Found::Absent) | None => {
                    rest.push(load);
                    rest_marks.push(mark);
                }
            }
        }
        Ok((self.settle(route, &settled, verdicts).await?, rest, rest_marks))
    }

    /// UIDs in the route's folder that the ledger knows: they are no unknown past.
    async fn receipts(&self, route: &Route, uid_validity: u32) -> Result<&[u32], ledger::Error> {
        let Some(receipts) = self.receipts.get(&route.to) else { return Ok(&[]) };
        let ask = || self.context.ledger.taken(&route.to, &route.folder, uid_validity, 1);
        Ok(receipts.get_or_try_init(ask).await?)
    }

    /// Commits the verdicts, and writes the one log line that each has.
    async fn settle(
        &self,
        route: &Route,
        load: &[Load<'_>],
        verdicts: Vec<Verdict>,
    ) -> Result<Delivered, Failure> {
        let is_resting = |verdict: &Verdict| {
            matches!(verdict, Verdict::Unreachable { .. } | Verdict::Paused { .. } | Verdict::Disabled { .. })
        };
        let resting = if verdicts.iter().any(is_resting) { vec![route.to.clone()] } else { Vec::new() };
        let verdicts = load.iter().map(|load| load.delivery.id).zip(verdicts).collect();
        let settled = self
            .context
            .ledger
            .settle(&route.to, verdicts, self.account.settings.leave_copy, self.now())
            .await?;
        for (load, settled) in load.iter().zip(&settled) {
            info!(
                account = %self.account.name,
                destination = %route.to,
                uidl = %load.parcel.uidl,
                octets = load.parcel.message.octets(),
                verdict = settled.state.as_str(),
                text = settled.text,
                "delivery"
            );
        }
        Ok(Delivered { settled, resting, ..Delivered::default() })
    }

    /// Counts what became of a batch, and hands on what may be deleted.
    fn note(&mut self, delivered: Delivered) -> Vec<(MessageId, u32)> {
        for settled in &delivered.settled {
            match settled.state {
                State::Delivered => self.summary.delivered += 1,
                State::Parked => self.summary.parked += 1,
                State::Due | State::Attempting | State::Deferred => self.summary.deferred += 1,
                State::Skipped | State::GivenUp => {}
            }
        }
        self.done += delivered.settled.len() as u64;
        self.summary.bytes += delivered.bytes;
        self.resting.extend(delivered.resting);
        self.report();
        delivered.deletable
    }

    fn report(&self) {
        // Nobody may be listening.
        let _ = self.context.progress.send(Progress {
            account: self.account.name.clone(),
            messages: self.messages,
            done: self.done,
            bytes: self.summary.bytes,
        });
    }

    fn now(&self) -> DateTime<Utc> {
        (self.context.now)()
    }
}

/// One message for one destination.
struct Load<'p> {
    parcel: &'p Parcel,
    delivery: &'p DueDelivery,
}

impl<'p> Load<'p> {
    fn for_route(parcel: &'p Parcel, route: &Route) -> Option<Load<'p>> {
        let delivery = parcel.deliveries.iter().find(|delivery| delivery.destination == route.to)?;
        Some(Load { parcel, delivery })
    }

    fn outgoing(&self, account: &AccountName, mark: Mark) -> Outgoing {
        Outgoing {
            message: self.parcel.message.clone(),
            account: account.clone(),
            uidl: self.parcel.uidl.clone(),
            mark,
            attempts: self.delivery.attempts,
        }
    }
}

/// Waits, and shows the server now and then that the session is alive.
async fn keep_alive<T>(session: &mut Session, until: impl Future<Output = T>) -> Result<T, pop3::Error> {
    tokio::pin!(until);
    loop {
        tokio::select! {
            outcome = &mut until => return Ok(outcome),
            () = tokio::time::sleep(KEEP_ALIVE) => session.noop().await?,
        }
    }
}

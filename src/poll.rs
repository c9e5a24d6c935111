//! The story: one poll of one account, top to bottom.
//!
//! Look-ups that are due come first. Then, session by session, the mailbox is listed, what is due is carried to its
//! destinations batch by batch, what was carried is deleted, and then what is overdue. While one batch is being
//! delivered the next one is being retrieved, and the verdicts on the one before are committed; no more than two batches
//! are in memory.

pub mod batch;
mod budget;
mod conclusion;
mod deletion;
mod listing;
mod look_ups;
mod news;
mod slices;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{OptionFuture, try_join_all};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::destination::Destination;
use crate::ledger::{
    self, Ask, Class, DeliveryId, DeliveryIds, Identity, Ledger, MessageId, MessageIds, Retrieved, Settled,
    Slice, State,
};
use crate::message::{
    AccountName, DestinationName, Import, JUNK, LeaveCopy, Mark, Message, NOTICE, Outgoing, Quirks, Route,
    Takers, Verdict, takers,
};
use crate::pop3::{self, Refused, Retrieval, Session};
use crate::schedule::Schedule;

use batch::{Answered, Batch, Item, Load, Numbers, Parcel, Sent};
use listing::Mailbox;
use slices::{Uncovered, View};

pub use budget::Budget;
pub use news::{OUTCOMES, Progress};

/// What the config says of an account, beyond how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub leave_copy: LeaveCopy,
    pub import: Import,
    pub routes: Vec<Route>,
    pub takers: Takers,
}

/// An account, ready to be polled.
#[derive(Debug)]
pub struct Account {
    pub name: AccountName,
    pub pop3: pop3::Settings,
    pub connector: pop3::Connector,
    pub schedule: Schedule,
    pub settings: Settings,
    /// What is known of its server.
    pub quirks: Quirks,
    /// Cancelled when another config takes its place, or it has none any more: its poll under way then ends after the
    /// batches in hand, and deletes nothing more.
    pub replaced: CancellationToken,
}

impl Account {
    /// Whether a poll of the one would do the same as a poll of the other.
    pub fn is_like(&self, other: &Account) -> bool {
        self.pop3.is_like(&other.pop3) && self.settings == other.settings && self.quirks == other.quirks
    }
}

/// Says what time it is.
pub type Clock = fn() -> DateTime<Utc>;

/// What all polls share.
#[derive(Debug)]
pub struct Context {
    pub ledger: Arc<Ledger>,
    pub destinations: BTreeMap<DestinationName, Arc<Destination>>,
    /// The folder for what is too large for memory.
    pub spool: PathBuf,
    pub budget: Arc<Budget>,
    pub stop: CancellationToken,
    pub now: Clock,
    pub progress: broadcast::Sender<Progress>,
}

/// What a poll did: its row in the history, its line in the log.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub new: u64,
    pub delivered: u64,
    /// Deliveries that are still to be made when the poll ends.
    pub deferred: u64,
    pub parked: u64,
    /// Attempts in vain that are to be made again.
    pub put_off: u64,
    pub deleted: u64,
    pub bytes: u64,
    pub error: Option<(Class, String)>,
    /// The least time that the server wants between two logins (RFC 2449 section 6.6, or a quirk).
    pub login_delay: Option<Duration>,
    pub took: Duration,
}

/// What can end a poll early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error(transparent)]
    Account(#[from] pop3::Error),
    /// No failure, but an early end: see [`Account::replaced`].
    #[error("another config has taken its place")]
    Replaced,
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

/// After so long no session begins another batch, even if nothing waits for its end.
const SESSION_TIME: Duration = Duration::from_secs(60 * 60);

/// How many due messages are asked for at a time.
const PAGE: usize = 2000;

/// Octets that a batch may take of the memory unlisted.
const LEEWAY: u64 = 64 << 10;

/// How often a session that waits for a delivery shows that it is alive (RFC 1939 section 3 allows 10 minutes).
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Polls `account` once and records it. `regardless` is `fetch`: deferred messages and resting destinations are
/// tried now, save where a destination named the time itself.
///
/// # Errors
/// Only the ledger's: whatever else goes wrong is in the summary, and in the ledger.
pub async fn poll(context: &Context, account: &Account, regardless: bool) -> Result<Summary, ledger::Error> {
    if context.stop.is_cancelled() || account.replaced.is_cancelled() {
        // It waited for its turn, and nothing has begun: the next start will find it due.
        return Ok(Summary::default());
    }
    let mut poll = Poll {
        context,
        account,
        ask: Ask {
            account: account.name.clone(),
            routes: account.settings.routes.iter().map(|route| route.to.clone()).collect(),
            limit: PAGE,
            regardless,
        },
        most: batch::most(destinations(context, account).map(Destination::at_once)),
        taken: account.settings.routes.iter().map(|route| (route.to.clone(), folders_of(route))).collect(),
        resting: Vec::new(),
        handled: Vec::new(),
        refused: Vec::new(),
        tried: DeliveryIds::default(),
        summary: Summary { login_delay: account.quirks.login_delay, ..Summary::default() },
        deliveries: 0,
        done: 0,
        announced: MessageIds::default(),
        deletions_cut: 0,
        last_view: None,
        more_to_see: false,
        recovered: false,
        pipelining: false,
        listed: false,
        out_of_step: false,
        no_pipelining: false,
    };
    let started = (context.now)();
    let outcome = poll.run().await;
    poll.conclude(started, outcome).await
}

/// Those of its routes that there are.
fn destinations<'c>(context: &'c Context, account: &Account) -> impl Iterator<Item = &'c Destination> {
    account.settings.routes.iter().filter_map(|route| Some(&**context.destinations.get(&route.to)?))
}

/// The folders that a route's messages can go to.
fn folders_of(route: &Route) -> BTreeMap<String, OnceCell<Vec<u32>>> {
    [route.folder.as_str(), JUNK].map(|folder| (folder.to_owned(), OnceCell::new())).into()
}

struct Poll<'a> {
    context: &'a Context,
    account: &'a Account,
    ask: Ask,
    /// How many messages a batch may have.
    most: usize,
    /// For each route and folder the UIDs that the ledger knows, asked for once if they are needed.
    taken: BTreeMap<DestinationName, BTreeMap<String, OnceCell<Vec<u32>>>>,
    /// Destinations that turned out, during this poll, to take nothing now.
    resting: Vec<DestinationName>,
    /// What this session has retrieved, or was about to delete, with its numbers.
    handled: Vec<(MessageId, u32)>,
    /// What this session was refused with the word that it will pass. At its end it is known whose fault that is.
    refused: Vec<(MessageId, Refused)>,
    /// What this poll has tried: once is enough, however many sessions it takes.
    tried: DeliveryIds,
    summary: Summary,
    deliveries: u64,
    done: u64,
    /// Messages whose DELE was announced in this poll.
    announced: MessageIds,
    /// See [`PollRecord::deletions_cut`](crate::ledger::PollRecord::deletions_cut).
    deletions_cut: i32,
    /// What the last session that came to its end has shown.
    last_view: Option<View>,
    /// The last one has not shown all that the server would show.
    more_to_see: bool,
    /// A destination has begun to take mail again, so that more may be due of what a session has handled.
    recovered: bool,
    /// Whether the session under way, or the last one, is pipelining, and whether it came as far as a listing.
    pipelining: bool,
    listed: bool,
    /// The server got out of step in a session. Another one has begun, and will be the last.
    out_of_step: bool,
    /// It did so while commands were pipelined.
    no_pipelining: bool,
}

/// A batch as it was retrieved: what arrived before the session broke, if it did, is still good.
#[derive(Default)]
struct Fetched {
    batch: Option<Batch>,
    /// What became of messages that did not arrive.
    not_arrived: Vec<Settled>,
    refused: Vec<(MessageId, Refused)>,
    broken: Option<pop3::Error>,
}

/// What became of a batch.
#[derive(Default)]
struct Delivered {
    settled: Vec<Settled>,
    /// Messages that may be deleted at their source, by their numbers in this session.
    deletable: Vec<(MessageId, u32)>,
    bytes: u64,
    /// Destinations that take nothing more for now.
    resting: Vec<DestinationName>,
    /// A destination takes mail again.
    recovered: bool,
}

/// What a session has carried so far.
struct Carried {
    began: Instant,
    /// Messages that may be deleted at their source, by their numbers in this session.
    deletable: Vec<(MessageId, u32)>,
}

impl Carried {
    /// Whether the session should end, so that its deletions take effect, or because it has lasted long.
    fn is_full(&self) -> bool {
        let longest = if self.deletable.is_empty() { SESSION_TIME } else { PORTION_TIME };
        self.deletable.len() >= PORTION_MESSAGES || self.began.elapsed() >= longest
    }
}

/// What one step brought, of three batches: the one retrieved, the one sent, and the one settled.
struct Step {
    fetched: Fetched,
    answered: Option<Answered>,
    delivered: Delivered,
}

impl Poll<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        self.look_up().await?;
        let mut portion = Portion::More;
        while portion == Portion::More && !self.is_ending() {
            portion = match self.session().await {
                // Pipelining may be at fault, or one message, which then holds up no other.
                Err(Failure::Account(error @ pop3::Error::OutOfStep { .. }))
                    if !self.out_of_step && (self.pipelining || self.listed) =>
                {
                    debug!(account = %self.account.name, %error, "the next session goes without pipelining");
                    self.out_of_step = true;
                    self.no_pipelining = self.pipelining;
                    match self.may_log_in_again() {
                        Portion::More => Portion::More,
                        Portion::Done => return Err(error.into()),
                    }
                }
                // It is parked: the others need a new session, and no patience but the server's.
                Err(Failure::Account(pop3::Error::MessageTooLarge)) => self.may_log_in_again(),
                outcome => outcome?,
            };
        }
        Ok(())
    }

    async fn session(&mut self) -> Result<Portion, Failure> {
        self.handled.clear();
        self.refused.clear();
        let past = self.context.ledger.past(&self.account.name).await?;
        let quirks =
            Quirks { no_pipelining: past.no_pipelining || self.no_pipelining, ..self.account.quirks };
        (self.pipelining, self.listed) = (false, false);
        let view = self.view(&past).await?;
        let pop3 = match view {
            View::Whole | View::Slice => Cow::Borrowed(&self.account.pop3),
            View::Recent { .. } => Cow::Owned(self.account.pop3.recent()),
        };
        let mut session = Session::open(&self.account.connector, &pop3, quirks).await?;
        self.pipelining = session.is_pipelining();
        self.summary.login_delay = session.capabilities().login_delay.max(self.account.quirks.login_delay);
        let mailbox = self.list(&mut session, &past, view).await?;
        // As some servers hang up at QUIT, this is how it is known that a session has lasted long enough.
        self.deletions_cut -= i32::from(mailbox.gone > 0);
        self.listed = true;
        let carried = self.carry(&mut session, &mailbox).await;
        if let Err(Failure::Ledger(error)) = carried {
            return Err(error.into());
        }
        let withheld = self.judge_refusals(&session).await?;
        let portion = carried.map_err(|failure| rather(failure, withheld.as_ref()))?;
        let deleted = self.delete_overdue(&mut session, &mailbox, &past).await;
        let has_compared = deleted.map_err(|failure| rather(failure, withheld.as_ref()))?;
        let is_held = self.must_not_quit(&session).await?;
        let uncovered = match view {
            View::Slice if !is_held && withheld.is_none() => {
                self.uncover(&mut session, &mailbox, &past).await?
            }
            _ => Uncovered::default(),
        };
        // With another config nothing may be to be deleted, or hidden.
        let has_quit = !is_held && !self.is_replaced() && self.quit(session).await?;
        self.deletions_cut -= i32::from(has_compared);
        if view == View::Slice {
            let hidden = (uncovered.all && has_quit).then_some(mailbox.hash);
            let slice = Slice { is_last: uncovered.is_last, hidden };
            self.context.ledger.note_slice(&self.account.name, past.epoch, slice, self.now()).await?;
        }
        if let Some(refused) = withheld {
            return Err(pop3::Error::Refused(refused).into());
        }
        // Deletions that have no effect must not bring one session after the other, nor may the server be hurried.
        let is_futile = self.last_view.replace(view) == Some(view) && mailbox.gone == 0;
        // What was retrieved is hidden now, and the next slice can be seen.
        self.more_to_see = uncovered.some || view == (View::Recent { is_all: false });
        if is_futile || self.may_log_in_again() == Portion::Done {
            return Ok(Portion::Done);
        }
        let more_to_send = std::mem::take(&mut self.recovered) && self.more_to_send().await?;
        Ok(if self.more_to_see || more_to_send { Portion::More } else { portion })
    }

    /// Each message that was refused for now counts a try, unless the server has handed out nothing more: then that is the
    /// account's trouble, whose reason is returned, and the next session begins with other messages.
    async fn judge_refusals(&mut self, session: &Session) -> Result<Option<Refused>, Failure> {
        let refused = std::mem::take(&mut self.refused);
        let withheld = refused.last().filter(|_| session.withholds_messages()).map(|(_, last)| last.clone());
        let reasons = refused.into_iter().map(|(id, refused)| (id, refused.to_string()));
        let mut settled = Vec::new();
        if withheld.is_some() {
            settled = self.context.ledger.withheld(reasons.collect(), self.now()).await?;
        } else {
            for (id, reason) in reasons {
                settled.extend(self.context.ledger.cut_short(id, reason, self.now()).await?);
            }
        }
        self.tried.extend(settled.iter().map(|settled| settled.delivery));
        self.note(Delivered { settled, ..Delivered::default() });
        Ok(withheld)
    }

    /// Whether anything of this account can be sent now.
    async fn more_to_send(&self) -> Result<bool, Failure> {
        let now = self.now();
        let agenda = self.context.ledger.agenda(now).await?;
        let ours = agenda.iter().find(|entry| entry.account == self.account.name);
        Ok(ours.and_then(|entry| entry.work_at).is_some_and(|at| at <= now))
    }

    /// Returns whether the server has said that it ends the session.
    async fn quit(&self, session: Session) -> Result<bool, Failure> {
        match session.quit().await {
            // Some servers hang up instead of answering. What is gone shows in the next listing.
            Err(error) if error.class() == pop3::Class::Network => {
                debug!(account = %self.account.name, %error, "no answer to QUIT");
                Ok(false)
            }
            outcome => Ok(outcome.map(|()| true)?),
        }
    }

    /// A server that wants time between two logins is asked for the rest by the next poll.
    fn may_log_in_again(&self) -> Portion {
        if self.summary.login_delay.is_some() { Portion::Done } else { Portion::More }
    }

    /// At QUIT some servers drop what was retrieved (EXPIRE 0), and some hide it. So there is none while any of it waits;
    /// then the server does neither. What is parked may be hidden, for it is still there, and it would hold back all mail
    /// behind it; where it would be dropped, it counts as waiting. Who hides says EXPIRE 0, too, and means that.
    async fn must_not_quit(&self, session: &Session) -> Result<bool, Failure> {
        let hides = self.account.quirks.hides_retrieved;
        let is_dropped = session.capabilities().retrieved_is_gone() && !hides;
        if !is_dropped && !hides {
            return Ok(false);
        }
        let handled: Vec<MessageId> = self.handled.iter().map(|(id, _)| *id).collect();
        Ok(self.context.ledger.any_waits(&handled, is_dropped).await?)
    }

    /// Carries what is due, page by page, and deletes behind it what may go.
    async fn carry(&mut self, session: &mut Session, mailbox: &Mailbox) -> Result<Portion, Failure> {
        let mut numbers = Numbers::of(&mailbox.listing, &mailbox.vague);
        let mut seen = MessageIds::default();
        let mut carried = Carried { began: Instant::now(), deletable: Vec::new() };
        while !carried.is_full() && !session.hands_out_nothing() {
            let queue = self.due(&mut numbers, &mut seen).await?;
            if queue.is_empty() {
                break;
            }
            self.carry_page(session, queue, &mut carried).await?;
        }
        self.delete(session, &carried.deletable).await?;
        Ok(if carried.is_full() { Portion::More } else { Portion::Done })
    }

    /// Carries what is in the queue, batch by batch. When the session breaks, what has arrived is still delivered.
    async fn carry_page(
        &mut self,
        session: &mut Session,
        mut queue: VecDeque<Item>,
        carried: &mut Carried,
    ) -> Result<(), Failure> {
        let (mut current, mut answered, mut broken) = (None, None, None);
        loop {
            let is_over = carried.is_full() || session.hands_out_nothing() || self.is_ending();
            let goes_on = broken.is_none() && !is_over;
            let items = if goes_on { batch::next(&mut queue, self.most, &self.resting) } else { Vec::new() };
            if items.is_empty() && current.is_none() && answered.is_none() {
                return broken.map_or(Ok(()), |error: pop3::Error| Err(error.into()));
            }
            let step = self.step(session, items, current.take(), answered.take()).await?;
            self.tried.extend(step.delivered.settled.iter().map(|settled| settled.delivery));
            carried.deletable.extend(self.note(step.delivered));
            let Fetched { batch, not_arrived, refused, broken: ended } = step.fetched;
            self.refused.extend(refused);
            // They may be tried again in another session of this poll.
            let settled: Vec<DeliveryId> = not_arrived.iter().map(|settled| settled.delivery).collect();
            self.note(Delivered { settled: not_arrived, ..Delivered::default() });
            if let Some(batch) = &batch {
                self.summary.new = self.summary.new.saturating_sub(batch.known);
                self.handled.extend(batch.retrieved.iter().copied());
                if ended.is_none() {
                    let deliveries = batch.parcels.iter().flat_map(|parcel| &parcel.deliveries);
                    self.tried.extend(deliveries.map(|delivery| delivery.id));
                    self.tried.extend(settled);
                }
            }
            (current, answered) = (batch, step.answered);
            broken = broken.or(ended);
            self.resting.extend(answered.iter().flat_map(Answered::resting));
        }
    }

    /// Messages that want to be retrieved, each with its number in this session.
    async fn due(
        &mut self,
        numbers: &mut Numbers<'_>,
        seen: &mut MessageIds,
    ) -> Result<VecDeque<Item>, Failure> {
        // Nothing is reserved for a destination that this poll leaves alone: others may try it.
        let mut ask = self.ask.clone();
        ask.routes.retain(|route| !self.resting.contains(route));
        let mut due = self.context.ledger.due(&ask, self.now()).await?;
        due.retain_mut(|due| {
            due.deliveries.retain(|delivery| !self.tried.contains(delivery.id));
            !due.deliveries.is_empty() && seen.insert(due.id)
        });
        // A large mailbox without news costs nothing.
        if due.is_empty() {
            return Ok(VecDeque::new());
        }
        let wanted: Vec<_> = due.iter().map(|due| (due.id, &due.uidl, due.size)).collect();
        let numbers = numbers.take(&wanted);
        let items = due.into_iter().zip(numbers);
        let items: VecDeque<Item> =
            items.filter_map(|(due, number)| Some(Item { number: number?, due })).collect();
        let deliveries = items.iter().map(|item| item.due.deliveries.len() as u64).sum::<u64>();
        self.deliveries = self.deliveries.max(self.done + deliveries);
        Ok(items)
    }

    /// Retrieves one batch while the one before it is sent and the one before that is settled.
    async fn step(
        &self,
        session: &mut Session,
        items: Vec<Item>,
        current: Option<Batch>,
        answered: Option<Answered>,
    ) -> Result<Step, Failure> {
        let others_done = CancellationToken::new();
        let delivering = async {
            let _told = others_done.clone().drop_guard();
            let sending = OptionFuture::from(current.map(|batch| self.send(batch)));
            let settling = OptionFuture::from(answered.map(|answered| self.settle(answered)));
            tokio::join!(sending, settling)
        };
        let retrieving = self.retrieve_meanwhile(session, items, &others_done);
        let (fetched, (answered, delivered)) = tokio::join!(retrieving, delivering);
        Ok(Step {
            fetched: fetched?,
            answered: answered.transpose()?,
            delivered: delivered.transpose()?.unwrap_or_default(),
        })
    }

    /// Retrieves a batch, if there is one to retrieve, and keeps the session alive until `others_done`.
    async fn retrieve_meanwhile(
        &self,
        session: &mut Session,
        items: Vec<Item>,
        others_done: &CancellationToken,
    ) -> Result<Fetched, Failure> {
        let mut fetched = match self.retrieve(session, items).await {
            Ok(fetched) => fetched,
            // The session is over, but not what is under way beside it.
            Err(Failure::Account(error)) => Fetched { broken: Some(error), ..Fetched::default() },
            Err(failure) => return Err(failure),
        };
        if fetched.broken.is_none() {
            fetched.broken = keep_alive(session, others_done.cancelled()).await.err();
        }
        Ok(fetched)
    }

    /// Retrieves a batch, and keeps of it what the ledger says is really due.
    async fn retrieve(&self, session: &mut Session, items: Vec<Item>) -> Result<Fetched, Failure> {
        if items.is_empty() {
            return Ok(Fetched::default());
        }
        let ledger = &self.context.ledger;
        let weight = batch::weight(&items);
        let permit = keep_alive(session, self.context.budget.take(weight)).await?;
        let opened: Vec<MessageId> = items.iter().map(|item| item.due.id).collect();
        ledger.open_batch(&opened).await?;

        let numbers: Vec<u32> = items.iter().map(|item| item.number).collect();
        // What was listed is a hint, often short by the CRs; what arrives far beyond it goes to temporary files.
        let memory = u64::from(weight) * 1280 + LEEWAY;
        let too_slow = self.holds_others_up(batch::patience(&items, self.account.pop3.max_size));
        let mut outcome = session.retrieve_within(&numbers, &self.context.spool, memory, too_slow).await;
        if outcome.error.is_none() && batch::ends_short(&items, &outcome.messages) {
            session.confirm_last(&mut outcome).await;
        }
        let mut not_arrived = match &outcome.error {
            Some(error) if error.class() == pop3::Class::Network && !session.has_just_refused() => {
                self.cut_off(&items, &outcome, error).await?
            }
            _ => Vec::new(),
        };
        let common = batch::common_refusals(&outcome.messages);
        let (mut arrived, mut withheld) = (Vec::with_capacity(items.len()), Vec::new());
        for (item, (_, retrieval)) in items.into_iter().zip(outcome.messages) {
            match retrieval {
                Retrieval::Message(message) if !self.is_notice(&message) => arrived.push((item, message)),
                Retrieval::Refused(refused) if refused.is_passing() => {
                    self.log_failure(&item, "not retrieved", &refused.to_string());
                    withheld.push((item.due.id, refused));
                }
                other => not_arrived.extend(self.has_not_arrived(&item, other, &common).await?),
            }
        }
        let mut batch = self.identify(opened, arrived, permit).await?;
        not_arrived.extend(self.route(&mut batch).await?);
        Ok(Fetched { batch: Some(batch), not_arrived, refused: withheld, broken: outcome.error })
    }

    /// The connection was lost while `items` were retrieved.
    async fn cut_off(
        &self,
        items: &[Item],
        outcome: &pop3::Retrieved,
        error: &pop3::Error,
    ) -> Result<Vec<Settled>, Failure> {
        let ledger = &self.context.ledger;
        let Some(item) = items.get(outcome.messages.len()) else { return Ok(Vec::new()) };
        // What a server had still to send is lost with the connection, so that it may have been at a later one.
        if outcome.messages.is_empty() && !outcome.begun && items.len() > 1 {
            let ids: Vec<MessageId> = items.iter().map(|item| item.due.id).collect();
            ledger.go_alone(&ids).await?;
            return Ok(Vec::new());
        }
        let reason = format!("it could not be retrieved: {error}");
        Ok(ledger.cut_short(item.due.id, reason, self.now()).await?)
    }

    /// What is not carried on is put off, parked, or skipped. `common` are the words in which many were refused.
    async fn has_not_arrived(
        &self,
        item: &Item,
        retrieval: Retrieval,
        common: &HashSet<String>,
    ) -> Result<Vec<Settled>, Failure> {
        let (ledger, id, now) = (&self.context.ledger, item.due.id, self.now());
        Ok(match retrieval {
            Retrieval::Message(_) => {
                self.log_failure(item, "skipped", "a notice of this mailferry's own");
                ledger.skip(id, now).await?
            }
            Retrieval::Refused(refused) => {
                let reason = refused.to_string();
                self.log_failure(item, "not retrieved", &reason);
                match common.contains(&refused.text) {
                    true => ledger.cut_short(id, reason, now).await?,
                    false => ledger.not_retrieved(id, reason, now).await?,
                }
            }
            Retrieval::Torn { octets_seen } => {
                let reason = format!("it ended after {octets_seen} octets, and then came what is no reply");
                self.log_failure(item, "not retrieved", &reason);
                ledger.not_retrieved(id, reason, now).await?
            }
            Retrieval::TooLarge { .. } => {
                let reason = format!("larger than max_size, {} octets", self.account.pop3.max_size);
                self.log_failure(item, "parked", &reason);
                ledger.park(id, reason, now).await?
            }
        })
    }

    /// Notices are for whoever reads the mailbox that they were put into. Carried on, one that is refused would make the
    /// next one.
    fn is_notice(&self, message: &Message) -> bool {
        let mark = self.context.ledger.notice_mark();
        !mark.is_empty() && message.field(NOTICE).is_some_and(|found| found == mark.as_bytes())
    }

    /// Returns when a batch has been under way for longer than `patience`, and others wait for the memory that it takes.
    async fn holds_others_up(&self, patience: Duration) {
        tokio::time::sleep(patience).await;
        self.context.budget.is_wanted().await;
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
        let mut batch = Batch { opened, retrieved: Vec::new(), parcels: Vec::new(), known: 0, permit };
        let mut stand_ins = Vec::new();
        for ((item, message), identity) in arrived.into_iter().zip(identities) {
            batch.retrieved.push((identity.id, item.number));
            batch.known += u64::from(identity.id != item.due.id);
            // Recognised as an older row, it is that one which is open.
            batch.opened.push(identity.id);
            if message.is_stand_in() {
                self.log_failure(
                    &item,
                    "left at its source",
                    "a notice of the server's in the place of a message",
                );
                stand_ins.push(identity.id);
            }
            if !identity.deliveries.is_empty() {
                let Identity { id, uidl, deliveries } = identity;
                batch.parcels.push(Parcel { id, uidl, message, deliveries });
            }
        }
        // Before any of it is delivered, from when on it could be deleted.
        if !stand_ins.is_empty() {
            self.context.ledger.keep_stand_ins(&stand_ins).await?;
        }
        Ok(batch)
    }

    /// Takes out of a batch what is not to go where it is due, by the config. Returns what became of that.
    async fn route(&self, batch: &mut Batch) -> Result<Vec<Settled>, Failure> {
        let settings = &self.account.settings;
        if settings.takers == Takers::All && settings.routes.iter().all(|route| route.when.is_none()) {
            return Ok(Vec::new());
        }
        let (mut skipped, mut settled) = (Vec::new(), Vec::new());
        for parcel in &mut batch.parcels {
            let takes = match takers(&settings.routes, settings.takers, &parcel.message).await {
                Ok(takes) => takes,
                Err(fault) => {
                    let reason = fault.to_string();
                    settled.extend(self.context.ledger.cut_short(parcel.id, reason, self.now()).await?);
                    parcel.deliveries.clear();
                    continue;
                }
            };
            let skips: HashSet<&DestinationName> = settings
                .routes
                .iter()
                .zip(takes)
                .filter(|(_, takes)| !takes)
                .map(|(route, _)| &route.to)
                .collect();
            let out = parcel.deliveries.extract_if(.., |delivery| skips.contains(&delivery.destination));
            skipped.extend(out.map(|delivery| delivery.id));
        }
        batch.parcels.retain(|parcel| !parcel.deliveries.is_empty());
        if !skipped.is_empty() {
            settled.extend(self.context.ledger.not_routed(skipped, self.now()).await?);
        }
        Ok(settled)
    }

    /// Sends a batch to all its destinations side by side, and hands on what they say. The messages are not needed
    /// after that, so their memory is free.
    async fn send(&self, batch: Batch) -> Result<Answered, Failure> {
        let routes = self.account.settings.routes.iter();
        let sent =
            routes.map(async |route| Ok((route.to.clone(), self.send_to(route, &batch.parcels).await?)));
        let all = try_join_all(sent).await.map_err(|error: ledger::Error| error)?;
        let (mut sent, mut spent) = (Vec::new(), Vec::new());
        for (destination, (theirs, is_spent)) in all {
            spent.extend(is_spent.then(|| destination.clone()));
            if !theirs.is_empty() {
                sent.push((destination, theirs));
            }
        }
        let octets = batch.parcels.iter().map(|parcel| parcel.message.octets()).sum();
        Ok(Answered { opened: batch.opened, retrieved: batch.retrieved, octets, sent, spent })
    }

    /// The marks are in the ledger before the first byte goes out. Returns also whether nothing more is to be sent there, as
    /// the destination's budget is used up: what was not sent stays due.
    async fn send_to(&self, route: &Route, parcels: &[Parcel]) -> Result<(Vec<Sent>, bool), ledger::Error> {
        let load: Vec<Load> = parcels.iter().filter_map(|parcel| Load::for_route(parcel, route)).collect();
        let destination = self.context.destinations.get(&route.to);
        let Some(destination) = destination.filter(|_| !load.is_empty() && !self.resting.contains(&route.to))
        else {
            return Ok((Vec::new(), false));
        };
        let messages: Vec<&Message> = load.iter().map(|load| &load.parcel.message).collect();
        let marks = match destination.prepare(route, &messages).await {
            Ok(marks) => marks,
            Err(verdict) => {
                return Ok((load.iter().map(|load| load.sent(verdict.clone())).collect(), false));
            }
        };
        let (mut sent, load, marks) = self.find_past(route, destination, load, marks).await?;
        if load.is_empty() {
            return Ok((sent, false));
        }
        let spent: u64 = marks.iter().map(|mark| mark.octets).sum();
        if destination.has_budget()
            && let Err(reason) = self.context.ledger.spend(&route.to, spent, self.now()).await?
        {
            info!(destination = %route.to, state = "paused", reason, "this destination has changed its state");
            return Ok((sent, true));
        }
        let (held_up, load, outgoing) = self.attempt(load, marks).await?;
        sent.extend(held_up);
        let verdicts = destination.deliver(route, &outgoing).await;
        if destination.has_budget() {
            let there = verdicts.iter().zip(&outgoing).filter(|(verdict, _)| verdict.may_be_there());
            let there: u64 = there.map(|(_, outgoing)| outgoing.mark.octets).sum();
            if there < spent {
                self.context.ledger.give_back(&route.to, spent - there).await?;
            }
        }
        let shows_subjects = self.context.ledger.shows_subjects();
        sent.extend(load.iter().zip(verdicts).map(|(load, verdict)| {
            let sent = load.sent(verdict);
            if shows_subjects { sent.known_by(&load.parcel.message) } else { sent }
        }));
        Ok((sent, false))
    }

    /// Puts the marks into the ledger. Returns what it holds up, and what goes out.
    async fn attempt<'p>(
        &self,
        load: Vec<Load<'p>>,
        marks: Vec<Mark>,
    ) -> Result<(Vec<Sent>, Vec<Load<'p>>, Vec<Outgoing>), ledger::Error> {
        let attempts = load.iter().zip(&marks).map(|(load, mark)| load.attempt(mark)).collect();
        let held_up = self.context.ledger.attempting(attempts, self.now()).await?;
        let (mut waiting, mut going, mut outgoing) = (Vec::new(), Vec::new(), Vec::new());
        for (load, mark) in load.into_iter().zip(marks) {
            if held_up.contains(&load.delivery.id) {
                waiting.push(load.sent(Verdict::HeldUp));
            } else {
                outgoing.push(load.outgoing(&self.account.name, mark));
                going.push(load);
            }
        }
        Ok((waiting, going, outgoing))
    }

    /// Commits the verdicts on a batch, before anything builds on them, and says what may be deleted now.
    async fn settle(&self, answered: Answered) -> Result<Delivered, Failure> {
        let ledger = &self.context.ledger;
        let leave_copy = self.account.settings.leave_copy;
        let mut delivered = Delivered { bytes: answered.octets, ..Delivered::default() };
        for (destination, sent) in answered.sent {
            let verdicts = sent.iter().map(|sent| (sent.delivery, sent.verdict.clone())).collect();
            let settlement = ledger.settle(&destination, verdicts, leave_copy, self.now()).await?;
            self.log_settlement(&destination, &sent, &settlement);
            ledger.keep_subjects(batch::subjects(sent, &settlement.deliveries)).await?;
            delivered.settled.extend(settlement.deliveries);
            delivered.recovered |= settlement.turned.as_deref() == Some("ok");
            if settlement.is_closed {
                delivered.resting.push(destination);
            }
        }
        ledger.close_batch(&answered.opened).await?;
        if leave_copy != LeaveCopy::Forever {
            let ids: Vec<MessageId> = answered.retrieved.iter().map(|(id, _)| *id).collect();
            let may_go: HashSet<MessageId> =
                ledger.deletable(&ids, leave_copy, self.now()).await?.into_iter().collect();
            delivered.deletable =
                answered.retrieved.into_iter().filter(|(id, _)| may_go.contains(id)).collect();
        }
        Ok(delivered)
    }

    /// Counts what became of a batch, and hands on what may be deleted.
    fn note(&mut self, delivered: Delivered) -> Vec<(MessageId, u32)> {
        for settled in &delivered.settled {
            match settled.state {
                State::Delivered => self.summary.delivered += 1,
                State::Parked => self.summary.parked += 1,
                State::Due | State::Attempting | State::Deferred => self.summary.put_off += 1,
                State::Skipped | State::GivenUp => {}
            }
        }
        self.done += delivered.settled.len() as u64;
        self.resting.extend(delivered.resting);
        self.recovered |= delivered.recovered;
        self.summary.bytes += delivered.bytes;
        self.report();
        delivered.deletable
    }

    fn is_ending(&self) -> bool {
        self.context.stop.is_cancelled() || self.is_replaced()
    }

    /// Whether what goes beside the mail that is due, `began` so long ago, ends for now.
    fn has_enough(&self, session: &Session, began: Instant) -> bool {
        self.is_ending() || session.hands_out_nothing() || began.elapsed() >= PORTION_TIME
    }

    fn is_replaced(&self) -> bool {
        self.account.replaced.is_cancelled()
    }

    fn now(&self) -> DateTime<Utc> {
        (self.context.now)()
    }
}

/// A server that hangs up behind a refusal that will pass has said more by that.
fn rather(failure: Failure, withheld: Option<&Refused>) -> Failure {
    match (failure, withheld) {
        (Failure::Account(error), Some(refused)) if error.class() == pop3::Class::Network => {
            pop3::Error::Refused(refused.clone()).into()
        }
        (failure, _) => failure,
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

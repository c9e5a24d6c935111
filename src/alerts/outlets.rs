//! Telling what waits to be told: each teller by itself, so that one that is down, or slow, holds up no other.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Plan;
use super::ways::{Address, Outcome};
use crate::ledger::{self, Ledger, Notice, Way};
use crate::message::DestinationName;

/// Most mailboxes that are told something at the same time: each needs a connection.
const AT_ONCE: usize = 16;

/// Tells what waits, whenever there may be `news`, until `stop` is cancelled or the ledger cannot be used any more. What is
/// being told then is told to its end, so that it is not told again.
pub async fn run(
    ledger: &Ledger,
    mut plan: watch::Receiver<Arc<Plan>>,
    news: &Notify,
    stop: &CancellationToken,
) {
    let (mut outlets, places) = (Outlets::default(), Semaphore::new(AT_ONCE));
    let mut telling = FuturesUnordered::new();
    while !stop.is_cancelled() {
        let planned = plan.borrow_and_update().clone();
        for (address, notices) in outlets.waiting(&planned, ledger).await {
            outlets.known.entry(address.clone()).or_default().is_busy = true;
            telling.push(tell(ledger, &places, Arc::clone(&planned), address, notices));
        }
        tokio::select! {
            Some(done) = telling.next() => outlets.end(done, &plan.borrow()),
            () = news.notified() => {}
            Ok(()) = plan.changed() => outlets.known.values_mut().for_each(Outlet::begin_anew),
            () = tokio::time::sleep_until(outlets.next_opening()) => {}
            () = stop.cancelled() => {}
            _ = ledger.failed() => return,
        }
    }
    while let Some(done) = telling.next().await {
        outlets.end(done, &plan.borrow());
    }
}

/// A telling that has ended.
struct Done {
    /// What it went by.
    plan: Arc<Plan>,
    address: Address,
    /// Whatever it died of concerns one teller.
    outcome: Result<Result<Outcome, ledger::Error>, Box<dyn Any + Send>>,
}

async fn tell(
    ledger: &Ledger,
    places: &Semaphore,
    plan: Arc<Plan>,
    address: Address,
    notices: Vec<Notice>,
) -> Done {
    let _place = match address.0 {
        Way::Mail => places.acquire().await.ok(),
        Way::Url | Way::Command => None,
    };
    let telling = async {
        match plan.tellers.at(&address) {
            Some(teller) => teller.tell(&notices, ledger).await,
            None => Ok(Outcome::Later(Duration::ZERO)),
        }
    };
    let outcome = AssertUnwindSafe(telling).catch_unwind().await;
    Done { plan, address, outcome }
}

/// How each teller has been doing.
#[derive(Default)]
struct Outlets {
    known: BTreeMap<Address, Outlet>,
    /// The ledger could not be read.
    is_failing: bool,
}

impl Outlets {
    /// What waits for those who can be told something now, the oldest first.
    async fn waiting(&mut self, plan: &Plan, ledger: &Ledger) -> BTreeMap<Address, Vec<Notice>> {
        match self.open(plan, ledger).await {
            Ok(waiting) => {
                self.is_failing = false;
                waiting
            }
            Err(error) => {
                if !mem::replace(&mut self.is_failing, true) {
                    warn!(%error, "nobody can be told what is wrong at present; it is tried again");
                }
                BTreeMap::new()
            }
        }
    }

    async fn open(
        &mut self,
        plan: &Plan,
        ledger: &Ledger,
    ) -> Result<BTreeMap<Address, Vec<Notice>>, ledger::Error> {
        let mut waiting: BTreeMap<Address, Vec<Notice>> = BTreeMap::new();
        let ways = plan.tellers.ways();
        for (way, title) in ledger.drop_stale_notices(Utc::now()).await? {
            if ways.contains(&way) {
                warn!(way = way.as_str(), title, "this could not be told for three days; it is dropped");
            }
        }
        for way in ways {
            let addresses = plan.tellers.addresses(way);
            for address in &addresses {
                self.look_again(address, ledger).await?;
            }
            // There may be thousands of notices for a way that is down.
            if !addresses.iter().any(|address| self.is_open(address)) {
                continue;
            }
            for notice in ledger.notices(way, Utc::now()).await? {
                let address = plan.tellers.address(way, &notice);
                if let Some(address) = address.filter(|address| self.is_open(address)) {
                    waiting.entry(address).or_default().push(notice);
                }
            }
        }
        Ok(waiting)
    }

    /// A mailbox that takes mail again need not rest any longer.
    async fn look_again(&mut self, address: &Address, ledger: &Ledger) -> Result<(), ledger::Error> {
        let Some(outlet) = self.known.get_mut(address) else { return Ok(()) };
        if let (Way::Mail, Some(failed_at), Some(name)) =
            (address.0, outlet.failed_at, DestinationName::new(&address.1))
            && ledger.has_delivered_since(&name, failed_at).await?
        {
            outlet.rest_no_longer();
        }
        Ok(())
    }

    fn is_open(&self, address: &Address) -> bool {
        self.known.get(address).is_none_or(|outlet| !outlet.is_busy && outlet.closed_until().is_none())
    }

    /// When the first of those that rest can be told something.
    fn next_opening(&self) -> Instant {
        let openings = self.known.values().filter(|outlet| !outlet.is_busy).filter_map(Outlet::closed_until);
        openings.min().unwrap_or_else(|| Instant::now() + LONGEST_REST)
    }

    fn end(&mut self, Done { plan, address, outcome }: Done, planned: &Arc<Plan>) {
        let (way, destination) = (address.0.as_str(), (address.0 == Way::Mail).then(|| address.1.clone()));
        let outlet = self.known.entry(address).or_default();
        outlet.is_busy = false;
        match outcome {
            Ok(Ok(Outcome::Told(notices))) => {
                outlet.worked();
                info!(way, notices, destination, "people were told");
            }
            Ok(Ok(Outcome::Later(after))) => outlet.rest(after),
            Ok(Ok(Outcome::Lost { reason, look_up })) => {
                outlet.rest(look_up);
                warn!(way, destination, error = %reason, "nobody knows whether people were told; it is looked for");
            }
            Ok(Ok(Outcome::Failed(reason))) => outlet.failed(way, destination.as_deref(), &reason),
            Ok(Err(error)) => outlet.failed(way, destination.as_deref(), &error.to_string()),
            Err(_) => {
                error!(
                    way,
                    destination, "a fault in mailferry kept people from being told; please report it"
                );
                outlet.failed(way, destination.as_deref(), "a fault in mailferry");
            }
        }
        if !Arc::ptr_eq(&plan, planned) {
            outlet.begin_anew();
        }
    }
}

/// At most so many notices in so much time; what comes then waits and is told together.
const BURST: usize = 5;
const BURST_TIME: Duration = Duration::from_secs(10 * 60);

/// How long a teller rests that did not work: doubling, from a minute to an hour.
const SHORTEST_REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// How one teller has been doing.
#[derive(Debug, Default)]
struct Outlet {
    /// It is telling something now.
    is_busy: bool,
    /// The latest [`BURST`] times it was used.
    used: VecDeque<Instant>,
    failures: u32,
    /// When it last did not work; until it does, or is asked again.
    failed_at: Option<DateTime<Utc>>,
    rests_until: Option<Instant>,
}

impl Outlet {
    /// `None` where it can be told something now.
    fn closed_until(&self) -> Option<Instant> {
        let oldest = self.used.front().filter(|_| self.used.len() >= BURST).map(|used| *used + BURST_TIME);
        self.rests_until.max(oldest).filter(|until| *until > Instant::now())
    }

    fn worked(&mut self) {
        self.begin_anew();
        self.used.push_back(Instant::now());
        let surplus = self.used.len().saturating_sub(BURST);
        self.used.drain(..surplus);
    }

    fn failed(&mut self, way: &str, destination: Option<&str>, error: &str) {
        if self.failures == 0 {
            warn!(way, destination, error, "people could not be told; it is tried again");
        }
        self.rest((SHORTEST_REST * 2_u32.pow(self.failures.min(6))).min(LONGEST_REST));
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(Utc::now());
    }

    fn rest(&mut self, time: Duration) {
        self.rests_until = Some(Instant::now() + time);
    }

    /// Something shows that it may work again. It is asked as soon as after a first failure, not each time that this is
    /// shown.
    fn rest_no_longer(&mut self) {
        self.failed_at = None;
        self.rests_until = self.rests_until.map(|until| until.min(Instant::now() + SHORTEST_REST));
    }

    /// What it did under another config says nothing.
    fn begin_anew(&mut self) {
        (self.failures, self.failed_at, self.rests_until) = (0, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(outlet: &Outlet) -> bool {
        outlet.closed_until().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_held_back_and_a_way_that_fails_rests() {
        let mut outlet = Outlet::default();
        for _ in 0..BURST {
            assert!(!is_closed(&outlet));
            outlet.worked();
        }
        assert!(is_closed(&outlet));
        tokio::time::advance(BURST_TIME).await;
        assert!(!is_closed(&outlet));
        for rest in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            outlet.failed("mail", None, "down");
            tokio::time::advance(Duration::from_secs(rest - 1)).await;
            assert!(is_closed(&outlet), "{rest}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!is_closed(&outlet), "{rest}");
        }
        outlet.failed("mail", None, "down");
        outlet.rest_no_longer();
        tokio::time::advance(SHORTEST_REST).await;
        assert!(!is_closed(&outlet), "its destination takes mail");
        outlet.failed("mail", None, "down");
        outlet.begin_anew();
        assert!(!is_closed(&outlet), "its config is another one");
    }
}

//! The first page: each account and each destination, how it is doing, and what can be done.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::answers::{Refusal, account_name, address, go, html};
use super::live::{Checking, Live};
use super::words::{When, count, counted, shown};
use super::{Page, Shared};
use crate::ledger::{
    AccountStatus, Configured, ConfiguredAccount, ConfiguredDestination, DestinationStatus, Polling, Request,
    Step,
};
use crate::message::{AccountName, DestinationName};

/// Accounts on one page.
const ON_A_PAGE: usize = 50;

/// Which accounts are shown: part of the address, so that it can be kept.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Shown {
    /// Counted from 1.
    #[serde(default)]
    page: usize,
    /// Part of a name.
    #[serde(default)]
    find: String,
    /// `attention`: only those that need some.
    #[serde(default)]
    show: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    overview: Overview,
}

#[derive(Template)]
#[template(path = "overview_body.html")]
struct OverviewBody {
    overview: Overview,
}

/// What the templates show.
struct Overview {
    /// How many accounts there are, and how they are.
    summary: String,
    /// Where the script asks for news.
    source: String,
    /// What follows an address of ours so that its answer leads back here; empty on the first page of all.
    here: String,
    /// A poll is under way: news will come soon.
    is_busy: bool,
    find: String,
    /// How many need attention, where that is not all there is to see.
    attention: u64,
    only_attention: bool,
    has_many: bool,
    cards: Vec<Card>,
    previous: Option<String>,
    next: Option<String>,
    destinations: Vec<DestinationCard>,
}

/// One account.
struct Card {
    name: String,
    source: String,
    /// ok, failing, waiting, paused or checking: a word for the style sheet.
    class: &'static str,
    state: &'static str,
    trouble: Option<Trouble>,
    progress: Option<Progress>,
    last_checked: Option<When>,
    next_check: Option<When>,
    delivered: String,
    pending: String,
    parked: String,
    has_parked: bool,
    /// Where there are any.
    unrouted: Option<String>,
    is_paused: bool,
    is_broken: bool,
    in_the_clear: bool,
    /// Somebody signs in for it at its provider.
    by_oauth: bool,
    /// When that ends, if it is soon.
    sign_in_ends: Option<When>,
    /// It has a file of its own, so that the page may change it.
    is_ours: bool,
    /// That file is understood, so that a form can show it.
    can_be_edited: bool,
}

struct Progress {
    words: String,
    done: u64,
    of: u64,
}

struct Trouble {
    /// Since when no mail has been retrieved; `None` where mail is, and only waits.
    since: Option<Since>,
    /// What to do about a password that was refused; empty where something else is wrong.
    steps: Vec<Step>,
    text: String,
    next_try: Option<When>,
}

enum Since {
    Day(When),
    Ever,
}

struct DestinationCard {
    name: String,
    kind: &'static str,
    class: &'static str,
    state: &'static str,
    error: String,
    in_the_clear: bool,
    by_oauth: bool,
    /// When the sign-in ends, if that is soon.
    sign_in_ends: Option<When>,
    /// Another try may help.
    can_retry: bool,
    /// A form can change how it is reached.
    can_be_edited: bool,
}

pub async fn page(State(page): Shared, Query(shown): Query<Shown>) -> Result<Response, Refusal> {
    Ok(html(&OverviewPage { overview: Overview::gather(&page, &shown).await? }))
}

/// What of the page changes by itself.
pub async fn live(State(page): Shared, Query(shown): Query<Shown>) -> Result<Response, Refusal> {
    Ok(html(&OverviewBody { overview: Overview::gather(&page, &shown).await? }))
}

/// How long to wait for a poll to begin, so that the page that follows shows it.
const UNTIL_IT_BEGINS: Duration = Duration::from_millis(1500);

pub async fn check_now(
    State(page): Shared,
    Path(account): Path<String>,
    Query(shown): Query<Shown>,
) -> Result<Response, Refusal> {
    let account = account_name(&account)?;
    if !is_configured(&page.house.configured.borrow(), account.as_str()) {
        return Err(Refusal::no_account(account.as_str()));
    }
    check(&page, account).await?;
    Ok(go(&shown.address("/")))
}

/// Has an account checked, and waits until that begins.
pub async fn check(page: &Page, account: AccountName) -> Result<(), Refusal> {
    let mut live = page.house.live.clone();
    page.house.visitor.request(&Request::Poll { account: account.clone() }, Utc::now()).await?;
    let begun = live.wait_for(|live| live.of(account.as_str()).is_some());
    // One that is over sooner than anybody could see it shows as just checked.
    let _ = tokio::time::timeout(UNTIL_IT_BEGINS, begun).await;
    Ok(())
}

/// Tries a destination again, with all that waits for it.
pub async fn retry(
    State(page): Shared,
    Path(destination): Path<String>,
    Query(shown): Query<Shown>,
) -> Result<Response, Refusal> {
    let none = || Refusal::not_found("There is no such destination");
    let destination = DestinationName::new(&destination).ok_or_else(none)?;
    if page.house.configured.borrow().destinations.iter().all(|known| known.name != destination) {
        return Err(none());
    }
    page.ask(&Request::Retry { account: None, id: None, destination: Some(destination) }).await?;
    Ok(go(&shown.address("/")))
}

impl Overview {
    async fn gather(page: &Page, wanted: &Shown) -> Result<Overview, Refusal> {
        let now = Utc::now();
        let configured = page.house.configured.borrow().clone();
        let live = page.house.live.borrow().clone();
        let status = page.house.visitor.report().status().await?.of(&configured);
        let all = status.accounts.len();
        let attention = status.accounts.iter().filter(|account| needs_attention(account)).count();
        let only_attention = wanted.show == "attention";
        let find = wanted.find.trim().to_lowercase();
        let found: Vec<&AccountStatus> = status
            .accounts
            .iter()
            .filter(|account| !only_attention || needs_attention(account))
            .filter(|account| account.name.to_lowercase().contains(&find))
            .collect();
        let pages = found.len().div_ceil(ON_A_PAGE).max(1);
        let at = wanted.page.clamp(1, pages);
        let of_config: HashMap<&str, &ConfiguredAccount> =
            configured.accounts.iter().map(|account| (account.name.as_str(), account)).collect();
        let cards = found.iter().skip((at - 1) * ON_A_PAGE).take(ON_A_PAGE);
        let cards: Vec<Card> = cards
            .map(|account| Card::of(account, of_config.get(account.name.as_str()).copied(), &live, now))
            .collect();
        // Both are short lists in the order of their names.
        let destinations = status.destinations.iter().map(|destination| {
            let mut known = configured.destinations.iter();
            let known = known.find(|known| known.name.as_str() == destination.name);
            DestinationCard::of(destination, known, now)
        });
        let destinations: Vec<DestinationCard> = destinations.collect();
        let paused = status.accounts.iter().filter(|account| account.paused).count();
        let ill = status.destinations.iter().filter(|known| known.state != "ok" && !known.passes).count();
        let to_page = |n: usize| (1..=pages).contains(&n).then(|| wanted.on(n).address("/"));
        Ok(Overview {
            summary: summary(all as u64, paused as u64, attention as u64, ill as u64),
            source: wanted.on(at).address("/live"),
            here: wanted.on(at).address(""),
            is_busy: cards.iter().any(|card| card.progress.is_some()),
            find: shown(&wanted.find),
            attention: attention as u64,
            only_attention,
            has_many: all > 10,
            cards,
            previous: to_page(at - 1),
            next: to_page(at + 1),
            destinations,
        })
    }
}

/// `attention` of `all` accounts need some, and `ill` destinations; `paused` are left alone.
fn summary(all: u64, paused: u64, attention: u64, ill: u64) -> String {
    if all == 0 && ill == 0 {
        return "There is no account yet.".into();
    }
    let accounts = counted(all, "account", "accounts");
    let accounts = match paused {
        0 => accounts,
        1 if all == 1 => format!("{accounts}, paused"),
        n if n == all => format!("{accounts}, all paused"),
        n => format!("{accounts}, {} paused", count(n)),
    };
    let destinations =
        if ill == 1 { "one destination".into() } else { counted(ill, "destination", "destinations") };
    match (attention, ill) {
        // Nobody looks, so that nobody knows.
        (0, 0) if paused == all => format!("{accounts}."),
        (0, 0) => format!("{accounts}. All is well."),
        (1, 0) => format!("{accounts}. One needs your attention."),
        (n, 0) => format!("{accounts}. {} need your attention.", count(n)),
        (0, 1) => format!("{accounts}. One destination needs your attention."),
        (0, _) => format!("{accounts}. {destinations} need your attention."),
        (1, _) => format!("{accounts}. One needs your attention, and {destinations}."),
        (n, _) => format!("{accounts}. {} need your attention, and {destinations}.", count(n)),
    }
}

fn needs_attention(account: &AccountStatus) -> bool {
    let is_wrong = account.error.as_ref().is_some_and(|error| !error.passes);
    !account.paused && is_wrong || account.parked > 0
}

impl Shown {
    /// The same, on another page.
    fn on(&self, page: usize) -> Shown {
        Shown { page, ..self.clone() }
    }

    /// An address of ours that shows this. It is made anew of its parts, so it leads nowhere else.
    pub fn address(&self, path: &str) -> String {
        let page = if self.page > 1 { self.page.to_string() } else { String::new() };
        address(path, &[("find", &self.find), ("show", &self.show), ("page", &page)])
    }
}

impl Card {
    fn of(
        account: &AccountStatus,
        configured: Option<&ConfiguredAccount>,
        live: &Live,
        now: DateTime<Utc>,
    ) -> Card {
        let is_broken = configured.is_some_and(|account| matches!(account.polling, Polling::Broken(_)));
        let by_oauth = configured.is_some_and(|account| account.by_oauth);
        let checking = live.of(&account.name);
        let (class, state) = match (&account.error, checking) {
            (_, Some(_)) => ("checking", "checking"),
            _ if account.paused => ("paused", "paused"),
            (Some(_), _) if account.is_failing() => ("failing", "failing"),
            (Some(_), _) => ("waiting", "waiting"),
            (None, _) if account.parked > 0 => ("waiting", "parked"),
            (None, _) => ("ok", "ok"),
        };
        Card {
            name: account.name.clone(),
            source: configured.map(|account| shown(&account.source)).unwrap_or_default(),
            class,
            state,
            trouble: (!account.paused).then(|| Trouble::of(account, by_oauth, now)).flatten(),
            progress: checking.map(|checking| Progress::of(checking, now)),
            last_checked: account.last_checked.map(|at| When::relative(at, now)),
            next_check: account.next_check.map(|at| When::relative(at.max(now), now)),
            delivered: count(account.delivered),
            pending: count(account.pending),
            parked: count(account.parked),
            has_parked: account.parked > 0,
            unrouted: (account.unrouted > 0).then(|| count(account.unrouted)),
            is_paused: account.paused,
            is_broken,
            in_the_clear: configured.is_some_and(|account| account.in_the_clear),
            by_oauth,
            sign_in_ends: account.sign_in_ends_soon(now).map(|ends| When::relative(ends, now)),
            is_ours: configured.is_some_and(|account| account.has_own_file),
            can_be_edited: configured.is_some_and(|account| !account.source.is_empty()),
        }
    }
}

impl Progress {
    fn of(checking: &Checking, now: DateTime<Utc>) -> Progress {
        Progress { words: checking.words(now), done: checking.done(), of: checking.deliveries() }
    }
}

impl Trouble {
    fn of(account: &AccountStatus, by_oauth: bool, now: DateTime<Utc>) -> Option<Trouble> {
        let error = account.error.as_ref()?;
        // A first import may break off after much has come.
        let broken_off = account.failing_since.filter(|_| account.delivered > 0);
        let since = account.is_failing().then(|| match account.last_success.or(broken_off) {
            Some(at) => Since::Day(When::since(at, now)),
            None => Since::Ever,
        });
        let steps = if account.login_refused && !by_oauth { steps(&account.steps) } else { Vec::new() };
        let next_try = error.next_try.map(|at| When::relative(at.max(now), now));
        Some(Trouble { since, steps, text: shown(&error.text), next_try })
    }
}

/// What a provider wants, or else what is likely.
fn steps(known: &[Step]) -> Vec<Step> {
    let text = "Check the user name, and type the password again.";
    let likely = || vec![Step { text: text.into(), link: None }];
    if known.is_empty() { likely() } else { known.to_vec() }
}

impl DestinationCard {
    fn of(
        destination: &DestinationStatus,
        configured: Option<&ConfiguredDestination>,
        now: DateTime<Utc>,
    ) -> DestinationCard {
        let is_broken = configured.is_some_and(|known| known.broken.is_some());
        let (class, state) = match destination.state.as_str() {
            _ if is_broken => ("failing", "cannot be used as the config has it; mend that first"),
            "ok" => ("ok", "takes mail"),
            "paused" if destination.passes => ("waiting", "has got as much as it may in a day"),
            "paused" => ("waiting", "tried with one message at a time"),
            "disabled" => ("failing", "takes no mail until you change it or try again"),
            _ => ("failing", "cannot be reached; tried again soon"),
        };
        DestinationCard {
            name: destination.name.clone(),
            kind: match destination.kind.as_str() {
                "webhook" => "webhook",
                "gmail" => "Gmail",
                _ => "IMAP",
            },
            class,
            state,
            error: destination.error.as_deref().map(shown).unwrap_or_default(),
            in_the_clear: configured.is_some_and(|known| known.in_the_clear),
            by_oauth: configured.is_some_and(|known| known.by_oauth),
            sign_in_ends: destination.sign_in_ends_soon(now).map(|ends| When::relative(ends, now)),
            can_retry: destination.state != "ok" && !destination.passes && !is_broken,
            can_be_edited: configured.is_some_and(|known| known.can_be_edited),
        }
    }
}

/// Whether the config names the account.
pub fn is_configured(configured: &Configured, account: &str) -> bool {
    configured.accounts.iter().any(|known| known.name.as_str() == account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Failure, Status};
    use crate::message::AccountName;

    #[test]
    fn a_refused_password_is_said_with_what_its_provider_wants() {
        let step = Step { text: "Yahoo needs an app password".into(), link: Some("https://here".into()) };
        let configured = ConfiguredAccount {
            steps: vec![step.clone()],
            ..ConfiguredAccount::new(AccountName::new("old").unwrap(), Polling::On)
        };
        let steps = |login_refused| {
            let text = "the login was refused".into();
            let error = Some(Failure { class: "account".into(), text, next_try: None, passes: false });
            let known = AccountStatus { name: "old".into(), error, login_refused, ..Default::default() };
            let status = Status { accounts: vec![known], destinations: Vec::new() };
            let configured = Configured { accounts: vec![configured.clone()], destinations: Vec::new() };
            let status = status.of(&configured);
            Trouble::of(&status.accounts[0], false, Utc::now()).unwrap().steps
        };
        assert_eq!((steps(true), steps(false)), (vec![step], vec![]));
    }

    #[test]
    fn no_card_that_needs_attention_looks_well() {
        let class = |parked| {
            let known = AccountStatus { name: "old".into(), parked, ..Default::default() };
            let card = Card::of(&known, None, &Live::default(), Utc::now());
            (needs_attention(&known), card.class, card.state)
        };
        assert_eq!(class(0), (false, "ok", "ok"));
        assert_eq!(class(1), (true, "waiting", "parked"));
    }

    #[test]
    fn the_summary_counts_all_that_is_not_well() {
        for (all, paused, attention, ill, text) in [
            (0, 0, 0, 0, "There is no account yet."),
            (2, 0, 0, 0, "2 accounts. All is well."),
            (2, 1, 0, 0, "2 accounts, 1 paused. All is well."),
            (1, 1, 0, 0, "1 account, paused."),
            (2, 2, 0, 0, "2 accounts, all paused."),
            (2, 2, 1, 0, "2 accounts, all paused. One needs your attention."),
            (2, 0, 0, 1, "2 accounts. One destination needs your attention."),
            (2, 0, 2, 0, "2 accounts. 2 need your attention."),
            (2, 0, 1, 2, "2 accounts. One needs your attention, and 2 destinations."),
        ] {
            assert_eq!(summary(all, paused, attention, ill), text);
        }
    }
}

//! What people see: status, history, parked. Reads only. The field names are a contract: people's scripts read them.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use sqlx::{FromRow, SqlitePool};

use super::columns::{content, int, moment, unsigned};
use super::{Error, MessageId, Step};
use crate::message::{AccountName, Content, Uidl, unix};

#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    pub accounts: Vec<AccountStatus>,
    pub destinations: Vec<DestinationStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccountStatus {
    pub name: String,
    #[serde(serialize_with = "rfc3339")]
    pub last_checked: Option<DateTime<Utc>>,
    /// The last poll without an error.
    #[serde(serialize_with = "rfc3339")]
    pub last_success: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    pub next_check: Option<DateTime<Utc>>,
    pub delivered: u64,
    /// Due, attempting or deferred, among what was listed last.
    pub pending: u64,
    pub parked: u64,
    #[serde(serialize_with = "rfc3339")]
    pub failing_since: Option<DateTime<Utc>>,
    pub error: Option<Failure>,
    /// Among what was listed last, what no entry of `deliver` takes.
    #[serde(skip_serializing_if = "is_zero")]
    pub unrouted: u64,
    /// When the sign-in for it ends, where its provider says so.
    #[serde(serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub sign_in_ends: Option<DateTime<Utc>>,
    /// The config says that it is not to be polled.
    #[serde(skip)]
    pub paused: bool,
    /// The error is that the login was refused.
    #[serde(skip)]
    pub login_refused: bool,
    /// What its provider wants then.
    #[serde(skip)]
    pub steps: Vec<Step>,
}

/// So long before a sign-in ends, people are told.
pub(super) const SOON: TimeDelta = TimeDelta::days(14);

impl AccountStatus {
    /// When the sign-in for it ends, if that is soon and a person has to see to it.
    pub fn sign_in_ends_soon(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if_soon(self.sign_in_ends, now)
    }

    /// Its own failure, not that of a destination or a message.
    pub fn is_failing(&self) -> bool {
        self.error.as_ref().is_some_and(|error| matches!(error.class.as_str(), "account" | "local"))
    }
}

fn if_soon(ends: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    ends.filter(|ends| *ends - now < SOON)
}

/// What the last poll failed of, or else what its mail waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: String,
    pub text: String,
    /// When what waits is tried again, where the ledger knows.
    pub next_try: Option<DateTime<Utc>>,
    /// Nobody need see to it: a daily budget is used up.
    pub passes: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.next_try {
            Some(at) => write!(f, "; next try {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => Ok(()),
        }
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut failure = serializer.serialize_struct("Failure", 2)?;
        failure.serialize_field("class", &self.class)?;
        failure.serialize_field("text", &self.to_string())?;
        failure.end()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DestinationStatus {
    pub name: String,
    pub kind: String,
    /// ok, failing, paused or disabled.
    pub state: String,
    pub error: Option<String>,
    /// When the sign-in for it ends, where its provider says so.
    #[serde(serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub sign_in_ends: Option<DateTime<Utc>>,
    /// It is paused and goes on by itself: its daily budget is used up.
    #[serde(skip)]
    pub passes: bool,
}

impl DestinationStatus {
    /// As [`AccountStatus::sign_in_ends_soon`].
    pub fn sign_in_ends_soon(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if_soon(self.sign_in_ends, now)
    }
}

/// Deliveries of one account that a destination has not taken, for a reason that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub account: String,
    pub destination: String,
    /// The destination's. Where it is ok, it is these messages that it does not take.
    pub state: String,
    pub reason: String,
    pub count: u64,
    /// When the first of them is tried again, or looked for, where the ledger knows.
    pub next_try: Option<DateTime<Utc>>,
    /// See [`Failure::passes`].
    pub passes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Poll {
    /// The newer, the larger.
    #[serde(skip)]
    pub id: i64,
    pub account: String,
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    pub ended: Option<DateTime<Utc>>,
    pub new: u64,
    pub delivered: u64,
    pub deleted: u64,
    pub bytes: u64,
    pub error: Option<String>,
    /// To the millisecond; to the second where it was not measured better.
    #[serde(skip)]
    pub took: TimeDelta,
}

/// What the polls of a quarter of an hour have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrivals {
    pub from: DateTime<Utc>,
    /// New messages, however many destinations each of them has.
    pub messages: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParkedDelivery {
    /// The message's: what `retry`, `give-up` and `export` take.
    pub id: i64,
    pub account: String,
    pub destination: String,
    /// Bytes outside printable ASCII are `\xNN`.
    pub uidl: String,
    pub size: Option<u64>,
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<DateTime<Utc>>,
    pub attempts: u64,
    pub reason: String,
    /// Where `web.subjects` is true.
    #[serde(skip)]
    pub subject: Option<String>,
}

/// A message that the ledger knows: enough to find it at its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: MessageId,
    pub account: AccountName,
    /// What it was last listed under.
    pub uidl: Uidl,
    pub size: Option<u64>,
    /// `None` until it was first retrieved.
    pub content: Option<Content>,
    /// It is in the latest listing.
    pub listed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// RFC 3339 in UTC, whole seconds; null where not yet known.
pub(super) fn rfc3339<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).serialize(serializer)
}

/// Reads the ledger for people.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) readers: SqlitePool,
    path: PathBuf,
}

impl Report {
    pub(super) fn new(readers: SqlitePool, path: &Path) -> Report {
        Report { readers, path: path.to_owned() }
    }

    /// All that the ledger knows, by name; [`Status::of`] keeps to what the config names.
    pub async fn status(&self) -> Result<Status, Error> {
        let accounts = "
            SELECT a.name, a.last_poll_at, a.last_success_at, a.next_poll_at, a.failing_since, a.error_class,
                a.error_text, a.refused_logins, a.delivered,
                (SELECT count(*) FROM deliveries d JOIN messages m ON m.id = d.message
                    WHERE d.account = a.id AND d.state IN ('due', 'attempting', 'deferred')
                        AND m.last_listing IS NULL) AS pending,
                (SELECT count(*) FROM deliveries d WHERE d.account = a.id AND d.state = 'parked') AS parked,
                (SELECT count(*) FROM messages m
                    WHERE m.account = a.id AND m.unrouted_at IS NOT NULL AND m.last_listing IS NULL) AS unrouted,
                (SELECT t.ends_at FROM tokens t WHERE t.holder = 'account/' || a.name AND t.ended IS NULL)
                    AS sign_in_ends
            FROM accounts a ORDER BY a.name";
        let accounts: Vec<AccountRow> =
            sqlx::query_as(accounts).fetch_all(&self.readers).await.map_err(self.fault())?;
        let destinations = "
            SELECT d.name, d.kind, d.state, d.error, d.budget_until IS NOT NULL,
                (SELECT t.ends_at FROM tokens t WHERE t.holder = 'destination/' || d.name AND t.ended IS NULL)
            FROM destinations d ORDER BY d.name";
        let destinations: Vec<(String, String, String, String, bool, Option<i64>)> =
            sqlx::query_as(destinations).fetch_all(&self.readers).await.map_err(self.fault())?;
        let destination = |(name, kind, state, error, passes, ends): (_, _, _, String, _, Option<i64>)| {
            let (error, sign_in_ends) = (Some(error).filter(|error| !error.is_empty()), ends.map(moment));
            DestinationStatus { name, kind, state, error, sign_in_ends, passes }
        };
        let mut accounts: Vec<AccountStatus> = accounts.into_iter().map(AccountStatus::from).collect();
        let waiting = self.waiting().await?;
        // The first of each account; those of one account stand together.
        let first = waiting.chunk_by(|one, next| one.account == next.account).map(|of_one| &of_one[0]);
        let first: HashMap<&str, &Waiting> = first.map(|first| (first.account.as_str(), first)).collect();
        let stateless = self.stateless().await?;
        for account in accounts.iter_mut().filter(|account| account.error.is_none()) {
            let damage = stateless.get(&account.name).map(|count| self.damage(*count));
            account.error = damage.or_else(|| first.get(account.name.as_str()).copied().map(Failure::from));
        }
        Ok(Status { accounts, destinations: destinations.into_iter().map(destination).collect() })
    }

    /// Of each account, how many deliveries of the latest listing are in a state that the schema does not allow:
    /// nothing is done about them, ever.
    async fn stateless(&self) -> Result<HashMap<String, u64>, Error> {
        // What lies between two words that are allowed is found by the index of the states, however many there are in these.
        let sql = "
            WITH gaps (low, high) AS (VALUES
                ('', 'attempting'), ('attempting', 'deferred'), ('deferred', 'delivered'), ('delivered', 'due'),
                ('due', 'given up'), ('given up', 'parked'), ('parked', 'skipped'), ('skipped', x''))
            SELECT a.name, count(*) FROM accounts a CROSS JOIN gaps
            CROSS JOIN deliveries d ON d.account = a.id AND d.state > gaps.low AND d.state < gaps.high
            JOIN messages m ON m.id = d.message
            WHERE m.last_listing IS NULL
            GROUP BY a.id";
        let rows: Vec<(String, i64)> =
            sqlx::query_as(sql).fetch_all(&self.readers).await.map_err(self.fault())?;
        Ok(rows.into_iter().map(|(name, count)| (name, unsigned(count))).collect())
    }

    fn damage(&self, count: u64) -> Failure {
        let text = format!(
            "{count} waiting: the ledger {} was damaged, and does not say any more what has become of them; restore it from a \
             backup, or move it away: a new one brings nothing into a folder twice",
            self.path.display()
        );
        Failure { class: "local".into(), text, next_try: None, passes: false }
    }

    /// What of the latest listings has not been taken by its destination, and why: for each account those first that
    /// wait for a whole destination.
    pub async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        // SQLite takes `d.reason` from the row with the least time: https://sqlite.org/lang_select.html#bareagg
        // CROSS JOIN keeps the order: the accounts first, as the index of the states is by account.
        let sql = "
            SELECT a.name AS account, t.name AS destination, t.state, t.error, d.reason, count(*) AS count,
                t.budget_until IS NOT NULL AS passes,
                min(CASE d.state WHEN 'deferred' THEN d.retry_at WHEN 'attempting' THEN d.look_up_at END)
                    AS retry_at
            FROM routes r
            JOIN accounts a ON a.id = r.account
            JOIN destinations t ON t.id = r.destination
            CROSS JOIN deliveries d ON d.account = r.account AND d.destination = r.destination
            JOIN messages m ON m.id = d.message
            WHERE d.state IN ('due', 'attempting', 'deferred') AND m.last_listing IS NULL
            GROUP BY a.id, t.id ORDER BY a.name, t.state = 'ok', t.name";
        let rows: Vec<WaitingRow> =
            sqlx::query_as(sql).fetch_all(&self.readers).await.map_err(self.fault())?;
        Ok(rows.into_iter().filter_map(WaitingRow::into_waiting).collect())
    }

    /// The configured accounts whose next poll was due before `time`.
    pub async fn overdue(&self, time: DateTime<Utc>) -> Result<Vec<(String, DateTime<Utc>)>, Error> {
        let sql = "
            SELECT name, next_poll_at FROM accounts
            WHERE configured = 1 AND next_poll_at < $1 ORDER BY next_poll_at";
        let rows: Vec<(String, i64)> =
            sqlx::query_as(sql).bind(unix(time)).fetch_all(&self.readers).await.map_err(self.fault())?;
        Ok(rows.into_iter().map(|(name, due_at)| (name, moment(due_at))).collect())
    }

    /// The latest polls, the newest first, at most `limit`: of one account or all, and of those before the poll
    /// `before` where that is given.
    pub async fn history(
        &self,
        account: Option<&AccountName>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Poll>, Error> {
        // Two statements, so that those of one account are found by their index.
        let sql = match account {
            Some(_) => {
                "
                SELECT p.id, a.name, p.started, p.ended, p.new, p.delivered, p.deleted, p.bytes, p.error, p.took
                FROM polls p JOIN accounts a ON a.id = p.account
                WHERE p.account = (SELECT id FROM accounts WHERE name = $1) AND p.id < $2
                ORDER BY p.id DESC LIMIT $3"
            }
            None => {
                "
                SELECT p.id, a.name, p.started, p.ended, p.new, p.delivered, p.deleted, p.bytes, p.error, p.took
                FROM polls p JOIN accounts a ON a.id = p.account
                WHERE $1 IS NULL AND p.id < $2
                ORDER BY p.id DESC LIMIT $3"
            }
        };
        let rows: Vec<PollRow> = sqlx::query_as(sql)
            .bind(account.map(AccountName::as_str))
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(self.fault())?;
        Ok(rows.into_iter().map(Poll::from).collect())
    }

    /// How much each quarter of an hour since `since` has brought, the oldest first; those that brought nothing are
    /// left out.
    pub async fn arrivals(
        &self,
        account: &AccountName,
        since: DateTime<Utc>,
    ) -> Result<Vec<Arrivals>, Error> {
        // Quarters, so that a reader in any time zone can make days of them: Nepal is 5:45 ahead. The ids grow with
        // time, and are what the index is by.
        let sql = "
            SELECT p.started / 900 * 900, sum(p.new) FROM polls p
            WHERE p.account = (SELECT id FROM accounts WHERE name = $1)
                AND p.id >= coalesce((SELECT id FROM polls WHERE ended >= $2 ORDER BY ended LIMIT 1), 0)
                AND p.started >= $2 AND p.new > 0
            GROUP BY 1 ORDER BY 1";
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql)
            .bind(account.as_str())
            .bind(unix(since))
            .fetch_all(&self.readers)
            .await
            .map_err(self.fault())?;
        let arrivals = |(from, messages)| Arrivals { from: moment(from), messages: unsigned(messages) };
        Ok(rows.into_iter().map(arrivals).collect())
    }

    /// What was given up for now, the oldest first, at most `limit` after the first `skipped`: of one account or all.
    pub async fn parked(
        &self,
        account: Option<&AccountName>,
        skipped: u64,
        limit: u32,
    ) -> Result<Vec<ParkedDelivery>, Error> {
        // The accounts come first: the index of the states is by account.
        let sql = "
            SELECT m.id, a.name AS account, t.name AS destination, m.uidl, coalesce(m.size, m.octets) AS size,
                d.since, d.attempts, d.reason, d.subject
            FROM accounts a
            CROSS JOIN deliveries d ON d.account = a.id
            JOIN messages m ON m.id = d.message
            JOIN destinations t ON t.id = d.destination
            WHERE d.state = 'parked' AND a.name = coalesce($1, a.name) ORDER BY d.since, d.id LIMIT $2 OFFSET $3";
        let rows: Vec<ParkedRow> = sqlx::query_as(sql)
            .bind(account.map(AccountName::as_str))
            .bind(i64::from(limit))
            .bind(int(skipped))
            .fetch_all(&self.readers)
            .await
            .map_err(self.fault())?;
        Ok(rows.into_iter().map(ParkedDelivery::from).collect())
    }

    /// A message by its id, in one account or any.
    pub async fn find(&self, account: Option<&AccountName>, id: MessageId) -> Result<Option<Kept>, Error> {
        let sql = "
            SELECT m.id, a.name AS account, m.uidl, m.size, m.content, m.last_listing IS NULL AS listed
            FROM messages m JOIN accounts a ON a.id = m.account
            WHERE m.id = $1 AND a.name = coalesce($2, a.name)";
        let row: Option<KeptRow> = sqlx::query_as(sql)
            .bind(id)
            .bind(account.map(AccountName::as_str))
            .fetch_optional(&self.readers)
            .await
            .map_err(self.fault())?;
        Ok(row.and_then(KeptRow::into_kept))
    }

    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub async fn must_know(&self, account: &AccountName) -> Result<(), Error> {
        let sql = "SELECT name FROM accounts ORDER BY name";
        let known: Vec<String> =
            sqlx::query_scalar(sql).fetch_all(&self.readers).await.map_err(self.fault())?;
        if known.iter().any(|known| known == account.as_str()) {
            return Ok(());
        }
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(Error::NoSuchAccount { name: account.to_string(), known })
    }

    /// The size of the ledger on disk: its file, and what is still to be worked into it.
    pub async fn octets(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let (file, log) = tokio::join!(tokio::fs::metadata(&self.path), tokio::fs::metadata(&log));
        [file, log].into_iter().flatten().map(|file| file.len()).sum()
    }

    pub(super) fn fault(&self) -> impl Fn(sqlx::Error) -> Error {
        |e| Error::sql(&self.path, &e)
    }
}

#[derive(FromRow)]
struct AccountRow {
    name: String,
    last_poll_at: Option<i64>,
    last_success_at: Option<i64>,
    next_poll_at: i64,
    delivered: i64,
    pending: i64,
    parked: i64,
    unrouted: i64,
    sign_in_ends: Option<i64>,
    failing_since: Option<i64>,
    error_class: String,
    error_text: String,
    refused_logins: i64,
}

impl From<AccountRow> for AccountStatus {
    fn from(row: AccountRow) -> AccountStatus {
        let failed = !row.error_class.is_empty();
        AccountStatus {
            name: row.name,
            last_checked: row.last_poll_at.map(moment),
            last_success: row.last_success_at.map(moment),
            next_check: Some(moment(row.next_poll_at)),
            delivered: unsigned(row.delivered),
            pending: unsigned(row.pending),
            parked: unsigned(row.parked),
            unrouted: unsigned(row.unrouted),
            sign_in_ends: row.sign_in_ends.map(moment),
            failing_since: row.failing_since.map(moment),
            error: failed.then_some(Failure {
                class: row.error_class,
                text: row.error_text,
                next_try: None,
                passes: false,
            }),
            paused: false,
            login_refused: row.refused_logins > 0,
            steps: Vec::new(),
        }
    }
}

#[derive(FromRow)]
struct WaitingRow {
    account: String,
    destination: String,
    state: String,
    error: String,
    reason: String,
    count: i64,
    retry_at: Option<i64>,
    passes: bool,
}

impl WaitingRow {
    /// `None` for what is merely due, or under way: nothing has gone wrong with it.
    fn into_waiting(self) -> Option<Waiting> {
        let is_destination = self.state != "ok";
        let reason = match self.retry_at {
            _ if is_destination => self.error,
            Some(_) => self.reason,
            None => return None,
        };
        Some(Waiting {
            account: self.account,
            destination: self.destination,
            state: self.state,
            reason,
            count: unsigned(self.count),
            next_try: self.retry_at.filter(|_| !is_destination).map(moment),
            passes: self.passes,
        })
    }
}

impl From<&Waiting> for Failure {
    fn from(waiting: &Waiting) -> Failure {
        let Waiting { destination, reason, count, .. } = waiting;
        if waiting.state != "ok" {
            let text = format!("{destination}: {reason}");
            return Failure { class: "destination".into(), text, next_try: None, passes: waiting.passes };
        }
        let text = format!("{count} waiting: {destination}: {reason}");
        Failure { class: "message".into(), text, next_try: waiting.next_try, passes: false }
    }
}

#[derive(FromRow)]
struct PollRow {
    id: i64,
    name: String,
    started: i64,
    ended: i64,
    new: i64,
    delivered: i64,
    deleted: i64,
    bytes: i64,
    error: Option<String>,
    took: Option<i64>,
}

impl From<PollRow> for Poll {
    fn from(row: PollRow) -> Poll {
        let (started, ended) = (moment(row.started), moment(row.ended));
        Poll {
            id: row.id,
            account: row.name,
            started: Some(started),
            ended: Some(ended),
            new: unsigned(row.new),
            delivered: unsigned(row.delivered),
            deleted: unsigned(row.deleted),
            bytes: unsigned(row.bytes),
            error: row.error,
            took: row.took.map_or(ended - started, TimeDelta::milliseconds),
        }
    }
}

#[derive(FromRow)]
struct ParkedRow {
    id: i64,
    account: String,
    destination: String,
    uidl: Vec<u8>,
    size: Option<i64>,
    since: i64,
    attempts: i64,
    reason: String,
    subject: Option<String>,
}

impl From<ParkedRow> for ParkedDelivery {
    fn from(row: ParkedRow) -> ParkedDelivery {
        ParkedDelivery {
            id: row.id,
            account: row.account,
            destination: row.destination,
            uidl: Uidl::new(&row.uidl).to_string(),
            size: row.size.map(unsigned),
            since: Some(moment(row.since)),
            attempts: unsigned(row.attempts),
            reason: row.reason,
            subject: row.subject,
        }
    }
}

#[derive(FromRow)]
struct KeptRow {
    id: MessageId,
    account: String,
    uidl: Vec<u8>,
    size: Option<i64>,
    content: Option<Vec<u8>>,
    listed: bool,
}

impl KeptRow {
    fn into_kept(self) -> Option<Kept> {
        Some(Kept {
            id: self.id,
            account: AccountName::new(&self.account)?,
            uidl: Uidl::new(&self.uidl),
            size: self.size.map(unsigned),
            content: self.content.as_deref().map(content),
            listed: self.listed,
        })
    }
}

//! What people are told: what is wrong, since when, whether they know, and what is still on its way to them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection};

use super::columns::{DAY, int, list, moment, small, unsigned};
use super::report::SOON;
use super::{DeliveryId, Error, Ledger, Outlives};
use crate::message::unix;

/// What something is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    Account,
    Destination,
    /// An account's mailbox at its source.
    Mailbox,
    /// What somebody has signed in for, for an account.
    AccountSignIn,
    /// The same for a destination.
    DestinationSignIn,
}

/// The kind of a notice about messages of an account that were parked. They are told of and then forgotten: only a person
/// ends that.
const PARKED: &str = "parked";

/// How people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    Mail,
    Url,
    Command,
}

/// What the ledger knows of what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Every account, also those that are well.
    pub accounts: Vec<AccountHealth>,
    /// The same of destinations.
    pub destinations: Vec<DestinationHealth>,
    /// Sign-ins that end at a known time.
    pub sign_ins: Vec<EndingSignIn>,
    /// What was parked and has not been told of.
    pub parked: Vec<NewlyParked>,
    /// Notices on their way about what was parked, and is so no longer, or only in part.
    pub outdated: Vec<Outdated>,
    /// What was wrong when [`Ledger::note_troubles`] was last called.
    pub known: Vec<Trouble>,
    /// Beginnings of troubles that are still on their way to somebody, by the title that they bear.
    pub untold: BTreeMap<(Subject, String), String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountHealth {
    pub name: String,
    pub failing_since: Option<DateTime<Utc>>,
    pub last_success: Option<DateTime<Utc>>,
    pub next_poll: DateTime<Utc>,
    /// Polls in a row whose login was refused.
    pub refused_logins: u32,
    pub error: String,
    /// Listed mail of it waits for a destination that is failing, paused or disabled.
    pub is_held_up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationHealth {
    pub name: String,
    /// ok, failing, paused or disabled; failing or paused only where listed mail waits for it.
    pub state: String,
    pub error: String,
    /// Nobody is signed in for it: nobody was so far, or that has ended.
    pub wants_sign_in: bool,
    /// That has ended.
    pub sign_in_ended: bool,
    /// When it last took a message.
    pub last_delivery: Option<DateTime<Utc>>,
}

/// A sign-in that ends unless it is renewed by a person, as its provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingSignIn {
    /// [`Subject::AccountSignIn`] or [`Subject::DestinationSignIn`].
    pub subject: Subject,
    pub name: String,
    /// When a person signed in, by which one sign-in is told from the next.
    pub begun_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
}

impl EndingSignIn {
    /// Whether people are to know by now.
    pub fn is_near(&self, now: DateTime<Utc>) -> bool {
        self.ends_at - now < SOON
    }
}

/// Deliveries of one account to one destination that have been given up for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewlyParked {
    pub account: String,
    pub destination: String,
    pub deliveries: Vec<DeliveryId>,
    /// That of one of them.
    pub reason: String,
}

/// Notices that say of deliveries that they are parked, while some are no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    /// One for each way.
    pub notices: Vec<i64>,
    /// What still is, where anything is.
    pub parked: Option<NewlyParked>,
}

/// What a mailbox holds that it need not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hoard {
    pub account: String,
    /// Messages whose DELE was sent more than a day before the latest listing, which still shows them.
    pub undeleted: u64,
    /// Messages that came after the first listing, were delivered, and stay because `leave_copy` said so.
    pub left: u64,
    /// Octets of these.
    pub octets: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub subject: Subject,
    pub name: String,
    pub since: DateTime<Utc>,
    /// It has lasted long enough to be told.
    pub told: bool,
}

/// What became of a trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there, and nobody has to know yet.
    Noted,
    /// It is told now.
    Begun(Told),
    /// It is another one than those know who have not been told yet: they are told this.
    Turned(Told),
    /// It is no longer to be seen, and nothing shows that it is over: who has not been told yet need not be.
    Hidden,
    /// It is over. Told where its beginning was.
    Over(Option<Told>),
}

/// What people read: a line, and what is to be said beneath it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub title: String,
    pub text: String,
}

/// A notice that is still on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub id: i64,
    pub made_at: DateTime<Utc>,
    /// account, destination, mailbox, account_sign_in, destination_sign_in or parked.
    pub kind: String,
    pub name: String,
    /// begun or over.
    pub state: String,
    pub title: String,
    pub text: String,
}

/// Most notices that wait for one way: the oldest make room.
const MOST_NOTICES: i64 = 10_000;

/// What could not be told for so many seconds is no news any more.
const STALE: i64 = 3 * DAY;

/// After so many seconds a notice is told again that may have been told before; each time after twice as many.
const DOUBTFUL: i64 = 60;

impl Ledger {
    /// How everything is, of accounts and destinations in the config or not.
    pub async fn health(&self) -> Result<Health, Error> {
        let accounts = "
            SELECT a.name, a.failing_since, a.last_success_at, a.next_poll_at, a.refused_logins, a.error_text,
                EXISTS (
                    SELECT 1 FROM routes r JOIN destinations t ON t.id = r.destination
                    CROSS JOIN deliveries d ON d.account = r.account AND d.destination = r.destination
                    JOIN messages m ON m.id = d.message
                    WHERE r.account = a.id AND t.state <> 'ok' AND t.budget_until IS NULL AND d.state IN ('due', 'attempting', 'deferred')
                        AND m.last_listing IS NULL
                ) AS is_held_up
            FROM accounts a ORDER BY a.name";
        let accounts: Vec<AccountRow> =
            sqlx::query_as(accounts).fetch_all(&self.readers).await.map_err(self.sql_error())?;
        // Nobody misses one that nothing waits for, and one whose budget is used up goes on by itself.
        let destinations = "
            SELECT t.name, iif(t.state = 'disabled' OR t.budget_until IS NULL AND EXISTS (
                SELECT 1 FROM routes r
                CROSS JOIN deliveries d ON d.account = r.account AND d.destination = r.destination
                JOIN messages m ON m.id = d.message
                WHERE r.destination = t.id AND d.state IN ('due', 'attempting', 'deferred')
                    AND m.last_listing IS NULL
            ), t.state, 'ok') AS state, t.error, (
                SELECT ended IS NOT NULL FROM tokens WHERE holder = 'destination/' || t.name
            ) AS sign_in_ended, t.delivered_at
            FROM destinations t ORDER BY t.name";
        let destinations: Vec<DestinationRow> =
            sqlx::query_as(destinations).fetch_all(&self.readers).await.map_err(self.sql_error())?;
        let known = "SELECT kind, name, since, told FROM troubles ORDER BY kind, name";
        let known: Vec<(String, String, i64, bool)> =
            sqlx::query_as(known).fetch_all(&self.readers).await.map_err(self.sql_error())?;
        let known = known.into_iter().filter_map(|(kind, name, since, told)| {
            Some(Trouble { subject: Subject::parse(&kind)?, name, since: moment(since), told })
        });
        Ok(Health {
            accounts: accounts.into_iter().map(AccountHealth::from).collect(),
            destinations: destinations.into_iter().map(DestinationHealth::from).collect(),
            sign_ins: self.ending_sign_ins().await?,
            parked: self.newly_parked().await?,
            // After what is newly parked: what is parked anew is told of there, and must not be told of here as well.
            outdated: self.outdated().await?,
            known: known.collect(),
            untold: self.untold().await?,
        })
    }

    async fn ending_sign_ins(&self) -> Result<Vec<EndingSignIn>, Error> {
        let sql = "
            SELECT holder, consented_at, ends_at FROM tokens
            WHERE ends_at IS NOT NULL AND ended IS NULL ORDER BY holder";
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as(sql).fetch_all(&self.readers).await.map_err(self.sql_error())?;
        let sign_in = |(holder, begun_at, ends_at): (String, i64, i64)| {
            let (kind, name) = holder.split_once('/')?;
            let subject = Subject::parse(&format!("{kind}_sign_in"))?;
            let (begun_at, ends_at) = (moment(begun_at), moment(ends_at));
            Some(EndingSignIn { subject, name: name.to_owned(), begun_at, ends_at })
        };
        Ok(rows.into_iter().filter_map(sign_in).collect())
    }

    async fn outdated(&self) -> Result<Vec<Outdated>, Error> {
        let sql = "
            SELECT n.deliveries, json_group_array(n.id) FROM notices n
            WHERE n.deliveries IS NOT NULL AND EXISTS (
                SELECT 1 FROM json_each(n.deliveries) j LEFT JOIN deliveries d ON d.id = j.value
                WHERE d.state IS NOT 'parked' OR d.told = 0
            )
            GROUP BY n.deliveries ORDER BY min(n.id)";
        let rows: Vec<(String, String)> =
            sqlx::query_as(sql).fetch_all(&self.readers).await.map_err(self.sql_error())?;
        let mut outdated = Vec::new();
        for (deliveries, notices) in rows {
            let sql = "
                SELECT a.name AS account, t.name AS destination, d.id, d.reason
                FROM json_each($1) j JOIN deliveries d ON d.id = j.value
                JOIN accounts a ON a.id = d.account JOIN destinations t ON t.id = d.destination
                WHERE d.state = 'parked' AND d.told = 1 ORDER BY d.id";
            let rows: Vec<ParkedRow> = sqlx::query_as(sql)
                .bind(deliveries)
                .fetch_all(&self.readers)
                .await
                .map_err(self.sql_error())?;
            let parked = (!rows.is_empty()).then(|| NewlyParked::of(&rows));
            outdated.push(Outdated { notices: numbers(&notices), parked });
        }
        Ok(outdated)
    }

    async fn untold(&self) -> Result<BTreeMap<(Subject, String), String>, Error> {
        let sql = "
            SELECT kind, name, max(title) FROM notices WHERE state = 'begun' AND kind <> 'parked'
            GROUP BY kind, name";
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(sql).fetch_all(&self.readers).await.map_err(self.sql_error())?;
        let untold =
            rows.into_iter().filter_map(|(kind, name, title)| Some(((Subject::parse(&kind)?, name), title)));
        Ok(untold.collect())
    }

    async fn newly_parked(&self) -> Result<Vec<NewlyParked>, Error> {
        let sql = "
            SELECT a.name AS account, t.name AS destination, d.id, d.reason
            FROM deliveries d JOIN accounts a ON a.id = d.account JOIN destinations t ON t.id = d.destination
            WHERE d.state = 'parked' AND d.told = 0 ORDER BY a.name, t.name, d.id";
        let rows: Vec<ParkedRow> =
            sqlx::query_as(sql).fetch_all(&self.readers).await.map_err(self.sql_error())?;
        let same =
            |a: &ParkedRow, b: &ParkedRow| (&a.account, &a.destination) == (&b.account, &b.destination);
        Ok(rows.chunk_by(same).map(NewlyParked::of).collect())
    }

    /// Mailboxes that hold at least `messages`, or `octets`, that they need not. It looks at every listed message.
    pub async fn hoards(&self, messages: u64, octets: u64) -> Result<Vec<Hoard>, Error> {
        let sql = "
            WITH undeleted AS (
                SELECT m.account, count(*) AS messages
                FROM messages m JOIN accounts a ON a.id = m.account
                WHERE m.deleted_at IS NOT NULL AND m.last_listing IS NULL AND m.deleted_at < a.listed_at - $3
                GROUP BY m.account
            ), kept AS (
                SELECT m.account, count(*) AS messages, sum(coalesce(m.size, m.octets)) AS octets
                FROM messages m
                WHERE m.last_listing IS NULL AND m.first_listing > 1 AND EXISTS (
                    SELECT 1 FROM deliveries d
                    WHERE d.message = m.id AND d.state = 'delivered' AND d.leave_copy IS NULL
                )
                GROUP BY m.account
            )
            SELECT a.name AS account, coalesce(u.messages, 0) AS undeleted, coalesce(k.messages, 0) AS kept,
                coalesce(k.octets, 0) AS octets
            FROM accounts a LEFT JOIN undeleted u ON u.account = a.id LEFT JOIN kept k ON k.account = a.id
            WHERE u.messages > 0 OR k.messages >= $1 OR k.octets >= $2 ORDER BY a.name";
        let rows: Vec<HoardRow> = sqlx::query_as(sql)
            .bind(int(messages))
            .bind(int(octets))
            .bind(DAY)
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())?;
        Ok(rows.into_iter().map(Hoard::from).collect())
    }

    /// Keeps what has changed, and puts what is to be told on its way by each of `ways`, all or nothing: of a trouble
    /// the texts in `changes`, of what was parked those in `parked`. What is outdated is taken back, and said anew where
    /// something is left to be said.
    pub async fn note_troubles(
        &self,
        changes: Vec<(Trouble, Change)>,
        parked: Vec<(NewlyParked, Told)>,
        outdated: Vec<(Outdated, Option<Told>)>,
        ways: Vec<Way>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                for (trouble, change) in &changes {
                    note(connection, trouble, change, &ways, now).await?;
                }
                for (Outdated { notices, parked }, told) in &outdated {
                    let untold = take_back(connection, notices).await?;
                    if let (Some(parked), Some(told)) = (parked, told) {
                        tell_of_parked(connection, parked, told, &untold, now).await?;
                    }
                }
                for (parked, told) in &parked {
                    let sql = "UPDATE deliveries SET told = 1 WHERE id IN (SELECT value FROM json_each($1))";
                    let ids = list(parked.deliveries.iter().copied());
                    sqlx::query(sql).bind(ids).execute(&mut *connection).await?;
                    tell_of_parked(connection, parked, told, &ways, now).await?;
                }
                make_room(connection).await
            })
        })
        .await
    }

    /// What is to be told that way now, the oldest first. Left out is what is no news any more, what has yet to be said in
    /// other words, and for a while what may have been told before.
    pub async fn notices(&self, way: Way, now: DateTime<Utc>) -> Result<Vec<Notice>, Error> {
        let sql = "
            SELECT id, made_at, kind, name, state, title, text FROM notices
            WHERE way = $1 AND made_at >= $2
                AND (doubts = 0 OR sent_at + ($3 << min(doubts - 1, 20)) <= $4) ORDER BY id";
        let rows: Vec<NoticeRow> = sqlx::query_as(sql)
            .bind(way.as_str())
            .bind(unix(now) - STALE)
            .bind(DOUBTFUL)
            .bind(unix(now))
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())?;
        let outdated: Vec<i64> =
            self.outdated().await?.into_iter().flat_map(|outdated| outdated.notices).collect();
        Ok(rows.into_iter().filter(|row| !outdated.contains(&row.id)).map(Notice::from).collect())
    }

    /// Drops what could not be told for three days. Returns it: by which way, and the title; the oldest first.
    pub async fn drop_stale_notices(&self, now: DateTime<Utc>) -> Result<Vec<(Way, String)>, Error> {
        let before = unix(now) - STALE;
        let is_there = "SELECT EXISTS (SELECT 1 FROM notices WHERE made_at < $1)";
        let is_there = sqlx::query_scalar(is_there).bind(before).fetch_one(&self.readers).await;
        if !is_there.map_err(self.sql_error())? {
            return Ok(Vec::new());
        }
        let dropped: Vec<(i64, String, String)> = self
            .write(Outlives::Power, move |connection| {
                Box::pin(async move {
                    let sql = "DELETE FROM notices WHERE made_at < $1 RETURNING id, way, title";
                    sqlx::query_as(sql).bind(before).fetch_all(connection).await
                })
            })
            .await?;
        let dropped: BTreeMap<i64, (String, String)> =
            dropped.into_iter().map(|(id, way, title)| (id, (way, title))).collect();
        Ok(dropped.into_values().filter_map(|(way, title)| Some((Way::parse(&way)?, title))).collect())
    }

    /// They go out now in a way that may tell them without a sign of it. Until they are forgotten, or known to be unsent,
    /// they count as perhaps told.
    pub async fn sending_notices(&self, ids: Vec<i64>, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { doubt(connection, &list(ids), now).await })
        })
        .await
    }

    /// They went out, and have certainly not been told.
    pub async fn unsent_notices(&self, ids: Vec<i64>) -> Result<(), Error> {
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                let sql = "
                    UPDATE notices SET doubts = max(doubts - 1, 0)
                    WHERE id IN (SELECT value FROM json_each($1))";
                sqlx::query(sql).bind(list(ids)).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// They have been told.
    pub async fn forget_notices(&self, ids: Vec<i64>) -> Result<(), Error> {
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                let sql = "DELETE FROM notices WHERE id IN (SELECT value FROM json_each($1))";
                sqlx::query(sql).bind(list(ids)).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// What the notices of this ledger bear, and no other message.
    pub fn notice_mark(&self) -> &str {
        &self.notice_mark
    }
}

fn numbers(array: &str) -> Vec<i64> {
    serde_json::from_str(array).unwrap_or_default()
}

async fn note(
    connection: &mut SqliteConnection,
    trouble: &Trouble,
    change: &Change,
    ways: &[Way],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (kind, name) = (trouble.subject.as_str(), &trouble.name);
    match change {
        Change::Noted | Change::Begun(_) => {
            let keep = "
                INSERT INTO troubles (kind, name, since, told) VALUES ($1, $2, $3, $4)
                ON CONFLICT (kind, name) DO UPDATE SET since = excluded.since, told = excluded.told";
            let is_told = matches!(change, Change::Begun(_));
            let keep = sqlx::query(keep).bind(kind).bind(name).bind(unix(trouble.since)).bind(is_told);
            keep.execute(&mut *connection).await?;
        }
        Change::Over(_) => end(connection, kind, name).await?,
        Change::Turned(_) | Change::Hidden => {}
    }
    match change {
        Change::Noted => Ok(()),
        Change::Begun(told) => tell(connection, kind, name, "begun", told, ways, now).await,
        Change::Over(Some(told)) => tell(connection, kind, name, "over", told, ways, now).await,
        Change::Over(None) => withdraw(connection, kind, name).await.map(drop),
        Change::Turned(told) => {
            // Under new ids: what the old ones said may be on its way.
            let Withdrawn { ways, .. } = withdraw(connection, kind, name).await?;
            tell(connection, kind, name, "begun", told, &ways, now).await
        }
        Change::Hidden => {
            let Withdrawn { untold, .. } = withdraw(connection, kind, name).await?;
            // Who may have been told is told when it is over.
            match ways.iter().all(|way| untold.contains(way)) {
                true => end(connection, kind, name).await,
                false => Ok(()),
            }
        }
    }
}

async fn end(connection: &mut SqliteConnection, kind: &str, name: &str) -> sqlx::Result<()> {
    let sql = "DELETE FROM troubles WHERE kind = $1 AND name = $2";
    sqlx::query(sql).bind(kind).bind(name).execute(connection).await?;
    Ok(())
}

/// Notices that were taken back.
struct Withdrawn {
    /// By which they would have been told.
    ways: Vec<Way>,
    /// Those of them by which they certainly were not.
    untold: Vec<Way>,
}

/// Takes back what is still to be told of a trouble.
async fn withdraw(connection: &mut SqliteConnection, kind: &str, name: &str) -> sqlx::Result<Withdrawn> {
    let sql = "
        DELETE FROM notices WHERE kind = $1 AND name = $2
        RETURNING way, doubts > 0 OR way = 'mail' AND EXISTS (
            SELECT 1 FROM notice_attempts a, json_each(a.notices) j WHERE j.value = notices.id
        )";
    let rows: Vec<(String, bool)> = sqlx::query_as(sql).bind(kind).bind(name).fetch_all(connection).await?;
    let ways = |only_untold: bool| {
        let is = |way: &Way| rows.iter().any(|(word, told)| word == way.as_str() && !(only_untold && *told));
        Way::ALL.into_iter().filter(is).collect()
    };
    Ok(Withdrawn { ways: ways(false), untold: ways(true) })
}

/// Returns the ways by which they would have been told.
async fn take_back(connection: &mut SqliteConnection, notices: &[i64]) -> sqlx::Result<Vec<Way>> {
    let sql = "DELETE FROM notices WHERE id IN (SELECT value FROM json_each($1)) RETURNING way";
    let ways: Vec<String> =
        sqlx::query_scalar(sql).bind(list(notices.iter().copied())).fetch_all(connection).await?;
    Ok(Way::ALL.into_iter().filter(|way| ways.iter().any(|word| word == way.as_str())).collect())
}

/// Nobody knows, or will, whether these `notices` have been told.
pub(super) async fn doubt(
    connection: &mut SqliteConnection,
    notices: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "
        UPDATE notices SET doubts = doubts + 1, sent_at = $2 WHERE id IN (SELECT value FROM json_each($1))";
    sqlx::query(sql).bind(notices).bind(unix(now)).execute(connection).await?;
    Ok(())
}

/// A trouble that is over before its beginning could be told is told of once: that text says all.
async fn tell(
    connection: &mut SqliteConnection,
    kind: &str,
    name: &str,
    state: &str,
    told: &Told,
    ways: &[Way],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    withdraw(connection, kind, name).await?;
    for way in ways {
        let put = "
            INSERT INTO notices (way, made_at, kind, name, state, title, text)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(put)
            .bind(way.as_str())
            .bind(unix(now))
            .bind(kind)
            .bind(name)
            .bind(state)
            .bind(&told.title)
            .bind(&told.text)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn tell_of_parked(
    connection: &mut SqliteConnection,
    parked: &NewlyParked,
    told: &Told,
    ways: &[Way],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for way in ways {
        let put = "
            INSERT INTO notices (way, made_at, kind, name, state, title, text, deliveries)
            VALUES ($1, $2, $3, $4, 'begun', $5, $6, $7)";
        sqlx::query(put)
            .bind(way.as_str())
            .bind(unix(now))
            .bind(PARKED)
            .bind(&parked.account)
            .bind(&told.title)
            .bind(&told.text)
            .bind(list(parked.deliveries.iter().copied()))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Of what is to be told in one way the oldest goes, where that has become too much.
async fn make_room(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let sql = "
        DELETE FROM notices WHERE way = $1 AND id <= (
            SELECT id FROM notices WHERE way = $1 ORDER BY id DESC LIMIT 1 OFFSET $2
        )";
    for way in Way::ALL {
        sqlx::query(sql).bind(way.as_str()).bind(MOST_NOTICES).execute(&mut *connection).await?;
    }
    Ok(())
}

impl Subject {
    pub fn as_str(self) -> &'static str {
        match self {
            Subject::Account => "account",
            Subject::Destination => "destination",
            Subject::Mailbox => "mailbox",
            Subject::AccountSignIn => "account_sign_in",
            Subject::DestinationSignIn => "destination_sign_in",
        }
    }

    /// It is about a destination of that name, not about an account.
    pub fn is_of_destination(self) -> bool {
        matches!(self, Subject::Destination | Subject::DestinationSignIn)
    }

    pub fn parse(text: &str) -> Option<Subject> {
        [
            Subject::Account,
            Subject::Destination,
            Subject::Mailbox,
            Subject::AccountSignIn,
            Subject::DestinationSignIn,
        ]
        .into_iter()
        .find(|it| it.as_str() == text)
    }
}

impl Way {
    pub const ALL: [Way; 3] = [Way::Mail, Way::Url, Way::Command];

    pub fn as_str(self) -> &'static str {
        match self {
            Way::Mail => "mail",
            Way::Url => "url",
            Way::Command => "command",
        }
    }

    fn parse(text: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|way| way.as_str() == text)
    }
}

#[derive(FromRow)]
struct DestinationRow {
    name: String,
    state: String,
    error: String,
    /// `None` where nobody has signed in for it.
    sign_in_ended: Option<bool>,
    delivered_at: Option<i64>,
}

impl From<DestinationRow> for DestinationHealth {
    fn from(row: DestinationRow) -> DestinationHealth {
        DestinationHealth {
            name: row.name,
            state: row.state,
            error: row.error,
            wants_sign_in: row.sign_in_ended != Some(false),
            sign_in_ended: row.sign_in_ended == Some(true),
            last_delivery: row.delivered_at.map(moment),
        }
    }
}

#[derive(FromRow)]
struct AccountRow {
    name: String,
    failing_since: Option<i64>,
    last_success_at: Option<i64>,
    next_poll_at: i64,
    refused_logins: i64,
    error_text: String,
    is_held_up: bool,
}

impl From<AccountRow> for AccountHealth {
    fn from(row: AccountRow) -> AccountHealth {
        AccountHealth {
            name: row.name,
            failing_since: row.failing_since.map(moment),
            last_success: row.last_success_at.map(moment),
            next_poll: moment(row.next_poll_at),
            refused_logins: small(row.refused_logins),
            error: row.error_text,
            is_held_up: row.is_held_up,
        }
    }
}

#[derive(FromRow)]
struct ParkedRow {
    account: String,
    destination: String,
    id: DeliveryId,
    reason: String,
}

impl NewlyParked {
    fn of(rows: &[ParkedRow]) -> NewlyParked {
        let (first, last) = (&rows[0], &rows[rows.len() - 1]);
        NewlyParked {
            account: first.account.clone(),
            destination: first.destination.clone(),
            deliveries: rows.iter().map(|row| row.id).collect(),
            reason: last.reason.clone(),
        }
    }
}

#[derive(FromRow)]
struct HoardRow {
    account: String,
    undeleted: i64,
    kept: i64,
    octets: i64,
}

impl From<HoardRow> for Hoard {
    fn from(row: HoardRow) -> Hoard {
        Hoard {
            account: row.account,
            undeleted: unsigned(row.undeleted),
            left: unsigned(row.kept),
            octets: unsigned(row.octets),
        }
    }
}

#[derive(FromRow)]
struct NoticeRow {
    id: i64,
    made_at: i64,
    kind: String,
    name: String,
    state: String,
    title: String,
    text: String,
}

impl From<NoticeRow> for Notice {
    fn from(row: NoticeRow) -> Notice {
        let NoticeRow { id, made_at, kind, name, state, title, text } = row;
        Notice { id, made_at: moment(made_at), kind, name, state, title, text }
    }
}

//! From a listing to rows: what is new gets one, what is gone is noted, what is known stays untouched.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::columns::{int, list, unsigned};
use super::parts::{Part, Parts};
use super::{Error, Ledger, MessageId, MessageIds, MessageNumbers, Outlives};
use crate::message::{AccountName, Alike, DestinationName, Listing, unix};

/// A listing, taken in as a whole.
#[derive(Clone, Debug)]
pub struct Intake {
    pub account: AccountName,
    /// See [`Past::epoch`](super::Past::epoch).
    pub epoch: i64,
    pub routes: Vec<DestinationName>,
    /// Parallel to `routes`: the folder of an IMAP destination.
    pub folders: Vec<String>,
    /// All that decides what a listing means: after a change no listing counts as unchanged.
    pub config_text: String,
    pub listing: Arc<Listing>,
    /// The listing equals [`Past::shortcut`](super::Past::shortcut).
    pub unchanged: bool,
    /// What the next listing must equal to count as unchanged.
    pub shortcut: Option<Shortcut>,
    /// It is not the mailbox, but what came lately, whoever had it before.
    pub is_recent: bool,
    /// What is new here may have been delivered at any time.
    pub past_is_unknown: bool,
    /// `import = "new"`: the numbers, sorted, of what is wanted among the unknown; `None` wants all.
    pub fresh: Option<Vec<u32>>,
    pub now: DateTime<Utc>,
}

/// What a listing was like: hash of the UIDL reply, and STAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    pub hash: [u8; 32],
    pub count: u64,
    pub octets: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Messages that were not known and are wanted.
    pub new: u64,
    /// Messages that were in the previous listing and are not in this one.
    pub gone: u64,
    /// The numbers of those that UIDL and size do not tell apart, by their rows: what is owed to one of them must not go
    /// to the other.
    pub vague: MessageNumbers,
}

impl Ledger {
    /// At least 20 messages are listed, and under 20 % of them are known: this may be another mailbox.
    pub async fn is_mostly_unknown(&self, account: &AccountName, listing: &Listing) -> Result<bool, Error> {
        if listing.len() < 20 {
            return Ok(false);
        }
        let mut known = 0;
        for part in Parts::of(listing, &Alike::of(listing), None) {
            let account = account.clone();
            let count = self.write(Outlives::Process, move |connection| {
                Box::pin(async move { count_known(connection, &account, &part).await })
            });
            known += count.await?;
        }
        Ok(known * 5 < listing.len() as u64)
    }

    /// Takes in a listing. What is not known gets a row, with a delivery for each route.
    ///
    /// It is done part by part, so that a large listing takes little memory and no other account waits for it. If that is
    /// cut short, the next listing finds some messages known that were not in the last one.
    ///
    /// `None` where the account has been pointed to another mailbox since: this is not a listing of that one.
    pub async fn take_in(&self, intake: Intake) -> Result<Option<TakenIn>, Error> {
        let account = intake.account.clone();
        let is_first = !self.has_listed(&account);
        let intake = Arc::new(intake);
        let taken_in = match intake.unchanged && self.note_unchanged(&intake).await? {
            true => Some(TakenIn::default()),
            false => self.take_in_parts(&intake, is_first).await?,
        };
        if taken_in.is_some() {
            self.note_listed(account);
        }
        Ok(taken_in)
    }

    async fn take_in_parts(&self, intake: &Arc<Intake>, is_first: bool) -> Result<Option<TakenIn>, Error> {
        let alike = Alike::of(&intake.listing);
        let mut total: Compared<MessageIds, MessageNumbers> = Compared::default();
        for part in Parts::of(&intake.listing, &alike, intake.fresh.as_deref()) {
            let intake = Arc::clone(intake);
            let compared = self.write(Outlives::Process, move |connection| {
                Box::pin(async move { compare(connection, &intake, &part, is_first).await })
            });
            let Some(compared) = compared.await? else { return Ok(None) };
            total.add(compared);
        }
        let Compared { new, returning, listed, vague } = total;
        let Some(gone) = self.leave(intake, listed).await? else { return Ok(None) };
        // Where a UIDL repeats, or may stand for several rows, the next listing needs the sizes even if nothing has
        // changed: they tell which is which.
        if !self.note_listing(intake, alike.has_shared_uidl || !vague.is_empty()).await? {
            return Ok(None);
        }
        let (new, gone) = (new.saturating_sub(returning), gone.saturating_sub(returning));
        Ok(Some(TakenIn { new, gone, vague: vague.sorted() }))
    }

    /// Returns whether the listing is still what it was, and means what it meant.
    async fn note_unchanged(&self, intake: &Arc<Intake>) -> Result<bool, Error> {
        let intake = Arc::clone(intake);
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                let seen = "
                    UPDATE accounts SET listed_at = $4, recent_epoch = CASE WHEN $5 THEN epoch ELSE 0 END
                    WHERE name = $1 AND epoch = $2 AND config_text = $3";
                let seen = sqlx::query(seen)
                    .bind(intake.account.as_str())
                    .bind(intake.epoch)
                    .bind(&intake.config_text)
                    .bind(unix(intake.now))
                    .bind(intake.is_recent)
                    .execute(connection)
                    .await?;
                Ok(seen.rows_affected() > 0)
            })
        })
        .await
    }

    /// Notes which messages are not listed any more: all but `listed`. Returns how many they are; `None` as
    /// [`Ledger::take_in`], and so do all that follow.
    async fn leave(&self, intake: &Arc<Intake>, listed: MessageIds) -> Result<Option<u64>, Error> {
        let listed = Arc::new(listed);
        let (mut gone, mut page) = (0, Some(MessageId(0)));
        while let Some(after) = page {
            let (intake, listed) = (Arc::clone(intake), Arc::clone(&listed));
            let left = self.write(Outlives::Process, move |connection| {
                Box::pin(async move { leave(connection, &intake, &listed, after).await })
            });
            let Some((left, last)) = left.await? else { return Ok(None) };
            gone += left;
            page = last;
        }
        Ok(Some(gone))
    }

    /// Returns whether it is one of the mailbox that is configured.
    async fn note_listing(&self, intake: &Arc<Intake>, is_vague: bool) -> Result<bool, Error> {
        let intake = Arc::clone(intake);
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { note_listing(connection, &intake, is_vague).await })
        })
        .await
    }
}

#[derive(FromRow)]
pub(super) struct Account {
    pub id: i64,
    pub epoch: i64,
    pub listing: i64,
    listed_epoch: i64,
    recent_epoch: i64,
}

impl Account {
    pub async fn of(connection: &mut SqliteConnection, name: &AccountName) -> sqlx::Result<Account> {
        let sql = "SELECT id, epoch, listing, listed_epoch, recent_epoch FROM accounts WHERE name = $1";
        sqlx::query_as(sql).bind(name.as_str()).fetch_one(connection).await
    }

    /// That of a listing; `None` as [`Ledger::take_in`].
    async fn listed_by(connection: &mut SqliteConnection, intake: &Intake) -> sqlx::Result<Option<Account>> {
        let account = Account::of(connection, &intake.account).await?;
        Ok(Some(account).filter(|account| account.epoch == intake.epoch))
    }
}

async fn count_known(
    connection: &mut SqliteConnection,
    account: &AccountName,
    part: &Part,
) -> sqlx::Result<u64> {
    let account = Account::of(connection, account).await?;
    fill(connection, part).await?;
    match_known(connection, &account).await?;
    let sql = "SELECT count(*) FROM listing WHERE message IS NOT NULL";
    let known: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    Ok(unsigned(known) + returning(connection, &account).await?)
}

/// What came of a part; or of all parts so far, whose rows are many.
#[derive(Default)]
struct Compared<Rows, Numbers> {
    new: u64,
    /// Of the new and the gone, so many are probably the same messages.
    returning: u64,
    /// The rows of what is listed.
    listed: Rows,
    /// See [`TakenIn::vague`].
    vague: Numbers,
}

impl Compared<MessageIds, MessageNumbers> {
    fn add(&mut self, part: ComparedPart) {
        self.new += part.new;
        self.returning += part.returning;
        self.listed.extend(part.listed);
        self.vague.extend(part.vague);
    }
}

type ComparedPart = Compared<Vec<MessageId>, Vec<(MessageId, u32)>>;

/// Where messages that the ledger does not know may have been delivered already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Nowhere: it would know.
    Nowhere,
    /// In what their folder has got since the ledger last knew it, at the start of this process.
    SinceLast,
    /// In all of their folder.
    Everywhere,
}

async fn compare(
    connection: &mut SqliteConnection,
    intake: &Intake,
    part: &Part,
    is_first: bool,
) -> sqlx::Result<Option<ComparedPart>> {
    let Some(account) = Account::listed_by(connection, intake).await? else { return Ok(None) };
    // Until all is taken in, no listing is like the last one.
    let no_shortcut = "UPDATE accounts SET shortcut_hash = NULL WHERE id = $1 AND shortcut_hash IS NOT NULL";
    sqlx::query(no_shortcut).bind(account.id).execute(&mut *connection).await?;
    fill(connection, part).await?;
    match_known(connection, &account).await?;
    let returning = returning(connection, &account).await?;
    come_back(connection).await?;
    let newest = newest(connection).await?;
    // Much of what is recent may have been delivered long ago, by a mailferry whose ledger was lost; and what an account
    // begins with, by whoever fetched it before.
    let look = if intake.past_is_unknown
        || intake.is_recent && account.recent_epoch != account.epoch
        || account.listed_epoch != account.epoch
    {
        Look::Everywhere
    } else if is_first {
        Look::SinceLast
    } else {
        Look::Nowhere
    };
    let new = add_unknown(connection, &account, intake, look).await?;
    doubt_alike(connection, &account, newest).await?;
    if look == Look::Nowhere {
        doubt_namesakes(connection, &account, newest).await?;
    }
    let listed = listed(connection, newest).await?;
    let vague = vague(connection, &intake.listing, part).await?;
    Ok(Some(Compared { new, returning, listed, vague }))
}

/// Of messages that only their content tells apart nobody knows yet which of them the row of an earlier listing was
/// made for: where it is to be looked for, so are those that come beside it, the rows after `newest`.
async fn doubt_alike(connection: &mut SqliteConnection, account: &Account, newest: i64) -> sqlx::Result<()> {
    // CROSS JOIN keeps the order: what is known first, which is next to nothing.
    // SQLite takes `look_validity` from the row with the least UID: https://sqlite.org/lang_select.html#bareagg
    let sql = "
        UPDATE deliveries SET look_validity = known.look_validity, look_uid = known.look_uid
        FROM (
            SELECT g.uidl, g.size, d.destination, d.look_validity, min(d.look_uid) AS look_uid
            FROM (SELECT DISTINCT uidl, size FROM listing WHERE alike IS NOT NULL) g
            CROSS JOIN messages m
            JOIN deliveries d ON d.message = m.id
            WHERE m.account = $1 AND m.uidl = g.uidl AND coalesce(m.size, -1) = coalesce(g.size, -1)
                AND m.epoch = $2 AND m.id <= $3 AND d.look_uid IS NOT NULL
            GROUP BY g.uidl, g.size, d.destination
        ) known
        CROSS JOIN messages n
        WHERE n.account = $1 AND n.id > $3 AND n.uidl = known.uidl AND n.size IS known.size
            AND deliveries.message = n.id AND deliveries.destination = known.destination
            AND deliveries.look_uid IS NULL AND deliveries.state = 'due'";
    sqlx::query(sql).bind(account.id).bind(account.epoch).bind(newest).execute(connection).await?;
    Ok(())
}

/// What is new, after `newest`, under a UIDL that another message has had may have been there all the time, unseen
/// behind that one, and an earlier life of the ledger may have met it: it is looked for as what is first listed after a
/// start.
async fn doubt_namesakes(
    connection: &mut SqliteConnection,
    account: &Account,
    newest: i64,
) -> sqlx::Result<()> {
    // Each UIDL is asked about once: a server may repeat one without end.
    let sql = "
        WITH fresh AS MATERIALIZED (SELECT DISTINCT uidl FROM messages WHERE id > $2),
            known AS MATERIALIZED (
                SELECT uidl FROM fresh WHERE EXISTS (
                    SELECT 1 FROM messages o WHERE o.account = $1 AND o.uidl = fresh.uidl AND o.id <= $2
                )
            )
        UPDATE deliveries SET
            look_validity = coalesce(doubtful.start_validity, 0), look_uid = coalesce(doubtful.start_uid_next, 1)
        FROM (
            SELECT d.id, f.start_validity, f.start_uid_next
            FROM messages n
            JOIN deliveries d ON d.message = n.id
            JOIN destinations t ON t.id = d.destination AND t.kind = 'imap'
            LEFT JOIN folders f ON f.destination = t.id AND f.folder = d.folder
            WHERE n.id > $2 AND n.uidl IN (SELECT uidl FROM known) AND d.look_uid IS NULL AND d.state = 'due'
        ) doubtful
        WHERE deliveries.id = doubtful.id";
    sqlx::query(sql).bind(account.id).bind(newest).execute(connection).await?;
    Ok(())
}

pub(super) async fn fill(connection: &mut SqliteConnection, part: &Part) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM listing").execute(&mut *connection).await?;
    let rows = "INSERT INTO listing (uidl, size) SELECT unhex(key), value FROM json_each($1)";
    sqlx::query(rows).bind(&part.rows).execute(&mut *connection).await?;
    if let Some(alike) = &part.alike {
        let sql = "
            UPDATE listing SET alike = j.value ->> 1, nth = j.value ->> 2
            FROM json_each($1) j WHERE position = j.value ->> 0";
        sqlx::query(sql).bind(alike).execute(&mut *connection).await?;
    }
    if let Some(wanted) = &part.wanted {
        let sql = "UPDATE listing SET wanted = position IN (SELECT value FROM json_each($1))";
        sqlx::query(sql).bind(wanted).execute(connection).await?;
    }
    Ok(())
}

/// Finds the row of each listed message that UIDL, size and epoch tell for certain.
pub(super) async fn match_known(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<()> {
    // 0 where several rows would do. Those in the previous listing come first.
    let in_the_previous = "
        UPDATE listing SET message = (
            SELECT CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN max(m.id) ELSE 0 END FROM messages m
            WHERE m.account = $1 AND m.uidl = listing.uidl AND m.epoch = $2 AND m.last_listing IS NULL
                AND coalesce(m.size, -1) BETWEEN coalesce(listing.size, -1) AND coalesce(listing.size, $3)
        )
        WHERE alike IS NULL";
    // What we deleted and then missed is gone: under its UIDL comes another message.
    let in_an_earlier = "
        UPDATE listing SET message = (
            SELECT CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN max(m.id) ELSE 0 END FROM messages m
            WHERE m.account = $1 AND m.uidl = listing.uidl AND m.epoch = $2 AND m.last_listing IS NOT NULL
                AND coalesce(m.size, -1) BETWEEN coalesce(listing.size, -1) AND coalesce(listing.size, $3)
                AND m.deleted_at IS NULL
        )
        WHERE alike IS NULL AND message IS NULL";
    for sql in [in_the_previous, in_an_earlier] {
        sqlx::query(sql)
            .bind(account.id)
            .bind(account.epoch)
            .bind(i64::MAX)
            .execute(&mut *connection)
            .await?;
    }
    // A group of its own: those of the listing are counted from 0.
    let vague = "UPDATE listing SET alike = -position, nth = 1, message = NULL WHERE message = 0";
    sqlx::query(vague).execute(&mut *connection).await?;
    match_vague(connection, account).await
}

/// Messages that only content tells apart are retrieved at every listing, and nobody knows which row they are
/// until then. But rows that were never retrieved (skipped, too large) have no content: they go by place.
async fn match_vague(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<()> {
    let sql = "
        UPDATE listing SET message = known.id
        FROM (
            SELECT g.alike, m.id, row_number() OVER (
                PARTITION BY g.alike ORDER BY m.last_listing IS NOT NULL, m.id
            ) AS nth
            FROM (SELECT DISTINCT alike, uidl, size FROM listing WHERE alike IS NOT NULL) g
            CROSS JOIN messages m
            WHERE m.account = $1 AND m.uidl = g.uidl AND coalesce(m.size, -1) = coalesce(g.size, -1)
                AND m.epoch = $2 AND m.content IS NULL
        ) known
        WHERE listing.alike = known.alike AND listing.nth = known.nth";
    sqlx::query(sql).bind(account.id).bind(account.epoch).execute(connection).await?;
    Ok(())
}

/// How many are probably no strangers, though only their content will tell: under the same UIDL something was
/// retrieved before.
pub(super) async fn returning(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<u64> {
    // Asked plainly, the index of contents would be searched from end to end.
    let sql = "
        SELECT count(*) FROM listing
        WHERE alike IS NOT NULL AND message IS NULL AND uidl IN (
            SELECT g.uidl FROM (SELECT DISTINCT uidl FROM listing WHERE alike IS NOT NULL) g
            WHERE EXISTS (
                SELECT 1 FROM messages m
                WHERE m.account = $1 AND m.uidl = g.uidl AND m.epoch = $2 AND length(m.content) > 0
            )
        )";
    let count: i64 =
        sqlx::query_scalar(sql).bind(account.id).bind(account.epoch).fetch_one(connection).await?;
    Ok(unsigned(count))
}

/// What was not in the last listing, and is in this one.
async fn come_back(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let sql = "
        UPDATE messages SET last_listing = NULL, last_listed_at = NULL
        WHERE id IN (SELECT message FROM listing WHERE message IS NOT NULL) AND last_listing IS NOT NULL";
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

/// Row ids only grow.
async fn newest(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM messages").fetch_one(connection).await
}

/// Gives a row to each listed message without one, the wanted before the others, each in the server's order:
/// ids grow with it, and `due` goes by them. Returns how many are wanted.
async fn add_unknown(
    connection: &mut SqliteConnection,
    account: &Account,
    intake: &Intake,
    look: Look,
) -> sqlx::Result<u64> {
    let mut new = 0;
    for (wanted, state) in [(1, "due"), (0, "skipped")] {
        let newest = newest(connection).await?;
        let sql = "
            INSERT INTO messages (account, uidl, first_uidl, size, epoch, first_listing)
            SELECT $1, uidl, uidl, size, $2, $3 FROM listing
            WHERE message IS NULL AND wanted = $4 ORDER BY position";
        let added = sqlx::query(sql)
            .bind(account.id)
            .bind(account.epoch)
            .bind(account.listing + 1)
            .bind(wanted)
            .execute(&mut *connection)
            .await?;
        if added.rows_affected() > 0 {
            match_added(connection, newest, wanted).await?;
            add_deliveries(connection, newest, state, intake, look).await?;
        }
        new += if wanted == 1 { added.rows_affected() } else { 0 };
    }
    Ok(new)
}

/// Which of the rows newer than `newest` is which listed message: both are in the server's order. Only of interest where
/// nothing else tells.
async fn match_added(connection: &mut SqliteConnection, newest: i64, wanted: i64) -> sqlx::Result<()> {
    let sql = "
        UPDATE listing SET message = added.id
        FROM (
            SELECT id, row_number() OVER (ORDER BY id) AS place FROM messages WHERE id > $1
        ) added
        JOIN (
            SELECT position, row_number() OVER (ORDER BY position) AS place FROM listing
            WHERE message IS NULL AND wanted = $2
        ) unknown USING (place)
        WHERE listing.position = unknown.position AND listing.alike IS NOT NULL";
    sqlx::query(sql).bind(newest).bind(wanted).execute(connection).await?;
    Ok(())
}

/// See [`TakenIn::vague`].
async fn vague(
    connection: &mut SqliteConnection,
    listing: &Listing,
    part: &Part,
) -> sqlx::Result<Vec<(MessageId, u32)>> {
    let sql = "
        SELECT message, position FROM listing WHERE alike IS NOT NULL AND message IS NOT NULL";
    let vague: Vec<(MessageId, i64)> = sqlx::query_as(sql).fetch_all(connection).await?;
    let number = |position: i64| {
        let place = part.places.start + usize::try_from(position).ok()?.checked_sub(1)?;
        Some(listing.from(place).next()?.number)
    };
    Ok(vague.into_iter().filter_map(|(id, position)| Some((id, number(position)?))).collect())
}

/// For messages newer than `newest`.
async fn add_deliveries(
    connection: &mut SqliteConnection,
    newest: i64,
    state: &str,
    intake: &Intake,
    look: Look,
) -> sqlx::Result<()> {
    let routes = intake.routes.iter().zip(&intake.folders);
    let routes: Value = routes.map(|(route, folder)| json!([route.as_str(), folder])).collect();
    let sql = "
        INSERT INTO deliveries (account, message, destination, state, since, folder, look_validity, look_uid)
        SELECT m.account, m.id, t.id, $2, $3, r.value ->> 1,
            CASE WHEN $5 AND t.kind = 'imap' THEN coalesce(f.start_validity, 0) END,
            CASE WHEN $5 AND t.kind = 'imap' THEN CASE WHEN $6 THEN 1 ELSE coalesce(f.start_uid_next, 1) END END
        FROM messages m
        JOIN json_each($4) r
        JOIN destinations t ON t.name = r.value ->> 0
        LEFT JOIN folders f ON f.destination = t.id AND f.folder = r.value ->> 1
        WHERE m.id > $1
        ORDER BY m.id, t.id
        ON CONFLICT DO NOTHING";
    sqlx::query(sql)
        .bind(newest)
        .bind(state)
        .bind(unix(intake.now))
        .bind(routes.to_string())
        .bind(look != Look::Nowhere)
        .bind(look == Look::Everywhere)
        .execute(connection)
        .await?;
    Ok(())
}

/// The rows of what is listed: those that were known, and those that were added after `newest`.
async fn listed(connection: &mut SqliteConnection, newest: i64) -> sqlx::Result<Vec<MessageId>> {
    let sql = "
        SELECT json_group_array(id) FROM (
            SELECT message AS id FROM listing WHERE message <= $1
            UNION ALL SELECT id FROM messages WHERE id > $1
        )";
    let listed: String = sqlx::query_scalar(sql).bind(newest).fetch_one(connection).await?;
    ids(&listed)
}

/// Many of them come in one piece: row by row it would take several times as long.
fn ids(array: &str) -> sqlx::Result<Vec<MessageId>> {
    let ids: Vec<i64> = serde_json::from_str(array).map_err(|fault| sqlx::Error::Decode(fault.into()))?;
    Ok(ids.into_iter().map(MessageId).collect())
}

/// So many rows are looked through at a time.
const PAGE: usize = 5_000;

/// Of the rows after `after` that were in the last listing, those not in `listed` have left. Returns how many, and up to
/// which row it has looked, if there may be more.
async fn leave(
    connection: &mut SqliteConnection,
    intake: &Intake,
    listed: &MessageIds,
    after: MessageId,
) -> sqlx::Result<Option<(u64, Option<MessageId>)>> {
    let Some(account) = Account::listed_by(connection, intake).await? else { return Ok(None) };
    let page = "
        SELECT json_group_array(id) FROM (
            SELECT id FROM messages WHERE account = $1 AND last_listing IS NULL AND id > $2 ORDER BY id LIMIT $3
        )";
    let page: String = sqlx::query_scalar(page)
        .bind(account.id)
        .bind(after)
        .bind(i64::try_from(PAGE).unwrap_or(i64::MAX))
        .fetch_one(&mut *connection)
        .await?;
    let page = ids(&page)?;
    let last = page.iter().max().copied().filter(|_| page.len() == PAGE);
    let gone: Vec<MessageId> = page.into_iter().filter(|id| !listed.contains(*id)).collect();
    if !gone.is_empty() {
        let sql = "
            UPDATE messages SET last_listing = $2, last_listed_at = $3
            WHERE id IN (SELECT value FROM json_each($1))";
        sqlx::query(sql)
            .bind(list(gone.iter().copied()))
            .bind(account.listing)
            .bind(unix(intake.now))
            .execute(connection)
            .await?;
    }
    Ok(Some((gone.len() as u64, last)))
}

async fn note_listing(
    connection: &mut SqliteConnection,
    intake: &Intake,
    is_vague: bool,
) -> sqlx::Result<bool> {
    let shortcut = intake.shortcut.filter(|_| !is_vague);
    let sql = "
        UPDATE accounts SET
            listing = listing + 1, listed_at = $2, listed_epoch = epoch, config_text = $3,
            shortcut_hash = $4, shortcut_count = $5, shortcut_octets = $6,
            recent_epoch = CASE WHEN $7 THEN epoch ELSE 0 END
        WHERE name = $1 AND epoch = $8";
    let noted = sqlx::query(sql)
        .bind(intake.account.as_str())
        .bind(unix(intake.now))
        .bind(&intake.config_text)
        .bind(shortcut.map(|shortcut| shortcut.hash.to_vec()))
        .bind(shortcut.map_or(0, |shortcut| int(shortcut.count)))
        .bind(shortcut.map_or(0, |shortcut| int(shortcut.octets)))
        .bind(intake.is_recent)
        .bind(intake.epoch)
        .execute(connection)
        .await?;
    Ok(noted.rows_affected() > 0)
}

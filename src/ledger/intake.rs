//! From a listing to rows: what is new gets one, what is gone is noted, what is known stays untouched.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::columns::{int, list, push_hex, unsigned};
use super::{Error, Ledger, MessageId, Outlives};
use crate::message::{AccountName, DestinationName, Listed, Uidl, unix};

/// A listing, taken in as a whole.
#[derive(Clone, Debug)]
pub struct Intake {
    pub account: AccountName,
    pub routes: Vec<DestinationName>,
    /// Parallel to `routes`: the folder of an IMAP destination.
    pub folders: Vec<String>,
    /// All that decides what a listing means: after a change no listing counts as unchanged.
    pub config_text: String,
    pub listing: Arc<Vec<Listed>>,
    /// The listing equals [`Past::shortcut`](super::Past::shortcut).
    pub unchanged: bool,
    /// What the next listing must equal to count as unchanged.
    pub shortcut: Option<Shortcut>,
    /// `import = "new"`: the numbers of what is wanted among the unknown; `None` wants all.
    pub fresh: Option<HashSet<u32>>,
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
    /// The numbers of those that UIDL and size do not tell apart, by their rows and in the order of these: what is owed
    /// to one of them must not go to the other.
    pub vague: Vec<(MessageId, u32)>,
}

impl Ledger {
    /// At least 20 messages are listed, and under 20 % of them are known: this may be another mailbox.
    pub async fn is_mostly_unknown(
        &self,
        account: &AccountName,
        listing: &Arc<Vec<Listed>>,
    ) -> Result<bool, Error> {
        if listing.len() < 20 {
            return Ok(false);
        }
        let (account, listing) = (account.clone(), Arc::clone(listing));
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                let account = Account::of(connection, &account).await?;
                fill(connection, &listing, None).await?;
                match_known(connection, &account).await?;
                let sql = "SELECT count(*) FROM listing WHERE message IS NOT NULL";
                let known: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
                let known = unsigned(known) + returning(connection, &account).await?;
                sqlx::query("DELETE FROM listing").execute(connection).await?;
                Ok(known * 5 < listing.len() as u64)
            })
        })
        .await
    }

    /// Takes in a listing. What is not known gets a row, with a delivery for each route.
    pub async fn take_in(&self, intake: Intake) -> Result<TakenIn, Error> {
        let account = intake.account.clone();
        let unknown_past = !self.has_listed(&account);
        let taken_in = self
            .write(Outlives::Power, move |connection| {
                Box::pin(async move { take_in(connection, &intake, unknown_past).await })
            })
            .await?;
        self.note_listed(account);
        Ok(taken_in)
    }
}

#[derive(FromRow)]
pub(super) struct Account {
    pub id: i64,
    pub epoch: i64,
    pub listing: i64,
    listed_at: Option<i64>,
    config_text: String,
}

impl Account {
    pub async fn of(connection: &mut SqliteConnection, name: &AccountName) -> sqlx::Result<Account> {
        let sql = "SELECT id, epoch, listing, listed_at, config_text FROM accounts WHERE name = $1";
        sqlx::query_as(sql).bind(name.as_str()).fetch_one(connection).await
    }
}

async fn take_in(
    connection: &mut SqliteConnection,
    intake: &Intake,
    unknown_past: bool,
) -> sqlx::Result<TakenIn> {
    let account = Account::of(connection, &intake.account).await?;
    if intake.unchanged && account.config_text == intake.config_text {
        let seen = "UPDATE accounts SET listed_at = $2 WHERE id = $1";
        sqlx::query(seen).bind(account.id).bind(unix(intake.now)).execute(connection).await?;
        return Ok(TakenIn::default());
    }
    fill(connection, &intake.listing, intake.fresh.as_ref()).await?;
    match_known(connection, &account).await?;
    let returning = returning(connection, &account).await?;
    let gone = leave(connection, &account).await?.saturating_sub(returning);
    let new = add_unknown(connection, &account, intake, unknown_past).await?.saturating_sub(returning);
    let vague = vague(connection, &intake.listing).await?;
    note_listing(connection, &account, intake, vague.is_empty()).await?;
    sqlx::query("DELETE FROM listing").execute(connection).await?;
    Ok(TakenIn { new, gone, vague })
}

/// Parameters of this size, whatever a server sends.
const CHUNK: usize = 256 << 10;

pub(super) async fn fill(
    connection: &mut SqliteConnection,
    listing: &[Listed],
    fresh: Option<&HashSet<u32>>,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM listing").execute(&mut *connection).await?;
    let mut rest = listing.iter();
    while rest.len() > 0 {
        // Positions count from 1. An object with UIDLs for its names is parsed once, not once a row.
        let sql = "INSERT INTO listing (uidl, size) SELECT unhex(key), value FROM json_each($1)";
        sqlx::query(sql).bind(chunk(&mut rest)).execute(&mut *connection).await?;
    }
    let vague = nths(listing).into_iter().zip(1_u32..).filter(|(nth, _)| *nth > 0);
    let vague: Vec<Value> = vague.map(|(nth, position)| json!([position, nth])).collect();
    if !vague.is_empty() {
        let sql = "
            UPDATE listing SET nth = j.value ->> 1 FROM json_each($1) j WHERE position = j.value ->> 0";
        sqlx::query(sql).bind(list(vague)).execute(&mut *connection).await?;
    }
    if let Some(fresh) = fresh {
        let fresh = listing.iter().zip(1_u32..).filter(|(listed, _)| fresh.contains(&listed.number));
        let sql = "UPDATE listing SET wanted = position IN (SELECT value FROM json_each($1))";
        sqlx::query(sql).bind(list(fresh.map(|(_, position)| position))).execute(connection).await?;
    }
    Ok(())
}

/// `{"<uidl>": size, ...}`
fn chunk<'a>(rest: &mut impl Iterator<Item = &'a Listed>) -> String {
    let mut chunk = String::with_capacity(CHUNK + 4096);
    for Listed { uidl, size, .. } in rest {
        chunk.push_str(if chunk.is_empty() { "{\"" } else { ",\"" });
        push_hex(&mut chunk, uidl.as_bytes());
        chunk.push_str("\":");
        chunk.push_str(&size.map_or_else(|| "null".to_owned(), |size| int(size).to_string()));
        if chunk.len() > CHUNK {
            break;
        }
    }
    chunk.push('}');
    chunk
}

/// For each listed message 0, or its place (from 1) among those that UIDL and size do not tell apart: only
/// content does. A blank UIDL tells nothing.
fn nths(listing: &[Listed]) -> Vec<u32> {
    // In the listing's order within a UIDL.
    let mut by_uidl: Vec<usize> = (0..listing.len()).collect();
    by_uidl.sort_by_key(|&at| &listing[at].uidl);
    let mut nths = vec![0; listing.len()];
    for bearers in by_uidl.chunk_by(|&a, &b| listing[a].uidl == listing[b].uidl) {
        let uidl = &listing[bearers[0]].uidl;
        let mut of_size: HashMap<Option<u64>, u32> = HashMap::new();
        for &at in bearers {
            *of_size.entry(listing[at].size).or_default() += 1;
        }
        // A size that is not known may be any of them.
        let all_vague = uidl.as_bytes().is_empty() || (bearers.len() > 1 && of_size.contains_key(&None));
        let mut places: HashMap<Option<u64>, u32> = HashMap::new();
        for &at in bearers {
            let size = listing[at].size;
            if all_vague || of_size.get(&size) > Some(&1) {
                let place = places.entry(size).or_default();
                *place += 1;
                nths[at] = *place;
            }
        }
    }
    nths
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
        WHERE nth = 0";
    // What we deleted and then missed is gone: under its UIDL comes another message.
    let in_an_earlier = "
        UPDATE listing SET message = (
            SELECT CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN max(m.id) ELSE 0 END FROM messages m
            WHERE m.account = $1 AND m.uidl = listing.uidl AND m.epoch = $2 AND m.last_listing IS NOT NULL
                AND coalesce(m.size, -1) BETWEEN coalesce(listing.size, -1) AND coalesce(listing.size, $3)
                AND m.deleted_at IS NULL
        )
        WHERE nth = 0 AND message IS NULL";
    for sql in [in_the_previous, in_an_earlier] {
        sqlx::query(sql)
            .bind(account.id)
            .bind(account.epoch)
            .bind(i64::MAX)
            .execute(&mut *connection)
            .await?;
    }
    let vague = "UPDATE listing SET nth = 1, message = NULL WHERE message = 0";
    sqlx::query(vague).execute(&mut *connection).await?;
    match_vague(connection, account).await
}

/// Messages that only content tells apart are retrieved at every listing, and nobody knows which row they are
/// until then. But rows that were never retrieved (skipped, too large) have no content: they go by place.
async fn match_vague(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<()> {
    let sql = "
        UPDATE listing SET message = known.id
        FROM (
            SELECT m.id, m.uidl, m.size, row_number() OVER (
                PARTITION BY m.uidl, m.size ORDER BY m.last_listing IS NOT NULL, m.id
            ) AS place
            FROM messages m
            WHERE m.account = $1 AND m.epoch = $2 AND m.content IS NULL
                AND m.uidl IN (SELECT uidl FROM listing WHERE nth > 0)
        ) known
        WHERE nth > 0 AND known.uidl = listing.uidl AND known.size IS listing.size
            AND known.place = listing.nth";
    sqlx::query(sql).bind(account.id).bind(account.epoch).execute(connection).await?;
    Ok(())
}

/// How many are probably no strangers, though only their content will tell: under the same UIDL something was
/// retrieved before.
pub(super) async fn returning(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<u64> {
    let sql = "
        SELECT count(*) FROM listing
        WHERE nth > 0 AND message IS NULL AND uidl IN (
            SELECT m.uidl FROM messages m
            WHERE m.account = $1 AND m.epoch = $2 AND m.content IS NOT NULL
                AND m.uidl IN (SELECT uidl FROM listing WHERE nth > 0)
        )";
    let count: i64 =
        sqlx::query_scalar(sql).bind(account.id).bind(account.epoch).fetch_one(connection).await?;
    Ok(unsigned(count))
}

/// Notes what is not listed any more, and what is listed again. Returns how many are not.
async fn leave(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<u64> {
    let gone = "
        UPDATE messages SET last_listing = $2, last_listed_at = $3
        WHERE account = $1 AND last_listing IS NULL
            AND id NOT IN (SELECT message FROM listing WHERE message IS NOT NULL)";
    let gone = sqlx::query(gone)
        .bind(account.id)
        .bind(account.listing)
        .bind(account.listed_at)
        .execute(&mut *connection)
        .await?;
    let back = "
        UPDATE messages SET last_listing = NULL, last_listed_at = NULL
        WHERE id IN (SELECT message FROM listing WHERE message IS NOT NULL) AND last_listing IS NOT NULL";
    sqlx::query(back).execute(connection).await?;
    Ok(gone.rows_affected())
}

/// Gives a row to each listed message without one, the wanted before the others, each in the server's order:
/// ids grow with it, and `due` goes by them. Returns how many are wanted.
async fn add_unknown(
    connection: &mut SqliteConnection,
    account: &Account,
    intake: &Intake,
    unknown_past: bool,
) -> sqlx::Result<u64> {
    let mut new = 0;
    for (wanted, state) in [(1, "due"), (0, "skipped")] {
        let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM messages")
            .fetch_one(&mut *connection)
            .await?;
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
            add_deliveries(connection, newest, state, intake, unknown_past).await?;
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
        WHERE listing.position = unknown.position AND listing.nth > 0";
    sqlx::query(sql).bind(newest).bind(wanted).execute(connection).await?;
    Ok(())
}

/// See [`TakenIn::vague`].
async fn vague(connection: &mut SqliteConnection, listing: &[Listed]) -> sqlx::Result<Vec<(MessageId, u32)>> {
    let sql = "SELECT message, position FROM listing WHERE nth > 0 AND message IS NOT NULL ORDER BY message";
    let rows: Vec<(MessageId, i64)> = sqlx::query_as(sql).fetch_all(connection).await?;
    let number = |position: i64| Some(listing.get(usize::try_from(position).ok()?.checked_sub(1)?)?.number);
    Ok(rows.into_iter().filter_map(|(id, position)| Some((id, number(position)?))).collect())
}

/// For messages newer than `newest`.
async fn add_deliveries(
    connection: &mut SqliteConnection,
    newest: i64,
    state: &str,
    intake: &Intake,
    unknown_past: bool,
) -> sqlx::Result<()> {
    let routes = intake.routes.iter().zip(&intake.folders);
    let routes: Value = routes.map(|(route, folder)| json!([route.as_str(), folder])).collect();
    let sql = "
        INSERT INTO deliveries (account, message, destination, state, since, folder, look_validity, look_uid)
        SELECT m.account, m.id, t.id, $2, $3, r.value ->> 1,
            CASE WHEN $5 AND t.kind = 'imap' THEN coalesce(f.uid_validity, 0) END,
            CASE WHEN $5 AND t.kind = 'imap' THEN coalesce(f.uid_next, 1) END
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
        .bind(unknown_past)
        .execute(connection)
        .await?;
    Ok(())
}

async fn note_listing(
    connection: &mut SqliteConnection,
    account: &Account,
    intake: &Intake,
    all_clear: bool,
) -> sqlx::Result<()> {
    // Where a UIDL repeats, the next listing needs the sizes even if nothing has changed: they tell which is which.
    let uidls: HashSet<&Uidl> = intake.listing.iter().map(|listed| &listed.uidl).collect();
    let shortcut = intake.shortcut.filter(|_| all_clear && uidls.len() == intake.listing.len());
    let sql = "
        UPDATE accounts SET
            listing = $2, listed_at = $3, listed_epoch = epoch, config_text = $4,
            shortcut_hash = $5, shortcut_count = $6, shortcut_octets = $7
        WHERE id = $1";
    sqlx::query(sql)
        .bind(account.id)
        .bind(account.listing + 1)
        .bind(unix(intake.now))
        .bind(&intake.config_text)
        .bind(shortcut.map(|shortcut| shortcut.hash.to_vec()))
        .bind(shortcut.map_or(0, |shortcut| int(shortcut.count)))
        .bind(shortcut.map_or(0, |shortcut| int(shortcut.octets)))
        .execute(connection)
        .await?;
    Ok(())
}

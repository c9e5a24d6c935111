//! Deliveries whose answer was lost: where to look for them, and when to believe that they are not there.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, FromRow, SqliteConnection};

use super::columns::{digest, int, list, small, unsigned};
use super::deliveries::{Proof, delivered, in_vain, note_folders, settled};
use super::{DeliveryId, Error, Ledger, Outlives, Settled, Terms};
use crate::message::{AccountName, DestinationName, Found, LeaveCopy, Mark, Receipt, unix};

/// A delivery to be looked for: its answer was lost, or it is the twin of such a one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookUp {
    pub delivery: DeliveryId,
    pub destination: DestinationName,
    pub mark: Mark,
    /// UIDVALIDITY and UID of messages from the mark on that are the receipts of other deliveries: a UID proves one
    /// delivery only.
    pub taken: Vec<(u32, u32)>,
}

/// How long two messages may be under way to a folder side by side, in seconds: then either's mark may be below the other's
/// copy.
pub(super) const SIDE_BY_SIDE: i64 = 600;

/// Whether `o` was stored under a UID that nobody knows, and as late as that its copy may be taken for that of `d`: a server
/// may show it only when the folder has new UIDs. `$3` is [`SIDE_BY_SIDE`].
const MAY_BE_OURS: &str = "
    (o.state = 'delivered' AND o.uid IS NULL AND (
        o.mark_validity = d.mark_validity AND o.mark_uid_next >= d.mark_uid_next
        OR o.since >= coalesce(d.marked_at, 0) - $3
    ))";

/// The ids of other deliveries to the folder of `$1`, of an equal message or one with its Message-ID, of which what was sent
/// is known. An index leads to each: to what is being sent, as to anything of that state, by its account.
const ALIKE: &str = "
    alike (id) AS (
        SELECT o.id FROM deliveries d
        JOIN deliveries o ON o.destination = d.destination AND o.mark_hash = d.mark_hash
        WHERE d.id = $1 AND o.id <> d.id AND o.folder = d.folder AND o.folder <> '' AND o.state <> 'attempting'
        UNION
        SELECT o.id FROM deliveries d
        JOIN deliveries o ON o.destination = d.destination AND o.mark_message_id = d.mark_message_id
        WHERE d.id = $1 AND o.id <> d.id AND o.folder = d.folder AND o.folder <> '' AND o.state <> 'attempting'
            AND o.mark_hash IS NOT NULL
        UNION
        SELECT o.id FROM deliveries d CROSS JOIN accounts a CROSS JOIN deliveries o
        WHERE d.id = $1 AND o.account = a.id AND o.state = 'attempting' AND o.id <> d.id
            AND o.destination = d.destination AND o.folder = d.folder AND o.folder <> ''
            AND (o.mark_hash = d.mark_hash OR o.mark_message_id = d.mark_message_id)
    )";

/// The other deliveries of `d`'s content to this folder that have a copy there under a UID that nobody knows, now that
/// UIDVALIDITY is this: `o`. What an account took that is no longer configured was perhaps this account's mail, under its
/// former name.
fn twins_in(folder: &str, uid_validity: &str) -> String {
    format!(
        "
        FROM messages m CROSS JOIN accounts a CROSS JOIN messages n CROSS JOIN deliveries o
        WHERE m.id = d.message AND a.configured = 1 AND n.account = a.id AND n.content = m.content AND n.id <> m.id
            AND o.message = n.id AND o.destination = d.destination AND o.folder = {folder}
            AND o.state = 'delivered' AND (o.uid IS NULL OR o.uid_validity <> {uid_validity})"
    )
}

impl Ledger {
    /// The account's look-ups whose time has come. Where an equal message, or one with its Message-ID, of any account, was
    /// stored meanwhile and nobody knows under which UID, that one is looked for as well, and first: its copy is no proof of
    /// the other's delivery.
    pub async fn look_ups_due(
        &self,
        account: &AccountName,
        now: DateTime<Utc>,
    ) -> Result<Vec<LookUp>, Error> {
        let sql = format!(
            "
            WITH unknown AS MATERIALIZED (
                SELECT d.* FROM deliveries d JOIN accounts a ON a.id = d.account
                WHERE a.name = $1 AND d.state = 'attempting' AND d.look_up_at <= $2
            ),
            wanted (id, is_unknown) AS (
                SELECT id, 1 FROM unknown
                UNION
                SELECT o.id, 0 FROM unknown d
                JOIN deliveries o ON o.destination = d.destination AND o.mark_hash = d.mark_hash
                WHERE o.folder = d.folder AND o.folder <> '' AND o.state <> 'attempting' AND {MAY_BE_OURS}
                UNION
                SELECT o.id, 0 FROM unknown d
                JOIN deliveries o ON o.destination = d.destination AND o.mark_message_id = d.mark_message_id
                WHERE o.folder = d.folder AND o.folder <> '' AND o.mark_hash IS NOT NULL
                    AND o.state <> 'attempting' AND {MAY_BE_OURS}
            )
            SELECT d.id, t.name AS destination, d.folder, d.mark_validity, d.mark_uid_next, d.mark_octets,
                d.mark_hash, d.mark_message_id
            FROM wanted w JOIN deliveries d ON d.id = w.id JOIN destinations t ON t.id = d.destination
            ORDER BY w.is_unknown, w.id"
        );
        let rows: Vec<LookUpRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(account.as_str())
            .bind(unix(now))
            .bind(SIDE_BY_SIDE)
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())?;
        let mut look_ups = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(destination) = DestinationName::new(&row.destination) else { continue };
            let mark = row.mark();
            let taken = self.taken_since(&destination, &mark).await?;
            look_ups.push(LookUp { delivery: row.id, destination, mark, taken });
        }
        Ok(look_ups)
    }

    /// Receipts of deliveries to the mark's folder from the mark on; where UIDVALIDITY has changed since, also those that
    /// bear the new one.
    pub(super) async fn taken_since(
        &self,
        destination: &DestinationName,
        mark: &Mark,
    ) -> Result<Vec<(u32, u32)>, Error> {
        let sql = "
            SELECT d.uid_validity, d.uid FROM destinations t CROSS JOIN deliveries d
            WHERE t.name = $1 AND d.destination = t.id AND d.folder = $2 AND d.uid_validity = $3 AND d.uid >= $4
            UNION ALL
            SELECT d.uid_validity, d.uid FROM destinations t CROSS JOIN folders f CROSS JOIN deliveries d
            WHERE t.name = $1 AND f.destination = t.id AND f.folder = $2 AND f.uid_validity <> $3
                AND d.destination = t.id AND d.folder = $2 AND d.uid_validity = f.uid_validity AND d.uid >= 0
            ORDER BY 1, 2";
        sqlx::query_as(sql)
            .bind(destination.as_str())
            .bind(&mark.folder)
            .bind(i64::from(mark.uid_validity))
            .bind(i64::from(mark.uid_next))
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())
    }

    /// UIDs at or above `uid_next` that are the receipts of deliveries to that folder.
    pub async fn taken(
        &self,
        destination: &DestinationName,
        folder: &str,
        uid_validity: u32,
        uid_next: u32,
    ) -> Result<Vec<u32>, Error> {
        let sql = "
            SELECT d.uid FROM deliveries d JOIN destinations t ON t.id = d.destination
            WHERE t.name = $1 AND d.folder = $2 AND d.uid_validity = $3 AND d.uid >= $4 ORDER BY d.uid";
        sqlx::query_scalar(sql)
            .bind(destination.as_str())
            .bind(folder)
            .bind(i64::from(uid_validity))
            .bind(i64::from(uid_next))
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())
    }

    /// For each of these deliveries to one destination, in their order: the other messages with its content that have been
    /// delivered to that folder and are there, if they still are, under UIDs that nobody knows. Each is a UID that it cannot
    /// be below. UIDVALIDITY is what it is now.
    pub async fn twins(
        &self,
        deliveries: &[DeliveryId],
        folder: &str,
        uid_validity: u32,
    ) -> Result<Vec<Vec<u32>>, Error> {
        let twins = twins_in("$2", "$3");
        let sql = format!(
            "
            SELECT (SELECT json_group_array(iif(o.mark_validity = $3, o.mark_uid_next, 1)) {twins})
            FROM json_each($1) j JOIN deliveries d ON d.id = j.value ORDER BY j.key"
        );
        let twins: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(list(deliveries.iter().copied()))
            .bind(folder)
            .bind(i64::from(uid_validity))
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())?;
        twins.iter().map(|array| uids(array)).collect::<sqlx::Result<_>>().map_err(self.sql_error())
    }

    /// These were found in the past of that folder, wherever they are to go today: what is known of their UIDs is known of
    /// that one.
    pub async fn found_in(&self, deliveries: &[DeliveryId], folder: &str) -> Result<(), Error> {
        let (ids, folder) = (list(deliveries.iter().copied()), folder.to_owned());
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                let sql = "
                    UPDATE deliveries SET folder = $2, look_validity = 0, look_uid = 1
                    WHERE id IN (SELECT value FROM json_each($1)) AND state <> 'attempting'";
                sqlx::query(sql).bind(ids).bind(folder).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Takes in what look-ups found. Returns the deliveries that are settled by it, or due again; the others
    /// are looked for again later. `leave_copy` is the account's, as it is now.
    pub async fn settle_look_ups(
        &self,
        found: Vec<(DeliveryId, Found)>,
        leave_copy: LeaveCopy,
        now: DateTime<Utc>,
    ) -> Result<Vec<Settled>, Error> {
        let terms = self.terms;
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { settle_look_ups(connection, &found, leave_copy, terms, now).await })
        })
        .await
    }
}

fn uids(array: &str) -> sqlx::Result<Vec<u32>> {
    serde_json::from_str(array).map_err(|fault| sqlx::Error::Decode(fault.into()))
}

#[derive(FromRow)]
struct LookUpRow {
    id: DeliveryId,
    destination: String,
    folder: String,
    mark_validity: i64,
    mark_uid_next: i64,
    mark_octets: i64,
    mark_hash: Option<Vec<u8>>,
    mark_message_id: Option<String>,
}

impl LookUpRow {
    fn mark(&self) -> Mark {
        Mark {
            folder: self.folder.clone(),
            uid_validity: small(self.mark_validity),
            uid_next: small(self.mark_uid_next),
            octets: unsigned(self.mark_octets),
            hash: self.mark_hash.as_deref().map_or([0; 32], digest),
            message_id: self.mark_message_id.clone(),
            gist: None,
        }
    }
}

async fn settle_look_ups(
    connection: &mut SqliteConnection,
    found: &[(DeliveryId, Found)],
    leave_copy: LeaveCopy,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Settled>> {
    let mut ended = Vec::new();
    let looked_for = list(found.iter().map(|(id, _)| *id));
    for (id, found) in found {
        let has_ended = match found {
            Found::Found { receipt } => {
                claim(connection, *id, receipt, &looked_for, leave_copy, terms, now).await?
            }
            Found::Changed { receipt, candidates } => {
                if rivals(connection, *id).await? < int(*candidates as u64) {
                    claim(connection, *id, receipt, &looked_for, leave_copy, terms, now).await?
                } else {
                    cannot_say(connection, *id, NAMESAKES, terms, now).await?
                }
            }
            Found::Absent => absent(connection, *id, terms, now).await?,
            Found::CannotSay { reason } => cannot_say(connection, *id, reason, terms, now).await?,
            Found::Unreachable { reason } => {
                ask_later(connection, *id, reason, now).await?;
                false
            }
        };
        if has_ended {
            ended.push(*id);
        }
    }
    settled(connection, &ended).await
}

const NAMESAKES: &str =
    "the folder holds a message with its Message-ID, which may be that of another message";

/// Takes a copy for the proof, unless it may be that of another message: then it is looked for again. Returns whether the
/// look-ups are over.
async fn claim(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    receipt: &Receipt,
    looked_for: &str,
    leave_copy: LeaveCopy,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    if was_renumbered(connection, id, receipt).await? {
        return cannot_say(connection, id, EQUALS, terms, now).await;
    }
    if is_anothers(connection, id, receipt, looked_for).await? {
        let again = "UPDATE deliveries SET look_up_at = $2 WHERE id = $1 AND state = 'attempting'";
        sqlx::query(again).bind(id).bind(unix(now) + 1).execute(connection).await?;
        return Ok(false);
    }
    if knows_uid_now(connection, id, receipt).await? {
        return Ok(false);
    }
    delivered(connection, &[(id, receipt)], Proof::LookUp, leave_copy, now).await?;
    Ok(true)
}

const EQUALS: &str = "the folder has new UIDs, and the copy in it may be that of an equal message";

/// Whether the folder has got new UIDs since this was sent, and a copy may be that of an equal message that had one of the
/// old.
async fn was_renumbered(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    receipt: &Receipt,
) -> sqlx::Result<bool> {
    let Receipt::Uid { uid_validity, .. } = receipt else { return Ok(false) };
    let twins = twins_in("d.folder", "$2");
    let sql = format!(
        "
        SELECT EXISTS (
            SELECT 1 FROM deliveries d
            WHERE d.id = $1 AND d.state = 'attempting' AND d.mark_validity <> $2 AND EXISTS (SELECT 1 {twins})
        )"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).bind(uid_validity).fetch_one(connection).await
}

/// Whether a copy has become the proof of another delivery while it was looked for, or may do so: an equal message, or one
/// with its Message-ID, is just being stored, or was since, and was not among those that were `looked_for`.
async fn is_anothers(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    receipt: &Receipt,
    looked_for: &str,
) -> sqlx::Result<bool> {
    let Receipt::Uid { uid_validity, uid } = receipt else { return Ok(false) };
    let proved = "
        SELECT EXISTS (
            SELECT 1 FROM deliveries d
            JOIN deliveries o ON o.destination = d.destination AND o.uid_validity = $2 AND o.uid = $3
            WHERE d.id = $1 AND o.id <> d.id AND o.folder = d.folder
        )";
    let proved: bool =
        sqlx::query_scalar(proved).bind(id).bind(uid_validity).bind(uid).fetch_one(&mut *connection).await?;
    let under_way = format!(
        "
        WITH {ALIKE}
        SELECT EXISTS (
            SELECT 1 FROM deliveries d CROSS JOIN alike CROSS JOIN deliveries o
            WHERE d.id = $1 AND o.id = alike.id AND (
                o.state = 'attempting' AND o.sent_at IS NULL
                OR {MAY_BE_OURS} AND o.id NOT IN (SELECT value FROM json_each($2))
            )
        )"
    );
    let under_way = sqlx::query_scalar(AssertSqlSafe(under_way)).bind(id).bind(looked_for).bind(SIDE_BY_SIDE);
    Ok(proved || under_way.fetch_one(connection).await?)
}

/// How many copies with its Message-ID may be those of messages that are not equal: each has one, and one more for an
/// attempt whose outcome nobody could tell.
async fn rivals(connection: &mut SqliteConnection, id: DeliveryId) -> sqlx::Result<i64> {
    let sql = format!(
        "
        WITH {ALIKE}
        SELECT coalesce(sum((o.marked = 1 OR o.state = 'delivered' AND o.uid IS NULL) + o.unverified), 0)
        FROM deliveries d CROSS JOIN alike CROSS JOIN deliveries o
        WHERE d.id = $1 AND o.id = alike.id AND o.mark_message_id = d.mark_message_id AND o.mark_hash <> d.mark_hash
            AND (o.marked = 1 OR o.unverified = 1 OR {MAY_BE_OURS})"
    );
    let rivals = sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).bind(0).bind(SIDE_BY_SIDE);
    rivals.fetch_one(connection).await
}

/// Whether this is a delivery that is known to have been made; now it is known where to.
async fn knows_uid_now(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    receipt: &Receipt,
) -> sqlx::Result<bool> {
    let Receipt::Uid { uid_validity, uid } = receipt else { return Ok(false) };
    let sql = "
        UPDATE deliveries SET uid_validity = $2, uid = $3, receipt = $4 WHERE id = $1 AND state = 'delivered'";
    let known = sqlx::query(sql).bind(id).bind(uid_validity).bind(uid).bind(receipt.to_string());
    let is_known = known.execute(&mut *connection).await?.rows_affected() > 0;
    if is_known {
        // So that its copy is taken from now on, also where UIDs are new.
        note_folders(connection, std::iter::once((id, *uid_validity, uid.saturating_add(1)))).await?;
    }
    Ok(is_known)
}

/// Believed at the second look, made long enough after the last byte: a server may still be storing what it
/// has received. So it is with an equal message: the copy that is there already has perhaps been taken for that one's.
/// Returns whether the look-ups are over.
async fn absent(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let wait = int(terms.absent_after.as_secs());
    let last_sent = last_sent(connection, id, now).await?;
    let believe = "
        UPDATE deliveries SET
            state = 'due', since = $2, marked = 0, retry_at = NULL, sent_at = NULL, look_up_at = NULL,
            absences = 0, blind = 0
        WHERE id = $1 AND state = 'attempting' AND absences > 0 AND $3 <= $2";
    let visible = last_sent + wait;
    let believed =
        sqlx::query(believe).bind(id).bind(unix(now)).bind(visible).execute(&mut *connection).await?;
    if believed.rows_affected() > 0 {
        in_vain(connection, id, terms, now).await?;
        return Ok(true);
    }
    let again = "
        UPDATE deliveries
        SET absences = absences + 1, blind = 0, look_up_at = max($3, $2 + 1)
        WHERE id = $1 AND state = 'attempting'";
    sqlx::query(again).bind(id).bind(unix(now)).bind(visible).execute(connection).await?;
    Ok(false)
}

/// When this or an equal message, of any account, was sent to the folder last, as far as that was before `now`. What an
/// answer has named the UID of is not meant: that copy is nobody else's.
async fn last_sent(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    let sql = format!(
        "
        WITH {ALIKE}
        SELECT max(
            coalesce(d.sent_at, 0),
            coalesce((
                SELECT max(CASE o.state WHEN 'delivered' THEN o.since ELSE o.sent_at END)
                FROM alike CROSS JOIN deliveries o
                WHERE o.id = alike.id AND o.mark_hash = d.mark_hash AND (
                    o.state = 'delivered' AND o.since <= $2 OR o.state = 'attempting' AND o.sent_at <= $2
                )
            ), 0)
        )
        FROM deliveries d WHERE d.id = $1"
    );
    let last: Option<i64> =
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).bind(unix(now)).fetch_optional(connection).await?;
    Ok(last.unwrap_or_default())
}

/// Waits between look-ups that could not be made, in seconds. After the last of them nobody will ever know.
const BLIND: [i64; 3] = [60, 5 * 60, 15 * 60];

/// Returns whether the look-ups are over.
async fn cannot_say(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    reason: &str,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let blind = "
        UPDATE deliveries SET blind = blind + 1, reason = $2 WHERE id = $1 AND state = 'attempting'
        RETURNING blind";
    let blind: Option<i64> =
        sqlx::query_scalar(blind).bind(id).bind(reason).fetch_optional(&mut *connection).await?;
    let Some(blind) = blind else { return Ok(false) };
    let Some(wait) = usize::try_from(blind - 1).ok().and_then(|nth| BLIND.get(nth)) else {
        // The mark stays: if the next answer is lost too, this attempt is looked for as well.
        let give_up = "
            UPDATE deliveries SET
                state = 'due', since = $2, unverified = 1, retry_at = NULL, sent_at = NULL, look_up_at = NULL,
                absences = 0, blind = 0
            WHERE id = $1";
        sqlx::query(give_up).bind(id).bind(unix(now)).execute(&mut *connection).await?;
        in_vain(connection, id, terms, now).await?;
        return Ok(true);
    };
    let again = "UPDATE deliveries SET look_up_at = $2 WHERE id = $1";
    sqlx::query(again).bind(id).bind(unix(now) + wait).execute(connection).await?;
    Ok(false)
}

/// The destination is down. Nothing is sent there before it can be asked, so it is asked for as long as that takes: after
/// twice the time each time, from a minute to a quarter of an hour.
async fn ask_later(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "
        UPDATE deliveries SET reason = $2, look_up_at = $3 + min(max($3 - sent_at, 60), 900)
        WHERE id = $1 AND state = 'attempting'";
    sqlx::query(sql).bind(id).bind(reason).bind(unix(now)).execute(connection).await?;
    Ok(())
}

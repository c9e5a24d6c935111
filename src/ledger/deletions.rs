//! What may be deleted at its source.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};

use super::columns::{DAY, content, leave_copy as age, list, unsigned};
use super::{Error, Ledger, MessageId, Outlives};
use crate::message::{AccountName, Content, LeaveCopy, Message, Uidl, unix};

/// A message that may go, and what must be checked against the server's bytes just before its DELE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub id: MessageId,
    /// What it is listed under now.
    pub uidl: Uidl,
    /// Octets according to LIST.
    pub size: Option<u64>,
    /// `None` where another program delivered it, so that it was never retrieved here: then the header decides.
    pub content: Option<Content>,
    pub header: Content,
    /// Another message had this UIDL, perhaps a twin with the same header: then all bytes are compared.
    pub has_namesake: bool,
    /// It is asked for by itself: it was not shown, or a session has ended while it was asked for with others.
    pub alone: bool,
    /// It was asked for in vain before.
    pub was_not_shown: bool,
}

impl Deletion {
    /// Whether these are the bytes that were delivered.
    pub fn is(&self, message: &Message) -> bool {
        self.content.map_or(message.header == self.header, |content| message.content == content)
    }
}

impl Ledger {
    /// Messages of the latest listing that may go, the oldest first, at most `limit`. Those whose DELE was sent before, in
    /// vain, come after the others, and after a day only once a day. What was not shown when it was asked for comes last, a
    /// day later, and not after a poll that failed, so that it holds up no other even where sessions end at it. Where each
    /// poll fails, a week later.
    pub async fn overdue_deletions(
        &self,
        account: &AccountName,
        leave_copy: LeaveCopy,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<Deletion>, Error> {
        let Some(age) = age(leave_copy) else { return Ok(Vec::new()) };
        let sql = "
            SELECT m.id, m.uidl, m.size, m.content, m.header,
                EXISTS (
                    SELECT 1 FROM messages other
                    WHERE other.account = m.account AND other.uidl = m.uidl AND other.id <> m.id
                ) AS has_namesake,
                m.alone, m.not_shown_at
            FROM messages m JOIN accounts a ON a.id = m.account
            WHERE a.name = $1 AND m.last_listing IS NULL AND m.opened = 0 AND m.stands_in = 0
                AND m.header IS NOT NULL
                AND (
                    m.not_shown_at IS NULL
                    OR (m.not_shown_at <= $3 - $5 OR m.not_shown_at > $3) AND a.failures = 0
                    OR m.not_shown_at <= $3 - 7 * $5
                )
                -- Another day since the first DELE has begun after the last poll.
                AND (
                    m.deleted_at IS NULL OR m.deleted_at > $3 - $5 OR a.last_poll_at IS NULL
                    OR ($3 - m.deleted_at) / $5 > (a.last_poll_at - m.deleted_at) / $5
                )
                AND (
                    SELECT count(*) FILTER (WHERE d.state = 'delivered') > 0
                        AND count(*) FILTER (WHERE d.state IN ('due', 'attempting', 'deferred', 'parked')) = 0
                        AND count(*) FILTER (WHERE d.state = 'delivered' AND (d.leave_copy IS NULL OR d.differs)) = 0
                        AND max(d.since) FILTER (WHERE d.state IN ('delivered', 'given up'))
                            + max($2, max(d.leave_copy) FILTER (WHERE d.state = 'delivered')) <= $3
                    FROM deliveries d WHERE d.message = m.id
                )
            ORDER BY m.not_shown_at, m.deleted_at IS NOT NULL, m.alone, m.id LIMIT $4";
        let rows: Vec<DeletionRow> = sqlx::query_as(sql)
            .bind(account.as_str())
            .bind(age)
            .bind(unix(now))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(DAY)
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())?;
        Ok(rows.into_iter().map(Deletion::from).collect())
    }

    /// These may go, and did not come when they were asked for.
    pub async fn not_shown(&self, ids: &[MessageId], now: DateTime<Utc>) -> Result<(), Error> {
        let ids = list(ids.iter().copied());
        let sql = "UPDATE messages SET not_shown_at = $2 WHERE id IN (SELECT value FROM json_each($1))";
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                sqlx::query(sql).bind(ids).bind(unix(now)).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Of these, the messages that may go now.
    pub async fn deletable(
        &self,
        ids: &[MessageId],
        leave_copy: LeaveCopy,
        now: DateTime<Utc>,
    ) -> Result<Vec<MessageId>, Error> {
        let Some(age) = age(leave_copy) else { return Ok(Vec::new()) };
        may_go(&self.readers, ids, age, now).await.map_err(self.sql_error())
    }

    /// Whether any of these has a delivery that is not settled: then a server must not drop it as retrieved (EXPIRE 0).
    /// With `parked` one counts too that is only for a person to decide, or that stays where it is.
    pub async fn any_waits(&self, ids: &[MessageId], parked: bool) -> Result<bool, Error> {
        let sql = "
            SELECT EXISTS (
                SELECT 1 FROM json_each($1) j JOIN deliveries d ON d.message = j.value
                JOIN messages m ON m.id = d.message
                WHERE d.state IN ('due', 'attempting', 'deferred')
                    OR (d.state = 'parked' OR d.differs OR m.unrouted_at IS NOT NULL) AND $2
            )";
        sqlx::query_scalar(sql)
            .bind(list(ids.iter().copied()))
            .bind(parked)
            .fetch_one(&self.readers)
            .await
            .map_err(self.sql_error())
    }

    /// These stand in for messages that their server could not hand out: they are never deleted.
    pub async fn keep_stand_ins(&self, ids: &[MessageId]) -> Result<(), Error> {
        let ids = list(ids.iter().copied());
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                let sql = "UPDATE messages SET stands_in = 1 WHERE id IN (SELECT value FROM json_each($1))";
                sqlx::query(sql).bind(ids).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Must have returned before the first DELE of these goes out: when one is missed in the next listing,
    /// its UIDL may come back for another message.
    pub async fn deleting(&self, ids: &[MessageId], now: DateTime<Utc>) -> Result<(), Error> {
        let ids = list(ids.iter().copied());
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { deleting(connection, &ids, now).await })
        })
        .await
    }
}

/// Of these, the messages that may go now where `age`, in seconds, is what the account's `leave_copy` is today.
pub(super) async fn may_go(
    ledger: impl SqliteExecutor<'_>,
    ids: &[MessageId],
    age: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<MessageId>> {
    let sql = "
        SELECT d.message FROM json_each($1) j JOIN deliveries d ON d.message = j.value
        JOIN messages m ON m.id = d.message AND m.stands_in = 0
        GROUP BY d.message
        HAVING count(*) FILTER (WHERE d.state = 'delivered') > 0
            AND count(*) FILTER (WHERE d.state IN ('due', 'attempting', 'deferred', 'parked')) = 0
            AND count(*) FILTER (WHERE d.state = 'delivered' AND (d.leave_copy IS NULL OR d.differs)) = 0
            AND max(d.since) FILTER (WHERE d.state IN ('delivered', 'given up'))
                + max($2, max(d.leave_copy) FILTER (WHERE d.state = 'delivered')) <= $3
        ORDER BY d.message";
    let ids = list(ids.iter().copied());
    sqlx::query_scalar(sql).bind(ids).bind(age).bind(unix(now)).fetch_all(ledger).await
}

async fn deleting(connection: &mut SqliteConnection, ids: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    // The first time stays: how long a deletion has had no effect is counted from it.
    let sql = "
        UPDATE messages SET deleted_at = coalesce(deleted_at, $2)
        WHERE id IN (SELECT value FROM json_each($1))";
    sqlx::query(sql).bind(ids).bind(unix(now)).execute(connection).await?;
    Ok(())
}

#[derive(FromRow)]
struct DeletionRow {
    id: MessageId,
    uidl: Vec<u8>,
    size: Option<i64>,
    content: Option<Vec<u8>>,
    header: Vec<u8>,
    has_namesake: bool,
    alone: bool,
    not_shown_at: Option<i64>,
}

impl From<DeletionRow> for Deletion {
    fn from(row: DeletionRow) -> Deletion {
        Deletion {
            id: row.id,
            uidl: Uidl::new(&row.uidl),
            size: row.size.map(unsigned),
            content: row.content.as_deref().map(content),
            header: content(&row.header),
            has_namesake: row.has_namesake,
            alone: row.alone || row.not_shown_at.is_some(),
            was_not_shown: row.not_shown_at.is_some(),
        }
    }
}

//! What people have signed in for, encrypted by who asks for it: the ledger cannot read it. None of it concerns the
//! holder of the ledger, so any visitor may change it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use sqlx::FromRow;
use tokio::sync::OnceCell;

use super::columns::moment;
use super::{Error, Ledger, Visitor};
use crate::auth::{Holder, Stored, TokenStore};
use crate::message::unix;

/// The tokens in the ledger at one place, which is opened when somebody asks for one.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    visitor: OnceCell<Visitor>,
}

impl Tokens {
    pub fn at(ledger: &Path) -> Tokens {
        Tokens { path: ledger.to_owned(), visitor: OnceCell::new() }
    }

    async fn visitor(&self) -> Result<&Visitor, Error> {
        self.visitor.get_or_try_init(|| Ledger::visit(&self.path)).await
    }

    /// Whether nobody has signed in.
    ///
    /// # Errors
    /// A clause.
    pub async fn is_empty(&self) -> Result<bool, String> {
        let visitor = match self.visitor().await {
            Err(Error::Missing(_)) => return Ok(true),
            visitor => visitor.map_err(|e| e.to_string())?,
        };
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM tokens)";
        sqlx::query_scalar(sql).fetch_one(&visitor.readers).await.map_err(|e| self.fault(&e))
    }

    fn fault(&self, fault: &sqlx::Error) -> String {
        Error::sql(&self.path, fault).to_string()
    }
}

impl TokenStore for Tokens {
    fn load<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<Option<Stored>, String>> {
        Box::pin(async move {
            let visitor = match self.visitor().await {
                // Then nobody has signed in yet.
                Err(Error::Missing(_)) => return Ok(None),
                visitor => visitor.map_err(|e| e.to_string())?,
            };
            let sql = "SELECT sealed, revision, consented_at, ends_at, ended FROM tokens WHERE holder = $1";
            let row = sqlx::query_as(sql).bind(holder.as_str()).fetch_optional(&visitor.readers).await;
            row.map(|row: Option<Row>| row.map(Stored::from)).map_err(|e| self.fault(&e))
        })
    }

    fn save<'a>(
        &'a self,
        holder: &'a Holder,
        stored: Stored,
        instead_of: Option<i64>,
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let visitor = self.visitor().await.map_err(|e| e.to_string())?;
            // By chance: no revision comes again, also where the row was removed meanwhile. SQLite's integers have a sign.
            let sql = "
                INSERT INTO tokens (holder, sealed, revision, consented_at, ends_at, ended)
                SELECT $1, $2, random() & 0x7fffffffffffffff, $3, $4, $5
                WHERE $6 IS NULL OR EXISTS (SELECT 1 FROM tokens WHERE holder = $1 AND revision = $6)
                ON CONFLICT (holder) DO UPDATE SET
                    sealed = excluded.sealed, revision = excluded.revision, leased_until = NULL,
                    consented_at = excluded.consented_at, ends_at = excluded.ends_at, ended = excluded.ended";
            let saved = sqlx::query(sql)
                .bind(holder.as_str())
                .bind(stored.sealed)
                .bind(unix(stored.consented_at))
                .bind(stored.ends_at.map(unix))
                .bind(stored.ended)
                .bind(instead_of)
                .execute(&mut *visitor.connection.lock().await)
                .await;
            saved.map(|saved| saved.rows_affected() > 0).map_err(|e| self.fault(&e))
        })
    }

    fn lease<'a>(
        &'a self,
        holder: &'a Holder,
        revision: i64,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let visitor = self.visitor().await.map_err(|e| e.to_string())?;
            // Where the clock was set back by more than a little, a lease would seem to last for ever.
            let sql = "
                UPDATE tokens SET leased_until = $4
                WHERE holder = $1 AND revision = $2
                    AND (leased_until IS NULL OR leased_until <= $3 OR leased_until > $4 + 60)";
            let taken = sqlx::query(sql)
                .bind(holder.as_str())
                .bind(revision)
                .bind(unix(now))
                .bind(unix(until))
                .execute(&mut *visitor.connection.lock().await)
                .await;
            taken.map(|taken| taken.rows_affected() > 0).map_err(|e| self.fault(&e))
        })
    }

    fn remove<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let visitor = self.visitor().await.map_err(|e| e.to_string())?;
            let removed = sqlx::query("DELETE FROM tokens WHERE holder = $1").bind(holder.as_str());
            let removed = removed.execute(&mut *visitor.connection.lock().await).await;
            removed.map(drop).map_err(|e| self.fault(&e))
        })
    }

    fn release<'a>(&'a self, holder: &'a Holder, revision: i64) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let visitor = self.visitor().await.map_err(|e| e.to_string())?;
            let sql = "UPDATE tokens SET leased_until = NULL WHERE holder = $1 AND revision = $2";
            let released = sqlx::query(sql).bind(holder.as_str()).bind(revision);
            let released = released.execute(&mut *visitor.connection.lock().await).await;
            released.map(drop).map_err(|e| self.fault(&e))
        })
    }
}

#[derive(FromRow)]
struct Row {
    sealed: Vec<u8>,
    revision: i64,
    consented_at: i64,
    ends_at: Option<i64>,
    ended: Option<String>,
}

impl From<Row> for Stored {
    fn from(row: Row) -> Stored {
        Stored {
            sealed: row.sealed,
            revision: row.revision,
            consented_at: moment(row.consented_at),
            ends_at: row.ends_at.map(moment),
            ended: row.ended,
        }
    }
}

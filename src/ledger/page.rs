//! What the page has to remember: its password, and who is signed in. None of it concerns the holder, so any visitor
//! may change it.

use chrono::{DateTime, Utc};
use sqlx::{Connection, SqliteConnection};

use super::{Error, Visitor};
use crate::message::unix;

/// SHA-256 of what the browser of somebody who is signed in has.
pub type Token = [u8; 32];

impl Visitor {
    /// The password, as a PHC string; `None` until somebody has chosen one.
    pub async fn page_password(&self) -> Result<Option<String>, Error> {
        let sql = "SELECT password FROM page";
        sqlx::query_scalar(sql).fetch_one(&self.readers).await.map_err(self.fault())
    }

    /// Sets the first password, a PHC string. Returns whether there was none before.
    pub async fn set_first_page_password(&self, password: &str) -> Result<bool, Error> {
        let sql = "UPDATE page SET password = $1 WHERE password IS NULL";
        let mut connection = self.connection.lock().await;
        let set = sqlx::query(sql).bind(password).execute(&mut *connection).await.map_err(self.fault())?;
        Ok(set.rows_affected() > 0)
    }

    /// Sets the password, a PHC string, whatever it was before, and signs everybody out.
    pub async fn set_page_password(&self, password: &str) -> Result<(), Error> {
        let mut connection = self.connection.lock().await;
        replace_password(&mut connection, password).await.map_err(self.fault())
    }

    /// Signs somebody in. Sessions that are over are forgotten.
    pub async fn sign_in(
        &self,
        token: &Token,
        now: DateTime<Utc>,
        ends_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut connection = self.connection.lock().await;
        let over = sqlx::query("DELETE FROM sessions WHERE ends_at <= $1").bind(unix(now));
        over.execute(&mut *connection).await.map_err(self.fault())?;
        let sql = "INSERT INTO sessions (token, ends_at) VALUES ($1, $2)";
        let begun = sqlx::query(sql).bind(token.as_slice()).bind(unix(ends_at));
        begun.execute(&mut *connection).await.map_err(self.fault())?;
        Ok(())
    }

    pub async fn is_signed_in(&self, token: &Token, now: DateTime<Utc>) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sessions WHERE token = $1 AND ends_at > $2)";
        let found = sqlx::query_scalar(sql).bind(token.as_slice()).bind(unix(now));
        found.fetch_one(&self.readers).await.map_err(self.fault())
    }

    pub async fn sign_out(&self, token: &Token) -> Result<(), Error> {
        let mut connection = self.connection.lock().await;
        let ended = sqlx::query("DELETE FROM sessions WHERE token = $1").bind(token.as_slice());
        ended.execute(&mut *connection).await.map_err(self.fault())?;
        Ok(())
    }

    fn fault(&self) -> impl Fn(sqlx::Error) -> Error {
        |e| Error::sql(&self.path, &e)
    }
}

async fn replace_password(connection: &mut SqliteConnection, password: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("UPDATE page SET password = $1").bind(password).execute(&mut *transaction).await?;
    sqlx::query("DELETE FROM sessions").execute(&mut *transaction).await?;
    transaction.commit().await
}

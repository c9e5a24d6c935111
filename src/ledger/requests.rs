//! How other processes ask the holder for something: they leave a row, and find the answer in it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use super::{Error, Ledger, MessageId, Outlives, Report, open};
use crate::message::{AccountName, DestinationName, unix};

/// What the holder is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A poll begun after the request.
    Poll { account: AccountName },
    /// See [`Ledger::retry`].
    Retry { account: Option<AccountName>, id: Option<MessageId>, destination: Option<DestinationName> },
    /// See [`Ledger::give_up`].
    GiveUp { id: MessageId, destination: Option<DestinationName> },
    /// The config has changed: read it again.
    Reload,
    /// See [`Ledger::forget`]. The account must no longer be configured.
    Forget { account: AccountName },
}

/// A ledger that another process may hold.
#[derive(Debug)]
pub struct Visitor {
    pub(super) connection: Mutex<SqliteConnection>,
    pub(super) readers: SqlitePool,
    pub(super) path: PathBuf,
}

impl Visitor {
    pub(super) async fn new(path: &Path) -> Result<Visitor, Error> {
        let connection = Mutex::new(open::for_visiting(path).await?);
        Ok(Visitor { connection, readers: open::readers(path), path: path.to_owned() })
    }

    /// What people see of the ledger.
    pub fn report(&self) -> Report {
        Report::new(self.readers.clone(), &self.path)
    }

    /// Leaves a request. The holder acts within a second; without a holder nobody does.
    pub async fn request(&self, request: &Request, now: DateTime<Utc>) -> Result<i64, Error> {
        let (kind, account, message, destination) = match request {
            Request::Poll { account } => ("poll", Some(account), None, None),
            Request::Retry { account, id, destination } => {
                ("retry", account.as_ref(), *id, destination.as_ref())
            }
            Request::GiveUp { id, destination } => ("give-up", None, Some(*id), destination.as_ref()),
            Request::Reload => ("reload", None, None, None),
            Request::Forget { account } => ("forget", Some(account), None, None),
        };
        let sql = "
            INSERT INTO requests (kind, account, message, destination, made_at) VALUES ($1, $2, $3, $4, $5)
            RETURNING id";
        sqlx::query_scalar(sql)
            .bind(kind)
            .bind(account.map(AccountName::as_str))
            .bind(message)
            .bind(destination.map(DestinationName::as_str))
            .bind(unix(now))
            .fetch_one(&mut *self.connection.lock().await)
            .await
            .map_err(|e| Error::sql(&self.path, &e))
    }

    /// The holder's answer, in JSON, once there is one.
    pub async fn answer(&self, request: i64) -> Result<Option<String>, Error> {
        let sql = "SELECT answer FROM requests WHERE id = $1";
        let answer: Option<Option<String>> = sqlx::query_scalar(sql)
            .bind(request)
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| Error::sql(&self.path, &e))?;
        Ok(answer.flatten())
    }
}

impl Ledger {
    /// Requests without an answer, the oldest first.
    pub async fn open_requests(&self) -> Result<Vec<(i64, Request)>, Error> {
        let sql = "
            SELECT id, kind, account, message, destination FROM requests WHERE answer IS NULL ORDER BY id";
        let rows: Vec<RequestRow> =
            sqlx::query_as(sql).fetch_all(&self.readers).await.map_err(self.sql_error())?;
        Ok(rows.into_iter().filter_map(|row| Some((row.id, row.request()?))).collect())
    }

    /// `answer` is JSON.
    pub async fn answer_request(&self, request: i64, answer: String) -> Result<(), Error> {
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                let sql = "UPDATE requests SET answer = $2 WHERE id = $1";
                sqlx::query(sql).bind(request).bind(answer).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}

/// The answer to a request that can be refused: `{"ok": ...}` or `{"error": ...}`.
pub fn answer_of(outcome: Result<&str, &str>) -> String {
    match outcome {
        Ok(text) => serde_json::json!({ "ok": text }),
        Err(text) => serde_json::json!({ "error": text }),
    }
    .to_string()
}

/// What [`answer_of`] has made an answer of; `None` where this is none.
pub fn outcome_of(answer: &str) -> Option<Result<String, String>> {
    let answer: serde_json::Value = serde_json::from_str(answer).ok()?;
    let text = |key: &str| answer.get(key)?.as_str().map(str::to_owned);
    text("ok").map(Ok).or_else(|| text("error").map(Err))
}

#[derive(FromRow)]
struct RequestRow {
    id: i64,
    kind: String,
    account: Option<String>,
    message: Option<MessageId>,
    destination: Option<String>,
}

impl RequestRow {
    /// `None` for what no mailferry has written.
    fn request(&self) -> Option<Request> {
        let account = self.account.as_deref().and_then(AccountName::new);
        let destination = self.destination.as_deref().and_then(DestinationName::new);
        match self.kind.as_str() {
            "poll" => Some(Request::Poll { account: account? }),
            "retry" => Some(Request::Retry { account, id: self.message, destination }),
            "reload" => Some(Request::Reload),
            "forget" => Some(Request::Forget { account: account? }),
            _ => Some(Request::GiveUp { id: self.message?, destination }),
        }
    }
}

//! The one task that writes. It commits whatever waits as one transaction, so that many polls share one sync.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::Error;
use super::lock::Lock;

/// What a commit must outlive before its caller goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlives {
    /// The end of this process: nothing irrevocable follows.
    Process,
    /// A power failure: the disk has it.
    Power,
}

pub(super) struct Writer {
    commands: mpsc::Sender<Command>,
    failure: watch::Sender<Option<Error>>,
    task: JoinHandle<()>,
    path: PathBuf,
}

enum Command {
    Run(Job),
    Close,
}

struct Job {
    outlives: Outlives,
    run: Run,
}

type Run = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Finished> + Send>;

/// A job that has run, in a transaction whose fate is still open.
struct Finished {
    failure: Option<Error>,
    tell: Tell,
}

/// Gives the caller its value, or the error.
type Tell = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Jobs of one transaction; also how many may wait before their callers do.
const AT_ONCE: usize = 64;

impl Writer {
    /// `lock` is released when the task has ended, so that nobody else writes before that.
    pub(super) fn start(connection: SqliteConnection, path: &Path, lock: Lock) -> Writer {
        let (commands, waiting) = mpsc::channel(AT_ONCE);
        let failure = watch::Sender::new(None);
        let task = Task { connection, waiting, failure: failure.clone(), path: path.to_owned(), _lock: lock };
        Writer { commands, failure, task: tokio::spawn(task.run()), path: path.to_owned() }
    }

    /// Runs `work` in a transaction and returns once that is committed.
    ///
    /// An error of `work` undoes what `work` did, and nothing else.
    pub(super) async fn write<T, F>(&self, outlives: Outlives, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let path = self.path.clone();
        let run: Run =
            Box::new(move |connection| Box::pin(async move { finish(work(connection).await, &path, reply) }));
        // If the task has ended, so will the answer.
        let _ = self.commands.send(Command::Run(Job { outlives, run })).await;
        answer.await.unwrap_or_else(|_| Err(self.why_it_ended()))
    }

    /// Resolves when the task has ended because of an error.
    pub(super) async fn failed(&self) -> Error {
        let mut failure = self.failure.subscribe();
        let _ = failure.wait_for(Option::is_some).await;
        self.why_it_ended()
    }

    /// Commits what waits, notes that the ledger was closed in order, and releases the lock.
    pub(super) async fn close(self) -> Result<(), Error> {
        let _ = self.commands.send(Command::Close).await;
        let _ = self.task.await;
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }

    /// Nothing is written any more: the first error stays.
    pub(super) fn fail(&self, error: &Error) {
        fail(&self.failure, error);
    }

    fn why_it_ended(&self) -> Error {
        let failure = self.failure.borrow().clone();
        failure
            .unwrap_or_else(|| Error::Broken { path: self.path.clone(), reason: "its writer ended".into() })
    }
}

fn fail(failure: &watch::Sender<Option<Error>>, error: &Error) {
    failure.send_if_modified(|failure| failure.is_none() && failure.replace(error.clone()).is_none());
}

fn finish<T: Send + 'static>(
    outcome: sqlx::Result<T>,
    path: &Path,
    reply: oneshot::Sender<Result<T, Error>>,
) -> Finished {
    // Nobody may be waiting any more: a caller that was cancelled. What it asked for is done all the same.
    match outcome {
        Ok(value) => {
            let tell: Tell = Box::new(|committed| drop(reply.send(committed.map(|()| value))));
            Finished { failure: None, tell }
        }
        Err(e) => {
            let failure = Error::sql(path, &e);
            let answer = failure.clone();
            let tell: Tell = Box::new(|_| drop(reply.send(Err(answer))));
            Finished { failure: Some(failure), tell }
        }
    }
}

struct Task {
    connection: SqliteConnection,
    waiting: mpsc::Receiver<Command>,
    failure: watch::Sender<Option<Error>>,
    path: PathBuf,
    _lock: Lock,
}

impl Task {
    async fn run(mut self) {
        let mut commands = Vec::with_capacity(AT_ONCE);
        while self.waiting.recv_many(&mut commands, AT_ONCE).await > 0 {
            let mut jobs = VecDeque::with_capacity(commands.len());
            let mut close = false;
            for command in commands.drain(..) {
                match command {
                    Command::Run(job) => jobs.push_back(job),
                    Command::Close => close = true,
                }
            }
            // `jobs` outlives the failure notice: who waits for a job that never ran is to learn why.
            if self.failure.borrow().is_some() {
                return;
            }
            if let Err(error) = self.commit(&mut jobs).await {
                fail(&self.failure, &error);
                return;
            }
            if close {
                if let Err(e) = self.end_in_order().await {
                    fail(&self.failure, &Error::sql(&self.path, &e));
                }
                return;
            }
        }
    }

    /// # Errors
    /// Only those after which nothing more may be written.
    async fn commit(&mut self, jobs: &mut VecDeque<Job>) -> Result<(), Error> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut finished = Vec::with_capacity(jobs.len());
        let outcome = match self.transaction(jobs, &mut finished).await {
            Ok(()) => finished.iter().find_map(fatal).map_or(Ok(()), Err),
            Err(e) => Err(Error::sql(&self.path, &e)),
        };
        for Finished { tell, .. } in finished {
            tell(outcome.clone());
        }
        outcome
    }

    async fn transaction(
        &mut self,
        jobs: &mut VecDeque<Job>,
        finished: &mut Vec<Finished>,
    ) -> sqlx::Result<()> {
        // In WAL mode, NORMAL commits survive the process and FULL ones a power failure; a FULL one takes
        // those before it along.
        let synchronous = match jobs.iter().any(|job| job.outlives == Outlives::Power) {
            true => "PRAGMA synchronous = FULL",
            false => "PRAGMA synchronous = NORMAL",
        };
        sqlx::query(synchronous).execute(&mut self.connection).await?;
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        while let Some(job) = jobs.pop_front() {
            let mut savepoint = transaction.begin().await?;
            let job = (job.run)(&mut savepoint).await;
            let end = (job.failure.is_some(), fatal(&job).is_some());
            finished.push(job);
            match end {
                (false, _) => savepoint.commit().await?,
                (true, false) => savepoint.rollback().await?,
                (true, true) => return Ok(()),
            }
        }
        transaction.commit().await
    }

    async fn end_in_order(&mut self) -> sqlx::Result<()> {
        sqlx::query("UPDATE ledger SET held = 0").execute(&mut self.connection).await?;
        // A batch that was broken off by an ordered stop has ended no process.
        let broken_off = "UPDATE messages SET opened = 0 WHERE opened > 0";
        sqlx::query(broken_off).execute(&mut self.connection).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.connection).await?;
        Ok(())
    }
}

fn fatal(job: &Finished) -> Option<Error> {
    job.failure.clone().filter(Error::is_fatal)
}

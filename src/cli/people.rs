//! What a person decides: retry, give up, export, rename, forget.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;

use crate::config::{self, Config};
use crate::daemon;
use crate::ledger::{self, Ledger, MessageId, Request, Visitor};
use crate::message::{AccountName, DestinationName, Message};
use crate::setup;

use super::{counted, exit, plain, print};

/// How often the ledger is asked whether a request was answered.
const LOOK_FOR_ANSWER: Duration = Duration::from_millis(100);

/// Every how many looks it is checked that somebody still holds the ledger.
const LOOKS_PER_HOLDER: u32 = 20;

pub async fn retry(file: &Path, account: Option<AccountName>, id: Option<MessageId>) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let count = match daemon::hold(&config.ledger).await {
        Ok(ledger) => {
            let count = ledger.retry(account.as_ref(), id, None, Utc::now()).await?;
            ledger.close().await?;
            count
        }
        Err(ledger::Error::Locked(_)) => {
            ask(&config, &Request::Retry { account, id, destination: None }).await?
        }
        Err(error) => return Err(error.into()),
    };
    if count == 0 && id.is_some() {
        return Err(plain(exit::USAGE, "there is nothing to retry under this id; see `mailferry parked`"));
    }
    let verb = if count == 1 { "is" } else { "are" };
    print(&format!("{} {verb} due now\n", counted(count, "delivery", "deliveries")));
    Ok(exit::OK)
}

pub async fn give_up(
    file: &Path,
    ids: &[MessageId],
    destination: Option<DestinationName>,
) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let mut missing = Vec::new();
    for &id in ids {
        match give_up_one(&config, id, destination.as_ref()).await? {
            0 => missing.push(id.to_string()),
            count => print(&format!("{id}: {} given up\n", counted(count, "delivery", "deliveries"))),
        }
    }
    if missing.is_empty() {
        return Ok(exit::OK);
    }
    let missing = missing.join(", ");
    Err(plain(exit::USAGE, format!("nothing to give up under {missing}; see `mailferry parked`")))
}

/// Returns how many deliveries have ended: none where there is no such message.
async fn give_up_one(
    config: &Config,
    id: MessageId,
    destination: Option<&DestinationName>,
) -> anyhow::Result<u64> {
    match daemon::hold(&config.ledger).await {
        Ok(ledger) => {
            let outcome = ledger.give_up(id, destination, Utc::now()).await;
            let closed = ledger.close().await;
            match outcome {
                Err(ledger::Error::NoSuchMessage(_)) => Ok(0),
                outcome => Ok(outcome.and_then(|count| closed.map(|()| count))?),
            }
        }
        Err(ledger::Error::Locked(_)) => {
            ask(config, &Request::GiveUp { id, destination: destination.cloned() }).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Leaves a request with whoever holds the ledger, and waits for the count that it answers.
async fn ask(config: &Config, request: &Request) -> anyhow::Result<u64> {
    let visitor = Ledger::visit(&config.ledger).await?;
    if let Request::Retry { account: Some(account), .. } = request {
        visitor.report().must_know(account).await?;
    }
    let id = visitor.request(request, Utc::now()).await?;
    let answer = wait_for_answer(&visitor, id, &config.ledger).await?.ok_or_else(unanswered)?;
    answer.parse().with_context(|| format!("the daemon answered `{answer}`"))
}

/// Leaves a request with whoever holds the ledger, and waits for nobody.
pub async fn leave(config: &Config, request: &Request) -> anyhow::Result<()> {
    let visitor = Ledger::visit(&config.ledger).await?;
    visitor.request(request, Utc::now()).await?;
    Ok(())
}

/// Leaves a request that can be refused with whoever holds the ledger. Returns its answer, or why it was refused; `None`
/// where the holder has ended without an answer: it was none that runs on, such as a `fetch`.
pub async fn ask_for(config: &Config, request: &Request) -> anyhow::Result<Option<Result<String, String>>> {
    let visitor = Ledger::visit(&config.ledger).await?;
    let id = visitor.request(request, Utc::now()).await?;
    let Some(answer) = wait_for_answer(&visitor, id, &config.ledger).await? else { return Ok(None) };
    ledger::outcome_of(&answer).map(Some).with_context(|| format!("the daemon answered `{answer}`"))
}

/// What a command ends with that cannot go on without an answer.
pub fn unanswered() -> anyhow::Error {
    plain(exit::LATER, "the mailferry that was asked has ended without an answer; run this command again")
}

/// Drops what the ledger knows of an account that is no longer configured, whoever holds it. Returns how many messages
/// those were.
pub async fn forget_account(config: &Config, account: &AccountName) -> anyhow::Result<u64> {
    loop {
        match daemon::hold(&config.ledger).await {
            Ok(ledger) => {
                let outcome = ledger.forget(account).await;
                let closed = ledger.close().await;
                return match outcome {
                    // It was never polled.
                    Err(ledger::Error::NoSuchAccount { .. }) => Ok(0),
                    outcome => Ok(outcome.and_then(|count| closed.map(|()| count))?),
                };
            }
            Err(ledger::Error::Locked(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let request = Request::Forget { account: account.clone() };
        // Where the holder has ended meanwhile, it is done here.
        let Some(answer) = ask_for(config, &request).await? else { continue };
        let answer = answer.map_err(|reason| plain(exit::LATER, reason))?;
        return answer.parse().with_context(|| format!("the daemon answered `{answer}`"));
    }
}

/// Waits until the holder of the ledger has answered. `None` where it ends without an answer: nobody else would give one
/// before the next start.
pub async fn wait_for_answer(
    visitor: &Visitor,
    request: i64,
    ledger: &Path,
) -> anyhow::Result<Option<String>> {
    let mut looks = 0;
    loop {
        if let Some(answer) = visitor.answer(request).await? {
            return Ok(Some(answer));
        }
        tokio::time::sleep(LOOK_FOR_ANSWER).await;
        looks += 1;
        if looks % LOOKS_PER_HOLDER == 0
            && let Ok(ledger) = daemon::hold(ledger).await
        {
            let answer = visitor.answer(request).await?;
            ledger.answer_request(request, answer.clone().unwrap_or_default()).await?;
            ledger.close().await?;
            return Ok(answer);
        }
    }
}

pub async fn export(file: &Path, id: MessageId, output: Option<&Path>) -> anyhow::Result<u8> {
    let visitor = Ledger::visit(&config::load_without_secrets(file).await?.ledger).await?;
    let Some(wanted) = visitor.report().find(None, id).await? else {
        return Err(plain(
            exit::USAGE,
            format!("there is no message {id} in the ledger; see `mailferry parked`"),
        ));
    };
    let config = setup::load_with_secret_of(file, &wanted.account).await?;
    let account = config.accounts.into_iter().find(|account| account.name == wanted.account);
    let Some(account) = account else {
        let broken = config.broken.into_iter().find(|broken| broken.name == wanted.account);
        let text = format!("message {id} is of account `{}`, which is not in the config", wanted.account);
        return Err(broken.map_or(plain(exit::USAGE, text), |broken| plain(exit::CONFIG, broken.reason)));
    };
    let spool = std::env::temp_dir();
    let message = setup::retrieve(&account, &wanted, &spool).await;
    write(&message.map_err(|reason| plain(exit::LATER, format!("{}: {reason}", account.name)))?, output)
        .await?;
    Ok(exit::OK)
}

async fn write(message: &Message, output: Option<&Path>) -> anyhow::Result<()> {
    let mut sink: Box<dyn std::io::Write + Send> = match output {
        None => Box::new(std::io::stdout()),
        Some(path) => {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.map_err(|error| unwritable(path, &error))?)
        }
    };
    let mut chunks = message.chunks();
    while let Some(chunk) = chunks.next().await? {
        sink.write_all(&chunk)?;
    }
    sink.flush()?;
    Ok(())
}

fn unwritable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let path = path.display();
    plain(
        exit::USAGE,
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => format!("{path} exists already; name another file"),
            _ => format!("{path} cannot be written ({error}); name another file"),
        },
    )
}

pub async fn rename(file: &Path, old: &AccountName, new: &AccountName) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let ledger = daemon::hold(&config.ledger).await?;
    let outcome = ledger.rename(old, new).await;
    ledger.close().await?;
    let unknown = match outcome {
        // Perhaps it was renamed, and its sign-in could not be.
        Err(fault @ ledger::Error::NoSuchAccount { .. }) => Some(fault),
        outcome => outcome.map(|()| None)?,
    };
    match (setup::rename_sign_in(file, old, new).await, unknown) {
        (Ok(false), Some(fault)) => return Err(fault.into()),
        (Err(reason), _) => {
            let text = format!(
                "what `{old}` has signed in for could not be moved ({reason}); run this again, or `mailferry login {new}`"
            );
            return Err(plain(exit::LATER, text));
        }
        (Ok(_), _) => print(&format!("`{old}` is now `{new}` in the ledger\n")),
    }
    Ok(exit::OK)
}

pub async fn forget(file: &Path, account: &AccountName) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let ledger = daemon::hold(&config.ledger).await?;
    let outcome = ledger.forget(account).await;
    let closed = ledger.close().await;
    let messages = counted(outcome?, "message", "messages");
    closed?;
    print(&format!("the ledger has forgotten `{account}` and its {messages}\n"));
    Ok(exit::OK)
}

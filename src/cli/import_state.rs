//! `mailferry import-state`: what another program had seen is not delivered again.

mod look;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use clap::Args;
use indicatif::HumanCount;

use crate::config::{Account, Config, Destination};
use crate::daemon;
use crate::import_state::{Mailboxes, Owner, Program, Seen, State};
use crate::ledger::{Adopted, Adoption, Ledger};
use crate::message::{AccountName, LeaveCopy};
use crate::setup;

use super::{counted, exit, fetch, log, plain, print};
use look::{SeenHere, look};

#[derive(Args)]
pub struct Wish {
    /// The other program: fetchmail, getmail, mpop or fdm
    #[arg(long, value_name = "PROGRAM", value_parser = super::program)]
    from: Program,
    /// The file in which it remembers what it has seen
    #[arg(value_name = "FILE")]
    state: PathBuf,
    /// The account of mailferry that takes it over
    #[arg(value_name = "ACCOUNT", value_parser = super::account_name)]
    account: AccountName,
    /// What the file calls the server [default: the account's host]
    #[arg(long)]
    host: Option<String>,
    /// What the file calls the user [default: the account's user]
    #[arg(long)]
    user: Option<String>,
    /// What the other program had seen counts as delivered: leave_copy may delete it
    #[arg(long)]
    delivered: bool,
    /// Only say what would be taken over
    #[arg(long)]
    dry_run: bool,
}

/// Largest state file: a million messages with UIDLs of the longest that RFC 1939 allows.
const LARGEST: u64 = 80 << 20;

pub async fn import_state(file: &Path, wish: &Wish, log: &log::Wish) -> anyhow::Result<u8> {
    let config = setup::load_with_secret_of(file, &wish.account).await?;
    log.start();
    let account = account(&config, wish)?;
    let state = read(wish)?;
    let left_out = state.left_out;
    let seen = seen_by(state.mailboxes, account, wish)?;
    // Before the login: who holds the ledger may be polling.
    let ledger = daemon::hold(&config.ledger).await?;
    let outcome = take_over(&ledger, &config, account, &seen, wish).await;
    let closed = ledger.close().await;
    let (listed, adopted) = outcome?;
    closed?;
    print(&told(wish, account, seen.len(), &listed, adopted));
    if left_out.lines > 0 {
        let lines = counted(left_out.lines, "line", "lines");
        print(&format!(
            "{lines} of the file made no sense and counted for nothing; the first is line {}\n",
            left_out.first
        ));
    }
    Ok(exit::OK)
}

fn account<'c>(config: &'c Config, wish: &Wish) -> anyhow::Result<&'c Account> {
    let Some(account) = config.accounts.iter().find(|account| account.name == wish.account) else {
        fetch::known(config, std::slice::from_ref(&wish.account))?;
        let broken = config.broken.iter().find(|broken| broken.name == wish.account);
        return Err(plain(exit::CONFIG, broken.map(|broken| broken.reason.clone()).unwrap_or_default()));
    };
    if wish.delivered && account.poll.leave_copy == LeaveCopy::Forever {
        let text = format!(
            "`{}` has leave_copy = true, which deletes nothing: change that first, or leave --delivered out",
            account.name
        );
        return Err(plain(exit::USAGE, text));
    }
    Ok(account)
}

fn read(wish: &Wish) -> anyhow::Result<State> {
    let refuse = |text: String| plain(exit::USAGE, format!("{}: {text}", wish.state.display()));
    let mut file = Vec::new();
    let opened = File::open(&wish.state).and_then(|open| open.take(LARGEST + 1).read_to_end(&mut file));
    opened.map_err(|error| refuse(format!("cannot be read ({error}); name another file")))?;
    let program = wish.from.name();
    if file.len() as u64 > LARGEST {
        return Err(refuse(format!("is too large for a file of {program}; name another one")));
    }
    wish.from.read(&file).map_err(|fault| {
        refuse(format!(
            "{fault}, so {program} did not write it; name another file, or the right program with --from"
        ))
    })
}

/// What the file tells of the account's mailbox.
fn seen_by(mailboxes: Mailboxes, account: &Account, wish: &Wish) -> anyhow::Result<Seen> {
    let (file, program) = (wish.state.display(), wish.from.name());
    let named = match mailboxes {
        Mailboxes::One(_) if wish.host.is_some() || wish.user.is_some() => {
            let text =
                format!("a file of {program} is of one account and names none; leave --host and --user out");
            return Err(plain(exit::USAGE, text));
        }
        Mailboxes::One(seen) if seen.is_empty() => None,
        Mailboxes::One(seen) => return Ok(seen),
        Mailboxes::Named(named) => Some(named).filter(|named| !named.is_empty()),
    };
    let Some(mut named) = named else {
        return Err(plain(exit::USAGE, format!("{file} names no message, so there is nothing to take over")));
    };
    let host = wish.host.as_ref().unwrap_or(&account.pop3.peer.host);
    let user = wish.user.as_ref().unwrap_or(&account.pop3.user);
    named.remove(&Owner::new(host.as_bytes(), user.as_bytes())).ok_or_else(|| {
        let mut text =
            format!("{file} has nothing of user {user} at {host}; say whose messages to take over:");
        for (owner, seen) in named.iter().take(OWNERS) {
            text += &format!("\n  {owner}  ({})", counted(seen.len() as u64, "message", "messages"));
        }
        if named.len() > OWNERS {
            text += &format!("\n  and {} more", named.len() - OWNERS);
        }
        plain(exit::USAGE, text)
    })
}

/// How many mailboxes of a file are shown to choose from.
const OWNERS: usize = 50;

async fn take_over(
    ledger: &Ledger,
    config: &Config,
    account: &Account,
    seen: &Seen,
    wish: &Wish,
) -> anyhow::Result<(SeenHere, Adopted)> {
    let (listing, seen) = look(account, seen, wish.delivered)
        .await
        .map_err(|error| plain(exit::LATER, format!("{}: {error:#}", account.name)))?;
    let routes = &account.poll.routes;
    let is_route = |destination: &&Destination| routes.iter().any(|route| route.to == destination.name);
    let adopted = ledger
        .adopt(Adoption {
            account: daemon::account_setup(account),
            destinations: config
                .destinations
                .iter()
                .filter(is_route)
                .map(daemon::destination_setup)
                .collect(),
            listing: Arc::new(listing),
            seen: seen.clone(),
            program: wish.from.name(),
            leave_copy: account.poll.leave_copy,
            dry_run: wish.dry_run,
            now: Utc::now(),
        })
        .await?;
    Ok((seen, adopted))
}

fn told(wish: &Wish, account: &Account, in_file: usize, seen: &SeenHere, adopted: Adopted) -> String {
    let (in_file, here) = (in_file as u64, seen.len() as u64);
    let (program, verb) = (wish.from.name(), if wish.dry_run { "would take" } else { "takes" });
    let mut told = format!(
        "{}: {verb} over {} that {program} had seen; {} in the mailbox {} new\n",
        account.name,
        counted(adopted.new, "message", "messages"),
        counted(adopted.unknown, "other", "others"),
        if adopted.unknown == 1 { "is" } else { "are" },
    );
    if here == 0 && adopted.unknown > 0 {
        let in_file = counted(in_file, "message", "messages");
        told += &format!("nothing of the {in_file} in the file is there: is it of another account?\n");
    } else if in_file > here {
        told += &format!("{} of the file are no longer there\n", HumanCount(in_file - here));
    }
    if adopted.delivered > 0 {
        let verb = if wish.dry_run { "would count" } else { "count" };
        let count = HumanCount(adopted.delivered);
        told += &format!("{count} in the ledger already {verb} as delivered by {program} now\n");
    }
    let same = here.saturating_sub(adopted.new + adopted.delivered);
    if same > 0 {
        told += &format!("{} in the ledger already stay as they are", HumanCount(same));
        if adopted.waiting > 0 {
            told += &format!("; {} of them will still be delivered", HumanCount(adopted.waiting));
        }
        told.push('\n');
    }
    told + &fate(wish, account, seen, adopted)
}

/// What leave_copy makes of it.
fn fate(wish: &Wish, account: &Account, seen: &SeenHere, adopted: Adopted) -> String {
    if account.poll.leave_copy == LeaveCopy::Forever || seen.is_empty() {
        return String::new();
    }
    if !wish.delivered {
        let stay = "what is taken over stays in the mailbox; --delivered lets leave_copy delete it\n";
        return if adopted.new > 0 { stay.into() } else { String::new() };
    }
    let mut fate = "leave_copy lets them go when their time is over".to_owned();
    if adopted.deletable > 0 {
        fate += &format!(": {} at the next poll", HumanCount(adopted.deletable));
    }
    if adopted.skipped > 0 {
        let program = wish.from.name();
        fate += &format!(
            "\n{} stay all the same: the mailbox does not show that they are what {program} had seen",
            HumanCount(adopted.skipped)
        );
    }
    fate + "\n"
}

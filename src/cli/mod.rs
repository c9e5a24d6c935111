//! Arguments, and what each command prints.

mod account;
mod answers;
mod check;
mod demo;
mod destination;
mod dry_run;
mod fetch;
mod import_state;
mod listen;
mod log;
mod login;
mod page;
mod payload;
mod people;
mod person;
mod providers;
mod report;
mod route;
mod steps;
mod table;
mod typed;

use std::path::PathBuf;
use std::process::ExitCode;

use axum::http::StatusCode;
use clap::{Args, Parser, Subcommand};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::destination::webhook;
use crate::import_state::Program;
use crate::ledger::MessageId;
use crate::message::{AccountName, DestinationName};
use crate::{auth, config, daemon, ledger, setup};

/// Exit codes of every command; the numbers are sysexits.h's.
pub mod exit {
    pub const OK: u8 = 0;
    /// `demo --once` found something wrong, or what none of the others names: a disk that is full, a terminal that is gone.
    pub const FAILED: u8 = 1;
    /// The command line is wrong, or names an account or a message that is not there.
    pub const USAGE: u8 = 64;
    /// The ledger cannot be used.
    pub const LEDGER: u8 = 74;
    /// Somebody else holds the ledger, or something is left failing: try again later.
    pub const LATER: u8 = 75;
    /// The config cannot be used.
    pub const CONFIG: u8 = 78;
}

/// An end that a person caused or can mend: printed as one sentence, without a trace.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Plain {
    code: u8,
    text: String,
}

fn plain(code: u8, text: impl Into<String>) -> anyhow::Error {
    Plain { code, text: text.into() }.into()
}

#[derive(Parser)]
#[command(
    name = "mailferry",
    version,
    about = "Brings mail home: carries new messages from POP3 accounts to an IMAP folder, Gmail or an HTTP webhook.",
    after_help = "Start with `mailferry demo`: it needs no set-up. Then `mailferry add` an account, or write a \
                  config (the reference is config/mailferry.toml) and try it with `mailferry check`; and let it run with \
                  `mailferry run`.\n\n\
                  Exit codes: 0 all is well. 64 the command line is wrong, or names what is not there. 74 the \
                  ledger cannot be used. 75 something is left failing, or another mailferry holds the ledger. \
                  78 the config is wrong. 1 what none of these names, and a demo that found something wrong.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    /// The config file. Without it: $MAILFERRY_CONFIG, ./mailferry.toml, mailferry/mailferry.toml in your config
    /// folder, /etc/mailferry/mailferry.toml
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Write the log as JSON, one object a line, whatever the config says
    #[arg(long, global = true)]
    log_json: bool,

    /// Log more with each -v: the deliveries, then the protocols (never a password)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Poll all accounts on their schedules, until stopped
    ///
    /// SIGTERM or Ctrl-C stops in order: what is being delivered is finished, what was delivered is deleted where
    /// that is wanted. SIGHUP reloads the config; a broken one leaves the old one running.
    Run,
    /// Poll accounts once, now
    ///
    /// Deferred messages and resting destinations are tried again, save where a destination said when. If a daemon
    /// runs on the same ledger, it does the polling. One message counts as a delivery for each destination that it
    /// goes to. Exit code 75: something is left failing; see `mailferry status`.
    Fetch {
        /// Accounts to poll [default: all]
        #[arg(value_name = "ACCOUNT", value_parser = account_name)]
        accounts: Vec<AccountName>,
    },
    /// Check the config, then log in everywhere without moving mail
    ///
    /// Exit code 78: the config is wrong. 74: the ledger cannot be where the config wants it. 75: a server refused.
    Check {
        /// Accounts to log in to [default: all, and all destinations]
        #[arg(value_name = "ACCOUNT", value_parser = account_name)]
        accounts: Vec<AccountName>,
        /// Only read the config
        #[arg(long)]
        offline: bool,
        /// Say where this message would go, and show the requests it would make; nothing is sent
        #[arg(long, value_name = "FILE.eml")]
        message: Option<PathBuf>,
    },
    /// Sign in to an account by OAuth, as its provider wants it
    ///
    /// For an account, or a destination, that has `oauth = "NAME"` in the place of a password. The tokens are kept in
    /// the ledger, encrypted by a key beside it; mailferry renews them by itself. Exit code 75: the provider refused.
    Login {
        /// The account
        #[arg(value_name = "ACCOUNT", value_parser = account_name, required_unless_present = "destination")]
        account: Option<AccountName>,
        /// An IMAP destination, or Gmail by its API, in the place of an account
        #[arg(long, value_name = "NAME", value_parser = destination_name, conflicts_with = "account")]
        destination: Option<DestinationName>,
        /// With a code that is typed in on any device
        #[arg(long)]
        code: bool,
        /// At an address that is opened in a browser
        #[arg(long, conflicts_with = "code")]
        browser: bool,
    },
    /// Add an account: ask for its settings, log in on both sides, and save it in a file of its own
    ///
    /// Without a config it makes a first one. A mailferry that is running takes the account up at once. In a script, give
    /// the answers as options, with --yes for the rest; the password comes from --password-file. With --oauth, or where the
    /// provider lets programs in by OAuth alone, somebody signs in first: the code or the address for that is printed.
    ///
    /// Its mail goes to a destination of the config, by --to, or to a new one, which is logged in to and added first: what
    /// begins with --to- says which. For an IMAP server, --to-user me@example.org --to-password-file FILE may be enough; for
    /// Gmail by Google's API, --to-kind gmail --to-user me@gmail.com, with an [oauth.google] in the config.
    Add {
        /// Its mail address
        #[arg(value_name = "ADDRESS")]
        address: Option<String>,
        /// A name for it [default: the address]
        #[arg(long, value_parser = account_name)]
        name: Option<AccountName>,
        #[command(flatten)]
        answers: answers::Answers,
        #[command(flatten)]
        home: destination::NewHome,
    },
    /// Change an account that has a file of its own
    ///
    /// What the options do not say stays; without any, all of it is asked. A new password is tried first.
    Edit {
        /// Its name, as `status` shows it
        #[arg(value_name = "ACCOUNT", value_parser = account_name)]
        account: AccountName,
        #[command(flatten)]
        answers: answers::Answers,
    },
    /// Change a destination: its server, who logs in there and how, and what Gmail does with the mail
    ///
    /// What the options do not say stays; without any, all of it is asked. It logs in there first; what waited for the
    /// destination is tried again at once. By OAuth, somebody signs in for that, where the user, the server or the
    /// application is another one: the code or the address is printed, and only then the old sign-in ends. A password
    /// has to be in a file, as `add` and the page save it; others are changed where they are.
    EditDestination {
        /// Its name, as `status` shows it
        #[arg(value_name = "DESTINATION", value_parser = destination_name)]
        destination: DestinationName,
        #[command(flatten)]
        change: destination::HomeChange,
    },
    /// Poll an account no more, until `resume`
    Pause {
        /// Its name, as `status` shows it
        #[arg(value_name = "ACCOUNT", value_parser = account_name)]
        account: AccountName,
    },
    /// Poll a paused account again
    Resume {
        /// Its name, as `status` shows it
        #[arg(value_name = "ACCOUNT", value_parser = account_name)]
        account: AccountName,
    },
    /// Take an account out of the config
    ///
    /// Mail stays where it is. The ledger remembers what it has seen of the account, so that nothing comes twice if it is
    /// added again under this name.
    Delete {
        /// Its name, as `status` shows it
        #[arg(value_name = "ACCOUNT", value_parser = account_name)]
        account: AccountName,
        /// Drop what the ledger remembers, too
        #[arg(long)]
        forget: bool,
        /// Ask nothing
        #[arg(short, long)]
        yes: bool,
    },
    /// Show how each account and destination is doing
    Status {
        #[command(flatten)]
        output: Output,
        /// Show it anew every 2 s, until Ctrl-C; for a terminal
        #[arg(short, long, conflicts_with = "json")]
        watch: bool,
    },
    /// Show past polls, newest first
    ///
    /// Those that found nothing are kept for two days, all others for 90.
    History {
        /// Only this account's [default: all]
        #[arg(value_name = "ACCOUNT", value_parser = account_name)]
        account: Option<AccountName>,
        #[command(flatten)]
        output: Output,
    },
    /// Show messages that were given up for now, and why
    ///
    /// They are still at their source. Try them again with `retry`, look at one with `export`, end the matter with
    /// `give-up`.
    Parked {
        #[command(flatten)]
        output: Output,
    },
    /// Make deferred and parked messages due now, and re-enable destinations
    Retry {
        /// Only this account's
        #[arg(value_name = "ACCOUNT", value_parser = account_name)]
        account: Option<AccountName>,
        /// Only this message, by its id from `parked`
        #[arg(long, value_name = "ID", value_parser = message_id)]
        id: Option<MessageId>,
    },
    /// End deliveries of parked messages for good
    ///
    /// The message stays at its source, unless another destination has it and the account's leave_copy lets it go.
    GiveUp {
        /// Messages, by their ids from `parked`
        #[arg(value_name = "ID", required = true, value_parser = message_id)]
        ids: Vec<MessageId>,
        /// Only the delivery to this destination
        #[arg(long, value_name = "NAME", value_parser = destination_name)]
        destination: Option<DestinationName>,
    },
    /// Fetch a message from its source into an .eml file
    Export {
        /// The message, by its id from `parked`
        #[arg(value_name = "ID", value_parser = message_id)]
        id: MessageId,
        /// Where to write it [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Give an account a new name in the ledger
    ///
    /// Do this when you rename it in the config, or all its mail counts as new. The daemon must be stopped.
    Rename {
        /// Its name in the ledger
        #[arg(value_parser = account_name)]
        old: AccountName,
        /// Its name in the config from now on
        #[arg(value_parser = account_name)]
        new: AccountName,
    },
    /// Drop what the ledger knows of an account
    ///
    /// If the account is still configured, all its mail counts as new; what an IMAP folder still has is not put there again.
    /// The daemon must be stopped.
    Forget {
        /// Its name in the ledger
        #[arg(value_parser = account_name)]
        account: AccountName,
    },
    /// Take over what another program had seen, so that it is not delivered again
    ///
    /// Reads the file in which the other program remembers the messages it has seen, logs in to the account, and notes in
    /// the ledger which of them are there. They will not be delivered; all else in the mailbox is new. Running it again
    /// changes nothing. Do it before the first poll, when the other program has run for the last time. The daemon must
    /// be stopped.
    ///
    /// The account has to be in the config, and not to be polled before: add it with `mailferry add` while nothing
    /// runs, as a daemon would poll it at once.
    ///
    /// Gmail's own fetcher leaves no file: take `--import new`, or all mail, which is compared with the IMAP folder
    /// first, so that what is there byte for byte does not come twice.
    ///
    /// Where the file is, if the program was not told otherwise:{n}
    /// fetchmail: ~/.fetchids, for all accounts; as a service of Debian's /var/lib/fetchmail/.fetchmail-UIDL-cache{n}
    /// getmail: ~/.config/getmail/oldmail-SERVER-PORT-USER, or in ~/.getmail{n}
    /// mpop: ~/.mpop_uidls/USER_at_HOST{n}
    /// fdm: what `cache` names in ~/.fdm.conf
    ///
    /// What is taken over stays in the mailbox, whatever leave_copy says, for no destination of mailferry's has confirmed
    /// it. With --delivered the other program's word counts for that: leave_copy then lets a message go when its time is
    /// over, counted from when getmail, or mpop since 1.4.23, first saw it, else from now.
    ///
    /// Exit code 64: the file is not what it should be, or of another account. 75: the server refused, or another
    /// mailferry holds the ledger.
    ImportState(import_state::Wish),
    /// Set a new password for the page
    ///
    /// Whoever is signed in there has to do so again.
    WebPassword {
        /// A file with the password, or - for standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Show what webhooks get: receive on this machine, verify the signature, print each request
    ///
    /// It needs no config, and prints the lines that have mail posted here. `check --message` shows a request without
    /// sending it.
    Listen {
        /// The port; 0 takes any that is free
        #[arg(long, default_value_t = 8026)]
        port: u16,
        /// A file with the secret that requests are signed with [default: one for trying out]
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// The status to answer with, to see what happens then: 503, 400, 410, ...
        #[arg(long, value_name = "STATUS", default_value = "204", value_parser = status_code)]
        answer: StatusCode,
    },
    /// Show what is known of mail providers: their servers, how to sign in, and what was tried
    Providers {
        /// Only these: a name or part of it, a domain, or an address
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Print the JSON Schema of what mailferry writes for programs
    Schema {
        /// What of it: `webhook` is the body of a request in the format json
        #[arg(value_name = "WHAT", value_parser = ["webhook"])]
        what: String,
    },
    /// Watch mail move, with nothing to set up: a sample mailbox, a receiver, and the real bridge between them
    Demo {
        /// End when all has arrived and is verified
        #[arg(long)]
        once: bool,
    },
}

#[derive(Args)]
struct Output {
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

fn account_name(text: &str) -> Result<AccountName, String> {
    AccountName::new(text).ok_or_else(|| format!("a name is {}", crate::message::NAME_RULE))
}

fn destination_name(text: &str) -> Result<DestinationName, String> {
    DestinationName::new(text).ok_or_else(|| format!("a name is {}", crate::message::NAME_RULE))
}

fn program(name: &str) -> Result<Program, String> {
    let program = Program::ALL.into_iter().find(|program| program.name() == name);
    program.ok_or_else(|| {
        let names = Program::ALL.map(Program::name).join(", ");
        format!("it can be one of {names}")
    })
}

fn status_code(text: &str) -> Result<StatusCode, String> {
    let code = text.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok());
    code.filter(|code| code.as_u16() >= 200).ok_or_else(|| "it is a number from 200 to 599".to_owned())
}

fn message_id(text: &str) -> Result<MessageId, String> {
    text.parse().map_err(|_| "an id is a number; see `mailferry parked`".to_owned())
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    leave_no_core();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let outcome = dispatch(cli).await;
            auth::settled().await;
            outcome
        }),
        Err(error) => Err(anyhow::Error::new(error).context("no runtime")),
    };
    ExitCode::from(outcome.unwrap_or_else(|error| complain(&error)))
}

/// Passwords and mail are in this process' memory: no core dump of it is written, and no other process of this user may
/// read it.
fn leave_no_core() {
    // The limit does not hold where /proc/sys/kernel/core_pattern is a program. Neither can fail: both only take away.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

async fn dispatch(cli: Cli) -> anyhow::Result<u8> {
    let log = log::Wish { json: cli.log_json, verbose: cli.verbose };
    let file = || config::find(cli.config.clone()).map_err(|text| plain(exit::CONFIG, text));
    match cli.command {
        Command::Demo { once } => demo::demo(once, &log).await,
        Command::Add { address, name, answers, home } => {
            account::add(cli.config, address, name, answers, home).await
        }
        Command::Schema { .. } => {
            print(webhook::SCHEMA);
            Ok(exit::OK)
        }
        Command::Providers { name, output } => providers::providers(name.as_deref(), output.json),
        Command::Listen { port, secret_file, answer } => {
            listen::listen(port, secret_file.as_deref(), answer).await
        }
        Command::Run => {
            let config = setup::load(&file()?).await?;
            log.start_daemon(&config);
            daemon::run(config, stop_on_signal()).await.map(|()| exit::OK)
        }
        Command::Fetch { accounts } => fetch::fetch(&file()?, &accounts, &log).await,
        Command::Check { accounts, message: Some(eml), .. } => {
            dry_run::dry_run(&file()?, &accounts, &eml).await
        }
        Command::Check { accounts, offline, .. } => check::check(&file()?, &accounts, offline, &log).await,
        Command::Login { account, destination, code, browser } => {
            let whom = match (account, destination) {
                (_, Some(name)) => setup::Whom::Destination(name),
                (Some(name), None) => setup::Whom::Account(name),
                (None, None) => return Err(plain(exit::USAGE, "name an account")),
            };
            login::login(&file()?, &whom, login::Way::chosen(code, browser)).await
        }
        Command::Edit { account, answers } => account::edit(&file()?, &account, &answers).await,
        Command::EditDestination { destination, change } => {
            destination::edit(&file()?, &destination, &change).await
        }
        Command::Pause { account } => account::pause(&file()?, &account, true).await,
        Command::Resume { account } => account::pause(&file()?, &account, false).await,
        Command::Delete { account, forget, yes } => account::delete(&file()?, &account, forget, yes).await,
        Command::Status { watch: true, .. } => report::watch(&file()?).await,
        Command::Status { output, .. } => report::status(&file()?, output.json).await,
        Command::History { account, output } => {
            report::history(&file()?, account.as_ref(), output.json).await
        }
        Command::Parked { output } => report::parked(&file()?, output.json).await,
        Command::Retry { account, id } => people::retry(&file()?, account, id).await,
        Command::GiveUp { ids, destination } => people::give_up(&file()?, &ids, destination).await,
        Command::Export { id, output } => people::export(&file()?, id, output.as_deref()).await,
        Command::Rename { old, new } => people::rename(&file()?, &old, &new).await,
        Command::Forget { account } => people::forget(&file()?, &account).await,
        Command::ImportState(wish) => import_state::import_state(&file()?, &wish, &log).await,
        Command::WebPassword { password_file } => {
            page::web_password(&file()?, password_file.as_deref()).await
        }
    }
}

/// SIGTERM and Ctrl-C ask for an ordered stop; a second one does not wait for it.
fn stop_on_signal() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        for code in [None, Some(130)] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if let Some(code) = code {
                std::process::exit(code);
            }
            auth::renew_no_more();
            told.cancel();
        }
    });
    stop
}

/// Prints why it did not work, and finds the exit code that says so to a script.
fn complain(error: &anyhow::Error) -> u8 {
    eprint(&format!("{error:#}"));
    if let Some(plain) = error.downcast_ref::<Plain>() {
        return plain.code;
    }
    match error.downcast_ref::<setup::Error>() {
        Some(setup::Error::Changed(_) | setup::Error::LoginFailed { .. } | setup::Error::Unfit { .. }) => {
            return exit::LATER;
        }
        Some(error) if error.is_usage() => return exit::USAGE,
        Some(_) => return exit::CONFIG,
        None => {}
    }
    match error.downcast_ref::<ledger::Error>() {
        Some(ledger::Error::Locked(_) | ledger::Error::Busy(_)) => exit::LATER,
        Some(error) if error.is_usage() => exit::USAGE,
        Some(_) => exit::LEDGER,
        None if error.is::<config::Faults>() => exit::CONFIG,
        None => exit::FAILED,
    }
}

#[expect(clippy::print_stderr, reason = "the one place that complains")]
fn eprint(text: &str) {
    for line in text.lines() {
        eprintln!("mailferry: {line}");
    }
}

/// A number with its noun.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", indicatif::HumanCount(count), if count == 1 { one } else { many })
}

/// Prints to standard output. A reader that has gone away (`mailferry status | head`) is no fault.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

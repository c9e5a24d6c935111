//! The log: text or JSON on standard error.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::poll::OUTCOMES;

/// What the command line says of the log.
pub struct Wish {
    pub json: bool,
    pub verbose: u8,
}

impl Wish {
    /// Starts the log of the daemon, which goes by the config unless the command line asks for more.
    pub fn start_daemon(&self, config: &Config) {
        let json = self.json || config.log.format == LogFormat::Json;
        start(json, self.from(config.log.level), "");
    }

    /// Starts the log of a command that prints its results: only what is amiss, unless asked for more.
    pub fn start(&self) {
        start(self.json, self.from(Level::WARN), "");
    }

    /// As [`Wish::start`], for a command whose results say how the polls went. At a terminal both would stand side by side;
    /// elsewhere a log may be kept that the results are not in.
    pub fn start_beside_outcomes(&self) {
        let is_read = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let is_said_twice = is_read && self.verbose == 0;
        let quiet = if is_said_twice { format!(",{OUTCOMES}=error") } else { String::new() };
        start(self.json, self.from(Level::WARN), &quiet);
    }

    /// As [`Wish::start`], for the demo, which says itself how its page is entered.
    pub fn start_demo(&self) {
        start(self.json, self.from(Level::WARN), ",mailferry::web::sessions=error");
    }

    /// Each `-v` is one level more than `usual`.
    fn from(&self, usual: Level) -> Level {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        let at = levels.iter().position(|level| *level == usual).unwrap_or(0);
        levels[(at + usize::from(self.verbose)).min(levels.len() - 1)]
    }
}

/// `more` are directives, each after a comma.
fn start(json: bool, level: Level, more: &str) {
    // async-imap writes whole commands, passwords included, to its trace log: never, whatever anybody asks for.
    // The verifier's own words on a certificate come before ours, and say less. sqlx's warnings are of a machine that is
    // slow; what fails comes back from it as an error.
    let quiet = "hyper=info,reqwest=info,rustls=info,rustls_platform_verifier=off,sqlx=error,async_imap=info";
    let wanted = std::env::var("RUST_LOG").ok().map(|wanted| without_async_imap(&wanted));
    let wanted =
        wanted.filter(|wanted| !wanted.is_empty()).unwrap_or_else(|| format!("{level},{quiet}{more}"));
    let filter = EnvFilter::try_new(format!("{wanted},async_imap=info"));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("{level},{quiet}{more}")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A log that is set up already stays as it is.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(false).with_target(false).try_init()
    } else {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    };
}

/// A directive that names a part of it would count for more than ours, which names the whole.
fn without_async_imap(wanted: &str) -> String {
    wanted.split(',').filter(|directive| !directive.contains("async_imap")).collect::<Vec<_>>().join(",")
}

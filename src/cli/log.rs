//! The log: text or JSON on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// What the command line says of the log.
pub struct Wish {
    pub json: bool,
    pub verbose: u8,
}

/// How much a command logs when nobody says otherwise.
#[derive(Clone, Copy)]
pub enum Level {
    Warn,
    Info,
}

impl Wish {
    /// Starts the log as the command line, then $RUST_LOG, then the config, then `usual` would have it.
    pub fn start(&self, config: &Config, usual: Level) {
        let json = self.json || config.log.format == LogFormat::Json;
        let level = match (self.verbose, &config.log.level, usual) {
            (2.., ..) => "trace",
            (1, ..) => "debug",
            (0, Some(level), _) => level,
            (0, None, Level::Info) => "info",
            (0, None, Level::Warn) => "warn",
        };
        start(json, level);
    }

    /// As [`Wish::start`], where there is no config.
    pub fn start_plain(&self) {
        let level = match self.verbose {
            0 => "warn",
            1 => "debug",
            _ => "trace",
        };
        start(self.json, level);
    }
}

fn start(json: bool, level: &str) {
    // async-imap writes whole commands, passwords included, to its trace log: never, whatever anybody asks for.
    let quiet = "hyper=info,reqwest=info,rustls=info,sqlx=warn,async_imap=info";
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let wanted = wanted.unwrap_or_else(|| format!("{level},{quiet}"));
    let filter = EnvFilter::try_new(format!("{wanted},async_imap=info"));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("{level},{quiet}")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A log that is set up already stays as it is.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(false).with_target(false).try_init()
    } else {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    };
}

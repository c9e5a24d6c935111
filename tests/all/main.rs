//! All tests that need more than one module: one binary, so that it links once.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on has failed")]

mod alerts;
mod ca;
mod cable;
mod corpus;
mod corpus_run;
mod crossing;
mod daemon_run;
mod demo;
mod deploy;
mod dialogs;
mod dovecot;
mod faults;
mod ferry;
mod fuzz;
mod imap_folder;
mod import_state;
mod internet;
mod items;
mod junk;
mod layers;
mod oracle;
mod peer;
mod pop3;
mod providers;
mod receiver;
mod reports;
mod rules;
mod secrets;
mod servers;
mod setup;
mod strace;
mod terminal;
mod trouble;
mod webhook;
mod world;

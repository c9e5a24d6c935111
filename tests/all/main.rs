//! All integration tests, one binary: it links once.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on has failed")]

mod ca;
mod dovecot;
mod imap_folder;
mod peer;
mod pop3;

//! All integration tests, one binary: it links once.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on has failed")]

mod ca;
mod demo;
mod dovecot;
mod peer;
mod pop3;
mod receiver;
mod webhook;

//! All tests that need more than one module: one binary, so that it links once.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on has failed")]

mod ca;
mod demo;
mod receiver;
mod webhook;

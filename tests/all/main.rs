//! All integration tests, one binary: it links once.

mod ca;
mod dovecot;

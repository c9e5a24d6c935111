//! The fuzz targets: for each a function that takes what a stranger may send, and panics where mailferry does
//! something that it must not do.
//!
//! `bin/` has a program of the fuzzer for each of them. `tests/all/fuzz.rs` replays the corpora.

mod config;
mod folder;
mod header;
mod imap;
mod peer;
mod pop3;
mod replies;
mod unstuffer;
mod wire;

pub use config::config;
pub use folder::folder;
pub use header::header;
pub use imap::imap;
pub use pop3::pop3;
pub use replies::replies;
pub use unstuffer::unstuffer;
pub use wire::wire;

pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const TARGETS: [(&str, Target); 8] = [
    ("config", config),
    ("folder", folder),
    ("header", header),
    ("imap", imap),
    ("pop3", pop3),
    ("replies", replies),
    ("unstuffer", unstuffer),
    ("wire", wire),
];

/// Whether `text` may be shown to a person: nothing in it that a terminal would obey.
fn is_showable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

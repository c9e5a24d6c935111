//! Where messages go.

pub mod imap_folder;
pub mod webhook;

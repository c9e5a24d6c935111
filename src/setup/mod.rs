//! Setting up an account: try it, save it, change it, take it away. One way for the terminal and for the page.
//!
//! | file | holds |
//! |---|---|
//! | `trial` | logging in on both sides, and what a person is shown of it |
//! | `files` | what is written: the main file, an account's file, its password beside it |

mod files;
mod trial;

pub use files::{Error, Saved, add, add_home, change, create, delete, must_be_free};
pub use trial::{Mailbox, build_destination, log_in, log_in_home};

//! Setting up an account: try it, save it, change it, take it away. One way for the terminal and for the page.
//!
//! | file | holds |
//! |---|---|
//! | `trial` | logging in on both sides, and what a person is shown of it |
//! | `files` | what is written: the main file, an account's file, its password beside it |
//! | `route` | where the mail of an account goes |
//! | `retrieval` | fetching one message from its source, to look at it |
//! | `suggestion` | what is offered for an address |
//! | `words` | what is wrong with a login or an answer, as the terminal says it and as the page does |

mod files;
mod retrieval;
mod route;
mod suggestion;
mod trial;
mod words;

pub use files::{
    Error, Saved, add, add_home, change, check, create, delete, must_be_another, must_be_free, own_file,
};
pub use retrieval::retrieve;
pub use route::{RouteAnswers, route};
pub use suggestion::{Suggestion, Told, free_name, suggest, suggest_home};
pub use trial::{
    Mailbox, Unusable, build_destination, log_in, log_in_account, log_in_destination, log_in_home,
};

pub use words::{LoginFault, on_page};

/// What an account is configured with, as the page needs it too.
pub use crate::config::draft::{
    AT_ONCE, AccountDraft, ENCRYPTIONS, HomeDraft, IMAP_PORTS, MOST_DAYS, POP3_PORTS, PeerDraft, Ports,
    is_number, parse_folder, parse_leave_copy, parse_secret, tls_word,
};
pub use crate::config::{Account, Config, Fault, Faults, load_with_secret_of, load_without_secrets};
pub use crate::net::Tls;

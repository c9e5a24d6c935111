//! Setting up an account: try it, save it, change it, take it away. One way for the terminal and for the page.
//!
//! | file | holds |
//! |---|---|
//! | `trial` | logging in on both sides, and what a person is shown of it |
//! | `files` | what is written: the main file, an account's file |
//! | `homes` | destinations, which are in the main file |
//! | `passwords` | passwords, in files that the config names |
//! | `disk` | how files are written |
//! | `route` | where the mail of an account goes |
//! | `retrieval` | fetching one message from its source, to look at it |
//! | `sign_ins` | logins by OAuth: where their tokens are |
//! | `new_sign_in` | signing in for what is not there yet |
//! | `suggestion` | what is offered for an address |
//! | `words` | what is wrong with a login or an answer, as the terminal says it and as the page does |

mod disk;
mod files;
mod homes;
mod new_sign_in;
mod passwords;
mod retrieval;
mod route;
mod sign_ins;
mod suggestion;
mod trial;
mod words;

pub use files::{
    Error, Saved, add, change, check, create, delete, keep_sign_in, must_be_another, must_be_free, own_file,
};
pub use homes::{OwnHome, add_home, change_home, check_home, own_home, requests_of};
pub use new_sign_in::{Door, NewLogin, NewSignIn, NoWay, suggestion_for, ways_in, ways_to};
pub use retrieval::retrieve;
pub use route::{RouteAnswers, has_labels, route};
pub use sign_ins::{
    Whom, is_still, load, load_with_secret_of, load_with_secret_of_destination, rename_sign_in, sign_in_for,
};
pub use suggestion::{Suggestion, Told, free_name, suggest, suggest_home};
pub use trial::{
    Mailbox, Unusable, build_destination, log_in, log_in_account, log_in_destination, log_in_home,
};

pub use words::{LoginFault, on_page};

/// What an account is configured with, as the page needs it too.
pub use crate::config::draft::{
    AT_ONCE, AccountDraft, ENCRYPTIONS, GmailDraft, HomeDraft, IMAP_PORTS, MOST_DAYS, POP3_PORTS, PeerDraft,
    Place, Ports, is_number, parse_folder, parse_labels, parse_leave_copy, parse_secret, tls_word,
};
pub use crate::config::{Account, Config, Fault, Faults, load_without_secrets};
pub use crate::net::Tls;
pub use crate::providers::{Endpoint, PRESETS, Provider, Trial, UNTRIED};

/// What becomes of mail that Gmail's own fetcher or another program has brought home before.
pub const COMPARED: &str = "Was this mailbox fetched by Gmail or another program so far? What the IMAP folder has already, byte for byte, does not \
     come twice. A copy to which header lines were added is not recognised: then take only new mail. What fetchmail, getmail, \
     mpop or fdm has seen can be taken over: see mailferry import-state --help.";

/// What a change of `import` does not do.
pub const COUNTS_AT_FIRST: &str = "Import counts when a mailbox is checked for the first time: also if the server or the user changes. To have what was \
     left alone then, delete the account, forget its messages, and add it again.";

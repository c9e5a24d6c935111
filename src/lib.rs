//! mailferry brings mail home: it polls POP3 accounts on a schedule, remembers every message it has seen in a ledger,
//! and carries each new one to an IMAP folder, Gmail or an HTTP webhook.
//!
//! ```text
//! config ──► daemon ──► schedule says who is due ──► poll ──► pop3   list, retrieve
//!                                                     │  ──► ledger what is due; what happened
//!                                                     │  ──► destination ─► imap folder | gmail | webhook
//!                                                     └──► pop3   delete what may go, quit
//! ```
//!
//! [`poll`] is the story; every other module can be skipped at first reading.
//!
//! | word | means |
//! |---|---|
//! | account | a POP3 mailbox that is polled |
//! | poll | one visit to an account |
//! | listing | what a mailbox holds, as its server lists it in one session |
//! | UIDL | a message's unique id in its mailbox: bytes, nothing to be trusted |
//! | destination | where messages go: an IMAP server, Gmail or a webhook |
//! | delivery | one message to one destination |
//! | attempt | one try at a delivery |
//! | verdict | what became of an attempt |
//! | receipt | what the destination said when it took a message |
//! | parked | given up for now: the message stays at its source, and a person decides |
//! | ledger | what was seen and what became of it, in SQLite |
//! | quirk | a way of a server that changes what a poll does |
//!
//! | where is ... | |
//! |---|---|
//! | the order of events in a poll | [`poll`] |
//! | the rule of what is new, due, renamed, deletable | [`ledger`] |
//! | every byte that goes to a POP3 server | [`pop3`] |
//! | how a message is found again when an answer was lost | [`destination::imap_folder`] |
//! | what a webhook's answer means | [`destination::webhook`] |
//! | what Gmail's API is asked, and what its answers mean | [`destination::gmail`] |
//! | what a server is shown at a login, and where tokens are | [`auth`] |
//! | every config key and complaint | [`config`] |
//! | what is known of a mail provider, and how its servers are found | [`providers`] |
//! | who is polled when, reload, stop | [`daemon`], [`schedule`] |
//! | how an account is added or changed | [`setup`] |
//! | what people are told without asking | [`alerts`] |
//! | TLS, certificates, time-outs | [`net`] |
//! | what another program had seen, and how its file tells | [`import_state`] |
//! | what the page shows and does, and who may | [`web`] |
//! | what a command prints | [`cli`] |
//!
//! Who may import whom is kept by `tests/all/layers.rs`.

pub mod alerts;
pub mod auth;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod destination;
pub mod imap;
pub mod import_state;
pub mod ledger;
pub mod message;
pub mod metrics;
pub mod net;
pub mod poll;
pub mod pop3;
pub mod printable;
pub mod providers;
pub mod schedule;
pub mod setup;
pub mod web;

//! The answer is lost. Before anything is sent again the destination is asked, twice if it does not have the message,
//! whatever happens meanwhile.
//!
//! The windows of a crash (W1 to W16) that end here: W5 (in the middle of a literal), W6 (all sent, no
//! answer), W7 (the answer came and was not committed: to the ledger the same as W6), W9 (QUIT), W10 (POST), W13 (a
//! new UIDVALIDITY), W15 (the clock jumps). W1, W4 and W8 are among the cuts at every byte.

mod append;
mod culprit;
mod post;
mod quit;

use std::time::Instant;

use super::{report, run_all};

const KEEP: &str = "";
const DELETE: &str = "leave_copy = false";

#[test]
fn an_unknown_outcome_is_looked_into() {
    let started = Instant::now();
    let count = run_all(append::cases(), append::run);
    report(
        "unknown outcomes",
        &format!("{count} lost answers to APPEND in {} s", started.elapsed().as_secs()),
    );
}

#[test]
fn a_lost_answer_to_quit_or_a_webhook_doubles_nothing() {
    let count = run_all(quit::cases(), quit::run) + run_all(post::cases(), post::run);
    report("unknown outcomes", &format!("{count} lost answers to QUIT and POST"));
}

#[test]
fn a_message_that_its_server_breaks_at_holds_up_no_other() {
    let count = run_all(culprit::cases(), culprit::run);
    report("unknown outcomes", &format!("{count} times a server hung up at one message, and got all others"));
}

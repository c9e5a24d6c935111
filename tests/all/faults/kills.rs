//! The row "kill -9 at random moments": ten thousand messages move and are deleted behind it, and the process dies again
//! and again.
//!
//! What syscalls.rs does to three messages happens here to full batches, one being sent while the next is retrieved, to
//! portions of deletions (W8, W9), and to a recovery that is itself killed.

use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::dovecot::Dovecot;
use crate::faults::{self, UNUSUAL};
use crate::ferry::{Ferry, account, imap_destination, message};
use crate::oracle::{Arrived, Evidence, expect_no_secret};

const MESSAGES: usize = 10_000;

/// So many kills for each ten thousand messages.
const KILLS: usize = 20;

#[tokio::test]
async fn ten_thousand_messages_arrive_once_although_mailferry_is_killed_again_and_again() {
    let (row, began) = ("kill -9 at random moments", Instant::now());
    let mut chance = Rng::with_seed(faults::seed(row));
    let server = faults::server_with_an_unusual_password();
    let mut messages = 0;
    let rounds = faults::count(1, 10);
    for round in 0..rounds {
        let mut round = Round::begin(&server, round);
        for _ in 0..KILLS {
            while !round.live(&mut chance).await {
                round.put(MESSAGES / 10);
            }
            round.evidence().judge().await.unwrap();
        }
        round.recover().await;
        messages += round.put.len();
    }
    let (kills, seconds) = (rounds * KILLS, began.elapsed().as_secs());
    faults::report(row, &format!("{kills} kills, {messages} messages in {seconds} s; none lost, none twice"));
}

/// Ten thousand messages for a ledger of their own.
struct Round<'s> {
    server: &'s Dovecot,
    from: String,
    to: String,
    ferry: Ferry,
    put: Vec<Vec<u8>>,
}

impl Round<'_> {
    fn begin(server: &Dovecot, round: usize) -> Round<'_> {
        let (from, to) = (format!("from{round}"), format!("to{round}"));
        let config = imap_destination("home", server, &to)
            + &account("old", server, &from, "leave_copy = false\ndeliver = [{ to = \"home\" }]");
        let ferry = Ferry::new(&faults::with_unusual_password(&config));
        let mut round = Round { server, from, to, ferry, put: Vec::new() };
        round.put(MESSAGES);
        round
    }

    fn put(&mut self, count: usize) {
        let more: Vec<Vec<u8>> = (self.put.len()..self.put.len() + count).map(message).collect();
        self.server.put(&self.from, &more);
        self.put.extend(more);
    }

    /// One life, from start to a random death. Returns false where it had done all before that.
    async fn live(&self, chance: &mut Rng) -> bool {
        let mut running = self.ferry.start(&["fetch", "-v"]);
        // Else it dies while it starts, recovers or lists.
        let is_to_deliver = chance.u8(0..4) > 0;
        let moment = Duration::from_micros(chance.u64(0..if is_to_deliver { 30_000 } else { 400_000 }));
        if is_to_deliver {
            running.read_up_to_nth("verdict=\"delivered\"", chance.usize(1..300)).await;
        }
        tokio::time::sleep(moment).await;
        running.signal(Signal::KILL);
        let ran = running.end().await;
        expect_no_secret(&[UNUSUAL], ran.stderr.as_bytes(), &[self.ferry.ledger()]).unwrap();
        ran.code == -1
    }

    async fn recover(&self) {
        let ran = self.ferry.run(&["fetch"]).await;
        assert!(ran.code == 0 || ran.code == 75, "{ran:?}");
        self.ferry.run(&["fetch"]).await.expect_code(0);
        self.evidence().expect_all_delivered(true).await.unwrap();
    }

    fn evidence(&self) -> Evidence {
        // The source first: what is gone from it then is at the destination by now.
        let source = self.server.list(&self.from, "INBOX");
        let arrived = Arrived { name: "home", messages: self.server.list(&self.to, "INBOX") };
        Evidence { put: self.put.clone(), source, destinations: vec![arrived], ledger: self.ferry.ledger() }
    }
}

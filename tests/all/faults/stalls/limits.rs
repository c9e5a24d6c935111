//! What all polls share, held by many that stall at once: places for polls, memory, a destination's sessions.

use super::clock::{Clock, SECOND};
use super::mute::{Drip, Mute, Words};
use super::neighbour::Neighbour;
use crate::faults::report;
use crate::world::{PASSWORD, Plan, World, alone};

/// What is silent, and from where on.
#[derive(Clone, Copy, Debug)]
enum Silent {
    /// The sources, after these words.
    Sources(Words),
    /// They are hardly more than silent: they send at twice the floor on throughput.
    Slow(Words),
    /// The one IMAP server of all accounts, from the start.
    Home,
    /// The one endpoint of all accounts: it takes requests and answers none.
    App,
}

impl Silent {
    fn words(self) -> Words {
        match self {
            Silent::Sources(words) | Silent::Slow(words) => words,
            Silent::Home | Silent::App => SMALL,
        }
    }

    fn drip(self) -> Option<Drip> {
        matches!(self, Silent::Slow(_)).then_some(Drip { octets: 2048, pause: SECOND })
    }
}

/// Four messages, a batch that takes as much memory as any, and the beginning of the first.
const LARGE: Words = &[
    "+OK\r\n",
    "-ERR\r\n",
    "+OK\r\n",
    "+OK\r\n",
    "+OK 4 4194304\r\n",
    "+OK\r\n1 a\r\n2 b\r\n3 c\r\n4 d\r\n.\r\n",
    "+OK\r\n1 1048576\r\n2 1048576\r\n3 1048576\r\n4 1048576\r\n.\r\n",
    "+OK\r\nSubject: begun\r\n\r\n",
];

/// One small message, and +OK to NOOP and QUIT.
const SMALL: Words = &[
    "+OK\r\n",
    "-ERR\r\n",
    "+OK\r\n",
    "+OK\r\n",
    "+OK 1 18\r\n",
    "+OK\r\n1 a\r\n.\r\n",
    "+OK\r\n1 18\r\n.\r\n",
    "+OK\r\nSubject: small\r\n\r\n.\r\n",
    "+OK\r\n",
    "+OK\r\n",
];

/// Bears as many accounts, each on a host of its own, and says after how many seconds the neighbour had its mail, and
/// after how many all other polls were over, at most `most`.
async fn crowd(accounts: u8, silent: Silent, most: u64) -> (u64, u64) {
    let mut world = World::new(Plan { home: None, app: true, account: "" }).await;
    let neighbour = Neighbour::of(&mut world).await;
    let login = format!("user = \"it\"\npassword = \"{PASSWORD}\"\ntls = \"none\"\n");
    let destination = Mute::after(if matches!(silent, Silent::App) { &[""] } else { &[] }).await;
    let (words, port) = (silent.words(), destination.port);
    world.more += &match silent {
        Silent::Sources(_) | Silent::Slow(_) | Silent::App => format!(
            "[destination.all]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\nformat = \"raw\"\n\
             secret = \"0123456789abcdef0123456789abcdef\"\n"
        ),
        Silent::Home => {
            format!("[destination.all]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\n{login}")
        }
    };
    let names: Vec<String> = (1..=accounts).map(|n| format!("a{n}")).collect();
    for (n, name) in (1..).zip(&names) {
        let host = format!("127.0.1.{n}");
        let source = Mute::at(&host, words, silent.drip()).await;
        world.more += &format!(
            "[account.{name}]\nhost = \"{host}\"\nport = {}\n{login}deliver = [{{ to = \"all\" }}]\n",
            source.port
        );
    }
    world.start().await.unwrap();
    let clock = Clock::stop();
    let mut polls: Vec<_> = names.iter().map(|name| world.begin_poll(name, true)).collect();
    for _ in 0..20 {
        world.settle().await;
    }
    let mut theirs = neighbour.is_polled(&world);
    let (mut its_mail, mut second) = (None, 0);
    while !polls.is_empty() || its_mail.is_none() {
        assert!(second <= most, "{silent:?}: {} polls after {second} s; mail: {its_mail:?}", polls.len());
        polls.retain_mut(|polls| polls.try_join_next().is_none());
        if its_mail.is_none() && theirs.try_join_next().is_some() {
            assert_eq!(neighbour.received(), 1);
            its_mail = Some(second);
        }
        clock.pass(&world, SECOND).await;
        world.settle().await;
        second += 1;
    }
    (its_mail.unwrap(), second - 1)
}

#[test]
fn a_crowd_of_silent_peers_keeps_nobody_from_being_polled_for_longer_than_one() {
    let mut figures = Vec::new();
    // Two of the first wait for memory for a minute, are asked whether they live, and may then be silent for a minute.
    for (what, accounts, silent, its_most, most) in [
        ("memory, held in bodies", 12, Silent::Sources(LARGE), 60, 180),
        // All of the first are given up once others wait; a message of theirs has not come to its end by then.
        ("memory, held in bodies that drip", 12, Silent::Slow(LARGE), 60 + 256, 700),
        ("places for polls, held before a greeting", 64, Silent::Sources(&[]), 60, 60),
        ("a silent IMAP server", 64, Silent::Home, 60, 60),
        ("a silent endpoint", 64, Silent::App, 30, 30),
    ] {
        let (its_mail, all) = alone(async move || crowd(accounts, silent, most + 2).await);
        assert!(its_mail <= its_most + 2, "{what}: after {its_mail} s");
        figures.push(format!("{what} by {accounts}: {its_mail} s, {all} s"));
    }
    let figures = figures.join("; ");
    report("stalls, what all polls share", &format!("a poll waits, and all are over after: {figures}"));
}

//! Steps that no transcript shows: a connection that is not answered, TLS, a peer that drips, one that stops reading.

use std::time::Duration;

use super::clock::{Clock, SECOND};
use super::mute::{Mute, Words};
use super::neighbour::Neighbour;
use crate::cable::{Fault, Way};
use crate::faults::report;
use crate::world::{PASSWORD, Plan, World, alone, each_in_a_world};

#[derive(Clone, Copy, Debug)]
enum Peer {
    Unanswering,
    Mute(Words),
    /// An octet after each 50 s.
    Dripping(Words),
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Source(&'static str),
    Home(&'static str),
    /// The scheme of its URL.
    App(&'static str),
}

struct Special {
    what: &'static str,
    role: Role,
    peer: Peer,
    seconds: u64,
}

const PLAIN: &str = "tls = \"none\"";
const IMPLICIT: &str = "tls = \"implicit\"";
const START_TLS: &str = "tls = \"starttls\"";

/// Up to the listing, which has one message.
const LISTED: [&str; 7] = [
    "+OK\r\n",
    "-ERR\r\n",
    "+OK\r\n",
    "+OK\r\n",
    "+OK 1 500000\r\n",
    "+OK\r\n1 a\r\n.\r\n",
    "+OK\r\n1 500000\r\n.\r\n",
];

const IN_A_BODY: Words = &[
    LISTED[0],
    LISTED[1],
    LISTED[2],
    LISTED[3],
    LISTED[4],
    LISTED[5],
    LISTED[6],
    "+OK\r\nSubject: begun\r\n\r\nwell\r\n",
];

const ANSWERED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it";

#[rustfmt::skip]
const SPECIALS: [Special; 23] = [
    Special { what: "POP3: no connection", role: Role::Source(PLAIN), peer: Peer::Unanswering, seconds: 30 },
    Special { what: "POP3: TLS", role: Role::Source(IMPLICIT), peer: Peer::Mute(&[]), seconds: 30 },
    Special { what: "POP3: STLS", role: Role::Source(START_TLS), peer: Peer::Mute(&["+OK\r\n"]), seconds: 60 },
    Special { what: "POP3: TLS after STLS", role: Role::Source(START_TLS), peer: Peer::Mute(&["+OK\r\n", "+OK\r\n"]), seconds: 30 },
    Special { what: "POP3: AUTH", role: Role::Source(PLAIN), peer: Peer::Mute(&["+OK\r\n", "+OK\r\nSASL PLAIN\r\n.\r\n"]), seconds: 60 },
    Special { what: "POP3: AUTH, asked again", role: Role::Source(PLAIN), peer: Peer::Mute(&["+OK\r\n", "+OK\r\nSASL PLAIN\r\n.\r\n", "+ \r\n"]), seconds: 60 },
    Special { what: "POP3: in a body", role: Role::Source(PLAIN), peer: Peer::Mute(IN_A_BODY), seconds: 60 },
    Special { what: "POP3: a greeting drips", role: Role::Source(PLAIN), peer: Peer::Dripping(&["+OK"]), seconds: 60 },
    Special { what: "POP3: a login drips", role: Role::Source(PLAIN), peer: Peer::Dripping(&["+OK\r\n", "-ERR\r\n", "+OK"]), seconds: 60 },
    Special { what: "POP3: a listing drips", role: Role::Source(PLAIN), peer: Peer::Dripping(&["+OK\r\n", "-ERR\r\n", "+OK\r\n", "+OK\r\n", "+OK 1 500000\r\n", "+OK\r\n1 "]), seconds: 300 },
    Special { what: "POP3: a body drips", role: Role::Source(PLAIN), peer: Peer::Dripping(IN_A_BODY), seconds: 60 },
    Special { what: "IMAP: no connection", role: Role::Home(PLAIN), peer: Peer::Unanswering, seconds: 60 },
    Special { what: "IMAP: TLS", role: Role::Home(IMPLICIT), peer: Peer::Mute(&[]), seconds: 60 },
    Special { what: "IMAP: greeting before STARTTLS", role: Role::Home(START_TLS), peer: Peer::Mute(&[]), seconds: 60 },
    Special { what: "IMAP: STARTTLS", role: Role::Home(START_TLS), peer: Peer::Mute(&["* OK\r\n"]), seconds: 60 },
    Special { what: "IMAP: TLS after STARTTLS", role: Role::Home(START_TLS), peer: Peer::Mute(&["* OK\r\n", "M0 OK\r\n"]), seconds: 60 },
    Special { what: "IMAP: LOGIN", role: Role::Home(PLAIN), peer: Peer::Mute(&["* OK [CAPABILITY IMAP4rev1] hello\r\n"]), seconds: 60 },
    Special { what: "IMAP: a greeting drips", role: Role::Home(PLAIN), peer: Peer::Dripping(&["* OK "]), seconds: 60 },
    Special { what: "IMAP: a login drips", role: Role::Home(PLAIN), peer: Peer::Dripping(&["* OK [CAPABILITY IMAP4rev1] hello\r\n", "M1 OK "]), seconds: 60 },
    Special { what: "HTTP: no connection", role: Role::App("http"), peer: Peer::Unanswering, seconds: 5 },
    Special { what: "HTTP: TLS", role: Role::App("https"), peer: Peer::Mute(&[]), seconds: 5 },
    Special { what: "HTTP: a status line drips", role: Role::App("http"), peer: Peer::Dripping(&["", "HTTP/1.1 200 "]), seconds: 30 },
    Special { what: "HTTP: in an answer's body", role: Role::App("http"), peer: Peer::Dripping(&["", ANSWERED]), seconds: 5 },
];

/// Whether one of them is silence after this command.
pub fn has(command: &str) -> bool {
    SPECIALS.iter().any(|special| special.what.split(": ").nth(1) == Some(command))
}

impl Role {
    /// An account `hung` that has to do with the peer at `port`.
    fn config(self, port: u16, source: u16) -> String {
        let pin = format!("pin = \"sha256:{}\"", "00".repeat(32));
        let pin = |tls: &str| if tls == PLAIN || tls == "http" { String::new() } else { pin.clone() };
        let login = format!("user = \"hung\"\npassword = \"{PASSWORD}\"\n");
        let (port, tls, to, destination) = match self {
            Role::Source(tls) => (port, format!("{tls}\n{}", pin(tls)), "its-app", String::new()),
            Role::Home(tls) => {
                let pin = pin(tls);
                let home =
                    format!("kind = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\n{tls}\n{pin}\n{login}");
                (source, PLAIN.to_owned(), "silent", format!("[destination.silent]\n{home}"))
            }
            Role::App(scheme) => {
                let url = format!(
                    "url = \"{scheme}://127.0.0.1:{port}/\"\nformat = \"raw\"\nsecret = \"0123456789abcdef0123456789abcdef\""
                );
                let app = format!("kind = \"webhook\"\n{url}\n{}\n", pin(scheme));
                (source, PLAIN.to_owned(), "silent", format!("[destination.silent]\n{app}"))
            }
        };
        format!(
            "{destination}[account.hung]\nhost = \"127.0.0.1\"\nport = {port}\n{tls}\n{login}deliver = [{{ to = \"{to}\" }}]\n"
        )
    }
}

const NOTHING: Plan = Plan { home: None, app: true, account: "" };

async fn run(special: &Special) -> Result<(), String> {
    let mut world = World::new(NOTHING).await;
    let neighbour = Neighbour::of(&mut world).await;
    let peer = match special.peer {
        Peer::Unanswering => Mute::unanswering().await,
        Peer::Mute(words) => Mute::after(words).await,
        Peer::Dripping(words) => Mute::dripping(words, 50 * SECOND).await,
    };
    world.more += &special.role.config(peer.port, world.pop3.port);
    world.put("u1", b"Subject: one\r\n\r\n");
    world.start().await.unwrap();
    let clock = Clock::stop();
    let mut polls = world.begin_poll("hung", true);
    neighbour.gets_mail(&world, &clock).await?;
    let Some((seconds, _)) = clock.wait(&world, &mut polls, special.seconds + 1).await else {
        return Err(format!("still under way after {} s", special.seconds + 1));
    };
    if seconds + 1 < special.seconds {
        return Err(format!("ended after {seconds} s already"));
    }
    neighbour.gets_mail(&world, &clock).await
}

#[test]
fn silence_before_a_word_or_amid_drops_ends_the_poll_in_time() {
    let only = std::env::var("MAILFERRY_STALLS").unwrap_or_default();
    let specials: Vec<&Special> = SPECIALS.iter().filter(|special| special.what.contains(&only)).collect();
    let failures = each_in_a_world(specials, async |special| run(special).await);
    let failures: Vec<_> = failures.iter().map(|(special, fault)| (special.what, fault)).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    report("stalls in TLS, connections and drips", &format!("{} steps", SPECIALS.len()));
}

/// Mail for a server that stops reading, and when its poll must have ended, in seconds.
async fn stops_reading(plan: Plan, messages: &[usize], after: u64, seconds: u64) {
    let mut world = World::new(plan).await;
    let neighbour = Neighbour::of(&mut world).await;
    for (n, octets) in messages.iter().enumerate() {
        let text = "some text for a large message\r\n".repeat(octets / 31);
        world.put(&format!("u{n}"), format!("Message-ID: <{n}@example.com>\r\n\r\n{text}").as_bytes());
    }
    world.start().await.unwrap();
    let clock = Clock::stop();
    let cable = if plan.app { &world.to_app } else { &world.to_imap };
    cable.arm(Some(Fault::Stall { way: Way::Up, after }));
    let mut polls = world.begin_poll("old", true);
    cable.struck().await;
    // While the destination is silent, the source falls silent as well, in the answer to a NOOP.
    clock.pass(&world, 20 * SECOND).await;
    world.to_pop3.arm(Some(Fault::Stall { way: Way::Down, after: 0 }));
    neighbour.gets_mail(&world, &clock).await.unwrap();
    let ended = clock.wait(&world, &mut polls, seconds - 19).await;
    let Some((waited, _)) = ended else { panic!("still under way after {} s", seconds + 1) };
    assert!(waited > 5, "ended after {waited} s");
    neighbour.gets_mail(&world, &clock).await.unwrap();
    for cable in [&world.to_pop3, &world.to_imap, &world.to_app] {
        cable.arm(None);
    }
    for _ in 0..2 {
        world.later(chrono::TimeDelta::hours(2));
        clock.wait(&world, &mut world.begin_poll("old", false), 200).await.unwrap().1.outcome.unwrap();
    }
    world.evidence().expect_all_delivered(false).await.unwrap();
}

const MIB: usize = 1 << 20;

#[test]
fn a_server_that_stops_reading_a_message_holds_nobody_up() {
    let home = Plan { home: Some("INBOX"), app: false, account: "" };
    let app = Plan { home: None, app: true, account: "" };
    // At 4 KiB/s, and then five minutes to store it.
    alone(async move || stops_reading(home, &[5 * MIB], 900_000, 60 + 300).await);
    alone(async move || stops_reading(home, &[MIB - 1000; 3], 900_000, 60 + 3 * 256).await);
    // 62 s at 256 KiB/s, but the source has been asked by then whether it still lives.
    alone(async move || stops_reading(app, &[8 * MIB], 900_000, 60 + 60).await);
}

#[test]
fn a_rested_session_with_a_silent_server_is_left_in_two_seconds() {
    alone(async || {
        let mut world = World::new(Plan { home: Some("INBOX"), app: false, account: "" }).await;
        world.put("u1", b"Subject: one\r\n\r\n");
        world.poll().await.unwrap();
        let clock = Clock::stop();
        clock.pass(&world, 40 * SECOND).await;
        world.to_imap.arm(Some(Fault::Stall { way: Way::Up, after: 0 }));
        let started = tokio::time::Instant::now();
        let close = world.close_idle();
        let tick = async {
            loop {
                clock.pass(&world, SECOND).await;
            }
        };
        tokio::select! {
            biased;
            () = close => {}
            () = tick => {}
        }
        assert!(started.elapsed() <= Duration::from_secs(3), "{:?}", started.elapsed());
    });
}

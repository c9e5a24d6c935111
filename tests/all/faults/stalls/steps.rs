//! The steps of a conversation, read off one that went well: wherever a line ends, or is broken off, the peer may fall
//! silent, and then one command is waited for.

use std::collections::VecDeque;

use crate::cable::Way;

#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    Pop3,
    Imap,
    Http,
}

/// A command, or the greeting, and how many seconds its answer may take.
pub type Awaited = (&'static str, u64);

/// The link falls silent after so many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub way: Way,
    pub after: u64,
    /// What is then waited for; nothing after the last answer.
    pub awaited: Option<Awaited>,
}

/// [`mailferry::pop3::Deadlines`].
const POP3: [Awaited; 13] = [
    ("greeting", 60),
    ("CAPA", 60),
    ("USER", 60),
    ("PASS", 60),
    ("AUTH", 60),
    ("STAT", 300),
    ("UIDL", 300),
    ("LIST", 300),
    ("RETR", 60),
    ("TOP", 60),
    ("DELE", 60),
    ("NOOP", 60),
    ("QUIT", 60),
];

/// [`mailferry::imap::COMMAND`], and ten minutes for what a server must look through its folder for.
const IMAP: [Awaited; 14] = [
    ("greeting", 60),
    ("CAPABILITY", 60),
    ("AUTHENTICATE", 60),
    ("LOGIN", 60),
    ("NAMESPACE", 60),
    ("LIST", 60),
    ("STATUS", 60),
    ("CREATE", 60),
    ("SUBSCRIBE", 60),
    ("APPEND", 60),
    ("EXAMINE", 60),
    ("UID", 600),
    ("CLOSE", 60),
    ("NOOP", 60),
];

const HTTP: [Awaited; 1] = [("POST", 30)];

/// Everything that is ever waited for.
pub fn awaited() -> impl Iterator<Item = &'static str> {
    POP3.into_iter().chain(IMAP).chain(HTTP).map(|(name, _)| name)
}

impl Protocol {
    fn greeting(self) -> Option<Awaited> {
        match self {
            Protocol::Pop3 | Protocol::Imap => Some(("greeting", 60)),
            Protocol::Http => None,
        }
    }

    /// The command that a line of the client's begins; none in the midst of a message.
    fn command(self, line: &str) -> Option<Awaited> {
        let (word, table) = match self {
            Protocol::Pop3 => (line.split([' ', '\r']).next()?, &POP3[..]),
            Protocol::Imap => (tagged(line)?.split([' ', '\r']).next()?, &IMAP[..]),
            Protocol::Http => (line.split(' ').next()?, &HTTP[..]),
        };
        table.iter().find(|(name, _)| *name == word).copied()
    }

    /// Whether an answer, of which `before` lines have come, goes on behind this line of it.
    fn goes_on(self, (name, _): Awaited, line: &str, before: usize) -> bool {
        match self {
            _ if name == "greeting" => false,
            Protocol::Pop3 if before == 0 => {
                line.starts_with("+OK") && ["CAPA", "UIDL", "LIST", "RETR", "TOP"].contains(&name)
            }
            Protocol::Pop3 => line != ".\r\n",
            Protocol::Imap => tagged(line).is_none(),
            Protocol::Http => line != "\r\n",
        }
    }
}

fn tagged(line: &str) -> Option<&str> {
    let (tag, rest) = line.split_once(' ')?;
    tag.strip_prefix('M')?.parse::<u32>().ok()?;
    Some(rest)
}

/// Every step of a conversation on one connection, which may be an old one.
pub fn steps(protocol: Protocol, heard: &[(Way, Vec<u8>)]) -> Vec<Step> {
    let mut listener = Listener { protocol, ..Listener::default() };
    if heard[0].0 == Way::Down {
        listener.asked.extend(protocol.greeting());
    }
    listener.note(Way::Down, 0);
    for (way, bytes) in heard {
        for &byte in bytes {
            listener.hear(*way, byte);
        }
    }
    assert!(listener.asked.is_empty(), "not answered: {:?}", listener.asked);
    listener.steps
}

struct Listener {
    protocol: Protocol,
    lines: [Vec<u8>; 2],
    passed: [u64; 2],
    /// Commands without an answer, and the lines that have come of the first one's.
    asked: VecDeque<Awaited>,
    answered: usize,
    steps: Vec<Step>,
    /// Where the steps begin that wait for whatever is asked next.
    undecided: usize,
}

impl Default for Listener {
    fn default() -> Listener {
        Listener {
            protocol: Protocol::Pop3,
            lines: Default::default(),
            passed: [0; 2],
            asked: VecDeque::new(),
            answered: 0,
            steps: Vec::new(),
            undecided: 0,
        }
    }
}

impl Listener {
    fn hear(&mut self, way: Way, byte: u8) {
        self.passed[way as usize] += 1;
        self.lines[way as usize].push(byte);
        if byte != b'\n' {
            return;
        }
        let line = String::from_utf8(std::mem::take(&mut self.lines[way as usize])).unwrap();
        match way {
            Way::Up => self.ask(&line),
            Way::Down => {
                // In the midst of it.
                self.note(way, self.passed[way as usize] - line.len() as u64 / 2 - 1);
                self.answer(&line);
            }
        }
        self.note(way, self.passed[way as usize]);
    }

    fn ask(&mut self, line: &str) {
        let Some(command) = self.protocol.command(line) else { return };
        self.asked.push_back(command);
        for step in &mut self.steps[self.undecided..] {
            step.awaited = step.awaited.or(Some(command));
        }
        self.undecided = self.steps.len();
    }

    fn answer(&mut self, line: &str) {
        let Some(&first) = self.asked.front() else { return };
        self.answered += 1;
        if !self.protocol.goes_on(first, line, self.answered - 1) {
            self.asked.pop_front();
            self.answered = 0;
        }
    }

    fn note(&mut self, way: Way, after: u64) {
        self.steps.push(Step { way, after, awaited: self.asked.front().copied() });
    }
}

#[test]
fn each_step_waits_for_its_command() {
    let heard = [
        (Way::Down, b"+OK\r\n".to_vec()),
        (Way::Up, b"UIDL\r\n".to_vec()),
        (Way::Down, b"+OK\r\n1 a\r\n.\r\n".to_vec()),
        (Way::Up, b"QUIT\r\n".to_vec()),
        (Way::Down, b"+OK\r\n".to_vec()),
    ];
    let names: Vec<&str> =
        steps(Protocol::Pop3, &heard).iter().map(|step| step.awaited.map_or("", |(name, _)| name)).collect();
    let (greeting, uidl, quit) = ("greeting", "UIDL", "QUIT");
    let expected = [greeting, greeting, uidl, uidl, uidl, uidl, uidl, uidl, uidl, quit, quit, quit, ""];
    assert_eq!(names, expected);
}

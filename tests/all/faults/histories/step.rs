//! What can happen in a history, as text and by chance.

use std::fmt;

use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;

use crate::cable::{Fault, Way};
use crate::world::Link;

/// Numbers say which message, counted from the first that was put, and wrap around.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A message arrives under a UIDL of its own, or that of an earlier one.
    Put {
        what: What,
        under: Option<usize>,
    },
    /// The same bytes as an earlier message arrive once more.
    Twin(usize),
    /// Another message arrives with the UIDL and the size of an earlier one.
    Like(usize),
    /// Another message arrives with the Message-ID of an earlier one.
    Echo(usize),
    /// The same bytes as an earlier message arrive in the mailbox of a second account.
    Neighbour(usize),
    /// Somebody else removes a message from the source.
    Take(usize),
    /// The provider moves: all UIDLs are new.
    Renumber,
    /// The source leaves a message out of its listings, until `Show`.
    Hide(usize),
    Show,
    /// Sessions at the source end after so many commands.
    Short(usize),
    /// The source hands out nothing.
    Withhold,
    Poll,
    Fetch,
    Wait(u32),
    /// The next poll meets a fault of a cable.
    Fault(Link, Fault),
    /// A poll during which the process ends.
    Crash(Link, Fault),
    /// An ordered stop.
    Restart,
    /// The webhook's answer to everything, and its Retry-After.
    App(u16, Option<u32>),
    /// The webhook refuses one message; the folder's server does.
    AppDislikes(usize),
    HomeDislikes(usize),
    /// The folder's server takes nothing.
    HomeFull,
    /// The folder's server does not let anybody look.
    Blind,
    /// What is appended is seen late.
    Late,
    /// The folder's server has few capabilities.
    Plain,
    /// It stores other bytes than it took, and tells sizes that are neither's, as Exchange does.
    Exchange,
    /// All servers are as at the beginning again.
    Heal,
    /// The reader moves a copy to another folder, or deletes it.
    Move(usize),
    Bin(usize),
    /// The folder is rebuilt.
    UidValidity,
    Keep(Keep),
    Deliver(Deliver),
    Folder(bool),
    /// The folder is another user's from now on, with the same UIDVALIDITY.
    Rehouse,
    /// The folder takes every second message only.
    When(bool),
    ImportNew(bool),
    Retry,
    /// One of the deliveries that wait is given up.
    GiveUp(usize),
    Backup,
    Restore,
    Lose,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Plain,
    Empty,
    Dots,
    EightBit,
    Large,
    /// It arrived long before the account was configured.
    Old,
}

/// `leave_copy`, the shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    Nothing,
    Days14,
    Forever,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliver {
    Home,
    App,
    Both,
}

const WHATS: [(&str, What); 6] = [
    ("plain", What::Plain),
    ("empty", What::Empty),
    ("dots", What::Dots),
    ("8-bit", What::EightBit),
    ("large", What::Large),
    ("old", What::Old),
];
const KEEPS: [(&str, Keep); 3] = [("nothing", Keep::Nothing), ("14d", Keep::Days14), ("all", Keep::Forever)];
const DELIVERS: [(&str, Deliver); 3] =
    [("home", Deliver::Home), ("app", Deliver::App), ("both", Deliver::Both)];
const LINKS: [(&str, Link); 3] = [("pop3", Link::Pop3), ("home", Link::Home), ("app", Link::App)];
const WAYS: [(&str, Way); 2] = [("up", Way::Up), ("down", Way::Down)];
const WORDS: [(&str, Step); 24] = [
    ("renumber", Step::Renumber),
    ("show", Step::Show),
    ("poll", Step::Poll),
    ("fetch", Step::Fetch),
    ("restart", Step::Restart),
    ("home full", Step::HomeFull),
    ("home blind", Step::Blind),
    ("home late", Step::Late),
    ("home plain", Step::Plain),
    ("home exchange", Step::Exchange),
    ("source withholds", Step::Withhold),
    ("rehouse", Step::Rehouse),
    ("when on", Step::When(true)),
    ("when off", Step::When(false)),
    ("heal", Step::Heal),
    ("uidvalidity", Step::UidValidity),
    ("folder INBOX", Step::Folder(false)),
    ("folder Work", Step::Folder(true)),
    ("import all", Step::ImportNew(false)),
    ("import new", Step::ImportNew(true)),
    ("retry", Step::Retry),
    ("backup", Step::Backup),
    ("restore", Step::Restore),
    ("lose ledger", Step::Lose),
];

fn word<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, it)| *it == value).expect("each has a word").0
}

fn value<T: Copy>(table: &[(&str, T)], text: &str) -> Option<T> {
    table.iter().find(|(word, _)| *word == text).map(|(_, it)| *it)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Put { what, under: None } => write!(f, "put {}", word(&WHATS, what)),
            Step::Put { what, under: Some(n) } => write!(f, "put {} under {n}", word(&WHATS, what)),
            Step::Twin(n) => write!(f, "twin {n}"),
            Step::Like(n) => write!(f, "like {n}"),
            Step::Echo(n) => write!(f, "echo {n}"),
            Step::Neighbour(n) => write!(f, "neighbour {n}"),
            Step::Short(commands) => write!(f, "source short {commands}"),
            Step::Take(n) => write!(f, "take {n}"),
            Step::Hide(n) => write!(f, "hide {n}"),
            Step::Move(n) => write!(f, "move {n}"),
            Step::Bin(n) => write!(f, "bin {n}"),
            Step::GiveUp(n) => write!(f, "give-up {n}"),
            Step::AppDislikes(n) => write!(f, "app dislikes {n}"),
            Step::HomeDislikes(n) => write!(f, "home dislikes {n}"),
            Step::Wait(seconds) => write!(f, "wait {seconds}"),
            Step::Fault(link, fault) => write!(f, "{}", at(link, fault)),
            Step::Crash(link, fault) => write!(f, "crash at {}", at(link, fault)),
            Step::App(status, None) => write!(f, "app {status}"),
            Step::App(status, Some(seconds)) => write!(f, "app {status} {seconds}"),
            Step::Keep(keep) => write!(f, "keep {}", word(&KEEPS, keep)),
            Step::Deliver(deliver) => write!(f, "deliver {}", word(&DELIVERS, deliver)),
            step => f.write_str(word(&WORDS, step)),
        }
    }
}

fn at(link: Link, fault: Fault) -> String {
    let (kind, way, after) = match fault {
        Fault::Cut { way, after } => ("cut", way, after),
        Fault::Reset { way, after } => ("reset", way, after),
        Fault::Stall { way, after } => ("stall", way, after),
        Fault::Hang { way, after } => ("hang", way, after),
        Fault::Pause { way, after } => ("pause", way, after),
    };
    format!("{kind} {} {} {after}", word(&LINKS, link), word(&WAYS, way))
}

impl Step {
    /// Reads what [`Step`] displays.
    pub fn parse(text: &str) -> Option<Step> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |text: &str| text.parse::<usize>().ok();
        Some(match words[..] {
            ["put", what] => Step::Put { what: value(&WHATS, what)?, under: None },
            ["put", what, "under", n] => Step::Put { what: value(&WHATS, what)?, under: Some(number(n)?) },
            ["twin", n] => Step::Twin(number(n)?),
            ["like", n] => Step::Like(number(n)?),
            ["echo", n] => Step::Echo(number(n)?),
            ["neighbour", n] => Step::Neighbour(number(n)?),
            ["source", "short", commands] => Step::Short(number(commands)?),
            ["take", n] => Step::Take(number(n)?),
            ["hide", n] => Step::Hide(number(n)?),
            ["move", n] => Step::Move(number(n)?),
            ["bin", n] => Step::Bin(number(n)?),
            ["give-up", n] => Step::GiveUp(number(n)?),
            ["app", "dislikes", n] => Step::AppDislikes(number(n)?),
            ["home", "dislikes", n] => Step::HomeDislikes(number(n)?),
            ["wait", seconds] => Step::Wait(seconds.parse().ok()?),
            ["crash", "at", kind, link, way, after] => {
                Step::Crash(value(&LINKS, link)?, fault(kind, way, after)?)
            }
            [kind @ ("cut" | "reset"), link, way, after] => {
                Step::Fault(value(&LINKS, link)?, fault(kind, way, after)?)
            }
            ["keep", keep] => Step::Keep(value(&KEEPS, keep)?),
            ["deliver", deliver] => Step::Deliver(value(&DELIVERS, deliver)?),
            ["app", status] if number(status).is_some() => Step::App(status.parse().ok()?, None),
            ["app", status, seconds] => Step::App(status.parse().ok()?, Some(seconds.parse().ok()?)),
            _ => value(&WORDS, &words.join(" "))?,
        })
    }
}

fn fault(kind: &str, way: &str, after: &str) -> Option<Fault> {
    let (way, after) = (value(&WAYS, way)?, after.parse().ok()?);
    match kind {
        "cut" => Some(Fault::Cut { way, after }),
        "reset" => Some(Fault::Reset { way, after }),
        _ => None,
    }
}

/// 5 to 40 steps, of which the polls are the most frequent.
pub fn histories() -> impl Strategy<Value = Vec<Step>> {
    let few = prop_oneof![14 => step().prop_map(|step| vec![step]), 1 => lost_answer()];
    proptest::collection::vec(few, 5..=32).prop_map(|steps| {
        let mut steps = steps.concat();
        steps.truncate(40);
        steps
    })
}

/// What mere chance brings together too seldom.
fn lost_answer() -> impl Strategy<Value = Vec<Step>> {
    (any::<bool>(), 0_u64..400, 1_u32..40).prop_map(|(is_late, after, seconds)| {
        let cut = Step::Fault(Link::Home, Fault::Cut { way: Way::Down, after });
        let put = Step::Put { what: What::Plain, under: None };
        let steps = [put, cut, Step::Poll, Step::Poll, Step::Wait(seconds), Step::Poll];
        let late = if is_late { Some(Step::Late) } else { None };
        late.into_iter().chain(steps).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        22 => source(),
        30 => running(),
        14 => destination(),
        6 => reader(),
        9 => config(),
        8 => people(),
    ]
}

fn source() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        8 => Just(What::Plain),
        2 => Just(What::Empty),
        2 => Just(What::Dots),
        2 => Just(What::EightBit),
        2 => Just(What::Old),
        1 => Just(What::Large),
    ];
    let under = prop_oneof![6 => Just(None), 1 => which().prop_map(Some)];
    prop_oneof![
        14 => (what, under).prop_map(|(what, under)| Step::Put { what, under }),
        3 => which().prop_map(Step::Twin),
        2 => which().prop_map(Step::Like),
        2 => which().prop_map(Step::Echo),
        3 => which().prop_map(Step::Neighbour),
        2 => which().prop_map(Step::Take),
        2 => Just(Step::Renumber),
        2 => which().prop_map(Step::Hide),
        2 => Just(Step::Show),
        1 => (3_usize..20).prop_map(Step::Short),
        1 => Just(Step::Withhold),
    ]
}

fn running() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => Just(Step::Poll),
        2 => Just(Step::Fetch),
        5 => waits().prop_map(Step::Wait),
        6 => (link(), faults()).prop_map(|(link, fault)| Step::Fault(link, fault)),
        5 => (link(), faults()).prop_map(|(link, fault)| Step::Crash(link, fault)),
        2 => Just(Step::Restart),
    ]
}

fn destination() -> impl Strategy<Value = Step> {
    let status = prop_oneof![Just(400), Just(401), Just(404), Just(410), Just(429), Just(500), Just(503)];
    let retry_after = prop_oneof![3 => Just(None), 1 => (1_u32..100_000).prop_map(Some)];
    prop_oneof![
        4 => (status, retry_after).prop_map(|(status, seconds)| Step::App(status, seconds)),
        2 => which().prop_map(Step::AppDislikes),
        2 => which().prop_map(Step::HomeDislikes),
        2 => Just(Step::HomeFull),
        2 => Just(Step::Blind),
        3 => Just(Step::Late),
        2 => Just(Step::Plain),
        2 => Just(Step::Exchange),
        6 => Just(Step::Heal),
    ]
}

fn reader() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => which().prop_map(Step::Move),
        2 => which().prop_map(Step::Bin),
        1 => Just(Step::UidValidity),
    ]
}

fn config() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Keep(Keep::Nothing)),
        1 => Just(Step::Keep(Keep::Days14)),
        1 => Just(Step::Keep(Keep::Forever)),
        1 => Just(Step::Deliver(Deliver::Home)),
        1 => Just(Step::Deliver(Deliver::App)),
        2 => Just(Step::Deliver(Deliver::Both)),
        1 => any::<bool>().prop_map(Step::Folder),
        1 => Just(Step::Rehouse),
        1 => any::<bool>().prop_map(Step::When),
        1 => any::<bool>().prop_map(Step::ImportNew),
    ]
}

fn people() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Retry),
        2 => which().prop_map(Step::GiveUp),
        2 => Just(Step::Backup),
        2 => Just(Step::Restore),
        1 => Just(Step::Lose),
    ]
}

fn which() -> impl Strategy<Value = usize> {
    0_usize..16
}

fn link() -> impl Strategy<Value = Link> {
    prop_oneof![3 => Just(Link::Pop3), 3 => Just(Link::Home), 2 => Just(Link::App)]
}

/// Many in the first bytes, where commands and greetings are, and some far into a message.
fn faults() -> impl Strategy<Value = Fault> {
    let way = prop_oneof![Just(Way::Up), Just(Way::Down)];
    let after = prop_oneof![6 => 0_u64..300, 4 => 0_u64..1600, 1 => 0_u64..1_200_000];
    (any::<bool>(), way, after).prop_map(|(resets, way, after)| match resets {
        false => Fault::Cut { way, after },
        true => Fault::Reset { way, after },
    })
}

/// From a second to 500 days.
fn waits() -> impl Strategy<Value = u32> {
    prop_oneof![
        3 => 1_u32..60,
        3 => 60_u32..7200,
        2 => 7200_u32..200_000,
        1 => (15_u32..500).prop_map(|days| days * 86_400),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_can_be_read(step in step()) {
            prop_assert_eq!(Step::parse(&step.to_string()), Some(step));
        }
    }
}

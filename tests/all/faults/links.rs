//! The connections to the source and to the folder end at any byte of a long transfer, both in the same run, between
//! real servers.
//!
//! A case is its seed: `MAILFERRY_LINKS=SEED` runs one alone.

use std::collections::VecDeque;
use std::fs;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use rustix::process::Signal;

use super::{count, report, seed, soak};
use crate::cable::{Cable, Fault, Way};
use crate::corpus::{corpus, on_the_wire};
use crate::dovecot::{Dovecot, PASSWORD};
use crate::ferry::{Ferry, Ran, message, webhook_destination};
use crate::oracle::{Arrived, Evidence, expect_no_secret};
use crate::receiver::Receiver;

/// Cases under way at a time: most of them wait until a lost answer can be asked for.
const AT_ONCE: usize = 16;

/// One message of the corpus out of so many is sent.
const SHARE: usize = 40;

/// The octets of a message that goes alone, with a literal that the server must ask for.
const LARGE: usize = 1_300_000;

/// What a server offers decides how messages are appended: all in one command, or one at a time. Dovecot announces
/// what it is told to announce.
const PLAIN: &str = "\nimap_capability = IMAP4rev1 SASL-IR ID ENABLE IDLE NAMESPACE\n";

struct Bench {
    source: Dovecot,
    /// As it is: MULTIAPPEND, LITERAL+, UIDPLUS.
    able: Dovecot,
    plain: Dovecot,
    messages: Vec<Vec<u8>>,
}

/// How the bridge is set up in a case.
#[derive(Clone, Copy, Debug)]
struct Plan {
    deletes: bool,
    is_able: bool,
    /// A webhook, whose link is not cut, takes the same mail.
    app: bool,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    plan: Plan,
    pop3: Fault,
    home: Fault,
}

/// Octets on a link, up and down, when nothing goes wrong.
type Lengths = [u64; 2];

impl Case {
    fn of(seed: u64, whole: &[(Plan, Lengths, Lengths)]) -> Case {
        let mut random = fastrand::Rng::with_seed(seed);
        let (plan, pop3, home) = whole[random.usize(..whole.len())];
        let plan = Plan { app: random.u8(..5) == 0, ..plan };
        Case { seed, plan, pop3: fault(&mut random, pop3), home: fault(&mut random, home) }
    }
}

fn fault(random: &mut fastrand::Rng, lengths: Lengths) -> Fault {
    let way = if random.bool() { Way::Up } else { Way::Down };
    let after = random.u64(..=lengths[way as usize]);
    if random.bool() { Fault::Cut { way, after } } else { Fault::Reset { way, after } }
}

impl Bench {
    fn start() -> Bench {
        let (source, able, plain) = (Dovecot::start(), Dovecot::start(), Dovecot::start_with(PLAIN));
        let mut messages: Vec<Vec<u8>> =
            corpus().iter().step_by(SHARE).map(|message| on_the_wire(message)).collect();
        messages.retain(|message| is_kept_by_dovecot(message));
        let line = "All work and no play makes Jack a dull boy, said the page, and said it again.\r\n";
        let header = "Message-ID: <large@example.com>\r\nSubject: large\r\n\r\n";
        let large = format!("{header}{}", line.repeat(LARGE / line.len())).into_bytes();
        messages.insert(messages.len() / 2, large);
        Bench { source, able, plain, messages }
    }

    fn home(&self, plan: Plan) -> &Dovecot {
        if plan.is_able { &self.able } else { &self.plain }
    }
}

/// Its Maildir holds LF and adds a CR where there is none, and it stores NUL as 0x80.
fn is_kept_by_dovecot(message: &[u8]) -> bool {
    let finds = |text: &[u8]| memchr::memmem::find(message, text).is_some();
    !finds(b"\r\r\n") && !finds(b"\0") && message.len() < 100_000
}

/// One bridge on the bench, with users of its own.
struct Run<'b> {
    bench: &'b Bench,
    plan: Plan,
    user: String,
    /// Every message that was ever put at the source.
    put: Vec<Vec<u8>>,
    ferry: Ferry,
    to_pop3: Cable,
    to_home: Cable,
    receiver: Receiver,
}

impl Run<'_> {
    async fn new(bench: &Bench, plan: Plan, user: String) -> Run<'_> {
        let put = bench.messages.clone();
        bench.source.put(&user, &put);
        let (to_pop3, to_home) = (Cable::to(bench.source.pop3).await, Cable::to(bench.home(plan).imap).await);
        let receiver = Receiver::start().await;
        let (deletes, app) = (
            if plan.deletes { "leave_copy = false" } else { "" },
            if plan.app { ", { to = \"app\" }" } else { "" },
        );
        let peer = |port| {
            format!(
                "host = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"{user}\"\npassword = \"{PASSWORD}\"\n"
            )
        };
        let config = format!(
            "{}[destination.home]\nkind = \"imap\"\n{}\n[account.old]\n{}{deletes}\ndeliver = [{{ to = \"home\" }}{app}]\n",
            webhook_destination("app", &receiver.url, "raw"),
            peer(to_home.port),
            peer(to_pop3.port),
        );
        Run { bench, plan, ferry: Ferry::new(&config), user, put, to_pop3, to_home, receiver }
    }

    fn put(&mut self, message: Vec<u8>) {
        self.bench.source.put(&self.user, std::slice::from_ref(&message));
        self.put.push(message);
    }

    async fn fetch(&self) -> Result<Ran, String> {
        let ran = self.ferry.run(&["fetch"]).await;
        let text = format!("{}{}", ran.stdout, ran.stderr);
        if !matches!(ran.code, 0 | 75) || text.contains("fault in mailferry") {
            return Err(format!("fetch failed: {ran:?}"));
        }
        expect_no_secret(&[PASSWORD], text.as_bytes(), &[])?;
        Ok(ran)
    }

    fn evidence(&self) -> Result<Evidence, String> {
        let home = self.bench.home(self.plan).list(&self.user, "INBOX");
        let mut destinations = vec![Arrived { name: "home", messages: home }];
        if self.plan.app {
            destinations.push(Arrived { name: "app", messages: self.receiver.taken()? });
        }
        Ok(Evidence {
            put: self.put.clone(),
            source: self.bench.source.list(&self.user, "INBOX"),
            destinations,
            ledger: self.ferry.ledger(),
        })
    }

    async fn expect_all_delivered(&self) -> Result<(), String> {
        self.evidence()?.expect_all_delivered(self.plan.deletes).await
    }

    /// Its mail is not needed any more.
    fn clear(self) {
        for server in [&self.bench.source, self.bench.home(self.plan)] {
            let _ = fs::remove_dir_all(server.maildir(&self.user, "INBOX"));
        }
    }
}

/// What was seen in all cases together.
#[derive(Default)]
struct Seen {
    struck: AtomicUsize,
    waited: AtomicUsize,
}

/// Octets on both links when nothing is cut.
async fn measure(bench: &Bench, plan: Plan) -> (Plan, Lengths, Lengths) {
    let run = Run::new(bench, plan, format!("whole-{}-{}", plan.deletes, plan.is_able)).await;
    run.fetch().await.unwrap();
    run.expect_all_delivered().await.unwrap();
    let lengths = |cable: &Cable| [cable.passed(Way::Up), cable.passed(Way::Down)];
    let (pop3, home) = (lengths(&run.to_pop3), lengths(&run.to_home));
    run.clear();
    (plan, pop3, home)
}

async fn run<'b>(bench: &'b Bench, case: Case, seen: &Seen) -> Result<Run<'b>, String> {
    let run = Run::new(bench, case.plan, format!("user-{}", case.seed)).await;
    run.to_pop3.arm(Some(case.pop3));
    run.to_home.arm(Some(case.home));
    let started = Instant::now();
    run.fetch().await?;
    seen.waited.fetch_add(usize::from(started.elapsed() >= Duration::from_secs(25)), Ordering::Relaxed);
    run.evidence()?.judge().await?;
    for cable in [&run.to_pop3, &run.to_home] {
        seen.struck.fetch_add(usize::from(cable.has_struck()), Ordering::Relaxed);
        cable.arm(None);
    }
    if run.fetch().await?.code != 0 {
        let ran = run.fetch().await?;
        if ran.code != 0 {
            return Err(format!("I6: two fetches were not enough: {ran:?}"));
        }
    }
    run.expect_all_delivered().await?;
    Ok(run)
}

/// Returns the cases that failed. Each is judged once more when others have run since: what a server stored late must
/// not change the outcome.
async fn run_all(bench: &Bench, cases: Vec<Case>, seen: &Seen) -> Vec<(Case, String)> {
    let outcomes = stream::iter(cases).map(async |case| (case, run(bench, case, seen).await));
    let mut outcomes = pin!(outcomes.buffer_unordered(AT_ONCE));
    let (mut failures, mut done) = (Vec::new(), VecDeque::new());
    loop {
        let outcome = outcomes.next().await;
        let is_over = outcome.is_none();
        match outcome {
            Some((case, Ok(run))) => done.push_back((case, run)),
            Some((case, Err(fault))) => failures.push((case, fault)),
            None => {}
        }
        let keep = if is_over { 0 } else { AT_ONCE };
        for (case, run) in done.drain(..done.len().saturating_sub(keep)) {
            match run.expect_all_delivered().await {
                Ok(()) => run.clear(),
                Err(fault) => failures.push((case, format!("later: {fault}"))),
            }
        }
        if is_over {
            return failures;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_both_ends_at_any_byte_nothing_is_lost_or_doubled() {
    let (bench, seen, started) = (Bench::start(), Seen::default(), Instant::now());
    let mut whole = Vec::new();
    for (deletes, is_able) in [(false, true), (true, true), (false, false), (true, false)] {
        whole.push(measure(&bench, Plan { deletes, is_able, app: false }).await);
    }
    let asked = std::env::var_os("MAILFERRY_LINKS").is_some();
    let alone = std::env::var("MAILFERRY_LINKS").ok().map(|seed| vec![seed.parse().unwrap()]);
    let seed = |nth| if soak() { fastrand::u64(..1 << 40) } else { nth };
    let seeds = alone.unwrap_or_else(|| (0..count(40, 400) as u64).map(seed).collect());
    eprintln!("seeds: {seeds:?}; MAILFERRY_LINKS=SEED runs one alone");
    let cases: Vec<Case> = seeds.iter().map(|&seed| Case::of(seed, &whole)).collect();
    let failures = run_all(&bench, cases, &seen).await;
    assert!(failures.is_empty(), "{} of {}: {failures:#?}", failures.len(), seeds.len());
    let struck = seen.struck.into_inner();
    assert!(asked || struck >= count(50, 500), "only {struck} cuts");
    report(
        "links cut at any byte, between Dovecots",
        &format!(
            "{} cuts in {} runs of {} messages each, {} runs had to ask for lost answers, {} s, nothing lost or doubled",
            struck,
            seeds.len(),
            bench.messages.len(),
            seen.waited.into_inner(),
            started.elapsed().as_secs()
        ),
    );
}

/// Descriptors of a process, and the most memory that it ever held, in KiB.
fn held(process: u32) -> (usize, u64) {
    let of = |file: &str| format!("/proc/{process}/{file}");
    let status = fs::read_to_string(of("status")).unwrap();
    let peak = status.lines().find_map(|row| row.strip_prefix("VmHWM:")).unwrap();
    (fs::read_dir(of("fd")).unwrap().count(), peak.split_whitespace().next().unwrap().parse().unwrap())
}

/// Octets in a session with one new message, up and down.
const SESSION: Lengths = [150, 8000];

/// One poll after the other, each with a message to carry. Returns how many cuts there were.
async fn polls_under_cuts(run: &mut Run<'_>, from: usize, to: usize, random: &mut fastrand::Rng) -> usize {
    let mut struck = 0;
    for poll in from..to {
        run.put(message(poll));
        run.to_pop3.arm(Some(fault(random, SESSION)));
        // A lost answer has to be waited for.
        run.to_home.arm((poll % 30 == 0).then(|| fault(random, SESSION)));
        run.fetch().await.unwrap();
        for cable in [&run.to_pop3, &run.to_home] {
            struck += usize::from(cable.has_struck());
            cable.arm(None);
        }
    }
    struck
}

/// I8, in the real binary: one process, whose links are cut again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_whose_links_break_holds_no_more_for_it() {
    let (bench, polls) = (Bench::start(), count(60, 600));
    let plan = Plan { deletes: false, is_able: true, app: false };
    let mut run = Run::new(&bench, plan, "daemon".into()).await;
    let mut random = fastrand::Rng::with_seed(seed("links of a daemon"));
    let mut daemon = run.ferry.start(&["run"]);
    let process = daemon.pid();
    daemon.wait_for("started").await;
    let work = async {
        let mut struck = polls_under_cuts(&mut run, 0, polls / 4, &mut random).await;
        let before = held(process);
        struck += polls_under_cuts(&mut run, polls / 4, polls, &mut random).await;
        (struck, before, held(process))
    };
    let (struck, (fds_before, kib_before), (fds_after, kib_after)) = tokio::select! {
        // Its log is read on, so that it is not held up by that.
        _ = daemon.read_up_to_nth("nobody says this", 1) => panic!("it ended"),
        held = work => held,
    };
    for _ in 0..2 {
        run.fetch().await.unwrap();
    }
    run.expect_all_delivered().await.unwrap();
    daemon.signal(Signal::TERM);
    let ran = daemon.end().await.expect_code(0);
    expect_no_secret(&[PASSWORD], ran.stderr.as_bytes(), &[]).unwrap();
    assert!(struck >= polls / 2, "only {struck} cuts in {polls} polls");
    assert!(fds_after <= fds_before + 4, "{fds_before} descriptors became {fds_after}");
    assert!(kib_after <= kib_before + 4096, "{kib_before} KiB became {kib_after}");
    report(
        "a daemon whose links break",
        &format!(
            "{struck} cuts in {polls} polls: {fds_before} descriptors and {} MiB, then {fds_after} and {} MiB",
            kib_before >> 10,
            kib_after >> 10
        ),
    );
}

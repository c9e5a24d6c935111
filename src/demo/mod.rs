//! `mailferry demo`: a sample mailbox, a webhook receiver, and the real bridge between them, with its page. All of it is
//! on loopback and in a temporary folder, and nothing is left behind.

mod mailbox;
mod receiver;
mod sample;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use chrono::Local;
use indicatif::HumanBytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::mailbox::{Mailbox, Print};
use self::receiver::{Arrival, Receiver};
use self::sample::{AT_FIRST, Sample};

/// How often a new message goes into the mailbox, once all of the first are through.
const DRIP: Duration = Duration::from_secs(4);

/// How long nothing may arrive while something is still missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is said when nothing was wrong: anything that is ends the demo.
const VERDICT: &str = "Every byte and every signature was right, and nothing arrived twice.";

/// Runs the demo, and writes what happens to `out`, at most 80 columns wide.
///
/// `run_bridge` is given the path of a config and a token, and carries mail until the token is cancelled. With
/// `once` the demo ends when all has arrived, otherwise when `stop` is cancelled.
///
/// # Errors
/// Where a message or a signature is wrong, something arrives twice, nothing arrives for a minute, or the bridge
/// ends early or with an error.
pub async fn demo<Running: Future<Output = anyhow::Result<()>>>(
    once: bool,
    out: &mut (impl Write + Send),
    stop: CancellationToken,
    run_bridge: impl FnOnce(PathBuf, CancellationToken) -> Running,
) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("mailferry-demo-").tempdir()?;
    let (outcomes, mut arrivals) = mpsc::channel(64);
    let mailbox = Mailbox::start().await?;
    let receiver = Receiver::start(outcomes).await?;
    let config = folder.path().join("mailferry.toml");
    // Who waits for the end alone has no time for the page.
    let page = if once { None } else { Some(free_address().await?) };
    write_config(&config, &mailbox, &receiver, page)?;

    let mut progress = Progress::default();
    (0..AT_FIRST).for_each(|number| progress.put(&mailbox, number));
    introduce(out, &mailbox, &receiver, &config, page, &progress)?;

    let cancel = CancellationToken::new();
    let mut bridge = pin!(run_bridge(config, cancel.clone()));
    let ended_early = loop {
        let is_complete = progress.is_complete();
        if once && is_complete {
            break None;
        }
        tokio::select! {
            Some(outcome) = arrivals.recv() => {
                progress.take(outcome, out)?;
                if !once && progress.has_all_of_the_first() {
                    progress.sum_up_the_first(out)?;
                }
            }
            outcome = &mut bridge => break Some(outcome),
            () = stop.cancelled() => break None,
            () = tokio::time::sleep(DRIP), if is_complete => progress.put_one_more(&mailbox)?,
            () = tokio::time::sleep(PATIENCE), if !is_complete => bail!(progress.stalled()),
        }
    };
    if let Some(outcome) = ended_early {
        outcome?;
        bail!("the bridge ended before all had arrived");
    }
    cancel.cancel();
    // What is under way still arrives, or else the bridge would wait for its answer.
    let outcome = loop {
        tokio::select! {
            Some(outcome) = arrivals.recv() => progress.take(outcome, out)?,
            outcome = &mut bridge => break outcome,
        }
    };
    outcome.context("the bridge did not end in order")?;
    while let Ok(outcome) = arrivals.try_recv() {
        progress.take(outcome, out)?;
    }
    progress.sum_up(out)
}

/// An address for the page, which nobody has at present.
async fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

/// A config as anybody would write it.
fn write_config(
    path: &Path,
    mailbox: &Mailbox,
    receiver: &Receiver,
    page: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let (host, port) = (mailbox.address.ip(), mailbox.address.port());
    let (user, password) = (mailbox::USER, mailbox::PASSWORD);
    let (url, secret) = (&receiver.url, receiver::SECRET);
    let config = format!(
        r#"ledger = "mailferry.db"

[destination.app]
kind = "webhook"
url = "{url}"
secret = "{secret}"
max_bytes = "64 MiB"

[account.demo]
host = "{host}"
port = {port}
tls = "none"
user = "{user}"
password = "{password}"
every = "5s"
deliver = [{{ to = "app" }}]
"#
    );
    let web = page.map(|page| format!("\n[web]\nlisten = \"{page}\"\n")).unwrap_or_default();
    // It holds secrets, so it is for nobody else to read.
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all((config + &web).as_bytes())?)
}

fn introduce(
    out: &mut impl Write,
    mailbox: &Mailbox,
    receiver: &Receiver,
    config: &Path,
    page: Option<SocketAddr>,
    progress: &Progress,
) -> anyhow::Result<()> {
    writeln!(out, "A sample mailbox, a webhook receiver, and mailferry between them.")?;
    writeln!(out, "All of it is on this machine, and nothing is left behind.\n")?;
    writeln!(out, "  mailbox   pop3://{}, {}", mailbox.address, progress.expected_in_words())?;
    writeln!(out, "  receiver  {}", receiver.url)?;
    writeln!(out, "  bridge    mailferry run -c {}", config.display())?;
    if let Some(page) = page {
        writeln!(out, "  page      http://{page} (its first visitor chooses a password)")?;
    }
    writeln!(out)?;
    writeln!(out, "{:<8}  {:<20}  {:<34}  {:>10}", "arrived", "from", "subject", "size")?;
    Ok(())
}

/// What must arrive, and what has.
struct Progress {
    expected: HashMap<String, Print>,
    expected_octets: u64,
    arrived: HashSet<String>,
    arrived_octets: u64,
    started: Instant,
    /// From the start until the first messages were all there.
    took: Option<Duration>,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            expected: HashMap::new(),
            expected_octets: 0,
            arrived: HashSet::new(),
            arrived_octets: 0,
            started: Instant::now(),
            took: None,
        }
    }
}

impl Progress {
    fn put(&mut self, mailbox: &Mailbox, number: u32) {
        let print = mailbox.add(number);
        self.expected_octets += print.octets;
        self.expected.insert(Sample::new(number).uidl(), print);
        self.started = Instant::now();
    }

    fn put_one_more(&mut self, mailbox: &Mailbox) -> anyhow::Result<()> {
        let number = u32::try_from(self.expected.len())?;
        self.put(mailbox, number);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.arrived.len() == self.expected.len()
    }

    /// The first messages are all there, and no other was put.
    fn has_all_of_the_first(&self) -> bool {
        self.is_complete() && self.expected.len() == AT_FIRST as usize
    }

    fn take(&mut self, outcome: receiver::Outcome, out: &mut impl Write) -> anyhow::Result<()> {
        let arrival = outcome.map_err(|fault| anyhow::anyhow!("the receiver got {fault}"))?;
        let Arrival { uidl, from, subject, print, is_repeated } = arrival;
        let Some(expected) = self.expected.get(&uidl) else {
            bail!("a message arrived that was never in the mailbox");
        };
        ensure!(*expected == print, "message {uidl} arrived with other bytes than it had in the mailbox");
        ensure!(!is_repeated && self.arrived.insert(uidl.clone()), "message {uidl} arrived twice");
        self.arrived_octets += print.octets;
        if self.took.is_none() && self.is_complete() {
            self.took = Some(self.started.elapsed());
        }
        let (time, size) = (Local::now().format("%H:%M:%S"), HumanBytes(print.octets).to_string());
        let subject = if subject.trim().is_empty() { "(no subject)".to_owned() } else { subject };
        let (from, subject) = (cell(&from, 20), cell(&subject, 34));
        writeln!(out, "{time}  {from:<20}  {subject:<34}  {size:>10}")?;
        Ok(())
    }

    fn expected_in_words(&self) -> String {
        format!("{} messages, {}", self.expected.len(), HumanBytes(self.expected_octets))
    }

    fn arrived_in_words(&self) -> String {
        let (messages, octets) = (self.arrived.len(), self.arrived_octets);
        let Some(took) = self.took else {
            return format!(
                "{messages} of {} messages arrived, {}.",
                self.expected.len(),
                HumanBytes(octets)
            );
        };
        let seconds = took.as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "for a person to read")]
        let (per_second, mebibytes) =
            (messages as f64 / seconds, octets as f64 / seconds / f64::from(1 << 20));
        let rate = format!("{per_second:.0} messages/s, {mebibytes:.1} MiB/s");
        format!("{messages} messages, {} in {seconds:.1} s: {rate}.", HumanBytes(octets))
    }

    fn stalled(&self) -> String {
        let missing = self.expected.len() - self.arrived.len();
        let total = self.expected.len();
        format!(
            "nothing has arrived for {} s, and {missing} of {total} messages are missing",
            PATIENCE.as_secs()
        )
    }

    fn sum_up_the_first(&self, out: &mut impl Write) -> anyhow::Result<()> {
        writeln!(out, "\n{}\n{VERDICT}", self.arrived_in_words())?;
        writeln!(out, "Now it waits for more: one comes every {} s. Ctrl-C ends it.\n", DRIP.as_secs())?;
        Ok(())
    }

    fn sum_up(&self, out: &mut impl Write) -> anyhow::Result<()> {
        // After the first messages the mailbox is filled by the clock, so that a rate would say nothing.
        let is_first = self.expected.len() == AT_FIRST as usize;
        let arrived =
            if is_first { self.arrived_in_words() } else { format!("{} messages.", self.arrived.len()) };
        writeln!(out, "\n{arrived}\n{VERDICT}")?;
        Ok(())
    }
}

/// What a stranger wrote, as one cell of a table: letters of any script, but nothing that a terminal would obey.
fn cell(text: &str, width: usize) -> String {
    let is_shown = |c: &char| c.is_alphanumeric() || c.is_ascii_graphic() || *c == ' ';
    let shown: String = text.chars().filter(is_shown).collect();
    if shown.chars().count() <= width {
        return shown;
    }
    let cut: String = shown.chars().take(width - 3).collect();
    cut.trim_end().to_owned() + "..."
}

//! strace(1) around the real binary: it counts what a process asks of the kernel, and makes a call fail or kill.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::ferry::{Ferry, LEDGER, Ran};

/// What happens at the `nth` call of a name that a thread makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    pub call: String,
    /// `signal=KILL`, `error=EIO`: as strace writes it.
    pub fault: String,
    pub nth: usize,
    pub lasts: Lasts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    Once,
    /// For [`STORM`] calls: so long a signal after the other may interrupt, but not for ever.
    Storm,
    ForEver,
}

const STORM: usize = 1000;

/// What may befall a thread that joins in late; a sample takes the first two.
pub const FAULTS: [(&str, Lasts); 8] = [
    ("signal=KILL", Lasts::Once),
    ("error=EIO", Lasts::Once),
    ("error=EIO", Lasts::ForEver),
    ("error=ENOSPC", Lasts::Once),
    ("error=ENOSPC", Lasts::ForEver),
    ("error=EINTR", Lasts::Storm),
    ("error=EMFILE", Lasts::Once),
    ("error=EMFILE", Lasts::ForEver),
];

/// What strace saw.
pub struct Trace {
    pub ran: Ran,
    lines: String,
}

/// Calls that a process also makes for its libraries and its wake-ups: of these only the ones on the ledger, its folder
/// and the config count.
const ON_OUR_FILES: [&str; 13] = [
    "openat",
    "read",
    "pread64",
    "write",
    "newfstatat",
    "statx",
    "statfs",
    "fcntl",
    "flock",
    "fchmod",
    "fchown",
    "mmap",
    "close",
];

impl Ferry {
    /// Runs a command with every call of `names` traced, and one struck.
    ///
    /// strace counts by thread, so there is one thread that polls. `None` where the command does not end in
    /// [`PATIENCE`](crate::ferry::PATIENCE).
    pub async fn run_traced(
        &self,
        arguments: &[&str],
        names: &[&str],
        strike: Option<&Strike>,
    ) -> Option<Trace> {
        let file = self.folder().join("trace");
        // -D: the command itself is the child, so that to end it is to end all.
        let mut tracer =
            vec!["strace".to_owned(), "-Dfy".to_owned(), "--quiet=all".to_owned(), "-s64".to_owned()];
        tracer.push(format!("-o{}", file.display()));
        // `?`: not every machine has every call.
        let traced: Vec<String> = names.iter().map(|name| format!("?{name}")).collect();
        tracer.push(format!("-etrace={}", traced.join(",")));
        if names.iter().all(|name| ON_OUR_FILES.contains(name)) {
            tracer.extend(self.paths().iter().flat_map(|path| ["-P".to_owned(), path.display().to_string()]));
        }
        tracer.extend(strike.map(|strike| format!("-einject=?{strike}")));
        let ran = self.run_under(&tracer, arguments).await?;
        let lines = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(&file);
        Some(Trace { ran, lines })
    }

    /// Both ways to name them: from where the process is, and from the root.
    fn paths(&self) -> Vec<PathBuf> {
        let ledger = ["", "-wal", "-shm", "-journal", ".lock"].map(|end| format!("{LEDGER}{end}"));
        let names = ledger.into_iter().chain(["mailferry.toml".to_owned()]);
        let both = names.flat_map(|name| [PathBuf::from(&name), self.folder().join(&name)]);
        both.chain([self.folder().to_owned()]).collect()
    }
}

impl Trace {
    pub fn was_struck(&self) -> bool {
        self.ran.code == -1 || self.lines.contains("(INJECTED)")
    }

    /// The most calls of each name that one thread made.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (thread, call) in self.lines.lines().filter_map(|line| line.split_once(' ')) {
            // The other lines are ends of calls, and ends of threads.
            if let Some((name, _)) = call.trim_start().split_once('(').filter(|(name, _)| !name.contains(' '))
            {
                *counts.entry((thread, name)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((_, name), count) in counts {
            let most = most.entry(name).or_default();
            *most = count.max(*most);
        }
        most
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.lines()
    }

    /// The calls from the first that was struck.
    pub fn since_strike(&self) -> impl Iterator<Item = &str> {
        self.lines.lines().skip_while(|line| !line.contains("(INJECTED)"))
    }

    /// The last calls, for whoever looks into a failure.
    pub fn end(&self) -> String {
        let lines: Vec<&str> = self.lines.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// strace, joined to a process that runs already. It ends with that, or with the threads that it watches.
pub struct Joined {
    strace: Child,
    trace: PathBuf,
}

/// Whose calls are struck.
pub enum Among {
    /// Those of these threads.
    Threads(Vec<i32>),
    /// Those of all threads of a process that name this path, or a file that is open by that name.
    All { process: u32, path: PathBuf },
}

impl Joined {
    pub async fn join(among: &Among, strike: &Strike, folder: &Path) -> Joined {
        let trace = folder.join("trace");
        let mut strace = Command::new("strace");
        let attached = match among {
            Among::Threads(threads) => {
                strace.args(threads.iter().map(|thread| format!("-p{thread}")));
                threads.len()
            }
            Among::All { process, path } => {
                strace.args(["-f".to_owned(), format!("-p{process}"), format!("-P{}", path.display())]);
                1
            }
        };
        strace.arg("-o").arg(&trace);
        strace.args([format!("-etrace=?{}", strike.call), format!("-einject=?{strike}")]);
        let mut strace = strace.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
        let mut seen = 0;
        while seen < attached {
            let line = said.next_line().await.unwrap().expect("it attaches");
            // With -P it says first what a path leads to.
            seen += usize::from(line.contains("attached"));
            assert!(!line.contains("denied") && !line.contains("No such process"), "{line}");
        }
        Joined { strace, trace }
    }

    /// Waits for the end of the process.
    pub async fn has_struck(mut self) -> bool {
        self.strace.wait().await.unwrap();
        fs::read_to_string(&self.trace).unwrap_or_default().contains("(INJECTED)")
    }
}

impl Strike {
    pub fn kills(&self) -> bool {
        self.fault == "signal=KILL"
    }
}

impl Display for Strike {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Strike { call, fault, nth, lasts } = self;
        write!(f, "{call}:{fault}:when={nth}")?;
        match lasts {
            Lasts::Once => Ok(()),
            Lasts::Storm => write!(f, "..{}", nth + STORM - 1),
            Lasts::ForEver => f.write_str("+"),
        }
    }
}

impl FromStr for Strike {
    type Err = String;

    fn from_str(text: &str) -> Result<Strike, String> {
        let wrong = || format!("`{text}` is no strike; one is fsync:error=EIO:when=3");
        let (call, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (fault, when) = rest.split_once(":when=").ok_or_else(wrong)?;
        let digits = when.find(|char: char| !char.is_ascii_digit()).unwrap_or(when.len());
        let nth = when[..digits].parse().map_err(|_| wrong())?;
        let lasts = match &when[digits..] {
            "" => Lasts::Once,
            "+" => Lasts::ForEver,
            _ => Lasts::Storm,
        };
        Ok(Strike { call: call.into(), fault: fault.into(), nth, lasts })
    }
}

#[test]
fn a_strike_is_read_as_it_is_written() {
    for text in [
        "fsync:error=EIO:when=3",
        "sendto:signal=KILL:when=17",
        "pread64:error=EIO:when=1+",
        "read:error=EINTR:when=2..1001",
    ] {
        assert_eq!(text.parse::<Strike>().unwrap().to_string(), text);
    }
}

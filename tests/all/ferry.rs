//! The real binary, with a config and a ledger in a folder of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use crate::dovecot::{Dovecot, PASSWORD};

/// The ledger's file, in the ferry's folder.
pub const LEDGER: &str = "mailferry.db";

/// A command that takes longer never ends: all waits of a `fetch` together are shorter.
pub const PATIENCE: Duration = Duration::from_secs(240);

pub struct Ferry {
    folder: Option<TempDir>,
    /// What its machine trusts instead of all the world.
    roots: Option<PathBuf>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ferry {
    pub fn new(config: &str) -> Ferry {
        let folder = tempfile::Builder::new().prefix("mailferry.").tempdir().unwrap();
        let ferry = Ferry { folder: Some(folder), roots: None };
        ferry.configure(config);
        ferry
    }

    /// On a machine that trusts this certificate authority, and no other.
    pub fn trusting(self, ca_file: &Path) -> Ferry {
        let mut ferry = self;
        ferry.roots = Some(ca_file.to_owned());
        ferry
    }

    /// Writes the config anew.
    pub fn configure(&self, config: &str) {
        let file = self.folder().join("mailferry.toml");
        fs::write(&file, config).unwrap();
        // Passwords stand in it, so nobody else may read it.
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }

    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("only drop takes it").path()
    }

    pub fn ledger(&self) -> PathBuf {
        self.folder().join(LEDGER)
    }

    /// A command, for who runs it in another way.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.prepared(Command::new(env!("CARGO_BIN_EXE_mailferry")), arguments)
    }

    fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .current_dir(self.folder())
            .args(arguments)
            .env_remove("RUST_LOG")
            .env_remove("MAILFERRY_CONFIG");
        if let Some(roots) = &self.roots {
            command.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
        }
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::by(self.command(arguments)).await
    }

    /// Runs a command under a tracer, with one thread that polls. `None`, and it is killed, where it does not end in
    /// [`PATIENCE`].
    pub async fn run_under(&self, tracer: &[String], arguments: &[&str]) -> Option<Ran> {
        let mut command = Command::new(&tracer[0]);
        command.args(&tracer[1..]).arg(env!("CARGO_BIN_EXE_mailferry"));
        let mut command = tokio::process::Command::from(self.prepared(command, arguments));
        command.env("TOKIO_WORKER_THREADS", "1").stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?;
        Some(Ran::of(&output.unwrap()))
    }

    /// Runs a command to its end with everything in its log, and says how much memory it held at most, in KiB.
    pub async fn run_measured(&self, arguments: &[&str]) -> (Ran, u64) {
        let (binary, peak) = (env!("CARGO_BIN_EXE_mailferry"), self.folder().join("peak"));
        let mut time = Command::new("/usr/bin/time");
        time.args(["-q", "-f", "%M", "-o"]).arg(&peak).arg(binary).args(arguments);
        time.current_dir(self.folder()).env_remove("MAILFERRY_CONFIG").env("RUST_LOG", "trace");
        let output = tokio::process::Command::from(time).stdin(Stdio::null()).output().await;
        let ran = Ran::of(&output.expect("the Debian package time is installed"));
        (ran, fs::read_to_string(peak).unwrap().trim().parse().unwrap())
    }

    /// Starts a command, to be watched by its log.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// The JSON that a command prints.
    pub async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let ran = self.run(arguments).await;
        serde_json::from_str(&ran.stdout).unwrap_or_else(|fault| panic!("{fault}: {ran:?}"))
    }
}

impl Drop for Ferry {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let kept = folder.keep();
            eprintln!("the config and the ledger are in {}; try `mailferry status` there", kept.display());
        }
    }
}

impl Ran {
    /// What a command did that was made by [`Ferry::command`].
    pub async fn by(command: Command) -> Ran {
        let output = tokio::process::Command::from(command).stdin(Stdio::null()).output().await.unwrap();
        Ran::of(&output)
    }

    fn of(output: &Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// A command under way.
pub struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Running {
    /// Starts what [`Ferry::command`] made.
    pub fn start(command: Command) -> Running {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, log, seen: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// Reads the log up to a line that holds `text`.
    pub async fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_nth(text, 1).await
    }

    /// Reads the log up to the `nth` line, counted from here, that holds `text`.
    pub async fn wait_for_nth(&mut self, text: &str, nth: usize) -> String {
        let line = self.read_up_to_nth(text, nth).await;
        line.unwrap_or_else(|| {
            panic!("the log ended before line {nth} with `{text}`:\n{}", self.seen.join("\n"))
        })
    }

    /// As [`Running::wait_for_nth`], but `None` where the log ends before.
    pub async fn read_up_to_nth(&mut self, text: &str, nth: usize) -> Option<String> {
        let mut count = 0;
        while let Some(line) = self.log.next_line().await.unwrap() {
            self.seen.push(line.clone());
            count += usize::from(line.contains(text));
            if count == nth {
                return Some(line);
            }
        }
        None
    }

    /// The ids of its threads of that name, oldest first.
    pub fn threads(&self, name: &str) -> Vec<i32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id().expect("it still runs"))).unwrap();
        let tasks = tasks.map(|task| task.unwrap().path());
        let named = tasks.filter(|task| fs::read_to_string(task.join("comm")).unwrap().trim_end() == name);
        let mut ids: Vec<i32> =
            named.map(|task| task.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.expect("it still runs"), signal).unwrap();
    }

    /// The log is read on, so that the command is not held up by it.
    pub async fn end(mut self) -> Ran {
        while let Some(line) = self.log.next_line().await.unwrap() {
            self.seen.push(line);
        }
        let status = self.child.wait().await.unwrap();
        Ran { code: status.code().unwrap_or(-1), stdout: String::new(), stderr: self.seen.join("\n") }
    }
}

/// An IMAP destination at a test server, in the clear on loopback.
pub fn imap_destination(name: &str, server: &Dovecot, user: &str) -> String {
    let port = server.imap;
    format!(
        "[destination.{name}]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
         user = \"{user}\"\npassword = \"{PASSWORD}\"\n\n"
    )
}

/// A webhook destination, as raw messages.
pub fn webhook_destination(name: &str, url: &str, format: &str) -> String {
    format!(
        "[destination.{name}]\nkind = \"webhook\"\nurl = \"{url}\"\nformat = \"{format}\"\n\
         secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n\n"
    )
}

/// An account at a test server, in the clear on loopback. `rest` are more of its keys.
pub fn account(name: &str, server: &Dovecot, user: &str, rest: &str) -> String {
    account_at(name, server.pop3, user, rest)
}

/// An account at whatever listens at that port.
pub fn account_at(name: &str, port: u16, user: &str, rest: &str) -> String {
    format!(
        "[account.{name}]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"{user}\"\n\
         password = \"{PASSWORD}\"\n{rest}\n\n"
    )
}

/// A message of its own for every `n`.
pub fn message(n: usize) -> Vec<u8> {
    format!(
        "Received: from there by here; Mon, 23 Nov 2026 10:00:00 +0100\r\nFrom: ann@example.com\r\n\
         To: me@example.org\r\nSubject: message {n}\r\nMessage-ID: <{n}@example.com>\r\n\r\nNumber {n}.\r\n"
    )
    .into_bytes()
}

/// A message that arrived at its source so long ago.
pub fn received(n: usize, ago: TimeDelta) -> Vec<u8> {
    let at = (Utc::now() - ago).to_rfc2822();
    format!("Received: from there by here; {at}\r\nSubject: message {n}\r\nMessage-ID: <{n}@x>\r\n\r\nNumber {n}.\r\n")
        .into_bytes()
}

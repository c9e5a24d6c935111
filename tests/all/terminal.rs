//! A command at a terminal: `script` gives it one, and the test types and reads.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::termios::{LocalModes, tcgetattr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};

pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// All that was shown, and how much of it was waited for.
    shown: String,
    read: usize,
}

/// What a command shows later than this, it never shows.
const PATIENCE: Duration = Duration::from_secs(90);

/// The arrow down, in a list of choices.
pub const DOWN: &str = "\x1b[B";

impl Terminal {
    /// Runs `command` at a terminal of its own.
    pub fn start(command: &Command) -> Terminal {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut script = tokio::process::Command::new("script");
        script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
        script.current_dir(command.get_current_dir().unwrap());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = script.spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Terminal { child, keys, screen, shown: String::new(), read: 0 }
    }

    /// Waits until `text` is shown, after what was waited for before.
    pub async fn wait_for(&mut self, text: &str) {
        let found = tokio::time::timeout(PATIENCE, self.find(text)).await.is_ok();
        assert!(found, "{text:?} is not shown:\n{}", self.shown);
    }

    /// Waits until a line is shown that has `text` in it.
    pub async fn line_with(&mut self, text: &str) -> String {
        self.wait_for(text).await;
        let start = self.shown[..self.read].rfind('\n').map_or(0, |at| at + 1);
        self.wait_for("\n").await;
        self.shown[start..self.read].trim().to_owned()
    }

    async fn find(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            assert!(self.see().await, "the command ended before it showed {text:?}:\n{}", self.shown);
        }
    }

    async fn see(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = self.screen.read(&mut bytes).await.unwrap();
        self.shown += &String::from_utf8_lossy(&bytes[..count]);
        count > 0
    }

    /// Presses keys.
    pub async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Types `keys`, and Enter.
    pub async fn answer(&mut self, keys: &str) {
        self.press(&format!("{keys}\r")).await;
    }

    /// Waits for the question, then answers it.
    pub async fn at(&mut self, question: &str, keys: &str) {
        self.wait_for(question).await;
        self.answer(keys).await;
    }

    /// As [`Terminal::at`], for what is typed unseen: what is typed before the terminal hides it is thrown away.
    pub async fn unseen_at(&mut self, question: &str, keys: &str) {
        self.wait_for(question).await;
        let hiding = async {
            while self.echoes() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, hiding).await.is_ok(), "{question:?} is typed for all to see");
        self.answer(keys).await;
    }

    /// Whether the terminal shows what is typed. Its name is that of the command's standard input.
    fn echoes(&self) -> bool {
        let script = self.child.id().expect("it still runs");
        let children = fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
        let command = children.split_whitespace().next().expect("it still runs");
        let terminal = File::open(format!("/proc/{command}/fd/0")).unwrap();
        tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Reads to the end. Returns the exit code and all that was shown.
    pub async fn end(mut self) -> (i32, String) {
        while self.see().await {}
        (self.child.wait().await.unwrap().code().unwrap_or(-1), self.shown)
    }
}

//! A command at a terminal: `script` gives it one, and the test types and reads.

use std::process::{Command, Stdio};

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

    /// Types `keys`, and Enter.
    pub async fn answer(&mut self, keys: &str) {
        self.keys.write_all(format!("{keys}\r").as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Waits for the question, then answers it.
    pub async fn at(&mut self, question: &str, keys: &str) {
        self.wait_for(question).await;
        self.answer(keys).await;
    }

    /// Reads to the end. Returns the exit code and all that was shown.
    pub async fn end(mut self) -> (i32, String) {
        while self.see().await {}
        (self.child.wait().await.unwrap().code().unwrap_or(-1), self.shown)
    }
}

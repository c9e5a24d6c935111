//! `mailferry listen`: what a webhook gets, on the screen of who writes a receiver.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, message};

struct Listener {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    fn start(ferry: &Ferry, more: &[&str]) -> Listener {
        let arguments = [&["listen", "--port", "0"], more].concat();
        let mut command = Command::from(ferry.command(&arguments));
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Listener { _process: process, lines }
    }

    /// The lines up to one that is `last`.
    async fn read_to(&mut self, last: impl Fn(&str) -> bool) -> String {
        let mut read = String::new();
        loop {
            let line =
                self.lines.next_line().await.unwrap().unwrap_or_else(|| panic!("it ended after: {read}"));
            read += &format!("{line}\n");
            if last(&line) {
                return read;
            }
        }
    }

    /// The lines that it says to put into the config.
    async fn destination(&mut self) -> String {
        let read = self.read_to(|line| line.starts_with("secret = ")).await;
        read[read.find("[destination.listen]").unwrap()..].to_owned()
    }
}

const TO_IT: &str = "deliver = [{ to = \"listen\" }]\n";

#[tokio::test]
async fn it_shows_what_is_posted_by_the_lines_that_it_prints() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let ferry = Ferry::new("");
    let mut listener = Listener::start(&ferry, &[]);
    let destination = listener.destination().await;
    ferry.configure(&(account("old", &server, "old", TO_IT) + &destination));
    ferry.run(&["fetch"]).await.expect_code(0);
    let shown = listener.read_to(|line| line == "}").await;
    for part in
        [": signature right; answered 204\n", "\nwebhook-id: msg_", "    \"subject\": \"message 1\",\n"]
    {
        assert!(shown.contains(part), "{shown}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_an_answer_can_be_tried() {
    let server = Dovecot::start();
    server.put("old", &[message(1)]);
    let ferry = Ferry::new("");
    std::fs::write(ferry.folder().join("mine"), "a secret of my own\n").unwrap();
    let mut listener = Listener::start(&ferry, &["--secret-file", "mine", "--answer", "503"]);
    let destination = listener.destination().await;
    assert!(destination.contains("secret = { file = \"mine\" }"), "{destination}");
    let of_another = destination.replace("{ file = \"mine\" }", "\"another\"");
    ferry.configure(&(account("old", &server, "old", TO_IT) + &of_another));
    ferry.run(&["fetch"]).await.expect_code(75);
    let shown = listener.read_to(|line| line == "}").await;
    assert!(shown.contains(": SIGNATURE WRONG: it is not by this secret; answered 401\n"), "{shown}");
    let mine = destination.replace("{ file = \"mine\" }", "\"a secret of my own\"");
    ferry.configure(&(account("old", &server, "old", TO_IT) + &mine));
    ferry.run(&["fetch"]).await.expect_code(75);
    let shown = listener.read_to(|line| line == "}").await;
    assert!(shown.contains(": signature right, the same webhook-id as before; answered 503\n"), "{shown}");
    let taken = destination.lines().find_map(|line| line.strip_prefix("url = \"http://127.0.0.1:")).unwrap();
    let port = taken.trim_end_matches("/\"");
    let refused = ferry.run(&["listen", "--port", port]).await.expect_code(75);
    assert!(refused.stderr.contains("; choose another port with --port"), "{refused:?}");
}

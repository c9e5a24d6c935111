//! A small POP3 server on loopback (RFC 1939, RFC 2449), for the demo only: one user, one mailbox.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::sample::Sample;

pub const USER: &str = "demo";
pub const PASSWORD: &str = "demo-password";

/// RFC 2449 section 4 allows 255 octets to a command line.
const LONGEST_COMMAND: u64 = 255;

/// The mailbox. Its server stops when it is dropped.
pub struct Mailbox {
    pub address: SocketAddr,
    stored: Arc<Mutex<Store>>,
    server: AbortHandle,
}

/// The messages by their number, which only ever grows.
type Store = BTreeMap<u32, Stored>;

#[derive(Clone, Copy, Debug)]
struct Stored {
    sample: Sample,
    octets: u64,
}

/// What a message is: its length in octets, and its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    pub octets: u64,
    pub sha256: [u8; 32],
}

impl Mailbox {
    pub async fn start() -> io::Result<Mailbox> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stored = Arc::<Mutex<Store>>::default();
        let server = tokio::spawn(serve(listener, Arc::clone(&stored))).abort_handle();
        Ok(Mailbox { address, stored, server })
    }

    /// Puts a message in, and says what must come out at the other end.
    pub fn add(&self, number: u32) -> Print {
        let sample = Sample::new(number);
        let (mut octets, mut hash) = (0, Sha256::new());
        for piece in sample.pieces() {
            octets += piece.len() as u64;
            hash.update(&piece);
        }
        lock(&self.stored).insert(number, Stored { sample, octets });
        Print { octets, sha256: hash.finalize().into() }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(stored: &Mutex<Store>) -> MutexGuard<'_, Store> {
    stored.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, stored: Arc<Mutex<Store>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let stored = Arc::clone(&stored);
        // A client that breaks off has ended its session, and that is all.
        tokio::spawn(async move { Session::new(stream, stored).run().await });
    }
}

/// One client. It sees the mailbox as it was when the session began (RFC 1939 section 8).
struct Session {
    input: BufReader<OwnedReadHalf>,
    output: BufWriter<OwnedWriteHalf>,
    stored: Arc<Mutex<Store>>,
    has_named_user: bool,
    /// By message-number less one; `None` until the client has logged in.
    listing: Option<Vec<Row>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    number: u32,
    stored: Stored,
    is_deleted: bool,
}

impl Session {
    fn new(stream: TcpStream, stored: Arc<Mutex<Store>>) -> Session {
        let (input, output) = stream.into_split();
        let (input, output) = (BufReader::new(input), BufWriter::with_capacity(64 << 10, output));
        Session { input, output, stored, has_named_user: false, listing: None }
    }

    async fn run(mut self) -> io::Result<()> {
        self.say("+OK mailferry demo").await?;
        loop {
            // A client that pipelines gets its answers together.
            if self.input.buffer().is_empty() {
                self.output.flush().await?;
            }
            let mut line = Vec::new();
            (&mut self.input).take(LONGEST_COMMAND).read_until(b'\n', &mut line).await?;
            if !line.ends_with(b"\n") {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line);
            let mut words = line.split_ascii_whitespace();
            let verb = words.next().unwrap_or_default().to_ascii_uppercase();
            let arguments: Vec<&str> = words.collect();
            if verb == "QUIT" {
                self.say("+OK").await?;
                self.output.flush().await?;
                self.delete();
                return Ok(());
            }
            self.obey(&verb, &arguments).await?;
        }
    }

    async fn obey(&mut self, verb: &str, arguments: &[&str]) -> io::Result<()> {
        match (verb, arguments) {
            ("CAPA", []) => self.say("+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.").await,
            ("USER", [_]) => {
                self.has_named_user = arguments == [USER];
                self.say("+OK").await
            }
            ("PASS", [password]) => self.log_in(password).await,
            ("NOOP", []) => self.say("+OK").await,
            ("RSET", []) => {
                self.listing.iter_mut().flatten().for_each(|row| row.is_deleted = false);
                self.say("+OK").await
            }
            ("STAT", []) => {
                let (count, octets) = self
                    .rows()
                    .fold((0, 0), |(count, octets), (_, row)| (count + 1, octets + row.stored.octets));
                self.say(&format!("+OK {count} {octets}")).await
            }
            ("LIST", []) => self.list(|row| row.stored.octets.to_string()).await,
            ("UIDL", []) => self.list(|row| row.stored.sample.uidl()).await,
            ("LIST", [number]) => self.list_one(number, |row| row.stored.octets.to_string()).await,
            ("UIDL", [number]) => self.list_one(number, |row| row.stored.sample.uidl()).await,
            ("RETR", [number]) => self.retrieve(number, usize::MAX).await,
            ("TOP", [number, lines]) => match lines.parse() {
                Ok(lines) => self.retrieve(number, lines).await,
                Err(_) => self.say("-ERR how many lines?").await,
            },
            ("DELE", [number]) => {
                if let Some(row) = self.find(number) {
                    row.is_deleted = true;
                    self.say("+OK").await
                } else {
                    self.say("-ERR no such message").await
                }
            }
            _ => self.say("-ERR not here").await,
        }
    }

    async fn log_in(&mut self, password: &str) -> io::Result<()> {
        if !self.has_named_user || password != PASSWORD {
            return self.say("-ERR [AUTH] no").await;
        }
        let rows = lock(&self.stored)
            .iter()
            .map(|(&number, &stored)| Row { number, stored, is_deleted: false })
            .collect();
        self.listing = Some(rows);
        self.say("+OK").await
    }

    fn rows(&self) -> impl Iterator<Item = (usize, &Row)> {
        let rows = self.listing.iter().flatten().enumerate();
        rows.filter(|(_, row)| !row.is_deleted).map(|(at, row)| (at + 1, row))
    }

    fn find(&mut self, number: &str) -> Option<&mut Row> {
        let at = number.parse::<usize>().ok()?.checked_sub(1)?;
        self.listing.as_mut()?.get_mut(at).filter(|row| !row.is_deleted)
    }

    async fn list(&mut self, value: impl Fn(&Row) -> String) -> io::Result<()> {
        let rows: String = self.rows().map(|(number, row)| format!("{number} {}\r\n", value(row))).collect();
        self.say(&format!("+OK\r\n{rows}.")).await
    }

    async fn list_one(&mut self, number: &str, value: impl Fn(&Row) -> String) -> io::Result<()> {
        let answer = match self.find(number) {
            Some(row) => format!("+OK {number} {}", value(row)),
            None => "-ERR no such message".to_owned(),
        };
        self.say(&answer).await
    }

    /// The header, and the body's first `lines`, dot-stuffed (RFC 1939 section 3).
    async fn retrieve(&mut self, number: &str, mut lines: usize) -> io::Result<()> {
        let Some(row) = self.find(number) else { return self.say("-ERR no such message").await };
        let sample = row.stored.sample;
        self.say("+OK").await?;
        let mut is_header = true;
        'message: for piece in sample.pieces() {
            for line in piece.split_inclusive(|&byte| byte == b'\n') {
                if !is_header {
                    let Some(left) = lines.checked_sub(1) else { break 'message };
                    lines = left;
                }
                is_header &= line != b"\r\n";
                if line.starts_with(b".") {
                    self.output.write_all(b".").await?;
                }
                self.output.write_all(line).await?;
            }
        }
        self.say(".").await
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.output.write_all(line.as_bytes()).await?;
        self.output.write_all(b"\r\n").await
    }

    /// The client said QUIT: what it deleted is gone.
    fn delete(&self) {
        let mut stored = lock(&self.stored);
        for row in self.listing.iter().flatten().filter(|row| row.is_deleted) {
            stored.remove(&row.number);
        }
    }
}

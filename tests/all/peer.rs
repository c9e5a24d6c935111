//! A scripted peer: plays a dialog, written as text, on a loopback socket.
//!
//! Each line of a dialog is one step:
//!
//! ```text
//! S: +OK hello          sends a line, with CRLF
//! S~ a\r\n.\x00         sends just these bytes, escapes resolved
//! C: RETR 1             the client must send this line
//! C: TAG AUTH *         the client must send a line that begins this way
//! C*                    the client must send a line
//! quiet                 the client has sent no more than was asked for so far
//! tls                   sets up TLS
//! tls refused           sets up TLS, and the client must not go along with it
//! split 1               sends in pieces of so many bytes from now on
//! cut 100               closes after 100 more bytes have been sent, wherever that is
//! close                 closes
//! stall                 says nothing more until the client closes
//! flood x\r\n           sends this again and again until the client closes
//! next                  waits for the client's next connection
//! # ...                 is for the reader
//! ```
//!
//! At the end of a dialog, and before `next`, the client must close and have said nothing more.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How long a client that is still to act may take before the dialog has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A peer that is playing its dialog.
pub struct Peer {
    pub port: u16,
    playing: JoinHandle<Result<String, String>>,
}

impl Peer {
    pub async fn play(dialog: &str) -> Peer {
        Peer::start(dialog, None).await
    }

    /// `identity` is what [`crate::ca::Ca::issue`] returned.
    pub async fn play_tls(dialog: &str, identity: &(PathBuf, PathBuf)) -> Peer {
        let chain = CertificateDer::pem_file_iter(&identity.0).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&identity.1).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Peer::start(dialog, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(dialog: &str, tls: Option<TlsAcceptor>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let steps: Vec<(usize, Step)> = (1..).zip(dialog.lines()).filter_map(parse).collect();
        let playing = tokio::spawn(async move {
            let mut player = Player { tls, connection: None, said: String::new(), transcript: String::new() };
            match player.play(&listener, steps).await {
                Ok(()) => Ok(player.said),
                Err(fault) => Err(format!("{fault}\nso far:\n{}", player.transcript)),
            }
        });
        Peer { port, playing }
    }

    /// The dialog has come to its end as written; else this panics and says where it did not. Returns all that the
    /// client said, encrypted or not, bytes outside ASCII and control characters escaped but for line ends.
    pub async fn finish(self) -> String {
        self.playing.await.unwrap().unwrap_or_else(|fault| panic!("{fault}"))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Send(Vec<u8>),
    Expect(String),
    Quiet,
    Tls { refused: bool },
    Split(usize),
    Cut(usize),
    Close,
    Stall,
    Flood(Vec<u8>),
    Next,
}

fn parse((number, line): (usize, &str)) -> Option<(usize, Step)> {
    let line = line.trim_start();
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let count = || rest.parse().unwrap_or_else(|_| panic!("dialog line {number}: `{line}` needs a number"));
    let step = match word {
        "" => return None,
        _ if word.starts_with('#') => return None,
        "S:" => Step::Send([rest.as_bytes(), b"\r\n"].concat()),
        "S~" => Step::Send(resolve_escapes(rest)),
        "C:" => Step::Expect(rest.to_owned()),
        "C*" => Step::Expect("*".to_owned()),
        "quiet" => Step::Quiet,
        "tls" => Step::Tls { refused: rest == "refused" },
        "split" => Step::Split(count()),
        "cut" => Step::Cut(count()),
        "close" => Step::Close,
        "stall" => Step::Stall,
        "flood" => Step::Flood(resolve_escapes(rest).repeat(1000)),
        "next" => Step::Next,
        _ => panic!("dialog line {number}: `{line}` is no step"),
    };
    Some((number, step))
}

/// `\r`, `\n`, `\t`, `\\` and `\xNN`.
fn resolve_escapes(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes().collect::<VecDeque<u8>>());
    while let Some(byte) = rest.pop_front() {
        let escaped = if byte == b'\\' { rest.pop_front() } else { None };
        bytes.push(match escaped {
            None => byte,
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits: String = rest.drain(..2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            Some(other) => panic!("no such escape in a dialog: \\{}", char::from(other)),
        });
    }
    bytes
}

/// What stands in for a connection while it changes to TLS.
fn nothing() -> impl Wire {
    tokio::io::join(tokio::io::empty(), tokio::io::sink())
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

struct Player {
    tls: Option<TlsAcceptor>,
    connection: Option<Connection>,
    said: String,
    transcript: String,
}

struct Connection {
    wire: Box<dyn Wire>,
    unread: Vec<u8>,
    split: usize,
    /// Bytes that may still be sent.
    budget: Option<usize>,
}

/// How a step went on.
enum Flow {
    Goes,
    /// The connection has been closed by us: what remains of it in the dialog does not happen.
    Closed,
}

impl Player {
    async fn play(&mut self, listener: &TcpListener, steps: Vec<(usize, Step)>) -> Result<(), String> {
        let mut connections = steps.split(|(_, step)| *step == Step::Next);
        let first = connections.next().unwrap_or_default();
        for steps in [first].into_iter().chain(connections) {
            let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
            let (tcp, _) = accepted.map_err(|_| "no client connected")?.map_err(|e| e.to_string())?;
            self.connect(tcp);
            for (number, step) in steps {
                match self.step(step).await {
                    Ok(Flow::Goes) => {}
                    Ok(Flow::Closed) => break,
                    Err(fault) => return Err(format!("dialog line {number}: {fault}")),
                }
            }
            self.expect_end().await?;
        }
        Ok(())
    }

    fn connect(&mut self, tcp: TcpStream) {
        tcp.set_nodelay(true).unwrap();
        let connection =
            Connection { wire: Box::new(tcp), unread: Vec::new(), split: usize::MAX, budget: None };
        self.connection = Some(connection);
        self.transcript.push_str("  (connected)\n");
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("steps are played within a connection")
    }

    async fn step(&mut self, step: &Step) -> Result<Flow, String> {
        match step {
            Step::Send(bytes) => return self.send(bytes).await,
            Step::Expect(line) => self.expect(line).await?,
            Step::Quiet => self.expect_quiet()?,
            Step::Tls { refused } => self.start_tls(*refused).await?,
            Step::Split(length) => self.connection().split = *length,
            Step::Cut(length) => self.connection().budget = Some(*length),
            Step::Close => return self.close().await,
            Step::Stall => {
                self.read_to_end("stalled for long").await?;
                self.connection().unread.clear();
                return Ok(Flow::Closed);
            }
            Step::Flood(bytes) => {
                while self.connection().wire.write_all(bytes).await.is_ok() {}
                return self.close().await;
            }
            Step::Next => {}
        }
        Ok(Flow::Goes)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<Flow, String> {
        let _ = writeln!(self.transcript, "  S: {}", bytes.escape_ascii());
        let connection = self.connection();
        let length = connection.budget.unwrap_or(bytes.len()).min(bytes.len());
        for piece in bytes[..length].chunks(connection.split) {
            let write = async {
                connection.wire.write_all(piece).await?;
                connection.wire.flush().await
            };
            write.await.map_err(|fault| format!("the client does not listen: {fault}"))?;
        }
        if let Some(budget) = &mut connection.budget {
            *budget -= length;
            if *budget == 0 {
                return self.close().await;
            }
        }
        Ok(Flow::Goes)
    }

    async fn expect(&mut self, expected: &str) -> Result<(), String> {
        let line = loop {
            if let Some(lf) = self.connection().unread.iter().position(|&byte| byte == b'\n') {
                break self.connection().unread.drain(..=lf).collect::<Vec<u8>>();
            }
            let left = self.connection().unread.escape_ascii().to_string();
            match tokio::time::timeout(PATIENCE, self.read()).await {
                Ok(Ok(0)) => return Err(format!("expected `{expected}`, but the client closed (`{left}`)")),
                Ok(outcome) => outcome?,
                Err(_) => return Err(format!("expected `{expected}`, but the client waits (`{left}`)")),
            };
        };
        let line = String::from_utf8_lossy(&line);
        let Some(line) = line.strip_suffix("\r\n") else { return Err(format!("{line:?} ends without CRLF")) };
        let _ = writeln!(self.transcript, "  C: {}", line.escape_debug());
        let fits = match expected.strip_suffix('*') {
            Some(start) => line.starts_with(start),
            None => line == expected,
        };
        if fits { Ok(()) } else { Err(format!("expected `{expected}`, got `{line}`")) }
    }

    /// Clients write what belongs together in one go, so it comes in together, and nobody needs to wait for more.
    fn expect_quiet(&mut self) -> Result<(), String> {
        match self.connection().unread.as_slice() {
            [] => Ok(()),
            more => Err(format!("expected nothing more, got `{}`", more.escape_ascii())),
        }
    }

    async fn expect_end(&mut self) -> Result<(), String> {
        self.read_to_end("the dialog is over").await?;
        match self.connection().unread.as_slice() {
            [] => Ok(()),
            more => Err(format!("after the end of the dialog: `{}`", more.escape_ascii())),
        }
    }

    async fn start_tls(&mut self, refused: bool) -> Result<(), String> {
        let tls = self.tls.clone().expect("a dialog with `tls` is played by Peer::play_tls");
        let connection = self.connection();
        if !connection.unread.is_empty() {
            return Err("the client said something between its command and TLS".into());
        }
        let plain = std::mem::replace(&mut connection.wire, Box::new(nothing()));
        match tokio::time::timeout(PATIENCE, tls.accept(plain)).await {
            Ok(Ok(stream)) => self.connection().wire = Box::new(stream),
            Ok(Err(_)) if refused => return Ok(()),
            Ok(Err(fault)) => return Err(format!("no TLS: {fault}")),
            Err(_) => return Err("the client does not set up TLS".into()),
        }
        self.transcript.push_str("  (TLS)\n");
        Ok(())
    }

    async fn read(&mut self) -> Result<usize, String> {
        let mut bytes = [0; 4096];
        let connection = self.connection();
        // A reset is an end like any other here.
        let length = connection.wire.read(&mut bytes).await.unwrap_or(0);
        connection.unread.extend_from_slice(&bytes[..length]);
        for &byte in &bytes[..length] {
            match byte {
                b'\r' | b'\n' => self.said.push(char::from(byte)),
                _ => self.said.extend(byte.escape_ascii().map(char::from)),
            }
        }
        Ok(length)
    }

    async fn read_to_end(&mut self, state: &str) -> Result<(), String> {
        let end = async {
            while self.read().await? > 0 {}
            Ok(())
        };
        let outcome = tokio::time::timeout(PATIENCE, end).await;
        outcome.unwrap_or_else(|_| Err(format!("{state}, but the client does not close")))
    }

    /// Says that no more will come, and waits for the client to see it, so that nothing under way is lost.
    async fn close(&mut self) -> Result<Flow, String> {
        let _ = self.connection().wire.shutdown().await;
        self.read_to_end("the connection was closed").await?;
        self.connection().unread.clear();
        Ok(Flow::Closed)
    }
}

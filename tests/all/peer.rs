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
//! S= 2                  sends mail 2 of the dialog's file as an answer to RETR: dots stuffed, and its end
//! S{ 2                  sends mail 2 as an IMAP literal, without a line end
//! C= 2                  the client must send mail 2, byte for byte, its line ends CRLF
//! take 100              the client must send 100 bytes, whatever they are
//! request               the client must send an HTTP request, headers and body
//! quiet                 the client has sent no more than was asked for so far
//! tls                   sets up TLS
//! tls refused           sets up TLS, and the client must not go along with it
//! split 1               sends in pieces of so many bytes from now on
//! drip                  sends one byte at a time from now on, and waits a moment after each
//! cut 100               closes after 100 more bytes have been sent, wherever that is
//! close                 closes
//! half                  says that no more will come, but goes on listening
//! reset                 breaks the connection off (RST instead of FIN)
//! stall                 says nothing more until the client closes
//! flood x\r\n           sends this again and again until the client closes
//! next                  waits for the client's next connection
//! perhaps               right behind it: if there is one before the client is through
//! # ...                 is for the reader
//! ```
//!
//! At the end of a dialog, and before `next`, the client must close and have said nothing more. To cut what the client
//! says, `take` so many bytes and then `close` or `reset`.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use crate::dovecot::with_crlf;
use crate::servers::pop3::stuffed;

/// A port at which nobody listens, nor will as long as this lives: another test might get one that is free.
pub struct Nobody {
    pub port: u16,
    _socket: TcpSocket,
}

impl Nobody {
    pub fn new() -> Nobody {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Nobody { port: socket.local_addr().unwrap().port(), _socket: socket }
    }
}

/// How long a client that is still to act may take before the dialog has failed: longer than the longest pause that it
/// makes on purpose, the 60 s until NOOP.
const PATIENCE: Duration = Duration::from_secs(75);

/// What `drip` waits between two bytes.
const DRIP: Duration = Duration::from_millis(1);

/// A peer that is playing its dialog.
pub struct Peer {
    pub port: u16,
    playing: JoinHandle<Result<Said, String>>,
    /// The client is through.
    over: CancellationToken,
}

/// A dialog, ready to be played: its steps, with the numbers of their lines.
#[derive(Clone, Debug)]
pub struct Script(Vec<(usize, Step)>);

impl Peer {
    pub async fn play(dialog: &str) -> Peer {
        Peer::start(dialog, None).await
    }

    /// `identity` is what [`crate::ca::Ca::issue`] returned.
    pub async fn play_tls(dialog: &str, identity: &(PathBuf, PathBuf)) -> Peer {
        Peer::start(dialog, Some(acceptor(identity))).await
    }

    async fn start(dialog: &str, tls: Option<TlsAcceptor>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = Script::parse((1..).zip(dialog.lines()), &[]).unwrap_or_else(|fault| panic!("{fault}"));
        Peer::play_at(&Arc::new(listener), script, tls)
    }

    /// Plays at a port that is the same for several dialogs.
    pub fn play_at(listener: &Arc<TcpListener>, script: Script, tls: Option<TlsAcceptor>) -> Peer {
        let port = listener.local_addr().unwrap().port();
        let listener = Arc::clone(listener);
        let over = CancellationToken::new();
        let told = over.clone();
        let playing = tokio::spawn(async move {
            let said = Said::default();
            let over = told.clone();
            let mut player = Player { tls, connection: None, said, transcript: String::new(), over };
            let Err(fault) = player.play(&listener, script.0).await else { return Ok(player.said) };
            // No client is kept waiting by a dialog that has failed already.
            player.connection = None;
            told.run_until_cancelled(async { while listener.accept().await.is_ok() {} }).await;
            Err(format!("{fault}\nso far:\n{}", player.transcript))
        });
        Peer { port, playing, over }
    }

    /// The dialog has come to its end as written; else this panics and says where it did not. Returns all that the
    /// client said, encrypted or not, bytes outside ASCII and control characters escaped but for line ends.
    pub async fn finish(self) -> String {
        self.outcome().await.unwrap_or_else(|fault| panic!("{fault}")).all
    }

    /// As [`Peer::finish`], for who says more about a failure.
    pub async fn outcome(self) -> Result<Said, String> {
        self.over.cancel();
        self.playing.await.unwrap()
    }
}

/// What a client said, as [`Peer::finish`] shows it.
#[derive(Debug, Default)]
pub struct Said {
    pub all: String,
    /// Without TLS, or before it.
    pub in_clear: String,
}

/// What sets up TLS with the certificate and the key in two files.
pub fn acceptor((chain, key): &(PathBuf, PathBuf)) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Send(Vec<u8>),
    Expect(String),
    /// The client must send these bytes.
    ExpectBytes(Vec<u8>),
    Take(usize),
    Request,
    Quiet,
    Tls {
        refused: bool,
    },
    Split(usize),
    Drip,
    Cut(usize),
    Close,
    Half,
    Reset,
    Stall,
    Flood(Vec<u8>),
    Next,
    Perhaps,
}

impl Script {
    /// Reads numbered lines. `mails` are those that `S=` and `C=` mean, counted from 1.
    pub fn parse<'a>(
        lines: impl IntoIterator<Item = (usize, &'a str)>,
        mails: &[Vec<u8>],
    ) -> Result<Script, String> {
        let mut steps = Vec::new();
        for (number, line) in lines {
            let step = parse(line.trim_start(), mails).map_err(|fault| format!("line {number}: {fault}"))?;
            steps.extend(step.map(|step| (number, step)));
        }
        Ok(Script(steps))
    }
}

fn parse(line: &str, mails: &[Vec<u8>]) -> Result<Option<Step>, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let count = || rest.parse::<usize>().map_err(|_| format!("`{line}` needs a number"));
    let mail = || {
        let mail = count()?.checked_sub(1).and_then(|at| mails.get(at));
        mail.ok_or_else(|| format!("`{line}`: there is no such mail in this file"))
    };
    let step = match word {
        "" => return Ok(None),
        _ if word.starts_with('#') => return Ok(None),
        "S:" => Step::Send([rest.as_bytes(), b"\r\n"].concat()),
        "S~" => Step::Send(resolve_escapes(rest)),
        "S=" => Step::Send([stuffed(mail()?), b".\r\n".to_vec()].concat()),
        "S{" => Step::Send([format!("{{{}}}\r\n", mail()?.len()).as_bytes(), mail()?].concat()),
        "C:" => Step::Expect(rest.to_owned()),
        "C*" => Step::Expect("*".to_owned()),
        "C=" => Step::ExpectBytes(with_crlf(mail()?)),
        "take" => Step::Take(count()?),
        "request" => Step::Request,
        "quiet" => Step::Quiet,
        "tls" => Step::Tls { refused: rest == "refused" },
        "split" => Step::Split(count()?),
        "drip" => Step::Drip,
        "cut" => Step::Cut(count()?),
        "close" => Step::Close,
        "half" => Step::Half,
        "reset" => Step::Reset,
        "stall" => Step::Stall,
        "flood" => Step::Flood(resolve_escapes(rest).repeat(1000)),
        "next" => Step::Next,
        "perhaps" => Step::Perhaps,
        _ => return Err(format!("`{line}` is no step")),
    };
    Ok(Some(step))
}

/// `\r`, `\n`, `\t`, `\\` and `\xNN`.
pub fn resolve_escapes(text: &str) -> Vec<u8> {
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

type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

struct Player {
    tls: Option<TlsAcceptor>,
    connection: Option<Connection>,
    said: Said,
    transcript: String,
    over: CancellationToken,
}

struct Connection {
    /// `None` while it changes to TLS, and once it has been reset.
    wire: Option<Wire>,
    unread: Vec<u8>,
    split: usize,
    /// The pause between two pieces.
    pause: Duration,
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
            let accepting = tokio::time::timeout(PATIENCE, listener.accept());
            let accepted = match steps {
                [(_, Step::Perhaps), ..] => tokio::select! {
                    biased;
                    accepted = accepting => accepted,
                    () = self.over.cancelled() => return Ok(()),
                },
                _ => accepting.await,
            };
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
        let connection = Connection {
            wire: Some(Either::Left(tcp)),
            unread: Vec::new(),
            split: usize::MAX,
            pause: Duration::ZERO,
            budget: None,
        };
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
            Step::ExpectBytes(bytes) => self.expect_bytes(bytes).await?,
            Step::Take(length) => drop(self.take(*length, "so many bytes").await?),
            Step::Request => self.expect_request().await?,
            Step::Quiet => self.expect_quiet()?,
            Step::Tls { refused } => self.start_tls(*refused).await?,
            Step::Split(length) => self.connection().split = *length,
            Step::Drip => (self.connection().split, self.connection().pause) = (1, DRIP),
            Step::Cut(length) => self.connection().budget = Some(*length),
            Step::Close => return self.close().await,
            Step::Half => drop(self.connection().wire().shutdown().await),
            Step::Reset => return Ok(self.reset()),
            Step::Stall => {
                self.read_to_end("stalled for long").await?;
                self.connection().unread.clear();
                return Ok(Flow::Closed);
            }
            Step::Flood(bytes) => {
                while self.connection().wire().write_all(bytes).await.is_ok() {}
                return self.close().await;
            }
            Step::Next | Step::Perhaps => {}
        }
        Ok(Flow::Goes)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<Flow, String> {
        let _ = writeln!(self.transcript, "  S: {}", bytes.escape_ascii());
        let connection = self.connection();
        let length = connection.budget.unwrap_or(bytes.len()).min(bytes.len());
        for piece in bytes[..length].chunks(connection.split) {
            let write = async {
                connection.wire().write_all(piece).await?;
                connection.wire().flush().await
            };
            write.await.map_err(|fault| format!("the client does not listen: {fault}"))?;
            if !connection.pause.is_zero() {
                tokio::time::sleep(connection.pause).await;
            }
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
        let line = self.line(expected).await?;
        let fits = match expected.strip_suffix('*') {
            Some(start) => line.starts_with(start),
            None => line == expected,
        };
        if fits { Ok(()) } else { Err(format!("expected `{expected}`, got `{line}`")) }
    }

    /// The client's next line, without its CRLF.
    async fn line(&mut self, expected: &str) -> Result<String, String> {
        let lf = loop {
            if let Some(lf) = self.connection().unread.iter().position(|&byte| byte == b'\n') {
                break lf;
            }
            self.wait(expected).await?;
        };
        let line: Vec<u8> = self.connection().unread.drain(..=lf).collect();
        let line = String::from_utf8_lossy(&line);
        let Some(line) = line.strip_suffix("\r\n") else { return Err(format!("{line:?} ends without CRLF")) };
        let _ = writeln!(self.transcript, "  C: {}", line.escape_debug());
        Ok(line.to_owned())
    }

    /// The client's next `length` bytes.
    async fn take(&mut self, length: usize, expected: &str) -> Result<Vec<u8>, String> {
        while self.connection().unread.len() < length {
            self.wait(expected).await?;
        }
        let taken: Vec<u8> = self.connection().unread.drain(..length).collect();
        let _ = writeln!(self.transcript, "  C~ {}", taken.escape_ascii());
        Ok(taken)
    }

    async fn expect_bytes(&mut self, expected: &[u8]) -> Result<(), String> {
        let taken = self.take(expected.len(), "a mail").await?;
        if taken == expected { Ok(()) } else { Err("the mail is not as it was".into()) }
    }

    /// RFC 9112, as far as a client goes that says how long its body is.
    async fn expect_request(&mut self) -> Result<(), String> {
        let mut length = 0;
        loop {
            let line = self.line("an HTTP request").await?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| format!("`{line}` has no length"))?;
            }
        }
        self.take(length, "the body of a request").await.map(drop)
    }

    /// Waits for more of what the client says.
    async fn wait(&mut self, expected: &str) -> Result<(), String> {
        let left = self.connection().unread.escape_ascii().to_string();
        match tokio::time::timeout(PATIENCE, self.read()).await {
            Ok(Ok(0)) => Err(format!("expected `{expected}`, but the client closed (`{left}`)")),
            Ok(outcome) => outcome.map(drop),
            Err(_) => Err(format!("expected `{expected}`, but the client waits (`{left}`)")),
        }
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
        let Some(Either::Left(plain)) = connection.wire.take() else {
            return Err("there is TLS already".into());
        };
        match tokio::time::timeout(PATIENCE, tls.accept(plain)).await {
            Ok(Ok(stream)) => self.connection().wire = Some(Either::Right(Box::new(stream))),
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
        // A reset is an end like any other here, and where there is no connection there is nothing to read.
        let length = match &mut connection.wire {
            Some(wire) => wire.read(&mut bytes).await.unwrap_or(0),
            None => 0,
        };
        connection.unread.extend_from_slice(&bytes[..length]);
        let is_clear = matches!(connection.wire, Some(Either::Left(_)));
        let shown = |&byte: &u8| match byte {
            b'\r' | b'\n' => char::from(byte).to_string(),
            _ => byte.escape_ascii().to_string(),
        };
        let said: String = bytes[..length].iter().map(shown).collect();
        self.said.all += &said;
        if is_clear {
            self.said.in_clear += &said;
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
        let _ = self.connection().wire().shutdown().await;
        self.read_to_end("the connection was closed").await?;
        self.connection().unread.clear();
        Ok(Flow::Closed)
    }

    /// With a linger time of zero the end of a connection is a reset, and what is under way is lost.
    fn reset(&mut self) -> Flow {
        let connection = self.connection();
        match connection.wire.take() {
            Some(Either::Left(tcp)) => tcp.set_zero_linger().unwrap(),
            Some(Either::Right(tls)) => tls.get_ref().0.set_zero_linger().unwrap(),
            None => {}
        }
        connection.unread.clear();
        Flow::Closed
    }
}

impl Connection {
    fn wire(&mut self) -> &mut Wire {
        self.wire.as_mut().expect("nothing follows a refused TLS or a reset")
    }
}

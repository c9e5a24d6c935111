//! A TCP link between two parties, with a fault at a byte of one's choice.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Which way bytes go: from the client to the server is `Up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// What happens to the link, once, after so many bytes in one direction, counted over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both sides see the end of the connection; bytes beyond are gone.
    Cut { way: Way, after: u64 },
    /// The same as a reset (RST).
    Reset { way: Way, after: u64 },
    /// Nothing comes through any more in either direction, and nobody is told.
    Stall { way: Way, after: u64 },
    /// The same, and connections made later are silent from the start: the whole peer hangs.
    Hang { way: Way, after: u64 },
    /// Nothing comes through until [`Cable::go_on`].
    Pause { way: Way, after: u64 },
}

impl Fault {
    fn way(self) -> Way {
        match self {
            Fault::Cut { way, .. }
            | Fault::Reset { way, .. }
            | Fault::Stall { way, .. }
            | Fault::Hang { way, .. }
            | Fault::Pause { way, .. } => way,
        }
    }

    fn after(self) -> u64 {
        match self {
            Fault::Cut { after, .. }
            | Fault::Reset { after, .. }
            | Fault::Stall { after, .. }
            | Fault::Hang { after, .. }
            | Fault::Pause { after, .. } => after,
        }
    }
}

/// Ends with the test's runtime.
pub struct Cable {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    /// Bytes that came through since the last [`Cable::arm`], up and down.
    passed: [u64; 2],
    struck: bool,
    told: CancellationToken,
    /// A pause is over.
    goes_on: CancellationToken,
    /// What came through, piece by piece, if somebody wants to know.
    heard: Option<Vec<(Way, Vec<u8>)>>,
}

impl Cable {
    /// A link to `port` on loopback.
    pub async fn to(port: u16) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    carry(client, server, state).await;
                });
            }
        });
        Cable { port: own, state }
    }

    /// Begins to count anew; `None` takes the fault away.
    pub fn arm(&self, fault: Option<Fault>) {
        *self.state.lock().unwrap() = State { fault, ..State::default() };
    }

    /// Bytes that came through in this direction since the last [`Cable::arm`].
    pub fn passed(&self, way: Way) -> u64 {
        self.state.lock().unwrap().passed[way as usize]
    }

    /// Begins to write down what comes through, for [`Cable::heard`].
    pub fn listen(&self) {
        self.state.lock().unwrap().heard = Some(Vec::new());
    }

    /// What has come through since [`Cable::listen`], piece by piece.
    pub fn heard(&self) -> Vec<(Way, Vec<u8>)> {
        self.state.lock().unwrap().heard.take().expect("somebody listens")
    }

    /// Whether the fault has happened.
    pub fn has_struck(&self) -> bool {
        self.state.lock().unwrap().struck
    }

    /// Ends a [`Fault::Pause`].
    pub fn go_on(&self) {
        self.state.lock().unwrap().goes_on.cancel();
    }

    /// Waits until the fault has happened.
    pub fn struck(&self) -> impl Future<Output = ()> + use<> {
        self.state.lock().unwrap().told.clone().cancelled_owned()
    }
}

async fn carry(client: TcpStream, server: TcpStream, state: Arc<Mutex<State>>) {
    let hangs = {
        let state = state.lock().unwrap();
        state.struck && matches!(state.fault, Some(Fault::Hang { .. }))
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (end, frozen) = (CancellationToken::new(), CancellationToken::new());
    let up = Direction { way: Way::Up, state: Arc::clone(&state), end: end.clone(), frozen: frozen.clone() };
    let down = Direction { way: Way::Down, state, end, frozen };
    // The halves come back together, so that nothing closes before both directions are at their end.
    let ((from_client, to_server), (from_server, to_client)) =
        tokio::join!(up.carry(from_client, to_server), down.carry(from_server, to_client));
    let resets =
        matches!(down.state.lock().unwrap().fault, Some(Fault::Reset { .. })) && down.end.is_cancelled();
    for (read, write) in [(from_client, to_client), (from_server, to_server)] {
        if let Ok(tcp) = read.reunite(write) {
            if resets {
                let _ = tcp.set_zero_linger();
            }
            drop(tcp);
        }
    }
}

struct Direction {
    way: Way,
    state: Arc<Mutex<State>>,
    /// The connection is over for both directions.
    end: CancellationToken,
    /// Nothing comes through any more.
    frozen: CancellationToken,
}

impl Direction {
    async fn carry(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> (OwnedReadHalf, OwnedWriteHalf) {
        tokio::select! {
            () = self.end.cancelled() => {}
            copied = self.copy(&mut from, &mut to) => {
                // A reset on one side is one for the other, which would wait for ever.
                if copied.is_err() {
                    self.end.cancel();
                }
            }
        }
        (from, to)
    }

    async fn copy(&self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
        let mut bytes = vec![0; 16 << 10];
        loop {
            // A fault after no byte at all happens without waiting for one.
            let mut part = self.pass(0);
            let mut length = 0;
            if part.is_none() {
                tokio::select! {
                    read = from.read(&mut bytes) => length = read?,
                    () = self.frozen.cancelled() => std::future::pending().await,
                }
                if length == 0 {
                    return to.shutdown().await;
                }
                part = self.pass(length);
            }
            let (before, behind) = bytes[..length].split_at(part.unwrap_or(length));
            self.hand_over(before, to).await?;
            if part.is_some() {
                if !self.survives().await {
                    // What comes behind is gone.
                    return Ok(());
                }
                self.pass(behind.len());
                self.hand_over(behind, to).await?;
            }
        }
    }

    async fn hand_over(&self, bytes: &[u8], to: &mut OwnedWriteHalf) -> io::Result<()> {
        if let Some(heard) = &mut self.state.lock().unwrap().heard {
            heard.push((self.way, bytes.to_owned()));
        }
        to.write_all(bytes).await
    }

    /// The fault happens. Returns whether the connection goes on.
    async fn survives(&self) -> bool {
        let (fault, goes_on) = {
            let state = self.state.lock().unwrap();
            (state.fault, state.goes_on.clone())
        };
        match fault {
            Some(Fault::Stall { .. } | Fault::Hang { .. }) => {
                self.frozen.cancel();
                std::future::pending().await
            }
            Some(Fault::Pause { .. }) => {
                goes_on.cancelled().await;
                true
            }
            _ => {
                self.end.cancel();
                false
            }
        }
    }

    /// Counts bytes that are about to go through; where the fault happens among them, it says after how many.
    fn pass(&self, length: usize) -> Option<usize> {
        let mut state = self.state.lock().unwrap();
        let passed = state.passed[self.way as usize];
        let part = match state.fault {
            Some(fault) if !state.struck && fault.way() == self.way => {
                let left = usize::try_from(fault.after().saturating_sub(passed)).unwrap_or(usize::MAX);
                (left <= length).then_some(left)
            }
            _ => None,
        };
        state.passed[self.way as usize] += part.unwrap_or(length) as u64;
        if part.is_some() {
            state.struck = true;
            state.told.cancel();
        }
        part
    }
}

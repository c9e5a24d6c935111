//! A server that says what the fuzzer wants, and the client that talks to it.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{self, Either};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::sleep;

/// Parts what is said at a time: what follows is said when the client waits for it.
const TURN: u8 = 0x1e;
/// Ends the connection; what follows is said to the next one.
const HANG_UP: u8 = 0x1d;

/// What the peer says, on one connection after the other.
#[derive(Clone, Copy)]
pub struct Script<'a> {
    pub lines: &'a [u8],
    /// In pieces of so many bytes.
    pub step: usize,
}

/// Thousands of connections a second leave their ports taken for a minute: then it waits for one.
async fn listener() -> TcpListener {
    loop {
        match TcpListener::bind("127.0.0.1:0").await {
            Err(fault) if fault.kind() == io::ErrorKind::AddrInUse => sleep(Duration::from_secs(1)).await,
            outcome => return outcome.expect("a port on loopback"),
        }
    }
}

impl Script<'_> {
    /// All that it says, as far as the client lets it.
    pub fn said(&self) -> Vec<u8> {
        self.lines.iter().copied().filter(|byte| !matches!(*byte, TURN | HANG_UP)).collect()
    }

    /// Runs `client`, which gets the port of the peer. Returns what came of it, and all that the client said.
    pub fn play<T, F: Future<Output = T>>(&self, client: impl FnOnce(u16) -> F) -> (T, Vec<u8>) {
        thread_local! {
            static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        }
        let heard = RefCell::default();
        let outcome = RUNTIME.with(|runtime| {
            runtime.block_on(async {
                let listener = listener().await;
                let port = listener.local_addr().expect("it has an address").port();
                let (client, peer) = (pin!(client(port)), pin!(self.serve(&listener, &heard)));
                match future::select(client, peer).await {
                    Either::Left((outcome, _)) => outcome,
                    Either::Right((fault, _)) => panic!("the peer cannot go on: {fault:?}"),
                }
            })
        });
        (outcome, heard.into_inner())
    }

    async fn serve(&self, listener: &TcpListener, heard: &RefCell<Vec<u8>>) -> io::Result<()> {
        for connection in self.lines.split(|&byte| byte == HANG_UP) {
            let (mut tcp, _) = listener.accept().await?;
            // A client that has closed hears nothing of it.
            let _ = self.speak(connection, &mut tcp, heard).await;
        }
        // Whoever comes now is not served.
        loop {
            listener.accept().await?;
        }
    }

    async fn speak(
        &self,
        connection: &[u8],
        tcp: &mut TcpStream,
        heard: &RefCell<Vec<u8>>,
    ) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        for (n, turn) in connection.split(|&byte| byte == TURN).enumerate() {
            if n > 0 {
                listen(tcp, heard).await?;
            }
            for piece in turn.chunks(self.step) {
                tcp.write_all(piece).await?;
                if piece.len() == self.step {
                    listen(tcp, heard).await?;
                }
            }
        }
        listen(tcp, heard).await?;
        tcp.shutdown().await?;
        listen(tcp, heard).await
    }
}

/// The client shares this thread: when it has had so many turns and said nothing, it waits for us.
const PATIENCE: usize = 4;

async fn listen(tcp: &TcpStream, heard: &RefCell<Vec<u8>>) -> io::Result<()> {
    let (mut buffer, mut silence) = ([0; 4096], 0);
    while silence < PATIENCE {
        silence += 1;
        match tcp.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                heard.borrow_mut().extend_from_slice(&buffer[..length]);
                silence = 0;
            }
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => yield_now().await,
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

//! Small honest servers in this process, whose mail the test holds in its hands.

pub mod app;
pub mod imap;
pub mod pop3;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A client's connection. Answers are held back while more commands are there already, as pipelining wants it.
struct Conversation {
    commands: BufReader<OwnedReadHalf>,
    answers: BufWriter<OwnedWriteHalf>,
}

impl Conversation {
    fn new(tcp: TcpStream) -> Conversation {
        let _ = tcp.set_nodelay(true);
        let (read, write) = tcp.into_split();
        Conversation { commands: BufReader::new(read), answers: BufWriter::new(write) }
    }

    /// The next line without its CRLF; `None` once the client has gone, also in the middle of one.
    async fn line(&mut self) -> Option<Vec<u8>> {
        if !self.commands.buffer().contains(&b'\n') {
            self.answers.flush().await.ok()?;
        }
        let mut line = Vec::new();
        self.commands.read_until(b'\n', &mut line).await.ok()?;
        line.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
    }

    async fn say(&mut self, text: impl AsRef<[u8]>) -> Option<()> {
        self.answers.write_all(text.as_ref()).await.ok()?;
        self.answers.write_all(b"\r\n").await.ok()
    }
}

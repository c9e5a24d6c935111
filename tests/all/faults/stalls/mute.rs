//! Peers that fall silent where the honest servers cannot be made to: before they accept, in a TLS handshake, while
//! they drip.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Ends with the test's runtime.
pub struct Mute {
    pub port: u16,
    /// What fills its queue.
    _waiting: Vec<TcpStream>,
}

/// The words of a peer on each connection: the first unasked, one more for each line that it is sent.
pub type Words = &'static [&'static str];

/// So many octets each time that a pause has passed.
#[derive(Clone, Copy, Debug)]
pub struct Drip {
    pub octets: usize,
    pub pause: Duration,
}

impl Mute {
    /// Says its words, then nothing more, and reads nothing more.
    pub async fn after(words: Words) -> Mute {
        Mute::at("127.0.0.1", words, None).await
    }

    /// As [`Mute::after`], but after its words it sends an octet each time that `pause` has passed.
    pub async fn dripping(words: Words, pause: Duration) -> Mute {
        Mute::at("127.0.0.1", words, Some(Drip { octets: 1, pause })).await
    }

    pub async fn at(address: &str, words: Words, drip: Option<Drip>) -> Mute {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(async move { speak(tcp, words, drip).await });
            }
        });
        Mute { port, _waiting: Vec::new() }
    }

    /// Connections to it are not answered at all: its queue is full.
    pub async fn unanswering() -> Mute {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(tcp)) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            waiting.push(tcp);
        }
        // It lives as long as the runtime.
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(listener);
        });
        Mute { port: address.port(), _waiting: waiting }
    }
}

async fn speak(tcp: TcpStream, words: Words, drip: Option<Drip>) -> std::io::Result<()> {
    let (read, mut write) = tcp.into_split();
    let mut read = BufReader::new(read);
    for (n, word) in words.iter().enumerate() {
        if n > 0 && read.read_until(b'\n', &mut Vec::new()).await? == 0 {
            return Ok(());
        }
        write.write_all(word.as_bytes()).await?;
    }
    let Some(Drip { octets, pause }) = drip else { return std::future::pending().await };
    loop {
        tokio::time::sleep(pause).await;
        write.write_all(&vec![b'x'; octets]).await?;
    }
}

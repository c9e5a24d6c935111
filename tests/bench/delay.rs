//! A link with a long way: `delay HOST:PORT MILLISECONDS` listens on a free loopback port, prints it, and
//! passes every connection on to HOST:PORT. What is sent arrives MILLISECONDS later, in each direction;
//! how much is on the way at once is not limited, so only the way is long, not the link thin.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// A chunk is at most this long, and at most so many are on the way: memory stays bounded.
const CHUNK: usize = 64 * 1024;
const ON_THE_WAY: usize = 4096;

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, target, milliseconds] = &arguments[..] else {
        return Err(io::Error::other("usage: delay HOST:PORT MILLISECONDS"));
    };
    let one_way = Duration::from_millis(milliseconds.parse().map_err(io::Error::other)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    for client in listener.incoming() {
        let (client, target) = (client?, target.clone());
        thread::spawn(move || carry(&client, &target, one_way));
    }
    Ok(())
}

fn carry(client: &TcpStream, target: &str, one_way: Duration) -> io::Result<()> {
    // The handshake of TCP is a round trip too. Mail servers speak first, so the client waits for it.
    sleep(2 * one_way);
    let server = TcpStream::connect(target)?;
    for (from, to) in [(client, &server), (&server, client)] {
        to.set_nodelay(true)?;
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (sender, receiver) = sync_channel(ON_THE_WAY);
        thread::spawn(move || send_off(from, &sender, one_way));
        thread::spawn(move || hand_over(&receiver, to));
    }
    Ok(())
}

fn send_off(mut from: TcpStream, way: &SyncSender<Chunk>, one_way: Duration) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = from.read(&mut buffer)?;
        // An empty chunk is the end; it takes as long as any other.
        let chunk = Chunk { due: Instant::now() + one_way, bytes: buffer[..length].to_vec() };
        if way.send(chunk).is_err() || length == 0 {
            return Ok(());
        }
    }
}

fn hand_over(way: &Receiver<Chunk>, mut to: TcpStream) -> io::Result<()> {
    for chunk in way {
        sleep(chunk.due.saturating_duration_since(Instant::now()));
        if chunk.bytes.is_empty() {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&chunk.bytes)?;
    }
    to.shutdown(Shutdown::Both)
}

//! A webhook receiver that is never the bottleneck: it prints its port, takes every POST, drops the body and
//! answers 202, after the milliseconds in its argument if there is one. `GET /` answers with two numbers: requests
//! taken and octets of their bodies, since the last GET.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static OCTETS: AtomicU64 = AtomicU64::new(0);
static WAIT: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let wait = std::env::args().nth(1).map_or(Ok(0), |wait| wait.parse());
    WAIT.store(wait.map_err(io::Error::other)?, Relaxed);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    for client in listener.incoming() {
        let client = client?;
        client.set_nodelay(true)?;
        thread::spawn(move || serve(&client));
    }
    Ok(())
}

fn serve(client: &TcpStream) -> io::Result<()> {
    let mut input = BufReader::with_capacity(256 * 1024, client);
    let mut output = client;
    while let Some(head) = head(&mut input)? {
        if head.expects_continue {
            output.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let octets = match head.body {
            Body::Length(length) => skip(&mut input, length)?,
            Body::Chunked => skip_chunks(&mut input)?,
        };
        if head.post {
            REQUESTS.fetch_add(1, Relaxed);
            OCTETS.fetch_add(octets, Relaxed);
            thread::sleep(Duration::from_millis(WAIT.load(Relaxed)));
            output.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
        } else {
            let counts = format!("{} {}", REQUESTS.swap(0, Relaxed), OCTETS.swap(0, Relaxed));
            write!(output, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{counts}", counts.len())?;
        }
    }
    Ok(())
}

enum Body {
    Length(u64),
    Chunked,
}

struct Head {
    post: bool,
    body: Body,
    expects_continue: bool,
}

/// None at the end of the connection.
fn head(input: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut head = Head { post: line.starts_with("POST "), body: Body::Length(0), expects_continue: false };
    loop {
        line.clear();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(head)) };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.body = Body::Length(value.trim().parse().map_err(io::Error::other)?),
            "transfer-encoding" => head.body = Body::Chunked,
            "expect" => head.expects_continue = true,
            _ => {}
        }
    }
}

fn skip(input: &mut impl Read, length: u64) -> io::Result<u64> {
    let skipped = io::copy(&mut input.take(length), &mut io::sink())?;
    if skipped == length { Ok(length) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn skip_chunks(input: &mut impl BufRead) -> io::Result<u64> {
    let mut octets = 0;
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        octets += skip(input, length)?;
        skip(input, 2)?;
        if length == 0 {
            return Ok(octets);
        }
    }
}

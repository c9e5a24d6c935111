//! Floods that no dialog can write down: they count as they go, or are too long for a file.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::soak;
use super::{account, expect, expect_unharmed};
use crate::ferry::{Ferry, webhook_destination};
use crate::receiver::Receiver;
use crate::servers::pop3::Pop3;

/// A23, A24: STAT promises four billion messages, and UIDL has a new one in each row.
pub async fn a_listing_without_end() -> Result<u64, String> {
    let port = pop3(|command, out| match command {
        "STAT" => out.write_all(b"+OK 4294967295 18446744073709551615\r\n"),
        "UIDL" => {
            out.write_all(b"+OK\r\n")?;
            (1..u32::MAX).try_for_each(|number| write!(out, "{number} u{number}\r\n"))
        }
        _ => out.write_all(b"+OK\r\n"),
    });
    let (ferry, receiver) = ferry(port, "").await;
    let (ran, peak) = ferry.run_measured(&["fetch"]).await;
    expect_unharmed(&ran, peak, &ferry)?;
    expect(ran.code == 75 && ran.stdout.contains("a listing, in rows, of more than"), &ran.stdout)?;
    expect(receiver.arrivals().is_empty(), "something was delivered")?;
    Ok(peak)
}

/// A20, A24: as many messages as a listing may have, none of them wanted. Then the newest ones go.
pub async fn as_many_messages_as_there_may_be() -> Result<u64, String> {
    const MESSAGES: u64 = 800_000;
    let count = Arc::new(AtomicU64::new(MESSAGES));
    let rows = |out: &mut dyn Write, count: u64, what: fn(u64) -> String| {
        out.write_all(b"+OK\r\n")?;
        (1..=count).try_for_each(|number| write!(out, "{number} {}\r\n", what(number)))?;
        out.write_all(b".\r\n")
    };
    // In no order, as where a server hashes them, they are costly to index.
    let uidl: fn(u64) -> String = match soak() {
        true => |number| format!("{:020}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        false => |number| format!("{number:020}"),
    };
    let listed = Arc::clone(&count);
    let port = pop3(move |command, out| match (command, listed.load(Ordering::SeqCst)) {
        ("STAT", count) => write!(out, "+OK {count} {count}\r\n"),
        ("UIDL", count) => rows(out, count, uidl),
        ("LIST", count) => rows(out, count, |number| (1000 + number % 5000).to_string()),
        (command, _) if command.starts_with("TOP ") => {
            out.write_all(b"+OK\r\nReceived: from a by b; Mon, 02 Jan 2006 10:00:00 +0000\r\n\r\n.\r\n")
        }
        _ => out.write_all(b"+OK\r\n"),
    });
    let (ferry, receiver) = ferry(port, "import = \"new\"\n").await;
    let mut most = 0;
    for _ in 0..2 {
        let (ran, peak) = ferry.run_measured(&["fetch"]).await;
        expect_unharmed(&ran, peak, &ferry)?;
        expect(ran.code == 0, &format!("exit code {}: {}", ran.code, ran.stdout))?;
        most = most.max(peak);
        count.fetch_sub(10, Ordering::SeqCst);
    }
    expect(receiver.arrivals().is_empty(), "something was delivered")?;
    Ok(most)
}

/// A23: 100 messages that were delivered and could not be deleted; before they are, the server shows headers of a
/// mebibyte each.
pub async fn headers_of_a_mebibyte() -> Result<u64, String> {
    const MESSAGES: u32 = 100;
    let rows = |out: &mut dyn Write, what: &str| {
        out.write_all(b"+OK\r\n")?;
        (1..=MESSAGES).try_for_each(|number| write!(out, "{number} {what}{number}\r\n"))?;
        out.write_all(b".\r\n")
    };
    let port = pop3(move |command, out| match command.split_once(' ').unwrap_or((command, "")) {
        ("STAT", _) => write!(out, "+OK {MESSAGES} {MESSAGES}\r\n"),
        ("UIDL", _) => rows(out, "u"),
        ("LIST", _) => rows(out, ""),
        ("RETR", number) => write!(out, "+OK\r\nSubject: {number}\r\n\r\nx\r\n.\r\n"),
        ("TOP", _) => {
            out.write_all(b"+OK\r\n")?;
            (0..1024).try_for_each(|_| write!(out, "X: {}\r\n", "y".repeat(1024)))?;
            out.write_all(b"\r\n.\r\n")
        }
        ("DELE", _) => Err(io::ErrorKind::ConnectionReset.into()),
        _ => out.write_all(b"+OK\r\n"),
    });
    let (ferry, receiver) = ferry(port, "leave_copy = false\n").await;
    let mut most = 0;
    for _ in 0..2 {
        let (ran, peak) = ferry.run_measured(&["fetch"]).await;
        expect_unharmed(&ran, peak, &ferry)?;
        most = most.max(peak);
    }
    expect(receiver.arrivals().len() == MESSAGES as usize, "not delivered once each")?;
    Ok(most)
}

/// A25: headers and MIME that have made others run out of time, memory or stack. They are delivered, parsed.
pub async fn mail_that_explodes() -> Result<u64, String> {
    let nested: String =
        (0..5000).map(|n| format!("Content-Type: multipart/mixed; boundary={n}\r\n\r\n--{n}\r\n")).collect();
    let mails = [
        format!("To: {}\r\n\r\nx\r\n", ";".repeat(1 << 20)),
        format!("To: {}\r\n\r\nx\r\n", "(".repeat(1 << 20)),
        format!("To: {}\r\n\r\nx\r\n", "<\"".repeat(1 << 19)),
        format!("{}\r\nx\r\n", "X-Field: value\r\n".repeat(100_000)),
        format!("Subject: {}\r\n\r\nx\r\n", "=?utf-8?B?4oKs?= ".repeat(10_000)),
        format!("Subject: {}\r\n\r\nx\r\n", "=?utf-8?Q?".repeat(100_000)),
        format!("Subject: a\r\n{}\r\n\r\nx\r\n", " b\r\n".repeat(250_000)),
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\n".repeat(100_000)),
        format!("{nested}x\r\n"),
    ];
    let source = Pop3::start().await;
    for (number, mail) in mails.iter().enumerate() {
        source.mailbox().put(format!("u{number}").as_bytes(), mail.as_bytes());
    }
    let (ferry, receiver) = ferry_to("json", source.port, "").await;
    let (ran, peak) = ferry.run_measured(&["fetch"]).await;
    expect_unharmed(&ran, peak, &ferry)?;
    expect(receiver.arrivals().len() == mails.len(), &format!("{} arrived", receiver.arrivals().len()))?;
    Ok(peak)
}

async fn ferry(port: u16, more: &str) -> (Ferry, Receiver) {
    ferry_to("raw", port, more).await
}

async fn ferry_to(format: &str, port: u16, more: &str) -> (Ferry, Receiver) {
    let receiver = Receiver::start().await;
    let server = format!("host = \"127.0.0.1\"\nport = {port}\ntls = \"none\"");
    let config = webhook_destination("app", &receiver.url, format) + &account("old", &server, "app", more);
    (Ferry::new(&config), receiver)
}

/// A POP3 server that lets everybody in; `answer` has the rest. It ends with the process.
fn pop3(answer: impl Fn(&str, &mut dyn Write) -> io::Result<()> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            // Whoever hangs up has seen enough.
            let _ = serve(&tcp.unwrap(), &answer);
        }
    });
    port
}

fn serve(tcp: &TcpStream, answer: impl Fn(&str, &mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(tcp);
    out.write_all(b"+OK ready\r\n")?;
    out.flush()?;
    for line in BufReader::new(tcp).lines() {
        match line?.as_str() {
            "CAPA" => out.write_all(b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n")?,
            command if command.starts_with("USER ") || command.starts_with("PASS ") => {
                out.write_all(b"+OK\r\n")?;
            }
            command => answer(command, &mut out)?,
        }
        out.flush()?;
    }
    Ok(())
}

//! A whole POP3 session against a server that says anything.

use std::cell::RefCell;

use mailferry::message::Quirks;
use mailferry::net::{Connectors, Pin, Settings as Peer, Tls};
use mailferry::pop3::{Error, Retrieval, Session, Settings};

use super::peer::Script;
use super::unstuffer::by_the_book;
use super::{contains, is_showable};

const USER: &str = "ann@example.org";
const PASSWORD: &str = "s3cret-of-ann";
/// The beginning of it in SASL PLAIN, which is what base64 has of NUL, user, NUL, password.
const PLAIN: &str = "AGFubkBleGFtcGxlLm9yZwBzM2NyZXQtb2YtYW5u";

/// The first byte, less `0`, says how: 1 to 3 in small pieces, 4 without pipelining, 8 with STLS. The rest is what the
/// server says.
pub fn pop3(input: &[u8]) {
    let Some((&how, lines)) = input.split_first() else { return };
    let how = how.wrapping_sub(b'0');
    let script = Script { lines, step: [usize::MAX, 1, 3, 16][usize::from(how & 3)] };
    let quirks = Quirks { no_pipelining: how & 4 != 0, ..Quirks::default() };
    let tls = if how & 8 != 0 { Tls::StartTls } else { Tls::None };
    let (seen, heard) = script.play(async |port| {
        let mut seen = Seen::default();
        let fault = poll(port, tls, quirks, &mut seen).await.err();
        seen.told.extend(fault.map(|fault| fault.to_string()));
        seen
    });
    let said = script.said();
    if tls == Tls::StartTls {
        for secret in [PASSWORD, PLAIN, USER] {
            assert!(!contains(&heard, secret.as_bytes()), "{secret} went out in the clear");
        }
    }
    for text in &seen.told {
        // A server that knows the password may say it whenever it likes.
        let is_ours = !contains(&said, PASSWORD.as_bytes());
        assert!(is_showable(text) && !(is_ours && text.contains(PASSWORD)), "{text:?}");
    }
    for uidl in &seen.uidls {
        assert!(contains(&said, uidl), "nobody has listed {uidl:?}");
    }
    for message in &seen.messages {
        assert!(
            was_sent(message, &said),
            "nobody has sent the message {:?}",
            message.escape_ascii().to_string()
        );
    }
}

/// What came of a session.
#[derive(Default)]
struct Seen {
    uidls: Vec<Vec<u8>>,
    messages: Vec<Vec<u8>>,
    /// What a person would read.
    told: Vec<String>,
}

async fn poll(port: u16, tls: Tls, quirks: Quirks, seen: &mut Seen) -> Result<(), Error> {
    let settings = settings(port, tls);
    let connector = connector(&settings.peer)?;
    let mut session = Session::open(&connector, &settings, quirks).await?;
    let mut rows = session.uidl().await?.rows;
    seen.uidls.extend(rows.iter().map(|row| row.uidl.to_vec()));
    match session.list(&mut rows).await {
        Err(Error::Refused(refused)) => seen.told.push(refused.to_string()),
        outcome => outcome?,
    }
    let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
    for header in session.top(&numbers[..numbers.len().min(2)], <[u8]>::to_vec).await? {
        seen.told.extend(header.err().map(|refused| refused.to_string()));
    }
    let retrieved = session.retrieve(&numbers, std::env::temp_dir().as_path()).await;
    for (_, retrieval) in retrieved.messages {
        match retrieval {
            Retrieval::Message(message) => seen.messages.extend(message.bytes().map(|bytes| bytes.to_vec())),
            Retrieval::Refused(refused) => seen.told.push(refused.to_string()),
            Retrieval::TooLarge { .. } | Retrieval::Torn { .. } => {}
        }
    }
    if let Some(fault) = retrieved.error {
        return Err(fault);
    }
    for answer in session.delete(&numbers).await? {
        seen.told.extend(answer.err().map(|refused| refused.to_string()));
    }
    session.noop().await?;
    session.quit().await
}

fn settings(port: u16, tls: Tls) -> Settings {
    Settings { max_size: 2048, ..Settings::new(peer(port, tls), USER, PASSWORD.into()) }
}

/// A peer on loopback whose certificate nobody can have.
pub fn peer(port: u16, tls: Tls) -> Peer {
    Peer {
        host: "127.0.0.1".into(),
        port,
        tls,
        ca_file: None,
        server_name: None,
        pin: Some(Pin([0; 32])),
        allow_plaintext: false,
    }
}

/// Connectors share what is costly to make.
pub fn connector(peer: &Peer) -> Result<mailferry::net::Connector, mailferry::net::Error> {
    thread_local! {
        static CONNECTORS: RefCell<Connectors> = RefCell::default();
    }
    CONNECTORS.with_borrow_mut(|connectors| connectors.connector(peer))
}

/// Whether `message` stands in `said`, from the start of one of its lines to where the book sees its end.
fn was_sent(message: &[u8], said: &[u8]) -> bool {
    let starts = memchr::memchr_iter(b'\n', said).map(|lf| lf + 1);
    starts
        .flat_map(|start| [(start, true), (start, false)])
        .any(|(start, bare_lf)| by_the_book(&said[start..], bare_lf).is_some_and(|(text, _)| text == message))
}

//! A message's header: what identifies it, when it came, and what a webhook tells of it.

use futures_util::FutureExt;
use mailferry::message::parsed;
use mailferry::message::{Content, Message, Spool, field, fields, header_digest, received_at};

/// The input is a message.
pub fn header(input: &[u8]) {
    let message = spooled(input, usize::MAX);
    assert_eq!(message.octets(), input.len() as u64);
    let head = message.head();
    assert!(input.starts_with(head));
    assert_eq!(message.header, header_digest(head), "TOP says the same as RETR");
    assert_eq!(identity(&message), identity(&spooled(input, 7)), "in pieces of 7");
    assert_eq!(
        identity(&message),
        identity(&spooled(&marked(input), usize::MAX)),
        "with a mark of the server's"
    );
    for (name, value) in fields(head) {
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        assert!(
            !value.iter().any(|byte| matches!(byte, b'\r' | b'\n')),
            "{:?}",
            value.escape_ascii().to_string()
        );
        let topmost = field(head, &String::from_utf8_lossy(name));
        assert!(topmost.is_some(), "{:?} is not found", name.escape_ascii().to_string());
    }
    assert!(received_at(head).is_none() || field(head, "Received").is_some());
    parsed::header(head);
    parsed::content(input);
}

fn identity(message: &Message) -> (Content, Content) {
    (message.content, message.header)
}

fn spooled(input: &[u8], step: usize) -> Message {
    let spooling = async {
        let mut spool = Spool::new(&std::env::temp_dir());
        for piece in input.chunks(step) {
            spool.write(piece).await?;
        }
        spool.finish().await
    };
    spooling.now_or_never().expect("it fits into memory").expect("it fits into memory")
}

/// The message as a server returns it that has marked it as seen.
fn marked(input: &[u8]) -> Vec<u8> {
    // What begins with a blank would go on the mark's line, and what has no header gets one by a mark.
    if input.first().is_none_or(|first| b" \t\r\n".contains(first)) {
        return input.to_vec();
    }
    [b"status: RO\r\n\tO\r\n", input].concat()
}

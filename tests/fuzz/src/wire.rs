//! What a POP3 server says, line by line.

use mailferry::pop3::wire::{Capabilities, Reply, Stat, list_row, uidl_row};

/// Each line of `input` is read as everything that a line can be.
pub fn wire(input: &[u8]) {
    let mut capabilities = Capabilities::default();
    for line in input.split(|&byte| byte == b'\n') {
        reply(line);
        row(line);
        capabilities.learn(line);
    }
    assert!(capabilities.sasl.len() <= 64 && capabilities.sasl.iter().all(|name| name.len() <= 20));
}

fn reply(line: &[u8]) {
    let starts_with = |word: &[u8]| line.get(..word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word));
    match Reply::parse(line) {
        Some(Reply::Ok(text)) => {
            assert!(starts_with(b"+OK") && line.ends_with(&text));
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if let Some(stat) = Stat::parse(&text) {
                let count = String::from_utf8_lossy(&text[..digits]);
                assert_eq!(count.trim_start_matches('0'), nothing_for_zero(stat.count.into()));
            }
        }
        Some(Reply::Err { text, .. }) => {
            assert!(starts_with(b"-ERR"));
            assert!(text.len() < 600 && text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
        }
        Some(Reply::Challenge(_)) => assert!(line == b"+" || starts_with(b"+ ")),
        None => assert!(!line.eq_ignore_ascii_case(b"+OK") && !line.starts_with(b"-ERR ")),
    }
}

fn row(line: &[u8]) {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = String::from_utf8_lossy(&line[..digits]);
    let number = number.trim_start_matches('0');
    if let Some((message, uidl)) = uidl_row(line) {
        assert_eq!(number, nothing_for_zero(message.into()));
        assert!(message > 0 && uidl.len() <= 1024 && line.ends_with(uidl), "{uidl:?}");
        assert!(!uidl.first().is_some_and(u8::is_ascii_whitespace));
    }
    if let Some((message, size)) = list_row(line) {
        assert_eq!(number, nothing_for_zero(message.into()));
        let shown = size.map(|size| size.to_string()).unwrap_or_default();
        assert!(message > 0 && String::from_utf8_lossy(&line[digits..]).contains(&shown));
    }
}

/// A number in digits as it remains when its leading zeros are gone.
fn nothing_for_zero(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

//! Folder names: from the config to the wire, by way of what the server says of its names.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use mailferry::imap::Namespace;

/// The first line is the server's answer to NAMESPACE, the rest is a folder of the config.
pub fn folder(input: &[u8]) {
    let lf = memchr::memchr(b'\n', input).unwrap_or(0);
    let namespace = Namespace::parse(&input[..lf]).unwrap_or_default();
    let folder = String::from_utf8_lossy(&input[lf..]);
    let folder = folder.trim_start_matches('\n');
    let Ok(mailbox) = namespace.mailbox(folder) else {
        let is_fine =
            !folder.chars().any(char::is_control) && folder.split('/').all(|level| !level.is_empty());
        assert!(!is_fine, "{folder:?} is refused");
        return;
    };
    let wire = mailbox.as_str();
    assert!(wire.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{wire:?} does not fit into a command");
    let name = unquote(wire).unwrap_or_else(|| panic!("{wire:?} is no quoted string"));
    let separator = namespace.separator.filter(|c| matches!(c, ' '..='~')).unwrap_or('/').to_string();
    let inbox = folder.get(..5).filter(|start| start.eq_ignore_ascii_case("INBOX"));
    let rest = inbox.map(|_| &folder[5..]).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let expected = rest.map_or(folder.to_owned(), |rest| format!("INBOX{rest}"));
    let expected = expected.split('/').collect::<Vec<_>>().join(&separator);
    // With the sign that begins a shift between its levels, no name can be read back.
    if separator == "&" {
        return;
    }
    // A prefix is in the server's own words, and may be no modified UTF-7 at all.
    let mut names = [Some(name.as_str()), name.strip_prefix(&namespace.prefix)].into_iter().flatten();
    assert!(names.any(|name| decode(name).as_ref() == Some(&expected)), "{folder:?} became {name:?}");
}

/// What stands in a quoted string that takes up all of `text` (RFC 3501 section 4.3).
fn unquote(text: &str) -> Option<String> {
    let (mut plain, mut chars) = (String::new(), text.strip_prefix('"')?.strip_suffix('"')?.chars());
    while let Some(c) = chars.next() {
        plain.push(match c {
            '"' => return None,
            '\\' => chars.next()?,
            c => c,
        });
    }
    Some(plain)
}

/// Modified UTF-7 (RFC 3501 section 5.1.3) back to Unicode.
fn decode(name: &str) -> Option<String> {
    let base64 = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);
    let (mut text, mut rest) = (String::new(), name);
    while let Some((before, shifted)) = rest.split_once('&') {
        let (shifted, after) = shifted.split_once('-')?;
        text.push_str(before);
        if shifted.is_empty() {
            text.push('&');
        } else {
            let octets = base64.decode(shifted).ok()?;
            let (units, []) = octets.as_chunks::<2>() else { return None };
            let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            text.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    Some(text + rest)
}

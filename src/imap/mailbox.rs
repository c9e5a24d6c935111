//! Folder names: Unicode with `/` in the config, whatever the server wants on the wire.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

use super::Error;

/// How a server names the user's own folders (RFC 2342).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// What their names begin with, INBOX excepted: often nothing, sometimes `INBOX.`; encoded as on the wire.
    pub prefix: String,
    /// What stands between the levels; `None` where there are no levels.
    pub separator: Option<char>,
}

/// A folder's name as it stands in a command: encoded and quoted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox(String);

impl Mailbox {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Mailbox {
    /// A name that the server itself has told, which is encoded already. `None` where no folder can be called so.
    pub(super) fn told(name: &str) -> Option<Mailbox> {
        let is_sane = (1..=1000).contains(&name.len()) && name.chars().all(|c| matches!(c, ' '..='~'));
        is_sane.then(|| Mailbox(quote(name)))
    }
}

impl Namespace {
    /// The server's name for `folder`, which is in Unicode with `/` between the levels.
    ///
    /// # Errors
    /// [`Error::Folder`] where it is empty, or has a level without a name or a control character.
    pub fn mailbox(&self, folder: &str) -> Result<Mailbox, Error> {
        if folder.chars().any(char::is_control) {
            let folder = folder.escape_debug();
            return Err(Error::Folder(format!("the folder `{folder}` has a control character in its name")));
        }
        let mut levels: Vec<&str> = folder.split('/').collect();
        if levels.iter().any(|level| level.is_empty()) {
            return Err(Error::Folder(format!("the folder `{folder}` has a level without a name")));
        }
        // RFC 3501 section 5.1: INBOX in any case is INBOX.
        if levels[0].eq_ignore_ascii_case("INBOX") {
            levels[0] = "INBOX";
        }
        // No server has a separator that would not fit into a quoted string.
        let separator = self.separator.filter(|c| matches!(c, ' '..='~')).unwrap_or('/').to_string();
        let name = levels.iter().map(|level| encode(level)).collect::<Vec<_>>().join(&separator);
        let has_prefix = name == "INBOX" || name.starts_with(&self.prefix);
        Ok(Mailbox(quote(&if has_prefix { name } else { format!("{}{name}", self.prefix) })))
    }

    /// Reads the answer to NAMESPACE, `* NAMESPACE (("INBOX." ".")) NIL NIL`, of which only the first personal
    /// namespace matters here.
    pub fn parse(line: &[u8]) -> Option<Namespace> {
        let line = std::str::from_utf8(line).ok()?;
        let (start, rest) = line.split_at_checked("* NAMESPACE ".len())?;
        if !start.eq_ignore_ascii_case("* NAMESPACE ") {
            return None;
        }
        let (prefix, rest) = unquote(rest.trim_start_matches([' ', '(']))?;
        if prefix.len() > 200 || prefix.chars().any(|c| !matches!(c, ' '..='~')) {
            return None;
        }
        let separator = unquote(rest.trim_start()).and_then(|(separator, _)| separator.chars().next());
        Some(Namespace { prefix, separator })
    }
}

/// A quoted string (RFC 3501 section 4.3).
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The quoted string at the start of `text`, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut plain = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((plain, &text[at + 1..])),
            '\\' => plain.push(chars.next()?.1),
            _ => plain.push(c),
        }
    }
    None
}

/// Modified UTF-7 (RFC 3501 section 5.1.3).
fn encode(name: &str) -> String {
    let base64 = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);
    let mut encoded = String::new();
    let mut shifted: Vec<u8> = Vec::new();
    let unshift = |shifted: &mut Vec<u8>, encoded: &mut String| {
        if !shifted.is_empty() {
            encoded.push('&');
            base64.encode_string(&*shifted, encoded);
            encoded.push('-');
            shifted.clear();
        }
    };
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            unshift(&mut shifted, &mut encoded);
            encoded.push(c);
            if c == '&' {
                encoded.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(c.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    unshift(&mut shifted, &mut encoded);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_wire(prefix: &str, separator: char, folder: &str) -> String {
        let namespace = Namespace { prefix: prefix.into(), separator: Some(separator) };
        namespace.mailbox(folder).unwrap().as_str().to_owned()
    }

    #[test]
    fn encodes_as_the_rfc_does() {
        assert_eq!(encode("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(encode("Ünï & 😀"), "&ANw-n&AO8- &- &2D3eAA-");
    }

    #[test]
    fn maps_levels_and_prefix() {
        assert_eq!(on_wire("", '/', "Work/Old"), "\"Work/Old\"");
        assert_eq!(on_wire("INBOX.", '.', "Work/Old"), "\"INBOX.Work.Old\"");
        assert_eq!(on_wire("INBOX.", '.', "inbox/Work"), "\"INBOX.Work\"");
        assert_eq!(on_wire("INBOX.", '.', "Inbox"), "\"INBOX\"");
        assert_eq!(on_wire("", '/', "a\"b\\c"), "\"a\\\"b\\\\c\"");
    }

    #[test]
    fn a_name_that_a_server_tells_ends_no_command() {
        assert_eq!(Mailbox::told("[Gmail]/Spa\"m").unwrap().as_str(), "\"[Gmail]/Spa\\\"m\"");
        for hostile in ["", "a\r\nM9 DELETE b", "a\0", "\u{e9}", &"x".repeat(1001)] {
            assert_eq!(Mailbox::told(hostile), None, "{hostile:?}");
        }
    }

    #[test]
    fn a_separator_ends_no_command() {
        for line in ["* NAMESPACE ((\"\" \"\r\")) NIL NIL", "* NAMESPACE ((\"\" \"\0\")) NIL NIL"] {
            let namespace = Namespace::parse(line.as_bytes()).unwrap();
            assert_eq!(namespace.mailbox("a/b").unwrap().as_str(), "\"a/b\"");
        }
    }

    #[test]
    fn refuses_what_could_end_a_command() {
        for folder in ["a\r\nb", "a\0", "", "a//b", "/a", "a/"] {
            assert!(Namespace::default().mailbox(folder).is_err(), "{folder:?}");
        }
    }

    #[test]
    fn reads_the_first_personal_namespace() {
        let read = |line: &str| Namespace::parse(line.as_bytes());
        let courier = read("* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) NIL").unwrap();
        assert_eq!(courier, Namespace { prefix: "INBOX.".into(), separator: Some('.') });
        let plain = read("* namespace ((\"\" \"/\")) NIL NIL").unwrap();
        assert_eq!(plain, Namespace { prefix: String::new(), separator: Some('/') });
        assert_eq!(read("* NAMESPACE ((\"\" NIL)) NIL NIL"), Some(Namespace::default()));
        assert_eq!(read("* NAMESPACE NIL NIL NIL"), None);
        assert_eq!(read("* NAMESPACE ((\"a\x1b\" \"/\")) NIL NIL"), None);
        assert_eq!(read("* NAMESPACE ((\"a"), None);
    }
}

//! Addresses and hosts as a person or a stranger wrote them.

use std::fmt;

use crate::printable::printable;

/// A mail address, as far as it matters for finding its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    local: String,
    /// As it was written, in lower case.
    written: String,
    domain: String,
}

/// In octets (RFC 5321 section 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;

impl Address {
    /// Reads an address as a person types it. Quoted local parts are not for mailboxes that anybody has.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str) -> Result<Address, String> {
        let fault =
            || format!("`{}` is not a mail address; write it like me@example.org", printable(text.trim()));
        let (local, written) = text.trim().rsplit_once('@').ok_or_else(fault)?;
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || "\"@<>".contains(c);
        if local.is_empty() || local.len() > LONGEST_LOCAL || local.contains(is_odd) {
            return Err(fault());
        }
        let domain = host_name(written).ok_or_else(fault)?;
        Ok(Address { local: local.to_owned(), written: written.to_lowercase(), domain })
    }

    /// What stands before the `@`.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// In the letters of the DNS (RFC 5891): ASCII, lower case.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.written)
    }
}

/// `text` as the name of a host on the internet, in the letters of the DNS and without a final dot. `None` for what is no
/// name, for IP addresses in all their spellings, and for this machine.
pub(super) fn host_name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = idna::domain_to_ascii_strict(text).ok()?;
    let (_, top) = name.rsplit_once('.')?;
    // URL parsers take a host for an IPv4 address if it ends in a number, be it octal or hexadecimal.
    (top.starts_with(|c: char| c.is_ascii_alphabetic()) && top != "localhost").then_some(name)
}

/// The part of a host name that somebody registered, as the public suffix list has it: `example.co.uk` of
/// `pop.mail.example.co.uk`. The whole name where the list does not say.
pub fn base_domain(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_local_part_and_a_domain() {
        let address = Address::parse("  Fred.O'Hara+x@Sub.Example.ORG ").unwrap();
        assert_eq!((address.local(), address.domain()), ("Fred.O'Hara+x", "sub.example.org"));
        assert_eq!(address.to_string(), "Fred.O'Hara+x@sub.example.org");
        let address = Address::parse("j\u{fc}rgen@B\u{fc}cher.example").unwrap();
        assert_eq!(address.domain(), "xn--bcher-kva.example");
        assert_eq!(address.to_string(), "j\u{fc}rgen@b\u{fc}cher.example");
    }

    #[test]
    fn what_is_no_address_is_refused_in_one_sentence() {
        let long = format!("{}@example.org", "a".repeat(65));
        for bad in [
            "",
            "@",
            "me",
            "me@",
            "@example.org",
            "me@localhost",
            "me@example",
            "me@127.0.0.1",
            "me@[127.0.0.1]",
            "me@0x7f.1",
            "me@exam ple.org",
            "m e@example.org",
            "me@@example.org",
            "me\r\nQUIT@example.org",
            "me@example.org\0x",
            "me@example..org",
            "me@-.org",
            "me@example.org/path",
            "me@example.org:25",
            "\"me\"@example.org",
            "me@%65xample.org",
            "Me <me@example.org>",
            &long,
        ] {
            let fault = Address::parse(bad).unwrap_err();
            assert!(fault.contains("is not a mail address") && !fault.contains(char::is_control), "{fault}");
        }
    }

    #[test]
    fn a_host_is_a_name_on_the_internet() {
        for (text, name) in [
            ("pop.example.org", "pop.example.org"),
            ("POP.Example.ORG.", "pop.example.org"),
            ("pop.b\u{fc}cher.example", "pop.xn--bcher-kva.example"),
        ] {
            assert_eq!(host_name(text).as_deref(), Some(name));
        }
        let long = ["a".repeat(60).as_str(); 5].join(".");
        for bad in [
            "",
            ".",
            "pop",
            "localhost",
            "pop.localhost",
            "127.0.0.1",
            "127.1",
            "0x7f.0.0.1",
            "a.0x7f",
            "2130706433",
            "\u{ff11}27.0.0.1",
            "::1",
            "[::1]",
            "pop.example.org:995",
            "pop.example.org\x1b[2J",
            "pop_example.org",
            "user@pop.example.org",
            "pop.example.org/x",
            "pop example.org",
            "pop..example.org",
            "..",
            "\u{202e}gro.x",
            "-pop.example.org",
            "*.example.org",
            &long,
        ] {
            assert_eq!(host_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_base_domain_is_what_somebody_registered() {
        for (host, base) in [
            ("pop.mail.example.co.uk", "example.co.uk"),
            ("mx.example.com", "example.com"),
            ("example.com.au", "example.com.au"),
            ("mail.example.xn--55qx5d.cn", "example.xn--55qx5d.cn"),
            ("co.uk", "co.uk"),
        ] {
            assert_eq!(base_domain(host), base);
        }
    }
}

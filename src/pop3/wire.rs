//! Bytes to values: replies, capabilities, rows of listings. No I/O.

use std::time::Duration;

use crate::printable::printable;

/// Longest status line, and longest line of CAPA, in bytes with its line end. RFC 2449 section 4 says 512.
pub(super) const LINE: usize = 8 << 10;
/// Longest UIDL in bytes. RFC 1939 section 7 says 70.
pub(super) const UIDL: usize = 1 << 10;
/// Longest row of a listing in bytes with its line end: a UIDL, a number, some blanks.
pub(super) const ROW: usize = UIDL + 32;
/// Most rows of a listing, whatever STAT says.
pub(super) const ROWS: u32 = 800_000;
/// Most rows that a listing may have beyond the count of STAT: mail may arrive between the two.
pub(super) const ROWS_BEYOND_STAT: u32 = 1_000;
/// Most bytes of memory that a listing takes: so many messages with UIDLs of 20 bytes. All that is made of it stays below
/// 64 MiB.
pub(super) const LISTING: usize = 22 << 20;
/// Most rows of a listing that UIDL and size do not tell apart: such messages are retrieved again at every listing.
pub(super) const ALIKE: usize = 150_000;
/// Most lines of CAPA.
pub(super) const CAPABILITY_LINES: usize = 256;

/// A status line (RFC 1939 section 3), or a server's challenge in AUTH (RFC 5034 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// With the text behind it.
    Ok(Vec<u8>),
    Err {
        code: Option<Code>,
        /// Escaped, without the response code.
        text: String,
    },
    /// With what the server says, in base64.
    Challenge(Vec<u8>),
}

impl Reply {
    /// `None` where `line`, which has lost its line end, is no reply at all.
    pub fn parse(line: &[u8]) -> Option<Reply> {
        if let Some(text) = after_keyword(line, b"+OK") {
            return Some(Reply::Ok(text.to_owned()));
        }
        if let Some(text) = after_keyword(line, b"-ERR") {
            let (code, text) = Code::split(text);
            return Some(Reply::Err { code, text: printable(text) });
        }
        let challenge = line.strip_prefix(b"+")?;
        (challenge.is_empty() || challenge.starts_with(b" "))
            .then(|| Reply::Challenge(challenge.trim_ascii().to_owned()))
    }
}

fn after_keyword<'a>(line: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(keyword.len())?;
    let ends = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (ends && start.eq_ignore_ascii_case(keyword)).then(|| rest.trim_ascii_start())
}

/// A response code that means something to a client (RFC 2449 section 8, RFC 3206 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    InUse,
    LoginDelay,
    SysTemp,
    SysPerm,
    Auth,
}

const CODES: [(&[u8], Code); 5] = [
    (b"[IN-USE]", Code::InUse),
    (b"[LOGIN-DELAY]", Code::LoginDelay),
    (b"[SYS/TEMP]", Code::SysTemp),
    (b"[SYS/PERM]", Code::SysPerm),
    (b"[AUTH]", Code::Auth),
];

impl Code {
    fn split(text: &[u8]) -> (Option<Code>, &[u8]) {
        for (name, code) in CODES {
            if let Some((start, rest)) = text.split_at_checked(name.len())
                && start.eq_ignore_ascii_case(name)
            {
                return (Some(code), rest.trim_ascii_start());
            }
        }
        (None, text)
    }
}

/// What STAT says of the mailbox (RFC 1939 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub count: u32,
    /// A hint, 0 where it cannot be read.
    pub octets: u64,
}

impl Stat {
    /// What follows the `+OK` of the reply; `None` where it has no count.
    pub fn parse(text: &[u8]) -> Option<Stat> {
        let mut words = words(text);
        let count = u32::try_from(number(words.next()?)?).ok()?;
        Some(Stat { count, octets: words.next().and_then(number).unwrap_or(0) })
    }

    /// How many rows a listing may have.
    pub(super) fn most_rows(self) -> u32 {
        self.count.saturating_add(ROWS_BEYOND_STAT).min(ROWS)
    }
}

/// A row of UIDL. The UIDL is empty where the server has none for the message.
pub fn uidl_row(row: &[u8]) -> Option<(u32, &[u8])> {
    let (number, uidl) = numbered(row)?;
    (uidl.len() <= UIDL).then_some((number, uidl))
}

/// A row of LIST; the size is `None` where it is no number of octets, or one that no message can have: the ledger's
/// numbers have 63 bits.
pub fn list_row(row: &[u8]) -> Option<(u32, Option<u64>)> {
    let (message, rest) = numbered(row)?;
    let size = words(rest).next().and_then(number);
    Some((message, size.filter(|size| i64::try_from(*size).is_ok())))
}

fn numbered(row: &[u8]) -> Option<(u32, &[u8])> {
    let end = row.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(row.len());
    let (digits, rest) = row.split_at(end);
    let message = u32::try_from(number(digits)?).ok().filter(|&message| message > 0)?;
    let text = rest.trim_ascii_start();
    (rest.is_empty() || text.len() < rest.len()).then_some((message, text))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let digits = plain.then(|| std::str::from_utf8(digits).ok())??;
    digits.parse().ok()
}

/// What a server says it can do (CAPA, RFC 2449). Empty where it does not know CAPA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub top: bool,
    pub user: bool,
    pub uidl: bool,
    pub pipelining: bool,
    pub resp_codes: bool,
    /// SASL mechanisms, in upper case.
    pub sasl: Vec<String>,
    /// The least time between two logins.
    pub login_delay: Option<Duration>,
    pub expire: Option<Expire>,
    /// Some of it may differ from user to user, and is to be asked for again after the login.
    pub(super) per_user: bool,
}

/// How long mail stays on the server (RFC 2449 section 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    Never,
    /// Days at the least; 0 means that mail may not be left there.
    Days(u32),
}

/// Most SASL mechanisms that are remembered, and the longest name of one (RFC 4422 section 3.1).
const MECHANISMS: usize = 64;
const MECHANISM: usize = 20;

impl Capabilities {
    /// Whether what was retrieved disappears, at the end of the session or before.
    pub fn retrieved_is_gone(&self) -> bool {
        self.expire == Some(Expire::Days(0))
    }

    pub(super) fn has_mechanism(&self, name: &str) -> bool {
        self.sasl.iter().any(|mechanism| mechanism == name)
    }

    /// Takes in one line; one that says nothing to us says nothing.
    pub fn learn(&mut self, line: &[u8]) {
        let mut words = words(line).map(|word| String::from_utf8_lossy(word).to_ascii_uppercase());
        let Some(tag) = words.next() else { return };
        let parameters: Vec<String> = words.take(MECHANISMS).collect();
        let first = parameters.first().map(String::as_str);
        let seconds_or_days = first.and_then(|word| word.parse::<u32>().ok());
        match tag.as_str() {
            "TOP" => self.top = true,
            "USER" => self.user = true,
            "UIDL" => self.uidl = true,
            "PIPELINING" => self.pipelining = true,
            "RESP-CODES" => self.resp_codes = true,
            "SASL" => {
                let names = parameters.into_iter().filter(|name| name.len() <= MECHANISM);
                self.sasl.extend(names.take(MECHANISMS - self.sasl.len().min(MECHANISMS)));
            }
            "LOGIN-DELAY" => {
                self.login_delay = seconds_or_days.map(|seconds| Duration::from_secs(seconds.into()));
                self.per_user |= says_user(&parameters);
            }
            "EXPIRE" => {
                self.expire = match first {
                    Some("NEVER") => Some(Expire::Never),
                    _ => seconds_or_days.map(Expire::Days),
                };
                self.per_user |= says_user(&parameters);
            }
            _ => {}
        }
    }
}

fn says_user(parameters: &[String]) -> bool {
    parameters.get(1).is_some_and(|word| word == "USER")
}

#[cfg(test)]
mod tests;

//! Single values: what a key's text means. Each error is a clause that can follow the key.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use toml::de::DeValue;

use super::fault::{quoted, suggestion};
use crate::net::{Pin, Tls};

pub type Read<T> = Result<T, String>;

pub fn text<'a>(value: &'a DeValue<'_>) -> Read<&'a str> {
    value.as_str().ok_or_else(|| format!("must be text in quotes, not {}", kind(value)))
}

/// Text that goes into a protocol's command, or names something: not empty, no control characters.
pub fn line<'a>(value: &'a DeValue<'_>) -> Read<&'a str> {
    one_line(text(value)?)
}

fn one_line(line: &str) -> Read<&str> {
    if line.is_empty() {
        return Err("must not be empty".into());
    }
    if line.contains(char::is_control) {
        return Err("holds a control character; take it out".into());
    }
    Ok(line)
}

/// How large a regular expression may become, in octets: it is compiled once, and kept.
const LARGEST_PATTERN: usize = 1 << 20;

/// <https://docs.rs/regex>: no pattern takes more than linear time.
pub fn pattern(value: &DeValue<'_>) -> Read<Regex> {
    let text = line(value)?;
    RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build().map_err(|fault| {
        // The last line says what is wrong; the others draw it.
        let fault = fault.to_string();
        let reason = fault.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("{} is not a regular expression ({reason})", quoted(text))
    })
}

/// The name of a field of a message's header (RFC 5322 section 3.6.8).
pub fn header_field<'a>(value: &'a DeValue<'_>) -> Read<&'a str> {
    let name = text(value)?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    is_name.then_some(name).ok_or_else(|| {
        format!("{} is not the name of a header field; write it like \"Delivered-To\"", quoted(name))
    })
}

/// An IMAP folder, in Unicode with `/` between the levels.
pub fn folder(text: &str) -> Read<&str> {
    let folder = one_line(text)?;
    if folder.split('/').any(str::is_empty) {
        return Err(format!("{} has an empty level; write it like \"Archive/Work\"", quoted(folder)));
    }
    Ok(folder)
}

/// Most labels of a message, and the most characters of each: Gmail's bound, with the levels above it.
const MOST_LABELS: usize = 10;
const LONGEST_LABEL: usize = 225;

/// Names of labels, each once.
pub fn labels<'t>(names: impl Iterator<Item = Read<&'t str>>) -> Read<Vec<String>> {
    let mut labels: Vec<String> = Vec::new();
    for name in names {
        let name = label(name?)?;
        if !labels.iter().any(|label| label == name) {
            labels.push(name.to_owned());
        }
    }
    if labels.len() > MOST_LABELS {
        return Err(format!("has {} labels; {MOST_LABELS} is the most", labels.len()));
    }
    Ok(labels)
}

/// A label of a person's own: what is Gmail's own has a folder, or is set otherwise.
fn label(text: &str) -> Read<&str> {
    let label = folder(text)?;
    let first = label.split('/').next().unwrap_or_default();
    if label.starts_with('\\')
        || ["inbox", "[gmail]", "[google mail]"].contains(&first.to_ascii_lowercase().as_str())
    {
        return Err(format!(
            "{} is a label of Gmail's own; name one of yours, such as \"Old address\"",
            quoted(label)
        ));
    }
    if label.contains(',') {
        return Err(format!("{} has a comma, which separates labels where people type them", quoted(label)));
    }
    if label.chars().count() > LONGEST_LABEL {
        return Err(format!(
            "{} is too long for a label; {LONGEST_LABEL} characters is the most",
            quoted(label)
        ));
    }
    Ok(label)
}

pub fn flag(value: &DeValue<'_>) -> Read<bool> {
    value.as_bool().ok_or_else(|| format!("must be true or false, without quotes, not {}", kind(value)))
}

pub fn whole(value: &DeValue<'_>, range: RangeInclusive<u64>) -> Read<u64> {
    let number = integer(value).filter(|number| range.contains(number));
    number.ok_or_else(|| {
        format!("must be a whole number from {} to {}, without quotes", range.start(), range.end())
    })
}

pub fn port(value: &DeValue<'_>) -> Read<u16> {
    u16::try_from(whole(value, 1..=u64::from(u16::MAX))?).map_err(|e| e.to_string())
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// One of the words of `choices`.
pub fn choice<T: Copy>(value: &DeValue<'_>, choices: &[(&str, T)]) -> Read<T> {
    let word = text(value)?;
    let found = choices.iter().find(|(name, _)| *name == word);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("{} is not known; {}", quoted(word), suggestion(word, &names))
    })
}

pub fn tls(value: &DeValue<'_>) -> Read<Tls> {
    choice(value, &[("implicit", Tls::Implicit), ("starttls", Tls::StartTls), ("none", Tls::None)])
}

/// A duration within `range`, such as "90s", "5m", "1h30m", "14d" or "2w".
pub fn duration(value: &DeValue<'_>, range: RangeInclusive<Duration>) -> Read<Duration> {
    let form = "write it like \"5m\" or \"1h30m\"";
    if let Some(number) = integer(value) {
        return Err(format!("{number} has no unit; {form}, with one of s, m, h, d, w"));
    }
    let text = text(value)?;
    let duration =
        parse_duration(text).ok_or_else(|| format!("{} is not a duration; {form}", quoted(text)))?;
    if duration < *range.start() {
        return Err(format!("{} is too short; it must be at least {}", quoted(text), shown(*range.start())));
    }
    if duration > *range.end() {
        return Err(format!("{} is too long; it must be at most {}", quoted(text), shown(*range.end())));
    }
    Ok(duration)
}

const UNITS: [(char, u64); 5] = [('w', 7 * 24 * 3600), ('d', 24 * 3600), ('h', 3600), ('m', 60), ('s', 1)];

pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    // Each unit at most once, the larger first: "1m1h" is more likely a slip than a duration.
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let (_, length) = units.find(|(name, _)| *name == unit)?;
        seconds = seconds.checked_add(number.checked_mul(*length)?)?;
        rest = rest[digits + unit.len_utf8()..].trim_start();
    }
    Some(Duration::from_secs(seconds))
}

fn shown(duration: Duration) -> String {
    format!("\"{}\"", spelled(duration))
}

/// As [`duration`] reads it, in whole seconds.
pub fn spelled(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    text
}

/// A size in octets within `range`: 26214400, "25 MiB" or "25M", both of 2^20, or "25 MB" of 10^6.
pub fn size(value: &DeValue<'_>, range: RangeInclusive<u64>) -> Read<u64> {
    let fault = |what: String| format!("{what} is not a size; write it like \"25 MiB\" or \"150M\"");
    let (octets, written) = match (integer(value), value.as_str()) {
        (Some(octets), _) => (octets, octets.to_string()),
        (None, Some(text)) => (parse_size(text).ok_or_else(|| fault(quoted(text)))?, quoted(text)),
        (None, None) => return Err(fault(kind(value).into())),
    };
    if range.contains(&octets) {
        return Ok(octets);
    }
    Err(format!("{written} is out of range; it must be from {} to {} octets", range.start(), range.end()))
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A host by its name or address. The brackets of an IPv6 address are for URLs and taken off.
pub fn host(value: &DeValue<'_>) -> Read<String> {
    let host = line(value)?;
    if let Some((name, port)) = host.rsplit_once(':')
        && !name.contains(':')
        && port.parse::<u16>().is_ok()
    {
        return Err(format!(
            "{} holds a port; write host = {} and port = {port}",
            quoted(host),
            quoted(name)
        ));
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let is_name = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if bare.parse::<std::net::Ipv6Addr>().is_ok() || host.chars().all(is_name) {
        return Ok(bare.to_owned());
    }
    Err(format!("{} is not a host; write its name alone, like \"pop.example.com\"", quoted(host)))
}

pub fn pin(value: &DeValue<'_>) -> Read<Pin> {
    let text = text(value)?;
    parse_pin(text).ok_or_else(|| {
        format!(
            "{} is not a fingerprint; write \"sha256:\" and the 64 hexadecimal digits \
             that `openssl x509 -noout -fingerprint -sha256` prints",
            quoted(text)
        )
    })
}

fn parse_pin(text: &str) -> Option<Pin> {
    let digits: Vec<u8> = text
        .strip_prefix("sha256:")?
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    Some(Pin(bytes.try_into().ok()?))
}

pub fn listen(value: &DeValue<'_>) -> Read<SocketAddr> {
    let text = text(value)?;
    text.parse()
        .map_err(|_| format!("{} is not an address and port; write it like \"127.0.0.1:8025\"", quoted(text)))
}

/// A webhook's address.
pub struct Url {
    pub text: String,
    /// Its host, where it is plain `http`.
    pub plaintext_to: Option<String>,
    /// It bears a user and perhaps a password, for Basic authentication.
    pub has_login: bool,
}

/// No error quotes the address: it may bear a token or a password.
pub fn url(value: &DeValue<'_>) -> Read<Url> {
    let form = "write it like \"https://app.example.org/inbound\"";
    let text = line(value)?;
    let lower = text.to_ascii_lowercase();
    let (is_plain, rest) = match (lower.strip_prefix("https://"), lower.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(format!("is not a web address; {form}")),
    };
    // A backslash counts as a slash for browsers and their URL parsers, so the host would not be what it seems.
    if text.contains(|c: char| c.is_whitespace() || c == '\\') {
        return Err("holds a space or a backslash; write it percent-encoded".into());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => address,
    };
    if host.is_empty() {
        return Err(format!("has no host; {form}"));
    }
    let plaintext_to = is_plain.then(|| host.to_owned());
    Ok(Url { text: text.to_owned(), plaintext_to, has_login: !login.is_empty() })
}

pub fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

//! `when`: which messages an entry of `deliver` takes.

use toml::de::DeValue;

use super::section::Section;
use super::{keys, value};
use crate::message::{Pattern, Test, When};

const EXAMPLE: &str = "{ header = \"To\", contains = \"support@\" }";

/// What stands under `when`. `None` where something is wrong with it, which is on record.
pub fn when(entry: &Section<'_>) -> Option<When> {
    any(entry, "when")
}

/// Of several tables one is enough.
fn any(section: &Section<'_>, key: &str) -> Option<When> {
    joined(section, key, When::Any)
}

fn joined(section: &Section<'_>, key: &str, join: fn(Vec<When>) -> When) -> Option<When> {
    let tables = section.one_or_more(key, EXAMPLE);
    let read: Vec<Option<When>> = tables.iter().map(condition).collect();
    let mut parts = read.into_iter().collect::<Option<Vec<When>>>().filter(|parts| !parts.is_empty())?;
    Some(if parts.len() == 1 { parts.remove(0) } else { join(parts) })
}

/// One table: all of its keys must hold.
fn condition(table: &Section<'_>) -> Option<When> {
    table.only(&[keys::WHEN]);
    let names = table.names();
    if names.is_empty() {
        table.fault("", format!("says nothing; write {EXAMPLE}, or take it out"));
        return None;
    }
    let mut parts = Vec::new();
    let tests = ["equals", "contains", "matches"];
    if names.iter().any(|name| *name == "header" || tests.contains(name)) {
        parts.push(header(table));
    }
    for name in names {
        parts.push(match name {
            "larger" => table.read(name, octets).map(When::Larger),
            "smaller" => table.read(name, octets).map(When::Smaller),
            "attachment" => table.read(name, value::flag).map(When::Attachment),
            "all" => joined(table, name, When::All),
            "any" => any(table, name),
            "not" => any(table, name).map(|part| When::Not(Box::new(part))),
            _ => continue,
        });
    }
    let mut parts = parts.into_iter().collect::<Option<Vec<When>>>().filter(|parts| !parts.is_empty())?;
    Some(if parts.len() == 1 { parts.remove(0) } else { When::All(parts) })
}

fn header(table: &Section<'_>) -> Option<When> {
    let name = table.need("header", "\"NAME\", the NAME of a header field", value::header_field)?.to_owned();
    let tests = ["equals", "contains", "matches"].into_iter().filter(|key| table.has(key));
    let test = match tests.collect::<Vec<_>>()[..] {
        [] => Test::Exists,
        ["equals"] => Test::Equals(table.read("equals", value::text)?.to_owned()),
        ["contains"] => Test::Contains(table.read("contains", value::line)?.to_owned()),
        ["matches"] => Test::Matches(Pattern(table.read("matches", value::pattern)?)),
        [first, second, ..] => {
            let text =
                format!("and {first} are both given; keep one of them, or write all = [...] or any = [...]");
            table.fault(second, text);
            return None;
        }
        [_] => return None,
    };
    Some(When::Header { name, test })
}

fn octets(value: &DeValue<'_>) -> value::Read<u64> {
    value::size(value, 1..=4 << 30)
}

//! A listing in parts: so many rows as one transaction takes in.

use std::ops::Range;

use serde_json::json;

use super::columns::{int, list, push_hex};
use crate::message::{Alike, Listed, Listing};

/// Rows of a listing as they go to the database. Positions count from 1 in each part.
pub(super) struct Part {
    /// Where these rows are in the listing, counted from 0.
    pub places: Range<usize>,
    /// `{"<uidl>": size, ...}`: an object with UIDLs for its names is parsed once, not once a row.
    pub rows: String,
    /// `[[position, group, nth], ...]` of those that UIDL and size do not tell apart; `None` where there are none.
    pub alike: Option<String>,
    /// `[position, ...]` of those that are wanted; `None` wants all.
    pub wanted: Option<String>,
}

pub(super) struct Parts<'l> {
    listing: &'l Listing,
    alike: &'l Alike,
    fresh: Option<&'l [u32]>,
    /// Rows so far.
    done: usize,
}

/// Most rows in a part. Each may change another page of an index, and what a page was like before is kept in memory until
/// the part is taken in.
const ROWS: usize = 1_000;

/// Parameters of this size, whatever a server sends.
const OCTETS: usize = 256 << 10;

impl<'l> Parts<'l> {
    /// `fresh` are the numbers, sorted, of what is wanted.
    pub fn of(listing: &'l Listing, alike: &'l Alike, fresh: Option<&'l [u32]>) -> Parts<'l> {
        Parts { listing, alike, fresh, done: 0 }
    }

    /// Takes as many rows as go together.
    fn rows(&mut self) -> String {
        let mut rows = String::new();
        for Listed { uidl, size, .. } in self.listing.from(self.done).take(ROWS) {
            rows.push_str(if rows.is_empty() { "{\"" } else { ",\"" });
            push_hex(&mut rows, uidl);
            rows.push_str("\":");
            rows.push_str(&size.map_or_else(|| "null".to_owned(), |size| int(size).to_string()));
            self.done += 1;
            if rows.len() > OCTETS {
                break;
            }
        }
        rows.push('}');
        rows
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let first = self.done;
        if first == self.listing.len() {
            return None;
        }
        let rows = self.rows();
        let places = first..self.done;
        let alike = self.alike.at(places.clone());
        let alike = (!alike.is_empty()).then(|| {
            list(alike.iter().map(|one| json!([one.place as usize - first + 1, one.group, one.nth])))
        });
        let wanted = self.fresh.map(|fresh| {
            let rows = self.listing.from(first).take(places.len());
            let wanted = (1..).zip(rows).filter(|(_, row)| fresh.binary_search(&row.number).is_ok());
            list(wanted.map(|(position, _): (u32, _)| position))
        });
        Some(Part { places, rows, alike, wanted })
    }
}

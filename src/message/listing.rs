//! A mailbox as its server lists it. A million messages must fit into little memory, so no row owns anything.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// One row of a [`Listing`]: a message as its server announces it in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'l> {
    /// The message-number, good for this session only.
    pub number: u32,
    /// The bytes of its [`Uidl`](super::Uidl): none where the server has none for it.
    pub uidl: &'l [u8],
    /// Octets according to LIST: a hint. `None` where LIST was not asked, left the row out, or said nearly 4 GiB or more.
    pub size: Option<u64>,
}

/// The messages of a mailbox, in the server's order. Each takes 8 bytes beside its UIDL, and 4 more where the server does
/// not count its messages from 1.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Listing {
    rows: Vec<Row>,
    /// One behind the other.
    uidls: Vec<u8>,
    /// Of each row, unless they are 1, 2, 3 and so on.
    numbers: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// Where its UIDL ends; it begins where that of the row before it ends.
    end: u32,
    size: u32,
}

/// No size: LIST has not said anything of this message.
const UNTOLD: u32 = u32::MAX;
/// No size either: it has, but nothing that fits.
const UNKNOWN: u32 = u32::MAX - 1;

impl Listing {
    /// Appends a row. `None` where all UIDLs together would take 4 GiB or more.
    pub fn push(&mut self, row: Listed<'_>) -> Option<()> {
        let end = u32::try_from(self.uidls.len() + row.uidl.len()).ok()?;
        self.uidls.extend_from_slice(row.uidl);
        if !self.numbers.is_empty() || row.number != number_at(self.len()) {
            self.numbers.extend((self.numbers.len()..self.len()).map(number_at));
            self.numbers.push(row.number);
        }
        self.rows.push(Row { end, size: row.size.map_or(UNTOLD, compact) });
        Some(())
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Listed<'_>> + ExactSizeIterator {
        self.from(0)
    }

    /// The rows from this place on, counted from 0.
    pub fn from(&self, place: usize) -> impl DoubleEndedIterator<Item = Listed<'_>> + ExactSizeIterator {
        (place..self.len()).map(|place| self.row(place))
    }

    fn row(&self, place: usize) -> Listed<'_> {
        let Row { end, size } = self.rows[place];
        let number = self.numbers.get(place).copied().unwrap_or_else(|| number_at(place));
        let start = place.checked_sub(1).map_or(0, |before| self.rows[before].end);
        let uidl = &self.uidls[start as usize..end as usize];
        Listed { number, uidl, size: (size < UNKNOWN).then_some(size.into()) }
    }

    /// A number that two rows have, though none may.
    pub fn repeated_number(&self) -> Option<u32> {
        let mut numbers = self.numbers.clone();
        numbers.sort_unstable();
        numbers.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }

    /// Forgets all sizes, and takes in what LIST says of them.
    pub fn sizes(&mut self) -> Sizes<'_> {
        self.rows.iter_mut().for_each(|row| row.size = UNTOLD);
        let mut by_number: Vec<u32> = (0..).take(self.numbers.len()).collect();
        by_number.sort_unstable_by_key(|&place| self.numbers[place as usize]);
        Sizes { rows: &mut self.rows, numbers: &self.numbers, by_number }
    }
}

/// As servers count: from 1.
fn number_at(place: usize) -> u32 {
    u32::try_from(place + 1).unwrap_or(u32::MAX)
}

fn compact(size: u64) -> u32 {
    u32::try_from(size).map_or(UNKNOWN, |size| size.min(UNKNOWN))
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Where a listing's sizes go, in whatever order they come.
#[derive(Debug)]
pub struct Sizes<'l> {
    rows: &'l mut [Row],
    /// As in the listing, and the places of its rows in the order of their numbers.
    numbers: &'l [u32],
    by_number: Vec<u32>,
}

impl Sizes<'_> {
    /// Notes what LIST says of a message; of one that is not in the listing nothing, it has come in since. `None` where
    /// LIST has said something of this message before.
    pub fn note(&mut self, number: u32, size: Option<u64>) -> Option<()> {
        let Some(row) = self.place(number).and_then(|place| self.rows.get_mut(place)) else {
            return Some(());
        };
        let is_first = row.size == UNTOLD;
        row.size = size.map_or(UNKNOWN, compact);
        is_first.then_some(())
    }

    fn place(&self, number: u32) -> Option<usize> {
        if self.numbers.is_empty() {
            return (number as usize).checked_sub(1);
        }
        let at = self.by_number.binary_search_by_key(&number, |&place| self.numbers[place as usize]);
        Some(self.by_number[at.ok()?] as usize)
    }
}

/// The messages of a listing that UIDL and size do not tell apart: only their content does.
#[derive(Debug)]
pub struct Alike {
    /// In the listing's order.
    messages: Vec<AlikeMessage>,
    /// Several messages have one UIDL, whatever their sizes.
    pub has_shared_uidl: bool,
}

/// One of several messages that UIDL and size do not tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlikeMessage {
    /// In the listing, counted from 0.
    pub place: u32,
    /// The place of the first of them.
    pub group: u32,
    /// Which of them it is, counted from 1.
    pub nth: u32,
}

impl Alike {
    pub fn of(listing: &Listing) -> Alike {
        let row = |&place: &u32| listing.row(place as usize);
        let mut suspects = perhaps_shared(listing);
        suspects.sort_unstable_by_key(|place| (row(place).uidl, row(place).size, *place));
        let (mut messages, mut has_shared_uidl) = (Vec::new(), false);
        for bearers in suspects.chunk_by(|a, b| row(a).uidl == row(b).uidl) {
            let first = row(&bearers[0]);
            let is_shared = bearers.len() > 1;
            has_shared_uidl |= is_shared;
            // A blank UIDL tells nothing, and a size that is not known, which sorts first, may be any of them.
            let all = first.uidl.is_empty() || is_shared && first.size.is_none();
            for alike in bearers.chunk_by(|a, b| row(a).size == row(b).size) {
                if all || alike.len() > 1 {
                    let group = alike[0];
                    messages.extend((1..).zip(alike).map(|(nth, &place)| AlikeMessage { place, group, nth }));
                }
            }
        }
        messages.sort_unstable();
        Alike { messages, has_shared_uidl }
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Those at these places of the listing.
    pub fn at(&self, places: Range<usize>) -> &[AlikeMessage] {
        let before = |end: usize| self.messages.partition_point(|one| (one.place as usize) < end);
        &self.messages[before(places.start)..before(places.end)]
    }
}

/// Places of all rows whose UIDL is blank or another row's as well, and perhaps a few more: hashes are sorted in no time,
/// a million UIDLs are not.
fn perhaps_shared(listing: &Listing) -> Vec<u32> {
    let hasher = RandomState::new();
    // Half of a hash will do, and takes half the memory.
    let hash = |uidl: &[u8]| u32::try_from(hasher.hash_one(uidl) >> 32).unwrap_or_default();
    let mut hashes: Vec<u32> = listing.iter().map(|row| hash(row.uidl)).collect();
    hashes.sort_unstable();
    let shared: Vec<u32> = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    drop(hashes);
    let is_suspect = |uidl: &[u8]| uidl.is_empty() || shared.binary_search(&hash(uidl)).is_ok();
    (0..).zip(listing.iter()).filter(|(_, row)| is_suspect(row.uidl)).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(rows: &[(&str, Option<u64>)]) -> Listing {
        let mut listing = Listing::default();
        for (number, (uidl, size)) in (1..).zip(rows) {
            listing.push(Listed { number, uidl: uidl.as_bytes(), size: *size }).unwrap();
        }
        listing
    }

    /// Place, group and nth of those alike, and whether a UIDL is shared.
    fn alike(rows: &[(&str, Option<u64>)]) -> (Vec<(u32, u32, u32)>, bool) {
        let Alike { messages, has_shared_uidl } = Alike::of(&listing(rows));
        (messages.iter().map(|one| (one.place, one.group, one.nth)).collect(), has_shared_uidl)
    }

    #[test]
    fn rows_come_back_as_they_went_in() {
        let rows = [("a", Some(0)), ("", None), ("long-one", Some(4_000_000_000)), ("", Some(7))];
        let listing = listing(&rows);
        assert_eq!((listing.len(), listing.is_empty()), (4, false));
        let back: Vec<_> =
            listing.iter().map(|row| (std::str::from_utf8(row.uidl).unwrap(), row.size)).collect();
        assert_eq!(back, rows);
        assert_eq!(listing.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(listing.from(3).next().unwrap().size, Some(7));
        assert_eq!(listing.from(4).len(), 0);
    }

    #[test]
    fn sizes_find_their_rows_in_any_order() {
        let mut listing = Listing::default();
        for number in [1, 7, 3, 9] {
            listing.push(Listed { number, uidl: b"u", size: Some(1) }).unwrap();
        }
        let mut sizes = listing.sizes();
        for (number, size) in [(9, Some(90)), (2, Some(20)), (7, Some(u64::MAX)), (1, None), (2, None)] {
            assert_eq!(sizes.note(number, size), Some(()), "{number}");
        }
        for again in [9, 7, 1] {
            assert_eq!(sizes.note(again, Some(5)), None, "{again} was told before");
        }
        let mut sizes = listing.sizes();
        sizes.note(3, Some(30));
        let told: Vec<_> = listing.iter().map(|row| row.size).collect();
        assert_eq!(told, [None, None, Some(30), None], "what was told before is forgotten");
    }

    #[test]
    fn numbers_may_be_any_but_each_only_once() {
        for (numbers, repeated) in [
            (vec![1, 2, 3], None),
            (vec![1, 2, 4], None),
            (vec![3, 2, 1], None),
            (vec![1, 2, 2], Some(2)),
            (vec![2, 1, 2], Some(2)),
            (vec![1, 1], Some(1)),
        ] {
            let mut listing = Listing::default();
            for &number in &numbers {
                listing.push(Listed { number, uidl: b"u", size: None }).unwrap();
            }
            assert_eq!(listing.iter().map(|row| row.number).collect::<Vec<_>>(), numbers);
            assert_eq!(listing.repeated_number(), repeated, "{numbers:?}");
            let mut sizes = listing.sizes();
            for number in [2, 9, 1] {
                sizes.note(number, Some(number.into())).unwrap();
            }
            for row in listing.iter().filter(|_| repeated.is_none()) {
                assert_eq!(
                    row.size,
                    [1, 2].contains(&row.number).then_some(row.number.into()),
                    "{numbers:?}"
                );
            }
        }
    }

    #[test]
    fn what_uidl_and_size_tell_apart_is_not_alike() {
        assert_eq!(alike(&[("a", Some(1)), ("b", Some(1)), ("c", None)]), (vec![], false));
        assert_eq!(alike(&[("a", Some(1)), ("a", Some(2))]), (vec![], true));
    }

    #[test]
    fn those_alike_are_counted_in_the_order_of_the_listing() {
        let mixed = [("b", Some(9)), ("a", Some(1)), ("b", Some(9)), ("a", Some(1)), ("a", Some(2))];
        assert_eq!(alike(&mixed), (vec![(0, 0, 1), (1, 1, 1), (2, 0, 2), (3, 1, 2)], true));
        let with_one_unknown = [("a", None), ("a", Some(2)), ("a", Some(2)), ("b", None)];
        assert_eq!(alike(&with_one_unknown), (vec![(0, 0, 1), (1, 1, 1), (2, 1, 2)], true));
        assert_eq!(alike(&[("", Some(1)), ("a", Some(1))]), (vec![(0, 0, 1)], false), "blank tells nothing");
        let alike = Alike::of(&listing(&mixed));
        let at = |places| alike.at(places).iter().map(|one| one.place).collect::<Vec<_>>();
        assert_eq!((at(1..3), at(4..9), alike.len()), (vec![1, 2], vec![], 4));
    }
}

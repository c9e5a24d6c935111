//! Each known attack (A), quirk of a server (Q, D) and crash window (W) ends as a test, or as a line in
//! tests/NOT-COVERED.md with the reason.

use std::collections::HashSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// The numbers in use.
const ITEMS: [(char, usize, &[RangeInclusive<usize>]); 4] = [
    ('A', 2, &[1..=15, 20..=28, 30..=34]),
    ('Q', 2, &[1..=10, 20..=28, 30..=42]),
    ('D', 2, &[1..=18]),
    ('W', 1, &[1..=16]),
];

#[test]
fn every_item_is_named_where_it_is_shown() {
    let mut texts = String::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut texts);
    let words: Vec<&str> =
        texts.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // "W1 to W16" names a table, and shows nothing.
    let is_end_of_range = |n: usize| {
        let next = |at: Option<usize>| at.and_then(|at| words.get(at)).copied();
        next(n.checked_sub(1)) == Some("to") || next(Some(n + 1)) == Some("to")
    };
    let named = words.iter().enumerate().filter(|(n, _)| !is_end_of_range(*n));
    let words: HashSet<&str> = named.map(|(_, word)| *word).collect();
    let items = ITEMS.iter().flat_map(|(letter, width, ranges)| {
        ranges.iter().cloned().flatten().map(move |number| format!("{letter}{number:0width$}"))
    });
    let unnamed: Vec<String> = items.filter(|item| !words.contains(item.as_str())).collect();
    assert!(unnamed.is_empty(), "named in no test and not in tests/NOT-COVERED.md: {}", unnamed.join(", "));
}

/// The tests, the dialogs, and what says why there is none; but not this file.
fn collect(folder: &Path, texts: &mut String) {
    for row in fs::read_dir(folder).unwrap() {
        let path = row.unwrap().path();
        let is_text =
            path.extension().is_some_and(|end| ["rs", "dialog", "md"].iter().any(|known| *known == end));
        let is_made = path.ends_with("target") || path.ends_with("corpus");
        if path.is_dir() && !is_made {
            collect(&path, texts);
        } else if is_text && !path.ends_with("items.rs") {
            *texts += &String::from_utf8_lossy(&fs::read(&path).unwrap());
        }
    }
}

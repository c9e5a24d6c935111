//! The corpora of the fuzzer (`tests/fuzz`), replayed: what it found once stays found.

use std::fs;

#[path = "../fuzz/src/lib.rs"]
mod targets;

fn replay(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let mut inputs = 0;
    for entry in fs::read_dir(format!("tests/fuzz/corpus/{name}")).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        target(&fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 5, "the corpus of {name} has {inputs} inputs: is it all there?");
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn folder() {
    replay("folder");
}

#[test]
fn header() {
    replay("header");
}

#[test]
fn imap() {
    replay("imap");
}

#[test]
fn pop3() {
    replay("pop3");
}

#[test]
fn replies() {
    replay("replies");
}

#[test]
fn unstuffer() {
    replay("unstuffer");
}

#[test]
fn wire() {
    replay("wire");
}

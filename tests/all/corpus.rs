//! The 6,046 real messages that `tests/run` puts into target/corpus.

use std::fs;
use std::path::{Path, PathBuf};

/// How many messages the corpus holds; `tests/corpus` refuses any other number.
pub const CORPUS_SIZE: usize = 6_046;

/// Every message of the corpus, as it lies in its file, ordered by path.
pub fn corpus() -> Vec<Vec<u8>> {
    corpus_files().into_iter().map(|(_, message)| message).collect()
}

/// The same, each with its path in the corpus.
pub fn corpus_files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/corpus/messages");
    assert!(
        folder.is_dir(),
        "the corpus is not here: run tests/run (or tests/corpus alone), which fetches it"
    );
    let mut files = message_files(&folder);
    files.sort();
    assert_eq!(files.len(), CORPUS_SIZE, "target/corpus is not whole: delete it and run tests/run");
    let name = |file: &Path| file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|file| (name(file), fs::read(file).unwrap())).collect()
}

/// A message as POP3 hands it out: line ends are CRLF, and there is one at the end.
pub fn on_the_wire(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 512);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        bytes.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn message_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { message_files(&path) } else { vec![path] }).collect()
}

/// The mbox line before a header is not mail: delivered, it would sit in a mailbox as a broken header.
#[test]
fn corpus_holds_messages_without_their_mbox_line() {
    for message in corpus() {
        assert!(!message.starts_with(b"From "), "{:?}", String::from_utf8_lossy(&message[..40]));
        assert!(message.len() > 100);
    }
}

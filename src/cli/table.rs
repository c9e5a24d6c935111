//! Columns for a person to read, and the sentences that are too long for one.

use std::io::IsTerminal;

use console::Style;

/// One row. Its note, a sentence or more, stands below it.
pub struct Row {
    pub cells: Vec<String>,
    pub note: Option<String>,
    /// Of the word in the last column; where that is of numbers, of the note.
    pub look: Look,
}

/// What catches the eye, where standard output is a terminal with colours and nobody wants none (NO_COLOR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Plain,
    /// It will pass, or somebody wants it so.
    Wary,
    Bad,
}

impl Look {
    fn paint(self, text: &str) -> String {
        match self {
            Look::Plain => text.to_owned(),
            Look::Wary => Style::new().yellow().apply_to(text).to_string(),
            Look::Bad => Style::new().red().apply_to(text).to_string(),
        }
    }
}

/// What a note begins with.
const INDENT: &str = "    ";

/// Columns as wide as they must be. A head that begins with `>` is of numbers, which stand at the right of their column; one
/// that begins with `~` is of names, which are shortened where the table is wider than `width`. Notes are wrapped there;
/// without a width each is a line.
pub fn table(heads: &[&str], rows: impl Iterator<Item = Row>, width: Option<usize>) -> String {
    let heading = heads.iter().map(|head| head.trim_start_matches(['>', '~']).to_owned()).collect();
    let mut lines = vec![Row { cells: heading, note: None, look: Look::Plain }];
    lines.extend(rows);
    let longest = |column: usize| lines.iter().map(|line| line.cells[column].chars().count()).max();
    let mut widths: Vec<usize> = (0..heads.len()).map(|column| longest(column).unwrap_or(0)).collect();
    if let Some(width) = width {
        narrow(&mut widths, heads, width);
    }
    for line in &mut lines {
        for (cell, width) in line.cells.iter_mut().zip(&widths) {
            *cell = shortened(cell, *width);
        }
    }
    let ends_with_word = heads.last().is_some_and(|head| !head.starts_with('>'));
    let mut text = String::new();
    for line in &lines {
        let (word, note) = if ends_with_word { (line.look, Look::Plain) } else { (Look::Plain, line.look) };
        text += &row(&line.cells, &widths, heads, word);
        text.push('\n');
        for part in line.note.iter().flat_map(|note| wrap(note, width.unwrap_or(usize::MAX))) {
            text += &format!("{INDENT}{}\n", note.paint(&part));
        }
    }
    text
}

/// No name is shortened to fewer letters.
const SHORTEST: usize = 12;

/// Takes from the widest column of names, until all fit into `width` or none can be narrower.
fn narrow(widths: &mut [usize], heads: &[&str], width: usize) {
    loop {
        let all = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let names = widths.iter_mut().zip(heads).filter(|(_, head)| head.starts_with('~'));
        match names.map(|(width, _)| width).max_by_key(|width| **width) {
            Some(widest) if all > width && *widest > SHORTEST => *widest -= 1,
            _ => return,
        }
    }
}

/// A name with its middle left out: both ends tell names apart.
fn shortened(name: &str, width: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= width {
        return name.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    letters[..head].iter().chain(&['\u{2026}']).chain(&letters[letters.len() - tail..]).collect()
}

/// The last cell is painted, and what is painted needs no blanks behind it: they would not count.
fn row(cells: &[String], widths: &[usize], heads: &[&str], look: Look) -> String {
    let mut row = String::new();
    for ((cell, width), head) in cells.iter().zip(widths).zip(heads) {
        row += &match head.starts_with('>') {
            true => format!("{cell:>width$}  "),
            false => format!("{cell:width$}  "),
        };
    }
    let row = row.trim_end();
    match cells.last().and_then(|last| Some((row.strip_suffix(last.as_str())?, last))) {
        Some((before, last)) => format!("{before}{}", look.paint(last)),
        None => row.to_owned(),
    }
}

/// Lines that end with a word, and have room for the indent. A longer word has one to itself.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let room = width.saturating_sub(INDENT.len());
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// How much a terminal shows.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// Of the terminal that standard output is; `None` where it is none, so that a script gets whole lines.
pub fn terminal_size() -> Option<Size> {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten()?;
    // A terminal that does not know its size has that of a VT100.
    let known = |size: u16, other: usize| if size == 0 { other } else { usize::from(size) };
    Some(Size { columns: known(size.ws_col, 80), rows: known(size.ws_row, 24) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> impl Iterator<Item = Row> {
        let row = |cells: [&str; 3], note: Option<&str>| Row {
            cells: cells.map(str::to_owned).to_vec(),
            note: note.map(str::to_owned),
            look: Look::Plain,
        };
        let note = "the login was refused: check `user` and `password`";
        [row(["work", "7", "failing"], Some(note)), row(["home", "1,200", "ok"], None)].into_iter()
    }

    #[test]
    fn numbers_stand_at_the_right_and_no_word_is_broken() {
        assert_eq!(
            table(&["ACCOUNT", ">NEW", "STATE"], rows(), Some(30)),
            "ACCOUNT    NEW  STATE\n\
             work         7  failing\n    the login was refused:\n    check `user` and\n    `password`\n\
             home     1,200  ok\n"
        );
    }

    #[test]
    fn a_long_name_makes_no_table_too_wide() {
        let long = |cells: [&str; 3]| Row {
            cells: cells.map(str::to_owned).to_vec(),
            note: None,
            look: Look::Plain,
        };
        let rows = || {
            [long(["accounts.payable@subsidiary.example.com", "7", "ok"]), long(["work", "7", "ok"])]
                .into_iter()
        };
        let heads = ["~ACCOUNT", ">NEW", "STATE"];
        let text = table(&heads, rows(), Some(32));
        assert!(text.contains("\naccounts.p\u{2026}ample.com    7  ok\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 32), "{text}");
        assert!(table(&heads, rows(), None).contains("subsidiary"), "a script gets whole names");
        let text = table(&heads, rows(), Some(5));
        assert!(text.contains("\naccoun\u{2026}e.com    7  ok\n"), "as much as tells names apart: {text}");
    }

    #[test]
    fn a_script_gets_whole_lines() {
        let text = table(&["ACCOUNT", ">NEW", "STATE"], rows(), None);
        assert!(text.contains("\n    the login was refused: check `user` and `password`\n"), "{text}");
    }
}

//! Columns for a person to read.

/// Columns as wide as they must be; the last one as long as it likes. A head that begins with `>` is of numbers, which
/// stand at the right of their column.
pub fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines =
        vec![heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for ((cell, width), head) in line.iter().zip(&widths).zip(heads) {
            row += &match head.starts_with('>') {
                true => format!("{cell:>width$}  "),
                false => format!("{cell:width$}  "),
            };
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right() {
        let rows =
            [vec!["work".into(), "7".into(), "ok".into()], vec!["home".into(), "1,200".into(), "ok".into()]];
        assert_eq!(
            table(&["ACCOUNT", ">NEW", "STATE"], rows.into_iter()),
            "ACCOUNT    NEW  STATE\n\
             work         7  ok\n\
             home     1,200  ok\n"
        );
    }
}

//! Rows of text in columns.

/// Rows below their heads. The first column stands to the left, the others to the right; one that is empty in every row is
/// left out.
pub fn table<const COLUMNS: usize>(heads: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let rows: Vec<[&str; COLUMNS]> = rows.iter().map(|row| row.each_ref().map(String::as_str)).collect();
    let shown: Vec<usize> = (0..COLUMNS).filter(|column| rows.iter().any(|row| !row[*column].is_empty())).collect();
    let lines = std::iter::once(&heads).chain(&rows);
    let width = |column: usize| lines.clone().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = shown.iter().map(|column| width(*column)).collect();
    let mut text = String::new();
    for line in lines {
        for (place, (column, width)) in shown.iter().zip(&widths).enumerate() {
            text.push_str(&match place {
                0 => format!("{:<width$}", line[*column]),
                _ => format!("  {:>width$}", line[*column]),
            });
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text_and_empty_ones_are_left_out() {
        let rows = [["a", "", "1", ""], ["long", "", "1,000", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["name", "none", "µs", "last"], &rows), "name     µs  last\na         1\nlong  1,000     x\n");
    }
}

//! Rows as JSON, one a line.

use super::rows::{ExportedRow, ImportedRow, Line, MAX_LINE_BYTES, keep_on_one_line};
use crate::error::{Error, Result};
use crate::http::json::{self, MAX_DEPTH};
use crate::leaderboard::ImportRow;

/// Writes a row.
///
/// # Errors
///
/// `Internal` for a row that has no JSON.
pub fn write(row: &ExportedRow, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    serde_json::to_writer(&mut *out, row).map_err(|error| Error::Internal(format!("a row has no JSON: {error}")))?;
    keep_on_one_line(&mut out[start..]);
    out.push(b'\n');
    Ok(())
}

/// Reads lines of a text that comes in pieces; keeps at most one line.
#[derive(Default)]
pub struct Reader {
    line: Vec<u8>,
    /// What is left of the line is passed over.
    too_long: bool,
    read: u64,
}

impl Reader {
    /// The next line that ends in `input`, of which it takes what it has read. `None` where all is taken.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Line> {
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            self.take(&input[..end]);
            *input = &input[end + 1..];
            if let Some(line) = self.finish() {
                return Some(line);
            }
        }
        self.take(input);
        *input = &[];
        None
    }

    /// The last line, which nothing ends.
    pub fn end(&mut self) -> Option<Line> {
        self.finish()
    }

    fn take(&mut self, part: &[u8]) {
        self.too_long |= self.line.len() + part.len() > MAX_LINE_BYTES;
        if self.too_long {
            self.line.clear();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn finish(&mut self) -> Option<Line> {
        self.read += 1;
        let number = self.read;
        if std::mem::take(&mut self.too_long) {
            return Some(Line::too_long(number));
        }
        let blank = self.line.trim_ascii().is_empty();
        let line = (!blank).then(|| Line { number, row: parse(&self.line) });
        self.line.clear();
        line
    }
}

fn parse(line: &[u8]) -> Result<ImportRow> {
    let row = json::parse::<ImportedRow>(line, MAX_DEPTH).map_err(|error| match error {
        Error::Malformed(text) => Error::Malformed(text.replacen("the body", "the line", 1)),
        other => other,
    })?;
    Ok(row.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line's number, and its member or `-`; read in pieces of this size.
    fn read(text: &[u8], piece: usize) -> Vec<(u64, String)> {
        let (mut reader, mut lines) = (Reader::default(), Vec::new());
        for mut part in text.chunks(piece) {
            while let Some(line) = reader.next(&mut part) {
                lines.push(line);
            }
        }
        lines.extend(reader.end());
        let member = |line: Line| line.row.map_or("-".to_owned(), |row| row.submission.member.to_string());
        lines.into_iter().map(|line| (line.number, member(line))).collect()
    }

    #[test]
    fn lines_are_read_however_they_are_cut() {
        let text = b"{\"member\":\"a\",\"score\":1}\r\n\n  \n{}\n{\"member\":\"b\",\"score\":2}";
        let expected = [(1, "a".to_owned()), (4, "-".to_owned()), (5, "b".to_owned())];
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(read(text, piece), expected, "{piece}");
        }
        assert_eq!(read(b"", 1), []);
    }

    #[test]
    fn a_line_that_is_too_long_costs_nothing_and_is_passed_over() {
        let long = format!("{{\"member\":\"{}\"", "x".repeat(MAX_LINE_BYTES));
        let text = format!("{long}\n{{\"member\":\"a\",\"score\":1}}\n{long}");
        for piece in [1, 1000, 1_000_000] {
            let expected = [(1, "-".to_owned()), (2, "a".to_owned()), (3, "-".to_owned())];
            assert_eq!(read(text.as_bytes(), piece), expected, "{piece}");
        }
        let mut reader = Reader::default();
        assert!(reader.next(&mut text.as_bytes()).is_some());
        assert!(reader.line.capacity() <= MAX_LINE_BYTES);
    }
}

//! Rows as comma-separated values (RFC 4180).

use std::collections::{BTreeMap, BTreeSet};

use csv_core::{ReadRecordResult, Writer};

use super::rows::{ExportedRow, Line, MAX_LINE_BYTES, import_row, keep_on_one_line};
use crate::error::{Error, Result};
use crate::http::json::{self, MAX_DEPTH};
use crate::leaderboard::ImportRow;
use crate::types::{ExactTimestamp, Member, Metadata, Score, WindowName};

/// What the names of the columns of subscores begin with.
const SUBSCORE: &str = "subscores.";
/// What the names of the columns of dimensions begin with.
const SEGMENT: &str = "segments.";
const MAX_COLUMNS: usize = 64;
const KNOWN: &str = "rank, member, score, achieved_at, metadata, subscores.NAME and segments.NAME";

/// Writes the names of the columns.
pub fn write_header(subscores: &[WindowName], dimensions: &[String], out: &mut Vec<u8>) {
    let subscores = subscores.iter().map(|name| format!("{SUBSCORE}{name}"));
    let names = ["rank", "member", "score"].into_iter().map(str::to_owned).chain(subscores);
    let names: Vec<String> = names
        .chain(["achieved_at", "metadata"].map(str::to_owned))
        .chain(dimensions.iter().map(|name| format!("{SEGMENT}{name}")))
        .collect();
    write_record(&names, out);
}

/// Writes a row; its subscores and segments have the order of the header.
///
/// # Errors
///
/// `Internal` for a score that has no JSON.
pub fn write(row: &ExportedRow, subscores: &[WindowName], dimensions: &[String], out: &mut Vec<u8>) -> Result<()> {
    let number = |score: &Score| {
        serde_json::to_string(score).map_err(|error| Error::Internal(format!("a score has no JSON: {error}")))
    };
    let mut fields = vec![row.rank.to_string(), row.member.to_string(), number(&row.score)?];
    for name in subscores {
        fields.push(row.subscores.get(name.as_str()).map_or(Ok(String::new()), number)?);
    }
    fields.push(row.achieved_at.map_or(String::new(), |time| time.to_string()));
    fields.push(row.metadata.as_ref().map_or(String::new(), |metadata| metadata.as_str().to_owned()));
    fields.extend(dimensions.iter().map(|name| row.segments.get(name).cloned().unwrap_or_default()));
    write_record(&fields, out);
    Ok(())
}

fn write_record(fields: &[String], out: &mut Vec<u8>) {
    let mut writer = Writer::new();
    // Twice the text where each byte is a quote, quotes around it, and a comma.
    let mut buffer = vec![0; fields.iter().map(|field| 2 * field.len() + 3).sum::<usize>() + 2];
    let mut used = 0;
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            used += writer.delimiter(&mut buffer[used..]).1;
        }
        used += writer.field(field.as_bytes(), &mut buffer[used..]).2;
    }
    used += writer.finish(&mut buffer[used..]).1;
    keep_on_one_line(&mut buffer[..used]);
    out.extend_from_slice(&buffer[..used]);
    out.push(b'\n');
}

/// What a column holds.
enum Column {
    Rank,
    Member,
    Score,
    Subscore(String),
    AchievedAt,
    Metadata,
    Segment(String),
}

/// Reads records of a text that comes in pieces; keeps at most one of them.
pub struct Reader {
    parser: csv_core::Reader,
    columns: Option<Vec<Column>>,
    text: Vec<u8>,
    text_length: usize,
    ends: Vec<usize>,
    fields: usize,
    too_long: bool,
    /// Whether a record has begun.
    inside: bool,
    /// Where the record begins.
    number: u64,
    /// Line breaks that were read.
    breaks: u64,
}

impl Reader {
    pub fn new() -> Self {
        Self {
            parser: csv_core::Reader::new(),
            columns: None,
            text: vec![0; MAX_LINE_BYTES],
            text_length: 0,
            ends: vec![0; MAX_COLUMNS],
            fields: 0,
            too_long: false,
            inside: false,
            number: 1,
            breaks: 0,
        }
    }

    /// The next record that ends in `input`, of which it takes what it has read. `None` where all is taken.
    ///
    /// # Errors
    ///
    /// `Invalid` where the first line does not name the columns.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Line>> {
        loop {
            if !self.inside {
                let skipped = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
                self.pass(input, skipped);
                self.number = self.breaks + 1;
            }
            // An empty input would mean the end.
            if input.is_empty() {
                return Ok(None);
            }
            self.inside = true;
            if self.step(input) == ReadRecordResult::Record
                && let Some(line) = self.finish()?
            {
                return Ok(Some(line));
            }
        }
    }

    /// The last record, which nothing ends.
    ///
    /// # Errors
    ///
    /// As [`Reader::next`]; `Invalid` where there was no first line.
    pub fn end(&mut self) -> Result<Option<Line>> {
        let mut line = None;
        while self.inside {
            match self.step(&mut &[][..]) {
                ReadRecordResult::Record => line = self.finish()?,
                ReadRecordResult::End => break,
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            }
        }
        if self.columns.is_none() {
            return Err(Error::invalid("", "the first line, with the names of the columns, is missing"));
        }
        Ok(line)
    }

    fn step(&mut self, input: &mut &[u8]) -> ReadRecordResult {
        let (text, ends) = (&mut self.text[self.text_length..], &mut self.ends[self.fields..]);
        let (result, taken, written, ended) = self.parser.read_record(input, text, ends);
        self.pass(input, taken);
        self.text_length += written;
        self.fields += ended;
        if matches!(result, ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull) {
            self.too_long = true;
        }
        if self.too_long {
            (self.text_length, self.fields) = (0, 0);
        }
        result
    }

    fn pass(&mut self, input: &mut &[u8], count: usize) {
        self.breaks += input[..count].iter().filter(|byte| **byte == b'\n').count() as u64;
        *input = &input[count..];
    }

    /// What the record that has ended says; nothing of the one that names the columns.
    fn finish(&mut self) -> Result<Option<Line>> {
        self.inside = false;
        let (too_long, number) = (std::mem::take(&mut self.too_long), self.number);
        let (length, count) = (std::mem::take(&mut self.text_length), std::mem::take(&mut self.fields));
        let fields = fields(&self.text[..length], &self.ends[..count]);
        let Some(columns) = &self.columns else {
            if too_long {
                return Err(Error::invalid("", format!("line {number} must name at most {MAX_COLUMNS} columns")));
            }
            self.columns = Some(read_header(&fields, number)?);
            return Ok(None);
        };
        if too_long {
            return Ok(Some(Line::too_long(number)));
        }
        Ok(Some(Line { number, row: read_row(columns, &fields) }))
    }
}

fn fields<'a>(text: &'a [u8], ends: &[usize]) -> Vec<&'a [u8]> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| text.get(start..*end).unwrap_or_default()).collect()
}

fn read_header(fields: &[&[u8]], number: u64) -> Result<Vec<Column>> {
    let refused = |detail: String| Err(Error::invalid("", format!("line {number} must name the columns: {detail}")));
    let (mut columns, mut seen) = (Vec::with_capacity(fields.len()), BTreeSet::new());
    for field in fields {
        let name = String::from_utf8_lossy(field);
        // Spreadsheets write one; the parser takes it away only where it comes in one piece.
        let name = name.trim_start_matches('\u{feff}').to_owned();
        if !seen.insert(name.clone()) {
            return refused(format!("`{name}` is there more than once"));
        }
        columns.push(match (name.as_str(), name.strip_prefix(SUBSCORE), name.strip_prefix(SEGMENT)) {
            ("rank", ..) => Column::Rank,
            ("member", ..) => Column::Member,
            ("score", ..) => Column::Score,
            ("achieved_at", ..) => Column::AchievedAt,
            ("metadata", ..) => Column::Metadata,
            (_, Some(subscore), _) => Column::Subscore(subscore.to_owned()),
            (_, None, Some(dimension)) => Column::Segment(dimension.to_owned()),
            (_, None, None) => return refused(format!("`{name}` is not one of {KNOWN}")),
        });
    }
    for needed in ["member", "score"] {
        if !seen.contains(needed) {
            return refused(format!("`{needed}` is missing"));
        }
    }
    Ok(columns)
}

fn read_row(columns: &[Column], fields: &[&[u8]]) -> Result<ImportRow> {
    if fields.len() != columns.len() {
        let (is, should) = (fields.len(), columns.len());
        return Err(Error::invalid("", format!("has {is} fields, and the first line names {should}")));
    }
    let (mut member, mut score, mut subscores) = (None, None, BTreeMap::new());
    let (mut achieved_at, mut metadata, mut segments) = (None, None, BTreeMap::new());
    for (column, field) in columns.iter().zip(fields) {
        let text = std::str::from_utf8(field).map_err(|_| Error::Malformed("the line is not UTF-8".to_owned()))?;
        match column {
            Column::Rank => {}
            Column::Member => {
                let read = Member::try_from(text.to_owned());
                member = Some(read.map_err(|detail| Error::invalid("/member", detail))?);
            }
            Column::Score => score = Some(read_number(text, "/score")?),
            Column::Subscore(_) | Column::AchievedAt | Column::Metadata | Column::Segment(_) if text.is_empty() => {}
            Column::Subscore(name) => {
                subscores.insert(name.clone(), read_number(text, &format!("/subscores/{name}"))?);
            }
            Column::Segment(name) => {
                segments.insert(name.clone(), text.to_owned());
            }
            Column::AchievedAt => {
                let read: std::result::Result<ExactTimestamp, String> = text.parse();
                achieved_at = Some(read.map_err(|detail| Error::invalid("/achieved_at", detail))?);
            }
            Column::Metadata => {
                let read = json::parse::<Metadata>(text.as_bytes(), MAX_DEPTH);
                metadata = Some(read.map_err(|error| match error {
                    Error::Invalid(faults) => json::in_list("/metadata", &Error::Invalid(faults)),
                    _ => Error::invalid("/metadata", "must be JSON"),
                })?);
            }
        }
    }
    // The header has both.
    let missing = |name: &str| Error::invalid(format!("/{name}"), "is missing");
    let (member, score) = (member.ok_or_else(|| missing("member"))?, score.ok_or_else(|| missing("score"))?);
    Ok(import_row(member, score, subscores, achieved_at, metadata, segments))
}

fn read_number(text: &str, pointer: &str) -> Result<Score> {
    json::parse::<Score>(text.as_bytes(), MAX_DEPTH).map_err(|error| match error {
        Error::Invalid(faults) => json::in_list(pointer, &Error::Invalid(faults)),
        _ => Error::invalid(pointer, "must be a number"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line's number, and its member or `-`; read in pieces of this size.
    fn read(text: &str, piece: usize) -> Result<Vec<(u64, String)>> {
        let (mut reader, mut lines) = (Reader::new(), Vec::new());
        for mut part in text.as_bytes().chunks(piece) {
            while let Some(line) = reader.next(&mut part)? {
                lines.push(line);
            }
        }
        lines.extend(reader.end()?);
        let member = |line: Line| line.row.map_or("-".to_owned(), |row| row.submission.member.to_string());
        Ok(lines.into_iter().map(|line| (line.number, member(line))).collect())
    }

    fn expected(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
        lines.iter().map(|(number, member)| (*number, (*member).to_owned())).collect()
    }

    #[test]
    fn records_are_read_however_they_are_cut() {
        for (text, lines) in [
            ("score,member\n1,a\n2,b\n", &[(2, "a"), (3, "b")][..]),
            ("score,member\r\n1,a\r\n\r\n2,b", &[(2, "a"), (4, "b")]),
            (
                "\n\nmember,score\na,1\nb\nc,x\n\"d \"\"e\"\", f\",4\n",
                &[(4, "a"), (5, "-"), (6, "-"), (7, "d \"e\", f")],
            ),
            ("member,score,metadata\na,1,\"{\n\"\"x\"\":1}\"\nb,2,\n", &[(2, "a"), (4, "b")]),
            ("\u{feff}member,score\na,1", &[(2, "a")]),
        ] {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(read(text, piece).expect("a header"), expected(lines), "{piece}: {text}");
            }
        }
    }

    #[test]
    fn a_record_that_is_too_long_is_passed_over() {
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        let text = format!("member,score\n{long},1\na,1\n{}\n\"{long}\n{long}\",2\nb,2\n", ",".repeat(MAX_COLUMNS + 1));
        for piece in [1, 1000, 1_000_000] {
            let lines = [(2, "-"), (3, "a"), (4, "-"), (5, "-"), (7, "b")];
            assert_eq!(read(&text, piece).expect("a header"), expected(&lines), "{piece}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dimensions = ["country".to_owned()];
        let columns: Vec<WindowName> = vec!["a".to_owned().try_into().expect("a name")];
        let member = "x, \"y\"";
        let row = ExportedRow {
            rank: 7,
            member: member.to_owned().try_into().expect("a member"),
            score: Score::new(0.1).expect("finite"),
            subscores: [("a".to_owned(), Score::new(-5e-324).expect("finite"))].into(),
            achieved_at: ExactTimestamp::from_micros(1_795_412_400_123_456),
            segments: [("country".to_owned(), "K\"R".to_owned())].into(),
            metadata: Metadata::from_stored("{\"k\":\n[\"\\n,\\\"\"]}".to_owned()),
        };
        let mut text = Vec::new();
        write_header(&columns, &dimensions, &mut text);
        write(&row, &columns, &dimensions, &mut text).expect("written");
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
        let mut reader = Reader::new();
        let line = reader.next(&mut text.as_slice()).expect("a header").expect("a line");
        let read = line.row.expect("a row");
        assert_eq!(read.submission.member.as_str(), member);
        assert_eq!((read.submission.score, read.achieved_at), (row.score, row.achieved_at));
        assert_eq!(read.submission.subscores, row.subscores);
        assert_eq!(read.submission.segments, row.segments);
        assert_eq!(read.submission.metadata.expect("metadata").as_str(), "{\"k\": [\"\\n,\\\"\"]}");
    }

    #[test]
    fn a_header_names_known_columns_once() {
        for header in
            ["", "\n", "member", "score", "member,score,points", "member,score,member", "member,score,", "a\nb,1"]
        {
            assert!(matches!(read(header, 1000), Err(Error::Invalid(_))), "{header}");
        }
        assert!(read("rank,member,achieved_at,score,metadata,subscores.x", 1000).is_ok());
    }
}

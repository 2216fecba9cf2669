//! A row of an export or import, whatever its format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::leaderboard::{Entry, ImportRow, Submission};
use crate::types::{ExactTimestamp, Member, Metadata, Named, Score, WindowName, present, read_choice, read_object};

/// The most bytes of a line. The longest row that a submission can make takes about 4 KiB.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated values (RFC 4180) under a line that names the columns.
    Csv,
    /// A JSON object a line.
    #[default]
    Ndjson,
}

read_choice!(Format { Csv = "csv", Ndjson = "ndjson" });

impl Format {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Its name, which files end in too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// A row as it is written.
#[derive(Serialize)]
pub struct ExportedRow {
    pub rank: u64,
    pub member: Member,
    pub score: Score,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subscores: BTreeMap<String, Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub achieved_at: Option<ExactTimestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<String, String>,
}

impl ExportedRow {
    pub fn new(entry: Entry, columns: &[WindowName]) -> Self {
        Self {
            rank: entry.rank,
            member: entry.member,
            score: entry.score,
            subscores: columns.iter().map(ToString::to_string).zip(entry.subscores).collect(),
            achieved_at: entry.achieved_exactly,
            metadata: entry.metadata,
            segments: entry.segments,
        }
    }
}

/// A row as it is read.
#[derive(Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ImportedRow {
    /// Follows from the others.
    #[serde(default, rename = "rank", deserialize_with = "present")]
    _rank: Option<u64>,
    member: Member,
    score: Score,
    #[serde(default, deserialize_with = "present")]
    subscores: Option<Named<Score>>,
    #[serde(default, deserialize_with = "present")]
    achieved_at: Option<ExactTimestamp>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "present")]
    segments: Option<Named<String>>,
}

read_object!(ImportedRow);

impl From<ImportedRow> for ImportRow {
    fn from(row: ImportedRow) -> Self {
        let subscores = row.subscores.unwrap_or_default().0;
        let segments = row.segments.unwrap_or_default().0;
        import_row(row.member, row.score, subscores, row.achieved_at, row.metadata, segments)
    }
}

pub fn import_row(
    member: Member,
    score: Score,
    subscores: BTreeMap<String, Score>,
    achieved_at: Option<ExactTimestamp>,
    metadata: Option<Metadata>,
    segments: BTreeMap<String, String>,
) -> ImportRow {
    let if_period = BTreeMap::new();
    let submission = Submission { member, score, subscores, metadata, segments, if_period, key: None };
    ImportRow { submission, achieved_at }
}

/// A line that was read, and the row on it.
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    pub row: Result<ImportRow>,
}

impl Line {
    pub fn too_long(number: u64) -> Self {
        Self { number, row: Err(Error::invalid("", format!("is longer than {MAX_LINE_BYTES} bytes"))) }
    }
}

/// Makes spaces of the line breaks in rows that were just written, which stand between the tokens of metadata alone.
pub fn keep_on_one_line(written: &mut [u8]) {
    for byte in written.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
}

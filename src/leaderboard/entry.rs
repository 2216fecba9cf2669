//! What reads of a ranking ask for and give.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::types::{ExactTimestamp, Limit, Member, Metadata, Radius, Score, Timestamp, WindowName, read_choice};

/// How equal rows share ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Ranking {
    /// 1, 2, 3, 4: every entry has a rank of its own.
    #[default]
    Ordinal,
    /// 1, 2, 2, 4: equal rows share a rank, and the next one counts all before it.
    Competition,
    /// 1, 2, 2, 3: equal rows share a rank, and the next one follows.
    Dense,
}

read_choice!(Ranking { Ordinal = "ordinal", Competition = "competition", Dense = "dense" });

impl Ranking {
    /// Its name in scripts and queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordinal => "ordinal",
            Self::Competition => "competition",
            Self::Dense => "dense",
        }
    }
}

/// Which ranking of a leaderboard to read.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The window; the leaderboard's first one by default.
    pub window: Option<WindowName>,
    /// The period; the open one by default.
    pub period: Option<String>,
    /// A segment's value as `dimension:value`, or several with commas between; the whole by default.
    pub segment: Option<String>,
    /// How equal rows share ranks.
    pub ranking: Ranking,
    /// The time in µs at which totals that decay are shown; now by default, or the end of a period that has ended.
    pub at_us: Option<i64>,
    /// Whether totals that decay are given with all the digits that are kept, and not with the true ones alone.
    pub all_digits: bool,
}

/// Where a run of entries begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// After so many entries.
    Offset(u64),
    /// Where an earlier page ended.
    Cursor(String),
}

/// The part of a ranking to read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Span {
    Offset { offset: u64, limit: Limit },
    After { ranked: Score, element: Vec<u8>, limit: Limit },
    Member { member: Member, radius: u32 },
    Score { ranked: Score, ahead_of_equals: bool, radius: Radius },
}

/// One line of a ranking.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its rank from 1.
    pub rank: u64,
    /// Who.
    pub member: Member,
    /// The standing score.
    pub score: Score,
    /// The further columns, in the order of the settings.
    pub subscores: Vec<Score>,
    /// When the row was reached; none where ties go by member.
    pub achieved_at: Option<Timestamp>,
    /// The same to the microsecond, which is what ties go by.
    pub achieved_exactly: Option<ExactTimestamp>,
    /// What was submitted with the score.
    pub metadata: Option<Metadata>,
    /// What describes the member, by dimension.
    pub segments: BTreeMap<String, String>,
    /// Its ordinal rank at an earlier time, where one was asked for; `Some(None)` where the member had none then.
    pub previous_rank: Option<Option<u64>>,
}

/// A run of entries of one ranking.
#[derive(Debug, Clone)]
pub struct Page {
    /// The window read.
    pub window: WindowName,
    /// Its period.
    pub period: String,
    /// The names of the subscores, in the order of each entry's.
    pub columns: Vec<WindowName>,
    /// The names of the dimensions that may describe members, sorted.
    pub dimensions: Vec<String>,
    /// How many entries the ranking has.
    pub total: u64,
    /// The 0-based place asked for: of the member, of the score, or of the first entry.
    pub asked: u64,
    /// The rank that the score asked for would have; 0 where none was asked for.
    pub asked_rank: u64,
    /// The 0-based place of the first entry given.
    pub from: u64,
    /// The entries, best first.
    pub entries: Vec<Entry>,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
    /// The time in µs at which totals that decay are shown; none where they do not.
    pub at_us: Option<i64>,
}

impl Page {
    /// The share of entries ranked at or below an ordinal or competition rank, 0 to 100.
    pub fn percentile(&self, rank: u64) -> f64 {
        let at_or_below = (self.total + 1).saturating_sub(rank);
        at_or_below as f64 * 100.0 / self.total.max(1) as f64
    }
}

/// Members looked up in one ranking.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The names of the subscores, in the order of each entry's.
    pub columns: Vec<WindowName>,
    /// The entries found, best first.
    pub entries: Vec<Entry>,
    /// Who has none, in the order asked.
    pub missing: Vec<Member>,
}

/// How the scores of a ranking are spread.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// How many entries there are.
    pub total: u64,
    /// Edges of the buckets, rising; one more than counts, none without entries.
    pub edges: Vec<Score>,
    /// Entries in each bucket: from its edge up to the next, the last one's end included.
    pub counts: Vec<u64>,
    /// The scores at [`QUANTILES`].
    pub quantiles: Vec<Score>,
}

/// The quantiles of a distribution, by name and share: the lowest score that so many scores do not exceed.
pub const QUANTILES: [(&str, &str); 9] = [
    ("p1", "0.01"),
    ("p5", "0.05"),
    ("p10", "0.1"),
    ("p25", "0.25"),
    ("p50", "0.5"),
    ("p75", "0.75"),
    ("p90", "0.9"),
    ("p95", "0.95"),
    ("p99", "0.99"),
];

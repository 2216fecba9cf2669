//! Periods in an archive: what is to be looked for there, and how it reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Leaderboards;
use super::board::{Board, RankingKeys, Version};
use super::cursor::{self, Position};
use super::decay::Decay;
use super::decaying::show_decayed;
use super::entry::{Distribution, Entry, Lookup, Page, QUANTILES, Ranking, Start, View};
use super::reads::{columns, to_page};
use super::reply;
use super::segments::Part;
use super::settings::{Order, Settings, Ties};
use super::starts::Starts;
use super::store::{Chosen, RawPage};
use crate::db::Keyspace;
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Limit, Member, Radius, Score, Timestamp, WindowName};

/// What a period is called in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeriodName {
    /// The leaderboard.
    pub leaderboard: LeaderboardName,
    /// Which life of it: one that is created again has no part in what was before.
    pub epoch: String,
    /// The window.
    pub window: WindowName,
    /// The period.
    pub period: String,
}

/// What is kept of a leaderboard with each of its periods.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredBoard {
    settings: Settings,
    /// In ms since 1970.
    created_at: i64,
    version: String,
    /// The numbers of its dimensions.
    dimensions: BTreeMap<String, u64>,
}

impl StoredBoard {
    pub(super) fn of(board: &Board) -> Self {
        Self {
            settings: board.settings.clone(),
            created_at: board.created_at.as_millis(),
            version: board.version.text(),
            dimensions: board.dimensions.numbers(),
        }
    }

    pub(super) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Internal(format!("a leaderboard has no JSON: {error}")))
    }
}

/// The entries to look for, by place (from 1 on) or by what decides it, within the part of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// So many behind the first `passed`.
    Behind {
        /// How many are passed over.
        passed: u64,
        /// How many at most.
        limit: u64,
    },
    /// So many behind a position.
    After {
        /// The score as the ranking keeps it.
        ranked: Score,
        /// What decides between equal ones.
        element: Vec<u8>,
        /// How many at most.
        limit: u64,
    },
    /// A member, and so many on each side.
    Around {
        /// Who.
        member: Member,
        /// How many.
        radius: u64,
    },
    /// So many on each side of where a score would stand.
    AroundScore {
        /// The score as the ranking keeps it.
        ranked: Score,
        /// Whether it would stand ahead of those that equal it.
        ahead_of_equals: bool,
        /// How many.
        radius: u64,
    },
}

/// What was found of it.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Entries of the part.
    pub total: u64,
    /// The 0-based place asked for, and that of the first entry given.
    pub asked: u64,
    /// The same of the first entry given.
    pub from: u64,
    /// For a score: the rank that it would have where equal rows share one.
    pub rank_of_score: u64,
    /// The entries in their order.
    pub rows: Vec<ArchivedRow>,
}

/// An entry as an archive keeps it.
#[derive(Debug, Clone)]
pub struct ArchivedRow {
    /// The score as the ranking keeps it.
    pub ranked: Score,
    /// What decides between equal ones, and the member.
    pub element: Vec<u8>,
    /// Its ranks: ordinal, competition, dense.
    pub ranks: [u64; 3],
    /// What was submitted with the score, as JSON.
    pub metadata: Option<String>,
    /// What describes the member, as JSON.
    pub segments: Option<String>,
}

impl ArchivedRow {
    fn rank(&self, shown: Ranking) -> u64 {
        self.ranks[match shown {
            Ranking::Ordinal => 0,
            Ranking::Competition => 1,
            Ranking::Dense => 2,
        }]
    }
}

/// A period that is archived, with its leaderboard as it was.
pub struct ArchivedPeriod {
    board: Board,
    ranking: RankingKeys,
    end_us: i64,
}

impl ArchivedPeriod {
    /// Reads what [`super::Surplus::board`] gave.
    ///
    /// # Errors
    ///
    /// `Internal` for anything else.
    pub fn read(keyspace: &Keyspace, name: &PeriodName, ended_ms: i64, json: &str) -> Result<Self> {
        let board = || {
            let StoredBoard { settings, created_at, version, dimensions } = serde_json::from_str(json).ok()?;
            let (version, created_at) = (Version::parse(&version)?, Timestamp::from_millis(created_at));
            let name = name.leaderboard.clone();
            Board::alone(keyspace, name, version, settings, &dimensions, created_at, Starts::default()).ok()
        };
        let board = board()
            .ok_or_else(|| Error::Internal(format!("an archived period of `{}` cannot be read", name.leaderboard)))?;
        let ranking = board.sections.ranking(&name.window, &name.period, None);
        Ok(Self { board, ranking, end_us: ended_ms.saturating_mul(1000) })
    }

    /// The part of the standings that a view shows: empty for the whole.
    ///
    /// # Errors
    ///
    /// `Invalid` for a segment that was not declared.
    pub fn part(&self, view: &View) -> Result<String> {
        let Some(part) = self.raw_part(view)? else { return Ok(String::new()) };
        let name = self.board.dimensions.part_name(part.as_str());
        name.ok_or_else(|| Error::Internal(format!("a segment of `{}` has no name", self.board.name)))
    }

    fn raw_part(&self, view: &View) -> Result<Option<Part>> {
        view.segment.as_deref().map(|query| self.board.dimensions.part(query)).transpose()
    }

    /// What a run of entries asks for.
    ///
    /// # Errors
    ///
    /// `Malformed` for a cursor of another list.
    pub fn run(&self, view: &View, start: &Start, limit: Limit) -> Result<Wanted> {
        let limit = limit.get().into();
        match start {
            Start::Offset(passed) => Ok(Wanted::Behind { passed: *passed, limit }),
            Start::Cursor(text) => {
                let context = self.board.cursor_context(&self.ranking, self.raw_part(view)?.as_ref());
                let Position { ranked, element } = cursor::decode(&context, text)?;
                Ok(Wanted::After { ranked, element, limit })
            }
        }
    }

    /// What the entries around a score ask for.
    pub fn around_score(&self, view: &View, score: Score, radius: Radius) -> Wanted {
        let kept = self.decay(view).map_or(score, |(decay, at_us)| decay.kept(score, at_us));
        Wanted::AroundScore {
            ranked: self.board.settings.turned(kept),
            ahead_of_equals: self.board.settings.ties == Ties::Latest,
            radius: radius.get().into(),
        }
    }

    /// Totals that decay are shown as they were at the end.
    fn decay(&self, view: &View) -> Option<(Decay, i64)> {
        Some((self.board.decay()?, view.at_us.unwrap_or(self.end_us)))
    }

    /// What was found, as it reads.
    ///
    /// # Errors
    ///
    /// `Internal` for rows of something else.
    pub fn page(&self, view: &View, found: Found) -> Result<Page> {
        let Found { total, asked, from, rank_of_score, rows } = found;
        let first_rank = rows.first().map_or(from + 1, |row| row.rank(view.ranking));
        let (mut elements, mut metadata, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            elements.push((row.element, row.ranked));
            metadata.push(row.metadata.unwrap_or_default());
            segments.push(row.segments);
        }
        let asked_rank = if view.ranking == Ranking::Ordinal { asked + 1 } else { rank_of_score };
        let raw = RawPage { total, from, asked, asked_rank, first_rank, elements, metadata, parts: Vec::new() };
        let chosen = Chosen { ranking: self.ranking.clone().into(), only_while: None, part: self.raw_part(view)? };
        let mut page = to_page(&self.board, &chosen, view.ranking, raw)?;
        for (entry, segments) in page.entries.iter_mut().zip(segments) {
            entry.segments = read_segments(segments)?;
        }
        let time = self.decay(view);
        show_decayed(time, view, &mut page.entries);
        page.at_us = time.map(|(_, at_us)| at_us);
        Ok(page)
    }

    /// The rows of members, as they read; `members` are those asked for.
    ///
    /// # Errors
    ///
    /// `Internal` for rows of something else.
    pub fn lookup(&self, view: &View, members: &[Member], rows: Vec<ArchivedRow>) -> Result<Lookup> {
        let mut entries: Vec<Entry> = Vec::with_capacity(rows.len());
        for row in rows {
            let entry = reply::entry(&self.board, &row.element, row.ranked, row.metadata.clone(), None)?;
            let segments = read_segments(row.segments.clone())?;
            entries.push(Entry { rank: row.rank(view.ranking), segments, ..entry });
        }
        show_decayed(self.decay(view), view, &mut entries);
        let mut missing: Vec<Member> = Vec::new();
        for member in members {
            if !missing.contains(member) && !entries.iter().any(|entry| entry.member == *member) {
                missing.push(member.clone());
            }
        }
        Ok(Lookup { columns: columns(&self.board), entries, missing })
    }

    /// The places (from 1 on) at the quantiles of so many entries.
    pub fn quantile_places(&self, total: u64) -> Vec<u64> {
        let place = |share: &str| {
            let share: f64 = share.parse().unwrap_or(0.0);
            let from_lowest = total.min(((share * total as f64).ceil() as u64).max(1));
            if self.is_negated() { total + 1 - from_lowest } else { from_lowest }
        };
        QUANTILES.iter().map(|(_, share)| place(share)).collect()
    }

    /// Edges of so many buckets between the first and the last score, both as the ranking keeps them, ends included.
    pub fn edges(&self, view: &View, (least, most): (Score, Score), buckets: u32) -> Vec<Score> {
        let decay = self.decay(view);
        let shown = |kept: Score| decay.map_or(kept, |(decay, at_us)| decay.total(kept, at_us)).value();
        let (lowest, highest) = (shown(least), shown(most));
        let buckets = if lowest == highest { 1 } else { buckets };
        let mut edges = vec![least];
        let mut edge = least.value();
        for number in 1..buckets {
            let share = f64::from(number) / f64::from(buckets);
            // Weighted, since highest - lowest may leave the range of a double.
            let between = Score::new(lowest * (1.0 - share) + highest * share).unwrap_or(most);
            let between = decay.map_or(between, |(decay, at_us)| decay.kept(between, at_us));
            edge = edge.max(most.value().min(between.value()));
            edges.extend(Score::new(edge));
        }
        edges.push(most);
        edges
    }

    /// Whether a bucket takes those that equal its first edge in the order of the ranking.
    pub fn is_negated(&self) -> bool {
        self.board.settings.order == Order::Descending
    }

    /// The distribution of scores: `ahead` tells how many entries stand ahead of each inner edge.
    pub fn distribution(
        &self,
        view: &View,
        total: u64,
        (edges, ahead): (&[Score], &[u64]),
        quantiles: &[Score],
    ) -> Distribution {
        let decay = self.decay(view);
        let shown = |kept: &Score| {
            let score = self.board.settings.turned(*kept);
            decay.map_or(score, |(decay, at_us)| decay.shown(score, at_us))
        };
        if total == 0 {
            return Distribution { total, edges: Vec::new(), counts: Vec::new(), quantiles: Vec::new() };
        }
        let mut before = 0;
        let ends = ahead.iter().copied().chain([total]);
        let mut counts: Vec<u64> = ends.map(|end| end.saturating_sub(std::mem::replace(&mut before, end))).collect();
        let mut edges: Vec<Score> = edges.iter().map(shown).collect();
        if edges.first() > edges.last() {
            edges.reverse();
            counts.reverse();
        }
        Distribution { total, edges, counts, quantiles: quantiles.iter().map(shown).collect() }
    }
}

fn read_segments(json: Option<String>) -> Result<BTreeMap<String, String>> {
    let Some(json) = json else { return Ok(BTreeMap::new()) };
    serde_json::from_str(&json)
        .map_err(|_| Error::Internal("what describes an archived entry cannot be read".to_owned()))
}

impl Leaderboards {
    /// What periods of a window are called in an archive; their own names are left out.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`; those of the store.
    pub async fn name_window(&self, name: &LeaderboardName, window: &WindowName) -> Result<PeriodName> {
        let epoch = self.find(name).await?.version.epoch.clone();
        Ok(PeriodName { leaderboard: name.clone(), epoch, window: window.clone(), period: String::new() })
    }

    /// What the period of a view is called in an archive; nothing where it names none.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`; those of the store.
    pub async fn name_period(&self, name: &LeaderboardName, view: &View) -> Result<Option<PeriodName>> {
        let Some(period) = view.period.clone() else { return Ok(None) };
        let board = self.find(name).await?;
        let first = board.settings.windows.first().map(|window| window.name.clone());
        let Some(window) = view.window.clone().or(first) else { return Ok(None) };
        Ok(Some(PeriodName { leaderboard: name.clone(), epoch: board.version.epoch.clone(), window, period }))
    }
}

//! The periods of a window.

use futures_util::future::try_join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::board::Board;
use super::calendar::Span;
use super::store::{Counted, Versioned};
use super::{Leaderboards, OPEN_PERIOD};
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Limit, Timestamp, WindowName};

/// What becomes of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeriodState {
    /// It takes scores.
    Open,
    /// It has ended, and its closing is still to come, or its rewards are being handed out.
    Closing,
    /// It has ended for good.
    Closed,
    /// The same, and it is kept in the archive.
    Archived,
}

/// A period of a window.
#[derive(Debug, Clone)]
pub struct Period {
    /// Its name: its start, or `open`.
    pub name: String,
    /// What becomes of it.
    pub state: PeriodState,
    /// None for `open`.
    pub started_at: Option<Timestamp>,
    /// None while it is open.
    pub ended_at: Option<Timestamp>,
    /// Entries in it.
    pub entries: u64,
}

/// The start of a period in ms since 1970, after which a page of periods goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeriodStart(i64);

impl From<Timestamp> for PeriodStart {
    fn from(start: Timestamp) -> Self {
        Self(start.as_millis())
    }
}

impl PeriodStart {
    /// After every period that has ended.
    pub const LAST: Self = Self(i64::MAX);

    /// The number.
    pub fn as_millis(self) -> i64 {
        self.0
    }
}

impl TryFrom<String> for PeriodStart {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse().map(Self).map_err(|_| "must be a number of milliseconds".to_owned())
    }
}

impl std::fmt::Display for PeriodStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Leaderboards {
    /// The periods of a window that are open or had entries, the newest first, before `before`; and where to go on, if there
    /// are more.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow`.
    pub async fn periods(
        &self,
        name: &LeaderboardName,
        window: &WindowName,
        before: Option<PeriodStart>,
        limit: Limit,
    ) -> Result<(Vec<Period>, Option<PeriodStart>)> {
        self.on_current(name, async |board| self.periods_of(board, window, before, limit).await).await
    }

    async fn periods_of(
        &self,
        board: &Board,
        window: &WindowName,
        before: Option<PeriodStart>,
        limit: Limit,
    ) -> Result<Versioned<(Vec<Period>, Option<PeriodStart>)>> {
        let section = self.store.section(board);
        let open = section.rankings.iter().find(|ranking| ranking.window == *window);
        let open =
            open.ok_or_else(|| Error::NoWindow { leaderboard: board.name.clone(), window: window.to_string() })?;
        let mut listed: Vec<(String, Option<Span>)> = Vec::new();
        let most = u64::from(limit.get()) + 1;
        let looks = board.shards().map(|shard| self.store.periods(shard, window, before.map(|start| start.0), most));
        let mut noted: Vec<(String, i64)> = try_join_all(looks).await?.into_iter().flatten().collect();
        // Each shard knows those in which it had entries.
        noted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        noted.dedup();
        noted.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        for (period, end_ms) in noted {
            let start = period.parse::<jiff::Timestamp>();
            let start = start.map_err(|_| Error::Internal(format!("{period:?} is not a period")))?;
            listed.push((period, Some(Span { start_ms: start.as_millisecond(), end_ms })));
        }
        let shows_open = before.is_none();
        if shows_open && listed.first().is_none_or(|(period, _)| *period != open.period) {
            listed.insert(0, (open.period.clone(), open.span));
        }
        let more = listed.len() > limit.get() as usize;
        listed.truncate(limit.get() as usize);
        let only_while = open.span.filter(|_| shows_open).map(Span::bounds_us);
        let counts = board.shards().map(async |shard| {
            let rankings: Vec<_> =
                listed.iter().map(|(period, span)| shard.sections.ranking(window, period, *span)).collect();
            self.store.count_periods(shard, &rankings, only_while).await
        });
        let mut all: Option<Counted> = None;
        for counted in try_join_all(counts).await? {
            let Versioned::Current(counted) = counted else { return Ok(Versioned::Stale) };
            match &mut all {
                None => all = Some(counted),
                Some(all) => all.add(&counted),
            }
        }
        let Some(counted) = all else { return Ok(Versioned::Stale) };
        let began_ms = |span: Option<Span>| span.map_or_else(|| board.began_ms(window), |span| span.start_ms);
        let next = listed.last().map(|(_, span)| PeriodStart(began_ms(*span))).filter(|_| more);
        let periods = listed.into_iter().zip(counted.periods).map(|((name, span), (entries, is_closing))| {
            let state = match span {
                Some(span) if span.end_ms <= counted.closed_until_ms && !is_closing => PeriodState::Closed,
                Some(span) if span.end_ms <= counted.now_ms => PeriodState::Closing,
                Some(_) | None => PeriodState::Open,
            };
            let ended = span.filter(|_| state != PeriodState::Open);
            debug_assert!(span.is_some() || name == OPEN_PERIOD);
            Period {
                name,
                state,
                started_at: span.map(|span| Timestamp::from_millis(span.start_ms)),
                ended_at: ended.map(|span| Timestamp::from_millis(span.end_ms)),
                entries,
            }
        });
        Ok(Versioned::Current((periods.collect(), next)))
    }
}

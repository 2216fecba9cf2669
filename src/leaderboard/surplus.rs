//! Periods beyond what is kept, where there is an archive: they stay until they stand there whole, and go then.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join_all;

use super::archived::StoredBoard;
use super::board::Board;
use super::cursor::Position;
use super::entry::{Entry, Ranking, Span};
use super::store::{Chosen, Ended, RawPage, Read, Versioned};
use super::{Leaderboards, reply};
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Limit, Score, WindowName};

/// Entries that are read at once: about a millisecond of Redis.
const PAGE: u64 = 500;

/// How many periods of which leaderboards wait for the archive, as far as this process has seen.
#[derive(Default)]
pub(super) struct Staying(Mutex<BTreeMap<LeaderboardName, u64>>);

impl Staying {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<LeaderboardName, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A period that is kept no longer.
#[derive(Debug, Clone)]
pub struct Surplus {
    board: Arc<Board>,
    /// The window.
    pub window: WindowName,
    /// The period's name.
    pub period: String,
    /// When it began, in ms.
    pub started_ms: i64,
    /// When it ended, in ms.
    pub ended_ms: i64,
}

impl Surplus {
    /// The leaderboard.
    pub fn leaderboard(&self) -> &LeaderboardName {
        &self.board.name
    }

    /// Which life of it.
    pub fn epoch(&self) -> &str {
        &self.board.version.epoch
    }

    /// What there is to know of the leaderboard to read the period, as JSON.
    ///
    /// # Errors
    ///
    /// `Internal` where there is none.
    pub fn board(&self) -> Result<String> {
        StoredBoard::of(&self.board).to_json()
    }
}

/// An entry of a period, once for the whole ranking and once for each of its segments.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Empty for the whole, else the values by dimension as JSON.
    pub part: String,
    /// Its ordinal rank.
    pub place: i64,
    /// Its rank where equal rows share one and all before it count.
    pub competition: i64,
    /// Its rank where equal rows share one and the next one follows.
    pub dense: i64,
    /// The score as the ranking keeps it.
    pub ranked: Score,
    /// What decides between equal scores, and the member.
    pub element: Vec<u8>,
    /// Metadata and what describes the member, both as JSON; these stand with the whole ranking alone.
    pub belongings: (Option<String>, Option<String>),
    /// The same as people read it.
    pub entry: Arc<Entry>,
    /// Further columns as JSON, if there are any.
    pub subscores: Option<String>,
}

/// Counts ranks, in the order of the ranking.
#[derive(Default)]
struct Count {
    place: i64,
    competition: i64,
    dense: i64,
    last: Option<(Score, Vec<u8>)>,
}

impl Count {
    fn next(&mut self, ranked: Score, sub_key: &[u8]) {
        self.place += 1;
        if self.last.as_ref().is_none_or(|(score, key)| *score != ranked || key != sub_key) {
            (self.competition, self.dense) = (self.place, self.dense + 1);
            self.last = Some((ranked, sub_key.to_vec()));
        }
    }
}

/// A walk through a period, from its best entry to its last.
pub struct Copying {
    /// The period.
    pub of: Surplus,
    chosen: Chosen,
    next: Option<Span>,
    counts: HashMap<String, Count>,
    /// What was read so far.
    read: Ended,
}

impl Copying {
    /// The rows of a page.
    fn rows(&mut self, raw: RawPage) -> Result<Vec<Placed>> {
        let board = Arc::clone(&self.of.board);
        let (mut metadata, mut parts) = (raw.metadata.into_iter(), raw.parts.into_iter());
        let mut rows = Vec::new();
        for (element, ranked) in raw.elements {
            let (metadata, parts) = (metadata.next(), parts.next().unwrap_or_default());
            let mut entry = reply::entry(&board, &element, ranked, metadata, Some(&parts))?;
            if let Some(decay) = board.decay() {
                entry.score = decay.shown(entry.score, self.of.ended_ms.saturating_mul(1000));
            }
            let texts = (|| {
                let columns = board.settings.subscores.iter().map(|column| column.name.as_str());
                let columns: BTreeMap<&str, Score> = columns.zip(entry.subscores.iter().copied()).collect();
                let subscores = (!columns.is_empty()).then(|| serde_json::to_string(&columns)).transpose()?;
                let segments = &entry.segments;
                let segments = (!segments.is_empty()).then(|| serde_json::to_string(segments)).transpose()?;
                Ok((subscores, segments))
            })();
            let (subscores, segments) =
                texts.map_err(|error: serde_json::Error| Error::Internal(format!("an entry has no JSON: {error}")))?;
            let metadata = entry.metadata.as_ref().map(|metadata| metadata.as_str().to_owned());
            let entry = Arc::new(entry);
            let sub_key = element.get(..board.sub_width).unwrap_or_default();
            // A part that is not ranked has another sign behind its number.
            let ranked_parts = parts.split('\u{1}').filter(|part| part.contains('\u{2}'));
            for raw_part in std::iter::once("").chain(ranked_parts) {
                self.read.entries += u64::from(raw_part.is_empty());
                self.read.in_parts += u64::from(!raw_part.is_empty());
                let Some(part) = board.dimensions.part_name(raw_part) else { continue };
                let count = self.counts.entry(raw_part.to_owned()).or_default();
                count.next(ranked, sub_key);
                rows.push(Placed {
                    belongings: if part.is_empty() { (metadata.clone(), segments.clone()) } else { (None, None) },
                    part,
                    place: count.place,
                    competition: count.competition,
                    dense: count.dense,
                    ranked,
                    element: element.clone(),
                    entry: Arc::clone(&entry),
                    subscores: subscores.clone(),
                });
            }
        }
        Ok(rows)
    }
}

impl Leaderboards {
    /// Whether there is an archive, which takes periods beyond what is kept.
    pub(super) fn has_archive(&self) -> bool {
        self.store.unarchived().is_some()
    }

    /// How many periods of a window are looked through: all that are kept, and those that wait.
    pub(super) fn most_periods(&self) -> u64 {
        if self.has_archive() { super::MOST_WAITING_PERIODS } else { super::MOST_PERIODS }
    }

    pub(super) fn note_staying(&self, name: &LeaderboardName, count: u64) {
        let mut counts = self.staying.counts();
        match count {
            0 => drop(counts.remove(name)),
            _ => drop(counts.insert(name.clone(), count)),
        }
    }

    /// The leaderboards with periods that wait for the archive, and how many, as [`super::Roll`] has seen them last.
    pub fn staying(&self) -> Vec<(LeaderboardName, u64)> {
        self.staying.counts().iter().map(|(name, count)| (name.clone(), *count)).collect()
    }

    /// The periods of a leaderboard that are kept no longer, the one that ended first in front.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn surplus(&self, name: &LeaderboardName) -> Result<Vec<Surplus>> {
        let Some(board) = self.store.load(name).await? else {
            self.note_staying(name, 0);
            return Ok(Vec::new());
        };
        let now_ms = self.store.server_us().await?.div_euclid(1000);
        let mut surplus = Vec::new();
        for window in &board.settings.windows {
            let most = self.most_periods();
            let looks = board.shards().map(|shard| self.store.periods(shard, &window.name, Some(now_ms), most));
            let mut ended: Vec<(String, i64)> = try_join_all(looks).await?.into_iter().flatten().collect();
            ended.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
            ended.dedup();
            for (period, ended_ms) in ended.into_iter().skip(window.kept() as usize) {
                let started = period.parse::<jiff::Timestamp>();
                let started = started.map_err(|_| Error::Internal(format!("{period:?} is not a period")))?;
                let (board, window) = (Arc::clone(&board), window.name.clone());
                surplus.push(Surplus { board, window, period, started_ms: started.as_millisecond(), ended_ms });
            }
        }
        surplus.sort_by_key(|period| period.ended_ms);
        if surplus.is_empty() {
            self.note_staying(name, 0);
        }
        Ok(surplus)
    }

    /// Begins to read a period; nothing where it has not ended for good, or is there no more.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn copy(&self, of: Surplus) -> Result<Option<Copying>> {
        if !self.ended(&of).await?.is_some_and(|ended| ended.listed) {
            return Ok(None);
        }
        let ranking = Arc::new(of.board.sections.ranking(&of.window, &of.period, None));
        let chosen = Chosen { ranking, only_while: None, part: None };
        let limit = Limit::try_from(PAGE).unwrap_or(Limit::MOST);
        let next = Some(Span::Offset { offset: 0, limit });
        Ok(Some(Copying { of, chosen, next, counts: HashMap::new(), read: Ended::default() }))
    }

    /// The next rows; none behind the last.
    ///
    /// # Errors
    ///
    /// Those of the store; `Conflict` where the leaderboard has changed: it is to be begun anew.
    pub async fn copy_page(&self, copying: &mut Copying) -> Result<Option<Vec<Placed>>> {
        let Some(span) = &copying.next else { return Ok(None) };
        let read = self.store.page(&copying.of.board, &copying.chosen, Ranking::Ordinal, span).await?;
        let Versioned::Current(Read::Answer(raw)) = read else {
            return Err(Error::Conflict(format!("leaderboard `{}` has changed", copying.of.board.name)));
        };
        let more = raw.from + (raw.elements.len() as u64) < raw.total;
        let last = raw.elements.last().filter(|_| more);
        let last = last.map(|(element, ranked)| Position { ranked: *ranked, element: element.clone() });
        let limit = Limit::try_from(PAGE).unwrap_or(Limit::MOST);
        copying.next = last.map(|Position { ranked, element }| Span::After { ranked, element, limit });
        copying.rows(raw).map(Some)
    }

    /// Whether all that was read of a period, from its beginning to its end, is what stands now. An ended period loses entries, and gets
    /// none: so the counts tell.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn is_copied(&self, copying: &Copying) -> Result<bool> {
        let stands = self.ended(&copying.of).await?;
        Ok(copying.next.is_none() && stands == Some(Ended { listed: true, ..copying.read }))
    }

    /// What all shards have of a period; nothing where one of them has not ended it.
    async fn ended(&self, of: &Surplus) -> Result<Option<Ended>> {
        let looks = of.board.shards().map(|shard| self.store.ended(shard, &of.window, (&of.period, of.ended_ms)));
        let mut all = Ended::default();
        for look in try_join_all(looks).await? {
            match look {
                Versioned::Current(Some(ended)) => {
                    all.listed |= ended.listed;
                    all.entries += ended.entries;
                    all.in_parts += ended.in_parts;
                }
                Versioned::Current(None) => return Ok(None),
                Versioned::Stale => {
                    self.refresh(&of.board).await?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(all))
    }

    /// Frees a period that is archived.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn release(&self, of: &Surplus) -> Result<()> {
        let Surplus { board, window, period, .. } = of;
        // From here on nobody reads what some shards have no more.
        if board.is_spread() {
            self.store.note_leaving(board, window, period).await?;
        }
        self.release_shards(board, window, period).await
    }

    async fn release_shards(&self, board: &Board, window: &WindowName, period: &str) -> Result<()> {
        try_join_all(board.shards().map(|shard| self.store.release(shard, window, period))).await?;
        if board.is_spread() {
            self.store.note_left(board, window, period).await?;
        }
        Ok(())
    }

    /// Frees what was not freed to its end.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(super) async fn release_rest(&self, board: &Board) -> Result<()> {
        if !self.has_archive() || !board.is_spread() {
            return Ok(());
        }
        for of in self.store.leaving(board).await? {
            let Some((window, period)) = of.split_once(':') else { continue };
            let window = WindowName::try_from(window.to_owned()).map_err(Error::Internal)?;
            self.release_shards(board, &window, period).await?;
        }
        Ok(())
    }
}

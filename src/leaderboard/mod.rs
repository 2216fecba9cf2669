//! Leaderboards: rankings of members by score.

mod board;
mod cursor;
mod entry;
mod merge;
mod order_key;
mod reply;
mod settings;
mod store;
mod submission;

/// For benchmarks of the pure parts.
#[doc(hidden)]
pub mod bench {
    pub use super::cursor::{Position, decode as decode_cursor, encode as encode_cursor};
    pub use super::order_key::{decode as decode_order_key, encode_subscores};
}

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use moka::sync::Cache;

pub use self::board::Board;
pub use self::entry::{Distribution, Entry, Lookup, Page, QUANTILES, Ranking, Start, View};
pub use self::settings::{Operator, Order, Settings, SubmissionLimit, Subscore, Ties, Window};
pub use self::submission::{Fingerprint, OPEN_PERIOD, Standing, Submission, WantedRanks, WindowStanding};

use self::board::RankingKeys;
use self::cursor::Position;
use self::entry::Span;
use self::merge::Merger;
use self::store::{Found, LeaderboardStore, Put, RawPage, Read, Submitted, Versioned};
use self::submission::Row;
use crate::db::{Db, Keyspace};
use crate::error::{Error, Result};
use crate::types::{Clock, IdempotencyKey, LeaderboardName, Limit, Member, Radius, Score};

/// Leaderboards whose settings are kept in the process.
const CACHED_BOARDS: u64 = 10_000;
/// How often a call is made again because the settings changed under it.
const MOST_TRIES: usize = 5;
/// Submissions in one script call: one to two milliseconds of Redis.
const CHUNK: usize = 100;
/// Members looked up in one script call.
const LOOKUP_CHUNK: usize = 200;
/// Entries trimmed in one script call: about a millisecond of Redis.
const TRIM_STEP: u64 = 200;

/// The leaderboards of a service. Clones share the cache of settings.
#[derive(Clone)]
pub struct Leaderboards {
    store: LeaderboardStore,
    boards: Cache<LeaderboardName, Arc<Board>>,
    merger: Arc<OnceLock<Merger>>,
    auto_create: bool,
}

/// A leaderboard with its size.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The leaderboard.
    pub board: Arc<Board>,
    /// Entries in its first window.
    pub entries: u64,
}

impl Leaderboards {
    /// The leaderboards kept in `db`. With `auto_create`, the first score of an unknown one creates it.
    pub fn new(db: Db, keyspace: Keyspace, clock: Clock, auto_create: bool) -> Self {
        Self {
            store: LeaderboardStore::new(db, keyspace, clock),
            boards: Cache::new(CACHED_BOARDS),
            merger: Arc::default(),
            auto_create,
        }
    }

    /// The same leaderboards through another connection.
    #[must_use]
    pub fn on(&self, db: Db) -> Self {
        Self {
            store: self.store.on(db),
            boards: self.boards.clone(),
            merger: Arc::default(),
            auto_create: self.auto_create,
        }
    }

    /// Creates a leaderboard or replaces its settings; tells whether it was created.
    ///
    /// # Errors
    ///
    /// `Invalid` for settings that break a rule; `Conflict` where entries forbid the change.
    pub async fn put(&self, name: &LeaderboardName, settings: Settings) -> Result<(bool, Summary)> {
        let faults = settings.faults();
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        for _ in 0..MOST_TRIES {
            let old = self.store.load(name).await?;
            if let Some(summary) = self.put_over(name, old.as_deref(), settings.clone()).await? {
                return Ok((old.is_none(), summary));
            }
        }
        Err(changing(name))
    }

    async fn put_over(
        &self,
        name: &LeaderboardName,
        old: Option<&Board>,
        settings: Settings,
    ) -> Result<Option<Summary>> {
        let mut new = store::draft(self.store.keyspace(), name, old, settings);
        if old.is_none() {
            // Listed before it is there, in case this process ends in between, and once more after, in case a deletion
            // took the name from the list in between.
            self.store.list_name(name).await?;
        }
        match self.store.put(old, &new).await? {
            Versioned::Stale => Ok(None),
            Versioned::Current(Put::Fixed) => Err(Error::Conflict(format!(
                "leaderboard `{name}` has entries, so its order, operator, ties, subscores and shards cannot change"
            ))),
            Versioned::Current(Put::Stored { entries, created_ms }) => {
                if old.is_none() {
                    self.store.list_name(name).await?;
                }
                new.created_at = reply::millis(&created_ms)?;
                let board = Arc::new(new);
                self.boards.insert(name.clone(), Arc::clone(&board));
                let entries = self.trim(&board, entries).await?;
                Ok(Some(Summary { board, entries }))
            }
        }
    }

    /// Brings every ranking down to `max_entries`, in short steps; gives the entries of the first one.
    async fn trim(&self, board: &Board, entries: u64) -> Result<u64> {
        let Some(keep) = board.settings.max_entries else { return Ok(entries) };
        for ranking in &board.rankings {
            // A stale answer means that the settings have changed again: whoever did that trims.
            while let Versioned::Current(1..) = self.store.trim(board, ranking, keep, TRIM_STEP).await? {}
        }
        Ok(entries.min(keep))
    }

    /// The leaderboard and its size, as it is now.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`.
    pub async fn get(&self, name: &LeaderboardName) -> Result<Summary> {
        let board = self.store.load(name).await?.ok_or_else(|| Error::NoLeaderboard(name.clone()))?;
        let entries = self.store.entries(&board).await?;
        Ok(Summary { board, entries })
    }

    /// Leaderboards by name, after `after`; and the name to go on after, if there are more.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(&self, after: Option<&str>, limit: Limit) -> Result<(Vec<Summary>, Option<LeaderboardName>)> {
        let (names, more) = self.store.names(after, limit).await?;
        let reads = futures_util::future::join_all(names.iter().map(|name| self.get(name))).await;
        let mut summaries = Vec::with_capacity(names.len());
        for read in reads {
            match read {
                Ok(summary) => summaries.push(summary),
                // Listed a moment before it is created, or after it is deleted.
                Err(Error::NoLeaderboard(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((summaries, names.last().filter(|_| more).cloned()))
    }

    /// Submits one score; with a key, once.
    ///
    /// # Errors
    ///
    /// `Invalid` where the submission breaks the leaderboard's rules, `PeriodClosed`, `SubmissionLimit`,
    /// `IdempotencyMismatch`; `NoLeaderboard` without auto-creation.
    pub async fn submit(&self, name: &LeaderboardName, submission: &Submission) -> Result<Standing> {
        for _ in 0..MOST_TRIES {
            let board = self.find_or_create(name).await?;
            let row = submission.to_row(&board.settings, "one")?;
            let merger = self.merger.get_or_init(|| Merger::start(self.store.clone()));
            match merger.submit(&board, row).await? {
                Versioned::Stale => self.boards.invalidate(name),
                Versioned::Current(result) => return standing(&board, submission.member.clone(), result, false),
            }
        }
        Err(changing(name))
    }

    /// Submits many scores, each for itself; with a key for the whole, once.
    ///
    /// The results stand in the order of the items; an item that could not be read keeps its error.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard` without auto-creation, `IdempotencyMismatch` for the key of the whole, and those of the store where
    /// they met every item.
    pub async fn submit_many(
        &self,
        name: &LeaderboardName,
        items: Vec<Result<Submission>>,
        ranks: WantedRanks,
        key: Option<&IdempotencyKey>,
    ) -> Result<Vec<Result<Standing>>> {
        let whole = key.map(|key| {
            let readable = items.iter().filter_map(|item| item.as_ref().ok());
            (key, Fingerprint::of(&format!("{} {ranks:?}", items.len()), readable))
        });
        self.find_or_create(name).await?;
        let mut results = Vec::with_capacity(items.len());
        let mut store_error = None;
        for (number, chunk) in items.chunks(CHUNK).enumerate() {
            let part = format!("batch{number}");
            let record = whole.as_ref().map(|(key, fingerprint)| (*key, part.as_str(), fingerprint));
            match self.submit_chunk(name, chunk, ranks, record).await {
                Ok(done) => results.extend(done),
                Err(error @ (Error::IdempotencyMismatch | Error::NoLeaderboard(_))) => return Err(error),
                Err(error) => {
                    results.extend(chunk.iter().map(|_| Err(error.clone())));
                    store_error = Some(error);
                }
            }
        }
        match store_error {
            Some(error) if results.iter().all(Result::is_err) => Err(error),
            Some(_) | None => Ok(results),
        }
    }

    async fn submit_chunk(
        &self,
        name: &LeaderboardName,
        items: &[Result<Submission>],
        ranks: WantedRanks,
        record: Option<(&IdempotencyKey, &str, &Fingerprint)>,
    ) -> Result<Vec<Result<Standing>>> {
        self.on_current(name, true, async |board| {
            let rows: Vec<Result<Row>> = items
                .iter()
                .map(|item| item.as_ref().map_err(Error::clone).and_then(|item| item.to_row(&board.settings, "item")))
                .collect();
            let good: Vec<&Row> = rows.iter().filter_map(|row| row.as_ref().ok()).collect();
            if good.is_empty() {
                return Ok(Versioned::Current(
                    rows.into_iter().map(|row| row.and_then(|_| Err(changing(name)))).collect(),
                ));
            }
            let submitted = self.store.submit(board, &good, ranks, record).await?;
            let Versioned::Current((results, replayed)) = submitted else { return Ok(Versioned::Stale) };
            let mut results = results.into_iter();
            let missing = || Error::Internal("a submission was not answered".to_owned());
            let standings = rows.into_iter().map(|row| {
                let row = row?;
                standing(board, row.member, results.next().ok_or_else(missing)?, replayed)
            });
            Ok(Versioned::Current(standings.collect()))
        })
        .await
    }

    /// A run of entries, best first.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow`, `NoPeriod`; `Malformed` for a cursor of another list.
    pub async fn rankings(&self, name: &LeaderboardName, view: &View, start: &Start, limit: Limit) -> Result<Page> {
        self.on_current(name, false, async |board| {
            let ranking = pick(board, view)?;
            let span = match start {
                Start::Offset(offset) => Span::Offset { offset: *offset, limit },
                Start::Cursor(text) => {
                    let Position { ranked, element } = cursor::decode(&board.cursor_context(ranking), text)?;
                    Span::After { ranked, element, limit }
                }
            };
            self.page(board, ranking, view.ranking, &span).await?.present(|| no_entry(name))
        })
        .await
    }

    /// The entry of a member, as a page of one.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`]; `NoMember`.
    pub async fn member(&self, name: &LeaderboardName, member: &Member, view: &View) -> Result<Page> {
        self.around_member(name, member, view, 0).await
    }

    /// The entries around a member, up to `radius` on each side.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::member`].
    pub async fn around_member(
        &self,
        name: &LeaderboardName,
        member: &Member,
        view: &View,
        radius: u32,
    ) -> Result<Page> {
        self.on_current(name, false, async |board| {
            let span = Span::Member { member: member.clone(), radius };
            let absent = || Error::NoMember { leaderboard: name.clone(), member: member.clone() };
            self.page(board, pick(board, view)?, view.ranking, &span).await?.present(absent)
        })
        .await
    }

    /// Where a score would stand if it were submitted now, and the entries around that place.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`].
    pub async fn around_score(
        &self,
        name: &LeaderboardName,
        score: Score,
        view: &View,
        radius: Radius,
    ) -> Result<Page> {
        self.on_current(name, false, async |board| {
            let span = Span::Score {
                ranked: board.settings.turned(score),
                ahead_of_equals: board.settings.ties == Ties::Latest,
                radius,
            };
            self.page(board, pick(board, view)?, view.ranking, &span).await?.present(|| no_entry(name))
        })
        .await
    }

    /// The entries of the members asked for, best first, and who has none.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`].
    pub async fn lookup(&self, name: &LeaderboardName, members: &[Member], view: &View) -> Result<Lookup> {
        let mut seen = BTreeSet::new();
        let wanted: Vec<Member> = members.iter().filter(|member| seen.insert(*member)).cloned().collect();
        self.on_current(name, false, async |board| {
            let ranking = pick(board, view)?;
            let mut found: Vec<Found> = Vec::new();
            let mut missing = Vec::new();
            for chunk in wanted.chunks(LOOKUP_CHUNK) {
                let looked_up = self.lookup_chunk(board, ranking, view.ranking, chunk).await?;
                let Versioned::Current(rows) = looked_up else { return Ok(Versioned::Stale) };
                for (member, row) in chunk.iter().zip(rows) {
                    match row {
                        Some(row) => found.push(row),
                        None => missing.push(member.clone()),
                    }
                }
            }
            found.sort_by(|a, b| a.ranked.value().total_cmp(&b.ranked.value()).then_with(|| a.element.cmp(&b.element)));
            let entries: Result<Vec<Entry>> = found
                .into_iter()
                .map(|row| {
                    let rank = if view.ranking == Ranking::Ordinal { row.place + 1 } else { row.rank };
                    Ok(Entry { rank, ..reply::entry(board, &row.element, row.ranked, Some(row.metadata))? })
                })
                .collect();
            Ok(Versioned::Current(Lookup { columns: columns(board), entries: entries?, missing }))
        })
        .await
    }

    async fn lookup_chunk(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        shown: Ranking,
        members: &[Member],
    ) -> Result<Versioned<Vec<Option<Found>>>> {
        for _ in 0..MOST_TRIES {
            match self.store.lookup(board, ranking, shown, members).await? {
                Versioned::Stale => return Ok(Versioned::Stale),
                Versioned::Current(Read::Answer(rows)) => return Ok(Versioned::Current(rows)),
                Versioned::Current(Read::Undistinct | Read::Absent) => {
                    self.store.build_distinct(board, ranking).await?;
                }
            }
        }
        Err(changing(&board.name))
    }

    /// How the scores are spread over so many buckets of equal width.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`].
    pub async fn distribution(&self, name: &LeaderboardName, view: &View, buckets: u32) -> Result<Distribution> {
        self.on_current(name, false, async |board| self.store.distribution(board, pick(board, view)?, buckets).await)
            .await
    }

    /// Removes a member from every window.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`; `NoMember` where it stands in none.
    pub async fn remove(&self, name: &LeaderboardName, member: &Member) -> Result<()> {
        let removed = self.on_current(name, false, async |board| self.store.remove(board, member).await).await?;
        if removed == 0 {
            return Err(Error::NoMember { leaderboard: name.clone(), member: member.clone() });
        }
        Ok(())
    }

    /// Deletes a leaderboard with all that it holds.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`.
    pub async fn delete(&self, name: &LeaderboardName) -> Result<()> {
        self.on_current(name, false, async |board| self.store.delete(board).await).await?;
        self.boards.invalidate(name);
        self.store.unlist_name(name).await?;
        // Created again in the meantime: it belongs in the list.
        if self.store.load(name).await?.is_some() {
            self.store.list_name(name).await?;
        }
        Ok(())
    }

    async fn find(&self, name: &LeaderboardName) -> Result<Arc<Board>> {
        if let Some(board) = self.boards.get(name) {
            return Ok(board);
        }
        let board = self.store.load(name).await?.ok_or_else(|| Error::NoLeaderboard(name.clone()))?;
        self.boards.insert(name.clone(), Arc::clone(&board));
        Ok(board)
    }

    async fn find_or_create(&self, name: &LeaderboardName) -> Result<Arc<Board>> {
        match self.find(name).await {
            Err(Error::NoLeaderboard(_)) if self.auto_create => {}
            found => return found,
        }
        for _ in 0..MOST_TRIES {
            if let Some(board) = self.store.load(name).await? {
                return Ok(board);
            }
            if let Some(summary) = self.put_over(name, None, Settings::default()).await? {
                return Ok(summary.board);
            }
        }
        Err(changing(name))
    }

    /// Runs `call` with the leaderboard as it is cached, and again with what the store has where that has changed.
    async fn on_current<T>(
        &self,
        name: &LeaderboardName,
        create: bool,
        call: impl AsyncFn(&Board) -> Result<Versioned<T>>,
    ) -> Result<T> {
        for _ in 0..MOST_TRIES {
            let board = if create { self.find_or_create(name).await? } else { self.find(name).await? };
            match call(&board).await? {
                Versioned::Current(answer) => return Ok(answer),
                Versioned::Stale => self.boards.invalidate(name),
            }
        }
        Err(changing(name))
    }

    async fn page(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        shown: Ranking,
        span: &Span,
    ) -> Result<Versioned<Option<Page>>> {
        for _ in 0..MOST_TRIES {
            match self.store.page(board, ranking, shown, span).await? {
                Versioned::Stale => return Ok(Versioned::Stale),
                Versioned::Current(Read::Absent) => return Ok(Versioned::Current(None)),
                Versioned::Current(Read::Undistinct) => {
                    self.store.build_distinct(board, ranking).await?;
                }
                Versioned::Current(Read::Answer(raw)) => {
                    return Ok(Versioned::Current(Some(to_page(board, ranking, shown, raw)?)));
                }
            }
        }
        Err(changing(&board.name))
    }
}

impl Versioned<Option<Page>> {
    fn present(self, absent: impl FnOnce() -> Error) -> Result<Versioned<Page>> {
        match self {
            Self::Stale => Ok(Versioned::Stale),
            Self::Current(Some(page)) => Ok(Versioned::Current(page)),
            Self::Current(None) => Err(absent()),
        }
    }
}

fn changing(name: &LeaderboardName) -> Error {
    Error::StoreUnavailable(format!("leaderboard `{name}` changes too often at the moment"))
}

fn no_entry(name: &LeaderboardName) -> Error {
    Error::Internal(format!("a run of entries of `{name}` was not found"))
}

fn columns(board: &Board) -> Vec<crate::types::WindowName> {
    board.settings.subscores.iter().map(|column| column.name.clone()).collect()
}

/// The ranking that a view shows.
fn pick<'a>(board: &'a Board, view: &View) -> Result<&'a RankingKeys> {
    if view.segment.is_some() {
        return Err(Error::invalid("segment", "this leaderboard has no segments"));
    }
    let ranking = match &view.window {
        None => board.rankings.first(),
        Some(window) => board.rankings.iter().find(|ranking| ranking.window == *window),
    };
    let ranking = ranking.ok_or_else(|| Error::NoWindow {
        leaderboard: board.name.clone(),
        window: view.window.as_ref().map_or(String::new(), ToString::to_string),
    })?;
    match &view.period {
        Some(period) if *period != ranking.period => {
            Err(Error::NoPeriod { window: ranking.window.to_string(), period: period.clone() })
        }
        Some(_) | None => Ok(ranking),
    }
}

fn to_page(board: &Board, ranking: &RankingKeys, shown: Ranking, raw: RawPage) -> Result<Page> {
    let mut entries: Vec<Entry> = Vec::with_capacity(raw.elements.len());
    let last = raw.elements.last().map(|(element, ranked)| Position { ranked: *ranked, element: element.clone() });
    let mut metadata = raw.metadata.into_iter();
    for (place, (element, ranked)) in (raw.from..).zip(raw.elements) {
        let mut entry = reply::entry(board, &element, ranked, metadata.next())?;
        entry.rank = match entries.last() {
            None => raw.first_rank,
            Some(above) => {
                let equal = above.score == entry.score && above.subscores == entry.subscores;
                match shown {
                    Ranking::Ordinal => place + 1,
                    Ranking::Competition | Ranking::Dense if equal => above.rank,
                    Ranking::Competition => place + 1,
                    Ranking::Dense => above.rank + 1,
                }
            }
        };
        entries.push(entry);
    }
    let more = raw.from + (entries.len() as u64) < raw.total;
    let context = board.cursor_context(ranking);
    Ok(Page {
        window: ranking.window.clone(),
        period: ranking.period.clone(),
        columns: columns(board),
        total: raw.total,
        asked: raw.asked,
        from: raw.from,
        entries,
        next_cursor: last.filter(|_| more).map(|position| cursor::encode(&context, &position)),
    })
}

fn standing(board: &Board, member: Member, result: Submitted, call_replayed: bool) -> Result<Standing> {
    match result {
        Submitted::Counted { windows, replayed } => {
            Ok(Standing { member, windows, replayed: replayed || call_replayed })
        }
        Submitted::Mismatch => Err(Error::IdempotencyMismatch),
        Submitted::Overflow => Err(Error::invalid("/score", "the sum would leave the range of a double")),
        Submitted::Limited { retry_after_ms } => {
            let (limit, per_ms) = board.settings.submission_limit.map_or((0, 0), |limit| (limit.limit, limit.per_ms));
            Err(Error::SubmissionLimit { member, limit, per_ms, retry_after_ms })
        }
    }
}

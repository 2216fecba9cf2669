//! Leaderboards: rankings of members by score.

mod adjust;
mod archived;
mod audit;
mod bans;
mod board;
mod calendar;
mod check;
mod closing;
mod cursor;
mod decay;
mod decaying;
mod entry;
mod erase;
mod export;
mod import;
mod member_rankings;
mod merge;
mod movement;
mod order_key;
mod outbox;
mod packed;
mod payout;
mod period;
mod profiles;
mod read_merge;
mod reads;
mod reply;
mod reward;
mod roll;
mod rounds;
mod section;
mod segment_values;
mod segments;
mod service_bans;
mod settings;
mod snapshots;
mod starts;
mod store;
mod submission;
mod submit;
mod surplus;
mod watch;

/// For benchmarks of the pure parts.
#[doc(hidden)]
pub mod bench {
    pub use super::cursor::{Position, decode as decode_cursor, encode as encode_cursor};
    pub use super::decay::Decay;
    pub use super::order_key::{decode as decode_order_key, encode_subscores};
}

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use futures_util::future::try_join_all;
use moka::sync::Cache;

pub use self::adjust::{Removed, ScoreRange};
pub use self::archived::{ArchivedPeriod, ArchivedRow, Found, PeriodName, Wanted};
pub use self::audit::{Act, Action, AuditEntry};
pub use self::bans::{Ban, Severity};
pub use self::board::Board;
pub use self::check::BoardReport;
pub use self::closing::ClosedPeriod;
pub use self::entry::{Distribution, Entry, Lookup, Page, QUANTILES, Ranking, Start, View};
pub use self::erase::ErasedEntries;
pub use self::export::Export;
pub use self::import::{IMPORT_BATCH, Import, ImportRow};
pub use self::member_rankings::MemberRankings;
pub use self::outbox::{EventKind, EventWindow, MemberEvent, OnTheirWay, Origin, ScoresLeft};
pub use self::payout::Payout;
pub use self::period::{Period, PeriodStart, PeriodState};
pub use self::profiles::{ProfileSettings, ProfileUrl};
pub use self::reward::{OnClose, Reward};
pub use self::roll::Roll;
pub use self::segment_values::SegmentValues;
pub use self::service_bans::FinishBans;
pub use self::settings::{Operator, Order, Settings, SnapshotSettings, SubmissionLimit, Subscore, Ties, Window};
pub use self::snapshots::{Snapshot, TakeSnapshots};
pub use self::submission::{Fingerprint, OPEN_PERIOD, Standing, Submission, WantedRanks, WindowStanding};
pub use self::surplus::{Copying, Placed, Surplus};
pub use self::watch::changed_leaderboard;

use self::audit::AuditNote;
use self::board::RankingKeys;
use self::closing::Closings;
use self::merge::Merger;
use self::read_merge::Reader;
use self::section::Section;
use self::store::{LeaderboardStore, Put, Versioned};
use self::surplus::Staying;
use crate::db::{Db, Keyspace};
use crate::error::{Error, Result};
use crate::types::{Clock, LeaderboardName, Limit, Member, NameRange};

/// Leaderboards whose settings are kept in the process.
const CACHED_BOARDS: u64 = 10_000;
/// How often a call is made again because the settings changed under it.
const MOST_TRIES: usize = 5;
/// Submissions in one script call: about a millisecond of Redis.
const CHUNK: usize = 50;
/// Entries trimmed in one script call: under a millisecond of Redis.
const TRIM_STEP: u64 = 32;
/// Periods of a window that are handed on to be freed before a change of the settings.
const ROLLED_AT_ONCE: u64 = 50;
/// Periods of a window that are looked through for a member: more than may be kept, and some that wait to be freed.
const MOST_PERIODS: u64 = 2000;
/// The same where there is an archive: they may wait for it.
const MOST_WAITING_PERIODS: u64 = 1_000_000;
/// Rankings that a member is removed from in one script call.
const RANKINGS_AT_ONCE: usize = 16;

/// The leaderboards of a service. Clones share the cache of settings.
#[derive(Clone)]
pub struct Leaderboards {
    store: LeaderboardStore,
    boards: Cache<LeaderboardName, Arc<Board>>,
    merger: Arc<OnceLock<Merger>>,
    reader: Arc<OnceLock<Reader>>,
    closings: Arc<Closings>,
    staying: Arc<Staying>,
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
            reader: Arc::default(),
            closings: Arc::default(),
            staying: Arc::default(),
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
            reader: Arc::default(),
            closings: Arc::clone(&self.closings),
            staying: Arc::clone(&self.staying),
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
        let mut new = store::draft(self.store.keyspace(), name, old, settings)?;
        if let Some(old) = old
            && old.is_spread()
            && old.settings.fixed_part() != new.settings.fixed_part()
        {
            return Err(fixed(name));
        }
        let mut only_while = None;
        if let Some(old) = old {
            self.check_resets(old, &new).await?;
            // What ends from here on makes the call stale, so that each period is paid by the settings that it was closed under.
            let most = if self.has_archive() { 0 } else { ROLLED_AT_ONCE };
            for part in old.parts() {
                // One that is behind is brought to what stands below.
                self.store.roll(part, most).await?;
            }
            let Versioned::Current(rolled) = self.store.roll(old, most).await? else { return Ok(None) };
            if rolled.closing {
                self.note_closing(name);
            }
            let until_us = old.sections.at(rolled.now_us).bounds().1;
            only_while = old.sections.change().then_some((rolled.now_us, until_us));
            self.check_paid(old, &new).await?;
        }
        if old.is_none() {
            // Listed before it is there, in case this process ends in between, and once more after, in case a deletion
            // took the name from the list in between.
            self.store.list_name(name).await?;
        }
        match self.store.put(old, &new, only_while).await? {
            Versioned::Stale => Ok(None),
            Versioned::Current(Put::Fixed) => Err(fixed(name)),
            Versioned::Current(Put::Stored { entries, created_ms, starts }) => {
                if old.is_none() {
                    self.store.list_name(name).await?;
                }
                new.created_at = reply::millis(&created_ms)?;
                new.starts = starts;
                let board = Arc::new(new);
                self.bring_all(&board).await?;
                self.boards.insert(name.clone(), Arc::clone(&board));
                if let Some(old) = old {
                    self.drop_dimensions(old, &board).await?;
                    self.free_all(board.keyspace(), name).await?;
                }
                let entries = if board.is_spread() { self.store.entries(&board).await? } else { entries };
                let entries = self.trim(&board, entries).await?;
                Ok(Some(Summary { board, entries }))
            }
        }
    }

    /// Refuses other resets of windows that have entries.
    async fn check_resets(&self, old: &Board, new: &Board) -> Result<()> {
        for window in old.windows_changed_in(new) {
            let held = try_join_all(old.shards().map(|shard| self.store.holds(shard, window))).await?;
            if held.contains(&true) {
                return Err(Error::Conflict(format!(
                    "window `{}` of leaderboard `{}` has entries, so its reset and timezone cannot change: add another window",
                    window.name, old.name
                )));
            }
        }
        Ok(())
    }

    /// Refuses to drop windows with periods that are still to be paid.
    async fn check_paid(&self, old: &Board, new: &Board) -> Result<()> {
        let closings = self.store.closings(old).await?;
        match old.windows_missing_in(new).find(|window| closings.iter().any(|closing| closing.window == window.name)) {
            None => Ok(()),
            Some(window) => Err(Error::Conflict(format!(
                "window `{}` of leaderboard `{}` has a period whose rewards are still being handed out: try again later",
                window.name, old.name
            ))),
        }
    }

    /// Frees all that waits for it, in short steps.
    async fn free_all(&self, keyspace: &Keyspace, name: &LeaderboardName) -> Result<()> {
        while self.store.free(keyspace, name).await? > 0 {}
        Ok(())
    }

    /// Brings all further shards to what their leaderboard is.
    async fn bring_all(&self, board: &Board) -> Result<()> {
        try_join_all(board.parts().iter().map(|part| self.bring(part))).await.map(drop)
    }

    /// Brings a further shard to what its leaderboard is: it may be new, or have missed a change whose process has ended.
    async fn bring(&self, part: &Board) -> Result<()> {
        for _ in 0..MOST_TRIES {
            let old = self.store.load_from(part.keyspace(), &part.name).await?;
            if let Some(old) = &old {
                if old.version.epoch != part.version.epoch {
                    // Of a leaderboard that was deleted.
                    self.store.delete(old).await?;
                    self.free_all(part.keyspace(), &part.name).await?;
                    continue;
                }
                if old.version.number >= part.version.number {
                    return Ok(());
                }
            }
            if let Versioned::Current(_) = self.store.put(old.as_deref(), part, None).await? {
                if let Some(old) = old {
                    self.drop_dimensions(&old, part).await?;
                    self.free_all(part.keyspace(), &part.name).await?;
                }
                return Ok(());
            }
        }
        Err(changing(&part.name))
    }

    /// Forgets what was cached of a leaderboard that has changed. Where only some of its shards are behind, they are brought to
    /// what it is.
    async fn refresh(&self, board: &Board) -> Result<()> {
        self.boards.invalidate(&board.name);
        if board.is_spread() && self.store.load(&board.name).await?.is_some_and(|current| current.is(board)) {
            self.bring_all(board).await?;
        }
        Ok(())
    }

    /// Brings every open ranking down to `max_entries`, in short steps; gives the entries of the first one.
    async fn trim(&self, board: &Board, entries: u64) -> Result<u64> {
        let Some(keep) = board.settings.max_entries else { return Ok(entries) };
        for ranking in &self.store.section(board).rankings {
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

    /// Where the profiles of its members come from, if from anywhere, as the read before has found the settings.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`.
    pub async fn profiles(&self, name: &LeaderboardName) -> Result<Option<ProfileSettings>> {
        Ok(self.find(name).await?.settings.profiles.clone())
    }

    /// Leaderboards of these ranges by name, after `after`; and the name to go on after, if there are more.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(
        &self,
        ranges: &[NameRange],
        after: Option<&str>,
        limit: Limit,
    ) -> Result<(Vec<Summary>, Option<LeaderboardName>)> {
        let (names, more) = self.store.names_in(ranges, after, limit).await?;
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

    /// Removes a member from every window, periods that have ended and what is hidden of it included.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`; `NoMember` where it stands in none.
    pub async fn remove(&self, name: &LeaderboardName, member: &Member, act: &Act) -> Result<()> {
        let note = AuditNote::new(act, Action::Remove, Some(member));
        // Counted over all tries: one that meets new settings may have removed entries before.
        let removed = Cell::new(0);
        let remove = async |board: &Arc<Board>| {
            self.remove_everywhere(board.shard(board.shard_of(member)), member, &removed, &note).await
        };
        self.on_current(name, remove).await?;
        if removed.get() == 0 {
            return Err(Error::NoMember { leaderboard: name.clone(), member: member.clone() });
        }
        Ok(())
    }

    async fn remove_everywhere(
        &self,
        board: &Board,
        member: &Member,
        removed: &Cell<u64>,
        note: &AuditNote,
    ) -> Result<Versioned<()>> {
        let section = self.store.section(board);
        // Listed before the open ones are emptied: what ends in between makes that call come again.
        let ended = self.ended_rankings(board, &section).await?;
        let only_while = board.sections.change().then(|| section.bounds());
        let steps = std::iter::once((&section.rankings[..], only_while));
        for (rankings, only_while) in steps.chain(ended.chunks(RANKINGS_AT_ONCE).map(|chunk| (chunk, None))) {
            // Audited by the first step that removes something.
            let note = (removed.get() == 0).then_some(note);
            match self.store.remove(board, member, rankings, only_while, note).await? {
                Versioned::Stale => return Ok(Versioned::Stale),
                Versioned::Current(count) => removed.set(removed.get() + count),
            }
        }
        Ok(Versioned::Current(()))
    }

    /// The rankings that have ended, and are kept.
    async fn ended_rankings(&self, board: &Board, section: &Section) -> Result<Vec<Arc<RankingKeys>>> {
        let mut ended = Vec::new();
        for window in &board.settings.windows {
            for (period, _) in self.store.periods(board, &window.name, None, self.most_periods()).await? {
                let is_open = |open: &Arc<RankingKeys>| open.window == window.name && open.period == period;
                if !section.rankings.iter().any(is_open) {
                    ended.push(Arc::new(board.sections.ranking(&window.name, &period, None)));
                }
            }
        }
        Ok(ended)
    }

    /// Deletes a leaderboard with all that it holds.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`.
    pub async fn delete(&self, name: &LeaderboardName) -> Result<()> {
        let deleted = self.on_current(name, async |board| {
            // Before it is gone, in case this process ends in between: what is on its way to the archive is found by this list.
            self.store.list_unarchived(board).await?;
            // The first one last: as long as it is there, a deletion that was cut off can be asked for again.
            self.delete_parts(board).await?;
            let Versioned::Current(()) = self.store.delete(board).await? else { return Ok(Versioned::Stale) };
            // Those that a submission has brought back in between.
            self.delete_parts(board).await.map(Versioned::Current)
        });
        deleted.await?;
        self.boards.invalidate(name);
        self.free_all(self.store.keyspace(), name).await?;
        self.store.unlist_name(name).await?;
        // Created again in the meantime: it belongs in the list.
        if self.store.load(name).await?.is_some() {
            self.store.list_name(name).await?;
        }
        Ok(())
    }

    async fn delete_parts(&self, board: &Board) -> Result<()> {
        for part in board.parts() {
            if let Some(stands) = self.store.load_from(part.keyspace(), &part.name).await? {
                self.store.delete(&stands).await?;
            }
            self.free_all(part.keyspace(), &part.name).await?;
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

    /// Whether an error comes of settings that another instance has changed meanwhile. The cache then has what stands.
    async fn is_overtaken(&self, board: &Board, error: &Error) -> Result<bool> {
        if !depends_on_settings(error) {
            return Ok(false);
        }
        let current = self.store.load(&board.name).await?;
        let overtaken = !current.as_ref().is_some_and(|current| current.is(board));
        match current {
            Some(current) => self.boards.insert(board.name.clone(), current),
            None => self.boards.invalidate(&board.name),
        }
        Ok(overtaken)
    }

    /// Runs `call` with the leaderboard as it is cached, and again with what the store has where that has changed.
    async fn on_current<T>(
        &self,
        name: &LeaderboardName,
        call: impl AsyncFn(&Arc<Board>) -> Result<Versioned<T>>,
    ) -> Result<T> {
        for _ in 0..MOST_TRIES {
            let board = self.find(name).await?;
            match call(&board).await {
                Ok(Versioned::Current(answer)) => return Ok(answer),
                Ok(Versioned::Stale) => self.refresh(&board).await?,
                Err(error) if self.is_overtaken(&board, &error).await? => {}
                Err(error) => return Err(error),
            }
        }
        Err(changing(name))
    }
}

/// Whether other settings might have led to something else.
fn depends_on_settings(error: &Error) -> bool {
    matches!(
        error,
        Error::Invalid(_)
            | Error::NoWindow { .. }
            | Error::NoPeriod { .. }
            | Error::PeriodClosed { .. }
            | Error::Malformed(_)
    )
}

fn fixed(name: &LeaderboardName) -> Error {
    Error::Conflict(format!(
        "leaderboard `{name}` has entries or shards, so its order, operator, ties, subscores, half-life and shards cannot change"
    ))
}

fn changing(name: &LeaderboardName) -> Error {
    Error::StoreUnavailable(format!("leaderboard `{name}` changes too often at the moment"))
}

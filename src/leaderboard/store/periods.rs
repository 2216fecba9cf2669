//! The periods of windows, and what becomes of those that nobody reads any more.

use redis::Value;

use super::super::board::{Board, RankingKeys, free_key};
use super::super::reply::Reply;
use super::super::section::ranking_keys;
use super::super::settings::Window;
use super::super::submission::OPEN_PERIOD;
use super::closing::{closing_field, with_lists};
use super::{FREE, LeaderboardStore, PERIODS, ROLL, Versioned};
use crate::db::{Effect, Keyspace, ScriptCall};
use crate::error::Result;
use crate::types::{LeaderboardName, WindowName};

/// Rankings freed in one step: Redis drops the contents of large keys in a thread of its own.
const FREE_STEP: i64 = 16;

/// The keys of windows that go.
#[derive(Default)]
pub(super) struct Going {
    /// The lists of periods, and the stems of their keys.
    pub(super) lists: Vec<String>,
    pub(super) stems: Vec<String>,
    /// Keys of windows that do not reset.
    pub(super) others: Vec<String>,
}

/// What a look at the periods of a leaderboard did and found.
pub(in crate::leaderboard) struct Rolled {
    pub(in crate::leaderboard) closed: u64,
    /// Rankings that are to be freed.
    pub(in crate::leaderboard) to_free: u64,
    /// Whether anything is to be paid.
    pub(in crate::leaderboard) closing: bool,
    pub(in crate::leaderboard) now_us: i64,
    /// Periods that stay for the archive.
    pub(in crate::leaderboard) staying: u64,
}

/// What was counted of periods, and what the script knew of the time, in ms.
pub(in crate::leaderboard) struct Counted {
    pub(in crate::leaderboard) now_ms: i64,
    pub(in crate::leaderboard) closed_until_ms: i64,
    /// The entries of each, and whether it is still to be paid.
    pub(in crate::leaderboard) periods: Vec<(u64, bool)>,
}

impl Counted {
    /// Adds what another shard has of the same periods.
    pub(in crate::leaderboard) fn add(&mut self, other: &Self) {
        self.closed_until_ms = self.closed_until_ms.min(other.closed_until_ms);
        for ((entries, is_closing), (more, closes)) in self.periods.iter_mut().zip(&other.periods) {
            *entries += more;
            *is_closing |= closes;
        }
    }
}

impl LeaderboardStore {
    /// Counts the entries of periods. `only_while` is when the first one is open.
    pub(in crate::leaderboard) async fn count_periods(
        &self,
        board: &Board,
        rankings: &[RankingKeys],
        only_while: Option<(i64, i64)>,
    ) -> Result<Versioned<Counted>> {
        let closing = board.closing_key();
        let mut keys = vec![board.key.as_str(), &closing];
        keys.extend(rankings.iter().map(|ranking| ranking.rank.as_str()));
        let call = PERIODS.keys(&keys).arg(self.asked(board, only_while)).arg(self.clock.to_argument());
        let call = rankings.iter().fold(call, |call, of| call.arg(closing_field(&of.window, &of.period)));
        let Versioned::Current(mut reply) = self.current(call.run(&self.db).await?)? else {
            return Ok(Versioned::Stale);
        };
        let (now_ms, closed_until_ms) = (reply.integer()?, reply.integer()?);
        let mut periods = Vec::with_capacity(rankings.len());
        while !reply.is_empty() {
            periods.push((reply.count()?, reply.count()? == 1));
        }
        Ok(Versioned::Current(Counted { now_ms, closed_until_ms, periods }))
    }

    /// Closes what has ended, and hands up to `most` periods of a window on to be freed. With 0 they stay for the archive.
    pub(in crate::leaderboard) async fn roll(&self, board: &Board, most: u64) -> Result<Versioned<Rolled>> {
        let mut keys = vec![board.key.clone(), free_key(board.keyspace(), &board.name), board.closing_key()];
        keys.extend(board.settings.windows.iter().map(|window| board.periods_key(&window.name)));
        let call = ROLL.keys(&keys).arg(board.version.text()).arg(self.clock.to_argument()).number(most);
        match self.current(with_lists(board, call).run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(mut reply) => {
                let (closed, to_free, closing) = (reply.count()?, reply.count()?, reply.count()? == 1);
                let now_us = reply.integer()?;
                // So a process whose clock is off knows by how much before anybody asks.
                self.learn_time(now_us);
                let staying = reply.count()?;
                Ok(Versioned::Current(Rolled { closed, to_free, closing, now_us, staying }))
            }
        }
    }

    /// What is kept of some windows.
    pub(super) fn keys_of<'a>(&self, board: &Board, windows: impl Iterator<Item = &'a Window>) -> Going {
        let mut going = Going::default();
        for window in windows {
            let stem = board.sections.stem(&window.name);
            going.lists.push(board.periods_key(&window.name));
            going.stems.push(stem.clone());
            if window.reset.is_none() {
                going.others.extend(ranking_keys(board.keyspace(), &board.name, &format!("{stem}{OPEN_PERIOD}")));
            }
        }
        going
    }

    /// Whether a window has, or had, entries.
    pub(in crate::leaderboard) async fn holds(&self, board: &Board, window: &Window) -> Result<bool> {
        let Going { lists, others, .. } = self.keys_of(board, std::iter::once(window));
        let mut command = redis::cmd("EXISTS");
        command.arg(lists).arg(others);
        Ok(self.db.run(&command, "holds_entries", Effect::Read).await? != Value::Int(0))
    }

    /// The periods of a window that had entries or were closed by hand, by name and end in ms, the newest first.
    pub(in crate::leaderboard) async fn periods(
        &self,
        board: &Board,
        window: &WindowName,
        until_ms: Option<i64>,
        limit: u64,
    ) -> Result<Vec<(String, i64)>> {
        let mut command = redis::cmd("ZREVRANGEBYSCORE");
        command.arg(board.periods_key(window)).arg(until_ms.map_or("+inf".to_owned(), |until| until.to_string()));
        command.arg("-inf").arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
        let mut reply = Reply::of(self.db.run(&command, "list_periods", Effect::Read).await?)?;
        let mut periods = Vec::new();
        while !reply.is_empty() {
            periods.push((reply.text()?, reply.integer()?));
        }
        Ok(periods)
    }

    /// Whether a period of a window had entries, and is kept.
    pub(in crate::leaderboard) async fn has_period(
        &self,
        board: &Board,
        window: &WindowName,
        period: &str,
    ) -> Result<bool> {
        let mut command = redis::cmd("ZSCORE");
        command.arg(board.periods_key(window)).arg(period);
        Ok(self.db.run(&command, "find_period", Effect::Read).await? != Value::Nil)
    }

    /// When a period of a window ends or ended, in ms, where the list of periods has it.
    pub(in crate::leaderboard) async fn period_end(
        &self,
        board: &Board,
        window: &WindowName,
        period: &str,
    ) -> Result<Option<i64>> {
        let mut command = redis::cmd("ZSCORE");
        command.arg(board.periods_key(window)).arg(period);
        match self.db.run(&command, "find_period_end", Effect::Read).await? {
            Value::Nil => Ok(None),
            // Milliseconds since 1970 are whole numbers to a double.
            value => Ok(Some(Reply::of(Value::Array(vec![value]))?.score()?.value() as i64)),
        }
    }

    /// Frees some of the rankings of a leaderboard that wait for it; gives how many are still to go.
    pub(in crate::leaderboard) async fn free(&self, keyspace: &Keyspace, name: &LeaderboardName) -> Result<u64> {
        let free = free_key(keyspace, name);
        let mut command = redis::cmd("LRANGE");
        command.arg(&free).arg(0).arg(FREE_STEP - 1);
        let mut waiting = Reply::of(self.db.run(&command, "list_freed", Effect::Read).await?)?;
        let (mut keys, mut entries) = (vec![free], Vec::new());
        while !waiting.is_empty() {
            let entry = waiting.text()?;
            keys.extend(ranking_keys(keyspace, name, &entry));
            entries.push(entry);
        }
        if entries.is_empty() {
            return Ok(0);
        }
        let call = entries.iter().fold(FREE.keys(&keys), ScriptCall::arg);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.value()?;
        reply.count()
    }
}
